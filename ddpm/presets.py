"""Named training runs, and how a network is asked for pictures: on the page, and in the midst of its training."""

from __future__ import annotations

import dataclasses
from typing import Any

from .config import (
    AutoencoderName,
    Config,
    HoConfig,
    MLPConfig,
    ModelConfig,
    SamplingConfig,
    ScheduleConfig,
    TrainConfig,
)
from .data import Dataset

_CONDITIONAL: dict[str, Any] = {"num_classes": 10, "patch_size": 2, "prediction": "v"}
_DECAYED: dict[str, Any] = {"lr_decay": True, "ema_warmup": True, "weight_decay": 0.0, "precision": "auto"}
_OF_LATENTS: dict[str, Any] = {"batch_size": 256, "label_dropout": 0.1, "t_sampling": "logit_normal"}
_OF_HO_ET_AL: dict[str, Any] = {"in_ch": 3, "mults": (1, 2, 2, 2), "attention": (16,)}
_MIDDLE: dict[str, Any] = {"t_sampling": "logit_normal", "t_mean": 0.4, "t_std": 1.0}

# What Reverse opens with: 20 network evaluations a digit, five of the fifteen steps being guided pairs.
PAGE_SAMPLING = SamplingConfig("ddim", 15, eta=0.7, guidance=1.5, guide_from=0.3, guide_to=0.65)
TRAINING_EVALUATIONS = 20  # a picture, of the page's sampling above and of each below
# What Train draws with, at the same cost, below so many images seen: the less a network has seen, the more noise and
# guidance mend what it draws, at the price of variety.
STAGES = (
    (12_000, SamplingConfig("ddpm", 10, guidance=2.5, clip=False)),
    (30_000, SamplingConfig("ddpm", 11, guidance=2.0, guide_from=0.1, guide_to=0.9, clip=False)),
    (60_000, SamplingConfig("ddpm", 13, guidance=1.75, guide_from=0.2, guide_to=0.75, clip=False)),
    (120_000, SamplingConfig("ddim", 14, eta=0.9, guidance=1.75, guide_from=0.27, guide_to=0.7)),
)
# Of latents, which are not clipped.
LATENT_STAGES = (
    (45_000, SamplingConfig("ddim", 10, eta=1.0, guidance=2.5, guide_to=0.95)),
    (80_000, SamplingConfig("ddim", 10, eta=0.8, guidance=2.2, guide_to=0.9)),
    (200_000, SamplingConfig("ddim", 10, eta=0.8, guidance=1.7, guide_to=0.9)),
    (400_000, SamplingConfig("ddim", 10, guidance=1.5)),
    (1_000_000, SamplingConfig("dpmpp", 18, guidance=3.0, guide_from=0.25, guide_to=0.75, spacing="log_snr")),
)
LATENT = SamplingConfig("dpmpp", 18, guidance=2.5, guide_from=0.25, guide_to=0.75, spacing="log_snr")
TRAINED = dataclasses.replace(PAGE_SAMPLING, eta=0.8, guidance=1.75)


def training_sampling(images_seen: int, T: int, latent: bool = False) -> SamplingConfig:
    """How a network is asked for pictures after so many images of its training.  latent: whether it is of latents."""
    stages = LATENT_STAGES if latent else STAGES
    sampling = next((sampling for below, sampling in stages if images_seen < below), LATENT if latent else TRAINED)
    return dataclasses.replace(sampling, num_steps=min(sampling.num_steps, T))


ABOUT = {
    "tutorial": "as published",
    "fast": "a small network",
    "best": "as the shipped weights",
    "latent": "in latent space",
    "latent-best": "as checkpoints/mnist-latent",
}
_BEST = Config(
    ModelConfig(base=48, mults=(1, 2, 2), attention=(4,), **_CONDITIONAL),
    ScheduleConfig(kind="cosine"),
    TrainConfig(batch_size=128, lr=2e-3, lr_warmup=200, ema_decay=0.9995, label_dropout=0.1, **_DECAYED),
)
OF_HOURS = ("fashion", "cifar10", "cifar10-full")  # on the command line alone
# One more here is one more on the command line and on the page.
PRESETS: dict[str, Config] = {
    # The tutorial, to the letter.
    "tutorial": Config(),
    # For minutes on two cores: cosine schedule, v-prediction, classes, a 2x2 patch.
    "fast": Config(
        ModelConfig(base=24, t_dim=32, zero_init=True, **_CONDITIONAL),
        ScheduleConfig(kind="cosine"),
        TrainConfig(
            batch_size=32,
            lr=4e-3,
            muon_lr=6e-3,
            lr_warmup=10,
            ema_decay=0.995,
            label_dropout=0.05,
            **_DECAYED,
            **_MIDDLE,
        ),
    ),
    # The shipped weights, checkpoints/mnist: at most an hour on two cores.
    "best": _BEST,
    # The same with Muon on the kernels.  The shipped weights, checkpoints/fashion: at most an hour on two cores.
    "fashion": dataclasses.replace(_BEST, train=dataclasses.replace(_BEST.train, muon_lr=5e-3)),
    # Latent diffusion: an MLP on the latents of checkpoints/mnist-autoencoder.  3 s of two cores: 99 %, FID about 6x.
    "latent": Config(
        MLPConfig(num_classes=10),
        ScheduleConfig(kind="cosine"),
        TrainConfig(
            lr=4e-3,
            lr_warmup=20,
            ema_decay=0.99,
            **_OF_LATENTS,
            **_DECAYED,
        ),
        AutoencoderName("mnist-autoencoder"),
    ),
    # The shipped weights of latents, checkpoints/mnist-latent: at most an hour on two cores.
    "latent-best": Config(
        MLPConfig(base=512, blocks=3, num_classes=10),
        ScheduleConfig(kind="cosine"),
        TrainConfig(
            lr=2e-3,
            lr_warmup=200,
            ema_decay=0.9995,
            **_OF_LATENTS,
            **_DECAYED,
        ),
        AutoencoderName("mnist-autoencoder"),
    ),
    # Ho et al. appendix B, a seventh of its parameters: 4.9 M.  The shipped weights, checkpoints/cifar10.
    "cifar10": Config(
        HoConfig(base=48, t_dim=32, zero_init=True, num_classes=10, prediction="v", **_OF_HO_ET_AL),
        ScheduleConfig(kind="cosine"),
        TrainConfig(
            batch_size=256, lr=1e-3, muon_lr=5e-3, lr_warmup=200, ema_decay=0.9995, label_dropout=0.1, **_DECAYED
        ),
    ),
    # Ho et al. 2020, CIFAR-10 as published: 35,746,307 parameters, 800,000 steps.
    "cifar10-full": Config(
        HoConfig(base=128, dropout=0.1, zero_init=True, **_OF_HO_ET_AL),
        train=TrainConfig(epochs=2052, weight_decay=0.0, lr_warmup=5000, ema_warmup=True),
    ),
}
# What Train offers first of those that diffuse pixels, and of those that diffuse latents.
PIXELS, LATENTS = "fast", "latent"


def in_latents(preset: str) -> bool:
    """Whether a preset's diffusion is of latents."""
    return PRESETS[preset].autoencoder is not None


# The autoencoder of checkpoints/mnist-autoencoder.
AUTOENCODER = TrainConfig(
    batch_size=128,
    lr=3e-3,
    muon_lr=4e-3,
    lr_warmup=100,
    lr_decay=True,
    ema_decay=0.9995,
    ema_warmup=True,
    weight_decay=0.0,
)
KL_WEIGHT = 0.003  # beside a square error summed over the pixels: small, as in Rombach et al.


def labelled() -> list[tuple[str, str]]:
    """(what it is called where there is room, name) of each preset: of pixels, then of latents, the quickest first."""
    quickest = ("fast", "best", "tutorial", "latent", "latent-best")
    names = [*quickest, *(name for name in PRESETS if name not in (*quickest, *OF_HOURS))]
    return [(f"{name}: {ABOUT[name]}" if name in ABOUT else name, name) for name in names]


def for_dataset(config: Config, data: Dataset, seed: int = 0) -> Config:
    """The same run on other data: its channels and size, and its labels if the model is to have labels at all.

    At another size the patch changes with it, so that the network's maps keep theirs.  Of a run on latents channels
    and size are the autoencoder's, which knows pictures of one kind.
    """
    m, train = config.model, dataclasses.replace(config.train, seed=seed)
    changes: dict[str, Any] = {"num_classes": data.num_classes if m.conditional else 0}
    if isinstance(m, ModelConfig):
        changes |= {"attributes": tuple(len(each.values) for each in data.attributes) if m.conditional else ()}
        if config.autoencoder is None:
            channels, size = data.images.shape[1], data.images.shape[-1]
            patch = max(1, m.patch_size * size // m.img_size)
            changes |= {"in_ch": channels, "img_size": size, "patch_size": patch}
            train = dataclasses.replace(train, flip=data.mirrored)
    return dataclasses.replace(config, model=dataclasses.replace(m, **changes), train=train)
