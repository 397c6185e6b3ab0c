"""From MIDI to a model: corpora, tokens, the data set, training."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from lofi.brief import InputError
from lofi.cli._common import Config, Json, bars, say, warn

learn_app = typer.Typer()
corpus_app = typer.Typer(
    help="Corpora of MIDI to learn from: folders of data/raw_midi, each with a card, corpus.yaml.",
    no_args_is_help=True,
)
learn_app.add_typer(corpus_app, name="corpus")


def _read(raw: Path, settings: Any, json_: bool) -> None:
    """Read a folder into tokens and say what became of its files."""
    from lofi import studio

    paths = settings.paths
    with bars("read") as report:
        head = studio.tokenize(
            raw,
            paths.tokenized,
            paths.metadata,
            bounds=settings.bounds,
            quality=settings.quality,
            limits=settings.reading,
            progress=lambda n, of: report("read", n / of, f"{n:,} of {of:,} files"),
        )
    if json_:
        say(json.dumps(head, indent=2))
    else:
        say(
            f"{head['files']:,} files: {head['kept']:,} kept, {head['rejected']:,} rejected, "
            f"{head['duplicate']:,} duplicates"
        )
        for reason, count in list(head["reasons"].items())[:8]:
            say(f"  {count:6,d}  {reason}")
        say(f"each one's figures or reason: {paths.metadata}")
        say(f"what was rejected and repaired: {paths.metadata.with_name('summary.md')}")
    if head["kept"] == 0:
        raise InputError("no file was kept, so there is nothing to learn from.")
    if head["kept"] < studio.FEW_FILES:
        warn(
            f"{head['kept']} files are few: a model learns them by heart rather than from them. "
            "More music, or `lofi corpus compose` beside it, helps."
        )


@learn_app.command()
def tokenize(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of MIDI. data/raw_midi if left out.")
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Read a folder of MIDI into tokens: data/tokenized/*.json and data/metadata.json.

    Every file ends as kept, rejected (with the reason) or duplicate (of which); data/summary.md
    counts them. Started again, it reads only what is new or changed.
    """
    from lofi import studio

    settings = studio.load_settings(config)
    _read(folder or settings.paths.raw_midi, settings, json_)


@learn_app.command()
def dataset(json_: Json = False, config: Config = None) -> None:
    """Cut the tokenised files 90/10 into data/datasets/{train,val}, by content."""
    from lofi import studio

    settings = studio.load_settings(config)
    paths = settings.paths
    with bars("dataset") as report:
        described = studio.build_dataset(
            paths.tokenized,
            paths.metadata,
            paths.datasets,
            val_share=settings.split.val_share,
            seed=settings.split.seed,
            progress=lambda n, of: report("dataset", n / of),
        )
    if json_:
        say(json.dumps(described, indent=2))
        return
    if described["files"]["val"] == 0:
        warn("all files are near twins of each other, so none could be held out for validation.")
    for split in ("train", "val"):
        say(
            f"{split}: {described['files'][split]:,} files, {described['segments'][split]:,} "
            f"segments, {described['tokens'][split]:,} tokens"
        )


@learn_app.command()
def train(
    out: Annotated[
        Path | None, typer.Option(help="Model folder. models/lofi-gpt2 if left out.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Fine-tune: start from what a model knows. 'shipped', or a model folder. Its size "
            "and tokens are kept; steps and learning rate are those of finetuning in config.yaml.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Batches in all. More than before: a finished run goes on. If left out, what "
            "config.yaml says; with --from, enough to read each segment a few times.",
        ),
    ] = None,
    ship: Annotated[
        bool,
        typer.Option(
            "--ship",
            help="Mark the checkpoint as one to pass on; refused if a corpus does not allow it.",
        ),
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over; removes earlier checkpoints there.")
    ] = False,
    json_: Json = False,
    config: Config = None,
) -> None:
    r"""Train a GPT-2 on the data set, then export it for generating.

    Needs the extra packages: pip install 'lofi-empire\[train]'. Checkpoints are written as it goes;
    started again, it goes on from the last. At every evaluation it plays the same eight bars into
    samples/ of the model folder; `tensorboard --logdir models` shows them beside the curves. It
    stops early when validation no longer gets better, and exports the best weights. Ctrl-C (or
    SIGTERM) writes a checkpoint after the step it is at, and ends; a second one ends at once.

    A few hundred files or fewer: lofi train --from shipped --out models/mine

    Several graphics cards: torchrun --nproc-per-node 2 -m lofi train
    """
    from lofi import studio

    settings = studio.load_settings(config)
    folder = out or settings.paths.model
    first = studio.processes()[0] == 0  # of those that torchrun started, only one speaks
    with bars("train") if first else nullcontext() as report, _stopping() as stop:

        def told(p: Any) -> None:
            stop.has_begun = True
            if report is None:
                return
            loss = f"  loss {p.loss:.3f}" if p.loss is not None else ""
            if p.val_loss is not None:
                loss += f"  val {p.val_loss:.3f} ({p.val_bits_per_note:.2f} bits/note)"
            pace = f"  {p.steps_per_s:.2g} steps/s, {_time(p.left_s)} left"
            report("train", p.step / p.steps, f"step {p.step}/{p.steps}{loss}{pace}")

        card = studio.train_model(
            settings.paths.datasets,
            folder,
            architecture=settings.architecture,
            recipe=settings.training,
            base=base,
            finetuning=settings.finetuning,
            steps=steps,
            ship=ship,
            fresh=fresh,
            progress=told,
            warn=warn,
            stop=stop,
        )
    if not first:
        return
    if json_:
        say(json.dumps(card, indent=2))
        return
    trained = card["training"]
    early = "; stopped early, as validation got no better" if trained["stopped_early"] else ""
    say(
        f"{folder}: best of {trained['steps']} steps is step {trained['best_step']}{early}\n"
        f"validation: {trained['val_loss_nats_per_token']:.3f} nats per token, "
        f"{trained['val_bits_per_note']:.2f} bits per note\n"
        f"generate with it: lofi make --model {folder}"
    )


class _Stop:
    """Whether the run shall end after its next step."""

    def __init__(self) -> None:
        self.has_begun = self.asked = False

    def __call__(self) -> bool:
        return self.asked


@contextmanager
def _stopping() -> Iterator[_Stop]:
    """The first signal to stop waits for the step's end, a second one does not.

    Before the first step, and where several processes train together (which would not all hear of
    it at the same step), each ends at once.
    """
    from lofi import studio

    stop = _Stop()

    def hear(_signal: int, _frame: object) -> None:
        if stop.asked or not stop.has_begun:
            raise KeyboardInterrupt
        stop.asked = True
        os.write(2, b"stopping after this step, with a checkpoint; once more ends it at once\n")

    if studio.processes()[1] > 1 or threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@learn_app.command()
def evaluate(
    model: Annotated[
        str, typer.Argument(help="A folder that `lofi train` wrote, or `shipped`.")
    ] = "shipped",
    report: Annotated[
        Path, typer.Option("--report", help="Folder for the report and the tracks it is made from.")
    ] = Path("evaluation"),
    tracks: Annotated[
        int,
        typer.Option(
            min=2, max=10_000, help="Tracks by each who writes; 100 or more for a full report."
        ),
    ] = 120,
    bars_: Annotated[
        int | None,
        typer.Option("--bars", min=4, max=400, help="Bars of each track, in place of --duration."),
    ] = None,
    duration_s: Annotated[
        float, typer.Option("--duration", min=10, max=900, help="Seconds of each track.")
    ] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, the same briefs.")] = 1,
    best_of: Annotated[
        int | None, typer.Option(min=1, max=64, help="Candidates per stretch. By config.yaml.")
    ] = None,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Folder of music by people, as MIDI, to compare with; at most 250 files of each "
            "folder in it."
        ),
    ] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(help="A data set of `lofi dataset`. data/datasets if left out and present."),
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Measure a model: does it do as it is told, what is its music like, what does it copy?

    Writes report.html, a page with plots that needs nothing else, and report.json. The model
    writes tracks over all moods, keys and tempi; the rule composer, a Markov chain and the model
    without its controls write the same briefs. Each figure has its 95 % interval, and with
    --reference stands beside music by people. Tracks are kept: an evaluation that was stopped
    goes on where it was, and one with more --tracks makes only what is missing.

    Example: lofi evaluate models/lofi-gpt2 --report evaluation --reference ~/midi/songs
    """
    from lofi import studio

    with bars(*studio.EVALUATION_STAGES) as told:
        found = studio.evaluate(
            None if model == "shipped" else Path(model),
            studio.load_settings(config),
            out=report,
            tracks=tracks,
            bars=bars_,
            duration_s=duration_s,
            seed=seed,
            best_of=best_of,
            reference=reference,
            dataset=dataset,
            report=told,
        )
    if json_:
        say(json.dumps(found["targets"], indent=2))
    else:
        marks = {True: "reached", False: "missed", None: "-"}
        for target in found["targets"]:
            say(
                f"{marks[target['passed']]:>8}  {target['title']}: {target['reached']} "
                f"(asked: {target['asked']})"
            )
        say(f"{report / 'report.html'}, {report / 'report.json'}")
    if tracks < studio.FULL_REPORT:
        warn(f"{tracks} tracks are few: intervals are wide. Take {studio.FULL_REPORT} or more.")


def _time(seconds: float) -> str:
    """About how long, in words."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


@corpus_app.command("import")
def corpus_import(
    folders: Annotated[list[Path], typer.Argument(help="Folders of MIDI, searched to the bottom.")],
    name: Annotated[
        str | None, typer.Option(help="What to call the corpus. The folder's name if left out.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Where it comes from.")] = None,
    licence: Annotated[str | None, typer.Option(help="Such as 'CC BY 4.0'.")] = None,
    attribution: Annotated[str | None, typer.Option(help="Whom to credit.")] = None,
    tier: Annotated[
        str | None,
        typer.Option(
            help="ship: a model trained on it may be passed on. test (if nothing is said): it may "
            "not."
        ),
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Bring folders of MIDI into data/raw_midi, each as a corpus, and read them.

    The files are copied; those that are there already are not copied or read again. Where a
    corpus comes from and what its licence allows is kept in its corpus.yaml and travels with every
    model and track that is made from it.

    Example: lofi corpus import ~/midi/groove --licence "CC BY 4.0" --tier ship
    """
    from lofi import studio

    settings = studio.load_settings(config)
    told = {"source": source, "licence": licence, "attribution": attribution, "tier": tier}
    with bars("copy") as report:
        names = studio.import_corpora(
            folders,
            settings.paths.raw_midi,
            name=name,
            changes={k: v for k, v in told.items() if v is not None},
            progress=lambda n, of: report("copy", n / of, f"{n:,} of {of:,} files"),
        )
    _read(settings.paths.raw_midi, settings, json_)
    for corpus in names:
        if studio.read_card(settings.paths.raw_midi / corpus).tier != "ship":
            warn(
                f"{corpus}: a model trained on it is for yourself. If its licence allows more, say "
                f"so: lofi corpus import {settings.paths.raw_midi / corpus} --licence ... "
                "--tier ship"
            )


@corpus_app.command("list")
def corpus_list(json_: Json = False, config: Config = None) -> None:
    """Show the corpora that were read: files, licences, and what they may be used for."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from lofi import studio

    head = studio.read_head(studio.load_settings(config).paths.metadata)
    if json_:
        say(json.dumps(head["corpora"], indent=2))
        return
    table = Table("corpus", "licence", "tier", "source")
    for title in ("files", "kept", "tokens"):
        table.add_column(title, justify="right")
    for corpus, c in head["corpora"].items():
        figures = [f"{c[k]:,}" for k in ("files", "kept", "tokens")]
        table.add_row(*map(escape, (corpus, c["licence"], c["tier"], c["source"])), *figures)
    Console().print(table)


@corpus_app.command("stats")
def corpus_stats(
    corpus: Annotated[
        str | None, typer.Argument(help="One corpus; all that were read if left out.")
    ] = None,
    png: Annotated[
        Path | None, typer.Option(help="The picture to write. data/stats.png if left out.")
    ] = None,
    json_: Json = False,
    config: Config = None,
) -> None:
    """Show what the music is like: tempo, density, silence, key clarity, chords, swing and more.

    Draws histograms into a picture, with the limits of config.yaml (what lies beyond them is
    rejected) and the range in which a figure is at its best.
    """
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from lofi import studio
    from lofi.cli._charts import sparkline

    settings = studio.load_settings(config)
    metadata = settings.paths.metadata
    stats = studio.corpus_stats(metadata, corpus)
    picture = png or metadata.with_name("stats.png")
    studio.draw_stats(stats, settings.quality, picture, title=corpus or "All corpora")
    rows = {
        name: [float(v) for v in np.percentile(values, (5, 50, 95))]
        for name, values in stats.values.items()
        if len(values)
    }
    if json_:
        say(
            json.dumps(
                {
                    "files": stats.files,
                    "kept": stats.kept,
                    "percentiles_5_50_95": rows,
                    "shares": stats.shares,
                    "picture": str(picture),
                },
                indent=2,
            )
        )
        return
    table = Table("figure", "unit")
    for heading in ("5 %", "median", "95 %"):
        table.add_column(heading, justify="right")
    table.add_column("spread")
    for name, title, unit in studio.FIGURES:
        if name in rows:
            values = stats.values[name]
            low, high = (float(v) for v in np.percentile(values, (1, 99)))
            line = sparkline(values, low, high if high > low else low + 1)
            table.add_row(title, unit, *(f"{v:.3g}" for v in rows[name]), line)
    Console().print(table)
    for what, shares in stats.shares.items():
        named = ", ".join(f"{n} {share:.0%}" for n, share in list(shares.items())[:8])
        say(f"{what}: {named or 'no files were kept'}")
    say(f"{stats.files:,} files, {stats.kept:,} kept; histograms: {picture}")


@corpus_app.command("compose")
def corpus_compose(
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path(
        "data/raw_midi/composed"
    ),
    count: Annotated[int, typer.Option(min=1, max=100_000, help="How many pieces.")] = 1000,
    seed: Annotated[int, typer.Option(help="Whole number; the same seed, the same pieces.")] = 1,
    json_: Json = False,
) -> None:
    """Write a corpus with the rule composer, for those who have no MIDI.

    Every piece carries its mood, key, chords and sections as labels in the file. No two share
    eight bars of melody. What the composer draws from stands in tables that can be extended.
    """
    from lofi import studio

    with bars("compose", "compare") as report:
        new = studio.compose_corpus(
            out, count=count, seed=seed, progress=lambda n, of: report("compose", n / of)
        )
        report("compare", 0.0)
        diversity = studio.corpus_diversity(out)
        report("compare", 1.0)
    if json_:
        say(json.dumps({"path": str(out), "pieces": count, "new": new, "diversity": diversity}))
        return
    say(f"{out}: {count:,} pieces, {new:,} of them new")
    for name, value in diversity.items():
        say(f"  {name.replace('_', ' ')}: {value:.3f}")
