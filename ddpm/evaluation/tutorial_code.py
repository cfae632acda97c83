"""The tutorial's code as published, written out plainly: what `bench` measures everything else against.

float32, contiguous, nothing shared with the rest of this package.  It is here to be timed, not to be used: the same
maths with names, shapes and options is in schedule.py, unet.py, objective.py and samplers.py.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

NUM_PARAMETERS = 3_829_569


class TimeEmbedding(nn.Module):
    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.dim = dim
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, t: Tensor) -> Tensor:
        half = self.dim // 2
        freqs = torch.exp(-math.log(10000) * torch.arange(half, device=t.device) / half)
        args = t.float()[:, None] * freqs[None]
        return self.mlp(torch.cat([torch.sin(args), torch.cos(args)], dim=-1))


class ResBlock(nn.Module):
    def __init__(self, in_ch: int, out_ch: int, t_dim: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, in_ch)
        self.conv1 = nn.Conv2d(in_ch, out_ch, 3, padding=1)
        self.t_proj = nn.Linear(t_dim, out_ch)
        self.norm2 = nn.GroupNorm(8, out_ch)
        self.conv2 = nn.Conv2d(out_ch, out_ch, 3, padding=1)
        self.skip = nn.Conv2d(in_ch, out_ch, 1) if in_ch != out_ch else nn.Identity()

    def forward(self, x: Tensor, t_emb: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.t_proj(F.silu(t_emb))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + self.skip(x)


class UNet(nn.Module):
    def __init__(self, in_ch: int = 1, base: int = 64, t_dim: int = 128):
        super().__init__()
        hidden = 4 * t_dim
        self.time = TimeEmbedding(t_dim, hidden)
        self.in_conv = nn.Conv2d(in_ch, base, 3, padding=1)
        self.down1 = ResBlock(base, base, hidden)
        self.pool1 = nn.Conv2d(base, 2 * base, 3, stride=2, padding=1)
        self.down2 = ResBlock(2 * base, 2 * base, hidden)
        self.pool2 = nn.Conv2d(2 * base, 4 * base, 3, stride=2, padding=1)
        self.mid = ResBlock(4 * base, 4 * base, hidden)
        self.up2 = nn.ConvTranspose2d(4 * base, 2 * base, 4, stride=2, padding=1)
        self.dec2 = ResBlock(4 * base, 2 * base, hidden)
        self.up1 = nn.ConvTranspose2d(2 * base, base, 4, stride=2, padding=1)
        self.dec1 = ResBlock(2 * base, base, hidden)
        self.out_norm = nn.GroupNorm(8, base)
        self.out_conv = nn.Conv2d(base, in_ch, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        t_emb = self.time(t)
        h1 = self.down1(self.in_conv(x), t_emb)
        h2 = self.down2(self.pool1(h1), t_emb)
        h = self.mid(self.pool2(h2), t_emb)
        h = self.dec2(torch.cat([self.up2(h), h2], dim=1), t_emb)
        h = self.dec1(torch.cat([self.up1(h), h1], dim=1), t_emb)
        return self.out_conv(F.silu(self.out_norm(h)))


class Diffusion:
    """The linear schedule, T = 1000, one step of training and the sampler."""

    def __init__(self, T: int = 1000, beta_start: float = 1e-4, beta_end: float = 2e-2):
        self.T = T
        self.betas = torch.linspace(beta_start, beta_end, T)
        self.alphas = 1 - self.betas
        self.alphas_bar = torch.cumprod(self.alphas, dim=0)
        previous = torch.cat([torch.ones(1), self.alphas_bar[:-1]])
        self.posterior_variance = self.betas * (1 - previous) / (1 - self.alphas_bar)
        self.model = UNet()
        self.ema = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=2e-4)
        assert sum(p.numel() for p in self.model.parameters()) == NUM_PARAMETERS

    def train_step(self, x0: Tensor, decay: float = 0.9999) -> float:
        t = torch.randint(0, self.T, (x0.size(0),))
        noise = torch.randn_like(x0)
        ab = self.alphas_bar[t][:, None, None, None]
        x_t = ab.sqrt() * x0 + (1 - ab).sqrt() * noise
        loss = F.mse_loss(self.model(x_t, t), noise)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.ema[name].mul_(decay).add_(value, alpha=1 - decay)
        return loss.item()

    @torch.no_grad()
    def sample(self, n: int = 16, steps: int | None = None) -> Tensor:
        """All T steps, or the first `steps` of them, for a timing."""
        model = copy.deepcopy(self.model).eval()
        model.load_state_dict(self.ema)
        x = torch.randn(n, 1, 32, 32)
        for i in list(reversed(range(self.T)))[:steps]:
            eps = model(x, torch.full((n,), i))
            scale = self.betas[i] / (1 - self.alphas_bar[i]).sqrt()
            x = (x - scale * eps) / self.alphas[i].sqrt()
            if i > 0:
                x = x + self.posterior_variance[i].sqrt() * torch.randn_like(x)
        return x.clamp(-1, 1)
