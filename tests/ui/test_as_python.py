"""What the page copies as Python, run: the pixels are those that the page showed, all of them, for every kind."""

from __future__ import annotations

import asyncio
import base64
import json

import numpy as np
import pytest
import torch
from helpers.edits import ASKED, TWO, Tab
from helpers.latents import with_latents
from helpers.pages import TINY, alone, picture
from helpers.reversing import finished, run, settings
from helpers.training_runs import few_digits, finish, new_run, quick  # noqa: F401

from ddpm import from_uint8, load_dataset, make_schedule, q_sample, to_uint8
from ddpm.config import ScheduleConfig
from ddpm.evaluation import evaluate
from ddpm.schedule import SCHEDULES
from ddpm.ui.components.pictures import noise_of
from ddpm.ui.generation import as_python
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.generation.trajectory_file import read_recording, write
from ddpm.ui.server import cache
from ddpm.ui.tabs.compare import measurement, quality, schedules
from ddpm.ui.tabs.forward import chain, denoising, latent, noising, posterior
from ddpm.ui.tabs.forward.mistakes import at_once, experiment
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
    assert len(lines_of(text)) <= 20, text


def lines_of(text):
    return [line for line in text.splitlines() if line]


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
EDITS += [("interpolate", {}, {"way": way}) for way in ("straight", "pixels")]
EDITS += [("interpolate", TWO, {"ends": "digits"}), ("interpolate", TWO, {"ends": "digits", "way": "pixels"})]
EDITS += [("compose", {}, {"kind": kind, "v": 1}) for kind in ("without", "hybrid")]
EDITS += [pytest.param("interpolate", {}, {"way": "latents"}, marks=pytest.mark.slow)]
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


@pytest.mark.parametrize("options", [pytest.param({}, marks=pytest.mark.slow), {"lr_decay": True, "ema_warmup": True}])
def test_a_training_of_so_many_steps(options):
    made = finish(new_run(budget=3, batch_size=12, **options))
    text = of_training(made)
    assert "to the pixel" in text and "[8] * 1 + " in text
    same(text, made.previews[-1]["averaged"])


def test_a_training_by_the_clock_says_that_it_is_repeated_nearly():
    made = new_run(kind="seconds", budget=0.2, lr_decay=True)
    finish(made)
    text = of_training(made)
    assert "repeat it nearly" in text and "followed the clock" in text and f"steps={made.state.step}" in text


ASKED_OF_FORWARD = {"weights": "mnist", "picture": 7, "seed": 5, "question": 1, "t": 74, "schedule": "linear"}
ASKED_OF_FORWARD |= {"stride": 50, "draw": 2, "pixel": [0, 0]}


@pytest.mark.parametrize(("tab", "name"), [(noising, "forward"), (posterior, "posterior"), (denoising, "denoising")])
def test_forward(clone, tab, name):
    _, named, _ = alone(tab, clone)
    view, x0 = named[f"{name}-view"], load_dataset("bundled").images[7:8].permute(0, 2, 3, 1).numpy()
    asked = ASKED_OF_FORWARD | {"x0": base64.b64encode(x0).decode()}
    copied = view.python(asked)
    if tab is noising:
        (hat,) = asyncio.run(view.x0_hat(asked | {"schedules": ["linear"]}))["x0_hat"]
        shown = [(3, hat)]
    elif tab is posterior:
        found = asyncio.run(view.posterior_of(asked))
        shown = [(2, found["mean"]), (3, found["draw"])]
    else:
        found, futures = asyncio.run(view.look(asked)), denoising.Futures(denoising.Question.check(clone, asked))
        *_, last = (frame for frame in futures.steps() if frame)
        shown = [(0, found["x_t"]), (1, found["pictures"]["x0_hat"]), (slice(2, None), last["pictures"])]
    pixels = drawn(copied["text"])
    for place, each in shown:
        assert np.array_equal(pixels[place].ravel(), picture(each)), place
    assert tab is denoising or np.array_equal(pixels[:1], x0)
    assert len(lines_of(copied["text"])) <= 20 and copied["name"].endswith("-7-t74.ipynb")
    assert view.python(asked | {"picture": None})["error"].startswith("These lines can only name a picture")


def test_step_by_step(clone):
    _, named, _ = alone(chain, clone)
    view, x0 = named["chain-view"], from_uint8(load_dataset("bundled").images[7:8])
    *_, last = (frame for frame in chain.Chain(x0, "linear", 5).steps() if frame["t"] <= 29)
    asked = ASKED_OF_FORWARD | {"t": last["t"]}
    copied = view.python(asked)
    shown = np.concatenate([picture(last[way]["pictures"]) for way in ("steps", "jump")])
    assert np.array_equal(drawn(copied["text"]).ravel(), shown)
    assert len(lines_of(copied["text"])) <= 20 and copied["name"] == "steps-7-t29.ipynb"
    for t in (None, -1, 30, "9"):  # before the first step, and between two frames
        assert view.python(asked | {"t": t})["error"].startswith("Nothing is noised there yet")


def test_latent_space(clone, monkeypatch):
    monkeypatch.setattr(latent, "FITTED", 300)
    latent.components.cache_clear()
    _, named, _ = alone(latent, clone)
    view, images = named["latent-view"], load_dataset("bundled").images
    sent = {name: base64.b64encode(images[i].numpy()).decode() for name, i in (("x0", 7), ("other", 9))}
    asked = ASKED_OF_FORWARD | sent | {"other_picture": 9, "k": 20}
    answer = asyncio.run(view.latent_of(asked))
    copied = view.python(asked)
    x0 = from_uint8(images[7:8])
    x_t = q_sample(x0, torch.tensor([74]), noise_of(clone.get("mnist"), 5), make_schedule(kind="linear"))
    pixels = drawn(copied["text"])
    assert np.array_equal(pixels[2].ravel(), to_uint8(x_t).ravel())
    shown = [images[7].numpy(), *(picture(answer[name]) for name in ("components", "decoded", "z_t"))]
    shown += [picture(each) for each in answer["walk"] + answer["fade"]]
    assert [np.array_equal(a.ravel(), b.ravel()) for a, b in zip(np.delete(pixels, 2, 0), shown, strict=True)].count(
        0
    ) == 0
    assert len(lines_of(copied["text"])) <= 20 and copied["name"] == "latent-7-t74.ipynb"
    assert view.python(asked | {"other_picture": None})["error"].startswith("These lines can only name")
    latent.components.cache_clear()


def test_schedules(clone):
    """x_t is not sent by the server: the page's own is held against Python's in tests/browser/test_code.py."""
    _, named, _ = alone(schedules, clone)
    x0, eps = from_uint8(load_dataset("bundled").images[7:8]), noise_of(clone.get("mnist"), 5)
    copied = named["schedules-view"].python(ASKED_OF_FORWARD)
    rows = [
        to_uint8(q_sample(x0, torch.tensor([t]), eps, make_schedule(kind=kind)))
        for kind in SCHEDULES
        for t in (0, 125, 250, 375, 500, 625, 750, 875, 999)
    ]
    assert np.array_equal(drawn(copied["text"]).ravel(), torch.cat(rows).numpy().ravel())
    assert len(lines_of(copied["text"])) <= 15


@pytest.mark.parametrize("broken", [["pixels", "live"], pytest.param(["scale"], marks=pytest.mark.slow)], ids="+".join)
def test_mistakes(broken, monkeypatch):
    monkeypatch.setattr(experiment, "MODEL", TINY)
    monkeypatch.setattr(experiment, "SCHEDULE", ScheduleConfig(kind="cosine"))
    monkeypatch.setattr(experiment, "DRAW_STEPS", 3)
    monkeypatch.setattr(experiment, "MOMENTS", 2)
    run = experiment.Experiment(frozenset(broken), 4, 3, cache.LRUCache(0), experiment.Pace())
    assert run.left_behind().python == ""
    frames = [frame for frame in run.steps() if frame]
    text = run.left_behind().python
    same(text, frames[-1]["pictures"])
    assert len(lines_of(text)) <= 20


def test_a_mistake_that_is_drawn_at_once(clone, monkeypatch):
    monkeypatch.setattr(at_once, "DRAW_STEPS", 3)
    run = at_once.Drawing(frozenset(["sign"]), 4, *at_once.shipped(clone))
    assert run.left_behind().python == ""
    *_, last = run.steps()
    text = run.left_behind().python
    assert np.array_equal(drawn(text).ravel(), picture(last["pictures"]))
    assert len(lines_of(text)) <= 20 and 'load_checkpoint("checkpoints/mnist")' in text


def test_a_measured_point(clone, monkeypatch, capsys):
    evaluation, asked = {"n": 200, "fid": 9.0, "fid_real": 5.0, "fid_error": 0.5, "accuracy": 0.75}, []

    def evaluating(sampler, n, seed, names):
        asked.append((sampler.sampling, n, seed, names))
        yield from (0.5, evaluation)

    for module in (measurement, evaluate):
        monkeypatch.setattr(module, "evaluating", evaluating)
        monkeypatch.setattr(module, "real_scores", lambda n, by: {"fid": n / 1000})
    monkeypatch.setattr(measurement, "evaluating_real", lambda n, by: iter(()))
    how = {"sampler": "ddim", "steps": 4, "guidance": 2, "eta": 0.5, "middle": False}
    made = quality.measurement(clone, 200, 5, "mnist", **how)
    assert made.left_behind().python == ""
    list(made.steps())
    text = made.left_behind().python
    exec(compile(text, "copied", "exec"), {})
    said = [float(each) for each in capsys.readouterr().out.split()]
    assert said == [made.point[name] for name in ("fid_over_real", "fid_error", "accuracy")] and said[0] == 3
    assert asked[0] == asked[1] and len(lines_of(text)) <= 20


def test_a_notebook_holds_the_lines(clone):
    text = as_python.of_settings(settings(clone), "A")
    book = json.loads(as_python.notebook("A race", [text, text]))
    kinds = [cell["cell_type"] for cell in book["cells"]]
    assert kinds == ["markdown", "code", "code"] and book["nbformat"] == 4
    code = "".join(book["cells"][1]["source"])
    assert code == f"{text}picture"
    assert len({cell["id"] for cell in book["cells"]}) == 3
