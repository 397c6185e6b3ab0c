"""What a score resembles: melodies, a library of reference works, a report."""

from lofi.originality._check import Match, Report, check
from lofi.originality._drawn import Drawn, DrawnNote, draw_match
from lofi.originality._library import (
    Library,
    Thresholds,
    Works,
    build_library,
    load_library,
    merge_libraries,
    read_works,
    save_library,
)
from lofi.originality._melody import Melody, melodies
from lofi.originality._twins import fingerprint, group_twins

__all__ = [
    "Drawn", "DrawnNote", "Library", "Match", "Melody", "Report", "Thresholds", "Works",
    "build_library", "check", "draw_match", "fingerprint", "group_twins", "load_library",
    "melodies", "merge_libraries", "read_works", "save_library",
]  # fmt: skip
