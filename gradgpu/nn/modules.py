"""PyTorch's place of the layers: `nn.modules.dropout.Dropout` is `nn.Dropout`."""

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

__all__ = [
    "Module", "activation", "adaptive", "attention", "batchnorm", "container", "conv", "distance", "dropout", "fold", "linear", "loss", "module",
    "normalization", "padding", "pooling", "rnn", "sparse", "upsampling",
]  # fmt: skip
