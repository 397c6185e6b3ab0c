"""Answers kept for a while, in memory or in Redis. Without it everything works, only slower."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

from lofi.brief import InputError, LofiError

T = TypeVar("T")

# Raise a number when the shape of a topic's values changes: a newer program then reads none of an
# older one's, though both use one Redis.
TOPICS = {"tracks": 1, "originality": 1, "preferences": 1, "analytics": 1, "files": 1}

_LONGEST_S = 86_400.0
_DEADLINE_S = 0.5  # Redis is asked to save time
_PAUSE_S = 5.0  # before Redis is tried again
_ENTRIES = 2_000  # in memory
_SWEEP_S = 60.0
_LARGEST_BYTES = 128 * 2**10  # a larger value is made each time
_OWED = 1_000  # forgotten entries that Redis has not been told of


class Cache:
    """JSON values by topic and key, for threads. `url` is `redis://…`, or None for memory.

    An entry holds for its time to live, or until it is forgotten: by this process at once, by
    another through Redis. When Redis is down, slow or full, values are made as if nothing was
    kept; that is logged once, and Redis is tried again every few seconds.

    Raises InputError for an address that is not Redis'.
    """

    def __init__(self, url: str | None, *, prefix: str = "lofi") -> None:
        self._url = url or "mem://"
        scheme, _, rest = self._url.partition("://")
        if scheme not in ("mem", "redis", "rediss"):
            raise InputError(
                "the cache's address must begin with redis:// or rediss://; leave it empty to "
                "keep the cache in memory."
            )
        host = rest.rpartition("@")[2].partition("?")[0]  # what is logged holds no password
        self._place = f"{scheme}://{host}" if url else "memory"
        self._prefix = prefix
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, str], Future[bytes]] = {}
        self._counts: dict[str, tuple[int, int]] = dict.fromkeys(TOPICS, (0, 0))
        self._owed: dict[tuple[str, str | None], object] = {}
        self._health = _Health(self._place)
        self._backend: _Here | _LoopThread | None = None
        self._closed = False

    def get_or_make(self, topic: str, key: str, make: Callable[[], T], *, ttl_s: float) -> T:
        """The kept value, or what `make` returns, which is then kept for `ttl_s` seconds.

        Threads that ask for one key at a time wait for one of them to make it, and get its
        exception if it raises. The value comes back as JSON gives it: tuples as lists, keys of
        dicts as text. Raises TypeError for a value that JSON does not know.
        """
        name = (topic, key)
        while True:
            with self._lock:
                flight = self._flights.get(name)
                mine = flight is None
                if flight is None:
                    flight = self._flights[name] = Future()
            if mine:
                return self._fly(name, flight, make, ttl_s)
            try:
                text = flight.result()
            except CancelledError:  # its thread was interrupted, this one was not
                continue
            self._count(topic, hit=True)
            return json.loads(text)

    def forget(self, topic: str, key: str | None = None) -> None:
        """Drop one entry or the whole topic, also what is being made from older data right now."""
        self._names(topic, key)
        with self._lock:
            for name in [n for n in self._flights if n[0] == topic and key in (None, n[1])]:
                del self._flights[name]
            self._owed[topic, key] = object()
            if len(self._owed) > _OWED:
                self._owed = {(known, None): object() for known in TOPICS}
        self._settle()

    def counts(self) -> dict[str, tuple[int, int]]:
        """Hits and misses of each topic since the start."""
        with self._lock:
            return dict(self._counts)

    def check(self) -> None:
        """Keep a probe and read it back. Raises LofiError with the remedy."""
        name, probe = f"{self._prefix}:probe:{uuid.uuid4().hex}", uuid.uuid4().hex.encode()
        try:
            self._run(lambda cashews: cashews.set(name, probe, expire=10))
            back = self._run(lambda cashews: cashews.get(name))
        except Exception as error:
            raise LofiError(
                f"the cache at {self._place} does not work: {_reason(error)}. Start Redis, give "
                "it memory or correct its address; or leave the address empty to keep the cache "
                "in memory."
            ) from error
        if back != probe:
            raise LofiError(
                f"the cache at {self._place} does not keep what it is given: its memory is too "
                "small. Give Redis more, or leave the address empty to keep the cache in memory."
            )

    def close(self) -> None:
        """Let go of connections and of the thread. From then on every value is made."""
        with self._lock:
            self._closed = True
            backend, self._backend = self._backend, None
        if backend is not None:
            backend.close()

    def _fly(
        self, name: tuple[str, str], flight: Future[bytes], make: Callable[[], T], ttl_s: float
    ) -> T:
        topic, key = name
        try:
            text, stamp = self._read(topic, key)
            self._count(topic, hit=text is not None)
            if text is None:
                text = json.dumps(make()).encode()
                flight.set_result(text)  # who waits need not wait for Redis too
                self._write(topic, key, stamp, text, ttl_s)
            else:
                flight.set_result(text)
            return json.loads(text)
        except Exception as error:
            if not flight.done():
                flight.set_exception(error)
            raise
        except BaseException:
            flight.cancel()
            raise
        finally:
            with self._lock:
                if self._flights.get(name) is flight:
                    del self._flights[name]

    # An entry begins with the marks that its key and its topic bore when its making began. To
    # forget is to set a new mark: what is kept, and what is being made in any process, then bears
    # an old one and is never read again. That takes no lock and no search among Redis' keys.

    def _read(self, topic: str, key: str) -> tuple[bytes | None, bytes | None]:
        """The kept text, if any, and the stamp for a new one, None when none may be kept."""
        names = self._names(topic, key)
        if not self._settle():
            return None, None
        marks = self._ask("read", lambda cashews: cashews.get_many(*names))
        if not isinstance(marks, tuple):
            return None, None
        kept, *stamps = marks
        stamp = b".".join(s if isinstance(s, bytes) else b"" for s in stamps)
        if not isinstance(kept, bytes):
            return None, stamp
        found, _, text = kept.partition(b"\n")
        try:
            json.loads(text)
        except ValueError:  # not ours, whoever wrote it
            return None, stamp
        return (text if found == stamp else None), stamp

    def _write(self, topic: str, key: str, stamp: bytes | None, text: bytes, ttl_s: float) -> None:
        if stamp is None or ttl_s < 0.001 or len(text) > _LARGEST_BYTES:
            return
        name, entry = self._names(topic, key)[0], stamp + b"\n" + text
        self._ask("write", lambda cashews: cashews.set(name, entry, expire=min(ttl_s, _LONGEST_S)))

    def _settle(self) -> bool:
        """Tell Redis what was forgotten; until it knows, it is not to be read."""
        with self._lock:
            owed = dict(self._owed)
        if not owed:
            return True
        mark = uuid.uuid4().hex.encode()
        marks = {self._names(topic, key)[-1 if key is None else 1]: mark for topic, key in owed}
        # A mark outlives every entry that was made before it.
        told = self._ask(
            "write", lambda cashews: _true(cashews.set_many(marks, expire=2 * _LONGEST_S))
        )
        if told is not True:
            return False
        with self._lock:
            for name, when in owed.items():
                if self._owed.get(name) is when:  # else it was forgotten once more meanwhile
                    del self._owed[name]
        return True

    def _names(self, topic: str, key: str | None) -> tuple[str, str, str]:
        """Where the entry, its key's mark and its topic's mark are kept.

        In the order in which they are read, so that memory, which drops what was read longest
        ago, drops an entry before its marks.
        """
        if topic not in TOPICS:
            raise ValueError(f"{topic!r} is no topic of the cache: {', '.join(TOPICS)}")
        base = f"{self._prefix}:{topic}:{TOPICS[topic]}"
        digest = hashlib.blake2b((key or "").encode("utf-8", "surrogatepass"), digest_size=16)
        return f"{base}:{digest.hexdigest()}", f"{base}:{digest.hexdigest()}:mark", f"{base}:mark"

    def _count(self, topic: str, *, hit: bool) -> None:
        with self._lock:
            hits, misses = self._counts.get(topic, (0, 0))
            self._counts[topic] = (hits + hit, misses + (not hit))

    def _ask(self, kind: str, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """What cashews answers, or None when it does not in time or is not to be asked now."""
        if self._closed or not self._health.may(kind):
            return None
        try:
            answer = self._run(work)
        except Exception as error:  # whatever ails the cache is not the caller's trouble
            self._health.failed(kind, error)
            return None
        self._health.worked(kind)
        return answer

    def _run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        with self._lock:
            if self._closed:
                raise LofiError("the cache is closed")
            if self._backend is None:
                self._backend = _Here() if self._url == "mem://" else _LoopThread(self._url)
            backend = self._backend
        return backend.run(work)


class _Here:
    """cashews in memory, in whichever thread asks: it never waits, so it needs no event loop.

    To have a thread with a loop look into a dict would take ten times as long as looking.
    """

    def __init__(self) -> None:
        from cashews import Cache as Cashews

        self._cashews = Cashews()
        # Its own look for what has expired would want a loop: `_sweep` is it.
        self._cashews.setup("mem://", pickle_type="null", size=_ENTRIES, check_interval=0)
        self._lock = threading.Lock()
        self._swept = time.monotonic()

    def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """What the work returns."""
        with self._lock:
            if time.monotonic() - self._swept > _SWEEP_S:
                self._swept = time.monotonic()
                _at_once(self._sweep())
            return _at_once(work(self._cashews))

    async def _sweep(self) -> None:
        """Let go of what has expired: it goes when it is read."""
        async for key in self._cashews.scan("*"):
            await self._cashews.get(key)

    def close(self) -> None:
        """Nothing is open."""


def _at_once(work: Awaitable[Any]) -> Any:
    """What work returns that never waits."""
    steps = work.__await__()
    try:
        next(steps)
    except StopIteration as done:
        return done.value
    raise AssertionError("the cache in memory waits for something")


class _LoopThread:
    """cashews on an event loop of its own, since its clients of Redis are not for threads."""

    def __init__(self, url: str) -> None:
        from cashews import Cache as Cashews
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self._cashews = Cashews()
        self._cashews.setup(
            url,
            pickle_type="null",  # cashews would unpickle what anyone wrote to Redis
            suppress=False,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=_DEADLINE_S,
            socket_connect_timeout=_DEADLINE_S,
            wait_for_connection_timeout=_DEADLINE_S,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="lofi-cache", daemon=True
        )
        self._thread.start()

    def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """What the work returns. Raises TimeoutError when that takes too long."""

        async def bounded() -> Any:
            return await work(self._cashews)

        future = asyncio.run_coroutine_threadsafe(bounded(), self._loop)
        try:
            return future.result(_DEADLINE_S)
        finally:
            future.cancel()

    def close(self) -> None:
        async def finish() -> None:
            await self._cashews.close()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        try:
            asyncio.run_coroutine_threadsafe(finish(), self._loop).result(_DEADLINE_S)
        except Exception as error:
            _log().debug("the cache closed badly", reason=_reason(error))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Health:
    """Whether reading and writing work; says so once when they stop and once when they are back.

    They are told apart because a full Redis still answers what it holds.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._retry_at: dict[str, float] = {}

    def may(self, kind: str) -> bool:
        """Whether to try: always when all is well, else one thread in each pause."""
        with self._lock:
            retry_at = self._retry_at.get(kind)
            if retry_at is None:
                return True
            if time.monotonic() < retry_at:
                return False
            self._retry_at[kind] = time.monotonic() + _PAUSE_S
            return True

    def failed(self, kind: str, error: Exception) -> None:
        with self._lock:
            news = not self._retry_at
            self._retry_at[kind] = time.monotonic() + _PAUSE_S
        if news:
            _log().warning(
                "the cache does not work; everything is made anew", place=self._place,
                doing=kind, reason=_reason(error),
            )  # fmt: skip

    def worked(self, kind: str) -> None:
        with self._lock:
            news = self._retry_at.pop(kind, None) is not None and not self._retry_at
        if news:
            _log().info("the cache works again", place=self._place)


async def _true(work: Awaitable[Any]) -> bool:
    await work
    return True


def _reason(error: BaseException) -> str:
    """The first of its causes that says something."""
    told: BaseException | None = error
    while told is not None:
        if str(told):
            return str(told)
        told = told.__cause__
    return "it does not answer in time" if isinstance(error, TimeoutError) else repr(error)


def _log() -> Any:
    import structlog

    return structlog.get_logger("lofi.cache")
