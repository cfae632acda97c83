"""A reverse process as the page asks for it: the settings, checked; the frames, computed; what it costs, measured."""

from __future__ import annotations

import dataclasses
import math
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..config import SAMPLERS, SPACINGS, VARIANCES, SamplingConfig
from ..generate import Sampler
from ..presets import PAGE_SAMPLING
from ..samplers import SampleStep, asked_at, num_evaluations
from ..system.version import __version__
from . import parts
from .equations import NAMES, coefficients
from .film import MAX_FRAMES, Film, evenly
from .server import limits, protocol
from .server.engine import Engine
from .weights import Library, Weights

MAX_STEPS = 1000  # that any server may allow
MAX_GUIDANCE = 10.0
MAX_COSTS = 500  # measurements that are remembered
ALL, NONE, ANY = "all in turn", "none", "random"  # what is chosen instead of a class


@dataclass(frozen=True)
class Settings:
    """What Generate was asked for, checked.  choice: the class as it was chosen, labels: what it means."""

    n: int
    choice: str
    labels: tuple[int, ...]
    how: SamplingConfig
    middle: bool  # whether guidance was asked for at medium noise only
    seed: int
    weights_id: str
    weights: Weights

    @classmethod
    def check(cls, library: Library, n, choice, seed, weights_id, **how) -> Settings:
        """how: see `check_how`.  Raises ValueError with one clear sentence about the first value that will not do."""
        weights = library.get(weights_id)
        choice = protocol.one_of(choice, "Class", choices(weights))
        known = tuple(range(weights.num_classes)) or (-1,)
        labels = {ALL: known, NONE: (-1,)}.get(choice) or (named(weights.class_names).index(choice),)
        n = protocol.whole_number(n, "Digits", 1, limits.current().digits)
        checked = check_how(weights.sched.T, **how)
        seed = protocol.whole_number(seed, "Seed", 0, protocol.MAX_SEED)
        return cls(n, choice, labels, checked, how["middle"], seed, weights_id, weights)

    def asked(self) -> Tensor | None:
        """(n,) int64: the class of each digit; None of weights without classes."""
        return parts.digit_labels(list(self.labels), self.n) if self.weights.num_classes else None

    def sampler(self) -> Sampler:
        """Whom to ask for these digits.  Without a label there is nothing to be guided by."""
        how = self.how if -1 not in self.labels else dataclasses.replace(self.how, guidance=1.0)
        return Sampler(self.weights.model, self.weights.sched, how)

    def recipe(self) -> dict[str, Any]:
        """What it takes to make the same pictures again."""
        return {
            "ddpm": __version__,
            "weights": self.weights.label,  # the id of a training run is nobody else's business
            "sampler": self.how.sampler,
            "steps": self.how.num_steps,
            "eta": self.how.eta,
            "variance": self.how.variance,
            "spacing": self.how.spacing,
            "clip": self.how.clip,
            "guidance": self.how.guidance,
            "middle": self.middle,
            "class": self.choice,
            "n": self.n,
            "seed": self.seed,
        }


def check_how(
    T: int, sampler, steps, guidance, middle, eta, variance="small", spacing="linspace", clip=True
) -> SamplingConfig:
    """How a page asks for samples of a model with T times.  middle: whether guidance counts at medium noise only.

    Raises ValueError with one clear sentence about the first value that will not do.
    """
    sampler = protocol.one_of(sampler, "Sampler", SAMPLERS)
    steps = protocol.whole_number(steps, "Steps", 1, min(limits.current().steps, T))
    guidance = protocol.number(guidance, "Guidance", 0, MAX_GUIDANCE)
    middle = protocol.one_of(middle, "Guide at medium noise only", (True, False))
    eta = protocol.number(eta, "Eta", 0, 1)
    variance = protocol.one_of(variance, "Variance", VARIANCES)
    spacing = protocol.one_of(spacing, "Spacing", SPACINGS)
    clip = protocol.one_of(clip, "Clip", (True, False))
    between = (PAGE_SAMPLING.guide_from, PAGE_SAMPLING.guide_to) if middle else (0.0, 1.0)
    return SamplingConfig(sampler, steps, eta, guidance, *between, variance, spacing, clip)


def choices(weights: Weights) -> tuple[str, ...]:
    """What can be asked of these weights: every class in turn, no class, or one of them."""
    return (ALL, NONE, *named(weights.class_names)) if weights.num_classes else (NONE,)


def named(classes: Sequence[str]) -> tuple[str, ...]:
    """How each class is chosen: by its name, or as "class none" where the name alone means something else here.

    So that no two are chosen alike, a class that is really called "class none" is "class class none".
    """
    return tuple(re.sub(f"^(?=(class )*({ALL}|{NONE}|{ANY})\\Z)", "class ", name) for name in classes)


def deterministic(s: Settings) -> bool:
    """Whether no noise is drawn after the first."""
    return s.how.sampler in ("dpmpp", "heun") or (s.how.sampler == "ddim" and s.how.eta == 0)


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
            step = self.times[i + 1], coefficients(how, self.times, i, sched), parts.frame(moment.eps_hat)
        shown = parts.frame(moment.x_t), parts.frame(moment.x0_hat)
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
