"""What the page says otherwise than its source has it: in another language, and of pictures that are no digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from ..generation.models import ModelRegistry
from . import layout
from .streaming import QUIET


def connect(registry: ModelRegistry, weights: gr.Dropdown) -> None:
    """What is drawn is called digits, or pictures where the model draws something else."""
    script = Path(__file__).with_name("wording.js")
    said = layout.scripted(script, "wording", value=True, html_template="<i hidden></i>", elem_id="wording")

    def of_digits(weights_id: Any) -> bool:
        try:
            return registry.get(weights_id).of_digits
        except ValueError:
            return True

    weights.change(of_digits, weights, said, **QUIET)
