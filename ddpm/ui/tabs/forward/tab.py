"""The Forward tab: a digit drowned in noise, and what can be said of it then."""

from __future__ import annotations

from ddpm.ui.components import layout

from . import chain, denoising, latent, noising, posterior
from .mistakes import naming
from .mistakes import tab as mistakes
from .network import tab as network

TITLE = "Forward"
INNER_TABS = (noising, chain, posterior, denoising, network, latent, mistakes, naming)


def build(shared: layout.Shared) -> None:
    layout.inner_tabs(shared, INNER_TABS)
