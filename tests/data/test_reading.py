"""One picture as a viewer shows it: upright, laid on a ground on which it is seen, its grey by the format's range."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from ddpm import DataError
from ddpm.reading import natural, read_picture

HOW_STORED = {  # an EXIF orientation, and what a camera does to the upright picture that it then stores
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def written(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    file.seek(0)
    return file


def read(pixels, form="PNG", mode=None, **options):
    """Pixels, written and read again, as an array."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(read_picture(written(picture.convert(mode) if mode else picture, form, **options)))


# ---------------------------------------------------------------- upright


@pytest.mark.parametrize("orientation", HOW_STORED)
@pytest.mark.parametrize(
    ("form", "options"),
    [("JPEG", {"quality": 100}), ("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}),
     ("WEBP", {"lossless": True})],
)  # fmt: skip
def test_every_orientation_of_every_format_stands_upright(form, options, orientation):
    upright = np.arange(0, 240, 5, dtype=np.uint8).reshape(6, 8)[..., None].repeat(3, 2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read(HOW_STORED[orientation](upright), form, exif=exif, **options).astype(int)
    assert found[..., 0].shape == (6, 8) and np.abs(found.reshape(6, 8, 3) - upright).max() <= 4


def test_orientation_and_sixteen_bits_and_alpha_together():
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = (np.arange(6, dtype=np.uint16) * 257).reshape(2, 3)
    assert read(HOW_STORED[6](deep), exif=exif).tolist() == [[0, 1, 2], [3, 4, 5]]
    clear = np.zeros((2, 3, 4), np.uint8)
    clear[0, 0, 3] = 255
    assert read(HOW_STORED[6](clear), exif=exif)[..., 0].tolist() == [[0, 255, 255], [255, 255, 255]]


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03", 0, 9]
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_an_orientation_that_says_nothing_leaves_the_picture_as_it_lies(exif):
    if isinstance(exif, int):
        number, exif = exif, Image.Exif()
        exif[0x0112] = number
    assert read(np.arange(6, dtype=np.uint8).reshape(2, 3), exif=exif).tolist() == [[0, 1, 2], [3, 4, 5]]


# ---------------------------------------------------------------- opaque


def shape_in_alpha(colour):
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., :3] = colour
    pixels[2:6, 2:6, 3] = 255
    return pixels


@pytest.mark.parametrize(
    ("colour", "ground"),
    [((0, 0, 0), 255), ((255, 255, 255), 0), ((200, 30, 30), 255), ((250, 240, 60), 0), ((127, 127, 127), 255),
     ((128, 128, 128), 0)],
)  # fmt: skip
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_a_shape_in_the_alpha_channel_is_seen(form, colour, ground):
    found = read(shape_in_alpha(colour), form, **({"lossless": True} if form == "WEBP" else {}))
    assert (found[3, 3] == colour).all() and (found[0, 0] == ground).all()


def test_only_what_is_seen_decides_on_the_ground():
    pixels = shape_in_alpha((0, 0, 0))
    pixels[pixels[..., 3] == 0] = (255, 255, 255, 0)  # white that is not seen
    assert read(pixels)[0, 0].tolist() == [255, 255, 255] and read(pixels)[3, 3].tolist() == [0, 0, 0]


def test_half_transparent_is_half_the_ground():
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = 0, 51, 255
    assert read(pixels)[0, :, 0].tolist() == [255, 204, 0]


def test_grey_with_alpha_stays_grey_and_opaque_pictures_stay_as_they_are():
    assert read(shape_in_alpha(0), mode="LA").shape == (8, 8)
    assert read(shape_in_alpha(0), mode="LA")[[0, 3], [0, 3]].tolist() == [255, 0]
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    opaque = np.concatenate([colours, np.full((8, 8, 1), 255, np.uint8)], 2)
    assert np.array_equal(read(opaque), colours)


def test_a_palette_and_a_colour_that_stands_for_nothing():
    steps = np.array([[0, 1, 2]], np.uint8)
    palette = Image.fromarray(steps, "P")
    palette.putpalette([10, 10, 10, 0, 0, 0, 60, 60, 60])
    assert np.asarray(read_picture(written(palette, "GIF", transparency=1)))[0, :, 0].tolist() == [10, 255, 60]
    soft = written(palette, "PNG", transparency=bytes([255, 0, 51]))  # an alpha of its own for each colour
    assert np.asarray(read_picture(soft))[0, :, 0].tolist() == [10, 255, 216]
    assert read(steps * 40, transparency=40).tolist() == [[0, 255, 80]]
    assert read(steps[..., None].repeat(3, 2) * 40, transparency=(40, 40, 40))[0, :, 0].tolist() == [0, 255, 80]
    assert read(steps.astype(np.uint16) * 257 * 40, transparency=257 * 40).tolist() == [[0, 255, 80]]


# ---------------------------------------------------------------- more than eight bits


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_by_their_range(form):
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    assert np.array_equal(read(ramp, form).ravel(), np.arange(256))


def tiff(values, bits, order="<", white_is_zero=False):
    """A grey TIFF of one strip, put together by hand: PIL writes neither 12 bits nor the other byte order."""
    height, width = values.shape
    if bits == 12:
        data = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.reshape(-1, 2).tolist())
    else:
        data = values.astype(f"{order}u2").tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 0 if white_is_zero else 1, 273: 8, 277: 1, 278: height}
    tags[279] = len(data)
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(data))
    return io.BytesIO(start + data + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))


def test_the_other_byte_order_twelve_bits_and_white_is_zero():
    ramp = np.array([[0, 1000], [2047, 3000], [4094, 4095]])
    eight = np.rint(ramp * 255 / 4095)
    assert np.array_equal(np.asarray(read_picture(tiff(ramp, 12))), eight)
    sixteen = np.rint(ramp * 65535 / 4095)
    assert np.array_equal(np.asarray(read_picture(tiff(sixteen, 16, ">"))), eight)
    assert np.array_equal(np.asarray(read_picture(tiff(sixteen, 16, "<", white_is_zero=True))), 255 - eight)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_thirty_two_bits_are_refused_and_not_clipped(tmp_path, dtype):
    path = tmp_path / "deep.tif"
    Image.fromarray(np.linspace(0, 4095, 64).astype(dtype).reshape(8, 8)).save(path)
    with pytest.raises(DataError, match=r"deep\.tif cannot be read .*which value is white; save it as 8 bits"):
        read_picture(path)


def test_colour_of_any_kind_is_rgb_and_a_bitmap_is_grey():
    assert read(np.full((4, 4, 3), 200, np.uint8), "JPEG", mode="CMYK").shape == (4, 4, 3)
    assert read(np.array([[0, 255]], np.uint8), mode="1").tolist() == [[0, 255]]


def test_what_is_no_picture_is_said():
    with pytest.raises(DataError, match="the picture cannot be read"):
        read_picture(io.BytesIO(b"not a picture"))


def test_natural_order():
    names = ["-1", "0", "2", "02.5", "10", "", "a", "a1b2", "a1b10", "a2", "a10", "b"]
    assert sorted(reversed(names), key=natural) == names
