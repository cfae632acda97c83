"""The page.  The only part of the package that imports gradio."""

from .server import environment  # noqa: F401  before Gradio, which it sets up

# isort: split
from .page import STYLES, build, launch_options, settings, shut_down

__all__ = ["STYLES", "build", "launch_options", "settings", "shut_down"]
