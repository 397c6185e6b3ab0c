"""How alike two releases of one channel are: in their words, their melodies, their thumbnails.

Words: the share of words and of pairs of neighbouring words that two texts have in common (Jaccard
of shingles: Broder, "On the resemblance and containment of documents", 1997), without regard to
case and accents. Melodies: the share of values that two MinHash signatures of melodic 6-grams have
in common, which estimates the same of the grams; it hears neither key nor tempo nor sound.
Thumbnails: a coarse picture of light and colour, compared cell by cell.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

TITLES_ALIKE = 0.6
OPENINGS_ALIKE = 0.8
MELODIES_ALIKE = 0.33  # where `lofi.originality` takes two scores for twins
# Of our own thumbnails, the same scene under another title is 83 to 87 % alike, two scenes of one
# palette 38 to 78 %, two palettes at most 72 % (43 thumbnails, 903 pairs).
THUMBNAILS_ALIKE = 0.8
_DIFFERENT = 0.1  # between two colours in OKLab: plainly not the same
RECENT_DAYS = 90
LAB_STEPS = (1 / 255, 0.8 / 255, 0.8 / 255)  # what one step of a byte is in L, a and b

# Scripts without spaces are compared by their letters.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


@dataclass(frozen=True, slots=True)
class Words:
    """What a listing says that others might say as well."""

    name: str
    title: str
    opening: str


def words_alike(one: Words, other: Words) -> tuple[float, str]:
    """How alike two listings are, where 1 is too much, and in what."""
    if one.name and _shingles(one.name) == _shingles(other.name):
        return 1.0 + title_alikeness(one.title, other.title), "the name"
    return max(
        (title_alikeness(one.title, other.title) / TITLES_ALIKE, "the title"),
        (title_alikeness(one.opening, other.opening) / OPENINGS_ALIKE, "the opening"),
    )


def most_alike(one: Words, others: Iterable[Words]) -> tuple[float, str, Words | None]:
    """The listing that is most like this one: how much (1 is too much), in what, and which."""
    found: tuple[float, str, Words | None] = (0.0, "", None)
    for other in others:
        much, what = words_alike(one, other)
        if much > found[0]:
            found = (much, what, other)
    return found


class Said:
    """Listings that others are compared with, found by their words: thousands take no longer.

    A text that shares `limit` of its shingles with another lacks so few of them that one of any
    few more must be in both: only listings with one of its rarest are looked at (prefix filtering:
    Chaudhuri et al., "A primitive operator for similarity joins in data cleaning", 2006).
    """

    def __init__(self, said: Iterable[Words] = ()) -> None:
        self._said: list[Words] = []
        self._names: dict[frozenset[str], list[int]] = {}
        self._with: dict[tuple[str, str], list[int]] = {}
        for words in said:
            self.add(words)

    def add(self, words: Words) -> None:
        """Compare with this one as well."""
        place = len(self._said)
        self._said.append(words)
        if words.name:
            self._names.setdefault(_shingles(words.name), []).append(place)
        for kind, text in (("title", words.title), ("opening", words.opening)):
            for shingle in _shingles(text):
                self._with.setdefault((kind, shingle), []).append(place)

    def names(self, name: str) -> bool:
        """Whether one of them has that name."""
        return _shingles(name) in self._names

    def too_alike(self, words: Words) -> float:
        """How much the listing that is most like this one is like it: from 1, or 0 for none."""
        places = set(self._names.get(_shingles(words.name), ()) if words.name else ())
        for kind, text, limit in (
            ("title", words.title, TITLES_ALIKE),
            ("opening", words.opening, OPENINGS_ALIKE),
        ):
            found = sorted(
                (self._with.get((kind, shingle), []) for shingle in _shingles(text)), key=len
            )
            needed = math.ceil(limit * len(found) - 1e-9)
            places.update(*found[: len(found) - needed + 1])
        much = max((words_alike(words, self._said[p])[0] for p in places), default=0.0)
        return much if much >= 1.0 else 0.0


def title_alikeness(one: str, other: str) -> float:
    """The share of words and pairs of words that two short texts have in common: 0 to 1."""
    a, b = _shingles(one), _shingles(other)
    both = len(a & b)
    return both / (len(a) + len(b) - both) if both else 0.0


@lru_cache(maxsize=50_000)
def _shingles(text: str) -> frozenset[str]:
    letters = unicodedata.normalize("NFKD", text.casefold())
    words = _WORD.findall("".join(c for c in letters if not unicodedata.combining(c)))
    return frozenset([*words, *(f"{a} {b}" for a, b in pairwise(words))])


# Melodies ----------------------------------------------------------------------------------------


def melody_alikeness(one: str, other: str) -> float:
    """The share of values that two signatures of a track's melodies have in common.

    A signature is 32-bit numbers, eight hexadecimal digits each.
    """
    a, b = _values(one), _values(other)
    if not a or len(a) != len(b):
        return 0.0
    return sum(x == y for x, y in zip(a, b, strict=True)) / len(a)


def _values(signature: str) -> list[str]:
    return [signature[i : i + 8] for i in range(0, len(signature), 8)]


# Thumbnails --------------------------------------------------------------------------------------


def thumbnail_alikeness(one: str, other: str) -> float:
    """How alike two thumbnails look, from 0 to 1: by half of their cells, whatever stands there.

    Each is a grid of colours in OKLab (Ottosson 2020), three bytes a cell, as `read_picture` gives
    it. The median of the differences passes over the title, which is another one anyway.
    """
    import numpy as np

    a, b = (np.frombuffer(bytes.fromhex(x), np.uint8).reshape(-1, 3) for x in (one, other))
    if a.shape != b.shape or not len(a):
        return 0.0
    steps = np.array(LAB_STEPS)
    apart = np.linalg.norm((a.astype(float) - b) * steps, axis=1)
    return max(0.0, 1.0 - float(np.median(apart)) / _DIFFERENT)
