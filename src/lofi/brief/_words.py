"""Brief, Key, Plan: the values that flow through the house, and the errors a user may meet."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from lofi.brief._tables import MOODS, PALETTES, TEMPLATES, Mood

BPM_RANGE = (50.0, 120.0)
DURATION_RANGE_S = (10.0, 900.0)
SEED_RANGE = (0, 2**63 - 1)


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


@dataclass(frozen=True, slots=True)
class Brief:
    """What is asked for. A field that is None is left to chance, which the seed decides."""

    seed: int
    mood: str | None = None
    bpm: float | None = None
    key: Key | None = None
    duration_s: float = 120.0
    palette: str | None = None
    template: str | None = None

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
        if not BPM_RANGE[0] <= bpm <= BPM_RANGE[1]:
            raise InputError(
                f"bpm {bpm:g} is out of range: choose {BPM_RANGE[0]:g} to {BPM_RANGE[1]:g}."
            )
        low, high = DURATION_RANGE_S
        if not low <= self.duration_s <= high:
            raise InputError(
                f"duration {self.duration_s:g} s is out of range: choose {low:g} seconds to "
                f"{high / 60:g} minutes."
            )
        key = self.key
        if key is None:
            from lofi.brief._tables import BUNDLES

            mode = "major" if major < BUNDLES[mood.bundle].major_share else "minor"
            key = Key(int(tonic * 12), mode)
        palette = one_of(self.palette, PALETTES, "palette") if self.palette else None
        return replace(
            self,
            mood=mood.name,
            bpm=float(bpm),
            key=key,
            palette=palette or mood.palettes[int(colour * len(mood.palettes))],
            template=one_of(self.template, TEMPLATES, "template") if self.template else "bars",
        )


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
    how busy each part is to be: 1 sparse, 2 normal, 3 busy.
    """

    bpm: float
    key: Key
    swing: float
    sections: tuple[Section, ...]
    levels: dict[str, int] = field(default_factory=dict)

    @property
    def bars(self) -> int:
        """The number of bars of all sections."""
        return sum(s.bars for s in self.sections)

    @property
    def bar_s(self) -> float:
        """Seconds per bar."""
        return 240.0 / self.bpm
