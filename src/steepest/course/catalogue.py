"""The lessons of the course, in order. This file does not import torch, because the command line and Hydra read it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from steepest.runs.conf import config_files
from steepest.runs.quoting import train_command

# The parts of the course.
FUNCTION, OPTIMISATION, CURVES, PRICES, INSIDE, KINDS, AFTER = (
    "Looking for a function",
    "Going downhill",
    "From the line to any curve",
    "Back to the prices",
    "Inside the model",
    "Kinds of learning",
    "Questions about a trained model",
)
OWN = "Your own lessons"


@dataclass(frozen=True)
class Chapter:
    """One lesson of the course.

    Attributes:
        name: the NAME of ``experiment=course/NAME``, of its module and of its text.
        part: the part of the course to which it belongs.
        title: its title.
        sweep: whether it is a sweep.
        short: additional overrides for the short form, which takes seconds and still shows the same effect.
        needs: a package of the extra ``course`` that it needs.
    """

    name: str
    part: str
    title: str
    sweep: bool = False
    short: tuple[str, ...] = ()
    needs: str | None = None

    @property
    def lacks(self) -> str | None:
        """What is missing, in words, or None if the lesson can run."""
        if self.needs is None or find_spec(self.needs) is not None:
            return None
        return f"lesson {self.name} needs {self.needs}: pip install 'steepest[course]'"

    @property
    def command(self) -> str:
        """The command to type."""
        return train_command([f"experiment=course/{self.name}"])


SEEDS = ("seed=range(2)",)  # of short forms
COURSE = (
    Chapter(
        "functions", FUNCTION, "What goes in, what comes out", sweep=True, short=("seed=range(2)", "stop.epochs=12")
    ),
    Chapter("three_steps", FUNCTION, "Three steps: a function with unknowns, its loss, its optimisation"),
    Chapter("learning_rate", OPTIMISATION, "The step size: too small, good, too large", sweep=True),
    Chapter("stopping", OPTIMISATION, "When to stop", sweep=True),
    Chapter("batch_size", OPTIMISATION, "Batch, update, epoch", sweep=True),
    Chapter("sigmoid_shapes", CURVES, "The sigmoid: what c, b and w change"),
    Chapter("hard_sigmoid", CURVES, "One hard sigmoid is two relus"),
    Chapter(
        "piecewise",
        CURVES,
        "Any curve is a constant and a sum of pieces",
        sweep=True,
        short=("model.hidden=[1],[3],[10],[30]", "model.seed=0,1", "stop.epochs=150"),
    ),
    Chapter("windows", PRICES, "How many days to look back", sweep=True, short=SEEDS),
    Chapter(
        "extrapolation",
        PRICES,
        "What goes wrong with a net on price levels",
        sweep=True,
        short=(*SEEDS, "stop.epochs=10"),
    ),
    Chapter("widths", PRICES, "More units", sweep=True, short=(*SEEDS, "stop.epochs=20")),
    Chapter("depths", PRICES, "More layers", sweep=True, short=(*SEEDS, "stop.epochs=12")),
    Chapter(
        "deep_or_wide",
        PRICES,
        "Deep or wide, at the same number of parameters",
        sweep=True,
        short=("model.seed=range(3)", "stop.epochs=150"),
    ),
    Chapter(
        "why_deep",
        PRICES,
        "Why deep: a folded curve",
        sweep=True,
        short=("model.hidden=[32],[64],[128],[16,16],[20,20],[4,4,4]", "model.seed=range(6)"),
    ),
    Chapter("backprop", INSIDE, "Forward, backward, update: every number"),
    Chapter("local_minima", INSIDE, "Is it really a local minimum?", sweep=True, short=("model.seed=range(4)",)),
    Chapter("saddle", INSIDE, "A saddle, and the way out"),
    Chapter("biggest_problem", INSIDE, "What really stops descent", sweep=True, short=("model.seed=range(12)",)),
    Chapter("classification", KINDS, "Up or down: classification", sweep=True),
    Chapter("regression_table", KINDS, "Plain regression, against certified numbers"),
    Chapter("structured", KINDS, "Several days as one answer", sweep=True, short=SEEDS),
    Chapter(
        "self_supervised",
        KINDS,
        "Learning without labels first",
        sweep=True,
        short=("model.labels=0.01,1.0", "seed=range(3)"),
    ),
    Chapter(
        "reinforcement",
        KINDS,
        "No right answers, only rewards: reinforcement learning",
        sweep=True,
        short=SEEDS,
        needs="gymnasium",
    ),
    Chapter("anomaly", AFTER, "What is unusual? Shocks in a series", sweep=True, short=SEEDS),
    Chapter("explain", AFTER, "What a net looks at, and what it should", sweep=True, short=SEEDS, needs="captum"),
    Chapter("attack", AFTER, "A small change that flips the call", sweep=True, short=SEEDS),
    Chapter("domain", AFTER, "Another stock, another decade", sweep=True, short=SEEDS),
    Chapter(
        "compress",
        AFTER,
        "A smaller net: fewer weights, fewer bits",
        sweep=True,
        short=(*SEEDS, "stop.epochs=50"),
    ),
    Chapter("lifelong", AFTER, "One task after the other: what a net forgets", sweep=True, short=SEEDS),
    Chapter("meta", AFTER, "Learning to learn: a new task from ten points", sweep=True, short=SEEDS),
)


def chapter(name: str) -> Chapter:
    """The lesson of this name, also of conf/experiment/course/ in the working folder.

    Raises:
        ValueError: if there is none.
    """
    for found in COURSE:
        if found.name == name:
            return found
    if (file := config_files("experiment/course/*.yaml").get(f"experiment/course/{name}.yaml")) is not None:
        return _of_user(name, file)
    raise ValueError(f"course: there is no lesson {name}; choose one of {', '.join(c.name for c in COURSE)}")


def _of_user(name: str, file: Path) -> Chapter:
    """A lesson of the user's own, from its config."""
    try:
        mode = OmegaConf.select(OmegaConf.load(file), "hydra.mode")
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    return Chapter(name, OWN, name.replace("_", " ").capitalize(), sweep=mode == "MULTIRUN")
