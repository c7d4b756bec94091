"""The curvature of the loss: Hessian-vector products, the exact Hessian, and the ends of its spectrum by Lanczos.

Second derivatives come from autograd of the gradient (`functional.py`), so they are exact up to rounding;
only Lanczos's eigenvalues are approximate. All numbers are float64, to distinguish a smallest eigenvalue of 1e-9 from
-1e-9.

Shapes: P numbers of all parameters, in the order of the network; N samples; M steps of Lanczos.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from steepest.nets.functional import gradients_at, outputs_at
from steepest.nets.losses import Loss

Product = Callable[[Tensor], Tensor]  # v (P,) -> H v (P,)


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of a Hessian.

    Attributes:
        largest, smallest: the ends of the spectrum; the smallest is the most negative one, if any is negative.
        positive, negative: shares of eigenvalues above `tolerance` and below -`tolerance`. Estimates unless `exact`.
        tolerance: an eigenvalue of at most this size counts as zero. It covers rounding errors and the error of the
            Lanczos method.
        exact: whether all eigenvalues were computed exactly.
    """

    largest: float
    smallest: float
    positive: float
    negative: float
    tolerance: float
    exact: bool


class Surface:
    """The mean loss of some samples, its gradient and its curvature, as functions of one vector of all parameters.

    Args:
        network: the function; its parameters give the shapes.
        loss: one of `LOSSES`.
        x_ND, y_NH: the samples; inputs and float targets are converted to float64.
    """

    def __init__(self, network: nn.Module, loss: Loss, x_ND: Tensor, y_NH: Tensor) -> None:
        self.network, self.loss = network, loss
        self.x_ND, self.y_NH = x_ND.double(), y_NH.double() if y_NH.is_floating_point() else y_NH
        self.shapes = [p.shape for p in network.parameters()]
        self.sizes = [p.numel() for p in network.parameters()]

    def current(self) -> Float[Tensor, " P"]:
        """The network's current parameters, as one vector."""
        return torch.cat([p.detach().double().flatten() for p in self.network.parameters()])

    def parameters(self, theta_RP: Float[Tensor, "*R P"]) -> list[Tensor]:
        """The tensor of each parameter, with the leading dimensions of `theta_RP`."""
        parts = theta_RP.split(self.sizes, dim=-1)
        return [p.reshape(*theta_RP.shape[:-1], *shape) for p, shape in zip(parts, self.shapes, strict=True)]

    @torch.no_grad()
    def losses(self, theta_RP: Float[Tensor, "*R P"]) -> Float[Tensor, "*R"]:
        """The loss at each of R points."""
        return self.loss(outputs_at(self.network, self.parameters(theta_RP), self.x_ND), self.y_NH)

    def gradient(self, theta_P: Float[Tensor, " P"]) -> Float[Tensor, " P"]:
        """The gradient."""
        gradients = gradients_at(self.network, self.parameters(theta_P), self.loss, self.x_ND, self.y_NH)
        return torch.cat([g.flatten() for g in gradients])

    def products(self, theta_P: Float[Tensor, " P"]) -> Product:
        """The function v -> H v at a point: the derivative of the gradient along v.

        (Autograd computes the derivative of g(theta)' v, which is H' v, and H is symmetric.) All products share one
        forward and backward.
        """
        with torch.enable_grad():
            leaf_P = theta_P.detach().requires_grad_()
            gradient_P = self.gradient(leaf_P)
        return lambda v_P: torch.autograd.grad(gradient_P, leaf_P, v_P, retain_graph=True)[0]

    def hessian(self, theta_P: Float[Tensor, " P"]) -> Float[Tensor, "P P"]:
        """All second derivatives: H times each unit vector, then made exactly symmetric."""
        product = self.products(theta_P)
        rows_PP = torch.stack([product(unit_P) for unit_P in torch.eye(len(theta_P)).to(theta_P)])
        return (rows_PP + rows_PP.mT) / 2


def exact_spectrum(hessian_PP: Float[Tensor, "P P"]) -> Spectrum:
    """All eigenvalues of a symmetric matrix."""
    values_P = torch.linalg.eigvalsh(hessian_PP)
    size = float(values_P.abs().max())
    tolerance = 1e-10 * size
    return Spectrum(
        float(values_P[-1]),
        float(values_P[0]),
        float((values_P > tolerance).double().mean()),
        float((values_P < -tolerance).double().mean()),
        tolerance,
        exact=True,
    )


def lanczos(
    product: Product, start_P: Float[Tensor, " P"], steps: int
) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"], float]:
    """Ritz values (M,) of a symmetric matrix from a start vector, and the weight of each in that vector.

    Lanczos's recursion with full reorthogonalisation (Golub & Van Loan, section 10.3). The values approximate
    eigenvalues; those at both ends converge first. The weights sum to 1 and are a quadrature of the spectrum (Golub &
    Welsch 1969).

    Returns:
        values, ascending; weights; the larger of the two ends' residuals ||H y - value y||, which bounds their errors.
    """
    basis_MP, tridiagonal_MM, remainder = _krylov(product, start_P, steps)
    values_M, vectors_MM = torch.linalg.eigh(tridiagonal_MM)
    residual = remainder * torch.maximum(vectors_MM[-1, 0].abs(), vectors_MM[-1, -1].abs())
    return values_M, vectors_MM[0].square(), float(residual)


def _krylov(product: Product, start_P: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """An orthonormal basis (M, P), the tridiagonal matrix (M, M) of H in it, and the norm of the last remainder."""
    steps = min(steps, len(start_P))
    basis = [start_P / start_P.norm()]
    diagonal: list[Tensor] = []
    off_diagonal: list[Tensor] = []
    remainder = torch.zeros((), dtype=start_P.dtype)
    for _ in range(steps):
        image_P = product(basis[-1])
        diagonal.append(image_P @ basis[-1])
        known_MP = torch.stack(basis)
        for _ in range(2):  # twice is enough (Parlett & Kahan)
            image_P = image_P - known_MP.mT @ (known_MP @ image_P)
        remainder = image_P.norm()
        if remainder <= 1e-12 * max(torch.stack(diagonal).abs().max(), torch.tensor(1e-300)):
            break  # the basis spans everything that H reaches from the start vector
        off_diagonal.append(remainder)
        basis.append(image_P / remainder)
    count = len(diagonal)
    tridiagonal = torch.diag(torch.stack(diagonal))
    for k, number in enumerate(off_diagonal[: count - 1]):
        tridiagonal[k, k + 1] = tridiagonal[k + 1, k] = number
    return torch.stack(basis[:count]), tridiagonal, remainder


def lanczos_spectrum(product: Product, start_P: Float[Tensor, " P"], *, steps: int = 80, probes: int = 1) -> Spectrum:
    """The ends of a large Hessian's spectrum, and estimates of its positive and negative shares.

    Args:
        product: H v.
        start_P: gives the number, precision and device of the parameters; its values are not used.
        steps: maximum number of products with H from each random start.
        probes: number of random starts; the shares are means over them.
    """
    random = torch.Generator().manual_seed(0)
    runs = []
    for _ in range(probes):
        # Normal numbers: random signs would be orthogonal to directions such as (1, -1), between equal units, half of
        # the time.
        random_P = torch.randn(start_P.shape, generator=random, dtype=start_P.dtype).to(start_P.device)
        runs.append(lanczos(product, random_P, steps))
    largest = max(float(values_M[-1]) for values_M, _, _ in runs)
    smallest = min(float(values_M[0]) for values_M, _, _ in runs)
    # The sign of a Ritz value below the error of the ends is not known.
    tolerance = max(1e-6 * max(abs(largest), abs(smallest)), *(residual for _, _, residual in runs))
    positive, negative = (
        sum(float(weights_M[sign * values_M > tolerance].sum()) for values_M, weights_M, _ in runs) / len(runs)
        for sign in (1, -1)
    )
    return Spectrum(largest, smallest, positive, negative, tolerance, exact=False)


def downward(
    surface: Surface, theta_P: Float[Tensor, " P"], *, exact_up_to: int, steps: int
) -> tuple[float, float, Float[Tensor, " P"]]:
    """The ends of the Hessian's spectrum at a point, and the eigenvector of the smallest eigenvalue.

    For more than `exact_up_to` parameters it uses Lanczos. Its smallest value may be slightly above the true one, but
    it is the curvature along the returned vector (a Ritz pair): if it is negative, the loss falls along the vector.

    Returns:
        Smallest and largest eigenvalue; the smallest one's eigenvector, of norm 1, with its largest entry positive.
    """
    if len(theta_P) <= exact_up_to:
        values_P, vectors_PP = torch.linalg.eigh(surface.hessian(theta_P))
        ends, vector_P = values_P[[0, -1]], vectors_PP[:, 0]
    else:
        random_P = torch.randn(theta_P.shape, generator=torch.Generator().manual_seed(0), dtype=theta_P.dtype)
        basis_MP, tridiagonal_MM, _ = _krylov(surface.products(theta_P), random_P.to(theta_P.device), steps)
        values_M, vectors_MM = torch.linalg.eigh(tridiagonal_MM)
        ends, vector_P = values_M[[0, -1]], vectors_MM[:, 0] @ basis_MP
    size_P = vector_P.abs()
    # The first of the entries that are largest up to rounding, so that rounding does not choose the sign.
    first = int((size_P >= (1 - 1e-9) * size_P.max()).nonzero()[0])
    return float(ends[0]), float(ends[1]), vector_P / vector_P.norm() * vector_P[first].sign()


def spectrum(surface: Surface, theta_P: Float[Tensor, " P"], *, exact_up_to: int, steps: int) -> Spectrum:
    """The spectrum at a point: exact for up to `exact_up_to` parameters, by Lanczos for more."""
    if len(theta_P) <= exact_up_to:
        return exact_spectrum(surface.hessian(theta_P))
    return lanczos_spectrum(surface.products(theta_P), theta_P, steps=steps)
