"""Turns a composed config into checked constructors with their arguments, before anything is built.

Every `_target_` passes `trust`. Every key is compared with the constructor's signature and annotations, or with its
dataclass in `specs.py`. All problems of a config are collected and raised once. No Lightning.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from steepest.data.faults import Faults, did_you_mean
from steepest.data.ranges import Count, Seed
from steepest.evaluate.folds import Predictions, Statistics
from steepest.runs import defaults  # noqa: F401  # registers the resolvers of conf/data
from steepest.runs.approved import approved
from steepest.runs.choices import suggestion
from steepest.runs.environment import resolved
from steepest.runs.limits import LARGEST_INTEGER, check_range, integers
from steepest.runs.own import declare_metrics, use_own, without_replaced
from steepest.runs.paths import check_paths
from steepest.runs.specs import MANUAL, NOT_USED, SPECS, TrainerOptions
from steepest.runs.trust import locate
from steepest.runs.values import adapter, checked_value, shown, signature

SPECIAL = ("_target_", "_partial_")  # Hydra's other keys (_args_, _convert_, ...) are not allowed


@dataclass(frozen=True)
class Run:
    """The keys of `conf/train.yaml` apart from the groups."""

    seed: Seed
    threads: Count
    objective: str
    resume: str | None
    trust: list[str]
    name: str | None = None  # a record of an older version has none


# Groups that a run needs -> a choice for error messages. Optional groups -> their value without a choice.
NEEDED = {
    "data": "sp500", "model": "linear", "optimizer": "sgd", "stop": "epochs", "trainer": "cpu",
    "evaluation": "holdout",
}  # fmt: skip
OPTIONAL: dict[str, Any] = {"scheduler": None, "callbacks": {}, "logger": {}}
GROUPS = (*NEEDED, *OPTIONAL)
MANY = ("callbacks", "logger")  # groups of several nodes, by name
PARTIAL = ("optimizer", "scheduler")  # the run adds the first argument of their constructors
GIVEN = {  # arguments that the run supplies, not the config
    "model": ("inputs", "outputs", "window", "optimizer", "scheduler"),
    "optimizer": ("params",),
    "scheduler": ("optimizer",),
    "trainer": ("callbacks", "logger", "default_root_dir", "enable_checkpointing", "plugins"),
    "logger": ("save_dir", "purge_step"),
}


@dataclass(frozen=True)
class Sweep:
    """The keys of `conf/sweep/`."""

    on_error: Literal["continue", "stop"]
    dry_run: bool
    trial: int | None
    study: str | None
    storage: str | None


@dataclass(frozen=True)
class Node:
    """A checked constructor with its checked arguments. Calling it builds the object.

    Attributes:
        path: the module and name of the constructor's definition, which may differ from the path in the config.
        place: its place in the config, as in `approved.CLASSES`.
        found: the constructor, or None if it was checked with `specs.py` only. `target` then imports it.
    """

    path: str
    place: str
    arguments: dict[str, Any]
    partial: bool = False
    found: Callable[..., Any] | None = None

    @property
    def target(self) -> Callable[..., Any]:
        """The constructor."""
        return locate(self.path, self.place) if self.found is None else self.found

    @property
    def name(self) -> str:
        """The constructor's name without its module."""
        return self.path.rsplit(".", 1)[-1]

    def values(self, **given: Any) -> dict[str, Any]:
        """The arguments, together with those that the config cannot know, such as the number of inputs."""
        return {k: _built(v) for k, v in self.arguments.items()} | given

    def __call__(self, **given: Any) -> Any:
        """Build the object; of a `_partial_` node, a constructor with these arguments."""
        values = self.values(**given)
        return partial(self._make, **values) if self.partial else self._make(**values)

    def _make(self, *first: Any, **values: Any) -> Any:
        try:
            return self.target(*first, **values)
        except (OSError, MemoryError, ValueError):
            raise
        except Exception as error:  # the constructor's package may raise any error
            if type(error).__name__ == "MisconfigurationException":  # `errors.explain` shows Lightning's message
                raise
            where = self.place or self.name
            raise ValueError(f"{where}: invalid options ({type(error).__name__}: {error})") from error


@dataclass(frozen=True)
class Checked:
    """A checked config: plain data for the record, its own keys, and the nodes of its groups."""

    plain: dict[str, Any]
    run: Run
    groups: dict[str, Any]


def kept_predictions(checked: Checked) -> Predictions:
    """The parts that a run's table of predictions contains."""
    kept: Predictions = checked.groups["evaluation"].arguments.get("predictions", "test")
    return kept


def statistics_of(checked: Checked) -> list[Statistics]:
    """The baselines of statsmodels that a config requests."""
    return list(checked.groups["evaluation"].arguments.get("statistics", ()))


def baselines_of(checked: Checked) -> dict[str, Node]:
    """The user's own baselines in a config, by name."""
    return dict(checked.groups["evaluation"].arguments.get("baselines", {}))


def metrics_of(checked: Checked) -> dict[str, Any]:
    """The user's own metrics in a config, by name."""
    return {name: node() for name, node in checked.groups["evaluation"].arguments.get("metrics", {}).items()}


def check(config: DictConfig | dict[str, Any], trust: list[str] | None = None, typed: Sequence[str] = ()) -> Checked:
    """Resolve and check a config.

    Args:
        config: as Hydra composes it.
        trust: packages whose classes a config may also name. None: the packages in the config's `trust`.
        typed: the user's overrides. A path in them may be outside the current folder.

    Raises:
        ValueError: listing every problem with its key.
    """
    faults = Faults("config")
    for group in (group for group in NEEDED if group not in config):  # checked first, as other keys may refer to it
        faults.add(f"'{group}' is missing: choose one, such as {group}={NEEDED[group]}")
    faults.raise_if_any()
    try:
        plain, recorded = resolved(OmegaConf.create(config))
    except OmegaConfBaseException as error:
        at, message = str(getattr(error, "full_key", None) or "config"), str(error)
        if "Missing mandatory value" in message:
            raise ValueError(f"{at} is missing: add {at}=...") from error
        raise ValueError(f"{at}: {message.splitlines()[0]}") from error
    checked = check_plain(plain, trust, typed)
    return replace(checked, plain=without_replaced(recorded, typed, checked.run.trust if trust is None else trust))


def check_plain(plain: dict[str, Any], trust: list[str] | None = None, typed: Sequence[str] = ()) -> Checked:
    """Check a config that is already resolved, as `check` does."""
    faults = Faults("config")
    plain = without_replaced(plain, typed, plain.get("trust") if trust is None else trust)
    keys, sweep = list(signature(Run)[0]), plain.get("sweep") or {}
    if not isinstance(sweep, dict):
        faults.fail(f"sweep={shown(sweep)} is not a choice of conf/sweep: use sweep=none")
    known = [*keys, *GROUPS, "sweep"]
    for name in (name for name in plain if name not in known):
        faults.add(f"unknown key '{name}'{suggestion(name, {k: v for k, v in plain.items() if k in known})}")
    for key in (key for key in keys if key not in plain and key != "name"):
        faults.add(f"key '{key}' is missing: restore it from conf/train.yaml")
    values = {key: checked_value(key, plain[key], adapter(Run, key), faults) for key in keys if key in plain}
    for key in (key for key in signature(Sweep)[0] if key in sweep):
        checked_value(f"sweep.{key}", sweep[key], adapter(Sweep, key), faults)
    for key, number in integers(plain):
        if abs(number) > LARGEST_INTEGER:
            faults.add(f"{key}={shown(number)} does not fit into 64 bits: use a smaller number")
    faults.raise_if_any()
    run = Run(**values)
    trusted = run.trust if trust is None else trust
    groups = {g: checked_node(plain.get(g) or OPTIONAL.get(g), g, g, trusted, faults, GIVEN.get(g, ())) for g in GROUPS}
    check_paths(plain, typed, faults)
    faults.raise_if_any()
    for group, node in groups.items():
        _check_group(group, node, faults)
    faults.raise_if_any()
    check_range(run, groups, faults)
    for key, reason in NOT_USED.items():
        if (value := groups["trainer"].arguments.get(key)) != getattr(TrainerOptions, key) and value is not None:
            faults.add(f"trainer.{key}={shown(value)} has no use here: {reason}")
    try:
        use_own(groups["model"].arguments, trusted)
        declare_metrics(plain["evaluation"], trusted)
    except ValueError as error:
        faults.add(str(error))
    if (hidden := groups["model"].arguments.get("hidden")) and "model=linear_manual" in typed:
        faults.add(f"model.hidden={shown(hidden)}: model=linear_manual has no hidden layers: use model=mlp_manual")
    names = groups["evaluation"].arguments.get("statistics", ())
    if len(set(names)) < len(names):
        faults.add(f"evaluation.statistics={shown(names)} names a baseline twice: give each once")
    batch_size = groups["data"].arguments.get("batch_size")
    by_autograd = groups["model"].path != MANUAL  # hand-derived models never accept L-BFGS
    if batch_size and by_autograd and groups["optimizer"].path.endswith(".LBFGS"):
        faults.add(
            f"optimizer=lbfgs with data.batch_size={batch_size}: L-BFGS compares losses of the same samples: use "
            "data.batch_size=null"
        )
    faults.raise_if_any()
    return Checked(plain, run, groups)


def _check_group(group: str, node: Any, faults: Faults) -> None:
    """Check that a group is one node, or a dict of nodes for the groups `MANY`."""
    if group in MANY:
        entries = {f"{group}.{name}": one for name, one in node.items()} if isinstance(node, dict) else {}
        if not isinstance(node, dict):
            example = {"callbacks": "[default,noise]", "logger": "[tensorboard,csv]"}[group]
            faults.add(f"{group}={shown(node)} is not a list of choices, such as {group}={example}")
    else:
        entries = {group: node} if node is not None or group in NEEDED else {}
    for where, entry in entries.items():
        if not isinstance(entry, Node):
            faults.add(f"{where}={shown(entry)} names no class: it has no _target_; choose a file of conf/{group}")
        elif entry.partial is not (group in PARTIAL):
            faults.add(f"{where}._partial_={entry.partial} must be {group in PARTIAL}: restore it from conf/{group}")


def checked_node(
    value: Any, where: str, place: str, trusted: Sequence[str], faults: Faults, given: tuple[str, ...] = ()
) -> Any:
    """A checked copy of a part of a config, in which every dict with a `_target_` is a `Node`."""
    if isinstance(value, list):
        return [checked_node(v, f"{where}[{i}]", "", trusted, faults) for i, v in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "_target_" not in value:
        inside = where if where in MANY else ""
        inner = GIVEN.get(inside, ())
        return {k: checked_node(v, f"{where}.{k}", inside, trusted, faults, inner) for k, v in value.items()}
    path, is_partial = str(value["_target_"]), bool(value.get("_partial_", False))
    if path in SPECS and path in approved(place):
        return Node(path, place, _arguments(SPECS[path], value, where, trusted, faults, given), is_partial)
    try:
        target = locate(path, place, trusted)
    except ValueError as error:
        faults.add(f"{where}: {error}")
        return None
    defined = f"{target.__module__}.{target.__qualname__}"  # the path in the config may be another one
    described = SPECS.get(defined, target)
    return Node(defined, place, _arguments(described, value, where, trusted, faults, given), is_partial, target)


def _arguments(
    target: Callable[..., Any],
    value: dict[str, Any],
    where: str,
    trusted: Sequence[str],
    faults: Faults,
    given: tuple[str, ...],
) -> dict[str, Any]:
    """Checked copies of the arguments in a node."""
    parameters, hints = signature(target)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = [n for n in parameters if n not in ("self", *given)]
    arguments: dict[str, Any] = {}
    for key, entry in value.items():
        if key in SPECIAL:
            continue
        if key in given or (key not in names and not (open_ended and not str(key).startswith("_"))):
            faults.add(
                f"unknown key '{where}.{key}'{did_you_mean(str(key), names, prefix=f'{where}.') or '.'} "
                f"The keys are {', '.join(names)}"
            )
            continue
        checked = checked_node(entry, f"{where}.{key}", "", trusted, faults)
        if key not in hints:
            pass
        elif wrong := [node for node in _nodes(checked) if not _takes(hints[key], node.target)]:
            faults.add(f"{where}.{key} contains {wrong[0].name}, which this key does not accept: use another class")
        elif not any(_nodes(checked)):
            checked = checked_value(f"{where}.{key}", checked, adapter(target, str(key)), faults)
        arguments[str(key)] = checked
    for name in names if not value.get("_partial_") else ():
        parameter = parameters[name]
        variadic = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if name not in value and parameter.default is parameter.empty and not variadic:
            faults.add(f"'{where}.{name}' is missing: add {where}.{name}=...")
    return arguments


def _nodes(value: Any) -> Iterator[Node]:
    """Yield the nodes in an argument."""
    if isinstance(value, Node):
        yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _nodes(entry)


def _takes(hint: Any, built: Callable[..., Any]) -> bool:
    """Return whether an annotation, or a part of it, allows an object of this constructor."""
    if hint is Any:
        return True
    if inspect.isclass(hint) and inspect.isclass(built) and not typing.get_args(hint):
        return issubclass(built, hint)
    return any(_takes(part, built) for part in typing.get_args(hint))


def _built(value: Any) -> Any:
    if isinstance(value, Node):
        return value()
    if isinstance(value, dict):
        return {k: _built(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_built(v) for v in value]
    return value
