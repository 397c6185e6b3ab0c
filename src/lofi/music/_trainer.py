"""transformers' Trainer as we use it: data by seed, bits per note, best weights kept.

Imports torch: only training does.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import transformers
from torch.nn.functional import cross_entropy

from lofi.music._bpe import Bpe
from lofi.music._course import LOG_FILE, SAMPLES
from lofi.music._dataset import Augment, Dropout, Segments, bits_per_note, music_tables
from lofi.music._muon import Muon
from lofi.music._tokens import vocabulary
from lofi.music._train import Progress, Recipe, evaluations, processes

if TYPE_CHECKING:
    from lofi.music._train import Draw

_ALIKE = 50  # batches that are drawn together, sorted by length and shuffled again


def from_first(make: Callable[[], Any]) -> Any:
    """What the first process makes, in every process."""
    rank, world = processes()
    if world == 1:
        return make()
    box = [make() if rank == 0 else None]
    torch.distributed.broadcast_object_list(box, src=0)
    return box[0]


def precision() -> str:
    """bf16 where the hardware multiplies in it, fp16 on older graphics cards, otherwise fp32."""
    if torch.cuda.is_available():
        # Emulated bfloat16 is counted too unless told otherwise, and is slower than float32.
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    try:
        return "bf16" if "avx512_bf16" in Path("/proc/cpuinfo").read_text() else "fp32"
    except OSError:
        return "fp32"


def optimizer(model: Any, recipe: Recipe) -> Muon:
    """Muon for the matrices of the layers, AdamW for all else."""
    named = list(model.named_parameters())
    hidden = [p for n, p in named if p.ndim == 2 and ".h." in n]
    others = [p for n, p in named if not (p.ndim == 2 and ".h." in n)]
    return Muon(hidden, others, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)


class Rows(torch.utils.data.Dataset):
    """Training segments. A key is epoch × segments + index: each names one variant for ever.

    What a step reads then depends on the seed and the step alone: not on where a run was stopped,
    nor on how far ahead batches are fetched.
    """

    def __init__(self, segments: Segments, seed: int) -> None:
        self._segments = segments
        self._seed = seed
        self._augment = Augment(Dropout())

    def __len__(self) -> int:
        return len(self._segments)

    def __getitem__(self, key: int) -> np.ndarray:
        epoch, index = divmod(key, len(self._segments))
        rng = np.random.default_rng([self._seed, epoch, index])
        return self._augment(self._segments[index], rng)


class ByLength(torch.utils.data.Sampler):
    """Keys of `Rows` in the order of an epoch: batches of like lengths, the batches at random."""

    def __init__(self, lengths: np.ndarray, batch: int, seed: int) -> None:
        self._lengths = lengths
        self._batch = batch  # of all processes together
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        count = len(self._lengths)
        rng = np.random.default_rng([self._seed, self.epoch])
        drawn = rng.permutation(count)
        # Sorted in pools, so that batches differ from epoch to epoch.
        pools = np.split(drawn, range(_ALIKE * self._batch, count, _ALIKE * self._batch))
        order = np.concatenate([p[np.argsort(-self._lengths[p], kind="stable")] for p in pools])
        whole = count - count % self._batch
        batches = order[:whole].reshape(-1, self._batch)
        order = np.concatenate([rng.permutation(batches).ravel(), order[whole:]])
        yield from (self.epoch * count + order).tolist()


class Collator:
    """Merges, cuts to the context and pads."""

    def __init__(self, bpe: Bpe, context: int) -> None:
        self._bpe = bpe
        self._context = context
        self._pad = vocabulary().pad

    def __call__(self, segments: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        rows = [self._bpe.encode(row)[: self._context] for row in segments]
        # Few distinct lengths: kernels are compiled for each shape of matrix they meet.
        longest = max(len(r) for r in rows)
        longest = min(self._context, -(-longest // 64) * 64)
        ids = np.full((len(rows), longest), self._pad, np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
        inputs = torch.from_numpy(ids)
        # Padding stands at the end, where a causal model needs no mask against it.
        return {"input_ids": inputs, "labels": inputs.masked_fill(inputs == self._pad, -100)}


class Trainer(transformers.Trainer):
    """With the validation set read as it is: no variants, every token and note counted once."""

    def __init__(
        self, *, train: Segments, val: Sequence[np.ndarray], bpe: Bpe, recipe: Recipe, **more: Any
    ) -> None:
        self._net: Any = more["model"]
        self._collate = Collator(bpe, self._net.config.n_positions)
        rows = Rows(train, recipe.seed)
        super().__init__(train_dataset=rows, eval_dataset=rows, data_collator=self._collate, **more)
        rank, world = processes()
        self._order = ByLength(train.lengths, self.args.train_batch_size * world, recipe.seed)
        size = recipe.batch_size
        val = sorted(val, key=len)
        batches = [val[i : i + size] for i in range(0, len(val), size)]
        self._val = batches[rank::world]
        self._tables = [torch.from_numpy(t).to(self.args.device) for t in music_tables(bpe)]

    def _get_train_sampler(self, train_dataset: Any = None) -> ByLength:
        return self._order

    def start_epoch(self, epoch: int) -> None:
        """Choose the order that the next epoch is read in."""
        self._order.epoch = epoch

    @torch.no_grad()
    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Nats per token and bits per note over the validation set, by all processes together."""
        music, note = self._tables
        total = torch.zeros(4, dtype=torch.float64, device=self.args.device)
        self._net.eval()
        for batch in self._val:
            ids = self._collate(batch)["input_ids"].to(self.args.device)
            logits = self._net(input_ids=ids).logits.float()
            chosen = ids[:, 1:]
            nats = cross_entropy(logits[:, :-1].flatten(0, 1), chosen.flatten(), reduction="none")
            real = chosen.flatten() != vocabulary().pad
            played = real & music[chosen.flatten()]
            notes = real & note[chosen.flatten()]
            found = [nats[real].sum(), real.sum(), nats[played].sum(), notes.sum()]
            total += torch.stack([f.double() for f in found])
        self._net.train()
        if processes()[1] > 1:
            torch.distributed.all_reduce(total)
        nats, tokens, music_nats, notes = total.tolist()
        metrics = {
            "eval_loss": nats / tokens,
            "eval_bits_per_note": bits_per_note(music_nats, notes),
        }
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics


class Conductor(transformers.TrainerCallback):
    """Follows a run: its learning rate, its end, its checkpoints, samples and progress."""

    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        play: Callable[[dict[str, np.ndarray]], tuple[Any, dict[str, float]]] | None,
        draw: Draw | None,
        progress: Callable[[Progress], None] | None,
        stop: Callable[[], bool] | None,
    ) -> None:
        self._recipe = recipe
        self._out = out
        self._play = play
        self._draw = draw
        self._progress = progress
        self._stop = stop
        self.stopped = False
        self._last: dict[str, float] = {}
        self._began = (0, 0.0)
        self.decay_from = recipe.steps
        self.trainer: Trainer  # set once there is one

    def level(self, step: int) -> float:
        """The learning rate at a step as a share of the full one: up, level, down to 0.01."""
        recipe = self._recipe
        rise = step / recipe.warmup if recipe.warmup else 1.0
        fall = 1.0 - (step - self.decay_from) / max(1, recipe.decay)
        return 0.01 + 0.99 * max(0.0, min(1.0, rise, fall))

    def _settle(self, state: Any) -> None:
        """When the learning rate falls, and when the run ends, told by the evaluations so far."""
        self.decay_from, state.max_steps = self._recipe.course(evaluations(state.log_history))

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._settle(state)
        self._began = (state.global_step, time.monotonic())

    def on_epoch_begin(
        self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any
    ) -> None:
        self.trainer.start_epoch(state.global_step // len(train_dataloader))

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self._last.update(logs or {})
        if state.is_world_process_zero:
            told = {"step": state.global_step, "of": state.max_steps, "at": round(time.time(), 1)}
            with (self._out / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(told | (logs or {})) + "\n")

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, model: Any = None, **_: Any
    ) -> None:
        if state.best_metric is None or metrics["eval_loss"] < state.best_metric:
            control.should_save = True  # the best weights are on disk, whatever save_every is
        self._settle(state)
        if self._play and state.is_world_process_zero:
            try:
                self._sample(self._play, model, state.global_step)
            except Exception as error:  # days of training are worth more than a sample
                warnings.warn(f"no sample at step {state.global_step}: {error}", stacklevel=1)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = control.should_save = True
        elif self._stop and self._stop():
            self.stopped = control.should_save = control.should_training_stop = True
        if not (self._progress and state.is_world_process_zero):
            return
        step, began = self._began
        self._progress(
            Progress(
                state.global_step,
                state.max_steps,
                self._last.get("loss"),
                self._last.get("eval_loss"),
                self._last.get("eval_bits_per_note"),
                (state.global_step - step) / max(1e-9, time.monotonic() - began),
            )
        )

    def _sample(self, play: Any, model: Any, step: int) -> None:
        weights = {n: w.detach().float().cpu().numpy() for n, w in model.state_dict().items()}
        score, figures = play(weights)
        folder = self._out / SAMPLES
        folder.mkdir(exist_ok=True)
        path = folder / f"step-{step:05d}.mid"
        score.dump_midi(path)
        followers = self.trainer.callback_handler.callbacks
        board = next((w for c in followers if (w := getattr(c, "tb_writer", None))), None)
        if board:
            for name, value in figures.items():
                board.add_scalar(f"sample/{name}", value, step)
        if self._draw:
            picture = path.with_suffix(".png")
            self._draw(score, picture)
            if board:
                _pin_up(board, picture, step)


def _pin_up(board: Any, picture: Path, step: int) -> None:
    """Put a PNG into TensorBoard as it is; its own way needs Pillow."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

    data = picture.read_bytes()
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=data)
    value = Summary.Value(tag="sample/roll", image=image)
    board.file_writer.add_summary(Summary(value=[value]), step)
