"""The Forward tab: noising at a chosen t.  x_t is computed in the page; the model's guess comes from here."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
import torch

from ..config import SCHEDULES
from ..data import Dataset, from_uint8, load_dataset
from ..diffusion import q_sample, seeded, to_x0_eps
from ..schedule import Schedule, make_schedule
from . import parts
from .engine import Engine
from .weights import Library, Weights

T = 1000
FIRST_DIGIT = 7  # its position among the bundled digits: the page opens on it
MAX_SEED = 2**31 - 1

EQUATION = """
<math display="block"><msub><mi>x</mi><mi>t</mi></msub><mo>=</mo>
<msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><msub><mi>x</mi><mn>0</mn></msub><mo>+</mo>
<msqrt><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><mi>ε</mi></math>
<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="t">0</mn></msub><mo>=</mo>
<mn class="signal" data-live="a">1.000</mn><msub><mi>x</mi><mn>0</mn></msub><mo>+</mo>
<mn class="noise" data-live="b">0.000</mn><mi>ε</mi></math>
<p class="source">Ho et al. 2020, Eq. 4. The same ε is held while t moves, so one sees one picture drown.</p>
<p class="code">computed by <code>ddpm.diffusion.q_sample</code></p>
"""


@functools.cache
def digits() -> Dataset:
    return load_dataset("bundled")


@functools.cache
def schedule(kind: str) -> Schedule:
    return make_schedule(T, kind=kind)


def noise(seed: int) -> np.ndarray:
    """The eps of a seed as the page gets it: (32, 32) float16."""
    return torch.randn(digits().images.shape[2:], generator=seeded(seed)).half().numpy()


def digit_packet(index: int) -> dict[str, Any]:
    data = digits()
    return {"index": index, "label": int(data.labels[index]), "x0": parts.b64(data.images[index].numpy())}


def noise_packet(seed: int) -> dict[str, Any]:
    return {"seed": seed, "eps": parts.b64(noise(seed))}


def another_digit(choice: Any) -> dict[str, Any]:
    """A random bundled digit of the chosen class: random, or "0" to "9"."""
    choice = parts.one_of(choice, "Digit", ("random", *digits().class_names))
    labels = digits().labels
    of_class = torch.arange(len(labels)) if choice == "random" else (labels == int(choice)).nonzero().flatten()
    return digit_packet(int(of_class[random.randrange(len(of_class))]))


def same_noise_level(t: int, kind: str, weights: Weights) -> int:
    """The time at which the model's own schedule comes nearest to the noise level of the schedule `kind` at t."""
    if kind == weights.kind and weights.sched.T == T:
        return t
    return int((weights.sched.sqrt_alphas_bar.cpu() - schedule(kind).sqrt_alphas_bar[t]).abs().argmin())


def guess(x_t: torch.Tensor, t: int, weights: Weights) -> Iterator[torch.Tensor]:
    """The model's x0_hat from one x_t, without being told the class: one network evaluation."""
    device = weights.model.device
    x_t, t = x_t.to(device), torch.tensor([t], device=device)
    null = [torch.full_like(t, -1)] if weights.num_classes else []
    x0_hat, _ = to_x0_eps(weights.model(x_t, t, *null).float(), x_t, t, weights.sched, weights.model.prediction)
    yield x0_hat


def build(engine: Engine, library: Library) -> None:
    async def x0_hat(asked: Any) -> dict[str, Any]:
        """What the page asks after every move of t: {index, seed, t, schedule} -> {x0_hat} or {error}."""
        try:
            asked = asked if isinstance(asked, dict) else {}
            index = parts.whole_number(asked.get("index"), "Digit", 0, len(digits().images) - 1)
            seed = parts.whole_number(asked.get("seed"), "Noise", 0, MAX_SEED)
            t = parts.whole_number(asked.get("t"), "t", 0, T - 1)
            kind = parts.one_of(asked.get("schedule"), "Schedule", SCHEDULES)
            weights = library.get(library.default)
            x0 = from_uint8(digits().images[index])[None]
            eps = torch.from_numpy(noise(seed)).float()[None, None]
            x_t = q_sample(x0, torch.tensor([t]), eps, schedule(kind))
            answer = await engine.submit(guess(x_t, same_noise_level(t, kind, weights), weights)).result()
            return {"x0_hat": parts.b64(parts.frame(answer))}
        except ValueError as error:
            return {"error": str(error)}

    start = digit_packet(FIRST_DIGIT) | noise_packet(0) | {"schedule": "cosine", "T": T}
    start["signal"] = {k: [round(v, 6) for v in schedule(k).sqrt_alphas_bar.tolist()] for k in SCHEDULES}

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            digit = gr.Dropdown(
                ["random", *digits().class_names], value="random", label="Digit", elem_id="forward-digit"
            )
            another = gr.Button("Another digit", variant="primary", elem_id="forward-another")
            kind = gr.Radio(list(SCHEDULES), value="cosine", label="Schedule", elem_id="forward-schedule")
            again = gr.Button("New noise ε", elem_id="forward-noise")
            gr.HTML(
                '<p class="hint">Drag <b>t</b> under the pictures, or use the arrow keys. '
                "x<sub>t</sub> is computed in this page; the guess x̂<sub>0</sub> comes from the network "
                "each time t rests.</p>"
            )
        with gr.Column(elem_classes="middle"):
            view = parts.view("forward", start, [x0_hat])
        with gr.Column(elem_classes="side"):
            parts.margin(
                "forward",
                EQUATION,
                "Where does the digit drown for you, and where for the network? Its guess keeps to a digit long after "
                "you have lost it, then melts into the average of all digits.",
            )

    quiet = {"show_progress": "hidden", "queue": False}
    for event in (digit.input, another.click):
        event(another_digit, digit, view, **quiet)
    again.click(lambda: noise_packet(random.randrange(MAX_SEED)), None, view, **quiet)
    kind.input(lambda k: {"schedule": parts.one_of(k, "Schedule", SCHEDULES)}, kind, view, **quiet)
