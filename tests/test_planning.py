from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from organza.cli.__main__ import main
from organza.data import DataOptions
from organza.planning import estimate, pace_of, shortened
from organza.recipe import Recipe, find
from organza.settings import RunSettings

PEAK = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    "print('\\npeak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
)
"""A small process starts the one that is measured: Linux lets it begin with the count of its parent."""


INTERRUPTED = """
class Slow(VanillaGAN):
    def build(self, data):
        game, file = super().build(data), Path(__file__)

        def loss(batch, clock):
            signal.raise_signal({number})
            file.with_name("went on").touch()
            return game.turns[0].loss(batch, clock)

        return replace(game, turns=[replace(game.turns[0], loss=loss), *game.turns[1:]])
"""


def slow(folder: Path, number: int = signal.SIGINT) -> Recipe:
    """A recipe during the first step of which a signal comes; it leaves a file behind if it is let go on."""
    text = "import signal\nfrom dataclasses import replace\nfrom pathlib import Path\n"
    text += "from organza.recipes.vanilla import VanillaGAN\n" + INTERRUPTED.format(number=int(number))
    (folder / "slow.py").write_text(text)
    return find(str(folder / "slow.py")).recipe


def told(*arguments: str) -> dict[str, float]:
    """The numbers that `organza ARGUMENTS` prints, by the word before them, and its `peak` in MiB."""
    command = [sys.executable, "-c", PEAK, sys.executable, "-m", "organza", *arguments]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: float(value.replace(",", "")) for name, value in re.findall(r"(?m)^(\w+) +([\d,]+)", text)}


def test_a_plan_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aside, here = tmp_path / "aside", tmp_path / "here"
    aside.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr("tempfile.tempdir", str(aside))
    settings = RunSettings(device="cpu", samples=1_000_000)
    lines = list(estimate(find("wgan:tiny").recipe, data="ring8", settings=settings, options=DataOptions()))
    assert lines[-1].endswith("for 1,000,000 samples")
    assert not [*aside.glob("organza*"), *here.iterdir()]


def test_what_is_known_at_once_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    lines = estimate(slow(tmp_path), data="ring8", settings=RunSettings(device="cpu"), options=DataOptions())
    told = [next(lines) for _ in range(4)]
    assert told[0].startswith("data ")
    assert all(re.fullmatch(r"(generator|critic) +[\d,]+ parameters.*", line) for line in told[1:3])
    assert told[3] == f"measuring 8 steps of {tmp_path / 'slow.py'} on ring8 ..."
    with pytest.raises(KeyboardInterrupt):
        next(lines)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_ends_a_plan_within_its_step(
    number: signal.Signals, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    slow(tmp_path, number)
    before = signal.getsignal(number)
    assert main(["plan", str(tmp_path / "slow.py"), "--data", "ring8", "--device", "cpu"]) == code
    told = capsys.readouterr()
    assert "measuring" in told.out
    assert "pace" not in told.out
    assert "after this step" not in told.err
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["slow.py"]
    assert signal.getsignal(number) is before


def test_nobody_hears_of_a_plan_and_no_doctor_interferes(tmp_path: Path) -> None:
    asked = RunSettings(minutes=3, doctor="treat", webhook="https://example.org", track="wandb", evaluate_every=10)  # pyright: ignore[reportArgumentType]
    trial = shortened(asked, drawn=64, folder=tmp_path)
    assert (trial.webhook, trial.track, trial.doctor, trial.minutes) == (None, (), "warn", None)
    assert trial.evaluate_every == trial.samples
    assert shortened(RunSettings(doctor="off"), drawn=64, folder=tmp_path).doctor == "off"


def test_the_pace_is_that_of_steps_without_an_examination() -> None:
    # Ten samples a second, but for the first step and those that reach 40 and 80 samples.
    seconds = [7, 1, 1, 9, 1, 1, 1, 9]
    seen = [(10 * step, float(sum(seconds[:step]))) for step in range(1, 9)]
    assert pace_of(seen, examined=40) == pytest.approx(10)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other ways")
@pytest.mark.parametrize(
    ("recipe", "tolerance"),
    [
        (["vanilla:tiny", "--generator-widths", "1024", "--critic-widths", "1024"], 0.15),  # weights and their moments
        (["dcgan"], 0.15),  # activations
        # A growing network leaves gaps of all sizes in the heap: repeats of one command differ by a tenth.
        (["progan:tiny", "--width", "16", "--batch", "256"], 0.3),
    ],
    ids=["vanilla", "dcgan", "progan"],
)
def test_the_memory_that_is_planned_is_that_of_a_run(recipe: list[str], tolerance: float, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(256, size=(600, 64, 64, 3), dtype=np.uint8)
    np.savez(tmp_path / "noise.npz", images=images, labels=np.arange(600) % 3)
    given = [*recipe, "--data", str(tmp_path / "noise.npz"), "--device", "cpu"]
    planned = told("plan", *given)["memory"]
    found = told("train", *given, "--samples", "1500", "--run", str(tmp_path / "run"))["peak"]
    assert found > 500  # the imports alone take about 300
    assert planned == pytest.approx(found, rel=tolerance)
