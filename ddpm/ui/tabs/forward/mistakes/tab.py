"""The inner tab Common mistakes: mistakes to switch on, what each does to the pictures, and how to recognise it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.ui.components import controls, layout
from ddpm.ui.components.streaming import QUIET, Streaming
from ddpm.ui.generation.as_python import packet_of
from ddpm.ui.server import cache, limits, protocol
from ddpm.ui.server.engine import Busy

from . import mistakes
from .at_once import Drawing, shipped
from .experiment import DRAW_STEPS, MOMENTS, STEPS, Experiment, Pace, keys, measure
from .mistakes import AT_ONCE, BROADCAST, LIVE, OF_PIXELS, PIXELS, RAW_STD, SCALE, SIGN

TITLE = "Common mistakes"
DEFAULT_STEPS = 400
KEPT_BYTES = 200_000_000  # of trainings: some fifty million each
KEPT_DRAWN_BYTES = 50_000_000
TITLES = {
    PIXELS: "Pixels left in [0, 1]",
    LIVE: "Live weights instead of the EMA",
    BROADCAST: "Coefficients along the wrong axis",
    SIGN: "Sign flipped in the mean",
    SCALE: "Latents left unscaled",
}

X0, X_T, EPS = "<msub><mi>x</mi><mn>0</mn></msub>", "<msub><mi>x</mi><mi>t</mi></msub>", "<mi>ε</mi>"
AB_T = "<msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub>"

ROWS = {
    "loss": "loss",
    "read": "classified as asked",
    "edge": "mean of the background",
    "range": "pixels",
    "std": "largest std of x<sub>t</sub>",
    "change": "change since the last",
    "scale": "std of the latents",
}


def block(
    name: str, maths: str, source: str, code: str, does: str, recognise: str, rows: Sequence[str], more: str = ""
) -> str:
    """One mistake as the margin tells it.  code: where its lines are.  rows: what is measured of it, of ROWS."""
    right, wrong = LINES[name]
    cells = "".join(
        f'<tr><th>{ROWS[row]}</th><td data-live="{row}-0">·</td><td data-live="{row}-1">·</td></tr>' for row in rows
    )
    return (
        f'<details class="break" name="break" data-break="{name}" hidden><summary>{TITLES[name]}</summary>'
        f'<math display="block">{maths}</math><p class="source">{source} <code>{code}</code></p>'
        f'<pre class="right"><code>{right}</code></pre><pre class="wrong"><code>{wrong}</code></pre>'
        f"<p>{does}</p><p><b>Recognise it:</b> {recognise}</p>{more}"
        f'<table class="measured"><tr><th></th><td>right</td><td>broken</td></tr>{cells}</table></details>'
    )


GIVEN = '<div class="given" id="mistakes-given-{}"></div>'
LINES = {  # the right one and the broken one, and where each stands
    PIXELS: ("x0 = images.float() / 127.5 - 1", "x0 = images.float() / 255"),
    LIVE: ("sample_from_ema(model, ema, sched)", "sample(model, sched)"),
    BROADCAST: ("gather(sched.sqrt_alphas_bar, t) * x0", "sched.sqrt_alphas_bar[t] * x0"),
    SIGN: ("(x_t - scale * eps) / alpha_ts.sqrt()", "(x_t + scale * eps) / alpha_ts.sqrt()"),
    SCALE: ("self.scale * mean", "mean"),
}
BLOCKS = "".join(
    [
        block(
            PIXELS,
            f"{X0}<mo>=</mo><mn>2</mn><mo>·</mo><mtext>pixel</mtext><mo>−</mo><mn>1</mn>",
            "Ho et al. 2020, section 3.3; ToTensor gives [0, 1].",
            "ddpm.data.from_uint8",
            "The network learns the digits all the same, and draws them in [0, 1]: black is 0, which is shown as grey.",
            "grey where it should be black. The loss is no warning, it is lower: there is less to predict.",
            ("loss", "read", "edge"),
            GIVEN.format(PIXELS),
        ),
        block(
            LIVE,
            "<mover><mi>θ</mi><mo>¯</mo></mover><mo>←</mo><mi>d</mi><mover><mi>θ</mi><mo>¯</mo></mover><mo>+</mo>"
            "<mo>(</mo><mn>1</mn><mo>−</mo><mi>d</mi><mo>)</mo><mi>θ</mi>",
            "Ho et al. 2020, appendix B.",
            "ddpm.ema.EMA",
            "The training is the same. While the learning rate is high, each step throws the weights about, and the "
            "pictures with them; the average moves less. Weights that ship are the average, so this one is trained.",
            "play it. From the same noise, strokes break, close and thicken from moment to moment. The mildest of "
            "the five: as many may be classified as asked.",
            ("loss", "read", "change"),
        ),
        block(
            BROADCAST,
            f"{X_T}<mo>=</mo><msqrt>{AB_T}</msqrt>{X0}<mo>+</mo><msqrt><mn>1</mn><mo>−</mo>{AB_T}</msqrt>{EPS}",
            "Ho et al. 2020, Eq. 4: a t for each picture.",
            "ddpm.diffusion.q_sample",
            "Shaped (32,), the coefficients meet the last axis: column j gets the noise level of picture j. It runs "
            "as 32 pictures are 32 wide; 64 would have been an error, the lucky case.",
            "columns of noise in what is given; specks that stay, and strokes of another digit.",
            ("loss", "read", "range"),
            GIVEN.format(BROADCAST),
        ),
        block(
            SIGN,
            "<mi>μ</mi><mo>=</mo><mfrac><mn>1</mn><msqrt><msub><mi>α</mi><mi>t</mi></msub></msqrt></mfrac><mo>(</mo>"
            f"{X_T}<mo>−</mo><mfrac><msub><mi>β</mi><mi>t</mi></msub><msqrt><mn>1</mn><mo>−</mo>{AB_T}</msqrt></mfrac>"
            f"{EPS}<mo>)</mo>",
            "Ho et al. 2020, Algorithm 2.",
            "ddpm.ui.tabs.forward.mistakes.mistakes.mean_of_step",
            "Every step adds the noise that it should take away.",
            "black and white noise from any weights, however low the loss. Print the standard deviation of "
            "x<sub>t</sub> along the way: it should stay at 1 or below; here it only grows.",
            ("loss", "read", "std"),
            '<div class="stds"></div>',
        ),
        block(
            SCALE,
            "<mi>z</mi><mo>←</mo><mfrac><mi>z</mi><mi>σ</mi></mfrac><mo>,</mo><mspace width='0.5em'></mspace>"
            "<mi>σ</mi><mo>=</mo><mtext>std of all latents</mtext>",
            "Rombach et al. 2022, appendix G: unit variance.",
            "ddpm.autoencoder.VAE",
            "An autoencoder is as good on any scale: ours has an std of 0.99 by itself, Stable Diffusion's 5.5. Five "
            f"times off costs one or two digits in a hundred; so that it shows, here it is {RAW_STD:g}. Noise "
            "outweighs the latents from t = 7 on, not 496: which digit it is, is decided late.",
            "doubled strokes, and yet a far lower loss: what is left to predict is noise. Print the latents' std.",
            ("loss", "read", "scale"),
            GIVEN.format(SCALE),
        ),
    ]
)


def check(broken: Any, num_steps: Any, seed: Any) -> tuple[frozenset[str], int, int]:
    """What Train both was pressed with.  Raises ValueError with one clear sentence."""
    if not isinstance(broken, Sequence) or isinstance(broken, str) or len(broken) > len(mistakes.NAMES):
        raise ValueError("Breaks: a list of them, please.")
    broken = frozenset(protocol.one_of(each, "Break", mistakes.NAMES) for each in broken)
    if SCALE in broken and broken & set(OF_PIXELS):
        raise ValueError(
            f"{TITLES[SCALE]}: that is of latents, and the two mistakes of pixels are not. Switch them off."
        )
    num_steps = protocol.whole_number(num_steps, "Optimiser steps", *STEPS)
    return broken, num_steps, protocol.whole_number(seed, "Seed", 0, protocol.MAX_SEED)


def build(shared: layout.Shared) -> None:
    engine, trainings, pace = shared.engine, cache.LRUCache(KEPT_BYTES), Pace()
    runs = Streaming(engine, "mistakes", KEPT_DRAWN_BYTES)

    def make(*question: Any) -> Experiment | Drawing:
        broken, num_steps, seed = check(*question)
        if not broken:
            raise ValueError("There is nothing to break: switch on at least one of the five.")
        if broken <= set(AT_ONCE):
            return Drawing(broken, seed, *shipped(shared.registry))
        if runs.sessions.running() >= limits.current().training_runs:
            raise Busy("As many such runs are under way as this server takes. Try again a little later.")
        return Experiment(broken, num_steps, seed, trainings, pace)

    async def forecast(*question: Any) -> str:
        try:
            broken, num_steps, seed = check(*question)
            if broken and broken <= set(AT_ONCE):
                return "Nothing is trained: the weights that ship draw both, at once."
            to_train = sum(trainings.get(each) is None for each in {*keys(broken, num_steps, seed)})
            latent = SCALE in broken
            if pace.of(1, 1, latent) is None:
                await engine.submit(measure(pace, latent)).result()
        except ValueError as error:
            return str(error)
        what = (
            "These networks have been trained already: only drawing is left",
            f"One network, {num_steps} steps",
            f"Two networks in turn, {num_steps} steps each",
        )[to_train]
        return f"{what}, about {pace.of(to_train * num_steps, 2 * (MOMENTS + 1), latent):.0f} s here."

    def python(question: Any) -> dict[str, str]:
        """What the page asks: {run} -> {text, name, data}."""
        run = runs.get(protocol.fields(question).get("run"))
        if run is None or not run.python:
            raise ValueError(
                "No trained network has been drawn with, or the server has let go of it. Train both again."
            )
        return packet_of("Common mistakes", "mistakes", [run.python])

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            switches = gr.CheckboxGroup(
                [(title, name) for name, title in TITLES.items()],
                value=[PIXELS],
                label="Mistakes to make",
                elem_id="mistakes-switches",
            )
            seed = controls.seed_and_dice("mistakes")
            go, halt = controls.go_and_stop("mistakes", "Train both")
            with gr.Accordion("More", open=False, elem_id="mistakes-more"):
                steps = gr.Slider(*STEPS, DEFAULT_STEPS, step=1, label="Optimiser steps", elem_id="mistakes-steps")
            told = layout.sentence("mistakes-cost")
        view = layout.stage_and_margin(
            "mistakes",
            Path(__file__).with_name("mistakes.js"),
            None,
            [runs.replay, python],
            BLOCKS,
            "None of the five raises an error, and in four the loss is as low as it should be, or lower.",
            {"draw_steps": DRAW_STEPS},
        )

    def label(broken: Any) -> Any:
        """Of the button: whether it trains."""
        at_once = isinstance(broken, list) and bool(broken) and set(broken) <= set(AT_ONCE)
        return gr.update(value="Draw both" if at_once else "Train both")

    # The page's own script first: Gradio asks of one event in turn, and the server's answer takes its time.
    switches.change(None, switches, None, js="(names) => { DDPM.tabs.mistakes.choose(names); }")
    switches.change(label, switches, go, **QUIET)
    inputs: list[Any] = [switches, steps, seed]
    runs.stop(halt, view)
    runs.start(go.click, make, inputs, view)
    changes = [shared.tab.select, *(each.change for each in inputs)]
    gr.on(changes, forecast, inputs, told, trigger_mode="always_last", **QUIET)
