"""The links into the page: python -m ddpm.ui.links writes the list of all that one can say, as docs/links.md has it."""

from __future__ import annotations

import functools
from typing import Any

from .components.links import Key, Table
from .page import build


@functools.cache
def table() -> Table:
    """Of the page as it is built here."""
    return build().links  # type: ignore[attr-defined]  # which page.py gives it


def parse(address: str) -> tuple[str, dict[str, Any], list[str]]:
    """(view, what is set, what is wrong) of an address, or of what follows its #."""
    return table().parse(address)


def text(value: Any) -> str:
    """A value as an address has it."""
    if isinstance(value, bool):
        return str(int(value))
    return (",".join(map(str, value)) if isinstance(value, list) else f"{value}").replace(" ", "+")


def row(key: Key) -> str:
    return f"| `{key.name}` | {key.label or 'kept by the view'} | {key.words} | `{text(key.default)}` |"


def listing() -> str:
    """All views and their keys, as Markdown."""
    parts = [f"`hide=` takes, with commas: {', '.join(f'`{name}`' for name in table().to_hide)}."]
    for view in table().views.values():
        lines = [f"### `#{view.name}`", "", "| key | what | values | default |", "|---|---|---|---|"]
        lines += [row(key) for key in [*view.keys.values(), table().model]]
        for name, led in view.leads.items():
            others = ", ".join(f"`{other}`" for other in dict.fromkeys(key for each in led.values() for key in each))
            lines += ["", f"`{name}` brings its own default of {others}."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(listing(), end="")
