"""Gradient descent of R runs at once, each with a step size, momentum and decay of its own.

What PyTorch's optimizers do, with a number a run where they have one number. Shapes as in `stack.py`: M numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from steepest.nets.stack import Stack


class Descent:
    """One optimizer of a kind per run, as one; options are read from theirs, whose schedulers may change them.

    Args:
        optimizers: of one kind, before their first step, with one parameter group each.
        stack: the runs.

    Attributes:
        memory: what a step leaves for the next one, by PyTorch's names, (M,) each.
        steps: done.
    """

    def __init__(self, optimizers: Sequence[Optimizer], stack: Stack) -> None:
        self.memory: dict[str, Tensor] = {}
        self.steps = 0
        self.refresh(optimizers, stack)

    def refresh(self, optimizers: Sequence[Optimizer], stack: Stack) -> None:
        """Read the options of the runs that there are."""
        groups = [o.param_groups[0] for o in optimizers]

        def read(numbers: Sequence[float | int]) -> Float[Tensor, " M"]:
            return stack.spread(torch.tensor(numbers, dtype=torch.float64)).to(stack.theta)

        self.options, self.read = groups[0], read
        self.rate = read([g["lr"] for g in groups])
        self.decay = read([g["weight_decay"] for g in groups]) if any(g["weight_decay"] for g in groups) else None

    def step(self, theta: Float[Tensor, " M"], gradient: Float[Tensor, " M"]) -> None:
        """One update of every run, in place; the gradient may be changed."""
        raise NotImplementedError

    def counted(self, updates: int) -> dict[str, Tensor]:
        """What PyTorch's state of a parameter tensor counts after so many updates."""
        return {}


class GradientDescent(Descent):
    """`torch.optim.SGD`: v <- momentum v + (1 - dampening) (g + decay w), v = g + decay w at first; w <- w - lr v."""

    def refresh(self, optimizers: Sequence[Optimizer], stack: Stack) -> None:
        """As of any descent."""
        super().refresh(optimizers, stack)
        groups = [o.param_groups[0] for o in optimizers]
        self.momentum = self.fresh = None
        if any(g["momentum"] for g in groups):
            self.momentum = self.read([g["momentum"] for g in groups])
            # Without momentum PyTorch does not look at dampening.
            self.fresh = self.read([1 - g["dampening"] if g["momentum"] else 1.0 for g in groups])

    def step(self, theta: Float[Tensor, " M"], gradient: Float[Tensor, " M"]) -> None:
        """As of any descent."""
        self.steps += 1
        if self.options["maximize"]:
            gradient.neg_()
        if self.decay is not None:
            gradient.addcmul_(theta, self.decay)
        theta.addcmul_(self._way(gradient), self.rate, value=-1)

    def _way(self, gradient: Tensor) -> Tensor:
        if self.momentum is None or self.fresh is None:
            return gradient
        velocity = self.memory.get("momentum_buffer")
        if velocity is None:
            velocity = self.memory["momentum_buffer"] = gradient.clone()
        else:
            velocity.mul_(self.momentum).addcmul_(gradient, self.fresh)
        return torch.addcmul(gradient, velocity, self.momentum) if self.options["nesterov"] else velocity


class AdaptiveMoments(Descent):
    """`torch.optim.Adam` and `AdamW` (Kingma & Ba 2015; Loshchilov & Hutter 2019).

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps). Decay
    is added to the gradient by Adam, taken off the parameters by AdamW.
    """

    def refresh(self, optimizers: Sequence[Optimizer], stack: Stack) -> None:
        """As of any descent."""
        super().refresh(optimizers, stack)
        groups = [o.param_groups[0] for o in optimizers]
        self.off = isinstance(optimizers[0], AdamW)
        self.rates, self.betas = [g["lr"] for g in groups], [g["betas"] for g in groups]
        self.epsilon = self.read([g["eps"] for g in groups])
        self.old = self.read([b for _, b in self.betas])
        self.fresh = [self.read([1 - betas[which] for betas in self.betas]) for which in (0, 1)]
        if self.decay is not None and self.off:
            self.decay = self.read([1 - g["lr"] * g["weight_decay"] for g in groups])
        self.alike = len(set(self.betas)) == 1

    def step(self, theta: Float[Tensor, " M"], gradient: Float[Tensor, " M"]) -> None:
        """As of any descent."""
        self.steps += 1
        if self.options["maximize"]:
            gradient.neg_()
        if self.decay is not None and self.off:
            theta.mul_(self.decay)
        elif self.decay is not None:
            gradient.addcmul_(theta, self.decay)
        if not self.memory:
            self.memory = {"exp_avg": torch.zeros_like(theta), "exp_avg_sq": torch.zeros_like(theta)}
        mean, square = self.memory["exp_avg"], self.memory["exp_avg_sq"]
        mean.lerp_(gradient, self.fresh[0])
        square.mul_(self.old).addcmul_(gradient.square_(), self.fresh[1])
        rate, root = self._corrected()
        theta.addcdiv_(mean * rate, (square.sqrt() / root).add_(self.epsilon), value=-1)

    def counted(self, updates: int) -> dict[str, Tensor]:
        """As of any descent."""
        return {"step": torch.tensor(float(updates))}

    def _corrected(self) -> tuple[Tensor, Tensor | float]:
        """lr / (1 - b1^t) and sqrt(1 - b2^t)."""
        first, second = zip(*((1 - b1**self.steps, 1 - b2**self.steps) for b1, b2 in self.betas), strict=True)
        if self.alike:
            return self.rate / first[0], second[0] ** 0.5
        return self.read([r / m for r, m in zip(self.rates, first, strict=True)]), self.read([m**0.5 for m in second])


KINDS: dict[type[Optimizer], type[Descent]] = {SGD: GradientDescent, Adam: AdaptiveMoments, AdamW: AdaptiveMoments}
