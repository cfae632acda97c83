"""The Reverse tab: runs the sampler and streams what it does while it does it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from .. import __version__
from ..data import grid
from ..guidance import Guided
from ..samplers import SAMPLERS, SampleStep, ddim_step, ddpm_step, num_evaluations, reverse_process, timesteps
from ..schedule import Schedule
from . import parts
from .engine import Engine, Job
from .weights import Library, Weights

MAX_DIGITS = 64
MAX_STEPS = 1000
MAX_SEED = 2**31 - 1
MAX_GUIDANCE = 10.0
MAX_COSTS = 500  # measurements that are remembered
HEAD_BYTES = 65_536  # of a dropped file are sent to the server: the recipe stands before the pixels
MAX_FRAMES = 100  # of a trajectory are kept, evenly chosen, first and last included
KEPT_BYTES = 256_000_000
ALL, NONE = "all in turn", "none"

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
    """What Generate was asked for, checked.  choice: the class as it was chosen, labels: what it means."""

    n: int
    choice: str
    labels: tuple[int, ...]
    sampler: str
    num_steps: int
    guidance: float
    eta: float
    seed: int
    weights_id: str
    weights: Weights

    @classmethod
    def check(cls, library: Library, n, choice, sampler, steps, guidance, eta, seed, weights_id) -> Settings:
        """Raises ValueError with one clear sentence about the first value that will not do."""
        weights = library.get(weights_id)
        choice = parts.one_of(choice, "Class", choices(weights))
        known = tuple(range(weights.num_classes)) or (-1,)
        labels = {ALL: known, NONE: (-1,)}.get(choice) or (weights.class_names.index(choice),)
        return cls(
            parts.whole_number(n, "Digits", 1, MAX_DIGITS),
            choice,
            labels,
            parts.one_of(sampler, "Sampler", SAMPLERS),
            parts.whole_number(steps, "Steps", 1, min(MAX_STEPS, weights.sched.T)),
            parts.number(guidance, "Guidance", 0, MAX_GUIDANCE),
            parts.number(eta, "Eta", 0, 1),
            parts.whole_number(seed, "Seed", 0, MAX_SEED),
            weights_id,
            weights,
        )

    def asked(self):
        """The model as the sampler gets it: guided where there are labels to be guided by."""
        guided = self.weights.num_classes and -1 not in self.labels
        return Guided(self.weights.model, self.guidance) if guided else self.weights.model

    def recipe(self) -> dict[str, Any]:
        """What it takes to make the same pictures again."""
        public = self.weights_id if self.weights_id == self.weights.label else self.weights.label
        return {
            "ddpm": __version__,
            "weights": public,
            "sampler": self.sampler,
            "steps": self.num_steps,
            "eta": self.eta,
            "guidance": self.guidance,
            "class": self.choice,
            "n": self.n,
            "seed": self.seed,
        }


def choices(weights: Weights) -> tuple[str, ...]:
    """What can be asked of these weights: every class in turn, no class, or one of them."""
    return (ALL, NONE, *weights.class_names) if weights.num_classes else (NONE,)


@dataclass
class Trajectory:
    """A reverse process on its way: its frames as the page shows them, by position among those that are kept."""

    settings: Settings
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    seconds: float = 0.0
    step: int = 0
    moment: SampleStep | None = None  # the latest
    frames: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self):
        s = self.settings
        self.model = s.asked()
        self.evaluations = num_evaluations(self.model, s.num_steps)
        self.times = timesteps(s.weights.sched.T, s.num_steps)
        kept = np.linspace(0, s.num_steps, min(s.num_steps + 1, MAX_FRAMES)).round().astype(int)
        self.kept = set(kept.tolist())

    def steps(self) -> Iterator[dict[str, Any] | None]:
        """The engine's job: one network evaluation a step, yielding the frames that are kept."""
        s, w = self.settings, self.settings.weights
        labels = parts.digit_labels(list(s.labels), s.n).to(w.model.device) if w.num_classes else None
        process = reverse_process(
            self.model,
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
            self.step, self.moment = moment.i, moment
            yield self.keep(moment) if moment.i in self.kept else None

    def keep(self, moment: SampleStep) -> dict[str, Any]:
        """Make a frame of this moment and keep it."""
        s = self.settings
        then = self.times[moment.i + 1] if moment.i < s.num_steps else None
        frame = {
            "k": len(self.frames),
            "i": moment.i,
            "t": moment.t,
            "s": then,
            "c": None if then is None else coefficients(s.sampler, moment.t, then, s.weights.sched, s.eta),
            "x": parts.b64(parts.frame(moment.x_t)),
            "h": parts.b64(parts.frame(moment.x0_hat)),
        }
        self.frames.append(frame)
        return frame

    def end(self) -> list[dict[str, Any]]:
        """After a stop: the moment it was stopped at, if that is not among the frames yet."""
        if self.moment is None or (self.frames and self.frames[-1]["i"] == self.moment.i):
            return []
        return [self.keep(self.moment)]

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
        times = [self.times[i] for i in sorted(self.kept)]
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


class Costs:
    """Seconds of one network evaluation, measured here, by weights and by how many pictures it holds."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self._seconds: dict[tuple[str, int], float] = {}

    async def sentence(self, s: Settings) -> str:
        """What the settings will cost, in words."""
        model = s.asked()
        per_step = num_evaluations(model, 1)
        evaluations, key = per_step * s.num_steps, (s.weights_id, s.n * per_step)
        if key not in self._seconds:
            self._seconds[key] = await self.engine.submit(self.measure(s.weights, s.n * per_step)).result()
            while len(self._seconds) > MAX_COSTS:
                del self._seconds[next(iter(self._seconds))]
        seconds = self._seconds[key] * s.num_steps
        steps = f"{s.num_steps} step{'s' * (s.num_steps > 1)}{', guided' * (per_step > 1)}"
        network = f"{evaluations} network evaluation{'s' * (evaluations > 1)}"
        return f"{steps}: {network}, about {seconds:.1f} s here."

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


def save(frames: list[dict[str, Any]], settings: Settings, kind: str) -> bytes:
    """The finished grid as a PNG, or the denoising as a GIF, with the recipe in its metadata."""
    w, recipe = settings.weights, json.dumps(settings.recipe())
    shape = (settings.n, w.img_size, w.img_size, w.channels)

    def sheet(frame: dict[str, Any]) -> Image.Image:
        pixels = np.frombuffer(base64.b64decode(frame["x"]), np.uint8).reshape(shape)
        columns = math.ceil(math.sqrt(settings.n))
        return grid(torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2), columns, zoom=4 if settings.n <= 16 else 2)

    buffer = io.BytesIO()
    if kind == "png":
        text = PngInfo()
        text.add_text("ddpm", recipe)
        sheet(frames[-1]).save(buffer, "PNG", pnginfo=text)
    else:
        pictures = [sheet(frame) for frame in frames]
        hold = [60] * (len(pictures) - 1) + [2000]
        more = {"append_images": pictures[1:], "duration": hold, "loop": 0, "comment": recipe}
        pictures[0].save(buffer, "GIF", save_all=True, **more)
    return buffer.getvalue()


def read_recipe(text: Any) -> dict[str, Any]:
    """The recipe in the first bytes, base64, of a file that `save` made.  Raises ValueError in words."""
    wrong = ValueError("There is no recipe in that file. Drop a PNG or a GIF that was saved on this page.")
    if not isinstance(text, str) or len(text) > 4 * HEAD_BYTES:
        raise wrong
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=("PNG", "GIF")) as picture:
            recipe = json.loads(picture.info.get("ddpm") or picture.info.get("comment") or "")
    except (OSError, ValueError, SyntaxError, RecursionError, Image.DecompressionBombError):
        raise wrong from None
    if not isinstance(recipe, dict) or "ddpm" not in recipe:
        raise wrong
    return recipe


class Sessions:
    """The one Generate that each browser window may have running."""

    def __init__(self):
        self._jobs: dict[str, Job] = {}

    def replace(self, session: str, job: Job) -> None:
        self.stop(session)
        self._jobs = {k: j for k, j in self._jobs.items() if not j.finished.done()} | {session: job}

    def stop(self, session: str) -> bool:
        """Stop what this window has running; False if that is nothing."""
        job = self._jobs.get(session)
        if job is None or job.finished.done():
            return False
        job.close()
        return True


def build(engine: Engine, library: Library, demo: gr.Blocks, weights: gr.Dropdown) -> None:
    """The tab.  weights: whose samples are drawn."""
    sessions, kept, costs = Sessions(), parts.Kept(KEPT_BYTES), Costs(engine)

    async def generate(n, choice, sampler, steps, guidance, eta, seed, weights, request: gr.Request) -> AsyncIterator:
        try:
            run = Trajectory(Settings.check(library, n, choice, sampler, steps, guidance, eta, seed, weights))
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
            last = [*job.take(), *run.end()]
            kept.put(run.id, run, sum(len(f["x"]) + len(f["h"]) for f in run.frames))
            yield run.packet(last, done=True, stopped=job.stopped, error=job.error)
        finally:
            job.close()

    def stop(request: gr.Request) -> dict[str, Any] | None:
        return None if sessions.stop(request.session_hash) else {"notice": "Nothing is running."}

    async def cost(*asked) -> str:
        try:
            return await costs.sentence(Settings.check(library, *asked))
        except ValueError as error:
            return str(error)

    def replay(asked: Any) -> dict[str, Any]:
        """The frames of a run that the page has missed: {run, have: [k, ...]} -> {frames}."""
        asked = asked if isinstance(asked, dict) else {}
        have, run = asked.get("have"), kept.get(asked.get("run"))
        return {"frames": [f for f in (run.frames if run else []) if not isinstance(have, list) or f["k"] not in have]}

    async def picture(asked: Any) -> dict[str, Any]:
        """A run as a file: {run, kind: png or gif} -> {name, data} or {error}."""
        asked = asked if isinstance(asked, dict) else {}
        run, kind = kept.get(asked.get("run")), asked.get("kind")
        if run is None or not run.frames or kind not in ("png", "gif"):
            return {"error": "These digits are no longer on the server. Press Generate, then save."}
        data = await asyncio.to_thread(save, run.frames, run.settings, kind)
        s = run.settings
        return {
            "name": f"digits-{s.sampler}-{s.num_steps}-seed{s.seed}.{kind}",
            "data": base64.b64encode(data).decode(),
        }

    def restore(now, event: gr.EventData) -> list[Any]:
        """The settings of a dropped file, or a sentence that says why not.  What is not right changes nothing."""
        nothing = [gr.skip()] * 8
        try:
            recipe = read_recipe(event._data.get("head") if isinstance(event._data, dict) else None)
            here = recipe.get("weights") in library.shipped
            weights_id = recipe["weights"] if here else now
            names = ("n", "class", "sampler", "steps", "guidance", "eta", "seed")
            s = Settings.check(library, *(recipe.get(name) for name in names), weights_id)
        except ValueError as error:
            return [*nothing, {"error": str(error)}]
        notice = "Settings restored from that file." if here else "Settings restored, but its weights are not here."
        values = [s.n, gr.update(choices=choices(s.weights), value=s.choice), s.sampler, s.num_steps]
        return [*values, s.guidance, s.eta, s.seed, s.weights_id, {"notice": notice}]

    def classes(weights_id) -> tuple[str, ...]:
        """What can be asked of these weights; nothing if they cannot be used."""
        try:
            return choices(library.get(weights_id))
        except ValueError:
            return ()

    def offer_classes(weights_id, chosen):
        known = classes(weights_id)
        return gr.update(choices=known, value=chosen if chosen in known else known[0]) if known else gr.skip()

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            with gr.Row(elem_classes="pair"):
                n = gr.Number(16, label="Digits", precision=0, elem_id="reverse-n")
                known = classes(library.default) or (NONE,)
                choice = gr.Dropdown(known, value=known[0], label="Class", elem_id="reverse-class")
            sampler = gr.Radio(
                [(name.upper(), name) for name in SAMPLERS], value="ddim", label="Sampler", elem_id="reverse-sampler"
            )
            steps = gr.Slider(1, MAX_STEPS, 50, step=1, label="Steps", elem_id="reverse-steps")
            guidance = gr.Slider(
                0, 5, 2, step=0.1, label="Guidance (1: the label, above: more so)", elem_id="reverse-guidance"
            )
            eta = gr.Slider(0, 1, 0, step=0.05, label="Eta (fresh noise in DDIM)", elem_id="reverse-eta")
            with gr.Row(elem_classes="pair"):
                seed = gr.Number(0, label="Seed", precision=0, elem_id="reverse-seed")
                dice = gr.Button("⚄ New seed", elem_id="reverse-dice")
            with gr.Row(elem_classes="pair"):
                go = gr.Button("Generate", variant="primary", elem_id="reverse-generate")
                halt = gr.Button("Stop", elem_id="reverse-stop")
            forecast = parts.sentence("reverse-cost")
        with gr.Column(elem_classes="middle"):
            view = parts.view("reverse", None, [replay, picture])
        with gr.Column(elem_classes="side"):
            parts.margin(
                "reverse",
                EQUATION,
                "The guess x̂₀ is a blurred digit from the first step on. Each step keeps a little of it and hands the "
                "rest back as noise; the digit is decided early, its edges late.",
            )

    inputs = [n, choice, sampler, steps, guidance, eta, seed, weights]
    quiet = {"show_progress": "hidden", "queue": False}
    go.click(generate, inputs, view, show_progress="hidden", concurrency_limit=64, trigger_mode="multiple")
    halt.click(stop, None, view, **quiet)
    dice.click(None, None, seed, js=f"() => Math.floor(Math.random() * {MAX_SEED})")
    weights.change(offer_classes, [weights, choice], choice, **quiet)
    view.submit(restore, weights, [*inputs, view], **quiet)
    changes = [demo.load, *(each.change for each in inputs)]
    gr.on(changes, cost, inputs, forecast, trigger_mode="always_last", concurrency_limit=8, show_progress="hidden")
