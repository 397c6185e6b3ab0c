"""Recognisers: key, chords, swing, bar line and sections of a score, heard from its notes.

Key: Albrecht and Shanahan, "The Use of Large Corpora to Train a New Type of Key-Finding
Algorithm", Music Perception 31 (2013), Euclidean distance to their profiles.
Chords: every chord of `QUALITIES` on every root, scored against the pitch classes that sound in
each half bar; the best path through them with a cost for each change, as in Sheh and Ellis,
"Chord Segmentation and Recognition Using EM-Trained Hidden Markov Models", ISMIR 2003.
Sections: the cheapest cut into stretches of like bars that prefers regular lengths, after Sargent,
Bimbot and Vincent, "Estimating the Structural Segmentation of Popular Music Pieces Under
Regularity Constraints", IEEE/ACM Transactions on Audio, Speech and Language Processing 25 (2017).
Figures of all of them: `benchmarks/recognisers.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np
import symusic

from lofi.brief import Key
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._theory import QUALITIES, Chord

HALF_BAR = TICKS_PER_BAR // 2
SIXTEENTH = TICKS_PER_BEAT // 4

# How much a part's notes say about the harmony; drums nothing.
_HARMONIC_WEIGHT = {"bass": 1.0, "keys": 1.0, "guitar": 0.9, "pad": 1.0, "lead": 0.25}

# Semitones above the lowest note within which a note still counts as bass, e-folding.
_BASS_DEPTH = 4.0
# A bass note that is there when the half bar begins counts this much more: later ones pass by.
_BASS_FIRST = 2.0

# What a tone says by its place in the chord: how much its sounding speaks for the chord, and what
# its absence costs. Fitted to the odd half of POP909, to pieces of the rule composer
# and to every inversion of every chord.
_ROLES = {
    "root": (1.0, 0.0),
    "third": (0.6, 0.22),
    "fifth": (0.93, 0.14),
    "seventh": (0.84, 0.07),
    "ninth": (0.86, 0.26),
}
# The role of each interval above the root, in semitones; a fourth stands for the third,
# and a sixth for the seventh.
_ROLE_OF = (
    *("root", "ninth", "ninth", "third", "third", "third"),
    *("fifth", "fifth", "fifth", "seventh", "seventh", "seventh"),
)
_FOREIGN = -0.72  # what a sounding tone says that the chord lacks
_ABSENT = 0.09  # share of the sound below which a tone begins to count as absent
_ROOT_IN_BASS = 0.19
_TRIAD = 0.18  # the simpler chord is the likelier
_CHANGE = (0.17, 0.27)  # what a change of chord costs on the bar line, and in mid-bar

_MAJOR_PROFILE = (
    0.238,
    0.006,
    0.111,
    0.006,
    0.137,
    0.094,
    0.016,
    0.214,
    0.009,
    0.080,
    0.008,
    0.081,
)
_MINOR_PROFILE = (
    0.220,
    0.006,
    0.104,
    0.123,
    0.019,
    0.103,
    0.012,
    0.214,
    0.062,
    0.022,
    0.061,
    0.052,
)

# Fewer onsets than this say nothing about how beats are divided.
_FEW_ONSETS = 8
# In beats: how far from the beat it is still played, where off-beats may fall, how far around
# their peak they lie, and how exactly people play.
_NEAR_BEAT = 0.12
_OFF_BEATS = (0.42, 0.72)
_NEAR_OFF_BEAT = 0.07
_PLAYING = 0.02

# What marks a bar line, and by how much.
_METRE = {"bass": 1.0, "chords": 0.5, "melody": 0.5, "harmony": 1.5, "kick": 0.3, "snare": -0.3}
_SNARES = (37, 38, 39, 40)
_OTHER_HALF = 0.8  # the middle of the bar is the next strongest place
# A grid this near to tick 0, in ticks, is most often there on purpose, and so is the bar line.
_ON_THE_GRID = 20
_BEGINS_AT_ZERO = 1.0

# How much a part says about the form: who carries the beat and the harmony, and who colours it.
_FORM_WEIGHT = {"drums": 2.0, "bass": 2.0, "keys": 2.0, "lead": 1.5, "guitar": 1.0, "pad": 1.0}
# How much of a bar's likeness is who plays, and how much the rhythm: where sections are cut.
_CUT_PRESENCE, _CUT_RHYTHM = 2.0, 0.5
# And how much of it is harmony, and how much the rhythm: which of them are the same.
_SAME_HARMONY, _SAME_RHYTHM = 0.7, 0.3
_SECTION_COST = 1.0
# What a section of so many bars costs beyond that, from 1 to 8: regular lengths are likelier.
_LENGTH_COST = np.array((1.6, 1.0, 1.6, 0.5, 1.6, 1.0, 1.6, 0.0))
_THIN_END = 0.9  # an intro or outro is less full than this, relative to the median section
_THIN_MIDDLE = 0.85  # and so is a break
_SAME_MATERIAL = 0.8  # likeness of two sections of one letter
_MANY_SECTIONS = 4  # from so many on, some return
_SAME_NOTES = 0.97  # likeness of a section that returns as it was


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of one part, by onset: four int64 arrays of equal length, times in ticks."""

    onset: np.ndarray
    length: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray

    @classmethod
    def none(cls) -> Notes:
        """No notes."""
        return cls(*(np.zeros(0, np.int64) for _ in range(4)))

    @classmethod
    def joined(cls, several: Sequence[Notes]) -> Notes:
        """All these notes as one, by onset and pitch."""
        if not several:
            return cls.none()
        onset, length, pitch, velocity = (
            np.concatenate([getattr(n, f) for n in several])
            for f in ("onset", "length", "pitch", "velocity")
        )
        return cls(onset, length, pitch, velocity).only(np.lexsort((pitch, onset)))

    def only(self, which: np.ndarray | slice) -> Notes:
        """The notes that a mask, indices in order, or a slice picks."""
        return Notes(self.onset[which], self.length[which], self.pitch[which], self.velocity[which])

    def within(self, start: int, stop: int) -> Notes:
        """The notes that begin in [start, stop) ticks."""
        return self.only(slice(*np.searchsorted(self.onset, [start, stop])))

    def __len__(self) -> int:
        return len(self.onset)


def notes_by_part(score: symusic.Score) -> dict[str, Notes]:
    """The notes of each track of a canonical score, by part name."""
    found = {}
    for track in score.tracks:
        raw = track.notes.numpy()
        order = np.lexsort((raw["pitch"], raw["time"]))
        columns = (
            raw[k][order].astype(np.int64) for k in ("time", "duration", "pitch", "velocity")
        )
        found["drums" if track.is_drum else track.name] = Notes(*columns)
    return found


def pitch_class_weights(parts: dict[str, Notes], half_bars: int) -> tuple[np.ndarray, np.ndarray]:
    """Ticks that each pitch class sounds in each half bar, (half_bars, 12): all, and the bass.

    Where the part `bass` is silent, the lowest notes of the others stand in for it, never the lead.
    """
    total, bass, below = np.zeros((3, half_bars, 12))
    sounding = {n: _by_half_bar(parts[n], half_bars) for n in _HARMONIC_WEIGHT if n in parts}
    lowest = np.full(half_bars, 128)
    for name, (cell, pitch, ticks, _) in sounding.items():
        total += _HARMONIC_WEIGHT[name] * _table(cell, pitch, ticks, half_bars)
        if name != "lead":
            np.minimum.at(lowest, cell, pitch)
    for name, (cell, pitch, ticks, first) in sounding.items():
        ticks = ticks * np.where(first, 1 + _BASS_FIRST, 1)
        if name == "bass":
            bass += _table(cell, pitch, ticks, half_bars)
        elif name != "lead":
            depth = np.exp((lowest[cell] - pitch) / _BASS_DEPTH)
            below += _table(cell, pitch, ticks * depth, half_bars)
    silent = ~bass.any(1)
    bass[silent] = below[silent]
    return total, bass


def _by_half_bar(notes: Notes, half_bars: int) -> tuple[np.ndarray, ...]:
    """Half bar, pitch, ticks in it, and whether it sounds from its start, of each note's pieces."""
    # A note of up to eight beats touches at most five half bars.
    cell = notes.onset // HALF_BAR + np.arange(5)[:, None]
    begin = np.maximum(notes.onset, cell * HALF_BAR)
    ticks = np.minimum(notes.onset + notes.length, (cell + 1) * HALF_BAR) - begin
    inside = (ticks > 0) & (cell < half_bars)
    pitch = np.broadcast_to(notes.pitch, cell.shape)
    first = begin - cell * HALF_BAR < SIXTEENTH // 2
    return cell[inside], pitch[inside], ticks[inside], first[inside]


def _table(cell: np.ndarray, pitch: np.ndarray, weight: np.ndarray, cells: int) -> np.ndarray:
    """The weights summed by cell and pitch class, (cells, 12)."""
    return np.bincount(cell * 12 + pitch % 12, weight, cells * 12).reshape(cells, 12)


@lru_cache(maxsize=1)
def _chord_templates() -> tuple[list[Chord], np.ndarray, np.ndarray, np.ndarray]:
    """Every chord; what a pitch class says for it, sounding; what it costs, absent; its bonus."""
    chords = [Chord(root, quality) for quality in QUALITIES for root in range(12)]
    sounding = np.full((len(chords), 12), _FOREIGN)
    absence = np.zeros((len(chords), 12))
    bonus = np.zeros(len(chords))
    for i, chord in enumerate(chords):
        intervals = QUALITIES[chord.quality]
        bonus[i] = _TRIAD if len(intervals) == 3 else 0.0
        for interval in intervals:
            tone = (chord.root + interval) % 12
            sounding[i, tone], absence[i, tone] = _ROLES[_ROLE_OF[interval]]
    return chords, sounding, absence, bonus


def find_chords(parts: dict[str, Notes], half_bars: int) -> list[Chord | None]:
    """The chord of each half bar; None where nothing sounds, or only ever one pitch class."""
    if half_bars == 0:
        return []
    total, bass = pitch_class_weights(parts, half_bars)
    share = total / np.maximum(total.sum(1, keepdims=True), 1)
    below = bass / np.maximum(bass.sum(1, keepdims=True), 1e-9)
    chords, sounding, absence, bonus = _chord_templates()
    fit = share @ sounding.T + _ROOT_IN_BASS * below[:, [c.root for c in chords]]
    # A lone pitch class is no chord, nor a sign of a simple one, but may belong to the next one.
    enough = (share > 0.04).sum(1) >= 2
    fit[enough] += bonus - np.clip(1 - share[enough] / _ABSENT, 0, 1) @ absence.T
    path = _best_path(fit)
    stretch = np.cumsum(np.diff(path, prepend=path[0]) != 0)
    known = np.bincount(stretch, enough)[stretch] > 0
    return [chords[c] if ok else None for c, ok in zip(path, total.any(1) & known, strict=True)]


def _best_path(fit: np.ndarray) -> np.ndarray:
    """The state of each half bar (n,) that fits best (n, states) over all, changes being paid."""
    score = fit[0]
    stays = np.ones(fit.shape, bool)
    source = np.zeros(len(fit), np.int64)
    for i in range(1, len(fit)):
        source[i] = score.argmax()
        moved = score[source[i]] - _CHANGE[i % 2]
        stays[i] = score >= moved
        score = np.maximum(score, moved) + fit[i]
    path = np.empty(len(fit), np.int64)
    state = int(score.argmax())
    for i in reversed(range(len(fit))):
        path[i] = state
        if not stays[i, state]:
            state = int(source[i])
    return path


def find_key(parts: dict[str, Notes]) -> tuple[Key, float]:
    """The key of all notes, and its clarity: how much nearer it is than the next other scale."""
    keys, cost = _key_costs(parts)
    best = keys[int(cost.argmin())]
    return best, _ahead(best, keys, cost)


def key_clarity(parts: dict[str, Notes], key: Key) -> float:
    """How much nearer the notes are to the scale of a key than to any other; below 0 if not."""
    return _ahead(key, *_key_costs(parts))


def _ahead(key: Key, keys: list[Key], cost: np.ndarray) -> float:
    own = np.array([set(k.scale) == set(key.scale) for k in keys])
    return float(cost[~own].min() - cost[own].min())


def _key_costs(parts: dict[str, Notes]) -> tuple[list[Key], np.ndarray]:
    """Every key, and how far the notes are from it (24,)."""
    weights = np.zeros(12)
    for name, notes in parts.items():
        if name != "drums":
            np.add.at(weights, notes.pitch % 12, np.minimum(notes.length, TICKS_PER_BAR))
    weights = weights / max(1.0, weights.sum())
    half_bars = max((int(n.onset[-1]) // HALF_BAR + 1 for n in parts.values() if len(n)), default=1)
    _, bass = pitch_class_weights(parts, half_bars)
    roots = bass / np.maximum(bass.sum(1, keepdims=True), 1)
    keys, profiles = _key_profiles()
    tonics = np.array([key.tonic for key in keys])
    distance = np.sqrt(((weights - profiles) ** 2).sum(1))
    # Relative keys share their notes: the tonic shows in the bass, most at both ends.
    ends = (roots[: min(2, len(roots))].mean(0) + roots[-2:].mean(0)) / 2
    return list(keys), distance - 0.06 * ends[tonics] - 0.06 * roots.mean(0)[tonics]


@lru_cache(maxsize=1)
def _key_profiles() -> tuple[tuple[Key, ...], np.ndarray]:
    """Every key and its profile, (24, 12)."""
    modes = (("major", _MAJOR_PROFILE), ("minor", _MINOR_PROFILE))
    keys = tuple(Key(tonic, mode) for mode, _ in modes for tonic in range(12))
    return keys, np.array([np.roll(profile, t) for _, profile in modes for t in range(12)])


def find_swing(parts: dict[str, Notes]) -> float | None:
    """Where the off-beat eighths fall within the beat: 0.5 straight, 0.667 triplet; None if few.

    Players may be early or late as a whole, so off-beats are measured from where the beats are
    played. They are the onsets around the peak between the beats; sixteenths have peaks of their
    own, and what only leans towards those is no off-beat.
    """
    onsets = np.concatenate([n.onset for n in parts.values()]) if parts else np.zeros(0, int)
    phase = (onsets % TICKS_PER_BEAT) / TICKS_PER_BEAT
    from_beat = (phase + 0.5) % 1 - 0.5
    on_beat = from_beat[np.abs(from_beat) < _NEAR_BEAT]
    if len(on_beat) >= _FEW_ONSETS:
        phase = (phase - np.median(on_beat)) % 1
    bins = 240
    reach = 18
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / (_PLAYING * bins)) ** 2)
    count = np.bincount((phase * bins).astype(int) % bins, minlength=bins)
    crowd = np.convolve(np.pad(count, reach, mode="wrap"), kernel, "valid")
    low, high = (round(edge * bins) for edge in _OFF_BEATS)
    peak = low + int(crowd[low:high].argmax())
    if crowd[peak] < max(crowd[peak - 1], crowd[peak + 1]):
        return None
    off = phase[np.abs(phase - (peak + 0.5) / bins) <= _NEAR_OFF_BEAT]
    return float(off.mean()) if len(off) >= _FEW_ONSETS else None


def find_bar_line(parts: dict[str, Notes]) -> int:
    """Where the first bar line lies, in ticks from tick 0: at least -60, less than a bar later.

    Many files keep no bar lines, and some not even beats: POP909 counts its ticks from the start
    of the recording. The grid of sixteenths is where long notes begin; the bar line is that of its
    sixteen places in the bar (the halves of the bar being alike, but not equal) where the bass
    moves, long notes begin and the harmony changes. 0 if no notes.
    """
    pitched = {name: n for name, n in parts.items() if name != "drums" and len(n)}
    timed = list((pitched or parts).values())
    onset = np.concatenate([n.onset for n in timed]) if timed else np.zeros(0, int)
    if not len(onset):
        return 0
    length = np.minimum(np.concatenate([n.length for n in timed]), HALF_BAR)
    turn = (length * np.exp(2j * np.pi * onset / SIXTEENTH)).sum()
    grid = round(float(np.angle(turn)) / (2 * np.pi) * SIXTEENTH)
    profiles = _metre_profiles(parts, grid)
    score = sum(_METRE[name] * profile for name, profile in profiles.items())
    score = score + _OTHER_HALF * np.roll(score, 8)
    if abs(grid) <= _ON_THE_GRID:
        score[0] += _BEGINS_AT_ZERO
    return grid + SIXTEENTH * int(np.argmax(score))


def _metre_profiles(parts: dict[str, Notes], grid: int) -> dict[str, np.ndarray]:
    """By kind of event, how much of it falls on each sixteenth of the bar, (16,), on average 0.

    `grid` is where the sixteenths lie, in ticks. Values are relative to an even spread: 1 means
    twice as much as that.
    """
    cells = max(int(n.onset[-1]) for n in parts.values() if len(n)) // SIXTEENTH + 2
    lowest = np.full(cells, 128)
    tones = np.zeros((cells, 12))
    per_cell = {name: np.zeros(cells) for name in _METRE}
    for name, notes in parts.items():
        cell = np.maximum((2 * (notes.onset - grid) + SIXTEENTH) // (2 * SIXTEENTH), 0)
        ticks = np.minimum(notes.length, HALF_BAR)
        if name == "drums":
            per_cell["kick"] += np.bincount(cell, notes.pitch <= 36, cells)
            per_cell["snare"] += np.bincount(cell, np.isin(notes.pitch, _SNARES), cells)
        elif name == "lead":
            per_cell["melody"] += np.bincount(cell, ticks, cells)
        else:
            per_cell["chords"] += np.bincount(cell, ticks, cells)
            np.minimum.at(lowest, cell, notes.pitch)
            tones += _table(cell, notes.pitch, np.minimum(ticks, TICKS_PER_BEAT), cells)
    # A bass note is one that is about the lowest within a beat before and after.
    around = np.lib.stride_tricks.sliding_window_view(np.pad(lowest, 4, constant_values=128), 9)
    per_cell["bass"] += (lowest < 128) & (lowest <= around.min(1) + 3)
    per_cell["harmony"] += _change(tones, 8)
    profiles = {}
    for name, values in per_cell.items():
        folded = np.pad(values, (0, -cells % 16)).reshape(-1, 16).sum(0)
        profiles[name] = folded / folded.mean() - 1 if folded.mean() > 0 else np.zeros(16)
    return profiles


def _change(tones: np.ndarray, width: int) -> np.ndarray:
    """How unlike the pitch classes (n, 12) are in the `width` cells before and after each start.

    1 minus the cosine of the roots of their weights, (n,); 0 where one side is silent.
    """
    run = np.concatenate([np.zeros((1, 12)), np.cumsum(tones, 0)])
    at = np.arange(len(tones))
    before = np.sqrt(run[at] - run[np.maximum(at - width, 0)])
    after = np.sqrt(run[np.minimum(at + width, len(tones))] - run[at])
    size = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return np.where(size > 0, 1 - (before * after).sum(1) / np.maximum(size, 1e-9), 0.0)


def find_sections(parts: dict[str, Notes], bars: int) -> list[str]:
    """The section each bar belongs to: one of `SECTION_NAMES` of `lofi.music._tokens` per bar.

    The first full section is A. What shares its harmony and rhythm returns as A where it is played
    as before and as A' where it is varied; other material is B. Thin beginnings and ends are intro
    and outro, thin middles are break. What is too short or too uniform to have a form is all A.
    """
    heard = [name for name in _FORM_WEIGHT if name in parts and len(parts[name])]
    if bars < len(_LENGTH_COST) or not heard:
        return ["A"] * bars
    weight = np.array([_FORM_WEIGHT[name] for name in heard])
    weight /= weight.sum()
    strikes = [_strikes(parts[name], name, bars) for name in heard]
    presence = np.stack([_presence(s.sum(1)) for s in strikes], axis=1)
    # The melody is free to vary: it says nothing about what a section is made of.
    rhythm = [_unit(s) for s, name in zip(strikes, heard, strict=True) if name != "lead"]
    rhythm = np.concatenate(rhythm or [presence], axis=1)
    harmony = np.sqrt(pitch_class_weights(parts, 2 * bars)[0]).reshape(bars, 24)
    layers = (_CUT_PRESENCE * presence * np.sqrt(weight), _CUT_RHYTHM * rhythm)
    cuts = _regular_cuts(np.concatenate(layers, axis=1))
    sections = list(pairwise(cuts))
    fullness = np.array([presence[a:b].mean(0) @ weight for a, b in sections])
    names = _thin_names(fullness / max(float(np.median(fullness)), 1e-9))
    made_of = (_SAME_HARMONY**0.5 * _unit(harmony), _SAME_RHYTHM**0.5 * _unit(rhythm))
    material = np.concatenate(made_of, axis=1)
    _name_by_likeness(names, sections, material, _unit(np.concatenate(strikes, axis=1)))
    return [name for name, (a, b) in zip(names, sections, strict=True) for _ in range(b - a)]


def _strikes(notes: Notes, part: str, bars: int) -> np.ndarray:
    """Which sixteenths of each bar are struck, 0 or 1, (bars, 16 x kinds).

    Kinds are kick, snare and the rest of the drums, the pitch classes of the lead, one otherwise.
    """
    bar = np.minimum(notes.onset // TICKS_PER_BAR, bars - 1)
    late = notes.onset % TICKS_PER_BAR + SIXTEENTH // 2
    cell = np.minimum(late // SIXTEENTH, 15)
    kind, kinds = np.zeros(len(notes), np.int64), 1
    if part == "drums":
        kind, kinds = np.select([notes.pitch <= 36, np.isin(notes.pitch, _SNARES)], [0, 1], 2), 3
    elif part == "lead":
        kind, kinds = notes.pitch % 12, 12
    struck = np.zeros((bars, kinds, 16))
    struck[bar, kind, cell] = 1
    return struck.reshape(bars, -1)


def _presence(count: np.ndarray) -> np.ndarray:
    """How fully a part plays in each bar: 1 from half its usual count of strikes on."""
    return np.minimum(1, 2 * count / np.median(count[count > 0]))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Each row at length 1, or 0."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def _regular_cuts(features: np.ndarray) -> list[int]:
    """Where sections begin, and the end, of bars with these features (bars, n).

    A section costs the squared distances of its bars from their mean, and what its length costs.
    """
    bars = len(features)
    run = np.concatenate([np.zeros((1, features.shape[1])), np.cumsum(features, 0)])
    squares = np.concatenate([[0.0], np.cumsum((features**2).sum(1))])
    cost = np.zeros(bars + 1)
    start = np.zeros(bars + 1, np.int64)
    for stop in range(1, bars + 1):
        length = np.arange(1, min(stop, len(_LENGTH_COST)) + 1)
        first = stop - length
        spread = squares[stop] - squares[first] - ((run[stop] - run[first]) ** 2).sum(1) / length
        total = cost[first] + spread + _SECTION_COST + _LENGTH_COST[length - 1]
        best = int(total.argmin())
        cost[stop], start[stop] = total[best], first[best]
    cuts = [bars]
    while cuts[-1]:
        cuts.append(int(start[cuts[-1]]))
    return cuts[::-1]


def _thin_names(fullness: np.ndarray) -> list[str]:
    """Intro, break and outro where sections are thin, "" elsewhere; fullness 1 is the median's."""
    thin = fullness < _THIN_MIDDLE
    thin[[0, -1]] = fullness[[0, -1]] < _THIN_END
    full = np.flatnonzero(~thin)
    first, last = full[0], full[-1]
    return [
        "intro" if i < first else "outro" if i > last else "break" if is_thin else ""
        for i, is_thin in enumerate(thin)
    ]


def _name_by_likeness(
    names: list[str], sections: list[tuple[int, int]], material: np.ndarray, detail: np.ndarray
) -> None:
    """Fill in the letters of the sections (first bar, end) that have no name yet.

    `material` (bars, m) says what a section is made of, `detail` (bars, n) how it is played; rows
    have length 1.
    """

    def likeness(rows: np.ndarray, i: int, j: int) -> float:
        (a, a_end), (b, b_end) = sections[i], sections[j]
        bars = min(a_end - a, b_end - b)
        return float((rows[a : a + bars] * rows[b : b + bars]).sum() / bars)

    full = [i for i, name in enumerate(names) if not name]
    pairs = [likeness(material, i, j) for i, j in combinations(full, 2)]
    same = _SAME_MATERIAL
    if len(full) >= _MANY_SECTIONS:
        # People play the same less alike than patterns do, but some of so many sections return.
        same = min(same, (min(pairs) + max(pairs)) / 2)
    known: list[int] = []
    for i in full:
        alike = max(known, key=lambda j: likeness(material, i, j), default=None)
        if alike is None:
            names[i] = "A"
        elif names[alike] == "B" or likeness(material, i, alike) < same:
            names[i] = "B"
        else:
            family = [j for j in known if names[j] != "B"]
            twin = max(family, key=lambda j: likeness(detail, i, j))
            names[i] = names[twin] if likeness(detail, i, twin) >= _SAME_NOTES else "A'"
        known.append(i)
