"""PyTorch's place of what a loader is made of: `from gradgpu.utils.data._utils.collate import default_collate`."""

import sys

from . import collate, pin_memory, worker

for _name, _module in (("collate", collate), ("pin_memory", pin_memory), ("worker", worker)):
    sys.modules[f"{__name__}.{_name}"] = _module
