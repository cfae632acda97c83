"""The page's scripts: modules that import what they use, one global, and no name that Python does not know too."""

import ast
import json
import posixpath
import re
from pathlib import Path

import pytest
import torch
from starlette.applications import Starlette
from starlette.testclient import TestClient

import ddpm
from ddpm.ui.components import languages, pictures
from ddpm.ui.page import HERE
from ddpm.ui.server import scripts

GIVEN = pictures.constants() | {"languages": languages.catalogues()}
MODULES = scripts.modules(HERE, GIVEN)
PYTHON = sorted((Path(ddpm.__file__).parent / "ui").rglob("*.py"))
IMPORT = re.compile(r'^import \{ ([^}]*) \} from "([^"]+)";', re.M)
# What a frame, a packet or an answer of the server is called in the scripts, and which of its fields are read.
SENT = r"(?:packet|frame|preview|answer|lane)"
READ = re.compile(rf"\b{SENT}\.(\w+)")
TAKEN = re.compile(rf"\{{([^{{}}=]*(?:\{{[^{{}}]*\}})?[^{{}}=]*)\}} = (?:\w+\.)*{SENT}\b")
OF_THE_LANGUAGE = {"map", "filter", "find", "forEach", "length", "run", "slice", "card", "read"}


def without_comments(text):
    return re.sub(r"(?<!:)//.*", "", text)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {scripts.CONSTANTS}))
def test_a_script_imports_what_it_uses_and_nothing_else(name):
    text = MODULES[name]
    assert "use strict" not in text, "modules are"
    rest = IMPORT.sub("", without_comments(text))
    for names, where in IMPORT.findall(text):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), where))
        exported = set(re.findall(r"^export (?:const|class|function) (\w+)", MODULES[target], re.M))
        for each in names.split(", "):
            theirs, _, ours = each.partition(" as ")
            assert theirs in exported, f"{target} exports no {theirs}"
            assert re.search(rf"\b{ours or theirs}\b", rest), f"{each} is not used"


def test_the_pages_one_global_is_where_its_controls_find_the_tabs():
    made = {
        (name, found)
        for name, text in MODULES.items()
        for found in re.findall(r"(?:window|globalThis)\.(\w+) = ", text)
    }
    assert made == {("components/tabs.js", "DDPM")}
    for name, text in MODULES.items():
        assert name in ("components/tabs.js", scripts.CONSTANTS) or "DDPM" not in without_comments(text), name


def test_eight_bits_become_a_canvas_in_one_place():
    assert [name for name, text in MODULES.items() if "new ImageData" in text] == ["components/pixels.js"]


def said_by_python():
    """Every name that Python can give a field: keys of dicts, keywords and assignments to an entry."""
    names = set()
    for path in PYTHON:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                names |= {key.value for key in node.keys if isinstance(key, ast.Constant)}
            elif isinstance(node, ast.keyword):
                names.add(node.arg)
            elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                names.add(node.slice.value)
            elif isinstance(node, ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
                names.add(node.elts[0].value)  # for key, model in (("averaged", ...), ("live", ...))
            elif isinstance(node, ast.JoinedStr):  # f"{key}_digits"
                names |= {
                    f"{key}{node.values[-1].value}"
                    for key in ("averaged", "live")
                    if isinstance(node.values[-1], ast.Constant)
                }
    return names


def read_by_scripts():
    """(script, field) of what is read of a frame, a packet or an answer."""
    found = set()
    for name, text in MODULES.items():
        if name in ("components/connection.js", scripts.CONSTANTS):  # whose answers are the browser's; data
            continue
        text = without_comments(text)
        fields = READ.findall(text)
        for taken in TAKEN.findall(text):
            fields += [
                part.partition(":")[0].partition(" = ")[0].strip()
                for part in re.sub(r"\{.*?\}|\[.*?\]", "_", taken).split(",")
            ]
        found |= {
            (name, field) for field in fields if re.fullmatch("[a-z]\\w*", field) and field not in OF_THE_LANGUAGE
        }
    return found


def test_scripts_read_no_field_that_the_server_does_not_send():
    read, known = read_by_scripts(), said_by_python()
    assert len({field for _, field in read}) > 50, "the patterns still find them"
    unknown = sorted(each for each in read if each[1] not in known)
    assert not unknown, unknown


def test_constants_come_from_python():
    text = MODULES[scripts.CONSTANTS]
    found = {name: json.loads(value) for name, value in re.findall(r"^export const (\w+) = (.*);$", text, re.M)}
    assert found == GIVEN and found["T"] == 1000
    assert set(found["SCHEDULES"]) == {"linear", "cosine", "log_snr"}
    for kind, tables in found["SCHEDULES"].items():
        beta, ab = torch.tensor(tables["betas"]).double(), torch.tensor(tables["signal"]).double() ** 2
        assert (1 - beta).cumprod(0) == pytest.approx(ab, rel=2e-2, abs=1e-5), kind
        # Ho et al. Eq. 7, and 0 at t = 0, where the step back ends at clean data
        expected = beta[1:] * (1 - ab[:-1]) / (1 - ab[1:])
        assert torch.tensor(tables["variance"]) == pytest.approx(torch.cat([torch.zeros(1), expected]), rel=2e-3), kind


@pytest.fixture
def client():
    return TestClient(Starlette(routes=[scripts.route(MODULES)]))


def test_a_script_is_served_and_asked_again_only_once_it_has_changed(client):
    first = client.get("/scripts/components/stage.js")
    assert first.status_code == 200 and first.text == MODULES["components/stage.js"]
    assert first.headers["content-type"].startswith("text/javascript") and first.headers["cache-control"] == "no-cache"
    again = client.get("/scripts/components/stage.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304 and not again.content
    assert client.get("/scripts/components/stage.js", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path", ["page.py", "../page.py", "..%2fpage.py", "components/../page.py", "", "components/tokens.css"]
)
def test_nothing_else_is_served(client, path):
    assert client.get(f"/scripts/{path}").status_code == 404
