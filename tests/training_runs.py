"""Tiny training runs, for the tests of the Train tab."""

import pytest
from pages import TINY

from ddpm.config import Config, ScheduleConfig, TrainConfig
from ddpm.ui.generation.weights import dataset
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.train import registry, training


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without a judgement at the end, which draws a thousand digits."""
    monkeypatch.setattr(training, "JUDGED", 0)


def training_run(kind="steps", budget=3, **options):
    options = {"batch_size": 4, "label_dropout": 0.1, "lr": 1e-3} | options
    config = Config(TINY, ScheduleConfig(kind="cosine"), TrainConfig(**options))
    return training.TrainingRun(config, dataset("bundled"), kind, budget, "tiny")


def finish(run):
    registry.Runs(Engine()).start(run)
    run.job.finished.result(timeout=60)
    return run
