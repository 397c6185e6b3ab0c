"""How fast the model writes, side by side with transformers' `generate` on the same weights.

    python benchmarks/generation.py [--model FOLDER] [--dataset FOLDER] [--cpu] [--write]

FOLDER is what `lofi train` wrote, with model.safetensors; without it the weights are random, in the
shipped size. A larger one stands beside it. All ways of one batch take turns, each for the same
number of tokens, and the median counts; ours includes the grammar and reads its prompt token by
token within the time. --write puts the table into benchmarks/README.md. --cpu takes processor
seconds, for a machine that does other work; with one thread and nothing else they are the same.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from package import machine, write_between_marks

from lofi.brief import PARTS, Brief, Key
from lofi.music import Sampling, compose, encode, generate, measure, open_model, segments
from lofi.music._bpe import Bpe
from lofi.music._dataset import Segments
from lofi.music._engine import Engine, OnnxEngine
from lofi.music._export import gpt2_graph
from lofi.music._grammar import Stretch
from lofi.music._sample import Job, sample
from lofi.music._tokens import header, vocabulary
from lofi.music._train import export

SHIPPED = {"n_layer": 4, "n_embd": 256, "n_head": 4, "n_positions": 1024}
LARGER = {"n_layer": 6, "n_embd": 384, "n_head": 6, "n_positions": 1024}
VOCABULARY = 2048
TRACK = {"bpm": 80.0, "bars": 60}  # three minutes
SAMPLING = Sampling()


@dataclass(frozen=True)
class Subject:
    """A model folder and its fp32 graph."""

    folder: Path
    arch: dict[str, int]
    bpe: Bpe
    trained: bool

    @property
    def name(self) -> str:
        kind = "trained" if self.trained else "random"
        return f"{self.arch['n_layer']} × {self.arch['n_embd']}, {len(self.bpe):,} tokens, {kind}"


class _Enough(Exception):  # noqa: N818
    pass


class _Limited:
    """An engine that stops after so many steps; `spent` are the seconds within them by `clock`."""

    def __init__(self, engine: Engine, steps: int, clock: Callable[[], float]) -> None:
        self._engine, self.batch, self._left = engine, engine.batch, steps
        self._clock, self.spent = clock, 0.0

    def step(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        if not self._left:
            raise _Enough
        self._left -= 1
        start = self._clock()
        logits = self._engine.step(ids, places)
        self.spent += self._clock() - start
        return logits


def music(dataset: Path | None, count: int) -> list[np.ndarray]:
    """Sequences of base ids: of the validation set, or of pieces by the rule composer."""
    if dataset:
        found = Segments(dataset / "val", 1 << 20)
        return [found[int(i)] for i in np.linspace(0, len(found) - 1, count)]
    made = []
    for seed in range(count):
        score, _ = compose(Brief(seed=9000 + seed).settled(), bars=16)
        made += [np.array(s) for s in segments(encode(score), measure(score))]
    return made[:: len(made) // count][:count]


def random_model(folder: Path, arch: dict[str, int], bpe: Bpe) -> Subject:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    logging.disable_progress_bar()
    torch.manual_seed(1)
    model = GPT2LMHeadModel(GPT2Config(**_config(arch, bpe)))
    model.save_pretrained(folder)
    bpe.save(folder / "merges.json")
    described = {"corpora": {}, "sha256": {}}
    sizes = {"family": "gpt2", "vocab_size": len(bpe), **arch}
    hashes = {
        "vocabulary_sha256": bpe.sha256,
        "base_vocabulary_sha256": vocabulary().sha256,
    }
    export(folder, {"architecture": sizes, "dataset": described, **hashes})
    return Subject(folder, {**arch, "vocab_size": len(bpe)}, bpe, trained=False)


def _config(arch: dict[str, int], bpe: Bpe) -> dict[str, Any]:
    sizes = {k: arch[k] for k in ("n_layer", "n_embd", "n_head", "n_positions")}
    return {"vocab_size": len(bpe), "bos_token_id": 1, "eos_token_id": 2, **sizes}


def fp32_graph(subject: Subject, folder: Path) -> Path:
    import onnx
    from safetensors.numpy import load_file

    weights = load_file(subject.folder / "model.safetensors")
    path = folder / "fp32.onnx"
    onnx.save(gpt2_graph(weights, subject.arch), str(path))
    return path


def reference(subject: Subject) -> Any:
    """The weights in transformers."""
    import torch
    from safetensors.torch import load_file
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(**_config(subject.arch, subject.bpe))).eval()
    state = load_file(subject.folder / "model.safetensors")
    state["lm_head.weight"] = state["transformer.wte.weight"]
    with torch.no_grad():
        left = model.load_state_dict(state, strict=False)
    assert not left.unexpected_keys
    return model


def prompt() -> list[int]:
    levels = dict.fromkeys(PARTS, 2)
    controls = header(
        bundle="chill", key=Key(9, "minor"), bpm=80, swing=0.58, section="A", bars=8, levels=levels
    )
    return [vocabulary().bos, *controls]


def ours(
    engine: Engine, subject: Subject, tokens: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """`tokens` new ones of every row; far more bars are asked for than fit.

    Gives the seconds that the model took; all else is the grammar and drawing.
    """
    jobs = [Job(prompt(), Stretch(64, tuple(PARTS), Key(9, "minor")), i) for i in range(64)]
    told = subject.bpe.encode(np.array(prompt()))
    limited = _Limited(engine, tokens + len(told) - 1, clock)
    try:
        sample(limited, jobs, bpe=subject.bpe, sampling=SAMPLING)
    except _Enough:
        return limited.spent
    raise AssertionError("the music ended before the benchmark")


def theirs(model: Any, subject: Subject, tokens: int) -> None:
    import torch

    ids = torch.from_numpy(subject.bpe.encode(np.array(prompt())))[None]
    model.generation_config.eos_token_id = None
    with torch.inference_mode():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=SAMPLING.temperature,
            top_k=SAMPLING.top_k,
            top_p=SAMPLING.top_p,
            max_new_tokens=tokens,
            use_cache=True,
            pad_token_id=0,
        )
    assert out.shape[1] == ids.shape[1] + tokens


def take_turns(
    ways: dict[str, Callable[[], object]], repeats: int, clock: Callable[[], float]
) -> dict[str, float]:
    """Median seconds of each, after one run that does not count."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = clock()
            way()
            if turn:
                times[name].append(clock() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def shares_us(
    engine: Engine, subject: Subject, tokens: int, repeats: int, clock: Callable[[], float]
) -> tuple[float, float]:
    """Microseconds of a new token: in the model, and in the grammar and drawing; medians."""
    shares: list[tuple[float, float]] = []
    for _ in range(repeats):
        start = clock()
        model = ours(engine, subject, tokens, clock)
        shares.append((model, clock() - start - model))
    each = 1e6 / (tokens * engine.batch)
    return statistics.median(s[0] for s in shares) * each, statistics.median(
        s[1] for s in shares
    ) * each


def read_bandwidth(size: int, threads: int) -> float:
    """Bytes a second that `threads` threads read together, each its share of `size` bytes."""
    parts = [np.ones(size // 4 // threads, np.float32) for _ in range(threads)]
    rounds = max(1, (1 << 28) // size)

    def read(part: np.ndarray) -> None:
        for _ in range(rounds):
            part.max()

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(7):
            start = time.perf_counter()
            list(pool.map(read, parts))
            best = max(best, rounds * size / (time.perf_counter() - start))
    return best


def last_cache_bytes() -> int:
    """The size of the largest cache of the processor; 0 if unknown."""
    sizes = [
        p.read_text().strip() for p in Path("/sys/devices/system/cpu/cpu0/cache").glob("*/size")
    ]
    return max((int(s[:-1]) * 1024 for s in sizes if s.endswith("K")), default=0)


def matrix_bytes(graph: Path) -> int:
    """What one token reads of an 8-bit graph: the matrices and their scales."""
    import onnx

    model = onnx.load(str(graph)).graph
    used = {n for node in model.node if node.op_type == "MatMulNBits" for n in node.input}
    return sum(len(i.raw_data) for i in model.initializer if i.name in used)


def logits_of(graph: Path, subject: Subject, rows: list[np.ndarray]) -> list[np.ndarray]:
    longest = max(map(len, rows))
    padded = np.stack([np.pad(r, (0, longest - len(r))) for r in rows])
    engine = OnnxEngine(graph, subject.arch, len(rows), 1)
    told = np.stack(
        [engine.step(padded[:, t], np.full(len(rows), t)).copy() for t in range(longest)], axis=1
    )
    return [t[: len(r)] for t, r in zip(told, rows, strict=True)]


def accuracy(subject: Subject, fp32: Path, model: Any, music: list[np.ndarray]) -> dict[str, float]:
    import torch

    rows = [subject.bpe.encode(m)[: subject.arch["n_positions"]] for m in music]
    exact = logits_of(fp32, subject, rows)
    small = logits_of(subject.folder / "model.onnx", subject, rows)
    with torch.inference_mode():
        known = [model(torch.from_numpy(r)[None]).logits[0].numpy() for r in rows]
    p, q = (_log_softmax(np.concatenate(x).astype(np.float64)) for x in (exact, small))
    divergence = (np.exp(p) * (p - q)).sum(1)
    return {
        "error": max(float(np.abs(a - b).max()) for a, b in zip(exact, known, strict=True)),
        "mean": float(divergence.mean()),
        "p99": float(np.percentile(divergence, 99)),
        "tokens": len(divergence),
    }


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(1, keepdims=True)
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def track_s(subject: Subject, threads: int, repeats: int) -> tuple[float, float]:
    """Wall and processor seconds of a three-minute score, best of 4; medians, warm."""
    model = open_model(subject.folder)
    spent: list[tuple[float, float]] = []
    for seed in range(repeats + 1):
        brief = Brief(seed=7 + seed, mood="chill", bpm=TRACK["bpm"]).settled()
        start, cpu = time.perf_counter(), time.process_time()
        bars = int(TRACK["bars"])
        generate(brief, model, bars=bars, sampling=SAMPLING, best_of=4, threads=threads)
        if seed:
            spent.append((time.perf_counter() - start, time.process_time() - cpu))
    return statistics.median(s[0] for s in spent), statistics.median(s[1] for s in spent)


def measured(
    subject: Subject, music: list[np.ndarray], asked: argparse.Namespace, cores: list[int]
) -> dict[str, str]:
    """The table's column for one model."""
    import torch

    aside = Path(tempfile.mkdtemp())
    try:
        fp32 = fp32_graph(subject, aside)
        int8 = subject.folder / "model.onnx"
        plain = reference(subject)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated, but what the specification names
            quantised = torch.ao.quantization.quantize_dynamic(
                reference(subject), {torch.nn.Linear}, dtype=torch.qint8
            )
        kinds = [type(m) for m in quantised.modules()]
        done = sum("quantized" in k.__module__ and k.__name__ == "Linear" for k in kinds)
        left = sum(k.__name__ == "Conv1D" for k in kinds)
        torch.set_num_threads(asked.threads)
        engines = {
            (g, b): OnnxEngine(g, subject.arch, b, asked.threads)
            for g, b in ((fp32, 1), (int8, 1), (int8, 4), (int8, 16))
        }
        n = asked.tokens
        clock = time.process_time if asked.cpu else time.perf_counter
        spent = take_turns(
            {
                "hf": lambda: theirs(plain, subject, n),
                "hf8": lambda: theirs(quantised, subject, n),
                "fp32": lambda: ours(engines[fp32, 1], subject, n),
                "int8": lambda: ours(engines[int8, 1], subject, n),
            },
            asked.repeats,
            clock,
        )
        many = take_turns(
            {str(b): lambda b=b: ours(engines[int8, b], subject, n) for b in (4, 16)},
            asked.repeats,
            clock,
        )
        told = {k: f"{n / t:,.0f} ({spent['hf'] / t:.1f} ×)" for k, t in spent.items()}
        rows = {
            "transformers `generate`, fp32, tokens/s": told["hf"],
            "the same after `quantize_dynamic` of `Linear`": told["hf8"],
            "– modules it quantised / `Conv1D` it left": f"{done} / {left}",
            "our graph, fp32": told["fp32"],
            "**our graph, 8 bit**": f"**{told['int8']}**",
        }
        rows |= {
            f"the same, batch {b}, all rows together": f"{int(b) * n / t:,.0f}"
            for b, t in many.items()
        }
        for b in (1, 4, 16):
            model, rest = shares_us(engines[int8, b], subject, n, asked.repeats, clock)
            rows[f"a token of batch {b}: model + grammar and drawing, µs"] = (
                f"{model:,.0f} + {rest:,.0f}"
            )
        weights = matrix_bytes(int8)
        cache = 8 * subject.arch["n_layer"] * subject.arch["n_embd"] * (n // 2)
        near = read_bandwidth(weights + cache, asked.threads)
        far = read_bandwidth(1 << 28, asked.threads)
        used = (weights + cache) * n / spent["int8"]
        fits = weights + cache < last_cache_bytes()
        rows |= {
            "read per token: matrices + cache, MB": f"{weights / 1e6:.1f} + {cache / 1e6:.1f}",
            "memory read, GB/s: main / a block of that size": f"{far / 1e9:.1f} / {near / 1e9:.1f}",
            "share of the bound by main memory": f"{used / far:.0%}"
            + (" (not binding: all of it fits the processor's cache)" if fits else ""),
            "share of the bound by a block of that size": f"{used / near:.0%}",
        }
        for threads in cores:
            wall, cpu = track_s(subject, threads, asked.repeats)
            rows[f"3-minute score, best of 4, {threads} thread{'s' * (threads > 1)}"] = (
                f"{wall:.1f} s ({cpu:.1f} s CPU)"
            )
        told_by = accuracy(subject, fp32, plain, music)
        rows |= {
            "fp32 graph against transformers: largest error of a logit": f"{told_by['error']:.1e}",
            "KL(fp32 ‖ 8 bit), nats per token: mean / 99th percentile": (
                f"{told_by['mean']:.1e} / {told_by['p99']:.1e}"
            ),
        }
        return rows
    finally:
        shutil.rmtree(aside)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=min(2, cores or 1))
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        if asked.model:
            card = json.loads((asked.model / "lofi.json").read_text())
            bpe = open_model(asked.model).bpe
            first = Subject(asked.model, card["architecture"], bpe, trained=True)
        else:
            bpe = Bpe.learn(music(asked.dataset, 60), VOCABULARY)
            first = random_model(folder / "shipped", SHIPPED, bpe)
        played = music(asked.dataset, 8)
        subjects = [first, random_model(folder / "larger", LARGER, bpe)]
        counts = sorted({1, min(2, cores or 1)})
        columns = [measured(s, played, asked, counts) for s in subjects]
    finally:
        shutil.rmtree(folder)
    table = [
        "| batch 1 unless said | " + " | ".join(s.name for s in subjects) + " |",
        "|---" * (len(subjects) + 1) + "|",
    ]
    table += [f"| {row} | " + " | ".join(c[row] for c in columns) + " |" for row in columns[0]]
    notes = (
        f"Machine: {machine()}. {asked.threads} thread{'s' * (asked.threads > 1)} where none are "
        f"named, {asked.tokens} tokens, median of {asked.repeats} turns"
        f"{', processor time' * asked.cpu}. "
        "Random weights write on until the context is full, so a score costs them the most."
    )
    text = f"{notes}\n\n" + "\n".join(table) + "\n"
    print(text)
    if asked.write:
        write_between_marks("generation", text)


if __name__ == "__main__":
    main()
