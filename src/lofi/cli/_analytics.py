"""Figures of releases and experiments, looked at, collected and taken away."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lofi.brief import InputError, LofiError
from lofi.cli._common import Config, Json, say, warn
from lofi.cli._jobs import ACTOR, opened, table, when

analytics_app = typer.Typer(
    help="What came of the releases: collected from YouTube, compared, taken away as tables.\n\n"
    "Example: lofi analytics show",
    no_args_is_help=True,
)
experiment_app = typer.Typer(
    help="Thumbnails or titles of a release that take turns until one has proved better.\n\n"
    "Example: lofi experiment list",
    no_args_is_help=True,
)
_SAYS = {
    "above": "above the typical",
    "below": "below the typical",
    "unclear": "no difference to be seen",
    "few": "too few to say",
}
_TRENDS = {"rising": "rising", "falling": "falling", "unclear": "no trend to be seen"}


class Measure(StrEnum):
    views = "views"
    watch_min = "watch_min"
    view_share = "view_share"
    click_rate = "click_rate"


# Figures -----------------------------------------------------------------------------------------


@analytics_app.command()
def collect(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be asked, and what it costs.")
    ] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Ask YouTube for the figures that are due. A server that works does it by itself.

    Example: lofi analytics collect --dry-run
    """
    from datetime import UTC, datetime

    from lofi import studio

    with opened(config) as house:
        if dry_run:
            with house.database.read() as session:
                steps = studio.analytics.due(session, datetime.now(UTC))
            if json_:
                say(json.dumps({"steps": steps}, indent=2))
            elif not steps:
                say("nothing is due.")
            else:
                rows = [(s["told"], s["requests"], s["units"], s["bucket"]) for s in steps]
                table("what", "requests", "units", "bucket", rows=rows)
            return
        done = studio.analytics.collect(house, actor=ACTOR)
    if json_:
        say(json.dumps(done, indent=2))
    else:
        parts = ", ".join(f"{n:,} of {part}" for part, n in done["parts"].items() if n)
        say(f"{done['readings']:,} figures came{': ' + parts if parts else ''}.")
    if done["problems"]:
        raise LofiError("; ".join(f"{p}: {why}" for p, why in done["problems"].items()))


@analytics_app.command()
def show(
    measure: Annotated[Measure, typer.Option(help="By what releases are compared.")] = (
        Measure.views
    ),
    age: Annotated[
        float, typer.Option(min=1, max=90, help="At which age, in days after they went out.")
    ] = 7.0,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Show the channel's figures, and what goes with more of them.

    Example: lofi analytics show --measure watch_min --age 14
    """
    from lofi import studio

    with opened(config) as house, house.database.read() as session:
        zone = studio.analytics.zone_of(house.settings())
        state = studio.analytics.state(session)
        totals = studio.analytics.totals(session)
        report = studio.analytics.report(session, measure=measure.value, age_days=age, zone=zone)
    if json_:
        say(json.dumps({"state": state, "totals": totals, "report": report}, indent=2))
        return
    _say_state(state)
    if totals["figures"]:
        rows = [
            (f["told"], _figure(f["value"]), _figure(f["before"]), _trend(f["trend"]))
            for f in totals["figures"]
        ]
        table(f"last {totals['days']} days", "", "before", "from week to week", rows=rows)
    if not report["releases"]:
        left = report["too_young"] + report["unknown"]
        if left:
            say(f"none of {left} releases has figures at an age of {age:g} days yet.")
        return
    say(
        f"{report['told']} of {report['releases']} releases at {age:g} days; a typical one has "
        f"{_figure(report['typical'])}. It tells what went together, not what caused it."
    )
    for fact, found in report["by"].items():
        rows = [
            (g["value"], g["n"], _figure(g["estimate"]),
             f"{_figure(g['low'])} to {_figure(g['high'])}", _SAYS[g["says"]])
            for g in found["groups"]
        ]  # fmt: skip
        table(fact, "releases", "typical", "90 %", "", rows=rows)


def _say_state(state: dict[str, Any]) -> None:
    if not state["connected"]:
        say("no YouTube account is connected: `lofi youtube connect`.")
    elif state["collected_at"] is None:
        say("nothing was collected yet: `lofi analytics collect`.")
    else:
        say(f"{state['account']}, collected {when(state['collected_at'])}")
    for part in state["parts"]:
        if part["problem"]:
            warn(f"{part['told']}: {part['problem']}")


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _trend(course: dict[str, Any] | None) -> str:
    if course is None:
        return ""
    if course["per_week"] is None:
        return "too few days to say"
    change, low, high = (100 * (course[n] - 1) for n in ("per_week", "low", "high"))
    return f"{change:+.0f} % ({low:+.0f} to {high:+.0f}), {_TRENDS[course['says']]}"


@analytics_app.command()
def export(
    out: Annotated[Path, typer.Argument(help="A file that ends in .csv or .parquet.")],
    name: Annotated[
        list[str] | None, typer.Option(help="Only this figure; may be given several times.")
    ] = None,
    config: Config = None,
) -> None:
    """Write all figures to a file, one a line, with what the track is like.

    Example: lofi analytics export figures.parquet --name views
    """
    from lofi import studio

    writers = {
        ".csv": studio.analytics.write_csv,
        ".parquet": studio.analytics.write_parquet,
    }
    write = writers.get(out.suffix.lower())
    if write is None:
        raise InputError(f"{out} must end in .csv or .parquet.")
    with opened(config) as house:
        write(out, house.database.read, names=name or ())
    say(f"{out}: {out.stat().st_size / 1000:,.0f} kB")


# Experiments -------------------------------------------------------------------------------------

ExperimentId = Annotated[int, typer.Argument(help="Its number; `lofi experiment list` shows it.")]


@experiment_app.command("list")
def list_experiments(json_: Json = False, config: Config = None) -> None:
    """List the experiments, those that run first.

    Example: lofi experiment list
    """
    from lofi import studio

    with opened(config) as house, house.database.read() as session:
        found = studio.experiments.listing(session)
    if json_:
        say(json.dumps({"experiments": found}, indent=2))
    elif not found:
        say("there is no experiment yet: `lofi experiment start`.")
    else:
        rows = [
            (e["id"], e["title"], e["kind"], e["state"], e["blocks"], e["winner"], e["why"])
            for e in found
        ]
        table("id", "track", "about", "state", "blocks", "winner", "", rows=rows)


@experiment_app.command()
def start(
    release: Annotated[int, typer.Argument(help="The number of a release that is out.")],
    title: Annotated[
        list[str] | None, typer.Option(help="Another title; may be given several times.")
    ] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="Another thumbnail: a JPEG or PNG of 16:9.")
    ] = None,
    palette: Annotated[
        list[str] | None, typer.Option(help="The track's thumbnail in another palette.")
    ] = None,
    clicks: Annotated[
        bool,
        typer.Option(
            "--clicks", help="Go by click-through, which comes days late, not by views per hour."
        ),
    ] = False,
    apply_winner: Annotated[
        bool, typer.Option("--apply-winner", help="Keep the winner; else what was comes back.")
    ] = False,
    max_days: Annotated[
        float, typer.Option(min=1, max=366, help="The longest it may take.")
    ] = 56.0,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Have titles or thumbnails take turns, a day each, with what the release has now.

    A server that works changes them. It ends when one has proved better, or the time is over.

    Example: lofi experiment start 3 --title "Quiet Harbour · lofi to read to"
    """
    from lofi import studio

    with opened(config) as house:
        images = [
            studio.experiments.put_image(house, _read_image(path))["sha256"] for path in image or ()
        ]
        begun = studio.experiments.start(
            house,
            release,
            "title" if title else "thumbnail",
            actor=ACTOR,
            titles=title or (),
            images=images,
            palettes=palette or (),
            measure="click_rate" if clicks else "views_per_hour",
            apply_winner=apply_winner,
            max_days=max_days,
        )
    _say_experiment(begun, json_)


def _read_image(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(2_000_001)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


@experiment_app.command("show")
def show_experiment(experiment: ExperimentId, json_: Json = False, config: Config = None) -> None:
    """Show an experiment with its evidence.

    Example: lofi experiment show 2
    """
    from lofi import studio

    with opened(config) as house, house.database.read() as session:
        row = studio.experiments.find(session, experiment)
        _say_experiment(studio.experiments.view(session, row), json_)


@experiment_app.command()
def stop(experiment: ExperimentId, json_: Json = False, config: Config = None) -> None:
    """End an experiment before its time; the release gets back what it had.

    Example: lofi experiment stop 2
    """
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        told = studio.experiments.stop(session, experiment, actor=ACTOR)
    _say_experiment(told, json_)


@experiment_app.command()
def apply(experiment: ExperimentId, json_: Json = False, config: Config = None) -> None:
    """Have the winner of an experiment shown from now on.

    Example: lofi experiment apply 2
    """
    from lofi import studio

    with opened(config) as house, house.database.write() as session:
        told = studio.experiments.apply(session, experiment, actor=ACTOR)
    _say_experiment(told, json_)


def _say_experiment(told: dict[str, Any], json_: bool) -> None:
    if json_:
        say(json.dumps(told, indent=2))
        return
    about = f"experiment {told['id']}, {told['kind']} of {told['title']}"
    say(f"{about}: {told['state']}. {told['why']}")
    rows = [(a["name"], a["turns"], _figure(a["amount"]), _figure(a["rate"])) for a in told["arms"]]
    table("arm", "turns", "views" if told["measure"] == "views_per_hour" else "clicks", "rate",
          rows=rows)  # fmt: skip
    for pair in told["pairs"]:
        if pair["arm"] > pair["other"]:
            names = [told["arms"][pair[side]]["name"] for side in ("arm", "other")]
            low, high = (pair[side] or edge for side, edge in (("low", 0.25), ("high", 4.0)))
            say(f"{names[0]}: {pair['ratio']:.2f} × {names[1]} ({low:.2f} to {high:.2f})")
    if told["problem"]:
        warn(told["problem"])
