"""The loops of the TV-L1 solver, compiled by numba. Only `flow_compiled` uses them.

Arithmetic is in float32 and in the order of OpenCV's own solver, so that equal frames give equal
bytes: nothing is contracted (numba does so with `fastmath` only), and a sum is taken in another
order only to decide what no order can change. LLVM makes vectors of the plain loops over a row;
written by hand they are not faster (decision record 0028).

All planes of a picture are in one array `[PLANES, 1 + height, stride]`: a row and a column of
zeros, then the picture, then columns up to `stride` that fill a whole number of vectors. What a
loop leaves in those is never read, but for the first of them.
"""

from collections.abc import Callable
from math import sqrt
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from mol_pipeline.contract.files import private_folder

F = np.float32

Planes = NDArray[np.float32]

PLANES = 18
(
    I0, I1, I1X, I1Y, MAP_X, MAP_Y, WARPED, IX, IY, GRAD, RHO, U1, U2, P11, P12, P21, P22, CHANGE,
) = range(PLANES)  # fmt: skip
"""Pictures, derivatives of the second, where it is looked up, what was found there, squared
gradient and constant part of the residual, flow and its dual variables (as Zach et al.), squared
change of the flow, whose first row takes the sums of its columns."""

VECTOR = 16
"""Floats in the widest vector of today's processors."""

_EPSILON = F(np.finfo(np.float32).eps)
_UNIT = 2.0**-24
"""Largest relative error of one rounding to float32."""


def _compiled(function: Callable[..., Any]) -> Any:
    """A function compiled when it is first called, from the cache if it is there.

    Numba looks for a folder that may be written: `NUMBA_CACHE_DIR`, beside this file, below the
    user's home. Where there is none it would fail.
    """
    try:
        return numba.njit(cache=True, error_model="numpy", nogil=True)(function)
    except RuntimeError:
        numba.config.CACHE_DIR = str(private_folder("molprep-numba"))  # type: ignore[attr-defined]
        return numba.njit(cache=True, error_model="numpy", nogil=True)(function)


def stride(width: int) -> int:
    """Columns of a row of a plane."""
    return (-(-width // VECTOR) + 1) * VECTOR


@_compiled
def differentiate(planes: Planes, width: int) -> None:
    """Derivatives of the second picture: half the difference of neighbours, clamped at borders."""
    last, half = planes.shape[1] - 1, F(0.5)
    for y in range(1, last + 1):
        row, above, below = planes[I1, y], planes[I1, max(y - 1, 1)], planes[I1, min(y + 1, last)]
        along, down = planes[I1X, y], planes[I1Y, y]
        for x in range(1, width + 1):
            down[x] = half * (below[x] - above[x])
        for x in range(2, width):
            along[x] = half * (row[x + 1] - row[x - 1])
        along[1] = half * (row[2] - row[1])
        along[width] = half * (row[width] - row[width - 1])


@_compiled
def look_up(planes: Planes, width: int) -> None:
    """Where the flow leads from each pixel."""
    for y in range(1, planes.shape[1]):
        u1, u2, map_x, map_y = planes[U1, y], planes[U2, y], planes[MAP_X, y], planes[MAP_Y, y]
        for x in range(1, width + 1):
            map_x[x] = F(x - 1) + u1[x]
            map_y[x] = F(y - 1) + u2[x]


@_compiled
def linearise(planes: Planes, width: int) -> None:
    """Squared gradient and constant part of the residual, around the flow so far."""
    for y in range(1, planes.shape[1]):
        first, warped, ix, iy = planes[I0, y], planes[WARPED, y], planes[IX, y], planes[IY, y]
        u1, u2, grad, rho = planes[U1, y], planes[U2, y], planes[GRAD, y], planes[RHO, y]
        for x in range(1, width + 1):
            grad[x] = ix[x] * ix[x] + iy[x] * iy[x]
            rho[x] = ((warped[x] - ix[x] * u1[x]) - iy[x] * u2[x]) - first[x]


@_compiled
def _step(rho: F, grad: F, reach: F) -> F:
    """Step along the image gradient that minimises the data term (Zach et al., eq. 15)."""
    step = -rho / grad
    step = step if grad > _EPSILON else F(0)
    step = -reach if rho > reach * grad else step
    return reach if rho < -(reach * grad) else step


@_compiled
def _descend(planes: Planes, y: int, count: int, reach: F, theta: F) -> None:
    """Primal step of a row, and the sums of the squared change up to it."""
    u1, u2, p11, p12 = planes[U1, y], planes[U2, y], planes[P11, y], planes[P12, y]
    p21, p22 = planes[P21, y], planes[P22, y]
    p12_above, p22_above = planes[P12, y - 1], planes[P22, y - 1]
    ix, iy, rho, grad = planes[IX, y], planes[IY, y], planes[RHO, y], planes[GRAD, y]
    change, sums = planes[CHANGE, y], planes[CHANGE, 0]
    first1, first2, sum_before = u1[1], u2[1], sums[1]
    for x in range(count):
        old1, old2 = u1[x + 1], u2[x + 1]
        step = _step(rho[x + 1] + (ix[x + 1] * old1 + iy[x + 1] * old2), grad[x + 1], reach)
        div1 = (p11[x + 1] - p11[x]) + (p12[x + 1] - p12_above[x + 1])
        div2 = (p21[x + 1] - p21[x]) + (p22[x + 1] - p22_above[x + 1])
        new1 = (old1 + step * ix[x + 1]) + theta * div1
        new2 = (old2 + step * iy[x + 1]) + theta * div2
        u1[x + 1], u2[x + 1] = new1, new2
        moved = (new1 - old1) * (new1 - old1) + (new2 - old2) * (new2 - old2)
        change[x + 1] = moved
        sums[x + 1] += moved
    # In the first column OpenCV adds the terms of the divergence in another order.
    step = _step(rho[1] + (ix[1] * first1 + iy[1] * first2), grad[1], reach)
    u1[1] = (first1 + step * ix[1]) + theta * ((p11[1] + p12[1]) - p12_above[1])
    u2[1] = (first2 + step * iy[1]) + theta * ((p21[1] + p22[1]) - p22_above[1])
    moved = (u1[1] - first1) * (u1[1] - first1) + (u2[1] - first2) * (u2[1] - first2)
    change[1] = moved
    sums[1] = sum_before + moved


@_compiled
def _ascend(
    u: Planes, u_below: Planes, p_along: Planes, p_down: Planes, taut: F, count: int
) -> None:
    """Dual step of a row. The length of a gradient is that of C's `hypot`: taken in float64."""
    for x in range(count):
        along, down = u[x + 2] - u[x + 1], u_below[x + 1] - u[x + 1]
        along64, down64 = np.float64(along), np.float64(down)
        length = F(1) + taut * F(sqrt(along64 * along64 + down64 * down64))
        p_along[x + 1] = (p_along[x + 1] + taut * along) / length
        p_down[x + 1] = (p_down[x + 1] + taut * down) / length


@_compiled
def _ascend_both(planes: Planes, y: int, below: int, taut: F, count: int) -> None:
    _ascend(planes[U1, y], planes[U1, below], planes[P11, y], planes[P12, y], taut, count)
    _ascend(planes[U2, y], planes[U2, below], planes[P21, y], planes[P22, y], taut, count)


@_compiled
def _is_above(change: Planes, width: int, limit: F) -> bool:
    """Whether the serial float32 sum of the changes is above the limit, as OpenCV's rule has it.

    The sums of the columns decide wherever no order of rounding could.
    """
    rows = change.shape[0]
    slack = 2.0 * (rows * width + rows + VECTOR) * _UNIT
    total = 0.0
    for x in range(1, width + 1):
        total += change[0, x]
    if slack < 0.5:
        if total * (1.0 - slack) > limit:
            return True
        if total * (1.0 + slack) <= limit:
            return False
    serial = F(0)
    for y in range(1, rows):
        for x in range(1, width + 1):
            serial += change[y, x]
    return bool(serial > limit)


@_compiled
def iterate(
    planes: Planes, width: int, limit: F, reach: F, theta: F, taut: F, most: int
) -> tuple[int, bool]:
    """Inner iterations until the flow moves less than the limit, `most` of them.

    The dual step of a row follows the primal step of the row below it, while both are near.

    Args:
        planes: See the module; changed in place.
        width: Of the picture.
        limit: Of the sum of the squared change.
        reach: Weight of the data term times the coupling (`lambda theta`).
        theta: Coupling.
        taut: Time step over the coupling.
        most: Iterations.

    Returns:
        Iterations, and whether the last one still moved more than the limit.
    """
    last = planes.shape[1] - 1
    count = -(-width // VECTOR) * VECTOR
    for done in range(1, most + 1):
        planes[CHANGE, 0, :] = F(0)
        for y in range(1, last + 1):
            _descend(planes, y, count, reach, theta)
            for flow in (U1, U2):  # no gradient over the border
                planes[flow, y, width + 1] = planes[flow, y, width]
            if y > 1:
                _ascend_both(planes, y - 1, y, taut, count)
        _ascend_both(planes, last, last, taut, count)
        if not _is_above(planes[CHANGE], width, limit):
            return done, False
    return most, True
