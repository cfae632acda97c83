"""A client that calls the endpoints directly, with whatever it likes: an answer in words, and a server that lives."""

import json
import urllib.request

import pytest

pytestmark = pytest.mark.browser

GOOD = [2, "all in turn", "ddim", 2, 2, True, 0, 0, "mnist"]
WRONG = [None, "x", -1, 1e308, [], {}, True, "'; DROP TABLE", "${alert(1)}", "{{7*7}}", 2**70]


def call(server, name, data):
    """Call an event of the page by the name of its function.  Returns the messages that come back."""
    with urllib.request.urlopen(f"{server}/config") as answer:
        dependencies = json.load(answer)["dependencies"]
    index = next(d["id"] for d in dependencies if d.get("api_name", "").startswith(name))
    session = f"client{name}"
    body = json.dumps({"data": data, "fn_index": index, "session_hash": session, "event_data": None}).encode()
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(f"{server}/gradio_api/queue/join", body, headers)).read()
    messages = []
    with urllib.request.urlopen(f"{server}/gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        for line in stream:
            if line.startswith(b"data:"):
                messages.append(json.loads(line[5:]))
                if messages[-1]["msg"] in ("process_completed", "close_stream"):
                    return messages
    return messages


def test_generate_by_a_client(server):
    messages = call(server, "generate", GOOD)
    assert messages[-1]["success"]


@pytest.mark.parametrize("i", range(len(GOOD)))
def test_generate_with_nonsense(server, i):
    for wrong in WRONG:
        data = [*GOOD[:i], wrong, *GOOD[i + 1 :]]
        messages = call(server, "generate", data)
        text = json.dumps(messages)
        assert "Traceback" not in text and "site-packages" not in text
    assert call(server, "generate", GOOD)[-1]["success"]


def test_questions_with_nonsense(server):
    with urllib.request.urlopen(f"{server}/config") as answer:
        components = json.load(answer)["components"]
    views = [c for c in components if str(c["props"].get("elem_id", "")).endswith("-view")]
    asked = 0
    for view in views:
        for name in view["props"]["server_fns"]:
            for wrong in WRONG:
                body = json.dumps({"data": wrong, "component_id": view["id"], "fn_name": name, "session_hash": "x"})
                request = urllib.request.Request(
                    f"{server}/gradio_api/component_server/", body.encode(), {"Content-Type": "application/json"}
                )
                with urllib.request.urlopen(request, timeout=60) as answer:
                    assert set(json.load(answer)) <= {"error", "frames", "previews"}
                asked += 1
    assert asked >= 4 * len(WRONG)
