"""Forward mode: arrays with a tangent, and how each operation carries it on.

A `Dual` array holds a tensor and its derivative along a direction. An operation that meets one (autograd/layers.py says how)
is computed on the tensors inside, and its derivative comes from what is known of it already:

* an elementwise operation's gradient rule multiplies by the local derivative, so the rule of an input, given the tangent of
  that input, is the derivative along it;
* a linear operation (`LINEAR`) is its own derivative, one that is linear in each of several inputs (`PRODUCTS`) is so for
  each in turn;
* a choice of elements (`max`, `sort`, …) chooses from the tangent too;
* of all others the derivative is the gradient of the gradient rule with respect to the incoming gradient, in which it is
  linear ("double backward": Christianson, "Reverse accumulation and accurate rounding error estimates", 1992, and
  Townsend, "A new trick for calculating Jacobian vector products", 2017).

Tangents are None where they are zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd.layers import LayerArray, Level
from ..autograd.modes import enable_grad, state
from ..tensor import Tensor, wrap
from .creation import zeros_like
from .index import gather_op
from .pointwise_op import Pointwise
from .reduce import broadcast_op
from .registry import Op


class Dual(LayerArray):
    """A tensor and its tangent (None: zero), seen as one array."""

    __slots__ = ("primal", "tangent")

    def __init__(self, primal: Tensor, tangent: Tensor | None, level: Forward):
        self.primal, self.tangent, self.level = primal, tangent, level
        self._look_like(primal._a.shape, primal._a)

    @property
    def inner(self) -> Tensor:
        return self.primal

    def get(self) -> Any:
        return self.primal._host()

    def detach(self) -> Any:
        return self.primal.detach()._a

    def copy(self) -> Dual:
        tangent = self.tangent
        return Dual(self.primal.clone(), None if tangent is None else tangent.clone(), self.level)

    def write(self, values: Tensor) -> None:
        primal, tangent = self.level.parts(values)
        self.primal.copy_(primal)
        if self.tangent is not None:
            self.tangent.copy_(zeros_like(self.primal) if tangent is None else tangent)
        elif tangent is not None:
            self.tangent = tangent.clone()

    def alike(self, made: Tensor) -> Tensor:
        return made

    def for_outside(self) -> Tensor:
        return self.primal

    def text(self) -> str:
        return f"{self.primal!r} with tangent {self.tangent!r}"


class Forward(Level):
    """One direction along which derivatives are taken."""

    name = "forward mode"

    def __init__(self, public: bool = False):
        self.public = public  # whether forward_ad.enter_dual_level opened it

    def wrap(self, primal: Tensor, tangent: Tensor | None) -> Tensor:
        """A tensor with a tangent, as the function inside sees it."""
        return wrap(self._array(primal, tangent))

    def parts(self, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """(tensor, tangent) of this level."""
        a = t._a
        return (a.primal, a.tangent) if isinstance(a, Dual) and a.level is self else (t, None)

    def lift(self, t: Tensor) -> Dual:
        return self._array(t, None)

    def _array(self, primal: Tensor, tangent: Tensor | None) -> Any:
        self.note(primal)
        if tangent is not None:
            self.note(tangent)
        return Dual(primal, tangent, self)

    def run(self, op: Any, inputs: Sequence[Any], arrays: Sequence[Any], attrs: dict) -> Any:
        primals: list[Any] = []
        tangents: list[Any] = []
        for x, a in zip(inputs, arrays):
            mine = isinstance(a, Dual) and a.level is self
            primals.append(
                a.primal if mine else wrap(x) if not isinstance(x, Tensor) and hasattr(x, "dtype") else x
            )
            tangents.append(a.tangent if mine else None)
        layers = state.layers
        state.layers = layers[: self.depth]
        try:
            made = op(*primals, **attrs)
            outputs = made if isinstance(made, tuple) else (made,)
            found = derivative(op, primals, tangents, attrs, outputs)
        finally:
            state.layers = layers
        arrays = tuple([self._array(y, t) if _continuous(y) else y._a for y, t in zip(outputs, found)])
        return arrays if isinstance(made, tuple) else arrays[0]

    def adopt(self, name: str, target: Tensor, values: Tensor) -> None:
        """A tensor without a tangent is overwritten by one that has it: its own values and a tangent of its own."""
        if target._base is not None or target._views:
            raise RuntimeError(
                f"{name}: a tensor without a tangent that has views (or is one) is overwritten by one with a tangent; work on "
                "x.clone(), or make it a dual tensor first"
            )
        primal, tangent = self.parts(values)
        own = wrap(target._a)
        own._cell = target._cell
        own.copy_(primal)
        target._a = self._array(own, None if tangent is None else tangent.clone())


def _continuous(t: Tensor) -> bool:
    return t._a.dtype.kind in "fVc"


def derivative(op: Any, primals: list, tangents: list, attrs: dict, outputs: tuple) -> tuple:
    """The tangents of the outputs of `op(*primals, **attrs)`."""
    if not op.has_gradient or all(t is None for t in tangents):
        return (None,) * len(outputs)
    if isinstance(op, Pointwise):
        return (_pointwise(op, primals, tangents, attrs, outputs[0]),)
    name = op.name
    if name in LINEAR:
        made = _linear(op, primals, tangents, attrs)
    elif name in PRODUCTS:
        made = _product(op, primals, tangents, attrs, PRODUCTS[name])
    elif name in CHOICES:
        made = (CHOICES[name](tangents[0], outputs[1], attrs), None)
    else:
        return by_double_backward(op, primals, tangents, attrs)
    return made if isinstance(made, tuple) else (made,)


def _pointwise(op: Pointwise, primals: list, tangents: list, attrs: dict, y: Tensor) -> Any:
    saved = (*primals, y)
    total = None
    for t, runner in zip(tangents, op.runners):
        if t is None or runner is None:
            continue
        if t._a.shape != y._a.shape:
            t = broadcast_op(t, shape=y._a.shape)
        part = runner(t, saved, attrs or None)
        total = part if total is None else total + part
    return total


# Linear in all inputs together. A constant that is added (a margin, a filling) is none of the derivative.
LINEAR = frozenset(
    {
        "sum", "sum_to_size", "broadcast", "view", "permute", "expand", "slice", "slice_backward", "cat", "split", "stack", "unbind",
        "triangle", "diagonal", "diagonal_embed", "flip", "roll", "off_diagonal", "mean", "constant_pad", "pad", "pad_backward", "cast",
        "to_device", "clone", "view_as_real", "view_as_complex", "complex_from_pairs", "real", "imag", "complex",
        "complex_imaginary", "complex_add", "complex_sub", "complex_neg", "conj", "dropout", "cumsum", "avg_pool2d",
        "avg_pool2d_backward", "as_strided", "as_strided_backward", "windows", "windows_backward", "fft_c2c", "fft_r2c", "fft_c2r",
        "without_row",
    }
)  # fmt: skip
_CONSTANT = {"constant_pad": "value", "off_diagonal": "fill", "index_put": "value", "scatter": "value"}

# Linear in each group of inputs, the others held.
PRODUCTS: dict[str, tuple[tuple[int, ...], ...]] = {
    **dict.fromkeys(("mm", "dot", "matmul", "complex_mul", "spmm", "sampled_product"), ((0,), (1,))),
    "linear": ((0,), (1, 2)),
    "conv2d": ((0,), (1, 2)),
    **dict.fromkeys(("conv2d_input_grad", "conv2d_weight_grad"), ((0,), (1,))),
    **dict.fromkeys(("index_select", "gather", "max_pool2d_backward", "max_pool2d_gather"), ((0,),)),
    **dict.fromkeys(("index_add", "index_put", "scatter_add", "scatter"), ((0, 2),)),
    "embedding": ((1,),),
}


def _without_constant(op: Op, attrs: dict) -> dict:
    constant = _CONSTANT.get(op.name)
    return {**attrs, constant: 0} if constant in attrs else attrs


def _linear(op: Op, primals: list, tangents: list, attrs: dict) -> Any:
    attrs = _without_constant(op, attrs)
    if op.name not in ("cat", "stack"):  # where None is zero
        tangents = [zeros_like(x) if t is None and x is not None else t for x, t in zip(primals, tangents)]
    return op(*tangents, **attrs)


def _product(op: Op, primals: list, tangents: list, attrs: dict, groups: tuple) -> Any:
    attrs = _without_constant(op, attrs)
    total = None
    for group in groups:
        if all(tangents[k] is None for k in group):
            continue
        inputs = list(primals)
        for other in groups:
            if other is not group and 2 in other and len(inputs) > 2 and op.name in ("linear", "conv2d"):
                inputs[2] = None  # the bias goes with the weight
        for k in group:
            t = tangents[k]
            inputs[k] = zeros_like(primals[k]) if t is None and primals[k] is not None else t
        part = op(*inputs, **attrs)
        total = part if total is None else total + part
    return total


def _at(t: Tensor, index: Tensor, attrs: dict) -> Tensor:
    """The elements of the tangent that were chosen; `index` has, but for a dropped dimension, as many dimensions."""
    dim = attrs["dim"]
    if not t._a.ndim:
        return t
    if index._a.ndim < t._a.ndim:
        return gather_op(t, index.unsqueeze(dim), dim=dim).squeeze(dim)
    return gather_op(t, index, dim=dim)


CHOICES: dict[str, Callable] = dict.fromkeys(("max", "min", "sort", "topk", "running_extremum"), _at)


def fresh_leaf(t: Tensor) -> Tensor:
    """A leaf with the values of `t`, of the innermost level. Derivatives that are taken outside of it lead through it."""
    t._materialise()
    made = wrap(_own_level().lift(t) if _outside(t) else t._a)
    made._cell = t._version_cell()
    made.requires_grad = True
    return made


def _own_level() -> Any:
    return state.layers[-1]


def _outside(t: Tensor) -> bool:
    """Whether a tensor does not belong to the innermost level."""
    return bool(state.layers) and not (isinstance(t._a, LayerArray) and t._a.level is _own_level())


def leaf(t: Tensor) -> Tensor:
    """A tensor to differentiate with respect to: what derivatives outside want of `t` leads through it."""
    return fresh_leaf(t) if t._edge is None or _outside(t) else t.view_as(t)


def by_double_backward(op: Callable, primals: list, tangents: list, attrs: dict) -> tuple:
    from ..autograd import grad

    record = state.grad
    with enable_grad():
        chosen = [k for k, t in enumerate(tangents) if t is not None]
        given = list(primals)
        for k in chosen:
            given[k] = leaf(primals[k])
        made = op(*given, **attrs)
        outputs = made if isinstance(made, tuple) else (made,)
        live = [k for k, y in enumerate(outputs) if isinstance(y, Tensor) and y._edge is not None]
        found: list[Any] = [None] * len(outputs)
        if not live:
            return tuple(found)
        weights = [zeros_like(outputs[k]).detach().requires_grad_() for k in live]
        pulled = grad(
            [outputs[k] for k in live],
            [given[k] for k in chosen],
            weights,
            create_graph=True,
            allow_unused=True,
        )
        pairs = [(u, tangents[k]) for u, k in zip(pulled, chosen) if u is not None and u._edge is not None]
        if pairs:
            us, ts = zip(*pairs)
            made = grad(us, weights, ts, create_graph=record, allow_unused=True)
            for k, t in zip(live, made):
                found[k] = t
    return tuple(found)
