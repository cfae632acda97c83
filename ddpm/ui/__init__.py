"""The page.  The only part of the package that imports gradio."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # before gradio is imported: nothing is fetched or reported

import gradio as gr

from . import compare, forward, reverse, train
from .engine import Engine
from .parts import SCRIPTS, STATIC
from .weights import Library

TITLE = "Denoising diffusion, from scratch"
HEADER = "<header><h1>Denoising diffusion<span>, from scratch</span></h1><p>noise becomes digits, live</p></header>"


def build() -> gr.Blocks:
    """The interface: its tabs around one engine and one library of weights."""
    engine = Engine()
    library = engine.call(Library)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600), fill_width=True) as demo:
        # Outside the tabs: what is inside one exists only once it has been opened, too late for the page's load event.
        run_id = gr.BrowserState(None, storage_key="ddpm-training-run", secret="ddpm")
        with gr.Row(elem_id="top"):
            gr.HTML(HEADER, elem_id="header", apply_default_css=False)
            weights = gr.Dropdown(library.shipped, value=library.default, label="Weights", elem_id="weights")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Forward", id="forward"):
                forward.build(engine, library, weights)
            with gr.Tab("Reverse", id="reverse"):
                reverse.build(engine, library, demo, weights)
            with gr.Tab("Train", id="train"):
                train.build(engine, library, demo, run_id, weights, tabs)
            with gr.Tab("Compare", id="compare"):
                compare.build(engine, library, weights)
    return demo.queue(max_size=64, api_open=False)


def launch_options() -> dict[str, Any]:
    """What `launch` needs to be a public server that fetches nothing from outside."""
    scripts = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS)
    system = ["system-ui", "sans-serif"]
    mono = ["ui-monospace", "monospace"]
    theme = gr.themes.Default(
        primary_hue="cyan", neutral_hue="slate", font=system, font_mono=mono, radius_size="md", spacing_size="sm"
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        checkbox_background_color_selected="*primary_700",
        checkbox_background_color_selected_dark="*primary_600",
        checkbox_border_color_selected="*primary_700",
        checkbox_border_color_selected_dark="*primary_600",
        slider_color="*primary_700",
        slider_color_dark="*primary_500",
    )
    return {
        "theme": theme,
        "css": (STATIC / "style.css").read_text(encoding="utf-8"),
        "head": f"<script>\n{scripts}\n</script>",
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "state_session_capacity": 200,
        "max_file_size": "12mb",  # a zip of the tutorial's network, the largest that the page saves, is 7.7 MB
        "ssr_mode": False,
        "mcp_server": False,
        "strict_cors": True,
    }
