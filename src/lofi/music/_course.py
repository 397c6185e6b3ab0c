"""How a training run goes, read from what it leaves in its folder; needs no torch.

`log.jsonl` has a line for whatever the Trainer logs, as it happens; each checkpoint has the whole
history up to its step. A run that was killed and goes on from its last checkpoint does some steps
again: what was logged of them the first time is then forgotten.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOG_FILE = "log.jsonl"
SAMPLES = "samples"

_STEP = re.compile(r"checkpoint-(\d{1,12})")
_SAMPLE = re.compile(r"step-(\d{1,12})\.mid")
_MOST_BYTES = 64_000_000  # of a log: a million steps have some fifteen
_PACE = 12  # logged losses from which the pace is told


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation on the validation split."""

    step: int
    loss: float  # nats per token
    bits_per_note: float | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a run can go on from; `evaluated` where it was evaluated at that very step."""

    step: int
    size: int  # bytes
    written_at: float  # seconds since 1970
    evaluated: Evaluated | None


@dataclass(frozen=True, slots=True)
class Course:
    """A run so far. `train` holds (step, nats per token) as logged, `steps` what it aims at."""

    step: int
    steps: int | None
    train: tuple[tuple[int, float], ...]
    evaluations: tuple[Evaluated, ...]
    checkpoints: tuple[Checkpoint, ...]
    samples: tuple[int, ...]  # the steps of which samples/step-N.mid tells
    steps_per_s: float | None
    logged_at: float | None

    @property
    def best(self) -> Evaluated | None:
        """The evaluation with the lowest loss."""
        return min(self.evaluations, key=lambda e: e.loss, default=None)


def read_course(folder: Path) -> Course:
    """The course of the run in a folder; what cannot be read there is left out."""
    losses: dict[int, float] = {}
    found: dict[int, Evaluated] = {}
    steps: int | None = None
    stored = sorted(_numbered(folder, _STEP))
    for _, path in reversed(stored):
        state = _json(path / "trainer_state.json")
        if state is None:
            continue
        for entry in _listed(state.get("log_history")):
            _note(entry, losses, found)
        steps = _whole(state.get("max_steps"))
        break
    last = max([*losses, *found], default=0)
    logged_at: float | None = None
    pace: list[tuple[int, float]] = []
    for line in _lines(folder / LOG_FILE):
        step, at = _whole(line.get("step")), _number(line.get("at"))
        if step is None or at is None:
            continue
        if step < last:  # it went on from an earlier checkpoint
            for known in (losses, found):
                for later in [s for s in known if s >= step]:
                    del known[later]
            pace = []
        last, logged_at = step, at
        steps = _whole(line.get("of")) or steps
        _note(line, losses, found)
        if "loss" in line:
            pace = [*pace[-_PACE:], (step, at)]
    checkpoints = [
        Checkpoint(n, _size(path), path.stat().st_mtime, found.get(n))
        for n, path in stored
        if (path / "trainer_state.json").is_file()
    ]
    return Course(
        step=max([*losses, *found, *(c.step for c in checkpoints)], default=0),
        steps=steps,
        train=tuple(sorted(losses.items())),
        evaluations=tuple(found[s] for s in sorted(found)),
        checkpoints=tuple(checkpoints),
        samples=tuple(sorted(n for n, _ in _numbered(folder / SAMPLES, _SAMPLE))),
        steps_per_s=_pace(pace),
        logged_at=logged_at,
    )


def _note(entry: Any, losses: dict[int, float], found: dict[int, Evaluated]) -> None:
    """Take the figures out of a log entry of the Trainer."""
    if not isinstance(entry, dict) or (step := _whole(entry.get("step"))) is None:
        return
    if (loss := _number(entry.get("loss"))) is not None:
        losses[step] = loss
    if (loss := _number(entry.get("eval_loss"))) is not None:
        found[step] = Evaluated(step, loss, _number(entry.get("eval_bits_per_note")))


def _pace(told: list[tuple[int, float]]) -> float | None:
    """Steps a second over the last logged losses, evaluations and checkpoints included."""
    if len(told) < 2:
        return None
    (first, begun), (last, ended) = told[0], told[-1]
    return (last - first) / (ended - begun) if ended > begun and last > first else None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a log; a line that was cut off, or is none of ours, is passed over."""
    with suppress(OSError), path.open("rb") as file:
        for line in file.read(_MOST_BYTES).splitlines():
            with suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    yield entry


def _json(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= _MOST_BYTES:
            value = json.loads(path.read_bytes())
            return value if isinstance(value, dict) else None
    return None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 10**12 else None


def _number(value: Any) -> float | None:
    told = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if told and math.isfinite(value) else None


def _numbered(folder: Path, name: re.Pattern[str]) -> Iterator[tuple[int, Path]]:
    """What in a folder is called so, with the number in its name."""
    with suppress(OSError):
        for path in folder.iterdir():
            if match := name.fullmatch(path.name):
                yield int(match[1]), path


def _size(folder: Path) -> int:
    total = 0
    with suppress(OSError):  # it may be removed while it is looked at
        total = sum(f.stat().st_size for f in folder.iterdir() if f.is_file())
    return total
