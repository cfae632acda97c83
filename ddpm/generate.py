"""A model, a schedule and how to sample: draws pictures, the same ones for a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .config import SamplingConfig
from .device import Inference
from .guidance import Guided
from .samplers import SampleStep, num_evaluations, reverse_process, timesteps
from .schedule import Schedule
from .system.threads import Threads

BATCH = 250  # images at a time


def class_labels(num_classes: int, n: int) -> Tensor | None:
    """Sample i is of class i mod num_classes; None for a model without classes."""
    return torch.arange(n) % num_classes if num_classes else None


class Sampler:
    """A model, a schedule and how to draw: n samples at once or in batches, always the same ones for a seed."""

    def __init__(self, model: Inference, sched: Schedule, how: SamplingConfig):
        self.config, self.sched, self.how = model.model.config, sched, how
        self.asked = Guided(model, how.guidance, how.interval(sched.T)) if self.config.num_classes else model
        self.device = model.device
        self.times = timesteps(sched, how.num_steps, how.spacing)
        self.evaluations = num_evaluations(self.asked, self.times, how.sampler)

    def steps(
        self, n: int, y: Tensor | None = None, seed: int = 0, first: int = 0, start: tuple[int, Tensor] | None = None
    ) -> Iterator[SampleStep]:
        """`reverse_process` for samples first .. first + n - 1 in one batch.  y: (n,); None: the classes in turn."""
        m, how = self.config, self.how
        if y is None and m.num_classes:
            y = class_labels(m.num_classes, first + n)[first:]
        options = {name: getattr(how, name) for name in ("sampler", "num_steps", "eta", "variance", "spacing", "clip")}
        options |= {"seed": seed, "first": first, "start": start}
        options |= {"img_size": m.img_size, "channels": m.in_ch, "device": self.device}
        return reverse_process(self.asked, self.sched, n, y=None if y is None else y.to(self.device), **options)

    def batches(self, n: int, y: Tensor | None = None, seed: int = 0) -> Iterator[SampleStep]:
        """The moments of n samples, batch after batch of them."""
        for first in range(0, n, BATCH):
            size = min(BATCH, n - first)
            yield from self.steps(size, None if y is None else y[first : first + size], seed, first)

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
                    found.setdefault(moment.i, []).append(moment.x_t.cpu())
                threads.follow()
        return [torch.cat(found[i]) for i in sorted(found)]

    def draw(self, n: int, y: Tensor | None = None, seed: int = 0, **options: Any) -> Tensor:
        """n finished samples, (n, C, H, W) in about [-1, 1]."""
        return self.frames(n, y, seed, kept=lambda i: i == self.how.num_steps, **options)[0]
