"""The reference melodies: built from works, calibrated against decoys, kept in one small file."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lofi.brief import InputError, subseed
from lofi.originality._index import MelodyTable
from lofi.originality._kept import Kept
from lofi.originality._melody import Melody
from lofi.originality._search import SearchTable

T = TypeVar("T")

_FORMAT = "lofi-melody-library"
_VERSION = 1  # raise it whenever scores change: the thresholds in the file belong to the scoring
_ARRAYS = {
    "header": np.uint8,  # JSON, UTF-8
    "pitches": np.int8,
    "iois": np.uint8,
    "lengths": np.uint32,
    "works": np.uint32,
}
_SMALL_NOTES = 100_000  # up to here an index is made in a tenth of a second, and not kept
_LARGEST_FILE_BYTES = 4 << 30  # unpacked; a small hostile file can claim to hold far more

_DECOYS = 64
_DECOY_NOTES = 1_000  # the skylines of three parts over three minutes
# The chance that a track of decoy length reaches the threshold by accident.
_REVIEW_CHANCE = 1e-3
_BLOCK_CHANCE = 1e-5
# A very small library gives its decoys little to resemble; these hold whatever they score.
_LOWEST_REVIEW_BITS = 30.0
_BLOCK_ABOVE_REVIEW_BITS = 12.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From how many bits a resemblance is worth a review, and from how many it blocks."""

    review_bits: float
    block_bits: float
    decoys: int


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """Reference melodies and their index.

    `names`: one per work; `parts`: one per melody; `work_of`: int64, the work of each melody.
    """

    names: tuple[str, ...]
    parts: tuple[str, ...]
    work_of: NDArray[np.int64]
    search_table: SearchTable
    thresholds: Thresholds

    @property
    def works(self) -> int:
        """How many works there are to resemble."""
        return len(self.names)


@dataclass(frozen=True, slots=True)
class Works:
    """What a library holds, without its melodies: the names of its works, and how many melodies."""

    names: tuple[str, ...]
    melodies: int
    thresholds: Thresholds


def build_library(works: Iterable[tuple[str, list[Melody]]]) -> Library:
    """A library of (name, melodies) pairs; works without a melody are left out.

    Melodies are packed as they come, so `works` may be a generator over thousands of files.
    Ends with the calibration: a second or two, the same figures for the same works.
    """
    names: list[str] = []
    parts: list[str] = []
    work_of: list[int] = []
    lengths: list[int] = []
    pitches = bytearray()
    iois = bytearray()
    for name, lines in works:
        if not lines:
            continue
        for line in lines:
            parts.append(line.part)
            work_of.append(len(names))
            lengths.append(len(line.pitches))
            pitches += line.pitches.astype(np.int8).tobytes()
            iois += line.iois.tobytes()
        names.append(name)
    table = MelodyTable(
        np.frombuffer(bytes(pitches), np.int8),
        np.frombuffer(bytes(iois), np.uint8),
        _starts(np.array(lengths, np.int64)),
    )
    owners = np.array(work_of, np.int64)
    search_table = SearchTable(table)
    search_table.prepare()
    return Library(
        tuple(names), tuple(parts), owners, search_table, _calibrate(search_table, owners)
    )


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _calibrate(search_table: SearchTable, work_of: NDArray[np.int64]) -> Thresholds:
    """Thresholds from what music of the library's own kind scores by accident.

    A decoy is played backwards from library melodies, a track's worth of notes: same intervals
    turned about, same rhythms, another tune. The works it was drawn from do not count: music that
    reads the same both ways would resemble itself. The largest of many chance scores follows a
    Gumbel distribution (Karlin and Altschul, 1990), fitted here by two quantiles, which a few
    stray scores do not disturb.
    """
    scores = []
    table = search_table.table
    for number in range(_DECOYS if len(table.lengths) else 0):
        decoy, drawn = _decoy(table, number)
        sources = set(work_of[drawn].tolist())
        others = (a.bits for a in search_table.search(decoy) if work_of[a.melody] not in sources)
        scores.append(next(others, 0.0))
    if not scores:
        review, block = 0.0, 0.0
    else:
        median, upper = np.quantile(scores, [0.5, 0.85])
        spread = (upper - median) / (_gumbel(0.15) - _gumbel(0.5))
        mode = median - spread * _gumbel(0.5)
        review = mode + spread * _gumbel(_REVIEW_CHANCE)
        block = mode + spread * _gumbel(_BLOCK_CHANCE)
    review = round(max(float(review), _LOWEST_REVIEW_BITS), 1)
    block = round(max(float(block), review + _BLOCK_ABOVE_REVIEW_BITS), 1)
    return Thresholds(review, block, len(scores))


def _gumbel(chance: float) -> float:
    """The standard Gumbel value exceeded with this chance."""
    return float(-np.log(-np.log1p(-chance)))


def _decoy(table: MelodyTable, number: int) -> tuple[Melody, list[int]]:
    """Melodies of the table played backwards, a track of them; and which they were."""
    chance = np.random.default_rng(subseed(0, "decoy", number))
    pitches: list[NDArray[np.int8]] = []
    iois: list[NDArray[np.uint8]] = []
    drawn: list[int] = []
    missing = _DECOY_NOTES
    while missing > 0:
        drawn.append(int(chance.integers(len(table.lengths))))
        begin, end = int(table.starts[drawn[-1]]), int(table.starts[drawn[-1] + 1])
        if end - begin > missing:
            begin += int(chance.integers(end - begin - missing + 1))
            end = begin + missing
        pitches.append(table.pitches[begin:end][::-1])
        # Backwards, the interval before a note becomes the one after it.
        iois.append(np.roll(table.iois[begin:end][::-1], -1))
        missing -= end - begin
    onsets = np.cumsum(np.concatenate(iois), dtype=np.int32)
    return Melody("decoy", np.concatenate(pitches).astype(np.int16), onsets - onsets[0]), drawn


def merge_libraries(first: Library, second: Library) -> Library:
    """One library of the works of two, calibrated anew.

    A work that both have under one name is taken once if it is the same, else twice, the second
    time as "name (2)".
    """
    known = {first.names[w]: lines for w, lines in _works(first).items()}
    names, parts = list(first.names), list(first.parts)
    table, other = first.search_table.table, second.search_table.table
    owners = [first.work_of]
    kept: list[int] = []
    for work, lines in _works(second).items():
        name = second.names[work]
        if known.get(name) == lines:
            continue
        while name in known:
            name = f"{name} (2)"
        known[name] = lines
        melodies = np.flatnonzero(second.work_of == work)
        owners.append(np.full(len(melodies), len(names), np.int64))
        names.append(name)
        parts += [second.parts[m] for m in melodies]
        kept += melodies.tolist()
    spans = [slice(int(other.starts[m]), int(other.starts[m + 1])) for m in kept]
    lengths = np.concatenate([table.lengths, other.lengths[kept]])
    table = MelodyTable(
        np.concatenate([table.pitches, *(other.pitches[s] for s in spans)]),
        np.concatenate([table.iois, *(other.iois[s] for s in spans)]),
        _starts(lengths),
    )
    work_of = np.concatenate(owners)
    search_table = SearchTable(table)
    search_table.prepare()
    return Library(
        tuple(names), tuple(parts), work_of, search_table, _calibrate(search_table, work_of)
    )


def _works(library: Library) -> dict[int, list[tuple[str, bytes, bytes]]]:
    """The melodies of each work."""
    table = library.search_table.table
    found: dict[int, list[tuple[str, bytes, bytes]]] = {}
    for melody, work in enumerate(library.work_of.tolist()):
        span = slice(int(table.starts[melody]), int(table.starts[melody + 1]))
        line = (library.parts[melody], table.pitches[span].tobytes(), table.iois[span].tobytes())
        found.setdefault(work, []).append(line)
    return found


def save_library(library: Library, path: Path) -> None:
    """Write one `.npz`: names, pitches and inter-onset intervals; the index is not stored.

    The same library gives the same bytes. Written aside and renamed, so `path` is never half done.
    """
    table = library.search_table.table
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "names": library.names,
        "parts": library.parts,
        "review_bits": library.thresholds.review_bits,
        "block_bits": library.thresholds.block_bits,
        "decoys": library.thresholds.decoys,
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":"))
    arrays = {
        "header": np.frombuffer(text.encode("utf-8", "replace"), np.uint8),
        "pitches": table.pitches,
        "iois": table.iois,
        "lengths": table.lengths.astype(np.uint32),
        "works": library.work_of.astype(np.uint32),
    }
    path = Path(path)
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def load_library(path: Path) -> Library:
    """Read what `save_library` wrote, with its index. Raises InputError for anything else.

    A file that is read for the first time is indexed: seven seconds for fifteen thousand works. The
    index is kept in the user's cache, and who reads the same file again maps it in a tenth of one.
    """

    def read() -> Library:
        arrays = _read_arrays(Path(path))
        melodies = arrays["lengths"], arrays["pitches"], arrays["iois"]
        return _assemble(arrays, Kept(*melodies) if len(melodies[1]) > _SMALL_NOTES else None)

    return _reading(path, read)


def read_works(path: Path) -> Works:
    """What `save_library` wrote, without its melodies: a hundredth of the work of loading it.

    Raises InputError for anything else.
    """

    def read() -> Works:
        header = _read_header(_read_arrays(Path(path), ("header",))["header"])
        return Works(header.names, len(header.parts), header.thresholds)

    return _reading(path, read)


def read_melodies(path: Path, work: str, part: str) -> tuple[MelodyTable, list[int]]:
    """All melodies of what `save_library` wrote, not indexed, and which are that part of that work.

    Raises InputError for a file that is no library.
    """

    def read() -> tuple[MelodyTable, list[int]]:
        arrays = _read_arrays(Path(path))
        header, owners = _checked(arrays)
        table = MelodyTable(
            arrays["pitches"], arrays["iois"], _starts(arrays["lengths"].astype(np.int64))
        )
        if work not in header.names:
            return table, []
        of_work = np.flatnonzero(owners == header.names.index(work))
        return table, [m for m in of_work.tolist() if header.parts[m] == part]

    return _reading(path, read)


def _reading(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except FileNotFoundError:
        raise InputError(f"no melody library at {path}: build one first.") from None
    except (
        OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, OverflowError,
        NotImplementedError, RecursionError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path} is not a melody library this version can read ({reason}). Build it again."
        ) from error


def _read_arrays(path: Path, wanted: Iterable[str] = tuple(_ARRAYS)) -> dict[str, NDArray]:
    with path.open("rb") as file:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename: info.file_size for info in archive.infolist()}
        if set(members) != {f"{name}.npy" for name in _ARRAYS}:
            raise ValueError("its parts are not those of a melody library")
        if sum(members.values()) > _LARGEST_FILE_BYTES:
            raise ValueError("it claims to be larger than any library")
        file.seek(0)
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in wanted}
    for name, array in arrays.items():
        if array.dtype != _ARRAYS[name] or array.ndim != 1:
            raise ValueError(f"its {name} have the wrong type")
    return arrays


@dataclass(frozen=True, slots=True)
class _Header:
    names: tuple[str, ...]
    parts: tuple[str, ...]
    thresholds: Thresholds


def _read_header(stored: NDArray) -> _Header:
    header = json.loads(stored.tobytes().decode())
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ValueError("its header is not that of a melody library")
    if header["version"] != _VERSION:
        raise ValueError(f"it is of version {header['version']}, this program reads {_VERSION}")
    thresholds = Thresholds(
        float(header["review_bits"]), float(header["block_bits"]), int(header["decoys"])
    )
    if not 0 < thresholds.review_bits < thresholds.block_bits < float("inf"):
        raise ValueError("its thresholds are out of order")
    return _Header(tuple(map(str, header["names"])), tuple(map(str, header["parts"])), thresholds)


def _assemble(arrays: dict[str, NDArray], kept: Kept | None) -> Library:
    """Check that everything fits together, then put it together."""
    header, work_of = _checked(arrays)
    starts = _starts(arrays["lengths"].astype(np.int64))
    search_table = SearchTable(MelodyTable(arrays["pitches"], arrays["iois"], starts))
    search_table.prepare(kept)
    return Library(header.names, header.parts, work_of, search_table, header.thresholds)


def _checked(arrays: dict[str, NDArray]) -> tuple[_Header, NDArray[np.int64]]:
    """The header and the work of each melody. Raises ValueError if the arrays do not fit."""
    header = _read_header(arrays["header"])
    names, parts = header.names, header.parts
    pitches, iois = arrays["pitches"], arrays["iois"]
    lengths, work_of = arrays["lengths"].astype(np.int64), arrays["works"].astype(np.int64)
    sound = (
        len(pitches) == len(iois) == lengths.sum()
        and len(lengths) == len(work_of) == len(parts)
        and np.array_equal(np.unique(work_of), np.arange(len(names)))
        and (not len(pitches) or (pitches.min() >= 0 and iois.min() >= 1 and lengths.min() >= 1))
    )
    if not sound:
        raise ValueError("its tables do not fit together")
    return header, work_of
