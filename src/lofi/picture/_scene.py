"""The scene as two plates (behind the glass, in front of it), and its photographic finish."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia
from numpy.typing import NDArray
from scipy import ndimage

from lofi.picture import _outside, _room
from lofi.picture._colour import Colours
from lofi.picture._layout import HEIGHT, WIDTH, WINDOW, Layout, rng_for
from lofi.picture._paint import box

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """A room at night, unfinished: `base` is everything, `front` only what hides the rain."""

    colours: Colours
    layout: Layout
    scale: float
    """Pixels per scene unit."""
    base: skia.Image
    front: skia.Image
    beacons: tuple[tuple[float, float], ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.base.width(), self.base.height()


def build_scene(palette: str, seed: int, width: int, height: int) -> Scene:
    """Draw the room of that palette and seed, `width` × `height` pixels (16:9)."""
    colours = Colours.named(palette)
    layout = Layout.drawn(seed)
    scale = width / WIDTH
    behind, beacons = _draw_behind(colours, layout, width, height, scale)
    front = _draw_front(colours, layout, width, height, scale)
    surface = skia.Surface(width, height)
    canvas = surface.getCanvas()
    canvas.drawImage(behind, 0, 0)
    canvas.drawImage(front, 0, 0)
    return Scene(
        colours=colours,
        layout=layout,
        scale=scale,
        base=surface.makeImageSnapshot(),
        front=front,
        beacons=tuple(beacons[:6]),
    )


def _draw_behind(
    colours: Colours, layout: Layout, width: int, height: int, scale: float
) -> tuple[skia.Image, list[tuple[float, float]]]:
    surface = skia.Surface(width, height)
    canvas = surface.getCanvas()
    opening = box(WINDOW.x0, WINDOW.y0, WINDOW.x1, WINDOW.y1)
    canvas.save()
    canvas.scale(scale, scale)
    canvas.clipRect(opening)
    _outside.draw_sky(canvas, colours, layout)
    _outside.draw_moon(canvas, colours, layout)
    _outside.draw_clouds(canvas, colours, layout)
    lights = _outside.draw_city(canvas, colours, layout)
    canvas.restore()
    # The city is a little out of focus, as the eye rests on the room.
    blurred = skia.Paint(ImageFilter=skia.ImageFilters.Blur(1.1 * scale, 1.1 * scale))
    canvas.drawImage(surface.makeImageSnapshot(), 0, 0, skia.SamplingOptions(), blurred)
    view = surface.makeImageSnapshot()
    canvas.scale(scale, scale)
    canvas.clipRect(opening)
    _outside.draw_drops(canvas, colours, layout, view, scale)
    _outside.draw_glass(canvas, colours)
    return surface.makeImageSnapshot(), lights.beacons


def _draw_front(
    colours: Colours, layout: Layout, width: int, height: int, scale: float
) -> skia.Image:
    surface = skia.Surface(width, height)
    canvas = surface.getCanvas()
    canvas.clear(0)
    canvas.scale(scale, scale)
    _room.draw_wall(canvas, colours)
    _room.draw_window_frame(canvas, colours)
    _room.draw_cat(canvas, colours, layout)
    _room.draw_curtains(canvas, colours)
    _room.draw_desk(canvas, colours, layout)
    _room.draw_keepsake(canvas, colours, layout)
    _room.draw_plant(canvas, colours, layout)
    _room.draw_books(canvas, colours, layout)
    _room.draw_mug(canvas, colours, layout)
    _room.draw_turntable(canvas, colours, layout)
    _room.draw_lamp(canvas, colours)
    _room.draw_hanging_plant(canvas, colours, layout)
    _room.draw_fairy_wire(canvas, layout)
    return surface.makeImageSnapshot()


def pixels(image: skia.Image) -> Pixels:
    """`(height, width, 4)` RGBA, premultiplied."""
    return image.toarray(colorType=skia.kRGBA_8888_ColorType)


_MEAN = np.full(3, 1 / 3, np.float32)


class Finish:
    """Bloom, split tone, vignette and still grain, as maps that apply to any cut-out.

    Because the maps are fixed by the unmoving scene, a moving part that is finished on its own
    fits its surroundings without a seam.
    """

    def __init__(self, scene: Scene, grain: float = 2.0) -> None:
        rgb = pixels(scene.base)[..., :3]
        height, width = rgb.shape[:2]
        self._bloom = _bloom(rgb, scene.scale)
        y = (np.arange(height, dtype=np.float32) / height - 0.48)[:, None]
        x = (np.arange(width, dtype=np.float32) / width - 0.5)[None, :]
        self._vignette = 1.0 - 0.85 * np.clip(x * x * 1.15 + y * y * 1.2 - 0.06, 0.0, 1.0)
        self._grain = _grain(scene.layout.seed, width, height) * np.float32(grain / 255.0)
        sky, warm = scene.colours.sky[1], scene.colours.warm
        self._shadow_tint = ((sky - 0.35) * 0.10).astype(np.float32)
        self._light_tint = ((warm - 0.6) * 0.06).astype(np.float32)

    def apply(self, rgb: Pixels, top: int = 0, left: int = 0) -> Pixels:
        """Finish a cut-out `(h, w, 3)` whose corner stands at (top, left) of the frame."""
        area = np.s_[top : top + rgb.shape[0], left : left + rgb.shape[1]]
        dark = 1.0 - rgb.astype(np.float32) / 255.0
        image = 1.0 - dark * (1.0 - self._bloom[area])
        light = (image @ _MEAN)[..., None]
        image += self._shadow_tint * (1.0 - light) ** 2 + self._light_tint * light
        image *= self._vignette[area][..., None]
        image += self._grain[area][..., None] * (1.15 - 0.6 * light)
        return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)

    def dim(self, rgb: NDArray[np.float32], top: int, left: int) -> NDArray[np.float32]:
        """Added light `(h, w, 3)` as the vignette lets it through."""
        area = np.s_[top : top + rgb.shape[0], left : left + rgb.shape[1]]
        return rgb * self._vignette[area][..., None]


def _bloom(rgb: Pixels, scale: float) -> NDArray[np.float32]:
    """The halo of bright places: a narrow and a wide blur, worked out at a quarter of the size."""
    height, width = rgb.shape[:2]
    quarter_height, quarter_width = -(-height // 4), -(-width // 4)
    padded = np.pad(
        rgb, ((0, quarter_height * 4 - height), (0, quarter_width * 4 - width), (0, 0)), mode="edge"
    )
    blocks = padded.reshape(quarter_height, 4, quarter_width, 4, 3)
    small = blocks.mean(axis=(1, 3), dtype=np.float32) / 255.0
    bright = np.clip(small - 0.52, 0.0, 1.0) * 1.5
    halo = np.zeros_like(bright)
    for strength, sigma in ((0.5, 7.0), (0.6, 26.0)):
        spread = sigma * scale
        halo += strength * ndimage.gaussian_filter(bright, (spread, spread, 0.0), truncate=3.0)
    opaque = np.ones((*halo.shape[:2], 1), np.float32)
    image = skia.Image.fromarray(
        np.concatenate([halo, opaque], axis=2), colorType=skia.kRGBA_F32_ColorType
    )
    linear = skia.SamplingOptions(skia.FilterMode.kLinear)
    wide = image.resize(4 * quarter_width, 4 * quarter_height, linear)
    return np.clip(wide.toarray(colorType=skia.kRGBA_F32_ColorType)[:height, :width, :3], 0.0, 1.0)


def _grain(seed: int, width: int, height: int) -> NDArray[np.float32]:
    """Paper grain of unit strength: fine noise with a little coarser noise under it."""
    noise = rng_for(seed, "paper grain").standard_normal((height, width), dtype=np.float32)
    coarse = np.asarray(ndimage.gaussian_filter(noise, 1.1, truncate=3.0), np.float32)
    noise *= 0.6
    noise += coarse * np.float32(1.6)
    return noise


__all__ = ["HEIGHT", "WIDTH", "Finish", "Pixels", "Scene", "build_scene", "pixels"]
