"""The promises of SECURITY.md that no other test stands for."""

import ast
import asyncio
import re
from pathlib import Path

import pytest
from helpers.pages import Window, handler
from helpers.reversing import reverse_tab

from ddpm.ui.server import limits
from ddpm.ui.server.engine import Engine
from ddpm.ui.tabs.train import request, run_store
from ddpm.ui.tabs.train.run_store import Runs

ROOT = Path(__file__).parents[3]
OURS = [ROOT / "app.py", *sorted((ROOT / "ddpm").rglob("*.py"))]
MARKUP = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|new Function|\beval\(|setTimeout\(['\"]"
SCRIPTS = sorted((ROOT / "ddpm/ui").rglob("*.js"))


def calls(path):
    """(what is called, with which keywords) everywhere in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


def test_nothing_is_unpickled():
    forbidden = {"torch.load", "torch.hub.load", "eval", "exec", "compile", "os.system", "__import__"}
    for path in OURS:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) (pickle|dill|joblib|shelve|marshal|cloudpickle)\b", text, re.M), path
        for name, keywords in calls(path):
            assert name not in forbidden, f"{path}: {name}"
            assert keywords.get("allow_pickle", "False") == "False", path


def test_no_text_becomes_markup():
    """Our scripts set text, never HTML; what Python hands to gr.HTML as markup is written in the source."""
    for path in SCRIPTS:
        text = path.read_text(encoding="utf-8")
        found = re.search(MARKUP, text)
        assert not found, f"{path}: {found}"
    for path in OURS:
        for name, keywords in calls(path):
            if name == "gr.HTML":
                assert keywords.get("value", "None") == "None" or "js_on_load" in keywords, path  # as data, to a script


@pytest.mark.parametrize(
    "name", ["../mnist", "/etc", "mnist/../mnist", "mnist\0", "", ".", "C:\\", "hf://x/y", "a/b", {}, []]
)
def test_no_path_reaches_the_file_system(registry, name):
    for ask in (registry.get, Runs(Engine()).get):
        try:
            assert ask(name) is None
        except (ValueError, TypeError) as error:
            assert "no longer" in str(error) or "unhashable" in str(error)


def test_training_has_limits(monkeypatch):
    monkeypatch.setattr(limits, "current", lambda: limits.PROFILES["public"])
    fast = request.more_of(request.PRESETS["fast"])
    request.check("fast", "bundled", "seconds", 60, *fast)
    for asked, more, word in (
        (("fast", "bundled", "seconds", 61), fast, "Seconds"),
        (("fast", "bundled", "steps", 2001), fast, "Steps"),
        (("fast", "bundled", "steps", 5), [fast[0], 256, *fast[2:]], "Batch size"),
        (("fast", "bundled", "steps", 5), [*fast[:6], 64, fast[7]], "Width"),
    ):
        with pytest.raises(ValueError, match=word):
            request.check(*asked, *more)
    run = request.check("fast", "bundled", "seconds", 60, *fast)
    run.state = type("State", (), {"seconds": 595.0})()
    with pytest.raises(ValueError, match="as long as a run"):
        Runs(Engine()).go_on(run, 60)


def test_nobody_can_reach_another_window(registry):
    """Stop is by window; all else by ids of 128 random bits."""
    engine = Engine()
    assert len({request.check("fast", "bundled", "steps", 5).id for _ in range(20)}) == 20
    assert len(request.check("fast", "bundled", "steps", 5).id) >= 22  # 16 bytes in base64
    runs = Runs(engine)
    run = request.check("fast", "bundled", "steps", 5)
    assert run.id not in str(runs.path_of(run.id))
    assert run_store.Runs(engine).get(run.id[:-1]) is None

    demo, *_ = reverse_tab(registry)
    asked = (1, "all in turn", 0, "mnist", "ddim", 1000, 1, False, 0, "small", "linspace", True)

    async def scenario():
        stream = handler(demo, "reverse-generate")(Window("mine"), *asked)
        await anext(stream)
        told = handler(demo, "reverse-stop")(Window("another"))
        packet = await anext(stream)
        assert told == {"notice": "Nothing is running."} and not packet.get("stopped")
        assert handler(demo, "reverse-stop")(Window("mine")) is None
        return [packet async for packet in stream][-1]

    assert asyncio.run(asyncio.wait_for(scenario(), 60))["stopped"]
