"""What all commands share: options, progress bars, and how they speak."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Config = Annotated[
    Path | None, typer.Option(help="Settings file. ./config.yaml if left out and present.")
]


def say(message: str) -> None:
    print(message)  # noqa: T201


def warn(message: str) -> None:
    """Say on stderr what the user should know but need not stop for."""
    print(f"note: {message}", file=sys.stderr)  # noqa: T201


@contextmanager
def bars(*stages: str) -> Iterator[Callable[..., None]]:
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
