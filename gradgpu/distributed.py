"""What scripts ask of `torch.distributed` before they train in one process: gradgpu has no process groups.

`is_available()` is False, so that code which asks runs on one process; what needs a group says so.
"""

from __future__ import annotations

import enum
from typing import Any, NoReturn

__all__ = [
    "GroupMember", "ProcessGroup", "ReduceOp", "all_gather", "all_gather_into_tensor", "all_gather_object", "all_reduce",
    "all_reduce_coalesced", "all_to_all", "all_to_all_single", "barrier", "broadcast", "broadcast_object_list",
    "destroy_process_group", "gather", "gather_object", "get_backend", "get_rank", "get_world_size", "group",
    "init_process_group", "irecv", "is_available", "is_gloo_available", "is_initialized", "is_mpi_available",
    "is_nccl_available", "is_torchelastic_launched", "isend", "monitored_barrier", "new_group", "recv", "reduce",
    "reduce_scatter", "reduce_scatter_tensor", "scatter", "scatter_object_list", "send",
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
all_gather_into_tensor = _needs_group("all_gather_into_tensor")
all_gather_object = _needs_group("all_gather_object")
all_reduce = _needs_group("all_reduce")
all_reduce_coalesced = _needs_group("all_reduce_coalesced")
all_to_all = _needs_group("all_to_all")
all_to_all_single = _needs_group("all_to_all_single")
barrier = _needs_group("barrier")
broadcast = _needs_group("broadcast")
broadcast_object_list = _needs_group("broadcast_object_list")
destroy_process_group = _needs_group("destroy_process_group")
gather = _needs_group("gather")
gather_object = _needs_group("gather_object")
get_backend = _needs_group("get_backend")
get_rank = _needs_group("get_rank")
get_world_size = _needs_group("get_world_size")
irecv = _needs_group("irecv")
isend = _needs_group("isend")
monitored_barrier = _needs_group("monitored_barrier")
new_group = _needs_group("new_group")
recv = _needs_group("recv")
reduce = _needs_group("reduce")
reduce_scatter = _needs_group("reduce_scatter")
reduce_scatter_tensor = _needs_group("reduce_scatter_tensor")
scatter = _needs_group("scatter")
scatter_object_list = _needs_group("scatter_object_list")
send = _needs_group("send")


class ProcessGroup:
    """The type of a group of processes: there are none.

    Raises:
        RuntimeError: always.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        init_process_group()


class group:
    """PyTorch's name of the group of all processes, which is None: there is no group."""

    WORLD = None


GroupMember = group
