"""The page: its tabs around one engine, and what it takes to launch it."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.themes.utils import sizes
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from ..autoencoder import encoding
from ..data import ASSETS
from ..device import pick_device
from ..presets import PRESETS
from ..storage.checkpoint import CheckpointError
from ..training.loop import warm_up
from .components import languages, layout, lessons, links, pictures, restoring, wording
from .components.help import help_menu
from .components.reader import reader
from .generation.models import ModelRegistry, autoencoder, dataset
from .server import font, hosting, limits, scripts
from .server.engine import Engine, once
from .server.rate_limit import RateLimiter
from .tabs.compare import tab as compare
from .tabs.edit import tab as edit
from .tabs.forward import tab as forward
from .tabs.reverse import tab as reverse
from .tabs.train import tab as train

TABS = (forward, reverse, train, compare, edit)
HERE = Path(__file__).parent
STYLES = [HERE / "components/tokens.css"]  # what the others name; components before the tabs that vary them
STYLES += sorted(path for path in HERE.glob("components/*.css") if path not in STYLES)
STYLES += sorted(HERE.glob("tabs/**/*.css"))
TITLE = "Denoising diffusion, from scratch"
HEADER = "<header><h1>Denoising diffusion<span>, from scratch</span></h1><p>how a diffusion model works</p></header>"


def settings() -> str:
    """What can be set by environment variables, as text."""
    return limits.table()


def build() -> gr.Blocks:
    """The interface: its tabs around one engine and one registry of models.  Raises ValueError for a bad setting."""
    engine = Engine()
    registry = engine.call(ModelRegistry)
    engine.submit(once(warm_up, PRESETS["fast"].train, pick_device()))  # so that the first Start starts at once
    engine.submit(encode_bundled())
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600), fill_width=True) as demo:
        # Outside the tabs: what is inside one exists only once it has been opened, too late for the page's load event.
        mine = gr.BrowserState([], storage_key="ddpm-training-runs", secret="ddpm")
        own = gr.BrowserState([], storage_key="ddpm-own-models", secret="ddpm")
        with gr.Row(elem_id="top") as top:
            gr.HTML(HEADER, elem_id="header", apply_default_css=False)
            reader({language: lessons.translated(language) for language in languages.LANGUAGES})
            weights = gr.Dropdown(registry.shipped, value=registry.default, label="Model", elem_id="weights")
            help_menu(registry, weights)
        wording.connect(registry, weights)  # the first that follows the model: the tabs' views may take seconds
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            shared = layout.Shared(engine, registry, demo, mine, own, weights, tabs)
            for each in TABS:
                with gr.Tab(each.TITLE, id=each.TITLE.lower()) as shared.tab:
                    each.build(shared)
        demo.links = links.Table(demo, weights)
        with top:
            for part in shared.header:
                part.render()
            restoring.connect(shared, demo.links, shared.pictures.asked_for)
    demo.health = hosting.Health(engine, shared.counts)
    atexit.register(shut_down, engine, shared.at_end)
    return demo.queue(max_size=64, api_open=False)


def encode_bundled() -> Iterator[None]:
    """The engine's job: the latents of the bundled digits, which a training in latent space begins with."""
    with contextlib.suppress(CheckpointError):  # no autoencoder ships with this page
        yield from encoding(autoencoder(), dataset("bundled").images)


def shut_down(engine: Engine, at_end: Sequence[Callable[[], None]]) -> None:
    """Save what goes on, between two steps of it.  Where a step takes too long, what was kept last stays."""
    if engine.close():
        for act in at_end:
            act()
    hosting.tell("stop")


def in_units(size: sizes.Size) -> sizes.Size:
    """Gradio's sizes, growing with the window as the page's own do (--unit, components/tokens.css)."""
    xxs, xs, sm, md, lg, xl, xxl = (f"calc({each.removesuffix('px')} * var(--unit))" for each in size.expand())
    return sizes.Size(xxs, xs, sm, md, lg, xl, xxl, name=size.name)


def launch_options() -> dict[str, Any]:
    """What `launch` needs to be a public server that fetches nothing from outside."""
    per_minute, upload_mb = limits.current().requests_per_minute, limits.current().upload_mb
    modules = scripts.modules(HERE, pictures.constants() | {"languages": languages.catalogues()})
    system = ["system-ui", "sans-serif"]
    mono = ["ui-monospace", "monospace"]
    limiter = Middleware(RateLimiter, per_minute, Path(get_upload_folder()), 1_000_000 * upload_mb)
    theme = gr.themes.Default(
        primary_hue="cyan",
        neutral_hue="slate",
        font=system,
        font_mono=mono,
        radius_size="md",
        spacing_size=in_units(sizes.spacing_sm),
        text_size=in_units(sizes.text_md),
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        checkbox_background_color_selected="*primary_700",
        checkbox_background_color_selected_dark="*primary_600",
        checkbox_border_color="*neutral_500",  # three times as light or dark as the ground, WCAG 1.4.11
        checkbox_border_color_dark="*neutral_400",
        checkbox_border_color_selected="*primary_700",
        checkbox_border_color_selected_dark="*primary_600",
        slider_color="*primary_700",
        slider_color_dark="*primary_500",
    )
    return {
        "theme": theme,
        "css": "\n".join(path.read_text(encoding="utf-8") for path in STYLES),
        "head": f"{font.HEAD}\n{scripts.head(modules, 'components/connection.js')}",
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "state_session_capacity": 200,
        "max_file_size": f"{upload_mb}mb",
        "ssr_mode": False,
        "mcp_server": False,
        "strict_cors": True,
        "app_kwargs": {
            "routes": [*hosting.ROUTES, font.route(ASSETS / font.NAME), scripts.route(modules)],
            "middleware": [limiter],
        },
    }
