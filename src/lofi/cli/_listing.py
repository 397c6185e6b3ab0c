"""What is said of tracks, and the look at them before they go out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lofi.brief import InputError, LofiError
from lofi.cli._common import Config, Json, say
from lofi.cli._jobs import ACTOR, TrackId, opened, table, track_app, when

if TYPE_CHECKING:
    from datetime import datetime

listing_app = typer.Typer(
    help="What listings are written from: templates, languages, and where keywords come from.\n\n"
    "Example: lofi listing templates > data/listing.yaml",
    no_args_is_help=True,
)
preflight_app = typer.Typer()
_MARKS = {"ok": "✓", "warn": "!", "block": "✗", "unknown": "?"}
_COLOURS = {"ok": "green", "warn": "yellow", "block": "red", "unknown": "dim"}
_FIELDS = ("title", "description", "tags", "category", "language")


# Templates -----------------------------------------------------------------------------------


@listing_app.command("templates")
def show_templates() -> None:
    """Print the shipped templates: what to copy from into a file of your own.

    Keep of it only what you change: the rest then goes on with the program.

    Example: lofi listing templates > data/listing.yaml
    """
    from lofi import studio

    say(studio.listings.shipped_templates())


@listing_app.command("check")
def check_templates(
    file: Annotated[
        Path | None, typer.Argument(help="Your templates. Those of the settings if left out.")
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Check templates, and show what they write of an example. A mistake is told with its line.

    Example: lofi listing check data/listing.yaml
    """
    from lofi import studio

    wording = studio.load_settings(config).listing
    if file is not None and not file.is_file():
        raise InputError(f"there is no file {file}. `lofi listing templates > {file}` makes one.")
    told = studio.listings.try_templates(wording, file)
    if json_:
        say(json.dumps(told, indent=2, ensure_ascii=False))
        return
    say(f"{told['templates']}: fine.\n")
    table("language", "title", rows=list(told["titles"].items()))
    say(told["description"])


@listing_app.command("keywords")
def show_keywords(json_: Json = False, config: Config = None) -> None:
    """List the keyword sets, and where each comes from.

    Example: lofi listing keywords
    """
    from lofi import studio

    sets = studio.listings.keyword_sets(studio.load_settings(config).listing)
    if json_:
        say(json.dumps({"keywords": sets}, indent=2, ensure_ascii=False))
        return
    table(
        "set", "tags", "from", rows=[(s["name"], ", ".join(s["tags"]), s["source"]) for s in sets]
    )


# The listing of a track ------------------------------------------------------------------------


@track_app.command("listing")
def track_listing(
    track: TrackId,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help=f"Change a field: {', '.join(_FIELDS)}; title.de and description.de for another "
            "language. @FILE reads it from a file.",
            metavar="FIELD=TEXT",
        ),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Undo all changes first.")] = False,
    draw: Annotated[
        int | None,
        typer.Option(min=0, help="Draw other words, beginning after this take: 0 for the next."),
    ] = None,
    rewrite: Annotated[
        bool, typer.Option("--rewrite", help="Have it worded anew by the endpoint in the settings.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be, and keep nothing.")
    ] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Show or change what is said of a track. What is changed has to be approved again.

    Example: lofi track listing amber-window-1f2e3d4c --set "title=Amber Window, in the rain"
    """
    from lofi import studio

    if draw is not None and rewrite:
        raise InputError("--draw and --rewrite are two ways to other words: give one of them.")
    listings = studio.listings
    with opened(config) as house:
        if reset and not dry_run:
            with house.database.write() as session:
                listings.reset(session, track, actor=ACTOR)
        with house.database.read() as session:
            found = studio.tracks.find(session, track)
            now, _ = listings.effective(session, found)
            if reset:
                now = listings.package_listing(session, found)
            if draw is not None:
                made = listings.drawn_again(session, found, house.settings().listing, after=draw)
                now = made["listing"]
        if rewrite:
            now = listings.rewritten(house, track)
        wanted = listings.edited(now, _edit(set_ or (), now))
        changes = bool(set_ or rewrite or draw is not None)
        if changes and not dry_run:
            with house.database.write() as session:
                listings.change(session, track, listings.whole(wanted), actor=ACTOR)
        with house.database.read() as session:
            view = listings.view(session, studio.tracks.find(session, track))
    if dry_run:
        view |= listings.described(wanted)
    if json_:
        say(json.dumps(view, indent=2, ensure_ascii=False))
        return
    counts = view["counts"]
    say(
        f"{view['title']}\n\n{view['description']}\n\ntags: {', '.join(view['tags'])}\n"
        f"title {counts['title_characters']} of {counts['title_characters_max']} characters, "
        f"description {counts['description_bytes']} of {counts['description_bytes_max']} bytes, "
        f"tags {counts['tags_characters']} of {counts['tags_characters_max']}, "
        f"{counts['chapters']} chapters, category {view['category']}, in {view['language']}"
    )
    for code, said in view["localizations"].items():
        say(f"{code}: {said['title']}")
    for wrong in view["problems"]:
        say(f"cannot go out: {wrong}")
    if dry_run and changes:
        say("nothing was kept.")
    elif view["edited"]:
        say(f"changed by {view['edited_by']} {when(view['edited_at'])}")


def _edit(pairs: list[str] | tuple[str, ...], listing: dict[str, Any]) -> Any:
    """The changes that `--set` asks for. Raises InputError."""
    from lofi import studio

    values: dict[str, Any] = {}
    said = listing.get("localizations") or {}
    languages = {code: (text["title"], text["description"]) for code, text in said.items()}
    for pair in pairs:
        field, equals, text = pair.partition("=")
        name, _, code = field.strip().partition(".")
        if not equals or name not in _FIELDS or (code and name not in ("title", "description")):
            raise InputError(
                f"--set {pair[:60]!r} is no FIELD=TEXT. The fields are {', '.join(_FIELDS)}, "
                "title.LANGUAGE and description.LANGUAGE."
            )
        if text.startswith("@"):
            try:
                text = Path(text[1:]).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{text[1:]} cannot be read: {error}.") from error
        if code:
            title, description = languages.get(code, ("", ""))
            languages[code] = (text, description) if name == "title" else (title, text)
            values["localizations"] = languages
        elif name == "tags":
            values["tags"] = [tag.strip() for tag in text.split(",") if tag.strip()]
        else:
            values[name] = text
    return studio.listings.Edit(**values)


# Preflight -------------------------------------------------------------------------------------


@preflight_app.command("preflight")
def preflight(
    track: TrackId,
    privacy: Annotated[
        str, typer.Option(help="How public it would be: private, unlisted or public.")
    ] = "private",
    publish_at: Annotated[
        str | None,
        typer.Option(
            help="When it would become public, with its offset: 2026-12-01T18:00+01:00. Needs "
            "--privacy public.",
            metavar="MOMENT",
        ),
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Hold a track against every rule, and print what would be sent to YouTube. Nothing is sent.

    The exit status is 1 if something keeps it from going out.

    Example: lofi preflight amber-window-1f2e3d4c --privacy unlisted
    """
    from lofi import studio

    at = None if publish_at is None else _moment(publish_at)
    with opened(config) as house:
        made = studio.preflight(house, track, privacy=privacy, publish_at=at)
    told = made.to_dict()
    if json_:
        say(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _show_findings(told)
        say(json.dumps(told["request"], indent=2, ensure_ascii=False))
    if not made.passes:
        raise LofiError(f"{track} cannot go out yet: {told['blocked']} rules stand against it.")


def _moment(text: str) -> datetime:
    from datetime import datetime

    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no moment such as 2026-12-01T18:00+01:00.") from error
    if found.tzinfo is None:
        raise InputError(f"{text!r} has no offset from UTC. Write it such as {text}+00:00.")
    return found


def _show_findings(told: dict[str, Any]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from lofi.cli._jobs import show

    shown = Table(
        "", "what must hold", "what is wrong", "from", box=box.SIMPLE_HEAD, pad_edge=False
    )
    for found in told["findings"]:
        outcome = found["outcome"]
        shown.add_row(
            Text(_MARKS[outcome], style=_COLOURS[outcome]),
            Text(found["says"]),
            Text(found["detail"], style=_COLOURS[outcome] if found["detail"] else ""),
            Text(found["source"].split(": ")[0], style="dim"),  # its address is in the JSON
        )
    show(shown)
    say(
        f"{told['track_id']}: "
        + ("may go out" if told["passes"] else f"cannot go out, {told['blocked']} against it")
        + f"; {told['warnings']} to weigh, {told['unknown']} not known"
    )
