"""Converts the search space of a tuned sweep between Hydra's override syntax and Optuna's distributions.

This module does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True)
class Space:
    """The overrides that all jobs of a sweep share, and the ranges of the varied keys.

    Attributes:
        fixed: overrides of every job.
        varied: key, as typed -> its range.
        texts: for keys with choices, each choice as typed.
    """

    fixed: list[str]
    varied: dict[str, BaseDistribution]
    texts: dict[str, list[str]]

    def suggest(self, trial: Trial) -> None:
        """Let the trial's sampler choose every value."""
        from optuna.distributions import FloatDistribution, IntDistribution

        for key, over in self.varied.items():
            if isinstance(over, FloatDistribution):
                trial.suggest_float(key, over.low, over.high, step=over.step, log=over.log)
            elif isinstance(over, IntDistribution):
                trial.suggest_int(key, over.low, over.high, step=over.step, log=over.log)
            else:
                trial.suggest_categorical(key, over.choices)  # type: ignore[attr-defined]

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """A job's overrides, from a trial's values."""
        typed = {}
        for key, over in self.varied.items():
            value = values[key]
            typed[key] = self.texts[key][int(over.to_internal_repr(value))] if key in self.texts else str(value)
        return [*self.fixed, *(f"{key}={text}" for key, text in typed.items())]


def read_space(overrides: Sequence[str], loader: ConfigLoader | None = None) -> Space:
    """The space that overrides describe; if two have the same key, the last one counts.

    Args:
        overrides: such as ``optimizer.lr=tag(log, interval(0.001, 1))``.
        loader: Hydra's; it resolves ``glob(*)``.

    Raises:
        ValueError: if a range is empty, if a logarithmic range does not start above 0, or if nothing is varied.
    """
    found = {o.get_key_element(): o for o in OverridesParser.create(loader).parse_overrides(list(overrides))}
    fixed = [str(o.input_line) for o in found.values() if not o.is_sweep_override()]
    varied, texts = {}, {}
    for key, override in found.items():
        if override.is_choice_sweep():
            varied[key], texts[key] = _choices(override)
        elif override.is_sweep_override():
            varied[key] = _numbers(override)
    if not varied:
        raise ValueError(
            "hydra/sweeper=tune has nothing to vary: add a range, such as 'optimizer.lr=tag(log, interval(0.001, 1))'"
        )
    return Space(fixed, varied, texts)


def _choices(override: Override) -> tuple[BaseDistribution, list[str]]:
    from optuna.distributions import CategoricalDistribution

    sweep = override.value()
    if isinstance(sweep, ChoiceSweep):
        sweep.shuffle = False  # the sampler chooses the order, and a study identifies choices by their position
    elements = list(override.sweep_iterator())
    if not elements:
        raise ValueError(f"{override.input_line}: the list of choices is empty")
    choices: list[Any] = [Transformer.encode(element) for element in elements]
    return CategoricalDistribution(choices), [Transformer.str(element) for element in elements]


def _numbers(override: Override) -> BaseDistribution:
    from optuna.distributions import FloatDistribution, IntDistribution

    sweep = override.value()
    assert isinstance(sweep, IntervalSweep | RangeSweep)
    log = "log" in sweep.tags
    if more := sweep.tags - {"log"}:
        raise ValueError(f"{override.input_line}: unknown tag '{min(more)}'; the only tag is 'log'")
    if isinstance(sweep, IntervalSweep):
        low, high, step = sweep.start, sweep.end, None
    else:
        low, high, step = _ends(sweep)
    if low is None or high is None or low > high:
        raise ValueError(f"{override.input_line} is empty: the first number must be the smaller one")
    if log and low <= 0:
        raise ValueError(f"{override.input_line}: a logarithmic range must start above 0")
    if log and step not in (None, 1):
        raise ValueError(f"{override.input_line}: a logarithmic range has no step; use interval, or int(interval(...))")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log, step=int(step or 1))
    return FloatDistribution(low, high, log=log, step=None if log else step)


def _ends(sweep: RangeSweep) -> tuple[float | None, float | None, float]:
    """The minimum, the maximum and the step of a range; no minimum and maximum if it is empty."""
    values = list(sweep.range())
    whole = all(isinstance(value, int) for value in (sweep.start, sweep.stop, sweep.step))
    if not values:
        return None, None, 1
    if whole:
        return min(values), max(values), abs(sweep.step)
    # Decimal arithmetic: sums of binary fractions would miss the end that was typed.
    start, step = Decimal(str(sweep.start)), Decimal(str(sweep.step))
    ends = float(start), float(start + step * (len(values) - 1))
    return min(ends), max(ends), abs(float(step))
