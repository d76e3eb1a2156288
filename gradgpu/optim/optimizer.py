"""Optimizer: parameter groups, state, and the rules that every optimiser shares."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import chain
from typing import Any

from ..autograd.modes import enable_grad, set_recording, state
from ..autograd.node import RemovableHandle
from ..tensor import Tensor

__all__ = ["Optimizer"]


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


def _is_own(cls: type) -> bool:
    return cls.__module__.startswith(__package__ + ".")


def _with_hooks(step: Callable) -> Callable:
    """The `step` of an optimiser that programs define, with the hooks around it (once, if it calls another's that has them)."""

    @wraps(step)
    def hooked(self: Any, *args: Any, **kwargs: Any) -> Any:
        known = self.__dict__
        before, after = (
            known.get("_pre_hooks"),
            known.get("_post_hooks"),
        )  # missing without Optimizer.__init__
        if not before and not after or known.get("_stepping"):
            return step(self, *args, **kwargs)
        self._stepping = True
        try:
            for hook in [*before.values()]:
                hook(self, args, kwargs)
            result = step(self, *args, **kwargs)
            for hook in [*after.values()]:
                hook(self, args, kwargs)
        finally:
            del self._stepping
        return result

    hooked.runs_hooks = True  # type: ignore[attr-defined]
    return hooked


class Optimizer:
    """Base class of all optimisers (PyTorch's ``torch.optim.Optimizer``).

    Args:
        params: tensors, (name, tensor) pairs, or dicts that define parameter groups with own options.
        defaults: the options of groups that do not give them.

    Attributes:
        param_groups: a list of dicts, each with 'params' and the options; change ``group['lr']`` at will.
        state: what the optimiser remembers of each parameter.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if isinstance(params, Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, but got a Tensor; "
                "put it into a list: [x]"
            )
        self.defaults = defaults
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._init_hooks()
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Of the library's own optimisers `step` is the one below, which runs the hooks, also when a subclass calls it.
        if cls._step_group is Optimizer._step_group and "step" in cls.__dict__ and not _is_own(cls):
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def _init_hooks(self) -> None:
        self._pre_hooks: dict[int, Callable] = {}
        self._post_hooks: dict[int, Callable] = {}
        self._state_dict_hooks: dict[str, dict[int, Callable]] = {
            kind: {} for kind in ("save before", "save after", "load before", "load after")
        }

    # ---- groups ----
    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, for instance layers that are unfrozen later."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError(
                "optimizer parameters need to be organized in ordered collections, but the ordering of tensors in sets "
                "will change between runs. Please use a list instead."
            )
        params = [params] if isinstance(params, Tensor) else list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names:
            if len(names) != len(params):
                raise ValueError(
                    "all optimizer params should be with/without names. Some param names are missing"
                )
            param_group["param_names"] = names
            params = [p for _, p in params]
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(
                    f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}"
                )
            if not (p.is_leaf or self.defaults.get("differentiable")):
                raise ValueError(
                    "can't optimize a non-leaf Tensor: give the optimiser the leaves it was computed from"
                )
        param_group["params"] = params
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(
                    f"parameter group didn't specify a value of required optimization parameter {name}"
                )
            param_group.setdefault(name, default)
        if len({id(p) for p in params}) != len(params):
            warnings.warn(
                "optimizer contains a parameter group with duplicate parameters: each of them is changed once a step "
                "(PyTorch: as often as it is given)",
                stacklevel=3,
            )
            first = {id(p): i for i, p in reversed(list(enumerate(params)))}
            for key in ("params", "param_names") if names else ("params",):
                param_group[key] = [param_group[key][i] for i in sorted(first.values())]
            params = param_group["params"]
        for group in self.param_groups:
            if ("param_names" in param_group) != ("param_names" in group):
                given = "with names" if "param_names" in param_group else "without names"
                raise ValueError(
                    "all optimizer param groups should be with/without names. "
                    f"cannot add param group {given} to the optimizer"
                )
        known = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients (``set_to_none=False``: fill them with zeros instead)."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    p._grad = p._grad.detach()
                    p._grad.zero_()

    # ---- a step ----
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once from their gradients.

        Args:
            closure: recomputes the loss and its gradients; its value is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for hook in self._pre_hooks.values():
            hook(self, (closure,), {})
        recording = state.grad  # as `with no_grad()`, at a fraction of its cost
        set_recording(False)
        try:
            for group in self.param_groups:
                self._step_group(group)
        finally:
            set_recording(recording)
        for hook in self._post_hooks.values():
            hook(self, (closure,), {})
        return loss

    def _step_group(self, group: dict[str, Any]) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define step(closure=None)")

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` before each step."""
        return RemovableHandle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(optimizer, args, kwargs)`` after each step."""
        return RemovableHandle(self._post_hooks, hook)

    # ---- state ----
    def _state_hook(self, kind: str, hook: Callable, prepend: bool) -> RemovableHandle:
        hooks = self._state_dict_hooks[kind]
        before = list(hooks) if prepend else []
        handle = RemovableHandle(hooks, hook)
        for key in before:  # to the end, behind the new one
            hooks[key] = hooks.pop(key)
        return handle

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer)`` before ``state_dict``."""
        return self._state_hook("save before", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer, state_dict)`` after ``state_dict``; it may return another one."""
        return self._state_hook("save after", hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer, state_dict)`` before loading, of a shallow copy; it may return another one."""
        return self._state_hook("load before", hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """``hook(optimizer)`` after loading."""
        return self._state_hook("load after", hook, prepend)

    def state_dict(self) -> dict[str, Any]:
        """``{'state': {index: {…}}, 'param_groups': [{…, 'params': [indices]}]}``, as PyTorch's."""
        for hook in self._state_dict_hooks["save before"].values():
            hook(self)
        number = {id(p): i for i, p in enumerate(chain.from_iterable(g["params"] for g in self.param_groups))}
        groups = [
            {
                **{k: v for k, v in group.items() if k != "params"},
                "params": [number[id(p)] for p in group["params"]],
            }
            for group in self.param_groups
        ]
        state = {number[id(p)]: dict(s) for p, s in self.state.items() if s}
        made: dict[str, Any] = {"state": state, "param_groups": groups}
        for hook in self._state_dict_hooks["save after"].values():
            changed = hook(self, made)
            made = made if changed is None else changed
        return made

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take back what ``state_dict`` gave; tensors are copied to each parameter's device and dtype.

        Raises:
            ValueError: the groups differ in number or size.
        """
        state_dict = dict(state_dict)
        for hook in self._state_dict_hooks["load before"].values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        groups = state_dict["param_groups"]
        if len(groups) != len(self.param_groups):
            raise ValueError("loaded state dict has a different number of parameter groups")
        for mine, given in zip(self.param_groups, groups):
            if len(mine["params"]) != len(given["params"]):
                raise ValueError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
                )
        parameter: dict[Any, Tensor] = {}
        for mine, given in zip(self.param_groups, groups):
            parameter.update(zip(given["params"], mine["params"]))

        def convert(p: Tensor, name: str, value: Any) -> Any:
            if isinstance(value, Tensor):
                value = value.detach().clone()
                # Step counters stay as they are, on the host: no step waits for the device.
                return (
                    value
                    if name == "step" or not p.is_floating_point()
                    else value.to(device=p.device, dtype=p.dtype)
                )
            if isinstance(value, dict):
                return {k: convert(p, k, v) for k, v in value.items()}
            return (
                type(value)(convert(p, name, v) for v in value)
                if isinstance(value, (list, tuple))
                else copy.deepcopy(value)
            )

        self.state = defaultdict(dict)
        for key, value in state_dict["state"].items():
            if key in parameter:
                self.state[parameter[key]] = {k: convert(parameter[key], k, v) for k, v in value.items()}
            else:
                self.state[key] = value
        for mine, given in zip(self.param_groups, groups):
            # What the saved group has not is forgotten ('initial_lr' of a schedule), but for the optimiser's own options.
            for name in set(mine) - set(given) - set(self.defaults) - {"params", "param_names"}:
                del mine[name]
            mine.update({k: copy.deepcopy(v) for k, v in given.items() if k != "params"})
        for hook in self._state_dict_hooks["load after"].values():
            hook(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._init_hooks()

    def __repr__(self) -> str:
        lines = []
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}\n")
            lines += [
                f"    {key}: {group[key]}\n" for key in sorted(group) if key not in ("params", "param_names")
            ]
        return f"{type(self).__name__} (\n{''.join(lines)})"


def check_non_negative(**values: float) -> None:
    """Raise ValueError, in PyTorch's words, for the first of the options that is negative."""
    for name, value in values.items():
        if name == "lr" and isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not value >= 0.0:
            raise ValueError(
                f"Invalid {name} value: {value}" if name != "lr" else f"Invalid learning rate: {value}"
            )


def check_betas(betas: Iterable[float]) -> None:
    """Raise ValueError unless every beta is in [0, 1)."""
    for i, beta in enumerate(betas):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
