"""benchmarks/gpu.py: with nothing to measure, and its rows on a CPU.  On a GPU it is run by hand."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_report import Report


def test_without_cuda_it_says_so_in_a_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main(["--out", str(tmp_path / "gpu.json")]) == 0
    assert capsys.readouterr().out == "There is no CUDA device here: nothing was measured.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_its_rows_on_a_cpu(tmp_path, capsys):
    out = tmp_path / "gpu.json"
    assert gpu.main(["--device", "cpu", "--tiny", "--out", str(out)]) == 0
    rows = {row["row"]: row for row in json.loads(out.read_text())}
    for row in ("training tiny: float32 as on a CPU", "resume tiny: begun on cpu, resumed on cpu"):
        assert rows[row]["ok"] and rows[row]["loss_apart"] == 0
    assert rows["training tiny: bfloat16 falls"]["ok"] and rows["training tiny: bfloat16 as float32"]["ok"]
    assert (
        rows["sampling mnist: ddim, 3 steps"]["furthest"] == 0 < rows["sampling mnist: ddim, 3 steps"]["mean_bfloat16"]
    )
    assert rows["training speed tiny: float32"]["images_per_second"] > 0
    assert not any("error" in row for row in rows.values())
    assert capsys.readouterr().out.count("\n") == len(json.loads(out.read_text())) + 1


@pytest.fixture
def report(tmp_path):
    return Report(torch.device("cpu"), tmp_path / "gpu.json", True, 0.0)


def test_a_row_that_fails_is_told_and_the_next_ones_follow(report):
    report.attempt("first", lambda: 1 / 0)
    report.tell("second", True, loss=0.123456)
    first, second = report.rows
    assert first == {"row": "first", "ok": False, "error": "ZeroDivisionError: division by zero"}
    assert second == {"row": "second", "ok": True, "loss": 0.1235} == json.loads(report.out.read_text())[1]


def test_a_row_that_takes_too_long_is_left(report):
    def endless():
        while True:
            pass

    report.attempt("endless", endless, 0.1)
    assert report.rows == [{"row": "endless", "error": "TimeUp: took more than 0 s"}]
