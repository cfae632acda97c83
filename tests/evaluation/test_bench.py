"""The benchmark measures what it says: the tutorial's code is the tutorial's, rows are rows, ratios are ratios."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from ddpm import (
    PRESETS,
    Config,
    ModelConfig,
    ScheduleConfig,
    TrainConfig,
    UNet,
    load_checkpoint,
    make_schedule,
    sample,
    save_checkpoint,
)
from ddpm.cli import main
from ddpm.config import SamplingConfig
from ddpm.device import Inference
from ddpm.evaluation import bench, tutorial_code
from ddpm.generate import Sampler
from ddpm.networks import build_model
from ddpm.samplers import SAMPLERS

SMALL = ModelConfig(base=8, t_dim=8, mults=(1, 2), num_classes=10, patch_size=4, prediction="v")


@pytest.fixture(scope="module")
def code():
    torch.manual_seed(0)
    return tutorial_code.Diffusion()


def test_the_baseline_has_the_tutorials_parameters(code):
    assert sum(p.numel() for p in code.model.parameters()) == 3_829_569


def same_weights(code) -> UNet:
    """Our network with the baseline's weights: both list them in the order of the forward pass but for the way up."""
    names = {"time": "t_embed", "mid": "mid_block", "down1": "down_blocks.0", "down2": "down_blocks.1"}
    names |= {"pool1": "downs.0", "pool2": "downs.1", "up1": "ups.0", "up2": "ups.1"}
    names |= {"dec1": "up_blocks.0", "dec2": "up_blocks.1"}
    state = {}
    for key, value in code.model.state_dict().items():
        first, rest = key.split(".", 1)
        state[f"{names.get(first, first)}.{rest}".replace(".skip.", ".shortcut.")] = value
    model = UNet()
    model.load_state_dict(state)
    return model


def test_the_baselines_network_and_sampler_are_ours_with_the_defaults(code):
    model = same_weights(code)
    x, t = torch.randn(2, 1, 32, 32), torch.tensor([3, 900])
    with torch.no_grad():
        torch.testing.assert_close(model(x, t), code.model(x, t), rtol=1e-4, atol=1e-5)
    short = tutorial_code.Diffusion(3, 0.1, 0.3)  # three steps that matter
    short.model, short.ema = code.model, code.ema
    torch.manual_seed(1)
    theirs = short.sample(2)
    torch.manual_seed(1)
    torch.testing.assert_close(sample(model, make_schedule(3, 0.1, 0.3), 2), theirs, rtol=1e-3, atol=1e-4)
    assert theirs.abs().max() == 1 and theirs.abs().min() < 0.9


def test_the_baseline_learns_and_averages(code):
    torch.manual_seed(2)
    x0 = torch.full((4, 1, 32, 32), -1.0)
    before = {k: v.clone() for k, v in code.ema.items()}
    assert 0.5 < code.train_step(x0) < 3
    for name, value in code.model.state_dict().items():
        torch.testing.assert_close(code.ema[name], 0.9999 * before[name] + 0.0001 * value)


def test_timed_leaves_the_warm_up_out_and_stops(monkeypatch):
    clock = iter([0.0, 100, 200, 300, 301, 303, 306, 310, 315, 321])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    assert bench.timed(iter(range(100)), seconds=1) == pytest.approx([1, 2, 3, 4, 5])


def test_the_median_of_repetitions():
    rows = [{"a": 1, "b": 5.0, "c": "x"}, {"a": 3, "b": 4.0, "c": "x"}, {"a": 2, "b": 9.0, "c": "x"}]
    assert bench.median_row(rows) == {"a": 2, "b": 5.0, "c": "x"}


def double(x):
    return {"twice": 2.0 * x}


@pytest.mark.slow
def test_each_row_runs_in_a_process_of_its_own():
    told = []
    rows = bench.run([({"name": "a"}, double, (3,)), ({"name": "b"}, double, (4,))], told.append)
    assert told == rows
    assert [(row["name"], row["twice"]) for row in rows] == [("a", 6.0), ("b", 8.0)]
    assert all(row["peak_mb"] > 50 for row in rows)


@pytest.mark.slow
def test_no_row_takes_longer_than_its_limit():
    told = []
    rows = bench.run([({"name": "a"}, time.sleep, (600,)), ({"name": "b"}, double, (4,))], told.append, seconds=15)
    assert rows[0] == told[0] == {"name": "a", "over": 15} and rows[1]["twice"] == 8
    assert "not done within 15 s" in bench.line(rows[0])


@pytest.mark.slow
def test_the_row_beside_a_busy_process_runs_as_the_others_do():
    (row,) = bench.run([({"name": "beside", "precision": "auto"}, bench.speed_beside_a_neighbour, (0.1,))], print)
    assert 0.02 < row["training_share"] < 2 and 0.02 < row["sampling_share"] < 2


def runs(pid: str) -> bool:
    try:
        return "zombie" not in Path("/proc", pid, "status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_the_busy_process_ends_with_the_row_that_started_it():
    code = (
        f"import subprocess, sys, time; print(subprocess.Popen([sys.executable, '-c', {bench.BUSY!r}]).pid, flush=True)"
    )
    row = subprocess.Popen([sys.executable, "-c", f"{code}; time.sleep(600)"], stdout=subprocess.PIPE, text=True)
    busy = row.stdout.readline().strip()
    time.sleep(0.5)
    assert runs(busy)
    row.kill()
    row.wait()
    end = time.monotonic() + 20
    while runs(busy) and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs(busy)


def test_rows_that_did_not_end_leave_the_others_as_they_are(measured, monkeypatch):
    rows = [speed(50, 80.0, bench.TUTORIAL), {"name": "ours", "precision": "float32", "over": 180}, speed(100, 8.0)]
    monkeypatch.setattr(bench, "speeds", lambda *_: rows)
    result = bench.bench()
    assert result["ratios"] == {"ours in float32": {"training": 2.0, "sampling": 10.0}}
    assert "not done within 180 s" in bench.table(result)
    assert bench.median_row([{"over": 3}, {"a": 2.0}, {"a": 4.0}]) == {"a": 3.0}
    assert bench.median_row([{"over": 3}]) == {"over": 3}


@pytest.mark.parametrize("faster", [True, False])
def test_bfloat16_has_rows_only_where_it_is_not_slower(monkeypatch, faster):
    asked = []
    monkeypatch.setattr(bench, "run", lambda tasks, tell: asked.extend(tasks) or [{"over": 1} for _ in tasks])
    bench.speeds(True, faster, print)
    assert ("bfloat16" in {name["precision"] for name, *_ in asked}) == faster
    of_digits = ("tutorial", "fast", "best", "latent", "latent-best")
    assert {name["name"] for name, *_ in asked} == {bench.TUTORIAL, bench.NEIGHBOUR, *(f"ours, {p}" for p in of_digits)}


def test_plain_makes_the_rows_processes_compute_as_avx2_and_says_so(measured, monkeypatch):
    for name in bench.PLAIN:
        monkeypatch.setenv(name, "")
    result = bench.bench(plain=True)
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert result["machine"]["auto_precision"] == "float32" and "AVX2 alone" in result["machine"]["processor"]
    assert "no rows in bfloat16" in bench.table(result)


def speed(images, seconds, name="ours", precision="float32"):
    figures = {"images_per_second": images, "sampling_seconds": seconds, "evaluations": 20, "peak_mb": 500}
    return {"name": name, "precision": precision} | figures


@pytest.fixture
def measured(monkeypatch):
    """The benchmark with its rows given: what is left is how they are put together."""
    rows = [speed(50, 80.0, bench.TUTORIAL), speed(150, 20.0), speed(1000, 0.4, "ours, fast", "bfloat16")]
    monkeypatch.setattr(bench, "speeds", lambda *_: rows)
    scores = {
        "second": {"fid_over_real": 2.5, "accuracy": 0.97},
        "fid_over_real": 2.0,
        "accuracy": 0.99,
        "recall_over_real": 0.9,
        "distance_over_real": 0.95,
    }

    def run(tasks, tell, seconds):
        return [
            name
            | {"seconds": args[1], "images_seen": 10 + name["seed"], "n": args[3], "evaluations": 20, "peak_mb": 1}
            | {"encoding_seconds": 2.5 if args[0] == "latent" else 0.0}
            | scores
            for name, _, args in tasks
        ]

    monkeypatch.setattr(bench, "run", run)


def test_ratios_are_against_the_tutorials_code(measured):
    result = bench.bench()
    assert next(iter(result)) == "ratios"
    assert result["ratios"]["ours in float32"] == {"training": 3.0, "sampling": 4.0}
    assert result["ratios"]["ours, fast in bfloat16"] == {"training": 20.0, "sampling": 200.0}
    budgets = [(row["preset"], row["seconds"]) for row in result["quality"]]
    assert budgets == [(preset, seconds) for preset, each in bench.BUDGETS.items() for seconds in each]
    assert len(result["runs"]) == 3 * len(budgets) and result["quality"][0]["images_seen"] == 11
    assert {row["n"] for row in result["runs"]} == {2000}


def test_the_command_prints_a_table_and_writes_json(measured, tmp_path, capsys):
    out = tmp_path / "b.json"
    assert main(["bench", "--quick", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert "ours in float32" in text and "3.00x" in text and "200.0x" in text and f"wrote {out}" in lines[-1]
    assert lines.index(next(line for line in lines if "3.00x" in line)) < 5, "ratios first"
    assert json.loads(out.read_text())["quality"][0]["n"] == 500
    assert "preset fast from nothing" in text and "the digits encoded in 2.5 s" in text


def test_a_folder_that_is_not_there_is_said_before_half_an_hour_is_spent(tmp_path, capsys):
    assert main(["bench", "--out", str(tmp_path / "no" / "b.json")]) == 2
    assert "--out" in capsys.readouterr().err


@pytest.fixture
def small(monkeypatch):
    config = Config(SMALL, ScheduleConfig(kind="cosine"), TrainConfig(batch_size=8, muon_lr=1e-3, precision="float32"))
    monkeypatch.setitem(PRESETS, "fast", config)
    return config


@pytest.mark.slow
def test_quality_trains_within_the_budget_loading_included_and_is_evaluated(small):
    row = bench.quality("fast", 1.5, 3, 20)
    assert row["encoding_seconds"] == 0
    assert row["seconds"] == 1.5 and 0.9 < row["took"] < 5
    assert row["images_seen"] > 8 and row["seed"] == 3 and row["n"] == 20
    assert (row["sampler"], row["evaluations"]) == ("ddpm", 20), "a young network"
    assert row["fid_over_real"] > 5


@pytest.mark.slow
def test_in_latent_space_the_digits_are_encoded_before_the_clock_runs():
    row = bench.quality("latent", 1.0, 0, 20)
    assert 0.7 < row["took"] < 3 and row["encoding_seconds"] > 0.1
    assert row["evaluations"] == 19  # the first step, above 0.9 T, is not guided
    assert bench.speed_of_ours("latent", "float32", 0.1)["evaluations"] == 20


def test_our_speed_is_measured_with_the_pages_sampler_where_there_are_classes(small):
    row = bench.speed_of_ours("fast", "float32", 0.1)
    assert row["evaluations"] == 20 and row["images_per_second"] > 8 and 0 < row["sampling_seconds"] < 10


def test_the_tutorials_sampler_is_timed_by_some_of_its_thousand_steps(monkeypatch):
    model = ModelConfig(base=8, t_dim=8, mults=(1, 2))
    monkeypatch.setitem(PRESETS, "tutorial", Config(model, train=TrainConfig(batch_size=8)))
    row = bench.speed_of_ours("tutorial", "float32", 0.1)
    assert row["evaluations"] == 1000 and row["sampling_seconds"] > 0.5


def test_a_curve_has_each_sampler_at_each_number_of_evaluations(monkeypatch):
    tasks = []
    monkeypatch.setattr(bench, "run", lambda given, tell: tasks.extend(given) or [name for name, *_ in given])
    bench.curve("checkpoints/mnist")
    loaded = load_checkpoint("checkpoints/mnist")
    model = Inference(loaded.model, "float32")
    expected = [(way, most) for way in (*SAMPLERS, "ddim, eta 0.7") for most in bench.CURVE_EVALUATIONS]
    for (name, function, (checkpoint, sampling, n)), (way, most) in zip(tasks, expected, strict=True):
        assert function is bench.curve_point and checkpoint == "checkpoints/mnist"
        assert name == {"sampler": way, "steps": sampling.num_steps} and sampling.sampler == way.split(",")[0]
        assert sampling.eta == (0.7 if "eta" in way else 0)
        assert (sampling.guidance, sampling.guide_from, sampling.guide_to) == (1.5, 0.3, 0.65), "the page's"
        assert n == (2000 if sampling.num_steps <= 100 else 500)
        cost = Sampler(model, loaded.sched, sampling).evaluations
        longer = dataclasses.replace(sampling, num_steps=sampling.num_steps + 1)
        assert cost <= most < Sampler(model, loaded.sched, longer).evaluations
    assert [sampling.num_steps for _, _, (_, sampling, _) in tasks if sampling.sampler == "heun"][:3] == [3, 5, 9]


def test_the_command_writes_a_curve(monkeypatch, tmp_path, capsys):
    scores = {"evaluations": 20, "n": 5, "seed": 0, "fid_over_real": 1.5, "accuracy": 0.5} | dict.fromkeys(
        ("recall_over_real", "distance_over_real"), 0.25
    )
    scores["second"] = {"fid_over_real": 1.25}

    def run(tasks, tell):
        rows = [name | scores for name, *_ in tasks[:-1]] + [tasks[-1][0] | {"over": 180}]
        for row in rows:
            tell(row)
        return rows

    monkeypatch.setattr(bench, "run", run)
    out = tmp_path / "curve.json"
    assert main(["bench", "--quick", "--curve", "checkpoints/mnist", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = lines[-17:-1]
    assert len(table) == 1 + 15 and "1.50" in table[1] and "1.25" in table[1] and "not done" in table[-1]
    assert len(json.loads(out.read_text())["points"]) == 15


@pytest.mark.slow
def test_a_point_of_the_curve_is_the_checkpoint_evaluated(tmp_path, small):
    save_checkpoint(tmp_path / "digits", build_model(small.model), small, {"dataset": "mnist"})
    sampling = SamplingConfig("ddim", 2)
    assert bench.curve_point(str(tmp_path / "digits"), sampling, 20)["evaluations"] == 2


def test_all_in_one_run_speeds_are_the_better_of_two(monkeypatch):
    rounds = iter([[speed(100, 2.0)], [speed(110, 3.0)]])
    monkeypatch.setattr(bench, "run", lambda tasks, tell: next(rounds))
    assert bench.speeds(False, True, print) == [speed(110, 2.0)]
