"""Forward, the posterior: where a pixel was at s, if x0 is known and x_t has been seen.  Bayes' rule as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ddpm.diffusion import posterior, q_sample
from ddpm.schedule import SCHEDULES, Schedule
from ddpm.seeding import seeded
from ddpm.ui.components import digits_as_python, layout, links, pictures
from ddpm.ui.generation import recording
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import Model
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import once

TITLE = "The posterior"
FIRST_T, FIRST_STRIDE, FIRST_PIXEL = 500, 200, [17, 20]
STRIDES = (1, 10, 50, 200, 500)  # t - s
LIMIT = 4.0  # the densities are drawn from -LIMIT to LIMIT
PLACES = 161  # at which they are computed, there; and half as many where the posterior is

SYMBOLS = symbols(
    {
        "x_0, x_t": "the digit, and the digit noised to t",
        "x_s": "what lies between, at any s before t",
        "∝": "up to a factor: Bayes' rule",
        "μ̃, β̃": "its mean and variance, N(μ̃, β̃I)",
        "α_{ts}": "ᾱ<sub>t</sub>/ᾱ<sub>s</sub>; for s = t − 1 the schedule's α<sub>t</sub>",
        "β_{ts}": "1 − α<sub>ts</sub>",
    }
)
EQUATION = f"""
<math display="block" class="long">
<mi>q</mi><mo>(</mo><msub><mi>x</mi><mi>s</mi></msub><mo>|</mo><msub><mi>x</mi><mi>t</mi></msub>
<mo>,</mo><msub><mi>x</mi><mn>0</mn></msub><mo>)</mo><mo>∝</mo><mi>q</mi><mo>(</mo><msub><mi>x</mi><mi>t</mi></msub>
<mo>|</mo><msub><mi>x</mi><mi>s</mi></msub><mo>)</mo><mi>q</mi><mo>(</mo><msub><mi>x</mi><mi>s</mi></msub><mo>|</mo>
<msub><mi>x</mi><mn>0</mn></msub><mo>)</mo></math>
<math display="block"><mover><mi>μ</mi><mo>~</mo></mover><mo>=</mo><mfrac><mrow><msqrt><msub><mover><mi>α</mi><mo>¯</mo>
</mover><mi>s</mi></msub></msqrt><msub><mi>β</mi><mi>ts</mi></msub></mrow><mrow><mn>1</mn><mo>−</mo><msub><mover>
<mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></mrow></mfrac><msub><mi>x</mi><mn>0</mn></msub><mo>+</mo><mfrac><mrow>
<msqrt><msub><mi>α</mi><mi>ts</mi></msub></msqrt><mo>(</mo><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover>
<mi>s</mi></msub><mo>)</mo></mrow><mrow><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub>
</mrow></mfrac><msub><mi>x</mi><mi>t</mi></msub></math>
<math display="block"><mover><mi>β</mi><mo>~</mo></mover><mo>=</mo><mfrac><mrow><mn>1</mn><mo>−</mo><msub><mover>
<mi>α</mi><mo>¯</mo></mover><mi>s</mi></msub></mrow><mrow><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover>
<mi>t</mi></msub></mrow></mfrac><msub><mi>β</mi><mi>ts</mi></msub></math>
<math display="block" class="numbers"><mover><mi>μ</mi><mo>~</mo></mover><mo>=</mo>
<mn class="signal"
data-live="c0" data-expr="ab_s.sqrt() * beta_ts / (1 - ab_t)">·</mn><msub><mi>x</mi><mn>0</mn></msub><mo>+</mo>
<mn class="noise"
data-live="c1" data-expr="alpha_ts.sqrt() * (1 - ab_s) / (1 - ab_t)">·</mn><msub><mi>x</mi><mi>t</mi></msub></math>
<math display="block" class="numbers"><msqrt><mover><mi>β</mi><mo>~</mo></mover></msqrt><mo>=</mo>
<mn data-live="sd">·</mn></math>
{SYMBOLS}
<p class="code">Ho et al. 2020, Eq. 6 and 7: <code>ddpm.diffusion.posterior</code></p>
"""


def coefficients(t: int, s: int, sched: Schedule) -> list[float]:
    """What x0 and x_t count for in the posterior's mean, and its standard deviation: read off the function itself."""
    one, zero = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    at, then = torch.tensor([t]), torch.tensor([s])
    (on_x0, variance), (on_x_t, _) = posterior(one, zero, at, then, sched), posterior(zero, one, at, then, sched)
    return [on_x0.item(), on_x_t.item(), variance.sqrt().item()]


def densities(x0: float, x_t: float, t: int, s: int, sched: Schedule) -> dict[str, list[float]]:
    """Three curves over x_s for one pixel, with a peak of 1: what the forward process says of x_s, q(x_s | x0); what
    the x_t that was seen says of it, q(x_t | x_s); and their product, which is all that Bayes' rule is.

    `posterior` only says where to look closely: that the product peaks at its mean is for the page to show.
    Returns {x, prior, seen, product}.  s >= 0: clean data are known, so they have no density.
    """
    ab_t, ab_s = sched.alphas_bar[t].double(), sched.alphas_bar[s].double()
    on_x0, on_x_t, sd = coefficients(t, s, sched)
    middle = on_x0 * x0 + on_x_t * x_t
    fine = middle + sd * torch.linspace(-5, 5, PLACES // 2 + 1, dtype=torch.float64)  # drawn whole, however narrow
    x = torch.cat([torch.linspace(-LIMIT, LIMIT, PLACES, dtype=torch.float64), fine]).sort().values
    prior = -((x - ab_s.sqrt() * x0) ** 2) / (2 * (1 - ab_s))
    seen = -((x_t - (ab_t / ab_s).sqrt() * x) ** 2) / (2 * (1 - ab_t / ab_s))
    product = prior + seen
    logs = {"prior": prior, "seen": seen, "product": product - product.max()}
    return {"x": x.tolist()} | {name: [round(v, 4) for v in log.exp().tolist()] for name, log in logs.items()}


def look(x0: Tensor, eps: Tensor, t: int, s: int, kind: str, draw: int, pixel: tuple[int, int]) -> dict[str, Any]:
    """What the tab shows of q(x_s | x_t, x0), x_t being x0 noised by eps.

    x0, eps: (1, C, S, S).  draw: the seed of one draw.  pixel: (row, column); of a colour picture its first channel.
    """
    sched, (row, column) = pictures.schedule(kind), pixel
    at, then = torch.tensor([t]), torch.tensor([s])
    x_t = q_sample(x0, at, eps, sched)
    mean, variance = posterior(x0, x_t, at, then, sched)
    drawn = mean + variance.sqrt() * torch.randn(x0.shape, generator=seeded(draw))
    shown = {"x0": x0, "xt": x_t, "mean": mean, "draw": drawn}
    here = {name: round(picture[0, 0, row, column].item(), 4) for name, picture in shown.items()}
    return {
        "t": t,
        "s": s,
        "mean": protocol.b64(recording.frame(mean)),
        "draw": protocol.b64(recording.frame(drawn)),
        "coefficients": [round(v, 4) for v in coefficients(t, s, sched)],
        "pixel": list(pixel),
        "here": here,
        "curves": densities(here["x0"], here["xt"], t, s, sched) if s >= 0 else None,
    }


def python_lines(weights: Model, asked: dict[str, Any]) -> list[str]:
    t, stride = asked["t"], protocol.one_of(asked.get("stride"), "t − s", STRIDES)
    draw = protocol.whole_number(asked.get("draw"), "Draw", 0, protocol.MAX_SEED)
    return [
        f"sched = {digits_as_python.schedule_of(asked)}",
        f"t, s = torch.tensor([{t}]), torch.tensor([{max(t - stride, -1)}])",
        "x_t = ddpm.q_sample(x0, t, eps, sched)",
        "mean, variance = ddpm.posterior(x0, x_t, t, s, sched)",
        f"z = torch.randn(x0.shape, generator=ddpm.seeding.seeded({draw}))",
        *digits_as_python.shown("x0", "x_t", "mean", "mean + variance.sqrt() * z"),
    ]


def build(shared: layout.Shared) -> None:
    engine, registry, weights = shared.engine, shared.registry, shared.weights

    async def posterior_of(question: Any) -> dict[str, Any]:
        """What the page asks after every move: {x0, seed, t, stride, schedule, draw, pixel, weights}: see `look`."""
        question = protocol.fields(question)
        model, x0, seed = pictures.asked_about(registry, question)
        t = protocol.whole_number(question.get("t"), "t", 0, pictures.T - 1)
        stride = protocol.one_of(question.get("stride"), "t − s", STRIDES)
        kind = protocol.one_of(question.get("schedule"), "Schedule", SCHEDULES)
        draw = protocol.whole_number(question.get("draw"), "Draw", 0, protocol.MAX_SEED)
        pixel = question.get("pixel")
        if not isinstance(pixel, list) or len(pixel) != 2:
            raise ValueError("Pixel: a row and a column, please.")
        row = protocol.whole_number(pixel[0], "Row", 0, model.img_size - 1)
        column = protocol.whole_number(pixel[1], "Column", 0, model.img_size - 1)
        job = once(look, x0, pictures.noise_of(model, seed), t, max(t - stride, -1), kind, draw, (row, column))
        return await engine.submit(job).result()

    start, names = shared.pictures.opening()
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice, another, again = pictures.choosing("posterior", names)
            pictures.which_schedule("posterior")
            strides = [("1, the paper's", 1), *((str(n), n) for n in STRIDES[1:])]
            stride = gr.Radio(strides, value=FIRST_STRIDE, label="How far back: t − s", elem_id="posterior-stride")
            with gr.Row(elem_classes="actions"):
                draw = gr.Button("Another draw", variant="primary", elem_id="posterior-draw")
            gr.HTML(
                '<p class="hint">Drag <b>t</b>; click a <b>pixel</b>, or set its row and column. The curves are over '
                "that pixel's value at s, each drawn to the same height.</p>"
            )
        view = layout.stage_and_margin(
            "posterior",
            Path(__file__).with_name("posterior.js"),
            start,
            [posterior_of, digits_as_python.answering(registry, "posterior", "The posterior", python_lines)],
            EQUATION,
            "Both say something of x<sub>s</sub>, and what they say together is narrower than either. A long way back "
            "the digit decides, one step back x<sub>t</sub> does: that is why a network's rough prediction of "
            "x<sub>0</sub> is good enough for a small step.",
            {
                "schedule": pictures.FIRST_SCHEDULE,
                "stride": FIRST_STRIDE,
                "limit": LIMIT,
                "t": FIRST_T,
                "pixel": FIRST_PIXEL,
            },
        )
    shared.pictures.follow(weights, view, choice, another, again)
    links.keep(
        view,
        t=links.whole(pictures.T - 1, FIRST_T),
        pixel=links.Kept(FIRST_PIXEL, *links.numbers(2, 255)),
        draw=links.whole(protocol.MAX_SEED, 0),
    )
    stride.change(None, stride, None, js="(stride) => { DDPM.tabs.posterior.receive({stride}); }")
    draw.click(None, None, None, js="() => { DDPM.tabs.posterior.draw(); }")
