"""The kernel's activations and losses, with the formulas of `nets/activations.py` and `nets/losses.py`.

Each is a plain loop over a contiguous array, which LLVM vectorises. Shapes as in `kernels.py`.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from steepest.engine.compiler import INSIDE, loop

IDENTITY, SIGMOID, RELU, TANH, HARD_SIGMOID, GELU, SILU = range(7)
MSE, MAE, HUBER, CROSS_ENTROPY, QUANTILE = range(5)
QUANTILES = (0.5, 0.05, 0.95)


@intrinsic
def _power_of_two(context, n):
    """2^n for an integral float n, by writing n into a float's exponent. (Numba widens int32 arithmetic to int64.)"""
    bits, exponent = {types.float32: (types.int32, (127, 23)), types.float64: (types.int64, (1023, 52))}[n]

    def write(context, builder, signature, arguments):
        kind = context.get_value_type(bits)
        bias, place = (context.get_constant(bits, number) for number in exponent)
        integer = builder.shl(builder.add(builder.fptosi(arguments[0], kind), bias), place)
        return builder.bitcast(integer, context.get_value_type(n))

    return n(n), write


def _exp(x):
    """exp(x), with x clamped so that the result is a normal number: |x| <= 87 in single precision, 708 in double.

    x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) by a polynomial (single: Cephes's expf, to 1e-7; double: Taylor's to
    degree 13, to 3e-16), 2^n by writing n into the exponent's bits. Numba's exp does not vectorise.
    """


@overload(_exp, jit_options=INSIDE)
def _exp_by_precision(x):
    if x == types.float32:

        def single(x):
            x = min(max(x, np.float32(-87)), np.float32(87))
            n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
            r = x - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
            p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
            p = p * r + np.float32(8.3334519073e-3)
            p = p * r + np.float32(4.1665795894e-2)
            p = p * r + np.float32(1.6666665459e-1)
            p = p * r + np.float32(5.0000001201e-1)
            return (p * r * r + r + np.float32(1)) * _power_of_two(n)

        return single

    def double(x):
        x = min(max(x, -708.0), 708.0)
        n = np.floor(x * 1.4426950408889634 + 0.5)
        r = x - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6
        p = 1.0 / 6227020800 * r + 1.0 / 479001600
        p = p * r + 1.0 / 39916800
        p = p * r + 1.0 / 3628800
        p = p * r + 1.0 / 362880
        p = p * r + 1.0 / 40320
        p = p * r + 1.0 / 5040
        p = p * r + 1.0 / 720
        p = p * r + 1.0 / 120
        p = p * r + 1.0 / 24
        p = p * r + 1.0 / 6
        p = p * r + 0.5
        return (p * r * r + r + 1.0) * _power_of_two(n)

    return double


@loop
def _tanh(z):
    """tanh(z) = 2 / (1 + exp(-2 z)) - 1; near 0, where this formula cancels, the Taylor series to z^13."""
    kind = type(z)
    # The series is accurate to the last place for |z| < 0.5 in single precision, |z| < 0.11 in double.
    near = kind(0.25) if kind(1) + kind(1e-10) == kind(1) else kind(0.0131)
    s = z * z
    series = kind(-1382.0 / 155925) + s * kind(21844.0 / 6081075)
    series = kind(62.0 / 2835) + s * series
    series = kind(-17.0 / 315) + s * series
    series = kind(2.0 / 15) + s * series
    series = kind(-1.0 / 3) + s * series
    formula = kind(2) / (kind(1) + _exp(kind(-2) * z)) - kind(1)
    return z + z * s * series if s < near else formula


@loop
def _normal(z):
    """The normal distribution function (1 + erf(z / sqrt 2)) / 2."""
    kind = type(z)
    return kind(0.5) * (kind(1) + kind(math.erf(z * kind(math.sqrt(0.5)))))


@loop
def activate(kind, z_M, a_M):
    """a = sigma(z), elementwise, as in `nets/activations.py`."""
    if kind == SIGMOID:
        for i in range(z_M.size):
            a_M[i] = z_M.dtype.type(1) / (z_M.dtype.type(1) + _exp(-z_M[i]))
    elif kind == TANH:
        for i in range(z_M.size):
            a_M[i] = _tanh(z_M[i])
    elif kind == RELU:
        for i in range(z_M.size):
            a_M[i] = max(z_M[i], z_M.dtype.type(0))
    elif kind == HARD_SIGMOID:
        low, sixth, half, one = z_M.dtype.type(0), z_M.dtype.type(1.0 / 6), z_M.dtype.type(0.5), z_M.dtype.type(1)
        for i in range(z_M.size):
            a_M[i] = min(max(z_M[i] * sixth + half, low), one)
    elif kind == GELU:
        for i in range(z_M.size):
            a_M[i] = z_M[i] * _normal(z_M[i])
    elif kind == SILU:
        for i in range(z_M.size):
            a_M[i] = z_M[i] / (z_M.dtype.type(1) + _exp(-z_M[i]))
    else:
        for i in range(z_M.size):
            a_M[i] = z_M[i]


@loop
def to_slope_of_z(kind, g_M, z_M, a_M):
    """dL/da -> dL/dz = dL/da * sigma'(z), in place, as in `nets/activations.py`, with the same slopes at kinks."""
    zero, one = g_M.dtype.type(0), g_M.dtype.type(1)
    if kind == SIGMOID:
        for i in range(g_M.size):
            g_M[i] *= a_M[i] * (one - a_M[i])
    elif kind == TANH:
        for i in range(g_M.size):
            g_M[i] *= one - a_M[i] * a_M[i]
    elif kind == RELU:
        for i in range(g_M.size):
            g_M[i] *= one if z_M[i] > zero else zero
    elif kind == HARD_SIGMOID:
        edge, sixth = g_M.dtype.type(3), g_M.dtype.type(1.0 / 6)
        for i in range(g_M.size):
            g_M[i] *= (sixth if z_M[i] > -edge else zero) - (sixth if z_M[i] > edge else zero)
    elif kind == GELU:
        half, density = g_M.dtype.type(-0.5), g_M.dtype.type(1.0 / math.sqrt(2 * math.pi))
        for i in range(g_M.size):
            g_M[i] *= _normal(z_M[i]) + z_M[i] * density * _exp(half * z_M[i] * z_M[i])
    elif kind == SILU:
        for i in range(g_M.size):
            s = one / (one + _exp(-z_M[i]))
            g_M[i] *= s + a_M[i] * (one - s)


@loop
def loss_and_slope(kind, p_NO, y_NH, g_NO):
    """The mean loss of these predictions, with dL/dp written to `g_NO`, as in `nets/losses.py`; includes the 1/N."""
    rows, horizon = y_NH.shape
    count = p_NO.size if kind == QUANTILE else rows * horizon
    zero, one, half = p_NO.dtype.type(0), p_NO.dtype.type(1), p_NO.dtype.type(0.5)
    scale, total = p_NO.dtype.type(1.0 / count), 0.0
    for n in range(rows):
        for h in range(horizon):
            if kind == CROSS_ENTROPY:
                down, up = p_NO[n, 2 * h], p_NO[n, 2 * h + 1]
                gap = up - down if y_NH[n, h] == zero else down - up  # the wrong class's logit minus the right one's
                # log softmax of the right class = -log(1 + exp(gap)), without overflow
                small = math.exp(-abs(gap))
                total += max(gap, zero) + math.log1p(small)
                wrong = (one if gap > zero else small) / (one + small)  # the wrong class's softmax
                sign = scale if y_NH[n, h] == zero else -scale
                g_NO[n, 2 * h], g_NO[n, 2 * h + 1] = -sign * wrong, sign * wrong
            elif kind == QUANTILE:
                for k in range(len(QUANTILES)):
                    q, o = p_NO.dtype.type(QUANTILES[k]), k * horizon + h
                    e = y_NH[n, h] - p_NO[n, o]
                    total += q * e if e > zero else (q - one) * e
                    g_NO[n, o] = -q * scale if e > zero else (one - q) * scale if e < zero else e  # NaN stays NaN
            else:
                e = p_NO[n, h] - y_NH[n, h]
                if kind == MSE:
                    total += e * e
                    g_NO[n, h] = (e + e) * scale
                elif kind == MAE:
                    total += abs(e)
                    g_NO[n, h] = scale if e > zero else -scale if e < zero else e  # NaN stays NaN
                elif abs(e) <= one:
                    total += half * e * e
                    g_NO[n, h] = e * scale
                else:
                    total += abs(e) - half
                    g_NO[n, h] = scale if e > zero else -scale if e < zero else e
    return total / count
