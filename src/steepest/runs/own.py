"""Losses and activations of the user's own: `model.loss=mine.power` names an object in a trusted package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steepest.runs.trust import object_of_user

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
