"""PyTorch's place of the layers: `nn.modules.dropout.Dropout` is `nn.Dropout`."""

import sys
from types import ModuleType

from . import module
from . import parameter as lazy
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
from .layers import attention as transformer
from .layers import linear as flatten
from .layers import normalization as batchnorm
from .layers import normalization as instancenorm
from .layers import upsampling as channelshuffle
from .layers import upsampling as pixelshuffle
from .module import Module
from .utils import tuples as utils

__all__ = [
    "Module", "activation", "adaptive", "attention", "batchnorm", "channelshuffle", "container", "conv", "distance", "dropout",
    "flatten", "fold", "instancenorm", "lazy", "linear", "loss", "module", "normalization", "padding", "pixelshuffle", "pooling",
    "rnn", "sparse", "transformer", "upsampling", "utils",
]  # fmt: skip

# PyTorch keeps these beside the activations and the linear layers.
activation.MultiheadAttention = attention.MultiheadAttention  # type: ignore[attr-defined]
linear.NonDynamicallyQuantizableLinear = attention.NonDynamicallyQuantizableLinear  # type: ignore[attr-defined]

# What layers of one's own import from PyTorch's files.
conv._single, conv._pair, conv._triple = utils._single, utils._pair, utils._triple  # type: ignore[attr-defined]
conv._ConvTransposeMixin = conv._ConvTransposeNd  # type: ignore[attr-defined]

for _name in __all__:  # so that `from gradgpu.nn.modules.conv import Conv2d` works, though this is no package
    if isinstance(globals()[_name], ModuleType):
        sys.modules[f"{__name__}.{_name}"] = globals()[_name]
