"""Several tracks at once, one process each."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lofi.brief import Brief, LofiError, subseed
from lofi.studio._make import make
from lofi.studio._settings import Settings
from lofi.studio._workers import submit, worker_pool


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One track of a batch: its package's folder, or why it failed."""

    seed: int
    path: Path | None
    error: str | None


def make_many(
    brief: Brief,
    settings: Settings,
    count: int,
    *,
    jobs: int,
    done: Callable[[BatchResult], None],
    **options: Any,
) -> list[BatchResult]:
    """Make `count` packages of a brief, each with a seed of its own derived from the brief's.

    `done` is called as each one ends; one that fails does not stop the others. `options` are
    those of `make`.
    """
    seeds = [subseed(brief.seed, "batch", i) >> 1 for i in range(count)]
    results: dict[int, BatchResult] = {}
    # One core each: two processes of one thread finish sooner than one of two.
    single = settings.model_copy(
        update={
            "generation": replace(settings.generation, threads=1),
            "video": replace(settings.video, threads=1),
        }
    )
    with worker_pool(min(jobs, count)) as pool:
        running: dict[Future[Path], int] = {
            submit(pool, _one, replace(brief, seed=s), single, options): s for s in seeds
        }
        while running:
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                seed = running.pop(future)
                error = future.exception()
                if error is None:
                    result = BatchResult(seed, future.result(), None)
                elif isinstance(error, LofiError):
                    result = BatchResult(seed, None, str(error))
                else:
                    result = BatchResult(seed, None, f"failed: {error!r}")
                results[seed] = result
                done(result)
    return [results[s] for s in seeds]


def _one(brief: Brief, settings: Settings, options: dict[str, Any]) -> Path:
    return make(brief, settings, **options).path
