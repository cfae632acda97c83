"""Data sets as uint8 tensors: the bundled digits, torchvision's layouts without a network, folders, and the loader."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import types
from itertools import chain
from urllib.error import URLError
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import ddpm.data
import ddpm.loader
from ddpm import DataError, Loader, from_uint8, get_loader, load_dataset, to_uint8
from ddpm.data import ASSETS, Attribute, describe, grid, resize
from ddpm.loader import check_pictures

# ---------------------------------------------------------------- scale


def test_every_byte_survives_the_round_trip():
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(from_uint8(every)), every)


def test_the_ends_of_the_scale():
    assert from_uint8(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]
    assert to_uint8(torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0])).tolist() == [0, 0, 128, 255, 255]
    assert to_uint8(torch.tensor([-1 + 0.9 / 127.5])).item() == 1  # rounded, not cut off


def test_resizing_and_scaling_is_torchvisions_resize_and_totensor():
    from torchvision import transforms

    with np.load(ASSETS / "digits.npz") as arrays:
        digits = arrays["images"][:20]
    theirs = transforms.Compose([transforms.Resize(32), transforms.ToTensor()])
    expected = torch.stack([theirs(Image.fromarray(d)) for d in digits]) * 2 - 1
    torch.testing.assert_close(from_uint8(resize(digits, 32)), expected, rtol=0, atol=1e-6)


def test_a_picture_of_the_right_size_is_left_alone():
    colour = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    assert torch.equal(resize(colour, 8), torch.from_numpy(colour).permute(0, 3, 1, 2))


def test_grid_puts_pictures_row_by_row():
    pictures = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 1, 4, 4) * 50
    sheet = np.asarray(grid(pictures, columns=2, gap=1, zoom=3))
    assert sheet.shape == (3 * 16, 3 * 11)
    centres = [[sheet[3 * (1 + 5 * r) + 5, 3 * (1 + 5 * c) + 5] for c in range(2)] for r in range(3)]
    assert centres == [[0, 50], [100, 150], [200, 24]]
    assert np.asarray(grid(pictures.expand(5, 3, 4, 4), 5)).ndim == 3


# ---------------------------------------------------------------- bundled


def test_the_bundled_digits():
    assert sum(f.stat().st_size for f in ASSETS.glob("digits*")) < 2_000_000
    assert "CC BY-SA 3.0" in (ASSETS / "README.md").read_text()
    data = load_dataset("bundled", "no/such/folder")
    assert data.images.shape == (10_000, 1, 32, 32) and data.images.dtype == torch.uint8
    assert data.labels.dtype == torch.int64 and data.labels.bincount().tolist() == [1000] * 10
    assert data.num_classes == 10 and data.class_names == tuple("0123456789")
    assert data.images.flatten(1).unique(dim=0).shape[0] > 9_990  # digits, not one digit many times
    assert data.images[:, :, :2].float().mean() < 5 < data.images.float().mean()  # white on black


def test_the_bundled_clothes():
    assert (ASSETS / "fashion.npz").stat().st_size < 6_000_000
    about = (ASSETS / "README.md").read_text()
    assert "Zalando SE" in about and "fashion-mnist/blob/master/LICENSE" in about
    data = load_dataset("bundled-fashion", "no/such/folder")
    assert data.images.shape == (10_000, 1, 32, 32) and data.labels.bincount().tolist() == [1000] * 10
    assert data.class_names[:2] == ("T-shirt/top", "Trouser") and len(data.class_names) == 10
    trousers, bags = (data.images[data.labels == c].float().mean((0, 1)) for c in (1, 8))
    assert trousers[26:, 16].mean() < 60 < trousers[26:, 12].mean()  # two legs
    assert bags[16:28, 6:26].mean() > 100


def test_the_faces_are_those_that_the_readme_names():
    assert (ASSETS / "faces.npz").stat().st_size < 3_000_000
    about = (ASSETS / "README.md").read_text()
    assert "DiceBear" in about and "CC0 1.0" in about
    with np.load(ASSETS / "faces.npz") as arrays:
        content = arrays["images"].tobytes() + arrays["labels"].tobytes()
    assert hashlib.sha256(content).hexdigest() in about


def test_the_faces():
    train, test = load_dataset("faces", "no/such/folder"), load_dataset("faces", train=False)
    assert train.images.shape == (9000, 3, 16, 16) and test.images.shape == (1000, 3, 16, 16)
    assert train.labels.shape == (9000, 7) and train.labels.dtype == torch.int64
    assert train.labels.min() == 0 and train.num_classes == 0 and train.class_names == ()
    assert train.attributes == test.attributes and train.attributes[3] == Attribute("hat", ("no", "yes"))
    every, labels = torch.cat([train.images, test.images]), torch.cat([train.labels, test.labels])
    assert len(every.flatten(1).unique(dim=0)) == 10_000  # none that is held out is trained on
    for attribute, column in zip(train.attributes, labels.T, strict=True):
        even = 10_000 / len(attribute.values)
        assert (column.bincount(minlength=len(attribute.values)) - even).abs().max() < 0.05 * even
    assert torch.corrcoef(labels.T.float()).sub(torch.eye(7)).abs().max() < 0.05  # one says nothing of another


def test_what_is_said_of_a_face_is_seen_in_it():
    """By colours alone: where each lies is up to the drawing."""
    data = load_dataset("faces")
    names = [attribute.name for attribute in data.attributes]
    colours = data.images.permute(0, 2, 3, 1).flatten(1, 2).int()  # (N, 256, 3)

    def shown(colour, least=1):
        return (colours == torch.tensor(list(bytes.fromhex(colour)), dtype=torch.int32)).all(-1).sum(1) >= least

    hair = ("17171c", "6e3a16", "f2cb45", "e0561b", "2a6fd8")
    for value, colour in enumerate(hair):
        assert torch.equal(shown(colour, 2), data.labels[:, names.index("hair colour")] == value)
    hat = torch.stack([shown(colour, 6) for colour in ("3d8a6b", "cc6192", "614f8a", "989789")]).any(0)
    assert torch.equal(hat, data.labels[:, names.index("hat")] == 1)


def test_faces_are_never_blurred():
    exact, larger = load_dataset("faces", img_size=16), load_dataset("faces", img_size=48)
    with np.load(ASSETS / "faces.npz") as arrays:
        assert torch.equal(exact.images[5].permute(1, 2, 0), torch.from_numpy(arrays["images"][5]))
    assert larger.images.shape == (9000, 3, 48, 48)
    blocks = larger.images.reshape(9000, 3, 16, 3, 16, 3)
    assert torch.equal(blocks, exact.images[:, :, :, None, :, None].expand_as(blocks))
    for size in (8, 24, 31):
        with pytest.raises(DataError, match="pixel art of 16 x 16 is shown by whole factors, not at"):
            load_dataset("faces", img_size=size)


def test_the_bundled_digits_at_another_size():
    assert load_dataset("bundled", img_size=8).images.shape == (10_000, 1, 8, 8)


# ---------------------------------------------------------------- torchvision's layouts


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(header + array.tobytes())


def digits(n, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), rng.integers(0, 10, n, dtype=np.uint8)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_options):
        raise URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion", "FashionMNIST")])
def test_the_two_mnists_from_disk(tmp_path, no_network, name, folder):
    raw = tmp_path / folder / "raw"
    raw.mkdir(parents=True)
    for part, n, seed in (("train", 6, 1), ("t10k", 4, 2)):
        images, labels = digits(n, seed)
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels)
    for train, n, seed in ((True, 6, 1), (False, 4, 2)):
        data = load_dataset(name, tmp_path, train=train)
        images, labels = digits(n, seed)
        assert torch.equal(data.images, resize(images, 32)) and data.images.shape == (n, 1, 32, 32)
        assert data.labels.tolist() == labels.tolist() and data.labels.dtype == torch.int64
        assert data.name == name and data.num_classes == 10
    assert data.class_names[0] == ("0" if name == "mnist" else "T-shirt/top")


def test_mnist_is_unpacked_from_what_was_downloaded(tmp_path, no_network, monkeypatch):
    from torchvision import datasets

    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    resources = []
    for part, n, seed in (("train", 6, 1), ("t10k", 4, 2)):
        for kind, array in zip(("images-idx3", "labels-idx1"), digits(n, seed), strict=True):
            plain, packed = raw / f"{part}-{kind}-ubyte", raw / f"{part}-{kind}-ubyte.gz"
            write_idx(plain, array)
            packed.write_bytes(gzip.compress(plain.read_bytes()))
            plain.unlink()
            resources.append((packed.name, hashlib.md5(packed.read_bytes()).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    assert torch.equal(load_dataset("mnist", tmp_path).images, resize(digits(6, 1)[0], 32))


def test_cifar10_from_disk(tmp_path, no_network, monkeypatch):
    from torchvision.datasets import CIFAR10

    rng, folder = np.random.default_rng(3), tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    pixels = rng.integers(0, 256, (3, 2, 3072), dtype=np.uint8)
    batch = [{"data": pixels[k], "labels": [k, 9 - k]} for k in range(3)]
    monkeypatch.setattr(
        CIFAR10, "train_list", [[f"data_batch_{k}", write(f"data_batch_{k}", batch[k])] for k in (0, 1)]
    )
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", write("test_batch", batch[2])]])
    md5 = write("batches.meta", {"label_names": names})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5})

    data = load_dataset("cifar10", tmp_path)
    assert torch.equal(data.images, torch.from_numpy(pixels[:2].reshape(4, 3, 32, 32)))
    assert data.labels.tolist() == [0, 9, 1, 8] and data.class_names == tuple(names)
    assert load_dataset("cifar10", tmp_path, train=False).labels.tolist() == [2, 7]


@pytest.mark.parametrize("name", ["mnist", "fashion", "cifar10"])
@pytest.mark.parametrize("download", [True, False])
def test_what_cannot_be_had_says_what_to_do(tmp_path, no_network, name, download):
    with pytest.raises(DataError, match="bundled") as error:
        load_dataset(name, tmp_path / "nothing", download=download)
    assert name in str(error.value) and "--data-dir" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"<html>moved</html>", bytes([0, 0, 8, 3, 0, 0, 1, 0])])
def test_files_that_are_not_mnist_are_said_to_be_wrong(tmp_path, no_network, content):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(content)
    with pytest.raises(DataError, match="bundled"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize("name", ["", "mnist2", "Bundled", "folders:x", "../mnist"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(DataError, match="bundled, bundled-fashion, faces, mnist, fashion, cifar10, folder:PATH"):
        load_dataset(name)


# ---------------------------------------------------------------- loader


@pytest.fixture
def numbered():
    """23 pictures, each of one grey that is its number, labelled with it."""
    numbers = torch.arange(23)
    return numbers.to(torch.uint8).reshape(-1, 1, 1, 1).expand(23, 1, 2, 2).contiguous(), numbers


def epoch(loader):
    return [y.tolist() for _, y in loader]


def test_batches_are_full_in_range_and_keep_picture_and_label_together(numbered):
    loader = Loader(*numbered, batch_size=5)
    assert len(loader) == 4
    batches = list(loader)
    assert len(batches) == 4
    for x0, y in batches:
        assert x0.shape == (5, 1, 2, 2) and x0.dtype == torch.float32
        assert torch.equal(to_uint8(x0)[:, 0, 0, 0], y.to(torch.uint8))
    seen = [i for _, y in batches for i in y.tolist()]
    assert len(set(seen)) == 20  # no picture twice; the last three are dropped


def test_an_epoch_shows_every_picture_once_when_it_can(numbered):
    images, labels = numbered
    loader = Loader(images[:20], labels[:20], batch_size=5)
    assert sorted(chain(*epoch(loader))) == list(range(20))
    assert len(Loader(images, labels, batch_size=1)) == 23


def test_each_epoch_has_an_order_of_its_own_that_depends_on_the_seed(numbered):
    loader, again, other = (Loader(*numbered, batch_size=5, seed=s) for s in (1, 1, 2))
    first, second = epoch(loader), epoch(loader)
    assert first != second
    assert [epoch(again), epoch(again)] == [first, second]
    assert epoch(other) != first
    assert list(chain(*first)) != sorted(chain(*first))


def test_the_order_can_be_taken_up_at_any_step(numbered):
    loader, fresh = (Loader(*numbered, batch_size=5, seed=3) for _ in range(2))
    walked = epoch(loader) + epoch(loader) + epoch(loader)
    for step in (10, 0, 4, 11, 3):
        assert fresh.batch(step)[1].tolist() == walked[step]


def test_without_labels_and_with_few_pictures(numbered):
    images, _ = numbered
    loader = Loader(images[:3], None, batch_size=128)
    ((x0, y),) = loader
    assert y is None and len(x0) == 3 and len(loader) == 1
    with pytest.raises(DataError, match="empty"):
        Loader(images[:0])


def test_a_loader_takes_uint8_pictures_and_int64_labels(numbered):
    images, labels = numbered
    for wrong in (images / 255, from_uint8(images), images > 9, images.numpy()):
        with pytest.raises(TypeError, match=r"\(N, C, H, W\) of uint8"):
            Loader(wrong)
    for wrong in (labels[:, None], labels.float(), labels[:-1], labels[:-1, None].repeat(1, 2)):
        with pytest.raises(ValueError, match=r"\(N,\) of int64"):
            Loader(images, wrong)


def test_a_loader_gives_several_labels_a_picture(numbered):
    images, labels = numbered
    both = torch.stack([labels, labels % 3], dim=1)
    x0, y = next(iter(Loader(images, both, batch_size=5)))
    assert y.shape == (5, 2) and torch.equal(y[:, 1], y[:, 0] % 3)
    assert torch.equal(to_uint8(x0)[:, 0, 0, 0], images[y[:, 0], 0, 0, 0])
    with pytest.raises(ValueError, match="labels are 0 or more, or -1"):
        Loader(images, both - 2)


def test_a_model_of_classes_takes_one_label_a_picture(numbered):
    images, labels = numbered
    model = types.SimpleNamespace(picture_shape=tuple(images.shape[1:]), num_classes=23)
    check_pictures(images, labels, model)
    with pytest.raises(ValueError, match=r"not \(23, 23\) of torch.int64"):
        check_pictures(images, torch.nn.functional.one_hot(labels), model)


# ---------------------------------------------------------------- one line


def test_a_data_set_on_one_line(numbered):
    images, labels = numbered
    few = ddpm.data.Dataset("folder:x\ny", images, labels % 2, ("cat", "a\ud800b", "none"), "train")
    line = "folder:x?y, part train/: 23 pictures, 2 x 2, grey, each of a single colour"
    assert describe(few) == f"{line}, 3 classes: cat (12), a?b (11), none (0)"
    many = ddpm.data.Dataset("x", images.repeat(1, 3, 1, 2), labels, tuple(str(i) for i in range(1000)))
    line = "x: 23 pictures, 4 x 2, colour, each of a single colour, 1000 classes: 0 (1), 1 (1), "  # width x height
    assert describe(many).startswith(line) and describe(many).endswith(", 29 (0), and 970 more")
    hats = (Attribute("hat", ("no", "yes")), Attribute("hair", ("short", "long", "none")))
    two = ddpm.data.Dataset("x", images, torch.stack([labels % 2, labels % 3], 1), attributes=hats)
    assert describe(two).endswith("2 attributes: hat (no 12, yes 11), hair (short 8, long 8, none 7)")
    alone = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 2, 2)
    assert describe(ddpm.data.Dataset("x", alone, None)) == "x: 1 picture, 2 x 2, grey, no classes"


def test_the_bundled_digits_on_one_line():
    counts = ", ".join(f"{digit} (1000)" for digit in range(10))
    assert describe(load_dataset("bundled")) == f"bundled: 10,000 pictures, 32 x 32, grey, 10 classes: {counts}"
    with pytest.raises(DataError, match="bundled has no test part"):
        load_dataset("bundled", train=False)


def test_get_loader_is_the_tutorials(monkeypatch, numbered):
    asked = []

    def stub(name, data_dir, train):
        asked.append((name, str(data_dir), train))
        return ddpm.data.Dataset(name, numbered[0].repeat(10, 1, 1, 1), numbered[1].repeat(10), ("x",) * 23)

    monkeypatch.setattr(ddpm.loader, "load_dataset", stub)
    loader = get_loader()
    x0, y = next(iter(loader))
    assert asked == [("mnist", "data", True)] and len(loader) == 1  # 230 pictures, batches of 128
    assert x0.shape == (128, 1, 2, 2) and -1 <= x0.min() < x0.max() <= 1 and len(y) == 128
    get_loader(4, "bundled", "elsewhere", train=False)
    assert asked[1] == ("bundled", "elsewhere", False)


def test_labels_of_attributes_must_be_what_the_model_takes():
    model = SimpleNamespace(picture_shape=(1, 4, 4), config=SimpleNamespace(attributes=(2, 3)))
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    check_pictures(images, torch.tensor([[1, 2], [-1, 0]]), model)
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        check_pictures(images, torch.tensor([1, 2]), model)
    with pytest.raises(ValueError, match=r"0\.\.1, or -1"):
        check_pictures(images, torch.tensor([[2, 2], [0, 0]]), model)


def test_flips_mirror_half_of_the_pictures_and_are_the_same_for_a_step():
    images = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4).repeat(64, 1, 1, 1)
    x0, mirrored = from_uint8(images[0]), from_uint8(images[0].flip(-1))
    batch = Loader(images, batch_size=64, seed=3, flip=True).batch(5)[0]
    flipped = (batch == mirrored).flatten(1).all(1)
    assert torch.equal(flipped, ~(batch == x0).flatten(1).all(1))
    assert 16 < flipped.sum() < 48
    assert torch.equal(batch, Loader(images, batch_size=64, seed=3, flip=True).batch(5)[0])
    assert torch.equal(Loader(images, batch_size=64, seed=3).batch(5)[0], x0.expand(64, 1, 4, 4))
