"""The functions behind the layers, under PyTorch's names (``torch.nn.functional``).

Most are operations of :mod:`gradgpu.ops`; those written here are short compositions of them.
"""

# ruff: noqa: F401 (what is imported here is exported)
from __future__ import annotations

import math
import warnings
from functools import lru_cache as _cached
from numbers import Integral
from typing import Any

from .. import dtypes as dt
from ..ops import activations as _activations
from ..ops import pointwise as _pointwise
from ..ops.activations import (
    celu,
    elu,
    gelu,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    prelu,
    relu6,
    selu,
    softplus,
    softsign,
    tanhshrink,
    threshold,
)  # fmt: skip
from ..ops.attention import scaled_dot_product_attention
from ..ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d
from ..ops.cross_entropy import cross_entropy, nll_loss
from ..ops.embedding import embedding, one_hot
from ..ops.inplace import inplace as _write_inplace
from ..ops.linalg import linear
from ..ops.loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)  # fmt: skip
from ..ops.normalization import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from ..ops.pad import pad
from ..ops.pointwise import sigmoid, tanh
from ..ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)  # fmt: skip
from ..ops.random import alpha_dropout as _alpha_dropout
from ..ops.random import dropout, feature_dropout
from ..ops.softmax import log_softmax, softmax, softmin
from ..ops.unfold import fold, unfold
from ..tensor import Tensor


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0).

    Example:
        >>> import gradgpu as gg
        >>> gg.nn.functional.relu(gg.tensor([-1., 2.]))
        tensor([0., 2.])
    """
    result = _pointwise.relu(input)
    return _write_inplace("relu_", input, result) if inplace else result


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x · sigmoid(x) (Elfwing et al., 2017)."""
    result = _activations.silu(input)
    return _write_inplace("silu_", input, result) if inplace else result


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x · tanh(softplus(x)) (Misra, 2019)."""
    result = _activations.mish(input)
    return _write_inplace("mish_", input, result) if inplace else result


def relu_(input: Tensor) -> Tensor:
    """:func:`relu` in place."""
    return relu(input, True)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a · sigmoid(b), a and b being the halves of x along dim (Dauphin et al., 2017).

    Raises:
        RuntimeError: the size of dim is odd.
    """
    if input.ndim == 0:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if input.shape[dim] % 2:
        raise RuntimeError(f"Halving dimension must be even, but dimension {dim} is size {input.shape[dim]}")
    a, b = input.chunk(2, dim)
    return a * b.sigmoid()


def _channel_dropout(input: Tensor, p: float, training: bool, inplace: bool, dims: int) -> Tensor:
    """Drops whole channels of (N, C, *) or (C, *), * being dims dimensions."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if dims > 1 and input.ndim == 2:  # as PyTorch: every element is a channel
        warnings.warn(
            f"dropout{dims}d: Received a 2-D input to dropout{dims}d, which is deprecated; for single elements use dropout",
            UserWarning,
            stacklevel=3,
        )
        return dropout(input, p, training, inplace)
    if input.ndim not in (dims + 1, dims + 2):
        raise RuntimeError(
            f"dropout{dims}d: expected a {dims + 1}-D or {dims + 2}-D input, got shape {tuple(input.shape)}; for single "
            "elements use dropout"
        )
    x = input if input.ndim == dims + 2 else input.unsqueeze(0)
    result = feature_dropout(x, p, training)
    result = result if x is input else result.squeeze(0)
    return _write_inplace(f"dropout{dims}d_", input, result) if inplace else result


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels of (N, C, L) or (C, L)."""
    return _channel_dropout(input, p, training, inplace, 1)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels of (N, C, H, W) or (C, H, W) (Tompson et al., 2015)."""
    return _channel_dropout(input, p, training, inplace, 2)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _channel_dropout(input, p, training, inplace, 3)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout to SELU's saturation value that keeps mean and variance (Klambauer et al., 2017)."""
    result = _alpha_dropout(input, p, training)
    return _write_inplace("alpha_dropout_", input, result) if inplace else result


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_k = x₁ᵀ A_k x₂ + b_k: (*, in1), (*, in2), weight (out, in1, in2) → (*, out)."""
    outer = input1.unsqueeze(-1) * input2.unsqueeze(-2)
    return linear(outer.flatten(-2), weight.flatten(1), bias)


def normalize(
    input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """x divided by its p-norm along dim, or by eps where that is smaller.

    Example:
        >>> import gradgpu as gg
        >>> gg.nn.functional.normalize(gg.tensor([[3., 4.]]))
        tensor([[0.6000, 0.8000]])
    """
    scale = input.norm(p, dim, keepdim=True).clamp(min=eps)
    return input / scale if out is None else _pointwise.div(input, scale, out=out)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """x₁ · x₂ / (max(‖x₁‖, eps) · max(‖x₂‖, eps)) along dim, broadcasting."""
    if x1.shape != x2.shape:
        from ..ops.shape import broadcast_tensors

        x1, x2 = broadcast_tensors(x1, x2)
    norms = x1.norm(2, dim, keepdim=True).clamp(min=eps), x2.norm(2, dim, keepdim=True).clamp(min=eps)
    return ((x1 / norms[0]) * (x2 / norms[1])).sum(dim)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """‖x₁ - x₂ + eps‖ₚ along the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim=keepdim)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """(log var + (input - target)² / var) / 2 with var clamped to at least eps, ``full`` adding log(2π) / 2.

    var: of input's shape, or that with one dimension 1 or the last one absent, or a number.
    """
    if not isinstance(var, Tensor):
        var = input.new_full(tuple(input.shape), float(var))
    elif var.shape != input.shape:
        if tuple(var.shape) == tuple(input.shape[:-1]):
            var = var.unsqueeze(-1)
        elif var.ndim != input.ndim or [b for a, b in zip(input.shape, var.shape) if a != b] != [1]:
            raise ValueError(
                f"var is of incorrect size: {tuple(var.shape)} for an input of {tuple(input.shape)}"
            )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid; use 'none', 'mean' or 'sum'")
    if bool((var < 0).any()):
        raise ValueError("var has negative entry/entries")
    # The clamp changes what is divided by, not how the variance learns.
    var = var + (var.detach().clamp(min=eps) - var.detach())
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    if full:
        loss = loss + 0.9189385332046727
    return {"none": lambda x: x, "mean": lambda x: x.mean(), "sum": lambda x: x.sum()}[reduction](loss)


@_cached(maxsize=64)
def _interpolation_matrix(size: int, wanted: int, mode: str, align_corners: bool, scale: float | None) -> Any:
    """(wanted, size) weights of one dimension: row i says which inputs make output i."""
    import numpy as np

    rows = np.arange(wanted)
    if align_corners:
        at = rows * ((size - 1) / (wanted - 1) if wanted > 1 else 0.0)
    else:
        at = (rows + 0.5) * (size / wanted if scale is None else 1.0 / scale) - 0.5
    if mode != "bicubic":
        at = np.maximum(at, 0.0)
    low = np.floor(at).astype(np.int64)
    t = at - low
    if mode == "bicubic":  # Keys (1981) with a = -0.75
        a = -0.75

        def near(x: Any) -> Any:
            return ((a + 2) * x - (a + 3)) * x * x + 1

        def far(x: Any) -> Any:
            return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

        taps = [(low - 1, far(t + 1)), (low, near(t)), (low + 1, near(1 - t)), (low + 2, far(2 - t))]
    else:
        taps = [(low, 1 - t), (low + 1, t)]
    matrix = np.zeros((wanted, size))
    for source, weight in taps:  # each row once per tap, so no entry is hit twice
        matrix[rows, np.clip(source, 0, size - 1)] += weight
    return matrix


@_cached(maxsize=64)
def _nearest_positions(n: int, wanted: int, scale: float | None, exact: bool) -> tuple[int, Any]:
    """How often each of n elements is repeated, and None; or 1 and the positions of those wanted."""
    import numpy as np

    source = np.arange(wanted)
    if not exact and wanted == 2 * n:
        source //= 2  # whatever the factor is, as in PyTorch
    elif exact or wanted != n:
        step = np.float32(n / wanted if scale is None else 1.0 / scale)
        source = np.floor((source + np.float32(0.5 if exact else 0.0)).astype(np.float32) * step)
        source = np.minimum(source.astype(np.int64), n - 1)
    times = wanted // n if n else 0
    if times and times * n == wanted and (source == np.arange(wanted) // times).all():
        return times, None
    return 1, source


def _nearest(input: Tensor, new: tuple[int, ...], scales: tuple, exact: bool) -> Tensor:
    """Copies of the nearest elements: of each as many where the sizes divide, else by their positions."""
    from ..ops.index import index_select
    from ..ops.join import stack

    x = input
    repeats = []
    for i, (n, wanted, scale) in enumerate(zip(input.shape[2:], new, scales)):
        times, source = _nearest_positions(n, wanted, scale, exact)
        repeats.append(times)
        if source is not None:
            x = index_select(x, 2 + i, x.new_tensor(source, dtype=dt.int64))
    if max(repeats) == 1:
        return x.contiguous()
    for i, times in reversed(list(enumerate(repeats, 2))):  # the last dimension first, while there is least
        if times > 8:
            x = x.unsqueeze(i + 1).expand(*x.shape[: i + 1], times, *x.shape[i + 1 :]).flatten(i, i + 1)
        elif times > 1:  # long rows of few copies are quicker to write than short ones
            x = stack([x] * times, i + 1).flatten(i, i + 1)
    return x


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the last dimensions of (N, C, *) to size, or by scale_factor.

    'nearest' copies elements. In the other modes each dimension is one product with a small matrix of weights, which gives
    each its gradient.

    Args:
        input: 3-D, 4-D or 5-D.
        size: the wanted size, an int or one a dimension.
        scale_factor: instead of size.
        mode: 'nearest', 'nearest-exact', 'linear' (3-D), 'bilinear', 'bicubic' (4-D), 'trilinear' (5-D) or 'area'.
        align_corners: for the linear and cubic modes: the first and last positions coincide.
        recompute_scale_factor: use the ratio of the sizes, not scale_factor itself.
        antialias: not supported.
    """

    from ..ops.creation import from_numpy

    dims = input.ndim - 2
    needed = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
    if mode not in ("nearest", "nearest-exact", "area", *needed):
        raise NotImplementedError(
            f"interpolate: unknown mode {mode!r}; use nearest, linear, bilinear, bicubic, trilinear or area"
        )
    if not 1 <= dims <= 3 or needed.get(mode, dims) != dims:
        raise NotImplementedError(f"interpolate: mode {mode!r} does not take a {input.ndim}-D input")
    if antialias:
        raise NotImplementedError(
            "interpolate: antialias=True is not supported; use avg_pool2d before shrinking"
        )
    if align_corners is not None and mode not in needed:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if (size is None) == (scale_factor is None):
        raise ValueError("only one of size or scale_factor should be defined")
    old = tuple(input.shape[2:])
    scales: tuple = (None,) * dims
    if size is not None:
        new = (int(size),) * dims if isinstance(size, Integral) else tuple(size)
    else:
        scales = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) else (scale_factor,) * dims
        new = tuple(math.floor(n * float(s)) for n, s in zip(old, scales))
        if recompute_scale_factor:
            scales = (None,) * dims
    if len(new) != dims:
        raise ValueError(
            f"interpolate: size or scale_factor has {len(new)} entries, the input {tuple(input.shape)} has {dims} sizes"
        )
    if mode == "area":
        from .functions.pooling import adaptive_avg_pool3d

        if dims == 1:
            return adaptive_avg_pool1d(input, new[0])
        return (adaptive_avg_pool2d if dims == 2 else adaptive_avg_pool3d)(input, new)
    if mode.startswith("nearest"):
        return _nearest(input, new, scales, mode == "nearest-exact")
    if input.dtype.category < dt.FLOAT:
        if input.dtype is not dt.uint8:
            raise NotImplementedError(f"interpolate: mode {mode!r} is not implemented for {input.dtype}")
        real = interpolate(
            input.to(dt.float32), size, scale_factor, mode, align_corners, recompute_scale_factor
        )
        return (real + 0.5).floor().clamp(0, 255).to(dt.uint8)
    x = input
    for i, (n, wanted, scale) in enumerate(zip(old, new, scales)):
        if n == wanted and mode != "bicubic":
            continue
        matrix = from_numpy(_interpolation_matrix(n, wanted, mode, bool(align_corners), scale)).to(
            device=x.device, dtype=x.dtype
        )
        x = (x.transpose(2 + i, -1) @ matrix.transpose(0, 1)).transpose(2 + i, -1)
    return x.contiguous()


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The old name of :func:`interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C · r², H, W) → (*, C, H · r, W · r) (Shi et al., 2016)."""
    r = upscale_factor
    *lead, channels, height, width = input.shape
    if channels % (r * r):
        raise RuntimeError(
            f"pixel_shuffle expects its input's 'channel' dimension to be divisible by {r * r}, but got {channels}"
        )
    count = math.prod(lead)
    x = input.reshape(count, channels // (r * r), r, r, height, width).permute(0, 1, 4, 2, 5, 3)
    return x.reshape(*lead, channels // (r * r), height * r, width * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, C, H · r, W · r) → (*, C · r², H, W); undoes :func:`pixel_shuffle`."""
    r = downscale_factor
    *lead, channels, height, width = input.shape
    if height % r or width % r:
        raise RuntimeError(
            f"pixel_unshuffle expects height and width to be divisible by {r}, but got {height} and {width}"
        )
    count = math.prod(lead)
    x = input.reshape(count, channels, height // r, r, width // r, r).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(*lead, channels * r * r, height // r, width // r)


# Where the functions are that few programs use; imported when asked for.
_LAZY = {
    "activations": (
        "celu_ elu_ feature_alpha_dropout gumbel_softmax hardshrink hardtanh_ leaky_relu_ rrelu rrelu_ selu_ softshrink "
        "threshold_"
    ),
    "attention": (
        "multi_head_attention_forward _canonical_mask _in_projection _in_projection_packed _mha_shape_check _none_or_dtype"
    ),
    "ctc": "ctc_loss",
    "losses": (
        "cosine_embedding_loss hinge_embedding_loss margin_ranking_loss multi_margin_loss multilabel_margin_loss "
        "multilabel_soft_margin_loss poisson_nll_loss soft_margin_loss triplet_margin_loss triplet_margin_with_distance_loss"
    ),
    "pooling": (
        "adaptive_avg_pool3d adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices adaptive_max_pool3d "
        "adaptive_max_pool3d_with_indices avg_pool3d fractional_max_pool2d fractional_max_pool2d_with_indices "
        "fractional_max_pool3d fractional_max_pool3d_with_indices local_response_norm lp_pool1d lp_pool2d lp_pool3d "
        "max_pool1d_with_indices max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool1d max_unpool2d "
        "max_unpool3d"
    ),
    "sampling": (
        "affine_grid channel_shuffle conv_tbc conv_transpose3d embedding_bag grid_sample native_channel_shuffle pdist "
        "upsample_bilinear upsample_nearest"
    ),
}
_HOME = {name: home for home, names in _LAZY.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        found = globals()[name] = getattr(import_module(f".functions.{_HOME[name]}", __package__), name)
        return found
    if name in ("has_torch_function", "handle_torch_function"):
        from .. import overrides

        return getattr(overrides, name)
    if name == "_Reduction":
        from . import _reduction

        return _reduction
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
