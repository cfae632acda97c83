"""Several processes that train one model together, as torchrun starts them.

Each draws what is random in the whole batch, as one process alone would, and computes its own share of it; their
gradients are added up in one exchange of one flat tensor.  Torch's DistributedDataParallel exchanges while it still
computes, and wraps the model.  Without a wrapper the names of weights, the optimiser, the average and the compiler see
what they see in one process, shares need not be equal, and a step in parts is exchanged once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """The processes of a run, of which this is number `rank` of `size`; number 0 alone writes and prints."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"  # where what is exchanged must be

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def share(self, n: int) -> slice:
        """Which of n pictures are this process's.  Raises ValueError if there is not one for each process."""
        if n < self.size:
            raise ValueError(f"{self.size} processes are too many for batches of {n}: one picture each, at least")
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Each becomes the sum of what all processes have in its place.  float32, of the same shapes everywhere."""
        if self.size > 1:
            flat = torch.cat([each.flatten() for each in tensors])
            dist.all_reduce(flat)
            for each, total in zip(tensors, flat.split([each.numel() for each in tensors]), strict=True):
                each.copy_(total.view_as(each))

    def leaders(self, value: float) -> float:
        """What process 0 has for this value."""
        if self.size == 1:
            return value
        told = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(told, 0)
        return told.item()

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """On each machine one process does this before the others do, such as to download what all will read."""
        later = self.size > 1 and os.environ.get("LOCAL_RANK", "0") != "0"
        if later:
            dist.barrier()
        yield
        if self.size > 1 and not later:
            dist.barrier()


ALONE = Group()


@contextmanager
def joined(device: torch.device) -> Iterator[Group]:
    """The group that torchrun has started this process for; without torchrun, `ALONE`.

    Over NCCL between GPUs, of which each process takes the one of its number on its machine; else over Gloo.
    """
    if not dist.is_torchelastic_launched():
        yield ALONE
        return
    # Loaded within the group, as torch's optimisers do, it would hold the group as a default argument for ever; and
    # Gloo's threads, which let go of tensors, abort a process that ends.
    import torch.distributed.nn

    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), device.type if device.type == "cuda" else "cpu")
    finally:
        dist.destroy_process_group()
