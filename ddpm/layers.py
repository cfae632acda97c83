"""Layers that the tutorial's network does without: classes, attributes, attention, and a faster normalisation."""

from __future__ import annotations

import copy

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

Label = int | tuple[int, ...]  # a class, or a value of each attribute; -1 for none


class LabelEmbedding(nn.Embedding):
    """y -> a vector each, the last being that of "no label", y = -1.  y: (B,) int64.  Returns (B, hidden).

    Raises ValueError on the CPU for labels that are neither -1 nor one of 0..num_classes-1, where num_classes would be
    "no label".
    """

    def __init__(self, num_classes: int, hidden: int):
        super().__init__(num_classes + 1, hidden)
        self.num_classes = num_classes

    def forward(self, y: Tensor) -> Tensor:
        if y.ndim != 1 or y.is_floating_point():
            raise ValueError(f"y: (B,) int64, not {tuple(y.shape)} of {y.dtype}")
        # On a GPU to look is to wait for it, at each evaluation; and what is compiled cannot look.
        seen = y.device.type == "cpu" and not torch.compiler.is_compiling()
        if seen and ((y < -1) | (y >= self.num_classes)).any():
            low, high = (v.item() for v in y.aminmax())
            raise ValueError(f"y: labels 0..{self.num_classes - 1}, or -1 for none; these are {low}..{high}")
        return super().forward(torch.where(y < 0, self.num_classes, y))

    def null(self, n: int) -> Tensor:
        """The labels of n pictures that have none, (n,)."""
        return torch.full((n,), -1, device=self.weight.device)

    def between(self, a: int, b: int, shares: Tensor) -> LabelEmbedding:
        """One with more classes: num_classes + k is (1 - shares_k) a + shares_k b.  a, b: classes, or -1 for none."""
        more = LabelEmbedding(self.num_classes + len(shares), self.embedding_dim).to(self.weight)
        mixed = torch.lerp(self.weight[a], self.weight[b], shares[:, None].to(self.weight))
        more.weight.data = torch.cat([self.weight[:-1], mixed, self.weight[-1:]]).detach()
        return more


class AttributeEmbedding(nn.ModuleList):
    """Several labels at once, each with its own "none": the sum of a `LabelEmbedding` of each.

    y: (B, A) int64, attribute a of values 0..attributes[a]-1, or -1 for none.  Returns (B, hidden).
    Raises ValueError for another shape, and for values out of range.
    """

    def __init__(self, attributes: tuple[int, ...], hidden: int):
        super().__init__(LabelEmbedding(values, hidden) for values in attributes)

    def forward(self, y: Tensor) -> Tensor:
        if y.ndim != 2 or y.shape[1] != len(self):
            raise ValueError(f"y: (B, {len(self)}) int64, a value of each attribute, not {tuple(y.shape)}")
        return torch.stack([embed(values) for embed, values in zip(self, y.unbind(1), strict=True)]).sum(0)

    def null(self, n: int) -> Tensor:
        """The labels of n pictures that have none, (n, A)."""
        return torch.full((n, len(self)), -1, device=self[0].weight.device)  # type: ignore[arg-type]

    def between(self, a: tuple[int, ...], b: tuple[int, ...], shares: Tensor) -> AttributeEmbedding:
        """One with more values: of every attribute a, values_a + k is between those of a and b: `LabelEmbedding`."""
        more = copy.copy(self)
        mixed = (embed.between(*ends, shares) for embed, *ends in zip(self, a, b, strict=True))  # type: ignore[operator]
        more._modules = {str(i): embed for i, embed in enumerate(mixed)}
        return more


def label_embedding(
    num_classes: int, attributes: tuple[int, ...], hidden: int
) -> LabelEmbedding | AttributeEmbedding | None:
    """What a network says of labels to its blocks; None where it knows none."""
    if attributes:
        return AttributeEmbedding(attributes, hidden)
    return LabelEmbedding(num_classes, hidden) if num_classes else None


def with_labels(t_emb: Tensor, embed: LabelEmbedding | AttributeEmbedding | None, y: Tensor | None) -> Tensor:
    """What a network is told: the time, and the labels where it knows any; y None is no label anywhere.

    t_emb: (B, hidden).  Returns the same shape.
    """
    if embed is None:
        return t_emb
    return t_emb + embed(embed.null(len(t_emb)) if y is None else y)


class GroupNorm(nn.GroupNorm):
    """In float32 where groups are narrow: PyTorch's bfloat16 kernel is four times slower on a CPU there."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype) if self.num_channels < 8 * self.num_groups else x)


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
