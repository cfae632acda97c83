"""The Reverse tab: runs the sampler and streams what it does while it does it."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np
import torch
from torch import Tensor

from ..guidance import Guided
from ..samplers import SAMPLERS, ddim_step, ddpm_step, num_evaluations, reverse_process, timesteps
from ..schedule import Schedule
from . import parts
from .engine import Engine, Job
from .weights import Library, Weights

MAX_DIGITS = 64
MAX_STEPS = 1000
MAX_SEED = 2**31 - 1
MAX_GUIDANCE = 10.0
MAX_FRAMES = 100  # of a trajectory are kept, evenly chosen, first and last included
KEPT_BYTES = 256_000_000
CLASSES = ("all in turn", "none", *map(str, range(10)))

EQUATION = """
<div data-sampler="ddim"><math display="block"><msub><mi>x</mi><mi>s</mi></msub><mo>=</mo>
<msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>s</mi></msub></msqrt><msub><mover><mi>x</mi><mo>^</mo></mover><mn>0</mn>
</msub><mo>+</mo><msqrt><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>s</mi></msub><mo>−</mo>
<msup><mi>σ</mi><mn>2</mn></msup></msqrt><mover><mi>ε</mi><mo>^</mo></mover><mo>+</mo><mi>σ</mi><mi>z</mi></math>
<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="s">s</mn></msub><mo>=</mo>
<mn class="signal" data-live="c0">·</mn><msub><mover><mi>x</mi><mo>^</mo></mover><mn>0</mn></msub><mo>+</mo>
<mn class="noise" data-live="c1">·</mn><mover><mi>ε</mi><mo>^</mo></mover><mo>+</mo>
<mn data-live="c2">·</mn><mi>z</mi></math><p class="source">DDIM: Song et al. 2021, Eq. 12 and 16.</p>
<p class="code">computed by <code>ddpm.samplers.ddim_step</code></p></div>
<div data-sampler="ddpm" hidden><math display="block"><msub><mi>x</mi><mi>s</mi></msub><mo>=</mo>
<mi>μ</mi><mo>(</mo><msub><mi>x</mi><mi>t</mi></msub><mo>,</mo><msub><mover><mi>x</mi><mo>^</mo></mover><mn>0</mn></msub>
<mo>)</mo><mo>+</mo><mi>σ</mi><mi>z</mi></math>
<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="s">s</mn></msub><mo>=</mo>
<mn class="signal" data-live="c0">·</mn><msub><mover><mi>x</mi><mo>^</mo></mover><mn>0</mn></msub><mo>+</mo>
<mn class="noise" data-live="c1">·</mn><msub><mi>x</mi><mi>t</mi></msub><mo>+</mo>
<mn data-live="c2">·</mn><mi>z</mi></math><p class="source">DDPM: Ho et al. 2020, Eq. 6 and 7.</p>
<p class="code">computed by <code>ddpm.samplers.ddpm_step</code></p></div>
"""


@dataclass(frozen=True)
class Settings:
    """What Generate was asked for, checked."""

    n: int
    labels: tuple[int, ...]
    sampler: str
    num_steps: int
    guidance: float
    eta: float
    seed: int
    weights: Weights

    @classmethod
    def check(cls, library: Library, n, digit, sampler, steps, guidance, eta, seed, weights_id) -> Settings:
        """Raises ValueError with one clear sentence about the first value that will not do."""
        weights = library.get(weights_id)
        digit = parts.one_of(digit, "Class", CLASSES)
        every = tuple(range(weights.num_classes))
        known = every or (-1,)
        labels = {"all in turn": known, "none": (-1,)}.get(digit) or (int(digit),)
        if labels[0] not in (-1, *known):
            raise ValueError(f"These weights know no class {digit}. Choose all in turn, or none.")
        return cls(
            parts.whole_number(n, "Digits", 1, MAX_DIGITS),
            labels,
            parts.one_of(sampler, "Sampler", SAMPLERS),
            parts.whole_number(steps, "Steps", 1, min(MAX_STEPS, weights.sched.T)),
            parts.number(guidance, "Guidance", 0, MAX_GUIDANCE),
            parts.number(eta, "Eta", 0, 1),
            parts.whole_number(seed, "Seed", 0, MAX_SEED),
            weights,
        )


@dataclass
class Trajectory:
    """A reverse process on its way: its frames as the page shows them, by position among those that are kept."""

    settings: Settings
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    seconds: float = 0.0
    step: int = 0
    frames: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self):
        s = self.settings
        self.model = Guided(s.weights.model, s.guidance) if s.weights.num_classes and -1 not in s.labels else None
        self.evaluations = num_evaluations(self.model or s.weights.model, s.num_steps)
        self.times = timesteps(s.weights.sched.T, s.num_steps)
        kept = np.linspace(0, s.num_steps, min(s.num_steps + 1, MAX_FRAMES)).round().astype(int)
        self.kept = {int(i): k for k, i in enumerate(kept)}

    def steps(self) -> Iterator[dict[str, Any] | None]:
        """The engine's job: one network evaluation a step, yielding the frames that are kept."""
        s, w = self.settings, self.settings.weights
        labels = parts.digit_labels(list(s.labels), s.n).to(w.model.device) if w.num_classes else None
        process = reverse_process(
            self.model or w.model,
            w.sched,
            s.n,
            y=labels,
            sampler=s.sampler,
            num_steps=s.num_steps,
            eta=s.eta,
            seed=s.seed,
            img_size=w.img_size,
            channels=w.channels,
            device=w.model.device,
        )
        while True:
            start = time.perf_counter()
            moment = next(process, None)
            if moment is None:
                return
            self.seconds += time.perf_counter() - start
            self.step = moment.i
            if moment.i not in self.kept:
                yield None
                continue
            then = self.times[moment.i + 1] if moment.i < s.num_steps else None
            self.frames.append(
                {
                    "k": self.kept[moment.i],
                    "i": moment.i,
                    "t": moment.t,
                    "s": then,
                    "c": None if then is None else coefficients(s.sampler, moment.t, then, w.sched, s.eta),
                    "x": parts.b64(parts.frame(moment.x_t)),
                    "h": parts.b64(parts.frame(moment.x0_hat)),
                }
            )
            yield self.frames[-1]

    def packet(self, frames: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """What the page gets: the frames not yet sent, and how far the run is."""
        s, w = self.settings, self.settings.weights
        return {
            "run": self.id,
            "frames": frames,
            "total": len(self.kept),
            "n": s.n,
            "size": w.img_size,
            "channels": w.channels,
            "sampler": s.sampler,
            "step": self.step,
            "num_steps": s.num_steps,
            "evaluations": self.evaluations * self.step // s.num_steps,
            "seconds": round(self.seconds, 2),
        } | more

    def start_packet(self) -> dict[str, Any]:
        """The first packet: also the curves under the timeline, alphas_bar along the run."""
        signal = self.settings.weights.sched.sqrt_alphas_bar.tolist()
        times = [self.times[i] for i in self.kept]
        return self.packet([], signal=[1.0 if t < 0 else round(signal[t], 4) for t in times], times=times)


def coefficients(sampler: str, t: int, s: int, sched: Schedule, eta: float) -> list[float]:
    """The three numbers of the step t -> s, read off the step function itself: it is linear in its three pictures."""
    at_t, at_s = torch.tensor([t]), torch.tensor([s])
    sched = sched.to("cpu")
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)

    def step(first: Tensor, second: Tensor, z: Tensor) -> float:
        if sampler == "ddpm":
            return ddpm_step(second, first, at_t, at_s, sched, z).item()
        return ddim_step(first, second, at_t, at_s, sched, eta, z).item()

    return [round(step(*pictures), 4) for pictures in ((one, zero, zero), (zero, one, zero), (zero, zero, one))]


class Sessions:
    """The one Generate that each browser window may have running."""

    def __init__(self):
        self._jobs: dict[str, Job] = {}

    def replace(self, session: str, job: Job) -> None:
        self.stop(session)
        self._jobs = {k: j for k, j in self._jobs.items() if not j.finished.done()} | {session: job}

    def stop(self, session: str) -> None:
        if session in self._jobs:
            self._jobs[session].close()


def build(engine: Engine, library: Library) -> gr.Dropdown:
    """The tab.  Returns its choice of weights, which Train sets."""
    sessions, kept = Sessions(), parts.Kept(KEPT_BYTES)

    async def generate(n, digit, sampler, steps, guidance, eta, seed, weights, request: gr.Request) -> AsyncIterator:
        try:
            run = Trajectory(Settings.check(library, n, digit, sampler, steps, guidance, eta, seed, weights))
            job = engine.submit(run.steps())
        except ValueError as error:
            yield {"error": str(error)}
            return
        sessions.replace(request.session_hash, job)
        try:
            yield run.start_packet() | {"ahead": engine.ahead_of(job)}
            async for frames in job.packets():
                if frames:
                    yield run.packet(frames)
            kept.put(run.id, run.frames, sum(len(f["x"]) + len(f["h"]) for f in run.frames))
            yield run.packet(job.take(), done=True, stopped=job.stopped, error=job.error)
        finally:
            job.close()

    def stop(request: gr.Request) -> None:
        sessions.stop(request.session_hash)

    def replay(asked: Any) -> dict[str, Any]:
        """The frames of a run that the page has missed: {run, have: [k, ...]} -> {frames}."""
        asked = asked if isinstance(asked, dict) else {}
        have = asked.get("have")
        frames = kept.get(asked.get("run")) or []
        return {"frames": [f for f in frames if not isinstance(have, list) or f["k"] not in have]}

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            with gr.Row(elem_classes="pair"):
                n = gr.Number(16, label="Digits", minimum=1, maximum=MAX_DIGITS, precision=0, elem_id="reverse-n")
                digit = gr.Dropdown(CLASSES, value=CLASSES[0], label="Class", elem_id="reverse-class")
            sampler = gr.Radio(
                [(name.upper(), name) for name in SAMPLERS], value="ddim", label="Sampler", elem_id="reverse-sampler"
            )
            steps = gr.Slider(1, MAX_STEPS, 50, step=1, label="Steps", elem_id="reverse-steps")
            guidance = gr.Slider(
                0,
                5,
                2,
                step=0.1,
                label="Guidance (1: the label, above: more so)",
                elem_id="reverse-guidance",
            )
            eta = gr.Slider(0, 1, 0, step=0.05, label="Eta (fresh noise in DDIM)", elem_id="reverse-eta")
            seed = gr.Number(0, label="Seed", minimum=0, maximum=MAX_SEED, precision=0, elem_id="reverse-seed")
            with gr.Row(elem_classes="pair"):
                go = gr.Button("Generate", variant="primary", elem_id="reverse-generate")
                halt = gr.Button("Stop", elem_id="reverse-stop")
            with gr.Accordion("More", open=False):
                weights = gr.Dropdown(
                    library.shipped, value=library.default, label="Weights", elem_id="reverse-weights"
                )
        with gr.Column(elem_classes="middle"):
            view = parts.view("reverse", None, [replay])
        with gr.Column(elem_classes="side"):
            parts.margin(
                "reverse",
                EQUATION,
                "The guess x̂₀ is a blurred digit from the first step on. Each step keeps a little of it and hands the "
                "rest back as noise; the digit is decided early, its edges late.",
            )

    inputs = [n, digit, sampler, steps, guidance, eta, seed, weights]
    go.click(generate, inputs, view, show_progress="hidden", concurrency_limit=64, trigger_mode="multiple")
    halt.click(stop, None, None, show_progress="hidden", queue=False)
    return weights
