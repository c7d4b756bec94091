"""The `steepest` command. It is thin: the work is done in the rooms. No torch at import."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steepest.runs.errors import FAILED, run_program

if TYPE_CHECKING:
    from steepest.nets.agreement import Agreement

app = typer.Typer(
    help="steepest: choose a function, define its loss, descend its gradient. (To train: python train.py --help)",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    add_completion=False,
)


def main() -> None:
    """Run the `steepest` console script."""
    run_program(app)


@app.command()
def gradcheck(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="The same as for train.py, such as model=mlp model.hidden=[16,16]", show_default=False),
    ] = None,
    entries: Annotated[
        int, typer.Option(min=0, help="Entries of each parameter that finite differences check; 0 checks all")
    ] = 64,
    single: Annotated[bool, typer.Option("--single", help="Use single precision instead of double")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print every number of a 2-2-2 net's forward, backward and update")
    ] = False,
    example: Annotated[
        Path | None, typer.Option(help="With --explain: a YAML file that describes your own net", show_default=False)
    ] = None,
) -> None:
    """Compare a model's hand-derived gradients with autograd and finite differences, on its first batch."""
    if explain or example:
        _explain(example)
        return
    rows, bound = _compare(overrides or [], entries, single)
    _print_agreement(rows, bound)
    if any(row.fault(bound) for row in rows):
        sys.exit(FAILED)


@app.command()
def board(
    folder: Annotated[Path, typer.Argument(help="A run, a sweep, or a folder of them")] = Path("outputs"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port")] = 6006,
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines connect")] = "localhost",
) -> None:
    """Open TensorBoard with every point of every curve; Ctrl-C stops it."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder; give one that holds runs, such as outputs")
    from steepest.observe.board import serve

    serve(folder, host, port, say=lambda line: typer.echo(line))


@app.command()
def resume(folder: Annotated[Path, typer.Argument(help="The folder of an interrupted or partly failed sweep")]) -> None:
    """Continue a sweep: skip the jobs that finished, run those that failed or never ran."""
    import os
    import subprocess

    from steepest.runs.quoting import hydra_quoted
    from steepest.sweep.manifest import NAME, Manifest
    from steepest.sweep.record import RESUMED

    command = Manifest.read(folder).command
    missing = [key for key in ("program", "folder", "task", "hydra") if key not in command]
    if missing:
        raise ValueError(f"{folder / NAME}: command has no {', '.join(missing)}: restore the file from a copy")
    directory = Path(command["folder"])
    if not (directory / command["program"]).exists():
        raise ValueError(
            f"the sweep was started as {command['program']} in {directory}, which is no longer there: put it back, or "
            f"change command.program and command.folder in {folder / NAME}"
        )
    where = f"hydra.sweep.dir={hydra_quoted(str(folder.absolute()))}"
    arguments = [command["program"], "-m", *command["task"], *command["hydra"], where]
    done = subprocess.run([sys.executable, *arguments], cwd=directory, env=os.environ | {RESUMED: "1"}, check=False)
    sys.exit(done.returncode)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of a sweep, which may still be running", metavar="SWEEP")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write [default: SWEEP/report.html]", show_default=False)
    ] = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser")] = False,
) -> None:
    """Write one HTML page about a sweep: the winner, the effect of each hyper-parameter, all curves, all jobs."""
    from steepest.sweep.report.page import write_report

    page = write_report(folder, out)
    typer.echo(f"Report: {page}")
    if show:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


@app.command()
def course(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="The lessons, such as three_steps saddle; without names, all of them", show_default=False),
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="Run the short form: the same ideas, coarser pictures")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder for the page and each lesson's run")] = Path("outputs/course"),
    jobs: Annotated[int, typer.Option(min=1, help="Lessons to run at a time")] = 2,
) -> None:
    """Run the course's experiments, check their results against theory, and write them on one page."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from steepest.course.catalogue import COURSE, chapter
    from steepest.course.guide import teach_course
    from steepest.course.page import write_page

    chapters = [chapter(name) for name in dict.fromkeys(names or [])] or list(COURSE)
    console, failing = Console(), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("lessons", total=len(chapters))
        for taught in teach_course(chapters, out, short=short, jobs=jobs):
            progress.advance(bar)
            console.print(f"{taught.name} ({taught.seconds:.0f} s)", style="bold", markup=False, highlight=False)
            if taught.found:
                console.print(f"  {taught.found['sentence']}", markup=False, highlight=False)
            for claim in taught.fails:
                console.print(f"  FAILS: {claim}", style="bold red", markup=False)
            if taught.said:
                console.print(taught.said, markup=False, highlight=False)
            failing += bool(taught.fails)
    typer.echo(f"Page: {write_page(out)}")
    if failing:
        console.print(f"{failing} of {len(chapters)} lessons fail.", style="bold red")
        sys.exit(FAILED)


def _compare(overrides: list[str], entries: int, single: bool) -> tuple[list[Agreement], float]:
    from hydra import compose, initialize_config_dir

    from steepest.runs.conf import conf_folder
    from steepest.runs.trust import guard_hydra

    guard_hydra()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        config = compose("train", overrides)

    import torch

    from steepest.engine.descent import Descent, reason_against
    from steepest.lightning.build import first_batch
    from steepest.nets.agreement import BOUND, compare

    logging.getLogger("steepest").setLevel(logging.WARNING)
    dtype = torch.float32 if single else torch.float64
    predictor, origin_N, windows = first_batch(config, dtype)
    network, loss, batch = predictor.network, predictor.loss, windows.gather(origin_N)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    kernels = None
    if reason_against(network, loss, optimizer) is None:
        kernels = Descent(network, loss, optimizer, windows).gradient(origin_N.numpy())[1]
    rows = compare(network, loss, batch.x_ND, batch.y_NH, entries=entries or None, used=kernels)
    return rows, BOUND[dtype]


def _print_agreement(rows: list[Agreement], bound: float) -> None:
    from math import prod

    from rich.console import Console
    from rich.table import Table

    from steepest.nets.agreement import BOUND_OF_DIFFERENCES

    limits = f"autograd {bound:g}, finite differences {max(bound, BOUND_OF_DIFFERENCES):g}"
    table = Table(
        title="The hand-derived gradient", collapse_padding=True, caption=f"greatest relative errors; bounds: {limits}"
    )
    for name in ("parameter", "shape", "norm", "against autograd", "kernel", "finite differences", "of entries"):
        table.add_column(name, justify="left" if name == "parameter" else "right", overflow="fold")
    for row in rows:
        table.add_row(
            row.parameter,
            " x ".join(map(str, row.shape)),
            f"{row.norm:.6g}",
            f"{row.autograd:.1e}" if row.autograd else "0",
            "-" if row.used is None else f"{row.used:.1e}" if row.used else "0",
            "-" if row.differences is None else f"{row.differences:.1e}",
            f"{row.entries} / {prod(row.shape)}",
            style="bold red" if row.fault(bound, "kernel") else None,
        )
    console = Console()
    console.print(table)
    faults = [fault for row in rows if (fault := row.fault(bound, "kernel"))]
    for fault in faults:
        console.print(fault, style="bold red", markup=False)
    if not faults:
        console.print(f"All gradients agree: the greatest error is {max(row.greatest() for row in rows):.1e}.")


def _explain(path: Path | None) -> None:
    from rich.console import Console
    from rich.text import Text

    from steepest.nets.worked import DEFAULT, Worked, read_example

    worked = Worked(read_example(path) if path else DEFAULT)
    console = Console()
    for name, formula, value in worked.lines():
        if not formula:
            console.print(f"\n{name}", style="bold")
        else:
            console.print(Text.assemble((f"{name:>12}", "cyan"), f" = {formula} = ", (value, "bold")), soft_wrap=True)
    console.print(f"\nL was {float(worked.loss):.9g}; after the update it is {float(worked.loss_after):.9g}.")
    console.print(f"Against autograd, the greatest difference of a gradient is {worked.autograd_gap:.1e}.")
