"""A client that calls the endpoints directly, with whatever it likes: an answer in words, and a server that lives."""

import json
import urllib.request

import pytest
from helpers.serving import press

pytestmark = pytest.mark.browser

HOW = ["ddim", 2, 2, True, 0, "small", "linspace", True]
LANES = [{"sampler": "ddpm", "steps": 2, "eta": 0, "guidance": 1, "spacing": "linspace"}] * 2
GOOD = {
    "reverse-generate": [2, "all in turn", 0, "mnist", *HOW],
    "race-race": [LANES, 2, "all in turn", 0, "mnist"],
    "knob-vary": ["eta", 2, "all in turn", 0, "mnist", *HOW],
    "quality-measure": [200, 0, "mnist", *HOW],
}
WRONG = [None, "x", -1, 1e308, [], {}, True, "'; DROP TABLE", "${alert(1)}", "{{7*7}}", 2**70]


@pytest.mark.parametrize("button", GOOD)
def test_nonsense_is_answered_in_words_and_what_is_right_still_works(server, button):
    good = GOOD[button]
    for i in range(len(good)):
        for wrong in WRONG:
            text = json.dumps(press(server, button, [*good[:i], wrong, *good[i + 1 :]]))
            assert "Traceback" not in text and "site-packages" not in text
    messages = press(server, button, good)
    assert messages[-1]["success"] and '"done": true' in json.dumps(messages)


def test_questions_with_nonsense(server):
    with urllib.request.urlopen(f"{server}/config") as answer:
        components = json.load(answer)["components"]
    views = [c for c in components if str(c["props"].get("elem_id", "")).endswith("-view")]
    asked = 0
    for view in views:
        for name in view["props"].get("server_fns", ()):
            for wrong in WRONG:
                body = json.dumps({"data": wrong, "component_id": view["id"], "fn_name": name, "session_hash": "x"})
                request = urllib.request.Request(
                    f"{server}/gradio_api/component_server/", body.encode(), {"Content-Type": "application/json"}
                )
                with urllib.request.urlopen(request, timeout=60) as answer:
                    assert set(json.load(answer)) <= {"error", "frames"}
                asked += 1
    assert asked >= 4 * len(WRONG)
