"""Runs as files that a page may keep."""

from __future__ import annotations

import base64
from typing import Any

from ddpm.system.threads import apart

from ..generation.image_file import save
from ..generation.recording import Recording
from ..generation.trajectory_file import write
from ..server.engine import Engine, once

KINDS = {"png": "png", "gif": "gif", "trajectory": "safetensors"}  # and how their names end


async def as_file(engine: Engine, run: Recording, kind: str, stem: str) -> dict[str, Any]:
    """A run that has frames as a file of one of KINDS, called stem: {name, data, note}.

    Raises ValueError in words for pictures too large.
    """
    note = ""
    if kind == "trajectory":
        data, count = await engine.submit(once(write, run)).result()
    else:
        data, count = await apart(save, run, kind)
    if count < len(run.frames):
        note = f"Saved {count} of its {len(run.frames)} moments, evenly chosen, to stay below 10 MB."
    return {"name": f"{stem}.{KINDS[kind]}", "data": base64.b64encode(data).decode(), "note": note}
