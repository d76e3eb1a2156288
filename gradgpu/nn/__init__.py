"""Layers, losses, containers and initialisers (PyTorch's ``torch.nn``)."""

from . import functional, init, modules, parallel, utils
from .layers import *
from .module import Module
from .parallel import DataParallel
from .parameter import Buffer, Parameter, UninitializedParameter
