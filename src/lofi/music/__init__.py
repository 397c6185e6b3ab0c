"""Music: reading and judging MIDI, composing by rule, tokens, training, generating.

Public names are loaded when first used, so that asking for help does not load numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lofi.music._analysis import Judgement, Measured, Quality, hear_chords, judge, measure
    from lofi.music._compose import compose, melody_windows
    from lofi.music._dataset import content_hash, goes_to_validation, write_split
    from lofi.music._engine import SHIPPED, Model, open_model
    from lofi.music._generate import Composition, generate
    from lofi.music._midi import Bounds, RejectedError, labelled_chords, midi_bytes, read_midi
    from lofi.music._plan import draw_plan, draw_progression
    from lofi.music._recognise import notes_by_part
    from lofi.music._sample import Sampling
    from lofi.music._statistics import DIVERSITY, FIGURES, Figure, diversity, statistics
    from lofi.music._tokens import decode, decode_bars, encode, segments, vocabulary
    from lofi.music._train import (
        Architecture,
        Finetuning,
        Progress,
        Recipe,
        all_corpora,
        processes,
        train,
    )

_HOME = {
    "_analysis": ("Judgement", "Measured", "Quality", "hear_chords", "judge", "measure"),
    "_compose": ("compose", "melody_windows"),
    "_dataset": ("content_hash", "goes_to_validation", "write_split"),
    "_engine": ("SHIPPED", "Model", "open_model"),
    "_generate": ("Composition", "generate"),
    "_midi": ("Bounds", "RejectedError", "labelled_chords", "midi_bytes", "read_midi"),
    "_plan": ("draw_plan", "draw_progression"),
    "_recognise": ("notes_by_part",),
    "_sample": ("Sampling",),
    "_statistics": ("DIVERSITY", "FIGURES", "Figure", "diversity", "statistics"),
    "_tokens": ("decode", "decode_bars", "encode", "segments", "vocabulary"),
    "_train": (
        "Architecture",
        "Finetuning",
        "Progress",
        "Recipe",
        "all_corpora",
        "processes",
        "train",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "DIVERSITY", "FIGURES", "SHIPPED", "Architecture", "Bounds", "Composition", "Figure",
    "Finetuning", "Judgement", "Measured", "Model", "Progress", "Quality", "Recipe",
    "RejectedError", "Sampling", "all_corpora", "compose", "content_hash", "decode",
    "decode_bars", "diversity", "draw_plan", "draw_progression", "encode", "generate",
    "goes_to_validation", "hear_chords", "judge", "labelled_chords", "measure",
    "melody_windows", "midi_bytes", "notes_by_part", "open_model", "processes", "read_midi",
    "segments", "statistics", "train", "vocabulary", "write_split",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
