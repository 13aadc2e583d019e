"""Growing networks: what a level shows, how one fades into the next, for images of any size."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from organza.data.spec import ImageSpec
from organza.nets.conv import base_size, halvings
from organza.nets.growing import (
    GrowingCritic,
    GrowingGenerator,
    Narrowing,
    Widening,
    enlarge,
    halve,
    shown,
    sizes,
    stage_and_share,
)

SHAPES = [(1, 28, 28), (3, 97, 131), (4, 21, 37), (2, 8, 8), (1, 5, 64), (1, 32, 32), (1, 1, 1)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=["x".join(map(str, shape)) for shape in SHAPES])
LEVELS = (0.0, 0.3, 1.0)


def spec(shape: tuple[int, int, int]) -> ImageSpec:
    return ImageSpec(channels=shape[0], height=shape[1], width=shape[2])


def generator(shape: tuple[int, int, int], *, num_classes: int = 0, depth: int = 1) -> GrowingGenerator:
    torch.manual_seed(0)
    return GrowingGenerator(
        spec(shape), latent=5, width=4, widest=8, depth=depth, num_classes=num_classes, embedding=3, last=nn.Identity()
    )


def critic(shape: tuple[int, int, int], *, num_classes: int = 0, depth: int = 1, group: int = 0) -> GrowingCritic:
    torch.manual_seed(1)
    return GrowingCritic(spec(shape), width=4, widest=8, depth=depth, group=group, num_classes=num_classes)


@shapes
def test_sizes_go_from_the_smallest_map_to_the_image_in_halves_rounded_up(shape: tuple[int, int, int]) -> None:
    found = sizes(spec(shape))
    assert found[0] == base_size(spec(shape))
    assert found[-1] == shape[1:]
    assert len(found) == halvings(spec(shape)) + 1
    for small, large in pairwise(found):
        assert small == tuple(-(-side // 2) for side in large)


@shapes
@pytest.mark.parametrize("depth", [1, 2])
def test_images_of_any_size_are_made_and_judged_at_every_level(shape: tuple[int, int, int], depth: int) -> None:
    g, c, found = generator(shape, depth=depth), critic(shape, depth=depth, group=2), sizes(spec(shape))
    real = torch.rand(4, *shape)
    for level in (*LEVELS, len(found) - 1.5, len(found) - 1.0):
        size = found[stage_and_share(level)[0]]
        fake = g(torch.randn(4, 5), level=level)
        assert fake.shape == shown(real, level, levels=len(found)).shape == (4, shape[0], *size)
        assert c(fake, level=level).shape == (4,)
    assert g(torch.randn(4, 5)).shape == (4, *shape)


def test_a_level_is_a_size_and_the_share_of_its_fade() -> None:
    assert stage_and_share(0.0) == (0, 1)
    assert stage_and_share(2.0) == (2, 1)
    assert stage_and_share(2.3) == (3, pytest.approx(0.3))


@pytest.mark.parametrize("size", [(6, 4), (7, 3)])
def test_the_double_size_layers_are_the_plain_steps_in_one(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size)
    wide = Widening(3, 5, (2 * size[0], 2 * size[1] - 1))
    kernel, bias = wide.convolution.weight * wide.convolution.scale, wide.convolution.bias
    plain = conv2d(enlarge(x, (2 * size[0], 2 * size[1])), kernel, bias, padding=1)
    torch.testing.assert_close(wide(x), plain[..., :-1])
    narrow = Narrowing(3, 5)
    kernel, bias = narrow.convolution.weight * narrow.convolution.scale, narrow.convolution.bias
    even = x[..., : size[0] // 2 * 2, : size[1] // 2 * 2]
    torch.testing.assert_close(narrow(even), halve(conv2d(even, kernel, bias, padding=1)))
    assert narrow(x).shape == (2, 5, *(-(-side // 2) for side in size))


@shapes
@pytest.mark.parametrize("share", [0.25, 0.9])
def test_a_fade_mixes_the_images_of_two_levels_alike_for_real_and_fake(
    shape: tuple[int, int, int], share: float
) -> None:
    g, latent, real, count = generator(shape), torch.randn(3, 5), torch.rand(3, *shape), halvings(spec(shape)) + 1

    def mixed(old: Tensor, new: Tensor) -> Tensor:
        return (1 - share) * enlarge(old, (new.shape[2], new.shape[3])) + share * new

    for level in range(count - 1):
        fakes = [g(latent, level=float(at)) for at in (level, level + 1)]
        torch.testing.assert_close(g(latent, level=level + share), mixed(*fakes))
        reals = [shown(real, float(at), levels=count) for at in (level, level + 1)]
        torch.testing.assert_close(shown(real, level + share, levels=count), mixed(*reals))


def test_reals_at_a_level_are_means_of_squares() -> None:
    real = torch.rand(2, 3, 32, 16)
    torch.testing.assert_close(shown(real, 0.0, levels=3), real.unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5)))
    assert shown(real, 2.0, levels=3) is real
    odd = torch.arange(15.0).view(1, 1, 3, 5)  # its last row and column count twice
    assert halve(odd)[0, 0, 1].tolist() == [10.5, 12.5, 14.0]


@shapes
def test_the_critic_has_no_jump_where_a_level_begins_and_ends(shape: tuple[int, int, int]) -> None:
    c, count = critic(shape), halvings(spec(shape)) + 1
    for level in range(count - 1):
        image = torch.randn(3, shape[0], *sizes(spec(shape))[level + 1])
        begun, ended = c(image, level=level + 1e-5), c(image, level=level + 1 - 1e-5)
        torch.testing.assert_close(begun, c(halve(image), level=float(level)), rtol=0, atol=1e-3)
        torch.testing.assert_close(ended, c(image, level=level + 1.0), rtol=0, atol=1e-3)


def test_parts_of_levels_to_come_get_no_gradient() -> None:
    shape = (1, 28, 28)
    g, c = generator(shape), critic(shape)
    c(g(torch.randn(2, 5), level=0.5), level=0.5).sum().backward()
    silent = [name for net in (g, c) for name, parameter in net.named_parameters() if parameter.grad is None]
    assert {name.split(".")[1] for name in silent} == {"2"}  # blocks and image layers of the third size
    c(g(torch.randn(2, 5), level=1.5), level=1.5).sum().backward()
    assert not [name for net in (g, c) for name, parameter in net.named_parameters() if parameter.grad is None]


@shapes
def test_by_itself_the_generator_makes_its_own_level_in_full_size(shape: tuple[int, int, int]) -> None:
    g, latent, found = generator(shape), torch.randn(2, 5), sizes(spec(shape))
    for level in (0.0, 0.6, len(found) - 1.0):
        assert g.grow(level) == pytest.approx(level)
        image = g(latent, level=float(g.level))
        factor = 2 ** (len(found) - 1 - stage_and_share(level)[0])
        torch.testing.assert_close(g(latent), enlarge(image, shape[1:], factor=factor))
    other = generator(shape)
    other.load_state_dict(g.state_dict())
    assert torch.equal(other(latent), g(latent))


def test_a_level_once_reached_is_kept() -> None:
    g = generator((1, 28, 28))
    assert [g.grow(level) for level in (0.5, 1.5, 0.25)] == [0.5, 1.5, 1.5]


def test_labels_change_images_and_scores_and_every_class_its_own_way() -> None:
    shape, latent, label = (1, 8, 8), torch.randn(1, 5).repeat(3, 1), torch.arange(3)
    g, c = generator(shape, num_classes=3), critic(shape, num_classes=3)
    images = g(latent, label, level=1.0)
    assert len({tuple(image.flatten().tolist()) for image in images}) == 3
    same = images[:1].repeat(3, 1, 1, 1)
    assert len(set(c(same, label, level=1.0).tolist())) == 3


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_deviation_couples_samples_of_a_set_and_no_others(depth: int) -> None:
    shape = (1, 28, 28)
    c, real, fake = critic(shape, group=4, depth=depth), torch.rand(6, *shape), torch.rand(6, *shape)
    scores = c(torch.cat([real, fake]), level=2.0, sets=2)
    torch.testing.assert_close(scores, torch.cat([c(real, level=2.0), c(fake, level=2.0)]))
    assert not torch.allclose(scores[:1], c(real[:1], level=2.0))
    alone = critic(shape, group=0, depth=depth)
    torch.testing.assert_close(alone(real, level=2.0)[:1], alone(real[:1], level=2.0))


def test_scores_keep_float32_under_autocast() -> None:
    c = critic((1, 8, 8), num_classes=2, group=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert c(torch.randn(2, 1, 8, 8), torch.tensor([0, 1]), level=0.5 + 0.5).dtype == torch.float32
