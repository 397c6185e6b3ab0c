"""What the doctor looks at: a table of checks.

A check says in one line what it found, or raises AbsentError for what may be missing, or
BrokenError for what does not work. It tells what it is about to touch, so that a crash has a name.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import io
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lofi.brief import Brief, Key, LofiError
from lofi.studio._files import sha256_of
from lofi.studio._make import _BYTES_AT_LEAST, _BYTES_PER_SECOND
from lofi.studio._settings import Settings

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Tell = Callable[[str], None]

_DISTRIBUTION = "lofi-empire"
_OLDEST_PYTHON = (3, 11)
_SQLITE_FOR_JOBS = (3, 42)  # DBOS needs it where Python is 3.12 or newer
_PACKAGE_S = 180
_PACKAGE_MEMORY = 1_000_000_000  # the bound of benchmarks/README.md
_ANSWER_S = 5  # how long a server may take to be reached
_CHECKED_WHOLE = 1_000_000_000  # a larger SQLite file takes minutes to check

# Where package managers and people put SoundFonts.
_SOUNDFONT_FOLDERS = (
    Path("/usr/share/sounds/sf2"),
    Path("/usr/share/sounds/sf3"),
    Path("/usr/share/soundfonts"),
    Path.home() / "Library/Audio/Sounds/Banks",
)
_SOUNDFONTS_TRIED = 6
_HARDWARE_ENCODERS = ("h264_nvenc", "h264_vaapi", "h264_videotoolbox", "h264_qsv", "h264_amf")
_IMPORT_NAMES = {"skia-python": "skia", "pyyaml": "yaml", "google-auth": "google.auth"}


class FoundError(Exception):
    """What a check has to say other than that all is well, and what can be done about it."""

    def __init__(self, detail: str, remedy: str = "") -> None:
        super().__init__(detail)
        self.detail, self.remedy = detail, remedy


class AbsentError(FoundError):
    """Something is not there, and need not be; `detail` says what is used in its place."""


class BrokenError(FoundError):
    """Something that is needed or asked for does not work."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What there is to look at; see `examine`."""

    settings: Settings
    database: str | None = None
    schema: str | None = None
    redis: str | None = None
    credentials: Path | None = None
    soundfonts: tuple[Path, ...] = ()


# The interpreter and its libraries -----------------------------------------------------------


def _python(_scope: Scope, _tell: Tell) -> str:
    oldest = ".".join(map(str, _OLDEST_PYTHON))
    if sys.version_info < _OLDEST_PYTHON:
        raise BrokenError(platform.python_version(), f"Install Python {oldest} or newer.")
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def _sqlite(_scope: Scope, _tell: Tell) -> str:
    if sys.version_info >= (3, 12) and sqlite3.sqlite_version_info < _SQLITE_FOR_JOBS:
        raise BrokenError(
            f"{sqlite3.sqlite_version}: jobs need 3.42 or newer with Python 3.12 or newer",
            "Use a Python that brings a newer SQLite, or PostgreSQL as the database.",
        )
    return sqlite3.sqlite_version


def _requirements(extra: str) -> list[Requirement]:
    """What the distribution needs here: to run (extra ""), or for an extra beside that."""
    from packaging.requirements import Requirement

    told = _source_requirements(extra)
    if told is not None:
        return [r for r in map(Requirement, told) if _for(r, "")]
    told = map(Requirement, importlib.metadata.requires(_DISTRIBUTION) or [])
    return [r for r in told if (_for(r, extra) and not _for(r, "") if extra else _for(r, ""))]


def _source_requirements(extra: str) -> list[str] | None:
    """The same from pyproject.toml, where this runs from a checkout: it is newer than what pip
    wrote down when it was installed.
    """
    import tomllib

    import lofi

    file = Path(lofi.__file__).parents[2] / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    except (OSError, KeyError, ValueError):
        return None
    if project.get("name") != _DISTRIBUTION:
        return None
    return project["optional-dependencies"][extra] if extra else project["dependencies"]


def _for(requirement: Requirement, extra: str) -> bool:
    """Whether it holds on this machine where that extra, or none (""), is installed."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _installed(requirement: Requirement) -> Iterator[str]:
    """What is wrong with an installed distribution and those its extras ask for."""
    from packaging.requirements import Requirement

    try:
        distribution = importlib.metadata.distribution(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        yield f"{requirement.name} is missing"
        return
    if not requirement.specifier.contains(distribution.version, prereleases=True):
        yield f"{requirement.name} is {distribution.version}, needed is {requirement.specifier}"
    for text in distribution.requires or []:
        inner = Requirement(text)
        if any(_for(inner, extra) and not _for(inner, "") for extra in requirement.extras):
            yield from _installed(inner)


def _libraries(_scope: Scope, tell: Tell) -> str:
    requirements = _requirements("")
    wrong: list[str] = []
    for requirement in requirements:
        faults = list(_installed(requirement))
        wrong += faults
        if faults and faults[0].endswith("is missing"):
            continue
        name = _IMPORT_NAMES.get(requirement.name.lower(), requirement.name.replace("-", "_"))
        tell(requirement.name)
        try:
            importlib.import_module(name)
        except Exception as error:
            wrong.append(f"{requirement.name} cannot be loaded ({_line(error)})")
    if wrong:
        raise BrokenError("; ".join(wrong), _reinstall(""))
    return f"all {len(requirements)} are there, fit and load"


def _training(_scope: Scope, _tell: Tell) -> str:
    requirements = _requirements("train")
    faults = {r.name: list(_installed(r)) for r in requirements}
    missing = [n for n, told in faults.items() if told and told[0].endswith("is missing")]
    if missing:
        raise AbsentError(
            f"{', '.join(missing)} not installed: `lofi train` needs them, nothing else does",
            _reinstall("[train]"),
        )
    wrong = [fault for told in faults.values() for fault in told]
    if wrong:
        raise BrokenError("; ".join(wrong), _reinstall("[train]"))
    return f"torch {importlib.metadata.version('torch')} and {len(requirements) - 1} others"


def _reinstall(extra: str) -> str:
    where = (
        f"-e '.{extra}'" if _source_requirements("") is not None else f"'{_DISTRIBUTION}{extra}'"
    )
    return f"Run: {Path(sys.executable).name} -m pip install --upgrade {where}"


# Music ---------------------------------------------------------------------------------------


def _shipped_model(_scope: Scope, _tell: Tell) -> str:
    return _try_model(None, "Reinstall LoFi Empire: its model is part of it.")


def _own_model(scope: Scope, _tell: Tell) -> str:
    folder = scope.settings.paths.model
    if not folder.exists():
        raise AbsentError(f"none in {folder}: the shipped model writes", "")
    if not (folder / "lofi.json").is_file():
        raise AbsentError(
            f"{folder} holds no finished model: the shipped model writes",
            "Run `lofi train`; it goes on where it was.",
        )
    return _try_model(folder, "Run `lofi train` again, or move the folder away.")


def _try_model(folder: Path | None, remedy: str) -> str:
    """See that a model's files are those its card names, and have it write two bars."""
    from lofi.music import Sampling, generate, open_model

    model = open_model(folder)
    for name, digest in model.card["files"].items():
        file = model.path / name
        if file.is_file() and sha256_of(file) != digest:
            raise BrokenError(f"{file} is not the file that its card names", remedy)
    brief = Brief(seed=1, mood="chill", bpm=75.0, key=Key(9, "minor")).settled()
    written = generate(brief, model, bars=2, sampling=Sampling(), best_of=1)
    notes = written.score.note_num()
    if not notes:
        raise BrokenError("it writes no notes", remedy)
    arch = model.card["architecture"]
    size = f"{arch['n_layer']} layers of {arch['n_embd']}"
    return f"{size}, {model.sha256[:12]}, its files unchanged; wrote 2 bars of {notes} notes"


# Sound and picture ---------------------------------------------------------------------------


def _fluidsynth(_scope: Scope, _tell: Tell) -> str:
    from lofi.sound import fluidsynth_version

    try:
        return fluidsynth_version()
    except LofiError as missing:
        raise AbsentError("the built-in instruments play", str(missing)) from missing
    except AttributeError as error:
        raise BrokenError(
            f"its library is too old ({error})", "Install FluidSynth 2.1 or newer."
        ) from error


def _soundfonts(scope: Scope, tell: Tell) -> str:
    from lofi.sound import fluidsynth_version

    found = {
        path.resolve(): path
        for folder in _SOUNDFONT_FOLDERS
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in (".sf2", ".sf3") and path.is_file()
    }
    if not found and not scope.soundfonts:
        raise AbsentError("none found: the built-in instruments play")
    try:
        fluidsynth_version()
    except LofiError as missing:
        names = ", ".join(p.name for p in (*scope.soundfonts, *found))
        kind = BrokenError if scope.soundfonts else AbsentError
        raise kind(f"{names}: nothing can play them without FluidSynth", str(missing)) from missing
    for path in scope.soundfonts:
        tell(path.name)
        _play(path)
    playable, wrong = [p.name for p in scope.soundfonts], []
    for real in list(found)[:_SOUNDFONTS_TRIED]:
        tell(real.name)
        try:
            _play(real)
            playable.append(f"{real.name} ({real.stat().st_size / 1e6:.0f} MB)")
        except LofiError as error:
            wrong.append(str(error))
    if not playable:
        raise AbsentError(f"{' '.join(wrong)} The built-in instruments play.")
    rest = f"; {len(found) - _SOUNDFONTS_TRIED} more" if len(found) > _SOUNDFONTS_TRIED else ""
    faults = f"; not: {' '.join(wrong)}" if wrong else ""
    return f"{', '.join(playable)}: played a chord{rest}{faults}"


def _play(soundfont: Path) -> None:
    import numpy as np
    import symusic

    from lofi import sound

    score: Any = symusic.Score(480)
    track: Any = symusic.Track("keys", 4, False)
    for pitch in (60, 64, 67):
        track.notes.append(symusic.Note(0, 960, pitch, 80))
    score.tracks.append(track)
    master = sound.render(
        score, bars=1, bpm=120, bundle="chill", seed=1, soundfont=soundfont, keep_stems=True
    )
    if not np.abs(master.stems["keys"]).max() > 0:
        raise BrokenError(f"{soundfont} plays silence", "Use another SoundFont.")


def _audio_files(_scope: Scope, _tell: Tell) -> str:
    import numpy as np
    import soundfile

    from lofi import sound

    wave = np.sin(np.arange(4410) / 10).astype(np.float32) / 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tone.flac"
        sound.write_flac(path, wave, sound.SAMPLE_RATE)
        back, _ = soundfile.read(path, dtype="float32")
    if len(back) != len(wave) or np.abs(back - wave).max() > 1e-6:
        raise BrokenError("FLAC does not come back as it was written", _reinstall(""))
    return f"libsndfile {soundfile.__libsndfile_version__.removeprefix('libsndfile-')}: FLAC"


def _drawing(_scope: Scope, _tell: Tell) -> str:
    import skia

    from lofi import picture

    drawn = picture.still(
        palette="dusk",
        template="bars",
        title="Doctor",
        subtitle="75 bpm",
        seed=1,
        width=320,
        height=180,
    )
    if drawn.std() < 1:
        raise BrokenError("a scene comes out blank", _reinstall(""))
    return f"skia {skia.__version__}: drew a scene"


def _encoders(_scope: Scope, _tell: Tell) -> str:
    import av

    frames, seconds = _encode("libx264", with_sound=True)
    if frames != _FRAMES or not seconds:
        raise BrokenError(
            f"of {_FRAMES} pictures encoded {frames} came back, and {seconds:.1f} s of sound",
            _reinstall(""),
        )
    return f"libx264 and aac encode (PyAV {av.__version__})"


def _hardware_encoders(_scope: Scope, tell: Tell) -> str:
    import av

    built_in = [name for name in _HARDWARE_ENCODERS if name in av.codecs_available]
    working = []
    for name in built_in:
        tell(name)
        with suppress(Exception):  # whatever it is: the machine has no such hardware
            if _encode(name)[0] == _FRAMES:
                working.append(name)
    if not working:
        tried = f" (tried {', '.join(built_in)})" if built_in else ""
        raise AbsentError(f"none works here{tried}: libx264 encodes on the processor")
    return f"{', '.join(working)} encode"


_FRAMES = 12


def _encode(encoder: str, *, with_sound: bool = False) -> tuple[int, float]:
    """Encode a few pictures, read them back; gives how many came, and the seconds of sound."""
    import av
    import numpy as np

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video: Any = container.add_stream(encoder, rate=12)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        sound: Any = (
            container.add_stream("aac", rate=48_000, layout="stereo") if with_sound else None
        )
        for i in range(_FRAMES):
            shade = np.full((180, 320, 3), 20 * i, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(video.encode(None))
        if sound:
            wave = np.sin(np.arange(48_000) / 20).astype(np.float32) / 4
            frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
            frame.sample_rate = 48_000
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    file.seek(0)
    frames = samples = 0
    with av.open(file, "r") as encoded:
        for frame in encoded.decode():
            if isinstance(frame, av.VideoFrame):
                frames += 1
            elif isinstance(frame, av.AudioFrame):
                samples += frame.samples
    return frames, samples / 48_000


def _ffmpeg(_scope: Scope, _tell: Tell) -> str:
    program = shutil.which("ffmpeg")
    if not program:
        raise AbsentError("not needed: PyAV brings what encodes; only some tests use the program")
    return f"{_output(program, '-version').splitlines()[0].split(' Copyright')[0]} ({program})"


def _output(*command: str) -> str:
    """What a program prints. Raises BrokenError if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    if done.returncode:
        told = (done.stderr or done.stdout).strip().splitlines()
        raise BrokenError(
            f"{command[0]} fails ({told[0] if told else f'exit status {done.returncode}'})",
            "Reinstall it.",
        )
    return done.stdout


# The machine ---------------------------------------------------------------------------------


def _gpu(_scope: Scope, tell: Tell) -> str:
    program = shutil.which("nvidia-smi")
    if not program and not any(Path("/dev").glob("nvidia[0-9]*")):
        raise AbsentError("no NVIDIA card: everything runs on the processor")
    card = "an NVIDIA card"
    if program:
        query = _output(
            program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"
        )
        card = "; ".join(line.strip() for line in query.splitlines()) or card
    if not importlib.util.find_spec("torch"):
        raise AbsentError(
            f"{card}, unused: training and models of your own need PyTorch for it",
            _reinstall("[train]"),
        )
    tell("torch")
    import torch

    if torch.version.cuda is None:
        raise AbsentError(
            f"{card}, unused: PyTorch {torch.__version__} is the build without CUDA",
            "Install PyTorch with CUDA: see pytorch.org/get-started/locally.",
        )
    if not torch.cuda.is_available():
        raise BrokenError(
            f"{card}, but PyTorch {torch.__version__} cannot use it",
            "Install a driver that fits its CUDA, or hide the card with CUDA_VISIBLE_DEVICES=.",
        )
    square = torch.ones(64, 64, device="cuda")
    if float((square @ square).sum()) != 64**3:
        raise BrokenError(f"{card} multiplies wrongly", "Check the card and its driver.")
    return f"{card}; PyTorch {torch.__version__} computes on it"


def _output_disk(scope: Scope, _tell: Tell) -> str:
    return _disk(scope.settings.paths.output)


def _data_disk(scope: Scope, _tell: Tell) -> str:
    paths = scope.settings.paths
    folders = {p.parent for p in (paths.raw_midi, paths.tokenized, paths.metadata, paths.datasets)}
    return "; ".join(_disk(folder) for folder in sorted(folders))


def _disk(folder: Path) -> str:
    """Room and permission of a folder, or of the one it would be made in."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    remedy = "Change its permissions, or the paths in config.yaml."
    if not there.is_dir():
        raise BrokenError(f"{there} is a file, not a folder", "Move it, or change the paths.")
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        raise BrokenError(f"{there} cannot be written ({error.strerror})", remedy) from error
    free, need = shutil.disk_usage(there).free, _BYTES_AT_LEAST + _PACKAGE_S * _BYTES_PER_SECOND
    told = (
        f"{folder} has {free / 1e9:,.1f} GB free; {_PACKAGE_S // 60} minutes of video need up to "
    )
    told += f"{need / 1e9:.2f}"
    if free < need:
        raise BrokenError(told, "Free some space, or change the paths in config.yaml.")
    return told


def _processor(scope: Scope, _tell: Tell) -> str:
    count = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    quota = _first_word("/sys/fs/cgroup/cpu.max")
    period = _words("/sys/fs/cgroup/cpu.max")[1:2]
    told = f"{usable} core{'s' if usable > 1 else ''}"
    if usable < count:
        told += f" of {count}"
    if quota and quota != "max" and period:
        told += f", held to {int(quota) / int(period[0]):.1f} by the container"
    return f"{told}; 1-minute load {os.getloadavg()[0]:.1f}"


def _memory(_scope: Scope, _tell: Tell) -> str:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = None
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    bound = _first_word("/sys/fs/cgroup/memory.max")
    used = _first_word("/sys/fs/cgroup/memory.current")
    held = ""
    if bound and bound != "max" and int(bound) < total:
        total, held = int(bound), " that the container may use"
        left = total - int(used or 0)
        free = left if free is None else min(free, left)
    shown = f"{total / 1e9:.1f} GB{held}"
    shown += f", {free / 1e9:.1f} GB of it free" if free is not None else ""
    if (total if free is None else free) < _PACKAGE_MEMORY:
        raise BrokenError(
            f"{shown}: a package needs up to {_PACKAGE_MEMORY / 1e9:g} GB",
            "Close other programs, or use a larger machine.",
        )
    return shown


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _words(path: str) -> list[str]:
    return " ".join(_lines(path)).split()


def _first_word(path: str) -> str | None:
    return next(iter(_words(path)), None)


# Servers and accounts ------------------------------------------------------------------------


def _database(scope: Scope, tell: Tell) -> str:
    if not scope.database:
        raise AbsentError("none is set: tracks are folders and need none")
    import sqlalchemy as sa
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    try:
        url = sa.make_url(scope.database)
    except (ArgumentError, ValueError) as error:
        raise BrokenError(
            "its address cannot be read",
            "Write it as sqlite:///data/lofi.db or postgresql://user:password@host/name.",
        ) from error
    shown = url.render_as_string(hide_password=True)
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    tell(shown)
    in_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    if in_file:
        _sqlite_file(Path(str(url.database)))
    wait = "connect_timeout" if url.get_backend_name() == "postgresql" else "timeout"
    try:
        engine = sa.create_engine(url, connect_args={wait: _ANSWER_S}, poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1")).one()
            version = ".".join(map(str, connection.dialect.server_version_info or ()))
            if in_file:
                _check_whole(connection, Path(str(url.database)))
            revision = None
            if sa.inspect(connection).has_table("alembic_version"):
                revision = connection.execute(
                    sa.text("SELECT version_num FROM alembic_version")
                ).scalar()
    except (SQLAlchemyError, ImportError) as error:
        raise BrokenError(
            f"{shown}: {_line(getattr(error, 'orig', None) or error)}",
            "See that the database runs and that address, user and password are right.",
        ) from error
    if scope.schema and revision != scope.schema:
        have = f"at revision {revision}" if revision else "not there yet"
        raise BrokenError(
            f"{shown}: its tables are {have}, this version needs {scope.schema}",
            "Migrate the database.",
        )
    tables = f"tables at revision {revision}" if revision else "no tables yet"
    return f"{shown}: {url.get_backend_name()} {version}, {tables}"


def _sqlite_file(path: Path) -> None:
    """Raise unless the file is there and can be written, as can its folder."""
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BrokenError(
            f"{folder} cannot be written, and SQLite keeps its journal beside {path.name}",
            "Change its permissions, or the database's address.",
        )
    if not path.exists():
        raise AbsentError(f"{path} is not there yet: it is made when it is first used")
    if not os.access(path, os.R_OK | os.W_OK):
        raise BrokenError(f"{path} cannot be written", "Change its permissions.")


def _check_whole(connection: Any, path: Path) -> None:
    import sqlalchemy as sa

    if path.stat().st_size > _CHECKED_WHOLE:
        return
    told = connection.execute(sa.text("PRAGMA quick_check(1)")).scalar()
    if told != "ok":
        raise BrokenError(
            f"{path} is damaged ({_line(told)})",
            "Restore it from a backup, or save what can be read with `sqlite3 FILE .recover`.",
        )


def _redis(scope: Scope, tell: Tell) -> str:
    if not scope.redis:
        raise AbsentError("none is set: each process keeps what it caches in memory")
    import redis

    tell("the server")
    try:
        with redis.Redis.from_url(
            scope.redis, socket_connect_timeout=_ANSWER_S, socket_timeout=_ANSWER_S
        ) as server:
            server.ping()
            told: Any = server.info("server")
    except ValueError as error:
        raise BrokenError(
            f"its address cannot be read ({_line(error)})", "Write it as redis://host:6379/0."
        ) from error
    except redis.RedisError as error:
        raise BrokenError(
            _line(error), "See that Redis runs and that address and password are right."
        ) from error
    return f"Redis {told['redis_version']} answers"


def _credentials(scope: Scope, _tell: Tell) -> str:
    path = scope.credentials
    if path is None:
        return _account(scope)
    if not path.exists():
        raise AbsentError(
            f"{path} is not there: nothing is uploaded; listing.json is what you would send"
        )
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        client = held.get("installed") or held.get("web") or held
        complete = all(client.get(name) for name in ("client_id", "client_secret"))
    except (OSError, ValueError, AttributeError) as error:
        # What the parser quotes of the file may be a secret: only the kind of fault is told.
        raise BrokenError(
            f"{path} cannot be read as JSON ({type(error).__name__})",
            "Download the OAuth client again from the Google Cloud console.",
        ) from error
    if not complete:
        raise BrokenError(
            f"{path} holds no OAuth client: client_id or client_secret is missing",
            "Download the OAuth client from the Google Cloud console.",
        )
    if path.stat().st_mode & 0o077:
        raise BrokenError(f"{path} can be read by others on this machine", f"chmod 600 {path}")
    kind = "a channel's token" if client.get("refresh_token") else "an OAuth client, not signed in"
    return f"{path}: {kind}"


def _account(scope: Scope) -> str:
    """The account that is connected, as the database tells it: Google is not asked."""
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import Session

    from lofi.studio._accounts import warning
    from lofi.studio._database import Database
    from lofi.studio._tables import Credential, now

    none = AbsentError("no account is connected: nothing is uploaded; `lofi youtube connect`")
    if not scope.database or _is_missing_file(scope.database):
        raise none
    try:
        with closing(Database(scope.database)) as database, Session(database.engine) as session:
            if not sa.inspect(session.connection()).has_table(Credential.__tablename__):
                raise none
            row = session.get(Credential, "youtube")
    except (SQLAlchemyError, LofiError) as error:
        raise AbsentError("the database does not answer, and it is what knows") from error
    if row is None:
        raise none
    if row.problem:
        cause, _, remedy = row.problem.partition(". ")
        raise BrokenError(f"{row.account}: {cause}", remedy)
    ends = warning(row, now())
    if ends:
        cause, _, remedy = ends.partition(". ")
        raise BrokenError(cause, remedy)
    return f"connected to {row.account}"


def _is_missing_file(url: str) -> bool:
    _, is_sqlite, path = url.partition("sqlite:///")
    return bool(is_sqlite) and not Path(path).exists()


def _line(error: object) -> str:
    """The first line of what a library says."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


Check = Callable[[Scope, Tell], str]

CHECKS: dict[str, Check] = {
    "Python": _python,
    "SQLite": _sqlite,
    "libraries": _libraries,
    "training libraries": _training,
    "shipped model": _shipped_model,
    "model of your own": _own_model,
    "audio files": _audio_files,
    "FluidSynth": _fluidsynth,
    "SoundFonts": _soundfonts,
    "drawing": _drawing,
    "encoders": _encoders,
    "hardware encoders": _hardware_encoders,
    "ffmpeg program": _ffmpeg,
    "GPU": _gpu,
    "output folder": _output_disk,
    "data folder": _data_disk,
    "processor": _processor,
    "memory": _memory,
    "database": _database,
    "Redis": _redis,
    "YouTube credentials": _credentials,
}
