"""Directions against closed forms, and their files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from organza.errors import CheckpointError, UsageError
from organza.latent.directions import (
    Method,
    choose_direction,
    find_directions,
    load_directions,
    pca,
    pca_through,
    reading_layers,
    save_directions,
    sefa,
)
from organza.latent.space import Space, WSpace

Make = Callable[..., Space]


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def assert_parallel(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-6) -> None:
    cosine = torch.nn.functional.cosine_similarity(found.double(), expected.double(), dim=-1).abs()
    torch.testing.assert_close(cosine, torch.ones_like(cosine), atol=tolerance, rtol=0)


def test_sefa_of_a_matrix_is_its_right_singular_vectors() -> None:
    weight = normal(9, 5)
    vectors, shares = sefa([weight[:4], weight[4:]], 5)
    _, values, expected = torch.linalg.svd(weight)
    assert_parallel(vectors, expected)
    torch.testing.assert_close(shares, values.square() / values.square().sum())


def test_pca_finds_a_planted_direction() -> None:
    planted = torch.nn.functional.normalize(normal(1, 6), dim=1)
    points = normal(4000, 6) + 5 * torch.randn(4000, 1, dtype=torch.float64) * planted + 7
    vectors, shares = pca(points, 2)
    assert_parallel(vectors[0], planted[0], 1e-3)
    assert float(shares[0]) == pytest.approx(26 / 31, abs=0.03)


def test_pca_of_activations_comes_back_to_the_latent_that_moves_them() -> None:
    left, right = torch.linalg.qr(normal(50, 4)).Q, torch.linalg.qr(normal(4, 4)).Q
    weight = left @ torch.diag(torch.tensor([9.0, 3.0, 1.0, 0.3], dtype=torch.float64)) @ right.T
    vectors, _ = pca_through(normal(6000, 4), [weight[:20], weight[20:]], 2)
    assert_parallel(vectors, right.T[:2], 1e-2)


def test_the_layer_that_reads_the_latent_of_a_plain_family_is_its_first(space: Make) -> None:
    here = space("dcgan")
    (weight,) = reading_layers(here)
    first = next(module for module in here.network.modules() if isinstance(module, torch.nn.Linear))
    torch.testing.assert_close(weight, first.weight[:, : here.size], atol=1e-4, rtol=1e-4)


def test_all_parts_of_a_latent_that_blocks_share_out_are_found(space: Make) -> None:
    weights = reading_layers(space("biggan"))
    assert len(weights) > 2
    assert bool((torch.cat(weights).abs().sum(0) > 0).all())


def test_codes_that_jump_are_no_part_of_a_direction(space: Make) -> None:
    here = space("infogan")
    vectors = find_directions(here, "sefa", count=2, samples=50).vectors
    assert bool((vectors[:, :4] == 0).all())


def test_in_w_the_styles_of_the_chosen_layers_count(space: Make) -> None:
    here = space("stylegan2")
    assert isinstance(here, WSpace)
    whole, first = reading_layers(here), reading_layers(here, rows=slice(0, 1))
    assert len(whole) > here.styled.num_ws > len(first) == 1
    torch.testing.assert_close(first[0], whole[0])


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_directions_are_of_length_1_and_at_right_angles_in_w_and_come_back_from_the_disk(
    method: Method, space: Make, tmp_path: Path
) -> None:
    here = space("stylegan2")
    found = find_directions(here, method, count=3, name="mine", samples=200, layers=(1, 2))
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(3), atol=1e-5, rtol=0)
    save_directions(found, tmp_path, note={"seed": 0})
    held = load_directions(tmp_path, "mine")
    assert torch.equal(held.vectors, found.vectors)
    assert (held.method, held.space, held.layers) == (method, "w", (1, 2))
    step, rows = choose_direction(tmp_path, "mine:2", here)
    assert float(step.norm()) == pytest.approx(float(found.sigmas[2]))
    point = here.draw(1)
    moved = here.moved(point, step, torch.tensor([2.0]), layers=rows) - point
    torch.testing.assert_close(moved[0, 1:3], 2 * step.expand(2, -1), atol=1e-5, rtol=1e-5)
    assert not moved[0, [0, *range(3, point.shape[1])]].any()


def test_a_deviation_in_z_is_1(space: Make) -> None:
    found = find_directions(space("dcgan"), "pca", count=4, samples=3000)
    torch.testing.assert_close(found.sigmas, torch.ones(4), atol=0.05, rtol=0)


def test_what_cannot_be_found_or_used_is_refused(space: Make, tmp_path: Path) -> None:
    here = space("dcgan")
    with pytest.raises(UsageError, match="from 1 to 8"):
        find_directions(here, "sefa", count=9, samples=20)
    with pytest.raises(UsageError, match="layers can be chosen in W alone"):
        find_directions(here, "sefa", count=1, samples=20, layers=(0, 1))
    with pytest.raises(UsageError, match="a name has letters"):
        find_directions(here, "sefa", count=1, samples=20, name="../up")
    found = find_directions(here, "sefa", count=2, samples=20)
    path = save_directions(found, tmp_path, note={})
    with pytest.raises(UsageError, match=r"there: sefa"):
        load_directions(tmp_path, "pca")
    with pytest.raises(UsageError, match="sefa:0 to sefa:1"):
        choose_direction(tmp_path, "sefa:2", here)
    save_directions(replace(found, name="other", space="w"), tmp_path, note={})
    with pytest.raises(UsageError, match="--space w"):
        choose_direction(tmp_path, "other", here)
    path.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="find them again"):
        load_directions(tmp_path, "sefa")
