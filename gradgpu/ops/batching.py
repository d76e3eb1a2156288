"""vmap: arrays with a hidden batch dimension, and how each operation works on them.

A `Batched` array holds a tensor whose first dimension is the batch; functions see the rest of its shape. An operation that
meets one is handed here (autograd/layers.py says how), and its *rule* does to all entries of the batch at once, by
operations on the tensors inside, what the operation does to one. The rules stand in `RULES`, by family: most operations
leave leading dimensions alone (`leading`) or name dimensions (`shifted`); products, convolutions and indexing fold the batch
into a dimension they have. What saves values for backward in a form of its own (norms, cross-entropy) is done by simpler
operations instead (`COMPOSITES`, and what a `Fused` op is composed of). `WITHOUT_RULE` says of the others why they have none.

A new operation needs an entry in one of the three; tests/test_vmap.py holds every rule against a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from ..autograd.layers import LayerArray, Level
from ..autograd.modes import no_grad, state
from ..tensor import Tensor, wrap
from . import pointwise as _pw
from .creation import arange, ones
from .index import gather_op, take_op
from .join import stack
from .layer_norm import layer_norm_backward_op, layer_norm_op
from .linalg import matmul_op
from .loss import reduced, squared_error
from .moments import mean_op, var_mean_op
from .normalization import batch_norm_backward_op, batch_norm_op
from .pointwise_op import Pointwise
from .random import dropout_op
from .reduce import sum_op
from .registry import Op
from .shape import basic_index_op, expand_op, movedim, permute_op, reshape
from .softmax import log_softmax_op

_ALL = slice(None)


class Batched(LayerArray):
    """The entries of `value` along its first dimension, seen as one array."""

    __slots__ = ("value",)

    def __init__(self, value: Tensor, level: Vmap):
        self.value, self.level = value, level
        self._look_like(value._a.shape[1:], value._a)

    @property
    def inner(self) -> Tensor:
        return self.value

    @property
    def strides(self) -> tuple:
        return self.value.stride()[1:]

    def get(self) -> Any:
        raise RuntimeError(
            "vmap: It looks like you're calling .item() on a Tensor, or attempting to use a Tensor in some data-dependent "
            "control flow (a condition, a loop, numpy(), …). The values differ from entry to entry of the batch: use "
            "gradgpu.where instead of if, or do this outside of vmap"
        )

    def detach(self) -> Batched:
        return Batched(self.value.detach(), self.level)

    def copy(self) -> Batched:
        return Batched(self.value.clone(), self.level)

    def write(self, values: Tensor) -> None:
        inside = self.level.inside(values)
        self.value.copy_(self.level.shared(values) if inside is None else inside)

    def alike(self, made: Tensor) -> Tensor:
        return self.level.wrap(expand_op(made, shape=(self.level.size, *made._a.shape)).clone())

    def for_outside(self) -> Tensor:
        raise RuntimeError(
            "backward() called inside vmap would leave a gradient with a hidden batch dimension in .grad. Use "
            "gradgpu.func.grad or gradgpu.autograd.grad, and return the gradient"
        )

    def text(self) -> str:
        return f"BatchedTensor(lvl={self.level.depth + 1}, bdim=0, value={self.value!r})"


class Shared(Batched):
    """A tensor from outside that is the same for all entries, taken into the level so that a derivative can be taken with
    respect to it there."""

    __slots__ = ()

    def __init__(self, value: Tensor, level: Vmap):
        self.value, self.level = value, level
        self._look_like(value._a.shape, value._a)

    @property
    def strides(self) -> tuple:
        return self.value.stride()

    def get(self) -> Any:
        return self.value._host()

    def detach(self) -> Batched:
        return Shared(self.value.detach(), self.level)

    def copy(self) -> Batched:
        return Shared(self.value.clone(), self.level)

    def write(self, values: Tensor) -> None:
        if self.level.inside(values) is not None:
            self.level.adopt("an in-place operation", self.value, values)
        self.value.copy_(self.level.shared(values))

    def alike(self, made: Tensor) -> Tensor:
        return wrap(Shared(made, self.level))

    def for_outside(self) -> Tensor:
        return self.value

    def text(self) -> str:
        return repr(self.value)


class Vmap(Level):
    """A vmap that is running, over `size` entries."""

    name = "vmap"

    def __init__(self, size: int, randomness: str = "error"):
        self.size, self.randomness = size, randomness

    def wrap(self, value: Tensor) -> Tensor:
        """A tensor with the batch first, as the function inside sees it."""
        self.note(value)
        return wrap(Batched(value, self))

    def inside(self, t: Any) -> Tensor | None:
        """The tensor with the batch first; None if this level has nothing to do with `t`."""
        a = t._a
        return a.value if type(a) is Batched and a.level is self else None

    def shared(self, t: Tensor) -> Tensor:
        """A tensor without a batch dimension, as it is outside."""
        a = t._a
        return a.value if type(a) is Shared and a.level is self else t

    def lift(self, t: Tensor) -> Shared:
        self.note(t)
        return Shared(t, self)

    def composite(self, op: Op, inputs: Sequence[Any]) -> Any:
        plain = _PLAIN.get(op.name)
        if plain is not None and all(x is None for x in inputs[plain]):
            return None
        return COMPOSITES.get(op.name) or super().composite(op, inputs)

    def run(self, op: Any, inputs: Sequence[Any], arrays: Sequence[Any], attrs: dict) -> Any:
        rule = pointwise if isinstance(op, Pointwise) else RULES.get(op.name)
        if rule is None:
            why = WITHOUT_RULE.get(op.name, "nobody has written one yet (gradgpu/ops/batching.py)")
            raise NotImplementedError(
                f"vmap: Batching rule not implemented for {op.name}: {why}. Do it outside of vmap, or in a loop over the batch"
            )
        call = Call(self, op, inputs, arrays, attrs)
        kind = Batched if any(call.batched) else Shared
        made = rule(call) if kind is Batched else op(*call.values, **attrs)
        if isinstance(made, tuple):
            return tuple([self._array(t, kind) for t in made])
        return self._array(made, kind)

    def _array(self, t: Tensor, kind: type) -> Batched:
        self.note(t)
        return kind(t, self)

    def adopt(self, name: str, target: Tensor, values: Any) -> None:
        raise RuntimeError(
            f"vmap: inplace arithmetic(self, *extra_args) is not possible: {name} would write values that differ from entry "
            "to entry of the batch into a tensor that has no batch dimension. Use the operation out of place, or make the "
            "tensor from one that has the dimension, e.g. with x.clone() or x * 0"
        )


class Call:
    """One call of an operation with batched inputs, as its rule sees it."""

    __slots__ = ("op", "values", "batched", "attrs", "size")

    def __init__(self, level: Vmap, op: Any, inputs: Sequence[Any], arrays: Sequence[Any], attrs: dict):
        self.op, self.attrs, self.size = op, attrs, level.size
        self.values: list[Any] = []
        self.batched: list[bool] = []
        for x, a in zip(inputs, arrays):
            mine = isinstance(a, Batched) and a.level is level
            self.batched.append(mine and type(a) is Batched)
            self.values.append(a.value if mine else x if x is None or isinstance(x, Tensor) else _tensor(x))

    def shape(self, k: int) -> tuple:
        """The shape of an entry of input k."""
        shape = self.values[k]._a.shape
        return shape[1:] if self.batched[k] else shape

    def full(self, k: int) -> Any:
        """Input k with the batch first, repeated if it has none."""
        x = self.values[k]
        if x is None or self.batched[k]:
            return x
        return expand_op(x, shape=(self.size, *x._a.shape))

    def all(self) -> list[Any]:
        """All inputs with the batch first."""
        return [self.full(k) for k in range(len(self.values))]


def _tensor(x: Any) -> Any:
    return wrap(x) if hasattr(x, "dtype") else x


# ---- families ----
def _raised(x: Any, batched: bool, ndim: int) -> Any:
    """x with dimensions of size 1 after the batch, so that an entry has `ndim` dimensions."""
    missing = ndim - (x._a.ndim - 1) if batched else 0
    return basic_index_op(x, index=(_ALL, *(None,) * missing)) if missing > 0 else x


def pointwise(call: Call) -> Any:
    """Operands broadcast from the right (those of matmul but for their last two dimensions): the batch stays in front."""
    ndim = max([len(call.shape(k)) for k, x in enumerate(call.values) if isinstance(x, Tensor)])
    operands = [_raised(x, True, ndim) if batched else x for x, batched in zip(call.values, call.batched)]
    return call.op(*operands, **call.attrs)


def leading(call: Call) -> Any:
    """The operation works on the last dimensions, or on elements, and leaves leading ones alone."""
    return call.op(*call.all(), **call.attrs)


def shifted(call: Call) -> Any:
    """Attributes that name dimensions, or sizes of all of them, count the batch too."""
    attrs, size = dict(call.attrs), call.size
    values = call.all()
    shape = next(call.shape(k) for k, x in enumerate(call.values) if x is not None)
    zero_dim = not shape and not ("dim" in attrs and call.op.name == "stack")
    if zero_dim:  # an entry of one element, with a dimension to work on
        values = [x if x is None or x._a.ndim > 1 else reshape(x, (size, 1)) for x in values]
    if "dim" in attrs:
        attrs["dim"] = attrs["dim"] + 1
    if "dims" in attrs:
        attrs["dims"] = (1,) if zero_dim else tuple([d + 1 for d in attrs["dims"]])
    if "shape" in attrs:
        attrs["shape"] = (size, *(attrs["shape"] or (1,)))
    made = call.op(*values, **attrs)
    if not zero_dim:
        return made
    outputs = made if isinstance(made, tuple) else (made,)
    flat = tuple([reshape(t, (size,)) for t in outputs])
    return flat if isinstance(made, tuple) else flat[0]


def merged(x: Tensor, dim: int) -> Tensor:
    """The batch, in front, joined with dimension `dim` of the entries."""
    shape = x._a.shape
    if dim:
        x = movedim(x, 0, dim)
    return reshape(x, (*shape[1 : dim + 1], shape[0] * shape[dim + 1], *shape[dim + 2 :]))


def divided(x: Tensor, dim: int, size: int) -> Tensor:
    """The way back: dimension `dim` holds `size` entries one after another."""
    shape = x._a.shape
    x = reshape(x, (*shape[:dim], size, shape[dim] // max(size, 1), *shape[dim + 1 :]))
    return movedim(x, dim, 0) if dim else x


def planes(call: Call) -> Any:
    """The last two dimensions are worked on; all others become one."""
    lead = call.shape(0)[:-2]
    many = call.size * prod(lead)
    values = [reshape(x, (many, *x._a.shape[-2:])) for x in call.all()]
    made = call.op(*values, **call.attrs)
    outputs = made if isinstance(made, tuple) else (made,)
    back = tuple([reshape(t, (call.size, *lead, *t._a.shape[-2:])) for t in outputs])
    return back if isinstance(made, tuple) else back[0]


def looped(call: Call) -> Any:
    """An entry after another: for rare operations."""
    rows = []
    for i in range(call.size):
        entry = [
            basic_index_op(x, index=(i,)) if batched else x for x, batched in zip(call.values, call.batched)
        ]
        rows.append(call.op(*entry, **call.attrs))
    if isinstance(rows[0], tuple):
        return tuple([stack(column) for column in zip(*rows)])
    return stack(rows)


# ---- shapes ----
def _broadcast(call: Call) -> Any:
    (x,), shape = call.values, call.attrs["shape"]
    if len(shape) > len(call.shape(0)):
        x = _raised(x, True, len(shape))
    return call.op(x, shape=(call.size, *shape))


def _sum_to_size(call: Call) -> Any:
    shape, size = call.attrs["shape"], call.size
    own = call.shape(0)
    made = call.op(call.values[0], shape=(size, *(1,) * (len(own) - len(shape)), *shape))
    return made if made._a.ndim == 1 + len(shape) else reshape(made, (size, *shape))


def _view(call: Call) -> Any:
    return reshape(call.values[0], (call.size, *call.attrs["shape"]))


def _permute(call: Call) -> Any:
    return permute_op(call.values[0], dims=(0, *[d + 1 for d in call.attrs["dims"]]))


def _slice(call: Call) -> Any:
    return basic_index_op(call.values[0], index=(_ALL, *call.attrs["index"]))


def _slice_backward(call: Call) -> Any:
    attrs = call.attrs
    return call.op(call.values[0], shape=(call.size, *attrs["shape"]), index=(_ALL, *attrs["index"]))


def _constant_pad(call: Call) -> Any:
    return call.op(call.values[0], pads=((0, 0), *call.attrs["pads"]), value=call.attrs["value"])


def _as_strided(call: Call) -> Any:
    (n,) = call.shape(0)
    flat = reshape(call.values[0], (call.size * n,))
    a = call.attrs
    return call.op(flat, size=(call.size, *a["size"]), stride=(n, *a["stride"]), offset=a["offset"])


def _as_strided_backward(call: Call) -> Any:
    a, n = call.attrs, call.attrs["n"]
    size, stride = (call.size, *a["size"]), (n, *a["stride"])
    made = call.op(call.values[0], n=call.size * n, size=size, stride=stride, offset=a["offset"])
    return reshape(made, (call.size, n))


def _off_diagonal(call: Call) -> Any:
    return divided(call.op(merged(call.values[0], 0), **call.attrs), 0, call.size)


# ---- reductions ----
def _product(call: Call) -> Any:
    """prod and prod_others take one dimension, or all."""
    shape, dims = call.shape(0), call.attrs["dims"]
    if len(dims) < 2:
        return shifted(call)
    flat = reshape(call.values[0], (call.size, prod(shape)))
    if call.op.name == "prod_others":
        return reshape(call.op(flat, dims=(1,)), (call.size, *shape))
    made = call.op(flat, dims=(1,), keepdim=False)
    return reshape(made, (call.size, *(1,) * len(shape))) if call.attrs["keepdim"] else made


def _tie_share(call: Call) -> Any:
    x, y = call.all()
    dims = tuple([d + 1 for d in call.attrs["dims"]])
    if not call.shape(0):
        made = call.op(reshape(x, (call.size, 1)), reshape(y, (call.size, 1)), dims=(1,))
        return reshape(made, (call.size,))
    return call.op(x, _raised(y, True, x._a.ndim - 1), dims=dims)


def _arg(call: Call) -> Any:
    if call.attrs["dim"] is not None:
        return shifted(call)
    shape = call.shape(0)
    made = call.op(reshape(call.values[0], (call.size, prod(shape))), dim=1, keepdim=False)
    return reshape(made, (call.size, *(1,) * len(shape))) if call.attrs["keepdim"] else made


# ---- products ----
def _matrix(x: Tensor, batched: bool) -> Tensor:
    """An input of mm, whose leading dimensions count as rows, as a matrix (of each entry)."""
    shape = x._a.shape
    first = 1 if batched else 0
    if len(shape) - first == 2:
        return x
    return reshape(x, (*shape[:first], prod(shape[first:-1]), shape[-1]))


def _mm(call: Call) -> Any:
    a, b = call.values
    ta, tb = call.attrs.get("ta", False), call.attrs.get("tb", False)
    if not call.batched[1] and not ta:
        return call.op(a, b, ta=False, tb=tb)  # more rows
    lead = call.shape(0)[:-1]
    made = matmul_op(_matrix(a, call.batched[0]), _matrix(b, call.batched[1]), ta=ta, tb=tb)
    return made if ta or len(lead) == 1 else reshape(made, (call.size, *lead, made._a.shape[-1]))


def _dot(call: Call) -> Any:
    a, b = call.all()
    n = a._a.shape[1]
    made = matmul_op(reshape(a, (call.size, 1, n)), reshape(b, (call.size, n, 1)))
    return reshape(made, (call.size,))


def _linear(call: Call) -> Any:
    x, weight, bias = call.values
    of_x, of_weight, of_bias = call.batched
    if not of_weight and not of_bias:
        return call.op(x, weight, bias)  # more rows
    lead = call.shape(0)[:-1]
    rows = prod(lead)
    features, out = call.shape(1)[1], call.shape(1)[0]
    if of_weight:
        x = reshape(x, (*(call.size,) * of_x, rows, features))
        made = matmul_op(x, weight, ta=False, tb=True)
        if bias is not None:
            made = made + (reshape(bias, (call.size, 1, out)) if of_bias else bias)
    else:
        made = call.op(x, weight, None)
        made = reshape(made, (*(call.size,) * of_x, rows, out)) + reshape(bias, (call.size, 1, out))
    return reshape(made, (call.size, *lead, out))


# ---- convolutions ----
def _conv2d(call: Call) -> Any:
    x, weight, bias = call.values
    of_x, of_weight, of_bias = call.batched
    attrs, size = call.attrs, call.size
    if not of_weight:
        if of_x:
            made = divided(call.op(merged(x, 0), weight, None if of_bias else bias, **attrs), 0, size)
        else:
            made = call.op(x, weight, None, **attrs)
        return made + reshape(bias, (size, 1, -1, 1, 1)) if of_bias else made
    kernels = merged(weight, 0)
    shift = None if bias is None else reshape(call.full(2), (size * call.shape(2)[0],))
    if of_x or attrs["groups"] > 1:  # a group of channels for each entry
        more = {**attrs, "groups": attrs["groups"] * size}
        return divided(call.op(merged(call.full(0), 1), kernels, shift, **more), 1, size)
    return divided(call.op(x, kernels, shift, **attrs), 1, size)


def _conv2d_input_grad(call: Call) -> Any:
    g, weight = call.values
    attrs, size = call.attrs, call.size
    if not call.batched[1]:
        return divided(call.op(merged(g, 0), weight, **attrs), 0, size)
    more = {**attrs, "groups": attrs["groups"] * size}
    return divided(call.op(merged(call.full(0), 1), merged(weight, 0), **more), 1, size)


def _conv2d_weight_grad(call: Call) -> Any:
    g, x = call.values
    attrs, size = call.attrs, call.size
    if all(call.batched) or attrs["groups"] > 1:
        more = {**attrs, "groups": attrs["groups"] * size}
        return divided(call.op(merged(call.full(0), 1), merged(call.full(1), 1), **more), 0, size)
    if call.batched[0]:
        return divided(call.op(merged(g, 1), x, **attrs), 0, size)
    return divided(call.op(g, merged(x, 1), **attrs), 1, size)


# ---- indexing ----
def _row_index(index: Tensor, n: int, size: int, attrs: dict) -> Tensor:
    """Indices into n rows of each entry as indices into the rows of all, checked against n."""
    places = arange(n, device=index.device)
    index = take_op(places, index, dim=0, negative=attrs["negative"], op=attrs["op"])
    starts = arange(0, n * size, n, device=index.device) if n else arange(size, device=index.device)
    return index + reshape(starts, (size, *(1,) * (index._a.ndim - 1)))


def _take(call: Call) -> Any:
    x, index = call.values
    attrs, dim = call.attrs, call.attrs["dim"]
    if not call.batched[1]:
        return call.op(x, index, **{**attrs, "dim": dim + 1})
    if not call.batched[0]:
        made = call.op(x, index, **attrs)
        return movedim(made, dim, 0) if dim else made
    n = call.shape(0)[dim]
    rows = merged(movedim(x, dim + 1, 1) if dim else x, 0)
    at = _row_index(index, n, call.size, attrs)
    made = call.op(rows, at, dim=0, negative=False, op=attrs["op"])  # (batch, *index, the other dimensions)
    if not dim:
        return made
    first = index._a.ndim
    order = (0, *range(first, first + dim), *range(1, first), *range(first + dim, made._a.ndim))
    return permute_op(made, dims=order)


def _index_rows(call: Call) -> Any:
    """index_add and index_put."""
    x, index, source = call.values
    attrs = dict(call.attrs)
    dim = attrs["dim"]
    if not call.batched[1]:
        return call.op(call.full(0), index, call.full(2), **{**attrs, "dim": dim + 1})
    n = attrs["size"] if "size" in attrs else call.shape(0)[dim]
    at = _row_index(index, n, call.size, attrs)
    many = index._a.ndim - 1
    if source is not None:  # the indexed dimensions first
        source = call.full(2)
        order = (
            0,
            *range(dim + 1, dim + 1 + many),
            *range(1, dim + 1),
            *range(dim + 1 + many, source._a.ndim),
        )
        source = permute_op(source, dims=order)
    rows = None
    if x is not None:
        rows = call.full(0)
        rows = merged(movedim(rows, dim + 1, 1) if dim else rows, 0)
    if "size" in attrs:
        attrs["size"] = n * call.size
    made = divided(call.op(rows, at, source, **{**attrs, "dim": 0, "negative": False}), 0, call.size)
    return movedim(made, 1, dim + 1) if dim else made


def _embedding(call: Call) -> Any:
    index, weight = call.values
    padding, by_freq = call.attrs["padding"], call.attrs.get("by_freq", False)
    if by_freq:
        return looped(call)
    if not call.batched[1]:
        return call.op(index, weight, padding=padding)
    attrs = {"negative": False, "op": "embedding", "dim": 0}
    if call.batched[0]:
        at = _row_index(index, call.shape(1)[0], call.size, attrs)
        made = take_op(merged(weight, 0), at, **attrs)
    else:
        made = take_op(weight, index, **{**attrs, "dim": 1})
    if padding is None:
        return made
    # No gradient goes to the padding row.
    return _pw.where_op(_pw.eq(index, padding).unsqueeze(-1), made.detach(), made)


def _without_row(call: Call) -> Any:
    made = call.op(movedim(call.values[0], 1, 0), row=call.attrs["row"])
    return movedim(made, 0, 1)


def _flat_index(call: Call) -> Any:
    (flat,) = call.values
    made = call.op(reshape(flat, (flat.numel(),)), **call.attrs)
    return reshape(made, (*flat._a.shape, made._a.shape[-1]))


def _searchsorted(call: Call) -> Any:
    sequence, values = call.values
    if len(call.shape(0)) != 1:
        return leading(call)
    if not call.batched[0]:
        return call.op(sequence, values, **call.attrs)
    shape = call.shape(1)
    made = call.op(sequence, reshape(call.full(1), (call.size, prod(shape))), **call.attrs)
    return reshape(made, (call.size, *shape))


# ---- random ----
def _dropout(call: Call) -> Any:
    """The mask was drawn for one entry (of a forward pass outside of vmap), and is that of all."""
    x = call.values[0]
    shape = call.shape(0)
    return x * dropout_op(ones(shape, dtype=x.dtype, device=x.device), **call.attrs)


def drawn(draw: Callable, shape: tuple, op: str) -> Any:
    """Random numbers as an array, drawn as the innermost vmap wants it: `draw(shape)` at the level around it."""
    layers = state.layers
    at = next((k for k in reversed(range(len(layers))) if isinstance(layers[k], Vmap)), None)
    try:
        if at is None:
            state.layers = ()
            return draw(shape)
        level = layers[at]
        if level.randomness == "error":
            raise RuntimeError(
                f"vmap: called random operation ({op}) while in randomness error mode. Please either use the 'same' or "
                "'different' randomness flags on vmap or perform the randomness operation out of vmap"
            )
        state.layers = layers[:at]
        if level.randomness == "same":
            return draw(shape)
        return Batched(wrap(draw((level.size, *shape))), level)
    finally:
        state.layers = layers


# ---- losses, whose gradient is proportional to the incoming one ----
def _scaled(call: Call) -> Any:
    if any(call.batched[1:]):
        raise NotImplementedError(
            f"vmap: Batching rule not implemented for {call.op.name} with anything batched but the incoming gradient"
        )
    g, x, *rest = call.values
    like = ones(call.shape(0), dtype=g.dtype, device=g.device)
    unit = call.op(like, x, *rest, **call.attrs)
    n = x._a.ndim
    if call.attrs["reduction"] != "none" or n == 1:
        return unit * reshape(g, (call.size, *(1,) * n))
    return unit * g.unsqueeze(2)


# ---- norms without weights ----
def _layer_norm(call: Call) -> Any:
    y, saved, rstd = call.op(call.values[0], None, None, **call.attrs)
    return y, divided(saved, 0, call.size), divided(rstd, 0, call.size)


def _layer_norm_backward(call: Call) -> Any:
    grad, x, _, saved, rstd = call.all()
    return call.op(grad, x, None, merged(saved, 0), merged(rstd, 0), **call.attrs)


def _batch_norm(call: Call) -> Any:
    y, mean, rstd = call.op(merged(call.values[0], 1), None, None, None, None, **call.attrs)
    return divided(y, 1, call.size), divided(mean, 0, call.size), divided(rstd, 0, call.size)


def _batch_norm_backward(call: Call) -> Any:
    grad, x, _, mean, rstd = call.all()
    made = call.op(merged(grad, 1), merged(x, 1), None, merged(mean, 0), merged(rstd, 0), **call.attrs)
    return divided(made, 1, call.size)


def _each(rule: Callable, *names: str) -> dict[str, Callable]:
    return dict.fromkeys(names, rule)


RULES: dict[str, Callable] = {
    **_each(
        shifted,
        "sum", "any", "all", "count_nonzero", "amax", "amin", "max", "min", "mean", "var_mean", "std_mean", "logsumexp",
        "norm2", "cat", "stack", "split", "unbind", "flip", "roll", "pad", "pad_backward", "gather", "scatter_add", "scatter", "scatter_reduce",
        "cumsum", "cumprod", "linear_recurrence", "running_extremum", "softmax", "softmax_backward", "log_softmax",
        "log_softmax_backward", "sort", "topk", "place", "windows", "windows_backward", "fft_c2c", "fft_r2c", "fft_c2r",
    ),
    **_each(
        leading,
        "triangle", "diagonal", "diagonal_embed", "cast", "to_device", "clone", "fill", "view_as_real", "view_as_complex",
        "complex_from_pairs", "real", "imag", "complex_imaginary", "complex_neg", "conj", "complex_abs", "complex_sgn", "complex_exp",
        "complex_sqrt", "linalg_inv", "linalg_pinv", "linalg_cofactor", "linalg_det", "linalg_slogdet", "linalg_cholesky", "linalg_qr",
        "linalg_eig", "linalg_eigh", "linalg_geqrf", "linalg_lu", "frexp", "linalg_svd", "one_hot", "linalg_solve", "ravel_index", "euclidean_distances",
    ),
    **_each(pointwise, "matmul", "complex", "complex_add", "complex_sub", "complex_mul", "complex_div"),
    **_each(
        planes,
        "max_pool2d", "max_pool2d_backward", "max_pool2d_gather", "max_pool2d_indices", "avg_pool2d", "avg_pool2d_backward",
    ),
    **_each(_broadcast, "broadcast", "expand"),
    "sum_to_size": _sum_to_size,
    "view": _view,
    "permute": _permute,
    "slice": _slice,
    "slice_backward": _slice_backward,
    "constant_pad": _constant_pad,
    "as_strided": _as_strided,
    "as_strided_backward": _as_strided_backward,
    "off_diagonal": _off_diagonal,
    **_each(_product, "prod", "prod_others"),
    "tie_share": _tie_share,
    **_each(_arg, "argmax", "argmin"),
    "mm": _mm,
    "dot": _dot,
    "linear": _linear,
    "conv2d": _conv2d,
    "conv2d_input_grad": _conv2d_input_grad,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "index_select": _take,
    **_each(_index_rows, "index_add", "index_put"),
    "embedding": _embedding,
    "without_row": _without_row,
    "unravel_index": _flat_index,
    "searchsorted": _searchsorted,
    "dropout": _dropout,
    **_each(_scaled, "cross_entropy_backward", "nll_loss_backward"),
    "layer_norm": _layer_norm,
    "layer_norm_backward": _layer_norm_backward,
    "batch_norm": _batch_norm,
    "batch_norm_backward": _batch_norm_backward,
}  # fmt: skip


# ---- operations done by simpler ones ----
def _target_weight(x: Any, target: Any, weight: Any, *, ignore_index: int, label_smoothing: float) -> Any:
    valid, _, w = _weights(x, target, weight, ignore_index)
    if not label_smoothing:
        return w
    mean = 1.0 if weight is None else mean_op(weight, dims=(0,), keepdim=False)
    return w * (1 - label_smoothing) + valid * (label_smoothing * mean)


def _weights(x: Any, target: Any, weight: Any, ignore_index: int) -> tuple:
    """Whether each target counts (0 or 1), the targets with 0 for those that do not, and the weight of each."""
    counts = _pw.ne(target, ignore_index)
    valid, safe = counts.to(x.dtype), _pw.where_op(counts, target, 0)
    if weight is None:
        return valid, safe, valid
    chosen = take_op(weight.to(x.dtype), safe, dim=0, negative=False, op="cross_entropy")
    return valid, safe, valid * chosen


def _likelihood(x: Any, target: Any, weight: Any, ignore_index: int, smoothing: float, reduction: str) -> Any:
    """The negative log-likelihood of log-probabilities."""
    dim = 1 if x.ndim > 1 else 0
    valid, safe, w = _weights(x, target, weight, ignore_index)
    picked = gather_op(x, safe.unsqueeze(dim), dim=dim).squeeze(dim)
    if weight is None:
        losses = _pw.where_op(_pw.ne(target, ignore_index), -picked, 0.0)
    else:
        losses = _pw.where_op(_pw.eq(w, 0), 0.0, -picked * w)
    if smoothing:
        each = x if weight is None else x * weight.to(x.dtype).reshape((-1, *(1,) * (x.ndim - dim - 1)))
        smooth = -sum_op(each, dims=(dim,), keepdim=False)
        smooth = _pw.where_op(_pw.eq(valid, 0), 0.0, smooth)
        losses = losses * (1 - smoothing) + smooth * (smoothing / x.shape[dim])
    if reduction == "none":
        return losses
    dims = tuple(range(losses.ndim))
    total = sum_op(losses, dims=dims, keepdim=False)
    return total / sum_op(w, dims=dims, keepdim=False) if reduction == "mean" else total


def _cross_entropy(
    x: Any, target: Any, weight: Any, *, ignore_index: int, label_smoothing: float, reduction: str
) -> tuple:
    logp = log_softmax_op(x, dim=1 if x.ndim > 1 else 0)
    return _likelihood(logp, target, weight, ignore_index, label_smoothing, reduction), None, None


def _nll_loss(x: Any, target: Any, weight: Any, *, ignore_index: int, reduction: str) -> tuple:
    return _likelihood(x, target, weight, ignore_index, 0.0, reduction), None


def _mse_loss(x: Any, t: Any, *, reduction: str) -> Any:
    return reduced(squared_error(x, t), reduction)


# The norms have rules for no weight, no bias and no running statistics.
def _affine_layer_norm(x: Any, weight: Any, bias: Any, *, n: int, eps: float, centred: bool) -> Any:
    y = layer_norm_op(x, None, None, n=n, eps=eps, centred=centred)[0]
    if weight is not None:
        y = y * weight
    return (y if bias is None else y + bias), None, None


def _affine_layer_norm_backward(grad: Any, x: Any, weight: Any, saved: Any, rstd: Any, **attrs: Any) -> Any:
    of_x = layer_norm_backward_op(grad * weight, x, None, saved, rstd, **attrs)
    xhat = layer_norm_op(x, None, None, **attrs)[0]
    over = tuple(range(x.ndim - weight.ndim))
    return of_x, _sum(grad * xhat, over), _sum(grad, over)


def _sum(x: Any, dims: tuple) -> Any:
    return sum_op(x, dims=dims, keepdim=False) if dims else x


def _per_channel(v: Any, x: Any) -> Any:
    return v.reshape((-1, *(1,) * (x.ndim - 2)))


def _affine_batch_norm(
    x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, *, eps: float, momentum: float
) -> Any:
    y = batch_norm_op(x, None, None, None, None, eps=eps, momentum=momentum)[0]
    if running_mean is not None or running_var is not None:
        _update(x.detach(), running_mean, running_var, momentum)
    if weight is not None:
        y = y * _per_channel(weight, x)
    return (y if bias is None else y + _per_channel(bias, x)), None, None


def _update(x: Any, running_mean: Any, running_var: Any, momentum: float) -> None:
    if any(isinstance(v, Tensor) and not isinstance(v._a, LayerArray) for v in (running_mean, running_var)):
        raise RuntimeError(
            "vmap: batch_norm would update running_mean and running_var, which have no batch dimension, with statistics "
            "that differ from entry to entry of the batch. Use track_running_stats=False, eval(), or another norm; or pass the "
            "statistics to vmap too (func.stack_module_state)"
        )
    over = (0, *range(2, x.ndim))
    with no_grad():
        var, mean = var_mean_op(x, dims=over, correction=1, keepdim=False)
        for running, new in ((running_mean, mean), (running_var, var)):
            if running is not None:
                running.mul_(1 - momentum).add_(new * momentum)


def _affine_batch_norm_backward(grad: Any, x: Any, weight: Any, saved: Any, rstd: Any, *, eps: float) -> Any:
    of_x = batch_norm_backward_op(grad * _per_channel(weight, x), x, None, saved, rstd, eps=eps)
    xhat = batch_norm_op(x, None, None, None, None, eps=eps, momentum=0.0)[0]
    over = (0, *range(2, x.ndim))
    return of_x, _sum(grad * xhat, over), _sum(grad, over)


def _spmm(v: Tensor, x: Tensor, **attrs: Any) -> Tensor:
    from .sparse import spmm_by_rows

    return spmm_by_rows(v, x, **attrs)


def _sampled_product(a: Tensor, b: Tensor, **attrs: Any) -> Tensor:
    from .sparse import sampled_by_rows

    return sampled_by_rows(a, b, **attrs)


COMPOSITES: dict[str, Callable] = {
    "target_weight": _target_weight,
    "cross_entropy": _cross_entropy,
    "nll_loss": _nll_loss,
    "mse_loss": _mse_loss,
    "layer_norm": _affine_layer_norm,
    "layer_norm_backward": _affine_layer_norm_backward,
    "batch_norm": _affine_batch_norm,
    "batch_norm_backward": _affine_batch_norm_backward,
    "spmm": _spmm,
    "sampled_product": _sampled_product,
}
# Of the norms, the inputs (from, to) without which they have a rule.
_PLAIN = {
    "layer_norm": slice(1, 3),
    "layer_norm_backward": slice(2, 3),
    "batch_norm": slice(1, 5),
    "batch_norm_backward": slice(2, 3),
}

WITHOUT_RULE: dict[str, str] = {
    **dict.fromkeys(
        ("lstm_backward", "gru_backward", "rnn_backward", "attention_backward"),
        "gradients of recurrent layers and of attention are computed by simpler operations under vmap, and this one is not called",
    ),
    "flat_nonzero": "We do not support batching operators that can output dynamic shape, and how many elements are not zero "
    "differs from entry to entry",
}
