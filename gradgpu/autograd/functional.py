"""Derivatives of functions of tensors: products with Jacobians and Hessians, and the matrices themselves.

Jacobian-vector products are two backward passes (the derivative of the vector-Jacobian product
with respect to its vector), so every operation that differentiates twice has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from . import grad
from .modes import enable_grad


def _tuple(x: Any, what: str) -> tuple[tuple, bool]:
    several = isinstance(x, (tuple, list))
    found = tuple(x) if several else (x,)
    for t in found:
        if not isinstance(t, Tensor):
            raise TypeError(f"{what} must be a Tensor or a tuple of Tensors, got {type(t).__name__}")
    return found, several


def _fresh(inputs: tuple, create_graph: bool) -> tuple:
    """Inputs to differentiate with respect to: parts of the outer graph, or leaves of their own."""
    from ..ops.tangents import fresh_leaf

    return tuple([t.view_as(t) if create_graph and t.requires_grad else fresh_leaf(t) for t in inputs])


def _call(function: Callable, inputs: tuple, name: str) -> tuple[tuple, bool]:
    return _tuple(function(*inputs), f"{name}: the outputs of the function")


def _vector(v: Any, like: tuple, name: str, what: str) -> tuple:
    from ..ops.creation import ones_like

    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(
                f"{name}: the vector v can only be None if the function has one {what} with a single element"
            )
        return (ones_like(like[0]),)
    found, _ = _tuple(v, f"{name}: v")
    if [tuple(t.shape) for t in found] != [tuple(t.shape) for t in like]:
        seen, wanted = [tuple(t.shape) for t in found], [tuple(t.shape) for t in like]
        raise RuntimeError(f"{name}: v has shapes {seen}; they must be those of the {what}s, {wanted}")
    return found


def _grad(
    outputs: Any, inputs: Any, weights: Any, create_graph: bool, strict: bool, name: str, keep: bool = False
) -> tuple:
    """`autograd.grad` that gives zeros for what does not depend, or with `strict` raises."""
    from ..ops.creation import zeros_like

    pairs = [(o, w) for o, w in zip(outputs, weights) if o.requires_grad]
    if not pairs:
        found: tuple = (None,) * len(inputs)
    else:
        found = grad(
            [o for o, _ in pairs],
            inputs,
            [w for _, w in pairs],
            retain_graph=keep or create_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    if strict and any(g is None for g in found):
        number = next(i for i, g in enumerate(found) if g is None)
        raise RuntimeError(
            f"{name}: the output does not depend on input {number}, which strict=True does not allow"
        )
    return tuple(zeros_like(x) if g is None else g for g, x in zip(found, inputs))


def _close(values: tuple, several: bool, create_graph: bool) -> Any:
    values = values if create_graph else tuple(v.detach() for v in values)
    return values if several else values[0]


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(outputs, vᵀ · J) of `func` at `inputs`.

    >>> import gradgpu as gg
    >>> gg.autograd.functional.vjp(lambda x: x * x, gg.tensor([1., 2.]), gg.tensor([1., 1.]))[1]
    tensor([2., 4.])
    """
    given, several = _tuple(inputs, "vjp: inputs")
    with enable_grad():
        fresh = _fresh(given, create_graph)
        outputs, many = _call(func, fresh, "vjp")
        found = _grad(outputs, fresh, _vector(v, outputs, "vjp", "output"), create_graph, strict, "vjp")
    return _close(outputs, many, create_graph), _close(found, several, create_graph)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(outputs, J · v) of `func` at `inputs`.

    >>> import gradgpu as gg
    >>> gg.autograd.functional.jvp(lambda x: x * x, gg.tensor([1., 2.]), gg.tensor([1., 0.]))[1]
    tensor([2., 0.])
    """
    from ..ops.creation import zeros_like

    given, _ = _tuple(inputs, "jvp: inputs")
    with enable_grad():
        fresh = _fresh(given, create_graph)
        vectors = _vector(v, fresh, "jvp", "input")
        outputs, many = _call(func, fresh, "jvp")
        weights = tuple(zeros_like(o).requires_grad_() for o in outputs)
        pulled = _grad(outputs, fresh, weights, True, strict, "jvp")
        found = _grad(pulled, weights, vectors, create_graph, False, "jvp")
    return _close(outputs, many, create_graph), _close(found, many, create_graph)


def jacobian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Jacobian of `func` at `inputs`: a tensor of shape output.shape + input.shape, a tuple over several
    inputs, a tuple of tuples over several outputs and inputs.

    Args:
        strict: raise where an output does not depend on an input; not with `vectorize`.
        vectorize: all rows at once, by `vmap`, instead of a loop.
        strategy: 'reverse-mode', or 'forward-mode' (columns by forward mode; with `vectorize`).

    >>> import gradgpu as gg
    >>> gg.autograd.functional.jacobian(lambda x: x * x, gg.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    from ..ops.creation import zeros_like
    from ..ops.join import stack

    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has more outputs than '
            'inputs, "forward-mode" tends to be more performant. Otherwise, prefer to use "reverse-mode".'
        )
    given, several = _tuple(inputs, "jacobian: inputs")
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError(
            'jacobian: `strategy="forward-mode"` is only implemented for `vectorize=True`; or use gradgpu.func.jacfwd'
        )
    if vectorize:
        return _vectorized_jacobian(func, given, several, create_graph, strict, strategy)
    with enable_grad():
        fresh = _fresh(given, create_graph)
        outputs, many = _call(func, fresh, "jacobian")
        table = []
        for out in outputs:
            rows: list[list] = [[] for _ in fresh]
            for i in range(out.numel()):
                unit = zeros_like(out).detach()
                unit.view(-1)[i] = 1
                for column, g in zip(
                    rows, _grad((out,), fresh, (unit,), create_graph, strict, "jacobian", keep=True)
                ):
                    column.append(g)
            table.append(
                tuple(
                    (stack(column) if column else zeros_like(x).reshape((1, *x.shape))[:0]).reshape(
                        (*out.shape, *x.shape)
                    )
                    for column, x in zip(rows, fresh)
                )
            )
    closed = [_close(row, True, create_graph) for row in table]
    if several:
        return tuple(closed) if many else closed[0]
    return tuple(row[0] for row in closed) if many else closed[0][0]


def _vectorized_jacobian(
    func: Callable, given: tuple, several: bool, create_graph: bool, strict: bool, strategy: str
) -> Any:
    from ..func import jacfwd, jacrev

    if strict:
        raise RuntimeError(
            "jacobian: `strict=True` and `vectorize=True` are not supported together. Please either set strict=False or "
            "vectorize=False."
        )
    with enable_grad():
        fresh = _fresh(given, create_graph) if create_graph else tuple([t.detach() for t in given])
        transform = jacfwd if strategy == "forward-mode" else jacrev
        table = transform(lambda *xs: _call(func, xs, "jacobian")[0], argnums=tuple(range(len(fresh))))(
            *fresh
        )
        many = len(table) > 1 or isinstance(func(*fresh), (tuple, list))
    closed = [_close(row, True, create_graph) for row in table]
    rows = closed if several else [row[0] for row in closed]
    return tuple(rows) if many else rows[0]


def _scalar(outputs: tuple, name: str) -> Any:
    if len(outputs) != 1 or outputs[0].numel() != 1:
        raise RuntimeError(f"{name}: the function must return one tensor with a single element")
    return outputs[0].reshape(())


def hessian(
    func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:  # fmt: skip
    """The Hessian of a scalar function: a tensor of shape input.shape twice, or a tuple of tuples over several inputs.

    `vectorize` and `outer_jacobian_strategy` say how the Jacobian of the gradient is computed; see `jacobian`.
    """
    from ..ops.tangents import fresh_leaf

    given, several = _tuple(inputs, "hessian: inputs")

    def gradient(*xs: Any) -> Any:
        with enable_grad():
            xs = tuple(x if x.requires_grad else fresh_leaf(x) for x in xs)
            value = _scalar(_call(func, xs, "hessian")[0], "hessian")
            return _grad((value,), xs, _vector(None, (value,), "hessian", "output"), True, strict, "hessian")

    table = jacobian(
        gradient, given, create_graph=create_graph, vectorize=vectorize, strategy=outer_jacobian_strategy
    )
    return table if several else table[0][0]


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(value, vᵀ · H) of a scalar function at `inputs`."""
    given, several = _tuple(inputs, "vhp: inputs")
    with enable_grad():
        fresh = _fresh(given, create_graph)
        vectors = _vector(v, fresh, "vhp", "input")
        value = _scalar(_call(func, fresh, "vhp")[0], "vhp")
        first = _grad((value,), fresh, _vector(None, (value,), "vhp", "output"), True, strict, "vhp")
        found = _grad(first, fresh, vectors, create_graph, strict, "vhp")
    return _close((value,), False, create_graph), _close(found, several, create_graph)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(value, H · v) of a scalar function at `inputs`; the Hessian is symmetric, so this is `vhp`."""
    return vhp(func, inputs, v, create_graph, strict)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


# ---- PyTorch's helpers, which packages with Jacobians of their own import ----
def _as_tuple(inp: Any, arg_name: str | None = None, fn_name: str | None = None) -> tuple[bool, tuple]:
    """Whether `inp` is several tensors, and they as a tuple."""
    found, several = _tuple(inp, f"{fn_name}: {arg_name}")
    return several, found


def _construct_standard_basis_for(tensors: tuple, tensor_numels: tuple) -> tuple[Tensor, ...]:
    """The rows of an identity matrix of all elements, cut into columns for each tensor.

    >>> import gradgpu as gg
    >>> _construct_standard_basis_for((gg.zeros(1), gg.zeros(2)), (1, 2))[1]
    tensor([[0., 0.],
            [1., 0.],
            [0., 1.]])
    """
    from ..ops.creation import eye

    first = tensors[0]
    rows = eye(sum(tensor_numels), dtype=first.dtype, device=first.device)
    pieces = rows.split(list(tensor_numels), 1)
    return tuple([piece.to(t.dtype).view(-1, *t.shape) for piece, t in zip(pieces, tensors)])


def _grad_postprocess(inputs: Any, create_graph: bool) -> Any:
    """The tensors, in tuples or alone; without their graphs unless `create_graph`."""
    if isinstance(inputs, tuple):
        return tuple([_grad_postprocess(x, create_graph) for x in inputs])
    return inputs if create_graph else inputs.detach()


def _tuple_postprocess(res: Any, to_unpack: bool | tuple) -> Any:
    """What was one tensor at first is so again: `to_unpack` says whether there were several, outside and within."""
    if isinstance(to_unpack, tuple):
        outer, inner = to_unpack
        if not inner:
            res = tuple([each[0] for each in res])
        return res if outer else res[0]
    return res if to_unpack else res[0]
