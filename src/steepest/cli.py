"""The `steepest` command. It only reads arguments and prints; the packages do the work.

Importing this module does not import torch.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import rich_utils

from steepest.cli_manage import clean, compare, list_runs
from steepest.cli_runs import backtest, evaluate, export, predict
from steepest.cli_setup import COMMANDS as SETUP
from steepest.cli_setup import complete_override
from steepest.runs.errors import FAILED, run_program

app = typer.Typer(
    help="steepest: choose a function, define its loss, descend its gradient.\n\n"
    "These commands check gradients and show results. To train a model: steepest train --help.",
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


def main() -> None:
    """Run the `steepest` console script."""
    # The default yellow is hard to read on white. (The names differ between versions of typer.)
    for name in ("STYLE_USAGE", "STYLE_TYPES", "STYLE_METAVAR"):
        setattr(rich_utils, name, "bold")
    run_program(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"steepest {version('steepest')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


@app.command(add_help_option=False, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="OVERRIDES", autocompletion=complete_override, show_default=False)
    ] = None,
) -> None:
    """Train a model, or with -m sweep over many: the same as python train.py, from any folder; see train --help."""
    import os

    from steepest.data.home import STARTED
    from steepest.runs.conf import program

    # This process becomes train.py.
    os.execve(
        sys.executable, [sys.executable, str(program()), *(overrides or []), *context.args], os.environ | {STARTED: "1"}
    )


@app.command()
def gradcheck(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OVERRIDES",
            help="As for train.py, such as model=mlp model.hidden=[16,16]",
            autocompletion=complete_override,
            show_default=False,
        ),
    ] = None,
    entries: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Number of entries per parameter to check by finite differences; 0 checks all"
        ),
    ] = 64,
    single: Annotated[bool, typer.Option("--single", help="Use single instead of double precision")] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Print every number of one update of a small net (2 inputs, 2 hidden units, 2 outputs)"
        ),
    ] = False,
    example: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --explain: a YAML file with your own net, such as docs/two_layer_net.yaml",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Compare the hand-derived gradients of a model with autograd and finite differences, on its first batch."""
    if explain or example:
        _explain(example)
        return
    from steepest.runs.composed import composed

    # `loss=mine.power` is short for `model.loss=mine.power`.
    overrides = [re.sub(r"^(loss|activation)=", r"model.\1=", override) for override in overrides or []]
    config = composed(overrides)  # before the slow imports, to report mistakes immediately

    from steepest.lightning.gradcheck import compare_gradients, print_agreement

    rows, bound = compare_gradients(config, overrides, entries, single)
    print_agreement(rows, bound)
    if any(row.fault(bound) for row in rows):
        sys.exit(FAILED)


@app.command()
def audit(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OVERRIDES",
            help="Overrides of train.py, such as data=csv data.path=prices.csv model=mlp, or the folder of a run",
            autocompletion=complete_override,
            show_default=False,
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, metavar="N", help="Number of random cutoff days in the test part")] = 3,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed for the choice of cutoff days")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON file to write the results to", show_default=False)
    ] = None,
) -> None:
    """Audit for look-ahead: change all rows after a cutoff day, and compare every number up to that day."""
    from steepest.runs.lookahead.command import run_audit

    if not run_audit(arguments or [], days, seed, out, _with_trainer):
        sys.exit(FAILED)


@app.command("data")
def show_data(
    path: Annotated[str, typer.Argument(metavar="FILE", help="File of prices, or a pattern such as 'prices/*.csv'")],
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Keys of data=csv, such as data.value=Close", show_default=False),
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Parquet file to write the checked prices to", show_default=False),
    ] = None,
) -> None:
    """Show how a price file is read, without training: dates, series, gaps, suspicious prices, first and last rows."""
    from steepest.runs.price_check import describe_file

    for line in describe_file(path, options or [], write):
        typer.echo(line)


for _command in (predict, evaluate, backtest, export, compare, clean, *SETUP):
    app.command()(_command)
app.command("list")(list_runs)


@app.command()
def board(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of a run, of a sweep, or of many"),
    ] = Path("outputs"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0 uses any free port")
    ] = 6006,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 lets other machines connect")
    ] = "localhost",
) -> None:
    """Show runs and sweeps in TensorBoard, with every point of every curve, the newest first. Ctrl-C stops it."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder; give one that contains runs, such as outputs")
    from steepest.observe.board import serve
    from steepest.sweep.newest import choose

    choice = choose(folder)
    serve(folder, host, port, say=lambda line: typer.echo(line), shown=choice.says, names=choice.names)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="SWEEP", help="Folder of an interrupted or partly failed sweep")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="OVERRIDES",
            help="Overrides to repeat, such as trust=[PACKAGE]; an error message lists them",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Continue a sweep: run the jobs that failed or did not start, and skip those that finished."""
    import os
    import subprocess

    from steepest.runs.conf import program
    from steepest.runs.process import PARENT
    from steepest.runs.quoting import hydra_quoted
    from steepest.sweep.manifest import Manifest
    from steepest.sweep.record import RESUMED

    given = Manifest.read(folder).again(overrides or [])
    where = f"hydra.sweep.dir={hydra_quoted(str(folder.absolute()))}"
    command = [sys.executable, str(program()), "-m", *given, where]
    environment = os.environ | {RESUMED: "1", PARENT: str(os.getpid())}
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)


@app.command()
def report(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of a run or a sweep, finished or running"),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to write (default: report.html in FOLDER)", show_default=False),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser")] = False,
) -> None:
    """Write an HTML report of a run or a sweep.

    Run: verdict, pictures, all scores, data timeline, follow-up commands, config, provenance.

    Sweep: best job, effect of each hyper-parameter, all curves, all jobs.
    """
    if (folder / "sweep.json").exists():
        from steepest.sweep.report.page import write_report
    else:
        from steepest.runs.report.page import write_report

    page = write_report(folder, out)
    typer.echo(f"Report: {page}")
    if show:
        import webbrowser

        webbrowser.open(page.absolute().as_uri())


@app.command()
def course(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LESSON",
            help="Names of lessons, such as three_steps saddle (default: all)",
            show_default=False,
        ),
    ] = None,
    short: Annotated[
        bool, typer.Option("--short", help="Run shorter forms of the lessons, with coarser pictures")
    ] = False,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the page and the lessons' runs")] = Path(
        "outputs/course"
    ),
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Number of lessons to run at a time")] = 2,
) -> None:
    """Run the lessons of the course, check their results against theory, and write one page about them."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from steepest.course.catalogue import COURSE, chapter
    from steepest.course.guide import teach_course
    from steepest.course.page import write_page
    from steepest.evaluate.terminal import print_sentence, terminal

    chosen = [chapter(name) for name in dict.fromkeys(names or [])] or list(COURSE)
    chapters = [one for one in chosen if not one.lacks]
    lacking = [one.lacks for one in chosen if one.lacks]
    if names and lacking:
        raise ValueError("; ".join(lacking))
    console, failing = terminal(), 0
    for sentence in lacking:
        print_sentence(console, f"Left out: {sentence}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("lessons", total=len(chapters))
        for taught in teach_course(chapters, out, short=short, jobs=jobs):
            progress.advance(bar)
            console.print(f"{taught.name} ({taught.seconds:.0f} s)", style="bold", markup=False)
            if taught.found:
                print_sentence(console, f"  {taught.found['sentence']}")
            for claim in taught.fails:
                print_sentence(console, f"  FAILS: {claim}", "bold red")
            if taught.output:
                console.print(taught.output, markup=False, soft_wrap=True)
            failing += bool(taught.fails)
    typer.echo(f"Page: {write_page(out)}")
    if failing:
        console.print(f"{failing} of {len(chapters)} lessons fail.", style="bold red")
        sys.exit(FAILED)


def _with_trainer() -> Any:
    """Return the function that trains configs that the engine cannot train. Imports Lightning."""
    from steepest.lightning.lookahead import fit_with_trainer

    return fit_with_trainer


def _explain(path: Path | None) -> None:
    from rich.text import Text

    from steepest.evaluate.terminal import print_sentence, terminal
    from steepest.nets.worked import DEFAULT, Worked, read_example

    worked = Worked(read_example(path) if path else DEFAULT)
    console = terminal()
    for name, formula, value in worked.lines():
        if not formula:
            console.print(f"\n{name}", style="bold")
        else:
            console.print(
                Text.assemble((f"{name:>12}", "magenta"), f" = {formula} = ", (value, "bold")), soft_wrap=True
            )
    console.print(f"\nL was {float(worked.loss):.9g}; after the update it is {float(worked.loss_after):.9g}.")
    print_sentence(console, f"The gradients differ from autograd's by at most {worked.autograd_gap:.1e}.")
