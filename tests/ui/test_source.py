"""The source behind the margins' equations: what opens is what is installed, and each term finds its lines."""

from __future__ import annotations

import inspect
import re
from xml.etree import ElementTree

import pytest

from ddpm.diffusion import q_sample
from ddpm.samplers import SAMPLERS
from ddpm.ui.components import source
from ddpm.ui.generation.coefficients import equations
from ddpm.ui.tabs.compare import knob, quality, race, schedules
from ddpm.ui.tabs.edit import compose, draw, inpaint, interpolate, invert
from ddpm.ui.tabs.forward import chain, denoising, latent, noising, posterior
from ddpm.ui.tabs.forward.mistakes import naming
from ddpm.ui.tabs.forward.mistakes import tab as mistakes
from ddpm.ui.tabs.forward.network import tab as network
from ddpm.ui.tabs.train import tab as train

TABS = (noising, chain, posterior, denoising, latent, train, race, knob, quality, schedules)
TABS += (naming, network, draw, inpaint, interpolate, invert, compose)
MARGINS = {tab.__name__.removeprefix("ddpm.ui.tabs."): tab.EQUATION for tab in TABS}
MARGINS |= {"reverse.tab": equations("ddim"), "forward.mistakes.tab": mistakes.BLOCKS}
# Letters of an equation that stand for no variable of the functions beside it: a distribution, an expectation, the
# identity; what a docstring alone speaks of; the race's distance, which those functions do not measure.
NOWHERE = {
    "forward.chain": {"q", "N", "I"},
    "forward.posterior": {"q"},
    "forward.denoising": {"E"},
    "compare.race": {"mean", "x_0^∞", "d", "p"},
    "edit.interpolate": {"d"},
    "reverse.tab": {"u", "h", "x_t", "x̂_0"},
    "forward.mistakes.tab": {"stdofalllatents"},
}


def unmarked(markup):
    """The symbols of a margin's equations that are marked neither themselves nor in what surrounds them."""
    found = set()

    def walk(node):
        if "data-term" in node.attrib:
            return
        inside = {each.tag for each in node.iter()} - {"mi", "mn", "mo", "msub", "msubsup", "mover", "mtext"}
        if node.tag in ("msub", "msubsup", "mover", "mi", "mtext") and not inside:
            if not any("data-term" in each.attrib for each in node.iter()) and "data-live" not in node.attrib:
                found.add(source.text_of(node))
            return
        for child in node:
            walk(child)

    for maths in source.MATHS.findall(markup):
        walk(ElementTree.fromstring(maths))
    return found


@pytest.mark.parametrize("name", MARGINS)
def test_each_term_of_an_equation_finds_its_lines(name):
    markup, sources = source.margin(MARGINS[name])
    assert unmarked(markup) == NOWHERE.get(name, set())
    for each in sources:
        lines = each["text"].splitlines()
        for line, start, end, term in each["marks"]:
            assert lines[line][start:end] in source.names_of(term, each["function"])
        for line, column, _ in each["values"]:
            assert column <= len(lines[line])
    known = {term for each in sources for *_, term in each["marks"]}
    assert set(re.findall(r'data-term="([^"]+)"', markup)) <= known


@pytest.mark.parametrize("name", MARGINS)
def test_each_number_with_an_expression_has_a_place(name):
    _, sources = source.margin(MARGINS[name])
    keys = [key for each in sources for *_, key in each["values"]]
    expected = set(re.findall(r'data-live="(\w+)" data-expr', MARGINS[name]))
    assert set(keys) == expected


def test_the_source_is_the_installed_one_and_says_where_it_stands():
    (found,) = source.margin(noising.EQUATION)[1]
    assert found["text"] == inspect.getsource(q_sample).rstrip()
    assert found["where"] == "ddpm/diffusion.py"
    line = inspect.getsourcelines(q_sample)[1]
    assert (
        found["first"] == line
        and source.PACKAGE.joinpath("diffusion.py").read_text().splitlines()[line - 1]
        == (found["text"].splitlines()[0])
    )
    assert found["papers"] == [("Ho et al. 2020", "2006.11239")]
    last = found["text"].splitlines()[-1]
    a = next(column for line, column, key in found["values"] if key == "a")
    assert last[:a].endswith("gather(sched.sqrt_alphas_bar, t)")


def test_every_sampler_has_a_paper_and_its_numbers_stand_where_they_are_computed():
    sources = source.margin(equations("ddpm"))[1]
    for method in SAMPLERS.values():
        name = f"{method.function.__module__}.{method.function.__qualname__}"
        assert next(each for each in sources if each["function"] == name)["papers"], name


def test_a_term_of_another_name_is_not_marked():
    maths = "<math><mi>w</mi><mo>=</mo><mi>ε</mi></math>"
    markup, _ = source.margin(f"{maths}<p><code>ddpm.diffusion.q_sample</code></p>")
    assert re.findall('data-term="(.)"', markup) == ["ε"]
    assert source.place_of_value("ddpm.diffusion.q_sample", "gather(sched.betas, t)") is None


def test_a_number_as_an_index_stands_for_its_letter():
    markup, _ = source.margin(noising.EQUATION)
    assert re.findall('data-term="(x_.)"><mi>x</mi><mn data-live="t"', markup) == ["x_t"]


def test_papers_are_those_that_docstrings_cite():
    assert ("Heusel et al. 2017", "1706.08500") in source.papers("ddpm.evaluation.metrics.frechet_distance")
    assert source.papers("ddpm.editing.classes_between") == []
    number = {"2006.11239"}
    assert source.bibliography()["Ho et al.", "2020"] == number
