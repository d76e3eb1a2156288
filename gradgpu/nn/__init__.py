"""Layers, losses, containers and initialisers (PyTorch's ``torch.nn``)."""

from . import functional, init, utils
from .layers import *
from .module import Module
from .parameter import Buffer, Parameter, UninitializedParameter
