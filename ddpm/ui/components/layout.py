"""What every tab is made of: a stage with its timeline, a margin, a line of text."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from ..server.protocol import in_words


def sentence(elem_id: str) -> gr.HTML:
    """A line of text of ours.  Set as text, not as a template: Gradio evaluates what stands in a template as code."""
    return gr.HTML(
        html_template='<p class="hint"></p>',
        js_on_load="const show = () => { element.querySelector('p').textContent = props.value || ''; };"
        "watch('value', show); show();",
        apply_default_css=False,
        elem_id=elem_id,
    )


def stage_and_margin(name: str, value: Any, server: list[Callable], equation: str, notice: str) -> gr.HTML:
    """The columns beside a tab's controls.  Returns the stage with its timeline, which <name>.js fills.

    server: what answers its questions; of one that computes, a ValueError is said in words.
    equation: the margin's, with the present numbers in it (elements with data-live), and its function.
    """
    with gr.Column(elem_classes="middle"):
        view = gr.HTML(
            value=value,
            html_template='<div class="view"></div>',
            js_on_load=f"DDPM.{name}(element, props, watch, server, trigger)",
            server_functions=[in_words(each) if inspect.iscoroutinefunction(each) else each for each in server],
            apply_default_css=False,
            elem_id=f"{name}-view",
            elem_classes=["ddpm-view"],
        )
    with gr.Column(elem_classes="side"):
        gr.HTML(
            html_template=f'<aside class="margin" aria-label="The equation">{equation}'
            f"<h2>What to notice</h2><p>{notice}</p></aside>",
            js_on_load="",
            apply_default_css=False,
            elem_id=f"{name}-margin",
        )
    return view
