"""Where a descent ended: a local minimum, a saddle, a plateau, or nowhere yet.

The second-order picture of the course: where the gradient vanishes, the loss nearby is L + d' H d / 2, so the signs of
the Hessian's eigenvalues say what the point is. "Vanishes" is made a number: what the loss could still lose by that
picture, sum over i of (u_i' g)^2 / (2 |lambda_i|), is compared with the loss itself.
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
# A thousandth of the loss left to win is nothing left; losses are of standardised targets, so 1e-6 is no loss at all.
NOTHING_LEFT, NO_LOSS = 1e-3, 1e-6
FLAT = 1e-4  # an eigenvalue below this share of the greatest is flat: a valley's floor


@dataclass(frozen=True)
class Look:
    """What one look at the curvature found.

    Attributes:
        loss: at the point, of the samples looked at.
        gradient_norm: of that loss.
        spectrum: of its Hessian.
        attainable: what the loss could still lose, by the second-order picture along the gradient.
    """

    loss: float
    gradient_norm: float
    spectrum: Spectrum
    attainable: float


@dataclass(frozen=True)
class Ending:
    """Where a descent ended, and the numbers it is judged by.

    Attributes:
        verdict: in a word.
        gradient_norm, greatest_eigenvalue, smallest_eigenvalue, positive_fraction, negative_fraction: of the loss.
        exact: whether all eigenvalues were computed (estimates of the fractions otherwise).
        attainable: share of the loss that is left to win, by the second-order picture.
        step: the optimizer's step size.
        stability_limit: above it, plain gradient descent leaves a minimum of this curvature: 2 / lambda_max (times
            1 + momentum for gradient descent with momentum); None without positive curvature.
        samples: training samples looked at.
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
        """For metrics.json."""
        return asdict(self)

    def sentence(self) -> str:
        """For the end of a run."""
        meaning = {
            "local minimum": "a local minimum",
            "saddle": "a saddle: there is a way down that the gradient does not see",
            "plateau": "a plateau (or a valley's floor): flat in some directions, downward in none",
            "not critical: still moving": "not at a critical point: still moving",
            "not critical: bouncing": "not at a critical point: bouncing",
        }[self.verdict]
        about = "" if self.exact else "about "
        parts = [
            f"The descent ended at {meaning}.".replace("ended at not", "ended, but not"),
            f"Gradient norm {self.gradient_norm:.3g}, {self.attainable:.2g} of the loss left to win;",
            f"Hessian eigenvalues from {self.smallest_eigenvalue:.3g} to {self.greatest_eigenvalue:.3g},",
            f"{about}{self.positive_fraction:.0%} positive, {self.negative_fraction:.0%} negative;",
            f"step {self.step:g}, stable below {self.stability_limit:.3g}." if self.stability_limit else "no limit.",
        ]
        return " ".join(parts)


def look(surface: Surface, theta_P: Tensor, *, exact_up_to: int, steps: int) -> Look:
    """Loss, gradient and curvature at a point."""
    gradient_P = surface.gradient(theta_P)
    norm = float(gradient_P.norm())
    found = spectrum(surface, theta_P, exact_up_to=exact_up_to, steps=steps)
    attainable = 0.0
    if norm > 0:
        # Seen from the gradient, the weights of Lanczos's values are the shares of its square.
        values_M, weights_M, _ = lanczos(surface.products(theta_P), gradient_P, steps)
        floor = max(FLAT * max(abs(found.greatest), abs(found.smallest)), torch.finfo(values_M.dtype).tiny)
        attainable = float((weights_M * norm**2 / (2 * values_M.abs().clamp(min=floor))).sum())
    return Look(float(surface.losses(theta_P)), norm, found, attainable)


def judge(at: Look, *, variance: float, batch: int, samples: int, step: float, momentum: float = 0.0) -> Ending:
    """Say where a descent ended.

    Args:
        at: the look at its end.
        variance: of the samples' gradients, summed over all parameters.
        batch: samples of an update.
        samples: how many the look was at.
        step: the optimizer's step size.
        momentum: of gradient descent.
    """
    curve, scale = at.spectrum, max(at.loss, NO_LOSS)
    limit = 2 * (1 + momentum) / curve.greatest if curve.greatest > curve.tolerance else None
    flat = max(FLAT * abs(curve.greatest), curve.tolerance)
    verdict: Word
    if at.attainable > NOTHING_LEFT * scale:
        # Either the batches' disagreement is larger than what they agree on, or the step jumps across the valley.
        noisy = batch < samples and at.gradient_norm**2 < variance / batch
        verdict = "not critical: bouncing" if noisy or (limit or step) < step else "not critical: still moving"
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
