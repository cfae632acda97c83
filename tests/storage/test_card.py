"""The loss curve and the labels of the grid: what a picture of a run must not get wrong."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from ddpm import Guided, ModelConfig, make_schedule, reverse_process, to_uint8
from ddpm.generate import class_labels
from ddpm.storage import model_card
from ddpm.storage.model_card import evaluations_table, loss_curve, sample_grid

SVG = "{http://www.w3.org/2000/svg}"


def curves(rows):
    return [
        [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        for line in ET.fromstring(loss_curve(rows)).iter(f"{SVG}polyline")
    ]


def row(images, smooth, held_out=""):
    return {"images": images, "loss_smooth": smooth, "held_out_loss": held_out}


def test_a_curve_that_falls_by_equal_factors_is_a_straight_line_down():
    training, held_out = curves([row(0, "1.0"), row(50, "0.1", "0.1"), row(100, "0.01", "0.05")])
    (x0, y0), (x1, y1), (x2, y2) = training
    assert x1 - x0 == pytest.approx(x2 - x1) and x0 < x1
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2) and y0 < y1  # down, on paper
    assert held_out[0] == (x1, y1) and y1 < held_out[1][1] < y2


@pytest.mark.parametrize("rows", [[], [row(0, "0.5")], [row(8, "0.5"), row(16, "0.5")], [row(8, "0", "0.0")]])
def test_few_rows_or_flat_ones_make_a_picture_too(rows):
    for line in curves(rows):
        assert all(0 <= x <= 640 and 0 <= y <= 260 for x, y in line)


def test_class_labels():
    assert class_labels(ModelConfig(num_classes=10), 12).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert class_labels(ModelConfig(), 5) is None


def test_the_grid_is_five_rows_at_guidance_1_then_the_same_noise_at_guidance_2(tiny_classes_model, monkeypatch):
    monkeypatch.setattr(model_card, "GRID_STEPS", 3)
    sched = make_schedule(20, kind="cosine")
    y, options = torch.arange(50) % 10, {"num_steps": 3, "seed": 0, "img_size": 8}
    halves = [[*reverse_process(Guided(tiny_classes_model, w), sched, 50, y=y, **options)][-1].x_t for w in (1.0, 2.0)]
    assert not torch.allclose(*halves, atol=0.1)
    compare(sample_grid(tiny_classes_model, sched), to_uint8(torch.cat(halves)))


def test_the_grid_of_a_model_without_classes_is_a_hundred_samples(tiny_model):
    """On a schedule shorter than the grid's fifty steps: all of it."""
    sched = make_schedule(4)
    last = [*reverse_process(tiny_model, sched, 100, num_steps=4, seed=0, img_size=8)][-1].x_t
    compare(sample_grid(tiny_model, sched), to_uint8(last))


def evaluation(**more):
    figures = {"evaluations": 20, "n": 2000, "fid": 0.134, "fid_over_real": 1.02, "accuracy": 0.992}
    figures |= {"recall_over_real": 0.97, "distance_over_real": 0.99, "extractor": "aaaa", "reference": "mnist"}
    return figures | {"command": "python -m ddpm evaluate"} | more


def cells(text):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text if line.startswith("|")]


def test_the_card_shows_what_both_classifiers_say():
    second = {"extractor": "bbbb", "fid_over_real": 1.456, "accuracy": 0.9876}
    text = evaluations_table([evaluation(second=second)])
    head, ruler, row = cells(text)
    assert len(head) == len(ruler) == len(row) == 10
    assert row == ["[1]", "20", "2,000", "0.134", "1.02", "1.46", "99.2%", "98.8%", "0.97", "0.99"]
    assert head[4:8] == ["over the real-data FID", "by the second", "class accuracy", "by the second"]
    assert any("aaaa" in line for line in text) and any(
        "bbbb" in line and "nothing was ever chosen" in line for line in text
    )


def test_an_evaluation_from_before_there_was_a_second_and_one_without_classes_leave_cells_empty():
    unconditional = evaluation(accuracy=None, second={"extractor": "bbbb", "fid_over_real": 12.3, "accuracy": None})
    for old in (evaluation(), evaluation(second=None)):
        _, _, first, second = cells(evaluations_table([old, unconditional]))
        assert first[4:8] == ["1.02", "", "99.2%", ""] and second[4:8] == ["1.02", "12.30", "", ""]
        assert not any("second:" in line for line in evaluations_table([old]))


def compare(picture, images):
    """Ten a row, 8 x 8 each, with a gap of 2, enlarged twice."""
    sheet = np.asarray(picture)[::2, ::2].astype(int)
    assert sheet.shape == (102, 102)
    for i, image in enumerate(images[:, 0].numpy().astype(int)):
        top, left = 2 + 10 * (i // 10), 2 + 10 * (i % 10)
        np.testing.assert_allclose(sheet[top : top + 8, left : left + 8], image, atol=1)
