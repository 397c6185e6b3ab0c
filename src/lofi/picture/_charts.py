"""Histograms side by side, for choosing limits: what a figure is like over a whole corpus.

A card answers in this order: which figure, what is usual (the median), what the limits keep, and
what the values look like. What the limits leave out is dimmed, so the loss is seen before it is
read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import skia
from numpy.typing import NDArray

from lofi.brief import PALETTES, InputError, one_of
from lofi.picture._colour import BLACK, Colours, Rgb, mix
from lofi.picture._files import write_whole
from lofi.picture._paint import box, down, fill, line, polygon
from lofi.picture._text import Line, clean, fit_line, set_line

_WIDTH = 1600
_MARGIN, _GAP = 56.0, 24.0
_HEADER = 150.0
_CARD_HEIGHT = 312.0
_PADDING = 22.0
_GUTTER = 44.0
"""Room for the counts to the left of a plot."""
_PLOT_TOP, _PLOT_BOTTOM = 112.0, 58.0
"""From the card's top and bottom edge to the plot."""
_MOST_PANELS = 200
_BOLD, _MEDIUM, _TITLE = "Quicksand-Bold.ttf", "Quicksand-Medium.ttf", "LeagueSpartan-Bold.otf"
_FEWEST_BINS, _MOST_BINS = 8, 40
_FEW_NUMBERS = 16
"""Up to so many whole numbers each has a bar of its own."""
_MOST_LETTERS = 400
_LARGEST = 1e300
"""Beyond it the distance of two values may not be a number."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One histogram. Values that are not finite are left out and counted in a note."""

    title: str
    unit: str
    values: NDArray[np.number]
    """1-D."""
    lower: float | None = None
    """A limit: values below it are shown as left out."""
    upper: float | None = None
    highlight: tuple[float, float] | None = None
    """A range to compare with, such as that of human music."""
    highlight_label: str = ""


@dataclass(frozen=True)
class _Axis:
    """The span of values that is drawn, and the values beyond it."""

    low: float
    high: float
    below: int = 0
    above: int = 0

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high end."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class _Look:
    ground: tuple[Rgb, Rgb]
    card: Rgb
    ink: Rgb
    quiet: Rgb
    bars: tuple[Rgb, Rgb]
    dim: Rgb
    limit: Rgb
    compared: Rgb

    @classmethod
    def of(cls, colours: Colours) -> _Look:
        card = mix(colours.room_dark, colours.room, 0.6)
        return cls(
            ground=(mix(colours.room_dark, BLACK, 0.2), mix(colours.room_dark, colours.room, 0.3)),
            card=card,
            ink=colours.moon,
            quiet=mix(card, colours.moon, 0.62),
            bars=(colours.cool, mix(colours.sky[2], colours.cool, 0.25)),
            dim=mix(card, colours.sky[2], 0.45),
            limit=colours.accent,
            compared=colours.warm,
        )


def render_histograms(
    path: Path, panels: Sequence[Panel], *, title: str, subtitle: str, palette: str = "midnight"
) -> None:
    """See `lofi.picture.render_histograms`."""
    if len(panels) > _MOST_PANELS:
        raise InputError(f"{len(panels)} histograms in one picture: at most {_MOST_PANELS}.")
    look = _Look.of(Colours.named(one_of(palette, PALETTES, "palette")))
    columns = 3 if len(panels) <= 9 else 4
    rows = max(1, math.ceil(len(panels) / columns))
    height = round(_HEADER + rows * (_CARD_HEIGHT + _GAP) - _GAP + _MARGIN)
    surface = skia.Surface(_WIDTH, height)
    canvas = surface.getCanvas()
    canvas.drawRect(box(0, 0, _WIDTH, height), fill(shader=down(0, height, *look.ground)))
    across = _WIDTH - 2 * _MARGIN
    _fitted(title, _TITLE, 46, 26, across).draw(canvas, _MARGIN, 78, fill(look.ink))
    _fitted(subtitle, _MEDIUM, 23, 16, across).draw(canvas, _MARGIN, 116, fill(look.quiet))
    width = (across - (columns - 1) * _GAP) / columns
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        canvas.save()
        canvas.translate(_MARGIN + column * (width + _GAP), _HEADER + row * (_CARD_HEIGHT + _GAP))
        _draw_card(canvas, panel, width, look)
        canvas.restore()
    if not panels:
        canvas.translate(_MARGIN, _HEADER)
        _draw_ground(canvas, across, look)
        _write(canvas, "no histograms", _MEDIUM, 24, look.quiet, across / 2, _CARD_HEIGHT / 2, 0.5)
    data = surface.makeImageSnapshot().encodeToData(skia.EncodedImageFormat.kPNG, 100)
    write_whole(path, bytes(data))


def _draw_ground(canvas: skia.Canvas, width: float, look: _Look) -> None:
    canvas.drawRoundRect(box(0, 0, width, _CARD_HEIGHT), 18, 18, fill(look.card))
    edge = box(0.5, 0.5, width - 0.5, _CARD_HEIGHT - 0.5)
    canvas.drawRoundRect(edge, 18, 18, line(look.ink, 1, 0.07))


def _write(
    canvas: skia.Canvas,
    text: str,
    font: str,
    size: float,
    colour: Rgb,
    x: float,
    y: float,
    anchor: float = 0.0,
    most: float = math.inf,
) -> float:
    """Set a line whose left edge (anchor 0), middle (0.5) or right edge (1) is at `x`.

    It gets no wider than `most` pixels. Gives the width it took.
    """
    words = _fitted(text, font, size, 0.8 * size, most)
    words.draw(canvas, x - anchor * words.width, y, fill(colour))
    return words.width


def _fitted(text: str, font: str, size: float, smallest: float, most: float) -> Line:
    """A line no wider than `most`: smaller by half pixels, and cut only where that is not enough.

    Letters do not shrink quite in step with their size, so that a computed size may just miss.
    """
    text = clean(text)[:_MOST_LETTERS]
    while size > smallest:
        words = set_line(text, font, size)
        if words.width <= most:
            return words
        size -= 0.5
    return fit_line(text, font, smallest, smallest, most)


def _draw_card(canvas: skia.Canvas, panel: Panel, width: float, look: _Look) -> None:
    _draw_ground(canvas, width, look)
    absent = np.size(panel.values)
    panel = _sound(panel)
    values = panel.values
    absent -= len(values)
    inner = width - 2 * _PADDING
    title = _fitted(panel.title, _BOLD, 24, 17, inner)
    title.draw(canvas, _PADDING, 40, fill(look.ink))
    plot = box(_PADDING + _GUTTER, _PLOT_TOP, width - _PADDING, _CARD_HEIGHT - _PLOT_BOTTOM)
    if not len(values):
        _write(canvas, panel.unit, _MEDIUM, 17, look.quiet, _PADDING, 66, most=inner)
        _write(canvas, "no values", _MEDIUM, 22, look.quiet, width / 2, _CARD_HEIGHT / 2 + 20, 0.5)
        return
    median = float(np.median(values))
    count = _write(
        canvas, f"n {len(values):,}", _MEDIUM, 17, look.quiet, width - _PADDING, 66, 1, inner / 4
    )
    shown = f"median {_number(median)}"
    marked = _fitted(shown, _BOLD, 17, 13, inner / 2)
    marked_x = width - _PADDING - count - 18 - marked.width
    marked.draw(canvas, marked_x, 66, fill(look.ink))
    _triangle(canvas, marked_x - 12, 55, look.ink)
    room = marked_x - 12 - _PADDING - 20
    _write(canvas, panel.unit, _MEDIUM, 17, look.quiet, _PADDING, 66, most=room)
    _write_limits(canvas, panel, inner, look)
    axis = _axis(panel)
    _draw_plot(canvas, panel, axis, plot, look)
    _write_notes(canvas, panel, axis, absent, inner, look)


def _sound(panel: Panel) -> Panel:
    """The panel with its usable values alone, and without limits that are no numbers."""
    values = np.asarray(panel.values, np.float64).reshape(-1)
    usable = np.isfinite(values) & (np.abs(np.nan_to_num(values)) <= _LARGEST)
    highlight = panel.highlight
    if highlight is not None and not all(map(_is_usable, highlight)):
        highlight = None
    return replace(
        panel,
        values=values[usable],
        lower=panel.lower if _is_usable(panel.lower) else None,
        upper=panel.upper if _is_usable(panel.upper) else None,
        highlight=highlight and (min(highlight), max(highlight)),
    )


def _is_usable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and abs(value) <= _LARGEST


def _triangle(canvas: skia.Canvas, x: float, y: float, colour: Rgb) -> None:
    canvas.drawPath(polygon((x - 5, y), (x + 5, y), (x, y + 8)), fill(colour))


def _write_limits(canvas: skia.Canvas, panel: Panel, inner: float, look: _Look) -> None:
    """The limits, and how many of the values they keep."""
    low, high = panel.lower, panel.upper
    if low is None and high is None:
        return
    kept = np.ones(len(panel.values), bool)
    if low is not None:
        kept &= panel.values >= low
    if high is not None:
        kept &= panel.values <= high
    words = " to ".join(_number(limit) for limit in (low, high) if limit is not None)
    sign = "≥ " if high is None else "≤ " if low is None else ""
    words = f"{sign}{words} keeps {100 * kept.mean():.1f} %"
    _write(canvas, words, _BOLD, 16, look.limit, _PADDING, 92, most=inner)


def _axis(panel: Panel) -> _Axis:
    """From the least value to the greatest, without long tails, with the limits if they are near.

    A tail is long if the outermost hundredth of the values takes more than a third of the axis.
    """
    values = panel.values
    low, high = float(values.min()), float(values.max())
    first, last = (float(edge) for edge in np.percentile(values, (1, 99)))
    middle = last - first
    if high - last > 0.5 * middle:
        high = last
    if first - low > 0.5 * middle:
        low = first
    below, above = int((values < low).sum()), int((values > high).sum())
    if _is_one_value(low, high):  # give it a place to stand
        size = max(abs(low), abs(high))
        reach = 0.1 * size if size > 1e-240 else 0.5
        low, high = low - reach, high + reach
    span = high - low
    start, stop = low - span, high + span
    for mark in (panel.lower, panel.upper, *(panel.highlight or ())):
        if mark is not None and start <= mark <= stop:
            low, high = min(low, mark), max(high, mark)
    # A limit beyond a cut tail may bring some of its values back.
    if below:
        below = int((values < low).sum())
    if above:
        above = int((values > high).sum())
    return _Axis(low, high, below, above)


def _is_one_value(low: float, high: float) -> bool:
    return high - low <= max(1e-9 * max(abs(low), abs(high)), 1e-250)


def _edges(values: NDArray[np.number], axis: _Axis) -> NDArray[np.float64]:
    """Edges of bins that fill the axis, of the width of Freedman and Diaconis within limits.

    Bins of whole numbers are whole numbers wide: others would show a comb.
    """
    span = axis.high - axis.low
    inside = values[(values >= axis.low) & (values <= axis.high)]
    low, quarter, three, high = (float(x) for x in np.percentile(inside, (0, 25, 75, 100)))
    width = max(2 * (three - quarter) / len(inside) ** (1 / 3), span / _MOST_BINS)
    if bool((inside == np.round(inside)).all()) and 1 <= span < 1e15:
        width = 1.0 if span <= _FEW_NUMBERS else max(1.0, math.ceil(width - 0.5))
        first = math.floor(axis.low) - 0.5
        bins = math.ceil((math.ceil(axis.high) + 0.5 - first) / width)
        return first + width * np.arange(bins + 1, dtype=np.float64)
    if _is_one_value(low, high):  # in the middle of a bin
        width = span / (_FEWEST_BINS + 1)
        first, last = math.floor((axis.low - low) / width), math.ceil((axis.high - low) / width)
        return low + width * (np.arange(first, last + 2, dtype=np.float64) - 0.5)
    return np.linspace(axis.low, axis.high, round(max(_FEWEST_BINS, span / width)) + 1)


def _draw_plot(
    canvas: skia.Canvas, panel: Panel, axis: _Axis, plot: skia.Rect, look: _Look
) -> None:
    edges = _edges(panel.values, axis)
    counts, _ = np.histogram(panel.values, edges)
    axis = replace(axis, low=float(edges[0]), high=float(edges[-1]))
    left, top, right, bottom = plot.left(), plot.top(), plot.right(), plot.bottom()
    most = max(1, int(counts.max()))

    def across(value: float) -> float:
        return left + axis.place(value) * (right - left)

    def up(count: float) -> float:
        return bottom - count / most * (bottom - top - 8)

    for count in _ticks(0, most, 3, whole=True):
        canvas.drawLine(left, up(count), right, up(count), line(look.ink, 1, 0.09))
        label = _number(count)
        _write(canvas, label, _MEDIUM, 14, look.quiet, left - 9, up(count) + 5, 1, _GUTTER - 9)
    canvas.save()
    canvas.clipRect(box(left - 1, top - 12, right + 1, bottom + 1))
    if panel.highlight is not None:
        start, stop = (across(edge) for edge in panel.highlight)
        canvas.drawRect(box(start, top, max(stop, start + 2), bottom), fill(look.compared, 0.13))
        for x in (start, stop):
            canvas.drawLine(x, top, x, bottom, line(look.compared, 1.5, 0.55))
    kept_from = across(panel.lower) if panel.lower is not None else left - 1
    kept_to = across(panel.upper) if panel.upper is not None else right + 1
    bright = fill(shader=down(top, bottom, *look.bars))
    for paint, clip in (
        (fill(look.dim), None),
        (bright, box(kept_from, top - 1, max(kept_to, kept_from), bottom + 1)),
    ):
        canvas.save()
        if clip is not None:
            canvas.clipRect(clip, doAntiAlias=True)
        for count, start, stop in zip(counts, edges[:-1], edges[1:], strict=True):
            if count:
                # A bar is seen even where it stands for one value in thousands.
                y = min(up(float(count)), bottom - 2)
                gap = min(1.5, 0.15 * (across(stop) - across(start)))
                canvas.drawRect(box(across(start) + gap, y, across(stop) - gap, bottom), paint)
        canvas.restore()
    median = across(float(np.median(panel.values)))
    canvas.drawLine(median, top, median, bottom, line(look.card, 5, 0.8))
    canvas.drawLine(median, top, median, bottom, line(look.ink, 2))
    _triangle(canvas, median, top - 9, look.ink)
    dashed = line(look.limit, 2.5)
    dashed.setPathEffect(skia.DashPathEffect.Make([7.0, 5.0], 0.0))
    for limit in (panel.lower, panel.upper):
        if limit is not None:
            canvas.drawLine(across(limit), top, across(limit), bottom, dashed)
    canvas.restore()
    canvas.drawLine(left, bottom, right, bottom, line(look.ink, 1.5, 0.35))
    whole = bool((panel.values == np.round(panel.values)).all())
    for value, label, x in _labels(axis, left, right, whole):
        canvas.drawLine(across(value), bottom, across(value), bottom + 5, line(look.ink, 1.5, 0.35))
        _write(canvas, label, _MEDIUM, 15, look.quiet, x, bottom + 22)


def _labels(axis: _Axis, left: float, right: float, whole: bool) -> list[tuple[float, str, float]]:
    """Ticks with their labels and where those begin; as many as stand apart inside the card."""
    for wanted in (6, 5, 4, 3, 2, 1):
        ticks = _ticks(axis.low, axis.high, wanted, whole=whole)
        step = ticks[1] - ticks[0] if len(ticks) > 1 else None
        size = max((abs(tick) for tick in ticks), default=0.0)
        spread, free = [], left - _GUTTER
        for tick in ticks:
            text = _number(tick, step, size)
            width = set_line(text, _MEDIUM, 15).width
            x = left + axis.place(tick) * (right - left) - width / 2
            x = max(left - _GUTTER, min(x, right + _PADDING - 6 - width))
            if x < free:
                break
            spread.append((tick, text, x))
            free = x + width + 14
        if len(spread) == len(ticks):
            return spread
    return []


def _ticks(low: float, high: float, wanted: int, *, whole: bool) -> list[float]:
    """About `wanted` round numbers from `low` to `high`: multiples of 1, 2 or 5 times 10^k."""
    rough = max((high - low) / wanted, 1.0 if whole else 0.0)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= 0.999 * rough)
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [step * k for k in range(first, last + 1)]


_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def _number(value: float, step: float | None = None, size: float | None = None) -> str:
    """A number to read at a glance.

    `step` is the distance to the next of its row, which it is told from; `size` is the largest of
    the row, whose suffix all share.
    """
    size = abs(value) if size is None else size
    if value == 0 or size == 0:
        return "0"
    if size >= 1e15 or size < 1e-4:
        return f"{value:.2g}"
    scale, suffix = next((s for s in _SUFFIXES if size >= max(1e4, s[0])), _SUFFIXES[-1])
    if step is None:  # three figures
        digits = max(0, 2 - math.floor(math.log10(size / scale)))
        text = f"{value / scale:,.{digits}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text) + suffix
    digits = max(0, -math.floor(math.log10(step / scale) + 1e-9))
    if suffix and digits > 3:  # a small step between large numbers: they are easier whole
        scale, suffix, digits = 1.0, "", max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value / scale:,.{digits}f}{suffix}"


def _write_notes(
    canvas: skia.Canvas, panel: Panel, axis: _Axis, absent: int, inner: float, look: _Look
) -> None:
    """What the range is, at the left, and what is not in the plot, at the right."""
    said = []
    if absent:
        said.append(f"{_number(absent)} without")
    if axis.below:
        said.append(f"{_number(axis.below)} below, from {_number(float(panel.values.min()))}")
    if axis.above:
        said.append(f"{_number(axis.above)} above, up to {_number(float(panel.values.max()))}")
    y, room = _CARD_HEIGHT - 15, inner
    if panel.highlight is not None and panel.highlight_label:
        most = inner * (0.45 if said else 1)
        took = _write(canvas, panel.highlight_label, _BOLD, 15, look.compared, _PADDING, y, 0, most)
        room -= took + 14
    if said:
        _write(canvas, " · ".join(said), _MEDIUM, 14, look.quiet, _PADDING + inner, y, 1, room)
