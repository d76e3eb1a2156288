"""Operations of one's own: a function a device, a gradient, a rule for vmap. Names and semantics are PyTorch's.

`custom_op` makes an operation of functions on tensors, which may launch kernels of one's own (`cuda.compile_kernel`).
`pointwise`, which PyTorch has not, makes one of an expression: kernels for every dtype and layout, and the gradient's,
come from it.

>>> import gradgpu as gg
>>> soft_clip = gg.library.pointwise(
...     "docs::soft_clip",
...     cuda="x / (1 + fabs(x))",
...     cpu=lambda x: x / (1 + abs(x)),
...     grad=lambda g, x: g / (1 + gg.abs(x)) ** 2,
... )
>>> x = gg.tensor([-1.0, 3.0], requires_grad=True)
>>> soft_clip(x).sum().backward()
>>> x.grad
tensor([0.2500, 0.0625])
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np

from .autograd.function import Function
from .autograd.grad_mode import no_grad
from .autograd.modes import state
from .ops.doors import binary_door, unary_door
from .ops.pointwise_op import Pointwise
from .ops.registry import OPS
from .tensor import Tensor

__all__ = [
    "CustomOpDef", "OpCheckError", "custom_op", "opcheck", "pointwise", "register_autograd", "register_fake",
    "register_kernel", "register_vmap",
]  # fmt: skip

_DEFINED: dict[str, CustomOpDef] = {}  # by 'namespace::name'


def _names(name: str) -> tuple[str, str]:
    namespace, colons, short = name.partition("::")
    if not (colons and namespace.isidentifier() and short.isidentifier()):
        raise ValueError(
            f"an operation is named '{{namespace}}::{{name}}', two identifiers, as 'mylib::swish'; got {name!r}"
        )
    return namespace, short


def _tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors_in(value)


def _memory(t: Tensor) -> Any:
    a = t._a
    if isinstance(a, np.ndarray):
        while isinstance(a.base, np.ndarray):
            a = a.base
        return id(a) if a.size else None
    return id(getattr(a, "mem", a)) if getattr(a, "size", 1) else None


class _Call:
    """The arguments of one call: positional ones as a flat list, in which lists of tensors are taken apart."""

    def __init__(self, op: CustomOpDef, args: Sequence[Any], kwargs: Mapping[str, Any]):
        self.op, self.kwargs = op, kwargs
        self.sizes = [len(a) if _is_list(a) else None for a in args]
        self.kinds = [type(a) for a in args]
        self.listed = False  # whether the operation returned a list
        self.flat = self.flattened(args)

    def flattened(self, args: Sequence[Any]) -> list:
        """One entry an argument, or one an entry of a list of tensors."""
        flat: list = []
        for size, a in zip(self.sizes, args):
            if size is None:
                flat.append(a)
            else:
                flat += [None] * size if a is None else a
        return flat

    def nested(self, flat: Sequence[Any]) -> tuple:
        """The inverse of `flattened`."""
        values = iter(flat)
        return tuple(
            [
                next(values) if size is None else kind([next(values) for _ in range(size)])
                for size, kind in zip(self.sizes, self.kinds)
            ]
        )


def _is_list(a: Any) -> bool:
    return type(a) in (list, tuple) and any(isinstance(x, Tensor) for x in a)


class _Recorded(Function):
    """A call of a `CustomOpDef`, for the tape."""

    @staticmethod
    def forward(call: _Call, *flat: Any) -> Any:
        result = call.op._compute(call.nested(flat), call.kwargs)
        call.listed = isinstance(result, list)
        return tuple(result) if call.listed else result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        call, flat = inputs[0], inputs[1:]
        ctx.call = call
        op, own = call.op, call.nested(flat)
        if op._setup is not None:
            output = list(output) if call.listed else output
            if op._keyword_only:
                op._setup(ctx, own, dict(call.kwargs), output)
            else:
                op._setup(ctx, own, output)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        call = ctx.call
        op = call.op
        if op._backward is None:
            raise RuntimeError(
                f"Trying to backward through {op._name} but no autograd formula was registered. Please use register_autograd "
                "to add one."
            )
        ctx.needs_input_grad = call.nested(ctx.needs_input_grad[1:])
        found = op._backward(ctx, *([list(grads)] if call.listed else grads))
        found = found if isinstance(found, tuple) else (found,)
        if len(found) != len(call.sizes):
            raise RuntimeError(
                f"{op._name}: backward returned {len(found)} gradients for {len(call.sizes)} inputs; return None for what "
                "has none"
            )
        return None, *call.flattened(found)

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: _Call, *flat: Any) -> Any:
        if call.op._vmap is None:
            raise RuntimeError(
                f"You tried to vmap over {call.op._name}, but it has no rule for that; use register_vmap to add one."
            )
        return call.op._vmap(info, call.nested(in_dims[1:]), *call.nested(flat), **call.kwargs)


class CustomOpDef:
    """An operation of one's own; made by :func:`custom_op`. Call it as the function it was made of."""

    def __init__(self, name: str, fn: Callable, mutates_args: Iterable[str]):
        self._namespace, self._short = _names(name)
        self._name = name
        self._signature = inspect.signature(fn)
        parameters = self._signature.parameters
        kinds = {p.kind for p in parameters.values()}
        if kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            raise ValueError(f"{name}: *args and **kwargs are not supported; name the parameters")
        self._keyword_only = [n for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY]
        self._mutates = [*parameters] if mutates_args == "unknown" else [*mutates_args]
        unknown = {*self._mutates} - {*parameters}
        if unknown:
            raise ValueError(
                f"{name}: mutates_args names {sorted(unknown)}, which are no parameters of {fn.__name__}"
            )
        self._kernels: dict[
            str | None, Callable
        ] = {}  # by type of device; None: for all that have none of their own
        self._disabled: set[str] = set()
        self._backward: Callable | None = None
        self._setup: Callable | None = None
        self._fake: Callable | None = None
        self._vmap: Callable | None = None
        self.__doc__ = fn.__doc__
        self.__name__ = self._short
        self._function: Any = type(self._short, (_Recorded,), {})  # whose name nodes show

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._name})>"

    # ---- what it is made of ----
    def register_kernel(
        self, device_types: str | Sequence[str] | None, fn: Callable | None = None, /
    ) -> Callable:
        """Gives the function that does the work on these types of device ('cpu', 'cuda'; None: on any other). A decorator,
        too."""

        def register(function: Callable) -> Callable:
            for kind in (
                [device_types] if device_types is None or isinstance(device_types, str) else device_types
            ):
                self._kernels[kind] = function
            return function

        return register if fn is None else register(fn)

    def register_autograd(self, backward: Callable, /, *, setup_context: Callable | None = None) -> None:
        """Gives the gradient.

        Args:
            backward: ``backward(ctx, *grads)`` returns a gradient for each positional input, or None.
            setup_context: ``setup_context(ctx, inputs, output)`` keeps on `ctx` what backward needs, as in
                :class:`gradgpu.autograd.Function`. An operation with keyword-only arguments gets
                ``setup_context(ctx, inputs, keyword_only_inputs, output)``.

        Raises:
            RuntimeError: the operation changes its arguments.
        """
        if self._mutates:
            raise RuntimeError(
                f"Cannot register autograd formula for non-functional operator {self._name}, which mutates {self._mutates}. "
                "Please create a functional operator and register an autograd formula for that."
            )
        self._backward, self._setup = backward, setup_context

    def register_fake(self, fn: Callable, /) -> Callable:
        """Gives what the operation does on device 'meta', where tensors have no elements: outputs of the right shape. A
        decorator, too."""
        self._fake = fn
        return fn

    def register_vmap(self, func: Callable | None = None) -> Callable:
        """Gives the rule for :func:`gradgpu.vmap`: ``func(info, in_dims, *args)`` returns (outputs, their batch dimensions).
        A decorator, too."""
        if func is None:
            return self.register_vmap
        self._vmap = func
        return func

    @contextmanager
    def set_kernel_enabled(self, device_type: str, enabled: bool = True) -> Iterator[None]:
        """Within the block the function for a type of device is used or, with ``enabled=False``, the one for all is.

        Raises:
            ValueError: none was registered for it.
        """
        if device_type not in self._kernels:
            raise ValueError(f"{self._name}: no kernel was registered for {device_type!r}")
        before = {*self._disabled}
        self._disabled.discard(device_type)
        if not enabled:
            self._disabled.add(device_type)
        try:
            yield
        finally:
            self._disabled = before

    # ---- calling ----
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = bound.arguments
        keywords = {name: named[name] for name in self._keyword_only}
        positional = [value for name, value in named.items() if name not in keywords]
        if self._mutates:
            return self._change(named, positional, keywords)
        call = _Call(self, positional, keywords)
        result = self._function.apply(call, *call.flat)
        return [*result] if call.listed else result

    def _change(
        self, named: Mapping[str, Any], positional: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """A call that changes arguments: it is not recorded."""
        changed = [*_tensors_in([named[name] for name in self._mutates])]
        if state.grad and any(t.requires_grad for t in changed):
            raise RuntimeError(
                f"{self._name}: a tensor that requires grad is to be changed in place, and custom operations that mutate "
                "their arguments are not recorded; call it under no_grad, or on x.detach()"
            )
        with no_grad():
            result = self._compute(positional, keywords, changed)
        for t in changed:
            t._bump()
        return result

    def _device_type(self, values: Sequence[Any]) -> str:
        types = {t.device.type for t in _tensors_in(values)}
        for kind in ("meta", "cuda", "cpu"):
            if kind in types:
                return kind
        from .devices import device

        return next((device(v).type for v in values if isinstance(v, device)), "cpu")

    def _compute(self, args: Sequence[Any], kwargs: Mapping[str, Any], changed: Sequence[Tensor] = ()) -> Any:
        values = [*args, *kwargs.values()]
        kind = self._device_type(values)
        if kind == "meta":
            if self._fake is None:
                raise NotImplementedError(
                    f"{self._name}: there is no fake implementation, which device 'meta' needs; use register_fake to add one"
                )
            return self._fake(*args, **kwargs)
        kernel = self._kernels.get(kind) if kind not in self._disabled else None
        if kernel is None:
            kernel = self._kernels.get(None)
        if kernel is None:
            known = ", ".join(sorted(k for k in self._kernels if k)) or "none"
            raise NotImplementedError(
                f"{self._name}: no implementation for device {kind!r}; there are: {known}. Use register_kernel({kind!r}) to add one"
            )
        result = kernel(*args, **kwargs)
        self._refuse_aliases(kernel, values, result, changed)
        return result

    def _refuse_aliases(
        self, kernel: Callable, values: Sequence[Any], result: Any, changed: Sequence[Tensor]
    ) -> None:
        """What is returned must be new: autograd would take it for something else than its input."""
        mine = {id(t) for t in changed}
        seen = {_memory(t) for t in _tensors_in(values)} - {None}
        for t in _tensors_in(result if isinstance(result, (list, tuple)) else [result]):
            if id(t) in mine:
                continue
            memory = _memory(t)
            if memory in seen:
                raise RuntimeError(
                    f"{self._name} (with implementation in {kernel.__module__}): The output of this custom operator (1) must "
                    "not also be an input to this custom operator and (2) may not alias any inputs to this custom operator or "
                    "other returns. The most common way to trigger this error is if we have y = custom_op(x) and y and x are "
                    "the same Tensor. Please instead return a clone of the offending output tensor(s) (e.g. return x.clone()) "
                    "or refactor the custom operator to not return y."
                )
            if memory is not None:
                seen.add(memory)


def custom_op(
    name: str,
    fn: Callable | None = None,
    /,
    *,
    mutates_args: str | Iterable[str],
    device_types: str | Sequence[str] | None = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """Makes an operation of a function on tensors. A decorator, too.

    Defining a name again replaces the operation, as running a notebook's cell again does.

    Args:
        name: '{namespace}::{name}'; `gradgpu.ops.{namespace}.{name}` is the operation, too.
        fn: the function; what it does is not recorded.
        mutates_args: names of the arguments that it changes, () for none, or "unknown" for all.
        device_types: the types of device that `fn` is for; None: for all that get none by `register_kernel`.
        schema, tags: accepted, and of no effect: arguments are told apart when the operation is called.

    Returns:
        A :class:`CustomOpDef`.

    >>> import gradgpu as gg
    >>> @gg.library.custom_op("docs::cube", mutates_args=())
    ... def cube(x: gg.Tensor) -> gg.Tensor:
    ...     return x * x * x
    >>> cube.register_autograd(
    ...     lambda ctx, g: g * 3 * ctx.x**2,
    ...     setup_context=lambda ctx, inputs, output: setattr(ctx, "x", inputs[0]),
    ... )
    >>> x = gg.tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    tensor(12.)
    """

    def define(function: Callable) -> CustomOpDef:
        op = CustomOpDef(name, function, mutates_args)
        op.register_kernel(device_types, function)
        _DEFINED[name] = op
        return op

    return define if fn is None else define(fn)


def _found(op: str | CustomOpDef) -> CustomOpDef:
    if isinstance(op, CustomOpDef):
        return op
    if op not in _DEFINED:
        raise ValueError(f"no operation is named {op!r}; there are: {', '.join(sorted(_DEFINED)) or 'none'}")
    return _DEFINED[op]


def register_kernel(
    op: str | CustomOpDef,
    device_types: str | Sequence[str] | None,
    func: Callable | None = None,
    /,
    *,
    lib: Any = None,
) -> Callable:
    """`CustomOpDef.register_kernel` of an operation or its name."""
    return _found(op).register_kernel(device_types, func)


def register_autograd(
    op: str | CustomOpDef, backward: Callable, /, *, setup_context: Callable | None = None, lib: Any = None
) -> None:
    """`CustomOpDef.register_autograd` of an operation or its name."""
    _found(op).register_autograd(backward, setup_context=setup_context)


def register_fake(op: str | CustomOpDef, func: Callable | None = None, /, *, lib: Any = None) -> Callable:
    """`CustomOpDef.register_fake` of an operation or its name. A decorator, too."""
    return _found(op).register_fake if func is None else _found(op).register_fake(func)


def register_vmap(op: str | CustomOpDef, func: Callable | None = None, /, *, lib: Any = None) -> Callable:
    """`CustomOpDef.register_vmap` of an operation or its name. A decorator, too."""
    return _found(op).register_vmap(func)


def namespace(name: str) -> Any:
    """What `gradgpu.ops.{name}` is: the operations defined in a namespace. AttributeError if there are none."""
    found = {op._short: op for op in _DEFINED.values() if op._namespace == name}
    if not found:
        raise AttributeError(f"no operation was defined in the namespace {name!r}")
    return SimpleNamespace(**found)


# ---- checking ----
class OpCheckError(Exception):
    """What :func:`opcheck` found wrong."""


def _check_schema(op: CustomOpDef, args: tuple, kwargs: dict) -> None:
    bound = op._signature.bind(*args, **kwargs)
    bound.apply_defaults()
    with no_grad():
        copies = {name: _copied(value) for name, value in bound.arguments.items()}
        keywords = {name: copies[name] for name in op._keyword_only}
        op(*[value for name, value in copies.items() if name not in keywords], **keywords)
    for name, value in bound.arguments.items():
        for before, after in zip(_tensors_in([value]), _tensors_in([copies[name]])):
            same = np.array_equal(
                before.detach().cpu().numpy(),
                after.detach().cpu().numpy(),
                equal_nan=before.dtype.is_floating_point,
            )
            if not same and name not in op._mutates:
                raise OpCheckError(
                    f"{op._name} changes its argument {name!r}, which mutates_args does not name"
                )


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    return type(value)([_copied(v) for v in value]) if type(value) in (list, tuple) else value


def _check_autograd(op: CustomOpDef, args: tuple, kwargs: dict) -> None:
    wanted = any(t.requires_grad for t in _tensors_in([*args, *kwargs.values()]))
    if wanted and not op._mutates and op._backward is None:
        raise OpCheckError(
            f"{op._name} got inputs that require grad, and has no gradient; use register_autograd"
        )


def _check_fake(op: CustomOpDef, args: tuple, kwargs: dict) -> None:
    def on_meta(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach().to("meta")
        return type(value)([on_meta(v) for v in value]) if type(value) in (list, tuple) else value

    with no_grad():
        real = op(*[_copied(a) for a in args], **{k: _copied(v) for k, v in kwargs.items()})
        try:
            fake = op(*[on_meta(a) for a in args], **{k: on_meta(v) for k, v in kwargs.items()})
        except NotImplementedError as error:
            raise OpCheckError(str(error)) from error
    for k, (x, y) in enumerate(zip(_tensors_in([real]), _tensors_in([fake]), strict=True)):
        if x.shape != y.shape or x.dtype is not y.dtype:
            raise OpCheckError(
                f"{op._name}: output {k} is {tuple(x.shape)} of {x.dtype}, its fake {tuple(y.shape)} of {y.dtype}"
            )


_CHECKS: dict[str, Callable] = {
    "test_schema": _check_schema,
    "test_autograd_registration": _check_autograd,
    "test_faketensor": _check_fake,
}


def opcheck(
    op: CustomOpDef,
    args: tuple,
    kwargs: dict | None = None,
    *,
    test_utils: str | Sequence[str] = ("test_schema", "test_autograd_registration"),
    raise_exception: bool = True,
) -> dict[str, Any]:
    """Checks that an operation does what its registrations say, on these arguments.

    Args:
        op: the operation.
        args, kwargs: what to call it with.
        test_utils: 'test_schema' (only what `mutates_args` names changes), 'test_autograd_registration' (there is a gradient
            if an argument requires grad), 'test_faketensor' (the fake's shapes and dtypes are the true ones).
        raise_exception: raise what is wrong; else it is returned.

    Returns:
        {name of the test: 'SUCCESS' or the exception}. Whether the gradient is right :func:`gradgpu.autograd.gradcheck` tells.

    >>> import gradgpu as gg
    >>> twice = gg.library.custom_op("docs::twice", lambda x: x + x, mutates_args=())
    >>> gg.library.opcheck(twice, (gg.ones(2),))
    {'test_schema': 'SUCCESS', 'test_autograd_registration': 'SUCCESS'}
    """
    results: dict[str, Any] = {}
    for name in [test_utils] if isinstance(test_utils, str) else test_utils:
        if name not in _CHECKS:
            raise ValueError(f"opcheck: no test is named {name!r}; there are {', '.join(_CHECKS)}")
        try:
            _CHECKS[name](op, args, kwargs or {})
            results[name] = "SUCCESS"
        except Exception as error:
            if raise_exception:
                raise
            results[name] = error
    return results


# ---- pointwise ----
def pointwise(
    name: str,
    *,
    cuda: str,
    cpu: Callable,
    grad: Callable | Mapping[str, Callable] | None = None,
    result: str = "same",
) -> Callable:
    """Makes an elementwise operation, with broadcasting and type promotion, of an expression.

    On cuda the expression becomes kernels for every dtype and layout. The gradient rules are Python: on the CPU they run
    on arrays, on cuda they are called once with symbols and so write the body of one kernel for all gradients. A
    gradient made of differentiable functions can be differentiated again.

    Args:
        name: '{namespace}::{name}'. Defining it again replaces it.
        cuda: a C++ expression of the inputs' names, in which ``C`` is the type of the arithmetic (float for half types).
        cpu: numpy code of the same inputs.
        grad: {input: rule}, or the rule if there is one input: a function of ``g`` (the incoming gradient) and of any inputs and
            ``y`` (the output), by name, made of operators and of gradgpu's elementwise functions.
        result: 'same' (dtype as the inputs'), 'float' (integers give the default dtype) or 'bool'.

    Returns:
        A function of the inputs, tensors or numbers.

    Raises:
        ValueError: an operation of gradgpu itself has this name.
        TypeError: a rule asks for something that is not there.

    >>> import gradgpu as gg
    >>> squared_distance = gg.library.pointwise(
    ...     "docs::squared_distance",
    ...     cuda="(a - b) * (a - b)",
    ...     cpu=lambda a, b: (a - b) ** 2,
    ...     grad={"a": lambda g, a, b: 2 * g * (a - b), "b": lambda g, a, b: 2 * g * (b - a)},
    ... )
    >>> squared_distance(gg.tensor([1.0, 2.0]), gg.tensor([[3.0], [0.0]]))
    tensor([[4., 1.],
            [1., 4.]])
    """
    identifier = "_".join(_names(name))
    if identifier in OPS:
        raise ValueError(f"{name}: gradgpu has an operation {identifier!r} of its own; choose another name")
    try:
        op = Pointwise(identifier, cuda, cpu, grad, result=result, half="float32")
    finally:
        OPS.pop(identifier, None)  # that table is of gradgpu's own

    def checked(*arrays: Any, **attrs: Any) -> Any:
        made = cpu(*arrays, **attrs)
        if result != "bool":
            wanted = next((a.dtype for a in arrays if isinstance(a, (np.ndarray, np.generic))), None)
            if wanted is not None and made.dtype != wanted:  # np.float64 constants beside a float32 array
                made = made.astype(wanted)
        return made

    op.cpu = op.ufunc = checked
    made: Callable = op
    if not op.attributes and len(op.inputs) < 3:
        made = (unary_door if len(op.inputs) == 1 else binary_door)(op)
    return made
