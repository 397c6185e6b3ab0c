"""Worker processes that stop when they are told to, quietly and with their files tidied."""

from __future__ import annotations

import math
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

TIDYING_S = 5.0  # how long a worker may take to leave


@contextmanager
def worker_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes; give it work with `submit`.

    Leaving it by an exception ends what the workers are doing. They are spawned, not forked: they
    share no locks or threads with this process.
    """
    pool = ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_obey_the_parent
    )
    try:
        yield pool
    except BaseException:
        children = multiprocessing.active_children()
        for child in children:
            child.terminate()
        for child in children:
            child.join(TIDYING_S)
            child.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def submit(pool: ProcessPoolExecutor, work: Callable[..., T], *arguments: object) -> Future[T]:
    """Have a worker call `work(*arguments)`."""
    return pool.submit(_do, work, arguments)


def _do(work: Callable[..., T], arguments: tuple[object, ...]) -> T:
    try:
        return work(*arguments)
    except SystemExit:
        # Told to leave, and what it held is tidied by now: go, and take no more work.
        os._exit(1)


def _obey_the_parent() -> None:
    def leave(_signal: int, _frame: object) -> None:
        # Not the default, which would leave half-written folders behind.
        sys.exit(1)

    # Ctrl-C reaches the whole group: the parent decides, and tells its workers by SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)


# Work that may hang, crash or swallow the memory -----------------------------------------------

ITEMS_PER_WORKER = 2000  # then a fresh one takes over: memory that fragments is given back
WAITING_FACTOR = 6  # an item may take this many times its CPU time by the clock


@dataclass(frozen=True, slots=True)
class Limits:
    """What one item may cost. Memory is bounded on Linux; elsewhere only time is."""

    cpu_s: float = 10.0
    memory_mb: int = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item gave no result."""

    reason: str


@dataclass(slots=True)
class _Guarded(Generic[T]):
    process: BaseProcess
    pipe: Connection
    items: int = 0
    item: T | None = None
    deadline: float = math.inf


def guarded(
    prepare: Callable[[], Callable[[T], R]],
    items: Iterable[T],
    *,
    workers: int,
    limits: Limits,
    clock_s: float | None = None,
) -> Iterator[tuple[T, R | Failure]]:
    """Give each item to a worker process and yield (item, result), in the order they finish.

    A worker calls `prepare` once, which loads what the work needs and gives the function that
    does it. An item that exceeds its limits or kills its worker costs only itself: it ends as a
    Failure, and a fresh worker takes the next. `clock_s` is how long it may take by the clock,
    WAITING_FACTOR times its CPU time if left out. An exception of the function itself ends the
    worker, and thus is a Failure too. Leaving the iterator ends the workers.
    """
    context = multiprocessing.get_context("spawn")
    patience_s = WAITING_FACTOR * limits.cpu_s if clock_s is None else clock_s
    waiting = iter(items)
    team: list[_Guarded[T]] = []

    def hire() -> _Guarded[T]:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, prepare, limits), daemon=True)
        process.start()
        theirs.close()
        return _Guarded(process, ours)

    def feed(worker: _Guarded[T]) -> bool:
        for item in waiting:
            worker.item = item
            worker.items += 1
            worker.deadline = time.monotonic() + patience_s
            with suppress(OSError):  # should it have died meanwhile, its pipe says so below
                worker.pipe.send(item)
            return True
        return False

    def dismiss(worker: _Guarded[T]) -> None:
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()

    try:
        for _ in range(max(1, workers)):
            worker = hire()
            if not feed(worker):
                dismiss(worker)
                break
            team.append(worker)
        while team:
            soonest = min(w.deadline for w in team)
            ready = wait([w.pipe for w in team], max(0.0, soonest - time.monotonic()))
            for index in range(len(team) - 1, -1, -1):
                worker = team[index]
                item = worker.item
                assert item is not None
                if worker.pipe in ready:
                    try:
                        outcome: R | Failure = worker.pipe.recv()
                    except (EOFError, OSError):
                        worker.process.join(TIDYING_S)
                        outcome = _post_mortem(worker.process.exitcode, limits)
                        worker.items = ITEMS_PER_WORKER
                elif time.monotonic() >= worker.deadline:
                    outcome = Failure(f"took longer than {patience_s:g} s")
                    worker.items = ITEMS_PER_WORKER
                else:
                    continue
                yield item, outcome
                if worker.items >= ITEMS_PER_WORKER:
                    dismiss(worker)
                    worker = team[index] = hire()
                if not feed(worker):
                    dismiss(worker)
                    del team[index]
    finally:
        for worker in team:
            dismiss(worker)


def _post_mortem(exit_code: int | None, limits: Limits) -> Failure:
    if exit_code == -signal.SIGXCPU:
        return Failure(f"took longer than {limits.cpu_s:g} s")
    if exit_code == _OUT_OF_MEMORY:
        return Failure(f"needed more than {limits.memory_mb} MB of memory")
    if exit_code is not None and exit_code < 0:
        return Failure(f"crashed its reader ({signal.Signals(-exit_code).name})")
    return Failure(f"stopped its reader (exit status {exit_code})")


_OUT_OF_MEMORY = 77


def _serve(pipe: Connection, prepare: Callable[[], Callable[[Any], Any]], limits: Limits) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group: the parent decides
    try:
        work = prepare()
        _bound_memory(limits.memory_mb)
        while True:
            item = pipe.recv()
            _bound_cpu(limits.cpu_s)
            pipe.send(work(item))
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except (EOFError, OSError):
        os._exit(0)  # the parent is gone, or done with us


def _bound_memory(memory_mb: int) -> None:
    """Let this process grow by so much from here on; libraries it has loaded are not counted."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return  # not Linux: the kernel would not enforce it
    bound = pages * resource.getpagesize() + memory_mb * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))


def _bound_cpu(cpu_s: float) -> None:
    """Have the kernel end this process after so many more seconds of work.

    Processor time, not the clock: a good file read on a busy machine is no worse for it.
    """
    used = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used + cpu_s), resource.RLIM_INFINITY))
