"""Other ways out: a site with a podcast feed, a folder for distributors, a sample pack."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lofi.cli._common import Config, bars, say, warn
from lofi.cli._jobs import ACTOR, opened

if TYPE_CHECKING:
    from lofi.studio import Written

export_app = typer.Typer(
    help="Tracks as folders for elsewhere: a website with a podcast feed, a music distributor, "
    "a sampler. What goes out to the public has to be approved as public.\n\n"
    "Example: lofi export site --out site --url https://example.org/lofi",
    no_args_is_help=True,
)
Tracks = Annotated[list[str], typer.Argument(help="Ids of tracks; `lofi track list` shows them.")]


@export_app.command()
def site(
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("site"),
    url: Annotated[str, typer.Option(help="Where it will be: the feed needs it.")] = "",
    name: Annotated[str, typer.Option(help="The name of the channel.")] = "LoFi Empire",
    about: Annotated[str, typer.Option(help="What it is, in a sentence.")] = (
        "Lo-fi music made by a computer program."
    ),
    author: Annotated[str, typer.Option(help="Who publishes it.")] = "LoFi Empire",
    email: Annotated[str, typer.Option(help="For podcast directories; shown to all.")] = "",
    config: Config = None,
) -> None:
    """Write all tracks that are approved as public as a static site, and a podcast feed with --url.

    Example: lofi export site --out site --url https://example.org/lofi --name "Night Shift Radio"
    """
    from lofi import studio

    with opened(config) as house, bars("site") as report:
        written = studio.write_site(
            house, out, name=name, about=about, author=author, address=url, email=email,
            actor=ACTOR, progress=lambda note, share: report("site", share, note),
        )  # fmt: skip
    _say(written)
    if not url:
        warn("without --url there is no podcast feed: it needs whole addresses.")


@export_app.command()
def distributor(
    tracks: Tracks,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("release"),
    artist: Annotated[str, typer.Option(help="The main artist.")] = "LoFi Empire",
    album: Annotated[str, typer.Option(help="The title of the release.")] = "LoFi Empire",
    label: Annotated[str, typer.Option(help="The label; the artist if left out.")] = "",
    isrc: Annotated[str, typer.Option(help="Of the first track; the others count on.")] = "",
    upc: Annotated[str, typer.Option(help="UPC or EAN of the release.")] = "",
    date: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Release date. Today if left out.")
    ] = None,
    config: Config = None,
) -> None:
    """Write a release for a music distributor: WAV, a cover of 3000 x 3000 and metadata.csv.

    Example: lofi export distributor TRACK TRACK --album "Night Windows" --isrc QZ-ABC-26-00001
    """
    from lofi import studio

    sheet = studio.release_sheet(
        artist=artist,
        album=album,
        label=label,
        isrc=isrc,
        upc=upc,
        release_date=(date or datetime.now(UTC)).date(),
    )
    with opened(config) as house, bars("release") as report:
        written = studio.write_distributor(
            house, tracks, out, sheet=sheet, actor=ACTOR,
            progress=lambda note, share: report("release", share, note),
        )  # fmt: skip
    _say(written)


@export_app.command()
def samples(
    tracks: Tracks,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("samples"),
    config: Config = None,
) -> None:
    """Write loops of each part by tempo and key, with their MIDI: a sample pack.

    Example: lofi export samples amber-window-1f2e3d4c --out samples
    """
    from lofi import studio

    with opened(config) as house, bars("samples") as report:
        written = studio.write_samples(
            house, tracks, out, actor=ACTOR,
            progress=lambda note, share: report("samples", share, note),
        )  # fmt: skip
    _say(written)


def _say(written: Written) -> None:
    many = len(written.tracks)
    say(f"{written.folder}: {many} track{'s' if many > 1 else ''}")
    for track_id, why in written.left_out:
        warn(f"{track_id} is left out: {why}.")
