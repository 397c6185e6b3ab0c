"""The command `lofi`. Commands import what they need when they run: help answers at once."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lofi import __version__
from lofi.brief import (
    BPM_RANGE,
    DURATION_RANGE_S,
    MOODS,
    PALETTES,
    TEMPLATES,
    Brief,
    InputError,
    Key,
    LofiError,
)
from lofi.cli._common import Config, Json, bars, say
from lofi.cli._learn import learn_app

app = typer.Typer(
    name="lofi",
    help="Compose, render and package lo-fi music.\n\n"
    "Start with `lofi make`: it writes a track, its video, thumbnail and listing. To learn from "
    "MIDI of your own, put it into data/raw_midi and run `lofi tokenize`, `lofi dataset` and "
    "`lofi train`; then `lofi make --model models/lofi-gpt2`.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; every error ends as one sentence and an exit status."""

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        # Outside its standalone mode the parser gives exit statuses back instead of leaving.
        status = app(standalone_mode=False)
        if status == 128 + signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(status if isinstance(status, int) else 0)
    except LofiError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped; nothing half-written was left behind.", 1)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        _fail(f"{error.filename or 'a file'}: {error.strerror or error}. {_disk_remedy(error)}", 1)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the parser
            error.show()  # type: ignore[attr-defined]
            sys.exit(error.exit_code)  # type: ignore[attr-defined]
        if os.environ.get("LOFI_DEBUG"):
            raise
        _fail(
            f"something failed that should not have: {type(error).__name__}: {error}. Run it again "
            "with LOFI_DEBUG=1 to see where, and report it.",
            1,
        )


def _disk_remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space and run it again; it goes on where it was."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Change its permissions, or the paths in config.yaml."
    return "Check the path and run it again."


def _fail(message: str, status: int) -> None:
    print(f"lofi: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(status)


def _version(value: bool) -> None:
    if value:
        say(f"lofi-empire {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


# What several commands share -----------------------------------------------------------------

Mood = Annotated[
    str | None, typer.Option(help=f"One of {', '.join(MOODS)}. Drawn by the seed if left out.")
]
Bpm = Annotated[
    float | None,
    typer.Option(help=f"Tempo, {BPM_RANGE[0]:g} to {BPM_RANGE[1]:g}. By mood if left out."),
]
KeyName = Annotated[str | None, typer.Option("--key", help="Such as 'C major', 'Am', 'F# minor'.")]
Duration = Annotated[
    str,
    typer.Option(
        help=f"Length: seconds, or minutes:seconds ({DURATION_RANGE_S[0]:g} s to "
        f"{DURATION_RANGE_S[1] / 60:g} min)."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Whole number; the same brief, seed and model give the same bytes."),
]
Palette = Annotated[str | None, typer.Option(help=f"Colours: {', '.join(PALETTES)}.")]
Template = Annotated[
    str | None,
    typer.Option(help="; ".join(f"{name}: {what}" for name, what in TEMPLATES.items()) + "."),
]
ModelPath = Annotated[
    Path | None,
    typer.Option(
        "--model", help="A folder that `lofi train` wrote. The shipped model if left out."
    ),
]
SoundFont = Annotated[
    Path | None,
    typer.Option(help="A .sf2 or .sf3 file to play instead of the built-in instruments."),
]
Stems = Annotated[bool, typer.Option("--stems", help="Also write one FLAC per part.")]
Out = Annotated[Path | None, typer.Option(help="Folder for packages. `output` if left out.")]


def _brief(
    mood: str | None,
    bpm: float | None,
    key: str | None,
    duration: str,
    seed: int | None,
    palette: str | None = None,
    template: str | None = None,
) -> Brief:
    import secrets

    return Brief(
        seed=secrets.randbelow(2**31) if seed is None else seed,
        mood=mood,
        bpm=bpm,
        key=Key.parse(key) if key else None,
        duration_s=_seconds(duration),
        palette=palette,
        template=template,
    )


def _seconds(text: str) -> float:
    """Read `90`, `90s`, `2m`, `2:30`."""
    try:
        value = text.strip().lower()
        if ":" in value:
            minutes, seconds = value.split(":")
            return int(minutes) * 60 + float(seconds)
        if value.endswith("m"):
            return float(value[:-1]) * 60
        return float(value.removesuffix("s"))
    except ValueError as error:
        raise InputError(
            f"cannot read the duration {text!r}. Write seconds (90) or minutes:seconds (2:30)."
        ) from error


# Tracks --------------------------------------------------------------------------------------


@app.command()
def make(
    mood: Mood = None,
    bpm: Bpm = None,
    key: KeyName = None,
    duration: Duration = "2:00",
    seed: Seed = None,
    palette: Palette = None,
    template: Template = None,
    model: ModelPath = None,
    soundfont: SoundFont = None,
    stems: Stems = False,
    out: Out = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Make a whole package: track, master, video, thumbnail and listing.

    Example: lofi make --mood dreamy --key "Eb major" --bpm 70 --duration 2:30 --seed 7
    """
    brief = _brief(mood, bpm, key, duration, seed, palette, template).settled()
    from lofi import studio

    settings = studio.load_settings(config)
    with bars(*studio.STAGES) as report:
        package = studio.make(
            brief,
            settings,
            model_path=model,
            soundfont=soundfont,
            keep_stems=stems,
            out=out,
            report=report,
        )
    if json_:
        say(json.dumps({"path": str(package.path), **package.track}, indent=2))
        return
    measured = package.track["measured"]
    say(
        f"{package.track['title']}: {measured['bpm']:.0f} bpm, {measured['key']}, "
        f"{measured['duration_s']:.1f} s, {measured['lufs']:.1f} LUFS, "
        f"seed {brief.seed}\n"
        f"originality: {package.track['originality']['summary']}\n"
        f"package: {package.path}\n"
        f"play it:  {_player(package.path / 'video.mp4')}"
    )


def _player(path: Path) -> str:
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    return f"{opener} {path}   (or any player; the sound alone is master.flac)"


@app.command()
def generate(
    mood: Mood = None,
    bpm: Bpm = None,
    key: KeyName = None,
    duration: Duration = "2:00",
    seed: Seed = None,
    model: ModelPath = None,
    out: Annotated[Path, typer.Option(help="The MIDI file to write.")] = Path("output/track.mid"),
    json_: Json = False,
    config: Config = None,
) -> None:
    """Write a score alone, as MIDI.

    Example: lofi generate --mood focus --bpm 80 --out study.mid
    """
    brief = _brief(mood, bpm, key, duration, seed).settled()
    from lofi import studio

    settings = studio.load_settings(config)
    if out.suffix.lower() not in (".mid", ".midi"):
        raise InputError(f"--out {out} must end in .mid.")
    with bars("compose") as report:
        composition = studio.write_score(brief, settings, model_path=model, out=out, report=report)
    plan = composition.plan
    if json_:
        sections = [
            {"name": s.name, "start_bar": s.start_bar, "bars": s.bars} for s in plan.sections
        ]
        told = {"path": str(out), "seed": brief.seed, "bpm": plan.bpm, "key": str(plan.key)}
        say(json.dumps({**told, "sections": sections}, indent=2))
        return
    form = " ".join(f"{s.name}({s.bars})" for s in plan.sections)
    say(f"{out}: {plan.bars} bars, {plan.bpm:g} bpm, {plan.key}, seed {brief.seed}\nform: {form}")


@app.command()
def batch(
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many tracks.")] = 4,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="How many at once. The number of cores if left out.")
    ] = None,
    mood: Mood = None,
    bpm: Bpm = None,
    key: KeyName = None,
    duration: Duration = "2:00",
    seed: Seed = None,
    palette: Palette = None,
    template: Template = None,
    model: ModelPath = None,
    soundfont: SoundFont = None,
    stems: Stems = False,
    out: Out = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Make several packages in parallel, each with a seed of its own.

    What is left out of the brief is drawn anew for every track. One that fails does not stop the
    others; the exit status is then 1.

    Example: lofi batch --count 8 --mood chill --seed 2026
    """
    brief = _brief(mood, bpm, key, duration, seed, palette, template)
    brief.settled()  # a wrong brief is told before any work begins
    from lofi import studio

    settings = studio.load_settings(config)
    results: list[Any] = []
    with bars("tracks") as report:
        report("tracks", 0.0)

        def done(result: Any) -> None:
            results.append(result)
            report("tracks", len(results) / count)

        results_in_order = studio.make_many(
            brief,
            settings,
            count,
            jobs=jobs or os.cpu_count() or 1,
            done=done,
            model_path=model,
            soundfont=soundfont,
            keep_stems=stems,
            out=out,
        )
    if json_:
        rows = [
            {"seed": r.seed, "path": str(r.path) if r.path else None, "error": r.error}
            for r in results_in_order
        ]
        say(json.dumps(rows, indent=2))
    else:
        for result in results_in_order:
            say(f"{result.path}" if result.path else f"seed {result.seed}: {result.error}")
    failed = sum(r.path is None for r in results_in_order)
    if failed:
        raise LofiError(f"{failed} of {count} tracks failed; their reasons are above.")


app.add_typer(learn_app)  # their names stand at the top, after those above
