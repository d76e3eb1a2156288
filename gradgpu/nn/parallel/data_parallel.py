"""`DataParallel` over one device: gradgpu drives one device a process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..module import Module
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import gather, scatter_kwargs

__all__ = ["DataParallel", "data_parallel"]


def _devices(device_ids: Any) -> list[int]:
    """The devices to use: those given, or all there are; none if there is no GPU."""
    from ...cuda import comm, device_count

    if device_ids is None:
        device_ids = range(device_count())
    elif not device_count():
        comm.one_device(device_ids)
        return []
    return [comm.one_device(device_ids)] if len(list(device_ids)) else []


class DataParallel(Module):
    """Wraps a module as PyTorch's does: with a GPU the module and what it is called with go there, without one it is called.

    Args:
        module: the module to wrap.
        device_ids: the GPU, ``[0]``; None is the GPU if there is one.
        output_device: where the outputs go; the GPU unless another is named.
        dim: the dimension that PyTorch splits over devices.

    Raises:
        NotImplementedError: several devices, given or present.

    >>> import gradgpu as gg
    >>> model = gg.nn.DataParallel(gg.nn.Linear(2, 3), device_ids=[0])
    >>> model(gg.ones(1, 2)).shape, sorted(model.state_dict())
    (gradgpu.Size([1, 3]), ['module.bias', 'module.weight'])
    """

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.device_ids = _devices(device_ids)
        self.module = module
        self.dim = dim
        if self.device_ids:
            self.output_device = self.device_ids[0] if output_device is None else output_device
            self.module.to(f"cuda:{self.device_ids[0]}")

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if not self.device_ids:
            return self.module(*inputs, **kwargs)
        scattered, options = self.scatter(inputs, kwargs, self.device_ids)
        if not scattered and not options:
            scattered, options = ((),), ({},)
        return self.module(*scattered[0], **options[0])

    def replicate(self, module: Module, device_ids: Sequence[Any]) -> list[Module]:
        """The module for each device: the module."""
        return replicate(module, device_ids)

    def scatter(self, inputs: tuple, kwargs: dict | None, device_ids: Sequence[Any]) -> Any:
        """The arguments for each device."""
        return scatter_kwargs(inputs, kwargs, device_ids, dim=self.dim)

    def parallel_apply(self, replicas: Sequence[Module], inputs: Sequence[Any], kwargs: Any) -> list[Any]:
        """What each module gives."""
        return parallel_apply(replicas, inputs, kwargs, self.device_ids[: len(replicas)])

    def gather(self, outputs: Any, output_device: Any) -> Any:
        """The outputs of all devices as one."""
        return gather(outputs, output_device, dim=self.dim)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict | None = None,
) -> Any:
    """Calls `module` on `inputs` (a tensor or a tuple of arguments); one device only, see `DataParallel`.

    >>> import gradgpu as gg
    >>> data_parallel(gg.nn.ReLU(), gg.tensor([-1.0, 2.0]), [0]).tolist()
    [0.0, 2.0]
    """
    devices = _devices(device_ids)
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    if not devices:
        return module(*arguments, **(module_kwargs or {}))
    scattered, options = scatter_kwargs(arguments, module_kwargs or {}, devices, dim)
    return module(*(scattered[0] if scattered else ()), **(options[0] if options else {}))
