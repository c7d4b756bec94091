"""Runs random command lines, and reads damaged records: `python -m tests.campaign.fuzz --overrides N --records M`.

Each command runs in a fork (`forked.py`). It must end with a message and an exit code of docs/runs.md. A traceback, a
hang, more than 5 seconds of processor time or 2 GiB of memory, or a change outside its folder is a fault. A command
that trains for longer is interrupted, and must end with exit code 130. A refused run must not leave a folder.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import random
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from .forked import GIB, ROOT, Ended, call, steepest, train, warm

SECONDS, BYTES = 5.0, 2 * GIB
CODES = (0, 1, 2, 130)
TRACES = re.compile(r"Traceback \(most recent|Fatal Python error|Segmentation fault|\w+Warning: |Error executing job")
FAST = ("stop.epochs=2", "data=random_walk", "data.rows=300")
NUMBERS = [
    "0",
    "-1",
    "1",
    "2",
    "3",
    "7",
    "-7",
    "0.5",
    "1.5",
    "1e-320",
    "1e-12",
    "1e12",
    "1e308",
    "-1e308",
    "1e400",
    "nan",
    "inf",
    "-inf",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "100000000",
    "-0.0",
    "1e39",
]
WORDS = (
    "null", "true", "false", "''", "abc", "[]", "{}", "[1,2]", "[null]", "[[1],2]", "{a:1}", "{a:{b:[1]}}", "???",
    "${seed}", "${nothing}", "${data}", "${oc.env:HOME}", "${now:%Y}", "${hydra:job.name}", "../x", "/", ".", "..",
    "/dev/null", "''''", "'a b'", "'a\nb'", "'\x1b[31m'", "'\u202e'", "'ä€😀'", "'<b>&amp;'", "'$\\frac{1}$'", "'%s%d'",
    "a" * 300, "a" * 5000, "1" * 400, "[" + "1," * 2000 + "1]", "[" * 50 + "]" * 50, "=", "[", "{", "'", "\\", "a=b", "a,b",
    "range(3)", "choice(1,2)", "glob(*)", "1,2", "true,false", "0x10", "1_000", "١", "2020-01-01", "-", "--", "*", "~", "+",
)  # fmt: skip
CHOICES = {
    folder.name: [file.stem for file in sorted(folder.glob("*.yaml"))]
    for folder in sorted((ROOT / "conf").iterdir())
    if folder.is_dir() and folder.name != "hydra"
}
TOO_LONG = ("data=yahoo", "experiment=course", "trainer=gpu")  # these need a network, minutes or a GPU
SETTINGS = [
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "hydra.job.name",
    "hydra.job.chdir",
    "hydra.verbose",
    "hydra.mode",
    "hydra.output_subdir",
    "hydra/launcher",
    "hydra/sweeper",
    "hydra/job_logging",
    "hydra.callbacks",
    "hydra.launcher.n_jobs",
    "hydra.sweeper.max_batch_size",
    "hydra.job.env_set",
    "hydra.sweeper.params",
    "sweep.on_error",
    "sweep.dry_run",
    "sweep.trial",
    "sweep.storage",
    "sweep.study",
]


@dataclass(frozen=True)
class Case:
    """One command in a folder.

    Attributes:
        name: the name in messages about faults.
        command: the function that runs the command.
        prepare: a function that fills the folder.
        refused_leaves_nothing: whether the folder must be empty if the exit code is 2.
        names: words of which a refusal must contain at least one.
    """

    name: str
    command: Callable[[], None]
    prepare: Callable[[Path], None] = lambda folder: None
    refused_leaves_nothing: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Key:
    """A key of the config, a choice that has this key, and its value in this choice."""

    name: str
    choice: str
    value: Any


def keys() -> list[Key]:
    """Return all keys of all choices of the config, and all arguments of Lightning's Trainer."""
    from inspect import signature

    from hydra import compose, initialize_config_dir
    from lightning.pytorch import Trainer
    from omegaconf import OmegaConf

    found: dict[str, Key] = {}

    def walk(node: Any, at: str, choice: str) -> None:
        if at:
            found.setdefault(at, Key(at, choice, node))
        if isinstance(node, dict):
            for key, value in node.items():
                walk(value, f"{at}.{key}" if at else str(key), choice)

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for group, names in ({"": [""]} | CHOICES).items():
            for name in names:
                choice = f"{group}=[{name}]" if group == "callbacks" else f"{group}={name}" if group else ""
                walk(OmegaConf.to_container(compose("train", [choice] if choice else [])), "", choice)
    for name, parameter in signature(Trainer).parameters.items():
        found.setdefault(f"trainer.{name}", Key(f"trainer.{name}", "", parameter.default))
    found |= {name: Key(name, "", None) for name in SETTINGS}
    return list(found.values())


def overrides(draw: random.Random, known: list[Key]) -> Iterator[Case]:
    """Yield random command lines."""
    while True:
        words = list(FAST)
        if draw.random() < 0.85:
            words.append("callbacks=none")
        words += [f"model={draw.choice(CHOICES['model'])}"] if draw.random() < 0.6 else []
        many = draw.random() < 0.1
        words = (["-m"] if many else []) + words
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            words += _override(draw, draw.choice(known))
        if many and draw.random() < 0.5:
            words.append(
                draw.choice(("hydra/launcher=threads", "seed=0,1", "optimizer.lr=0.1,1e9", "sweep.on_error=stop"))
            )
        yield Case(" ".join(words), train(*words), refused_leaves_nothing=not many)


def _override(draw: random.Random, key: Key) -> list[str]:
    """Return a random override, usually of this key and after the choice that has the key."""
    choice = [key.choice] if key.choice and draw.random() < 0.85 and not key.choice.endswith(TOO_LONG) else []
    kind, name = draw.random(), key.name
    value = _like(draw, key.value) if draw.random() < 0.5 else draw.choice((*NUMBERS, *WORDS))
    if kind < 0.7:
        return [*choice, f"{draw.choice(('', '++'))}{name}={value}"]
    if kind < 0.76:
        return [*choice, f"~{name}"]
    if kind < 0.8:
        return [*choice, f"+{name}.{draw.choice(('new', '_target_', '_partial_', '_args_', '0', 'a b'))}={value}"]
    group = draw.choice(list(CHOICES))
    if kind < 0.92:
        names = draw.sample(CHOICES[group], min(2, len(CHOICES[group]))) if group == "callbacks" else CHOICES[group]
        chosen = f"{group}=[{','.join(names)}]" if group == "callbacks" else f"{group}={draw.choice(names)}"
        return [f"{group}=none"] if chosen.endswith(TOO_LONG) else [chosen]
    if kind < 0.97:
        return [f"{group}={value}"]
    odd = (
        f"{value}",
        f"={value}",
        name,
        f"{name}@x={value}",
        f"{name}:x={value}",
        f"@{name}={value}",
        f"+{value}={value}",
    )
    return [draw.choice(odd)]


def _like(draw: random.Random, value: Any) -> str:
    """Return an unusual value of a similar type."""
    if isinstance(value, bool):
        return draw.choice(("true", "false"))
    if isinstance(value, int | float):
        return draw.choice(NUMBERS)
    if isinstance(value, list) and value:
        return f"[{','.join(_like(draw, entry) for entry in draw.choices(value, k=draw.randrange(4)))}]"
    if isinstance(value, str):
        return draw.choice(WORDS)
    return draw.choice(("null", *NUMBERS))


STOCK = {  # folder -> command that writes its records
    "run": train(*FAST, "hydra.run.dir=run", "stop.epochs=3"),
    "net": train(*FAST, "hydra.run.dir=net", "model=mlp_manual", "callbacks=[default,steps]", "~callbacks.pictures"),
    "early": train(*FAST, "hydra.run.dir=early", "model=mlp", "stop=early", "stop.epochs=3", "callbacks=none"),
    "sweep": train(
        "-m", *FAST, "hydra.sweep.dir=sweep", "model=mlp_manual", "hydra/launcher=threads", "optimizer.lr=0.1,1e9", "seed=0,1"
    ),
    "basic": train("-m", *FAST, "hydra.sweep.dir=basic", "optimizer.lr=0.1,1e9", "callbacks=none"),
    "tune": train(
        "-m", *FAST, "hydra.sweep.dir=tune", "model=mlp_manual", "hydra/launcher=threads", "hydra/sweeper=tune",
        "hydra.sweeper.n_trials=3", "optimizer.lr=interval(0.01,0.1)", "callbacks=none",
    ),
}  # fmt: skip
READERS: dict[str, list[tuple[str, ...]]] = {  # commands that read a folder. The first word is the program
    "run": [
        ("train", "resume=run", "stop.epochs=5"),
        ("train", "resume=run"),
        ("train", "hydra.run.dir=run"),
        ("steepest", "report", "run"),
    ],
    "net": [("train", "resume=net", "stop.epochs=4"), ("train", "resume=net")],
    "early": [("train", "resume=early", "stop.epochs=6"), ("train", "resume=early")],
    "sweep": [
        ("steepest", "resume", "sweep"),
        ("steepest", "report", "sweep"),
        ("train", "-m", "hydra.sweep.dir=sweep"),
    ],
    "basic": [("steepest", "resume", "basic"), ("steepest", "report", "basic")],
    "tune": [("steepest", "resume", "tune"), ("steepest", "report", "tune")],
}
ODD: list[Any] = [
    None, True, 0, -1, 1e308, 10**30, "", "x", "../../x", "/dev/null", "\x1b[31m\n", "<b>$", "a" * 5000, [], [1], [[]], {}, {"a": 1},
    {"status": "finished"}, ["x"] * 300,
]  # fmt: skip


def stock() -> Path:
    """Return a folder with undamaged records."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-stock-"))
    for name, command in STOCK.items():
        ended = call(command, folder, patience=60)
        assert (folder / name).is_dir(), ended.text
    return folder


def records(draw: random.Random, good: Path) -> Iterator[Case]:
    """Yield commands that read damaged records."""
    while True:
        name = draw.choice(list(READERS))
        program, *words = draw.choice(READERS[name])
        files = sorted(path.relative_to(good) for path in (good / name).rglob("*") if path.is_file())
        files = [path for path in files if path.suffix not in (".png", ".gif", ".html")]
        kinds = sorted({(path.suffix, path.name.startswith("events")) for path in files})
        kind = draw.choice(kinds)  # choose the kind first, because some kinds have many files
        damaged = [draw.choice([path for path in files if (path.suffix, path.name.startswith("events")) == kind])]
        damaged += [draw.choice(files)] if draw.random() < 0.15 else []
        seed = draw.random()
        yield Case(
            f"{program} {' '.join(words)} after damage {seed} to {', '.join(map(str, damaged))}",
            train(*words) if program == "train" else steepest(*words),
            partial(_prepare, good, name, damaged, seed),
            names=tuple(path.name for path in damaged)
            if words[0] in ("resume", "report") or "resume=" in words[0]
            else (),
        )


def _prepare(good: Path, name: str, damaged: list[Path], seed: float, folder: Path) -> None:
    shutil.copytree(good / name, folder / name, symlinks=True)
    record = folder / name / "sweep.json"
    if record.exists():  # a sweep can be continued only in the folder where it was started
        content = json.loads(record.read_text())
        content["command"]["folder"] = str(folder)
        record.write_text(json.dumps(content))
    draw = random.Random(seed)
    for path in dict.fromkeys(damaged):
        _damage(draw, folder / path)


def _damage(draw: random.Random, path: Path) -> None:
    content = bytearray(path.read_bytes())
    how = draw.choice(("cut", "flip", "flip", "zeros", "other", "gone", "folder", "link", *["value"] * 6))
    if how == "value" and path.suffix in (".json", ".yaml"):
        parsed = json.loads(content) if path.suffix == ".json" else yaml.safe_load(content.decode())
        for _ in range(draw.choice((1, 1, 2))):
            parsed = _changed(draw, parsed)
        path.write_text(json.dumps(parsed) if path.suffix == ".json" else yaml.safe_dump(parsed))
    elif how in ("cut", "value"):
        path.write_bytes(content[: draw.randrange(len(content) + 1)])
    elif how == "flip" and content:
        for _ in range(draw.choice((1, 1, 8, 100))):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
    elif how == "zeros":
        path.write_bytes(bytes(len(content)))
    elif how == "other":
        path.write_bytes(
            draw.choice((b"", b"null", b"[]", b'"x"', b"NaN", b"[" * 100_000, b"\xff\xfe", b"9" * 10_000_000, b"{}"))
        )
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
        elif how == "link":
            path.symlink_to(path.name)


def _changed(draw: random.Random, parsed: Any) -> Any:
    """Return a copy of plain data in which one part is invalid or missing."""
    if not isinstance(parsed, dict | list) or not parsed or draw.random() < 0.1:
        return draw.choice(ODD)
    keys: list[Any] = list(parsed) if isinstance(parsed, dict) else list(range(len(parsed)))
    key, copied = draw.choice(keys), parsed.copy()
    if draw.random() < 0.15:
        del copied[key]
    else:
        copied[key] = _changed(draw, parsed[key])
    return copied


def faults(case: Case, ended: Ended, left: list[str]) -> list[str]:
    """Describe the faults in the result of a case."""
    found = []
    if ended.interrupted and ended.code not in (0, 130):  # it may have finished before the interrupt
        found.append(f"it trained, and Ctrl-C ended it with {ended.code}")
    if ended.code not in CODES:
        found.append(f"exit code {ended.code}")
    if (trace := TRACES.search(ended.text)) is not None:
        found.append(f"its output has {trace[0]!r}")
    if ended.code in (1, 2) and not ended.text.strip():
        found.append(f"exit code {ended.code} without a message")
    if ended.code in (1, 2) and ended.seconds > SECONDS:  # a successful run has no limit
        found.append(f"{ended.seconds:.1f} s")
    told = any(name in ended.text for name in case.names) or re.search(r"[a-z_]+=", ended.text)  # the file, or a key
    if ended.code == 2 and case.names and not told:
        found.append("it does not name the file")
    if ended.bytes > BYTES:
        found.append(f"{ended.bytes / GIB:.1f} GiB")
    if ended.outside:
        found.append(f"it changed {', '.join(ended.outside[:3])}")
    if case.refused_leaves_nothing and "hydra." not in case.name and ended.code == 2 and left:
        found.append(f"it was refused, and left {left[0]}")
    if any(not c.isprintable() and c not in "\n\t" for c in ended.text):
        found.append("its output has control characters")
    return found


def run(case: Case) -> tuple[Ended, list[str]]:
    """Run a case in a new folder. Return its result and its faults."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        case.prepare(folder)
        ended = call(case.command, folder)
        left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        return ended, faults(case, ended, left)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def campaign(title: str, cases: Iterator[Case], count: int, until: float = math.inf, show: int = 40) -> int:
    """Run up to `count` cases until a time, print the figures, and return the number of cases with a fault."""
    start, wrong, codes = time.perf_counter(), 0, collections.Counter[int]()
    seconds, most, interrupted = 0.0, 0, 0
    done = 0
    while done < count and time.perf_counter() < until:
        case, done = next(cases), done + 1
        ended, found = run(case)
        codes[ended.code] += 1
        interrupted += ended.interrupted
        seconds = max(seconds, ended.seconds if ended.code in (1, 2) else 0.0)
        most = max(most, ended.bytes)
        if found:
            wrong += 1
            if wrong <= show:
                print(f"FAULT {'; '.join(found)}\n  {case.name[:600]!r}\n  {_last(ended.text)}", flush=True)
    shown = ", ".join(f"{code}: {number}" for code, number in sorted(codes.items()))
    print(
        f"{title}: {done} commands, {wrong} with a fault; exit codes {shown}; {interrupted} trained for long and were "
        f"interrupted; refusals and failures took at most {seconds:.1f} s of processor time; all at most {most / GIB:.2f} GiB; "
        f"{time.perf_counter() - start:.0f} s in all",
        flush=True,
    )
    return wrong


def _last(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n  ".join(line[:300] for line in lines[-6:])


def main() -> None:
    """Run both campaigns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--overrides", type=int, default=500)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop each campaign after this time")
    options = parser.parse_args()
    warm()
    wrong = 0
    if options.overrides:
        cases = overrides(random.Random(f"overrides {options.seed}"), keys())
        wrong += campaign("command lines", cases, options.overrides, time.perf_counter() + 60 * options.minutes)
    if options.records:
        good = stock()
        try:
            cases = records(random.Random(f"records {options.seed}"), good)
            wrong += campaign("records", cases, options.records, time.perf_counter() + 60 * options.minutes)
        finally:
            shutil.rmtree(good)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
