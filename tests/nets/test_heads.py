"""Critics that are told labels or read them, and InfoGAN's codes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, one_hot

from organza.data.spec import ImageSpec, Spec, VectorSpec
from organza.nets.heads import Codes, LabelledCritic, ReadingCritic
from organza.nets.layers import Norm

DATA = [ImageSpec(channels=3, height=13, width=18), ImageSpec(channels=1, height=28, width=28), VectorSpec(size=2)]
data = pytest.mark.parametrize("spec", DATA, ids=["13x18", "28x28", "points"])
norms = pytest.mark.parametrize("norm", ["none", "batch", "instance", "layer", "spectral"])
ways = pytest.mark.parametrize("labels", ["concatenate", "project"])


def samples(spec: Spec, count: int = 4) -> Tensor:
    return torch.randn(count, *spec.shape, generator=torch.Generator().manual_seed(0))


@data
@ways
@norms
def test_a_critic_that_is_told_the_class_scores_it_and_all_its_weights_take_part(
    spec: Spec, labels: str, norm: Norm
) -> None:
    critic = LabelledCritic(spec, width=4, num_classes=3, norm=norm, labels=labels)
    score = critic(samples(spec), torch.tensor([0, 1, 2, 0]))
    assert score.shape == (4,)
    score.square().sum().backward()
    assert not [name for name, parameter in critic.named_parameters() if parameter.grad is None]


def test_what_is_looked_up_is_what_a_convolution_makes_of_one_hot_planes() -> None:
    spec, label = DATA[1], torch.tensor([2, 0, 1, 2])
    critic = LabelledCritic(spec, width=4, num_classes=3, norm="none", labels="concatenate")
    images, convolution = samples(spec), critic.first[1]
    planes = one_hot(label, 3).float()[:, :, None, None].expand(-1, -1, 28, 28)
    taps = critic.embed.weight.T[:, :, None, None].expand(-1, -1, 4, 4) / 16  # any taps with that sum
    weight = torch.cat([convolution.weight, taps], dim=1)
    expected = conv2d(torch.cat([images, planes], dim=1), weight, convolution.bias, stride=2, padding=1)
    found = critic.first(images) + critic.embed(label)[:, :, None, None]
    inside = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(found[inside], expected[inside])


@data
def test_projection_adds_the_inner_product_of_features_and_label(spec: Spec) -> None:
    critic, x = LabelledCritic(spec, width=4, num_classes=3, norm="none", labels="project"), samples(spec)
    features = critic.rest(critic.first(x))
    for label in range(3):
        whole = critic(x, torch.full((4,), label))
        torch.testing.assert_close(whole, critic.head(features).squeeze(1) + features @ critic.embed.weight[label])


@data
@norms
@pytest.mark.parametrize("hidden", [0, 5])
def test_a_reading_critic_has_two_heads_on_one_trunk(spec: Spec, norm: Norm, hidden: int) -> None:
    critic = ReadingCritic(spec, width=4, outputs=6, hidden=hidden, norm=norm)
    score, reading = critic(samples(spec))
    assert (score.shape, reading.shape) == ((4,), (4, 6))
    trunk = list(critic.trunk.parameters())
    of_score = torch.autograd.grad(score.sum(), trunk, retain_graph=True)
    of_reading = torch.autograd.grad(reading.square().sum(), trunk)
    assert all(torch.isfinite(gradient).all() for gradient in (*of_score, *of_reading))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert {part.dtype for part in critic(samples(spec))} == {torch.float32}


def test_codes_are_one_hot_uniform_and_normal() -> None:
    count, codes = 20_000, Codes((4, 3), 2)
    normal = torch.randn(count, 12, generator=torch.Generator().manual_seed(1))
    made = codes(normal)
    assert codes.size == 9
    for start, values in ((0, 4), (4, 3)):
        part = made[:, start : start + values]
        assert torch.equal(part.sum(1), torch.ones(count))
        share = 1 / values
        assert (part.mean(0) - share).abs().max() < 4 * math.sqrt(share * (1 - share) / count)
    ranks = torch.linspace(-1, 1, count)
    for column in made[:, 7:9].T:  # Kolmogorov and Smirnov: 1.95 / sqrt(N) is passed once in a thousand draws
        assert (column.sort().values - ranks).abs().max() / 2 < 1.95 / math.sqrt(count)
    assert torch.equal(made[:, 9:], normal[:, 9:])


def test_truncated_latents_keep_their_categories_and_have_milder_codes() -> None:
    codes, normal = Codes((5,), 2), torch.randn(50, 9)
    whole, half = codes(normal), codes(0.5 * normal)
    assert torch.equal(whole[:, :5], half[:, :5])
    assert (half[:, 5:7].abs() < whole[:, 5:7].abs()).all()
    assert torch.equal(half[:, 7:], 0.5 * normal[:, 7:])


def test_misreading_is_cross_entropy_and_half_the_squared_error() -> None:
    codes = Codes((4, 3), 2)
    made, reading = codes(torch.randn(6, 12)), torch.randn(6, 9)
    found = codes.misread(reading, made)
    first, second = (cross_entropy(reading[:, a:b], made[:, a:b].argmax(1)) for a, b in ((0, 4), (4, 7)))
    torch.testing.assert_close(found["categorical"], first + second)
    torch.testing.assert_close(found["continuous"], (reading[:, 7:].tanh() - made[:, 7:9]).square().sum(1).mean() / 2)


def test_whoever_guesses_misreads_ln_k_and_a_sixth_and_whoever_knows_nothing() -> None:
    codes = Codes((4,), 2)
    made = codes(torch.randn(50_000, 6, generator=torch.Generator().manual_seed(0)))
    guessed = codes.misread(torch.zeros(50_000, 6), made)
    assert float(guessed["categorical"]) == pytest.approx(math.log(4))
    assert float(guessed["continuous"]) == pytest.approx(2 / 6, abs=0.005)
    known = codes.misread(torch.cat([1e3 * made[:, :4], made[:, 4:].atanh()], dim=1), made)
    assert [float(value) for value in known.values()] == pytest.approx([0, 0], abs=1e-6)
    assert set(Codes((), 1).misread(made[:, 4:5], made[:, 4:])) == {"continuous"}
    assert set(Codes((4,), 0).misread(made[:, :4], made)) == {"categorical"}


def test_along_a_sweep_one_code_changes_and_nothing_else() -> None:
    codes, normal = Codes((3, 2), 2), torch.randn(4, 10)
    sweeps = codes.sweeps(normal, columns=5)
    places = {"categorical-1": slice(0, 3), "categorical-2": slice(3, 5), "continuous-1": slice(5, 6)}
    assert set(sweeps) == {*places, "continuous-2"}
    for name, place in places.items():
        sweep = sweeps[name]
        assert sweep.shape == (4, 5, 10)
        rest = torch.ones(10, dtype=torch.bool)
        rest[place] = False
        assert torch.equal(sweep[:, :, rest], sweep[:, :1, rest].expand(-1, 5, -1))
        assert torch.equal(sweep[:1, :, place].expand(4, -1, -1), sweep[:, :, place])
    assert torch.equal(sweeps["categorical-1"][0, :, :3].argmax(1), torch.arange(5) % 3)
    assert torch.equal(sweeps["continuous-1"][2, :, 5], torch.linspace(-2, 2, 5))
    assert torch.equal(sweeps["continuous-1"][:, 0, :3].argmax(1), torch.arange(4) % 3)
    assert torch.equal(sweeps["continuous-2"][:, 0, 7:], normal[:, 7:])
