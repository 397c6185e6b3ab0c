"""MIDI files that are broken in the ways wild folders are; all made here."""

from __future__ import annotations

import os
import struct
from pathlib import Path


def header(division: int = 480, tracks: int = 1, size: int = 6) -> bytes:
    return b"MThd" + struct.pack(">IHHH", size, 1, tracks, division)


def track(events: bytes) -> bytes:
    return b"MTrk" + struct.pack(">I", len(events)) + events


def varint(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | (value & 0x7F))
    return bytes(reversed(out))


END = b"\x00\xff\x2f\x00"
SCALE = b"".join(
    b"\x00\x90" + bytes([60 + i % 12, 80]) + varint(240) + b"\x80" + bytes([60 + i % 12, 0])
    for i in range(64)
)


def hostile_files() -> dict[str, bytes]:
    """Name -> content; none of them can be learned from."""
    return {
        "empty.mid": b"",
        "page.mid": b"<html><body>404 Not Found</body></html>",
        "header only.mid": header(),
        "short header.mid": b"MThd\x00\x00\x00\x06\x00\x01",
        "division zero.mid": header(division=0) + track(SCALE + END),
        "smpte.mid": header(division=0xE728) + track(SCALE + END),
        "truncated.mid": (header() + track(SCALE + END))[:60],
        "no notes.mid": header() + track(b"\x00\xff\x51\x03\x07\xa1\x20" + END),
        "no note offs.mid": header() + track(b"\x00\x90\x3c\x50" * 40 + END),
        "tick overflow.mid": header()
        + track((b"\x00\x90\x3c\x50" + varint(0x0FFFFFFF) + b"\x80\x3c\x00") * 40 + END),
        "bomb.mid": header(division=1)
        + track(b"\x00\x90\x3c\x50" + varint(0x0FFFFFFF) + b"\x80\x3c\x00" + END),
        "tempo zero.mid": header() + track(b"\x00\xff\x51\x03\x00\x00\x00" + SCALE + END),
        "waltz.mid": header() + track(b"\x00\xff\x58\x04\x03\x02\x18\x08" + SCALE + END),
        "wrong track count.mid": header(tracks=40) + track(END),
        "ten byte header.mid": header(size=10) + b"\0\0\0\0" + track(END),
        "riff of nothing.mid": b"RIFF\x04\x00\x00\x00RMID",
        "riff with a wrong size.rmi": b"RIFF\xff\xff\xff\xffRMIDdata\xff\xff\xff\xffMThd",
        "tempo flood.mid": header() + track(b"\x00\xff\x51\x03\x00\x00\x01" * 20_000 + SCALE + END),
        "not one note in range.mid": header()
        + track((b"\x00\x99\x05\x50\x78\x89\x05\x00") * 200 + END),
        "note wall.mid": header() + track(b"\x00\x90\x3c\x50\x01\x80\x3c\x00" * 240_000 + END),
        "sysex flood.mid": header() + track((b"\x00\xf0\x04\x01\x02\x03\xf7") * 5000 + END),
    }


HOSTILE_NAMES = [
    b"<script>alert(1)<.mid",
    b"\x1b[31mred\x07.mid",
    b"line\nbreak.mid",
    b"\xff\xfe no text.mid",
    "\u202egnp.mid".encode(),
    b"..mid",
    b"-rf.mid",
    b"back\\slash|pipe`tick`.mid",
    b"%s%n{0}.mid",
    b"a" * 200 + b".mid",
]


def write_hostile_folder(folder: Path) -> int:
    """Write them all, and some whose names must not be trusted; gives how many."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in hostile_files().items():
        (folder / name).write_bytes(data)
    for name in HOSTILE_NAMES:
        (folder / os.fsdecode(name)).write_bytes(b"not midi")
    (folder / "..." / "...").mkdir(parents=True)
    (folder / "..." / "..." / "deep.MID").write_bytes(b"MThd")
    (folder / "folder.mid").mkdir()
    (folder / "dangling.mid").symlink_to("nowhere")
    return len(hostile_files()) + len(HOSTILE_NAMES) + 1
