"""The tiled products of kernels/gemm.cu against the obvious one, over tiles, layouts and parts of k."""

import numpy as np
import pytest

from tests.samples import numpy_dtype

pytestmark = pytest.mark.cuda

TOLERANCE = {"float32": 1e-5, "float64": 1e-13, "float16": 2e-3, "bfloat16": 1e-2}


@pytest.fixture
def gemm():
    from gradgpu.cuda import gemm

    return gemm


def random(shape, dtype, seed=0):
    from gradgpu.cuda.array import from_host

    return from_host(np.random.default_rng(seed).uniform(-1, 1, shape).astype(numpy_dtype(dtype)))


def close(got, wanted, dtype):
    got, wanted = got.get().astype(np.float64), wanted.get().astype(np.float64)
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= TOLERANCE[dtype] * np.abs(wanted).max()


def transposed(x):
    return x.as_strided(
        (*x.shape[:-2], x.shape[-1], x.shape[-2]), (*x.strides[:-2], x.strides[-1], x.strides[-2])
    )


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "m, k, n",
    [(33, 17, 65), (32, 16, 32), (1, 1, 1), (130, 24, 129), (5, 700, 7), (64, 16, 1), (1, 40, 64)],
)
@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
def test_shapes_and_transposes(gemm, dtype, m, k, n, ta, tb):
    a, b = random((k, m) if ta else (m, k), dtype), random((n, k) if tb else (k, n), dtype, 1)
    bias = random((n,), dtype, 2)
    close(gemm.gemm(a, b, ta, tb, bias), gemm.gemm(a, b, ta, tb, bias, obvious=True), dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("m, n, tile", [(64, 64, "small"), (700, 800, "medium"), (1500, 1410, "large")])
def test_every_tile(gemm, dtype, m, n, tile):
    assert gemm.tile_for(numpy_dtype(dtype), m, n, 1)[0] == tile
    a, b = random((m, 18), dtype), random((18, n), dtype, 1)
    close(gemm.gemm(a, b), gemm.gemm(a, b, obvious=True), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_unaligned_rows_and_views(gemm, dtype):
    """Rows that start between vectors, and an operand that is a column slice of a larger matrix."""
    wide = random((40, 51), dtype)
    a = wide.as_strided((40, 30), wide.strides, 1)
    b = transposed(random((35, 30), dtype, 1))
    close(gemm.gemm(a, b), gemm.gemm(a, b, obvious=True), dtype)
    close(gemm.gemm(b, a, True, True), gemm.gemm(b, a, True, True, obvious=True), dtype)


@pytest.mark.parametrize(
    "a, b",
    [
        ((3, 4, 5), (3, 5, 6)),
        ((3, 4, 5), (5, 6)),
        ((2, 1, 4, 5), (3, 5, 6)),
        ((2, 1, 2, 1, 2, 3, 4), (1, 2, 1, 2, 1, 4, 3)),
    ],
)
def test_batches_broadcast(gemm, a, b):
    a, b = random(a, "float64"), random(b, "float64", 1)
    wanted = np.matmul(a.get(), b.get())
    assert np.allclose(gemm.gemm(a, b).get(), wanted, rtol=1e-13, atol=1e-13)
    assert np.allclose(gemm.gemm(a, b, obvious=True).get(), wanted, rtol=1e-13, atol=1e-13)


def test_parts_of_a_long_sum_are_added_in_order(gemm):
    """A skinny product is split along k; twice the same gives the same bits."""
    blocks = gemm.tile_for(np.dtype(np.float32), 8, 9, 1)[4]
    parts, length = gemm.parts_of(3000, blocks)
    assert parts > 1 and parts * length >= 3000 > (parts - 1) * length
    a, b, bias = random((8, 3000), "float32"), random((3000, 9), "float32", 1), random((9,), "float32", 2)
    once = gemm.gemm(a, b, bias=bias)
    close(once, gemm.gemm(a, b, bias=bias, obvious=True), "float32")
    assert np.array_equal(once.get(), gemm.gemm(a, b, bias=bias).get())


def test_nothing_to_sum_leaves_the_bias(gemm):
    a, b, bias = random((3, 0), "float32"), random((0, 4), "float32"), random((4,), "float32")
    assert np.array_equal(gemm.gemm(a, b, bias=bias).get(), np.tile(bias.get(), (3, 1)))
    assert gemm.gemm(random((0, 3), "float32"), random((3, 4), "float32")).shape == (0, 4)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8"])
def test_integers_wrap(gemm, dtype):
    from gradgpu.cuda.array import from_host

    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 100, shape).astype(dtype) for shape in ((7, 9), (9, 5)))
    assert np.array_equal(gemm.gemm(from_host(a), from_host(b)).get(), a @ b)
