"""A stranger's client: whatever JSON, paths that climb out, names that would be code."""

import functools
import itertools
import json
import shutil
import urllib.error
import urllib.request

import pytest
from helpers.serving import config_of, join, messages, post
from helpers.starting import development
from helpers.steps import choose, tab, wait_for_status

from ddpm import save_checkpoint
from ddpm.config import Config, ModelConfig, ScheduleConfig
from ddpm.networks import build_model

hypothesis = development("hypothesis")
st = development("hypothesis.strategies")

pytestmark = pytest.mark.browser

EXAMPLES = 10  # of each endpoint
FUZZ = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)
KEYS = st.sampled_from(["run", "have", "k", "i", "kind", "level", "x0", "seed", "t", "s", "schedules", "weights"])
ANYTHING = st.recursive(
    LEAVES,
    lambda each: st.lists(each, max_size=4) | st.dictionaries(KEYS | st.text(max_size=5), each, max_size=4),
    max_leaves=12,
)
INSIDE = ("Traceback", "site-packages", 'File \\"', "ddpm/ui")


def fuzz(check, data=ANYTHING) -> int:
    """check(data) for many; returns how many."""
    counted = []

    @FUZZ
    @hypothesis.given(data)
    def each(data):
        counted.append(1)
        check(data)

    each()
    return len(counted)


def test_whatever_json_a_view_is_asked_with(server):
    def check(view, name, data):
        body = {"data": data, "component_id": view, "fn_name": name, "session_hash": "fuzz"}
        status, text = post(f"{server}/gradio_api/component_server", json.dumps(body).encode())
        text = text.decode()
        assert status == 200, (name, data, status, text)
        assert not any(piece in text for piece in INSIDE), (name, data, text)

    views = [(c["id"], name) for c in config_of(server)["components"] for name in c["props"].get("server_fns") or ()]
    asked = sum(fuzz(functools.partial(check, *view)) for view in views)
    print(f"{asked} questions to {len(views)} functions")
    assert len(views) >= 10 and asked >= len(views) * EXAMPLES // 2


def call(server, function, data, session):
    """Send data to a function as a page would.  Returns all that comes back, as text."""
    status, text = join(server, function, data, session)
    told = [json.dumps(message) for message in messages(server, session)] if status == 200 else []
    return status, "\n".join([text.decode(), *told])


def test_whatever_json_a_button_is_pressed_with(server):
    """Gradio refuses what its own components do not know; what it lets through is ours to answer."""
    count = itertools.count()

    def check(function, data):
        status, text = call(server, function, data, f"fuzz{next(count)}")
        assert status < 500, (function, data, status, text)
        assert not any(piece in text for piece in INSIDE), (function, data, text)

    functions = [d for d in config_of(server)["dependencies"] if d["backend_fn"] and d["inputs"]]
    for function in functions:
        n = len(function["inputs"])
        fuzz(functools.partial(check, function["id"]), st.lists(ANYTHING, min_size=n, max_size=n) | ANYTHING)
    pressed = next(count)
    print(f"{pressed} presses of {len(functions)} functions")
    assert len(functions) >= 10 and pressed >= len(functions) * EXAMPLES // 2


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "app.py", "../app.py", "ddpm/ui/server/engine.py", "checkpoints/mnist/config.json"]
)
def test_the_server_hands_out_no_file_of_its_own(server, path):
    for prefix in ("/gradio_api/file=", "/file=", "/file/", "/gradio_api/file/", "/static/../", "/assets/../"):
        try:
            with urllib.request.urlopen(f"{server}{prefix}{path}", timeout=30) as answer:
                text = answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            assert error.code in (400, 403, 404)
            continue
        assert "root:" not in text and "launch_options" not in text and "weights_sha256" not in text


NASTY = [
    "<img src=x onerror=window.hacked=1>",
    "${window.hacked=1}",
    "{{constructor.constructor('window.hacked=1')()}}",
    "</script>",
]


def test_names_in_a_file_stay_text(open_page, tmp_path):
    """A checkpoint's class names and a file's name are a stranger's."""
    model = ModelConfig(base=8, mults=(1, 2), num_classes=len(NASTY), patch_size=4, prediction="v")
    info = {"dataset": "bundled", "class_names": NASTY}
    save_checkpoint(tmp_path / "x", build_model(model), Config(model, ScheduleConfig(kind="cosine")), info)
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "x")
    data = (tmp_path / "packed.zip").read_bytes()
    page = open_page()
    tab(page, "Train")
    file = {"name": "<img src=x onerror=window.hacked=1>.zip", "mimeType": "application/zip", "buffer": data}
    page.locator("#train-open").locator("xpath=preceding-sibling::input").set_input_files(file)
    wait_for_status(page, "train", "^Opened")
    tab(page, "Reverse")
    page.wait_for_timeout(2000)  # Gradio's drop-down stumbles if it is opened just as its choices change
    choose(page, "reverse-class", NASTY[0])
    page.click("#reverse-generate")
    wait_for_status(page, "reverse", "^[0-9]+ steps")
    assert page.evaluate("window.hacked") is None
