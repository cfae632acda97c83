"""What a network computes on the way for one x_t: the blocks it is made of, as they are called, and their outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ddpm.autoencoder import encoded
from ddpm.data import to_uint8
from ddpm.diffusion import q_sample
from ddpm.ho_unet import HoUNet
from ddpm.samplers import predict
from ddpm.seeding import seeded
from ddpm.ui.components import pictures
from ddpm.ui.generation import recording
from ddpm.ui.generation.models import Model
from ddpm.ui.server import protocol
from ddpm.unet import UNet

MOST = 16  # channels that are shown, evenly chosen
TIMES = 250  # columns of the sinusoids' picture
BLOCK = re.compile(r"\w+(\.\d+)?")  # a module of the network's own, or one of a list of those
# Where a block stands, by its name's first word: of any other, on the way up.
SIDES = {"t": "time", "y": "time", "in": "down", "down": "down", "downs": "down", "mid": "mid"}


@dataclass(frozen=True)
class Called:
    """A block that was called.  out: its output of the one picture, (C, H, W) or (C,), float32 on the CPU."""

    name: str
    kind: str
    out: Tensor

    @property
    def side(self) -> str:
        """Where it stands: time, down, mid or up."""
        return SIDES.get(re.split(r"[_.]", self.name)[0], "up")


def is_block(name: str, module: nn.Module) -> bool:
    """Whether a module is shown: what changes nothing, only normalises or only holds others is not."""
    left_out = (nn.Identity, nn.ModuleList, nn.GroupNorm, nn.LayerNorm)
    return bool(BLOCK.fullmatch(name)) and not isinstance(module, left_out)


def watched(net: nn.Module, ask: Any) -> tuple[list[Called], Any]:
    """The blocks of a network in the order in which ask() calls them, and what that returns."""
    called: list[Called] = []

    def hook(name: str) -> Any:
        def keep(module: nn.Module, _: Any, out: Tensor) -> None:
            called.append(Called(name, type(module).__name__, out[0].detach().float().cpu()))

        return keep

    handles = [
        module.register_forward_hook(hook(name)) for name, module in net.named_modules() if is_block(name, module)
    ]
    try:
        return called, ask()
    finally:
        for handle in handles:
            handle.remove()


def skips(net: nn.Module, called: list[Called]) -> set[str]:
    """The blocks whose output is handed across to the way up: in the tutorial's UNet the last before each way down, in
    that of Ho et al. each on the way down."""
    names = [each.name for each in called]
    if isinstance(net, HoUNet):
        return {each.name for each in called if each.side == "down"}
    if not isinstance(net, UNet):
        return set()
    return {names[names.index(f"downs.{i}") - 1] for i in range(len(net.downs))}


def channels(out: Tensor) -> tuple[Tensor, int]:
    """Some channels of an output as pictures, (n, H, W) uint8, and how many there are.

    Each is scaled to its own largest value: 0 is grey.  A vector is one picture, row by row.
    """
    if out.ndim == 1:
        rows = 16 if len(out) % 16 == 0 else 1
        chosen = out.reshape(1, rows, -1)
    else:
        chosen = out[recording.evenly(len(out) - 1, MOST)]
    largest = chosen.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    return to_uint8(chosen / largest), len(out)


def picture(x: Tensor) -> dict[str, Any]:
    """(n, H, W) uint8 as the page gets it."""
    return {"count": x.shape[0], "height": x.shape[1], "width": x.shape[2], "pixels": protocol.b64(x.numpy())}


def sinusoids(net: Any, T: int) -> Tensor:
    """What the time embedding makes of t before its MLP, over t, as one picture: (1, dim, TIMES) uint8."""
    t = torch.linspace(0, T - 1, TIMES, device=net.t_embed.freqs.device)
    return to_uint8(net.t_embed.sinusoids(t).cpu().T)[None]


def look(weights: Model, x0: Tensor, seed: int, t: int, chosen: Any) -> Iterator[dict[str, Any]]:
    """The engine's job: one evaluation of the network at x_t, t being that of its own schedule, without a label.

    x0: (1, C, S, S).  chosen: the name of a block, or anything else for the one in the middle.
    """
    model, codec, net = weights.model, weights.model.codec, weights.model.model
    sched, at = weights.sched, torch.tensor([min(t, weights.sched.T - 1)])
    clean = encoded(model, x0)
    eps = pictures.noise_of(weights, seed) if codec is None else torch.randn(clean.shape, generator=seeded(seed, 1))
    x_t = q_sample(clean, at, eps, sched.to("cpu")).to(model.device)
    ask = lambda: predict(model, x_t, at.to(model.device), weights.unlabelled(1), sched, clip=False)  # noqa: E731
    called, (x0_hat, _) = watched(net, ask)
    handed = skips(net, called)
    names = [each.name for each in called]
    middle = next((each.name for each in called if each.side == "mid"), names[-1])
    here = called[names.index(chosen if chosen in names else middle)]
    shown, total = channels(here.out)
    decode = codec.decode if codec is not None else (lambda x: x)
    yield {
        "t": int(at),
        "kind": weights.kind,
        "is_unet": any(each.side == "down" for each in called[1:] if each.out.ndim == 3),
        "blocks": [
            {"name": b.name, "kind": b.kind, "shape": list(b.out.shape), "side": b.side, "skip": b.name in handed}
            for b in called
        ],
        "block": here.name,
        "of": total,
        "activations": picture(shown),
        "sinusoids": picture(sinusoids(net, sched.T)) if here.kind == "TimeEmbedding" else None,
        "x_t": protocol.b64(recording.frame(decode(x_t.cpu()))),
        "x0_hat": protocol.b64(recording.frame(decode(x0_hat.cpu()))),
    }
