"""Pictures to latents and back: a variational autoencoder, and its linear ancestor, principal components.

Latent diffusion (Rombach et al. 2022, arXiv:2112.10752) runs the same diffusion on z instead of x.  Both classes here
have the same two functions: `encode` takes pictures (B, C, S, S) in [-1, 1] to latents of about unit variance, and
`decode` takes latents back.  Nothing in the diffusion knows of them.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .config import AutoencoderName, check, int_tuple, is_int
from .data import from_uint8
from .layers import GroupNorm
from .loader import Loader
from .seeding import seeded

LOGVAR = (-30.0, 10.0)  # what the encoder's log-variance is held to, as in Rombach et al.'s code


@dataclass(frozen=True)
class AutoencoderConfig:
    """The autoencoder: pictures of img_size, halved at each of the widths after the first patch."""

    in_ch: int = 1
    img_size: int = 32
    patch_size: int = 2
    widths: tuple[int, ...] = (32, 64, 96)  # channels at 16 x 16, 8 x 8, 4 x 4
    latent_ch: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", int_tuple(self.widths, "widths"))
        check(is_int(self.in_ch, 1, 4), "in_ch: an integer from 1 to 4")
        check(is_int(self.img_size, 4, 256), "img_size: an integer from 4 to 256")
        check(self.patch_size in (1, 2, 4), "patch_size: 1, 2 or 4")
        check(1 <= len(self.widths) <= 5 and all(w % 8 == 0 for w in self.widths), "widths: one to five multiples of 8")
        check(is_int(self.latent_ch, 1, 64), "latent_ch: an integer from 1 to 64")
        unit = self.patch_size * 2 ** (len(self.widths) - 1)
        check(self.img_size % unit == 0, f"img_size: a multiple of {unit} for this patch_size and these widths")

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        size = self.img_size // self.patch_size // 2 ** (len(self.widths) - 1)
        return self.latent_ch, size, size


class Block(nn.Module):
    """Two convolutions around a shortcut: the UNet's residual block, without a time."""

    def __init__(self, ch: int):
        super().__init__()
        self.norm1, self.conv1 = GroupNorm(8, ch), nn.Conv2d(ch, ch, 3, padding=1)
        self.norm2, self.conv2 = GroupNorm(8, ch), nn.Conv2d(ch, ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class VAE(nn.Module):
    """A variational autoencoder.  Kingma and Welling 2014, arXiv:1312.6114.

    q(z | x) = N(mean(x), diag std(x)^2),   p(x | z) = N(decode(z), I)
    Latents are handed out as `scale` times z, of unit variance over the training set: Rombach et al. 2022, appendix G.
    """

    scale: Tensor

    def __init__(
        self,
        in_ch: int = 1,
        img_size: int = 32,
        patch_size: int = 2,
        widths: tuple[int, ...] = (32, 64, 96),
        latent_ch: int = 8,
    ):
        super().__init__()
        self.config = AutoencoderConfig(in_ch, img_size, patch_size, widths, latent_ch)
        self.patch_size, pixels = patch_size, in_ch * patch_size**2
        down, up = [], []
        for i, ch in enumerate(widths):
            before = nn.Conv2d(widths[i - 1], ch, 3, stride=2, padding=1) if i else nn.Conv2d(pixels, ch, 3, padding=1)
            after = nn.ConvTranspose2d(ch, widths[i - 1], 4, stride=2, padding=1) if i else nn.Identity()
            down += [before, Block(ch)]
            up += [after, Block(ch)]
        last, first = widths[-1], widths[0]
        self.encoder = nn.Sequential(*down, GroupNorm(8, last), nn.SiLU(), nn.Conv2d(last, 2 * latent_ch, 1))
        self.decoder = nn.Sequential(nn.Conv2d(latent_ch, last, 1), *reversed(up))
        self.out_norm, self.out_conv = GroupNorm(8, first), nn.Conv2d(first, pixels, 3, padding=1)
        self.register_buffer("scale", torch.ones(()))

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(C, S, S) of the pictures that it takes and gives."""
        return self.config.in_ch, self.config.img_size, self.config.img_size

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x), (B, latent_ch, s, s) each, before they are scaled."""
        mean, logvar = self.encoder(F.pixel_unshuffle(x, self.patch_size)).float().chunk(2, dim=1)
        return mean, logvar.clamp(*LOGVAR)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents of x, scaled: scale mean(x), scale std(x)."""
        mean, logvar = self.moments(x)
        return self.scale * mean, self.scale * (logvar / 2).exp()

    def encode(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """mean + std noise: a draw of the latents, or without noise their mean.  noise: like the latents."""
        mean, std = self.posterior(x)
        return mean if noise is None else mean + std * noise  # Kingma and Welling Eq. 4

    def decode(self, latents: Tensor) -> Tensor:
        """The pictures of latents, in about [-1, 1]: not clamped."""
        h = self.decoder(latents / self.scale)
        return F.pixel_shuffle(self.out_conv(F.silu(self.out_norm(h))), self.patch_size).float()


def kl_divergence(mean: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mean, exp logvar) || N(0, 1)), summed over a latent: (B,).  Kingma and Welling, appendix B."""
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).flatten(1).sum(dim=1)


def negative_elbo(model: VAE, x: Tensor, noise: Tensor, kl_weight: float) -> Tensor:
    """Minus the bound of Kingma and Welling Eq. 10, up to a constant, per number of a picture.

    loss = (|x - decode(z)|^2 + kl_weight KL) / (C S S),   z = mean + std noise.
    x: (B, C, S, S) in [-1, 1].  noise: N(0, I), like the latents.  kl_weight: small, as Rombach et al. section 3.1.
    """
    mean, logvar = model.moments(x)
    z = mean + (logvar / 2).exp() * noise
    error = (x - model.decode(model.scale * z)).square().flatten(1).sum(dim=1)
    return (error + kl_weight * kl_divergence(mean, logvar)).mean() / x[0].numel()


@torch.no_grad()
def unit_variance(model: VAE, images: Tensor, batch: int = 500) -> None:
    """Set `scale`, so that draws of the latents of these pictures have unit variance.  images: (N, C, S, S) uint8."""
    model.scale.fill_(1)
    squares = [sum(v.square().mean() for v in model.posterior(from_uint8(part))) for part in images.split(batch)]
    model.scale.copy_(torch.stack([torch.as_tensor(each) for each in squares]).mean().rsqrt())


class PCA(nn.Module):
    """Principal components: the autoencoder that is linear.  Latents (B, k, 1, 1), of unit variance each.

    z = (x - mean) V / std,   x = mean + (z std) V^T,   from the singular value decomposition X - mean = U S V^T
    """

    mean: Tensor
    components: Tensor
    std: Tensor

    def __init__(self, images: Tensor, k: int):
        """images: (N, C, S, S) uint8, N > k.  k: how many components are kept, the largest first."""
        super().__init__()
        x = from_uint8(images).flatten(1)
        self.picture_shape = tuple(images.shape[1:])
        mean = x.mean(dim=0)
        _, singular, V = torch.linalg.svd(x - mean, full_matrices=False)
        self.register_buffer("mean", mean)
        self.register_buffer("components", V[:k])  # (k, C S S)
        self.register_buffer("std", (singular[:k] / len(x) ** 0.5).clamp(min=1e-6))

    def encode(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        return ((x.flatten(1) - self.mean) @ self.components.T / self.std)[:, :, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        return (self.mean + (latents.flatten(1) * self.std) @ self.components).reshape(-1, *self.picture_shape)


class Codec:
    """An autoencoder at rest, as a latent model has it: the door into its latents, and the exit.

    Not a module: its weights are no part of those of the model that has it, and copies of that model share it.  It
    computes where its weights are, and answers on the device of what it is given.
    """

    def __init__(self, model: VAE, name: AutoencoderName):
        self.model, self.name = model.eval().requires_grad_(False), name
        self.picture_shape, self.latent_shape = model.picture_shape, model.config.latent_shape

    def __deepcopy__(self, _: Any) -> Codec:
        return self

    @property
    def device(self) -> torch.device:
        return self.model.scale.device

    @torch.no_grad()
    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latents of pictures x in [-1, 1]: see VAE.posterior."""
        mean, std = self.model.posterior(x.to(self.device))
        return mean.to(x.device), std.to(x.device)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of latents, in about [-1, 1]."""
        return self.model.decode(latents.to(self.device)).to(latents.device)


def codec_of(model: object) -> Codec | None:
    """The autoencoder whose latents a model is of; None of a model of pixels."""
    return getattr(model, "codec", None)


def encoded(model: object, x: Tensor) -> Tensor:
    """Pictures x in [-1, 1] as a model sees them: themselves, or the means of their latents."""
    codec = codec_of(model)
    return x if codec is None else codec.posterior(x)[0]


def sample_shape(model: object, images: Tensor) -> tuple[int, ...]:
    """The shape of one x0 of a model, whose data set are these images."""
    codec = codec_of(model)
    return tuple(images.shape[1:]) if codec is None else codec.latent_shape


# Mean and standard deviation of the latents of the latest data sets, by autoencoder and data set, while it is there.
ENCODED: OrderedDict[tuple[str, int], tuple[weakref.ref[Tensor], Tensor, Tensor]] = OrderedDict()
MOST_ENCODED = 4


def encoding(codec: Codec, images: Tensor, size: int = 100) -> Generator[None, None, tuple[Tensor, Tensor]]:
    """Encode a data set, so many pictures at a time, yielding after each.  images: (N, C, S, S) uint8.

    Returns mean and standard deviation of the latents, (N, *latent_shape) each; of the same tensor, at once next time.
    """
    key = codec.name.sha256, id(images)
    known = ENCODED.get(key)
    if known is not None and known[0]() is images:
        return known[1:]
    mean, std = (torch.empty(len(images), *codec.latent_shape, device=images.device) for _ in range(2))
    for first in range(0, len(images), size):
        part = slice(first, first + size)
        mean[part], std[part] = codec.posterior(from_uint8(images[part]))
        yield None
    ENCODED[key] = weakref.ref(images), mean, std
    while len(ENCODED) > MOST_ENCODED:
        ENCODED.popitem(last=False)
    return mean, std


class LatentLoader(Loader):
    """`Loader` of latents: each batch is a draw of q(z | x) of its pictures, of noise from (seed, step) alone."""

    def __init__(self, codec: Codec, images: Tensor, labels: Tensor | None, batch_size: int, seed: int):
        super().__init__(images, labels, batch_size, seed)
        self.codec = codec

    def encoding(self) -> Iterator[None]:
        """Encode the data set: to be done before the first batch."""
        self.mean, self.std = yield from encoding(self.codec, self.images)

    def x0(self, index: Tensor, step: int) -> Tensor:
        noise = torch.randn((len(index), *self.codec.latent_shape), generator=seeded(self.seed, step, 1))
        return self.mean[index] + self.std[index] * noise.to(self.mean.device)
