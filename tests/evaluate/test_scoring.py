"""Scores of a part against the formulas on its raw prices, and outputs computed in blocks of a fixed size."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from steepest.data import windows as windows_module
from steepest.data.files import check_prices
from steepest.data.formulas import Rings
from steepest.data.preparation import row_windows, series_windows
from steepest.data.sources import RandomWalk
from steepest.data.windows import Part
from steepest.evaluate import scoring
from steepest.evaluate.blocks import ROWS, outputs_at
from steepest.evaluate.forecasts import of_outputs
from steepest.evaluate.metrics import class_metrics, value_metrics
from steepest.evaluate.scoring import part_scorers
from steepest.nets.losses import LOSSES
from steepest.nets.networks import MLP


def walk(rows=300, **options):
    spec = RandomWalk(rows=rows, seed=3, **options)
    return series_windows(spec.read(), spec, "test").to("cpu", torch.float32)


def shortened(windows, count):
    """The same windows with only the first samples of the training part."""
    part = windows.parts["train"]
    return replace(windows, parts=windows.parts | {"train": Part(part.first_S, torch.tensor([count]))})


def outputs_of(model, windows, part):
    """A model's outputs for every sample of a part."""
    return outputs_at(model, windows, windows.parts[part].origins(torch.arange(len(windows.parts[part]))))


LONG = walk(rows=1500, window=7)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, len(LONG.parts["train"])), st.integers(1, 5))
def test_an_output_is_the_same_to_the_last_bit_however_many_samples_there_are(count, width):
    network = MLP(LONG.inputs, [width], LONG.horizon, "tanh")
    every = outputs_of(network, LONG, "train")
    assert torch.equal(outputs_of(network, shortened(LONG, count), "train"), every[:count])


@pytest.mark.parametrize("count", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
@pytest.mark.parametrize("chunk", [windows_module.CHUNK, 64 * 7])
def test_every_call_gets_a_whole_block_and_every_sample_one_output(count, chunk, monkeypatch):
    monkeypatch.setattr(windows_module, "CHUNK", chunk)
    windows = shortened(LONG, count)
    blocks = []

    def predict(x_ND):
        blocks.append(x_ND)
        return x_ND[:, :2]

    outputs = outputs_of(predict, windows, "train")
    x_ND = windows.gather(windows.parts["train"].origins(torch.arange(count))).x_ND
    assert torch.equal(outputs, x_ND[:, :2])
    assert {len(block) for block in blocks} == {ROWS}
    assert len(blocks) == -(-count // ROWS)
    padding = blocks[-1][count - ROWS * (len(blocks) - 1) :]
    assert torch.equal(padding, blocks[-1][:1].expand_as(padding))


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that any call made, in bytes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            place = made.untyped_storage().data_ptr()
            given = [one.untyped_storage().data_ptr() for one in args if isinstance(one, torch.Tensor)]
            if place not in given:  # not a view
                self.bytes = max(self.bytes, made.untyped_storage().nbytes())
        return made


def test_memory_does_not_grow_with_samples_times_inputs():
    windows = walk(rows=20_000, window=500)
    with Largest() as largest:
        outputs_of(lambda x_ND: x_ND[:, :1], windows, "train")
        part_scorers(windows)
    assert largest.bytes <= 4 * windows_module.CHUNK < 4 * windows.inputs * len(windows.parts["train"]) / 6


@pytest.mark.parametrize("target", ["price", "direction"])
def test_scores_add_up_over_blocks_and_need_memory_for_a_few_blocks_only(target, monkeypatch):
    windows = walk(rows=3000, window=3, horizon=30, target=target)
    width = windows.horizon * (2 if windows.classes else 1)
    network = MLP(windows.inputs, [4], width, "tanh")
    loss, outputs = LOSSES["cross_entropy" if windows.classes else "mse"], partial(outputs_at, network, windows)

    def scored():
        scorer = part_scorers(windows)["train"]
        thirds = torch.arange(len(scorer)) * 3 // len(scorer)
        forecast = of_outputs(outputs)
        with Largest() as largest:
            epoch = scorer.epoch(outputs, loss)
            found = scorer.assess(((block, forecast(block).predicted) for block in scorer.blocks()), thirds)
        return epoch, found, largest.bytes, scorer

    expected, whole, _, scorer = scored()
    assert len(list(scorer.blocks())) == 1
    monkeypatch.setattr(scoring, "VALUES", 2 * ROWS * windows.horizon)
    monkeypatch.setattr(scoring, "KEPT", 0)
    epoch, found, largest, scorer = scored()
    assert scorer.kept is None
    assert len(list(scorer.blocks())) == -(-len(scorer) // (2 * ROWS)) > 3
    assert epoch[0] == pytest.approx(expected[0], rel=1e-12)
    assert epoch[1] == pytest.approx(expected[1], rel=1e-6)
    assert found.scores == pytest.approx(whole.scores, rel=1e-12)
    assert found.steps == {name: pytest.approx(values, rel=1e-12) for name, values in whole.steps.items()}
    assert [*found.by_group] == [pytest.approx(scores, rel=1e-12) for scores in whole.by_group]
    assert torch.equal(found.loss_N, whole.loss_N)
    if not windows.classes:  # (the area under the curve of classes needs all of them)
        assert largest <= 14 * 8 * 2 * ROWS * windows.horizon, "fourteen terms of one block"


@pytest.mark.parametrize("chunk", [windows_module.CHUNK, 64 * 7])
@pytest.mark.parametrize("options", [{}, {"target": "direction"}, {"relative_to_last": True}])
def test_targets_are_those_of_the_gathered_samples(options, chunk, monkeypatch):
    windows = walk(window=5, horizon=2, **options)
    origins = {part: samples.origins(torch.arange(len(samples))) for part, samples in windows.parts.items()}
    monkeypatch.setattr(windows_module, "CHUNK", chunk)
    for part, scorer in part_scorers(windows).items():
        assert (len(scorer), scorer.part) == (len(windows.parts[part]), part)
        assert torch.equal(scorer.origin_N, origins[part])
        target_NH = torch.cat([block.target_MH for block in scorer.blocks()])
        assert torch.equal(target_NH, windows.gather(origins[part]).y_NH)


@pytest.mark.parametrize("transform", ["level", "return", "log_return"])
def test_scores_of_outputs_are_those_of_their_prices(transform):
    spec = RandomWalk(rows=300, seed=3, window=5, horizon=2, transform=transform)
    windows = series_windows(spec.read(), spec, "test")
    price = torch.tensor(spec.read()["value"].to_numpy())[-len(windows.price_T) :]  # the first row has no return
    scorer = part_scorers(windows)["test"]
    outputs = torch.randn(len(scorer), 2, generator=torch.Generator().manual_seed(0))
    predicted = windows.to_price(outputs, scorer.origin_N)
    train = price[: int(windows.train_stop_S)]
    last, unit = price[scorer.origin_N].unsqueeze(1), train.std(correction=0).expand(len(scorer), 1)
    naive = (train[1:] - train[:-1]).abs().mean().expand(len(scorer), 1)
    actual = torch.stack([price[scorer.origin_N + ahead] for ahead in (1, 2)], 1)
    expected = value_metrics(predicted, actual, last.expand(-1, 2), last, naive, unit)
    assert scorer.epoch(lambda origin_N: outputs, LOSSES["mse"])[0] == pytest.approx(expected, rel=1e-12)
    found = scorer.assess(scorer.parts_of(predicted))
    assert {name: found.scores[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    torch.testing.assert_close(found.loss_N, ((predicted - actual) / unit).square().mean(1), rtol=1e-12, atol=0)
    error, without = predicted - actual, last - actual
    assert found.steps["rmse"] == pytest.approx(error.square().mean(0).sqrt().tolist(), rel=1e-12)
    assert found.steps["mae"] == pytest.approx(error.abs().mean(0).tolist(), rel=1e-12)
    assert found.steps["skill"] == pytest.approx((1 - error.square().mean(0) / without.square().mean(0)).tolist())


@pytest.mark.parametrize("rows", [7, 90, 93, 107])
def test_prices_that_are_all_equal_have_no_r2(rows):
    price = np.append(np.random.default_rng(rows).uniform(1, 9, 50), np.full(rows, 4.7))
    spec = RandomWalk(rows=len(price), split=[50, 0, rows], history="borrow")
    days = pd.date_range("2000-01-01", periods=len(price))
    windows = series_windows(check_prices(pd.DataFrame({"date": days, "close": price}), "test"), spec, "test")
    scorer = part_scorers(windows)["test"]
    predicted = torch.full((len(scorer), 1), 4.8, dtype=torch.float64)
    assert scorer.assess(scorer.parts_of(predicted)).scores["r2"] is None


def test_scores_of_groups_are_those_of_their_samples():
    windows = walk(window=5, horizon=2)
    scorer = part_scorers(windows)["test"]
    random = torch.Generator().manual_seed(0)
    (block,) = scorer.blocks()
    predicted = block.actual_MH + torch.randn(block.actual_MH.shape, generator=random, dtype=torch.float64)
    group_N = torch.randint(0, 3, (len(scorer),), generator=random)
    found = scorer.assess(scorer.parts_of(predicted), group_N).by_group
    columns = [predicted, block.actual_MH, block.reference, block.last_M1, block.naive_M1, block.unit_M1]
    for group, scores in enumerate(found):
        assert scores == pytest.approx(value_metrics(*(c[group_N == group] for c in columns)), rel=1e-12)


def test_scores_of_classes_are_those_of_their_logits():
    spec = Rings()
    windows = row_windows(spec.read(), spec, "test", seed=0)
    train, test = (part_scorers(windows)[part] for part in ("train", "test"))
    logits = torch.randn(len(test), 2, generator=torch.Generator().manual_seed(0))
    (of_train,), (of_test,) = train.blocks(), test.blocks()
    share = of_train.target_MH.double().mean(0)
    expected = class_metrics(logits, of_test.target_MH, share, ordered=False)
    scores, loss = test.epoch(lambda origin_N: logits, LOSSES["cross_entropy"])
    assert scores == expected
    assert loss == pytest.approx(expected["cross_entropy"], rel=1e-6)
    wrong = (logits[:, 1] > logits[:, 0]).long() != of_test.target_MH[:, 0]
    assert torch.equal(test.assess(test.parts_of(logits)).loss_N, wrong.double())
