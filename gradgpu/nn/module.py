"""nn.Module: a net as a tree of modules that own parameters, buffers and other modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..autograd.modes import no_grad
from ..autograd.node import RemovableHandle
from ..devices import device as Device
from ..tensor import Tensor
from .hooks import call_with_hooks
from .parameter import Buffer, Parameter
from .state import PostHook, StateDict, WithoutModule
from .state import _IncompatibleKeys as _IncompatibleKeys

__all__ = ["Module"]


def _indent(text: str, spaces: int) -> str:
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * spaces + line for line in rest)])


_addindent = _indent  # what layers of one's own import for their repr


def parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
    """Device, dtype, `non_blocking` and memory format (None) of the arguments of `to`.

    >>> import gradgpu as gg
    >>> parse_to("cpu", gg.float64)
    (device(type='cpu'), gradgpu.float64, False, None)
    """
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    non_blocking = bool(kwargs.pop("non_blocking", False))
    kwargs.pop("memory_format", None)
    other = kwargs.pop("tensor", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    for arg in args:
        if isinstance(arg, Tensor):
            other = arg
        elif isinstance(arg, (str, int, Device)) and not isinstance(arg, bool):
            device = arg
        elif isinstance(arg, bool):
            non_blocking = arg
        elif arg is None:
            continue
        else:
            dtype = arg
    if other is not None:
        device, dtype = other.device, other.dtype
    if device is not None:
        device = Device("cuda", device) if isinstance(device, int) else Device(device)
    return device, dtype, non_blocking, None


class Module(StateDict):
    """Base class of every layer and net (PyTorch's ``torch.nn.Module``).

    A subclass assigns layers and :class:`Parameter` s to ``self`` in ``__init__`` (after
    ``super().__init__()``) and computes in ``forward``. Calling the module runs ``forward`` and the hooks.

    Example:
        >>> import gradgpu as gg
        >>> class Net(gg.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.hidden = gg.nn.Linear(4, 8)
        ...         self.out = gg.nn.Linear(8, 2)
        ...     def forward(self, x):
        ...         return self.out(self.hidden(x).relu())
        >>> Net()(gg.zeros(3, 4)).shape
        gradgpu.Size([3, 2])
    """

    training: bool
    _version = 1
    _has_hooks = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:
            raise TypeError(
                f"{type(self).__name__}.__init__() got unexpected arguments: {args or ''} {kwargs or ''}"
            )
        # Straight into __dict__: __setattr__ below needs these tables to exist.
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _non_persistent_buffers_set=set(),
            _modules={},
            _forward_pre_hooks={},
            _forward_pre_hooks_with_kwargs=set(),
            _forward_hooks={},
            _forward_hooks_with_kwargs=set(),
            _forward_hooks_always_called=set(),
            _backward_pre_hooks={},
            _backward_hooks={},
            _state_dict_hooks={},
            _state_dict_pre_hooks={},
            _load_state_dict_pre_hooks={},
            _load_state_dict_post_hooks={},
        )

    # ---- calling ----
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation; every subclass defines it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._has_hooks:
            return call_with_hooks(self, args, kwargs)
        return self.forward(*args, **kwargs)

    # ---- attributes: parameters, buffers and modules live in their own tables ----
    def __getattr__(self, name: str) -> Any:
        tables = self.__dict__
        # The usual first: this is on the path of every forward.
        for table in ("_modules", "_parameters", "_buffers"):
            if table in tables:
                entries = tables[table]
                if name in entries:
                    return entries[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, (Parameter, Module)):
            kind, mine = (
                ("parameter", "_parameters") if isinstance(value, Parameter) else ("module", "_modules")
            )
            if mine not in own:
                raise AttributeError(
                    f"cannot assign {kind} '{name}' before Module.__init__() call: call super().__init__() first"
                )
            own.pop(name, None)
            for table in {"_parameters", "_buffers", "_modules"} - {mine}:
                own[table].pop(name, None)
            own["_non_persistent_buffers_set"].discard(name)
            own[mine][name] = value
            return
        parameters = own.get("_parameters")
        if parameters is not None:
            if name in parameters:
                if value is not None:
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as parameter '{name}' (gradgpu.nn.Parameter or None expected); "
                        f"wrap it: nn.Parameter(value), or change the values under no_grad: {name}.copy_(value)"
                    )
                parameters[name] = None
                return
            if isinstance(value, Buffer) and name not in own["_buffers"]:
                self.register_buffer(name, value, value.persistent)
                return
            if name in own["_modules"]:
                if value is not None:
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as child module '{name}' (gradgpu.nn.Module or None expected)"
                    )
                own["_modules"][name] = None
                return
            if name in own["_buffers"]:
                if value is not None and not isinstance(value, Tensor):
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as buffer '{name}' (gradgpu.nn.Buffer, gradgpu.Tensor or None expected)"
                    )
                own["_buffers"][name] = value
                return
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _check_name(self, kind: str, name: str, table: Mapping[str, Any]) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in table:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None reserves the name (``state_dict`` leaves it out)."""
        self._check_name("parameter", name, self.__dict__.get("_parameters", {}))
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' (gradgpu.nn.Parameter or None required)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created explicitly; to express "
                f"'{name}' as a function of another Tensor, compute the value in the forward() method."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is part of the state and moves with the module, but is not trained.

        ``persistent=False`` leaves it out of ``state_dict``.
        """
        self._check_name("buffer", name, self.__dict__.get("_buffers", {}))
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (gradgpu Tensor or None required)"
            )
        self._buffers[name] = tensor
        (self._non_persistent_buffers_set.discard if persistent else self._non_persistent_buffers_set.add)(
            name
        )

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name("module", name, self.__dict__.get("_modules", {}))
        self._modules[name] = module

    register_module = add_module

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path, ``net.get_submodule('block.0.conv')``."""
        module = self
        for name in target.split(".") if target else ():
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = child
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Replace the module at a dotted path, ``net.set_submodule('block.0.conv', conv)``.

        It may be a new name below a module that is there, unless ``strict``.
        """
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not a Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        if strict and name not in owner._modules:
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}`")
        if hasattr(owner, name) and name not in owner._modules:
            raise AttributeError(f"`{name}` is not a Module")
        owner._modules[name] = module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        parameter = module._parameters.get(name)
        if parameter is None:
            raise AttributeError(f"{type(module).__name__} has no parameter `{name}`")
        return parameter

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        buffer = module._buffers.get(name)
        if buffer is None:
            raise AttributeError(f"{type(module).__name__} has no buffer `{name}`")
        return buffer

    # ---- walking the tree ----
    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module and every one below it; a shared module once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and every one below it; a shared module once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct children."""
        seen = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children."""
        for _, child in self.named_children():
            yield child

    def _named_members(
        self,
        get_members_fn: Callable[[Module], Any],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        """(dotted name, value) of what `get_members_fn` gives as (name, value) for this module and those in it."""
        seen: set[int] = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in get_members_fn(module):
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter); a shared parameter once."""
        return self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter, as an optimiser takes them."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer)."""
        return self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def apply(self, fn: Callable[[Module], None]) -> Module:
        """Call ``fn`` on every module, children first; returns self."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # ---- mode ----
    def train(self, mode: bool = True) -> Module:
        """Training mode (dropout drops, batch norm uses the batch) here and below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Module:
        """Evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Freeze or unfreeze every parameter."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of every parameter (``set_to_none=False`` fills them with zeros)."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = parameter.grad.detach()
                    parameter.grad.zero_()

    # ---- device and dtype ----
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Module:
        """Replace the data of every parameter, gradient and buffer by ``fn`` of it.

        The Parameter objects stay the same, so an optimiser that holds them goes on working.
        """
        if recurse:
            for child in self.children():
                child._apply(fn)
        with no_grad():
            for parameter in self._parameters.values():
                if parameter is None:
                    continue
                grad = parameter.grad
                parameter.grad = None
                parameter.data = fn(parameter.data)
                if grad is not None:
                    parameter.grad = fn(grad.detach())
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Module:
        """Move to a device and/or cast floating parameters and buffers: ``to(device)``, ``to(dtype)``,
        ``to(device, dtype)``, ``to(other_tensor)``. In place; returns self. ``non_blocking`` as for ``Tensor.to``."""
        device, dtype, non_blocking, _ = parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(t: Tensor) -> Tensor:
            wanted: dict[str, Any] = (
                {} if device is None else {"device": device, "non_blocking": non_blocking}
            )
            if dtype is not None and (t.dtype.is_floating_point or t.dtype.is_complex):
                wanted["dtype"] = dtype
            return t.to(**wanted) if wanted else t

        return self._apply(convert)

    def cpu(self) -> Module:
        """Move to the CPU."""
        return self.to(device="cpu")

    def cuda(self, device: Any = None) -> Module:
        """Move to the current (or given) GPU."""
        return self.to(
            device="cuda" if device is None else Device("cuda", device) if isinstance(device, int) else device
        )

    def type(self, dst_type: Any) -> Module:
        """Cast every parameter and buffer to a dtype."""
        return self._apply(lambda t: t.to(dst_type))

    def _cast(self, name: str) -> Module:
        return self._apply(lambda t: getattr(t, name)() if t.dtype.is_floating_point else t)

    def float(self) -> Module:
        """Cast floating parameters and buffers to float32."""
        return self._cast("float")

    def double(self) -> Module:
        """Cast floating parameters and buffers to float64."""
        return self._cast("double")

    def half(self) -> Module:
        """Cast floating parameters and buffers to float16."""
        return self._cast("half")

    def bfloat16(self) -> Module:
        """Cast floating parameters and buffers to bfloat16."""
        return self._cast("bfloat16")

    def to_empty(self, *, device: Any, recurse: bool = True) -> Module:
        """Move to a device without copying the values (they are then arbitrary: initialise them)."""
        from ..ops.creation import empty_like

        return self._apply(lambda t: empty_like(t, device=device), recurse=recurse)

    def compile(self, **options: Any) -> None:
        """Changes nothing, with a warning; see `gradgpu.compile`."""
        from ..settings import compile

        compile(self, **options)

    def share_memory(self) -> Module:
        """Moves parameters and buffers to memory that processes started by 'fork' share; see `Tensor.share_memory_`."""
        return self._apply(lambda t: t.share_memory_())

    # ---- text and copies ----
    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A module of an older version or of PyTorch may lack a table, or have hooks without saying so.
        if "_parameters" not in self.__dict__:
            Module.__init__(self)
        self.__dict__.update(state)
        if any(hooks for name, hooks in self.__dict__.items() if name.endswith("_hooks")):
            self.__dict__["_has_hooks"] = True

    # ---- hooks ----
    def _add_hook(
        self, table: str, hook: Callable, prepend: bool = False, flags: str | None = None
    ) -> RemovableHandle:
        hooks = self.__dict__[table]
        handle = RemovableHandle(hooks, hook)
        if prepend:
            later = {key: value for key, value in hooks.items() if key != handle.id}
            for key, value in later.items():
                del hooks[key]
                hooks[key] = value
        if flags is not None:
            self.__dict__[flags].add(handle.id)
        self.__dict__["_has_hooks"] = True
        return handle

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """``hook(module, args)`` before forward; it may return new args. ``with_kwargs``: ``hook(module, args, kwargs)``."""
        flags = "_forward_pre_hooks_with_kwargs" if with_kwargs else None
        return self._add_hook("_forward_pre_hooks", hook, prepend, flags)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """``hook(module, args, output)`` after forward; it may return a new output.

        ``always_call``: also, with output None, where forward raises.
        """
        flags = "_forward_hooks_with_kwargs" if with_kwargs else None
        handle = self._add_hook("_forward_hooks", hook, prepend, flags)
        if always_call:
            self._forward_hooks_always_called.add(handle.id)
        return handle

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(module, grad_output)`` before the module's backward; it may return a new grad_output."""
        return self._add_hook("_backward_pre_hooks", hook, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(module, grad_input, grad_output)`` after the module's backward; it may return a new grad_input."""
        return self._add_hook("_backward_hooks", hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, state_dict, prefix, local_metadata)`` after this module's ``state_dict``; it changes the dict in place."""
        return self._add_hook("_state_dict_hooks", PostHook(hook))

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """The older form, whose hook may return another dict."""
        return self._add_hook("_state_dict_hooks", hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, prefix, keep_vars)`` before this module's ``state_dict``."""
        return self._add_hook("_state_dict_pre_hooks", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)`` before loading."""
        return self._add_hook("_load_state_dict_pre_hooks", hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable, with_module: bool = False
    ) -> RemovableHandle:
        """The older form, whose hook gets no module unless ``with_module``."""
        return self.register_load_state_dict_pre_hook(hook if with_module else WithoutModule(hook))

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(module, incompatible_keys)`` after loading."""
        return self._add_hook("_load_state_dict_post_hooks", hook)

    # ---- text ----
    def extra_repr(self) -> str:
        """What stands between the parentheses of this module in ``repr``."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        children = [f"({name}): {_indent(repr(child), 2)}" for name, child in self._modules.items()]
        lines = extra_lines + children
        if not lines:
            return f"{self._get_name()}()"
        if len(extra_lines) == 1 and not children:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


def _global_hook(table: str, hook: Callable, flags: dict[str, bool]) -> RemovableHandle:
    """Adds a hook of all modules, and lets every module look for hooks as long as there is one."""
    from .hooks import GLOBAL

    handle = _GlobalHandle(GLOBAL[table], (hook, flags))
    Module._has_hooks = True
    return handle


class _GlobalHandle(RemovableHandle):
    def remove(self) -> None:
        from .hooks import GLOBAL

        super().remove()
        Module._has_hooks = any(GLOBAL.values())


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``hook(module, args)`` before the forward of every module; for debugging and profiling."""
    return _global_hook("forward_pre", hook, {})


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """``hook(module, args, output)`` after the forward of every module, before its own hooks."""
    return _global_hook("forward", hook, {"with_kwargs": with_kwargs, "always_call": always_call})


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``hook(module, grad_output)`` before the backward of every module."""
    return _global_hook("backward_pre", hook, {})


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """``hook(module, grad_input, grad_output)`` after the backward of every module."""
    return _global_hook("backward", hook, {})


register_module_backward_hook = register_module_full_backward_hook


def parameters_of(tensors: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """A list from what optimisers and clip functions take: one tensor or any iterable of tensors."""
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)
