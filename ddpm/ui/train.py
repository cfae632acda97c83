"""The Train tab: a training run is a job on the server with an id; the page watches it, and may come back to it."""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any

import gradio as gr
import torch

from ..config import PRESETS, Config, for_dataset
from ..data import Dataset, load_dataset
from ..device import Inference, pick_device
from ..guidance import Guided
from ..samplers import reverse_process
from ..schedule import make_schedule
from ..train import TrainState, build_model, fit
from . import parts
from .engine import Busy, Engine, Job
from .weights import Library, wrap

DATASETS = {"Bundled digits (10,000)": "bundled", "MNIST (60,000)": "mnist", "Fashion-MNIST (60,000)": "fashion"}
ABOUT = {
    "fast": "fast: legible within a minute",
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


@functools.lru_cache(maxsize=4)
def dataset(name: str) -> Dataset:
    return load_dataset(name, os.environ.get("DDPM_DATA_DIR", "data"), download=False)


class TrainingRun:
    """A run, and all that a page needs to draw it from nothing."""

    def __init__(self, config: Config, data: Dataset, kind: str, budget: float, label: str):
        self.id = secrets.token_urlsafe(16)
        self.config, self.data, self.kind, self.budget, self.label = config, data, kind, budget, label
        self.halt = False
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
        budget = {"steps": int(self.budget)} if self.kind == "steps" else {"seconds": self.budget}
        due = PREVIEW_EVERY / 2
        for state in fit(model, self.data.images, labels, sched=self.sched, config=self.config.train, **budget):
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

    def packet(self, first_preview: int = 0) -> dict[str, Any]:
        """All of the curve, which is bounded, and the previews from the given one on."""
        points, state, m = list(self.points), self.state, self.config.model
        packet = {
            "run": self.id,
            "active": self.active,
            "stopped": self.halt,
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

    def start(self, run: TrainingRun) -> None:
        """Raises Busy if too many are under way."""
        if sum(other.active for other in self._runs.values()) >= MAX_ACTIVE:
            raise Busy(f"{MAX_ACTIVE} training runs are under way on this server. Try again when one has ended.")
        run.job = self.engine.submit(run.steps())
        self._runs[run.id] = run
        ended = [key for key, other in self._runs.items() if not other.active]
        for key in ended[: max(0, len(self._runs) - KEPT_RUNS)]:
            del self._runs[key]


def check(preset: Any, name: Any, kind: Any, budget: Any) -> TrainingRun:
    """A run as it was asked for.  Raises ValueError with one clear sentence about the first value that will not do."""
    preset = parts.one_of(preset, "Preset", PRESETS)
    name = parts.one_of(name, "Data", DATASETS.values())
    kind = parts.one_of(kind, "Budget", BUDGETS)
    budget = (parts.number if kind == "seconds" else parts.whole_number)(budget, kind.capitalize(), *BUDGETS[kind])
    try:
        data = dataset(name)
    except ValueError as error:
        raise ValueError(
            f"{name} is not on this server. Train on the bundled digits, or have whoever runs it fetch it with: "
            f"python -m ddpm train --dataset {name} --steps 1 --out runs/fetch"
        ) from error
    config = for_dataset(PRESETS[preset], data.images.shape[1], data.num_classes)
    return TrainingRun(config, data, kind, budget, f"{preset}, {name}, {budget:g} {kind}")


def build(
    engine: Engine, library: Library, demo: gr.Blocks, run_id: gr.BrowserState, weights: gr.Dropdown, tabs: gr.Tabs
) -> None:
    """The tab.  run_id: where the browser remembers its run; weights, tabs: what "Use these weights" sets."""
    runs = Runs(engine)

    async def watch(run: TrainingRun) -> AsyncIterator[dict[str, Any]]:
        sent = 0
        ended = asyncio.wrap_future(run.job.finished)
        while True:
            done = ended.done()
            packet = run.packet(sent)
            sent += len(packet["previews"])
            yield packet
            if done:
                return
            await asyncio.wait({ended}, timeout=PACKET_SECONDS)

    async def start(preset, name, kind, budget, mine) -> AsyncIterator:
        other = runs.get(mine)
        try:
            if other is not None and other.active:
                raise ValueError("Your training run is still going. Press Stop first.")
            run = await asyncio.to_thread(check, preset, name, kind, budget)
            runs.start(run)
        except ValueError as error:
            yield {"notice": str(error)}, gr.skip()
            return
        keep = run.id
        async for packet in watch(run):
            yield packet, keep
            keep = gr.skip()

    async def attach(mine) -> AsyncIterator:
        run = runs.get(mine)
        if run is not None:
            async for packet in watch(run):
                yield packet

    def stop(mine) -> Any:
        run = runs.get(mine)
        if run is None or not run.active:
            return {"notice": "Nothing is training."}
        run.halt = True
        return gr.skip()

    def use(mine) -> tuple:
        run = runs.get(mine)
        if run is None or run.state is None:
            return gr.skip(), gr.skip(), {"notice": "There are no weights yet: press Start and train some."}
        label = f"trained here: {run.label}, {run.state.step} steps"
        library.put(run.id, wrap(run.state.ema_model(), run.sched, run.config.schedule.kind, label))
        choices = [*library.shipped, (label, run.id)]
        return gr.update(choices=choices, value=run.id), gr.update(selected="reverse"), gr.skip()

    def missed(asked: Any) -> dict[str, Any]:
        """The previews of a run that the page has missed: {run, have: [k, ...]} -> {previews}."""
        asked = asked if isinstance(asked, dict) else {}
        run, have = runs.get(asked.get("run")), asked.get("have")
        previews = run.previews if run else []
        return {"previews": [p for p in previews if not isinstance(have, list) or p["k"] not in have]}

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            preset = gr.Dropdown([(ABOUT[p], p) for p in ABOUT], value="fast", label="Preset", elem_id="train-preset")
            name = gr.Dropdown(list(DATASETS.items()), value="bundled", label="Data", elem_id="train-data")
            with gr.Row(elem_classes="pair"):
                kind = gr.Dropdown(list(BUDGETS), value="seconds", label="Budget in", elem_id="train-kind")
                budget = gr.Number(30, label="How many", minimum=1, elem_id="train-budget")
            with gr.Row(elem_classes="pair"):
                go = gr.Button("Start", variant="primary", elem_id="train-start")
                halt = gr.Button("Stop", elem_id="train-stop")
            to_reverse = gr.Button("Use these weights in Reverse", elem_id="train-use")
            gr.HTML(
                '<p class="hint">The run is on the server: it goes on if you reload this page, and Reverse stays '
                "usable while it runs. Seconds count training alone, not the pictures in between.</p>"
            )
        with gr.Column(elem_classes="middle"):
            view = parts.view("train", None, [missed])
        with gr.Column(elem_classes="side"):
            parts.margin(
                "train",
                EQUATION,
                "The loss falls fast, then looks flat, while the digits still improve: most of it is noise that nobody "
                "could predict. Drag the playhead back to see the same noise become the same digits earlier.",
            )

    quiet = {"show_progress": "hidden", "trigger_mode": "multiple"}
    go.click(start, [preset, name, kind, budget, run_id], [view, run_id], concurrency_limit=64, **quiet)
    demo.load(attach, run_id, view, concurrency_limit=64, show_progress="hidden")
    halt.click(stop, run_id, view, queue=False, **quiet)
    to_reverse.click(use, run_id, [weights, tabs, view], queue=False, **quiet)
