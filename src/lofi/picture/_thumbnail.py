"""A thumbnail from the same room: a closer view, a few big words, and a check that they read."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import skia

from lofi.brief import PALETTES, InputError, LofiError, one_of
from lofi.picture._colour import BLACK, WHITE, Colours, Rgb, luminance, mix
from lofi.picture._features import BANDS
from lofi.picture._files import write_whole
from lofi.picture._layout import WIDTH, Box
from lofi.picture._legibility import MAX_BYTES, Legibility
from lofi.picture._motion import Moment, Show
from lofi.picture._paint import across, box, down, fill
from lofi.picture._scene import Pixels, build_scene, pixels
from lofi.picture._stage import Stage, to_rgb
from lofi.picture._text import Line, clean, fit_line, set_line, typeface

_WIDTH, _HEIGHT = 1280, 720
_SMALL = (168, 94)
_VIEW = Box(350, 96, 1534, 762)
"""What the thumbnail shows of the scene: window, cat and lamp."""
_TITLE_FONT = "LeagueSpartan-Bold.otf"
_PILL_FONT = "Quicksand-Bold.ttf"
_LEFT = 64.0
_TITLE_WIDTH = 690.0
_LARGEST, _SMALLEST = 168.0, 112.0
_MOST_LINES = 3
_LEADING = 0.92
_PILL_BOTTOM = 662.0
_PILL_HEIGHT = 66.0
_BADGE = Box(_WIDTH - 230, _HEIGHT - 100, _WIDTH, _HEIGHT)
"""Where YouTube lays the duration, with room to spare."""
_SCRIMS = (0.80, 0.87, 0.93, 0.97, 1.0)
"""How dark the ground of the title gets, tried in turn; the last is a plain dark ground."""
_QUALITIES = (92, 85, 75, 60)
_SMALL_QUALITY = 82


@dataclass(frozen=True)
class _Lettering:
    lines: tuple[Line, ...]
    baselines: tuple[float, ...]
    cap_height: float
    pill: Line | None

    @property
    def title_boxes(self) -> list[Box]:
        return [
            Box(_LEFT, y - self.cap_height, _LEFT + line.width, y)
            for line, y in zip(self.lines, self.baselines, strict=True)
        ]

    @property
    def pill_box(self) -> Box | None:
        if self.pill is None:
            return None
        return Box(_LEFT, _PILL_BOTTOM - _PILL_HEIGHT, _LEFT + self.pill.width + 48, _PILL_BOTTOM)


def render_thumbnail(
    path: Path, *, palette: str, title: str, subtitle: str, seed: int
) -> Legibility:
    """See `lofi.picture.render_thumbnail`."""
    palette = one_of(palette, PALETTES, "palette")
    colours = Colours.named(palette)
    view = _room(palette, seed)
    lettering = _set(title, subtitle)
    data, legibility = _most_gentle(view, colours, lettering)
    if not legibility.ok:
        raise LofiError(
            f"the thumbnail for {title!r} cannot be made legible ({legibility}): "
            "use fewer or other words."
        )
    write_whole(path, data)
    return legibility


def shrink(picture: bytes, width: int) -> bytes:
    """See `lofi.picture.shrink`."""
    image = skia.Image.MakeFromEncoded(skia.Data.MakeWithCopy(picture))
    if image is None:
        raise InputError("this is no picture that can be read. Give a JPEG or PNG file.")
    if image.width() > width:
        height = max(1, round(image.height() * width / image.width()))
        fine = skia.SamplingOptions(skia.FilterMode.kLinear, skia.MipmapMode.kLinear)
        image = image.withDefaultMipmaps().resize(width, height, fine)
    return bytes(image.encodeToData(skia.kJPEG, _SMALL_QUALITY))


def _most_gentle(
    view: skia.Image, colours: Colours, lettering: _Lettering
) -> tuple[bytes, Legibility]:
    """The picture with the lightest scrim that reads, or else with the darkest."""
    data, legibility = b"", Legibility(0.0, 0.0, 0.0, False, 0)
    for strength in _SCRIMS:
        ground = _with_scrim(view, colours, lettering, strength)
        picture = _lettered(ground, colours, lettering, strength)
        data = _jpeg(picture)
        legibility = _measure(pixels(ground)[..., :3], picture, data, colours, lettering, strength)
        if legibility.ok:
            break
    return data, legibility


@lru_cache(maxsize=2)
def _room(palette: str, seed: int) -> skia.Image:
    """The view of the room at the thumbnail's own resolution, lights on.

    Kept, because a person tries several titles on one room.
    """
    scale = _WIDTH / _VIEW.width
    width = round(WIDTH * scale / 2) * 2
    height = round(width * 9 / 16 / 2) * 2
    stage = Stage(build_scene(palette, seed, width, height), lambda _: None)
    Show(stage, "minimal").draw(Moment(1.3, np.zeros(BANDS, np.float32), kick=0.8))
    rgb = to_rgb(stage.frame)
    top, left = round(_VIEW.y0 * scale), round(_VIEW.x0 * scale)
    return _image(rgb[top : top + _HEIGHT, left : left + _WIDTH])


def _image(rgb: Pixels) -> skia.Image:
    opaque = np.full((*rgb.shape[:2], 1), 255, np.uint8)
    rgba = np.ascontiguousarray(np.concatenate([rgb, opaque], axis=2))
    return skia.Image.fromarray(rgba, colorType=skia.kRGBA_8888_ColorType)


def _set(title: str, subtitle: str) -> _Lettering:
    """Break the title into lines as large as they go; words that do not fit are left out."""
    subtitle = clean(subtitle)
    words = _letters(title).split() or _letters(subtitle).split() or ["lofi"]
    lines = _best_lines(words)
    if not sum(line.width for line in lines):
        lines = _best_lines(["lofi"])
    pill = fit_line(subtitle, _PILL_FONT, 46, 34, _TITLE_WIDTH - 48) if subtitle else None
    if pill is not None and not pill.width:
        pill = None
    size = lines[0].size
    last = _PILL_BOTTOM - (_PILL_HEIGHT + 50 if pill else 24)
    baselines = tuple(last - (len(lines) - 1 - k) * size * _LEADING for k in range(len(lines)))
    cap_height = skia.Font(typeface(_TITLE_FONT), size).getMetrics().fCapHeight
    return _Lettering(lines, baselines, float(cap_height), pill)


def _letters(text: str) -> str:
    """The text without emoji and other pictures, whose colours cannot be vouched for."""
    return "".join(char for char in clean(text) if unicodedata.category(char) != "So")


def _best_lines(words: list[str]) -> tuple[Line, ...]:
    """As many of the words as fit, in the break that lets them be largest."""
    for count in range(min(len(words), 6), 0, -1):
        best_size, best_width, best_break = 0.0, 0.0, [""]
        for rows in _breaks(words[:count], _MOST_LINES):
            widest = max(set_line(row, _TITLE_FONT, 100.0).width for row in rows)
            limit = _LARGEST if len(rows) < _MOST_LINES else 0.86 * _LARGEST
            size = min(limit, 100.0 * _TITLE_WIDTH / max(widest, 1.0))
            # Of two breaks of one size the narrower one leaves more room to the picture.
            if (size, -widest) > (best_size, -best_width):
                best_size, best_width, best_break = size, widest, rows
        if best_size >= _SMALLEST:
            return tuple(set_line(row, _TITLE_FONT, best_size) for row in best_break)
    return (fit_line(words[0], _TITLE_FONT, _SMALLEST, _SMALLEST, _TITLE_WIDTH),)


def _breaks(words: list[str], most: int) -> list[list[str]]:
    """Every way to set the words in 1 to `most` lines, fewest lines first."""
    if most == 1:
        return [[" ".join(words)]]
    ways = [[" ".join(words)]]
    for first in range(1, len(words)):
        head = " ".join(words[:first])
        ways += [[head, *rest] for rest in _breaks(words[first:], most - 1)]
    return sorted(ways, key=len)


def _with_scrim(
    view: skia.Image, colours: Colours, lettering: _Lettering, strength: float
) -> skia.Image:
    """Darken the left side behind the title, fading to the right and upwards."""
    surface = skia.Surface(_WIDTH, _HEIGHT)
    canvas = surface.getCanvas()
    canvas.drawImage(view, 0, 0)
    dark = mix(colours.room_dark, BLACK, 0.3)
    everything = box(0, 0, _WIDTH, _HEIGHT)
    reach = max(area.x1 for area in lettering.title_boxes)
    title_top = lettering.title_boxes[0].y0
    end = max(860.0, reach + 200)
    # A gentle scrim lets the room through early; the darkest one holds until the title ends.
    darkness = (strength - _SCRIMS[0]) / (1.0 - _SCRIMS[0])
    hold = 0.6 + darkness * max(0.0, (reach + 30) / end - 0.6)
    side = across(
        0,
        end,
        (dark, strength),
        (dark, strength * (0.78 + 0.22 * darkness)),
        (dark, 0.0),
        places=[0.0, hold, 1.0],
    )
    fade = down(title_top - 250, title_top - 4, (BLACK, 0.28), (BLACK, 1.0))
    canvas.saveLayer(everything, None)
    canvas.drawRect(everything, fill(shader=side))
    canvas.drawRect(everything, fill(shader=fade, blend=skia.BlendMode.kDstIn))
    canvas.restore()
    floor = down(480, _HEIGHT, (dark, 0.0), (dark, 0.55))
    canvas.drawRect(everything, fill(shader=floor))
    return surface.makeImageSnapshot()


def _title_colours(colours: Colours, strength: float) -> tuple[Rgb, Rgb]:
    """Top and bottom of the letters; whiter where the palette alone did not carry."""
    tint = 0.25 if strength == _SCRIMS[0] else 0.12
    return WHITE, mix(colours.moon, colours.accent, tint)


def _lettered(
    ground: skia.Image, colours: Colours, lettering: _Lettering, strength: float
) -> skia.Image:
    surface = skia.Surface(_WIDTH, _HEIGHT)
    canvas = surface.getCanvas()
    canvas.drawImage(ground, 0, 0)
    top, bottom = _title_colours(colours, strength)
    for line, y in zip(lettering.lines, lettering.baselines, strict=True):
        line.draw(canvas, _LEFT, y, fill(BLACK, 0.75, blur=14))
        shader = down(y - lettering.cap_height, y, top, bottom)
        line.draw(canvas, _LEFT, y, fill(shader=shader))
    area = lettering.pill_box
    if lettering.pill is not None and area is not None:
        rounding = _PILL_HEIGHT / 2
        outline = box(area.x0, area.y0, area.x1, area.y1)
        canvas.drawRoundRect(outline, rounding, rounding, fill(colours.accent))
        ink = fill(mix(colours.room_dark, BLACK, 0.4))
        lettering.pill.draw(canvas, _LEFT + 24, area.y1 - 18, ink)
    return surface.makeImageSnapshot()


def _jpeg(picture: skia.Image) -> bytes:
    """The picture as JPEG, at the best quality that stays within the size YouTube takes."""
    data = b""
    for quality in _QUALITIES:
        data = bytes(picture.encodeToData(skia.EncodedImageFormat.kJPEG, quality))
        if len(data) <= MAX_BYTES:
            break
    return data


def _measure(
    ground: Pixels,
    picture: skia.Image,
    data: bytes,
    colours: Colours,
    lettering: _Lettering,
    strength: float,
) -> Legibility:
    darkest = min(float(luminance(colour)) for colour in _title_colours(colours, strength))
    behind = luminance(ground / 255.0)
    contrasts = []
    for area in lettering.title_boxes:
        patch = behind[int(area.y0) : int(area.y1), int(area.x0) : int(area.x1) + 1]
        contrasts.append((darkest + 0.05) / (float(np.percentile(patch, 98)) + 0.05))
    areas = lettering.title_boxes + ([lettering.pill_box] if lettering.pill_box else [])
    clear = all(area.x1 < _BADGE.x0 or area.y1 < _BADGE.y0 for area in areas)
    return Legibility(
        contrast=round(min(contrasts), 2),
        cap_height_share=round(lettering.cap_height / _HEIGHT, 4),
        small_luma_range=round(_small_luma_range(picture, lettering), 1),
        corner_clear=clear,
        bytes=len(data),
    )


def _small_luma_range(picture: skia.Image, lettering: _Lettering) -> float:
    sampling = skia.SamplingOptions(skia.FilterMode.kLinear, skia.MipmapMode.kLinear)
    small = pixels(picture.resize(*_SMALL, sampling))[..., :3]
    luma = small @ np.array([0.299, 0.587, 0.114])
    boxes = lettering.title_boxes
    shrink = _SMALL[0] / _WIDTH
    top, bottom = int(boxes[0].y0 * shrink), int(boxes[-1].y1 * shrink)
    left, right = int(_LEFT * shrink), int(max(area.x1 for area in boxes) * shrink)
    region = luma[top : bottom + 1, left : right + 1]
    high, low = np.percentile(region, (90, 10))
    return float(high - low)
