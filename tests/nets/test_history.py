"""Older fakes that come back: when, in whose place, and the same in parts as in one."""

from __future__ import annotations

import torch

from organza.nets.history import History

ALL = torch.arange(4)


def fakes(value: float) -> torch.Tensor:
    return torch.full((4, 1, 2, 2), value)


def test_the_first_fakes_are_kept_and_given_back() -> None:
    history = History((1, 2, 2), rows=4, depth=2)
    for value in (1.0, 2.0):
        assert torch.equal(history(fakes(value), ALL, torch.zeros(4, 2)), fakes(value))
    assert history.filled.tolist() == [2, 2, 2, 2]
    assert torch.equal(history.images[:, 0], fakes(1.0))
    assert torch.equal(history.images[:, 1], fakes(2.0))


def test_then_an_older_one_comes_back_where_the_first_number_says_so_and_makes_room() -> None:
    history = History((1, 2, 2), rows=4, depth=2)
    for value in (1.0, 2.0):
        history(fakes(value), ALL, torch.zeros(4, 2))
    noise = torch.tensor([[0.1, 0.2], [0.1, 0.9], [0.7, 0.2], [0.49, 0.5]])
    back = history(fakes(3.0), ALL, noise)
    assert back[:, 0, 0, 0].tolist() == [1, 2, 3, 2]
    assert history.images[:, :, 0, 0, 0].tolist() == [[3, 2], [1, 3], [1, 2], [1, 3]]


def test_parts_of_a_batch_change_nothing() -> None:
    torch.manual_seed(0)
    whole, parts = History((1, 2, 2), rows=4, depth=3), History((1, 2, 2), rows=4, depth=3)
    for _ in range(12):
        fake, noise = torch.randn(4, 1, 2, 2), torch.rand(4, 2)
        back = whole(fake, ALL, noise)
        pieces = [parts(fake[part], ALL[part], noise[part]) for part in (slice(0, 3), slice(3, 4))]
        assert torch.equal(back, torch.cat(pieces))
    assert all(torch.equal(a, b) for a, b in zip(whole.buffers(), parts.buffers(), strict=True))


def test_without_depth_fakes_come_back_as_they_are_but_without_a_graph() -> None:
    fake = torch.ones(4, 1, 2, 2, requires_grad=True)
    back = History((1, 2, 2), rows=4, depth=0)(fake, ALL, torch.zeros(4, 2))
    assert torch.equal(back, fake)
    assert not back.requires_grad


def test_ranks_join_what_each_keeps_of_its_positions() -> None:
    one, ranks = History((1, 2, 2), rows=4, depth=2), [History((1, 2, 2), rows=4, depth=2) for _ in range(2)]
    torch.manual_seed(0)

    def join() -> None:
        """`join_ranks` asks for the sums one after the other: of the owners, the images, the counts."""
        kept = [(each.own, each.images * each.own.view(-1, 1, 1, 1, 1), each.filled * each.own) for each in ranks]
        sums = [sum(parts[1:], parts[0]).clone() for parts in zip(*kept, strict=True)]
        for each in ranks:
            waiting = iter(sums)
            each.join_ranks(lambda values, waiting=waiting: values.copy_(next(waiting)))

    for step in range(8):
        fake, noise = torch.randn(4, 1, 2, 2), torch.rand(4, 2)
        one(fake, ALL, noise)
        for each, part in zip(ranks, (slice(0, 2), slice(2, 4)), strict=True):
            each(fake[part], ALL[part], noise[part])
        if step % 3 == 2:
            join()
    join()
    for each in ranks:
        assert torch.equal(each.images, one.images)
        assert torch.equal(each.filled, one.filled)
    fresh = History((1, 2, 2), rows=4, depth=2)
    fresh.load_state_dict(one.state_dict())
    fresh.join_ranks(lambda values: None)  # restored, and no step since then: nothing is lost
    assert torch.equal(fresh.images, one.images)
