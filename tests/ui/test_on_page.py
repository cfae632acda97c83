"""Which of the checkpoints that ship the page offers."""

from __future__ import annotations

import pytest

from ddpm.config import Config, HoConfig, ModelConfig
from ddpm.networks import build_model
from ddpm.storage.checkpoint import load_checkpoint, save_checkpoint
from ddpm.ui.generation.drawn import Drawn
from ddpm.ui.generation.models import CHECKPOINTS, ModelRegistry, dataset, from_checkpoint, offered, pictures_of
from ddpm.ui.server.engine import Engine

SMALL = {"base": 8, "t_dim": 8, "mults": (1,), "img_size": 8}


def test_the_page_offers_what_it_can_show_and_what_is_broken_with_its_reason(tmp_path):
    kinds = {"plain": ModelConfig(**SMALL), "faces": ModelConfig(**SMALL, attributes=(2, 3)), "ho": HoConfig(**SMALL)}
    for name, config in kinds.items():
        save_checkpoint(tmp_path / name, build_model(config), Config(config))
    save_checkpoint(tmp_path / "broken", build_model(kinds["plain"]), Config(kinds["plain"]))
    (tmp_path / "broken/config.json").write_text("{")
    assert ModelRegistry(tmp_path).shipped == ["broken", "faces", "ho", "plain"]


@pytest.mark.parametrize("name", offered(CHECKPOINTS))
def test_what_ships_has_pictures_on_a_server_without_a_data_set(name, tmp_path, monkeypatch):
    """Or draws its own: CIFAR-10's may not be given away."""
    monkeypatch.setenv("DDPM_DATA_DIR", str(tmp_path))
    dataset.cache_clear()
    model = from_checkpoint(load_checkpoint(CHECKPOINTS / name), name)
    if name == "cifar10":
        assert pictures_of(model) is None
        shape = Drawn(Engine()).at_once(name, model, 7).shape
    else:
        shape = pictures_of(model).images.shape[1:]
    assert tuple(shape) == (model.channels, model.img_size, model.img_size)
    dataset.cache_clear()
