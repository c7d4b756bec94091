"""`steepest audit`: reads the config, chooses how to train it, audits it and prints the result.

It writes only the file of `--out`. Importing this module does not import torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from steepest.runs.claim import CONFIG_FILE
from steepest.runs.composed import composed
from steepest.runs.config import check
from steepest.runs.files import unreadable

if TYPE_CHECKING:
    from steepest.runs.lookahead.cases import Findings
    from steepest.runs.lookahead.training import FitFunction


def run_audit(
    arguments: list[str], days: int, seed: int, out: Path | None, with_trainer: Callable[[], FitFunction]
) -> bool:
    """Audit a config or a run's config, print the findings, and write them to `out`.

    Args:
        arguments: overrides of ``train.py``, or the folder of a run alone.
        days: the number of cutoff days in the test part.
        seed: the seed for the choice of days.
        out: a JSON file, or None.
        with_trainer: returns the function that trains configs that the engine cannot train.

    Returns:
        Whether there are no findings.

    Raises:
        ValueError: if the config or the data cannot be audited, or `out` cannot be written.
    """
    if out is not None and (out.suffix != ".json" or not out.parent.is_dir()):
        raise ValueError(f"--out {out}: use the name of a .json file in an existing folder")
    is_run = len(arguments) == 1 and "=" not in arguments[0]
    config = config_of_run(Path(arguments[0])) if is_run else composed(arguments)

    from steepest.evaluate.terminal import terminal
    from steepest.runs.lookahead.report import print_findings, write_findings

    # (A run's folder can come from someone else, so its config must not choose which packages to trust.)
    trust: list[str] | None = [] if is_run else None
    found = audit(config, [] if is_run else arguments, trust, days, seed, with_trainer)
    console = terminal()
    print_findings(found, console)
    if out is not None:
        write_findings(found, out)
        console.print(f"Written: {out}", markup=False, soft_wrap=True)
    return found.clean


def config_of_run(folder: Path) -> DictConfig:
    """Read the config of a run.

    Raises:
        ValueError: if the folder contains no run.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        raise ValueError(
            f"{folder}: there is no {CONFIG_FILE}: use the folder of a run, or overrides such as model=mlp_manual"
        )
    try:
        config: Any = OmegaConf.load(path)
        if not isinstance(config, DictConfig):
            raise ValueError("it is not a config")
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise unreadable(path, error) from None
    config.resume = None
    return config


def audit(
    config: DictConfig,
    typed: list[str],
    trust: list[str] | None,
    days: int,
    seed: int,
    with_trainer: Callable[[], FitFunction],
) -> Findings:
    """Audit a config.

    Args:
        config: the config.
        typed: the user's overrides.
        trust: packages whose classes the config may name. None: the packages in the config's `trust`.
        days, seed, with_trainer: as for `run_audit`.

    Raises:
        ValueError: if the config or the data cannot be audited.
    """
    from steepest.engine.descent import without_dynamo
    from steepest.runs.build import reason_against
    from steepest.runs.lookahead.cases import LookAhead
    from steepest.runs.lookahead.training import fit_with_kernel, without_observers

    logging.getLogger("steepest").setLevel(logging.ERROR)  # reading changed data would repeat its warnings
    checked = without_observers(check(config, trust, typed))
    if checked.run.resume:
        raise ValueError("resume= continues a run, but the audit trains from scratch: remove it")
    if reason_against(checked, checked.run.threads) is None:
        without_dynamo()
        return LookAhead(checked, fit_with_kernel, days, seed).run()
    return LookAhead(checked, with_trainer(), days, seed).run()
