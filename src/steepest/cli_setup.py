"""The `steepest` commands for projects and installations. They only parse arguments and print.

Importing this module does not import torch.
"""

from __future__ import annotations

import json
import os
import re
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
            f"{folder.absolute()} contains no package of yours: a package is a folder with an __init__.py, or a file "
            "such as mine.py; run the command in the folder that contains it"
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


def schema(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder for the schemas")] = Path(".schemas"),
) -> None:
    """Write a JSON schema for each config group. With them, an editor completes and checks the files of conf/."""
    from steepest.runs.schema import write_schemas

    written = write_schemas(folder)
    typer.echo(f"Written: {', '.join(written)}")
    typer.echo("For VS Code with its YAML extension, add this to .vscode/settings.json:")
    typer.echo(json.dumps({"yaml.schemas": written}, indent=2))
    typer.echo("For other editors, add a first line to a file, such as conf/model/mine.yaml:")
    typer.echo(f"# yaml-language-server: $schema={os.path.relpath(folder / 'model.json', 'conf/model')}")


def complete_override(incomplete: str) -> list[str]:
    """Return the shell's completions of an override. Errors are not shown: they would be in the user's prompt."""
    from steepest.runs.composed import completed_override

    words = _typed_words()
    try:
        found = completed_override(words[2:])
    except Exception:
        return []
    done = len(words[-1]) - len(incomplete)  # bash replaces only the part after the last =
    return [word[done:] for word in found if word.startswith(words[-1])]


def _typed_words() -> list[str]:
    """Return the words up to the cursor, from the variables of typer's shell scripts. Bash splits words at =."""
    if "COMP_WORDS" in os.environ:
        split = os.environ["COMP_WORDS"].split("\n")[: int(os.environ["COMP_CWORD"]) + 1]
        return re.sub(r"\n?=\n?", "=", "\n".join(split)).split("\n")
    line = os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return [*line.split(), *([""] if line.endswith(" ") else [])]


COMMANDS = (init, trust, doctor, schema)
