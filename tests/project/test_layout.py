"""Imports point downward, by folders; importing the package stays light; what is public is named and described."""

from __future__ import annotations

import ast
import inspect
import types
from pathlib import Path

import pytest

import ddpm

ROOT = Path(ddpm.__file__).parents[1]
PACKAGE = ROOT / "ddpm"
# From bottom to top, the folders of ddpm/; "" stands for the files that lie in ddpm/ itself.  A module may import what
# lies in its own folder and on lower floors; folders of one floor do not know each other, nor do those under tabs/.
FLOORS = (
    ("system",),
    ("", "ui/server"),
    ("training", "storage"),
    ("evaluation",),
    ("ui/generation",),
    ("ui/components",),
    ("ui/tabs",),
    ("ui", "cli"),
)
FRONTS = {"ddpm", "ddpm.__main__"}  # through these others come in; they may import anything, and nothing imports them


def module_name(path: Path, root: Path = ROOT) -> str:
    """ddpm.ui for ddpm/ui/__init__.py, ddpm.ui.page for ddpm/ui/page.py."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path, root: Path = ROOT) -> tuple[set[str], set[str]]:
    """(modules of ddpm, other packages) that a file imports anywhere, inside functions and TYPE_CHECKING too."""
    ours, others = set(), set()
    inside = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = inside[: len(inside) - node.level + 1] if node.level else ()
            base = ".".join([*start, *([node.module] if node.module else [])])
            whole = {alias.name: f"{base}.{alias.name}" for alias in node.names}
            names = [full if is_module(full, root) else base for full in whole.values()]
        else:
            continue
        ours |= {name for name in names if name.partition(".")[0] == "ddpm"}
        others |= {name.partition(".")[0] for name in names} - {"ddpm"}
    return ours, others


def is_module(name: str, root: Path = ROOT) -> bool:
    path = root.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def room(path: Path, root: Path = ROOT) -> tuple[int, str]:
    """(floor, folder) of a module, by the longest name in FLOORS that its folder begins with."""
    folder = "/".join(path.relative_to(root).parts[1:-1])
    fitting = [
        (i, name)
        for i, names in enumerate(FLOORS)
        for name in names
        if folder == name or (name and folder.startswith(f"{name}/"))
    ]
    assert fitting, f"ddpm/{folder} has no floor"
    floor, name = max(fitting, key=lambda each: len(each[1]))
    return floor, "/".join(folder.split("/")[:3]) if name == "ui/tabs" else name


def not_downward(sources: dict[str, Path], root: Path = ROOT) -> list[str]:
    """The imports that do not point to the same folder or to a lower floor, nor from the page's folders to others."""
    found = []
    for module, path in sources.items():
        if module in FRONTS:
            continue
        floor, here = room(path, root)
        for name in sorted(imports(path, root)[0]):
            below, there = room(sources[name], root)
            into_ui = there.startswith("ui") and not here.startswith("ui")
            if name in FRONTS or into_ui or (there != here and below >= floor):
                found.append(f"{module} imports {name}")
    return found


def circle(sources: dict[str, Path], root: Path = ROOT) -> list[str]:
    """A way along imports that comes back to where it began; empty if there is none."""
    seen: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in seen:
            for name in sorted(imports(sources[module], root)[0] - {module}):
                if found := walk(name, (*path, module)):
                    return found
            seen.add(module)
        return []

    for module in sources:
        if found := walk(module, ()):
            return found
    return []


def test_imports_point_downward():
    assert not_downward(SOURCES) == []


def test_imports_go_in_no_circle():
    assert circle(SOURCES) == []


def test_only_the_interface_imports_gradio():
    for module, path in SOURCES.items():
        if not room(path)[1].startswith("ui"):
            assert not {"gradio", "spaces", "starlette"} & imports(path)[1], module


def test_no_module_hides_behind_a_public_function_of_its_name():
    hidden = [name for name in ddpm.__all__ if is_module(f"ddpm.{name}")]
    assert hidden == []


@pytest.fixture
def house(tmp_path):
    """Makes a small package: house({path: source}) -> its modules by name, and its root."""

    def build(files: dict[str, str]) -> tuple[dict[str, Path], Path]:
        for name, source in files.items():
            path = tmp_path / "ddpm" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return {module_name(path, tmp_path): path for path in sorted((tmp_path / "ddpm").rglob("*.py"))}, tmp_path

    return build


@pytest.mark.parametrize(
    ("path", "line", "seen"),
    [
        ("unet.py", "from .training import loop", "ddpm.unet imports ddpm.training.loop"),
        ("unet.py", "def f():\n from ddpm.training.loop import fit", "ddpm.unet imports ddpm.training.loop"),
        ("unet.py", "if TYPE_CHECKING:\n from .cli.parser import p", "ddpm.unet imports ddpm.cli.parser"),
        ("unet.py", "from .ui.server import engine", "ddpm.unet imports ddpm.ui.server.engine"),
        ("training/loop.py", "from ..storage import checkpoint", "ddpm.training.loop imports ddpm.storage.checkpoint"),
        ("training/loop.py", "import ddpm.ui.server.engine", "ddpm.training.loop imports ddpm.ui.server.engine"),
        ("ui/server/engine.py", "from ddpm.unet import UNet", "ddpm.ui.server.engine imports ddpm.unet"),
        ("ui/server/engine.py", "from ...unet import UNet", "ddpm.ui.server.engine imports ddpm.unet"),
        ("ui/tabs/one/tab.py", "from ..two import tab", "ddpm.ui.tabs.one.tab imports ddpm.ui.tabs.two.tab"),
        ("ui/tabs/one/tab.py", "from ...page import build", "ddpm.ui.tabs.one.tab imports ddpm.ui.page"),
        ("ui/page.py", "from ..cli import parser", "ddpm.ui.page imports ddpm.cli.parser"),
        ("unet.py", "from . import __version__", "ddpm.unet imports ddpm"),
        ("unet.py", "from .data import load_dataset", None),
        ("training/loop.py", "from .. import unet\nfrom ..data import load_dataset\nimport torch", None),
        ("ui/tabs/one/inner/x.py", "from ..tab import build\nfrom ddpm.ui.server.engine import Engine", None),
        ("ui/page.py", "from .tabs.one import tab\nfrom .tabs.two.tab import build", None),
    ],
)
def test_the_check_sees_an_import_that_is_not_downward(house, path, line, seen):
    names = ["__init__", "unet", "data", "training/loop", "storage/checkpoint", "cli/parser", "ui/page"]
    names += ["ui/server/engine", "ui/tabs/one/tab", "ui/tabs/two/tab"]
    files = {f"{name}.py": "" for name in names} | {path: line}
    assert not_downward(*house(files)) == ([seen] if seen else [])


def test_the_check_sees_a_circle(house):
    files = {"__init__.py": "", "a.py": "from . import b", "b.py": "from .c import x", "c.py": ""}
    assert circle(*house(files)) == []
    assert circle(*house(files | {"c.py": "if TYPE_CHECKING:\n from .a import y"})) == [
        "ddpm.a",
        "ddpm.b",
        "ddpm.c",
        "ddpm.a",
    ]


def test_a_folder_without_a_floor_is_seen(house):
    sources, root = house({"attic/x.py": ""})
    with pytest.raises(AssertionError, match="attic has no floor"):
        not_downward(sources, root)


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
        "ResBlock": "(in_ch, out_ch, t_dim",
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
