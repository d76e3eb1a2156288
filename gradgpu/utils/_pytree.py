"""Nested containers as trees: what scripts import from `torch.utils._pytree`. Leaves are all that is no container."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = [
    "TreeSpec",
    "tree_all",
    "tree_any",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_map_only",
    "tree_unflatten",
]

_CONTAINERS = (tuple, list, dict, OrderedDict, defaultdict, deque)


class TreeSpec(NamedTuple):
    """The structure of a tree: an example of each container, and the structures below; `container` is None for a leaf."""

    container: Any
    children: tuple[TreeSpec, ...]

    @property
    def num_leaves(self) -> int:
        """How many leaves a tree of this structure has."""
        return 1 if self.container is None else sum(child.num_leaves for child in self.children)


_LEAF = TreeSpec(None, ())


def _is_container(x: Any) -> bool:
    return type(x) in _CONTAINERS or isinstance(x, tuple) and hasattr(x, "_fields")


def tree_flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of `tree` in order, and its structure for `tree_unflatten`.

    >>> from gradgpu.utils._pytree import tree_flatten, tree_unflatten
    >>> leaves, spec = tree_flatten({"a": 1, "b": (2, [3])})
    >>> leaves, tree_unflatten([x * 10 for x in leaves], spec)
    ([1, 2, 3], {'a': 10, 'b': (20, [30])})
    """
    if not _is_container(tree) or is_leaf is not None and is_leaf(tree):
        return [tree], _LEAF
    leaves: list[Any] = []
    children = []
    for value in tree.values() if isinstance(tree, dict) else tree:
        below, spec = tree_flatten(value, is_leaf)
        leaves += below
        children.append(spec)
    return leaves, TreeSpec(tree, tuple(children))


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The tree of this structure with these leaves.

    Raises:
        ValueError: too few or too many leaves.
    """
    given = list(leaves)
    if len(given) != treespec.num_leaves:
        raise ValueError(f"tree_unflatten: the structure has {treespec.num_leaves} leaves, got {len(given)}")
    return _build(iter(given), treespec)


def _build(leaves: Any, spec: TreeSpec) -> Any:
    like = spec.container
    if like is None:
        return next(leaves)
    values = [_build(leaves, child) for child in spec.children]
    if isinstance(like, defaultdict):
        return defaultdict(like.default_factory, zip(like, values))
    if isinstance(like, dict):
        return type(like)(zip(like, values))
    if isinstance(like, deque):
        return deque(values, like.maxlen)
    return type(like)(*values) if hasattr(like, "_fields") else type(like)(values)


def tree_leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_map(func: Callable, tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """The tree of `func(leaf, …)`; `rests` are trees of the same structure."""
    leaves, spec = tree_flatten(tree, is_leaf)
    return tree_unflatten(map(func, leaves, *[tree_leaves(rest, is_leaf) for rest in rests]), spec)


def tree_map_only(kinds: Any, func: Callable, tree: Any) -> Any:
    """`tree_map`, for leaves that are instances of `kinds`; the others stay."""
    return tree_map(lambda leaf: func(leaf) if isinstance(leaf, kinds) else leaf, tree)


def tree_any(predicate: Callable[[Any], bool], tree: Any) -> bool:
    """Whether `predicate` holds for some leaf."""
    return any(map(predicate, tree_leaves(tree)))


def tree_all(predicate: Callable[[Any], bool], tree: Any) -> bool:
    """Whether `predicate` holds for all leaves."""
    return all(map(predicate, tree_leaves(tree)))
