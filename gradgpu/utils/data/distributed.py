"""Each process of several its own part of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ...ops.random import randperm
from ...random import Generator
from .sampler import Sampler, drawn_by

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler):
    """The indices of part ``rank`` of ``num_replicas``: every num_replicas-th of the common order.

    Call ``set_epoch`` before each pass: the order follows from seed and epoch alone, so that all processes agree.

    Args:
        dataset: what is divided.
        num_replicas, rank: how many parts, and which; by default those of the process group (`gradgpu.distributed`).
        shuffle: a new order each epoch.
        seed: the same in all processes.
        drop_last: make the parts equal by leaving samples out, not by giving some twice.

    Example:
        >>> import gradgpu as gg
        >>> from gradgpu.utils.data.distributed import DistributedSampler
        >>> [list(DistributedSampler(range(5), 2, rank, shuffle=False)) for rank in range(2)]
        [[0, 2, 4], [1, 3, 0]]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            from ... import distributed

            if not distributed.is_initialized():
                raise RuntimeError(
                    "Requires distributed package to be available: give num_replicas and rank, or init_process_group first"
                )
            num_replicas = distributed.get_world_size() if num_replicas is None else num_replicas
            rank = distributed.get_rank() if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        super().__init__(dataset)
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        size = len(dataset)
        self.num_samples = (size // num_replicas) if drop_last else math.ceil(size / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def __iter__(self) -> Iterator[int]:
        size = len(self.dataset)
        if self.shuffle:
            order = randperm(size, **drawn_by(Generator().manual_seed(self.seed + self.epoch))).tolist()
        else:
            order = list(range(size))
        if size:
            order = (order * math.ceil(self.total_size / size))[: self.total_size]
        return iter(order[self.rank :: self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Let the next pass have the order of this epoch."""
        self.epoch = epoch
