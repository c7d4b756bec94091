"""`Descent`: K updates of one run per call, and a log of each update's results. Lightning-free.

The network and the optimizer are PyTorch's. During training their numbers are views of flat arrays, which the kernel
changes in place. So the `state_dict()` of either is up to date after every call, and a state loaded later is used.

Shapes as in `kernels.py`: K updates, P numbers of all parameters, Q parameter tensors.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from steepest.data.windows import Windows
from steepest.engine.cache import ready
from steepest.engine.pythonlock import released
from steepest.nets.activations import ACTIVATIONS
from steepest.nets.losses import LOSSES, Loss
from steepest.nets.networks import MLP

RATIO_PERIOD = 50  # updates between two measurements of the relative size of a step
SECONDS = 0.2  # approximate limit of a call: Ctrl-C, the progress bar and `max_time` wait no longer
FLOPS = 2e10  # assumed operations per second, until the first call has measured the speed
SINGLE, DOUBLE = torch.float32, torch.float64
OPTIMIZERS: list[type[Optimizer]] = [SGD, Adam, AdamW]  # numbered as in `kernels.py`
# PyTorch's names for each optimizer's state of a parameter tensor; the kernel's `mean_P` and `square_P`.
STATE = {SGD: ("momentum_buffer",), Adam: ("exp_avg", "exp_avg_sq"), AdamW: ("exp_avg", "exp_avg_sq")}


@dataclass(frozen=True)
class Clip:
    """A bound on gradients: ``norm`` scales all of them by min(1, bound / |g|), ``value`` clamps each number."""

    bound: float
    algorithm: str = "norm"

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        """Clip gradients in place, like `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_`."""
        if self.algorithm == "value":
            for gradient in gradients:
                gradient.clamp_(-self.bound, self.bound)
            return
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        for gradient in gradients:
            gradient.mul_((self.bound / (norm + 1e-6)).clamp(max=1))


@dataclass(frozen=True)
class UpdateLog:
    """The results of K updates of a run.

    Attributes:
        done: the number of updates before the first of these.
        losses_K: the loss of each update's batch, at the parameters before the update.
        gradient_norms_KQ: Euclidean norm of each tensor's gradient, before clipping.
        parameter_norms_KQ: Euclidean norm of each parameter tensor after the update.
        entries_KP: all parameters after the update, or None if they are not logged.
        ratios: for every 50th update, updates done and |step| / |parameters before it| of each tensor (Q,).
        times_K: the time of each update, in Unix seconds.
        samples: the number of samples of all these updates.
        batch: the number of samples of the last update.
        refused: why the next update was not applied, or None if no update was refused.
    """

    done: int
    losses_K: np.ndarray
    gradient_norms_KQ: np.ndarray
    parameter_norms_KQ: np.ndarray
    entries_KP: np.ndarray | None
    ratios: list[tuple[int, np.ndarray]]
    times_K: np.ndarray
    samples: int
    batch: int
    refused: str | None = None

    def __len__(self) -> int:
        return len(self.losses_K)


def reason_against(network: torch.nn.Module, loss: Loss, optimizer: Optimizer) -> str | None:
    """Return why the kernel cannot train this, or None if it can."""
    if type(network) is not MLP and not (isinstance(network, MLP) and type(network).forward is MLP.forward):
        return f"network {type(network).__name__} is not an MLP"
    sigmas = network.activations
    if any(ACTIVATIONS.get(s.name) is not s for s in sigmas) or len({s.name for s in sigmas[:-1]}) > 1:
        return "the network has custom activations, or several kinds of them"
    if LOSSES.get(loss.name) is not loss:
        return f"loss {loss.name} is not compiled"
    parameters = list(network.parameters())
    if any(p.device.type != "cpu" for p in parameters):
        return f"the device is {parameters[0].device.type}"
    if {p.dtype for p in parameters} not in ({SINGLE}, {DOUBLE}):
        return f"the precision is {parameters[0].dtype}"
    if type(optimizer) not in OPTIMIZERS:
        return f"optimizer {type(optimizer).__name__} is not one of SGD, Adam and AdamW"
    groups = optimizer.param_groups
    if len(groups) != 1 or list(map(id, groups[0]["params"])) != list(map(id, parameters)):
        return "the optimizer has custom parameter groups"
    for option in ("amsgrad", "differentiable", "capturable"):
        if groups[0].get(option):
            return f"optimizer.{option} works only with PyTorch's optimizers"
    if any(isinstance(groups[0].get(name), Tensor) for name in ("lr", "betas")):
        return "optimizer.lr is a tensor"
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "the optimizer has hooks on its steps"
    return None


def without_dynamo() -> None:
    """Keep PyTorch's optimizers from importing its compiler, which takes more than a second.

    Some methods of optimizers are excluded from compilation, and the first call of each imports the compiler to mark
    the method. This function marks the methods beforehand; nothing here uses the compiler.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict"):
        hidden = getattr(Optimizer, name).__wrapped__
        if not hasattr(hidden, "__dynamo_disable"):
            hidden.__dynamo_disable = hidden


class Descent:
    """Gradient descent of one run by the compiled kernel.

    Args:
        network: trained in place.
        loss: one of `LOSSES`.
        optimizer: over the network's parameters; each call reads its options and updates its state.
        windows: the data, on the CPU, in the network's precision.
        clip: the bound on gradients.
        entries: whether the log holds all parameters after every update.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        loss: Loss,
        optimizer: Optimizer,
        windows: Windows,
        clip: Clip | None = None,
        *,
        entries: bool = False,
    ) -> None:
        reason = reason_against(network, loss, optimizer)
        assert reason is None, reason
        assert isinstance(network, MLP)
        self.parameters, self.optimizer, self.windows = list(network.parameters()), optimizer, windows
        self.clip, self.entries = clip, entries
        dtype = self.parameters[0].dtype
        ready(str(dtype).removeprefix("torch."))
        share_threads(torch.get_num_threads())
        from steepest.engine import functions, kernels

        self.kernels = kernels
        units = np.array([network.layers()[0][0].shape[1], *(len(b) for _, b in network.layers())])
        sigma = list(ACTIVATIONS).index(network.activations[0].name)
        kinds = [functions.SIGMOID, functions.RELU, functions.TANH, functions.HARD_SIGMOID, functions.IDENTITY]
        kinds += [functions.GELU, functions.SILU]
        self.net = (units, kinds[sigma], list(LOSSES).index(loss.name))
        self.rows = (
            windows.inputs_TF.contiguous().numpy(), windows.target_T.contiguous().numpy(), windows.price_T.numpy(),
            windows.window, windows.relative, windows.classes, windows.ordered,
        )  # fmt: skip
        sizes = [p.numel() for p in self.parameters]
        self.stops_Q = np.cumsum(sizes)
        self.flat = {name: torch.zeros(sum(sizes), dtype=dtype) for name in ("theta", "mean", "square", "gradient")}
        self.arrays = {name: tensor.numpy() for name, tensor in self.flat.items()}
        self.views = {
            name: [part.view_as(p) for part, p in zip(flat.split(sizes), self.parameters, strict=True)]
            for name, flat in self.flat.items()
        }
        self.workspace: tuple[np.ndarray, ...] = ()
        self.before_P = np.empty_like(self.arrays["theta"])
        self.rate = FLOPS / (6 * sum(sizes))  # samples a second

    def advance(self, order_N: np.ndarray, batch: int, updates: int, done: int) -> UpdateLog:
        """Do up to `updates` updates: fewer if they would take too long, or if one is refused.

        Args:
            order_N: origins of the samples, one batch after another; only the last batch may be smaller.
            batch: the number of samples in a batch.
            updates: the maximum number of updates.
            done: the number of updates that the run did before.
        """
        count = max(1, min(updates, int(SECONDS * self.rate / batch)))
        order_N = order_N[: count * batch]
        rates_K = np.full(count, float(self.optimizer.param_groups[0]["lr"]))
        theta_P, mean_P, square_P, gradient_P = (self.arrays[n] for n in ("theta", "mean", "square", "gradient"))
        steps, first = self._bind()
        group, tensors = self.optimizer.param_groups[0], len(self.stops_Q)
        betas = group.get("betas", (0.0, 0.0))
        options = np.array([
            group.get("momentum", 0.0), group.get("dampening", 0.0), group.get("nesterov", False),
            group["weight_decay"], *betas, group.get("eps", 0.0), group["maximize"],
        ], float)  # fmt: skip
        kinds = {"norm": self.kernels.CLIP_NORM, "value": self.kernels.CLIP_VALUE}
        clip = (self.kernels.NO_CLIP, 0.0) if self.clip is None else (kinds[self.clip.algorithm], self.clip.bound)
        losses_K, (gradients_KQ, norms_KQ, ratios_KQ) = np.empty(count), np.empty((3, count, tensors))
        entries_KP = np.empty((count if self.entries else 0, len(theta_P)), theta_P.dtype)
        start = time.time()
        # The first step with momentum creates its buffer; Adam's bias correction depends on the number of steps done.
        method = (OPTIMIZERS.index(type(self.optimizer)), options, steps, first, *clip)
        workspace = self._workspace(batch)
        with released():
            clock = time.perf_counter()
            completed = self.kernels.descend(
                theta_P, mean_P, square_P, gradient_P, self.net, self.rows, order_N, batch, rates_K, method, workspace,
                (
                    losses_K, gradients_KQ, norms_KQ, entries_KP, ratios_KQ, RATIO_PERIOD, done, self.stops_Q,
                    self.before_P,
                ),
            )  # fmt: skip
            seconds = time.perf_counter() - clock
        if completed:
            self.rate = completed * batch / max(seconds, 1e-9)
        self._count(steps + completed, momentum=group.get("momentum", 0.0) != 0)
        refused = None
        if completed < count:
            what = "training loss" if not np.isfinite(losses_K[completed]) else "gradient's norm"
            value = losses_K[completed] if what == "training loss" else np.linalg.norm(gradients_KQ[completed])
            refused = f"the {what} is {value:g}"
        measured = range(-done % RATIO_PERIOD, completed, RATIO_PERIOD)
        return UpdateLog(
            done, losses_K[:completed], gradients_KQ[:completed], norms_KQ[:completed],
            entries_KP[:completed] if self.entries else None,
            [(done + k + 1, ratios_KQ[k]) for k in measured],
            start + seconds / max(completed, 1) * np.arange(1, completed + 1),
            min(completed * batch, len(order_N)),
            min(batch, len(order_N) - (completed - 1) * batch) if completed else 0, refused,
        )  # fmt: skip

    def gradient(self, origin_N: np.ndarray) -> tuple[float, list[Tensor]]:
        """The mean loss of these samples and its gradient, a view per parameter, valid until the next call."""
        self._bind()
        loss = self.kernels.loss_and_gradient(
            self.arrays["theta"],
            *self.net,
            self.rows,
            origin_N,
            self._workspace(len(origin_N)),
            self.arrays["gradient"],
        )
        return loss, self.views["gradient"]

    def predict(self, origin_N: np.ndarray) -> Tensor:
        """Outputs (N, O) in model space. The outputs of a sample do not depend on the other samples."""
        self._bind()
        out_NO = torch.empty(len(origin_N), int(self.net[0][-1]), dtype=self.flat["theta"].dtype)
        units, sigma, _ = self.net
        workspace, outputs_NO = self._workspace(0), out_NO.numpy()
        with released():
            self.kernels.predict(self.arrays["theta"], units, sigma, self.rows, origin_N, workspace, outputs_NO)
        return out_NO

    def _workspace(self, batch: int) -> tuple[np.ndarray, ...]:
        """Arrays for a batch of this size or a block of predictions."""
        units = self.net[0]
        rows = max(batch, self.kernels.ROWS)
        if not self.workspace or len(self.workspace[0]) < rows:
            kind = self.arrays["theta"].dtype
            shapes: Any = [(rows, units[0]), (rows, self.windows.horizon), *[rows * int(units[1:].sum())] * 3]
            self.workspace = tuple(np.empty(shape, kind) for shape in shapes)
        return self.workspace

    def _bind(self) -> tuple[int, bool]:
        """Copy in parameters and states that were replaced; return the steps done and whether momentum is new."""
        for parameter, view in zip(self.parameters, self.views["theta"], strict=True):
            if parameter.data_ptr() != view.data_ptr():
                view.copy_(parameter.detach())
                parameter.data = view
        state, first = self.optimizer.state, True
        for flat, name in zip(("mean", "square"), STATE[type(self.optimizer)], strict=False):
            for parameter, view in zip(self.parameters, self.views[flat], strict=True):
                value = state[parameter].get(name)
                first = first and value is None
                if value is not None and value.data_ptr() != view.data_ptr():
                    view.copy_(value)
                    state[parameter][name] = view
        steps = state[self.parameters[0]].get("step", 0.0)
        return int(steps), first

    def _count(self, steps: int, *, momentum: bool) -> None:
        """Set the optimizer's state as if it had done these steps."""
        kind = type(self.optimizer)
        for parameter, gradient in zip(self.parameters, self.views["gradient"], strict=True):
            parameter.grad = gradient
        self.optimizer._opt_called = True  # type: ignore[attr-defined]  # schedulers check whether it has stepped
        if kind is SGD and not momentum:
            return
        for flat, name in zip(("mean", "square"), STATE[kind], strict=False):
            for parameter, view in zip(self.parameters, self.views[flat], strict=True):
                self.optimizer.state[parameter][name] = view
        if kind is not SGD:
            for parameter in self.parameters:
                self.optimizer.state[parameter]["step"] = torch.tensor(float(steps))


@cache
def share_threads(count: int) -> None:
    """Give the BLAS of NumPy and SciPy as many threads as PyTorch: small products are slower with more."""
    import scipy.linalg.cython_blas  # noqa: F401  # Numba uses this BLAS; only a loaded library can be limited
    from threadpoolctl import threadpool_limits

    threadpool_limits(count, "blas")


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use this number of threads for a while."""
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, "blas"):
            yield
    finally:
        torch.set_num_threads(before)
