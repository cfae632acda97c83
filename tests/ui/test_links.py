"""The state in the address, on the server's side: every key of every view, and whatever else an address may say."""

from pathlib import Path

import pytest
from helpers.linking import another

from ddpm.ui import links
from ddpm.ui.components.links import MAX_LENGTH, OWN

ROOT = Path(__file__).parents[2]


def test_every_control_is_set_by_an_address():
    keys = [(view.name, key) for view in links.table().views.values() for key in view.keys.values()]
    assert len(keys) > 100
    for view, key in keys:
        value, text = another(key)
        assert links.parse(f"#{view}?{key.name}={text.replace(' ', '+')}") == (view, {key.name: value}, [])


def test_a_default_can_be_named_too():
    assert links.parse("#reverse?steps=15&clip=1&class=all+in+turn")[2] == []


@pytest.mark.parametrize(
    ("address", "view"),
    [
        ("", "forward/noising"),
        ("#", "forward/noising"),
        ("#forward", "forward/noising"),
        ("#compare", "compare/race"),
        ("#edit/compose", "edit/compose"),
        ("https://host/below/#reverse?steps=20", "reverse"),
        ("#?view=knob", "compare/knob"),
        ("#reverse?view=race", "compare/race"),
    ],
)
def test_the_view_that_an_address_opens(address, view):
    found, _, problems = links.parse(address)
    assert (found, problems) == (view, [])


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("#reverse?steps=9999", "steps=9999: a whole number from 1 to 1000, please"),
        ("#reverse?steps=15.5", "steps=15.5: a whole number from 1 to 1000, please"),
        ("#reverse?steps=%D9%A1%D9%A5", "steps=١٥: a whole number from 1 to 1000, please"),
        ("#reverse?steps=1_5", "steps=1_5: a whole number from 1 to 1000, please"),
        ("#reverse?guidance=1.55", "guidance=1.55: a number from 0 to 5 in steps of 0.1, please"),
        ("#reverse?seed=-1", "seed=-1: a whole number from 0 to 2147483647, please"),
        ("#train?lr=inf", "lr=inf: a number from 0 to 2147483647, please"),
        ("#reverse?clip=yes", "clip=yes: one of 0, 1, please"),
        ("#reverse?speed=3", "speed: no such setting in reverse"),
        ("#nowhere", "nowhere: no such view"),
        ("#reverse?model=mnist-tutorial&class=3", "class=3: one of none, please"),
        ("#reverse?model=../../etc", "model=../../etc: one of "),
        ("#reverse?theme=pink", "theme=pink: one of dark, light, please"),
        (f"#reverse?seed={'9' * 60}", f"seed={'9' * 39}…: a whole number"),
        (f"#reverse?{'x' * MAX_LENGTH}", f"it is longer than {MAX_LENGTH} characters"),
        (f"#reverse?{'&'.join(f'a{i}=1' for i in range(99))}", "more than 60 settings"),
    ],
)
def test_what_will_not_do_is_said_and_left_out(address, wrong):
    _, values, problems = links.parse(address)
    assert problems and problems[0].startswith(wrong), problems
    assert set(values) <= {"model"}


def test_a_choice_that_follows_the_model_is_of_the_model_that_is_named():
    assert links.parse("#reverse?model=mnist-tutorial&class=none")[2] == []
    assert links.table().parse(f"#reverse?model={OWN}&class=3", "mnist")[2] == []
    assert len(links.table().parse(f"#reverse?model={OWN}&class=3", "mnist-tutorial")[2]) == 1


def test_a_setting_brings_along_what_it_brings_on_the_page():
    assert links.table().views["reverse"].defaults({"sampler": "dpmpp"})["spacing"] == "log_snr"
    train = links.table().views["train"].defaults
    assert train({"preset": "latent"})["space"] == "in latent space" and train({"preset": "latent"})["width"] == 256
    assert train({"space": "in latent space"})["preset"] == "latent"
    assert links.table().views["edit/compose"].defaults({"kind": "hybrid"})["w"] == 3.0


def test_what_is_not_an_address_is_none():
    for strange in (None, 3, [], {}, "?", "#?", "&&&", "#%", "#reverse?%ff=%ff", "#\x00"):
        view, values, _ = links.parse(strange)
        assert view in links.table().views and values == {}


def test_the_list_in_the_docs_is_of_this_page():
    text = (ROOT / "docs/links.md").read_text(encoding="utf-8")
    assert text.partition("<!-- listing -->\n")[2].strip() == links.listing().strip(), "python -m ddpm.ui.links"
