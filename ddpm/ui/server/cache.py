"""The latest things worth keeping."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class LRUCache:
    """The latest things worth keeping, by id, within a number of bytes: the oldest go first."""

    def __init__(self, max_bytes: int):
        self.max_bytes, self.bytes = max_bytes, 0
        self._things: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def put(self, key: str, thing: Any, size: int) -> None:
        if key in self._things:
            self.bytes -= self._things.pop(key)[1]
        self._things[key] = (thing, size)
        self.bytes += size
        while self.bytes > self.max_bytes and len(self._things) > 1:
            self.bytes -= self._things.popitem(last=False)[1][1]

    def drop(self, key: str) -> None:
        """Forget a thing, if it is here."""
        self.bytes -= self._things.pop(key, (None, 0))[1]

    def get(self, key: Any) -> Any:
        """The thing, or None if it is not, or no longer, here."""
        return self._things.get(key, (None, 0))[0] if isinstance(key, str) else None
