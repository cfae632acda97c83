"""python -m ddpm train-autoencoder: the folder it writes, that it goes on, what it holds out, and bad input."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm import load_dataset
from ddpm.cli import autoencoder_run, main
from ddpm.storage.checkpoint import load_training

FILES = {"README.md", "config.json", "model.safetensors", "training.safetensors"}


def folder(path, n):
    path.mkdir()
    for i, shades in enumerate(np.random.default_rng(0).integers(0, 256, (n, 32, 32), dtype=np.uint8)):
        Image.fromarray(shades).save(path / f"{i:02}.png")
    return f"folder:{path}"


@pytest.fixture
def train(capsys):
    def command(*argv):
        try:
            code = main(["train-autoencoder", *map(str, argv)])
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err

    return command


@pytest.mark.slow
def test_an_interrupted_and_resumed_run_is_the_uninterrupted_one(train, tmp_path, monkeypatch):
    dataset, whole, parts = folder(tmp_path / "pictures", 20), tmp_path / "whole", tmp_path / "parts"
    code, said = train("--steps", 3, "--dataset", dataset, "--out", whole)
    assert code == 0 and "4 pictures that it has not seen" in said
    assert {p.name for p in whole.iterdir()} == FILES and "4 pictures that it has not" in (
        whole / "README.md"
    ).read_text()

    def interrupted(*args, fit=autoencoder_run.fit_autoencoder, **options):
        for state in fit(*args, **options):
            if state.step == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            yield state

    with monkeypatch.context() as patch:
        patch.setattr(autoencoder_run, "fit_autoencoder", interrupted)
        code, said = train("--steps", 3, "--dataset", dataset, "--out", parts)
    assert code == 143 and "at step 2" in said and "--resume" in said
    assert {p.name for p in parts.iterdir()} == FILES and "has not seen" not in (parts / "README.md").read_text()
    assert train("--resume", "--out", parts)[0] == 0
    a, b = load_training(whole)[0], load_training(parts)[0]
    assert a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()
    code, said = train("--resume", "--out", parts)
    assert code == 2 and "--steps or --minutes" in said


def test_what_is_held_out_is_not_trained_on(tmp_path):
    dataset = load_dataset(folder(tmp_path / "pictures", 11))
    held_out, images = autoencoder_run.held_out_of(dataset, {"dataset": dataset.name, "data_dir": "data"})
    assert len(held_out.images) == 2 and held_out.labels is None
    assert torch.equal(held_out.images, dataset.images[[0, 5]])
    assert torch.equal(images, dataset.images[[1, 2, 3, 4, 6, 7, 8, 9, 10]])
    bundled = load_dataset("bundled")
    held_out, images = autoencoder_run.held_out_of(bundled, {"dataset": "bundled", "data_dir": "data"})
    assert (len(held_out.images), len(images)) == (2000, 8000)
    assert torch.equal(held_out.labels, bundled.labels[::5]) and torch.equal(held_out.images, bundled.images[::5])


def test_too_few_pictures_are_one_line_and_leave_nothing(train, tmp_path):
    code, said = train("--steps", 1, "--dataset", folder(tmp_path / "pictures", 4), "--out", tmp_path / "run")
    assert code == 2 and "4 pictures are too few" in said and "Traceback" not in said
    assert not (tmp_path / "run").exists()
