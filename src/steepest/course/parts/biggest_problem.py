"""What stopped a descent of a net with one layer of sigmoids: its end, and the place to which the way leads on.

Shapes: N samples, H units, P numbers of all parameters.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import least_squares
from scipy.special import expit

from steepest.course.runs import Run
from steepest.evaluate.critical import FLAT
from steepest.nets.curvature import exact_spectrum

ZERO = 1e-4  # below this norm, the gradient at the end of the way counts as zero
CRITICAL = ("local minimum", "saddle", "plateau")
GOOD, EARLY, NOISE, STEP, OPEN = "good", "stopped too early", "hidden by noise", "step too large", "not decided"


def loss_of(run: Run) -> float:
    """The loss at the end; not a number if the run diverged."""
    return float(run.metrics.get("train", {}).get("mse_scaled", np.nan))


def step_of(run: Run) -> float:
    """The step size as a share of the largest stable one, 2 / (largest eigenvalue); infinite if the run diverged."""
    found = run.metrics.get("critical")
    return np.inf if found is None else found["step"] / (found["stability_limit"] or np.inf)


def end_of(run: Run) -> str:
    """The run's verdict about its end. Bouncing has two reasons: the step, and the noise of the batches."""
    if step_of(run) > 1:
        return STEP
    verdict = run.metrics["critical"]["verdict"].removeprefix("not critical: ")
    return NOISE if verdict == "bouncing" else verdict


def cause_of(run: Run, high: float) -> str:
    """What stands behind the loss of a run: a loss up to `high` is good; from others, follow the way to its end.

    If the way leads on to a good loss, the run stopped too early, or could not see the way for noise.
    """
    if loss_of(run) <= high:
        return GOOD
    if step_of(run) > 1:
        return STEP
    surface = run.surface()
    theta_P = torch.as_tensor(followed(run.end().numpy(), surface.x_ND.numpy(), surface.y_NH.numpy()[:, 0]))
    if float(surface.losses(theta_P)) <= high:
        return NOISE if end_of(run) == NOISE else EARLY
    if float(surface.gradient(theta_P).norm()) > ZERO:
        return OPEN
    curve = exact_spectrum(surface.hessian(theta_P))
    if curve.smallest < -FLAT * curve.largest:
        return "saddle"
    return "local minimum" if curve.smallest > curve.tolerance else "plateau"


def followed(start_P: np.ndarray, x_N1: np.ndarray, y_N: np.ndarray) -> np.ndarray:
    """The parameters (P,) to which the way from a point leads, by the Levenberg-Marquardt method.

    The method takes damped Newton steps that always lower the loss, so flat ground does not slow it down.
    """

    def errors(theta_P: np.ndarray) -> np.ndarray:
        return outputs(theta_P, x_N1)[0] - y_N

    return least_squares(errors, start_P, lambda theta_P: outputs(theta_P, x_N1)[1], method="lm", max_nfev=1000).x


def outputs(theta_P: np.ndarray, x_N1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The outputs (N,) of a net with H sigmoids, and their derivatives by all parameters (N, P)."""
    units = len(theta_P) // 3
    w_H, b_H, c_H, constant = np.split(theta_P, [units, 2 * units, 3 * units])
    s_NH = expit(x_N1 * w_H + b_H)
    d_NH = s_NH * (1 - s_NH) * c_H
    return s_NH @ c_H + constant, np.concatenate([d_NH * x_N1, d_NH, s_NH, np.ones_like(x_N1)], 1)


def counted(causes: np.ndarray, kinds: np.ndarray, order: list[str]) -> dict[str, list[int]]:
    """Cause -> the number of its runs of each kind, in this order; causes without a run are left out."""
    words = (GOOD, EARLY, NOISE, STEP, *CRITICAL, OPEN)
    found = {word: [int((causes[kinds == kind] == word).sum()) for kind in order] for word in words}
    return {word: numbers for word, numbers in found.items() if any(numbers)}
