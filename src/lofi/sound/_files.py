"""Audio files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lofi.brief import InputError, LofiError

# The tags libsndfile can write into a FLAC file.
TAGS = (
    "title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright", "license",
    "software",
)  # fmt: skip


def write_flac(
    path: Path, samples: NDArray[Any], rate: int, *, tags: dict[str, str] | None = None
) -> None:
    """Write float audio (2, n) or (n,) as 24-bit FLAC; what exceeds ±1, full scale, is clipped.

    The file appears under its name only when complete. `tags` may hold any of `TAGS`. Raises
    InputError for another tag, LofiError when the file cannot be written.
    """
    import soundfile

    unknown = sorted(set(tags or {}) - set(TAGS))
    if unknown:
        raise InputError(
            f"FLAC tag {unknown[0]!r} cannot be written. Use any of: {', '.join(TAGS)}."
        )
    planes = np.atleast_2d(samples)
    channels, n = planes.shape
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    block = 1 << 16
    try:
        with soundfile.SoundFile(
            aside, "w", rate, channels, subtype="PCM_24", format="FLAC"
        ) as file:
            for name, text in (tags or {}).items():
                setattr(file, name, text)
            for start in range(0, n, block):
                file.write(planes[:, start : start + block].T)
        aside.replace(path)
    except (OSError, soundfile.SoundFileError) as error:
        raise LofiError(
            f"could not write {str(path)!r}: {error}. "
            "Check that the folder exists and the disk has room."
        ) from error
    finally:
        aside.unlink(missing_ok=True)
