"""The hand-derived formulas of `nets/` as compiled loops: K updates of one run in one call.

This file does not import torch, so another process can compile it while this one imports torch.

Shapes: T rows of the data, F inputs per day, L look-back, D = L * F inputs, B samples of a batch, H horizon, O outputs,
K updates, P numbers of all parameters, Q parameter tensors (W1, b1, W2, ...). All parameters of a run are in one array
(P,); layers are views of it. `units` holds D and then the units of each layer; the last entry is O.

BLAS computes products of matrices; every other step is a plain loop.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from steepest.engine.compiler import INSIDE, entry, loop
from steepest.engine.functions import IDENTITY, MSE, activate, loss_and_slope, to_slope_of_z

SGD, ADAM, ADAMW, NO_STEP = range(4)
NO_CLIP, CLIP_NORM, CLIP_VALUE = range(3)
# Indices into the array of an optimizer's options.
MOMENTUM, DAMPENING, NESTEROV, DECAY, BETA1, BETA2, EPSILON, MAXIMIZE = range(8)
CLIP_EPSILON = 1e-6  # torch.nn.utils.clip_grad_norm_ adds this to the norm it divides by
ROWS = 256  # rows of every block of predictions: BLAS's result for a row depends on the number of rows


@loop
def _gather(rows, origin_N, x_ND, y_NH):
    """Inputs and targets of the samples with these origins, as in `data/windows.py`. A window is a slice of the rows.

    `rows` is (inputs (T, F), targets (T,), prices (T,), look-back, whether relative, whether classes, whether ordered).
    """
    inputs_TF, target_T, price_T, window, relative, classes, ordered = rows
    width = inputs_TF.shape[1]
    flat = inputs_TF.reshape(-1)
    after = 1 if ordered else 0
    for n in range(origin_N.size):
        origin = origin_N[n]
        start = (origin - window + 1) * width
        source_D, x_D = flat[start : start + window * width], x_ND[n]
        for d in range(x_D.size):  # on slices, because an index that may be negative prevents vectorisation
            x_D[d] = source_D[d]
        for h in range(y_NH.shape[1]):
            row = origin + after + h
            if not classes:
                y_NH[n, h] = target_T[row]
            elif ordered:
                y_NH[n, h] = 1 if price_T[row] > price_T[origin] else 0
            else:
                y_NH[n, h] = 1 if price_T[row] != 0 else 0
        if relative:
            last = target_T[origin]
            for day in range(window):
                x_ND[n, day * width] -= last
            if not classes:
                for h in range(y_NH.shape[1]):
                    y_NH[n, h] -= last


@njit(**{**INSIDE, "_nrt": True})  # `np.dot` requires it
def _dot(left, right, out):
    """out = left right, by BLAS."""
    np.dot(left, right, out)


@loop
def _count(units):
    """The number of outputs of all layers together."""
    total = 0
    for k in range(1, units.size):
        total += units[k]
    return total


@loop
def _forward(theta_P, units, sigma, x_ND, z_M, a_M):
    """z_k = W_k a_(k-1) + b_k, a_k = sigma_k(z_k) for every layer, one after the other in `z_M` and `a_M`."""
    count = x_ND.shape[0]
    below_NI, place, used = x_ND, 0, 0
    for k in range(units.size - 1):
        inputs, outputs = units[k], units[k + 1]
        W_OI = theta_P[place : place + outputs * inputs].reshape(outputs, inputs)
        b_O = theta_P[place + outputs * inputs : place + outputs * (inputs + 1)]
        z_m = z_M[used : used + count * outputs]
        z_NO = z_m.reshape(count, outputs)
        _dot(below_NI, W_OI.T, z_NO)
        for n in range(count):
            for o in range(outputs):
                z_NO[n, o] += b_O[o]
        a_m = a_M[used : used + count * outputs]
        activate(sigma if k < units.size - 2 else IDENTITY, z_m, a_m)
        below_NI = a_m.reshape(count, outputs)
        place += outputs * (inputs + 1)
        used += count * outputs


@loop
def _backward(theta_P, units, sigma, x_ND, z_M, a_M, g_M, gradient_P):
    """The gradients of all parameters, for dL/dp at the end of `g_M`, from the top layer down: `nets/networks.py`."""
    count, last = x_ND.shape[0], units.size - 2
    used = count * _count(units)
    place = theta_P.size
    for k in range(last, -1, -1):
        inputs, outputs = units[k], units[k + 1]
        used -= count * outputs
        place -= outputs * (inputs + 1)
        g_m = g_M[used : used + count * outputs]
        if k < last:
            to_slope_of_z(sigma, g_m, z_M[used : used + count * outputs], a_M[used : used + count * outputs])
        g_NO = g_m.reshape(count, outputs)
        below = used - count * inputs
        below_NI = a_M[below:used].reshape(count, inputs) if k > 0 else x_ND
        _dot(g_NO.T, below_NI, gradient_P[place : place + outputs * inputs].reshape(outputs, inputs))
        db_O = gradient_P[place + outputs * inputs : place + outputs * (inputs + 1)]
        for o in range(outputs):
            db_O[o] = 0
        for n in range(count):
            for o in range(outputs):
                db_O[o] += g_NO[n, o]
        if k > 0:
            W_OI = theta_P[place : place + outputs * inputs].reshape(outputs, inputs)
            slope_NI = g_M[below:used].reshape(count, inputs)
            if outputs == 1:  # nothing to sum
                for n in range(count):
                    for i in range(inputs):
                        slope_NI[n, i] = g_NO[n, 0] * W_OI[0, i]
            else:
                _dot(g_NO, W_OI, slope_NI)


@loop
def _loss_and_gradient(theta_P, units, sigma, loss, rows, origin_N, workspace, gradient_P):
    """The mean loss of a batch; writes its gradient to `gradient_P`. `workspace` holds arrays for x, y, z, a and g."""
    x_BD, y_BH, z_M, a_M, g_M = workspace
    count, outputs = origin_N.size, units[units.size - 1]
    x_ND, y_NH = x_BD[:count], y_BH[:count]
    _gather(rows, origin_N, x_ND, y_NH)
    _forward(theta_P, units, sigma, x_ND, z_M, a_M)
    total = count * _count(units)
    top = total - count * outputs
    p_NO, g_NO = a_M[top:total].reshape(count, outputs), g_M[top:total].reshape(count, outputs)
    value = loss_and_slope(loss, p_NO, y_NH, g_NO)
    _backward(theta_P, units, sigma, x_ND, z_M, a_M, g_M, gradient_P)
    return value


@loop
def _copy(source_M, target_M):
    """Copy element by element. (`target_M[:] = source_M` would also compile an error message about the shapes.)"""
    for i in range(target_M.size):
        target_M[i] = source_M[i]


@loop
def _norms(numbers_P, stops_Q, norm_Q):
    """The Euclidean norm of each parameter tensor's numbers."""
    start = 0
    for q in range(stops_Q.size):
        part = numbers_P[start : stops_Q[q]]
        total = float(np.dot(part, part))
        if not math.isfinite(total):  # in single precision, squares overflow from 1e19 on
            total = 0.0
            for number in part:
                total += float(number) * float(number)
        norm_Q[q] = math.sqrt(total)
        start = stops_Q[q]


@loop
def _clip(kind, bound, gradient_P, norm):
    """Clip in place, like `torch.nn.utils.clip_grad_norm_` and `clip_grad_value_`."""
    limit = gradient_P.dtype.type(bound)
    if kind == CLIP_NORM:
        share = gradient_P.dtype.type(min(1.0, bound / (norm + CLIP_EPSILON)))
        for i in range(gradient_P.size):
            gradient_P[i] *= share
    elif kind == CLIP_VALUE:
        for i in range(gradient_P.size):
            gradient_P[i] = min(max(gradient_P[i], -limit), limit)


@loop
def _step(optimizer, options, rate, done, first, theta_P, g_P, mean_P, square_P):
    """One step of PyTorch's optimizer of this name (its documentation has the formulas).

    `done` counts the steps before this one; `first` is 1 if there is no momentum yet.
    """
    kind = theta_P.dtype.type
    lr, sign = kind(rate), kind(-1.0 if options[MAXIMIZE] != 0 else 1.0)
    decay, keep = kind(options[DECAY]), kind(1)
    if optimizer == ADAMW:  # weight decay shrinks the parameters and is not added to the gradient
        decay, keep = kind(0), kind(1.0 - rate * options[DECAY])
    if optimizer == SGD:
        momentum, fresh, nesterov = kind(options[MOMENTUM]), kind(1.0 - options[DAMPENING]), options[NESTEROV] != 0
        if options[MOMENTUM] == 0:
            for i in range(g_P.size):
                theta_P[i] -= lr * (sign * g_P[i] + decay * theta_P[i])
        else:
            for i in range(g_P.size):
                g = sign * g_P[i] + decay * theta_P[i]
                v = g if first else momentum * mean_P[i] + fresh * g
                mean_P[i] = v
                theta_P[i] -= lr * (g + momentum * v if nesterov else v)
    else:
        b1, b2 = options[BETA1], options[BETA2]
        new1, old2, new2, eps = kind(1.0 - b1), kind(b2), kind(1.0 - b2), kind(options[EPSILON])
        size = kind(rate / (1.0 - b1 ** (done + 1)))
        root = kind(math.sqrt(1.0 - b2 ** (done + 1)))
        for i in range(g_P.size):
            g = sign * g_P[i] + decay * theta_P[i]
            m = mean_P[i] + new1 * (g - mean_P[i])
            v = old2 * square_P[i] + new2 * g * g
            mean_P[i], square_P[i] = m, v
            theta_P[i] = keep * theta_P[i] - size * m / (np.sqrt(v) / root + eps)


def _descend(theta_P, mean_P, square_P, gradient_P, net, rows, order_N, batch, rates_K, method, workspace, results):
    """Do K updates; stop before an update whose loss or gradient is not finite.

    Args:
        theta_P, mean_P, square_P: parameters, momentum or first moments, second moments; changed in place.
        gradient_P: holds the last update's gradient afterwards.
        net: (units, activation, loss).
        rows: as `_gather` takes them.
        order_N: origins of the samples, one batch after another; only the last batch may be smaller.
        batch: the number of samples in a batch.
        rates_K: the step size of each update.
        method: (optimizer, options, steps done before, whether there is no momentum yet, clip, bound).
        workspace: as `_loss_and_gradient` takes it.
        results: (losses (K,), gradient norms (K, Q), parameter norms (K, Q), parameters (K, P) or (0, P), step norms
            relative to the parameters' (K, Q), updates between two of those, updates that the run did before,
            stops (Q,), a copy of the parameters (P,)); parameters and their norms are those after the update.

    Returns:
        The number of updates done. The next row has the loss and gradient norms of a refused update.
    """
    units, sigma, loss = net
    optimizer, options, done, first, clip, bound = method
    losses_K, gradients_KQ, norms_KQ, entries_KP, ratios_KQ, between, updates, stops_Q, before_P = results
    for k in range(rates_K.size):
        origin_N = order_N[k * batch : (k + 1) * batch]
        losses_K[k] = _loss_and_gradient(theta_P, units, sigma, loss, rows, origin_N, workspace, gradient_P)
        _norms(gradient_P, stops_Q, gradients_KQ[k])
        total = 0.0
        for q in range(stops_Q.size):
            total += gradients_KQ[k, q] * gradients_KQ[k, q]
        if not (math.isfinite(losses_K[k]) and math.isfinite(total)):
            return k
        if clip != NO_CLIP:
            _clip(clip, bound, gradient_P, math.sqrt(total))
        measure = (updates + k) % between == 0
        if measure:
            _copy(theta_P, before_P)
        if optimizer != NO_STEP:
            _step(optimizer, options, rates_K[k], done + k, first and k == 0, theta_P, gradient_P, mean_P, square_P)
        _norms(theta_P, stops_Q, norms_KQ[k])
        if measure:
            start = 0
            for q in range(stops_Q.size):
                step, size = 0.0, 0.0
                for i in range(start, stops_Q[q]):
                    step += (np.float64(theta_P[i]) - np.float64(before_P[i])) ** 2
                    size += np.float64(before_P[i]) ** 2
                ratios_KQ[k, q] = math.sqrt(step / size)
                start = stops_Q[q]
        if entries_KP.shape[0] > 0:
            _copy(theta_P, entries_KP[k])
    return rates_K.size


def _predict(theta_P, units, sigma, rows, origin_N, workspace, block, out_NO):
    """Write the outputs of these samples in blocks of `ROWS`, the last one padded with copies of its first sample."""
    x_BD, y_BH, z_M, a_M, _ = workspace
    x_BD, y_BH = x_BD[:ROWS], y_BH[:ROWS]  # the workspace may be larger
    outputs = units[units.size - 1]
    total = ROWS * _count(units)
    p_BO = a_M[total - ROWS * outputs : total].reshape(ROWS, outputs)
    for start in range(0, origin_N.size, ROWS):
        count = min(ROWS, origin_N.size - start)
        for i in range(ROWS):
            block[i] = origin_N[start + i if i < count else start]
        _gather(rows, block, x_BD, y_BH)
        _forward(theta_P, units, sigma, x_BD, z_M, a_M)
        for i in range(count):
            for o in range(outputs):
                out_NO[start + i, o] = p_BO[i, o]


descend, _predict_blocks = map(entry, (_descend, _predict))


def predict(theta_P, units, sigma, rows, origin_N, workspace, out_NO):
    """Write the outputs of these samples to `out_NO`."""
    _predict_blocks(theta_P, units, sigma, rows, origin_N, workspace, np.empty(ROWS, np.int64), out_NO)


def loss_and_gradient(theta_P, units, sigma, loss, rows, origin_N, workspace, gradient_P):
    """The mean loss of a batch; writes its gradient to `gradient_P` (an update without a step)."""
    stops_Q = np.cumsum(np.stack((units[1:] * units[:-1], units[1:]), axis=1))
    norms = [np.empty((1, stops_Q.size)) for _ in range(3)]
    entries_KP, before_P = theta_P[:0].reshape(0, theta_P.size), np.empty_like(theta_P)
    results = (np.empty(1), *norms[:2], entries_KP, norms[2], 1, 0, stops_Q, before_P)
    method = (NO_STEP, np.zeros(MAXIMIZE + 1), 0, True, NO_CLIP, 0.0)
    net, batch = (units, sigma, loss), origin_N.size
    descend(theta_P, theta_P, theta_P, gradient_P, net, rows, origin_N, batch, np.zeros(1), method, workspace, results)
    return float(results[0][0])


def compile_for(precision: str) -> None:
    """Compile every entry point for ``float32`` or ``float64``, or load it from disk, by calls on a tiny problem."""
    kind = np.dtype(precision)
    inputs_TF, numbers, two = np.zeros((2, 1), kind), np.zeros(2, kind), np.array([1, 1])
    rows, origin_N = (inputs_TF, numbers, np.zeros(2), 1, False, False, True), np.zeros(1, np.int64)
    workspace = (np.zeros((ROWS, 1), kind), np.zeros((ROWS, 1), kind), *(np.zeros(ROWS, kind) for _ in range(3)))
    seen_KQ = [np.zeros((1, 2)) for _ in range(3)]
    results = (np.zeros(1), *seen_KQ[:2], np.zeros((0, 2), kind), seen_KQ[2], 1, 0, two, numbers)
    net, method, rates_K = (two, IDENTITY, MSE), (SGD, np.zeros(MAXIMIZE + 1), 0, True, NO_CLIP, 0.0), np.zeros(1)
    state = [numbers.copy() for _ in range(4)]
    descend(*state, net, rows, origin_N, 1, rates_K, method, workspace, results)
    loss_and_gradient(numbers, *net, rows, origin_N, workspace, numbers.copy())
    predict(numbers, two, IDENTITY, rows, origin_N, workspace, np.zeros((1, 1), kind))
