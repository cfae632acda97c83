"""folder:PATH, any folder of images: grey or colour, with classes or without, and what is wrong with it in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm import DataError, load_dataset
from ddpm.data import describe


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def grey(value, size=8):
    return np.full((size, size), value, dtype=np.uint8)


def load(path, size=8):
    return load_dataset(f"folder:{path}", img_size=size)


def test_grey_pictures_in_order_of_their_names(tmp_path):
    for name, value in (("b.png", 20), ("a.PNG", 10), ("c.bmp", 30)):
        save(tmp_path / name, grey(value))
    (tmp_path / "notes.txt").write_text("not a picture")
    data = load(tmp_path)
    assert data.images.shape == (3, 1, 8, 8) and data.images.dtype == torch.uint8
    assert data.images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert data.labels is None and data.num_classes == 0 and data.class_names == ()


def test_one_coloured_picture_makes_all_coloured(tmp_path):
    red = np.zeros((8, 8, 3), dtype=np.uint8)
    red[..., 0] = 200
    save(tmp_path / "a.png", red)
    save(tmp_path / "b.png", grey(70))
    data = load(tmp_path)
    assert data.images.shape == (2, 3, 8, 8)
    assert data.images[:, :, 4, 4].tolist() == [[200, 0, 0], [70, 70, 70]]


def test_sub_folders_are_classes(tmp_path):
    for i, name in enumerate(("cat/1.png", "ant/1.png", "cat/deep/2.png", "bee/1.png")):
        save(tmp_path / name, grey(10 * i))
    data = load(tmp_path)
    assert data.class_names == ("ant", "bee", "cat") and data.num_classes == 3
    assert sorted(zip(data.images[:, 0, 0, 0].tolist(), data.labels.tolist(), strict=True)) == [
        (0, 2),
        (10, 0),
        (20, 2),
        (30, 1),
    ]


def test_loose_pictures_beside_classes_are_an_error_that_says_what_was_found(tmp_path):
    for name in ("cat/1.png", "dog/1.png", "dog/2.png", "loose.png"):
        save(tmp_path / name, grey(40))
    with pytest.raises(DataError, match="1 loose picture, and pictures in 2 folders: cat, dog: move the loose"):
        load(tmp_path)
    save(tmp_path / "more.png", grey(40))
    with pytest.raises(DataError, match="2 loose pictures, and"):
        load(tmp_path)


def test_classes_are_in_natural_order_numbers_first(tmp_path):
    names = ["1", "2", "2.5", "03", "10", "12", "B", "a2", "a10", "b", "x"]
    for i, name in enumerate(names):
        save(tmp_path / name / "p.png", grey(20 * i))
    data = load(tmp_path)
    assert list(data.class_names) == names
    assert [names.index(data.class_names[y]) * 20 for y in data.labels] == data.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    "name", ["._1.png", ".hidden.png", "__MACOSX/cat/._1.png", ".ipynb_checkpoints/1.png", "cat/.thumbs/1.png",
             "cat/@eaDir/1.png", "cat/__MACOSX/1.png"],
)  # fmt: skip
def test_what_is_hidden_or_a_systems_own_never_counts(tmp_path, name):
    for i, path in enumerate(("cat/1.png", "dog/1.png")):
        save(tmp_path / path, grey(90 * i))
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"not a picture")
    data = load(tmp_path)
    assert data.class_names == ("cat", "dog") and data.labels.tolist() == [0, 1]


def test_a_folder_below_a_hidden_one_is_read(tmp_path):
    save(tmp_path / ".cache" / "1.png", grey(90))
    save(tmp_path / ".cache" / "2.png", grey(9))
    assert len(load(tmp_path / ".cache").images) == 2


def split(tmp_path, *names):
    for i, name in enumerate(names):
        save(tmp_path / name, grey(10 * (i + 1)))


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "val"), ("train", "Validation")])
def test_train_and_test_are_parts_and_not_classes(tmp_path, train, test):
    split(tmp_path, f"{train}/10/1.png", f"{train}/2/1.png", f"{train}/3/1.png", f"{test}/10/1.png", f"{test}/3/1.png")
    data, held_out = load(tmp_path), load_dataset(f"folder:{tmp_path}", train=False, img_size=8)
    assert data.class_names == held_out.class_names == ("2", "3", "10")
    assert (data.part, held_out.part) == (train, test)
    assert data.images[:, 0, 0, 0].tolist() == [10, 20, 30] and data.labels.tolist() == [2, 0, 1]
    assert held_out.images[:, 0, 0, 0].tolist() == [40, 50] and held_out.labels.tolist() == [2, 1]  # train's numbers
    assert f"part {train}/: 3 pictures" in describe(data)


def test_of_several_parts_to_test_by_the_one_called_test_is_read(tmp_path):
    split(tmp_path, "train/1.png", "val/1.png", "test/1.png", "test/2.png")
    data = load_dataset(f"folder:{tmp_path}", train=False, img_size=8)
    assert data.images[:, 0, 0, 0].tolist() == [30, 40] and data.labels is None and data.num_classes == 0


def test_a_folder_around_everything_is_passed_through(tmp_path):
    split(
        tmp_path,
        "unzipped/archive/train/cat/1.png",
        "unzipped/archive/train/dog/1.png",
        "unzipped/archive/test/dog/1.png",
        "unzipped/archive/test/dog/2.png",
    )
    assert load(tmp_path).class_names == ("cat", "dog")
    assert load_dataset(f"folder:{tmp_path}", train=False, img_size=8).labels.tolist() == [1, 1]
    (tmp_path / "one").mkdir()
    split(tmp_path / "one", "cat/1.png", "cat/2.png")
    assert load(tmp_path / "one").class_names == ("cat",)


def test_a_class_may_be_called_train(tmp_path):
    split(tmp_path, "car/1.png", "train/1.png")
    assert load(tmp_path).class_names == ("car", "train")


@pytest.mark.parametrize(
    ("names", "train", "words"),
    [
        (("train/a/1.png", "test/a/1.png", "extra/1.png"), True, "3 folders: extra, test, train"),
        (("train/a/1.png", "Train/a/1.png"), True, "leave one train/"),
        (("test/a/1.png", "val/a/1.png"), True, "no train/"),
        (("train/a/1.png", "test/b/1.png"), False, "holds classes that .*train does not: b"),
        (("train/a/1.png", "train/1.png"), True, "1 loose picture, and pictures in 1 folder: a"),
        (("train/a/1.png", "test/a/1.png", "1.png"), True, "1 loose picture, and pictures in 2 folders: test, train"),
        (("train/a/1.png",), False, "no test part"),
        (("a/1.png", "b/1.png"), False, "no test part"),
        (("1.png",), False, "no test part"),
    ],
)
def test_parts_that_are_not_clear(tmp_path, names, train, words):
    split(tmp_path, *names)
    with pytest.raises(DataError, match=words):
        load_dataset(f"folder:{tmp_path}", train=train, img_size=8)


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    split(tmp_path, "elsewhere/1.png", "pictures/cat/1.png")
    (tmp_path / "pictures" / "dog").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "pictures" / "cat" / "up").symlink_to(tmp_path / "pictures", target_is_directory=True)
    data = load(tmp_path / "pictures")
    assert data.class_names == ("cat", "dog") and data.labels.tolist() == [0, 1]


def test_a_folder_that_cannot_be_listed_is_said(tmp_path, monkeypatch):
    split(tmp_path, "cat/1.png", "dog/1.png")

    real = type(tmp_path).iterdir

    def iterdir(path):
        if path.name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(type(tmp_path), "iterdir", iterdir)
    with pytest.raises(DataError, match=r"dog cannot be read \(Permission denied\)"):
        load(tmp_path)


def test_the_centred_square_is_taken_and_resized(tmp_path):
    wide = np.zeros((8, 24), dtype=np.uint8)
    wide[:, 8:16] = middle = np.arange(64, dtype=np.uint8).reshape(8, 8)
    save(tmp_path / "wide.png", wide)
    save(tmp_path / "tall.png", wide.T.copy())
    assert load(tmp_path, 4).images.shape == (2, 1, 4, 4)
    tall, found = load(tmp_path, 8).images[:, 0].numpy()
    assert np.array_equal(found, middle) and np.array_equal(tall, middle.T)


@pytest.mark.parametrize("pixels", [grey(0), grey(255), np.full((8, 8, 3), (9, 90, 200), np.uint8)])
def test_pictures_that_are_all_one_colour_are_refused(tmp_path, pixels):
    for i in range(3):
        save(tmp_path / f"{i}.png", pixels)
    with pytest.raises(DataError, match="of the same single colour"):
        load(tmp_path)


def test_pictures_that_are_nearly_black_are_refused(tmp_path):
    masks = np.zeros((8, 8), np.uint8)
    masks[2:6] = 1
    save(tmp_path / "mask.png", masks)
    with pytest.raises(DataError, match="nearly black: their lightest value is 1 of 255"):
        load(tmp_path)
    save(tmp_path / "mask.png", masks * np.uint16(4095))  # 12 bits kept in 16
    with pytest.raises(DataError, match=r"nearly black: their lightest value is 16 of 255; .* times 16"):
        load(tmp_path)
    save(tmp_path / "light.png", masks * 255)  # one dark picture among others is a dark picture
    assert load(tmp_path).images.amax((1, 2, 3)).tolist() == [255, 16]


def test_a_jpeg_and_a_palette(tmp_path):
    save(tmp_path / "a.jpg", grey(124))
    Image.fromarray(grey(128)).convert("P").save(tmp_path / "b.gif")
    data = load(tmp_path)
    assert len(data.images) == 2 and (data.images.int() - 126).abs().max() <= 4


@pytest.mark.parametrize("where", ["nowhere", "file.png", None])
def test_what_is_not_a_folder(tmp_path, where):
    (tmp_path / "file.png").write_bytes(b"x")
    with pytest.raises(DataError, match="is not a folder"):
        load_dataset(f"folder:{tmp_path / where}" if where else "folder:no such folder")


@pytest.mark.parametrize("path", ["", " ", "/"])
def test_a_variable_that_is_not_set_does_not_mean_this_folder_or_the_whole_disk(tmp_path, monkeypatch, path):
    split(tmp_path, "1.png", "2.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="names no folder of images"):
        load(path)
    assert len(load(".").images) == 2


def test_a_folder_without_images(tmp_path):
    (tmp_path / "readme.txt").write_text("nothing here")
    with pytest.raises(DataError, match="holds no images"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "cut"])
def test_one_broken_picture_is_named(tmp_path, content):
    save(tmp_path / "good.png", np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8))
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "broken.png").write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    with pytest.raises(DataError, match=r"broken\.png cannot be read") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    save(tmp_path / "bomb.png", grey(0, 64))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DataError, match=r"bomb\.png"):
        load(tmp_path)
