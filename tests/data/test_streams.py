"""Batches: endless, seekable, shuffled by (seed, epoch), shared by ranks, and the same for any number of workers."""

import pickle
from itertools import islice

import numpy as np
import pytest
import torch
from image_files import write_images, zip_folder

from organza.data import DataOptions, StreamedSource, decode, open_source
from organza.data.decoded import DecodedSource
from organza.data.memory import gather
from organza.data.pictures import open_pictures
from organza.data.source import held_apart, order, permutation
from organza.errors import DataError, UsageError

COUNT = 10


@pytest.fixture
def folder(tmp_path):
    for index, label in enumerate(("cat", "dog")):
        write_images(tmp_path / "pets" / label, COUNT // 2, seed=index)
    return tmp_path / "pets"


@pytest.fixture(params=["memory", "streamed", "toy"])
def source(request, folder, options):
    if request.param == "toy":
        return open_source("moons", options(limit=COUNT))
    limit = {"memory": 2**30, "streamed": 0}[request.param]
    return open_pictures(folder, name="pets", options=options(workers=0), memory_limit=limit)


def take(source, count, size, **position):
    batches = list(islice(source.batches(size, **position), count))
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for key in left:
        assert torch.equal(left[key], right[key])


def test_a_stream_starts_anywhere(source):
    whole = take(source, 9, 4, seed=1)
    for start in (4, 7, 2 * COUNT + 1):
        later = take(source, 2, 4, seed=1, start=start)
        assert_equal({key: value[start : start + 8] for key, value in whole.items()}, later)


def test_the_batch_size_does_not_change_the_order(source):
    assert_equal(take(source, 6, 2, seed=3), take(source, 1, 12, seed=3))


def test_every_epoch_holds_every_sample_once_in_another_order(source):
    stream = take(source, 3, COUNT)[source.spec.key].flatten(1)
    epochs = [stream[start : start + COUNT] for start in range(0, 3 * COUNT, COUNT)]
    everything = decode(source.read(np.arange(COUNT)), source.spec)[source.spec.key].flatten(1)
    rows = {tuple(row.tolist()) for row in everything}
    assert all({tuple(row.tolist()) for row in epoch} == rows for epoch in epochs)
    assert not torch.equal(epochs[0], epochs[1])


def test_seeds_differ(source):
    key = source.spec.key
    assert not torch.equal(take(source, 1, COUNT, seed=0)[key], take(source, 1, COUNT, seed=1)[key])


@pytest.mark.parametrize("world", [2, 3])
def test_the_ranks_together_get_the_global_batch(source, world):
    whole = source.batches(6, start=5)
    ranks = [source.batches(6, start=5, rank=rank, world=world) for rank in range(world)]
    for _ in range(4):
        parts = [next(rank) for rank in ranks]
        assert_equal({key: torch.cat([part[key] for part in parts]) for key in parts[0]}, next(whole))


def test_a_batch_that_the_ranks_cannot_share_is_refused(source):
    with pytest.raises(UsageError, match="7 samples cannot be shared by 2 ranks"):
        next(source.batches(7, world=2))


def test_batches_may_span_epochs(source):
    assert take(source, 2, 3 * COUNT + 1)[source.spec.key].shape[0] == 6 * COUNT + 2


def test_order_is_a_function_of_seed_and_epoch():
    np.testing.assert_array_equal(order(7, seed=2, start=7, size=7), permutation(7, seed=2, epoch=1))
    np.testing.assert_array_equal(order(7, seed=2, start=0, size=21)[3:15], order(7, seed=2, start=3, size=12))


def test_streamed_and_in_memory_give_the_same(folder, options):
    memory = open_pictures(folder, name="pets", options=options())
    streamed = open_pictures(folder, name="pets", options=options(workers=0), memory_limit=0)
    assert isinstance(memory, DecodedSource)
    assert isinstance(streamed, StreamedSource)
    assert memory.spec == streamed.spec
    assert_equal(take(memory, 3, 4), take(streamed, 3, 4))


def test_files_are_decoded_when_they_are_needed_and_a_part_needs_its_own_alone(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "plain", 10)
    whole = open_source("plain", DataOptions()).read(np.arange(10))["image"]
    kept, held = (open_source("plain", DataOptions(hold_out=0.3, split=split)) for split in ("train", "test"))
    train, test = held_apart(10, 0.3)
    for index in train:
        (tmp_path / "plain" / f"{index:03}.png").unlink()
    monkeypatch.chdir(folder)  # sources know their files from anywhere
    assert torch.equal(held.read(np.arange(3))["image"], whole[torch.from_numpy(test)])
    with pytest.raises(DataError, match="was sound when the data was opened"):
        kept.read(np.arange(1))


def test_two_workers_give_the_same_as_none_and_end_when_closed(folder, options):
    alone = open_pictures(folder, name="pets", options=options(workers=0), memory_limit=0)
    helped = open_pictures(folder, name="pets", options=options(workers=2), memory_limit=0)
    batches = helped.batches(4, start=3)
    got = list(islice(batches, 6))
    assert_equal(take(alone, 6, 4, start=3), {key: torch.cat([batch[key] for batch in got]) for key in got[0]})
    helped.close()
    assert next(batches, None) is None


def test_what_workers_are_sent_still_reads_a_zip(folder, options, tmp_path):
    packed = zip_folder(folder, tmp_path / "pets.zip")
    source = open_pictures(packed, name="pets", options=options(workers=2), memory_limit=0)
    sent = pickle.loads(pickle.dumps(source._decoder))
    assert_equal(source.read(np.arange(4)), {key: torch.from_numpy(value) for key, value in sent[np.arange(4)].items()})
    sent.files.close()
    source.close()


def test_a_file_that_vanishes_during_training_is_named(folder, options):
    source = open_pictures(folder, name="pets", options=options(workers=0), memory_limit=0)
    (folder / "cat" / "000.png").unlink()
    with pytest.raises(DataError, match=r"cat/000\.png was sound"):
        take(source, 1, COUNT)


def test_gather_is_indexing_for_every_stored_type():
    indices = np.array([4, 0, 4])
    for dtype in (torch.uint8, torch.uint16, torch.float32, torch.int64):
        values = torch.arange(30).reshape(5, 2, 3).to(dtype)
        assert gather(values, indices).tolist() == [values[index].tolist() for index in indices]
        assert gather(values, indices).dtype == dtype


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_device_gives_the_same_batches(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.arange(20 * 36, dtype=dtype).reshape(20, 6, 6))
    source = open_source(str(tmp_path / "a.npy"), DataOptions())
    there = next(source.batches(16, device="cuda"))["image"]
    assert there.device.type == "cuda"
    assert torch.equal(there.cpu(), next(source.batches(16))["image"])
