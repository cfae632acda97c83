"""What holds for all inner tabs of Edit: a run's frames, its files, and its way into Reverse."""

import io
import json

import numpy as np
import pytest
import torch
from helpers.edits import ASKED, Tab, text
from helpers.pages import picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ddpm import ModelConfig, make_schedule
from ddpm.networks import build_model
from ddpm.ui.generation.edited import resampled
from ddpm.ui.generation.models import wrap
from ddpm.ui.tabs.edit import invert


@pytest.fixture(params=ASKED)
def tab(request, registry, monkeypatch):
    monkeypatch.setattr(invert, "MEASURED", (2, 3))
    return Tab(request.param, registry)


def test_every_moment_is_sent_and_lies_on_the_timeline(tab):
    run, frames = tab.made()
    assert [frame["index"] for frame in frames] == list(range(len(frames)))
    assert run["total"] == len(run["times"]) == len(run["signal"]) == len(set(run["places"])), "a place for each time"
    assert [frame["place"] for frame in frames] == run["places"] and run["num_steps"] == len(frames) - 1
    for frame in frames:
        assert run["times"][frame["place"]] == frame["t"] and run["signal"][frame["place"]] == frame["signal"]
        assert picture(frame["x_t"]).size == run["n"] * 32 * 32
    assert frames[-1]["t"] == -1 and frames[-1]["x_t"] == frames[-1]["x0_hat"]


def test_evaluations_are_counted_honestly(registry, tab):
    """Every call of the network counts, by how often it is asked for each picture."""
    calls, inner = [], registry.get("mnist").model.model
    hook = torch.nn.modules.module.register_module_forward_pre_hook(
        lambda module, args: calls.append(len(args[0])) if type(module) is type(inner) else None
    )
    try:
        run, _ = tab.made()
    finally:
        hook.remove()
    if tab.name == "invert":  # the way there is one picture's; then come the errors over the steps, not of the run
        steps = tab.values["steps"]
        asked = sum(calls[:steps]) + sum(calls[steps : 2 * steps]) / run["n"]
    else:
        asked = sum(calls) / run["n"]
    assert asked == run["evaluations"] > 0


def test_a_saved_picture_opened_again_makes_the_same(tab, registry, tmp_path):
    run, frames = tab.made()
    for kind, words in (("png", b"\x89PNG"), ("gif", b"GIF8")):
        path = tmp_path / f"saved.{kind}"
        path.write_bytes(tab.saved(run["run"], kind))
        assert path.read_bytes().startswith(words)
        values, packet = tab.open(path)
        assert values == list(tab.values.values()) and "make it again" in packet["notice"]
        assert packet.items() >= tab.page.items()
        _, again = tab.made(packet, **dict(zip(tab.values, values, strict=True)))
        assert [frame["x_t"] for frame in again] == [frame["x_t"] for frame in frames]
    for other in set(ASKED) - {tab.name}:
        skipped, packet = Tab(other, registry).open(path)
        assert packet == {"error": f"That file was not saved in this tab. Open it in {tab.name.capitalize()}."}
        assert all(value == {"__type__": "update"} for value in skipped), "nothing on the page changes"
    other_model = tab.open(path, "gone")[1]["error"]
    assert "Choose others" in other_model


def test_a_file_that_says_what_cannot_be_made_changes_nothing(tab, tmp_path):
    run, _ = tab.made()
    picture, path = Image.open(io.BytesIO(tab.saved(run["run"], "png"))), tmp_path / "tampered.png"
    key, said = next((key, text) for key, text in picture.text.items() if '"asked"' in text)
    parameters, texts = json.loads(said), PngInfo()
    name = next(iter(set(tab.values) & {"seed", "steps"}))
    parameters["asked"][name] = -1
    texts.add_text(key, json.dumps(parameters))
    picture.save(path, pnginfo=texts)
    skipped, packet = tab.open(path)
    assert name.capitalize() in packet["error"] and all(value == {"__type__": "update"} for value in skipped)


def test_reverse_sends_a_picture_of_edit_back_to_it(tab, opened, tmp_path):
    run, _ = tab.made()
    assert "made in Edit" in opened(tab.saved(run["run"], "png"))[-1]["error"]


def test_it_is_followed_and_branched_in_reverse(tab, opened):
    """Times fall there, so that of a step that was taken again the last time counts."""
    run, frames = tab.made()
    shown = opened(tab.saved(run["run"], "trajectory"))[-1]
    times = [frame["t"] for frame in shown["frames"]]
    assert times == sorted(times, reverse=True) and times[-1] == -1 and len(set(times)) == len(times)
    assert shown["n"] == run["n"]
    for t, frame in zip(times, shown["frames"], strict=True):
        last = [one for one in frames if one["t"] == t][-1]
        assert np.abs(picture(last["x_t"]).astype(int) - picture(frame["x_t"])).max() <= 1  # it is kept as float16
    here = tab.ask("in_reverse", {"run": run["run"]})
    assert here["done"] and [frame["t"] for frame in here["frames"]] == times and here["run"] != run["run"]
    assert here["frames"][-1]["x_t"] == frames[-1]["x_t"]
    branch = tab.branch({"run": here["run"], "index": 1})
    assert branch["done"] and branch["parent"] == here["run"] and branch["from"] == 1 and branch["total"] == len(times)


def test_a_run_that_is_gone_says_so(tab):
    for question in (None, {}, {"run": "guess", "kind": "png"}, {"run": ["x"]}):
        for name in ("file", "in_reverse"):
            assert "Make it again" in tab.ask(name, question)["error"]
    run, _ = tab.made()
    assert "File" in tab.ask("file", {"run": run["run"], "kind": "exe"})["error"]


def test_what_is_no_saved_picture_is_one_sentence(tab, tmp_path):
    path = tmp_path / "sent"
    for data in (b"", b"text", b"\x89PNG\r\n\x1a\n" + bytes(100)):
        path.write_bytes(data)
        assert len(tab.open(path)[1]["error"]) < 140


def test_weights_that_are_gone_are_one_sentence(tab):
    assert "Choose others" in tab.refused(weights="gone")


@pytest.mark.parametrize(
    ("begin", "end", "r", "expected"),
    [(0, 3, 1, [0, 1, 2, 3]), (0, 3, 2, [0, 1, 0, 1, 2, 1, 2, 3]), (1, 3, 3, [1, 2, 1, 2, 1, 2, 3]), (2, 3, 5, [2, 3])],
)
def test_the_way_of_resampled_steps(begin, end, r, expected):
    assert resampled(begin, end, r) == expected


def test_colour_and_other_sizes_go_through_every_inner_tab(tab, registry):
    config = ModelConfig(base=8, mults=(1, 2), in_ch=3, img_size=16, num_classes=3, prediction="v")
    names = ("hat", "coat", "shoe")
    registry.put("colour", wrap(build_model(config, 1), make_schedule(), "linear", "mine", "unknown", names))
    x0, other = (text(np.random.default_rng(seed).integers(0, 256, (16, 16, 3))) for seed in (0, 1))
    erased = np.eye(16, dtype=np.uint8)
    page = {"x0": x0, "other": other, "label": "coat", "other_label": "hat", "erased": text(erased)}
    chosen = {"choice": "its own" if "its own" in tab.values.values() else "shoe", "a": "hat", "b": "shoe"}
    changes = {name: value for name, value in chosen.items() if name in tab.values}
    if tab.name == "interpolate":
        changes["ends"] = "digits"
    run, frames = tab.made(page, weights="colour", **changes)
    assert (run["size"], run["channels"]) == (16, 3) and "read" not in frames[-1], "no classifier knows these"
    assert picture(frames[-1]["x_t"]).size == run["n"] * 16 * 16 * 3
    if tab.name == "inpaint":
        kept = picture(frames[-1]["x_t"]).reshape(4, 16, 16, 3)[:, erased == 0]
        assert (kept == picture(x0).reshape(16, 16, 3)[erased == 0]).all()
    if tab.name == "invert":
        assert run["n"] == 3 and run["own"] == 1
