"""A finished run as a file that holds its recipe, and the recipe dropped on the page."""

import base64
import dataclasses
import io

import gradio as gr
import numpy as np
import pytest
from pages import picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from reversing import finished, reverse_tab, run

import ddpm
from ddpm.config import SamplingConfig
from ddpm.ui import recipe as recipes
from ddpm.ui import reverse, sampling


@pytest.mark.parametrize("kind", ["png", "gif"])
def test_a_saved_picture_holds_its_recipe_and_its_pixels(library, kind):
    trajectory = finished(library, n=5, steps=6)
    data = recipes.save(trajectory.frames, trajectory.settings, kind)
    recipe = recipes.read_recipe(base64.b64encode(data[: recipes.HEAD_BYTES]).decode())
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
    again = sampling.Trajectory(sampling.Settings.check(library, **{name: recipe[name] for name in reverse.FIELDS}))
    assert run(again) == first.frames


def test_files_without_a_recipe_are_refused_in_words():
    plain = io.BytesIO()
    Image.new("L", (8, 8)).save(plain, "PNG")
    evil = io.BytesIO()
    text = PngInfo()
    text.add_text("ddpm", "[" * 100_000)
    Image.new("L", (8, 8)).save(evil, "PNG", pnginfo=text)
    cases = [None, 7, "", "%%%", base64.b64encode(b"hello").decode(), "A" * 300_000]
    cases += [base64.b64encode(file.getvalue()).decode() for file in (plain, evil)]
    for case in cases:
        with pytest.raises(ValueError, match="no recipe"):
            recipes.read_recipe(case)


class Dropped:
    def __init__(self, data):
        self._data = {"head": base64.b64encode(data[: recipes.HEAD_BYTES]).decode()}


def test_a_dropped_file_restores_all_or_nothing(library):
    demo, *_ = reverse_tab(library)
    restore = next(f.fn for f in demo.fns.values() if f.name == "restore")
    asked = {"n": 7, "sampler": "ddim", "steps": 9, "guidance": 1, "middle": True, "eta": 0.5, "variance": "large"}
    asked |= {"spacing": "trailing", "clip": False, "seed": 21, "choice": "3"}
    trajectory = finished(library, **asked)
    *good, said = restore("mnist", Dropped(recipes.save(trajectory.frames, trajectory.settings, "png")))
    good = dict(zip(reverse.FIELDS, good, strict=True))
    assert good.pop("choice")["value"] == asked.pop("choice") and "restored" in said["notice"]
    assert good == asked | {"weights_id": "mnist"}

    gone = dataclasses.replace(trajectory.settings.weights, label="trained elsewhere")
    elsewhere = dataclasses.replace(trajectory.settings, weights_id="gone", weights=gone)
    answer = restore("mnist", Dropped(recipes.save(trajectory.frames, elsewhere, "gif")))
    assert answer[reverse.FIELDS.index("weights_id")] == "mnist" and "not here" in answer[-1]["notice"]
    wrong = dataclasses.replace(trajectory.settings, how=SamplingConfig("ddim", 2000))
    refused = restore("mnist", Dropped(recipes.save(trajectory.frames, wrong, "png")))
    assert "Steps" in refused[-1]["error"] and refused[:-1] == [gr.skip()] * len(reverse.FIELDS)


def test_a_file_from_before_a_choice_existed_means_what_was_done_then(library, monkeypatch):
    demo, *_ = reverse_tab(library)
    restore = next(f.fn for f in demo.fns.values() if f.name == "restore")
    trajectory = finished(library, guidance=2)
    old = {k: v for k, v in trajectory.settings.recipe().items() if k not in reverse.BEFORE}
    monkeypatch.setattr(sampling.Settings, "recipe", lambda self: old)
    *answer, said = restore("mnist", Dropped(recipes.save(trajectory.frames, trajectory.settings, "png")))
    answer = dict(zip(reverse.FIELDS, answer, strict=True))
    assert {name: answer[name] for name in reverse.BEFORE} == reverse.BEFORE and "restored" in said["notice"]
