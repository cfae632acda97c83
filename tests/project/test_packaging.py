"""What an installation holds, and what the tests may need."""

import ast
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from configparser import ConfigParser
from email import message_from_bytes
from pathlib import Path

import pytest
from helpers.needs import development
from packaging.requirements import Requirement

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, where pytest brings it under its older name
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ddpm"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FILES = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
DATA = {path for path in FILES if path.suffix != ".py"}


def requirements(lines) -> set[str]:
    return {str(Requirement(line)) for line in lines}


def test_every_data_file_is_one_that_an_installation_brings():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["ddpm"]
    brought = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    assert len(DATA) > 15 and brought >= DATA, sorted(map(str, DATA - brought))


def test_there_is_one_list_of_requirements():
    assert "dependencies" in PROJECT["project"]["dynamic"] and "dependencies" not in PROJECT["project"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}


def test_no_test_imports_what_only_developers_have():
    """It asks needs.development for it, and is skipped."""
    developers = {
        Requirement(each).name.replace("-", "_") for each in PROJECT["project"]["optional-dependencies"]["dev"]
    }
    assert {"playwright", "hypothesis", "diffusers"} <= developers
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not developers & {name.partition(".")[0] for name in names}, f"{path}, line {node.lineno}"


def test_test_modules_have_names_of_their_own():
    """One test names another module's by its name alone, and so does what pytest prints."""
    names = Counter(path.stem for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(names) > 60 and [name for name, n in names.items() if n > 1] == []


def test_nothing_reaches_into_the_path():
    """What is imported is found from the root of a clone, or installed."""
    reached = "sys.path" + "."
    for folder in ("ddpm", "scripts", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            assert reached not in path.read_text(encoding="utf-8"), path


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel, built from a copy, because building leaves folders behind."""
    development("setuptools", "DDPM_REQUIRE_SETUPTOOLS")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(PACKAGE, folder / "ddpm", ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools.build_meta import build_wheel; build_wheel('.')"
    done = subprocess.run([sys.executable, "-c", build], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("ddpm-*.whl"))


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_what_it_requires(wheel):
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        about = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"
        metadata = message_from_bytes(packed.read(f"{about}/METADATA"))
        commands = ConfigParser()
        commands.read_string(packed.read(f"{about}/entry_points.txt").decode())
    assert {name for name in names if not name.startswith(about)} == {p.relative_to(ROOT).as_posix() for p in FILES}
    required = [each for each in metadata.get_all("Requires-Dist") if "extra ==" not in each]
    assert requirements(required) == requirements((ROOT / "requirements.txt").read_text().split())
    assert dict(commands["console_scripts"]) == {"ddpm": "ddpm.cli:main"}


@pytest.mark.slow
def test_what_was_installed_works_in_any_folder(wheel, tmp_path):
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True, timeout=120)
    options = {"cwd": tmp_path, "env": {"PYTHONPATH": str(target), "PATH": ""}, "capture_output": True, "text": True}

    def ddpm(*args):
        return subprocess.run([sys.executable, target / "bin/ddpm", *args], **options, timeout=120)

    helped, wrong = ddpm("--help"), ddpm("sample", "--checkpoint", "nowhere", "--out", "x.png")
    assert helped.returncode == 0 and "train | sample | evaluate | bench" in helped.stdout, helped.stderr
    assert wrong.returncode == 2 and wrong.stderr.startswith("error: "), wrong.stderr
    code = "import ddpm; from ddpm.data import load_dataset; from ddpm.evaluation import classifiers\n"
    code += "from ddpm.ui import STYLES, page; print(ddpm.__file__, len(load_dataset('bundled').images))\n"
    code += "scripts = page.scripts.modules(page.HERE, {})\n"
    code += "print(len(classifiers.load_classifier()[0].state_dict()) > 0, len(STYLES) > 10 and len(scripts) > 20)"
    done = subprocess.run([sys.executable, "-c", code], **options, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(target / "ddpm/__init__.py"), "10000", "True", "True"]
