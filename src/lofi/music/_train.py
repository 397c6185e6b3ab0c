"""Training: GPT-2 on segments, by transformers' Trainer; then the export that generates.

Needs the extra `train`. Checkpoints every N steps; started again, it goes on from the last one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lofi.brief import InputError, LofiError
from lofi.music._bpe import Bpe
from lofi.music._dataset import Augment, Dropout, Segments, Variation
from lofi.music._engine import CARD_FILE, GRAPH_FILE, MERGES_FILE
from lofi.music._tokens import vocabulary


@dataclass(frozen=True, slots=True)
class Architecture:
    """The size of the GPT-2. `vocab_size` counts tokens with their merges, which are learnt."""

    vocab_size: int = 2048
    n_layer: int = 4
    n_embd: int = 256
    n_head: int = 4
    n_positions: int = 1024


@dataclass(frozen=True, slots=True)
class Recipe:
    """How it is trained. One step is one batch.

    The learning rate stays level until the last `decay_steps`: a run may be made longer by asking
    for more steps, and goes on as if it had been planned so.
    """

    steps: int = 4000
    decay_steps: int = 1000
    batch_size: int = 8
    learning_rate: float = 4e-3
    warmup_steps: int = 100
    weight_decay: float = 0.1
    dropout: float = 0.0  # of embeddings and residuals; in attention it halves the speed on CPU
    save_every: int = 250
    eval_every: int = 500
    keep_checkpoints: int = 2
    eval_segments: int = 128
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training run stands. Losses are nats per token."""

    step: int
    steps: int
    loss: float | None
    val_loss: float | None


def train(
    dataset: Path,
    out: Path,
    *,
    architecture: Architecture,
    recipe: Recipe,
    tier: str = "test",
    fresh: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Train on `dataset`/{train,val} into `out` and export; gives the model card.

    `tier` says in the card whether the model may be passed on (`ship`) or is for tests alone.
    Goes on from the newest checkpoint in `out` unless `fresh`. Raises InputError for a data set
    that cannot be used or a checkpoint of another size, LofiError if torch is missing.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise LofiError(
            f"training needs the extra packages ({error.name} is missing): "
            "pip install 'lofi-empire[train]'."
        ) from error
    if architecture.n_embd % architecture.n_head:
        raise InputError(
            f"n_embd = {architecture.n_embd} cannot be shared by n_head = {architecture.n_head}: "
            "choose a multiple."
        )
    vocab = vocabulary()
    context = architecture.n_positions
    splits = {s: Segments(dataset / s, context) for s in ("train", "val")}
    described = json.loads((dataset / "dataset.json").read_text())
    if described["vocabulary_sha256"] != vocab.sha256:
        raise InputError(
            f"{dataset} was made with other tokens than this version writes. "
            "Run `lofi tokenize` and `lofi dataset` again."
        )
    for name, split in splits.items():
        if len(split) == 0:
            raise InputError(
                f"the {name} set in {dataset} is empty. Add more MIDI to data/raw_midi and run "
                "`lofi tokenize` and `lofi dataset` again."
            )

    out.mkdir(parents=True, exist_ok=True)
    bpe = _merges(out / MERGES_FILE, splits["train"], architecture.vocab_size, recipe.seed, fresh)
    config = transformers.GPT2Config(
        vocab_size=len(bpe),
        n_positions=context,
        n_embd=architecture.n_embd,
        n_layer=architecture.n_layer,
        n_head=architecture.n_head,
        resid_pdrop=recipe.dropout,
        embd_pdrop=recipe.dropout,
        attn_pdrop=0.0,
        bos_token_id=vocab.bos,
        eos_token_id=vocab.eos,
        pad_token_id=vocab.pad,
    )
    transformers.set_seed(recipe.seed)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()  # progress is told by the caller
    model = transformers.GPT2LMHeadModel(config)
    checkpoint = None if fresh else _last_checkpoint(out, config)
    cuda = torch.cuda.is_available()
    bf16 = torch.cuda.is_bf16_supported() if cuda else _cpu_has_bf16()
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "runs")
    arguments = transformers.TrainingArguments(
        output_dir=str(out),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="warmup_stable_decay",
        lr_scheduler_kwargs={
            "num_decay_steps": min(recipe.decay_steps, recipe.steps),
            "decay_type": "linear",
            "min_lr_ratio": 0.01,
        },
        warmup_steps=min(recipe.warmup_steps, max(0, recipe.steps - recipe.decay_steps)),
        bf16=bf16,
        use_cpu=not cuda,
        train_sampling_strategy="group_by_length",
        eval_strategy="steps",
        eval_steps=recipe.eval_every,
        save_strategy="steps",
        save_steps=recipe.save_every,
        save_total_limit=recipe.keep_checkpoints,
        logging_steps=10,
        report_to=["tensorboard"],
        seed=recipe.seed,
        remove_unused_columns=False,
        disable_tqdm=True,
        dataloader_num_workers=0,
    )
    eval_set = _Rows(splits["val"], limit=recipe.eval_segments)
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=_Rows(splits["train"], augment=True),
        eval_dataset=eval_set,
        data_collator=_Collator(bpe, context),
        optimizers=(_optimizer(model, recipe), None),
        callbacks=[_report(transformers.TrainerCallback, recipe.steps, progress)],
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainer.save_model(str(out))
    val_loss = float(trainer.evaluate()["eval_loss"])
    card = {
        "format": 1,
        "architecture": {"family": "gpt2", **asdict(architecture), "vocab_size": len(bpe)},
        "base_vocabulary_sha256": vocab.sha256,
        "vocabulary_sha256": bpe.sha256,
        "recipe": {
            **asdict(recipe),
            "control_dropout": asdict(Dropout()),
            "variation": asdict(Variation()),
            "bf16": bf16,
        },
        "tier": tier,
        "training": {
            "steps": trainer.state.global_step,
            "train_segments": len(splits["train"]),
            "train_tokens": int(splits["train"].lengths.sum()),
            "val_segments_evaluated": len(eval_set),
            "val_loss_nats_per_token": round(val_loss, 4),
        },
        "dataset": described,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    export(out, card)
    return card


def export(folder: Path, card: dict[str, Any]) -> None:
    """Write the 8-bit graph and the card beside `model.safetensors` in a model folder."""
    from safetensors.numpy import load_file

    from lofi.music._export import export_onnx
    from lofi.music._tokens import tokenizer

    weights = load_file(folder / "model.safetensors")
    aside = folder / f".{GRAPH_FILE}.part"
    export_onnx(weights, card["architecture"], aside)
    aside.rename(folder / GRAPH_FILE)
    tokenizer().save(folder / "tokenizer.json")
    card["files"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("model.safetensors", GRAPH_FILE)
    }
    aside = folder / f".{CARD_FILE}.part"
    aside.write_text(json.dumps(card, indent=2) + "\n")
    aside.rename(folder / CARD_FILE)


def _optimizer(model: Any, recipe: Recipe) -> Any:
    from lofi.music._muon import Muon

    named = list(model.named_parameters())
    hidden = [p for n, p in named if p.ndim == 2 and ".h." in n]
    others = [p for n, p in named if not (p.ndim == 2 and ".h." in n)]
    return Muon(hidden, others, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


def _merges(path: Path, train: Segments, size: int, seed: int, fresh: bool) -> Bpe:
    """The merges of a run begun earlier, or new ones, learnt from variants of the music."""
    if path.is_file() and not fresh:
        return Bpe.load(path)
    rng = np.random.default_rng(seed)
    augment = Augment(Dropout())
    few = rng.permutation(len(train))[:6000]
    bpe = Bpe.learn((augment(train[int(i)], rng) for i in few), size)
    bpe.save(path)
    return bpe


def _last_checkpoint(out: Path, config: Any) -> Path | None:
    found = [p for p in out.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    if not found:
        return None
    last = max(found, key=lambda p: int(p.name.rsplit("-", 1)[1]))
    stored = json.loads((last / "config.json").read_text())
    for field in ("vocab_size", "n_layer", "n_embd", "n_head", "n_positions"):
        if stored[field] != getattr(config, field):
            raise InputError(
                f"{last} has {field} = {stored[field]}, the settings say {getattr(config, field)}. "
                "Change the settings back, choose another --out, or start over with --fresh."
            )
    return last


def _cpu_has_bf16() -> bool:
    """Whether this CPU multiplies in bfloat16 (AVX-512 BF16 or AMX); elsewhere it is slower."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


class _Rows:
    """The map-style data set that torch reads; `augment` marks rows of the training split."""

    def __init__(
        self, segments: Segments, *, augment: bool = False, limit: int | None = None
    ) -> None:
        self._segments = segments
        self._augment = augment
        count = len(segments) if limit is None else min(limit, len(segments))
        # Evenly spread, so that a limited evaluation sees every corpus.
        self._index = np.linspace(0, len(segments) - 1, count).astype(int)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"input_ids": self._segments[int(self._index[i])], "augment": self._augment}


class _Collator:
    """Augments what is to be, merges, cuts to the context and pads."""

    def __init__(self, bpe: Bpe, context: int) -> None:
        self._bpe = bpe
        self._context = context
        self._augment = Augment(Dropout())
        self._pad = vocabulary().pad

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        rows = []
        for item in items:
            row = item["input_ids"]
            if item["augment"]:
                # Torch's generator is kept in checkpoints: a resumed run draws what it would have.
                rng = np.random.default_rng(int(torch.randint(2**62, (1,))))
                row = self._augment(row, rng)
            rows.append(self._bpe.encode(row)[: self._context])
        # Few distinct lengths: kernels are compiled for each shape of matrix they meet.
        longest = max(len(r) for r in rows)
        longest = min(self._context, -(-longest // 64) * 64)
        ids = np.full((len(rows), longest), self._pad, np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        inputs = torch.from_numpy(ids)
        # Padding stands at the end, where a causal model needs no mask against it.
        return {"input_ids": inputs, "labels": inputs.masked_fill(inputs == self._pad, -100)}


def _report(base: type, steps: int, progress: Callable[[Progress], None] | None) -> Any:
    class Report(base):
        loss: float | None = None
        val_loss: float | None = None

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            self.loss = (logs or {}).get("loss", self.loss)
            self.val_loss = (logs or {}).get("eval_loss", self.val_loss)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if progress:
                progress(Progress(state.global_step, steps, self.loss, self.val_loss))

    return Report()
