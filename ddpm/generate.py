"""A model, a schedule and how to sample: draws pictures, the same ones for a seed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

from .autoencoder import codec_of, encoded
from .compose import Composed, Term
from .config import MLPConfig, ModelConfig, SamplingConfig, config_of
from .denoiser import Denoiser, picture_shape_of
from .device import Inference
from .editing import Known
from .ema import EMA
from .guidance import Guided
from .samplers import SampleStep, method, reverse_process, sample
from .schedule import Schedule
from .spacing import timesteps
from .system.threads import Threads

BATCH = 250  # images at a time


def class_labels(config: ModelConfig | MLPConfig, n: int, first: int = 0) -> Tensor | None:
    """Of samples first .. first + n - 1: i is of class i mod num_classes; None for a model without classes.

    Of attributes, (n, A): each value as likely, those of sample i always the same.
    """
    if config.attributes:
        drawn = [np.random.default_rng(i).integers(config.attributes) for i in range(first, first + n)]
        return torch.from_numpy(np.stack(drawn))
    return torch.arange(first, first + n) % config.num_classes if config.num_classes else None


def evaluation_times(times: Sequence[int], sampler: str = "ddim") -> list[int]:
    """The times at which the network is asked along these: once a step, and by a sampler of two evaluations twice,
    where a step starts and where it arrives, but for the step to clean data."""
    return [t for t in [*times, *list(times[1:]) * (method(sampler).evaluations - 1)] if t >= 0]


def num_evaluations(model: Denoiser, times: Sequence[int], sampler: str = "ddim") -> int:
    """Network evaluations per sample along these times.  A guided pair counts two, and so does a step of Heun's."""
    asked = evaluation_times(times, sampler)
    return sum(model.evaluations_at(t) for t in asked) if hasattr(model, "evaluations_at") else len(asked)


class Sampler:
    """A model, a schedule and how to draw: n samples at once or in batches, always the same ones for a seed."""

    def __init__(self, model: Inference, sched: Schedule, sampling: SamplingConfig, terms: Sequence[Term] = ()):
        """terms: of a sum that takes the place of guidance towards a label, see `Composed`."""
        self.config, self.sched, self.sampling = config_of(model.model), sched, sampling
        self.model: Denoiser = Composed(model, terms) if terms else model
        if self.config.conditional and not terms:
            self.model = Guided(model, sampling.guidance, sampling.interval(sched.T))
        self.device, self.codec, self.picture_shape = model.device, codec_of(model), picture_shape_of(model.model)
        self.times = timesteps(sched, sampling.num_steps, sampling.spacing)
        self.evaluations = num_evaluations(self.model, self.times, sampling.sampler)

    def steps(
        self,
        n: int,
        y: Tensor | None = None,
        seed: int = 0,
        first: int = 0,
        start: tuple[int, Tensor] | None = None,
        known: Known | None = None,
    ) -> Iterator[SampleStep]:
        """`reverse_process` for samples first .. first + n - 1 in one batch.

        y: (n,), or (n, A) of attributes; None: the classes in turn, see `class_labels`.
        """
        m, sampling = self.config, self.sampling
        y = class_labels(m, n, first) if y is None else y
        options = {
            name: getattr(sampling, name) for name in ("sampler", "num_steps", "eta", "variance", "spacing", "clip")
        }
        options["clip"] = sampling.clip and self.codec is None  # latents have no such bounds
        options |= {"seed": seed, "first": first, "start": start, "known": known}
        options |= {"img_size": m.img_size, "channels": m.in_ch, "device": self.device}
        return reverse_process(self.model, self.sched, n, y=None if y is None else y.to(self.device), **options)

    def batches(self, n: int, y: Tensor | None = None, seed: int = 0) -> Iterator[SampleStep]:
        """The moments of n samples, batch after batch of them."""
        for first in range(0, n, BATCH):
            size = min(BATCH, n - first)
            yield from self.steps(size, None if y is None else y[first : first + size], seed, first)

    def below(self, t: int, num_steps: int) -> Sampler:
        """The same, but from noise of time t on, in num_steps steps or as many as there are times: see `trailing`."""
        other = copy.copy(self)
        other.sched = self.sched.up_to(t)
        other.sampling = dataclasses.replace(self.sampling, num_steps=min(num_steps, t + 1), spacing="trailing")
        other.times = timesteps(other.sched, other.sampling.num_steps, "trailing")
        return other

    def seen(self, x0: Tensor) -> Tensor:
        """Pictures in [-1, 1] as its model sees them, on its device: themselves, or the means of their latents."""
        return encoded(self, x0).to(self.device)

    def pictures(self, x: Tensor) -> Tensor:
        """What a moment's x_t or x0_hat looks like, on the CPU: itself, or of latents what they decode to."""
        return (x if self.codec is None else self.codec.decode(x)).cpu()

    def num_moments(self, n: int) -> int:
        """How many `batches` yields."""
        return -(-n // BATCH) * len(self.times)

    def frames(
        self,
        n: int,
        y: Tensor | None = None,
        seed: int = 0,
        *,
        kept: Callable[[int], bool],
        progress: Callable[[int], Any] = lambda images: None,
    ) -> list[Tensor]:
        """The moments i with kept(i), (n, C, H, W) each, batch by batch.  progress: told the images of each step."""
        found: dict[int, list[Tensor]] = {}
        with Threads() as threads:
            for moment in self.batches(n, y, seed):
                progress(len(moment.x_t))
                if kept(moment.i):
                    found.setdefault(moment.i, []).append(self.pictures(moment.x_t))
                threads.follow()
        return [torch.cat(found[i]) for i in sorted(found)]

    def draw(self, n: int, y: Tensor | None = None, seed: int = 0, **options: Any) -> Tensor:
        """n finished samples, (n, C, H, W) in about [-1, 1]."""
        return self.frames(n, y, seed, kept=lambda i: i == self.sampling.num_steps, **options)[0]


def sample_from_ema(model: nn.Module, ema: EMA, sched: Schedule, **kwargs: Any) -> Tensor:
    """`sample` with the averaged weights.  The live model is left as it is, in the middle of its training or not."""
    averaged = copy.deepcopy(model).eval()
    ema.copy_to(averaged)
    return sample(averaged, sched, **kwargs)
