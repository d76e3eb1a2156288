"""The differentiable copies between devices that synchronised layers are written with, over one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...tensor import Tensor

__all__ = ["Broadcast", "Gather", "ReduceAddCoalesced", "Scatter"]


def _on_gpu(name: str, tensors: Sequence[Tensor]) -> None:
    if not all(t.is_cuda for t in tensors):
        raise AssertionError(f"{name} function not implemented for CPU tensors")


class Broadcast:
    """``Broadcast.apply(devices, *tensors)``: the tensors on each device, one device after the other."""

    @staticmethod
    def apply(target_gpus: Sequence[Any], *inputs: Tensor) -> tuple[Tensor, ...]:
        from ...cuda import comm

        _on_gpu("Broadcast", inputs)
        return tuple([t for copies in comm.broadcast_coalesced(inputs, target_gpus) for t in copies])


class ReduceAddCoalesced:
    """``ReduceAddCoalesced.apply(device, n, *tensors)``: sums of the n tensors of each device."""

    @staticmethod
    def apply(destination: Any, num_inputs: int, *grads: Tensor) -> tuple[Tensor, ...]:
        from ...cuda import comm

        of_each_device = [grads[i : i + num_inputs] for i in range(0, len(grads), num_inputs)]
        return comm.reduce_add_coalesced(of_each_device, destination)


class Gather:
    """``Gather.apply(device, dim, *tensors)``: the tensors joined along `dim`, numbers as a vector."""

    @staticmethod
    def apply(target_device: Any, dim: int, *inputs: Tensor) -> Tensor:
        from ...cuda import comm

        _on_gpu("Gather", inputs)
        if dim == 0 and all(t.dim() == 0 for t in inputs):
            inputs = tuple([t.view(1) for t in inputs])
        return comm.gather(inputs, dim, target_device)


class Scatter:
    """``Scatter.apply(devices, sizes, dim, tensor)``: the pieces of a tensor, each on its device."""

    @staticmethod
    def apply(target_gpus: Sequence[Any], chunk_sizes: Any, dim: int, input: Tensor) -> tuple[Tensor, ...]:
        from ...cuda import comm

        return comm.scatter(input, target_gpus, chunk_sizes, dim)
