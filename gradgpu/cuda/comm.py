"""Copies and sums over several GPUs, as PyTorch names them; gradgpu drives one GPU a process, so they are over that one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..devices import device as Device
from ..ops.join import cat
from ..tensor import Tensor
from .stream import _index

__all__ = ["broadcast", "broadcast_coalesced", "gather", "reduce_add", "reduce_add_coalesced", "scatter"]


def one_device(devices: Any) -> int:
    """The index of the one device in a list.

    Raises:
        NotImplementedError: several devices.
        ValueError: none, or one that is no GPU.

    >>> one_device(["cuda:0"])
    0
    """
    found = list(devices)
    if len(found) > 1:
        raise NotImplementedError(
            f"{len(found)} devices; gradgpu drives one device a process: pass device_ids=[0], or leave DataParallel out"
        )
    if not found:
        raise ValueError("expected a device, got an empty list")
    return get_device_index(found[0])


def get_device_index(device: Any, optional: bool = False, allow_cpu: bool = False) -> int:
    """The index of a GPU given as a number, a string or a device; -1 for a CPU where that is allowed.

    Args:
        device: what names it; None is the current GPU if `optional`.
        optional: whether None is allowed, and a GPU without a number is the current one.
        allow_cpu: whether a CPU is allowed.

    >>> get_device_index("cuda:1"), get_device_index(0)
    (1, 0)
    """
    if device is None:
        if not optional:
            raise ValueError("Expected a torch.device with a specified index or an integer, but got: None")
        from . import current_device

        return current_device()
    if allow_cpu and not isinstance(device, int) and Device(device).type == "cpu":
        return -1
    return _index(device)


def _check_either(devices: Any, out: Any) -> None:
    if (devices is None) == (out is None):
        raise RuntimeError(
            f"Exactly one of 'devices' and 'out' must be specified, but got devices={devices} and out={out}"
        )


def broadcast(tensor: Tensor, devices: Any = None, *, out: Any = None) -> tuple[Tensor, ...]:
    """The tensor on each of the devices: on the one.

    Raises:
        NotImplementedError: several devices.
        RuntimeError: both or neither of `devices` and `out`.
    """
    _check_either(devices, out)
    if out is not None:
        for each in out:
            each.copy_(tensor)
        return tuple(out)
    return (tensor.to(f"cuda:{one_device(devices)}"),)


def broadcast_coalesced(
    tensors: Sequence[Tensor], devices: Any, buffer_size: int = 10485760
) -> list[list[Tensor]]:
    """The tensors on each of the devices, a list a device."""
    place = f"cuda:{one_device(devices)}"
    return [[t.to(place) for t in tensors]]


def reduce_add(inputs: Sequence[Tensor], destination: Any = None) -> Tensor:
    """The sum of tensors of one shape, on the GPU `destination` (None is the current one).

    Raises:
        RuntimeError: no tensors.
        ValueError: their shapes differ.
    """
    if not inputs:
        raise RuntimeError("reduce_add: no tensors given")
    place = f"cuda:{get_device_index(destination, optional=True)}"
    total = inputs[0].to(place)
    for each in inputs[1:]:
        if each.shape != total.shape:
            raise ValueError(
                f"input {tuple(each.shape)} does not match the first input's shape {tuple(total.shape)}"
            )
        total = total + each.to(place)
    return total


def reduce_add_coalesced(
    inputs: Sequence[Sequence[Tensor]], destination: Any = None, buffer_size: int = 10485760
) -> tuple[Tensor, ...]:
    """For lists of tensors, one a device: the sum of the first of each, of the second of each, and so on."""
    return tuple([reduce_add(each, destination) for each in zip(*inputs)])


def scatter(
    tensor: Tensor,
    devices: Any = None,
    chunk_sizes: Any = None,
    dim: int = 0,
    streams: Any = None,
    *,
    out: Any = None,
) -> tuple[Tensor, ...]:
    """The pieces of a tensor along `dim`, each on its device: the whole on the one.

    Raises:
        NotImplementedError: several devices.
        RuntimeError: both or neither of `devices` and `out`.
    """
    _check_either(devices, out)
    if out is not None:
        for each, piece in zip(out, tensor.split([t.shape[dim] for t in out], dim)):
            each.copy_(piece)
        return tuple(out)
    return (tensor.to(f"cuda:{one_device(devices)}"),)


def gather(tensors: Sequence[Tensor], dim: int = 0, destination: Any = None, *, out: Any = None) -> Tensor:
    """The tensors joined along `dim`, on `destination`: the current GPU, another, or ``'cpu'`` (also ``-1``)."""
    if out is not None:
        return out.copy_(cat(list(tensors), dim))
    on_cpu = destination == -1 or (
        isinstance(destination, (str, Device)) and Device(destination).type == "cpu"
    )
    place = "cpu" if on_cpu else f"cuda:{get_device_index(destination, optional=True)}"
    return cat([t.to(place) for t in tensors], dim)
