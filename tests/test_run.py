"""The run folder: made, taken up, refused, read with a cut last line, and generated from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from organza import checkpoint
from organza.data.options import DataOptions
from organza.data.registry import absolute
from organza.data.spec import ImageSpec, Spec, VectorSpec
from organza.errors import CheckpointError, StorageError
from organza.game import Clock
from organza.recipe import Found, find
from organza.recipes.vanilla import VanillaGAN
from organza.run import Run, create_run, launched_before, locked, next_folder, open_run, truncate_rows
from organza.settings import RunSettings
from test_recipe import MINE


def made(
    folder: Path | None,
    *,
    recipe: str = "vanilla:tiny",
    spec: Spec | None = None,
    count: int = 1000,
    origin: Path | None = None,
    **settings: object,
) -> Run:
    return create_run(
        found=find(recipe),
        data="ring8",
        data_name="ring8",
        options=DataOptions(),
        settings=RunSettings(run=folder, **settings),
        spec=spec or VectorSpec(size=2),
        count=count,
        origin=origin,
    )


def test_a_run_says_all_that_is_needed_to_build_it_again(tmp_path: Path) -> None:
    spec = ImageSpec(classes=("a", "b"), channels=3, height=9, width=7)
    run = made(tmp_path / "run", recipe="dcgan:tiny", spec=spec, samples=100, seed=5, keep=3)
    again = open_run(run.folder)
    assert again == run
    assert again.recipe == find("dcgan:tiny").recipe
    assert again.spec == spec
    assert again.data_options == DataOptions()
    assert again.settings == RunSettings(run=run.folder, samples=100, seed=5, keep=3)
    assert (run.folder / "samples").is_dir()


def test_the_same_configuration_takes_the_run_up_again(tmp_path: Path) -> None:
    run = made(tmp_path, samples=100)
    assert made(tmp_path, samples=100, keep=7, log_every=5, pause_at=50).config == run.config


def test_what_auto_means_for_the_machine_is_written_down(tmp_path: Path) -> None:
    config = made(tmp_path, samples=100, device="cpu", precision="bf16").config
    assert config["chosen"] == {"device": "cpu", "precision": "bfloat16"}
    assert config["settings"]["precision"] == "bf16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 200}, r"samples \(100 in the run, 200 now\)"),
        ({"seed": 1}, r"seed \(0 in the run, 1 now\)"),
        ({"recipe": "vanilla:mlp256"}, r"latent \(8 in the run, 64 now\)"),
        ({"recipe": "dcgan:tiny"}, r"class \('VanillaGAN' in the run, 'DCGAN' now\)"),
        ({"spec": VectorSpec(size=1)}, r"size \(2 in the run, 1 now\)"),
        ({"count": 999}, r"count \(1000 in the run, 999 now\)"),
        ({"origin": Path("/other/000000064")}, r"origin \(None in the run, '/other/000000064' now\)"),
    ],
)
def test_another_configuration_is_refused_and_the_field_named(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    made(tmp_path, samples=100)
    with pytest.raises(CheckpointError, match=f"was started differently: .*{message}.*organza resume"):
        made(tmp_path, **{"samples": 100} | change)


def test_a_recipe_file_that_was_edited_is_refused_and_an_older_run_still_opens(tmp_path: Path) -> None:
    path = tmp_path / "my_gan.py"
    path.write_text(MINE)
    run = made(tmp_path / "run", recipe=str(path))
    path.write_text(MINE.replace("raise NotImplementedError", "return None"))
    with pytest.raises(CheckpointError, match=r"was started differently: file_sha256 \('.*organza resume"):
        made(tmp_path / "run", recipe=str(path))
    older = json.loads((run.folder / "run.json").read_text())
    del older["recipe"]["file_sha256"], older["data"]["count"]
    (run.folder / "run.json").write_text(json.dumps(older))
    assert made(tmp_path / "run", recipe=str(path)).config == older


def test_a_run_of_a_module_without_a_dot_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_models.py").write_text(MINE)
    monkeypatch.syspath_prepend(tmp_path)
    assert made(tmp_path / "run", recipe="my_models:Mine").recipe.width == 3


def test_a_run_folder_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(CheckpointError, match="in use by another process"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass


def test_the_folder_of_named_data_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "set.npy").touch()
    found = [absolute(source) for source in ("mnist", "set.npy", "fashion-mnist:idx")]
    assert found == ["mnist", str(tmp_path / "set.npy"), f"fashion-mnist:{tmp_path / 'idx'}"]


def test_only_a_restarted_launch_takes_its_folder_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "job")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    run = made(None)
    assert launched_before() is None
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert launched_before() == run.folder
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert launched_before() is None
    assert made(None).config["launch"] is None


def test_folders_are_numbered_on_and_never_shared(tmp_path: Path) -> None:
    names = [next_folder(tmp_path / "runs", name).name for name in ("a", "b/ c!", "", "../../x")]
    assert names == ["0001-a", "0002-b-c", "0003-run", "0004-..-..-x"]
    (tmp_path / "runs" / "0041-old").mkdir()
    assert next_folder(tmp_path / "runs", "a").name == "0042-a"


def test_without_a_folder_the_run_goes_below_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [str(made(None).folder) for _ in range(2)] == ["runs/0001-vanilla-ring8", "runs/0002-vanilla-ring8"]
    with pytest.raises(CheckpointError, match="there are runs/0001-vanilla-ring8, runs/0002-vanilla-ring8"):
        open_run("runs/0009-none")


def test_of_many_runs_those_are_named_first_that_may_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("0001-cgan-mnist", *(f"{index:04d}-ring" for index in range(2, 9))):
        made(Path("runs") / name)
    last = ", ".join(f"runs/{index:04d}-ring" for index in range(4, 9))
    with pytest.raises(CheckpointError, match=f"there are runs/0001-cgan-mnist, {last}$"):
        open_run("runs/0001-cgan-mnits")


def test_a_folder_that_cannot_be_made_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match=r"cannot write the run folder .*--run DIR"):
        made(tmp_path / "file" / "run")
    with pytest.raises(StorageError, match=r"cannot make a run folder below .*--run DIR"):
        next_folder(tmp_path / "file", "run")


def test_a_damaged_or_newer_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"format": 1, "rec')
    with pytest.raises(CheckpointError, match="cannot read"):
        open_run(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 99}')
    with pytest.raises(CheckpointError, match=r"newer organza \(format 99\); upgrade"):
        open_run(tmp_path)


def test_rows_leave_out_a_last_line_that_was_cut(tmp_path: Path) -> None:
    run = Run(tmp_path, {})
    assert run.rows() == []
    (tmp_path / "metrics.jsonl").write_text('{"samples": 10}\n{"samples": 20}\n{"samples": 30, "lo')
    assert run.rows() == [{"samples": 10}, {"samples": 20}]


def test_going_on_from_a_checkpoint_drops_later_rows_and_grids(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"samples": count}) + "\n" for count in (10, 20, 30))
    (tmp_path / "metrics.jsonl").write_text(rows + '{"samples": 40, "lo')
    (tmp_path / "samples").mkdir()
    for name in ("000000020.png", "000000030.png", "notes.png"):
        (tmp_path / "samples" / name).write_text("picture")
    truncate_rows(tmp_path, 20)
    assert Run(tmp_path, {}).rows() == [{"samples": 10}, {"samples": 20}]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["000000020.png", "notes.png"]
    truncate_rows(tmp_path / "samples", 20)


def test_a_run_of_ones_own_file_keeps_a_copy_of_it(tmp_path: Path) -> None:
    path = tmp_path / "my_gan.py"
    path.write_text(MINE)
    for number, name in enumerate((str(path), f"{path}:Mine")):
        run = made(tmp_path / f"run{number}", recipe=name)
        path.write_text(MINE.replace("width: int = 3", "width: int = 4"))
        assert run.recipe.width == 3
        path.write_text(MINE)
        assert (run.folder / "recipe.py").read_text() == MINE


@pytest.mark.parametrize("name", ["organza.recipes.vanilla", "organza.recipes.vanilla:VanillaGAN"])
def test_a_run_of_a_recipe_by_import_path_finds_it_again(name: str, tmp_path: Path) -> None:
    recipe = VanillaGAN(latent=3)
    run = create_run(
        found=Found(recipe, name, None),
        data="ring8",
        data_name="ring8",
        options=DataOptions(),
        settings=RunSettings(run=tmp_path),
        spec=VectorSpec(),
        count=1000,
    )
    assert run.recipe == recipe


def test_a_run_generates_from_its_newest_checkpoint(tmp_path: Path) -> None:
    run = made(tmp_path)
    with pytest.raises(CheckpointError, match="holds no whole checkpoint yet"):
        run.game()
    game = run.recipe.build(run.spec)
    checkpoint.save(run.checkpoints, game, Clock(samples=10))
    with torch.no_grad():
        for parameter in game.players["generator"].averaged.parameters():
            parameter.mul_(1.5)
    checkpoint.save(run.checkpoints, game, Clock(samples=20))
    samples = open_run(tmp_path).generate(5, seed=3)
    assert samples.shape == (5, 2)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(run.generate(9, seed=3)[:5], samples, rtol=1e-5)
    older = run.game(path=run.checkpoints / "000000010")
    assert checkpoint.player_tensors(older).keys() == checkpoint.player_tensors(game).keys()
    assert not np.allclose(open_run(tmp_path).generate(5, seed=4), samples)


def test_a_run_of_images_generates_bytes_with_channels_last(tmp_path: Path, tiny_images: ImageSpec) -> None:
    run = made(tmp_path, recipe="dcgan:tiny", spec=replace(tiny_images, channels=3))
    checkpoint.save(run.checkpoints, run.recipe.build(run.spec), Clock())
    samples = run.generate(2)
    assert samples.shape == (2, 8, 8, 3)
    assert samples.dtype == np.uint8


def test_what_a_field_did_before_it_existed_is_what_an_older_run_does(tmp_path: Path) -> None:
    run = made(tmp_path, recipe="r3gan:tiny", samples=100)
    config = json.loads((run.folder / "run.json").read_text())
    assert run.recipe.penalty_target > 0
    del config["recipe"]["fields"]["penalty_target"]
    (run.folder / "run.json").write_text(json.dumps(config))
    assert open_run(run.folder).recipe.penalty_target == 0
