"""MIDI files that are broken in the ways wild folders are; all made here."""

from __future__ import annotations

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
        "sysex flood.mid": header() + track((b"\x00\xf0\x04\x01\x02\x03\xf7") * 5000 + END),
    }


def write_hostile_folder(folder: Path) -> list[str]:
    """Write them all, and some with names that must not be trusted; gives the names."""
    folder.mkdir(parents=True, exist_ok=True)
    files = hostile_files()
    files["<script>alert(1)<.mid"] = b"not midi"
    files["\x1b[31mred\x07.mid"] = b"not midi"
    for name, data in files.items():
        (folder / name.replace("/", "_")).write_bytes(data)
    return list(files)
