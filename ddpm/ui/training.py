"""Training runs as jobs of the engine: checked, started, paused, continued, and drawn from nothing by any page."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..config import PRESETS, Config, for_dataset, training_sampling
from ..data import Dataset, load_dataset
from ..device import Inference, pick_device
from ..evaluate import Sampler
from ..schedule import build_schedule
from ..train import Snapshot, TrainState, build_model, fit
from . import parts
from .engine import Busy, Engine, Job
from .weights import Weights, dataset, wrap

DATASETS = {
    "Bundled digits (10,000)": "bundled",
    "MNIST (60,000)": "mnist",
    "Fashion-MNIST (60,000)": "fashion",
    "CIFAR-10, colour (50,000)": "cifar10",
}
MEGABYTES = {"bundled": 0, "mnist": 12, "fashion": 31, "cifar10": 170}  # to download
BUDGETS = {"seconds": (5, 600), "steps": (1, 20_000)}
MAX_ACTIVE = 4  # training runs at a time on one server
KEPT_RUNS = 16
PREVIEWS = 20  # pictures: every class twice, from one fixed noise
PREVIEW_EVERY = 2.0  # seconds of training at first, later a twentieth of the time spent
MAX_POINTS = 400  # of the loss curve that the page gets


class TrainingRun:
    """A run, and all that a page needs to draw it from nothing."""

    def __init__(self, config: Config, data: Dataset, kind: str, budget: float, label: str):
        self.id = secrets.token_urlsafe(16)
        self.config, self.data, self.kind, self.budget, self.label = config, data, kind, budget, label
        self.halt = False
        self.resume: Snapshot | None = None  # where a continued run goes on
        self.job: Job | None = None
        self.state: TrainState | None = None
        self.points: list[tuple[int, float, float, float]] = []  # step, seconds, loss, smoothed loss
        self.stride = 1
        self.previews: list[dict[str, Any]] = []
        self.device = pick_device()
        self.sched = build_schedule(config.schedule, self.device)

    @property
    def active(self) -> bool:
        return self.job is not None and not self.job.finished.done()

    def steps(self) -> Iterator[None]:
        """The engine's job: one optimiser step, or one network evaluation of a preview, a step."""
        model = build_model(self.config.model, self.config.train.seed).to(self.device)
        labels = self.data.labels if model.num_classes else None
        options = {"steps": int(self.budget)} if self.kind == "steps" else {"seconds": self.budget}
        options |= {"sched": self.sched, "config": self.config.train, "resume": self.resume}
        due = self.state.seconds + PREVIEW_EVERY if self.state else PREVIEW_EVERY / 2
        for state in fit(model, self.data.images, labels, **options):
            self.state = state
            self.record(state)
            yield
            if self.halt:
                break
            if state.seconds >= due:
                yield from self.preview()
                due = state.seconds + max(PREVIEW_EVERY, state.seconds / 20)
        yield from self.preview()

    def record(self, state: TrainState) -> None:
        if state.step % self.stride == 0 or state.step == 1:
            self.points.append((state.step, state.seconds, state.loss, state.loss_smooth))
        if len(self.points) > MAX_POINTS:
            self.points, self.stride = self.points[::2], 2 * self.stride

    def preview(self) -> Iterator[None]:
        """Samples of the averaged weights, always from the same noise and of the same classes."""
        state = self.state
        how = training_sampling(state.images_seen, self.sched.T)
        for step in Sampler(Inference(state.ema_model(), "auto"), self.sched, how).steps(PREVIEWS):
            last = step
            yield
        shown = {"k": len(self.previews), "step": state.step, "seconds": round(state.seconds, 1)}
        self.previews.append(shown | {"x": parts.b64(parts.frame(last.x_t))})

    def info(self) -> dict[str, Any]:
        """What the checkpoint tells of its making."""
        state = self.state
        return {
            "dataset": self.data.name,
            "images_in_dataset": len(self.data.images),
            "class_names": list(self.data.class_names),
            "command": f"the Train tab: {self.label}",
            "device": f"{os.cpu_count()} CPU cores" if self.device.type == "cpu" else self.device.type,
            "precision": self.config.train.precision,
            "parameters": sum(p.numel() for p in state.ema_model().parameters()),
            "images_seen": state.images_seen,
            "held_out_loss": None,
            "step": state.step,
            "seconds": state.seconds,
            "loss_smooth": state.loss_smooth,
        }

    def weights(self, label: str) -> Weights:
        """The averaged weights as they are now, ready to be asked."""
        kind, data = self.config.schedule.kind, self.data
        return wrap(self.state.ema_model(), self.sched, kind, label, data.name, data.class_names)

    def packet(self, first_preview: int = 0) -> dict[str, Any]:
        """All of the curve, which is bounded, and the previews from the given one on."""
        points, state, m = list(self.points), self.state, self.config.model
        packet = {
            "run": self.id,
            "active": self.active,
            "stopped": self.halt,
            "paused": self.job.paused,
            "error": self.job.error,
            "label": self.label,
            "kind": self.kind,
            "budget": self.budget,
            "prediction": m.prediction,
            "size": m.img_size,
            "channels": m.in_ch,
            "n": PREVIEWS,
            "curve": [[round(value, 5) for value in column] for column in zip(*points, strict=True)],
            "num_previews": len(self.previews),
            "previews": self.previews[first_preview:],
        }
        if state is not None:
            packet |= {
                "step": state.step,
                "seconds": round(state.seconds, 1),
                "seconds_left": round(state.seconds_left, 1),
                "images_seen": state.images_seen,
                "images_per_second": round(state.images_per_second),
                "loss": round(state.loss_smooth, 4),
                "lr": state.lr,
            }
        return packet


class Runs:
    """The training runs of this server, by ids that nobody can guess."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._runs: dict[str, TrainingRun] = {}

    def get(self, run_id: Any) -> TrainingRun | None:
        return self._runs.get(run_id) if isinstance(run_id, str) else None

    def go_on(self, run: TrainingRun, seconds: float) -> None:
        """Train a run that has ended for so many seconds more.  Raises ValueError."""
        if run.active:
            raise ValueError("Your training run is still going. Press Stop first.")
        if run.state is None:
            raise ValueError("There is nothing to continue: press Start.")
        run.resume = run.state.snapshot()
        run.kind, run.budget = "seconds", run.state.seconds + seconds
        self.start(run)

    def start(self, run: TrainingRun) -> None:
        """Raises Busy if too many are under way."""
        if sum(other.active for other in self._runs.values()) >= MAX_ACTIVE:
            raise Busy(f"{MAX_ACTIVE} training runs are under way on this server. Try again when one has ended.")
        run.halt = False
        run.job = self.engine.submit(run.steps())
        self._runs[run.id] = run
        ended = [key for key, other in self._runs.items() if not other.active]
        for key in ended[: max(0, len(self._runs) - KEPT_RUNS)]:
            del self._runs[key]


# The controls under More: the field of the configuration that each sets.
MORE = (
    ("train", "lr"),
    ("train", "batch_size"),
    ("schedule", "kind"),
    ("model", "prediction"),
    ("train", "ema_decay"),
    ("train", "label_dropout"),
    ("model", "base"),
    ("train", "seed"),
)
WHOLE = {"batch_size": "Batch size", "base": "Width", "seed": "Seed"}
LIMITS = {"batch_size": 512, "base": 128}  # of what a page may ask of a server, below those of the configuration


def more_of(config: Config) -> list[Any]:
    """The values of the controls under More in a configuration."""
    return [getattr(getattr(config, part), name) for part, name in MORE]


def with_more(config: Config, values: Sequence[Any]) -> Config:
    """The configuration with the controls under More set.  Raises ValueError about the first that will not do."""
    changed: dict[str, dict[str, Any]] = {"model": {}, "schedule": {}, "train": {}}
    for (part, name), value in zip(MORE, values, strict=True):
        if name in WHOLE:
            value = parts.whole_number(value, WHOLE[name], 0, LIMITS.get(name, parts.MAX_SEED))
        changed[part][name] = value
    try:
        asked = Config(*(dataclasses.replace(getattr(config, part), **fields) for part, fields in changed.items()))
    except ValueError as error:
        raise ValueError(f"Under More: {error}.") from None
    muon_lr = min(1.0, config.train.muon_lr * asked.train.lr / config.train.lr)  # one knob turns both
    return dataclasses.replace(asked, train=dataclasses.replace(asked.train, muon_lr=muon_lr))


def check(preset: Any, name: Any, kind: Any, budget: Any, *more: Any) -> TrainingRun:
    """A run as it was asked for.  Raises ValueError with one clear sentence about the first value that will not do."""
    preset = parts.one_of(preset, "Preset", PRESETS)
    name = parts.one_of(name, "Data", DATASETS.values())
    kind = parts.one_of(kind, "Budget", BUDGETS)
    budget = (parts.number if kind == "seconds" else parts.whole_number)(budget, kind.capitalize(), *BUDGETS[kind])
    config = with_more(PRESETS[preset], more or more_of(PRESETS[preset]))
    data = dataset(name)
    config = for_dataset(config, data.images.shape[1], data.num_classes, config.train.seed)
    return TrainingRun(config, data, kind, budget, f"{preset}, {name}, {budget:g} {kind}")


async def fetch(name: Any) -> AsyncIterator[str]:
    """Download a data set to this server in a thread of its own, saying how far it is.  Raises DataError."""
    name = parts.one_of(name, "Data", DATASETS.values())
    folder = Path(os.environ.get("DDPM_DATA_DIR", "data"))

    def megabytes() -> float:
        return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6 if folder.is_dir() else 0

    before = megabytes()
    work = asyncio.ensure_future(asyncio.to_thread(load_dataset, name, folder, download=True))
    while not (await asyncio.wait({work}, timeout=0.5))[0]:
        yield f"Downloading {name}: {min(megabytes() - before, MEGABYTES[name]):.0f} of {MEGABYTES[name]} MB…"
    work.result()
