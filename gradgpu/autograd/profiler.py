"""PyTorch's older door to the profiler: `autograd.profiler.profile`."""

from __future__ import annotations

from typing import Any

from .. import profiler as _profiler
from ..profiler import EventList, FunctionEvent, FunctionEventAvg, ProfilerActivity, record_function

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "profile", "record_function"]


class profile(_profiler.profile):
    """`profiler.profile` with the older arguments.

    Args:
        enabled: False: nothing is noted.
        use_cuda: whether time on the device is measured (also `use_device='cuda'`).
        record_shapes, with_flops, profile_memory, with_stack, with_modules: as in `profiler.profile`. The others are accepted.

    >>> import gradgpu as gg
    >>> with gg.autograd.profiler.profile() as prof:
    ...     y = gg.ones(3) * 2
    >>> prof.key_averages()[1].key
    'aten::mul'
    """

    def __init__(
        self,
        enabled: bool = True,
        *,
        use_cuda: bool = False,
        use_device: str | None = None,
        record_shapes: bool = False,
        with_flops: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_modules: bool = False,
        use_kineto: bool = False,
        use_cpu: bool = True,
        **others: Any,
    ):
        chosen = [ProfilerActivity.CPU]
        if use_cuda or use_device == "cuda":
            chosen.append(ProfilerActivity.CUDA)
        super().__init__(
            activities=chosen, record_shapes=record_shapes, with_flops=with_flops, profile_memory=profile_memory,
            with_stack=with_stack, with_modules=with_modules,
        )  # fmt: skip
        self.enabled = enabled

    def start(self) -> None:
        """Begins, if enabled."""
        if self.enabled:
            super().start()
