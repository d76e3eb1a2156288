"""Optimisers and learning-rate schedules."""

import sys as _sys

from . import adam, adaptive, lr_scheduler, swa_utils
from .adafactor import *
from .adam import *
from .adaptive import *
from .asgd import *
from .lbfgs import *
from .muon import *
from .optimizer import Optimizer
from .sgd import *
from .sparse_adam import *

# PyTorch has a file for each: `from gradgpu.optim.adamw import AdamW`.
for _name in ("adadelta", "adagrad", "adamax", "nadam", "radam", "rmsprop", "rprop"):
    globals()[_name] = _sys.modules[f"{__name__}.{_name}"] = adaptive
globals()["adamw"] = _sys.modules[f"{__name__}.adamw"] = adam
globals()["_adafactor"] = _sys.modules[f"{__name__}._adafactor"] = _sys.modules[f"{__name__}.adafactor"]
