"""The common words of the house. Imports nothing but the standard library."""

from lofi.brief._tables import (
    BUNDLES,
    DENSITIES,
    MOODS,
    PALETTES,
    PARTS,
    SECTIONS,
    SWINGS,
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
    DURATION_S,
    SWING_RANGE,
    TAIL_S,
    Brief,
    Form,
    InputError,
    Key,
    LofiError,
    Plan,
    Section,
    find_mood,
    fit_bars,
    form_bars,
    one_of,
    pitch_class_name,
    read_duration,
    read_form,
    read_parts,
    read_swing,
    subseed,
)

__all__ = [
    "ALL_KEYS", "BPM_RANGE", "BUNDLES", "DENSITIES", "DURATION_RANGE_S", "DURATION_S", "MOODS",
    "PALETTES", "PARTS", "SECTIONS", "SWINGS", "SWING_RANGE", "TAIL_S", "TEMPLATES", "Brief",
    "Bundle", "Form", "InputError", "Key", "LofiError", "Mood", "Part", "Plan", "Section",
    "find_mood", "fit_bars", "form_bars", "one_of", "part_of_program", "pitch_class_name",
    "read_duration", "read_form", "read_parts", "read_swing", "subseed",
]  # fmt: skip
