"""What is seen through the window: sky, moon, clouds, city, wet glass."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import skia

from lofi.picture._colour import BLACK, WHITE, Colours, Rgb, mix, ramp
from lofi.picture._layout import (
    LAMP_HEAD,
    PANE_WIDTH,
    PANES_X,
    WINDOW,
    Layout,
    rng_for,
)
from lofi.picture._paint import box, down, fill, glow, line, linear, polygon, radial


@dataclass
class CityLights:
    """What shines in the city: `(x, y, size, colour, strength)` per lit window, and mast tops."""

    windows: list[tuple[float, float, float, Rgb, float]] = field(default_factory=list)
    beacons: list[tuple[float, float]] = field(default_factory=list)


def draw_sky(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """The gradient of the hour, and stars that fade toward the horizon."""
    rng = rng_for(layout.seed, "stars")
    shader = down(WINDOW.y0, WINDOW.y1 - 170, *ramp(colours.sky, 16))
    canvas.drawRect(box(WINDOW.x0, WINDOW.y0, WINDOW.x1, WINDOW.y1), fill(shader=shader))
    for _ in range(int(rng.integers(120, 260))):
        x = rng.uniform(WINDOW.x0, WINDOW.x1)
        height = rng.uniform(0, 330)
        radius = rng.choice([0.8, 1.0, 1.4, 1.9], p=[0.5, 0.3, 0.15, 0.05])
        alpha = rng.uniform(0.15, 0.9) * (1 - height / 360)
        canvas.drawCircle(
            float(x), float(WINDOW.y0 + height), float(radius), fill(colours.moon, alpha)
        )


def draw_moon(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """A moon with seas, in its halo, perhaps partly in shadow."""
    x, y = layout.moon
    radius = layout.moon_radius
    horizon = colours.sky[2]
    glow(canvas, x, y, radius * 7.4, mix(horizon, colours.moon, 0.4), 0.34)
    glow(canvas, x, y, radius * 3.3, colours.moon, 0.38)
    disc = skia.Path()
    disc.addCircle(x, y, radius)
    if layout.moon_shadow:
        shadow = skia.Path()
        reach = radius * (1.0 - layout.moon_shadow)
        shadow.addCircle(x + reach * 0.92, y - reach * 0.40, radius * 1.01)
        disc = skia.Op(disc, shadow, skia.PathOp.kDifference_PathOp)
    lit = radial(
        (x - radius * 0.3, y - radius * 0.3),
        radius * 1.5,
        [colours.moon, mix(colours.moon, horizon, 0.28)],
    )
    canvas.drawPath(disc, fill(shader=lit, blur=0.8))
    canvas.save()
    canvas.clipPath(disc, True)
    sea = fill(mix(colours.moon, colours.sky[1], 0.35), 0.35, blur=3)
    for dx, dy, size in (
        (-0.28, -0.34, 0.26),
        (0.31, 0.10, 0.34),
        (-0.17, 0.38, 0.19),
        (0.45, -0.41, 0.14),
        (-0.55, 0.07, 0.12),
    ):
        canvas.drawCircle(x + dx * radius, y + dy * radius, size * radius, sea)
    canvas.restore()


def draw_clouds(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """Clusters of blurred puffs, lit from above."""
    rng = rng_for(layout.seed, "clouds")
    body = mix(colours.sky[2], colours.moon, 0.15)
    for _ in range(int(rng.integers(6, 12))):
        centre_x = rng.uniform(WINDOW.x0 - 50, WINDOW.x1)
        centre_y = rng.uniform(170, 470)
        width = rng.uniform(170, 420)
        lowness = (centre_y - 170) / 300
        puffs = int(width / 22)
        for index in range(puffs):
            u = index / puffs * 2 - 1
            radius = float(width * 0.1 * (1 - u * u) + 7)
            canvas.save()
            canvas.translate(float(centre_x + u * width / 2), float(centre_y + rng.uniform(-5, 5)))
            canvas.scale(1.9, 0.62)
            canvas.drawCircle(0, 0, radius, fill(body, 0.05 + 0.05 * lowness, blur=7))
            canvas.drawCircle(0, -radius * 0.5, radius * 0.7, fill(colours.moon, 0.025, blur=6))
            canvas.restore()


# Distance, nearest last: lowest and highest roof above the sill, narrowest and widest house.
_DEPTHS = ((150, 300, 34, 80), (150, 380, 55, 110), (110, 330, 80, 150), (40, 215, 120, 230))


def draw_city(canvas: skia.Canvas, colours: Colours, layout: Layout) -> CityLights:
    """Four rows of houses; each is mixed toward the horizon's colour and sunk in fog."""
    rng = rng_for(layout.seed, "city")
    lights = CityLights()
    ground = WINDOW.y1 + 10
    gap_at = rng.uniform(0.1, 0.5)
    for depth, (low, high, narrow, wide) in enumerate(_DEPTHS):
        nearness = (depth + 0.4) / 3.4
        body = mix(colours.city_far, colours.city_near, nearness)
        x = WINDOW.x0 - rng.uniform(0, 60)
        while x < WINDOW.x1:
            width = rng.uniform(narrow, wide)
            u = (x - WINDOW.x0) / WINDOW.width
            skyline = 1.0 - 0.35 * math.exp(-(((u - gap_at) / 0.16) ** 2))
            height = (
                low + (high - low) * rng.beta(1.6, 2.2) * skyline + 18 * math.sin(u * 9 + depth)
            )
            _draw_house(
                canvas, colours, rng, lights, float(x), float(width), float(height), depth, body
            )
            if depth == 3:
                x += width + rng.uniform(0, 26)
            else:
                x += width + rng.uniform(-6, 10)
        _draw_fog(canvas, colours, depth, ground)
    for wx, wy, size, colour, strength in lights.windows:
        glow(canvas, wx, wy, size * 3.2, colour, strength * 0.16)
    horizon = colours.sky[2]
    haze = down(WINDOW.y1 - 330, WINDOW.y1, (horizon, 0.0), (horizon, 0.16))
    canvas.drawRect(
        box(WINDOW.x0, WINDOW.y0, WINDOW.x1, WINDOW.y1),
        fill(shader=haze, blend=skia.BlendMode.kScreen),
    )
    return lights


def _draw_fog(canvas: skia.Canvas, colours: Colours, depth: int, ground: float) -> None:
    top = ground - (260 - 45 * depth)
    horizon = colours.sky[2]
    fog = mix(horizon, colours.city_far, 0.3)
    shader = down(top, ground, (horizon, 0.0), (fog, 0.34 - 0.10 * depth))
    canvas.drawRect(box(WINDOW.x0, top, WINDOW.x1, ground), fill(shader=shader))


def _draw_house(
    canvas: skia.Canvas,
    colours: Colours,
    rng: np.random.Generator,
    lights: CityLights,
    x: float,
    width: float,
    height: float,
    depth: int,
    body: Rgb,
) -> None:
    ground = WINDOW.y1 + 10
    top = ground - height
    nearness = (depth + 0.4) / 3.4
    horizon = colours.sky[2]
    wall = down(
        top - 20,
        ground,
        mix(body, horizon, 0.10 * (1 - nearness)),
        body,
        mix(body, horizon, 0.38 * (1 - nearness)),
    )
    canvas.drawPath(_house_outline(rng, x, top, width, height, depth), fill(shader=wall))
    if rng.random() < 0.35:
        mast_top = top - height * 0.3
        canvas.drawLine(x + width * 0.5, mast_top, x + width * 0.5, top, line(body, 2))
        if depth >= 1 and rng.random() < 0.6:
            lights.beacons.append((x + width * 0.5, mast_top))
    moonlit = fill(mix(body, colours.moon, 0.5), 0.22)
    canvas.drawRect(box(x, top, x + 3, ground), moonlit)
    _draw_windows(canvas, colours, rng, lights, x, top, width, height, depth, body)


def _house_outline(
    rng: np.random.Generator, x: float, top: float, width: float, height: float, depth: int
) -> skia.Path:
    ground = top + height
    house = skia.Path()
    house.addRect(box(x, top, x + width, ground))
    roof = rng.choice(["stepped", "gable", "slant", "tank", "flat", "flat"])
    if roof == "stepped":
        house.addRect(box(x + width * 0.2, top - height * 0.09, x + width * 0.8, top))
        house.addRect(box(x + width * 0.36, top - height * 0.15, x + width * 0.64, top))
    elif roof == "gable":
        house.addPath(polygon((x, top), (x + width * 0.5, top - width * 0.22), (x + width, top)))
    elif roof == "slant":
        house.addPath(polygon((x, top), (x + width, top - width * 0.3), (x + width, top)))
    elif roof == "tank" and depth > 1:
        house.addRect(box(x + width * 0.15, top - 30, x + width * 0.42, top - 9))
        house.addPath(
            polygon(
                (x + width * 0.13, top - 30),
                (x + width * 0.285, top - 44),
                (x + width * 0.44, top - 30),
            )
        )
        for leg in (0.18, 0.28, 0.38):
            house.addRect(box(x + width * leg, top - 9, x + width * leg + 2, top))
    return house


def _draw_windows(
    canvas: skia.Canvas,
    colours: Colours,
    rng: np.random.Generator,
    lights: CityLights,
    x: float,
    top: float,
    width: float,
    height: float,
    depth: int,
    body: Rgb,
) -> None:
    nearness = (depth + 0.4) / 3.4
    size = 5 + 3.2 * depth
    step_x, step_y = size * 1.75, size * 2.15
    lit_share = rng.uniform(0.2, 0.62)
    tint = rng.random()
    dark = fill(mix(body, colours.sky[0], 0.5), 0.5)
    for row in range(int((height - 12) / step_y)):
        row_share = lit_share * (0.55 + 0.45 * math.sin(row * 0.9 + tint * 9))
        for column in range(int((width - size) / step_x)):
            wx = x + size * 0.8 + column * step_x
            wy = top + 9 + row * step_y
            pane = box(wx, wy, wx + size, wy + size * 1.25)
            if rng.random() > row_share:
                if depth >= 2:
                    canvas.drawRect(pane, dark)
                continue
            coolness = float(np.clip(rng.normal(0.18 + 0.5 * (tint > 0.8), 0.2), 0, 1))
            light = mix(colours.warm, colours.cool, coolness)
            alpha = float(rng.uniform(0.45, 1) * (0.45 + 0.55 * nearness))
            shader = down(
                wy, wy + size * 1.3, (mix(light, WHITE, 0.25), alpha), (light, alpha * 0.75)
            )
            canvas.drawRect(pane, fill(shader=shader))
            lights.windows.append((wx + size / 2, wy + size / 2, size, light, alpha))


LENS_SHRINK = 6.0
"""The view in a drop is so small that a sixth of the window's pixels is plenty."""


def draw_drops(
    canvas: skia.Canvas, colours: Colours, layout: Layout, view: skia.Image, scale: float
) -> None:
    """Wet glass: every drop is a small lens that shows the view upside down.

    `view` is the scene so far, at `scale` pixels per scene unit.
    """
    rng = rng_for(layout.seed, "drops")
    opening = skia.IRect.MakeLTRB(
        *(round(edge * scale) for edge in (WINDOW.x0, WINDOW.y0, WINDOW.x1, WINDOW.y1))
    )
    lens = view.makeSubset(opening).resize(
        round(WINDOW.width / LENS_SHRINK), round(WINDOW.height / LENS_SHRINK)
    )
    count = int(260 + 2.4 * layout.rain)
    for _ in range(count):
        radius = float(min(11, 1.1 + rng.exponential(1.9)))
        x = float(rng.uniform(WINDOW.x0, WINDOW.x1))
        y = float(rng.uniform(WINDOW.y0, WINDOW.y1))
        if radius < 2:
            canvas.drawCircle(x, y, radius, fill(colours.moon, 0.10))
            continue
        tall = radius * float(rng.uniform(1.0, 1.35))
        drop = box(x - radius, y - tall, x + radius, y + tall)
        _draw_lens(canvas, lens, x, y, radius, drop)
        edge = radial(
            (x, y + radius * 0.25),
            tall * 1.05,
            [(BLACK, 0.0), (BLACK, 0.02), (colours.city_near, 0.55)],
            [0.0, 0.6, 1.0],
        )
        canvas.drawOval(drop, fill(shader=edge))
        belly = down(y - tall, y + tall, (BLACK, 0.25), (BLACK, 0.0), (colours.moon, 0.28))
        canvas.drawOval(drop, fill(shader=belly))
        highlight = fill(WHITE, 0.8)
        canvas.drawCircle(x - radius * 0.32, y - radius * 0.42, max(0.7, radius * 0.18), highlight)


def _draw_lens(
    canvas: skia.Canvas, lens: skia.Image, x: float, y: float, radius: float, drop: skia.Rect
) -> None:
    """The small `lens` picture upside down inside one drop, centred on what lies behind it."""
    zoom = radius * 2.8 / lens.height()
    reach = radius / zoom
    centre_x = min(max((x - WINDOW.x0) / LENS_SHRINK, reach), lens.width() - reach)
    outline = skia.Path()
    outline.addOval(drop)
    canvas.save()
    canvas.clipPath(outline, True)
    canvas.translate(x, y)
    canvas.scale(zoom, -zoom)
    sampling = skia.SamplingOptions(skia.FilterMode.kLinear)
    soft = skia.Paint(AntiAlias=True, Alphaf=0.85)
    canvas.drawImage(lens, -centre_x, -lens.height() / 2, sampling, soft)
    canvas.restore()


def draw_glass(canvas: skia.Canvas, colours: Colours) -> None:
    """Condensation at the foot of the panes, a sheen, and the lamp's reflection."""
    mist = mix(colours.cool, colours.sky[2], 0.5)
    shader = down(WINDOW.y1 - 190, WINDOW.y1, (colours.cool, 0.0), (mist, 0.17))
    for x in PANES_X:
        canvas.drawRect(box(x, WINDOW.y1 - 190, x + PANE_WIDTH, WINDOW.y1), fill(shader=shader))
    for x, width in ((WINDOW.x0 + 620, 80), (WINDOW.x0 + 770, 120)):
        sheen = polygon(
            (x, WINDOW.y0), (x + width, WINDOW.y0), (x - 240, WINDOW.y1), (x - 320, WINDOW.y1)
        )
        fade = linear(
            (x, WINDOW.y0), (x - 280, WINDOW.y1), [(WHITE, 0.035), (WHITE, 0.02), (WHITE, 0.0)]
        )
        canvas.drawPath(sheen, fill(shader=fade))
    glow(canvas, LAMP_HEAD[0] - 144, LAMP_HEAD[1] - 48, 150, colours.warm, 0.13)
    glow(canvas, LAMP_HEAD[0] - 154, LAMP_HEAD[1] - 138, 60, colours.warm, 0.12)
