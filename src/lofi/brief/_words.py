"""Brief, Key, Plan: the values that flow through the house, and the errors a user may meet."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from lofi.brief._tables import (
    AMBIENCES,
    BUNDLES,
    DENSITIES,
    MOODS,
    PALETTES,
    PARTS,
    SECTIONS,
    SWINGS,
    TEMPLATES,
    Mood,
)

BPM_RANGE = (50.0, 120.0)
DURATION_RANGE_S = (10.0, 900.0)
DURATION_S = 120.0  # where neither it nor the bars are asked for
SWING_RANGE = (0.5, 0.67)
SEED_RANGE = (0, 2**63 - 1)
TAIL_S = 3.0  # how long the last chord rings beyond the last bar, ideally
TAIL_LEAST_S = 0.4
MASTER_LUFS = -14.0  # what the large platforms play at: they turn it neither up nor down
MASTER_PEAK_DB = -1.0  # true peak: what a lossy codec adds stays below full scale
_SECTION_BARS = (2, 32)


class LofiError(Exception):
    """Something failed. The message is one a user can act on; the exit status is 1."""

    exit_code = 1


class InputError(LofiError):
    """The user gave something that cannot be used. The message names it and the remedy."""

    exit_code = 2


def subseed(seed: int, *labels: object) -> int:
    """A 64-bit seed for one labelled use of `seed`, the same on every machine and run."""
    text = "/".join([str(seed), *map(str, labels)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def one_of(name: str, known: Iterable[str], what: str) -> str:
    """`name` if it is `known`, else an InputError that suggests the nearest ones."""
    names = list(known)
    wanted = name.strip().lower()
    if wanted in names:
        return wanted
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"unknown {what} {name!r}.{hint} Choose one of: {', '.join(names)}.")


_SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_FLATS = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_KEY = re.compile(r"([A-Ga-g])([#♯b♭]?)[\s\-_]*(maj(?:or)?|min(?:or)?|m|M)?\s*$")


def pitch_class_name(pitch_class: int, *, flats: bool = False) -> str:
    """`Eb` or `D#` for 3."""
    return (_FLATS if flats else _SHARPS)[pitch_class % 12]


@dataclass(frozen=True, slots=True)
class Key:
    """A tonic (pitch class, C = 0) and a mode, `major` or `minor`."""

    tonic: int
    mode: str

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read `C`, `Am`, `F# minor`, `Bb major`, `eb-min`. Raises InputError."""
        match = _KEY.match(text.strip())
        if not match:
            raise InputError(
                f"unknown key {text!r}. Write a note name and a mode, such as 'C major', 'Am' or "
                "'F# minor'."
            )
        letter, accidental, mode = match.groups()
        tonic = _LETTERS[letter.upper()] + {"#": 1, "♯": 1, "b": -1, "♭": -1}.get(accidental, 0)
        minor = mode is not None and (mode == "m" or mode.lower().startswith("min"))
        return cls(tonic % 12, "minor" if minor else "major")

    @property
    def flats(self) -> bool:
        """Whether the key signature is written with flats."""
        signature = (self.tonic + (3 if self.mode == "minor" else 0)) % 12
        return signature in (5, 10, 3, 8, 1)

    @property
    def scale(self) -> tuple[int, ...]:
        """The seven pitch classes, from the tonic; minor is the natural minor."""
        steps = (0, 2, 4, 5, 7, 9, 11) if self.mode == "major" else (0, 2, 3, 5, 7, 8, 10)
        return tuple((self.tonic + s) % 12 for s in steps)

    def __str__(self) -> str:
        return f"{pitch_class_name(self.tonic, flats=self.flats)} {self.mode}"


ALL_KEYS = tuple(Key(tonic, mode) for mode in ("major", "minor") for tonic in range(12))


def find_mood(name: str) -> Mood:
    """The mood of that name or alias. Raises InputError with the nearest name."""
    wanted = name.strip().lower()
    for mood in MOODS.values():
        if wanted in mood.aliases:
            return mood
    return MOODS[one_of(name, MOODS, "mood")]


# A form that is asked for: the sections in order, each with its bars, or None where they are free.
Form = tuple[tuple[str, int | None], ...]


def read_form(text: str) -> Form:
    """Read `intro A A' B outro`, with bars where they matter: `intro:4 A:8 B outro`.

    Raises InputError for an unknown section and for bars that are no number from 1 to 32.
    """
    spelled = {name.lower(): name for name in SECTIONS}
    form = []
    for word in re.sub("[’′`]", "'", text).replace(",", " ").split():
        name, colon, bars = word.partition(":")
        known = spelled.get(name.lower()) or one_of(name, SECTIONS, "section")
        if colon and not (bars.isdigit() and 1 <= int(bars) <= _SECTION_BARS[1]):
            raise InputError(
                f"cannot read {word!r} in the form: after the colon comes the number of its bars, "
                f"1 to {_SECTION_BARS[1]}, such as {known}:8."
            )
        form.append((known, int(bars) if colon else None))
    if not form:
        raise InputError(f"the form is empty. Name its sections, such as {' '.join(SECTIONS)!r}.")
    return tuple(form)


def form_bars(form: Form, bars: int) -> list[int]:
    """The bars of each section of a form that lasts `bars` bars in all.

    Sections without a number share what is left in proportion to their usual lengths, in fours
    where there is room. Raises InputError if they cannot.
    """
    fixed = sum(size or 0 for _, size in form)
    free = [i for i, (_, size) in enumerate(form) if size is None]
    least, most = fixed + _SECTION_BARS[0] * len(free), fixed + _SECTION_BARS[1] * len(free)
    if not least <= bars <= most:
        told = " ".join(f"{name}:{size}" if size else name for name, size in form)
        limits = f"{least} bars" if least == most else f"{least} to {most} bars"
        remedy = "Take sections away" if bars < least else "Add sections"
        raise InputError(
            f"the form {told!r} takes {limits}, but the duration holds {bars} at this tempo. "
            f"{remedy}, or change the duration."
        )
    rest = bars - fixed
    usual = sum(SECTIONS[form[i][0]] for i in free)
    ideal = {i: rest * SECTIONS[form[i][0]] / usual for i in free}
    low, high = _SECTION_BARS
    sizes = {i: min(high, max(low, 4 * round(ideal[i] / 4))) for i in free}
    while missing := rest - sum(sizes.values()):
        way = 1 if missing > 0 else -1
        # Fours go to who lacks most; one or two bars to the end, where they sound like one.
        for step in (4, 2, 1):
            able = [i for i in free if low <= sizes[i] + way * step <= high]
            if able and (step <= abs(missing) or (step == 4 and missing in (3, -2, -3))):
                chosen = max(able, key=lambda i: way * (ideal[i] - sizes[i]))
                sizes[chosen if step == 4 else able[-1]] += way * step
                break
    return [size or sizes[i] for i, (_, size) in enumerate(form)]


def read_swing(text: str) -> float:
    """Read `straight`, `light`, `heavy`, or where the off-beat falls in the beat: `58` (percent).

    Raises InputError.
    """
    word = text.strip().lower().removesuffix("%").strip()
    if word in SWINGS:
        return SWINGS[word]
    try:
        swing = float(word) / 100
    except ValueError:
        swing = 0.0
    low, high = SWING_RANGE
    if not low <= swing <= high:
        raise InputError(
            f"unknown swing {text!r}. Choose one of: {', '.join(SWINGS)}; or a number from "
            f"{100 * low:g} to {100 * high:g}, in percent of the beat."
        )
    return swing


def read_parts(text: str) -> tuple[str, ...]:
    """Read `drums,bass,keys`, in the order of PARTS. Raises InputError."""
    named = {one_of(word, PARTS, "instrument") for word in text.replace(",", " ").split()}
    if not named:
        raise InputError(f"no instrument is named. Choose among: {', '.join(PARTS)}.")
    return tuple(p for p in PARTS if p in named)


def read_duration(text: str) -> float:
    """Read `90`, `90s`, `2m` or `2:30` as seconds. Raises InputError."""
    value = text.strip().lower()
    try:
        if ":" in value:
            minutes, seconds = value.split(":")
            return int(minutes) * 60 + float(seconds)
        if value.endswith("m"):
            return float(value[:-1]) * 60
        return float(value.removesuffix("s"))
    except ValueError as error:
        raise InputError(
            f"cannot read the duration {text!r}. Write seconds (90) or minutes:seconds (2:30)."
        ) from error


@dataclass(frozen=True, slots=True)
class Brief:
    """What is asked for. A field that is None is left to chance, which the seed decides.

    `parts` are those who may play. `form` is read by `read_form`. `chords` are two symbols a bar
    (one per half) that come round in every section; they want a `key` beside them, as
    `lofi.music.key_of_chords` hears it. `swing` is the place of the off-beat within the beat, 0.5
    to 0.67; `density` one of DENSITIES. `ambience` is one of AMBIENCES, the first where it is None.
    """

    seed: int
    mood: str | None = None
    bpm: float | None = None
    key: Key | None = None
    duration_s: float | None = None
    palette: str | None = None
    template: str | None = None
    form: Form | None = None
    chords: tuple[str, ...] | None = None
    parts: tuple[str, ...] | None = None
    swing: float | None = None
    density: str | None = None
    ambience: str | None = None

    @property
    def bars(self) -> int:
        """The bars of a settled brief: those of its form, or as many as fit its duration.

        The last chord rings for what is left, half a bar more or less than TAIL_S.
        """
        assert self.bpm
        assert self.duration_s
        if bars := _bars_asked(self.form):
            return bars
        return fit_bars(self.duration_s, self.bpm)

    def settled(self) -> Brief:
        """The same brief with every field filled in and checked. Raises InputError."""
        import random

        if not SEED_RANGE[0] <= self.seed <= SEED_RANGE[1]:
            raise InputError(
                f"seed {self.seed} is out of range: use a whole number from 0 to 2^63-1."
            )
        chance = random.Random(subseed(self.seed, "brief"))
        # Every draw is made whether or not it is needed, so that naming one field leaves the rest.
        drawn_mood, tempo, major, tonic, colour = (chance.random() for _ in range(5))
        mood = (
            find_mood(self.mood) if self.mood else MOODS[list(MOODS)[int(drawn_mood * len(MOODS))]]
        )
        bpm = self.bpm
        if bpm is None:
            bpm = float(round(mood.bpm[0] + tempo * (mood.bpm[1] - mood.bpm[0])))
            bpm = _tempo_that_fits(self.form, self.duration_s, bpm)
        if not BPM_RANGE[0] <= bpm <= BPM_RANGE[1]:
            raise InputError(
                f"bpm {bpm:g} is out of range: choose {BPM_RANGE[0]:g} to {BPM_RANGE[1]:g}."
            )
        duration_s = self.duration_s
        if duration_s is None:
            bars = _bars_asked(self.form)
            duration_s = bars * 240 / bpm + TAIL_S if bars else DURATION_S
        low, high = DURATION_RANGE_S
        if not low <= duration_s <= high:
            raise InputError(
                f"duration {duration_s:g} s is out of range: choose {low:g} seconds to "
                f"{high / 60:g} minutes."
            )
        key = self.key
        if key is None:
            if self.chords:
                raise InputError("chords want a key beside them: give one, such as 'G major'.")
            mode = "major" if major < BUNDLES[mood.bundle].major_share else "minor"
            key = Key(int(tonic * 12), mode)
        if self.chords is not None and (not self.chords or len(self.chords) % 2):
            raise InputError("chords are two symbols for each bar, one per half, at least one bar.")
        if self.swing is not None and not SWING_RANGE[0] <= self.swing <= SWING_RANGE[1]:
            raise InputError(f"swing {self.swing:g} is out of range: choose 0.5 to 0.67.")
        if self.parts is not None:
            read_parts(" ".join(self.parts))
        palette = one_of(self.palette, PALETTES, "palette") if self.palette else None
        settled = replace(
            self,
            mood=mood.name,
            bpm=float(bpm),
            key=key,
            duration_s=float(duration_s),
            palette=palette or mood.palettes[int(colour * len(mood.palettes))],
            template=one_of(self.template, TEMPLATES, "template") if self.template else "bars",
            density=one_of(self.density, DENSITIES, "density") if self.density else None,
            ambience=_ambience_asked(self.ambience),
        )
        settled._check_form()
        return settled

    def _check_form(self) -> None:
        """Raise InputError if the sections asked for do not fill the duration."""
        assert self.bpm
        assert self.duration_s
        if not self.form:
            return
        bars = self.bars
        form_bars(self.form, bars)
        if not _can_ring(self.duration_s - bars * 240 / self.bpm, self.bpm):
            needed = fit_bars(self.duration_s, self.bpm)
            raise InputError(
                f"the form has {bars} bars, which last {bars * 240 / self.bpm:.0f} s at "
                f"{self.bpm:g} bpm; {self.duration_s:g} s hold about {needed}. Change the form, "
                "the duration or the bpm, or leave out the bars of some sections."
            )


def _ambience_asked(name: str | None) -> str | None:
    """The ambience of that name; None for what is heard anyway, which is no other track then."""
    usual = next(iter(AMBIENCES))
    known = one_of(name, AMBIENCES, "ambience") if name else usual
    return None if known == usual else known


def fit_bars(duration_s: float, bpm: float) -> int:
    """The bars that fill a duration best, the ring of the last chord being about TAIL_S."""
    return max(2, round((duration_s - TAIL_S) * bpm / 240))


def _bars_asked(form: Form | None) -> int | None:
    """The bars of a form that gives them all."""
    sizes = [size for _, size in form] if form else [None]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _can_ring(tail_s: float, bpm: float) -> bool:
    """Whether the last chord may ring for so long beyond the last bar: it is held, not dragged."""
    return TAIL_LEAST_S - 1e-6 <= tail_s <= TAIL_S + 240 / bpm


def _tempo_that_fits(form: Form | None, duration_s: float | None, bpm: float) -> float:
    """`bpm`, or the one at which all bars of the form fill the duration, where both are given."""
    bars = _bars_asked(form)
    if not bars or duration_s is None or _can_ring(duration_s - bars * 240 / bpm, bpm):
        return bpm
    exact = round(bars * 240 / max(duration_s - TAIL_S, 0.1), 3)
    return exact if BPM_RANGE[0] <= exact <= BPM_RANGE[1] else bpm


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of bars with one role. `chords` holds two chord symbols per bar (one per half)."""

    name: str
    start_bar: int
    bars: int
    parts: tuple[str, ...]
    chords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a piece is laid out in 4/4: tempo, key, swing and its sections in order.

    `swing` is the place of the off-beat within the beat: 0.5 straight, 0.667 triplet. `levels` is
    how busy each part is to be: 1 sparse, 2 normal, 3 busy. `tail_s` is how long the last chord
    rings beyond the last bar.
    """

    bpm: float
    key: Key
    swing: float
    sections: tuple[Section, ...]
    levels: dict[str, int] = field(default_factory=dict)
    tail_s: float = TAIL_S

    @property
    def bars(self) -> int:
        """The number of bars of all sections."""
        return sum(s.bars for s in self.sections)

    @property
    def bar_s(self) -> float:
        """Seconds per bar."""
        return 240.0 / self.bpm

    @property
    def duration_s(self) -> float:
        """Seconds from the first beat until the last chord has faded."""
        return self.bars * self.bar_s + self.tail_s
