"""Initialisers: fill a tensor in place, without recording, and return it (PyTorch's ``torch.nn.init``)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

from ..autograd.modes import no_grad
from ..ops.creation import empty, from_numpy
from ..tensor import Tensor

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_", "ones_",
    "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip


def _initialiser(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A tensor on 'meta' has nothing to fill: no numbers are drawn for it."""

    @wraps(function)
    def fill(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return tensor if tensor.is_meta else function(tensor, *args, **kwargs)

    return fill


_GAINS = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
_LINEAR = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The recommended standard-deviation gain of a nonlinearity.

    1 for linear, convolutions and sigmoid; 5/3 tanh; √2 relu; 3/4 selu; √(2 / (1 + slope²)) leaky_relu (slope = param, 0.01).

    Example:
        >>> import gradgpu as gg
        >>> round(gg.nn.init.calculate_gain('leaky_relu', 0.2), 4)
        1.3868
    """
    if nonlinearity in _LINEAR:
        return 1
    if nonlinearity in _GAINS:
        return _GAINS[nonlinearity]
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, *kernel)."""
    if tensor.ndim < 2:
        raise ValueError(
            f"Fan in and fan out can not be computed for tensor with fewer than 2 dimensions (got shape {tuple(tensor.shape)}); "
            "for a bias use nn.init.zeros_ or nn.init.uniform_"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    return _fans(tensor)


@_initialiser
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from U(a, b).

    Example:
        >>> import gradgpu as gg
        >>> w = gg.nn.init.uniform_(gg.empty(3, 5), -0.1, 0.1)
        >>> bool((w.abs() <= 0.1).all())
        True
    """
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


@_initialiser
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Fill from N(mean, std²)."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


@_initialiser
def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Fill from N(mean, std²) cut to [a, b], by the inverse of the distribution function: every draw counts."""
    import numpy as np

    from ..ops.normal_quantile import quantile_of

    low, high = [0.5 * math.erfc((mean - x) / (std * math.sqrt(2))) for x in (a, b)]
    draws = uniform_(_sheet(generator, tensor.numel()), low, high, generator).numpy(force=True)
    # A draw that rounds to 0 or 1 is an end of the interval.
    values = np.clip(mean + std * quantile_of(draws), a, b)
    return _copy(tensor, values.reshape(tuple(tensor.shape)))


@_initialiser
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value.

    Example:
        >>> import gradgpu as gg
        >>> gg.nn.init.constant_(gg.empty(2), 0.5).tolist()
        [0.5, 0.5]
    """
    with no_grad():
        return tensor.fill_(val)


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with zeros."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with ones."""
    return constant_(tensor, 1.0)


@_initialiser
def eye_(tensor: Tensor) -> Tensor:
    """Make a matrix the identity (ones on the diagonal)."""
    if tensor.ndim != 2:
        raise ValueError(
            f"Only tensors with 2 dimensions are supported: eye_ got shape {tuple(tensor.shape)}"
        )
    import numpy as np

    return _copy(tensor, np.eye(*tensor.shape))


@_initialiser
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Make a convolution's weight (3 to 5 dimensions) pass its input channels through unchanged."""
    import numpy as np

    if tensor.ndim not in (3, 4, 5):
        raise ValueError(
            f"Only tensors with 3, 4, or 5 dimensions are supported: dirac_ got shape {tuple(tensor.shape)}"
        )
    if tensor.shape[0] % groups:
        raise ValueError(
            f"dim 0 must be divisible by groups: got {tensor.shape[0]} channels and groups={groups}"
        )
    values = np.zeros(tuple(tensor.shape))
    out = tensor.shape[0] // groups
    centre = tuple(size // 2 for size in tensor.shape[2:])
    for group in range(groups):
        for channel in range(min(out, tensor.shape[1])):
            values[(group * out + channel, channel, *centre)] = 1
    return _copy(tensor, values)


def _sheet(generator: Any, *size: int) -> Tensor:
    """Where numbers are drawn that the host works on: on the generator's device, whatever the default device is."""
    return empty(*size, device="cpu" if generator is None else generator.device)


def _copy(tensor: Tensor, values: Any) -> Tensor:
    with no_grad():
        return tensor.copy_(from_numpy(values))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """U(-a, a) with a = gain · √(6 / (fan_in + fan_out)) (Glorot & Bengio, 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """N(0, std²) with std = gain · √(2 / (fan_in + fan_out)) (Glorot & Bengio, 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return _fans(tensor)[mode.lower() == "fan_out"]


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    return calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """U(-b, b) with b = gain · √(3 / fan) (He et al., 2015)."""
    if 0 in tensor.shape:
        return tensor
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """N(0, gain² / fan) (He et al., 2015)."""
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


@_initialiser
def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Tensor:
    """A (semi-)orthogonal matrix, from the QR factors of a normal one (Saxe et al., 2013); trailing dims flattened."""
    import numpy as np

    if tensor.ndim < 2:
        raise ValueError(
            f"Only tensors with 2 or more dimensions are supported: orthogonal_ got shape {tuple(tensor.shape)}"
        )
    if tensor.numel() == 0:
        return tensor
    rows, cols = tensor.shape[0], tensor.numel() // tensor.shape[0]
    normal = normal_(_sheet(generator, max(rows, cols), min(rows, cols)), generator=generator)
    q, r = np.linalg.qr(normal.numpy(force=True).astype(np.float64))
    q *= np.sign(np.diag(r))  # makes the factorisation unique, so q is uniform over orthogonal matrices
    return _copy(tensor, (gain * (q.T if rows < cols else q)).reshape(tuple(tensor.shape)))


@_initialiser
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """N(0, std²) with a fraction ``sparsity`` of each column zero (Martens, 2010)."""
    import numpy as np

    if tensor.ndim != 2:
        raise ValueError(
            f"Only tensors with 2 dimensions are supported: sparse_ got shape {tuple(tensor.shape)}"
        )
    rows, cols = tensor.shape
    values = normal_(_sheet(generator, rows, cols), 0.0, std, generator).numpy(force=True).copy()
    order = uniform_(_sheet(generator, rows, cols), generator=generator).numpy(force=True).argsort(axis=0)
    np.put_along_axis(values, order[: math.ceil(sparsity * rows)], 0.0, axis=0)
    return _copy(tensor, values)


def _deprecated(name: str) -> Any:
    def old_name(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return globals()[name + "_"](tensor, *args, **kwargs)

    old_name.__name__ = name
    old_name.__doc__ = f"The old name of :func:`{name}_`."
    return old_name


uniform, normal, constant = _deprecated("uniform"), _deprecated("normal"), _deprecated("constant")
xavier_uniform, xavier_normal = _deprecated("xavier_uniform"), _deprecated("xavier_normal")
kaiming_uniform, kaiming_normal = _deprecated("kaiming_uniform"), _deprecated("kaiming_normal")
orthogonal, eye, dirac, sparse = (_deprecated(name) for name in ("orthogonal", "eye", "dirac", "sparse"))

# What layers of one's own call instead: without recording, as all of these are.
_no_grad_uniform_, _no_grad_normal_, _no_grad_trunc_normal_ = uniform_, normal_, trunc_normal_
_no_grad_fill_, _no_grad_zero_ = constant_, zeros_
