"""Sparse tensors in coordinate format: the positions of the entries and their values.

`sparse_coo_tensor(indices, values, size)` makes one, `x.to_sparse()` takes the elements of a dense tensor that are not zero. They are
for the adjacency matrices of graph nets and the like: products with dense matrices run in a kernel of their own
(kernels/sparse.cu) in time and memory of the entries alone, and gradients go to the dense factor and to the values.

>>> import gradgpu as gg
>>> a = gg.sparse_coo_tensor([[0, 1, 1], [2, 0, 2]], [3., 4., 5.], (2, 3))
>>> a @ gg.ones(3, 1)
tensor([[3.],
        [9.]])
>>> a.to_dense()
tensor([[0., 0., 3.],
        [4., 0., 5.]])

A `SparseTensor` is a Tensor whose values are a tensor of their own, with a history of its own. Operations that know sparse
tensors are in `rules.RULES`; all others raise NotImplementedError.
"""

from . import rules
from .construct import (
    BFloat16Tensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
    sparse_coo_tensor,
    sparse_csr_tensor,
)
from .functions import addmm, log_softmax, mm, softmax, sum
from .tensor import CSRTensor, SparseTensor

__all__ = [
    "CSRTensor",
    "SparseTensor",
    "addmm",
    "log_softmax",
    "mm",
    "softmax",
    "sparse_coo_tensor",
    "sparse_csr_tensor",
    "sum",
]
