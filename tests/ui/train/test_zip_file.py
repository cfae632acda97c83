"""A checkpoint as a zip: out and in again, and what a stranger may put into one."""

import io
import json
import pickle
import zipfile

import pytest
import torch
from helpers.pages import TINY

import ddpm
from ddpm.config import Config, ScheduleConfig
from ddpm.networks import build_model
from ddpm.storage.checkpoint import CONFIG, WEIGHTS
from ddpm.ui.tabs.train import zip_file

INFO = {
    "dataset": "bundled",
    "images_in_dataset": 10_000,
    "command": "the Train tab",
    "device": "2 CPU cores",
    "precision": "float32",
    "parameters": 1,
    "images_seen": 1,
    "held_out_loss": None,
    "step": 1,
    "seconds": 1.0,
    "loss_smooth": 1.0,
}


@pytest.fixture
def model():
    return build_model(TINY)


@pytest.fixture
def good(model):
    """The members of a zip that is right."""
    data = zip_file.write(model, Config(TINY, ScheduleConfig(kind="cosine")), INFO, "mine")
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


@pytest.fixture
def zipped(tmp_path):
    def write(members, compression=zipfile.ZIP_STORED):
        path = tmp_path / "some.zip"
        with zipfile.ZipFile(path, "w", compression) as file:
            for name, data in members.items():
                file.writestr(name, data)
        return path

    return write


@pytest.mark.slow
def test_out_and_in_again(model, good, zipped):
    assert set(good) == {f"mine/{name}" for name in (CONFIG, WEIGHTS, "README.md")}
    opened = zip_file.read(zipped(good))
    assert opened.config.model == TINY and opened.info["dataset"] == "bundled"
    for name, value in model.state_dict().items():
        assert torch.equal(opened.model.state_dict()[name], value.half().float())


def refused(path, *words):
    with pytest.raises(ddpm.CheckpointError) as error:
        zip_file.read(path)
    text = str(error.value)
    assert "\n" not in text and "/tmp" not in text and len(text) < 300
    assert all(word in text for word in words), text


def test_no_zip_or_half_a_zip(tmp_path, good, zipped):
    path = tmp_path / "no.zip"
    for data in (b"", b"hello", zipped(good).read_bytes()[:-200], b"PK\x03\x04" + b"\0" * 100):
        path.write_bytes(data)
        refused(path, "not a zip")


def test_a_zip_of_something_else(zipped):
    refused(zipped({"notes.txt": b"hello"}), CONFIG)
    refused(zipped({CONFIG: b"{}", WEIGHTS: b""}), "version")


def test_several_checkpoints_in_one_zip(good, zipped):
    twice = good | {name.replace("mine", "other"): data for name, data in good.items()}
    refused(zipped(twice), "several")


def test_a_path_out_of_the_folder_writes_nothing(good, zipped, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    evil = {name.replace("mine/", "../../../tmp/"): data for name, data in good.items()}
    refused(zipped(evil), CONFIG)
    outside = good | {"../evil.txt": b"x", "/etc/evil.txt": b"x"}
    assert zip_file.read(zipped(outside)).config.model == TINY  # what is not asked for is never unpacked
    assert set(tmp_path.rglob("*")) - set(before) == {tmp_path / "some.zip"}
    assert not (tmp_path.parent / "evil.txt").exists()


@pytest.mark.parametrize("path", ["mine\\", "a\\b/mine\\", ".\\", "my..model/", "..mine\\"])
def test_slashes_of_either_kind(good, zipped, path):
    assert (
        zip_file.read(zipped({name.replace("mine/", path): data for name, data in good.items()})).config.model == TINY
    )


@pytest.mark.parametrize(
    "path", ["..\\mine\\", "mine\\..\\..\\", "\\mine\\", "C:\\mine\\", "/mine/", "\\\\host\\mine\\"]
)
def test_a_path_out_of_the_folder_with_slashes_of_either_kind(good, zipped, path):
    refused(zipped({name.replace("mine/", path): data for name, data in good.items()}), CONFIG)


def test_a_bomb_is_not_unpacked(good, zipped):
    bomb = {name: (b"\0" * 80_000_000 if name.endswith(WEIGHTS) else data) for name, data in good.items()}
    path = zipped(bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    refused(path, WEIGHTS, "too large")
    huge_config = good | {f"mine/{CONFIG}": b" " * 5_000_000}
    refused(zipped(huge_config, zipfile.ZIP_DEFLATED), CONFIG, "too large")


def test_weights_that_are_a_pickle(good, zipped):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("it was unpickled",))

    refused(zipped(good | {f"mine/{WEIGHTS}": pickle.dumps(Evil())}), WEIGHTS)


def test_truncated_weights_and_weights_of_another_config(model, good, zipped):
    refused(zipped(good | {f"mine/{WEIGHTS}": good[f"mine/{WEIGHTS}"][:-100]}), "damaged")
    other = build_model(ddpm.ModelConfig(base=16, mults=(1, 2), num_classes=10, patch_size=4, prediction="v"))
    data = zip_file.write(other, Config(TINY), INFO, "mine")
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    refused(zipped(members), "another architecture")
    refused(zipped(good | {f"mine/{WEIGHTS}": members[f"mine/{WEIGHTS}"]}), "another")


def test_a_config_that_asks_for_a_monster(good, zipped):
    config = json.loads(good[f"mine/{CONFIG}"])
    for part, field, value in (
        ("model", "base", 10**9),
        ("model", "img_size", 2**20),
        ("schedule", "T", 10**12),
        ("model", "mults", ["x"]),
        ("model", "evil", 1),
    ):
        changed = json.loads(json.dumps(config))
        changed[part][field] = value
        refused(zipped(good | {f"mine/{CONFIG}": json.dumps(changed)}), part)


def test_an_encrypted_zip(good, zipped):
    path = zipped(good)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 1)
    path.write_bytes(data)
    refused(path, "not a zip that can be read")
