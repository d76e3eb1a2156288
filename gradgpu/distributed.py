"""What scripts ask of `torch.distributed` before they train in one process: gradgpu has no process groups.

`is_available()` is False, so that code which asks runs on one process; what needs a group says so.
"""

from __future__ import annotations

import enum
from typing import Any, NoReturn

__all__ = [
    "ReduceOp", "all_gather", "all_reduce", "barrier", "broadcast", "destroy_process_group", "get_rank", "get_world_size",
    "init_process_group", "is_available", "is_gloo_available", "is_initialized", "is_mpi_available", "is_nccl_available",
    "is_torchelastic_launched", "reduce",
]  # fmt: skip


class ReduceOp(enum.Enum):
    """How a collective combines the values of the processes."""

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "product"
    MIN = "min"
    MAX = "max"


def is_available() -> bool:
    """False: there is no backend for several processes.

    >>> import gradgpu as gg
    >>> gg.distributed.is_available(), gg.distributed.is_initialized()
    (False, False)
    """
    return False


is_initialized = is_nccl_available = is_gloo_available = is_mpi_available = is_torchelastic_launched = (
    is_available
)


def init_process_group(*args: Any, **kwargs: Any) -> NoReturn:
    """Raises RuntimeError: gradgpu trains in one process."""
    raise RuntimeError(
        "distributed: gradgpu has no process groups; train in one process (unset RANK and WORLD_SIZE, and "
        "leave DistributedDataParallel out)"
    )


def _needs_group(name: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise ValueError(
            f"distributed.{name}: Default process group has not been initialized, and gradgpu has none; ask "
            "distributed.is_initialized() first"
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"As torch.distributed.{name} without a process group: raises ValueError."
    return function


all_gather = _needs_group("all_gather")
all_reduce = _needs_group("all_reduce")
barrier = _needs_group("barrier")
broadcast = _needs_group("broadcast")
destroy_process_group = _needs_group("destroy_process_group")
get_rank = _needs_group("get_rank")
get_world_size = _needs_group("get_world_size")
reduce = _needs_group("reduce")
