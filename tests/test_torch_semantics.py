"""Details of PyTorch's functions: names of arguments, dtypes of results, shapes of edge cases, gradients that are zero.

Expected values are PyTorch 2.13's.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.nn import functional as F

NAN = float("nan")


def on(device: str, data: Any, **more: Any) -> Any:
    return gg.tensor(data, device=device, **more)


def check(found: Any, expected: Any, dtype: Any = None) -> None:
    np.testing.assert_allclose(found.detach().numpy(force=True), expected, rtol=1e-5, atol=1e-6)
    assert tuple(found.shape) == np.shape(expected)
    if dtype is not None:
        assert found.dtype is dtype


# ---- numpy's names of arguments ----
def test_axis_and_keepdims(device: str) -> None:
    x = on(device, [[1.0, 5.0, 2.0], [4.0, 3.0, 6.0]])
    check(x.sum(axis=0), [5, 8, 8])
    check(gg.sum(x, axis=1, keepdims=True), [[8], [13]])
    check(x.mean(axis=(0, 1)), 3.5)
    check(x.prod(axis=1), [10, 72])
    check(x.max(axis=1).values, [5, 6])
    check(gg.min(x, axis=0, keepdims=True).indices, [[0, 1, 0]])
    check(x.argmax(axis=1), [1, 2])
    check(gg.amax(x, axis=-1, keepdims=True), [[5], [6]])
    check(x.softmax(axis=0).sum(axis=0), [1, 1, 1])
    check(gg.log_softmax(x, axis=1).exp().sum(axis=1), [1, 1])
    check(gg.cat([x, x], axis=1), [[1, 5, 2, 1, 5, 2], [4, 3, 6, 4, 3, 6]])
    check(gg.stack([x, x], axis=2)[0, 0], [1, 1])
    check(x.std(axis=1, keepdims=True), [[2.081666], [1.527525]])
    check(gg.var(x, axis=1), [4.333333, 2.333333])
    check(x.norm(axis=1), [30**0.5, 61**0.5])
    check(x.unsqueeze(axis=0).squeeze(axis=0), x.tolist())
    check(x.cumsum(axis=1), [[1, 6, 8], [4, 7, 13]])
    check(gg.sort(x, axis=1).indices, [[0, 2, 1], [1, 0, 2]])
    check(gg.quantile(x, 0.5, axis=1, keepdims=True), [[2], [4]])
    assert [tuple(t.shape) for t in x.split(2, axis=1)] == [(2, 2), (2, 1)]
    assert bool((x > 0).all(axis=1).all()) and not bool((x > 5).any(axis=1).all())


def test_out_of_functions_that_share_a_wrapper(device: str) -> None:
    x, out = on(device, [[1.0, 5.0], [7.0, 2.0]]), on(device, [[0.0, 0.0], [0.0, 0.0]])
    assert gg.softmax(x, 1, out=out) is out
    check(out.sum(1), [1, 1])
    values, indices = gg.empty(2, device=device), gg.empty(2, dtype=gg.int64, device=device)
    found = gg.max(x, 1, out=(values, indices))
    assert found.values is values and found.indices is indices
    check(indices, [1, 0])
    assert gg.linalg.inv(x, out=out) is out
    check(out @ x, [[1, 0], [0, 1]])
    spectrum = gg.zeros(2, 2, dtype=gg.complex64, device=device)
    assert gg.fft.fft(x, out=spectrum) is spectrum
    check(spectrum.real, [[6, -4], [9, 5]])
    sign = gg.empty(2, dtype=gg.bool, device=device)
    assert gg.signbit(on(device, [-1.0, 2.0]), out=sign).tolist() == [True, False]


# ---- results with names ----
def test_return_types() -> None:
    x = gg.tensor([[1.0, 5.0], [7.0, 2.0]])
    for name, found in {
        "max": x.max(0), "min": x.min(0), "sort": x.sort(), "topk": x.topk(1), "kthvalue": x.kthvalue(1), "median": x.median(0),
        "nanmedian": x.nanmedian(0), "mode": x.mode(0), "cummax": x.cummax(0), "cummin": x.cummin(0), "aminmax": x.aminmax(),
        "qr": gg.qr(x), "svd": gg.svd(x), "slogdet": gg.slogdet(x), "linalg_svd": gg.linalg.svd(x), "linalg_qr": gg.linalg.qr(x),
    }.items():  # fmt: skip
        kind = getattr(gg.return_types, name)
        assert type(found) is kind, name
        assert repr(found).startswith(f"gradgpu.return_types.{name}(\n{kind._fields[0]}=tensor("), name
    assert repr(x.max(1)) == "gradgpu.return_types.max(\nvalues=tensor([5., 7.]),\nindices=tensor([1, 0]))"


# ---- dtypes ----
def test_integers_take_whole_factors(device: str) -> None:
    i = on(device, [[1, 2], [3, 4]], dtype=gg.int32)
    v = on(device, [1, 1], dtype=gg.int32)
    check(gg.addmm(i, i, i, beta=2, alpha=3), [[23, 34], [51, 74]], gg.int32)
    check(gg.addmv(v, i, v, beta=0.2, alpha=1.6), [3, 7], gg.int32)
    check(gg.addbmm(i, i[None], i[None]), [[8, 12], [18, 26]], gg.int32)
    check(
        gg.addr(gg.zeros(2, 2, dtype=gg.bool, device=device), v.bool(), v.bool(), alpha=2),
        [[1, 1], [1, 1]],
        gg.bool,
    )
    check(i.sum_to_size(1, 2), [[4, 6]], gg.int64)
    check(i.sum_to_size(2, 2), [[1, 2], [3, 4]], gg.int32)
    check(i.sum_to_size(), 10, gg.int64)


def test_dtypes_of_results(device: str) -> None:
    i = on(device, [3, -4])
    check(gg.copysign(i, on(device, [-1, 1])), [-3, 4], gg.float32)
    check(gg.unravel_index(on(device, [5], dtype=gg.int32), (2, 3))[0], [1], gg.int64)
    check(gg.nan_to_num(i), [3, -4], gg.int64)
    check(on(device, [True, False]).masked_fill(on(device, [False, True]), 10), [True, True], gg.bool)
    check(i.masked_fill(on(device, [True, False]), 1.7), [1, -4], gg.int64)
    check(gg.div(on(device, [7, -7]), 2, rounding_mode="trunc"), [3, -3], gg.int64)
    check(gg.div(on(device, [2**53 + 1]), 1, rounding_mode="trunc"), [2**53 + 1], gg.int64)
    check(gg.searchsorted(on(device, [1, 3]), on(device, [3]), out_int32=True), [1], gg.int32)
    check(
        gg.bucketize(on(device, [3, 9]), on(device, [1, 3, 5]), out_int32=True, right=True), [2, 3], gg.int32
    )
    check(on(device, [1.5]).int(memory_format=gg.preserve_format), [1], gg.int32)
    check(gg.arange(0.9, 3.5, dtype=gg.int64, device=device), [0, 1, 2], gg.int64)
    check(gg.arange(0, -8.5, -4, dtype=gg.int64, device=device), [0, -4], gg.int64)
    check(gg.arange(0, -8.5, -4, dtype=gg.int32, device=device), [0, -4, -8], gg.int32)
    for function in (gg.sum, gg.prod, gg.nansum):
        assert function(i, 0, dtype=gg.int8).dtype is gg.int8 and function(i, 0).dtype is gg.int64
    check(i.cumsum_(0, dtype=gg.int64), [3, -1], gg.int64)


def test_arange_refuses_what_has_no_end() -> None:
    with pytest.raises(RuntimeError, match="unsupported range"):
        gg.arange(0, float("inf"))
    with pytest.raises(RuntimeError, match="nonzero"):
        gg.arange(0, 5, 0.5, dtype=gg.int64)
    for function in (gg.linspace, gg.logspace):
        with pytest.raises(RuntimeError, match="non-negative"):
            function(0, 1, -1)
        with pytest.raises(RuntimeError, match="0-dimensional"):
            function(gg.zeros(2), 1, 3)
    with pytest.raises(RuntimeError, match="greater or equal to 0"):
        gg.eye(-1)
    with pytest.raises(RuntimeError, match="cannot be stored"):
        gg.tensor([1]).masked_fill(gg.tensor([True]), float("inf"))


# ---- values and shapes ----
def test_median_with_nan(device: str) -> None:
    x = on(device, [[1.0, NAN, 2.0], [3.0, 1.0, 2.0]])
    assert gg.isnan(x.median()).item()
    found = x.median(1)
    assert np.isnan(found.values.tolist()[0]) and found.values.tolist()[1] == 2
    assert found.indices.tolist() == [1, 2]
    check(on(device, [[4.0], [1.0]]).median(0, keepdim=True).values, [[1]])


def test_search_in_an_order(device: str) -> None:
    x = on(device, [5, 1, 3])
    check(gg.searchsorted(x, on(device, [2, 3]), sorter=x.argsort()), [1, 1])
    check(gg.searchsorted(x, on(device, [2, 3]), sorter=x.argsort(), side="right"), [1, 2])
    with pytest.raises(RuntimeError, match="opposites"):
        gg.searchsorted(x, x, right=True, side="left")
    with pytest.raises(RuntimeError, match="same size"):
        gg.searchsorted(x, x, sorter=x[:2])
    with pytest.raises(RuntimeError, match="1 dimension"):
        gg.bucketize(x, x[None])


def test_rows_of_a_number(device: str) -> None:
    x, at = on(device, 2.0), on(device, [0])
    check(gg.index_add(x, 0, at, on(device, 3.0), alpha=-1), -1.0)
    check(gg.index_copy(x, 0, at, on(device, 3.0)), 3.0)
    check(gg.index_fill(x, 0, at, 4.0), 4.0)


def test_index_fill_with_a_tensor_passes_the_gradient(device: str) -> None:
    value = on(device, 2.0, requires_grad=True)
    y = gg.index_fill(on(device, [[1.0, 1.0], [1.0, 1.0]]), 1, on(device, [1, 1]), value)
    check(y, [[1, 2], [1, 2]])
    y.sum().backward()
    check(value.grad, 2.0)  # an index that occurs twice counts once
    with pytest.raises(RuntimeError, match="0-dimensional"):
        gg.index_fill(y, 1, on(device, [1]), on(device, [1.0]))


def test_take_along_dim_counts_from_the_end(device: str) -> None:
    check(gg.take_along_dim(on(device, [[1, 2, 3]]), on(device, [[-1, 0]]), 1), [[3, 1]])


def test_masked_scatter_broadcasts_the_input(device: str) -> None:
    mask = on(device, [[True, False], [False, True]])
    check(on(device, [1.0, 2.0]).masked_scatter(mask, on(device, [8.0, 9.0])), [[8, 2], [1, 9]])


def test_padding_that_cuts(device: str) -> None:
    x = on(device, [[[1.0, 2.0, 3.0, 4.0]]])
    check(F.pad(x, (-1, 2), mode="replicate"), [[[2, 3, 4, 4, 4]]])
    check(F.pad(x, (1, -1), mode="reflect"), [[[2, 1, 2, 3]]])
    check(F.pad(x, (-1, 1), mode="circular"), [[[2, 3, 4, 2]]])
    with pytest.raises(RuntimeError, match="too wide"):
        F.pad(x, (-3, 1), mode="reflect")


def test_flip_by_keyword(device: str) -> None:
    x = on(device, [[1, 2], [3, 4]])
    check(x.flip(dims=(0, 1)), [[4, 3], [2, 1]])
    check(gg.flip(x, dims=[0]), [[3, 4], [1, 2]])


def test_covariance_of_one_variable(device: str) -> None:
    check(gg.cov(on(device, [[1.0, 3.0]])), 2.0)
    check(gg.corrcoef(on(device, [[1.0, 3.0]])), 1.0)
    weights = on(device, [1.0, 0.0, 1.0], dtype=gg.float32)
    check(
        gg.cov(on(device, [[1.0, 9.0, 3.0], [2.0, 2.0, 0.0]], dtype=gg.float64), aweights=weights),
        [[2, -2], [-2, 2]],
        gg.float64,
    )


def test_diff_of_order_zero_ignores_what_is_put_around(device: str) -> None:
    check(gg.diff(on(device, [1, 4]), n=0, prepend=on(device, [7])), [1, 4])


def test_gradient_takes_none(device: str) -> None:
    check(gg.gradient(on(device, [1.0, 4.0, 9.0]), spacing=None, dim=None)[0], [3, 4, 5])


def test_cosine_similarity_broadcasts_before_it_sums(device: str) -> None:
    a, b = on(device, [[[1.0, 2.0], [3.0, 4.0]]]), on(device, [[[2.0, 1.0]], [[1.0, 0.0]]])
    check(
        F.cosine_similarity(a, b, dim=-2), [[4 / 20**0.5, 6 / 40**0.5 * 2**0.5 / 2**0.5], [4 / 20**0.5, 0.0]]
    )


def test_prelu_of_a_number(device: str) -> None:
    check(F.prelu(on(device, -2.0), on(device, [0.25])), -0.5)


def test_interpolation_of_bytes_and_of_volumes(device: str) -> None:
    x = on(device, [[[[0, 100], [200, 255]]]], dtype=gg.uint8)
    check(
        F.interpolate(x, (3, 3), mode="bilinear", align_corners=True),
        [[[[0, 50, 100], [100, 139, 178], [200, 228, 255]]]],
        gg.uint8,
    )
    check(F.interpolate(x, (1, 2), mode="nearest"), [[[[0, 100]]]], gg.uint8)
    check(
        F.interpolate(x, scale_factor=1.5, mode="nearest"),
        [[[[0, 0, 100], [0, 0, 100], [200, 200, 255]]]],
        gg.uint8,
    )
    y = on(device, np.arange(8.0).reshape(1, 1, 2, 2, 2).tolist())
    check(F.interpolate(y, (1, 2, 1), mode="area"), [[[[[2.5], [4.5]]]]])
    with pytest.raises(NotImplementedError, match="int32"):
        F.interpolate(x.int(), (3, 3), mode="bilinear")


@pytest.mark.parametrize("extra", [(1, 0), (3, 2)])
def test_transposed_convolution_with_wide_output_padding(device: str, extra: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    x = on(device, rng.normal(size=(1, 2, 3, 3)), dtype=gg.float64, requires_grad=True)
    w = on(device, rng.normal(size=(2, 1, 2, 2)), dtype=gg.float64, requires_grad=True)
    more: dict[str, Any] = {"stride": (2, 1), "padding": 1, "output_padding": extra, "dilation": 4}
    y = F.conv_transpose2d(x, w, **more)
    assert tuple(y.shape[2:]) == (2 * 2 - 2 + 5 + extra[0], 2 - 2 + 5 + extra[1])
    assert gg.autograd.gradcheck(lambda a, b: F.conv_transpose2d(a, b, **more), (x, w))


def test_quantile_passes_a_gradient_to_q() -> None:
    q = gg.tensor([0.3], dtype=gg.float64, requires_grad=True)
    gg.quantile(gg.tensor([0.0, 2.0, 5.0], dtype=gg.float64), q).sum().backward()
    check(q.grad, [4.0])


def test_rounded_quotients_have_a_gradient_of_zero(device: str) -> None:
    a, b = on(device, [5.0, -3.0], requires_grad=True), on(device, 2.0, requires_grad=True)
    for mode in ("floor", "trunc"):
        y = gg.div(a, b, rounding_mode=mode)
        assert y.requires_grad
        y.sum().backward()
    check(a.grad, [0, 0])
    check(b.grad, 0.0)


def test_norms_at_zero_and_of_large_halves(device: str) -> None:
    for p in (0.5, 1, 2, 3, float("inf")):
        x = on(device, [0.0, 0.0, 3.0], requires_grad=True)
        zero = on(device, [0.0, 0.0], requires_grad=True)
        (x.norm(p) + zero.norm(p)).backward()
        check(x.grad, [0, 0, 1])
        check(zero.grad, [0, 0])
    assert gg.norm(on(device, [0.0, 4.0]), -1).item() == 0 and gg.norm(on(device, [2.0, 2.0]), -1).item() == 1
    check(
        gg.norm(on(device, [30.0, 30.0], dtype=gg.float16), 6).float(),
        np.float16(30 * 2 ** (1 / 6)),
        gg.float32,
    )


def test_flips_need_dimensions() -> None:
    with pytest.raises(RuntimeError, match="2-d"):
        gg.fliplr(gg.ones(1))
    with pytest.raises(RuntimeError, match="1-d"):
        gg.flipud(gg.tensor(1.0))


def test_nuclear_norm_by_name() -> None:
    check(gg.norm(gg.tensor([[3.0, 0.0], [0.0, 4.0]]), "nuc"), 7.0)


# ---- linear algebra ----
def test_rank_and_pseudoinverse_with_limits() -> None:
    a = gg.tensor([[1.0, 0.0], [0.0, 1e-3]])
    assert gg.linalg.matrix_rank(a).item() == 2 and gg.linalg.matrix_rank(a, atol=0.1).item() == 1
    assert (
        gg.linalg.matrix_rank(a, rtol=gg.tensor(0.1)).item()
        == gg.linalg.matrix_rank(a, 0.1, True).item()
        == 1
    )
    assert gg.linalg.matrix_rank(gg.zeros(2, 0, 0)).tolist() == [0, 0]
    check(gg.linalg.pinv(a, atol=0.1), [[1, 0], [0, 0]])
    check(
        gg.linalg.pinv(gg.tensor([[2.0, 1.0], [1.0, 2.0]]), hermitian=True),
        [[2 / 3, -1 / 3], [-1 / 3, 2 / 3]],
    )
    both = gg.linalg.pinv(gg.stack([a, 100 * a]), atol=gg.tensor([0.01, 0.01]))
    check(both, [[[1, 0], [0, 0]], [[0.01, 0], [0, 10]]])


def test_least_squares_by_driver() -> None:
    a, b = gg.tensor([[1.0], [1.0]]), gg.tensor([[1.0], [3.0]])
    sizes = {
        driver: [tuple(t.shape) for t in gg.linalg.lstsq(a, b, driver=driver)]
        for driver in ("gels", "gelsy", "gelsd")
    }
    assert sizes == {
        "gels": [(1, 1), (1,), (0,), (0,)],
        "gelsy": [(1, 1), (0,), (), (0,)],
        "gelsd": [(1, 1), (1,), (), (1,)],
    }
    with pytest.raises(RuntimeError, match="driver"):
        gg.linalg.lstsq(a, b, driver="best")


def test_results_with_a_report() -> None:
    good, bad = gg.tensor([[4.0]]), gg.tensor([[0.0]])
    check(gg.linalg.cholesky_ex(good).L, [[2.0]])
    assert gg.linalg.cholesky_ex(-good).info.item() == 1 and gg.linalg.inv_ex(bad).info.item() == 1
    assert gg.linalg.inv_ex(good).info.item() == 0
    with pytest.raises(gg.linalg.LinAlgError):
        gg.linalg.inv_ex(bad, check_errors=True)


def test_tensors_as_matrices() -> None:
    rng = np.random.default_rng(0)
    a = gg.tensor(rng.normal(size=(2, 3, 6)))
    inverse = gg.linalg.tensorinv(a, 2)
    check(gg.tensordot(inverse, a, 2), np.eye(6))
    b = gg.tensor(rng.normal(size=(2, 3)))
    check(gg.linalg.tensorsolve(a, b), gg.tensordot(inverse, b, 2).numpy())
    check(gg.linalg.tensorsolve(a.permute(0, 2, 1), b, dims=(1,)), gg.tensordot(inverse, b, 2).numpy())
    check(gg.linalg.vander(gg.tensor([2.0, 3.0]), N=3), [[1, 2, 4], [1, 3, 9]])
    for call in (
        lambda: gg.linalg.tensorinv(a, 0),
        lambda: gg.linalg.tensorinv(a, 1),
        lambda: gg.linalg.tensorsolve(a, a),
    ):
        with pytest.raises(RuntimeError, match="Expected"):
            call()
    check(gg.linalg.vander(gg.tensor(2.0), N=3), [1, 2, 4])
    with pytest.raises(RuntimeError, match="must be"):
        gg.linalg.vander(gg.ones(2), N=1)


# ---- what is made of other tensors ----
def test_new_tensors_have_the_dtype_of_the_old(device: str) -> None:
    i = on(device, [1], dtype=gg.int8)
    check(i.new_tensor([1.5]), [1], gg.int8)
    check(i.new_tensor([1.5], dtype=gg.float64), [1.5], gg.float64)
    check(gg.xlogy(i, 0.5), [np.log(0.5)], gg.float32)


def test_asarray_cuts_the_history_off() -> None:
    x = gg.tensor([1.0], requires_grad=True)
    assert gg.asarray(x + 1).grad_fn is None and not gg.asarray(x).requires_grad
    assert gg.asarray(x + 1, requires_grad=True).grad_fn is not None


def test_equal_of_different_dtypes(device: str) -> None:
    assert gg.equal(on(device, [1, 2]), on(device, [1.0, 2.0]))
    assert not gg.equal(on(device, [1, 2]), on(device, [1.0, 2.5]))
    assert not gg.equal(on(device, [1, 2]), on(device, [1]))
    with pytest.raises(TypeError, match="Tensors"):
        gg.equal(on(device, [1]), 1)


def test_einsum_with_lists_of_labels(device: str) -> None:
    a, b = on(device, [[1.0, 2.0], [3.0, 4.0]]), on(device, [[1.0], [2.0]])
    check(gg.einsum(a, [0, 1], b, [1, 2], [0, 2]), [[5], [11]])
    check(gg.einsum(a, [..., 0], b, [0, 1]), [[5], [11]])
    check(gg.einsum(a, [1, 0]), [[1, 3], [2, 4]])
    with pytest.raises(ValueError, match="subscripts"):
        gg.einsum(a, [0, 52])


def test_functions_of_few_arguments() -> None:
    check(gg.repeat_interleave(gg.tensor([1, 0, 2])), [0, 2, 2])
    assert gg.atleast_1d() == gg.atleast_2d() == ()
    assert gg.atleast_1d(gg.tensor(1.0)).shape == (1,)
    q, r = gg.linalg.qr(gg.tensor([[3.0, 1.0], [4.0, 2.0]]), mode="r")
    assert q.numel() == 0 and abs(r[0, 0].item()) == pytest.approx(5)
    check(gg.special.entr(gg.tensor([0, 1, -1])), [0, 0, -np.inf])


def test_zeros_are_never_shown_in_scientific_notation() -> None:
    gg.set_printoptions(sci_mode=True)
    try:
        assert repr(gg.zeros(2)) == "tensor([0., 0.])" and repr(gg.ones(1)) == "tensor([1.0000e+00])"
    finally:
        gg.set_printoptions()
    x = gg.full((6,), 0.123).requires_grad_() * 1
    assert repr(x).endswith("0.1230],\n       grad_fn=<MulBackward0>)")


# ---- complex ----
def test_products_of_complex_vectors(device: str) -> None:
    a, b = on(device, [1 + 2j, 3j]), on(device, [2j, 1 - 1j])
    assert gg.vdot(a, b).item() == (1 - 2j) * 2j + (-3j) * (1 - 1j) == gg.linalg.vecdot(a, b).item()
    assert gg.adjoint(a[None]).tolist() == [[1 - 2j], [-3j]]
    assert gg.dot(a, b).item() == (1 + 2j) * 2j + 3j * (1 - 1j)


def test_complex_numbers_keep_their_imaginary_part(device: str) -> None:
    x = on(device, [[1 + 2j, 3j, 2 + 0j], [2j, 1 - 1j, 1 + 0j]])
    assert gg.cov(x).dtype is gg.complex64
    a = x.numpy(force=True)
    np.testing.assert_allclose(gg.cov(x).numpy(force=True), np.cov(a), rtol=1e-5)
    for function in (gg.cumprod, gg.logsumexp):
        with pytest.raises(RuntimeError, match="complex"):
            function(x, 0)


# ---- functions made of others ----
def test_common_divisors_and_multiples(device: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(-500, 500, (40, 1)), rng.integers(-500, 500, 30)
    check(gg.gcd(on(device, a), on(device, b)), np.gcd(a, b), gg.int64)
    check(on(device, a).lcm(on(device, b)), np.lcm(a, b), gg.int64)
    check(on(device, [4, 6]).gcd_(on(device, [6])), [2, 6])
    check(on(device, [4, 6]).lcm_(on(device, [6])), [12, 6])
    check(gg.gcd(on(device, [0, 4], dtype=gg.int32), on(device, [0, 0])), [0, 4], gg.int64)
    with pytest.raises(NotImplementedError, match="float32"):
        gg.gcd(on(device, [1.0]), on(device, [1.0]))
    with pytest.raises(TypeError, match="expected a Tensor"):
        gg.lcm(4, on(device, [6]))


def test_solutions_from_triangles() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(4, 4)) + 4 * np.eye(4), rng.normal(size=(4, 2))
    low = gg.tensor(np.tril(a))
    check(gg.cholesky_inverse(low), np.linalg.inv(np.tril(a) @ np.tril(a).T))
    check(low.T.contiguous().cholesky_inverse(upper=True), np.linalg.inv(np.tril(a) @ np.tril(a).T))
    for upper, transpose in ((True, False), (True, True), (False, False), (False, True)):
        kept = np.triu(a) if upper else np.tril(a)
        found = gg.triangular_solve(gg.tensor(b), gg.tensor(a), upper, transpose)
        check(found.solution, np.linalg.solve(kept.T if transpose else kept, b))
        check(found.cloned_coefficient, a)
    check(gg.linalg.solve_ex(gg.tensor(a), gg.tensor(b)).result, np.linalg.solve(a, b))
    assert gg.linalg.solve_ex(gg.zeros(1, 1), gg.ones(1, 1)).info.item() == 1


def test_principal_components() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3)) @ rng.normal(size=(3, 12))
    u, s, v = gg.svd_lowrank(gg.tensor(x), q=5)
    check((u * s) @ v.mT, x)
    u, s, v = gg.svd_lowrank(gg.tensor(x.T.copy()), q=4, M=gg.tensor(1.0, dtype=gg.float64))
    check((u * s) @ v.mT, x.T - 1)
    u, s, v = gg.pca_lowrank(gg.tensor(x))
    centred = x - x.mean(0)
    check(s[:3], np.linalg.svd(centred, compute_uv=False)[:3])
    check((u * s) @ v.mT, centred)
    for call in (
        lambda: gg.svd_lowrank(gg.tensor(x), q=13),
        lambda: gg.pca_lowrank(gg.tensor(x), q=13),
        lambda: gg.pca_lowrank(gg.tensor(x), niter=-1),
    ):
        with pytest.raises(ValueError, match="q|niter"):
            call()
    with pytest.raises(RuntimeError, match="batch"):
        gg.svd_lowrank(gg.ones(3))


def test_incomplete_gamma(device: str) -> None:
    x = np.linspace(0.1, 9, 7)
    check(gg.igamma(on(device, [1.0]), on(device, x, dtype=gg.float32)), 1 - np.exp(-x))
    check(on(device, [2.0]).igammac(on(device, x, dtype=gg.float32)), np.exp(-x) * (1 + x))
    assert gg.special.gammainc(on(device, 1.0), on(device, 2.0)).shape == ()
    bad = gg.igamma(on(device, [-1.0, 1.0, 0.0, NAN, 0.0]), on(device, [1.0, -1.0, 1.0, 1.0, 0.0]))
    assert np.isnan(bad.tolist()).tolist() == [True, True, False, True, True] and bad[2].item() == 1
    with pytest.raises(RuntimeError, match="one dtype"):
        gg.igamma(on(device, [1.0]), on(device, [1.0], dtype=gg.float64))


def test_signals_come_back_from_their_spectra(device: str) -> None:
    rng = np.random.default_rng(0)
    x = on(device, rng.normal(size=(2, 64)))
    for more in ({}, {"hop_length": 3}, {"win_length": 12}, {"normalized": True}, {"onesided": False}):
        window = gg.hann_window(more.get("win_length", 16), dtype=gg.float64, device=device)
        spectra = gg.stft(x, 16, window=window, return_complex=True, **more)
        back = gg.istft(spectra, 16, window=window, **more)
        check(back, x[:, : back.shape[1]].numpy(force=True))
        assert back.shape[1] > 56
    check(gg.istft(gg.stft(x, 16, return_complex=True), 16, length=80)[:, 72:], np.zeros((2, 8)))
    check(x.stft(16, return_complex=True)[0].istft(16), x[0].numpy(force=True))
    with pytest.raises(RuntimeError, match="return_complex"):
        gg.stft(x, 16)
    with pytest.raises(RuntimeError, match="onesided"):
        gg.stft(spectra[0], 16, onesided=True)
    with pytest.raises(RuntimeError, match="complex-valued"):
        gg.istft(x, 16)
    with pytest.raises(RuntimeError, match="match n_fft"):
        gg.istft(spectra, 8)
    with pytest.raises(RuntimeError, match="no weight"):
        gg.istft(spectra, 16, hop_length=40)
    with pytest.raises(RuntimeError, match="return_complex=True"):
        gg.istft(spectra[:, :9], 16, return_complex=True)


def test_hermitian_transforms(device: str) -> None:
    a = np.random.default_rng(0).normal(size=(3, 4, 5))
    x = on(device, a)
    check(gg.fft.ihfftn(x, dim=(0, 2)).real, np.fft.ifftn(a, axes=(0, 2))[..., :3].real)
    check(gg.fft.ihfftn(x, dim=(0, 2)).imag, np.fft.ifftn(a, axes=(0, 2))[..., :3].imag)
    check(gg.fft.hfftn(gg.fft.ihfftn(x), s=(3, 4, 5)), a)
    check(gg.fft.hfft2(gg.fft.ihfft2(x, norm="ortho"), s=(4, 5), norm="ortho"), a)
    for function in (gg.fft.hfftn, gg.fft.ihfftn):
        with pytest.raises(RuntimeError, match="at least one axis"):
            function(x, dim=())


def test_draws(device: str) -> None:
    n = 20000
    x = gg.empty(n, device=device).log_normal_(1.0, 0.5).log()
    assert abs(x.mean().item() - 1) < 0.02 and abs(x.std().item() - 0.5) < 0.02
    x = gg.empty(n, device=device, dtype=gg.float64).cauchy_(2.0, 3.0)
    assert abs(x.quantile(0.5).item() - 2) < 0.2 and abs(x.quantile(0.75).item() - 5) < 0.3
    for dtype in (gg.float32, gg.int64):
        x = gg.empty(n, device=device, dtype=dtype).geometric_(0.3).double()
        assert abs(x.mean().item() - 1 / 0.3) < 0.1 and x.min().item() == 1 and bool((x == x.round()).all())
    x = gg.poisson(gg.full((n,), 4.0, device=device))
    assert abs(x.mean().item() - 4) < 0.1 and abs(x.var().item() - 4) < 0.3
    x = gg.binomial(gg.full((n,), 10.0, device=device), gg.full((n,), 0.25, device=device))
    assert abs(x.mean().item() - 2.5) < 0.1 and x.max().item() <= 10
    y = gg.empty(3, device=device)
    for call, match in (
        (lambda: y.log_normal_(0, 0), "std > 0"), (lambda: y.cauchy_(0, 0), "sigma > 0"), (lambda: y.geometric_(1), "p to be in"),
        (lambda: y.bool().geometric_(0.5), "bool"), (lambda: gg.poisson(y.fill_(-1)), "non-negative"),
        (lambda: gg.binomial(y, y.fill_(2)), "lie in"), (lambda: gg.binomial(y.double(), y), "one dtype"),
        (lambda: y.long().cauchy_(), "floating-point"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=match):
            call()


def test_draws_follow_a_generator() -> None:
    rate = gg.full((50,), 4.0)
    a, b = (gg.poisson(rate, gg.Generator().manual_seed(3)) for _ in range(2))
    assert gg.equal(a, b) and not gg.equal(a, gg.poisson(rate))


def test_names_of_what_is_never_postponed() -> None:
    x = gg.tensor([1 + 1j])
    assert not gg.is_conj(x.conj()) and not gg.is_neg(x) and not x.is_neg() and not gg.is_inference(x)
    assert gg.resolve_neg(x) is x and gg.alias_copy(x).data_ptr() != x.data_ptr()
    assert x.conj_physical_().tolist() == [1 - 1j]
    assert gg.zeros(2, 3, 4).permute(2, 0, 1).dim_order() == (1, 2, 0)


def test_promotion_in_functions_made_of_others(device: str) -> None:
    single, double, half, i = (
        on(device, [2.0], dtype=d) for d in (gg.float32, gg.float64, gg.float16, gg.int64)
    )
    zero_dim = on(device, 2.0, dtype=gg.float64)
    for function in (gg.copysign, gg.xlogy, gg.ldexp):
        assert function(single, double).dtype is gg.float64 and function(zero_dim, i).dtype is gg.float64
        assert function(single, zero_dim).dtype is gg.float32 and function(i, i).dtype is gg.float32
        assert function(half, single).dtype is gg.float32
        with pytest.raises(TypeError, match="expected a Tensor"):
            function(2, 3)
    check(
        gg.xlogy(on(device, [3.0]), on(device, [0.7], dtype=gg.float16)),
        [3 * np.log(np.float16(0.7).astype(float))],
    )
    check(gg.clamp(on(device, [True, False]), 2), [2, 2], gg.int64)
    check(gg.clamp(on(device, [True, False]), False, False), [False, False], gg.bool)
    check(gg.gcd(on(device, [4]), on(device, [True])), [1], gg.int64)
    with pytest.raises(TypeError, match="expected a Tensor"):
        gg.heaviside(on(device, [1.0]), 2)


def test_what_is_refused() -> None:
    x = gg.ones(2, 3)
    for call, kind, match in (
        (lambda: gg.isclose(x, x, rtol=-1), RuntimeError, "rtol must be"),
        (lambda: gg.allclose(x, x, atol=-1), RuntimeError, "atol must be"),
        (lambda: x.scatter(0, gg.zeros(2, 3, dtype=gg.int64), gg.ones(6)), RuntimeError, "src tensor"),
        (lambda: gg.tensor(1.0).narrow(0, 0, 1), RuntimeError, "0-dim"),
        (lambda: x.narrow(0, 3, 0), IndexError, "start out of range"),
        (lambda: x.narrow(0, 1, 2), RuntimeError, "exceeds"),
        (lambda: F.huber_loss(x, x, delta=0), RuntimeError, "non-positive"),
        (lambda: F.gaussian_nll_loss(x, x, x, reduction="all"), ValueError, "all is not valid"),
        (lambda: F.gaussian_nll_loss(x, x, x[:1, :1]), ValueError, "incorrect size"),
        (lambda: F.hardtanh(x, 1, 0), ValueError, "min_val"),
        (lambda: F.prelu(x, x), RuntimeError, "scalar or 1D"),
        (lambda: F.rrelu(x, 0.5, 0.1), RuntimeError, "Lower bound"),
    ):  # fmt: skip
        with pytest.raises(kind, match=match):
            call()


def test_derivatives_of_digamma_and_zeta_where_they_are_not_smooth(device: str) -> None:
    x = on(device, [-0.5, -2.25, -12.0])
    check(gg.polygamma(2, x)[:2], [-0.8287966, 123.89696])
    assert np.isnan(gg.polygamma(3, x)[2].item())
    found = gg.special.zeta(on(device, [1.0, 2.0, 0.5, 2.0]), on(device, [1.0, -1.0, 1.0, -0.5]))
    assert found[:2].tolist() == [np.inf, np.inf] and np.isnan(found[2:].tolist()).all()
    x = on(device, [0.0, 0.5], dtype=gg.float64, requires_grad=True)
    (slope,) = gg.autograd.grad(gg.i0(x).sum(), x, create_graph=True)
    (bend,) = gg.autograd.grad(slope.sum(), x)
    check(slope, [0, 0.25789431])
    check(bend, [0.5, 0.54769484])


def test_integers_are_not_divided_by_zero() -> None:
    a, zero = gg.tensor([7, -7]), gg.tensor([2, 0])
    for call in (lambda: a // zero, lambda: a % zero, lambda: gg.fmod(a, 0), lambda: a.floor_divide_(zero)):
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            call()
    check(a // 2, [3, -4])
    check(a.double() // zero.double(), [3, -np.inf])


def test_a_zero_dim_index_is_a_number_beside_others(device: str) -> None:
    x, i = gg.arange(40, device=device).reshape(4, 2, 5), on(device, 1)
    a = np.arange(40).reshape(4, 2, 5)
    check(x[i, None, [0, 1]], a[1, None][:, [0, 1]])
    check(x[i, :, None, [0, -2]], a[1][:, None][..., [0, -2]])
    check(x[[0, 1], :, i], a[..., 1][[0, 1]])
    x[i, :, on(device, [True, False, True, False, False])] = -1
    a[1][:, [0, 2]] = -1
    check(x, a)


def test_dtypes_of_new_tensors(device: str) -> None:
    check(gg.full((2,), 1j, device=device), [1j, 1j], gg.complex64)
    for value, dtype in ((True, gg.bool), (3, gg.int64), (3.0, gg.float32)):
        assert gg.full((2,), value, device=device).dtype is dtype
    for data, kind, match in (
        (None, RuntimeError, "NoneType"), ([None], RuntimeError, "NoneType"), (2**70, ValueError, "Overflow"), ("a", TypeError, "str"),
    ):  # fmt: skip
        with pytest.raises(kind, match=match):
            gg.tensor(data, device=device)
    for function in (gg.argmax, gg.argmin):
        with pytest.raises(IndexError, match="numel"):
            function(gg.ones(0, device=device))


def test_spectra_of_all_frequencies_of_a_real_signal() -> None:
    rng = np.random.default_rng(0)
    spectra = gg.tensor(rng.normal(size=(8, 3)) + 1j * rng.normal(size=(8, 3)))
    check(gg.istft(spectra, 8), gg.istft(spectra[:5], 8).numpy())
    assert gg.istft(spectra, 8, return_complex=True).is_complex()


def test_half_precision_is_rounded_once() -> None:
    x = gg.tensor([0.71, 2.2, 5.3], dtype=gg.bfloat16)
    for function in (gg.i0, gg.special.i1e, lambda t: gg.polygamma(3, t)):
        assert gg.equal(function(x), function(x.float()).to(gg.bfloat16))


def test_nuclear_norm_of_complex_matrices_is_refused() -> None:
    with pytest.raises(RuntimeError, match="complex64"):
        gg.norm(gg.tensor([[1j]]), "nuc")


def test_results_are_tuples() -> None:
    found = gg.tensor([[1.0, 5.0], [7.0, 2.0]]).max(1)
    values, indices = found
    assert found == (values, indices) and found[1] is found.indices and len(found) == 2
    assert found._asdict() == {"values": values, "indices": indices} and type(found)._make(found) == found
    for again in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        assert type(again) is gg.return_types.max and again.indices.tolist() == [1, 0]
    with pytest.raises(TypeError, match="entries"):
        gg.return_types.max(values)
    with pytest.raises(AttributeError):
        found.values = indices  # type: ignore[misc]


def test_names_of_arguments() -> None:
    x = gg.ones(2, 3)
    assert gg.swapaxes(x, axis0=0, axis1=1).shape == x.swapaxes(axis0=0, axis1=1).shape == (3, 2)
    assert (
        [len(t) for t in gg.split_with_sizes(x, split_sizes=[1, 1])]
        == [1, 1]
        == [len(t) for t in x.split_with_sizes([1, 1])]
    )
    assert gg.can_cast(from_=gg.int64, to=gg.float32) and not gg.can_cast(from_=gg.float32, to=gg.int64)
    assert gg.promote_types(type1=gg.int8, type2=gg.float16) is gg.float16
    check(gg.linalg.svdvals(gg.tensor([[2.0]]), driver=None), [2])
    with pytest.raises(RuntimeError, match="driver"):
        gg.linalg.svd(x, driver="gesvd")


def test_functions_of_empty_batches(device: str) -> None:
    x = gg.ones(0, 4, 6, 6, 6, device=device)
    assert F.adaptive_avg_pool3d(x, (2, 3, 1)).shape == (0, 4, 2, 3, 1) and F.avg_pool3d(x, 2).shape == (
        0,
        4,
        3,
        3,
        3,
    )
    assert F.pixel_shuffle(x[..., 0], 2).shape == (0, 1, 12, 12)
    assert F.pixel_unshuffle(x[..., 0], 2).shape == (0, 16, 3, 3)
    assert F.pixel_shuffle(gg.ones(1, 0, 1, 1, device=device), 1).shape == (1, 0, 1, 1)


# ---- what older scripts write ----
def test_numbers_before_the_operands(device: str) -> None:
    x, y = on(device, [1.0, 1.0]), on(device, [2.0, 4.0])
    a, m = on(device, [1.0, 1.0]), on(device, [[1.0, 2.0], [3.0, 4.0]])
    batch = m.reshape(1, 2, 2)
    for made, expected in (
        (lambda: x.add(3, y), [7, 13]),
        (lambda: gg.sub(x, 3, y), [-5, -11]),
        (lambda: gg.addcmul(x, 2, y, y), [9, 33]),
        (lambda: x.addcdiv(0.5, y, y), [1.5, 1.5]),
        (lambda: x.clone().add_(-0.5, y), [0, -1]),
        (lambda: x.clone().addcmul_(2, y, y), [9, 33]),
        (lambda: x.clone().addcdiv_(0.5, y, y), [1.5, 1.5]),
        (lambda: x.addmv(2, m, y), [12, 24]),
        (lambda: m.addmm(2, 3, m, m), [[23, 34], [51, 74]]),
        (lambda: gg.addmm(2, m, 3, m, m), [[23, 34], [51, 74]]),
        (lambda: m.clone().addmm_(2, m, m), [[9, 14], [21, 30]]),
        (lambda: m.addr(2, x, y), [[4, 8], [8, 12]]),
        (lambda: batch.baddbmm(2, batch, batch), [[[9, 14], [21, 30]]]),
        (lambda: m.addbmm(2, batch, batch), [[9, 14], [21, 30]]),
    ):
        with pytest.warns(UserWarning, match="numbers before its operands"):
            found = made()
        check(found, expected)
    with pytest.raises(TypeError, match="add"):
        x.add(y, 2)
    with pytest.raises(TypeError, match="addcmul"):
        x.addcmul(y, y, 2)
    with pytest.raises(TypeError, match="addmm"):
        m.addmm(1, 2, 3, m, m)
    with pytest.raises(TypeError, match="addcdiv"):
        x.addcdiv("2", y, y)
    check(a, [1, 1])


def test_gradients_of_the_older_form(device: str) -> None:
    x, y = on(device, [1.0, 2.0], requires_grad=True), on(device, [3.0, 4.0], requires_grad=True)
    with pytest.warns(UserWarning, match="alpha=2"):
        gg.add(x, 2, y).sum().backward()
    check(x.grad, [1, 1])
    check(y.grad, [2, 2])


def test_where_takes_bytes_for_bools(device: str) -> None:
    mask, x = on(device, [1, 0, 2], dtype=gg.uint8), on(device, [1.0, 2.0, 3.0], requires_grad=True)
    with pytest.warns(UserWarning, match="uint8"):
        found = gg.where(mask, x, 0.0)
    check(found, [1, 0, 3])
    found.sum().backward()
    check(x.grad, [1, 0, 1])
    with pytest.raises(RuntimeError, match="boolean"):
        gg.where(mask.int(), x, 0.0)


def test_bounds_of_randint_like(device: str) -> None:
    x = on(device, [0.0] * 50)
    for made in (gg.randint_like(x, 2), gg.randint_like(x, high=2), gg.randint_like(x, 0, 2), gg.randint_like(x, low=0, high=2)):  # fmt: skip
        assert sorted(set(made.tolist())) == [0.0, 1.0] and made.device.type == device
    with pytest.raises(TypeError, match="bound"):
        gg.randint_like(x)


def test_vmap_at_its_older_home() -> None:
    from gradgpu._vmap_internals import _vmap

    check(_vmap(gg.dot)(on("cpu", [[1.0, 2.0], [3.0, 4.0]]), on("cpu", [[1.0, 1.0], [2.0, 0.0]])), [3, 6])
    with pytest.raises(NotImplementedError, match="None"):
        _vmap(gg.dot, allow_none_pass_through=True)


class Lazy:
    """An object that knows how to stand at the right of a tensor, as other packages' matrices do."""

    def __radd__(self, other: Any) -> Any:
        return "sum"

    def __rsub__(self, other: Any) -> Any:
        return NotImplemented

    def __rmul__(self, other: Any) -> Any:
        return other * 2.0

    def __rtruediv__(self, other: Any) -> Any:
        return "quotient"

    def __rmatmul__(self, other: Any) -> Any:
        return "product"


def test_objects_of_other_packages_as_right_operands(device: str) -> None:
    x, lazy = on(device, [1.0, 2.0], requires_grad=True), Lazy()
    assert (x + lazy, x / lazy, x @ lazy) == ("sum", "quotient", "product")
    (x * lazy).sum().backward()
    check(x.grad, [2, 2])
    for wrong in (lambda: x - lazy, lambda: x * None, lambda: x * [1.0, 2.0], lambda: x @ None, lambda: x % lazy, lambda: x @ 2.0):  # fmt: skip
        with pytest.raises(TypeError):
            wrong()
    y = x.detach()
    y += lazy
    assert y == "sum"


def test_the_class_tensor_is_a_type_to_convert_to(device: str) -> None:
    x = on(device, [1, 0]).type(gg.Tensor)
    assert x.dtype is gg.float32 and x.device.type == "cpu"
    gg.set_default_dtype(gg.float64)
    try:
        assert on(device, [1, 0]).type(gg.Tensor).dtype is gg.float64
    finally:
        gg.set_default_dtype(gg.float32)


def test_bytes_as_elements_of_another_type(device: str) -> None:
    x = on(device, [[1.0, 2.0], [3.0, 4.0]])
    assert x.view(gg.int32).tolist() == np.array([[1, 2], [3, 4]], np.float32).view(np.int32).tolist()
    small = x.view(gg.uint8)
    assert small.tolist() == np.array([[1, 2], [3, 4]], np.float32).view(np.uint8).tolist()
    assert small.view(gg.float32).tolist() == x.tolist()
    assert x.view(gg.float64).tolist() == np.array([[1, 2], [3, 4]], np.float32).view(np.float64).tolist()
    assert x[1:].view(gg.int16).tolist() == np.array([[3, 4]], np.float32).view(np.int16).tolist()
    small[0, :4] = 0  # the same memory
    assert x[0, 0].item() == 0
    for wrong, match in (
        (lambda: x[0, 0].view(gg.uint8), "0-dim"),
        (lambda: x.t().view(gg.uint8), "stride"),
        (lambda: on(device, [1.0, 2.0, 3.0]).view(gg.float64), "divisible"),
        (lambda: on(device, [1.0, 2.0, 3.0])[1:].view(gg.float64), "divisible"),
    ):
        with pytest.raises(RuntimeError, match=match):
            wrong()


def test_many_tensors_as_one_and_back(device: str) -> None:
    from gradgpu._utils import _flatten_dense_tensors, _unflatten_dense_tensors

    parts = [on(device, [[1.0, 2.0]]), on(device, 3.0), on(device, [4.0, 5.0])]
    flat = _flatten_dense_tensors(parts)
    check(flat, [1, 2, 3, 4, 5])
    back = _unflatten_dense_tensors(flat * 2, parts)
    for part, found in zip(parts, back, strict=True):
        check(found, (part * 2).numpy(force=True))


def test_complex_random_numbers(device: str) -> None:
    gg.manual_seed(0)
    z = gg.randn(4000, dtype=gg.complex64, device=device)
    assert z.dtype is gg.complex64 and z.device.type == device
    for part in (z.real, z.imag):  # they share the variance of 1
        assert abs(part.mean().item()) < 0.05 and abs(part.var().item() - 0.5) < 0.05
    weight = gg.nn.Parameter(gg.rand(50, 2, dtype=gg.complex128, device=device))
    assert weight.is_leaf and weight.dtype is gg.complex128
    for part in (weight.detach().real, weight.detach().imag):
        assert 0 <= part.min().item() < 0.1 and 0.9 < part.max().item() < 1
    filled = gg.zeros(4000, dtype=gg.complex64, device=device)
    assert filled.normal_(1.0, 2.0) is filled and filled._version == 1
    assert abs(filled.mean().item() - 1) < 0.15 and abs((filled - 1).abs().square().mean().item() - 4) < 0.3
    assert gg.randn_like(z).dtype is gg.complex64


def test_what_a_tensor_contains() -> None:
    x = gg.tensor([1.0, 2.0])
    assert 1 in x and 3.0 not in x and gg.tensor(2.0) in x
    with pytest.raises(RuntimeError, match="only supports Tensor or scalar"):
        "a" in x  # noqa: B015


def test_norms_of_a_list_by_their_order(device: str) -> None:
    found = gg._foreach_norm([on(device, [3.0, 4.0]), on(device, [1.0, -1.0])], ord=1)
    assert [n.item() for n in found] == [7.0, 2.0]


def test_tensor_types_in_annotations() -> None:
    for made in (gg.LongTensor | None, None | gg.LongTensor, gg.LongTensor | int):
        assert gg.LongTensor in made.__args__


def test_sizes_that_are_no_integers() -> None:
    for wrong in (lambda: gg.ones(4).view(2.0, 2), lambda: gg.ones(4).reshape(-1, 2.0)):
        with pytest.raises(TypeError, match="float"):
            wrong()


def test_the_error_function_stays_within_its_bounds(device: str) -> None:
    x = gg.linspace(-6, 6, 40001, device=device)
    for found in (x.erf(), gg.stack([v.erf() for v in x[-3000::100]])):
        assert found.abs().max().item() <= 1
    cdf = gg.distributions.Normal(gg.tensor(0.0, device=device), 1.0).cdf(x)
    assert 0 <= cdf.min().item() and cdf.max().item() <= 1
    for dtype in (gg.float16, gg.float64):
        assert x.to(dtype).erf().abs().max().item() <= 1


def test_pythons_types_as_dtypes(device: str) -> None:
    x = on(device, [1.0, 2.0])
    for made in (
        gg.zeros(2, dtype=float, device=device), x.to(float), on(device, [1], dtype=float), x.sum(dtype=float), x.prod(dtype=float),
        x.mean(dtype=float), x.cumsum(0, dtype=float), x.softmax(0, dtype=float), gg.rand(2, dtype=float, device=device), x.type(float),
    ):  # fmt: skip
        assert made.dtype is gg.float64
    assert x.to(int).dtype is x.sum(dtype=int).dtype is gg.int64 and x.to(bool).dtype is gg.bool
    assert on(device, [1], dtype=complex).dtype is gg.complex128
    assert gg.finfo(float).eps == 2.0**-52 and gg.iinfo(int).max == 2**63 - 1


def test_dimensions_and_sections_are_numpy_integers(device: str) -> None:
    zero, three = np.int64(0), np.int64(3)
    x = gg.arange(6.0, device=device)
    assert x.reshape(1, 6).squeeze(zero).shape == (6,)
    assert [part.tolist() for part in x.tensor_split(three)] == [[0, 1], [2, 3], [4, 5]]
    assert [part.tolist() for part in gg.hsplit(x, three)] == [[0, 1], [2, 3], [4, 5]]
    assert gg.gradient(x, dim=zero)[0].tolist() == [1.0] * 6
    assert F.interpolate(x.reshape(1, 1, 6), size=three).tolist() == [[[0, 2, 4]]]
    assert gg.fft.rfftn(x, s=np.int64(6), dim=zero).shape == (4,)
    bins = gg.histogramdd(gg.tensor([[0.0, 1.0], [1.0, 0.0]]), bins=np.int64(2)).hist
    assert bins.tolist() == [[0, 1], [1, 0]]


def test_names_of_nodes() -> None:
    x, t = gg.ones(2, 3, requires_grad=True), gg.tensor([0, 1])
    image, weight = gg.ones(1, 1, 4, 4, requires_grad=True), gg.ones(1, 1, 2, 2, requires_grad=True)
    for y, name in (
        (x**2, "PowBackward0"),
        (x.square(), "PowBackward0"),
        (x.log1p(), "Log1PBackward0"),
        (x.norm(), "LinalgVectorNormBackward0"),
        (F.logsigmoid(x), "LogSigmoidBackward0"),
        (F.pad(x, (1, 1)), "ConstantPadNdBackward0"),
        (F.conv2d(image, weight), "ConvolutionBackward0"),
        (F.max_pool2d(image, 2), "MaxPool2DWithIndicesBackward0"),
        (F.avg_pool2d(image, 2), "AvgPool2DBackward0"),
        (gg.nn.LayerNorm(3)(x), "NativeLayerNormBackward0"),
        (F.layer_norm(x, (3,)), "NativeLayerNormBackward0"),
        (gg.nn.GroupNorm(1, 3)(x), "NativeGroupNormBackward0"),
        (gg.nn.BatchNorm1d(3)(x), "NativeBatchNormBackward0"),
        (F.cross_entropy(x, t), "NllLossBackward0"),
        (F.mse_loss(x, gg.zeros(2, 3), reduction="none"), "MseLossBackward0"),
    ):
        assert y.grad_fn.name() == name and f"grad_fn=<{name}>" in repr(y)


def test_what_losses_say_of_two_sizes(device: str) -> None:
    message = (
        r"target size \(torch.Size\(\[2, 1\]\)\) that is different to the input size \(torch.Size\(\[2\]\)\)"
    )
    with pytest.warns(UserWarning, match=message.replace("torch", gg.__name__)):
        F.mse_loss(gg.ones(2, device=device), gg.ones(2, 1, device=device))


def test_switches_of_an_older_pytorch() -> None:
    gg.utils.backcompat.broadcast_warning.enabled = True
    assert gg.utils.backcompat.broadcast_warning.enabled and not gg.utils.backcompat.keepdim_warning.enabled
    gg.utils.backcompat.broadcast_warning.enabled = False


@pytest.mark.parametrize("other", [np.ones((1, 4, 4), np.float32), [[1.0]], None])
def test_what_is_no_tensor_is_refused(other: Any) -> None:
    t = gg.ones(4, 4)
    for call, name in (
        (lambda: F.linear(other, t), "linear"),
        (lambda: F.linear(t, other), "linear"),
        (lambda: gg.nn.Linear(4, 2)(other), "linear"),
        (lambda: F.max_pool2d(other, 2), "max_pool2d"),
        (lambda: F.avg_pool2d(other, 2), "avg_pool2d"),
        (lambda: F.adaptive_avg_pool2d(other, 1), "adaptive_avg_pool2d"),
        (lambda: F.dropout(other), "dropout"),
        (lambda: F.pad(other, (1, 1)), "pad"),
        (lambda: gg.reshape(other, (-1,)), "reshape"),
        (lambda: gg.flatten(other), "flatten"),
        (lambda: gg.squeeze(other), "squeeze"),
        (lambda: gg.unsqueeze(other, 0), "unsqueeze"),
        (lambda: gg.transpose(other, 0, 1), "transpose"),
        (lambda: gg.unbind(other), "unbind"),
        (lambda: gg.chunk(other, 2), "chunk"),
        (lambda: gg.clamp(other, 0, 1), "clamp"),
        (lambda: gg.topk(other, 1), "topk"),
        (lambda: gg.cumsum(other, 0), "cumsum"),
        (lambda: gg.multinomial(other, 1), "multinomial"),
        (lambda: gg.bernoulli(other), "bernoulli"),
        (lambda: gg.diag(other), "diag"),
        (lambda: gg.zeros_like(other), "zeros_like"),
    ):
        with pytest.raises(TypeError, match=rf"{name}.*must be Tensor, not {type(other).__name__}"):
            call()
    if other is not None:
        with pytest.raises(TypeError, match=r"convolution.*must be Tensor, not"):
            F.conv2d(other, gg.ones(1, 1, 2, 2))
