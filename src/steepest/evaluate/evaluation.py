"""A model's outputs -> predictions -> scores of the model and of the baselines -> a verdict.

Shapes: N samples of a part, H horizon, O outputs, M rows of the table of predictions (one per sample and day).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from steepest.data.calendar import now_and_next
from steepest.data.prices.account import sentences
from steepest.data.windows import PARTS, Windows
from steepest.evaluate import baselines, statistics
from steepest.evaluate.blocks import outputs_at
from steepest.evaluate.forecasts import InUnits, PartForecasts, of_medians, of_outputs, of_pooled
from steepest.evaluate.intervals import Interval, Unit, intervals
from steepest.evaluate.leads import lead_p_value, leads_by_series
from steepest.evaluate.metrics import Scores
from steepest.evaluate.names import SIGNIFICANT, better
from steepest.evaluate.own import Makers, Metrics, predictors
from steepest.evaluate.pooled import Pooled, WalkForwardScores, walk_forward_scores
from steepest.evaluate.predictions import PartTable, frames_of
from steepest.evaluate.scoring import Outputs, part_scorers

DECIDING = {  # a verdict compares the first of these scores that exists; for several series, `mse` does not count
    "mse": "mean squared error",
    "mse_scaled": "mean scaled squared error",
    "directional_accuracy": "share of correct directions",
    "accuracy": "share of correct classes",
}
ERRORS = 2**21  # errors on the validation part that are in memory together: 16 MiB
FEW_VALUES = 0.01  # if this share of the values makes up most of `mape`, it is unreliable
REFERENCES = {
    "persistence": "persistence (tomorrow = today)",
    "mean": "the training mean",
    "majority": "the majority class",
}


@dataclass(frozen=True)
class Verdict:
    """Whether the model beat the reference on the test part, the p-value, and one plain sentence.

    `beat` is None without a test part, and if the model leads on a test part that is too short for a test.
    """

    beat: bool | None
    p_value: float | None
    sentence: str


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model and of the baselines, and the model's predictions.

    Attributes:
        model: part -> scores; a part without samples has none.
        baselines: name -> part -> scores.
        series: series -> scores of the model on the test part and their `p_value`, if there are several series.
        reference: the baseline for the skill and the verdict.
        p_value: the p-value of the hypothesis that model and reference are equally good on the test part, or None.
        untested: the reason why there is no p-value, or "".
        beaten: the series on which the model beat the reference, after Holm's correction for their number. A single
            series has None.
        inputs: a description of the inputs of a prediction, or None for plain rows.
        data: sentences that describe the data file.
        tables: part -> the rows of the table of predictions.
        forecasts: part -> the model's forecasts.
        intervals: intervals of several levels; classes, plain rows and data without a val part have none.
        steps: the test part's scores of each step of the horizon, if it is above 1: score -> a number for each step.
        walk_forward: the scores of each fold, or None for a holdout.
    """

    model: dict[str, Scores]
    baselines: dict[str, dict[str, Scores]]
    series: dict[str, Scores]
    reference: str
    p_value: float | None
    untested: str
    beaten: list[str] | None
    inputs: str | None
    data: list[str]
    tables: Mapping[str, PartTable]
    forecasts: Mapping[str, PartForecasts]
    intervals: list[Interval]
    steps: dict[str, list[float | None]]
    walk_forward: WalkForwardScores | None = None

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """A row per sample and day of the horizon; the last two columns are the prediction and the actual value."""
        return pd.concat([frame for part in self.forecasts for frame in self.frames(part)], ignore_index=True)

    def frames(self, part: str) -> Iterator[pd.DataFrame]:
        """Yield the predictions for a part in blocks."""
        return frames_of(self.tables[part], self.forecasts[part])

    def last_predictions(self) -> pd.DataFrame:
        """What a picture shows: `predictions` of the last part, and, for plain rows and classes, of all parts.

        Of a horizon it has only the first and the last step.
        """
        parts = list(self.forecasts)
        scorer = self.tables[parts[-1]].scorer
        shown = parts[-1:] if scorer.ordered and scorer.share_H is None else parts
        steps = (1, scorer.windows.horizon) if scorer.windows.horizon > 2 else None
        frames = [f for part in shown for f in frames_of(self.tables[part], self.forecasts[part], steps)]
        return pd.concat(frames, ignore_index=True)

    @property
    def mape_says_little(self) -> bool:
        """Whether a few values close to 0 account for more than half of the reference's `mape` on a part.

        Of a long horizon, only the first and the last step count: together they have all prices of the part.
        """
        for table in self.tables.values():
            found = []
            for block in table.scorer.blocks():
                if block.actual_MH is None:
                    return False
                ends = [0, -1] if 2 < table.windows.horizon <= len(table.scorer) else slice(None)
                actual_ME, other_ME = block.actual_MH[:, ends], block.reference[:, ends]
                found.append(((other_ME - actual_ME) / actual_ME).abs().float().cpu().numpy().ravel())
            terms = np.concatenate(found)
            few = math.ceil(FEW_VALUES * len(terms))
            largest, total = np.partition(terms, -few)[-few:].sum(), terms.sum()  # topk takes 4 times the memory
            if not (math.isfinite(total) and largest <= 0.5 * total):  # a value of 0 makes it infinite
                return True
        return False

    def doubt(self) -> str:
        """Say why the lead on the test part is not statistically significant, or return "" if it is."""
        if self.p_value is None:
            return f"not tested: {self.untested}"
        if self.p_value <= SIGNIFICANT:
            return ""
        return f"not statistically significant (Diebold-Mariano p = {self.p_value:.2g})"

    def verdict(self) -> Verdict:
        """Whether the model beat the reference on the test part."""
        scores, reference = self.model["test"], REFERENCES[self.reference]
        if not scores:
            return Verdict(
                None, None, "There is no test part, so the model was not scored on data that it has not seen."
            )
        decides = scores.keys() - ({"mse"} if self.beaten is not None else set())
        metric, name = next((metric, name) for metric, name in DECIDING.items() if metric in decides)
        mine, other = scores[metric], self.baselines[self.reference]["test"][metric]
        lost = f"The model did not beat {reference} on the test part: "
        if mine is None or other is None:
            return Verdict(False, None, f"{lost}its {name} is not a finite number.")
        figures = f"its {name} is {mine:.6g}, against {other:.6g}"
        ahead = mine > other if better(metric) == "max" else mine < other
        on_series = self._on_series()
        if not ahead:
            more = f" (not tested: {self.untested})" if self.p_value is None else ""
            if self.p_value is not None and self.p_value <= SIGNIFICANT:
                more = f", a statistically significant difference (Diebold-Mariano p = {self.p_value:.2g})"
            return Verdict(False, self.p_value, f"{lost}{figures}{more}.{on_series}")
        if self.p_value is None:
            sentence = f"The model was not tested against {reference}: {self.untested}. I{figures[1:]}."
            return Verdict(None, None, sentence + on_series)
        if doubt := self.doubt():
            return Verdict(False, self.p_value, f"{lost}{figures}, but the lead is {doubt}.{on_series}")
        chance = f"Diebold-Mariano p = {self.p_value:.2g}"
        won = f"The model beat {reference} on the test part: {figures} ({chance})."
        return Verdict(True, self.p_value, won + on_series)

    def _on_series(self) -> str:
        """A sentence: on how many series the model beat the reference. Empty if none is tested."""
        if self.beaten is None or all(scores["p_value"] is None for scores in self.series.values()):
            return ""
        short = sum(scores["p_value"] is None for scores in self.series.values())
        untested = f"; {short} not tested" if short else ""
        reference = REFERENCES[self.reference].split(" (")[0]
        return f" It beat {reference} on {len(self.beaten)} of {len(self.series)} series (Holm{untested})."


class Evaluator:
    """Evaluates models on one data set. What does not depend on a model is computed once, in the constructor.

    The object does not change afterwards, so threads can share it.

    Args:
        windows: the data, on the device of the outputs and in the model's precision.
        fitted: the `fitted` of an earlier evaluator, whose training part the baselines use; None: fit the baselines.
        requested: names of baselines of `statistics.py` to fit as well.
        own: builds the baselines of the user's own, by name; see `own.py`.
        metrics: metrics of the user's own, by name.

    Attributes:
        fitted: the parameters of the baselines that learn; see `baselines.fitted` and `statistics.fit`.
        notes: sentences about fits that did not succeed.
        scorers: of the parts that have samples.
        reference: the baseline for the skill and the verdict.
        predictors: the baselines, as `baselines.predictors` returns them.
        baselines: name -> part -> scores.
        reference_N: the losses of the reference on the test part, or None if there is none.
        tables: part -> the rows of the table of predictions.
    """

    def __init__(
        self,
        windows: Windows,
        fitted: Mapping[str, Tensor] | None = None,
        requested: Sequence[str] = (),
        own: Makers = MappingProxyType({}),
        metrics: Metrics = MappingProxyType({}),
    ) -> None:
        self.windows = windows
        fits = statistics.fit(windows, requested)
        self.fitted = (baselines.fitted(windows) if fitted is None else dict(fitted)) | fits.parameters
        self.notes = fits.notes
        self.scorers = part_scorers(windows, self.fitted.get("share_of_ones"), metrics)
        self.metrics = metrics
        self.reference = "majority" if windows.classes else "persistence" if windows.ordered else "mean"
        self.predictors = baselines.predictors(windows, self.fitted)
        self.predictors |= predictors(windows, own, self.predictors)
        self.baselines: dict[str, dict[str, Scores]] = {name: {part: {} for part in PARTS} for name in self.predictors}
        self.reference_N: Tensor | None = None
        self._assess_baselines()
        self.tables = {part: PartTable(windows, scorer) for part, scorer in self.scorers.items()}

    @torch.inference_mode()
    def _assess_baselines(self) -> None:
        for part, scorer in self.scorers.items():
            for name, predict in self.predictors.items():
                found = scorer.assess((block, predict(block.origin_M)) for block in scorer.blocks())
                self.baselines[name][part] = found.scores
                if (part, name) == ("test", self.reference):
                    self.reference_N = found.loss_N

    @torch.inference_mode()
    def evaluate(self, outputs: Outputs, pooled: Pooled | None = None) -> Evaluation:
        """Evaluate a model.

        Args:
            outputs: computes the model's outputs (M, O), in model space, for samples with these origins (M,).
            pooled: the test part's walk-forward predictions, which replace those of the model.
        """
        windows, scorers, known = self.windows, self.scorers, self.baselines
        forecast = of_outputs(outputs)
        forecasts = {part: PartForecasts(scorer, forecast) for part, scorer in scorers.items()}
        walk_forward = None
        if pooled is not None:
            forecasts = {part: PartForecasts(scorer, of_medians(outputs)) for part, scorer in scorers.items()}
            forecasts["test"] = PartForecasts(scorers["test"], of_pooled(pooled.predicted))
            test, known = scorers["test"], {name: dict(parts) for name, parts in known.items()}
            for name, predicted in pooled.baselines.items():
                known[name]["test"] = test.assess(test.parts_of(predicted)).scores
            assert self.reference_N is not None, "there is a test part"
            walk_forward = walk_forward_scores(windows, test, pooled, self.reference_N)
        model: dict[str, Scores] = {part: {} for part in PARTS}
        series, p_value, beaten, steps = dict[str, Scores](), None, None, dict[str, list[float | None]]()
        untested = "there is no test part"
        for part, scorer in scorers.items():
            group_N = scorer.series_N if part == "test" else None
            found = scorer.assess(forecasts[part].predicted(), group_N)
            model[part] = found.scores
            if part != "test":
                continue
            assert self.reference_N is not None, "there is a test part"
            p_value, untested = lead_p_value(windows, scorer, found.loss_N, self.reference_N)
            if group_N is not None:
                p_values, beaten = leads_by_series(windows, scorer, found.loss_N, self.reference_N)
                names = scorer.samples_by_series
                series = {n: s | {"p_value": p_values[n]} for n, s in zip(names, found.by_group, strict=True)}
            steps = found.steps if windows.horizon > 1 else {}
        return Evaluation(
            model,
            known,
            series,
            self.reference,
            p_value,
            untested,
            beaten,
            _inputs(windows),
            sentences(windows.recognised) if windows.recognised else [],
            self.tables,
            forecasts,
            _intervals(windows, forecasts),
            steps,
            walk_forward,
        )


def _intervals(windows: Windows, forecasts: Mapping[str, PartForecasts]) -> list[Interval]:
    if windows.classes or not windows.ordered or "val" not in forecasts:
        return []
    unit: Unit = "price" if (windows.price_T > 0).all() else "data"
    _, first = next(iter(forecasts["val"]))
    if first.outputs_MO.shape[1] > windows.horizon:
        unit = "quantiles"
    scorer = forecasts["val"].scorer
    steps = max(1, ERRORS // len(scorer))
    val, *test = (InUnits(forecasts[part], unit) for part in ("val", "test") if part in forecasts)
    return intervals(val, itertools.chain(*test), unit, len(scorer), scorer.samples_by_series, steps)


def _inputs(windows: Windows) -> str | None:
    """Describe the inputs of a prediction and the keys that set them."""
    if not windows.ordered:
        return None
    now, _ = now_and_next(windows.unit)
    seen = {"level": "price", "return": "return", "log_return": "log return"}[windows.transform]
    last = f"the last {windows.window} {seen}s" if windows.window > 1 else f"{now}'s {seen}"
    relative = f", each minus {now}'s {seen}" if windows.relative else ""
    if windows.relative and windows.window == 1:
        last, relative = f"{now}'s {seen} minus itself, which is 0", ""
    if features := windows.input_names[1:]:
        relative += f", and {' and '.join(features)} of the same {windows.unit}{'s' if windows.window > 1 else ''}"
    keys = f"data.window={windows.window}, data.relative_to_last={str(windows.relative).lower()}"
    return f"Inputs: {last}{relative} ({keys})."


def evaluate(model: nn.Module, windows: Windows) -> Evaluation:
    """Evaluate a model on `windows`, which are on its device and in its precision."""
    return Evaluator(windows).evaluate(partial(outputs_at, model, windows))
