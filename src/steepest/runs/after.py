"""The commands `steepest predict RUN` and `steepest evaluate RUN`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pandas as pd

from steepest.data.faults import counted
from steepest.evaluate.cells import inert
from steepest.evaluate.table import print_scores
from steepest.evaluate.terminal import print_sentence, terminal
from steepest.runs.price_check import parsed_options
from steepest.runs.trained import Method, Run

SHOWN = 20  # maximum number of printed predictions
FORMATS = (".csv", ".parquet", ".pq")


def show_forecast(
    folder: Path,
    data: str | None,
    options: list[str],
    horizon: int | None,
    level: float,
    method: str,
    out: Path | None,
    trust: Sequence[str] = (),
) -> Iterator[str]:
    """Yield the lines of a forecast, and write it to `out`.

    Raises:
        ValueError: if the prices do not fit the run, or `out` cannot be written.
    """
    if out is not None and (out.suffix not in FORMATS or not out.parent.is_dir()):
        raise ValueError(f"--out {out}: give a file in an existing folder whose name ends in {', '.join(FORMATS)}")
    run = Run(folder, trust)
    table = run.predict(data, horizon=horizon, level=level, method=cast(Method, method), **parsed_options(options))
    date_format = "%Y-%m-%d" if (table["date"] == table["date"].dt.normalize()).all() else "%Y-%m-%d %H:%M:%S"
    shown = table.head(SHOWN).assign(date=table["date"].dt.strftime(date_format))
    yield from shown.to_string(index=False, na_rep="-", float_format=lambda number: f"{number:.6g}").splitlines()
    if len(table) > SHOWN:
        yield f"... and {counted(len(table) - SHOWN, 'row')} more"
    yield from _about(table, level, method)
    if out is not None:
        if out.suffix == ".csv":
            table = table.assign(series=table["series"].map(inert), date=table["date"].dt.strftime(date_format))
            table.to_csv(out, index=False)
        else:
            table.to_parquet(out, index=False)
        yield f"Written: {out}"


def _about(table: pd.DataFrame, level: float, method: str) -> Iterator[str]:
    """Yield sentences about the intervals."""
    if table["lower"].isna().all():
        yield (
            f"There are no {level:.0%} intervals: they need prices, a validation part with enough samples, and a "
            "model whose predicted quantiles do not cross."
        )
        return
    by = "the latest errors" if method == "adaptive" else "the errors on the validation part"
    made = f"adapt to {by}" if method == "adaptive" else f"have a fixed width, set by {by}"
    if table.attrs["unit"] == "quantiles":
        made = f"are the predicted quantiles, scaled by {by}"
    share = table.attrs["coverage"]
    covered = "" if share is None else f" On later rows, such intervals contained {share:.1%} of the prices."
    yield f"The {level:.0%} intervals {made}.{covered}"
    if table["lower"].isna().any():
        own = int(table.loc[table["lower"].notna(), "step"].max())
        yield f"Beyond step {own}, each prediction is an input of the next one, and there are no intervals."


def show_scores(folder: Path, data: str | None, options: list[str], trust: Sequence[str] = ()) -> None:
    """Print the scores of a run's model on all prices of a file.

    Raises:
        ValueError: if the prices do not fit the run.
    """
    logging.getLogger("steepest").setLevel(logging.WARNING)
    evaluation = Run(folder, trust).evaluate(data, **parsed_options(options))
    console, parts = terminal(), [part for part, scores in evaluation.model.items() if scores]
    renamed = {"test": "all"} if parts == ["test"] else {}
    print_scores(evaluation, f"Scores of {folder} on {data or 'its own data'}", console, renamed)
    for line in evaluation.data:
        print_sentence(console, line)
    verdict = evaluation.verdict().sentence
    print_sentence(console, verdict.replace(" on the test part", " on these prices") if renamed else verdict, "bold")
