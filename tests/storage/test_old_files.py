"""Files that version 0.1 wrote before names changed (`written_before/`): each opens, and says what it said."""

import json
import shutil
from pathlib import Path

import pytest
from helpers.pages import picture

from ddpm import load_checkpoint
from ddpm.data import load_dataset
from ddpm.ui.generation import image_file, trajectory_file
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.train import run_store

BEFORE = Path(__file__).parent / "written_before"


def alike(text):
    """Whether these are the pictures that were drawn then, but for rounding (a trajectory is kept in float16)."""
    then = picture(json.loads((BEFORE / "expected.json").read_text())["last"]).astype(int)
    return abs(picture(text) - then).max() <= 1


def test_a_checkpoint_has_its_evaluations_in_todays_names():
    info = load_checkpoint(BEFORE / "checkpoints/mnist").info
    assert info["metrics"] == [{"fid_over_real": 1.5, "fid_real": 0.1}]


def test_a_picture_holds_the_settings_that_draw_it_again():
    parameters = image_file.read_parameters((BEFORE / "digits.png").read_bytes())
    assert (parameters["steps"], parameters["seed"], parameters["class"]) == (4, 3, "all in turn")
    sampling = {name: parameters[name] for name in ("sampler", "steps", "guidance", "middle", "eta", "variance")}
    settings = Settings.check(ModelRegistry(BEFORE / "checkpoints"), 2, "all in turn", 3, "mnist", **sampling)
    *_, last = (frame for frame in Trajectory(settings).steps() if frame)
    assert alike(last["x_t"])


def test_a_trajectory_plays_to_its_end():
    recording = trajectory_file.read_recording((BEFORE / "digits.trajectory").read_bytes())
    assert recording.parameters["steps"] == 4 and len(recording.frames) == 5
    assert alike(recording.frames[-1]["x_t"])


@pytest.fixture
def runs(tmp_path, monkeypatch):
    folder = shutil.copytree(BEFORE / "runs", tmp_path / "runs")
    monkeypatch.setattr(run_store, "dataset", load_dataset)
    runs = run_store.Runs(Engine(), folder)
    yield runs
    runs.engine.close()


def test_a_kept_run_is_found_with_its_evaluation_and_how_it_stood(runs):
    run = runs.get((BEFORE / "run_id").read_text())
    assert run is not None and run.state.step == 3 and run.label == "old run"
    assert run.paused_by_hand and not run.remote
    evaluation = run.packet()["evaluation"]
    assert evaluation["fid_over_real"] > 1 and evaluation["n"] == 20 and evaluation["second"] > 1
