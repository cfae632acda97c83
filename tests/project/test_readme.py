"""Commands and names in README.md, docs and the model cards are real."""

import os
import re
import shlex
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

import ddpm
from ddpm.cli import main
from ddpm.cli.parser import parser

ROOT = Path(__file__).parents[2]
TEXTS = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG", "SECURITY", "ddpm/assets/README")]
TEXTS += [*sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("checkpoints/*/README.md"))]


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
    texts = [ROOT / "README.md", ROOT / "docs/command-line.md"]
    for command in [each for path in texts for each in commands(path.read_text(encoding="utf-8"))]:
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


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_text_links_to_exists(path):
    for target in re.findall(r"\]\((?!http|#)([^)]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target.partition("#")[0]).exists(), target


def test_every_path_that_contributing_names_exists():
    paths = re.findall(r"`([\w.]+/[\w./]*)`", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(paths) >= 6
    for path in paths:
        assert (ROOT / path).exists(), path


PAGE = [path for kind in ("*.py", "*.js") for path in sorted((ROOT / "ddpm/ui").rglob(kind))]


def dotted_names(text: str) -> set[str]:
    """What a text calls by its full name, such as ddpm.diffusion.q_sample; but for imports, which are code."""
    code = re.sub(r"^\s*(from|import) ddpm.*$", "", text, flags=re.M)
    return set(re.findall(r"\bddpm(?:\.\w+)+\b(?![/\w])", code))


def test_every_dotted_name_in_the_texts_and_on_the_page_can_be_had():
    """Imported, not looked for in the source: a function that hides a module of its name would not be found."""
    names = [dotted_names(path.read_text(encoding="utf-8")) for path in (*TEXTS, *PAGE)]
    assert len(names[0]) >= 25 and len(set().union(*names[len(TEXTS) :])) >= 4
    for name in sorted(set().union(*names)):
        module, _, last = name.rpartition(".")
        found = import_module(module)
        assert hasattr(found, last) or import_module(name), name
        reached = ddpm
        for part in module.split(".")[1:]:
            reached = getattr(reached, part)
        assert reached is found, f"{module} is hidden by something of its name"


def test_the_python_in_the_readme_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert blocks
    for block in blocks:
        exec(block, {})
    assert len(capsys.readouterr().out.splitlines()) == 21


STAND_IN = """#!/bin/bash
# Instead of Python, of what an environment holds, and of apt-get: writes down what it was asked for.
if [ "$1" = - ]; then grep -q app.py "$SAID"; exit; fi  # does the page answer?
echo "${DDPM_REQUIRE_BROWSER:-0}${DDPM_REQUIRE_DIFFUSERS:-0} ${0#"$STAND_INS/"} $*" >> "$SAID"
case "$*" in
  "-m venv .venv") mkdir -p .venv/bin; for each in pip python ruff mypy pip-audit; do cp "$0" .venv/bin/$each; done ;;
  *app.py*) sleep 60 ;;
esac
"""


@pytest.fixture
def ci(tmp_path):
    """Runs .ci/run on such a README with stand-ins: ci(readme) -> its exit code, and each command that it ran."""
    if shutil.which("bash") is None or not (ROOT / ".ci/run").exists():
        pytest.skip("there is no .ci/run, or no bash to run it with")
    for name in ("python3", "apt-get"):
        path = tmp_path / "stand-ins" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(STAND_IN)
        path.chmod(0o755)
    clone, said = tmp_path / "clone", tmp_path / "said"
    (clone / ".venv/bin").mkdir(parents=True)
    (clone / ".venv/left").touch()
    (clone / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", clone / ".ci")
    env = {name: value for name, value in os.environ.items() if not name.startswith("DDPM_")}
    env |= {"STAND_INS": str(path.parent), "SAID": str(said)}
    env["PATH"] = os.pathsep.join([str(path.parent), env["PATH"]])

    def run(readme: str):
        (clone / "README.md").write_text(readme, encoding="utf-8")
        done = subprocess.run(["bash", ".ci/run"], cwd=clone, env=env, capture_output=True, text=True, timeout=60)
        assert not (clone / ".venv/left").exists(), "an environment that was there is not used"
        return done.returncode, said.read_text().splitlines() if said.exists() else []

    return run


def test_ci_runs_the_readmes_commands_as_they_stand_before_it_installs_more(ci):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    said = ["-r requirements.txt", ".venv/bin/python app.py", ".venv/bin/python -m pytest", 'install -e ".[dev]"']
    for i, words in enumerate(said):
        assert text.count(f"{words}\n") + text.count(f"{words} &&") == 1, words
        text = re.sub(rf"{re.escape(words)}(?=\n| &&)", rf"{words} --{i}", text)
    code, ran = ci(text)
    assert code == 0
    assert ran[:5] == [
        "00 python3 -m venv .venv",
        "00 .venv/bin/pip install -r requirements.txt --0",
        "00 .venv/bin/python app.py --1",
        "00 .venv/bin/python -m pytest --2",
        "00 .venv/bin/pip install -e .[dev] --3",
    ]
    rest = [command.rstrip().split(maxsplit=1) for command in ran[5:]]
    browser = rest.index(["01", "apt-get install -y -qq chromium nginx-light"])
    checks = (".venv/bin/ruff check .", ".venv/bin/ruff format --check .", ".venv/bin/mypy")
    for command in (*checks, ".venv/bin/python -m pytest -m slow"):
        assert ["01", command] in rest[:browser]
    assert ["01", ".venv/bin/python -m pytest --2"] in rest[:browser], "and again with what developers have"
    assert ["11", ".venv/bin/python -m pytest -m browser"] in rest[browser:]


@pytest.mark.parametrize("mark", ["open", "test", "develop"])
def test_ci_fails_where_the_readme_has_no_such_command(ci, mark):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    code, ran = ci(text.replace(f"<!-- command:{mark} -->", ""))
    assert code != 0 and ran == []
