"""Batches: a pure function of (seed, epoch); every sample once; divided exactly among devices."""

import json
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import LightningModule, Trainer

from steepest.data.batches import Batches
from steepest.data.formulas import Line
from steepest.data.sources import PriceFile, RandomWalk
from steepest.lightning.datamodule import WindowDataModule


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
def test_weighted_means_over_devices_equal_the_batch_mean(size, world):
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


def test_an_epoch_resumes_from_its_middle():
    loader = batches(16, seed=0)
    whole = rows(loader)
    walk = iter(loader)
    next(walk), next(walk)
    other = batches(16, seed=0)
    other.load_state_dict(loader.state_dict())
    rest = rows(other)
    assert all(torch.equal(a, b) for a, b in zip(rest, whole[2:], strict=True))
    assert len(rows(other)) == len(whole), "and the next epoch is whole again"


def test_without_shuffling_samples_stay_in_time_order():
    loader = batches(16)
    assert torch.equal(loader.order(), loader.order().sort().values)


def test_the_windows_are_moved_to_a_device_once():
    data = module()
    assert data.placed("cpu", torch.float32) is data.placed("cpu", torch.float32)
    assert data.placed("cpu", torch.float32).inputs_TF.dtype == torch.float32
    assert data.placed("cpu", torch.float32).price_T.dtype == torch.float64


def test_use_before_setup_or_without_a_trainer_is_refused():
    with pytest.raises(ValueError, match=r"call setup\(\)"):
        _ = WindowDataModule(Line()).windows
    with pytest.raises(ValueError, match="serves batches to a Trainer"):
        module().train_dataloader()


class Fit(LightningModule):
    """Records the batches that it receives, by epoch."""

    def __init__(self, inputs):
        super().__init__()
        self.line = torch.nn.Linear(inputs, 1, dtype=torch.float64)
        self.seen = {}
        self.checked = []

    def training_step(self, batch, number):
        self.seen.setdefault(self.current_epoch, []).append(batch.x_ND.cpu())
        return (self.line(batch.x_ND) - batch.y_NH).square().mean()

    def validation_step(self, batch, number):
        self.checked.append(batch.x_ND.cpu())

    def test_step(self, batch, number):
        self.checked.append(batch.x_ND.cpu())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def trainer(**options) -> Trainer:
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return Trainer(precision="64-true", devices=1, num_sanity_val_steps=0, **dict.fromkeys(quiet, False), **options)


def test_a_trainer_sees_each_epoch_in_its_own_order_and_val_and_test_in_time():
    data = module(batch_size=16)
    model = Fit(3)
    trainer(max_epochs=2).fit(model, datamodule=data)
    for epoch in (0, 1):
        expected = rows(batches(16, seed=0, epoch=lambda epoch=epoch: epoch))
        assert all(torch.equal(a, b) for a, b in zip(model.seen[epoch], expected, strict=True))
    for part in ("val", "test"):
        model.checked = []
        run = trainer()
        run.validate(model, datamodule=data, verbose=False) if part == "val" else run.test(
            model, datamodule=data, verbose=False
        )
        (whole,) = model.checked
        assert torch.equal(whole, next(data.windows.walk(part))[1].x_ND)


def test_an_epoch_that_is_cut_short_does_not_shift_the_next_one():
    model = Fit(3)
    trainer(max_epochs=3, limit_train_batches=2).fit(model, datamodule=module(batch_size=16))
    for epoch in range(3):
        expected = rows(batches(16, seed=0, epoch=lambda epoch=epoch: epoch))[:2]
        assert all(torch.equal(a, b) for a, b in zip(model.seen[epoch], expected, strict=True)), f"epoch {epoch}"


def test_an_unfinished_iteration_does_not_shift_the_next_one():
    loader = batches(16, seed=0)
    whole = rows(loader)
    next(iter(loader))
    assert len(rows(loader)) == len(whole)


def test_parts_without_a_share_have_no_batches():
    model = Fit(1)
    data = WindowDataModule(Line(rows=30, split=[1, 0, 0], batch_size=None, shuffle=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning warns about an empty validation
        trainer(max_epochs=1).fit(model, datamodule=data)
    (batch,) = model.seen[0]
    assert torch.equal(batch, next(data.windows.walk("train"))[1].x_ND)
    assert data.val_dataloader() == data.test_dataloader() == []


@pytest.mark.parametrize("done", range(6))
def test_an_epoch_resumes_after_any_of_its_batches(done):
    whole = rows(batches(14, seed=2))
    assert len(whole) == 5
    loader = batches(14, seed=2)
    walk = iter(loader)
    for _ in range(min(done, 5)):
        next(walk)
    if done == 5:
        assert list(walk) == []  # the epoch is over: a run resumed from here starts the next one
    state = json.loads(json.dumps(loader.state_dict()))
    other = batches(14, seed=2)
    other.load_state_dict(state)
    expected = whole[done % 5 :]
    assert all(torch.equal(a, b) for a, b in zip(rows(other), expected, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(rows(other), whole, strict=True))


def test_the_order_does_not_touch_torchs_global_random_state():
    loader = batches(16, seed=0)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = loader.order()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(loader.order(), one)


def test_every_seed_and_epoch_has_its_own_order_and_none_is_sorted_by_time():
    orders = {tuple(batches(16, seed=s, epoch=lambda e=e: e).order().tolist()) for s in range(4) for e in range(4)}
    assert len(orders) == 16
    assert tuple(batches(16).order().tolist()) not in orders


def test_the_order_does_not_depend_on_the_epochs_before():
    epoch = 0
    loader = batches(16, seed=0, epoch=lambda: epoch)
    rows(loader)
    epoch = 3
    assert torch.equal(loader.order(), batches(16, seed=0, epoch=lambda: 3).order())


def test_a_device_without_a_sample_of_the_last_batch_has_weight_zero():
    last = [list(batches(66, seed=0, rank=rank, world=2))[-1] for rank in (0, 1)]  # 67 samples: one is left
    whole = list(batches(66, seed=0))[-1]
    assert len(whole.x_ND) == 1
    assert [batch.share for batch in last] == [2, 0]
    assert [len(batch.x_ND) for batch in last] == [1, 1]
    assert torch.equal(last[0].x_ND, whole.x_ND)
    assert torch.equal(sum(batch.share * batch.x_ND.mean(0) for batch in last) / 2, whole.x_ND.mean(0))


PLACED = module().placed("cpu", torch.float64)  # once, because hypothesis calls the test often


@settings(max_examples=40, deadline=None)
@given(size=st.one_of(st.none(), st.integers(1, 80)), world=st.integers(1, 5), epoch=st.integers(0, 9))
def test_devices_partition_the_epoch_and_average_to_the_whole_mean(size, world, epoch):
    whole = list(Batches(PLACED, "train", size, seed=0, epoch=lambda: epoch))
    shards = [
        list(Batches(PLACED, "train", size, seed=0, epoch=lambda: epoch, rank=rank, world=world))
        for rank in range(world)
    ]
    assert sum(len(batch.x_ND) for batch in whole) == 67
    assert [len(batch.x_ND) for batch in whole[:-1]] == [min(size or 67, 67)] * (len(whole) - 1)
    for batch, *mine in zip(whole, *shards, strict=True):
        samples = [pair for part in mine if part.share for pair in torch.cat([part.x_ND, part.y_NH], 1).tolist()]
        assert sorted(samples) == sorted(torch.cat([batch.x_ND, batch.y_NH], 1).tolist())
        loss = sum(part.share * (part.x_ND.sum(1, keepdim=True) - part.y_NH).square().mean() for part in mine) / world
        expected = (batch.x_ND.sum(1, keepdim=True) - batch.y_NH).square().mean()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("world", [1, 2])
def test_one_batch_of_the_seed_is_the_first_of_its_epoch_0(world):
    (one,) = batches(8, seed=3, one_batch=True, epoch=lambda: 7, world=world)
    first = next(iter(batches(8, seed=3, world=world)))
    assert torch.equal(one.x_ND, first.x_ND)
    assert len(batches(8, seed=3, one_batch=True)) == 1


def test_a_second_setup_does_not_read_the_data_again(monkeypatch):
    data = WindowDataModule(RandomWalk(rows=50))
    data.setup("fit")
    windows = data.windows
    monkeypatch.setattr(RandomWalk, "read", lambda self: pytest.fail("read again"))
    data.setup("test")
    assert data.windows is windows


def test_faults_name_the_file_or_the_kind_of_generated_data(tmp_path):
    (tmp_path / "short.csv").write_text("Date,Close\n2020-01-01,1\n2020-01-02,3\n2020-01-03,2\n")
    with pytest.raises(ValueError, match=r"(?s)^short.csv: .*data.window=60 needs at least 61 rows"):
        WindowDataModule(PriceFile(path=str(tmp_path / "short.csv"), window=60)).setup()
    with pytest.raises(ValueError, match=r"(?s)^data=random_walk: .*data.window=60 needs at least 61 rows"):
        WindowDataModule(RandomWalk(rows=40, window=60)).setup()


def test_the_seed_splits_plain_rows_but_not_series():
    def index(source, seed):
        data = WindowDataModule(source, seed=seed)
        data.setup()
        return list(data.windows.index)

    assert index(Line(), 0) != index(Line(), 1)
    assert index(RandomWalk(rows=50), 0) == index(RandomWalk(rows=50), 1)
