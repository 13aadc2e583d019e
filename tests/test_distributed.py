"""Several ranks: real processes on gloo, started by torchrun or by `organza train --devices`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import organza
from organza import DataOptions, RunSettings, checkpoint
from organza.cli.__main__ import main
from organza.run import open_run

# Not the default loss of pairs: there the critic's last bias has no gradient but rounding, which Adam makes large.
RECIPE = ["dcgan:tiny", "--generator-norm", "none", "--batch", "32", "--loss", "nonsaturating"]
DATA = ["--data", "ring8", "--device", "cpu", "--seed", "3"]


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts organza processes in a folder of their own, one thread each; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def run(
        *args: str, run: str, torchrun: Sequence[str] = (), verb: Sequence[str] = ("train", *RECIPE, *DATA)
    ) -> subprocess.Popen[str]:
        launcher = ["-m", "torch.distributed.run", "--standalone", *torchrun, "-m", "--"] if torchrun else ["-m"]
        command = [sys.executable, *launcher, "organza", *verb, "--run", run, *args]
        started.append(
            subprocess.Popen(
                command,
                cwd=tmp_path,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=180)
    return output


def weights(folder: Path) -> dict[str, torch.Tensor]:
    path = checkpoint.newest(folder / "checkpoints")
    assert path is not None
    return load_file(path / "players.safetensors")


def test_two_ranks_equal_one_rank_with_the_doubled_batch(tmp_path: Path, start: Start) -> None:
    one = start("--samples", "128", run="one")
    two = start("--samples", "128", "--devices", "2", run="two")
    for process in (one, two):
        output = finish(process)
        assert process.returncode == 0, output
    expected, found = weights(tmp_path / "one"), weights(tmp_path / "two")
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")
    assert open_run(tmp_path / "two").rows()[-1]["samples"] == 128


@pytest.mark.slow
def test_two_ranks_begin_where_the_data_cannot_be_grouped(tmp_path: Path, start: Start) -> None:
    kinds = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "copies.npz", images=kinds[np.arange(200) % 3])
    words = ("train", "--data", "copies.npz", "--samples", "128", "--devices", "2", "--doctor", "off")
    process = start(run="run", verb=words)
    output = finish(process)
    assert process.returncode == 0, output
    assert output.count("auto: no groups as classes") == 1
    assert open_run(tmp_path / "run").spec.classes == ()


@pytest.mark.slow
def test_an_adapting_augmentation_is_as_strong_on_two_ranks_as_on_one(tmp_path: Path, start: Start) -> None:
    words = ["--data", "mnist", "--limit", "256", "--augment", "translation", "--augment-target", "0.6"]
    for process in [start(*words, "--samples", "256", "--devices", count, run=count) for count in ("1", "2")]:
        output = finish(process)
        assert process.returncode == 0, output
    strengths = []
    for count in ("1", "2"):
        path = checkpoint.newest(tmp_path / count / "checkpoints")
        assert path is not None
        strengths.append(load_file(path / "extras.safetensors"))
    assert any(float(value) > 0 for key, value in strengths[0].items() if key.endswith("strength"))
    assert all(torch.allclose(strengths[1][key], value, atol=1e-6) for key, value in strengths[0].items())


@pytest.mark.slow
def test_a_treatment_is_the_same_on_every_rank(tmp_path: Path, start: Start) -> None:
    words = [
        "--critic-lr",
        "0.9",
        "--generator-lr",
        "0.9",
        "--final-rate",
        "1",
        "--samples",
        "8000",
        "--doctor",
        "treat",
    ]
    often = ["--log-every", "64", "--checkpoint-every", "640", "--doctor-every", "64", "--doctor-share", "1"]
    process = start(*words, *often, "--devices", "2", run="run")
    output = finish(process)
    assert process.returncode in (0, 3), output
    run = open_run(tmp_path / "run")
    assert run.interventions
    assert run.interventions[0]["fields"]["critic_lr"] < 0.9
    assert run.rows()[-1]["samples"] >= 8_000


def test_one_rank_says_what_fine_tuning_keeps(tmp_path: Path, start: Start) -> None:
    images = np.random.default_rng(0).integers(256, size=(80, 8, 8, 1), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=images)
    np.savez(tmp_path / "other.npz", images=images, labels=np.arange(80) % 3)
    settings = RunSettings(samples=16, device="cpu", doctor="off", run=tmp_path / "old")
    options = DataOptions(hold_out=0.25, clusters=3)
    organza.train("dcgan:tiny", data=str(tmp_path / "own.npz"), settings=settings, options=options)
    told = {"own": "stays unseen: --hold-out 0.25", "other": "labels of other are left aside"}
    words = ["--samples", "16", "--devices", "2", "--device", "cpu", "--doctor", "off"]
    started = {
        name: start("--data", f"{name}.npz", *words, run=f"on-{name}", verb=("finetune", "old")) for name in told
    }
    for name, process in started.items():
        output = finish(process)
        assert process.returncode == 0, output
        assert output.count(told[name]) == 1


LEAVING = """
import sys, threading
from organza import distributed
threading.Thread(target=threading.Event().wait).start()  # which Python's own shutdown would wait for
sys.stdout.write("said")
sys.stderr.write("told")
distributed.leave(3)
"""


def test_a_rank_that_leaves_keeps_its_exit_code_and_all_that_it_has_said() -> None:
    buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    left = subprocess.run([sys.executable, "-c", LEAVING], env=buffered, capture_output=True, text=True, timeout=60)
    assert (left.returncode, left.stdout, left.stderr) == (3, "said", "told")


def test_more_processes_than_cores_are_refused_before_any_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--devices", "5000"]) == 2
    assert f"there are {os.cpu_count()} cores here; take fewer" in capsys.readouterr().err


def test_a_mistake_that_every_rank_finds_keeps_its_exit_code_and_promises_no_checkpoint(start: Start) -> None:
    process = start("--limit", "31", "--devices", "2", run="run")
    output = finish(process)
    assert process.returncode == 2, output
    assert "a batch of 32 is larger than the data set" in output
    assert "checkpoint" not in output


@pytest.mark.slow
def test_a_rank_that_dies_is_named_and_ends_the_run(tmp_path: Path, start: Start) -> None:
    process = start("--minutes", "5", "--devices", "2", run="run")
    wait_for_rows(tmp_path / "run")
    os.kill(worker(tmp_path, rank=1), signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 1
    assert "rank 1 of 2 was killed by signal 9" in output
    assert "Traceback" not in output


@pytest.mark.slow
def test_torchrun_restarts_from_the_newest_checkpoint(tmp_path: Path, start: Start) -> None:
    whole = start("--samples", "200000", run="whole")
    assert finish(whole)
    assert whole.returncode == 0
    process = start(
        "--samples",
        "200000",
        "--checkpoint-every",
        "20000",
        run="run",
        torchrun=["--nproc-per-node", "1", "--max-restarts", "1"],
    )
    wait_for(lambda: bool([p for p in checkpoint.listed(tmp_path / "run" / "checkpoints") if int(p.name) >= 40_000]))
    os.kill(worker(tmp_path, rank=0), signal.SIGKILL)
    output = finish(process)
    assert process.returncode == 0, output
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    samples = [row["samples"] for row in rows]
    assert samples == sorted(samples)
    assert len(samples) <= len(set(samples)) + 1  # the last distance may have a row of its own
    assert samples[-1] == 200_000
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "run")
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def worker(folder: Path, *, rank: int) -> int:
    """The process in `folder` that torchrun started as this rank, found by its environment."""
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            entries, home = path.read_bytes().split(b"\0"), os.readlink(path.parent / "cwd")
        except OSError:
            continue
        if f"RANK={rank}".encode() in entries and home == str(folder):
            return int(path.parent.name)
    raise AssertionError(f"no worker of rank {rank}")


def wait_for_rows(folder: Path) -> None:
    wait_for(lambda: (folder / "metrics.jsonl").exists() and bool((folder / "metrics.jsonl").read_text()))


def wait_for(condition: object, *, limit_s: float = 120) -> None:
    """Look until something is there; fails after a limit."""
    assert callable(condition)
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        os.sched_yield()
