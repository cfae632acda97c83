"""A finished run as a picture that holds its recipe, and the recipe opened again."""

import io
import struct
import time
import zlib

import gradio as gr
import numpy as np
import pytest
from pages import picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from reversing import finished, run

import ddpm
from ddpm.ui.generation import recipe as recipes
from ddpm.ui.generation import sampling
from ddpm.ui.generation.settings import Settings
from ddpm.ui.tabs.reverse import tab as reverse


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_a_saved_picture_holds_its_recipe_and_its_pixels(library, kind):
    trajectory = finished(library, n=5, steps=6)
    data, count = recipes.save(trajectory, kind)
    recipe = recipes.read_recipe(data)
    assert count == 7
    asked = {"n": 5, "class": "all in turn", "sampler": "ddim", "steps": 6, "guidance": 2, "eta": 0, "seed": 3}
    asked |= {"middle": False, "variance": "small", "spacing": "linspace", "clip": True}
    assert recipe == {"ddpm": ddpm.__version__, "weights": "mnist"} | asked
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.size == ((3 * 34 + 2) * 4, (2 * 34 + 2) * 4)
        assert getattr(opened, "n_frames", 1) == (7 if kind == "gif" else 1)
        opened.seek(opened.n_frames - 1 if kind == "gif" else 0)
        shown = np.asarray(opened.convert("L"))[8:136:4, 8:136:4]
    exact = picture(trajectory.frames[-1]["x"])[:1024].reshape(32, 32).astype(int)
    assert np.abs(shown.astype(int) - exact).max() <= (3 if kind == "gif" else 0)


def test_a_recipe_makes_the_same_digits_again(library):
    first = finished(library, n=3, sampler="ddpm", steps=5, guidance=1.5, seed=11, variance="large", clip=False)
    recipe = first.settings.recipe()
    recipe |= {"choice": recipe["class"], "weights_id": recipe["weights"]}
    again = sampling.Trajectory(Settings.check(library, **{name: recipe[name] for name in reverse.FIELDS}))
    assert run(again) == first.frames


def test_a_film_too_large_to_be_opened_again_is_saved_with_fewer_frames(library, monkeypatch):
    trajectory = finished(library, n=5, steps=20)
    most = len(recipes.save(trajectory, "gif")[0]) // 2
    monkeypatch.setattr(recipes, "MAX_BYTES", most)
    data, count = recipes.save(trajectory, "gif")
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
        with pytest.raises(ValueError, match="no recipe"):
            recipes.read_recipe(case)


def test_an_opened_picture_restores_all_or_nothing(library, opened):
    asked = {"n": 7, "sampler": "ddim", "steps": 9, "guidance": 1, "middle": True, "eta": 0.5, "variance": "large"}
    asked |= {"spacing": "trailing", "clip": False, "seed": 21, "choice": "3"}
    trajectory = finished(library, **asked)
    *good, said = opened(recipes.save(trajectory, "png")[0])
    good = dict(zip(reverse.FIELDS, good, strict=True))
    assert good.pop("choice")["value"] == asked.pop("choice") and "restored" in said["notice"]
    assert good == asked | {"weights_id": "mnist"}

    trajectory.recipe |= {"weights": "trained elsewhere"}
    answer = opened(recipes.save(trajectory, "gif")[0])
    assert answer[reverse.FIELDS.index("weights_id")] == "mnist" and "not here" in answer[-1]["notice"]
    trajectory.recipe |= {"steps": 2000}
    refused = opened(recipes.save(trajectory, "png")[0])
    assert "Steps" in refused[-1]["error"] and refused[:-1] == [gr.skip()] * len(reverse.FIELDS)


def test_a_file_from_before_a_choice_existed_means_what_was_done_then(library, opened):
    trajectory = finished(library, guidance=2)
    trajectory.recipe = {k: v for k, v in trajectory.recipe.items() if k not in recipes.BEFORE}
    *answer, said = opened(recipes.save(trajectory, "png")[0])
    answer = dict(zip(reverse.FIELDS, answer, strict=True))
    assert {name: answer[name] for name in recipes.BEFORE} == recipes.BEFORE and "restored" in said["notice"]


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
def test_the_recipe_is_found_wherever_a_png_may_hold_it(library, kind, before):
    trajectory = finished(library, n=5)
    data, recipe = recipes.save(trajectory, "png")[0], trajectory.recipe
    history = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"<x>" * 400_000)  # a picture program's own
    damaged = chunk(b"zTXt", b"more\0\0no zlib")
    found = again(data, history, damaged, FOREIGN[kind](recipes.json.dumps(recipe).encode()), before=before)
    assert recipes.read_recipe(found) == recipe


@pytest.mark.parametrize("where", ["first", "between", "last"])
def test_the_recipe_is_found_wherever_a_gif_may_hold_it(library, where):
    trajectory = finished(library, n=5)
    pictures, data = [Image.new("L", (9, 9), k) for k in (10, 200)], io.BytesIO()
    pictures[0].save(data, "GIF", save_all=True, append_images=pictures[1:], duration=90)
    data, text = data.getvalue(), recipes.json.dumps(trajectory.recipe).encode()
    lines = [text[i : i + 255] for i in range(0, len(text), 255)]
    comment = b"!\xfe" + b"".join(bytes([len(line)]) + line for line in lines) + b"\0"
    controls = [i for i in range(len(data)) if data[i : i + 3] == b"!\xf9\x04"]
    at = {"first": controls[0], "between": controls[1], "last": len(data) - 1}[where]
    assert recipes.read_recipe(data[:at] + comment + data[at:]) == trajectory.recipe


def test_a_picture_that_would_take_forever_is_refused_soon():
    bomb = chunk(b"zTXt", b"ddpm\0\0" + zlib.compress(b" " * 50_000_000, 9))
    many = chunk(b"tEXt", b"a\0b")
    for data in (
        recipes.MAGIC[0] + 200 * bomb,
        recipes.MAGIC[0] + 700_000 * many,
        b"GIF89a" + b"\0" * 7 + b"!\xfe\1b" * 3_000_000,
    ):
        start = time.process_time()
        with pytest.raises(ValueError, match="no recipe"):
            recipes.read_recipe(data)
        assert time.process_time() - start < 1
