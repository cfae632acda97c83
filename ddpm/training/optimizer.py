"""The optimiser: AdamW as in the tutorial, or Muon on the convolutions with AdamW on the rest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn as nn
from torch import Tensor

from ..config import TrainConfig

EDGES = ("in_conv", "out_conv")  # the first and the last layer stay with AdamW, as Jordan et al. advise
MOMENTUM = 0.95
NEWTON_SCHULZ_STEPS = 3  # Jordan et al. take 5; 3 gave the same pictures and cost less
QUINTIC = 3.4445, -4.7750, 2.0315  # theirs: takes singular values from 0..1 to about 1 in few steps


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer | MuonAdamW:
    """What the configuration asks for.  The model must already be where, and in the memory format, it will train."""
    if config.muon_lr:
        return MuonAdamW(model, config.lr, config.muon_lr, config.weight_decay)
    # Fused: one pass over each weight instead of seven, an eighth faster for an MLP.  It takes the memory as it lies,
    # and a kernel's gradient may lie otherwise than the kernel, so only without kernels; a GPU chooses by itself.
    flat = all(w.ndim <= 2 and w.device.type == "cpu" for w in model.parameters())
    return torch.optim.AdamW(model.parameters(), config.lr, weight_decay=config.weight_decay, fused=flat or None)


def lr_factor(config: TrainConfig, step: int, progress: float) -> float:
    """What lr and muon_lr are multiplied by: a linear rise over lr_warmup steps; if decayed, a half cosine to 0.

    progress: 0..1, of the budget.
    """
    warmup = min(1.0, (step + 1) / config.lr_warmup) if config.lr_warmup else 1.0
    decay = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))) if config.lr_decay else 1.0
    return warmup * decay


def orthogonalize(gradients: Tensor) -> Tensor:
    """Matrices with their singular values brought near 1, by Newton and Schulz.  Jordan et al. 2024.

    X <- a X + (b A + c A^2) X with A = X X^T, from X = G / |G|.   gradients: (B, m, n).  Returns the same shape.
    In float32: torch's own Muon multiplies in bfloat16, which a processor without such units emulates.
    """
    a, b, c = QUINTIC
    X = gradients / gradients.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    tall = X.shape[1] > X.shape[2]
    X = X.mT if tall else X  # the smaller of the two products X X^T and X^T X
    for _ in range(NEWTON_SCHULZ_STEPS):
        A = X @ X.mT
        X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X.mT if tall else X


class Muon(torch.optim.Optimizer):
    """Momentum whose every step is a matrix made orthogonal.  Jordan et al. 2024, kellerjordan.github.io/posts/muon.

    M <- mu M + (1 - mu) G;   W <- W - lr (0.2 sqrt(max(m, n)) orthogonalize(mu M + (1 - mu) G) + weight_decay W)

    The factor matches the size of a step to AdamW's: Liu et al. 2025, arXiv:2502.16982.  All directions of a kernel
    advance alike, not only those with the largest gradients.  matrices: (m, n) float32 each.  Those of one shape are
    made orthogonal together: the products are small, and their number is what costs.
    """

    def __init__(self, matrices: Iterable[Tensor], lr: float, weight_decay: float = 0.0):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    def momentum(self, w: Tensor) -> Tensor:
        if "momentum_buffer" not in self.state[w]:
            self.state[w]["momentum_buffer"] = torch.zeros_like(w)
        return self.state[w]["momentum_buffer"]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closure here
        for group in self.param_groups:
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for w in group["params"]:
                if w.grad is not None:  # as torch's optimisers do: what the loss does not depend on stays
                    alike.setdefault(w.shape, []).append((w, w.grad))
            for (m, n), pairs in alike.items():
                weights, gradients = [w for w, _ in pairs], [gradient for _, gradient in pairs]
                momenta = [self.momentum(w) for w in weights]
                torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
                steps = orthogonalize(torch.stack(gradients).lerp_(torch.stack(momenta), MOMENTUM))
                torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(weights, steps.unbind(), alpha=-group["lr"] * 0.2 * max(m, n) ** 0.5)


class MuonAdamW:
    """Muon on the kernels between the first and the last convolution, AdamW on everything else, as one optimiser.

    Muon takes matrices, so it gets each kernel (out, in, h, w), kept in channels_last, as a view (out, h w in) of the
    same memory.
    """

    def __init__(self, model: nn.Module, lr: float, muon_lr: float, weight_decay: float):
        convs = {n: m for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))}
        self.kernels = [m.weight for n, m in convs.items() if n not in EDGES]
        self.matrices = [nn.Parameter(matrix(kernel.detach())) for kernel in self.kernels]
        others = [p for p in model.parameters() if not any(p is kernel for kernel in self.kernels)]
        self.muon = Muon(self.matrices, muon_lr, weight_decay)
        self.adamw = torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """AdamW's group, then Muon's."""
        return self.adamw.param_groups + self.muon.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        for kernel in self.kernels:
            kernel.grad = None
        self.adamw.zero_grad(set_to_none)

    def step(self) -> None:
        for kernel, view in zip(self.kernels, self.matrices, strict=True):
            gradient = kernel.grad
            view.grad = None if gradient is None else matrix(gradient.contiguous(memory_format=torch.channels_last))
        self.muon.step()
        self.adamw.step()


def matrix(kernel: Tensor) -> Tensor:
    """A kernel (out, in, h, w) in channels_last as a matrix (out, h w in) of the same memory, never a copy."""
    return kernel.permute(0, 2, 3, 1).view(len(kernel), -1)


def _parts(optimizer: torch.optim.Optimizer | MuonAdamW) -> dict[str, torch.optim.Optimizer]:
    return {"muon": optimizer.muon, "adamw": optimizer.adamw} if isinstance(optimizer, MuonAdamW) else {"": optimizer}


def moments(optimizer: torch.optim.Optimizer | MuonAdamW) -> dict[str, Tensor]:
    """What an optimiser remembers, by name: what a run needs to go on as if it had not been interrupted."""
    return {
        f"{part}.{i}.{name}": value
        for part, one in _parts(optimizer).items()
        for i, state in one.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_moments(optimizer: torch.optim.Optimizer | MuonAdamW, tensors: dict[str, Tensor]) -> None:
    """The inverse of `moments`.  Moments come to lie in memory as their weights do, and are copies.

    A count of steps stays on the CPU, where torch's optimisers have it: elsewhere they would wait for each of them.
    """
    for part, one in _parts(optimizer).items():
        weights = [w for group in one.param_groups for w in group["params"]]
        for key, value in tensors.items():
            mine, i, name = key.split(".", 2)
            if mine == part:
                w = weights[int(i)]
                one.state[w][name] = torch.empty_like(w).copy_(value) if value.shape == w.shape else value.clone()
