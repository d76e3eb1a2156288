"""PyTorch's place of the layers: `nn.modules.dropout.Dropout` is `nn.Dropout`."""

from . import module
from .layers import *  # noqa: F403
from .layers import (
    activation,
    attention,
    container,
    conv,
    dropout,
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
    "Module", "activation", "attention", "batchnorm", "container", "conv", "dropout", "linear", "loss", "module",
    "normalization", "padding", "pooling", "rnn", "sparse", "upsampling",
]  # fmt: skip
