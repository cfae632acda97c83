"""eps_theta(x_t, t, y): the tutorial's small UNet; classes, attention and patches are options that default to off."""

from __future__ import annotations

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .config import ModelConfig


class TimeEmbedding(nn.Module):
    """t -> sinusoids -> MLP.  Vaswani et al. 2017, section 3.5.  t: (B,) int64.  Returns (B, hidden)."""

    freqs: Tensor

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        half = dim // 2
        freqs = torch.exp(-math.log(10000) * torch.arange(half) / half)
        self.register_buffer("freqs", freqs, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, t: Tensor) -> Tensor:
        angles = t.float()[:, None] * self.freqs  # (B, dim/2)
        return self.mlp(torch.cat([angles.sin(), angles.cos()], dim=1))


class GroupNorm(nn.GroupNorm):
    """In float32 where groups are narrow: PyTorch's bfloat16 kernel is four times slower on a CPU there."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype) if self.num_channels < 8 * self.num_groups else x)


class ResBlock(nn.Module):
    """Two 3x3 convolutions with the time added between them, around a shortcut.

    x: (B, in_ch, H, W).  t_emb: (B, t_dim).  Returns (B, out_ch, H, W).
    """

    def __init__(self, in_ch: int, out_ch: int, t_dim: int):
        super().__init__()
        self.norm1 = GroupNorm(8, in_ch)
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, padding=1)
        self.t_proj = nn.Linear(t_dim, out_ch)
        self.norm2 = GroupNorm(8, out_ch)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, padding=1)
        self.shortcut = nn.Conv2d(in_ch, out_ch, 1) if in_ch != out_ch else nn.Identity()

    def forward(self, x: Tensor, t_emb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.t_proj(F.silu(t_emb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + self.shortcut(x)


class Attention(nn.Module):
    """Self-attention among the positions of a feature map, around a shortcut.  Ho et al. 2020, appendix B."""

    def __init__(self, ch: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(8, ch)
        self.qkv = nn.Conv2d(ch, 3 * ch, 1)
        self.proj = nn.Conv2d(ch, ch, 1)

    def forward(self, x: Tensor) -> Tensor:
        B, C, H, W = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(B, 3, self.heads, C // self.heads, H * W).transpose(-1, -2).unbind(1)
        h = F.scaled_dot_product_attention(q, k, v)  # (B, heads, H*W, C/heads)
        return x + self.proj(h.transpose(-1, -2).reshape(B, C, H, W))


class UNet(nn.Module):
    """The denoiser.  With the defaults it is the tutorial's network: 3,829,569 parameters, predicting eps.

    x: (B, in_ch, img_size, img_size) in float32.  t: (B,) int64, 0..T-1.  y: (B,) int64 labels, -1 (the null label)
    where there is none; None means no label anywhere.  Returns a float32 tensor like x, meaning `prediction`.
    Raises ValueError for labels that are neither -1 nor one of 0..num_classes-1.
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
    ):
        super().__init__()
        self.config = ModelConfig(
            in_ch, base, t_dim, mults, num_classes, attention, patch_size, img_size, prediction, zero_init
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
        self.y_embed = nn.Embedding(num_classes + 1, hidden) if num_classes else None
        self.in_conv = nn.Conv2d(pixels, ch[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(ResBlock(ch[i], ch[i], hidden) for i in levels)
        self.down_attn = nn.ModuleList(attend[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(ch[i], ch[i + 1], 3, stride=2, padding=1) for i in levels)
        self.mid_block = ResBlock(ch[-1], ch[-1], hidden)
        self.mid_attn = attend[-1]
        self.ups = nn.ModuleList(nn.ConvTranspose2d(ch[i + 1], ch[i], 4, stride=2, padding=1) for i in levels)
        self.up_blocks = nn.ModuleList(ResBlock(2 * ch[i], ch[i], hidden) for i in levels)
        self.up_attn = nn.ModuleList(attend_up)
        self.out_norm = GroupNorm(8, ch[0])
        self.out_conv = nn.Conv2d(ch[0], pixels, 3, padding=1)
        if zero_init:
            for parameter in self.out_conv.parameters():
                nn.init.zeros_(parameter)

    def checked(self, y: Tensor) -> Tensor:
        """Labels as they are.  Raises ValueError out of range, where num_classes would be "no label" in silence."""
        if y.ndim != 1 or y.is_floating_point():
            raise ValueError(f"y: (B,) int64, not {tuple(y.shape)} of {y.dtype}")
        if ((y < -1) | (y >= self.num_classes)).any():
            low, high = (v.item() for v in y.aminmax())
            raise ValueError(f"y: labels 0..{self.num_classes - 1}, or -1 for none; these are {low}..{high}")
        return y

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        t_emb = self.t_embed(t)  # (B, 4*t_dim)
        if self.y_embed is not None:
            y = torch.full_like(t, -1) if y is None else self.checked(y)
            t_emb = t_emb + self.y_embed(torch.where(y < 0, self.num_classes, y))

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
