"""Helpers for training: gradient clipping, parameters as one vector, padded sequences, parametrizations, pruning."""

from typing import Any

from . import rnn
from .clip_grad import *
from .convert_parameters import *
from .spectral_norm import remove_spectral_norm, spectral_norm
from .weight_norm import remove_weight_norm, weight_norm

# What few programs use is imported when it is asked for.
_LAZY = {
    "fusion": "fusion",
    "init": "init",
    "fuse_conv_bn_eval": "fusion",
    "fuse_conv_bn_weights": "fusion",
    "fuse_linear_bn_eval": "fusion",
    "fuse_linear_bn_weights": "fusion",
    "parametrizations": "parametrizations",
    "parametrize": "parametrize",
    "prune": "prune",
    "skip_init": "init",
    "stateless": "stateless",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        module = import_module(f".{_LAZY[name]}", __name__)
        found = globals()[name] = module if _LAZY[name] == name else getattr(module, name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
