"""The forward process and its posterior against Bayes' rule; eps, x0 and v as three ways to say one thing."""

from __future__ import annotations

import math

import pytest
import torch

from ddpm import forward_step, make_schedule, posterior, q_sample, target, to_x0_eps
from ddpm.denoiser import prediction_of
from ddpm.objective import loss
from ddpm.schedule import SCHEDULES as NOISE
from ddpm.seeding import seeded

SCHEDULES = [make_schedule(60, 1e-3, 0.15, kind, dtype=torch.float64) for kind in NOISE]
KINDS = ("eps", "x0", "v")


@pytest.fixture(params=SCHEDULES, ids=NOISE)
def sched(request):
    return request.param


def draw(B=6, seed=3):
    g = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(B, 2, 3, 3, generator=g, dtype=torch.float64) for _ in range(2))


def test_one_jump_is_as_many_single_steps(sched):
    """q(x_t | x_{t-1}) = N(sqrt(1 - beta) x_{t-1}, beta), iterated: the mean's factor and the variance of the jump."""
    one, zero = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    factor, variance = 1.0, 0.0
    for time, beta in enumerate(sched.betas.tolist()):
        factor, variance = factor * math.sqrt(1 - beta), (1 - beta) * variance + beta
        t = torch.tensor([time])
        assert q_sample(one, t, zero, sched).item() == pytest.approx(factor, rel=1e-10)
        assert q_sample(zero, t, one, sched).item() ** 2 == pytest.approx(variance, rel=1e-10)


def test_many_small_steps_agree_with_one_jump_in_mean_and_variance(sched):
    """Both are affine in x0 and in the noise, so mean and variance propagate exactly: nothing is drawn."""
    one, zero = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    mean, variance = one, zero
    for time in range(sched.T):
        t = torch.tensor([time])
        keeps, adds = forward_step(one, t, zero, sched), forward_step(zero, t, one, sched)
        mean, variance = forward_step(mean, t, zero, sched), keeps**2 * variance + adds**2
        torch.testing.assert_close(mean, q_sample(one, t, zero, sched), rtol=1e-10, atol=0)
        torch.testing.assert_close(variance, q_sample(zero, t, one, sched) ** 2, rtol=1e-10, atol=0)


def test_a_small_step_takes_each_picture_its_own_time(sched):
    x, noise = draw()
    t = torch.tensor([0, 5, 17, 30, 58, 59])
    both = forward_step(x, t, noise, sched)
    for i in range(6):
        torch.testing.assert_close(both[i : i + 1], forward_step(x[i : i + 1], t[i : i + 1], noise[i : i + 1], sched))


def test_q_sample_is_linear_in_image_and_noise_and_takes_each_its_own_time(sched):
    x0, noise = draw()
    t = torch.tensor([0, 5, 17, 30, 58, 59])
    both = q_sample(x0, t, noise, sched)
    apart = q_sample(x0, t, torch.zeros_like(x0), sched) + q_sample(torch.zeros_like(x0), t, noise, sched)
    torch.testing.assert_close(both, apart)
    for i in range(6):
        torch.testing.assert_close(both[i : i + 1], q_sample(x0[i : i + 1], t[i : i + 1], noise[i : i + 1], sched))


@pytest.mark.parametrize(("time", "then"), [(1, 0), (30, 29), (59, 58), (30, 7), (59, 0), (59, 31)])
def test_the_posterior_is_the_product_of_two_gaussians(sched, time, then):
    """q(x_s | x_t, x0) is proportional to q(x_t | x_s) q(x_s | x0), also where s jumps over many t."""
    x0, x_t = draw(1)
    between = math.prod(1 - b for b in sched.betas[then + 1 : time + 1].tolist())  # alphas_bar_t / alphas_bar_s
    up_to_s = math.prod(1 - b for b in sched.betas[: then + 1].tolist())  # alphas_bar_s
    prior_mean, prior_precision = math.sqrt(up_to_s) * x0, 1 / (1 - up_to_s)
    seen_mean, seen_precision = x_t / math.sqrt(between), between / (1 - between)
    variance = 1 / (prior_precision + seen_precision)
    mean = variance * (prior_precision * prior_mean + seen_precision * seen_mean)

    got_mean, got_variance = posterior(x0, x_t, torch.tensor([time]), torch.tensor([then]), sched)
    torch.testing.assert_close(got_mean, mean, rtol=1e-8, atol=1e-10)
    assert got_variance.item() == pytest.approx(variance, rel=1e-8)
    assert got_variance.shape == (1, 1, 1, 1)


def test_neighbours_have_the_tabulated_variance(sched):
    x0, x_t = draw(59)
    t = torch.arange(1, 60)
    _, variance = posterior(x0, x_t, t, t - 1, sched)
    torch.testing.assert_close(variance.flatten(), sched.posterior_variance[1:], rtol=1e-8, atol=0)


def test_the_posterior_of_clean_data_is_the_data(sched):
    x0, x_t = draw(60)
    mean, variance = posterior(x0, x_t, torch.arange(60), torch.full((60,), -1), sched)
    torch.testing.assert_close(mean, x0, rtol=1e-12, atol=1e-12)
    assert (variance == 0).all()


def test_forward_then_back_is_the_forward_marginal(sched):
    """Averaging q(x_s | x_t, x0) over q(x_t | x0) gives q(x_s | x0): total expectation and total variance."""
    one, zero = torch.ones(1, 1, 1, 1, dtype=torch.float64), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    t, s = torch.tensor([47]), torch.tensor([12])
    on_x0, variance = posterior(one, zero, t, s, sched)
    on_x_t, _ = posterior(zero, one, t, s, sched)
    ab_t, ab_s = sched.alphas_bar[47].item(), sched.alphas_bar[12].item()
    assert on_x0.item() + on_x_t.item() * math.sqrt(ab_t) == pytest.approx(math.sqrt(ab_s), rel=1e-9)
    assert on_x_t.item() ** 2 * (1 - ab_t) + variance.item() == pytest.approx(1 - ab_s, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_conversions_invert_the_target(sched, kind):
    x0, noise = draw()
    t = torch.tensor([0, 1, 17, 30, 57, 58])
    x_t = q_sample(x0, t, noise, sched)
    got_x0, got_eps = to_x0_eps(target(x0, noise, t, sched, kind), x_t, t, sched, kind)
    torch.testing.assert_close(got_x0, x0, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(got_eps, noise, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_predicted_x0_hat_and_eps_hat_make_up_x_t(sched, kind):
    out, x_t = draw()
    t = torch.tensor([0, 1, 17, 30, 57, 58])
    x0_hat, eps_hat = to_x0_eps(out, x_t, t, sched, kind)
    torch.testing.assert_close(q_sample(x0_hat, t, eps_hat, sched), x_t)


def test_v_is_the_velocity_along_the_circle(sched):
    """With sqrt(ab) = cos(phi), x = cos(phi) x0 + sin(phi) eps, and v = dx / dphi: sign and roles, by difference."""
    x0, noise = draw()
    t = torch.tensor([0, 5, 17, 30, 58, 59])
    phi = torch.atan2(sched.sqrt_one_minus_alphas_bar[t], sched.sqrt_alphas_bar[t]).reshape(-1, 1, 1, 1)
    h = 1e-6
    ahead, behind = (torch.cos(p) * x0 + torch.sin(p) * noise for p in (phi + h, phi - h))
    torch.testing.assert_close(target(x0, noise, t, sched, "v"), (ahead - behind) / (2 * h), rtol=1e-8, atol=1e-8)


class Says:
    """A model whose output is fixed, and that remembers what it was asked."""

    def __init__(self, out, prediction):
        self.out, self.prediction = out, prediction

    def __call__(self, *asked):
        self.asked = asked
        return self.out


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_of_a_perfect_predictor_is_zero(sched, kind):
    x0, noise = (v.float() for v in draw())
    t = torch.tensor([0, 5, 17, 30, 58, 59])
    truth = {"eps": noise, "x0": x0}.get(kind)
    if truth is None:
        a, b = sched.alphas_bar[t].sqrt().reshape(-1, 1, 1, 1), (1 - sched.alphas_bar[t]).sqrt().reshape(-1, 1, 1, 1)
        truth = (a * noise - b * x0).float()
    assert loss(Says(truth, kind), x0, t, noise, sched).item() == pytest.approx(0, abs=1e-12)
    off = loss(Says(truth + 0.5, kind), x0, t, noise, sched).item()
    assert off == pytest.approx(0.25, rel=1e-5)  # a mean of squares, not a sum, nor of absolute values


def test_the_losses_of_one_belief_differ_by_known_weights(sched):
    """One and the same x0_hat, put as eps, x0 or v: L_eps = (ab / (1 - ab)) L_x0 and L_v = L_x0 / (1 - ab)."""
    x0, noise = (v.float() for v in draw())
    belief = x0 + 0.1 * torch.randn(x0.shape, generator=torch.Generator().manual_seed(9))
    for time in (2, 20, 50):
        t = torch.full((6,), time)
        x_t = q_sample(x0, t, noise, sched)
        ab = sched.alphas_bar[time].item()
        _, eps = to_x0_eps(belief, x_t, t, sched, "x0")
        v = target(belief, eps, t, sched, "v")
        said = {"eps": eps, "x0": belief, "v": v}
        L = {k: loss(Says(out.float(), k), x0, t, noise, sched).item() for k, out in said.items()}
        assert L["eps"] == pytest.approx(ab / (1 - ab) * L["x0"], rel=1e-3)
        assert L["v"] == pytest.approx(L["x0"] / (1 - ab), rel=1e-3)


def test_the_loss_asks_the_model_about_x_t_at_t_with_the_labels():
    sched = make_schedule(60)
    x0, noise = (v.float() for v in draw())
    t, y = torch.arange(6) * 9, torch.tensor([3, -1, 0, 1, 2, 9])
    model = Says(noise, "eps")
    loss(model, x0, t, noise, sched)
    assert len(model.asked) == 2
    loss(model, x0, t, noise, sched, y)
    torch.testing.assert_close(model.asked[0], q_sample(x0, t, noise, sched))
    assert torch.equal(model.asked[1], t) and torch.equal(model.asked[2], y)


def test_a_model_that_does_not_say_what_it_predicts_predicts_eps():
    assert prediction_of(lambda x, t: x) == "eps"
    assert prediction_of(Says(None, "v")) == "v"


@pytest.mark.parametrize("function", [target, to_x0_eps])
def test_an_unknown_prediction_is_refused(function, sched):
    x, _ = draw()
    with pytest.raises(ValueError, match="score"):
        function(x, x, torch.zeros(6, dtype=torch.int64), sched, "score")


def test_seeded_generators_depend_on_the_whole_key_and_on_nothing_else():
    def first(*key):
        return torch.randn(4, generator=seeded(*key)).tolist()

    torch.manual_seed(1)
    before = torch.get_rng_state()
    keys = [(0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (2**63 - 1, 5)]
    assert len({tuple(first(*key)) for key in keys}) == len(keys)
    torch.manual_seed(2)
    assert first(1, 0) == first(1, 0)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), before)
