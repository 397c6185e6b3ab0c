"""How our music compares with music people wrote and played: the same figures of both.

    python benchmarks/corpus.py FOLDER [--pieces 300] [--seed 1]

FOLDER holds the unpacked corpora `pop909/`, `mutopia-pd/` and `groove/` (with `groove.csv` in it or
beside it). Pitch, rhythm, melody and form are compared with the first two, at most 250 songs of
each; drums with the grooves that are whole beats in 4/4. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import csv
import math
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
import symusic

from lofi.brief import BUNDLES, MOODS, Brief, InputError, Key, subseed
from lofi.music import (
    DIVERSITY,
    FIGURES,
    Bounds,
    RejectedError,
    compose,
    diversity,
    read_midi,
    statistics,
)
from lofi.music._midi import canonical

T = TypeVar("T")

MOST_SONGS = 250
SONG_CORPORA = ("pop909", "mutopia-pd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="holds pop909/, mutopia-pd/ and groove/")
    parser.add_argument("--pieces", type=int, default=300, help="pieces to compose")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    if asked.pieces < 1:
        parser.error("--pieces must be at least 1")
    try:
        print(table(asked.folder, asked.pieces, asked.seed))
    except InputError as error:
        sys.exit(f"error: {error}")


def table(folder: Path, pieces: int, seed: int) -> str:
    """The Markdown table. Raises InputError where a corpus is missing."""
    songs = {name: find_songs(folder, name) for name in SONG_CORPORA}
    grooves = find_grooves(folder)
    pop = list(read_all(songs["pop909"], read_pop909, "pop909"))
    written = list(read_all(songs["mutopia-pd"], read_plain, "mutopia-pd"))
    drummed = list(read_all(grooves, read_plain, "groove"))
    ours = list(counted(composed(pieces, seed), pieces, "composed"))
    of_songs = measured(chain(pop, written))
    of_drums = measured(drummed)
    of_ours = measured(ours)

    sung = sum(any(track.name == "lead" for track in score.tracks) for score in ours)
    head = (
        f"{len(ours)} pieces of the rule composer, {sung} of them with a lead, beside {len(pop)} "
        f"songs of pop909, {len(written)} pieces of mutopia-pd and {len(drummed)} grooves; "
        "diversity beside pop909."
    )
    rows = [
        head,
        "",
        "| figure | unit | human 5 % | median | 95 % | ours, median | inside |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figure in FIGURES.items():
        human = (of_drums if figure.kind == "drums" else of_songs)[name]
        low, middle, high = percentiles(human)
        _, own, _ = percentiles(of_ours[name])
        inside = "-" if math.isnan(low + own) else "yes" if low <= own <= high else "**no**"
        cells = (shown(low), shown(middle), shown(high), shown(own))
        rows.append(f"| {name} | {figure.unit} | " + " | ".join((*cells, inside)) + " |")
    theirs, own = diversity(pop), diversity(ours)
    for name, figure in DIVERSITY.items():
        cells = ("", shown(theirs[name]), "", shown(own[name]), "")
        rows.append(f"| {name} | {figure.unit} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def find_songs(folder: Path, name: str) -> list[Path]:
    """At most 250 files of a corpus, evenly spread over it."""
    found = sorted((folder / name).rglob("*.mid"))
    if not found:
        raise InputError(f"no MIDI files in {folder / name}. Unpack the corpus {name} there.")
    places = np.linspace(0, len(found) - 1, min(MOST_SONGS, len(found)))
    return [found[int(place)] for place in places]


def find_grooves(folder: Path) -> list[Path]:
    """The grooves that are whole beats (no fills) in 4/4, by the corpus's own list."""
    root = folder / "groove"
    if not root.is_dir():
        raise InputError(f"there is no folder {root}. Unpack the corpus groove there.")
    index = next((p for p in (root / "groove.csv", folder / "groove.csv") if p.exists()), None)
    if index is None:
        raise InputError(f"groove.csv is neither in {root} nor in {folder}. Put it there.")
    with index.open(newline="") as file:
        named = [
            root / row["file"]
            for row in csv.DictReader(file)
            if row["beat_type"] == "beat" and row["time_signature"] == "4-4"
        ]
    found = [path for path in named if path.exists()]
    if not found:
        raise InputError(
            f"none of the files that {index} names are in {root}. Unpack groove there."
        )
    return found


def read_plain(path: Path) -> symusic.Score:
    return read_midi(path)[0]


def read_pop909(path: Path) -> symusic.Score:
    """A song of POP909, whose ticks are counted from the start of a recording, in bars."""
    raw = symusic.Score.from_midi(path.read_bytes())
    raw.time_signatures.clear()
    raw.time_signatures.append(symusic.TimeSignature(0, 1, 4))  # the bar line is to be heard
    return canonical(raw, Bounds())[0]


def read_all(
    paths: list[Path], read: Callable[[Path], symusic.Score], name: str
) -> Iterator[symusic.Score]:
    for path in counted(paths, len(paths), name):
        try:
            yield read(path)
        except RejectedError:  # not in 4/4, most of them
            continue


def composed(pieces: int, seed: int) -> Iterator[symusic.Score]:
    """Pieces over all moods and keys, as `lofi corpus compose` makes them."""
    for index in range(pieces):
        own = subseed(seed, "corpus", index) >> 1
        mood = MOODS[list(MOODS)[index % len(MOODS)]]
        chance = random.Random(own)
        mode = "major" if chance.random() < BUNDLES[mood.bundle].major_share else "minor"
        key = Key((index // len(MOODS)) % 12, mode)
        brief = Brief(seed=own, mood=mood.name, key=key).settled()
        yield compose(brief, bars=chance.randrange(24, 49, 4))[0]


def counted(items: Iterable[T], total: int, name: str) -> Iterator[T]:
    """The items, and on stderr how many there were."""
    for done, item in enumerate(items, 1):
        yield item
        if done % 25 == 0 or done == total:
            end = "\n" if done == total else ""
            print(f"\r{name}: {done} of {total}", end=end, file=sys.stderr, flush=True)


def measured(scores: Iterable[symusic.Score]) -> dict[str, np.ndarray]:
    """Every figure, as an array over the scores."""
    found = [statistics(score) for score in scores]
    return {name: np.array([f[name] for f in found], float) for name in FIGURES}


def percentiles(values: np.ndarray) -> tuple[float, float, float]:
    known = values[~np.isnan(values)]
    low, middle, high = np.percentile(known, (5, 50, 95)) if len(known) else [math.nan] * 3
    return float(low), float(middle), float(high)


def shown(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


if __name__ == "__main__":
    main()
