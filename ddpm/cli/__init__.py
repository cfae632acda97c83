"""The command line: python -m ddpm train | sample | evaluate | bench."""

from .commands import main

__all__ = ["main"]
