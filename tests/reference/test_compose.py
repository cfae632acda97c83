"""One function combines what a model says of several classes, views and frequencies; guidance is a case of it."""

import pytest
import torch
from helpers.tiny import TINY_ATTRIBUTES, TINY_CLASSES

from ddpm import Guided, make_schedule, reverse_process
from ddpm.compose import Composed, Term, classes, guidance, high, hybrid, illusion, low, upside_down
from ddpm.networks import build_model

SCHED = make_schedule(20, kind="cosine")


@pytest.fixture(scope="module")
def model():
    made = build_model(TINY_CLASSES, 0)
    with torch.no_grad():  # as drawn it says hardly anything of the class
        for p in made.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    return made.eval()


@pytest.fixture
def asked():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 1, 8, 8, generator=generator), torch.tensor([4, 4, 4])


@torch.no_grad()
def test_one_term_is_the_model_itself_to_the_bit(model, asked):
    x, t = asked
    assert torch.equal(Composed(model, [Term(1.0, 7)])(x, t), model(x, t, torch.full_like(t, 7)))
    y = torch.full((3,), 7)
    plain = list(reverse_process(model, SCHED, 3, y=y, num_steps=5, img_size=8))[-1]
    composed = list(reverse_process(Composed(model, [Term(1.0, 7)]), SCHED, 3, y=y, num_steps=5, img_size=8))[-1]
    assert torch.equal(plain.x_t, composed.x_t)


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_guidance_is_a_composition(model, asked, scale):
    x, t = asked
    guided = Guided(model, scale)(x, t, torch.full_like(t, 3))
    assert torch.allclose(Composed(model, guidance(scale, 3))(x, t), guided, atol=1e-5)
    assert not torch.allclose(Composed(model, guidance(scale + 1, 3))(x, t), guided, atol=1e-3)
    assert torch.allclose(Composed(model, classes({3: scale}))(x, t), guided, atol=1e-5)


@torch.no_grad()
def test_two_classes_are_what_each_adds_to_no_class_and_a_negative_one_is_taken_away(model, asked):
    x, t = asked
    none, a, b = (model(x, t, torch.full_like(t, y)) for y in (-1, 2, 5))
    said = Composed(model, classes({2: 1.5, 5: -0.5}))(x, t)
    assert torch.allclose(said, none + 1.5 * (a - none) - 0.5 * (b - none), atol=1e-5)


@torch.no_grad()
def test_an_illusion_turned_is_the_illusion_with_its_classes_changed_over(model, asked):
    x, t = asked
    said = Composed(model, illusion(6, 9, 2.0))(x, t)
    turned = Composed(model, illusion(9, 6, 2.0))(upside_down(x), t)
    assert torch.allclose(upside_down(turned), said, atol=1e-5)
    assert not torch.allclose(said, Composed(model, illusion(9, 6, 2.0))(x, t), atol=1e-3)


@torch.no_grad()
def test_the_parts_of_a_hybrid_are_the_whole(model, asked):
    x, t = asked
    assert torch.allclose(low(x) + high(x), x, atol=1e-6)
    flat = torch.full((1, 2, 9, 9), 0.3)
    assert torch.allclose(low(flat), flat, atol=1e-6)  # of one grey nothing is high
    assert high(x).abs().mean() > low(x).abs().mean()  # of noise most is
    same = Composed(model, hybrid(3, 3, 2.0))(x, t)
    assert torch.allclose(same, Composed(model, guidance(2.0, 3))(x, t), atol=1e-5)
    near, far = (Guided(model, 2.0)(x, t, torch.full_like(t, y)) for y in (3, 8))
    assert torch.allclose(Composed(model, hybrid(3, 8, 2.0))(x, t), high(near) + low(far), atol=1e-5)


@pytest.mark.parametrize(
    "terms", [guidance(3.0, 1), classes({1: 1.0, 2: 2.0, 3: -1.0}), illusion(6, 9, 2.5), hybrid(1, 2, 1.5)]
)
def test_what_is_said_of_eps_holds_for_v(model, asked, terms):
    """The terms are one whole: what all of them see alike, such as the part of x_t in v, comes back unchanged."""
    x, _ = asked
    assert torch.allclose(sum(term.weight * term.part(term.view(term.view(x))) for term in terms), x, atol=1e-5)


def test_no_terms_are_an_error_and_a_call_costs_as_many_evaluations_as_there_are_terms(model):
    with pytest.raises(ValueError, match="at least one"):
        Composed(model, [])
    assert Composed(model, illusion(6, 9, 2.0)).evaluations_at(3) == 4


@torch.no_grad()
def test_each_attribute_is_guided_by_its_own_scale():
    """Liu et al. 2022, Eq. 11, by hand; and a term that says -1 alone asks for nothing of any attribute."""
    made = build_model(TINY_ATTRIBUTES, 0).eval()
    for p in made.parameters():
        p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    x, t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([4, 4])
    null, first, second = (made(x, t, torch.tensor([y, y])) for y in ([-1, -1], [1, -1], [-1, 2]))
    by_hand = null + 2.0 * (first - null) + 0.5 * (second - null)
    assert torch.allclose(Composed(made, classes({(1, -1): 2.0, (-1, 2): 0.5}))(x, t), by_hand, atol=1e-5)
    assert not torch.allclose(null, first, atol=1e-3) and not torch.allclose(null, second, atol=1e-3)
