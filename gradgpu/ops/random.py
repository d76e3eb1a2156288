"""Random tensors, in-place draws and dropout. The same seed gives the same bits on 'cpu' and 'cuda' (gradgpu/philox.py)."""

from __future__ import annotations

from math import prod, sqrt
from operator import index
from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import philox
from ..autograd.layers import LAYERS, LayerArray
from ..autograd.modes import state
from ..autograd.node import LEAF
from ..devices import as_device
from ..devices import device as Device
from ..layouts import strided_only
from ..meta import MetaArray
from ..random import Generator, generator_of
from ..tensor import Tensor, wrap
from .creation import _finish, _shape, ones
from .inplace import check_writable, write
from .registry import Op, method, refuse_others
from .scan import cumsum_op

_SINGLE = np.dtype(np.float32)


def _generator(op: str, generator: Generator | None, device: Device) -> Generator:
    if generator is None:
        return generator_of(device)
    if generator.device.type != device.type:
        raise RuntimeError(
            f"{op}: expected a '{device.type}' device type for generator but found '{generator.device.type}'; "
            f"make one with Generator(device='{device.type}')"
        )
    return generator


# ---- arrays of random numbers ----
def _draw(
    op: str,
    kind: str,
    shape: tuple,
    d: dt.dtype,
    device: Device,
    generator: Generator | None,
    a: float,
    b: float,
) -> Any:
    """a * number + b, for standard numbers of a distribution, as an array."""
    if not d.is_floating_point:
        raise RuntimeError(f"{op}: expected a floating-point dtype, got {d}; use randint for integers")
    if LAYERS and state.layers:
        return _drawn(op, shape, lambda shape: _draw(op, kind, shape, d, device, generator, a, b))
    if device.type == "meta":
        return MetaArray(shape, d.np)
    n = prod(shape)
    seed, first = _generator(op, generator, device).take(philox.blocks_for(d.np, n))
    if device.type == "cuda":
        from ..cuda.random_numbers import draw

        return draw(kind, shape, d.np, device.index, seed, first, a, b)
    z = getattr(philox, kind)(seed, first, n, d.np)
    if a != 1:
        z *= z.dtype.type(a)
    if b != 0 or a != 1 and kind == "normal":  # which may have become -0, unlike on cuda
        z += z.dtype.type(b)
    if z.dtype is not d.np:
        z = z.astype(d.np)
    return z if len(shape) == 1 else z.reshape(shape)


def _integers(
    op: str, shape: tuple, d: dt.dtype, device: Device, generator: Generator | None, low: int, high: int
) -> Any:
    """Integers in [low, high) as an array."""
    if high <= low:
        raise RuntimeError(f"{op}: expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if not -(1 << 63) <= low < 1 << 63 or high > 1 << 63:
        raise RuntimeError(f"{op}: the range [{low}, {high}) does not fit into int64")
    if LAYERS and state.layers:
        return _drawn(op, shape, lambda shape: _integers(op, shape, d, device, generator, low, high))
    if device.type == "meta":
        return MetaArray(shape, d.np)
    n = prod(shape)
    seed, first = _generator(op, generator, device).take(philox.blocks64(n))
    if device.type == "cuda":
        from ..cuda.random_numbers import integers

        return integers(shape, d.np, device.index, seed, first, low, high)
    drawn = philox.integers(seed, first, n, low, high).reshape(shape)
    return drawn if d is dt.int64 else drawn.astype(d.np)


def _bernoulli(
    op: str, p: Any, shape: tuple, d: dt.dtype, device: Device, generator: Generator | None
) -> Any:
    """Zeros and ones as an array; `p` is a number or an array of the shape and dtype."""
    if LAYERS and state.layers:
        if not isinstance(p, LayerArray):
            return _drawn(op, shape, lambda shape: _bernoulli(op, p, shape, d, device, generator))
        drawn = wrap(_draw(op, "uniform", shape, dt.float32, device, generator, 1.0, 0.0))
        return (drawn.to(dt.float64) < wrap(p).to(dt.float64)).to(d)._a
    if device.type == "meta":
        return MetaArray(shape, d.np)
    n = prod(shape)
    seed, first = _generator(op, generator, device).take(philox.blocks32(n))
    number = not hasattr(p, "dtype")
    if number and not 0 <= p <= 1:
        raise RuntimeError(f"{op} expects p to be in [0, 1], but got p={p}")
    if device.type == "cuda":
        from ..cuda.random_numbers import bernoulli

        kind = d if d.is_floating_point else dt.float32
        y = bernoulli(
            None if number else p, (shape, kind.np, device.index), seed, first, float(p) if number else 0.0
        )
        if d.is_floating_point:
            return y
        from ..cuda.elementwise import cast

        return cast(y, d.np)
    if number:
        p = np.array(p, np.float64)
    u = philox.uniform(seed, first, n, _SINGLE).reshape(shape)
    return np.less(u, p if p.dtype is _SINGLE else p.astype(np.float64)).astype(d.np)


def _drawn(op: str, shape: tuple, draw: Any) -> Any:
    from .batching import drawn

    return drawn(draw, shape, op)


# ---- new tensors ----
def _factory(
    op: str,
    kind: str,
    shape: tuple,
    dtype: Any,
    device: Any,
    requires_grad: bool,
    generator: Generator | None,
    pin_memory: bool,
) -> Tensor:
    d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
    if d.is_complex:  # its parts: normal ones share the variance of 1
        from .complex import view_as_complex

        scale = sqrt(0.5) if kind == "normal" else 1.0
        parts = _draw(op, kind, (*shape, 2), d.to_real(), as_device(device), generator, scale, 0.0)
        return _finish(view_as_complex(wrap(parts))._a, requires_grad, pin_memory)
    made = _draw(op, kind, shape, d, as_device(device), generator, 1.0, 0.0)
    return _finish(made, requires_grad, pin_memory)


def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1); so are the parts of complex ones.

    >>> import gradgpu as gg
    >>> gg.rand(2, 3).shape
    gradgpu.Size([2, 3])
    """
    if layout is not None:
        strided_only("rand", layout)
    return _factory(
        "rand", "uniform", _shape(sizes, "rand", size), dtype, device, requires_grad, generator, pin_memory
    )


def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Standard normal numbers, by the method of Box & Muller (1958). The parts of complex ones have variance ½.

    >>> import gradgpu as gg
    >>> gg.randn(4, dtype=gg.float64).dtype
    gradgpu.float64
    """
    if layout is not None:
        strided_only("randn", layout)
    return _factory(
        "randn", "normal", _shape(sizes, "randn", size), dtype, device, requires_grad, generator, pin_memory
    )


def randint(
    low: Any = None,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Integers in [low, high), int64 unless `dtype` says otherwise: `randint(high, size)` or `randint(low, high, size)`.

    Raises:
        TypeError: no upper bound or no size.

    >>> import gradgpu as gg
    >>> x = gg.randint(3, 7, (100,))
    >>> int(x.min()) >= 3, int(x.max()) <= 6
    (True, True)
    """
    if layout is not None:
        strided_only("randint", layout)
    if size is None:  # randint(high, size)
        low, high, size = 0, low, high
    elif high is None:  # randint(high, size=size)
        low, high = 0, low
    elif low is None:  # randint(high=high, size=size)
        low = 0
    if high is None or size is None:
        raise TypeError("randint() needs a bound and a size: randint(high, size) or randint(low, high, size)")
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint(): size must be a tuple of ints, got {size!r}")
    d = dt.int64 if dtype is None else dt.as_dtype(dtype)
    made = _integers(
        "randint", _shape(tuple(size), "randint"), d, as_device(device), generator, int(low), int(high)
    )
    return _finish(made, requires_grad, pin_memory)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A random permutation of 0 … n - 1: the order of `n` random integers of 62 bits.

    >>> import gradgpu as gg
    >>> sorted(gg.randperm(4).tolist())
    [0, 1, 2, 3]
    """
    if layout is not None:
        strided_only("randperm", layout)
    n = index(n)
    if n < 0:
        raise RuntimeError(f"randperm: n must be non-negative, got {n}")
    made = _permutation(n, as_device(device), generator)
    if dtype is not None:
        made = made.to(dt.as_dtype(dtype))
    return _finish(made._a, requires_grad, pin_memory)


def _permutation(n: int, device: Device, generator: Generator | None) -> Tensor:
    if device.type != "cpu" or LAYERS and state.layers:
        from .sort import argsort

        return argsort(wrap(_integers("randperm", (n,), dt.int64, device, generator, 0, 1 << 62)))
    return wrap(philox.permutation(*_generator("randperm", generator, device).take(philox.blocks64(n)), n))


def rand_like(
    input: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **ignored: Any,
) -> Tensor:
    """Uniform numbers in [0, 1) in the shape, dtype and device of `input`."""
    if layout is not None:
        strided_only("rand_like", layout)
    return rand(*input.shape, **_as(input, dtype, device, requires_grad, ignored))


def randn_like(
    input: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **ignored: Any,
) -> Tensor:
    """Standard normal numbers in the shape, dtype and device of `input`."""
    if layout is not None:
        strided_only("randn_like", layout)
    return randn(*input.shape, **_as(input, dtype, device, requires_grad, ignored))


def randint_like(
    input: Any,
    low: int | None = None,
    high: int | None = None,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **ignored: Any,
) -> Tensor:
    """Integers in [low, high), or [0, low) if only one bound is given, in the shape, dtype and device of `input`."""
    if layout is not None:
        strided_only("randint_like", layout)
    if low is None and high is None:
        raise TypeError(
            "randint_like() needs a bound: randint_like(input, high) or randint_like(input, low, high)"
        )
    if low is None or high is None:
        low, high = 0, low if high is None else high
    return randint(low, high, tuple(input.shape), **_as(input, dtype, device, requires_grad, ignored))


def _as(input: Any, dtype: Any, device: Any, requires_grad: bool, others: dict) -> dict:
    unknown = set(others) - {"memory_format", "generator", "pin_memory"}
    if unknown:
        raise TypeError(f"unexpected keyword arguments {sorted(unknown)}")
    return {
        "dtype": dtype or input.dtype,
        "device": input.device if device is None else device,
        "requires_grad": requires_grad,
        "generator": others.get("generator"),
        "pin_memory": bool(others.get("pin_memory")),
    }


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """Normal numbers. `mean` and `std` are numbers (then `size` is needed) or tensors that broadcast together.

    >>> import gradgpu as gg
    >>> gg.normal(gg.zeros(3), 0.1).shape
    gradgpu.Size([3])
    """
    if layout is not None:
        strided_only("normal", layout)
    tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
    _check_std("normal", std)
    if not tensors:
        if size is None:
            raise TypeError("normal(): size is needed where mean and std are numbers")
        d = dt.get_default_dtype() if dtype is None else dt.as_dtype(dtype)
        array = _draw(
            "normal", "normal", _shape(tuple(size), "normal"), d, as_device(device), generator, std, mean
        )
        return _finish(array, requires_grad, pin_memory)
    from .shape import broadcast_shapes

    like = tensors[0].detach()
    shape = broadcast_shapes(*[t.shape for t in tensors])
    d = dt.result_type(*tensors)
    z = wrap(_draw("normal", "normal", tuple(shape), d, like.device, generator, 1.0, 0.0))
    mean, std = (t.detach() if isinstance(t, Tensor) else t for t in (mean, std))
    return z * std + mean


def _check_std(op: str, std: Any) -> None:
    if not isinstance(std, Tensor) and not std >= 0:
        raise RuntimeError(f"{op} expects std >= 0.0, but found std {std}")


@method
def bernoulli(input: Any, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that `input` holds at each place (or `p` everywhere), else 0; the dtype of `input`.

    >>> import gradgpu as gg
    >>> gg.bernoulli(gg.tensor([0., 1.]))
    tensor([0., 1.])
    """
    if not isinstance(input, Tensor):
        refuse_others("bernoulli", input=input)
    if p is None and not input.is_floating_point():
        raise RuntimeError(f"bernoulli: expected a floating-point tensor of probabilities, got {input.dtype}")
    return wrap(
        _bernoulli(
            "bernoulli",
            input._a if p is None else p,
            tuple(input.shape),
            input.dtype,
            input.device,
            generator,
        )
    )


@method
def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn with the weights in the rows of `input` (1-D or 2-D, non-negative, not all zero in a row).

    With replacement: inverse of the cumulative weights. Without: the smallest of exponential numbers divided by
    the weights (Efraimidis & Spirakis 2006). On cuda the host waits, to check the weights.

    Raises:
        RuntimeError: negative or all-zero weights, or more samples than categories with weight.

    >>> import gradgpu as gg
    >>> gg.multinomial(gg.tensor([0., 3., 0.]), 2, replacement=True)
    tensor([1, 1])
    """
    if not isinstance(input, Tensor):
        refuse_others("multinomial", input=input)
    if input.ndim not in (1, 2):
        raise RuntimeError(f"multinomial: prob_dist must be 1 or 2 dim, got shape {tuple(input.shape)}")
    if not input.is_floating_point():
        raise RuntimeError(f"multinomial: only supports floating-point dtypes for input, got: {input.dtype}")
    num_samples = index(num_samples)
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: cannot sample n_sample <= 0 samples, got {num_samples}")
    a, many = input._a, input.ndim == 2
    if isinstance(a, np.ndarray) and a.itemsize > 2:
        weights = host = a if many else a.reshape(1, -1)
    else:
        kind = dt.float64 if input.dtype is dt.float64 else dt.float32
        there = input.detach().to(kind)
        weights = (there if many else there.reshape((1, -1)))._a
        host = wrap(weights).cpu().numpy()
    rows, categories = host.shape
    lowest: Any = np.minimum.reduce(host, axis=None) if host.size else 1.0
    if not (lowest >= 0 and (not host.size or np.maximum.reduce(host, axis=None) < np.inf)):
        raise RuntimeError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
    least = categories if lowest > 0 else int((host != 0).sum(axis=1).min())
    if rows and least == 0:
        raise RuntimeError("multinomial: invalid multinomial distribution (sum of probabilities <= 0)")
    if rows and not replacement and num_samples > least:
        raise RuntimeError(
            f"multinomial: cannot sample {num_samples} categories without replacement: a row has only {least} with weight"
        )
    source = _generator("multinomial", generator, input.device)
    if replacement:
        seed, first = source.take(philox.blocks64(rows * num_samples))
        chosen = _choose(cumsum_op(weights, dim=1, reverse=False), num_samples, seed, first)
        return wrap(chosen if many else chosen.reshape((num_samples,)))
    there = wrap(weights)
    keys = _draw(
        "multinomial", "exponential", (rows, categories), there.dtype, input.device, source, 1.0, _KEY
    )
    made = _smallest(wrap(keys) / there, num_samples)
    return made if many else made.reshape((-1,))


_KEY = 1e-30  # added to keys: one of 0 would be NaN by a weight of 0, and it is lost in all others


def _smallest(keys: Tensor, count: int) -> Tensor:
    """Where the `count` smallest numbers of each row are."""
    if count == 1 and keys._a.size:
        from .extrema import argmin

        return argmin(keys, 1, keepdim=True)
    from .sort import argsort

    return argsort(keys, 1, stable=True)[:, :count].contiguous()


_FEW = 1 << 14  # comparisons


def _choose(sums: Any, draws: int, seed: int, first: int) -> Any:
    if not isinstance(sums, np.ndarray):
        from ..cuda.random_numbers import multinomial as launch

        return launch(sums, draws, seed, first)
    u = philox.uniform(seed, first, len(sums) * draws, np.dtype(np.float64)).reshape(len(sums), draws)
    last = sums.shape[1] - 1
    wide = sums.astype(np.float64, copy=False)
    u *= wide[:, last:]
    if len(u) > 2 and u.size * (last + 1) <= _FEW:  # to look at all sums takes less than a search in each row
        return np.minimum(np.add.reduce(wide[:, None] <= u[:, :, None], axis=2, dtype=np.int64), last)
    if len(u) == 1:
        return np.minimum(wide[0].searchsorted(u[0], side="right"), last).reshape(1, draws)
    found = np.empty(u.shape, np.int64)
    for row, at, places in zip(wide, u, found):
        places[:] = row.searchsorted(at, side="right")
    return np.minimum(found, last, out=found)


# ---- in place ----
def _overwrite(name: str, target: Tensor, array: Any) -> Tensor:
    """Makes `target` hold new values that depend on nothing."""
    check_writable(name, target)
    edge = target._edge
    if target._base is not None or edge is not None and (edge is not LEAF or state.grad):
        from .inplace import inplace

        return inplace(name, target, wrap(array))
    write(target, array)
    target._bump()
    return target


def _into(name: str, kind: str, target: Tensor, generator: Any, a: float, b: float) -> Tensor:
    array = _draw(name, kind, tuple(target._a.shape), target.dtype, target.device, generator, a, b)
    return _overwrite(name, target, array)


@method
def uniform_(
    self: Any, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None, **bounds: float
) -> Tensor:
    """Fills the tensor with uniform numbers in [a, b) (PyTorch's names `from`, `to` work too)."""
    a, b = bounds.pop("from", a), bounds.pop("to", b)
    if bounds:
        raise TypeError(f"uniform_() got unexpected keyword arguments {sorted(bounds)}")
    if not a <= b:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={a} > to={b}")
    return _into("uniform_", "uniform", self, generator, b - a, a)


@method
def normal_(self: Any, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills the tensor with normal numbers."""
    _check_std("normal_", std)
    if self.is_complex():
        made = randn(*self.shape, dtype=self.dtype, device=self.device, generator=generator)
        return _overwrite("normal_", self, (made * std + mean)._a)
    return _into("normal_", "normal", self, generator, std, mean)


@method
def exponential_(self: Any, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fills the tensor with exponential numbers of rate `lambd`."""
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    return _into("exponential_", "exponential", self, generator, 1.0 / lambd, 0.0)


@method
def bernoulli_(self: Any, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fills the tensor with 1 at probability `p` (a number, or a tensor that broadcasts to it), else 0."""
    if isinstance(p, Tensor):
        kind = self.dtype if self.is_floating_point() else dt.float32
        p = p.detach().to(self.device, kind).expand(tuple(self.shape))._a
    return _overwrite(
        "bernoulli_", self, _bernoulli("bernoulli_", p, tuple(self.shape), self.dtype, self.device, generator)
    )


# the largest number up to which each floating-point dtype holds all integers
_EXACT = {dt.float64: 1 << 53, dt.float32: 1 << 24, dt.float16: 1 << 11, dt.bfloat16: 1 << 8}


@method
def random_(
    self: Any, low: int = 0, high: int | None = None, *, generator: Generator | None = None, **bounds: int
) -> Tensor:
    """Fills the tensor with integers in [low, high); one argument means [0, it), none all that the dtype holds exactly."""
    low, high = bounds.pop("from", low), bounds.pop("to", high)
    if bounds:
        raise TypeError(f"random_() got unexpected keyword arguments {sorted(bounds)}")
    d = self.dtype
    most = 2 if d is dt.bool else _EXACT[d] + 1 if d.is_floating_point else dt.iinfo(d).max + 1
    if high is None:
        low, high = (0, most) if low == 0 else (0, low)
    array = _integers("random_", tuple(self.shape), d, self.device, generator, int(low), int(high))
    return _overwrite("random_", self, array)


# ---- dropout ----
class Mask:
    """Which elements a dropout keeps: words `first`, `first` + 1, … of the stream of `seed`, drawn whenever they are needed.

    On the CPU, where drawing costs more than memory, the factors are kept once drawn.
    """

    __slots__ = ("seed", "first", "p", "_factors")

    def __init__(self, seed: int, first: int, p: float):
        self.seed, self.first, self.p = seed, first, p
        self._factors: Any = None

    @property
    def threshold(self) -> int:
        """A word below it keeps its element."""
        return round((1 - self.p) * 2**32)

    @property
    def scale(self) -> float:
        return 0.0 if self.p == 1 else 1 / (1 - self.p)

    def factors(self, shape: tuple, dtype: np.dtype) -> np.ndarray:
        """scale or 0 for each element."""
        found = self._factors
        if found is None or found.dtype != dtype:
            words = philox.words32(self.seed, self.first, prod(shape))
            if self.threshold > 0xFFFFFFFF:
                found = np.full(shape, self.scale, dtype)
            else:
                found = (words < self.threshold).astype(dtype).reshape(shape)
                found *= dtype.type(self.scale)
            self._factors = found
        return found


def _dropout_cpu(x, *, mask):
    if x.dtype.itemsize == 2:
        return (x.astype(np.float32) * mask.factors(x.shape, _SINGLE)).astype(x.dtype)
    return x * mask.factors(x.shape, x.dtype)


def _dropout_cuda(x, *, mask):
    from ..cuda.random_numbers import dropout as launch

    return launch(x, mask.seed, mask.first, mask.threshold, mask.scale)


dropout_op = Op("dropout", _dropout_cpu, _dropout_cuda, {"x": lambda g, *, mask: dropout_op(g, mask=mask)})


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training each element is zero with probability `p`, else divided by 1 - p (Srivastava et al., 2014).

    Saves a seed for backward, no mask; the same elements drop on every device.

    Raises:
        ValueError: p is no probability. RuntimeError: an integer tensor.

    >>> import gradgpu as gg
    >>> from gradgpu.ops.random import dropout
    >>> sorted(set(dropout(gg.ones(100), 0.5).tolist()))
    [0.0, 2.0]
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    if not isinstance(input, Tensor):
        refuse_others("dropout", input=input)
    if not input.is_floating_point():
        raise RuntimeError(f"dropout: expected a floating-point tensor, got {input.dtype}; use input.float()")
    if LAYERS and state.layers:
        made = input * wrap(_factors(tuple(input.shape), p, input.dtype, input.device))
    else:
        seed, first = generator_of(input.device).take(philox.blocks32(input.numel()))
        made = dropout_op(input, mask=Mask(seed, first, p))
    if inplace:
        from .inplace import inplace as write_back

        return write_back("dropout_", input, made)
    return made


def _factors(shape: tuple, p: float, d: dt.dtype, device: Device) -> Any:
    """What a dropout inside a transform multiplies with, as an array."""
    if LAYERS and state.layers:
        return _drawn("dropout", shape, lambda shape: _factors(shape, p, d, device))
    seed, first = generator_of(device).take(philox.blocks32(prod(shape)))
    return dropout_op(ones(shape, dtype=d, device=device), mask=Mask(seed, first, p))._a


def feature_dropout(input: Any, p: float = 0.5, training: bool = True) -> Tensor:
    """Drops whole channels: one draw for each entry of the first two dimensions (Tompson et al., 2015)."""
    if not training or p == 0:
        return input
    if input.ndim < 2:
        raise RuntimeError(
            f"feature_dropout: requires at least 2 dimensions in the input, got shape {tuple(input.shape)}"
        )
    return input * dropout(input.new_ones((*input.shape[:2], *(1,) * (input.ndim - 2))), p)


_SELU_FLOOR = -1.7580993408473766  # -scale * alpha of SELU


def alpha_dropout(input: Any, p: float = 0.5, training: bool = False) -> Tensor:
    """Dropout that keeps the mean and variance of SELU activations: dropped elements take SELU's lowest value, then the
    result is scaled and shifted (Klambauer et al., "Self-normalizing neural networks", 2017)."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0:
        return input
    if p == 1:
        return input * 0
    keep = dropout(input.new_ones(tuple(input.shape)), p) * (1 - p)
    a = (1 / ((1 - p) * (1 + p * _SELU_FLOOR**2))) ** 0.5
    return (input * keep + (1 - keep) * _SELU_FLOOR) * a - a * _SELU_FLOOR * p


__all__ = [
    "bernoulli", "multinomial", "normal", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm",
]  # fmt: skip
