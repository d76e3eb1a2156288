"""DataLoader: batches of a dataset, in order or shuffled, here or from worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, repeat
from typing import Any

import numpy as np

from ...ops.creation import from_numpy
from ...ops.random import randint
from ...tensor import Tensor, wrap
from .collate import default_collate, default_convert
from .dataset import IterableDataset, Subset, TensorDataset, samples_at
from .pin_memory import pin_memory
from .sampler import MANY, BatchSampler, RandomSampler, Sampler, SequentialSampler
from .worker import ExceptionWrapper as ExceptionWrapper
from .worker import Workers, get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]


class DataLoader:
    """Iterates over batches of a dataset.

    Args:
        dataset: anything with ``__getitem__`` and ``__len__``, or an :class:`IterableDataset`.
        batch_size: samples a batch; None gives single samples.
        shuffle: a new random order each pass.
        sampler: gives the indices, instead of ``shuffle``.
        batch_sampler: gives lists of indices, instead of batch_size, shuffle, sampler and drop_last.
        num_workers: worker processes that fetch ahead; 0 fetches here.
        collate_fn: makes a batch of a list of samples; :func:`default_collate` stacks.
        pin_memory: batches lie in page-locked memory (see :meth:`Tensor.pin_memory`): ``batch.to('cuda', non_blocking=True)``
            then goes on while the host does. With workers a thread copies the batches there. Objects of one's own are
            pinned if they have a method ``pin_memory``. Without a CUDA device a warning says that nothing is pinned.
        drop_last: leave out a smaller last batch.
        timeout: seconds to wait for a worker (0: for ever).
        worker_init_fn: called in each worker with its number.
        generator: a ``gradgpu.Generator`` for the order and the workers' seeds.
        prefetch_factor: batches that each worker fetches ahead (2).
        persistent_workers: keep the workers, and their copies of the dataset, from one pass to the next.
        in_order: with False, batches of workers come as they are ready.
        pin_memory_device: deprecated, as in PyTorch: page-locked memory is good for every CUDA device.

    A :class:`TensorDataset` (or subsets of one) with the default collate is indexed one whole batch at a
    time, without touching single samples.

    Example:
        >>> import gradgpu as gg
        >>> data = gg.utils.data.TensorDataset(gg.arange(5))
        >>> [batch.tolist() for (batch,) in gg.utils.data.DataLoader(data, batch_size=2)]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing."
            )
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing: let num_workers > 0"
            )
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if multiprocessing_context is not None:
            _check_context(multiprocessing_context, num_workers)
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader with IterableDataset: expected no shuffle, sampler or batch_sampler option"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        if sampler is None and not self._iterable:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None and not self._iterable:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]
        self.dataset, self.batch_size, self.sampler, self.batch_sampler = (
            dataset,
            batch_size,
            sampler,
            batch_sampler,
        )
        self.num_workers, self.drop_last, self.timeout, self.generator = (
            num_workers,
            drop_last,
            timeout,
            generator,
        )
        self.pin_memory, self.worker_init_fn, self.multiprocessing_context = (
            pin_memory,
            worker_init_fn,
            multiprocessing_context,
        )
        if num_workers > 0 and prefetch_factor is None:
            prefetch_factor = 2
        elif prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError("prefetch_factor option should be positive")
        self.prefetch_factor, self.persistent_workers = prefetch_factor, persistent_workers
        self.pin_memory_device, self.in_order = pin_memory_device, in_order
        self._batched = batch_size is not None or batch_sampler is not None
        self.collate_fn = collate_fn or (default_collate if self._batched else default_convert)

    def __len__(self) -> int:
        if self._iterable:
            size = len(self.dataset)
            if self.batch_size is None:
                return size
            return size // self.batch_size if self.drop_last else -(-size // self.batch_size)
        return len(self.batch_sampler if self._batched else self.sampler)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        tensors, pins = self._plain_tensors(), self._pins()
        if tensors is None and self.num_workers:
            return self._from_workers(pins)
        batches = self._here() if tensors is None else self._whole_batches(*tensors)
        return map(pin_memory, batches) if pins else batches

    def _pins(self) -> bool:
        """Whether batches are to be in page-locked memory and can be."""
        if not self.pin_memory:
            return False
        import warnings

        from ...cuda import is_available

        if self.pin_memory_device:
            warnings.warn(
                "pin_memory_device is deprecated, the current accelerator will be used as the device, "
                f"ignore pin_memory_device={self.pin_memory_device!r}.",
                stacklevel=3,
            )
        if not is_available():
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.",
                stacklevel=3,
            )
        return is_available()

    def _from_workers(self, pins: bool) -> Iterator[Any]:
        workers = self.__dict__.pop("_workers", None)  # a second pass at the same time gets its own
        if workers is None:
            workers = Workers(
                self.dataset,
                _Fetch(self),
                workers=self.num_workers,
                seed=int(randint(0, 2**62, (1,), generator=self.generator).item()),
                init=self.worker_init_fn,
                context=self.multiprocessing_context,
                pin=pins,
            )
        tasks = (
            repeat(None) if self._iterable else iter(self.batch_sampler if self._batched else self.sampler)  # type: ignore[arg-type]
        )
        try:
            yield from workers.run(tasks, self.prefetch_factor, self.timeout, self.in_order)
        finally:
            keep = self.persistent_workers and all(p.is_alive() for p in workers.processes)
            if not (keep and self.__dict__.setdefault("_workers", workers) is workers):
                workers.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_workers"}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and "collate_fn" in self.__dict__:
            raise ValueError(f"{name} attribute should not be set after DataLoader is initialized")
        super().__setattr__(name, value)

    def _here(self) -> Iterator[Any]:
        fetch = _Fetch(self)
        if not self._iterable:
            for indices in self.batch_sampler if self._batched else self.sampler:  # type: ignore[union-attr]
                yield fetch(indices)
            return
        while True:
            try:
                batch = fetch(None)
            except StopIteration:
                return
            yield batch

    def _plain_tensors(self) -> tuple[tuple[Tensor, ...], Any] | None:
        """The tensors of the dataset and the indices into them, if batches can be cut straight from tensors."""
        if self.collate_fn is not default_collate or type(self.batch_sampler) is not BatchSampler:
            return None
        sampler = self.batch_sampler.sampler
        if type(sampler) is RandomSampler and sampler.num_samples > MANY:
            return None
        dataset, chosen = self.dataset, None
        while type(dataset) is Subset:
            indices = np.asarray(dataset.indices, np.int64)
            chosen = indices if chosen is None else indices[chosen]
            dataset = dataset.dataset
        if type(dataset) is not TensorDataset or any(t.requires_grad for t in dataset.tensors):
            return None
        return dataset.tensors, chosen

    def _whole_batches(self, tensors: tuple[Tensor, ...], chosen: Any) -> Iterator[list[Tensor]]:
        sampler, size = self.batch_sampler.sampler, self.batch_sampler.batch_size
        if type(sampler) is RandomSampler:
            order = sampler.indices()
        else:
            order = np.fromiter(sampler, np.int64)
        if chosen is not None:
            order = chosen[order]
        stop = len(order) - len(order) % size if self.batch_sampler.drop_last else len(order)
        for start in range(0, stop, size):
            rows = order[start : min(start + size, stop)]
            yield [
                wrap(t._a.take(rows, 0)) if t.is_cpu else t[from_numpy(rows).to(t.device)] for t in tensors
            ]


def _check_context(context: Any, num_workers: int) -> None:
    """Raise where a way to start processes is given without processes, or an unknown one."""
    import multiprocessing

    if num_workers == 0:
        raise ValueError(
            "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got num_workers=0"
        )
    known = multiprocessing.get_all_start_methods()
    if isinstance(context, str) and context not in known:
        raise ValueError(
            f"multiprocessing_context option should specify a valid start method in {known}, but got "
            f"multiprocessing_context={context!r}"
        )
    if not isinstance(context, (str, multiprocessing.context.BaseContext)):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, but got "
            f"multiprocessing_context={context!r}"
        )


_FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class _Fetch:
    """Makes one batch: of the samples at some indices, or of the next ones of an iterable dataset."""

    def __init__(self, loader: DataLoader) -> None:
        self.dataset, self.collate, self.batched = loader.dataset, loader.collate_fn, loader._batched
        self.iterable, self.batch_size, self.drop_last = loader._iterable, loader.batch_size, loader.drop_last
        self.restart()

    def restart(self) -> None:
        """Begin the stream of an iterable dataset anew."""
        self.stream: Iterator[Any] | None = None

    def __call__(self, indices: Any) -> Any:
        if not self.iterable:
            if not self.batched:
                return self.collate(self.dataset[indices])
            return self.collate(samples_at(self.dataset, indices))
        if self.stream is None:
            self.stream = iter(self.dataset)
        if not self.batched:
            return self.collate(next(self.stream))
        samples = list(islice(self.stream, self.batch_size))
        if not samples or (self.drop_last and len(samples) < self.batch_size):  # type: ignore[operator]
            raise StopIteration
        return self.collate(samples)
