"""What a test needs beyond requirements.txt.  Where that is missing the test is skipped and says why, except in CI."""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import NoReturn

import pytest

DEVELOPING = 'pip install -e ".[dev]" in a clone'


def unavailable(why: str, required_by: str) -> NoReturn:
    """Skip the test, or the module that is being imported; fail if the environment variable `required_by` is 1."""
    if os.environ.get(required_by) == "1":
        pytest.fail(f"{why}, and {required_by} is 1", pytrace=False)
    pytest.skip(why, allow_module_level=True)


def development(module: str, required_by: str) -> ModuleType:
    """A module of the development extra."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        unavailable(f"{error} ({DEVELOPING})", required_by)
