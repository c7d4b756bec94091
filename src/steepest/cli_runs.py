"""The commands of `steepest` that use a trained run. They only read arguments and print; the packages do the work.

Importing this module does not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Arguments of several commands.
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or of a job of a sweep")]
PriceKeys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE", help="Keys of data=csv for --data, such as data.value=Close", show_default=False
    ),
]


def predict(
    folder: RunFolder,
    options: PriceKeys = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File with newer prices (default: the data of the run)", show_default=False),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of rows to predict (default: the run's horizon)", show_default=False),
    ] = None,
    level: Annotated[float, typer.Option(metavar="SHARE", help="Share of prices within the intervals")] = 0.9,
    method: Annotated[
        str, typer.Option(metavar="METHOD", help="How intervals are made: adaptive (to the latest errors), or split")
    ] = "adaptive",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or Parquet file to write", show_default=False)
    ] = None,
) -> None:
    """Predict the days after the last known one, with intervals."""
    from steepest.runs.after import show_forecast

    for line in show_forecast(folder, data, options or [], horizon, level, method, out):
        typer.echo(line)


def evaluate(
    folder: RunFolder,
    options: PriceKeys = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File of prices (default: the data of the run)", show_default=False),
    ] = None,
) -> None:
    """Score a run's model on the prices of a file, with the run's own scaler. Nothing is fitted again."""
    from steepest.runs.after import show_scores

    show_scores(folder, data, options or [])


def backtest(
    folder: RunFolder,
    threshold: Annotated[
        float, typer.Option(metavar="RETURN", help="Long above this predicted return, short below its negative")
    ] = 0.0,
    cost: Annotated[float, typer.Option(metavar="SHARE", help="Cost of a trade, as a share of its value")] = 0.0005,
    lag: Annotated[int, typer.Option(metavar="N", help="Number of rows from a prediction to its trade")] = 1,
    long_only: Annotated[bool, typer.Option("--long-only", help="Be flat instead of short")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write (default: equity.csv in RUN)", show_default=False)
    ] = None,
) -> None:
    """Trade a run's predictions on the test part, with costs and a delay, and compare the result with buy-and-hold."""
    from steepest.evaluate.backtest import Rule
    from steepest.runs.backtest import show_backtest

    show_backtest(folder, Rule(threshold, cost, lag, long_only), out)


def export(
    folder: RunFolder,
    to: Annotated[str, typer.Option(metavar="FORMAT", help="Format of the file: onnx")] = "onnx",
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Prices to compare on (default: the run's test part)", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write (default: model.onnx in RUN)", show_default=False)
    ] = None,
) -> None:
    """Write a run's model with its scaler as a file for other programs, and compare its predictions with the run's."""
    from steepest.runs.export import export_onnx
    from steepest.runs.trained import Run

    if to != "onnx":
        raise ValueError(f"--to {to}: the only format is onnx")
    run, path = Run(folder), out or folder / "model.onnx"
    if not path.parent.is_dir():
        raise ValueError(f"--out {path}: give a file in an existing folder")
    compared, worst = export_onnx(run, path, data)
    typer.echo(f"The file predicts as the run does: {compared} samples, relative difference at most {worst:.1g}.")
    typer.echo(f"Written: {path}")
