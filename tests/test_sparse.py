"""Sparse tensors: what they look like, their tape, and the scripts of graph nets that use them."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import nn

AT = [[0, 1, 1], [2, 0, 2]]


def small(device: str, **more: Any) -> Any:
    return gg.sparse_coo_tensor(AT, [3.0, 4.0, 5.0], (2, 3), device=device, **more)


def test_what_a_sparse_tensor_is(device: str) -> None:
    s = small(device)
    assert (
        isinstance(s, gg.Tensor)
        and s.is_sparse
        and s.layout is gg.sparse_coo
        and gg.ones(2).layout is gg.strided
    )
    assert tuple(s.shape) == (2, 3) and s.dtype is gg.float32 and s.device.type == device and s.numel() == 6
    assert s._nnz() == 3 and s.sparse_dim() == 2 and s.dense_dim() == 0 and not s.is_coalesced()
    assert s._indices().tolist() == AT and s._values().tolist() == [3, 4, 5]
    assert s.t().shape == (3, 2) and s.T.to_dense().tolist() == s.to_dense().t().tolist()
    assert (
        s.double().dtype is gg.float64
        and s.cpu().device.type == "cpu"
        and s.to(device).coalesce().is_coalesced()
    )
    assert gg.sparse_coo_tensor(AT, [1.0, 2.0, 3.0]).shape == (2, 3)
    assert gg.sparse_coo_tensor((2, 3), device=device).to_dense().tolist() == [[0, 0, 0], [0, 0, 0]]
    assert gg.sparse.FloatTensor(gg.tensor(AT), gg.tensor([1, 2, 3]), gg.Size((2, 3))).dtype is gg.float32
    assert gg.sparse.LongTensor(2, 3).dtype is gg.int64


def test_text() -> None:
    assert repr(small("cpu")) == (
        "tensor(indices=tensor([[0, 1, 1],\n                       [2, 0, 2]]),\n"
        "       values=tensor([3., 4., 5.]),\n       size=(2, 3), nnz=3, layout=gradgpu.sparse_coo)"
    )
    assert "values=tensor([3., 4., 5.])" in repr(small("cpu").double()) and "dtype=gradgpu.float64" in repr(
        small("cpu").double()
    )
    assert "values=tensor([], size=(0,))" in repr(gg.sparse_coo_tensor((2, 3)))
    assert "requires_grad=True" in repr(small("cpu", requires_grad=True))
    assert "grad_fn=<MulBackward0>" in repr(small("cpu", requires_grad=True) * 2)


def test_entries_of_one_place_are_added_up(device: str) -> None:
    s = gg.sparse_coo_tensor([[1, 0, 1], [1, 0, 1]], gg.tensor([1.0, 2.0, 3.0], device=device), (2, 2))
    with pytest.raises(RuntimeError, match="Cannot get indices on an uncoalesced tensor"):
        s.indices()
    c = s.coalesce()
    assert c.indices().tolist() == [[0, 1], [0, 1]] and c.values().tolist() == [2, 4] and c.coalesce() is c
    assert s.to_dense().tolist() == [[2, 0], [0, 4]]
    assert (s * s).to_dense().tolist() == [[4, 0], [0, 16]] and s.abs().to_dense().tolist() == [
        [2, 0],
        [0, 4],
    ]


def test_gradients_reach_values_and_leaves(device: str) -> None:
    v = gg.tensor([3.0, 4.0, 5.0], device=device, requires_grad=True)
    s = gg.sparse_coo_tensor(AT, v, (2, 3))
    assert (
        s.requires_grad and not s.is_leaf and s.grad_fn.name() == "SparseCooTensorWithDimsAndTensorsBackward0"
    )
    (s @ gg.ones(3, 2, device=device)).sum().backward()
    assert v.grad is not None and v.grad.tolist() == [2, 2, 2]
    leaf = small(device, requires_grad=True)
    assert leaf.is_leaf and leaf.grad is None
    gg.sparse.sum(leaf * 3).backward()
    assert leaf.grad.is_sparse and leaf.grad._values().tolist() == [3, 3, 3]
    leaf.grad = None
    assert leaf.grad is None and not leaf.detach().requires_grad


def test_arithmetic_refuses_what_is_not_sparse(device: str) -> None:
    s, x = small(device), gg.ones(2, 3, device=device)
    assert (x + s).tolist() == [[1, 1, 4], [5, 1, 6]] and (s * x).is_sparse and (-s).is_sparse
    assert (s + s)._nnz() == 3 and (s - s).to_dense().abs().sum() == 0
    with pytest.raises(RuntimeError, match=r"Use add\(dense, sparse\)"):
        s + x
    for refused in (
        lambda: s.exp(),
        lambda: s + 1,
        lambda: s.mean(),
        lambda: gg.softmax(s, 1),
        lambda: s.view(-1),
    ):
        with pytest.raises((NotImplementedError, RuntimeError), match="sparse"):
            refused()
    with pytest.raises(TypeError, match="can't convert Sparse layout tensor to numpy"):
        s.numpy()
    with pytest.raises(
        RuntimeError, match="coalesce expected sparse coordinate tensor layout but got Strided"
    ):
        x.coalesce()
    with pytest.raises(TypeError, match="register_buffer"):
        nn.Parameter(s)


def test_an_index_outside_is_refused(device: str) -> None:
    with pytest.raises((RuntimeError, IndexError), match="size is inconsistent|out of bounds"):
        gg.sparse_coo_tensor(AT, gg.ones(3, device=device), (2, 2)).to_dense().tolist()
    with pytest.raises((RuntimeError, IndexError), match="negative index -1|index -"):
        gg.sparse_coo_tensor([[-1], [0]], gg.ones(1, device=device), (2, 2)).to_dense().tolist()


def test_selection_and_joining(device: str) -> None:
    s = small(device)
    d = s.to_dense()
    assert s[0].to_dense().tolist() == d[0].tolist() and s[1, 2].item() == 5
    assert (
        s[:, 1:].to_dense().tolist() == d[:, 1:].tolist()
        and s[1:, ::2].to_dense().tolist() == d[1:, ::2].tolist()
    )
    assert s[None].shape == (1, 2, 3) and s.unsqueeze(-1).to_dense().tolist() == d.unsqueeze(-1).tolist()
    assert gg.cat([s, s], 1).to_dense().tolist() == gg.cat([d, d], 1).tolist()
    assert gg.stack([s, s]).to_dense().tolist() == gg.stack([d, d]).tolist()
    at = gg.tensor([1, 1, 0], device=device)
    assert s.index_select(0, at).to_dense().tolist() == d.index_select(0, at).tolist()
    assert s.sum().item() == 12 and s.sum(0).to_dense().tolist() == d.sum(0).tolist()


def test_in_place(device: str) -> None:
    s = small(device)
    s.mul_(2)
    s /= 4
    assert s._values().tolist() == [1.5, 2, 2.5]
    other = small(device)
    assert other.copy_(s) is other and other._values().tolist() == [1.5, 2, 2.5]
    with pytest.raises(RuntimeError, match="leaf Variable"):
        small(device, requires_grad=True).mul_(2)


def test_from_dense_tensors(device: str) -> None:
    x = gg.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]], dtype=gg.float64, device=device, requires_grad=True)
    s = x.to_sparse()
    assert (
        s.is_coalesced()
        and s.indices().tolist() == [[0, 0, 1], [0, 2, 1]]
        and s.values().tolist() == [1, 2, 3]
    )
    (s.values() ** 2).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[2, 0, 4], [0, 6, 0]]
    assert gg.zeros(2, 0, device=device).to_sparse()._nnz() == 0
    with pytest.raises(NotImplementedError, match="0-dim"):
        gg.ones((), device=device).to_sparse()


def test_blocks_as_entries(device: str) -> None:
    x = gg.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, 0.0]], device=device)
    s = x.to_sparse(1)
    assert s.sparse_dim() == 1 and s.dense_dim() == 1 and s.indices().tolist() == [[0, 2]]
    assert s.to_dense().tolist() == x.tolist() and gg.sparse.sum(s, 1).to_dense().tolist() == [3, 0, 3]
    assert gg.sparse.softmax(s, 1).values()[0].sum().item() == pytest.approx(1)


@pytest.mark.parametrize("suffix", ["gg", "pt"])
def test_saving(suffix: str, tmp_path: Path, device: str) -> None:
    s = small(device).coalesce()
    file = tmp_path / f"s.{suffix}"
    gg.save({"adj": s, "x": gg.ones(2)}, file)
    back = gg.load(file)["adj"]
    assert (
        back.is_coalesced() and back.device == s.device and back.to_dense().tolist() == s.to_dense().tolist()
    )
    for other in (pickle.loads(pickle.dumps(s)), copy.deepcopy(s)):
        assert other.is_coalesced() and other.to_dense().tolist() == s.to_dense().tolist()
    buffer = io.BytesIO()
    gg.save(small(device, requires_grad=True), buffer)
    buffer.seek(0)
    assert gg.load(buffer).requires_grad


def test_compressed_rows(device: str, tmp_path: Path) -> None:
    s = gg.sparse_csr_tensor([0, 1, 3], [2, 0, 2], gg.tensor([3.0, 4.0, 5.0], device=device), (2, 3))
    assert s.layout is gg.sparse_csr and s.is_sparse_csr and not s.is_sparse and s.device.type == device
    assert (
        s.crow_indices().tolist() == [0, 1, 3]
        and s.col_indices().tolist() == [2, 0, 2]
        and s.values().tolist() == [3, 4, 5]
    )
    assert s.to_dense().tolist() == small(device).to_dense().tolist() and (
        s @ gg.ones(3, 1, device=device)
    ).tolist() == [[3], [9]]
    coo = small(device)
    assert (
        coo.to_sparse_csr().crow_indices().tolist() == [0, 1, 3] and s.to_sparse_coo().layout is gg.sparse_coo
    )
    assert gg.eye(2, device=device).to_sparse_csr().col_indices().tolist() == [0, 1]
    assert gg.eye(2).to_sparse(layout=gg.sparse_csr).is_sparse_csr and s.to_sparse().is_sparse
    for kept in (
        s * 2,
        s.double(),
        s.cpu(),
        s.detach(),
        s.clone(),
        copy.deepcopy(s),
        pickle.loads(pickle.dumps(s)),
        s.to_sparse_csr(),
    ):
        assert kept.is_sparse_csr and kept.col_indices().tolist() == [2, 0, 2]
    assert s.t().layout is gg.sparse_coo and s.t().to_dense().tolist() == s.to_dense().t().tolist()
    for suffix in ("gg", "pt"):
        gg.save({"adj": s}, tmp_path / f"s.{suffix}")
        back = gg.load(tmp_path / f"s.{suffix}")["adj"]
        assert back.is_sparse_csr and back.to_dense().tolist() == s.to_dense().tolist()
    assert repr(s.cpu()) == (
        "tensor(crow_indices=tensor([0, 1, 3]),\n       col_indices=tensor([2, 0, 2]),\n"
        "       values=tensor([3., 4., 5.]),\n       size=(2, 3), nnz=3, layout=gradgpu.sparse_csr)"
    )
    v = gg.tensor([1.0, 2.0], requires_grad=True)
    (gg.sparse_csr_tensor([0, 1, 2], [1, 0], v) @ gg.ones(2)).sum().backward()
    assert (
        v.grad is not None
        and v.grad.tolist() == [1, 1]
        and gg.sparse_csr_tensor([0, 0], [], []).shape == (1, 0)
    )
    for wrong, seen in (
        (lambda: gg.sparse_csr_tensor([0, 2], [1], [1.0]), "end with 2 entries"), (lambda: s.indices(), "SparseCsr"),
        (lambda: gg.sparse_csr_tensor([[0, 1]], [0], [1.0]), "two vectors"), (lambda: gg.ones(2).to_sparse_csr(), "expected a matrix"),
        (lambda: gg.ones(2).crow_indices(), "got Strided"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=seen):
            wrong()
    with pytest.raises(NotImplementedError, match="sparse_csr"):
        coo.to_sparse(layout=gg.strided)


class GraphConvolution(nn.Module):
    """Kipf & Welling (2017): Â X W + b."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.weight = nn.Parameter(gg.empty(inputs, outputs))
        self.bias = nn.Parameter(gg.zeros(outputs))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: gg.Tensor, adj: gg.Tensor) -> gg.Tensor:
        return gg.spmm(adj, gg.mm(x, self.weight)) + self.bias


class GCN(nn.Module):
    def __init__(self, adj: gg.Tensor, inputs: int, hidden: int, classes: int):
        super().__init__()
        self.register_buffer("adj", adj)
        self.one, self.two = GraphConvolution(inputs, hidden), GraphConvolution(hidden, classes)

    def forward(self, x: gg.Tensor) -> gg.Tensor:
        return self.two(nn.functional.relu(self.one(x, self.adj)), self.adj)


def test_a_graph_net_learns_two_groups(device: str) -> None:
    """Two rings joined by one edge; two labelled nodes tell the net which is which."""
    gg.manual_seed(0)
    n = 20
    ring = [(k, (k + 1) % 10) for k in range(10)]
    edges = ring + [(a + 10, b + 10) for a, b in ring] + [(0, 10)]
    rows = [a for a, b in edges] + [b for a, b in edges] + list(range(n))
    columns = [b for a, b in edges] + [a for a, b in edges] + list(range(n))
    adj = gg.sparse_coo_tensor([rows, columns], gg.ones(len(rows)), (n, n)).coalesce()
    degree = gg.sparse.sum(adj, 1).to_dense()
    adj = gg.sparse_coo_tensor(adj.indices(), adj.values() / degree[adj.indices()[0]], (n, n))
    model = GCN(adj, n, 8, 2).to(device)
    assert model.adj.device.type == device and model.state_dict()["adj"].is_sparse
    x, y = gg.eye(n, device=device), gg.tensor([0] * 10 + [1] * 10, device=device)
    optimizer = gg.optim.Adam(model.parameters(), lr=0.05)
    seen = gg.tensor([5, 15], device=device)
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x)[seen], y[seen])
        loss.backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).sum().item() >= 18
    again = GCN(adj, n, 8, 2).to(device)
    again.load_state_dict(model.state_dict())
    assert gg.equal(again(x), model(x))


class SpecialSpmm(gg.autograd.Function):
    """Veličković et al. (2018), as a Function: a gradient for the entries alone."""

    @staticmethod
    def forward(ctx: Any, indices: Any, values: Any, shape: Any, b: Any) -> Any:
        a = gg.sparse_coo_tensor(indices, values, shape)
        ctx.save_for_backward(a, b)
        return gg.matmul(a, b)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        a, b = ctx.saved_tensors
        at = a._indices()
        return None, g.matmul(b.t())[at[0], at[1]], None, a.t().matmul(g)


def test_a_function_that_saves_a_sparse_tensor(device: str) -> None:
    rng = np.random.default_rng(0)
    at = gg.tensor(rng.integers(0, 9, (2, 30)), device=device)
    v, x = (gg.tensor(rng.normal(size=s), device=device, requires_grad=True) for s in ((30,), (9, 4)))
    y = SpecialSpmm.apply(at, v, (9, 9), x)
    mine = gg.autograd.grad((y * y).sum(), (v, x))
    y = gg.sparse.mm(gg.sparse_coo_tensor(at, v, (9, 9)), x)
    for a, b in zip(mine, gg.autograd.grad((y * y).sum(), (v, x))):
        gg.testing.assert_close(a, b)


def test_products_are_the_same_bits_each_time(device: str) -> None:
    rng = np.random.default_rng(1)
    at = gg.tensor(rng.integers(0, 200, (2, 5000)), device=device)
    v, x = (
        gg.tensor(rng.normal(size=s).astype("f"), device=device, requires_grad=True)
        for s in ((5000,), (200, 9))
    )
    s = gg.sparse_coo_tensor(at, v, (200, 200))

    def once() -> list:
        y = s @ x
        return [y, *gg.autograd.grad((y * y).sum(), (v, x), retain_graph=True)]

    assert all(gg.equal(a, b) for a, b in zip(once(), once()))


def test_mm_of_two_dense_matrices(device: str) -> None:
    x = gg.ones(2, 2, device=device)
    assert gg.sparse.mm(x, x).tolist() == [[2.0, 2.0], [2.0, 2.0]]
    with pytest.raises(TypeError, match="expected two Tensors"):
        gg.sparse.mm(x, 1)
