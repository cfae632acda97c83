"""A training in latent space on the page: shown in pixels, used, saved, opened and kept as any other."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest
import torch
from helpers.pages import Window, alone, handler, picture
from helpers.training_runs import few_digits, quick  # noqa: F401 (fixtures)

from ddpm import q_sample
from ddpm.data import Dataset, to_uint8
from ddpm.presets import PRESETS
from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory import Costs, Trajectory
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.compare.lanes import Race
from ddpm.ui.tabs.train import request, run_store, zip_file
from ddpm.ui.tabs.train import tab as train

HOW = {"sampler": "ddim", "steps": 3, "guidance": 2.0, "middle": False, "eta": 0}


@pytest.fixture(autouse=True)
def on_few_digits(few_digits):  # noqa: F811 (the fixture)
    """All of these."""


def trained(steps=3):
    run = request.check("latent", "bundled", "steps", steps, *request.more_of(PRESETS["latent"]))
    for _ in run.steps():
        pass
    return run


def test_a_run_is_shown_in_pixels():
    run = trained()
    packet = run.packet()
    assert (packet["size"], packet["channels"], packet["n"]) == (32, 1, 20) and packet["step"] == 3
    shown = packet["frames"][-1]
    assert len(picture(shown["averaged"])) == len(picture(shown["live"])) == 20 * 32 * 32
    assert len(shown["averaged_digits"]) == 20 and len(shown["levels"]) == 10
    detail = run.levels.detail(run.weights("").model, 5)
    assert all(len(picture(detail[name])) == 4 * 1024 for name in ("input", "target", "prediction", "residual"))


def test_what_a_level_shows_is_a_noisy_latent_decoded():
    levels = trained(1).levels
    chosen, t = torch.arange(2), torch.tensor([100, 700])
    x0, noise, z_t = levels.noised(chosen, t)
    assert x0.shape == (2, 8, 4, 4) and torch.allclose(z_t, q_sample(x0, t, noise, levels.sched), atol=1e-6)
    expected = to_uint8(levels.codec.decode(z_t)).numpy().ravel()
    assert np.array_equal(picture(levels.shown(z_t)), expected)


def test_its_weights_draw_race_and_are_measured_as_any_other(registry):
    registry.put("mine", trained().weights("mine"))
    asked = {"n": 4, "choice": "all in turn", "seed": 0, "weights_id": "mine"} | HOW
    settings = Settings.check(registry, **asked)
    run = Trajectory(settings)
    frames = [frame for frame in run.steps() if frame]
    codec = settings.weights.model.codec
    assert len(picture(frames[-1]["x_t"])) == 4 * 1024 and run.states[-1].shape == (4, 8, 4, 4)
    expected = to_uint8(codec.decode(run.states[-1])).permute(0, 2, 3, 1).numpy().ravel()
    assert np.array_equal(picture(frames[-1]["x_t"]), expected), "decoded at the exit"
    branch = Trajectory.branch(run, 1, dataclasses.replace(settings, seed=5))
    assert [frame for frame in branch.steps() if frame][-1]["t"] == -1
    race = Race({"A": settings, "B": dataclasses.replace(settings, seed=1)})
    assert all(len(picture(frame["x_t"])) == 4 * 1024 for frame in race.steps() if frame)
    assert all(len(lane["read"]) == 4 for lane in race.packet([])["lanes"])
    engine = Engine()
    assert "about" in asyncio.run(Costs(engine).sentence(settings))


def test_a_zip_of_it_opens_again(registry, tmp_path):
    run = trained()
    path = tmp_path / "latent.zip"
    path.write_bytes(zip_file.write(run.reached.ema_model(), run.config, run.info(), "latent"))
    loaded = zip_file.read(path)
    assert loaded.config.autoencoder == run.codec.name and loaded.model.codec.name == run.codec.name
    half = {name: value.half().float() for name, value in run.reached.ema_model().state_dict().items()}
    assert all(torch.equal(value, half[name]) for name, value in loaded.model.state_dict().items())


def test_a_kept_run_comes_back_with_its_autoencoder(tmp_path):
    first = run_store.Runs(Engine(), tmp_path)
    run = request.check("latent", "bundled", "steps", 3, *request.more_of(PRESETS["latent"]))
    first.start(run)
    run.job.finished.result(timeout=60)
    first.engine.close()
    first.save()
    again = run_store.Runs(Engine(), tmp_path).get(run.id)
    assert again.codec.name == run.codec.name and again.packet()["kept"] == run.packet()["kept"]
    assert again.weights("").img_size == 32


def test_the_tab_trains_and_other_pictures_are_refused(registry, monkeypatch):
    _, named, _ = alone(train, registry)
    assert ("latent: in latent space", "latent") in named["train-preset"].choices
    demo, _, _ = alone(train, registry)
    more = request.more_of(PRESETS["latent"])

    async def press(*asked):
        return [packet async for packet in handler(demo, "train-start")(Window("a"), *asked, None)][-1]

    packet, *_ = asyncio.run(press("latent", "bundled", "steps", 2, *more))
    assert packet["done"] and not packet["error"] and packet["step"] == 2
    colour = Dataset(
        "cifar10", torch.zeros(40, 3, 32, 32, dtype=torch.uint8), torch.arange(40) % 10, tuple("abcdefghij")
    )
    monkeypatch.setattr(request, "dataset", lambda name: colour)
    packet, *_ = asyncio.run(press("latent", "cifar10", "steps", 2, *more))
    assert packet["error"] == "Data: the autoencoder of latent knows other pictures than those of cifar10."
