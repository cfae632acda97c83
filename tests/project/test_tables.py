"""A sampler, schedule, preset, data set or tab more is one entry in one table: it is then everywhere."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch
from helpers.pages import Window, handler

from ddpm import data, samplers, schedule
from ddpm.cli import main
from ddpm.cli.parser import parser
from ddpm.config import Config, ModelConfig, SamplingConfig, ScheduleConfig
from ddpm.data import Dataset, Source, load_dataset
from ddpm.evaluation import bench
from ddpm.generate import num_evaluations
from ddpm.presets import PRESETS
from ddpm.samplers import Method, ddim_step, reverse_process
from ddpm.schedule import make_schedule
from ddpm.ui import build, page
from ddpm.ui.components import controls, layout, pictures
from ddpm.ui.components.streaming import Streaming
from ddpm.ui.generation.coefficients import coefficients
from ddpm.ui.generation.models import ModelRegistry
from ddpm.ui.server import protocol
from ddpm.ui.server.sessions import Run
from ddpm.ui.tabs.compare.measurement import load_curve


def components(demo: gr.Blocks) -> dict[str, Any]:
    return {block.elem_id: block for block in demo.blocks.values() if getattr(block, "elem_id", None)}


def choices(component: Any) -> list[Any]:
    return [value for _, value in component.choices]


def options_of(command: str, option: str) -> Iterator[Any]:
    commands = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return next(a.choices for a in commands.choices[command]._actions if option in a.option_strings)


@pytest.fixture
def toy(monkeypatch):
    """DDIM that goes nine tenths of the way in x0."""

    def toy_step(x0_hat, eps_hat, t, s, sched):
        return ddim_step(0.9 * x0_hat, eps_hat, t, s, sched)

    method = Method(
        label="Toy",
        step=lambda h: toy_step(h.x0_hat, h.eps_hat, h.t, h.s, h.sched),
        function=toy_step,
        source="this test",
        equation=("<mi>toy</mi>",),
        terms=("x0_hat", "eps_hat"),
        spacing="trailing",
    )
    monkeypatch.setitem(samplers.SAMPLERS, "toy", method)
    return method


def test_a_toy_sampler_is_in_the_loop_and_counted(toy, tiny_classes_model):
    sched = make_schedule(20)
    process = reverse_process(
        tiny_classes_model, sched, 2, y=torch.tensor([0, 1]), sampler="toy", num_steps=5, img_size=8
    )
    steps = list(process)
    t, s = torch.full((2,), steps[3].t), torch.full((2,), steps[4].t)
    wanted = ddim_step(0.9 * steps[3].x0_hat, steps[3].eps_hat, t, s, sched)
    assert len(steps) == 6 and torch.equal(steps[4].x_t, wanted)
    assert num_evaluations(tiny_classes_model, [10, 5, -1], "toy") == 2
    assert SamplingConfig("toy", 5).sampler == "toy"


def test_a_toy_sampler_is_on_the_command_line(toy, untrained, tmp_path):
    assert "toy" in options_of("sample", "--sampler") and "toy" in options_of("evaluate", "--sampler")
    out = tmp_path / "x.npz"
    arguments = ["sample", "--checkpoint", str(untrained / "mnist"), "--n", "2", "--steps", "3", "--out", str(out)]
    assert main([*arguments, "--sampler", "toy"]) == 0
    drawn = np.load(out)["images"]
    assert main([*arguments, "--sampler", "ddim", "--spacing", "trailing"]) == 0
    assert drawn.shape == (2, 1, 32, 32) and not np.array_equal(drawn, np.load(out)["images"])


@pytest.mark.slow
def test_a_toy_sampler_is_on_the_page(toy):
    named = components(build())
    for tab in ("reverse", "knob", "quality"):
        assert "toy" in choices(named[f"{tab}-sampler"])
    editor = named["race-lanes"].value
    assert (
        editor["samplers"]["toy"] == "Toy" and editor["suited"]["toy"] == "trailing" and "toy" not in editor["with_eta"]
    )
    margin = named["reverse-margin"].html_template
    assert 'data-sampler="toy"' in margin and "<mi>toy</mi>" in margin and "Toy, this test:" in margin
    numbers = coefficients(SamplingConfig("toy", 5), [800, 600, -1], 0, make_schedule())
    ddim = coefficients(SamplingConfig("ddim", 5), [800, 600, -1], 0, make_schedule())
    assert numbers == pytest.approx([0.9 * ddim[0], ddim[1]], abs=2e-4)


def test_a_toy_sampler_is_in_the_chart_and_in_the_benchmark_that_draws_it(toy, monkeypatch):
    registry = ModelRegistry()
    assert load_curve(registry, "mnist")["labels"] == {name: each.label for name, each in samplers.SAMPLERS.items()}
    monkeypatch.setattr(bench, "run", lambda tasks, tell: [named | {"asked": args[1]} for named, _, args in tasks])
    points = [p for p in bench.curve(str(registry.folder / "mnist"), quick=True)["points"] if p["sampler"] == "toy"]
    assert len(points) == 3 and all(p["asked"].spacing == "trailing" for p in points)


@pytest.mark.slow
def test_a_toy_schedule_is_everywhere(monkeypatch):
    monkeypatch.setitem(schedule.SCHEDULES, "toy", lambda T, first, last: torch.full((T,), 0.01, dtype=torch.float64))
    assert make_schedule(10, kind="toy").betas.tolist() == pytest.approx([0.01] * 10)
    assert ScheduleConfig(kind="toy").kind == "toy"
    pictures.schedule.cache_clear()
    named = components(build())
    assert "toy" in choices(named["train-schedule"]) and "toy" in choices(named["forward-schedule"])
    assert pictures.constants()["SCHEDULES"]["toy"]["signal"][9] == pytest.approx(0.99**5, abs=1e-6)


@pytest.mark.slow
def test_a_toy_preset_is_everywhere(monkeypatch):
    monkeypatch.setitem(PRESETS, "toy", Config(ModelConfig(base=8)))
    assert "toy" in options_of("train", "--preset")
    assert ("toy", "toy") in components(build())["train-preset"].choices


@pytest.mark.slow
def test_a_toy_data_set_is_everywhere(monkeypatch):
    def load(name, data_dir, train, img_size, download):
        return dataclasses.replace(TOY, name=name)

    TOY = Dataset("", torch.zeros(4, 1, 32, 32, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), ("a", "b"))
    monkeypatch.setitem(data.DATASETS, "toy", Source("Toy (4)", load, has_test=False))
    assert load_dataset("toy").name == "toy" and "toy" in data.names()
    with pytest.raises(data.DataError, match="toy has no test part"):
        load_dataset("toy", train=False)
    assert ("Toy (4)", "toy") in components(build())["train-data"].choices


class ToyRun(Run):
    """Counts to n."""

    def __init__(self, n):
        super().__init__()
        self.n = protocol.whole_number(n, "Number", 1, 9)

    def steps(self):
        for i in range(self.n):
            yield self.add({"count": i})

    def about(self):
        return {"total": self.n}


def build_toy(shared):
    runs = Streaming(shared.engine, "toy")
    go, halt = controls.go_and_stop("toy", "Go")
    n = gr.Number(3, elem_id="toy-n")
    view = layout.stage_and_margin("toy", page.HERE / "tabs/toy/toy.js", None, [runs.replay], "", "")
    runs.start(go.click, ToyRun, [n], view)
    runs.stop(halt, view)


@pytest.mark.slow
def test_a_toy_tab_is_one_more_name_and_a_toy_run_lives_as_all_do(monkeypatch):
    toy_tab = SimpleNamespace(TITLE="Toy", build=build_toy)
    monkeypatch.setattr(page, "TABS", (*page.TABS, toy_tab))
    demo = build()
    assert [tab.label for tab in demo.blocks.values() if isinstance(tab, gr.Tab)][-1] == "Toy"
    view = components(demo)["toy-view"]
    assert './scripts/tabs/toy/toy.js", document.baseURI)).then((script) => script.toy(' in view.js_on_load

    async def press(n):
        return [packet async for packet in handler(demo, "toy-go")(Window("a"), n)]

    packets = asyncio.run(press(3))
    frames = [frame for packet in packets for frame in packet["frames"]]
    assert frames == [{"count": i, "index": i} for i in range(3)] and packets[-1]["done"] and not packets[-1]["error"]
    assert packets[0]["ahead"] == 0 and packets[-1]["kept"] == packets[-1]["total"] == 3
    assert view.replay({"run": packets[0]["run"], "have": [0, 2]})["frames"] == [frames[1]]
    assert asyncio.run(press(10)) == [{"error": "Number: a whole number from 1 to 9, please."}]
    assert handler(demo, "toy-stop")(Window("a")) == {"notice": "Nothing is running."}
