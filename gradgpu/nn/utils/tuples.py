"""What code written for PyTorch's layers imports from `nn.modules.utils`: one number for each dimension, names in a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def _times(n: int) -> Callable[[Any], tuple]:
    def parse(x: Any) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    return parse


_single, _pair, _triple, _quadruple = _times(1), _times(2), _times(3), _times(4)


def _ntuple(n: int, name: str = "parse") -> Callable[[Any], tuple]:
    parse = _times(n)
    parse.__name__ = name
    return parse


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Takes the prefix off the names in a state dict, in place: 'module.' of a net that was saved inside DataParallel.

    >>> state = {"module.weight": 1}
    >>> consume_prefix_in_state_dict_if_present(state, "module.")
    >>> state
    {'weight': 1}
    """
    for name in [name for name in state_dict if name.startswith(prefix)]:
        state_dict[name[len(prefix) :]] = state_dict.pop(name)
    metadata: dict[str, Any] = getattr(state_dict, "_metadata", {})
    for name in list(metadata):
        # The module itself is named without the dot; what stands outside it stays as it is but for the root.
        if name == prefix.rstrip(".") or name.startswith(prefix):
            metadata[name[len(prefix) :]] = metadata.pop(name)
