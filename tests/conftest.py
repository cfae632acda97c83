"""What many tests need: a network of a few thousand weights, pictures to train it on, and a preset that fits a test."""

from __future__ import annotations

import dataclasses
import os
import shutil
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
from helpers.pages import TINY as PAGE_MODEL
from helpers.tiny import TINY, TINY_CLASSES, TINY_PRESET
from PIL import Image

from ddpm import save_checkpoint
from ddpm.cli import main, train_run
from ddpm.config import Config, ScheduleConfig
from ddpm.data import load_dataset
from ddpm.evaluation.metrics import balanced
from ddpm.networks import build_model
from ddpm.presets import PRESETS
from ddpm.storage import model_card

ROOT = Path(__file__).resolve().parent.parent
MODULES = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))  # what a process of a test's own finds, too


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """All of the quick tests: a process a core, up to four, each of which imports PyTorch and Gradio anew.  A few of
    them gain nothing by it, and what starts servers or a browser has the machine to itself: in this process."""
    everything = config.args_source is config.ArgsSource.TESTPATHS
    quick = config.option.markexpr == "not slow and not browser"
    return min(4, os.cpu_count() or 1) if everything and quick else 0


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
    monkeypatch.setattr(model_card, "GRID_STEPS", 2)
    return TINY_PRESET


@pytest.fixture(scope="session", autouse=True)
def no_web_application():
    """Gradio makes a web application of each page twice, and writes down how each looks to a browser, which takes
    longer than all else about it.  Handlers are called without; servers are processes of their own."""
    if (routes := sys.modules.get("gradio.routes")) is None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes.App, "create_app", lambda *args, **options: None)
        patch.setattr(sys.modules["gradio.blocks"].Blocks, "get_config_file", lambda *args: {})
        yield


@pytest.fixture(scope="session", autouse=True)
def a_fifth_of_the_real_digits():
    """What `evaluate` holds samples against is read from 200 digits of each class: all ten thousand take ten seconds.
    They are read where the classifier itself is tested."""

    def fifth(*args):
        digits = load_dataset(*args)
        index = balanced(digits.labels, 2000)
        return dataclasses.replace(digits, images=digits.images[index], labels=digits.labels[index])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddpm.evaluation.evaluate.load_dataset", fifth)
        yield


@pytest.fixture(autouse=True)
def engines_end(monkeypatch):
    """What a test leaves computing would slow all that follow, and be cut off inside PyTorch in the end: an abort.
    What works beside an engine ends with it."""
    if (module := sys.modules.get("ddpm.ui.server.engine")) is None:
        yield
        return
    engines, real = [], module.Engine.__init__

    def init(engine, *args, **options):
        engines.append(engine)
        real(engine, *args, **options)

    monkeypatch.setattr(module.Engine, "__init__", init)
    yield
    for engine in engines:
        engine.close()


@pytest.fixture(scope="session")
def untrained(tmp_path_factory):
    """A folder of checkpoints: "mnist" is a tiny, untrained, class-conditional model on a cosine schedule."""
    folder = tmp_path_factory.mktemp("untrained")
    info = {"dataset": "mnist", "class_names": [str(digit) for digit in range(10)]}
    config = Config(PAGE_MODEL, ScheduleConfig(kind="cosine"))
    save_checkpoint(folder / "mnist", build_model(PAGE_MODEL), config, info)
    return folder


@pytest.fixture
def registry(untrained, tmp_path):
    """The page's registry, its default weights those of `untrained`, in a folder of its own."""
    from ddpm.ui.generation.models import ModelRegistry

    return ModelRegistry(shutil.copytree(untrained, tmp_path / "registry"))


@pytest.fixture
def opened(registry, tmp_path):
    """What the Reverse tab makes of a file with such content: opened(data, weights="mnist") -> its answer."""
    import asyncio

    from helpers.pages import Window
    from helpers.reversing import reverse_tab

    demo, _, named = reverse_tab(registry)
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
        env = os.environ | {"PYTHONPATH": MODULES, **options.pop("env", {})}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, *args]
        if start:
            return subprocess.Popen(command, cwd=ROOT, env=env, **pipes, **options)
        return subprocess.run(command, cwd=ROOT, env=env, timeout=120, **pipes, **options)

    return run


@pytest.fixture
def train(tiny_preset, monkeypatch, capsys):
    """`python -m ddpm train`: train("--steps", 3, ...) -> code, out, err."""
    monkeypatch.setattr(train_run, "LOG_EVERY", 2)

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
