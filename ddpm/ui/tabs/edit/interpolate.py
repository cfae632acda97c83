"""The inner tab Interpolate: nine pictures between two, by four ways of mixing."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ddpm.device import Inference
from ddpm.editing import classes_between, slerp
from ddpm.generate import Sampler
from ddpm.inversion import invert
from ddpm.layers import Label
from ddpm.samplers import SampleStep
from ddpm.seeding import seeded
from ddpm.ui.components import controls, layout
from ddpm.ui.components.streaming import QUIET
from ddpm.ui.generation import recording
from ddpm.ui.generation.edited import Edit, Edited
from ddpm.ui.generation.labels import ANY, NONE, is_null, label_of
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import Model, autoencoder
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import last_of

from .editor import OWN, Editor, class_or_none, given_picture, meant, opener, settings

TITLE = "Interpolate"
N, STEPS, GUIDANCE = 9, 30, 1.5
ENDS = {"seeds": "Two seeds", "digits": "Two real digits, inverted"}
WAYS = {
    "slerp": "Noise, along the sphere",
    "straight": "Noise, straight",
    "pixels": "Finished pictures, pixel by pixel",
    "latents": "Finished pictures, in latent space",
}
NOTHING = "One of these pictures is empty. Choose another digit."

SYMBOLS = symbols(
    {
        "a, b": "two noises",
        "ω": "the angle between them",
        "s": 'how far from a to b, now <b data-live="share" data-expr="share">·</b>',
        "x_T": "the noise from which DDIM draws a picture",
        "d": "how many numbers it is: of noise ‖x<sub>T</sub>‖/√d is nearly 1",
    }
)
EQUATION = f"""
<math display="block" class="long"><msub><mi>x</mi><mi>T</mi></msub><mo>(</mo><mi>s</mi><mo>)</mo><mo>=</mo><mfrac>
<mrow><mi>sin</mi><mo>(</mo><mn>1</mn><mo>−</mo><mi>s</mi><mo>)</mo><mi>ω</mi></mrow><mrow><mi>sin</mi><mi>ω</mi></mrow>
</mfrac><mi>a</mi><mo>+</mo><mfrac><mrow><mi>sin</mi><mi>s</mi><mi>ω</mi></mrow><mrow><mi>sin</mi><mi>ω</mi></mrow>
</mfrac><mi>b</mi></math>
<math display="block" class="numbers"><mo>‖</mo><msub><mi>x</mi><mi>T</mi></msub><mo>‖</mo><mo>/</mo><msqrt><mi>d</mi>
</msqrt><mo>=</mo><mn class="noise" data-live="length">·</mn></math>
{SYMBOLS}
<p class="source">The straight mix is too short in the middle, √½, which the network takes for a picture half clean. The
vectors e<sub>A</sub>, e<sub>B</sub> that labels add to the time are mixed, too.</p>
<p class="code">slerp, Shoemake 1985; Song et al. 2021, section 5.3: <code>ddpm.editing.slerp</code>,
<code>ddpm.editing.classes_between</code></p>
"""


def straight(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """(1 - s) a + s b for each s of share: (n,).  a, b: (C, S, S).  Returns (n, C, S, S)."""
    return torch.lerp(a[None], b[None], share.to(a).reshape(-1, 1, 1, 1))


def in_latents(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """The pictures that mixes of the latents of a and b decode to: `straight`, through the shipped autoencoder."""
    codec = autoencoder()
    z_a, z_b = codec.posterior(torch.stack([a, b]))[0]
    return codec.decode(straight(z_a, z_b, share))


def mixing(way: str, sampler: Sampler) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """How a way mixes two noises, or two finished pictures."""
    return slerp if way == "slerp" else in_latents if way == "latents" and sampler.codec is None else straight


@dataclass(frozen=True)
class Between:
    """What is walked between, checked.  x0: two real digits, (2, C, S, S), or None for two seeds."""

    way: str
    labels: tuple[Label, Label]
    seeds: tuple[int, int]
    x0: Tensor | None

    @property
    def mixes_noise(self) -> bool:
        return self.way in ("slerp", "straight")

    def model(self, weights: Model, shares: Tensor) -> Callable[[], Inference] | None:
        """With the classes between; None of weights without any."""
        if not weights.conditional:
            return None
        return lambda: Inference(classes_between(weights.model.model, *self.labels, shares), "auto")

    def y(self, weights: Model, shares: Tensor) -> Tensor | None:
        """The label of each share, as `model` knows them."""
        if not weights.conditional:
            return None
        many = torch.tensor([len(each.values) for each in weights.attributes] or [weights.num_classes])
        y = many + torch.arange(len(shares))[:, None]
        return y if weights.attributes else y[:, 0]

    def ends(self, sampler: Sampler, weights: Model) -> Generator[None, None, Tensor]:
        """The two noises, (2, C, S, S), after as many steps of work as they take."""
        if self.x0 is None:
            m = sampler.config
            shape = m.in_ch, m.img_size, m.img_size
            noises = [torch.randn(shape, generator=seeded(seed, 0)) for seed in self.seeds]
            return torch.stack(noises).to(sampler.device)
        y = torch.tensor(self.labels, device=sampler.device) if weights.conditional else None
        steps = invert(sampler.model, sampler.sched, sampler.seen(self.x0), y=y, num_steps=sampler.sampling.num_steps)
        return (yield from last_of(steps)).x_t

    def process(self, weights: Model, shares: Tensor) -> Callable[[Sampler], Iterator[SampleStep | None]]:
        """What makes the moments of one picture for each share."""

        def moments(sampler: Sampler) -> Iterator[SampleStep | None]:
            ends = yield from self.ends(sampler, weights)
            mix = mixing(self.way, sampler)
            if self.mixes_noise:
                yield from sampler.steps(len(shares), self.y(weights, shares), start=(0, mix(ends[0], ends[1], shares)))
                return
            y = torch.tensor(self.labels) if weights.conditional else None
            for two in sampler.steps(2, y, start=(0, ends)):
                x0_hat = mix(two.x0_hat[0], two.x0_hat[1], shares)
                x_t = x0_hat if two.t < 0 else straight(two.x_t[0], two.x_t[1], shares)
                eps_hat = None if two.eps_hat is None else straight(two.eps_hat[0], two.eps_hat[1], shares)
                yield SampleStep(two.i, two.t, x_t, x0_hat, eps_hat)

        return moments


@dataclass
class Walk(Edited):
    """lengths: of each picture's x_t, over that of noise on average."""

    of: Between = field(kw_only=True)

    def also(self, moment: SampleStep, last: bool) -> dict[str, Any]:
        lengths = moment.x_t.flatten(1).norm(dim=1) / math.sqrt(moment.x_t[0].numel())
        return super().also(moment, last) | {"lengths": [round(v, 3) for v in lengths.tolist()]}

    def between(self, share: float) -> Iterator[dict[str, Any] | None]:
        """The engine's job: the picture at a share of the way, between the ends of this finished walk."""
        s, shares = self.settings, torch.tensor([share])
        model = self.of.model(s.weights, shares)
        sampler = self.sampler_of(model() if model else s.weights.model)
        mix = mixing(self.of.way, sampler)
        if self.of.mixes_noise:
            x_T = mix(self.states[0][0], self.states[0][-1], shares)
            length = x_T.norm().item() / math.sqrt(x_T.numel())
            last = yield from last_of(sampler.steps(1, self.of.y(s.weights, shares), start=(0, x_T)))
            x = last.x_t
        else:
            x, length = mix(self.states[-1][0], self.states[-1][-1], shares), None
        shown = protocol.b64(recording.frame(sampler.pictures(x)))
        yield {"picture": shown, "length": None if length is None else round(length, 3)}


def build(shared: layout.Shared) -> None:
    registry, weights, editor = shared.registry, shared.weights, Editor(shared, "interpolate")
    shares = torch.linspace(0, 1, N)

    def make(page: Any, weights_id: Any, ends: Any, way: Any, a: Any, b: Any, seed: Any, other_seed: Any) -> Edited:
        model = registry.get(weights_id)
        ends, way = protocol.one_of(ends, "Ends", ENDS), protocol.one_of(way, "Way", WAYS)
        if way == "pixels":
            model.on_pixels()
        if way == "latents" and (model.channels, model.img_size) != (1, 32):
            raise ValueError("The autoencoder knows grey pictures of 32 x 32 only. Choose another way.")
        of_page: dict[str, Any] = {}
        if ends == "digits":
            named = [(page.get("x0"), page.get("label")), (page.get("other"), page.get("other_label"))]
            x0 = torch.cat([given_picture(model, {"x0": text}, NOTHING) for text, _ in named])
            known = [label_of(model, meant(model, OWN, label)) for _, label in named]
            ends_of = Between(way, (known[0], known[1]), (0, 0), x0)
            of_page = {name: page.get(name) for name in ("x0", "other", "label", "other_label")}
        else:
            labels = [label_of(model, c) for c in (a, b)]
            seeds = [protocol.whole_number(each, "Seed", 0, protocol.MAX_SEED) for each in (seed, other_seed)]
            ends_of = Between(way, (labels[0], labels[1]), (seeds[0], seeds[1]), None)
        guidance = GUIDANCE if ends == "seeds" and not any(map(is_null, ends_of.labels)) else 1.0
        steps = min(STEPS, model.sched.T)
        s = settings(registry, weights_id, N, NONE, 0, steps, guidance, clip=ends == "seeds")
        edit = Edit(of_page, ends_of.process(model, shares), model=ends_of.model(model, shares))
        return Walk(s, edit=edit, of=ends_of)

    async def between(question: Any) -> dict[str, Any]:
        """The picture at a share of the way, while it is dragged: {run, share, pen} -> {picture, length}."""
        run: Any = editor.finished(question)  # a Walk
        share = protocol.number(protocol.fields(question).get("share"), "Share", 0, 1)
        return await editor.answer(question, run.between(share))

    def end_b(packet: dict[str, Any]) -> dict[str, Any]:
        return {"other": packet["x0"], "other_label": packet["label"]}

    @protocol.in_words
    async def second(chosen: Any, weights_id: Any) -> dict[str, Any]:
        return end_b(await shared.pictures.another(weights_id, chosen))

    start, names = shared.pictures.opening(end_b)
    end_of = functools.partial(controls.class_and_attributes, "interpolate", registry, weights, class_or_none)

    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            ends = gr.Radio(
                [(text, name) for name, text in ENDS.items()], value="seeds", label="Ends", elem_id="interpolate-ends"
            )
            with gr.Group(visible=True) as of_seeds:
                with gr.Row(elem_classes="pair"):
                    seed = gr.Number(3, label="Seed A", elem_id="interpolate-seed")
                    a, of_a = end_of(4, "Class A", "a")
                of_a.render()
                with gr.Row(elem_classes="pair"):
                    other_seed = gr.Number(8, label="Seed B", elem_id="interpolate-other-seed")
                    b, of_b = end_of(9, "Class B", "b")
                of_b.render()
                dice = gr.Button("⚄ New seeds", elem_id="interpolate-dice")
            with gr.Group(visible=False) as of_digits:
                picked = gr.Dropdown([ANY, *names], value=ANY, label="Digit", elem_id="interpolate-digit")
                with gr.Row(elem_classes="pair"):
                    another = gr.Button("Another A", elem_id="interpolate-another")
                    other = gr.Button("Another B", elem_id="interpolate-other")
            ways = [(text, name) for name, text in WAYS.items()]
            way = gr.Radio(ways, value="slerp", label="What is mixed", elem_id="interpolate-way")
            go, halt = controls.go_and_stop("interpolate", "Walk")
            opened = opener("interpolate")
        view = layout.stage_and_margin(
            "interpolate",
            Path(__file__).with_name("interpolate.js"),
            start,
            [*editor.answers, between],
            EQUATION,
            "Along the sphere every picture between is a digit. Straight through, the noise in the middle is too "
            "short, and what comes out is pale or no digit. Mixed pixel by pixel, two digits lie over each other; in "
            "latent space one turns into the other.",
        )
    shared.pictures.follow(weights, view, picked, another, second=end_b)
    other.click(second, [picked, weights], view, **QUIET)
    two = f"() => [0, 0].map(() => Math.floor(Math.random() * {protocol.MAX_SEED}))"
    dice.click(None, None, [seed, other_seed], js=two)
    ends.change(
        lambda chosen: [gr.update(visible=chosen == "seeds"), gr.update(visible=chosen == "digits")],
        ends,
        [of_seeds, of_digits],
        **QUIET,
    )
    fields = {"ends": ends, "way": way, "a": a, "b": b, "seed": seed, "other_seed": other_seed}
    editor.connect(view, go, halt, opened, make, **fields)
    editor.tell_page({"ends": ends, "way": way})
