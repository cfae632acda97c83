"""Checkpoint folders: what goes in comes out, and whatever is wrong with one is said in one line."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch

from ddpm import CheckpointError, load_checkpoint, save_checkpoint
from ddpm.config import Config, ModelConfig, ScheduleConfig
from ddpm.networks import build_model
from ddpm.storage.checkpoint import (
    CARD,
    CONFIG,
    WEIGHTS,
    alone_in,
    load_training,
    read_info,
    save_info,
    save_training,
)

CONFIG_OF = Config(ModelConfig(base=8, t_dim=8, mults=(1, 2), img_size=8), ScheduleConfig(T=30, kind="cosine"))
INFO = {"dataset": "bundled", "class_names": ["ä", "b"], "loss": 0.5}


@pytest.fixture
def folder(tmp_path, tiny_model):
    save_checkpoint(tmp_path / "a" / "model", tiny_model, CONFIG_OF, INFO, card="# A card, ä\n")
    return tmp_path / "a" / "model"


def refused(path, match=None) -> str:
    with pytest.raises(CheckpointError, match=match) as error:
        load_checkpoint(path)
    message = str(error.value)
    assert "\n" not in message and 10 < len(message) < 500
    return message


def rewrite_config(folder: Path, change) -> None:
    data = json.loads((folder / CONFIG).read_text())
    change(data)
    (folder / CONFIG).write_text(json.dumps(data))


def put_weights(folder: Path, raw: bytes) -> None:
    """Other weights, with a config that names them."""
    (folder / WEIGHTS).write_bytes(raw)
    rewrite_config(folder, lambda d: d.update(weights_sha256=hashlib.sha256(raw).hexdigest()))


# ---------------------------------------------------------------- round trip


def test_what_goes_in_comes_out(folder, tiny_model):
    loaded = load_checkpoint(folder)
    assert loaded.config == CONFIG_OF and loaded.info == INFO
    assert loaded.sched.T == 30 and loaded.sched.alphas_bar[0] > 0.99
    assert not loaded.model.training and loaded.model.config == CONFIG_OF.model
    for name, value in tiny_model.state_dict().items():
        got = loaded.model.state_dict()[name]
        assert got.dtype == torch.float32
        assert torch.equal(got, value.half().float())
    assert (folder / CARD).read_text(encoding="utf-8") == "# A card, ä\n"


def test_the_schedule_is_the_one_described(folder):
    rewrite_config(folder, lambda d: d.update(schedule={"T": 7, "beta_start": 0.1, "beta_end": 0.2, "kind": "linear"}))
    betas = load_checkpoint(folder).sched.betas
    assert betas.tolist() == pytest.approx([0.1 + 0.1 * k / 6 for k in range(7)])


def test_weights_are_stored_as_float16_and_named_by_their_hash(folder):
    raw = (folder / WEIGHTS).read_bytes()
    assert {v.dtype for v in safetensors.torch.load(raw).values()} == {torch.float16}
    described = json.loads((folder / CONFIG).read_text())
    assert described["weights_sha256"] == hashlib.sha256(raw).hexdigest()
    assert described["version"] == 1 and set(described) >= {"model", "schedule", "train", "info"}


def test_a_model_from_training_is_saved_whatever_its_memory_format(tmp_path, tiny_model):
    save_checkpoint(tmp_path, tiny_model.train().to(memory_format=torch.channels_last), CONFIG_OF)
    assert torch.equal(load_checkpoint(tmp_path).model.in_conv.weight, tiny_model.in_conv.weight.half().float())
    assert tiny_model.training and tiny_model.in_conv.weight.dtype == torch.float32
    assert not (tmp_path / CARD).exists()


def test_saving_again_replaces(folder):
    other = build_model(CONFIG_OF.model, seed=9)
    save_checkpoint(folder, other, CONFIG_OF, {"n": 2})
    loaded = load_checkpoint(folder)
    assert torch.equal(loaded.model.in_conv.weight, other.in_conv.weight.half().float()) and loaded.info == {"n": 2}
    assert sorted(p.name for p in folder.iterdir()) == [CARD, CONFIG, WEIGHTS]


def test_a_folder_that_somebody_removes_meanwhile_is_missed_by_who_writes_into_it(tmp_path):
    gone = tmp_path / "gone"
    with pytest.raises(FileNotFoundError), alone_in(gone):
        (gone / WEIGHTS).write_bytes(b"")


def test_the_default_network_stays_below_ten_megabytes(tmp_path):
    save_checkpoint(tmp_path, build_model(ModelConfig()), Config())
    assert (tmp_path / WEIGHTS).stat().st_size < 10_000_000


def test_text_that_is_none_is_spelled_out(tmp_path, tiny_model):
    """A byte of a path that is not UTF-8 arrives as half a surrogate pair, which no other reader takes."""
    odd = os.fsdecode(b"caf\xe9")
    info = {"class_names": [odd, "ä 🎲"], odd: (1, None, 0.5), "metrics": [{"command": odd}]}
    save_checkpoint(tmp_path, tiny_model, CONFIG_OF, info, card=f"# {odd}, ä\n")
    said = {"class_names": ["caf\\udce9", "ä 🎲"], "caf\\udce9": [1, None, 0.5], "metrics": [{"command": "caf\\udce9"}]}
    assert load_checkpoint(tmp_path).info == said
    save_info(tmp_path, info, f"# {odd}, ä\n")
    assert load_checkpoint(tmp_path).info == read_info(tmp_path) == said
    assert (tmp_path / CARD).read_text(encoding="utf-8") == "# caf\\udce9, ä\n"


def test_a_training_state_in_a_folder_whose_name_is_no_text(tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    save_training(folder, {"w": torch.arange(3.0)}, {"dataset": f"folder:{folder}"})
    tensors, numbers = load_training(folder)
    assert torch.equal(tensors["w"], torch.arange(3.0)) and numbers == {"dataset": f"folder:{folder}"}


# ---------------------------------------------------------------- the description


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"version": ' + b"1" * 5000 + b"}",
        b'{"version": 1}',
        b'{"version": 2, "model": {}}',
        b'{"version": 1, "model": []}',
        b'{"version": 1, "model": {"base": 1' + b"0" * 400 + b"}}",
        b'{"version": 1, "model": {"patch_size": 2.0}}',
        b'{"version": 1, "train": {"lr": 1' + b"0" * 400 + b"}}",
        b'{"version": 1, "train": {"lr": NaN}}',
    ],
    ids=lambda c: repr(c[:24]),
)
def test_a_description_that_is_garbage(folder, content):
    (folder / CONFIG).write_bytes(content)
    refused(folder)


def test_a_description_that_is_huge(folder):
    (folder / CONFIG).write_text(" " * 1_000_001)
    refused(folder, "too large")


def test_a_description_of_another_version(folder):
    rewrite_config(folder, lambda d: d.update(version=2))
    refused(folder, "version 1")


def test_an_unknown_field_and_a_bad_one_are_named(folder):
    rewrite_config(folder, lambda d: d["model"].update(width=8))
    refused(folder, "unknown field width")
    rewrite_config(folder, lambda d: d.update(model={"base": 12}))
    refused(folder, r"model\.base: a multiple of 8")


def test_info_that_is_not_an_object_is_ignored(folder):
    rewrite_config(folder, lambda d: d.update(info=[1, 2]))
    assert load_checkpoint(folder).info == {}


@pytest.mark.parametrize("missing", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    assert missing in refused(folder, "not a checkpoint")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_folder_where_a_file_should_be(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, "cannot be read")


# ---------------------------------------------------------------- the weights


def test_weights_changed_in_one_bit(folder):
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (folder / WEIGHTS).write_bytes(raw)
    refused(folder, "sha256")


def test_truncated_weights(folder):
    raw = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(raw[: len(raw) // 2])
    refused(folder, "damaged")
    put_weights(folder, raw[: len(raw) // 2])
    refused(folder, "not a safetensors file")


def test_weights_and_description_that_do_not_belong_together(folder, tmp_path):
    save_checkpoint(tmp_path / "b", build_model(CONFIG_OF.model, seed=9), CONFIG_OF)
    (folder / WEIGHTS).write_bytes((tmp_path / "b" / WEIGHTS).read_bytes())
    refused(folder, "belongs to another config")


@pytest.mark.parametrize("sha", [None, 3, "", []])
def test_a_description_that_names_no_hash(folder, sha):
    rewrite_config(folder, lambda d: d.update(weights_sha256=sha))
    refused(folder, "sha256")


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("touched by a pickle"),))


def test_a_pickle_in_place_of_the_weights_is_not_opened(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put_weights(folder, pickle.dumps(Evil()))
    refused(folder, "not a safetensors file")
    torch.save({"model": Evil()}, folder / WEIGHTS)
    put_weights(folder, (folder / WEIGHTS).read_bytes())
    refused(folder, "not a safetensors file")
    assert not list(tmp_path.glob("touched*"))


@pytest.mark.parametrize("change", [{"base": 16}, {"mults": [1, 2, 2]}, {"num_classes": 3}, {"t_dim": 10}])
def test_weights_of_another_architecture(folder, change):
    rewrite_config(folder, lambda d: d["model"].update(change))
    refused(folder, "another architecture")


def test_a_tensor_missing_or_too_many(folder):
    tensors = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    put_weights(folder, safetensors.torch.save(tensors | {"extra": torch.zeros(1)}))
    assert "extra" in refused(folder, "another architecture")
    del tensors["in_conv.bias"]
    put_weights(folder, safetensors.torch.save(tensors))
    assert "in_conv.bias" in refused(folder, "another architecture")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(folder, bad):
    tensors = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    tensors["out_conv.bias"][0] = bad
    put_weights(folder, safetensors.torch.save(tensors))
    refused(folder, "not finite")


@pytest.mark.parametrize(("kind", "size"), [("F8_E4M3", 1), ("F8_E8M0", 1), ("F16", 2), ("NOPE", 1), ("I64", 8)])
def test_weights_in_a_strange_type_load_or_are_refused(folder, kind, size):
    """A file whose header is right in every name and shape, and whose numbers are zeros of some type."""
    header, offset = {}, 0
    for name, value in safetensors.torch.load((folder / WEIGHTS).read_bytes()).items():
        header[name] = {"dtype": kind, "shape": [*value.shape], "data_offsets": [offset, offset + value.numel() * size]}
        offset += value.numel() * size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    put_weights(folder, struct.pack("<Q", len(text)) + text + bytes(offset))
    try:
        assert not load_checkpoint(folder).model.out_conv.bias.any()
    except CheckpointError as error:
        assert "not a safetensors file" in str(error)


def test_weights_too_large_to_be_read(folder):
    with (folder / WEIGHTS).open("wb") as file:
        file.truncate(1_000_000_001)  # sparse: takes no room
    refused(folder, "too large")


# ---------------------------------------------------------------- where from


@pytest.mark.parametrize("path", ["no/such/folder", "", "x y/z", "../nothing/here", "/no/such"])
def test_what_is_neither_folder_nor_hub_id(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_a, **_o: pytest.fail("asked the Hub"))
    refused(path, "not a checkpoint")


def test_a_hub_id_is_fetched_once_and_only_what_a_checkpoint_needs(folder, monkeypatch):
    asked = []

    def snapshot_download(repo_id, **options):
        asked.append((repo_id, sorted(options["allow_patterns"])))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert load_checkpoint("some-one/ddpm.mnist_1").config == CONFIG_OF
    assert asked == [("some-one/ddpm.mnist_1", sorted([CONFIG, WEIGHTS, CARD]))]


@pytest.mark.parametrize(
    "error", [OSError("no route\nto host"), OSError(), ConnectionError("x"), RuntimeError("proxy")]
)
def test_a_hub_that_fails_is_one_line(monkeypatch, error):
    def snapshot_download(*_args, **_options):
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert "someone/model" in refused("someone/model", "Hub")


def test_a_folder_that_exists_goes_before_the_hub(folder, monkeypatch):
    monkeypatch.chdir(folder.parent.parent)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_a, **_o: pytest.fail("asked the Hub"))
    assert load_checkpoint("a/model").config == CONFIG_OF
