"""A part of a picture held fixed, a draft taken up half-way, and the way between two noises."""

import itertools
import math

import pytest
import torch
from helpers.tiny import TINY_ATTRIBUTES, TINY_CLASSES, Model

from ddpm import make_schedule, q_sample, reverse_process, timesteps
from ddpm.compose import Term
from ddpm.config import SamplingConfig
from ddpm.device import Inference
from ddpm.editing import Known, back_up, classes_between, draft, slerp
from ddpm.generate import Sampler
from ddpm.networks import build_model
from ddpm.samplers import SAMPLERS

SCHED = make_schedule(100, kind="cosine")
HOW = {"n": 3, "num_steps": 6, "img_size": 8}


def given(mask):
    x0 = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return x0, mask.expand(3, 1, 8, 8)


def left_half():
    mask = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    mask[..., :4] = True
    return mask


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("r", [1, 3])
def test_what_is_known_comes_back_to_the_bit_and_the_rest_is_drawn(sampler, r):
    x0, mask = given(left_half())
    *_, last = reverse_process(Model(), SCHED, sampler=sampler, known=Known(x0, mask, r), **HOW)
    assert torch.equal(last.x_t[mask], x0[mask])
    assert not torch.isclose(last.x_t[~mask], x0[~mask], atol=1e-3).any()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_with_nothing_known_it_is_plain_sampling_and_with_all_known_the_picture(sampler):
    x0, nothing = given(torch.zeros(1, 1, 8, 8, dtype=torch.bool))
    plain = list(reverse_process(Model(), SCHED, sampler=sampler, **HOW))
    for a, b in zip(
        plain, reverse_process(Model(), SCHED, sampler=sampler, known=Known(x0, nothing), **HOW), strict=True
    ):
        assert torch.equal(a.x_t, b.x_t) and a.t == b.t and a.i == b.i
    *_, last = reverse_process(Model(), SCHED, sampler=sampler, known=Known(x0, ~nothing, 2), **HOW)
    assert torch.equal(last.x_t, x0)


def test_each_step_but_the_last_is_gone_back_up_r_minus_one_times():
    x0, mask = given(left_half())
    moments = list(reverse_process(Model(), SCHED, known=Known(x0, mask, 3), **HOW))
    times = timesteps(SCHED, 6)
    steps = itertools.pairwise(times[:-1])
    assert [m.t for m in moments] == [at for t, s in steps for at in (t, s, t, s, t)] + times[-2:]
    assert [m.i for m in moments] == list(range(len(moments)))
    first, arrived, again = moments[:3]
    assert not torch.equal(first.x_t, again.x_t) and arrived.x0_hat is first.x0_hat  # not asked again of the same


def test_the_known_part_is_as_noisy_as_its_time():
    x0, mask = torch.full((400, 1, 4, 4), 0.5), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    s = torch.full((400,), 30)
    assert torch.equal(Known(x0, mask).paste(x0 * 0, s, noise, SCHED), q_sample(x0, s, noise, SCHED))


def test_backing_up_is_the_forward_process():
    """From x_s, itself noised from x0, to the distribution of q_sample at t."""
    x0, generator = torch.full((2000, 1, 4, 4), 0.7), torch.Generator().manual_seed(0)
    s, t = torch.full((2000,), 20), torch.full((2000,), 60)
    x_s = q_sample(x0, s, torch.randn(x0.shape, generator=generator), SCHED)
    x_t = back_up(x_s, s, t, torch.randn(x0.shape, generator=generator), SCHED)
    ab = SCHED.alphas_bar[60].item()
    assert x_t.mean().item() == pytest.approx(0.7 * math.sqrt(ab), abs=0.02)
    assert x_t.var().item() == pytest.approx(1 - ab, rel=0.03)
    clean = torch.full_like(s, -1)
    noise = torch.randn(x0.shape, generator=generator)
    assert torch.allclose(back_up(x0, clean, t, noise, SCHED), q_sample(x0, t, noise, SCHED), atol=1e-6)


@pytest.mark.parametrize(
    ("mask", "r"),
    [(torch.ones(1, 1, 8, 8), 1), (torch.ones(1, 1, 9, 8, dtype=torch.bool), 1), (left_half(), 0)],
)
def test_a_mask_that_will_not_do_is_one_sentence(mask, r):
    with pytest.raises(ValueError, match=r"^(mask: bool|resamplings: 1 or more)"):
        Known(torch.zeros(3, 1, 8, 8), mask, r)


def test_a_draft_at_the_top_is_generating_and_at_the_bottom_the_draft():
    """SDEdit: the noise of sample i is that which it is generated from."""
    x0, _ = given(left_half())
    times = timesteps(SCHED, 50)
    how = HOW | {"num_steps": 50}
    plain = list(reverse_process(Model(), SCHED, **how))
    for step, expected, close in ((0, plain[-1].x_t, 0.05), (49, x0, 0.1)):
        start = draft(x0, step, times, SCHED, seed=0)
        assert torch.equal(start[1], q_sample(x0, torch.full((3,), times[step]), plain[0].x_t, SCHED))
        *_, last = reverse_process(Model(), SCHED, start=start, **how)
        assert (last.x_t - expected).abs().mean() < close


def test_slerp_keeps_the_length_and_hits_both_ends():
    a, b = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    b = b * a.norm() / b.norm()
    way = slerp(a, b, torch.linspace(0, 1, 9))
    assert torch.allclose(way[0], a, atol=1e-6) and torch.allclose(way[-1], b, atol=1e-6)
    lengths = way.flatten(1).norm(dim=1) / a.norm()
    assert (lengths - 1).abs().max() < 1e-5
    straight = (a + b) / 2
    assert straight.norm() / a.norm() < 0.75  # why the straight mix fails
    steps = (way[1:] - way[:-1]).flatten(1).norm(dim=1)
    assert steps.max() / steps.min() < 1 + 1e-4  # evenly
    between = slerp(a, 2 * b, torch.tensor([0.5]))
    assert between.norm() / a.norm() == pytest.approx(1.5, rel=1e-5)
    assert torch.allclose(slerp(a, a, torch.tensor([0.3]))[0], a, atol=1e-6)
    with pytest.raises(ValueError, match="no one way"):
        slerp(a, -a, torch.tensor([0.5]))


@torch.no_grad()
def test_between_two_classes_the_network_is_told_the_mix_of_their_vectors():
    model = build_model(TINY_CLASSES, 0).eval()
    for p in model.parameters():  # as drawn it says hardly anything of the class
        p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    more = classes_between(model, 2, 5, torch.tensor([0.0, 0.5, 1.0]))
    x, t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(2)), torch.tensor([4, 40, 90])

    def said(of, y):
        return of(x, t, torch.full((3,), y))

    for new, old in ((10, 2), (12, 5), (7, 7), (-1, -1)):
        assert torch.equal(said(more, new), said(model, old))
    assert not torch.allclose(said(more, 11), said(model, 2)) and not torch.allclose(said(more, 11), said(model, 5))
    vectors = more.y_embed.weight
    assert torch.allclose(vectors[11], (vectors[2] + vectors[5]) / 2)
    assert torch.equal(said(classes_between(model, -1, 3, torch.tensor([0.0])), 10), said(model, -1))
    with pytest.raises(ValueError, match=r"labels 0\.\.9"):
        said(model, 10)  # itself it has no more than before
    with pytest.raises(ValueError, match="one with classes"):
        classes_between(torch.nn.Identity(), 0, 1, torch.tensor([0.5]))


@torch.no_grad()
def test_between_two_labels_of_attributes_each_vector_is_mixed():
    model = build_model(TINY_ATTRIBUTES, 0).eval()
    more = classes_between(model, (0, -1), (1, 2), torch.tensor([0.0, 0.25, 1.0])).y_embed
    for new, old in (([2, 3], [0, -1]), ([4, 5], [1, 2]), ([0, 1], [0, 1]), ([-1, -1], [-1, -1])):
        assert torch.equal(more(torch.tensor([new])), model.y_embed(torch.tensor([old])))
    ends = model.y_embed(torch.tensor([[0, -1], [1, 2]]))
    assert torch.allclose(more(torch.tensor([[3, 4]]))[0], 0.75 * ends[0] + 0.25 * ends[1], atol=1e-6)
    assert len(model.y_embed[0].weight) == 3  # the model's own are as they were


def test_a_sum_takes_the_place_of_guidance():
    model, sched = Inference(build_model(TINY_CLASSES, 0)), make_schedule(20, kind="cosine")
    plain = SamplingConfig(num_steps=4)
    composed = Sampler(model, sched, plain, [Term(1.0, 7)])
    *_, asked = composed.steps(3, torch.full((3,), -1))
    *_, expected = Sampler(model, sched, plain).steps(3, torch.full((3,), 7))
    assert torch.equal(asked.x_t, expected.x_t)
    x0, _ = given(left_half())
    assert torch.equal(composed.seen(x0), x0)
