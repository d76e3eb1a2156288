"""PyTorch's place of what a loader is made of: `from gradgpu.utils.data._utils.collate import default_collate`."""

import sys

from . import collate, pin_memory, worker
from .worker import ExceptionWrapper as ExceptionWrapper

IS_WINDOWS = sys.platform == "win32"
MP_STATUS_CHECK_INTERVAL = 5.0  # seconds between looks at whether a worker lives

for _name, _module in (("collate", collate), ("pin_memory", pin_memory), ("worker", worker)):
    sys.modules[f"{__name__}.{_name}"] = _module
