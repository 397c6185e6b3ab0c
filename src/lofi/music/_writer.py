"""The model at its desk: each stretch of a plan, written as best of k candidates.

A distinct stretch of chords is written once; a section that returns gets its bars again with fewer
players or with a new melody. `_rate` measures how good a candidate is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import symusic

from lofi.brief import PARTS, Plan, Section, subseed
from lofi.music._engine import Model
from lofi.music._grammar import Kept, Stretch, kept_in
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT, add_track
from lofi.music._rate import CHORDAL, height_of, rate
from lofi.music._recognise import Notes, notes_by_part
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

# A melody of so many notes in a row as in the corpus is common property; more costs this a note,
# and beyond the most a candidate is taken only if no other has fewer.
COPIED_FREELY = 8
COPIED_PENALTY = 0.05
COPIED_AT_MOST = 10  # a stretch may go on from the one before it
# A player is taken from another candidate for this much of a better total.
MIXED_FOR = 0.01

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
    ends: bool = False  # in its last bar the piece ends, with a chord that the arranger writes
    bed: _Task | None = None  # the stretch of which this one is a part
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

        Each distinct stretch of chords is written once, as long and as full as it is ever heard;
        where it returns, its bars are heard again, with fewer parts or a melody of its own.
        """
        placed = [_stretches(order, self._plan.bars) for order in orders]
        tasks = [task for stretches in placed for _, task in stretches]
        beds: list[_Task] = []
        for task in sorted(tasks, key=lambda t: (-t.bars, -len(t.parts))):
            if not task.kept and not task.before:
                task.bed = next((b for b in beds if _serves(b, task)), None)
                if task.bed is None:
                    task.bed = replace(task)
                    beds.append(task.bed)
                everyone = {*task.bed.parts, *task.parts}
                task.bed.parts = tuple(p for p in PARTS if p in everyone)
        fresh: list[_Task] = []
        again: list[_Task] = []
        sung: list[_Task] = []  # of which the melody has been heard
        for task in tasks:
            written = task.bed or task
            if not _among(written, fresh):
                fresh.append(written)
            if "lead" not in task.parts:
                continue
            if not _among(written, sung):
                sung.append(written)
            elif task.name in ("A", "A'", "B"):
                # A return keeps the band and gets a melody of its own over the same chords.
                again.append(task)
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
            engine = self._model.engine(min(self._model.rows, max(2, len(shares[i]))))
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
        heard = task.bars - task.ends

        def rated(notes: dict[str, Notes]) -> dict[str, float]:
            last = heard * TICKS_PER_BAR
            kept = {p: clipped(n.within(0, last), last) for p, n in notes.items()}
            return rate(
                kept, chords[: 2 * heard], self._plan.key, levels, heard, self._bundle, height
            )

        played: list[dict[str, Notes]] = []
        for candidate in candidates:
            score = decode(decode_bars(candidate), self._plan.bpm)
            notes = {p: Notes.none() for p in task.parts}
            notes |= {p: clipped(n.within(0, stop), stop) for p, n in notes_by_part(score).items()}
            played.append(notes | task.kept)
        ratings = [rated(notes) for notes in played]
        best = self._least_copied(task, played, ratings)
        notes, taken = self._mixed(task, played, best, ratings, rated)
        notes, moved = self._in_place(task, notes, rated)
        self.choices.append(
            {
                "section": task.name,
                "stretch": task.label,
                "bars": task.bars,
                "written": [p for p in task.parts if p not in task.kept],
                "chosen": best,
                "taken": taken,
                "moved": moved,
                "ratings": [{k: round(v, 3) for k, v in r.items()} for r in ratings],
            }
        )
        return notes

    def _least_copied(
        self, task: _Task, played: list[dict[str, Notes]], ratings: list[dict[str, float]]
    ) -> int:
        """The best rated; one that copies loses by it, and gives way to a better one."""

        def total(i: int) -> float:
            return ratings[i]["total"]

        best = max(range(len(played)), key=total)
        while self._copied and "copied_notes" not in ratings[best]:
            copied = self._copied_by(task, played[best])
            ratings[best]["copied_notes"] = float(copied)
            ratings[best]["total"] -= max(0, copied - COPIED_FREELY) * COPIED_PENALTY
            ratings[best]["total"] -= copied > COPIED_AT_MOST
            best = max(range(len(played)), key=total)
        return best

    def _copied_by(self, task: _Task, notes: dict[str, Notes]) -> int:
        written = {p: n for p, n in notes.items() if p not in task.kept}
        return self._copied(score_of(written, self._plan.bpm)) if self._copied else 0

    def _mixed(
        self,
        task: _Task,
        played: list[dict[str, Notes]],
        best: int,
        ratings: list[dict[str, float]],
        rated: Callable[[dict[str, Notes]], dict[str, float]],
    ) -> tuple[dict[str, Notes], dict[str, int]]:
        """The best candidate with the players of another where that is better: from which each.

        All candidates go over the same chords, so that one's guitar fits the other's band.
        """
        notes = played[best]
        taken: dict[str, int] = {}
        total = ratings[best]["total"]
        free = ratings[best].get("copied_notes", 0)
        for part in task.parts:
            if part in task.kept:
                continue
            tried = {i: notes | {part: other[part]} for i, other in enumerate(played) if i != best}
            totals = {i: rated(mix)["total"] for i, mix in tried.items()}
            for i in sorted(totals, key=lambda i: -totals[i]):
                if totals[i] < total + MIXED_FOR:
                    break
                if self._copied_by(task, tried[i]) <= max(free, COPIED_FREELY):
                    notes, total = tried[i], totals[i]
                    taken[part] = i
                    break
        return notes, taken

    def _in_place(
        self,
        task: _Task,
        notes: dict[str, Notes],
        rated: Callable[[dict[str, Notes]], dict[str, float]],
    ) -> tuple[dict[str, Notes], dict[str, int]]:
        """The chords in another octave where that is better: by how many semitones each part."""
        moved: dict[str, int] = {}
        total = rated(notes)["total"]
        for part in CHORDAL:
            if part not in task.parts or part in task.kept or not len(notes[part]):
                continue
            n, low, high = notes[part], PARTS[part].low, PARTS[part].high
            for semitones in (-12, 12):
                if low <= n.pitch.min() + semitones and n.pitch.max() + semitones <= high:
                    tried = notes | {
                        part: Notes(n.onset, n.length, n.pitch + semitones, n.velocity)
                    }
                    worth = rated(tried)["total"]
                    if worth >= total + MIXED_FOR:
                        notes, total, moved[part] = tried, worth, semitones
                        break
        return notes, moved


def _stretches(order: Order, piece_bars: int) -> list[tuple[int, _Task]]:
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
            ends=bars > 1 and section.start_bar + offset + bars == piece_bars,
        )
        found.append((offset, task))
        offset += bars
        longest = SEGMENT_BARS
    return found


def _notes(parts: dict[str, Notes], bar: int, bars: int) -> int:
    span = (bar * TICKS_PER_BAR, (bar + bars) * TICKS_PER_BAR)
    return sum(len(n.within(*span)) for n in parts.values())


def _among(task: _Task, tasks: Sequence[_Task]) -> bool:
    return any(t is task for t in tasks)


def _serves(written: _Task, wanted: _Task) -> bool:
    """Whether bars written for one stretch can be heard again in another."""
    return (
        not wanted.kept
        and not wanted.before
        and (written.name == "B") == (wanted.name == "B")
        and written.chords[: 2 * wanted.bars] == wanted.chords
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
