"""`lofi doctor`: what works on this machine, what is absent, and what is broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lofi.brief import InputError, LofiError
from lofi.cli._common import Config, Json, say

if TYPE_CHECKING:
    from lofi.studio import Finding

doctor_app = typer.Typer()
_COLOURS = {"ok": "green", "absent": "yellow", "broken": "bold red"}


@doctor_app.command()
def doctor(
    soundfont: Annotated[
        list[Path] | None,
        typer.Option(help="A .sf2 or .sf3 file that you play; may be given several times."),
    ] = None,
    credentials: Annotated[
        Path | None, typer.Option(help="The OAuth file of your YouTube channel.")
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Look at everything the studio can use, and say what to do about what is broken.

    Each thing is ok, absent (with what is used in its place) or broken (with the remedy). The exit
    status is 1 if anything is broken. Nothing is changed or sent.
    """
    from rich.console import Console

    from lofi import studio

    try:
        settings = studio.load_settings(config)
        source = str(config or "config.yaml") if config or Path("config.yaml").is_file() else ""
        found = [studio.Finding("settings", "ok", source or "the defaults: no config.yaml here")]
    except InputError as error:
        settings = studio.default_settings()
        found = [studio.Finding("settings", "broken", str(error), "The defaults are examined.")]
    with Console(stderr=True).status("looking") as status:
        found += studio.examine(
            settings,
            credentials=credentials,
            soundfonts=soundfont or (),
            progress=lambda _share, name: status.update(f"looking at {name}"),
        )
    broken = [f.name for f in found if f.state == "broken"]
    if json_:
        told = {"ok": not broken, "findings": [f.to_dict() for f in found]}
        say(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        _show(found)
    if broken:
        raise LofiError(f"broken: {', '.join(broken)}. What to do stands beside each.")


def _show(found: list[Finding]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("found", overflow="fold")
    for finding in found:
        # As text, not markup: a path may hold brackets.
        lines = Text(finding.detail)
        if finding.remedy:
            lines.append(
                f"\n→ {finding.remedy}", style="bold" if finding.state == "broken" else "dim"
            )
        table.add_row(finding.name, Text(finding.state, style=_COLOURS[finding.state]), lines)
    Console().print(table)
