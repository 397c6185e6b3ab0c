"""The other side of `lofi.studio._child`: serves pieces of work until it is told to leave.

Run as `python -m lofi.studio._serve TABLE FD NICENESS`; orders and answers are JSON on FD.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lofi.brief import InputError, LofiError

Work = Callable[[dict[str, Any], Callable[[str, float], None]], Any]

_REPORT_EVERY_S = 0.1
_STDIN = 0


def main() -> None:
    """Serve until told to leave."""
    table, handle, niceness = sys.argv[1:]
    if os.getpgrp() != os.getpid():
        sys.exit("lofi.studio._serve is started by lofi.studio.Child, in a session of its own.")
    _end_with_the_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _give_way(int(niceness))
    faulthandler.enable()
    # Held until the very end: that it breaks tells the parent that this process has ended.
    os.dup(int(handle))
    pipe = Connection(int(handle))
    works = _find(table)
    while (order := json.loads(pipe.recv_bytes())) is not None:
        pipe.send_bytes(_answer(works, order, _Reporter(pipe)))


def _give_way(niceness: int) -> None:
    """Let everything else on the machine go first.

    Where Linux groups tasks by session (sched(7), "The autogroup feature"), niceness counts only
    within a session, and this process has one of its own: the session has to be nice as well.
    """
    os.nice(niceness)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness))


def _find(address: str) -> Mapping[str, Work]:
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _end_with_the_parent() -> None:
    """End this process and all that it has started as soon as stdin breaks.

    On Linux the kernel does it, whatever this process is busy with; a thread does it elsewhere.
    Not PR_SET_PDEATHSIG: it goes off when the *thread* that started this process ends, and takes
    this process alone, before it could take along those that it has started.
    """
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(_STDIN, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(_STDIN, fcntl.F_SETSIG, signal.SIGKILL)
        flags = fcntl.fcntl(_STDIN, fcntl.F_GETFL)
        fcntl.fcntl(_STDIN, fcntl.F_SETFL, flags | os.O_ASYNC)

    def watch() -> None:
        os.read(_STDIN, 1)  # also when the parent was gone before any of this
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="watches-the-parent", daemon=True).start()


class _Reporter:
    """Tells the parent how far the work is, ten times a second at most."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()  # engines side by side report from threads of their own
        self._told = 0.0

    def __call__(self, stage: str, fraction: float) -> None:
        with self._lock:
            now = time.monotonic()
            if now - self._told >= _REPORT_EVERY_S or fraction >= 1.0:
                self._told = now
                told = {"stage": stage, "fraction": fraction}
                self._pipe.send_bytes(json.dumps(told).encode())


def _answer(works: Mapping[str, Work], order: dict[str, Any], report: _Reporter) -> bytes:
    name = order["work"]
    try:
        if name not in works:
            raise LofiError(f"there is no work {name!r}. There is {', '.join(works)}.")
        result = works[name](order["arguments"], report)
        return json.dumps({"result": result}).encode()
    except LofiError as error:
        kind = "InputError" if isinstance(error, InputError) else "LofiError"
        return _refusal(kind, str(error))
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        place = traceback.extract_tb(error.__traceback__)[-1]
        return _refusal(
            "LofiError",
            f"something failed that should not have: {type(error).__name__}: {error} "
            f"({os.path.basename(place.filename)}, line {place.lineno}). Report it.",  # noqa: PTH119
        )


def _refusal(kind: str, message: str) -> bytes:
    return json.dumps({"kind": kind, "error": message}).encode()


if __name__ == "__main__":
    main()
