"""What a score is like as music, as figures that can be compared between human and machine.

`FIGURES` and `DIVERSITY` define every figure with its unit, bounds and source. Onsets are laid on
the grid of sixteenths, each on the nearest one, so that playing a little early or late, or
swinging, changes no figure by much; a bar has 16 of these steps.

Pitch, rhythm, melody and form are those of the pitched parts, so that music with drums compares
with music without; drums have figures of their own. A piece is the bars from the first in which
a pitched note begins to the last.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise, permutations

import numpy as np
import symusic

from lofi.music._midi import TICKS_PER_BEAT
from lofi.music._recognise import Notes, notes_by_part

STEPS_PER_BEAT = 4
STEPS_PER_BAR = 4 * STEPS_PER_BEAT
TICKS_PER_STEP = TICKS_PER_BEAT // STEPS_PER_BEAT
# Comparing every bar with every other takes memory by the square: 2,048 bars take 70 MB.
MAX_BARS = 2048


@dataclass(frozen=True, slots=True)
class Figure:
    """What a figure means. `low` and `high` bound every value it can take."""

    kind: str
    """`pitch`, `rhythm`, `drums`, `melody`, `form` or `diversity`."""
    unit: str
    meaning: str
    source: str
    low: float = 0.0
    high: float = 1.0


_WU = "Wu and Yang, The Jazz Transformer on the Front Line, ISMIR 2020"
_MUSPY = "Dong et al., MusPy, ISMIR 2020"
_MOGREN = "Mogren, C-RNN-GAN, 2016"
_YANG = "Yang and Lerch, On the evaluation of generative models in music, 2020"
_FOOTE = "Foote, Visualizing music and audio using self-similarity, 1999"
_VON_HIPPEL = "von Hippel and Huron, Why do skips precede reversals?, Music Perception 2000"
_CHORDS = "Yeh et al., Automatic melody harmonization with triad chords, JNMR 2021"
_LOUBOUTIN = "Louboutin and Meredith, General-purpose compression for music analysis, JNMR 2016"
_OURS = "this module"
_INF = math.inf

_TABLE: dict[str, tuple[tuple[str, str, str, str, float, float], ...]] = {
    "pitch": (
        ("pitch_class_entropy", "bits",
         "entropy of the pitch classes of all notes",
         _WU, 0, math.log2(12)),
        ("pitch_class_entropy_1_bar", "bits",
         "the same within one bar, mean of the bars with notes",
         _WU, 0, math.log2(12)),
        ("pitch_class_entropy_4_bars", "bits",
         "the same within four bars, mean of every four in a row with notes",
         _WU, 0, math.log2(12)),
        ("scale_consistency", "share",
         ("notes in the major scale (or its relative minor) that holds most of "
          "them"),
         _MOGREN, 0, 1),
        ("pitch_range", "semitones",
         "from the lowest note to the highest",
         _YANG, 0, 127),
        ("polyphony", "notes",
         "sounding at once, mean of the time in which any sounds",
         _MUSPY, 1, _INF),
        ("semitone_clash_share", "share",
         ("steps with two parts or more in which one sounds a minor second or ninth "
          "above another"),
         _OURS, 0, 1),
    ),
    "rhythm": (
        ("notes_per_beat", "notes per beat",
         "beginning, over all beats of the piece",
         _YANG, 0, _INF),
        ("onset_position_entropy", "bits",
         "entropy of the steps of the bar on which notes begin",
         _OURS, 0, 4),
        ("groove_consistency_next_bar", "share",
         "steps on which a bar and the next agree whether a note begins",
         _MUSPY, 0, 1),
        ("groove_consistency_all_bars", "share",
         "the same over all pairs of bars",
         _WU, 0, 1),
        ("off_beat_share", "share",
         "steps with onsets that are not on a beat",
         _OURS, 0, 1),
        ("inter_onset_entropy", "bits",
         "entropy of the steps between onsets, a bar or more as one",
         _YANG, 0, 4),
        ("empty_beat_share", "share",
         ("beats without sound of any part, from the first beat with one to the "
          "last"),
         _MUSPY, 0, 1),
        ("longest_silence", "beats",
         "without sound of any part, between two notes",
         _OURS, 0, _INF),
        ("velocity_spread", "MIDI velocity",
         "standard deviation",
         _OURS, 0, 63.5),
    ),
    "drums": (
        ("drum_hits_per_beat", "hits per beat",
         "over the bars with drums",
         _YANG, 0, _INF),
        ("drum_backbeat_share", "share",
         ("second and fourth beats, of bars with drums, on which a snare, rim or "
          "clap is struck and no ghost"),
         _OURS, 0, 1),
        ("drum_ghost_share", "share",
         ("strokes of snare, rim and clap at most half as fast as the loud ones "
          "(their 90th percentile)"),
         _OURS, 0, 1),
        ("drum_kit_size", "pitches",
         "different ones that are struck",
         _YANG, 1, 128),
        ("drum_bar_similarity", "cosine",
         "of the hits of a bar and the next, mean",
         _FOOTE, 0, 1),
        ("drum_velocity_spread", "MIDI velocity",
         "standard deviation",
         _OURS, 0, 63.5),
    ),
    "melody": (
        ("melody_step_share", "share",
         "intervals of one or two semitones",
         _VON_HIPPEL, 0, 1),
        ("melody_leap_share", "share",
         "intervals of more than seven semitones",
         _VON_HIPPEL, 0, 1),
        ("melody_repeat_share", "share",
         "intervals of none: the note again",
         _VON_HIPPEL, 0, 1),
        ("melody_interval", "semitones",
         "mean size of an interval",
         _YANG, 0, 127),
        ("melody_range", "semitones",
         "from the lowest note to the highest",
         _YANG, 0, 127),
        ("melody_rest_share", "share",
         "steps without melody, from its first note to its last",
         _OURS, 0, 1),
        ("melody_chord_tone_share", "share",
         ("notes of a pitch class that the accompaniment sounds within the note's "
          "first beat"),
         _CHORDS, 0, 1),
        ("melody_semitone_clash_share", "share",
         "notes that are no such chord tone and a semitone from one",
         _CHORDS, 0, 1),
    ),
    "form": (
        ("unique_bar_share", "share",
         "different bars among those with notes",
         _OURS, 0, 1),
        ("bar_similarity_lag_1", "cosine",
         "of each bar and the next, mean",
         _FOOTE, 0, 1),
        ("bar_similarity_lag_2", "cosine",
         "of each bar and the second after",
         _FOOTE, 0, 1),
        ("bar_similarity_lag_4", "cosine",
         "of each bar and the fourth after",
         _FOOTE, 0, 1),
        ("bar_similarity_lag_8", "cosine",
         "of each bar and the eighth after",
         _FOOTE, 0, 1),
        ("repetition_4_bars", "cosine",
         ("of every four bars in a row and those anywhere else in the piece that are "
          "most like them"),
         _FOOTE, 0, 1),
        ("repetition_8_bars", "cosine",
         "the same for eight bars",
         _FOOTE, 0, 1),
        ("compressed_size", "bits per note",
         "of the notes' intervals in pitch and time, deflated",
         _LOUBOUTIN, 0, 20),
    ),
    "diversity": (
        ("corpus_unique_bar_share", "share",
         "different bars, transposition aside, among all bars of all pieces",
         _OURS, 0, 1),
        ("shared_bar_share", "share",
         "different bars of a piece that, transposition aside, stand in another too",
         _OURS, 0, 1),
        ("piece_similarity_mean", "Bhattacharyya coefficient",
         ("of the three-note shapes (steps in pitch and time) of two pieces, mean of "
          "all pairs"),
         _OURS, 0, 1),
        ("piece_similarity_p95", "Bhattacharyya coefficient",
         "the same, 95th percentile",
         _OURS, 0, 1),
        ("shared_melody_window_share", "share",
         ("eight bars of a lead, transposition aside, that stand in another piece "
          "too"),
         _OURS, 0, 1),
    ),
}  # fmt: skip

_ALL = {
    name: Figure(kind, unit, meaning, source, float(low), float(high))
    for kind, rows in _TABLE.items()
    for name, unit, meaning, source, low, high in rows
}

FIGURES: dict[str, Figure] = {n: f for n, f in _ALL.items() if f.kind != "diversity"}
"""The figures of one score, see `statistics`."""
DIVERSITY: dict[str, Figure] = {n: f for n, f in _ALL.items() if f.kind == "diversity"}
"""The figures of many scores together, see `diversity`."""

# Side stick, the two snares and the hand clap of General MIDI: what a backbeat is struck on.
_BACKBEAT_DRUMS = (37, 38, 39, 40)
# Diatonic sets by root; a natural minor scale is the set of its relative major.
_SCALES = np.array([np.roll([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1], root) for root in range(12)])
_CHORD_PARTS = ("keys", "guitar", "pad")
_MIN_MELODY = 8
"""Notes from which a line is called a melody."""
_MIN_DEFLATED = 16
"""Notes from which a compressed size says something of the music."""
# A held note can hide at most this many notes below it; bounds the work on hostile scores.
_HIDING_REACH = 16


def statistics(score: symusic.Score) -> dict[str, float]:
    """Every figure of `FIGURES` of a canonical score, NaN where one does not apply.

    A score is canonical as `read_midi` and `compose` give it: 480 ticks per quarter, 4/4, tracks
    named by part. The melody is the skyline of the part `lead`, or where that has fewer than eight
    notes, of the first of keys, guitar and pad that has more.

    Raises ValueError for another time division, and for a score of more than 2,048 bars.
    """
    parts = _checked(score)
    found = dict.fromkeys(FIGURES, math.nan)
    pitched = Notes.joined([n for name, n in parts.items() if name != "drums"])
    drums = parts.get("drums")
    found |= _silence(Notes.joined(list(parts.values())))
    if len(pitched):
        found |= _pitch(pitched)
        played = [n for name, n in parts.items() if name != "drums" and len(n)]
        found["semitone_clash_share"] = clash_share(played)
        found |= _rhythm(pitched)
        found |= _form(pitched)
    if drums is not None and len(drums):
        found |= _drums(drums)
    melody, accompaniment = _split(parts)
    if len(melody) >= _MIN_MELODY:
        found |= _melody(melody, accompaniment)
    return found


def _checked(score: symusic.Score) -> dict[str, Notes]:
    if score.ticks_per_quarter != TICKS_PER_BEAT:
        raise ValueError(
            f"{score.ticks_per_quarter} ticks per quarter: a canonical score has {TICKS_PER_BEAT}"
        )
    parts = notes_by_part(score)
    for notes in parts.values():
        if len(notes) and (bars := int(_bar(notes)[-1]) + 1) > MAX_BARS:
            raise ValueError(f"{bars:,} bars: at most {MAX_BARS:,} are measured")
    return parts


def _step(ticks: np.ndarray) -> np.ndarray:
    """The nearest sixteenth, counted from the start of the score."""
    return (ticks + TICKS_PER_STEP // 2) // TICKS_PER_STEP


def _bar(notes: Notes) -> np.ndarray:
    return _step(notes.onset) // STEPS_PER_BAR


def _entropy(counts: np.ndarray) -> np.ndarray:
    """Bits, along the last axis; rows without a count give 0."""
    share = counts / np.maximum(counts.sum(-1, keepdims=True), 1)
    # Adding 1 where the share is 0 makes its logarithm 0 without a warning.
    return -(share * np.log2(share + (share == 0))).sum(-1) + 0.0


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _pitch(notes: Notes) -> dict[str, float]:
    bar = _bar(notes)
    classes = np.zeros((int(bar[-1] - bar[0]) + 1, 12))
    np.add.at(classes, (bar - bar[0], notes.pitch % 12), 1)
    total = classes.sum(0)
    ran = np.vstack([np.zeros((1, 12)), classes.cumsum(0)])
    four = ran[4:] - ran[:-4]
    return {
        "pitch_class_entropy": float(_entropy(total)),
        "pitch_class_entropy_1_bar": _mean(_entropy(classes[classes.any(1)])),
        "pitch_class_entropy_4_bars": _mean(_entropy(four[four.any(1)])),
        "scale_consistency": float((_SCALES @ total).max() / total.sum()),
        "pitch_range": float(np.ptp(notes.pitch)),
        "polyphony": _polyphony(notes),
    }


def _polyphony(notes: Notes) -> float:
    times = np.concatenate([notes.onset, notes.onset + notes.length])
    change = np.repeat([1, -1], len(notes))
    order = np.argsort(times, kind="stable")
    sounding = change[order].cumsum()[:-1]
    ticks = np.diff(times[order])
    any_sounds = ticks[sounding > 0].sum()
    return float((sounding * ticks).sum() / any_sounds) if any_sounds else math.nan


def clash_share(parts: list[Notes]) -> float:
    """Share of the steps with two parts or more in which they sound a semitone or 13 apart.

    A rub inside one part is its voicing. NaN where no two sound together.
    """
    if len(parts) < 2:
        return math.nan
    spans = [(_step(n.onset), _step(n.onset + n.length)) for n in parts]
    # From the first step of all: a score may begin late, and silence takes memory.
    first = min(int(begin[0]) for begin, _ in spans)
    steps = max(int(np.maximum(end, begin + 1).max()) for begin, end in spans) - first
    sounding = []
    for notes, (begin, end) in zip(parts, spans, strict=True):
        change = np.zeros((steps + 1, 128), np.int16)
        np.add.at(change, (begin - first, notes.pitch), 1)
        np.add.at(change, (np.maximum(end, begin + 1) - first, notes.pitch), -1)
        sounding.append(change.cumsum(0, dtype=np.int16)[:-1] > 0)
    together = sum(grid.any(1).astype(np.int8) for grid in sounding) >= 2
    rubs = np.zeros(steps, bool)
    for lower, upper in permutations(sounding, 2):
        for semitones in (1, 13):
            rubs |= (lower[:, :-semitones] & upper[:, semitones:]).any(1)
    return _mean(rubs[together])


def _grid(notes: Notes) -> np.ndarray:
    """Whether a note begins: bool (bars, 16), from the first bar with one to the last."""
    step = _step(notes.onset)
    first = step[0] // STEPS_PER_BAR
    grid = np.zeros((int(step[-1] // STEPS_PER_BAR - first) + 1, STEPS_PER_BAR), bool)
    grid.reshape(-1)[step - first * STEPS_PER_BAR] = True
    return grid


def _rhythm(notes: Notes) -> dict[str, float]:
    grid = _grid(notes)
    bars = len(grid)
    by_position = grid.sum(0)
    gaps = np.diff(np.flatnonzero(grid))
    # Of all pairs of bars, those that differ on a step are those of one bar with an onset there
    # and one without.
    differing = (by_position * (bars - by_position)).sum()
    pairs = bars * (bars - 1) / 2
    return {
        "notes_per_beat": len(notes) / (4 * bars),
        "onset_position_entropy": float(_entropy(by_position)),
        "groove_consistency_next_bar": _mean((grid[1:] == grid[:-1]).reshape(-1)),
        "groove_consistency_all_bars": (
            float(1 - differing / (pairs * STEPS_PER_BAR)) if pairs else math.nan
        ),
        "off_beat_share": off_beat_share(notes),
        "inter_onset_entropy": (
            float(_entropy(np.bincount(np.minimum(gaps, STEPS_PER_BAR)))) if len(gaps) else math.nan
        ),
        "velocity_spread": float(notes.velocity.std()),
    }


def _silence(notes: Notes) -> dict[str, float]:
    """How little sounds, of all parts together."""
    if not len(notes):
        return {}
    end = notes.onset + np.maximum(notes.length, 1)
    reached = np.maximum.accumulate(end)
    silence = np.maximum(notes.onset[1:] - reached[:-1], 0)
    first = notes.onset // TICKS_PER_BEAT
    last = (end - 1) // TICKS_PER_BEAT
    change = np.zeros(int(last.max()) + 2, np.int64)
    np.add.at(change, first, 1)
    np.add.at(change, last + 1, -1)
    return {
        "empty_beat_share": float((change.cumsum()[first[0] : -1] == 0).mean()),
        "longest_silence": float(silence.max(initial=0) / TICKS_PER_BEAT),
    }


def off_beat_share(notes: Notes) -> float:
    """The share of the onsets, one for each sixteenth, off the beat; NaN for none."""
    places = np.unique(_step(notes.onset))
    return _mean(places % STEPS_PER_BEAT != 0)


def ghost_share(drums: Notes) -> float:
    """The share of strokes on the snare half as loud as the loud ones or softer; NaN for none."""
    return _mean(_ghosts(drums.velocity[np.isin(drums.pitch, _BACKBEAT_DRUMS)]))


def _ghosts(strokes: np.ndarray) -> np.ndarray:
    return strokes <= np.percentile(strokes, 90) / 2 if len(strokes) else np.zeros(0, bool)


def _drums(notes: Notes) -> dict[str, float]:
    step, bar = _step(notes.onset), _bar(notes)
    played = len(np.unique(bar))
    back = np.isin(notes.pitch, _BACKBEAT_DRUMS)
    ghost = _ghosts(notes.velocity[back])
    struck = np.unique(step[back][~ghost])
    beats = np.isin(struck % STEPS_PER_BAR, (STEPS_PER_BEAT, 3 * STEPS_PER_BEAT)).sum()
    kit, voice = np.unique(notes.pitch, return_inverse=True)
    hits = np.zeros((int(bar[-1] - bar[0]) + 1, STEPS_PER_BAR, len(kit)), np.float32)
    hits[bar - bar[0], step % STEPS_PER_BAR, voice] = 1
    flat = hits.reshape(len(hits), -1)
    # Only neighbours matter here, so no matrix of all pairs is made.
    size = np.sqrt(flat.sum(1))
    both = (size[1:] > 0) & (size[:-1] > 0)
    shared = (flat[1:] * flat[:-1]).sum(1)[both]
    return {
        "drum_hits_per_beat": len(notes) / (4 * played),
        "drum_backbeat_share": float(beats / (2 * played)),
        "drum_ghost_share": ghost_share(notes),
        "drum_kit_size": float(len(kit)),
        "drum_bar_similarity": min(1.0, _mean(shared / (size[1:] * size[:-1])[both])),
        "drum_velocity_spread": float(notes.velocity.std()),
    }


def _split(parts: dict[str, Notes]) -> tuple[Notes, Notes]:
    """The melody, and the pitched notes that accompany it."""
    pitched = {name: n for name, n in parts.items() if name != "drums"}
    enough = [n for n in ("lead", *_CHORD_PARTS) if len(pitched.get(n, ())) >= _MIN_MELODY]
    if not enough:
        return Notes.none(), Notes.none()
    singer = pitched.pop(enough[0])
    line = _skyline(singer)
    rest = list(pitched.values())
    if enough[0] != "lead":
        rest.append(singer.only(np.setdiff1d(np.arange(len(singer)), line)))
    return singer.only(line), Notes.joined(rest)


def _skyline(notes: Notes) -> np.ndarray:
    """Which notes are the highest of their step, but for those below a note that outlasts them.

    After Uitdenbogerd and Zobel, "Melodic matching techniques for large music databases" (1999).
    The exception leaves out broken chords under a held note.
    """
    step = _step(notes.onset)
    order = np.lexsort((-notes.pitch, step))
    order = order[np.diff(step[order], prepend=-1) > 0]
    pitch, end = notes.pitch[order], (notes.onset + notes.length)[order]
    hidden = np.zeros(len(order), bool)
    for lag in range(1, min(_HIDING_REACH, len(order) - 1) + 1):
        hidden[lag:] |= (pitch[:-lag] > pitch[lag:]) & (end[:-lag] > end[lag:])
    return order[~hidden]


def _melody(line: Notes, accompaniment: Notes) -> dict[str, float]:
    step = _step(line.onset)
    stop = np.maximum(_step(line.onset + line.length), step + 1)
    near = (
        np.diff(step) <= STEPS_PER_BAR
    )  # across a longer rest a phrase ends: no interval is heard
    interval = np.abs(np.diff(line.pitch))[near]
    sung = np.minimum(stop[:-1], step[1:]) - step[:-1]
    span = step[-1] - step[0]
    tone, clash = _against(line, step, stop, accompaniment)
    if len(tone) < _MIN_MELODY:  # a line on its own has no harmony to fit
        tone = clash = np.zeros(0)
    return {
        "melody_step_share": _mean((interval >= 1) & (interval <= 2)),
        "melody_leap_share": _mean(interval > 7),
        "melody_repeat_share": _mean(interval == 0),
        "melody_interval": _mean(interval),
        "melody_range": float(np.ptp(line.pitch)),
        "melody_rest_share": float(1 - sung.sum() / span) if span else math.nan,
        "melody_chord_tone_share": _mean(tone),
        "melody_semitone_clash_share": _mean(clash),
    }


def _against(
    line: Notes, step: np.ndarray, stop: np.ndarray, accompaniment: Notes
) -> tuple[np.ndarray, np.ndarray]:
    """Whether each note is a chord tone, and whether it clashes; notes on their own left out."""
    steps = int(stop[-1]) + STEPS_PER_BEAT
    begin = _step(accompaniment.onset)
    end = np.maximum(_step(accompaniment.onset + accompaniment.length), begin + 1)
    change = np.zeros((steps + 1, 12), np.int64)
    pitch_class = accompaniment.pitch % 12
    np.add.at(change, (np.minimum(begin, steps), pitch_class), 1)
    np.add.at(change, (np.minimum(end, steps), pitch_class), -1)
    sounds = change.cumsum(0) > 0
    ran = np.vstack([np.zeros((1, 12), np.int64), sounds.cumsum(0)])
    until = np.minimum(stop, step + STEPS_PER_BEAT)
    heard = ran[until] > ran[step]
    accompanied = heard.any(1)
    heard, sung = heard[accompanied], line.pitch[accompanied] % 12
    rows = np.arange(len(sung))
    tone = heard[rows, sung]
    beside = heard[rows, (sung + 1) % 12] | heard[rows, (sung - 1) % 12]
    return tone, beside & ~tone


def _form(notes: Notes) -> dict[str, float]:
    bar, step = _bar(notes), _step(notes.onset) % STEPS_PER_BAR
    bars = int(bar[-1] - bar[0]) + 1
    content = np.zeros((bars, STEPS_PER_BAR, 12), np.float32)
    content[bar - bar[0], step, notes.pitch % 12] = 1
    flat = content.reshape(bars, -1)
    length = np.sqrt(flat.sum(1))
    filled = length > 0
    unit = flat / np.maximum(length, 1)[:, None]
    similar = np.minimum(unit @ unit.T, 1)
    different = {row.tobytes() for row in np.packbits(flat[filled].astype(bool), axis=1)}
    found = {
        "unique_bar_share": len(different) / int(filled.sum()),
        "compressed_size": _compressed(notes),
    }
    for lag in (1, 2, 4, 8):
        both = filled[lag:] & filled[:-lag]
        found[f"bar_similarity_lag_{lag}"] = _mean(np.diagonal(similar, lag)[both])
    for span in (4, 8):
        found[f"repetition_{span}_bars"] = _repetition(similar, span)
    return found


def _repetition(similar: np.ndarray, span: int) -> float:
    """How like its nearest other the mean stretch of `span` bars is; stretches do not overlap."""
    stretches = len(similar) - span + 1
    if stretches <= span:
        return math.nan
    along = reduce(np.add, (similar[k : k + stretches, k : k + stretches] for k in range(span)))
    place = np.arange(stretches)
    along[np.abs(place[:, None] - place) < span] = -1
    nearest = along.max(1)
    # In a piece shorter than three spans the stretches in the middle have no other to be like.
    return min(1.0, _mean(nearest[nearest >= 0]) / span)


def _compressed(notes: Notes) -> float:
    if len(notes) < _MIN_DEFLATED:
        return math.nan
    gap = np.minimum(np.diff(_step(notes.onset), prepend=_step(notes.onset[:1])), 255)
    interval = np.diff(notes.pitch, prepend=notes.pitch[:1]) % 256
    raw = np.stack([gap, interval], axis=1).astype(np.uint8).tobytes()
    press = zlib.compressobj(9, wbits=-15)
    return 8 * len(press.compress(raw) + press.flush()) / len(notes)


_WINDOW_BARS = 8
_MOST_PAIRS = 100_000
_PAIR_SEED = 20_200_811
_PAIRS_AT_ONCE = 4096
# From a note to the next: up to a bar in steps, and an interval of -127 to 127 semitones.
_MOVES = (STEPS_PER_BAR + 1) * 256


def diversity(scores: Iterable[symusic.Score]) -> dict[str, float]:
    """Every figure of `DIVERSITY` of canonical scores, NaN where one does not apply.

    Bars and melodies are compared with transposition aside. Of more than 100,000 pairs of pieces
    that many are drawn, always the same ones. Scores are taken one by one and only short hashes
    are kept of them: about 10 kB a piece. Raises ValueError as `statistics` does.
    """
    bar_count = 0
    bars: Counter[bytes] = Counter()
    windows: Counter[bytes] = Counter()
    shapes: list[tuple[np.ndarray, np.ndarray]] = []
    for score in scores:
        parts = _checked(score)
        pitched = Notes.joined([n for name, n in parts.items() if name != "drums"])
        played = [_digest(content) for content in _bar_contents(pitched)]
        bar_count += len(played)
        # A piece counts once for a bar or a window, however often it repeats it.
        bars.update(set(played))
        windows.update({_digest(w) for w in _windows(parts.get("lead", Notes.none()))})
        if len(pitched) >= 3:
            shapes.append(_shapes(pitched))
    likeness = _likeness(shapes)
    return {
        "corpus_unique_bar_share": len(bars) / bar_count if bar_count else math.nan,
        "shared_bar_share": _elsewhere(bars),
        "piece_similarity_mean": _mean(likeness),
        "piece_similarity_p95": float(np.percentile(likeness, 95)) if len(likeness) else math.nan,
        "shared_melody_window_share": _elsewhere(windows),
    }


def _elsewhere(pieces_with: Counter[bytes]) -> float:
    """Of what each piece holds, the share that another piece holds too."""
    held = pieces_with.total()
    return sum(n for n in pieces_with.values() if n > 1) / held if held else math.nan


def _digest(array: np.ndarray) -> bytes:
    return hashlib.blake2b(array.tobytes(), digest_size=8).digest()


def _bar_contents(notes: Notes) -> Iterator[np.ndarray]:
    """Of each bar with notes: their steps, and their pitches above the lowest of them."""
    bar, step = _bar(notes), _step(notes.onset) % STEPS_PER_BAR
    starts = np.flatnonzero(np.diff(bar, prepend=-1))
    for a, b in pairwise([*starts.tolist(), len(bar)]):
        # Once each and in order: notes of one step need not come by pitch.
        yield np.unique(step[a:b] * 128 + notes.pitch[a:b] - notes.pitch[a:b].min())


def _windows(lead: Notes) -> Iterator[np.ndarray]:
    """Of every eight bars in a row of the lead: the steps and intervals of its skyline."""
    line = lead.only(_skyline(lead))
    if not len(line):
        return
    step, bar = _step(line.onset), _bar(line)
    for first in range(int(bar[0]), int(bar[-1]) - _WINDOW_BARS + 2):
        a, b = np.searchsorted(bar, [first, first + _WINDOW_BARS])
        if b - a >= _MIN_MELODY:
            yield np.stack([step[a:b] - first * STEPS_PER_BAR, line.pitch[a:b] - line.pitch[a]])


def _shapes(notes: Notes) -> tuple[np.ndarray, np.ndarray]:
    """The shapes of every three notes in a row, as codes, and the root of each one's share."""
    gap = np.minimum(np.diff(_step(notes.onset)), STEPS_PER_BAR)
    move = gap * 256 + np.diff(notes.pitch) + 128
    codes, counts = np.unique(move[:-1] * _MOVES + move[1:], return_counts=True)
    return codes, np.sqrt(counts / counts.sum())


def _likeness(shapes: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The Bhattacharyya coefficient of pairs of pieces."""
    from scipy.sparse import csr_matrix

    pieces = len(shapes)
    if pieces < 2:
        return np.zeros(0)
    if pieces * (pieces - 1) // 2 <= _MOST_PAIRS:
        one, other = np.triu_indices(pieces, 1)
    else:
        chance = np.random.default_rng(_PAIR_SEED)
        one = chance.integers(pieces, size=_MOST_PAIRS)
        other = chance.integers(pieces - 1, size=_MOST_PAIRS)
        other += other >= one
    # Of millions of shapes a piece has hundreds: only those are held.
    rows = csr_matrix(
        (
            np.concatenate([roots for _, roots in shapes]),
            np.concatenate([codes for codes, _ in shapes]),
            np.cumsum([0, *(len(codes) for codes, _ in shapes)]),
        ),
        shape=(pieces, _MOVES**2),
    )
    found = [
        np.asarray(
            rows[one[k : k + _PAIRS_AT_ONCE]].multiply(rows[other[k : k + _PAIRS_AT_ONCE]]).sum(1)
        )
        for k in range(0, len(one), _PAIRS_AT_ONCE)
    ]
    return np.minimum(np.concatenate(found).reshape(-1), 1)
