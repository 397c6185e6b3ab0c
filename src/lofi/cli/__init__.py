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
    AMBIENCES,
    BPM_RANGE,
    DENSITIES,
    DURATION_RANGE_S,
    MOODS,
    PALETTES,
    PARTS,
    SECTIONS,
    SWINGS,
    TEMPLATES,
    Brief,
    InputError,
    Key,
    LofiError,
    read_duration,
    read_form,
    read_parts,
    read_swing,
)
from lofi.cli._channel import channel_app
from lofi.cli._common import Config, Json, bars, say, warn
from lofi.cli._doctor import doctor_app
from lofi.cli._learn import learn_app
from lofi.cli._serve import serve_app

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
        if _interrupted(error):
            _fail("stopped; nothing half-written was left behind.", 1)
        if os.environ.get("LOFI_DEBUG"):
            raise
        _fail(
            f"something failed that should not have: {type(error).__name__}: {error}. Run it again "
            "with LOFI_DEBUG=1 to see where, and report it.",
            1,
        )


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error comes of a signal to stop: a module in C that is interrupted while it is
    imported makes an ImportError of it.
    """
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


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
    str | None,
    typer.Option(
        help=f"Length: seconds, or minutes:seconds ({DURATION_RANGE_S[0]:g} s to "
        f"{DURATION_RANGE_S[1] / 60:g} min), met exactly: the last chord is held until it is over. "
        "2:00 if left out, or as long as the bars of --form."
    ),
]
FormName = Annotated[
    str | None,
    typer.Option(
        "--form",
        help=f"Sections in order, among {', '.join(SECTIONS)}: \"intro A A' B break A' outro\". "
        'Bars where they matter: "intro:4 A:8 B:8 outro:4"; the others share what is left.',
        metavar="SECTIONS",
    ),
]
Chords = Annotated[
    str | None,
    typer.Option(
        help='A loop, one chord a bar: "Am9 D7 Gmaj9 Cmaj7". With | the bars are what it parts, '
        'of one chord or two halves: "Am9 D7 | Gmaj9". The key is heard from it if left out.'
    ),
]
Instruments = Annotated[
    str | None,
    typer.Option(help=f"Who plays, among {','.join(PARTS)}. By mood if left out.", metavar="LIST"),
]
Swing = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join(SWINGS)}; or where the off-beat falls, 50 to 67 percent of the beat."
    ),
]
Density = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(DENSITIES)}: less or more of every part than the mood has."),
]
Temperature = Annotated[
    float | None,
    typer.Option(min=0.05, max=2.0, help="Sampling: below 1 plainer, above 1 wilder."),
]
TopK = Annotated[
    int | None, typer.Option(min=1, max=1000, help="Sampling: among how many likeliest tokens.")
]
TopP = Annotated[
    float | None, typer.Option(min=0.01, max=1.0, help="Sampling: among what share of likelihood.")
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
Ambience = Annotated[
    str | None,
    typer.Option(
        help="Around the music: "
        + "; ".join(f"{name}: {what}" for name, what in AMBIENCES.items())
        + f". {next(iter(AMBIENCES))} if left out."
    ),
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
    *,
    mood: str | None,
    bpm: float | None,
    key: str | None,
    duration: str | None,
    seed: int | None,
    form: str | None,
    chords: str | None,
    instruments: str | None,
    swing: str | None,
    density: str | None,
    palette: str | None = None,
    template: str | None = None,
    ambience: str | None = None,
) -> Brief:
    import secrets

    asked_key = Key.parse(key) if key else None
    loop = None
    if chords is not None:
        from lofi.music import key_of_chords, read_chords

        loop = read_chords(chords)
        asked_key = asked_key or key_of_chords(loop)
    return Brief(
        seed=secrets.randbelow(2**31) if seed is None else seed,
        mood=mood,
        bpm=bpm,
        key=asked_key,
        duration_s=None if duration is None else read_duration(duration),
        palette=palette,
        template=template,
        form=None if form is None else read_form(form),
        chords=loop,
        parts=None if instruments is None else read_parts(instruments),
        swing=None if swing is None else read_swing(swing),
        density=density,
        ambience=ambience,
    )


def _sampled(
    settings: Any, temperature: float | None, top_k: int | None, top_p: float | None
) -> Any:
    """The settings with the sampling that flags ask for."""
    from dataclasses import replace

    asked = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    given = {name: value for name, value in asked.items() if value is not None}
    return settings.model_copy(update={"sampling": replace(settings.sampling, **given)})


# Tracks --------------------------------------------------------------------------------------


@app.command()
def make(
    mood: Mood = None,
    bpm: Bpm = None,
    key: KeyName = None,
    duration: Duration = None,
    seed: Seed = None,
    form: FormName = None,
    chords: Chords = None,
    instruments: Instruments = None,
    swing: Swing = None,
    density: Density = None,
    palette: Palette = None,
    template: Template = None,
    ambience: Ambience = None,
    model: ModelPath = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    soundfont: SoundFont = None,
    stems: Stems = False,
    take: Annotated[
        int,
        typer.Option(min=0, help="Which draw of name and words; a track's provenance.json has it."),
    ] = 0,
    out: Out = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Make a whole package: track, master, video, thumbnail and listing.

    Example: lofi make --mood dreamy --key "Eb major" --bpm 70 --duration 2:30 --seed 7
    """
    brief = _brief(
        mood=mood,
        bpm=bpm,
        key=key,
        duration=duration,
        seed=seed,
        form=form,
        chords=chords,
        instruments=instruments,
        swing=swing,
        density=density,
        palette=palette,
        template=template,
        ambience=ambience,
    )
    brief.settled()  # a wrong brief is told before any work begins
    from lofi import studio

    settings = _sampled(studio.load_settings(config), temperature, top_k, top_p)
    with bars(*studio.STAGES) as report:
        package = studio.make(
            brief,
            settings,
            model_path=model,
            soundfont=soundfont,
            keep_stems=stems,
            take=take,
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
    duration: Duration = None,
    seed: Seed = None,
    form: FormName = None,
    chords: Chords = None,
    instruments: Instruments = None,
    swing: Swing = None,
    density: Density = None,
    continue_: Annotated[
        Path | None,
        typer.Option(
            "--continue",
            help="A MIDI file to go on from: it stays as it is, new sections follow until "
            "--duration (twice its length if left out), in its key, tempo, swing and chords.",
            metavar="MIDI",
        ),
    ] = None,
    vary: Annotated[
        Path | None,
        typer.Option(
            help="A MIDI file to vary: its form, chords, key and length stay, and the parts in "
            "--keep; the others are written anew.",
            metavar="MIDI",
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="With --vary: the parts that stay. drums,bass if left out."),
    ] = None,
    model: ModelPath = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    out: Annotated[Path, typer.Option(help="The MIDI file to write.")] = Path("output/track.mid"),
    json_: Json = False,
    config: Config = None,
) -> None:
    """Write a score alone, as MIDI: from nothing, or from a score that is there.

    Example: lofi generate --mood focus --bpm 80 --chords "Dm9 G13 | Cmaj9" --out study.mid

    Then: lofi generate --continue study.mid --duration 4:00 --out longer.mid
    """
    brief = _brief(
        mood=mood,
        bpm=bpm,
        key=key,
        duration=duration,
        seed=seed,
        form=form,
        chords=chords,
        instruments=instruments,
        swing=swing,
        density=density,
    )
    if out.suffix.lower() not in (".mid", ".midi"):
        raise InputError(f"--out {out} must end in .mid.")
    if continue_ and vary:
        raise InputError("--continue and --vary are two ways to go on: give one of them.")
    if keep is not None and not vary:
        raise InputError("--keep says what stays of a score that is varied: give --vary too.")
    source = kept = None
    if given := continue_ or vary:
        from lofi.music import KEPT, brief_for, read_source

        source = read_source(given)
        for repair in source.repairs:
            warn(f"{source.name}: {repair}")
        if vary:
            there = tuple(p for p in KEPT if p in source.parts)
            kept = there if keep is None else read_parts(keep)
        brief_for(source, brief, vary=vary is not None)
    else:
        brief.settled()  # a wrong brief is told before any work begins
    from lofi import studio

    settings = _sampled(studio.load_settings(config), temperature, top_k, top_p)
    with bars("compose") as report:
        composition = studio.write_score(
            brief, settings, model_path=model, out=out, source=source, keep=kept, report=report
        )
    plan = composition.plan
    if json_:
        told = {
            "path": str(out),
            "seed": brief.seed,
            "bpm": plan.bpm,
            "key": str(plan.key),
            "swing": round(plan.swing, 3),
            "bars": plan.bars,
            "duration_s": round(plan.duration_s, 3),
            "sections": [
                {
                    "name": s.name,
                    "start_bar": s.start_bar,
                    "bars": s.bars,
                    "parts": s.parts,
                    "chords": s.chords,
                }
                for s in plan.sections
            ],
            "arrangement": composition.arrangement,
        }
        say(json.dumps(told, indent=2))
        return
    sections = " ".join(f"{s.name}({s.bars})" for s in plan.sections)
    say(
        f"{out}: {plan.bars} bars, {plan.bpm:g} bpm, {plan.key}, {plan.duration_s:.1f} s, "
        f"seed {brief.seed}\nform: {sections}"
    )


@app.command()
def batch(
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many tracks.")] = 4,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="How many at once. The number of cores if left out.")
    ] = None,
    mood: Mood = None,
    bpm: Bpm = None,
    key: KeyName = None,
    duration: Duration = None,
    seed: Seed = None,
    form: FormName = None,
    chords: Chords = None,
    instruments: Instruments = None,
    swing: Swing = None,
    density: Density = None,
    palette: Palette = None,
    template: Template = None,
    ambience: Ambience = None,
    model: ModelPath = None,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
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
    brief = _brief(
        mood=mood,
        bpm=bpm,
        key=key,
        duration=duration,
        seed=seed,
        form=form,
        chords=chords,
        instruments=instruments,
        swing=swing,
        density=density,
        palette=palette,
        template=template,
        ambience=ambience,
    )
    brief.settled()  # a wrong brief is told before any work begins
    from lofi import studio

    settings = _sampled(studio.load_settings(config), temperature, top_k, top_p)
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


app.add_typer(doctor_app)
app.add_typer(learn_app)  # their names stand at the top, after those above
app.add_typer(serve_app)
app.add_typer(channel_app)
