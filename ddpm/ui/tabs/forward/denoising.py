"""The inner tab Denoise it: from one x_t a blur, predicted x0 in one step, and all the steps of a sampler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ddpm.config import SamplingConfig
from ddpm.diffusion import q_sample
from ddpm.evaluation import classifiers
from ddpm.generate import Sampler
from ddpm.samplers import SampleStep, predict
from ddpm.ui.components import controls, digits_as_python, layout, pictures
from ddpm.ui.components.streaming import Streaming
from ddpm.ui.generation import recording
from ddpm.ui.generation.as_python import IN_A_CLONE, drawing_lines, labels, model_lines, sampler_lines
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import Model, ModelRegistry
from ddpm.ui.server import protocol
from ddpm.ui.server.sessions import Run

TITLE = "Denoise it"
FIRST_T = 849
STEPS = 40  # from noise to clean; from t = 499, where half of them remain, 20
FUTURES = 32  # drawn from one x_t
SHOWN = 3  # of them
WIDTHS = torch.logspace(-1, 1.4, 61)  # of the blur, in pixels: from none to nearly the mean of the picture
KEPT_BYTES = 32_000_000

SYMBOLS = symbols(
    {
        "ε̂": "noise the network sees in x<sub>t</sub>",
        "x̂_0": "what is left without it",
        "E": "the average of every digit that x<sub>t</sub> may have come from",
    }
)
EQUATION = f"""
<math display="block"><msub><mover><mi>x</mi><mo>^</mo></mover><mn>0</mn></msub><mo>=</mo><mfrac><mrow><msub><mi>x</mi>
<mi>t</mi></msub><mo>−</mo><msqrt><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt>
<mover><mi>ε</mi><mo>^</mo></mover></mrow><msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt>
</mfrac><mo>≈</mo><mi>E</mi><mo>[</mo><msub><mi>x</mi><mn>0</mn></msub><mo>|</mo><msub><mi>x</mi><mi>t</mi></msub><mo>]</mo>
</math>
<math display="block" class="numbers">
<msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><mo>=</mo>
<mn class="signal"
data-live="a" data-expr="gather(sched.sqrt_alphas_bar, t)">·</mn><mo>,</mo><mspace width="0.4em"></mspace>
<msqrt><mn>1</mn><mo>−</mo><msub><mover>
<mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><mo>=</mo><mn class="noise"
data-live="b" data-expr="gather(sched.sqrt_one_minus_alphas_bar, t)">·</mn></math>
{SYMBOLS}
<p class="code">one step: <code>ddpm.diffusion.to_x0_eps</code>; all steps: <code>ddpm.samplers.reverse_process</code>,
DDPM, no label</p>
<dl class="symbols"><dt>d</dt><dd>root mean square distance to x<sub>0</sub></dd>
<dt>uncertain</dt><dd>pixels within 0.5 of 0; of real digits 8 %</dd>
<dt>blur</dt><dd>of x<sub>t</sub>/√ᾱ, <b data-live="width">·</b> pixels wide, the best for this x<sub>0</sub></dd></dl>
"""


@dataclass(frozen=True)
class Question:
    """What the page has asked, checked.  level: how many of the STEPS are still to go from x_t."""

    x0: Tensor  # (1, C, S, S)
    seed: int
    level: int
    weights: Model
    number: int = 0  # the page's own

    @classmethod
    def check(cls, registry: ModelRegistry, question: Any) -> Question:
        """question: {x0, seed, t, weights, question}, t being the page's, of T = 1000.  Raises ValueError."""
        question = protocol.fields(question)
        weights, x0, seed = pictures.asked_about(registry, question)
        weights.on_pixels()
        t = protocol.whole_number(question.get("t"), "t", 0, pictures.T - 1)
        number = protocol.whole_number(question.get("question"), "Question", 0, protocol.MAX_SEED)
        steps = min(STEPS, weights.sched.T)
        return cls(x0, seed, max(1, round((t + 1) / pictures.T * steps)), weights, number)

    def sampler(self) -> Sampler:
        steps = min(STEPS, self.weights.sched.T)  # trailing: every step as long as the others
        return Sampler(self.weights.model, self.weights.sched, SamplingConfig("ddpm", steps, spacing="trailing"))

    def python(self) -> list[str]:
        """x_t, predicted x0, the denoisings that are shown and the mean of all, once `x0` and `eps` are there."""
        w, (i, t) = self.weights, self.start
        y, start = labels(w.unlabelled(FUTURES)), f"start=({i}, x_t.expand({FUTURES}, -1, -1, -1))"
        return [
            *sampler_lines(self.sampler().sampling),
            f"t = torch.tensor([{t}])",
            "x_t = ddpm.q_sample(x0, t, eps, sched)",
            digits_as_python.predicted(w, "t"),
            *drawing_lines(FUTURES, y, self.seed, start),
            *digits_as_python.shown(
                "x_t", "x0_hat", f"step.x_t[:{SHOWN}]", "step.x_t.mean(0, keepdim=True)", n=SHOWN + 3
            ),
        ]

    @property
    def start(self) -> tuple[int, int]:
        """(i, t): the step of the sampler that begins at x_t, and x_t's time."""
        times = self.sampler().times
        i = len(times) - 1 - self.level
        return i, times[i]

    @property
    def x_t(self) -> Tensor:
        """(1, C, S, S), with the noise that the page knows by its seed."""
        eps = pictures.noise_of(self.weights, self.seed)
        return q_sample(self.x0, torch.tensor([self.start[1]]), eps, self.weights.sched.to("cpu"))


def distance(x: Tensor, x0: Tensor) -> Tensor:
    """The root mean square over the pixels.  x: (B, C, S, S), x0: (1, C, S, S).  Returns (B,)."""
    return (x - x0).square().mean(dim=(1, 2, 3)).sqrt()


def grey(x: Tensor) -> Tensor:
    """The share of pixels within half of 0, neither ink nor paper: of real digits about 8 %.  Returns (B,)."""
    return (x.abs() < 0.5).float().mean(dim=(1, 2, 3))


def measured(x: Tensor, x0: Tensor, weights: Model, read: bool = True) -> list[dict[str, Any]]:
    """For each picture its distance to x0, its grey and, where it can be classified, the class and its certainty."""
    figures = zip(distance(x, x0).tolist(), grey(x).tolist(), strict=True)
    about: list[dict[str, Any]] = [{"distance": round(d, 3), "grey": round(g, 3)} for d, g in figures]
    if read and (reader := weights.reader):
        found = classifiers.read(x, reader)
        for one, name, certainty in zip(about, found.names, found.confidence.tolist(), strict=True):
            one |= {"class": name, "certainty": round(certainty, 3)}
    return about


def blurred(x: Tensor, widths: Tensor) -> Tensor:
    """A picture under Gaussian blurs.  x: (1, C, S, S).  widths: (W,), in pixels.  Returns (W, C, S, S).

    Beyond the border is nothing: the weights of what is inside add up to one.
    """
    i = torch.arange(x.shape[-1], dtype=torch.float32)
    kernel = (-((i[:, None] - i) ** 2) / (2 * widths[:, None, None] ** 2)).exp()
    kernel = (kernel / kernel.sum(dim=2, keepdim=True))[:, None]
    return kernel @ x @ kernel.mT


def best_blur(x: Tensor, x0: Tensor) -> tuple[Tensor, float]:
    """Of the blurs of x the one nearest to x0, (1, C, S, S), and its width."""
    tried = blurred(x, WIDTHS)
    best = int(distance(tried, x0).argmin())
    return tried[best : best + 1], WIDTHS[best].item()


def at_once(q: Question) -> Iterator[dict[str, Any] | None]:
    """The engine's job: x_t, the best blur and predicted x0, with what `measured` says of them."""
    w, x_t, (_, time) = q.weights, q.x_t, q.start
    on_device, t = x_t.to(w.model.device), torch.tensor([time], device=w.model.device)
    x0_hat, _ = predict(w.model, on_device, t, w.unlabelled(1), w.sched, clip=False)
    yield None
    signal = w.sched.sqrt_alphas_bar[time].item()
    blur, width = best_blur(x_t / signal, q.x0)
    found = {"x0": q.x0, "blur": blur, "x0_hat": x0_hat.cpu()}
    yield {
        "t": time,
        "signal": round(signal, 4),
        "noise": round(w.sched.sqrt_one_minus_alphas_bar[time].item(), 4),
        "width": round(width, 2),
        "x_t": protocol.b64(recording.frame(x_t)),
        "pictures": {name: protocol.b64(recording.frame(picture)) for name, picture in found.items()},
        "measured": dict(zip(found, measured(torch.cat(list(found.values())), q.x0, w), strict=True)),
    }


class Futures(Run):
    """FUTURES ways on from one x_t, each with noise of its own: some of them, and the mean of all, as they come."""

    def __init__(self, question: Question):
        super().__init__()
        self.question, self.sampler = question, question.sampler()
        self.begin, self.t = question.start

    def steps(self) -> Iterator[dict[str, Any]]:
        """The engine's job: one network evaluation a step."""
        q = self.question
        start = self.begin, q.x_t.expand(FUTURES, -1, -1, -1)
        for moment in self.sampler.steps(FUTURES, q.weights.unlabelled(FUTURES), q.seed, start=start):
            yield self.keep(moment)

    def keep(self, moment: SampleStep) -> dict[str, Any]:
        """The frame of a moment.  of_x0_hat: distance to x0 and grey of the x0_hats made there, on average."""
        q, x0_hats = self.question, moment.x0_hat.cpu()
        x = moment.x_t.cpu()
        shown = torch.cat([x[:SHOWN], x.mean(dim=0, keepdim=True)])
        mean = {"distance": distance(x0_hats, q.x0), "grey": grey(x0_hats)}
        frame = {
            "t": moment.t,
            "pictures": protocol.b64(recording.frame(shown)),
            "measured": measured(shown, q.x0, q.weights, read=moment.t < 0),
            "of_x0_hat": {name: round(each.mean().item(), 4) for name, each in mean.items()},
        }
        return self.add(frame)

    def about(self) -> dict[str, Any]:
        q = self.question
        return {"question": q.number, "t": self.t, "total": q.level + 1, "futures": FUTURES}


def build(shared: layout.Shared) -> None:
    engine, registry, weights = shared.engine, shared.registry, shared.weights
    runs = Streaming(engine, "denoising", KEPT_BYTES)

    async def look(question: Any) -> dict[str, Any]:
        """What the page asks after every change: see Question and at_once."""
        return await engine.submit(at_once(Question.check(registry, question))).result()

    def lines(model: Model, asked: dict[str, Any]) -> list[str]:
        return [*model_lines(asked["weights"], model), *Question.check(registry, asked).python()]

    python = digits_as_python.answering(registry, "denoised", "Forward, denoised", lines, IN_A_CLONE)
    start, names = shared.pictures.opening()
    stride = pictures.T // STEPS
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice, another, again = pictures.choosing("denoising", names)
            label = "t: how noisy xₜ is"
            t = gr.Slider(stride - 1, pictures.T - 1, FIRST_T, step=stride, label=label, elem_id="denoising-t")
            go, halt = controls.go_and_stop("denoising", "Denoise fully")
            question = gr.JSON(visible=False)  # what the page shows, filled in as the button is pressed
            gr.HTML(
                f'<p class="hint">{FUTURES} digits are drawn from this one x<sub>t</sub>, and differ only in the noise '
                f"still to come. {SHOWN} of them are shown, and the mean of all.</p>"
                '<p class="hint">The classifier knows ten classes: it finds one of them in everything, as sure of a '
                "blur as of a digit.</p>"
            )
        view = layout.stage_and_margin(
            "denoising",
            Path(__file__).with_name("denoising.js"),
            start,
            [look, runs.replay, python],
            EQUATION,
            "x̂<sub>0</sub>, predicted in one step, is nearer to x<sub>0</sub> than most digits that come out step by "
            "step, and greyer: it is the average of all that could have been.",
            {"shown": SHOWN, "t": FIRST_T},
        )
    shared.pictures.follow(weights, view, choice, another, again)
    t.change(None, t, None, js="(t) => { DDPM.tabs.denoising.receive({t}); }")

    def make(question: Any) -> Futures:
        return Futures(Question.check(registry, question))

    runs.stop(halt, view)
    runs.start(go.click, make, [question], view, js="() => [DDPM.tabs.denoising.asked()]")
