"""The optimiser: AdamW as in the tutorial, or Muon on the convolutions with AdamW on the rest."""

from __future__ import annotations

import torch
import torch.nn as nn
from torch import Tensor

from .config import TrainConfig

EDGES = ("in_conv", "out_conv")  # the first and the last layer stay with AdamW, as Jordan et al. advise
NEWTON_SCHULZ_STEPS = 3  # Muon's default is 5; 3 gave the same pictures and cost less


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer | MuonAdamW:
    """What the configuration asks for.  The model must already be where, and in the memory format, it will train."""
    if config.muon_lr:
        return MuonAdamW(model, config.lr, config.muon_lr, config.weight_decay)
    return torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)


class MuonAdamW:
    """Muon on the kernels between the first and the last convolution, AdamW on everything else, as one optimiser.

    Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) makes each step of a matrix orthogonal: all directions
    advance alike, not only those with the largest gradients.  torch's takes matrices, so it gets each kernel
    (out, in, h, w), kept in channels_last, as a view (out, h w in) of the same memory.  The size of its steps is
    matched to AdamW's (Liu et al. 2025, arXiv:2502.16982).
    """

    def __init__(self, model: nn.Module, lr: float, muon_lr: float, weight_decay: float):
        convs = {n: m for n, m in model.named_modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))}
        self.kernels = [m.weight for n, m in convs.items() if n not in EDGES]
        self.matrices = [nn.Parameter(matrix(kernel.detach())) for kernel in self.kernels]
        others = [p for p in model.parameters() if not any(p is kernel for kernel in self.kernels)]
        scale = {"adjust_lr_fn": "match_rms_adamw", "ns_steps": NEWTON_SCHULZ_STEPS}
        self.muon = torch.optim.Muon(self.matrices, lr=muon_lr, weight_decay=weight_decay, **scale)
        self.adamw = torch.optim.AdamW(others, lr=lr, weight_decay=weight_decay)
        self.param_groups = self.adamw.param_groups + self.muon.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        for kernel in self.kernels:
            kernel.grad = None
        self.adamw.zero_grad(set_to_none)

    def step(self) -> None:
        for kernel, view in zip(self.kernels, self.matrices, strict=True):
            view.grad = matrix(kernel.grad.contiguous(memory_format=torch.channels_last))
        self.muon.step()
        self.adamw.step()


def matrix(kernel: Tensor) -> Tensor:
    """A kernel (out, in, h, w) in channels_last as a matrix (out, h w in) of the same memory, never a copy."""
    return kernel.permute(0, 2, 3, 1).view(len(kernel), -1)


def _parts(optimizer) -> dict[str, torch.optim.Optimizer]:
    return {"muon": optimizer.muon, "adamw": optimizer.adamw} if isinstance(optimizer, MuonAdamW) else {"": optimizer}


def moments(optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers, by name: what a run needs to go on as if it had not been interrupted."""
    return {
        f"{part}.{i}.{name}": value
        for part, one in _parts(optimizer).items()
        for i, state in one.state_dict()["state"].items()
        for name, value in state.items()
    }


def restore_moments(optimizer, tensors: dict[str, Tensor]) -> None:
    """The inverse of `moments`."""
    for part, one in _parts(optimizer).items():
        described = one.state_dict()
        for key, value in tensors.items():
            mine, i, name = key.split(".", 2)
            if mine == part:
                described["state"].setdefault(int(i), {})[name] = value
        one.load_state_dict(described)
