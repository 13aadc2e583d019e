"""Checkpoints: the round trip, what survives damage and full disks, what is kept."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from organza import checkpoint
from organza.checkpoint import best, is_whole, listed, load, load_players, newest, save
from organza.data.memory import MemorySource
from organza.data.spec import ImageSpec, VectorSpec
from organza.errors import CheckpointError, StorageError
from organza.game import Batch, Clock, Game, Player, Report, Request, Stop
from organza.hooks.checkpoints import LONG_S, Checkpoints
from organza.inference import labels
from organza.trainer import Budget, Data, train

Build = Callable[..., Game]
FILES = ["extras.safetensors", "meta.json", "optimizers.safetensors", "players.safetensors"]


def state(game: Game) -> dict[str, Tensor]:
    """Every tensor of the state, moments and extras included."""
    tensors = checkpoint.player_tensors(game) | {"history": game.extras["history"].mean}
    for name, player in game.players.items():
        tensors |= {f"{name}.optimizer.{key}": value for key, value in checkpoint.optimizer_state(player)[0].items()}
    return {key: value.clone() for key, value in tensors.items()}


def assert_identical(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert not [key for key in first if not torch.equal(first[key], second[key])]


def trained(game: Game, data: Data, until: int, clock: Clock | None = None) -> Clock:
    hooks = [lambda report: Stop("pause") if report.clock.samples >= until else None]
    return train(game, data, budget=Budget(samples=120), clock=clock, hooks=hooks)[0]


def saved(folder: Path, game: Game, *samples: int, **options: Any) -> list[str]:
    """Save at these sample counts; the names of the checkpoints that are there afterwards."""
    for count in samples:
        save(folder, game, Clock(samples=count), **options)
    return [path.name for path in listed(folder)]


@pytest.mark.parametrize("options", [{}, {"norm": True}, {"adam": False}], ids=["adam", "batch norm", "sgd"])
def test_a_loaded_game_is_the_saved_one_bit_for_bit(
    options: dict[str, bool], toy_game: Build, toy_data: Data, tmp_path: Path
) -> None:
    game, other = toy_game(**options), toy_game(**options)
    clock = trained(game, toy_data, 30)
    game.players["critic"].rate_scale = 0.25
    path = save(tmp_path, game, clock)
    assert load(path, other) == clock == Clock(step=5, samples=30, progress=0.25)
    assert_identical(state(game), state(other))
    assert [player.rate_scale for player in other.players.values()] == [1.0, 0.25]
    assert other.players["generator"].optimizer.param_groups[0].get("betas") in ((0.9, 0.999), None)
    assert not any(parameter.requires_grad for parameter in other.players["generator"].averaged.parameters())


def test_a_run_that_goes_on_from_a_checkpoint_equals_an_uninterrupted_one(
    toy_game: Build, toy_data: Data, tmp_path: Path
) -> None:
    whole, first, second = toy_game(dropout=0.3), toy_game(dropout=0.3), toy_game(dropout=0.3)
    trained(whole, toy_data, 60)
    path = save(tmp_path, first, trained(first, toy_data, 30))
    clock = trained(second, toy_data, 60, load(path, second))
    assert clock.samples == 60
    assert_identical(state(whole), state(second))


def test_moments_come_back_in_the_memory_format_of_their_parameters(tmp_path: Path) -> None:
    def convolution() -> tuple[nn.Conv2d, Game]:
        torch.manual_seed(0)
        network = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), 0.1, fused=True)
        return network, Game({"critic": Player(network, optimizer)}, [], lambda request: {})

    def advance(network: nn.Conv2d, game: Game) -> None:
        network(torch.arange(75.0).reshape(1, 3, 5, 5)).square().sum().backward()
        game.players["critic"].optimizer.step()

    (first, whole), (second, resumed) = convolution(), convolution()
    advance(first, whole)
    load(save(tmp_path, whole, Clock()), resumed)
    assert second.weight.stride() == resumed.players["critic"].optimizer.state[second.weight]["exp_avg"].stride()
    for network, game in ((first, whole), (second, resumed)):
        network.zero_grad()
        advance(network, game)
    assert torch.equal(first.weight, second.weight)


def test_the_files_are_safetensors_and_json_only(toy_game: Build, tmp_path: Path) -> None:
    path = save(tmp_path, toy_game(), Clock(samples=500_000), score=0.5)
    assert path.name == "000500000"
    assert sorted(file.name for file in path.iterdir()) == FILES
    meta = json.loads((path / "meta.json").read_text())
    assert meta["clock"] == {"step": 0, "samples": 500_000, "progress": 0.0, "minutes": 0.0}
    assert set(meta["files"]) == set(FILES) - {"meta.json"}
    assert meta["score"] == 0.5


def test_weights_alone_can_be_loaded(toy_game: Build, toy_data: Data, tmp_path: Path) -> None:
    game, other = toy_game(), toy_game()
    path = save(tmp_path, game, trained(game, toy_data, 18))
    load_players(path, other)
    assert_identical(checkpoint.player_tensors(game), checkpoint.player_tensors(other))
    assert not other.players["generator"].optimizer.state


def cut(path: Path) -> None:
    file = path / "players.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def alter(path: Path) -> None:
    file = path / "optimizers.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def spoil_meta(text: str) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        (path / "meta.json").write_text(text)

    return spoil


DAMAGES = {
    "cut short": (cut, "cut short"),
    "altered": (alter, "was altered"),
    "no meta.json": (lambda path: (path / "meta.json").unlink(), "not a whole checkpoint"),
    "no file": (lambda path: (path / "extras.safetensors").unlink(), "not a whole checkpoint"),
    "half a meta.json": (spoil_meta('{"format": 1, "files"'), "not a whole checkpoint"),
    "strange meta.json": (spoil_meta("[1, 2]"), "not a whole checkpoint"),
    "strange files": (spoil_meta('{"format": 1, "files": [1]}'), "not a whole checkpoint"),
    "strange format": (spoil_meta('{"format": "x", "files": {}}'), "not a whole checkpoint"),
    "newer format": (spoil_meta('{"format": 99, "files": {}}'), "format 99.*upgrade"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_refused_and_the_newest_whole_one_found(
    damage: Callable[[Path], None], message: str, toy_game: Build, tmp_path: Path
) -> None:
    game = toy_game()
    saved(tmp_path, game, 100, 200)
    damage(tmp_path / "000000200")
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path / "000000200", game)
    assert newest(tmp_path) == tmp_path / "000000100"
    assert saved(tmp_path, game, 300) == ["000000200", "000000300"]


def test_what_newest_has_found_whole_is_not_hashed_again(toy_game: Build, toy_data: Data, tmp_path: Path) -> None:
    game = toy_game()
    path = save(tmp_path, game, trained(game, toy_data, 18))
    alter(path)
    with pytest.raises(CheckpointError, match="was altered"):
        load(path, toy_game())
    assert load(path, toy_game(), is_checked=True).samples == 18


def test_without_any_whole_checkpoint_there_is_no_newest(tmp_path: Path) -> None:
    (tmp_path / "000000100").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "000000300").write_text("a file")
    assert newest(tmp_path) is None
    assert newest(tmp_path / "missing") is None
    assert best(tmp_path) is None
    assert listed(tmp_path) == [tmp_path / "000000100"]


def test_the_newest_and_the_best_remain(toy_game: Build, tmp_path: Path) -> None:
    game = toy_game()
    for samples, score in ((1, 3.0), (2, 1.0), (3, float("nan")), (4, 2.0), (5, None), (6, 2.5)):
        save(tmp_path, game, Clock(samples=samples), keep=2, score=score)
    assert [int(path.name) for path in listed(tmp_path)] == [2, 5, 6]
    assert best(tmp_path) == tmp_path / "000000002"


def test_the_one_just_saved_remains_even_beside_a_newer_damaged_one(toy_game: Build, tmp_path: Path) -> None:
    game = toy_game()
    saved(tmp_path, game, 100, 300)
    cut(tmp_path / "000000300")
    assert "000000200" in saved(tmp_path, game, 200, keep=1)
    assert newest(tmp_path) == tmp_path / "000000200"


def test_checkpoints_of_more_than_nine_digits_are_still_in_order(toy_game: Build, tmp_path: Path) -> None:
    saved(tmp_path, toy_game(), 999_999_999, 1_000_000_000)
    assert newest(tmp_path) == tmp_path / "1000000000"


def test_what_interrupted_saves_left_is_removed(toy_game: Build, tmp_path: Path) -> None:
    for name in ("000000050.tmp", "000000060.tmp"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "players.safetensors").write_text("half")
    saved(tmp_path, toy_game(), 100)
    (tmp_path / "000000100.old").mkdir()
    saved(tmp_path, toy_game(), 200)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000100", "000000200"]


def test_a_checkpoint_that_was_moved_aside_when_the_process_died_comes_back(toy_game: Build, tmp_path: Path) -> None:
    game = toy_game()
    saved(tmp_path, game, 100)
    (tmp_path / "000000100").rename(tmp_path / "000000100.old")
    assert is_whole(newest(tmp_path))
    assert saved(tmp_path, game, 200) == ["000000100", "000000200"]
    assert is_whole(tmp_path / "000000100")


def test_saving_the_same_moment_again_replaces_the_checkpoint(toy_game: Build, toy_data: Data, tmp_path: Path) -> None:
    game, other = toy_game(), toy_game()
    saved(tmp_path, game, 100)
    trained(game, toy_data, 12)
    assert saved(tmp_path, game, 100) == ["000000100"]
    load(newest(tmp_path), other)
    assert_identical(state(game), state(other))


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(toy_game: Build, tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file is in the way")
    with pytest.raises(StorageError, match="Free some space or make the folder writable, then run: organza resume"):
        save(tmp_path / "checkpoints", toy_game(), Clock(samples=1))


def test_a_score_compares_classes_as_the_data_has_them_a_few_large_images_at_once(tmp_path: Path) -> None:
    spec, asked = ImageSpec(classes=("dark", "light"), channels=3, height=512, width=256), []
    label = (torch.arange(24) == 5).long()
    stored = (255 * label.to(torch.uint8))[:, None, None, None].expand(-1, *spec.shape)
    source = MemorySource({"image": stored, "label": label}, name="two", spec=spec)

    def generate(request: Request) -> Batch:
        asked.append(request.count)
        label = labels(request, 2)
        return {"image": (2.0 * label - 1)[:, None, None, None].expand(-1, *spec.shape), "label": label}

    score = Checkpoints(tmp_path, source, keep=1).score(Report(Clock(), {}, {}, Game({}, [], generate)))
    assert score == pytest.approx(0, abs=1e-5)
    assert asked == [1, 8, 8, 8]  # the first tells whether there are classes


def test_slow_steps_are_saved_by_the_clock_and_the_next_save_replaces_that(toy_game: Build, tmp_path: Path) -> None:
    source = MemorySource({"vector": torch.zeros(10, 2)}, name="dots", spec=VectorSpec())
    game = replace(toy_game(), generate=lambda request: {"vector": torch.full((request.count, 2), float(len(seen)))})
    seconds, seen = 0.0, [0]  # worse each time, so that the first is the best
    saver = Checkpoints(tmp_path, source, keep=2, now=lambda: seconds)

    def at(samples: int) -> Report:
        seen.append(samples)
        return Report(Clock(samples=samples, step=samples), {}, {}, game)

    def there() -> list[int]:
        return [int(path.name) for path in listed(tmp_path)]

    for samples in (1, 2, 3):
        saver(at(samples))
    assert there() == [1, 2, 3]  # the best and the newest two
    for samples, later, expected in (
        (4, LONG_S, [1, 2, 3]),
        (5, LONG_S + 1, [1, 2, 3, 5]),
        (6, 2 * LONG_S, [1, 2, 3, 5]),
        (7, 3 * LONG_S, [1, 2, 3, 7]),
    ):
        seconds = later
        saver.late(at(samples))
        assert there() == expected
    saver(at(8))
    assert there() == [1, 3, 8]
    saver.took_s, seconds = 60.0, 10 * LONG_S
    saver.late(at(9))
    assert there() == [1, 3, 8]  # too dear


@pytest.mark.parametrize("room", [20_000, 300, 10])
def test_a_full_disk_leaves_the_earlier_checkpoint_whole_and_no_rubbish(
    room: int, toy_game: Build, tmp_path: Path
) -> None:
    resource = pytest.importorskip("resource")
    game = toy_game(hidden=1_500)  # players.safetensors has about 45 kB
    saved(tmp_path, game, 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit is then an error, not a signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot write the checkpoint .*000000200: .*Free some space"):
            save(tmp_path, game, Clock(samples=200), keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert [path.name for path in tmp_path.iterdir()] == ["000000100"]
    assert is_whole(tmp_path / "000000100")


def test_a_checkpoint_of_another_recipe_is_refused_by_name(toy_game: Build, tmp_path: Path) -> None:
    path = save(tmp_path, toy_game(hidden=8), Clock(samples=1))
    with pytest.raises(
        CheckpointError, match=r"the generator \(network\) of .*000000001 does not fit this recipe: size mismatch"
    ):
        load(path, toy_game(hidden=9))
    with pytest.raises(CheckpointError, match=r"generator \(network\).*does not fit"):
        load_players(path, toy_game(norm=True))
    more = toy_game()
    more.extras["strength"] = nn.Linear(1, 1)
    with pytest.raises(CheckpointError, match=r"the strength of .* does not fit this recipe"):
        load(path, more)


def test_a_player_that_the_checkpoint_does_not_know_is_refused_by_name(toy_game: Build, tmp_path: Path) -> None:
    path = save(tmp_path, toy_game(), Clock(samples=1))
    more = toy_game()
    more.players["encoder"] = toy_game().players["critic"]
    with pytest.raises(CheckpointError, match="encoder"):
        load(path, more)
