"""folder:PATH, any folder of images: grey or colour, with classes or without, and what is wrong with it in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from ddpm import DataError, load_dataset


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


def test_a_picture_outside_the_sub_folders_means_no_classes(tmp_path):
    save(tmp_path / "cat" / "1.png", grey(1))
    save(tmp_path / "2.png", grey(2))
    data = load(tmp_path)
    assert data.labels is None and data.num_classes == 0 and len(data.images) == 2


def test_the_centred_square_is_taken_and_resized(tmp_path):
    wide = np.zeros((8, 24), dtype=np.uint8)
    wide[:, 8:16] = 90
    save(tmp_path / "wide.png", wide)
    save(tmp_path / "tall.png", wide.T.copy())
    assert load(tmp_path, 4).images.shape == (2, 1, 4, 4)
    assert (load(tmp_path, 8).images == 90).all()


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    deep = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    save(tmp_path / "deep.png", deep)
    assert torch.equal(load(tmp_path).images[0, 0], torch.from_numpy((deep // 256).astype(np.uint8)))


def test_a_jpeg_and_a_palette(tmp_path):
    save(tmp_path / "a.jpg", grey(128))
    Image.fromarray(grey(128)).convert("P").save(tmp_path / "b.gif")
    data = load(tmp_path)
    assert len(data.images) == 2 and (data.images.int() - 128).abs().max() <= 2


@pytest.mark.parametrize("where", ["nowhere", "file.png", None])
def test_what_is_not_a_folder(tmp_path, where):
    (tmp_path / "file.png").write_bytes(b"x")
    with pytest.raises(DataError, match="is not a folder"):
        load_dataset(f"folder:{tmp_path / where}" if where else "folder:no such folder")


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
