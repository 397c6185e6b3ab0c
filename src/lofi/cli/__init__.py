"""The command `lofi`. Commands import what they need when they run: help answers at once."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
corpus_app = typer.Typer(help="Corpora of MIDI to learn from.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")


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


def _say(message: str) -> None:
    print(message)  # noqa: T201


def _version(value: bool) -> None:
    if value:
        _say(f"lofi-empire {__version__}")
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
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Config = Annotated[
    Path | None, typer.Option(help="Settings file. ./config.yaml if left out and present.")
]


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


@contextmanager
def _bars(*stages: str) -> Iterator[Callable[..., None]]:
    """One progress bar per stage, on stderr; gives report(stage, fraction, note="").

    Where stderr is no terminal, a line per tenth of a stage (or at most every ten seconds) instead.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=40),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    ) as progress:
        tasks = {s: progress.add_task(s, total=1.0, start=False, note="") for s in stages}

        def report(stage: str, fraction: float, note: str = "") -> None:
            if not progress.tasks[tasks[stage]].started:
                progress.start_task(tasks[stage])
            progress.update(tasks[stage], completed=fraction, note=note)

        yield report


def _lines() -> Callable[..., None]:
    import time

    told: dict[str, tuple[int, float]] = {}

    def report(stage: str, fraction: float, note: str = "") -> None:
        tenth, now = int(fraction * 10), time.monotonic()
        last, when = told.get(stage, (-1, 0.0))
        if tenth > last or (note and now - when > 10):
            told[stage] = (tenth, now)
            print(f"{stage} {fraction:.0%} {note}".rstrip(), file=sys.stderr, flush=True)  # noqa: T201

    return report


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
    with _bars(*studio.STAGES) as report:
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
        _say(json.dumps({"path": str(package.path), **package.track}, indent=2))
        return
    measured = package.track["measured"]
    _say(
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
    with _bars("compose") as report:
        composition = studio.write_score(brief, settings, model_path=model, out=out, report=report)
    plan = composition.plan
    if json_:
        sections = [
            {"name": s.name, "start_bar": s.start_bar, "bars": s.bars} for s in plan.sections
        ]
        told = {"path": str(out), "seed": brief.seed, "bpm": plan.bpm, "key": str(plan.key)}
        _say(json.dumps({**told, "sections": sections}, indent=2))
        return
    form = " ".join(f"{s.name}({s.bars})" for s in plan.sections)
    _say(f"{out}: {plan.bars} bars, {plan.bpm:g} bpm, {plan.key}, seed {brief.seed}\nform: {form}")


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
    with _bars("tracks") as report:
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
        _say(json.dumps(rows, indent=2))
    else:
        for result in results_in_order:
            _say(f"{result.path}" if result.path else f"seed {result.seed}: {result.error}")
    failed = sum(r.path is None for r in results_in_order)
    if failed:
        raise LofiError(f"{failed} of {count} tracks failed; their reasons are above.")


# From MIDI to a model ------------------------------------------------------------------------


@app.command()
def tokenize(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of MIDI. data/raw_midi if left out.")
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Read a folder of MIDI into tokens: data/tokenized/*.json and data/metadata.json.

    Every file ends as kept, rejected (with the reason) or duplicate (of which). Started again, it
    reads only what is new or changed.
    """
    from lofi import studio

    settings = studio.load_settings(config)
    paths = settings.paths
    with _bars("tokenize") as report:
        metadata = studio.tokenize(
            folder or paths.raw_midi,
            paths.tokenized,
            paths.metadata,
            bounds=settings.bounds,
            quality=settings.quality,
            progress=lambda n, of: report("tokenize", n / of),
        )
    if json_:
        _say(json.dumps({k: v for k, v in metadata.items() if k != "entries"}, indent=2))
        return
    _say(
        f"{metadata['files']} files: {metadata['kept']} kept, {metadata['rejected']} rejected, "
        f"{metadata['duplicate']} duplicates. Each one's figures or reason: {paths.metadata}"
    )
    for reason, count in list(metadata["reasons"].items())[:8]:
        _say(f"  {count:5d}  {reason}")
    if metadata["kept"] == 0:
        raise InputError("no file was kept, so there is nothing to learn from.")


@app.command()
def dataset(json_: Json = False, config: Config = None) -> None:
    """Cut the tokenised files 90/10 into data/datasets/{train,val}, by content."""
    from lofi import studio

    settings = studio.load_settings(config)
    paths = settings.paths
    with _bars("dataset") as report:
        described = studio.build_dataset(
            paths.tokenized,
            paths.metadata,
            paths.datasets,
            val_share=settings.split.val_share,
            seed=settings.split.seed,
            progress=lambda n, of: report("dataset", n / of),
        )
    if json_:
        _say(json.dumps(described, indent=2))
        return
    for split in ("train", "val"):
        _say(
            f"{split}: {described['files'][split]:,} files, {described['segments'][split]:,} "
            f"segments, {described['tokens'][split]:,} tokens"
        )


@app.command()
def train(
    out: Annotated[
        Path | None, typer.Option(help="Model folder. models/lofi-gpt2 if left out.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Batches in all.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore earlier checkpoints.")] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Train a GPT-2 on the data set, then export it for generating.

    Needs the extra packages: pip install 'lofi-empire[train]'. Checkpoints are written as it goes;
    started again, it goes on from the last. Watch it with `tensorboard --logdir models`.
    """
    from dataclasses import replace

    from lofi import studio

    settings = studio.load_settings(config)
    recipe = replace(settings.training, steps=steps) if steps else settings.training
    folder = out or settings.paths.model
    with _bars("train") as report:

        def told(p: Any) -> None:
            loss = f"loss {p.loss:.3f}" if p.loss is not None else ""
            val = f"  val {p.val_loss:.3f}" if p.val_loss is not None else ""
            report("train", p.step / p.steps, f"step {p.step}/{p.steps}  {loss}{val}")

        card = studio.train_model(
            settings.paths.datasets,
            folder,
            architecture=settings.architecture,
            recipe=recipe,
            fresh=fresh,
            progress=told,
        )
    if json_:
        _say(json.dumps(card, indent=2))
        return
    trained = card["training"]
    _say(
        f"{folder}: {trained['steps']} steps, validation loss "
        f"{trained['val_loss_nats_per_token']:.3f} nats per token\n"
        f"generate with it: lofi make --model {folder}"
    )


@corpus_app.command("compose")
def corpus_compose(
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path(
        "data/raw_midi/composed"
    ),
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many pieces.")] = 1000,
    seed: Annotated[int, typer.Option(help="Whole number; the same seed, the same pieces.")] = 1,
) -> None:
    """Write a corpus with the rule composer, for those who have no MIDI."""
    from lofi import studio

    with _bars("compose") as report:
        new = studio.compose_corpus(
            out, count=count, seed=seed, progress=lambda n, of: report("compose", n / of)
        )
    _say(f"{out}: {count} pieces, {new} of them new")
