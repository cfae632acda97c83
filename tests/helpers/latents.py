"""A model of latents that has learned nothing, and its autoencoder."""

import torch

from ddpm import save_checkpoint
from ddpm.autoencoder import VAE
from ddpm.config import AutoencoderName, Config, MLPConfig, ScheduleConfig
from ddpm.networks import build_model
from ddpm.storage.checkpoint import save_autoencoder, with_autoencoder
from ddpm.ui.generation.models import ModelRegistry


def with_latents(registry, img_size=32):
    """The registry of a folder that has, too, an autoencoder `small` and a model `latent` of its latents, 8 x 4 x 4."""
    folder = registry.folder
    torch.manual_seed(5)
    save_autoencoder(folder / "small", VAE(img_size=img_size, widths=(8,) * (3 if img_size == 32 else 2)), {}, "")
    mlp, schedule = MLPConfig(base=8, num_classes=10), ScheduleConfig(kind="cosine")
    config, codec = with_autoencoder(Config(mlp, schedule, autoencoder=AutoencoderName("small")), folder / "latent")
    model = build_model(config.model, 1, codec)
    torch.nn.init.normal_(model.out_proj.weight)  # which begins at 0: otherwise no class would change anything
    save_checkpoint(folder / "latent", model, config, {"dataset": "mnist"})
    return ModelRegistry(folder)
