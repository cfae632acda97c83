"""A checkpoint folder as a zip, out and in again.  What comes in is a stranger's file."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch.nn as nn

from ddpm.config import Config
from ddpm.storage.checkpoint import (
    CONFIG,
    MAX_CONFIG_BYTES,
    WEIGHTS,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from ddpm.storage.model_card import model_card

MAX_ZIP_BYTES = 12_000_000
MAX_WEIGHTS_BYTES = 64_000_000  # unpacked
LIMITS = {CONFIG: MAX_CONFIG_BYTES, WEIGHTS: MAX_WEIGHTS_BYTES}


def write(model: nn.Module, config: Config, info: dict[str, Any], name: str) -> bytes:
    """The zip of a checkpoint folder called `name`."""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / name
        card = model_card(name, config, info)
        save_checkpoint(folder, model, config, info, card)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
            for path in sorted(folder.iterdir()):
                file.write(path, f"{name}/{path.name}")
    return buffer.getvalue()


def read(path: str | Path) -> Checkpoint:
    """The checkpoint in a zip.  Raises CheckpointError with one sentence.

    Only two members are read, each by its own name, to a bounded size, into a fresh folder: no path in the zip is used.
    """
    path = Path(path)
    if path.stat().st_size > MAX_ZIP_BYTES:
        raise CheckpointError(
            f"That zip is larger than {MAX_ZIP_BYTES // 1_000_000} MB. Choose one saved on this page."
        )
    try:
        with tempfile.TemporaryDirectory() as root, zipfile.ZipFile(path) as file:
            for name, limit in LIMITS.items():
                members = [member for member in file.infolist() if name_in_folder(member.filename) == name]
                if len(members) != 1:
                    raise CheckpointError(f"That zip is not a checkpoint: it has no {name}, or several.")
                with file.open(members[0]) as member:
                    data = member.read(limit + 1)
                if len(data) > limit:
                    raise CheckpointError(f"{name} in that zip is too large. Choose one saved on this page.")
                (Path(root) / name).write_bytes(data)
            return load_checkpoint(root)
    except CheckpointError as error:
        raise CheckpointError(str(error).replace(f"{root}/", "").replace(root, "that zip")) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise CheckpointError("That file is not a zip that can be read. Choose one saved on this page.") from error


def name_in_folder(path: str) -> str | None:
    """The last part of a zip member's path, with slashes of either kind; None of one that leads out of the folder."""
    parts = path.replace("\\", "/").split("/")
    return None if ".." in parts or parts[0] == "" or ":" in parts[0] else parts[-1]
