"""Imports point downward only, importing the package stays light, and what is public is named and described."""

from __future__ import annotations

import ast
import inspect
import types
from pathlib import Path

import pytest

import ddpm

PACKAGE = Path(ddpm.__file__).parent
LOW = {"config"}
MAY_IMPORT = {
    "config": set(),
    "unet": LOW,
    "ema": LOW,
    "reading": set(),
    "idx": set(),
    "data": {"config", "idx", "reading"},
    "judges": LOW,
    "metrics": {"judges"},
    "device": LOW,
    "schedule": LOW,
    "diffusion": {"schedule"},
    "guidance": set(),
    "samplers": {"config", "schedule", "diffusion"},
    "optim": LOW,
    "baseline": set(),
    "stopwatch": set(),
    "threads": set(),
    "_openmp": set(),
    "checkpoint": {"config", "schedule", "unet"},
    "metrics_csv": set(),
    "parser": {"config", "data"},
    "picture_file": {"checkpoint", "data"},
    "train": {"config", "schedule", "diffusion", "unet", "data", "ema", "guidance", "device", "optim"},
    "evaluate": {
        "config",
        "data",
        "device",
        "diffusion",
        "guidance",
        "judges",
        "metrics",
        "samplers",
        "schedule",
        "threads",
    },
}
BELOW = set(MAY_IMPORT)
MAY_IMPORT["card"] = BELOW
MAY_IMPORT["run_folder"] = {"card", "checkpoint", "config", "data"}
MAY_IMPORT["run"] = BELOW | {"card", "run_folder"}
MAY_IMPORT["bench"] = BELOW
MAY_IMPORT["__init__"] = BELOW
MAY_IMPORT["__main__"] = BELOW | {"card", "run_folder", "run", "bench"}

MODULES = sorted(p.stem for p in PACKAGE.glob("*.py"))


def imports(path: Path) -> tuple[set[str], set[str]]:
    """(siblings in ddpm, other packages) that a file imports anywhere, inside functions and TYPE_CHECKING too."""
    siblings, others = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = {0: "", 1: "ddpm"}.get(node.level, "above")
            module = ".".join(part for part in (start, node.module) if part)
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "ddpm" else [module]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            (siblings if top == "ddpm" else others).add(rest.partition(".")[0] if top == "ddpm" else top)
    return siblings, others


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downward(module):
    assert module in MAY_IMPORT, f"{module} has no place in the layout"
    siblings, _ = imports(PACKAGE / f"{module}.py")
    assert siblings <= MAY_IMPORT[module], f"{module} imports {sorted(siblings - MAY_IMPORT[module])}"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_interface_imports_gradio(module):
    assert not {"gradio", "spaces"} & imports(PACKAGE / f"{module}.py")[1]


def test_the_order_has_no_circle():
    seen: set[str] = set()

    def walk(module, path=()):
        assert module not in path, f"{' -> '.join([*path, module])}"
        if module not in seen:
            for sibling in imports(PACKAGE / f"{module}.py")[0]:
                walk(sibling, (*path, module))
            seen.add(module)

    for module in MODULES:
        walk(module)


def test_the_check_would_see_an_upward_import(tmp_path):
    path = tmp_path / "x.py"
    path.write_text(
        "from . import train\nfrom .ui import page\ndef f():\n import ddpm.run\n from ddpm.card import grid\n"
    )
    assert imports(path) == ({"train", "ui", "run", "card"}, set())
    path.write_text("import gradio.blocks as g\nfrom torch import nn\n")
    assert imports(path) == (set(), {"gradio", "torch"})


def test_importing_the_package_is_light_and_silent(python):
    code = (
        "import sys, torch; state = torch.get_rng_state(); import ddpm; "
        "assert torch.equal(state, torch.get_rng_state()); "
        "print([m for m in ('gradio', 'torchvision', 'huggingface_hub', 'ddpm.ui') if m in sys.modules])"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_tutorials_names_are_public():
    tutorial = {"Schedule", "make_schedule", "gather", "q_sample", "TimeEmbedding", "ResBlock", "UNet", "EMA", "train"}
    tutorial |= {"train_step", "sample", "sample_from_ema", "get_loader"}
    beyond = {"load_checkpoint", "save_checkpoint", "reverse_process", "SampleStep", "fit", "TrainState"}
    assert tutorial | beyond <= set(ddpm.__all__)


def test_all_is_complete_and_true():
    public = {n for n, v in vars(ddpm).items() if not n.startswith("_") and not isinstance(v, types.ModuleType)}
    assert set(ddpm.__all__) == public
    assert len(set(ddpm.__all__)) == len(ddpm.__all__)


@pytest.mark.parametrize("name", [n for n in ddpm.__all__ if callable(getattr(ddpm, n))])
def test_every_public_object_says_what_it_is(name):
    thing = getattr(ddpm, name)
    doc = inspect.getdoc(thing) or ""
    assert len(doc) > 20 and not doc.startswith(f"{name}("), "a docstring of its own, not the one dataclass writes"
    if inspect.isclass(thing):
        assert thing.__doc__, "not an inherited one"


@pytest.mark.parametrize(
    ("name", "start"),
    {
        "make_schedule": "(T=1000, beta_start=0.0001, beta_end=0.02, kind='linear', device='cpu'",
        "gather": "(buf, t)",
        "q_sample": "(x0, t, noise, sched)",
        "TimeEmbedding": "(dim, hidden)",
        "ResBlock": "(in_ch, out_ch, t_dim)",
        "UNet": "(in_ch=1, base=64, t_dim=128,",
        "EMA": "(model, decay=0.9999,",
        "train_step": "(model, x0, sched, optimizer,",
        "train": "(epochs=30, batch_size=128, lr=0.0002, T=1000,",
        "sample": "(model, sched, n=16, img_size=32, channels=1, device='cpu', generator=None,",
        "sample_from_ema": "(model, ema, sched, **kwargs)",
        "get_loader": "(batch_size=128,",
    }.items(),
)
def test_signatures_begin_as_in_the_tutorial(name, start):
    signature = inspect.signature(getattr(ddpm, name))
    bare = signature.replace(
        parameters=[p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()],
        return_annotation=inspect.Signature.empty,
    )
    assert str(bare).startswith(start)
