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

import torch
from torch import Tensor

from ddpm.samplers import SampleStep, asked_at, num_evaluations

from ..server import protocol
from ..server.engine import Engine
from . import film
from .equations import NAMES, coefficients
from .film import MAX_FRAMES, Film, evenly
from .settings import Settings, deterministic
from .weights import Weights

MAX_COSTS = 500  # measurements that are remembered


@dataclass
class Trajectory(Film):
    """A reverse process on its way.

    at: the frame of its parent up to which a branch shares the past.  It keeps to the same times.
    """

    max_frames: ClassVar[int] = MAX_FRAMES

    settings: Settings
    parent: Film | None = None
    at: int = 0
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    seconds: float = 0.0
    step: int = 0
    evaluations: int = 0  # of the network so far, per digit
    moment: SampleStep | None = None  # the latest
    frames: list[dict[str, Any]] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)

    def __post_init__(self):
        s, w = self.settings, self.settings.weights
        self.shape, self.dataset, self.recipe = (s.n, w.channels, w.img_size, w.img_size), w.dataset, s.recipe()
        self.sampler, self.num_steps = s.sampler(), s.how.num_steps
        self.times = self.sampler.times
        self.kept = set(evenly(self.num_steps, self.max_frames))
        self.start: tuple[int, Tensor] | None = None
        if self.parent is not None:
            self.start = self.parent.frames[self.at]["i"], self.parent.states[self.at].float()
            self.kept = self.parent.kept | {self.start[0]}
            self.frames, self.states = self.parent.frames[: self.at], self.parent.states[: self.at]
        self.times_kept = [self.times[i] for i in sorted(self.kept)]
        signal = w.sched.sqrt_alphas_bar[self.times_kept].tolist()
        self.signal = [1.0 if t < 0 else round(a, 4) for a, t in zip(signal, self.times_kept, strict=True)]

    @classmethod
    def branch(cls, parent: Film, at: Any, s: Settings) -> Trajectory:
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
        how = dataclasses.replace(s.how, num_steps=old.how.num_steps, spacing=old.how.spacing)
        return cls(dataclasses.replace(s, n=old.n, how=how), parent=parent, at=at)

    def steps(self) -> Iterator[dict[str, Any] | None]:
        """The engine's job: one network evaluation a step, yielding the frames that are kept."""
        s = self.settings
        process = self.sampler.steps(s.n, s.asked(), s.seed, start=self.start)
        begin = self.start[0] if self.start else 0
        while True:
            start = time.perf_counter()
            moment = next(process, None)
            if moment is None:
                return
            self.seconds += time.perf_counter() - start
            self.step, self.moment = moment.i, moment
            self.evaluations = num_evaluations(self.sampler.asked, self.times[begin : moment.i + 1], s.how.sampler)
            yield self.keep(moment) if moment.i in self.kept else None

    def keep(self, moment: SampleStep) -> dict[str, Any]:
        """Make a frame of this moment and keep it."""
        how, sched, i, t = self.settings.how, self.settings.weights.sched, moment.i, moment.t
        a, step = 1.0, None
        if i < self.num_steps:
            a = sched.sqrt_alphas_bar[t].item()
            step = self.times[i + 1], coefficients(how, self.times, i, sched), film.frame(moment.eps_hat)
        shown = film.frame(moment.x_t), film.frame(moment.x0_hat)
        self.frames.append(self.frame(len(self.frames), i, t, a, *shown, step))
        self.states.append(moment.x_t.cpu())
        return self.frames[-1]

    def end(self) -> list[dict[str, Any]]:
        """After a stop: the moment it was stopped at, if that is not among the frames yet."""
        if self.moment is None or (self.frames and self.frames[-1]["i"] == self.moment.i):
            return []
        return [self.keep(self.moment)]

    def changes(self) -> str:
        """What a branch does otherwise than its parent, in words."""
        now, before = self.recipe, self.parent.recipe if self.parent else self.recipe
        seed = "seed {} (no more noise is drawn)" if deterministic(self.settings) else "seed {}"
        words = {"class": "class {}", "sampler": "{}", "seed": seed, "guidance": "guidance {:g}", "eta": "η {:g}"}
        words |= {"variance": "{} variance", "clip": "clip {}", "middle": "guided in the middle: {}"}
        said = [text.format(NAMES.get(now[k], now[k])) for k, text in words.items() if now[k] != before[k]]
        return ", ".join(said) or "nothing changed"

    def packet(self, frames: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """The frames not yet sent, and how far the run is."""
        progress = {
            "step": self.step,
            "evaluations": self.evaluations,
            "seconds": round(self.seconds, 2),
            "parent": self.parent and self.parent.id,
            "from": self.at,
            "what": self.changes(),
        }
        return super().packet(frames, **progress, **more)


class Costs:
    """Seconds of one network evaluation, measured here, by weights and by how many pictures it holds."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._seconds: dict[tuple[str, int], float] = {}

    async def sentence(self, s: Settings) -> str:
        """What the settings will cost, in words."""
        sampler, num_steps = s.sampler(), s.how.num_steps
        each = Counter(num_evaluations(sampler.asked, [t]) for t in asked_at(sampler.times, s.how.sampler))
        seconds = sum([calls * await self.evaluation(s, cost * s.n) for cost, calls in each.items()])
        pairs = sum(num_evaluations(sampler.asked, [t]) == 2 for t in sampler.times)
        guided = "" if not pairs else ", guided" if pairs == num_steps else f", {pairs} of them guided"
        twice = ", all but the last asking twice" if s.how.sampler == "heun" and num_steps > 1 else ""
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
    def measure(weights: Weights, rows: int) -> Iterator[float]:
        """The engine's job: three evaluations, the fastest of which counts, because the first ones warm up."""
        device, best = weights.model.device, math.inf
        x = torch.zeros(rows, weights.channels, weights.img_size, weights.img_size, device=device)
        t = torch.zeros(rows, dtype=torch.int64, device=device)
        label = [torch.zeros_like(t)] if weights.num_classes else []
        for _ in range(3):
            start = time.perf_counter()
            weights.model(x, t, *label)
            best = min(best, time.perf_counter() - start)
            yield best
