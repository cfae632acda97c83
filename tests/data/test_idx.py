"""MNIST put into place by hand, without a network: under any of its usual names, packed or not, in any usual folder."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from ddpm import DataError, load_dataset
from ddpm.data import TORCHVISION, resize

FILES = [(part, kind, idx) for part in ("train", "t10k") for kind, idx in (("images", "idx3"), ("labels", "idx1"))]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_args, **_options):
        raise OSError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def array(part, kind, seed=0):
    rng, n = np.random.default_rng(seed), 6 if part == "train" else 4
    images, labels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), rng.integers(0, 10, n, dtype=np.uint8)
    return images if kind == "images" else labels


def content(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def put(folder, name="{part}-{kind}-{idx}-ubyte", pack=None, seed=0):
    for part, kind, idx in FILES:
        path = folder / name.format(part=part, kind=kind, idx=idx)
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content(array(part, kind, seed))
        path.write_bytes(gzip.compress(data) if (path.suffix == ".gz" if pack is None else pack) else data)


def found(data_dir, name="mnist", seed=0):
    """Whether both parts are read, and are what was put."""
    for part in ("train", "t10k"):
        data = load_dataset(name, data_dir, train=part == "train")
        assert np.array_equal(data.images, resize(array(part, "images", seed), 32))
        assert data.labels.tolist() == array(part, "labels", seed).tolist()
        assert data.num_classes == 10
    return True


@pytest.mark.parametrize("folder", ["", "MNIST", "MNIST/raw", "mnist", "mnist/raw", "Mnist", "raw"])
@pytest.mark.parametrize(
    "name",
    ["{part}-{kind}-{idx}-ubyte", "{part}-{kind}.{idx}-ubyte", "{part}-{kind}-{idx}-ubyte.gz",
     "{part}_{kind}_{idx}_ubyte.gz", "{part}-{kind}.{idx}-ubyte/{part}-{kind}.{idx}-ubyte", "{part}-{kind}.gz"],
)  # fmt: skip
def test_any_usual_name_in_any_usual_folder(tmp_path, folder, name):
    put(tmp_path / folder, name)
    assert found(tmp_path)


@pytest.mark.parametrize("data_dir", ["MNIST", "MNIST/raw", "mnist", ""])
def test_data_dir_may_be_the_folder_itself(tmp_path, monkeypatch, data_dir):
    put(tmp_path / data_dir)
    assert found(tmp_path / data_dir)
    monkeypatch.chdir(tmp_path / data_dir)
    assert found(".")


def test_the_test_part_may_be_called_test(tmp_path):
    put(tmp_path)
    for path in tmp_path.glob("t10k*"):
        path.rename(path.with_name(path.name.replace("t10k", "test")))
    assert found(tmp_path)


def test_what_is_packed_is_seen_by_its_content(tmp_path):
    put(tmp_path / "a", "{part}-{kind}-{idx}-ubyte.gz", pack=False)
    put(tmp_path / "b", "{part}-{kind}-{idx}-ubyte", pack=True)
    assert found(tmp_path / "a") and found(tmp_path / "b")


@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "fashion-mnist", "fashion", "Fashion_MNIST"])
def test_clothes_are_not_taken_for_digits_nor_digits_for_clothes(tmp_path, folder):
    put(tmp_path / folder, seed=1)
    assert found(tmp_path, "fashion", seed=1) and found(tmp_path / folder, "fashion", seed=1)
    for place in (tmp_path, tmp_path / folder):
        with pytest.raises(DataError, match="mnist is not in"):
            load_dataset("mnist", place)
    put(tmp_path)
    assert found(tmp_path) and found(tmp_path, "fashion", seed=1)
    put(tmp_path / "other")
    with pytest.raises(DataError, match="fashion is not in"):
        load_dataset("fashion", tmp_path / "other")


@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_which_are_missing_and_where_they_go(tmp_path, name):
    raw = tmp_path / TORCHVISION[name] / "raw"
    put(raw)
    (raw / "train-labels-idx1-ubyte").unlink()
    (raw / "t10k-images-idx3-ubyte").write_bytes(content(array("t10k", "images"))[:-1])
    said = (
        f"{name} is not in {tmp_path} (it lacks train-labels-idx1-ubyte, "
        f"t10k-images-idx3-ubyte (there, but damaged: remove it); they go into {raw}, packed (.gz) or not)"
    )
    for train in (True, False):
        with pytest.raises(DataError) as error:
            load_dataset(name, tmp_path, train=train)
        assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_one_part_that_is_whole_is_read_without_the_other(tmp_path):
    put(tmp_path)
    for path in tmp_path.glob("t10k*"):
        path.unlink()
    assert len(load_dataset("mnist", tmp_path).images) == 6
    with pytest.raises(DataError, match="it lacks t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte; they go into"):
        load_dataset("mnist", tmp_path, train=False)


@pytest.mark.parametrize(
    ("images", "labels"), [((6, 28, 28), (5,)), ((6, 32, 32), (6,)), ((0, 28, 28), (0,)), ((6, 28, 28), (6, 1))]
)
def test_a_pair_that_is_not_one_is_not_read(tmp_path, images, labels):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(content(np.zeros(images, np.uint8)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(content(np.zeros(labels, np.uint8)))
    with pytest.raises(DataError, match="mnist is not in"):
        load_dataset("mnist", tmp_path)


def test_letters_are_not_digits(tmp_path):
    put(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(content(np.arange(21, 27, dtype=np.uint8)))
    with pytest.raises(DataError, match="mnist is not in"):
        load_dataset("mnist", tmp_path)
