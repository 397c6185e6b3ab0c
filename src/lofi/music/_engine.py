"""The model at work: a GPT-2 graph on ONNX Runtime with its key/value cache bound in place.

An engine has one method, `step`, which gives the logits of the next tokens. On a machine with a GPU
and PyTorch the same step is done there (`_torch_engine`).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lofi.brief import InputError, LofiError
from lofi.music._bpe import Bpe
from lofi.music._tokens import vocabulary

SHIPPED = Path(__file__).parent / "checkpoint"
GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "lofi.json"
MERGES_FILE = "merges.json"
MELODIES_FILE = "melodies.npz"


class Engine(Protocol):
    """Gives the next token's logits for `batch` sequences, each at a place of its own."""

    batch: int

    def step(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Append ids (B,) at places (B,), both int64; logits (B, V) float32 of the next tokens.

        A row at place 0 starts over. What stands before a place is what was appended there. The
        logits may be in memory that the next step writes to.
        """
        ...


@dataclass(frozen=True, slots=True)
class Model:
    """A model folder that can generate: its graph, its merges, and its card (`lofi.json`)."""

    path: Path
    card: dict[str, Any]
    bpe: Bpe

    @property
    def context(self) -> int:
        """The longest sequence in tokens."""
        return int(self.card["architecture"]["n_positions"])

    @property
    def sha256(self) -> str:
        """The hash of the graph file, as its card states it."""
        return str(self.card["files"][GRAPH_FILE])

    @property
    def melodies(self) -> Path:
        """The melodies the model was trained on, for the originality check."""
        return self.path / MELODIES_FILE

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a graphics card: there is one, PyTorch, and the weights of before."""
        return (self.path / WEIGHTS_FILE).is_file() and cuda_is_usable()

    @property
    def rows(self) -> int:
        """How many sequences are best written side by side.

        On a processor a row costs the same multiplications from three on; the fewer rows, the
        nearer their cache is held, and the fewer idle at the end. A graphics card takes many.
        """
        return 128 if self.on_gpu else 4

    def engine(self, batch: int) -> Engine:
        """A session for `batch` sequences at once: on a GPU if it can be, else on one thread."""
        arch = self.card["architecture"]
        if self.on_gpu:
            from lofi.music._torch_engine import TorchEngine

            return TorchEngine(self.path / WEIGHTS_FILE, arch, batch, "cuda")
        return OnnxEngine(self.path / GRAPH_FILE, arch, batch, 1)


def cuda_is_usable() -> bool:
    """Whether PyTorch is installed and sees a GPU; CUDA_VISIBLE_DEVICES= hides it.

    Importing torch takes a second and half a gigabyte, so signs of a GPU are looked for first.
    """
    signs = any(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi")
    if not signs or not importlib.util.find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def open_model(path: Path | None) -> Model:
    """The model in a folder, or the shipped one for None.

    Raises InputError if there is none, or if it was trained with other tokens.
    """
    folder = path or SHIPPED
    if not folder.exists():
        raise InputError(
            f"no model at {folder}. Train one with `lofi train`, or leave --model out to use "
            "the one that is shipped."
        )
    card_path = folder / CARD_FILE
    if not card_path.is_file() or not (folder / GRAPH_FILE).is_file():
        raise InputError(
            f"{folder} is not a model of ours: {CARD_FILE} or {GRAPH_FILE} is missing. "
            "`lofi train` writes both at its end."
        )
    try:
        card = json.loads(card_path.read_text())
        same = card.get("base_vocabulary_sha256", card["vocabulary_sha256"]) == vocabulary().sha256
        merges = folder / MERGES_FILE
        bpe = Bpe.load(merges) if same and merges.is_file() else Bpe()
        model = Model(folder, card, bpe)
        assert model.context > 0
        assert model.sha256
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise InputError(
            f"{card_path} cannot be read as a model card ({error}). Train the model again."
        ) from error
    if not same:
        raise InputError(
            f"the model in {folder} was trained with other tokens than this version writes. "
            "Train it again with `lofi tokenize`, `lofi dataset` and `lofi train`."
        )
    if bpe.sha256 != card["vocabulary_sha256"]:
        raise InputError(
            f"{merges} is missing or belongs to another model. Train the one in {folder} again."
        )
    return model


class OnnxEngine:
    """ONNX Runtime on one preallocated cache that is read and written in place.

    `GroupQueryAttention` takes the cache as past and gives it back as present; binding the same
    memory to both means nothing is copied between steps.
    """

    def __init__(self, graph: Path, arch: dict[str, int], batch: int, threads: int) -> None:
        import onnxruntime as ort

        ort.disable_telemetry_events()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise LofiError(
                f"{graph} cannot be loaded ({str(error)[:200]}). Train or export it again."
            ) from error
        self.batch = batch
        self._context = arch["n_positions"]
        heads = arch["n_head"]
        shape = (batch, heads, self._context, arch["n_embd"] // heads)
        self._binding = self._session.io_binding()
        inputs: dict[str, np.ndarray] = {
            "ids": np.zeros((batch, 1), np.int64),
            "positions": np.zeros((batch, 1), np.int64),
            "seqlens_k": np.zeros(batch, np.int32),
            "total_length": np.zeros(1, np.int32),
        }
        outputs: dict[str, np.ndarray] = {
            "logits": np.zeros((batch, 1, arch["vocab_size"]), np.float32)
        }
        self._ids, self._positions, self._lengths, self._longest = inputs.values()
        self._logits = outputs["logits"]
        for layer in range(arch["n_layer"]):
            for kv in "kv":
                cache = np.zeros(shape, np.float32)
                inputs[f"past_{kv}{layer}"] = outputs[f"present_{kv}{layer}"] = cache
        # On the processor an OrtValue is the array's own memory, which must outlive it.
        self._memory = [*inputs.values(), *outputs.values()]
        value = ort.OrtValue.ortvalue_from_numpy
        for name, array in inputs.items():
            self._binding.bind_ortvalue_input(name, value(array))
        for name, array in outputs.items():
            self._binding.bind_ortvalue_output(name, value(array))

    def step(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        """See Engine. Raises LofiError past the context."""
        if (length := int(places.max()) + 1) > self._context:
            raise LofiError(f"{length} tokens exceed the model's context of {self._context}.")
        self._ids[:, 0] = ids
        self._positions[:, 0] = places
        self._lengths[:] = places
        self._longest[0] = length
        self._session.run_with_iobinding(self._binding)
        return self._logits[:, 0]
