"""A model folder with random weights: everything about generating but the taste."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from lofi.brief import Brief

ARCHITECTURE = {"n_layer": 2, "n_embd": 128, "n_head": 2, "n_positions": 1024}


def random_weights(arch: dict[str, int], vocab_size: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    d = arch["n_embd"]

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.08, shape).astype(np.float32)

    weights = {"wte.weight": normal(vocab_size, d), "wpe.weight": normal(arch["n_positions"], d)}
    norms = ["ln_f"]
    for i in range(arch["n_layer"]):
        norms += [f"h.{i}.ln_1", f"h.{i}.ln_2"]
        for name, shape in (
            ("attn.c_attn", (d, 3 * d)),
            ("attn.c_proj", (d, d)),
            ("mlp.c_fc", (d, 4 * d)),
            ("mlp.c_proj", (4 * d, d)),
        ):
            weights[f"h.{i}.{name}.weight"] = normal(*shape)
            weights[f"h.{i}.{name}.bias"] = normal(shape[1])
    for name in norms:
        weights[f"{name}.weight"] = 1 + normal(d)
        weights[f"{name}.bias"] = normal(d)
    return {f"transformer.{k}": v for k, v in weights.items()}


def write_untrained_model(folder: Path) -> Path:
    from lofi.music import compose, encode, measure, segments, vocabulary
    from lofi.music._bpe import Bpe
    from lofi.music._export import export_onnx

    folder.mkdir(parents=True, exist_ok=True)
    scores = [compose(Brief(seed=s).settled(), bars=16)[0] for s in range(6)]
    music = [np.array(s) for score in scores for s in segments(encode(score), measure(score))]
    bpe = Bpe.learn(music, 800)
    bpe.save(folder / "merges.json")
    export_onnx(random_weights(ARCHITECTURE, len(bpe)), ARCHITECTURE, folder / "model.onnx")
    card = {
        "architecture": {"family": "gpt2", "vocab_size": len(bpe), **ARCHITECTURE},
        "base_vocabulary_sha256": vocabulary().sha256,
        "vocabulary_sha256": bpe.sha256,
        "files": {"model.onnx": hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()},
        "dataset": {"corpora": {}, "sha256": {}},
    }
    (folder / "lofi.json").write_text(json.dumps(card))
    return folder
