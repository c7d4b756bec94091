"""Where a descent ended: at a local minimum, at a saddle, on a plateau, or not at a critical point.

Where the gradient g vanishes, the loss nearby is L + d' H d / 2, so the signs of the eigenvalues lambda_i of the
Hessian H, with eigenvectors u_i, classify the point. The gradient counts as vanished when the fall of the loss that
this second-order model still predicts, sum over i of (u_i' g)^2 / (2 |lambda_i|), is a small share of the loss.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from steepest.nets.curvature import Spectrum, Surface, lanczos, spectrum

Word = Literal["local minimum", "saddle", "plateau", "not critical: still moving", "not critical: bouncing"]
CODES: dict[Word, int] = {
    "not critical: still moving": 0,
    "not critical: bouncing": 0,
    "local minimum": 1,
    "saddle": 2,
    "plateau": 3,
}
# The gradient has vanished when less than 0.1% of the loss is attainable. Targets are standardised: 1e-6 is no loss.
NOTHING_LEFT, NO_LOSS = 1e-3, 1e-6
FLAT = 1e-4  # an eigenvalue below this share of the greatest is flat: a valley's floor


@dataclass(frozen=True)
class CurvatureReading:
    """Loss, gradient and curvature at one point.

    Attributes:
        loss: the mean loss of the samples.
        gradient_norm: the length of its gradient.
        spectrum: the eigenvalues of its Hessian.
        attainable: how much the loss can still fall, by the second-order model along the gradient.
    """

    loss: float
    gradient_norm: float
    spectrum: Spectrum
    attainable: float


@dataclass(frozen=True)
class Ending:
    """Where a descent ended, and the numbers behind the verdict.

    Attributes:
        verdict: the kind of point.
        gradient_norm, greatest_eigenvalue, smallest_eigenvalue: of the loss.
        positive_fraction, negative_fraction: shares of the eigenvalues above and below zero.
        exact: whether all eigenvalues were computed; otherwise the fractions are estimates.
        attainable: the share of the loss that is left to gain, by the second-order model.
        step: the optimizer's step size.
        stability_limit: above this step size, plain gradient descent leaves a minimum of this curvature:
            2 / lambda_max (times 1 + momentum with momentum); None without positive curvature.
        samples: the number of training samples in the loss.
    """

    verdict: Word
    gradient_norm: float
    greatest_eigenvalue: float
    smallest_eigenvalue: float
    positive_fraction: float
    negative_fraction: float
    exact: bool
    attainable: float
    step: float
    stability_limit: float | None
    samples: int

    def record(self) -> dict[str, Any]:
        """All fields, for metrics.json."""
        return asdict(self)

    def sentence(self) -> str:
        """The verdict and its numbers in words, for the end of a run."""
        meaning = {
            "local minimum": " at a local minimum",
            "saddle": " at a saddle: the loss falls in a direction that the gradient does not show",
            "plateau": " on a plateau (or a valley's floor): flat in some directions, downward in none",
            "not critical: still moving": ", but not at a critical point: still moving",
            "not critical: bouncing": ", but not at a critical point: bouncing",
        }[self.verdict]
        about = "" if self.exact else "about "
        limit = "no positive curvature, so no stability limit"
        if self.stability_limit is not None:
            limit = f"stable below {self.stability_limit:.3g}"
        parts = [
            f"The descent ended{meaning}.",
            f"Gradient norm {self.gradient_norm:.3g}; {self.attainable:.2g} of the loss left to gain;",
            f"Hessian eigenvalues from {self.smallest_eigenvalue:.3g} to {self.greatest_eigenvalue:.3g},",
            f"{about}{self.positive_fraction:.0%} positive, {self.negative_fraction:.0%} negative;",
            f"step {self.step:g}; {limit}.",
        ]
        return " ".join(parts)


def look(surface: Surface, theta_P: Tensor, *, exact_up_to: int, steps: int) -> CurvatureReading:
    """Read loss, gradient and curvature at a point (P,)."""
    gradient_P = surface.gradient(theta_P)
    norm = float(gradient_P.norm())
    found = spectrum(surface, theta_P, exact_up_to=exact_up_to, steps=steps)
    attainable = 0.0
    if norm > 0:
        # Lanczos starts from the gradient, so its weights are the shares (u_i' g)^2 / |g|^2.
        values_M, weights_M, _ = lanczos(surface.products(theta_P), gradient_P, steps)
        floor = max(FLAT * max(abs(found.greatest), abs(found.smallest)), torch.finfo(values_M.dtype).tiny)
        attainable = float((weights_M * norm**2 / (2 * values_M.abs().clamp(min=floor))).sum())
    return CurvatureReading(float(surface.losses(theta_P)), norm, found, attainable)


def judge(
    at: CurvatureReading, *, variance: float, batch: int, samples: int, step: float, momentum: float = 0.0
) -> Ending:
    """Say where a descent ended.

    Args:
        at: the reading at the end.
        variance: the variance of the samples' gradients, summed over all parameters.
        batch: the number of samples in an update.
        samples: the number of samples in the reading.
        step: the optimizer's step size.
        momentum: the momentum of gradient descent.
    """
    curve, scale = at.spectrum, max(at.loss, NO_LOSS)
    limit = 2 * (1 + momentum) / curve.greatest if curve.greatest > curve.tolerance else None
    flat = max(FLAT * abs(curve.greatest), curve.tolerance)
    verdict: Word
    if at.attainable > NOTHING_LEFT * scale:
        # It bounces if the noise of the batches exceeds the gradient, or if the step overshoots the valley.
        noisy = batch < samples and at.gradient_norm**2 < variance / batch
        verdict = (
            "not critical: bouncing" if noisy or (limit is not None and limit < step) else "not critical: still moving"
        )
    elif curve.smallest < -flat:
        verdict = "saddle"
    elif curve.smallest > flat or (curve.exact and curve.smallest > curve.tolerance):
        verdict = "local minimum"
    else:
        verdict = "plateau"
    return Ending(
        verdict,
        at.gradient_norm,
        curve.greatest,
        curve.smallest,
        curve.positive,
        curve.negative,
        curve.exact,
        at.attainable / scale,
        step,
        limit,
        samples,
    )
