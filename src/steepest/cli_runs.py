"""The `steepest` commands for trained runs. They only parse arguments and print; the packages do the work.

Importing this module does not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

# Arguments of several commands.
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a sweep's job")]
PriceKeys = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="data=csv keys for --data, such as data.value=Close", show_default=False),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PACKAGE", help="Package of your own whose classes the run uses; repeat for more", show_default=False
    ),
]


def predict(
    folder: RunFolder,
    options: PriceKeys = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File with newer prices (default: the run's data)", show_default=False),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of rows to predict (default: the run's horizon)", show_default=False),
    ] = None,
    level: Annotated[float, typer.Option(metavar="SHARE", help="Nominal coverage of the intervals")] = 0.9,
    method: Annotated[
        str, typer.Option(metavar="METHOD", help="Interval widths: adaptive (to the latest errors) or split (constant)")
    ] = "adaptive",
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV or Parquet file to write", show_default=False)
    ] = None,
    trust: Trust = None,
) -> None:
    """Predict the days after the last known day, with prediction intervals."""
    from steepest.runs.after import show_forecast

    for line in show_forecast(folder, data, options or [], horizon, level, method, out, trust or ()):
        typer.echo(line)


def evaluate(
    folder: RunFolder,
    options: PriceKeys = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Price file (default: the run's data)", show_default=False),
    ] = None,
    trust: Trust = None,
) -> None:
    """Score a run's model on a price file, using the run's scaler. Nothing is refitted."""
    from steepest.runs.after import show_scores

    show_scores(folder, data, options or [], trust or ())


def backtest(
    folder: RunFolder,
    threshold: Annotated[
        float, typer.Option(metavar="RETURN", help="Go long above this predicted return, short below its negative")
    ] = 0.0,
    cost: Annotated[
        float, typer.Option(metavar="SHARE", help="Transaction cost as a share of the traded value")
    ] = 0.0005,
    lag: Annotated[int, typer.Option(metavar="N", help="Number of rows from a prediction to its trade")] = 1,
    long_only: Annotated[bool, typer.Option("--long-only", help="Stay flat instead of going short")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write (default: equity.csv in RUN)", show_default=False)
    ] = None,
    trust: Trust = None,
) -> None:
    """Backtest a run's predictions on the test part, with costs and a trading lag, against buy-and-hold."""
    from steepest.evaluate.backtest import Rule
    from steepest.runs.backtest import show_backtest

    show_backtest(folder, Rule(threshold, cost, lag, long_only), out, trust or ())


def export(
    folder: RunFolder,
    to: Annotated[str, typer.Option(metavar="FORMAT", help="File format: onnx")] = "onnx",
    data: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Prices to compare on (default: the run's test part)", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write (default: model.onnx in RUN)", show_default=False)
    ] = None,
    trust: Trust = None,
) -> None:
    """Export a run's model with its scaler for other programs, and compare the file's predictions with the run's."""
    from steepest.runs.export import export_onnx
    from steepest.runs.trained import Run

    if to != "onnx":
        raise ValueError(f"--to {to}: the only format is onnx")
    run, path = Run(folder, trust or ()), out or folder / "model.onnx"
    if not path.parent.is_dir():
        raise ValueError(f"--out {path}: the folder {path.parent} does not exist: use an existing folder")
    compared, worst = export_onnx(run, path, data)
    typer.echo(f"The file's predictions match the run's: {compared} samples, maximum relative difference {worst:.1g}.")
    typer.echo(f"Written: {path}")
