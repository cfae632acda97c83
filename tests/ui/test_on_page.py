"""Which of the checkpoints that ship the page offers."""

from __future__ import annotations

from ddpm.config import Config, HoConfig, ModelConfig
from ddpm.networks import build_model
from ddpm.storage.checkpoint import save_checkpoint
from ddpm.ui.generation.models import ModelRegistry

SMALL = {"base": 8, "t_dim": 8, "mults": (1,), "img_size": 8}


def test_the_page_offers_what_it_can_show_and_what_is_broken_with_its_reason(tmp_path):
    kinds = {"plain": ModelConfig(**SMALL), "faces": ModelConfig(**SMALL, attributes=(2, 3)), "ho": HoConfig(**SMALL)}
    for name, config in kinds.items():
        save_checkpoint(tmp_path / name, build_model(config), Config(config))
    save_checkpoint(tmp_path / "broken", build_model(kinds["plain"]), Config(kinds["plain"]))
    (tmp_path / "broken/config.json").write_text("{")
    assert ModelRegistry(tmp_path).shipped == ["broken", "faces", "plain"]
