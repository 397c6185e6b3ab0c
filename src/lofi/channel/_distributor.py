"""What a music distributor asks to be told of a release, as one table of columns.

No two distributors take the same sheet, so these are the fields that DDEX's Electronic Release
Notification asks of a sound recording, under names that people use; most forms are filled by
copying from it. `ai` follows DDEX's disclosure of generated content (2025), which distributors now
pass on to the services.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from lofi.brief import InputError

COLUMNS = {
    "track_number": "place on the release, from 1",
    "file": "the audio in this folder: WAV, 24 bit, 44.1 kHz, stereo",
    "title": "as it will be shown",
    "artist": "the main artist",
    "album": "title of the release",
    "isrc": "the recording's code (ISO 3901); left empty, most distributors assign one",
    "upc": "the release's code; left empty, the distributor assigns one",
    "release_date": "YYYY-MM-DD",
    "duration": "m:ss",
    "genre": "by the distributor's list; lo-fi is usually a subgenre",
    "subgenre": "",
    "language": "zxx: no linguistic content (ISO 639-2)",
    "explicit": "no: there are no words",
    "instrumental": "yes",
    "bpm": "measured from the score",
    "key": "measured from the score",
    "label": "",
    "p_line": "who owns the recording",
    "c_line": "who owns the release",
    "ai": "what was made by a program",
    "cover": "3000 x 3000 JPEG in this folder",
}
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_UPC = re.compile(r"[0-9]{12,13}")
MOST_ISRC = 100_000  # designations of a year


@dataclass(frozen=True, slots=True)
class Sheet:
    """What holds for a whole release. `isrc`: that of its first track; the others count on."""

    artist: str
    album: str
    release_date: date
    label: str = ""
    isrc: str = ""
    upc: str = ""


def read_isrc(text: str) -> str:
    """An ISRC without its hyphens. Raises InputError for what is none."""
    plain = text.replace("-", "").replace(" ", "").upper()
    if not _ISRC.fullmatch(plain):
        raise InputError(
            f"{text!r} is no ISRC: two letters, three letters or digits, two digits of the year, "
            "five digits. Such as QZ-ABC-26-00001."
        )
    return plain


def read_upc(text: str) -> str:
    """A UPC or EAN whose check digit is right. Raises InputError for another (GS1's rule)."""
    plain = text.replace("-", "").replace(" ", "")
    if _UPC.fullmatch(plain):
        digits = [int(d) for d in plain.zfill(13)]
        if sum(d * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10 == 0:
            return plain
    raise InputError(f"{text!r} is no UPC or EAN: 12 or 13 digits, the last of which checks them.")


def next_isrc(first: str, place: int) -> str:
    """The ISRC `place` after the first. Raises InputError where the year's codes end."""
    if not first:
        return ""
    number = int(first[-5:]) + place
    if number >= MOST_ISRC:
        raise InputError(f"there is no ISRC {place} after {first}: a year has {MOST_ISRC:,} codes.")
    return f"{first[:-5]}{number:05}"


def sheet_csv(sheet: Sheet, tracks: Sequence[Mapping[str, Any]]) -> str:
    """The sheet as CSV. A track: file, title, duration_s, bpm, key, cover."""
    told = io.StringIO()
    rows = csv.DictWriter(told, COLUMNS, lineterminator="\r\n")
    rows.writeheader()
    for place, track in enumerate(tracks):
        minutes, seconds = divmod(round(track["duration_s"]), 60)
        owner = f"{sheet.release_date.year} {sheet.label or sheet.artist}"
        rows.writerow(
            {
                "track_number": place + 1,
                "file": track["file"],
                "title": _cell(track["title"]),
                "artist": _cell(sheet.artist),
                "album": _cell(sheet.album),
                "isrc": next_isrc(sheet.isrc, place),
                "upc": sheet.upc,
                "release_date": sheet.release_date.isoformat(),
                "duration": f"{minutes}:{seconds:02}",
                "genre": "Electronic",
                "subgenre": "Lo-fi",
                "language": "zxx",
                "explicit": "no",
                "instrumental": "yes",
                "bpm": f"{track['bpm']:.2f}".rstrip("0").rstrip("."),
                "key": track["key"],
                "label": _cell(sheet.label),
                "p_line": _cell(owner),
                "c_line": _cell(owner),
                "ai": "composition, performance and artwork generated",
                "cover": track["cover"],
            }
        )
    return told.getvalue()


def _cell(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
