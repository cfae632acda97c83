"""What the page says a preset will do here: a measurement, made again after a while."""

import asyncio

import pytest
from helpers.tiny import TINY_PRESET

from ddpm.presets import PRESETS
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.train import forecast
from ddpm.ui.tabs.train.forecast import Forecast, sentence, speed


def test_the_speed_is_that_of_training_after_a_warm_up(monkeypatch):
    """On a clock on which the first steps, which pay for what a process pays once, take a second and others 0.1 s."""

    class State:
        seconds = 0.0

    def fit(*_, steps, **__):
        for i in range(steps):
            State.seconds += 1.0 if i < forecast.WARM_UP else 0.1
            yield State

    monkeypatch.setattr(forecast, "fit", fit)
    *waits, found = speed(TINY_PRESET)
    assert found == pytest.approx(TINY_PRESET.train.batch_size / 0.1) and set(waits) == {None}


@pytest.mark.parametrize(
    ("preset", "speed", "said"),
    [
        ("fast", 725, "In pixels about 720 digits a second here: legible after about 8.6 s."),
        ("fast", 64, "In pixels about 64 digits a second here: legible after about 97 s."),
        ("tutorial", 60, "In pixels about 60 digits a second here: 3 min to see the 10,000 bundled ones once."),
        ("latent", 14000, "In latent space about 14,000 digits a second here: legible after about 2.5 s."),
        ("best", 4000, "In pixels about 4,000 digits a second here: 1 min to see the 10,000 bundled ones once."),
    ],
)
def test_the_sentence(preset, speed, said):
    assert sentence(preset, speed) == said
    others = sentence(preset, speed, digits=False)
    assert said.startswith(others.removesuffix(".") + ": "), "what is legible, or bundled, is digits"


def test_it_is_measured_once_however_many_ask(monkeypatch):
    monkeypatch.setitem(PRESETS, "fast", TINY_PRESET)
    begun, real = [], forecast.speed
    monkeypatch.setattr(forecast, "speed", lambda config: begun.append(1) or real(config))
    here = Forecast(Engine())

    async def ask():
        return await asyncio.gather(*(here.sentence("fast") for _ in range(3)))

    first, again = asyncio.run(ask()), asyncio.run(ask())
    assert len({*first, *again}) == 1 and "digits a second here" in first[0]
    assert begun == [1]
    monkeypatch.setattr(forecast, "GOOD_FOR", 0.0)
    assert "a second here" in asyncio.run(here.sentence("fast")) and begun == [1, 1], "a while later"
    here.engine.max_jobs = 0
    assert "a second here" in asyncio.run(here.sentence("fast")) and begun == [1, 1], "what was found before holds"


def test_a_busy_server_says_nothing_rather_than_something_false(monkeypatch):
    monkeypatch.setitem(PRESETS, "fast", TINY_PRESET)
    here = Forecast(Engine(max_jobs=1))
    here.engine.max_jobs = 0
    assert asyncio.run(here.sentence("fast")) == ""
    here.engine.max_jobs = 1
    assert "a second here" in asyncio.run(here.sentence("fast"))
