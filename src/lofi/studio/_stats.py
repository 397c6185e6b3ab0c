"""What the files of a corpus are like, from the figures that reading them left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lofi.brief import InputError
from lofi.studio._catalogue import corpus_of
from lofi.studio._files import read_json
from lofi.studio._metadata import read_entries, read_head
from lofi.studio._settings import Settings

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


# The data set, for who looks at it -------------------------------------------------------------

_BINS = 24


def data_set(settings: Settings) -> dict[str, Any]:
    """What was read and what it is cut into: counts, reasons, corpora, splits; no file is opened.

    `read` is None where nothing was tokenised yet, `cut` where there is no data set. Raises
    InputError for files that are none of ours.
    """
    paths = settings.paths
    read = read_head(paths.metadata) if paths.metadata.is_file() else None
    file = paths.datasets / "dataset.json"
    cut = read_json(file) if file.is_file() else None
    if cut is not None and not all(
        isinstance(cut, dict) and isinstance(cut.get(n), dict)
        for n in ("files", "segments", "tokens")
    ):
        raise InputError(f"{file} is not what `lofi dataset` writes. Run it again.")
    return {"read": read, "cut": cut}


def spread(metadata_path: Path, quality: Quality) -> dict[str, Any]:
    """How each figure of FIGURES spreads over the files, as histograms for a chart.

    Of each: `edges` (n + 1), `counts` (n), percentiles 5, 50 and 95, and the limits beyond which a
    file is rejected. Values beyond percentiles 0.5 and 99.5 are counted at the ends. Raises
    InputError.
    """
    import numpy as np

    stats = corpus_stats(metadata_path)
    figures = []
    for name, title, unit in FIGURES:
        values = stats.values[name]
        if not len(values):
            continue
        low, five, middle, most, high = np.percentile(values, (0.5, 5, 50, 95, 99.5)).tolist()
        if high <= low:
            low, high = low - 0.5, high + 0.5
        counts, edges = np.histogram(np.clip(values, low, high), _BINS, (low, high))
        limits = getattr(quality, name, None)
        lower, upper = (limits[0], limits[3]) if limits else (None, None)
        figures.append(
            {
                "name": name,
                "title": title,
                "unit": unit,
                "edges": [round(float(e), 6) for e in edges],
                "counts": counts.tolist(),
                "percentiles": {"5": five, "50": middle, "95": most},
                "lower": quality.min_score if name == "score" else lower,
                "upper": upper,
            }
        )
    return {
        "files": stats.files,
        "kept": stats.kept,
        "figures": figures,
        "shares": {what: dict(list(s.items())[:12]) for what, s in stats.shares.items()},
    }


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
