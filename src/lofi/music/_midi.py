"""MIDI in and out: read a file of any origin, bound it, and seat its tracks as the parts we know.

What comes out of `read_midi` is canonical: 480 ticks per quarter, 4/4, one tempo, at most one
track per part of `lofi.brief.PARTS`, every note inside its part's range, markers and the first key
signature kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import symusic

from lofi.brief import MOODS, PARTS, InputError, Key, Plan, part_of_program
from lofi.music._theory import Chord

TICKS_PER_BEAT = 480
TICKS_PER_BAR = 4 * TICKS_PER_BEAT

# What a track is called says who plays it where its program does not: in many files every track is
# program 0 or none is set. The first that fits counts.
_ROLE_NAMES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (part, re.compile(pattern, re.IGNORECASE))
    for part, pattern in (
        ("bass", r"\bbass\b"),
        ("pad", r"\b(pads?|strings?|choir)\b"),
        ("guitar", r"\b(guitars?|gtr)\b"),
        ("lead", r"\b(melody|melodie|lead|voca?ls?|voice|solo|theme)\b"),
        ("keys", r"\b(piano|keys|keyboard|rhodes|chords?|accomp\w*)\b"),
    )
)
_ONE_VOICE = 0.9  # share of a track's notes that must sound alone, and lie in the part's range

# Roland e-drum kits write hi-hat edge and tom rims outside General MIDI (10 % of Groove MIDI).
ROLAND_TO_GM = {22: 42, 26: 46, 58: 43}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a file may hold; checked before anything is expanded from it."""

    max_bytes: int = 2_000_000
    max_notes: int = 60_000
    max_bars: int = 1_200
    min_notes: int = 8
    min_bars: int = 2


class RejectedError(InputError):
    """A MIDI file that cannot be learned from; the message is the reason."""


def read_midi(path: Path, bounds: Bounds | None = None) -> tuple[symusic.Score, list[str]]:
    """The canonical score of a MIDI file, and what was repaired on the way.

    Raises RejectedError with a reason for a file that is no MIDI, empty, absurd, or not in 4/4.
    """
    bounds = bounds or Bounds()
    try:
        size = path.stat().st_size
        if size > bounds.max_bytes:
            raise RejectedError(f"{size:,} bytes: larger than {bounds.max_bytes:,}")
        data = path.read_bytes()
    except OSError as error:
        raise RejectedError(f"cannot be read: {error.strerror or error}") from error
    repairs: list[str] = []
    if data[:4] == b"RIFF" and data[8:12] == b"RMID":
        data = _unwrapped(data)
        repairs.append("taken out of its RIFF wrapping")
    if not data.startswith(b"MThd"):
        raise RejectedError("not a MIDI file" if data else "empty file")
    if len(data) < 14 or data[12:14] == b"\0\0":
        raise RejectedError("no usable time division in the header")
    if data[12] & 0x80:
        raise RejectedError("time in SMPTE frames: it has no beats to learn from")
    try:
        raw = symusic.Score.from_midi(data)
    except Exception as error:  # the parser raises several kinds; all mean the same to a user
        raise RejectedError(f"damaged MIDI: {_printable(str(error))}") from error
    score, more = canonical(raw, bounds)
    return score, repairs + more


def _unwrapped(data: bytes) -> bytes:
    """The MIDI file inside a RIFF file of the form RMID (.rmi); empty if there is none."""
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == b"data":
            return data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    return b""


def _printable(text: str) -> str:
    """The first line of a parser's message, which may quote what the file holds."""
    return "".join(c for c in text.split("\n", 1)[0] if c.isprintable())[:120]


def canonical(raw: symusic.Score, bounds: Bounds) -> tuple[symusic.Score, list[str]]:
    """Bound a parsed score and seat its tracks as parts. Raises RejectedError."""
    repairs: list[str] = []
    notes = raw.note_num()
    if notes == 0:
        raise RejectedError("holds no notes")
    if notes < bounds.min_notes:
        raise RejectedError(f"holds only {notes} notes")
    if notes > bounds.max_notes:
        raise RejectedError(f"holds {notes:,} notes: more than {bounds.max_notes:,}")
    if raw.start() < 0:
        raise RejectedError("holds notes before its beginning")
    _check_length(raw.end(), raw, bounds)
    start, end = _stretch_in_four(raw, repairs)
    _check_length(end - start, raw, bounds)

    score = symusic.Score(TICKS_PER_BEAT)
    score.tempos.append(symusic.Tempo(0, _main_tempo(raw, start, end, repairs)))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    scale = TICKS_PER_BEAT / raw.ticks_per_quarter
    by_part: dict[str, list[dict[str, np.ndarray]]] = {}
    for part, track in _seated(raw, repairs):
        found = track.notes.numpy()
        inside = (found["time"] >= start) & (found["time"] < end)
        cut = {name: column[inside] for name, column in found.items()}
        cut["duration"] = np.minimum(cut["duration"], end - cut["time"])
        cut["time"] = cut["time"] - start
        by_part.setdefault(part, []).append(cut)
    for part in PARTS:
        if part in by_part:
            _add_part(score, part, by_part[part], scale, repairs)
    if not score.tracks:
        raise RejectedError("holds only sound effects")
    if (notes := score.note_num()) < bounds.min_notes:
        raise RejectedError(f"holds only {notes} notes in 4/4")
    if raw.key_signatures:
        sign = raw.key_signatures[0]
        score.key_signatures.append(symusic.KeySignature(0, sign.key, sign.tonality))
    for marker in raw.markers:
        if start <= marker.time < end:
            score.markers.append(
                symusic.TextMeta(round((marker.time - start) * scale), marker.text[:40])
            )
    if raw.time_signatures and all(
        (t.numerator, t.denominator) == (1, 4) for t in raw.time_signatures
    ):
        score, bar_line = _from_the_bar_line(score)
        repairs.append(
            f"1/4 read as 4/4, the bar line heard {bar_line / TICKS_PER_BEAT:.2f} beats in"
        )
    return score, repairs


def _from_the_bar_line(score: symusic.Score) -> tuple[symusic.Score, int]:
    """The score with its first bar line at tick 0, and the tick at which it was heard.

    What stands before it becomes the end of a bar of its own.
    """
    from lofi.music._recognise import find_bar_line, notes_by_part

    parts = notes_by_part(score)
    bar_line = find_bar_line(parts)
    first = min(int(n.onset[0]) for n in parts.values())
    shift = -bar_line if first >= bar_line else TICKS_PER_BAR - bar_line
    out = score.copy()
    out.tracks.clear()
    for name, n in parts.items():
        add_track(out, name, n.onset + shift, n.length, n.pitch, n.velocity)
    out.markers.clear()
    for marker in score.markers:
        out.markers.append(symusic.TextMeta(max(0, marker.time + shift), marker.text))
    return out, bar_line


def _check_length(ticks: int, raw: symusic.Score, bounds: Bounds) -> None:
    bars = ticks / max(1, raw.ticks_per_quarter) / 4
    if not 0 < bars <= bounds.max_bars:
        raise RejectedError(f"spans {bars:,.0f} bars: more than {bounds.max_bars:,}")
    if bars < bounds.min_bars * 0.9:
        raise RejectedError(f"spans {bars:.1f} bars: fewer than {bounds.min_bars}")


def _stretch_in_four(raw: symusic.Score, repairs: list[str]) -> tuple[int, int]:
    """(start, end) in ticks of the longest stretch whose bars are 4/4. Raises RejectedError."""
    end = raw.end()
    meters: dict[int, tuple[int, int]] = {}
    for sign in raw.time_signatures:  # the last one given for a tick holds
        if sign.time < end:
            meters[max(0, sign.time)] = (sign.numerator, sign.denominator)
    if not meters:
        repairs.append("no time signature: read as 4/4")
        return 0, end
    if set(meters.values()) == {(1, 4)}:  # a beat is all it says: see `_from_the_bar_line`
        return 0, end
    if min(meters) > 0:
        meters[0] = (4, 4)  # as MIDI defines
    changes = sorted(meters)
    stretches: list[list[int]] = []
    for begin, stop in zip(changes, [*changes[1:], end], strict=True):
        if meters[begin] not in ((4, 4), (2, 2), (2, 4)):
            continue
        beats = (begin - stretches[-1][0]) / raw.ticks_per_quarter if stretches else 0.0
        if stretches and stretches[-1][1] == begin and beats % 4 == 0:
            stretches[-1][1] = stop
        else:
            stretches.append([begin, stop])
    if not stretches:
        shown = ", ".join(f"{n}/{d}" for n, d in sorted(set(meters.values()))[:4])
        raise RejectedError(f"meter {shown}: only 4/4 is learned from")
    begin, stop = max(stretches, key=lambda s: s[1] - s[0])
    if (begin, stop) != (0, end):
        bar = 4 * raw.ticks_per_quarter
        repairs.append(
            f"kept the longest stretch in 4/4: {(stop - begin) / bar:.0f} of {end / bar:.0f} bars"
        )
    return begin, stop


def _main_tempo(raw: symusic.Score, start: int, end: int, repairs: list[str]) -> float:
    """The bpm that holds for most of [start, end); 120, as MIDI defines, where none is set."""
    changes = sorted((max(0, t.time), t.qpm) for t in raw.tempos)
    if not changes:
        repairs.append("no tempo: read as 120 bpm")
        return 120.0
    if changes[0][0] > 0:
        changes.insert(0, (0, 120.0))
    until = [time for time, _ in changes[1:]] + [max(end, changes[-1][0])]
    held: dict[float, int] = {}
    for (time, qpm), stop in zip(changes, until, strict=True):
        here = min(stop, end) - max(time, start)
        if here > 0:
            held[qpm] = held.get(qpm, 0) + here
    bpm = max(held, key=lambda q: held[q])
    if not np.isfinite(bpm) or not 20 <= bpm <= 400:
        raise RejectedError(f"tempo of {bpm:.3g} bpm is absurd")
    if len(held) > 1:
        repairs.append(f"{len(changes)} tempo changes read as {bpm:.0f} bpm")
    return float(bpm)


def _seated(raw: symusic.Score, repairs: list[str]) -> list[tuple[str, symusic.Track]]:
    """Each track that has notes and a counterpart here, with the part that plays it.

    Tracks that share a part are told apart by their names, or else by what they play: one voice
    above all others is the lead, one below all others the bass.
    """
    seats: list[tuple[str, symusic.Track]] = []
    for track in raw.tracks:
        if not len(track.notes):
            continue
        part = _seat(track)
        if part is None:
            repairs.append(f"left out {len(track.notes)} notes of program {track.program}")
        else:
            seats.append((part, track))
    for part in ("keys", "pad", "lead", "guitar"):
        sharing = [i for i, (p, _) in enumerate(seats) if p == part]
        if len(sharing) < 2:
            continue
        taken = {p for p, _ in seats}
        for i in sharing:
            role = _role(seats[i][1])
            if role and role != part:
                seats[i] = (role, seats[i][1])
        if part != "lead" and all(seats[i][0] == part for i in sharing):
            order = sorted(sharing, key=lambda i: seats[i][1].notes.numpy()["pitch"].mean())
            for i, role in ((order[-1], "lead"), (order[0], "bass")):
                if role not in taken and _could_be(role, seats[i][1]):
                    seats[i] = (role, seats[i][1])
        moved = sorted({seats[i][0] for i in sharing} - {part})
        if moved:
            repairs.append(f"tracks that share a program told apart: {', '.join(moved)}")
    return seats


def _seat(track: symusic.Track) -> str | None:
    name = track.name.strip().lower()
    if track.is_drum:
        return "drums"
    if name in PARTS and name != "drums" and track.program == PARTS[name].program:
        return name
    return part_of_program(track.program)


def _role(track: symusic.Track) -> str | None:
    """The part that the track's name speaks of; a lead or bass must be one voice besides."""
    for part, pattern in _ROLE_NAMES:
        if pattern.search(track.name[:80].replace("_", " ")):
            return part if part != "bass" or _could_be(part, track) else None
    return None


def _could_be(part: str, track: symusic.Track) -> bool:
    """Whether a track is one voice, and nearly all of it in the part's range."""
    notes = track.notes.numpy()
    fits = (notes["pitch"] >= PARTS[part].low) & (notes["pitch"] <= PARTS[part].high)
    order = np.lexsort((notes["pitch"], notes["time"]))
    onset = notes["time"][order].astype(np.int64)
    ends = onset + notes["duration"][order] * 3 // 4  # legato may overlap a little
    alone = (ends[:-1] <= onset[1:]).mean() if len(onset) >= 8 else 0.0
    return bool(alone >= _ONE_VOICE and fits.mean() >= _ONE_VOICE)


def _add_part(
    score: symusic.Score,
    name: str,
    found: list[dict[str, np.ndarray]],
    scale: float,
    repairs: list[str],
) -> None:
    part = PARTS[name]
    onset = np.concatenate([f["time"] for f in found]).astype(np.int64)
    length = np.concatenate([f["duration"] for f in found]).astype(np.int64)
    pitch = np.concatenate([f["pitch"] for f in found]).astype(np.int64)
    velocity = np.concatenate([f["velocity"] for f in found]).astype(np.int64)
    onset = np.round(onset * scale).astype(np.int64)
    length = np.clip(np.round(length * scale), 1, 8 * TICKS_PER_BEAT).astype(np.int64)
    if name == "drums":
        for roland, gm in ROLAND_TO_GM.items():
            if (count := int((pitch == roland).sum())) > 0:
                pitch[pitch == roland] = gm
                repairs.append(f"{count} drum hits {roland} moved to {gm}")
        inside = (pitch >= part.low) & (pitch <= part.high)
    else:
        below = np.maximum(0, -(-(part.low - pitch) // 12))
        above = np.maximum(0, -(-(pitch - part.high) // 12))
        moved = int(((below > 0) | (above > 0)).sum())
        if moved:
            repairs.append(f"{moved} {name} notes moved by octaves into range")
        pitch = pitch + 12 * below - 12 * above
        inside = (pitch >= part.low) & (pitch <= part.high)
    keep = inside & (velocity > 0)
    order = np.lexsort((-length, pitch, onset))
    order = order[keep[order]]
    if len(order) == 0:
        return
    # One note per pitch and onset, and none that runs into the next strike of its own pitch.
    fresh = np.ones(len(order), bool)
    fresh[1:] = (np.diff(onset[order]) != 0) | (np.diff(pitch[order]) != 0)
    order = order[fresh]
    by_pitch = np.lexsort((onset[order], pitch[order]))
    o, p = onset[order][by_pitch], pitch[order][by_pitch]
    room = np.full(len(o), 8 * TICKS_PER_BEAT)
    same = p[1:] == p[:-1]
    room[:-1][same] = (o[1:] - o[:-1])[same]
    clipped = np.empty(len(o), np.int64)
    clipped[by_pitch] = np.minimum(length[order][by_pitch], room)
    add_track(score, name, onset[order], clipped, pitch[order], velocity[order])


def add_track(
    score: symusic.Score,
    name: str,
    onset: np.ndarray,
    length: np.ndarray,
    pitch: np.ndarray,
    velocity: np.ndarray,
) -> None:
    """Append the part `name` with these notes (ticks; arrays of equal length)."""
    drums = name == "drums"
    track = symusic.Track(name, 0 if drums else PARTS[name].program, drums)
    track.notes = symusic.Note.from_numpy(
        onset.astype(np.int32),
        length.astype(np.int32),
        pitch.astype(np.int8),
        velocity.astype(np.int8),
        ttype="tick",
    )
    score.tracks.append(track)


# Markers that label a piece: the mood at its beginning, section names, and chord symbols where
# the harmony changes.
_MOOD_LABEL = "mood: "
_CHORD_LABEL = "chord: "


def midi_bytes(score: symusic.Score, plan: Plan, mood: str | None = None) -> bytes:
    """A standard MIDI file of the score with its key signature and labels."""
    out = score.copy()
    out.key_signatures.clear()
    # Sharps are positive: the circle of fifths from C, or from A for minor.
    fifths = (plan.key.tonic * 7 + (3 if plan.key.mode == "minor" else 0) * 7) % 12
    if fifths > 6 or (fifths == 6 and plan.key.flats):
        fifths -= 12
    out.key_signatures.append(symusic.KeySignature(0, fifths, 1 if plan.key.mode == "minor" else 0))
    out.markers.clear()
    if mood:
        out.markers.append(symusic.TextMeta(0, f"{_MOOD_LABEL}{mood}"))
    before = None
    for section in plan.sections:
        start = section.start_bar * TICKS_PER_BAR
        out.markers.append(symusic.TextMeta(start, section.name))
        for half, chord in enumerate(section.chords):
            if chord != before:
                at = start + half * TICKS_PER_BAR // 2
                out.markers.append(symusic.TextMeta(at, f"{_CHORD_LABEL}{chord}"))
            before = chord
    return out.dumps_midi()


def labelled_mood(score: symusic.Score) -> str | None:
    """The mood that the score's labels tell, if it is one of ours."""
    told = (
        m.text.removeprefix(_MOOD_LABEL) for m in score.markers if m.text.startswith(_MOOD_LABEL)
    )
    return next((name for name in told if name in MOODS), None)


def labelled_key(score: symusic.Score) -> Key | None:
    """The key signature of a score with labels of ours; in other files it is often a default."""
    if not score.key_signatures or labelled_mood(score) is None:
        return None
    sign = score.key_signatures[0]
    tonic = sign.key * 7 + (9 if sign.tonality else 0)
    return Key(tonic % 12, "minor" if sign.tonality else "major")


def labelled_chords(score: symusic.Score) -> list[Chord | None]:
    """The chord of each half bar that the score's labels tell; empty if it has none."""
    told: dict[int, Chord] = {}
    for marker in score.markers:
        if marker.text.startswith(_CHORD_LABEL):
            try:
                chord = Chord.parse(marker.text.removeprefix(_CHORD_LABEL))
            except InputError:
                continue
            told[round(marker.time * 2 / TICKS_PER_BAR)] = chord
    if not told:
        return []
    found: list[Chord | None] = []
    current = None
    for half in range(-(-score.end() * 2 // TICKS_PER_BAR)):
        current = told.get(half, current)
        found.append(current)
    return found
