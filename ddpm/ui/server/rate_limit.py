"""What stands before the page: how much, and how often, one address may ask."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY = 2_000_000  # bytes of a question; files come by another way, with a limit of their own
MAX_ADDRESSES = 10_000  # that are remembered


class TokenBucket:
    """So many questions a minute from one address, spread over it as it likes: a bucket that fills again steadily."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic):
        self.per_minute, self.now = per_minute, now
        self._left: dict[str, tuple[float, float]] = {}  # questions left, and when that was

    def allows(self, address: str) -> bool:
        """Count one question, unless there are too many."""
        now = self.now()
        left, then = self._left.pop(address, (float(self.per_minute), now))
        left = min(self.per_minute, left + max(0.0, now - then) * self.per_minute / 60)
        allowed = left >= 1
        self._left[address] = (left - allowed, now)  # the latest last
        if len(self._left) > MAX_ADDRESSES:
            del self._left[next(iter(self._left))]
        return allowed


class RateLimiter:
    """ASGI middleware: 429 to who asks too often, 413 to questions too large, 507 to files without room for them."""

    def __init__(
        self,
        app: Callable[[Message, Receive, Send], Awaitable[None]],
        per_minute: int,
        uploads: Path | None = None,
        largest: int = 0,
    ) -> None:
        """uploads: the folder for files, of `largest` bytes at most."""
        self.app, self.bucket = app, TokenBucket(per_minute)
        self.uploads, self.largest = uploads, largest

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        address = (scope.get("client") or ("",))[0]
        if not self.bucket.allows(address):
            return await refuse(send, 429, "Too many questions from your address. Wait a minute, then go on.")
        if scope["path"].rstrip("/").endswith("/upload"):
            if self.uploads and not has_room(self.uploads, self.largest):  # what fails half-way would stay there
                return await refuse(send, 507, "This server has no room for files at present.")
            return await self.app(scope, receive, send)
        size = dict(scope["headers"]).get(b"content-length", b"0")
        if not size.isdigit() or int(size) > MAX_BODY:
            return await refuse(send, 413, "That is more than this server reads at once.")
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:  # of a length that was not told
                return {"type": "http.disconnect"}
            return message

        await self.app(scope, counted, send)


def has_room(folder: Path, size: int) -> bool:
    """Whether a file of so many bytes can be written into a folder, which need not be there yet."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    return os.access(existing, os.W_OK) and shutil.disk_usage(existing).free >= size


async def refuse(send: Send, status: int, detail: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": detail}).encode()})
