"""Second half of an upsampling layer as one compiled loop, for inference on CPUs.

A stride-2 transposed 3x3 convolution is four ordinary convolutions, one for each parity of row
and column. This loop interleaves their results, applies the [1, 3, 3, 1] filter, bias, noise,
leaky ReLU and clamp, and writes the output once.
"""

import numpy as np
from numba import njit

FAST = {"contract", "nsz", "nnan", "ninf"}
_F = np.float32
_ZERO, _ONE, _THREE = _F(0), _F(1), _F(3)


@njit(fastmath=FAST)
def _mix(a, b, c, d, fa, fb, fc, fd, out):
    for i in range(out.shape[0]):
        out[i] = fa * a[i] + fb * b[i] + fc * c[i] + fd * d[i]


@njit(fastmath=FAST)
def _finish(a, b, c, d, bias, noise, slope, limit, out):
    for i in range(out.shape[0]):
        x = a[i] + _THREE * (b[i] + c[i]) + d[i] + bias[i] + noise
        x = max(x, slope * x)
        out[i] = min(max(x, -limit), limit)


@njit(fastmath=FAST, nogil=True, cache=True)
def filter_rows(
    even_even,
    even_odd,
    odd_even,
    odd_odd,
    first_input_row,
    first_row,
    height,
    bias,
    noise,
    slope,
    limit,
    out,
    start,
    stop,
):
    """Fill rows start to stop of `out`.

    Args:
        even_even: `[n + 1, (W + 1) C]` even rows and columns of the transposed convolution of
            n input rows, already scaled by 1/16.
        even_odd: `[n + 1, W C]` even rows, odd columns.
        odd_even: `[n, (W + 1) C]`.
        odd_odd: `[n, W C]`.
        first_input_row: Which row of the whole input those n rows start with.
        first_row: Which row of the whole output `out` starts with; rows outside become zero.
        height: Rows of the whole output.
        bias: `[C]`.
        noise: `[height, 2 W]`, or an empty array for none.
        slope: Of the leaky ReLU.
        limit: Of the absolute result.
        out: `[rows, 2 W, C]`.
        start: First row of `out` to fill.
        stop: Row after the last one.
    """
    channels = bias.shape[0]
    width = even_odd.shape[1] // channels
    even = np.zeros((width + 1, channels), _F)
    # One column of zeros on either side.
    odd = np.zeros((width + 2, channels), _F)
    flat_even = even.reshape(-1)
    flat_odd = odd.reshape(-1)[channels : (width + 1) * channels]
    noisy = noise.shape[0] > 0
    for k in range(start, stop):
        row = first_row + k
        if row < 0 or row >= height:
            out[k] = _ZERO
            continue
        i = row // 2
        upper, lower = (i - 1, i) if row % 2 == 0 else (i, i + 1)
        if row % 2 == 0:
            e0, e1, o0, o1 = _THREE, _ONE, _ONE, _THREE
        else:
            e0, e1, o0, o1 = _ONE, _THREE, _THREE, _ONE
        if upper < 0:
            o0 = _ZERO
        if lower >= height // 2:
            o1 = _ZERO
        a, b = i - first_input_row, i + 1 - first_input_row
        c = max(upper, 0) - first_input_row
        d = min(lower, height // 2 - 1) - first_input_row
        _mix(even_even[a], even_even[b], odd_even[c], odd_even[d], e0, e1, o0, o1, flat_even)
        _mix(even_odd[a], even_odd[b], odd_odd[c], odd_odd[d], e0, e1, o0, o1, flat_odd)
        for j in range(width):
            left = noise[row, 2 * j] if noisy else _ZERO
            right = noise[row, 2 * j + 1] if noisy else _ZERO
            _finish(
                odd[j], even[j], odd[j + 1], even[j + 1], bias, left, slope, limit, out[k, 2 * j]
            )
            _finish(
                even[j],
                odd[j + 1],
                even[j + 1],
                odd[j + 2],
                bias,
                right,
                slope,
                limit,
                out[k, 2 * j + 1],
            )
