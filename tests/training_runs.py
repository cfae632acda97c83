"""Tiny training runs, for the tests of the Train tab."""

import pytest
from pages import TINY

from ddpm.config import Config, ScheduleConfig, TrainConfig
from ddpm.ui.generation.models import dataset
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.train import run_store, training_run


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without a evaluation at the end, which draws a thousand digits."""
    monkeypatch.setattr(training_run, "EVALUATED", 0)


def new_run(kind="steps", budget=3, **options):
    options = {"batch_size": 4, "label_dropout": 0.1, "lr": 1e-3} | options
    config = Config(TINY, ScheduleConfig(kind="cosine"), TrainConfig(**options))
    return training_run.TrainingRun(config, dataset("bundled"), kind, budget, "tiny")


def finish(run):
    run_store.Runs(Engine()).start(run)
    run.job.finished.result(timeout=60)
    return run
