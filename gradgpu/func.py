"""Function transforms: derivatives and batches as functions of functions, as in `torch.func`. All of them nest.

>>> import gradgpu as gg
>>> gg.func.grad(lambda x: x ** 3)(gg.tensor(2.))
tensor(12.)
>>> gg.func.vmap(gg.func.grad(lambda x: x ** 3))(gg.tensor([1., 2.]))
tensor([ 3., 12.])
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any
from weakref import WeakValueDictionary

from . import autograd
from .autograd.engine import discover
from .autograd.layers import LayerArray, outermost, recorded
from .autograd.modes import enable_grad, state
from .locks import new_lock
from .ops.tangents import Forward, leaf
from .ops.vectorize import vmap
from .tensor import Tensor
from .utils._pytree import tree_flatten, tree_map, tree_unflatten


def _leaves(tree: Any, name: str) -> tuple[list[Tensor], Any]:
    """The tensors of nested tuples, lists and dicts, in order, and the nesting."""
    found, spec = tree_flatten(tree)
    for t in found:
        if not isinstance(t, Tensor):
            raise RuntimeError(
                f"{name}: expected only Tensors, also in nested tuples, lists and dicts, got unsupported type {type(t).__name__}"
            )
    return found, spec


def _positions(argnums: Any, count: int, name: str) -> tuple[int, ...]:
    if not isinstance(argnums, (int, tuple, list)):
        raise RuntimeError(f"{name}: argnums should be int or Tuple[int, ...], got: {type(argnums)}")
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    if not numbers:
        raise RuntimeError(f"{name}: argnums must be non-empty")
    for n in numbers:
        if not -count <= n < count:
            raise RuntimeError(
                f"{name}: Got argnum={n}, but only {count} positional inputs (argnums={argnums})"
            )
    found = tuple(n % count for n in numbers)
    if len(set(found)) < len(found):
        raise RuntimeError(f"{name}: argnums elements must be unique. Got argnums={argnums}")
    return found


def _with(args: tuple, numbers: tuple[int, ...], values: Any) -> tuple:
    given = list(args)
    for n, value in zip(numbers, values):
        given[n] = value
    return tuple(given)


def _output(result: Any, has_aux: bool, name: str) -> tuple[Any, Any]:
    """(outputs, aux) of what a function returned."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(
            f"{name}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    return result


def _wanted_outside(outputs: Any, inputs: list[Tensor], given: list[Tensor]) -> bool:
    """Whether a derivative outside may lead through what was computed: then that is recorded, too."""
    if not state.grad:
        return False
    if any(t.requires_grad for t in given) or recorded():
        return True
    own = set(inputs)
    roots = [t._edge for t in outputs if t.requires_grad]
    return any(
        isinstance(edge, Tensor) and edge not in own for node in discover(roots) for edge in node.edges
    )


def _closed(tree: Any, keep: bool) -> Any:
    """Results, cut off from the graph of this transform."""
    return tree if keep else tree_map(lambda t: t.detach() if isinstance(t, Tensor) else t, tree)


def grad_and_value(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns (gradient, value) of a scalar function; with `has_aux`, (gradient, (value, aux)).

    Args:
        func: returns a 0-dim tensor, or (that, anything) with `has_aux`.
        argnums: the argument (int) or arguments (tuple) to differentiate; each may be nested tuples, lists and dicts.

    >>> import gradgpu as gg
    >>> gg.func.grad_and_value(lambda x: x ** 3)(gg.tensor(2.))
    (tensor(12.), tensor(8.))
    """

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        numbers = _positions(argnums, len(args), "grad")
        given, spec = _leaves([args[n] for n in numbers], "grad")
        with enable_grad():
            inputs = [leaf(t) for t in given]
            value, aux = _output(
                func(*_with(args, numbers, tree_unflatten(inputs, spec)), **kwargs), has_aux, "grad_and_value"
            )
        if not isinstance(value, Tensor) or value.ndim:
            seen = f"tensor with {value.ndim} dims" if isinstance(value, Tensor) else type(value).__name__
            raise RuntimeError(
                f"grad_and_value(f)(*args): Expected f(*args) to return a scalar Tensor, got {seen}. Maybe you wanted to use the "
                "vjp or jacrev APIs instead?"
            )
        outer = _wanted_outside([value], inputs, given)
        found: Any = _pulled([value], inputs, [None], outer)
        trees = tree_unflatten(found, spec)
        gradient = trees[0] if isinstance(argnums, int) else tuple(trees)
        value, aux = _closed(value, outer), _closed(aux, outer)
        return gradient, ((value, aux) if has_aux else value)

    return transformed


def _pulled(outputs: list, inputs: list, weights: list, create_graph: bool, keep: bool = False) -> list:
    """Gradients, zeros where there is none."""
    pairs = [(y, w) for y, w in zip(outputs, weights) if y.requires_grad]
    if not pairs:
        from .ops.creation import zeros_like

        return [zeros_like(t).detach() for t in inputs]
    several, given = zip(*pairs)
    return list(
        autograd.grad(
            several,
            inputs,
            given,
            retain_graph=keep or create_graph,
            create_graph=create_graph,
            materialize_grads=True,
        )
    )


def grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """The gradient of a scalar function, as a function of the same arguments. Nests for higher derivatives; under `vmap` it
    gives a gradient for each sample.

    Args:
        func: returns a 0-dim tensor, or (that, anything) with `has_aux`: then the result is (gradient, anything).
        argnums: the argument (int) or arguments (tuple) to differentiate; each may be nested tuples, lists and dicts.

    >>> import gradgpu as gg
    >>> gg.func.grad(gg.func.grad(lambda x: x ** 3))(gg.tensor(2.))
    tensor(12.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return transformed


def value_and_grad(func: Callable, argnums: Any = 0, has_aux: bool = False) -> Callable:
    """A function that returns (value, gradient), the order that JAX has."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        gradient, value = both(*args, **kwargs)
        return value, gradient

    return transformed


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(outputs, function from cotangents to the gradients of `primals`), and what else `func` returned with `has_aux`.

    Args:
        func: returns tensors, also in nested tuples, lists and dicts; (those, anything) with `has_aux`.
        primals: tensors, or nested tuples, lists and dicts of them.

    Returns:
        The function takes cotangents nested as the outputs and returns a tuple, one gradient a primal; it may be called
        again, and under `vmap`.

    >>> import gradgpu as gg
    >>> y, pull = gg.func.vjp(lambda x: x * x, gg.tensor([1., 2.]))
    >>> y, pull(gg.tensor([1., 1.]))
    (tensor([1., 4.]), (tensor([2., 4.]),))
    """
    given, spec = _leaves(primals, "vjp")
    with enable_grad():
        inputs = [leaf(t) for t in given]
        result, aux = _output(func(*tree_unflatten(inputs, spec)), has_aux, "vjp")
    outputs, _ = _leaves(result, "vjp(f, *primals): Expected f to be a function that has non-empty output")
    outer = _wanted_outside(outputs, inputs, given)

    def pull(*cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        tree = cotangents[0] if len(cotangents) == 1 else cotangents
        weights = tree_flatten(tree)[0]
        if len(weights) != len(outputs):
            raise RuntimeError(
                f"Expected pytree structure of cotangents to be the same as pytree structure of outputs to the function. "
                f"cotangents: {len(weights)} tensors, primal output: {len(outputs)} tensors"
            )
        record = state.grad and (outer or any(w.requires_grad for w in weights) or recorded())
        found = _pulled(outputs, inputs, weights, record if create_graph is None else create_graph, keep=True)
        return tuple(tree_unflatten(found, spec))

    closed = _closed(result, outer)
    return (closed, pull, _closed(aux, outer)) if has_aux else (closed, pull)


def jvp(
    func: Callable, primals: tuple, tangents: tuple, *, strict: bool = False, has_aux: bool = False
) -> tuple:
    """(outputs, their derivative along `tangents`), in forward mode; and what else `func` returned with `has_aux`.

    Args:
        primals, tangents: tuples of the same nesting, shapes and dtypes.
        strict: raise where an output does not depend on the primals (its derivative is zeros otherwise).

    >>> import gradgpu as gg
    >>> gg.func.jvp(lambda x: x * x, (gg.tensor([1., 2.]),), (gg.tensor([1., 0.]),))
    (tensor([1., 4.]), tensor([2., 0.]))
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise RuntimeError(
            f"jvp(f, primals, tangents): Expected primals and tangents to be tuples, got {type(primals).__name__} and "
            f"{type(tangents).__name__}. E.g. it should be valid to call f(*primals)."
        )
    given, spec = _leaves(primals, "jvp")
    along, _ = _leaves(tangents, "jvp")
    if len(given) != len(along) or not given:
        raise RuntimeError(
            f"jvp(f, primals, tangents): Expected primals and tangents to have the same python structure, non-empty. "
            f"Got {len(given)} primals and {len(along)} tangents"
        )
    for t, v in zip(given, along):
        if t.shape != v.shape or t.dtype is not v.dtype:
            raise RuntimeError(
                f"jvp(f, primals, tangents): a tangent has shape {tuple(v.shape)} and {v.dtype}, its primal {tuple(t.shape)} "
                f"and {t.dtype}; they must agree"
            )
    with Forward() as level:
        inside = [level.wrap(t, v) for t, v in zip(given, along)]
        result, aux = _output(func(*tree_unflatten(inside, spec)), has_aux, "jvp")
        outputs, out_spec = _leaves(result, "jvp(f, primals, tangents): the outputs of f")
        parts = [level.parts(y) for y in outputs]
        aux = tree_map(lambda t: level.parts(t)[0] if isinstance(t, Tensor) else t, aux)
    for _, v in parts:
        if v is None and strict:
            raise RuntimeError(
                "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs, which strict does not allow"
            )
    values = tree_unflatten([y for y, _ in parts], out_spec)
    derivatives = tree_unflatten([_zeros(y) if v is None else v for y, v in parts], out_spec)
    return (values, derivatives, aux) if has_aux else (values, derivatives)


def _zeros(t: Tensor) -> Tensor:
    from .ops.creation import zeros_like

    return zeros_like(t).detach()


def linearize(func: Callable, *primals: Any) -> tuple:
    """(outputs, function from tangents to the derivative of the outputs along them): `func` runs once, here.

    The derivative is the gradient of the gradient with respect to the cotangents, in which that is linear.

    >>> import gradgpu as gg
    >>> y, along = gg.func.linearize(gg.sin, gg.tensor(0.))
    >>> y, along(gg.tensor(2.))
    (tensor(0.), tensor(2.))
    """
    given, spec = _leaves(primals, "linearize")
    with enable_grad():
        inputs = [leaf(t) for t in given]
        result = func(*tree_unflatten(inputs, spec))
        outputs, out_spec = _leaves(result, "linearize: the outputs of the function")
        weights = [_zeros(y).requires_grad_() for y in outputs]
        pulled = _pulled(outputs, inputs, weights, True)

    def along(*tangents: Any) -> Any:
        vectors, _ = _leaves(tangents, "linearize")
        for t, v in zip(given, vectors):
            if t.shape != v.shape or t.dtype is not v.dtype:
                raise RuntimeError(
                    f"linearize: a tangent has shape {tuple(v.shape)} and {v.dtype}, its primal {tuple(t.shape)} and {t.dtype}; "
                    "they must agree"
                )
        if len(vectors) != len(given):
            raise RuntimeError(f"linearize: got {len(vectors)} tangents for {len(given)} primals")
        outer = state.grad and (any(t.requires_grad for t in (*given, *vectors)) or recorded())
        return tree_unflatten(_pulled(pulled, weights, vectors, outer, keep=True), out_spec)

    return _closed(result, any(t.requires_grad for t in given) or recorded()), along


# ---- matrices ----
def _units(likes: list[Tensor]) -> list[Tensor]:
    """For each tensor one row an element of all: the unit vectors of the whole, cut up."""
    from .ops.creation import eye, zeros

    total = sum([t.numel() for t in likes])
    rows = []
    start = 0
    for t in likes:
        n = t.numel()
        parts = [
            zeros(start, n, dtype=t.dtype, device=t.device), eye(n, dtype=t.dtype, device=t.device),
            zeros(total - start - n, n, dtype=t.dtype, device=t.device),
        ]  # fmt: skip
        rows.append(_joined(parts).reshape((total, *t.shape)))
        start += n
    return rows


def _joined(parts: list[Tensor]) -> Tensor:
    from .ops.join import cat

    whole = [part for part in parts if part.shape[0]]
    return cat(whole) if whole else parts[0]


def _cut(rows: Tensor, likes: list[Tensor]) -> list[Tensor]:
    """Rows for the elements of all tensors, as one tensor for each: (*its shape, …)."""
    found = []
    start = 0
    for t in likes:
        n = t.numel()
        found.append(rows.narrow(0, start, n).reshape((*t.shape, *rows.shape[1:])))
        start += n
    return found


def jacrev(
    func: Callable, argnums: Any = 0, *, has_aux: bool = False, chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable:  # fmt: skip
    """The Jacobian of a function by reverse mode: all rows at once, by `vmap` over the cotangents.

    Args:
        func: returns tensors, also in nested tuples, lists and dicts; (those, anything) with `has_aux`.
        argnums: the argument (int) or arguments (tuple) to differentiate; each may be nested.
        has_aux: return (Jacobian, what else `func` returned).
        chunk_size: how many rows at once; all by default. 1 is a loop.

    Returns:
        A function that returns, nested as the outputs and within each as the arguments, tensors of shape
        output.shape + input.shape.

    >>> import gradgpu as gg
    >>> gg.func.jacrev(gg.sin)(gg.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """
    if chunk_size is not None and chunk_size < 1:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        numbers = _positions(argnums, len(args), "jacrev")
        primals = args[numbers[0]] if isinstance(argnums, int) else tuple(args[n] for n in numbers)
        given, spec = _leaves(primals, "jacrev")
        box: list[Any] = []

        def partial(*inputs: Tensor) -> Any:
            chosen = tree_unflatten(inputs, spec)
            result = func(*_with(args, numbers, [chosen] if isinstance(argnums, int) else chosen), **kwargs)
            value, aux = _output(result, has_aux, "jacrev")
            leaves, out_spec = _leaves(value, "jacrev: the outputs of the function")
            box.append((out_spec, aux))
            return tuple(leaves)

        outputs, pull = vjp(partial, *given)
        out_spec, aux = box[0]
        rows = vmap(lambda *units: pull(tuple(units)), chunk_size=chunk_size)(*_units(list(outputs)))
        tables = [_cut(table, list(outputs)) for table in rows]  # [input][output]
        each = [tree_unflatten([table[k] for table in tables], spec) for k in range(len(outputs))]
        jacobian = tree_unflatten(each, out_spec)
        return (jacobian, _closed(aux, any(t.requires_grad for t in outputs))) if has_aux else jacobian

    return transformed


def jacfwd(
    func: Callable,
    argnums: Any = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
    chunk_size: int | None = None,
) -> Callable:
    """The Jacobian of a function by forward mode: all columns at once, by `vmap` over the tangents. See `jacrev`.

    >>> import gradgpu as gg
    >>> gg.func.jacfwd(gg.sin)(gg.zeros(2))
    tensor([[1., 0.],
            [0., 1.]])
    """

    @functools.wraps(func)
    def transformed(*args: Any, **kwargs: Any) -> Any:
        numbers = _positions(argnums, len(args), "jacfwd")
        primals = args[numbers[0]] if isinstance(argnums, int) else tuple(args[n] for n in numbers)
        given, spec = _leaves(primals, "jacfwd")
        box: list[Any] = []

        def partial(*inputs: Tensor) -> Any:
            chosen = tree_unflatten(inputs, spec)
            result = func(*_with(args, numbers, [chosen] if isinstance(argnums, int) else chosen), **kwargs)
            value, aux = _output(result, has_aux, "jacfwd")
            leaves, out_spec = _leaves(value, "jacfwd: the outputs of the function")
            box.append(out_spec)
            return tuple(leaves), aux

        def push(*units: Tensor) -> tuple:
            _, derivatives, aux = jvp(partial, tuple(given), tuple(units), has_aux=True)
            box.append(aux)
            return derivatives

        columns = vmap(push, randomness=randomness, chunk_size=chunk_size)(*_units(given))
        out_spec, aux = box[0], box[1]
        each = []
        for table in columns:
            parts = [_last(part, t.ndim) for part, t in zip(_cut(table, given), given)]
            each.append(tree_unflatten(parts, spec))
        jacobian = tree_unflatten(each, out_spec)
        return (jacobian, aux) if has_aux else jacobian

    return transformed


def _last(t: Tensor, count: int) -> Tensor:
    """The first `count` dimensions moved behind all others."""
    return t.permute(*range(count, t.ndim), *range(count)) if count else t


def hessian(func: Callable, argnums: Any = 0) -> Callable:
    """The matrix of second derivatives of a scalar function, by forward over reverse mode.

    >>> import gradgpu as gg
    >>> gg.func.hessian(lambda x: (x ** 3).sum())(gg.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    return jacfwd(jacrev(func, argnums), argnums)


# ---- modules ----
def functional_call(
    module: Any, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: dict | None = None, *,
    tie_weights: bool = True, strict: bool = False,
) -> Any:  # fmt: skip
    """Calls a module with other values for some of its parameters and buffers.

    Args:
        parameter_and_buffer_dicts: a dict by name, or several dicts, whose names differ.
        args, kwargs: of the call; `args` that is no tuple is one argument.
        tie_weights: a tensor that the module has under several names is replaced under all of them.
        strict: raise unless every parameter and buffer is given.

    >>> import gradgpu as gg
    >>> net = gg.nn.Linear(2, 1, bias=False)
    >>> gg.func.functional_call(net, {"weight": gg.ones(1, 2)}, gg.tensor([[1., 2.]]))
    tensor([[3.]])
    """
    dicts = parameter_and_buffer_dicts
    values: dict[str, Tensor] = {}
    for part in dicts if isinstance(dicts, (tuple, list)) else (dicts,):
        if not isinstance(part, dict):
            raise ValueError(
                f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(part).__name__}"
            )
        for name in part:
            if name in values:
                raise ValueError(
                    f"{name!r} appears in multiple dictionaries; behavior of functional call is ambiguous"
                )
        values.update(part)
    with _reparametrize_module(module, values, tie_weights=tie_weights, strict=strict):
        arguments = () if args is None else args if isinstance(args, tuple) else (args,)
        return module(*arguments, **(kwargs or {}))


_lock = new_lock()
# Locks of modules that have other values than their own just now, by the modules' ids.
_exchanging: WeakValueDictionary = WeakValueDictionary()


@contextmanager
def _reparametrize_module(
    module: Any, parameters_and_buffers: dict[str, Tensor], tie_weights: bool = False, strict: bool = False,
    stack_weights: bool = False,
) -> Iterator[None]:  # fmt: skip
    """Within the block the module has these values for some of its parameters and buffers; see `functional_call`.

    Args:
        stack_weights: put the old values back last first; they always are.

    >>> import gradgpu as gg
    >>> net = gg.nn.Linear(2, 1, bias=False)
    >>> with _reparametrize_module(net, {"weight": gg.ones(1, 2)}):
    ...     net(gg.tensor([1., 2.]))
    tensor([3.])
    """
    with _lock:
        mine = _exchanging.get(id(module))
        if mine is None:
            mine = _exchanging[id(module)] = threading.RLock()
    with mine:  # another thread would take these values for the module's own
        values = parameters_and_buffers
        own = dict(module.named_parameters(remove_duplicate=False))
        own.update(module.named_buffers(remove_duplicate=False))
        unknown = sorted(set(values) - set(own))
        if unknown:
            raise KeyError(f"functional_call: the module has no parameters or buffers named {unknown}")
        if tie_weights:
            values = _tied(values, own)
        missing = sorted(set(own) - set(values))
        if strict and missing:
            raise RuntimeError(f"functional_call: Missing key(s): {missing} (strict=True wants all)")
        before: list[tuple[dict, str, Any]] = []
        try:
            for name, value in values.items():
                path, _, last = name.rpartition(".")
                owner = module.get_submodule(path) if path else module
                table = owner._parameters if last in owner._parameters else owner._buffers
                before.append((table, last, table[last]))
                table[last] = value
            yield
        finally:
            for table, last, value in reversed(before):
                table[last] = value


def _tied(values: dict[str, Tensor], own: dict[str, Any]) -> dict[str, Tensor]:
    """The values, under every name of each tensor that the module has under several."""
    names: dict[int, list[str]] = {}
    for name, t in own.items():
        if t is not None:
            names.setdefault(id(t), []).append(name)
    found = dict(values)
    for tied in names.values():
        given = {id(values[name]): values[name] for name in tied if name in values}
        if len(tied) > 1 and len(given) > 1:
            raise ValueError(
                f"functional_call got multiple values for keys {tied}, which are tied. Consider using tie_weights=False"
            )
        for value in given.values():
            found.update(dict.fromkeys(tied, value))
    return found


def stack_module_state(models: Any) -> tuple[dict, dict]:
    """(parameters, buffers) of several modules of one architecture, each stacked along a new first dimension: an ensemble,
    for `vmap` over `functional_call`.

    The parameters are leaves that require grad where those of the models do.

    >>> import gradgpu as gg
    >>> nets = [gg.nn.Linear(3, 2) for _ in range(4)]
    >>> params, buffers = gg.func.stack_module_state(nets)
    >>> run = lambda p, b, x: gg.func.functional_call(nets[0], (p, b), (x,))
    >>> gg.vmap(run, in_dims=(0, 0, None))(params, buffers, gg.ones(5, 3)).shape
    gradgpu.Size([4, 5, 2])
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to have the same training/eval mode.")
    if len({type(m) for m in models}) > 1:
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    from .ops.join import stack

    def stacked(each: list[dict]) -> dict:
        made = {}
        for name, first in each[0].items():
            t = stack([d[name] for d in each]).detach()
            made[name] = t.requires_grad_(first.requires_grad)
        return made

    return (
        stacked([dict(m.named_parameters()) for m in models]),
        stacked([dict(m.named_buffers()) for m in models]),
    )


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Takes the running statistics from every batch norm in a module, in place, and returns it: under `vmap` they cannot be
    updated, so that each batch is normalised by its own.

    >>> import gradgpu as gg
    >>> gg.func.replace_all_batch_norm_modules_(gg.nn.BatchNorm1d(3)).running_mean is None
    True
    """
    from .nn.layers.normalization import _BatchNorm

    for module in root.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def debug_unwrap(tensor: Tensor, *, recurse: bool = True) -> Tensor:
    """The tensor inside the innermost transform, or all of them: with the dimensions that `vmap` hides, for a look while
    debugging. What is computed from it is not what the transforms compute.

    >>> import gradgpu as gg
    >>> shapes = []
    >>> def f(x):
    ...     shapes.append((x.shape, gg.func.debug_unwrap(x).shape))
    ...     return x
    >>> _ = gg.vmap(f)(gg.zeros(5, 2)), print(shapes)
    [(gradgpu.Size([2]), gradgpu.Size([5, 2]))]
    """
    if not isinstance(tensor._a, LayerArray):
        return tensor
    return outermost(tensor) if recurse else tensor._a.inner


# ---- dimensions by name ----
def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Tensor:
    """Reorders, joins and splits dimensions as a pattern says, in the notation of einops (Rogozhnikov, 2022).

    Args:
        tensor: a tensor, or a sequence of tensors of one shape, which becomes a new first dimension.
        pattern: names of dimensions before and after `->`; parentheses join several into one, `1` is a dimension of that
            size, `...` stands for all that are not named.
        axes_lengths: sizes of names in parentheses on the left, where they do not follow.

    Raises:
        ValueError: the pattern is malformed, or does not fit the tensor.

    >>> import gradgpu as gg
    >>> images = gg.zeros(32, 30, 40, 3)
    >>> gg.func.rearrange(images, "b h w c -> b c h w").shape
    gradgpu.Size([32, 3, 30, 40])
    >>> gg.func.rearrange(images, "b (h1 h) (w1 w) c -> (b h1 w1) h w c", h1=2, w1=2).shape
    gradgpu.Size([128, 15, 20, 3])
    """
    from .ops.join import stack

    x = tensor if isinstance(tensor, Tensor) else stack(list(tensor))
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError(f"rearrange: the pattern {pattern!r} must have one '->'")
    left, right = [_groups(side, pattern) for side in sides]
    rest = x.ndim - len(left) + (_REST in left)
    if rest < 0 or _REST not in left and rest:
        raise ValueError(
            f"rearrange: the pattern {pattern!r} names {len(left)} dimensions, the tensor has {x.ndim}"
        )
    names: dict[str, int] = {}  # each with its size, in the order of the tensor
    place = 0
    for group in left:
        if group == _REST:
            for k in range(rest):
                names[f"{_REST}{k}"] = x.shape[place + k]
            place += rest
            continue
        _sizes(group, x.shape[place], axes_lengths, names, pattern)
        place += 1
    unknown = sorted(set(axes_lengths) - set(names))
    if unknown:
        raise ValueError(
            f"rearrange: sizes are given for {unknown}, which are not on the left of {pattern!r}"
        )
    dots = [f"{_REST}{k}" for k in range(rest)]
    wanted: list[list[str]] = []
    for group in right:
        if group == _REST:
            wanted += [[name] for name in dots]
        else:
            wanted.append([each for name in group for each in (dots if name == _REST else [name])])
    flat = [name for group in wanted for name in group if name != "1"]
    if sorted(flat) != sorted(names):
        raise ValueError(f"rearrange: both sides of {pattern!r} must have the same names, each once")
    order = list(names)
    y = x.reshape(tuple(names.values())).permute(*[order.index(name) for name in flat])
    return y.reshape(tuple([prod([names[name] for name in group if name != "1"]) for group in wanted]))


_REST = "..."


def _groups(side: str, pattern: str) -> list[Any]:
    """The dimensions of one side, each as the names that are joined in it; or `...` for many."""
    groups: list[Any] = []
    inside = False
    for token in side.replace("(", " ( ").replace(")", " ) ").replace("\u2026", _REST).split():
        if token in "()":
            if inside == (token == "("):
                raise ValueError(f"rearrange: parentheses in {pattern!r} do not match")
            inside = token == "("
            if inside:
                groups.append([])
        elif token != _REST and token != "1" and not token.isidentifier():
            raise ValueError(f"rearrange: {token!r} in {pattern!r} is no name of a dimension")
        elif inside:
            groups[-1].append(token)
        else:
            groups.append(_REST if token == _REST else [token])
    if inside:
        raise ValueError(f"rearrange: parentheses in {pattern!r} do not match")
    return groups


def _sizes(group: list[str], size: int, given: dict[str, int], names: dict[str, int], pattern: str) -> None:
    """Notes the sizes of the names that are joined in a dimension of this size."""
    missing = [name for name in group if name != "1" and name not in given]
    known = prod([given[name] for name in group if name in given])
    if len(missing) > 1:
        raise ValueError(
            f"rearrange: the sizes of {missing} in {pattern!r} do not follow; give all but one, e.g. {missing[0]}=2"
        )
    if known < 1 or size % known or not missing and known != size:
        raise ValueError(
            f"rearrange: a dimension of size {size} cannot be {group} with {given}, in {pattern!r}"
        )
    for name in group:
        if name == "1":
            continue
        if name in names or name == _REST:
            raise ValueError(
                f"rearrange: {name!r} stands twice, or in parentheses, on the left of {pattern!r}"
            )
        names[name] = given[name] if name in given else size // known


__all__ = [
    "debug_unwrap", "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "linearize", "rearrange", "replace_all_batch_norm_modules_", "stack_module_state",
    "value_and_grad", "vjp", "vmap",
]  # fmt: skip
