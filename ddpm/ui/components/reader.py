"""The reader of lessons beside the tabs: its button, the texts as data, and the offer of a first visit."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import gradio as gr

from .layout import scripted
from .lessons import Lesson


def reader(lessons: Mapping[str, Sequence[Lesson]]) -> gr.HTML:
    """lessons: by language."""
    return scripted(
        Path(__file__).with_name("reader.js"),
        "reader",
        value={language: [dataclasses.asdict(lesson) for lesson in each] for language, each in lessons.items()},
        html_template='<div class="lessons"></div>',
        elem_id="lessons",
    )
