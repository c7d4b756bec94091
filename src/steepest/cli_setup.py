"""The `steepest` commands for projects and installations. They only parse arguments and print.

Importing this module does not import torch.
"""

from __future__ import annotations

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from steepest.data.faults import printable
from steepest.runs.errors import FAILED


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder for the project; the package gets its name")
    ] = Path(),
) -> None:
    """Write a small project of your own: a package with a model, its configs and its tests."""
    from steepest.runs.project.write import package_name, write_project
    from steepest.runs.trusted import remember

    name = package_name(folder)
    for file in write_project(folder):
        typer.echo(f"Written: {folder / file}")
    trust = ""
    try:
        remember(folder, [name])
    except (OSError, ValueError) as error:
        typer.echo(f"The folder is not in your list of trusted folders ({error}): add trust=[{name}] to each command.")
        trust = f" trust=[{name}]"
    typer.echo(f"Next: cd {shlex.quote(str(folder))} && steepest train model={name}{trust} && pytest")


def trust(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder that contains the packages")] = Path(),
    remove: Annotated[bool, typer.Option("--remove", help="Do not trust the folder's packages any more")] = False,
) -> None:
    """Trust the packages of a folder: in this folder, configs can name their classes. The code of a class can do
    anything that you can do, so read it first.
    """
    from steepest.runs.trusted import list_file, packages_in, remember

    packages = [] if remove else packages_in(folder)
    if not packages and not remove:
        raise ValueError(
            f"{folder.absolute()} contains no package: a package is a folder with an __init__.py; run the command in "
            "the folder that contains it"
        )
    remember(folder, packages)
    named = f"trusted in {folder.resolve()}: {', '.join(packages)}" if packages else f"not trusted: {folder.resolve()}"
    typer.echo(f"{named} (recorded in {list_file()})")


def doctor() -> None:
    """Check the installation: versions, devices, folders, compiled kernel, configs, data, and a short training."""
    from rich.table import Table

    from steepest.evaluate.terminal import print_sentence, terminal
    from steepest.runs.doctor import diagnose

    console, faults = terminal(), 0
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    with console.status("checking") if console.is_terminal else nullcontext():
        for found in diagnose():
            faults += found.fix is not None
            mark = Text("FAULT", "bold red") if found.fix else Text("ok", "green")
            table.add_row(mark, Text(printable(found.subject)), Text(printable(found.text)))
            if found.fix:
                table.add_row("", "", Text(f"To fix it: {printable(found.fix)}", "bold"))
    console.print(table)
    if faults:
        print_sentence(console, f"{faults} fault{'s' * (faults > 1)}.", "bold red")
        sys.exit(FAILED)
    print_sentence(console, "No faults.")


COMMANDS = (init, trust, doctor)
