"""Utilities around training; :mod:`gradgpu.utils.data` feeds it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import data as data

_LATER = (
    "backcompat",
    "benchmark",
    "checkpoint",
    "collect_env",
    "cpp_extension",
    "data",
    "dlpack",
    "hooks",
    "model_zoo",
)  # modules that are imported when they are asked for


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def swap_tensors(t1: Any, t2: Any) -> None:
    """Makes each of two tensors what the other was: values, gradient, history, attributes and class.

    Raises:
        RuntimeError: one of them has weak references to it.

    >>> import gradgpu as gg
    >>> a, b = gg.ones(1), gg.zeros(2)
    >>> gg.utils.swap_tensors(a, b)
    >>> a, b
    (tensor([0., 0.]), tensor([1.]))
    """
    import weakref

    for name, t in (("t1", t1), ("t2", t2)):
        if weakref.getweakrefcount(t):
            raise RuntimeError(f"Cannot swap {name} because it has weakref associated with it")
    t1.__class__, t2.__class__ = t2.__class__, t1.__class__
    for slot in ("_a", "_edge", "_grad", "_cell"):
        first, second = getattr(t1, slot), getattr(t2, slot)
        setattr(t1, slot, second)
        setattr(t2, slot, first)
    t1.__dict__, t2.__dict__ = t2.__dict__, t1.__dict__
