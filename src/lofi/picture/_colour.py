"""Colours mixed in OKLab, so that no gradient passes through mud.

Matrices: Björn Ottosson, "A perceptual color space for image processing" (2020).
A colour is three floats 0..1 in sRGB unless a function says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lofi.brief import PALETTES

Rgb = NDArray[np.float64]

_LINEAR_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_LMS_TO_LINEAR = np.linalg.inv(_LINEAR_TO_LMS)
_LAB_TO_LMS = np.linalg.inv(_LMS_TO_LAB)
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def parse_hex(text: str) -> Rgb:
    """`#rrggbb` as three floats."""
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0


def to_linear(srgb: NDArray[np.floating]) -> NDArray[np.floating]:
    """Undo the sRGB transfer curve (IEC 61966-2-1); any shape."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _from_linear(linear: Rgb) -> Rgb:
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def luminance(srgb: NDArray[np.floating]) -> NDArray[np.floating]:
    """WCAG relative luminance 0..1 of `(..., 3)` sRGB floats."""
    return to_linear(srgb) @ _LUMINANCE


def mix(a: Rgb, b: Rgb, amount: float) -> Rgb:
    """`a` at amount 0, `b` at amount 1, perceptually even in between."""
    lab_a = _LMS_TO_LAB @ np.cbrt(_LINEAR_TO_LMS @ to_linear(a))
    lab_b = _LMS_TO_LAB @ np.cbrt(_LINEAR_TO_LMS @ to_linear(b))
    lab = lab_a * (1.0 - amount) + lab_b * amount
    linear = _LMS_TO_LINEAR @ (_LAB_TO_LMS @ lab) ** 3
    return np.clip(_from_linear(np.clip(linear, 0.0, 1.0)), 0.0, 1.0)


def ramp(colours: Sequence[Rgb], steps: int) -> list[Rgb]:
    """`steps` colours that walk evenly through `colours`."""
    last = len(colours) - 1
    walk: list[Rgb] = []
    for step in range(steps):
        place = step / (steps - 1) * last
        index = min(int(place), last - 1)
        walk.append(mix(colours[index], colours[index + 1], place - index))
    return walk


BLACK: Rgb = parse_hex("#000000")
WHITE: Rgb = parse_hex("#ffffff")


@dataclass(frozen=True)
class Colours:
    """One of `lofi.brief.PALETTES`, parsed."""

    sky: tuple[Rgb, Rgb, Rgb]
    """Top, middle, horizon."""
    city_far: Rgb
    city_near: Rgb
    room_dark: Rgb
    room: Rgb
    warm: Rgb
    """Lamplight."""
    cool: Rgb
    """Light from outside."""
    accent: Rgb
    moon: Rgb
    fabric: Rgb
    leaf: Rgb
    wood_dark: Rgb
    wood: Rgb

    @classmethod
    def named(cls, palette: str) -> Colours:
        """The colours of a key of `PALETTES`."""
        table = PALETTES[palette]

        def one(key: str) -> Rgb:
            return parse_hex(str(table[key]))

        def several(key: str) -> list[Rgb]:
            return [parse_hex(text) for text in table[key]]

        top, middle, horizon = several("sky")
        city_far, city_near = several("city")
        room_dark, room = several("room")
        wood_dark, wood = several("wood")
        return cls(
            sky=(top, middle, horizon),
            city_far=city_far,
            city_near=city_near,
            room_dark=room_dark,
            room=room,
            warm=one("warm"),
            cool=one("cool"),
            accent=one("accent"),
            moon=one("moon"),
            fabric=one("fabric"),
            leaf=one("leaf"),
            wood_dark=wood_dark,
            wood=wood,
        )
