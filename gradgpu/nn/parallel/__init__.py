"""Nets over several devices, as PyTorch spreads them; gradgpu drives one device a process, so here it is the one device.

>>> import gradgpu as gg
>>> model = gg.nn.DataParallel(gg.nn.Linear(2, 3))
>>> sorted(model.state_dict())
['module.bias', 'module.weight']
"""

from ...cuda import comm
from .data_parallel import DataParallel, data_parallel
from .distributed import DistributedDataParallel
from .parallel_apply import parallel_apply
from .replicate import replicate
from .scatter_gather import gather, scatter

__all__ = [
    "DataParallel", "DistributedDataParallel", "comm", "data_parallel", "gather", "parallel_apply", "replicate", "scatter",
]  # fmt: skip
