"""What scripts ask of `torch.jit`: gradgpu has no compiler, so a scripted function or module is the function or module itself.

TorchScript computes what the Python computes, so `script` and `trace` change no result here. Files of TorchScript are neither
written nor read: `gradgpu.save(model.state_dict(), file)` keeps a model.
"""

from __future__ import annotations

import warnings
from typing import Any, NoReturn

__all__ = [
    "annotate", "export", "freeze", "ignore", "is_scripting", "is_tracing", "load", "optimize_for_inference", "save", "script",
    "script_method", "trace", "unused",
]  # fmt: skip


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
