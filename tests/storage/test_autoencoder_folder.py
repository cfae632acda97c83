"""An autoencoder's folder, and a latent model that names it."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from ddpm import load_checkpoint, save_checkpoint
from ddpm.autoencoder import VAE
from ddpm.cli import main
from ddpm.config import AutoencoderName, Config, MLPConfig, ScheduleConfig
from ddpm.data import from_uint8
from ddpm.networks import build_model
from ddpm.storage import checkpoint
from ddpm.storage.checkpoint import (
    CheckpointError,
    find_codec,
    is_autoencoder,
    load_autoencoder,
    save_autoencoder,
    with_autoencoder,
)
from ddpm.ui.generation.models import ModelRegistry

SMALL = {"img_size": 8, "patch_size": 2, "widths": (8, 16), "latent_ch": 4}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with an autoencoder, `small`, and a model of its latents, `latent`."""
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "none")
    torch.manual_seed(5)
    save_autoencoder(tmp_path / "small", VAE(**SMALL), {"step": 1}, "# small\n")
    config = Config(MLPConfig(in_ch=4, img_size=2, base=8), ScheduleConfig(T=10), autoencoder=AutoencoderName("small"))
    config, codec = with_autoencoder(config, tmp_path / "latent")
    save_checkpoint(tmp_path / "latent", build_model(config.model, 1, codec), config, {"dataset": "bundled"})
    return tmp_path


def test_what_is_saved_comes_back(folder, tiny_images):
    codec = load_autoencoder(folder / "small")
    torch.manual_seed(5)
    x, expected = from_uint8(tiny_images), VAE(**SMALL)
    assert torch.allclose(codec.decode(codec.posterior(x)[0]), expected.decode(expected.encode(x)), atol=2e-2)
    assert (
        codec.name.folder == "small"
        and codec.name.sha256 == json.loads((folder / "small/config.json").read_text())["weights_sha256"]
    )
    loaded = load_checkpoint(folder / "latent")
    assert loaded.model.codec.name == codec.name == loaded.config.autoencoder
    assert loaded.model.picture_shape == (1, 8, 8)


def test_a_model_whose_autoencoder_is_missing_or_another_is_refused_in_one_sentence(folder):
    torch.manual_seed(6)
    save_autoencoder(folder / "small", VAE(**SMALL), {}, "# another\n")
    with pytest.raises(CheckpointError, match="is another autoencoder than the one whose latents") as error:
        load_checkpoint(folder / "latent")
    assert "\n" not in str(error.value)
    shutil.rmtree(folder / "small")
    with pytest.raises(
        CheckpointError, match=r"the autoencoder of this model, small, is not in .*: put its folder there"
    ):
        load_checkpoint(folder / "latent")


def test_an_autoencoder_of_another_shape_is_refused(folder):
    save_autoencoder(folder / "other", VAE(**SMALL | {"latent_ch": 8}), {}, "")
    name = dataclasses.asdict(load_autoencoder(folder / "other").name)
    config = json.loads((folder / "latent/config.json").read_text())
    (folder / "latent/config.json").write_text(json.dumps(config | {"autoencoder": name}))
    with pytest.raises(
        CheckpointError, match=r"the network takes \(4, 2, 2\), and the latents of other are \(8, 2, 2\)"
    ):
        load_checkpoint(folder / "latent")


def test_an_autoencoder_is_no_model_nor_a_model_an_autoencoder(folder, tiny_model):
    save_checkpoint(folder / "pixels", tiny_model, Config(tiny_model.config))
    with pytest.raises(CheckpointError, match="is an autoencoder, not a diffusion model"):
        load_checkpoint(folder / "small")
    with pytest.raises(CheckpointError, match="is not an autoencoder"):
        load_autoencoder(folder / "latent")
    with pytest.raises(CheckpointError, match="is not in"):
        find_codec(AutoencoderName("nowhere"), folder / "latent")
    assert [is_autoencoder(folder / name) for name in ("small", "latent", "pixels")] == [True, False, False]


def test_the_page_offers_models_and_not_their_autoencoders(folder, tiny_model):
    save_checkpoint(folder / "pixels", tiny_model, Config(tiny_model.config))
    registry = ModelRegistry(folder)
    assert registry.shipped == ["latent", "pixels"]
    latent = registry.get("latent")
    assert (latent.channels, latent.img_size) == (1, 8) and registry.get("pixels").on_pixels()
    with pytest.raises(ValueError, match="works on latents"):
        latent.on_pixels()


def test_the_command_line_draws_pictures_of_latents(folder, tmp_path):
    import numpy as np

    out = tmp_path / "x.npz"
    assert main(["sample", "--checkpoint", str(folder / "latent"), "--n", "3", "--steps", "4", "--out", str(out)]) == 0
    assert np.load(out)["images"].shape == (3, 1, 8, 8)
    assert (
        main(["sample", "--checkpoint", str(folder / "latent"), "--n", "3", "--steps", "4", "--out", f"{out}.gif"]) == 0
    )
