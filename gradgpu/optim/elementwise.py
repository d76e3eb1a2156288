"""Optimisers that treat every element alike: one set of numpy calls, or one kernel launch, for all parameters.

Parameters with gradients are gathered into *buckets* of one device, dtype and age. On the CPU a
bucket's state is flat buffers: the gradients are written into one, a few in-place numpy calls turn it
into what to subtract, and that is subtracted from each parameter, which stays where it is. On cuda a
bucket is a table of pointers for the kernels of ``optim.cu``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate, repeat
from operator import attrgetter, is_
from typing import Any

import numpy as np

from ..cuda.launch import Kernel
from ..dtypes import FLOATS
from ..scalars import zero_dim as scalar
from ..tensor import Tensor, wrap
from .optimizer import Optimizer

_array_of, _grad_of = attrgetter("_a"), attrgetter("_grad")
_all: Any = deque(maxlen=0).extend  # runs a map for what it does
_CHUNK = (
    1 << 16
)  # elements that a sequence of numpy calls treats at a time: its buffers then stay in the cache
_TENSORS, _STATES, _SCALARS, _BLOCK_ELEMENTS = 64, 3, 8, 2048  # as in optim.cu
_FORMAT = "P" * _TENSORS * (2 + _STATES) + "q" * _TENSORS + "d" * (3 + _SCALARS) + "i" * (_TENSORS + 2)


def step_kernel(name: str) -> Kernel:
    """The kernel of ``optim.cu`` with this name."""
    return Kernel("optim.cu", name, _FORMAT, T=FLOATS)


class Bucket:
    """Parameters that one call updates, with their state.

    Attributes:
        params, arrays: the parameters and the arrays they had when the bucket was made.
        states: their dicts in ``optimizer.state``.
        slots: for each state name one tensor a parameter.
        scalars: for each counter (``step``) one tensor that all these parameters share.
        fresh: whether the state was made for this bucket and no step used it.
    """

    def __init__(self, optimizer: ElementwiseOptimizer, group: dict[str, Any], params: list[Tensor]) -> None:
        self.params = params
        self.arrays = [p._a for p in params]
        self.states = [optimizer.state[p] for p in params]
        initial = optimizer._initial_state(group)
        self.scalars = {}
        for name, value in optimizer._counters.items():
            old = self.states[0].get(name)
            number = value if old is None else old.item() if isinstance(old, Tensor) else float(old)
            self.scalars[name] = wrap(np.float32(number))
            for state in self.states:
                state[name] = self.scalars[name]
        self.fresh = bool(initial) and not all(name in self.states[0] for name in initial)
        self.cuda = params[0].is_cuda
        if self.cuda:
            self._make_cuda(initial)
        else:
            self._make_cpu(initial, optimizer._states)
        self.slots = {name: [state[name] for state in self.states] for name in initial}
        self.names = (*self.slots, *self.scalars)
        # What `valid` compares: the dicts, their keys and what they must hold.
        self.owners = [state for state in self.states for _ in self.names]
        self.keys = [*self.names] * len(self.states)
        self.expected = list(map(dict.get, self.owners, self.keys))
        if self.cuda:
            self.launches = list(self._launches((*optimizer._states, *("",) * _STATES)[:_STATES]))

    def _make_cpu(self, initial: dict[str, float], order: tuple[str, ...]) -> None:
        sizes = [a.size for a in self.arrays]
        ends = list(accumulate(sizes))
        total, dtype = ends[-1], self.arrays[0].dtype

        def pieces(flat: np.ndarray) -> list[np.ndarray]:
            return [flat[end - a.size : end].reshape(a.shape) for a, end in zip(self.arrays, ends)]

        self.flat_grad = np.empty(total, dtype)
        self.grads = pieces(self.flat_grad)
        flats: dict[str, np.ndarray] = {}
        for name, value in initial.items():
            flat = np.empty(total, dtype)
            for state, piece in zip(self.states, pieces(flat)):
                old = state.get(name)
                piece[...] = value if old is None else old._a
                state[name] = wrap(piece)
            flats[name] = flat
        scratch = np.empty(min(total, _CHUNK), dtype)
        self.chunks = [
            (
                self.flat_grad[i : i + _CHUNK],
                [flats[name][i : i + _CHUNK] if name in flats else None for name in order],
                scratch[: total - i],
            )
            for i in range(0, total, _CHUNK)
        ]

    def _make_cuda(self, initial: dict[str, float]) -> None:
        from ..ops.creation import full_like

        for name, value in initial.items():
            for p, state in zip(self.params, self.states):
                if name not in state:
                    state[name] = full_like(p.detach(), value)
                elif not state[name].is_contiguous():
                    state[name] = state[name].contiguous()

    def _launches(self, order: Sequence[str]) -> Iterator[tuple]:
        """For each launch: its parameters, and the values of its struct before and behind the gradients' addresses
        and behind the scalars, which alone change from step to step; and its number of blocks."""
        used = [i for i, a in enumerate(self.arrays) if a.size]
        for first in range(0, len(used), _TENSORS):
            part = used[first : first + _TENSORS]
            gap = (0,) * (_TENSORS - len(part))
            behind = list(gap)
            for name in order:  # null for a state that this configuration lacks
                tensors = self.slots.get(name)
                behind += [0] * _TENSORS if tensors is None else [*[tensors[i]._a.ptr for i in part], *gap]
            sizes = [self.arrays[i].size for i in part]
            starts = list(accumulate([-(-size // _BLOCK_ELEMENTS) for size in sizes], initial=0))
            before = [*[self.arrays[i].ptr for i in part], *gap]
            params = [self.params[i] for i in part]
            yield params, before, [*behind, *sizes, *gap], [*starts, *gap, len(part)], starts[-1]

    def valid(self, state: Any) -> bool:
        """Whether nobody replaced a parameter's data, its state dict or a tensor in it."""
        return (
            all(map(is_, map(_array_of, self.params), self.arrays))
            and all(map(is_, map(state.get, self.params), self.states))
            and all(map(is_, map(dict.get, self.owners, self.keys), self.expected))
        )


class ElementwiseOptimizer(Optimizer):
    """An optimiser given by a rule for one element: from gradient and state to what is subtracted.

    A subclass gives ``_states`` (at most three names), ``_initial_state`` (those in use, with their first
    values), ``_counters``, ``_numbers`` (what the rule needs of this step), ``_rule`` (the numpy form)
    and ``_kernel``. Weight decay and ``maximize`` are done here.
    """

    _states: tuple[str, ...] = ()
    _counters: dict[str, float] = {"step": 0.0}
    _kernel: Kernel

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        if defaults.get("differentiable"):
            raise RuntimeError(
                f"{type(self).__name__}: differentiable=True is not supported, no step is recorded on the tape; to differentiate "
                "through an update, compute it from tensors and call the module with gradgpu.func.functional_call"
            )
        if defaults.get("fused") and defaults.get("foreach"):
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
        super().__init__(params, defaults)

    def _init_hooks(self) -> None:
        super()._init_hooks()
        # group number → (parameters with gradients, their buckets, those of other parameters, how often they were made)
        self._plans: dict[int, tuple[list[Tensor], list[Bucket], list[Bucket], int]] = {}

    def _initial_state(self, group: dict[str, Any]) -> dict[str, float]:
        raise NotImplementedError

    def _numbers(self, group: dict[str, Any], bucket: Bucket) -> Sequence[float]:
        """The scalars of this step, at most eight, computed in float64; advances the counters."""
        raise NotImplementedError

    def _gradient_scale(self, numbers: Sequence[float]) -> float:
        """A factor of the gradient that ``_rule`` wants applied: it is free while the gradients are gathered."""
        return 1.0

    def _rule(self, g: np.ndarray, states: list[Any], scratch: np.ndarray, numbers: Sequence[float]) -> None:
        """Turn flat (scaled) gradients, in place, into what to subtract; update the states (None: not in use) in place."""
        raise NotImplementedError

    def _decoupled(self, group: dict[str, Any]) -> bool:
        return bool(group.get("decoupled_weight_decay"))

    @staticmethod
    def _advance(bucket: Bucket) -> float:
        """Count a step; returns its number."""
        counter = bucket.scalars["step"]
        step = float(counter._a) + 1.0
        counter._a = np.float32(step)
        return step

    def load_state_dict(self, state_dict: Any) -> None:
        super().load_state_dict(state_dict)
        self._plans.clear()

    def _step_group(self, group: dict[str, Any]) -> None:
        params = [p for p in group["params"] if p._grad is not None]
        if not params:
            return
        for bucket in self._buckets(group, params):
            numbers = self._numbers(group, bucket)
            if bucket.cuda:
                self._step_cuda(group, bucket, numbers)
            else:
                self._step_cpu(group, bucket, numbers)
            bucket.fresh = False
            for p in bucket.params:
                cell = p._cell
                if cell is not None:
                    cell[0] += 1

    def _buckets(self, group: dict[str, Any], params: list[Tensor]) -> list[Bucket]:
        key = id(group)
        known, buckets, idle, made = self._plans.get(key, ([], [], [], 0))
        state = self.state
        if len(known) == len(params) and all(map(is_, known, params)):
            for bucket in buckets:
                if not bucket.valid(state):
                    break
            else:
                return buckets
        if made < 4:
            parts: dict[Any, list[Tensor]] = {}
            for p in params:
                parts.setdefault(self._kind(p), []).append(p)
            buckets = [Bucket(self, group, part) for part in parts.values()]
        else:
            # The set of parameters with gradients keeps changing: one bucket for each needs no copies.
            single = {id(b.params[0]): b for b in (*buckets, *idle) if len(b.params) == 1 and b.valid(state)}
            buckets = [single.pop(id(p)) if id(p) in single else self._alone(group, p) for p in params]
            idle = list(single.values())
        self._plans[key] = (params, buckets, idle, made + 1)
        return buckets

    def _alone(self, group: dict[str, Any], p: Tensor) -> Bucket:
        self._kind(p)
        return Bucket(self, group, [p])

    def _kind(self, p: Tensor) -> Any:
        """What parameters of one bucket have in common: device, dtype, counters and the state they have."""
        p._materialise()
        if p.is_cuda and not p.is_contiguous():
            p.data = p.data.contiguous()  # the kernels run over memory in order
        state = self.state[p]
        for name, value in state.items():
            if isinstance(value, Tensor) and name not in self._counters and value.device != p.device:
                raise RuntimeError(
                    f"{type(self).__name__}: the parameter of shape {tuple(p.shape)} is on {p.device}, its state '{name}' on "
                    f"{value.device}: move the net to its device before making the optimiser"
                )
        counters = tuple(
            float(state[n].item() if isinstance(state[n], Tensor) else state[n])
            for n in self._counters
            if n in state
        )
        return p.device, p.dtype, counters, tuple(state)

    def _step_cpu(self, group: dict[str, Any], bucket: Bucket, numbers: Sequence[float]) -> None:
        decay, maximize = group.get("weight_decay", 0), group.get("maximize", False)
        decoupled = decay != 0 and self._decoupled(group)
        scale = self._gradient_scale(numbers)
        arrays, pieces = bucket.arrays, bucket.grads
        if decay != 0 and not decoupled:
            combine = np.subtract if maximize else np.add
            for p, a, piece in zip(bucket.params, arrays, pieces):
                np.multiply(a, decay, piece)
                combine(piece, p._grad._a, piece)  # type: ignore[union-attr]
            if scale != 1.0:
                np.multiply(bucket.flat_grad, scale, bucket.flat_grad)
        elif scale != 1.0 or maximize:
            factor = scalar(-scale if maximize else scale, bucket.flat_grad.dtype)
            _all(map(np.multiply, map(_array_of, map(_grad_of, bucket.params)), repeat(factor), pieces))
        else:
            for p, piece in zip(bucket.params, pieces):
                piece[...] = p._grad._a  # type: ignore[union-attr]
        for g, states, scratch in bucket.chunks:
            self._rule(g, states, scratch, numbers)
        if decoupled:
            shrink = scalar(1.0 - float(group["lr"]) * decay, arrays[0].dtype, False)
            _all(map(np.multiply, arrays, repeat(shrink), arrays))
        _all(map(np.subtract, arrays, pieces, arrays))

    def _step_cuda(self, group: dict[str, Any], bucket: Bucket, numbers: Sequence[float]) -> None:
        from ..cuda.array import contiguous

        decay = float(group.get("weight_decay", 0))
        decoupled = decay != 0 and self._decoupled(group)
        factors = (
            -1.0 if group.get("maximize") else 1.0,
            0.0 if decoupled else decay,
            1.0 - float(group["lr"]) * decay if decoupled else 1.0,
            *numbers,
            *(0.0,) * (_SCALARS - len(numbers)),
        )
        kernel = self._kernel[bucket.arrays[0].dtype]
        for params, before, behind, last, blocks in bucket.launches:
            grads = [contiguous(p._grad._a) for p in params]  # kept alive until the launch
            kernel(blocks, 256, *before, *[g.ptr for g in grads], *behind, *factors, *last)
