"""What a page asks for when it asks for samples, checked."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddpm.config import SamplingConfig
from ddpm.generate import Sampler
from ddpm.presets import PAGE_SAMPLING
from ddpm.samplers import SAMPLERS, VARIANCES
from ddpm.spacing import SPACINGS
from ddpm.system.version import __version__

from ..server import limits, protocol
from .models import Model, ModelRegistry

MAX_STEPS = 1000  # that any server may allow
MAX_GUIDANCE = 10.0
ALL, NONE, ANY = "all in turn", "none", "random"  # what is chosen instead of a class


@dataclass(frozen=True)
class Settings:
    """What Generate was asked for, checked.  choice: the class as it was chosen, labels: what it means."""

    n: int
    choice: str
    labels: tuple[int, ...]
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
        choice = protocol.one_of(choice, "Class", choices(weights))
        known = tuple(range(weights.num_classes)) or (-1,)
        labels = {ALL: known, NONE: (-1,)}.get(choice) or (named(weights.class_names).index(choice),)
        n = protocol.whole_number(n, "Digits", 1, limits.current().digits)
        checked = check_how(weights.sched.T, **sampling)
        seed = protocol.whole_number(seed, "Seed", 0, protocol.MAX_SEED)
        return cls(n, choice, labels, checked, sampling["middle"], seed, weights_id, weights)

    def y(self) -> Tensor | None:
        """(n,) int64: the class of each digit; None of weights without classes."""
        return digit_labels(list(self.labels), self.n) if self.weights.num_classes else None

    def sampler(self) -> Sampler:
        """Whom to ask for these digits.  Without a label there is nothing to be guided by."""
        sampling = self.sampling if -1 not in self.labels else dataclasses.replace(self.sampling, guidance=1.0)
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


def choices(weights: Model) -> tuple[str, ...]:
    """What can be asked of these weights: every class in turn, no class, or one of them."""
    return (ALL, NONE, *named(weights.class_names)) if weights.num_classes else (NONE,)


def named(classes: Sequence[str]) -> tuple[str, ...]:
    """How each class is chosen: by its name, or as "class none" where the name alone means something else here.

    So that no two are chosen alike, a class that is really called "class none" is "class class none".
    """
    return tuple(re.sub(f"^(?=(class )*({ALL}|{NONE}|{ANY})\\Z)", "class ", name) for name in classes)


def label_of(weights: Model, choice: str) -> int:
    """The number of a class, -1 for none."""
    return -1 if choice == NONE else named(weights.class_names).index(choice)


def deterministic(s: Settings) -> bool:
    """Whether no noise is drawn after the first."""
    return not SAMPLERS[s.sampling.sampler].draws_noise(s.sampling.eta)


def digit_labels(labels: list[int], n: int) -> Tensor:
    """n labels, the given ones in turn."""
    return torch.tensor([labels[i % len(labels)] for i in range(n)])
