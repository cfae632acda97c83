"""A training run as a job of the engine, with all that a page needs to draw it from nothing."""

from __future__ import annotations

import dataclasses
import functools
import os
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import torch.nn as nn

from ddpm.autoencoder import encoding
from ddpm.config import Config, SamplingConfig, build_schedule
from ddpm.data import Dataset
from ddpm.device import Inference, pick_device
from ddpm.evaluation import classifiers
from ddpm.evaluation.evaluate import DIGITS, evaluating
from ddpm.generate import Sampler
from ddpm.networks import build_model
from ddpm.objective import TrainingDiverged
from ddpm.presets import TRAINING_EVALUATIONS, training_sampling
from ddpm.schedule import Schedule
from ddpm.storage.checkpoint import with_autoencoder
from ddpm.system.stopwatch import Stopwatch
from ddpm.training.finetune import begin_from
from ddpm.training.loop import fit, resting
from ddpm.training.state import Snapshot, TrainState
from ddpm.ui.generation import recording
from ddpm.ui.generation.models import Model, can_be_classified, wrap
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import Job

from . import zerogpu
from .loss_levels import LEVELS, Levels, about

PART_SECONDS = 0.08  # that a part of a training step may take
FIRST_PART = 8  # pictures, where what one costs is still to be measured
PREVIEWS = 20  # pictures: every class twice, from one fixed noise
PREVIEW_EVERY = 1.0  # seconds from one preview to the next, at least
PREVIEW_SHARE = 0.12  # of a run's seconds, at most, go into previews
FEWEST_PREVIEWS = 8  # that a run is to have: what one may cost
FEWEST_STEPS = 5  # of the sampler in a preview, however slow the network
MAX_POINTS = 400  # of the loss curve that the page gets
ENCODED_AT_ONCE = 100  # pictures
EVALUATED = 1000  # pictures behind the distance at the end


class TrainingRun:
    """A run, and all that a page needs to draw it from nothing."""

    def __init__(
        self, config: Config, data: Dataset, kind: str, budget: float, label: str, begin: nn.Module | None = None
    ):
        """begin: whose weights it continues from.

        Raises CheckpointError if the autoencoder that the configuration names is not here, or another.
        """
        self.id = secrets.token_urlsafe(16)
        self.config, self.codec = with_autoencoder(config)
        self.data, self.kind, self.budget, self.label = data, kind, budget, label
        self.begin, self.begun_from = begin, ""  # in words, once it has begun
        self.of_a_window = False  # its pictures are somebody's own: never on disk, and gone with their windows
        self.windows: set[str] = set()  # that have looked at it and are open
        self.remote = False  # trained on ZeroGPU
        self.beside: TrainingRun | None = None  # a second run in the same job
        self.is_beside = False  # whether it is the second one of such a pair
        self.halt = False
        self.complete = False  # the budget is spent
        self.resume: Snapshot | None = None  # where a continued run goes on
        self.job: Job | None = None
        self.ended_with: str | None = None  # of a run that comes from the disk, or of one of a pair
        self.state: TrainState | None = None
        self.good: Snapshot | None = None  # at the latest preview with a loss that says something
        self.parts: list[tuple[int, int]] = []  # from which step on, how many pictures of a batch at a time
        self.points: list[tuple[int, float, float, float]] = []  # step, seconds, loss, smoothed loss
        self.stride = 1
        self.previews: list[dict[str, Any]] = []
        self.classifiable = can_be_classified(data.name, data.images.shape)
        self.encoding: dict[str, int] | None = None  # how far the pictures are encoded
        self.evaluating: dict[str, Any] | None = None  # how far the evaluation at the end is
        self.evaluation: dict[str, Any] | None = None
        self.paused_by_hand = False  # paused by somebody
        self.idle = False  # paused because nobody watched it, until somebody does and there is room
        self.seen = self.began = time.monotonic()  # when somebody watched it last
        self.clock = Stopwatch()  # the seconds of the budget: of the clock, from Start on, previews included
        self.evaluation_seconds: float | None = None  # of one picture by the network, as previews found it
        self.device = pick_device()

    @functools.cached_property
    def sched(self) -> Schedule:
        """Made on the engine's thread, see `ddpm.system.threads.apart`."""
        return build_schedule(self.config.schedule, self.device)

    @functools.cached_property
    def levels(self) -> Levels:
        """Made where it is first asked for, on the engine's thread: it asks torch for all cores, see engine.py."""
        return Levels(self.data, self.sched, PREVIEWS, self.config.model.conditional, self.codec)

    @property
    def reached(self) -> TrainState:
        """How far it is.  Raises ValueError before its first step."""
        if self.state is None:
            raise ValueError("There are no weights yet: press Start and train some.")
        return self.state

    @property
    def latent(self) -> bool:
        """Whether its diffusion is of latents."""
        return self.codec is not None

    @property
    def together(self) -> list[TrainingRun]:
        """Itself, and the run beside it."""
        return [self] if self.beside is None else [self, self.beside]

    @property
    def active(self) -> bool:
        return self.job is not None and not self.job.finished.done()

    @property
    def error(self) -> str | None:
        return (self.job.error if self.job else None) or self.ended_with

    @property
    def paused(self) -> bool:
        return self.active and (self.paused_by_hand or self.idle)

    def part_size(self) -> int:
        """How many pictures of a batch to train on at a time, so that nobody else waits longer than PART_SECONDS."""
        size = max(1, int(PART_SECONDS * self.state.images_per_second)) if self.state else FIRST_PART
        taken = min(size, self.config.train.batch_size)
        if not self.parts or self.parts[-1][1] != taken:
            self.parts.append((self.state.step if self.state else 0, taken))
        return size

    def trained(self) -> Iterator[TrainState | Future[Any] | None]:
        """The training itself; each state yielded is on the curve.  A Future is of what is computed elsewhere; None
        comes between two parts of a step."""
        images, labels = self.data.images, self.data.labels if self.config.model.conditional else None
        budget: dict[str, Any] = {"steps": int(self.budget)} if self.kind == "steps" else {"seconds": self.budget}
        if self.remote:
            for answer in zerogpu.train(self.config, images, labels, budget, self.resume):
                if isinstance(answer, Future):
                    yield answer
                    continue
                points, reached = answer
                for point in points:
                    self.record(*point)
                yield reached
            return
        model = build_model(self.config.model, self.config.train.seed, self.codec).to(self.device)
        if self.begin is not None and self.resume is None:
            self.begun_from = f"other weights, {begin_from(model, self.begin)}".removesuffix(", ")
        options: dict[str, Any] = {
            "sched": self.sched,
            "config": self.config.train,
            "resume": self.resume,
            "clock": self.clock,
            "part_size": self.part_size,
        } | budget
        for state in fit(model, images, labels, **options):
            if state is None:  # within a step
                yield None
                continue
            self.record(state.step, state.seconds, state.loss, state.loss_smooth)
            yield state

    def encode(self) -> Iterator[None]:
        """The latents of the data set, before the seconds of a run in latent space begin."""
        begin, n = self.clock(), len(self.data.images)
        for part, _ in enumerate(encoding(self.codec, self.data.images, ENCODED_AT_ONCE) if self.codec else ()):
            self.encoding = {"n": n, "encoded": min(n, (part + 1) * ENCODED_AT_ONCE)}
            yield
        self.encoding = None
        self.clock.forget(self.clock() - begin)

    def steps(self) -> Iterator[Future[Any] | None]:
        """The engine's job: one optimiser step, or one network evaluation of a preview, a step."""
        yield from self.encode()
        due, cost = self.clock() + PREVIEW_EVERY, 0.0
        try:
            for state in self.trained():
                if state is None or isinstance(state, Future):
                    yield state
                    continue
                self.state = state
                yield None
                if self.halt:
                    break
                if self.clock() >= due and self.seconds_left() > cost:  # the last one comes after the budget
                    begin = self.clock()
                    yield from self.preview(self.affordable())
                    cost = self.clock() - begin
                    due = self.clock() + max(PREVIEW_EVERY, cost / PREVIEW_SHARE)
        except TrainingDiverged as error:
            self.halt = True
            self.state = resting(self.config, self.good, self.codec) if self.good else None
            kept = f"The weights of step {self.state.step} are kept" if self.state else "No weights are left"
            raise ValueError(f"Stopped: {error}. {kept}.") from None
        self.complete = not self.halt
        self.clock.run(False)
        yield from self.preview(self.sampling())
        if self.complete and self.classifiable and EVALUATED:
            yield from self.classifier()

    def seconds_left(self) -> float:
        """Of the budget: what the last step said, less what has passed since, in a preview for example."""
        since = 0.0 if self.remote else self.clock() - self.reached.seconds
        return max(0.0, self.reached.seconds_left - since)

    def sampling(self) -> SamplingConfig:
        """How the network is asked for pictures now."""
        return training_sampling(self.reached.images_seen, self.sched.T, self.latent)

    def affordable(self) -> SamplingConfig:
        """The same with so few steps that FEWEST_PREVIEWS of them fit into their share of the run's seconds.

        What a picture costs is as the last preview found it; before the first, a third of what it costs in training,
        where it also goes backward.
        """
        speed, sampling = self.reached.images_per_second, self.sampling()
        run_seconds = self.budget if self.kind == "seconds" else self.budget * self.config.train.batch_size / speed
        each = self.evaluation_seconds or 1 / (3 * speed)
        evaluations = PREVIEW_SHARE * run_seconds / FEWEST_PREVIEWS / each  # of single pictures
        each_may = (evaluations - LEVELS * PREVIEWS) / (2 * PREVIEWS)  # of averaged and of live weights
        steps = max(FEWEST_STEPS, int(sampling.num_steps * each_may / TRAINING_EVALUATIONS))
        return dataclasses.replace(sampling, num_steps=min(steps, sampling.num_steps))

    def record(self, step: int, seconds: float, loss: float, loss_smooth: float) -> None:
        if step % self.stride == 0 or step == 1:
            self.points.append((step, seconds, loss, loss_smooth))
        if len(self.points) > MAX_POINTS:
            self.points, self.stride = self.points[::2], 2 * self.stride

    def sampler(self, model: Inference, sampling: SamplingConfig) -> Sampler:
        return Sampler(model, self.sched, sampling)

    def preview(self, sampling: SamplingConfig) -> Iterator[None]:
        """A moment of the recording: what the averaged and the live weights make of one noise, and the loss by level.

        The seconds of its network evaluations are measured for the next one.
        """
        state, live = self.reached, Inference(self.reached.live_model(), "auto")
        shown: dict[str, Any] = {"index": len(self.previews), "step": state.step, "seconds": round(state.seconds, 1)}
        worked, evaluations = 0.0, 0
        for key, model in (("averaged", Inference(state.ema_model(), "auto")), ("live", live)):
            sampler = self.sampler(model, sampling)
            evaluations += sampler.evaluations * PREVIEWS
            begin = time.perf_counter()
            for moment in sampler.steps(PREVIEWS):
                x = moment.x_t
                worked += time.perf_counter() - begin
                yield
                begin = time.perf_counter()
            drawn = sampler.pictures(x)
            shown[key] = protocol.b64(recording.frame(drawn))
            if self.classifiable:
                shown[f"{key}_digits"] = classifiers.read(drawn).digits.tolist()
        self.evaluation_seconds = worked / evaluations
        shown["levels"] = []
        for loss in self.levels.measure(live):
            shown["levels"].append(loss)
            yield
        history = [(p["seconds"], p["levels"]) for p in [*self.previews, shown]]
        shown["about"] = about(history, self.config.schedule.T, self.config.model.prediction)
        if not self.previews:
            shown["inputs"] = self.levels.thumbnails()
        self.previews.append(shown)
        if state.loss_smooth < 1:  # more than a network that says nothing
            self.good = state.snapshot()

    def classifier(self) -> Iterator[None]:
        """The Frechet distance of the finished run's pictures, once."""
        sampler, begin = self.sampler(Inference(self.reached.ema_model(), "auto"), self.sampling()), time.monotonic()
        self.evaluating = {"n": EVALUATED, "drawn": 0, "seconds_left": None}
        for found in evaluating(sampler, EVALUATED):
            if self.halt:
                break
            if isinstance(found, dict):
                self.evaluation = found
            elif found:
                left = (time.monotonic() - begin) * (1 / found - 1)
                self.evaluating = {"n": EVALUATED, "drawn": round(found * EVALUATED), "seconds_left": round(left)}
            yield
        self.evaluating = None

    def info(self) -> dict[str, Any]:
        """What the checkpoint tells of its making."""
        state = self.reached
        return {
            "dataset": self.data.name,
            "images_in_dataset": len(self.data.images),
            "class_names": list(self.data.class_names),
            "attributes": [dataclasses.asdict(each) for each in self.data.attributes],
            "command": f"the Train tab: {self.label}",
            "begun_from": self.begun_from,
            "device": self.computed_on(),
            "precision": self.config.train.precision,
            "parameters": sum(p.numel() for p in state.ema_model().parameters()),
            "images_seen": state.images_seen,
            "held_out_loss": None,
            "step": state.step,
            "seconds": state.seconds,
            "loss_smooth": state.loss_smooth,
        }

    def computed_on(self) -> str:
        if self.remote:
            return "ZeroGPU"
        return f"{os.cpu_count()} CPU cores" if self.device.type == "cpu" else self.device.type

    def weights(self, label: str) -> Model:
        """The averaged weights as they are now, ready to be asked."""
        kind, data = self.config.schedule.kind, self.data
        attributes = data.attributes if self.config.model.attributes else ()
        return wrap(self.reached.ema_model(), self.sched, kind, label, data.name, data.class_names, attributes)

    def packet(self, first_preview: int = 0) -> dict[str, Any]:
        """All of the curve, which is bounded, and the previews from the given one on."""
        points, state, m = list(self.points), self.state, self.config.model
        packet = {
            "run": self.id,
            "done": not self.active,
            "stopped": self.halt and not self.complete,
            "paused": self.paused,
            "waiting": self.active and self.idle,  # or else it would be awake, now that somebody looks
            "encoding": self.encoding,
            "evaluating": self.evaluating,
            "error": self.error,
            "label": self.label,
            "latent": self.latent,
            "digits": self.data.name in DIGITS,
            "kind": self.kind,
            "budget": self.budget,
            "prediction": m.prediction,
            "T": self.config.schedule.T,
            "labels": [i % m.num_classes for i in range(PREVIEWS)] if m.num_classes else None,
            "size": self.data.images.shape[-1],
            "channels": self.data.images.shape[1],
            "n": PREVIEWS,
            "curve": [[round(value, 5) for value in column] for column in zip(*points, strict=True)],
            "kept": len(self.previews),
            "frames": self.previews[first_preview:],
        }
        if state is not None:
            packet |= {
                "step": state.step,
                "seconds": round(state.seconds, 1),
                "seconds_left": round(self.seconds_left(), 1),
                "images_seen": state.images_seen,
                "images_per_second": round(state.images_per_second),
                "loss": round(state.loss_smooth, 4),
                "lr": float(f"{state.lr:.3g}"),
                "grad_norm": float(f"{state.grad_norm:.3g}"),
                "clipped": round(state.clipped, 3),
            }
        if self.evaluation is not None:
            said = {name: self.evaluation[name] for name in ("fid_over_real", "n", "accuracy")}
            packet["evaluation"] = said | {"second": self.evaluation["second"]["fid_over_real"]}
        return packet
