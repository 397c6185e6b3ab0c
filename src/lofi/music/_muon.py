"""Muon: momentum whose matrices are made orthogonal, and AdamW for all that is no matrix.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; the step's size as
in Liu et al., "Muon is Scalable for LLM Training", 2025, so that one learning rate serves both.
`torch.optim.Muon` works in bfloat16, which most processors emulate: four times slower there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration
_ITERATIONS = 5


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
            update = self._orthogonal if group["orthogonal"] else self._adam
            for p in group["params"]:
                if p.grad is not None:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(update(p, group), alpha=-group["lr"])
        return loss

    def _orthogonal(self, p: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        momentum, mu = state["momentum"], group["momentum"]
        momentum.lerp_(p.grad, 1 - mu)  # type: ignore[arg-type]
        update = orthogonalised(p.grad.lerp(momentum, mu))  # type: ignore[union-attr]
        return update * (0.2 * max(p.shape) ** 0.5)

    def _adam(self, p: torch.Tensor, group: dict[str, Any]) -> torch.Tensor:
        state = self.state[p]
        if not state:
            state["mean"], state["square"] = torch.zeros_like(p), torch.zeros_like(p)
            state["steps"] = torch.zeros(())
        state["steps"] += 1
        steps, (b1, b2) = float(state["steps"]), group["betas"]
        state["mean"].lerp_(p.grad, 1 - b1)  # type: ignore[arg-type]
        state["square"].lerp_(p.grad.square(), 1 - b2)  # type: ignore[union-attr]
        spread = (state["square"] / (1 - b2**steps)).sqrt_().add_(1e-8)
        return state["mean"] / (1 - b1**steps) / spread


def orthogonalised(matrix: torch.Tensor) -> torch.Tensor:
    """The nearest matrix with all singular values about 1 (0.7 to 1.2), by Newton-Schulz."""
    a, b, c = _COEFFICIENTS
    x = matrix.bfloat16() if matrix.is_cuda else matrix.float()
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x if wide else x.T).to(matrix.dtype)
