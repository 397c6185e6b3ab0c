"""What the weights of a training run play as they stand: the same eight bars at every evaluation.

The brief, the chords and the seed never change, so that two samples differ by the weights alone.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import symusic

from lofi.brief import Key, Plan, Section, find_mood
from lofi.music._bpe import Bpe
from lofi.music._engine import CARD_FILE, GRAPH_FILE, MERGES_FILE, open_model
from lofi.music._export import export_onnx
from lofi.music._sample import Sampling
from lofi.music._tokens import vocabulary
from lofi.music._writer import Order, Writer, score_of

_PARTS = ("drums", "bass", "keys", "lead")
_CHORDS = ("Am9", "D7", "Gmaj9", "Cmaj7") * 2  # one a bar
_CANDIDATES = 4  # figures are their mean: one sample says little of a model
_SEED = 1


def audition_plan() -> Plan:
    """Eight bars of chill in G major, everyone at a normal pace."""
    chords = tuple(symbol for chord in _CHORDS for symbol in (chord, chord))
    section = Section("A", 0, len(_CHORDS), _PARTS, chords)
    return Plan(78.0, Key.parse("G major"), 0.58, (section,), dict.fromkeys(_PARTS, 2))


def audition(
    weights: dict[str, np.ndarray], arch: dict[str, Any], bpe: Bpe
) -> tuple[symusic.Score, dict[str, float]]:
    """The best of a few samples as a score, and the mean figures of all (see `_rate.rate`).

    `weights` are those of a GPT-2, named as in transformers. They take the way of every model,
    through the 8-bit graph: what is heard is what an export at this step would play.
    """
    plan = audition_plan()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_onnx(weights, arch, folder / GRAPH_FILE)
        bpe.save(folder / MERGES_FILE)
        card = {
            "architecture": arch,
            "base_vocabulary_sha256": vocabulary().sha256,
            "vocabulary_sha256": bpe.sha256,
            "files": {GRAPH_FILE: hashlib.sha256((folder / GRAPH_FILE).read_bytes()).hexdigest()},
        }
        (folder / CARD_FILE).write_text(json.dumps(card))
        writer = Writer(
            plan,
            find_mood("chill").bundle,
            open_model(folder),
            Sampling(),
            seed=_SEED,
            best_of=_CANDIDATES,
            threads=1,
        )
        (((_, notes),),) = writer.write([Order(plan.sections[0], "audition")])
    ratings: Any = writer.choices[0]["ratings"]
    figures = {k: float(np.mean([r[k] for r in ratings])) for k in ratings[0]}
    return score_of(notes, plan.bpm), figures
