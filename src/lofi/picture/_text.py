"""Lettering: fonts that travel with the package, and titles that always fit."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import skia

from lofi.brief import LofiError

_FONTS = Path(__file__).parent / "fonts"


@cache
def typeface(name: str) -> skia.Typeface:
    """A typeface by its file name without folder, such as `Quicksand-Medium.ttf`."""
    face = skia.Typeface.MakeFromFile(str(_FONTS / name))
    if face is None:
        raise LofiError(f"font {name} is missing from the installation: reinstall lofi-empire.")
    return face


def clean(text: str) -> str:
    """The text on one line, without control characters or runs of blanks."""
    composed = unicodedata.normalize("NFC", text)
    # Cc control, Cf format, Cs surrogate, Co private, Cn unassigned.
    visible = (
        " " if char.isspace() else char
        for char in composed
        if char.isspace() or unicodedata.category(char)[0] != "C"
    )
    return " ".join("".join(visible).split())


@cache
def _face_for(char: str, name: str) -> skia.Typeface | None:
    """The named typeface if it has the character, else one of the system's, else None."""
    face = typeface(name)
    code = ord(char)
    if face.unicharToGlyph(code):
        return face
    found = skia.FontMgr().matchFamilyStyleCharacter("", face.fontStyle(), [], code)
    return found if found is not None and found.unicharToGlyph(code) else None


@dataclass(frozen=True)
class Line:
    """A line of text ready to draw: runs of one font each, side by side."""

    runs: tuple[tuple[str, skia.Font], ...]
    width: float
    size: float

    def draw(self, canvas: skia.Canvas, x: float, baseline_y: float, paint: skia.Paint) -> None:
        """Draw from `x` rightwards."""
        for text, font in self.runs:
            canvas.drawString(text, float(x), float(baseline_y), font, paint)
            x += font.measureText(text)


def set_line(text: str, name: str, size: float) -> Line:
    """`text` in that typeface; characters that no font on this machine has are left out."""
    pieces: list[tuple[str, skia.Typeface]] = []
    for char in text:
        face = _face_for(char, name)
        if face is None:
            continue
        if pieces and pieces[-1][1] is face:
            pieces[-1] = (pieces[-1][0] + char, face)
        else:
            pieces.append((char, face))
    runs = tuple((piece, _font(face, size)) for piece, face in pieces)
    return Line(runs, sum(font.measureText(piece) for piece, font in runs), size)


def _font(face: skia.Typeface, size: float) -> skia.Font:
    font = skia.Font(face, float(size))
    font.setSubpixel(True)
    font.setEdging(skia.Font.Edging.kAntiAlias)
    return font


def fit_line(text: str, name: str, size: float, smallest: float, width: float) -> Line:
    """One line no wider than `width`: shrunk down to `smallest`, then cut with an ellipsis."""
    text = clean(text)
    line = set_line(text, name, size)
    if line.width <= width:
        return line
    size = max(smallest, size * width / line.width)
    line = set_line(text, name, size)
    length = len(text)
    while line.width > width and length > 1:
        # Jump near the right length first: titles of thousands of characters come in too.
        length = min(length - 1, int(length * width / line.width) + 1)
        line = set_line(text[:length].rstrip() + "…", name, size)
    return line
