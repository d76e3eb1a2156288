"""The state of a module as a dict of tensors: ``state_dict`` and ``load_state_dict``."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Mapping
from typing import Any

from ..autograd.modes import no_grad
from ..tensor import Tensor
from .parameter import Parameter, is_lazy

__all__ = ["StateDict"]


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class PostHook:
    """A hook after ``state_dict`` that changes the dict it gets and returns nothing."""

    def __init__(self, hook: Callable) -> None:
        self.hook = hook

    def __call__(self, *args: Any) -> Any:
        return self.hook(*args)


class WithoutModule:
    """A hook that is called without its first argument, the module."""

    def __init__(self, hook: Callable) -> None:
        self.hook = hook

    def __call__(self, module: Any, *args: Any) -> Any:
        return self.hook(*args)


class StateDict:
    """What :class:`Module` has for saving and loading."""

    _version: int
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _state_dict_hooks: dict[int, Any]
    _state_dict_pre_hooks: dict[int, Any]
    _load_state_dict_pre_hooks: dict[int, Any]
    _load_state_dict_post_hooks: dict[int, Any]

    def get_extra_state(self) -> Any:
        """State besides parameters and buffers; override together with ``set_extra_state``."""
        raise NotImplementedError("override get_extra_state to use it")

    def set_extra_state(self, state: Any) -> None:
        """Take back what ``get_extra_state`` gave."""
        raise NotImplementedError("override set_extra_state to use it")

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not StateDict.get_extra_state

    def state_dict(
        self,
        *args: Any,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """An ordered dict of dotted name → tensor (detached, sharing memory) with parameters and persistent buffers.

        Its attribute ``_metadata`` has the version of each module. Positional arguments are those of old programs.
        """
        if args:
            given = dict(zip(("destination", "prefix", "keep_vars"), args))
            destination = given.get("destination", destination)
            prefix, keep_vars = given.get("prefix", prefix), given.get("keep_vars", keep_vars)
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # type: ignore[attr-defined]
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in list(self._state_dict_hooks.values()):
            changed = hook(self, destination, prefix, metadata)
            if changed is not None:
                if isinstance(hook, PostHook):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = changed
        return destination

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Put this module's own entries (not its children's) into the dict; a subclass may override it."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                as_it_is = keep_vars or is_lazy(parameter)
                destination[prefix + name] = parameter if as_it_is else parameter.detach()
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buffer if keep_vars or is_lazy(buffer) else buffer.detach()
        if self._has_extra_state():
            destination[prefix + "_extra_state"] = self.get_extra_state()

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load this module's own entries (not its children's); a subclass may override it."""
        assign = local_metadata.get("assign_to_params_buffers", False)
        for hook in list(self._load_state_dict_pre_hooks.values()):
            hook(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        buffers = {k: v for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set}
        for name, mine in (*self._parameters.items(), *buffers.items()):
            if mine is None:
                continue
            key = prefix + name
            if key not in state_dict:
                missing_keys.append(key)
                continue
            given = state_dict[key]
            if not isinstance(given, Tensor):
                error_msgs.append(
                    f'While copying the parameter named "{key}", expected gradgpu.Tensor or Tensor-like object from checkpoint '
                    f"but received {type(given)}"
                )
                continue
            if is_lazy(mine):
                if is_lazy(given):
                    continue
                mine.materialize(given.shape)
            elif not is_lazy(given) and not mine.ndim and given.shape == (1,):
                given = given[0]  # as very old files have numbers
            if tuple(given.shape) != tuple(mine.shape):
                error_msgs.append(
                    f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, "
                    f"the shape in current model is {mine.shape}."
                )
                continue
            with no_grad():
                if not assign:
                    if mine.is_meta and not given.is_meta:
                        warnings.warn(
                            f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the current "
                            "model, which is a no-op. (Did you mean to pass `assign=True` to assign items in the state dictionary "
                            "to their corresponding key in the module instead of copying them in place?)",
                            stacklevel=4,
                        )
                    mine.copy_(given)
                elif name in self._parameters:
                    given = (
                        given
                        if isinstance(given, Parameter)
                        else Parameter(given, requires_grad=mine.requires_grad)
                    )
                    self._parameters[name] = given
                else:
                    self._buffers[name] = given
        if self._has_extra_state():
            if prefix + "_extra_state" in state_dict:
                self.set_extra_state(state_dict[prefix + "_extra_state"])
            else:
                missing_keys.append(prefix + "_extra_state")
        for key in state_dict if strict else ():
            if key.startswith(prefix) and key != prefix + "_extra_state":
                head, *tail = key[len(prefix) :].split(".", 1)
                known = head in self._modules if tail else head in self._parameters or head in buffers
                if not known:
                    unexpected_keys.append(key)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy parameters and buffers from a state dict.

        Args:
            state_dict: what ``state_dict()`` gave, from any device.
            strict: raise where a key is missing or not known.
            assign: use the given tensors themselves instead of copying their values.

        Returns:
            A named tuple ``(missing_keys, unexpected_keys)``.

        Raises:
            RuntimeError: a shape differs, or (strict) keys do not match; names every key.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []

        versions = getattr(state_dict, "_metadata", None)
        state_dict = OrderedDict(state_dict)  # hooks may change it
        if versions is not None:
            state_dict._metadata = versions  # type: ignore[attr-defined]

        def load(module: Any, prefix: str) -> None:
            metadata = {} if versions is None else dict(versions.get(prefix[:-1], {}))
            if assign:
                metadata["assign_to_params_buffers"] = True
            # Names that nobody knows are always collected; `strict` says whether they are an error.
            module._load_from_state_dict(state_dict, prefix, metadata, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    load(child, f"{prefix}{name}.")
            for hook in list(module._load_state_dict_post_hooks.values()):
                hook(module, _IncompatibleKeys(missing, unexpected))

        load(self, "")
        for kind, keys in (("Unexpected", unexpected), ("Missing", missing)) if strict else ():
            if keys:
                errors.insert(
                    0, "{} key(s) in state_dict: {}. ".format(kind, ", ".join(f'"{k}"' for k in keys))
                )
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(
                    type(self).__name__, "\n\t".join(errors)
                )
            )
        return _IncompatibleKeys(missing, unexpected)
