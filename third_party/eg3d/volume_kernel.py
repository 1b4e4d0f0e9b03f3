"""Volume rendering as one compiled loop over rays, for inference on CPUs.

Look-up, decoder, importance sampling, sorting and compositing of a ray stay in the caches of one
core, where the tensor operators of `renderer` (the reference, the same arithmetic up to rounding)
move every sample through memory several times. Colours are decoded last, and only for samples
whose share of the ray exceeds `NEGLIGIBLE`.
"""

import functools
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# Contraction to fused multiply-add; no reassociation, which would undo the rounding trick below.
FAST = {"contract", "nsz", "nnan", "ninf"}
NEGLIGIBLE = np.float32(1e-8)
SOFTPLUS, RELU = 0, 1
LANES = 16
ROWS = 4
CHANNEL_STEP = 8

_F = np.float32
_I = np.int32
_ZERO, _HALF, _ONE, _TWO = _F(0), _F(0.5), _F(1), _F(2)
_EXP_LOW, _EXP_HIGH = _F(-87), _F(88)
_LOG2_E = _F(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
# Adding 1.5 * 2^23 rounds a float32 to an integer that then sits in the low bits.
_ROUNDER, _ROUNDER_BITS = _F(12582912.0), _I(0x4B400000)
_EXPONENT_BIAS, _MANTISSA_BITS = _I(127), _I(23)
# Taylor coefficients of (exp(r) - 1 - r) / r^2 adjusted to |r| <= ln(2) / 2.
_E0, _E1, _E2 = _F(1.9875691500e-4), _F(1.3981999507e-3), _F(8.3334519073e-3)
_E3, _E4, _E5 = _F(4.1665795894e-2), _F(1.6666665459e-1), _F(5.0000001201e-1)
# log(1 + y) = 2 artanh(y / (2 + y)), odd series.
_L3, _L5, _L7, _L9, _L11, _L13 = (_F(2 / n) for n in (3, 5, 7, 9, 11, 13))
_COLOUR_SCALE, _COLOUR_SHIFT = _F(1.002), _F(0.001)


@intrinsic
def _float_of(typingctx, bits):
    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _bits_of(typingctx, number):
    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), generate


def _vector_at(builder, pointer, offset, vector):
    return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())


def _spread(builder, value, vector):
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, lanes)


def _multiply_add(builder, a, b, c):
    product = builder.fmul(a, b, flags=("contract",))
    return builder.fadd(product, c, flags=("contract",))


def _index(value):
    return ir.Constant(ir.IntType(64), value)


def _pointer(context, builder, signature, args, position):
    return context.make_array(signature.args[position])(context, builder, args[position]).data


@intrinsic(prefer_literal=True)
def _add_texels(typingctx, planes, corners, shares, features, channels):
    """Add four texels, each times its share, to the features of a point.

    planes: flat; corners: four offsets of texels; shares: four numbers; features: `[channels]`.
    channels is a constant and a multiple of `CHANNEL_STEP`.
    """
    if not isinstance(channels, types.IntegerLiteral):
        return None
    count = channels.literal_value
    vector = ir.VectorType(ir.FloatType(), LANES if count % LANES == 0 else CHANNEL_STEP)

    def generate(context, builder, signature, args):
        texels = _pointer(context, builder, signature, args, 0)
        sums = _pointer(context, builder, signature, args, 3)
        offsets = [builder.extract_value(args[1], i) for i in range(4)]
        factors = [_spread(builder, builder.extract_value(args[2], i), vector) for i in range(4)]
        for first in range(0, count, vector.count):
            place = _vector_at(builder, sums, _index(first), vector)
            total = builder.load(place, align=4)
            for offset, factor in zip(offsets, factors, strict=True):
                at = builder.add(offset, _index(first))
                texel = builder.load(_vector_at(builder, texels, at, vector), align=4)
                total = _multiply_add(builder, factor, texel, total)
            builder.store(total, place, align=4)
        return context.get_dummy_value()

    return types.void(planes, corners, shares, features, channels), generate


@intrinsic(prefer_literal=True)
def _dense(typingctx, x, weight, bias, y, inner, outer):
    """Set y = x @ weight + bias for `ROWS` rows at once, sums held in vector registers.

    x `[ROWS, inner]`, weight `[inner, outer]`, bias `[outer]`, y `[ROWS, outer]`, all contiguous;
    inner and outer are constants, outer a multiple of `LANES`.
    """
    if not (isinstance(inner, types.IntegerLiteral) and isinstance(outer, types.IntegerLiteral)):
        return None
    depth, vectors = inner.literal_value, outer.literal_value // LANES
    vector = ir.VectorType(ir.FloatType(), LANES)

    def generate(context, builder, signature, args):
        xs, weights, biases, ys = (
            _pointer(context, builder, signature, args, position) for position in range(4)
        )
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(ROWS)]
        for j in range(vectors):
            start = builder.load(_vector_at(builder, biases, _index(j * LANES), vector), align=4)
            for r in range(ROWS):
                builder.store(start, sums[r][j])
        with cgutils.for_range(builder, _index(depth)) as loop:
            row = builder.mul(loop.index, _index(vectors * LANES))
            offsets = [builder.add(row, _index(j * LANES)) for j in range(vectors)]
            line = [
                builder.load(_vector_at(builder, weights, offset, vector), align=4)
                for offset in offsets
            ]
            for r in range(ROWS):
                position = builder.add(loop.index, _index(r * depth))
                factor = _spread(builder, builder.load(builder.gep(xs, [position])), vector)
                for j in range(vectors):
                    total = builder.load(sums[r][j])
                    builder.store(_multiply_add(builder, factor, line[j], total), sums[r][j])
        for r in range(ROWS):
            for j in range(vectors):
                place = _vector_at(builder, ys, _index((r * vectors + j) * LANES), vector)
                builder.store(builder.load(sums[r][j]), place, align=4)
        return context.get_dummy_value()

    return types.void(x, weight, bias, y, inner, outer), generate


@njit(fastmath=FAST)
def _exp(x):
    x = min(max(x, _EXP_LOW), _EXP_HIGH)
    shifted = x * _LOG2_E + _ROUNDER
    n = shifted - _ROUNDER
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    y = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
    y = y * r * r + r + _ONE
    exponent = _I(_I(_bits_of(shifted) - _ROUNDER_BITS) + _EXPONENT_BIAS)
    return y * _float_of(_I(exponent << _MANTISSA_BITS))


@njit(fastmath=FAST)
def _softplus(x):
    y = _exp(-abs(x))
    s = y / (_TWO + y)
    q = s * s
    series = (((((_L13 * q + _L11) * q + _L9) * q + _L7) * q + _L5) * q + _L3) * q + _TWO
    return max(x, _ZERO) + s * series


# Each of these loops over whole arrays from 0: else a check for negative indices stays in the
# loop and the compiler does not vectorise it.
@njit(fastmath=FAST)
def _activate(x):
    for i in range(x.shape[0]):
        x[i] = _softplus(x[i])


@njit(fastmath=FAST)
def _light_up(x):
    for i in range(x.shape[0]):
        x[i] = _COLOUR_SCALE / (_ONE + _exp(-x[i])) - _COLOUR_SHIFT


@njit(fastmath=FAST)
def _add_scaled(total, share, x):
    for i in range(x.shape[0]):
        total[i] += share * x[i]


@njit(fastmath=FAST)
def _march(z, density, count, mode, gain, bias, alpha, weights, midpoints):
    """Weights and midpoints of the count - 1 intervals."""
    for i in range(count - 1):
        raw = (density[i] + density[i + 1]) * _HALF + bias
        active = _softplus(raw - _ONE) if mode == SOFTPLUS else max(raw, _ZERO)
        alpha[i] = _exp(-active * gain * (z[i + 1] - z[i]))
        midpoints[i] = (z[i] + z[i + 1]) * _HALF
    light = _ONE
    for i in range(count - 1):
        weights[i] = (_ONE - alpha[i]) * light
        light *= alpha[i] + _F(1e-10)


@njit(fastmath=FAST)
def _resample(z, weights, count, u, fine, cdf):
    """Invert the distribution of the coarse weights; see `sampling.importance_depths`."""
    bins = count - 3
    total = 0.0
    for i in range(bins):
        # Interval i + 1 of the weights: neighbouring maximum, then neighbouring mean.
        left = max(weights[i], weights[i + 1])
        right = max(weights[i + 1], weights[i + 2])
        cdf[i + 1] = (left + right) * _HALF + _F(0.01) + _F(1e-5)
        total += cdf[i + 1]
    cdf[0] = _ZERO
    running = 0.0
    scale = _F(total)
    for i in range(bins):
        running += cdf[i + 1] / scale
        cdf[i + 1] = _F(running)
    index = 0
    for k in range(u.shape[0]):
        if k > 0 and u[k] < u[k - 1]:
            index = 0
        while index <= bins and cdf[index] <= u[k]:
            index += 1
        below = max(index - 1, 0)
        above = min(index, bins)
        span = cdf[above] - cdf[below]
        if span < _F(1e-5):
            span = _ONE
        edge = (z[below] + z[below + 1]) * _HALF
        step = (z[above] + z[above + 1]) * _HALF - edge
        fine[k] = edge + (u[k] - cdf[below]) / span * step


@njit(fastmath=FAST)
def _merge_order(keys, n_first, n, order, second):
    """Stable order of an ascending run and a second run, which insertion sort puts in order."""
    count = n - n_first
    for i in range(count):
        key = keys[n_first + i]
        j = i
        while j > 0 and keys[second[j - 1]] > key:
            second[j] = second[j - 1]
            j -= 1
        second[j] = n_first + i
    a, b = 0, 0
    for i in range(n):
        if b >= count or (a < n_first and keys[a] <= keys[second[b]]):
            order[i] = a
            a += 1
        else:
            order[i] = second[b]
            b += 1


@njit(fastmath=FAST, inline="always")
def _look_up(texels, height, width, axes, q, features, channels):
    """Sum of the three planes at box coordinates q; zeros outside of the box."""
    for i in range(channels):
        features[i] = _ZERO
    for plane in range(3):
        x = ((q[axes[plane, 0]] + _ONE) * _F(width) - _ONE) * _HALF
        y = ((q[axes[plane, 1]] + _ONE) * _F(height) - _ONE) * _HALF
        if x <= -_ONE or y <= -_ONE or x >= _F(width) or y >= _F(height):
            continue
        left, top = np.int64(np.floor(x)), np.int64(np.floor(y))
        fx, fy = x - _F(left), y - _F(top)
        # A corner outside of the image counts as zero: its share vanishes, its index is moved.
        x0, x1 = max(left, 0), min(left + 1, width - 1)
        y0, y1 = max(top, 0), min(top + 1, height - 1)
        wx0 = _ONE - fx if left >= 0 else _ZERO
        wx1 = fx if left < width - 1 else _ZERO
        wy0 = _ONE - fy if top >= 0 else _ZERO
        wy1 = fy if top < height - 1 else _ZERO
        upper, lower, first = y0 * width, y1 * width, plane * channels
        step = 3 * channels
        corners = (
            (upper + x0) * step + first,
            (upper + x1) * step + first,
            (lower + x0) * step + first,
            (lower + x1) * step + first,
        )
        shares = (wx0 * wy0, wx1 * wy0, wx0 * wy1, wx1 * wy1)
        _add_texels(texels, corners, shares, features, channels)


@functools.cache
def ray_marcher(channels: int, hidden: int, colours: int) -> Callable:
    """Compile the loop for one set of sizes (constants let the inner loops be vectorised).

    Args:
        channels: Channels of a plane.
        hidden: Hidden width of the decoder, padded to a multiple of `LANES`.
        colours: Colour features, padded likewise.
    """

    @njit(fastmath=FAST, nogil=True, cache=True, error_model="numpy")
    def march_rays(
        planes,
        axes,
        w_hidden,
        b_hidden,
        w_density,
        b_density,
        w_colour,
        b_colour,
        scale,
        centre,
        mode,
        gain,
        bias,
        origins,
        directions,
        coarse,
        u,
        colour,
        opacity,
        length,
        weights,
        midpoints,
        nearest,
        farthest,
    ):
        n_coarse, n_fine = coarse.shape[1], u.shape[1]
        n = n_coarse + n_fine
        q = np.empty(3, _F)
        features = np.zeros((n + ROWS, channels), _F)
        h = np.zeros((n + 2 * ROWS, hidden), _F)
        visible = np.zeros((n + ROWS, hidden), _F)
        decoded = np.zeros((n + ROWS, colours), _F)
        shares, density, density_sorted = np.empty(n, _F), np.empty(n, _F), np.empty(n, _F)
        z, z_sorted = np.empty(n, _F), np.empty(n, _F)
        alpha, cdf = np.empty(n, _F), np.empty(n, _F)
        order, run = np.empty(n, np.int64), np.empty(n, np.int64)
        raw = np.zeros((ROWS, LANES), _F)
        flat_h, flat_decoded, texels = h.reshape(-1), decoded.reshape(-1), planes.reshape(-1)
        height, width = planes.shape[0], planes.shape[1]
        for ray in range(origins.shape[0]):
            for i in range(n_coarse):
                z[i] = coarse[ray, i]
            for stage in range(2):
                first, last = 0, n_coarse
                if stage == 1:
                    if n_fine == 0:
                        break
                    first, last = n_coarse, n
                    _march(
                        z, density, n_coarse, mode, gain, bias, alpha, weights[ray], midpoints[ray]
                    )
                    _resample(z, weights[ray], n_coarse, u[ray], z[n_coarse:], cdf)
                for i in range(first, last):
                    for axis in range(3):
                        point = origins[ray, axis] + z[i] * directions[ray, axis]
                        q[axis] = (point - centre[axis]) * scale
                    _look_up(texels, height, width, axes, q, features[i - first], channels)
                for i in range(first, last, ROWS):
                    _dense(
                        features[i - first : i - first + ROWS],
                        w_hidden,
                        b_hidden,
                        h[i : i + ROWS],
                        channels,
                        hidden,
                    )
                _activate(flat_h[first * hidden : last * hidden])
                for i in range(first, last, ROWS):
                    _dense(h[i : i + ROWS], w_density, b_density, raw, hidden, LANES)
                    for row in range(min(ROWS, last - i)):
                        density[i + row] = raw[row, 0]
            _merge_order(z, n_coarse, n, order, run)
            for i in range(n):
                z_sorted[i] = z[order[i]]
                density_sorted[i] = density[order[i]]
            _march(
                z_sorted, density_sorted, n, mode, gain, bias, alpha, weights[ray], midpoints[ray]
            )
            total, weighted = _ZERO, _ZERO
            for i in range(n - 1):
                total += weights[ray, i]
                weighted += weights[ray, i] * midpoints[ray, i]
            opacity[ray] = total
            length[ray] = weighted
            nearest[ray] = z_sorted[0]
            farthest[ray] = z_sorted[n - 1]
            count = 0
            for i in range(n):
                share = _ZERO
                if i < n - 1:
                    share += weights[ray, i] * _HALF
                if i > 0:
                    share += weights[ray, i - 1] * _HALF
                if share > NEGLIGIBLE:
                    shares[count] = share
                    for j in range(hidden):
                        visible[count, j] = h[order[i], j]
                    count += 1
            for i in range(0, count, ROWS):
                _dense(
                    visible[i : i + ROWS],
                    w_colour,
                    b_colour,
                    decoded[i : i + ROWS],
                    hidden,
                    colours,
                )
            _light_up(flat_decoded[: count * colours])
            colour[ray] = _ZERO
            for i in range(count):
                _add_scaled(colour[ray], shares[i], decoded[i])

    return march_rays
