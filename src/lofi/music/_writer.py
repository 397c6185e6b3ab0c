"""The model at its desk: each stretch of a plan, written as best of k candidates.

A distinct stretch of chords is written once; a section that returns gets its bars again with fewer
players or with a new melody. `rate` measures how good a candidate is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from lofi.brief import Brief, Key, Plan, Section, find_mood, subseed
from lofi.music._engine import Model
from lofi.music._grammar import Stretch
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._recognise import HALF_BAR, Notes, notes_by_part
from lofi.music._sample import Sampling, sample
from lofi.music._theory import Chord
from lofi.music._tokens import (
    SEGMENT_BARS,
    decode,
    decode_bars,
    density_level,
    header,
    vocabulary,
)

# Eight bars of busy music are up to 1,700 tokens, far beyond what most training segments reach
# (95 % have fewer than 1,300): there the model thins out. Four bars keep it where it is at home.
STRETCH_BARS = {"upbeat": SEGMENT_BARS // 2}


@dataclass(frozen=True, slots=True)
class _Material:
    """A stretch the model has written: its chords, and the notes of each part from tick 0."""

    chords: tuple[str, ...]
    bars: int
    parts: dict[str, Notes]


@dataclass(frozen=True, slots=True)
class Order:
    """A section to be written; `label` names its seed.

    `kept` are parts that are there already, over the section's bars from tick 0: they stay as they
    are, and only the other parts of the section are written, to go with them. `before` is the music
    that the section follows, its last bar ending at tick 0 (onsets below 0).
    """

    section: Section
    label: str
    kept: dict[str, Notes] = field(default_factory=dict)
    before: dict[str, Notes] = field(default_factory=dict)


class Writer:
    """Writes the sections of one piece."""

    def __init__(
        self,
        brief: Brief,
        plan: Plan,
        model: Model,
        sampling: Sampling,
        best_of: int,
        threads: int,
    ) -> None:
        assert brief.mood
        self._bundle = find_mood(brief.mood).bundle
        self._seed = brief.seed
        self._plan = plan
        length = min(sampling.max_length, model.context)
        self._sampling = Sampling(sampling.temperature, sampling.top_k, sampling.top_p, length)
        self._best_of = best_of
        self._engine = model.engine(best_of, threads)
        self._stock: list[_Material] = []
        self._height: float | None = None  # mean pitch of the chords of the stretch before
        self.choices: list[dict[str, object]] = []

    def write(
        self, orders: Sequence[Order], progress: Callable[[float], None] | None = None
    ) -> list[list[tuple[int, dict[str, Notes]]]]:
        """For each order its stretches: (bar within the section, notes by part from tick 0)."""
        written: list[list[tuple[int, dict[str, Notes]]]] = [[] for _ in orders]
        # The fullest section first: what returns thinned is cut from it.
        by_size = sorted(range(len(orders)), key=lambda i: -len(orders[i].section.parts))
        for done, i in enumerate(by_size):
            written[i] = self._section(orders[i].section, orders[i].label)
            if progress:
                progress((done + 1) / len(orders))
        return written

    def _section(self, section: Section, label: str) -> list[tuple[int, dict[str, Notes]]]:
        result = []
        longest = STRETCH_BARS.get(self._bundle, SEGMENT_BARS)
        for offset in range(0, section.bars, longest):
            bars = min(longest, section.bars - offset)
            chords = section.chords[2 * offset : 2 * (offset + bars)]
            result.append((offset, self._stretch(section, f"{label}.{offset}", bars, chords)))
        return result

    def _stretch(
        self, section: Section, label: str, bars: int, chords: tuple[str, ...]
    ) -> dict[str, Notes]:
        found = next(
            (
                m
                for m in self._stock
                if m.bars >= bars
                and m.chords[: 2 * bars] == chords
                and set(section.parts) <= set(m.parts)
            ),
            None,
        )
        if found is None:
            notes = self._write(section, label, bars, chords)
            empty = Notes(*(np.zeros(0, np.int64) for _ in range(4)))
            notes = {p: notes.get(p, empty) for p in section.parts}
            self._stock.append(_Material(chords, bars, notes))
            return notes
        stop = bars * TICKS_PER_BAR
        notes = {p: clipped(found.parts[p].within(0, stop), stop) for p in section.parts}
        if "lead" in notes and section.name in ("A", "A'", "B"):
            # A return keeps the band and gets a melody of its own over the same chords.
            fresh = self._write(section, label, bars, chords)
            if "lead" in fresh:
                notes["lead"] = fresh["lead"]
        return notes

    def _write(
        self, section: Section, label: str, bars: int, chords: tuple[str, ...]
    ) -> dict[str, Notes]:
        parsed = [Chord.parse(c) for c in chords]
        key = self._plan.key
        levels = {p: self._plan.levels[p] for p in section.parts}
        controls = header(
            bundle=self._bundle,
            key=key,
            bpm=self._plan.bpm,
            swing=self._plan.swing,
            section=section.name,
            bars=bars,
            levels=levels,
        )
        prompt = [vocabulary().bos, *controls]
        candidates = sample(
            self._engine,
            prompt,
            Stretch(bars, section.parts, key, parsed),
            count=self._best_of,
            sampling=self._sampling,
            rng=np.random.default_rng(subseed(self._seed, "stretch", label)),
        )
        scores = [decode(_exactly(decode_bars(c), bars), self._plan.bpm) for c in candidates]
        stop = bars * TICKS_PER_BAR
        played = [
            {p: clipped(n.within(0, stop), stop) for p, n in notes_by_part(s).items()}
            for s in scores
        ]
        ratings = [rate(p, parsed, key, levels, bars, self._height) for p in played]
        best = max(range(len(played)), key=lambda i: ratings[i]["total"])
        self._height = height_of(played[best]) or self._height
        self.choices.append(
            {
                "section": section.name,
                "bars": bars,
                "chosen": best,
                "ratings": [{k: round(v, 3) for k, v in r.items()} for r in ratings],
            }
        )
        return played[best]


def _exactly(bars: list[list[int]], count: int) -> list[list[int]]:
    return (bars + [[vocabulary().bar]] * count)[:count]


def clipped(notes: Notes, stop: int) -> Notes:
    """The same notes, none sounding past `stop` ticks."""
    length = np.minimum(notes.length, stop - notes.onset)
    return Notes(notes.onset, length, notes.pitch, notes.velocity)


def rate(
    parts: dict[str, Notes],
    chords: list[Chord],
    key: Key,
    levels: dict[str, int],
    bars: int,
    height: float | None = None,
) -> dict[str, float]:
    """How good a stretch is, by measurement; `total` ranks candidates, each figure is 0 to 1.

    consonance: share of the sounding time of pitched notes on chord tones (half for other tones
    of the scale). strong: the same for notes on beats one and three. density: how near each part
    is to the density asked, nothing for one that is silent. presence: beats in which something
    sounds, times half bars with a drum where there are drums. variety: bars of the melody that are
    not all alike. continuity: how near the chords lie to `height`, the mean pitch of the stretch
    before (1 if there was none).
    """
    members = [set(c.pitch_classes) for c in chords]
    scale = set(key.scale)
    fit, strong = [], []
    for name, notes in parts.items():
        if name == "drums":
            continue
        for onset, length, pitch in zip(notes.onset, notes.length, notes.pitch, strict=True):
            chord = members[min(int(onset) // HALF_BAR, len(members) - 1)]
            pitch_class = int(pitch) % 12
            value = 1.0 if pitch_class in chord else 0.5 if pitch_class in scale else 0.0
            fit.append((value, float(length)))
            if int(onset) % HALF_BAR == 0:
                strong.append(value)
    weights = sum(w for _, w in fit)
    matched = []
    for part, level in levels.items():
        played = density_level(part, len(parts[part]) if part in parts else 0, bars)
        matched.append(0.0 if played == 0 else (1.0, 0.6, 0.2)[abs(played - level)])
    sounding = np.zeros(4 * bars, bool)
    for notes in parts.values():
        last = np.minimum((notes.onset + notes.length - 1) // TICKS_PER_BEAT, 4 * bars - 1)
        for a, b in zip(notes.onset // TICKS_PER_BEAT, last, strict=True):
            sounding[a : b + 1] = True
    presence = float(sounding.mean())
    if "drums" in parts:  # a groove that stops for half a bar is heard as a mistake
        presence *= len(np.unique(parts["drums"].onset // HALF_BAR)) / (2 * bars)
    lead = parts.get("lead")
    here = height_of(parts)
    figures = {
        "consonance": sum(v * w for v, w in fit) / weights if weights else 0.0,
        "strong": float(np.mean(strong)) if strong else 0.5,
        "density": float(np.mean(matched)) if matched else 1.0,
        "presence": presence,
        "variety": _variety(lead, bars) if lead is not None and len(lead) else 0.5,
    }
    near = 1.0 if height is None or here is None else max(0.0, 1 - abs(here - height) / 8)
    figures["continuity"] = near
    weight = {
        "consonance": 0.25,
        "strong": 0.15,
        "density": 0.2,
        "presence": 0.2,
        "variety": 0.05,
        "continuity": 0.15,
    }
    figures["total"] = sum(weight[k] * v for k, v in figures.items())
    return figures


def height_of(parts: dict[str, Notes]) -> float | None:
    """The mean pitch of the parts that play chords; None if none does."""
    pitches = [parts[p].pitch for p in ("keys", "guitar", "pad") if p in parts and len(parts[p])]
    return float(np.concatenate(pitches).mean()) if pitches else None


def _variety(lead: Notes, bars: int) -> float:
    shapes = set()
    for b in range(bars):
        bar = lead.within(b * TICKS_PER_BAR, (b + 1) * TICKS_PER_BAR)
        if len(bar):
            shapes.add(((bar.onset % TICKS_PER_BAR).tobytes(), bar.pitch.tobytes()))
    return min(1.0, len(shapes) / max(1, bars / 2))
