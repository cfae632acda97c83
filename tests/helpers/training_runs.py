"""Tiny training runs, for the tests of the Train tab."""

import time

import pytest
import torch

from ddpm.config import Config, ScheduleConfig, TrainConfig
from ddpm.data import Dataset, load_dataset
from ddpm.ui.generation.models import dataset
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.train import request, run_store, training_run

from .pages import TINY

LONG = 20_000  # steps


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without a evaluation at the end, which draws a thousand digits."""
    monkeypatch.setattr(training_run, "EVALUATED", 0)


@pytest.fixture
def few_digits(monkeypatch):
    """A data set of forty digits in place of whichever a run is of."""
    some = load_dataset("bundled")
    data = Dataset("bundled", some.images[:40], torch.arange(40) % 10, some.class_names)
    for module in (request, run_store):
        monkeypatch.setattr(module, "dataset", lambda name: data)
    return data


def new_run(kind="steps", budget=3, **options):
    options = {"batch_size": 4, "label_dropout": 0.1, "lr": 1e-3} | options
    config = Config(TINY, ScheduleConfig(kind="cosine"), TrainConfig(**options))
    return training_run.TrainingRun(config, dataset("bundled"), kind, budget, "tiny")


def finish(run):
    run_store.Runs(Engine()).start(run)
    run.job.finished.result(timeout=60)
    return run


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def started(runs, budget=LONG, **options):
    run = new_run(budget=budget, **options)
    runs.start(run)
    until(lambda: run.state is not None and run.state.step > 2)
    return run


def stop(runs, run):
    run.halt = True
    runs.engine.resume(run.job)
    run.job.finished.result(timeout=20)
