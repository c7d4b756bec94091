"""`steepest gradcheck`: compares a model's gradients on its first batch, and prints the result."""

from __future__ import annotations

import logging
from math import prod

import torch
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.table import Table

from steepest.engine.descent import Descent, reason_against
from steepest.evaluate.terminal import print_sentence, terminal
from steepest.lightning.build import first_batch
from steepest.nets.agreement import BOUND, Agreement, compare, hand_derived


def compare_gradients(
    config: DictConfig, overrides: list[str], entries: int, single: bool
) -> tuple[list[Agreement], float]:
    """Compare the gradients of a config's model at its initial weights.

    Args:
        config: the composed config.
        overrides: what the user typed.
        entries: the number of entries of a parameter to compare with finite differences; 0 compares all.
        single: use single instead of double precision.

    Returns:
        The agreement of each parameter's gradients, and the largest error allowed.
    """
    logging.getLogger("steepest").setLevel(logging.WARNING)
    dtype = torch.float32 if single else torch.float64
    predictor, origin_N, windows = first_batch(config, dtype, overrides)
    network, loss = hand_derived(predictor.network, "steepest gradcheck"), predictor.loss
    batch = windows.gather(origin_N)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    kernels = None
    if reason_against(network, loss, optimizer) is None:
        kernels = Descent(network, loss, optimizer, windows).gradient(origin_N.numpy())[1]
    rows = compare(network, loss, batch.x_ND, batch.y_NH, entries=entries or None, used=kernels)
    return rows, BOUND[dtype]


def print_agreement(rows: list[Agreement], bound: float) -> None:
    """Print a table of the errors, and a sentence for each that is too large."""
    table = Table(
        title="Hand-derived gradients, and their largest relative errors",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for name in ("parameter", "shape", "norm", "autograd", "kernel", "finite differences", "entries checked"):
        table.add_column(name, justify="left" if name == "parameter" else "right", overflow="fold")
    for row in rows:
        table.add_row(
            row.parameter,
            " x ".join(map(str, row.shape)),
            f"{row.norm:.6g}",
            f"{row.autograd:.1e}" if row.autograd else "0",
            "-" if row.used is None else f"{row.used:.1e}" if row.used else "0",
            "-" if row.differences is None else f"{row.differences:.1e}",
            f"{row.entries} / {prod(row.shape)}",
            style="bold red" if row.fault(bound, "kernel") else None,
        )
    console = terminal()
    console.print(table)
    limits = f"{bound:g} against autograd and the kernel, {max(bound, rows[0].bound):g}"
    print_sentence(console, f"The largest errors allowed are {limits} against finite differences.")
    faults = [fault for row in rows if (fault := row.fault(bound, "kernel"))]
    for fault in faults:
        print_sentence(console, fault, "bold red")
    if not faults:
        console.print(f"All gradients agree: the largest error is {max(row.largest_error() for row in rows):.1e}.")
