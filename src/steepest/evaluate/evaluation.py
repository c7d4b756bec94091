"""A model and its baselines, scored on every sample of every part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from steepest.data.windows import PARTS, Windows
from steepest.evaluate import baselines
from steepest.evaluate.exam import Exam, exams
from steepest.evaluate.metrics import Scores, numbers, numbers_of_runs
from steepest.evaluate.names import better
from steepest.evaluate.significance import diebold_mariano, mean_by_day

JUDGED = {  # what a verdict goes by: the first that there is. Of prices it is no share of right directions
    "mse": "mean squared error",
    "directional_accuracy": "share of right directions",
    "accuracy": "share of right classes",
}
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
        known: a row per sample and day of the horizon: what there is to say of it beside the prediction.
        column, predicted_M: the prediction's name, and its value in each of those rows, in the data's units.
    """

    model: dict[str, Scores]
    baselines: dict[str, dict[str, Scores]]
    series: dict[str, Scores]
    reference: str
    p_value: float | None
    known: pd.DataFrame
    column: str
    predicted_M: np.ndarray

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row per sample and day of the horizon, with the prediction before what came."""
        table = self.known.copy(deep=False)
        table.insert(len(table.columns) - 1, self.column, self.predicted_M)
        return table

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
        metric, called = next((key, words) for key, words in JUDGED.items() if key in mine)
        a, b = mine[metric], self.baselines[self.reference]["test"][metric]
        if a is None or b is None:
            return Verdict(
                False,
                None,
                f"The model did not beat {reference} on the test part: its {called} is no finite number.",
            )
        figures = f"its {called} is {a:.6g}, against {b:.6g}"
        ahead = a > b if better(metric) == "max" else a < b
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


class Evaluator:
    """Scores models on all parts of a data set; what does not depend on a model is computed once.

    Args:
        windows: where the models are, in their precision.
    """

    def __init__(self, windows: Windows) -> None:
        self.windows, self.exams = windows, exams(windows)
        exact = None if windows.classes else baselines.least_squares(windows)
        self.baselines: dict[str, dict[str, Scores]] = {}
        for part, exam in self.exams.items():
            for name, scores in _baseline_scores(exam, exact).items():
                self.baselines.setdefault(name, {p: {} for p in PARTS})[part] = scores
        self.known = pd.concat([_known(exam) for exam in self.exams.values()], ignore_index=True)

    def evaluate(self, model: nn.Module) -> Evaluation:
        """Score a model on every part."""
        (evaluation,) = self.evaluate_runs(lambda x_ND: model(x_ND).unsqueeze(0))
        return evaluation

    @torch.inference_mode()
    def evaluate_runs(self, predict: Callable[[Tensor], Shaped[Tensor, "R N O"]]) -> list[Evaluation]:
        """Score several models on every part, by what `predict` says all of them put out for inputs (N, D)."""
        outputs = {part: exam.outputs(lambda batch: predict(batch.x_ND)) for part, exam in self.exams.items()}
        scores = {part: numbers_of_runs(exam.score(outputs[part])) for part, exam in self.exams.items()}
        made_RM = np.concatenate([_predicted(outputs[part], exam) for part, exam in self.exams.items()], 1)
        p_values: list[float | None] = [None] * len(made_RM)
        by_series: list[dict[str, Scores]] = [{} for _ in made_RM]
        if "test" in self.exams:
            p_values = [_p_value(outputs_NO, self.exams["test"]) for outputs_NO in outputs["test"]]
            by_series = self._by_series(outputs["test"], self.exams["test"])
        windows = self.windows
        reference = "majority" if windows.classes else "persistence" if windows.ordered else "mean"
        chance = "probability_up" if windows.ordered else "probability"
        column = chance if windows.classes else "prediction"
        return [
            Evaluation(
                {part: scores[part][run] if part in scores else {} for part in PARTS},
                self.baselines, by_series[run], reference, p_values[run], self.known, column, made_M,
            )
            for run, made_M in enumerate(made_RM)
        ]  # fmt: skip

    def _by_series(self, outputs_RNO: Tensor, exam: Exam) -> list[dict[str, Scores]]:
        """Of each run, where there are several series: series -> its scores."""
        windows = self.windows
        series_N = windows.series_T[exam.origin_N]
        found: list[dict[str, Scores]] = [{} for _ in outputs_RNO]
        for number, name in enumerate(windows.names if len(windows.names) > 1 else ()):
            its_N = series_N == number
            if bool(its_N.any()):
                scores = numbers_of_runs(exam.some(its_N).score(outputs_RNO[:, its_N]))
                for mine, its in zip(found, scores, strict=True):
                    mine[name] = its
        return found


def evaluate(model: nn.Module, windows: Windows) -> Evaluation:
    """Score a model and all baselines on all parts of `windows` (placed where the model is)."""
    return Evaluator(windows).evaluate(model)


@torch.inference_mode()
def _baseline_scores(exam: Exam, exact: Tensor | None) -> dict[str, Scores]:
    windows, origin_N = exam.windows, exam.origin_N
    if exact is None:
        assert exam.share_H is not None
        logits_NO = torch.stack([(1 - exam.share_H).log(), exam.share_H.log()], -1).flatten().expand(len(exam), -1)
        return {"majority": numbers(exam.score(logits_NO))}
    if windows.ordered:
        made = {"persistence": exam.reference_NH, "drift": baselines.drift(windows, origin_N)}
    else:
        made = {"mean": exam.reference_NH}
    solved_NO = exam.outputs(lambda batch: baselines.linear(exact, batch.x_ND))
    made["least_squares"] = exam.to_price(solved_NO)
    return {name: numbers(exam.score_prices(price_NH)) for name, price_NH in made.items()}


def _p_value(outputs_NO: Tensor, exam: Exam) -> float | None:
    """Diebold-Mariano of the model's losses against the reference's, day by day (row by row for plain rows)."""
    windows, origin_N = exam.windows, exam.origin_N
    if exam.share_H is not None:
        wrong_NH = outputs_NO.unflatten(-1, (-1, 2)).argmax(-1) != exam.target_NH
        other_NH = (exam.share_H > 0.5).long() != exam.target_NH
        losses = wrong_NH.double().mean(-1), other_NH.double().mean(-1)
    else:
        made = exam.to_price(outputs_NO), exam.reference_NH
        mine, others = ((price_NH - exam.actual_NH).square().mean(-1) for price_NH in made)
        losses = mine, others
    day_N = origin_N
    if len(windows.names) > 1:
        days = windows.index.get_level_values("date").asi8[origin_N.cpu().numpy()]
        day_N = torch.from_numpy(days.copy()).to(origin_N.device)
    a_T, b_T = (mean_by_day(loss_N, day_N) for loss_N in losses)
    return diebold_mariano(a_T, b_T, windows.horizon)


def _known(exam: Exam) -> pd.DataFrame:
    """A row per sample and day of the horizon: what identifies it, and, in the last column, what came."""
    windows, origin_N = exam.windows, exam.origin_N
    horizon = windows.horizon
    row_M = origin_N.repeat_interleave(horizon).cpu().numpy()
    columns: dict[str, object] = {"part": exam.part}
    if windows.ordered:
        ahead_M = torch.arange(1, horizon + 1).repeat(len(origin_N)).numpy()
        target = windows.index[row_M + ahead_M]
        columns["series"] = target.get_level_values("series")
        columns["date"] = target.get_level_values("date")
        columns["horizon"] = ahead_M
        columns["last"] = windows.price_T.cpu().numpy()[row_M]
    else:
        columns["row"] = windows.index[row_M]
    name = "up" if windows.ordered else "class"
    came = {name: exam.target_NH} if windows.classes else {"actual": exam.actual_NH}
    return pd.DataFrame(columns | {name: tensor_NH.flatten().cpu().numpy() for name, tensor_NH in came.items()})


def _predicted(outputs_RNO: Tensor, exam: Exam) -> np.ndarray:
    """For each run and row, the price in the data's units, or the probability of class 1 (that it rises): (R, M)."""
    if exam.windows.classes:
        predicted_RNH = outputs_RNO.unflatten(-1, (-1, 2)).softmax(-1)[..., 1]
    else:
        predicted_RNH = exam.to_price(outputs_RNO)
    return predicted_RNH.flatten(1).cpu().numpy()
