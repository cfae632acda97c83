"""Commands and names in README.md and in the model cards are real."""

import re
import shlex
from pathlib import Path

import pytest

from ddpm.__main__ import main, parser

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", *sorted(ROOT.glob("checkpoints/*/README.md"))]


def commands(text: str) -> list[str]:
    return re.findall(r"python -m ddpm [^`\n]+", text)


def test_every_command_line_in_the_texts_is_one_that_the_parser_takes():
    found = [command for path in TEXTS for command in commands(path.read_text(encoding="utf-8"))]
    assert len(found) >= 4
    for command in found:
        arguments = shlex.split(command, comments=True)[3:]
        if "--help" not in arguments:
            parser().parse_args(arguments)


def test_the_readmes_sample_commands_run(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    ran = 0
    for command in commands((ROOT / "README.md").read_text(encoding="utf-8")):
        arguments = shlex.split(command, comments=True)[3:]
        if arguments[0] != "sample":
            continue
        out = arguments.index("--out") + 1
        arguments[out] = str(tmp_path / arguments[out])
        arguments += ["--n", "4", "--steps", "3"]
        assert main(arguments) == 0
        assert Path(arguments[out]).stat().st_size > 100
        ran += 1
    assert ran >= 2


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.parent.name)
def test_every_file_that_a_text_links_to_exists(path):
    for target in re.findall(r"\]\((?!http|#)([^)]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_every_function_in_the_map_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"`ddpm\.(\w+)\.(\w+)`", text)
    assert len(names) >= 10
    for module, name in names:
        source = (ROOT / "ddpm" / f"{module}.py").read_text(encoding="utf-8")
        assert re.search(rf"^(def|class) {name}\b", source, re.M), f"{module}.{name}"


def test_the_python_in_the_readme_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert blocks
    for block in blocks:
        exec(block, {})
    assert len(capsys.readouterr().out.splitlines()) == 21
