"""The one door: every number is made by an `Op`.

An Op checks devices, runs its cpu or cuda implementation and, where a gradient is wanted, links
the result to the tape with exactly the values its gradient rules ask for by parameter name (see
ARCHITECTURE.md, "An op").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.engine import LEAF, Node, new_node, next_sequence, note_trace, select_node
from ..autograd.layers import LAYERS, LayerArray, top_level
from ..autograd.modes import SPECIAL, state
from ..cuda.array import Array, on_device
from ..tensor import Tensor, wrap

ndarray = np.ndarray
_new = object.__new__

OPS: dict[str, Op] = {}  # every op by name


def parameters_of(function: Any) -> tuple[list[str], list[str], str | None]:
    """Names of a Python function's positional and keyword-only parameters, and of *args.

    `inspect.signature` would tell the same, but hundreds of calls of it make importing slow.
    """
    code = function.__code__
    names, n, k = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    star = names[n + k] if code.co_flags & 0x04 else None
    return list(names[:n]), list(names[n : n + k]), star


class Rule:
    """A gradient rule and what it asks for."""

    __slots__ = ("function", "wants", "attrs", "needs")

    def __init__(self, op: Op, function: Callable, argument: str):
        self.function = function
        self.wants: list[tuple[str, int]] = []  # ('g'|'in'|'shape'|'dtype'|'out'|'ins'|'shapes', which)
        self.attrs: list[str] = []
        self.needs = False  # whether it asks which inputs need a gradient
        positional, named, _ = parameters_of(function)
        for name in (*positional, *named):
            if name == "needs":
                self.needs = True
            elif name in named:
                if name not in op.attributes:
                    raise TypeError(
                        f"{op.name}: rule of {argument} asks for {name!r}, which is no attribute of the op"
                    )
                self.attrs.append(name)
            else:
                self.wants.append(op.source(name))


class Op:
    """An operation with its implementations and gradient rules.

    Args:
        name: unique; `grad_fn` shows it.
        cpu: function of numpy arrays; positional parameters are tensors, keyword-only ones attributes.
        cuda: the same for `gradgpu.cuda.array.Array`s.
        grad: {input name: rule}, or
        grads: one rule for all inputs that returns a tuple.
        differentiable: False, or one bool an output, for outputs that carry no gradient.
        view: the output shares memory with the first input.
    """

    def __init__(
        self,
        name: str,
        cpu: Callable,
        cuda: Callable | None = None,
        grad: dict[str, Callable] | None = None,
        grads: Callable | None = None,
        differentiable: bool | Sequence[bool] = True,
        view: bool = False,
    ):
        if name in OPS:
            raise ValueError(f"an op named {name!r} is registered already")
        self.name, self.cpu, self.view = name, cpu, view
        self.cuda: Any = cuda
        self.node_name = "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Backward0"
        self.inputs, named, self.variadic = parameters_of(cpu)
        self.attributes, self.defaults = set(named), dict(cpu.__kwdefaults__ or {})
        self.differentiable = differentiable
        self.rules = [
            None if grad is None or name not in grad else Rule(self, grad[name], name) for name in self.inputs
        ]
        unknown = set(grad or ()) - set(self.inputs)
        if unknown:
            raise TypeError(
                f"{name}: gradient rules for {sorted(unknown)}, which are no inputs; inputs are {self.inputs}"
            )
        self.joint = None if grads is None else Rule(self, grads, "all inputs")
        self.has_gradient = bool(grad) or grads is not None
        # Which inputs can get a gradient; None if one rule serves them all.
        self.has_rule = None if grads is not None else [rule is not None for rule in self.rules]
        self._plans: dict[tuple, Plan | None] = {}
        # Complex inputs are refused unless ops/complex.py says how: numpy and cuda code for them, or a function of
        # Tensors that does it by other ops.
        self.complex: tuple[Callable, Callable] | None = None
        self.composite: Callable | None = None
        OPS[name] = self

    def __repr__(self) -> str:
        return f"<Op {self.name}>"

    def source(self, name: str) -> tuple[str, int]:
        """Where a rule's parameter comes from."""
        if name == "gs":
            return "gs", 0
        if name[0] in "gy" and (len(name) == 1 or name[1:].isdigit()) and name not in self.inputs:
            return ("g" if name[0] == "g" else "out"), int(name[1:] or 0)
        stem, _, what = name.rpartition("_")
        for kind, input in (("in", name), (what, stem)):
            if kind in ("in", "shape", "dtype"):
                if input in self.inputs:
                    return kind, self.inputs.index(input)
                if input == self.variadic:
                    return kind + "s", 0
        raise TypeError(
            f"{self.name}: a gradient rule asks for {name!r}; there is 'g', 'y', {self.inputs} and their _shape, _dtype"
        )

    # ---- forward ----
    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        first = inputs[0]
        if isinstance(first, (ndarray, np.generic)):
            return self.cpu(*inputs, **attrs)
        arrays: list[Any] = []
        recorded = tensors = cuda = mixed = False
        for x in inputs:
            if x is None:
                arrays.append(None)
                continue
            try:
                a = x._a
                if x._edge is not None:
                    recorded = True
                tensors = True
            except AttributeError:
                a, mixed = x, True
            arrays.append(a)
            if type(a) is Array:
                cuda = True
        if self.view and tensors and isinstance(arrays[0], np.generic):
            first._materialise()  # a numpy scalar has no memory to share
            arrays[0] = first._a
        if LAYERS:
            level = top_level(arrays)
            if level is not None:
                return self._in_level(level, inputs, arrays, attrs, recorded)
        if tensors and (mixed or cuda):
            self._check(inputs, arrays, cuda)
        cpu_code, cuda_code = self.cpu, self.cuda
        if dt.complex_seen and any(a is not None and a.dtype.kind == "c" for a in arrays):
            if self.composite is not None:
                return self.composite(*inputs, **attrs)
            cpu_code, cuda_code = self._complex_code(arrays)
        if cuda:
            if cuda_code is None:
                raise NotImplementedError(
                    f"{self.name} has no cuda implementation; move its inputs with .to('cpu')"
                )
            with on_device(next(a for a in arrays if a is not None).layout.device):
                made = cuda_code(*arrays, **attrs)
        else:
            made = cpu_code(*arrays, **attrs)
        if not tensors:
            return made
        if type(made) is tuple:
            outputs: Any = tuple([wrap(a) for a in made])
            if recorded and self.has_gradient and state.grad:
                self._link(inputs, arrays, outputs, attrs)
            return outputs
        output = wrap(made)
        if recorded and self.has_gradient and state.grad:
            self._link(inputs, arrays, (output,), attrs)
        if self.view:
            output._view_of(first, self, attrs)
        return output

    def _in_level(
        self, level: Any, inputs: Sequence[Any], arrays: Sequence[Any], attrs: dict, recorded: bool
    ) -> Any:
        """The operation on what transforms work on; see autograd/layers.py."""
        composite = level.composite(self, inputs)
        if (
            dt.complex_seen
            and self.composite is not None
            and any(a is not None and a.dtype.kind == "c" for a in arrays)
        ):
            composite = self.composite
        if composite is not None:
            return composite(*inputs, **attrs)
        made = level.run(self, inputs, arrays, attrs)
        outputs = tuple([wrap(a) for a in made]) if type(made) is tuple else (wrap(made),)
        if recorded and self.has_gradient and state.grad:
            self._link(inputs, arrays, outputs, attrs)
        if type(made) is tuple:
            return outputs
        if self.view:
            outputs[0]._view_of(inputs[0], self, attrs)
        return outputs[0]

    def _complex_code(self, arrays: Sequence[Any]) -> tuple[Callable, Callable]:
        if self.complex is None:
            seen = next(a.dtype for a in arrays if a is not None and a.dtype.kind == "c")
            raise complex_refused(self.name, seen)
        return self.complex

    def _check(self, inputs: Sequence[Any], arrays: Sequence[Any], cuda: bool) -> None:
        """Every input is a tensor (or None) and all live on one device."""
        first = None
        for x, a in zip(inputs, arrays):
            if x is None:
                continue
            if not isinstance(x, Tensor):
                raise TypeError(
                    f"{self.name}: expected a Tensor, got {type(x).__name__}; make one with gradgpu.tensor(...)"
                )
            if first is None:
                first = x
            elif (
                isinstance(a, (ndarray, np.generic)) is cuda
                or cuda
                and a.layout.device != first._a.layout.device
            ):
                seen = ", ".join(str(t.device) for t in inputs if isinstance(t, Tensor))
                raise RuntimeError(
                    f"{self.name}: expected all tensors to be on the same device, but found {seen}; "
                    f"move them to one device, e.g. x.to('{first.device}')"
                )

    def _link(
        self, inputs: Sequence[Any], arrays: Sequence[Any], outputs: Sequence[Tensor], attrs: dict
    ) -> None:
        """Puts the outputs on the tape; at least one input requires grad."""
        edges = []
        for t, differentiable in zip(inputs, self.has_rule or repeat(True)):
            edge = t._edge if differentiable and t is not None else None
            edges.append(t if edge is LEAF else edge)
        key = (*[e is not None for e in edges], len(outputs))
        try:
            plan = self._plans[key]
        except KeyError:
            plan = self._plans[key] = Plan(self, key[:-1], len(outputs)) if True in key[:-1] else None
        if plan is None:
            return
        checks: list = []
        saved = [arrays[k] for k in plan.inputs]
        for k in plan.inputs:
            t = inputs[k]
            if t is not None:
                cell = t._cell
                if cell is None:
                    cell = t._cell = [0]
                checks += (cell, cell[0])
        saved += [None if arrays[k] is None else arrays[k].shape for k in plan.shapes]
        if plan.others:
            saved += [self._saved(want, inputs, arrays, outputs, checks) for want in plan.others]
        node = Node()
        node.op, node.plan, node.extra, node.seq = self, plan, None, next_sequence()
        node.edges, node.saved, node.checks = tuple(edges), tuple(saved), checks or None
        node.attrs = (
            self.defaults if not attrs else attrs if not self.defaults else {**self.defaults, **attrs}
        )
        if SPECIAL and state.special:
            node.saved = pack(node.saved)
            note_trace(node)
        flags = self.differentiable
        if len(outputs) == 1:
            if flags:
                outputs[0]._edge = node
            return
        for k, output in enumerate(outputs):
            if (flags is True or flags is not False and flags[k]) and output._a.dtype.kind in "fVc":
                output._edge = select_node(node, k)

    @staticmethod
    def _saved(
        want: tuple, inputs: Sequence[Any], arrays: Sequence[Any], outputs: Sequence[Tensor], checks: list
    ) -> Any:
        """What a rule asks for; adds the versions of arrays to `checks`."""
        kind, which = want
        if kind == "shapes":
            return tuple([a.shape for a in arrays])
        if kind == "dtypes":
            return tuple([a.dtype for a in arrays])
        if kind == "dtype":
            return None if arrays[which] is None else arrays[which].dtype
        tensors = inputs if kind == "ins" else outputs[which : which + 1]
        for t in tensors:
            cell = t._version_cell()
            checks += (cell, cell[0])
        return tuple(arrays) if kind == "ins" else outputs[which]._a

    def n_outputs_of(self, node: Node) -> int:
        return node.plan.outputs

    # ---- backward ----
    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        """The gradients for `edges` (None where the edge is None), arrays or, with create_graph, Tensors."""
        saved = unpack(node)
        plan, attrs = node.plan, node.attrs
        parts = g if type(g) is list else [g]
        tensors = create_graph
        if (
            not create_graph
            and (type(g) is not ndarray or g.dtype.itemsize == 2)
            and any(map(_wants_tensors, parts))
        ):
            # On cuda every operator of a rule is a kernel launch, and numpy promotes bfloat16 beside a number
            # to float32: run the rule on Tensors, unrecorded.
            tensors = True
            parts = [p if p is None else wrap(p) for p in parts]
        values: list = [*parts, *saved]
        if tensors:
            values[len(parts) :] = [self._lift(node, want, v) for want, v in zip(plan.saves, saved)]
        if self.joint is not None:
            grads = plan.joint(values, attrs, tuple([e is not None for e in edges]))
            if type(grads) is not tuple:
                grads = (grads,)
        else:
            grads = [e if e is None else rule(values, attrs, ()) for e, rule in zip(edges, plan.rules)]
        if tensors and not create_graph:
            grads = [h if h is None else h._a for h in grads]
        return grads

    def _lift(self, node: Node, want: tuple[str, int], value: Any) -> Any:
        """A saved array as the Tensor it was, with its place on the tape."""
        kind, which = want
        if value is None or kind in ("shape", "dtype", "shapes", "dtypes"):
            return value
        if kind == "in":
            return from_saved(value, node.edges[which])
        if kind == "ins":
            return tuple([from_saved(a, e) for a, e in zip(value, node.edges)])
        return from_saved(value, select_node(node, which) if node.plan.outputs > 1 else node)


def complex_refused(name: str, d: Any) -> RuntimeError:
    """What an operation raises that has no complex form."""
    return RuntimeError(
        f"{name}: not implemented for {dt.from_numpy_dtype(d) if isinstance(d, np.dtype) else d} tensors; use it on "
        "x.real and x.imag, on x.abs(), or on gradgpu.view_as_real(x)"
    )


def _caller(rule: Rule, saves: Sequence[tuple], outputs: int) -> Callable:
    """A rule as a function of [gradients of the outputs…, saved values…], attributes and needs."""
    function, names = rule.function, tuple(rule.attrs)
    places = [
        -1 if kind == "gs" else which if kind == "g" else outputs + saves.index((kind, which))
        for kind, which in rule.wants
    ]
    if rule.needs or -1 in places:

        def general(values: list, attrs: dict, needs: tuple) -> Any:
            named = {name: attrs[name] for name in names}
            if rule.needs:
                named["needs"] = needs
            return function(*[values[p] if p >= 0 else tuple(values[:outputs]) for p in places], **named)

        return general
    if names:
        return lambda values, attrs, needs: function(
            *[values[p] for p in places], **{name: attrs[name] for name in names}
        )
    if len(places) == 1:
        (p,) = places
        return lambda values, attrs, needs: function(values[p])
    if len(places) == 2:
        p, q = places
        return lambda values, attrs, needs: function(values[p], values[q])
    return lambda values, attrs, needs: function(*[values[p] for p in places])


class Plan:
    """For one set of inputs that need a gradient: what is saved, and the calls of the rules."""

    __slots__ = ("saves", "inputs", "shapes", "others", "rules", "joint", "outputs")

    def __init__(self, op: Op, needs: tuple, outputs: int):
        rules = [op.joint] if op.joint is not None else [r for r, need in zip(op.rules, needs) if need]
        wants = [want for rule in rules if rule is not None for want in rule.wants]
        wanted = [want for want in dict.fromkeys(wants) if want[0] not in ("g", "gs")]
        self.inputs = [which for kind, which in wanted if kind == "in"]
        self.shapes = [which for kind, which in wanted if kind == "shape"]
        self.others = [want for want in wanted if want[0] not in ("in", "shape")]
        self.saves = (*[("in", k) for k in self.inputs], *[("shape", k) for k in self.shapes], *self.others)
        self.outputs = outputs
        self.joint = None if op.joint is None else _caller(op.joint, self.saves, outputs)
        self.rules = [
            None if r is None or not need else _caller(r, self.saves, outputs)
            for r, need in zip(op.rules, needs)
        ]


def _wants_tensors(g: Any) -> bool:
    return g is not None and (not isinstance(g, (ndarray, np.generic)) or g.dtype.itemsize == 2)


def from_saved(array: Any, edge: Any) -> Tensor:
    """A Tensor for a saved array: the leaf itself, or a tensor with that history."""
    if edge is not None and type(edge) is not Node and edge._a is array:
        return edge
    t = wrap(array)
    # A leaf whose .data was replaced since: what was saved is not its array, but its gradient is the leaf's.
    t._edge = edge if edge is None or type(edge) is Node else new_node(PASS, (edge,))
    return t


class _PassOp:
    """Hands the gradient on unchanged."""

    node_name = "PassBackward0"

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        return (g,)


PASS = _PassOp()


class Packed:
    """Saved values that `saved_tensors_hooks` hold in their own form."""

    __slots__ = ("values", "restore")

    def __init__(self, values: tuple, hooks: tuple):
        store, self.restore = hooks
        self.values = tuple([(True, store(wrap(v))) if _is_array(v) else (False, v) for v in values])

    def unpack(self) -> tuple:
        """The values as they were saved."""
        return tuple([self._array(v) if packed else v for packed, v in self.values])

    def _array(self, packed: Any) -> Any:
        t = self.restore(packed)
        if not isinstance(t, Tensor):
            raise TypeError(
                f"saved_tensors_hooks: the unpack hook must return a Tensor, got {type(t).__name__}"
            )
        return t._a


def _is_array(v: Any) -> bool:
    return isinstance(v, (ndarray, np.generic, LayerArray)) or hasattr(v, "layout")


def pack(saved: tuple) -> Any:
    """Saved values as the innermost `saved_tensors_hooks` wants to keep them."""
    return Packed(saved, state.saved_hooks[-1]) if state.saved_hooks else saved


def unpack(node: Node) -> tuple:
    """The saved values of a node, after checking that they are still there and unchanged."""
    saved = node.saved
    if saved is None:
        raise RuntimeError(
            f"{node.name()}: Trying to backward through the graph a second time (or directly access saved tensors after "
            "they have already been freed). Saved intermediate values of the graph are freed when you call .backward() "
            "or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time."
        )
    if type(saved) is not tuple:
        return saved.unpack()  # what hooks keep has no version
    checks = node.checks
    if checks is not None:
        for k in range(0, len(checks), 2):
            cell, version = checks[k], checks[k + 1]
            if cell[0] != version:
                shapes = [v.shape for v in saved if hasattr(v, "shape")]
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"{node.name()} saved tensors of shapes {shapes}; one is at version {cell[0]}; expected version "
                    f"{version} instead. Hint: change a copy (x.clone()), or use the out-of-place operation."
                )
    return saved


def method(name: Any = None, *more: str) -> Callable:
    """Makes a public function a Tensor method too: `@method`, `@method("name")`, `@method("name", "alias")`."""
    if callable(name):
        setattr(Tensor, name.__name__, name)
        return name

    def install(function: Callable) -> Callable:
        for each in (name, *more):
            setattr(Tensor, each, function)
        return function

    return install
