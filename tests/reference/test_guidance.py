"""Classifier-free guidance: w = 0, 1 and 2 by identity, the same in eps, x0 and v, and how labels are dropped."""

from __future__ import annotations

import math

import pytest
import torch

from ddpm import Guided, drop_labels, make_schedule, target, to_x0_eps
from ddpm.generate import num_evaluations
from ddpm.seeding import seeded
from ddpm.spacing import timesteps


class Asked:
    """Passes on to a model, and remembers the batch sizes and labels it was asked for."""

    def __init__(self, model):
        self.model, self.prediction, self.sizes, self.labels = model, model.prediction, [], []

    def __call__(self, x, t, y):
        self.sizes.append(len(x))
        self.labels.append(y.tolist())
        return self.model(x, t, y)


@pytest.fixture
def question():
    g = torch.Generator().manual_seed(2)
    return torch.randn(3, 1, 8, 8, generator=g), torch.tensor([0, 5, 19]), torch.tensor([7, 0, 9])


def both(model, question):
    x, t, y = question
    return model(x, t, y), model(x, t, torch.full_like(y, -1))


@torch.no_grad()
@pytest.mark.parametrize("w", [0.0, 1.0, 2.0, 0.5, 7.5])
def test_the_answer_at_w(tiny_classes_model, question, w):
    cond, uncond = both(tiny_classes_model, question)
    torch.testing.assert_close(Guided(tiny_classes_model, w)(*question), (1 - w) * uncond + w * cond, atol=1e-5, rtol=0)


@torch.no_grad()
def test_w_2_is_as_far_beyond_the_conditional_as_that_is_from_the_unconditional(tiny_classes_model, question):
    cond, uncond = both(tiny_classes_model, question)
    assert (cond - uncond).abs().max() > 0.01
    torch.testing.assert_close(Guided(tiny_classes_model, 2)(*question) - cond, cond - uncond, atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize(("w", "cost"), [(0, 1), (0.0, 1), (1, 1), (1.0, 1), (2, 2), (0.5, 2)])
def test_it_says_what_it_costs_and_costs_that(tiny_classes_model, question, w, cost):
    asked = Asked(tiny_classes_model)
    guided = Guided(asked, w)
    guided(*question)
    assert guided.evaluations_at(7) == cost
    assert asked.sizes == [3 * cost]
    assert num_evaluations(guided, range(50)) == 50 * cost


@torch.no_grad()
def test_which_labels_are_asked_for(tiny_classes_model, question):
    for w, labels in ((1, [7, 0, 9]), (0, [-1, -1, -1]), (2, [7, 0, 9, -1, -1, -1])):
        asked = Asked(tiny_classes_model)
        Guided(asked, w)(*question)
        assert asked.labels == [labels]


def test_a_plain_model_costs_one_evaluation_a_step(tiny_model):
    assert num_evaluations(tiny_model, range(50)) == 50
    assert num_evaluations(tiny_model, timesteps(make_schedule(), 7)) == 7, "the finished sample is not asked about"


@torch.no_grad()
def test_on_an_interval_it_guides_there_and_costs_a_pair_there_only(tiny_classes_model, question):
    x, _, y = question
    asked = Asked(tiny_classes_model)
    guided = Guided(asked, 3.0, interval=(5, 9.5))
    for t, cost in ((4, 1), (5, 2), (9, 2), (10, 1)):
        times = torch.full((3,), t)
        expected = Guided(tiny_classes_model, 3.0 if cost == 2 else 1.0)(x, times, y)
        torch.testing.assert_close(guided(x, times, y), expected)
        assert asked.sizes.pop() == 3 * cost == 3 * guided.evaluations_at(t)
    assert num_evaluations(guided, [12, 10, 9, 7, 5, 4, 0, -1]) == 7 + 3


def test_it_predicts_what_its_model_predicts(tiny_classes_model):
    assert Guided(tiny_classes_model, 2).prediction == "v"


def test_without_labels_there_is_nothing_to_guide_towards(tiny_classes_model, question):
    x, t, _ = question
    with pytest.raises(ValueError, match="label"):
        Guided(tiny_classes_model, 2)(x, t)


@pytest.mark.parametrize("kind", ["x0", "v"])
def test_guiding_in_eps_x0_or_v_is_the_same(kind):
    """The three are affine in one another at fixed x_t and t, so w (cond - uncond) means the same in each."""
    sched = make_schedule(60, 1e-3, 0.15, dtype=torch.float64)
    g = torch.Generator().manual_seed(4)
    x, eps_cond, eps_uncond = (torch.randn(4, 1, 3, 3, generator=g, dtype=torch.float64) for _ in range(3))
    t, y, w = torch.tensor([0, 9, 40, 59]), torch.tensor([1, 2, 0, 1]), 3.0

    class Says:
        def __init__(self, prediction):
            self.prediction = prediction

        def __call__(self, x, t, y):
            eps = torch.cat([eps_cond, eps_uncond])
            x0, _ = to_x0_eps(eps, x, t, sched, "eps")
            return target(x0, eps, t, sched, self.prediction)

    answers = [to_x0_eps(Guided(Says(k), w)(x, t, y), x, t, sched, k) for k in ("eps", kind)]
    torch.testing.assert_close(answers[0], answers[1], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(answers[1][1], eps_uncond + w * (eps_cond - eps_uncond), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_labels_are_dropped_at_the_rate_asked_for(p):
    n = 20_000
    y = torch.arange(n) % 10
    dropped = drop_labels(y, p, seeded(0, 0))
    gone = dropped == -1
    assert abs(gone.double().mean().item() - p) < 5 * math.sqrt(p * (1 - p) / n)
    assert torch.equal(dropped[~gone], y[~gone])
    assert y.min() == 0  # the argument is left alone


def test_never_and_always():
    y = torch.arange(1000)
    assert torch.equal(drop_labels(y, 0.0), y)
    assert (drop_labels(y, 1.0) == -1).all()


def test_dropping_depends_on_the_generator_alone():
    y = torch.arange(200)
    first, again, other = (drop_labels(y, 0.5, seeded(1, k)) for k in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
