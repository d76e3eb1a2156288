"""How a pointwise operation works: `Pointwise` is made from one table entry (see pointwise.py).

The entry gives numpy code, a C++ expression and gradient rules. From it come the function, the
method, the in-place form, the kernels for every dtype and layout, and a fused backward kernel:
the rules are called with `Expr`s and so write its body.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from ..autograd.layers import LAYERS, LayerArray, top_level
from ..autograd.modes import MODES, state
from ..autograd.node import FLAT, LEAF, Node, new_node, saved_of
from ..cuda.array import Array
from ..cuda.elementwise import broadcast_shapes, elementwise
from ..locks import new_lock
from ..meta import HANDLERS
from ..tensor import Tensor, wrap
from .expr import Expr, literal, substitute
from .reduce import sum_to_size_op
from .registry import Op, parameters_of
from .saved import from_saved, pack, unpack, with_zeros

ndarray, generic, float32, float64 = np.ndarray, np.generic, np.float32, np.float64
_new = object.__new__
_FLOAT32 = np.dtype(np.float32)
_NUMBERS = (int, float, bool, generic)
_I64 = np.dtype(np.int64)
runs_lock = new_lock()  # taken to add to `Pointwise.runs`, and to open and close regions of autocast
_F32, _F64 = np.dtype(np.float32), np.dtype(np.float64)  # dtypes with numpy arithmetic of their own
_BOOL = np.dtype(np.bool_)


# PyTorch takes numbers alone for these, as if the first were a tensor.
_OF_NUMBERS = frozenset(("add", "sub", "mul", "div", "floor_divide"))


class Pointwise(Op):
    """An elementwise operation with broadcasting and type promotion.

    Args:
        name: the public name.
        cuda: C++ expression of the inputs' and attributes' names.
        cpu: numpy code of the same parameters.
        grad: {input: rule(g, …)}; a rule for a one-input op may be given bare.
        result: 'same' (the promoted dtype), 'float' (integers become the default float dtype), or 'bool'.
        inputs: 'all' dtypes, or 'number' (no bool), 'integer' (integers and bool), 'float'.
        cuda_int: the C++ expression for integer dtypes, if it differs.
        conditions: inputs that are bool whatever the others are.
        half: 'exact' if numpy code may run in a half dtype (one rounding), else it runs in float32.
        overwrite: function of the numpy array g and the second value that a node saved; it computes the first input's
            gradient into g.
    """

    def __init__(
        self,
        name: str,
        cuda: str,
        cpu: Callable,
        grad: Any = None,
        *,
        result: str = "same",
        inputs: str = "all",
        cuda_int: str | None = None,
        conditions: Sequence[str] = (),
        half: str = "exact",
        parameters: str | None = None,
        differentiable: bool = True,
        overwrite: Callable | None = None,
    ):
        names = parameters_of(cpu)[0] if parameters is None else parameters.split(", ")
        if callable(grad):
            grad = {names[0]: grad}
        differentiable = differentiable and result != "bool" and inputs != "integer"
        super().__init__(
            name, cpu, self._cuda, grad, differentiable=differentiable, inputs=parameters and names
        )
        self.ufunc = cpu
        self.expression, self.expression_int = cuda, cuda_int or cuda
        self.result, self.accepts, self.half = result, inputs, half
        self.conditions = {self.inputs.index(c) for c in conditions}
        if result == "bool":
            self.has_gradient = False
        self.attribute_names = sorted(self.attributes)
        self._forward: dict[tuple, Any] = {}
        self.runs: dict[Any, Any] = {}  # layouts of the inputs -> the forward launch, for the doors
        self._fused: dict[tuple, Any] = {}
        n = len(self.inputs)
        # Saved values of a node: one slot an input, one for the output, one for the inputs' shapes
        # where broadcasting happened; None where no rule asks.
        self.positions = [
            None if r is None else [_slot(want, n) for want in r.wants if want[0] != "g"] for r in self.rules
        ]
        self.runners = [
            None if r is None else _runner(r, p or []) for r, p in zip(self.rules, self.positions)
        ]
        # The rules of nodes whose saved values are FLAT
        self.flat_runners = [
            None if r is None else _flat_runner(r, p or []) for r, p in zip(self.rules, self.positions)
        ]
        self.flat_vjp: Any = None  # `vjp` of such nodes (doors.py)
        self._keep: dict[tuple, tuple] = {}
        self.overwrite = overwrite
        # The kinds of numpy dtypes that `of_integers` takes.
        self.whole_kinds = ""
        if len(self.inputs) <= 2 and not self.attributes and result != "float" and inputs != "float":
            self.whole_kinds = "iu" if inputs == "number" else "biu"
        self.takes_floats = inputs != "integer"

    # ---- what is saved ----
    def kept_for(self, needs: tuple) -> tuple:
        """One bool a slot: whether some rule of the inputs that need a gradient asks for it."""
        kept = self._keep.get(needs)
        if kept is None:
            flags = [False] * (len(self.inputs) + 1)
            for need, positions in zip(needs, self.positions):
                if need and positions:
                    for p in positions:
                        flags[p] = True
            kept = self._keep[needs] = tuple(flags)
        return kept

    def record(
        self, tensors: Sequence[Any], values: Sequence[Any], output: Tensor, attrs: dict | None
    ) -> None:
        """Links `output` to the tape. `tensors` are the operands as Tensors or numbers, `values` their arrays."""
        edges = []
        found = False
        for t, rule in zip(tensors, self.runners):
            edge = t._edge if isinstance(t, Tensor) and rule is not None else None
            if edge is not None:
                found = True
                if edge is LEAF:
                    edge = t
            edges.append(edge)
        if not found:
            return
        kept = self.kept_for(tuple([e is not None for e in edges]))
        saved: list = []
        checks: list = []
        for keep, t, value in zip(kept, (*tensors, output), (*values, output._a)):
            if keep:
                saved.append(value)
                if isinstance(t, Tensor):
                    cell = t._version_cell()
                    checks += (cell, cell[0])
            else:
                saved.append(None)
        out_shape = output._a.shape
        shapes = tuple([getattr(v, "shape", ()) for v in values])
        saved.append(None if all(s == out_shape for s in shapes) else shapes)
        output._edge = new_node(self, tuple(edges), pack(tuple(saved), checks), checks or None, attrs)

    # ---- forward ----
    def of_floats(self, inputs: Sequence[Any], attrs: dict) -> Tensor | None:
        """The operation on float32 or float64 numbers on the CPU of which none is to convert, in few steps; None if they are
        others."""
        d: Any = None
        recorded = False
        values: list[Any] = []
        k = 0
        for x in inputs:
            if isinstance(x, Tensor):
                a = x._a
                if not isinstance(a, (ndarray, generic)):
                    return None
                if k in self.conditions:
                    if a.dtype is not _BOOL:
                        return None
                elif a.dtype is not d:
                    if d is not None or a.dtype is not _F32 and a.dtype is not _F64:
                        return None
                    d = a.dtype
                if x._edge is not None:
                    recorded = True
                values.append(a)
            elif type(x) is float or type(x) is int:
                values.append(float(x))
            else:
                return None
            k += 1
        if d is None:
            return None
        try:
            output = wrap(self.cpu(*values, **attrs))
        except ValueError:
            broadcast_shapes(self.name, *[getattr(v, "shape", ()) for v in values])
            raise
        if MODES and not state.grad:
            return output
        if recorded and self.has_gradient:
            self.record(inputs, values, output, attrs or None)
        return output

    def of_integers(self, x: Any, y: Any = None) -> Tensor | None:
        """The operation on integers or bools on the CPU of which none is to convert, in few steps; None if they are others."""
        if type(x) is not Tensor:
            return None
        a = x._a
        if not isinstance(a, (ndarray, generic)) or a.dtype.kind not in self.whole_kinds:
            return None
        if y is None:
            return wrap(self.cpu(a)) if len(self.inputs) == 1 else None
        if type(y) is Tensor:
            b = y._a
            if not isinstance(b, (ndarray, generic)) or b.dtype is not a.dtype:
                return None
        elif type(y) is int and -(1 << 31) <= y < 1 << 31 and a.dtype is _I64:
            b = y
        else:
            return None
        try:
            return wrap(self.cpu(a, b))
        except ValueError:
            broadcast_shapes(self.name, a.shape, getattr(b, "shape", ()))
            raise

    def __call__(self, *inputs: Any, out: Any = None, **attrs: Any) -> Any:
        if out is None:
            if self.whole_kinds and len(inputs) <= 2:
                found = self.of_integers(*inputs)
                if found is not None:
                    return found
            if self.takes_floats:
                found = self.of_floats(inputs, attrs)
                if found is not None:
                    return found
        tensors = False
        for x in inputs:
            if isinstance(x, Tensor):
                tensors = True
            elif type(x) is Expr:
                return self._expr(inputs, attrs)
            elif type(x) is complex:
                dt.complex64.np  # noqa: B018  (a complex number may come before any complex tensor)
        if not tensors:
            for x in inputs:
                if isinstance(x, ndarray):
                    return self.cpu(*inputs, **attrs)
                if hasattr(x, "layout"):
                    return self._cuda(*inputs, **attrs)
            if any(isinstance(x, generic) for x in inputs):
                return self.cpu(*inputs, **attrs)
            if self.name in _OF_NUMBERS and all(isinstance(x, (int, float, complex)) for x in inputs):
                from .creation import tensor

                return self(tensor(inputs[0]), *inputs[1:], out=out, **attrs)
            seen = ", ".join(type(x).__name__ for x in inputs)
            raise TypeError(f"{self.name}: expected a Tensor, got {seen}; make one with gradgpu.tensor(...)")
        if HANDLERS:
            for x in inputs:
                handler = HANDLERS.get(type(x._a)) if isinstance(x, Tensor) else None
                if handler is not None:
                    return handler(self, inputs, attrs)
        if dt.complex_seen and any(_is_complex(x) for x in inputs):
            return self._complex(inputs, out, attrs)
        operands = self._operands(inputs)
        values = [t._a if isinstance(t, Tensor) else t for t in operands]
        level = top_level(values) if LAYERS else None
        made = (
            level.run(self, operands, values, attrs)
            if level is not None
            else self._cuda(*values, **attrs)
            if any(hasattr(v, "layout") for v in values)
            else self._numpy(values, attrs)
        )
        output = wrap(made)
        if self.has_gradient and state.grad:
            self.record(operands, values, output, attrs or None)
        if out is not None:
            from .inplace import write_out

            return write_out(self.name, out, output)
        return output

    def _complex(self, inputs: Sequence[Any], out: Any, attrs: dict) -> Any:
        from .complex import pointwise

        output = pointwise(self, tuple(inputs), attrs)
        if out is not None:
            from .inplace import write_out

            return write_out(self.name, out, output)
        return output

    def _operands(self, inputs: Sequence[Any]) -> list:
        """Tensors of one dtype on one device, and Python numbers that fit them."""
        inputs = [wrap(x) if isinstance(x, ndarray) else x for x in inputs]
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        for x in inputs:
            if not isinstance(x, (Tensor, *_NUMBERS)):
                raise TypeError(f"{self.name}: operands must be Tensors or numbers, got {type(x).__name__}")
        sharers = [x for k, x in enumerate(inputs) if k not in self.conditions]
        plain = [x.item() if isinstance(x, generic) else x for x in sharers]
        d = dt.result_type(*plain) if plain else dt.bool
        if self.result == "float" and not d.is_floating_point:
            d = dt.get_default_dtype()
        self._accept(d)
        # A 0-dim cpu tensor may meet a cuda tensor, as a number may.
        cuda = next((t for t in tensors if t.is_cuda), None)
        operands: list = []
        for k, x in enumerate(inputs):
            if isinstance(x, Tensor):
                if cuda is not None and x.device != cuda.device:
                    if x.ndim or x.is_cuda:
                        seen = ", ".join(str(t.device) for t in tensors)
                        raise RuntimeError(
                            f"{self.name}: expected all tensors to be on the same device, but found {seen}; "
                            f"move them to one device, e.g. x.to('{cuda.device}')"
                        )
                    x = x.to(cuda.device)
                if k in self.conditions:
                    if x.dtype is dt.uint8:  # bools, before there were any
                        warnings.warn(
                            f"{self.name} received a uint8 {self.inputs[k]}. This is deprecated; use {self.inputs[k]}.bool()",
                            UserWarning,
                            stacklevel=4,
                        )
                        x = x.to(dt.bool)
                    elif x.dtype is not dt.bool:
                        raise RuntimeError(
                            f"{self.name}: expected {self.inputs[k]} to be a boolean tensor, got {x.dtype}; use {self.inputs[k]}.bool()"
                        )
                elif x.dtype is not d:
                    x = x.to(d)
                operands.append(x)
            else:
                x = x.item() if isinstance(x, generic) else x
                if k in self.conditions:
                    x = bool(x)
                elif d.is_floating_point:
                    x = float(x)
                elif self.result == "same" and d is not dt.bool:
                    x = _wrapped(int(x), d)
                operands.append(x)
        return operands

    def _accept(self, d: dt.dtype) -> None:
        bad = {
            "all": False,
            "number": d is dt.bool,
            "integer": d.is_floating_point,
            "float": not d.is_floating_point,
        }[self.accepts]
        if bad:
            hint = (
                "x.float()"
                if self.accepts == "float"
                else "x.long()"
                if self.accepts == "integer"
                else "x.int()"
            )
            raise NotImplementedError(
                f"{self.name}: not implemented for {d} tensors; convert them first, e.g. {hint}"
            )

    def _numpy(self, values: Sequence[Any], attrs: dict) -> Any:
        arrays = (
            v for k, v in enumerate(values) if isinstance(v, (ndarray, generic)) and k not in self.conditions
        )
        d = next((v.dtype for v in arrays), None)
        if (
            d is not None
            and _is_half(d)
            and (self.half != "exact" or attrs or any(isinstance(v, (int, float)) for v in values))
        ):
            # One rounding at the end; a number beside a half tensor keeps its float32 value.
            made = self.cpu(*[_widened(v, d) for v in values], **attrs)
            return made.astype(d) if made.dtype == _FLOAT32 else made
        try:
            return self.cpu(*values, **attrs)
        except ValueError:
            broadcast_shapes(self.name, *[getattr(v, "shape", ()) for v in values])
            raise

    def _names(self, numbers: Sequence[bool]) -> tuple[dict[str, str], int]:
        """C++ names of inputs and attributes; numbers and attributes are scalars of the launch."""
        names: dict[str, str] = {}
        k = s = 0
        for name, number in zip(self.inputs, numbers):
            if number:
                names[name], s = f"s{s}", s + 1
            else:
                names[name], k = f"in{k}", k + 1
        for name in self.attribute_names:
            names[name], s = f"s{s}", s + 1
        return names, s

    def kernel(self, dtypes: Sequence[dt.dtype | None]) -> Any:
        """The forward kernel for inputs of these dtypes (None: a Python number)."""
        names, scalars = self._names([d is None for d in dtypes])
        types = [d for d in dtypes if d is not None]
        compute = next(
            (d for k, d in enumerate(dtypes) if d is not None and k not in self.conditions), dt.bool
        )
        target = dt.bool if self.result == "bool" else compute
        if self.result == "bool" and scalars and not compute.is_floating_point:
            compute = dt.int64  # a number may lie outside the tensor's dtype
        text = substitute(self.expression if compute.is_floating_point else self.expression_int, names)
        body = f"out0 = {text};" if target is dt.bool else f"out0 = store<{target.cname}>({text});"
        tag = "".join("s" if d is None else "" for d in dtypes)
        return elementwise(self.name + ("_" + tag if tag else ""), types, (target,), scalars, body, compute)

    def _cuda(self, *values: Any, **attrs: Any) -> Any:
        key = tuple([v.layout.dtype if hasattr(v, "layout") else None for v in values])
        run = self._forward.get(key)
        if run is None:
            run = self._forward[key] = self.kernel(
                [None if d is None else dt.from_numpy_dtype(d) for d in key]
            )
        scalars = [v for v in values if not hasattr(v, "layout")]
        if attrs:
            scalars += [attrs[name] for name in self.attribute_names]
        arrays = [v for v in values if hasattr(v, "layout")]
        if not attrs and len(values) < 3 and hasattr(values[0], "layout"):
            self._remember(run, arrays, scalars)
        return run(arrays, scalars)

    def _remember(self, run: Any, arrays: list, scalars: list) -> None:
        """Keeps the launch under the key by which a door looks for it."""
        launch = run.plan(arrays).runner(len(scalars))
        layout = arrays[0].layout
        keys: list[Any] = [layout if len(arrays) == 1 else (layout, arrays[1].layout)]
        if scalars:
            # A float tensor takes any number; an integer one would be promoted by a float, a bool one by both.
            numbers = (
                () if run.compute is dt.bool else (float, int) if run.compute.is_floating_point else (int,)
            )
            keys = [(layout, number) for number in numbers]
        with runs_lock:
            if (
                type(self)._remember is not Pointwise._remember
            ):  # another thread has opened a region of autocast since
                return
            if len(self.runs) > 4096:
                self.runs.clear()
            self.runs.update(dict.fromkeys(keys, launch))

    def _expr(self, inputs: Sequence[Any], attrs: dict) -> Expr:
        names = {name: literal(x) for name, x in zip(self.inputs, inputs)}
        names.update({name: literal(x) for name, x in attrs.items()})
        return Expr(f"({substitute(self.expression, names)})")

    def n_outputs_of(self, node: Node) -> int:
        return 1

    def saved_names(self, node: Node) -> dict[str, int]:
        saved = saved_of(node)
        values = saved if type(saved) is tuple else saved.values
        slots = ["self", *self.inputs[1:], "result"]
        if len(self.inputs) == 2:
            slots[1] = "other"
        names = {name: p for p, name in enumerate(slots) if values[p] is not None}
        names.update({name: p for p, name in enumerate(self.inputs) if values[p] is not None})
        return names

    def saved_tensor(self, node: Node, position: int) -> Any:
        value = unpack(node)[position]
        return self._lifted(node, position, value)

    @staticmethod
    def _lifted(node: Node, position: int, v: Any) -> Any:
        if not isinstance(v, (ndarray, generic, Array, LayerArray)):
            return v
        return from_saved(v, node.edges[position] if position < len(node.edges) else node)

    # ---- backward ----
    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        saved = unpack(node)
        attrs = None if node.saved is FLAT else node.attrs
        if create_graph:
            saved = (*[self._lifted(node, p, v) for p, v in enumerate(saved[:-1])], saved[-1])
            grads = self._gradients(g, saved, edges, attrs)
            return with_zeros(grads, edges) if self.zero_second else grads
        if not isinstance(g, (ndarray, generic)):
            return self.fused_vjp(g, saved, edges, attrs)
        if _is_half(g.dtype):
            # The rule runs in float32 and rounds once, as the fused kernel does.
            d = g.dtype
            wide = (*[_widened(v, d) for v in saved[:-1]], saved[-1])
            grads = self._gradients(g.astype(_FLOAT32), wide, edges, attrs)
            return [None if h is None else h.astype(d) for h in grads]
        return self._gradients(g, saved, edges, attrs)

    def _gradients(self, g: Any, saved: tuple, edges: tuple, attrs: dict | None) -> list:
        """The rules' results, summed over what was broadcast."""
        shapes = saved[-1]
        grads: list[Any] = []
        for k, edge in enumerate(edges):
            if edge is None:
                grads.append(None)
            else:
                h = self.runners[k](g, saved, attrs)  # type: ignore[misc]
                if shapes is not None and h.shape != shapes[k]:
                    h = sum_to_size_op(h, shape=shapes[k])
                grads.append(h)
        return grads

    def fused_vjp(self, g: Any, saved: tuple, edges: tuple, attrs: dict | None) -> list:
        """All gradients by one kernel whose body the rules write."""
        key = _fused_key(g, saved, edges)
        found = self._fused.get(key)
        if found is None:
            if len(self._fused) > 4096:
                self._fused.clear()
            found = self._fused[key] = self._fused_plan(g, saved, edges)
        run, operands, where = found
        made: Any = ()
        if run is not None:
            if attrs:
                made = run(*operands((g, *saved)), *[attrs[name] for name in self.attribute_names])
            else:
                made = run(*operands((g, *saved)))
            if type(made) is not tuple:
                made = (made,)
        shapes = saved[-1]
        grads = []
        for k, place in enumerate(where):
            h = None if place is None else g if place < 0 else made[place]
            if h is not None and shapes is not None and h.shape != shapes[k]:
                h = sum_to_size_op(h, shape=shapes[k])
            grads.append(h)
        return grads

    def _fused_plan(self, g: Any, saved: tuple, edges: tuple) -> tuple:
        """The launch, what picks its operands from (g, *saved), and which of its outputs is the gradient of which input."""
        kinds = [None if v is None else v.layout.dtype if type(v) is Array else "number" for v in saved[:-1]]
        kernel, where = self.backward_kernel(tuple([e is not None for e in edges]), g.layout.dtype, *kinds)
        arrays = [0, *[k + 1 for k, v in enumerate(saved[:-1]) if type(v) is Array]]
        numbers = [k + 1 for k, kind in enumerate(kinds) if kind == "number"]
        values = (g, *saved)
        run = kernel and kernel.plan([values[k] for k in arrays]).runner(
            len(numbers) + len(self.attribute_names)
        )
        picked = (*arrays, *numbers)
        if len(picked) == 1:
            return run, _first, where
        return run, operator.itemgetter(*picked), where

    def backward_kernel(self, needs: tuple, g_dtype: Any, *kinds: Any) -> tuple:
        """The fused kernel and, for each input, which of its outputs is the gradient (-1: `g` itself)."""
        d = dt.from_numpy_dtype(g_dtype)
        names: list[Any] = []
        types = [d]
        s = 0
        for kind in kinds:
            if kind is None:
                names.append(None)
            elif isinstance(kind, str):
                names.append(Expr(f"s{s}"))
                s += 1
            else:
                names.append(Expr(f"in{len(types)}"))
                types.append(dt.from_numpy_dtype(kind))
        attrs = {name: Expr(f"s{s + k}") for k, name in enumerate(self.attribute_names)}
        where: list[int | None] = []
        bodies: list[str] = []
        for need, runner in zip(needs, self.runners):
            if not need:
                where.append(None)
                continue
            text = literal(runner(Expr("in0"), names, attrs))  # type: ignore[misc]
            if text == "in0":
                where.append(-1)
            else:
                where.append(len(bodies))
                bodies.append(f"out{len(bodies)} = store<{d.cname}>(static_cast<C>({text}));")
        if not bodies:
            return None, where
        tag = "".join("01"[n] for n in needs) + "".join(
            "_" if k is None else "s" if isinstance(k, str) else "" for k in kinds
        )
        scalars = s + len(self.attribute_names)
        run = elementwise(
            f"{self.name}_backward_{tag}", types, [d] * len(bodies), scalars, " ".join(bodies), d
        )
        return run, where

    def all_kernels(self) -> None:
        """Asks for every kernel that this op can need, for `make kernels`."""
        groups: dict[str, Sequence[dt.dtype]] = {
            "all": dt.ALL,
            "number": [d for d in dt.ALL if d is not dt.bool],
            "integer": [*dt.INTS, dt.bool],
            "float": dt.FLOATS,
        }
        types = [d for d in groups[self.accepts] if self.result != "float" or d.is_floating_point]
        n = len(self.inputs)
        patterns = [()] if n == 1 else [(), (n - 1,), (n - 2,)]
        for d in types:
            for numbers in patterns:
                row = [None if k in numbers else dt.bool if k in self.conditions else d for k in range(n)]
                self.kernel(row)
                if self.has_gradient and d.is_floating_point:
                    needs = tuple([r is not None and row[k] is not None for k, r in enumerate(self.rules)])
                    kept = (*self.kept_for(needs),)
                    kinds = [
                        None if not keep else "number" if t is None else t.np
                        for keep, t in zip(kept, (*row, d))
                    ]
                    if any(needs):
                        self.backward_kernel(needs, d.np, *kinds)


def _fused_key(g: Any, saved: tuple, edges: tuple) -> tuple:
    """What a fused backward launch depends on: layouts, which values are numbers, which gradients are wanted."""
    kinds = [v.layout if type(v) is Array else None if v is None else float for v in saved[:-1]]
    return (g.layout, *kinds, *[e is None for e in edges])


def _first(values: tuple) -> tuple:
    return values[:1]


def _wrapped(n: int, d: dt.dtype) -> int:
    """An integer as the dtype holds it: modulo 2^bits, where numpy would raise OverflowError."""
    span = 1 << (8 * d.itemsize)
    n %= span
    return n - span if d.is_signed and n >= span // 2 else n


def _is_complex(x: Any) -> bool:
    return x._a.dtype.kind == "c" if isinstance(x, Tensor) else isinstance(x, (complex, np.complexfloating))


def _is_half(d: Any) -> bool:
    return d.itemsize == 2 and d.kind in "fV"


def _widened(v: Any, d: Any) -> Any:
    """A half array as float32; anything else as it is."""
    return v.astype(_FLOAT32) if isinstance(v, (ndarray, generic)) and v.dtype == d else v


def _slot(want: tuple[str, int], n: int) -> int:
    kind, which = want
    if kind not in ("in", "out"):
        raise TypeError("a pointwise gradient rule may ask for g, inputs, y and attributes only")
    return n if kind == "out" else which


def same(g: Any, *_: Any) -> Any:
    return g


def _runner(rule: Any, positions: list[int]) -> Callable:
    """The rule as a function of (g, saved, attrs)."""
    f, names = rule.function, rule.attrs
    if names:
        return lambda g, s, attrs: f(g, *[s[p] for p in positions], **{name: attrs[name] for name in names})
    if not positions:
        return same if f(_PROBE) is _PROBE else (lambda g, s, attrs: f(g))
    if len(positions) == 1:
        p = positions[0]
        return lambda g, s, attrs: f(g, s[p])
    if len(positions) == 2:
        p, q = positions
        return lambda g, s, attrs: f(g, s[p], s[q])
    return lambda g, s, attrs: f(g, *[s[p] for p in positions])


def _flat_runner(rule: Any, positions: list[int]) -> Callable | None:
    """The rule as a function of g and a node, from whose places it takes what it asks for; None where there are none."""
    f = rule.function
    if rule.attrs or any(p > 1 for p in positions):
        return None
    if not positions:
        return same if f(_PROBE) is _PROBE else (lambda g, node: f(g))
    if positions == [0]:
        return lambda g, node: f(g, node.saved0)
    if positions == [1]:
        return lambda g, node: f(g, node.saved1)
    if positions == [0, 1]:
        return lambda g, node: f(g, node.saved0, node.saved1)
    return lambda g, node: f(g, node.saved1, node.saved0)


_PROBE = Expr("g")
