"""Scores the predictions for one part of a data set. The actual values and the reference are computed once.

Every sample of the part counts, so scores do not depend on a batch size.
Shapes: N samples of the part, H horizon, O outputs, S series.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from steepest.data.windows import Windows
from steepest.evaluate import baselines
from steepest.evaluate.blocks import targets
from steepest.evaluate.final_metrics import (
    FEW_SERIES,
    final_class_metrics,
    final_value_metrics,
    information_coefficient,
)
from steepest.evaluate.metrics import Scores, class_metrics, value_metrics


class PartScorer:
    """Scores the predictions for one part. The object does not change after construction, so threads can share it.

    Predictions are either a model's *outputs* (N, O), in model space, or *predicted* values in the data's units:
    prices (N, H) in float64, or, for classes, the logits (N, 2 H).

    Args:
        windows: the data, on the model's device and in its precision.
        part: train, val or test; it has samples.
        share_H: for classes, the share of class 1 in the training part.

    Attributes:
        origin_N: the row of each sample's last day.
        target_NH: the output that a model is trained to give for it.
        actual_NH: the actual prices, float64; values only.
        reference_NH: the prices that the reference (persistence or, for plain rows, the training mean) predicts; values
            only.
        last_N1: each sample's last known price; values of series only.
        pricing: converts outputs into prices; values only.
        reference: what the reference predicts, in the data's units: `reference_NH`, or the majority's logits.
    """

    def __init__(self, windows: Windows, part: str, share_H: Float[Tensor, " H"] | None) -> None:
        count = len(windows.parts[part])
        assert count > 0, "a part without samples has no scores"
        self.part, self.share_H, self.ordered = part, share_H, windows.ordered
        self.origin_N = windows.parts[part].origins(torch.arange(count, device=windows.price_T.device))
        self.target_NH = targets(windows, part)
        self._counts = dict(zip(windows.names, windows.parts[part].count_S.tolist(), strict=True))
        if share_H is not None:
            self.reference = baselines.majority(share_H, count)
            return
        self.actual_NH = windows.actual(self.origin_N)
        self.reference_NH = (baselines.persistence if windows.ordered else baselines.mean)(windows, self.origin_N)
        self.reference = self.reference_NH
        self.pricing = windows.pricing(self.origin_N)
        series_N = windows.series_T[self.origin_N]
        self._unit_N1 = windows.unit_S[series_N].unsqueeze(-1)
        if windows.ordered:
            self.last_N1 = windows.last(self.origin_N)
            self._naive_N1 = windows.change_S[series_N].unsqueeze(-1)
            self._change_N1 = windows.change_rms_S[series_N].unsqueeze(-1)
            self._day_N = windows.index.get_level_values("date").to_numpy()[self.origin_N.cpu().numpy()]

    def __len__(self) -> int:
        return len(self.origin_N)

    def in_data_units(self, outputs_NO: Float[Tensor, "N O"]) -> Tensor:
        """A model's outputs as prices (N, H), float64; for classes, the logits unchanged."""
        if self.share_H is not None:
            return outputs_NO
        return self.pricing(outputs_NO[:, : self.actual_NH.shape[1]])  # of quantiles, the medians

    def scores(self, outputs_NO: Float[Tensor, "N O"]) -> Scores:
        """Scores of a model's outputs in model space."""
        return self.scores_of(self.in_data_units(outputs_NO))

    def scores_of(self, predicted: Tensor) -> Scores:
        """Scores of predictions in the data's units: prices (N, H) or, for classes, logits (N, 2 H)."""
        return self.scores_at(predicted, slice(None))

    def all_scores_of(self, predicted: Tensor) -> Scores:
        """`scores_of` with the additional scores of `final_metrics`, for the end of a run."""
        scores = self.scores_of(predicted)
        if self.share_H is not None:
            return scores | final_class_metrics(predicted, self.target_NH)
        scores |= final_value_metrics(predicted, self.actual_NH, self._change_N1 if self.ordered else None)
        if len(self._counts) < FEW_SERIES:
            return scores
        coefficient = information_coefficient(predicted[:, 0], self.actual_NH[:, 0], self.last_N1[:, 0], self._day_N)
        return scores | {"information_coefficient": coefficient}

    def by_step(self, predicted: Tensor) -> dict[str, list[float | None]]:
        """The root mean squared error, the mean absolute error and the skill of each step of the horizon."""
        error_NH, reference_NH = predicted.double() - self.actual_NH, self.reference_NH - self.actual_NH
        mse_H, reference_H = (e_NH.square().mean(0) for e_NH in (error_NH, reference_NH))
        found = {"rmse": mse_H.sqrt(), "mae": error_NH.abs().mean(0), "skill": 1 - mse_H / reference_H}
        return {name: [x if math.isfinite(x) else None for x in value_H.tolist()] for name, value_H in found.items()}

    def samples_by_series(self) -> dict[str, slice]:
        """The samples of each series that has samples, or an empty dict if there is only one series."""
        samples: dict[str, slice] = {}
        stop = 0
        for series, count in self._counts.items() if len(self._counts) > 1 else ():
            start, stop = stop, stop + count  # a part's samples are in the order of the series
            if count:
                samples[series] = slice(start, stop)
        return samples

    def scores_by_series(self, predicted: Tensor) -> dict[str, Scores]:
        """Return `scores_of` for the samples of each series, or an empty dict if there is only one series."""
        return {series: self.scores_at(predicted, samples) for series, samples in self.samples_by_series().items()}

    def scores_at(self, predicted: Tensor, samples: slice | Tensor) -> Scores:
        """Return `scores_of` for some of the samples."""
        if self.share_H is not None:
            return class_metrics(predicted[samples], self.target_NH[samples], self.share_H, self.ordered)
        last_N1, naive_N1 = (self.last_N1[samples], self._naive_N1[samples]) if self.ordered else (None, None)
        return value_metrics(
            predicted[samples],
            self.actual_NH[samples],
            self.reference_NH[samples],
            last_N1,
            naive_N1,
            self._unit_N1[samples],
        )

    def losses_of(self, predicted: Tensor) -> Float[Tensor, " N"]:
        """Each sample's mean squared error, or its share of wrong classes, float64; the verdict compares them.

        Errors are in units of their series' training prices, `Windows.unit_S`.
        """
        if self.share_H is not None:
            wrong_NH = predicted.unflatten(-1, (-1, 2)).argmax(-1) != self.target_NH
            return wrong_NH.double().mean(-1)
        return ((predicted - self.actual_NH) / self._unit_N1).square().mean(-1)


def part_scorers(windows: Windows, share_H: Float[Tensor, " H"] | None = None) -> dict[str, PartScorer]:
    """A scorer for each part that has samples.

    Args:
        windows: the data.
        share_H: for classes, the share of class 1 in the training part; None computes it.
    """
    if windows.classes and share_H is None:
        share_H = baselines.share_of_ones(windows)
    return {name: PartScorer(windows, name, share_H) for name, part in windows.parts.items() if len(part)}
