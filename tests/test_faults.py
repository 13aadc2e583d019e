"""Nothing is lost: killed writers, signals in every phase, a disk that is full."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from organza import checkpoint

HERE = Path(__file__).parent
TRAIN = [
    sys.executable,
    "-m",
    "organza",
    "train",
    "vanilla:tiny",
    "--data",
    "ring8",
    "--device",
    "cpu",
    "--doctor",
    "off",
]


def test_a_writer_that_is_killed_twenty_times_leaves_a_whole_checkpoint_each_time(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    script = [sys.executable, str(HERE / "kill_writers.py"), str(tmp_path), "20"]
    output = subprocess.run(script, env=environment, check=True, capture_output=True, text=True, timeout=300).stdout
    verdicts = [line.split()[0] for line in output.splitlines()]
    assert verdicts == ["whole"] * 20, output
    assert all(int(line.split()[1]) <= 1 for line in output.splitlines()), output


def start(folder: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TRAIN, "--run", str(folder), *args],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    path = checkpoint.newest(folder / "checkpoints")
    assert path is not None
    return load_file(path / "players.safetensors")


@pytest.mark.parametrize(
    ("number", "code", "phase"),
    [(signal.SIGTERM, 143, "start"), (signal.SIGINT, 130, "step"), (signal.SIGTERM, 143, "checkpoint")],
)
def test_a_signal_in_any_phase_saves_and_the_run_goes_on_bit_for_bit(
    number: signal.Signals, code: int, phase: str, tmp_path: Path
) -> None:
    often = ["--checkpoint-every", "64", "--sample-every", "64"] if phase == "checkpoint" else []
    length = ["--samples", "4000" if phase == "checkpoint" else "24000"]
    folder = tmp_path / "run"
    process = start(folder, *length, *often)
    marker = {"start": "run.json", "step": "metrics.jsonl", "checkpoint": "samples/000000256.png"}[phase]
    deadline = time.monotonic() + 120
    while not (folder / marker).exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        os.sched_yield()
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    stopped = checkpoint.newest(folder / "checkpoints")
    assert stopped is not None
    assert int(stopped.name) < int(length[1])
    resumed = subprocess.run(
        [sys.executable, "-m", "organza", "resume", str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert resumed.returncode == 0, resumed.stderr
    whole = start(tmp_path / "whole", *length)
    assert whole.communicate(timeout=300)
    assert whole.returncode == 0
    expected, found = final_weights(tmp_path / "whole"), final_weights(folder)
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_a_full_disk_ends_the_run_with_a_message_and_the_last_checkpoint_intact(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    first = start(folder, "--samples", "640", "--pause-at", "320")
    assert first.communicate(timeout=120)
    assert first.returncode == 0
    before = checkpoint.newest(folder / "checkpoints")
    assert before is not None

    def small_files_only() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    process = subprocess.run(
        [sys.executable, "-m", "organza", "resume", str(folder)],
        preexec_fn=small_files_only,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 1
    assert "cannot write" in process.stderr
    assert "Traceback" not in process.stderr
    assert checkpoint.newest(folder / "checkpoints") == before


def test_a_run_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = start(tmp_path / "file" / "run", "--samples", "64")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "cannot write the run folder" in errors
    assert "Traceback" not in errors
