"""What must be so before Gradio is imported, and its import.  Imported before everything else of the page."""

from __future__ import annotations

import os

from . import address, hosting

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is fetched or reported
os.environ.update(hosting.space_defaults(os.environ) | hosting.own_folder(os.environ))
os.environ.update(address.set_port_aside(os.environ))

with hosting.past_proxies(os.environ):  # because its import already makes a client, which fails on a SOCKS proxy
    import gradio  # noqa: F401
