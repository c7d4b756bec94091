"""The forecasts of one model for one part, block by block.

Shapes: M samples of a block, H horizon, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from steepest.evaluate.intervals import Forecasts, Unit, sides
from steepest.evaluate.scoring import Block, Outputs, PartScorer, Predictions


class Forecast(NamedTuple):
    """The predictions for a block: in the data's units (prices or, for classes, logits), and a model's outputs."""

    predicted: Tensor
    outputs_MO: Tensor


class PartForecasts:
    """The forecasts for a part, block by block.

    A small part keeps them. Those of other parts are computed at each iteration, so that they are never in memory
    together.
    """

    def __init__(self, scorer: PartScorer, forecast: Callable[[Block], Forecast]) -> None:
        self.scorer, self.forecast = scorer, forecast
        self.kept = None if scorer.kept is None else [forecast(block) for block in scorer.kept]

    def __iter__(self) -> Iterator[tuple[Block, Forecast]]:
        if self.kept is not None:
            yield from zip(self.scorer.blocks(), self.kept, strict=True)
            return
        for block in self.scorer.blocks():
            yield block, self.forecast(block)

    def predicted(self) -> Predictions:
        """Yield the predictions in the data's units."""
        return ((block, forecast.predicted) for block, forecast in self)


class InUnits:
    """The forecasts for a part, on the CPU, with the unit of their intervals, in blocks.

    It can be iterated several times.
    """

    def __init__(self, forecasts: PartForecasts, unit: Unit) -> None:
        self.forecasts, self.unit = forecasts, unit

    def __iter__(self) -> Iterator[Forecasts]:
        for block, (predicted, outputs_MO) in self.forecasts:
            assert block.actual_MH is not None, "intervals are about values"
            assert block.pricing is not None, "so are prices"
            columns = predicted, block.actual_MH, *sides(self.unit, block.pricing, outputs_MO)
            yield Forecasts(*(column.cpu() for column in columns))


def of_outputs(outputs: Outputs) -> Callable[[Block], Forecast]:
    """The forecasts of a model with these outputs."""

    def forecast(block: Block) -> Forecast:
        outputs_MO = outputs(block.origin_M)
        return Forecast(block.in_data_units(outputs_MO), outputs_MO)

    return forecast


def of_medians(outputs: Outputs) -> Callable[[Block], Forecast]:
    """The forecasts of a model with these outputs, without the quantiles other than the median."""

    def forecast(block: Block) -> Forecast:
        outputs_MO = outputs(block.origin_M)
        return Forecast(block.in_data_units(outputs_MO), outputs_MO[:, : block.target_MH.shape[1]])

    return forecast


def of_pooled(predicted: Tensor) -> Callable[[Block], Forecast]:
    """The forecasts with these predictions for all samples of the part."""
    return lambda block: Forecast(predicted[block.samples], predicted[block.samples])
