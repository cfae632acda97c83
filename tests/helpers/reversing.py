"""What the tests of the Reverse tab, of its files and of its branches share."""

import gradio as gr

from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.reverse import tab as reverse


def settings(registry, **changes):
    asked = {"n": 2, "choice": "all in turn", "sampler": "ddim", "steps": 4, "guidance": 2, "eta": 0, "seed": 3}
    asked["middle"] = False
    return Settings.check(registry, **asked | {"weights_id": "mnist"} | changes)


def run(trajectory):
    return [frame for frame in trajectory.steps() if frame]


def reverse_tab(registry):
    engine = Engine()
    with gr.Blocks() as demo:
        reverse.build(engine, registry, demo, gr.Dropdown(registry.shipped, value="mnist"))
    return demo, engine, {b.elem_id: b for b in demo.blocks.values() if getattr(b, "elem_id", None)}


def finished(registry, **changes):
    trajectory = Trajectory(settings(registry, **changes))
    run(trajectory)
    return trajectory
