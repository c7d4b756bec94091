"""Checks an installation for `steepest doctor`: versions, devices, folders, kernel, configs, data, a short training.

A check of a broken installation must not fail itself, so each function imports what it needs, and `diagnose` reports
every error as a fault. At module level, this file imports only Python's standard library.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

TRAINING = ("model=mlp_manual", "data=line", "stop.epochs=20", "logger=none", "~callbacks.pictures")
TIMEOUT = 600  # seconds
AGAIN = "install steepest again: pip install --force-reinstall --no-deps steepest"
NEEDED = {  # choice -> the overrides without which its config is incomplete
    "data=csv": ["data.path=prices.csv"],
    "data=table": ["data.path=table.csv", "data.inputs=[x]", "data.target=y"],
    "data=yahoo": ["data.symbol=AAPL"],
    "stop=threshold": ["stop.loss=0.1"],
    "optimizer=lbfgs": ["data.batch_size=null"],
    "experiment=ltsf": ["data.path=prices.csv"],
}


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        subject: what was checked.
        text: what was found.
        fix: what the user can do, or None if nothing is wrong.
    """

    subject: str
    text: str
    fix: str | None = None


def diagnose() -> Iterator[Finding]:
    """Yield the findings of all checks."""
    for subject, check in CHECKS.items():
        try:
            yield from check()
        except Exception as error:  # a broken installation can raise any error
            yield Finding(subject, f"the check failed: {type(error).__name__}: {error}", AGAIN)


def check_versions() -> Iterator[Finding]:
    """Compare Python and each installed package with the ranges that steepest's metadata names."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    about = metadata.metadata("steepest")
    wanted = about["Requires-Python"] or ""
    fits = SpecifierSet(wanted).contains(platform.python_version(), prereleases=True)
    fix = None if fits else f"make an environment with Python {wanted}"
    yield Finding("Python", f"{platform.python_version()} on {platform.platform()}", fix)
    requirements = [Requirement(line) for line in metadata.requires("steepest") or ()]
    needed = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    faults = 0
    for one in needed:
        try:
            installed = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            installed = "not installed"
        if not (installed[0].isdigit() and one.specifier.contains(installed, prereleases=True)):
            faults += 1
            yield Finding(
                one.name, f"{installed}, but steepest needs {one.specifier or 'any version'}", f"pip install '{one}'"
            )
    if not faults:
        yield Finding("packages", f"steepest {about['Version']}; the versions of its {len(needed)} packages fit")


def check_devices() -> Iterator[Finding]:
    """List the processors and the GPUs."""
    from steepest.runs.process import cores

    yield Finding("CPU", f"{cores()} cores, {platform.machine()}")
    import torch

    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("Apple MPS")
    yield Finding("GPU", ", ".join(names) or f"none that PyTorch {torch.__version__} can use; small models need none")


def check_folders() -> Iterator[Finding]:
    """Check that runs, compiled code and the list of trusted folders can be written."""
    from steepest.engine.cache import folder
    from steepest.runs.trusted import list_file, read_list

    here = Path("outputs") if Path("outputs").exists() else Path()
    ok = _writable(here.absolute())
    fix = None if ok else "change its permissions, or run steepest in another folder"
    yield Finding("runs", f"{here.absolute()} {'can' if ok else 'cannot'} be written", fix)
    cache = folder()
    if cache is None:
        yield Finding("kernel cache", "no folder can be written", "set XDG_CACHE_HOME to a folder that can be written")
    else:
        yield Finding("kernel cache", str(cache))
    _, problem = read_list()
    yield Finding("trusted folders", problem or str(list_file()), problem and "correct or remove the file")


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def check_kernel() -> Iterator[Finding]:
    """Tell whether the training kernel is compiled. If not, that is no fault."""
    from steepest.engine.cache import is_compiled

    states = [f"{name}: {'compiled' if is_compiled(name) else 'not compiled yet'}" for name in ("float32", "float64")]
    yield Finding("kernel", f"{', '.join(states)}; the first run compiles it")


def check_configs() -> Iterator[Finding]:
    """Compose and check the config of each choice: the shipped ones and those of the working folder."""
    from steepest.runs.conf import choices

    found = {group: sorted(names) for group, names in choices().items() if not group.startswith("hydra")}
    faults = [fault for group, names in found.items() for name in names if (fault := _fault(group, name))]
    yield from faults
    if not faults:
        yield Finding("configs", f"each of the {sum(map(len, found.values()))} choices in conf/ passes the check")


def _fault(group: str, name: str) -> Finding | None:
    from steepest.runs.composed import composed
    from steepest.runs.conf import config_files, is_own
    from steepest.runs.config import check
    from steepest.runs.errors import explain

    top, _, below = group.partition("/")
    choice = f"{top}={below}/{name}" if below else f"{top}={name}"
    words = [f"{top}=[{name}]" if top == "callbacks" else choice, *NEEDED.get(choice, ())]
    try:
        check(composed(words), typed=words)
    except Exception as error:
        message = explain(error) or f"{type(error).__name__}: {error}"
        if re.search(r"is missing: add [\w.]+=\.\.\.$", message):  # a project's config with a value to give
            return None
        file = config_files(f"{group}/{name}.yaml")[f"{group}/{name}.yaml"]
        return Finding(choice, f"{file} does not pass the check", f"{message}{f'; or {AGAIN}' if is_own(file) else ''}")
    return None


def check_data() -> Iterator[Finding]:
    """Compare the shipped data with the checksums in their data card, data/README.md."""
    from steepest.data.home import HOME

    card = (HOME / "data" / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\S+)` \|.*\| `([0-9a-f]{64})` \|$", card, re.MULTILINE)
    wrong = []
    for name, expected in listed:
        file = HOME / "data" / name
        found = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else ""
        wrong += [] if found == expected else [name]
    text = f"{', '.join(wrong)} differ from the checksums" if wrong else f"the checksums of {len(listed)} files fit"
    yield Finding("data", text if listed else "there are no checksums", None if listed and not wrong else AGAIN)


def check_training() -> Iterator[Finding]:
    """Train a small net in a temporary folder, with the command that a user types."""
    from steepest.runs.conf import program

    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        command = [sys.executable, str(program()), *TRAINING, "hydra.run.dir=run"]
        done = subprocess.run(
            command, cwd=folder, env=os.environ | {"COLUMNS": "80"}, capture_output=True, text=True, errors="replace",
            timeout=TIMEOUT, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - began
        record = Path(folder, "run", "metrics.json")
        if done.returncode == 0 and record.exists():
            yield Finding("training", f"a small net, in {seconds:.1f} s with all imports")
            return
    last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
    fix = f"repeat it to see all messages: steepest train {' '.join(TRAINING)}"
    yield Finding("training", f"exit code {done.returncode}: {last}", fix)


CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "versions": check_versions,
    "devices": check_devices,
    "folders": check_folders,
    "kernel": check_kernel,
    "configs": check_configs,
    "data": check_data,
    "training": check_training,
}
