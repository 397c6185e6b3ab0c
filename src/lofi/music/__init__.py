"""Music: reading and judging MIDI, composing by rule, tokens, training, generating.

Public names are loaded when first used, so that asking for help does not load numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lofi.music._analysis import Judgement, Measured, Quality, hear_chords, judge, measure
    from lofi.music._compose import compose, melody_windows
    from lofi.music._course import Checkpoint, Course, Evaluated, read_course
    from lofi.music._dataset import Segments, content_hash, goes_to_validation, write_split
    from lofi.music._engine import SHIPPED, Model, open_model
    from lofi.music._evaluate import (
        ADHERENCE,
        COPIED_NOTES,
        MOOD_FEATURES,
        Estimate,
        MoodClassifier,
        adherence,
        cross_validated,
        distance,
        estimate,
        excerpt,
        half_split,
        hearing,
        mood_features,
        ratio,
        surprise,
        write_untold,
        write_with_chain,
    )
    from lofi.music._generate import Composition, generate
    from lofi.music._markov import Markov
    from lofi.music._midi import (
        Bounds,
        RejectedError,
        labelled_chords,
        labelled_mood,
        midi_bytes,
        read_midi,
    )
    from lofi.music._plan import draw_plan, draw_progression
    from lofi.music._recognise import notes_by_part
    from lofi.music._sample import Sampling
    from lofi.music._source import (
        KEPT,
        Outline,
        Source,
        brief_for,
        outline,
        parts_to_write,
        read_source,
    )
    from lofi.music._statistics import DIVERSITY, FIGURES, Figure, diversity, statistics
    from lofi.music._theory import key_of_chords, read_chords
    from lofi.music._tokens import decode, decode_bars, encode, segments, vocabulary
    from lofi.music._train import (
        ORIGIN_FILE,
        Architecture,
        Finetuning,
        Progress,
        Recipe,
        all_corpora,
        missing_packages,
        processes,
        train,
    )

_HOME = {
    "_analysis": ("Judgement", "Measured", "Quality", "hear_chords", "judge", "measure"),
    "_compose": ("compose", "melody_windows"),
    "_course": ("Checkpoint", "Course", "Evaluated", "read_course"),
    "_dataset": ("Segments", "content_hash", "goes_to_validation", "write_split"),
    "_engine": ("SHIPPED", "Model", "open_model"),
    "_evaluate": (
        *("ADHERENCE", "COPIED_NOTES", "MOOD_FEATURES", "Estimate", "MoodClassifier"),
        *("adherence", "cross_validated", "distance", "estimate", "excerpt", "half_split"),
        *("hearing", "mood_features", "ratio", "surprise", "write_untold", "write_with_chain"),
    ),
    "_generate": ("Composition", "generate"),
    "_markov": ("Markov",),
    "_midi": (
        *("Bounds", "RejectedError", "labelled_chords", "labelled_mood", "midi_bytes"),
        "read_midi",
    ),
    "_plan": ("draw_plan", "draw_progression"),
    "_recognise": ("notes_by_part",),
    "_sample": ("Sampling",),
    "_source": (
        *("KEPT", "Outline", "Source", "brief_for", "outline", "parts_to_write"),
        "read_source",
    ),
    "_statistics": ("DIVERSITY", "FIGURES", "Figure", "diversity", "statistics"),
    "_theory": ("key_of_chords", "read_chords"),
    "_tokens": ("decode", "decode_bars", "encode", "segments", "vocabulary"),
    "_train": (
        *("ORIGIN_FILE", "Architecture", "Finetuning", "Progress", "Recipe", "all_corpora"),
        *("missing_packages", "processes", "train"),
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "ADHERENCE", "COPIED_NOTES", "DIVERSITY", "FIGURES", "KEPT", "MOOD_FEATURES", "ORIGIN_FILE",
    "SHIPPED", "Architecture", "Bounds", "Checkpoint", "Composition", "Course", "Estimate",
    "Evaluated", "Figure", "Finetuning", "Judgement", "Markov", "Measured", "Model",
    "MoodClassifier", "Outline", "Progress", "Quality", "Recipe", "RejectedError", "Sampling",
    "Segments", "Source", "adherence", "all_corpora", "brief_for", "compose", "content_hash",
    "cross_validated", "decode", "decode_bars", "distance", "diversity", "draw_plan",
    "draw_progression", "encode", "estimate", "excerpt", "generate", "goes_to_validation",
    "half_split", "hear_chords", "hearing", "judge", "key_of_chords", "labelled_chords",
    "labelled_mood", "measure", "melody_windows", "midi_bytes", "missing_packages", "mood_features",
    "notes_by_part", "open_model", "outline", "parts_to_write", "processes", "ratio", "read_chords",
    "read_course", "read_midi", "read_source", "segments", "statistics", "surprise", "train",
    "vocabulary", "write_split", "write_untold", "write_with_chain",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
