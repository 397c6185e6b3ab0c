"""From a brief to a package: all stages in one folder.

The folder is filled under a hidden name and renamed when it is whole.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lofi.brief import Brief, InputError, LofiError
from lofi.music import Composition, Source, brief_for, midi_bytes, open_model
from lofi.studio._commission import commission
from lofi.studio._files import read_json, write_bytes
from lofi.studio._settings import Settings
from lofi.studio._stages import INTERNAL, STAGES, Report, compose_checked, describe, run_stage

# A package is mostly its video: 1080p30 measured at about 0.5 MB a second, doubled for safety.
_BYTES_PER_SECOND = 1_000_000
_BYTES_AT_LEAST = 50_000_000


@dataclass(frozen=True, slots=True)
class Package:
    """A finished package: its folder and what `track.json` says."""

    path: Path
    track: dict[str, Any]


def make(
    brief: Brief,
    settings: Settings,
    *,
    model_path: Path | None = None,
    soundfont: Path | None = None,
    keep_stems: bool = False,
    pictures: bool = True,
    take: int = 0,
    out: Path | None = None,
    report: Report | None = None,
) -> Package:
    """Write the whole package of a brief into a folder of `out`.

    What the brief leaves open is drawn by its seed. Without `pictures` it holds score and sound
    alone, and the folder's name ends in `-sound`: it never takes a whole package's place. `take` is
    which draw of name and words is wanted, as `provenance.json` tells of a track of the studio.
    `report` gets (stage, fraction done). Raises
    InputError for a brief, model or SoundFont that cannot be used, LofiError when the disk or a
    stage fails; then nothing is left behind.
    """
    wanted = commission(
        brief, settings, model_path=model_path, soundfont=soundfont, keep_stems=keep_stems
    )
    wanted = replace(wanted, take=take)
    assert wanted.brief.duration_s
    folder = out or settings.paths.output
    tell = report or (lambda _stage, _fraction: None)
    with writing_into(folder, wanted.brief.duration_s):
        aside = Path(tempfile.mkdtemp(prefix=f".{wanted.track_id}.", dir=folder))
        try:
            aside.chmod(0o755)
            for name, stage in STAGES.items():
                if pictures or stage.lane == "compute":
                    run_stage(name, wanted, aside, tell)
            if not pictures:
                describe(wanted, aside)
            shutil.rmtree(aside / INTERNAL)
            track = read_json(aside / "track.json")
            return Package(_settle(aside, folder / track["id"]), track)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def write_score(
    brief: Brief,
    settings: Settings,
    *,
    model_path: Path | None,
    out: Path,
    source: Source | None = None,
    keep: tuple[str, ...] | None = None,
    report: Report | None = None,
) -> Composition:
    """Write only the MIDI file of a brief to `out`.

    It goes on from `source`, or varies it where parts to `keep` are named: see `generate`.
    """
    brief = brief_for(source, brief, vary=keep is not None) if source else brief.settled()
    model = open_model(model_path)
    tell = report or (lambda _stage, _fraction: None)
    with writing_into(out.parent, 0.0):
        composition = compose_checked(
            brief, settings.sampling, settings.generation, model, tell, source=source, keep=keep
        )
        write_bytes(out, midi_bytes(composition.score, composition.plan, brief.mood))
    return composition


@contextmanager
def writing_into(folder: Path, duration_s: float) -> Iterator[None]:
    """See that `folder` can be written and has room; turn disk errors into sentences."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "no permission", str(folder))
        need = _BYTES_AT_LEAST + int(duration_s * _BYTES_PER_SECOND) if duration_s else 1_000_000
        free = shutil.disk_usage(folder).free
        if free < need:
            raise LofiError(
                f"the disk of {folder} has {free / 1e6:,.0f} MB free, this needs up to "
                f"{need / 1e6:,.0f} MB. Free some space or choose another --out."
            )
        yield
    except FileExistsError as error:
        raise InputError(f"{folder} is a file, not a folder. Choose another --out.") from error
    except PermissionError as error:
        raise LofiError(
            f"no permission to write {error.filename or folder}. Choose another --out or change "
            "its permissions."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LofiError(
                f"the disk of {folder} is full. Free some space or choose another --out; nothing "
                "was left behind."
            ) from error
        raise LofiError(f"{error.filename or folder}: {error.strerror or error}.") from error


def _settle(aside: Path, final: Path) -> Path:
    """Give a whole folder its final name, in place of an earlier one of the same track."""
    old = aside.with_name(f"{aside.name}.old")
    if final.exists():
        final.rename(old)
    aside.rename(final)
    shutil.rmtree(old, ignore_errors=True)
    return final
