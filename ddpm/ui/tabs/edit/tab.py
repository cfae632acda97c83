"""The Edit tab: five ways to take hold of what a model draws."""

from __future__ import annotations

from ddpm.ui.components import layout

from . import compose, draw, inpaint, interpolate, invert

TITLE = "Edit"
INNER_TABS = (draw, inpaint, interpolate, invert, compose)


def build(shared: layout.Shared) -> None:
    layout.inner_tabs(shared, INNER_TABS)
