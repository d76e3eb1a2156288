"""Sampling of images at given places, transposed convolution of volumes, bags of embeddings, and shuffled channels."""

from __future__ import annotations

import math
from typing import Any

from ...dtypes import int64
from ...ops.conv import conv_transpose2d, pair
from ...ops.creation import arange, linspace
from ...ops.join import stack
from ...ops.pointwise import where
from ...ops.sort import searchsorted
from ...tensor import Tensor
from .. import functional as F

__all__ = [
    "affine_grid", "channel_shuffle", "conv_tbc", "conv_transpose3d", "embedding_bag", "grid_sample", "native_channel_shuffle",
    "pdist", "upsample_bilinear", "upsample_nearest",
]  # fmt: skip


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The places to sample for affine maps, as `grid_sample` takes them.

    Args:
        theta: (N, 2, 3) or (N, 3, 4), maps of places in the output to places in the input, coordinates from -1 to 1.
        size: the output's (N, C, H, W) or (N, C, D, H, W).
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.

    Returns:
        (N, H, W, 2) or (N, D, H, W, 3).

    >>> import gradgpu as gg
    >>> same = gg.tensor([[[1., 0., 0.], [0., 1., 0.]]])
    >>> gg.nn.functional.affine_grid(same, (1, 1, 1, 2), align_corners=True)
    tensor([[[[-1.,  0.],
              [ 1.,  0.]]]])
    """
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    dims = len(size) - 2
    if dims not in (2, 3) or tuple(theta.shape[1:]) != (dims, dims + 1) or theta.ndim != 3:
        raise ValueError(
            "affine_grid: expected theta (N, 2, 3) with size (N, C, H, W), or theta (N, 3, 4) with size (N, C, D, H, W), got "
            f"{tuple(theta.shape)} and {tuple(size)}"
        )
    axes = []
    for i, n in enumerate(reversed(tuple(size)[2:])):  # x first
        at = linspace(-1, 1, n, dtype=theta.dtype, device=theta.device) if n > 1 else theta.new_zeros((1,))
        if not align_corners:
            at = at * ((n - 1) / n)
        axes.append(at.reshape([n if d == dims - 1 - i else 1 for d in range(dims)]).expand(tuple(size)[2:]))
    base = stack([*axes, axes[0] * 0 + 1], -1).reshape((1, -1, dims + 1))
    return (base @ theta.transpose(1, 2)).reshape((theta.shape[0], *tuple(size)[2:], dims))


def _reflected(at: Tensor, low2: int, high2: int) -> Tensor:
    """Coordinates mirrored at low2 / 2 and high2 / 2 until they lie between."""
    if low2 == high2:
        return at * 0
    low, span = low2 / 2, (high2 - low2) / 2
    away = (at - low).abs()
    flips = (away / span).detach().floor()
    extra = away - flips * span
    return where(flips.remainder(2).eq(0), extra + low, span - extra + low)


def _in_range(at: Tensor, n: int, padding_mode: str, align_corners: bool) -> Tensor:
    """Coordinates as the padding mode reads them."""
    if padding_mode == "border":
        return at.clamp(0, n - 1)
    if padding_mode == "reflection":
        at = _reflected(at, 0, 2 * (n - 1)) if align_corners else _reflected(at, -1, 2 * n - 1)
        return at.clamp(0, n - 1)
    return at


def _cubic(t: Tensor) -> list[Tensor]:
    """Weights of the four neighbours at -1, 0, 1, 2 (Keys, 1981, with a = -0.75)."""
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return [far(t + 1), near(t), near(1 - t), far(2 - t)]


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """Values of images at the places of a grid (Jaderberg et al., "Spatial transformer networks", 2015).

    Args:
        input: (N, C, H, W) or (N, C, D, H, W).
        grid: (N, H', W', 2) or (N, D', H', W', 3): x, y (, z) from -1 to 1.
        mode: 'bilinear' (trilinear in volumes), 'nearest' or 'bicubic' (images only).
        padding_mode: outside the image: 'zeros', 'border' or 'reflection'.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.

    Returns:
        (N, C, H', W') or (N, C, D', H', W'), differentiable in input and grid.

    >>> import gradgpu as gg
    >>> image = gg.tensor([[[[0., 1.], [2., 3.]]]])
    >>> gg.nn.functional.grid_sample(image, gg.zeros(1, 1, 1, 2), align_corners=True).item()
    1.5
    """
    dims = input.ndim - 2
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"'{padding_mode}'"
        )
    if (
        dims not in (2, 3)
        or grid.ndim != input.ndim
        or grid.shape[-1] != dims
        or grid.shape[0] != input.shape[0]
    ):
        raise RuntimeError(
            "grid_sample(): expected input (N, C, H, W) with grid (N, H', W', 2), or (N, C, D, H, W) with (N, D', H', W', 3), "
            f"got {tuple(input.shape)} and {tuple(grid.shape)}"
        )
    if mode == "bicubic" and dims == 3:
        raise RuntimeError("grid_sample(): bicubic interpolation only supports 4D input")
    align = bool(align_corners)
    size = tuple(input.shape[2:])
    n, c, out = input.shape[0], input.shape[1], tuple(grid.shape[1:-1])
    taps: list[
        list[tuple[Tensor, Tensor | None]]
    ] = []  # for each dimension: (index, weight), and 0 weight outside
    for d in range(dims):
        length, at = size[d], grid[..., dims - 1 - d].reshape((n, -1))
        at = (at + 1) * ((length - 1) / 2) if align else ((at + 1) * length - 1) / 2
        if mode != "bicubic":
            at = _in_range(at, length, padding_mode, align)
        if mode == "nearest":
            found: list[tuple[Tensor, Tensor | None]] = [(at.detach().round(), None)]
        else:
            low = at.detach().floor()
            t = at - low
            weights = [1 - t, t] if mode == "bilinear" else _cubic(t)
            first = 0 if mode == "bilinear" else -1
            found = [(low + (first + k), w) for k, w in enumerate(weights)]
            if mode == "bicubic":
                found = [(_in_range(i, length, padding_mode, align), w) for i, w in found]
        checked = []
        for index, weight in found:
            inside = ((index >= 0) & (index <= length - 1)).to(input.dtype)
            weight = inside if weight is None else weight * inside
            checked.append((index.nan_to_num(0.0).clamp(0, length - 1).long(), weight))
        taps.append(checked)
    corners: list[tuple[Any, Any]] = [(None, None)]
    for d in range(dims):
        corners = [
            (index if flat is None else flat * size[d] + index, w if weight is None else weight * w)
            for flat, weight in corners
            for index, w in taps[d]
        ]
    values = input.reshape((n, c, -1))
    total: Any = None
    for flat, weight in corners:
        part = values.gather(2, flat.unsqueeze(1).expand((n, c, flat.shape[1]))) * weight.unsqueeze(1)
        total = part if total is None else total + part
    return total.reshape((n, c, *out))


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of ``interpolate(mode='nearest')``."""
    return F.interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """The old name of ``interpolate(mode='bilinear', align_corners=True)``."""
    return F.interpolate(input, size, scale_factor, "bilinear", True)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of (N, C, *) in groups, read across: channel g · C / groups + i moves to i · groups + g (Zhang et al., 2018).

    >>> import gradgpu as gg
    >>> gg.nn.functional.channel_shuffle(gg.arange(4).reshape(1, 4, 1), 2).flatten().tolist()
    [0, 2, 1, 3]
    """
    if input.ndim < 3:
        raise RuntimeError(
            f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}"
        )
    n, c, *rest = input.shape
    if groups <= 0 or c % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups."
        )
    return input.reshape((n, groups, c // groups, *rest)).transpose(1, 2).reshape((n, c, *rest))


native_channel_shuffle = channel_shuffle


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The distances of norm p of all pairs of rows of (N, M), as (N (N - 1) / 2,): (0, 1), (0, 2), …, (1, 2), …

    >>> import gradgpu as gg
    >>> gg.nn.functional.pdist(gg.tensor([[0., 0.], [3., 4.], [0., 1.]]))
    tensor([5.0000, 1.0000, 4.2426])
    """
    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    from ...ops.distances import pair_distances

    return pair_distances(input, p)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The 3-D transposed convolution: input (N, C, D, H, W) or (C, D, H, W), weight (C, O / groups, KD, KH, KW).

    The sum of KD two-dimensional ones, each added to every stride-th slice in depth; see `conv_transpose2d`.

    >>> import gradgpu as gg
    >>> gg.nn.functional.conv_transpose3d(gg.ones(1, 1, 2, 2, 2), gg.ones(1, 3, 2, 2, 2), stride=2).shape
    gradgpu.Size([1, 3, 4, 4, 4])
    """
    name = "conv_transpose3d"
    if weight.ndim != 5 or input.ndim not in (4, 5):
        raise RuntimeError(
            f"{name}: expected input (N, C, D, H, W) or (C, D, H, W) and weight (C, O / groups, KD, KH, KW), got "
            f"{tuple(input.shape)} and {tuple(weight.shape)}"
        )
    if input.ndim == 4:
        return conv_transpose3d(
            input.unsqueeze(0), weight, bias, stride, padding, output_padding, groups, dilation
        ).squeeze(0)
    s, d = pair(name, "stride", stride, 1, 3), pair(name, "dilation", dilation, 1, 3)
    p, e = pair(name, "padding", padding, 0, 3), pair(name, "output_padding", output_padding, 0, 3)
    if any(extra >= max(a, b) for extra, a, b in zip(e, s, d)):
        raise RuntimeError(f"{name}: output padding must be smaller than either stride or dilation, got {e}")
    n, c, depth, h, w = input.shape
    taps = weight.shape[2]
    whole = (depth - 1) * s[0] + d[0] * (taps - 1) + 1 + e[0]
    if whole - 2 * p[0] < 1:
        raise RuntimeError(f"{name}: the output depth {whole - 2 * p[0]} is too small; use less padding")
    images = input.transpose(1, 2).reshape((n * depth, c, h, w))
    total: Any = None
    for i in range(taps):
        part = conv_transpose2d(images, weight[:, :, i], None, s[1:], p[1:], e[1:], groups, d[1:])
        part = part.reshape((n, depth, *part.shape[1:]))
        if total is None:
            total = part.new_zeros((n, whole, *part.shape[2:]))
        places = arange(depth, device=input.device) * s[0] + i * d[0]
        total = total.index_add(1, places, part)
    y = total[:, p[0] : whole - p[0]].transpose(1, 2)
    return (y if bias is None else y + bias.reshape(-1, 1, 1, 1)).contiguous()


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima of rows of a table, one for each bag of indices.

    Args:
        input: (B, L), a bag a row, or (L,), all bags one after the other.
        weight: the table (V, D).
        offsets: (B,), where each bag of a 1-D input begins.
        mode: 'sum', 'mean' or 'max'; empty bags give zeros.
        per_sample_weights: of input's shape, factors of the rows (mode 'sum').
        include_last_offset: offsets has one entry more, the end of the last bag.
        padding_idx: rows that do not count.
        max_norm, norm_type, scale_grad_by_freq: as in `embedding`. sparse: accepted; the gradient is dense.

    Returns:
        (B, D).

    >>> import gradgpu as gg
    >>> table = gg.tensor([[1., 1.], [2., 2.], [4., 4.]])
    >>> gg.nn.functional.embedding_bag(gg.tensor([0, 1, 2]), table, gg.tensor([0, 2]), mode="sum")
    tensor([[3., 3.],
            [4., 4.]])
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                f"embedding_bag: per_sample_weights is only supported for mode='sum', got mode='{mode}'"
            )
        if per_sample_weights.shape != input.shape:
            raise ValueError(
                f"embedding_bag: If per_sample_weights ({tuple(per_sample_weights.shape)}) is not None, then it must have the "
                f"same shape as the input ({tuple(input.shape)})"
            )
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences."
            )
        bags, length = input.shape
        offsets = arange(bags, dtype=int64, device=input.device) * length
        input = input.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    elif input.ndim == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
        if include_last_offset:
            input = input[: int(offsets[-1].item())]
            offsets = offsets[:-1]
        bags = offsets.shape[0]
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    rows = F.embedding(input, weight, None, max_norm, norm_type, scale_grad_by_freq)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(1)
    places = arange(input.shape[0], dtype=int64, device=input.device)
    bag = searchsorted(offsets.to(int64), places, right=True) - 1
    counted: Any = None
    if padding_idx is not None:
        counted = input.ne(padding_idx % weight.shape[0]).to(rows.dtype)
    if mode == "max":
        # Bags of one length, filled with -infinity: the longest decides, so the host asks for it.
        before = (bag.unsqueeze(0).eq(arange(bags, device=input.device).unsqueeze(1))).long()
        lengths = before.sum(1)
        longest = int(lengths.max().item()) if bags and input.shape[0] else 0
        if not longest:
            return rows.new_zeros((bags, weight.shape[1]))
        within = places - offsets.to(int64)[bag]
        low = rows if counted is None else rows.masked_fill(counted.eq(0).unsqueeze(1), -math.inf)
        table = rows.new_full((bags * longest, weight.shape[1]), -math.inf).index_copy(
            0, bag * longest + within, low
        )
        best = table.reshape((bags, longest, -1)).amax(1)
        return best.masked_fill(best.detach().eq(-math.inf), 0.0)
    if counted is not None:
        rows = rows * counted.unsqueeze(1)
    total = rows.new_zeros((bags, weight.shape[1])).index_add(0, bag, rows)
    if mode == "sum":
        return total
    ones = rows.new_ones((input.shape[0],)) if counted is None else counted
    count = rows.new_zeros((bags,)).index_add(0, bag, ones)
    return total / count.clamp(min=1).unsqueeze(1)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """The 1-D convolution of sequences that lie time first: input (T, B, C), weight (K, C, O), bias (O).

    Raises:
        RuntimeError: other numbers of dimensions.

    >>> import gradgpu as gg
    >>> conv_tbc(gg.ones(3, 1, 1), gg.ones(2, 1, 1), gg.zeros(1)).flatten()
    tensor([2., 2.])
    """
    for name, t, dims in (("input", input, 3), ("weight", weight, 3), ("bias", bias, 1)):
        if t.dim() != dims:
            raise RuntimeError(f"conv_tbc: {name} must have {dims} dimensions, got {t.dim()}")
    from ...ops.conv import conv1d

    return conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad).permute(2, 0, 1)
