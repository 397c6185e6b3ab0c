"""The common words of the house. Imports nothing but the standard library."""

from lofi.brief._tables import (
    BUNDLES,
    MOODS,
    PALETTES,
    PARTS,
    TEMPLATES,
    Bundle,
    Mood,
    Part,
    part_of_program,
)
from lofi.brief._words import (
    ALL_KEYS,
    BPM_RANGE,
    DURATION_RANGE_S,
    Brief,
    InputError,
    Key,
    LofiError,
    Plan,
    Section,
    find_mood,
    one_of,
    pitch_class_name,
    subseed,
)

__all__ = [
    "ALL_KEYS", "BPM_RANGE", "BUNDLES", "DURATION_RANGE_S", "MOODS", "PALETTES", "PARTS",
    "TEMPLATES", "Brief", "Bundle", "InputError", "Key", "LofiError", "Mood", "Part", "Plan",
    "Section", "find_mood", "one_of", "part_of_program", "pitch_class_name", "subseed",
]  # fmt: skip
