"""`vmap` itself: a function of one entry as a function of a batch of them; gradgpu/ops/batching.py has the rules."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from ..utils._pytree import tree_flatten, tree_unflatten
from .batching import Vmap
from .join import cat
from .shape import expand, movedim


def vmap(
    func: Callable,
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable:
    """`func`, written for one entry, as a function of a batch: the results are those of a loop over the entries, stacked,
    but every operation runs once, on all of them. Nests, and goes together with `grad`, `vjp`, `jvp` and backward.

    Args:
        func: takes tensors (also in nested tuples, lists and dicts) and returns tensors, likewise.
        in_dims: the dimension of each input that counts the entries: an int for all, or a nesting like that of the
            inputs; None for an input that is the same for all entries. Keyword arguments always are.
        out_dims: where the results have theirs; likewise.
        randomness: random operations in `func` raise ('error'), draw the same for all entries ('same'), or differ
            ('different').
        chunk_size: how many entries run at once; all by default.

    Raises:
        ValueError: in_dims or out_dims do not fit, or inputs of different sizes. RuntimeError: a value of an entry is
            used in Python, or a random operation under 'error'. NotImplementedError: an operation without a rule.

    Operations work as ever on what `func` sees: a tensor without its batch dimension. A tensor that has none is not changed
    in place by one that has.

    >>> import gradgpu as gg
    >>> gg.vmap(gg.dot)(gg.tensor([[1., 2.], [3., 4.]]), gg.tensor([[1., 1.], [2., 0.]]))
    tensor([3., 6.])
    >>> loss = lambda w, x: (w * x).sum() ** 2
    >>> gg.vmap(gg.func.grad(loss), in_dims=(None, 0))(gg.tensor([1., 2.]), gg.eye(2))  # a gradient a sample
    tensor([[2., 0.],
            [0., 4.]])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}"
        )
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        size, leaves, dims, spec = _batch(func, in_dims, args, kwargs)
        if chunk_size is None or chunk_size >= size:
            return _run(func, size, leaves, dims, spec, out_dims, randomness)
        parts = []
        for start in range(0, size, chunk_size):
            count = min(chunk_size, size - start)
            rows = [x if d is None else x.narrow(d, start, count) for x, d in zip(leaves, dims)]
            parts.append(_run(func, count, rows, dims, spec, out_dims, randomness))
        flat = [tree_flatten(part)[0] for part in parts]
        out_spec = tree_flatten(parts[0])[1]
        places = spread_tree(out_dims, out_spec, "out_dims", func)
        joined = [cat(list(column), dim) for column, dim in zip(zip(*flat), places)]
        return tree_unflatten(joined, out_spec)

    return mapped


def _name(func: Any) -> str:
    return getattr(func, "__name__", repr(func))


def spread_tree(prefix: Any, spec: Any, what: str, func: Any) -> list:
    """One entry of `prefix` a leaf of the structure: a value stands for all that lies below it."""
    if spec.container is None:
        if isinstance(prefix, (tuple, list)) and len(prefix) == 1:
            prefix = prefix[0]
        if prefix is not None and (not isinstance(prefix, int) or isinstance(prefix, bool)):
            raise ValueError(
                f"vmap({_name(func)}): {what} must be ints or None, in a nesting like that of the values; got {prefix!r} for a "
                "single value"
            )
        return [prefix]
    if prefix is None or isinstance(prefix, int):
        return [prefix] * spec.num_leaves
    like = spec.container
    if isinstance(like, dict) and isinstance(prefix, dict) and set(like) == set(prefix):
        parts = [prefix[key] for key in like]
    elif not isinstance(like, dict) and isinstance(prefix, (tuple, list)) and len(prefix) == len(like):
        parts = list(prefix)
    else:
        raise ValueError(
            f"vmap({_name(func)}): {what} is not compatible with the structure of the values: got {prefix!r} for "
            f"{type(like).__name__} of {len(like)}"
        )
    return [d for part, child in zip(parts, spec.children) for d in spread_tree(part, child, what, func)]


def _batch(func: Any, in_dims: Any, args: tuple, kwargs: dict) -> tuple[int, list, list, Any]:
    """The number of entries, the leaves of the inputs, their batch dimensions (not negative), and the structure."""
    if not isinstance(in_dims, (int, tuple)):
        raise ValueError(
            f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): expected `in_dims` to be int or a (potentially nested) "
            f"tuple matching the structure of inputs, got: {type(in_dims)}."
        )
    if not args and not kwargs:
        raise ValueError(
            f"vmap({_name(func)})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a "
            "function with no inputs. The latter is unsupported."
        )
    leaves, spec = tree_flatten((args, kwargs))
    dims = spread_tree(in_dims, spec.children[0], "in_dims", func)
    dims += [None] * (len(leaves) - len(dims))  # keyword arguments
    sizes: dict[int, int] = {}
    for k, (x, d) in enumerate(zip(leaves, dims)):
        if d is None:
            continue
        if not isinstance(x, Tensor):
            raise ValueError(
                f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={d} for an input but the input is of type "
                f"{type(x)}. We cannot vmap over non-Tensor arguments, please use None as the respective in_dim"
            )
        if not -x.ndim <= d < x.ndim:
            raise ValueError(
                f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): Got in_dim={d} for some input, but that input is a "
                f"Tensor of dimensionality {x.ndim} so expected in_dim to satisfy -{x.ndim} <= in_dim < {x.ndim}."
            )
        dims[k] = d % x.ndim
        sizes[k] = x.shape[dims[k]]
    if not sizes:
        raise ValueError(
            f"vmap({_name(func)}, in_dims={in_dims}, ...)(<inputs>): at least one input must be a Tensor that is mapped over"
        )
    if len(set(sizes.values())) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {list(sizes.values())} for "
            "the mapped dimension"
        )
    return next(iter(sizes.values())), leaves, dims, spec


def _run(
    func: Callable, size: int, leaves: list, dims: list, spec: Any, out_dims: Any, randomness: str
) -> Any:
    with Vmap(size, randomness) as level:
        inside = [x if d is None else level.wrap(movedim(x, d, 0) if d else x) for x, d in zip(leaves, dims)]
        args, kwargs = tree_unflatten(inside, spec)
        result = func(*args, **kwargs)
        outputs, out_spec = tree_flatten(result)
        places = spread_tree(out_dims, out_spec, "out_dims", func)
        return tree_unflatten([_outside(func, level, t, d) for t, d in zip(outputs, places)], out_spec)


def _outside(func: Any, level: Vmap, t: Any, dim: int | None) -> Any:
    """A result with its batch dimension where it is wanted."""
    if not isinstance(t, Tensor):
        raise ValueError(
            f"vmap({_name(func)}, ...): `{_name(func)}` must only return Tensors, got type {type(t)}. Did you mean to set "
            "out_dims= to None for output?"
        )
    value, t = level.inside(t), level.shared(t)
    if dim is None:
        if value is not None:
            raise ValueError(
                f"vmap({_name(func)}, ...): `{_name(func)}` can not return a BatchedTensor when out_dim is None"
            )
        return t
    if not -t.ndim - 1 <= dim <= t.ndim:
        raise IndexError(
            f"vmap({_name(func)}, ...): out_dims: Dimension out of range (expected to be in range of [{-t.ndim - 1}, {t.ndim}], "
            f"but got {dim})"
        )
    place = dim % (t.ndim + 1)
    if value is None:
        value = expand(t, (level.size, *t.shape))
    return movedim(value, 0, place) if place else value


__all__ = ["vmap"]
