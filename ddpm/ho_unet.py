"""The network of Ho et al. 2020, appendix B: blocks on every level, every map a skip, attention where asked."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .config import HoConfig
from .layers import Attention, GroupNorm, label_embedding, with_labels
from .unet import ResBlock, TimeEmbedding


class Block(nn.Module):
    """A residual block, and attention after it where the map's size asks for it.  Like `ResBlock`."""

    def __init__(self, in_ch: int, out_ch: int, hidden: int, dropout: float, attention: bool):
        super().__init__()
        self.res = ResBlock(in_ch, out_ch, hidden, dropout, groups=math.gcd(32, in_ch, out_ch))
        self.attn = Attention(out_ch, heads=1) if attention else nn.Identity()

    def forward(self, x: Tensor, t_emb: Tensor) -> Tensor:
        return self.attn(self.res(x, t_emb))


class Down(nn.Conv2d):
    """Half the size, by a convolution of stride 2.  (B, C, H, W) -> (B, C, H/2, W/2)."""

    def __init__(self, ch: int):
        super().__init__(ch, ch, 3, stride=2, padding=1)

    def forward(self, x: Tensor, t_emb: Tensor) -> Tensor:  # type: ignore[override]  # called like a Block
        return super().forward(x)


class Up(nn.Conv2d):
    """Twice the size: each pixel four times, then a convolution.  (B, C, H, W) -> (B, C, 2H, 2W)."""

    def __init__(self, ch: int):
        super().__init__(ch, ch, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class HoUNet(nn.Module):
    """The denoiser as published.  options: the fields of HoConfig; the preset cifar10-full has the paper's.

    x: (B, in_ch, img_size, img_size) in float32.  t: (B,) int64, 0..T-1.  y: labels as in `UNet`.  Returns a float32
    tensor like x, meaning `prediction`.  With zero_init the last convolution of every block starts at 0, as theirs.
    """

    def __init__(self, **options: Any):
        super().__init__()
        self.config = config = HoConfig(**options)
        self.prediction, self.num_classes = config.prediction, config.num_classes
        hidden = 4 * config.t_dim
        channels = [config.base * m for m in config.mults]
        sizes = [config.img_size // config.patch_size // 2**i for i in range(len(channels))]
        pixels = config.in_ch * config.patch_size**2

        def block(in_ch: int, out_ch: int, size: int) -> Block:
            return Block(in_ch, out_ch, hidden, config.dropout, size in config.attention)

        self.t_embed = TimeEmbedding(config.t_dim, hidden)
        self.y_embed = label_embedding(config.num_classes, config.attributes, hidden)
        self.in_conv = nn.Conv2d(pixels, channels[0], 3, padding=1)

        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        ch = channels[0]
        skips = [ch]
        for level, (out, size) in enumerate(zip(channels, sizes, strict=True)):
            for _ in range(config.blocks):
                self.downs.append(block(ch, out, size))
                ch = out
                skips.append(ch)
            if level < len(channels) - 1:
                self.downs.append(Down(ch))
                skips.append(ch)
        self.mid_blocks = nn.ModuleList(block(ch, ch, 0) for _ in range(2))
        self.mid_attn = Attention(ch, heads=1)
        for level in reversed(range(len(channels))):
            for _ in range(config.blocks + 1):
                self.ups.append(block(ch + skips.pop(), channels[level], sizes[level]))
                ch = channels[level]
            if level > 0:
                self.ups.append(Up(ch))

        self.out_norm = GroupNorm(math.gcd(32, ch), ch)
        self.out_conv = nn.Conv2d(ch, pixels, 3, padding=1)
        if config.zero_init:
            last = [m.conv2 for m in self.modules() if isinstance(m, ResBlock)]
            last += [m.proj for m in self.modules() if isinstance(m, Attention)]
            for parameter in (p for layer in [*last, self.out_conv] for p in layer.parameters()):
                nn.init.zeros_(parameter)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures that it draws."""
        return self.config.picture_shape

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        t_emb = with_labels(self.t_embed(t), self.y_embed, y)  # (B, 4*t_dim)

        h = self.in_conv(F.pixel_unshuffle(x, self.config.patch_size))  # (B, base, 32, 32) for CIFAR-10
        skips = [h]
        for layer in self.downs:
            h = layer(h, t_emb)  # (B, 2*base, 16, 16), then (B, 2*base, 8, 8), (B, 2*base, 4, 4)
            skips.append(h)
        h = self.mid_blocks[1](self.mid_attn(self.mid_blocks[0](h, t_emb)), t_emb)
        for layer in self.ups:
            h = layer(h) if isinstance(layer, Up) else layer(torch.cat([h, skips.pop()], dim=1), t_emb)
        return F.pixel_shuffle(self.out_conv(F.silu(self.out_norm(h))), self.config.patch_size).float()
