"""What a finished track's files show on a closer look: its wave, its notes, pieces of its stems,
and the works it resembles, note by note.

Each is read out of the files when it is first asked for, by few at a time, and kept under the hash
of what it was read from. The answers are JSON that is compressed already: a browser takes it so.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from lofi import __version__
from lofi.brief import PALETTES, InputError, one_of
from lofi.studio import _jobs, _tracks
from lofi.studio._commission import Commission
from lofi.studio._errors import NotFoundError
from lofi.studio._judge import BusyError, scratch
from lofi.studio._storage import Storage
from lofi.studio._studio import Studio

PEAKS = 2_000  # places of a wave, however long it is: more than a screen has
PIECE_S = (0.1, 30.0)
_COVER_WIDTH = 480  # a tile is 320 wide at most, on screens of one pixel and a half to a dot

_KEEP_S = 24 * 3600.0
_AT_ONCE = 2  # each decodes audio or holds a table of melodies
_PATIENCE_S = 30.0
_BLOCK = 1 << 18  # bytes of a file that are read at a time
_OTHER_WIDTH = 640
_DOCUMENT_BYTES = 1 << 20
_VERSION = 1  # raise it when what is told changes its shape

_turns = threading.BoundedSemaphore(_AT_ONCE)


@dataclass(frozen=True, slots=True)
class Detail:
    """JSON, gzipped; `tag` changes when it does."""

    tag: str
    gzipped: bytes


@contextmanager
def _turn() -> Iterator[None]:
    """Wait for a turn. Raises BusyError if others take too long."""
    if not _turns.acquire(timeout=_PATIENCE_S):
        raise BusyError("others are looking into large files just now. Try again in a minute.")
    try:
        yield
    finally:
        _turns.release()


def _kept(studio: Studio, name: str, make: Callable[[], Any]) -> Detail:
    """What `make` tells, kept under `name`."""

    def told() -> str:
        with _turn():
            text = json.dumps(make(), separators=(",", ":"), ensure_ascii=False)
        return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()

    key = f"{name}/{_VERSION}"
    found = studio.cache.get_or_make("tracks", key, told, ttl_s=_KEEP_S)
    return Detail(key, base64.b64decode(found))


def _files(studio: Studio, track_id: str) -> dict[str, str]:
    """The hashes of the files that a track has now, by name."""
    with studio.database.read() as session:
        track = _tracks.find(session, track_id)
        return {a.name: a.sha256 for a in _tracks.files(session, track.job_id)}


def _sha256(files: dict[str, str], name: str, what: str) -> str:
    if name not in files:
        raise InputError(f"this track has no {name}: {what} cannot be shown. Make it again.")
    return files[name]


# The wave --------------------------------------------------------------------------------------


def peaks(studio: Studio, track_id: str) -> Detail:
    """The wave of the master: `duration_s`, and its `peak` and `rms` at up to PEAKS places.

    0 to 255, where 255 is full scale; of both channels together. Raises NotFoundError, InputError
    for a track without a master, BusyError.
    """
    sha256 = _sha256(_files(studio, track_id), "master.flac", "its wave")
    return _kept(studio, f"peaks/{sha256}", lambda: _peaks(studio.storage, sha256))


def _peaks(storage: Storage, sha256: str) -> dict[str, Any]:
    import numpy as np

    with _opened(storage, sha256) as sound:
        frames, rate = len(sound), sound.samplerate
        step = max(1, -(-frames // PEAKS))
        highest, power = [], []
        # In pieces of whole places: an hour takes no more memory than a minute.
        for block in sound.blocks(step * max(1, _BLOCK // step), dtype="float32", always_2d=True):
            starts = np.arange(0, len(block), step)
            counts = np.diff(starts, append=len(block)) * block.shape[1]
            highest.append(np.maximum.reduceat(np.abs(block).max(axis=1), starts))
            power.append(np.add.reduceat((block**2).sum(axis=1), starts) / counts)
    told = {"peak": np.concatenate(highest), "rms": np.sqrt(np.concatenate(power))}
    return {
        "duration_s": round(frames / rate, 3),
        **{n: np.clip(np.rint(255 * v), 0, 255).astype(int).tolist() for n, v in told.items()},
    }


class _Stored(io.RawIOBase):
    """A blob as a file: read where it is, wherever that is."""

    def __init__(self, storage: Storage, sha256: str) -> None:
        self._storage, self._sha256 = storage, sha256
        self._size, self._at = storage.size(sha256) or 0, 0
        if not self._size:
            storage.read(sha256)  # says that it is missing

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = b"".join(self._storage.read(self._sha256, self._at, self._at + len(buffer)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


@contextmanager
def _opened(storage: Storage, sha256: str) -> Iterator[Any]:
    """An audio file of the storage, to be read in pieces."""
    import soundfile

    with (
        io.BufferedReader(_Stored(storage, sha256), _BLOCK) as file,
        soundfile.SoundFile(cast(Any, file)) as sound,
    ):
        yield sound


def piece(studio: Studio, track_id: str, name: str, start_s: float, length_s: float) -> bytes:
    """A piece of an audio file of a track as FLAC, 16 bits, cut at samples and at its end.

    Put one after the other, pieces are the whole without a seam. Raises NotFoundError, InputError
    for a file that is no audio, and for a piece that is none.
    """
    import soundfile

    if not start_s >= 0 or not PIECE_S[0] <= length_s <= PIECE_S[1]:
        raise InputError(
            f"{length_s:g} s from {start_s:g} s is no piece. Ask for {PIECE_S[0]:g} to "
            f"{PIECE_S[1]:g} s, from 0 on."
        )
    with studio.database.read() as session:
        track = _tracks.find(session, track_id)
        file = _tracks.file(session, track.job_id, name)
    if file.kind != "audio":
        raise InputError(f"{name} is no audio. Ask for master.flac or one of the stems.")
    with _turn(), _opened(studio.storage, file.sha256) as sound:
        rate = sound.samplerate
        first = round(start_s * rate)
        if first >= len(sound):
            raise InputError(
                f"{name} lasts {len(sound) / rate:.3f} s: nothing begins at {start_s:g} s."
            )
        sound.seek(first)
        samples = sound.read(round((start_s + length_s) * rate) - first, dtype="float32")
        out = io.BytesIO()
        soundfile.write(out, samples, rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()


# What its files say -----------------------------------------------------------------------------


def document(studio: Studio, job_id: str, name: str) -> dict[str, Any] | None:
    """A small JSON file that a job has made, such as `provenance.json`; None if it has none."""
    with studio.database.read() as session:
        try:
            file = _tracks.file(session, job_id, name)
        except NotFoundError:
            return None
    if file.size > _DOCUMENT_BYTES:
        return None

    def read() -> Any:
        return json.loads(b"".join(studio.storage.read(file.sha256)))

    return studio.cache.get_or_make("tracks", f"document/{file.sha256}", read, ttl_s=_KEEP_S)


# Its picture, small ----------------------------------------------------------------------------


def cover(studio: Studio, track_id: str) -> tuple[str, bytes]:
    """The thumbnail as a small JPEG for lists, and the hash of the whole one.

    Raises NotFoundError for a track or a thumbnail that is not there.
    """
    from lofi.picture import shrink

    with studio.database.read() as session:
        track = _tracks.find(session, track_id)
        sha256 = _tracks.file(session, track.job_id, "thumbnail.jpg").sha256

    def small() -> bytes:
        return shrink(b"".join(studio.storage.read(sha256)), _COVER_WIDTH)

    return sha256, _kept_bytes(studio, f"cover/{sha256}", small)


def other_cover(studio: Studio, track_id: str, palette: str, seed: int) -> tuple[str, bytes]:
    """What the thumbnail would be like in another palette, or of another room; nothing is kept.

    A JPEG, 640 pixels wide, and a tag for it. Raises NotFoundError, InputError for an unknown
    palette, LofiError where no such picture would be legible, BusyError.
    """
    from lofi.picture import render_thumbnail, shrink

    palette = one_of(palette, PALETTES, "palette")
    with studio.database.read() as session:
        track = _tracks.find(session, track_id)
        title, mood = track.title, track.mood

    def draw() -> bytes:
        with _turn(), scratch(studio.folder / "scratch") as folder:
            render_thumbnail(
                folder / "cover.jpg",
                palette=palette,
                title=title,
                subtitle=f"{mood} lofi",
                seed=seed,
            )
            return shrink((folder / "cover.jpg").read_bytes(), _OTHER_WIDTH)

    told = json.dumps([__version__, title, mood, palette, seed])
    tag = hashlib.sha256(told.encode()).hexdigest()
    return tag, _kept_bytes(studio, f"other/{tag}", draw)


def _kept_bytes(studio: Studio, key: str, make: Callable[[], bytes]) -> bytes:
    def told() -> str:
        return base64.b64encode(make()).decode()

    return base64.b64decode(studio.cache.get_or_make("tracks", key, told, ttl_s=_KEEP_S))


# The notes -------------------------------------------------------------------------------------


def timeline(studio: Studio, track_id: str) -> Detail:
    """What is heard when: `Timeline.to_dict`, but for a note being [pitch, velocity, onset_s,
    duration_s, written_s], seconds to the millisecond; and `bpm`, and the `stems` there are.

    Raises NotFoundError, InputError for a track of another version, BusyError.
    """
    files = _files(studio, track_id)
    hashes = {n: _sha256(files, n, "its notes") for n in ("track.mid", "track.json")}
    return _kept(
        studio,
        f"timeline/{hashes['track.json']}",
        lambda: _timeline(studio, hashes) | {"stems": _stems(files)},
    )


def _stems(files: dict[str, str]) -> list[str]:
    names = (n for n in files if n.startswith("stems/") and n.endswith(".flac"))
    return [n.removeprefix("stems/").removesuffix(".flac") for n in names]


def _timeline(studio: Studio, hashes: dict[str, str]) -> dict[str, Any]:
    from lofi.studio._files import read_json
    from lofi.studio._timeline import read_timeline

    with scratch(studio.folder / "scratch") as folder:
        for name, sha256 in hashes.items():
            studio.storage.fetch(sha256, folder / name)
        told = read_timeline(folder).to_dict()
        bpm = float(read_json(folder / "track.json")["plan"]["bpm"])
    del told["melody"]  # it is among the notes of its part
    told["notes"] = {part: [_brief_note(n) for n in notes] for part, notes in told["notes"].items()}
    return _to_ms(told) | {"bpm": bpm}


def _brief_note(note: dict[str, Any]) -> list[Any]:
    return [note[n] for n in ("pitch", "velocity", "onset_s", "duration_s", "written_s")]


def _to_ms(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {name: _to_ms(inner) for name, inner in value.items()}
    return [_to_ms(inner) for inner in value] if isinstance(value, list) else value


# What it resembles -----------------------------------------------------------------------------


def resemblances(studio: Studio, track_id: str) -> Detail:
    """The report of originality, and with each match its two lines drawn: `drawn`, or None.

    `undrawn` says why nothing is drawn: the model, with whose melodies the track was compared, is
    another one by now, or gone. Raises NotFoundError, InputError, BusyError.
    """
    files = _files(studio, track_id)
    report = _sha256(files, "originality.json", "what it resembles")
    score = _sha256(files, "track.mid", "what it resembles")
    with studio.database.read() as session:
        track = _tracks.find(session, track_id)
        made = _jobs.find(session, track.job_id).commission
    model = str(made.get("model_sha256", ""))
    return _kept(
        studio,
        f"resemblances/{report}/{score}/{model}",
        lambda: _resemblances(studio, report, score, made),
    )


def _resemblances(
    studio: Studio, report_sha256: str, score_sha256: str, made: dict[str, Any]
) -> dict[str, Any]:
    import symusic

    from lofi.originality import draw_match

    report = json.loads(b"".join(studio.storage.read(report_sha256)))
    score = symusic.Score.from_midi(b"".join(studio.storage.read(score_sha256)))
    drawn, undrawn = {}, None
    try:
        library = Commission.from_json(made).open_model().melodies
        drawn = {i: draw_match(score, m, library) for i, m in enumerate(report["matches"])}
    except InputError as error:
        undrawn = str(error)
    for i, match in enumerate(report["matches"]):
        match["drawn"] = found.to_dict() if (found := drawn.get(i)) else None
    return report | {"undrawn": undrawn}
