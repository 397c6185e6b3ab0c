"""What the files of a corpus are like, from the figures that reading them left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lofi.brief import InputError
from lofi.studio._catalogue import corpus_of
from lofi.studio._metadata import read_entries

if TYPE_CHECKING:
    import numpy as np

    from lofi.music import Quality

# Name, title, unit. The names are those of `Quality`, whose ranges stand beside them.
FIGURES: tuple[tuple[str, str, str], ...] = (
    ("score", "Score", "0 to 1"),
    ("bpm", "Tempo", "bpm"),
    ("duration_s", "Duration", "s"),
    ("density", "Density", "notes a beat"),
    ("polyphony", "Polyphony", "pitches at once"),
    ("pitch_span", "Pitch range", "semitones"),
    ("empty_beats", "Silence", "share of beats"),
    ("clarity", "Key clarity", "margin"),
    ("sevenths", "Seventh chords", "share"),
    ("swing", "Swing", "place in beat"),
    ("velocity", "Velocity", "MIDI"),
    ("register", "Register", "MIDI pitch"),
)


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of the files that could be measured, and how often each property occurs.

    `values` has an array for every name of FIGURES, without the files that lack the figure;
    `shares` tells of kept files: by mood bundle, key, and part that plays.
    """

    files: int
    kept: int
    values: dict[str, np.ndarray]
    shares: dict[str, dict[str, float]]


def corpus_stats(metadata_path: Path, corpus: str | None = None) -> Stats:
    """Gather the figures of all files, or of one corpus. Raises InputError if it is unknown."""
    import numpy as np

    columns: dict[str, list[float]] = {name: [] for name, _, _ in FIGURES}
    counts = {what: Counter[str]() for what in ("mood", "key", "part")}
    corpora: set[str] = set()
    files = kept = 0
    for name, entry in read_entries(metadata_path):
        corpora.add(corpus_of(name))
        if corpus not in (None, corpus_of(name)):
            continue
        files += 1
        measured = entry.get("measured")
        if measured is None:
            continue
        for column, values in columns.items():
            value = _value(entry, measured, column)
            if value is not None:
                values.append(value)
        if entry["status"] == "kept":
            kept += 1
            counts["mood"][measured["bundle"] or "none"] += 1
            counts["key"][measured["key"] or "none"] += 1
            counts["part"].update(measured["parts"].keys())
    if corpus is not None and corpus not in corpora:
        raise InputError(
            f"there is no corpus {corpus!r} in {metadata_path}. There are "
            f"{', '.join(sorted(corpora))}."
        )
    return Stats(
        files,
        kept,
        {name: np.array(values, np.float64) for name, values in columns.items()},
        {
            what: {n: c / max(1, kept) for n, c in counter.most_common()}
            for what, counter in counts.items()
        },
    )


def _value(entry: dict[str, Any], measured: dict[str, Any], name: str) -> float | None:
    if name == "score":
        return entry["score"]
    if name == "pitch_span":
        low, high = measured["pitch_low"], measured["pitch_high"]
        return None if low is None else high - low
    return measured[name]


def draw_stats(stats: Stats, quality: Quality, path: Path, *, title: str) -> None:
    """Histograms of every figure as a PNG, with the limits and best ranges of `quality`."""
    from lofi.picture import Panel, render_histograms

    panels = []
    for name, shown, unit in FIGURES:
        values = stats.values[name]
        limits = getattr(quality, name, None)
        if name == "score":
            panels.append(Panel(shown, unit, values, lower=quality.min_score))
        elif limits:
            low, best_low, best_high, high = limits
            panels.append(
                Panel(
                    shown,
                    unit,
                    values,
                    lower=low,
                    upper=high,
                    highlight=(best_low, best_high),
                    highlight_label="best",
                )
            )
        else:
            panels.append(Panel(shown, unit, values))
    render_histograms(
        path,
        panels,
        title=title,
        subtitle=f"{stats.files:,} files, {stats.kept:,} kept",
    )
