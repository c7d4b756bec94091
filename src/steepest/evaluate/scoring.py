"""Scores the predictions for one part of a data set, in one pass over blocks of its samples.

Every sample of the part counts, so scores do not depend on a batch size. A pass adds up sums, so the predictions for
a part are never in memory together: memory does not grow with samples times horizon.

Shapes: N samples of the part, M samples of a block, H horizon, O outputs, S series, G groups of samples, K terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.data.windows import Pricing, Windows
from steepest.evaluate import baselines
from steepest.evaluate.blocks import block_rows
from steepest.evaluate.final_metrics import (
    FEW_SERIES,
    final_class_metrics,
    final_value_scores,
    final_value_terms,
    information_coefficient,
)
from steepest.evaluate.metrics import Scores, Terms, class_scores, class_terms, totals, value_scores, value_terms
from steepest.evaluate.own import Metrics, own_scores, own_terms
from steepest.nets.losses import Loss

VALUES = 2**18  # predictions in a block: 2 MiB for each term
KEPT = 2**20  # a part with at most this many predictions keeps its blocks

Outputs = Callable[[Int[Tensor, " M"]], Float[Tensor, "M O"]]  # computes a model's outputs for samples at these origins


class Block(NamedTuple):
    """Some samples of a part, and what is known about them.

    Attributes:
        samples: their places in the part.
        origin_M: the row of each sample's last day.
        target_MH: the output that a model is trained to give for it.
        reference: what the reference (persistence or, for plain rows, the training mean) predicts: prices (M, H) or,
            for classes, the majority's logits (M, 2 H).
        actual_MH: the actual prices, float64; values only, as all that follows.
        pricing: converts outputs into prices.
        unit_M1: the standard deviation of the series' training rows.
        last_M1, naive_M1, change_M1: the last known price, and the mean absolute and the root mean squared change of
            the series' training rows; series only.
    """

    samples: slice
    origin_M: Tensor
    target_MH: Tensor
    reference: Tensor
    actual_MH: Tensor | None = None
    pricing: Pricing | None = None
    unit_M1: Tensor | None = None
    last_M1: Tensor | None = None
    naive_M1: Tensor | None = None
    change_M1: Tensor | None = None

    def in_data_units(self, outputs_MO: Float[Tensor, "M O"]) -> Tensor:
        """A model's outputs as prices (M, H), float64; for classes, the logits unchanged."""
        if self.pricing is None:
            return outputs_MO
        return self.pricing(outputs_MO[:, : self.target_MH.shape[1]])  # of quantiles, the medians


# The predictions for every block of a part, in the data's units: prices (M, H), or for classes logits (M, 2 H).
Predictions = Iterable[tuple[Block, Tensor]]


class Assessment(NamedTuple):
    """What one pass over the predictions for a part gives.

    Attributes:
        scores: all scores.
        loss_N: each sample's mean squared error, or its share of wrong classes, float64; the verdict compares them.
            Errors are in units of their series' training prices, `Windows.unit_S`.
        by_group: the scores of each group of samples, as those of an epoch.
        steps: the root mean squared error, the mean absolute error and the skill of each step of the horizon; values
            only.
    """

    scores: Scores
    loss_N: Float[Tensor, " N"]
    by_group: list[Scores]
    steps: dict[str, list[float | None]]


class PartScorer:
    """Scores the predictions for one part. The object does not change after construction, so threads can share it.

    Args:
        windows: the data, on the model's device and in its precision.
        part: train, val or test; it has samples.
        share_H: for classes, the share of class 1 in the training part.
        own: metrics of the user's own, by name.

    Attributes:
        origin_N: the row of each sample's last day.
        ordered: whether the rows are a time series.
        kept: the blocks, if the part is small, else None.
    """

    def __init__(
        self, windows: Windows, part: str, share_H: Float[Tensor, " H"] | None, own: Metrics = MappingProxyType({})
    ) -> None:
        if own and share_H is not None:
            raise ValueError("evaluation.metrics score prices, but these data are classes: use evaluation.metrics={}")
        count = len(windows.parts[part])
        assert count > 0, "a part without samples has no scores"
        self.own = own
        self.windows, self.part, self.share_H, self.ordered = windows, part, share_H, windows.ordered
        self.origin_N = windows.parts[part].origins(torch.arange(count, device=windows.price_T.device))
        self.count_S = windows.parts[part].count_S
        self.kept = tuple(self._computed()) if count * windows.horizon <= KEPT else None

    def __len__(self) -> int:
        return len(self.origin_N)

    def blocks(self) -> Iterator[Block]:
        """Yield the samples in order, in blocks of about `VALUES` predictions."""
        yield from self._computed() if self.kept is None else self.kept

    def parts_of(self, predicted: Tensor) -> Predictions:
        """Yield the predictions for all samples in blocks."""
        return ((block, predicted[block.samples]) for block in self.blocks())

    def _computed(self) -> Iterator[Block]:
        rows = block_rows(self.origin_N.device)
        size = max(1, VALUES // self.windows.horizon // rows) * rows  # whole blocks of outputs
        for start in range(0, len(self), size):
            yield self._block(slice(start, min(start + size, len(self))))

    def _block(self, samples: slice) -> Block:
        windows, origin_M = self.windows, self.origin_N[samples]
        target_MH = windows.targets(origin_M)
        if self.share_H is not None:
            return Block(samples, origin_M, target_MH, baselines.majority(self.share_H, len(origin_M)))
        series_M = windows.series_T[origin_M]
        of_series = (
            [windows.last(origin_M), *(c_S[series_M].unsqueeze(-1) for c_S in (windows.change_S, windows.change_rms_S))]
            if windows.ordered
            else []
        )
        return Block(
            samples,
            origin_M,
            target_MH,
            (baselines.persistence if windows.ordered else baselines.mean)(windows, origin_M),
            windows.actual(origin_M),
            windows.pricing(origin_M),
            windows.unit_S[series_M].unsqueeze(-1),
            *of_series,
        )

    @cached_property
    def samples_by_series(self) -> dict[str, slice]:
        """The samples of each series that has samples, or an empty dict if there is only one series."""
        names, samples, stop = self.windows.names, dict[str, slice](), 0
        for series, count in zip(names, self.count_S.tolist(), strict=True) if len(names) > 1 else ():
            start, stop = stop, stop + count  # a part's samples are in the order of the series
            if count:
                samples[series] = slice(start, stop)
        return samples

    @property
    def series_N(self) -> Int[Tensor, " N"] | None:
        """The place of each sample's series in `samples_by_series`, or None if there is only one series."""
        counts = [samples.stop - samples.start for samples in self.samples_by_series.values()]
        if not counts:
            return None
        count_G = torch.tensor(counts, device=self.origin_N.device)
        return torch.arange(len(counts), device=count_G.device).repeat_interleave(count_G)

    @torch.no_grad()
    def epoch(self, outputs: Outputs, loss: Loss) -> tuple[Scores, float]:
        """The scores and the loss of a model at the end of an epoch."""
        found, mean = _Sums(), 0.0
        for block in self.blocks():
            outputs_MO = outputs(block.origin_M)
            mean += loss(outputs_MO, block.target_MH).item() * (len(block.origin_M) / len(self))
            found.add(totals(self._terms(block, block.in_data_units(outputs_MO))))
        return self._scores(found.sums, len(self)), mean

    @torch.no_grad()
    def assess(self, predictions: Predictions, group_N: Int[Tensor, " N"] | None = None) -> Assessment:
        """All scores of predictions, for the end of a run.

        Args:
            predictions: the predictions for every block.
            group_N: the number of each sample's group; None: there are no groups.
        """
        found = _Sums(0 if group_N is None else int(group_N.max()) + 1)
        # (Allocated in advance: a view of a block would keep all of it, and small copies would fragment the heap.)
        loss_N, first_N = torch.empty(2, len(self), dtype=torch.float64, device=self.origin_N.device)
        logits: list[Tensor] = []
        for block, predicted in predictions:
            terms = self._terms(block, predicted) | self._final_terms(block, predicted)
            term_KM = found.add_all(terms, None if group_N is None else group_N[block.samples])
            if self.share_H is None:
                loss_N[block.samples] = term_KM[list(terms).index("mse_scaled")] / self.windows.horizon
                first_N[block.samples] = predicted[:, 0]
            else:
                right_M = term_KM[list(terms).index("right")]
                loss_N[block.samples] = (self.windows.horizon - right_M) / self.windows.horizon
                logits.append(predicted)
        counts = [] if group_N is None else group_N.bincount().tolist()
        by_group = [self._scores(sums, count) for sums, count in zip(found.of_groups(), counts, strict=True)]
        scores = self._scores(found.sums, len(self)) | self._final_scores(found.sums, first_N, logits)
        return Assessment(scores, loss_N, by_group, {} if self.share_H is not None else found.steps(len(self)))

    def _terms(self, block: Block, predicted: Tensor) -> Terms:
        if self.share_H is not None:
            return class_terms(predicted, block.target_MH, self.share_H)
        assert block.actual_MH is not None, "values have actual prices"
        terms = value_terms(predicted, block.actual_MH, block.reference, block.last_M1, block.naive_M1, block.unit_M1)
        return terms | own_terms(self.own, predicted, block.actual_MH, block.last_M1)

    def _final_terms(self, block: Block, predicted: Tensor) -> Terms:
        if block.actual_MH is None:
            return {}
        return final_value_terms(predicted, block.actual_MH, self._mean, block.change_M1)

    def _scores(self, sums: Mapping[str, float], samples: int) -> Scores:
        count = samples * self.windows.horizon
        if self.share_H is not None:
            return class_scores(sums, count, self.ordered)
        return value_scores(sums, count) | own_scores(self.own, sums, count)

    def _final_scores(self, sums: Mapping[str, float], first_N: Tensor, logits: list[Tensor]) -> Scores:
        """The additional scores, for values with the predictions of the first step, for classes with all logits."""
        if self.share_H is not None:
            return final_class_metrics(torch.cat(logits), torch.cat([block.target_MH for block in self.blocks()]))
        scores = final_value_scores(sums, len(self) * self.windows.horizon)
        if len(self.windows.names) < FEW_SERIES or not self.ordered:
            return scores
        price_T, day_T = self.windows.price_T, self.windows.index.get_level_values("date")
        day_N = day_T.to_numpy()[self.origin_N.cpu().numpy()]
        coefficient = information_coefficient(first_N, price_T[self.origin_N + 1], price_T[self.origin_N], day_N)
        return scores | {"information_coefficient": coefficient}

    @cached_property
    def _mean(self) -> Float[Tensor, ""]:
        """The mean of the actual values. If they are equal, it is exactly their value."""
        first = self.windows.actual(self.origin_N[:1])[0, 0]
        actual = (block.actual_MH for block in self.blocks() if block.actual_MH is not None)
        total = torch.stack([(actual_MH - first).sum() for actual_MH in actual]).sum()
        return first + total / (len(self) * self.windows.horizon)


class _Sums:
    """Sums of terms over blocks: over all samples, over each group of samples, and over each step of the horizon."""

    def __init__(self, groups: int = 0) -> None:
        self.sums: dict[str, float] = {}
        self.groups, self.group_KG, self.step_KH = groups, torch.zeros(()), torch.zeros(())

    def add(self, sums: Mapping[str, float]) -> None:
        """Add the sums over one more block."""
        for name, total in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + total

    def add_all(self, terms: Terms, group_M: Int[Tensor, " M"] | None) -> Float[Tensor, "K M"]:
        """Add the terms of one more block, and return their sums over the horizon."""
        term_KMH = torch.stack(list(terms.values()))
        self.add(dict(zip(terms, term_KMH.sum((1, 2)).tolist(), strict=True)))
        self.step_KH = self.step_KH.to(term_KMH) + term_KMH.sum(1)
        term_KM = term_KMH.sum(2)
        if group_M is not None:
            new_KG = term_KM.new_zeros(len(term_KM), self.groups)
            self.group_KG = self.group_KG.to(term_KM) + new_KG.index_add_(1, group_M, term_KM)
        return term_KM

    def of_groups(self) -> list[dict[str, float]]:
        """The sums over each group."""
        return [dict(zip(self.sums, sums_K, strict=True)) for sums_K in self.group_KG.T.tolist()] if self.groups else []

    def steps(self, samples: int) -> dict[str, list[float | None]]:
        """The scores of each step of the horizon."""
        sum_H = dict(zip(self.sums, self.step_KH, strict=True))
        found = {
            "rmse": (sum_H["mse"] / samples).sqrt(),
            "mae": sum_H["mae"] / samples,
            "skill": 1 - sum_H["mse"] / sum_H["reference"],
        }
        return {name: [x if math.isfinite(x) else None for x in value_H.tolist()] for name, value_H in found.items()}


def part_scorers(
    windows: Windows, share_H: Float[Tensor, " H"] | None = None, own: Metrics = MappingProxyType({})
) -> dict[str, PartScorer]:
    """A scorer for each part that has samples.

    Args:
        windows: the data.
        share_H: for classes, the share of class 1 in the training part; None computes it.
        own: metrics of the user's own, by name.
    """
    if windows.classes and share_H is None:
        share_H = baselines.share_of_ones(windows)
    return {name: PartScorer(windows, name, share_H, own) for name, part in windows.parts.items() if len(part)}
