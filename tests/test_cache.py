"""The cache saves work and never changes an answer, whatever becomes of Redis."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from servers import RedisServer, free_port

from lofi.brief import InputError, LofiError
from lofi.studio import _cache as module
from lofi.studio._cache import Cache

DAY = 86_400.0
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close")  # by cashews


class Maker:
    """Makes a new value each time: 1, 2, 3…"""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self) -> list[int]:
        self.made += 1
        return [self.made]


class Clock:
    """The cache's clock, which stands until a test puts it forward."""

    ahead_s = 0.0

    def monotonic(self) -> float:
        return 1_000 + self.ahead_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def deadline(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets how many seconds Redis has to answer."""
    return lambda seconds: monkeypatch.setattr(module, "_DEADLINE_S", seconds)


@pytest.fixture
def new_cache(deadline: Callable[[float], None]) -> Iterator[Callable[..., Cache]]:
    """Caches that are patient with Redis, as whatever else runs here may take its time."""
    deadline(20)
    caches = []

    def new(url: str | None, **kwargs: Any) -> Cache:
        caches.append(Cache(url, **kwargs))
        return caches[-1]

    yield new
    for cache in caches:
        cache.close()


@pytest.fixture(params=["memory", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "memory" else request.getfixturevalue("redis_url")


@pytest.fixture
def cache(url: str | None, new_cache: Callable[..., Cache]) -> Cache:
    return new_cache(url)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as entries:
        yield entries


def in_threads(number: int, work: Callable[[], object]) -> list[object]:
    """What the work gives or raises in so many threads at once."""
    results: list[object] = []
    barrier = threading.Barrier(number)

    def one() -> None:
        barrier.wait()
        try:
            results.append(work())
        except BaseException as error:
            results.append(error)

    threads = [threading.Thread(target=one) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return results


# ------------------------------------------------------------------------------ both kinds


def test_a_value_is_made_once_and_kept(cache: Cache) -> None:
    make = Maker()
    assert [cache.get_or_make("tracks", "a", make, ttl_s=60) for _ in range(5)] == [[1]] * 5
    assert cache.get_or_make("tracks", "b", make, ttl_s=60) == [2]
    assert cache.get_or_make("analytics", "a", make, ttl_s=60) == [3]
    assert cache.counts() == {
        "tracks": (4, 2), "originality": (0, 0), "preferences": (0, 0), "analytics": (0, 1),
        "files": (0, 0),
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [0, 5, 12345678901234567890, -1.5, "", "123", "bytes:x", "夜 \ud800 \0", None, True, [], {},
     [None], {"a": {"b": [1, 2.5, "x\n"]}}],
)  # fmt: skip
def test_every_kind_of_json_value_comes_back_as_it_was(cache: Cache, value: object) -> None:
    first = cache.get_or_make("tracks", "a", lambda: value, ttl_s=60)
    again = cache.get_or_make("tracks", "a", lambda: "made anew", ttl_s=60)
    assert first == again == value
    assert type(first) is type(again) is type(value)


def test_the_first_answer_is_like_the_second(cache: Cache) -> None:
    value = {1: (2, 3)}
    first: object = cache.get_or_make("tracks", "a", lambda: value, ttl_s=60)
    assert first == cache.get_or_make("tracks", "a", dict, ttl_s=60) == {"1": [2, 3]}


def test_a_caller_may_change_what_it_got(cache: Cache) -> None:
    make = Maker()
    cache.get_or_make("tracks", "a", make, ttl_s=60).append(99)
    cache.get_or_make("tracks", "a", make, ttl_s=60).append(99)
    assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [1]


@pytest.mark.parametrize("key", ["", "*", "a b", "a:mark", "{x}", "夜", "\ud800", "k" * 10_000])
def test_any_text_is_a_key_of_its_own(cache: Cache, key: str) -> None:
    make = Maker()
    cache.get_or_make("tracks", "other", make, ttl_s=60)
    assert cache.get_or_make("tracks", key, make, ttl_s=60) == [2]
    assert cache.get_or_make("tracks", key, make, ttl_s=60) == [2]
    cache.forget("tracks", key)
    assert cache.get_or_make("tracks", "other", make, ttl_s=60) == [1]
    assert cache.get_or_make("tracks", key, make, ttl_s=60) == [3]


def test_an_entry_ends_with_its_time_to_live(cache: Cache) -> None:
    make = Maker()
    cache.get_or_make("tracks", "a", make, ttl_s=0.05)
    time.sleep(0.1)
    assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [2]


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, 1e-9])
def test_no_time_to_live_keeps_nothing(cache: Cache, ttl_s: float) -> None:
    make = Maker()
    assert [cache.get_or_make("tracks", "a", make, ttl_s=ttl_s) for _ in range(2)] == [[1], [2]]


def test_one_entry_is_forgotten_or_a_whole_topic(cache: Cache) -> None:
    make = Maker()

    def ask(topic: str, key: str) -> list[int]:
        return cache.get_or_make(topic, key, make, ttl_s=60)

    assert [ask("tracks", "a"), ask("tracks", "b"), ask("analytics", "a")] == [[1], [2], [3]]
    cache.forget("tracks", "a")
    assert [ask("tracks", "a"), ask("tracks", "b"), ask("analytics", "a")] == [[4], [2], [3]]
    cache.forget("tracks")
    assert [ask("tracks", "a"), ask("tracks", "b"), ask("analytics", "a")] == [[5], [6], [3]]
    assert ask("tracks", "b") == [6]


def test_an_unknown_topic_is_a_mistake_in_the_program(cache: Cache) -> None:
    with pytest.raises(ValueError, match=r"'colours' is no topic.*tracks"):
        cache.get_or_make("colours", "a", Maker(), ttl_s=60)
    with pytest.raises(ValueError, match="'colours' is no topic"):
        cache.forget("colours")


def test_many_who_ask_at_once_make_it_once(cache: Cache) -> None:
    made = []

    def slowly() -> str:
        made.append(threading.current_thread())
        time.sleep(0.2)
        return "music"

    results = in_threads(20, lambda: cache.get_or_make("tracks", "a", slowly, ttl_s=60))
    assert results == ["music"] * 20
    assert len(made) == 1
    assert cache.counts()["tracks"] == (19, 1)


def test_other_keys_do_not_wait(cache: Cache) -> None:
    go = threading.Event()
    slow = threading.Thread(
        target=lambda: cache.get_or_make("tracks", "slow", lambda: go.wait(30), ttl_s=60)
    )
    slow.start()
    assert cache.get_or_make("tracks", "quick", Maker(), ttl_s=60) == [1]
    go.set()
    slow.join()


def test_an_error_reaches_all_who_wait_and_is_not_kept(cache: Cache) -> None:
    def fails() -> str:
        time.sleep(0.2)
        raise LofiError("no such track")

    results = in_threads(5, lambda: cache.get_or_make("tracks", "a", fails, ttl_s=60))
    assert [str(error) for error in results] == ["no such track"] * 5
    assert cache.get_or_make("tracks", "a", Maker(), ttl_s=60) == [1]


def test_who_waits_for_an_interrupted_thread_makes_it_anew(cache: Cache) -> None:
    made = []

    def interrupted_once() -> str:
        made.append(1)
        time.sleep(0.2)
        if len(made) == 1:
            raise KeyboardInterrupt
        return "music"

    results = in_threads(5, lambda: cache.get_or_make("tracks", "a", interrupted_once, ttl_s=60))
    assert sum(isinstance(result, KeyboardInterrupt) for result in results) == 1
    assert results.count("music") == 4
    assert len(made) == 2


def test_what_json_does_not_know_is_refused_at_once(cache: Cache) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        cache.get_or_make("tracks", "a", object, ttl_s=60)
    assert cache.get_or_make("tracks", "a", Maker(), ttl_s=60) == [1]


@pytest.mark.parametrize("what", ["a", None])
def test_what_is_forgotten_while_it_is_made_is_not_kept(cache: Cache, what: str | None) -> None:
    make = Maker()

    def overtaken() -> str:
        cache.forget("tracks", what)  # a change is recorded after we read the older data
        return "older"

    assert cache.get_or_make("tracks", "a", overtaken, ttl_s=60) == "older"
    assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [1]


def test_who_asks_after_forgetting_does_not_get_what_was_begun_before(cache: Cache) -> None:
    begun, go = threading.Event(), threading.Event()
    older: list[str] = []

    def slowly() -> str:
        begun.set()
        go.wait(30)
        return "older"

    thread = threading.Thread(
        target=lambda: older.append(cache.get_or_make("tracks", "a", slowly, ttl_s=60))
    )
    thread.start()
    begun.wait(30)
    cache.forget("tracks", "a")
    assert cache.get_or_make("tracks", "a", lambda: "newer", ttl_s=60) == "newer"
    go.set()
    thread.join()
    assert older == ["older"]
    assert cache.get_or_make("tracks", "a", lambda: "newest", ttl_s=60) != "older"


def test_a_newer_program_does_not_read_an_older_ones_shape(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker()
    cache.get_or_make("tracks", "a", make, ttl_s=60)
    monkeypatch.setitem(module.TOPICS, "tracks", module.TOPICS["tracks"] + 1)
    assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [2]


def test_a_very_large_value_is_given_and_not_kept(cache: Cache) -> None:
    made = []

    def make() -> str:
        made.append(1)
        return "x" * 1_000_000

    for _ in range(2):
        assert len(cache.get_or_make("tracks", "a", make, ttl_s=60)) == 1_000_000
    assert len(made) == 2


def test_a_cache_that_works_passes_its_check(cache: Cache) -> None:
    cache.check()


def test_a_closed_cache_still_answers_and_leaves_no_thread(cache: Cache, logs: list[Any]) -> None:
    make = Maker()
    cache.get_or_make("tracks", "a", make, ttl_s=60)
    cache.close()
    assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [2]
    cache.forget("tracks")
    cache.close()
    assert "lofi-cache" not in [thread.name for thread in threading.enumerate()]
    assert logs == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ask", "change", "change all"]),
            st.sampled_from(["tracks", "preferences"]),
            st.integers(0, 2),
        ),
        max_size=30,
    )
)
def test_an_answer_is_never_older_than_the_last_change(
    events: list[tuple[str, str, int]],
) -> None:
    cache, truth = Cache(None), {(t, k): 0 for t in ("tracks", "preferences") for k in range(3)}
    try:
        for event, topic, key in events:
            if event == "ask":
                now = truth[topic, key]
                assert cache.get_or_make(topic, str(key), lambda now=now: now, ttl_s=60) == now
            elif event == "change":
                truth[topic, key] += 1
                cache.forget(topic, str(key))
            else:
                truth |= {(topic, k): truth[topic, k] + 1 for k in range(3)}
                cache.forget(topic)
    finally:
        cache.close()


# ----------------------------------------------------------------------------------- memory


@pytest.fixture
def small_memory(new_cache: Callable[..., Cache], monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache of a hundred entries."""
    monkeypatch.setattr(module, "_ENTRIES", 100)
    return new_cache(None)


def test_memory_holds_so_many_entries_and_drops_what_was_read_longest_ago(
    small_memory: Cache,
) -> None:
    def ask(number: int, made: str) -> str:
        return small_memory.get_or_make("tracks", str(number), lambda: made, ttl_s=60)

    for number in range(250):
        ask(number, "first")
        ask(0, "first")
    assert small_memory._run(lambda cashews: cashews.get_keys_count()) == 100
    assert [ask(number, "again") for number in (0, 200, 100)] == ["first", "first", "again"]


def test_memory_lets_go_of_what_has_expired_and_is_not_asked_for(new_cache, clock: Clock) -> None:
    cache = new_cache(None)
    for number in range(20):
        cache.get_or_make("tracks", str(number), lambda: "", ttl_s=0.05)
    before = cache._run(lambda cashews: cashews.get_keys_count())
    time.sleep(0.1)
    clock.ahead_s = 3600.0
    cache.get_or_make("tracks", "another", lambda: "", ttl_s=60)
    after = cache._run(lambda cashews: cashews.get_keys_count())
    assert (before, after) == (20, 1)


def test_what_was_forgotten_stays_so_when_memory_runs_over(small_memory: Cache) -> None:
    held = []
    small_memory.get_or_make("tracks", "a", lambda: "older", ttl_s=60)
    entry, mark, _ = small_memory._names("tracks", "a")
    small_memory.forget("tracks", "a")
    for number in range(150):
        small_memory.get_or_make("analytics", str(number), lambda: "", ttl_s=60)
        held.append(small_memory._run(lambda cashews: cashews.get_many(entry, mark)))
    assert held[0][0] is not None
    assert all(kept is None or bears is not None for kept, bears in held)


# ------------------------------------------------------------------------------------ Redis


def test_processes_share_one_redis_and_forget_together(
    redis_url: str, new_cache: Callable[..., Cache]
) -> None:
    server, worker, stranger = (new_cache(redis_url, prefix=p) for p in ("lofi", "lofi", "other"))
    make = Maker()
    assert server.get_or_make("tracks", "a", make, ttl_s=60) == [1]
    assert worker.get_or_make("tracks", "a", make, ttl_s=60) == [1]
    assert stranger.get_or_make("tracks", "a", make, ttl_s=60) == [2]
    worker.forget("tracks", "a")
    assert server.get_or_make("tracks", "a", make, ttl_s=60) == [3]

    def overtaken() -> str:
        worker.forget("tracks")
        return "older"

    server.forget("tracks")
    assert server.get_or_make("tracks", "a", overtaken, ttl_s=60) == "older"
    assert server.get_or_make("tracks", "a", make, ttl_s=60) == [4]


def test_everything_in_redis_ends_by_itself(
    redis_server: RedisServer, new_cache: Callable[..., Cache]
) -> None:
    cache = new_cache(redis_server.url)
    cache.get_or_make("tracks", "a", Maker(), ttl_s=1e12)
    cache.forget("tracks", "a")
    cache.forget("tracks")
    ends = {name: redis_server.ask("TTL", name) for name in redis_server.ask("KEYS", "*")}
    assert len(ends) == 3
    entry = cache._names("tracks", "a")[0].encode()
    assert 0 < ends[entry] <= DAY
    assert all(0 < ends[entry] < seconds for name, seconds in ends.items() if name != entry)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("import lofi.studio._cache as c; c.TOPICS['unpickled'] = 1",)


@pytest.mark.parametrize(
    "planted",
    [pickle.dumps(Evil()), b"bytes:" + pickle.dumps(Evil()), b"123", b"bytes:", b"bytes:.\n{",
     b"bytes:.\n\xff", b"bytes:x\n[7]", b"\xff\xfe", b"str:x"],
)  # fmt: skip
def test_what_others_write_into_redis_is_not_believed(
    redis_server: RedisServer, new_cache: Callable[..., Cache], planted: bytes
) -> None:
    import redis

    cache = new_cache(redis_server.url)
    make = Maker()
    with redis.Redis(port=redis_server.port) as client:
        for name in cache._names("tracks", "a"):
            client.set(name, planted)
        assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [1]
        client.delete(*cache._names("tracks", "a"))
        client.lpush(cache._names("tracks", "a")[0], "a list")
        assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [2]
    assert "unpickled" not in module.TOPICS


def test_without_redis_everything_is_made_and_one_line_is_logged(
    new_cache: Callable[..., Cache], logs: list[Any]
) -> None:
    port = free_port()
    cache = new_cache(f"redis://user:hush@127.0.0.1:{port}/0?socket_timeout=1")
    make = Maker()
    for number in range(1, 30):
        assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [number]
        cache.forget("tracks", "a")
    assert [(line["log_level"], line["place"]) for line in logs] == [
        ("warning", f"redis://127.0.0.1:{port}/0")
    ]
    assert "hush" not in str(logs)
    with pytest.raises(LofiError, match=rf"redis://127\.0\.0\.1:{port}/0 .*Start Redis") as caught:
        cache.check()
    assert "hush" not in str(caught.value)


def test_redis_that_comes_back_is_used_again(
    redis_server: RedisServer,
    new_cache: Callable[..., Cache],
    logs: list[Any],
    clock: Clock,
) -> None:
    cache = new_cache(redis_server.url)
    make = Maker()
    cache.get_or_make("tracks", "a", make, ttl_s=60)
    redis_server.stop()
    assert [cache.get_or_make("tracks", "a", make, ttl_s=60) for _ in range(2)] == [[2], [3]]
    redis_server.start()
    assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [4]  # it is not tried yet
    clock.ahead_s = 60
    assert [cache.get_or_make("tracks", "a", make, ttl_s=60) for _ in range(2)] == [[5], [5]]
    assert [line["log_level"] for line in logs] == ["warning", "info"]


def test_what_was_forgotten_while_redis_was_away_is_not_read_when_it_is_back(
    redis_server: RedisServer,
    new_cache: Callable[..., Cache],
    clock: Clock,
    deadline: Callable[[float], None],
) -> None:
    cache = new_cache(redis_server.url)
    make = Maker()
    for key in ("a", "b"):
        cache.get_or_make("tracks", key, make, ttl_s=60)
    redis_server.hang()  # and keeps what it holds
    deadline(0.1)
    cache.forget("tracks", "a")
    redis_server.go_on()
    deadline(20)
    assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [3]
    clock.ahead_s = 60
    assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [4]
    assert cache.get_or_make("tracks", "a", make, ttl_s=60) == [4]
    assert cache.get_or_make("tracks", "b", make, ttl_s=60) == [2]


def test_redis_that_hangs_is_waited_for_once(
    redis_server: RedisServer,
    new_cache: Callable[..., Cache],
    logs: list[Any],
    deadline: Callable[[float], None],
) -> None:
    cache = new_cache(redis_server.url)
    make = Maker()
    cache.get_or_make("tracks", "a", make, ttl_s=60)
    asked: list[object] = []
    run = cache._run
    cache._run = lambda work: (asked.append(work), run(work))[1]  # type: ignore[method-assign]
    redis_server.hang()
    deadline(0.1)
    assert [cache.get_or_make("tracks", "a", make, ttl_s=60)[0] for _ in range(9)] == [
        *range(2, 11)
    ]
    assert len(asked) == 1
    assert [line["reason"] for line in logs] == ["it does not answer in time"]
    redis_server.go_on()


def test_redis_that_is_full_still_gives_what_it_holds(
    redis_server: RedisServer, new_cache: Callable[..., Cache], logs: list[Any]
) -> None:
    cache = new_cache(redis_server.url)
    make = Maker()
    cache.get_or_make("tracks", "held", make, ttl_s=60)
    redis_server.ask("CONFIG", "SET", "maxmemory", 1)
    for number in range(2, 9):
        assert cache.get_or_make("tracks", "new", make, ttl_s=60) == [number]
        assert cache.get_or_make("tracks", "held", make, ttl_s=60) == [1]
    assert len(logs) == 1
    assert "maxmemory" in logs[0]["reason"]
    with pytest.raises(LofiError, match=r"maxmemory.* give it memory"):
        cache.check()
    cache.forget("tracks", "held")  # which Redis has no room to be told
    assert cache.get_or_make("tracks", "held", make, ttl_s=60) == [9]


@pytest.mark.parametrize("url", ["memcached://x", "http://x", "localhost:6379", "redis:/x"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="must begin with redis://"):
        Cache(url)
