"""What a page asks for when it asks for samples, checked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ddpm.config import SamplingConfig
from ddpm.generate import Sampler
from ddpm.presets import PAGE_SAMPLING
from ddpm.samplers import SAMPLERS, VARIANCES
from ddpm.spacing import SPACINGS
from ddpm.system.version import __version__

from ..server import limits, protocol
from .labels import Label, in_turn, is_null, labels_of
from .models import Model, ModelRegistry

MAX_STEPS = 1000  # that any server may allow
MAX_GUIDANCE = 10.0


@dataclass(frozen=True)
class Settings:
    """What Generate was asked for, checked.  choice: the class as it was chosen, labels: what it means."""

    n: int
    choice: str
    labels: tuple[Label, ...]
    sampling: SamplingConfig
    middle: bool  # whether guidance was asked for at medium noise only
    seed: int
    weights_id: str
    weights: Model

    @classmethod
    def check(
        cls, registry: ModelRegistry, n: Any, choice: Any, seed: Any, weights_id: Any, **sampling: Any
    ) -> Settings:
        """how: see `check_how`.  Raises ValueError with one clear sentence about the first value that will not do."""
        weights = registry.get(weights_id)
        labels = labels_of(weights, choice)
        n = protocol.whole_number(n, "Digits", 1, limits.current().digits)
        checked = check_how(weights.sched.T, **sampling)
        seed = protocol.whole_number(seed, "Seed", 0, protocol.MAX_SEED)
        return cls(n, choice, labels, checked, sampling["middle"], seed, weights_id, weights)

    def y(self) -> Tensor | None:
        """The label of each picture, (n,) int64, or (n, A) of attributes; None of weights without any."""
        return in_turn(self.labels, self.n) if self.weights.conditional else None

    @property
    def unlabelled(self) -> bool:
        """Whether nothing is asked for."""
        return all(map(is_null, self.labels))

    def sampler(self) -> Sampler:
        """Whom to ask for these pictures.  Without a label there is nothing to be guided by."""
        sampling = dataclasses.replace(self.sampling, guidance=1.0) if self.unlabelled else self.sampling
        return Sampler(self.weights.model, self.weights.sched, sampling)

    def parameters(self) -> dict[str, Any]:
        """What it takes to make the same pictures again."""
        return {
            "ddpm": __version__,
            "weights": self.weights.label,  # the id of a training run is nobody else's business
            "sampler": self.sampling.sampler,
            "steps": self.sampling.num_steps,
            "eta": self.sampling.eta,
            "variance": self.sampling.variance,
            "spacing": self.sampling.spacing,
            "clip": self.sampling.clip,
            "guidance": self.sampling.guidance,
            "middle": self.middle,
            "class": self.choice,
            "n": self.n,
            "seed": self.seed,
        }


def check_how(
    T: int,
    sampler: Any,
    steps: Any,
    guidance: Any,
    middle: Any,
    eta: Any,
    variance: Any = "small",
    spacing: Any = "linspace",
    clip: Any = True,
) -> SamplingConfig:
    """How a page asks for samples of a model with T times.  middle: whether guidance counts at medium noise only.

    Raises ValueError with one clear sentence about the first value that will not do.
    """
    sampler = protocol.one_of(sampler, "Sampler", SAMPLERS)
    steps = protocol.whole_number(steps, "Steps", 1, min(limits.current().steps, T))
    guidance = protocol.number(guidance, "Guidance", 0, MAX_GUIDANCE)
    middle = protocol.one_of(middle, "Limited-interval guidance", (True, False))
    eta = protocol.number(eta, "Eta", 0, 1)
    variance = protocol.one_of(variance, "Variance", VARIANCES)
    spacing = protocol.one_of(spacing, "Spacing", SPACINGS)
    clip = protocol.one_of(clip, "Clip", (True, False))
    between = (PAGE_SAMPLING.guide_from, PAGE_SAMPLING.guide_to) if middle else (0.0, 1.0)
    return SamplingConfig(sampler, steps, eta, guidance, *between, variance, spacing, clip)


def deterministic(s: Settings) -> bool:
    """Whether no noise is drawn after the first."""
    return not SAMPLERS[s.sampling.sampler].draws_noise(s.sampling.eta)
