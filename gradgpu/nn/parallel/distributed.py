"""`DistributedDataParallel` in a group of one process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..module import Module

__all__ = ["DistributedDataParallel"]


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
        from ...distributed import get_world_size

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
