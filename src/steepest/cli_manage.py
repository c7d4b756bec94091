"""The `steepest` commands that list, compare and delete runs. They only parse arguments and print.

Importing this module does not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def list_runs(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that contains runs")] = Path("outputs"),
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column to sort by, such as test/skill; -COLUMN for the largest first",
            show_default="started",
        ),
    ] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="KEY=VALUE", help="Only runs with this value, such as model=mlp; can be repeated",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all columns as JSON, one run per line")] = False,
) -> None:  # fmt: skip
    """List all runs in a folder, jobs of sweeps included."""
    from steepest.runs.listing import print_runs, runs

    table = runs(folder, conditions or (), sort)
    if as_json:
        typer.echo(table.to_json(orient="records", lines=True) if len(table) else "", nl=False)
    else:
        print_runs(table, folder, sort)


def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of two or more runs")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File to write (default: compare.html in the common folder)", show_default=False
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser")] = False,
) -> None:
    """Compare runs on one HTML page: differences of their configs, scores, curves."""
    from steepest.sweep.report.compare import write_comparison

    page = write_comparison(folders, out)
    typer.echo(f"Comparison: {page}")
    if show:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


def clean(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that contains runs")] = Path("outputs"),
    failed: Annotated[bool, typer.Option("--failed", help="Only runs that failed or were killed")] = False,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Only runs older than this, such as 12h, 30d or 2w", show_default=False),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete the folders. Without this, only list them")] = False,
) -> None:
    """Delete the folders of failed or old runs and sweeps. Without --yes, only list them."""
    from steepest.runs.cleaning import clean_lines

    for line in clean_lines(folder, failed, older_than, yes):
        typer.echo(line)
