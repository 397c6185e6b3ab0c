"""Pictures to the music: a room at night as a video, a still or a thumbnail.

`skia`, `av` and `symusic` are imported when a picture is made, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lofi.picture._frame import check_frame
from lofi.picture._legibility import MIN_CAP_HEIGHT_SHARE, MIN_CONTRAST, Legibility

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from symusic import Score

    from lofi.picture._charts import Panel
    from lofi.picture._evaluation import STYLE as EVALUATION_STYLE

__all__ = [
    "EVALUATION_STYLE",
    "MIN_CAP_HEIGHT_SHARE",
    "MIN_CONTRAST",
    "Legibility",
    "Panel",
    "check_frame",
    "evaluation_page",
    "render_cover",
    "render_histograms",
    "render_roll",
    "render_thumbnail",
    "render_video",
    "shrink",
    "still",
    "write_evaluation",
]


def __getattr__(name: str) -> object:
    if name == "Panel":
        from lofi.picture import _charts

        return _charts.Panel
    if name == "EVALUATION_STYLE":
        from lofi.picture import _evaluation

        return _evaluation.STYLE
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def render_video(
    path: Path,
    *,
    score: Score,
    audio: NDArray[np.float32],
    rate: int,
    palette: str,
    template: str,
    title: str,
    subtitle: str,
    seed: int,
    width: int = 1920,
    height: int = 1080,
    fps: int = 30,
    threads: int = 2,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write an MP4 of the room moving to the music, as long as the audio.

    `score` has tracks named by part: kicks are pitches 35 and 36 of its drum tracks, sparks are
    the notes of the track `lead`. `audio` is float32 `(1 or 2, samples)` at `rate` Hz. `palette`
    and `template` are keys of `lofi.brief.PALETTES` and `TEMPLATES`; `seed` settles the city, the
    sky and the things in the room. Sizes are even and 16:9. `progress` is called with 0..1 a few
    times a second; what it raises stops the rendering.

    The file appears under `path` only when it is whole. The same arguments (and `threads`) give
    the same bytes. Raises InputError for what cannot be used, OSError or LofiError when the file
    cannot be written.
    """
    from lofi.picture import _video

    _video.render_video(
        path,
        score=score,
        audio=audio,
        rate=rate,
        palette=palette,
        template=template,
        title=title,
        subtitle=subtitle,
        seed=seed,
        width=width,
        height=height,
        fps=fps,
        threads=threads,
        progress=progress,
    )


def render_thumbnail(
    path: Path, *, palette: str, title: str, subtitle: str, seed: int
) -> Legibility:
    """Write a 1280 × 720 JPEG of at most 2 MB and return how well it can be read.

    The title is set in up to three lines; of a long one the first words are used. What stands
    behind it is darkened until the check passes. Raises InputError for an unknown palette,
    LofiError when no darkening makes the title legible.
    """
    from lofi.picture import _thumbnail

    return _thumbnail.render_thumbnail(
        path, palette=palette, title=title, subtitle=subtitle, seed=seed
    )


def shrink(picture: bytes, width: int) -> bytes:
    """A JPEG or PNG as a JPEG of that width or its own, whichever is less.

    Raises InputError for what is no picture.
    """
    from lofi.picture import _thumbnail

    return _thumbnail.shrink(picture, width)


def still(
    *,
    palette: str,
    seed: int,
    width: int = 1920,
    height: int = 1080,
    template: str = "bars",
    title: str = "",
    subtitle: str = "",
) -> NDArray[np.uint8]:
    """One frame as RGB `(height, width, 3)`, as it looks in the middle of a piece."""
    from lofi.picture import _video

    return _video.still(
        palette=palette,
        template=template,
        title=title,
        subtitle=subtitle,
        seed=seed,
        width=width,
        height=height,
    )


def render_cover(path: Path, *, palette: str, seed: int) -> None:
    """Write a square JPEG of 3000 x 3000, as distributors and podcast directories ask for.

    It shows the room of that palette and seed, without words. Raises InputError for an unknown
    palette, OSError when the file cannot be written.
    """
    from lofi.picture import _video

    _video.render_cover(path, palette=palette, seed=seed)


def render_histograms(
    path: Path,
    panels: Sequence[Panel],
    *,
    title: str,
    subtitle: str,
    palette: str = "midnight",
) -> None:
    """Write a PNG, 1600 pixels wide, of one histogram per panel, three or four side by side.

    Each shows its values with the median, its limits and what they keep, and a range to compare
    with. A tail whose outermost hundredth would take up the plot is cut off and told in a note.
    The file appears under `path` only when it is whole. Raises InputError for an unknown palette
    or more than 200 panels, OSError when the file cannot be written.
    """
    from lofi.picture import _charts

    _charts.render_histograms(path, panels, title=title, subtitle=subtitle, palette=palette)


def write_evaluation(path: Path, report: Mapping[str, Any]) -> None:
    """Write the HTML page of an evaluation, whole or not at all; `report` is its `report.json`.

    The page holds its plots as SVG and loads nothing.
    """
    from lofi.picture import _evaluation

    _evaluation.write_evaluation(path, report)


def evaluation_page(report: Mapping[str, Any]) -> str:
    """The page that `write_evaluation` writes. Its one `<style>` holds EVALUATION_STYLE."""
    from lofi.picture import _evaluation

    return _evaluation.evaluation_page(report)


def render_roll(path: Path, score: Score, *, title: str, palette: str = "midnight") -> None:
    """Write a PNG, 1200 pixels wide, of all notes of a score in 4/4, a colour per track.

    Pitched notes above, a row for each semitone; drums below, a row for each of theirs. Louder
    notes are brighter. The file appears under `path` only when it is whole. Raises InputError for
    an unknown palette, OSError when the file cannot be written.
    """
    from lofi.picture import _roll

    _roll.render_roll(path, score, title=title, palette=palette)
