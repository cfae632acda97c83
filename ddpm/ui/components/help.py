"""The header's menu: the model's card, Copy link, what the keys do, the papers, and what this page is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ddpm.system.version import __version__

from ..generation import card
from ..generation.models import ModelRegistry
from ..server import protocol
from .layout import scripted
from .source import bibliography
from .streaming import QUIET

# By their numbers at arXiv.
TITLES = {
    "1312.6114": "Auto-Encoding Variational Bayes",
    "1706.08500": "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium",
    "1904.06991": "Improved Precision and Recall Metric for Assessing Generative Models",
    "2006.11239": "Denoising Diffusion Probabilistic Models",
    "2010.02502": "Denoising Diffusion Implicit Models",
    "2102.09672": "Improved Denoising Diffusion Probabilistic Models",
    "2107.00630": "Variational Diffusion Models",
    "2108.01073": "SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations",
    "2112.10752": "High-Resolution Image Synthesis with Latent Diffusion Models",
    "2201.09865": "RePaint: Inpainting using Denoising Diffusion Probabilistic Models",
    "2202.00512": "Progressive Distillation for Fast Sampling of Diffusion Models",
    "2206.00364": "Elucidating the Design Space of Diffusion-Based Generative Models",
    "2206.00927": "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps",
    "2206.01714": "Compositional Visual Generation with Composable Diffusion Models",
    "2207.12598": "Classifier-Free Diffusion Guidance",
    "2211.01095": "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
    "2305.08891": "Common Diffusion Noise Schedules and Sample Steps are Flawed",
    "2311.17919": "Visual Anagrams: Generating Multi-View Optical Illusions with Diffusion Models",
    "2403.03206": "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis",
    "2404.07724": "Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion "
    "Models",
    "2404.11615": "Factorized Diffusion: Perceptual Illusions by Noise Decomposition",
    "2502.16982": "Muon is Scalable for LLM Training",
}

KEYS = [
    ("Space", "Play and pause, wherever no field or button has the focus"),
    ("← →", "One step back or on"),
    ("Home End", "To the first and to the last step"),
    ("Enter", "On a picture: one digit, large; there ← → go to the others"),
    ("↑ ↓", "In a listing: a line up or down; in a menu: the next item"),
    ("Esc", "Close the dialog, the menu, the listing or the lessons"),
]

ABOUT = [
    "A diffusion model learns to undo noise, and draws by undoing pure noise step by step. This page shows each part "
    "of it: how a digit drowns (Forward), how one comes out of noise (Reverse), how the network learns it (Train), "
    "what the settings change (Compare) and how to steer it (Edit).",
    "Every picture and every number is computed as you look, by the package ddpm on this server. Each equation names "
    "the function that computes it: press the name to read its source.",
    "Nothing is fetched from other servers. The code is under the MIT licence.",
]


def papers() -> list[list[str]]:
    """[authors and year, title, number at arXiv] of the papers that the package cites, the oldest first."""
    cited = {number: (who, year) for (who, year), numbers in bibliography().items() for number in numbers if year}
    return [
        [f"{who} {year}", TITLES.get(number, f"arXiv:{number}"), number]
        for number, (who, year) in sorted(cited.items(), key=lambda each: (each[1][1], each[0]))
    ]


def help_menu(registry: ModelRegistry, model: gr.Dropdown) -> gr.HTML:
    def described(question: Any) -> dict[str, Any]:
        """A model's card: {model} -> {rows: [[what, as text], ...]} or {error}."""
        return {"rows": card.rows(registry, protocol.fields(question).get("model"))}

    bar = scripted(
        Path(__file__).with_name("help.js"),
        "help",
        constants={"about": [*ABOUT, f"Version {__version__}."], "keys": KEYS, "papers": papers()},
        value=model.value,
        html_template='<div class="help"></div>',
        server_functions=[protocol.in_words(described)],
        elem_id="help",
    )
    model.change(None, model, bar, js="(model) => model", **QUIET)
    return bar
