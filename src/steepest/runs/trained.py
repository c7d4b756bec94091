"""A trained run, used afterwards: predict the next days, score other prices, read its results. No Lightning."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.applied import applied_windows, matching, with_next_rows
from steepest.data.batches import PreparedData
from steepest.data.computed import with_computed
from steepest.data.faults import did_you_mean
from steepest.data.files import read_prices
from steepest.data.prices.options import PriceOptions
from steepest.data.sources import PriceFile, SeriesData
from steepest.data.windows import Windows
from steepest.engine.descent import Descent, threads
from steepest.evaluate.blocks import outputs_at
from steepest.evaluate.evaluation import Evaluation, Evaluator
from steepest.evaluate.forecasts import InUnits, PartForecasts, of_outputs
from steepest.evaluate.intervals import LEVELS, SHOWN, Unit, sides, widths_after
from steepest.evaluate.own import Makers
from steepest.evaluate.predictions import read_table
from steepest.evaluate.scoring import Outputs, PartScorer
from steepest.evaluate.statistics import without
from steepest.evaluate.table import named_coefficients
from steepest.nets.functional import in_words
from steepest.nets.losses import two_classes
from steepest.runs.backtest import Backtest, Rule, backtest_run
from steepest.runs.curves import figures, history
from steepest.runs.files import read_json
from steepest.runs.model_file import Settings, read_model
from steepest.runs.record import data_facts, last_validation_day
from steepest.runs.recorded import Recorded

log = logging.getLogger(__name__)

Method = Literal["adaptive", "split"]


class Run:
    """A finished or stopped run, with the model of its best epoch.

    Args:
        folder: the run's folder.
        trust: packages of the user's own whose model the run may have trained.

    Raises:
        ValueError: if the folder contains no run with a complete best.ckpt.
    """

    def __init__(self, folder: str | Path, trust: Sequence[str] = ()) -> None:
        self.folder, self._recorded = Path(folder), Recorded(Path(folder), trust)
        path = self.folder / "checkpoints" / "best.ckpt"
        if not path.exists():
            raise ValueError(f"{folder}: there is no checkpoints/best.ckpt, so no model: give the folder of a run")
        model = read_model(path, trust)
        self.network, self.loss, self._settings = model.network, model.loss, model.settings
        self._state, self._fitted = model.state, model.fitted

    @property
    def settings(self) -> Settings:
        """How the run cuts its data into samples."""
        return self._settings

    @property
    def scaler(self) -> dict[str, Tensor]:
        """The scaler, fitted on the training rows: the statistics of `Windows`, by name."""
        return dict(self._state["scaler"])

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json."""
        return read_json(self.folder / "metrics.json")

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The run's own predictions: predictions.csv, or predictions.parquet."""
        return self.table()

    @cached_property
    def history(self) -> pd.DataFrame:
        """Every logged scalar: a column per tag, indexed by update. Empty for a run with ``logger=none``."""
        return history(self.folder)

    @property
    def figures(self) -> dict[str, Path]:
        """The pictures: name -> PNG file."""
        return figures(self.folder)

    def table(self, *, first_step: bool = False) -> pd.DataFrame:
        """`predictions`; if they are many and `first_step` is true, only those of the first step of the horizon."""
        table = read_table(self.folder, first_step=first_step)
        if table is None:
            raise ValueError(
                f"{self.folder}: there is no predictions.csv: the run has not finished (continue it with resume=), or "
                "was trained with evaluation.predictions=none"
            )
        return table

    def coefficients(self) -> pd.Series:
        """A linear model's coefficients in the data's units, one per input, and its ``constant``, in full precision.

        Raises:
            ValueError: if the model is not linear, or the run has several series or outputs.
        """
        known: Any = SimpleNamespace(**self._settings, **self._state["scaler"])
        found = named_coefficients(self.network, known)
        if found is None:
            raise ValueError(
                f"{self.folder}: only a linear model of one series with one output has coefficients; this is "
                f"{in_words(self.network)}"
            )
        return pd.Series(found, name="coefficient")

    def evaluate(self, data: Any = None, **options: Any) -> Evaluation:
        """Score the model with the run's scaler. Nothing is fitted again.

        Other prices are all in the test part. The run's own data, if they have not changed, have the parts of the run.

        Args:
            data: a path or frame as in `read_prices`; None: the data that the run was trained on.
            options: keys of `PriceOptions` that differ from those of the run.

        Raises:
            ValueError: if the prices do not fit the model.
        """
        windows = self._own_windows() if data is None and not options else None
        if windows is not None:
            return self._scored(windows, self._fitted, self._recorded.of_evaluation("baselines"))
        frame, where = self.read(data, **options)
        if left := list(self._recorded.of_evaluation("baselines")):
            log.warning("%s: left out the baselines %s, which need training rows", where, ", ".join(left))
        return self._scored(applied_windows(frame, self._state, where), without(self._fitted, where))

    def predict(
        self,
        data: Any = None,
        *,
        horizon: int | None = None,
        level: float = SHOWN,
        method: Method = "adaptive",
        **options: Any,
    ) -> pd.DataFrame:
        """Predict the rows after the last one of each series.

        Beyond the run's own horizon, predictions are inputs of the next predictions, and have no intervals.

        Args:
            data: a path or frame as in `read_prices`; None: the prices that the run was trained on.
            horizon: the number of rows; None: the run's horizon.
            level: the share of prices that the intervals should contain, one of `LEVELS`.
            method: ``split`` computes the interval widths from the errors on the validation part; ``adaptive`` also
                adapts them to the errors on later rows.
            options: keys of `PriceOptions` that differ from those of the run.

        Returns:
            Columns ``date, series, step, prediction, lower, upper`` in the data's units. For directions, the prediction
            is the probability of a rise over that number of rows. ``attrs["coverage"]`` is the share of the known
            prices after the validation part that such intervals contained, and
            ``attrs["unit"]`` is the unit of their widths, as in `Interval`.

        Raises:
            ValueError: if the prices do not fit the model, or the horizon or level is not possible.
        """
        own, classes = self._settings["horizon"], self._settings["classes"]
        horizon = own if horizon is None else horizon
        self._check_horizon(horizon)
        if level not in LEVELS:
            raise ValueError(f"level={level} must be one of {', '.join(map(str, LEVELS))}")
        if method not in get_args(Method):
            raise ValueError(f"method={method} must be one of {', '.join(get_args(Method))}")
        frame, where = self.read(data, **options)
        frame = matching(frame, self._settings["names"], where)
        half_SH, coverage = (None, None) if classes else self._half_widths(frame, where, level, method)
        parts: list[pd.DataFrame] = []
        for done in range(0, horizon, own):
            longer = with_next_rows(frame, own)
            windows = applied_windows(longer, self._state, where, own).to("cpu", self._dtype)
            origin_S = torch.cat([windows.start_S[1:], torch.tensor([len(windows.price_T)])]) - own - 1
            outputs_SO = self._outputs(windows)(origin_S)
            if classes:
                predicted_SH = two_classes(outputs_SO.double()).softmax(-1)[..., 1]
            else:
                predicted_SH = windows.to_price(outputs_SO, origin_S)
            low_SH = high_SH = torch.full_like(predicted_SH, torch.nan)
            if half_SH is not None and done == 0:
                below_SH, above_SH = sides(self._unit, windows.pricing(origin_S), outputs_SO)
                low_SH, high_SH = predicted_SH - half_SH * below_SH, predicted_SH + half_SH * above_SH
            ahead_H = torch.arange(1, own + 1)
            target = windows.index[(origin_S.unsqueeze(-1) + ahead_H).flatten().numpy()]
            parts.append(
                pd.DataFrame(
                    {
                        "date": target.get_level_values("date"),
                        "series": target.get_level_values("series"),
                        "step": (ahead_H + done).repeat(len(origin_S)).numpy(),
                        "prediction": predicted_SH.flatten().numpy(),
                        "lower": low_SH.flatten().numpy(),
                        "upper": high_SH.flatten().numpy(),
                    }
                )
            )
            after = longer.groupby(level="series", sort=False).cumcount(ascending=False) < own
            longer.loc[after.to_numpy(), "value"] = predicted_SH.flatten().numpy()
            frame = longer
        table = pd.concat(parts)
        place = {name: number for number, name in enumerate(dict.fromkeys(table["series"]))}
        table = table.iloc[np.lexsort((table["step"], table["series"].map(place)))]
        table = table[table["step"] <= horizon].reset_index(drop=True)
        table.attrs |= {"coverage": coverage, "unit": self._unit if half_SH is not None else None}
        return table

    def backtest(self, **options: Any) -> Backtest:
        """Backtest the predictions of the test part. The options are the fields of `Rule`: ``backtest(lag=2)``."""
        return backtest_run(self, Rule(**options))

    def frame(self, data: Any = None) -> pd.DataFrame:
        """The checked frame of the run's data, or of other prices."""
        if data is None and not self._settings["ordered"]:
            frame: pd.DataFrame = self._recorded.data().read()
            return frame
        return self.read(data)[0]

    def read(self, data: Any = None, **options: Any) -> tuple[pd.DataFrame, str]:
        """Read prices with the run's options, and return them with the name of their file for messages."""
        if not self._settings["ordered"]:
            raise ValueError(
                f"{self.folder}: the run was trained on plain rows, which have no next row: its results are in "
                "predictions.csv"
            )
        names = [field.name for field in fields(PriceOptions)]
        for name in (name for name in options if name not in names):
            raise ValueError(f"unknown key '{name}'{did_you_mean(name, names)}; the keys are {', '.join(names)}")
        if data is None:
            source: SeriesData = self._recorded.data(**options)
            return source.read_with_computed(), str(getattr(source, "path", "data"))
        of_file = self._recorded.data.target is PriceFile
        kept = {name: value for name, value in self._recorded.data.arguments.items() if of_file and name in names}
        kept.pop("series", None)
        where = str(data) if isinstance(data, str | Path) else "frame"
        frame = read_prices(data, **kept | options)
        computed = self._recorded.data.values().get("computed", {})
        try:
            return with_computed(frame, computed), where
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def _own_windows(self) -> Windows | None:
        """The windows of the training, or None if the data have changed since then."""
        data = PreparedData(self._recorded.data(), self._recorded.option("seed"))
        data.setup()
        if data_facts(data)["sha256"] != read_json(self.folder / "run.json").get("data", {}).get("sha256"):
            log.warning("%s: the data have changed since the training, so all rows are scored as one part", self.folder)
            return None
        return data.windows

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.network.parameters()).dtype

    def _check_horizon(self, horizon: int) -> None:
        if horizon < 1:
            raise ValueError(f"horizon={horizon} must be 1 or more")
        own, inputs = self._settings["horizon"], self._settings["input_names"]
        if horizon > own and (len(inputs) > 1 or self._settings["classes"]):
            unknown = f"the inputs {inputs[1:]}, whose next values are unknown"
            what = "directions" if self._settings["classes"] else unknown
            raise ValueError(f"horizon={horizon}: the run predicts {own} from {what}: give at most {own}")

    @property
    def _unit(self) -> Unit:
        """The unit of the intervals' widths."""
        return cast(Unit, self.metrics["intervals"][0]["unit"])

    def _half_widths(
        self, frame: pd.DataFrame, where: str, level: float, method: Method
    ) -> tuple[Tensor | None, float | None]:
        """Half the widths (S, H) after the last row of each series, and the share of later prices within, if known."""
        known = next((entry for entry in self.metrics.get("intervals") or () if entry["level"] == level), None)
        if known is None:
            return None, None
        names, errors = list(frame.index.unique("series")), dict[str, Tensor]()
        if frame.groupby(level="series").size().min() > self._settings["window"] + self._settings["horizon"]:
            errors = self._later_errors(applied_windows(frame, self._state, where))
        return widths_after(known, names, errors, adapt=method == "adaptive")

    def _later_errors(self, windows: Windows) -> dict[str, Tensor]:
        """Series -> absolute errors (N, H) after the validation part; of all rows if a series is new to the run."""
        windows, part = windows.to("cpu", self._dtype), windows.parts["test"]
        if set(windows.names) <= set(self._settings["names"]):
            origin_N = part.origins(torch.arange(len(part))).numpy()
            after_N = windows.index.get_level_values("date")[origin_N + 1] > last_validation_day(self.folder)
            part = part.keep(torch.from_numpy(np.asarray(after_N)))
        if not len(part):
            return {}
        scorer = PartScorer(replace(windows, parts={"test": part}), "test", None)
        forecasts = PartForecasts(scorer, of_outputs(self._outputs(windows)))
        error_NH = torch.cat([one.errors() for one in InUnits(forecasts, self._unit)])
        samples = scorer.samples_by_series or {windows.names[0]: slice(None)}
        return {name: error_NH[places] for name, places in samples.items()}

    def _scored(self, windows: Windows, fitted: Mapping[str, Tensor], own: Makers = MappingProxyType({})) -> Evaluation:
        """Evaluate the model on windows, next to baselines that have learned `fitted`."""
        windows = windows.to("cpu", self._dtype)
        metrics = {name: node() for name, node in self._recorded.of_evaluation("metrics").items()}
        with threads(self._recorded.option("threads")):  # sums of many numbers round differently
            return Evaluator(windows, fitted, own=own, metrics=metrics).evaluate(self._outputs(windows))

    def _outputs(self, windows: Windows) -> Outputs:
        """Compute outputs by the engine and with the number of threads of the run: these change the rounding."""
        outputs: Outputs = partial(outputs_at, self.network, windows)
        if read_json(self.folder / "run.json").get("engine") == "kernel":
            descent = Descent(self.network, self.loss, torch.optim.SGD(self.network.parameters(), lr=0.0), windows)
            outputs = lambda origin_N: descent.predict(origin_N.numpy())  # noqa: E731
        return threads(self._recorded.option("threads"))(outputs)


def load(folder: str | Path, trust: Sequence[str] = ()) -> Run:
    """Load a run from its folder, as `Run` does."""
    return Run(folder, trust)
