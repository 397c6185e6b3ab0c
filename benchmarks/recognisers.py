"""What the recognisers hear, against what POP909 annotates and the rule composer planned.

    python benchmarks/recognisers.py FOLDER

FOLDER holds pop909/*.mid and pop909_annotations.jsonl.xz, and may hold groove/ and groove.csv
(the Groove MIDI Dataset). The recognisers' constants were fitted to songs with odd numbers and to
other seeds of the composer; songs with even numbers and the seeds here are held out. Beside each
figure stands what a guess that hears nothing would score, where there is one.
"""

from __future__ import annotations

import csv
import json
import lzma
import random
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import symusic

from lofi.brief import ALL_KEYS, MOODS, PARTS, Brief, Key, Plan
from lofi.music import RejectedError, compose, notes_by_part, read_midi
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT, Bounds, canonical
from lofi.music._recognise import (
    HALF_BAR,
    Notes,
    find_bar_line,
    find_chords,
    find_key,
    find_sections,
    find_swing,
)
from lofi.music._theory import QUALITIES, Chord
from lofi.music._tokens import swing_control

FIRST_SEED = 100_000
PIECES = 60
PIECE_BARS = (24, 32, 40, 48, 60, 72)
BAR_LINE_TOLERANCE_TICKS = 30
# Styles of Groove MIDI that are played straight, and words for those that are not.
STRAIGHT = ("funk", "soul", "pop", "country", "dance", "gospel", "highlife")
SWUNG = ("shuffle", "swing")
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class Song:
    """A song of POP909 and its annotations, all times in canonical ticks."""

    held_out: bool
    parts: dict[str, Notes]
    chords: list[tuple[float, float, str]]  # start, end, label such as `Bb:min7/b7`
    key: Key
    downbeats: np.ndarray

    @property
    def half_bars(self) -> int:
        return -(-max(int((n.onset + n.length).max()) for n in self.parts.values()) // HALF_BAR)


@dataclass(frozen=True)
class Piece:
    """A piece of the rule composer and its plan."""

    parts: dict[str, Notes]
    plan: Plan

    @property
    def chords(self) -> list[Chord]:
        return [Chord.parse(c) for s in self.plan.sections for c in s.chords]

    @property
    def sections(self) -> list[str]:
        return [s.name for s in self.plan.sections for _ in range(s.bars)]


def pitch_class(label: str) -> int:
    """Of a label's root: `Bb:min7` is 10."""
    name = label.split(":")[0]
    return (_LETTERS[name[0]] + name.count("#") - name.count("b")) % 12


def ticks(score: symusic.Score, seconds: Iterable[float | str]) -> np.ndarray:
    """Canonical ticks of these times, by the score's tempo map."""
    tempos = score.tempos.numpy()
    at = tempos["time"].astype(float)
    seconds_per_tick = tempos["mspq"] / 1e6 / score.ticks_per_quarter
    reached = np.concatenate([[0.0], np.cumsum(np.diff(at) * seconds_per_tick[:-1])])
    wanted = np.array([float(s) for s in seconds])
    i = np.maximum(np.searchsorted(reached, wanted, side="right") - 1, 0)
    found = at[i] + (wanted - reached[i]) / seconds_per_tick[i]
    return found * TICKS_PER_BEAT / score.ticks_per_quarter


def read_songs(folder: Path) -> Iterator[Song]:
    """The songs of POP909 that can be read as 4/4."""
    with lzma.open(folder / "pop909_annotations.jsonl.xz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            raw = symusic.Score.from_midi((folder / "pop909" / f"{row['id']}.mid").read_bytes())
            raw.time_signatures.clear()  # else the reader would put the bar line in its place
            for track in raw.tracks:
                track.program = PARTS["keys" if track.name == "PIANO" else "lead"].program
            try:
                score, _ = canonical(raw, Bounds())
            except RejectedError:
                continue
            starts = ticks(raw, (c[0] for c in row["chord_midi"]))
            ends = ticks(raw, (c[1] for c in row["chord_midi"]))
            labels = [c[2] for c in row["chord_midi"]]
            held: dict[str, float] = {}
            for start, end, name in row["key_audio"]:
                held[name] = held.get(name, 0.0) + float(end) - float(start)
            longest = max(held, key=lambda name: held[name])
            yield Song(
                held_out=int(row["id"]) % 2 == 0,
                parts=notes_by_part(score),
                chords=list(zip(starts, ends, labels, strict=True)),
                key=Key(pitch_class(longest), {"maj": "major", "min": "minor"}[longest[-3:]]),
                downbeats=ticks(raw, row["downbeats"]),
            )


def compose_pieces() -> Iterator[Piece]:
    for i in range(PIECES):
        mood = list(MOODS)[i % len(MOODS)]
        brief = Brief(seed=FIRST_SEED + i, mood=mood, key=ALL_KEYS[i % len(ALL_KEYS)]).settled()
        score, plan = compose(brief, bars=PIECE_BARS[i % len(PIECE_BARS)])
        yield Piece(notes_by_part(score), plan)


def moved(parts: dict[str, Notes], by: int) -> dict[str, Notes]:
    """The same notes, later by so many ticks; those that would begin before tick 0 fall away."""
    late = {}
    for name, n in parts.items():
        keep = n.onset + by >= 0
        late[name] = Notes(n.onset[keep] + by, n.length[keep], n.pitch[keep], n.velocity[keep])
    return late


def distance(a: float, b: float, period: float) -> float:
    """How far apart two places are on a circle of that length."""
    return abs((a - b + period / 2) % period - period / 2)


# Chords and keys -----------------------------------------------------------------------------


def family(chord: Chord) -> str | None:
    """Major or minor by the third; None for suspended chords."""
    intervals = QUALITIES[chord.quality]
    return "major" if 4 in intervals else "minor" if 3 in intervals else None


def annotated_family(label: str) -> str | None:
    quality = label.split(":")[1]
    if quality.startswith("sus"):
        return None
    return "minor" if quality.startswith(("min", "dim", "hdim")) else "major"


def longest_label(song: Song, start: float) -> str | None:
    """The annotated chord that covers most of the half bar from `start`; None for none."""
    cover: dict[str, float] = {}
    for begin, end, label in song.chords:
        shared = min(end, start + HALF_BAR) - max(begin, start)
        if shared > 0:
            cover[label] = cover.get(label, 0.0) + shared
    best = max(cover, key=lambda label: cover[label], default="N")
    return None if best == "N" else best


def song_chords(song: Song, bar_line: int) -> tuple[list[bool], list[bool]]:
    """By half bar from the bar line: root right; root and family right, suspensions left out."""
    root, both = [], []
    found = find_chords(moved(song.parts, -bar_line), song.half_bars)
    for i, chord in enumerate(found):
        label = longest_label(song, bar_line + i * HALF_BAR)
        if label is None:
            continue
        root.append(chord is not None and chord.root == pitch_class(label))
        if (wanted := annotated_family(label)) is not None:
            both.append(root[-1] and chord is not None and family(chord) == wanted)
    return root, both


def same_scale(a: Key, b: Key) -> bool:
    return set(a.scale) == set(b.scale)


# Bar lines, sections, swing ------------------------------------------------------------------


def bar_line_hits(song: Song) -> tuple[bool, bool] | None:
    """Whether the bar line found is right, and whether tick 0 would be.

    Annotated bars hold two beats, whence the period; None for the few songs in threes.
    """
    if round(float(np.median(np.diff(song.downbeats))) / TICKS_PER_BEAT) != 2:
        return None
    period = 2 * TICKS_PER_BEAT
    turn = np.exp(2j * np.pi * song.downbeats / period).mean()
    true = float(np.angle(turn)) / (2 * np.pi) * period
    return (
        distance(find_bar_line(song.parts), true, period) <= BAR_LINE_TOLERANCE_TICKS,
        distance(0, true, period) <= BAR_LINE_TOLERANCE_TICKS,
    )


def boundaries(names: list[str]) -> list[int]:
    return [i for i in range(1, len(names)) if names[i] != names[i - 1]]


def boundary_f1(found: list[int], true: list[int]) -> float:
    """F measure of section boundaries, a hit being within one bar; each is hit at most once."""
    left = list(true)
    hits = 0
    for bar in found:
        near = [t for t in left if abs(t - bar) <= 1]
        if near:
            left.remove(min(near, key=lambda t: abs(t - bar)))
            hits += 1
    return 2 * hits / (len(found) + len(true)) if found or true else 1.0


def groove_swing(folder: Path) -> tuple[list[bool], list[bool]]:
    """Beats of Groove MIDI of 15 seconds or more: straight ones heard so; swung ones heard so."""
    straight, swung = [], []
    with (folder / "groove.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            style = row["style"]
            is_swung = any(word in style for word in SWUNG)
            if row["beat_type"] != "beat" or float(row["seconds"]) < 15:
                continue
            if not is_swung and style.split("/")[0] not in STRAIGHT:
                continue
            try:
                score, _ = read_midi(folder / "groove" / row["file"])
            except RejectedError:
                continue
            swing = find_swing(notes_by_part(score))
            told = None if swing is None else swing_control(swing)
            if is_swung:
                swung.append(told in ("SWING_1", "SWING_2"))
            else:
                straight.append(told == "SWING_0")
    return straight, swung


# The table -----------------------------------------------------------------------------------


def row(what: str, count: int, held_out: float, everything: float, guess: float | None) -> str:
    cells = [what, f"{count:,}", f"{held_out:.3f}", f"{everything:.3f}"]
    return f"| {' | '.join(cells)} | {'' if guess is None else f'{guess:.3f}'} |"


def song_rows(songs: list[Song]) -> Iterator[str]:
    held_out = np.array([s.held_out for s in songs])

    def pooled(what: str, hits: list[list[bool]], guess: list[list[bool]] | None = None) -> str:
        mine = np.concatenate([h for h, out in zip(hits, held_out, strict=True) if out])
        every = np.concatenate(hits)
        blind = None if guess is None else float(np.concatenate(guess).mean())
        return row(f"POP909: {what}", len(every), mine.mean(), every.mean(), blind)

    at_zero = [song_chords(s, 0) for s in songs]
    yield pooled("chord root, half bars from tick 0", [root for root, _ in at_zero])
    yield pooled("chord root and major or minor, from tick 0", [both for _, both in at_zero])
    on_bars = [song_chords(s, find_bar_line(s.parts)) for s in songs]
    yield pooled("chord root, half bars from the bar line found", [root for root, _ in on_bars])
    yield pooled("chord root and major or minor, from there", [both for _, both in on_bars])
    keys = [(find_key(s.parts)[0], s.key) for s in songs]
    yield pooled("key, same diatonic set", [[same_scale(k, true)] for k, true in keys])
    yield pooled("key, same tonic and mode", [[k == true] for k, true in keys])
    lines = [bar_line_hits(s) for s in songs]
    yield pooled(
        f"bar line within {BAR_LINE_TOLERANCE_TICKS} ticks, of two beats",
        [[] if line is None else [line[0]] for line in lines],
        [[] if line is None else [line[1]] for line in lines],
    )


def piece_rows(pieces: list[Piece]) -> Iterator[str]:
    def mean(what: str, values: list[float] | list[bool], guess: float | None = None) -> str:
        figure = float(np.mean(values))
        return row(f"composed: {what}", len(values), figure, figure, guess)

    heard = [
        pair
        for p in pieces
        for pair in zip(find_chords(p.parts, 2 * p.plan.bars), p.chords, strict=True)
    ]
    root = [c is not None and c.root == true.root for c, true in heard]
    yield mean("chord root", root)
    yield mean("chord, root and quality", [c == true for c, true in heard])
    keys = [(find_key(p.parts)[0], p.plan.key) for p in pieces]
    yield mean("key, same diatonic set", [same_scale(k, true) for k, true in keys])
    yield mean("key, same tonic and mode", [k == true for k, true in keys])

    chance = random.Random(FIRST_SEED)
    hits, guess = [], []
    for p in pieces:
        by = chance.randrange(TICKS_PER_BAR)
        for found, score in ((find_bar_line(moved(p.parts, by)), hits), (0, guess)):
            score.append(distance(found, by, TICKS_PER_BAR) <= BAR_LINE_TOLERANCE_TICKS)
    what = f"bar line within {BAR_LINE_TOLERANCE_TICKS} ticks, of four beats, after a random shift"
    yield mean(what, hits, float(np.mean(guess)))

    found = [(find_sections(p.parts, p.plan.bars), p.sections) for p in pieces]
    f1 = [boundary_f1(boundaries(mine), boundaries(true)) for mine, true in found]
    every_8 = [boundary_f1(list(range(8, len(true), 8)), boundaries(true)) for _, true in found]
    yield mean("section boundaries, F1 (guess: every 8 bars)", f1, float(np.mean(every_8)))
    agree = [m == t for mine, true in found for m, t in zip(mine, true, strict=True)]
    all_a = float(np.mean([t == "A" for _, true in found for t in true]))
    yield mean("section names of bars (guess: A)", agree, all_a)

    swings = [(find_swing(p.parts), p.plan.swing) for p in pieces]
    told = [(s, true) for s, true in swings if s is not None]
    yield mean("swing is told at all", [s is not None for s, _ in swings])
    yield mean("swing, mean error in beats", [abs(s - true) for s, true in told])
    same = [swing_control(s) == swing_control(true) for s, true in told]
    straight = float(np.mean([swing_control(true) == "SWING_0" for _, true in told]))
    yield mean("swing straight, light or heavy (guess: straight)", same, straight)


def groove_rows(folder: Path) -> Iterator[str]:
    for name, hits in zip(("straight", "swung"), groove_swing(folder), strict=True):
        figure = float(np.mean(hits))
        yield row(f"Groove MIDI: {name} styles heard as {name}", len(hits), figure, figure, None)


def milliseconds_per_100_bars(songs: list[Song]) -> float:
    """All five recognisers, the median song."""
    spent = []
    for song in songs:
        start = time.perf_counter()
        find_key(song.parts)
        find_chords(song.parts, song.half_bars)
        find_swing(song.parts)
        find_bar_line(song.parts)
        find_sections(song.parts, song.half_bars // 2)
        spent.append((time.perf_counter() - start) * 1e3 / (song.half_bars / 200))
    return float(np.median(spent))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    songs = list(read_songs(folder))
    pieces = list(compose_pieces())
    print("| measured | n | held out | all | guess |\n|---|---|---|---|---|")
    for line in song_rows(songs):
        print(line)
    for line in piece_rows(pieces):
        print(line)
    if (folder / "groove.csv").exists():
        for line in groove_rows(folder):
            print(line)
    print(f"\nAll recognisers: {milliseconds_per_100_bars(songs):.0f} ms per 100 bars.")


if __name__ == "__main__":
    main()
