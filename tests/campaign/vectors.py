"""Attacks with harmful files. Each attack plants files in a folder and returns the command that a user would run there.

An attack succeeds if it creates the file MARK, or changes a file outside the folders of the command's results. In
texts, MARK, OUT, BOX and EVIL are replaced by the marker, a folder that must not change, the folder where the command
runs, and the folder of the planted files.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

SMALL = ["data=random_walk", "data.rows=200", "stop.epochs=1", "callbacks=none", "logger=none"]
PLAIN = ["data=random_walk", "data.rows=200", "stop.epochs=1"]
MARKUP = "<script>alert(1)</script>"


@dataclass(frozen=True)
class Box:
    """The folders of one attack.

    Attributes:
        box: the folder where the command runs. It may write to `box/outputs` and to the folders in `own`.
        evil: the folder of the planted files. PYTHONPATH contains it, so their modules can be imported.
        out: a folder that must not change.
        mark: the file that the harmful code creates.
        templates: the folder with a finished run and a sweep with a failed job, which attacks copy.
    """

    box: Path
    evil: Path
    out: Path
    mark: Path
    templates: Path
    own: list[Path] = field(default_factory=list)

    def fill(self, text: str) -> str:
        """Replace the names of the folders in a text by their paths."""
        for name, path in (("MARK", self.mark), ("OUT", self.out), ("BOX", self.box), ("EVIL", self.evil)):
            text = text.replace(name, str(path))
        return text

    def write(self, path: Path, text: str) -> Path:
        """Write a file. Missing folders are created."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.fill(text))
        return path

    def copy(self, name: str) -> Path:
        """Copy a template into the box. The command may change the copy."""
        folder = self.box / name
        shutil.copytree(self.templates / name, folder, symlinks=True)
        self.own.append(folder)
        return folder


Plant = Callable[[Box], list[str]]


@dataclass(frozen=True)
class Vector:
    """One attack.

    Attributes:
        name: a description of the harmful content.
        place: the kind of the harmful file.
        plant: a function that writes the files and returns the command.
        at_start: whether it takes effect when a process starts, so that a fork cannot show it.
    """

    name: str
    place: str
    plant: Plant
    at_start: bool = False


# Config nodes whose target creates the marker.
CALLS = {
    "popen": "{_target_: subprocess.Popen, args: [touch, MARK]}",
    "run": "{_target_: subprocess.run, args: [touch, MARK]}",
    "system": "{_target_: os.system, command: touch MARK}",
    "exec": '{_target_: builtins.exec, _args_: [\'open("MARK", "w")\']}',
    "open": "{_target_: io.open, file: MARK, mode: w}",
    "import": "{_target_: planted.thing}",
    "partial": "{_target_: functools.partial, _args_: [{_target_: os.system, command: touch MARK}]}",
    "get_method": "{_target_: hydra.utils.call, config: {_target_: os.system, command: touch MARK}}",
    "through": "{_target_: steepest.runs.revision.subprocess.run, args: [touch, MARK]}",
    "writer": "{_target_: steepest.runs.files.write_text, path: OUT/new, text: x}",
    "events": "{_target_: steepest.observe.eventfile.EventFile, path: OUT/new}",
    "rmtree": "{_target_: shutil.rmtree, path: OUT/victim}",
    "pickle": "{_target_: pandas.read_pickle, filepath_or_buffer: EVIL/bad.pkl}",
    "load": "{_target_: torch.load, f: EVIL/bad.pkl, weights_only: false}",
    "hub": "{_target_: torch.hub.load, repo_or_dir: EVIL, model: thing, source: local}",
}

# Harmful config files: name -> YAML of the whole config (package _global_).
TEXTS = {
    # programs through Hydra's node
    "env_set: git's settings": "hydra: {job: {env_set: {GIT_CONFIG_COUNT: '1', GIT_CONFIG_KEY_0: core.fsmonitor, "
    "GIT_CONFIG_VALUE_0: 'touch MARK; false'}}}",
    "env_set: PATH": "hydra: {job: {env_set: {PATH: 'EVIL/bin:/usr/bin:/bin'}}}",
    "env_set: GIT_DIR": "hydra: {job: {env_set: {GIT_DIR: EVIL/repo/.git, GIT_WORK_TREE: EVIL/repo}}}",
    "env_set: GIT_CONFIG_GLOBAL": "hydra: {job: {env_set: {GIT_CONFIG_GLOBAL: EVIL/gitconfig}}}",
    "env_set: GIT_EXEC_PATH": "hydra: {job: {env_set: {GIT_EXEC_PATH: EVIL/bin}}}",
    "env_set: LD_PRELOAD": "hydra: {job: {env_set: {LD_PRELOAD: EVIL/none.so, TMPDIR: OUT}}}",
    "env_set: an interpolation": "hydra: {job: {env_set: '${oc.create:{PATH: \"EVIL/bin\"}}'}}",
    "job_logging: a handler": "hydra: {job_logging: {handlers: {file: {(): subprocess.Popen, args: [touch, MARK]}}}}",
    "job_logging: a new handler": "hydra: {job_logging: {handlers: {x: {(): os.system, command: touch MARK}}}}",
    "job_logging: a filter": "hydra: {job_logging: {filters: {x: {(): subprocess.Popen, args: [touch, MARK]}}}}",
    "job_logging: a formatter": "hydra: {job_logging: {formatters: {short: {(): planted.thing}}}}",
    "job_logging: a class": "hydra: {job_logging: {handlers: {console: {class: planted.thing}}}}",
    "job_logging: ext://": "hydra: {job_logging: {handlers: {console: {stream: ext://planted.thing}}}}",
    "job_logging: a file": "hydra: {job_logging: {handlers: {file: {filename: OUT/new}}}}",
    "job_logging: a rotating file": "hydra: {job_logging: {handlers: {console: {class: "
    "logging.handlers.RotatingFileHandler, filename: OUT/victim/file}}}}",
    "hydra_logging: a handler": "hydra: {hydra_logging: {handlers: {console: {(): subprocess.Popen, args: [touch, "
    "MARK]}}}}",
    "hydra_logging: a filter": "hydra: {hydra_logging: {filters: {x: {(): planted.thing}}}}",
    "hydra_logging: a file": "hydra: {hydra_logging: {handlers: {console: {class: logging.FileHandler, "
    "filename: OUT/new}}}}",
    "mode and params: trust": "hydra: {mode: MULTIRUN, sweeper: {params: {trust: '[subprocess]'}}}\n"
    "model: {_target_: subprocess.Popen, args: [touch, MARK]}",
    "mode and params: +trust": "hydra: {mode: MULTIRUN, sweeper: {params: {+trust: '[planted]'}}}\n"
    "model: {_target_: planted.thing}",
    "mode and params: two keys in one": "hydra: {mode: MULTIRUN, sweeper: {params: {'seed=0,trust': '[planted]'}}}\n"
    "model: {_target_: planted.thing}",
    "mode and params: a target": "hydra: {mode: MULTIRUN, sweeper: {params: {model._target_: 'planted.thing,os.abort'}}}",
    "mode and params: hydra": "hydra: {mode: MULTIRUN, sweeper: {params: {hydra.job.env_set.PATH: EVIL/bin}}}",
    "mode and params: a package": "hydra: {mode: MULTIRUN, sweeper: {params: {'+data@hydra.job.env_set': csv}}}",
    "mode and a launcher": "hydra: {mode: MULTIRUN, launcher: {_target_: planted.thing}}",
    "mode and a sweeper": "hydra: {mode: MULTIRUN, sweeper: {_target_: planted.thing}}",
    "mode and the joblib launcher's folder": "hydra: {mode: MULTIRUN, launcher: {temp_folder: OUT/new}}",
    "mode and the submitit launcher's commands": "hydra: {mode: MULTIRUN, launcher: {setup: [touch MARK], "
    "submitit_folder: OUT/new}}",
    "mode and the ray launcher's hook": "hydra: {mode: MULTIRUN, launcher: {ray: {init: {runtime_env: "
    "{worker_process_setup_hook: planted.thing}}}}}",
    "callbacks: an interpolation": "hydra: {callbacks: '${oc.create:{x: {_target_: planted.thing}}}'}",
    "callbacks: the target of another key": "stop: {_target_: planted.thing}\nhydra: {callbacks: {x: '${stop}'}}",
    "callbacks: pickles": "hydra: {callbacks: {x: {_target_: hydra.experimental.callbacks.PickleJobInfoCallback}}}",
    "searchpath: a package": "hydra: {searchpath: ['pkg://planted']}",
    "searchpath: a folder": "defaults: [{override /model: bad}]\nhydra: {searchpath: ['EVIL/more']}",
    "trust": "trust: [subprocess]\nmodel: {_target_: subprocess.Popen, args: [touch, MARK]}",
    "trust: by interpolation": "trust: '${oc.decode:\"[planted]\"}'\nmodel: {_target_: planted.thing}",
    "trust: a package of the environment": "trust: [os, planted]\nmodel: {_target_: planted.thing}",
    "moved: a shipped file": "defaults: [/data/csv@hydra.job.env_set]\ndata: {path: x}",
    "moved: a launcher as callback": "defaults: [/hydra/launcher/threads@hydra.callbacks.x]",
    "moved: out of the folder": "defaults: ['/../../more/model/bad@model']",
    "moved: into trust": "defaults: [/trusted@trust]",
    # paths
    "run.dir": "hydra: {run: {dir: OUT/new}}",
    "run.dir: relative": "hydra: {run: {dir: ../out/new}}",
    "sweep.dir": "hydra: {mode: MULTIRUN, sweep: {dir: OUT/new}, sweeper: {params: {seed: '0,1'}}}",
    "sweep.subdir": "hydra: {mode: MULTIRUN, sweep: {subdir: '../../../../out/new_${hydra.job.num}'}, "
    "sweeper: {params: {seed: '0,1'}}}",
    "sweep.subdir: absolute": "hydra: {mode: MULTIRUN, sweep: {subdir: 'OUT/new_${hydra.job.num}'}, "
    "sweeper: {params: {seed: '0,1'}}}",
    "sweep.subdir: by separators": "hydra: {mode: MULTIRUN, sweep: {subdir: '${hydra.job.override_dirname}'}, job: "
    "{config: {override_dirname: {kv_sep: '/../../../../../out/new'}}}, sweeper: {params: {seed: '0,1'}}}",
    "output_subdir": "hydra: {output_subdir: ../../../../out/new}",
    "job.name": "hydra: {job: {name: ../../../../out/new}}",
    "job.name: absolute": "hydra: {job: {name: OUT/new}}",
    "resume": "resume: OUT/run\nstop: {epochs: 9}",
    "sweep.storage": "sweep: {trial: 0, study: x, storage: OUT/new/journal}",
    "sweep.storage: a database": "sweep: {trial: 0, study: x, storage: 'sqlite:///OUT/new.db'}",
    "the tuner's storage": "defaults: [{override /hydra/sweeper: tune}]\nhydra: {mode: MULTIRUN, sweeper: {storage: "
    "OUT/new/journal, n_trials: 1, params: {seed: 'range(3)'}}}",
    "the tuner's sampler": "defaults: [{override /hydra/sweeper: tune}]\nhydra: {mode: MULTIRUN, sweeper: {sampler: "
    "{_target_: planted.thing}, n_trials: 1, params: {seed: 'range(3)'}}}",
    "the tuner's pruner": "defaults: [{override /hydra/sweeper: tune}]\nhydra: {mode: MULTIRUN, sweeper: {pruner: "
    "{_target_: optuna.pruners._nop.os.system}, n_trials: 1, params: {seed: 'range(3)'}}}",
    "the cache of downloads": "defaults: [{override /data: yahoo}]\ndata: {symbol: A, cache: OUT/new}",
    "the cache of downloads: relative": "defaults: [{override /data: yahoo}]\ndata: {symbol: A, cache: ../out/new}",
    "the cache of downloads: by interpolation": "defaults: [{override /data: yahoo}]\ndata: {symbol: A, cache: "
    "'${oc.decode:OUT/new}'}",
    "the cache of downloads: swept": "defaults: [{override /data: yahoo}]\ndata: {symbol: A}\n"
    "hydra: {mode: MULTIRUN, sweeper: {params: {data.cache: OUT/new}}}",
    "the logger's name": "defaults: [{override /logger: tensorboard}]\nlogger: {tensorboard: {name: ../../../../out/new}}",
    "the logger's version": "defaults: [{override /logger: tensorboard}]\nlogger: {tensorboard: {version: OUT/new}}",
    "another logger": "logger: {csv: {_target_: lightning.pytorch.loggers.CSVLogger, name: ../../../../out/new}}",
    "another logger's folder": "logger: {tensorboard: {_target_: lightning.pytorch.loggers.TensorBoardLogger, log_dir: OUT/new}}",
    "a checkpoint callback": "callbacks: {x: {_target_: lightning.pytorch.callbacks.ModelCheckpoint, dirpath: OUT/new}}",
    "a checkpoint callback's file name": "callbacks: {x: {_target_: lightning.pytorch.callbacks.ModelCheckpoint, "
    "filename: ../../../../../out/new}}",
    "an exception callback": "callbacks: {x: {_target_: lightning.pytorch.callbacks.OnExceptionCheckpoint, "
    "dirpath: OUT/new}}\noptimizer: {lr: 1e300}",
    "the trainer's folder": "trainer: {default_root_dir: OUT/new}",
    "the trainer's profiler": "trainer: {profiler: {_target_: lightning.pytorch.profilers.AdvancedProfiler, "
    "dirpath: OUT, filename: new}}",
    "the trainer's profiler: a name": "trainer: {profiler: advanced, default_root_dir: OUT}",
    "the trainer's plugins": "trainer: {plugins: [{_target_: planted.thing}]}",
    "the trainer's strategy": "trainer: {strategy: {_target_: planted.thing}}",
    "a symbolic class": "data: {_target_: steepest.data.raw.pd.read_pickle, filepath_or_buffer: EVIL/bad.pkl}",
    "a class in another's place": "callbacks: {x: {_target_: steepest.data.sources.YahooPrices, symbol: A, cache: OUT}}",
    "an argument": "model: {hidden: [{_target_: planted.thing}]}",
    "an argument of a callback": "callbacks: {x: {_target_: steepest.observe.pictures.Pictures, theme: {_target_: "
    "planted.thing}}}",
    "Hydra's special keys": "model: {_args_: [{_target_: planted.thing}], _convert_: object}",
    "a YAML tag": "seed: !!python/object/apply:os.system ['touch MARK']",
    "another YAML tag": "seed: !!python/name:planted.thing",
    "a secret in a folder's name": "seed: 3\nhydra: {mode: MULTIRUN, sweep: {subdir: 'x${oc.env:MY_SECRET}'}, "
    "sweeper: {params: {seed: '0,1'}}}",
    "a secret in a folder's name, by another key": "defaults: [{override /data: csv}]\ndata: {path: "
    "'${oc.env:MY_SECRET}'}\nhydra: {mode: MULTIRUN, sweep: {subdir: 'x${data.path}'}, sweeper: {params: {seed: '0,1'}}}",
    "a secret in params": "hydra: {mode: MULTIRUN, sweeper: {params: {data.path: '${oc.env:MY_SECRET}'}}}",
    "a secret as a path": "defaults: [{override /data: csv}]\ndata: {path: '${oc.env:MY_SECRET}'}",
    "a secret as a number": "data: {window: '${oc.env:MY_SECRET}'}",
    "a secret as the objective": "objective: '${oc.env:MY_SECRET}'",
    "a secret as the loss": "model: {loss: '${oc.env:MY_SECRET}'}",
    "a secret as a key's default": "data: {window: '${oc.select:nothing,${oc.env:MY_SECRET}}'}",
    "a secret as the series": "defaults: [{override /data: stocks}]\ndata: {series: ['${oc.env:MY_SECRET}']}",
    "a secret as a target": "model: {_target_: '${oc.env:MY_SECRET}'}",
    "a secret copied": "hydra: {job: {env_copy: [MY_SECRET]}}",
}
TEXTS |= {f"model: {name}": f"model: {node}" for name, node in CALLS.items()}
TEXTS |= {f"callbacks: {name}": f"callbacks: {{x: {node}}}" for name, node in CALLS.items()}
TEXTS |= {f"hydra.callbacks: {name}": f"hydra: {{callbacks: {{x: {node}}}}}" for name, node in CALLS.items()}
FEW_CALLS = ("popen", "import", "events", "rmtree")
for _group in ("data", "optimizer", "scheduler", "stop", "trainer", "logger"):
    TEXTS |= {f"{_group}: {name}": f"{_group}: {CALLS[name]}" for name in FEW_CALLS}


def plant_common(box: Box) -> None:
    """Write the files that attacks use: a module, programs, a repository, a pickle, configs, a file to protect."""
    box.write(box.evil / "planted" / "__init__.py", "open('MARK', 'w').close()\nclass thing: pass\n")
    box.write(box.evil / "hubconf.py", "open('MARK', 'w').close()\ndef thing(): pass\n")
    fake = "import pandas as pd\nclass Ticker:\n def __init__(self, s): pass\n def history(self, **k):\n"
    fake += "  i = pd.date_range('2000-01-01', periods=200)\n  return pd.DataFrame({'Close': range(1, 201)}, index=i)\n"
    box.write(box.evil / "yfinance.py", fake)
    for program in ("git", "uname", "git-status", "git-rev-parse"):
        _executable(box.write(box.evil / "bin" / program, "#!/bin/sh\n/usr/bin/touch MARK\n"))
    box.write(box.evil / "gitconfig", "[core]\n\tfsmonitor = touch MARK; false\n[alias]\n\tstatus = !touch MARK\n")
    box.write(box.evil / "repo" / ".git" / "HEAD", "ref: refs/heads/main\n")
    box.write(
        box.evil / "repo" / ".git" / "config", "[core]\n\tfsmonitor = touch MARK; false\n\thooksPath = EVIL/bin\n"
    )
    (box.evil / "repo" / ".git" / "objects").mkdir()
    (box.evil / "repo" / ".git" / "refs").mkdir()
    (box.evil / "bad.pkl").write_bytes(pickled(box))
    box.write(box.evil / "more" / "model" / "bad.yaml", "_target_: planted.thing\n")
    box.write(box.out / "victim" / "file", "this must stay\n")
    shutil.copytree(box.templates / "run", box.out / "run")


class _Payload:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def pickled(box: Box) -> bytes:
    """Return a pickle that creates the marker when it is loaded."""
    return pickle.dumps(_Payload(box.fill("touch MARK")))


def _executable(path: Path) -> None:
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _experiment(text: str) -> Plant:
    def plant(box: Box) -> list[str]:
        box.write(box.evil / "conf" / "experiment" / "bad.yaml", f"# @package _global_\n{text}\n")
        return ["train", "--config-dir", str(box.evil / "conf"), *SMALL, "experiment=bad"]

    return plant


def _group(text: str) -> Plant:
    """Plant a file of another group, which the command line selects."""

    def plant(box: Box) -> list[str]:
        box.write(box.evil / "conf" / "debug" / "bad.yaml", f"# @package _global_\n{text}\n")
        return ["train", "--config-dir", str(box.evil / "conf"), *SMALL, "debug=bad"]

    return plant


def _primary(text: str) -> Plant:
    def plant(box: Box) -> list[str]:
        config = box.fill(text)
        if "defaults:" in config:
            config = config.replace("defaults: [", "defaults: [train, _self_, ", 1)
        else:
            config = f"defaults: [train, _self_]\n{config}"
        box.write(box.evil / "conf" / "bad.yaml", config + "\n")
        return ["train", "--config-dir", str(box.evil / "conf"), "--config-name", "bad", *SMALL]

    return plant


def _files() -> Iterator[Vector]:
    for name, text in TEXTS.items():
        yield Vector(name, "experiment", _experiment(text))
        yield Vector(name, "--config-dir", _group(text))
        yield Vector(name, "--config-name", _primary(text))
    for words in (["--help"], ["--hydra-help"], ["--cfg", "hydra"], ["--info", "defaults"], ["--info", "searchpath"],
                  ["--info", "all"], ["--cfg", "job", "--resolve"], ["-m"]):  # fmt: skip

        def look(box: Box, words: list[str] = words) -> list[str]:
            text = "hydra: {searchpath: ['pkg://planted'], callbacks: {x: {_target_: planted.thing}}}"
            return [*_primary(text)(box), *words]

        yield Vector(f"a primary config with {' '.join(words)}", "--config-name", look)
    placed = {
        "hydra/launcher": "_target_: planted.thing", "hydra/sweeper": "_target_: planted.thing",
        "hydra/job_logging": "version: 1\nhandlers: {x: {(): subprocess.Popen, args: [touch, MARK]}}",
        "hydra/hydra_logging": "version: 1\nhandlers: {x: {(): subprocess.Popen, args: [touch, MARK]}}",
        "hydra/callbacks": "x: {_target_: planted.thing}", "hydra/env": "# @package hydra.job.env_set\nPATH: EVIL/bin",
        "hydra/output": "# @package hydra\nrun: {dir: OUT/new}", "hydra/help": "template: x\nx: ${oc.env:MY_SECRET}",
        "logger": "_target_: planted.thing", "data": "_target_: planted.thing", "stop": "_target_: planted.thing",
    }  # fmt: skip
    for group, text in placed.items():

        def plant(box: Box, group: str = group, text: str = text) -> list[str]:
            box.write(box.evil / "conf" / group / "bad.yaml", f"{text}\n")
            multirun = ["-m", "seed=0,1"] if group in ("hydra/launcher", "hydra/sweeper") else []
            plus = "+" if group in ("hydra/env", "hydra/callbacks") else ""
            return ["train", "--config-dir", str(box.evil / "conf"), *multirun, *SMALL, f"{plus}{group}=bad"]

        yield Vector(f"a choice of {group}", "--config-dir", plant)


def _resumed_run(name: str, change: Callable[[Box, Path], Any]) -> Vector:
    def plant(box: Box) -> list[str]:
        folder = box.copy("run")
        change(box, folder)
        return ["train", f"resume={folder}", "stop.epochs=3"]

    return Vector(name, "resumed run", plant)


def _config(text: str) -> Callable[[Box, Path], Any]:
    """Return a function that replaces keys of a run's config.yaml by those of the text."""

    def change(box: Box, folder: Path) -> None:
        config = yaml.safe_load((folder / "config.yaml").read_text())
        for key, value in yaml.safe_load(box.fill(text)).items():
            both = isinstance(config.get(key), dict) and isinstance(value, dict) and "_target_" not in value
            config[key] = config[key] | value if both else value
        (folder / "config.yaml").write_text(yaml.safe_dump(config))

    return change


def _link(name: str, target: str) -> Callable[[Box, Path], Any]:
    """Return a function that replaces a file or folder by a link."""

    def change(box: Box, folder: Path) -> None:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(box.fill(target))

    return change


def _bytes(name: str) -> Callable[[Box, Path], Any]:
    def change(box: Box, folder: Path) -> None:
        (folder / name).write_bytes(pickled(box))

    return change


def _resumed_runs() -> Iterator[Vector]:
    usable = {name: text for name, text in TEXTS.items() if "defaults:" not in text and "!!" not in text}
    for name, text in usable.items():
        yield _resumed_run(name, _config(text))
    links = {
        "train.log": "OUT/victim/file", "checkpoints": "OUT/victim", "checkpoints/last.ckpt": "OUT/run/checkpoints/last.ckpt",
        "checkpoints/best.ckpt": "OUT/victim/file", "figures": "OUT/victim", "metrics.json": "OUT/run/metrics.json",
        "run.json": "OUT/run/run.json", "predictions.part": "OUT/victim/file", "predictions.csv": "OUT/victim/file",
        "config.yaml": "OUT/run/config.yaml", ".hydra": "OUT/victim", "parity.csv": "OUT/victim/file",
    }  # fmt: skip
    for name, target in links.items():
        yield _resumed_run(f"a link in place of {name}", _link(name, target))
    for name in ("checkpoints/last.ckpt", "checkpoints/best.ckpt", "config.yaml", "run.json", "metrics.json"):
        yield _resumed_run(f"a pickle in place of {name}", _bytes(name))
    tag = "seed: !!python/object/apply:os.system ['touch MARK']\n"
    yield _resumed_run("a YAML tag", lambda box, folder: box.write(folder / "config.yaml", tag))

    def whole_folder(box: Box) -> list[str]:
        (box.box / "run").symlink_to(box.out / "run")
        config = box.write(box.evil / "conf" / "experiment" / "bad.yaml", "# @package _global_\nresume: BOX/run\n")
        return ["train", "--config-dir", str(config.parents[1]), "experiment=bad", "stop.epochs=3"]

    yield Vector("an experiment that resumes a run through a link", "experiment", whole_folder)


def _resumed_sweep(name: str, change: Callable[[Box, Path, dict[str, Any]], Any], command: str = "resume") -> Vector:
    def plant(box: Box) -> list[str]:
        folder = box.copy("sweep")
        state = json.loads((folder / "sweep.json").read_text())
        state["command"]["folder"] = str(box.box)
        change(box, folder, state)
        (folder / "sweep.json").unlink(missing_ok=True)
        (folder / "sweep.json").write_text(box.fill(json.dumps(state)))
        return ["steepest", command, str(folder)]

    return Vector(name, "resumed sweep" if command == "resume" else "report", plant)


def _command(**changed: Any) -> Callable[[Box, Path, dict[str, Any]], Any]:
    return lambda box, folder, state: state["command"].update(changed)


def _added(kind: str, override: str) -> Callable[[Box, Path, dict[str, Any]], Any]:
    return lambda box, folder, state: state["command"][kind].append(override)


def _job(**changed: Any) -> Callable[[Box, Path, dict[str, Any]], Any]:
    """Return a function that changes the failed job, which a resumed sweep runs again."""
    return lambda box, folder, state: state["jobs"][1].update(changed)


def _job_link(target: str, name: str) -> Callable[[Box, Path, dict[str, Any]], Any]:
    def change(box: Box, folder: Path, state: dict[str, Any]) -> None:
        _link(name, target)(box, folder)
        if name == "there":
            state["jobs"][1]["folder"] = "there/victim"

    return change


def _program(box: Box, folder: Path, state: dict[str, Any]) -> None:
    box.write(box.evil / "evil.py", "open('MARK', 'w').close()\n")
    state["command"] |= {"program": str(box.evil / "evil.py")}


def _program_beside(box: Box, folder: Path, state: dict[str, Any]) -> None:
    for name in ("train.py", "conf/train.py", "torch.py", "hydra.py", "sitecustomize.py"):
        box.write(box.evil / "home" / name, "open('MARK', 'w').close()\n")
    box.write(box.evil / "home" / "conf" / "train.yaml", "hydra: {callbacks: {x: {_target_: planted.thing}}}\n")
    state["command"] |= {"program": "train.py", "folder": str(box.evil / "home")}


def _study(box: Box, folder: Path, state: dict[str, Any]) -> None:
    """Write a study whose sampler state is a pickle."""
    state["command"]["task"] = [*SMALL]
    state["command"]["hydra"] = [
        "hydra.mode=MULTIRUN", "hydra/sweeper=tune", "hydra/sweeper/sampler=cmaes", "hydra.sweeper.n_trials=4",
        "hydra.sweeper.params={optimizer.lr:'interval(0.001, 0.1)',optimizer.weight_decay:'interval(0.001, 0.1)'}",
    ]  # fmt: skip
    state["jobs"] = []
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    study = optuna.create_study(study_name="sweep", storage=storage)
    study.set_user_attr("objective", state["objective"])
    space = {
        "optimizer.lr": optuna.distributions.FloatDistribution(0.001, 0.1),
        "optimizer.weight_decay": optuna.distributions.FloatDistribution(0.001, 0.1),
    }
    for number in range(3):
        trial = optuna.trial.create_trial(
            value=1.0, params=dict.fromkeys(space, 0.01 + number / 100), distributions=space,
            system_attrs={f"{kind}:optimizer:0": pickled(box).hex() for kind in ("cma", "cma-es", "cmaes")},
            user_attrs={"sweep": "x", "place": number},
        )  # fmt: skip
        study.add_trial(trial)


def _resumed_sweeps() -> Iterator[Vector]:
    yield _resumed_sweep("a program", _program)
    yield _resumed_sweep("a program beside the sweep", _program_beside)
    yield _resumed_sweep("a module as program", _command(program="-c"))
    yield _resumed_sweep("an option as program", _command(program="--help"))
    yield _resumed_sweep("a working directory", _command(folder="OUT"))
    for name in ("trust=[planted]", "++trust=[planted]", "resume=OUT/run", "sweep.storage=OUT/new", "data.cache=OUT/new",
                 "--config-dir=EVIL/conf", "--config-path=EVIL/conf", "-cn=bad", "--multirun", "-h",
                 "model._target_=planted.thing", "+callbacks.x._target_=planted.thing",
                 "logger={_target_:steepest.lightning.events.EventLogger,name:../../../../out/new}",
                 "seed@hydra.job=0", "+data@hydra.job.env_set=csv"):  # fmt: skip
        yield _resumed_sweep(f"task: {name}", _added("task", name))
    for name in ("hydra.job.env_set.PATH=EVIL/bin", "+hydra.job.env_set.GIT_CONFIG_GLOBAL=EVIL/gitconfig",
                 "+hydra.callbacks.x._target_=planted.thing", "hydra.launcher._target_=planted.thing",
                 "hydra.sweeper._target_=planted.thing", "hydra.sweep.dir=OUT/new", "hydra.run.dir=OUT/new",
                 "hydra.job.name=../../../out/new", "hydra.output_subdir=../../../out/new", "~hydra.callbacks.sweep",
                 "hydra.searchpath=[pkg://planted]", "hydra.searchpath=[file://EVIL/conf]",
                 "hydra.sweep.subdir=../../out/new${hydra.job.num}", "+hydra.job_logging.handlers.x={(): planted.thing}",
                 "hydra.job_logging.handlers.file.filename=OUT/new", "hydra.sweeper.params={trust: '[planted]'}",
                 "hydra={job: {name: OUT/new}}"):  # fmt: skip
        yield _resumed_sweep(f"hydra: {name}", _added("hydra", name))
    folders = {
        "above": "../../out/victim", "absolute": "OUT/victim", "its own": ".", "nothing": "", "its parent": "..",
        "winding": "1/../../../out/victim", "home": "~",
    }  # fmt: skip
    for name, folder in folders.items():
        yield _resumed_sweep(f"a job's folder: {name}", _job(folder=folder, status="failed", started="2000"))
        yield _resumed_sweep(f"a waiting job's folder: {name}", _job(folder=folder, status="waiting", started=None))
        yield _resumed_sweep(f"a job's folder: {name}", _job(folder=folder), "report")
    yield _resumed_sweep("a job's folder: through a link", _job_link("OUT", "there"))
    yield _resumed_sweep("a job's folder: a link", _job_link("OUT/victim", "1"))
    links = {
        "multirun.yaml": "OUT/victim/file", "results.csv": "OUT/victim/file", "1/train.log": "OUT/victim/file",
        "1/.hydra": "OUT/victim", "first_failure": "OUT/victim/file", "study.journal": "OUT/victim/file",
        "0/metrics.json": "OUT/run/metrics.json", "1/output.txt": "OUT/victim/file",
    }  # fmt: skip
    for name, target in links.items():
        yield _resumed_sweep(f"a link in place of {name}", _job_link(target, name))
    for name, target in {"report.html": "OUT/victim/file", "0/figures/x.png": "OUT/secret"}.items():
        yield _resumed_sweep(f"a link in place of {name}", _job_link(target, name), "report")
    yield _resumed_sweep("a study with a pickle", _study)
    yield _resumed_sweep(
        "a job that never was", _job(id="x", overrides=["trust=[planted]", "model._target_=planted.thing"])
    )


def _data_file(name: str, make: Callable[[Box], Path], *words: str) -> Vector:
    def plant(box: Box) -> list[str]:
        path = make(box)
        return ["train", "data=csv", f"data.path={path}", "stop.epochs=1", "callbacks=none", *words]

    return Vector(name, "data file", plant)


def _parquet(box: Box) -> Path:
    """Write a Parquet file with a pickled extension type, and with pandas metadata that names another class."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    days = pa.array([f"2000-01-{day:02}" for day in range(1, 29)])
    kind = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickled(box)}
    fields = [pa.field("date", pa.string()), pa.field("close", pa.int64(), metadata=kind)]
    table = pa.table([days, pa.array(range(28))], schema=pa.schema(fields))
    pq.write_table(table, box.evil / "x.parquet")
    return box.evil / "x.parquet"


def _prices(box: Box, header: str) -> Path:
    rows = "\n".join(f"2000-{month:02}-{day:02},{month + day}" for month in range(1, 13) for day in range(1, 29))
    return box.write(box.evil / "x.csv", f"{header}\n{rows}\n")


def _data_files() -> Iterator[Vector]:
    yield _data_file("a Parquet file with a pickled type", _parquet)
    for suffix in ("csv", "csv.gz", "parquet", "pkl", "csv.xz", "feather", "npy"):

        def make(box: Box, suffix: str = suffix) -> Path:
            path = box.evil / f"x.{suffix}"
            path.write_bytes(pickled(box))
            return path

        yield _data_file(f"a pickle as .{suffix}", make)
    for name in ("=cmd|' /C calc'!A0", "+1+1", "@SUM(A1)", "-2+3", "$(touch MARK)", "`touch MARK`", "; touch MARK",
                 "../../../../out/new", "{{ 7*7 }}", MARKUP, "\\input{/etc/passwd}"):  # fmt: skip
        yield _data_file(f"a series called {name}", lambda box, name=name: _prices(box, f'date,"{box.fill(name)}"'))
    for file, text in {
        "matplotlibrc": "backend: module://planted\ntext.usetex: True\n",
        ".numba_config.yaml": "cache_dir: EVIL/cache\n",
        "sitecustomize.py": "open('MARK', 'w').close()\n", "torch.py": "open('MARK', 'w').close()\n",
        "numba.py": "open('MARK', 'w').close()\n", "steepest/__init__.py": "open('MARK', 'w').close()\n",
        "hydra_plugins/bad/__init__.py": "open('MARK', 'w').close()\n", "git": "#!/bin/sh\ntouch MARK\n",
        "conf/train.yaml": "hydra: {callbacks: {x: {_target_: planted.thing}}}\n",
        "train.py": "open('MARK', 'w').close()\n", ".env": "PATH=EVIL/bin\n",
    }.items():  # fmt: skip

        def beside(box: Box, file: str = file, text: str = text) -> list[str]:
            box.write(box.box / file, text)
            if file == "git":
                _executable(box.box / file)
            return ["train", *PLAIN, "model=mlp_manual"]

        yield Vector(f"{file} in the current folder", "current folder", beside, at_start=True)


def _event_file(name: str, *names: str) -> Vector:
    def plant(box: Box) -> list[str]:
        folder = box.copy("sweep")
        for file in names:
            (folder / "0" / file).write_bytes(pickled(box))
        return ["steepest", "report", str(folder)]

    return Vector(name, "event file", plant)


def _event_files() -> Iterator[Vector]:
    for name in ("events.out.tfevents.9999999999.x", "metrics.json", "predictions.csv", "run.json", "config.yaml"):
        yield _event_file(f"a pickle as {name}", name)

    def page(box: Box) -> list[str]:
        folder = box.copy("sweep")
        state = json.loads((folder / "sweep.json").read_text())
        state["jobs"][0]["overrides"] = [f"seed={MARKUP}"]
        state["jobs"][1]["error"] = MARKUP
        (folder / "sweep.json").write_text(json.dumps(state))
        return ["steepest", "report", str(folder)]

    yield Vector("markup in a sweep's record", "event file", page)

    def run_page(box: Box) -> list[str]:
        folder = box.copy("run")
        for name, changed in {
            "run.json": {"overrides": [MARKUP], "stop_reason": MARKUP, "command": MARKUP},
            "metrics.json": {"verdict": MARKUP, "series": {MARKUP: {MARKUP: 1.0}}},
        }.items():
            content = json.loads((folder / name).read_text())
            (folder / name).write_text(json.dumps(content | changed))
        return ["steepest", "report", str(folder)]

    yield Vector("markup in a run's record", "event file", run_page)


VECTORS = [*_files(), *_resumed_runs(), *_resumed_sweeps(), *_data_files(), *_event_files()]
