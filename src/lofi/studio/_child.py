"""Work in a process of its own, which can be ended at any moment and never outlives this one."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from lofi.brief import InputError, LofiError
from lofi.studio._workers import TIDYING_S

TICK_S = 0.25
_LAST_WORDS = 2000  # bytes of the log that a message about a crash quotes

# Numeric libraries take all cores unless they are told: two children would fight over them.
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class Crashed(LofiError):  # noqa: N818
    """The child ended without an answer: a crash of native code, or somebody killed it."""


class Overdue(LofiError):  # noqa: N818
    """The work took longer than it may, and was ended."""


class Child:
    """A process that does one piece of work after another; use it as a context manager.

    What it prints goes to the end of `log`. `table` is where it finds its work, as
    `module:attribute`: a mapping of names to functions that take (arguments, report); the default
    has those of `lofi.studio._work`. One thread at a time may use it. After a crash, an overrun or
    a stop it has ended: start another one.
    """

    def __init__(
        self, log: Path, *, niceness: int = 10, table: str = "lofi.studio._work:WORK"
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        ours, theirs = multiprocessing.Pipe()
        command = ["-P", "-m", "lofi.studio._serve", table, str(theirs.fileno()), str(niceness)]
        # It finds modules where this process does, and not in the folder it happens to run in.
        environment = {
            **dict.fromkeys(_ONE_THREAD, "1"),
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        try:
            with log.open("ab") as file:
                self._log, self._log_start = log, file.tell()
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, *command],
                    # Nothing is ever written here: that it breaks tells that this process is gone.
                    stdin=subprocess.PIPE,
                    stdout=file,
                    stderr=file,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    env=environment,
                )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._pipe = ours
        self.pid = self._process.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether it can be given work."""
        return not self._pipe.closed

    def run(
        self,
        work: str,
        arguments: Mapping[str, Any],
        *,
        limit_s: float,
        tick: Callable[[str, float], None],
    ) -> Any:
        """Have `work` done with these arguments (JSON values); gives its result.

        `tick` is called four times a second with the latest (stage, fraction done), whether or not
        there is news; what it raises ends the child and all its processes at once.

        Raises InputError or LofiError as the work did, Overdue after `limit_s` seconds, Crashed
        when the child ended by itself.
        """
        if not self.alive:
            raise LofiError("this child has ended. Start another one for more work.")
        try:
            self._send({"work": work, "arguments": dict(arguments)})
            answer = self._answer(work, limit_s, tick)
        except BaseException:
            self._end()
            raise
        if "error" in answer:
            kind = InputError if answer["kind"] == "InputError" else LofiError
            raise kind(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """Let it leave, then end what is left of it."""
        if not self.alive:
            return
        try:
            with suppress(EOFError, OSError):
                self._pipe.send_bytes(b"null")
                while self._pipe.poll(TIDYING_S):
                    self._pipe.recv_bytes()
        finally:
            self._end()

    def _answer(
        self, work: str, limit_s: float, tick: Callable[[str, float], None]
    ) -> dict[str, Any]:
        """What it says in the end."""
        started = time.monotonic()
        deadline, due = started + limit_s, started + TICK_S
        stage, fraction = work, 0.0
        while True:
            told = self._receive(min(due, deadline) - time.monotonic())
            if told is not None and "stage" not in told:
                return told
            if told is not None:
                stage, fraction = told["stage"], told["fraction"]
            now = time.monotonic()
            if now >= deadline:
                raise Overdue(
                    f"{stage} took longer than {limit_s:g} s and was ended at {fraction:.0%}. Try "
                    "again when the machine is less busy."
                )
            if now >= due:
                due = now + TICK_S
                tick(stage, fraction)

    def _send(self, order: dict[str, Any]) -> None:
        data = json.dumps(order).encode()
        try:
            self._pipe.send_bytes(data)
        except OSError as error:
            raise self._crashed() from error

    def _receive(self, wait_s: float) -> dict[str, Any] | None:
        """What it says within this time, if anything."""
        try:
            if not self._pipe.poll(max(0.0, wait_s)):
                return None
            data = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._crashed() from error
        return json.loads(data)

    def _crashed(self) -> Crashed:
        self._end()
        status = self._process.returncode
        how = f"exit status {status}" if status >= 0 else signal.Signals(-status).name
        words = self._last_words()
        return Crashed(
            f"the process that did the work ended before it was done ({how}). Try again; if it "
            f"ends so again, look into {self._log}."
            + (f" Its last words:\n{words}" if words else "")
        )

    def _last_words(self) -> str:
        with suppress(OSError), self._log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(self._log_start, end - _LAST_WORDS))
            return file.read().decode(errors="replace").strip()
        return ""

    def _end(self) -> None:
        """Kill the child's whole group and forget it."""
        if not self.alive:
            return
        # Before it is waited for: until then nobody else can have its number.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin
        self._process.stdin.close()
        self._pipe.close()
