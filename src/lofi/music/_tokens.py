"""REMI tokens (MidiTok) with control tokens: what the model reads and writes.

A sequence is one stretch of music of up to eight bars:

    BOS  MOOD KEY BPM SWING SECTION BARS  DRUMS BASS KEYS GUITAR LEAD PAD
    Bar CHORD [CHORD]  Position Program Pitch Velocity Duration ...  Bar ...  EOS

Every control is measured from the music itself when training, and some are dropped at random, so
that the model learns to follow whichever are given. REMI: Huang and Yang, "Pop Music Transformer",
ACM Multimedia 2020. A Program token is written where the player changes, and at the first note of
each bar, so that every bar can be read alone.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import symusic

from lofi.brief import ALL_KEYS, BPM_RANGE, BUNDLES, PARTS, Key
from lofi.music._analysis import Measured
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._recognise import find_chords, find_sections, notes_by_part
from lofi.music._theory import QUALITIES, Chord

if TYPE_CHECKING:
    from miditok import REMI

STEPS_PER_BEAT = 12
STEPS_PER_BAR = 4 * STEPS_PER_BEAT
VELOCITY_STEP = 16  # eight velocities: a token stands for half of this less or more
SEGMENT_BARS = 8
BPM_STEP = 4
SECTION_NAMES = ("intro", "A", "A'", "B", "break", "outro")

# Notes per bar at which a part counts as sparse (below the first), normal, or busy.
DENSITY_EDGES: dict[str, tuple[float, float]] = {
    "drums": (7.0, 13.0),
    "bass": (2.5, 5.0),
    "keys": (5.0, 10.0),
    "guitar": (3.0, 6.0),
    "lead": (2.5, 5.0),
    "pad": (3.0, 6.0),
}
# Where the off-beat falls at most, for SWING 0, 1, 2: straight, light, heavy.
SWING_EDGES = (0.53, 0.61)


def _control_names() -> list[str]:
    names = [f"MOOD_{b}" for b in BUNDLES]
    names += [f"KEY_{k.tonic}-{k.mode}" for k in ALL_KEYS]
    names += [f"BPM_{b}" for b in range(int(BPM_RANGE[0]), int(BPM_RANGE[1]) + 1, BPM_STEP)]
    names += [f"SWING_{i}" for i in range(len(SWING_EDGES) + 1)]
    names += [f"SECTION_{s}" for s in SECTION_NAMES]
    names += [f"BARS_{n}" for n in range(1, SEGMENT_BARS + 1)]
    names += [f"{part.upper()}_{level}" for part in PARTS for level in range(4)]
    return names


def _chord_names() -> list[str]:
    return ["CHORD_none"] + [f"CHORD_{r}-{q}" for q in QUALITIES for r in range(12)]


@lru_cache(maxsize=1)
def tokenizer() -> REMI:
    """The MidiTok tokenizer; one object for the whole process."""
    # MidiTok imports torch for its data loaders, which are not used here: generating must not
    # pay for torch where it happens to be installed. MidiTok copes with the module's absence.
    blocked = "miditok.pytorch_data" not in sys.modules
    if blocked:
        sys.modules["miditok.pytorch_data"] = None  # type: ignore[assignment]
    try:
        from miditok import REMI, TokenizerConfig
    finally:
        if blocked:
            del sys.modules["miditok.pytorch_data"]
    pitched = [p.program for p in PARTS.values() if p.program >= 0]
    config = TokenizerConfig(
        pitch_range=(21, 109),
        beat_res={(0, 4): STEPS_PER_BEAT, (4, 8): 4},
        num_velocities=128 // VELOCITY_STEP,
        special_tokens=["PAD", "BOS", "EOS", *_control_names(), *_chord_names()],
        encode_ids_split="no",
        use_programs=True,
        programs=[-1, *pitched],
        one_token_stream_for_programs=True,
        program_changes=True,
        use_pitchdrum_tokens=True,
        drums_pitch_range=(PARTS["drums"].low, PARTS["drums"].high + 1),
        use_note_duration_programs=pitched,
        use_time_signatures=False,  # 4/4 throughout; tempo, chords and rests have controls of ours
        use_tempos=False,
        use_chords=False,
        use_rests=False,
        remove_duplicated_notes=True,
    )
    return REMI(config)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token names and ids, and the ids of each kind."""

    names: tuple[str, ...]
    ids: dict[str, int]
    pad: int
    bos: int
    eos: int
    bar: int

    @property
    def sha256(self) -> str:
        """The hash of all names in order: a model and its tokens belong together."""
        return hashlib.sha256("\n".join(self.names).encode()).hexdigest()

    def kind(self, prefix: str) -> np.ndarray:
        """The ids of the tokens `prefix_...`, in vocabulary order (int64)."""
        found = [i for i, n in enumerate(self.names) if n.split("_", 1)[0] == prefix]
        return np.array(found, np.int64)

    def __len__(self) -> int:
        return len(self.names)


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    """The vocabulary that `tokenizer` defines."""
    vocab = tokenizer().vocab
    assert isinstance(vocab, dict)
    names = tuple(sorted(vocab, key=lambda n: vocab[n]))
    ids = {n: i for i, n in enumerate(names)}
    return Vocabulary(
        names, ids, ids["PAD_None"], ids["BOS_None"], ids["EOS_None"], ids["Bar_None"]
    )


def bpm_control(bpm: float) -> str:
    """The nearest BPM token's name; tempos beyond the table take its ends."""
    low, high = int(BPM_RANGE[0]), int(BPM_RANGE[1])
    step = round((min(max(bpm, low), high) - low) / BPM_STEP)
    return f"BPM_{min(low + step * BPM_STEP, high - (high - low) % BPM_STEP)}"


def swing_control(swing: float) -> str:
    """The SWING token's name of an off-beat place of 0.5 to 0.667."""
    return f"SWING_{int(np.searchsorted(SWING_EDGES, swing))}"


def chord_control(chord: Chord | None) -> str:
    """The CHORD token's name."""
    return f"CHORD_{chord.root}-{chord.quality}" if chord else "CHORD_none"


def density_level(part: str, notes: int, bars: int) -> int:
    """0 absent, 1 sparse, 2 normal, 3 busy."""
    if notes == 0:
        return 0
    return 1 + int(np.searchsorted(DENSITY_EDGES[part], notes / bars, side="right"))


@dataclass(frozen=True, slots=True)
class Encoded:
    """A score as tokens: the ids of each bar (starting with Bar), and its control names per bar."""

    bars: list[list[int]]
    chords: list[tuple[str, str]]
    sections: list[str | None]
    levels: list[dict[str, int]]  # notes per part per bar


def encode(score: symusic.Score, chords: Sequence[Chord | None] | None = None) -> Encoded:
    """The canonical score as REMI, bar by bar, with chords, sections and note counts per bar.

    Sections are those that its markers label, or else those that are heard. `chords` are those of
    its half bars, if they are known.
    """
    vocab = vocabulary()
    stream = tokenizer().encode(_without_markers(score), no_preprocess_score=False)
    assert not isinstance(stream, list)
    ids = [int(i) for i in stream.ids]  # type: ignore[arg-type]
    bars = _split_bars(ids)
    parts = notes_by_part(score)
    found = list(chords if chords is not None else find_chords(parts, 2 * len(bars)))
    found += [None] * (2 * len(bars) - len(found))
    named = [
        (chord_control(found[2 * b]), chord_control(found[2 * b + 1])) for b in range(len(bars))
    ]
    sections: list[str | None] = [None] * len(bars)
    labels = [m for m in score.markers if m.text in SECTION_NAMES]
    for marker in sorted(labels, key=lambda m: m.time):
        first = round(marker.time / TICKS_PER_BAR)
        sections[first:] = [marker.text] * len(sections[first:])
    if not labels:
        sections[:] = find_sections(parts, len(bars))
    levels: list[dict[str, int]] = [{} for _ in bars]
    for name, notes in parts.items():
        per_bar = np.bincount(_grid(notes.onset) // STEPS_PER_BAR, minlength=len(bars))
        for b in np.flatnonzero(per_bar[: len(bars)]):
            levels[b][name] = int(per_bar[b])
    assert vocab.bar == ids[0]
    return Encoded(bars, named, sections, levels)


def _grid(ticks: np.ndarray) -> np.ndarray:
    return np.round(ticks * STEPS_PER_BEAT / TICKS_PER_BEAT).astype(np.int64)


def _without_markers(score: symusic.Score) -> symusic.Score:
    out = score.copy()
    out.markers.clear()
    return out


def _split_bars(ids: list[int]) -> list[list[int]]:
    """Cut at Bar tokens; put a Program token before the first note of each bar that lacks one."""
    vocab = vocabulary()
    position = set(vocab.kind("Position").tolist())
    program_ids = set(vocab.kind("Program").tolist())
    bars: list[list[int]] = []
    program = -1
    started = True
    for token in ids:
        if token == vocab.bar:
            bars.append([token])
            started = False
            continue
        if token in program_ids:
            program = token
            started = True
        elif token not in position and not started:
            bars[-1].append(program)
            started = True
        bars[-1].append(token)
    return bars


def header(
    *,
    bundle: str | None,
    key: Key | None,
    bpm: float | None,
    swing: float | None,
    section: str | None,
    bars: int,
    levels: dict[str, int],
) -> list[int]:
    """The control ids of a segment, in their fixed order; a None is left out."""
    names = [
        f"MOOD_{bundle}" if bundle else None,
        f"KEY_{key.tonic}-{key.mode}" if key else None,
        bpm_control(bpm) if bpm else None,
        swing_control(swing) if swing else None,
        f"SECTION_{section}" if section else None,
        f"BARS_{bars}",
        *(f"{part.upper()}_{levels.get(part, 0)}" for part in PARTS),
    ]
    ids = vocabulary().ids
    return [ids[n] for n in names if n]


def chord_ids(first: str, second: str) -> list[int]:
    """The one or two chord ids that open a bar: the second only where it differs."""
    ids = vocabulary().ids
    return [ids[first]] if second == first else [ids[first], ids[second]]


def segments(encoded: Encoded, measured: Measured) -> list[list[int]]:
    """Training sequences of a score: stretches of up to eight bars that stay inside a section."""
    vocab = vocabulary()
    key = Key.parse(measured.key) if measured.key else None
    result = []
    start = 0
    while start < len(encoded.bars):
        stop = start + 1
        limit = min(start + SEGMENT_BARS, len(encoded.bars))
        while stop < limit and encoded.sections[stop] == encoded.sections[start]:
            stop += 1
        bars = stop - start
        counts: dict[str, int] = {}
        for per_bar in encoded.levels[start:stop]:
            for name, notes in per_bar.items():
                counts[name] = counts.get(name, 0) + notes
        if counts:
            controls = header(
                bundle=measured.bundle,
                key=key,
                bpm=measured.bpm,
                swing=measured.swing,
                section=encoded.sections[start],
                bars=bars,
                levels={n: density_level(n, c, bars) for n, c in counts.items()},
            )
            ids = [vocab.bos, *controls]
            for b in range(start, stop):
                ids.append(vocab.bar)
                ids += chord_ids(*encoded.chords[b])
                ids += encoded.bars[b][1:]
            result.append([*ids, vocab.eos])
        start = stop
    return result


def decode_bars(ids: list[int]) -> list[list[int]]:
    """The REMI ids of each bar of a generated sequence, controls and chords taken out."""
    vocab = vocabulary()
    music = _music_ids()
    return _split_bars([i for i in ids if i in music or i == vocab.bar])


@lru_cache(maxsize=1)
def _music_ids() -> frozenset[int]:
    vocab = vocabulary()
    kinds = ("Position", "Program", "Pitch", "PitchDrum", "Velocity", "Duration")
    return frozenset(int(i) for k in kinds for i in vocab.kind(k))


def decode(bars: list[list[int]], bpm: float) -> symusic.Score:
    """The canonical score of REMI bars: 480 ticks per quarter, tracks named by part."""
    from lofi.music._midi import add_track

    vocab = vocabulary()
    flat = [i for bar in bars for i in (bar or [vocab.bar])]
    coarse = tokenizer().decode(flat)  # type: ignore[arg-type]
    scale = TICKS_PER_BEAT / coarse.ticks_per_quarter
    names = {p.program: n for n, p in PARTS.items() if n != "drums"}
    score = symusic.Score(TICKS_PER_BEAT)
    score.tempos.append(symusic.Tempo(0, bpm))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    tracks = {("drums" if t.is_drum else names[t.program]): t for t in coarse.tracks}
    for name in PARTS:
        if name in tracks and len(tracks[name].notes):
            raw = tracks[name].notes.numpy()
            order = np.lexsort((raw["pitch"], raw["time"]))
            onset = np.round(raw["time"][order] * scale)
            length = np.round(raw["duration"][order] * scale)
            add_track(score, name, onset, length, raw["pitch"][order], raw["velocity"][order])
    return score


def describe(ids: list[int]) -> str:
    """The token names of a sequence, for people."""
    names = vocabulary().names
    return " ".join(names[i] for i in ids)
