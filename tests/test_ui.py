"""The page as a whole, and the weights it offers."""

import gradio as gr
import pytest

import ddpm
from ddpm import ui
from ddpm.ui.weights import Library


def test_the_interface_builds_and_keeps_its_endpoints_to_itself():
    demo = ui.build()
    assert isinstance(demo, gr.Blocks)
    assert demo.api_open is False
    options = ui.launch_options()
    assert options["strict_cors"] and not options["enable_monitoring"] and not options["ssr_mode"]
    assert "http" not in options["head"].replace("http://www.w3.org/2000/svg", "")


def test_weights_that_are_gone_say_what_to_do(library):
    with pytest.raises(ValueError, match="Choose others"):
        library.get("gone")


def test_damaged_shipped_weights_are_one_clear_error(library):
    path = library.folder / "mnist" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ddpm.CheckpointError, match="damaged"):
        library.get("mnist")


def test_the_shipped_weights_are_there_and_load():
    weights = Library().get("mnist")
    assert weights.num_classes == 10 and weights.kind == "cosine"
