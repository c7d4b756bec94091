"""Kills runs at random points, resumes them, and compares them with the uninterrupted runs, bit for bit.

    python -m tests.campaign.kills --count 300 [--seed 0] [--commands 0.1]

Each draw is a random config and one to three kills. Most runs are forks of this process, killed at a random function
call. `--commands` is the share of real commands, killed after a random time. In a fifth of the draws, the first command
is repeated after the kills, and must be refused. In another fifth, two processes resume the run at the same time, and
one must be refused.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .runs import HIT, POINTS, SIGNALS, Kill, commanded, differences, folder_of_draws, forked, together, warm_up

REFUSALS = ("is training this run", "already contains a run")
MOST = 12  # maximum number of attempts to finish a run
VALUES = ["data=random_walk", "data.rows=300", "data.window=3", "data.batch_size=32"]
CLASSES = [
    "data=rings",
    "data.rows=200",
    "data.batch_size=32",
    "model.loss=cross_entropy",
    "objective=val/cross_entropy",
]
MODELS = {
    "kernel": ["model=mlp_manual", "model.engine=kernel", "model.hidden=[4]"],
    "kernel, linear": ["model=linear_manual", "model.engine=kernel"],
    "textbook": ["model=mlp_manual", "model.engine=textbook", "model.hidden=[4]"],
    "automatic": ["model=mlp", "model.hidden=[4]"],
    "automatic, linear": ["model=linear"],
}
STOPS = {
    "epochs": ["stop.epochs=9"],
    "updates": ["stop.updates=42", "stop.epochs=null"],
    "updates in mid-epoch": ["stop.updates=45", "stop.epochs=null"],
    "threshold": ["stop=threshold", "stop.loss=0.9", "stop.epochs=30"],
    "stationary": ["stop=stationary", "stop.gradient_norm=0.3", "stop.epochs=30"],
    "early": ["stop=early", "stop.patience=2", "stop.min_delta=0.02", "stop.epochs=30"],
}
SCHEDULERS = {
    "none": [],
    "step": ["scheduler=step", "scheduler.step_size=2"],
    "exponential": ["scheduler=exponential"],
    "cosine": ["scheduler=cosine", "scheduler.T_max=6"],
    "plateau": ["scheduler=plateau", "scheduler.patience=0", "+scheduler.threshold=0.5"],
}
OPTIMIZERS = {name: [f"optimizer={name}"] for name in ("sgd", "momentum", "adam", "adamw")}
CALLBACKS = {
    "none": ["callbacks=none"],
    "default": ["~callbacks.pictures"],
    "pictures": [],
    "curvature": ["callbacks=[default,curvature]", "~callbacks.pictures"],
    "noise, steps": ["callbacks=[default,noise,steps]", "callbacks.noise.every_n_updates=5", "~callbacks.pictures"],
    "escape": ["callbacks=[default,escape]", "callbacks.escape.gradient_norm=1.0", "~callbacks.pictures"],
}
FOLDS = ["evaluation=walk_forward", "evaluation.folds=3"]  # only for the kernel and values
BY_HAND = {  # only for hand-derived models
    "audit, parity": [
        "callbacks=[default,audit,parity]", "callbacks.audit.every_n_updates=5", "trainer.precision=64-true",
        "~callbacks.pictures",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """A config: one choice of each kind."""

    names: tuple[str, ...]
    overrides: tuple[str, ...]

    @classmethod
    def draw(cls, rng: random.Random) -> Config:
        """Return a random config."""
        model = rng.choice(list(MODELS))
        classes = rng.random() < 0.15 and "linear" not in model
        callbacks = CALLBACKS | (BY_HAND if model.startswith(("kernel", "textbook")) else {})
        choices = [STOPS, SCHEDULERS, OPTIMIZERS, callbacks]
        drawn = [(name, group[name]) for group in choices for name in [rng.choice(list(group))]]
        words = [*(CLASSES if classes else VALUES), *MODELS[model], *(o for _, options in drawn for o in options)]
        escapes = any("escape" in word for word in words)
        words += FOLDS if model.startswith("kernel") and not classes and not escapes and rng.random() < 0.5 else []
        words += [f"seed={rng.randrange(3)}", "logger=none"] if rng.random() < 0.05 else [f"seed={rng.randrange(3)}"]
        return cls((model, *(name for name, _ in drawn)), tuple(words))


@dataclass
class Counts:
    """The figures of a campaign."""

    draws: int = 0
    commands: int = 0
    kills: int = 0
    hits: Counter = field(default_factory=Counter)  # signals or kill point -> number of kills
    attempts: Counter = field(default_factory=Counter)
    repeated: int = 0  # first commands repeated in the folder of a killed run
    pairs: int = 0  # two processes in one folder
    refused: int = 0  # pairs of which one was refused
    faults: list[str] = field(default_factory=list)


class Campaign:
    """Runs draws in a temporary folder.

    Args:
        folder: the folder of the runs.
        seed: the seed of the draws.
        commands: the share of draws with the real command.
        configs: the number of different configs.
    """

    def __init__(self, folder: Path, seed: int, commands: float, configs: int) -> None:
        self.folder, self.rng, self.commands = folder, random.Random(seed), commands
        self.configs = [Config.draw(self.rng) for _ in range(configs)]
        self.whole: dict[Config, Path] = {}
        self.usual = 0.0  # duration of a real command in seconds
        self.counts = Counts()

    def draw(self, number: int) -> None:
        """Run one draw and add its result to the counts."""
        rng, counts = self.rng, self.counts
        config, real = rng.choice(self.configs), rng.random() < self.commands
        kills = [Kill.draw(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
        more = rng.choice(["repeat", "pair", "", "", ""])
        home = self.folder / str(number)
        home.mkdir()
        counts.draws += 1
        counts.commands += real
        try:
            found = self._resumed(config, kills, home, real, more) or differences(
                self._uninterrupted(config), home / "run"
            )
        except Exception as error:
            found = [f"{type(error).__name__}: {error}"]
        if found:
            line = f"draw {number}: {' '.join(config.overrides)}\n    killed by {'; '.join(map(str, kills))}"
            counts.faults.append("\n    ".join([line, *found[:6], f"({len(found)} differences; {home})"]))
            print(counts.faults[-1], flush=True)
        else:
            shutil.rmtree(home)

    def _uninterrupted(self, config: Config) -> Path:
        if config not in self.whole:
            home = self.folder / f"whole{len(self.whole)}"
            home.mkdir()
            code = forked([*config.overrides, "hydra.run.dir=run"], home, home / "log")
            if code:
                raise RuntimeError(f"the uninterrupted run ended with {code}: {(home / 'log').read_text()[-500:]}")
            self.whole[config] = home / "run"
        return self.whole[config]

    def _resumed(self, config: Config, kills: Sequence[Kill], home: Path, real: bool, more: str) -> list[str]:
        """Kill a run as often as drawn, resume it until it has finished, and return the faults.

        Args:
            config: the run's config.
            kills: the kills, in order.
            home: the folder of the draw.
            real: whether to start the real command.
            more: ``repeat``, ``pair``, or nothing.
        """
        counts, left = self.counts, list(kills)
        if real and not self.usual:
            began = time.monotonic()
            (self.folder / "usual").mkdir()
            commanded([*config.overrides, "hydra.run.dir=run"], self.folder / "usual", self.folder / "usual" / "log")
            self.usual = time.monotonic() - began
        for attempt in range(MOST):
            began_before = (home / "run" / "config.yaml").exists()
            arguments = ["resume=run"] if began_before else [*config.overrides, "hydra.run.dir=run"]
            if began_before and not left and more == "repeat":
                more = ""
                if found := self._repeated(config, home):
                    return found
            if not left and more == "pair":
                counts.attempts[attempt + 1] += 1
                return self._pair(arguments, home)
            kill = left.pop(0) if left else None
            (home / HIT).unlink(missing_ok=True)
            if real:
                code = commanded(arguments, home, home / "log", kill, self.usual)
            else:
                code = forked(arguments, home, home / "log", kill)
            hit = (home / HIT).exists()
            if kill is not None:
                counts.kills += 1
                if hit:
                    counts.hits[kill.signals] += 1
                    counts.hits["a real command" if real else kill.point] += 1
            if code == 0 and not left:
                counts.attempts[attempt + 1] += 1
                return []
            if not hit and code != 0:
                return [
                    f"attempt {attempt + 1} ({' '.join(arguments)[:60]}) ended with {code} without a signal: {_tail(home)}"
                ]
            if code in (1, 2):
                return [f"attempt {attempt + 1} ended with {code} after a signal: {_tail(home)}"]
        return [f"not finished after {MOST} attempts: {_tail(home)}"]

    def _repeated(self, config: Config, home: Path) -> list[str]:
        """Repeat the first command. It must be refused, and change nothing but the log."""
        self.counts.repeated += 1
        before = _contents(home / "run")
        code = forked([*config.overrides, "hydra.run.dir=run"], home, home / "log")
        found = [] if code == 2 and "already contains a run" in _tail(home) else [f"repeated: {code}: {_tail(home)}"]
        after = _contents(home / "run")
        changed = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
        return found + [f"the repeated command changed {name}" for name in changed]

    def _pair(self, arguments: Sequence[str], home: Path) -> list[str]:
        """Run one command twice at the same time. One process must finish the run; the other may be refused."""
        self.counts.pairs += 1
        logs = [home / "log1", home / "log2"]
        codes = together(arguments, home, logs, self.rng.choice([0.0, 0.02, 0.1, 0.5]))
        texts = [" | ".join(log.read_text(errors="replace").splitlines()[-3:]) for log in logs]
        refused = [any(said in text for said in REFUSALS) for text in texts]
        self.counts.refused += 2 in codes
        right = 0 in codes and all(code == 0 or (code == 2 and no) for code, no in zip(codes, refused, strict=True))
        return [] if right else [f"two processes ended with {codes}: {' || '.join(texts)}"]


def _contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("train.log", "run.lock")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _tail(home: Path) -> str:
    return " | ".join((home / "log").read_text(errors="replace").splitlines()[-4:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign. Return 1 if a resumed run differs, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=30, help="number of draws")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws")
    parser.add_argument("--commands", type=float, default=0.1, help="share of real commands")
    parser.add_argument("--configs", type=int, help="number of different configs (default: a third of the draws)")
    parser.add_argument("--keep", action="store_true", help="keep the folders of runs that differ")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    with folder_of_draws("kills_", keep=given.keep) as folder:
        campaign = Campaign(folder, given.seed, given.commands, given.configs or max(1, given.count // 3))
        warm_up(folder / "warm")
        for number in range(given.count):
            campaign.draw(number)
    counts = campaign.counts
    print(f"{counts.draws} draws ({counts.commands} with the real command) of {len(campaign.whole)} configs, ", end="")
    print(f"{counts.kills} kills of which {sum(counts.hits[name] for name in SIGNALS)} hit, ", end="")
    print(f"{time.monotonic() - began:.0f} s, seed {given.seed}")
    for name in (*SIGNALS, *POINTS, "a real command"):
        print(f"  {name}: {counts.hits[name]}")
    print(f"  first command repeated: {counts.repeated}")
    print(f"  two processes at once: {counts.pairs}, of which {counts.refused} with one refused")
    print(f"differences: {len(counts.faults)}")
    return 1 if counts.faults else 0


if __name__ == "__main__":
    sys.exit(main())
