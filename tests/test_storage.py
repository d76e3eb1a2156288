"""The memory below tensors: `Tensor.storage`, `Tensor.untyped_storage`."""

from __future__ import annotations

import numpy as np
import pytest

import gradgpu as gg


def test_views_share_a_storage(device: str) -> None:
    x = gg.arange(6.0, device=device).reshape(2, 3)
    for view in (x, x[1], x.T, x[:, 1:], x.flatten()[4:], x.detach(), x.view(3, 2)):
        s = view.storage()
        assert s.tolist() == list(range(6)) == list(s) and s == x.storage() and hash(s) == hash(x.storage())
        assert view.untyped_storage() == x.untyped_storage() == s.untyped()
        assert view.untyped_storage().data_ptr() == x.data_ptr() == s.data_ptr()
        assert (len(s), s.size(), s.nbytes(), s.element_size()) == (
            6,
            6,
            24,
            4,
        ) and view.untyped_storage().nbytes() == 24
        assert (
            s.dtype is gg.float32 and s.device == x.device and s.is_cuda is x.is_cuda is s.untyped().is_cuda
        )
    assert x.storage() != x.clone().storage() and x.storage() != x.untyped_storage()
    assert gg.is_storage(x.storage()) and isinstance(x.untyped_storage(), gg.UntypedStorage)
    assert x.is_shared() is x.storage().is_shared() is x.untyped_storage().is_shared()


def test_entries_are_read_and_written(device: str) -> None:
    x = gg.tensor([[4, 1], [5, 3]], device=device)
    s = x.T.storage()
    assert s[1] == 1 and s[-1] == 3 and s[1:3].tolist() == [1, 5] and isinstance(s[0], int)
    s[0] = 7
    s[1:3] = s[2:4]
    assert x.tolist() == [[7, 5], [3, 3]]
    s.fill_(2)
    assert x.tolist() == [[2, 2], [2, 2]]
    assert repr(gg.zeros(2, device=device).storage()).startswith(
        " 0.0\n 0.0\n[gradgpu.storage.TypedStorage(dtype=gradgpu.float32"
    )
    assert (
        f"UntypedStorage(device={x.device}) of size 32" in repr(x.untyped_storage())
        and x.untyped_storage().element_size() == 1
    )
    with pytest.raises(IndexError):
        s[4]


def test_empty_scalar_and_required_gradients(device: str) -> None:
    assert len(gg.zeros(0, device=device).storage()) == 0 and gg.tensor(
        2.5, device=device
    ).storage().tolist() == [2.5]
    w = gg.ones(2, requires_grad=True, device=device)
    w.storage()[0] = 3.0
    assert w.tolist() == [3, 1] and not w.storage()._memory.requires_grad


def test_memory_of_numpy_arrays() -> None:
    a = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    x = gg.from_numpy(a[:, 1:])
    assert x.storage().tolist() == [0, 3, 1, 4, 2, 5] and x.storage_offset() == 2
    x.storage()[0] = 9.0
    assert a[0, 0] == 9.0
