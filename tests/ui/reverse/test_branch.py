"""To go on from any moment of a reverse process, and one digit's life along it."""

import asyncio
import dataclasses

import numpy as np
import pytest
import torch
from helpers.pages import TINY, Window, handler, picture
from helpers.reversing import finished, reverse_tab, run, settings
from helpers.tiny import Model

import ddpm
from ddpm import make_schedule, reverse_process
from ddpm.config import ModelConfig
from ddpm.evaluation import classifiers
from ddpm.idx import CLASSES
from ddpm.networks import build_model
from ddpm.ui.generation.models import wrap
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.tabs.reverse import tab as reverse

T = 20
COLOUR = dataclasses.replace(TINY, in_ch=3)


@pytest.mark.parametrize(("sampler", "eta"), [("ddpm", 0), ("ddim", 0), ("ddim", 0.7), ("heun", 0)])
def test_going_on_from_a_step_is_what_would_have_followed(sampler, eta):
    options = {"sampler": sampler, "eta": eta, "num_steps": 6, "seed": 4}
    whole = list(reverse_process(Model(), make_schedule(T), 2, **options))
    for i in (0, 2, 5):
        rest = list(reverse_process(Model(), make_schedule(T), 2, **options, start=(i, whole[i].x_t)))
        assert [(m.i, m.t) for m in rest] == [(m.i, m.t) for m in whole[i:]]
        for ours, theirs in zip(rest, whole[i:], strict=True):
            torch.testing.assert_close(ours.x_t, theirs.x_t, rtol=0, atol=0)
    if eta or sampler == "ddpm":
        other = list(reverse_process(Model(), make_schedule(T), 2, **options | {"seed": 5}, start=(2, whole[2].x_t)))
        assert not torch.allclose(other[-1].x_t, whole[-1].x_t, atol=1e-3)


def test_dpmpp_goes_on_at_first_order():
    options = {"sampler": "dpmpp", "num_steps": 6, "seed": 4}
    whole = list(reverse_process(Model(), make_schedule(T), 2, **options))
    rest = list(reverse_process(Model(), make_schedule(T), 2, **options, start=(2, whole[2].x_t)))
    ddim = list(reverse_process(Model(), make_schedule(T), 2, **options | {"sampler": "ddim"}, start=(2, whole[2].x_t)))
    torch.testing.assert_close(rest[1].x_t, ddim[1].x_t, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(rest[1].x_t, whole[3].x_t, atol=1e-4)


def test_a_branch_that_changes_nothing_is_the_same_future(registry):
    parent = finished(registry, n=3, steps=6, eta=0.7)
    branch = Trajectory.branch(parent, 2, parent.settings)
    frames = run(branch)
    assert branch.frames[:2] == parent.frames[:2] and frames == branch.frames[2:]
    for ours, theirs in zip(branch.frames, parent.frames, strict=True):
        assert ours == theirs
    packet = branch.packet(frames)
    assert (packet["parent"], packet["from"], packet["what"]) == (parent.id, 2, "nothing changed")
    assert packet["evaluations"] == 2 * 4, "four guided steps of its own"


def test_what_a_branch_changes_is_said(registry):
    parent = finished(registry)
    for changes, said in (
        ({"choice": "7"}, "class 7"),
        ({"sampler": "ddpm", "seed": 9}, "DDPM, seed 9"),
        ({"sampler": "dpmpp", "seed": 9}, "DPM-Solver++, seed 9 (no more noise is drawn)"),
        ({"guidance": 2.5, "eta": 0.5}, "guidance 2.5, η 0.5"),
        (
            {"variance": "large", "clip": False, "middle": True},
            "large variance, clip False, guided in the middle: True",
        ),
        ({"n": 1, "steps": 9, "spacing": "trailing"}, "nothing changed"),  # of these a branch has its parent's
    ):
        assert Trajectory.branch(parent, 1, settings(registry, **changes)).packet([])["what"] == said


@pytest.mark.parametrize("changes", [{"choice": "7"}, {"guidance": 5}, {"sampler": "ddpm"}, {"eta": 1, "seed": 9}])
def test_a_branch_shares_the_past_and_not_the_future(registry, changes):
    parent = finished(registry, n=3, steps=6, eta=0.7)
    other = settings(registry, **{"n": 1, "steps": 500, "spacing": "trailing", "eta": 0.7} | changes)
    branch = Trajectory.branch(parent, 3, other)
    run(branch)
    assert [f["t"] for f in branch.frames] == [f["t"] for f in parent.frames]
    assert branch.frames[:3] == parent.frames[:3] and branch.frames[3]["x_t"] == parent.frames[3]["x_t"]
    assert branch.frames[-1]["x_t"] != parent.frames[-1]["x_t"]


def test_a_branch_of_a_long_run_starts_from_what_was_and_not_from_its_picture(registry):
    parent = finished(registry, n=2, steps=110, eta=0)
    branch = Trajectory.branch(parent, 50, parent.settings)
    run(branch)
    assert [f["x_t"] for f in branch.frames] == [f["x_t"] for f in parent.frames]
    assert [f["step"] for f in branch.frames] == [f["step"] for f in parent.frames]


def test_what_cannot_branch_says_so(registry):
    demo, *_ = reverse_tab(registry)
    fork = handler(demo, "reverse-branch")
    asked = (2, "none", 0, "mnist", "ddim", 5, 1, False, 0, "small", "linspace", True)

    async def press(at):
        return [packet async for packet in fork(Window("a"), at, *asked)][-1]

    async def generate():
        return [packet async for packet in handler(demo, "reverse-generate")(Window("a"), *asked)][-1]

    for at in (None, {}, {"run": "guess", "index": 0}, [], {"run": ["x"]}):
        assert "Press Generate" in asyncio.run(press(at))["error"]
    run_id = asyncio.run(generate())["run"]
    for k, words in ((99, "Frame"), (None, "Frame"), ("1", "Frame"), (5, "Drag the playhead back")):
        assert words in asyncio.run(press({"run": run_id, "index": k}))["error"]
    assert asyncio.run(press({"run": run_id, "index": 2}))["done"]
    config = ModelConfig(base=8, mults=(1,), num_classes=10, patch_size=4)
    registry.put("secret", wrap(build_model(config), ddpm.make_schedule(), "linear", "mine", "mnist"))
    parent = finished(registry)
    with pytest.raises(ValueError, match="Branch with the weights"):
        Trajectory.branch(parent, 1, settings(registry, weights_id="secret"))


def test_the_classifier_reads_one_digits_guesses_along_the_way(registry, monkeypatch):
    demo, _, named = reverse_tab(registry)
    view, seen = named["reverse-view"], []
    read = classifiers.read
    monkeypatch.setattr(reverse.classifiers, "read", lambda images, by: seen.append(images) or read(images, by))

    async def generate():
        asked = (3, "all in turn", 0, "mnist", "ddim", 4, 1, False, 0, "small", "linspace", True)
        return [packet async for packet in handler(demo, "reverse-generate")(Window("a"), *asked)]

    packets = asyncio.run(generate())
    answer = asyncio.run(view.readings({"run": packets[0]["run"], "i": 2}))
    assert len(answer["classes"]) == len(answer["confidence"]) == 5 and set(answer["classes"]) <= set("0123456789")
    frames = [frame for packet in packets for frame in packet["frames"]]
    for shown, frame in zip(seen[0], frames, strict=True):
        assert np.array_equal(shown.numpy().ravel(), picture(frame["x0_hat"]).reshape(3, 1024)[2])
    for i in (3, -1, None, "0"):
        assert "Digit" in asyncio.run(view.readings({"run": packets[0]["run"], "i": i}))["error"]
    for asked in (None, {}, {"run": "guess", "i": 0}):
        assert "finish" in asyncio.run(view.readings(asked))["error"]


def generated(demo, weights_id):
    """The id of a run of two steps."""

    async def generate():
        asked = (2, "none", 0, weights_id, "ddim", 2, 1, False, 0, "small", "linspace", True)
        return [packet async for packet in handler(demo, "reverse-generate")(Window("a"), *asked)]

    return asyncio.run(generate())[0]["run"]


@pytest.mark.parametrize(("name", "config"), [("cifar10", COLOUR), ("fashion", TINY)])
def test_pictures_of_another_set_are_read_by_its_classifier(registry, name, config):
    registry.put("other", wrap(build_model(config), make_schedule(), "linear", "mine", name, CLASSES[name]))
    demo, _, named = reverse_tab(registry)
    classes = asyncio.run(named["reverse-view"].readings({"run": generated(demo, "other"), "i": 0}))["classes"]
    assert len(classes) == 3 and set(classes) <= set(CLASSES[name])


def test_pictures_that_no_classifier_knows_are_not_read(registry):
    for name, config in (("mnist", COLOUR), ("faces", TINY), ("unknown", TINY)):
        registry.put("other", wrap(build_model(config), make_schedule(), "linear", "mine", name, tuple("abcdefghij")))
        demo, _, named = reverse_tab(registry)
        answer = asyncio.run(named["reverse-view"].readings({"run": generated(demo, "other"), "i": 0}))
        assert answer == {"error": "No classifier here knows the classes of these pictures."}
