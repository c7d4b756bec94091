"""Gradient descent of R runs at once, each with a step size, momentum and decay of its own.

What PyTorch's optimizers do, with a column where they have a number. Shapes: R runs, P numbers of all parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

# Options that a step's formula hangs on, so that runs which differ in them are no one group; the others are columns.
ALIKE = ("nesterov", "maximize", "amsgrad", "decoupled_weight_decay")


class Descent:
    """One optimizer of a kind per run, as one; its columns are read from theirs, whose schedulers may change them.

    Args:
        optimizers: of one kind, before their first step, with one parameter group each.
        like_RP: the parameters' shape, precision and device.
    """

    def __init__(self, optimizers: Sequence[Optimizer], like_RP: Float[Tensor, "R P"]) -> None:
        self.optimizers = list(optimizers)
        self.like_RP = like_RP
        self.steps = 0
        self.memory: dict[str, Tensor] = {}  # what a step leaves for the next one, by PyTorch's names (R, P)
        self.refresh()

    def refresh(self) -> None:
        """Read the options again."""
        groups = [o.param_groups[0] for o in self.optimizers]
        self.options = groups[0]
        self.columns = {key: self._column([g[key] for g in groups]) for key in ("lr", "weight_decay")}
        self.decays = any(g["weight_decay"] for g in groups)

    def _column(self, numbers: list[float]) -> Float[Tensor, "R 1"]:
        return self.like_RP.new_tensor(numbers).unsqueeze(1)

    def step(self, theta_RP: Float[Tensor, "R P"], gradient_RP: Float[Tensor, "R P"]) -> None:
        """One update of every run, in place; the gradient may be changed."""
        raise NotImplementedError

    def keep(self, index_r: Int[Tensor, " r"]) -> None:
        """Go on with these runs only."""
        self.optimizers = [self.optimizers[run] for run in index_r.tolist()]
        self.like_RP = self.like_RP[index_r]
        self.memory = {name: numbers[index_r] for name, numbers in self.memory.items()}
        self.refresh()

    def states(self) -> dict[str, Any]:
        """What is the same in every run's state, by PyTorch's names."""
        return {}


class GradientDescent(Descent):
    """`torch.optim.SGD`: v <- momentum v + (1 - dampening) (g + decay w), v = g + decay w at first; w <- w - lr v."""

    def refresh(self) -> None:
        """As of any descent."""
        super().refresh()
        groups = [o.param_groups[0] for o in self.optimizers]
        momenta = [g["momentum"] for g in groups]
        self.moves_on = any(momenta)
        self.columns["momentum"] = self._column(momenta)
        # Without momentum PyTorch does not look at dampening.
        self.columns["fresh"] = self._column([1 - g["dampening"] if g["momentum"] else 1.0 for g in groups])

    def step(self, theta_RP: Float[Tensor, "R P"], gradient_RP: Float[Tensor, "R P"]) -> None:
        """As of any descent."""
        if self.options["maximize"]:
            gradient_RP.neg_()
        if self.decays:
            gradient_RP.addcmul_(theta_RP, self.columns["weight_decay"])
        way_RP = self._with_momentum(gradient_RP) if self.moves_on else gradient_RP
        theta_RP.addcmul_(way_RP, self.columns["lr"], value=-1)
        self.steps += 1

    def _with_momentum(self, gradient_RP: Tensor) -> Tensor:
        velocity_RP = self.memory.get("momentum_buffer")
        if velocity_RP is None:
            velocity_RP = self.memory["momentum_buffer"] = gradient_RP.clone()
        else:
            velocity_RP.mul_(self.columns["momentum"]).addcmul_(gradient_RP, self.columns["fresh"])
        if self.options["nesterov"]:
            return torch.addcmul(gradient_RP, velocity_RP, self.columns["momentum"])
        return velocity_RP


class AdaptiveMoments(Descent):
    """`torch.optim.Adam` and `AdamW` (Kingma & Ba 2015; Loshchilov & Hutter 2019).

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps). Decay
    is added to the gradient by Adam, taken off the parameters by AdamW.
    """

    def refresh(self) -> None:
        """As of any descent."""
        super().refresh()
        groups = [o.param_groups[0] for o in self.optimizers]
        self.columns["eps"] = self._column([g["eps"] for g in groups])
        # In double: 1 - 0.999 in single precision is off by 5e-5.
        self.betas_R12 = torch.tensor([[g["betas"]] for g in groups], dtype=torch.float64, device=self.like_RP.device)
        self.fresh = (1 - self.betas_R12).to(self.like_RP.dtype).unbind(-1)
        self.old = self.betas_R12.to(self.like_RP.dtype).unbind(-1)

    def step(self, theta_RP: Float[Tensor, "R P"], gradient_RP: Float[Tensor, "R P"]) -> None:
        """As of any descent."""
        self.steps += 1
        if self.options["maximize"]:
            gradient_RP.neg_()
        if self.decays and self.options["decoupled_weight_decay"]:
            theta_RP.mul_(1 - self.columns["lr"] * self.columns["weight_decay"])
        elif self.decays:
            gradient_RP.addcmul_(theta_RP, self.columns["weight_decay"])
        if not self.memory:
            self.memory = {"exp_avg": torch.zeros_like(theta_RP), "exp_avg_sq": torch.zeros_like(theta_RP)}
        mean_RP, square_RP = self.memory["exp_avg"], self.memory["exp_avg_sq"]
        mean_RP.lerp_(gradient_RP, self.fresh[0])
        square_RP.mul_(self.old[1]).addcmul_(gradient_RP.square_(), self.fresh[1])
        missing_R12 = 1 - self.betas_R12**self.steps
        first_R1, second_R1 = missing_R12.unbind(-1)
        spread_RP = (square_RP.sqrt() / second_R1.sqrt().to(theta_RP.dtype)).add_(self.columns["eps"])
        theta_RP.addcmul_(mean_RP / spread_RP, (self.columns["lr"].double() / first_R1).to(theta_RP.dtype), value=-1)

    def states(self) -> dict[str, Any]:
        """As of any descent."""
        return {"step": torch.tensor(float(self.steps))}


KINDS: dict[type[Optimizer], type[Descent]] = {SGD: GradientDescent, Adam: AdaptiveMoments, AdamW: AdaptiveMoments}
