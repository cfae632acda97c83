"""A model of several attributes a picture, in colour and of 16 x 16, in every part of the page."""

from __future__ import annotations

import asyncio
import base64
import dataclasses

import numpy as np
import pytest
import torch
from helpers.edits import Tab, text
from helpers.reversing import finished, run, settings

from ddpm import save_checkpoint
from ddpm.config import Config, ModelConfig, ScheduleConfig, TrainConfig
from ddpm.data import Attribute, load_dataset
from ddpm.networks import build_model
from ddpm.ui import links
from ddpm.ui.components.pictures import Pictures
from ddpm.ui.generation import as_python
from ddpm.ui.generation.labels import in_turn, labels_of, read_attributes, text_of
from ddpm.ui.generation.models import ModelRegistry, attributes_called
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.generation.trajectory_file import read_recording, write
from ddpm.ui.server.engine import Engine
from ddpm.ui.server.protocol import b64
from ddpm.ui.tabs.edit import interpolate, invert
from ddpm.ui.tabs.edit.interpolate import Between
from ddpm.ui.tabs.train.training_run import TrainingRun

FACES = load_dataset("faces")
SIZES = tuple(len(each.values) for each in FACES.attributes)
TINY = ModelConfig(3, base=8, t_dim=8, mults=(1, 2), attributes=SIZES, img_size=16, prediction="v")
ASKED = "hair: long, hat: yes"


@pytest.fixture
def faces(registry, tmp_path, monkeypatch):
    """A registry with a tiny model of faces, its weights where copied lines look for them."""
    monkeypatch.chdir(tmp_path)
    config = Config(TINY, ScheduleConfig(kind="cosine"))
    info = {
        "dataset": "faces",
        "class_names": [],
        "attributes": [dataclasses.asdict(each) for each in FACES.attributes],
    }
    model = build_model(TINY)
    for p in model.parameters():  # as drawn it says hardly anything of labels
        p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1))
    save_checkpoint(registry.folder / "faces", model, config, info)
    registry.folder.rename(tmp_path / "checkpoints")
    return ModelRegistry(tmp_path / "checkpoints")


def test_a_text_of_attributes_says_a_label_and_back(faces):
    named = faces.get("faces").attributes
    assert named == FACES.attributes
    for label in ((1, -1, -1, 1, -1, -1, -1), (-1,) * 7, (0, 4, 1, 0, 1, 2, 1)):
        assert read_attributes(named, text_of(named, label)) == label
    assert text_of(named, (1, -1, -1, 1, -1, -1, -1)) == ASKED and text_of(named, (-1,) * 7) == "none"
    assert in_turn(labels_of(faces.get("faces"), ASKED), 2).tolist() == [[1, -1, -1, 1, -1, -1, -1]] * 2
    for wrong in ("hair", "hair: green", "3", "all in turn", "hair: long,hat: yes"):
        with pytest.raises(ValueError, match="none of this model's"):
            labels_of(faces.get("faces"), wrong)


def test_what_a_checkpoint_calls_its_attributes_is_taken_only_if_it_makes_sense():
    assert attributes_called([{"name": "hat", "values": ["no", "yes"]}], (2,)) == (Attribute("hat", ("no", "yes")),)
    numbers = (Attribute("attribute 1", ("0", "1")),)
    for wrong in (None, [{"name": "hat"}], [{"name": "a: b", "values": ["no", "yes"]}], [3],
                  [{"name": "hat", "values": ["no", "no"]}], [{"name": "hat", "values": ["a", "b", "c"]}]):  # fmt: skip
        assert attributes_called(wrong, (2,)) == numbers


def test_a_generation_is_of_what_was_asked_and_is_copied_saved_and_opened(faces, tmp_path):
    made = finished(faces, weights_id="faces", choice=ASKED)
    plain = finished(faces, weights_id="faces", choice="none")
    assert made.shape == (2, 3, 16, 16) and made.frames[-1]["x_t"] != plain.frames[-1]["x_t"]
    assert made.parameters["class"] == ASKED and plain.sampler.evaluations < made.sampler.evaluations
    names = {}
    exec(compile(as_python.of_trajectory(made), "copied", "exec"), names)
    assert b64(names["pixels"].permute(0, 2, 3, 1).numpy()) == made.frames[-1]["x_t"]
    opened = read_recording(write(made)[0])
    assert opened.parameters["class"] == ASKED and opened.belongs_to(made.settings)
    branch = Trajectory.branch(made, 1, settings(faces, weights_id="faces", choice="hair: short"))
    assert run(branch)[-1]["x_t"] != made.frames[-1]["x_t"] and branch.changes() == "class hair: short"


def test_a_picture_is_chosen_by_a_value_and_says_what_it_is(faces):
    shown = Pictures(Engine(), faces)
    assert shown.offered("faces")[:3] == ("random", "hair: short", "hair: long")
    for choice in ("hair: long", "skin: dark"):
        packet = asyncio.run(shown.another("faces", choice))
        assert choice in packet["label"].split(", ") and packet["channels"] == 3 and packet["size"] == 16


X0 = {
    "x0": text(FACES.images[0].permute(1, 2, 0).numpy()),
    "label": text_of(FACES.attributes, FACES.labels[0].tolist()),
}
TWO = {"other": text(FACES.images[1].permute(1, 2, 0).numpy()), "other_label": "none"}
ERASED = {"erased": text(np.eye(16, dtype=np.uint8))}
EDITS = [
    ("draw", X0, {"choice": ASKED}),
    ("inpaint", X0 | ERASED, {"choice": "its own"}),
    ("interpolate", {}, {"a": ASKED, "b": "none"}),
    ("interpolate", X0 | TWO, {"ends": "digits", "way": "straight"}),
    ("invert", X0, {"choice": "its own"}),
    ("compose", {}, {"kind": "both", "a": "hat: yes", "b": "beard: yes", "v": 1}),
]


@pytest.mark.parametrize(("name", "page", "changes"), EDITS, ids=lambda value: str(value)[:20])
def test_an_edit_and_its_lines_of_python(faces, name, page, changes, tmp_path, monkeypatch):
    monkeypatch.setattr(invert, "MEASURED", (2,))
    monkeypatch.setattr(interpolate, "STEPS", 4)
    tab = Tab(name, faces)
    packet, frames = tab.made(page, "faces", **changes)
    saved = tab.ask("file", {"run": packet["run"], "kind": "png"})
    (tmp_path / saved["name"]).write_bytes(base64.b64decode(saved["data"]))
    names = {}
    exec(compile(tab.ask("python", {"run": packet["run"]})["text"], "copied", "exec"), names)
    assert b64(names["pixels"].permute(0, 2, 3, 1).numpy()) == frames[-1]["x_t"]
    if name == "invert":  # as it is, and with another value of each attribute
        assert packet["n"] == 8 and packet["own"] == 0
        assert packet["names"][0] == "as told" and "hat" in packet["names"][4]


def test_what_no_model_of_colour_can_do_is_one_sentence(faces):
    assert "grey pictures" in Tab("interpolate", faces).refused({}, "faces", a="none", b="none", way="latents")


def test_the_same_noise_is_told_another_value_of_each_attribute_in_turn(faces):
    told = invert.changed(torch.tensor([1, 4, 0, 0, -1, 2, 1]), faces.get("faces"))
    assert told[0].tolist() == [1, 4, 0, 0, -1, 2, 1]
    assert (told[1:] != told[0]).nonzero().tolist() == [[i, i] for i in range(7)]
    assert told[1:].diagonal().tolist() == [0, 0, 1, 1, 0, 0, 0]


def test_between_two_labels_all_attributes_count_on(faces):
    y = Between("slerp", ((0,) * 7, (1,) * 7), (0, 1), None).y(faces.get("faces"), torch.zeros(3))
    assert y[1].tolist() == [size + 1 for size in SIZES]


def test_an_address_names_attributes_and_only_those_that_the_model_has():
    found = links.parse("#reverse?model=faces&class=hair:+long,+hat:+yes")
    assert found == ("reverse", {"model": "faces", "class": ASKED}, [])
    assert links.parse("#edit/inpaint?model=faces&class=its+own")[2] == []
    assert "none of this model's" in links.parse("#reverse?model=faces&class=hair:+green")[2][0]
    assert "one of" in links.parse("#reverse?model=mnist&class=hair:+long")[2][0]


def test_a_training_on_faces_learns_their_labels():
    made = TrainingRun(Config(TINY, train=TrainConfig(batch_size=4, weight_decay=0.0)), FACES, "steps", 2, "tiny")
    for _ in made.steps():
        pass
    before = build_model(TINY, 0).y_embed[3].weight
    after = made.state.live_model().y_embed[3].weight
    assert not torch.equal(before[:-1], after[:-1])
    assert made.info()["attributes"][3] == {"name": "hat", "values": ("no", "yes")}
    model = made.weights("tiny")
    assert model.attributes == FACES.attributes and not model.of_digits
    assert made.packet()["labels"] is None and made.levels.labels.shape == (20, 7)
