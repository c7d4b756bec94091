"""Reads a trained model from a checkpoint: the network, its loss, and how its data are scaled and cut into samples."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from pydantic import TypeAdapter
from torch import Tensor, nn
from typing_extensions import TypedDict

from steepest.data.faults import Faults
from steepest.data.ranges import Count
from steepest.data.sources import Transform
from steepest.evaluate.statistics import PARAMETERS
from steepest.nets.losses import Loss, loss_of
from steepest.nets.networks import MLP
from steepest.nets.regularised import RegularisedMLP
from steepest.nets.window_linear import WindowLinear
from steepest.runs.checkpoints import DATA, PREFIX, load
from steepest.runs.config import GIVEN, checked_node
from steepest.runs.environment import resolved
from steepest.runs.own import use_own

MODEL = "steepest_model"  # the part of the config that builds a model of the user's own

SCALER = ("input_mean_SF", "input_scale_SF", "mean_S", "scale_S", "unit_S", "change_S", "change_rms_S", "slope_S")


class Settings(TypedDict):
    """How the run cuts its data into samples: the entries ``windows`` of `PreparedData.state_dict`."""

    names: list[str]
    input_names: list[str]
    window: Count
    horizon: Count
    transform: Transform
    relative: bool
    classes: bool
    ordered: bool
    unit: str


@dataclass(frozen=True)
class ModelFile:
    """The content of a checkpoint from which a model predicts.

    Attributes:
        network, loss: the trained network, and the loss that it was trained with.
        settings: how the data are cut into samples.
        state: `PreparedData.state_dict()`, which contains the scaler.
        fitted: what the baselines have learned from the training part.
    """

    network: nn.Module
    loss: Loss
    settings: Settings
    state: dict[str, Any]
    fitted: dict[str, Tensor]


def read_model(path: Path, trust: Sequence[str] = ()) -> ModelFile:
    """Read a checkpoint.

    Args:
        path: the file.
        trust: packages of the user's own whose model it may contain.

    Raises:
        ValueError: if the file is not a complete checkpoint of a run, or its parts do not fit together.
    """
    content = load(path)
    try:
        state, options = content[DATA], content["hyper_parameters"]
        settings = TypeAdapter(Settings).validate_python(state["windows"])
        if MODEL not in options:
            _use_own(path, options, trust)
        loss = loss_of(options["loss"])
        if settings["classes"] != (loss.name == "cross_entropy"):
            raise ValueError(f"the loss {loss.name} does not fit the targets")
        _check_sizes(settings, state["scaler"], state["fitted"], options["inputs"], options["outputs"], loss)
        of_user = MODEL in options
        make: Callable[..., nn.Module] = partial(_own_module, path, trust=trust) if of_user else _network
        network = make(options, settings["window"], content["state_dict"])
        return ModelFile(network, loss, settings, state, state["fitted"])
    except _Untrusted as error:
        raise ValueError(str(error)) from None
    except (KeyError, TypeError, RuntimeError, ValueError, AttributeError, StopIteration) as error:
        raise ValueError(f"{path} is not a checkpoint of a run of train.py ({error!r}): restore a copy") from error


def _check_sizes(
    settings: Settings,
    scaler: Mapping[str, Tensor],
    fitted: Mapping[str, Tensor],
    inputs: int,
    outputs: int,
    loss: Loss,
) -> None:
    """Raise `ValueError` if the parts of a checkpoint do not fit together."""
    series, rows = len(settings["names"]), len(settings["input_names"])
    expected = {name: (series, rows) if name.endswith("SF") else (series,) for name in SCALER}
    expected |= {
        "inputs": (settings["window"] * rows,),
        "outputs": (settings["horizon"] * loss.outputs,),
        "share_of_ones": (settings["horizon"],),
        **dict.fromkeys(("logistic", "least_squares", "ridge"), (inputs + 1, settings["horizon"])),
        **{name: (series, len(parameters)) for name, parameters in PARAMETERS.items()},
    }
    found = {name: tuple(scaler[name].shape) for name in SCALER} | {"inputs": (inputs,), "outputs": (outputs,)}
    learned = ("share_of_ones", "logistic") if settings["classes"] else ("least_squares", "ridge")
    found |= {name: tuple(fitted[name].shape) for name in (*learned, *(PARAMETERS.keys() & fitted.keys()))}
    expected = {name: expected[name] for name in found}
    if wrong := [name for name in expected if expected[name] != found[name]]:
        raise ValueError(f"{wrong[0]} has the shape {found[wrong[0]]} in place of {expected[wrong[0]]}")


def _use_own(path: Path, options: Mapping[str, Any], trust: Sequence[str]) -> None:
    try:
        use_own(options, trust)
    except ValueError as error:
        raise _Untrusted(f"{path}: {error} (here: --trust PACKAGE, or in Python trust=[PACKAGE])") from None


class _Untrusted(Exception):
    """The checkpoint's model is not one that may be imported."""


def _own_module(
    path: Path, options: Mapping[str, Any], window: int, state: Mapping[str, Tensor], trust: Sequence[str]
) -> nn.Module:
    """A model of one of the user's packages, or of this one, built from the part of the config in a checkpoint."""
    faults = Faults(str(path))
    plain, _ = resolved(OmegaConf.create({"model": options[MODEL]}))
    node = checked_node(plain["model"], "model", "model", trust, faults, GIVEN["model"])
    try:
        faults.raise_if_any()
    except ValueError as error:
        raise _Untrusted(f"{error} (here: --trust PACKAGE, or in Python trust=[PACKAGE])") from None
    given = {"inputs": options["inputs"], "outputs": options["outputs"], "window": window}
    given |= {"optimizer": partial(torch.optim.SGD, lr=0.01), "scheduler": None}
    taken = inspect.signature(node.target).parameters
    module: nn.Module = node(**{name: value for name, value in given.items() if name in taken})
    floats = [value.dtype for value in state.values() if value.is_floating_point()]
    module.to(floats[0]).load_state_dict(state)
    network = getattr(module, "network", None) if all(name.startswith(PREFIX) for name in state) else None
    return (network if isinstance(network, nn.Module) else module).eval()


def _network(options: Mapping[str, Any], window: int, state: Mapping[str, Tensor]) -> nn.Module:
    """The network of a checkpoint, with its parameters in their precision."""
    network: nn.Module
    if "window" in options:
        sizes = (options["inputs"], options["outputs"], window)
        undo = options["loss"] != "cross_entropy"
        network = WindowLinear(*sizes, options["normalise"], options["trend"], undo=undo)
    else:
        hidden, activation = options.get("hidden", ()), options.get("activation", "identity")
        net = (options["inputs"], hidden, options["outputs"], activation)
        dropout, normed = options.get("dropout", 0.0), options.get("weight_norm", False)
        network = RegularisedMLP(MLP(*net), dropout, normed=normed) if dropout or normed else MLP(*net)
    weights = {name.removeprefix("network."): value for name, value in state.items()}
    network.to(next(iter(weights.values())).dtype).load_state_dict(weights)
    return network.eval()
