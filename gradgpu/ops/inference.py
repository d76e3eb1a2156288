"""Operations on tensors of the device 'meta': the shapes and dtypes of what they would give.

Views, and operations on little data, are done by numpy on zeros that take no memory (`standin`), and what came out is looked at. For
those that would take long, `RULES` says the shape; where it says that of the first result only, the others (which gradients
would read) have those of a case with fewer elements. Nothing is computed backward on 'meta'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..autograd.modes import state
from ..autograd.node import LEAF, new_node
from ..dtypes import FLOAT
from ..meta import MetaArray
from ..tensor import Tensor, wrap
from .pointwise_op import Pointwise
from .shape import broadcast_shapes

_MOST = 1 << 22  # elements of the inputs of an operation without a rule

# What knows arrays without memory by itself.
_AS_IT_IS = frozenset(["cast", "to_device", "clone", "fill"])
_DEPEND_ON_VALUES = frozenset(["flat_nonzero"])


def standin(a: Any, shape: Sequence[int] | None = None) -> Any:
    """Zeros in the shape and dtype of an array (or another shape), all in one place of memory."""
    return None if a is None else np.broadcast_to(np.zeros((), a.dtype), a.shape if shape is None else shape)


def infer(op: Any, inputs: tuple, attrs: dict) -> Any:
    """What `op(*inputs, **attrs)` would give, if one of the inputs is on 'meta'."""
    tensors = [
        x if isinstance(x, Tensor) or x is None or not hasattr(x, "dtype") else wrap(x) for x in inputs
    ]
    _check_places(op, tensors)
    if isinstance(op, Pointwise):
        return _pointwise(op, tensors, attrs)
    arrays = [x._a if isinstance(x, Tensor) else x for x in tensors]
    if op.name in _DEPEND_ON_VALUES:
        raise MetaArray((), np.dtype(np.float32)).refusal(op.name)
    if op.name in _AS_IT_IS:
        made = op.cpu(*arrays, **attrs)
    elif op.name in RULES:
        made = RULES[op.name](op, arrays, attrs)
    elif op.view or sum(a.size for a in arrays if a is not None) <= _MOST:
        made = _seen(op, [standin(a) for a in arrays], attrs)
    else:
        raise NotImplementedError(
            f"{op.name}: of tensors on 'meta' with more than {_MOST} elements in all its results' shapes are not known; got "
            f"{', '.join(str(tuple(a.shape)) for a in arrays if a is not None)}"
        )
    several = type(made) is tuple
    outputs = tuple([wrap(a) for a in (made if several else (made,))])
    if op.has_gradient and state.grad and any(isinstance(x, Tensor) and x._edge is not None for x in tensors):
        op._link(tensors, arrays, outputs, attrs)
    if several:
        return outputs
    if op.view:
        outputs[0]._view_of(tensors[0], op, attrs)
    return outputs[0]


def _check_places(op: Any, tensors: Sequence[Any]) -> None:
    """All are on 'meta', but for single numbers."""
    for x in tensors:
        if isinstance(x, Tensor) and not x.is_meta and x.ndim:
            raise RuntimeError(
                f"{op.name}: expected all tensors to be on the same device, but found meta and {x.device}; "
                "move them to one device, e.g. x.to('meta')"
            )


def _pointwise(op: Pointwise, inputs: Sequence[Any], attrs: dict) -> Tensor:
    kinds = [x.dtype for x in inputs if isinstance(x, Tensor)]
    if any(d.is_complex for d in kinds) or any(type(x) is complex for x in inputs):
        made = op(*[_small(x) for x in inputs], **attrs)
        given = [x for x in inputs if isinstance(x, Tensor)]
        output = wrap(MetaArray(tuple(broadcast_shapes(*[tuple(x.shape) for x in given])), made._a.dtype))
        first = next((x for x in given if x._edge is not None), None)
        if first is not None and state.grad and made.dtype.category >= FLOAT:
            output._edge = new_node(_Refused(op.node_name), (first if first._edge is LEAF else first._edge,))
        return output
    operands = op._operands(inputs)
    values = [x._a if isinstance(x, Tensor) else x for x in operands]
    shape = broadcast_shapes(*[v.shape for v in values if hasattr(v, "shape")])
    dtype = next(v.dtype for k, v in enumerate(values) if hasattr(v, "dtype") and k not in op.conditions)
    output = wrap(MetaArray(tuple(shape), np.dtype(bool) if op.result == "bool" else dtype))
    if op.has_gradient and state.grad:
        op.record(operands, values, output, attrs or None)
    return output


class _Refused:
    """The node of what has no backward on 'meta'."""

    def __init__(self, node_name: str):
        self.node_name = node_name

    def vjp(self, node: Any, g: Any, edges: tuple, create_graph: bool) -> Any:
        raise MetaArray((), np.dtype(np.float32)).refusal(self.node_name)


def _small(x: Any) -> Any:
    """A tensor of one element of the same dtype on the CPU; a number as it is."""
    return wrap(np.zeros((1,) * x.ndim, x.dtype.np)) if isinstance(x, Tensor) else x


def _seen(op: Any, arrays: Sequence[Any], attrs: dict) -> Any:
    """What the numpy code makes of these arrays, as shapes and dtypes."""
    code = op.cpu
    if any(a is not None and a.dtype.kind == "c" for a in arrays):
        if op.composite is not None:
            made = op.composite(*[None if a is None else wrap(a) for a in arrays], **attrs)
            made = tuple([t._a for t in made]) if isinstance(made, tuple) else made._a
            return _described(made)
        code = op._complex_code(arrays)[0]
    with np.errstate(all="ignore"):
        return _described(code(*arrays, **attrs))


def _described(made: Any) -> Any:
    if isinstance(made, tuple):
        return tuple([MetaArray(a.shape, a.dtype) for a in made])
    return MetaArray(made.shape, made.dtype)


# ---- rules ----
def _same(op: Any, arrays: list, attrs: dict) -> MetaArray:
    return MetaArray(arrays[0].shape, arrays[0].dtype)


def _reduced(op: Any, arrays: list, attrs: dict) -> Any:
    """Reductions over `dims` or `dim`: the dtypes are those of a case with one element."""
    x = arrays[0]
    dims = attrs["dims"] if "dims" in attrs else (attrs["dim"],)
    if dims == (None,):
        dims = tuple(range(x.ndim))
    if any(x.shape[d] == 0 for d in dims if x.ndim):
        return _seen(op, [standin(x)], attrs)  # which may be an error
    keep = attrs.get("keepdim", False)
    shape = tuple([1 if d in dims else n for d, n in enumerate(x.shape) if keep or d not in dims])
    made = _seen(op, [np.zeros((1,) * x.ndim, x.dtype)], attrs)
    if isinstance(made, tuple):
        return tuple([MetaArray(shape, a.dtype) for a in made])
    return MetaArray(shape, made.dtype)


def _fewer(op: Any, arrays: Sequence[Any], attrs: dict, shape: Sequence[int]) -> Any:
    """The results of a case with fewer elements, but that the first has this shape."""
    made = _seen(op, arrays, attrs)
    if isinstance(made, tuple):
        return MetaArray(tuple(shape), made[0].dtype), *made[1:]
    return MetaArray(tuple(shape), made.dtype)


def _leading(op: Any, arrays: list, attrs: dict, kept: int) -> Any:
    """Leading dimensions of the first input are batches: done for one entry of each."""
    x = arrays[0]
    lead = x.ndim - kept
    one = standin(x, (*[min(n, 1) for n in x.shape[:lead]], *x.shape[lead:]))
    made = _seen(op, [one, *[standin(a) for a in arrays[1:]]], attrs)
    first = made[0] if isinstance(made, tuple) else made
    found = MetaArray((*x.shape[:lead], *first.shape[lead:]), first.dtype)
    return (found, *made[1:]) if isinstance(made, tuple) else found


def _mm(op: Any, arrays: list, attrs: dict) -> MetaArray:
    a, b = arrays
    left = a.shape if a.ndim == 2 else (prod(a.shape[:-1]), a.shape[-1])
    right = b.shape if b.ndim == 2 else (prod(b.shape[:-1]), b.shape[-1])
    left, right = left[::-1] if attrs.get("ta") else left, right[::-1] if attrs.get("tb") else right
    _products_fit(op.name, a, b, left, right)
    if a.ndim > 2 and not attrs.get("ta"):
        return MetaArray((*a.shape[:-1], right[1]), a.dtype)
    return MetaArray((left[0], right[1]), a.dtype)


def _matmul(op: Any, arrays: list, attrs: dict) -> MetaArray:
    a, b = arrays
    left = (*a.shape[:-2], *a.shape[-2:][::-1]) if attrs.get("ta") else a.shape
    right = (*b.shape[:-2], *b.shape[-2:][::-1]) if attrs.get("tb") else b.shape
    _products_fit(op.name, a, b, left[-2:], right[-2:])
    batch = tuple(broadcast_shapes(left[:-2], right[:-2]))
    return MetaArray((*batch, left[-2], right[-1]), a.dtype)


def _linear(op: Any, arrays: list, attrs: dict) -> MetaArray:
    x, weight, _ = arrays
    _products_fit("linear", x, weight, (prod(x.shape[:-1]), x.shape[-1]), weight.shape[::-1])
    return MetaArray((*x.shape[:-1], weight.shape[0]), x.dtype)


def _products_fit(name: str, a: Any, b: Any, left: Sequence[int], right: Sequence[int]) -> None:
    from .linalg import _check_types, _mismatch

    _check_types(name, a, b)
    if left[-1] != right[0]:
        raise _mismatch(name, tuple(left), tuple(right))


def _conv2d(op: Any, arrays: list, attrs: dict) -> MetaArray:
    x, weight = arrays[:2]
    if x.shape[1] != weight.shape[1] * attrs["groups"] or x.dtype != weight.dtype:
        return _seen(op, [standin(a) for a in arrays], attrs)  # which says what is wrong
    one = {**attrs, "groups": 1}
    made = _seen(
        op, [standin(x, (1, 1, *x.shape[2:])), standin(weight, (1, 1, *weight.shape[2:])), None], one
    )
    return MetaArray((x.shape[0], weight.shape[0], *made.shape[2:]), x.dtype)


def _pool2d(op: Any, arrays: list, attrs: dict) -> Any:
    x = arrays[0]
    made = _seen(op, [standin(x, (*[min(n, 1) for n in x.shape[:-2]], *x.shape[-2:]))], attrs)
    if isinstance(made, tuple):
        return tuple([MetaArray((*x.shape[:-2], *a.shape[-2:]), a.dtype) for a in made])
    return MetaArray((*x.shape[:-2], *made.shape[-2:]), made.dtype)


def _batch_norm(op: Any, arrays: list, attrs: dict) -> Any:
    x, *rest = arrays
    few = standin(x, (min(x.shape[0], 2), x.shape[1], *[min(n, 1) for n in x.shape[2:]]))
    own = [None if a is None else np.zeros(a.shape, a.dtype) for a in rest]  # the running means are written
    return _fewer(op, [few, *own], attrs, x.shape)


def _layer_norm(op: Any, arrays: list, attrs: dict) -> Any:
    return _leading(op, arrays, attrs, len(arrays[0].shape) - _batch_dims(arrays[0].shape, attrs["n"]))


def _batch_dims(shape: Sequence[int], n: int) -> int:
    """How many leading dimensions leave `n` elements behind them."""
    lead = len(shape)
    while lead and prod(shape[lead:]) != n:
        lead -= 1
    return lead


def _rows_of(op: Any, arrays: list, attrs: dict) -> MetaArray:
    x, index = arrays
    d = attrs["dim"]
    return MetaArray((*x.shape[:d], *index.shape, *x.shape[d + 1 :]), x.dtype)


def _embedding(op: Any, arrays: list, attrs: dict) -> MetaArray:
    index, weight = arrays
    return MetaArray((*index.shape, *weight.shape[1:]), weight.dtype)


def _cat(op: Any, arrays: list, attrs: dict) -> MetaArray:
    like = next(a for a in arrays if a is not None)
    d = attrs["dim"]
    return MetaArray((*like.shape[:d], sum(attrs["sizes"]), *like.shape[d + 1 :]), like.dtype)


def _stack(op: Any, arrays: list, attrs: dict) -> MetaArray:
    shape, d = arrays[0].shape, attrs["dim"]
    return MetaArray((*shape[:d], len(arrays), *shape[d:]), arrays[0].dtype)


def _split(op: Any, arrays: list, attrs: dict) -> tuple:
    shape, d = arrays[0].shape, attrs["dim"]
    return tuple([MetaArray((*shape[:d], n, *shape[d + 1 :]), arrays[0].dtype) for n in attrs["sizes"]])


def _unbind(op: Any, arrays: list, attrs: dict) -> tuple:
    shape, d = arrays[0].shape, attrs["dim"]
    return tuple([MetaArray((*shape[:d], *shape[d + 1 :]), arrays[0].dtype) for _ in range(shape[d])])


def _attention(op: Any, arrays: list, attrs: dict) -> Any:
    q, k, v = arrays[:3]
    shapes = [(*[1] * (a.ndim - 2), 1, a.shape[-1]) for a in (q, k, v)]
    few = [*[standin(a, s) for a, s in zip((q, k, v), shapes)], None]
    return _fewer(op, few, attrs, (*q.shape[:-1], v.shape[-1]))


def _solve(op: Any, arrays: list, attrs: dict) -> MetaArray:
    return MetaArray(arrays[1].shape, arrays[1].dtype)


def _shape_given(op: Any, arrays: list, attrs: dict) -> MetaArray:
    return MetaArray(tuple(attrs["shape"]), arrays[0].dtype)


RULES: dict[str, Callable] = {
    **dict.fromkeys(("softmax", "log_softmax", "cumsum", "cumprod", "dropout", "flip", "roll", "triangle", "index_put", "scatter"), _same),
    **dict.fromkeys(
        (
            "sum", "mean", "amax", "amin", "prod", "any", "all", "norm2", "logsumexp", "argmax", "argmin", "max", "min", "var_mean",
            "std_mean",
        ),
        _reduced,
    ),
    **dict.fromkeys(("avg_pool2d", "max_pool2d"), _pool2d),
    **dict.fromkeys(("broadcast", "sum_to_size"), _shape_given),
    **dict.fromkeys(("linalg_inv", "linalg_cholesky"), _same),
    "linalg_solve": _solve,
    "mm": _mm, "matmul": _matmul, "linear": _linear, "conv2d": _conv2d, "index_select": _rows_of, "embedding": _embedding, "cat": _cat,
    "batch_norm": _batch_norm, "layer_norm": _layer_norm, "stack": _stack, "split": _split, "unbind": _unbind, "attention": _attention,
}  # fmt: skip

__all__: list[str] = []
