"""`autocast`: a region in which operations choose the dtype they compute in.

Outside such regions nothing of this exists: entering the first one gives the operations that are concerned a class whose
call converts its inputs, leaving the last one gives them back their own. (Short ways around an operation's call look at
`state.special`, which is set inside.)
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from .. import dtypes as dt
from ..autograd.modes import note_special, state
from ..ops import recurrent as _recurrent  # noqa: F401  (its operations must be known before a region opens)
from ..ops.pointwise_op import Pointwise, runs_lock
from ..ops.registry import OPS, Op
from ..tensor import Tensor

# What computes in the half dtype, in float32, and in the widest dtype of its inputs.
_HALF = (
    "mm matmul linear conv2d conv2d_input_grad conv1d conv3d conv_transpose1d conv_transpose2d conv_transpose3d "
    "scaled_dot_product_attention attention lstm gru rnn"
).split()
_FLOAT32 = (
    "acos asin bernoulli_error absolute_error cosh cross_entropy cumprod cumsum divergence erfinv exp expm1 huber_error "
    "layer_norm log log10 log1p log2 log_divergence log_softmax logit_error mse_loss nll_loss norm2 pow prod reciprocal rsqrt "
    "sinh smooth_l1_error softmax softplus squared_error sum tan linalg_cholesky linalg_det linalg_eig linalg_eigh linalg_inv linalg_pinv "
    "linalg_qr linalg_slogdet linalg_solve linalg_svd"
).split()
_WIDEST = "dot index_add index_put scatter_add".split()

_DEVICES = ("cpu", "cuda")
_HALVES = (dt.float16, dt.bfloat16)


class Mode:
    """What one thread's innermost region says; regions inside make new ones."""

    __slots__ = ("dtypes", "caching", "cache")

    def __init__(self, dtypes: dict[str, dt.dtype], caching: bool, cache: dict[int, tuple]):
        self.dtypes, self.caching, self.cache = dtypes, caching, cache

    def converted(self, kind: str, inputs: tuple) -> tuple:
        """The inputs of an operation in the dtype it shall compute in."""
        first = next((x for x in inputs if isinstance(x, Tensor)), None)
        if first is None:  # inside a gradient rule
            return inputs
        half = self.dtypes.get(first.device.type)
        if half is None:
            return inputs
        if kind == "half":
            target = half
        elif kind == "float32":
            target = dt.float32
        else:
            floats = [x.dtype for x in inputs if isinstance(x, Tensor) and x.dtype.is_floating_point]
            target = functools.reduce(dt.promote_types, floats) if floats else dt.float32
        return tuple([self._convert(x, target) if isinstance(x, Tensor) else x for x in inputs])

    def _convert(self, x: Tensor, target: dt.dtype) -> Tensor:
        d = x.dtype
        if d is target or not d.is_floating_point or d is dt.float64:
            return x
        if not (self.caching and target is not dt.float32 and x.requires_grad and x.is_leaf and state.grad):
            return x.to(target)
        # Parameters are converted once a region, not once a use.
        found = self.cache.get(id(x))
        version = x._version_cell()[0]
        if found is not None and found[0] is x and found[1] == version and found[2] is x._a and found[3].dtype is target:  # fmt: skip
            return found[3]
        made = x.to(target)
        self.cache[id(x)] = (x, version, x._a, made)
        return made


def _remember_nothing(self: Any, *launch: Any) -> None:
    """Keeps no launch for the short way, which would not come by here."""


def _class(base: type, kind: str) -> type:
    """The class that an operation has while a region is open somewhere."""

    def converting(self: Any, *inputs: Any, **attrs: Any) -> Any:
        mode = state.autocast
        if mode is not None:
            inputs = mode.converted(kind, inputs)
        # Not by `super()`: if another thread has left the last region since, the operation is no instance of this class.
        return base.__call__(self, *inputs, **attrs)

    body: dict[str, Any] = {"__call__": converting}
    if issubclass(base, Pointwise):
        body["_remember"] = _remember_nothing
    return type(f"Autocast{base.__name__}", (base,), body)


_open = 0  # regions, in all threads
_own: dict[str, type] = {}  # the classes of operations while regions are open
_classes: dict[tuple[type, str], type] = {}


def _enter_region() -> None:
    global _open
    with runs_lock:
        _open += 1
        if _open > 1:
            return
        for kind, names in (("half", _HALF), ("float32", _FLOAT32), ("widest", _WIDEST)):
            for name in names:
                op = OPS.get(name)
                if op is None or name in _own:
                    continue
                base = type(op)
                if (base, kind) not in _classes:
                    _classes[base, kind] = _class(base, kind)
                _own[name] = base
                op.__class__ = _classes[base, kind]
                if isinstance(op, Pointwise):
                    op.runs.clear()


def _leave_region() -> None:
    global _open
    with runs_lock:
        _open -= 1
        if not _open:
            for name, base in _own.items():
                op: Op = OPS[name]
                op.__class__ = base
            _own.clear()


_defaults = {"cpu": dt.bfloat16, "cuda": dt.float16}


def _checked_device(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(
            f"Expected `device_type` of type `str`, got: `{type(device_type)}`; write 'cpu' or 'cuda'"
        )
    if device_type not in _DEVICES:
        raise RuntimeError(
            f"User specified an unsupported autocast device_type '{device_type}'; use 'cpu' or 'cuda'"
        )
    return device_type


def is_autocast_available(device_type: str) -> bool:
    """Whether `autocast` knows the device type."""
    return device_type in _DEVICES


def get_autocast_dtype(device_type: str) -> dt.dtype:
    """The dtype that products have, or would have, in a region for the device type."""
    device = _checked_device(device_type)
    mode = state.autocast
    return (mode.dtypes.get(device) if mode is not None else None) or _defaults[device]


def set_autocast_dtype(device_type: str, dtype: dt.dtype) -> None:
    """The dtype of regions for the device type that give none: bfloat16 on 'cpu' and float16 on 'cuda' at first."""
    if dtype not in _HALVES:
        raise RuntimeError(f"set_autocast_dtype: expected float16 or bfloat16, got {dtype}")
    _defaults[_checked_device(device_type)] = dtype


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether this thread is in a region for the device type."""
    mode = state.autocast
    return mode is not None and _checked_device(device_type) in mode.dtypes


def is_autocast_cache_enabled() -> bool:
    """Whether parameters are converted once a region here."""
    return state.autocast is None or state.autocast.caching


def _of_device(device_type: str) -> tuple[Any, Any, Any]:
    """PyTorch's older functions for one device: the dtype, its change, whether there is a region."""

    def get() -> dt.dtype:
        return get_autocast_dtype(device_type)

    def change(dtype: dt.dtype) -> None:
        set_autocast_dtype(device_type, dtype)

    def enabled() -> bool:
        return is_autocast_enabled(device_type)

    get.__doc__ = f"`get_autocast_dtype({device_type!r})`."
    change.__doc__ = f"`set_autocast_dtype({device_type!r}, dtype)`."
    enabled.__doc__ = f"`is_autocast_enabled({device_type!r})`."
    return get, change, enabled


get_autocast_gpu_dtype, set_autocast_gpu_dtype, _ = _of_device("cuda")
get_autocast_cpu_dtype, set_autocast_cpu_dtype, is_autocast_cpu_enabled = _of_device("cpu")


def clear_autocast_cache() -> None:
    """Forgets converted parameters."""
    if state.autocast is not None:
        state.autocast.cache.clear()


class autocast:
    """Within the block (or the decorated function), operations choose their dtype, as in PyTorch.

    * Products (`matmul`, `linear`, convolutions, attention) compute in `dtype`.
    * Softmax, losses, layer and group norm, sums, powers, exponentials and logarithms compute in float32.
    * Other operations compute in the dtype their inputs have, the widest if they differ.

    float64 tensors stay as they are. Parameters stay in their dtype and get gradients in it. The same operations are
    concerned on both devices. `backward` does not choose: gradients have the dtypes of forward, inside a block too.

    Args:
        device_type: 'cpu' or 'cuda'; tensors elsewhere are left alone.
        dtype: float16 or bfloat16; by default float16 on 'cuda', bfloat16 on 'cpu'. (float16 needs `GradScaler`.)
        enabled: False switches the choosing off inside a block that has it on.
        cache_enabled: convert each parameter once, not at every use.

    >>> import gradgpu as gg
    >>> x = gg.ones(2, 2)
    >>> with gg.autocast("cpu"):
    ...     y = x @ x
    ...     z = y.softmax(-1)
    >>> y.dtype, z.dtype
    (gradgpu.bfloat16, gradgpu.float32)
    """

    def __init__(
        self,
        device_type: str,
        dtype: dt.dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ):
        self.device = _checked_device(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._cache_enabled = is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        if enabled and self.device == "cuda":
            from ..cuda import is_available

            if not is_available():
                warnings.warn(
                    "autocast: device_type is 'cuda', but CUDA is not available; autocast is disabled",
                    stacklevel=2,
                )
                enabled = False
        if enabled and self.fast_dtype not in _HALVES:
            warnings.warn(
                f"autocast: dtype must be float16 or bfloat16, got {self.fast_dtype}; autocast is disabled",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled
        self._before: list[tuple[Any, bool]] = []

    def __enter__(self) -> autocast:
        outer = state.autocast
        chosen = {} if outer is None else dict(outer.dtypes)
        chosen.pop(self.device, None)
        if self._enabled:
            chosen[self.device] = self.fast_dtype
        cache = {} if outer is None else outer.cache
        self._before.append((outer, bool(chosen)))
        if chosen:
            _enter_region()
        state.autocast = Mode(chosen, self._cache_enabled, cache) if chosen else None
        note_special()
        return self

    def __exit__(self, *exc: Any) -> None:
        outer, entered = self._before.pop()
        if outer is None and state.autocast is not None:
            state.autocast.cache.clear()
        state.autocast = outer
        note_special()
        if entered:
            _leave_region()

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def decorated(*args: Any, **kwargs: Any) -> Any:
            with autocast(self.device, self.fast_dtype, self._enabled, self._cache_enabled):
                return function(*args, **kwargs)

        return decorated


def _cast(value: Any, device_type: str, dtype: dt.dtype) -> Any:
    """Floating tensors on the device, at any depth, in another dtype."""
    if isinstance(value, Tensor):
        wanted = (
            value.is_floating_point() and value.device.type == device_type and value.dtype is not dt.float64
        )
        return value.to(dtype) if wanted else value
    if isinstance(value, dict):
        return {k: _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        made = [_cast(v, device_type, dtype) for v in value]
        return made if isinstance(value, list) else tuple(made)
    return value


def custom_fwd(
    fwd: Callable | None = None, *, device_type: str = "cuda", cast_inputs: dt.dtype | None = None
) -> Callable:
    """Decorates the `forward` of an `autograd.Function` that shall work inside regions.

    Args:
        device_type: the device whose regions are meant.
        cast_inputs: if given, forward gets its floating inputs in this dtype and runs as outside of regions;
            else it runs as the region says, and `custom_bwd` makes backward do the same.
    """
    _checked_device(device_type)
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def decorated(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        ctx._dtype = get_autocast_dtype(device_type)
        inside = is_autocast_enabled(device_type)
        if cast_inputs is None:
            ctx._fwd_used_autocast = inside
            return fwd(ctx, *args, **kwargs)
        ctx._fwd_used_autocast = False
        if not inside:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, device_type, cast_inputs), **_cast(kwargs, device_type, cast_inputs))

    return decorated


def custom_bwd(bwd: Callable | None = None, *, device_type: str = "cuda") -> Callable:
    """Decorates the `backward` that goes with `custom_fwd`: it runs in the same kind of region as forward did."""
    _checked_device(device_type)
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def decorated(ctx: Any, *grads: Any) -> Any:
        with autocast(device_type, ctx._dtype, ctx._fwd_used_autocast):
            return bwd(ctx, *grads)

    return decorated
