"""New prices -> `Windows` with the scaler of a trained model. Nothing is fitted.

Shapes: T rows of one series; S series; H horizon.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from steepest.data.calendar import next_dates
from steepest.data.faults import Faults, counted, shortened
from steepest.data.preparation import Standardizer, are_targets, filled_rows, kept_rows, transformed
from steepest.data.windows import PARTS, Part, Windows

log = logging.getLogger(__name__)


def matched(frame: pd.DataFrame, names: list[str], where: str) -> dict[str, int]:
    """Return the series of a frame that a model can predict, each with its number among the model's series.

    A model of one series takes any single series. Otherwise, series are matched by name, and others are left out.

    Raises:
        ValueError: if no series matches.
    """
    found = [str(name) for name in frame.index.unique("series")]
    if len(names) == 1 and len(found) == 1:
        return {found[0]: 0}
    known = {name: names.index(name) for name in found if name in names}
    if not known:
        raise ValueError(
            f"{where}: the run was trained on {shortened(', '.join(names), 200)}, and the file has "
            f"{shortened(', '.join(found), 200)}: give a file with a series of the same name"
            + (", or choose one with data.series=[NAME]" if len(names) == 1 else "")
        )
    if unknown := [name for name in found if name not in names]:
        log.warning(
            "%s: %d series left out, because the run was not trained on them: %s",
            where, len(unknown), shortened(", ".join(unknown), 200),
        )  # fmt: skip
    return known


def matching(frame: pd.DataFrame, names: list[str], where: str) -> pd.DataFrame:
    """Return the rows of the series that a model of the series `names` can predict, as `matched` finds them."""
    keep_T = frame.index.get_level_values("series").isin(list(matched(frame, names, where)))
    return kept_rows(frame, keep_T)


def applied_windows(frame: pd.DataFrame, state: Mapping[str, Any], where: str, added: int = 0) -> Windows:
    """Windows over new prices, all in the test part.

    Args:
        frame: a checked frame (index: series, date; columns: value, additional inputs).
        state: `PreparedData.state_dict()` of the training data.
        where: the file, for messages.
        added: the number of rows of each series that `with_next_rows` has added, which messages do not count.

    Raises:
        ValueError: if the series or the inputs are not those of the model, or there are too few rows.
    """
    settings, scaler = state["windows"], state["scaler"]
    inputs = [str(column) for column in frame.columns]
    if inputs[1:] != settings["input_names"][1:]:
        raise ValueError(
            f"{where}: the run has the inputs {settings['input_names'][1:] or 'of the price alone'}, and this file "
            f"gives {inputs[1:]}: name the same columns with data.features"
        )
    series = matched(frame, settings["names"], where)
    window, horizon, transform = settings["window"], settings["horizon"], settings["transform"]
    faults = Faults(where)
    rows, prices, lengths, kept = [], [], [], []
    of_series = frame.index.get_level_values("series")
    for name, number in series.items():
        table = frame.loc[name]
        values, price = transformed(table, transform, name, faults)
        if len(price) < window + horizon:
            rows_given = counted(len(price) - added, "row")
            faults.add(
                f"{name} has {rows_given}, and the run needs at least {window + horizon - added} "
                f"(data.window={window}, data.horizon={horizon}): add rows",
                "too few rows",
                f"{name} ({rows_given})",
            )
        fitted = Standardizer(scaler["input_mean_SF"][number], scaler["input_scale_SF"][number])
        rows.append(fitted.transform(torch.from_numpy(values)))
        prices.append(price)
        lengths.append(len(price))
        kept.append(np.flatnonzero(of_series == name)[len(table) - len(price) :])
    faults.raise_if_any()
    length_S, of_model_S = torch.tensor(lengths), torch.tensor(list(series.values()))
    start_S = length_S.cumsum(0) - length_S
    kept_T = np.concatenate(kept)
    inputs_TF, price_T = torch.cat(rows), torch.from_numpy(np.concatenate(prices))
    part = Part(start_S + window - 1, length_S - (window - 1) - horizon)
    filled_T = torch.from_numpy(filled_rows(frame)[kept_T])
    if filled_T.any() or settings["classes"]:
        part = part.keep(are_targets(part, price_T, filled_T, horizon, settings["classes"]))
    none = Part(start_S, torch.zeros_like(length_S))
    of_model: dict[str, Tensor] = {name: value_S[of_model_S] for name, value_S in scaler.items()}
    return Windows(
        inputs_TF=inputs_TF,
        target_T=inputs_TF[:, 0],
        price_T=price_T,
        series_T=torch.arange(len(series)).repeat_interleave(length_S),
        start_S=start_S,
        train_stop_S=start_S,
        names=list(series),
        input_names=inputs,
        parts={name: part if name == "test" else none for name in PARTS},
        index=frame.index[kept_T],
        window=window,
        horizon=horizon,
        transform=transform,
        relative=settings["relative"],
        classes=settings["classes"],
        recognised=frame.attrs.get("recognised"),
        input_mean_SF=of_model["input_mean_SF"],
        input_scale_SF=of_model["input_scale_SF"],
        mean_S=of_model["mean_S"],
        scale_S=of_model["scale_S"],
        unit_S=of_model["unit_S"],
        change_S=of_model["change_S"],
        change_rms_S=of_model["change_rms_S"],
        slope_S=of_model["slope_S"],
    )


def with_next_rows(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    """Append `count` rows to each series, with the dates that follow. They repeat the last row's values."""
    longer = []
    for name in frame.index.unique("series"):
        table = frame.loc[name]
        date_T = pd.DatetimeIndex(table.index)
        after = pd.DataFrame([table.iloc[-1]] * count, index=next_dates(date_T, count), columns=table.columns)
        longer.append(pd.concat([table, after]))
    names = [str(name) for name in frame.index.unique("series")]
    together = pd.concat(longer, keys=names, names=["series", "date"])
    together.attrs.clear()  # they describe the rows of each series alone
    return together
