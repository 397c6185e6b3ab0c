"""The drummer: grooves that lean back, breathe, turn and fill."""

from __future__ import annotations

from math import pi, sin

from lofi.music._band import Band, Note, Scene
from lofi.music._material import STEPS, Row, bar_of, material, suited, tablature

PITCHES = {
    "kick": 36, "snare": 38, "rim": 37, "clap": 39, "hat": 42, "open": 46, "shaker": 70,
    "ride": 51, "tom": 50, "low tom": 45, "crash": 49,
}  # fmt: skip
LOUDNESS = {"X": 1.24, "x": 1.03, "o": 0.72, "g": 0.3, "?": 0.52}
_CYMBALS = ("hat", "open", "shaker", "ride")
_BACKBEAT = ("snare", "rim", "clap")
HIT_TICKS = 60

_Hits = dict[str, list[str]]

# What is left of the kit where the band is thin.
_THIN = (
    ("hat", "shaker", "ride"),
    ("kick", "hat", "shaker", "ride"),
    ("rim", "snare", "hat", "shaker", "ride"),
)
_FILL_ODDS = 0.8
# A soft crash where a section begins, and an open hat where its phrases end.
_CRASHED = ("A", "A'", "B")
_CRASH_ODDS = {
    "chill": 0.5, "melancholic": 0.4, "upbeat": 0.7, "dreamy": 0.4, "focus": 0.3, "sleep": 0.0,
}  # fmt: skip
_LIFT_ODDS = {
    "chill": 0.6, "melancholic": 0.4, "upbeat": 0.7, "dreamy": 0.4, "focus": 0.5, "sleep": 0.0,
}  # fmt: skip
# Ghosts are felt as much as played.
_HEARD_GHOSTS = 0.9
_DROP_ODDS = 0.45  # the band holds its breath before B
PICKUPS = ("..oX", "..gx", ".gox", "...x", "..xx", "x.oX")


def groove_of(band: Band, letter: str) -> Row:
    """The groove of A or B."""
    rows = suited(material("grooves")["grooves"], band.bundle)
    if letter == "B":  # B is heard as another place
        rows = [r for r in rows if r is not groove_of(band, "A")] or rows
    return band.take(("groove", letter), rows, [1.0] * len(rows))


def fills_of(bundle: str) -> list[dict[str, str]]:
    """The fills of a mood: sixteen marks for each drum that plays."""
    rows = suited(material("grooves")["fills"], bundle)
    return [{k: tablature(v) for k, v in row.items() if k in PITCHES} for row in rows]


def breath(pickup: str) -> dict[str, str]:
    """A bar in which the band falls silent, then four steps that lead on."""
    return {"kick": "........o.......", "snare": "............" + pickup}


def first_mark(closing: dict[str, str]) -> int:
    """The step of the first written hit."""
    return min((i for v in closing.values() for i, c in enumerate(v) if c != "."), default=STEPS)


def kick_steps(band: Band, scene: Scene, bar: int) -> list[int]:
    """The steps at which the groove has its kick drum, for a bass that locks with it."""
    line = bar_of(groove_of(band, scene.letter)["kick"], bar - scene.bars.start)
    return [i for i, mark in enumerate(line) if mark not in ".?"]


class Drummer:
    """Keeps one feel through the piece: how late the backbeat, how early or late the hats."""

    def __init__(self, band: Band) -> None:
        self._band = band
        own = band.own("drum feel")
        self._backbeat_ms = own.uniform(4, 14)
        self._cymbal_ms = own.choice((-6.0, -3.0, 0.0, 0.0, 4.0, 7.0))
        self._breath = own.uniform(0, 2 * pi)
        self._turns: dict[tuple[str, int], Row] = {}

    def play(self, scene: Scene) -> list[Note]:
        """The groove of the section with its turns, and what closes it."""
        band = self._band
        rows: list[Note] = []
        own = band.own("drums", scene.name, scene.times)
        thin = own.choice(_THIN) if scene.thin else None
        closing = self._closing(scene, own.random(), own.choice(PICKUPS))
        crash = scene.name in _CRASHED and own.random() < _CRASH_ODDS[band.bundle]
        lift = band.own("lift", scene.letter).random() < _LIFT_ODDS[band.bundle]
        leaves = own.random() < 0.4
        for bar in scene.bars:
            at = bar - scene.bars.start
            if bar < band.enters("drums", scene):
                continue
            if scene.name == "outro" and leaves and 2 * at >= len(scene.bars):
                break
            if band.is_last(bar):
                rows.append((band.onset(bar, 0), HIT_TICKS, PITCHES["kick"], self._base(bar, 0)))
                break
            hits = self._hits(scene, at)
            if thin and not (scene.name == "intro" and 2 * at >= len(scene.bars)):
                hits = {k: v for k, v in hits.items() if k in thin} or hits
            if closing and bar == scene.bars[-1]:
                _replace(hits, closing)
            if lift and at % 4 == 3 and "hat" in hits:
                hits["hat"][14:] = ".."
                hits.setdefault("open", ["."] * STEPS)[14] = "o"
            if crash and at == 0:
                hits["crash"] = ["o"] + ["."] * (STEPS - 1)
            rows += self._struck(hits, bar, at)
        return rows

    def _hits(self, scene: Scene, at: int) -> _Hits:
        """The groove in bar `at` of the section, turned in the second and the fourth of four.

        What is turned where stays the same: a groove comes back.
        """
        band = self._band
        groove = groove_of(band, scene.letter)
        hits = {k: list(bar_of(v, at)) for k, v in groove.items() if k in PITCHES}
        for place in {1: (1, 2), 3: (2, 3)}.get(at % 4, ()):
            label = (scene.name, place)
            if label not in self._turns:
                others = [t for (name, _), t in self._turns.items() if name == scene.name]
                turns = suited(material("grooves")["turns"], band.bundle)
                heard = [t for t in turns if _turned(hits, t) != hits]
                heard = [t for t in heard if not any(t is o for o in others)] or heard
                self._turns[label] = band.own("turn", *label).choice(heard) if heard else {}
            hits = _turned(hits, self._turns[label])
        return hits

    def _closing(self, scene: Scene, roll: float, pickup: str) -> dict[str, str] | None:
        """What the last bar of the section is replaced by: a fill, or silence and a pickup."""
        band = self._band
        if scene.section.bars < 4:
            return None
        if scene.following == "B" and roll < _DROP_ODDS:
            return breath(pickup)
        if roll > _FILL_ODDS:
            return None
        return band.own("fill", scene.name, scene.times).choice(fills_of(band.bundle))

    def _base(self, bar: int, step: int) -> int:
        band = self._band
        return min(106, round(band.loudness(bar, step) + 17))

    def _struck(self, hits: _Hits, bar: int, at: int) -> list[Note]:
        band = self._band
        rows: list[Note] = []
        for name, steps in hits.items():
            for step, mark in enumerate(steps):
                if mark == "." or (mark == "?" and at % 2 == 0):
                    continue
                if mark == "g" and band.chance.random() > _HEARD_GHOSTS:
                    continue
                loud = self._base(bar, step) * LOUDNESS[mark]
                late = 0.0
                if name in _CYMBALS:
                    late = self._cymbal_ms
                    wave = sin(2 * pi * (bar * STEPS + step) / (2 * STEPS) + self._breath)
                    loud *= 0.7 * (1 + 0.09 * wave) * (1.0 if step % 4 == 0 else 0.82)
                elif name in _BACKBEAT and mark in "Xxo":
                    late = self._backbeat_ms
                onset = band.onset(bar, step, late_ms=late)
                rows.append((onset, HIT_TICKS, PITCHES[name], round(loud)))
        return rows


def _turned(hits: _Hits, turn: Row) -> _Hits:
    """The bar with the turn's marks added and those it takes away gone."""
    out = {name: list(line) for name, line in hits.items()}
    for name, steps in turn.items():
        if name not in PITCHES:
            continue
        for i, mark in enumerate(tablature(steps)):
            if mark == "-" and name in out:
                out[name][i] = "."
            elif mark not in ".-":
                line = out.setdefault(name, ["."] * STEPS)
                line[i] = mark if line[i] == "." else line[i]
    return out


def _replace(hits: _Hits, closing: dict[str, str]) -> None:
    """From its first written hit on, the closing is all that is played."""
    first = first_mark(closing)
    for name in {**hits, **closing}:
        before = hits.get(name, ["."] * STEPS)[:first]
        hits[name] = before + list(closing.get(name, "." * STEPS)[first:])
