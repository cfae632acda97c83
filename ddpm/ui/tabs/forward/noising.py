"""The inner tab that the page opens on: x_t at a chosen t, computed in the page; predicted x0 comes from here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from ddpm.diffusion import q_sample
from ddpm.samplers import predict
from ddpm.schedule import SCHEDULES
from ddpm.ui.components import digits_as_python, layout, links, pictures
from ddpm.ui.generation import recording
from ddpm.ui.generation.as_python import IN_A_CLONE, model_lines
from ddpm.ui.generation.labels import ANY
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import Model
from ddpm.ui.server import protocol

TITLE = "Noise it"
FIRST_T = 250
SYMBOLS = symbols(
    {
        "x_0": "the digit, pixels from −1 to 1",
        "ε": "noise from N(0, 1)",
        "ᾱ_t": "the digit's share, by <a class='to-schedules' href='#compare/schedules'>the schedule</a>",
        "x_t": "the digit noised to t, in one jump",
    }
)
EQUATION = f"""
<math display="block"><msub><mi>x</mi><mi>t</mi></msub><mo>=</mo>
<msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><msub><mi>x</mi><mn>0</mn></msub><mo>+</mo>
<msqrt><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><mi>ε</mi></math>
<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="t" data-expr="t">0</mn></msub><mo>=</mo>
<mn class="signal"
data-live="a" data-expr="gather(sched.sqrt_alphas_bar, t)">1.000</mn><msub><mi>x</mi><mn>0</mn></msub><mo>+</mo>
<mn class="noise" data-live="b" data-expr="gather(sched.sqrt_one_minus_alphas_bar, t)">0.000</mn><mi>ε</mi></math>
{SYMBOLS}
<p class="code">Ho et al. 2020, Eq. 4, computed by <code>ddpm.diffusion.q_sample</code></p>
<h2>Signal to noise ᾱ/(1−ᾱ): <span data-live="snr">·</span> dB</h2><div class="ratios"></div><p class="legend"></p>
<h2>Pixels of x<sub>t</sub> against N(0, 1)</h2>
<canvas class="histogram" id="forward-histogram" role="img"
aria-label="Histogram of the pixels of x_t, the normal density over it"></canvas>
"""


def same_noise_level(t: int, kind: str, weights: Model) -> int:
    """The time at which the model's own schedule comes nearest to the noise level of the schedule `kind` at t."""
    if kind == weights.kind and weights.sched.T == pictures.T:
        return t
    return int((weights.sched.sqrt_alphas_bar.cpu() - pictures.schedule(kind).sqrt_alphas_bar[t]).abs().argmin())


def predicted_x0(x_t: torch.Tensor, times: list[int], weights: Model) -> Iterator[torch.Tensor]:
    """The model's x0_hat of each x_t at its time, without being told the class: one network evaluation."""
    device = weights.model.device
    x_t, t = x_t.to(device), torch.tensor(times, device=device)
    yield predict(weights.model, x_t, t, weights.unlabelled(len(t)), weights.sched, clip=False)[0]


def python_lines(weights: Model, asked: dict[str, Any]) -> list[str]:
    weights.on_pixels()
    t, kind = asked["t"], digits_as_python.schedule_of(asked)
    its_own = same_noise_level(t, asked["schedule"], weights)
    at = "t" if its_own == t else f"torch.tensor([{its_own}])"  # in the model's own schedule
    return [
        *model_lines(asked["weights"], weights),
        f"t = torch.tensor([{t}])",
        f"x_t = ddpm.q_sample(x0, t, eps, {kind})",
        digits_as_python.predicted(weights, at),
        *digits_as_python.shown("x0", "eps", "x_t", "x0_hat"),
    ]


def build(shared: layout.Shared) -> None:
    engine, registry, weights = shared.engine, shared.registry, shared.weights

    async def x0_hat(question: Any) -> dict[str, Any]:
        """What the page asks after every move: {x0, seed, t, schedules, weights} -> {x0_hat: one each} or {error}."""
        question = protocol.fields(question)
        model, x0, seed = pictures.asked_about(registry, question)
        model.on_pixels()
        t = protocol.whole_number(question.get("t"), "t", 0, pictures.T - 1)
        kinds = question.get("schedules")
        if not isinstance(kinds, list) or not 1 <= len(kinds) <= len(SCHEDULES):
            raise ValueError(f"Schedule: one to {len(SCHEDULES)}, please.")
        kinds = [protocol.one_of(kind, "Schedule", SCHEDULES) for kind in kinds]
        eps = pictures.noise_of(model, seed)
        x_t = torch.cat([q_sample(x0, torch.tensor([t]), eps, pictures.schedule(kind)) for kind in kinds])
        times = [same_noise_level(t, kind, model) for kind in kinds]
        answer = await engine.submit(predicted_x0(x_t, times, model)).result()
        return {"x0_hat": [protocol.b64(recording.frame(one[None])) for one in answer]}

    start, names = shared.pictures.opening()
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice = gr.Dropdown([ANY, *names], value=ANY, label="Digit", elem_id="forward-digit")
            with gr.Row(elem_classes=["pair", "actions"]):
                another = gr.Button("Another digit", variant="primary", elem_id="forward-another")
                own = gr.Button("Draw or upload", elem_id="forward-own")
            again = gr.Button("New noise ε", elem_id="forward-noise")
            pictures.which_schedule("forward")
            every = gr.Checkbox(False, label="All schedules side by side", elem_id="forward-all")
            gr.HTML(
                '<p class="hint">Drag <b>t</b> under the pictures, or use the arrow keys. '
                "x<sub>t</sub> is computed in this page; x̂<sub>0</sub>, predicted x<sub>0</sub>, comes from the "
                "network, which is not told which digit it is.</p>"
            )
        view = layout.stage_and_margin(
            "forward",
            Path(__file__).with_name("forward.js"),
            start,
            [x0_hat, digits_as_python.answering(registry, "noised", "Forward, noised", python_lines, IN_A_CLONE)],
            EQUATION,
            "Long after the digit has drowned for you, the network's x̂<sub>0</sub> still keeps to one.",
            {"schedule": pictures.FIRST_SCHEDULE, "t": FIRST_T},
        )

    shared.pictures.follow(weights, view, choice, another, again)
    links.keep(view, t=links.whole(pictures.T - 1, FIRST_T))
    every.change(None, every, None, js="(all) => { DDPM.tabs.forward.receive({all}); }")
    own.click(None, None, None, js="() => { DDPM.tabs.forward.own(); }")
