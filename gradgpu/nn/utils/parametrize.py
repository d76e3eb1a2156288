"""Parametrizations: a parameter as a function of other parameters, computed each time it is read.

`register_parametrization` moves a parameter below `module.parametrizations` and puts a property in its place. The
module's class becomes a subclass of its own, made for it, that has the property.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ...autograd.modes import no_grad
from ...tensor import Tensor
from ..layers.container import ModuleDict, ModuleList
from ..module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]


class _Cache(threading.local):
    def __init__(self) -> None:
        self.depth = 0  # blocks of `cached` that this thread is in
        self.known: dict[tuple[int, str], Any] = {}  # by module and name


_cache = _Cache()


@contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrized tensor is computed once, at its first use by this thread.

    For parameters that are read many times a step, as the weights of a recurrent cell. Do not change parameters inside.

    >>> import gradgpu as gg
    >>> from gradgpu.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(gg.nn.Linear(2, 2))
    >>> with parametrize.cached():
    ...     layer.weight is layer.weight
    True
    """
    _cache.depth += 1
    try:
        yield
    finally:
        _cache.depth -= 1
        if not _cache.depth:
            _cache.known.clear()


class ParametrizationList(ModuleList):
    """The original tensors of one parametrized tensor, and the modules that make it from them, one after the other.

    The first module may have a `right_inverse` that returns one tensor (kept as `original`) or a sequence of them
    (`original0`, `original1`, …, passed to `forward` as arguments); without it the tensor itself is the original.
    """

    def __init__(self, modules: Sequence[Module], original: Tensor, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype = original.shape, original.dtype
        with no_grad():
            new: Any = original
            for module in reversed(modules):
                if hasattr(module, "right_inverse"):
                    with suppress(
                        NotImplementedError
                    ):  # it cannot be assigned, but it can start from any numbers
                        new = module.right_inverse(new)
        single = isinstance(new, Tensor)
        if not single and not isinstance(new, (tuple, list)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                f"Got {type(new).__name__}"
            )
        self.is_tensor = single
        self.ntensors = 1 if self.is_tensor else len(new)
        learned = isinstance(original, Parameter)
        if single:
            if new.dtype is not original.dtype:
                raise ValueError(
                    "When `right_inverse` outputs one tensor, it may not change the dtype.\n"
                    f"original.dtype: {original.dtype}\nright_inverse(original).dtype: {new.dtype}"
                )
            if new is not original:
                with no_grad():
                    original.data = new.detach()  # the object stays: an optimiser may hold it
            self._keep("original", original)
        else:
            for i, tensor in enumerate(new):
                if not isinstance(tensor, Tensor):
                    raise ValueError(
                        "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                        f"Got element {i} of the sequence with type {type(tensor).__name__}."
                    )
                value = Parameter(tensor.detach(), original.requires_grad) if learned else tensor
                self._keep(f"original{i}", value)
        if not unsafe:
            made = self()
            if not isinstance(made, Tensor):
                raise ValueError(f"A parametrization must return a tensor. Got {type(made).__name__}.")
            if made.dtype is not dtype or made.shape != shape:
                raise ValueError(
                    "Registering a parametrization may not change the dtype or shape of the tensor, unless `unsafe` flag "
                    f"is enabled.\nunparametrized: {dtype}, {tuple(shape)}\nparametrized: {made.dtype}, {tuple(made.shape)}"
                )

    def _keep(self, name: str, tensor: Tensor) -> None:
        if isinstance(tensor, Parameter):
            self.register_parameter(name, tensor)
        else:
            self.register_buffer(name, tensor)

    def _originals(self) -> list[Tensor]:
        return (
            [self.original]
            if self.is_tensor
            else [getattr(self, f"original{i}") for i in range(self.ntensors)]
        )

    def right_inverse(self, value: Tensor) -> None:
        """Gives the originals the values from which the modules make `value`, in place; what assignment calls."""
        with no_grad():
            made: Any = value
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement right_inverse; without it the tensor "
                        "cannot be assigned"
                    )
                made = module.right_inverse(made)
            for original, new in zip(self._originals(), [made] if self.is_tensor else made, strict=True):
                if new.dtype is not original.dtype:
                    raise ValueError(
                        f"The tensor returned by right_inverse has dtype {new.dtype} while the original has dtype {original.dtype}"
                    )
                original.data = new.detach()

    def forward(self) -> Tensor:
        modules = list(self)
        x = modules[0](*self._originals())
        for module in modules[1:]:
            x = module(x)
        return x


def _property(name: str) -> property:
    def read(self: Any) -> Tensor:
        if not _cache.depth:
            return self.parametrizations[name]()
        key = (id(self), name)
        found = _cache.known.get(key)
        if found is None:
            found = _cache.known[key] = self.parametrizations[name]()
        return found

    def write(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(read, write)


def _set_attribute(self: Any, name: str, value: Any) -> None:
    # Also a Parameter goes through the property, not into the table of parameters.
    if isinstance(type(self).__dict__.get(name), property):
        object.__setattr__(self, name, value)
    else:
        Module.__setattr__(self, name, value)


def _deepcopy(self: Any, memo: dict) -> Any:
    made = memo[id(self)] = object.__new__(type(self))
    made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return made


def _getstate(self: Any) -> Any:
    raise RuntimeError(
        "Serialization of parametrized modules is only supported through state_dict(): their class is made at run time"
    )


def _set_class(module: Module) -> None:
    """The class with a property for each parametrized tensor of the module, or the class it had."""
    base = type_before_parametrizations(module)
    names = list(module.parametrizations) if "parametrizations" in module._modules else []
    if not names:
        module.__class__ = base
        return
    body: dict[str, Any] = {name: _property(name) for name in names}
    body.update(
        __setattr__=_set_attribute, __deepcopy__=_deepcopy, __getstate__=_getstate, __doc__=base.__doc__
    )
    module.__class__ = type(f"Parametrized{base.__name__}", (base,), body)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module, or its tensor of that name, is parametrized."""
    lists = module._modules.get("parametrizations")
    if not isinstance(lists, ModuleDict):
        return False
    return len(lists) > 0 if tensor_name is None else tensor_name in lists


def type_before_parametrizations(module: Module) -> type:
    """The module's class without its parametrizations."""
    cls = type(module)
    return cls.__bases__[0] if cls.__dict__.get("__setattr__") is _set_attribute else cls


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """From now on `module.tensor_name` is `parametrization(original)`, computed at each reading.

    A second parametrization of the same tensor is applied to the result of the first. Where the parametrization has
    `right_inverse`, the original becomes `right_inverse(tensor)`, so that the value changes as little as it can, and
    `module.tensor_name = value` works.

    Args:
        module: the layer.
        tensor_name: its parameter or buffer.
        parametrization: a module from the original(s) to the tensor.
        unsafe: it may change shape and dtype; nothing is checked.

    Raises:
        ValueError: there is no such tensor, or shape or dtype would change.

    >>> import gradgpu as gg
    >>> class Symmetric(gg.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).t()
    >>> layer = gg.nn.Linear(3, 3)
    >>> _ = gg.nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.t()).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        lists = module.parametrizations[tensor_name]
        if not unsafe:
            with no_grad():
                before = getattr(module, tensor_name)
                after = parametrization(before)
            if not isinstance(after, Tensor):
                raise ValueError(f"A parametrization must return a tensor. Got {type(after).__name__}.")
            if after.dtype is not before.dtype or after.shape != before.shape:
                raise ValueError(
                    "Registering a parametrization may not change the dtype or shape of the tensor, unless the `unsafe` flag "
                    f"is enabled.\nmodule.{tensor_name}: {before.dtype}, {tuple(before.shape)}\n"
                    f"parametrization(module.{tensor_name}): {after.dtype}, {tuple(after.shape)}"
                )
            if hasattr(parametrization, "right_inverse"):
                back = parametrization.right_inverse(after)
                if (
                    not isinstance(back, Tensor)
                    or back.shape != before.shape
                    or back.dtype is not before.dtype
                ):
                    raise ValueError(
                        "parametrization.right_inverse must return a tensor of the shape and dtype of the tensor when it is "
                        "not the first parametrization, unless the `unsafe` flag is enabled"
                    )
        lists.append(parametrization)
        lists.unsafe |= unsafe
        return module
    if tensor_name not in module._parameters and tensor_name not in module._buffers:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name '{tensor_name}'"
        )
    original = getattr(module, tensor_name)
    made = ParametrizationList([parametrization], original, unsafe=unsafe)
    delattr(module, tensor_name)
    if "parametrizations" not in module._modules:
        module.parametrizations = ModuleDict()
    module.parametrizations[tensor_name] = made
    _set_class(module)
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Makes a parametrized tensor an ordinary parameter (or buffer) again.

    Args:
        module: the layer.
        tensor_name: its parametrized tensor.
        leave_parametrized: keep the value it has; otherwise that of the original, if there is one only.

    Raises:
        ValueError: it is not parametrized, or `leave_parametrized=False` with several originals.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    lists = module.parametrizations[tensor_name]
    if lists.is_tensor:
        original = lists.original
        if leave_parametrized:
            with no_grad():
                original.data = getattr(module, tensor_name).detach()
    else:
        if not leave_parametrized:
            raise ValueError(
                "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms of a sequence of tensors."
            )
        value = getattr(module, tensor_name).detach()
        learned = isinstance(lists.original0, Parameter)
        original = Parameter(value) if learned else value
    del module.parametrizations[tensor_name]
    if not len(module.parametrizations):
        base = type_before_parametrizations(module)
        del module._modules["parametrizations"]
        module.__class__ = base
    else:
        _set_class(module)
    if isinstance(original, Parameter):
        module.register_parameter(tensor_name, original)
    else:
        module.register_buffer(tensor_name, original)
    return module


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Gives `to_module` the parametrizations of `from_module` (all, or those of one tensor) and their originals."""
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        source = from_module.parametrizations[name]
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
        for parametrization in source:
            register_parametrization(to_module, name, parametrization, unsafe=True)
        with no_grad():
            for mine, theirs in zip(
                to_module.parametrizations[name]._originals(), source._originals(), strict=True
            ):
                mine.data = theirs.detach().clone()
    return to_module
