"""python -m ddpm train: the folder it writes, what an interruption leaves, and that one can go on."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import signal
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.runs import FILES, interrupt_at, rows
from PIL import Image

from ddpm import PRESETS, fit, load_checkpoint, load_dataset, make_schedule
from ddpm.cli import train_run
from ddpm.cli.followed import Interrupt
from ddpm.data import describe
from ddpm.evaluation.losses import held_out_loss
from ddpm.networks import build_model
from ddpm.presets import for_dataset
from ddpm.storage.checkpoint import load_training

MAIN = importlib.import_module("ddpm.cli.commands")


def test_the_folder_and_that_it_holds_what_fit_makes(train, tiny_preset, tmp_path):
    out = tmp_path / "deep" / "run"
    result = train("--steps", 6, "--seed", 3, "--out", out)
    assert (result.code, result.err) == (0, describe(load_dataset("bundled", img_size=8)) + "\n")
    assert {p.name for p in out.iterdir()} == FILES

    data = load_dataset("bundled", img_size=8)
    config = for_dataset(tiny_preset, data, seed=3)
    model, sched = build_model(config.model, 3), make_schedule(20, kind="cosine")
    states = list(fit(model, data.images, data.labels, sched=sched, config=config.train, steps=6))
    loaded = load_checkpoint(out)
    assert loaded.config == config
    for name, value in states[-1].ema_model().state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value.half().float()), name
    assert [(r["step"], r["images"], r["loss"], r["loss_smooth"]) for r in rows(out)] == [
        (str(s.step), str(s.images_seen), f"{s.loss:.5f}", f"{s.loss_smooth:.5f}") for s in states[1::2]
    ]
    info = loaded.info
    assert (info["dataset"], info["images_in_dataset"], info["step"], info["images_seen"]) == ("bundled", 10_000, 6, 48)
    assert info["class_names"] == list("0123456789") and info["held_out_loss"] is None
    assert info["parameters"] == sum(p.numel() for p in model.parameters())


def test_the_card_the_curve_and_the_grid(train, pictures, tmp_path):
    out = tmp_path / "run"
    assert train("--steps", 4, "--dataset", pictures, "--out", out).code == 0
    card = (out / "README.md").read_text()
    for words in ("# run", "class-conditional (2 classes", "v-prediction", "cosine", "T = 20", "20 training images"):
        assert words in card
    assert "python -m ddpm" in card and "float16" in card and "no test split" in card
    for linked in ("loss.svg", "samples.png"):
        assert f"]({linked})" in card and (out / linked).is_file()
    curve = ET.parse(out / "loss.svg")
    lines = curve.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(lines[0].get("points").split()) == len(rows(out)) == 2
    with Image.open(out / "samples.png") as picture:
        assert picture.size == (2 * (10 * 10 + 2), 2 * (10 * 10 + 2))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_and_resumed_run_is_the_uninterrupted_one(train, pictures, tmp_path, monkeypatch, number, code):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train("--steps", 8, "--dataset", pictures, "--out", whole).code == 0
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, number)
        result = train("--steps", 8, "--dataset", pictures, "--out", parts)
    began, saved = result.err.splitlines()
    assert result.code == code and began == describe(load_dataset(pictures, img_size=8))
    assert "step 5" in saved and "--resume" in saved
    assert {p.name for p in parts.iterdir()} == FILES - {"samples.png"}
    assert load_checkpoint(parts).info["step"] == 5 and len(rows(parts)) == 2
    assert train("--resume", "--out", parts).code == 0
    assert rows(parts) == rows(whole) and len(rows(whole)) == 4
    a, b = load_training(whole)[0], load_training(parts)[0]
    assert a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())
    for name in ("model.safetensors", "samples.png"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_a_warmed_up_average_and_the_tutorials_beside_it(train, tiny_preset, pictures, tmp_path, monkeypatch):
    """Interrupted and resumed, the literal average is still the exponential sum over all steps of its definition."""
    literal = dataclasses.replace(tiny_preset, train=dataclasses.replace(tiny_preset.train, ema_warmup=False))
    monkeypatch.setitem(PRESETS, "fast", literal)
    seen, out = [], tmp_path / "run"

    def watched(model, *args, **options):
        if not seen:
            seen.append({k: v.clone() for k, v in model.state_dict().items()})
        for state in fit(model, *args, **options):
            seen.append({k: v.clone() for k, v in model.state_dict().items()})
            if state.step == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            yield state

    monkeypatch.setattr(train_run, "fit", watched)
    options = ("--dataset", pictures, "--precision", "float32", "--ema-warmup", "--out", out)
    assert train("--steps", 5, *options).code == 143
    assert train("--resume", "--out", out).code == 0

    d, loaded = literal.train.ema_decay, load_checkpoint(out)
    assert loaded.config.train.ema_warmup and loaded.config.train.precision == "float32"
    tensors = load_training(out)[0]
    for name, start in seen[0].items():
        expected = d**5 * start + (1 - d) * sum(d ** (5 - i) * weights[name] for i, weights in enumerate(seen) if i)
        torch.testing.assert_close(tensors["literal_ema." + name], expected, rtol=1e-5, atol=1e-7)
    card = (out / "README.md").read_text()
    assert f"{d**5:.0%} of it is still the random initialisation" in card
    names = ("samples.png", "samples_literal_ema.png")
    assert all(f"]({name})" in card for name in names)
    assert len({(out / name).read_bytes() for name in names}) == 2


def test_one_average_where_the_preset_warms_it_up_anyway(train, pictures, tmp_path):
    assert train("--steps", 2, "--dataset", pictures, "--ema-warmup", "--out", tmp_path / "run").code == 0
    assert {p.name for p in (tmp_path / "run").iterdir()} == FILES


def test_a_resumed_run_keeps_data_seed_and_recipe_and_may_get_a_larger_budget(train, pictures, tmp_path):
    out = tmp_path / "run"
    assert train("--steps", 2, "--dataset", pictures, "--seed", 4, "--out", out).code == 0
    with (out / "metrics.csv").open("a") as file:  # a row of a step that was not saved
        file.write("4,32,1.0,0.001,0.5,0.5,\n")
    config = load_checkpoint(out).config
    assert config.train.seed == 4 and config.model.num_classes == 2
    again = train("--resume", "--out", out)
    assert again.code == 2 and "spent its budget" in again.err and again.err.count("\n") == 1
    assert (
        train("--resume", "--steps", 3, "--out", out, "--seed", 4, "--preset", "fast", "--dataset", pictures).code == 0
    )
    loaded = load_checkpoint(out)
    assert loaded.config == config and loaded.info["step"] == 3 and loaded.info["dataset"] == pictures
    assert [row["step"] for row in rows(out)] == ["2"]


def test_budgets_in_epochs_and_minutes(train, pictures, tmp_path):
    assert train("--epochs", 3, "--dataset", pictures, "--out", tmp_path / "a").code == 0
    assert load_checkpoint(tmp_path / "a").info["step"] == 3 * 2  # 20 pictures, batches of 8
    assert train("--dataset", pictures, "--out", tmp_path / "b").code == 0
    assert load_checkpoint(tmp_path / "b").info["step"] == 2  # the preset's one epoch
    assert train("--minutes", 0.01, "--dataset", pictures, "--out", tmp_path / "c").code == 0
    assert 0.6 <= load_checkpoint(tmp_path / "c").info["seconds"] < 20


def test_without_sub_folders_the_model_has_no_classes(train, tmp_path):
    (tmp_path / "flat").mkdir()
    for i in range(3):
        Image.fromarray(np.full((8, 8, 3), i * 60, dtype=np.uint8)).save(tmp_path / "flat" / f"{i}.png")
    assert train("--steps", 1, "--dataset", f"folder:{tmp_path / 'flat'}", "--out", tmp_path / "run").code == 0
    model = load_checkpoint(tmp_path / "run").config.model
    assert (model.in_ch, model.num_classes) == (3, 0)


def test_a_long_run_saves_on_the_way(train, pictures, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(train_run, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(train_run.Run, "save", lambda self, state: saved.append(state.step))
    assert train("--steps", 3, "--dataset", pictures, "--out", tmp_path / "run").code == 0
    assert saved[:3] == [1, 2, 3]


def test_with_a_test_split_the_held_out_loss_is_logged(train, pictures, tmp_path, monkeypatch):
    data = load_dataset(pictures, img_size=8)
    monkeypatch.setattr(train_run, "HELD_OUT_EVERY", 4)
    asked = []

    def load(name, data_dir, train=True, img_size=32):
        asked.append((name, str(data_dir), train, img_size))
        return data

    monkeypatch.setattr(MAIN.data, "load_dataset", load)
    out = tmp_path / "run"
    assert train("--steps", 4, "--dataset", "mnist", "--data-dir", "there", "--out", out).code == 0
    assert asked == [("mnist", "there", True, 8), ("mnist", "there", False, 8)]
    two, four = rows(out)
    assert two["held_out_loss"] == ""
    loaded = load_checkpoint(out)
    assert float(four["held_out_loss"]) == pytest.approx(loaded.info["held_out_loss"], abs=1e-5)
    expected = held_out_loss(loaded.model, data.images, data.labels, loaded.sched)
    assert loaded.info["held_out_loss"] == pytest.approx(expected, rel=1e-2)  # weights rounded to float16
    assert f"{loaded.info['held_out_loss']:.5f}" in (out / "README.md").read_text()


def test_divergence_is_one_line(train, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("ddpm.objective.F.mse_loss", lambda a, b, reduction: (a - b) * float("nan"))
    result = train("--steps", 3, "--dataset", pictures, "--out", tmp_path / "run")
    assert result.code == 2 and "learning rate" in result.err and result.err.count("\n") == 2


@pytest.mark.parametrize(("kind", "words"), [("cpu", "CPU cores"), ("mps", "MPS"), ("cuda", "Some GPU")])
def test_the_device_has_a_name_everywhere(monkeypatch, kind, words):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    run = SimpleNamespace(device=torch.device(kind), group=SimpleNamespace(size=1))
    assert train_run.Run.device_name(run).endswith(words)
    run.group.size = 2
    assert train_run.Run.device_name(run).startswith("2 processes on ")


def test_a_second_signal_ends_at_once_and_handlers_are_given_back():
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(SystemExit) as stop, Interrupt() as interrupt:
        assert interrupt.signal == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.signal == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.value.code == 130
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


PROCESS = """
import sys
from helpers.tiny import TINY_PRESET
from ddpm.cli import main, train_run
from ddpm.presets import PRESETS
from ddpm.storage import model_card

def reported(*args, fit=train_run.fit, **options):
    for state in fit(*args, **options):
        if state.step == 3:
            print("ready", flush=True)
        yield state

PRESETS["fast"], model_card.GRID_STEPS, train_run.fit = TINY_PRESET, 2, reported
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_process_that_is_interrupted_saves_and_can_go_on(python, train, pictures, tmp_path, number, code):
    out = tmp_path / "run"
    argv = ("train", "--steps", "1000000", "--dataset", pictures, "--out", str(out))
    process = python("-c", PROCESS, *argv, start=True)
    try:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert err.count("\n") == 2 and "--resume" in err
    step = json.loads((out / "config.json").read_text())["info"]["step"]
    assert 3 <= step < 1_000_000
    assert train("--resume", "--steps", step + 2, "--out", out).code == 0
    assert load_checkpoint(out).info["step"] == step + 2


def test_a_batch_in_parts_makes_the_same_steps(train, tmp_path):
    """8 pictures in 3 + 3 + 2: losses to rounding, each part weighed by its share."""
    losses = []
    for name, options in (("whole", ()), ("parts", ("--accumulate", 3))):
        result = train("--steps", 8, "--out", tmp_path / name, *options)
        assert result.code == 0, result.err
        losses.append([float(row["loss"]) for row in rows(tmp_path / name)])
    assert losses[1] == pytest.approx(losses[0], abs=2e-5) and len(losses[0]) == 4


def test_more_parts_than_pictures_are_refused(train, tmp_path):
    result = train("--steps", 8, "--accumulate", 9, "--out", tmp_path / "run")
    assert result.code == 2 and "--accumulate: 9 parts of a batch that has 8 pictures" in result.err


def test_the_model_is_compiled_if_asked(train, tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda model: compiled.append(type(model).__name__))
    assert train("--steps", 2, "--out", tmp_path / "a").code == 0 and compiled == []
    assert train("--steps", 2, "--out", tmp_path / "b", "--compile").code == 0 and compiled == ["UNet"]
