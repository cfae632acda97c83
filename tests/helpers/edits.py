"""What the tests of Edit share: each inner tab with Reverse beside it, pressed, asked and opened as its page does."""

import asyncio
import base64
from types import SimpleNamespace

import numpy as np

from ddpm.ui.tabs.edit import compose, draw, inpaint, interpolate, invert
from ddpm.ui.tabs.reverse import tab as reverse

from .pages import Window, alone, handler


def text(pixels):
    return base64.b64encode(np.ascontiguousarray(pixels, np.uint8)).decode()


SEVEN = np.zeros((32, 32, 1), np.uint8)
SEVEN[8:11, 9:23] = SEVEN[11:26, 18:21] = 255
LEFT = np.zeros((32, 32), np.uint8)
LEFT[:, :16] = 1
X0 = {"x0": text(SEVEN), "label": "7"}
TWO = X0 | {"other": text(SEVEN[::-1]), "other_label": "2"}

# Of each inner tab: the module, its button, what its script says, and the values of its controls in their order.
ASKED = {
    "draw": (draw, "draw-denoise", {"x0": X0["x0"]}, {"choice": "7", "t0": 600, "seed": 3, "guidance": 2}),
    "inpaint": (
        *(inpaint, "inpaint-fill", X0 | {"erased": text(LEFT)}),
        {"choice": "its own", "resamplings": 2, "seed": 3, "guidance": 2, "steps": 4},
    ),
    "interpolate": (
        *(interpolate, "interpolate-walk", {}),
        {"ends": "seeds", "way": "slerp", "a": "3", "b": "8", "seed": 1, "other_seed": 2},
    ),
    "invert": (invert, "invert-invert", X0, {"choice": "its own", "steps": 3}),
    "compose": (
        *(compose, "compose-compose", {}),
        {"kind": "illusion", "a": "6", "b": "9", "w": 3, "v": 0, "seed": 3},
    ),
}


class Tab:
    """One inner tab, with Reverse in the same page."""

    def __init__(self, name, registry):
        self.name, (module, self.go, self.page, self.values) = name, ASKED[name]
        both = SimpleNamespace(build=lambda shared: (reverse.build(shared), module.build(shared)))
        self.demo, named, shared = alone(both, registry)
        self.engine, self.view = shared.engine, named[f"{name}-view"]

    def press(self, page=None, weights="mnist", **changes):
        """The packets of a run, or of why there is none."""
        page, values = self.page | (page or {}), self.values | changes

        async def packets():
            stream = handler(self.demo, self.go)(Window("a"), page, weights, *values.values())
            return [packet async for packet in stream]

        return asyncio.run(packets())

    def made(self, *args, **changes):
        """(what is said of a finished run, its frames)."""
        packets = self.press(*args, **changes)
        assert packets[-1].get("done"), packets[-1]
        return packets[-1], [frame for packet in packets for frame in packet["frames"]]

    def refused(self, *args, **changes):
        """The one sentence that is said instead."""
        (packet,) = self.press(*args, **changes)
        assert set(packet) == {"error"} and len(packet["error"]) < 140 and "\n" not in packet["error"]
        return packet["error"]

    def ask(self, name, question):
        answer = getattr(self.view, name)(question)
        return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer

    def branch(self, at):
        """The last packet of a branch that Reverse makes from there."""
        how = (1, "7", 4, "mnist", "ddim", 9, 1, False, 0, "small", "linspace", True)

        async def packets():
            return [packet async for packet in handler(self.demo, "reverse-branch")(Window("a"), at, *how)]

        return asyncio.run(packets())[-1]

    def saved(self, run, kind):
        """The bytes of a file of that run."""
        return base64.b64decode(self.ask("file", {"run": run, "kind": kind})["data"])

    def open(self, path, weights="mnist"):
        """(the controls' values, what the script gets) of a file that is opened here."""
        opened = next(f.fn for f in self.demo.fns.values() if f.name == "opened")
        *values, packet = asyncio.run(opened(str(path), weights))
        return values, packet
