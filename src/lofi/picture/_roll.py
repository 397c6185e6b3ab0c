"""A piano roll: every note of a score over its bars, a colour per part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import skia

from lofi.brief import PALETTES, one_of
from lofi.picture._colour import Colours, Rgb, mix
from lofi.picture._files import write_whole
from lofi.picture._paint import box, fill, line
from lofi.picture._text import fit_line

if TYPE_CHECKING:
    from symusic import Score

_WIDTH = 1200
_MARGIN, _TOP, _BOTTOM = 40.0, 96.0, 34.0
_ROW = 9.0  # pixels of a semitone
_FONT, _TITLE = "Quicksand-Medium.ttf", "LeagueSpartan-Bold.otf"


def render_roll(path: Path, score: Score, *, title: str, palette: str = "midnight") -> None:
    """See `lofi.picture.render_roll`."""
    colours = Colours.named(one_of(palette, PALETTES, "palette"))
    ground, ink = mix(colours.room_dark, colours.room, 0.4), colours.moon
    inks: list[Rgb] = [colours.warm, colours.cool, colours.accent, ink]
    inks += [mix(a, ink, 0.5) for a in inks[:3]]
    tracks = [(t.name, t.notes.numpy(), t.is_drum) for t in score.tracks if len(t.notes)]
    bar = 4 * score.ticks_per_quarter
    bars = max(1, -(-score.end() // bar))
    # Drums stand below, a row for each of their pitches.
    drums = np.unique(np.concatenate([n["pitch"] for _, n, d in tracks if d] or [np.zeros(0)]))
    pitched = np.concatenate([n["pitch"] for _, n, d in tracks if not d] or [np.array([60])])
    low, high = int(pitched.min()), int(pitched.max())
    gap = 2 if len(drums) else 0
    rows = high - low + 1 + gap + len(drums)
    height = round(_TOP + rows * _ROW + _BOTTOM)
    surface = skia.Surface(_WIDTH, height)
    canvas = surface.getCanvas()
    canvas.drawRect(box(0, 0, _WIDTH, height), fill(ground))
    across = _WIDTH - 2 * _MARGIN
    fit_line(title, _TITLE, 30, 18, across).draw(canvas, _MARGIN, 44, fill(ink))
    for number in range(bars + 1):
        x = _MARGIN + across * number / bars
        canvas.drawLine(x, _TOP, x, height - _BOTTOM, line(ink, 1, 0.2))
        if number < bars:
            label = fit_line(str(number + 1), _FONT, 15, 10, 60)
            label.draw(canvas, x + 4, height - 12, fill(ink, 0.6))
    left = _MARGIN
    for index, (name, notes, is_drum) in enumerate(tracks):
        colour = inks[index % len(inks)]
        canvas.drawRoundRect(box(left, 64, left + 14, 78), 3, 3, fill(colour))
        label = fit_line(name or "?", _FONT, 18, 12, 160)
        label.draw(canvas, left + 22, 78, fill(ink))
        left += 22 + label.width + 26
        for note in range(len(notes["time"])):
            pitch, start = int(notes["pitch"][note]), int(notes["time"][note])
            stop = start + max(int(notes["duration"][note]), bar // 48)
            row = (
                high - low + gap + len(drums) - int(np.searchsorted(drums, pitch))
                if is_drum
                else high - pitch
            )
            y = _TOP + row * _ROW
            x0, x1 = (_MARGIN + across * t / (bars * bar) for t in (start, stop))
            loud = 0.45 + 0.55 * int(notes["velocity"][note]) / 127
            canvas.drawRect(box(x0, y + 1, max(x1 - 1, x0 + 2), y + _ROW - 1), fill(colour, loud))
    data = surface.makeImageSnapshot().encodeToData(skia.EncodedImageFormat.kPNG, 100)
    write_whole(path, bytes(data))
