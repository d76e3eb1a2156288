"""Samplers: in which order the samples of a dataset are visited."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ...ops.random import randint, randperm
from ...tensor import Tensor

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]


def drawn_by(generator: Any) -> dict[str, Any]:
    """The arguments that draw with a generator, on its device, whatever the default device is."""
    return {} if generator is None else {"generator": generator, "device": generator.device}


class Sampler:
    """Base of samplers: define ``__iter__`` (indices) and ``__len__``."""

    def __init__(self, data_source: Any = None) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __iter__")

    def __class_getitem__(cls, item: Any) -> type:
        return cls


class SequentialSampler(Sampler):
    """0, 1, 2, …"""

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


MANY = 1 << 20  # indices that are drawn at once


class RandomSampler(Sampler):
    """A random order, or with ``replacement`` independent draws.

    Args:
        data_source: the dataset.
        replacement: draw each index independently.
        num_samples: how many indices; all by default.
        generator: a ``gradgpu.Generator``; the default one otherwise.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ) -> None:
        super().__init__(data_source)
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.replacement, self.generator, self._num_samples = replacement, generator, num_samples
        wanted = self.num_samples
        if not isinstance(wanted, int) or wanted <= 0:
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={wanted}")

    @property
    def num_samples(self) -> int:
        """How many indices an iteration gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def indices(self) -> np.ndarray:
        """The indices of one pass, as an array."""
        total, wanted = len(self.data_source), self.num_samples
        if total == 0 or wanted == 0:
            return np.empty(0, np.int64)
        if self.replacement:
            return randint(0, total, (wanted,), **drawn_by(self.generator)).numpy(force=True)
        rounds = [
            randperm(total, **drawn_by(self.generator)).numpy(force=True) for _ in range(-(-wanted // total))
        ]
        return np.concatenate(rounds)[:wanted]

    def __iter__(self) -> Iterator[int]:
        if self.num_samples <= MANY:
            yield from self.indices().tolist()
            return
        # More than anybody keeps in memory: piece by piece, as they are asked for.
        total, left = len(self.data_source), self.num_samples
        while total and left > 0:
            if self.replacement:
                piece = randint(0, total, (min(left, MANY),), **drawn_by(self.generator)).tolist()
            else:
                piece = randperm(total, **drawn_by(self.generator)).tolist()[:left]
            yield from piece
            left -= len(piece)

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices in a random order."""

    def __init__(self, indices: Sequence[int], generator: Any = None) -> None:
        super().__init__()
        self.indices, self.generator = indices, generator

    def __iter__(self) -> Iterator[int]:
        for i in randperm(len(self.indices), **drawn_by(self.generator)).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """Indices drawn with probability proportional to their weight."""

    def __init__(
        self, weights: Sequence[float], num_samples: int, replacement: bool = True, generator: Any = None
    ) -> None:
        super().__init__()
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples <= 0:
            raise ValueError(
                f"num_samples should be a positive integer value, but got num_samples={num_samples}"
            )
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = np.asarray(weights.tolist() if isinstance(weights, Tensor) else weights, np.float64)
        if self.weights.ndim != 1:
            raise ValueError(
                f"weights should be a 1d sequence but given weights have shape {self.weights.shape}"
            )
        if (self.weights < 0).any() or not np.isfinite(self.weights.sum()) or not self.weights.any():
            raise ValueError("weights must be finite, not negative, and not all zero")
        if not replacement and num_samples > np.count_nonzero(self.weights):
            raise ValueError("cannot draw more samples than there are non-zero weights without replacement")
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator

    def __iter__(self) -> Iterator[int]:
        seed = randint(0, 2**62, (1,), generator=self.generator).item()
        draws = np.random.default_rng(seed).choice(
            len(self.weights), self.num_samples, self.replacement, self.weights / self.weights.sum()
        )
        return iter(draws.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of ``batch_size`` indices of another sampler; ``drop_last`` leaves out a smaller last one."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        super().__init__()
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(
                f"batch_size should be a positive integer value, but got batch_size={batch_size}"
            )
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self) -> int:
        size = len(self.sampler)  # type: ignore[arg-type]
        return size // self.batch_size if self.drop_last else -(-size // self.batch_size)
