"""The languages of the page: English, which stands in the source, and a catalogue of each other one."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "languages"
LANGUAGES = ("en", *sorted(path.stem for path in FOLDER.glob("*.json")))


def catalogues() -> dict[str, dict[str, str]]:
    """What each English text is in every other language, {} being what varies in it: docs/languages.md."""
    return {name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in LANGUAGES[1:]}
