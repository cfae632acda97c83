"""Training runs on the command line, for the tests of what they write: see the fixtures `train` and `pictures`."""

from __future__ import annotations

import csv
import os
import signal

import numpy as np
from PIL import Image

from ddpm import fit
from ddpm.cli import train_run

FILES = {
    "README.md",
    "config.json",
    "loss.svg",
    "metrics.csv",
    "model.safetensors",
    "samples.png",
    "training.safetensors",
}


def rows(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def interrupt_at(monkeypatch, step, number=signal.SIGTERM):
    """Sends this process a signal while the run is at that step."""

    def interrupted(*args, **options):
        for state in fit(*args, **options):
            if state.step == step:
                os.kill(os.getpid(), number)
            yield state

    monkeypatch.setattr(train_run, "fit", interrupted)


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def put(folder, name, colour=False):
    (folder / name).parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (8, 8, 3)[: 2 + colour], dtype=np.uint8)).save(
        folder / name
    )


def resume(train, out, steps=4):
    return train("--resume", "--steps", steps, "--out", out)
