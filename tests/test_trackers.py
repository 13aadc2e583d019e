"""Trackers and the webhook hear what metrics.jsonl, samples/ and findings.jsonl hold, once, and never end a run."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import organza
from organza import RunSettings
from organza.errors import DivergedError, UsageError
from organza.game import Report
from organza.hooks.trackers import TRACKERS, Part, Tracker, numbers
from organza.hooks.webhook import Webhook
from organza.recipe import find
from organza.run import Run

TINY: dict[str, Any] = {"samples": 640, "device": "cpu", "log_every": 32, "checkpoint_every": 128, "doctor_every": 128}
Curves = dict[str, list[tuple[int, float]]]


WILD = find("vanilla:tiny", critic_lr=0.9, generator_lr=0.9).recipe
"""A recipe in which the doctor soon finds something."""


def settings(**changes: Any) -> RunSettings:
    return RunSettings(**(TINY | changes))


def written(run: Run) -> Curves:
    """The curves of metrics.jsonl; where a moment has two rows, what is new in the second."""
    curves: dict[str, dict[int, float]] = {}
    for row in run.rows():
        for key, value in numbers(row).items():
            curves.setdefault(key, {})[row["samples"]] = value
    return {key: sorted(points.items()) for key, points in curves.items()}


def read(run: Run) -> EventAccumulator:
    """RUN/tensorboard as TensorBoard reads it, all of it."""
    events = EventAccumulator(str(run.folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return events.Reload()


def curves_of(events: EventAccumulator) -> Curves:
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def assert_same(told: Curves, expected: Curves) -> None:
    """Steps equal, values equal in single precision, which is what TensorBoard keeps."""
    assert told.keys() == expected.keys()
    for key, points in expected.items():
        assert [step for step, _ in told[key]] == [step for step, _ in points], key
        values = [np.array([value for _, value in side], dtype=np.float32) for side in (told[key], points)]
        np.testing.assert_array_equal(*values, err_msg=key)


def pictures_in(run: Run) -> dict[int, bytes]:
    return {int(path.stem): path.read_bytes() for path in (run.folder / "samples").glob("*.png")}


def test_tensorboard_reads_back_what_the_run_folder_holds(tmp_path: Path) -> None:
    chosen = settings(track="tensorboard", webhook="http://127.0.0.1:9/secret", doctor="off", sample_every=300)
    run = organza.train("dcgan:tiny", data="mnist", run=tmp_path / "run", settings=chosen)
    events = read(run)
    assert_same(curves_of(events), written(run))
    shown = {image.step: image for image in events.Images("samples")}
    assert {step: image.encoded_image_string for step, image in shown.items()} == pictures_in(run)
    assert set(shown) == {0, 304, 608, 640}
    for image in shown.values():
        with Image.open(io.BytesIO(image.encoded_image_string)) as picture:
            assert picture.size == (image.width, image.height)
    (text,) = events.Tensors("run.json/text_summary")
    assert b"dcgan" in text.tensor_proto.string_val[0]
    assert b"secret" not in text.tensor_proto.string_val[0]
    content = HParamsPluginData.FromString(events.PluginTagToContent("hparams")["_hparams_/session_start_info"])
    parameters = content.session_start_info.hparams
    assert parameters["recipe.fields.batch"].number_value == run.config["recipe"]["fields"]["batch"]
    assert parameters["data.source"].string_value == "mnist"
    assert "settings.webhook" not in parameters
    assert "secret" not in (run.folder / "report.html").read_text()


def test_lists_become_curves_of_their_entries_and_findings_become_text(tmp_path: Path) -> None:
    run = organza.train(WILD, data="ring8", run=tmp_path / "run", settings=settings(track="tensorboard"))
    events, curves = read(run), written(run)
    assert {f"health/counts/{index:02d}" for index in range(8)} <= curves.keys()
    assert_same(curves_of(events), curves)
    found = [json.loads(line) for line in (run.folder / "findings.jsonl").read_text().splitlines()]
    texts = [event.tensor_proto.string_val[0].decode() for event in events.Tensors("findings/text_summary")]
    assert len(texts) == len(found) > 0
    assert all(entry.get("title", entry["name"]) in text for entry, text in zip(found, texts, strict=True))


def test_numbers_that_are_not_finite_arrive_as_such(tmp_path: Path) -> None:
    recipe = find("vanilla:tiny", critic_lr=1e30, generator_lr=1e30).recipe
    with pytest.raises(DivergedError):
        organza.train(recipe, data="ring8", run=tmp_path / "run", settings=settings(track="tensorboard", doctor="off"))
    run = organza.open(tmp_path / "run")
    names = {key for row in run.rows() for key, value in row.items() if value in ("nan", "inf", "-inf")}
    curves = curves_of(read(run))
    assert names
    assert all(any(not math.isfinite(value) for _, value in curves[name]) for name in names)
    texts = b"".join(event.tensor_proto.string_val[0] for event in read(run).Tensors("findings/text_summary"))
    assert b"refused" in texts


def test_what_cannot_be_drawn_is_left_out() -> None:
    row = {"samples": 5, "step": 1, "loss": "nan", "failed": "why", "counts": [1, 2], "many": [0] * 1000, "none": None}
    drawn = numbers(row)
    assert drawn.keys() == {"step", "loss", "counts/00", "counts/01"}
    assert math.isnan(drawn["loss"])


class PowerCutError(Exception):
    """Ends a run in the middle, with rows written after its last checkpoint."""


def power_cut(report: Report) -> None:
    if report.clock.samples >= 480:
        raise PowerCutError


def test_a_run_that_goes_on_has_no_step_twice(tmp_path: Path) -> None:
    chosen = settings(track="tensorboard", sample_every=64)
    with pytest.raises(PowerCutError):
        organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=chosen, hooks=[power_cut])
    half = read(organza.open(tmp_path / "run"))
    assert max(step for step, _ in curves_of(half)["progress"]) == 480  # beyond the checkpoint at 384
    run = organza.resume(tmp_path / "run")
    events = read(run)
    assert len(list((run.folder / "tensorboard").iterdir())) == 2
    assert_same(curves_of(events), written(run))
    steps = [image.step for image in events.Images("samples")]
    assert steps == sorted(pictures_in(run))
    assert json.loads((run.folder / "track.json").read_text()) == {"tensorboard": {"id": "tensorboard", "told": 640}}


def test_a_run_without_trackers_takes_one_up_later(tmp_path: Path) -> None:
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=settings(pause_at=320))
    assert not (run.folder / "track.json").exists()
    run = organza.resume(run, settings=settings(track=("tensorboard",)))
    assert {step for step, _ in curves_of(read(run))["progress"]} == set(range(352, 641, 32))


HIDDEN = """
import sys
sys.modules[{hidden!r}] = None  # what an import of a missing package finds
from organza.cli.__main__ import main
sys.exit(main(["train", "vanilla:tiny", "--data", "ring8", "--samples", "64", "--run", "run", "--track", {name!r}]))
"""


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_named_before_anything_is_made(name: str, tmp_path: Path) -> None:
    code = HIDDEN.format(hidden=name, name=name)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert f'{name} is not installed, and is needed here: pip install "organza[{name}]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_every_tracker_is_an_extra_and_a_choice() -> None:
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert TRACKERS.keys() <= project["optional-dependencies"].keys()
    assert RunSettings(track=tuple(TRACKERS)).track == tuple(TRACKERS)
    assert RunSettings(track="wandb").track == ("wandb",)
    with pytest.raises(UsageError, match="tensorboard, wandb"):
        RunSettings(track="tensorbored")
    with pytest.raises(UsageError, match="https://"):
        RunSettings(webhook="file:///etc/passwd")


@final
class Breaking(Tracker):
    """A service whose network is gone after the start."""

    @classmethod
    def check(cls) -> None:
        pass

    def __init__(self, part: Part) -> None:
        if part.id is not None:
            raise ConnectionError("nobody knows this run")
        self.id = "7"

    def scalars(self, values: Mapping[str, float], samples: int) -> None:
        raise ConnectionError("the network is gone")

    def image(self, name: str, path: Path, samples: int) -> None:
        raise ConnectionError("the network is gone")

    def finding(self, text: str, samples: int) -> None:
        raise ConnectionError("the network is gone")

    def close(self) -> None:
        raise ConnectionError("the network is gone")


def test_a_tracker_that_fails_warns_once_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TRACKERS, "mlflow", Breaking)
    chosen = settings(track=("mlflow", "tensorboard"), pause_at=320)
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=chosen)
    assert len(re.findall("mlflow failed.*the network is gone", capsys.readouterr().out)) == 1
    run = organza.resume(run, settings=settings(track=("mlflow", "tensorboard")))
    assert "mlflow cannot go on with 7" in capsys.readouterr().out
    assert_same(curves_of(read(run)), written(run))


def test_a_tracker_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    run = organza.train("vanilla:tiny", data="ring8", run=tmp_path / "run", settings=settings(pause_at=64))
    (run.folder / "tensorboard").write_text("a file where a folder has to be")
    rows = run.rows()
    with pytest.raises(UsageError, match=r"tensorboard does not start: .*leave out --track tensorboard"):
        organza.resume(run, settings=settings(track="tensorboard"))
    assert run.rows() == rows


TRACKED = """
import json, sys
import organza
from organza import RunSettings

def power_cut(report):
    if report.clock.samples >= 480:
        raise InterruptedError

try:
    organza.train(
        "vanilla:tiny", data="ring8", run="run", hooks=[power_cut], settings=RunSettings(**json.loads(sys.argv[1]))
    )
except InterruptedError:
    organza.resume("run")
name = json.load(open("run/track.json"))[sys.argv[2]]["id"]
curves, pictures = {}, []
"""
MLFLOW = """
from mlflow import MlflowClient
client = MlflowClient()
run = client.get_run(name)
for key in run.data.metrics:
    curves[key] = [(point.step, point.value) for point in client.get_metric_history(name, key)]
pictures = [entry.path for entry in client.list_artifacts(name, "samples")]
assert run.info.status == "FINISHED" and run.data.params["recipe.name"] == "vanilla"
assert any(key.startswith("finding.") for key in run.data.tags)
"""
TRACKIO = """
from trackio.sqlite_storage import SQLiteStorage
for row in SQLiteStorage.get_logs("organza", name):
    for key, value in row.items():
        if isinstance(value, dict):
            pictures.append(value)
        elif key not in ("step", "timestamp"):
            curves.setdefault(key.replace("steps", "step"), []).append((row["step"], value))
assert SQLiteStorage.get_runs("organza") == [name]
assert SQLiteStorage.get_run_config("organza", name)["recipe"]["name"] == "vanilla"
assert SQLiteStorage.get_alerts("organza", name)
"""
WANDB = """
import pathlib
from wandb.proto.wandb_internal_pb2 import Record

def records(data):  # the log format of LevelDB: blocks of 32 KiB, seven bytes before each piece
    at, whole = 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = Record()
            record.ParseFromString(whole)
            yield record
            whole = b""

for path in sorted(pathlib.Path("run/wandb").glob("offline-run*/*.wandb")):
    assert path.stem == f"run-{name}"
    for record in records(path.read_bytes()):
        entries = {"/".join(entry.nested_key) or entry.key: entry.value_json for entry in record.history.item}
        for key, value in ((key, json.loads(value)) for key, value in entries.items()):
            if key == "samples/path":
                pictures.append(value)
            elif not key.startswith("samples/") and not key.startswith("_") and key != "finding":
                curves.setdefault(key, []).append((record.history.step.num, value))
"""


@pytest.mark.parametrize(("name", "code"), [("mlflow", MLFLOW), ("trackio", TRACKIO), ("wandb", WANDB)])
def test_a_service_without_a_network_holds_the_same_curves_once(name: str, code: str, tmp_path: Path) -> None:
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    given = json.dumps(TINY | {"track": [name], "sample_every": 64})
    end = "print('told:' + json.dumps([curves, pictures]))"
    environment = {
        **os.environ,
        **{"HOME": str(tmp_path), "WANDB_MODE": "offline", "WANDB_SILENT": "true", "HF_HUB_OFFLINE": "1"},
        **{"TRACKIO_DIR": str(tmp_path / "trackio"), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"},
        **{"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
    }
    done = subprocess.run(
        [sys.executable, "-c", TRACKED + code + end, given, name],
        **{"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 300},
    )
    assert done.returncode == 0, done.stderr
    curves, pictures = json.loads(re.findall("^told:(.*)$", done.stdout, re.MULTILINE)[0])
    run = organza.open(tmp_path / "run")
    expected = written(run)
    assert curves.keys() == expected.keys()
    assert all(len({step for step, _ in points}) == len(points) for points in curves.values())
    # Twice computed is twice the same, except for times and for the rows that a measurement falls into.
    varied = ("time_s", "samples_per_s", "data_wait", "health/", "distance")
    kept = [key for key in expected if not key.startswith(varied)]
    assert len(kept) > 8
    assert_same({key: curves[key] for key in kept}, {key: expected[key] for key in kept})
    assert len(pictures) == len(pictures_in(run))


def test_wandb_never_asks_for_a_key(tmp_path: Path) -> None:
    if find_spec("wandb") is None:
        pytest.skip("wandb is not installed")
    command = "from organza.cli.__main__ import main; import sys; sys.exit(main(sys.argv[1:]))"
    arguments = ["train", "vanilla:tiny", "--data", "ring8", "--samples", "64", "--run", "run", "--track", "wandb"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        **{"cwd": tmp_path, "env": environment | {"HOME": str(tmp_path)}, "stdin": subprocess.DEVNULL},
        **{"capture_output": True, "text": True, "timeout": 120},
    )
    assert done.returncode != 0
    assert "wandb login" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on this machine, and what was posted to it."""
    posts: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/findings", posts
        server.shutdown()
        thread.join()


def test_the_webhook_receives_every_finding(inbox: tuple[str, list[dict[str, Any]]], tmp_path: Path) -> None:
    url, posts = inbox
    run = organza.train(WILD, data="ring8", run=tmp_path / "run", settings=settings(webhook=url))
    found = [json.loads(line) for line in (run.folder / "findings.jsonl").read_text().splitlines()]
    assert len(found) > 0
    assert posts == [{"run": str(run.folder), **entry} for entry in found]


def test_a_webhook_that_nobody_answers_warns_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        url = f"http://127.0.0.1:{server.server_port}"  # free again below
    webhook = Webhook(url, run="run")
    for _ in range(3):
        webhook.send({"event": "found"})
    webhook.close()
    assert len(re.findall("webhook failed", capsys.readouterr().out)) == 1
