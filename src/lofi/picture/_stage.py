"""The frame as the encoder wants it: BT.709 4:2:0 planes, on which only small parts change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import skia
from numpy.typing import NDArray

from lofi.picture._layout import Box
from lofi.picture._scene import Finish, Pixels, Scene, pixels

Draw = Callable[[skia.Canvas], None]
"""Draws in scene units."""

# ITU-R BT.709, limited range: Y 16..235, Cb and Cr 16..240 about 128.
_KR, _KB = 0.2126, 0.0722
_KG = 1.0 - _KR - _KB
_LUMA = np.array([_KR, _KG, _KB], np.float32) * (219 / 255)
_CB = np.array([-_KR, -_KG, 1.0 - _KB], np.float32) / (2 * (1 - _KB)) * (224 / 255)
_CR = np.array([1.0 - _KR, -_KG, -_KB], np.float32) / (2 * (1 - _KR)) * (224 / 255)
_CHROMA = np.stack([_CB, _CR], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Planes:
    """Luma `(h, w)` and chroma `(h/2, w/2)` of a picture or a cut-out, uint8."""

    y: Pixels
    u: Pixels
    v: Pixels

    def copy(self) -> Planes:
        return Planes(self.y.copy(), self.u.copy(), self.v.copy())


def _weigh(rgb: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Luma `(h, w)` above black and chroma `(h/2, w/2, 2)` about 0 of RGB 0..255."""
    luma: NDArray[np.float32] = np.matmul(rgb, _LUMA, dtype=np.float32)
    halved = rgb[0::2, 0::2] + rgb[0::2, 1::2] + rgb[1::2, 0::2] + rgb[1::2, 1::2]
    chroma: NDArray[np.float32] = np.matmul(halved, _CHROMA * 0.25, dtype=np.float32)
    return luma, chroma


def to_planes(rgb: Pixels) -> Planes:
    """RGB `(h, w, 3)` uint8 of even size as limited-range BT.709 planes."""
    luma, chroma = _weigh(rgb.astype(np.float32))
    chroma += 128.5
    return Planes(
        (luma + 16.5).astype(np.uint8),
        chroma[..., 0].astype(np.uint8),
        chroma[..., 1].astype(np.uint8),
    )


def to_rgb(planes: Planes) -> Pixels:
    """The planes as RGB `(h, w, 3)` uint8, for stills."""
    luma = (planes.y.astype(np.float32) - 16.0) * (255 / 219)
    blue = _doubled(planes.u)
    red = _doubled(planes.v)
    rgb = np.stack(
        [
            luma + 2 * (1 - _KR) * red,
            luma - 2 * (1 - _KB) * _KB / _KG * blue - 2 * (1 - _KR) * _KR / _KG * red,
            luma + 2 * (1 - _KB) * blue,
        ],
        axis=2,
    )
    return (np.clip(rgb, 0.0, 255.0) + 0.5).astype(np.uint8)


def _doubled(chroma: Pixels) -> NDArray[np.float32]:
    full = (chroma.astype(np.float32) - 128.0) * (255 / 224)
    return full.repeat(2, axis=0).repeat(2, axis=1)


@dataclass(frozen=True)
class Light:
    """Light to add to a frame from an even corner.

    Kept as bytes with the sign apart, so that adding saturates in two passes over bytes. Chroma
    is at half size; a pass in which nothing changes is left out.
    """

    top: int
    left: int
    height: int
    width: int
    brighter: Pixels
    u_passes: tuple[tuple[bool, Pixels], ...]
    """Whether to add (or else subtract), and how much."""
    v_passes: tuple[tuple[bool, Pixels], ...]


def _signed_passes(chroma: NDArray[np.float32]) -> tuple[tuple[bool, Pixels], ...]:
    up = np.clip(chroma + 0.5, 0, 255).astype(np.uint8)
    down = np.clip(0.5 - chroma, 0, 255).astype(np.uint8)
    return tuple((add, amount) for add, amount in ((True, up), (False, down)) if amount.any())


def _apply(plane: Pixels, add: bool, amount: Pixels) -> None:
    if add:
        np.minimum(plane, 255 - amount, out=plane)
        np.add(plane, amount, out=plane)
    else:
        np.maximum(plane, amount, out=plane)
        np.subtract(plane, amount, out=plane)


class Stage:
    """The unmoving plate, ways to prepare what moves on it, and the frame under construction.

    A frame is made by `clear()`, then `put()` for opaque cut-outs, then `shine()` for lights.
    """

    def __init__(self, scene: Scene, draw_text: Draw) -> None:
        self.scene = scene
        self.width, self.height = scene.size
        self._base = self._with_text(draw_text)
        self._finish = Finish(scene)
        self.plate = to_planes(self._finish.apply(pixels(self._base)[..., :3]))
        self.front_alpha = pixels(scene.front)[..., 3]
        self.frame = self.plate.copy()
        self._dirty: list[tuple[int, int, int, int]] = []

    def _with_text(self, draw_text: Draw) -> skia.Image:
        surface = skia.Surface(self.width, self.height)
        canvas = surface.getCanvas()
        canvas.drawImage(self.scene.base, 0, 0)
        canvas.scale(self.scene.scale, self.scene.scale)
        draw_text(canvas)
        return surface.makeImageSnapshot()

    def draw_on(self, planes: Planes) -> None:
        """From now on build frames in these planes (an encoder's buffer)."""
        self.frame = planes
        self.frame.y[:] = self.plate.y
        self.frame.u[:] = self.plate.u
        self.frame.v[:] = self.plate.v
        self._dirty.clear()

    def pixel_box(self, area: Box) -> tuple[int, int, int, int]:
        """Top, left, bottom, right of the even pixels that cover `area` within the frame."""
        scale = self.scene.scale
        top = max(0, int(area.y0 * scale) // 2 * 2)
        left = max(0, int(area.x0 * scale) // 2 * 2)
        bottom = min(self.height, -(-int(np.ceil(area.y1 * scale)) // 2) * 2)
        right = min(self.width, -(-int(np.ceil(area.x1 * scale)) // 2) * 2)
        return top, left, bottom, right

    def _draw(self, area: Box, draw: Draw, ground: skia.Image | None) -> Pixels:
        """RGB of `area` with `draw` on the ground, or on black if there is none."""
        top, left, bottom, right = self.pixel_box(area)
        surface = skia.Surface(right - left, bottom - top)
        canvas = surface.getCanvas()
        canvas.translate(-left, -top)
        if ground is None:
            canvas.clear(skia.ColorBLACK)
        else:
            canvas.drawImage(ground, 0, 0)
        canvas.scale(self.scene.scale, self.scene.scale)
        draw(canvas)
        return surface.toarray(colorType=skia.kRGBA_8888_ColorType)[..., :3]

    def cut_out(self, area: Box, draw: Draw) -> Planes:
        """The scene within `area` with something drawn on it, finished like the plate."""
        top, left, _, _ = self.pixel_box(area)
        return to_planes(self._finish.apply(self._draw(area, draw, self._base), top, left))

    def light(self, area: Box, draw: Draw, *, outside: bool = False) -> Light:
        """What `draw` puts on black, as light to add; `outside` keeps it behind the room."""
        top, left, bottom, right = self.pixel_box(area)
        rgb = self._draw(area, draw, None).astype(np.float32)
        rgb = self._finish.dim(rgb, top, left)
        if outside:
            hidden = self.front_alpha[top:bottom, left:right, None].astype(np.float32) / 255.0
            rgb *= 1.0 - hidden
        luma, chroma = _weigh(rgb)
        return Light(
            top,
            left,
            bottom - top,
            right - left,
            (luma + 0.5).astype(np.uint8),
            _signed_passes(chroma[..., 0]),
            _signed_passes(chroma[..., 1]),
        )

    def clear(self) -> None:
        """Take back everything that was drawn on the plate."""
        for top, left, bottom, right in self._dirty:
            half = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
            self.frame.y[top:bottom, left:right] = self.plate.y[top:bottom, left:right]
            self.frame.u[half] = self.plate.u[half]
            self.frame.v[half] = self.plate.v[half]
        self._dirty.clear()

    def touch(self, area: Box) -> None:
        """Say that `area` will be drawn on, so that `clear` restores it."""
        self._dirty.append(self.pixel_box(area))

    def put(self, area: Box, planes: Planes) -> None:
        """Lay a cut-out made for `area` into the frame."""
        top, left, bottom, right = self.pixel_box(area)
        half = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
        self.frame.y[top:bottom, left:right] = planes.y
        self.frame.u[half] = planes.u
        self.frame.v[half] = planes.v
        self._dirty.append((top, left, bottom, right))

    def shine(self, light: Light, down_px: int = 0, right_px: int = 0) -> None:
        """Add light to the frame, moved by an even number of pixels; clipped to the frame."""
        top, left = light.top + down_px, light.left + right_px
        y0, x0 = max(0, -top), max(0, -left)
        y1, x1 = min(light.height, self.height - top), min(light.width, self.width - left)
        if y0 >= y1 or x0 >= x1:
            return
        part = np.s_[y0:y1, x0:x1]
        half = np.s_[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
        top, left, bottom, right = top + y0, left + x0, top + y1, left + x1
        there = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
        _apply(self.frame.y[top:bottom, left:right], True, light.brighter[part])
        for add, amount in light.u_passes:
            _apply(self.frame.u[there], add, amount[half])
        for add, amount in light.v_passes:
            _apply(self.frame.v[there], add, amount[half])
        self._dirty.append((top, left, bottom, right))


class Tint:
    """A strip of the plate that is covered, by a mask, with a colour per column."""

    def __init__(self, stage: Stage, area: Box, colours: NDArray[np.float64]) -> None:
        """`colours` is `(width, 3)`, sRGB 0..1."""
        self._stage = stage
        self._area = area
        top, left, bottom, right = stage.pixel_box(area)
        row = np.round(colours * 255.0).astype(np.uint8)[None].repeat(2, axis=0)
        tint = to_planes(row)
        half = np.s_[top // 2 : bottom // 2, left // 2 : right // 2]
        self._y = _Blend(stage.plate.y[top:bottom, left:right], tint.y[:1])
        self._u = _Blend(stage.plate.u[half], tint.u)
        self._v = _Blend(stage.plate.v[half], tint.v)

    def put(self, mask: Pixels) -> None:
        """Lay the tinted mask (0..127) into the frame."""
        full = mask.astype(np.int16)
        halved = full[0::2, 0::2] + full[0::2, 1::2] + full[1::2, 0::2] + full[1::2, 1::2]
        halved = (halved + 2) >> 2
        planes = Planes(self._y.at(full), self._u.at(halved), self._v.at(halved))
        self._stage.put(self._area, planes)


class _Blend:
    """From one plane of the plate toward a tint, by a mask of seven bits."""

    def __init__(self, ground: Pixels, tint: Pixels) -> None:
        self._ground = ground.astype(np.int16)
        self._way = tint.astype(np.int16) - self._ground

    def at(self, mask: NDArray[np.int16]) -> Pixels:
        step = self._way * mask
        step += 64
        step >>= 7
        step += self._ground
        return step.astype(np.uint8)
