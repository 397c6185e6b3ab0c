"""The work that child processes do, by name; arguments and results are JSON values."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from lofi.brief import BPM_RANGE, InputError, LofiError
from lofi.music import Bounds, Quality, RejectedError
from lofi.studio._commission import Commission, to_plain
from lofi.studio._files import sha256_of, shown_name
from lofi.studio._stages import Report, run_stage
from lofi.studio._workers import Failure, Limits, guarded

_A_DAY_S = 86_400.0


def _stage(arguments: dict[str, Any], report: Report) -> list[dict[str, Any]]:
    """Run the stage `name` of `commission` in `folder`; the name, bytes and sha256 of each file."""
    folder = Path(arguments["folder"])
    wanted = Commission.from_json(arguments["commission"])
    try:
        names = run_stage(arguments["name"], wanted, folder, report)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LofiError(f"the disk of {folder} is full. Free some space.") from error
        raise LofiError(f"{error.filename or folder}: {error.strerror or error}.") from error
    return [
        {"name": n, "bytes": (folder / n).stat().st_size, "sha256": sha256_of(folder / n)}
        for n in names
    ]


def _measure(arguments: dict[str, Any], _report: Report) -> dict[str, Any]:
    """Read the MIDI file `path`: what was repaired, measured and judged, and what it resembles.

    It is compared with the melodies of the shipped model. `bounds`, `quality` and `limits` may
    hold other values than the defaults. Raises InputError with the reason for a file that cannot
    be read, or costs more than the limits allow.
    """
    prepare = partial(
        _measurer,
        Bounds(**arguments.get("bounds", {})),
        Quality(**arguments.get("quality", {})),
    )
    return _from_outside(prepare, arguments)


def _hear(arguments: dict[str, Any], _report: Report) -> dict[str, Any]:
    """Read the MIDI file `path` as what a track could go on from: its outline and its repairs.

    `name` is what it is called, `limits` what reading it may cost. Raises InputError with the
    reason for a file that cannot be gone on from.
    """
    return _from_outside(partial(_hearer, arguments["name"]), arguments)


def _from_outside(
    prepare: Callable[[], Callable[[Path], dict[str, Any]]], arguments: dict[str, Any]
) -> dict[str, Any]:
    """What a function makes of the file `path`, in a process that it may crash."""
    path = Path(arguments["path"])
    name = shown_name(path, path.parent)
    if not path.is_file():
        raise InputError(f"{name} is missing or no file.")
    limits = Limits(**arguments.get("limits", {}))
    # A process further down: this one stays whole whatever the file does to its reader. A busy
    # machine is not the file's fault: how long it may take by the clock is the caller's matter.
    ((_, outcome),) = guarded(prepare, [path], workers=1, limits=limits, clock_s=_A_DAY_S)
    if isinstance(outcome, Failure):
        raise InputError(f"{name}: {outcome.reason}.")
    if "rejected" in outcome:
        raise InputError(f"{name}: {outcome['rejected']}.")
    return outcome


def _measurer(bounds: Bounds, quality: Quality) -> Callable[[Path], dict[str, Any]]:
    """What is large is loaded here, before memory and time are bounded."""
    from lofi.music import open_model, vocabulary
    from lofi.originality import load_library

    vocabulary()
    library = load_library(open_model(None).melodies)
    return partial(_measured, library, bounds, quality)


def _hearer(name: str) -> Callable[[Path], dict[str, Any]]:
    from lofi import music

    music.vocabulary()
    return partial(_heard, name)


def _heard(name: str, path: Path) -> dict[str, Any]:
    from lofi import music

    try:
        source = replace(music.read_source(path), name=name)
    except InputError as error:
        return {"rejected": str(error).removeprefix(f"{path} ").removesuffix(".")}
    except MemoryError:
        raise
    except Exception as error:
        return {"rejected": f"cannot be heard: {error!r}"[:200]}
    return {"outline": to_plain(music.outline(source)), "repairs": list(source.repairs)}


def _measured(library: Any, bounds: Bounds, quality: Quality, path: Path) -> dict[str, Any]:
    from lofi import music
    from lofi.originality import check

    try:
        score, repairs = music.read_midi(path, bounds)
        measured = music.measure(score, music.hear_chords(score))
        judgement = music.judge(measured, quality)
        resembled = check(score, library)
    except RejectedError as error:
        return {"rejected": str(error)}
    except MemoryError:
        raise
    except Exception as error:
        return {"rejected": f"cannot be measured: {error!r}"[:200]}
    return {
        "sha256": sha256_of(path),
        "repairs": repairs,
        "measured": measured.to_dict(),
        "judgement": asdict(judgement),
        "originality": resembled.to_dict(),
    }


_HEARD = Bounds(max_bytes=200_000, max_notes=5_000, max_bars=64)


def _play(arguments: dict[str, Any], report: Report) -> dict[str, float]:
    """Play the MIDI file `path`, a few bars of a model in training, into the FLAC file `out`.

    In the chill mood, as it was written for (`lofi.music._audition`), with the built-in
    instruments. Raises InputError for a file that cannot be read or is no short piece.
    """
    from lofi import music, sound
    from lofi.brief import find_mood

    path, out = Path(arguments["path"]), Path(arguments["out"])
    try:
        score, _ = music.read_midi(path, _HEARD)
    except RejectedError as error:
        raise InputError(f"{path.name} cannot be played: {error}.") from error
    measured = music.measure(score)
    bpm = measured.bpm
    if not BPM_RANGE[0] <= bpm <= BPM_RANGE[1]:
        raise InputError(f"{path.name} cannot be played: {bpm:g} bpm.")
    master = sound.render(
        score,
        bars=measured.bars,
        bpm=bpm,
        bundle=find_mood("chill").bundle,
        seed=1,
        progress=lambda share: report("play", share),
    )
    sound.write_flac(out, master.samples, master.rate, tags={"title": path.stem})
    return {"duration_s": master.samples.shape[1] / master.rate}


def _thumbnail(arguments: dict[str, Any], _report: Report) -> dict[str, Any]:
    """Draw a thumbnail of `title` and `subtitle` to `path`, in a `palette`; how legible it is."""
    from lofi import picture

    path = Path(arguments.pop("path"))
    return asdict(picture.render_thumbnail(path, **arguments))


WORK: dict[str, Callable[[dict[str, Any], Report], Any]] = {
    "stage": _stage,
    "measure": _measure,
    "hear": _hear,
    "play": _play,
    "thumbnail": _thumbnail,
}
