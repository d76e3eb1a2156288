"""Pruning: parameters multiplied by a mask of zeros and ones (PyTorch's ``torch.nn.utils.prune``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from ...autograd.modes import no_grad
from ...ops.creation import ones_like
from ...ops.join import cat
from ...ops.random import rand_like
from ...tensor import Tensor
from ..module import Module

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer",
    "RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned", "l1_unstructured",
    "ln_structured", "random_structured", "random_unstructured", "remove",
]  # fmt: skip


def _number(amount: Any, size: int) -> int:
    """How many of `size` to prune: a count, or a share between 0 and 1."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (isinstance(amount, float) and amount > 1):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer"
        )
    if isinstance(amount, int) and amount > size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
    return amount if isinstance(amount, int) else round(amount * size)


class BasePruningMethod(ABC):
    """The hook that computes `name` as `name_orig · name_mask` before each forward.

    A subclass defines `compute_mask(t, default_mask)` and `PRUNING_TYPE`: 'unstructured' (single entries; of a tensor that
    is pruned already only those left are looked at), 'structured' (whole channels) or 'global'.
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    @property
    def name(self) -> str:
        """The parameter that is pruned."""
        return self._tensor_name

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """A mask of t's shape, from t (or what stands for its importance) and the mask that holds already."""

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    def apply_mask(self, module: Module) -> Tensor:
        """The parameter times its mask."""
        original = getattr(module, self._tensor_name + "_orig")
        return original * getattr(module, self._tensor_name + "_mask").to(original.dtype)

    def prune(
        self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None
    ) -> Tensor:
        """The pruned copy of a tensor, without touching any module."""
        mask = ones_like(t) if default_mask is None else default_mask
        scores = t if importance_scores is None else importance_scores
        with no_grad():
            mask = self._combined(scores.detach(), mask)
        return t * mask

    def _combined(self, scores: Tensor, mask: Tensor) -> Tensor:
        """The mask that holds, with what this method prunes of the rest."""
        if self.PRUNING_TYPE == "unstructured":
            kept = mask.eq(1)
            made = mask.clone()
            made[kept] = self.compute_mask(scores[kept], mask[kept])
            return made
        return self.compute_mask(scores, mask)

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prunes a module's parameter: it becomes `name_orig` with a buffer `name_mask`.

        Returns the hook: the method itself, or the `PruningContainer` of all methods that pruned the parameter.
        """
        method: BasePruningMethod = cls(*args, **kwargs)
        method._tensor_name = name
        t = getattr(module, name)
        if importance_scores is not None and importance_scores.shape != t.shape:
            raise ValueError(
                f"importance_scores should have the same shape as parameter {name} of {module}: "
                f"{tuple(importance_scores.shape)} against {tuple(t.shape)}"
            )
        before = _hooks(module, name)
        with no_grad():
            old = getattr(module, name + "_mask") if before else ones_like(t).detach()
            scores = (t if importance_scores is None else importance_scores).detach()
            mask = method._combined(scores, old)
        if before:
            setattr(module, name + "_mask", mask)
            key, hook = before[0]
            container = hook if isinstance(hook, PruningContainer) else PruningContainer(hook)
            container.add_pruning_method(method)
            module._forward_pre_hooks[key] = method = container
        else:
            original = module._parameters[name]
            if original is None:
                raise ValueError(f"prune: parameter {name} of {type(module).__name__} is None")
            del module._parameters[name]
            module.register_parameter(name + "_orig", original)
            module.register_buffer(name + "_mask", mask)
            module.register_forward_pre_hook(method)
        setattr(module, name, method.apply_mask(module))
        return method

    def remove(self, module: Module) -> None:
        """Makes the pruned values permanent: `name` is an ordinary parameter again."""
        with no_grad():
            weight = self.apply_mask(module)
        original = module._parameters.pop(self._tensor_name + "_orig")
        if original is None:
            raise ValueError(f"prune: parameter {self._tensor_name}_orig of {type(module).__name__} is None")
        original.data = weight
        delattr(module, self._tensor_name)
        del module._buffers[self._tensor_name + "_mask"]
        module.register_parameter(self._tensor_name, original)


def _hooks(module: Module, name: str) -> list[tuple[int, BasePruningMethod]]:
    return [
        (k, h)
        for k, h in module._forward_pre_hooks.items()
        if isinstance(h, BasePruningMethod) and h.name == name
    ]


class PruningContainer(BasePruningMethod):
    """The methods that have pruned a parameter one after the other; a sequence of them, and the one hook of the parameter.

    >>> import gradgpu as gg
    >>> from gradgpu.nn.utils import prune
    >>> layer = prune.l1_unstructured(prune.identity(gg.nn.Linear(3, 2), "weight"), "weight", amount=2)
    >>> [type(method).__name__ for method in list(layer._forward_pre_hooks.values())[0]]
    ['Identity', 'L1Unstructured']
    """

    PRUNING_TYPE = "container"

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Adds the next method. Raises TypeError if it is none, ValueError if it prunes another parameter."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if self._pruning_methods and method.name != self.name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self.name}' to PruningContainer. Found '{method.name}'"
            )
        self._tensor_name = method.name
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index: Any) -> Any:
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """What the last method makes of the mask that holds."""
        return self._pruning_methods[-1]._combined(t, default_mask)


class Identity(BasePruningMethod):
    """Prunes nothing, but makes the mask."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Prunes entries at random."""

    def __init__(self, amount: Any) -> None:
        _number(amount, 1 << 62)
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return _without_least(rand_like(t), default_mask, _number(self.amount, t.numel()))


class L1Unstructured(RandomUnstructured):
    """Prunes the entries of least absolute value."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return _without_least(t.abs(), default_mask, _number(self.amount, t.numel()))


def _without_least(scores: Tensor, mask: Tensor, n: int) -> Tensor:
    """The mask with zeros where the n least scores are."""
    if not n:
        return mask
    made = mask.clone().reshape(-1)
    made[scores.reshape(-1).topk(n, largest=False).indices] = 0
    return made.reshape(mask.shape)


class RandomStructured(BasePruningMethod):
    """Prunes whole channels along `dim` at random."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        _number(amount, 1 << 62)
        self.amount, self.dim = amount, dim

    def _channels(self, t: Tensor, mask: Tensor) -> Tensor:
        return rand_like(t.select(self.dim, 0)).new_empty((t.shape[self.dim],)).uniform_()

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if t.ndim < 2:
            raise ValueError(
                f"Structured pruning can only be applied to multidimensional tensors, got a tensor of {t.ndim} dimensions"
            )
        dim = self.dim % t.ndim
        others = tuple(d for d in range(t.ndim) if d != dim)
        alive = default_mask.ne(0).sum(others).ne(0)
        scores = self._channels(t, default_mask)[alive]
        kept = _without_least(scores, ones_like(scores), _number(self.amount, int(scores.numel())))
        channels = default_mask.new_zeros((t.shape[dim],))
        channels[alive] = kept.to(channels.dtype)
        return default_mask * channels.reshape([-1 if d == dim else 1 for d in range(t.ndim)])


class LnStructured(RandomStructured):
    """Prunes the channels along `dim` of least n-norm."""

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _channels(self, t: Tensor, mask: Tensor) -> Tensor:
        dim = self.dim % t.ndim
        return t.norm(self.n, tuple(d for d in range(t.ndim) if d != dim))


class CustomFromMask(BasePruningMethod):
    """Prunes by a given mask."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Gives the parameter a mask of ones."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: Any) -> Module:
    """Prunes entries at random.

    Args:
        module: the layer.
        name: its parameter; it becomes `name_orig`, with a buffer `name_mask`.
        amount: how many entries (an int), or which share of them (a float between 0 and 1).

    >>> import gradgpu as gg
    >>> layer = gg.nn.utils.prune.random_unstructured(gg.nn.Linear(4, 2), "weight", amount=3)
    >>> int(layer.weight_mask.sum())
    5
    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: Any, importance_scores: Tensor | None = None
) -> Module:
    """Prunes the entries of least absolute value, or of least importance.

    >>> import gradgpu as gg
    >>> layer = gg.nn.Linear(3, 1, bias=False)
    >>> layer.weight.data = gg.tensor([[1., -0.1, 2.]])
    >>> gg.nn.utils.prune.l1_unstructured(layer, "weight", amount=1).weight_mask
    tensor([[1., 0., 1.]])
    """
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: Any, dim: int) -> Module:
    """Prunes channels along `dim` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: Any, n: Any, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Prunes the channels along `dim` of least n-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prunes by a given mask of the parameter's shape."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prunes the least entries of several parameters taken together.

    Args:
        parameters: pairs of a module and a parameter's name.
        pruning_method: an unstructured method, `L1Unstructured` or `RandomUnstructured`.
        importance_scores: what stands for the values, by such pairs.
        kwargs: the method's arguments, `amount`.
    """
    pairs = list(parameters)
    if not pairs or pruning_method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            "global_unstructured needs pairs (module, name) and an unstructured pruning method, such as L1Unstructured"
        )
    scores = importance_scores or {}
    values = [scores.get((m, n), getattr(m, n)).detach() for m, n in pairs]
    with no_grad():
        masks = [getattr(m, n + "_mask", ones_like(v)) for (m, n), v in zip(pairs, values)]
        method = pruning_method(**kwargs)
        joint = method._combined(cat([v.reshape(-1) for v in values]), cat([m.reshape(-1) for m in masks]))
    at = 0
    for (module, name), value in zip(pairs, values):
        mask = joint[at : at + value.numel()].reshape(value.shape)
        at += value.numel()
        custom_from_mask(module, name, mask)


def remove(module: Module, name: str) -> Module:
    """Makes the pruning of a parameter permanent and drops the mask.

    Raises:
        ValueError: the parameter is not pruned.
    """
    found = _hooks(module, name)
    if not found:
        raise ValueError(
            f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
        )
    key, hook = found[0]
    hook.remove(module)
    del module._forward_pre_hooks[key]
    return module


def is_pruned(module: Module) -> bool:
    """Whether some parameter of the module, or of one below it, is pruned."""
    return any(
        isinstance(h, BasePruningMethod) for m in module.modules() for h in m._forward_pre_hooks.values()
    )
