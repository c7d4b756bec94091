"""Where a descent ended: at a local minimum, at a saddle, on a plateau, or not at a critical point.

Where the gradient g vanishes, the loss nearby is L + d' H d / 2, so the signs of the eigenvalues lambda_i of the
Hessian H, with eigenvectors u_i, classify the point. The gradient counts as zero when the decrease of the loss that
this second-order model still predicts, sum over i of (u_i' g)^2 / (2 |lambda_i|), is a small share of the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from steepest.nets.curvature import Spectrum, Surface, lanczos, spectrum

Kind = Literal["local minimum", "saddle", "plateau", "not critical: still moving", "not critical: bouncing"]
# For each kind of point: its code in TensorBoard, and how "The descent ended ..." continues.
KINDS: dict[Kind, tuple[int, str]] = {
    "not critical: still moving": (0, ", but not at a critical point: still moving"),
    "not critical: bouncing": (0, ", but not at a critical point: bouncing"),
    "local minimum": (1, " at a local minimum"),
    "saddle": (2, " at a saddle: the loss falls in a direction that the gradient does not show"),
    "plateau": (3, " on a plateau (or a valley's floor): flat in some directions, downward in none"),
}
# The gradient counts as zero when less than 0.1% of the loss is attainable. Targets are standardised, so a loss below
# 1e-6 counts as 1e-6.
VANISHED, MIN_LOSS = 1e-3, 1e-6
FLAT = 1e-4  # an eigenvalue below this share of the largest counts as flat: the floor of a valley


@dataclass(frozen=True)
class Ending:
    """Where a descent ended, and the numbers behind the verdict.

    Attributes:
        verdict: the kind of point.
        gradient_norm: of the loss of the whole training part.
        greatest_eigenvalue, smallest_eigenvalue: of the Hessian.
        positive_fraction, negative_fraction: shares of the eigenvalues above and below zero.
        exact: whether all eigenvalues were computed; if not, the fractions are estimates.
        attainable: the share of its value by which the loss could still fall, by the second-order model.
        step: the optimizer's step size.
        stability_limit: above this step size, plain gradient descent leaves a minimum of this curvature:
            2 / lambda_max (times 1 + momentum with momentum), or None without positive curvature.
        samples: the number of training samples in the Hessian.
        training_samples: the number of all training samples.
        convex: whether the loss has no other minimum, as that of a linear model.
    """

    verdict: Kind
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
    training_samples: int
    convex: bool = False

    def sentence(self) -> str:
        """The verdict and its numbers as sentences, for the end of a run."""
        place = KINDS[self.verdict][1]
        if self.convex and self.verdict == "local minimum":
            place = " at the minimum: a linear model's loss has no other"
        limit = "no positive curvature, so no stability limit"
        if self.stability_limit is not None:
            limit = f"stable below {self.stability_limit:.3g}"
        fall = f"the loss could still fall by {self.attainable:.2g} of its value"
        if self.attainable > 1:  # no loss is below 0: mae has no curvature, so the second-order model has no minimum
            fall = "the curvature does not show how far the loss could still fall"
        all_used = self.samples >= self.training_samples
        some = "" if all_used else f" ({self.samples:,} of {self.training_samples:,} samples)"
        return (
            f"The descent ended{place}. "
            f"Gradient norm {self.gradient_norm:.3g}; {fall}; "
            f"Hessian eigenvalues from {self.smallest_eigenvalue:.3g} to {self.greatest_eigenvalue:.3g}{some}, "
            f"{'' if self.exact else 'about '}{self.positive_fraction:.0%} positive, "
            f"{self.negative_fraction:.0%} negative; step {self.step:g}; {limit}."
        )


def judge(
    surface: Surface,
    theta_P: Tensor,
    *,
    loss: float,
    gradient_P: Tensor,
    samples: int,
    exact_up_to: int,
    steps: int,
    variance: float,
    batch: int,
    step: float,
    momentum: float = 0.0,
    convex: bool = False,
) -> Ending:
    """Classify the point (P,) at which a descent ended.

    Args:
        surface: the loss of some or all training samples; its Hessian is measured.
        theta_P: all parameters at the end.
        loss, gradient_P: the loss of all training samples at this point, and its gradient (P,).
        samples: the number of all training samples.
        exact_up_to: compute all eigenvalues of models with at most this many parameters.
        steps: the number of Lanczos steps for larger models.
        variance: the variance of the samples' gradients, summed over all parameters.
        batch: the number of samples in an update.
        step: the optimizer's step size.
        momentum: the momentum of gradient descent.
        convex: whether the loss has only one minimum.
    """
    norm = float(gradient_P.norm())
    curve = spectrum(surface, theta_P, exact_up_to=exact_up_to, steps=steps)
    attainable = _attainable(surface, theta_P, gradient_P, curve, steps) / max(loss, MIN_LOSS)
    limit = 2 * (1 + momentum) / curve.largest if curve.largest > curve.tolerance else None
    flat = max(FLAT * abs(curve.largest), curve.tolerance)
    verdict: Kind = "plateau"
    if attainable > VANISHED:
        # It bounces if the noise of the batches exceeds the gradient, or if the step overshoots the valley.
        noisy = batch < samples and norm**2 < variance / batch
        overshoots = limit is not None and limit < step
        verdict = "not critical: bouncing" if noisy or overshoots else "not critical: still moving"
    elif curve.smallest < -flat:
        verdict = "saddle"
    elif curve.smallest > flat or (curve.exact and curve.smallest > curve.tolerance):
        verdict = "local minimum"
    return Ending(
        verdict,
        norm,
        curve.largest,
        curve.smallest,
        curve.positive,
        curve.negative,
        curve.exact,
        attainable,
        step,
        limit,
        len(surface.x_ND),
        samples,
        convex,
    )


def _attainable(surface: Surface, theta_P: Tensor, gradient_P: Tensor, curve: Spectrum, steps: int) -> float:
    """The possible decrease of the loss along the gradient (P,), by the second-order model."""
    square = float(gradient_P.norm()) ** 2
    if square == 0:
        return 0.0
    # Lanczos starts from the gradient, so its weights are the shares (u_i' g)^2 / |g|^2.
    values_M, weights_M, _ = lanczos(surface.products(theta_P), gradient_P, steps)
    floor = max(FLAT * max(abs(curve.largest), abs(curve.smallest)), torch.finfo(values_M.dtype).tiny)
    return float((weights_M * square / (2 * values_M.abs().clamp(min=floor))).sum())
