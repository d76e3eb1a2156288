"""Sequences of different lengths in one batch: padded, or packed step by step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ... import dtypes as dt
from ...ops.creation import arange, empty_like, from_numpy, full
from ...ops.join import cat, stack
from ...tensor import Tensor

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "invert_permutation",
    "unpack_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """Sequences sorted by length and stored step by step: first every first step, then every second one, …

    Attributes:
        data: (sum of lengths, *) all steps.
        batch_sizes: (longest length,) on the CPU: how many sequences reach each step.
        sorted_indices: the order the sequences are stored in, None if they came sorted.
        unsorted_indices: the inverse of that order.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """Moves or casts the data; the sizes stay on the CPU. Self if nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        move = {"device": data.device, "non_blocking": kwargs.get("non_blocking", False)}
        order = [i if i is None else i.to(**move) for i in (self.sorted_indices, self.unsorted_indices)]
        return PackedSequence(data, self.batch_sizes, *order)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """Whether the data is in page-locked memory."""
        return self.data.is_pinned()

    def pin_memory(self) -> PackedSequence:
        """With the data, and the order of the sequences, in page-locked memory; see `Tensor.pin_memory`."""
        order = [i if i is None else i.pin_memory() for i in (self.sorted_indices, self.unsorted_indices)]
        return PackedSequence(self.data.pin_memory(), self.batch_sizes, *order)

    def cuda(self, device: Any = None, non_blocking: bool = False) -> PackedSequence:
        """On the GPU."""
        return self.to("cuda" if device is None else device, non_blocking=non_blocking)

    def cpu(self) -> PackedSequence:
        """On the CPU."""
        return self.to("cpu")


def _cast(name: str) -> Any:
    def cast(self: PackedSequence) -> PackedSequence:
        return self.to(getattr(dt, name))

    cast.__name__ = name
    cast.__doc__ = f"The data as {name}."
    return cast


for _name in ("double", "float", "half", "bfloat16", "long", "int", "short"):
    setattr(PackedSequence, _name, _cast(_name))


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another: p[inverse] is 0, 1, 2, …"""
    if permutation is None:
        return None
    return empty_like(permutation).scatter_(
        0, permutation, arange(permutation.numel(), device=permutation.device)
    )


def pad_sequence(
    sequences: Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (L_i, *) as one tensor (longest, N, *), or (N, longest, *), filled up with padding_value.

    Example:
        >>> import gradgpu as gg
        >>> gg.nn.utils.rnn.pad_sequence([gg.tensor([1, 2]), gg.tensor([3])], batch_first=True)
        tensor([[1, 2],
                [3, 0]])
    """
    sequences = list(sequences)
    if not sequences:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise ValueError(f"padding_side must be 'left' or 'right', got {padding_side!r}")
    longest = max(s.shape[0] for s in sequences)
    rows = []
    for s in sequences:
        missing = longest - s.shape[0]
        if missing:
            gap = full((missing, *s.shape[1:]), padding_value, dtype=s.dtype, device=s.device)
            s = cat([s, gap] if padding_side == "right" else [gap, s])
        rows.append(s)
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each with its own length."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[:length] for row, length in zip(rows.unbind(0), lengths.tolist())]


def _positions(lengths: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(step, sequence) of every packed element, for lengths in falling order."""
    reach = np.arange(max(lengths))[:, None] < np.asarray(lengths)[None, :]
    return np.nonzero(reach)  # type: ignore[return-value]


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs a padded batch (L, N, *), or (N, L, *).

    Args:
        input: the batch.
        lengths: (N,) of the sequences, on the CPU.
        batch_first: whether the batch is dimension 0.
        enforce_sorted: the sequences come longest first; otherwise they are sorted here.

    Raises:
        RuntimeError: lengths not sorted while enforce_sorted, or some length is not positive.
    """
    sizes = [int(n) for n in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    if batch_first:
        input = input.transpose(0, 1)
    if len(sizes) != input.shape[1]:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(sizes)} (batch_size={input.shape[1]})"
        )
    if min(sizes) <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    forward = backward = None
    if not enforce_sorted:
        order = np.argsort(-np.asarray(sizes), kind="stable")
        forward = from_numpy(order).to(input.device)
        backward = from_numpy(np.argsort(order)).to(input.device)
        sizes = [sizes[i] for i in order]
        input = input.index_select(1, forward)
    elif any(a < b for a, b in pairwise(sizes)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to sort the sequences."
        )
    step, which = _positions(sizes)
    flat = input[: sizes[0]].reshape(sizes[0] * input.shape[1], *input.shape[2:])
    rows = from_numpy(step * input.shape[1] + which).to(input.device)
    counts = np.bincount(step, minlength=sizes[0])
    return PackedSequence(flat.index_select(0, rows), from_numpy(counts), forward, backward)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded batch of a packed one, and the lengths, in the original order."""
    counts = sequence.batch_sizes.tolist()
    longest, batch = len(counts), counts[0]
    if total_length is not None and total_length < longest:
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {longest}"
        )
    total = longest if total_length is None else total_length
    lengths = [sum(count > i for count in counts) for i in range(batch)]
    step, which = _positions(lengths)
    data = sequence.data
    # Every padded place reads its element, or the row of padding that is put behind them.
    source = np.full((total, batch), len(step), np.int64)
    source[step, which] = np.arange(len(step))
    gap = full((1, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    rows = from_numpy(source.reshape(-1)).to(data.device)
    padded = cat([data, gap]).index_select(0, rows).reshape(total, batch, *data.shape[1:])
    sizes = from_numpy(np.asarray(lengths, np.int64))
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        sizes = sizes.index_select(0, sequence.unsorted_indices.to("cpu"))
    return (padded.transpose(0, 1) if batch_first else padded), sizes


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, in their original order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs a list of sequences (L_i, *)."""
    return pack_padded_sequence(
        pad_sequence(sequences), [len(s) for s in sequences], enforce_sorted=enforce_sorted
    )
