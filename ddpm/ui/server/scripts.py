"""The page's own scripts: ES modules below one address, and one more that hands constants over to them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

PREFIX = "scripts"  # of their addresses, below the page's own
CONSTANTS = "components/constants.js"  # the module that is made, not read
TYPE = "text/javascript"


def modules(folder: Path, constants: Mapping[str, Any]) -> dict[str, str]:
    """The scripts below a folder by their paths in it, and as one more the constants, each an export of its own."""
    found = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.js")}
    made = "".join(f"export const {name} = {json.dumps(value)};\n" for name, value in constants.items())
    return dict(sorted((found | {CONSTANTS: made}).items()))


def head(scripts: Mapping[str, str], first: str) -> str:
    """What the page's head needs: all scripts are fetched at once, and `first` is run before any tab is.

    Addresses are relative, as Gradio's are, so that the page may lie anywhere.
    """
    links = (f'<link rel="modulepreload" href="./{PREFIX}/{name}">' for name in scripts)
    return "\n".join([*links, f'<script type="module" src="./{PREFIX}/{first}"></script>'])


def mounted(script: str, function: str, constants: Mapping[str, Any]) -> str:
    """The `js_on_load` of a gr.HTML: it hands the component, and the constants, to a function of a script."""
    arguments = f"element, props, watch, server, {json.dumps(constants)}, trigger"
    address = f'new URL("./{PREFIX}/{script}", document.baseURI)'
    return f"import({address}).then((script) => script.{function}({arguments}))"


def tag_of(data: bytes) -> str:
    """By which a browser's copy is told from another: an ETag."""
    return f'"{hashlib.sha256(data).hexdigest()[:16]}"'


def asked_again(request: Request, content: str | bytes, tag: str, kind: str) -> Response:
    """What answers a browser that asks each time whether its copy is still the same.  kind: its media type."""
    headers = {"ETag": tag, "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def route(scripts: Mapping[str, str]) -> Route:
    """GET /scripts/<path>: these and no other file.  Browsers ask each time whether their copy is still the same."""
    tags = {name: tag_of(text.encode()) for name, text in scripts.items()}

    async def script(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in scripts:
            return Response("There is no such script.", 404, media_type="text/plain")
        return asked_again(request, scripts[name], tags[name], TYPE)

    return Route(f"/{PREFIX}/{{name:path}}", script)
