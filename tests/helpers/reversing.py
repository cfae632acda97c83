"""What the tests of the Reverse tab, of its files and of its branches share."""

from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.tabs.reverse import tab as reverse

from .pages import alone


def settings(registry, **changes):
    asked = {"n": 2, "choice": "all in turn", "sampler": "ddim", "steps": 4, "guidance": 2, "eta": 0, "seed": 3}
    asked["middle"] = False
    return Settings.check(registry, **asked | {"weights_id": "mnist"} | changes)


def run(trajectory):
    return [frame for frame in trajectory.steps() if frame]


def reverse_tab(registry):
    demo, named, shared = alone(reverse, registry)
    return demo, shared.engine, named


def finished(registry, **changes):
    trajectory = Trajectory(settings(registry, **changes))
    run(trajectory)
    return trajectory
