"""The Forward tab: noising at a chosen t.  x_t is computed in the page; the model's guess comes from here."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np
import torch

from ..config import SCHEDULES
from ..data import from_uint8
from ..diffusion import q_sample, to_x0_eps
from . import parts, pictures
from .engine import Engine
from .weights import Library, Weights

EQUATION = """
<math display="block"><msub><mi>x</mi><mi>t</mi></msub><mo>=</mo>
<msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><msub><mi>x</mi><mn>0</mn></msub><mo>+</mo>
<msqrt><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><mi>ε</mi></math>
<math display="block" class="numbers"><msub><mi>x</mi><mn data-live="t">0</mn></msub><mo>=</mo>
<mn class="signal" data-live="a">1.000</mn><msub><mi>x</mi><mn>0</mn></msub><mo>+</mo>
<mn class="noise" data-live="b">0.000</mn><mi>ε</mi></math>
<p class="source">Ho et al. 2020, Eq. 4. The same ε is held while t moves. Signal to noise ᾱ/(1−ᾱ):
<b data-live="snr">·</b> dB.</p>
<p class="code">computed by <code>ddpm.diffusion.q_sample</code></p>
<h3>Signal to noise, dB</h3><div class="ratios"></div><p class="legend"></p>
<h3>Pixels of x<sub>t</sub> against N(0, 1)</h3>
<canvas class="histogram" role="img" aria-label="Histogram of the pixels of x_t, the normal density over it"></canvas>
"""


def same_noise_level(t: int, kind: str, weights: Weights) -> int:
    """The time at which the model's own schedule comes nearest to the noise level of the schedule `kind` at t."""
    if kind == weights.kind and weights.sched.T == pictures.T:
        return t
    return int((weights.sched.sqrt_alphas_bar.cpu() - pictures.schedule(kind).sqrt_alphas_bar[t]).abs().argmin())


def guess(x_t: torch.Tensor, times: list[int], weights: Weights) -> Iterator[torch.Tensor]:
    """The model's x0_hat of each x_t at its time, without being told the class: one network evaluation."""
    device = weights.model.device
    x_t, t = x_t.to(device), torch.tensor(times, device=device)
    null = [torch.full_like(t, -1)] if weights.num_classes else []
    x0_hat, _ = to_x0_eps(weights.model(x_t, t, *null).float(), x_t, t, weights.sched, weights.model.prediction)
    yield x0_hat


def read_picture(text: Any, weights: Weights) -> torch.Tensor:
    """The x0 that a page sends: base64 of (S, S, C) uint8.  Returns (1, C, S, S) in [-1, 1].  Raises ValueError."""
    shape = (weights.img_size, weights.img_size, weights.channels)
    try:
        data = base64.b64decode(text, validate=True)
        pixels = np.frombuffer(data, np.uint8).reshape(shape)
    except (TypeError, ValueError, binascii.Error):
        raise ValueError("That picture is not of the size these weights know. Choose another.") from None
    return from_uint8(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])


def build(engine: Engine, library: Library, weights: gr.Dropdown) -> None:
    """The tab.  weights: whose guess is shown."""

    async def x0_hat(asked: Any) -> dict[str, Any]:
        """What the page asks after every move: {x0, seed, t, schedules, weights} -> {x0_hat: one each} or {error}."""
        try:
            asked = asked if isinstance(asked, dict) else {}
            model = library.get(asked.get("weights"))
            x0 = read_picture(asked.get("x0"), model)
            seed = parts.whole_number(asked.get("seed"), "Noise", 0, parts.MAX_SEED)
            t = parts.whole_number(asked.get("t"), "t", 0, pictures.T - 1)
            kinds = asked.get("schedules")
            if not isinstance(kinds, list) or not 1 <= len(kinds) <= len(SCHEDULES):
                raise ValueError(f"Schedule: one to {len(SCHEDULES)}, please.")
            kinds = [parts.one_of(kind, "Schedule", SCHEDULES) for kind in kinds]
            eps = pictures.noise(seed, model.channels, model.img_size).float()[None]
            x_t = torch.cat([q_sample(x0, torch.tensor([t]), eps, pictures.schedule(kind)) for kind in kinds])
            times = [same_noise_level(t, kind, model) for kind in kinds]
            answer = await engine.submit(guess(x_t, times, model)).result()
            return {"x0_hat": [parts.b64(parts.frame(one[None])) for one in answer]}
        except ValueError as error:
            return {"error": str(error)}

    start, names = pictures.opening(library)
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice = gr.Dropdown(["random", *names], value="random", label="Digit", elem_id="forward-digit")
            with gr.Row(elem_classes="pair"):
                another = gr.Button("Another digit", variant="primary", elem_id="forward-another")
                own = gr.Button("Draw or upload", elem_id="forward-own")
            again = gr.Button("New noise ε", elem_id="forward-noise")
            kinds = [(name.replace("log_snr", "log-SNR"), name) for name in SCHEDULES]
            kind = gr.Radio(kinds, value="cosine", label="Schedule", elem_id="forward-schedule")
            every = gr.Checkbox(False, label="All three side by side", elem_id="forward-all")
            gr.HTML(
                '<p class="hint">Drag <b>t</b> under the pictures, or use the arrow keys. '
                "x<sub>t</sub> is computed in this page; the guess x̂<sub>0</sub> comes from the network, which is "
                "not told which digit it is.</p>"
            )
        view = parts.stage_and_margin(
            "forward",
            start,
            [x0_hat],
            EQUATION,
            "Where does the digit drown for you, and where for the network? Its guess keeps to a digit long after "
            "you have lost it, then melts into the average of all digits.",
        )

    pictures.follow(library, weights, view, choice, another, again)
    kind.input(None, kind, None, js="(kind) => { DDPM.tabs.forward.receive({schedule: kind}); }")
    every.input(None, every, None, js="(all) => { DDPM.tabs.forward.receive({all}); }")
    own.click(None, None, None, js="() => { DDPM.tabs.forward.own(); }")
