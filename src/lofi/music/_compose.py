"""The rule composer: lo-fi pieces from tables of musical material.

It writes the corpus that the shipped model learns from, and the plan of every generated piece.
What can be played stands in `material/*.yaml`. The form and the harmony are in `_plan`, each player
in a module of its own (`_drums`, `_bass`, `_chords`, `_melody`); here they play together.
"""

from __future__ import annotations

import numpy as np
import symusic

from lofi.brief import PARTS, Brief, Plan
from lofi.music._band import Band, Note, Scene, swung
from lofi.music._bass import Bassist
from lofi.music._chords import ROLES, guitar_player, keys_player, pad_player
from lofi.music._drums import Drummer
from lofi.music._melody import Book, Counter, Lead
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT, add_track
from lofi.music._plan import draw_plan
from lofi.music._recognise import notes_by_part

# How often the keys break their chords, and so keep the time moving.
_BROKEN_ODDS = {
    "chill": 0.5, "melancholic": 0.7, "upbeat": 0.45, "dreamy": 0.65, "focus": 0.45, "sleep": 0.7,
}  # fmt: skip
_SHORTEST_TICKS = 10
_SOFTEST, _LOUDEST = 12, 122


def compose(brief: Brief, *, bars: int | None = None) -> tuple[symusic.Score, Plan]:
    """Write a piece for a settled brief: of exactly `bars` bars, or as many as fit its duration."""
    plan = draw_plan(brief, bars=bars)
    bars = plan.bars
    band = Band(brief, plan)
    rows: dict[str, list[Note]] = {}
    players = _Players(band)
    for scene in band.scenes:
        for part, played in players.play(scene).items():
            rows.setdefault(part, []).extend(played)
    tables = {p: _tidy(r, bars, PARTS[p].low, PARTS[p].high) for p, r in rows.items() if r}
    for table in tables.values():
        ends = swung(table[:, 0] + table[:, 1], plan.swing)
        table[:, 0] = swung(table[:, 0], plan.swing)
        table[:, 1] = np.maximum(_SHORTEST_TICKS, ends - table[:, 0])
    _balance(tables, band.velocity)
    score = symusic.Score(TICKS_PER_BEAT)
    score.tempos.append(symusic.Tempo(0, plan.bpm))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for name in PARTS:
        if name in tables:
            add_track(score, name, *tables[name].T)
    return score, plan


class _Players:
    """The band: who plays a section, and in which order they listen to each other."""

    def __init__(self, band: Band) -> None:
        self._band = band
        book = Book(band)
        self._drums = Drummer(band)
        self._bass = Bassist(band)
        self._keys = keys_player(band)
        self._guitar = guitar_player(band)
        self._pad = pad_player(band, book)
        self._lead = Lead(band, book)
        self._counter = Counter(band, book)
        broken = band.own("keys").random() < _BROKEN_ODDS[band.bundle]
        self._keys_use = "broken" if broken else "comp"

    def play(self, scene: Scene) -> dict[str, list[Note]]:
        """The notes of a section by part; the lead hears the chords, the second voice the lead."""
        parts = scene.section.parts
        played: dict[str, list[Note]] = {}
        if "drums" in parts:
            played["drums"] = self._drums.play(scene)
        if "bass" in parts:
            played["bass"] = self._bass.play(scene)
        if "keys" in parts:
            played["keys"] = self._keys.play(scene, self._keys_use)
        role = self._guitar_role(scene)
        if "guitar" in parts and role != "counter":
            played["guitar"] = self._guitar.play(scene, role)
        if "pad" in parts:
            played["pad"] = self._pad.play(scene)
        if "lead" in parts:
            played["lead"] = self._lead.play(scene)
        if "guitar" in parts and role == "counter":
            played["guitar"] = self._counter.play(scene, played.get("lead", []))
        return played

    def _guitar_role(self, scene: Scene) -> str:
        """What the guitar does in the sections of that letter; alone it does not answer."""
        odds = ROLES[self._band.bundle]
        own = self._band.own("guitar role", scene.letter)
        role = own.choices(list(odds), list(odds.values()))[0]
        return "broken" if role == "counter" and "lead" not in scene.section.parts else role


def _tidy(rows: list[Note], bars: int, low: int, high: int) -> np.ndarray:
    """(n, 4) sorted notes, inside range and piece, none running into the next of its own pitch."""
    table = np.array(sorted(set(rows)), np.int64)
    while (below := table[:, 2] < low).any():
        table[below, 2] += 12
    while (above := table[:, 2] > high).any():
        table[above, 2] -= 12
    table[:, 0] = np.clip(table[:, 0], 0, bars * TICKS_PER_BAR - 1)
    table = table[np.lexsort((table[:, 2], table[:, 0]))]
    keep: list[np.ndarray] = []
    last: dict[int, np.ndarray] = {}
    for row in table:
        before = last.get(int(row[2]))
        if before is not None:
            if row[0] - before[0] < TICKS_PER_BEAT // 12:
                continue
            before[1] = min(before[1], row[0] - before[0])
        last[int(row[2])] = row
        keep.append(row)
    out = np.array(keep)
    out[:, 1] = np.minimum(out[:, 1], bars * TICKS_PER_BAR - out[:, 0])
    out[:, 1] = np.maximum(_SHORTEST_TICKS, out[:, 1])
    return out


def _balance(tables: dict[str, np.ndarray], velocity: float) -> None:
    """Shift all velocities so that the pitched parts have the mood's mean, in place."""
    heard = [t[:, 3] for p, t in tables.items() if p != "drums"]
    pitched = np.concatenate(heard or [t[:, 3] for t in tables.values()])
    shift = round(velocity - float(pitched.mean()))
    for table in tables.values():
        table[:, 3] = np.clip(table[:, 3] + shift, _SOFTEST, _LOUDEST)


# A twelfth of a beat -> the sixteenth it stands for, however much the music swings.
_SIXTEENTH = np.array([0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3])
_WINDOW_BARS = 8
_WINDOW_NOTES = 8


def melody_windows(score: symusic.Score) -> set[bytes]:
    """Fingerprints of every eight bars of the lead, from each bar on, with eight notes or more.

    A fingerprint is the intervals and the sixteenths of the onsets: key, swing, touch and length do
    not change it. Two pieces that share one share a melody.
    """
    lead = notes_by_part(score).get("lead")
    if lead is None or not len(lead):
        return set()
    twelfths = np.round(lead.onset * 12 / TICKS_PER_BEAT).astype(np.int64)
    step = 4 * (twelfths // 12) + _SIXTEENTH[twelfths % 12]
    found = set()
    for bar in range(int(step[-1]) // 16 + 1):
        first, stop = np.searchsorted(step, (16 * bar, 16 * (bar + _WINDOW_BARS)))
        if stop - first >= _WINDOW_NOTES:
            when = (step[first:stop] - 16 * bar).astype(np.int16)
            moves = np.diff(lead.pitch[first:stop]).astype(np.int16)
            found.add(when.tobytes() + moves.tobytes())
    return found
