"""Image to image: which folders are pairs, what is refused and how, and that both sides stream exactly."""

import json
import pickle
import unicodedata
from dataclasses import asdict
from itertools import combinations, islice
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import image_bytes, noise, write_images, zip_folder

from organza.data import DataOptions, ImageSpec, PairSource, VectorSpec, decode, open_source
from organza.data.check import check, render
from organza.data.layouts import place_of
from organza.data.paired_files import PairSurvey, look, open_pairs
from organza.data.pairs import relation
from organza.data.source import order
from organza.data.spec import restored
from organza.errors import DataError, UsageError
from organza.recipe import find
from organza.run import Run, describe
from organza.settings import RunSettings


def write(path: Path, pixels, kind="PNG", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image_bytes(pixels, kind, **options))


def pixels_of(source, count=None):
    """All stored samples as {key: (N, H, W, C)}."""
    batch = source.read(np.arange(len(source) if count is None else count))
    return {key: value.numpy().transpose(0, 2, 3, 1) for key, value in batch.items()}


def take(source, count, size, **position):
    batches = list(islice(source.batches(size, **position), count))
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for key in left:
        assert torch.equal(left[key], right[key])


@pytest.fixture
def unpaired(tmp_path):
    """CycleGAN's folders: 5 and 3 images to train on, 2 and 2 to test."""
    for side, count in (("A", 5), ("B", 3)):
        write_images(tmp_path / "horses" / f"train{side}", count, seed=ord(side))
        write_images(tmp_path / "horses" / f"test{side}", 2, seed=ord(side) + 1)
    return tmp_path / "horses"


@pytest.fixture
def paired(tmp_path):
    """Folders A and B of 7 pairs."""
    write_images(tmp_path / "maps" / "A", 7, seed=1)
    write_images(tmp_path / "maps" / "B", 7, seed=2)
    return tmp_path / "maps"


# Specs


def test_a_pair_spec_has_the_key_and_shape_of_its_target():
    spec = ImageSpec(channels=3, source=ImageSpec(height=7, width=7))
    assert (spec.key, spec.shape, spec.num_classes) == ("image", (3, 28, 28), 0)
    assert spec.images == {"source": spec.source, "image": ImageSpec(channels=3)}
    assert (spec.has_source, ImageSpec().has_source, VectorSpec().has_source) == (True, False, False)


@pytest.mark.parametrize(
    "spec",
    [
        ImageSpec(channels=3, height=5, source=ImageSpec(bits=16), is_paired=False),
        ImageSpec(classes=("cat", "dog"), grouped=True),
        VectorSpec(size=1),
    ],
)
def test_every_spec_survives_json(spec):
    again = restored(json.loads(json.dumps(asdict(spec))), kind=spec.key)
    assert again == spec
    assert asdict(again) == asdict(spec)


def test_a_run_remembers_its_pairs_and_finds_its_second_source_from_anywhere(tmp_path, monkeypatch, unpaired):
    monkeypatch.chdir(unpaired)
    options = DataOptions(to="trainB", direction="BtoA")
    source = open_source("trainA", options)
    config = describe(
        found=find("vanilla"), data="trainA", options=options, settings=RunSettings(), spec=source.spec, count=5
    )
    monkeypatch.chdir(tmp_path)
    run = Run(tmp_path, config)
    assert asdict(run.spec) == asdict(source.spec)
    assert run.data_options.to == str(unpaired / "trainB")
    assert_equal(take(open_source(config["data"]["source"], run.data_options), 1, 4), take(source, 1, 4))


def test_runs_from_before_there_were_pairs_read_single_images(tmp_path):
    options = {key: value for key, value in asdict(DataOptions()).items() if key not in ("to", "pairs", "paired")}
    assert Run(tmp_path, {"data": {"options": options}}).data_options.pairs == "none"


# Folders


@pytest.mark.parametrize(
    ("folders", "is_paired"),
    [
        (("trainA", "trainB"), False),
        (("train_A", "train_B"), False),
        (("TrainA", "TrainB"), False),
        (("train_label", "train_img"), True),
        (("A", "B"), True),
        (("A/train", "B/train"), True),
        (("train/A", "train/B"), True),
        (("inside/A/train", "inside/B/train"), True),
        (("LR", "HR"), True),
        (("source", "target"), True),
    ],
)
def test_folders_are_known_by_their_names_alone_and_in_zips_too(tmp_path, options, folders, is_paired):
    sides = [write_images(tmp_path / "d" / folder, 4, seed=index) for index, folder in enumerate(folders)]
    for place in (tmp_path / "d", zip_folder(tmp_path / "d", tmp_path / "d.zip")):
        source = open_source(str(place), options())
        assert isinstance(source, PairSource)
        assert source.spec.is_paired is is_paired
        found = pixels_of(source)
        np.testing.assert_array_equal(found["source"], sides[0])
        np.testing.assert_array_equal(found["image"], sides[1])


@pytest.mark.parametrize(
    "folders", [("a", "b"), ("A", "B", "C"), ("cat", "dog"), ("train/cat", "train/dog"), ("train", "test"), ("hr", "x")]
)
def test_folders_of_classes_stay_classes(tmp_path, options, folders):
    for index, folder in enumerate(folders):
        write_images(tmp_path / folder, 2, seed=index)
    assert isinstance(open_source(str(tmp_path), options()).spec, ImageSpec)


def test_pairs_none_reads_folders_of_pairs_as_classes(paired, options):
    assert open_source(str(paired), options(pairs="none")).spec.classes == ("A", "B")


def test_what_is_paired_may_be_asked_for(paired, unpaired, options):
    assert not open_source(str(paired), options(paired="no")).spec.is_paired
    whole = open_source(str(unpaired), options(paired="yes", max_bad=0.5))
    assert whole.spec.is_paired
    assert len(whole) == 3


def test_the_direction_swaps_the_sides(paired, options):
    there, back = (pixels_of(open_source(str(paired), options(direction=way))) for way in ("AtoB", "BtoA"))
    np.testing.assert_array_equal(there["source"], back["image"])
    np.testing.assert_array_equal(there["image"], back["source"])


def test_the_test_split_is_in_its_own_folders_and_test_goes_before_val(unpaired, options):
    write_images(unpaired / "valA", 3)
    write_images(unpaired / "valB", 3)
    assert len(open_source(str(unpaired), options(split="test"))) == 2
    for name in ("testA", "testB"):
        for file in (unpaired / name).iterdir():
            file.unlink()
    assert len(open_source(str(unpaired), options(split="test"))) == 3


def test_a_folder_that_is_no_side_is_passed_over_and_told(unpaired, options):
    write_images(unpaired / "train_inst", 2)
    assert any("train_inst" in note for note in open_source(str(unpaired), options()).notes)


def test_images_twice_as_wide_as_high_are_halved_and_that_is_told(tmp_path, options):
    whole = write_images(tmp_path / "train", 4, height=8, width=16)
    write_images(tmp_path / "val", 2, height=8, width=16, seed=1)
    source = open_source(str(tmp_path), options())
    assert source.spec.is_paired
    found = pixels_of(source)
    np.testing.assert_array_equal(found["source"], whole[:, :, :8])
    np.testing.assert_array_equal(found["image"], whole[:, :, 8:])
    assert any("--pairs none" in note for note in source.notes)
    assert len(open_source(str(tmp_path), options(split="test"))) == 2
    assert open_source(str(tmp_path), options(pairs="none")).spec.shape == (3, 8, 16)


def test_halves_of_another_shape_are_halved_when_asked_for(tmp_path, options):
    whole = write_images(tmp_path, 3, height=8, width=12)
    assert isinstance(open_source(str(tmp_path), options()).spec, ImageSpec)
    source = open_source(str(tmp_path), options(pairs="side-by-side", direction="BtoA"))
    np.testing.assert_array_equal(pixels_of(source)["image"], whole[:, :, :6])


def test_one_image_of_another_shape_leaves_the_rest_single(tmp_path, options):
    write_images(tmp_path, 3, height=8, width=16)
    write(tmp_path / "odd.png", noise(8, 17, 3, seed=5))
    assert "--resize" in check(str(tmp_path), options()).error
    found = check(str(tmp_path), options(pairs="side-by-side", max_bad=0.5))
    assert found.ok
    assert "17" in found.bad["odd.png"]


def test_small_images_become_large_ones_by_a_whole_factor_whatever_the_ending_of_their_names(tmp_path, options):
    large = write_images(tmp_path / "HR", 3, height=12, width=24)
    for index, pixels in enumerate(large):
        write(tmp_path / "LR" / f"{index:03}x4.png", pixels[::4, ::4])
    source = open_source(str(tmp_path), options())
    assert (source.spec.source.shape, source.spec.shape) == ((3, 3, 6), (3, 12, 24))
    np.testing.assert_array_equal(pixels_of(source)["source"], large[:, ::4, ::4])
    smaller = open_source(str(tmp_path), options(resize="16x8")).spec
    assert (smaller.source.shape, smaller.shape) == ((3, 2, 4), (3, 8, 16))
    with pytest.raises(UsageError, match="--resize 24x8"):
        open_source(str(tmp_path), options(resize="22x9"))


def test_masks_become_holes_that_are_black_and_transparent(tmp_path, options):
    whole = write_images(tmp_path, 3)
    for index in range(2):
        mask = np.zeros((8, 12, 1), np.uint8)
        mask[:4] = 255
        for letter in ("", "1"):
            write(tmp_path / f"{index:03}_mask{letter}.png", 255 - mask if letter else mask)
    assert any("--pairs masks" in note for note in open_source(str(tmp_path), options(channels="rgb")).notes)
    source = open_source(str(tmp_path), options(pairs="masks"))
    assert (source.spec.source.channels, source.spec.channels, len(source)) == (4, 3, 4)
    assert any("without a mask, which are passed over: 1" in note for note in source.notes)
    found = pixels_of(source)
    np.testing.assert_array_equal(found["image"], whole[[0, 0, 1, 1]])
    assert not found["source"][0, :4].any()
    np.testing.assert_array_equal(found["source"][0, 4:, :, :3], whole[0, 4:])
    assert (found["source"][0, 4:, :, 3] == 255).all()
    assert not found["source"][1, 4:].any()


def test_a_mask_that_is_not_as_large_as_its_image_is_refused_by_name(tmp_path, options):
    write_images(tmp_path, 3)
    for index in range(3):
        write(tmp_path / f"{index:03}_mask.png", noise(4 if index == 1 else 8, 12, 1, seed=0))
    with pytest.raises(DataError, match=r"001_mask\.png: a mask of 12x4 pixels for an image of 12x8"):
        open_source(str(tmp_path), options(pairs="masks"))
    assert len(open_source(str(tmp_path), options(pairs="masks", max_bad=0.5))) == 2
    assert "001_mask.png" in look(tmp_path, options(pairs="masks")).bad


# Two sources


def test_two_folders_are_two_domains_and_pairs_when_asked_for(tmp_path, options):
    one = write_images(tmp_path / "horses", 4, seed=1)
    other = write_images(tmp_path / "zebras", 4, seed=2, channels=1)
    apart = open_source(str(tmp_path / "horses"), options(to=str(tmp_path / "zebras")))
    assert (apart.name, apart.spec.is_paired, apart.spec.channels) == ("horses-to-zebras", False, 1)
    assert any("--paired yes" in note for note in apart.notes)
    packed = zip_folder(tmp_path / "zebras", tmp_path / "z.zip")
    pairs = open_source(str(tmp_path / "horses"), options(to=str(packed), paired="yes", direction="BtoA"))
    assert pairs.spec.is_paired
    np.testing.assert_array_equal(pixels_of(pairs)["source"], other)
    np.testing.assert_array_equal(pixels_of(pairs)["image"], one)


def test_arrays_and_named_sources_are_paired_by_their_place(tmp_path, options):
    np.save(tmp_path / "low.npy", noise(5 * 4, 4, 1, seed=0).reshape(5, 4, 4))
    np.save(tmp_path / "high.npy", noise(5 * 8, 8, 1, seed=0).reshape(5, 8, 8))
    low, high = str(tmp_path / "low.npy"), str(tmp_path / "high.npy")
    pairs = open_source(low, options(to=high, paired="yes", resize="4"))
    assert (pairs.spec.source.shape, pairs.spec.shape) == ((1, 2, 2), (1, 4, 4))
    with pytest.raises(DataError, match="--limit"):
        open_source(low, options(to="mnist", paired="yes"))
    with pytest.raises(DataError, match=r"differ by no whole factor.*--resize 28"):
        open_source(high, options(to="mnist", paired="yes", limit=5))
    mixed = open_source(high, options(to="mnist", limit=3))
    assert (len(mixed), mixed.spec.is_paired) == (3, False)
    write_images(tmp_path / "files", 3)
    with pytest.raises(DataError, match="cannot be paired"):
        open_source(high, options(to=str(tmp_path / "files"), paired="yes"))


# Streams


@pytest.fixture(params=["memory", "streamed"])
def opened(request, options):
    """Opens a folder in memory, or streamed by the main process."""

    def open_folder(folder, **fields):
        chosen = options(workers=0, **fields)
        found = look(folder, chosen)
        assert isinstance(found, PairSurvey)
        limit = {"memory": 2**30, "streamed": 0}[request.param]
        return open_pairs(found, name=folder.name, options=chosen, memory_limit=limit)

    return open_folder


def test_pairs_stay_pairs_in_every_batch(paired, opened):
    source = opened(paired)
    everything = decode(source.read(np.arange(7)), source.spec)
    stream = take(source, 5, 3, seed=4, start=2)
    places = torch.from_numpy(order(7, seed=4, start=2, size=15))
    assert_equal(stream, {key: value[places] for key, value in everything.items()})
    assert stream["source"].dtype == torch.float32
    assert stream["source"].min() >= -1
    assert stream["image"].max() <= 1


def places(source, stream):
    """Which images of each side a stream holds."""
    found = {}
    for key, side in source.sides.items():
        known = decode(side.read(np.arange(len(side))), side.spec)["image"].flatten(1).tolist()
        found[key] = [known.index(row) for row in stream[key].flatten(1).tolist()]
    return found


def epochs(indices, count):
    return [indices[at : at + count] for at in range(0, len(indices), count)]


def test_unpaired_sides_have_orders_of_their_own(unpaired, opened):
    source = opened(unpaired)
    assert (len(source), source.spec.is_paired) == (5, False)
    found = places(source, take(source, 15, 1, seed=1))
    assert [sorted(epoch) for epoch in epochs(found["source"], 5)] == [[0, 1, 2, 3, 4]] * 3
    assert [sorted(epoch) for epoch in epochs(found["image"], 3)] == [[0, 1, 2]] * 5
    assert len({tuple(epoch) for epoch in epochs(found["source"], 5)}) > 1


def test_the_pairing_of_unpaired_sides_of_one_size_changes_each_epoch(tmp_path, opened):
    for side in "AB":
        write_images(tmp_path / f"train{side}", 12, seed=ord(side), height=4, width=4)
    source = opened(tmp_path)
    found = places(source, take(source, 4, 12))
    met = [set(epoch) for epoch in epochs(list(zip(found["source"], found["image"], strict=True)), 12)]
    assert all(len(one & other) < 6 for one, other in combinations(met, 2))


@pytest.mark.parametrize("name", ["paired", "unpaired"])
def test_streams_of_both_sides_start_anywhere_and_are_shared_by_ranks(request, opened, name):
    source = opened(request.getfixturevalue(name))
    whole = take(source, 9, 4, seed=1)
    for start in (4, 7, 22):
        later = take(source, 2, 4, seed=1, start=start)
        assert_equal({key: value[start : start + 8] for key, value in whole.items()}, later)
    ranks = [take(source, 3, 4, seed=1, rank=rank, world=2) for rank in range(2)]
    together = {
        key: torch.cat([rank[key][at : at + 2] for at in (0, 2, 4) for rank in ranks]) for key in ("source", "image")
    }
    assert_equal(together, {key: value[:12] for key, value in whole.items()})
    assert not torch.equal(take(source, 1, 7, seed=2)["source"], take(source, 1, 7, seed=1)["source"])


@pytest.mark.parametrize("name", ["paired", "unpaired"])
def test_both_ways_of_holding_the_sides_give_the_same(request, options, name):
    folder = request.getfixturevalue(name)
    chosen = options(workers=0)
    found = look(folder, chosen)
    assert isinstance(found, PairSurvey)
    memory, streamed = (open_pairs(found, name="x", options=chosen, memory_limit=limit) for limit in (2**30, 0))
    assert_equal(take(memory, 3, 4), take(streamed, 3, 4))


def test_halves_and_holes_can_be_sent_to_workers(tmp_path, options):
    write_images(tmp_path / "halves", 3, height=8, width=16)
    write_images(tmp_path / "holes", 2)
    write(tmp_path / "holes" / "000_mask.png", noise(8, 12, 1, seed=0))
    for folder, chosen in (("halves", options()), ("holes", options(pairs="masks"))):
        found = look(tmp_path / folder, chosen)
        assert isinstance(found, PairSurvey)
        source = open_pairs(found, name="x", options=chosen, memory_limit=0)
        side = source.sides["source"]
        sent = pickle.loads(pickle.dumps(side._decoder))
        np.testing.assert_array_equal(sent[np.array([0])]["image"], side.read(np.array([0]))["image"].numpy())


def test_workers_of_both_sides_give_the_same_and_end_when_closed(unpaired, options):
    chosen = options(workers=1)
    found = look(unpaired, chosen)
    assert isinstance(found, PairSurvey)
    helped = open_pairs(found, name="x", options=chosen, memory_limit=0)
    stream = helped.batches(4, start=3)
    got = list(islice(stream, 3))
    alone = open_pairs(found, name="x", options=options(workers=0), memory_limit=0)
    assert_equal(take(alone, 3, 4, start=3), {key: torch.cat([batch[key] for batch in got]) for key in got[0]})
    helped.close()
    assert next(stream, None) is None


def test_pairs_are_held_out_together_and_domains_each_by_itself(paired, unpaired, opened, options):
    kept, held = (open_source(str(paired), options(hold_out=0.3, split=split)) for split in ("train", "test"))
    assert (len(kept), len(held)) == (5, 2)
    rows = {key: {row.tobytes() for row in value} for key, value in pixels_of(opened(paired)).items()}
    for key in ("source", "image"):
        parts = [{row.tobytes() for row in pixels_of(part)[key]} for part in (kept, held)]
        assert parts[0] | parts[1] == rows[key]
        assert not parts[0] & parts[1]
    both = pixels_of(opened(paired))
    partner = {a.tobytes(): b.tobytes() for a, b in zip(both["source"], both["image"], strict=True)}
    got = pixels_of(held)
    assert all(partner[a.tobytes()] == b.tobytes() for a, b in zip(got["source"], got["image"], strict=True))
    kept, held = (open_source(str(unpaired), options(hold_out=0.4, split=split)) for split in ("train", "test"))
    assert [len(side) for side in (*kept.sides.values(), *held.sides.values())] == [3, 2, 2, 1]
    with pytest.raises(DataError, match="choose another share"):
        open_source(str(unpaired), options(hold_out=0.1, split="test"))


def test_a_subset_reads_the_samples_of_the_whole(paired, unpaired, opened):
    for folder in (paired, unpaired):
        whole = opened(folder)
        part = whole.subset(np.array([4, 0, 3]))
        assert len(part) == 3
        assert_equal(part.read(np.array([2, 0])), whole.read(np.array([3, 4])))


def test_a_limit_counts_pairs_or_images_of_each_domain(paired, unpaired, options):
    assert len(open_source(str(paired), options(limit=3))) == 3
    assert [len(side) for side in open_source(str(unpaired), options(limit=4)).sides.values()] == [4, 3]


# Hostile folders


def test_missing_partners_and_bad_files_are_skipped_with_their_partner_and_named(tmp_path, options):
    images = {side: write_images(tmp_path / side, 60, seed=ord(side), height=4, width=4) for side in "AB"}
    (tmp_path / "A" / "010.png").unlink()
    (tmp_path / "B" / "020.png").write_bytes(b"no image")
    (tmp_path / "A" / "notes.txt").write_text("no image either")
    source = open_source(str(tmp_path), options())
    kept = [index for index in range(60) if index not in (10, 20)]
    found = pixels_of(source)
    np.testing.assert_array_equal(found["source"], images["A"][kept])
    np.testing.assert_array_equal(found["image"], images["B"][kept])
    told = check(str(tmp_path), options())
    assert told.ok
    assert told.bad.keys() == {"B/010.png", "B/020.png"}
    assert "58 pairs, 1 without a partner" in told.pairs
    assert "no partner in A" in render(told)
    assert not check(str(tmp_path), options(strict=True)).ok


def test_many_missing_partners_are_refused_with_their_names_and_count(paired, options):
    for index in range(5):
        (paired / "B" / f"00{index}.png").unlink()
    with pytest.raises(
        DataError, match=r"2 whole pairs and 5 bad files \(A/000\.png: has no partner in B;.*--paired no"
    ):
        open_source(str(paired), options())


def test_no_partner_at_all_is_two_domains_or_an_error_where_pairs_are_needed(tmp_path, options):
    for name in ("cat", "dog"):
        write(tmp_path / "A" / f"{name}.png", noise(8, 8, 3, seed=1))
        write(tmp_path / "B" / f"{name * 2}.png", noise(8, 8, 3, seed=2))
    apart = open_source(str(tmp_path), options())
    assert not apart.spec.is_paired
    assert any("--pairs none" in note for note in apart.notes)
    (tmp_path / "A").rename(tmp_path / "LR")
    (tmp_path / "B").rename(tmp_path / "HR")
    with pytest.raises(DataError, match=r"None of the 2 images in LR .*--paired no"):
        open_source(str(tmp_path), options())


def test_a_side_of_another_name_is_told_as_what_it_may_be(tmp_path, options):
    write_images(tmp_path / "trainA", 3)
    write_images(tmp_path / "trainC", 2)
    assert "2 are in trainC: if they are the other side, call it trainB" in check(str(tmp_path), options()).error
    (tmp_path / "trainC").rename(tmp_path.parent / "elsewhere")
    write_images(tmp_path, 2)
    assert "2 are beside it: if they are the other side, move them into trainB" in check(str(tmp_path), options()).error


def test_a_folder_of_both_sides_is_no_side(unpaired, options, tmp_path):
    other = tmp_path / "other"
    write_images(other, 4)
    for source, to in ((unpaired, other), (other, unpaired)):
        found = check(str(source), options(to=str(to)))
        assert f"{unpaired} holds both sides itself, trainA and trainB" in found.error
        assert f"--data {unpaired}/trainA --to {unpaired}/trainB" in found.error
    packed = zip_folder(unpaired, tmp_path / "horses.zip")
    assert "or unpack it and name one" in check(str(packed), options(to=str(other))).error
    assert check(str(unpaired / "trainA"), options(to=str(other))).ok
    assert check(str(unpaired), options(to=str(other), pairs="none")).ok


@pytest.mark.parametrize("folders", [("trainA", "trainB"), ("A", "B"), ("train_label", "train_img"), ("HR", "LR")])
def test_an_empty_side_is_refused_by_name(tmp_path, options, folders):
    write_images(tmp_path / folders[0], 3)
    (tmp_path / folders[1]).mkdir()
    found = check(str(tmp_path), options())
    assert f"3 images in {folders[0]} and none in {folders[1]}" in found.error
    assert "--pairs none" in found.error


def test_a_missing_side_is_refused_where_the_name_leaves_no_doubt(tmp_path, options):
    write_images(tmp_path / "trainB", 3)
    with pytest.raises(DataError, match="none in trainA"):
        open_source(str(tmp_path), options())


@pytest.mark.parametrize(
    ("folders", "needed"), [(("trainA", "trainB"), "testA and testB"), (("HR", "LR"), "LR/test and HR/test")]
)
def test_a_missing_test_split_names_what_is_needed(tmp_path, options, folders, needed):
    for index, folder in enumerate(folders):
        write_images(tmp_path / folder, 3, seed=index)
    found = check(str(tmp_path), options(split="test"))
    assert f"it holds {folders[0]}, {folders[1]}, and needs" in found.error
    assert needed in found.error
    assert "--hold-out 0.1" in found.error


def test_a_test_split_of_one_side_only_is_refused(unpaired, options):
    for file in (unpaired / "testB").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="2 images in testA and none in testB"):
        open_source(str(unpaired), options(split="test"))


def test_a_domain_of_one_image_is_refused_but_not_to_test_on(unpaired, options):
    for folder in ("trainB", "testB"):
        for file in sorted((unpaired / folder).iterdir())[1:]:
            file.unlink()
    with pytest.raises(DataError, match="trainB holds a single image"):
        open_source(str(unpaired), options())
    assert len(open_source(str(unpaired), options(split="test"))) == 2


def test_a_domain_of_bad_files_only_is_refused_by_name(unpaired, options):
    for file in (unpaired / "trainB").iterdir():
        file.write_bytes(b"broken")
    found = check(str(unpaired), options(max_bad=1.0))
    assert "trainB holds 3 bad files" in found.error
    assert set(found.bad) == {f"trainB/00{index}.png" for index in range(3)}


def test_sizes_that_differ_within_pairs_are_named_and_mended_by_a_resize(tmp_path, options):
    write_images(tmp_path / "A", 3, height=97, width=131)
    write_images(tmp_path / "B", 2, height=97, width=131, seed=1)
    write(tmp_path / "B" / "002.png", noise(100, 131, 3, seed=9))
    error = check(str(tmp_path), options()).error
    assert "1 of 3 pairs" in error
    assert "A/002.png 131x97 and B/002.png 131x100" in error
    assert "--resize 64" in error
    source = open_source(str(tmp_path), options(resize="64"))
    assert source.spec.source.shape == source.spec.shape == (3, 64, 64)
    assert any("may not coincide" in note for note in source.notes)


def test_both_sides_are_cropped_alike(tmp_path, options):
    write_images(tmp_path / "A", 2, height=97, width=131)
    write_images(tmp_path / "B", 2, height=97, width=131)
    found = pixels_of(open_source(str(tmp_path), options(resize="32x40")))
    np.testing.assert_array_equal(found["source"], found["image"])


def test_each_domain_has_its_own_channels_bits_and_size(tmp_path, options):
    deep = write_images(tmp_path / "trainA", 2, height=5, width=9, channels=1, dtype=np.uint16)
    clear = write_images(tmp_path / "trainB", 2, height=97, width=131, channels=4)
    source = open_source(str(tmp_path), options())
    assert (source.spec.source.shape, source.spec.source.bits) == ((1, 5, 9), 16)
    assert (source.spec.shape, source.spec.bits) == ((4, 97, 131), 8)
    found = pixels_of(source)
    np.testing.assert_array_equal(found["source"], deep)
    np.testing.assert_array_equal(found["image"], clear)
    assert open_source(str(tmp_path), options(channels="rgb")).spec.source.channels == 3
    stream = next(source.batches(2))
    assert (stream["source"].dtype, stream["source"].shape) == (torch.float32, (2, 1, 5, 9))


def test_names_match_whatever_their_suffix_folder_and_form_of_accents(tmp_path, options):
    name = "caf\u00e9 \u6f22\u5b57"
    write(tmp_path / "A" / "sub" / f"{unicodedata.normalize('NFC', name)}.PNG", noise(8, 8, 3, seed=0))
    write(tmp_path / "B" / "sub" / f"{unicodedata.normalize('NFD', name)}.jpeg", noise(8, 8, 3, seed=1), "JPEG")
    write(tmp_path / "A" / "sub" / "two.tiff", noise(8, 8, 3, seed=2), "TIFF")
    write(tmp_path / "B" / "sub" / "two.JPG", noise(8, 8, 3, seed=3), "JPEG")
    source = open_source(str(tmp_path), options())
    assert (len(source), source.spec.is_paired) == (2, True)


def test_two_files_of_one_name_in_a_side_are_told(paired, options):
    write(paired / "A" / "003.bmp", noise(8, 12, 3, seed=0), "BMP")
    found = check(str(paired), options(max_bad=0.2))
    assert found.ok
    assert found.bad == {"A/003.png": "has the same name as A/003.bmp"}


@pytest.mark.parametrize(
    ("source", "fields", "words"),
    [
        ("mnist", {"paired": "yes"}, "--to SRC"),
        ("mnist", {"direction": "BtoA"}, "--to SRC"),
        ("mnist", {"pairs": "side-by-side"}, "single images"),
        ("edges-to-digits", {"pairs": "masks"}, "pairs already"),
        ("edges-to-digits", {"clusters": 4}, "--clusters"),
        ("edges-to-digits", {"to": "mnist", "limit": 5}, "holds pairs already"),
        ("mnist", {"to": "ring8", "limit": 5}, "holds points"),
        ("mnist", {"to": "nowhere"}, "no known data set"),
    ],
)
def test_options_that_do_not_suit_the_source_are_refused(options, source, fields, words):
    with pytest.raises((DataError, UsageError), match=words):
        open_source(source, options(**fields))
    assert words in check(source, options(**fields)).error


def test_options_that_contradict_each_other_are_refused(paired, options):
    with pytest.raises(UsageError, match="--to"):
        options(to="x", pairs="masks")
    with pytest.raises(UsageError, match="--paired no"):
        options(pairs="masks", paired="no")
    assert "--clusters" in check(str(paired), options(clusters=3)).error
    write_images(paired / "other", 3)
    found = check(str(paired / "other"), options(paired="yes"))
    assert "--to SRC" in found.error


def test_the_check_knows_the_sides_and_their_copies(unpaired, options):
    (unpaired / "trainB" / "copy.png").write_bytes((unpaired / "trainB" / "000.png").read_bytes())
    found = check(str(unpaired), options())
    assert found.pairs == "trainA to trainB, unpaired: 5 and 4 images"
    assert found.duplicates == (("trainB/000.png", "trainB/copy.png"),)
    assert found.sizes == {"trainA 12x8": 5, "trainB 12x8": 4}
    text = render(found)
    assert "source used as: 3 x 8 x 12" in text
    assert "image used as: 3 x 8 x 12" in text


def test_words_of_folders():
    assert place_of(("valB", "deep")) is not None
    assert place_of(("trainable",)) is None
    assert place_of(("train", "cat")) is None
    assert place_of(()) is None


def test_relations_of_sizes():
    assert relation((8, 12), (8, 12)) == 1
    assert relation((8, 12), (32, 48)) == 4
    assert relation((32, 48), (8, 12)) == -4
    assert relation((8, 12), (16, 36)) == 0
    assert relation((97, 131), (100, 131)) == 0


# Pairs of digits


def test_digits_and_what_is_made_of_them():
    few = DataOptions(limit=200)
    digits = open_source("mnist", few)
    plain, classes = digits.read(np.arange(200))["image"], digits.read(np.arange(200))["label"]
    small = open_source("small-to-digits", few)
    assert torch.equal(small.read(np.arange(200))["image"], plain)
    means = torch.nn.functional.avg_pool2d(plain.float(), 4).round()
    assert (small.read(np.arange(200))["source"].float() - means).abs().max() <= 1  # a half is rounded either way
    colour = open_source("gray-to-colour-digits", few).read(np.arange(200))
    assert torch.equal(colour["source"], plain)
    assert torch.equal(colour["image"].amax(1, keepdim=True), plain)
    pixels = colour["image"].permute(0, 2, 3, 1)
    hues = [pixels[(plain[:, 0] == 255) & (classes == digit)[:, None, None]].unique(dim=0) for digit in range(10)]
    assert [len(hue) for hue in hues] == [1] * 10
    assert len(torch.cat(hues).unique(dim=0)) == 10
    edges = open_source("edges-to-digits", few).read(np.arange(200))
    assert torch.equal(edges["image"], plain)
    x = plain.float()
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    across, down = (torch.nn.functional.conv2d(x, kernel[None, None], padding=1) for kernel in (sobel, sobel.T))
    steep = (torch.hypot(across, down) / 4).clamp(max=255)
    assert (edges["source"].float() - steep).abs().max() <= 0.51


def test_slanted_digits_keep_their_ink_and_lean_to_the_right():
    pairs = open_source("digits-to-slanted", DataOptions(limit=100, paired="yes")).read(np.arange(100))
    source, target = pairs["source"].double(), pairs["image"].double()
    rows = target.sum(3)  # (N, 3, 28)
    ink = source.sum(3)
    top, bottom = slice(4, 12), slice(16, 24)
    assert rows[:, 0, top].sum() > 2 * rows[:, 2, top].sum()  # warm above
    assert rows[:, 2, bottom].sum() > rows[:, 0, bottom].sum()  # cool below
    columns = torch.arange(28.0, dtype=torch.float64)
    for row in (8, 20):
        before = (source[:, 0, row] * columns).sum(1) / ink[:, 0, row].clamp(min=1)
        after = (target[:, 1, row] * columns).sum(1) / rows[:, 1, row].clamp(min=1)
        shift = (after - before)[ink[:, 0, row] > 500]
        assert shift.median() == pytest.approx(0.4 * (13.5 - row), abs=0.01)


def test_slanted_digits_are_unpaired_to_train_on_and_paired_to_judge_by():
    train = open_source("digits-to-slanted", DataOptions(limit=50))
    assert (len(train), train.spec.is_paired) == (50, False)
    test = open_source("digits-to-slanted", DataOptions(limit=50, split="test"))
    assert test.spec.is_paired
    assert test.spec == train.spec  # the same kinds of images
    whole = open_source("digits-to-slanted", DataOptions(limit=100, paired="yes"))
    assert torch.equal(train.read(np.arange(50))["source"], whole.read(np.arange(0, 100, 2))["source"])
    assert torch.equal(train.read(np.arange(50))["image"], whole.read(np.arange(1, 100, 2))["image"])


@pytest.mark.parametrize("name", ["edges-to-digits", "gray-to-colour-digits", "small-to-digits", "digits-to-slanted"])
def test_pairs_of_digits_are_the_same_each_time_and_take_the_usual_options(name):
    one, two = (open_source(name, DataOptions(limit=20)) for _ in range(2))
    assert_equal(take(one, 3, 16, start=7), take(two, 3, 16, start=7))
    back = open_source(name, DataOptions(limit=20, direction="BtoA"))
    assert back.spec.source == one.spec.alone
    larger = open_source(name, DataOptions(limit=4, resize="32")).spec
    assert larger.height == 32
    assert larger.source.height == (8 if name == "small-to-digits" else 32)
    assert check(name, DataOptions(limit=20)).ok
