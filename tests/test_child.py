"""Work in a child process: it answers, fails in words, and never outlives who asked for it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from hostile import hostile_files

from lofi.brief import Brief, InputError, LofiError
from lofi.music import compose, midi_bytes
from lofi.studio import Child, Crashed, Overdue, Settings, commission, run_stage

TABLE = "child_work:WORK"


def idle(_stage: str, _fraction: float) -> None:
    pass


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    with Child(tmp_path / "child.log", table=TABLE) as started:
        yield started


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A child with the work it has in production, in no hurry to let others go first."""
    with Child(tmp_path_factory.mktemp("worker") / "child.log", niceness=0) as started:
        yield started


def run(child: Child, work: str, tick: Callable[[str, float], None] = idle, **arguments):
    return child.run(work, arguments, limit_s=600, tick=tick)


def numbers(told: Path) -> list[int]:
    """The numbers of the child and of what it has started."""
    return [int(n) for n in told.read_text().split()]


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pids: list[int], within_s: float = 10.0) -> bool:
    deadline = time.monotonic() + within_s
    while any(lives(p) for p in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Stop(Exception):  # noqa: N818
    pass


# Answers -----------------------------------------------------------------------------------------


def test_one_child_does_one_piece_of_work_after_another(child, tmp_path: Path):
    first, second = run(child, "about"), run(child, "about")
    assert first == second
    assert first["pid"] == first["session"] == child.pid != os.getpid()
    assert first["niceness"] == min(19, os.nice(0) + 10)
    assert first["threads"] == os.environ.get("OMP_NUM_THREADS", "1")
    assert first["interrupted"]
    assert (tmp_path / "child.log").read_text().count("said aloud") == 2


def test_ctrl_c_does_not_reach_it(child):
    run(child, "about")
    os.kill(child.pid, signal.SIGINT)
    assert run(child, "about")["pid"] == child.pid


@pytest.mark.parametrize(
    ("kind", "error"),
    [("InputError", InputError), ("LofiError", LofiError), ("RejectedError", InputError)],
)
def test_errors_arrive_as_the_work_raised_them(child, kind, error):
    with pytest.raises(error) as caught:
        run(child, "refuse", kind=kind, message="no such bar: „4½“. Choose another.")
    assert str(caught.value) == "no such bar: „4½“. Choose another."
    assert type(caught.value) is error
    assert child.alive
    assert run(child, "about")


def test_what_should_not_have_failed_is_told_and_traced_in_the_log(child, tmp_path: Path):
    with pytest.raises(LofiError, match=r"KeyError: 'bar' \(child_work\.py, line \d+\)"):
        run(child, "refuse", kind="KeyError", message="bar")
    assert "in refuse" in (tmp_path / "child.log").read_text()
    with pytest.raises(LofiError, match="TypeError"):
        run(child, "bad_result")
    with pytest.raises(LofiError, match=r"no work 'dance'.*about"):
        run(child, "dance")
    assert run(child, "about")


# Ends --------------------------------------------------------------------------------------------


def test_a_crash_of_native_code_is_named_with_what_it_said_last(child):
    run(child, "about")
    with pytest.raises(Crashed, match="SIGSEGV") as caught:
        run(child, "segfault")
    assert "Segmentation fault" in str(caught.value)
    assert "in segfault" in str(caught.value)
    assert not child.alive
    with pytest.raises(LofiError, match="Start another"):
        run(child, "about")


def test_a_child_that_is_killed_or_leaves_is_told_apart(tmp_path: Path):
    told = tmp_path / "told"

    def kill(_stage: str, _fraction: float) -> None:
        if told.exists():
            os.kill(child.pid, signal.SIGKILL)

    with (
        Child(tmp_path / "a.log", table=TABLE) as child,
        pytest.raises(Crashed, match="SIGKILL"),
    ):
        run(child, "hang", kill, told=str(told))
    assert gone(numbers(told))
    with (
        Child(tmp_path / "b.log", table=TABLE) as child,
        pytest.raises(Crashed, match="exit status 3"),
    ):
        run(child, "leave", status=3)


def test_a_child_without_its_work_says_why(tmp_path: Path):
    with (
        Child(tmp_path / "a.log", table="no_such_module:WORK") as child,
        pytest.raises(Crashed, match="No module named 'no_such_module'"),
    ):
        run(child, "about")


@pytest.mark.parametrize("work", ["hang", "hang_in_native_code"])
def test_stopping_ends_the_child_and_all_that_it_has_started(child, tmp_path: Path, work: str):
    told = tmp_path / "told"

    def stop(_stage: str, _fraction: float) -> None:
        if told.exists():
            raise Stop

    with pytest.raises(Stop):
        run(child, work, stop, told=str(told))
    assert not child.alive
    assert len(numbers(told)) == 2
    assert gone(numbers(told))


def test_work_that_takes_too_long_is_ended(child, tmp_path: Path):
    with pytest.raises(Overdue, match=r"longer than 1 s and was ended"):
        child.run("hang", {"told": str(tmp_path / "told")}, limit_s=1, tick=idle)
    assert not child.alive
    assert gone([child.pid])


def test_closing_leaves_no_process_and_may_be_done_twice(tmp_path: Path):
    child = Child(tmp_path / "a.log", table=TABLE)
    run(child, "about")
    child.close()
    child.close()
    assert not psutil.pid_exists(child.pid)
    with Child(tmp_path / "b.log", table=TABLE) as unused:
        pass
    assert not psutil.pid_exists(unused.pid)


@pytest.mark.parametrize("work", ["hang", "hang_in_native_code"])
def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path, work: str):
    told = tmp_path / "told"
    code = (
        "import sys; from pathlib import Path; from lofi.studio import Child\n"
        "child = Child(Path(sys.argv[1]), table='child_work:WORK')\n"
        "child.run(sys.argv[2], {'told': sys.argv[3]}, limit_s=99, tick=lambda s, f: None)"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    parent = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "child.log", work, told],
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        while not told.exists():
            assert parent.poll() is None
            time.sleep(0.05)
        pids = numbers(told)
        assert all(lives(p) for p in pids)
    finally:
        parent.kill()
        parent.wait()
    # Elsewhere than on Linux a thread ends them, which must wait for native code that holds on.
    if sys.platform == "linux" or work == "hang":
        assert gone(pids)


def test_a_child_outlives_the_thread_that_started_it(tmp_path: Path):
    started: list[Child] = []
    thread = threading.Thread(target=lambda: started.append(Child(tmp_path / "a.log", table=TABLE)))
    thread.start()
    thread.join()
    with started[0] as child:
        assert run(child, "about")["pid"] == child.pid
        assert run(child, "about")["pid"] == child.pid


# Progress ----------------------------------------------------------------------------------------


def test_news_is_told_four_times_a_second_at_most(child):
    run(child, "about")
    ticks: list[tuple[float, str, float]] = []
    assert run(child, "chatter", lambda s, f: ticks.append((time.monotonic(), s, f)), times=900)
    assert ticks
    assert all(b[0] - a[0] > 0.2 for a, b in pairwise(ticks))
    fractions = [f for _, stage, f in ticks if stage == "chattering"]
    assert fractions == sorted(fractions)


def test_the_caller_is_asked_also_where_there_is_no_news(child):
    ticks = []
    run(child, "be_silent", lambda stage, fraction: ticks.append((stage, fraction)), seconds=1.2)
    assert len(ticks) >= 2
    assert set(ticks) == {("be_silent", 0.0)}


# What children are for ---------------------------------------------------------------------------


def test_a_stage_run_by_a_child_writes_what_it_writes_here(worker, tmp_path: Path):
    wanted = commission(Brief(seed=4, mood="sleep", duration_s=20), Settings())
    ticks = []
    files = run(
        worker,
        "stage",
        lambda *tick: ticks.append(tick),
        name="thumbnail",
        commission=wanted.to_json(),
        folder=str(tmp_path / "there"),
    )
    names = run_stage("thumbnail", wanted, tmp_path / "here", idle)
    assert [f["name"] for f in files] == names == ["internal/thumbnail.json", "thumbnail.jpg"]
    for file in files:
        data = (tmp_path / "here" / file["name"]).read_bytes()
        assert (tmp_path / "there" / file["name"]).read_bytes() == data
        assert file["bytes"] == len(data)
        assert file["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_stage_that_cannot_run_says_why(worker, tmp_path: Path):
    told = commission(Brief(seed=4, mood="sleep", duration_s=20), Settings()).to_json()
    with pytest.raises(LofiError, match=r"lacks track\.mid"):
        run(worker, "stage", name="check", commission=told, folder=str(tmp_path))
    (tmp_path / "file").write_text("x")
    with pytest.raises(LofiError, match="file: File exists"):
        run(worker, "stage", name="compose", commission=told, folder=str(tmp_path / "file"))
    with pytest.raises(InputError, match="colour"):
        run(worker, "stage", name="compose", commission={**told, "colour": 1}, folder=str(tmp_path))


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    brief = Brief(seed=8, mood="focus", bpm=80, duration_s=40).settled()
    score, plan = compose(brief)
    path = tmp_path_factory.mktemp("uploads") / "mine.mid"
    path.write_bytes(midi_bytes(score, plan))
    return path


def test_an_upload_is_measured_judged_and_compared(worker, upload: Path):
    found = run(worker, "measure", path=str(upload))
    assert found["measured"]["bpm"] == pytest.approx(80, abs=0.01)
    assert 0 < found["judgement"]["score"] <= 1
    assert found["originality"]["works"] > 1000
    assert found["originality"]["verdict"] in ("pass", "review", "block")
    assert found["sha256"] == hashlib.sha256(upload.read_bytes()).hexdigest()
    assert json.loads(json.dumps(found)) == found


def test_hostile_uploads_are_refused_with_a_reason_and_harm_nobody(worker, tmp_path: Path):
    for name in ("page.mid", "bomb.mid", "note wall.mid"):
        path = tmp_path / name
        path.write_bytes(hostile_files()[name])
        with pytest.raises(InputError, match=name):
            run(worker, "measure", path=str(path))
    os.mkfifo(tmp_path / "pipe.mid")
    with pytest.raises(InputError, match=r"pipe\.mid is missing or no file"):
        run(worker, "measure", path=str(tmp_path / "pipe.mid"))
    assert worker.alive


def test_uploads_are_held_to_the_limits_given(worker, upload: Path, tmp_path: Path):
    with pytest.raises(InputError, match="more than 20"):
        run(worker, "measure", path=str(upload), bounds={"max_notes": 20})
    wall = tmp_path / "note wall.mid"
    wall.write_bytes(hostile_files()["note wall.mid"])
    wide = {"max_notes": 10**6, "max_bars": 10**6, "max_bytes": 10**8}
    with pytest.raises(InputError, match=r"note wall\.mid: .*(memory|bad_alloc)"):
        run(worker, "measure", path=str(wall), bounds=wide, limits={"memory_mb": 1})
    assert worker.alive
