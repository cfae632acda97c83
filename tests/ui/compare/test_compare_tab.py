"""What the Compare tab computes, without a browser."""

import asyncio
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from helpers import reversing
from helpers.pages import TINY, Window, alone, handler, picture

from ddpm import make_schedule, save_checkpoint
from ddpm.config import Config, ModelConfig
from ddpm.data import to_uint8
from ddpm.evaluation import classifiers
from ddpm.evaluation.classifiers import OF_DATASET
from ddpm.evaluation.evaluate import evaluate, real_scores
from ddpm.idx import CLASSES
from ddpm.networks import build_model
from ddpm.samplers import reverse_process
from ddpm.ui.generation.models import ModelRegistry, wrap
from ddpm.ui.server import protocol
from ddpm.ui.tabs.compare import knob as knob_tab
from ddpm.ui.tabs.compare import lanes, measurement, quality
from ddpm.ui.tabs.compare import race as race_tab

HOW = {"sampler": "ddim", "steps": 4, "guidance": 1, "middle": False, "eta": 0}


def settings(registry, **changes):
    return reversing.settings(registry, **HOW | changes)


def run(race):
    frames = [frame for frame in race.steps() if frame]
    return frames, race.packet([])["lanes"]


def last(frames, lane):
    return picture([frame for frame in frames if frame["lane"] == lane][-1]["x_t"])


def test_each_lane_is_its_own_reverse_process_from_the_same_noise(registry):
    sampling = [{"sampler": "ddpm"}, {"eta": 0.5}, {"sampler": "dpmpp", "spacing": "log_snr"}, {"sampler": "heun"}]
    frames, _ = run(lanes.Race({letter: settings(registry, **h) for letter, h in zip("ABCD", sampling, strict=True)}))
    firsts = [next(f["x_t"] for f in frames if f["lane"] == i) for i in range(4)]
    assert len(set(firsts)) == 1, "the same x_T"
    w = registry.get("mnist")
    for i, h in enumerate(sampling):
        *_, end = reverse_process(w.model, w.sched, 2, y=torch.tensor([0, 1]), seed=3, num_steps=4, **h)
        assert np.array_equal(last(frames, i), to_uint8(end.x_t).numpy().ravel())


def test_lanes_spend_evaluations_at_the_same_rate(registry):
    asked = {
        "A": settings(registry, steps=40),
        "B": settings(registry, steps=15, guidance=2),
        "C": settings(registry, steps=5),
    }
    race, spent = lanes.Race(asked), []
    for _ in race.steps():
        now = [lane.evaluations for lane in race.lanes]
        if now != (spent or [None])[-1]:
            spent.append(now)
    for now in spent:
        running = [e for e, lane in zip(now, race.lanes, strict=True) if e < lane.sampler.evaluations]
        assert not running or max(now) - min(running) <= 2, "a guided pair is two at once"
    assert spent[-1] == [40, 30, 5] and len(spent) == 60


def test_the_packet_says_what_each_lane_costs_and_where_it_is(registry):
    asked = {"A": settings(registry, steps=200), "B": settings(registry, sampler="heun", steps=3, spacing="log_snr")}
    race = lanes.Race(asked)
    start = race.packet([])
    assert [lane["total"] for lane in start["about"]] == [200, 5] and start["about"][1]["labels"] == [0, 1]
    assert [lane["how"] for lane in start["about"]] == ["DDIM, 200 steps", "Heun, 3 steps"]
    for lane in start["about"]:
        assert lane["at"][-1] == lane["total"] and lane["noise"][0] > 0.99 and lane["noise"][-1] == 0
        assert lane["at"] == sorted(lane["at"]) and len(lane["at"]) == len(lane["noise"]) <= lanes.CURVE_POINTS
    assert start["about"][1]["at"] == [1, 3, 5, 5], "Heun asks twice but for the first time and the last"
    frames, state = run(race)
    assert [lane["evaluations"] for lane in state] == [200, 5] and all(lane["finished"] for lane in state)
    assert [sum(frame["lane"] == i for frame in frames) for i in (0, 1)] == [lanes.MAX_FRAMES, 4]
    assert len(json.dumps(race.packet([]))) < 20_000
    assert race.frames == frames and [frame["index"] for frame in frames] == list(range(len(frames)))
    assert all(
        set(frame) == {"lane", "index", "step", "t", "noise", "evaluations", "seconds", "x_t"} for frame in frames
    ), "the sample alone"


def test_the_classifier_reads_each_digit_of_each_lane_as_it_ended(registry, monkeypatch):
    shown = []
    read = classifiers.read

    def looking(images, by):
        shown.append(to_uint8(images).numpy().ravel())
        return dataclasses.replace(read(images, by), digits=torch.full((3,), len(shown)))

    monkeypatch.setattr(lanes.classifiers, "read", looking)
    frames, state = run(lanes.Race({"A": settings(registry, n=3), "B": settings(registry, n=3, steps=2)}))
    assert all(np.array_equal(shown[i], last(frames, i)) for i in (0, 1))
    assert [lane["read"] for lane in state] == [[1] * 3, [2] * 3]


@pytest.mark.slow
def test_deterministic_lanes_are_measured_against_ddim_with_a_thousand_steps(registry, monkeypatch):
    assert lanes.MAX_STEPS == 1000
    monkeypatch.setattr(lanes, "MAX_STEPS", 200)  # of the same, in a fifth of the time
    asked = {
        "A": settings(registry, steps=50),
        "B": settings(registry, eta=0.5),
        "C": settings(registry, sampler="ddpm"),
    }
    references = lanes.References()
    _, state = run(lanes.Race(asked, references))
    w, y = registry.get("mnist"), torch.tensor([0, 1])
    ends = {n: list(reverse_process(w.model, w.sched, 2, y=y, num_steps=n, seed=3))[-1].x_t for n in (50, 200)}
    by_hand = (ends[50] - ends[200]).square().mean(dim=(1, 2, 3)).sqrt().mean().item()
    assert state[0]["distance"] == pytest.approx(by_hand, abs=1e-4) and by_hand > 0
    assert "distance" not in state[1] and "distance" not in state[2]


def test_a_reference_is_computed_once_for_lanes_that_share_it(registry, monkeypatch):
    monkeypatch.setattr(lanes, "MAX_STEPS", 100)
    references, w, calls = lanes.References(), registry.get("mnist"), []
    hook = w.model.model.register_forward_pre_hook(lambda module, args: calls.append(1))
    asked = {"A": settings(registry, steps=2), "B": settings(registry, sampler="dpmpp", steps=2)}
    run(lanes.Race(asked, references))
    assert len(calls) == 100 + 2 + 2
    run(lanes.Race({k: dataclasses.replace(s, seed=4) for k, s in asked.items()}, references))
    assert len(calls) == 2 * 104, "other noise leads elsewhere"
    run(lanes.Race({k: settings(registry, steps=3) for k in asked}, references))
    assert len(calls) == 2 * 104 + 6
    later = dataclasses.replace(w)  # the same run, after more training
    run(lanes.Race({k: dataclasses.replace(settings(registry, steps=3), weights=later) for k in asked}, references))
    hook.remove()
    assert len(calls) == 2 * 104 + 6 + 106


def test_pictures_of_another_set_are_read_by_its_classifier_in_its_names(registry):
    model = wrap(build_model(TINY), make_schedule(), "linear", "mine", "fashion", CLASSES["fashion"])
    registry.put("clothes", model)
    race = lanes.Race({k: settings(registry, n=3, choice="Bag", weights_id="clothes", steps=2) for k in "AB"})
    _, state = run(race)
    read = classifiers.read(race.lanes[0].finished, "fashion")
    about = race.packet([])["about"][0]
    assert state[0]["read"] == read.digits.tolist() and about["labels"] == [8] * 3 and about["classes"][8] == "Bag"


def test_what_the_classifier_does_not_know_he_does_not_read(registry):
    config = ModelConfig(base=8, mults=(1,), patch_size=4)
    registry.put("secret", wrap(build_model(config), make_schedule(), "linear", "mine", "unknown"))
    asked = {k: settings(registry, choice="none", weights_id="secret", steps=n) for k, n in (("A", 2), ("B", 3))}
    race = lanes.Race(asked)
    _, state = run(race)
    assert all("read" not in lane for lane in state)
    assert all(lane["labels"] is None and lane["classes"] is None for lane in race.packet([])["about"])
    with pytest.raises(ValueError, match=r"^No classifier here knows what these weights draw\."):
        quality.measurement(registry, 200, 0, "secret", **HOW)


LANE = {"sampler": "ddim", "steps": 5, "eta": 0, "guidance": 1, "spacing": "linspace"}


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (None, "Lanes: from 2 to 4"),
        ([LANE], "Lanes: from 2 to 4"),
        ([LANE] * 5, "Lanes: from 2 to 4"),
        ([LANE, LANE | {"steps": 0}], "Lane B. Steps"),
        ([LANE | {"steps": None}, LANE], "Lane A. Steps"),
        ([LANE, LANE, LANE | {"sampler": "euler"}], "Lane C. Sampler"),
        ([LANE, LANE, LANE, LANE | {"spacing": ["linspace"]}], "Lane D. Spacing"),
        ([LANE, "ddim"], "Lane B. Sampler"),
        ([LANE | {"eta": math.nan}, LANE], "Lane A. Eta"),
        ([LANE, LANE | {"model": "gone"}], "Lane B. These weights are no longer on the server"),
        ([LANE, LANE | {"model": ["mnist"]}], "Lane B. These weights"),
    ],
)
def test_bad_lanes_get_one_sentence(registry, sent, words):
    with pytest.raises(ValueError, match=words) as error:
        race_tab.race_lanes(registry, sent, 4, "all in turn", 0, "mnist")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("knob", "field", "values"),
    [
        ("steps", "num_steps", (2, 5, 10, 20, 50, 100)),
        ("eta", "eta", (0, 0.2, 0.4, 0.6, 0.8, 1)),
        ("guidance", "guidance", (0, 1, 1.5, 2.5, 4, 8)),
    ],
)
def test_one_knob_turns_and_all_else_stays(registry, knob, field, values):
    turned = list(knob_tab.knob_lanes(registry, knob, 4, "all in turn", 7, "mnist", **HOW).values())
    assert tuple(getattr(s.sampling, field) for s in turned) == values
    rest = {dataclasses.replace(s, sampling=dataclasses.replace(s.sampling, **{field: values[1]})) for s in turned}
    assert len(rest) == 1


def test_the_seed_is_a_knob_too(registry):
    turned = knob_tab.knob_lanes(registry, "seed", 4, "all in turn", protocol.MAX_SEED - 1, "mnist", **HOW)
    assert [s.seed for s in turned.values()] == [protocol.MAX_SEED - 1, protocol.MAX_SEED, 0, 1, 2, 3]
    firsts = {frame["x_t"] for frame in run(lanes.Race(turned))[0] if frame["step"] == 0}
    assert len(firsts) == 6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"knob": "eta", "sampler": "heun"}, "DDIM's knob"),
        ({"knob": "guidance", "choice": "none"}, "nothing to be guided by"),
        ({"knob": "volume"}, "Knob"),
        ({"knob": "steps", "n": 0}, "Digits"),
    ],
)
def test_a_knob_that_does_nothing_says_so(registry, changes, words):
    asked = {"knob": "steps", "n": 4, "choice": "all in turn", "seed": 0, "weights_id": "mnist"} | HOW | changes
    with pytest.raises(ValueError, match=words):
        knob_tab.knob_lanes(registry, **asked)


def test_a_race_streams_stops_and_can_be_asked_again(registry):
    demo, named, _ = alone(race_tab, registry)
    go = handler(demo, "race-race")

    async def race(*asked):
        return [packet async for packet in go(Window("a"), *asked)]

    packets = asyncio.run(race([LANE, LANE | {"steps": 3}], 2, "all in turn", 0, "mnist"))
    assert packets[-1]["done"] and not packets[-1]["error"] and packets[-1]["lanes"][0]["evaluations"] == 5
    sent = [frame for packet in packets for frame in packet["frames"]]
    again = named["race-view"].replay({"run": packets[0]["run"]})["frames"]
    assert sent == again and len(again) == 6 + 4
    assert named["race-view"].replay(None) == named["race-view"].replay({"run": "guess"}) == {"frames": []}
    assert asyncio.run(race([LANE], 2, "all in turn", 0, "mnist")) == [{"error": "Lanes: from 2 to 4, please."}]

    async def stopped():
        stream = go(Window("b"), [LANE | {"steps": 300}, LANE | {"steps": 200}], 2, "none", 0, "mnist")
        await anext(stream)
        handler(demo, "race-stop")(Window("b"))
        return [packet async for packet in stream][-1]

    end = asyncio.run(stopped())
    assert end["stopped"] and not any(lane["finished"] for lane in end["lanes"])


def test_the_curve_of_weights_that_nobody_measured_is_empty_and_says_so(registry):
    found = measurement.load_curve(registry, "mnist")
    assert found["points"] == [] and "Nobody" in found["notice"]
    path = registry.folder / "mnist" / measurement.CURVE
    for text in ("", "[]", '{"points": [{}]}', '{"points": 3}'):
        path.write_text(text)
        assert measurement.load_curve(registry, "mnist")["points"] == []
    for name in ("../mnist", "a-run-of-somebody", None):
        assert measurement.load_curve(registry, name)["points"] == []


def test_the_curve_is_the_file_that_the_benchmark_wrote(registry):
    figures = dict.fromkeys(measurement.FIGURES, 1.5)
    by_both, by_one = figures | {"second": {"fid_over_real": 0.5}}, figures | {"second": None, "peak_mb": 3}
    rows = [figures, by_both, by_one, {"sampler": "ddpm", "steps": 4, "over": 180}]
    (registry.folder / "mnist" / measurement.CURVE).write_text(json.dumps({"points": rows}))
    found = measurement.load_curve(registry, "mnist")
    assert found["points"] == [figures | {"second": second} for second in (None, 0.5, None)]
    assert "notice" not in found
    assert found["command"] == f"python -m ddpm bench --curve checkpoints/mnist --out {found['file']}"


FACES = ModelConfig(3, base=8, t_dim=8, mults=(1, 2), img_size=16, attributes=(2, 5, 2, 2, 2, 3, 2))
SETS = [("mnist", TINY), ("fashion", TINY), ("cifar10", dataclasses.replace(TINY, in_ch=3)), ("faces", FACES)]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), SETS)
def test_a_live_point_is_what_evaluate_says_on_the_curves_scale(registry, name, config, tmp_path, monkeypatch, capsys):
    if name != "mnist":
        save_checkpoint(registry.folder / name, build_model(config), Config(config), {"dataset": name})
        registry = ModelRegistry(registry.folder)
    measured = quality.measurement(registry, 200, 5, name, **HOW | {"guidance": 1.5})
    drawn = [measured.drawn for _ in measured.steps()]
    assert drawn == sorted(drawn) and drawn[-1] == 200
    point = measured.packet([])["point"]
    evaluation = evaluate(measured.sampler, 200, 5, dataset=name)
    assert point["accuracy"] == evaluation["accuracy"] and point["evaluations"] == 8 and point["n"] == 200
    real = real_scores(measurement.CURVE_N, OF_DATASET[name][0])["fid"]
    assert point["fid_over_real"] == pytest.approx(1 + (evaluation["fid"] - evaluation["fid_real"]) / real)
    assert point["fid_error"] == pytest.approx(2 * evaluation["fid_error"] / real)
    registry.folder.rename(tmp_path / "checkpoints")
    monkeypatch.chdir(tmp_path)
    exec(compile(measured.python(), "copied", "exec"), {})
    assert [float(each) for each in capsys.readouterr().out.split()] == pytest.approx(
        [point["fid_over_real"], point["fid_error"], point["accuracy"]]
    )
    low, high = point["accuracy_between"]
    assert 0 <= low < point["accuracy"] < high < 1


@pytest.mark.parametrize("n", [0, 100, 10**9, None, "500", True])
def test_a_point_of_another_size_is_refused(registry, n):
    with pytest.raises(ValueError, match="Samples"):
        quality.measurement(registry, n, 0, "mnist", **HOW)
