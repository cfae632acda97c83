"""python -m ddpm train --init: a run that begins with another model's weights, and what it refuses."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import torch
from helpers.runs import interrupt_at, put

from ddpm import load_checkpoint, save_checkpoint
from ddpm.config import Config, ModelConfig, ScheduleConfig
from ddpm.networks import build_model
from ddpm.presets import PRESETS

DRAWN = ModelConfig(base=16, t_dim=8, mults=(1,), img_size=8, num_classes=2, prediction="x0")


@pytest.fixture
def init(tmp_path):
    """The folder of a checkpoint: init(num_classes=5, ...) -> its path."""

    def build(**changes):
        config = Config(ModelConfig(**(vars(DRAWN) | changes)), ScheduleConfig(T=30, kind="log_snr"))
        save_checkpoint(tmp_path / "init", build_model(config.model, 3), config, {"dataset": "mnist"})
        return tmp_path / "init"

    return build


def test_network_and_schedule_are_the_checkpoints_and_the_training_the_presets(train, init, pictures, tmp_path):
    source = init()
    result = train("--steps", 1, "--init", source, "--dataset", pictures, "--seed", 4, "--out", tmp_path / "run")
    assert result.code == 0 and f"begun from the weights of {source}\n" in result.err
    loaded, before = load_checkpoint(tmp_path / "run"), load_checkpoint(source)
    assert (loaded.config.model, loaded.config.schedule) == (before.config.model, before.config.schedule)
    assert loaded.config.train.lr == PRESETS["fast"].train.lr and loaded.config.train.seed == 4
    for name, value in loaded.model.state_dict().items():
        near = (value - before.model.state_dict()[name]).abs().max()
        assert near < 0.02, name  # a step away, where a random network is 0.1 to 3
    assert f"| begun from | the weights of {source} |" in (tmp_path / "run" / "README.md").read_text()


def test_other_labels_begin_anew_and_that_is_said(train, init, pictures, tmp_path):
    source = init(num_classes=5)
    result = train("--steps", 1, "--init", source, "--dataset", pictures, "--out", tmp_path / "run")
    said = f"the weights of {source}, the embedding of 2 classes begun anew"
    assert result.code == 0 and f"begun from {said}" in result.err
    loaded = load_checkpoint(tmp_path / "run")
    assert loaded.class_names == ("even", "odd") and loaded.info["begun_from"] == said


def test_an_interrupted_run_goes_on_without_it(train, init, pictures, tmp_path, monkeypatch):
    source, whole, parts = init(), tmp_path / "whole", tmp_path / "parts"
    assert train("--steps", 6, "--init", source, "--dataset", pictures, "--out", whole).code == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        assert train("--steps", 6, "--init", source, "--dataset", pictures, "--out", parts).code == 143
    assert "--init: the run in" in train("--resume", "--init", "other", "--out", parts).err
    (source / "model.safetensors").unlink()
    assert train("--resume", "--out", parts).code == 0
    a, b = (load_checkpoint(out) for out in (whole, parts))
    assert all(torch.equal(value, b.model.state_dict()[name]) for name, value in a.model.state_dict().items())
    assert a.info["begun_from"] == b.info["begun_from"] == f"the weights of {source}"


def test_what_does_not_fit_is_one_line(train, init, tmp_path):
    put(tmp_path / "grey", "1.png")
    put(tmp_path / "grey", "2.png")
    given = ("--steps", 1, "--dataset", f"folder:{tmp_path / 'grey'}", "--out", tmp_path / "run", "--init")
    for source, words in ((init(in_ch=3), "draws pictures that are 8 x 8, in colour"), ("none", "not a checkpoint")):
        result = train(*given, source)
        assert result.code == 2 and words in result.err and result.err.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_a_zip_of_pictures_is_a_data_set(train, tiny_preset, tmp_path):
    for name in ("cat/1.png", "dog/2.png", "dog/3.png"):
        (tmp_path / "pets").mkdir(exist_ok=True)
        put(tmp_path / "pets", name)
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as file:
        for path in (tmp_path / "pets").rglob("*.png"):
            file.write(path, path.relative_to(tmp_path))
    folder, packed = (
        train("--steps", 2, "--dataset", each, "--out", tmp_path / each[:3])
        for each in (f"folder:{tmp_path}/pets", f"zip:{tmp_path}/pets.zip")
    )
    assert folder.code == packed.code == 0 and "2 classes: cat (1), dog (2)" in packed.err
    a, b = (load_checkpoint(tmp_path / each).model.state_dict() for each in ("fol", "zip"))
    assert all(np.array_equal(value, b[name]) for name, value in a.items())
