"""Denoising diffusion probabilistic models from scratch: a minimal, readable reference.

Read schedule, diffusion, unet, objective, samplers, in that order, beside Ho, Jain, Abbeel 2020 (arXiv:2006.11239).
"""

from . import _openmp  # noqa: F401  before torch is loaded
from .config import Config, ModelConfig, ScheduleConfig, TrainConfig
from .data import DataError, Dataset, from_uint8, load_dataset, to_uint8
from .denoiser import Denoiser
from .diffusion import forward_step, posterior, q_sample, to_x0_eps
from .ema import EMA
from .generate import num_evaluations, sample_from_ema
from .guidance import Guided, drop_labels
from .inversion import invert
from .layers import Attention
from .loader import Loader, get_loader
from .objective import TrainingDiverged, target, train_step
from .presets import PRESETS
from .samplers import (
    SampleStep,
    ddim_step,
    ddpm_step,
    reverse_process,
    sample,
)
from .schedule import Schedule, gather, make_schedule
from .solvers import dpmpp_step, heun_step
from .spacing import timesteps
from .storage.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from .system.version import __version__ as __version__
from .training.loop import fit, train
from .training.state import Snapshot, TrainState
from .unet import ResBlock, TimeEmbedding, UNet

__all__ = [
    "EMA",
    "PRESETS",
    "Attention",
    "Checkpoint",
    "CheckpointError",
    "Config",
    "DataError",
    "Dataset",
    "Denoiser",
    "Guided",
    "Loader",
    "ModelConfig",
    "ResBlock",
    "SampleStep",
    "Schedule",
    "ScheduleConfig",
    "Snapshot",
    "TimeEmbedding",
    "TrainConfig",
    "TrainState",
    "TrainingDiverged",
    "UNet",
    "ddim_step",
    "ddpm_step",
    "dpmpp_step",
    "drop_labels",
    "fit",
    "forward_step",
    "from_uint8",
    "gather",
    "get_loader",
    "heun_step",
    "invert",
    "load_checkpoint",
    "load_dataset",
    "make_schedule",
    "num_evaluations",
    "posterior",
    "q_sample",
    "reverse_process",
    "sample",
    "sample_from_ema",
    "save_checkpoint",
    "target",
    "timesteps",
    "to_uint8",
    "to_x0_eps",
    "train",
    "train_step",
]
