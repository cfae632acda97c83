"""The inner tab Compose: what a model says of several classes, turned pictures or frequencies, as one weighted sum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from ddpm import compose
from ddpm.compose import Term, upside_down
from ddpm.evaluation import classifiers
from ddpm.generate import Sampler
from ddpm.layers import Label
from ddpm.samplers import SampleStep
from ddpm.ui.components import controls, layout, links
from ddpm.ui.components.streaming import QUIET
from ddpm.ui.generation.edited import Edit, Edited
from ddpm.ui.generation.labels import NONE, label_of
from ddpm.ui.generation.maths import symbols
from ddpm.ui.server import protocol

from .editor import Editor, classes, opener, settings

TITLE = "Compose"
N, STEPS, ETA, LIMIT = 9, 25, 0.7, 5.0


@dataclass(frozen=True)
class Kind:
    """A sum.  label: what it is called.  terms: of the classes a and b and the weights of both.  a, b, weights: at
    first.  views: whether it looks at pictures in ways that latents do not have, with one weight for both.  source,
    formula: markup, whose elements with data-of are filled with the present classes and weights."""

    label: str
    terms: Callable[[Label, Label, float, float], list[Term]]
    a: int
    b: int
    weights: tuple[float, float]
    views: bool
    source: str
    formula: str


def _eps(of: str) -> str:
    return f'<msub><mi>ε</mi><mi data-of="{of}">{of}</mi></msub>'


EMPTY, W, V = "<msub><mi>ε</mi><mi>∅</mi></msub>", '<mn data-of="w">·</mn>', '<mn data-of="v">·</mn>'
X_T = "<mo>(</mo><msub><mi>x</mi><mi>t</mi></msub><mo>)</mo>"
RX_T = "<mo>(</mo><mi>R</mi><msub><mi>x</mi><mi>t</mi></msub><mo>)</mo>"
KINDS = {
    "both": Kind(
        "Two classes at once",
        lambda a, b, w, v: compose.classes({a: w, b: v}),
        *(4, 7, (1.5, 1.5), False),
        "Liu et al. 2022, Eq. 11.",
        f"{EMPTY}<mo>+</mo>{W}<mo>(</mo>{_eps('a')}<mo>−</mo>{EMPTY}<mo>)</mo><mo>+</mo>{V}<mo>(</mo>{_eps('b')}"
        f"<mo>−</mo>{EMPTY}<mo>)</mo>",
    ),
    "without": Kind(
        "One class, away from another",
        lambda a, b, w, v: compose.classes({a: w, b: -v}),
        *(7, 1, (2.5, 1.5), False),
        "Liu et al. 2022, Eq. 13.",
        f"{EMPTY}<mo>+</mo>{W}<mo>(</mo>{_eps('a')}<mo>−</mo>{EMPTY}<mo>)</mo><mo>−</mo>{V}<mo>(</mo>{_eps('b')}"
        f"<mo>−</mo>{EMPTY}<mo>)</mo>",
    ),
    "illusion": Kind(
        "Upright one, upside down another",
        lambda a, b, w, v: compose.illusion(a, b, w),
        *(6, 9, (3.0, 0.0), True),
        f"Geng et al. 2024, Visual Anagrams, Eq. 3: R turns by 180°, and each ε is guided by w, {W}.",
        f"<mfrac><mn>1</mn><mn>2</mn></mfrac><mo>[</mo>{_eps('a')}{X_T}<mo>+</mo><mi>R</mi>{_eps('b')}{RX_T}<mo>]</mo>",
    ),
    "hybrid": Kind(
        "Near one, from far another",
        lambda a, b, w, v: compose.hybrid(a, b, w),
        *(3, 8, (3.0, 0.0), True),
        "Geng et al. 2024, Factorized Diffusion, Eq. 6: H and L are high and low frequencies; each ε is guided by w, "
        f"{W}.",
        f"<mi>H</mi><mo>(</mo>{_eps('a')}<mo>)</mo><mo>+</mo><mi>L</mi><mo>(</mo>{_eps('b')}<mo>)</mo>",
    ),
}
FIRST = "both"

FORMULAS = "".join(
    f'<div class="formula" data-sum="{name}"{"" if name == FIRST else " hidden"}>'
    f'<math display="block" class="numbers long"><mover><mi>ε</mi><mo>^</mo></mover><mo>=</mo>{kind.formula}</math>'
    f'<p class="source">{kind.source}</p></div>'
    for name, kind in KINDS.items()
)
SYMBOLS = symbols(
    {
        "ε_θ": "the noise that the network sees",
        "y_k": "the class that it is told; ∅: none",
        "w_k": "what that counts for",
        "V_k": "how it looks at x<sub>t</sub>: as it is, or turned",
    }
)
EQUATION = f"""
<math display="block" class="long"><mover><mi>ε</mi><mo>^</mo></mover><mo>=</mo><munder><mo>∑</mo><mi>k</mi></munder>
<msub><mi>w</mi><mi>k</mi></msub><msubsup><mi>V</mi><mi>k</mi><mrow><mo>−</mo><mn>1</mn></mrow></msubsup><msub><mi>ε</mi>
<mi>θ</mi></msub><mo>(</mo><msub><mi>V</mi><mi>k</mi></msub><msub><mi>x</mi><mi>t</mi></msub><mo>,</mo><mi>t</mi><mo>,</mo>
<msub><mi>y</mi><mi>k</mi></msub><mo>)</mo></math>
{FORMULAS}
{SYMBOLS}
<p class="source">Classifier-free guidance is the sum of two: <math><mo>(</mo><mn>1</mn><mo>−</mo><mi>w</mi><mo>)</mo>
<msub><mi>ε</mi><mi>∅</mi></msub><mo>+</mo><mi>w</mi><msub><mi>ε</mi><mi>y</mi></msub></math>.</p>
<p class="code">computed by <code>ddpm.compose.Composed</code></p>
"""


@dataclass
class Composition(Edited):
    """turned: whether it is looked at upside down, too, and then read."""

    turned: bool = field(kw_only=True)
    told: dict[str, Any] = field(kw_only=True)  # what the sum is of, for its formula

    def about(self) -> dict[str, Any]:
        return super().about() | {"told": self.told}

    def also(self, moment: SampleStep, last: bool) -> dict[str, Any]:
        found, reader = super().also(moment, last), self.settings.weights.reader
        if found and reader and self.turned:
            found["turned"] = classifiers.read(upside_down(self.sampler.pictures(moment.x_t)), reader).names
        return found


def build(shared: layout.Shared) -> None:
    registry, weights, editor = shared.registry, shared.weights, Editor(shared, "compose")

    def make(page: Any, weights_id: Any, kind: Any, a: Any, b: Any, w: Any, v: Any, seed: Any) -> Edited:
        model, kind = registry.get(weights_id), protocol.one_of(kind, "Sum", KINDS)
        if not model.conditional:
            raise ValueError("These weights know no classes to compose. Choose another model above.")
        if KINDS[kind].views:
            model.on_pixels()
        if not model.attributes:
            for each, name in ((a, "A"), (b, "B")):
                protocol.one_of(each, f"Class {name}", classes(model))
        w, v = protocol.number(w, "Weight of A", 0, LIMIT), protocol.number(v, "Weight of B", 0, LIMIT)
        s = settings(registry, weights_id, N, NONE, seed, min(STEPS, model.sched.T), 1.0, ETA)
        terms = KINDS[kind].terms(label_of(model, a), label_of(model, b), w, v)

        told = {"kind": kind, "a": a, "b": b, "w": w, "v": v}

        def process(sampler: Sampler) -> Iterator[Any]:
            return sampler.steps(N, s.y(), s.seed)

        return Composition(s, edit=Edit({}, process, terms=tuple(terms)), turned=kind == "illusion", told=told)

    first = KINDS[FIRST]
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            names = [(kind.label, name) for name, kind in KINDS.items()]
            kind = gr.Radio(names, value=FIRST, label="Sum", elem_id="compose-kind")
            with gr.Row(elem_classes="pair"):
                a = controls.class_of("compose", registry, weights, classes, first.a, "Class A", "a")
                b = controls.class_of("compose", registry, weights, classes, first.b, "Class B", "b")
            w = gr.Slider(0, LIMIT, first.weights[0], step=0.1, label="Weight of A", elem_id="compose-w")
            v = gr.Slider(0, LIMIT, first.weights[1], step=0.1, label="Weight of B", elem_id="compose-v")
            seed = controls.seed_and_dice("compose")
            go, halt = controls.go_and_stop("compose", "Compose")
            opened = opener("compose")
        view = layout.stage_and_margin(
            "compose",
            Path(__file__).with_name("compose.js"),
            None,
            editor.answers,
            EQUATION,
            "The network was never asked for two digits at once, for none of the other, or for a digit that is another "
            "upside down. It says what noise it sees for each, and what it says can be added up.",
            {"kind": FIRST, "a": a.value, "b": b.value, "w": first.weights[0], "v": first.weights[1]},
        )
    fields = {"kind": kind, "a": a, "b": b, "w": w, "v": v, "seed": seed}
    editor.connect(view, go, halt, opened, make, **fields)

    def known_to(weights_id: Any) -> tuple[str, ...]:
        try:
            return classes(registry.get(weights_id))
        except ValueError:
            return ()

    def suited(chosen: Any, weights_id: Any) -> list[Any]:
        """The classes and weights that show a sum best; of a sum with one weight that one alone."""
        each, names = KINDS.get(chosen, first), known_to(weights_id)
        values = [names[i] if i < len(names) else gr.skip() for i in (each.a, each.b)]
        label = "Guidance w" if each.views else "Weight of A"
        of_a, of_b = gr.update(value=each.weights[0], label=label), each.weights[1]
        return [*values, of_a, gr.update(value=of_b, visible=not each.views)]

    kind.input(suited, [kind, weights], [a, b, w, v], **QUIET)
    offered = known_to(registry.default)
    links.leads(
        kind,
        {
            name: {a: offered[each.a], b: offered[each.b], w: each.weights[0], v: each.weights[1]}
            for name, each in KINDS.items()
            if max(each.a, each.b) < len(offered)
        },
    )
    editor.tell_page({name: fields[name] for name in ("kind", "a", "b", "w", "v")})
