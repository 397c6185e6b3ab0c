"""The templates' spectrum displays, as coverage that the stage tints and lays on the plate.

A display is a function from a moment's bands to a mask: uint8 `(h, w)`, 0 clear to FULL opaque.
Shapes are anti-aliased from their distance to the pixel centre, so nothing is rasterised anew.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lofi.picture._features import BANDS
from lofi.picture._scene import Pixels

FULL = 127
"""Opaque. Seven bits, so that a difference of two bytes times a mask fits 16 bits."""


class Display(Protocol):
    """A spectrum display of fixed pixel size."""

    def mask(self, bands: NDArray[np.float32], time_s: float) -> Pixels:
        """Coverage `(h, w)` for bands 0..1 (low to high) at that time."""
        ...


def _coverage(outside_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coverage of a pixel whose centre lies that far outside the edge (negative: inside)."""
    return np.clip(0.5 - outside_px, 0.0, 1.0)


class Bars:
    """A round-ended bar per band, bass at the left, each in its own soft glow.

    Bars of every height are drawn once, with their glow over the two neighbouring cells; a
    picture picks one per band and adds up what overlaps.
    """

    _HEIGHTS = 96
    _REACH = (3.0, 45.0)
    _HALF_WIDTH = 3.6
    _GLOW_STRENGTH, _GLOW_SPREAD = 0.26, 9.0

    def __init__(self, width: int, height: int, scale: float) -> None:
        self._size = (height, width)
        # One cell more at either end takes the glow of the outermost bars.
        self._cell = max(2, width // (BANDS + 2))
        self._left = (width - self._cell * (BANDS + 2)) // 2
        middle = (height - 1) / 2
        x = np.arange(3 * self._cell) - (3 * self._cell - 1) / 2
        y = np.arange(height) - middle
        half_width = self._HALF_WIDTH * scale
        sides = np.maximum(np.abs(x) - half_width, 0.0)[None, :]
        table = np.empty((self._HEIGHTS, height, 3 * self._cell))
        for step in range(self._HEIGHTS):
            level = step / (self._HEIGHTS - 1)
            reach = (self._REACH[0] + level * (self._REACH[1] - self._REACH[0])) * scale
            # Distance to the segment that is the bar's spine, less the bar's half width.
            ends = np.maximum(np.abs(y) - max(reach - half_width, 0.0), 0.0)[:, None]
            outside = np.hypot(x[None, :], ends) - half_width
            far = np.hypot(sides, ends) / (self._GLOW_SPREAD * scale)
            bar = 0.95 * _coverage(outside) + self._GLOW_STRENGTH * np.exp(-(far**2))
            table[step] = np.minimum(bar, 1.0)
        cells = (table * FULL + 0.5).astype(np.uint8)
        self._cells = cells.reshape(self._HEIGHTS, height, 3, self._cell).transpose(2, 0, 1, 3)

    def mask(self, bands: NDArray[np.float32], time_s: float) -> Pixels:
        height, width = self._size
        steps = np.round(np.clip(bands, 0.0, 1.0) * (self._HEIGHTS - 1)).astype(np.int64)
        to_left, own, to_right = self._cells
        row = np.zeros((BANDS + 2, height, self._cell), np.uint8)
        row[1:-1] = own[steps]
        row[:-2] += to_left[steps]
        row[2:] += to_right[steps]
        np.minimum(row, FULL, out=row)
        mask = np.zeros((height, width), np.uint8)
        strip = row.transpose(1, 0, 2).reshape(height, -1)
        mask[:, self._left : self._left + strip.shape[1]] = strip
        return mask


class Wave:
    """A ribbon as wide as the spectrum is loud: bass in the middle, treble at both ends."""

    # Share of the level, opacity, drift in radians per second; widest first.
    _LAYERS = ((1.0, 0.24, 0.55), (0.66, 0.40, 0.75), (0.34, 0.88, 0.95))
    _REACH = 54.0
    _MOST = 46.0
    _HIGHEST_BAND = 44
    _GLOW_STRENGTH, _GLOW_SPREAD = 0.30, 22.0

    def __init__(self, width: int, height: int, scale: float) -> None:
        self._scale = scale
        self._u = np.linspace(-1.0, 1.0, width)
        self._taper = np.cos(self._u * math.pi / 2) ** 0.6
        self._band = np.abs(self._u) * self._HIGHEST_BAND
        self._y = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, None]

    def mask(self, bands: NDArray[np.float32], time_s: float) -> Pixels:
        window = np.hanning(9)
        padded = np.pad(bands, 4, mode="reflect")
        level = np.interp(
            self._band, np.arange(BANDS), np.convolve(padded, window / window.sum(), "valid")
        )
        clear = np.ones((len(self._y), len(self._u)), np.float32)
        for number, (share, opacity, drift) in enumerate(self._LAYERS):
            phase = time_s * drift + number * 1.9
            sway = self._taper * (9 - 2 * number) * np.sin(self._u * (5.2 - number) - phase)
            reach = 1.0 + self._taper * np.minimum(1.5 + self._REACH * share * level, self._MOST)
            slope = np.hypot(1.0, np.gradient(sway + reach))
            outside = np.abs(self._y - (sway * self._scale).astype(np.float32))
            outside -= (reach * self._scale).astype(np.float32)
            if number == len(self._LAYERS) - 1:
                near = np.clip(1.0 - outside / (self._GLOW_SPREAD * self._scale), 0.0, 1.0)
                fade = (self._GLOW_STRENGTH * self._taper).astype(np.float32)
                clear *= 1.0 - fade * near**2
            outside /= slope.astype(np.float32)
            clear *= 1.0 - opacity * np.clip(0.5 - outside, 0.0, 1.0)
        return ((1.0 - clear) * FULL + 0.5).astype(np.uint8)


DISPLAYS = {"bars": Bars, "wave": Wave}
"""By template; a template that is not here shows the room alone."""
