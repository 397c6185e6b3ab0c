"""How each mood sounds: one table of effect settings, and a draw from its ranges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from lofi.brief import BUNDLES, one_of, subseed


@dataclass(frozen=True, slots=True)
class Character:
    """The settings of one render. Depths in percent are peak deviations of the tape's speed."""

    lowpass_hz: float
    wow_pct: float
    flutter_pct: float
    drive_db: float
    crush_bits: float
    crush_rate_hz: float
    crush_mix: float
    crackle_per_s: float
    crackle_db: float
    hiss_db: float
    reverb_mix: float
    reverb_s: float
    chorus_mix: float
    duck_db: float
    width: float
    warmth_db: float
    drums_db: float

    @property
    def tape(self) -> dict[str, float]:
        """How deep the tape's speed deviates, as `tape_delay` takes it."""
        return {
            "wow_pct": self.wow_pct,
            "flutter_pct": self.flutter_pct,
            "drift_pct": 0.3 * self.wow_pct,
        }


_COLUMNS = ("chill", "melancholic", "upbeat", "dreamy", "focus", "sleep")

# (low, high) of every setting, one column per bundle. The four families that producers' tools share
# set the scale; upbeat is their brighter and drier end, dreamy the one with most chorus and room.
# fmt: off
# ruff: noqa: E501
_RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    #                 chill            melancholic      upbeat           dreamy           focus            sleep
    "lowpass_hz":    ((8e3, 10e3),     (5.5e3, 7.5e3),  (11e3, 13.5e3),  (7e3, 9e3),      (10e3, 12e3),    (4e3, 6e3)),
    "wow_pct":       ((.20, .35),      (.30, .60),      (.10, .20),      (.30, .50),      (.10, .20),      (.15, .30)),
    "flutter_pct":   ((.03, .05),      (.05, .07),      (.02, .04),      (.04, .06),      (.02, .04),      (.02, .04)),
    "drive_db":      ((3.0, 4.0),      (4.0, 5.0),      (3.0, 4.5),      (2.0, 3.0),      (2.0, 3.0),      (1.5, 2.5)),
    "crush_bits":    ((12, 12),        (12, 12),        (12, 12),        (13, 13),        (13, 13),        (14, 14)),
    "crush_rate_hz": ((27e3, 29e3),    (23e3, 25e3),    (29e3, 31e3),    (27e3, 29e3),    (31e3, 33e3),    (31e3, 33e3)),
    "crush_mix":     ((.30, .40),      (.35, .45),      (.20, .30),      (.15, .25),      (.15, .25),      (.05, .15)),
    "crackle_per_s": ((5, 8),          (8, 12),         (3, 5),          (4, 7),          (3, 5),          (2, 4)),
    "crackle_db":    ((-41, -39),      (-38, -36),      (-44, -42),      (-43, -41),      (-45, -43),      (-47, -45)),
    "hiss_db":       ((-65, -63),      (-59, -57),      (-67, -65),      (-63, -61),      (-68, -66),      (-63, -61)),
    "reverb_mix":    ((.24, .32),      (.40, .48),      (.14, .20),      (.50, .60),      (.18, .25),      (.46, .54)),
    "reverb_s":      ((1.2, 1.5),      (1.6, 2.0),      (.8, 1.1),       (2.1, 2.6),      (1.0, 1.3),      (2.1, 2.6)),
    "chorus_mix":    ((.25, .35),      (.25, .35),      (.15, .25),      (.40, .50),      (.15, .25),      (.25, .35)),
    "duck_db":       ((2.5, 3.5),      (3.0, 4.0),      (3.0, 4.0),      (2.0, 3.0),      (1.5, 2.5),      (1.0, 2.0)),
    "width":         ((1.10, 1.20),    (.95, 1.05),     (1.15, 1.25),    (1.25, 1.35),    (1.05, 1.15),    (1.05, 1.15)),
    "warmth_db":     ((1.0, 2.0),      (1.5, 2.5),      (.5, 1.5),       (1.0, 2.0),      (.5, 1.5),       (1.5, 2.5)),
    "drums_db":      ((-.5, .5),       (-1.5, -.5),     (.5, 1.5),       (-2.5, -1.5),    (-1.5, -.5),     (-5.0, -4.0)),
}
# fmt: on


def chance(seed: int, label: str) -> Generator:
    """The random numbers of one labelled use in the render of that seed."""
    return np.random.default_rng(subseed(seed, "sound", label))


def draw_character(bundle: str, seed: int) -> Character:
    """The settings of one render of that bundle: a point within its ranges, chosen by the seed."""
    column = _COLUMNS.index(one_of(bundle, BUNDLES, "bundle"))
    rng = chance(seed, "character")
    drawn = {name: float(rng.uniform(*ranges[column])) for name, ranges in _RANGES.items()}
    return Character(**drawn)
