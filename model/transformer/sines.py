"""Sines and cosines in float64 by additions and multiplications alone: the same bits on every machine.

An angle is reduced to its distance from the nearest multiple of pi / 2, which is subtracted in two parts. Polynomials
and constants are those of fdlibm (Sun Microsystems, 1993).
"""

import math

import torch
from torch import Tensor

_HALF_PI = (1.57079632673412561417e00, 6.07710050650619224932e-11)
"""pi / 2 in two parts. The first has 33 bits, so its product with a multiple is exact."""
_SINE = (
    -1.66666666666666324348e-01,
    8.33333333332248946124e-03,
    -1.98412698298579493134e-04,
    2.75573137070700676789e-06,
    -2.50507602534068634195e-08,
    1.58969099521155010221e-10,
)
_COSINE = (
    4.16666666666666019037e-02,
    -1.38888888888741095749e-03,
    2.48015872894767294178e-05,
    -2.75573143513906633035e-07,
    2.08757232129817482790e-09,
    -1.13596475577881948265e-11,
)


def sin(angles: Tensor) -> Tensor:
    """The sine of float64 angles up to about a million, to about 1 unit in the last place."""
    return _sin_of_turned(angles, quarters=0)


def cos(angles: Tensor) -> Tensor:
    """The cosine, see `sin`."""
    return _sin_of_turned(angles, quarters=1)


def _sin_of_turned(angles: Tensor, *, quarters: int) -> Tensor:
    multiples = torch.round(angles * (2 / math.pi))
    rest = angles - multiples * _HALF_PI[0] - multiples * _HALF_PI[1]
    square = rest * rest
    sine = rest + rest * square * _polynomial(_SINE, square)
    cosine = 1 - square * 0.5 + square * square * _polynomial(_COSINE, square)
    quadrant = (multiples.long() + quarters) % 4
    value = torch.where(quadrant % 2 == 0, sine, cosine)
    return torch.where(quadrant < 2, value, -value)


def _polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    total = torch.full_like(x, coefficients[-1])
    for each in reversed(coefficients[:-1]):
        total = total * x + each
    return total
