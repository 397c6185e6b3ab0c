"""`lofi doctor`: the truth about a machine, whatever is the matter with it."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ailments import dies, is_well, leaves, sleeps, stumbles

from lofi.sound import _fluidsynth
from lofi.studio import Settings, _checks, examine
from lofi.studio._checks import CHECKS, AbsentError, BrokenError, Scope
from lofi.studio._doctor import Finding, _Apart

SECRET = "hunter2-swordfish"
RUNTIME = ("Python", "SQLite", "libraries", "shipped model", "audio files", "drawing", "encoders")


def look(name: str, **scope) -> Finding:
    """What one check finds, without a process of its own."""
    from lofi.studio._doctor import _attempt

    whole = Scope(**{"settings": Settings(), **scope})
    return _attempt(name, lambda: CHECKS[name](whole, lambda _place: None))


def doctor(*arguments: str | Path, cwd: Path, env: dict[str, str] | None = None):
    return subprocess.run(
        [sys.executable, "-m", "lofi", "doctor", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# The command ---------------------------------------------------------------------------------


def test_a_machine_that_runs_these_tests_is_found_well(tmp_path: Path):
    done = doctor("--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    told = json.loads(done.stdout)
    state = {f["name"]: f["state"] for f in told["findings"]}
    assert told["ok"] is True
    assert set(state) == {"settings", *CHECKS, "storage"}
    assert {state[name] for name in RUNTIME} == {"ok"}
    assert all(f["detail"] for f in told["findings"])
    assert list(tmp_path.iterdir()) == []  # it only looks


def test_what_is_broken_has_a_remedy_a_status_and_no_secret(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("video:\n  fps: many\n")
    (tmp_path / "mine.sf2").write_bytes(b"RIFF\x10\0\0\0WAVEfmt ")
    address = f"postgresql://lofi:{SECRET}@127.0.0.1:{closed_port()}/lofi"
    done = doctor("--soundfont", "mine.sf2", cwd=tmp_path, env={"LOFI_STUDIO__DATABASE": address})
    assert done.returncode == 1
    shown = " ".join(done.stdout.split())
    assert "video.fps" in shown
    assert "mine.sf2" in shown
    assert "lofi:***@127.0.0.1" in shown
    assert SECRET not in done.stdout + done.stderr
    assert "broken: settings, SoundFonts, database" in done.stderr
    assert "→" in done.stdout
    assert "Traceback" not in done.stderr


def test_its_help_says_what_the_states_mean(tmp_path: Path):
    done = doctor("--help", cwd=tmp_path)
    for word in ("ok", "absent", "broken", "--json", "--soundfont"):
        assert word in done.stdout


# Crashes and silence -------------------------------------------------------------------------


@pytest.fixture
def apart() -> Iterator[_Apart]:
    process = _Apart(Scope(Settings()), limit_s=5.0)
    yield process
    process.leave()


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (dies, "crashed (SIGSEGV) at the cliff"),
        (leaves, "ended by itself (exit status 3)"),
        (sleeps, "no answer within 5 s at the bed"),
        (stumbles, "ValueError: a stone"),
    ],
)
def test_what_fails_is_a_finding_and_the_next_check_goes_on(apart, check, words):
    found = apart.look("thing", check)
    assert (found.name, found.state, found.detail) == ("thing", "broken", words)
    assert found.remedy
    assert apart.look("next", is_well) == Finding("next", "ok", "well")


# Single checks -------------------------------------------------------------------------------


def test_libraries_that_are_missing_or_too_old_are_named(monkeypatch):
    wanted = ["numpy>=99", "no-such-thing>=1", "scipy", "cashews[redis]"]
    monkeypatch.setattr(_checks, "_source_requirements", lambda _extra: wanted)
    found = look("libraries")
    assert found.state == "broken"
    assert "numpy is " in found.detail
    assert "needed is >=99" in found.detail
    assert "no-such-thing is missing" in found.detail
    assert "scipy" not in found.detail
    assert "pip install" in found.remedy


def test_an_installed_copy_asks_what_pip_wrote_down(monkeypatch):
    wanted = ["numpy>=99", 'scipy>=99; extra == "train"', "rich>=99; python_version < '3'"]
    monkeypatch.setattr(_checks, "_source_requirements", lambda _extra: None)
    monkeypatch.setattr(_checks.importlib.metadata, "requires", lambda _name: wanted)
    assert [r.name for r in _checks._requirements("")] == ["numpy"]
    assert [r.name for r in _checks._requirements("train")] == ["scipy"]


def test_without_the_training_libraries_only_training_is_amiss(monkeypatch):
    monkeypatch.setattr(_checks, "_source_requirements", lambda _extra: ["no-such-torch>=2"])
    found = look("training libraries")
    assert found.state == "absent"
    assert "`lofi train` needs them" in found.detail
    assert "[train]" in found.remedy


def settings_with(**paths: Path) -> Settings:
    return Settings.model_validate({"paths": {name: str(path) for name, path in paths.items()}})


def test_a_model_of_ones_own_is_tried(untrained: Path, tmp_path: Path):
    assert look("model of your own", settings=settings_with(model=tmp_path / "none")).state == (
        "absent"
    )
    assert look("model of your own", settings=settings_with(model=untrained)).state == "ok"


def test_a_model_whose_weights_were_changed_is_broken(untrained: Path, tmp_path: Path):
    copy = tmp_path / "copy"
    shutil.copytree(untrained, copy)
    graph = bytearray((copy / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (copy / "model.onnx").write_bytes(graph)
    found = look("model of your own", settings=settings_with(model=copy))
    assert found.state == "broken"
    assert "model.onnx is not the file" in found.detail


def test_without_fluidsynth_the_built_in_instruments_play(monkeypatch):
    def no_library(_name: str) -> None:
        raise OSError("not found")

    monkeypatch.setattr(_fluidsynth.ctypes, "CDLL", no_library)
    _fluidsynth.load_library.cache_clear()
    try:
        found = look("FluidSynth")
        fonts = look("SoundFonts", soundfonts=(Path("mine.sf2"),))
    finally:
        _fluidsynth.load_library.cache_clear()
    assert (found.state, found.detail) == ("absent", "the built-in instruments play")
    assert "apt install libfluidsynth3" in found.remedy
    assert fonts.state == "broken"  # it was asked for
    assert "mine.sf2" in fonts.detail


def test_no_soundfont_is_fine(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(_checks, "_SOUNDFONT_FOLDERS", (tmp_path, tmp_path / "none"))
    assert look("SoundFonts").state == "absent"


def test_a_folder_that_cannot_be_is_broken(tmp_path: Path):
    (tmp_path / "taken").write_text("")
    found = look("output folder", settings=settings_with(output=tmp_path / "taken" / "output"))
    assert found.state == "broken"
    assert "taken is a file" in found.detail


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_a_folder_that_cannot_be_written_is_broken():
    found = look("output folder", settings=settings_with(output=Path("/proc/output")))
    assert found.state == "broken"
    assert "cannot be written" in found.detail


def test_a_disk_without_room_for_a_package_is_broken(monkeypatch, tmp_path: Path):
    class Usage:
        free = 100_000_000

    monkeypatch.setattr(_checks.shutil, "disk_usage", lambda _folder: Usage)
    found = look("output folder", settings=settings_with(output=tmp_path / "output"))
    assert found.state == "broken"
    assert "0.1 GB free; 3 minutes of video need up to 0.23" in found.detail
    assert not (tmp_path / "output").exists()


def test_a_small_sqlite_is_broken_only_where_jobs_need_more(monkeypatch):
    monkeypatch.setattr(_checks.sqlite3, "sqlite_version_info", (3, 40, 1))
    monkeypatch.setattr(_checks.sys, "version_info", (3, 12, 0))
    assert look("SQLite").state == "broken"
    monkeypatch.setattr(_checks.sys, "version_info", (3, 11, 0))
    assert look("SQLite").state == "ok"


# Databases -----------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "lofi.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('abc123')")
        connection.execute("CREATE TABLE tracks (title TEXT)")
        connection.executemany("INSERT INTO tracks VALUES (?)", [("x" * 500,)] * 200)
    connection.close()
    return path


def test_a_database_is_told_with_its_revision(database: Path):
    found = look("database", database=f"sqlite:///{database}", schema="abc123")
    assert found.state == "ok"
    assert f"sqlite {sqlite3.sqlite_version}, tables at revision abc123" in found.detail


def test_tables_of_another_version_are_broken(database: Path):
    found = look("database", database=f"sqlite:///{database}", schema="def456")
    assert found.state == "broken"
    assert "at revision abc123, this version needs def456" in found.detail


def test_a_damaged_database_is_broken(database: Path):
    data = bytearray(database.read_bytes())
    data[3 * 4096 : 6 * 4096] = os.urandom(3 * 4096)
    database.write_bytes(data)
    found = look("database", database=f"sqlite:///{database}")
    assert found.state == "broken"
    assert "backup" in found.remedy


def test_a_database_that_is_not_there_yet_is_not_made(tmp_path: Path):
    found = look("database", database=f"sqlite:///{tmp_path}/data/new.db")
    assert found.state == "absent"
    assert list(tmp_path.iterdir()) == []


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://lofi:{secret}@127.0.0.1:{port}/lofi",
        "postgresql+psycopg://127.0.0.1:{port}/lofi?user=lofi&password={secret}",
        "postgresql://lofi:{secret}@127.0.0.1:notaport/lofi",
        "nonsense:{secret}",
    ],
)
def test_an_address_that_leads_nowhere_is_broken_and_its_password_untold(address: str):
    from lofi.studio._doctor import _masked, _secrets

    address = address.format(secret=SECRET, port=closed_port())
    found = look("database", database=address)
    assert found.state == "broken"
    assert SECRET not in _masked(found.detail, _secrets(address))


# Servers and accounts ------------------------------------------------------------------------


def test_a_redis_that_answers_is_told_with_its_version():
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("redis-server is not installed")
    port = closed_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--requirepass", SECRET]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        address = f"redis://:{SECRET}@127.0.0.1:{port}/0"
        deadline = time.monotonic() + 20
        while (found := look("Redis", redis=address)).state != "ok":
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        assert found.detail.startswith("Redis ")
        assert SECRET not in found.detail
        wrong = look("Redis", redis=f"redis://:wrong@127.0.0.1:{port}/0")
        assert wrong.state == "broken"
        assert "password" in wrong.remedy
    finally:
        server.terminate()
        server.wait(10)


def test_a_redis_that_does_not_answer_is_broken():
    found = look("Redis", redis=f"redis://127.0.0.1:{closed_port()}/0")
    assert found.state == "broken"
    assert "See that Redis runs" in found.remedy


def test_credentials_are_judged_without_a_word_of_them(tmp_path: Path):
    path = tmp_path / "youtube.json"
    assert look("YouTube credentials", credentials=path).state == "absent"
    path.write_text("{" + SECRET)
    broken = look("YouTube credentials", credentials=path)
    path.write_text(json.dumps({"installed": {"client_id": "a", "client_secret": SECRET}}))
    path.chmod(0o644)
    open_to_all = look("YouTube credentials", credentials=path)
    path.chmod(0o600)
    good = look("YouTube credentials", credentials=path)
    assert (broken.state, open_to_all.state, good.state) == ("broken", "broken", "ok")
    assert "chmod 600" in open_to_all.remedy
    assert "not signed in" in good.detail
    assert all(SECRET not in f.detail + f.remedy for f in (broken, open_to_all, good))


@pytest.fixture
def nothing_else(monkeypatch):
    """Examine nothing but what the caller gives."""
    from lofi.studio import _doctor

    monkeypatch.setattr(_doctor, "CHECKS", {})


def test_the_storage_is_asked_by_a_function_of_the_callers(nothing_else):
    def works() -> str:
        return "a bucket"

    def fails() -> str:
        raise ConnectionError(f"https://key:{SECRET}@host refused")

    assert examine(Settings(), storage=works) == [Finding("storage", "ok", "a bucket")]
    [found] = examine(Settings(), storage=fails)
    assert found.state == "broken"
    assert found.detail == "ConnectionError: https://key:***@host refused"
    assert examine(Settings())[0].state == "absent"


def test_a_storage_that_never_answers_is_broken(nothing_else):
    [found] = examine(Settings(), storage=lambda: time.sleep(30) or "", limit_s=0.2)
    assert found.state == "broken"
    assert "no answer within 0.2 s" in found.detail


def test_absent_and_broken_are_told_apart():
    assert not issubclass(BrokenError, AbsentError)
    assert not issubclass(AbsentError, BrokenError)
