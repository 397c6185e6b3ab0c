"""What moves: lights, rain, steam, tail, record, sparks of the melody, and the visualizers.

What repeats is drawn once per phase or brightness and kept; a picture then costs a few copies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import skia
from numpy.typing import NDArray

from lofi.picture._colour import BLACK, WHITE, Colours, Rgb, luminance, mix, parse_hex, ramp
from lofi.picture._features import SPARK_LIFE_S, Features
from lofi.picture._layout import (
    DISC,
    LAMP_HEAD,
    MARGIN_X,
    TEXT_BASELINE_Y,
    VISUALIZER,
    WIDTH,
    WINDOW,
    Box,
    rng_for,
)
from lofi.picture._paint import box, down, fill, glow, line
from lofi.picture._room import books_top_y, cat_colour
from lofi.picture._stage import Draw, Light, Planes, Stage, Tint
from lofi.picture._text import fit_line
from lofi.picture._visualizer import DISPLAYS, Display


@dataclass(frozen=True)
class Moment:
    """What the music does while one picture is shown."""

    time_s: float
    bands: NDArray[np.float32]
    kick: float = 0.0
    kicks_so_far: int = 0
    sparks: list[tuple[float, float]] = field(default_factory=list)
    """Age in seconds and MIDI pitch of the melody notes that still fly."""

    @classmethod
    def of(cls, features: Features, picture: int) -> Moment:
        """The moment of that picture of a piece."""
        return cls(
            time_s=float(features.times_s[picture]),
            bands=features.bands[picture],
            kick=float(features.kick[picture]),
            kicks_so_far=int(features.kicks_so_far[picture]),
            sparks=features.sounding(picture),
        )


Mover = Callable[[Moment], None]
"""Puts one moving thing into the frame under construction."""


class Show:
    """Everything that moves on a stage, in the order of drawing."""

    def __init__(self, stage: Stage, template: str) -> None:
        self._stage = stage
        self._movers: list[Mover] = []
        if stage.scene.layout.rain:
            self._movers.append(Rain(stage).show)
        self._movers += [
            Tail(stage).show,
            RecordMark(stage).show,
            Beacons(stage).show,
            FairyLights(stage).show,
            LampPulse(stage).show,
            Steam(stage).show,
        ]
        if template in DISPLAYS:
            self._movers.append(Visualizer(stage, template).show)
        self._movers.append(Sparks(stage).show)

    def draw(self, moment: Moment) -> None:
        """Bring the frame of the stage to that moment."""
        self._stage.clear()
        for show in self._movers:
            show(moment)


class _Loop:
    """Phases of something periodic, each made when first shown."""

    def __init__(self, period_s: float, phases: int) -> None:
        self.period_s = period_s
        self.phases = phases

    def phase(self, time_s: float) -> int:
        return round(time_s / self.period_s * self.phases) % self.phases


class _Levels:
    """A light at several strengths, each made when first shown."""

    STEPS = 16

    def __init__(self, make: Callable[[float], Light]) -> None:
        self._make = make
        self._made: dict[int, Light] = {}

    def at(self, strength: float) -> Light:
        """The light at the step nearest to a strength of 0..1."""
        step = round(min(max(strength, 0.0), 1.0) * self.STEPS)
        if step not in self._made:
            self._made[step] = self._make(step / self.STEPS)
        return self._made[step]


class Rain:
    """Streaks at three distances, written straight into the luma of the window.

    The path of a streak is a function of time alone. A streak is two pixels wide with the light
    shared between them by its sub-pixel place: the anti-aliasing of a steep thin line.
    """

    _SLANT = 0.075
    _FALL = WINDOW.height + 120.0

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        scale = stage.scene.scale
        rng = rng_for(stage.scene.layout.seed, "rain")
        count = int(stage.scene.layout.rain)
        self._x = rng.uniform(WINDOW.x0, WINDOW.x1 + 60, count) * scale
        self._start = rng.random(count)
        distance = np.arange(count) % 3
        self._speed = 1.0 + 0.5 * distance
        length = ((22 + 20 * distance) * scale).astype(np.int64)
        colours = stage.scene.colours
        far = 0.15 * luminance(colours.cool) ** 0.5
        near = 0.24 * luminance(colours.moon) ** 0.5
        brightness = np.where(distance == 2, near, far) * 255.0
        # One row of the streaks below is one pixel row of one streak.
        self._streak = np.repeat(np.arange(count), length)
        self._row = np.concatenate([np.arange(n) for n in length])
        along = self._row / length[self._streak]
        self._light = brightness[self._streak] * np.sin(np.pi * (0.1 + 0.9 * along)) ** 0.5
        self._glass = 1.0 - stage.front_alpha.astype(np.float32) / 255.0

    def show(self, moment: Moment) -> None:
        scale = self._stage.scene.scale
        progress = (self._start + moment.time_s * self._speed) % 1.0
        top = (WINDOW.y0 - 60.0 + progress * self._FALL) * scale
        left = self._x - progress * 46.0 * scale
        y = top.astype(np.int64)[self._streak] + self._row
        x = left[self._streak] - self._row * self._SLANT
        column = np.floor(x).astype(np.int64)
        share = x - column
        top_px, left_px, bottom_px, right_px = self._stage.pixel_box(WINDOW)
        inside = (y >= top_px) & (y < bottom_px) & (column >= left_px) & (column + 1 < right_px)
        y, column = y[inside], column[inside]
        share, light = share[inside], self._light[inside]
        luma = self._stage.frame.y
        for side, part in ((column, 1.0 - share), (column + 1, share)):
            value = luma[y, side] + light * part * self._glass[y, side]
            luma[y, side] = np.minimum(value, 235.0).astype(np.uint8)
        self._stage.touch(WINDOW)


class Tail(_Loop):
    """The cat's tail, hanging from the sill."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(period_s=4.0, phases=60)
        self._stage = stage
        x = stage.scene.layout.cat_x
        self._area = Box(x + 30, WINDOW.y1, x + 186, WINDOW.y1 + 122)
        self._cut_outs: dict[int, Planes] = {}

    def show(self, moment: Moment) -> None:
        phase = self.phase(moment.time_s)
        if phase not in self._cut_outs:
            turn = 2 * math.pi * phase / self.phases
            sway = 0.8 * math.sin(turn) + 0.2 * math.sin(2 * turn + 0.7)
            self._cut_outs[phase] = self._stage.cut_out(self._area, self._drawing(sway))
        self._stage.put(self._area, self._cut_outs[phase])

    def _drawing(self, sway: float) -> Draw:
        colours = self._stage.scene.colours
        x, y = self._stage.scene.layout.cat_x + 48, WINDOW.y1
        tail = skia.Path()
        tail.moveTo(x, y)
        tail.cubicTo(x + 28, y + 8, x + 40 + 8 * sway, y + 40, x + 30 + 22 * sway, y + 66)
        tail.cubicTo(
            x + 24 + 30 * sway, y + 84, x + 40 + 44 * sway, y + 98, x + 56 + 46 * sway, y + 88
        )

        def draw(canvas: skia.Canvas) -> None:
            canvas.drawPath(tail, line(BLACK, 22, 0.35, blur=7))
            canvas.drawPath(tail, line(cat_colour(colours), 21))
            lit = skia.Path(tail)
            lit.offset(5, -3)
            canvas.drawPath(lit, line(colours.warm, 5, 0.30, blur=2.5))

        return draw


class RecordMark(_Loop):
    """The mark on the label, turning at 33 1/3 revolutions a minute."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(period_s=1.8, phases=54)
        self._stage = stage
        x, y = DISC
        self._area = Box(x - 46, y - 14, x + 46, y + 14)
        self._cut_outs: dict[int, Planes] = {}

    def show(self, moment: Moment) -> None:
        phase = self.phase(moment.time_s)
        if phase not in self._cut_outs:
            turn = 2 * math.pi * phase / self.phases
            self._cut_outs[phase] = self._stage.cut_out(self._area, self._drawing(turn))
        self._stage.put(self._area, self._cut_outs[phase])

    def _drawing(self, turn: float) -> Draw:
        colours = self._stage.scene.colours
        mark_x = DISC[0] + 30 * math.cos(turn)
        mark_y = DISC[1] + 6.6 * math.sin(turn)
        paint = fill(mix(colours.moon, colours.accent, 0.2), 0.9)

        def draw(canvas: skia.Canvas) -> None:
            canvas.drawOval(box(mark_x - 5, mark_y - 2, mark_x + 5, mark_y + 2), paint)

        return draw


class Beacons:
    """Red lights on the masts of the city, each breathing at its own time."""

    _RADIUS = 22.0

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._beacons = [_Levels(self._maker(x, y)) for x, y in stage.scene.beacons]

    def _maker(self, x: float, y: float) -> Callable[[float], Light]:
        area = Box(x - self._RADIUS, y - self._RADIUS, x + self._RADIUS, y + self._RADIUS)

        def make(strength: float) -> Light:
            def draw(canvas: skia.Canvas) -> None:
                glow(canvas, x, y, self._RADIUS, parse_hex("#ff4a4a"), 0.9 * strength)
                canvas.drawCircle(x, y, 2.4, fill(parse_hex("#ff7a6a"), 0.4 + 0.6 * strength))

            return self._stage.light(area, draw, outside=True)

        return make

    def show(self, moment: Moment) -> None:
        for index, levels in enumerate(self._beacons):
            breath = max(0.0, math.sin(moment.time_s * 2.1 + index * 1.7)) ** 6
            self._stage.shine(levels.at(breath))


class FairyLights:
    """A string of bulbs: each twinkles at its own pace, every other one jumps with the kick."""

    _RADIUS = 42.0

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        colours = stage.scene.colours
        tints = [
            mix(colours.warm, tint, 0.55) for tint in (colours.accent, colours.cool, colours.warm)
        ]
        self._bulbs = [
            _Levels(self._maker(x, y, tints[index % 3]))
            for index, (x, y) in enumerate(stage.scene.layout.bulbs)
        ]

    def _maker(self, x: float, y: float, tint: Rgb) -> Callable[[float], Light]:
        centre_y = y + 4
        area = Box(
            x - self._RADIUS, centre_y - self._RADIUS, x + self._RADIUS, centre_y + self._RADIUS
        )

        def make(strength: float) -> Light:
            def draw(canvas: skia.Canvas) -> None:
                glow(canvas, x, centre_y, self._RADIUS, tint, 0.12 + 0.58 * strength)
                bulb = fill(mix(tint, WHITE, 0.5), 0.6 + 0.4 * strength)
                canvas.drawOval(box(x - 4.5, y - 3, x + 4.5, y + 11), bulb)

            return self._stage.light(area, draw)

        return make

    def show(self, moment: Moment) -> None:
        for index, levels in enumerate(self._bulbs):
            twinkle = 0.30 + 0.18 * math.sin(moment.time_s * 1.7 + index * 2.1)
            turn = index % 2 == moment.kicks_so_far % 2
            self._stage.shine(levels.at(twinkle + (0.55 if turn else 0.12) * moment.kick))


class LampPulse:
    """The lamp swells a little with each kick."""

    _RADIUS = 290.0

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        x, y = LAMP_HEAD[0], LAMP_HEAD[1] + 54
        area = Box(x - self._RADIUS, y - self._RADIUS, x + self._RADIUS, y + self._RADIUS)

        def make(strength: float) -> Light:
            def draw(canvas: skia.Canvas) -> None:
                glow(canvas, x, y, self._RADIUS, stage.scene.colours.warm, 0.18 * strength)

            return stage.light(area, draw)

        self._levels = _Levels(make)

    def show(self, moment: Moment) -> None:
        breath = 0.22 + 0.06 * math.sin(moment.time_s * 0.9)
        self._stage.shine(self._levels.at(breath + 0.65 * moment.kick))


class Steam(_Loop):
    """Three wisps over the mug."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(period_s=3.6, phases=54)
        self._stage = stage
        layout = stage.scene.layout
        self._x = layout.mug_x
        self._y = books_top_y(layout) - 68
        self._area = Box(self._x - 62, self._y - 128, self._x + 62, self._y + 16)
        self._lights: dict[int, Light] = {}

    def show(self, moment: Moment) -> None:
        phase = self.phase(moment.time_s)
        if phase not in self._lights:
            turn = 2 * math.pi * phase / self.phases
            self._lights[phase] = self._stage.light(self._area, self._drawing(turn))
        self._stage.shine(self._lights[phase])

    def _drawing(self, turn: float) -> Draw:
        moon = self._stage.scene.colours.moon
        fade = down(
            self._y, self._y - 112, (moon, 0.0), (moon, 0.24), (moon, 0.0), places=[0.0, 0.25, 1.0]
        )

        def draw(canvas: skia.Canvas) -> None:
            for wisp in range(3):
                x = self._x - 14 + 14 * wisp
                path = skia.Path()
                path.moveTo(x, self._y)
                for step in range(1, 10):
                    bend = math.sin(step * 0.8 - turn + wisp * 1.9) * (2 + step * 1.7)
                    path.lineTo(x + bend, self._y - step * 12.5)
                canvas.drawPath(path, line(moon, 9, blur=6, shader=fade))

        return draw


class Sparks:
    """Every note of the melody lifts a spark off the record; higher notes rise further right."""

    _RADIUS = 18.0

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        x, y = DISC
        self._area = Box(x - self._RADIUS, y - self._RADIUS, x + self._RADIUS, y + self._RADIUS)
        accent = stage.scene.colours.accent

        def make(strength: float) -> Light:
            def draw(canvas: skia.Canvas) -> None:
                glow(canvas, x, y, self._RADIUS, accent, 0.65 * strength)
                canvas.drawCircle(x, y, 2.8, fill(mix(accent, WHITE, 0.7), strength))

            return stage.light(self._area, draw)

        self._levels = _Levels(make)

    def show(self, moment: Moment) -> None:
        scale = self._stage.scene.scale
        for age_s, pitch in moment.sparks:
            life = age_s / SPARK_LIFE_S
            sway = 14 * math.sin(age_s * 3 + pitch)
            right = -70 + (pitch - 67) * 6.0 + sway
            up = 12 + 170 * life**0.8
            light = self._levels.at((1.0 - life) ** 1.3)
            self._stage.shine(light, -round(up * scale / 2) * 2, round(right * scale / 2) * 2)


class Visualizer:
    """The spectrum display of a template, in the strip below the desk."""

    def __init__(self, stage: Stage, template: str) -> None:
        self._stage = stage
        top, left, bottom, right = stage.pixel_box(VISUALIZER)
        self._display: Display = DISPLAYS[template](right - left, bottom - top, stage.scene.scale)
        colours = stage.scene.colours
        gradient = ramp((colours.cool, colours.accent, colours.warm), right - left)
        self._tint = Tint(stage, VISUALIZER, np.array(gradient))

    def show(self, moment: Moment) -> None:
        self._tint.put(self._display.mask(moment.bands, moment.time_s))


def title_drawing(colours: Colours, template: str, title: str, subtitle: str) -> Draw:
    """The lettering of the frame: title at the left, subtitle at the right of the strip."""
    room = VISUALIZER.x0 - MARGIN_X - 32
    title_room, subtitle_room = (room, room) if template in DISPLAYS else (1080.0, 560.0)
    left = fit_line(title, "Quicksand-Medium.ttf", 28, 19, title_room)
    right = fit_line(subtitle, "Quicksand-Medium.ttf", 26, 18, subtitle_room)

    def draw(canvas: skia.Canvas) -> None:
        left.draw(
            canvas, MARGIN_X, TEXT_BASELINE_Y, fill(mix(colours.moon, colours.room, 0.05), 0.95)
        )
        right.draw(
            canvas,
            WIDTH - MARGIN_X - right.width,
            TEXT_BASELINE_Y,
            fill(mix(colours.moon, colours.room, 0.2), 0.9),
        )

    return draw
