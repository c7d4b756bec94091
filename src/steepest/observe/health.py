"""The health of units and machine: dead relus, saturated sigmoids, memory in use. No Lightning."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from steepest.nets.activations import Activation
from steepest.nets.networks import Layer, forward

# The distance from its middle value at which a bounded activation has a twentieth of its largest slope, and that
# middle value: sigmoid's slope is a (1 - a) = 1/4 - (a - 1/2)^2, tanh's is 1 - a^2; the ramp's is 0 at its ends.
SATURATED = {"sigmoid": ((0.95 / 4) ** 0.5, 0.5), "tanh": (0.95**0.5, 0.0), "hard_sigmoid": (0.5, 0.5)}


@torch.no_grad()
def unit_health(layers: Sequence[Layer], activations: Sequence[Activation], x_ND: Tensor) -> dict[str, float]:
    """For each hidden layer, the share of dead relu units or of saturated outputs over these samples.

    Returns:
        ``dead/layer1``, ... or ``saturated/layer1``, ...
    """
    found = {}
    trace = forward(x_ND, layers, activations)
    for number, (sigma, a_NH) in enumerate(zip(activations[:-1], trace.a[1:], strict=False), start=1):
        if sigma.name == "relu":
            found[f"dead/layer{number}"] = float(1 - a_NH.any(0).double().mean())
        elif sigma.name in SATURATED:
            distance, middle = SATURATED[sigma.name]
            found[f"saturated/layer{number}"] = float(((a_NH - middle).abs() >= distance).double().mean())
    return found


def memory(device: torch.device) -> float | None:
    """Peak memory in MiB: of tensors on a GPU, of the process on a CPU. None on Windows, where it is not available."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":  # on Linux, `ru_maxrss` also counts the peak of the parent process
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**10
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
