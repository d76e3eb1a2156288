"""Layers, losses, containers and initialisers (PyTorch's ``torch.nn``)."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import functional, init, modules, utils
from .layers import *
from .module import Module
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

if _TYPE_CHECKING:
    from . import parallel
    from .parallel import DataParallel

# `layers` has a module of this name too, which its star brings here.
attention = _import_module(".attention", __name__)


def __getattr__(name: str) -> object:
    if name in ("grad", "parallel"):  # imported when they are asked for
        return _import_module("." + name, __name__)
    if name == "DataParallel":
        return _import_module(".parallel", __name__).DataParallel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
