"""Configurations refuse what makes no network, schedule or run, and survive JSON."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch
import torch.nn as nn

from ddpm.config import (
    Config,
    ModelConfig,
    SamplingConfig,
    ScheduleConfig,
    TrainConfig,
    config_of,
    from_dict,
    to_dict,
)
from ddpm.data import Attribute, Dataset
from ddpm.generate import num_evaluations
from ddpm.guidance import Guided
from ddpm.networks import network
from ddpm.presets import PAGE_SAMPLING, PRESETS, for_dataset, training_sampling
from ddpm.schedule import make_schedule
from ddpm.spacing import timesteps
from ddpm.unet import UNet


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name):
    assert from_dict(json.loads(json.dumps(to_dict(PRESETS[name])))) == PRESETS[name]


def test_the_tutorial_preset_is_the_tutorials_recipe():
    model, schedule, train = (getattr(PRESETS["tutorial"], part) for part in ("model", "schedule", "train"))
    assert (model.in_ch, model.base, model.t_dim, model.mults, model.img_size) == (1, 64, 128, (1, 2, 4), 32)
    assert (model.num_classes, model.attention, model.patch_size, model.prediction) == (0, (), 1, "eps")
    assert (schedule.T, schedule.beta_start, schedule.beta_end, schedule.kind) == (1000, 1e-4, 2e-2, "linear")
    assert (train.epochs, train.batch_size, train.lr, train.weight_decay) == (30, 128, 2e-4, 0.01)
    assert (train.grad_clip, train.ema_decay, train.precision) == (1.0, 0.9999, "float32")
    assert (train.muon_lr, train.t_sampling, model.zero_init) == (0.0, "uniform", False)
    assert not (train.ema_warmup or train.lr_decay or train.lr_warmup or train.label_dropout)


def test_where_weights_ship_the_ema_is_warmed_up():
    assert all(PRESETS[name].train.ema_warmup for name in ("fast", "best"))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_builds_its_network(name):
    assert network(PRESETS[name].model).config == PRESETS[name].model


def test_configurations_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PRESETS["tutorial"].model.base = 8


def test_lists_become_tuples_so_that_equal_configurations_are_equal():
    assert ModelConfig(mults=[1, 2, 4], attention=[8]) == ModelConfig(mults=(1, 2, 4), attention=(8,))


BAD_MODEL = [
    {"in_ch": 0},
    {"in_ch": 5},
    {"in_ch": 1.0},
    {"in_ch": True},
    {"base": 20},
    {"base": 0},
    {"base": "64"},
    {"base": 10**9},
    {"t_dim": 7},
    {"t_dim": 0},
    {"mults": ()},
    {"mults": (1, 0)},
    {"mults": "12"},
    {"mults": 3},
    {"mults": (17,)},
    {"mults": (1,) * 7},
    {"num_classes": -1},
    {"num_classes": None},
    {"patch_size": 3},
    {"patch_size": 2.0},
    {"patch_size": True},
    {"patch_size": []},
    {"img_size": 30},
    {"img_size": 2},
    {"img_size": 10**6},
    {"attention": (7,)},
    {"attention": (64,)},
    {"attention": 8},
    {"prediction": "noise"},
    {"prediction": []},
]
BAD_SCHEDULE = [
    {"T": 0},
    {"T": -5},
    {"T": 2.5},
    {"T": 10**9},
    {"beta_start": 0},
    {"beta_start": float("nan")},
    {"beta_end": 1},
    {"beta_end": 10**400},
    {"beta_end": "x"},
    {"beta_end": float("inf")},
    {"kind": "quadratic"},
    {"kind": {}},
]
BAD_TRAIN = [
    {"epochs": 0},
    {"batch_size": 0},
    {"batch_size": 10**9},
    {"lr": 0},
    {"lr": float("nan")},
    {"lr": 2},
    {"lr": None},
    {"lr_warmup": -1},
    {"lr_decay": 1},
    {"weight_decay": -0.1},
    {"grad_clip": 0},
    {"grad_clip": 10**400},
    {"ema_decay": 1},
    {"ema_decay": -0.1},
    {"ema_warmup": "yes"},
    {"label_dropout": 1.5},
    {"precision": "float16"},
    {"seed": -1},
    {"seed": 2**63},
]
BAD = [
    *((ModelConfig, "model", bad) for bad in BAD_MODEL),
    *((ScheduleConfig, "schedule", bad) for bad in BAD_SCHEDULE),
    *((TrainConfig, "train", bad) for bad in BAD_TRAIN),
]


@pytest.mark.parametrize(("cls", "part", "bad"), BAD, ids=lambda v: str(v)[:40] if isinstance(v, dict) else "")
def test_a_bad_field_is_refused_by_name(cls, part, bad):
    (field,) = bad
    with pytest.raises(ValueError, match=rf"^{field}: ") as error:
        cls(**bad)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=rf"^{part}\.{field}: "):
        from_dict({part: bad})


@pytest.mark.parametrize("garbage", [None, [], "x", 3, {"model": []}, {"train": "x"}, {"schedule": None}])
def test_garbage_is_not_a_configuration(garbage):
    with pytest.raises(ValueError):
        from_dict(garbage)


def test_an_unknown_field_is_named():
    with pytest.raises(ValueError, match="model: unknown field width"):
        from_dict({"model": {"width": 3}})


def test_missing_parts_are_the_defaults():
    assert from_dict({}) == Config()


def test_for_dataset_takes_channels_and_seed_and_classes_only_where_there_are_classes():
    seven = Dataset("seven", torch.zeros(1, 3, 32, 32), None, tuple("abcdefg"), mirrored=True)
    colour = for_dataset(PRESETS["fast"], seven, seed=5)
    assert (colour.model.in_ch, colour.model.num_classes, colour.train.seed) == (3, 7, 5)
    assert (colour.schedule, colour.train.flip) == (PRESETS["fast"].schedule, True)
    plain = dataclasses.replace(seven, images=torch.zeros(1, 1, 32, 32), class_names=(), mirrored=False)
    assert for_dataset(PRESETS["tutorial"], seven).model.num_classes == 0
    assert for_dataset(PRESETS["fast"], plain).model.num_classes == 0
    assert not for_dataset(PRESETS["fast"], plain).train.flip


def test_for_dataset_keeps_the_maps_of_a_network_at_another_size_and_takes_attributes():
    faces = (Attribute("glasses", ("no", "yes")), Attribute("skin", ("light", "middle", "dark")))
    small = Dataset("faces", torch.zeros(1, 3, 16, 16), None, attributes=faces)
    model = for_dataset(PRESETS["fast"], small).model
    assert (model.img_size, model.patch_size, model.attributes, model.num_classes) == (16, 1, (2, 3), 0)
    assert model.conditional
    assert for_dataset(PRESETS["tutorial"], small).model.attributes == ()


def test_for_dataset_leaves_the_size_of_latents():
    small = Dataset("small", torch.zeros(1, 1, 16, 16), None)
    model = PRESETS["latent"].model
    assert for_dataset(PRESETS["latent"], small).model == dataclasses.replace(model, num_classes=0)
    with pytest.raises(ValueError, match="img_size: a multiple of 4"):
        for_dataset(PRESETS["fast"], Dataset("odd", torch.zeros(1, 1, 18, 18), None))


def test_a_network_says_what_it_is_made_of_unless_it_is_somebody_elses():
    config = ModelConfig(base=8, t_dim=8, mults=(1, 2))
    assert config_of(UNet(**vars(config))) == config
    with pytest.raises(TypeError, match="Linear"):
        config_of(nn.Linear(1, 1))


def test_a_young_network_is_asked_otherwise_and_at_the_same_cost():
    stages = [training_sampling(seen, 1000) for seen in (0, 12_000, 30_000, 60_000, 120_000)]
    assert [training_sampling(seen, 1000) for seen in (11_999, 29_999, 59_999, 119_999, 10**9)] == stages
    assert [sampling.sampler for sampling in stages] == ["ddpm"] * 3 + ["ddim"] * 2
    assert [sampling.guidance for sampling in stages[:3]] == [2.5, 2.0, 1.75], "the less it has seen, the more"
    assert stages[0].interval(1000) == (0, 1000) and stages[-1].interval(1000) == (300, 650)
    assert training_sampling(0, 4).num_steps == training_sampling(10**6, 4).num_steps == 4
    for sampling in (*stages, PAGE_SAMPLING):
        guided = Guided(SimpleNamespace(prediction="v"), sampling.guidance, sampling.interval(1000))
        assert num_evaluations(guided, timesteps(make_schedule(), sampling.num_steps)) == 20


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampler": "euler"},
        {"num_steps": 0},
        {"eta": 1.5},
        {"guidance": -1},
        {"guide_from": 2},
        {"guide_to": float("nan")},
    ],
)
def test_sampling_out_of_range_is_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SamplingConfig(**wrong)
