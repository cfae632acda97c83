"""How much and how often one address may ask."""

import asyncio
import json

from ddpm.ui.server import rate_limit
from ddpm.ui.server.rate_limit import RateLimiter, TokenBucket


def test_a_minutes_questions_may_come_at_once_and_then_come_back_steadily():
    clock = [0.0]
    allowance = TokenBucket(60, now=lambda: clock[0])
    assert sum(allowance.allows("a") for _ in range(100)) == 60
    assert allowance.allows("b")
    clock[0] += 5
    assert sum(allowance.allows("a") for _ in range(100)) == 5
    clock[0] -= 1000  # a clock that jumps back gives nothing and takes nothing
    assert not allowance.allows("a")
    clock[0] += 10_000
    assert sum(allowance.allows("a") for _ in range(100)) == 60


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(rate_limit, "MAX_ADDRESSES", 10)
    allowance = TokenBucket(60)
    for i in range(100):
        allowance.allows(str(i))
    assert len(allowance._left) == 10


def ask(gate, method="POST", path="/gradio_api/component_server", chunks=(b"{}",), headers=(), client=("a", 1)):
    """Status and detail of one request, 200 being whatever the app behind the gate says."""
    said, waiting = [], list(chunks)

    async def receive():
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message):
        said.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": list(headers), "client": client}
    asyncio.run(gate(scope, receive, send))
    return said[0]["status"], json.loads(said[1]["body"] or b"{}").get("detail")


async def app(scope, receive, send):
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return await rate_limit.refuse(send, 499, "gone")
        size += len(message["body"])
        if not message["more_body"]:
            return await rate_limit.refuse(send, 200, str(size))


def test_the_gate_counts_questions_not_pages():
    gate = RateLimiter(app, per_minute=3)
    assert [ask(gate)[0] for _ in range(5)] == [200, 200, 200, 429, 429]
    assert "Wait a minute" in ask(gate)[1]
    assert ask(gate, method="GET")[0] == 200 and ask(gate, client=("b", 1))[0] == 200
    assert ask(gate, client=None)[0] == 200


def test_a_question_too_large_is_refused_however_its_length_is_told():
    gate, large = RateLimiter(app, per_minute=100), b"x" * 1_500_000
    assert ask(gate, headers=[(b"content-length", b"2000001")])[0] == 413
    assert ask(gate, headers=[(b"content-length", b"-5")])[0] == 413
    assert ask(gate, chunks=[large, large])[0] == 499
    assert ask(gate, path="/gradio_api/upload", chunks=[large, large]) == (200, "3000000")
