"""The one door: every number is made by an `Op`.

An Op checks devices, runs its cpu or cuda implementation and, where a gradient is wanted, links
the result to the tape with exactly the values its gradient rules ask for by parameter name (see
ARCHITECTURE.md, "An op").
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.layers import LAYERS, top_level
from ..autograd.modes import MODES, SPECIAL, state
from ..autograd.node import LEAF, Node, next_sequence, note_trace, select_node, show_saved
from ..cuda.array import Array, on_device
from ..meta import HANDLERS
from ..tensor import Tensor, wrap
from .saved import Saving, lift, pack, unpack, with_zeros

ndarray, generic = np.ndarray, np.generic

OPS: dict[str, Op] = {}  # every op by name
_ONE = (True, 1)  # the key of the plan for one input that needs a gradient and one output


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

    __slots__ = ("function", "wants", "attrs", "needs", "takes_all")

    def __init__(self, op: Op, function: Callable, argument: str):
        self.function = function
        self.wants: list[tuple[str, int]] = []  # ('g'|'in'|'shape'|'dtype'|'out'|'ins'|'shapes', which)
        self.attrs: list[str] = []
        self.needs = False  # whether it asks which inputs need a gradient
        self.takes_all = False  # whether it asks for every attribute
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
        self.takes_all = op.attributes == set(self.attrs)


# What PyTorch calls the nodes of operations that it has under another name: printed tensors show it.
_NODES = {
    "avg_pool2d": "AvgPool2D", "batch_norm": "NativeBatchNorm", "constant_pad": "ConstantPadNd", "conv2d": "Convolution",
    "conv2d_input_grad": "Convolution", "cross_entropy": "NllLoss", "diagonal_embed": "DiagEmbed",
    "layer_norm": "NativeLayerNorm", "linalg_cholesky": "LinalgCholeskyEx", "linalg_inv": "LinalgInvEx",
    "linalg_solve": "LinalgSolveEx", "log1p": "Log1P", "logsigmoid": "LogSigmoid", "max_pool2d": "MaxPool2DWithIndices",
    "norm2": "LinalgVectorNorm", "square": "Pow", "squared_error": "MseLoss",
}  # fmt: skip


class Op(Saving):
    """An operation with its implementations and gradient rules.

    Args:
        name: unique; `grad_fn` shows it.
        cpu: function of numpy arrays; positional parameters are tensors, keyword-only ones attributes.
        cuda: the same for `gradgpu.cuda.array.Array`s.
        grad: {input name: rule}, or
        grads: one rule for all inputs that returns a tuple.
        differentiable: False, or one bool an output, for outputs that carry no gradient.
        view: the output shares memory with the first input.
        inputs: the names of the inputs of a `cpu` that has no signature, a numpy ufunc.
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
        inputs: Sequence[str] | None = None,
    ):
        if name in OPS:
            raise ValueError(f"an op named {name!r} is registered already")
        self.name, self.cpu, self.view = name, cpu, view
        self.cuda: Any = cuda
        self.node_name = _NODES.get(name) or "".join([p[:1].upper() + p[1:] for p in name.split("_")])
        self.node_name += "Backward0"
        if inputs is None:
            self.inputs, named, self.variadic = parameters_of(cpu)
            self.attributes, self.defaults = set(named), dict(cpu.__kwdefaults__ or {})
        else:
            self.inputs, self.variadic, self.attributes, self.defaults = list(inputs), None, set(), {}
        self.unary = len(self.inputs) == 1 and self.variadic is None
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
        # Of operations that are linear in pieces, or all over: whether their gradient, as in PyTorch, counts as a function of
        # the first input, so that a second derivative is zeros and not an error.
        self.zero_second = False
        for input in self.inputs:
            show_saved(input)
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
        if type(first) is not Tensor and isinstance(first, (ndarray, generic)):
            return self.cpu(*inputs, **attrs)
        if self.unary and not LAYERS and not SPECIAL and isinstance(first, Tensor):
            a = first._a
            if type(a) is ndarray and a.dtype.kind != "c":
                return self._of_array(first, a, attrs)
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
        if self.view and tensors and isinstance(arrays[0], generic):
            first._materialise()  # a numpy scalar has no memory to share
            arrays[0] = first._a
        if HANDLERS:
            for a in arrays:
                handler = HANDLERS.get(type(a))
                if handler is not None:
                    return handler(self, inputs, attrs)
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
            if recorded and self.has_gradient and (not MODES or state.grad):
                self._link(inputs, arrays, outputs, attrs)
            return outputs
        output = wrap(made)
        if recorded and self.has_gradient and (not MODES or state.grad):
            self._link(inputs, arrays, (output,), attrs)
        if self.view:
            output._view_of(first, self, attrs)
        return output

    def _of_array(self, x: Tensor, a: Any, attrs: dict) -> Any:
        """The operation on its one input, an array on the CPU, in few steps."""
        made = self.cpu(a, **attrs)
        edge = x._edge
        recorded = edge is not None and self.has_gradient and (not MODES or state.grad)
        if type(made) is tuple:
            outputs = tuple([wrap(b) for b in made])
            if recorded:
                self._link((x,), (a,), outputs, attrs)
            return outputs
        t = wrap(made)
        if recorded:
            plan = self._plans.get(_ONE)
            if plan is None or plan.inputs or plan.others or not self.differentiable:
                self._link((x,), (a,), (t,), attrs)
            else:
                t._edge = node = Node()
                node.op, node.plan, node.seq = self, plan, next_sequence()
                node.all_edges = (x if edge is LEAF else edge,)
                node.saved = (a.shape,) if plan.shapes else ()
                node.checks = node.cell = node.extra = None
                node.attrs = {**self.defaults, **attrs} if self.defaults else attrs
        if self.view:
            t._view_of(x, self, attrs)
        return t

    def node_without_values(self, x: Tensor, attrs: dict, outputs: int) -> Node:
        """The node of an operation on one input that requires grad, if its rule asks for no values."""
        key = (True, outputs)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = Plan(self, key[:1], outputs)
        node = Node()
        node.op, node.plan, node.saved, node.attrs, node.seq = self, plan, (), attrs, next_sequence()
        node.all_edges = (x if x._edge is LEAF else x._edge,)
        node.checks = node.cell = node.extra = None
        return node

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
        if recorded and self.has_gradient and (not MODES or state.grad):
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
                isinstance(a, (ndarray, generic)) is cuda
                or cuda
                and (isinstance(first._a, (ndarray, generic)) or a.layout.device != first._a.layout.device)
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
        needs = []
        has_rule, k = self.has_rule, 0
        for t in inputs:
            edge = None if t is None or has_rule is not None and not has_rule[k] else t._edge
            edges.append(t if edge is LEAF else edge)
            needs.append(edge is not None)
            k += 1
        key = (*needs, len(outputs))
        try:
            plan = self._plans[key]
        except KeyError:
            plan = self._plans[key] = Plan(self, key[:-1], len(outputs)) if True in needs else None
        if plan is None:
            return
        checks: list = []
        saved = [arrays[k] for k in plan.inputs]
        for k in plan.inputs:
            t = inputs[k]
            if t is not None:
                cell = t._cell or t._version_cell()
                checks += (cell, cell[0])
        saved += [None if arrays[k] is None else arrays[k].shape for k in plan.shapes]
        if plan.others:
            saved += [self._saved(want, inputs, arrays, outputs, checks) for want in plan.others]
        node = Node()
        node.op, node.plan, node.seq = self, plan, next_sequence()
        node.all_edges, node.saved, node.checks = tuple(edges), tuple(saved), tuple(checks) or None
        node.cell = node.extra = None
        node.attrs = (
            self.defaults if not attrs else attrs if not self.defaults else {**self.defaults, **attrs}
        )
        if SPECIAL and state.special:
            node.saved = pack(node.saved, checks)
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
        kind = type(g)
        parts = g if kind is list else [g]
        tensors = create_graph
        if (
            not create_graph
            and kind is not np.float32
            and (kind is not ndarray or g.itemsize == 2)
            and any(map(_wants_tensors, parts))
        ):
            # On cuda every operator of a rule is a kernel launch, and numpy promotes bfloat16 beside a number
            # to float32: run the rule on Tensors, unrecorded.
            tensors = True
            parts = [p if p is None else wrap(p) for p in parts]
        values: list = [*parts, *saved]
        if tensors:
            values[len(parts) :] = [lift(node, want, v) for want, v in zip(plan.saves, saved)]
        grads: Any
        if self.joint is not None:
            grads = plan.joint(values, attrs, tuple([e is not None for e in edges]))
            if type(grads) is not tuple:
                grads = (grads,)
        elif len(edges) == 1:
            grads = (plan.rules[0](values, attrs, ()),)
        else:
            grads = [e if e is None else rule(values, attrs, ()) for e, rule in zip(edges, plan.rules)]
        if tensors and not create_graph:
            grads = [h if h is None else h._a for h in grads]
        return with_zeros(grads, edges) if create_graph and self.zero_second else grads


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
    every = rule.takes_all  # then the node's attributes are handed on as they are
    if rule.needs or -1 in places:

        def general(values: list, attrs: dict, needs: tuple) -> Any:
            named = attrs if every else {name: attrs[name] for name in names}
            chosen = [values[p] if p >= 0 else tuple(values[:outputs]) for p in places]
            return function(*chosen, needs=needs, **named) if rule.needs else function(*chosen, **named)

        return general
    if names and every:
        return lambda values, attrs, needs: function(*[values[p] for p in places], **attrs)
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
    return g is not None and (not isinstance(g, (ndarray, generic)) or g.dtype.itemsize == 2)


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


def older_form(function: Callable, args: Sequence[Any], operands: int, keywords: Sequence[str]) -> Any:
    """Calls `function` with the Tensors of `args` as its `operands` positional arguments and the numbers as `keywords`.

    PyTorch's deprecated overloads name the factors before what they multiply: ``add(input, alpha, other)``,
    ``addcmul(input, value, tensor1, tensor2)``, ``addmm(beta, input, alpha, mat1, mat2)``. In all of them
    Tensors and numbers have the order of the new form, so the types tell which is which.
    """
    tensors = [x for x in args if isinstance(x, Tensor)]
    numbers = [x for x in args if not isinstance(x, Tensor)]
    name = function.__name__
    fits = len(tensors) == operands and len(numbers) <= len(keywords) and tensors[-1] is args[-1]
    if not fits or not all(map(_is_number, numbers)):
        seen = ", ".join(type(x).__name__ for x in args)
        raise TypeError(
            f"{name}() takes {operands} Tensors, and {' and '.join(keywords)} as keyword arguments; got ({seen})"
        )
    given = ", ".join(f"{k}={v}" for k, v in zip(keywords, numbers))
    warnings.warn(
        f"{name} with numbers before its operands is deprecated; pass the operands first, then {given}",
        UserWarning,
        stacklevel=3,
    )
    return function(*tensors, **dict(zip(keywords, numbers)))


def refuse_others(op: str, **arguments: Any) -> None:
    """For functions that found an argument without an array: TypeError naming the first that is no Tensor."""
    for place, (name, x) in enumerate(arguments.items()):
        if not isinstance(x, Tensor) and (x is not None or name != "bias"):
            raise TypeError(
                f"{op}(): argument {name!r} (position {place + 1}) must be Tensor, not {type(x).__name__}; "
                "make one with gradgpu.tensor(...)"
            ) from None


def _is_number(x: Any) -> bool:
    return hasattr(x, "__float__")


_REFLECTED = {
    "add": "__radd__", "sub": "__rsub__", "mul": "__rmul__", "div": "__rtruediv__", "floor_divide": "__rfloordiv__",
    "remainder": "__rmod__", "matmul": "__rmatmul__",
}  # fmt: skip
_SEQUENCES = (
    list.__rmul__,
    tuple.__rmul__,
    str.__rmul__,
    bytes.__rmul__,
)  # which repeat themselves, as often as an integer says


def with_foreign(op: Any, input: Any, other: Any) -> Any:
    """`input · other` by what `other`, an object of another package, says about it (`__rmul__` …), as Python's operators do.

    Raises:
        TypeError: it says nothing.
    """
    reflected = getattr(type(other), _REFLECTED.get(op.name, ""), None)
    if reflected in _SEQUENCES:
        if op.name == "mul" and input._a.size == 1 and input._a.dtype.kind in "iu":
            return other * input.__index__()  # `[0] * n`
    elif reflected is not None:
        found = reflected(other, input)
        if found is not NotImplemented:
            return found
    return op(input, other)
