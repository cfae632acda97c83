"""Forward, step by step: a thousand small Gaussian steps against one jump, over many draws of the same digit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ddpm.diffusion import forward_step, q_sample
from ddpm.schedule import SCHEDULES
from ddpm.seeding import seeded
from ddpm.ui.components import controls, digits_as_python, layout, pictures
from ddpm.ui.components.streaming import Streaming
from ddpm.ui.generation import recording
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import Model
from ddpm.ui.server import protocol
from ddpm.ui.server.sessions import Run

TITLE = "Step by step or at once"
DRAWS = 256  # fewer of pictures so large that they would hold more than MAX_PIXELS
MAX_PIXELS = DRAWS * 3 * 32 * 32
SHOWN = 4  # of them
STRIDE = 10  # small steps between two frames, and in one step of the engine
BINS, LIMIT = 40, 4  # of the histogram, from -LIMIT to LIMIT
KEPT_BYTES = 64_000_000

SYMBOLS = symbols(
    {
        "x_t": "x<sub>0</sub> after the small step at t",
        "N": "normal: mean, variance",
        "β_t": 'variance of the step, <b data-live="beta" data-expr="gather(sched.betas, t)">·</b>',
        "ᾱ_t": "the product of all 1 − β up to t",
    }
)
EQUATION = f"""
<math display="block" class="long">
<mi>q</mi><mo>(</mo><msub><mi>x</mi><mi>t</mi></msub><mo>|</mo><msub><mi>x</mi>
<mrow><mi>t</mi><mo>−</mo><mn>1</mn></mrow></msub><mo>)</mo><mo>=</mo><mi>N</mi><mo>(</mo><msqrt><mn>1</mn><mo>−</mo>
<msub><mi>β</mi><mi>t</mi></msub></msqrt><msub><mi>x</mi><mrow><mi>t</mi><mo>−</mo><mn>1</mn></mrow></msub><mo>,</mo>
<msub><mi>β</mi><mi>t</mi></msub><mi>I</mi><mo>)</mo></math>
<math display="block" class="long">
<mi>q</mi><mo>(</mo><msub><mi>x</mi><mi>t</mi></msub><mo>|</mo><msub><mi>x</mi><mn>0</mn></msub>
<mo>)</mo><mo>=</mo><mi>N</mi><mo>(</mo><msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt>
<msub><mi>x</mi><mn>0</mn></msub><mo>,</mo><mo>(</mo><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover>
<mi>t</mi></msub><mo>)</mo><mi>I</mi><mo>)</mo></math>
{SYMBOLS}
<p class="code">Ho et al. 2020, Eq. 2: <code>ddpm.diffusion.forward_step</code>; Eq. 4:
<code>ddpm.diffusion.q_sample</code></p>
<table class="points" id="chain-table"><tr><th>x<sub>t</sub></th><th>mean, in x<sub>0</sub></th><th>variance</th></tr>
<tr><td>steps</td><td data-live="steps0">·</td><td data-live="steps1">·</td></tr>
<tr><td>one jump</td><td data-live="jump0">·</td><td data-live="jump1">·</td></tr>
<tr><td>in theory</td><td class="signal" data-live="theory0">·</td><td class="noise" data-live="theory1">·</td></tr>
</table>
<h2>(x<sub>t</sub> − √ᾱ x<sub>0</sub>) / √(1−ᾱ), all draws</h2><div class="spread"></div><p class="legend"></p>
"""


def contrast(mean: Tensor, x0: Tensor) -> float:
    """How much of x0 is in a mean picture: the slope of the regression of one on the other, through the origin."""
    return ((mean * x0).sum() / (x0 * x0).sum()).item()


def how_many(pixels: int) -> int:
    """Draws of a picture of so many numbers."""
    return max(2 * SHOWN, min(DRAWS, MAX_PIXELS // pixels))


class Chain(Run):
    """Draws of one digit, noised in T small steps; and, at the end of every STRIDE of them, in one jump.

    The jumps' noise is fresh at every t: what agrees with the steps is each moment's distribution, not the path.
    """

    def __init__(self, x0: Tensor, kind: str, seed: int, question: int = 0):
        """x0: (1, C, S, S) in [-1, 1].  kind: of the schedule.  question: the page's number for what it has asked."""
        super().__init__()
        self.x0, self.sched = x0, pictures.schedule(kind)
        self.n = how_many(x0.numel())
        self.draws = x0.expand(self.n, -1, -1, -1)
        self.small, self.large = seeded(seed, 0), seeded(seed, 1)
        self.question = question

    def steps(self) -> Iterator[dict[str, Any]]:
        """The engine's job."""
        x = self.draws
        yield self.keep(-1, x, x)
        for begin in range(0, self.sched.T, STRIDE):
            for time in range(begin, begin + STRIDE):
                t = torch.full((self.n,), time)
                x = forward_step(x, t, self.noise(self.small), self.sched)
            yield self.keep(time, x, q_sample(self.draws, t, self.noise(self.large), self.sched))

    def noise(self, generator: torch.Generator) -> Tensor:
        return torch.randn(self.draws.shape, generator=generator)

    def keep(self, t: int, steps: Tensor, jump: Tensor) -> dict[str, Any]:
        """The frame of a moment; t = -1 is before the first step."""
        signal = 1.0 if t < 0 else self.sched.sqrt_alphas_bar[t].item()
        variance = 0.0 if t < 0 else 1 - self.sched.alphas_bar[t].item()
        frame = {
            "t": t,
            "beta": None if t < 0 else self.sched.betas[t].item(),
            "theory": [signal, variance],
            "steps": self.measure(steps, signal, variance),
            "jump": self.measure(jump, signal, variance),
        }
        return self.add(frame)

    def measure(self, x: Tensor, signal: float, variance: float) -> dict[str, Any]:
        """What the page shows of all draws of one way: some of them, their mean and variance, pixel by pixel.

        moments: how much of x0 is in the mean, and the variance, averaged over the pixels.  spread: the density of
        the standardised pixels, bin by bin.  In the picture of the variance 0 is black, 1 grey and 2 white.
        """
        mean, squares = x.mean(dim=0, keepdim=True), x.var(dim=0, keepdim=True)
        shown = torch.cat([x[:SHOWN], mean, squares - 1])
        spread = None
        if variance:
            counts = torch.histc((x - signal * self.x0) / variance**0.5, BINS, -LIMIT, LIMIT)
            spread = [round(v, 4) for v in (counts / x.numel() * BINS / (2 * LIMIT)).tolist()]
        moments = [round(v, 5) for v in (contrast(mean, self.x0), squares.mean().item())]
        return {"pictures": protocol.b64(recording.frame(shown)), "moments": moments, "spread": spread}

    def about(self) -> dict[str, Any]:
        return {"question": self.question, "total": self.sched.T // STRIDE + 1, "stride": STRIDE, "draws": self.n}


def python_lines(weights: Model, asked: dict[str, Any]) -> list[str]:
    """Both ways up to t, the last small step of a frame."""
    n, seed, t = how_many(weights.channels * weights.img_size**2), asked["seed"], asked["t"]
    kept = f"{SHOWN}], x.mean(0, keepdim=True), x.var(0, keepdim=True) - 1])"
    return [
        f"sched = {digits_as_python.schedule_of(asked)}",
        f"x = draws = x0.expand({n}, -1, -1, -1)",
        f"small, large = ddpm.seeding.seeded({seed}, 0), ddpm.seeding.seeded({seed}, 1)",
        f"for time in range({t + 1}):",
        f"    t = torch.full(({n},), time)",
        "    x = ddpm.forward_step(x, t, torch.randn(draws.shape, generator=small), sched)",
        f"    if time % {STRIDE} == {STRIDE - 1}:",
        "        jump = ddpm.q_sample(draws, t, torch.randn(draws.shape, generator=large), sched)",
        "def look(x):  # some of the draws, the mean of all, and their variance: black is 0, grey 1, white 2",
        f"    return torch.cat([x[:{kept}",
        *digits_as_python.shown("look(x)", "look(jump)", n=2 * (SHOWN + 2), columns=SHOWN + 2),
    ]


def build(shared: layout.Shared) -> None:
    registry, weights, runs = shared.registry, shared.weights, Streaming(shared.engine, "chain", KEPT_BYTES)

    def make(question: Any) -> Chain:
        """question: what the page shows, {x0, seed, schedule, weights, question}.  Raises ValueError."""
        question = protocol.fields(question)
        _, x0, seed = pictures.asked_about(registry, question)
        kind = protocol.one_of(question.get("schedule"), "Schedule", SCHEDULES)
        return Chain(x0, kind, seed, protocol.whole_number(question.get("question"), "Question", 0, protocol.MAX_SEED))

    lines = digits_as_python.answering(registry, "steps", "Step by step and at once", python_lines, noise=False)

    def python(question: Any) -> dict[str, str]:
        """What the page asks at a frame, {t, ...} with what `make` takes -> {text, name, data}.  Raises ValueError."""
        if protocol.fields(question).get("t") not in range(STRIDE - 1, pictures.T, STRIDE):
            raise ValueError("Nothing is noised there yet. Press Add noise, drag the playhead to a t, then copy.")
        return lines(question)

    start, names = shared.pictures.opening()
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice, another, again = pictures.choosing("chain", names)
            pictures.which_schedule("chain")
            go, halt = controls.go_and_stop("chain", "Add noise")
            question = gr.JSON(visible=False)  # what the page shows, filled in as the button is pressed
            gr.HTML(
                '<p class="hint">Many draws of one digit, each noised by a thousand small steps of its own; beside '
                "them as many that jump from x<sub>0</sub> straight to t, with fresh noise at every t.</p>"
                '<p class="hint">In the picture of the variance, black is 0, grey is 1, white is 2. Under the '
                "pictures, wide: theory; lines: small steps; dots: one jump.</p>"
            )
        view = layout.stage_and_margin(
            "chain",
            Path(__file__).with_name("chain.js"),
            start,
            [runs.replay, python],
            EQUATION,
            "Both ways agree at every t: training may jump to a random t, and never walks there.",
            {
                "schedule": pictures.FIRST_SCHEDULE,
                "shown": SHOWN,
                "limit": LIMIT,
                "total": pictures.T // STRIDE + 1,
            },
        )
    shared.pictures.follow(weights, view, choice, another, again)
    runs.stop(halt, view)
    runs.start(go.click, make, [question], view, js="() => [DDPM.tabs.chain.asked()]")
