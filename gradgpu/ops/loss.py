"""Losses that compare element by element; cross-entropy is in cross_entropy.py."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from ..autograd.modes import MODES, SPECIAL, state
from ..autograd.node import LEAF, Node, next_sequence
from ..cuda.reduction import reduce_cuda
from ..tensor import Tensor, wrap
from . import pointwise as _pw
from . import smooth as _smooth
from .activations import logsigmoid
from .cross_entropy import cross_entropy, nll_loss, reduction_of  # noqa: F401 - part of FUNCTIONAL
from .moments import mean_op
from .pointwise_op import Pointwise
from .reduce import require_floating, require_tensor, sum_op
from .registry import Op
from .saved import Saving, from_saved, unpack

FUNCTIONAL = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
]
__all__: list[str] = []

_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)
_HALF: dict[str, Any] = {"inputs": "float", "half": "float32"}

# ---- the loss of one element ----
squared_error = Pointwise(
    "squared_error",
    "(x - t) * (x - t)",
    lambda x, t: np.square(x - t),
    {"x": lambda g, x, t: g * ((x - t) * 2.0), "t": lambda g, x, t: g * ((t - x) * 2.0)},
    **_HALF,
)
absolute_error = Pointwise(
    "absolute_error",
    "fabs(x - t)",
    lambda x, t: np.abs(x - t),
    {"x": lambda g, x, t: g * _pw.sign(x - t), "t": lambda g, x, t: g * _pw.sign(t - x)},
    **_HALF,
)


def _clipped(d: Any, limit: Any) -> Any:
    if type(d) is np.ndarray:
        limit = d.dtype.type(limit)
        return d.clip(-limit, limit)  # a third of the time of `minimum` and `maximum`
    return _pw.minimum(_pw.maximum(d, -limit), limit)


def _divided(x: Any, beta: Any) -> Any:
    return x if type(beta) is float and beta == 1.0 else x / beta


smooth_l1_error = Pointwise(
    "smooth_l1_error",
    "fabs(x - t) < beta ? (x - t) * (x - t) * 0.5 / beta : fabs(x - t) - 0.5 * beta",
    lambda x, t, *, beta: _divided(_huber(np.abs(x - t), beta), beta),
    {
        "x": lambda g, x, t, *, beta: g * _divided(_clipped(x - t, beta), beta),
        "t": lambda g, x, t, *, beta: g * _divided(_clipped(t - x, beta), beta),
    },
    **_HALF,
)


huber_error = Pointwise(
    "huber_error",
    "fabs(x - t) <= delta ? (x - t) * (x - t) * 0.5 : delta * (fabs(x - t) - 0.5 * delta)",
    lambda x, t, *, delta: _huber(np.abs(x - t), delta),
    {
        "x": lambda g, x, t, *, delta: g * _clipped(x - t, delta),
        "t": lambda g, x, t, *, delta: g * _clipped(t - x, delta),
    },
    **_HALF,
)


def _huber(d: Any, delta: float) -> Any:
    near = d.clip(d.dtype.type(0), d.dtype.type(delta))
    return near * (d - 0.5 * near)  # d²/2 below delta, delta (d - delta / 2) above


# The logarithms are not less than -100, so that a certain and wrong answer costs something finite, as in PyTorch.
bernoulli_error = Pointwise(
    "bernoulli_error",
    "-(t * Max::apply(log(x), C(-100)) + (1 - t) * Max::apply(log1p(-x), C(-100)))",
    lambda x, t: -(t * np.maximum(np.log(x), -100) + (1 - t) * np.maximum(_smooth.log1p(-x), -100)),
    {
        "x": lambda g, x, t: g * ((x - t) / _pw.maximum((1.0 - x) * x, 1e-12)),
        "t": lambda g, x: g * (_pw.log1p(-x) - _pw.log(x)),
    },
    **_HALF,
)
logit_error = Pointwise(
    "logit_error",
    "Max::apply(x, C(0)) - x * t + log1p(exp(-fabs(x)))",
    lambda x, t: np.maximum(x, 0) - x * t + _smooth.log1p_exp(x),
    {"x": lambda g, x, t: g * (_pw.sigmoid(x) - t), "t": lambda g, x: -g * x},
    **_HALF,
)
divergence = Pointwise(
    "divergence",
    "(t == C(0) ? C(0) : t * log(t)) - t * x",
    lambda x, t: np.where(t == 0, 0, t * np.log(t)).astype(t.dtype, copy=False) - t * x,
    {
        "x": lambda g, t: -g * t,
        "t": lambda g, x, t: g * _pw.where_op(t > 0.0, _pw.log(t) + 1.0 - x, -x),
    },
    **_HALF,
)
log_divergence = Pointwise(
    "log_divergence",
    "exp(t) * (t - x)",
    lambda x, t: np.exp(t) * (t - x),
    {"x": lambda g, t: -g * _pw.exp(t), "t": lambda g, x, t: g * (_pw.exp(t) * (t - x + 1.0))},
    **_HALF,
)


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of the losses, or the losses themselves."""
    if reduction == "none":
        return losses
    op = mean_op if reduction == "mean" else sum_op
    return op(losses, dims=tuple(range(losses._a.ndim)), keepdim=False)


def _operands(op: str, input: Tensor, target: Tensor) -> None:
    require_tensor(op, input)
    require_tensor(op, target)
    # These have the dtype of both together, others the input's.
    both = op in ("mse_loss", "l1_loss", "smooth_l1_loss")
    require_floating(op, target if both and target.is_floating_point() else input)
    if input._a.shape != target._a.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) in {op}. This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )


# ---- mean squared error: the common case in one op ----
def _mse_cpu(x, t, *, reduction):
    d = np.subtract(x, t)
    if d.dtype.itemsize == 2:
        d = d.astype(np.float32)
    flat = d.reshape(-1)
    total = np.dot(flat, flat)
    if reduction == "mean":
        n = flat.size
        total = total / n if n else total * np.nan
    dtype = x.dtype
    return total if total.dtype is dtype else total.astype(dtype)


def _mse_cuda(x, t, *, reduction):
    squares = squared_error(x, t)
    dims = tuple(range(x.ndim))
    if reduction == "sum":
        return reduce_cuda("sum", squares, dims, False, (x.dtype,))
    return reduce_cuda("mean", squares, dims, False, (x.dtype,), 1 / x.size if x.size else float("nan"))


def _mse_rule(g, x, t, x_shape, *, reduction, needs):
    factor = 2.0
    if reduction == "mean":
        n = 1
        for size in x_shape:
            n *= size
        factor = 2.0 / max(n, 1)
    of_x = (x - t) * (g * factor)
    return of_x if needs[0] else None, -of_x if needs[1] else None


mse_loss_op = Op("mse_loss", cpu=_mse_cpu, cuda=_mse_cuda, grads=_mse_rule)


class _MeanSquares(Saving):
    """`mse_loss` of float arrays of one shape on the CPU in few steps, as it stands at the end of every step of a regression."""

    node_name = mse_loss_op.node_name
    inputs = mse_loss_op.inputs

    def of(self, input: Tensor, target: Tensor, x: np.ndarray, t: np.ndarray, mean: bool) -> Tensor:
        """The loss of two tensors whose arrays are `x` and `t`."""
        flat = np.subtract(x, t).reshape(-1)
        total = np.dot(flat, flat)
        output = wrap(total / flat.size if mean else total)
        to_x, to_t = input._edge, target._edge
        if (to_x is not None or to_t is not None) and (not MODES or state.grad):
            cell, other = input._version_cell(), target._version_cell()
            output._edge = node = Node()
            node.op, node.seq, node.saved = self, next_sequence(), (x, t)
            node.cell = node.extra = None
            node.all_edges = (input if to_x is LEAF else to_x, target if to_t is LEAF else to_t)
            node.checks, node.attrs = (cell, cell[0], other, other[0]), 2.0 / flat.size if mean else 2.0
        return output

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        x, t = unpack(node)
        to_x, to_t = edges
        if create_graph:
            x, t = from_saved(x, node.edges[0]), from_saved(t, node.edges[1])
            of_x = (x - t) * (g * node.attrs)
        else:
            of_x = np.subtract(x, t)
            of_x *= g * node.attrs
        return None if to_x is None else of_x, None if to_t is None else -of_x


_mean_squares = _MeanSquares()


def _weighted(name: str, losses: Tensor, weight: Tensor, reduction: str) -> Tensor:
    """Losses times weights of their shape, reduced; their mean is the weighted one."""
    if weight.shape != losses.shape:
        raise ValueError(
            f"{name}: Weights and input must have the same size, got {tuple(weight.shape)} and {tuple(losses.shape)}"
        )
    if reduction == "mean":
        return reduced(losses * weight, "sum") / reduced(weight, "sum")
    return reduced(losses * weight, reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared difference of `input` and `target`, averaged, summed or as it is (`reduction`).

    With `weight` (of the input's shape) the mean is a weighted one.

    >>> import gradgpu as gg
    >>> gg.nn.functional.mse_loss(gg.tensor([1., 2.]), gg.tensor([1., 4.]))
    tensor(2.)
    """
    a: Any = getattr(input, "_a", None)
    b: Any = getattr(target, "_a", None)
    if (
        type(a) is type(b) is np.ndarray
        and (a.dtype is _F32 or a.dtype is _F64)
        and b.dtype is a.dtype
        and a.shape == b.shape
        and (reduction == "mean" and a.size or reduction == "sum")
        and size_average is None
        and reduce is None
        and weight is None
        and not (SPECIAL and state.special)
    ):
        return _mean_squares.of(input, target, a, b, reduction == "mean")
    _operands("mse_loss", input, target)
    reduction = reduction_of("mse_loss", reduction, size_average, reduce)
    if weight is not None:
        return _weighted("mse_loss", squared_error(input, target), weight, reduction)
    if reduction != "none" and a.shape == b.shape and a.dtype == b.dtype:
        return mse_loss_op(input, target, reduction=reduction)
    return reduced(squared_error(input, target), reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute difference of `input` and `target`, averaged, summed or as it is.

    With `weight` (of the input's shape) the mean is a weighted one.

    >>> import gradgpu as gg
    >>> gg.nn.functional.l1_loss(gg.tensor([1., 2.]), gg.tensor([1., 4.]))
    tensor(1.)
    """
    _operands("l1_loss", input, target)
    reduction = reduction_of("l1_loss", reduction, size_average, reduce)
    losses = absolute_error(input, target)
    return reduced(losses, reduction) if weight is None else _weighted("l1_loss", losses, weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d²/(2 beta) where the absolute difference d is less than `beta`, d − beta/2 elsewhere.

    >>> import gradgpu as gg
    >>> gg.nn.functional.smooth_l1_loss(gg.tensor([1., 2.]), gg.tensor([1., 4.]), reduction="sum")
    tensor(1.5000)
    """
    _operands("smooth_l1_loss", input, target)
    reduction = reduction_of("smooth_l1_loss", reduction, size_average, reduce)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return reduced(smooth_l1_error(input, target, beta=float(beta)), reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d²/2 where the absolute difference d is at most `delta`, delta (d − delta/2) elsewhere.

    >>> import gradgpu as gg
    >>> gg.nn.functional.huber_loss(gg.tensor([1., 2.]), gg.tensor([1., 4.]), reduction="sum")
    tensor(1.5000)
    """
    _operands("huber_loss", input, target)
    reduction = reduction_of("huber_loss", reduction)
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, got {delta}")
    losses = huber_error(input, target, delta=float(delta))
    if weight is None:
        return reduced(losses, reduction)
    losses = losses * weight
    return (
        reduced(losses, "sum") / reduced(weight, "sum") if reduction == "mean" else reduced(losses, reduction)
    )


def _same_size(op: str, input: Tensor, target: Tensor) -> None:
    require_floating(op, input)
    require_tensor(op, target)
    if input._a.shape != target._a.shape:
        raise ValueError(
            f"{op}: target size {tuple(target._a.shape)} must be the same as input size {tuple(input._a.shape)}; "
            "reshape one of them, e.g. target.view_as(input)"
        )


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """−(t log x + (1 − t) log(1 − x)) for probabilities x in `input` and t in `target`, of one shape.

    The logarithms are cut at −100. `weight` multiplies the losses.

    >>> import gradgpu as gg
    >>> gg.nn.functional.binary_cross_entropy(gg.tensor([0.5]), gg.tensor([1.]))
    tensor(0.6931)
    """
    _same_size("binary_cross_entropy", input, target)
    reduction = reduction_of("binary_cross_entropy", reduction, size_average, reduce)
    x = input._a
    if (
        isinstance(x, (np.ndarray, np.generic))
        and x.size
        and not (float(np.min(x)) >= 0 and float(np.max(x)) <= 1)
    ):
        raise RuntimeError(
            "binary_cross_entropy: all elements of input should be between 0 and 1; "
            "for logits use binary_cross_entropy_with_logits"
        )
    losses = bernoulli_error(input, target)
    return reduced(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """binary_cross_entropy(sigmoid(input), target), computed from the logits without overflow.

    `weight` multiplies the losses, `pos_weight` the part of the positive targets; both broadcast.

    >>> import gradgpu as gg
    >>> gg.nn.functional.binary_cross_entropy_with_logits(gg.tensor([0.]), gg.tensor([1.]))
    tensor(0.6931)
    """
    _same_size("binary_cross_entropy_with_logits", input, target)
    reduction = reduction_of("binary_cross_entropy_with_logits", reduction, size_average, reduce)
    if pos_weight is None:
        losses = logit_error(input, target)
    else:
        losses = (1 - target) * input - ((pos_weight - 1) * target + 1) * logsigmoid(input)
    return reduced(losses if weight is None else losses * weight, reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """target · (log target − input), for log-probabilities in `input`; with `log_target` those of the target, too.

    `reduction` may also be 'batchmean': the sum divided by the first size, which is the divergence's definition.

    >>> import gradgpu as gg
    >>> gg.nn.functional.kl_div(gg.tensor([[-1., -1.]]), gg.tensor([[0.5, 0.5]]), reduction="batchmean")
    tensor(0.3069)
    """
    require_floating("kl_div", input)
    require_tensor("kl_div", target)
    batchmean = reduction == "batchmean"
    reduction = "sum" if batchmean else reduction_of("kl_div", reduction, size_average, reduce)
    losses = reduced((log_divergence if log_target else divergence)(input, target), reduction)
    return losses / input._a.shape[0] if batchmean and input._a.ndim else losses
