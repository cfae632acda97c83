"""The inner tab Latent space: what it sends is what the autoencoder and the components make of a digit."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import torch
from helpers.pages import alone, picture

from ddpm import q_sample
from ddpm.data import from_uint8, load_dataset, to_uint8
from ddpm.presets import PRESETS
from ddpm.seeding import seeded
from ddpm.storage.checkpoint import with_autoencoder
from ddpm.ui.components import pictures
from ddpm.ui.generation.recording import REACH
from ddpm.ui.server import protocol
from ddpm.ui.tabs.forward import latent

DIGITS = load_dataset("bundled").images


@pytest.fixture(autouse=True)
def fewer_digits(monkeypatch):
    monkeypatch.setattr(latent, "FITTED", 300)
    latent.components.cache_clear()
    yield
    latent.components.cache_clear()


@pytest.fixture(scope="module")
def codec():
    return with_autoencoder(PRESETS["latent"])[1]


def looked(codec, t=400, k=32, seed=1):
    *_, answer = latent.look(codec, from_uint8(DIGITS[:1]), from_uint8(DIGITS[1:2]), seed, t, k, "cosine")
    return answer


def as_shown(x):
    return to_uint8(x).numpy().ravel()


def test_what_is_shown_is_encoded_noised_and_decoded(codec):
    answer, x0 = looked(codec), from_uint8(DIGITS[:1])
    mean, _ = codec.posterior(x0)
    decoded = codec.decode(mean)
    assert np.abs(picture(answer["decoded"]).astype(int) - as_shown(decoded)).max() <= 1
    assert answer["square_error"] == pytest.approx((decoded - x0).square().sum().item(), abs=0.1)
    noise = torch.randn(mean.shape, generator=seeded(1, 1))
    z_t = q_sample(mean, torch.tensor([400]), noise, pictures.schedule("cosine"))
    assert np.abs(picture(answer["z_t"]).astype(int) - as_shown(codec.decode(z_t))).max() <= 1


def test_more_components_lose_less(codec):
    lost = [looked(codec, k=k)["components_error"] for k in (1, 16, 128)]
    assert lost[0] > lost[1] > lost[2] > looked(codec)["square_error"], "the autoencoder's 128 numbers lose least"


def test_the_channels_are_those_of_the_latent(codec):
    mean, _ = codec.posterior(from_uint8(DIGITS[:1]))
    answer = looked(codec)
    assert answer["latent"] == {"channels": 8, "side": 4}
    shown = picture(answer["latents"]).reshape(8, 4, 4).astype(float)
    assert np.abs(shown - 127.5 * (mean[0].numpy() / REACH + 1).clip(0, 2)).max() <= 0.51


def test_the_walks_begin_and_end_at_the_two_digits(codec):
    answer = looked(codec)
    assert len(answer["walk"]) == len(answer["fade"]) == latent.WALK
    for i, end in ((0, DIGITS[:1]), (-1, DIGITS[1:2])):
        assert np.array_equal(picture(answer["fade"][i]), end.numpy().ravel())
        assert np.abs(picture(answer["walk"][i]).astype(int) - end.numpy().ravel()).mean() < 12, "but for what is lost"
    middle = (DIGITS[:1].float() + DIGITS[1:2].float()) / 2
    assert np.abs(picture(answer["fade"][4]).astype(int) - middle.numpy().ravel()).max() <= 1


def test_a_question_from_the_page_is_answered_or_refused_in_words(registry):
    _, named, _ = alone(latent, registry)
    ask, x0 = named["latent-view"].latent_of, protocol.b64(DIGITS[0].numpy())
    good = {"x0": x0, "other": x0, "seed": 1, "t": 10, "k": 3, "schedule": "linear", "weights": "mnist"}
    assert len(picture(asyncio.run(ask(good))["decoded"])) == 1024
    bad = [None, [], {}] + [good | {"t": v} for v in (-1, 1000, "9", None)] + [good | {"k": v} for v in (0, 129, "x")]
    bad += [good | {"other": "?"}, good | {"schedule": "none"}, good | {"weights": "gone"}, good | {"seed": -1}]
    for question in bad:
        assert set(asyncio.run(ask(question))) == {"error"}, question
