"""The exponential moving average of the weights: what one samples from."""

from __future__ import annotations

import torch
import torch.nn as nn


class EMA:
    """shadow <- decay * shadow + (1 - decay) * weights, after every optimiser step.

    With `warmup`, the n-th update uses min(decay, (1 + n)/(10 + n)): otherwise decay^n of the random initialisation is
    still in the average, 25 % of it after the tutorial's 14,040 steps at 0.9999.
    """

    def __init__(self, model: nn.Module, decay: float = 0.9999, warmup: bool = False):
        self.decay, self.warmup, self.num_updates = decay, warmup, 0
        self.shadow = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.num_updates += 1
        n = self.num_updates
        decay = min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay
        weights = model.state_dict()
        torch._foreach_lerp_(list(self.shadow.values()), [weights[name] for name in self.shadow], 1 - decay)

    def copy_to(self, model: nn.Module) -> None:
        """Load the averaged weights into `model`, which has the architecture this average was made from."""
        model.load_state_dict(self.shadow)
