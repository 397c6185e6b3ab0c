"""Training runs: one at a time from the dashboard, each a process of its own in a model folder.

A run is `lofi train`, detached: it goes on when the server is stopped, and is found again. Whoever
trains in a folder, by hand or from here, holds a lock on `.training.lock` there; the system frees
it however the process ends, so what the lock says of the process is true while it is held.

| in a model folder | what |
|---|---|
| `.training.lock` | which process trains there, while it is locked |
| `.training.stop` | when it was last asked to stop |
| `training.json`, `training.yaml` | what was asked for, and the settings it runs with |
| `training.log` | what it said |
| `log.jsonl`, `checkpoint-N/`, `samples/` | the course of the run: `lofi.music.read_course` |
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml

from lofi.brief import InputError, LofiError
from lofi.studio._errors import ConflictError, NotFoundError
from lofi.studio._events import record
from lofi.studio._files import read_json, write_bytes, write_json
from lofi.studio._models import SHIPPED
from lofi.studio._models import folders as model_folders
from lofi.studio._settings import Settings

if TYPE_CHECKING:
    from lofi.music import Course
    from lofi.studio._studio import Studio

_LOCK, _STOP = ".training.lock", ".training.stop"
_ORDER, _CONFIG, _OUTPUT = "training.json", "training.yaml", "training.log"
_STARTING = ".trainings.lock"  # in the models folder: held while one is being started
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SAMPLE = re.compile(r"step-\d{1,12}\.(mid|png)")
_GROUPS = ("architecture", "training", "finetuning")  # of the settings that a run is made from
_GIVES_WAY = 5  # how much more than a job does
_BEGINS_WITHIN_S = 60.0
_PATIENCE_S = 1.0  # somebody who only looks holds the lock for a moment
_HEADING = "==== started"
_TAIL = 6000  # bytes of what a run said
_POINTS = 300  # of a curve that is told


# The lock --------------------------------------------------------------------------------------


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Train in a folder as the only one. Raises ConflictError if another process does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("a+") as file:
        if not _taken(file, _PATIENCE_S):
            raise ConflictError(
                f"{folder} is being trained by {_told(_holder(file))}. Wait until it has ended, or "
                "choose another folder."
            )
        file.truncate(0)
        json.dump(
            {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "at": time.time(),
                "logged": _is_stderr(folder / _OUTPUT),
            },
            file,
        )
        file.flush()
        yield


def _taken(file: IO[str], patience_s: float = 0.0, *, shared: bool = False) -> bool:
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.05)


def _is_stderr(path: Path) -> bool:
    """Whether this process says what goes wrong into that file."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(2), path.stat())
    return False


def _holder(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    with suppress(ValueError):
        told = json.loads(file.read(1000) or "{}")
        if isinstance(told, dict):
            return told
    return {}


def _told(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', 'another machine')}"


def _lock(folder: Path) -> tuple[bool, dict[str, Any]]:
    """Whether somebody trains in a folder now, and who does or did last: `pid`, `host`, `at`."""
    with suppress(OSError), (folder / _LOCK).open() as file:
        # Shared, so that those who look do not take each other for a trainer.
        return not _taken(file, shared=True), _holder(file)
    return False, {}


def _trainer(folder: Path) -> dict[str, Any] | None:
    """Who trains in a folder now; None if nobody does."""
    trains, holder = _lock(folder)
    return holder if trains else None


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


# What there is ---------------------------------------------------------------------------------


def refusal(settings: Settings) -> str | None:
    """Why no training can be started here, with the remedy; None if one can."""
    from lofi.music import missing_packages

    if missing := missing_packages():
        return (
            f"training needs the extra packages ({', '.join(missing)} missing). Install them: "
            "pip install 'lofi-empire[train]'."
        )
    dataset = settings.paths.datasets
    if not (dataset / "dataset.json").is_file():
        return (
            f"there is no data set in {dataset}. Put MIDI into {settings.paths.raw_midi}, or write "
            "some with `lofi corpus compose`; then run `lofi tokenize` and `lofi dataset`."
        )
    return None


def listing(settings: Settings) -> list[dict[str, Any]]:
    """All runs of the models folder as plain values, those that run first, then the newest."""
    found = [_view(name, path) for name, path in _runs(settings)]
    found.sort(key=lambda run: run["updated_at"] or "", reverse=True)
    return sorted(found, key=lambda run: run["pid"] is None)


def running(settings: Settings) -> str | None:
    """The name of a model folder in which somebody trains."""
    return next((name for name, path in _runs(settings) if _trainer(path) is not None), None)


def view(settings: Settings, name: str) -> dict[str, Any]:
    """A run with its curves, checkpoints, samples and last words. Raises NotFoundError."""
    from lofi.music import read_course

    folder = _find(settings, name)
    course = read_course(folder)
    best = course.best
    return _view(name, folder, course) | {
        "train": _thinned(course.train),
        "evaluations": [asdict(e) for e in course.evaluations],
        "checkpoints": [
            {
                "step": c.step,
                "size": c.size,
                "written_at": _moment(c.written_at),
                "loss": c.evaluated.loss if c.evaluated else None,
                "bits_per_note": c.evaluated.bits_per_note if c.evaluated else None,
                "best": best is not None and c.step == best.step,
            }
            for c in reversed(course.checkpoints)
        ],
        "samples": [
            {"step": step, "picture": (folder / f"samples/step-{step:05d}.png").is_file()}
            for step in reversed(course.samples)
        ],
        "log": _tail(folder / _OUTPUT),
    }


def sample(settings: Settings, name: str, file: str) -> Path:
    """A sample of a run: `step-00500.mid`, or `.png`. Raises NotFoundError."""
    path = _find(settings, name) / "samples" / file
    if not _SAMPLE.fullmatch(file) or not path.is_file():
        raise NotFoundError(f"there is no sample {file[:80]!r} of {name}.")
    return path


def _runs(settings: Settings) -> Iterator[tuple[str, Path]]:
    around = settings.paths.model.parent
    with suppress(OSError):
        for path in sorted(around.iterdir()):
            if _NAME.fullmatch(path.name) and path.name != SHIPPED and _is_run(path):
                yield path.name, path


def _is_run(path: Path) -> bool:
    from lofi.music import ORIGIN_FILE

    return any((path / n).is_file() for n in (ORIGIN_FILE, _ORDER, _LOCK))


def _find(settings: Settings, name: str) -> Path:
    for known, path in _runs(settings):
        if known == name:
            return path
    raise NotFoundError(f"there is no training {name[:80]!r}. `GET /api/trainings` lists them.")


def _view(name: str, folder: Path, course: Course | None = None) -> dict[str, Any]:
    from lofi.music import read_course

    course = course or read_course(folder)
    holder = _trainer(folder)
    order = _order(folder)
    state, problem = _state(folder, holder)
    best = course.best
    pace = course.steps_per_s if holder else None
    left = (course.steps or 0) - course.step
    at = course.logged_at or _modified(folder / _LOCK) or _modified(folder / _ORDER)
    return {
        "name": name,
        "state": state,
        "problem": problem,
        "pid": holder.get("pid") if holder else None,
        "base": order.get("base"),
        "learning_rate": order.get("learning_rate"),
        "started_by": order.get("by"),
        "started_at": _moment(holder.get("at")) if holder else None,
        "updated_at": _moment(at),
        "step": course.step,
        "steps": course.steps,
        "loss": course.train[-1][1] if course.train else None,
        "val_loss": course.evaluations[-1].loss if course.evaluations else None,
        "val_bits_per_note": course.evaluations[-1].bits_per_note if course.evaluations else None,
        "best_step": best.step if best else None,
        "best_val_loss": best.loss if best else None,
        "resumable_from": course.checkpoints[-1].step if course.checkpoints else None,
        "steps_per_s": round(pace, 4) if pace else None,
        "left_s": round(left / pace) if pace and left >= 0 else None,
        "usable": (folder / "lofi.json").is_file(),
    }


def _state(folder: Path, holder: dict[str, Any] | None) -> tuple[str, str | None]:
    """`running`, `stopping`, `finished`, `stopped` or `failed`, and what went wrong."""
    begun = _modified(folder / _LOCK)
    if holder is not None:
        return ("stopping" if _modified(folder / _STOP) >= begun else "running"), None
    if (made := _modified(folder / "lofi.json")) and made >= begun:
        return "finished", None
    if not _lock(folder)[1].get("logged"):  # begun by hand: what it said is not known here
        return "stopped", None
    said = _last_words(folder)
    if said.startswith("stopped"):
        return "stopped", None
    return "failed", said or (
        "it ended without a word: killed from outside, for memory perhaps, or the machine stopped. "
        "It can go on from its last checkpoint."
    )


def _last_words(folder: Path) -> str:
    """What the command said of its end the last time it was started from here; may be empty."""
    since = _tail(folder / _OUTPUT).rpartition(_HEADING)[2]
    _, found, said = since.rpartition("\nlofi: ")
    return " ".join(said.split()) if found else ""


def _moment(seconds: Any) -> str | None:
    if not isinstance(seconds, int | float) or not 0 < seconds < 1e11:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _order(folder: Path) -> dict[str, Any]:
    with suppress(InputError):
        told = read_json(folder / _ORDER)
        return told if isinstance(told, dict) else {}
    return {}


def _tail(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - _TAIL))
        text = file.read().decode(errors="replace")
        return text if end <= _TAIL else text.partition("\n")[2]
    return ""


def _thinned(points: tuple[tuple[int, float], ...]) -> list[tuple[int, float]]:
    """At most _POINTS of them, each the mean of those that it stands for."""
    width = -(-len(points) // _POINTS) or 1
    groups = [points[i : i + width] for i in range(0, len(points), width)]
    return [(group[-1][0], round(sum(v for _, v in group) / len(group), 5)) for group in groups]


# Start, stop, go on ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TrainingOrder:
    """A run to be made: `base` is `shipped`, another model's name, or None to begin from nothing.

    What is None is as in the settings; with a base, `steps` are then enough to read each segment a
    few times.
    """

    name: str
    base: str | None = SHIPPED
    steps: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None


def start(studio: Studio, order: TrainingOrder, *, actor: str) -> dict[str, Any]:
    """Begin a run in a folder of its own; gives its `view` once it has begun.

    Raises InputError for an order that cannot be carried out, ConflictError if there is such a
    folder or another run goes on, LofiError with its last words if the process does not begin.
    """
    settings = studio.settings()
    if not _NAME.fullmatch(order.name) or order.name == SHIPPED:
        raise InputError(
            f"a model cannot be called {order.name[:80]!r}. Use up to 64 letters, digits, dots, "
            "hyphens and underscores, the first a letter or digit; and not `shipped`."
        )
    folder = settings.paths.model.parent / order.name
    if folder.exists():
        raise ConflictError(
            f"there is a model folder {order.name!r} already. Let its training go on, or choose "
            "another name."
        )
    base = _base(settings, order.base)
    told = asdict(order) | {"by": actor}
    config = _config(settings, order)
    return _begin(studio, folder, base, told, config, actor=actor, verb="started")


def resume(studio: Studio, name: str, *, steps: int | None = None, actor: str) -> dict[str, Any]:
    """Have a run go on from its last checkpoint, to `steps` in all where given; gives its `view`.

    Raises like `start`, and NotFoundError.
    """
    settings = studio.settings()
    folder = _find(settings, name)
    order = _order(folder)
    base = _base(settings, order["base"]) if "base" in order else _origin(settings, folder)
    told = order | {"name": name, "by": actor, "steps": steps or order.get("steps")}
    config = None
    if not (folder / _CONFIG).is_file():  # begun by hand
        config = _config(settings, TrainingOrder(name))
    return _begin(studio, folder, base, told, config, actor=actor, verb="resumed")


def stop(studio: Studio, name: str, *, actor: str) -> dict[str, Any]:
    """Ask a run to end after this step, with a checkpoint; asked twice, it ends at once.

    Raises NotFoundError, and ConflictError if it does not run, or runs on another machine.
    """
    settings = studio.settings()
    folder = _find(settings, name)
    holder = _trainer(folder)
    if holder is None:
        raise ConflictError(f"the training {name!r} is not running.")
    pid = holder.get("pid")
    if holder.get("host") != socket.gethostname() or not isinstance(pid, int) or pid < 2:
        raise ConflictError(f"the training {name!r} runs as {_told(holder)}: stop it there.")
    with studio.database.write() as session:
        record(session, actor, "stopped", "training", name)
        (folder / _STOP).touch()
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:  # it has just ended
            pass
        except PermissionError as error:
            raise ConflictError(
                f"the training {name!r} is another user's: stop it there."
            ) from error
    return view(settings, name)


def _base(settings: Settings, name: str | None) -> str | None:
    """What `--from` is given: `shipped`, or a folder."""
    if name in (None, SHIPPED):
        return name
    for known, path in model_folders(settings):
        if known == name and path is not None:
            return str(path.absolute())
    raise InputError(f"there is no model {str(name)[:80]!r} to start from.")


def _origin(settings: Settings, folder: Path) -> str | None:
    """The model that a run in this folder started from, found among those at hand by its hash."""
    from lofi.music import ORIGIN_FILE, open_model

    wanted = read_json(folder / ORIGIN_FILE).get("model_sha256")
    if wanted is None:
        return None
    for name, path in model_folders(settings):
        with suppress(InputError):
            if path != folder and open_model(path).sha256 == wanted:
                return SHIPPED if path is None else _base(settings, name)
    raise InputError(
        f"the model that {folder.name!r} was started from is not at hand. Bring it back into "
        f"{folder.parent}, or go on by hand: lofi train --from MODEL --out {folder}."
    )


def _config(settings: Settings, order: TrainingOrder) -> bytes:
    """The settings of a run as a file: those of the studio, with what the order says."""
    given = {"learning_rate": order.learning_rate, "batch_size": order.batch_size}
    changed = {n: v for n, v in given.items() if v is not None}
    rate = {n: v for n, v in changed.items() if n == "learning_rate"}
    settings = settings.model_copy(
        update={
            "training": replace(settings.training, **changed),
            "finetuning": replace(settings.finetuning, **rate),
        }
    )
    groups = {name: asdict(getattr(settings, name)) for name in _GROUPS}
    paths = {n: str(p.absolute()) for n, p in asdict(settings.paths).items()}
    text = yaml.safe_dump({"paths": paths, **groups}, sort_keys=False)
    return b"# Written when the training was started; it goes on with these.\n" + text.encode()


def _begin(
    studio: Studio,
    folder: Path,
    base: str | None,
    order: dict[str, Any],
    config: bytes | None,
    *,
    actor: str,
    verb: str,
) -> dict[str, Any]:
    settings = studio.settings()
    if why := refusal(settings):
        raise InputError(f"no training can be started: {why}")
    around = folder.parent
    try:
        around.mkdir(parents=True, exist_ok=True)
        mutex = (around / _STARTING).open("a")
    except OSError as error:
        raise LofiError(
            f"{around} cannot be written: {error.strerror}. Change paths.model in config.yaml."
        ) from error
    with mutex:
        if not _taken(mutex):
            raise ConflictError("another training is being started. Try again in a moment.")
        if other := running(settings):
            raise ConflictError(
                f"the training {other!r} is running, and one is enough for a machine. Stop it "
                "first, or wait until it has ended."
            )
        new = not folder.exists()
        folder.mkdir(exist_ok=True)
        if config is not None:
            write_bytes(folder / _CONFIG, config)
        write_json(folder / _ORDER, order)
        process = _spawn(folder, base, order.get("steps"), settings.work.niceness)
        try:
            _wait_for(process, folder)
            with studio.database.write() as session:
                told = {n: v for n, v in order.items() if n not in ("name", "by")}
                record(session, actor, verb, "training", folder.name, **told)
        except BaseException:
            process.kill()
            process.wait()
            if new:
                _clear(folder)
            raise
    threading.Thread(
        target=_attend, args=(studio, process, folder), name="attends-training", daemon=True
    ).start()
    return view(settings, folder.name)


def _spawn(
    folder: Path, base: str | None, steps: int | None, niceness: int
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "lofi", "train"]
    command += ["--config", str((folder / _CONFIG).absolute()), "--out", str(folder.absolute())]
    command += ["--from", base] if base else []
    command += ["--steps", str(steps)] if steps else []
    # The environment goes before a file of settings: what the file says of a run is all there is.
    hidden = tuple(f"LOFI_{group.upper()}__" for group in ("paths", *_GROUPS))
    environment = {n: v for n, v in os.environ.items() if not n.upper().startswith(hidden)}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    with (folder / _OUTPUT).open("ab") as output:
        output.write(f"{_HEADING} {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n".encode())
        output.flush()
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # it outlives this process
            env=environment,
        )
    with suppress(OSError):  # it has no threads yet: those that come inherit it
        os.setpriority(os.PRIO_PROCESS, process.pid, min(19, niceness + _GIVES_WAY))
    return process


def _wait_for(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Until the process holds the lock of its folder. Raises LofiError if it never does."""
    until = time.monotonic() + _BEGINS_WITHIN_S
    while (holder := _trainer(folder)) is None or holder.get("pid") != process.pid:
        if process.poll() is not None:
            said = _last_words(folder) or f"it said nothing (exit status {process.returncode})."
            raise LofiError(f"the training did not begin: {said}")
        if time.monotonic() > until:
            raise LofiError(
                f"the training did not begin within {_BEGINS_WITHIN_S:g} s. Try again when the "
                "machine is less busy."
            )
        time.sleep(0.05)


def _clear(folder: Path) -> None:
    """Take away what was written for a run that never began, and nothing else."""
    with suppress(OSError):
        for name in (_ORDER, _CONFIG, _OUTPUT, _LOCK):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _attend(studio: Studio, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Note how a run ended, if this process lives to see it."""
    status = process.wait()
    with suppress(LofiError), studio.database.write() as session:
        state, problem = _state(folder, None)
        record(
            session, "studio", "ended", "training", folder.name,
            state=state, problem=problem, status=status,
        )  # fmt: skip
