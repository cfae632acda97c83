"""What many tests need: a network of a few thousand weights, pictures to train it on, and a preset that fits a test."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

# Pictures this small gain nothing from a second thread, and on a busy machine lose a thousandfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["DDPM_RUNS_DIR"] = tempfile.mkdtemp(prefix="ddpm-test-runs-")  # nobody's own training runs

import numpy as np
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:  # plain `pytest` puts only tests/ on the path
    sys.path.insert(0, str(ROOT))

from pages import TINY as PAGE_MODEL  # noqa: E402

from ddpm import card, run, save_checkpoint  # noqa: E402
from ddpm.__main__ import main  # noqa: E402
from ddpm.config import PRESETS, Config, ModelConfig, ScheduleConfig, TrainConfig  # noqa: E402
from ddpm.train import build_model  # noqa: E402

TINY = ModelConfig(base=8, t_dim=8, mults=(1, 2), img_size=8)
TINY_CLASSES = ModelConfig(base=8, t_dim=8, mults=(1, 2), num_classes=10, img_size=8, prediction="v")
TINY_PRESET = Config(
    TINY_CLASSES,
    ScheduleConfig(T=20, kind="cosine"),
    TrainConfig(epochs=1, batch_size=8, lr=1e-3, lr_decay=True, ema_warmup=True, label_dropout=0.1),
)


@pytest.fixture
def tiny_model():
    return build_model(TINY, seed=1)


@pytest.fixture
def tiny_classes_model():
    return build_model(TINY_CLASSES, seed=1)


@pytest.fixture
def tiny_images():
    """(20, 1, 8, 8) uint8."""
    return torch.randint(0, 256, (20, 1, 8, 8), generator=torch.Generator().manual_seed(7), dtype=torch.uint8)


@pytest.fixture
def tiny_preset(monkeypatch):
    """`--preset fast` as something that trains and draws in a moment."""
    monkeypatch.setitem(PRESETS, "fast", TINY_PRESET)
    monkeypatch.setattr(card, "GRID_STEPS", 2)
    return TINY_PRESET


@pytest.fixture
def library(tmp_path):
    """The page's library, its default weights a tiny, untrained, class-conditional model on a cosine schedule."""
    from ddpm.ui.weights import Library

    info = {"dataset": "mnist", "class_names": [str(digit) for digit in range(10)]}
    config = Config(PAGE_MODEL, ScheduleConfig(kind="cosine"))
    save_checkpoint(tmp_path / "library" / "mnist", build_model(PAGE_MODEL), config, info)
    return Library(tmp_path / "library")


@pytest.fixture
def opened(library, tmp_path):
    """What the Reverse tab makes of a file with such content: opened(data, weights="mnist") -> its answer."""
    import asyncio

    from pages import Window
    from reversing import reverse_tab

    demo, _, named = reverse_tab(library)
    open_file = next(f.fn for f in demo.fns.values() if f.name == "open_file")

    def open_(data: bytes, weights="mnist"):
        path = tmp_path / "sent"
        path.write_bytes(data)
        return asyncio.run(open_file(Window("a"), str(path), weights))

    open_.tab = demo, named
    return open_


@pytest.fixture(scope="session")
def python():
    """Start a Python in the repository's root: python("-c", "...") -> CompletedProcess; with start=True, Popen."""

    def run(*args: str, start: bool = False, **options):
        env = os.environ | {"PYTHONPATH": str(ROOT), **options.pop("env", {})}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, *args]
        if start:
            return subprocess.Popen(command, cwd=ROOT, env=env, **pipes, **options)
        return subprocess.run(command, cwd=ROOT, env=env, timeout=120, **pipes, **options)

    return run


@pytest.fixture
def train(tiny_preset, monkeypatch, capsys):
    """`python -m ddpm train`: train("--steps", 3, ...) -> code, out, err."""
    monkeypatch.setattr(run, "LOG_EVERY", 2)

    def command(*argv):
        try:
            code = main(["train", *map(str, argv)])
        except SystemExit as stop:
            code = stop.code
        return SimpleNamespace(code=code, **dict(zip(("out", "err"), capsys.readouterr(), strict=True)))

    return command


@pytest.fixture
def pictures(tmp_path):
    """20 pictures in two sub-folders."""
    rng = np.random.default_rng(0)
    for i in range(20):
        path = tmp_path / "pictures" / ("even", "odd")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    return f"folder:{tmp_path / 'pictures'}"


@pytest.fixture
def run_of(train, pictures, tmp_path):
    """The folder of a run of two steps."""
    assert train("--steps", 2, "--dataset", pictures, "--out", tmp_path / "run").code == 0
    return tmp_path / "run"
