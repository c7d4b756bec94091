"""Parts of the user's own: `model.loss=mine.power` and `model._target_=mine.Net` name objects in a trusted package."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from steepest.evaluate.names import HIGHER_OF_USER
from steepest.runs.approved import approved
from steepest.runs.trust import locate, object_of_user

KEYS = ("loss", "activation")  # of a model


def use_own(arguments: Mapping[str, Any], trusted: Sequence[str]) -> None:
    """Import the loss and the activation that a model's arguments name, if they are not this package's.

    Raises:
        ValueError: if the package is not trusted, or the object is missing or of another kind.
    """
    for key in KEYS:
        name = arguments.get(key)
        if isinstance(name, str) and "." in name:
            _use(key, name, trusted)


def declare_metrics(evaluation: Any, trusted: Sequence[str]) -> None:
    """Note of which of the user's own metrics higher is better.

    Args:
        evaluation: the group of a config, as plain data.
        trusted: packages that the config trusts.
    """
    metrics = evaluation.get("metrics") if isinstance(evaluation, Mapping) else None
    for name, node in metrics.items() if isinstance(metrics, Mapping) else ():
        HIGHER_OF_USER.discard(name)
        with suppress(ValueError, TypeError, KeyError):  # the check of the config reports it
            if getattr(locate(str(node["_target_"]), "", trusted), "higher_is_better", False):
                HIGHER_OF_USER.add(name)


def without_replaced(plain: dict[str, Any], typed: Sequence[str], trusted: Any) -> dict[str, Any]:
    """Return a config without the keys of a choice whose class was replaced on the command line.

    `model._target_=mine.Net` replaces the class of the chosen model, whose other keys are then left out if `mine.Net`
    does not take them. Keys that the user typed are kept, so that a wrong one is reported.

    Args:
        plain: the config as plain data.
        typed: the user's overrides.
        trusted: packages that the config trusts.
    """
    names, found = {override.split("=", 1)[0].lstrip("+") for override in typed}, dict(plain)
    for group, node in plain.items():
        if f"{group}._target_" not in names or not isinstance(node, dict):
            continue
        target = str(node.get("_target_"))
        try:
            parameters = inspect.signature(locate(target, group, trusted)).parameters
        except (ValueError, TypeError):  # the check of the config reports it
            continue
        if target in approved(group) or any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            continue
        kept = {"_target_", "_partial_", *parameters, *(name.removeprefix(f"{group}.") for name in names)}
        found[group] = {key: value for key, value in node.items() if key in kept}
    return found


def _use(key: str, path: str, trusted: Sequence[str]) -> None:
    from steepest.nets import activations, losses  # here, because they import torch

    where = f"model.{key}={path}"
    found = object_of_user(path, f"model.{key}", trusted)
    kind: type[Any] = losses.Loss if key == "loss" else activations.Activation
    if not isinstance(found, kind):
        raise ValueError(
            f"{where} is a {type(found).__name__}, not a steepest.{kind.__name__}: make it "
            f"steepest.{kind.__name__}(name, forward, backward)"
        )
    (_check_loss if key == "loss" else _check_activation)(where, found)
    known: dict[str, Any] = losses.OF_USER if key == "loss" else activations.OF_USER
    known[path] = found


def _check_loss(where: str, loss: Any) -> None:
    """Compare a loss of 2 x 3 samples with its values for 3 samples, and the shape of its backward."""
    import torch

    p_RNO, y_NH = torch.linspace(-1, 1, 6 * loss.outputs).reshape(2, 3, -1), torch.full((3, 1), 0.3)
    try:
        values_R, single = loss(p_RNO, y_NH), [loss(p_NO, y_NH) for p_NO in p_RNO]
        slope_NO = loss.backward(p_RNO[0], y_NH)
        if not loss(p_RNO[0].clone().requires_grad_(), y_NH).requires_grad:
            raise ValueError("autograd finds no path from its value to the predictions")
        fits = tuple(values_R.shape) == (2,) and torch.allclose(values_R, torch.stack(single))
    except Exception as error:  # a function of the user's may raise any error
        raise ValueError(f"{where} fails on predictions (3, 1): {type(error).__name__}: {error}") from error
    if not fits:
        raise ValueError(
            f"{where} must return one mean for each of the leading dimensions: for predictions (2, 3, 1) two numbers, "
            "such as error.mean((-2, -1))"
        )
    if slope_NO.shape != p_RNO[0].shape:
        raise ValueError(f"{where}: backward returns the shape {tuple(slope_NO.shape)}, not that of the predictions")


def _check_activation(where: str, sigma: Any) -> None:
    import torch

    z = torch.linspace(-1, 1, 6).reshape(2, 3)
    try:
        a = sigma(z)
        slope = sigma.backward(torch.ones_like(z), z, a)
    except Exception as error:  # a function of the user's may raise any error
        raise ValueError(f"{where} fails on a tensor (2, 3): {type(error).__name__}: {error}") from error
    if a.shape != z.shape or slope.shape != z.shape:
        raise ValueError(f"{where} must be elementwise: forward and backward return a tensor of the shape they get")
