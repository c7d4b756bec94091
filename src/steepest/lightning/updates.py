"""One update without what it does not need: the way of a gradient that is there already into the parameters.

Most of the time of a small model's update is not arithmetic. Lightning asks every callback before every step, PyTorch's
optimizers open a profiler range and look for hooks, fused kernels and closures; here the same is done without asking
again each time. The numbers are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter, is_
from types import MethodType
from typing import Any, Protocol

import torch
from torch import Tensor

from steepest.nets.networks import Layer

EPSILON = 1e-6  # torch.nn.utils.clip_grad_norm_ adds it to the norm it divides by


class Flat:
    """All parameters of a network and their gradient in one tensor: one kernel where there were many.

    The network's parameters become views of it, so that changing the one changes the other.

    Attributes:
        both: the parameters, in their order, then the gradient (2 P,).
        theta: the first half (P,).
        gradient: the second (P,).
        gradients: the same numbers as one tensor a parameter.
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self.parameters = list(network.parameters())
        sizes = [p.numel() for p in self.parameters]
        values = [p.detach().flatten() for p in self.parameters]
        self.both = torch.cat([*values, *map(torch.zeros_like, values)])
        self.theta, self.gradient = self.both.chunk(2)
        for parameter, part in zip(self.parameters, self.theta.split(sizes), strict=True):
            parameter.data = part.view(parameter.shape)
        parts = self.gradient.split(sizes)
        self.gradients = [g.view(p.shape) for p, g in zip(self.parameters, parts, strict=True)]

    def layers(self) -> list[Layer]:
        """Where the gradients (dL/dW, dL/db) of every layer belong."""
        return list(zip(self.gradients[::2], self.gradients[1::2], strict=True))

    def take_up(self) -> None:
        """Put gradients that others have put in their place where they belong."""
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            if parameter.grad is not gradient and parameter.grad is not None:
                parameter.grad = gradient.copy_(parameter.grad)

    def in_use(self) -> bool:
        """Whether every parameter's `grad` is the one here."""
        return all(map(is_, map(_grad, self.parameters), self.gradients))


_grad = attrgetter("grad")


def clip(gradients: list[Tensor], bound: float, algorithm: str) -> None:
    """Bound gradients in place: ``norm`` scales all of them by min(1, bound / |g|), ``value`` cuts each number.

    |g| is the Euclidean norm of all numbers together; as `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_` do.
    """
    if algorithm == "value":
        torch._foreach_clamp_min_(gradients, -bound)
        torch._foreach_clamp_max_(gradients, bound)
        return
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    torch._foreach_mul_(gradients, (bound / (norm + EPSILON)).clamp(max=1))


class HasFlat(Protocol):
    """What may have its parameters in one tensor."""

    flat: Flat | None


def lighten(optimizer: torch.optim.Optimizer, owner: HasFlat | None = None) -> None:
    """Let plain gradient descent and momentum step by a few kernels over all parameters; leave others as they are.

    Only where `torch.optim.SGD` is used as it comes: no hooks on its steps, no step size in a tensor.

    Args:
        optimizer: whose `step` is replaced.
        owner: of the parameters, which may have them in one tensor.
    """
    plain = type(optimizer) is torch.optim.SGD and not (
        optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    )
    if plain and all(isinstance(g["lr"], float | int) and not g["differentiable"] for g in optimizer.param_groups):

        def step(optimizer: torch.optim.SGD, closure: Callable[[], Any] | None = None) -> Any:
            return _gradient_descent(optimizer, owner, closure)

        optimizer.step = MethodType(step, optimizer)  # type: ignore[method-assign]


def _gradient_descent(
    optimizer: torch.optim.SGD, owner: HasFlat | None, closure: Callable[[], Any] | None = None
) -> Any:
    """w <- w - lr v, with v = gradient + weight_decay w, or its running sum v <- momentum v + (1 - dampening) (...)."""
    result = closure() if closure is not None else None
    flat = owner.flat if owner is not None else None
    for group in optimizer.param_groups:
        simple = not (group["maximize"] or group["weight_decay"] or group["momentum"])
        if simple and flat is not None and len(group["params"]) == len(flat.parameters) and flat.in_use():
            flat.theta.add_(flat.gradient, alpha=-group["lr"])
            continue
        parameters = [p for p in group["params"] if p.grad is not None]
        descent: Any = [p.grad for p in parameters]
        if group["maximize"]:
            descent = torch._foreach_neg(descent)
        if group["weight_decay"] != 0:
            descent = torch._foreach_add(descent, parameters, alpha=group["weight_decay"])
        if group["momentum"] != 0:
            descent = _with_momentum(optimizer, group, parameters, descent)
        torch._foreach_add_(parameters, descent, alpha=-group["lr"])
    return result


def _with_momentum(optimizer: torch.optim.SGD, group: dict[str, Any], parameters: list, descent: Any) -> Any:
    states = [optimizer.state[p] for p in parameters]
    if any(state.get("momentum_buffer") is None for state in states):
        for state, one in zip(states, descent, strict=True):
            state["momentum_buffer"] = one.clone()
        velocity = [state["momentum_buffer"] for state in states]
    else:
        velocity = [state["momentum_buffer"] for state in states]
        torch._foreach_mul_(velocity, group["momentum"])
        torch._foreach_add_(velocity, descent, alpha=1 - group["dampening"])
    return torch._foreach_add(descent, velocity, alpha=group["momentum"]) if group["nesterov"] else velocity
