"""The doctor: whether all that the studio can use works on this machine, and what to do if not.

Each check runs in a process of its own making, with a time limit: a library that crashes or hangs
is a finding, and the next check goes on in a fresh process. What is checked stands in `_checks`.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from lofi.brief import LofiError
from lofi.studio._checks import CHECKS, AbsentError, BrokenError, Check, Scope
from lofi.studio._settings import Settings

LIMIT_S = 60.0  # what one check may take, on a machine that is busy
_STARTING_S = 120.0
_LEAVING_S = 5.0

_REPORT = "Reinstall LoFi Empire; if that does not help, report it with this line."


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing.

    `state` is `ok`; `absent`, where `detail` says what is used in its place or does not work; or
    `broken`, where `remedy` says what to do.
    """

    name: str
    state: str
    detail: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain values for JSON."""
        return asdict(self)


def examine(
    settings: Settings,
    *,
    database: str | None = None,
    schema: str | None = None,
    redis: str | None = None,
    storage: Callable[[], str] | None = None,
    credentials: Path | None = None,
    soundfonts: Sequence[Path] = (),
    limit_s: float = LIMIT_S,
    within_s: float = math.inf,
    progress: Callable[[float, str], None] | None = None,
) -> list[Finding]:
    """Look at everything the studio can use; never raises for what it finds.

    `database` and `redis` are addresses, `schema` the revision the database's tables should be at,
    `storage` a function that tries the storage and says what it is or raises: those of the settings
    where left out. `credentials` is the YouTube OAuth file, `soundfonts` those that the user plays.
    `progress` gets the share done and the name of what is looked at next. What there is no time for
    `within_s` seconds is told as not looked at. Passwords of the
    addresses appear in no finding.
    """
    house = settings.studio
    if database is None and (house.database or (house.folder / "studio.db").is_file()):
        database = house.database or f"sqlite:///{(house.folder / 'studio.db').absolute()}"
        schema = _newest_revision()
    redis = redis or house.cache or None
    if storage is None and (house.storage or (house.folder / "storage").is_dir()):
        storage = partial(_try_storage, house.storage or str(house.folder / "storage"))
    scope = Scope(settings, database, schema, redis, credentials, tuple(soundfonts))
    tell = progress or (lambda _share, _name: None)
    found: list[Finding] = []
    apart = _Apart(scope, limit_s)
    until = time.monotonic() + within_s
    try:
        for done, (name, check) in enumerate(CHECKS.items()):
            tell(done / (len(CHECKS) + 1), name)
            left_s = until - time.monotonic()
            found.append(apart.look(name, check, left_s) if left_s > 0 else _unseen(name))
    finally:
        apart.leave()
    tell(len(CHECKS) / (len(CHECKS) + 1), "storage")
    left_s = until - time.monotonic()
    here = _look_at_storage(storage, min(limit_s, left_s)) if left_s > 0 else _unseen("storage")
    found.append(here)
    tell(1.0, "")
    secrets = _secrets(database) | _secrets(redis)
    return [
        Finding(f.name, f.state, _masked(f.detail, secrets), _masked(f.remedy, secrets))
        for f in found
    ]


def _unseen(name: str) -> Finding:
    return Finding(name, "absent", "not looked at: the time was over", "Run `lofi doctor`.")


def _newest_revision() -> str:
    from lofi.studio._database import newest_revision

    return newest_revision()


def _try_storage(url: str) -> str:
    from lofi.studio._storage import Storage

    Storage(url).check()
    return url


def _attempt(name: str, check: Callable[[], str]) -> Finding:
    """Look, and make a finding of whatever comes of it."""
    try:
        return Finding(name, "ok", check())
    except AbsentError as absent:
        return Finding(name, "absent", absent.detail, absent.remedy)
    except BrokenError as broken:
        return Finding(name, "broken", broken.detail, broken.remedy)
    except LofiError as error:  # it names the thing, the reason and the remedy by itself
        return Finding(name, "broken", str(error))
    except Exception as error:
        return Finding(name, "broken", f"{type(error).__name__}: {error}".strip(), _REPORT)


def _look_at_storage(storage: Callable[[], str] | None, limit_s: float) -> Finding:
    """Ask a function of the caller's, which may know what no other process can be told."""
    if storage is None:
        return Finding("storage", "absent", "none is set: packages stay in local folders")
    found: list[Finding] = []
    thread = threading.Thread(
        target=lambda: found.append(_attempt("storage", storage)), daemon=True
    )
    thread.start()
    thread.join(limit_s)
    if found:
        return found[0]
    return Finding(
        "storage",
        "broken",
        f"no answer within {limit_s:g} s",
        "See that the storage is reachable from this machine.",
    )


class _Apart:
    """A process that looks at one thing after another, replaced by a fresh one when it fails."""

    def __init__(self, scope: Scope, limit_s: float) -> None:
        self._scope = scope
        self._limit_s = limit_s
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def look(self, name: str, check: Check, within_s: float = math.inf) -> Finding:
        """What `check`, a function of a module, finds there; its death or silence is a finding."""
        limit_s = min(self._limit_s, within_s)
        deadline = time.monotonic() + (limit_s if self._pipe else min(_STARTING_S, within_s))
        pipe = self._pipe or self._start()
        place = ""
        try:
            pipe.send((name, check))
            while pipe.poll(max(0.0, deadline - time.monotonic())):
                answer: Finding | str | None = pipe.recv()
                if isinstance(answer, Finding):
                    return answer
                if answer is None:  # started: what that took is not held against the check
                    deadline = time.monotonic() + limit_s
                else:
                    place = f" at {answer}"
        except (EOFError, OSError):
            return Finding(name, "broken", f"{self._death()}{place}", _REPORT)
        self.leave()
        return Finding(name, "broken", f"no answer within {limit_s:.3g} s{place}", _REPORT)

    def leave(self) -> None:
        """End the process, whatever it does."""
        if self._process and self._pipe:
            self._pipe.close()
            self._process.kill()
            self._process.join()
        self._process = self._pipe = None

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._scope), daemon=True)
        process.start()
        theirs.close()
        self._process, self._pipe = process, ours
        return ours

    def _death(self) -> str:
        assert self._process
        self._process.join(_LEAVING_S)
        status = self._process.exitcode
        self.leave()
        if status is not None and status < 0:
            return f"crashed ({signal.Signals(-status).name})"
        return f"ended by itself (exit status {status})"


def _serve(pipe: Connection, scope: Scope) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group: the parent decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # native libraries write what they miss; the findings say it
        os.dup2(silent, stream)
    try:
        pipe.send(None)
        while True:
            name, check = pipe.recv()
            pipe.send(_attempt(name, partial(check, scope, pipe.send)))
    except (EOFError, OSError):
        os._exit(0)  # the parent is gone


# Passwords -----------------------------------------------------------------------------------

_SECRET_LETTERS = 4
_IN_ADDRESS = re.compile(r"(?<=://)([^/@\s:]*):[^/\s]*@")


def _secrets(address: str | None) -> set[str]:
    """What of an address must not be printed, as written and as meant."""
    if not address:
        return set()
    try:
        parts = urlsplit(address)
        told = {parts.password or ""}
        told |= {value for name, value in parse_qsl(parts.query) if "pass" in name.lower()}
    except ValueError:
        return set()
    forms = {form for secret in told for form in (secret, unquote(secret))}
    # A shorter one stands in many words: to take it out of them would tell it.
    return {form for form in forms if len(form) >= _SECRET_LETTERS}


def _masked(text: str, secrets: set[str]) -> str:
    text = _IN_ADDRESS.sub(r"\1:***@", text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
