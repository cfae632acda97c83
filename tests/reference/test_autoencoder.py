"""The autoencoders by identity, and what a model of latents asks of them."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ddpm import make_schedule
from ddpm.autoencoder import (
    PCA,
    VAE,
    Codec,
    LatentLoader,
    encoded,
    encoding,
    kl_divergence,
    negative_elbo,
    unit_variance,
)
from ddpm.config import AutoencoderName, Config, MLPConfig, SamplingConfig, ScheduleConfig, from_dict, to_dict
from ddpm.data import from_uint8
from ddpm.device import Inference
from ddpm.generate import Sampler
from ddpm.latent_mlp import LatentMLP
from ddpm.networks import build_model
from ddpm.samplers import reverse_process

SMALL = {"img_size": 8, "patch_size": 2, "widths": (8, 16), "latent_ch": 4}  # latents of 4 x 2 x 2


@pytest.fixture
def vae():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return VAE(**SMALL)


@pytest.fixture
def codec(vae, tiny_images):
    unit_variance(vae, tiny_images)
    return Codec(vae, AutoencoderName("small", "0" * 64))


def test_a_codec_computes_where_its_weights_are_and_answers_where_it_was_asked():
    with FakeTensorMode():  # which knows of devices that are not there
        codec = Codec(VAE(**SMALL), AutoencoderName("small"))
        x, latents = torch.zeros(2, 1, 8, 8, device="cuda"), torch.zeros(2, 4, 2, 2, device="cuda")
        assert {each.device.type for each in (*codec.posterior(x), codec.decode(latents))} == {"cuda"}
        assert {each.device.type for each in codec.posterior(torch.zeros(2, 1, 8, 8))} == {"cpu"}


def noise_like(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------- the bound


def test_the_divergence_is_that_of_two_gaussians_by_quadrature():
    mean, std = 0.7, 0.3
    z = np.linspace(-6, 6, 200_001)
    q = np.exp(-((z - mean) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))
    log_q, log_p = -((z - mean) ** 2) / (2 * std**2) - math.log(std), -(z**2) / 2
    expected = (q * (log_q - log_p)).sum() * (z[1] - z[0])
    found = kl_divergence(torch.full((1, 1, 1, 1), mean), torch.full((1, 1, 1, 1), 2 * math.log(std)))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert kl_divergence(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)).item() == 0


def test_the_loss_is_the_square_error_of_a_draw_and_the_weighted_divergence(vae, tiny_images):
    x, noise = from_uint8(tiny_images), noise_like((20, 4, 2, 2))
    mean, logvar = vae.moments(x)
    drawn = vae.decode(vae.scale * (mean + torch.exp(logvar) ** 0.5 * noise))
    error = ((x - drawn) ** 2).sum(dim=(1, 2, 3))
    expected = (error + 0.1 * kl_divergence(mean, logvar)).mean() / 64
    assert negative_elbo(vae, x, noise, 0.1).item() == pytest.approx(expected.item(), rel=1e-5)
    assert negative_elbo(vae, x, noise, 0.2) > negative_elbo(vae, x, noise, 0.1), "the divergence is a cost"
    vae.scale.fill_(3)
    assert negative_elbo(vae, x, noise, 0.1).item() == pytest.approx(expected.item(), rel=1e-4), "on any scale"


def test_a_draw_is_as_wide_as_q_says_and_scaled(vae, tiny_images):
    x = from_uint8(tiny_images)
    (mean, logvar), scale = vae.moments(x), 3.0
    vae.scale.fill_(scale)
    scaled_mean, scaled_std = vae.posterior(x)
    assert torch.allclose(scaled_mean, scale * mean) and torch.allclose(scaled_std**2, scale**2 * torch.exp(logvar))
    latents = noise_like(mean.shape)
    at_scale = vae.decode(latents)
    vae.scale.fill_(1)
    assert torch.allclose(at_scale, vae.decode(latents / scale), atol=1e-5)


def test_a_draw_has_the_mean_and_the_spread_it_should_have(vae, tiny_images):
    x = from_uint8(tiny_images[:1])
    mean, std = vae.posterior(x)
    draws = torch.cat([vae.encode(x, noise_like(mean.shape, seed)) for seed in range(400)])
    assert torch.equal(vae.encode(x), mean)
    assert torch.allclose(draws.mean(dim=0), mean[0], atol=4 * std.max().item() / 20)
    assert torch.allclose(draws.std(dim=0), std[0], rtol=0.2)


def test_draws_of_the_latents_have_unit_variance(vae, tiny_images):
    unit_variance(vae, tiny_images)
    x = from_uint8(tiny_images)
    draws = torch.cat([vae.encode(x, noise_like((20, 4, 2, 2), seed)) for seed in range(50)])
    assert draws.square().mean().item() == pytest.approx(1, rel=0.05)
    assert vae.scale != 1, "it had to be set"
    before = vae.decode(vae.encode(x))
    vae.scale.mul_(3)
    assert torch.allclose(vae.decode(vae.encode(x)), before, atol=1e-4), "what is encoded is decoded on the same scale"


# ---------------------------------------------------------------- principal components


def test_components_are_those_of_an_independent_decomposition(tiny_images):
    x = tiny_images.double().flatten(1).numpy() / 127.5 - 1
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    order = values.argsort()[::-1][:5]
    pca = PCA(tiny_images, 5)
    alike = np.abs(pca.components.double().numpy() @ vectors[:, order])
    assert np.allclose(alike, np.eye(5), atol=1e-3)
    assert np.allclose(pca.std.double().numpy() ** 2, values[order], rtol=1e-3)


def test_of_full_rank_they_lose_nothing_and_of_less_what_is_left_out(tiny_images):
    x = from_uint8(tiny_images)
    whole, part = PCA(tiny_images, 19), PCA(tiny_images, 6)
    assert torch.allclose(whole.decode(whole.encode(x)), x, atol=1e-4), "19 directions hold 20 pictures"
    lost = (part.decode(part.encode(x)) - x).square().sum(dim=(1, 2, 3)).mean()
    assert lost.item() == pytest.approx(whole.std[6:].square().sum().item(), rel=1e-3)
    latents = part.encode(x)
    assert latents.shape == (20, 6, 1, 1) and torch.allclose(
        latents.square().mean(dim=0), torch.ones(6, 1, 1), rtol=1e-3
    )


def test_no_linear_autoencoder_of_as_many_numbers_loses_less(tiny_images):
    """Of the pictures that the components are fitted to, whatever the encoder, and with the best decoder for it."""
    x, k = from_uint8(tiny_images).double().flatten(1), 6
    centred, pca = x - x.mean(dim=0), PCA(tiny_images, k)

    def lost(encoder):
        codes = centred @ encoder
        return (codes @ torch.linalg.lstsq(codes, centred).solution - centred).square().sum().item()

    best, generator = pca.components.double().T, torch.Generator().manual_seed(0)
    by_components = (pca.decode(pca.encode(x.float().reshape(-1, 1, 8, 8))).flatten(1) - x).square().sum().item()
    assert lost(best) == pytest.approx(by_components, rel=1e-4), "their own decoder is the best there is"
    away = torch.randn(20, 64, k, generator=generator, dtype=torch.float64)
    others = [lost(best + size * each) for each in away for size in (0.01, 0.1, 10)]
    assert min(others) > by_components * (1 - 1e-6) and max(others) > 1.3 * by_components


# ---------------------------------------------------------------- a model of latents


def test_a_codec_is_no_part_of_the_weights_and_shared_by_copies(codec):
    model = build_model(MLPConfig(in_ch=4, img_size=2, base=8), 0, codec)
    assert model.picture_shape == (1, 8, 8) and copy.deepcopy(model).codec is codec
    assert not any("codec" in name or "encoder" in name for name in model.state_dict())
    assert not any(p.requires_grad for p in codec.model.parameters())
    with pytest.raises(ValueError, match="latents of small are"):
        build_model(MLPConfig(in_ch=8, img_size=2, base=8), 0, codec)


def test_batches_of_latents_are_draws_that_depend_on_seed_and_step_alone(codec, tiny_images):
    def loader(seed):
        made = LatentLoader(codec, tiny_images, torch.arange(20) % 10, 5, seed)
        list(made.encoding())
        return made

    first, again, other = loader(1), loader(1), loader(2)
    z, y = first.batch(3)
    assert z.shape == (5, 4, 2, 2) and torch.equal(z, again.batch(3)[0]) and torch.equal(y, again.batch(3)[1])
    assert not torch.equal(z, other.batch(3)[0])
    epoch_later = first.batch(3 + 4 * 10)[0]
    assert not torch.equal(epoch_later, z)
    shown = LatentLoader(codec, tiny_images, None, 20, 1)
    list(shown.encoding())
    drawn = torch.stack([shown.x0(torch.arange(20), step) for step in range(300)])
    mean, std = codec.posterior(from_uint8(tiny_images))
    assert torch.allclose(drawn.std(dim=0), std, rtol=0.3) and std.min() > 0, "draws, not means"
    assert torch.allclose(drawn.mean(dim=0), mean, atol=5 * std.max().item() / 300**0.5)


def test_a_data_set_is_encoded_in_parts_and_once(codec, tiny_images):
    def counted(images):
        parts = 0
        job = encoding(codec, images, size=7)
        while True:
            try:
                next(job)
                parts += 1
            except StopIteration as end:
                return parts, end.value

    parts, (mean, std) = counted(tiny_images)
    expected = codec.posterior(from_uint8(tiny_images))
    assert parts == 3 and torch.allclose(mean, expected[0], atol=1e-5) and torch.allclose(std, expected[1], atol=1e-5)
    again, (same, _) = counted(tiny_images)
    assert again == 0 and same is mean
    assert counted(tiny_images.clone())[0] == 3, "another tensor is another data set"


def test_what_is_drawn_is_decoded_at_the_exit_and_not_clipped_on_the_way(codec):
    model = build_model(MLPConfig(in_ch=4, img_size=2, base=8), 1, codec)
    sampler = Sampler(Inference(model), make_schedule(20), SamplingConfig("ddim", 4))
    latents = [
        step.x_t
        for step in reverse_process(model, make_schedule(20), 3, num_steps=4, img_size=2, channels=4, clip=False)
    ]
    assert torch.allclose(sampler.draw(3), codec.decode(latents[-1]), atol=1e-5)
    assert sampler.picture_shape == (1, 8, 8) and latents[-1].abs().max() > 1


def test_a_decoder_does_not_clamp_its_pictures(codec):
    """Whoever shows, saves or classifies them does: an error measured on clamped pictures would be too small."""
    codec.model.out_conv.bias.data.fill_(3)
    assert codec.decode(noise_like((2, 4, 2, 2))).max() > 1


def test_pictures_reach_a_model_of_pixels_as_they_are(codec, tiny_model):
    x = noise_like((2, 1, 8, 8))
    model = build_model(MLPConfig(in_ch=4, img_size=2, base=8), 1, codec)
    assert encoded(tiny_model, x) is x and torch.equal(encoded(model, x), codec.posterior(x)[0])


def test_the_network_begins_as_nothing_and_knows_time_and_class():
    model = LatentMLP(in_ch=4, img_size=2, base=16, blocks=2, num_classes=3)
    z, t = noise_like((5, 4, 2, 2)), torch.tensor([0, 1, 2, 3, 999])
    assert torch.equal(model(z, t), torch.zeros_like(z))
    torch.nn.init.normal_(model.out_proj.weight)
    for block in model.blocks:
        torch.nn.init.normal_(block.modulation.weight, std=0.1)
    out = model(z, t, torch.tensor([0, 1, 2, -1, 0]))
    assert out.shape == z.shape and out.dtype == torch.float32
    assert not torch.allclose(out, model(z, t.flip(0), torch.tensor([0, 1, 2, -1, 0])))
    assert not torch.allclose(out[:3], model(z, t)[:3]) and torch.allclose(out[3], model(z, t)[3], atol=1e-6)
    with pytest.raises(ValueError, match=r"labels 0\.\.2"):
        model(z, t, torch.tensor([0, 1, 2, 3, 0]))


def test_a_configuration_of_latents_comes_back_from_json_and_one_of_pixels_is_as_it_was():
    latent = Config(
        MLPConfig(base=64, num_classes=10), ScheduleConfig(kind="cosine"), autoencoder=AutoencoderName("a", "f" * 64)
    )
    assert from_dict(to_dict(latent)) == latent and to_dict(latent)["model"]["kind"] == "mlp"
    assert "autoencoder" not in to_dict(Config()) and "kind" not in to_dict(Config())["model"]
    for change in ({"folder": "../a"}, {"folder": ""}, {"sha256": "no"}, {"folder": 3}):
        with pytest.raises(ValueError, match=r"folder|sha256"):
            dataclasses.replace(AutoencoderName("a"), **change)
    with pytest.raises(ValueError, match=r"model\.kind: one of unet, ho-unet, mlp"):
        from_dict({"model": {"kind": "gan"}})
