"""The model on a GPU: GPT-2 in PyTorch with a cache that is allocated once, one token at a time.

The same step as `OnnxEngine`, for the same sampler. Needs the extra `train`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lofi.brief import LofiError


class TorchEngine:
    """Steps on `device`; see Engine.

    `dtype` is that of matrices and cache (a torch dtype), by default bfloat16 where a GPU has it;
    norms, embeddings and logits are float32.
    """

    def __init__(
        self, weights: Path, arch: dict[str, int], batch: int, device: str, dtype: Any = None
    ) -> None:
        import torch
        from safetensors.torch import load_file

        if dtype is None:
            half = device.startswith("cuda") and torch.cuda.is_bf16_supported()
            dtype = torch.bfloat16 if half else torch.float32
        try:
            loaded = load_file(weights)
            self._weights = {
                n.removeprefix("transformer."): w.to(device, dtype if _is_matrix(n) else None)
                for n, w in loaded.items()
            }
        except Exception as error:
            raise LofiError(
                f"{weights} cannot be loaded ({str(error)[:200]}). Train it again."
            ) from error
        self.batch = batch
        self._layers, self._heads = arch["n_layer"], arch["n_head"]
        self._context = arch["n_positions"]
        self._device, self._dtype = device, dtype
        self._rows = torch.arange(batch, device=device)
        self._columns = torch.arange(self._context, device=device)
        size = arch["n_embd"] // self._heads
        shape = (self._layers, 2, batch, self._heads, self._context, size)
        self._cache = torch.zeros(shape, device=device, dtype=dtype)

    def step(self, ids: np.ndarray, places: np.ndarray) -> np.ndarray:
        """See Engine. Raises LofiError past the context."""
        import torch

        if (length := int(places.max()) + 1) > self._context:
            raise LofiError(f"{length} tokens exceed the model's context of {self._context}.")
        with torch.inference_mode():
            told = torch.from_numpy(np.stack([ids, places])).to(self._device)
            return self._logits(told[0], told[1], length).cpu().numpy()

    def _logits(self, ids: Any, places: Any, length: int) -> Any:
        from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

        w = self._weights

        def norm(x: Any, name: str) -> Any:
            return layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

        def linear(x: Any, name: str) -> Any:  # transformers' Conv1D: weight (in, out)
            return (x.to(self._dtype) @ w[f"{name}.weight"]).float() + w[f"{name}.bias"]

        seen = (self._columns[:length] <= places[:, None])[:, None, None]  # (B, 1, 1, length)
        x = w["wte.weight"][ids] + w["wpe.weight"][places]
        for i in range(self._layers):
            p = f"h.{i}."
            qkv = linear(norm(x, p + "ln_1"), p + "attn.c_attn").to(self._dtype)
            q, k, v = qkv.view(self.batch, 3, self._heads, -1).unbind(1)  # each (B, heads, size)
            keys, values = self._cache[i]
            keys[self._rows, :, places] = k
            values[self._rows, :, places] = v
            attended = scaled_dot_product_attention(
                q[:, :, None], keys[:, :, :length], values[:, :, :length], attn_mask=seen
            )
            x = x + linear(attended.reshape(self.batch, -1), p + "attn.c_proj")
            inner = gelu(linear(norm(x, p + "ln_2"), p + "mlp.c_fc"), approximate="tanh")
            x = x + linear(inner, p + "mlp.c_proj")
        return norm(x, "ln_f") @ w["wte.weight"].T


def _is_matrix(name: str) -> bool:
    return ".h." in name and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight"))
