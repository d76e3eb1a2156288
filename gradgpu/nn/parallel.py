"""`DataParallel` over one device: gradgpu drives one device a process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .module import Module


def _one_device(name: str, device_ids: Any) -> None:
    from ..cuda import device_count

    count = device_count() if device_ids is None else len(list(device_ids))
    if count > 1:
        raise NotImplementedError(
            f"{name}: {count} devices; gradgpu drives one device a process: pass device_ids=[0], or leave the wrapper out"
        )


class DataParallel(Module):
    """Wraps a module as PyTorch's does; with one device (or none) it calls the module.

    Raises:
        NotImplementedError: several devices, given or present.

    >>> import gradgpu as gg
    >>> model = gg.nn.DataParallel(gg.nn.Linear(2, 3), device_ids=[0])
    >>> model(gg.ones(1, 2)).shape, sorted(model.state_dict())
    (gradgpu.Size([1, 3]), ['module.bias', 'module.weight'])
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0):
        super().__init__()
        _one_device("DataParallel", device_ids)
        self.module = module

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict | None = None,
) -> Any:
    """Calls `module` on `inputs` (a tensor or a tuple of arguments); one device only, see `DataParallel`."""
    _one_device("data_parallel", device_ids)
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*arguments, **(module_kwargs or {}))


class DistributedDataParallel(Module):
    """Wraps a module as PyTorch's does, in a group of one process (`distributed.init_process_group`): it calls the module.

    Raises:
        ValueError: there is no group.
        RuntimeError: no parameter requires grad.

    >>> import gradgpu as gg
    >>> gg.distributed.init_process_group("gloo", rank=0, world_size=1)
    >>> model = gg.nn.parallel.DistributedDataParallel(gg.nn.Linear(2, 3))
    >>> model(gg.ones(1, 2)).shape, sorted(model.state_dict())
    (gradgpu.Size([1, 3]), ['module.bias', 'module.weight'])
    >>> gg.distributed.destroy_process_group()
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        *args: Any,
        **options: Any,
    ) -> None:
        from ..distributed import get_world_size

        super().__init__()
        get_world_size()
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameters that require a gradient."
            )
        self.module = module
        self.device_ids, self.dim = device_ids, dim
        self.require_backward_grad_sync = True

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """A block in which PyTorch adds up gradients without exchanging them: as any other, here."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    @contextmanager
    def join(self, *args: Any, **options: Any) -> Iterator[None]:
        """A block in which processes may have different numbers of batches: as any other, here."""
        yield


__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]

# PyTorch has a file for each: `from gradgpu.nn.parallel.distributed import DistributedDataParallel`.
for _name in ("data_parallel", "distributed"):
    sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
