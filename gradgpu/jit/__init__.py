"""What scripts ask of `torch.jit`: gradgpu has no compiler, so a scripted function or module is the function or module itself.

TorchScript computes what the Python computes, so `script` and `trace` change no result here. Files of TorchScript are neither
written nor read: `gradgpu.save(model.state_dict(), file)` keeps a model.
"""

import builtins
import warnings
from types import UnionType
from typing import Any, Final, NamedTuple, NoReturn, Union, get_args, get_origin

from ..nn.module import Module

__all__ = [
    "Attribute", "Error", "Final", "Future", "ScriptFunction", "ScriptModule", "annotate", "export", "fork", "freeze", "ignore", "interface",
    "is_scripting", "is_tracing", "isinstance", "load", "optimize_for_inference", "save", "script", "script_if_tracing", "script_method",
    "trace", "trace_module", "unused",
    "wait",
]  # fmt: skip


class ScriptModule(Module):
    """A module whose methods are marked with `script_method`: it runs as any other."""


class ScriptFunction:
    """What PyTorch's compiler makes of a function. There are none here: `script` and `trace` return what they were given."""

    def __init__(self) -> None:
        raise RuntimeError("jit.ScriptFunction: gradgpu has no compiler; call the Python function")


class Attribute(NamedTuple):
    """A value with a type for a compiler."""

    value: Any
    type: Any


class Future:
    """What `fork` returns: the result, which is there already."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def done(self) -> bool:
        """True."""
        return True

    def value(self) -> Any:
        """The result."""
        return self._value

    wait = value


def fork(func: Any, *args: Any, **kwargs: Any) -> Future:
    """Calls the function at once: `wait` gets its result.

    >>> import gradgpu as gg
    >>> gg.jit.wait(gg.jit.fork(gg.add, gg.tensor([1.]), 2))
    tensor([3.])
    """
    return Future(func(*args, **kwargs))


def wait(future: Future) -> Any:
    """The result of a `fork`."""
    return future.value()


def interface(obj: Any) -> Any:
    """The class as it is."""
    return obj


def isinstance(obj: Any, target_type: Any) -> bool:
    """Whether `obj` has the type, which may be a container of types: ``list[int]``, ``dict[str, Tensor]``, ``int | None``.

    >>> import gradgpu as gg
    >>> gg.jit.isinstance([1, 2], list[int]), gg.jit.isinstance([1, None], list[int])
    (True, False)
    """
    if builtins.isinstance(target_type, tuple):
        return any(isinstance(obj, each) for each in target_type)
    origin, inner = get_origin(target_type), get_args(target_type)
    if origin is None:
        return target_type is Any or builtins.isinstance(obj, target_type or type(None))
    if origin in (Union, UnionType):
        return any(isinstance(obj, each) for each in inner)
    if not builtins.isinstance(obj, origin):
        return False
    if origin is dict:
        return all(isinstance(k, inner[0]) and isinstance(v, inner[1]) for k, v in obj.items())
    if origin is tuple and inner[-1:] != (Ellipsis,):
        return len(obj) == len(inner) and all(map(isinstance, obj, inner))
    return all(isinstance(each, inner[0]) for each in obj)


def _as_it_is(name: str) -> None:
    warnings.warn(f"jit.{name}: gradgpu has no compiler; what you gave runs as it is", stacklevel=3)


def script(
    obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None
) -> Any:
    """`obj`, a function, class or module, as it is, with a warning. Also a decorator.

    >>> import warnings, gradgpu as gg
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     double = gg.jit.script(lambda x: 2 * x)
    >>> double(gg.tensor([1.]))
    tensor([2.])
    """
    _as_it_is("script")
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **options: Any) -> Any:
    """`func`, a function or module, as it is, with a warning: its Python runs at each call, branches and all."""
    _as_it_is("trace")
    return func


def script_method(fn: Any) -> Any:
    """The method as it is."""
    return fn


def export(fn: Any) -> Any:
    """The method as it is."""
    return fn


def unused(fn: Any) -> Any:
    """The method as it is."""
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The method as it is; with or without an argument, as PyTorch's."""
    return drop if callable(drop) else lambda fn: fn


def annotate(the_type: Any, the_value: Any) -> Any:
    """`the_value`: the type is for a compiler.

    >>> import gradgpu as gg
    >>> gg.jit.annotate(list, [])
    []
    """
    return the_value


def script_if_tracing(fn: Any) -> Any:
    """The function as it is: nothing traces."""
    return fn


def trace_module(mod: Any, inputs: Any, *args: Any, **options: Any) -> Any:
    """`mod` as it is, with a warning: its Python runs at each call."""
    _as_it_is("trace_module")
    return mod


def _unwrap_optional(x: Any) -> Any:
    """`x`, which must not be None."""
    if x is None:
        raise AssertionError("Unwrapping null optional")
    return x


class TracerWarning(Warning):
    """What PyTorch warns of while it traces: never, here. Scripts filter it."""

    @staticmethod
    def ignore_lib_warnings() -> None:
        """Nothing: there are none."""


class Error(RuntimeError):
    """What PyTorch's compiler raises: never, here. Scripts catch it."""


def freeze(mod: Any, preserved_attrs: Any = None, optimize_numerics: bool = True) -> Any:
    """The module as it is. Raises RuntimeError if it is training, as PyTorch's does."""
    if mod.training:
        raise RuntimeError(
            "jit.freeze: Freezing is currently only implemented for modules in eval mode. Please call .eval() on "
            "your module before freezing."
        )
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """The module as it is."""
    return mod


def is_scripting() -> bool:
    """False: the Python runs."""
    return False


def is_tracing() -> bool:
    """False: the Python runs."""
    return False


def save(m: Any, f: Any, _extra_files: Any = None) -> NoReturn:
    """Raises RuntimeError: gradgpu writes no TorchScript."""
    raise RuntimeError(
        "jit.save: gradgpu writes no TorchScript; keep the model with save(model.state_dict(), f)"
    )


def load(
    f: Any, map_location: Any = None, _extra_files: Any = None, _restore_shapes: bool = False
) -> NoReturn:
    """Raises RuntimeError: gradgpu reads no TorchScript."""
    raise RuntimeError(
        "jit.load: gradgpu reads no TorchScript; save model.state_dict() where it was made, and load that"
    )


_fork, _wait, _overload_method, _script_if_tracing = fork, wait, script_method, script_if_tracing

from . import annotations  # noqa: E402  (it needs the names above)
