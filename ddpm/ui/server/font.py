"""The font of the page's equations, at an address of this server's own."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .scripts import asked_again, tag_of

NAME = "math.woff2"  # of its address, below the page's own, as maths.css has it
TYPE = "font/woff2"
HEAD = f'<link rel="preload" href="./{NAME}" as="font" type="{TYPE}" crossorigin>'  # so that no equation is set twice


def route(path: Path) -> Route:
    """GET /math.woff2.  Browsers ask each time whether their copy is still the same."""
    data = path.read_bytes()
    tag = tag_of(data)

    async def font(request: Request) -> Response:
        return asked_again(request, data, tag, TYPE)

    return Route(f"/{NAME}", font)
