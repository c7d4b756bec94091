"""Scores of a part against the formulas on its raw prices, and outputs computed in blocks of a fixed size."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from steepest.data import windows as windows_module
from steepest.data.formulas import Rings
from steepest.data.preparation import row_windows, series_windows
from steepest.data.sources import RandomWalk
from steepest.data.windows import Part
from steepest.evaluate import metrics
from steepest.evaluate.blocks import ROWS, outputs_in_blocks, targets
from steepest.evaluate.metrics import class_metrics, value_metrics
from steepest.evaluate.scoring import part_scorers
from steepest.nets.networks import MLP


def walk(rows=300, **options):
    spec = RandomWalk(rows=rows, seed=3, **options)
    return series_windows(spec.read(), spec, "test").to("cpu", torch.float32)


def shortened(windows, count):
    """The same windows with only the first samples of the training part."""
    part = windows.parts["train"]
    return replace(windows, parts=windows.parts | {"train": Part(part.first_S, torch.tensor([count]))})


LONG = walk(rows=1500, window=7)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, len(LONG.parts["train"])), st.integers(1, 5))
def test_an_output_is_the_same_to_the_last_bit_however_many_samples_there_are(count, width):
    network = MLP(LONG.inputs, [width], LONG.horizon, "tanh")
    every = outputs_in_blocks(network, LONG, "train")
    assert torch.equal(outputs_in_blocks(network, shortened(LONG, count), "train"), every[:count])


@pytest.mark.parametrize("count", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
@pytest.mark.parametrize("chunk", [windows_module.CHUNK, 64 * 7])
def test_every_call_gets_a_whole_block_and_every_sample_one_output(count, chunk, monkeypatch):
    monkeypatch.setattr(windows_module, "CHUNK", chunk)
    windows = shortened(LONG, count)
    blocks = []

    def predict(x_ND):
        blocks.append(x_ND)
        return x_ND[:, :2]

    outputs = outputs_in_blocks(predict, windows, "train")
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
        outputs_in_blocks(lambda x_ND: x_ND[:, :1], windows, "train")
        part_scorers(windows)
    assert largest.bytes <= 4 * windows_module.CHUNK < 4 * windows.inputs * len(windows.parts["train"]) / 6


def test_scores_add_up_over_blocks_and_need_memory_for_one_block_only(monkeypatch):
    windows = walk(rows=2000, window=3, horizon=30)
    scorer = part_scorers(windows)["train"]
    predicted = scorer.actual_NH + torch.randn(scorer.actual_NH.shape, dtype=torch.float64)
    expected = scorer.all_scores_of(predicted)
    monkeypatch.setattr(metrics, "VALUES", 1000)
    with Largest() as largest:
        found = scorer.all_scores_of(predicted)
    assert found == pytest.approx(expected, rel=1e-12)
    assert largest.bytes <= 9 * 8 * 1000 < predicted.nbytes / 4, "nine terms of one block"


def test_a_part_without_samples_has_no_outputs():
    windows = walk(split=[0.8, 0.2, 0])
    with pytest.raises(ValueError, match="the test part has no samples"):
        outputs_in_blocks(lambda x_ND: x_ND, windows, "test")
    assert list(part_scorers(windows)) == ["train", "val"]


@pytest.mark.parametrize("chunk", [windows_module.CHUNK, 64 * 7])
@pytest.mark.parametrize("options", [{}, {"target": "direction"}, {"relative_to_last": True}])
def test_targets_are_those_of_the_gathered_samples(options, chunk, monkeypatch):
    windows = walk(window=5, horizon=2, **options)
    origins = {part: samples.origins(torch.arange(len(samples))) for part, samples in windows.parts.items()}
    monkeypatch.setattr(windows_module, "CHUNK", chunk)
    for part, scorer in part_scorers(windows).items():
        assert (len(scorer), scorer.part) == (len(windows.parts[part]), part)
        assert torch.equal(scorer.origin_N, origins[part])
        assert torch.equal(scorer.target_NH, windows.gather(origins[part]).y_NH)
        assert torch.equal(targets(windows, part), scorer.target_NH)


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
    assert scorer.scores(outputs) == pytest.approx(expected, rel=1e-12)
    assert scorer.scores_of(predicted) == scorer.scores(outputs)
    torch.testing.assert_close(
        scorer.losses_of(predicted), ((predicted - actual) / unit).square().mean(1), rtol=1e-12, atol=0
    )


def test_scores_of_classes_are_those_of_their_logits():
    spec = Rings()
    windows = row_windows(spec.read(), spec, "test", seed=0)
    train, test = (part_scorers(windows)[part] for part in ("train", "test"))
    logits = torch.randn(len(test), 2, generator=torch.Generator().manual_seed(0))
    share = train.target_NH.double().mean(0)
    assert test.scores(logits) == class_metrics(logits, test.target_NH, share, ordered=False)
    wrong = (logits[:, 1] > logits[:, 0]).long() != test.target_NH[:, 0]
    assert torch.equal(test.losses_of(logits), wrong.double())
