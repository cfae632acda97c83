"""What the tests of the three tabs share."""

import base64

import numpy as np

from ddpm.config import ModelConfig

TINY = ModelConfig(base=8, mults=(1, 2), num_classes=10, patch_size=4, prediction="v")


def picture(text):
    return np.frombuffer(base64.b64decode(text), np.uint8)


def handler(demo, elem_id):
    """The function behind a button's click."""
    button = next(b for b in demo.blocks.values() if getattr(b, "elem_id", None) == elem_id)
    return next(f.fn for f in demo.fns.values() if (button._id, "click") in f.targets)


class Window:
    """What a handler sees of the browser window that calls it."""

    def __init__(self, session):
        self.session_hash = session
