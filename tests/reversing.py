"""What the tests of the Reverse tab, of its files and of its branches share."""

import gradio as gr

from ddpm.ui.generation import sampling
from ddpm.ui.generation.settings import Settings
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.reverse import tab as reverse


def settings(library, **changes):
    asked = {"n": 2, "choice": "all in turn", "sampler": "ddim", "steps": 4, "guidance": 2, "eta": 0, "seed": 3}
    asked["middle"] = False
    return Settings.check(library, **asked | {"weights_id": "mnist"} | changes)


def run(trajectory):
    return [frame for frame in trajectory.steps() if frame]


def reverse_tab(library):
    engine = Engine()
    with gr.Blocks() as demo:
        reverse.build(engine, library, demo, gr.Dropdown(library.shipped, value="mnist"))
    return demo, engine, {b.elem_id: b for b in demo.blocks.values() if getattr(b, "elem_id", None)}


def finished(library, **changes):
    trajectory = sampling.Trajectory(settings(library, **changes))
    run(trajectory)
    return trajectory
