"""A trajectory as a file: out and in again, gone on from, and what a stranger may send instead."""

import asyncio
import base64
import io
import json
import pickle
import re
import zipfile

import gradio as gr
import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.pages import Window, handler, picture
from helpers.reversing import finished, run, settings

import ddpm
from ddpm.config import ModelConfig
from ddpm.networks import build_model
from ddpm.ui.generation import image_file, trajectory_file
from ddpm.ui.generation.models import wrap
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.tabs.reverse import tab as reverse


def parts_of(data):
    """(metadata, tensors) of a file."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"], safetensors.torch.load(data)


@pytest.fixture
def good(registry):
    return trajectory_file.write(finished(registry, n=3, steps=6, eta=0.7, seed=21, choice="3"))[0]


def test_what_is_opened_is_what_was_saved(registry, opened):
    trajectory = finished(registry, n=3, steps=6, eta=0.7, seed=21, choice="3")
    data, count = trajectory_file.write(trajectory)
    assert count == 7
    *values, packet = opened(data)
    values = dict(zip(reverse.FIELDS, values, strict=True))
    assert values["choice"]["value"] == "3" and (values["n"], values["seed"], values["eta"]) == (3, 21, 0.7)
    assert packet["done"] and packet["opened"].startswith("Opened: 7 moments of 3 digits. Play it")
    for ours, theirs in zip(packet["frames"], trajectory.frames, strict=True):
        assert ours | {"x_t": None, "coefficients": None} == theirs | {"x_t": None, "coefficients": None}
        assert ours["coefficients"] == (theirs["coefficients"] and pytest.approx(theirs["coefficients"], abs=1e-4))
        assert np.abs(picture(ours["x_t"]).astype(int) - picture(theirs["x_t"])).max() <= 1, "float16 of the same"
    sent = trajectory.packet([])
    for name in ("n", "size", "channels", "total", "times", "signal", "sampler", "num_steps"):
        assert packet[name] == sent[name]


def branch_of(opened, packet, k, **changes):
    asked = {"n": 1, "choice": "7", "seed": 4, "weights_id": "mnist", "sampler": "ddim", "steps": 9, "guidance": 1}
    asked |= {"middle": False, "eta": 0, "variance": "small", "spacing": "linspace", "clip": True} | changes

    async def press():
        fork = handler(opened.tab[0], "reverse-branch")
        return [p async for p in fork(Window("a"), {"run": packet["run"], "index": k}, *asked.values())]

    return asyncio.run(press())


def test_a_branch_from_an_opened_trajectory_is_that_of_the_original(registry, opened):
    trajectory = finished(registry, n=3, steps=6)
    *_, packet = opened(trajectory_file.write(trajectory)[0])
    packets = branch_of(opened, packet, 2)
    frames = [frame for p in packets for frame in p["frames"]]
    original = run(Trajectory.branch(trajectory, 2, settings(registry, choice="7", seed=4, guidance=1)))
    assert packets[-1]["done"] and packets[-1]["parent"] == packet["run"] and packets[-1]["from"] == 2
    assert [f["t"] for f in frames] == [f["t"] for f in original] and len(frames) == 5
    for ours, theirs in zip(frames, original, strict=True):
        assert np.abs(picture(ours["x_t"]).astype(int) - picture(theirs["x_t"])).max() <= 2
    assert np.abs(picture(frames[-1]["x_t"]).astype(int) - picture(packet["frames"][-1]["x_t"])).max() > 20


def test_a_stopped_run_goes_on_to_the_end_from_its_file(registry, opened):
    trajectory = Trajectory(settings(registry, steps=110))
    steps = trajectory.steps()
    for _ in range(86):
        next(steps)
    assert 85 not in trajectory.kept
    trajectory.end()
    *_, packet = opened(trajectory_file.write(trajectory)[0])
    assert packet["total"] == len(packet["frames"]) == len(trajectory.frames)
    assert packet["frames"][-1]["step"] == 85 and packet["frames"][-1]["eps_hat"]
    packets = branch_of(opened, packet, 3)
    frames = [frame for p in packets for frame in p["frames"]]
    assert frames[-1]["t"] == -1 and packets[-1]["total"] == 101 == frames[-1]["index"] + 1


@pytest.mark.slow
def test_a_large_one_keeps_as_many_frames_as_fit(registry, opened):
    trajectory = finished(registry, n=64, steps=120, guidance=1)
    data, count = trajectory_file.write(trajectory)
    assert len(trajectory.frames) == 100 and count == 38 and 9_500_000 < len(data) < 10_000_000
    *_, packet = opened(data)
    assert [packet["frames"][k]["step"] for k in (0, -1)] == [0, 120] and len(packet["frames"]) == 38
    gaps = np.diff(
        [trajectory.frames.index(f) for f in trajectory.frames if f["step"] in {p["step"] for p in packet["frames"]}]
    )
    assert set(gaps) == {2, 3}


def test_pictures_too_large_for_any_file_are_refused(registry, monkeypatch):
    monkeypatch.setattr(trajectory_file, "MAX_BYTES", 40_000)
    with pytest.raises(ValueError, match="too large"):
        trajectory_file.write(finished(registry, n=3))


def test_the_page_is_told_when_frames_were_left_out(registry, opened, monkeypatch):
    named = opened.tab[1]
    *_, packet = opened(trajectory_file.write(finished(registry, n=3, steps=6))[0])
    ask = named["reverse-view"].file
    whole = asyncio.run(ask({"run": packet["run"], "kind": "trajectory"}))
    assert whole["name"] == "digits-ddim-6-seed3.safetensors" and whole["note"] == ""
    monkeypatch.setattr(trajectory_file, "MAX_BYTES", 80_000)
    part = asyncio.run(ask({"run": packet["run"], "kind": "trajectory"}))
    assert "Saved 4 of its 7 moments" in part["note"] and len(base64.b64decode(part["data"])) < 80_000
    monkeypatch.setattr(trajectory_file, "MAX_BYTES", 40_000)
    assert "too large" in asyncio.run(ask({"run": packet["run"], "kind": "trajectory"}))["error"]


def test_without_its_weights_it_is_shown_and_branch_says_why(registry, opened):
    config = ModelConfig(base=8, mults=(1,), num_classes=3, patch_size=4)
    model = wrap(
        build_model(config), ddpm.make_schedule(), "linear", "trained elsewhere", "mnist", ("cat", "dog", "owl")
    )
    registry.put("secret", model)
    data = trajectory_file.write(finished(registry, weights_id="secret", choice="owl"))[0]
    *values, packet = opened(data)
    assert values == [gr.skip()] * len(reverse.FIELDS), "the weights that are chosen know no owl"
    assert packet["done"] and len(packet["frames"]) == 5 and "(trained elsewhere) are not here" in packet["opened"]
    assert "can be played, but not branched from" in branch_of(opened, packet, 1)[-1]["error"]
    answer = asyncio.run(opened.tab[1]["reverse-view"].readings({"run": packet["run"], "i": 1}))
    assert len(answer["classes"]) == 5
    *values, packet = opened(data, "secret")  # they are the chosen ones
    assert values[reverse.FIELDS.index("weights_id")] == "secret" and "branch" in packet["opened"]
    assert branch_of(opened, packet, 1, weights_id="secret", choice="cat")[-1]["done"]
    *_, packet = opened(data, "gone")
    assert len(packet["frames"]) == 5 and "not here" in packet["opened"]


def test_frames_that_these_weights_cannot_have_made_are_not_branched_from(registry, opened):
    metadata, tensors = parts_of(trajectory_file.write(finished(registry, n=3, steps=6, eta=0.7))[0])
    tensors["t"][1:3] += 1
    *_, packet = opened(safetensors.torch.save(tensors, metadata))
    assert packet["done"] and "not here" in packet["opened"]


def change(name, value):
    def changed(metadata, tensors):
        tensors[name] = value(tensors[name]) if callable(value) else value

    return changed


def say(**more):
    return lambda metadata, tensors: metadata.update(more)


def parameters_with(**more):
    return lambda metadata, tensors: metadata.update(recipe=json.dumps(json.loads(metadata["recipe"]) | more))


def poke(name, at, value):
    def changed(metadata, tensors):
        tensors[name][at] = value

    return changed


def many(count):
    """All tensors with so many frames, in order."""

    def changed(metadata, tensors):
        for name, value in tensors.items():
            tensors[name] = value[:1].expand(count, *value.shape[1:]).contiguous()
        tensors["i"] = torch.arange(count)
        tensors["t"] = 900 - torch.arange(count)
        tensors["s"] = tensors["t"] - 1

    return changed


HOSTILE = [
    (lambda m, t: t.clear(), "does not hold what it should"),
    (lambda m, t: t.pop("eps_hat"), "does not hold"),
    (lambda m, t: t.update(more=torch.zeros(1)), "does not hold"),
    (change("x_t", torch.Tensor.float), "does not hold"),
    (change("x0_hat", lambda x: x.to(torch.int8)), "does not hold"),
    (change("x_t", lambda x: x[0]), "not square"),
    (change("x_t", lambda x: x[..., :16].contiguous()), "not square"),
    (change("x_t", lambda x: x.reshape(7, 3, 4, 16, 16)), "4 channels"),
    (change("x_t", lambda x: x[:, :, :, :0, :0].contiguous()), "0 pixels"),
    (change("x_t", lambda x: x[:0].contiguous()), "0 frames"),
    (change("x_t", lambda x: x.reshape(7, 48, 1, 8, 8)), "not as many as its settings"),
    (change("x_t", lambda x: x.reshape(7, 192, 1, 4, 4)), "192 digits"),
    (change("x0_hat", lambda x: x[:, :2].contiguous()), "x0_hat has not the shape"),
    (change("eps_hat", lambda x: x[:5].contiguous()), "eps_hat has not the shape"),
    (change("t", lambda x: x[:0]), "has not the shape"),
    (change("t", lambda x: x[:, None].contiguous()), "t has not the shape"),
    (change("c", lambda x: x[:, :2].contiguous()), "c has not the shape"),
    (many(101), "101 frames"),
    (poke("x_t", (2, 0, 0, 0, 0), float("nan")), "x_t has numbers that are not finite"),
    (poke("x_t", (6, 2, 0, 31, 31), float("inf")), "x_t has numbers that are not finite"),
    (poke("c", (1, 1), float("nan")), "c has numbers that are not finite"),
    (poke("t", 2, 999), "times do not fall"),
    (poke("t", 0, 10**12), "times do not fall"),
    (poke("t", 6, -2), "shape"),
    (poke("s", 0, 2000), "times do not fall"),
    (poke("s", 0, -5), "times do not fall"),
    (poke("i", 1, 0), "steps are not in order"),
    (poke("i", 0, -1), "steps are not in order"),
    (poke("i", 6, 7), "steps are not in order"),
    (poke("signal", 1, 1.5), "noise levels"),
    (poke("signal", 5, 0.0), "noise levels"),
    (say(format="pictures"), "neither a picture nor a trajectory"),
    (say(version="3"), "another version"),
    (say(version="2"), "does not hold what it should"),
    (say(recipe="[" * 5000), "neither"),
    (say(recipe="1" * 10_000), "neither"),
    (say(recipe="[]"), "no settings"),
    (say(recipe="null"), "no settings"),
    (say(more="x" * 10_000_000), "larger than 10 MB|neither"),
    (say(more="x" * 100_000), "neither"),
    (parameters_with(sampler="euler"), "Sampler"),
    (parameters_with(sampler=["ddim"]), "Sampler"),
    (parameters_with(steps=10**9), "Steps"),
    (parameters_with(steps=float("nan")), "Steps"),
    (parameters_with(steps=8), "steps are not in order"),
    (parameters_with(n=True), "Digits"),
    (parameters_with(n=2**70), "Digits"),
    (parameters_with(seed=-1), "Seed"),
    (parameters_with(weights=["mnist"]), "no settings"),
    (parameters_with(weights="m" * 1000), "no settings"),
    (parameters_with(**{"class": {"a": 1}}), "no settings"),
]


def test_a_strangers_trajectory_is_refused_in_one_sentence_and_changes_nothing(good, opened):
    for damage, words in HOSTILE:
        metadata, tensors = parts_of(good)
        damage(metadata, tensors)
        refuse(opened, safetensors.torch.save(tensors, metadata), words)


def refuse(opened, data, words):
    *values, packet = opened(data)
    assert values == [gr.skip()] * len(reverse.FIELDS) and set(packet) == {"error"}
    assert re.search(words, packet["error"]), packet
    assert len(packet["error"]) < 130 and "\n" not in packet["error"] and "/" not in packet["error"]


def test_files_that_are_no_trajectory_at_all(good, opened):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as file:
        file.writestr("x", b"0" * 1000)
    torch_zip = io.BytesIO()
    torch.save({"x": Evil()}, torch_zip)
    bare = safetensors.torch.save({"x": torch.zeros(3)})
    cases = [b"", b"{", b"hello, world", pickle.dumps(Evil()), zipped.getvalue(), torch_zip.getvalue(), bare]
    cases += [good[:4], good[:300], good[:-1], good + b"\0", good[:8] + b"[" * (len(good) - 8), b"\0" * 1000]
    for data in cases:
        refuse(opened, data, "neither a picture nor a trajectory")
    refuse(opened, good + b"\0" * 10_000_000, "larger than 10 MB")
    for data in (b"GIF89a", image_file.MAGIC[0] + good):
        refuse(opened, data, "no settings")


def test_a_file_that_is_not_there(registry, opened):
    open_file = next(f.fn for f in opened.tab[0].fns.values() if f.name == "open_file")
    for path in (None, "/nowhere", 7):
        *_, packet = asyncio.run(open_file(Window("a"), path, "mnist"))
        assert "did not arrive" in packet["error"]


def test_what_was_running_in_that_window_is_stopped_by_a_film_and_by_nothing_else(good, registry, opened, tmp_path):
    demo, _ = opened.tab
    open_file = next(f.fn for f in demo.fns.values() if f.name == "open_file")
    asked = (2, "none", 0, "mnist", "ddim", 1000, 1, False, 0, "small", "linspace", True)
    (tmp_path / "good").write_bytes(good)
    (tmp_path / "bad").write_bytes(b"hello")

    async def scenario():
        stream = handler(demo, "reverse-generate")(Window("b"), *asked)
        await anext(stream)
        for window, name in (("b", "bad"), ("a", "good")):
            await open_file(Window(window), str(tmp_path / name), "mnist")
            assert not (await anext(stream)).get("done")
        await open_file(Window("b"), str(tmp_path / "good"), "mnist")
        return [packet async for packet in stream][-1]

    assert asyncio.run(scenario())["stopped"]


def test_extra_words_in_a_recipe_are_not_kept(good):
    metadata, tensors = parts_of(good)
    metadata["recipe"] = json.dumps(json.loads(metadata["recipe"]) | {"evil": "x" * 1000})
    assert "evil" not in trajectory_file.read_recording(safetensors.torch.save(tensors, metadata)).parameters
