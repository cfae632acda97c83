"""A finished run as a picture that holds its generation parameters, and is opened again."""

import io
import struct
import time
import zlib

import gradio as gr
import numpy as np
import pytest
from helpers.pages import picture
from helpers.reversing import finished, run
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import ddpm
from ddpm.ui.generation import image_file
from ddpm.ui.generation.request import Settings
from ddpm.ui.generation.trajectory import Trajectory
from ddpm.ui.tabs.reverse import tab as reverse


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_a_saved_picture_holds_its_recipe_and_its_pixels(registry, kind):
    trajectory = finished(registry, n=5, steps=6)
    data, count = image_file.save(trajectory, kind)
    parameters = image_file.read_parameters(data)
    assert count == 7
    asked = {"n": 5, "class": "all in turn", "sampler": "ddim", "steps": 6, "guidance": 2, "eta": 0, "seed": 3}
    asked |= {"middle": False, "variance": "small", "spacing": "linspace", "clip": True}
    assert parameters == {"ddpm": ddpm.__version__, "weights": "mnist"} | asked
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.size == ((3 * 34 + 2) * 4, (2 * 34 + 2) * 4)
        assert getattr(opened, "n_frames", 1) == (7 if kind == "gif" else 1)
        opened.seek(opened.n_frames - 1 if kind == "gif" else 0)
        shown = np.asarray(opened.convert("L"))[8:136:4, 8:136:4]
    exact = picture(trajectory.frames[-1]["x_t"])[:1024].reshape(32, 32).astype(int)
    assert np.abs(shown.astype(int) - exact).max() <= (3 if kind == "gif" else 0)


def test_a_recipe_makes_the_same_digits_again(registry):
    first = finished(registry, n=3, sampler="ddpm", steps=5, guidance=1.5, seed=11, variance="large", clip=False)
    parameters = first.settings.parameters()
    parameters |= {"choice": parameters["class"], "weights_id": parameters["weights"]}
    again = Trajectory(Settings.check(registry, **{name: parameters[name] for name in reverse.FIELDS}))
    assert run(again) == first.frames


def test_a_film_too_large_to_be_opened_again_is_saved_with_fewer_frames(registry, monkeypatch):
    trajectory = finished(registry, n=5, steps=20)
    most = len(image_file.save(trajectory, "gif")[0]) // 2
    monkeypatch.setattr(image_file, "MAX_BYTES", most)
    data, count = image_file.save(trajectory, "gif")
    assert len(data) <= most and 5 < count < 21
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.n_frames == count


def test_files_without_a_recipe_are_refused_in_words():
    plain = io.BytesIO()
    Image.new("L", (8, 8)).save(plain, "PNG")
    evil = io.BytesIO()
    text = PngInfo()
    text.add_text("ddpm", "[" * 100_000)
    Image.new("L", (8, 8)).save(evil, "PNG", pnginfo=text)
    for case in (
        b"",
        b"hello",
        b"GIF89a" + b"\0" * 7 + b"!\xfe" + b"\1\1" * 99,
        b"GIF89a" + b"\xff" * 99,
        b"\x89PNG\r\n\x1a\n" + b"\0" * 50,
        b"GIF89a",
        plain.getvalue(),
        evil.getvalue(),
    ):
        with pytest.raises(ValueError, match="no settings"):
            image_file.read_parameters(case)


def test_an_opened_picture_restores_all_or_nothing(registry, opened):
    asked = {"n": 7, "sampler": "ddim", "steps": 9, "guidance": 1, "middle": True, "eta": 0.5, "variance": "large"}
    asked |= {"spacing": "trailing", "clip": False, "seed": 21, "choice": "3"}
    trajectory = finished(registry, **asked)
    *good, said = opened(image_file.save(trajectory, "png")[0])
    good = dict(zip(reverse.FIELDS, good, strict=True))
    assert good.pop("choice")["value"] == asked.pop("choice") and "restored" in said["notice"]
    assert good == asked | {"weights_id": "mnist"}

    trajectory.parameters |= {"weights": "trained elsewhere"}
    answer = opened(image_file.save(trajectory, "gif")[0])
    assert answer[reverse.FIELDS.index("weights_id")] == "mnist" and "not here" in answer[-1]["notice"]
    trajectory.parameters |= {"steps": 2000}
    refused = opened(image_file.save(trajectory, "png")[0])
    assert "Steps" in refused[-1]["error"] and refused[:-1] == [gr.skip()] * len(reverse.FIELDS)


def test_a_file_from_before_a_choice_existed_means_what_was_done_then(registry, opened):
    trajectory = finished(registry, guidance=2)
    trajectory.parameters = {k: v for k, v in trajectory.parameters.items() if k not in image_file.BEFORE}
    *answer, said = opened(image_file.save(trajectory, "png")[0])
    answer = dict(zip(reverse.FIELDS, answer, strict=True))
    assert {name: answer[name] for name in image_file.BEFORE} == image_file.BEFORE and "restored" in said["notice"]


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def again(data, *texts, before=False):
    """The PNG as another program saves it: the same pixels, none of the texts but these, at either end."""
    plain = io.BytesIO()
    Image.open(io.BytesIO(data)).save(plain, "PNG")
    head = 33 if before else len(plain.getvalue()) - 12
    return plain.getvalue()[:head] + b"".join(texts) + plain.getvalue()[head:]


FOREIGN = {
    "tEXt": lambda r: chunk(b"tEXt", b"ddpm\0" + r),
    "zTXt": lambda r: chunk(b"zTXt", b"ddpm\0\0" + zlib.compress(r)),
    "iTXt": lambda r: chunk(b"iTXt", b"ddpm\0\0\0en\0ddpm\0" + r),
    "iTXt, compressed": lambda r: chunk(b"iTXt", b"ddpm\0\1\0\0\0" + zlib.compress(r)),
    "another keyword": lambda r: chunk(b"tEXt", b"Comment\0" + r),
    "byte order mark": lambda r: chunk(b"iTXt", b"ddpm\0\0\0\0\0\xef\xbb\xbf" + r),
    "byte order mark, read as Latin-1": lambda r: chunk(b"iTXt", b"ddpm\0\0\0\0\0" + "ï»¿".encode() + r),
    "padded to a megabyte": lambda r: chunk(b"zTXt", b"ddpm\0\0" + zlib.compress(r + b" " * 1_500_000)),
}


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("kind", FOREIGN)
def test_the_recipe_is_found_wherever_a_png_may_hold_it(registry, kind, before):
    trajectory = finished(registry, n=5)
    data, parameters = image_file.save(trajectory, "png")[0], trajectory.parameters
    history = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<x>" * 400_000)  # a picture program's own
    damaged = chunk(b"zTXt", b"more\0\0no zlib")
    found = again(data, history, damaged, FOREIGN[kind](image_file.json.dumps(parameters).encode()), before=before)
    assert image_file.read_parameters(found) == parameters


@pytest.mark.parametrize("where", ["first", "between", "last"])
def test_the_recipe_is_found_wherever_a_gif_may_hold_it(registry, where):
    trajectory = finished(registry, n=5)
    pictures, data = [Image.new("L", (9, 9), k) for k in (10, 200)], io.BytesIO()
    pictures[0].save(data, "GIF", save_all=True, append_images=pictures[1:], duration=90)
    data, text = data.getvalue(), image_file.json.dumps(trajectory.parameters).encode()
    lines = [text[i : i + 255] for i in range(0, len(text), 255)]
    comment = b"!\xfe" + b"".join(bytes([len(line)]) + line for line in lines) + b"\0"
    controls = [i for i in range(len(data)) if data[i : i + 3] == b"!\xf9\x04"]
    at = {"first": controls[0], "between": controls[1], "last": len(data) - 1}[where]
    assert image_file.read_parameters(data[:at] + comment + data[at:]) == trajectory.parameters


def test_a_picture_that_would_take_forever_is_refused_soon():
    bomb = chunk(b"zTXt", b"ddpm\0\0" + zlib.compress(b" " * 50_000_000, 9))
    many = chunk(b"tEXt", b"a\0b")
    for data in (
        image_file.MAGIC[0] + 200 * bomb,
        image_file.MAGIC[0] + 700_000 * many,
        b"GIF89a" + b"\0" * 7 + b"!\xfe\1b" * 3_000_000,
    ):
        start = time.process_time()
        with pytest.raises(ValueError, match="no settings"):
            image_file.read_parameters(data)
        assert time.process_time() - start < 1
