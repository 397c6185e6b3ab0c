"""The work that child processes do, by name; arguments and results are JSON values."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from lofi.brief import InputError, LofiError
from lofi.music import Bounds, Quality, RejectedError
from lofi.studio._commission import Commission
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
    path = Path(arguments["path"])
    name = shown_name(path, path.parent)
    if not path.is_file():
        raise InputError(f"{name} is missing or no file.")
    prepare = partial(
        _measurer,
        Bounds(**arguments.get("bounds", {})),
        Quality(**arguments.get("quality", {})),
    )
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


def _thumbnail(arguments: dict[str, Any], _report: Report) -> dict[str, Any]:
    """Draw a thumbnail of `title` and `subtitle` to `path`, in a `palette`; how legible it is."""
    from lofi import picture

    path = Path(arguments.pop("path"))
    return asdict(picture.render_thumbnail(path, **arguments))


WORK: dict[str, Callable[[dict[str, Any], Report], Any]] = {
    "stage": _stage,
    "measure": _measure,
    "thumbnail": _thumbnail,
}
