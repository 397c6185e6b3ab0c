"""Chords as pitch classes: their symbols, their tones, and how symbols are read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lofi.brief import ALL_KEYS, InputError, Key, pitch_class_name

# Quality -> intervals above the root, in semitones, most important first after the root.
# These are the words the model knows; `ALIASES` reads what musicians also write.
QUALITIES: dict[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "dim": (0, 3, 6),
    "sus4": (0, 5, 7),
    "maj7": (0, 4, 11, 7),
    "min7": (0, 3, 10, 7),
    "7": (0, 4, 10, 7),
    "m7b5": (0, 3, 6, 10),
    "dim7": (0, 3, 6, 9),
    "min6": (0, 3, 9, 7),
    "maj6": (0, 4, 9, 7),
    "maj9": (0, 4, 11, 2, 7),
    "min9": (0, 3, 10, 2, 7),
    "9": (0, 4, 10, 2, 7),
    "7sus4": (0, 5, 10, 7),
    "7alt": (0, 4, 10, 1, 8),
    "aug": (0, 4, 8),
}

ALIASES: dict[str, str] = {
    "": "maj", "M": "maj", "m": "min", "-": "min", "o": "dim", "°": "dim", "+": "aug",
    "sus": "sus4", "M7": "maj7", "Δ": "maj7", "Δ7": "maj7", "m7": "min7", "-7": "min7",
    "ø": "m7b5", "ø7": "m7b5", "min7b5": "m7b5", "o7": "dim7", "°7": "dim7", "m6": "min6",
    "6": "maj6", "M9": "maj9", "m9": "min9", "-9": "min9", "m11": "min9", "min11": "min9",
    "maj13": "maj9", "add9": "maj9", "6/9": "maj6", "11": "7sus4", "9sus4": "7sus4", "sus2": "sus4",
    "13": "9", "7b9": "7alt", "7#9": "7alt", "7#5": "7alt", "alt": "7alt", "7b13": "7alt",
}  # fmt: skip

_CHORDS_AT_MOST = 64  # bars of a loop that is asked for

_SYMBOL = re.compile(r"([A-G])([#b]?)(.*)$")
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True, slots=True)
class Chord:
    """A root (pitch class) and a quality of `QUALITIES`."""

    root: int
    quality: str

    @classmethod
    def parse(cls, symbol: str) -> Chord:
        """Read `Am9`, `Ebmaj7`, `F#m7b5`. A bass after `/` is dropped. Raises InputError."""
        head = symbol.strip() if symbol.strip().endswith("6/9") else symbol.strip().split("/")[0]
        match = _SYMBOL.match(head)
        quality = ALIASES.get(match[3], match[3]) if match else ""
        if not match or quality not in QUALITIES:
            raise InputError(f"unknown chord {symbol!r}.{_nearest(head)}")
        root = _LETTERS[match[1]] + {"#": 1, "b": -1}.get(match[2], 0)
        return cls(root % 12, quality)

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The chord's tones as pitch classes, root first."""
        return tuple((self.root + i) % 12 for i in QUALITIES[self.quality])

    @property
    def third(self) -> int:
        """The pitch class of its third, or of the fourth that is suspended before it."""
        return self.pitch_classes[1]

    @property
    def fifth(self) -> int:
        """The pitch class of its fifth, perfect unless the chord says otherwise."""
        above = set(QUALITIES[self.quality])
        return (self.root + next((i for i in (7, 6, 8) if i in above), 7)) % 12

    @property
    def seventh(self) -> int:
        """The pitch class of its seventh, of the sixth in its place, or of a triad's fifth."""
        above = set(QUALITIES[self.quality])
        found = next((i for i in (11, 10, 9) if i in above), None)
        return self.fifth if found is None else (self.root + found) % 12

    def symbol(self, *, flats: bool = False) -> str:
        """`Ebmaj7` with flats, `D#maj7` without."""
        shown = {"maj": "", "min": "m", "min7": "m7", "min9": "m9", "min6": "m6", "maj6": "6"}
        return pitch_class_name(self.root, flats=flats) + shown.get(self.quality, self.quality)


def _nearest(head: str) -> str:
    """What may have been meant by a symbol that is none."""
    match = _SYMBOL.match(head[:1].upper() + head[1:])
    if not match:
        return " Write a root from A to G and a quality, such as 'Am9' or 'Ebmaj7'."
    known = [*QUALITIES, *(a for a in ALIASES if a)]
    near = difflib.get_close_matches(match[3], known, n=3, cutoff=0.5)
    near = near or ["" if match[3] in known or not match[3] else q for q in ("maj7", "min7", "7")]
    root = match[1] + match[2]
    if match[3] in known or not match[3]:  # only its root is written small
        near = [match[3]]
    meant = " or ".join(repr(root + quality) for quality in near)
    return f" Did you mean {meant}? Qualities are {', '.join(QUALITIES)}."


def read_chords(text: str) -> tuple[str, ...]:
    """Read a loop of chords as two symbols a bar, one per half.

    Without bar lines each chord is a bar: `Am9 D7 Gmaj9 Cmaj7`. With `|` a bar is what stands
    between two of them, one chord or two halves: `Am9 D7 | Gmaj9`. Raises InputError.
    """
    lines = text.strip().strip("|").split("|")
    bars = [line.split() for line in lines] if len(lines) > 1 else [[c] for c in text.split()]
    halves: list[str] = []
    for bar in bars:
        if not 1 <= len(bar) <= 2:
            raise InputError(
                f"a bar of the chords {text!r} holds {len(bar)}. Between two | stand one chord or "
                "two, one for each half of the bar."
            )
        halves += [Chord.parse(s).symbol(flats=s[1:2] == "b") for s in (bar[0], bar[-1])]
    if not 1 <= len(bars) <= _CHORDS_AT_MOST:
        raise InputError(
            f"{len(bars)} bars of chords: give 1 to {_CHORDS_AT_MOST}, such as "
            "'Am9 D7 Gmaj9 Cmaj7'."
        )
    return tuple(halves)


def key_of_chords(symbols: Sequence[str]) -> Key:
    """The key of a loop of chords, one symbol per half bar.

    It holds most of the chords and of their tones; its own chord is among them, comes first, or
    follows its dominant. The loop is heard as coming round.
    """
    chords = [Chord.parse(s) for s in symbols]
    steps = list(zip([chords[-1], *chords], chords, strict=False))

    def fits(key: Key) -> float:
        inside = [len({*c.pitch_classes} & {*key.scale}) / len(c.pitch_classes) for c in chords]
        whole = sum(share == 1 for share in inside)
        score = (whole + sum(inside)) / 2 / len(chords)
        score += 0.25 * any(_is_home(c, key) for c in chords) + 0.15 * _is_home(chords[0], key)
        dominants = ("maj", "7", "9", "7alt", "7sus4")
        led_home = any(
            _is_home(c, key) and before.root == c.fifth and before.quality in dominants
            for before, c in steps
        )
        return score + 0.2 * led_home

    return max(ALL_KEYS, key=fits)


def _is_home(chord: Chord, key: Key) -> bool:
    """Whether it is the chord of the key's tonic: its third, and no seventh that leads on."""
    intervals = QUALITIES[chord.quality]
    third = (4 in intervals and 10 not in intervals) if key.mode == "major" else 3 in intervals
    return chord.root == key.tonic and third and 6 not in intervals
