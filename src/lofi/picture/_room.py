"""The room in front of the window, one function per object, drawn from back to front."""

from __future__ import annotations

import math

import skia

from lofi.picture._colour import BLACK, WHITE, Colours, Rgb, mix, parse_hex
from lofi.picture._layout import (
    BOOKS,
    CAT_FEET_Y,
    CAT_SCALE,
    DESK_BACK_Y,
    DESK_FRONT_Y,
    DISC,
    DISC_RADII,
    HEIGHT,
    KEEPSAKE,
    LAMP,
    LAMP_HEAD,
    MULLIONS_X,
    PANES_X,
    PLANT,
    TRANSOM_Y,
    TURNTABLE,
    WIDTH,
    WINDOW,
    Layout,
    rng_for,
)
from lofi.picture._paint import (
    across,
    box,
    contact_shadow,
    down,
    fill,
    glow,
    line,
    linear,
    polygon,
    radial,
    rim,
)


def draw_wall(canvas: skia.Canvas, colours: Colours) -> None:
    """Panelled wall around the window, with the lamp's light on it."""
    dark, middle = colours.room_dark, colours.room
    wall = polygon((0, 0), (WIDTH, 0), (WIDTH, HEIGHT), (0, HEIGHT))
    wall.addRect(box(WINDOW.x0, WINDOW.y0, WINDOW.x1, WINDOW.y1))
    wall.setFillType(skia.PathFillType.kEvenOdd)
    shader = down(0, 860, mix(dark, middle, 0.25), mix(dark, middle, 0.75), dark)
    canvas.drawPath(wall, fill(shader=shader))
    canvas.save()
    canvas.clipPath(wall, True)
    for x in range(0, int(WIDTH), 62):
        canvas.drawLine(x, 0, x, 860, line(BLACK, 2, 0.10))
    glow(canvas, 1500, 640, 620, colours.warm, 0.30)
    glow(canvas, 960, 780, 900, colours.sky[2], 0.10, squash=0.5)
    canvas.restore()


def draw_window_frame(canvas: skia.Canvas, colours: Colours) -> None:
    """Mullions, transom, casing and sill."""
    wood = mix(colours.wood, colours.room_dark, 0.42)
    lit = mix(colours.wood, colours.cool, 0.3)
    stops = (mix(wood, lit, 0.35), wood, mix(wood, colours.room_dark, 0.6))

    def beam(x0: float, y0: float, x1: float, y1: float) -> None:
        upright = y1 - y0 > x1 - x0
        shader = across(x0, x1, *stops) if upright else down(y0, y1, *stops)
        canvas.drawRect(box(x0, y0, x1, y1), fill(BLACK, 0.35, blur=8))
        canvas.drawRect(box(x0, y0, x1, y1), fill(shader=shader))

    for x in MULLIONS_X:
        beam(x - 9, WINDOW.y0, x + 9, WINDOW.y1)
    beam(WINDOW.x0, TRANSOM_Y - 7, WINDOW.x1, TRANSOM_Y + 7)
    beam(WINDOW.x0 - 34, WINDOW.y0 - 34, WINDOW.x0, WINDOW.y1 + 10)
    beam(WINDOW.x1, WINDOW.y0 - 34, WINDOW.x1 + 34, WINDOW.y1 + 10)
    beam(WINDOW.x0 - 34, WINDOW.y0 - 40, WINDOW.x1 + 34, WINDOW.y0)
    for x in PANES_X:
        shade = across(x, x + 22, (BLACK, 0.28), (BLACK, 0.0))
        canvas.drawRect(box(x, WINDOW.y0, x + 22, WINDOW.y1), fill(shader=shade))
    sill = down(
        WINDOW.y1,
        WINDOW.y1 + 30,
        mix(wood, lit, 0.75),
        mix(wood, lit, 0.25),
        mix(wood, colours.room_dark, 0.45),
        places=[0.0, 0.3, 1.0],
    )
    x0, x1 = WINDOW.x0 - 70, WINDOW.x1 + 70
    canvas.drawRect(box(x0, WINDOW.y1, x1, WINDOW.y1 + 30), fill(shader=sill))
    canvas.drawRect(box(x0, WINDOW.y1 + 30, x1, WINDOW.y1 + 58), fill(BLACK, 0.4, blur=8))


# The silhouette from the left foot over the ears to the right foot; feet at (0, 0), y upwards < 0.
_CAT = (
    ((-92, -52), (-66, -104), (-44, -136)),
    ((-40, -146), (-42, -152), (-46, -160)),
    ((-58, -186), (-52, -210), (-46, -222)),
    ((-45, -238), (-42, -256), (-37, -264)),
    ((-30, -258), (-22, -246), (-15, -238)),
    ((-5, -241), (5, -241), (15, -238)),
    ((22, -246), (30, -258), (37, -264)),
    ((42, -256), (45, -238), (46, -222)),
    ((52, -210), (58, -186), (46, -160)),
    ((42, -152), (40, -146), (44, -136)),
    ((66, -104), (92, -52), (78, 0)),
)


def cat_colour(colours: Colours) -> Rgb:
    """The fur, seen against the light."""
    return mix(colours.room_dark, colours.city_near, 0.35)


def draw_cat(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """A cat on the sill, looking out; its tail moves and is drawn elsewhere."""
    outline = skia.Path()
    outline.moveTo(-78, 0)
    for first, second, end in _CAT:
        outline.cubicTo(*map(float, (*first, *second, *end)))
    outline.close()
    place = skia.Matrix()
    place.setScale(CAT_SCALE, CAT_SCALE)
    place.postTranslate(layout.cat_x, CAT_FEET_Y)
    outline.transform(place)
    x = layout.cat_x
    fur = cat_colour(colours)
    shader = across(
        x - 80, x + 80, mix(fur, colours.sky[1], 0.18), fur, mix(fur, colours.warm, 0.10)
    )
    canvas.drawOval(box(x - 90, CAT_FEET_Y - 10, x + 90, CAT_FEET_Y + 12), fill(BLACK, 0.5, blur=8))
    canvas.drawPath(outline, fill(shader=shader))
    canvas.save()
    canvas.clipRect(box(0, 0, WIDTH, WINDOW.y1))
    rim(canvas, outline, colours.cool, 0.7, (-4.5, 3.0), 2.2)
    rim(canvas, outline, colours.warm, 0.9, (5.5, 2.0), 2.4)
    canvas.restore()


_CURTAIN_TOP, _TIE_Y, _CURTAIN_FOOT = 30.0, 600.0, 872.0


def draw_curtains(canvas: skia.Canvas, colours: Colours) -> None:
    """Two curtains tied back to the wall, on a rod with rings."""
    _draw_curtain(canvas, colours, outer=96, inner=356, light=colours.cool, rim_light=colours.cool)
    edge = mix(colours.cool, colours.warm, 0.6)
    _draw_curtain(canvas, colours, outer=1824, inner=1564, light=colours.warm, rim_light=edge)
    wood = colours.wood
    rod = down(22, 36, mix(wood, colours.cool, 0.3), mix(wood, colours.room_dark, 0.5))
    canvas.drawRoundRect(box(40, 22, WIDTH - 40, 36), 7, 7, fill(shader=rod))
    for x in (40.0, WIDTH - 40.0):
        knob = radial(
            (x - 4, 24), 18, [mix(wood, colours.warm, 0.4), mix(wood, colours.room_dark, 0.6)]
        )
        canvas.drawCircle(x, 29, 15, fill(shader=knob))
    ring = line(mix(wood, colours.warm, 0.3), 3)
    for x in (*range(108, 350, 34), *range(1578, 1824, 34)):
        canvas.drawCircle(x, 31, 8, ring)


def _draw_curtain(
    canvas: skia.Canvas,
    colours: Colours,
    *,
    outer: float,
    inner: float,
    light: Rgb,
    rim_light: Rgb,
) -> None:
    """One curtain between the wall side (`outer`) and the window side (`inner`)."""
    side = 1.0 if inner > outer else -1.0
    cloth = skia.Path()
    cloth.moveTo(outer, _CURTAIN_TOP)
    cloth.lineTo(inner, _CURTAIN_TOP)
    cloth.cubicTo(inner - 8 * side, 340, inner - 52 * side, 500, inner - 118 * side, _TIE_Y)
    cloth.cubicTo(inner - 100 * side, 690, inner - 74 * side, 800, inner - 62 * side, _CURTAIN_FOOT)
    cloth.lineTo(outer, _CURTAIN_FOOT)
    cloth.close()
    canvas.drawPath(cloth, fill(BLACK, 0.5, blur=16))
    canvas.save()
    canvas.clipPath(cloth, True)
    canvas.drawPath(cloth, fill(mix(colours.fabric, colours.room_dark, 0.72)))
    folds = 7
    for fold in range(folds):
        u0, u1 = fold / folds, (fold + 0.55) / folds
        tint = mix(colours.fabric, mix(colours.fabric, light, 0.22), u0)
        canvas.drawPath(_fold(outer, inner, u0, u1, side), fill(tint, 0.55, blur=9))
    shade = down(
        _CURTAIN_TOP,
        _CURTAIN_FOOT,
        (BLACK, 0.35),
        (BLACK, 0.0),
        (BLACK, 0.45),
        places=[0.0, 0.35, 1.0],
    )
    left, right = min(outer, inner), max(outer, inner)
    canvas.drawRect(box(left, _CURTAIN_TOP, right, _CURTAIN_FOOT), fill(shader=shade))
    canvas.restore()
    rim(canvas, cloth, rim_light, 0.4, (5 * side, 0.0), 4)
    _draw_tie(canvas, colours, outer, inner, side)


def _fold(outer: float, inner: float, u0: float, u1: float, side: float) -> skia.Path:
    """A fold that narrows to the tie and opens again below it."""

    def at(u: float, gathered: float) -> float:
        return outer + (inner - outer) * u * gathered

    top, tie, foot = 1.0, 0.46, 0.74
    path = skia.Path()
    path.moveTo(at(u0, top), _CURTAIN_TOP)
    path.lineTo(at(u1, top), _CURTAIN_TOP)
    path.cubicTo(at(u1, top), 330, at(u1, tie) + 6 * side, 470, at(u1, tie), _TIE_Y)
    path.cubicTo(at(u1, tie), 700, at(u1, foot), 760, at(u1, foot), _CURTAIN_FOOT)
    path.lineTo(at(u0, foot), _CURTAIN_FOOT)
    path.cubicTo(at(u0, foot), 760, at(u0, tie), 700, at(u0, tie), _TIE_Y)
    path.cubicTo(at(u0, tie) + 6 * side, 470, at(u0, top), 330, at(u0, top), _CURTAIN_TOP)
    path.close()
    return path


def _draw_tie(
    canvas: skia.Canvas, colours: Colours, outer: float, inner: float, side: float
) -> None:
    end = inner - 116 * side
    middle = (outer + end) / 2
    band = skia.Path()
    band.moveTo(outer - 4 * side, 560)
    band.quadTo(middle, 618, end + 3 * side, 592)
    band.lineTo(end + side, 616)
    band.quadTo(middle, 646, outer - 4 * side, 584)
    band.close()
    colour = mix(colours.accent, colours.room_dark, 0.38)
    shader = across(
        outer, end, mix(colour, colours.room_dark, 0.6), colour, mix(colour, colours.room_dark, 0.3)
    )
    canvas.drawPath(band, fill(BLACK, 0.45, blur=7))
    canvas.drawPath(band, fill(shader=shader))


def draw_desk(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """A wooden desk with grain, the lamp's pool of light, and its front in shadow."""
    dark, lit = colours.wood_dark, colours.wood
    top = down(DESK_BACK_Y, DESK_FRONT_Y, mix(dark, lit, 0.25), mix(dark, lit, 0.75), lit)
    surface = box(0, DESK_BACK_Y, WIDTH, DESK_FRONT_Y)
    canvas.drawRect(surface, fill(shader=top))
    rng = rng_for(layout.seed, "grain of the desk")
    canvas.save()
    canvas.clipRect(surface)
    for _ in range(120):
        x = float(rng.uniform(-200, WIDTH))
        y = float(rng.uniform(DESK_BACK_Y, DESK_FRONT_Y))
        length = float(rng.uniform(120, 620))
        bend_1, bend_2 = map(float, rng.uniform(-3, 3, 2))
        fibre = skia.Path()
        fibre.moveTo(x, y)
        fibre.cubicTo(x + length * 0.3, y + bend_1, x + length * 0.6, y + bend_2, x + length, y)
        canvas.drawPath(fibre, line(dark, rng.uniform(0.6, 2), rng.uniform(0.08, 0.3)))
    glow(canvas, 900, DESK_BACK_Y - 6, 980, colours.sky[2], 0.34, squash=0.10)
    glow(canvas, 1340, 905, 520, colours.warm, 0.62, squash=0.22)
    canvas.restore()
    edge = across(
        0,
        WIDTH,
        mix(lit, colours.cool, 0.15),
        mix(lit, colours.cool, 0.25),
        mix(lit, colours.warm, 0.75),
        mix(lit, colours.warm, 0.2),
        places=[0.0, 0.4, 0.7, 1.0],
    )
    below = DESK_FRONT_Y + 10
    canvas.drawRect(box(0, DESK_FRONT_Y, WIDTH, below), fill(shader=edge))
    front = down(DESK_FRONT_Y, HEIGHT, mix(dark, colours.room_dark, 0.45), colours.room_dark)
    canvas.drawRect(box(0, below, WIDTH, HEIGHT), fill(shader=front))
    shade = down(below, below + 24, (BLACK, 0.5), (BLACK, 0.0))
    canvas.drawRect(box(0, below, WIDTH, below + 24), fill(shader=shade))


def _draw_leaf(
    canvas: skia.Canvas,
    x: float,
    y: float,
    length: float,
    angle_deg: float,
    width: float,
    colour: Rgb,
    lit: Rgb,
    shade: Rgb,
) -> None:
    """A two-tone leaf: one half catches the light, the other does not."""
    canvas.save()
    canvas.translate(float(x), float(y))
    canvas.rotate(float(angle_deg))
    halves = (
        (-1.0, mix(colour, shade, 0.55), mix(colour, lit, 0.18)),
        (1.0, mix(colour, shade, 0.8), mix(colour, shade, 0.45)),
    )
    for side, root, tip in halves:
        half = skia.Path()
        half.moveTo(0, 0)
        half.cubicTo(
            length * 0.2, side * width * 1.15, length * 0.72, side * width * 0.9, length, 0
        )
        half.close()
        canvas.drawPath(half, fill(shader=across(0, length, root, tip)))
    canvas.drawLine(2, 0, length * 0.93, 0, line(mix(colour, lit, 0.35), 1.6, 0.5))
    vein = line(mix(colour, lit, 0.3), 1, 0.25)
    for k in range(2, 7):
        at = k / 8
        rise = width * 0.62 * math.sin(math.pi * (at + 0.06))
        canvas.drawLine(length * at, 0, length * (at + 0.13), -rise, vein)
    canvas.restore()


# Angle in degrees, length and width of each leaf, back to front.
_PLANT_LEAVES = (
    (-160, 165, 40), (-30, 150, 38), (-118, 215, 47), (-62, 205, 46), (-92, 255, 50),
    (-140, 200, 44), (-45, 190, 42), (-104, 165, 38), (-76, 150, 36), (-172, 120, 30),
    (-12, 112, 28),
)  # fmt: skip


def draw_plant(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """A rubber plant in a pot on the desk."""
    rng = rng_for(layout.seed, "plant")
    x, y = PLANT
    shade = colours.room_dark
    lit = mix(colours.warm, colours.cool, 0.35)
    stem_paint = line(mix(colours.leaf, shade, 0.6), 4)
    for angle, length, width in _PLANT_LEAVES:
        angle = angle + float(rng.uniform(-6, 6))
        length = length * float(rng.uniform(0.88, 1.06))
        reach = 62 + length * 0.22
        stem_x = x + math.cos(math.radians(angle)) * reach * 0.8
        stem_y = y - 84 + math.sin(math.radians(angle)) * reach
        stem = skia.Path()
        stem.moveTo(x, y - 72)
        stem.quadTo(x, stem_y + 20, stem_x, stem_y)
        stem_paint.setStyle(skia.Paint.kStroke_Style)
        canvas.drawPath(stem, stem_paint)
        droop = 20 if angle > -90 else -8
        _draw_leaf(
            canvas, stem_x, stem_y, length * 0.66, angle + droop, width, colours.leaf, lit, shade
        )
    clay = mix(colours.accent, colours.room_dark, 0.35)
    pot = polygon((x - 58, y - 88), (x + 58, y - 88), (x + 44, y), (x - 44, y))
    body = across(
        x - 58, x + 58, mix(clay, colours.room_dark, 0.55), clay, mix(clay, colours.warm, 0.35)
    )
    collar = across(
        x - 64, x + 64, mix(clay, colours.room_dark, 0.4), mix(clay, colours.warm, 0.45)
    )
    canvas.drawOval(box(x - 66, y - 12, x + 66, y + 14), fill(BLACK, 0.5, blur=9))
    canvas.drawPath(pot, fill(shader=body))
    canvas.drawRoundRect(box(x - 64, y - 98, x + 64, y - 76), 5, 5, fill(shader=collar))
    canvas.drawRect(box(x - 56, y - 76, x + 56, y - 68), fill(BLACK, 0.28, blur=3))


# Where each vine leaves the pot, how far it swings out, how long it hangs.
_VINES = ((-30, -46, 150), (-12, -18, 96), (14, 22, 190), (32, 50, 118), (0, 4, 60))


def draw_hanging_plant(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """A pot of vines hanging from the rod."""
    rng = rng_for(layout.seed, "hanging plant")
    x, y = layout.hanging_x, layout.hanging_y
    shade = colours.room_dark
    lit = mix(colours.warm, colours.cool, 0.45)
    cord = line(mix(colours.warm, shade, 0.55), 2, 0.9)
    for dx in (-34, 0, 34):
        canvas.drawLine(x, 36, x + dx, y, cord)
    for start, swing, length in _VINES:
        length = length * float(rng.uniform(0.75, 1.2))
        vine = skia.Path()
        vine.moveTo(x + start, y + 4)
        vine.cubicTo(
            x + start + swing * 0.9,
            y + 14,
            x + start + swing,
            y + length * 0.5,
            x + start + swing * 0.8,
            y + length,
        )
        canvas.drawPath(vine, line(mix(colours.leaf, shade, 0.6), 2.4))
        measure = skia.PathMeasure(vine, False)
        leaves = int(length / 17)
        for k in range(leaves + 1):
            point, _ = measure.getPosTan(measure.getLength() * (k + 0.4) / (leaves + 0.6))
            angle = 90 + (62 if k % 2 else -62) + rng.uniform(-14, 14)
            _draw_leaf(
                canvas,
                point.x(),
                point.y(),
                float(rng.uniform(24, 34)),
                angle,
                float(rng.uniform(11, 14)),
                colours.leaf,
                lit,
                shade,
            )
    for angle in (-150, -120, -95, -70, -38):
        _draw_leaf(canvas, x, y + 6, 46, angle, 15, colours.leaf, lit, shade)
    clay = mix(colours.fabric, colours.warm, 0.22)
    pot = skia.Path()
    pot.moveTo(x - 44, y)
    pot.lineTo(x + 44, y)
    pot.cubicTo(x + 42, y + 40, x + 22, y + 56, x, y + 56)
    pot.cubicTo(x - 22, y + 56, x - 42, y + 40, x - 44, y)
    pot.close()
    body = across(
        x - 44, x + 44, mix(clay, colours.cool, 0.22), mix(clay, shade, 0.35), mix(clay, shade, 0.6)
    )
    canvas.drawPath(pot, fill(shader=body))
    rim(canvas, pot, colours.warm, 0.5, (3.0, -3.0), 2)


def books_top_y(layout: Layout) -> float:
    """Where the mug stands: the top of the pile."""
    return BOOKS[1] - sum(height for _, height, _, _ in _book_pile(layout))


def _book_pile(layout: Layout) -> list[tuple[float, float, str, float]]:
    """Width, height, palette colour and offset of each book, lowest first."""
    rng = rng_for(layout.seed, "books")
    shades = rng.permutation(["fabric", "accent", "leaf", "warm"])
    return [
        (
            float(rng.uniform(224, 234) - 10 * index),
            float(rng.uniform(22, 34)),
            str(shade),
            float(rng.uniform(0, 16)),
        )
        for index, shade in enumerate(shades[: int(rng.integers(3, 5))])
    ]


def draw_books(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """A pile of books, spines to us."""
    x, y = BOOKS
    contact_shadow(canvas, x - 12, x + 236, y)
    shade = colours.room_dark
    for width, height, name, offset in _book_pile(layout):
        left, top = x + offset, y - height
        cover = mix(getattr(colours, name), shade, 0.42)
        spine = down(
            top,
            y,
            mix(cover, colours.cool, 0.22),
            cover,
            mix(cover, shade, 0.55),
            places=[0.0, 0.2, 1.0],
        )
        canvas.drawRoundRect(box(left, top, left + width, y), 4, 4, fill(shader=spine))
        gilt = fill(mix(cover, colours.warm, 0.55), 0.6)
        for place in (0.09, 0.13, 0.86):
            canvas.drawRect(box(left + width * place, top, left + width * place + 3, y), gilt)
        title = box(left + width * 0.3, y - height * 0.62, left + width * 0.66, y - height * 0.42)
        canvas.drawRoundRect(title, 2, 2, fill(mix(cover, colours.warm, 0.6), 0.5))
        lamp_side = across(
            left + width - 24, left + width, (colours.warm, 0.0), (colours.warm, 0.35)
        )
        canvas.drawRect(
            box(left + width - 10, top + 1, left + width, y - 1), fill(shader=lamp_side)
        )
        y = top


def draw_mug(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """A mug of tea on the books; its steam moves and is drawn elsewhere."""
    x, y = layout.mug_x, books_top_y(layout)
    glaze = mix(colours.cool, colours.room, 0.45)
    handle = skia.Path()
    handle.addOval(box(x + 26, y - 52, x + 62, y - 14))
    canvas.drawPath(handle, line(mix(glaze, colours.room_dark, 0.3), 8))
    body = across(
        x - 40, x + 40, mix(glaze, colours.room_dark, 0.55), glaze, mix(glaze, colours.warm, 0.55)
    )
    canvas.drawRoundRect(box(x - 40, y - 66, x + 40, y), 12, 12, fill(shader=body))
    canvas.drawOval(box(x - 40, y - 74, x + 40, y - 58), fill(mix(glaze, colours.warm, 0.35)))
    tea = mix(colours.wood_dark, colours.warm, 0.18)
    canvas.drawOval(box(x - 34, y - 71, x + 34, y - 61), fill(tea))


def draw_turntable(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """A record player in perspective; the mark on the label turns and is drawn elsewhere."""
    x, y = TURNTABLE
    cx, cy = DISC[0], DISC[1] + 1
    rx, _ = DISC_RADII
    body = mix(colours.wood, colours.room_dark, 0.35)
    contact_shadow(canvas, x - 225, x + 225, y + 4, 0.7)
    top = across(
        x - 200, x + 220, mix(body, colours.cool, 0.12), body, mix(body, colours.warm, 0.5)
    )
    front = across(
        x - 222,
        x + 222,
        mix(body, colours.room_dark, 0.7),
        mix(body, colours.room_dark, 0.4),
        mix(body, colours.warm, 0.3),
    )
    edge = across(x - 222, x + 222, (colours.cool, 0.2), (colours.warm, 0.8))
    canvas.drawPath(
        polygon((x - 190, y - 104), (x + 190, y - 104), (x + 222, y - 34), (x - 222, y - 34)),
        fill(shader=top),
    )
    canvas.drawRoundRect(box(x - 222, y - 35, x + 222, y), 6, 6, fill(shader=front))
    canvas.drawRect(box(x - 222, y - 36, x + 222, y - 33), fill(shader=edge))
    _draw_record(canvas, colours, layout, cx, cy, rx)
    _draw_tone_arm(canvas, colours, body, x + 158, y - 88, cx, cy)
    for k in range(3):
        knob = fill(mix(colours.warm, colours.room_dark, 0.35))
        canvas.drawCircle(x + 120 + k * 34, y - 17, 6, knob)


def _draw_record(
    canvas: skia.Canvas, colours: Colours, layout: Layout, cx: float, cy: float, rx: float
) -> None:
    canvas.drawOval(box(cx - rx - 4, cy - 33, cx + rx + 4, cy + 35), fill(BLACK, 0.5, blur=3))
    disc_box = box(cx - rx, cy - 33, cx + rx, cy + 31)
    canvas.drawOval(disc_box, fill(parse_hex("#0b0a0e")))
    for k in range(14):
        size = 0.34 + 0.64 * k / 14
        groove = box(cx - rx * size, cy - 1 - 32 * size, cx + rx * size, cy - 1 + 32 * size)
        canvas.drawOval(groove, line(WHITE, 1, 0.08 if k % 3 == 0 else 0.05))
    disc = skia.Path()
    disc.addOval(disc_box)
    canvas.save()
    canvas.clipPath(disc, True)
    for angle_deg, colour, alpha in ((-22, colours.warm, 0.5), (158, colours.cool, 0.32)):
        canvas.save()
        canvas.translate(cx, cy)
        canvas.scale(1, 0.245)
        canvas.rotate(angle_deg)
        shine = fill(colour, alpha, blur=12, blend=skia.BlendMode.kPlus)
        canvas.drawPath(polygon((0, 0), (150, -34), (150, 34)), shine)
        canvas.restore()
    canvas.restore()
    label = box(cx - 44, cy - 11, cx + 44, cy + 9)
    canvas.drawOval(label, fill(getattr(colours, layout.label)))
    light = across(cx - 44, cx + 44, (BLACK, 0.35), (colours.warm, 0.25))
    canvas.drawOval(label, fill(shader=light))
    canvas.drawCircle(cx, cy - 1, 2.4, fill(parse_hex("#111111")))


def _draw_tone_arm(
    canvas: skia.Canvas, colours: Colours, body: Rgb, x: float, y: float, cx: float, cy: float
) -> None:
    canvas.drawOval(box(x - 22, y - 9, x + 22, y + 9), fill(mix(body, BLACK, 0.5)))
    arm = skia.Path()
    arm.moveTo(x, y - 6)
    arm.cubicTo(x - 2, y + 26, x - 60, y + 34, cx + 74, cy + 14)
    canvas.drawPath(arm, line(BLACK, 6, 0.4, blur=3))
    canvas.drawPath(arm, line(mix(colours.warm, WHITE, 0.35), 3.4, 0.95))
    head = fill(mix(colours.warm, parse_hex("#444444"), 0.5))
    canvas.drawCircle(cx + 74, cy + 14, 5, head)


def draw_lamp(canvas: skia.Canvas, colours: Colours) -> None:
    """An anglepoise lamp and its cone of light."""
    x, y = LAMP
    head_x, head_y = LAMP_HEAD
    elbow_x, elbow_y = x + 62, y - 196
    metal = mix(colours.accent, colours.room_dark, 0.5)
    lit = mix(metal, colours.warm, 0.6)
    cone = polygon(
        (head_x - 64, head_y + 34),
        (head_x + 40, head_y + 66),
        (head_x + 150, y + 30),
        (head_x - 330, y + 30),
    )
    beam = linear(
        (head_x, head_y + 40),
        (head_x - 60, y + 20),
        [(colours.warm, 0.34), (colours.warm, 0.10), (colours.warm, 0.0)],
    )
    canvas.drawPath(cone, fill(shader=beam, blur=16, blend=skia.BlendMode.kPlus))
    contact_shadow(canvas, x - 74, x + 74, y, 0.6)
    canvas.drawOval(box(x - 62, y - 12, x + 62, y + 14), fill(mix(metal, BLACK, 0.55)))
    foot = across(x - 62, x + 62, lit, mix(metal, lit, 0.4), metal)
    canvas.drawOval(box(x - 62, y - 19, x + 62, y + 7), fill(shader=foot))
    for x0, y0, x1, y1 in (
        (x, y - 10, elbow_x, elbow_y),
        (elbow_x, elbow_y, head_x + 26, head_y - 8),
    ):
        canvas.drawLine(x0, y0, x1, y1, line(mix(metal, BLACK, 0.35), 11))
        canvas.drawLine(x0 - 2, y0, x1 - 2, y1, line(lit, 3, 0.9))
    canvas.drawCircle(elbow_x, elbow_y, 11, fill(lit))
    canvas.drawCircle(elbow_x, elbow_y, 6, fill(mix(metal, BLACK, 0.4)))
    _draw_lamp_shade(canvas, colours, metal)
    glow(canvas, head_x - 10, head_y + 60, 330, colours.warm, 0.36)


def _draw_lamp_shade(canvas: skia.Canvas, colours: Colours, metal: Rgb) -> None:
    canvas.save()
    canvas.translate(*LAMP_HEAD)
    canvas.rotate(17)
    shade = skia.Path()
    shade.moveTo(-22, -46)
    shade.lineTo(22, -46)
    shade.cubicTo(46, -30, 66, 14, 74, 48)
    shade.lineTo(-74, 48)
    shade.cubicTo(-66, 14, -46, -30, -22, -46)
    shade.close()
    enamel = across(
        -74,
        74,
        mix(metal, colours.cool, 0.25),
        mix(metal, colours.warm, 0.25),
        mix(metal, BLACK, 0.35),
    )
    canvas.drawRoundRect(box(-16, -62, 16, -42), 6, 6, fill(mix(metal, BLACK, 0.25)))
    canvas.drawPath(shade, fill(shader=enamel))
    canvas.drawOval(box(-74, 38, 74, 58), fill(mix(colours.warm, WHITE, 0.55)))
    glow(canvas, 0, 54, 120, colours.warm, 0.75, squash=0.62)
    glow(canvas, 0, 50, 40, WHITE, 0.6, squash=0.6)
    canvas.restore()


def draw_keepsake(canvas: skia.Canvas, colours: Colours, layout: Layout) -> None:
    """The small thing at the left end of the desk."""
    draw = {
        "radio": _draw_radio,
        "cassettes": _draw_cassettes,
        "candle": _draw_candle,
        "frame": _draw_picture_frame,
    }[layout.keepsake]
    draw(canvas, colours, *KEEPSAKE)


def _draw_radio(canvas: skia.Canvas, colours: Colours, x: float, y: float) -> None:
    contact_shadow(canvas, x - 84, x + 84, y)
    case = mix(colours.accent, colours.room_dark, 0.5)
    shade = mix(case, colours.room_dark, 0.55)
    aerial = line(mix(colours.cool, colours.room_dark, 0.35), 3)
    canvas.drawLine(x + 58, y - 92, x + 92, y - 176, aerial)
    body = across(x - 78, x + 78, shade, case, mix(case, colours.warm, 0.3))
    canvas.drawRoundRect(box(x - 78, y - 96, x + 78, y), 14, 14, fill(shader=body))
    canvas.drawCircle(x - 32, y - 48, 32, fill(shade))
    for radius in (26, 19, 12, 5):
        canvas.drawCircle(x - 32, y - 48, radius, line(mix(case, colours.cool, 0.3), 1.6, 0.6))
    dial = box(x + 14, y - 78, x + 66, y - 52)
    canvas.drawRoundRect(dial, 4, 4, fill(mix(colours.warm, WHITE, 0.2), 0.85))
    glow(canvas, x + 40, y - 65, 60, colours.warm, 0.35)
    canvas.drawLine(x + 48, y - 76, x + 48, y - 54, line(parse_hex("#b0382f"), 2))
    for knob_x in (x + 24, x + 54):
        canvas.drawCircle(knob_x, y - 28, 10, fill(mix(colours.warm, colours.room_dark, 0.45)))
        canvas.drawCircle(knob_x - 2, y - 30, 4, fill(mix(colours.warm, WHITE, 0.2), 0.6))


def _draw_cassettes(canvas: skia.Canvas, colours: Colours, x: float, y: float) -> None:
    contact_shadow(canvas, x - 74, x + 74, y)
    for k, name in enumerate(("cool", "fabric", "accent")):
        case = mix(getattr(colours, name), colours.room_dark, 0.5)
        left, top = x - 68 + (7, -5, 3)[k], y - 24 * (k + 1)
        spine = down(
            top, top + 22, mix(case, colours.cool, 0.25), mix(case, colours.room_dark, 0.4)
        )
        canvas.drawRoundRect(box(left, top, left + 132, top + 23), 4, 4, fill(shader=spine))
        label = box(left + 12, top + 6, left + 96, top + 17)
        canvas.drawRoundRect(label, 2, 2, fill(mix(colours.moon, case, 0.35), 0.8))
    # One more leans on the pile, face to us.
    canvas.save()
    canvas.translate(x + 4, y - 72)
    canvas.rotate(-7)
    shell = mix(colours.room, colours.cool, 0.22)
    face = across(-54, 54, mix(shell, colours.room_dark, 0.5), mix(shell, colours.warm, 0.25))
    canvas.drawRoundRect(box(-54, -68, 54, 0), 6, 6, fill(shader=face))
    canvas.drawRoundRect(box(-46, -60, 46, -20), 4, 4, fill(mix(colours.accent, shell, 0.3)))
    canvas.drawRoundRect(box(-32, -48, 32, -28), 9, 9, fill(mix(shell, BLACK, 0.6)))
    for reel_x in (-20.0, 20.0):
        canvas.drawCircle(reel_x, -38, 7, fill(mix(colours.moon, shell, 0.3)))
        canvas.drawCircle(reel_x, -38, 3, fill(mix(shell, BLACK, 0.6)))
    canvas.drawPath(polygon((-30, 0), (-24, -13), (24, -13), (30, 0)), fill(BLACK, 0.3))
    canvas.restore()


def _draw_candle(canvas: skia.Canvas, colours: Colours, x: float, y: float) -> None:
    contact_shadow(canvas, x - 50, x + 50, y)
    glass = mix(colours.accent, colours.room_dark, 0.35)
    body = across(
        x - 40, x + 40, mix(glass, colours.room_dark, 0.5), glass, mix(glass, colours.warm, 0.4)
    )
    canvas.drawRoundRect(box(x - 40, y - 78, x + 40, y), 10, 10, fill(shader=body))
    light = down(y - 84, y - 10, (colours.warm, 0.75), (colours.warm, 0.0))
    canvas.drawRoundRect(box(x - 36, y - 76, x + 36, y - 4), 8, 8, fill(shader=light))
    canvas.drawOval(box(x - 40, y - 85, x + 40, y - 70), fill(mix(glass, colours.warm, 0.55)))
    canvas.drawOval(box(x - 34, y - 82, x + 34, y - 72), fill(mix(colours.warm, WHITE, 0.45)))
    canvas.drawRoundRect(
        box(x - 24, y - 52, x + 24, y - 22), 3, 3, fill(mix(colours.moon, glass, 0.2), 0.85)
    )
    canvas.drawLine(x, y - 77, x, y - 88, line(parse_hex("#2a1a14"), 2.5))
    flame = skia.Path()
    flame.moveTo(x, y - 118)
    flame.cubicTo(x + 12, y - 102, x + 8, y - 85, x, y - 85)
    flame.cubicTo(x - 8, y - 85, x - 12, y - 102, x, y - 118)
    canvas.drawPath(flame, fill(mix(colours.warm, WHITE, 0.5)))
    glow(canvas, x, y - 98, 36, WHITE, 0.6)
    glow(canvas, x, y - 96, 190, colours.warm, 0.42)


def _draw_picture_frame(canvas: skia.Canvas, colours: Colours, x: float, y: float) -> None:
    contact_shadow(canvas, x - 62, x + 66, y)
    canvas.save()
    canvas.translate(x, y)
    canvas.skew(-0.05, 0.0)
    wood = mix(colours.wood, colours.room_dark, 0.2)
    moulding = across(-56, 56, mix(wood, colours.cool, 0.12), mix(wood, colours.warm, 0.4))
    canvas.drawRoundRect(box(-56, -146, 56, 0), 4, 4, fill(shader=moulding))
    canvas.drawRect(box(-44, -134, 44, -12), fill(mix(colours.moon, colours.room, 0.35)))
    view = down(-124, -22, *colours.sky)
    canvas.save()
    canvas.clipRect(box(-34, -124, 34, -22))
    canvas.drawRect(box(-34, -124, 34, -22), fill(shader=view))
    canvas.drawCircle(12, -84, 11, fill(colours.moon))
    far = polygon((-40, -22), (-40, -58), (-14, -76), (10, -50), (40, -66), (40, -22))
    canvas.drawPath(far, fill(colours.city_far))
    near = polygon((-40, -22), (-40, -36), (-4, -52), (40, -32), (40, -22))
    canvas.drawPath(near, fill(colours.city_near))
    canvas.restore()
    canvas.restore()


def draw_fairy_wire(canvas: skia.Canvas, layout: Layout) -> None:
    """The wire of the fairy lights; the bulbs twinkle and are drawn elsewhere."""
    wire = skia.Path()
    for swag in range(layout.swags):
        start = layout.swag_start + swag * layout.swag_width
        wire.moveTo(start, WINDOW.y0 - 10)
        wire.quadTo(
            start + layout.swag_width / 2, WINDOW.y0 + 90, start + layout.swag_width, WINDOW.y0 - 10
        )
    canvas.drawPath(wire, line(parse_hex("#08060c"), 2.2, 0.9))
