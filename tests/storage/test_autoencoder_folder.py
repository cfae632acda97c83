"""An autoencoder's folder, and a latent model that names it."""

from __future__ import annotations

import dataclasses
import json
import shutil
from fnmatch import fnmatch
from types import SimpleNamespace

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
        CheckpointError, match=r"the autoencoder of this model, small, is not in .*: put its folder there [^`]*\)$"
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


# ---------------------------------------------------------------- from the Hub


@pytest.fixture
def hub(folder, tmp_path_factory, monkeypatch):
    """A stub of the Hub: `hub.repository` is what "someone/latent" holds, `hub.asked` what was asked for of it.

    What is fetched lies in a folder of its own, as the Hub's client keeps it.
    """
    root = tmp_path_factory.mktemp("hub")
    found = SimpleNamespace(repository=root / "repository", asked=[])
    shutil.copytree(folder / "latent", found.repository)
    (found.repository / "elsewhere").mkdir()
    (found.repository / "elsewhere/model.safetensors").write_bytes(b"not asked for")

    def snapshot_download(repo_id, allow_patterns):
        found.asked.append((repo_id, sorted(allow_patterns)))
        for path in found.repository.rglob("*"):
            name = path.relative_to(found.repository).as_posix()
            if path.is_file() and any(fnmatch(name, pattern) for pattern in allow_patterns):
                (root / "snapshots/1" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, root / "snapshots/1" / name)
        return str(root / "snapshots/1")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return found


def test_on_the_hub_the_autoencoder_is_a_folder_within_the_repository(folder, hub):
    shutil.copytree(folder / "small", hub.repository / "small")
    loaded = load_checkpoint("someone/latent")
    assert loaded.model.codec.name == loaded.config.autoencoder == load_autoencoder(folder / "small").name
    files = ["README.md", "config.json", "model.safetensors"]
    assert hub.asked == [("someone/latent", files), ("someone/latent", [f"small/{name}" for name in files])]


def test_on_the_hub_an_autoencoder_that_ships_will_do(folder, hub, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHIPPED", folder)
    assert load_checkpoint("someone/latent").model.codec.name == load_autoencoder(folder / "small").name


def test_of_two_of_that_name_the_one_with_the_right_weights_is_taken(folder, hub, monkeypatch):
    monkeypatch.setattr(checkpoint, "SHIPPED", folder)
    torch.manual_seed(6)
    save_autoencoder(hub.repository / "small", VAE(**SMALL), {}, "# another\n")
    assert load_checkpoint("someone/latent").model.codec.name == load_autoencoder(folder / "small").name
    save_autoencoder(folder / "small", VAE(**SMALL), {}, "# a third\n")
    with pytest.raises(CheckpointError, match="is another autoencoder than the one whose latents"):
        load_checkpoint("someone/latent")


def test_on_the_hub_without_its_autoencoder_one_sentence_says_what_to_do(hub):
    words = "small, is not in someone/latent on the Hub nor in .*: ask its maker to add the folder .* clone that, put"
    with pytest.raises(CheckpointError, match=words) as error:
        load_checkpoint("someone/latent")
    assert "\n" not in str(error.value) and "snapshots" not in str(error.value)


def test_a_repository_that_was_cloned_has_its_autoencoder_within(folder):
    shutil.move(folder / "small", folder / "latent/small")
    assert load_checkpoint(folder / "latent").model.codec.name.folder == "small"


def test_without_those_that_ship_a_training_says_where_to_get_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path / "checkpoints")  # as in an installation by pip
    assert main(["train", "--preset", "latent", "--steps", "1", "--out", str(tmp_path / "runs/mine")]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said and f"is not in {tmp_path}/runs nor in {tmp_path}/checkpoints: put its folder there" in said
    assert "checkpoints/ of a clone of the repository" in said
    assert said.endswith(f"or make one: python -m ddpm train-autoencoder --out {tmp_path}/runs/mnist-autoencoder")
    assert not (tmp_path / "runs").exists()
    save_autoencoder(tmp_path / "runs/mnist-autoencoder", VAE(), {}, "")  # what that command writes there
    assert find_codec(AutoencoderName("mnist-autoencoder"), tmp_path / "runs/mine").latent_shape == (8, 4, 4)
