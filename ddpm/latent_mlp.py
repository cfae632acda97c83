"""eps_theta(z_t, t, y) for latents of a few pixels: residual blocks of two layers, scaled as t and y say."""

from __future__ import annotations

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .autoencoder import Codec
from .config import MLPConfig
from .layers import label_embedding, with_labels
from .unet import TimeEmbedding


class ModulatedBlock(nn.Module):
    """h + g MLP((1 + a) LayerNorm(h) + b), with a, b, g from time and class.  Peebles and Xie 2023, adaLN-Zero.

    h: (B, width).  condition: (B, hidden).  Returns (B, width).  g is 0 at first, so that a block begins as nothing.
    """

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(hidden, 3 * width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        a, b, g = self.modulation(condition).chunk(3, dim=1)
        return h + g * self.mlp((1 + a) * self.norm(h) + b)


class LatentMLP(nn.Module):
    """The denoiser of latents.  No convolution: a 4 x 4 latent has no neighbourhood that is not all of it.

    z_t: (B, in_ch, img_size, img_size) in float32.  t: (B,) int64.  y: (B,) int64, -1 for none, or None.
    Returns a float32 tensor like z_t, meaning `prediction`.  Raises ValueError for labels out of range.
    """

    def __init__(
        self,
        in_ch: int = 8,
        img_size: int = 4,
        base: int = 256,
        blocks: int = 1,
        t_dim: int = 64,
        num_classes: int = 0,
        prediction: str = "v",
    ):
        super().__init__()
        self.config = MLPConfig(in_ch, img_size, base, blocks, t_dim, num_classes, prediction)
        self.prediction, self.num_classes = prediction, num_classes
        self.codec: Codec | None = None  # the autoencoder whose latents these are; no part of the weights
        numbers, hidden = in_ch * img_size**2, 4 * t_dim
        self.t_embed = TimeEmbedding(t_dim, hidden)
        self.y_embed = label_embedding(num_classes, (), hidden)
        self.in_proj = nn.Linear(numbers, base)
        self.blocks = nn.ModuleList(ModulatedBlock(base, hidden) for _ in range(blocks))
        self.out_norm = nn.LayerNorm(base)
        self.out_proj = nn.Linear(base, numbers)
        nn.init.zeros_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures that its latents are of; without an autoencoder, of the latents."""
        latents = (self.config.in_ch, self.config.img_size, self.config.img_size)
        return latents if self.codec is None else self.codec.picture_shape

    def forward(self, z: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        condition = F.silu(with_labels(self.t_embed(t), self.y_embed, y))  # (B, 4*t_dim)
        h = self.in_proj(z.flatten(1))  # (B, base)
        for block in self.blocks:
            h = block(h, condition)
        return self.out_proj(self.out_norm(h)).reshape(z.shape).float()
