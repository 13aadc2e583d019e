"""Augmentations: nothing at strength 0, known results at known noise, gradients to second order, a controller."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from organza.augment import GROUPS, Augment, Resample, hue_turned, move
from organza.data.spec import ImageSpec, VectorSpec
from organza.errors import UsageError
from organza.game import Clock
from organza.schedules import constant, linear

ALL = ("geometry", "color", "hue", "invert", "cutout")


def of(channels: int, height: int, width: int) -> ImageSpec:
    return ImageSpec(channels=channels, height=height, width=width)


SPECS = [of(1, 9, 12), of(3, 8, 8), of(4, 12, 7), of(5, 8, 8)]


def pipe(data: ImageSpec, *names: str, share: float = 1.0, target: float = 0.0) -> Augment:
    return Augment(data, names, share=constant(share), target=target)  # pyright: ignore[reportArgumentType]


def images(data: ImageSpec, count: int = 6) -> Tensor:
    torch.manual_seed(3)
    return 2 * torch.rand(count, *data.shape) - 1


@pytest.mark.parametrize("data", SPECS, ids=str)
def test_at_share_zero_nothing_changes_and_at_share_one_everything_does(data: ImageSpec) -> None:
    x = images(data)
    still, busy = pipe(data, *ALL, share=0.0), pipe(data, *ALL)
    noise = still.draw(6)
    assert torch.equal(still(x, noise, Clock()), x)
    changed = busy(x, noise, Clock())
    assert changed.shape == x.shape
    assert not any(torch.equal(a, b) for a, b in zip(changed, x, strict=True))


def test_an_empty_pipe_draws_nothing_and_takes_points_too() -> None:
    empty = Augment(VectorSpec(), (), share=constant(1.0))
    x = torch.randn(4, 2)
    assert empty.draw(4) == {}
    assert empty(x, {}, Clock()) is x
    with pytest.raises(UsageError, match="this data holds vector data"):
        Augment(VectorSpec(), ("flip",), share=constant(1.0))


def test_an_empty_pipe_loads_what_runs_without_one_saved_and_others_do_not() -> None:
    empty, full = pipe(SPECS[0]), pipe(SPECS[0], "flip")
    empty.load_state_dict({})
    empty.load_state_dict(full.state_dict())
    with pytest.raises(RuntimeError, match="strength"):
        full.load_state_dict({})


def test_groups_stand_for_their_members() -> None:
    assert pipe(SPECS[0], "color", "contrast", "flip").names == (*GROUPS["color"], "flip")


@pytest.mark.parametrize(
    ("name", "u", "expected"),
    [
        ("flip", 0.2, lambda x: x.flip(3)),
        ("flip", 0.7, lambda x: x),
        ("rotate90", 0.30, lambda x: x.rot90(1, (2, 3))),
        ("rotate90", 0.55, lambda x: x.flip(2, 3)),
        ("rotate", 0.75, lambda x: x.rot90(1, (2, 3))),
        ("scale", 0.5, lambda x: x),
        ("stretch", 0.5, lambda x: x),
    ],
)
def test_moves_are_the_exact_ones(name: str, u: float, expected: Callable[[Tensor], Tensor]) -> None:
    data = of(2, 8, 8)
    x, value = images(data), torch.full((6,), u)
    moved = move(x, {name: (torch.ones(6, dtype=torch.bool), value, value)})
    assert torch.allclose(moved, expected(x), atol=1e-5)


def test_translation_moves_whole_pixels_and_reflects_at_the_border() -> None:
    data = of(1, 16, 16)
    x, one = images(data, 1), torch.ones(1)
    moved = move(x, {"translation": (one.bool(), one, one * 0.5)})  # two pixels across, none down
    assert torch.allclose(moved[..., :-2], x[..., 2:], atol=1e-6)
    assert torch.allclose(moved[..., -2:], x[..., -2:].flip(3), atol=1e-6)


def test_colors_follow_their_formulas() -> None:
    data = of(4, 4, 4)
    x = images(data)
    color, alpha = x[:, :3], x[:, 3:]

    def changed(name: str, u: float) -> Tensor:
        noise = torch.tensor([[0.0, u, 0.5]] * 6)
        out = pipe(data, name)(x, {"augment": noise}, Clock())
        assert torch.equal(out[:, 3:], alpha)
        return out[:, :3]

    assert torch.allclose(changed("brightness", 0.9), color + 0.4)
    assert torch.allclose(changed("saturation", 0.0), color.mean(1, keepdim=True).expand_as(color))
    assert torch.allclose(changed("saturation", 0.5), color, atol=1e-6)
    assert torch.allclose(changed("contrast", 0.5), color, atol=1e-6)
    assert torch.allclose(changed("contrast", 0.0).std((1, 2, 3)), color.std((1, 2, 3)) / 2)
    assert torch.allclose(changed("invert", 0.1).mean(1), -color.mean(1), atol=1e-6)
    third = torch.full((6, 1, 1, 1), 2 * math.pi / 3)
    turned = hue_turned(color, third)
    assert torch.allclose(turned, color.roll(1, dims=1), atol=1e-5) or torch.allclose(
        turned, color.roll(-1, dims=1), atol=1e-5
    )


def test_cutout_leaves_a_hole_of_a_quarter_of_the_area() -> None:
    data = of(1, 16, 12)
    out = pipe(data, "cutout")(torch.ones(1, 1, 16, 12), {"augment": torch.tensor([[0.0, 0.5, 0.5]])}, Clock())
    assert int((out == 0).sum()) == 16 * 12 // 4


def test_resampling_is_that_of_torch_with_gradients_to_second_order() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    grid = (2.4 * torch.rand(2, 4, 5, 2, dtype=torch.float64) - 1.2).requires_grad_(False)
    reference = torch.nn.functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    assert torch.allclose(Resample.apply(x, grid), reference)
    assert torch.autograd.gradcheck(lambda x: Resample.apply(x, grid), (x,))
    assert torch.autograd.gradgradcheck(lambda x: Resample.apply(x, grid).square(), (x,))


@pytest.mark.parametrize("data", SPECS, ids=str)
def test_a_penalty_at_the_image_before_the_pipe_has_a_gradient(data: ImageSpec) -> None:
    augment, weight = pipe(data, *ALL, share=0.8), torch.randn(data.shape, requires_grad=True)
    x, noise = images(data).requires_grad_(True), augment.draw(6)
    score = (augment(x, noise, Clock()).tanh() * weight).sum()
    (gradient,) = torch.autograd.grad(score, x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), weight)
    assert float(second.norm()) > 0


def test_parts_of_a_batch_are_changed_as_the_whole() -> None:
    data = SPECS[1]
    augment, x = pipe(data, *ALL, share=0.7), images(data, 8)
    noise = augment.draw(8)["augment"]
    whole = augment(x, {"augment": noise}, Clock())
    parts = [augment(x[i : i + 3], {"augment": noise[i : i + 3]}, Clock()) for i in (0, 3, 6)]
    assert torch.allclose(whole, torch.cat(parts), atol=1e-6)


def test_both_sides_of_a_pair_are_changed_alike_and_pseudo_replaces_real_images() -> None:
    data = SPECS[0]
    augment, x = pipe(data, "geometry", share=1.0), images(data)
    noise = augment.draw(6)
    real, fake = augment.pair(x, x.clone(), noise, Clock())
    assert torch.equal(real, fake)
    pseudo = pipe(data, "pseudo", share=0.5)
    acts = torch.tensor([0.1, 0.9, 0.4, 0.6, 0.49, 0.51])
    noise = {"augment": torch.stack([acts, acts, acts], dim=1)}
    real, fake = pseudo.pair(x, -x, noise, Clock())
    assert torch.equal(real, torch.where((acts < 0.5)[:, None, None, None], -x, x))
    assert torch.equal(fake, -x)


def test_a_share_can_follow_the_clock() -> None:
    data = SPECS[0]
    augment, x = Augment(data, ("invert",), share=linear(0.0, 1.0)), torch.ones(1000, *data.shape)
    noise = augment.draw(1000)
    changed = [float((augment(x, noise, Clock(progress=p)) < 0).float().mean()) for p in (0.0, 0.5, 1.0)]
    assert changed[0] == 0
    assert changed[1] == pytest.approx(0.25, abs=0.05)  # half of those that it acts on are inverted
    assert changed[2] == pytest.approx(0.5, abs=0.05)


def test_the_controller_answers_the_critics_confidence_within_its_limits() -> None:
    augment = Augment(SPECS[0], ("flip",), share=constant(0.3), target=0.6, horizon=1000)
    after = augment.adapt(samples=50)
    assert after is not None
    assert augment.probability(Clock()) == 0

    def hear(sign: float, times: int) -> float:
        for _ in range(times):
            watched = augment.watch(torch.full((8,), sign), Clock())
            after({name: value.mean() for name, value in watched.items()})
        return float(augment.probability(Clock()))

    assert hear(1.0, 4) == pytest.approx(0.2)
    assert hear(1.0, 100) == pytest.approx(0.3)  # the upper limit
    assert hear(-1.0, 7) < 0.15  # and it comes down from there at once
    assert hear(-1.0, 40) == 0
    assert pipe(SPECS[0], "flip").adapt(samples=1) is None


def test_under_bf16_coordinates_keep_their_digits_and_gradients_pass() -> None:
    data = of(1, 8, 8)
    augment, x = pipe(data, "geometry", "color"), images(data)
    noise, plain = augment.draw(6), None
    for enabled in (False, True):
        changed = x.clone().requires_grad_(True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            made = augment(changed, noise, Clock())
        made.square().sum().backward()
        plain = made.detach() if plain is None else plain
        assert torch.allclose(made.detach().float(), plain, atol=1e-5)
        assert changed.grad is not None
