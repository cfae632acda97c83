"""What the tests of the tabs share."""

import base64

import gradio as gr
import numpy as np

from ddpm.config import ModelConfig
from ddpm.ui.components.layout import Shared
from ddpm.ui.server.engine import Engine

TINY = ModelConfig(base=8, mults=(1, 2), num_classes=10, patch_size=4, prediction="v")


def picture(text):
    return np.frombuffer(base64.b64decode(text), np.uint8)


def handler(demo, elem_id):
    """The function behind a button's click."""
    button = next(b for b in demo.blocks.values() if getattr(b, "elem_id", None) == elem_id)
    return next(f.fn for f in demo.fns.values() if f.fn and (button._id, "click") in f.targets)


def alone(tab, registry, engine=None):
    """A page of this tab alone, its parts by their ids, and what they share.  tab: whatever has a `build`."""
    with gr.Blocks() as demo:
        mine, own = gr.BrowserState([]), gr.BrowserState([])
        weights = gr.Dropdown(registry.shipped if registry else ["mnist"], value="mnist")
        with gr.Tabs() as tabs, gr.Tab("this") as this:
            shared = Shared(engine or Engine(), registry, demo, mine, own, weights, tabs)
            shared.tab = this
            tab.build(shared)
    return demo, {b.elem_id: b for b in demo.blocks.values() if getattr(b, "elem_id", None)}, shared


class Window:
    """What a handler sees of the browser window that calls it."""

    def __init__(self, session):
        self.session_hash = session
