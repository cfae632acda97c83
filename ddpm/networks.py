"""The networks there are: what each configuration builds."""

from __future__ import annotations

import torch
import torch.nn as nn

from .autoencoder import Codec
from .config import HoConfig, MLPConfig, ModelConfig, config_of
from .ho_unet import HoUNet
from .latent_mlp import LatentMLP
from .unet import UNet

CLASSES: dict[type, type[nn.Module]] = {ModelConfig: UNet, HoConfig: HoUNet, MLPConfig: LatentMLP}


def network(config: ModelConfig | MLPConfig) -> nn.Module:
    """The network that a configuration describes, with weights from torch's global generator."""
    return CLASSES[type(config)](**vars(config))


def build_model(config: ModelConfig | MLPConfig, seed: int = 0, codec: Codec | None = None) -> nn.Module:
    """A network whose initial weights depend on the seed alone, and that leaves torch's global generator as it was.

    codec: the autoencoder whose latents it is to be a model of.  Raises ValueError if it does not fit them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return with_codec(network(config), codec)


def with_codec(model: nn.Module, codec: Codec | None) -> nn.Module:
    """The same network, as one of an autoencoder's latents.  Raises ValueError if it does not fit them."""
    if codec is not None:
        config = config_of(model)
        asked = (config.in_ch, config.img_size, config.img_size)
        if not isinstance(model, LatentMLP) or asked != codec.latent_shape:
            raise ValueError(
                f"the network takes {asked}, and the latents of {codec.name.folder} are {codec.latent_shape}"
            )
        model.codec = codec
    return model
