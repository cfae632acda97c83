"""A network of a few thousand weights, without classes and with, and a preset that trains it in a moment."""

import torch

from ddpm.config import Config, ModelConfig, ScheduleConfig, TrainConfig

TINY = ModelConfig(base=8, t_dim=8, mults=(1, 2), img_size=8)
TINY_CLASSES = ModelConfig(base=8, t_dim=8, mults=(1, 2), num_classes=10, img_size=8, prediction="v")
TINY_ATTRIBUTES = ModelConfig(base=8, t_dim=8, mults=(1, 2), attributes=(2, 3), img_size=8, prediction="v")
TINY_PRESET = Config(
    TINY_CLASSES,
    ScheduleConfig(T=20, kind="cosine"),
    TrainConfig(epochs=1, batch_size=8, lr=1e-3, lr_decay=True, ema_warmup=True, label_dropout=0.1),
)


class Model:
    """A smooth, cheap stand-in for a network, that remembers the x and t it was asked for."""

    def __init__(self, prediction="eps"):
        self.prediction, self.xs, self.times = prediction, [], []

    def __call__(self, x, t):
        self.xs.append(x.clone())
        self.times.append(t.tolist())
        return torch.tanh(0.7 * x + 0.3) + 0.01 * t.reshape(-1, 1, 1, 1)
