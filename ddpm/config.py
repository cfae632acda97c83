"""What a model, a schedule and a training run are made of: frozen dataclasses, to and from JSON."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from .samplers import SAMPLERS, VARIANCES
from .schedule import MAX_T, Schedule, check_schedule, make_schedule
from .spacing import SPACINGS

PREDICTIONS = ("eps", "x0", "v")
PRECISIONS = ("float32", "bfloat16", "auto")
T_SAMPLINGS = ("uniform", "stratified", "logit_normal")


def check(ok: bool, message: str) -> None:
    if not ok:
        raise ValueError(message)


def is_int(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: Any, low: float, high: float) -> bool:
    ok_type = isinstance(value, (int, float)) and not isinstance(value, bool)
    return ok_type and low <= value <= high  # false for nan; math.isfinite overflows on a huge integer


def int_tuple(value: Any, name: str) -> tuple[int, ...]:
    check(isinstance(value, (list, tuple)) and all(is_int(v, 1, 4096) for v in value), f"{name}: a list of integers")
    return tuple(value)


@dataclass(frozen=True)
class ModelConfig:
    """The network.  The defaults are the tutorial's: 3,829,569 parameters on 1x32x32 images."""

    in_ch: int = 1
    base: int = 64
    t_dim: int = 128
    mults: tuple[int, ...] = (1, 2, 4)
    num_classes: int = 0  # 0: unconditional
    attention: tuple[int, ...] = ()  # feature-map sizes that get self-attention, e.g. (4,)
    patch_size: int = 1  # p folds p x p pixels into channels: p*p times less work per block
    img_size: int = 32
    prediction: str = "eps"  # what the output means: eps, x0 or v
    zero_init: bool = False  # the last convolution starts at 0, so that the first answer is the mean
    dropout: float = 0.0  # in the residual blocks, while training
    attributes: tuple[int, ...] = ()  # of a data set of several labels: how many values each has

    def __post_init__(self) -> None:
        object.__setattr__(self, "mults", int_tuple(self.mults, "mults"))
        object.__setattr__(self, "attention", int_tuple(self.attention, "attention"))
        object.__setattr__(self, "attributes", int_tuple(self.attributes, "attributes"))
        check(is_int(self.in_ch, 1, 4), "in_ch: an integer from 1 to 4")
        check(is_int(self.base, 8, 512) and self.base % 8 == 0, "base: a multiple of 8 from 8 to 512")
        check(is_int(self.t_dim, 2, 1024) and self.t_dim % 2 == 0, "t_dim: an even integer from 2 to 1024")
        check(1 <= len(self.mults) <= 6 and max(self.mults) <= 16, "mults: one to six integers from 1 to 16")
        check(is_int(self.num_classes, 0, 1000), "num_classes: an integer from 0 to 1000")
        check(is_int(self.patch_size, 1, 4) and self.patch_size != 3, "patch_size: 1, 2 or 4")
        check(is_int(self.img_size, 4, 256), "img_size: an integer from 4 to 256")
        unit = self.patch_size * 2 ** (len(self.mults) - 1)
        check(self.img_size % unit == 0, f"img_size: a multiple of {unit} for this patch_size and these mults")
        sizes = [self.img_size // self.patch_size // 2**i for i in range(len(self.mults))]
        check(set(self.attention) <= set(sizes), f"attention: only the sizes this network has, {sizes}")
        check(self.prediction in PREDICTIONS, f"prediction: one of {', '.join(PREDICTIONS)}")
        check(isinstance(self.zero_init, bool), "zero_init: true or false")
        check(is_number(self.dropout, 0, 0.9), "dropout: a share from 0 to 0.9")
        few = len(self.attributes) <= 32 and all(2 <= values <= 1000 for values in self.attributes)
        check(few, "attributes: at most 32, each of 2 to 1000 values")
        check(not (self.attributes and self.num_classes), "attributes: instead of classes, not beside them")

    @property
    def conditional(self) -> bool:
        """Whether it takes labels."""
        return bool(self.num_classes or self.attributes)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the pictures."""
        return self.in_ch, self.img_size, self.img_size


@dataclass(frozen=True)
class HoConfig(ModelConfig):
    """The network of Ho et al. 2020, appendix B: see ho_unet.py.  With mults (1, 2, 2, 2) of base 128 the published."""

    blocks: int = 2  # residual blocks per level

    def __post_init__(self) -> None:
        super().__post_init__()
        check(is_int(self.blocks, 1, 8), "blocks: an integer from 1 to 8")


@dataclass(frozen=True)
class MLPConfig:
    """The network for latents: see latent_mlp.py."""

    in_ch: int = 8
    img_size: int = 4
    base: int = 256  # numbers in the residual stream
    blocks: int = 1
    t_dim: int = 64
    num_classes: int = 0
    prediction: str = "v"

    attributes: ClassVar[tuple[int, ...]] = ()  # latents have classes at most

    @property
    def conditional(self) -> bool:
        """Whether it takes labels."""
        return self.num_classes > 0

    def __post_init__(self) -> None:
        check(is_int(self.in_ch, 1, 64), "in_ch: an integer from 1 to 64")
        check(is_int(self.img_size, 1, 16), "img_size: an integer from 1 to 16")
        check(is_int(self.base, 8, 4096) and self.base % 8 == 0, "base: a multiple of 8 from 8 to 4096")
        check(is_int(self.blocks, 1, 64), "blocks: an integer from 1 to 64")
        check(is_int(self.t_dim, 2, 1024) and self.t_dim % 2 == 0, "t_dim: an even integer from 2 to 1024")
        check(is_int(self.num_classes, 0, 1000), "num_classes: an integer from 0 to 1000")
        check(self.prediction in PREDICTIONS, f"prediction: one of {', '.join(PREDICTIONS)}")


# The networks there are, by the name that a checkpoint's config.json has for each; networks.py builds them.
NETWORKS: dict[str, type[ModelConfig] | type[MLPConfig]] = {"unet": ModelConfig, "ho-unet": HoConfig, "mlp": MLPConfig}


def config_of(model: object) -> ModelConfig | MLPConfig:
    """What a network of this package says it is made of.  Raises TypeError for one of somebody else's."""
    config = getattr(model, "config", None)
    if not isinstance(config, (ModelConfig, MLPConfig)):
        raise TypeError(f"the model, a {type(model).__name__}, has no ModelConfig as its `config`")
    return config


@dataclass(frozen=True)
class ScheduleConfig:
    """The noise schedule.  The cosine one ignores beta_start and beta_end."""

    T: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 2e-2
    kind: str = "linear"

    def __post_init__(self) -> None:
        check_schedule(self.T, self.beta_start, self.beta_end, self.kind)


def build_schedule(config: ScheduleConfig, device: torch.device | str = "cpu") -> Schedule:
    """The schedule that a configuration describes."""
    return make_schedule(config.T, config.beta_start, config.beta_end, config.kind, device)


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation.  The defaults are the tutorial's: AdamW at a constant 2e-4, gradients clipped at norm 1."""

    epochs: int = 30
    batch_size: int = 128
    lr: float = 2e-4
    muon_lr: float = 0.0  # of Muon on the convolutions' kernels, the rest with AdamW; 0: AdamW on everything
    lr_warmup: int = 0  # steps over which the learning rate rises from 0
    lr_decay: bool = False  # cosine to 0 over the run's budget
    weight_decay: float = 0.01
    grad_clip: float = 1.0
    ema_decay: float = 0.9999
    ema_warmup: bool = False  # min(decay, (1 + n)/(10 + n)): without it a short run samples from random weights
    label_dropout: float = 0.0
    t_sampling: str = "uniform"  # how t is drawn in training: see objective.draw_times
    t_mean: float = 0.0  # of the normal in logit_normal; above 0: more noise
    t_std: float = 1.0
    flip: bool = False  # half of the pictures mirrored, left to right
    precision: str = "float32"  # float32, bfloat16, or auto: whichever device.py measures to be faster
    seed: int = 0

    def __post_init__(self) -> None:
        check(is_int(self.epochs, 1, 1_000_000), "epochs: an integer from 1")
        check(is_int(self.batch_size, 1, 4096), "batch_size: an integer from 1 to 4096")
        check(is_number(self.lr, 0, 1) and self.lr > 0, "lr: a number above 0, at most 1")
        check(is_number(self.muon_lr, 0, 1), "muon_lr: a number from 0 to 1")
        check(is_int(self.lr_warmup, 0, 1_000_000), "lr_warmup: a number of steps, 0 or more")
        check(is_number(self.weight_decay, 0, 10), "weight_decay: a number from 0 to 10")
        check(is_number(self.grad_clip, 0, 1e9) and self.grad_clip > 0, "grad_clip: a number above 0")
        check(is_number(self.ema_decay, 0, 1) and self.ema_decay < 1, "ema_decay: from 0 to below 1")
        check(is_number(self.label_dropout, 0, 1), "label_dropout: a probability from 0 to 1")
        check(self.t_sampling in T_SAMPLINGS, f"t_sampling: one of {', '.join(T_SAMPLINGS)}")
        check(is_number(self.t_mean, -10, 10), "t_mean: a number from -10 to 10")
        check(is_number(self.t_std, 0.01, 10), "t_std: a number from 0.01 to 10")
        check(self.precision in PRECISIONS, "precision: float32, bfloat16 or auto")
        check(is_int(self.seed, 0, 2**63 - 1), "seed: an integer from 0 to 2^63 - 1")
        for name in ("lr_decay", "ema_warmup", "flip"):
            check(isinstance(getattr(self, name), bool), f"{name}: true or false")


@dataclass(frozen=True)
class AutoencoderName:
    """Which autoencoder the latents of a run are from: the name of its checkpoint folder, and its weights' sha256.

    sha256 is "" in a preset, which takes whichever has that name.
    """

    folder: str
    sha256: str = ""

    def __post_init__(self) -> None:
        plain = isinstance(self.folder, str) and re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", self.folder)
        check(bool(plain), "folder: the name of a checkpoint folder")
        hexadecimal = isinstance(self.sha256, str) and re.fullmatch(r"([0-9a-f]{64})?", self.sha256)
        check(bool(hexadecimal), "sha256: 64 hexadecimal digits")


@dataclass(frozen=True)
class Config:
    """Everything that, with a data set, defines a training run.  autoencoder: None of a run on pixels."""

    model: ModelConfig | MLPConfig = field(default_factory=ModelConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    autoencoder: AutoencoderName | None = None


@dataclass(frozen=True)
class SamplingConfig:
    """How samples are drawn.  guidance counts from guide_from to guide_to, shares of T, and is 1 elsewhere.

    eta is of ddim, variance of ddpm; spacing, which times are visited; clip, whether x0_hat is: see samplers.py.
    """

    sampler: str = "ddim"
    num_steps: int = 50
    eta: float = 0.0
    guidance: float = 1.0
    guide_from: float = 0.0
    guide_to: float = 1.0
    variance: str = "small"
    spacing: str = "linspace"
    clip: bool = True

    def __post_init__(self) -> None:
        for name, known in (("sampler", SAMPLERS), ("variance", VARIANCES), ("spacing", SPACINGS)):
            check(getattr(self, name) in tuple(known), f"{name}: one of {', '.join(known)}")
        check(isinstance(self.clip, bool), "clip: true or false")
        check(is_int(self.num_steps, 1, MAX_T), f"num_steps: an integer from 1 to {MAX_T}")
        for name, high in (("eta", 1), ("guidance", 100), ("guide_from", 1), ("guide_to", 1)):
            check(is_number(getattr(self, name), 0, high), f"{name}: a number from 0 to {high}")

    def interval(self, T: int) -> tuple[float, float]:
        """(lowest, highest) t at which guidance counts."""
        return self.guide_from * T, self.guide_to * T


def to_dict(config: Config) -> dict[str, Any]:
    """A Config as JSON.  A UNet's has no kind, and a run on pixels no autoencoder, as before there were others."""
    described = json.loads(json.dumps(dataclasses.asdict(config)))
    kind = next(name for name, cls in NETWORKS.items() if type(config.model) is cls)
    if kind != "unet":
        described["model"] = {"kind": kind} | described["model"]
    if config.autoencoder is None:
        del described["autoencoder"]
    return described


def from_dict(data: Any) -> Config:
    """The Config in a dict as `to_dict` makes it.  Raises ValueError naming the first field that is not right."""
    check(isinstance(data, dict), "a configuration is an object with model, schedule and train")
    parts: dict[str, Any] = {}
    kinds = {"schedule": ScheduleConfig, "train": TrainConfig, "autoencoder": AutoencoderName}
    for part in ("model", "schedule", "train", *(("autoencoder",) if data.get("autoencoder") is not None else ())):
        fields = data.get(part, {})
        check(isinstance(fields, dict), f"{part}: an object")
        fields = dict(fields)
        kind = fields.pop("kind", "unet") if part == "model" else ""
        check(part != "model" or kind in tuple(NETWORKS), f"model.kind: one of {', '.join(NETWORKS)}")
        cls: Any = NETWORKS[kind] if part == "model" else kinds[part]
        unknown = sorted(set(fields) - {f.name for f in dataclasses.fields(cls)})
        check(not unknown, f"{part}: unknown field {', '.join(map(str, unknown))}")
        try:
            parts[part] = cls(**fields)
        except ValueError as error:
            raise ValueError(f"{part}.{error}") from None
    return Config(**parts)
