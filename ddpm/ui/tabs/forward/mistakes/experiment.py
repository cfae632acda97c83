"""What the inner tab Common mistakes computes: networks trained with and without mistakes, and what each draws."""

from __future__ import annotations

import copy
import dataclasses
import functools
import time
from collections.abc import Iterator, Set
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm.autoencoder import Codec
from ddpm.config import Config, build_schedule
from ddpm.denoiser import Denoiser
from ddpm.device import Inference, pick_device
from ddpm.evaluation import classifiers
from ddpm.guidance import Guided
from ddpm.networks import build_model
from ddpm.presets import PRESETS
from ddpm.schedule import Schedule
from ddpm.storage.checkpoint import with_autoencoder
from ddpm.training.loop import fit
from ddpm.ui.generation import recording
from ddpm.ui.generation.models import dataset
from ddpm.ui.server import cache, protocol
from ddpm.ui.server.sessions import Run

from . import mistakes
from .as_python import of_mistakes
from .mistakes import IN_SAMPLING, IN_TRAINING, LIVE, RAW_STD, SCALE

BATCH = 32  # as wide as the pictures are: with any other, PyTorch refuses the wrong broadcast
MODEL, SCHEDULE = PRESETS["fast"].model, PRESETS["fast"].schedule
# The learning rate stays high, as the tutorial's does: where it falls to nothing, live and averaged weights agree.
STEADY: dict[str, Any] = {"t_sampling": "uniform", "lr_decay": False}
TRAIN = dataclasses.replace(PRESETS["fast"].train, batch_size=BATCH, **STEADY)
MOMENTS = 8  # of a training at which both draw, after the one before it
DIGITS, DRAW_STEPS, GUIDANCE = 10, 25, 1.5
STEPS = (MOMENTS, 1000)  # of the optimiser: at least, at most
GIVEN = 5  # pictures of a batch that the page shows
CURVE_POINTS = 100
EDGE = 2  # pixels of a picture's frame, where no digit has ink


@dataclasses.dataclass(frozen=True)
class Moment:
    """A network in the middle of its training.  loss, given: of its last step, None before the first."""

    step: int
    averaged: Inference
    live: Inference
    loss: float | None = None
    given: Tensor | None = None  # some of its x_t, (GIVEN, C, S, S), from clean to noise
    std: float | None = None  # of the x0 in its batch


def key(broken: Set[str], num_steps: int, seed: int, latent: bool) -> str:
    """What a training depends on: it is the same for mistakes that are made in sampling alone."""
    return repr((sorted(broken & set(IN_TRAINING)), num_steps, seed, latent))


def keys(broken: Set[str], num_steps: int, seed: int) -> tuple[str, str]:
    """Of the two trainings that an experiment compares, as it should be and broken: both in the same space."""
    return key(frozenset(), num_steps, seed, SCALE in broken), key(broken, num_steps, seed, SCALE in broken)


class Training:
    """A small network on its way, with those mistakes of `broken` that are made in training."""

    def __init__(self, broken: Set[str], num_steps: int, seed: int, latent: bool = False):
        """latent: whether it is of latents."""
        self.broken, self.num_steps, self.seed, self.latent = broken & set(IN_TRAINING), num_steps, seed, latent
        self.key = key(broken, num_steps, seed, latent)
        self.moments: list[Moment] = []
        self.losses: list[float] = []
        self.given: Tensor | None = None
        self.std: float | None = None

    @functools.cached_property
    def set_up(self) -> tuple[Config, Codec | None]:
        """What is trained, and whose latents it is of; made on the engine's thread, as the schedule is."""
        if self.latent:
            config, codec = with_autoencoder(PRESETS["latent"])
            return dataclasses.replace(config, train=dataclasses.replace(config.train, **STEADY)), codec
        return Config(MODEL, SCHEDULE, TRAIN), None

    @property
    def config(self) -> Config:
        """Of the whole, with the seed of this training."""
        whole, _ = self.set_up
        return dataclasses.replace(whole, train=dataclasses.replace(whole.train, seed=self.seed))

    @functools.cached_property
    def sched(self) -> Schedule:
        """Made on the engine's thread, see `ddpm.system.threads.apart`."""
        return build_schedule(self.set_up[0].schedule, pick_device())

    def pictures(self, x: Tensor) -> Tensor:
        """What x looks like, on the CPU: itself, or what the autoencoder makes of it, whichever scale that gives."""
        codec = self.set_up[1]
        return (x if codec is None else codec.decode(x / RAW_STD if SCALE in self.broken else x)).cpu()

    def steps(self) -> Iterator[None]:
        """One optimiser step a step."""
        config, codec = self.config, self.set_up[1]
        model, data = build_model(config.model, self.seed, codec).to(pick_device()), dataset("bundled")
        first = Inference(copy.deepcopy(model), "auto")
        self.moments.append(Moment(0, first, first))
        due = {round(self.num_steps * k / MOMENTS) for k in range(1, MOMENTS + 1)}
        training = config.train
        steps = fit(
            model, data.images, data.labels, sched=self.sched, config=training, steps=self.num_steps, loss=self.loss
        )
        for state in filter(None, steps):
            self.losses.append(state.loss_smooth)
            if state.step in due:
                averaged, live = Inference(state.ema_model(), "auto"), Inference(state.live_model(), "auto")
                self.moments.append(Moment(state.step, averaged, live, state.loss_smooth, self.given, self.std))
            yield

    def loss(self, model: Denoiser, x0: Tensor, t: Tensor, noise: Tensor, sched: Schedule, y: Tensor) -> Tensor:
        """objective.loss, with the mistakes and a look at what the network is given."""
        x_t, expected = mistakes.pair(x0, t, noise, sched, self.broken)
        self.given = x_t[t.argsort()[torch.linspace(2, len(t) - 3, GIVEN).long()]]
        self.std = mistakes.taken_for_x0(x0, self.broken).std().item()
        return F.mse_loss(model(x_t, t, y).float(), expected)

    @property
    def size(self) -> int:
        """Bytes, about: two networks at each moment."""
        return 8 * len(self.moments) * sum(p.numel() for p in self.moments[0].live.model.parameters())


class Pace:
    """Seconds of one optimiser step and of one step of drawing, as they were lately on this server."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, kind: str, steps: Iterator[Any]) -> Iterator[Any]:
        """The same steps, each timed but for the first, in which everything is made ready."""
        next(steps)
        yield None
        while True:
            start = time.perf_counter()
            try:
                value = next(steps)
            except StopIteration:
                return
            took = time.perf_counter() - start
            self.seconds[kind] = 0.9 * self.seconds.get(kind, took) + 0.1 * took
            yield value

    def of(self, optimiser_steps: int, drawings: int, latent: bool) -> float | None:
        """Seconds of computing for so much; None while either kind is unknown."""
        train, draw = (self.seconds.get(kind_of(each, latent)) for each in ("train", "draw"))
        return None if train is None or draw is None else optimiser_steps * train + drawings * DRAW_STEPS * draw


def kind_of(step: str, latent: bool) -> str:
    """Of which kind a step is, of those whose seconds are like each other."""
    return f"{step}, latents" if latent else step


class Lane:
    """What is drawn at each moment of a training, with those mistakes of `broken` that are made in sampling."""

    def __init__(self, training: Training, broken: Set[str]):
        self.training, self.broken = training, broken & set(IN_SAMPLING)
        self.shown: Tensor | None = None  # the digits of the moment before

    def draw(self, k: int) -> Iterator[dict[str, Any] | None]:
        """One network evaluation a step; at last, what the page gets of moment k."""
        moment, stds = self.training.moments[k], []
        model = moment.live if LIVE in self.broken else moment.averaged
        y = torch.arange(DIGITS, device=model.device)
        guided = Guided(model, GUIDANCE)
        of = self.training.set_up[0].model
        size = {"channels": of.in_ch, "img_size": of.img_size}
        for x_t in mistakes.draw(guided, self.training.sched, y, DRAW_STEPS, self.training.seed, self.broken, **size):
            stds.append(round(x_t.std().item(), 4))
            yield None
        x = self.training.pictures(x_t)
        shown = {"moment": k, "step": moment.step, "pictures": protocol.b64(recording.frame(x)), "stds": stds}
        yield shown | self.facts(x, moment)

    def facts(self, x: Tensor, moment: Moment) -> dict[str, Any]:
        """What is measured of finished digits, unclamped as they are: (DIGITS, 1, S, S)."""
        shown = x.clamp(-1, 1)
        change = None if self.shown is None else (shown - self.shown).square().mean().sqrt().item()
        self.shown = shown
        found = {
            "loss": moment.loss,
            "change": change,
            "scale": moment.std,
        }
        given = None if moment.given is None else protocol.b64(recording.frame(self.training.pictures(moment.given)))
        rounded = {name: None if value is None else round(value, 3) for name, value in found.items()}
        return rounded | of_pictures(x) | {"digits": classifiers.read(x).digits.tolist(), "given": given}


def of_pictures(x: Tensor) -> dict[str, float]:
    """What is measured of the pixels, unclamped as they are: (B, C, S, S).  edge: the mean where no digit has ink."""
    edge = torch.ones_like(x, dtype=torch.bool)
    edge[:, :, EDGE:-EDGE, EDGE:-EDGE] = False
    found = {"edge": x[edge].mean(), "low": x.min(), "high": x.max()}
    return {name: round(value.item(), 3) for name, value in found.items()}


class Ended(Run):
    """An experiment without its networks: its frames, and its broken lane as lines of Python."""

    def __init__(self, run_id: str, frames: list[dict[str, Any]], python: str):
        super().__init__()
        self.id, self.frames, self.python = run_id, frames, python


class Experiment(Run):
    """Two lanes from the same weights, batches and noise, as it should be and broken: the work, and what the page gets.

    kept: finished trainings, in which this one looks first: the lane as it should be is trained once for all breaks.
    """

    def __init__(self, broken: Set[str], num_steps: int, seed: int, kept: cache.LRUCache, pace: Pace):
        super().__init__()
        self.broken, self.num_steps, self.kept, self.pace = broken, num_steps, kept, pace
        self.latent = SCALE in broken
        right, wrong = (Training(each, num_steps, seed, self.latent) for each in (set(), broken))
        right, wrong = (kept.get(training.key) or training for training in (right, wrong))
        self.trainings = [right] if wrong.key == right.key else [right, wrong]
        self.lanes = [Lane(self.trainings[0], set()), Lane(self.trainings[-1], broken)]

    def steps(self) -> Iterator[dict[str, Any] | None]:
        """The engine's job: up to each moment the trainings take turns, then the lanes draw."""
        train, draw = (kind_of(each, self.latent) for each in ("train", "draw"))
        going = {training.key: self.pace.timed(train, training.steps()) for training in self.trainings}
        for k in range(MOMENTS + 1):
            while behind := [training for training in self.trainings if len(training.moments) <= k]:
                for training in behind:
                    next(going[training.key])
                    yield {}
            for i, lane in enumerate(self.lanes):
                for found in self.pace.timed(draw, lane.draw(k)):
                    yield self.add({"lane": i} | found) if found else {}
        for training in self.trainings:
            self.kept.put(training.key, training, training.size)

    def left(self) -> tuple[int, int]:
        """Optimiser steps and drawings still to come."""
        to_train = sum(self.num_steps - len(training.losses) for training in self.trainings)
        return to_train, 2 * (MOMENTS + 1) - len(self.frames)

    def left_behind(self) -> Ended:
        return Ended(self.id, self.frames, self.python())

    def python(self) -> str:
        """Its broken lane at the last step at which that was drawn; "" before the first."""
        last = max((frame["step"] for frame in self.frames if frame["lane"] == 1), default=0)
        if not last:
            return ""
        return of_mistakes(self.trainings[-1].config, self.broken, last, DIGITS, DRAW_STEPS, GUIDANCE)

    def about(self) -> dict[str, Any]:
        """What is trained, and how far."""
        seconds = self.pace.of(*self.left(), self.latent)
        return {
            "total": MOMENTS + 1,
            "broken": [each for each in mistakes.NAMES if each in self.broken],
            "step": min(len(training.losses) for training in self.trainings),
            "num_steps": self.num_steps,
            "curves": [curve(training.losses, self.num_steps) for training in self.trainings],
            "seconds_left": None if seconds is None else round(seconds),
            "n": DIGITS,
            "size": MODEL.img_size,
            "channels": MODEL.in_ch,
        }


def curve(losses: list[float], num_steps: int) -> list[list[float]]:
    """[steps, smoothed losses], about CURVE_POINTS of them over the whole training."""
    stride = max(1, num_steps // CURVE_POINTS)
    at = range(stride, len(losses) + 1, stride)
    return [list(at), [round(losses[step - 1], 4) for step in at]]


def measure(pace: Pace, latent: bool) -> Iterator[bool]:
    """The engine's job, for a forecast before the first run: a training as short as they come, and one drawing."""
    training = Training(set(), STEPS[0], 0, latent)
    for step, steps in (("train", training.steps()), ("draw", Lane(training, set()).draw(0))):
        for _ in pace.timed(kind_of(step, latent), steps):
            yield True
