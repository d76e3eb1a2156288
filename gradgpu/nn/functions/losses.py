"""Losses of rankings, distances and label sets. Reductions are 'mean', 'sum' and 'none', as everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...ops.loss import reduced
from ...ops.pointwise import where
from ...tensor import Tensor
from ..functional import logsigmoid, pairwise_distance

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "poisson_nll_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def reduction_of(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """PyTorch's old flags `size_average` and `reduce` in terms of `reduction`, and a check of it."""
    if size_average is not None or reduce is not None:
        return "none" if reduce is False else "sum" if size_average is False else "mean"
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction: use 'none', 'mean' or 'sum'")
    return reduction


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of counts under Poisson distributions, without the constant log(target!).

    Args:
        input: the logarithm of the rates, or (log_input=False) the rates.
        target: the counts, of input's shape.
        log_input: exp(input) - target · input, else input - target · log(input + eps).
        full: add Stirling's approximation of log(target!) for counts above 1.
        eps: keeps the logarithm finite.

    >>> import gradgpu as gg
    >>> gg.nn.functional.poisson_nll_loss(gg.tensor([0., 1.]), gg.tensor([1., 2.])).item()  # (1 + e - 2) / 2
    0.859140...
    """
    reduction = reduction_of(size_average, reduce, reduction)
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        count = where(target > 1, target, target.new_ones(()))  # whose term is 0 below
        stirling = count * count.log() - count + 0.5 * (2 * math.pi * count).log()
        loss = loss + where(target > 1, stirling, stirling.new_zeros(()))
    return reduced(loss, reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """input where target is 1, max(0, margin - input) where it is -1: for distances of pairs alike or not."""
    reduction = reduction_of(size_average, reduce, reduction)
    zero = input.new_zeros(())
    loss = where(target.ne(1), (margin - input).clamp(min=0), zero) + where(target.ne(-1), input, zero)
    return reduced(loss, reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x₁, x₂) where target is 1, max(0, cos(x₁, x₂) - margin) where it is -1.

    Shapes: (N, D) and target (N,), or (D,) and a 0-dim target.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if input1.shape != input2.shape or target.ndim + 1 != input1.ndim or input1.ndim not in (1, 2):
        raise RuntimeError(
            f"cosine_embedding_loss: expected inputs (N, D) and target (N,), or (D,) and a 0-dim target; got "
            f"{tuple(input1.shape)}, {tuple(input2.shape)} and {tuple(target.shape)}"
        )
    eps = 1e-12  # added to the squared norms, as PyTorch does here (and not in cosine_similarity)
    dot = (input1 * input2).sum(-1)
    cos = dot / (((input1 * input1).sum(-1) + eps) * ((input2 * input2).sum(-1) + eps)).sqrt()
    zero = cos.new_zeros(())
    loss = where(target.eq(1), 1 - cos, zero) + where(target.eq(-1), (cos - margin).clamp(min=0), zero)
    return reduced(loss, reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -target · (input1 - input2) + margin): target 1 wants input1 above input2, -1 below."""
    reduction = reduction_of(size_average, reduce, reduction)
    if input1.ndim != input2.ndim or input1.ndim != target.ndim:
        raise RuntimeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: {input1.shape}, "
            f"input2: {input2.shape}, target: {target.shape} "
        )
    return reduced((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target · input)), target being 1 or -1."""
    return reduced(-logsigmoid(target * input), reduction_of(size_average, reduce, reduction))


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ_i max(0, margin - x[y] + x[i])ᵖ / C over the classes i ≠ y, weighted by weight[y].

    Shapes: input (N, C) or (C,), target (N,) or () of classes; weight (C,).
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    x, y = (input, target) if input.ndim == 2 else (input.unsqueeze(0), target.reshape(1))
    classes = x.shape[-1]
    y = y.unsqueeze(1)
    terms = (margin - x.gather(1, y) + x).clamp(min=0)
    if p == 2:
        terms = terms * terms
    if weight is not None:
        terms = terms * weight[y]
    own = terms.new_zeros(tuple(terms.shape)).scatter(1, y, 1.0).bool()
    loss = terms.masked_fill(own, 0.0).sum(1) / classes
    return reduced(loss if input.ndim == 2 else loss.squeeze(0), reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Σ_ij max(0, 1 - (x[y_j] - x[i])) / C over the labels y_j and all classes i that are none of them.

    Shapes: input and target (N, C) or (C,); a row of target lists its classes and then -1.
    """
    reduction = reduction_of(size_average, reduce, reduction)
    if input.shape != target.shape or input.ndim not in (1, 2):
        raise RuntimeError(
            f"multilabel_margin_loss: expected input and target of one shape (N, C) or (C,), got {tuple(input.shape)} and "
            f"{tuple(target.shape)}"
        )
    x, y = (input, target) if input.ndim == 2 else (input.unsqueeze(0), target.unsqueeze(0))
    listed = y.ge(0).long().cumprod(1)  # what follows the first -1 does not count
    safe = y * listed
    is_label = x.new_zeros(tuple(x.shape)).scatter_add(1, safe, listed.to(x.dtype)).gt(0)
    terms = (1 - x.gather(1, safe).unsqueeze(2) + x.unsqueeze(1)).clamp(min=0)
    skip = is_label.unsqueeze(1) | listed.eq(0).unsqueeze(2)
    loss = terms.masked_fill(skip, 0.0).sum((1, 2)) / x.shape[1]
    return reduced(loss if input.ndim == 2 else loss.squeeze(0), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The mean over the last dimension of -(y log σ(x) + (1 - y) log σ(-x)), weighted by class."""
    reduction = reduction_of(size_average, reduce, reduction)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(loss.mean(-1), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin) with d the distance of norm p (Balntas et al., 2016).

    ``swap`` takes the lesser of d(a, n) and d(p, n). Shapes: (N, D) or (D,) each.

    >>> import gradgpu as gg
    >>> a, n = gg.zeros(1, 2), gg.tensor([[3., 4.]])
    >>> round(gg.nn.functional.triplet_margin_loss(a, a, n, margin=6.).item(), 3)
    1.0
    """
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction_of(size_average, reduce, reduction),
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with any distance, by default the Euclidean one."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            f"The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor "
            f"{anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    distance: Any = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return reduced((near - far + margin).clamp(min=0), reduction_of(None, None, reduction))
