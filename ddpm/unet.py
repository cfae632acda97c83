"""eps_theta(x_t, t, y): the tutorial's small UNet; classes, attention and patches are options that default to off."""

from __future__ import annotations

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .config import ModelConfig
from .layers import Attention, GroupNorm, label_embedding, with_labels


class TimeEmbedding(nn.Module):
    """t -> sinusoids -> MLP.  Vaswani et al. 2017, section 3.5.  t: (B,) int64.  Returns (B, hidden)."""

    freqs: Tensor

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        half = dim // 2
        freqs = torch.exp(-math.log(10000) * torch.arange(half) / half)
        self.register_buffer("freqs", freqs, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def sinusoids(self, t: Tensor) -> Tensor:
        """(B, dim): sin and cos of t times each frequency."""
        angles = t.float()[:, None] * self.freqs  # (B, dim/2)
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    def forward(self, t: Tensor) -> Tensor:
        return self.mlp(self.sinusoids(t))


class ResBlock(nn.Module):
    """Two 3x3 convolutions with the time added between them, around a shortcut.

    x: (B, in_ch, H, W).  t_emb: (B, t_dim).  Returns (B, out_ch, H, W).  dropout: the share of numbers that training
    sets to 0 before the second convolution; the tutorial has none.
    """

    def __init__(self, in_ch: int, out_ch: int, t_dim: int, dropout: float = 0.0, groups: int = 8):
        super().__init__()
        self.norm1 = GroupNorm(groups, in_ch)
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, padding=1)
        self.t_proj = nn.Linear(t_dim, out_ch)
        self.norm2 = GroupNorm(groups, out_ch)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, padding=1)
        self.shortcut = nn.Conv2d(in_ch, out_ch, 1) if in_ch != out_ch else nn.Identity()

    def forward(self, x: Tensor, t_emb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.t_proj(F.silu(t_emb))[:, :, None, None]
        h = self.conv2(self.dropout(F.silu(self.norm2(h))))
        return h + self.shortcut(x)


class UNet(nn.Module):
    """The denoiser.  With the defaults it is the tutorial's network: 3,829,569 parameters, predicting eps.

    x: (B, in_ch, img_size, img_size) in float32.  t: (B,) int64, 0..T-1.  y: (B,) int64 labels, -1 (the null label)
    where there is none, or (B, A) where `attributes` are A; None means no label anywhere.  Returns a float32 tensor
    like x, meaning `prediction`.  Raises ValueError for labels that are neither -1 nor one of 0..num_classes-1.
    """

    def __init__(
        self,
        in_ch: int = 1,
        base: int = 64,
        t_dim: int = 128,
        mults: tuple[int, ...] = (1, 2, 4),
        num_classes: int = 0,
        attention: tuple[int, ...] = (),
        patch_size: int = 1,
        img_size: int = 32,
        prediction: str = "eps",
        zero_init: bool = False,
        dropout: float = 0.0,
        attributes: tuple[int, ...] = (),
    ):
        super().__init__()
        self.config = ModelConfig(
            in_ch,
            base,
            t_dim,
            mults,
            num_classes,
            attention,
            patch_size,
            img_size,
            prediction,
            zero_init,
            dropout,
            attributes=attributes,
        )
        self.prediction = prediction
        self.num_classes = num_classes
        self.patch_size = patch_size

        hidden = 4 * t_dim
        ch = [base * m for m in mults]
        size = [img_size // patch_size // 2**i for i in range(len(ch))]
        attend = [Attention(c) if s in attention else nn.Identity() for c, s in zip(ch, size, strict=True)]
        attend_up = [Attention(c) if s in attention else nn.Identity() for c, s in zip(ch[:-1], size, strict=False)]
        pixels = in_ch * patch_size**2
        levels = range(len(ch) - 1)

        self.t_embed = TimeEmbedding(t_dim, hidden)
        self.y_embed = label_embedding(num_classes, attributes, hidden)
        self.in_conv = nn.Conv2d(pixels, ch[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(ResBlock(ch[i], ch[i], hidden, dropout) for i in levels)
        self.down_attn = nn.ModuleList(attend[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(ch[i], ch[i + 1], 3, stride=2, padding=1) for i in levels)
        self.mid_block = ResBlock(ch[-1], ch[-1], hidden, dropout)
        self.mid_attn = attend[-1]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(ch[i + 1], ch[i], 4, stride=2, padding=1) for i in levels)
        self.up_blocks = nn.ModuleList(ResBlock(2 * ch[i], ch[i], hidden, dropout) for i in levels)
        self.up_attn = nn.ModuleList(attend_up)
        self.out_norm = GroupNorm(8, ch[0])
        self.out_conv = nn.Conv2d(ch[0], pixels, 3, padding=1)
        if zero_init:
            for parameter in self.out_conv.parameters():
                nn.init.zeros_(parameter)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures that it draws."""
        return self.config.picture_shape

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        t_emb = with_labels(self.t_embed(t), self.y_embed, y)  # (B, 4*t_dim)

        h = self.in_conv(F.pixel_unshuffle(x, self.patch_size))  # (B, base, 32, 32) for the tutorial's sizes
        skips = []
        for block, attn, down in zip(self.down_blocks, self.down_attn, self.downs, strict=True):
            h = attn(block(h, t_emb))
            skips.append(h)
            h = down(h)  # (B, 2*base, 16, 16), then (B, 4*base, 8, 8)

        h = self.mid_attn(self.mid_block(h, t_emb))

        for i in reversed(range(len(self.ups))):
            h = torch.cat([self.ups[i](h), skips[i]], dim=1)  # (B, 2 * 2*base, 16, 16), then (B, 2 * base, 32, 32)
            h = self.up_attn[i](self.up_blocks[i](h, t_emb))

        return F.pixel_shuffle(self.out_conv(F.silu(self.out_norm(h))), self.patch_size).float()
