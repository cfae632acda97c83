"""What the page copies as Python, run: the pixels are those that the page showed, all of them, for every kind."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
from helpers.edits import ASKED, TWO, Tab
from helpers.latents import with_latents
from helpers.pages import picture
from helpers.reversing import finished, run, settings
from helpers.training_runs import few_digits, finish, new_run, quick  # noqa: F401

from ddpm.ui.generation import as_python
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.generation.trajectory_file import read_recording, write
from ddpm.ui.tabs.train.as_python import of_training


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Copied lines save a picture."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def clone(registry, tmp_path):
    """A registry whose weights lie where the copied lines look for them, in the current folder's checkpoints/."""
    folder = tmp_path / "checkpoints"
    registry.folder.rename(folder)
    return ModelRegistry(folder)


def drawn(text):
    """The pixels that copied lines come to: (N, S, S, C) uint8."""
    names = {}
    exec(compile(text, "copied", "exec"), names)
    return names["pixels"].permute(0, 2, 3, 1).numpy()


def same(text, shown):
    pixels = drawn(text)
    assert np.array_equal(pixels.ravel(), picture(shown)) and len(np.unique(pixels)) > 2
    assert len(text.splitlines()) <= 32, text


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sampler": "ddpm", "variance": "large", "choice": "none", "n": 3},
        {"sampler": "dpmpp", "spacing": "log_snr", "choice": "7", "middle": True},
        {"sampler": "heun", "clip": False, "steps": 3},
        {"eta": 0.5, "n": 12},
    ],
)
def test_a_generation(clone, changes):
    made = finished(clone, **changes)
    same(as_python.of_trajectory(made), made.frames[-1]["x_t"])


def test_a_generation_of_latents(clone):
    registry = with_latents(clone)
    made = finished(registry, weights_id="latent")
    same(as_python.of_trajectory(made), made.frames[-1]["x_t"])


def test_a_generation_that_was_stopped(clone):
    made = Trajectory(settings(clone))
    steps = made.steps()
    next(steps), next(steps), next(steps)
    same(as_python.of_trajectory(made), made.frames[-1]["x_t"])


def test_a_branch_and_a_branch_of_it(clone):
    made = finished(clone, sampler="ddpm")
    one = Trajectory.branch(made, 1, settings(clone, choice="3", sampler="ddim", eta=1, seed=9))
    run(one)
    two = Trajectory.branch(one, 3, settings(clone, choice="5"))
    run(two)
    for each in (one, two):
        same(as_python.of_trajectory(each), each.frames[-1]["x_t"])
    assert one.frames[-1]["x_t"] != made.frames[-1]["x_t"]


def test_a_branch_of_a_trajectory_that_came_as_a_file(clone, tmp_path):
    made = finished(clone)
    opened = read_recording(write(made)[0])
    opened.settings = made.settings
    with pytest.raises(ValueError, match="Press Generate"):
        as_python.of_trajectory(opened)
    branch = Trajectory.branch(opened, 2, settings(clone, choice="5"))
    run(branch)
    (tmp_path / "digits-ddim-4-seed3.safetensors").write_bytes(write(opened)[0])
    same(as_python.of_trajectory(branch), branch.frames[-1]["x_t"])


def test_a_lane(clone):
    s = settings(clone, sampler="heun", spacing="log_snr")
    made = finished(clone, sampler="heun", spacing="log_snr")
    same(as_python.of_settings(s, "B"), made.frames[-1]["x_t"])


def test_weights_that_do_not_ship_are_said_to_be_loaded_from_the_zip(clone):
    clone.put("secret-id", clone.get("mnist"))
    made = finished(clone, weights_id="secret-id")
    text = as_python.of_trajectory(made)
    assert "half precision" in text and 'load_checkpoint("ddpm-trained")' in text and "secret-id" not in text


EDITS = [(name, {}, {}) for name in ASKED]
EDITS += [("interpolate", {}, {"way": way}) for way in ("straight", "pixels", "latents")]
EDITS += [("interpolate", TWO, {"ends": "digits"}), ("interpolate", TWO, {"ends": "digits", "way": "pixels"})]
EDITS += [("compose", {}, {"kind": kind, "v": 1}) for kind in ("both", "without", "hybrid")]
EDITS += [("draw", {}, {"choice": "none"})]


@pytest.mark.parametrize(("name", "page", "changes"), EDITS, ids=lambda value: str(value)[:20])
def test_an_edit(clone, name, page, changes, tmp_path):
    tab = Tab(name, clone)
    packet, frames = tab.made(page, **changes)
    saved = tab.ask("file", {"run": packet["run"], "kind": "png"})
    (tmp_path / saved["name"]).write_bytes(base64.b64decode(saved["data"]))
    copied = tab.ask("python", {"run": packet["run"]})
    same(copied["text"], frames[-1]["x_t"])
    assert copied["name"] == saved["name"].replace(".png", ".ipynb")


@pytest.mark.parametrize("options", [{}, {"lr_decay": True, "ema_warmup": True}])
def test_a_training_of_so_many_steps(options):
    made = finish(new_run(budget=3, batch_size=12, **options))
    text = of_training(made)
    assert "to the pixel" in text and "[8] * 1 + " in text
    same(text, made.previews[-1]["averaged"])


def test_a_training_by_the_clock_says_that_it_is_repeated_nearly():
    made = new_run(kind="seconds", budget=1, lr_decay=True)
    finish(made)
    text = of_training(made)
    assert "repeat it nearly" in text and "followed the clock" in text and f"steps={made.state.step}" in text


def test_a_notebook_holds_the_lines(clone):
    text = as_python.of_settings(settings(clone), "A")
    book = json.loads(as_python.notebook("A race", [text, text]))
    kinds = [cell["cell_type"] for cell in book["cells"]]
    assert kinds == ["markdown", "code", "code"] and book["nbformat"] == 4
    code = "".join(book["cells"][1]["source"])
    assert code == f"{text}picture"
    assert len({cell["id"] for cell in book["cells"]}) == 3
