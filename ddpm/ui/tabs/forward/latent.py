"""The inner tab Latent space: a digit as eight channels of 4 x 4, what is lost on the way, and what noise is there."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from ddpm.autoencoder import PCA, Codec, kl_divergence
from ddpm.diffusion import q_sample
from ddpm.schedule import SCHEDULES
from ddpm.seeding import seeded
from ddpm.ui.components import digits_as_python, layout, links, pictures
from ddpm.ui.generation import recording
from ddpm.ui.generation.as_python import call
from ddpm.ui.generation.maths import symbols
from ddpm.ui.generation.models import Model, autoencoder, dataset
from ddpm.ui.server import protocol
from ddpm.ui.server.engine import once

TITLE = "Latent space"
FITTED = 3000  # bundled digits that the components are fitted to
MOST = 128  # components, as many numbers as a latent has
FIRST_K, FIRST_T = 32, 400
WALK = 9  # pictures from one digit to the other

SYMBOLS = symbols(
    {
        "E, D": "encoder and decoder, two small networks",
        "z": "128 numbers for the 1024 of x<sub>0</sub>",
        "x̃": 'what they decode to: ‖x<sub>0</sub> − x̃‖² = <b data-live="error">·</b>; of '
        '<b data-live="k">·</b> components <b data-live="pca_error">·</b>',
        '"KL"': 'how far z is from N(0, 1), now <b data-live="kl">·</b>; λ: its weight',
        "ᾱ_t, ε": "schedule and noise, as of pixels",
    }
)
EQUATION = f"""
<math display="block"><mi>z</mi><mo>=</mo><mi>E</mi><mo>(</mo><msub><mi>x</mi><mn>0</mn></msub><mo>)</mo><mo>,</mo>
<mspace width="0.6em"></mspace><mover><mi>x</mi><mo>~</mo></mover><mo>=</mo><mi>D</mi><mo>(</mo><mi>z</mi>
<mo>)</mo></math>
<math display="block"><mo>−</mo><mtext>ELBO</mtext><mo>=</mo><mo>‖</mo><msub><mi>x</mi><mn>0</mn></msub><mo>−</mo>
<mover><mi>x</mi><mo>~</mo></mover><msup><mo>‖</mo><mn>2</mn></msup><mo>+</mo><mi>λ</mi><mtext> KL</mtext></math>
<math display="block"><msub><mi>z</mi><mi>t</mi></msub><mo>=</mo>
<msqrt><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><mi>z</mi><mo>+</mo>
<msqrt><mn>1</mn><mo>−</mo><msub><mover><mi>α</mi><mo>¯</mo></mover><mi>t</mi></msub></msqrt><mi>ε</mi></math>
{SYMBOLS}
<p class="code">Rombach et al. 2022, section 3.1: <code>ddpm.autoencoder.VAE</code>; Kingma and Welling 2014, Eq. 10:
<code>ddpm.autoencoder.negative_elbo</code>; Ho et al. 2020, Eq. 4: <code>ddpm.diffusion.q_sample</code></p>
"""


@functools.cache
def components() -> PCA:
    """The principal components of some of the bundled digits."""
    return PCA(dataset("bundled").images[:FITTED], MOST)


def fewer(pca: PCA, x: Tensor, k: int) -> Tensor:
    """What the first k components hold of x: (1, C, S, S)."""
    latents = pca.encode(x)
    latents[:, k:] = 0
    return pca.decode(latents)


def look(
    codec: Codec, x0: Tensor, other: Tensor, seed: int, t: int, k: int, kind: str
) -> Iterator[dict[str, Any] | None]:
    """The engine's job: what the tab shows of x0 and of the way to another digit."""
    mean, std = codec.posterior(x0)
    end, _ = codec.posterior(other)
    sched, at = pictures.schedule(kind), torch.tensor([t])
    noise = torch.randn(mean.shape, generator=seeded(seed, 1))
    z_t = q_sample(mean, at, noise, sched)
    decoded = codec.decode(torch.cat([mean, z_t]))
    yield None
    share = torch.linspace(0, 1, WALK).reshape(-1, 1, 1, 1)
    walk = codec.decode((1 - share) * mean + share * end)
    yield None
    of_components = fewer(components(), x0, k)
    unscaled = mean / codec.model.scale, 2 * (std / codec.model.scale).log()
    shown = {"decoded": decoded[:1], "components": of_components, "z_t": decoded[1:]}
    yield {name: protocol.b64(recording.frame(picture)) for name, picture in shown.items()} | {
        "latents": protocol.b64(recording.channels(mean)),
        "latent": {"channels": mean.shape[1], "side": mean.shape[2]},
        "walk": [protocol.b64(recording.frame(one[None])) for one in walk],
        "fade": [protocol.b64(recording.frame(one[None])) for one in (1 - share) * x0 + share * other],
        "square_error": round((decoded[:1] - x0).square().sum().item(), 1),
        "components_error": round((of_components - x0).square().sum().item(), 1),
        "kl": round(kl_divergence(*unscaled).item(), 1),
    }


def python_lines(weights: Model, asked: dict[str, Any]) -> list[str]:
    """What `look` shows, the digit noised in pixels beside it."""
    seed, t = asked["seed"], asked["t"]
    k = protocol.whole_number(asked.get("k"), "k", 1, MOST)
    other = digits_as_python.index_of(weights, asked.get("other_picture"))
    codec = autoencoder().name
    return [
        *digits_as_python.lines_of("other", asked["weights"], weights, other),
        f"sched, t = {digits_as_python.schedule_of(asked)}, torch.tensor([{t}])",
        f"codec = ddpm.storage.checkpoint.find_codec({call('ddpm.config.AutoencoderName', codec)})",
        "(z, _), (end, _) = codec.posterior(x0), codec.posterior(other)",
        f"noise = torch.randn(z.shape, generator=ddpm.seeding.seeded({seed}, 1))",
        "decoded = codec.decode(torch.cat([z, ddpm.q_sample(z, t, noise, sched)]))",
        f"share = torch.linspace(0, 1, {WALK}).reshape(-1, 1, 1, 1)",
        "walk, fade = codec.decode((1 - share) * z + share * end), (1 - share) * x0 + share * other",
        f'pca = ddpm.autoencoder.PCA(ddpm.load_dataset("bundled").images[:{FITTED}], {MOST})',
        f"latents = pca.encode(x0).index_fill(1, torch.arange({k}, {MOST}), 0)",
        "x_t, components = ddpm.q_sample(x0, t, eps, sched), pca.decode(latents)",
        *digits_as_python.shown("x0", "components", "x_t", "decoded", "walk", "fade", n=5 + 2 * WALK),
    ]


def build(shared: layout.Shared) -> None:
    engine, registry, weights = shared.engine, shared.registry, shared.weights
    engine.submit(once(components))  # a long step: as the server starts, before anybody waits

    async def latent_of(question: Any) -> dict[str, Any]:
        """What the page asks after every move: {x0, other, seed, t, k, schedule, weights}: see `look`."""
        question = protocol.fields(question)
        model, x0, seed = pictures.asked_about(registry, question)
        other = pictures.read_picture(question.get("other"), model)
        t = protocol.whole_number(question.get("t"), "t", 0, pictures.T - 1)
        k = protocol.whole_number(question.get("k"), "k", 1, MOST)
        kind = protocol.one_of(question.get("schedule"), "Schedule", SCHEDULES)
        door = await engine.submit(once(autoencoder)).result()
        if tuple(x0.shape[1:]) != door.picture_shape:
            raise ValueError("The autoencoder knows grey pictures of 32 x 32. Choose a model of such above.")
        return await engine.submit(look(door, x0, other, seed, t, k, kind)).result()

    def walk_to(packet: dict[str, Any]) -> dict[str, Any]:
        return {"other": packet["x0"], "other_picture": packet["picture"]}

    @protocol.in_words
    async def second(weights_id: Any) -> dict[str, Any]:
        return walk_to(await shared.pictures.another(weights_id))

    start, names = shared.pictures.opening(walk_to)
    with gr.Row(elem_classes="tab-row"):
        with gr.Column(elem_classes="controls"):
            choice, another, again = pictures.choosing("latent", names)
            to = gr.Button("Another one to walk to", elem_id="latent-other")
            pictures.which_schedule("latent")
            k = gr.Slider(1, MOST, FIRST_K, step=1, label="k: principal components kept", elem_id="latent-k")
            gr.HTML(
                '<p class="hint">A small autoencoder, trained beforehand on 60,000 digits, makes 8 × 4 × 4 numbers of '
                "a digit, and a digit of the numbers. Principal components are its linear ancestor. Drag <b>t</b>: "
                "noise in pixels is snow; noise in latent space, decoded, is other digits.</p>"
            )
        view = layout.stage_and_margin(
            "latent",
            Path(__file__).with_name("latent.js"),
            start,
            [latent_of, digits_as_python.answering(registry, "latent", TITLE, python_lines)],
            EQUATION,
            "On the way from one digit to another through latent space every picture is nearly a digit; through pixels "
            "it is two digits at once. So a network that works on z has no pixels to learn first: train one in seconds "
            "with the preset latent.",
            {"schedule": pictures.FIRST_SCHEDULE, "k": FIRST_K, "t": FIRST_T},
        )
    shared.pictures.follow(weights, view, choice, another, again, walk_to)
    links.keep(view, t=links.whole(pictures.T - 1, FIRST_T))
    to.click(second, weights, view, show_progress="hidden", queue=False)
    k.change(None, k, None, js="(k) => { DDPM.tabs.latent.receive({k}); }")
