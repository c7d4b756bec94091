"""Opens, checks and summarises the Optuna study of a sweep. This module does not import torch."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from steepest.evaluate.names import better

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage

SWEEP, PLACE, OBJECTIVE = "sweep", "place", "objective"  # attributes: of a trial, its sweep and place in it; of a study


# Classes and functions in the state of Optuna's CMA-ES sampler, which Optuna stores in the study as a pickle.
STATE = {
    ("cmaes._cma", "CMA"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
}


class _StateUnpickler(pickle.Unpickler):
    """Loads only the state of a CMA-ES sampler, because a study from another person could contain a harmful pickle."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STATE:
            raise ValueError(
                f"the study contains a pickle that names {module}.{name}, which is not part of a CMA-ES state"
            )
        return super().find_class(module, name)


def guard_pickles() -> None:
    """Make Optuna's CMA-ES sampler load only its own state from a study."""
    from optuna.samplers import _cmaes

    _cmaes.pickle = SimpleNamespace(  # type: ignore[assignment]
        dumps=pickle.dumps, loads=lambda data: _StateUnpickler(io.BytesIO(data)).load()
    )


def open_study(
    storage: BaseStorage, name: str, where: str, objective: str, varied: Mapping[str, BaseDistribution]
) -> Study:
    """Open a study, or create it.

    Args:
        storage: holds the study.
        name: the study's name.
        where: the storage, for error messages.
        objective: the score that trials report.
        varied: the ranges of the varied keys.

    Raises:
        ValueError: if the study has another objective or other ranges.
    """
    import optuna

    guard_pickles()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    direction: Literal["maximize", "minimize"] = "maximize" if better(objective) == "max" else "minimize"
    study = optuna.create_study(
        study_name=name, storage=storage, direction=direction, load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(),
    )  # fmt: skip
    ranked_by = study.user_attrs.get(OBJECTIVE, objective)
    if study.direction.name.lower() != direction or ranked_by != objective:
        raise ValueError(
            f"the study {name} in {where} ranks by {ranked_by} ({study.direction.name.lower()}), but this sweep by "
            f"{objective} ({direction}): give another hydra.sweeper.study_name"
        )
    for trial in study.get_trials(deepcopy=False):
        for key in varied.keys() & trial.distributions.keys():
            before = trial.distributions[key]
            try:
                optuna.distributions.check_distribution_compatibility(before, varied[key])
            except ValueError as error:
                raise ValueError(
                    f"the study {name} in {where} has {key} over {before}, but this sweep over {varied[key]}: give the "
                    "same choices, or another hydra.sweeper.study_name"
                ) from error
    study.set_user_attr(OBJECTIVE, objective)
    return study


def summary(study: Study, objective: str) -> tuple[str, dict[str, Any]]:
    """A study's trials and best value: as a line to print, and as entries of study.json."""
    from optuna.trial import TrialState

    # Only the newest attempt at a trial counts.
    newest = {(t.user_attrs.get(SWEEP), t.user_attrs.get(PLACE, -t.number)): t for t in study.get_trials()}
    counts = {s.name.lower(): sum(t.state is s for t in newest.values()) for s in TrialState}
    line = f"Study {study.study_name}: {len(newest)} trials: "
    line += ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    if not counts["complete"]:
        return line, {"trials": counts, "best": None}
    best = study.best_trial
    typed = " ".join(f"{key}={value}" for key, value in best.params.items())
    line += f"; best {objective} {best.value:.6g} (trial {best.number}): {typed}"
    return line, {"trials": counts, "best": {"trial": best.number, "value": best.value, "params": best.params}}
