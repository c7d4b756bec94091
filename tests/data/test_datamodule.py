"""Batches: a pure function of (seed, epoch), every sample once, shared out exactly among devices."""

import pytest
import torch

from steepest.data.datamodule import Batches, WindowDataModule
from steepest.data.sources import Line, RandomWalk


def module(**options):
    data = WindowDataModule(RandomWalk(rows=101, window=3, **options), seed=0)
    data.setup()
    return data


def batches(size, **options) -> Batches:
    return Batches(module().placed("cpu", torch.float64), "train", size, **options)


def rows(loader) -> list[torch.Tensor]:
    return [batch.x_ND for batch in loader]


def test_the_order_is_a_pure_function_of_seed_and_epoch():
    epoch = 0
    loader = batches(16, seed=0, epoch=lambda: epoch)
    first, again = loader.order(), loader.order()
    torch.manual_seed(99)
    assert torch.equal(first, again)
    assert torch.equal(first, batches(7, seed=0).order())
    epoch = 1
    assert not torch.equal(first, loader.order())
    assert not torch.equal(first, batches(16, seed=1).order()), "seed 0 is a seed like any other"


@pytest.mark.parametrize("size", [1, 7, 16, 66, 67, 1000, None])
def test_an_epoch_is_every_sample_once_with_a_smaller_last_batch(size):
    loader = batches(size, seed=3)
    count = len(loader.part)
    assert count == 67
    seen = torch.cat(rows(loader))
    assert sorted(map(tuple, seen.tolist())) == sorted(map(tuple, torch.cat(rows(batches(None))).tolist()))
    sizes = [len(x) for x in rows(loader)]
    assert len(sizes) == len(loader) == -(-count // min(size or count, count))
    assert sizes[-1] == (count % (size or count) or min(size or count, count))


@pytest.mark.parametrize("size", [2, 6, 16, 33, 66])
@pytest.mark.parametrize("world", [2, 3])
def test_devices_share_every_batch_and_their_weighed_means_are_the_batchs(size, world):
    whole = batches(size, seed=0)
    shards = [list(batches(size, seed=0, rank=rank, world=world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        parts = [shard[number] for shard in shards]
        mean = sum(part.share * part.x_ND.mean(0) for part in parts) / world
        torch.testing.assert_close(mean, batch.x_ND.mean(0), rtol=1e-12, atol=1e-14)
        used = [x for part in parts if part.share for x in part.x_ND.tolist()]
        assert sorted(used) == sorted(batch.x_ND.tolist())


def test_one_batch_is_the_same_one_in_every_epoch():
    epoch = 0
    loader = batches(8, seed=0, one_batch=True, epoch=lambda: epoch)
    (first,) = rows(loader)
    epoch = 5
    (later,) = rows(loader)
    assert len(first) == 8
    assert torch.equal(first, later)


def test_an_epoch_goes_on_in_its_middle():
    loader = batches(16, seed=0)
    whole = rows(loader)
    walk = iter(loader)
    next(walk), next(walk)
    other = batches(16, seed=0)
    other.load_state_dict(loader.state_dict())
    rest = rows(other)
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[2:], strict=True))
    assert len(rows(other)) == len(whole), "and the next epoch is whole again"


def test_without_shuffling_time_keeps_its_order():
    loader = batches(16)
    assert torch.equal(loader.order(), loader.order().sort().values)


def test_the_windows_are_moved_once():
    data = module()
    assert data.placed("cpu", torch.float32) is data.placed("cpu", torch.float32)
    assert data.placed("cpu", torch.float32).inputs_TF.dtype == torch.float32
    assert data.placed("cpu", torch.float32).price_T.dtype == torch.float64


def test_what_needs_a_set_up_or_a_trainer_says_so():
    with pytest.raises(ValueError, match=r"call WindowDataModule.setup\(\)"):
        _ = WindowDataModule(Line()).windows
    with pytest.raises(ValueError, match="serves batches to a Trainer"):
        module().train_dataloader()
