"""Muon: momentum whose matrices are made orthogonal, and AdamW for all that is no matrix.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the step's size as
in Liu et al., "Muon is Scalable for LLM Training", 2025, so that one learning rate serves both.
`torch.optim.Muon` works in bfloat16, which most processors emulate: four times slower there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration
_ITERATIONS = 5

_Updates = Iterator[tuple[torch.Tensor, torch.Tensor]]


class Muon(torch.optim.Optimizer):
    """`matrices` are the hidden layers' weights, `others` embeddings, norms and biases."""

    def __init__(
        self,
        matrices: Iterable[torch.nn.Parameter],
        others: Iterable[torch.nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        groups: list[dict[str, Any]] = [
            {"params": list(matrices), "orthogonal": True, "weight_decay": weight_decay},
            {"params": list(others), "orthogonal": False, "weight_decay": 0.0},
        ]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One update from the gradients."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            found = [p for p in group["params"] if p.grad is not None]
            for p in found:
                p.mul_(1 - group["lr"] * group["weight_decay"])
            for p, update in (self._orthogonal if group["orthogonal"] else self._adam)(
                found, group
            ):
                p.add_(update, alpha=-group["lr"])
        return loss

    def _orthogonal(self, found: list[torch.Tensor], group: dict[str, Any]) -> _Updates:
        """Matrices of one shape in one go: a graphics card waits longer for many small products
        than it computes.
        """
        alike: dict[torch.Size, list[torch.Tensor]] = defaultdict(list)
        for p in found:
            alike[p.shape].append(p)
        for shape, some in alike.items():
            ahead = []
            for p in some:
                state, mu = self.state[p], group["momentum"]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - mu)  # type: ignore[arg-type]
                ahead.append(p.grad.lerp(state["momentum"], mu))  # type: ignore[union-attr]
            yield from zip(
                some, orthogonalised(torch.stack(ahead)) * 0.2 * max(shape) ** 0.5, strict=True
            )

    def _adam(self, found: list[torch.Tensor], group: dict[str, Any]) -> _Updates:
        b1, b2 = group["betas"]
        for p in found:
            state = self.state[p]
            if not state:
                state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
                state["steps"] = 0  # a number: one on the graphics card would be waited for
            state["steps"] += 1
            steps = int(state["steps"])
            state["mean"].lerp_(p.grad, 1 - b1)  # type: ignore[arg-type]
            state["square"].lerp_(p.grad.square(), 1 - b2)  # type: ignore[union-attr]
            spread = (state["square"] / (1 - b2**steps)).sqrt_().add_(1e-8)
            yield p, state["mean"] / (1 - b1**steps) / spread


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """The nearest matrices (..., rows, columns) with all singular values about 1 (0.7 to 1.2).

    By Newton-Schulz.
    """
    a, b, c = _COEFFICIENTS
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    wide = x.shape[-2] <= x.shape[-1]
    x = x if wide else x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return (x if wide else x.mT).to(matrices.dtype)
