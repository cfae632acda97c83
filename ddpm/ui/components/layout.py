"""What every tab is made of: a stage with its timeline, a margin, a line of text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from ..generation.models import ModelRegistry
from ..server import scripts
from ..server.engine import Engine
from ..server.protocol import in_words
from . import source
from .pictures import Pictures

UI = Path(__file__).parents[1]


@dataclass
class Shared:
    """What every tab is built with: the engine, the models, and what stands above the tabs.

    mine: the training runs that the browser remembers, the latest last.  own: the weights that were trained or
    opened in this browser, as (label, id).  weights: whose pictures the tabs show.  tab: the one that is being built.
    takers: what shows a run of another tab in one's own, by the tab's name: from a recording the packet for its view.
    counts: of what goes on for longer than a visit, by name, for whoever asks how it is with the server.  at_end: what
    is done as it shuts down, once no job is in the middle of a step.  header: what the tabs put there, to be rendered.
    """

    engine: Engine
    registry: ModelRegistry
    demo: gr.Blocks
    mine: gr.BrowserState
    own: gr.BrowserState
    weights: gr.Dropdown
    tabs: gr.Tabs
    tab: gr.Tab = field(init=False)
    takers: dict[str, Callable[[Any], dict[str, Any]]] = field(default_factory=dict)
    counts: dict[str, Callable[[], int]] = field(default_factory=dict)
    at_end: list[Callable[[], None]] = field(default_factory=list)
    header: list[gr.HTML] = field(default_factory=list)
    pictures: Pictures = field(init=False)

    def __post_init__(self) -> None:
        self.pictures = Pictures(self.engine, self.registry)


def inner_tabs(shared: Shared, tabs: Sequence[Any]) -> None:
    """A row of inner tabs, each a module with its TITLE and `build`."""
    with gr.Tabs(elem_classes="inner-tabs", overflow_behavior="wrap"):
        for inner in tabs:
            with gr.Tab(inner.TITLE, id=inner.__name__.removesuffix(".tab").split(".")[-1]) as shared.tab:
                inner.build(shared)


def scripted(script: Path, function: str, *, constants: Mapping[str, Any] | None = None, **options: Any) -> gr.HTML:
    """A component that a function of a script fills.  constants: what it is told beside the component's value."""
    mounted = scripts.mounted(script.relative_to(UI).as_posix(), function, constants or {})
    return gr.HTML(js_on_load=mounted, apply_default_css=False, **options)


def sentence(elem_id: str) -> gr.HTML:
    """A line of text of ours.  Set as text, not as a template: Gradio evaluates what stands in a template as code."""
    return gr.HTML(
        html_template='<p class="hint"></p>',
        js_on_load="const show = () => { element.querySelector('p').textContent = props.value || ''; };"
        "watch('value', show); show();",
        apply_default_css=False,
        elem_id=elem_id,
    )


def stage_and_margin(
    name: str,
    script: Path,
    value: Any,
    server: list[Callable],
    equation: str,
    notice: str,
    constants: Mapping[str, Any] | None = None,
) -> gr.HTML:
    """The columns beside a tab's controls.  Returns the stage with its timeline, which a function of the script fills.

    name: of that function, and of the elements.  server: what answers its questions, a ValueError being said in words.
    equation: the margin's, with the present numbers in it (elements with data-live), and its
    function, whose source opens: see `source.margin`.
    constants: what that function is told beside the component's value.
    """
    with gr.Column(elem_classes="middle"):
        view = scripted(
            script,
            name,
            constants=constants,
            value=value,
            html_template='<div class="view"></div>',
            server_functions=[in_words(each) for each in server],
            elem_id=f"{name}-view",
            elem_classes=["ddpm-view"],
        )
    equation, sources = source.margin(equation)
    with gr.Column(elem_classes="side"):
        scripted(
            UI / "components/margin.js",
            "margin",
            constants={"sources": sources},
            html_template=f'<aside class="margin" aria-label="The equation">{equation}'
            f"<h2>What to notice</h2><p>{notice}</p></aside>",
            elem_id=f"{name}-margin",
        )
    return view
