"""The autoencoder that ships, on the digits that ship."""

import pytest
import torch

from ddpm import load_dataset
from ddpm.autoencoder import PCA
from ddpm.data import from_uint8
from ddpm.storage.checkpoint import SHIPPED, load_autoencoder


@pytest.fixture(scope="module")
def codec():
    return load_autoencoder(SHIPPED / "mnist-autoencoder")


@pytest.fixture(scope="module")
def digits():
    return load_dataset("bundled").images[:1000]


@pytest.mark.slow
def test_draws_of_its_latents_have_unit_variance_within_5_percent(codec, digits):
    mean, std = codec.posterior(from_uint8(digits))
    assert (mean.square() + std.square()).mean().item() == pytest.approx(1, abs=0.05)
    assert mean.mean().abs() < 0.1


@pytest.mark.slow
@torch.no_grad()
def test_no_linear_autoencoder_with_as_many_numbers_loses_as_little(codec, digits):
    """Of all linear ones principal components lose least of the pictures that they are fitted to: Eckart and Young."""
    x0, numbers = from_uint8(digits), 8 * 4 * 4
    linear = PCA(digits, numbers)
    bound = (linear.decode(linear.encode(x0)) - x0).square().mean()
    error = (codec.decode(codec.posterior(x0)[0]) - x0).square().mean()
    assert error < bound / 2
