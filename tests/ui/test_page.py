"""The page as a whole, and the weights it offers."""

import os
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest

import ddpm
from ddpm import ModelConfig, ui
from ddpm.networks import build_model
from ddpm.ui import page
from ddpm.ui.generation import trajectory_file
from ddpm.ui.generation.models import ModelRegistry, wrap
from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.tabs.train import zip_file

ROOT = Path(__file__).parents[2]


def test_the_interface_builds_and_keeps_its_endpoints_to_itself():
    demo = ui.build()
    assert isinstance(demo, gr.Blocks)
    assert demo.api_open is False
    options = ui.launch_options()
    assert options["strict_cors"] and not options["enable_monitoring"] and not options["ssr_mode"]
    parameters = sum(p.numel() for p in build_model(ModelConfig()).parameters())
    assert 2 * parameters < zip_file.MAX_ZIP_BYTES == int(options["max_file_size"].removesuffix("mb")) * 1_000_000
    assert trajectory_file.MAX_BYTES < zip_file.MAX_ZIP_BYTES
    assert "http" not in options["head"].replace("http://www.w3.org/2000/svg", "")


def test_weights_that_are_gone_say_what_to_do(registry):
    with pytest.raises(ValueError, match="Choose others"):
        registry.get("gone")


def test_damaged_shipped_weights_are_one_clear_error(registry, tmp_path):
    path = tmp_path / "registry" / "mnist" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ddpm.CheckpointError, match="damaged"):
        ModelRegistry(tmp_path / "registry").get("mnist")


def test_the_shipped_weights_are_there_and_load():
    weights = ModelRegistry().get("mnist")
    assert weights.num_classes == 10 and weights.kind == "cosine"


@pytest.mark.slow
def test_the_page_opens_without_weights_and_with_damaged_ones(registry, tmp_path, monkeypatch):
    damaged = tmp_path / "registry"
    path = damaged / "mnist" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    for folder, words in ((tmp_path / "none", "no weights"), (damaged, "damaged")):
        monkeypatch.setattr(page, "ModelRegistry", lambda folder=folder: ModelRegistry(folder))
        demo = ui.build()
        view = next(b for b in demo.blocks.values() if getattr(b, "elem_id", None) == "forward-view")
        assert words in view.value["error"]


def test_other_weights_in_the_middle_of_a_run_change_nothing(registry):
    config = ModelConfig(base=8, mults=(1,), patch_size=4)
    registry.put("mine", wrap(build_model(config), ddpm.make_schedule(), "linear", "mine", "mnist"))
    settings = Settings.check(registry, 1, "none", 0, "mine", sampler="ddim", steps=4, guidance=1, middle=False, eta=0)
    alone = [frame for frame in Trajectory(settings).steps() if frame]
    steps = Trajectory(settings).steps()
    first = next(steps)
    registry.put("mine", wrap(build_model(config, 9), ddpm.make_schedule(), "linear", "mine", "mnist"))
    assert [first, *(frame for frame in steps if frame)] == alone


@pytest.mark.slow
def test_torch_keeps_to_one_pool_of_threads():
    """What a page does on its way to a training run asks OpenMP for threads on the engine's thread alone."""
    code = """
import threading, torch
from ddpm import ui
from ddpm.ui.server import engine
elsewhere = []
real = torch.nn.functional.conv2d
def conv2d(*args, **kwargs):
    elsewhere.extend([] if threading.current_thread().name == "engine" else [threading.current_thread().name])
    return real(*args, **kwargs)
torch.nn.functional.conv2d = conv2d
ui.build()
threads = [t for t in threading.enumerate() if t.name == "engine"]
print(len(threads), elsewhere)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "1 []"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted as Linux shows them")
def test_a_training_run_is_made_without_a_pool_of_threads_of_its_own():
    """A second pool lets both sleep instead of spin: see engine.py."""
    code = """
import os, threading
from ddpm.presets import PRESETS
from ddpm.ui.tabs.train.training_run import TrainingRun
from ddpm.ui.generation.models import dataset
data, threads = dataset("bundled"), lambda: len(os.listdir("/proc/self/task"))
def make():
    before = threads()
    TrainingRun(PRESETS["fast"], data, "seconds", 5, "")
    print(threads() - before)
threading.Thread(target=make).start()
"""
    env = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=env, check=True)
    assert done.stdout.strip() == "0"
