"""The arranger: written stretches become a piece whose layers come and go, and that ends.

What the model wrote is laid end to end. A section that returns is varied: another colour of the
kit, a part that waits, half a bar of silence. Drums fill where a section gives way to the next; the
last bar is a chord that rings until the piece is over. Then all of it is played by people: swung,
a little early or late, louder and softer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import symusic

from lofi.brief import BUNDLES, PARTS, Brief, Plan, Section, find_mood, subseed
from lofi.music._band import LATE_MS, SWELL, sixteenths, swung
from lofi.music._drums import (
    HIT_TICKS,
    LOUDNESS,
    PICKUPS,
    PITCHES,
    breath,
    fills_of,
    first_mark,
)
from lofi.music._material import STEPS
from lofi.music._midi import TICKS_PER_BAR, TICKS_PER_BEAT
from lofi.music._recognise import HALF_BAR, Notes
from lofi.music._theory import Chord
from lofi.music._tokens import VELOCITY_STEP, density_level
from lofi.music._writer import Order, clipped, score_of

Written = Sequence[Sequence[tuple[int, dict[str, Notes]]]]

_BREATH_ODDS = 0.45  # the band holds its breath before B
_LATE_ODDS = 0.6  # a layer of the intro waits for its second half
_LEAVE_ODDS = 0.4  # the drums leave the outro half way
_CRASH_ODDS = 0.5
_SOFTEST, _LOUDEST = 8, 124
TOUCH = 3.5  # how far a player's velocities usually spread, swelling aside
_TOUCH_VARIES = 0.3  # standard deviation of its logarithm from player to player
_SLIPS = 0.03  # share of the velocities that tell nothing of the player
_SWAY_MS, _MOST_ASTRAY_MS = 3.0, 10.0  # of the band, and of a player in it
_ROLL_TICKS = 14  # the last chord is rolled from below, this much from voice to voice
# A part of the kit that another may stand in for when a section returns, and what it is told as.
_KIT_COLOURS = (
    ("hat", "ride"),
    ("hat", "shaker"),
    ("shaker", "hat"),
    ("ride", "hat"),
    ("snare", "rim"),
    ("rim", "snare"),
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written, and the music that is there already and stays as it is.

    `given` is in ticks from the start of the piece. The parts in `kept` are given from beginning to
    end; all parts are given for the first `given_bars`.
    """

    plan: Plan
    orders: tuple[Order, ...]
    given: dict[str, Notes] = field(default_factory=dict)
    given_bars: int = 0
    kept: frozenset[str] = frozenset()


def arrange(
    draft: Draft, written: Written, brief: Brief
) -> tuple[symusic.Score, list[dict[str, object]]]:
    """The score of a draft whose orders have been written, and what was done to them by bar."""
    arranger = _Arranger(draft, _laid_out(draft, written), brief)
    arranger.lead_in_and_out()
    arranger.vary_returns()
    arranger.fill()
    arranger.end()
    parts = _played(arranger.parts, draft.plan, brief.seed)
    if not draft.given:  # else they are as loud as what is there
        assert brief.mood
        _balance(parts, BUNDLES[find_mood(brief.mood).bundle].velocity, brief.seed)
    for name, notes in draft.given.items():
        parts[name] = _followed(notes, parts[name]) if name in parts else notes
    return score_of(parts, draft.plan.bpm), [
        {"bar": bar, "what": what} for bar, what in sorted(arranger.told)
    ]


def _laid_out(draft: Draft, written: Written) -> dict[str, Notes]:
    """All that is new, in ticks of the piece; what an order keeps goes before what was written."""
    columns: dict[str, list[Notes]] = {}
    for order, stretches in zip(draft.orders, written, strict=True):
        bars = [(offset, name, n) for offset, parts in stretches for name, n in parts.items()]
        kept = [(0, name, n) for name, n in order.kept.items()]
        for offset, name, n in [b for b in bars if b[1] not in order.kept] + kept:
            if name not in draft.kept:
                start = (order.section.start_bar + offset) * TICKS_PER_BAR
                moved = Notes(n.onset + start, n.length, n.pitch, n.velocity)
                columns.setdefault(name, []).append(moved)
    return {name: Notes.joined(found) for name, found in columns.items()}


def _without(notes: Notes, start: int, stop: int) -> Notes:
    """The notes, none beginning in [start, stop) ticks, none ringing into it."""
    inside = (notes.onset >= start) & (notes.onset < stop)
    before = notes.only(notes.onset < start)
    return Notes.joined([clipped(before, start), notes.only(~inside & (notes.onset >= start))])


class _Arranger:
    """Works on `parts`, section by section, and keeps a list of what it did."""

    def __init__(self, draft: Draft, parts: dict[str, Notes], brief: Brief) -> None:
        assert brief.mood
        self.parts = parts
        self.told: list[tuple[int, str]] = []
        self._plan = draft.plan
        self._kept = draft.kept
        self._bundle = find_mood(brief.mood).bundle
        self._seed = brief.seed
        self._first = draft.given_bars

    def _own(self, *labels: object) -> random.Random:
        return random.Random(subseed(self._seed, "arrange", *labels))

    def _new(self) -> list[Section]:
        return [s for s in self._plan.sections if s.start_bar >= self._first]

    def _tell(self, bar: int, what: str) -> None:
        self.told.append((bar + 1, what))

    def _playing(self, section: Section) -> list[str]:
        """The parts that play in the section and may be changed."""
        start = section.start_bar * TICKS_PER_BAR
        stop = start + section.bars * TICKS_PER_BAR
        return [
            p for p in section.parts if p in self.parts and len(self.parts[p].within(start, stop))
        ]

    def _rested(self, part: str, first_bar: float, bars: float) -> Notes:
        start, stop = (round(b * TICKS_PER_BAR) for b in (first_bar, first_bar + bars))
        return _without(self.parts[part], start, stop)

    def _rest(self, part: str, first_bar: float, bars: float, what: str) -> None:
        self.parts[part] = self._rested(part, first_bar, bars)
        self._tell(int(first_bar), what)

    def _as_busy(self, section: Section, part: str, notes: Notes) -> bool:
        """Whether the part is on the same level of density in the section with these notes."""
        span = _span(section.start_bar, section.bars)
        before, after = (
            density_level(part, len(n.within(*span)), section.bars)
            for n in (self.parts[part], notes)
        )
        return before == after

    # Layers

    def lead_in_and_out(self) -> None:
        """The layers of an intro come one by one; the drums may leave the outro half way."""
        for i, section in enumerate(self._new()):
            own = self._own("layers", i)
            playing = self._playing(section)
            half = section.bars // 2
            if section.bars < 4:
                continue
            if section.name == "intro":
                layers = [p for p in ("bass", "drums", "guitar") if p in playing]
                for part in layers[: len(playing) - 1]:
                    rested = self._rested(part, section.start_bar, half)
                    if own.random() < _LATE_ODDS and self._as_busy(section, part, rested):
                        self._rest(part, section.start_bar, half, f"{part} enters {half} bars late")
            if section.name == "outro" and "drums" in playing and len(playing) > 1:
                after = section.start_bar + half
                if own.random() < _LEAVE_ODDS:
                    self._rest("drums", after, section.bars - half, "drums leave")

    # Returns

    def vary_returns(self) -> None:
        """A section whose letter has been heard is not the same again: two small changes."""
        heard: set[str] = set()
        for i, section in enumerate(self._plan.sections):
            if section.name not in ("A", "A'", "B"):
                continue
            returns = section.name[0] in heard
            heard.add(section.name[0])
            if not returns or section.start_bar < self._first:
                continue
            own = self._own("return", i)
            moves = self._moves(section, own)
            own.shuffle(moves)
            for move in moves[:2]:
                move()

    def _moves(self, section: Section, own: random.Random) -> list[Callable[[], None]]:
        """What can be done to a section that returns."""
        playing = self._playing(section)
        start, bars = section.start_bar, section.bars
        moves: list[Callable[[], None]] = []
        if colours := self._colours(section, playing):
            moves.append(partial(self._recolour, section, *own.choice(colours)))
        if bars >= 4 and len(playing) >= 3:
            rests: list[tuple[str, float, float, str]] = []
            for part in [p for p in ("bass", "pad", "guitar") if p in playing]:
                late = bars // (4 if part == "bass" else 2)
                rests.append((part, start, late, f"{part} enters {late} bars late"))
            if "drums" in playing:
                stop = start + (4 if bars >= 8 else bars // 2) - 0.5
                rests.append(("drums", stop, 0.5, "drums hold their breath"))
            moves += [
                partial(self._rest, *rest)
                for rest in rests
                if self._as_busy(section, rest[0], self._rested(*rest[:3]))
            ]
        if not moves and playing:
            part = next((p for p in ("keys", "pad", "guitar") if p in playing), playing[0])
            onsets = self.parts[part].within(*_span(start, bars)).onset
            # The half bar that ends the first phrase, or the one nearest to it with notes in it.
            middle = 2 * start + max(2, bars) - 1
            half = min((onsets // HALF_BAR).tolist(), key=lambda h: abs(h - middle))
            moves.append(partial(self._rest, part, half / 2, 0.5, f"{part} holds its breath"))
        return moves

    def _colours(self, section: Section, playing: list[str]) -> list[tuple[str, str]]:
        """The exchanges of the kit that would be heard in the section."""
        if "drums" not in playing:
            return []
        start = section.start_bar * TICKS_PER_BAR
        hits = (
            self.parts["drums"].within(start, start + section.bars * TICKS_PER_BAR).pitch.tolist()
        )
        count = {name: hits.count(pitch) for name, pitch in PITCHES.items()}
        return [(a, b) for a, b in _KIT_COLOURS if count[a] >= section.bars and not count[b]]

    def _recolour(self, section: Section, before: str, after: str) -> None:
        notes = self.parts["drums"]
        start = section.start_bar * TICKS_PER_BAR
        inside = (notes.onset >= start) & (notes.onset < start + section.bars * TICKS_PER_BAR)
        pitch = np.where(inside & (notes.pitch == PITCHES[before]), PITCHES[after], notes.pitch)
        self.parts["drums"] = Notes(notes.onset, notes.length, pitch, notes.velocity)
        self._tell(section.start_bar, f"{before} becomes {after}")

    # Fills

    def fill(self) -> None:
        """Where drums lead from one section into another, the last bar is a fill or a breath."""
        sections = self._new()
        for i, (section, following) in enumerate(pairwise(sections)):
            same = (following.name, following.parts) == (section.name, section.parts)
            if same or section.bars < 2 or "drums" not in following.parts:
                continue
            bar = section.start_bar + section.bars - 1
            drums = self.parts.get("drums")
            if drums is None or not len(drums.within(*_span(bar - 1, 2))):
                continue
            own = self._own("fill", i)
            closings = own.sample(fills := fills_of(self._bundle), len(fills))
            if following.name == "B" and own.random() < _BREATH_ODDS:
                closings.insert(0, breath(own.choice(PICKUPS)))
            before = _on_grid(drums, bar - 1)
            played = [self._closed(bar, closing) for closing in closings]
            heard = [p for p in played if _on_grid(p, bar) != before] or played
            as_busy = (p for p in heard if self._as_busy(section, "drums", p))
            self.parts["drums"] = next(as_busy, heard[0])
            self._tell(bar, f"the drums lead into {following.name}")
            lively = self._bundle in ("chill", "upbeat")
            if following.name == "B" and lively and own.random() < _CRASH_ODDS:
                self._add("drums", [((bar + 1) * TICKS_PER_BAR, HIT_TICKS, PITCHES["crash"], 62)])

    def _closed(self, bar: int, closing: dict[str, str]) -> Notes:
        """The drums with the bar closed: from its first mark on, the closing is all there is."""
        drums = self.parts["drums"]
        places = sixteenths(self._plan.swing)
        ticks = [
            bar * TICKS_PER_BAR + s // 4 * TICKS_PER_BEAT + places[s % 4] for s in range(STEPS)
        ]
        around = drums.within(*_span(bar - 3, 4)).velocity
        base = float(np.percentile(around, 75)) if len(around) else 70.0
        rows = [
            (ticks[step], HIT_TICKS, PITCHES[name], int(min(110, base * LOUDNESS[mark])))
            for name, line in closing.items()
            for step, mark in enumerate(line)
            if mark != "."
        ]
        first = first_mark(closing)
        stop = (bar + 1) * TICKS_PER_BAR
        left = _without(drums, ticks[first] - 10, stop) if first < STEPS else drums
        return Notes.joined([left, Notes(*np.array(rows, np.int64).reshape(-1, 4).T)])

    def _add(self, name: str, rows: list[tuple[int, int, int, int]]) -> None:
        new = Notes(*np.array(rows, np.int64).T)
        self.parts[name] = Notes.joined([self.parts[name], new]) if name in self.parts else new

    # The end

    def end(self) -> None:
        """The last bar is its chord, which rings until the piece is over."""
        plan = self._plan
        last = (plan.bars - 1) * TICKS_PER_BAR
        rings = TICKS_PER_BAR + round(plan.tail_s * plan.bpm / 60 * TICKS_PER_BEAT)
        outro = plan.sections[-1]
        chord = Chord.parse(outro.chords[-1])
        for name, notes in self.parts.items():
            self.parts[name] = clipped(notes.within(0, last), last)
        band = [p for p in PARTS if p in self.parts and p not in self._kept]
        there = [p for p in ("keys", "pad", "guitar") if p in outro.parts and p in band]
        holder = next(
            iter([*there, *(p for p in ("keys", "pad", "guitar", "lead") if p in band)]), None
        )
        played = self.parts[holder] if holder else None
        recent = played is not None and len(played) > 0
        centre = float(played.pitch[-12:].mean()) if played is not None and recent else 62.0
        loud = float(played.velocity[-12:].mean()) if played is not None and recent else 60.0
        velocity = int(min(max(loud, 40), 84))
        root = next(p for p in range(36, 48) if p % 12 == chord.root)
        if holder == "lead":  # alone above the bass: the third, near where the melody was
            pitch = _nearest(chord.third, centre, PARTS["lead"].low, PARTS["lead"].high)
            self._add("lead", [(last, rings, pitch, velocity)])
        elif holder:
            # The voicing nearest to what was played last, its root left to the bass.
            centre = min(max(centre, 56.0), 68.0)
            pitches = sorted({_nearest(pc, centre, 45, 81) for pc in chord.pitch_classes[1:]})
            if "bass" not in self.parts and "bass" not in self._kept:
                pitches.insert(0, root + 12)
            self._add(holder, _rolled(last, rings, pitches, velocity))
            if holder == "keys" and "pad" in there:
                high = [_nearest(pc, 70.0, 60, 84) for pc in (chord.third, chord.fifth)]
                self._add(
                    "pad", [(last, rings, p, max(30, velocity - 12)) for p in sorted({*high})]
                )
        if "bass" in band:
            self._add("bass", [(last, rings, root, velocity)])
        if "drums" in band and ("drums" in outro.parts or not holder):
            self._add("drums", [(last, TICKS_PER_BEAT // 4, PITCHES["kick"], velocity)])


def _span(bar: int, bars: int) -> tuple[int, int]:
    return max(0, bar) * TICKS_PER_BAR, (bar + bars) * TICKS_PER_BAR


def _on_grid(notes: Notes, bar: int) -> set[tuple[int, int]]:
    """The (twelfth of a beat, pitch) of a bar's notes."""
    inside = notes.within(*_span(bar, 1))
    twelfths = np.round((inside.onset - bar * TICKS_PER_BAR) * 12 / TICKS_PER_BEAT).astype(int)
    return set(zip(twelfths.tolist(), inside.pitch.tolist(), strict=True))


def _nearest(pitch_class: int, centre: float, low: int, high: int) -> int:
    return min(
        (p for p in range(low, high + 1) if p % 12 == pitch_class), key=lambda p: abs(p - centre)
    )


def _rolled(
    start: int, length: int, pitches: list[int], velocity: int
) -> list[tuple[int, int, int, int]]:
    """A chord struck from below; its highest voice is the loudest, all end together."""
    top = len(pitches) - 1
    return [
        (start + i * _ROLL_TICKS, length - i * _ROLL_TICKS, p, velocity - 3 * (top - i))
        for i, p in enumerate(pitches)
    ]


# Playing -------------------------------------------------------------------------------------


def _played(parts: dict[str, Notes], plan: Plan, seed: int) -> dict[str, Notes]:
    """Swung, swelling, and with small seeded deviations that a grid of twelve steps cannot hold.

    The band strays together, within about 10 ms, each player a little behind it or ahead, a chord
    as one; the snare is 4-14 ms late as lo-fi drummers lay it back.
    Then no note runs into the next strike of its own pitch.
    """
    rng = np.random.default_rng(subseed(seed, "humanise"))
    ms = plan.bpm * TICKS_PER_BEAT / 60_000  # ticks per millisecond
    late = float(rng.uniform(4, 14)) * ms
    swell = np.concatenate([np.linspace(*SWELL[s.name], s.bars) for s in plan.sections])
    twelfth = TICKS_PER_BEAT // 12
    sway = rng.normal(0, _SWAY_MS, plan.bars * TICKS_PER_BAR // twelfth + 1)
    section_of = np.repeat(np.arange(len(plan.sections)), [s.bars for s in plan.sections])
    out = {}
    for name in PARTS:
        if name not in parts or not len(parts[name]):
            continue
        n = parts[name]
        onset = swung(n.onset, plan.swing)
        length = np.maximum(1, swung(n.onset + n.length, plan.swing) - onset)
        moment = np.minimum(n.onset // twelfth, len(sway) - 1)
        astray = sway[moment] + rng.uniform(*LATE_MS[name])
        shift = np.clip(astray, -_MOST_ASTRAY_MS, _MOST_ASTRAY_MS) * ms
        if name == "drums":
            shift = shift + np.where(np.isin(n.pitch, (37, 38, 39, 40)), late, 0)
        moved = np.maximum(0, onset + np.round(shift).astype(np.int64))
        moved = np.where(n.onset % TICKS_PER_BAR == 0, np.maximum(moved, onset), moved)
        bar = np.minimum(n.onset // TICKS_PER_BAR, plan.bars - 1)
        if name == "drums":  # struck in a few ways, from ghost to accent: each is a middle
            loud = unrounded(n.velocity) + rng.normal(0, TOUCH, len(n))
        else:
            loud = _levelled(touched(n.velocity, rng), section_of[bar])
        loud *= swell[bar]
        velocity = np.clip(np.round(loud).astype(int), _SOFTEST, _LOUDEST)
        out[name] = _separated(Notes(moved, length, n.pitch, velocity))
    return out


def touched(velocity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Velocities (n,) of one player, as they were before the tokens rounded them to one of eight.

    Each is drawn from the normal distribution that most likely is the player's, within the range
    that its token stands for. The middle of that range would make two players of one who is heard
    at its edge.
    """
    player = NormalDist(*_likeliest(velocity))
    drawn = []
    for middle, chance in zip(velocity.tolist(), rng.random(len(velocity)).tolist(), strict=True):
        low, high = middle - VELOCITY_STEP / 2, middle + VELOCITY_STEP / 2
        below, above = player.cdf(low), player.cdf(high)
        place = min(max(below + chance * (above - below), 1e-9), 1 - 1e-9)
        drawn.append(min(max(player.inv_cdf(place), low), high))
    return np.array(drawn)


_erf = np.vectorize(math.erf, otypes=[float])


def _likeliest(velocity: np.ndarray) -> tuple[float, float]:
    """Mean and spread of a player's velocities, by what the tokens tell and by what is usual.

    Two neighbouring tokens tell nothing of the spread, which is then the usual one.
    """
    half = VELOCITY_STEP / 2
    means = np.median(velocity) + np.linspace(-VELOCITY_STEP, VELOCITY_STEP, 33)
    spreads = np.geomspace(TOUCH / 2, 8 * TOUCH, 25)
    heard, count = np.unique(velocity, return_counts=True)
    away = (heard[:, None] + [-half, half] - means[:, None, None, None]) / spreads[:, None, None]
    within = np.diff(_erf(away / math.sqrt(2)))[..., 0] / 2  # (means, spreads, tokens)
    chance = (1 - _SLIPS) * within + _SLIPS / (128 // VELOCITY_STEP)
    likely = np.log(chance) @ count - (np.log(spreads / TOUCH) / _TOUCH_VARIES) ** 2 / 2
    i, j = np.unravel_index(likely.argmax(), likely.shape)
    return float(means[i]), float(spreads[j])


def unrounded(velocity: np.ndarray) -> np.ndarray:
    """Velocities (n,) of one player, drawn together by what rounding and touch add to their spread.

    By a fifth at most. After Sheppard, "On the calculation of the most probable values of
    frequency-constants", Proceedings of the London Mathematical Society 29 (1898).
    """
    heard, added = velocity.var(), VELOCITY_STEP**2 / 12 + TOUCH**2
    keep = math.sqrt(max(0.0, 1 - added / heard)) if heard else 1.0
    return velocity.mean() + max(keep, 0.8) * (velocity - velocity.mean())


def _levelled(velocity: np.ndarray, section: np.ndarray) -> np.ndarray:
    """Velocities (n,) of one player, every section as loud as the whole: what follows is to swell.

    By half a step at most: that far a token may be off.
    """
    half = VELOCITY_STEP / 2
    out = velocity.copy()
    for i in np.unique(section):
        inside = section == i
        out[inside] += np.clip(velocity.mean() - velocity[inside].mean(), -half, half)
    return out


def _balance(parts: dict[str, Notes], usual: tuple[int, int], seed: int) -> None:
    """Make all parts so much louder or softer that the pitched ones are as loud as is usual.

    A token tells a velocity to half a step; which of the velocities it may stand for is meant, the
    mood tells. In place.
    """
    heard = [n.velocity for name, n in parts.items() if name != "drums"]
    mean = float(np.concatenate(heard or [n.velocity for n in parts.values()]).mean())
    wanted = sum(usual) / 2 + random.Random(subseed(seed, "loudness")).uniform(-3, 3)
    half = VELOCITY_STEP / 2
    shift = round(min(max(wanted - mean, -half), half))
    for name, n in parts.items():
        velocity = np.clip(n.velocity + shift, _SOFTEST, _LOUDEST)
        parts[name] = Notes(n.onset, n.length, n.pitch, velocity)


def _separated(notes: Notes) -> Notes:
    order = np.lexsort((notes.onset, notes.pitch))
    onset, pitch = notes.onset[order], notes.pitch[order]
    length = np.maximum(1, notes.length[order])
    same = np.flatnonzero(pitch[1:] == pitch[:-1])
    length[same] = np.minimum(length[same], np.maximum(1, onset[same + 1] - onset[same]))
    back = np.lexsort((pitch, onset))
    return Notes(onset[back], length[back], pitch[back], notes.velocity[order][back])


def _followed(given: Notes, new: Notes) -> Notes:
    """Both, without the new notes that strike a pitch which the given ones still hold."""
    free = np.ones(len(new), bool)
    for pitch in np.unique(new.pitch[: 2 * STEPS]):
        ends = (given.onset + given.length)[given.pitch == pitch]
        if len(ends):
            free &= (new.pitch != pitch) | (new.onset >= ends.max())
    return Notes.joined([given, new.only(free)])
