"""Training: GPT-2 on segments, by transformers' Trainer; then the export that generates.

Needs the extra `train`. Checkpoints every N steps; started again, it goes on from the last one.
Under `torchrun` all processes call `train` alike: the first one writes, the others compute.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lofi.brief import InputError, LofiError
from lofi.music._bpe import Bpe
from lofi.music._course import LOG_FILE
from lofi.music._dataset import Augment, Dropout, Segments, Variation
from lofi.music._engine import CARD_FILE, GRAPH_FILE, MERGES_FILE, WEIGHTS_FILE, Model
from lofi.music._tokens import vocabulary

if TYPE_CHECKING:
    import symusic

    Draw = Callable[[symusic.Score, Path], None]

ORIGIN_FILE = "origin.json"  # which model a run in this folder started from
_MOST_READERS = 12  # processes that feed a graphics card
_PACKAGES = ("accelerate", "onnx", "onnx_ir", "safetensors", "tensorboard", "torch", "transformers")


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
    """How it is trained. One step is one batch on each device.

    The learning rate stays level until the last `decay_steps`: a run may be made longer by asking
    for more steps, and goes on as if it had been planned so. When `patience` evaluations in a row
    bring no better validation loss, the level stretch ends there: the decay, in which much of the
    loss is won, begins at once, and the run ends with it.
    """

    steps: int = 2500
    decay_steps: int = 800
    batch_size: int = 12  # segments on each device
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    weight_decay: float = 0.1
    dropout: float = 0.0  # of embeddings and residuals; in attention it halves the speed on CPU
    save_every: int = 250
    eval_every: int = 500
    patience: int = 5  # evaluations; 0: never stop early
    keep_checkpoints: int = 2  # the last ones; the best one is kept beside them
    eval_segments: int = 128
    samples: bool = True  # write a few bars at every evaluation
    seed: int = 1

    @property
    def decay(self) -> int:
        """Steps in which the learning rate falls."""
        return min(self.decay_steps, self.steps)

    @property
    def warmup(self) -> int:
        """Steps in which it rises."""
        return min(self.warmup_steps, self.steps - self.decay)

    def course(self, evaluations: Sequence[tuple[int, float]]) -> tuple[int, int]:
        """Where the learning rate begins to fall, and the last step.

        `evaluations` are (step, validation loss) so far: told by them alone, a resumed run decides
        as one that was never stopped.
        """
        planned = self.steps - self.decay
        best, waited = math.inf, 0
        for step, loss in evaluations:
            if step >= planned:
                break
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if self.patience and waited >= self.patience:
                return step, step + self.decay
        return planned, self.steps


@dataclass(frozen=True, slots=True)
class Finetuning:
    """What changes in the recipe for a model that has learnt music already."""

    learning_rate: float = 1.5e-3
    epochs: float = 8  # how often it reads each segment

    def recipe(self, base: Recipe, segments: int, steps: int | None = None) -> Recipe:
        """The recipe for so many training segments; half of it with a falling learning rate."""
        read = base.batch_size * processes()[1]
        total = steps or max(40, math.ceil(self.epochs * segments / read))
        often = max(10, math.ceil(total / 10))
        return replace(
            base,
            steps=total,
            decay_steps=math.ceil(total / 2),
            learning_rate=self.learning_rate,
            warmup_steps=min(base.warmup_steps, total // 10),
            save_every=min(base.save_every, often),
            eval_every=min(base.eval_every, often),
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training run stands. Losses are nats per token."""

    step: int
    steps: int
    loss: float | None
    val_loss: float | None
    val_bits_per_note: float | None
    steps_per_s: float

    @property
    def left_s(self) -> float:
        """How long it will take, at the pace so far."""
        return (self.steps - self.step) / max(1e-9, self.steps_per_s)


def processes() -> tuple[int, int]:
    """The rank of this process and how many train together, as torchrun says it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def _readers() -> int:
    """How many processes prepare segments beside the one that trains."""
    usable = getattr(os, "sched_getaffinity", None)
    cores = len(usable(0)) if usable else os.cpu_count() or 1
    return max(1, min(_MOST_READERS, cores // processes()[1] - 1))


def missing_packages() -> list[str]:
    """The packages of the extra `train` that are not installed. Imports none of them."""
    return [name for name in _PACKAGES if importlib.util.find_spec(name) is None]


def train(
    dataset: Path,
    out: Path,
    *,
    architecture: Architecture,
    recipe: Recipe,
    base: Model | None = None,
    tier: str = "test",
    fresh: bool = False,
    progress: Callable[[Progress], None] | None = None,
    draw: Draw | None = None,
    stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Train on `dataset`/{train,val} into `out` and export the best weights; gives the model card.

    With `base` it goes on from that model's weights and keeps its architecture and merges. `tier`
    says in the card whether the model may be passed on (`ship`) or is for tests alone. Goes on from
    the newest checkpoint in `out` unless `fresh`, which removes what is there. `draw` makes a
    picture of a sample. `stop` is asked after each step: once it says yes, a checkpoint is written
    and KeyboardInterrupt raised, so that no step is lost. Raises InputError for a data set that
    cannot be used, a checkpoint of another size or origin, LofiError if torch is missing.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise LofiError(
            f"training needs the extra packages ({error.name} is missing): "
            "pip install 'lofi-empire[train]'."
        ) from error
    from lofi.music._audition import audition
    from lofi.music._trainer import Conductor, Trainer, from_first, optimizer, precision

    if base:
        known = Architecture.__slots__
        architecture = Architecture(**{n: base.card["architecture"][n] for n in known})
        if base.path.resolve() == out.resolve():
            raise InputError(
                f"{out} is the model to start from: its files would be overwritten. "
                "Choose another --out."
            )
    if architecture.n_embd % architecture.n_head:
        raise InputError(
            f"n_embd = {architecture.n_embd} cannot be shared by n_head = {architecture.n_head}: "
            "choose a multiple."
        )
    vocab = vocabulary()
    context = architecture.n_positions
    splits, described = _open(dataset, context)

    out.mkdir(parents=True, exist_ok=True)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()  # progress is told by the caller
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(out / "runs")
    cuda = torch.cuda.is_available()
    numbers = precision()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # readers are processes of their own
    # From here on the processes of torchrun know each other.
    arguments = transformers.TrainingArguments(
        output_dir=str(out),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        max_grad_norm=1.0,
        bf16=numbers == "bf16",
        fp16=numbers == "fp16",
        use_cpu=not cuda,
        ddp_backend="gloo" if processes()[1] > 1 and not cuda else None,
        eval_strategy="steps",
        eval_steps=recipe.eval_every,
        save_strategy="steps",
        save_steps=recipe.save_every,
        save_total_limit=recipe.keep_checkpoints,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        logging_steps=10,
        report_to=["tensorboard"],
        seed=recipe.seed,
        remove_unused_columns=False,
        disable_tqdm=True,
        # A graphics card reads faster than one processor varies, merges and pads.
        dataloader_num_workers=_readers() if cuda else 0,
        dataloader_persistent_workers=cuda,
    )
    arguments.device  # noqa: B018 (joins the processes)
    bpe: Bpe = from_first(lambda: _begin(out, base, splits["train"], architecture, recipe, fresh))
    config = transformers.GPT2Config(
        vocab_size=len(bpe),
        n_positions=context,
        n_embd=architecture.n_embd,
        n_layer=architecture.n_layer,
        n_head=architecture.n_head,
        resid_pdrop=recipe.dropout,
        embd_pdrop=recipe.dropout,
        attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",  # GPT-2's own, as one kernel instead of eight
        bos_token_id=vocab.bos,
        eos_token_id=vocab.eos,
        pad_token_id=vocab.pad,
    )
    transformers.set_seed(recipe.seed)
    model = transformers.GPT2LMHeadModel(config)
    if base:
        weights = {n: torch.from_numpy(w) for n, w in read_weights(base).items()}
        left, _ = model.load_state_dict(weights, strict=False)
        if set(left) - {"lm_head.weight"}:  # which is the embedding
            raise InputError(f"{base.path} lacks weights of a GPT-2: {', '.join(left)}.")
    checkpoint: Path | None = from_first(lambda: _last_checkpoint(out, config))

    # Evenly spread, so that a limited evaluation sees every corpus.
    val = splits["val"]
    chosen = np.linspace(0, len(val) - 1, min(recipe.eval_segments, len(val))).astype(int)
    arch = {"family": "gpt2", **asdict(architecture), "vocab_size": len(bpe)}
    play = partial(audition, arch=arch, bpe=bpe) if recipe.samples else None
    conductor = Conductor(recipe, out, play, draw, progress, stop)
    moved = optimizer(model, recipe)
    trainer = Trainer(
        train=splits["train"],
        val=[val[int(i)] for i in chosen],
        bpe=bpe,
        recipe=recipe,
        model=model,
        args=arguments,
        optimizers=(moved, torch.optim.lr_scheduler.LambdaLR(moved, conductor.level)),
        callbacks=[conductor],
    )
    conductor.trainer = trainer
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    state = transformers.TrainerState()
    if checkpoint:
        state = state.load_from_json(str(checkpoint / "trainer_state.json"))
    if checkpoint and state.global_step >= recipe.course(evaluations(state.log_history))[1]:
        trainer.state = state  # it had come to its end
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if conductor.stopped:
            raise KeyboardInterrupt
    state = trainer.state
    decay_from, _ = recipe.course(evaluations(state.log_history))
    best = from_first(lambda: _best(state, out))
    card = {
        "format": 1,
        "architecture": arch,
        "base_vocabulary_sha256": vocab.sha256,
        "vocabulary_sha256": bpe.sha256,
        "recipe": {
            **asdict(recipe),
            "control_dropout": asdict(Dropout()),
            "variation": asdict(Variation()),
            "precision": numbers,
            "processes": processes()[1],
        },
        "tier": tier,
        "training": {
            "steps": state.global_step,
            "best_step": best["step"],
            "stopped_early": decay_from < recipe.steps - recipe.decay,
            "decay_from_step": decay_from,
            "train_segments": len(splits["train"]),
            "train_tokens": int(splits["train"].lengths.sum()),
            "val_segments_evaluated": len(chosen),
            "val_loss_nats_per_token": round(best["eval_loss"], 4),
            "val_bits_per_note": round(best["eval_bits_per_note"], 3),
        },
        "dataset": described,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    if base:
        card["fine_tuned_from"] = _origin(base) | {
            n: base.card.get(n) for n in ("tier", "training", "dataset", "fine_tuned_from")
        }
        card["dataset"] = described | {"corpora": all_corpora(base, described["corpora"])}
    if processes()[0] == 0:
        for name in (WEIGHTS_FILE, "config.json", "training_args.bin"):
            shutil.copyfile(out / f"checkpoint-{best['step']}" / name, out / name)
        export(out, card)
    if processes()[1] > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
    return card


def evaluations(log: Sequence[dict[str, Any]]) -> list[tuple[int, float]]:
    """(step, validation loss) of each evaluation in a log of the Trainer."""
    return [(e["step"], e["eval_loss"]) for e in log if "eval_loss" in e]


def _best(state: Any, out: Path) -> dict[str, Any]:
    """The evaluation with the lowest loss whose weights are there."""
    told = [e for e in state.log_history if "eval_bits_per_note" in e]
    there = [e for e in told if (out / f"checkpoint-{e['step']}" / WEIGHTS_FILE).is_file()]
    return min(there, key=lambda e: e["eval_loss"])


def _open(dataset: Path, context: int) -> tuple[dict[str, Segments], dict[str, Any]]:
    """The splits and the description of a data set that can be trained on."""
    splits = {s: Segments(dataset / s, context) for s in ("train", "val")}
    described = json.loads((dataset / "dataset.json").read_text())
    if described["vocabulary_sha256"] != vocabulary().sha256:
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
    return splits, described


def export(folder: Path, card: dict[str, Any]) -> None:
    """Write the 8-bit graph and the card beside `model.safetensors` in a model folder."""
    from safetensors.numpy import load_file

    from lofi.music._export import export_onnx
    from lofi.music._tokens import tokenizer

    weights = load_file(folder / WEIGHTS_FILE)
    aside = folder / f".{GRAPH_FILE}.part"
    export_onnx(weights, card["architecture"], aside)
    aside.rename(folder / GRAPH_FILE)
    tokenizer().save(folder / "tokenizer.json")
    card["files"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in (WEIGHTS_FILE, GRAPH_FILE)
    }
    aside = folder / f".{CARD_FILE}.part"
    aside.write_text(json.dumps(card, indent=2) + "\n")
    aside.rename(folder / CARD_FILE)


def read_weights(model: Model) -> dict[str, np.ndarray]:
    """The fp32 weights of a model, named as in transformers.

    A model that is passed on has its 8-bit graph alone: its weights are read back from there.
    """
    if (model.path / WEIGHTS_FILE).is_file():
        from safetensors.numpy import load_file

        return load_file(model.path / WEIGHTS_FILE)
    from lofi.music._export import import_onnx

    return import_onnx(model.path / GRAPH_FILE)


def all_corpora(base: Model, corpora: dict[str, Any]) -> dict[str, Any]:
    """What a model has read that was trained on `base` and then on `corpora`, by name."""
    merged = dict(base.card["dataset"].get("corpora", {}))
    for name, corpus in corpora.items():
        same = merged.get(name, corpus) == corpus
        merged[name if same else f"{name} (fine-tuning)"] = corpus
    return merged


def _origin(base: Model | None) -> dict[str, Any]:
    return {"model_sha256": base.sha256 if base else None}


def _begin(
    out: Path,
    base: Model | None,
    train: Segments,
    architecture: Architecture,
    recipe: Recipe,
    fresh: bool,
) -> Bpe:
    """Clear the folder if asked to, and give the merges: found there, the base's, or learnt."""
    origin, merges = out / ORIGIN_FILE, out / MERGES_FILE
    if fresh:
        for old in (*out.glob("checkpoint-*"), out / "samples"):
            shutil.rmtree(old, ignore_errors=True)
        for path in (origin, merges, out / LOG_FILE):
            path.unlink(missing_ok=True)
    begun = json.loads(origin.read_text()) if origin.is_file() else _origin(None)
    if begun != _origin(base) and any(out.glob("checkpoint-*")):
        raise InputError(
            f"the training in {out} began from "
            f"{'another model' if begun['model_sha256'] else 'nothing'}, not from "
            f"{base.path if base else 'nothing'}. Choose another --out, or start over with --fresh."
        )
    changed = begun != _origin(base)
    origin.write_text(json.dumps(_origin(base)) + "\n")
    if base:
        base.bpe.save(merges)
        return base.bpe
    if merges.is_file() and not changed:
        return Bpe.load(merges)
    rng = np.random.default_rng(recipe.seed)
    augment = Augment(Dropout())
    few = rng.permutation(len(train))[:6000]  # variants of the music, as they will be met
    bpe = Bpe.learn((augment(train[int(i)], rng) for i in few), architecture.vocab_size)
    bpe.save(merges)
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
