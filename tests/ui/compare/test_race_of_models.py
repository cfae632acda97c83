"""A race of models, of pixels and of latents, at equal seconds."""

import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import reversing
from helpers.latents import with_latents
from helpers.pages import alone, picture

from ddpm.data import to_uint8
from ddpm.ui.tabs.compare import lanes
from ddpm.ui.tabs.compare import race as race_tab

LANE = {"sampler": "ddim", "steps": 5, "eta": 0, "guidance": 1, "spacing": "linspace"}


@pytest.fixture
def registry(registry):
    return with_latents(registry)


def settings(registry, **changes):
    return reversing.settings(registry, **{"steps": 6, "guidance": 1} | changes)


def pixels_and_latents(registry, references=None, **changes):
    asked = {"A": settings(registry, **changes), "B": settings(registry, weights_id="latent", **changes)}
    return lanes.Race(asked, references)


def test_lanes_of_different_models_get_equal_seconds(registry, monkeypatch):
    """Of a slow lane and a fast one the fast one takes as many more steps, and is done earlier."""

    def steps(lane):
        cost = 0.03 if lane.settings.weights_id == "mnist" else 0.01
        for t in range(11, -2, -1):
            lane.seconds += cost
            lane.evaluations += 1
            lane.moment = SimpleNamespace(t=t)
            yield None

    monkeypatch.setattr(lanes.Lane, "steps", steps)
    monkeypatch.setattr(lanes.Lane, "finished", property(lambda lane: pytest.fail("nothing was drawn")))
    race, spent = pixels_and_latents(registry), []
    for _ in itertools.takewhile(lambda _: not race.all_finished, race.steps()):
        spent.append([lane.seconds for lane in race.lanes])
    ended = next(i for i, (_, fast) in enumerate(spent) if fast > 0.125)
    assert all(abs(slow - fast) <= 0.031 for slow, fast in spent[:ended])
    assert spent[ended][0] < 0.2 and race.lanes[0].seconds == pytest.approx(0.39)


def test_a_race_of_pixels_and_latents_is_drawn_and_told_in_seconds(registry, monkeypatch):
    monkeypatch.setattr(lanes, "MAX_STEPS", 20)
    race = pixels_and_latents(registry, lanes.References())
    start = race.packet([])
    assert start["unit"] and [lane["model"] for lane in start["about"]] == ["mnist", "latent"]
    assert [lane["labels"] for lane in start["about"]] == [[0, 1], [0, 1]]
    frames = [frame for frame in race.steps() if frame]
    end = race.packet([])
    for i, lane in enumerate(race.lanes):
        mine = [frame for frame in frames if frame["lane"] == i]
        assert [frame["step"] for frame in mine] == list(range(7)) and mine[0]["noise"] > 0.99 > 0 == mine[-1]["noise"]
        seconds = [frame["seconds"] for frame in mine]
        assert seconds == sorted(seconds) and seconds[-1] == lane.seconds
        ended = to_uint8(lane.sampler.pictures(lane.moment.x_t)).numpy().ravel()
        assert np.array_equal(picture(mine[-1]["x_t"]), ended)
        assert end["lanes"][i]["finished"] and len(end["lanes"][i]["read"]) == 2
        assert seconds[-1] / end["unit"] <= end["total"] - 1
    assert end["total"] - 2 < max(lane.seconds for lane in race.lanes) / end["unit"], "the axis ends where they have"
    assert race.lanes[1].finished.shape == (2, 1, 32, 32)
    w, steps = registry.get("latent"), settings(registry, weights_id="latent", steps=20).sampler()
    *_, ode = steps.steps(2, race.first.y(), race.first.seed)
    expected = (
        (race.lanes[1].finished - w.model.codec.decode(ode.x_t)).square().mean(dim=(1, 2, 3)).sqrt().mean().item()
    )
    assert end["lanes"][1]["distance"] == pytest.approx(expected, abs=1e-4) and expected > 0


def test_decoding_what_is_finished_counts_and_what_is_shown_on_the_way_does_not(registry, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(lanes.time, "perf_counter", lambda: float(next(clock)))  # a second from one look to the next
    lane = lanes.Lane(settings(registry, weights_id="latent"))
    list(lane.steps())
    assert lane.seconds == 6 + 1 + 1, "six steps, the end, and its decoding"


def test_one_model_is_raced_by_evaluations_as_ever(registry):
    race = lanes.Race({"A": settings(registry), "B": settings(registry, seed=4)})
    assert race.packet([])["unit"] is None and race.packet([])["total"] == 7


@pytest.mark.parametrize(
    ("seconds", "above"), [(0.0123, 0.02), (0.002, 0.002), (0.41, 0.5), (0.7, 1.0), (3.0, 5.0), (0.0, 1e-6)]
)
def test_the_unit_is_a_plain_number(seconds, above):
    assert lanes.round_up(seconds) == pytest.approx(above)


def test_each_lane_may_have_a_model_of_its_own(registry):
    checked = race_tab.race_lanes(
        registry, [LANE, LANE | {"model": "latent"}, LANE | {"model": ""}], 2, "3", 0, "mnist"
    )
    assert [s.weights.label for s in checked.values()] == ["mnist", "latent", "mnist"]
    other = with_latents(registry, img_size=16)
    with pytest.raises(ValueError, match=r"Lane C\. Model: its pictures are of another size or colour than lane A's"):
        race_tab.race_lanes(other, [LANE, LANE, LANE | {"model": "latent"}], 2, "3", 0, "mnist")


def test_the_models_that_are_offered_are_those_that_ship_and_those_of_this_browser(registry):
    demo, named, shared = alone(race_tab, registry)
    editor = named["race-lanes"]
    assert editor.value["models"] == {"": "the model above", "latent": "latent", "mnist": "mnist"}
    offer = next(f for f in demo.fns.values() if [out._id for out in f.outputs] == [editor._id])
    assert (shared.weights._id, "change") in offer.targets and [each._id for each in offer.inputs] == [shared.own._id]
    registry.put("secret", dataclasses.replace(registry.get("latent"), label="trained here: latent"))
    answer = offer.fn([["trained here: latent", "secret"], ["trained here: another", "gone"]])
    assert answer == editor.value | {"models": editor.value["models"] | {"secret": "trained here: latent"}}
