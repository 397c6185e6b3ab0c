"""The model at its desk: each stretch of a plan, written as best of k candidates.

A distinct stretch of chords is written once; a section that returns gets its bars again with fewer
players or with a new melody. `rate` measures how good a candidate is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import symusic

from lofi.brief import PARTS, Key, Plan, Section, subseed
from lofi.music._engine import Model
from lofi.music._grammar import Kept, Stretch, kept_in
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT, add_track
from lofi.music._recognise import HALF_BAR, Notes, notes_by_part
from lofi.music._sample import Job, Sampling, sample
from lofi.music._theory import Chord
from lofi.music._tokens import (
    SEGMENT_BARS,
    chord_ids,
    decode,
    decode_bars,
    density_level,
    encode,
    header,
    vocabulary,
)

# A melody of so many notes in a row as in the corpus is common property; more costs this a note.
COPIED_FREELY = 8
COPIED_PENALTY = 0.02

# Rows of the model at work side by side: enough to fill the processor's multiplications.
ROWS = 12
BEFORE_BARS = 4  # how much of the music before a stretch the model is shown
KEPT_NOTES = 300  # of a stretch at most: they take about two tokens each of the context

Copied = Callable[[symusic.Score], int]


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


@dataclass(slots=True)
class _Task:
    """A stretch to be written, and then what was written for it."""

    name: str  # of its section
    label: str
    bars: int
    parts: tuple[str, ...]
    chords: tuple[str, ...]
    kept: dict[str, Notes] = field(default_factory=dict)
    before: dict[str, Notes] = field(default_factory=dict)
    bed: _Task | None = None  # the stretch that this one goes over, with a melody of its own
    notes: dict[str, Notes] = field(default_factory=dict)


class Writer:
    """Writes the sections of one piece.

    `copied` tells how many notes in a row a score has in common with the training corpus.
    Without `controls` the model is told nothing of what is asked for: how it would play by itself.
    """

    def __init__(
        self,
        plan: Plan,
        bundle: str,
        model: Model,
        sampling: Sampling,
        *,
        seed: int,
        best_of: int,
        threads: int,
        copied: Copied | None = None,
        controls: bool = True,
    ) -> None:
        self._plan = plan
        self._bundle = bundle
        self._model = model
        length = min(sampling.max_length, model.context)
        self._sampling = replace(sampling, max_length=length)
        self._seed = seed
        self._best_of = best_of
        self._threads = threads
        self._copied = copied
        self._controls = controls
        self.choices: list[dict[str, object]] = []

    def write(
        self, orders: Sequence[Order], progress: Callable[[float], None] | None = None
    ) -> list[list[tuple[int, dict[str, Notes]]]]:
        """For each order its stretches: (bar within the section, notes by part from tick 0).

        Each distinct stretch of chords is written once, where most parts play; where it returns,
        its bars are heard again, with fewer parts or a melody of its own.
        """
        placed: list[list[tuple[int, _Task]]] = [[] for _ in orders]
        stock: list[_Task] = []
        # The fullest section first: what returns thinned is cut from it.
        for i in sorted(range(len(orders)), key=lambda i: -len(orders[i].section.parts)):
            for offset, task in _stretches(orders[i]):
                task.bed = next((t for t in stock if _serves(t, task)), None)
                if task.bed is None and not task.kept and not task.before:
                    stock.append(task)
                placed[i].append((offset, task))
        tasks = [task for stretches in placed for _, task in stretches]
        fresh = [t for t in tasks if t.bed is None]
        # A return keeps the band and gets a melody of its own over the same chords.
        again = [t for t in tasks if t.bed and "lead" in t.parts and t.name in ("A", "A'", "B")]
        share = len(fresh) / max(1, len(fresh) + len(again))
        told = progress or (lambda _: None)
        self._perform(fresh, lambda f: told(f * share))
        for task in tasks:
            if task.bed:
                stop = task.bars * TICKS_PER_BAR
                bed = {p: clipped(task.bed.notes[p].within(0, stop), stop) for p in task.parts}
                task.notes = bed
                task.kept = {p: n for p, n in bed.items() if p != "lead"}
        self._perform(again, lambda f: told(share + f * (1 - share)))
        return [[(offset, task.notes) for offset, task in stretches] for stretches in placed]

    def _perform(self, tasks: list[_Task], progress: Callable[[float], None]) -> None:
        """Write candidates for all tasks, and choose for one after the other, in their order."""
        if not tasks:
            return
        jobs = [self._job(task, candidate) for task in tasks for candidate in range(self._best_of)]
        written = self._sampled(jobs, progress)
        height: float | None = None  # mean pitch of the chords of the stretch before
        for i, task in enumerate(tasks):
            candidates = written[i * self._best_of : (i + 1) * self._best_of]
            task.notes = self._choose(task, candidates, height)
            height = height_of(task.notes) or height

    def _sampled(self, jobs: list[Job], progress: Callable[[float], None]) -> list[list[int]]:
        """Every thread has an engine of its own and every so many of the jobs."""
        threads = min(self._threads, len(jobs))
        shares = [jobs[i::threads] for i in range(threads)]
        done = [0.0] * threads

        def work(i: int) -> list[list[int]]:
            def told(fraction: float) -> None:
                done[i] = fraction
                if i == 0:  # the caller is told from one thread only
                    progress(sum(done) / threads)

            # A row alone takes another kernel, whose last digits differ.
            engine = self._model.engine(min(ROWS, max(2, len(shares[i]))))
            return sample(
                engine, shares[i], bpe=self._model.bpe, sampling=self._sampling, progress=told
            )

        if threads == 1:
            return work(0)
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(work, range(threads)))
        return [parts[i % threads][i // threads] for i in range(len(jobs))]

    def _levels(self, task: _Task) -> dict[str, int]:
        """How busy each part is to be: as planned, or as it is where it is kept."""
        return {
            p: density_level(p, len(task.kept[p]), task.bars)
            if p in task.kept
            else self._plan.levels[p]
            for p in task.parts
        }

    def _job(self, task: _Task, candidate: int) -> Job:
        before = _told(task.before, self._plan)
        bars = task.bars + len(before)
        controls = header(
            bundle=self._bundle,
            key=self._plan.key,
            bpm=self._plan.bpm,
            swing=self._plan.swing,
            section=task.name,
            bars=bars,
            levels=self._levels(task),
        )
        chords = [Chord.parse(c) for c in task.chords]
        stretch = Stretch(
            task.bars,
            tuple(p for p in task.parts if p not in task.kept),
            self._plan.key,
            chords,
            kept=kept_notes(task.kept, task.bars),
        )
        if not self._controls:
            controls = [vocabulary().ids[f"BARS_{bars}"]]
            stretch = Stretch(task.bars, stretch.parts, kept=stretch.kept)
        prompt = [vocabulary().bos, *controls, *(i for bar in before for i in bar)]
        return Job(prompt, stretch, subseed(self._seed, "stretch", task.label, candidate))

    def _choose(
        self, task: _Task, candidates: list[list[int]], height: float | None
    ) -> dict[str, Notes]:
        """The best of the candidates by measured quality and by what it copies."""
        chords = [Chord.parse(c) for c in task.chords]
        levels = self._levels(task)
        stop = task.bars * TICKS_PER_BAR
        scores = [decode(decode_bars(c), self._plan.bpm) for c in candidates]
        played: list[dict[str, Notes]] = []
        ratings: list[dict[str, float]] = []
        for score in scores:
            notes = {p: Notes.none() for p in task.parts}
            notes |= {p: clipped(n.within(0, stop), stop) for p, n in notes_by_part(score).items()}
            notes |= task.kept
            played.append(notes)
            ratings.append(rate(notes, chords, self._plan.key, levels, task.bars, height))
        best = self._least_copied(scores, ratings)
        self.choices.append(
            {
                "section": task.name,
                "stretch": task.label,
                "bars": task.bars,
                "written": [p for p in task.parts if p not in task.kept],
                "chosen": best,
                "ratings": [{k: round(v, 3) for k, v in r.items()} for r in ratings],
            }
        )
        return played[best]

    def _least_copied(self, scores: list[symusic.Score], ratings: list[dict[str, float]]) -> int:
        """The best rated; one that copies loses by it, and gives way to a better one."""

        def total(i: int) -> float:
            return ratings[i]["total"]

        best = max(range(len(scores)), key=total)
        while self._copied and "copied_notes" not in ratings[best]:
            copied = self._copied(scores[best])
            ratings[best]["copied_notes"] = float(copied)
            ratings[best]["total"] -= max(0, copied - COPIED_FREELY) * COPIED_PENALTY
            best = max(range(len(scores)), key=total)
        return best


def _stretches(order: Order) -> list[tuple[int, _Task]]:
    """A section cut into stretches that the model can write: (bar within the section, task)."""
    section = order.section
    found = []
    longest = SEGMENT_BARS - (BEFORE_BARS if order.before else 0)
    offset = 0
    while offset < section.bars:
        bars = min(longest, section.bars - offset)
        while bars > 1 and _notes(order.kept, offset, bars) > KEPT_NOTES:
            bars //= 2
        start, stop = offset * TICKS_PER_BAR, (offset + bars) * TICKS_PER_BAR
        task = _Task(
            section.name,
            f"{order.label}.{offset}",
            bars,
            section.parts,
            section.chords[2 * offset : 2 * (offset + bars)],
            kept={p: clipped(n.within(start, stop), stop - start) for p, n in order.kept.items()},
            before=order.before if offset == 0 else {},
        )
        found.append((offset, task))
        offset += bars
        longest = SEGMENT_BARS
    return found


def _notes(parts: dict[str, Notes], bar: int, bars: int) -> int:
    span = (bar * TICKS_PER_BAR, (bar + bars) * TICKS_PER_BAR)
    return sum(len(n.within(*span)) for n in parts.values())


def _serves(written: _Task, wanted: _Task) -> bool:
    """Whether bars written for one stretch can be heard again in another."""
    return (
        not wanted.kept
        and not wanted.before
        and (written.name == "B") == (wanted.name == "B")
        and written.bars >= wanted.bars
        and written.chords[: 2 * wanted.bars] == wanted.chords
        and set(wanted.parts) <= set(written.parts)
    )


def score_of(parts: dict[str, Notes], bpm: float) -> symusic.Score:
    """The canonical score of the notes of each part."""
    score = symusic.Score(TICKS_PER_BEAT)
    score.tempos.append(symusic.Tempo(0, bpm))
    score.time_signatures.append(symusic.TimeSignature(0, 4, 4))
    for name in PARTS:
        if name in parts and len(parts[name]):
            n = parts[name]
            add_track(score, name, n.onset, n.length, n.pitch, n.velocity)
    return score


def _told(before: dict[str, Notes], plan: Plan) -> list[list[int]]:
    """The last bars before a stretch, as the model is shown them."""
    span = BEFORE_BARS * TICKS_PER_BAR
    shown = {p: n.within(-span, 0) for p, n in before.items()}
    shown = {p: Notes(n.onset + span, n.length, n.pitch, n.velocity) for p, n in shown.items()}
    shown = {p: clipped(n, span) for p, n in shown.items() if len(n)}
    if not shown:
        return []
    encoded = encode(score_of(shown, plan.bpm))
    bars = []
    for bar, (first, second) in zip(encoded.bars, encoded.chords, strict=True):
        bars.append([vocabulary().bar, *chord_ids(first, second), *bar[1:]])
    return bars


def kept_notes(kept: dict[str, Notes], bars: int) -> list[list[Kept]]:
    """Parts that are there already, as the grammar takes them: their notes by bar."""
    if not any(len(n) for n in kept.values()):
        return []
    encoded = encode(score_of(kept, 80.0), [None] * (2 * bars))
    return [kept_in(bar) for bar in encoded.bars[:bars]]


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
    not all alike. line: how far the melody goes by steps. backbeat: second
    and fourth beats with a snare, where drums are asked for that are not sparse. continuity: how
    near the chords lie to `height`, the mean pitch of the stretch before (1 if there was none).
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
        "line": _singable(lead) if lead is not None else 1.0,
        "backbeat": _backbeat(parts["drums"], bars) if levels.get("drums", 0) > 1 else 1.0,
    }
    near = 1.0 if height is None or here is None else max(0.0, 1 - abs(here - height) / 8)
    figures["continuity"] = near
    weight = {
        "consonance": 0.2,
        "strong": 0.1,
        "density": 0.3,
        "presence": 0.1,
        "variety": 0.05,
        "line": 0.1,
        "backbeat": 0.05,
        "continuity": 0.1,
    }
    figures["total"] = sum(weight[k] * v for k, v in figures.items())
    return figures


def height_of(parts: dict[str, Notes]) -> float | None:
    """The mean pitch of the parts that play chords; None if none does."""
    pitches = [parts[p].pitch for p in ("keys", "guitar", "pad") if p in parts and len(parts[p])]
    return float(np.concatenate(pitches).mean()) if pitches else None


# Of a melodic interval by semitones: steps above all, then thirds, notes repeated, fourths, leaps.
_WORTH = np.array([0.5, 1, 1, 0.7, 0.7, 0.4, 0.2, 0.3, 0])


def _singable(lead: Notes) -> float:
    """Mean worth of the melody's intervals; 0.5 where there are too few to tell."""
    intervals = np.minimum(np.abs(np.diff(lead.pitch)), len(_WORTH) - 1)
    return float(_WORTH[intervals].mean()) if len(intervals) > 2 else 0.5


def _backbeat(drums: Notes, bars: int) -> float:
    """Share of second and fourth beats on which a snare, rim or clap is struck."""
    struck = drums.onset[np.isin(drums.pitch, (37, 38, 39, 40))]
    place = struck / TICKS_PER_BEAT
    beats = np.unique(np.round(place[np.abs(place - np.round(place)) < 0.1])).astype(int)
    return min(1.0, int((beats % 2 == 1).sum()) / (2 * bars))


def _variety(lead: Notes, bars: int) -> float:
    shapes = set()
    for b in range(bars):
        bar = lead.within(b * TICKS_PER_BAR, (b + 1) * TICKS_PER_BAR)
        if len(bar):
            shapes.add(((bar.onset % TICKS_PER_BAR).tobytes(), bar.pitch.tobytes()))
    return min(1.0, len(shapes) / max(1, bars / 2))
