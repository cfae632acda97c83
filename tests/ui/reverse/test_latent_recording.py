"""A reverse process of latents on the page: its channels beside what they decode to, and its file."""

import asyncio
import dataclasses
import json
import re

import gradio as gr
import numpy as np
import pytest
import safetensors.torch
import torch
from helpers.latents import with_latents
from helpers.pages import Window, handler, picture
from helpers.reversing import finished, run, settings

from ddpm.data import to_uint8
from ddpm.ui.generation import trajectory_file
from ddpm.ui.generation.recording import REACH
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.tabs.reverse import tab as reverse


@pytest.fixture
def registry(registry):
    return with_latents(registry)


@pytest.fixture
def drawn(registry):
    return finished(registry, weights_id="latent", n=3, steps=6, seed=21)


def as_channels(z):
    return to_uint8(z / REACH).numpy().ravel()


def test_a_frame_has_the_channels_of_what_is_decoded(registry, drawn):
    codec = registry.get("latent").model.codec
    moments = list(drawn.sampler.steps(3, drawn.settings.y(), 21))
    for frame, moment in zip(drawn.frames, moments, strict=True):
        for name in ("x_t", "x0_hat", "eps_hat"):
            z = getattr(moment, name)
            if z is None:
                assert frame["t"] == -1 and name not in frame["latents"] and frame[name] is None
                continue
            assert np.array_equal(picture(frame["latents"][name]), as_channels(z)), name
            assert np.array_equal(picture(frame[name]), to_uint8(codec.decode(z)).numpy().ravel()), name
    assert drawn.packet([])["latent"] == {"channels": 8, "side": 4}
    assert len(json.dumps(drawn.frames[0]["latents"])) < len(json.dumps(drawn.frames[0])) / 5, "little beside the rest"


def test_of_pixels_there_are_no_channels(registry):
    of_pixels = finished(registry)
    assert of_pixels.packet([])["latent"] is None and all(frame["latents"] is None for frame in of_pixels.frames)


def test_a_file_of_latents_opens_as_it_was_saved(registry, drawn, opened):
    data, count = trajectory_file.write(drawn)
    *values, packet = opened(data, "latent")
    assert count == 7 and packet["opened"].startswith("Opened: 7 moments of 3 digits. Play it, or branch")
    assert values[reverse.FIELDS.index("weights_id")] == "latent"
    for ours, theirs in zip(packet["frames"], drawn.frames, strict=True):
        for name in ("step", "t", "s", "signal", "x_t", "x0_hat", "eps_hat"):
            assert ours[name] == theirs[name], name
        of_x_t = [picture(frame["latents"].pop("x_t")).astype(int) for frame in (ours, theirs)]
        assert np.abs(of_x_t[0] - of_x_t[1]).max() <= 1, "float16 of the same"
        assert ours["latents"] == theirs["latents"]
    sent = drawn.packet([])
    assert all(packet[name] == sent[name] for name in ("n", "size", "channels", "latent", "total", "times", "signal"))


def test_it_branches_as_the_original_does_and_can_be_saved_again(registry, drawn, opened):
    data, _ = trajectory_file.write(drawn)
    *_, packet = opened(data, "latent")
    asked = {"n": 1, "choice": "7", "seed": 4, "weights_id": "latent", "sampler": "ddim", "steps": 9, "guidance": 1}
    asked |= {"middle": False, "eta": 0, "variance": "small", "spacing": "linspace", "clip": True}

    async def press():
        fork = handler(opened.tab[0], "reverse-branch")
        return [p async for p in fork(Window("a"), {"run": packet["run"], "index": 2}, *asked.values())]

    packets = asyncio.run(press())
    frames = [frame for p in packets for frame in p["frames"]]
    other = settings(registry, weights_id="latent", choice="7", seed=4, guidance=1)
    original = run(Trajectory.branch(drawn, 2, other))
    assert packets[-1]["done"] and not packets[-1]["error"] and len(frames) == len(original) == 5
    for ours, theirs in zip(frames, original, strict=True):
        assert np.abs(picture(ours["x_t"]).astype(int) - picture(theirs["x_t"])).max() <= 2
    assert not np.array_equal(picture(frames[-1]["x_t"]), picture(packet["frames"][-1]["x_t"]))
    again, count = trajectory_file.write(trajectory_file.read_recording(data))
    again, first = safetensors.torch.load(again), safetensors.torch.load(data)
    assert count == 7 and again.keys() == first.keys() and all(torch.equal(again[name], first[name]) for name in first)
    answer = asyncio.run(opened.tab[1]["reverse-view"].readings({"run": packet["run"], "i": 1}))
    assert len(answer["classes"]) == 7


def test_where_its_weights_are_not_it_plays(registry, drawn, opened):
    missing = dataclasses.replace(drawn.autoencoder, folder="elsewhere")
    drawn.parameters |= {"weights": "trained elsewhere"}
    drawn.autoencoder = missing
    *_, packet = opened(trajectory_file.write(drawn)[0])
    assert packet["done"] and len(packet["frames"]) == 7 and "nothing branches from it" in packet["opened"]
    assert [frame["x_t"] for frame in packet["frames"]] == [frame["x_t"] for frame in drawn.frames]


def changed(data, change):
    length = int.from_bytes(data[:8], "little")
    about, tensors = json.loads(data[8 : 8 + length])["__metadata__"], safetensors.torch.load(data)
    change(about, tensors)
    return safetensors.torch.save({name: value.contiguous() for name, value in tensors.items()}, about)


def named(**name):
    return lambda about, tensors: about.update(autoencoder=json.dumps(name))


def shaped(name, shape):
    return lambda about, tensors: tensors.update({name: tensors[name].reshape(shape)})


HOSTILE = [
    (named(folder="small", sha256="0" * 64), "its latents are of another small than the one here"),
    (named(folder="small"), "does not say which autoencoder"),
    (named(folder="../small", sha256="0" * 64), "does not say which autoencoder"),
    (named(path="small"), "does not say which autoencoder"),
    (lambda about, _: about.update(autoencoder="[]"), "does not say which autoencoder"),
    (lambda about, _: about.update(autoencoder="{"), "neither a picture nor a trajectory"),
    (lambda about, _: about.pop("autoencoder"), "does not say which autoencoder"),
    (lambda about, _: about.update(version="1"), "does not hold what it should"),
    (lambda _, tensors: tensors.pop("x_t_shown"), "does not hold what it should"),
    (shaped("x_t", (7, 3, 8, 2, 8)), "its latents are not square"),
    (shaped("x_t", (7, 3, 128, 1, 1)), "its latents are 128 x 1 x 1, and at most 64"),
    (shaped("x_t", (7, 1, 24, 4, 4)), "has not the shape"),
    (shaped("x_t_shown", (7, 3, 4, 16, 16)), "4 channels"),
    (shaped("x0_hat_latent", (7, 3, 2, 8, 8)), "x0_hat_latent has not the shape"),
    (lambda _, tensors: tensors["x_t"].fill_(float("nan")), "x_t has numbers that are not finite"),
]


def test_a_strangers_file_of_latents_is_refused_in_one_sentence(drawn, opened):
    good = trajectory_file.write(drawn)[0]
    for change, words in HOSTILE:
        *values, packet = opened(changed(good, change), "latent")
        assert values == [gr.skip()] * len(reverse.FIELDS) and set(packet) == {"error"}
        assert re.search(words, packet["error"]), packet
        assert len(packet["error"]) < 130 and "\n" not in packet["error"] and "/" not in packet["error"]


def test_frames_of_another_autoencoder_are_not_branched_from(registry, drawn):
    opened = trajectory_file.read_recording(trajectory_file.write(drawn)[0])
    assert opened.belongs_to(drawn.settings)
    assert not opened.belongs_to(settings(registry, n=3, steps=6)), "which draws pixels"
    opened.autoencoder = dataclasses.replace(opened.autoencoder, sha256="0" * 64)
    assert not opened.belongs_to(drawn.settings)
