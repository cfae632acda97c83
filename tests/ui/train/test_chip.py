"""What the header says of a training, on every tab."""

import asyncio

import gradio as gr
import pytest

from ddpm.ui.tabs.train.chip import state_of, with_chip

GOING = {"step": 7, "paused": False, "waiting": False, "encoding": None, "evaluating": None, "seconds_left": 11.2}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "12 s left"),
        ({"beside": GOING | {"seconds_left": 30.0}}, "30 s left"),
        ({"step": None}, "waiting"),
        ({"step": None, "encoding": {"n": 100, "encoded": 5}}, "encoding"),
        ({"beside": GOING | {"encoding": {"n": 100, "encoded": 5}}}, "encoding"),
        ({"evaluating": {"n": 1000}}, "evaluating"),
        ({"paused": True}, "paused"),
        ({"paused": True, "waiting": True}, "waiting"),
    ],
)
def test_how_far_a_training_is(changes, said):
    assert state_of(GOING | changes) == said


def test_a_stream_says_it_with_each_packet_and_nothing_where_there_is_no_run():
    async def stream(mine):
        yield {"error": "none"}
        yield GOING | {"run": mine, "done": False}, ["ids"]
        yield GOING | {"run": mine, "done": True}, ["ids"]

    async def parts():
        return [answer[1:] for answer in [each async for each in with_chip(stream)("a")]]

    assert asyncio.run(parts()) == [(gr.skip(),), (["ids"], "12 s left"), (["ids"], None)]
