"""The Compare tab: samplers in a race, one setting at a time, quality against cost, and the schedules side by side."""

from __future__ import annotations

from ddpm.ui.components import layout

from . import knob, quality, race, schedules

TITLE = "Compare"
INNER_TABS = (race, knob, quality, schedules)


def build(shared: layout.Shared) -> None:
    layout.inner_tabs(shared, INNER_TABS)
