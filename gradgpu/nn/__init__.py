"""Layers, losses, containers and initialisers (PyTorch's ``torch.nn``)."""

from importlib import import_module as _import_module

from . import functional, init, modules, parallel, utils
from .layers import *
from .module import Module
from .parallel import DataParallel
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

# `layers` has a module of this name too, which its star brings here.
attention = _import_module(".attention", __name__)


def __getattr__(name: str) -> object:
    if name == "grad":  # for Functions of one's own: imported when it is asked for
        return _import_module(".grad", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
