"""Every family's latents can be walked through, with gradients; what a family cannot do it says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from organza.data.source import encode
from organza.data.spec import ImageSpec, VectorSpec
from organza.errors import UsageError
from organza.game import Request
from organza.latent.paths import class_frames
from organza.latent.space import Space, WSpace, ZSpace, between_classes, space_of
from organza.recipe import find
from organza.recipes import RECIPES

Make = Callable[..., Space]
FAMILIES = [name for name, recipe in RECIPES.items() if ImageSpec in recipe.accepts and hasattr(recipe, "latent")]
every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_drawn_points_make_the_images_that_generate_makes(family: str, space: Make) -> None:
    here = space(family)
    labels = here.labels(3, seed=5)
    made = here.game.generate(Request(3, seed=5, labels=labels))["image"]
    points = here.draw(3, seed=5, labels=labels)
    np.testing.assert_array_equal(here.pictures(points, labels), encode(made, here.spec))


@every_family
def test_images_have_a_gradient_in_the_points_that_finite_differences_confirm(family: str, space: Make) -> None:
    here = space(family)
    labels = here.labels(2, seed=1)
    points = here.draw(2, seed=1, labels=labels).clone().requires_grad_()
    weight = torch.randn(here.spec.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((here.images(points, labels) * weight).sum(), points)
    assert all(parameter.grad is None for parameter in here.network.parameters())
    step = 1e-3 * gradient / gradient.norm()
    with torch.no_grad():
        ends = [(here.images(points + sign * step, labels) * weight).sum() for sign in (1, -1)]
    assert float(ends[0] - ends[1]) / 2e-3 == pytest.approx(float(gradient.norm()), rel=0.05)


@every_family
def test_the_ends_of_a_mix_of_classes_are_the_classes_or_the_family_says_why_not(family: str, space: Make) -> None:
    here = space(family)
    if not here.num_classes:
        with pytest.raises(UsageError, match="without labels"):
            class_frames(here, 2, here=0, there=1, shares=[0, 1])
        return
    for module in here.network.modules():
        if isinstance(module, torch.nn.Embedding):  # some begin with classes that are all alike
            torch.nn.init.normal_(module.weight)
    frames = class_frames(here, 2, here=0, there=1, shares=[0, 0.5, 1], seed=3)
    for frame, label in ((frames[0], 0), (frames[2], 1)):
        told = here.labels(2, label=label)
        np.testing.assert_array_equal(frame, here.pictures(here.draw(2, seed=3, labels=told), told))
    assert (frames[0] != frames[2]).any()


def test_mixing_leaves_the_embeddings_as_they_were(space: Make) -> None:
    here = space("dcgan")
    before = {key: value.clone() for key, value in here.network.state_dict().items()}
    with between_classes(here, 0, 1, [0.5]) as mixed:
        assert mixed.tolist() == [2]
    assert all(torch.equal(value, before[key]) for key, value in here.network.state_dict().items())


def test_classes_that_enter_as_one_hot_codes_cannot_be_mixed() -> None:
    spec = ImageSpec(channels=1, height=8, width=8, classes=("a", "b"))

    class OneHot(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(5, 64)

        def forward(self, latent: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            code = torch.nn.functional.one_hot(label, 2).to(latent)
            return self.layer(torch.cat([latent, code], dim=1)).view(-1, 1, 8, 8).tanh()

    recipe = find("dcgan:tiny").recipe
    game = recipe.build(spec)
    game.players["generator"].averaged = OneHot()
    with pytest.raises(UsageError, match=r"whole labels alone \(OneHot has no embedding"):
        class_frames(ZSpace(game, spec, 3, 2), 1, here=0, there=1, shares=[0.5])


def test_w_is_the_default_where_there_is_one_and_refused_where_there_is_none(space: Make) -> None:
    assert isinstance(space("stylegan2"), WSpace)
    assert isinstance(space("stylegan2", "z"), ZSpace)
    assert isinstance(space("dcgan"), ZSpace)
    with pytest.raises(UsageError, match="has no W"):
        space("dcgan", "w")


def test_gradients_in_z_reach_the_latents_of_a_family_with_a_w_too(space: Make) -> None:
    here = space("stylegan2", "z")
    points = here.draw(1).requires_grad_()
    here.images(points, here.labels(1)).sum().backward()
    assert points.grad is not None
    assert points.grad.abs().max() > 0


def test_gradients_in_z_of_a_family_that_keeps_them_to_itself_are_refused(space: Make) -> None:
    here = space("dcgan", "z")
    made_by = here.game.generate
    here.game.generate = torch.no_grad()(made_by)
    with pytest.raises(UsageError, match="no gradient in z; choose --space w"):
        here.images(here.draw(1).requires_grad_(), here.labels(1))


def test_points_of_the_plane_are_no_pictures() -> None:
    spec = VectorSpec(size=2)
    recipe = find("vanilla:tiny").recipe
    with pytest.raises(UsageError, match="only generators of images"):
        space_of(recipe.build(spec), spec, 8)


def test_drawn_points_lie_at_the_typical_distance(space: Make) -> None:
    for family in ("dcgan", "stylegan2"):
        here = space(family)
        labels = here.labels(200, label=1)
        assert float(here.distance(here.draw(200, seed=9, labels=labels), labels).square().mean()) == pytest.approx(
            1, abs=0.15
        )
