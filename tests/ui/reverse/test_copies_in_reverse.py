"""What the page gets of samples and their nearest training pictures, without a browser."""

import asyncio
import types

import numpy as np
import pytest
import torch
from helpers.pages import picture
from helpers.reversing import finished, reverse_tab

from ddpm import load_dataset
from ddpm.data import DataError, Dataset
from ddpm.evaluation.classifiers import OF_DATASET
from ddpm.ui.components import neighbours
from ddpm.ui.components.neighbours import Neighbours, trained_on
from ddpm.ui.generation.recording import pixels
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.reverse import tab as reverse


@pytest.fixture
def few():
    data = load_dataset("bundled")
    return Dataset("few", data.images[:300], data.labels[:300], data.class_names)


def asked(of, question):
    """Asked until it is done: all answers."""

    async def ask():
        answers = [await of.nearest(question)]
        while not answers[-1]["done"]:
            have = [name for answer in answers for name in answer["spaces"]]
            answers.append(await of.nearest(question | {"have": have}))
        return answers

    return asyncio.run(ask())


def test_samples_with_their_nearest_in_both_spaces(monkeypatch, few):
    monkeypatch.setitem(OF_DATASET, "few", ("first",))
    samples = torch.cat([few.images[[7, 40]], load_dataset("bundled").images[5000:5002]])
    of = Neighbours(Engine(), lambda run: (samples, lambda: (few, "Compared with 300")))
    answers = asked(of, {"run": "a"})
    last = asyncio.run(of.nearest({"run": "a"}))
    assert last["done"] and last["about"] == "Compared with 300, beside how near 300 of these are to the others"
    assert last["verdict"].startswith("2 of 4 are training pictures") and last["features"]
    assert np.array_equal(picture(last["samples"]), samples.numpy().ravel())
    for space in ("pixels", "features"):
        told = last["spaces"][space]
        assert [row[0] for row in told["distances"]][:2] == [0, 0] and told["near"][:2] == [True, True]
        shown = picture(told["pictures"]).reshape(4, 3, 32, 32)
        assert np.array_equal(shown[:2, 0], samples[:2, 0].numpy())
        assert sum(told["bars"]) == pytest.approx(1, abs=0.01) and told["end"] > max(
            row[0] for row in told["distances"]
        )
    sent = [name for answer in answers for name in answer["spaces"]]
    assert sorted(sent) == ["features", "pixels"], "what the page has is not sent again"
    assert of.sets == {}, "what is somebody's own is not kept for others"


def test_without_a_classifier_pixels_alone(few):
    of = Neighbours(Engine(), lambda run: (few.images[:1], lambda: (few, "Compared")))
    assert list(asyncio.run(of.nearest({"run": "a"}))["spaces"]) in ([], ["pixels"])
    *_, last = asked(of, {"run": "a", "have": None})
    assert not last["features"]


def test_it_is_stopped_and_asked_again(monkeypatch, few):
    monkeypatch.setattr(neighbours, "POLL_SECONDS", 0)
    monkeypatch.setitem(OF_DATASET, "few", ("first",))
    monkeypatch.setattr("ddpm.evaluation.neighbours.BATCH", 1)  # long enough to be stopped
    of = Neighbours(Engine(), lambda run: (few.images[:1], lambda: (few, "Compared")))
    assert not asyncio.run(of.nearest({"run": "a"}))["done"]
    job = of.asked.get("a").job
    assert asyncio.run(of.nearest({"run": "a", "stop": True})) == {} and job.stopped
    assert asyncio.run(of.nearest({"run": "b", "stop": True})) == {}
    asyncio.run(of.nearest({"run": "a"}))
    again = of.asked.get("a").job
    assert again is not job and not again.stopped


def test_what_a_model_was_trained_on(monkeypatch):
    data, words = trained_on("bundled")
    assert words == "Compared with all 10,000 training pictures" and len(data.images) == 10_000

    def not_here(name):
        if name != "bundled":
            raise DataError("not here")
        return data

    monkeypatch.setattr(neighbours, "dataset", not_here)
    assert trained_on("mnist") == (data, "Compared with the 10,000 bundled pictures, a sixth of what it was trained on")
    with pytest.raises(ValueError, match="not on this server"):
        trained_on("cifar10")


def test_reverse_asks_of_finished_samples_only(registry, monkeypatch):
    asked_of = []
    real = Neighbours.__init__

    def init(self, engine, samples_of, *more):
        asked_of.append(samples_of)
        real(self, engine, samples_of, *more)

    monkeypatch.setattr(Neighbours, "__init__", init)
    kept = {}
    monkeypatch.setattr(reverse.Streaming, "get", lambda self, run_id: kept.get(run_id))
    reverse_tab(registry)
    run = finished(registry)
    kept["whole"] = run
    kept["stopped"] = types.SimpleNamespace(frames=run.frames[:-1], shape=run.shape, dataset=run.dataset)
    samples, find = asked_of[0]("whole")
    assert torch.equal(samples, pixels(run.frames[-1]["x_t"], run.shape)) and len(find()[0].images) == 10_000
    for run_id in ("stopped", "unknown", None):
        with pytest.raises(ValueError, match="no finished samples"):
            asked_of[0](run_id)
