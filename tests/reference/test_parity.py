"""Parity with an independent implementation: the schedulers of Hugging Face's diffusers, step by step in float32.

They are not a requirement of this package: its development extra brings them, and then these tests run.
"""

from __future__ import annotations

import pytest
import torch
from helpers.needs import development

from ddpm import make_schedule, reverse_process, target, timesteps, to_x0_eps
from ddpm.seeding import seeded

diffusers = development("diffusers", "DDPM_REQUIRE_DIFFUSERS")

T = 1000
TYPES = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
BETAS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
# As an eps-model on the cosine schedule nothing can agree in float32: x0_hat divides by sqrt(alphas_bar) = 5e-5.
KINDS = [(kind, p) for kind in BETAS for p in TYPES if (kind, p) != ("cosine", "eps")]


def theirs(scheduler, kind, prediction, **options):
    betas = {"beta_schedule": BETAS[kind], "beta_start": 1e-4, "beta_end": 2e-2, "num_train_timesteps": T}
    return scheduler(**betas, prediction_type=TYPES[prediction], **options)


def network(kind, prediction):
    """A smooth stand-in for a network, that says as `prediction` that v is `said`."""
    sched = make_schedule(T, kind=kind)

    def model(x, t):
        said = -1.3 * torch.tanh(2 * x + 0.4) + 0.1 * torch.sin(t.reshape(-1, 1, 1, 1) / 90)
        x0_hat, eps_hat = to_x0_eps(said, x, t, sched, "v")
        return target(x0_hat, eps_hat, t, sched, prediction)

    model.prediction = prediction
    return model, sched


def compare(kind, prediction, scheduler, noise_of=lambda generator: {}, **options):
    """Both samplers, each along its own path, from the same x_T and with the same fresh noise."""
    model, sched = network(kind, prediction)
    ours = list(reverse_process(model, sched, 1, seed=3, img_size=4, **options))
    assert [m.t for m in ours[:-1]] == scheduler.timesteps.tolist()
    generator = seeded(3, 0)
    x = torch.randn(1, 1, 4, 4, generator=generator)
    for mine in ours:
        assert (mine.x_t - x).abs().max() < 1e-4, f"at step {mine.i}, t = {mine.t}"
        if mine.t >= 0:
            t = torch.tensor([mine.t])
            x = scheduler.step(model(x, t), mine.t, x, **noise_of(generator)).prev_sample


@pytest.mark.parametrize("kind", BETAS)
def test_the_betas(kind):
    scheduler = theirs(diffusers.DDPMScheduler, kind, "eps")
    torch.testing.assert_close(make_schedule(T, kind=kind).betas, scheduler.betas, rtol=0, atol=2e-7)


@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
@pytest.mark.parametrize("steps", [1, 7, 10, 333, 1000])
def test_the_spacings(spacing, steps):
    if spacing == "linspace" and steps == 1:
        pytest.skip("their linspace of one step asks the model at t = 0, of pure noise; ours at T-1")
    scheduler = theirs(diffusers.DDPMScheduler, "linear", "eps", timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    assert timesteps(make_schedule(T), steps, spacing) == [*scheduler.timesteps.tolist(), -1]


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
@pytest.mark.parametrize(("kind", "prediction"), KINDS)
def test_ddpm(kind, prediction, spacing, variance, clip):
    if (variance, spacing) == ("large", "trailing"):
        pytest.skip("they add noise to the finished sample wherever the last step does not start at t = 0")
    options = {"variance_type": f"fixed_{variance}", "clip_sample": clip, "timestep_spacing": spacing}
    scheduler = theirs(diffusers.DDPMScheduler, kind, prediction, **options)
    scheduler.set_timesteps(30)
    noise = {"sampler": "ddpm", "variance": variance, "spacing": spacing, "clip": clip}
    compare(kind, prediction, scheduler, lambda generator: {"generator": generator}, num_steps=30, **noise)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(("kind", "prediction"), KINDS)
def test_ddim(kind, prediction, eta, clip):
    options = {"clip_sample": clip, "timestep_spacing": "trailing", "set_alpha_to_one": True}
    scheduler = theirs(diffusers.DDIMScheduler, kind, prediction, **options)
    scheduler.set_timesteps(25)

    def noise(generator):
        z = torch.randn(1, 1, 4, 4, generator=generator) if eta else None
        return {"eta": eta, "use_clipped_model_output": clip, "variance_noise": z}

    compare(kind, prediction, scheduler, noise, num_steps=25, eta=eta, clip=clip, spacing="trailing")


@pytest.mark.parametrize("spacing", ["linspace", "trailing", "log_snr"])
@pytest.mark.parametrize("steps", [1, 2, 10, 40])
@pytest.mark.parametrize(("kind", "prediction"), KINDS)
def test_dpmpp(kind, prediction, steps, spacing):
    scheduler = theirs(diffusers.DPMSolverMultistepScheduler, kind, prediction, algorithm_type="dpmsolver++")
    scheduler.set_timesteps(timesteps=timesteps(make_schedule(T, kind=kind), steps, spacing)[:-1])
    compare(kind, prediction, scheduler, sampler="dpmpp", num_steps=steps, spacing=spacing, clip=False)
