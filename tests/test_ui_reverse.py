"""What the Reverse tab computes, without a browser."""

import asyncio
import base64
import dataclasses
import io
import math

import gradio as gr
import numpy as np
import pytest
import torch
from pages import Window, handler, picture
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import ddpm
from ddpm import metrics
from ddpm.config import ModelConfig, SamplingConfig
from ddpm.data import to_uint8
from ddpm.samplers import reverse_process
from ddpm.train import build_model
from ddpm.ui import parts, reverse, sampling
from ddpm.ui import recipe as recipes
from ddpm.ui.engine import Engine
from ddpm.ui.equations import coefficients
from ddpm.ui.weights import wrap


def settings(library, **changes):
    asked = {"n": 2, "choice": "all in turn", "sampler": "ddim", "steps": 4, "guidance": 2, "eta": 0, "seed": 3}
    asked["middle"] = False
    return sampling.Settings.check(library, **asked | {"weights_id": "mnist"} | changes)


def run(trajectory):
    return [frame for frame in trajectory.steps() if frame]


def test_frames_are_those_of_reverse_process(library):
    s = settings(library, guidance=1)
    frames = run(sampling.Trajectory(s))
    process = reverse_process(s.weights.model, s.weights.sched, 2, y=torch.tensor([0, 1]), num_steps=4, seed=3)
    for frame, step in zip(frames, process, strict=True):
        assert (frame["i"], frame["t"]) == (step.i, step.t)
        assert np.array_equal(picture(frame["x"]), to_uint8(step.x_t).numpy().ravel())
        assert np.array_equal(picture(frame["h"]), to_uint8(step.x0_hat).numpy().ravel())


@pytest.mark.parametrize(
    "changes",
    [
        {"eta": 0.7},
        {"sampler": "ddpm"},
        {"sampler": "ddpm", "variance": "large"},
        {"spacing": "trailing"},
        {"clip": False},
        {"sampler": "dpmpp", "spacing": "log_snr"},
        {"sampler": "heun", "spacing": "log_snr"},
    ],
)
def test_every_setting_reaches_the_process(library, changes):
    s = settings(library, guidance=1, **changes)
    frames = run(sampling.Trajectory(s))
    options = {"sampler": "ddim", "num_steps": 4, "seed": 3} | changes
    *_, last = reverse_process(s.weights.model, s.weights.sched, 2, y=torch.tensor([0, 1]), **options)
    assert np.array_equal(picture(frames[-1]["x"]), to_uint8(last.x_t).numpy().ravel())
    assert frames[-1]["x"] != run(sampling.Trajectory(settings(library, guidance=1)))[-1]["x"]


def test_same_seed_same_digits_and_another_seed_others(library):
    first, again = run(sampling.Trajectory(settings(library))), run(sampling.Trajectory(settings(library)))
    other = run(sampling.Trajectory(settings(library, seed=4)))
    assert first == again
    assert first[0]["x"] != other[0]["x"]


@pytest.mark.parametrize("steps", [1, 99, 100, 101, 1000])
def test_at_most_a_hundred_frames_first_and_last_included(library, steps):
    trajectory = sampling.Trajectory(settings(library, steps=steps))
    kept = sorted(trajectory.kept)
    assert kept[0] == 0 and kept[-1] == steps
    assert len(kept) == min(steps + 1, 100)


def test_the_moment_of_a_stop_is_kept(library):
    trajectory = sampling.Trajectory(settings(library, steps=1000))
    steps = trajectory.steps()
    for _ in range(8):
        next(steps)
    steps.close()
    assert [frame["i"] for frame in trajectory.frames] == [0]
    assert trajectory.end() == trajectory.frames[1:] and trajectory.frames[1]["i"] == 7
    assert trajectory.end() == []
    assert trajectory.packet([])["evaluations"] == 8 * 2, "the moment shown has been asked about"


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({}, 8),
        ({"guidance": 1}, 4),
        ({"guidance": 0}, 4),
        ({"choice": "none"}, 4),
        ({"middle": True}, 5),  # of 999, 666, 333 and 0 one lies in the middle
        ({"middle": True, "choice": "none"}, 4),
        ({"sampler": "dpmpp"}, 8),
        ({"sampler": "heun"}, 14),
        ({"sampler": "heun", "middle": True}, 9),  # 333, where guidance counts, is asked about twice
    ],
)
def test_network_evaluations_are_counted_honestly(library, changes, cost):
    s = settings(library, **changes)
    trajectory = sampling.Trajectory(s)
    calls, inner = [], s.weights.model.model

    def count(module, args):
        calls.append(len(args[0]) // s.n)

    hook = inner.register_forward_pre_hook(count)
    run(trajectory)
    hook.remove()
    assert sum(calls) == cost == trajectory.packet([])["evaluations"]


def test_none_asks_for_no_class_and_a_digit_for_that_digit(library):
    assert settings(library, choice="none").labels == (-1,)
    assert settings(library, choice="7").labels == (7,)
    assert settings(library, choice="all in turn").labels == tuple(range(10))
    assert parts.digit_labels([7], 3).tolist() == [7, 7, 7]
    assert parts.digit_labels(list(range(10)), 12).tolist() == [*range(10), 0, 1]


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp", "heun"])
@pytest.mark.parametrize("variance", ["small", "large"])
def test_the_numbers_in_the_equation_are_those_of_the_step(sampler, variance):
    sched = ddpm.make_schedule(1000, kind="cosine", dtype=torch.float64)
    x_t, x0, z, before, eps_s = torch.randn(5, 1, 1, 4, 4, dtype=torch.float64).unbind(0)
    times = [700, 600, 500, -1]
    r, t, s = (torch.tensor([time]) for time in times[:3])
    eps = (x_t - sched.alphas_bar[600].sqrt() * x0) / (1 - sched.alphas_bar[600]).sqrt()
    euler = ddpm.ddim_step(x0, eps, t, s, sched)
    pictures, exact = {
        "ddim": ((x0, eps, z), ddpm.ddim_step(x0, eps, t, s, sched, 0.5, z)),
        "ddpm": ((x0, x_t, z), ddpm.ddpm_step(x_t, x0, t, s, sched, z, variance)),
        "dpmpp": ((x_t, x0, before), ddpm.dpmpp_step(x_t, x0, t, s, sched, before, r)),
        "heun": ((x0, eps, eps_s), ddpm.heun_step(euler, eps, eps_s, t, s, sched)),
    }[sampler]
    how = SamplingConfig(sampler, 3, eta=0.5, variance=variance)
    numbers = coefficients(how, times, 1, sched)
    by_hand = sum(number * one for number, one in zip(numbers, pictures, strict=True))
    assert torch.allclose(by_hand, exact, atol=1e-3)  # they are shown to four digits
    assert abs(numbers[2]) > 0.05
    if sampler in ("dpmpp", "heun"):
        assert coefficients(how, times, 2, sched)[2] == 0, "first order to clean data"
    if sampler == "dpmpp":
        assert coefficients(how, times, 0, sched)[2] == 0, "and at the start"


BAD = [
    ({"n": 0}, "Digits"),
    ({"n": 65}, "Digits"),
    ({"n": 10**400}, "Digits"),
    ({"n": 2.5}, "Digits"),
    ({"n": None}, "Digits"),
    ({"n": "many"}, "Digits"),
    ({"n": True}, "Digits"),
    ({"choice": "10"}, "Class"),
    ({"choice": None}, "Class"),
    ({"choice": ["1"]}, "Class"),
    ({"sampler": "euler"}, "Sampler"),
    ({"steps": 0}, "Steps"),
    ({"steps": 1001}, "Steps"),
    ({"steps": math.nan}, "Steps"),
    ({"guidance": -1}, "Guidance"),
    ({"guidance": math.inf}, "Guidance"),
    ({"middle": None}, "medium noise"),
    ({"middle": "yes"}, "medium noise"),
    ({"middle": [True]}, "medium noise"),
    ({"eta": 1.1}, "Eta"),
    ({"eta": math.nan}, "Eta"),
    ({"variance": "huge"}, "Variance"),
    ({"spacing": None}, "Spacing"),
    ({"clip": "no"}, "Clip"),
    ({"seed": -1}, "Seed"),
    ({"seed": 2**31}, "Seed"),
    ({"weights_id": "../mnist"}, "weights"),
    ({"weights_id": None}, "weights"),
    ({"weights_id": {}}, "weights"),
]


@pytest.mark.parametrize(("changes", "word"), BAD)
def test_bad_settings_get_one_sentence(library, changes, word):
    with pytest.raises(ValueError, match=word) as error:
        settings(library, **changes)
    assert len(str(error.value)) < 120 and "\n" not in str(error.value)


def test_an_unconditional_model_is_asked_without_labels(library):
    config = ModelConfig(base=8, mults=(1,), patch_size=4)
    library.put("secret", wrap(build_model(config), ddpm.make_schedule(), "linear", "mine", "mnist"))
    s = settings(library, weights_id="secret", choice="none")
    assert s.labels == (-1,)
    assert len(run(sampling.Trajectory(s))) == 5
    with pytest.raises(ValueError, match="Class"):
        settings(library, weights_id="secret", choice="3")


def test_kept_things_go_when_there_are_too_many():
    kept = parts.Kept(100)
    for i in range(5):
        kept.put(str(i), i, 40)
    assert [kept.get(str(i)) for i in range(5)] == [None, None, None, 3, 4]
    kept.put("4", 44, 10)
    assert kept.bytes == 50 and kept.get("4") == 44
    assert kept.get(["4"]) is None


def reverse_tab(library):
    engine = Engine()
    with gr.Blocks() as demo:
        reverse.build(engine, library, demo, gr.Dropdown(library.shipped, value="mnist"))
    return demo, engine, {b.elem_id: b for b in demo.blocks.values() if getattr(b, "elem_id", None)}


def test_a_closed_tab_and_a_second_generate_end_the_first(library):
    demo, engine = reverse_tab(library)[:2]
    generate = handler(demo, "reverse-generate")
    asked = (2, "none", 0, "mnist", "ddim", 1000, 1, False, 0, "small", "linspace", True)

    async def scenario():
        gone, stays = generate(Window("a"), *asked), generate(Window("b"), *asked)
        await anext(gone)
        await anext(stays)
        await gone.aclose()  # what Gradio does when the tab is closed
        while len(engine._jobs) > 1:
            await asyncio.sleep(0.01)
        again = generate(Window("b"), *asked[:5], 2, *asked[6:])
        return [packet async for packet in again][-1], [packet async for packet in stays][-1]

    again, stays = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert again["done"] and not again["stopped"] and again["step"] == 2
    assert stays["done"] and stays["stopped"] and stays["step"] < 1000
    assert stays["frames"][-1]["i"] == stays["step"]  # the moment it was stopped at
    assert len(engine._jobs) == 0


def test_frames_that_the_page_missed_are_sent_again(library):
    demo, _, named = reverse_tab(library)
    view = named["reverse-view"]

    async def run_it():
        asked = (1, "none", 0, "mnist", "ddim", 5, 1, False, 0, "small", "linspace", True)
        stream = handler(demo, "reverse-generate")(Window("a"), *asked)
        return [packet async for packet in stream]

    packets = asyncio.run(run_it())
    frames = [frame for packet in packets for frame in packet["frames"]]
    assert [frame["k"] for frame in frames] == list(range(6))
    missed = view.replay({"run": packets[0]["run"], "have": [0, 1, 5]})["frames"]
    assert missed == frames[2:5]
    for bad in (None, {}, {"run": "guess", "have": []}, {"run": ["x"]}, []):
        assert view.replay(bad) == {"frames": []}


def finished(library, **changes):
    trajectory = sampling.Trajectory(settings(library, **changes))
    run(trajectory)
    return trajectory


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


def test_a_picture_of_a_run_that_is_gone_says_what_to_do(library):
    *_, named = reverse_tab(library)
    for asked in (None, {}, {"run": "guess", "kind": "png"}, {"run": ["x"], "kind": "gif"}):
        assert "Press Generate" in asyncio.run(named["reverse-view"].picture(asked))["error"]


def test_stop_when_nothing_runs_says_so(library):
    demo, *_ = reverse_tab(library)
    assert handler(demo, "reverse-stop")(Window("nobody")) == {"notice": "Nothing is running."}


def test_what_it_costs_is_measured(library, monkeypatch):
    costs = sampling.Costs(Engine())
    s = settings(library, steps=50)
    sentence = asyncio.run(costs.sentence(s))
    assert sentence.startswith("50 steps, guided: 100 network evaluations, about ")
    seconds = costs._seconds["mnist", 4]  # two digits, guided pairs
    assert f"about {seconds * 50:.1f} s here" in sentence and seconds > 0
    single = asyncio.run(costs.sentence(settings(library, steps=1, guidance=1)))
    assert single.startswith("1 step: 1 network evaluation,")
    partly = asyncio.run(costs.sentence(settings(library, steps=15, middle=True)))
    assert partly.startswith("15 steps, 5 of them guided: 20 network evaluations, about ")
    twice = asyncio.run(costs.sentence(settings(library, steps=10, sampler="heun", guidance=1)))
    assert twice.startswith("10 steps, all but the last asking twice: 19 network evaluations, about ")
    monkeypatch.setitem(costs._seconds, ("mnist", 2), 1.0)
    assert "about 19.0 s here" in asyncio.run(costs.sentence(settings(library, steps=10, sampler="heun", guidance=1)))
    alone = asyncio.run(costs.sentence(settings(library, steps=1, sampler="heun", guidance=1)))
    assert alone.startswith("1 step: 1 network evaluation,")


def test_a_branch_that_changes_nothing_is_the_same_future(library):
    parent = finished(library, n=3, steps=6, eta=0.7)
    branch = sampling.Trajectory.branch(parent, 2, parent.settings)
    frames = run(branch)
    assert branch.frames[:2] == parent.frames[:2] and frames == branch.frames[2:]
    for ours, theirs in zip(branch.frames, parent.frames, strict=True):
        assert {k: ours[k] for k in "kitsxhc"} == {k: theirs[k] for k in "kitsxhc"}
    packet = branch.packet(frames)
    assert (packet["parent"], packet["from"], packet["what"]) == (parent.id, 2, "all in turn, DDIM, seed 3")
    assert packet["evaluations"] == 2 * 4, "four guided steps of its own"


@pytest.mark.parametrize("changes", [{"choice": "7"}, {"guidance": 5}, {"sampler": "ddpm"}, {"eta": 1, "seed": 9}])
def test_a_branch_shares_the_past_and_not_the_future(library, changes):
    parent = finished(library, n=3, steps=6, eta=0.7)
    other = settings(library, **{"n": 1, "steps": 500, "spacing": "trailing", "eta": 0.7} | changes)
    branch = sampling.Trajectory.branch(parent, 3, other)
    run(branch)
    assert [f["t"] for f in branch.frames] == [f["t"] for f in parent.frames]
    assert branch.frames[:3] == parent.frames[:3] and branch.frames[3]["x"] == parent.frames[3]["x"]
    assert branch.frames[-1]["x"] != parent.frames[-1]["x"]


def test_a_branch_of_a_long_run_starts_from_what_was_and_not_from_its_picture(library):
    parent = finished(library, n=2, steps=200, eta=0)
    branch = sampling.Trajectory.branch(parent, 50, parent.settings)
    run(branch)
    assert [f["x"] for f in branch.frames] == [f["x"] for f in parent.frames]
    assert [f["i"] for f in branch.frames] == [f["i"] for f in parent.frames]


def test_what_cannot_branch_says_so(library):
    demo, *_ = reverse_tab(library)
    fork = handler(demo, "reverse-branch")
    asked = (2, "none", 0, "mnist", "ddim", 5, 1, False, 0, "small", "linspace", True)

    async def press(at):
        return [packet async for packet in fork(Window("a"), at, *asked)][-1]

    async def generate():
        return [packet async for packet in handler(demo, "reverse-generate")(Window("a"), *asked)][-1]

    for at in (None, {}, {"run": "guess", "k": 0}, [], {"run": ["x"]}):
        assert "Press Generate" in asyncio.run(press(at))["error"]
    run_id = asyncio.run(generate())["run"]
    for k, words in ((99, "Frame"), (None, "Frame"), ("1", "Frame"), (5, "Drag the playhead back")):
        assert words in asyncio.run(press({"run": run_id, "k": k}))["error"]
    assert asyncio.run(press({"run": run_id, "k": 2}))["done"]
    config = ModelConfig(base=8, mults=(1,), num_classes=10, patch_size=4)
    library.put("secret", wrap(build_model(config), ddpm.make_schedule(), "linear", "mine", "mnist"))
    parent = finished(library)
    with pytest.raises(ValueError, match="Branch with the weights"):
        sampling.Trajectory.branch(parent, 1, settings(library, weights_id="secret"))


def test_the_judge_reads_one_digits_guesses_along_the_way(library, monkeypatch):
    demo, _, named = reverse_tab(library)
    view, seen = named["reverse-view"], []
    read = metrics.read
    monkeypatch.setattr(reverse.metrics, "read", lambda images: seen.append(images) or read(images))

    async def generate():
        asked = (3, "all in turn", 0, "mnist", "ddim", 4, 1, False, 0, "small", "linspace", True)
        return [packet async for packet in handler(demo, "reverse-generate")(Window("a"), *asked)]

    packets = asyncio.run(generate())
    answer = asyncio.run(view.readings({"run": packets[0]["run"], "i": 2}))
    assert len(answer["digits"]) == len(answer["confidence"]) == 5
    frames = [frame for packet in packets for frame in packet["frames"]]
    for shown, frame in zip(seen[0], frames, strict=True):
        assert np.array_equal(shown.numpy().ravel(), picture(frame["h"]).reshape(3, 1024)[2])
    for i in (3, -1, None, "0"):
        assert "Digit" in asyncio.run(view.readings({"run": packets[0]["run"], "i": i}))["error"]
    for asked in (None, {}, {"run": "guess", "i": 0}):
        assert "finish" in asyncio.run(view.readings(asked))["error"]
