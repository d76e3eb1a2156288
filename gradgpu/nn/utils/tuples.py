"""What code written for PyTorch's layers imports from `nn.modules.utils`: one number for each dimension, names in a state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
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


def _reverse_repeat_tuple(t: Iterable[Any], n: int) -> tuple:
    """Each entry n times, from the last to the first: padding as `F.pad` takes it.

    >>> _reverse_repeat_tuple((1, 2), 2)
    (2, 2, 1, 1)
    """
    return tuple([x for x in reversed(tuple(t)) for _ in range(n)])


def _list_with_default(out_size: Any, defaults: Sequence[int]) -> Any:
    """The wanted sizes, with those of the input where None stands.

    Raises:
        ValueError: too many sizes.

    >>> _list_with_default((None, 3), [8, 5, 6])
    [5, 3]
    """
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    return [d if v is None else v for v, d in zip(out_size, defaults[-len(out_size) :])]
