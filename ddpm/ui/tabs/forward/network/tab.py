"""The inner tab The network: its blocks with the shapes they have, and what each makes of the present digit and t."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.ui.components import layout, links, pictures
from ddpm.ui.generation.maths import symbols
from ddpm.ui.server import protocol

from .activations import MOST, look

TITLE = "The network"
FIRST_T = 400

T_EMB = "<msub><mi>t</mi><mtext>emb</mtext></msub>"
# Of each kind of block: its equation, its symbols, what to say of it, and the function or class that opens.
KINDS: dict[str, tuple[str, dict[str, str], str, str]] = {
    "TimeEmbedding": (
        f"{T_EMB}<mo>=</mo><mtext>MLP</mtext><mo>(</mo><mi>sin</mi><mi>t</mi><msub><mi>ω</mi><mi>i</mi></msub><mo>,</mo>"
        "<mi>cos</mi><mi>t</mi><msub><mi>ω</mi><mi>i</mi></msub><mo>)</mo>",
        {
            't_"emb"': "a vector that tells every block the time",
            "ω_i": "frequencies, from fast to slow",
            '"MLP"': "two linear layers, SiLU between them",
        },
        "Vaswani et al. 2017, section 3.5",
        "ddpm.unet.TimeEmbedding",
    ),
    "ResBlock": (
        f"<mi>h</mi><mo>←</mo><mi>h</mi><mo>+</mo><mi>W</mi><mtext>silu</mtext><mo>(</mo>{T_EMB}<mo>)</mo>",
        {
            "h": "the channels between two convolutions, around which a shortcut leads",
            "W": "a matrix: one number for each channel",
            't_"emb"': "the time embedding",
            '"silu"': "u / (1 + e<sup>−u</sup>)",
        },
        "Ho et al. 2020, appendix B",
        "ddpm.unet.ResBlock",
    ),
    "Attention": (
        "<mtext>softmax</mtext><mo>(</mo><mi>q</mi><msup><mi>k</mi><mo>⊤</mo></msup><mo>)</mo><mi>v</mi>",
        {
            "q, k^⊤, v": "three linear maps of each place's channels",
            '"softmax"': "weights that add up to 1 over all places",
        },
        "only where the picture is small, as its cost is the square of the places",
        "ddpm.layers.Attention",
    ),
    "Conv2d": (
        "<mi>h</mi><mo>←</mo><mi>K</mi><mo>∗</mo><mi>h</mi>",
        {"h": "the channels", "K": "3 × 3 weights from each channel to each"},
        "at the two ends; on the way down in strides of two, which halve the picture",
        "ddpm.unet.UNet",
    ),
    "ConvTranspose2d": (
        "<mi>h</mi><mo>←</mo><mtext>cat</mtext><mo>(</mo><mtext>up</mtext><mo>(</mo><mi>h</mi><mo>)</mo><mo>,</mo>"
        "<mtext>skip</mtext><mo>)</mo>",
        {
            "h": "the channels",
            '"up"': "twice as wide and as high",
            '"skip"': "what the way down had at this size, with the edges that are lost since",
            '"cat"': "laid beside one another, channels to channels",
        },
        "on the way up",
        "ddpm.unet.UNet",
    ),
}
# Those of Ho et al. as published, where they are other classes.
RESIDUAL, RESIDUAL_SYMBOLS, *_ = KINDS["ResBlock"]
CONVOLVED, CONVOLVED_SYMBOLS, *_ = KINDS["Conv2d"]
KINDS |= {
    "Block": (
        RESIDUAL,
        RESIDUAL_SYMBOLS,
        "a ResBlock, and attention where the map is small enough",
        "ddpm.ho_unet.Block",
    ),
    "Down": (
        CONVOLVED,
        CONVOLVED_SYMBOLS,
        "a convolution in strides of two: half as wide and as high",
        "ddpm.ho_unet.Down",
    ),
    "Up": (CONVOLVED, CONVOLVED_SYMBOLS, "after each pixel was repeated, twice across and down", "ddpm.ho_unet.Up"),
}
EQUATION = "".join(
    f'<div data-kind="{kind}"{"" if kind == "ResBlock" else " hidden"}><h2>{kind}</h2>'
    f'<math display="block">{maths}</math>{symbols(meanings)}'
    f'<p class="code">{source}: <code>{function}</code></p></div>'
    for kind, (maths, meanings, source, function) in KINDS.items()
)


def build(shared: layout.Shared) -> None:
    engine, registry, weights = shared.engine, shared.registry, shared.weights

    async def activations(question: Any) -> dict[str, Any]:
        """What the page asks after every change: {x0, seed, t, block, weights}: see `look`."""
        question = protocol.fields(question)
        model, x0, seed = pictures.asked_about(registry, question)
        t = protocol.whole_number(question.get("t"), "t", 0, pictures.T - 1)
        return await engine.submit(look(model, x0, seed, t, question.get("block"))).result()

    start, names = shared.pictures.opening()
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice, another, again = pictures.choosing("network", names, "primary")
            gr.HTML(
                '<p class="hint">Each box is a block of the network that is chosen above, with the shape of what '
                "comes out of it: channels × height × width. Click one, and drag <b>t</b>.</p>"
                f'<p class="hint">Up to {MOST} channels are shown, each scaled to its own largest value; grey is 0. '
                "The network is not told which digit it is.</p>"
            )
        view = layout.stage_and_margin(
            "network",
            Path(__file__).with_name("network.js"),
            start,
            [activations],
            EQUATION,
            "On the way down the pictures get smaller and more in number, and stop looking like the digit; on the way "
            "up the skips bring its edges back. At large t the middle decides, at small t the skips do nearly all.",
            {"t": FIRST_T},
        )
    shared.pictures.follow(weights, view, choice, another, again)
    links.keep(view, t=links.whole(pictures.T - 1, FIRST_T))
