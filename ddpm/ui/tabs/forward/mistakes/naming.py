"""The inner tab Name the mistake: digits are drawn with a mistake of sampling or none, and one says which it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from ddpm.denoiser import prediction_of
from ddpm.ui.components import controls, layout, links
from ddpm.ui.components.streaming import Streaming
from ddpm.ui.generation import recording
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import Model
from ddpm.ui.server import protocol
from ddpm.ui.server.sessions import Run

from . import sampling
from .at_once import shipped
from .experiment import DIGITS, DRAW_STEPS
from .sampling import NONE, READING, SLIPS

TITLE = "Name the mistake"
KEPT_BYTES = 32_000_000
MOST_ROUNDS = 999  # that an address counts


def block(name: str) -> str:
    """What the margin tells of a mistake once it is named."""
    slip = SLIPS[name]
    wrong = f'<pre class="wrong"><code>{slip.wrong}</code></pre>' if slip.wrong else ""
    return (
        f'<div class="slip" data-slip="{name}" hidden><h2>{slip.title}</h2>'
        f'<pre class="right"><code>{slip.right}</code></pre>{wrong}'
        f"<p>{slip.does}</p><p><b>Recognise it:</b> {slip.recognise}</p></div>"
    )


SYMBOLS = symbols(
    {
        "x_s": "the next picture, s < t",
        "α_{ts}, β_{ts}": "ᾱ<sub>t</sub>/ᾱ<sub>s</sub>, and 1 − α<sub>ts</sub>",
        "ε̂": "noise the network sees in x<sub>t</sub>",
        "σ": "of the posterior of x<sub>s</sub>",
        "z": "fresh noise from N(0, 1)",
    }
)
EQUATION = f"""
<math display="block"><msub><mi>x</mi><mi>s</mi></msub><mo>=</mo><mfrac><mn>1</mn>
<msqrt><msub><mi>α</mi><mi>ts</mi></msub></msqrt></mfrac><mo>(</mo><msub><mi>x</mi><mi>t</mi></msub><mo>−</mo>
<mfrac><msub><mi>β</mi><mi>ts</mi></msub><msqrt><mn>1</mn><mo>−</mo>
<msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt></mfrac><mover><mi>ε</mi><mo>^</mo></mover>
<mo>)</mo><mo>+</mo><mi>σ</mi><mi>z</mi></math>
{SYMBOLS}
<p class="code">Ho et al. 2020, Algorithm 2: <code>ddpm.ui.tabs.forward.mistakes.sampling.step</code>,
<code>ddpm.ui.tabs.forward.mistakes.mistakes.mean_of_step</code></p>
<div aria-live="polite">{"".join(block(name) for name in SLIPS)}</div>
"""


class Round(Run):
    """Digits drawn with one of SLIPS, which no packet names."""

    def __init__(self, slip: str, seed: int, weights: Model):
        super().__init__()
        self.slip, self.seed, self.weights = slip, seed, weights

    def steps(self) -> Iterator[dict[str, Any]]:
        """The engine's job: one network evaluation a step."""
        w = self.weights
        y, size = torch.arange(DIGITS, device=w.model.device), (w.channels, w.img_size)
        for t, x_t in sampling.draw(w.model, w.sched, y, DRAW_STEPS, self.seed, self.slip, *size):
            yield self.add({"t": t, "pictures": protocol.b64(recording.frame(x_t.cpu()))})

    def about(self) -> dict[str, Any]:
        shape = {"n": DIGITS, "size": self.weights.img_size, "channels": self.weights.channels}
        return {"total": DRAW_STEPS + 1, "step": max(0, len(self.frames) - 1)} | shape


def build(shared: layout.Shared) -> None:
    runs = Streaming(shared.engine, "naming", KEPT_BYTES)

    def make() -> Round:
        _, weights = shipped(shared.registry)
        choices = [name for name in SLIPS if name != READING or prediction_of(weights.model) != "eps"]
        return Round(random.choice(choices), random.randrange(protocol.MAX_SEED), weights)

    def answer(question: Any) -> dict[str, str]:
        """What the page asks once somebody has said which it was: {run} -> {slip}.  Raises ValueError."""
        run = runs.get(protocol.fields(question).get("run"))
        if run is None:
            raise ValueError("The server has let go of this round. Draw another one.")
        return {"slip": run.slip}

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            go, halt = controls.go_and_stop("naming", "Draw a round")
            gr.HTML(
                f'<p class="hint">The weights that ship draw 0 to 9 in {DRAW_STEPS} steps, with one mistake in the '
                "sampler, or with none. Play it, look, and say which it was.</p>"
            )
        view = layout.stage_and_margin(
            "naming",
            Path(__file__).with_name("naming.js"),
            None,
            [runs.replay, answer],
            EQUATION,
            "The weights are the same in every round, and good ones: a sampler can be wrong in one sign or one index, "
            "and no loss will ever tell.",
            {"choices": {name: slip.title for name, slip in SLIPS.items()}, "nothing": NONE},
        )
    links.keep(view, right=links.whole(MOST_ROUNDS, 0), rounds=links.whole(MOST_ROUNDS, 0))
    runs.stop(halt, view)
    runs.start(go.click, make, [], view)
