"""Depthwise convolutions on the CPU: groups of one input channel each.

A group of one channel leaves a matrix product of patches next to nothing to do. So the kernel becomes a band: a matrix
that takes the input columns of a tile straight to its output columns, zero where no tap connects the two (a Toeplitz
matrix). A channel is then one product with as many rows as there are tiles. That is several times the arithmetic, which
BLAS does ten times faster than numpy's loops do taps one by one. The weight gradient is the product of the other two
factors, summed along the bands; the input gradient is a convolution with the kernels turned around.

The zeros of a band would spread an infinity or a NaN over its tile: then the result is None, for the caller to find another
way.

Arrays are (N, groups, channels, H, W), weights (groups, outputs, inputs, KH, KW); inputs or outputs are 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import as_strided

Pair = tuple[int, int]

_TILE = 16  # output columns: a wider tile is more arithmetic, a narrower one has shorter runs to copy
_LARGE_KERNEL = 25  # taps
_ROWS = 32  # of a product from which it is worth making where it belongs
_PATCHES_BYTES = 1 << 20  # laid out at a time: they stay in the cache
_IMAGES_BYTES = 16 << 20  # of the patches of one group, above which the batch is divided, too


def overlap(out: int, size: int, stride: int, shift: int) -> tuple[slice, slice]:
    """Which outputs lie inside the image for a tap at `shift` (in places), and where: stride * output + shift."""
    first = max(0, -(shift // stride))
    last = min(out, (size - 1 - shift) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last), slice(first * stride + shift, (last - 1) * stride + shift + 1, stride)


def _spread(x: np.ndarray, size: Pair, shift: Pair, step: Pair) -> np.ndarray:
    """An image of `size` with x's element (i, j) at (i, j) * step + shift where that is inside, zero elsewhere."""
    y = np.zeros((*x.shape[:-2], *size), x.dtype)
    rows, at_rows = overlap(x.shape[-2], size[0], step[0], shift[0])
    columns, at_columns = overlap(x.shape[-1], size[1], step[1], shift[1])
    y[..., at_rows, at_columns] = x[..., rows, columns]
    return y


class _Tiles:
    """How the output of a convolution is cut into tiles of one row and `width` columns."""

    def __init__(self, out: Pair, kernel: Pair, stride: Pair, dilation: Pair):
        self.out, self.kernel, self.stride, self.dilation = out, kernel, stride, dilation
        exact = [w for w in range(_TILE * 3 // 4, _TILE * 2) if out[1] % w == 0]
        if out[1] < 2 * _TILE:
            self.width = out[1]
        elif exact:
            self.width = min(exact, key=lambda w: abs(w - _TILE))
        else:
            self.width = -(-out[1] // -(-out[1] // _TILE))
        self.count = -(-out[1] // self.width)
        self.columns = self.count * self.width
        self.reach = (
            (self.width - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1
        )  # input columns of a tile
        self.size = (
            (out[0] - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1,
            (self.columns - 1) * stride[1] + (kernel[1] - 1) * dilation[1] + 1,
        )

    def parts(self, x: np.ndarray) -> Iterator[tuple[slice, slice]]:
        """Which images of which groups have their patches laid out together; all images of a group come in a row."""
        n, groups, inputs = x.shape[:3]
        image = max(1, self.out[0] * self.count * inputs * self.kernel[0] * self.reach * x.itemsize)
        images = min(max(1, _IMAGES_BYTES // image), max(n, 1))
        step = max(1, _PATCHES_BYTES // (images * image))
        for first in range(0, groups, step):
            for at in range(0, max(n, 1), images):
                yield slice(at, at + images), slice(first, first + step)

    def seen(self, columns: int, shift: int, step: int) -> slice:
        """Which of a tile's input columns are not padding in all tiles: only those are laid out."""
        if self.count > 1 or step > 1:
            return slice(0, self.reach)
        return overlap(columns, self.reach, 1, shift)[1]

    def patches(
        self, x: np.ndarray, shift: Pair, step: Pair, seen: slice, check: bool = True
    ) -> np.ndarray | None:
        """The input rows that each tile sees: (groups, N, tiles, inputs * KH * columns seen). None if they are to be
        checked and are not finite."""
        reach = seen.stop - seen.start
        size = self.size[0], self.size[1] - self.reach + reach
        x = _spread(x, size, (shift[0], shift[1] - seen.start), step)
        if check and not _finite(x):
            return None
        n, groups, inputs = x.shape[:3]
        s = x.strides
        return as_strided(
            x,
            (groups, n, self.out[0], self.count, inputs, self.kernel[0], reach),
            (s[1], s[0], s[3] * self.stride[0], s[4] * self.width * self.stride[1], s[2], s[3] * self.dilation[0], s[4]),
        ).reshape(groups, n, self.out[0] * self.count, inputs * self.kernel[0] * reach)  # fmt: skip

    def bands(self, groups: int, inputs: int, outputs: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """Empty bands (groups, inputs * KH, reach, outputs * width), and the places of the weight (groups, inputs, KH,
        KW, outputs, width) in them."""
        kh, kw = self.kernel
        bands = np.zeros((groups, inputs * kh, self.reach, outputs * self.width), dtype)
        s = bands.strides
        places = as_strided(
            bands,
            (groups, inputs, kh, kw, outputs, self.width),
            (s[0], kh * s[1], s[1], self.dilation[1] * s[2], self.width * s[3], self.stride[1] * s[2] + s[3]),
        )
        return bands, places


def _finite(x: np.ndarray) -> bool:
    """Whether all of x is finite: a sum of squares that overflows says no, too, and takes a tenth of the time."""
    with np.errstate(all="ignore"):
        return math.isfinite(np.vdot(x, x))


@lru_cache(maxsize=256)
def _tiles(out: Pair, kernel: Pair, stride: Pair, dilation: Pair) -> _Tiles:
    return _Tiles(out, kernel, stride, dilation)


def suits_forward(images, channels, outputs, out, kernel, stride, dilation) -> bool:
    """Whether bands beat patches for the output and the weight gradient: for many small images, or large kernels."""
    area = kernel[0] * kernel[1]
    if (
        outputs > (2 if area < _LARGE_KERNEL else 4)
        or _tiles(out, kernel, stride, dilation).reach > 8 * kernel[1]
    ):
        return False
    small = out[0] * out[1] <= 1024 and images * channels >= 128
    return area >= _LARGE_KERNEL or (small and (area >= 9 or kernel[1] >= 5))


def suits_input_gradient(outputs, size, kernel, stride, dilation) -> bool:
    """Whether bands beat patches for the input gradient: unless most of what they multiply is the zeros of a stride."""
    area, steps = kernel[0] * kernel[1], stride[0] * stride[1]
    reach = _tiles(size, kernel, (1, 1), dilation).reach
    return outputs <= 4 and area >= max(3, 2 * steps) and reach <= 32 * kernel[1]


def _correlate(x, weight, out, shift, step, stride, dilation):
    """The convolution of x, its elements `step` apart and moved by `shift`, with the kernels; None if not all is finite."""
    n = x.shape[0]
    groups, outputs, inputs = weight.shape[:3]
    if not n * groups * outputs * out[0] * out[1]:
        return np.empty((n, groups, outputs, *out), x.dtype)
    if not _finite(weight):
        return None
    tiles = _tiles(out, weight.shape[3:], stride, dilation)
    y = np.empty((n, groups, outputs, out[0], tiles.count, tiles.width), x.dtype)
    bands, places = tiles.bands(groups, inputs, outputs, x.dtype)
    places[...] = weight.transpose(0, 2, 3, 4, 1)[..., None]
    seen = tiles.seen(x.shape[-1], shift[1], step[1])
    bands = bands[:, :, seen].reshape(groups, -1, outputs * tiles.width)
    rows = out[0] * tiles.count
    for images, part in tiles.parts(x):
        patches = tiles.patches(x[images, part], shift, step, seen)
        if patches is None:
            return None
        factor, target = bands[part], y[images, part]
        count, size = patches.shape[:2]
        if outputs == 1 and rows >= _ROWS:
            np.matmul(
                patches, factor[:, None], out=target.reshape(size, count, rows, tiles.width).swapaxes(0, 1)
            )
        else:
            made = np.matmul(patches.reshape(count, size * rows, patches.shape[-1]), factor)
            made = made.reshape(count, size, out[0], tiles.count, outputs, tiles.width)
            target[...] = made.transpose(1, 0, 4, 2, 3, 5)
    y = y.reshape(n, groups, outputs, out[0], tiles.columns)
    return y if tiles.columns == out[1] else np.ascontiguousarray(y[..., : out[1]])


def forward(x, weight, out, stride, padding, dilation):
    """conv2d of x (N, C, H, W) and weight (O, 1, KH, KW) with as many groups as channels: (N, O, *out), or None."""
    n, groups = x.shape[:2]
    o, _, *kernel = weight.shape
    kernels = weight.reshape(groups, o // groups, 1, *kernel)
    y = _correlate(x[:, :, None], kernels, out, padding, (1, 1), stride, dilation)
    return y if y is None else y.reshape(n, o, *out)


def input_gradient(g, weight, size, stride, padding, dilation, groups):
    """The gradient of an image (N, groups, *size), or None."""
    n, o, *out = g.shape
    kernel = weight.shape[2:]
    back = tuple(d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding))
    turned = weight.reshape(groups, 1, o // groups, *kernel)[..., ::-1, ::-1]
    x = _correlate(g.reshape(n, groups, o // groups, *out), turned, size, back, stride, (1, 1), dilation)
    return x if x is None else x.reshape(n, groups, *size)


def weight_gradient(g, x, kernel, stride, padding, dilation):
    """The gradient of a weight (O, 1, *kernel), or None."""
    groups = x.shape[1]
    n, o = g.shape[:2]
    out, outputs = g.shape[2:], o // groups
    tiles = _tiles(out, kernel, stride, dilation)
    bands, places = tiles.bands(groups, 1, outputs, x.dtype)
    seen = tiles.seen(x.shape[-1], padding[1], 1)
    x, g = x[:, :, None], g.reshape(n, groups, outputs, *out)
    for images, part in tiles.parts(x):
        # Summed along the bands are products of elements that meet, but for zeros beyond the output and the image.
        patches = tiles.patches(x[images, part], padding, (1, 1), seen, check=tiles.columns != out[1])
        if patches is None:
            return None
        part_g = g[images, part]
        count, size, rows, reach = patches.shape
        if tiles.columns != out[1]:
            part_g = _spread(part_g, (out[0], tiles.columns), (0, 0), (1, 1))
        part_g = part_g.reshape(size, count, outputs, out[0], tiles.count, tiles.width).transpose(
            1, 0, 3, 4, 2, 5
        )
        part_g = part_g.reshape(count, size * rows, outputs * tiles.width)
        if not _finite(part_g):
            return None
        made = np.matmul(patches.reshape(count, size * rows, reach).swapaxes(1, 2), part_g)
        bands[part, :, seen] += made.reshape(count, kernel[0], reach // kernel[0], outputs * tiles.width)
    total = places.reshape(-1, tiles.width) @ np.ones(tiles.width, x.dtype)
    return np.ascontiguousarray(total.reshape(groups, *kernel, outputs).transpose(0, 3, 1, 2)).reshape(
        o, 1, *kernel
    )
