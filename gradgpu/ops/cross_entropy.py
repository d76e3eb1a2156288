"""Cross-entropy from logits and negative log-likelihood, each with its gradient in one op."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..autograd.modes import MODES, SPECIAL, state
from ..autograd.node import LEAF, Node, new_node
from ..cuda.array import contiguous, empty, zeros
from ..cuda.launch import Kernel
from ..dtypes import FLOATS, int64
from ..tensor import Tensor, wrap
from .index import all_below
from .reduce import require_floating, require_tensor, sum_op
from .registry import Op
from .saved import Saving, from_saved, unpack, with_zeros
from .softmax import log_softmax_op, softmax_backward_op, softmax_op
from .sums import float_max, float_sum

FUNCTIONAL = ["cross_entropy", "nll_loss"]

REDUCTIONS = ("mean", "sum", "none")

_PARAMS = "PPPPPPPPPqqqqdii"
_KERNELS = {
    name: Kernel("loss.cu", name, _PARAMS, T=FLOATS)
    for name in (
        "cross_entropy_rows",
        "cross_entropy_columns",
        "cross_entropy_backward_rows",
        "cross_entropy_backward_columns",
        "nll_loss",
        "nll_loss_backward",
        "target_weight",
    )
}
_TOTAL = Kernel("loss.cu", "loss_total", "PPPPqii", T=FLOATS)


def reduction_of(op: str, reduction: str, size_average: Any = None, reduce: Any = None) -> str:
    """`reduction`, or what the deprecated flags say."""
    if size_average is not None or reduce is not None:
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in REDUCTIONS:
        raise ValueError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    return reduction


# ---- cpu ----
_aranges: dict[int, np.ndarray] = {}


def _arange(n: int) -> np.ndarray:
    found = _aranges.get(n)
    if found is None:
        if len(_aranges) > 64:
            _aranges.clear()
        found = _aranges[n] = np.arange(n)
    return found


def _rows(x: Any) -> Any:
    """(N, C, …) as (positions, C), half types in float32."""
    if x.dtype.itemsize == 2:
        x = x.astype(np.float32)
    if x.ndim == 2:
        return x
    if x.ndim == 1:
        return x.reshape(1, -1)
    return np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])


def _unrows(rows: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """The way back."""
    if rows.dtype is not dtype:
        rows = rows.astype(dtype, copy=False)
    if len(shape) == 2:
        return rows
    if len(shape) == 1:
        return rows.reshape(shape)
    return np.moveaxis(rows.reshape((shape[0], *shape[2:], shape[1])), -1, 1)


def _plain(t: np.ndarray, classes: int, weight: Any, ignore_index: int) -> bool:
    """Whether every target counts, and counts once."""
    if weight is not None or 0 <= ignore_index < classes:
        return False
    return all_below(t, classes)


def _weights(op: str, t: np.ndarray, classes: int, weight: Any, ignore_index: int, dtype: Any) -> tuple:
    """The targets with 0 for those ignored, and the weight of each (0 where ignored)."""
    valid = t != ignore_index
    safe = np.where(valid, t, 0)
    if t.size:
        low, high = safe.min(), safe.max()
        if low < 0 or high >= classes:
            raise IndexError(
                f"{op}: Target {low if low < 0 else high} is out of bounds for {classes} classes "
                f"(ignore_index is {ignore_index})"
            )
    w = valid.astype(dtype)
    if weight is not None and classes:
        w *= weight.astype(dtype, copy=False)[safe]
    return safe, w


def _reduced(losses: Any, norm: Any, shape: tuple[int, ...], reduction: str, dtype: np.dtype) -> Any:
    if reduction == "none":
        made = losses.reshape(shape)
    else:
        made = np.add.reduce(losses)
        if reduction == "mean":
            made = np.divide(made, norm)
    return made if made.dtype is dtype else made.astype(dtype)


def _cross_entropy_cpu(x, target, weight, *, ignore_index, label_smoothing, reduction):
    logits = _rows(x)
    n, classes = logits.shape
    t = target.reshape(-1)
    if not logits.size:
        nothing = logits.dtype.type(0 if reduction == "sum" else np.nan)
        made = np.zeros(target.shape, x.dtype) if reduction == "none" else nothing.astype(x.dtype)
        return made, logits, np.ones((n, 1), logits.dtype)
    e = np.subtract(logits, float_max(logits, 1))
    if not label_smoothing and _plain(t, classes, weight, ignore_index):
        losses = e[_arange(n), t]
        np.exp(e, e)
        total = float_sum(e, (1,))
        losses = np.subtract(np.log(total), losses)
        return _reduced(losses, n, target.shape, reduction, x.dtype), e, total
    t, w = _weights("cross_entropy", t, classes, weight, ignore_index, logits.dtype)
    shifted = e
    e = np.exp(shifted)
    total = float_sum(e, (1,), True)
    lse = np.log(total.reshape(n))
    losses = (lse - shifted[_arange(n), t]) * w
    if label_smoothing:
        every = np.ones(classes, logits.dtype) if weight is None else weight.astype(logits.dtype, copy=False)
        smooth = np.where(target.reshape(-1) != ignore_index, lse * every.sum() - (shifted * every).sum(1), 0)
        losses = losses * (1 - label_smoothing) + smooth * (label_smoothing / classes)
    losses = losses.astype(logits.dtype, copy=False)
    return _reduced(losses, np.add.reduce(w), target.shape, reduction, x.dtype), e, total


def _plain_backward(grad: Any, x: Any, t: Any, e: Any, total: Any, reduction: str) -> Any:
    """The gradient where every target counts, and counts once."""
    n = len(e)
    if reduction == "mean":
        g = e.dtype.type(grad) / n
    elif grad.dtype.itemsize == 2:
        g = grad.astype(np.float32).reshape(-1)
    else:
        g = grad.reshape(-1)
    made = np.multiply(e, np.divide(g, total).reshape(n, 1))
    made[_arange(n), t] -= g
    return _unrows(made, x.shape, x.dtype)


def _cross_entropy_backward_cpu(
    grad, x, target, weight, saved, norm, *, ignore_index, label_smoothing, reduction
):
    n, classes = saved.shape
    t = target.reshape(-1)
    if not saved.size:
        return np.zeros(x.shape, x.dtype)
    if norm.ndim == 1:
        return _plain_backward(grad, x, t, saved, norm, reduction)
    g = np.asarray(grad, saved.dtype).reshape(-1)
    t, w = _weights("cross_entropy", t, classes, weight, ignore_index, saved.dtype)
    if reduction == "mean":
        g = g / np.add.reduce(w)
    valid = target.reshape(-1) != ignore_index
    own = w * (1 - label_smoothing)
    if label_smoothing:
        every = np.ones(classes, saved.dtype) if weight is None else weight.astype(saved.dtype, copy=False)
        spread = every * (label_smoothing / classes)
        made = saved / norm * (own + spread.sum())[:, None] - spread
    else:
        made = saved / norm * own[:, None]
    made[_arange(n), t] -= own
    made *= np.where(valid, g, 0)[:, None]
    return _unrows(made.astype(saved.dtype, copy=False), x.shape, x.dtype)


def _target_weight_cpu(x, target, weight, *, ignore_index, label_smoothing):
    classes = x.shape[1 if x.ndim > 1 else 0]
    _, w = _weights("cross_entropy", target.reshape(-1), classes, weight, ignore_index, x.dtype)
    if label_smoothing:
        mean = 1.0 if weight is None else weight.mean()
        w = w * (1 - label_smoothing) + (target.reshape(-1) != ignore_index) * (label_smoothing * mean)
    return w.reshape(target.shape).astype(x.dtype, copy=False)


# ---- cuda ----
def _sizes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """(rows, classes, inner) of (N, C, …) or (C,)."""
    return (1, shape[0], 1) if len(shape) == 1 else (shape[0], shape[1], prod(shape[2:]))


def _float_of(d: np.dtype) -> np.dtype:
    return np.dtype(np.float32) if d.itemsize == 2 else d


def _launch(name: str, x: Any, target: Any, weight: Any, pointers: tuple, sizes: tuple, ignore: int, smoothing: float, g_each: int = 0) -> None:  # fmt: skip
    rows, n, inner = sizes
    g, norm, lse, losses, weights, out = [0 if p is None else p.ptr for p in pointers]
    width = 1
    positions = rows * inner
    if name + "_rows" in _KERNELS:
        if inner == 1:
            width = 256 if n > 2048 else min(32, 1 << (n - 1).bit_length())
            name += "_rows"
        else:
            name += "_columns"
    kernel = _KERNELS[name][x.dtype]
    w = 0 if weight is None else weight.ptr
    kernel(
        -(-positions // (256 // width)),
        256,
        *(x.ptr, target.ptr, w, g, norm, lse, losses, weights, out),
        *(rows, n, inner, ignore, smoothing, width, g_each),
    )


def _forward_cuda(name, x, target, weight, ignore_index, label_smoothing, reduction):
    """(loss, log-sum-exp or None, sum of weights)."""
    sizes, wide = _sizes(x.shape), _float_of(x.dtype)
    x, target = contiguous(x), contiguous(target)
    weight = None if weight is None else contiguous(weight)
    losses, weights = empty(target.shape, wide), empty(target.shape, wide)
    lse = empty(target.shape, wide) if name == "cross_entropy" else None
    loss = empty(target.shape if reduction == "none" else (), x.dtype)
    norm = empty((), wide)
    if target.size:
        each = loss if reduction == "none" else None
        _launch(
            name,
            x,
            target,
            weight,
            (None, None, lse, losses, weights, each),
            sizes,
            ignore_index,
            label_smoothing,
        )
    if reduction != "none":
        mean = int(reduction == "mean")
        _TOTAL[x.dtype](1, 1024, losses.ptr, weights.ptr, loss.ptr, norm.ptr, target.size, mean, 0)
    return loss, lse, norm


def _cross_entropy_cuda(x, target, weight, *, ignore_index, label_smoothing, reduction):
    return _forward_cuda("cross_entropy", x, target, weight, ignore_index, label_smoothing, reduction)


def _cross_entropy_backward_cuda(
    grad, x, target, weight, saved, norm, *, ignore_index, label_smoothing, reduction
):
    out = empty(x.shape, x.dtype)
    if not x.size:
        return out
    x, target, grad = contiguous(x), contiguous(target), contiguous(grad)
    weight = None if weight is None else contiguous(weight)
    pointers = (grad, norm if reduction == "mean" else None, saved, None, None, out)
    sizes = _sizes(x.shape)
    each = int(reduction == "none")
    _launch("cross_entropy_backward", x, target, weight, pointers, sizes, ignore_index, label_smoothing, each)
    return out


def _target_weight_cuda(x, target, weight, *, ignore_index, label_smoothing):
    out = empty(target.shape, x.dtype)
    if target.size:
        target = contiguous(target)
        weight = None if weight is None else contiguous(weight)
        pointers = (None, None, None, None, None, out)
        _launch("target_weight", x, target, weight, pointers, _sizes(x.shape), ignore_index, label_smoothing)
    return out


# ---- gradients ----
# The weight of each target (with its share of the smoothing), in x's dtype; constant in x.
target_weight_op = Op("target_weight", cpu=_target_weight_cpu, cuda=_target_weight_cuda, differentiable=False)


def _class_dim(x: Any) -> int:
    return 1 if x.ndim > 1 else 0


def _over_classes(v: Any, x: Any) -> Any:
    """A value a position with the dimension of the classes put back as 1."""
    if not v.ndim:
        return v
    return v.reshape((*v.shape[:1], 1, *v.shape[1:])) if x.ndim > 1 else v


def _scaled(grad: Any, x: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> Any:
    """The gradient of the loss of each position."""
    if reduction == "mean":
        w = target_weight_op(x, target, weight, ignore_index=ignore_index, label_smoothing=0.0)
        return grad / sum_op(w, dims=tuple(range(w.ndim)), keepdim=False)
    return _over_classes(grad, x)


def _cross_entropy_second(
    g, grad, x, target, weight, saved, norm, *, ignore_index, label_smoothing, reduction
):
    # gradient = scale (a softmax(x) - q) with a and q constant, scale proportional to `grad`
    attrs = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
    dim = _class_dim(x)
    unit = cross_entropy_backward_op(grad * 0.0 + 1.0, x, target, weight, saved, norm, **attrs)
    along = g * unit
    dims = tuple(range(x.ndim)) if reduction != "none" else (dim,)
    of_grad = sum_op(along, dims=dims, keepdim=False)
    a = target_weight_op(x, target, weight, ignore_index=ignore_index, label_smoothing=label_smoothing)
    scale = _over_classes(a, x) * _scaled(grad, x, target, weight, ignore_index, reduction)
    of_x = softmax_backward_op(g * scale, softmax_op(x, dim=dim), dim=dim)
    return of_grad, of_x, None, None, None, None


cross_entropy_backward_op = Op(
    "cross_entropy_backward",
    cpu=_cross_entropy_backward_cpu,
    cuda=_cross_entropy_backward_cuda,
    grads=_cross_entropy_second,
)


def _cross_entropy_rule(g0, x, target, weight, y1, y2, *, ignore_index, label_smoothing, reduction):
    attrs = {"ignore_index": ignore_index, "label_smoothing": label_smoothing, "reduction": reduction}
    return cross_entropy_backward_op(g0, x, target, weight, y1, y2, **attrs), None, None


# Outputs: the loss, and what the backward pass wants: exp(x - max) and its sums on the cpu (one-dimensional where
# every target counts alike), log(sum(exp(x))) and the sum of weights on cuda.
cross_entropy_op = Op(
    "cross_entropy",
    cpu=_cross_entropy_cpu,
    cuda=_cross_entropy_cuda,
    grads=_cross_entropy_rule,
    differentiable=(True, False, False),
)


class _CrossEntropy(Saving):
    """`cross_entropy` of float32 or float64 rows and int64 classes that all count alike, on the CPU in few steps."""

    name, node_name = "cross_entropy", "NllLossBackward0"
    inputs = ("x", "target")

    def of(
        self, input: Tensor, target: Tensor, x: np.ndarray, t: np.ndarray, ignore_index: int, reduction: str
    ) -> Tensor:
        """The loss of two tensors whose arrays are `x` and `t`."""
        e = np.subtract(x, float_max(x, 1))
        rows = len(x)
        losses = e[_arange(rows), t]
        np.exp(e, e)
        total = float_sum(e, (1,))
        losses = np.subtract(np.log(total), losses)
        output = wrap(_reduced(losses, rows, t.shape, reduction, x.dtype))
        edge = input._edge
        if edge is not None and (not MODES or state.grad):
            cell, other = input._version_cell(), target._version_cell()
            attrs = {"ignore_index": ignore_index, "label_smoothing": 0.0, "reduction": reduction}
            edges = (input if edge is LEAF else edge, None)
            checks = (cell, cell[0], other, other[0])
            output._edge = new_node(self, edges, (x, t, e, total), checks, attrs)
        return output

    def _saves(self, node: Node) -> list[tuple[str, int]]:
        return [("in", 0), ("in", 1), ("", 2), ("", 3)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        x, t, e, total = unpack(node)
        if create_graph:
            x = from_saved(x, node.edges[0])
            saved = wrap(t), None, wrap(e), wrap(total)
            return cross_entropy_backward_op(g, x, *saved, **node.attrs), None
        return _plain_backward(g, x, t, e, total, node.attrs["reduction"]), None


_cross_entropy_of = _CrossEntropy().of
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))
_INT64 = np.dtype(np.int64)


# ---- negative log-likelihood ----
def _nll_cpu(x, target, weight, *, ignore_index, reduction):
    logp = _rows(x)
    n, classes = logp.shape
    t = target.reshape(-1)
    if n and _plain(t, classes, weight, ignore_index):
        norm = logp.dtype.type(n)
        return _reduced(np.negative(logp[_arange(n), t]), norm, target.shape, reduction, x.dtype), norm
    t, w = _weights("nll_loss", t, classes, weight, ignore_index, logp.dtype)
    losses = np.zeros(n, logp.dtype) if not logp.size else np.where(w == 0, 0, logp[_arange(n), t] * -w)
    norm = np.add.reduce(w)
    return _reduced(losses.astype(logp.dtype, copy=False), norm, target.shape, reduction, x.dtype), norm


def _nll_cuda(x, target, weight, *, ignore_index, reduction):
    loss, _, norm = _forward_cuda("nll_loss", x, target, weight, ignore_index, 0.0, reduction)
    return loss, norm


def _nll_backward_cpu(grad, x, target, weight, norm, *, ignore_index, reduction):
    classes = x.shape[_class_dim(x)]
    rows = np.zeros((target.size, classes), _float_of(x.dtype))
    t, g = target.reshape(-1), np.asarray(grad, rows.dtype).reshape(-1)
    if reduction == "mean":
        g = g / norm
    if t.size and _plain(t, classes, weight, ignore_index):
        rows[_arange(target.size), t] = np.negative(g)
        return _unrows(rows, x.shape, x.dtype)
    t, w = _weights("nll_loss", t, classes, weight, ignore_index, rows.dtype)
    rows[_arange(target.size), t] = np.where(w == 0, 0, -g * w)
    return _unrows(rows, x.shape, x.dtype)


def _nll_backward_cuda(grad, x, target, weight, norm, *, ignore_index, reduction):
    out = zeros(x.shape, x.dtype)
    if target.size:
        grad, target = contiguous(grad), contiguous(target)
        weight = None if weight is None else contiguous(weight)
        pointers = (grad, norm if reduction == "mean" else None, None, None, None, out)
        each = int(reduction == "none")
        _launch("nll_loss_backward", x, target, weight, pointers, _sizes(x.shape), ignore_index, 0.0, each)
    return out


def _nll_backward_rule(g, target, weight, *, ignore_index, reduction):
    # The loss is linear in x, so the gradient in `grad` is the loss of g.
    of_grad = nll_loss_op(g, target, weight, ignore_index=ignore_index, reduction=reduction)[0]
    return of_grad, None, None, None, None


nll_loss_backward_op = Op(
    "nll_loss_backward", cpu=_nll_backward_cpu, cuda=_nll_backward_cuda, grads=_nll_backward_rule
)


def _nll_rule(g0, x, target, weight, y1, *, ignore_index, reduction):
    return (
        nll_loss_backward_op(g0, x, target, weight, y1, ignore_index=ignore_index, reduction=reduction),
        None,
        None,
    )


nll_loss_op = Op(
    "nll_loss",
    cpu=_nll_cpu,
    cuda=_nll_cuda,
    grads=_nll_rule,
    differentiable=(True, False),
)
nll_loss_op.zero_second = True


class _NllLoss(Saving):
    """`nll_loss` under the conditions of `_CrossEntropy`."""

    node_name = "NllLossBackward0"
    inputs = ("x", "target")

    def of(
        self, input: Tensor, target: Tensor, x: np.ndarray, t: np.ndarray, ignore_index: int, reduction: str
    ) -> Tensor:
        """The loss of two tensors whose arrays are `x` and `t`."""
        rows = len(x)
        output = wrap(_reduced(np.negative(x[_arange(rows), t]), rows, t.shape, reduction, x.dtype))
        edge = input._edge
        if edge is not None and (not MODES or state.grad):
            cell, other = input._version_cell(), target._version_cell()
            edges, checks = (input if edge is LEAF else edge, None), (cell, cell[0], other, other[0])
            attrs = {"ignore_index": ignore_index, "reduction": reduction}
            output._edge = new_node(self, edges, (x, t), checks, attrs)
        return output

    def _saves(self, node: Node) -> list[tuple[str, int]]:
        return [("in", 0), ("in", 1)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        x, t = unpack(node)
        norm: Any = x.dtype.type(len(x))
        if create_graph:
            x, t, norm = from_saved(x, node.edges[0]), wrap(t), wrap(norm)
        grads = nll_loss_backward_op(g, x, t, None, norm, **node.attrs), None
        return with_zeros(grads, edges) if create_graph else grads


_nll_loss_of = _NllLoss().of


# ---- public functions ----
def _direct(input: Any, target: Any, weight: Any, ignore_index: int, reduction: str) -> bool:
    """Whether the conditions of `_CrossEntropy` hold."""
    if weight is not None or not isinstance(input, Tensor) or not isinstance(target, Tensor):
        return False
    x, t = input._a, target._a
    return (
        type(x) is type(t) is np.ndarray
        and x.ndim == 2
        and x.dtype in _DIRECT
        and t.dtype is _INT64
        and t.shape == x.shape[:1]
        and x.size > 0
        and reduction in REDUCTIONS
        and _plain(t, x.shape[1], None, ignore_index)
        and not (SPECIAL and state.special)
    )


def _checked_target(op: str, input: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    """The target as int64, after checking every shape."""
    shape = input._a.shape
    if not shape:
        raise RuntimeError(f"{op}: input must be (C), (N, C) or (N, C, d1, …), got a 0-dim tensor")
    wanted = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if target._a.shape != wanted:
        kind = (
            RuntimeError if len(target._a.shape) != len(wanted) and len(wanted) < 2 else ValueError
        )  # as PyTorch
        raise kind(
            f"{op}: Expected target of shape {wanted} for input of shape {shape}, got {target._a.shape}"
        )
    if target._a.dtype.kind not in "iu":
        raise RuntimeError(
            f"{op}: expected class indices of dtype gradgpu.int64, got {target.dtype}; use target.long()"
        )
    classes = shape[1] if len(shape) > 1 else shape[0]
    if weight is not None:
        if weight._a.shape != (classes,):
            raise RuntimeError(
                f"{op}: weight tensor should be defined either for all {classes} classes or no classes "
                f"but got weight tensor of shape: {list(weight._a.shape)}"
            )
        if weight.dtype is not input.dtype and state.autocast is None:  # which converts both
            raise RuntimeError(
                f"{op}: weight has {weight.dtype}, input {input.dtype}; use weight.to(input.dtype)"
            )
    return target if target._a.dtype == np.int64 else target.to(int64)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between logits and classes, computed from logits in one pass without overflow.

    Args:
        input: logits, (C), (N, C) or (N, C, d1, …), floating point.
        target: class indices, an integer tensor of the input's shape without C; or class probabilities, a
            floating-point tensor of the input's shape.
        weight: one factor a class, (C).
        ignore_index: a class index that does not count (indices only).
        reduction: 'mean' (weighted by `weight`), 'sum' or 'none'.
        label_smoothing: share of the target, 0 to 1, that is spread evenly over all classes.

    Raises:
        IndexError: a target is no class (on cuda, where checking would wait for the device, the loss is NaN).
        ValueError: shapes do not fit, or `reduction` is unknown.

    >>> import gradgpu as gg
    >>> gg.nn.functional.cross_entropy(gg.tensor([[2., 0.]]), gg.tensor([0]))
    tensor(0.1269)
    """
    plain = size_average is None and reduce is None and not label_smoothing
    if plain and _direct(input, target, weight, ignore_index, reduction):
        return _cross_entropy_of(input, target, input._a, target._a, ignore_index, reduction)
    require_floating("cross_entropy", input)
    require_tensor("cross_entropy", target)
    reduction = reduction_of("cross_entropy", reduction, size_average, reduce)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(
            f"cross_entropy: label_smoothing must be between 0.0 and 1.0, got {label_smoothing}"
        )
    if target._a.dtype.kind in "fV" and target._a.shape == input._a.shape:
        return _with_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    target = _checked_target("cross_entropy", input, target, weight)
    return cross_entropy_op(
        input,
        target,
        weight,
        ignore_index=ignore_index,
        label_smoothing=float(label_smoothing),
        reduction=reduction,
    )[0]


def _with_probabilities(
    input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int, reduction: str, smoothing: float
) -> Tensor:
    if ignore_index >= 0:
        raise RuntimeError("cross_entropy: ignore_index is not supported for floating point target")
    dim = _class_dim(input._a)
    classes = input._a.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / max(classes, 1)
    terms = log_softmax_op(input, dim=dim) * target
    if weight is not None:
        terms = terms * weight.reshape((classes, *(1,) * max(input._a.ndim - 2, 0)))
    losses = -sum_op(terms, dims=(dim,), keepdim=False)
    if reduction == "none":
        return losses
    total = sum_op(losses, dims=tuple(range(losses.ndim)), keepdim=False)
    return total if reduction == "sum" else total / prod(losses._a.shape)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood: the log-probabilities in `input` picked by the class indices in `target`.

    Shapes, `weight`, `ignore_index`, `reduction` and errors are those of `cross_entropy`.

    >>> import gradgpu as gg
    >>> gg.nn.functional.nll_loss(gg.tensor([[-0.5, -1.0]]), gg.tensor([1]))
    tensor(1.)
    """
    if size_average is None and reduce is None and _direct(input, target, weight, ignore_index, reduction):
        return _nll_loss_of(input, target, input._a, target._a, ignore_index, reduction)
    require_floating("nll_loss", input)
    require_tensor("nll_loss", target)
    reduction = reduction_of("nll_loss", reduction, size_average, reduce)
    target = _checked_target("nll_loss", input, target, weight)
    return nll_loss_op(input, target, weight, ignore_index=ignore_index, reduction=reduction)[0]
