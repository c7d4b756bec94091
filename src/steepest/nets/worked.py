"""A worked example: each number of a small net's forward, backward and update, with its formula.

The numbers come from `networks.forward`, `networks.errors` and `networks.backward`; this file only prints them.
Names: x_i is an input, z2_1 the sum in unit 1 of layer 2, a2_1 its output, W2_12 the weight from unit 2 of the layer
below to unit 1, y_1 a target. With several samples n: x_n,i and so on.

A formula is printed with names, then with numbers. Both come from the same template. Each part of a product passes
through `_factor`, which adds the brackets that it needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from steepest.nets.activations import ACTIVATIONS
from steepest.nets.losses import LOSSES
from steepest.nets.networks import Layer, backward, errors, forward

Numbers = Annotated[list[float], Field(min_length=1)]
SHOWN = "{:.9g}"
FORMULA = {
    "identity": "{z}",
    "sigmoid": "1 / (1 + exp(-{z}))",
    "tanh": "tanh({z})",
    "relu": "max(0, {z})",
    "hard_sigmoid": "max(0, {z} / 6 + 1 / 2) - max(0, {z} / 6 - 1 / 2)",
}
SLOPE = {
    "identity": "1",
    "sigmoid": "{a} * (1 - {a})",
    "tanh": "1 - {a}^2",
    "relu": "1 if {z} > 0 else 0",
    "hard_sigmoid": "1 / 6 if -3 < {z} <= 3 else 0",
}
TERM = {"mse": "({p} - {y})^2", "mae": "abs({p} - {y})", "huber": "huber({p} - {y})"}
TERM_SLOPE = {"mse": "2 * ({p} - {y})", "mae": "sign({p} - {y})", "huber": "max(-1, min(1, {p} - {y}))"}
HUBER = "; huber(e) = e^2 / 2 if abs(e) <= 1, otherwise abs(e) - 1/2"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ExampleLayer(_Strict):
    """One layer of an example.

    Attributes:
        W: a row of weights for each unit.
        b: a bias for each unit, or one number that all units share.
        activation: a name in `ACTIVATIONS`.
        fixed_bias: do not update b.
    """

    W: Annotated[list[Numbers], Field(min_length=1)]
    b: Numbers | float
    activation: Literal["sigmoid", "relu", "tanh", "hard_sigmoid", "identity"] = "sigmoid"
    fixed_bias: bool = False


class Example(_Strict):
    """A net, its samples and a step size: the contents of a YAML file for `steepest gradcheck --explain`.

    Attributes:
        inputs: one sample, or a list of samples.
        targets: the sample's targets, or a list of them.
        step: the step size of the update.
        loss: ``mse``, ``mae`` or ``huber``, each the mean over samples and outputs.
        layers: the layers from the input up.
    """

    inputs: Numbers | list[Numbers]
    targets: Numbers | list[Numbers]
    step: Annotated[float, Field(gt=0)] = 0.5
    loss: Literal["mse", "mae", "huber"] = "mse"
    layers: Annotated[list[ExampleLayer], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> Example:
        x, y = _rows(self.inputs), _rows(self.targets)
        if len(x) != len(y) or len({len(row) for row in x}) > 1 or len({len(row) for row in y}) > 1:
            raise ValueError(
                f"inputs ({len(x)} samples) and targets ({len(y)}) must have as many rows, all of the same length"
            )
        width = len(x[0])
        for k, layer in enumerate(self.layers, start=1):
            if any(len(row) != width for row in layer.W):
                raise ValueError(f"layer {k}: each row of W needs {width} numbers, one per input of the layer")
            width = len(layer.W)
            if isinstance(layer.b, list) and len(layer.b) != width:
                raise ValueError(f"layer {k}: b needs {width} numbers, one per unit, or one number for all units")
        if len(y[0]) != width:
            raise ValueError(f"targets needs {width} numbers per sample, one per unit of the last layer")
        return self


def read_example(path: Path) -> Example:
    """Read the example in a YAML file.

    Raises:
        ValueError: names the file, each faulty key and what is wrong with it.
    """
    try:
        text = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read as YAML: {error}") from error
    try:
        return Example.model_validate(text)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, e['loc'])) or 'example'}: {e['msg']}" for e in error.errors()]
        raise ValueError("\n".join([f"{path}:", *dict.fromkeys(lines)])) from error


class Worked:
    """An example, computed in double precision.

    Attributes:
        trace: the values of the forward.
        loss: L before the update.
        errors: dL/dz of each layer.
        gradients: (dL/dW, dL/db) of each layer; dL/db is a sum over the units if they share one bias.
        after: (W, b) of each layer after the update.
        loss_after: L after the update.
        autograd_gap: the largest absolute difference between these gradients and autograd's.
    """

    def __init__(self, example: Example) -> None:
        self.example = example
        double = {"dtype": torch.float64}
        self.x = torch.tensor(_rows(example.inputs), **double)  # type: ignore[arg-type]
        self.y = torch.tensor(_rows(example.targets), **double)  # type: ignore[arg-type]
        # A shared bias is one number: its gradient is the sum of the units' gradients.
        self.own = [
            (torch.tensor(layer.W, **double), torch.tensor(layer.b, **double))  # type: ignore[arg-type]
            for layer in example.layers
        ]
        kinds = [ACTIVATIONS[layer.activation] for layer in example.layers]
        loss = LOSSES[example.loss]
        layers = _spread(self.own)
        self.trace = forward(self.x, layers, kinds)
        slope = loss.backward(self.trace.a[-1], self.y)
        self.slope, self.loss = slope, loss(self.trace.a[-1], self.y)
        self.errors = errors(slope, self.trace, layers, kinds)
        self.gradients = [
            (dW, db if b.dim() else db.sum())
            for (dW, db), (_, b) in zip(backward(slope, self.trace, layers, kinds), self.own, strict=True)
        ]
        self.after = [
            (W - example.step * dW, b if layer.fixed_bias else b - example.step * db)
            for (W, b), (dW, db), layer in zip(self.own, self.gradients, example.layers, strict=True)
        ]
        self.loss_after = loss(forward(self.x, _spread(self.after), kinds).a[-1], self.y)
        leaves = [(W.clone().requires_grad_(), b.clone().requires_grad_()) for W, b in self.own]
        value = loss(forward(self.x, _spread(leaves), kinds).a[-1], self.y)
        auto = torch.autograd.grad(value, [p for layer in leaves for p in layer])
        mine = [g for layer in self.gradients for g in layer]
        self.autograd_gap = max((a - b).abs().max().item() for a, b in zip(mine, auto, strict=True))

    def lines(self) -> Iterator[tuple[str, str, str]]:
        """Yield (name, formula with its numbers, value) for each step. A name without the others is a heading."""
        yield f"Forward{HUBER if self.example.loss == 'huber' else ''}", "", ""
        yield from self._forward()
        yield "Backward: the chain rule, from the loss down", "", ""
        yield from self._backward()
        fixed = ", ".join(f"b{k}" for k, layer in enumerate(self.example.layers, start=1) if layer.fixed_bias)
        heading = f"Update: each parameter minus step times gradient, step {_show(self.example.step)}"
        yield heading + (f"; fixed: {fixed}" if fixed else ""), "", ""
        yield from self._update()

    def _forward(self) -> Iterator[tuple[str, str, str]]:
        for k, (layer, (W, b)) in enumerate(zip(self.example.layers, self.own, strict=True), start=1):
            for n, unit in product(range(len(self.x)), range(len(W))):
                below, at = self.trace.a[k - 1][n], f"{self._n(n)}{unit + 1}"
                bias = (f"b{k}_{unit + 1}", b[unit]) if b.dim() else (f"b{k}", b)
                terms = [
                    _product((f"W{k}_{unit + 1}{i + 1}", W[unit, i]), (self._a(k - 1, n, i), below[i]))
                    for i in range(len(below))
                ]
                z, a = self.trace.z[k - 1][n, unit], self.trace.a[k][n, unit]
                yield f"z{k}_{at}", _sum([*terms, _product(bias)]), _show(z)
                yield self._a(k, n, unit), _both(FORMULA[layer.activation], z=(f"z{k}_{at}", z)), _show(a)
        names, numbers = zip(*(pair for _, _, pair in self._pairs(TERM)), strict=True)
        sides = [f"{_factor(' + '.join(side))} / {self.y.numel()}" for side in (names, numbers)]
        yield "L", _equation(*sides), _show(self.loss)

    def _backward(self) -> Iterator[tuple[str, str, str]]:
        top, count = len(self.own), self.y.numel()
        for n, o, (names, numbers) in self._pairs(TERM_SLOPE):
            sides = [f"{side} / {count}" for side in (names, numbers)]
            yield f"dL/d{self._a(top, n, o)}", _equation(*sides), _show(self.slope[n, o])
        incoming = self.slope
        for k in range(top, 0, -1):
            if k < top:
                incoming = self.errors[k] @ self.own[k][0]
                yield from self._through_weights(k, incoming)
            yield from self._through_activation(k, incoming)
            yield from self._slopes_of_parameters(k)

    def _through_weights(self, k: int, incoming: Tensor) -> Iterator[tuple[str, str, str]]:
        above = self.own[k][0]
        for n, unit in product(range(len(self.x)), range(above.shape[1])):
            terms = [
                _product(
                    (f"dL/dz{k + 1}_{self._n(n)}{o + 1}", self.errors[k][n, o]),
                    (f"W{k + 1}_{o + 1}{unit + 1}", above[o, unit]),
                )
                for o in range(len(above))
            ]
            yield f"dL/d{self._a(k, n, unit)}", _sum(terms), _show(incoming[n, unit])

    def _through_activation(self, k: int, incoming: Tensor) -> Iterator[tuple[str, str, str]]:
        slope = SLOPE[self.example.layers[k - 1].activation]
        for n, unit in product(range(len(self.x)), range(incoming.shape[1])):
            z, a, at = self.trace.z[k - 1][n, unit], self.trace.a[k][n, unit], f"z{k}_{self._n(n)}{unit + 1}"
            name = self._a(k, n, unit)
            formula = f"{{incoming}} * {_factor(slope)}"
            values = {"incoming": (f"dL/d{name}", incoming[n, unit]), "z": (at, z), "a": (name, a)}
            yield f"dL/d{at}", _both(formula, **values), _show(self.errors[k - 1][n, unit])

    def _slopes_of_parameters(self, k: int) -> Iterator[tuple[str, str, str]]:
        (W, b), (dW, db), error = self.own[k - 1], self.gradients[k - 1], self.errors[k - 1]
        samples = range(len(self.x))
        for unit, i in product(*map(range, W.shape)):
            terms = [
                _product(
                    (f"dL/dz{k}_{self._n(n)}{unit + 1}", error[n, unit]),
                    (self._a(k - 1, n, i), self.trace.a[k - 1][n, i]),
                )
                for n in samples
            ]
            yield f"dL/dW{k}_{unit + 1}{i + 1}", _sum(terms), _show(dW[unit, i])
        shared = [(f"b{k}", range(len(W)), db)]
        for name, units, value in shared if not b.dim() else [(f"b{k}_{u + 1}", [u], db[u]) for u in range(len(W))]:
            terms = [_product((f"dL/dz{k}_{self._n(n)}{u + 1}", error[n, u])) for n in samples for u in units]
            yield f"dL/d{name}", _sum(terms), _show(value)

    def _update(self) -> Iterator[tuple[str, str, str]]:
        step = _show(self.example.step)
        for k, layer in enumerate(self.example.layers, start=1):
            for old, slope, new, letter in zip(
                self.own[k - 1], self.gradients[k - 1], self.after[k - 1], "Wb", strict=True
            ):
                for index in product(*map(range, old.shape)):
                    name = f"{letter}{k}" + ("_" + "".join(str(i + 1) for i in index) if index else "")
                    fixed = letter == "b" and layer.fixed_bias
                    formula = "{old}" if fixed else f"{{old}} - {step} * {{slope}}"
                    values = {"old": (name, old[index]), "slope": (f"dL/d{name}", slope[index])}
                    yield f"{name} new", name if fixed else _both(formula, **values), _show(new[index])

    def _pairs(self, template: dict[str, str]) -> Iterator[tuple[int, int, tuple[str, str]]]:
        """Yield (n, o, the formula with names and with numbers) for each output p and its target y."""
        formula, top = template[self.example.loss], len(self.own)
        for n, o in product(*map(range, self.y.shape)):
            p, y = (self._a(top, n, o), self.trace.a[-1][n, o]), (f"y_{self._n(n)}{o + 1}", self.y[n, o])
            yield n, o, _sides(formula, p=p, y=y)

    def _a(self, layer: int, n: int, unit: int) -> str:
        return f"{'x' if layer == 0 else f'a{layer}'}_{self._n(n)}{unit + 1}"

    def _n(self, n: int) -> str:
        return f"{n + 1}," if len(self.x) > 1 else ""


def _sides(template: str, **values: tuple[str, Tensor]) -> tuple[str, str]:
    """The template filled with names, and with numbers. Each value is a name and a number."""
    names = {key: name for key, (name, _) in values.items()}
    numbers = {key: _factor(_show(number)) for key, (_, number) in values.items()}
    return template.format(**names), template.format(**numbers)


def _both(template: str, **values: tuple[str, Tensor]) -> str:
    """The template filled with names = the template filled with numbers."""
    return _equation(*_sides(template, **values))


def _product(*factors: tuple[str, Tensor]) -> tuple[str, str]:
    """The product of these values, with names and with numbers."""
    names, numbers = zip(*factors, strict=True)
    return " * ".join(names), " * ".join(_factor(_show(number)) for number in numbers)


def _sum(terms: list[tuple[str, str]]) -> str:
    """The sum of these terms with names = the sum with numbers."""
    return _equation(*(" + ".join(side) for side in zip(*terms, strict=True)))


def _equation(names: str, numbers: str) -> str:
    """``names = numbers``; the names alone if they are one value, because the value follows them."""
    numbers = re.sub(r"^\((-[^()]*)\)(?!\^)", r"\1", numbers)  # a negative number in front needs no brackets
    return f"{names} = {numbers}" if re.search(r"[ (]", numbers) else names


def _factor(text: str) -> str:
    """A part of a product, in brackets if it is a sum, a difference, a condition or a negative number."""
    outside, inner = text, ""
    while outside != inner:
        inner, outside = outside, re.sub(r"\([^()]*\)", "", outside)
    loose = outside.startswith("-") or re.search(r" [+-] | if ", outside)
    return f"({text})" if loose else text


def _spread(layers: list[Layer]) -> list[Layer]:
    """The layers with each shared bias expanded to one number per unit."""
    return [(W, b if b.dim() else b.expand(len(W))) for W, b in layers]


def _rows(values: list) -> list[list[float]]:
    return values if isinstance(values[0], list) else [values]


def _show(value: Tensor | float) -> str:
    return SHOWN.format(float(value))


DEFAULT = Example(
    inputs=[1.0, -2.0],
    targets=[0.5, -1.0],
    step=0.5,
    layers=[
        ExampleLayer(W=[[0.5, -0.25], [-1.0, 0.75]], b=[0.1, -0.2], activation="sigmoid"),
        ExampleLayer(W=[[1.0, -0.5], [0.25, 2.0]], b=[0.0, 0.3], activation="identity"),
    ],
)
