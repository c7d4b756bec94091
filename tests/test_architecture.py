"""The architecture: packages import only packages above them, and starting a command imports little."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

ROOMS = [
    "data",
    "nets",
    "engine",
    "evaluate",
    "observe",
    "runs",
    "lightning",
    "sweep",
    "course",
]  # each may import the ones before it
SOURCE = ROOT / "src" / "steepest"


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_imports_only_packages_above_it(room):
    allowed = {"steepest." + r for r in ROOMS[: ROOMS.index(room) + 1]}
    if room == "nets":
        allowed.remove("steepest.data")
    for file in (SOURCE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [node.module]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in getattr(node, "names", [])]
                if isinstance(node, ast.Import)
                else []
            )
            for name in names:
                if name and name.startswith("steepest."):
                    assert ".".join(name.split(".")[:2]) in allowed, f"{file.name} imports {name}"


def test_modules_that_hydra_imports_at_every_start_do_not_import_torch():
    names = "steepest.sweep.record, steepest.sweep.compose, steepest.sweep.tuning, steepest.runs.pruning, "
    names += "steepest.course.lesson, hydra_plugins.steepest_launchers, hydra_plugins.steepest_sweepers"
    code = f"import sys, {names}; sys.exit(bool({{'torch', 'optuna'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("room", ["steepest.runs", "steepest.lightning"])
def test_instruments_know_neither_runs_nor_lightning(room):
    code = f"""
import importlib, pathlib, sys
for file in pathlib.Path({str(SOURCE / "observe")!r}).glob("*.py"):
    importlib.import_module(f"steepest.observe.{{file.stem}}")
sys.exit(any(name.startswith(({room!r}, "lightning")) for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_threads_launcher_does_not_import_torch_before_it_launches():
    code = "import sys, hydra_plugins.steepest_launchers.threads, steepest.sweep.threads, steepest.sweep.compose; "
    code += "sys.exit(bool({'torch', 'lightning'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_no_source_file_is_longer_than_350_lines():
    assert [f.name for f in SOURCE.rglob("*.py") if len(f.read_text().splitlines()) > 350] == []


def test_shapes_are_checked_under_pytest():
    import jaxtyping
    import torch

    from steepest.nets.networks import Linear

    with pytest.raises(jaxtyping.TypeCheckError):
        Linear(2, 1)(torch.zeros(3))
