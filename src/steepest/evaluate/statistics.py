"""Baselines of statsmodels: exponential smoothing (``ets``) and ``arima``. They need the extra ``statistics``.

Each is a linear state space model, fitted once to the training rows of each series. With these parameters, the Kalman
filter runs once over the series. The state after a row depends only on the rows up to it, and gives all forecasts from
that row.

- ``ets``: exponential smoothing with additive errors and a damped additive trend (Hyndman et al. 2008), and with an
  additive season of at most `MAX_SEASON` rows if that has the lower AIC. The initial states are simple functions of the
  first two rows, or of the first two seasons.
- ``arima``: ARIMA(p, 1, q) without a constant; p and q of 0, 1 and 2 with the lowest AIC.

The models use prices, or the logarithms of prices if the run's model predicts returns: they assume changes of constant
size, and the same transform as the run's model makes the same assumption. The values are divided by the mean
absolute change of the training rows, so the optimizer sees numbers of order 1. Forecasts are scaled back; a logarithm's
forecast becomes the median of the price.

Shapes: N samples, H horizon, S series, T rows of a series, K states.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from steepest.data.faults import counted, listed
from steepest.data.windows import Windows
from steepest.engine.descent import threads

log = logging.getLogger(__name__)

PARAMETERS = {  # the names in statsmodels of each baseline's parameters; those of unused terms are 0
    "ets": ("smoothing_level", "smoothing_trend", "smoothing_seasonal", "damping_trend"),
    "arima": ("ar.L1", "ar.L2", "ma.L1", "ma.L2"),
}
MAX_ROWS = 10_000  # maximum number of training rows in a fit, the last ones: its time grows with them
MIN_ROWS = 20  # with fewer training rows, a fit says nothing
MAX_SEASON = 12  # longest season: the time for each row grows with the square of the season
ITERATIONS = 500  # limit of the optimizer
ORDERS = tuple((p, q) for p in range(3) for q in range(3))

# During a fit, statsmodels changes Python's warning filters, which all threads share. Threads also share cached fits.
_one_thread = threading.Lock()


@dataclass(frozen=True)
class Fit:
    """The fit of a baseline to one series.

    Attributes:
        parameters: by `PARAMETERS`, or None if every candidate failed.
        converged: whether these parameters come from a fit that converged.
        dropped: the candidates that were not used, because their fit failed or did not converge.
        tried: the number of candidates.
        error: the message of the last candidate that failed, or "".
    """

    parameters: tuple[float, ...] | None
    converged: bool
    dropped: tuple[str, ...]
    tried: int
    error: str


@dataclass(frozen=True)
class Fits:
    """The fits of all series: name -> parameters (S, P), float64; and sentences about fits that did not succeed."""

    parameters: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def fit(windows: Windows, names: Sequence[str]) -> Fits:
    """Fit baselines to the training rows of each series.

    Args:
        windows: the data.
        names: names of `PARAMETERS`.

    Raises:
        ValueError: if the extra is missing, or if the data have no prices to predict or too few training rows.
    """
    fits = Fits()
    if not names:
        return fits
    _check(windows, names)
    trained = [_scaled(windows, series) for series in range(len(windows.names))]
    for name in names:
        with _one_thread, threads(torch.get_num_threads()):  # small matrix products are slower with more threads
            found = [
                _fit(name, value_T[:rows][-MAX_ROWS:].tobytes(), _season(windows)) for value_T, _, _, rows in trained
            ]
        fits.notes.extend(_notes(name, dict(zip(windows.names, found, strict=True))))
        known = [one.parameters for one in found if one.parameters is not None]
        if len(known) == len(found):
            fits.parameters[name] = torch.tensor(known, dtype=torch.float64)
    return fits


def predictor(
    windows: Windows, name: str, parameters_SP: Float[Tensor, "S P"]
) -> Callable[[Int[Tensor, " N"]], Float[Tensor, "N H"]]:
    """A function: the prices (N, H), float64, that a fitted baseline predicts for samples with these origins (N,)."""

    @cache
    def known(series: int) -> tuple[States, float, float]:
        """A series' states, which are computed once, with what was subtracted from its values, and their scale."""
        value_T, first, scale, _ = _scaled(windows, series)
        return states(_model(name, value_T, parameters_SP[series].tolist(), _season(windows))), first, scale

    def predicted(origin_N: Int[Tensor, " N"]) -> Float[Tensor, "N H"]:
        predicted_NH = np.empty((len(origin_N), windows.horizon))
        row_N, series_N = origin_N.cpu().numpy(), windows.series_T[origin_N].cpu().numpy()
        for series in np.unique(series_N).tolist():
            of_series, first, scale = known(series)
            mine = series_N == series
            at_M = row_N[mine] - int(windows.start_S[series])
            value_MH = forecasts(of_series, at_M, windows.horizon) * scale + first
            predicted_NH[mine] = value_MH if windows.transform == "level" else np.exp(value_MH)
        return torch.from_numpy(predicted_NH).to(windows.price_T.device)

    return predicted


class States(NamedTuple):
    """The states (K, T + 1) that a state space model predicts for each row and the next one, its design Z (K,), and
    its transition matrix T (K, K)."""

    predicted_KT: np.ndarray
    design_K: np.ndarray
    transition_KK: np.ndarray


def states(model: Any) -> States:
    """The states of a state space model of statsmodels."""
    return States(model.ssm.filter().predicted_state, model.ssm["design"][0], model.ssm["transition"])


def forecasts(of_model: States, at_N: np.ndarray, horizon: int) -> np.ndarray:
    """The forecasts (N, H) of a state space model from the rows `at_N` of its series.

    The forecast h rows after row t is Z T^(h - 1) a, with the state a predicted for row t + 1 from the rows up to t,
    the transition matrix T (K, K) and the design Z (K,). These models have no intercepts.
    """
    state_KN, weight_K = of_model.predicted_KT[:, at_N + 1], of_model.design_K
    forecast_NH = np.zeros((len(at_N), horizon))
    for step in range(horizon):
        # Not a matrix product, whose last digits may depend on the number of samples.
        for weight, state_N in zip(weight_K, state_KN, strict=True):
            forecast_NH[:, step] += weight * state_N
        weight_K = weight_K @ of_model.transition_KK
    return forecast_NH


def without(fitted: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """What baselines have learned, without those of this file. A warning names what is left out.

    Their states start at the first row of the run's data, and their scale is that of its training rows, so they cannot
    predict the rows of the file `where`.
    """
    if left := [name for name in PARAMETERS if name in fitted]:
        log.warning("%s: left out the baselines %s, which predict only the run's own data", where, " and ".join(left))
    return {name: parameters for name, parameters in fitted.items() if name not in left}


def _check(windows: Windows, names: Sequence[str]) -> None:
    asked = f"evaluation.statistics=[{','.join(names)}]"
    if not windows.ordered or windows.classes:
        what = "directions or classes" if windows.classes else "plain rows, which have no order in time"
        raise ValueError(f"{asked} predicts series of prices, but these data are {what}: use evaluation.statistics=[]")
    _library()
    for name, start, stop in zip(windows.names, windows.start_S, windows.train_stop_S, strict=True):
        if (rows := int(stop - start)) < MIN_ROWS:
            raise ValueError(
                f"{asked} needs at least {MIN_ROWS} training rows, {name} has {rows}: enlarge the training part "
                "(data.split), or use evaluation.statistics=[]"
            )


def _library() -> tuple[Any, Any]:
    """The models of statsmodels: exponential smoothing and ARIMA. Their import takes a second."""
    try:
        from statsmodels.tsa.statespace.exponential_smoothing import ExponentialSmoothing
        from statsmodels.tsa.statespace.sarimax import SARIMAX
    except ImportError as error:
        raise ValueError(
            f"evaluation.statistics needs the extra statistics ({error}): pip install 'steepest[statistics]'"
        ) from None
    return ExponentialSmoothing, SARIMAX


def _scaled(windows: Windows, series: int) -> tuple[np.ndarray, float, float, int]:
    """A series' values (T,), what was subtracted, the scale, and the number of training rows."""
    start, stop = int(windows.start_S[series]), int(windows.train_stop_S[series])
    end = int(windows.start_S[series + 1]) if series + 1 < len(windows.start_S) else len(windows.price_T)
    value_T = windows.price_T[start:end].double().cpu().numpy()
    if windows.transform != "level":
        value_T = np.log(value_T)
    first, scale = float(value_T[0]), float(np.abs(np.diff(value_T[: stop - start])).mean())
    return (value_T - first) / scale, first, scale, stop - start


def _season(windows: Windows) -> int:
    """The length of the season, or 0 if there is none or it is too long."""
    return windows.season if windows.season is not None and 1 < windows.season <= MAX_SEASON else 0


@lru_cache(maxsize=256)  # at most 20 MB of values
def _fit(name: str, values: bytes, season: int) -> Fit:
    """Fit all candidates to one series, and choose the one with the lowest AIC among those that converged.

    The result is cached, because the runs of a sweep, and the cases of an audit, have the same training rows.
    """
    best: dict[bool, tuple[float, tuple[float, ...]]] = {}
    dropped, error, tried = list[str](), "", 0
    # (The logistic function's limit is correct. Results that are not finite are dropped below.)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for label, model, start in _candidates(name, np.frombuffer(values), season):
            tried += 1
            try:
                result, converged = _estimated(model, start)
            except (ArithmeticError, ValueError, IndexError) as failure:  # numpy's LinAlgError is a ValueError
                dropped.append(label)
                error = f"{type(failure).__name__}: {failure}"
                continue
            known = dict(zip(model.param_names, result.params.tolist(), strict=True))
            parameters = tuple(known.get(one, 0.0) for one in PARAMETERS[name])
            aic = float(result.aic)
            if not np.isfinite([aic, *parameters]).all():
                dropped.append(label)
                error = "its likelihood is not finite"
                continue
            if not converged:
                dropped.append(label)
            if converged not in best or aic < best[converged][0]:
                best[converged] = aic, parameters
    chosen = best.get(True) or best.get(False)
    return Fit(None if chosen is None else chosen[1], True in best, tuple(dropped), tried, error)


def _estimated(model: Any, start: list[float] | None) -> tuple[Any, bool]:
    """The result of maximum likelihood, and whether the optimizer converged."""
    if not model.param_names:  # a random walk has only a variance, which the likelihood contains
        return model.filter([], cov_type="none"), True
    result = model.fit(start, disp=0, maxiter=ITERATIONS, cov_type="none", warn_convergence=False)
    return result, bool(result.mle_retvals["converged"])


def _candidates(name: str, value_T: np.ndarray, season: int) -> Iterator[tuple[str, Any, list[float] | None]]:
    """Yield the candidates for a fit: a label, the model, and the optimizer's start (None: that of statsmodels)."""
    if name == "ets":
        yield "without a season", _ets(value_T, 0), None
        if season and len(value_T) >= 2 * season:
            yield f"with a season of {season} rows", _ets(value_T, season), None
        return
    for p, q in ORDERS:
        # (statsmodels' own start can be non-stationary, which it reports with a warning.)
        yield f"({p},1,{q})", _arima(value_T, p, q), [0.0] * (p + q)


def _ets(value_T: np.ndarray, season: int) -> Any:
    smoothing, _ = _library()
    return smoothing(value_T, trend=True, damped_trend=True, seasonal=season or None, initialization_method="simple")


def _arima(value_T: np.ndarray, p: int, q: int) -> Any:
    _, sarimax = _library()
    return sarimax(value_T, order=(p, 1, q), concentrate_scale=True)


def _model(name: str, value_T: np.ndarray, parameters: Sequence[float], season: int) -> Any:
    """The model of a series with these parameters."""
    known = dict(zip(PARAMETERS[name], parameters, strict=True))
    # (Coefficients of 0 make the ARIMA a smaller one. With a season, its parameter is at least 0.0001.)
    seasonal = known.get("smoothing_seasonal", 0) > 0
    model = _ets(value_T, season if seasonal else 0) if name == "ets" else _arima(value_T, 2, 2)
    model.update(np.array([known[one] for one in model.param_names]))
    return model


def _notes(name: str, fits: Mapping[str, Fit]) -> Iterator[str]:
    """Yield sentences about fits that failed or did not converge."""
    failed = [series for series, one in fits.items() if one.parameters is None]
    if failed:
        yield f"the baseline {name} is left out: its fit failed on {listed(failed)} ({fits[failed[0]].error})"
        return
    if unsure := [series for series, one in fits.items() if not one.converged]:
        yield (
            f"the baseline {name} did not converge on {listed(unsure)}: its scores are those of the best parameters "
            "found"
        )
    dropped = [f"{label} of {series}" for series, one in fits.items() if one.converged for label in one.dropped]
    if dropped:
        share = f"{len(dropped)} of {counted(sum(one.tried for one in fits.values()), 'fit')}"
        yield f"the baseline {name} does not use fits that failed or did not converge ({share}): {listed(dropped)}"
