"""The adaptive softmax: a loss over many classes that looks at rare ones only when it must."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from ...ops.creation import empty
from ...tensor import Tensor
from .. import functional as F
from ..module import Module
from .container import ModuleList, Sequential
from .linear import Linear

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax over frequent classes and clusters of rare ones (Grave et al., "Efficient softmax approximation for GPUs", 2017).

    Classes must be numbered by falling frequency.

    Args:
        in_features: features of the input (N, in_features).
        n_classes: how many classes.
        cutoffs: where the clusters begin, rising, below n_classes.
        div_value: cluster i works in in_features / div_value^(i + 1) dimensions.
        head_bias: whether the layer of the frequent classes has a bias.

    Calling it with (input, target (N,)) gives a named tuple ``(output, loss)``: the log-probability of each target, and the mean
    of their negatives. The host waits to learn which rows belong to which cluster.

    Example:
        >>> import gradgpu as gg
        >>> layer = gg.nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs=[4, 10])
        >>> layer(gg.randn(3, 8), gg.tensor([0, 7, 19])).output.shape
        gradgpu.Size([3])
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (
            cutoffs != sorted(set(cutoffs))
            or min(cutoffs) <= 0
            or max(cutoffs) > n_classes - 1
            or any(int(c) != c for c in cutoffs)
        ):
            raise ValueError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value is "
                f"between 1 and n_classes-1; got {cutoffs} and n_classes={n_classes}"
            )
        self.in_features, self.n_classes, self.div_value, self.head_bias = (
            in_features,
            n_classes,
            div_value,
            head_bias,
        )
        self.cutoffs = [*cutoffs, n_classes]
        self.shortlist_size, self.n_clusters = self.cutoffs[0], len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        where = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **where)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            width = int(in_features // (div_value ** (i + 1)))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **where), Linear(width, size, bias=False, **where)
                )
            )

    def reset_parameters(self) -> None:
        """Draw new initial weights."""
        self.head.reset_parameters()
        for pair in self.tail:
            first, second = pair.children()
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> _ASMoutput:
        batched = target_.ndim > 0
        if input_.ndim != 1 + batched:
            raise RuntimeError(
                "Input and target should have the same size in the batch dimension: expected input (N, in_features) with "
                f"target (N,), or (in_features,) with a 0-dim target, got {tuple(input_.shape)} and {tuple(target_.shape)}"
            )
        x, target = (input_, target_) if batched else (input_.unsqueeze(0), target_.unsqueeze(0))
        if x.shape[0] != target.shape[0]:
            raise RuntimeError(
                f"Input and target should have the same size in the batch dimension, got {tuple(x.shape)} and {tuple(target.shape)}"
            )
        head = F.log_softmax(self.head(x), 1)
        short = target < self.shortlist_size
        chosen = target * short.long()
        parts = []  # (rows, their log-probabilities within their cluster)
        found = int(short.sum().item())
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:])):
            inside = (target >= low) & (target < high)
            rows = inside.nonzero().squeeze(1)
            if not rows.numel():
                continue
            found += rows.numel()
            cluster = F.log_softmax(self.tail[i](x.index_select(0, rows)), 1)
            own = target.index_select(0, rows) - low
            parts.append((rows, cluster.gather(1, own.unsqueeze(1)).squeeze(1)))
            chosen = chosen + inside.long() * (self.shortlist_size + i)
        if found != target.numel():
            raise RuntimeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{target.min().item()}, "
                f"{target.max().item()}] were found. "
            )
        output = head.gather(1, chosen.unsqueeze(1)).squeeze(1)
        for rows, within in parts:
            output = output.index_add(0, rows, within)
        loss = (-output).mean()
        return _ASMoutput(output if batched else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: (N, in_features) → (N, n_classes)."""
        head = self.head(input)
        out = empty(head.shape[0], self.n_classes, dtype=head.dtype, device=head.device)
        log_head = F.log_softmax(head, 1)
        out[:, : self.shortlist_size] = log_head[:, : self.shortlist_size]
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:])):
            cluster = F.log_softmax(self.tail[i](input), 1)
            out[:, low:high] = cluster + log_head[:, self.shortlist_size + i].unsqueeze(1)
        return out

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row: (N, in_features) → (N,)."""
        return self.log_prob(input).argmax(1)
