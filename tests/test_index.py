"""Indexing beyond the samples: when a bad index is noticed, views, histories, and equal results of equal calls."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.ops.embedding import embedding


@pytest.mark.cuda
def test_a_bad_index_on_cuda_raises_at_the_next_wait() -> None:
    """The call returns, the next read raises and names the op, and the device is usable again."""
    x = gg.arange(5.0, device="cuda")
    y = x[gg.tensor([1, 7], device="cuda")]
    with pytest.raises(IndexError, match="index: index 7 is out of bounds for a dimension of size 5"):
        y.tolist()
    assert x[gg.tensor([4, -5], device="cuda")].tolist() == [4.0, 0.0]
    embedding(gg.tensor([2], device="cuda"), gg.ones(2, 3, device="cuda"))
    with pytest.raises(IndexError, match="embedding: index 2 "):
        gg.cuda.synchronize()
    gg.cuda.synchronize()


@pytest.mark.cuda
def test_a_bad_index_writes_nothing() -> None:
    x = gg.zeros(3, device="cuda")
    y = x.scatter(0, gg.tensor([5, 1], device="cuda"), gg.ones(2, device="cuda"))
    with pytest.raises(IndexError, match="scatter: index 5"):
        y.cpu()
    assert y.tolist() == [0.0, 1.0, 0.0] and x.tolist() == [0.0] * 3


def test_basic_indexing_is_a_view_and_advanced_indexing_a_copy(device: str) -> None:
    x = gg.zeros(3, 4, device=device)
    x[1].fill_(2)
    x[:, ::2][2] = 5.0
    x[[0, 1]].fill_(9)
    assert x.tolist() == [[0, 0, 0, 0], [2, 2, 2, 2], [5, 0, 5, 0]]


def test_gradients_through_assignment(device: str) -> None:
    x = gg.ones(3, 4, device=device, requires_grad=True)
    v = gg.full((2, 4), 3.0, device=device, requires_grad=True)
    y = x * 2
    y[gg.tensor([2, 0], device=device)] = v
    (y * y).sum().backward()
    assert x.grad.tolist() == [[0.0] * 4, [8.0] * 4, [0.0] * 4]
    assert v.grad.tolist() == [[6.0] * 4] * 2


def test_writing_into_a_saved_tensor_is_noticed(device: str) -> None:
    x = gg.ones(3, device=device, requires_grad=True)
    y = x * 2
    z = y * y
    y[0] = 0.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_parts_of_a_split_share_memory_and_gradients(device: str) -> None:
    x = gg.arange(6.0, device=device).requires_grad_()
    y = x * 1
    a, b, _ = y.split(2)
    with gg.no_grad():
        assert a.detach().tolist() == [0.0, 1.0]
    (a * b).sum().backward()
    assert x.grad.tolist() == [2.0, 3.0, 0.0, 1.0, 0.0, 0.0]
    base = gg.zeros(4, device=device)
    base.chunk(2)[1].fill_(1)
    assert base.tolist() == [0.0, 0.0, 1.0, 1.0]


def test_sums_through_an_index_are_reproducible(device: str) -> None:
    """The same bits at every call, and for halves one rounding only."""
    rng = np.random.default_rng(0)
    index = gg.tensor(rng.integers(0, 3, 4000), device=device)
    source = gg.tensor(rng.standard_normal(4000).astype(np.float32), device=device)
    first = gg.zeros(3, device=device).index_add(0, index, source).cpu().numpy()
    for _ in range(3):
        again = gg.zeros(3, device=device).scatter_add(0, index, source).cpu().numpy()
        assert again.tobytes() == first.tobytes()
    ones = gg.ones(4000, device=device, dtype=gg.bfloat16)
    counts = gg.zeros(3, device=device, dtype=gg.bfloat16).index_add(0, index, ones).float().cpu().numpy()
    np.testing.assert_allclose(counts, np.bincount(index.cpu().numpy()), rtol=2**-8)


@pytest.mark.parametrize("n", [5, 300])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "float16", "float32", "int64", "complex64"])
def test_the_last_of_several_writers_stays(dtype: str, n: int, device: str) -> None:
    """Rows, places within rows, and elements: few and many, with and without room for a mark."""
    rng = np.random.default_rng(0)
    kind = np.dtype(dtype)

    def values(*shape: int) -> np.ndarray:
        return rng.integers(0, 2 if dtype == "bool" else 100, shape).astype(kind)

    def on_device(a: np.ndarray) -> gg.Tensor:
        return gg.tensor(a, device=device)

    rows, columns = rng.integers(-5, 5, 40), rng.integers(-3, 3, 40)
    for shape in ((n,), (n, 3), (n, 2, 4), (n, 1)):
        old, new = values(*shape), values(40, *shape[1:])
        x, want = on_device(old), old.copy()
        x[on_device(rows)] = on_device(new)
        want[rows] = new
        assert x.tolist() == want.tolist()
        x[on_device(rows)] = on_device(new[0])  # the same for all positions
        want[rows] = new[0]
        assert x.tolist() == want.tolist()
    old, new = values(2, n, 3, 2), values(2, 40, 2)
    x, want = on_device(old), old.copy()
    x[:, on_device(rows), on_device(columns)] = on_device(new)
    want[:, rows, columns] = new
    assert x.tolist() == want.tolist()
    at = rng.integers(0, 5, (4, 3))
    old, new = values(n, 3), values(4, 3)
    want = old.copy()
    for j, row in enumerate(at):
        for k, i in enumerate(row):
            want[i, k] = new[j, k]
    if dtype != "complex64":
        assert on_device(old).scatter(0, on_device(at), on_device(new)).tolist() == want.tolist()


@pytest.mark.cuda
def test_writing_through_an_index_needs_no_table() -> None:
    x, at = gg.zeros(1000, 1000, device="cuda"), gg.tensor([3, 999, 3], device="cuda")
    values = gg.tensor([1.0, 2.0, 3.0], device="cuda")
    gg.cuda.reset_peak_memory_stats()
    before = gg.cuda.memory_allocated()
    x[at, at] = values
    assert gg.cuda.max_memory_allocated() - before < 10_000
    assert x[3, 3].item() == 3 and x.sum().item() == 5


@pytest.mark.cuda
def test_an_index_that_is_written_through_itself() -> None:
    x = gg.tensor([1, 2, 0], device="cuda")
    x[x] = gg.tensor([5, 6, 7], device="cuda")
    assert x.tolist() == [7, 5, 6]


def test_indices_may_be_lists_arrays_and_cpu_tensors(device: str) -> None:
    x = gg.arange(4.0, device=device)
    assert (
        x[np.array([2, 0])].tolist() == [2.0, 0.0] and x[np.array(1)].item() == x[np.int32(1)].item() == 1.0
    )
    assert x[gg.tensor([2, 0])].tolist() == [2.0, 0.0]
    assert x[[3]].tolist() == [3.0] and x[np.array([True, False, False, True])].tolist() == [0.0, 3.0]


def test_a_list_of_several_dimensions_is_a_tuple(device: str) -> None:
    x = gg.arange(12, device=device).reshape(3, 4)
    rows, columns = gg.tensor([0, 1], device=device), gg.tensor([1, 2], device=device)
    for index in (
        [slice(0, 2), slice(0, 1)],
        [[0, 1], [1, 2]],
        [None, 1],
        [Ellipsis, 0],
        [rows, columns],
        [rows, 2],
        [rows[1], 2],
    ):
        with pytest.warns(UserWarning, match=r"deprecated in PyTorch, write x\[tuple\(list\)\]"):
            found = x[index]
        assert gg.equal(found, x[tuple(index)])
        changed = x.clone()
        with pytest.warns(UserWarning, match="indexes several dimensions"):
            changed[index] = -1
        assert int((changed == -1).sum()) == found.numel()
    assert x[[2, 0]].tolist() == [[8, 9, 10, 11], [0, 1, 2, 3]]  # numbers alone are one index


# ---- assignment writes to the memory ----
@pytest.mark.parametrize("kind", ["rows", "mask", "pairs", "put"])
def test_assignment_through_an_index_copies_nothing_else(kind: str) -> None:
    rows = 200_000
    x, at = gg.zeros(rows, 4), gg.tensor([3, rows - 1, -2])
    gg.zeros(1).index_put_((gg.tensor([0]),), gg.tensor(1.0))  # the first use imports its method
    tracemalloc.start()
    try:
        if kind == "rows":
            x[at] = gg.ones(3, 4)
        elif kind == "mask":
            x[gg.arange(rows) % 100_000 == 5] = gg.ones(4)
        elif kind == "pairs":
            x[at, gg.tensor([0, 1, 3])] = 1.0
        else:
            x.index_put_((at,), gg.tensor(1.0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (rows * 8 * 3 if kind == "mask" else 10_000)  # a mask is looked through
    assert x.sum().item() == {"rows": 12, "mask": 8, "pairs": 3, "put": 12}[kind]


def test_assignment_from_the_same_memory(device: str) -> None:
    x = gg.arange(6.0, device=device)
    x[gg.tensor([1, 2, 3], device=device)] = x[:3]
    assert x.tolist() == [0.0, 0.0, 1.0, 2.0, 4.0, 5.0]
    x = gg.arange(6.0, device=device).reshape(2, 3)
    y = x.t()
    y[gg.tensor([0, 2], device=device)] = 7.0  # a view with gaps
    assert x.tolist() == [[7.0, 1.0, 7.0], [7.0, 4.0, 7.0]] and x._version == 1


def test_assignment_out_of_bounds_changes_nothing() -> None:
    x = gg.zeros(3)
    with pytest.raises(IndexError, match="index 3 is out of bounds for dimension 0 with size 3"):
        x[gg.tensor([0, 3])] = 1.0
    assert x.tolist() == [0.0] * 3


def test_assignment_between_parts_of_one_memory_is_refused(device: str) -> None:
    x = gg.arange(4.0, device=device)
    with pytest.raises(RuntimeError, match="refer to a single memory location"):
        x[1:] = x[:-1]
    x[:2] = x[2:]
    assert x.tolist() == [2.0, 3.0, 2.0, 3.0]


def test_reading_and_writing_by_arrays_where_nothing_is_recorded(device: str) -> None:
    values = np.arange(60.0, dtype=np.float32).reshape(3, 4, 5)
    i, j, mask = np.array([2, 0, -1]), np.array([[1], [3]]), values[..., 0] % 3 == 0
    t = {name: gg.tensor(a, device=device) for name, a in {"i": i, "j": j, "m": mask}.items()}
    for index, same in [
        ((t["i"], t["j"]), (i, j)),
        (t["m"], mask),
        ((t["m"], t["i"][:1]), (mask, i[:1])),
        ((slice(None), t["j"]), (slice(None), j)),
        ((slice(None), slice(None), t["i"]), (slice(None), slice(None), i)),
    ]:
        expected = values.copy()
        x = gg.tensor(values, device=device)
        np.testing.assert_array_equal(x[index].cpu(), expected[same])
        for recorded in (False, True):  # the long way says the same
            y = x.clone().requires_grad_(recorded)
            np.testing.assert_array_equal(y[index].detach().cpu(), expected[same])
        before = x._version
        x[index], expected[same] = 7.0, 7.0
        np.testing.assert_array_equal(x.cpu(), expected)
        new = -np.arange(float(expected[same].size), dtype=np.float32).reshape(expected[same].shape)
        x[index] = gg.tensor(new, device=device)
        expected[same] = new
        np.testing.assert_array_equal(x.cpu(), expected)
        assert x._version == before + 2
    x = gg.arange(5, device=device)
    x[gg.tensor([1, 2, 3, 4], device=device)] = x[:4]
    assert x.tolist() == [0, 0, 1, 2, 3]
    with pytest.raises(IndexError, match="out of (bounds|range)"):
        gg.zeros(3, 3)[gg.tensor([[3]]), :]
    with pytest.raises(IndexError, match="out of (bounds|range)"):
        gg.zeros(3, 2)[gg.tensor([0]), gg.tensor([-3])] = 1.0
    with pytest.raises((IndexError, RuntimeError), match="shape"):
        gg.zeros(3)[gg.ones(4).bool()]
