"""What the shipped weights make of two classes in one picture, and of half a digit."""

import pytest
import torch

from ddpm import Guided, load_checkpoint, load_dataset, reverse_process
from ddpm.compose import Composed, illusion, upside_down
from ddpm.data import from_uint8
from ddpm.device import Inference
from ddpm.editing import Known
from ddpm.evaluation import classifiers
from ddpm.storage.checkpoint import SHIPPED

pytestmark = pytest.mark.slow
N = 200
HOW = {"num_steps": 20, "eta": 0.7}


@pytest.fixture(scope="module")
def shipped():
    loaded = load_checkpoint(SHIPPED / "mnist")
    return Inference(loaded.model, "auto"), loaded.sched


def test_of_200_illusions_four_in_five_are_a_6_upright_and_a_9_upside_down(shipped):
    model, sched = shipped
    *_, last = reverse_process(Composed(model, illusion(6, 9, 3.0)), sched, N, y=torch.full((N,), 6), **HOW)
    upright, turned = (classifiers.read(x).digits for x in (last.x_t, upside_down(last.x_t)))
    assert ((upright == 6) & (turned == 9)).float().mean() >= 0.8


def test_of_200_half_erased_digits_95_in_100_are_filled_as_what_they_were(shipped):
    model, sched = shipped
    data = load_dataset("bundled")
    x0, y = from_uint8(data.images[-N:]), data.labels[-N:]
    mask = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    mask[..., :16] = True  # the left half is kept
    *_, last = reverse_process(Guided(model, 2.0), sched, N, y=y, known=Known(x0, mask), **HOW)
    assert torch.equal(last.x_t[..., :16], x0[..., :16])
    assert (classifiers.read(last.x_t).digits == y).float().mean() >= 0.95
