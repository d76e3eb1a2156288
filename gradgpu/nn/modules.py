"""PyTorch's place of the layers: `nn.modules.dropout.Dropout` is `nn.Dropout`."""

import sys
from types import ModuleType

from . import module
from .layers import *  # noqa: F403
from .layers import (
    activation,
    adaptive,
    attention,
    container,
    conv,
    distance,
    dropout,
    fold,
    linear,
    loss,
    normalization,
    padding,
    pooling,
    rnn,
    sparse,
    upsampling,
)
from .layers import normalization as batchnorm
from .module import Module
from .utils import tuples as utils

__all__ = [
    "Module", "activation", "adaptive", "attention", "batchnorm", "container", "conv", "distance", "dropout", "fold", "linear", "loss", "module",
    "normalization", "padding", "pooling", "rnn", "sparse", "upsampling", "utils",
]  # fmt: skip

for _name in __all__:  # so that `from gradgpu.nn.modules.conv import Conv2d` works, though this is no package
    if isinstance(globals()[_name], ModuleType):
        sys.modules[f"{__name__}.{_name}"] = globals()[_name]
