"""A reverse process as the page asks for it: the settings, checked; the frames, computed; what it costs, measured."""

from __future__ import annotations

import dataclasses
import math
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ddpm.config import config_of
from ddpm.generate import Sampler, evaluation_times, num_evaluations
from ddpm.samplers import SAMPLERS, SampleStep

from ..server import protocol
from ..server.engine import Engine
from . import recording
from .coefficients import coefficients, in_eps
from .models import Model
from .recording import MAX_FRAMES, Recording, evenly
from .request import Settings, deterministic

MAX_COSTS = 500  # measurements that are remembered


@dataclass
class Trajectory(Recording):
    """A reverse process on its way.

    at: the frame of its parent up to which a branch shares the past.  It keeps to the same times.
    """

    max_frames: ClassVar[int] = MAX_FRAMES

    settings: Settings
    parent: Recording | None = None
    at: int = 0
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    seconds: float = 0.0
    step: int = 0
    evaluations: int = 0  # of the network so far, per digit
    moment: SampleStep | None = None  # the latest
    frames: list[dict[str, Any]] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        s, w = self.settings, self.settings.weights
        self.shape, self.dataset, self.parameters = (s.n, w.channels, w.img_size, w.img_size), w.dataset, s.parameters()
        self.sampler, self.num_steps = self.make_sampler(), s.sampling.num_steps
        codec = self.sampler.codec
        self.latent_shape, self.autoencoder = (codec.latent_shape, codec.name) if codec else (None, None)
        self.times = self.sampler.times
        self.kept = set(evenly(self.num_steps, self.max_frames))
        self.start: tuple[int, Tensor] | None = None
        if self.parent is not None:
            self.start = self.parent.frames[self.at]["step"], self.parent.states[self.at].float()
            self.kept = self.parent.kept | {self.start[0]}
            self.frames, self.states = self.parent.frames[: self.at], self.parent.states[: self.at]
        self.times_kept = [self.times[i] for i in sorted(self.kept)]
        signal = w.sched.sqrt_alphas_bar[self.times_kept].tolist()
        self.signal = [1.0 if t < 0 else round(a, 4) for a, t in zip(signal, self.times_kept, strict=True)]

    @classmethod
    def branch(cls, parent: Recording, at: Any, s: Settings) -> Trajectory:
        """Another future from a frame of `parent`: of s it takes all but the number of digits, steps and their spacing.

        Raises ValueError with one clear sentence.
        """
        at, old = protocol.whole_number(at, "Frame", 0, len(parent.frames) - 1), parent.settings
        if old is None:
            raise ValueError("The weights of this trajectory are not here: it can be played, but not branched from.")
        if parent.frames[at]["t"] < 0:
            raise ValueError("These digits are finished. Drag the playhead back, then branch.")
        if s.weights is not old.weights:
            raise ValueError("Branch with the weights that these digits are from, or Generate anew.")
        sampling = dataclasses.replace(s.sampling, num_steps=old.sampling.num_steps, spacing=old.sampling.spacing)
        return cls(dataclasses.replace(s, n=old.n, sampling=sampling), parent=parent, at=at)

    def steps(self) -> Iterator[dict[str, Any] | None]:
        """The engine's job: one network evaluation a step, yielding the frames that are kept."""
        process, end = self.process(), object()
        while True:
            start = time.perf_counter()
            moment: Any = next(process, end)
            if moment is end:
                return
            self.seconds += time.perf_counter() - start
            if moment is None:
                yield None
                continue
            self.step, self.moment = moment.i, moment
            self.evaluations = self.spent(moment)
            yield self.keep(moment) if self.is_kept(moment) else None

    def make_sampler(self) -> Sampler:
        return self.settings.sampler()

    def process(self) -> Iterator[SampleStep | None]:
        """The moments, and None for a step of work before the first."""
        s = self.settings
        return self.sampler.steps(s.n, s.y(), s.seed, start=self.start)

    def is_kept(self, moment: SampleStep) -> bool:
        """Whether a frame is made of this moment."""
        return moment.i in self.kept

    def spent(self, moment: SampleStep) -> int:
        """Evaluations of the network up to this moment, per digit."""
        times = self.times[self.start[0] if self.start else 0 : moment.i + 1]
        return num_evaluations(self.sampler.model, times, self.settings.sampling.sampler)

    def keep(self, moment: SampleStep) -> dict[str, Any]:
        """Make a frame of this moment and keep it."""
        self.states.append(moment.x_t.cpu())
        return self.add(self.frame_of(moment, moment.i))

    def frame_of(self, moment: SampleStep, i: int) -> dict[str, Any]:
        """The frame of a moment that is the sampler's step i."""
        sampling, sched, t = self.settings.sampling, self.settings.weights.sched, moment.t
        signal, towards = 1.0 if t < 0 else sched.sqrt_alphas_bar[t].item(), None
        more: dict[str, Any] = {}
        if moment.eps_hat is not None:  # the finished sample has none
            towards = self.times[i + 1], coefficients(sampling, self.times, i, sched), self.shown(moment.eps_hat)
            if sampling.sampler == "ddpm":
                more = {"in_eps": in_eps(self.times, i, sched, towards[1][2])}
        shown, latents = (self.shown(moment.x_t), self.shown(moment.x0_hat)), None
        if self.latent_shape is not None:
            known = {"x_t": moment.x_t, "x0_hat": moment.x0_hat, "eps_hat": moment.eps_hat}
            latents = {name: recording.channels(z) for name, z in known.items() if z is not None}
        return self.frame(i, t, signal, *shown, towards, latents) | more

    def shown(self, x: Tensor) -> np.ndarray:
        """x_t, x0_hat or eps_hat as the page shows it; of latents, the pictures that they decode to."""
        return recording.frame(self.sampler.pictures(x))

    def end(self) -> list[dict[str, Any]]:
        """After a stop: the moment it was stopped at, if that is not among the frames yet."""
        if self.moment is None or (self.frames and self.frames[-1]["step"] == self.moment.i):
            return []
        return [self.keep(self.moment)]

    def changes(self) -> str:
        """What a branch does otherwise than its parent, in words."""
        now, before = self.parameters, self.parent.parameters if self.parent else self.parameters
        seed = "seed {} (no more noise is drawn)" if deterministic(self.settings) else "seed {}"
        words = {"class": "class {}", "sampler": "{}", "seed": seed, "guidance": "guidance {:g}", "eta": "η {:g}"}
        words |= {"variance": "{} variance", "clip": "clip {}", "middle": "guided in the middle: {}"}
        said = [
            text.format(SAMPLERS[now[k]].label if k == "sampler" else now[k])
            for k, text in words.items()
            if now[k] != before[k]
        ]
        return ", ".join(said) or "nothing changed"

    def about(self) -> dict[str, Any]:
        """What the frames are of, and how far the run is."""
        return super().about() | {
            "step": self.step,
            "evaluations": self.evaluations,
            "seconds": round(self.seconds, 2),
            "parent": self.parent and self.parent.id,
            "from": self.at,
            "what": self.changes(),
        }


class Costs:
    """Seconds of one network evaluation, measured here, by weights and by how many pictures it holds."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._seconds: dict[tuple[str, int], float] = {}

    async def sentence(self, s: Settings) -> str:
        """What the settings will cost, in words."""
        sampler, num_steps = s.sampler(), s.sampling.num_steps
        each = Counter(num_evaluations(sampler.model, [t]) for t in evaluation_times(sampler.times, s.sampling.sampler))
        seconds = sum([calls * await self.evaluation(s, cost * s.n) for cost, calls in each.items()])
        pairs = sum(num_evaluations(sampler.model, [t]) == 2 for t in sampler.times)
        guided = "" if not pairs else ", guided" if pairs == num_steps else f", {pairs} of them guided"
        twice = (
            ", all but the last asking twice" if SAMPLERS[s.sampling.sampler].evaluations == 2 and num_steps > 1 else ""
        )
        network = f"{sampler.evaluations} network evaluation{'s' * (sampler.evaluations > 1)}"
        return f"{num_steps} step{'s' * (num_steps > 1)}{guided}{twice}: {network}, about {seconds:.1f} s here."

    async def evaluation(self, s: Settings, rows: int) -> float:
        """Seconds of one evaluation of so many pictures, measured once."""
        key = (s.weights_id, rows)
        if key not in self._seconds:
            self._seconds[key] = await self.engine.submit(self.measure(s.weights, rows)).result()
            while len(self._seconds) > MAX_COSTS:
                del self._seconds[next(iter(self._seconds))]
        return self._seconds[key]

    @staticmethod
    def measure(weights: Model, rows: int) -> Iterator[float]:
        """The engine's job: three evaluations, the fastest of which counts, because the first ones warm up."""
        device, best = weights.model.device, math.inf
        of = config_of(weights.model.model)
        x = torch.zeros(rows, of.in_ch, of.img_size, of.img_size, device=device)
        t = torch.zeros(rows, dtype=torch.int64, device=device)
        label = [] if (y := weights.unlabelled(rows)) is None else [y]
        for _ in range(3):
            start = time.perf_counter()
            weights.model(x, t, *label)
            best = min(best, time.perf_counter() - start)
            yield best
