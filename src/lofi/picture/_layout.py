"""Where things stand, in scene units: a stage of 1920 × 1080, y downwards.

What is fixed is a constant; what the seed may move is a field of `Layout`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lofi.brief import subseed

WIDTH = 1920.0
HEIGHT = 1080.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle between two corners."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0


WINDOW = Box(250, 70, 1670, 742)
PANES_X = (WINDOW.x0, WINDOW.x0 + 482, WINDOW.x0 + 956)
"""Left edges of the three panes."""
PANE_WIDTH = 474.0
MULLIONS_X = (WINDOW.x0 + 473, WINDOW.x0 + 947)
TRANSOM_Y = WINDOW.y0 + 175

DESK_BACK_Y = 842.0
DESK_FRONT_Y = 954.0
TEXT_BASELINE_Y = 1029.0
MARGIN_X = 96.0

VISUALIZER = Box(464, 962, 1456, 1078)
"""The strip below the desk's edge, where the spectrum plays."""

PLANT = (420.0, 888.0)
BOOKS = (560.0, 902.0)
TURNTABLE = (1020.0, 926.0)
DISC = (TURNTABLE[0] - 36.0, TURNTABLE[1] - 63.0)
"""The record's spindle; the label is an ellipse of 44 × 10 about it."""
DISC_RADII = (134.0, 32.0)
LAMP = (1540.0, 900.0)
LAMP_HEAD = (LAMP[0] - 96.0, LAMP[1] - 292.0)
KEEPSAKE = (218.0, 884.0)
CAT_FEET_Y = 748.0
CAT_SCALE = 0.92

KEEPSAKES = ("radio", "cassettes", "candle", "frame")
LABELS = ("accent", "cool", "leaf", "warm")


def rng_for(seed: int, label: str) -> np.random.Generator:
    """The generator of one object: another object drawing more does not change this one."""
    return np.random.default_rng(subseed(seed, "picture", label))


@dataclass(frozen=True, slots=True)
class Layout:
    """What the seed decides about the room; the objects draw further details of their own."""

    seed: int
    moon: tuple[float, float]
    moon_radius: float
    moon_shadow: float
    """How far the earth's shadow covers the moon: 0 full, 0.6 a thin crescent."""
    cat_x: float
    hanging_x: float
    hanging_y: float
    swags: int
    """Arcs of the string of fairy lights."""
    keepsake: str
    label: str
    """The palette colour of the record's label."""
    rain: float
    """Streaks of rain per scene; 0 on a dry night."""
    mug_on_books: float
    """Where on the pile of books the mug stands, 0 left to 1 right."""

    @classmethod
    def drawn(cls, seed: int) -> Layout:
        """The layout of that seed."""
        rng = rng_for(seed, "layout")
        left_pane = rng.random() < 0.6
        moon_x = rng.uniform(400, 660) if left_pane else rng.uniform(780, 1130)
        return cls(
            seed=seed,
            moon=(float(moon_x), float(rng.uniform(165, 285))),
            moon_radius=float(rng.uniform(46, 64)),
            moon_shadow=float(rng.choice([0.0, 0.0, 0.0, 0.45, 0.6])),
            cat_x=float(rng.uniform(1075, 1165)),
            hanging_x=float(rng.uniform(1405, 1475)),
            hanging_y=float(rng.uniform(195, 240)),
            swags=int(rng.integers(5, 8)),
            keepsake=str(rng.choice(KEEPSAKES)),
            label=str(rng.choice(LABELS)),
            rain=float(rng.choice([0, 90, 170, 170, 230])),
            mug_on_books=float(rng.uniform(0.3, 0.6)),
        )

    @property
    def mug_x(self) -> float:
        return BOOKS[0] + 20.0 + 160.0 * self.mug_on_books

    @property
    def bulbs(self) -> list[tuple[float, float]]:
        """The bulbs of the fairy lights from left to right."""
        start, arc = self.swag_start, self.swag_width
        return [
            (start + (swag + u) * arc, WINDOW.y0 - 10.0 + 200.0 * u * (1.0 - u))
            for swag in range(self.swags)
            for u in ((j + 0.5) / self.bulbs_per_swag for j in range(self.bulbs_per_swag))
        ]

    @property
    def bulbs_per_swag(self) -> int:
        return round(36 / self.swags)

    @property
    def swag_start(self) -> float:
        return WINDOW.x0 - 30.0

    @property
    def swag_width(self) -> float:
        return (WINDOW.width + 60.0) / self.swags
