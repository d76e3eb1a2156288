"""`torch.distributed` with one process: a group of one, in which collectives give back what they got.

gradgpu trains in one process. `is_available()` is False, so that code which asks leaves several processes out; code that makes a
group in any case gets one if it is of one process (`world_size=1`, or WORLD_SIZE=1 as torchrun sets it), and an error if it is of more.

>>> import gradgpu as gg
>>> import gradgpu.distributed as dist
>>> dist.init_process_group("gloo", rank=0, world_size=1)
>>> x = gg.tensor([1., 2.])
>>> dist.all_reduce(x)
>>> x, dist.get_world_size()
(tensor([1., 2.]), 1)
>>> dist.destroy_process_group()
"""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from typing import Any

from ..autograd.modes import no_grad
from ..tensor import Tensor

__all__ = [
    "Backend", "ProcessGroup", "ReduceOp", "Work", "all_gather", "all_gather_into_tensor", "all_gather_object", "all_reduce",
    "all_to_all", "all_to_all_single", "barrier", "broadcast", "broadcast_object_list", "destroy_process_group", "gather",
    "gather_object", "get_backend", "get_global_rank", "get_group_rank", "get_node_local_rank", "get_process_group_ranks", "get_rank",
    "get_world_size", "group", "init_process_group", "irecv", "is_available", "is_backend_available", "is_gloo_available",
    "is_initialized", "is_mpi_available", "is_nccl_available", "is_torchelastic_launched", "is_ucc_available", "is_xccl_available",
    "isend", "monitored_barrier", "new_group", "recv", "reduce", "reduce_op", "reduce_scatter", "reduce_scatter_tensor", "scatter",
    "scatter_object_list", "send",
]  # fmt: skip


class ReduceOp(enum.Enum):
    """How a collective combines the values of the processes."""

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "product"
    MIN = "min"
    MAX = "max"
    BAND = "band"
    BOR = "bor"
    BXOR = "bxor"


reduce_op = ReduceOp


class Backend(str):
    """The name of a backend."""

    GLOO = "gloo"
    NCCL = "nccl"
    MPI = "mpi"
    UCC = "ucc"


class ProcessGroup:
    """A group of one process."""

    def __init__(self, backend: str):
        self.backend = backend

    def rank(self) -> int:
        """0."""
        return 0

    def size(self) -> int:
        """1."""
        return 1

    def name(self) -> str:
        """The backend it was made for."""
        return self.backend


class group:
    """Where scripts find the group of all processes: `group.WORLD`, None before `init_process_group`."""

    WORLD: ProcessGroup | None = None


class Work:
    """What a collective returns with `async_op=True`: it is done."""

    def wait(self, timeout: Any = None) -> bool:
        """True, at once."""
        return True

    def is_completed(self) -> bool:
        """True."""
        return True

    is_success = is_completed


def is_available() -> bool:
    """False: there is no backend for several processes.

    >>> import gradgpu as gg
    >>> gg.distributed.is_available(), gg.distributed.is_initialized()
    (False, False)
    """
    return False


is_nccl_available = is_gloo_available = is_mpi_available = is_ucc_available = is_xccl_available = is_available


def is_backend_available(backend: str) -> bool:
    """False: see `is_available`."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_initialized() -> bool:
    """Whether `init_process_group` has made the group of one."""
    return group.WORLD is not None


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: Any = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Makes the group of one process. Without `world_size` and `rank`, WORLD_SIZE and RANK of the environment are theirs.

    Raises:
        RuntimeError: a group of several processes, or neither `world_size` nor WORLD_SIZE.
        ValueError: there is a group already.
    """
    if group.WORLD is not None:
        raise ValueError("trying to initialize the default process group twice!")
    size = world_size if world_size > 0 else int(os.environ.get("WORLD_SIZE", "0"))
    if size != 1:
        raise RuntimeError(
            f"distributed: gradgpu has no process groups of {size or 'several'} processes; train in one process: unset RANK and "
            "WORLD_SIZE and leave DistributedDataParallel out, or give world_size=1 and rank=0"
        )
    at = rank if rank >= 0 else int(os.environ.get("RANK", "0"))
    if at != 0:
        raise ValueError(f"init_process_group: rank {at} is not below world_size 1")
    group.WORLD = ProcessGroup(backend or "gloo")


def _group(name: str) -> ProcessGroup:
    if group.WORLD is None:
        raise ValueError(
            f"distributed.{name}: Default process group has not been initialized, please make sure to call init_process_group; "
            "ask distributed.is_initialized() first"
        )
    return group.WORLD


def destroy_process_group(group: Any = None) -> None:
    """Ends the group. Raises ValueError if there is none."""
    _group("destroy_process_group")
    globals()["group"].WORLD = None


def get_rank(group: Any = None) -> int:
    """0, in the group; raises ValueError without one."""
    return _group("get_rank").rank()


def get_world_size(group: Any = None) -> int:
    """1, in the group; raises ValueError without one."""
    return _group("get_world_size").size()


def get_backend(group: Any = None) -> str:
    """The backend that `init_process_group` was given."""
    return _group("get_backend").backend


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """LOCAL_RANK of the environment, else `fallback_rank`. Raises RuntimeError if there is neither."""
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is None:
        raise RuntimeError(
            "LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow get_node_local_rank to work"
        )
    return int(fallback_rank)


def get_process_group_ranks(group: Any = None) -> list[int]:
    """[0]."""
    _group("get_process_group_ranks")
    return [0]


def get_global_rank(group: Any, group_rank: int) -> int:
    """`group_rank`, which must be 0."""
    _group("get_global_rank")
    return _ours("get_global_rank", group_rank)


def get_group_rank(group: Any, global_rank: int) -> int:
    """`global_rank`, which must be 0."""
    _group("get_group_rank")
    return _ours("get_group_rank", global_rank)


def new_group(ranks: Sequence[int] | None = None, *args: Any, **options: Any) -> ProcessGroup:
    """The group of one process. Raises ValueError for other ranks than 0."""
    for rank in ranks or ():
        _ours("new_group", rank)
    return _group("new_group")


def _ours(name: str, rank: Any) -> int:
    if rank not in (0, None):
        raise ValueError(f"distributed.{name}: there is no process {rank} in a group of one")
    return 0


def _done(async_op: bool) -> Work | None:
    return Work() if async_op else None


def _tensor(name: str, x: Any) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"distributed.{name}: expected a Tensor, got {type(x).__name__}")
    return x


def _one(name: str, items: Any) -> Any:
    if len(items) != 1:
        raise ValueError(
            f"distributed.{name}: expected a list of one entry, a process each, got {len(items)}"
        )
    return items[0]


def _copy(name: str, target: Any, source: Any) -> None:
    source = _tensor(name, source)
    if _tensor(name, target).numel() != source.numel():
        raise ValueError(
            f"distributed.{name}: the output {tuple(target.shape)} does not hold the input {tuple(source.shape)} once"
        )
    with no_grad():
        target.copy_(source.reshape(tuple(target.shape)))


# ---- collectives: of the values of one process each combination is the value ----
def all_reduce(
    tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Leaves the tensor as it is: the sum (or mean, …) of one value."""
    _group("all_reduce")
    _tensor("all_reduce", tensor)
    return _done(async_op)


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: Any = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Leaves the tensor as it is; see `all_reduce`."""
    _group("reduce")
    _tensor("reduce", tensor)
    _ours("reduce", dst)
    return _done(async_op)


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Leaves the tensor as it is: it is that of process 0."""
    _group("broadcast")
    _tensor("broadcast", tensor)
    _ours("broadcast", src)
    return _done(async_op)


def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Copies the tensor into the one of the list."""
    _group("all_gather")
    _copy("all_gather", _one("all_gather", tensor_list), tensor)
    return _done(async_op)


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> Work | None:
    """Copies the input into the output."""
    _group("all_gather_into_tensor")
    _copy("all_gather_into_tensor", output_tensor, input_tensor)
    return _done(async_op)


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Copies the tensor into the one of the list."""
    _group("gather")
    _ours("gather", dst)
    _copy("gather", _one("gather", gather_list or ()), tensor)
    return _done(async_op)


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Copies the one tensor of the list into `tensor`."""
    _group("scatter")
    _ours("scatter", src)
    _copy("scatter", tensor, _one("scatter", scatter_list or ()))
    return _done(async_op)


def reduce_scatter(
    output: Tensor,
    input_list: list[Tensor],
    op: Any = ReduceOp.SUM,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Copies the one tensor of the list into `output`."""
    _group("reduce_scatter")
    _copy("reduce_scatter", output, _one("reduce_scatter", input_list))
    return _done(async_op)


def reduce_scatter_tensor(
    output: Tensor, input: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Copies the input into the output."""
    _group("reduce_scatter_tensor")
    _copy("reduce_scatter_tensor", output, input)
    return _done(async_op)


def all_to_all(
    output_tensor_list: list[Tensor],
    input_tensor_list: list[Tensor],
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Copies the one tensor of the second list into that of the first."""
    _group("all_to_all")
    _copy("all_to_all", _one("all_to_all", output_tensor_list), _one("all_to_all", input_tensor_list))
    return _done(async_op)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Any = None,
    input_split_sizes: Any = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Copies the input into the output."""
    _group("all_to_all_single")
    _copy("all_to_all_single", output, input)
    return _done(async_op)


def all_gather_object(object_list: list, obj: Any, group: Any = None) -> None:
    """Puts the object into the list."""
    _group("all_gather_object")
    _one("all_gather_object", object_list)
    object_list[0] = obj


def gather_object(
    obj: Any, object_gather_list: list | None = None, dst: int | None = None, group: Any = None
) -> None:
    """Puts the object into the list."""
    _group("gather_object")
    _ours("gather_object", dst)
    if object_gather_list is not None:
        _one("gather_object", object_gather_list)
        object_gather_list[0] = obj


def scatter_object_list(
    scatter_object_output_list: list,
    scatter_object_input_list: list | None = None,
    src: int | None = None,
    group: Any = None,
) -> None:
    """Puts the one object of the second list into the first."""
    _group("scatter_object_list")
    _ours("scatter_object_list", src)
    scatter_object_output_list[0] = _one("scatter_object_list", scatter_object_input_list or ())


def broadcast_object_list(
    object_list: list, src: int | None = None, group: Any = None, device: Any = None
) -> None:
    """Leaves the list as it is: it is that of process 0."""
    _group("broadcast_object_list")
    _ours("broadcast_object_list", src)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Waits for nobody."""
    _group("barrier")
    return _done(async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """Waits for nobody."""
    _group("monitored_barrier")


def _nobody(name: str) -> Any:
    def function(*args: Any, **kwargs: Any) -> Any:
        _group(name)
        raise ValueError(f"distributed.{name}: there is no other process in a group of one")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raises ValueError: there is no other process."
    return function


send, recv, isend, irecv = map(_nobody, ("send", "recv", "isend", "irecv"))
