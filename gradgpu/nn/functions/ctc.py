"""Connectionist temporal classification (Graves et al., "Connectionist temporal classification", 2006)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...dtypes import float32, int64
from ...ops.creation import tensor
from ...ops.join import cat, stack
from ...ops.loss import reduced
from ...ops.pointwise import logaddexp, where
from ...tensor import Tensor

__all__ = ["ctc_loss"]

_NEVER = -1e30  # the logarithm of a probability of zero: finite, so that gradients are numbers


def _lengths(name: str, lengths: Any, count: int, most: int) -> list[int]:
    if isinstance(lengths, Tensor):
        found = lengths.reshape(-1).tolist()
    else:
        found = [lengths] if isinstance(lengths, int) else list(lengths)
    if len(found) != count:
        raise RuntimeError(f"ctc_loss: {name} must be of size {count} (the batch), got {len(found)}")
    for n in found:
        if not 0 <= n <= most:
            raise RuntimeError(f"ctc_loss: expected {name} between 0 and {most}, got {n}")
    return [int(n) for n in found]


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int] | int,
    target_lengths: Tensor | Sequence[int] | int,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability that a sequence of class probabilities reads as the target, summed over all alignments.

    Between its labels an alignment may repeat them and put blanks. Computed by the forward algorithm in the
    logarithmic domain; its gradient is that of the recursion. (PyTorch's gradient has the softmax added, which
    makes no difference to what comes before a `log_softmax`.)

    Args:
        log_probs: (T, N, C) or (T, C), the log-probabilities of each step (from `log_softmax`).
        targets: (N, S), or (sum of target_lengths,), the labels without blanks.
        input_lengths: (N,) or (), the steps of each sequence.
        target_lengths: (N,) or (), the labels of each sequence.
        blank: the blank's class.
        reduction: 'mean' divides each loss by its target's length and takes the mean over the batch.
        zero_infinity: a target that is too long for its input counts 0, without a gradient, not infinity.

    >>> import gradgpu as gg
    >>> log_probs = gg.full((2, 1, 3), 1 / 3).log()
    >>> loss = gg.nn.functional.ctc_loss(log_probs, gg.tensor([[1]]), [2], [1])  # '1 1', '- 1' and '1 -' of 9
    >>> round(loss.exp().item(), 4)
    3.0
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction: use 'none', 'mean' or 'sum'")
    if log_probs.ndim == 2:
        one = ctc_loss(
            log_probs.unsqueeze(1), targets.reshape((1, -1)), input_lengths, target_lengths, blank, reduction, zero_infinity
        )  # fmt: skip
        return one.squeeze(0) if reduction == "none" else one
    if log_probs.ndim != 3:
        raise RuntimeError(f"ctc_loss: expected log_probs (T, N, C) or (T, C), got {tuple(log_probs.shape)}")
    steps, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss: blank must be in label range 0 to {classes - 1}, got {blank}")
    used = _lengths("input_lengths", input_lengths, batch, steps)
    long = _lengths("target_lengths", target_lengths, batch, 1 << 60)
    width = max(long, default=0)
    if targets.ndim == 1:
        if targets.shape[0] != sum(long):
            raise RuntimeError(
                f"ctc_loss: targets of size {targets.shape[0]} do not match the sum {sum(long)} of target_lengths"
            )
        parts, at = [], 0
        for n in long:
            row = targets[at : at + n]
            parts.append(cat([row, row.new_full((width - n,), blank)]) if n < width else row)
            at += n
        targets = stack(parts)
    elif targets.shape[0] != batch or targets.shape[1] < width:
        raise RuntimeError(
            f"ctc_loss: expected targets ({batch}, at least {width}), got {tuple(targets.shape)}"
        )
    labels = targets[:, :width].to(int64)
    p = log_probs if log_probs.dtype.itemsize > 2 else log_probs.to(float32)
    # Every second state is the blank, the others are the labels.
    spaced = stack([labels.new_full((batch, width), blank), labels], 2).reshape((batch, 2 * width))
    states = cat([spaced, labels.new_full((batch, 1), blank)], 1)
    count = 2 * width + 1
    emitted = p.gather(2, states.unsqueeze(0).expand((steps, batch, count))).clamp(min=_NEVER).unbind(0)
    # A label may follow the label before it without a blank, unless the two are the same.
    barred = states.new_ones((batch, count)).bool()
    if width > 1:
        barred[:, 3::2] = labels[:, 1:].eq(labels[:, :-1])
    skip = barred.to(p.dtype) * _NEVER
    start = p.new_full((batch, count), _NEVER)
    start[:, : min(2, count)] = 0.0
    edge = p.new_full((batch, 2), _NEVER)
    alphas = []
    for t, step in enumerate(emitted):
        if t == 0:
            alpha = step + start
        else:
            before = cat([edge, alpha], 1)
            moved = logaddexp(alpha, before[:, 1:-1]) if count > 1 else alpha
            alpha = logaddexp(moved, before[:, :-2] + skip) + step
        alphas.append(alpha)
    where_to: dict[str, Any] = {"device": p.device}
    if steps:
        rows = tensor([max(n - 1, 0) for n in used], **where_to)
        last = stack(alphas)[rows, tensor(list(range(batch)), **where_to)]
        ends = tensor([[2 * n, max(2 * n - 1, 0)] for n in long], dtype=int64, **where_to).reshape((batch, 2))
        final = last.gather(1, ends)
        one_end = tensor([n == 0 for n in long], **where_to)
        likelihood = where(one_end, final[:, 0], logaddexp(final[:, 0], final[:, 1]))
    else:
        likelihood = p.new_zeros((batch,))
    if 0 in used:  # without steps only the empty target can be read
        empty = tensor([n == 0 for n in used], **where_to)
        read = tensor([0.0 if n == 0 else _NEVER for n in long], dtype=p.dtype, **where_to)
        likelihood = where(empty, read, likelihood)
    impossible = likelihood.detach() < _NEVER / 10
    loss = where(impossible, p.new_full((), 0.0 if zero_infinity else math.inf), -likelihood)
    loss = loss.to(log_probs.dtype)
    if reduction == "mean":
        loss = loss / tensor([max(n, 1) for n in long], dtype=loss.dtype, **where_to)
    return reduced(loss, reduction)
