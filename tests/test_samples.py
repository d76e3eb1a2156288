"""Every sample of every op: forward against numpy, gradients, layouts, errors, on each device.

A test covers all samples of one op in one respect and reports each sample that fails. To see one
family: `pytest tests/test_samples.py -k "softmax and cpu"`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from tests import samples
from tests.samples import FLOATS, In, OpSamples, Sample

# (rtol, atol) of values against a float64 reference computed from the same, rounded inputs.
TOLERANCE = {
    "float64": (1e-9, 1e-9),
    "float32": (2e-5, 2e-5),
    "float16": (4e-3, 4e-3),
    "bfloat16": (3e-2, 3e-2),
}
LARGE = 4000  # Jacobian entries beyond which gradcheck projects instead

ALL: list[OpSamples] = []
BROKEN: dict[str, Exception] = {}
for _family in samples.families():
    try:
        ALL.extend(samples.load(_family))
    except Exception as error:  # a family that does not import fails one test, not the collection
        BROKEN[_family] = error

each_op = pytest.mark.parametrize("op", [pytest.param(op, id=op.id) for op in ALL])
each_differentiable = pytest.mark.parametrize(
    "op", [pytest.param(op, id=op.id) for op in ALL if op.differentiable]
)
each_twice = pytest.mark.parametrize(
    "op", [pytest.param(op, id=op.id) for op in ALL if op.differentiable and op.second_order]
)
each_smooth = pytest.mark.parametrize(
    "op", [pytest.param(op, id=op.id) for op in ALL if op.differentiable and op.finite_differences]
)
each_smooth_twice = pytest.mark.parametrize(
    "op",
    [
        pytest.param(op, id=op.id)
        for op in ALL
        if op.differentiable and op.finite_differences and op.second_order
    ],
)
each_op_and_dtype = pytest.mark.parametrize(
    "op, dtype", [pytest.param(op, dtype, id=f"{op.id}-{dtype}") for op in ALL for dtype in op.dtypes]
)
each_op_and_float = pytest.mark.parametrize(
    "op, dtype",
    [
        pytest.param(op, d, id=f"{op.id}-{d}")
        for op in ALL
        if op.differentiable
        for d in op.dtypes
        if d in FLOATS
    ],
)


@pytest.mark.parametrize("family", sorted(samples.families()))
def test_samples_import(family: str) -> None:
    assert family not in BROKEN, f"tests/samples/{family}.py: {BROKEN[family]!r}"


@each_op_and_dtype
def test_forward(op: OpSamples, dtype: str, device: str) -> None:
    """Values, dtype and device of the results; inputs stay as they were; a second call gives the same bits."""

    def check(sample: Sample) -> None:
        arrays = draw(sample, dtype)
        results = tensors_of(call(op, sample, arrays, device, dtype))
        compare_with_reference(op, sample, arrays, results, dtype)
        for y in results:
            assert y.device.type == device, f"result on {y.device}"
        if op.reference is None and device == "cuda":
            for y, z in zip(results, tensors_of(call(op, sample, arrays, "cpu", dtype)), strict=True):
                compare(y, z.detach().numpy(), tolerance(op, dtype))
        again = tensors_of(call(op, sample, arrays, device, dtype))
        for y, z in zip(results, again, strict=True):
            assert y.detach().cpu().numpy().tobytes() == z.detach().cpu().numpy().tobytes(), (
                "two calls differ"
            )

    for_each_sample(op, check)


@each_op
def test_layouts(op: OpSamples, device: str) -> None:
    """Inputs that are transposed, sliced, at an odd offset or expanded give what contiguous ones give."""
    if not op.layouts:
        return
    dtype = "float32" if "float32" in op.dtypes else op.dtypes[0]

    def check(sample: Sample) -> None:
        arrays = draw(sample, dtype)
        for name, (values, place) in LAYOUTS.items():
            laid = [values(a) for a in arrays]
            if all(a.size < 2 for a in laid):
                continue
            try:
                results = tensors_of(call(op, sample, laid, device, dtype, place=place))
                compare_with_reference(op, sample, laid, results, dtype)
                if op.differentiable and dtype in FLOATS:
                    got = gradients(op, sample, laid, device, dtype, place=place)
                    want = gradients(op, sample, laid, device, dtype)
                    compare_gradients(op, got, want, dtype)
            except Exception as error:
                raise AssertionError(f"layout {name}: {type(error).__name__}: {error}") from error

    for_each_sample(op, check)


@each_op_and_float
def test_gradient(op: OpSamples, dtype: str, device: str) -> None:
    """First derivatives in each dtype on each device against those in float64 on the cpu."""
    if dtype == "float64" and device == "cpu":
        return  # that is test_gradcheck

    def check(sample: Sample) -> None:
        arrays = draw(sample, dtype)
        got = gradients(op, sample, arrays, device, dtype)
        want = gradients(op, sample, widen(sample, arrays, dtype), "cpu", "float64")
        compare_gradients(op, got, want, dtype)
        for g, part in zip(got, differentiable_inputs(sample, dtype), strict=True):
            if g is not None:
                assert g.dtype.name == part.dtype_under(dtype), f"gradient of {part} is {g.dtype}"

    for_each_sample(op, check)


@each_differentiable
def test_gradient_of_each_input_alone(op: OpSamples, device: str) -> None:
    """A gradient is the same whether or not other inputs require one."""
    dtype = "float32" if "float32" in op.dtypes else next(d for d in op.dtypes if d in FLOATS)

    def check(sample: Sample) -> None:
        count = len(differentiable_inputs(sample, dtype))
        if count < 2:
            return
        arrays = draw(sample, dtype)
        together = gradients(op, sample, arrays, device, dtype)
        for k in range(count):
            alone = gradients(op, sample, arrays, device, dtype, only=k)
            compare_gradients(op, alone, together[k : k + 1], dtype)

    for_each_sample(op, check)


@each_smooth
def test_gradcheck(op: OpSamples) -> None:
    """First derivatives against finite differences, in float64."""
    for_each_sample(op, lambda sample: finite_differences(op, sample, gg.autograd.gradcheck))


@each_smooth_twice
def test_gradgradcheck(op: OpSamples) -> None:
    """Second derivatives against finite differences of the first, in float64."""
    for_each_sample(op, lambda sample: finite_differences(op, sample, gg.autograd.gradgradcheck))


@pytest.mark.cuda
@each_twice
def test_second_derivative_on_cuda(op: OpSamples) -> None:
    """Second derivatives on cuda against those on the cpu, in float64."""

    def check(sample: Sample) -> None:
        arrays = draw(sample, "float64")
        got = second_gradients(op, sample, arrays, "cuda")
        want = second_gradients(op, sample, arrays, "cpu")
        compare_gradients(op, got, want, "float64")

    for_each_sample(op, check)


@each_op
def test_errors(op: OpSamples, device: str) -> None:
    """Calls that must raise do, with a message that helps."""

    def check(bad: Sample) -> None:
        arrays = draw(bad, op.dtypes[0])
        with pytest.raises(bad.raises, match=bad.match):  # type: ignore[attr-defined]
            call(op, bad, arrays, device, op.dtypes[0])

    for_each_sample(op, check, op.errors)


# ---- making tensors ----


def draw(sample: Sample, dtype: str) -> list[np.ndarray]:
    """Values for each input, the same at each call."""
    rng = np.random.default_rng(1)
    return [part.draw(rng, dtype) for part in sample.inputs()]


def widen(sample: Sample, arrays: list[np.ndarray], dtype: str) -> list[np.ndarray]:
    """The same values with those under test in float64."""
    return [
        a.astype(np.float64) if part.dtype is None and part.is_floating(dtype) else a
        for part, a in zip(sample.inputs(), arrays, strict=True)
    ]


def differentiable_inputs(sample: Sample, dtype: str) -> list[In]:
    return [part for part in sample.inputs() if part.grad and part.is_floating(dtype)]


def contiguous(a: np.ndarray, device: str) -> Any:
    return gg.tensor(a, device=device)


def transposed(a: np.ndarray, device: str) -> Any:
    """Memory in the reverse order of dimensions."""
    return (
        gg.tensor(np.ascontiguousarray(a.T), device=device).permute(*range(a.ndim)[::-1])
        if a.ndim > 1
        else sliced(a, device)
    )


def sliced(a: np.ndarray, device: str) -> Any:
    """Every second element of a larger tensor."""
    if not a.ndim:
        return offset(a, device)
    big = np.full((*a.shape[:-1], 2 * a.shape[-1]), 7, a.dtype)
    big[..., ::2] = a
    return gg.tensor(big, device=device)[..., ::2]


def offset(a: np.ndarray, device: str) -> Any:
    """Contiguous, but not at the start of an allocation and not aligned to 16 bytes."""
    return gg.tensor(np.concatenate([np.zeros(1, a.dtype), a.reshape(-1)]), device=device)[1:].reshape(
        a.shape
    )


def expanded(a: np.ndarray, device: str) -> Any:
    """One row seen many times (stride 0)."""
    return gg.tensor(a[:1], device=device).expand(*a.shape) if a.ndim and a.size else contiguous(a, device)


def first_row_everywhere(a: np.ndarray) -> np.ndarray:
    return np.broadcast_to(a[:1], a.shape) if a.ndim and a.size else a


LAYOUTS: dict[str, tuple[Callable, Callable]] = {
    "transposed": (np.asarray, transposed),
    "sliced": (np.asarray, sliced),
    "offset": (np.asarray, offset),
    "expanded": (first_row_everywhere, expanded),
}


def leaves_and_call(
    op: OpSamples,
    sample: Sample,
    arrays: list[np.ndarray],
    device: str,
    dtype: str,
    place: Callable = contiguous,
    only: int | None = None,
) -> tuple[list[Any], Any]:
    """(the tensors that require grad, the result of the op)."""
    values = iter(arrays)
    wanted = differentiable_inputs(sample, dtype)
    wanted = wanted if only is None else wanted[only : only + 1]
    leaves, kept = [], []

    def make(part: In) -> Any:
        a = next(values)
        x = place(a, device)
        kept.append((x, a))
        if op.differentiable and any(part is w for w in wanted):
            x = x.detach().requires_grad_()
            leaves.append(x)
        return x

    args, kwargs = sample.build(make)
    gg.manual_seed(3)
    result = op.function(*args, **kwargs)
    for x, a in kept:
        seen = x.detach().cpu().numpy()
        assert (
            seen.shape == a.shape and seen.astype(a.dtype).tobytes() == np.ascontiguousarray(a).tobytes()
        ), f"an input of shape {a.shape} was changed"
    return leaves, result


def call(op: OpSamples, sample: Sample, arrays: list[np.ndarray], device: str, dtype: str, **how: Any) -> Any:
    return leaves_and_call(op, sample, arrays, device, dtype, **how)[1]


def tensors_of(result: Any) -> list[Any]:
    """The tensors of a result, in order."""
    if isinstance(result, gg.Tensor):
        return [result]
    if isinstance(result, (tuple, list)):
        return [y for part in result for y in tensors_of(part)]
    return []


def outputs_and_cotangents(result: Any, place: Callable = contiguous) -> tuple[list[Any], list[Any]]:
    """The outputs that carry a gradient, and a fixed gradient for each, rounded to its dtype."""
    outputs, weights = [], []
    for number, y in enumerate(tensors_of(result)):
        if y.requires_grad:
            values = np.random.default_rng(number).uniform(0.25, 1, tuple(y.shape))
            outputs.append(y)
            weights.append(place(np.asarray(values).astype(np.float16).astype(y.dtype.np), str(y.device)))
    return outputs, weights


def gradients(
    op: OpSamples, sample: Sample, arrays: list[np.ndarray], device: str, dtype: str, **how: Any
) -> list[Any]:
    """The gradient of each differentiable input (None where it has none); `place` lays out the cotangents too."""
    leaves, result = leaves_and_call(op, sample, arrays, device, dtype, **how)
    place = how.get("place", contiguous)
    place = contiguous if place is expanded else place  # its values would be others
    outputs, weights = outputs_and_cotangents(result, place)
    if not leaves or not outputs:
        return [None] * len(leaves)
    return list(gg.autograd.grad(outputs, leaves, weights, allow_unused=True))


def second_gradients(op: OpSamples, sample: Sample, arrays: list[np.ndarray], device: str) -> list[Any]:
    """Gradients, with respect to the inputs, of a weighted sum of the squared gradients."""
    leaves, result = leaves_and_call(op, sample, arrays, device, "float64")
    outputs, weights = outputs_and_cotangents(result)
    if not leaves or not outputs:
        return [None] * len(leaves)
    first = gg.autograd.grad(outputs, leaves, weights, create_graph=True, allow_unused=True)
    linked = [g for g in first if g is not None and g.requires_grad]
    if not linked:
        return [None] * len(leaves)
    return list(gg.autograd.grad(linked, leaves, [2 * g.detach() for g in linked], allow_unused=True))


def finite_differences(op: OpSamples, sample: Sample, checker: Callable) -> None:
    """Runs gradcheck or gradgradcheck on one sample."""
    wanted = differentiable_inputs(sample, "float64")
    if not wanted:
        return
    arrays = draw(sample, "float64")
    inputs = [
        gg.tensor(a).requires_grad_(any(part is w for w in wanted))
        for part, a in zip(sample.inputs(), arrays, strict=True)
    ]
    sizes = [x.numel() for x in inputs if x.requires_grad]
    if not any(sizes):
        return

    def function(*tensors: Any) -> Any:
        values = iter(tensors)
        args, kwargs = sample.build(lambda part: next(values))
        gg.manual_seed(3)
        return op.function(*args, **kwargs)

    function.__name__ = op.name
    outputs = sum(y.numel() for y in tensors_of(function(*inputs)))
    work = sum(sizes) * outputs if checker is gg.autograd.gradcheck else (sum(sizes) + outputs) * sum(sizes)
    checker(function, inputs, fast_mode=work > LARGE)


# ---- comparing ----


def for_each_sample(op: OpSamples, check: Callable[[Sample], None], those: Any = None) -> None:
    """Runs `check` on every sample and fails with the list of those that failed."""
    failed = []
    for sample in op.samples if those is None else those:
        try:
            check(sample)
        except Exception as error:
            failed.append((sample, error))
        except pytest.fail.Exception as error:
            failed.append((sample, error))
    if failed:
        lines = [f"{sample!r}\n  {type(e).__name__}: {str(e).strip()[:1500]}" for sample, e in failed]
        raise AssertionError(
            f"{op.id}: {len(failed)} of {len(op.samples if those is None else those)} samples:\n"
            + "\n".join(lines)
        ) from failed[0][1]


def compare_with_reference(
    op: OpSamples, sample: Sample, arrays: list[np.ndarray], results: list[Any], dtype: str
) -> None:
    if op.reference is None:
        return
    values = iter(widen(sample, arrays, dtype))
    args, kwargs = sample.build(lambda part: next(values))
    with np.errstate(all="ignore"):
        want = op.reference(*args, **kwargs)
    wants = list(want) if isinstance(want, (tuple, list)) else [want]
    assert len(results) == len(wants), f"{len(results)} results, the reference has {len(wants)}"
    fixed = any(part.dtype in FLOATS for part in sample.inputs()) or "dtype" in sample.kwargs
    for got, expected in zip(results, wants, strict=True):
        expected = np.asarray(expected)
        assert tuple(got.shape) == expected.shape, f"shape {tuple(got.shape)}, expected {expected.shape}"
        kind = "f" if got.dtype.is_floating_point else "b" if got.dtype is gg.bool else "i"
        expected_kind = {"u": "i", "V": "f"}.get(expected.dtype.kind, expected.dtype.kind)
        assert kind == expected_kind, f"dtype {got.dtype}, expected kind {expected.dtype}"
        if kind == "f" and dtype in FLOATS and not fixed and op.same_dtype:
            assert got.dtype.name == dtype, f"dtype {got.dtype}, expected {dtype}"
        compare(got, expected, tolerance(op, got.dtype.name))


def tolerance(op: OpSamples, dtype: str) -> tuple[float, float]:
    return op.tolerance.get(dtype) or TOLERANCE.get(dtype, (0, 0))


def compare(got: Any, want: np.ndarray, bounds: tuple[float, float]) -> None:
    values = got.detach().cpu().numpy()
    if bounds == (0, 0):
        np.testing.assert_array_equal(values, want)
    else:
        largest = {"float16": 65504.0, "float32": 3.4e38, "bfloat16": 3.38e38}.get(got.dtype.name)
        want = np.asarray(want, np.float64)
        if largest:  # what the dtype cannot hold is infinite in it
            want = np.where(np.abs(want) > largest, np.copysign(np.inf, want), want)
        np.testing.assert_allclose(values.astype(np.float64), want, rtol=bounds[0], atol=bounds[1])


def compare_gradients(op: OpSamples, got: list[Any], want: list[Any], dtype: str) -> None:
    assert len(got) == len(want)
    rtol, atol = tolerance(op, dtype)
    for k, (g, w) in enumerate(zip(got, want, strict=True)):
        assert (g is None) == (w is None), (
            f"gradient {k}: {g is not None and g.shape} against {w is not None and w.shape}"
        )
        if g is None:
            continue
        assert g.shape == w.shape, f"gradient {k} has shape {tuple(g.shape)}, expected {tuple(w.shape)}"
        values = w.detach().cpu().numpy().astype(np.float64)
        scale = max(1.0, float(np.max(np.abs(values[np.isfinite(values)]), initial=0)))
        try:
            compare(g, values, (4 * rtol, 4 * atol * scale))
        except AssertionError as error:
            raise AssertionError(f"gradient {k}: {error}") from error
