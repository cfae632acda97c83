"""The Train tab: a training run is a job on the server with an id; the page watches it, and may come back to it."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from ..config import PREDICTIONS, PRESETS, SCHEDULES, Config, for_dataset
from ..data import DataError, Dataset, load_dataset
from ..device import Inference, pick_device
from ..guidance import Guided
from ..samplers import reverse_process
from ..schedule import make_schedule
from ..train import Snapshot, TrainState, build_model, fit
from . import archive, parts
from .engine import Busy, Engine, Job, once
from .weights import Library, Weights, dataset, from_checkpoint, wrap

DATASETS = {
    "Bundled digits (10,000)": "bundled",
    "MNIST (60,000)": "mnist",
    "Fashion-MNIST (60,000)": "fashion",
    "CIFAR-10, colour (50,000)": "cifar10",
}
MEGABYTES = {"bundled": 0, "mnist": 12, "fashion": 31, "cifar10": 170}  # to download
CONTINUE_SECONDS = 60
ABOUT = {
    "fast": "fast: legible in 30 seconds",
    "best": "best: as the shipped weights",
    "tutorial": "tutorial: as published (hours)",
}
BUDGETS = {"seconds": (5, 600), "steps": (1, 20_000)}
MAX_ACTIVE = 4  # training runs at a time on one server
KEPT_RUNS = 16
PREVIEWS = 20  # pictures: every class twice, from one fixed noise
PREVIEW_EVALUATIONS = 20  # network evaluations a picture, a guided pair counting two
PREVIEW_GUIDANCE = 2.0
PREVIEW_EVERY = 2.0  # seconds of training at first, later a twentieth of the time spent
PACKET_SECONDS = 0.25
MAX_POINTS = 400  # of the loss curve that the page gets

EQUATION = """
<math display="block"><mi>L</mi><mo>=</mo><mi>E</mi><msup><mrow><mo>‖</mo><mi data-live="target">v</mi><mo>−</mo>
<msub><mi data-live="target">v</mi><mi>θ</mi></msub><mo>(</mo><msub><mi>x</mi><mi>t</mi></msub><mo>,</mo><mi>t</mi>
<mo>)</mo><mo>‖</mo></mrow><mn>2</mn></msup></math>
<math display="block" class="numbers"><mi>L</mi><mo>≈</mo><mn class="noise" data-live="loss">·</mn></math>
<p class="source" data-live="source">Ho et al. 2020, Algorithm 1: a random digit, a random t, a random ε; one step
down the gradient. Asked for v, the network says a mix of ε and x₀ (Salimans and Ho 2022).</p>
<p class="code">computed by <code>ddpm.train.train_step</code></p>
"""


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
        s = config.schedule
        self.device = pick_device()
        self.sched = make_schedule(s.T, s.beta_start, s.beta_end, s.kind, self.device)

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
        state, m = self.state, self.config.model
        model = asked = Inference(state.ema_model(), "auto")
        num_steps, y = min(PREVIEW_EVALUATIONS, self.sched.T), None
        if m.num_classes:
            asked = Guided(model, PREVIEW_GUIDANCE)
            num_steps = num_steps // asked.num_evaluations
            y = (torch.arange(PREVIEWS) % m.num_classes).to(self.device)
        options = {"img_size": m.img_size, "channels": m.in_ch, "device": self.device}
        for step in reverse_process(asked, self.sched, PREVIEWS, y=y, num_steps=num_steps, seed=0, **options):
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
            value = parts.whole_number(value, WHOLE[name], 0, LIMITS.get(name, 2**31 - 1))
        changed[part][name] = value
    try:
        return Config(*(dataclasses.replace(getattr(config, part), **fields) for part, fields in changed.items()))
    except ValueError as error:
        raise ValueError(f"Under More: {error}.") from None


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


def build(
    engine: Engine, library: Library, demo: gr.Blocks, run_id: gr.BrowserState, weights: gr.Dropdown, tabs: gr.Tabs
) -> None:
    """The tab.  run_id: where the browser remembers its run; weights, tabs: what "Use these weights" sets."""
    runs = Runs(engine)

    async def watch(run: TrainingRun) -> AsyncIterator[dict[str, Any]]:
        sent, last = 0, None
        ended = asyncio.wrap_future(run.job.finished)
        while True:
            done = ended.done()
            packet = run.packet(sent)
            sent += len(packet["previews"])
            now = (done, packet["paused"], packet.get("step"), packet["num_previews"])
            if now != last:
                yield packet
            if done:
                return
            last = now
            await asyncio.wait({ended}, timeout=PACKET_SECONDS)

    async def start(preset, name, kind, budget, *rest) -> AsyncIterator:
        *more, mine = rest
        other = runs.get(mine)
        try:
            if other is not None and other.active:
                raise ValueError("Your training run is still going. Press Stop first.")
            try:
                run = await asyncio.to_thread(check, preset, name, kind, budget, *more)
            except DataError:  # not on this server yet
                async for sentence in fetch(name):
                    yield {"notice": sentence}, gr.skip()
                run = await asyncio.to_thread(check, preset, name, kind, budget, *more)
            runs.start(run)
        except DataError:
            yield {"error": f"{name} could not be downloaded. Is there a network? Bundled digits need none."}, gr.skip()
            return
        except ValueError as error:
            yield {"error": str(error)}, gr.skip()
            return
        keep = run.id
        async for packet in watch(run):
            yield packet, keep
            keep = gr.skip()

    async def go_on(mine) -> AsyncIterator:
        run = runs.get(mine)
        try:
            if run is None:
                raise ValueError("There is nothing to continue: press Start.")
            runs.go_on(run, CONTINUE_SECONDS)
        except ValueError as error:
            yield {"error": str(error)}
            return
        async for packet in watch(run):
            yield packet

    def pause(mine) -> Any:
        run = runs.get(mine)
        if run is None or not run.active:
            return {"error": "Nothing is training."}
        (engine.resume if run.job.paused else engine.pause)(run.job)
        return gr.skip()

    async def attach(mine) -> AsyncIterator:
        run = runs.get(mine)
        if run is not None:
            async for packet in watch(run):
                yield packet

    def stop(mine) -> Any:
        run = runs.get(mine)
        if run is None or not run.active:
            return {"error": "Nothing is training."}
        run.halt = True
        engine.resume(run.job)
        return gr.skip()

    def offer(own, label, weights_id) -> tuple:
        """Make these weights the page's: the choice of weights with them in it, and what the browser window has."""
        own = [*(pair for pair in own if pair[1] != weights_id), (label, weights_id)]
        return gr.update(choices=[*library.shipped, *own], value=weights_id), own

    async def use(mine, own) -> tuple:
        run = runs.get(mine)
        if run is None or run.state is None:
            nothing = {"error": "There are no weights yet: press Start and train some."}
            return gr.skip(), gr.skip(), gr.skip(), nothing
        label = f"trained here: {run.label}, step {run.state.step}"
        library.put(run.id, await engine.submit(once(run.weights, label)).result())
        return *offer(own, label, run.id), gr.update(selected="reverse"), gr.skip()

    async def open_zip(path, own) -> tuple:
        name = f"opened: {Path(path).stem[:40]}"
        try:
            opened = await engine.submit(once(lambda: from_checkpoint(archive.read(path), name))).result()
        except ValueError as error:
            return gr.skip(), gr.skip(), {"error": str(error)}
        weights_id = secrets.token_urlsafe(16)
        library.put(weights_id, opened)
        return *offer(own, name, weights_id), {
            "notice": "Opened: the weights are chosen above, for Forward and Reverse."
        }

    async def download(asked: Any) -> dict[str, Any]:
        """The checkpoint folder of a run as a zip: {run} -> {name, data} or {error}."""
        run = runs.get(asked.get("run")) if isinstance(asked, dict) else None
        if run is None or run.state is None:
            return {"error": "There are no weights yet: press Start and train some."}
        pack = once(lambda: archive.write(run.state.ema_model(), run.config, run.info(), "ddpm-trained"))
        try:
            data = await engine.submit(pack).result()
        except ValueError as error:
            return {"error": str(error)}
        return {"name": f"ddpm-{run.state.step}-steps.zip", "data": base64.b64encode(data).decode()}

    def missed(asked: Any) -> dict[str, Any]:
        """The previews of a run that the page has missed: {run, have: [k, ...]} -> {previews}."""
        asked = asked if isinstance(asked, dict) else {}
        run, have = runs.get(asked.get("run")), asked.get("have")
        previews = run.previews if run else []
        return {"previews": [p for p in previews if not isinstance(have, list) or p["k"] not in have]}

    own = gr.State([])  # weights trained or opened in this window: (label, id)
    fast = PRESETS["fast"]
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            preset = gr.Dropdown([(ABOUT[p], p) for p in ABOUT], value="fast", label="Preset", elem_id="train-preset")
            name = gr.Dropdown(list(DATASETS.items()), value="bundled", label="Data", elem_id="train-data")
            with gr.Row(elem_classes="pair"):
                kind = gr.Dropdown(list(BUDGETS), value="seconds", label="Budget in", elem_id="train-kind")
                budget = gr.Number(30, label="How many", elem_id="train-budget")
            with gr.Accordion("More", open=False, elem_id="train-more"):
                with gr.Row(elem_classes="pair"):
                    lr = gr.Number(fast.train.lr, label="Learning rate", elem_id="train-lr")
                    batch = gr.Number(fast.train.batch_size, label="Batch size", precision=0, elem_id="train-batch")
                with gr.Row(elem_classes="pair"):
                    schedule = gr.Dropdown(list(SCHEDULES), value=fast.schedule.kind, label="Schedule")
                    predicts = gr.Dropdown(list(PREDICTIONS), value=fast.model.prediction, label="Predicts")
                with gr.Row(elem_classes="pair"):
                    decay = gr.Number(fast.train.ema_decay, label="EMA decay", elem_id="train-decay")
                    dropout = gr.Number(fast.train.label_dropout, label="Label dropout", elem_id="train-dropout")
                with gr.Row(elem_classes="pair"):
                    width = gr.Number(fast.model.base, label="Width", precision=0, step=8, elem_id="train-width")
                    seed = gr.Number(fast.train.seed, label="Seed", precision=0, elem_id="train-seed")
            with gr.Row(elem_classes="pair"):
                go = gr.Button("Start", variant="primary", elem_id="train-start")
                hold = gr.Button("Pause", elem_id="train-pause")
                halt = gr.Button("Stop", elem_id="train-stop")
            to_reverse = gr.Button("Use in Reverse", elem_id="train-use")
            with gr.Row(elem_classes="pair"):
                again = gr.Button(f"Continue {CONTINUE_SECONDS} s", elem_id="train-continue")
                opener = gr.UploadButton("Open a zip", file_types=[".zip"], elem_id="train-open", size="lg")
            gr.HTML(
                '<p class="hint">The run is on the server: it goes on if you reload this page, and Reverse stays '
                "usable while it runs. Seconds count training alone, not the pictures in between.</p>"
            )
        with gr.Column(elem_classes="middle"):
            view = parts.view("train", None, [missed, download])
        with gr.Column(elem_classes="side"):
            parts.margin(
                "train",
                EQUATION,
                "The loss falls fast, then looks flat, while the digits still improve: most of it is noise that nobody "
                "could predict. Drag the playhead back to see the same noise become the same digits earlier.",
            )

    quiet = {"show_progress": "hidden", "trigger_mode": "multiple"}
    more = [lr, batch, schedule, predicts, decay, dropout, width, seed]
    inputs = [preset, name, kind, budget, *more, run_id]
    preset.input(lambda p: more_of(PRESETS[parts.one_of(p, "Preset", PRESETS)]), preset, more, queue=False, **quiet)
    go.click(start, inputs, [view, run_id], concurrency_limit=64, **quiet)
    again.click(go_on, run_id, view, concurrency_limit=64, **quiet)
    demo.load(attach, run_id, view, concurrency_limit=64, show_progress="hidden")
    hold.click(pause, run_id, view, queue=False, **quiet)
    halt.click(stop, run_id, view, queue=False, **quiet)
    to_reverse.click(use, [run_id, own], [weights, own, tabs, view], queue=False, **quiet)
    opener.upload(open_zip, [opener, own], [weights, own, view], **quiet)
