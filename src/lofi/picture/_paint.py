"""A few brushes on top of skia: fills, gradients, glows, rim light."""

from __future__ import annotations

from collections.abc import Sequence

import skia

from lofi.picture._colour import BLACK, Rgb

Stop = Rgb | tuple[Rgb, float]
"""A colour of a gradient, with its opacity where that is not 1."""


def argb(colour: Rgb, alpha: float = 1.0) -> int:
    """The colour as skia's packed integer."""
    red, green, blue = (float(channel) for channel in colour)
    return skia.Color4f(red, green, blue, float(alpha)).toColor()


def fill(
    colour: Rgb = BLACK,
    alpha: float = 1.0,
    *,
    blur: float = 0.0,
    shader: skia.Shader | None = None,
    blend: skia.BlendMode | None = None,
) -> skia.Paint:
    """A paint that fills; `blur` is the standard deviation of a soft edge in scene units."""
    paint = skia.Paint(AntiAlias=True, Dither=True, Color=argb(colour, alpha))
    if shader is not None:
        paint.setShader(shader)
        paint.setAlphaf(float(alpha))
    if blur:
        paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, float(blur)))
    if blend is not None:
        paint.setBlendMode(blend)
    return paint


def line(
    colour: Rgb,
    width: float,
    alpha: float = 1.0,
    *,
    blur: float = 0.0,
    shader: skia.Shader | None = None,
) -> skia.Paint:
    """A paint that draws a round-capped line of that width."""
    paint = fill(colour, alpha, blur=blur, shader=shader)
    paint.setStyle(skia.Paint.kStroke_Style)
    paint.setStrokeWidth(float(width))
    paint.setStrokeCap(skia.Paint.kRound_Cap)
    return paint


def _packed(stops: Sequence[Stop]) -> list[int]:
    return [argb(*stop) if isinstance(stop, tuple) else argb(stop) for stop in stops]


def linear(
    start: tuple[float, float],
    end: tuple[float, float],
    stops: Sequence[Stop],
    places: list[float] | None = None,
) -> skia.Shader:
    """A gradient from one point to another; `places` (0..1) default to even steps."""
    points = [skia.Point(*map(float, start)), skia.Point(*map(float, end))]
    return skia.GradientShader.MakeLinear(points, _packed(stops), places)


def across(x0: float, x1: float, *stops: Stop, places: list[float] | None = None) -> skia.Shader:
    """A gradient from left to right."""
    return linear((x0, 0.0), (x1, 0.0), stops, places)


def down(y0: float, y1: float, *stops: Stop, places: list[float] | None = None) -> skia.Shader:
    """A gradient from top to bottom."""
    return linear((0.0, y0), (0.0, y1), stops, places)


def radial(
    centre: tuple[float, float],
    radius: float,
    stops: Sequence[Stop],
    places: list[float] | None = None,
) -> skia.Shader:
    """A gradient from a centre outwards."""
    x, y = map(float, centre)
    return skia.GradientShader.MakeRadial(skia.Point(x, y), float(radius), _packed(stops), places)


def box(x0: float, y0: float, x1: float, y1: float) -> skia.Rect:
    """The rectangle between two corners."""
    return skia.Rect.MakeLTRB(float(x0), float(y0), float(x1), float(y1))


def polygon(*points: tuple[float, float]) -> skia.Path:
    """A closed path through the points."""
    path = skia.Path()
    path.moveTo(*map(float, points[0]))
    for point in points[1:]:
        path.lineTo(*map(float, point))
    path.close()
    return path


def glow(
    canvas: skia.Canvas,
    x: float,
    y: float,
    radius: float,
    colour: Rgb,
    strength: float = 1.0,
    *,
    squash: float = 1.0,
) -> None:
    """Soft additive light that falls off with a power of the distance.

    `squash` below 1 flattens it, as light lying on a table.
    """
    falloff: list[Stop] = [(colour, strength * (1.0 - step / 9.0) ** 2.4) for step in range(10)]
    canvas.save()
    canvas.translate(float(x), float(y))
    canvas.scale(1.0, squash)
    shader = radial((0.0, 0.0), radius, falloff)
    canvas.drawCircle(0.0, 0.0, float(radius), fill(shader=shader, blend=skia.BlendMode.kPlus))
    canvas.restore()


def rim(
    canvas: skia.Canvas,
    path: skia.Path,
    colour: Rgb,
    alpha: float,
    shift: tuple[float, float],
    blur: float = 3.0,
) -> None:
    """Light on the side of a silhouette that `shift` points to."""
    inner = skia.Path(path)
    inner.offset(-shift[0], -shift[1])
    edge = skia.Op(path, inner, skia.PathOp.kDifference_PathOp)
    canvas.save()
    canvas.clipPath(path, True)
    canvas.drawPath(edge, fill(colour, alpha, blur=blur))
    canvas.restore()


def contact_shadow(
    canvas: skia.Canvas, x0: float, x1: float, y: float, alpha: float = 0.55
) -> None:
    """The dark line where a thing stands on the desk."""
    canvas.drawOval(box(x0, y - 9.0, x1, y + 9.0), fill(BLACK, alpha, blur=7.0))
