"""A model and its baselines, scored on every sample of every part.

Every window counts: parts are walked whole, in order, so no score depends on a batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from steepest.data.windows import PARTS, Batch, Windows
from steepest.evaluate import baselines
from steepest.evaluate.metrics import Scores, direction_metrics, value_metrics
from steepest.evaluate.significance import diebold_mariano, mean_by_day

Predict = Callable[[Tensor], Tensor]


SIGNIFICANT = 0.05  # a model that is ahead has beaten its reference only if chance explains it with less than this


@dataclass(frozen=True)
class Verdict:
    """Whether the model beat the reference on the test part (None without one), the p-value, and one plain sentence."""

    beat: bool | None
    p_value: float | None
    sentence: str


@dataclass(frozen=True)
class Evaluation:
    """Scores by part, for the model, for each baseline and (test part, several series) for each series.

    Attributes:
        model: part -> scores; an empty part has none.
        baselines: name -> part -> scores.
        series: series -> scores of the model on the test part.
        reference: the baseline that skill and verdict refer to.
        p_value: of the test that model and reference are equally good on the test part.
        predictions: a row per sample and day of the horizon, in the data's units.
    """

    model: dict[str, Scores]
    baselines: dict[str, dict[str, Scores]]
    series: dict[str, Scores]
    reference: str
    p_value: float | None
    predictions: pd.DataFrame

    def verdict(self) -> Verdict:
        """Did the model beat the reference on the test part?"""
        name = {
            "persistence": "persistence (tomorrow = today)",
            "mean": "the training mean",
            "majority": "the majority class",
        }
        reference, mine = name[self.reference], self.model["test"]
        if not mine:
            return Verdict(None, None, "There is no test part, so nothing is said about data the model has not seen.")
        direction = "cross_entropy" in mine
        metric, called = (
            ("directional_accuracy", "share of right directions") if direction else ("mse", "mean squared error")
        )
        a, b = mine[metric], self.baselines[self.reference]["test"][metric]
        if a is None or b is None:
            return Verdict(
                False,
                None,
                f"The model did not beat {reference} on the test part: its {called} is no finite number.",
            )
        figures = f"its {called} is {a:.6g}, against {b:.6g}"
        ahead = a > b if direction else a < b
        if not ahead:
            return Verdict(False, self.p_value, f"The model did not beat {reference} on the test part: {figures}.")
        chance = (
            "too few days to tell it from chance" if self.p_value is None else f"Diebold-Mariano p = {self.p_value:.2g}"
        )
        if self.p_value is None or self.p_value > SIGNIFICANT:
            return Verdict(
                False,
                self.p_value,
                f"The model did not beat {reference} on the test part: {figures}, no more than chance ({chance}).",
            )
        return Verdict(True, self.p_value, f"The model beat {reference} on the test part: {figures} ({chance}).")


def score_outputs(
    outputs_NO: Tensor, origin_N: Tensor, target_NH: Tensor, windows: Windows, share_H: Tensor | None
) -> Scores:
    """Scores of a model's outputs (N, O) in model space for the samples with these origins.

    `share_H`, the training part's share of ups, is for directions only.
    """
    if windows.direction:
        assert share_H is not None
        return direction_metrics(outputs_NO, target_NH, share_H)
    return _values(windows.to_price(outputs_NO, origin_N), origin_N, windows)


@torch.inference_mode()
def evaluate(model: nn.Module, windows: Windows) -> Evaluation:
    """Score a model and all baselines on all parts of `windows` (placed where the model is)."""
    share = share_if_directions(windows)
    exact = None if windows.direction else baselines.least_squares(windows)
    model_scores: dict[str, Scores] = {}
    by_series: dict[str, Scores] = {}
    others: dict[str, dict[str, Scores]] = {}
    tables = []
    p_value = None
    for part in PARTS:
        if not len(windows.parts[part]):
            model_scores[part] = {}
            continue
        outputs, origins, targets = outputs_of(model, windows, part)
        model_scores[part] = score_outputs(outputs, origins, targets, windows, share)
        for name, scores in _baseline_scores(windows, part, origins, targets, share, exact).items():
            others.setdefault(name, {p: {} for p in PARTS})[part] = scores
        tables.append(_table(outputs, origins, targets, windows, part))
        if part == "test":
            p_value = _p_value(outputs, origins, targets, windows, share)
        if part == "test" and len(windows.names) > 1:
            series_N = windows.series_T[origins]
            for number, name in enumerate(windows.names):
                its = series_N == number
                if bool(its.any()):
                    by_series[name] = score_outputs(outputs[its], origins[its], targets[its], windows, share)
    reference = "majority" if windows.direction else "persistence" if windows.ordered else "mean"
    return Evaluation(model_scores, others, by_series, reference, p_value, pd.concat(tables, ignore_index=True))


@torch.inference_mode()
def outputs_of(model: nn.Module, windows: Windows, part: str) -> tuple[Tensor, Tensor, Tensor]:
    """(outputs, origins, targets) of every sample of a part, in order."""
    part_N = windows.parts[part]
    origin_N = part_N.origins(torch.arange(len(part_N), device=windows.price_T.device))
    target_NH = origin_N.new_empty(len(part_N), windows.horizon, dtype=windows.gather(origin_N[:1]).y_NH.dtype)
    outputs_NO = _walk_into(lambda batch: model(batch.x_ND), windows, part, target_NH)
    return outputs_NO, origin_N, target_NH


def _walk_into(
    predict: Callable[[Batch], Tensor], windows: Windows, part: str, target_NH: Tensor | None = None
) -> Tensor:
    """Predictions (N, O) for a whole part, and its targets into `target_NH` (N, H).

    Results go into tensors made beforehand: small ones kept between the large ones that are freed would leave the heap
    full of holes, and memory would grow with the window after all.
    """
    filled, outputs_NO = 0, None
    for _, batch in windows.walk(part):
        prediction_NO = predict(batch)
        if outputs_NO is None:
            outputs_NO = prediction_NO.new_empty(len(windows.parts[part]), prediction_NO.shape[1])
        stop = filled + len(prediction_NO)
        outputs_NO[filled:stop] = prediction_NO
        if target_NH is not None:
            target_NH[filled:stop] = batch.y_NH
        filled = stop
    assert outputs_NO is not None, "an empty part is not walked through"
    return outputs_NO


def share_if_directions(windows: Windows) -> Tensor | None:
    """What the majority class knows, where directions are predicted."""
    return baselines.share_of_ups(windows) if windows.direction else None


def _values(price_NH: Tensor, origin_N: Tensor, windows: Windows) -> Scores:
    series_N = windows.series_T[origin_N]
    unit_N1 = windows.unit_S[series_N].unsqueeze(-1)
    if not windows.ordered:
        return value_metrics(price_NH, windows.actual(origin_N), baselines.mean(windows, origin_N), unit_N1=unit_N1)
    return value_metrics(
        price_NH,
        windows.actual(origin_N),
        baselines.persistence(windows, origin_N),
        last_N1=windows.last(origin_N),
        naive_N1=_naive(windows)[series_N].unsqueeze(-1),
        unit_N1=unit_N1,
    )


def _naive(windows: Windows) -> Tensor:
    """Mean absolute one-step change of each series' training rows (S,)."""
    spans = zip(windows.start_S.tolist(), windows.train_stop_S.tolist(), strict=True)
    return torch.stack([windows.price_T[start:stop].diff().abs().mean() for start, stop in spans])


def _baseline_scores(
    windows: Windows,
    part: str,
    origin_N: Tensor,
    target_NH: Tensor,
    share_H: Tensor | None,
    exact: Tensor | None,
) -> dict[str, Scores]:
    if exact is None:
        assert share_H is not None
        logits_NO = torch.stack([(1 - share_H).log(), share_H.log()], -1).flatten().expand(len(origin_N), -1)
        return {"majority": direction_metrics(logits_NO, target_NH, share_H)}
    solved = _walk_into(lambda batch: baselines.linear(exact, batch.x_ND), windows, part)
    named: dict[str, Predict] = {
        "persistence": lambda o: baselines.persistence(windows, o),
        "drift": lambda o: baselines.drift(windows, o),
    }
    if not windows.ordered:
        named = {"mean": lambda o: baselines.mean(windows, o)}
    scores = {name: _values(predict(origin_N), origin_N, windows) for name, predict in named.items()}
    return scores | {"least_squares": _values(windows.to_price(solved, origin_N), origin_N, windows)}


def _p_value(
    outputs_NO: Tensor, origin_N: Tensor, target_NH: Tensor, windows: Windows, share_H: Tensor | None
) -> float | None:
    """Diebold-Mariano of the model's losses against the reference's, day by day (row by row for plain rows)."""
    if share_H is not None:
        wrong_NH = outputs_NO.unflatten(-1, (-1, 2)).argmax(-1) != target_NH
        other_NH = (share_H > 0.5).long() != target_NH
        losses = wrong_NH.double().mean(-1), other_NH.double().mean(-1)
    else:
        reference = baselines.persistence if windows.ordered else baselines.mean
        actual_NH = windows.actual(origin_N)
        made = windows.to_price(outputs_NO, origin_N), reference(windows, origin_N)
        mine, others = ((price_NH - actual_NH).square().mean(-1) for price_NH in made)
        losses = mine, others
    day_N = origin_N
    if len(windows.names) > 1:
        days = windows.index.get_level_values("date").asi8[origin_N.cpu().numpy()]
        day_N = torch.from_numpy(days.copy()).to(origin_N.device)
    a_T, b_T = (mean_by_day(loss_N, day_N) for loss_N in losses)
    return diebold_mariano(a_T, b_T, windows.horizon)


def _table(outputs_NO: Tensor, origin_N: Tensor, target_NH: Tensor, windows: Windows, part: str) -> pd.DataFrame:
    """A row per sample and day of the horizon: what was predicted, in the data's units, and what came."""
    horizon = windows.horizon
    row_M = origin_N.repeat_interleave(horizon).cpu().numpy()
    columns: dict[str, object] = {"part": part}
    if windows.ordered:
        ahead_M = torch.arange(1, horizon + 1).repeat(len(origin_N)).numpy()
        target = windows.index[row_M + ahead_M]
        columns["series"] = target.get_level_values("series")
        columns["date"] = target.get_level_values("date")
        columns["horizon"] = ahead_M
        columns["last"] = windows.price_T.cpu().numpy()[row_M]
    else:
        columns["row"] = windows.index[row_M]
    if windows.direction:
        columns["probability_up"] = outputs_NO.unflatten(-1, (-1, 2)).softmax(-1)[..., 1].flatten().cpu().numpy()
        columns["up"] = target_NH.flatten().cpu().numpy()
    else:
        columns["prediction"] = windows.to_price(outputs_NO, origin_N).flatten().cpu().numpy()
        columns["actual"] = windows.actual(origin_N).flatten().cpu().numpy()
    return pd.DataFrame(columns)
