"""Batch statistics taken anew, latents cut off, running means."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from organza.nets.standing import RunningMeans, standing_statistics, truncated


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.ReLU())


def test_standing_statistics_are_the_plain_average_over_the_passes() -> None:
    net, passes = network(), [(torch.randn(5, 2, 4, 4) * scale,) for scale in (1, 2, 3)]
    maps = [net[0](x).detach() for (x,) in passes]
    with standing_statistics(net, passes):
        assert not any(part.training for part in net.modules())
        mean = torch.stack([x.mean((0, 2, 3)) for x in maps]).mean(0)
        variance = torch.stack([x.var((0, 2, 3)) for x in maps]).mean(0)
        torch.testing.assert_close(net[1].running_mean, mean)
        torch.testing.assert_close(net[1].running_var, variance)


@pytest.mark.parametrize("training", [True, False])
def test_afterwards_the_network_is_as_it_was(training: bool) -> None:
    net = network().train(training)
    net(torch.randn(4, 2, 3, 3))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with standing_statistics(net, [(torch.randn(4, 2, 3, 3),)]):
        assert not torch.equal(net[1].running_mean, before["1.running_mean"])
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert all(part.training == training for part in net.modules())
    assert net[1].momentum == 0.1


def test_a_norm_that_keeps_no_statistics_stays_as_it_is() -> None:
    net, x = network(), torch.randn(4, 2, 3, 3)
    net[1].running_mean = net[1].running_var = None
    with standing_statistics(net, [(x,)]):
        assert not net.training
        maps = net[0](x)
        torch.testing.assert_close(net(x), torch.nn.functional.batch_norm(maps, None, None, training=True).relu())
    assert net[1].running_mean is None


def test_without_passes_the_running_statistics_stay() -> None:
    net = network()
    net(torch.randn(4, 2, 3, 3))
    mean = net[1].running_mean.clone()
    with standing_statistics(net, []):
        assert torch.equal(net[1].running_mean, mean)
        assert not net.training


@pytest.mark.parametrize("truncation", [0.99, 0.5, 0.1])
def test_truncated_latents_have_the_variance_of_the_truncated_normal(truncation: float) -> None:
    torch.manual_seed(0)
    t = 2 * truncation
    x = truncated(torch.randn(200_000), truncation)
    assert float(x.abs().max()) <= t
    density, inside = math.exp(-t * t / 2) / math.sqrt(2 * math.pi), math.erf(t / math.sqrt(2))
    assert float(x.var()) == pytest.approx(1 - 2 * t * density / inside, rel=0.01)
    assert float(x.mean()) == pytest.approx(0, abs=0.01)


def test_truncation_keeps_order_and_sign_and_ends_at_zero() -> None:
    x = torch.tensor([-9.0, -1.0, 0.0, 0.5, 1.0, 9.0])
    cut = truncated(x, 0.5)
    assert (cut.diff() > 0).all()
    torch.testing.assert_close(cut, -truncated(-x, 0.5), atol=1e-6, rtol=0)
    assert not truncated(x, 0.0).any()
    torch.testing.assert_close(truncated(x[1:5], 0.999), x[1:5], atol=0.15, rtol=0)


def test_from_1_on_nothing_is_cut() -> None:
    x = torch.tensor([-9.0, 0.5, 9.0])
    assert torch.equal(truncated(x, 1.0), x)
    assert torch.equal(truncated(x, 1.5), 1.5 * x)


def test_running_means_begin_as_plain_means_and_then_forget() -> None:
    means = RunningMeans("a", "b", decay=0.75)
    assert float(means.mean[0]) == 0
    seen = [4.0, 0.0, 2.0, 6.0]
    for number in seen:
        means.update({"a": torch.tensor(number), "b": torch.tensor(-number), "c": torch.tensor(9.0)})
    assert float(means.mean[0]) == pytest.approx(3)
    means.update({"a": torch.tensor(11.0), "b": torch.tensor(1.0)})
    assert float(means.mean[0]) == pytest.approx(0.75 * 3 + 0.25 * 11)
    assert float(means.mean[1]) == pytest.approx(0.75 * -3 + 0.25 * 1)
    assert set(means.state_dict()) == {"mean", "count"}
