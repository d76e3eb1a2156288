"""Pointwise kernels made from an expression: layout analysis, choice of the kernel's shape, launch plans."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import dtypes as dt
from .array import Array, Layout, layout_of, on_device
from .backend import backend
from .compile import dtype_macros, module, source
from .launch import Buffer

MAX_DIMS = 8
ELEMENTWISE: dict[tuple, Elementwise] = {}  # every kernel that was asked for


def broadcast_shapes(name: str, *shapes: tuple) -> tuple:
    """The common shape of operands, by the rules of numpy and PyTorch."""
    ndim = max(map(len, shapes))
    out = [1] * ndim
    for shape in shapes:
        for d, n in enumerate(shape, ndim - len(shape)):
            if n != 1:
                if out[d] != 1 and out[d] != n:
                    seen = " and ".join(str(tuple(s)) for s in shapes)
                    raise RuntimeError(
                        f"{name}: the shapes {seen} cannot be broadcast together: {out[d]} and {n} differ at dimension "
                        f"{d} of the result and neither is 1"
                    )
                out[d] = n
    return tuple(out)


def collapse(shape: tuple, operands: Sequence[tuple]) -> tuple[list[int], list[list[int]]]:
    """Merges dimensions that all operands walk through in one stride; outermost first.

    >>> collapse((4, 5, 6), [(30, 6, 1), (0, 0, 1)])
    ([20, 6], [[6, 1], [0, 1]])
    """
    sizes: list[int] = []
    strides: list[list[int]] = [[] for _ in operands]
    for d, n in enumerate(shape):
        if n == 1:
            continue
        if sizes and all(s[-1] == o[d] * n for s, o in zip(strides, operands)):
            sizes[-1] *= n
            for s, o in zip(strides, operands):
                s[-1] = o[d]
        else:
            sizes.append(n)
            for s, o in zip(strides, operands):
                s.append(o[d])
    return sizes, strides


def fast_div(divisor: int) -> tuple[int, int, int]:
    """(divisor, magic, shift) for FastDiv of common.cuh: n / divisor = (mulhi(n, magic) + n) >> shift for n < 2**31.

    Granlund and Montgomery, Division by Invariant Integers using Multiplication, PLDI 1994.
    """
    shift = (divisor - 1).bit_length()
    return divisor, ((1 << 32) * ((1 << shift) - divisor)) // divisor + 1, shift


def expanded(layout: Layout, shape: tuple) -> tuple:
    """The strides of an operand that is broadcast to `shape`."""
    pad = len(shape) - layout.ndim
    return (0,) * pad + tuple(
        0 if n == 1 and m != 1 else s for n, m, s in zip(layout.shape, shape[pad:], layout.strides)
    )


class _Plan:
    """A decided launch: which function, how many threads, the constant part of the parameters. Calling it launches.

    `plan(*arrays, *scalars)` or, where the outputs are given, `plan(*arrays, *outputs, *scalars)`.
    """

    __slots__ = (
        "handle",
        "grid",
        "block",
        "outs",
        "tail",
        "tail_unaligned",
        "head",
        "inputs",
        "device",
        "free",
    )

    handle: Any
    grid: tuple
    block: tuple
    outs: tuple  # layouts
    tail: bytes
    tail_unaligned: bytes  # for addresses that are not multiples of 16
    head: struct.Struct  # pointers and scalars
    inputs: int
    device: int
    free: tuple[list[Buffer], list[Buffer]]  # parameter buffers, aligned and not

    def launch(self, pointers: Sequence[int], scalars: Sequence[Any]) -> None:
        """Launches on addresses: inputs, then outputs."""
        if not self.grid:
            return
        bits = 0
        for p in pointers:
            bits |= p
        odd = bits & 15 != 0
        try:
            buffer = self.free[odd].pop()
        except IndexError:
            tail = self.tail_unaligned if odd else self.tail
            buffer = Buffer(self.head.size + len(tail), bytes(self.head.size) + tail)
        if not self.inputs:
            pointers = (0, *pointers)
        self.head.pack_into(buffer.bytes, 0, *pointers, *(scalars or (0,)))
        b = backend()
        b.launch(self.handle, *self.grid, *self.block, 0, b.current_stream_ptr(), buffer.address, 0)
        self.free[odd].append(buffer)

    def run(self, *operands: Any) -> Any:
        """Allocates the outputs and launches: operands are arrays, then scalars."""
        with on_device(self.device):
            made = [_new_array(backend().alloc(layout.nbytes), layout) for layout in self.outs]
            arrays = operands[: self.inputs]
            self.launch([a.ptr for a in (*arrays, *made)], operands[self.inputs :])
        return made[0] if len(made) == 1 else tuple(made)

    def runner(self, scalars: int) -> Any:
        """`run`, in few steps where there is one device and all addresses are multiples of 16."""
        b = backend()
        if not self.grid or b.device_count() > 1:
            return self.run
        make = _straight(self.inputs, len(self.outs), scalars)
        launch = b.launch, self.handle, *self.grid, *self.block
        return make(
            self.run, self.free[0], self.head.pack_into, b.alloc, b.current_stream_ptr, self.outs, *launch
        )


@functools.cache
def _straight(inputs: int, outputs: int, scalars: int) -> Any:
    """Makes `run` of a plan with these numbers of operands, without loops: they would cost more than the launch."""
    xs, ys = [f"x{k}" for k in range(inputs)], [f"y{k}" for k in range(outputs)]
    operands = ", ".join([*xs, *[f"s{k}" for k in range(scalars)]])
    pointers = [f"{x}_ptr" for x in xs] or ["0"]
    packed = ", ".join([*pointers, *[f"{y}_ptr" for y in ys], *([f"s{k}" for k in range(scalars)] or ["0"])])
    lines = [
        "def make(run, free, pack, alloc, stream, outs, launch, handle, gx, gy, gz, bx, by, bz):",
        *[f"  {y}_layout = outs[{k}]; {y}_bytes = {y}_layout.nbytes" for k, y in enumerate(ys)],
        f"  def run_straight({operands}):",
        *[f"    {x}_ptr = {x}.ptr" for x in xs],
        f"    if ({' | '.join(pointers)}) & 15: return run({operands})",
        "    try: buffer = free.pop()",  # before anything that lets another thread take the last one
        f"    except IndexError: return run({operands})",
    ]
    for y in ys:
        lines += [
            f"    {y} = new(Array); {y}.layout = {y}_layout; {y}.mem = mem = alloc({y}_bytes)",
            f"    {y}.ptr = {y}_ptr = mem.ptr",
        ]
    lines += [
        f"    pack(buffer.bytes, 0, {packed})",
        "    launch(handle, gx, gy, gz, bx, by, bz, 0, stream(), buffer.address, 0)",
        "    free.append(buffer)",
        f"    return {', '.join(ys)}",
        "  return run_straight",
    ]
    names: dict[str, Any] = {"Array": Array, "new": object.__new__}
    exec("\n".join(lines), names)
    return names["make"]


def _new_array(mem: Any, layout: Layout) -> Array:
    return Array(mem, mem.ptr, layout)


class Elementwise:
    """One pointwise kernel for fixed dtypes.

    Args:
        name: becomes part of the kernels' names.
        inputs, outputs: dtypes; in `body` they are in0, in1, … and out0, out1, …
        scalars: how many numbers s0, s1, … the launch takes.
        body: C++ statements; `C` is the arithmetic type.
        compute: dtype of the arithmetic (half types compute in float32).
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[dt.dtype],
        outputs: Sequence[dt.dtype],
        scalars: int,
        body: str,
        compute: dt.dtype,
    ):
        self.name, self.inputs, self.outputs, self.scalars, self.body = (
            name,
            tuple(inputs),
            tuple(outputs),
            scalars,
            body,
        )
        self.compute = compute
        self.suffix = (self.inputs or self.outputs)[0].suffix
        # Integers travel as int64, so that they keep all bits.
        self.scalar_code = "q" if compute.category < dt.FLOAT else "d"
        self.vector = 16 // max(d.itemsize for d in (*self.inputs, *self.outputs))
        count = max(len(self.inputs), 1) + len(self.outputs)
        self.head = struct.Struct(f"@{count}Q{max(scalars, 1)}{self.scalar_code}")
        self.plans: dict[Any, _Plan] = {}

    def text(self) -> str:
        """The source that is compiled."""
        c = {"float16": "float", "bfloat16": "float"}.get(self.compute.name, self.compute.cname)
        listing = [
            f"#define ARITHMETIC {c}",
            f"#define SCALAR {'double' if self.scalar_code == 'd' else 'long long'}",
            f"#define N_INPUTS {len(self.inputs)}",
            f"#define N_OUTPUTS {len(self.outputs)}",
            f"#define N_SCALARS {self.scalars}",
            f"#define VECTOR {self.vector}",
            "#define INPUTS(DO) " + " ".join(f"DO({k}, {d.cname}, in{k})" for k, d in enumerate(self.inputs)),
            "#define OUTPUTS(DO) "
            + " ".join(f"DO({k}, {d.cname}, out{k})" for k, d in enumerate(self.outputs)),
            "#define SCALARS(DO) " + " ".join(f"DO({k}, s{k})" for k in range(self.scalars)),
            f"#define BODY {self.body}",
        ]
        macros = dtype_macros(
            **{f"E{k}": d for k, d in enumerate(dict.fromkeys((*self.inputs, *self.outputs, self.compute)))}
        )
        halves = {k: v for k, v in macros.items() if k.startswith("GG_")}
        return source("pointwise.cu", {"T_NAME": f"{self.name}_{self.suffix}", **halves}, "\n".join(listing))

    def entry(self, shape: str) -> str:
        """The name of the compiled function for a kernel shape: vector, rows, strided or wide."""
        return f"{shape}_{self.name}_{self.suffix}"

    def __call__(
        self, arrays: Sequence[Array], scalars: Sequence[Any] = (), into: Sequence[Array] | None = None
    ) -> Any:
        """Runs on arrays of the dtypes of `inputs`, broadcast together.

        Returns the output array, or a tuple of them if there are several; with `into` writes there.
        """
        if into is None:
            return self.plan(arrays).run(*arrays, *scalars)
        plan = self.plan(arrays, into)
        with on_device(plan.device):
            plan.launch([a.ptr for a in (*arrays, *into)], scalars)
        return into[0] if len(into) == 1 else tuple(into)

    def plan(self, arrays: Sequence[Array], into: Sequence[Array] | None = None) -> _Plan:
        """The launch for arrays of these layouts."""
        key: Any = tuple([a.layout for a in arrays])
        if into is not None:
            key = (*key, None, *[a.layout for a in into])
        found = self.plans.get(key)
        return self._plan(key, arrays, into) if found is None else found

    def _plan(self, key: Any, arrays: Sequence[Array], into: Sequence[Array] | None) -> _Plan:
        device = (arrays or into)[0].layout.device  # type: ignore[index]
        for a, d in zip((*arrays, *(into or ())), (*self.inputs, *(self.outputs if into else ()))):
            if a.dtype != d.np:
                raise TypeError(f"{self.name}: this kernel takes {d}, got an array of {a.dtype}")
        if into is None:
            shape = broadcast_shapes(self.name, *[a.shape for a in arrays])
            outs = tuple(layout_of(device, d.np, shape) for d in self.outputs)
        else:
            shape = into[0].shape
            outs = tuple(a.layout for a in into)
        plan = _Plan()
        plan.outs, plan.free, plan.head, plan.inputs, plan.device = (
            outs,
            ([], []),
            self.head,
            len(self.inputs),
            device,
        )
        strides = [expanded(a.layout, shape) for a in arrays] + [layout.strides for layout in outs]
        n = outs[0].size
        if n == 0:
            plan.grid = plan.block = ()
        else:
            self._choose(plan, shape, strides, n, device)
        if len(self.plans) > 4096:
            self.plans.clear()
        self.plans[key] = plan
        return plan

    def _choose(self, plan: _Plan, shape: tuple, strides: list[tuple], n: int, device: int) -> None:
        sizes, steps = collapse(shape, strides)
        n_in = len(self.inputs)
        if not sizes:
            sizes, steps = [1], [[1]] * len(strides)
        furthest = max(sum((m - 1) * abs(s) for m, s in zip(sizes, op)) for op in steps)
        most = backend().properties(device)["multiProcessorCount"] * 32
        if len(sizes) == 1 and all(s[0] == 1 for s in steps[n_in:]) and all(s[0] in (0, 1) for s in steps):
            broadcast = sum(1 << k for k, s in enumerate(steps[:n_in]) if s[0] == 0 and n > 1)
            name = "vector"
            vectors = n // self.vector
            plan.tail = struct.pack("@3q", n, vectors, broadcast)
            # A broadcast input needs no alignment, but its address is rarely odd: not worth a case.
            plan.tail_unaligned = struct.pack("@3q", n, 0, broadcast)
            plan.block = (min(256, -(-max(vectors, min(n, 256)) // 32) * 32), 1, 1)
            plan.grid = (min(-(-max(vectors, 1) // plan.block[0]), most), 1, 1)
        elif len(sizes) <= 2:
            name = "rows"
            if len(sizes) == 1:
                sizes, steps = [1, *sizes], [[0, *s] for s in steps]
            rows, columns = sizes
            count = len(strides)
            plan.tail = struct.pack(
                f"@{2 + 2 * count}q", rows, columns, *[s[0] for s in steps], *[s[1] for s in steps]
            )
            x = min(256, max(32, 1 << (columns - 1).bit_length()))
            y = max(1, 256 // x)
            plan.block = (x, y, 1)
            plan.grid = (min(-(-columns // x), most), min(-(-rows // y), 65535), 1)
        else:
            if len(sizes) > MAX_DIMS:
                raise RuntimeError(
                    f"{self.name}: {len(sizes)} dimensions cannot be merged into {MAX_DIMS} (shape {shape}); "
                    "make the operands contiguous first: x.contiguous()"
                )
            dims = len(sizes)
            sizes = sizes[::-1] + [1] * (MAX_DIMS - dims)
            steps = [s[::-1] + [0] * (MAX_DIMS - dims) for s in steps]
            flat = [s for op in steps for s in op]
            if n < 2**31 and furthest < 2**31:
                name = "strided"
                plan.tail = struct.pack(
                    f"@q{3 * MAX_DIMS}I{len(flat)}i1i",
                    n,
                    *[v for m in sizes for v in fast_div(m)],
                    *flat,
                    dims,
                )
            else:
                name = "wide"
                plan.tail = struct.pack(f"@{2 + MAX_DIMS + len(flat)}q", n, *sizes, *flat, dims)
            plan.block = (256, 1, 1)
            plan.grid = (min(-(-n // 256), most), 1, 1)
        if name != "vector":
            plan.tail_unaligned = plan.tail
        with on_device(device):
            plan.handle = (
                module(self.text(), f"pointwise.cu[{self.name}_{self.suffix}]")
                .function(self.entry(name))
                .handle
            )


def elementwise(
    name: str,
    inputs: Sequence[dt.dtype],
    outputs: Sequence[dt.dtype],
    scalars: int,
    body: str,
    compute: dt.dtype,
) -> Elementwise:
    """The one Elementwise with these properties."""
    key = (name, tuple(inputs), tuple(outputs), scalars, body, compute)
    found = ELEMENTWISE.get(key)
    if found is None:
        found = ELEMENTWISE.setdefault(key, Elementwise(name, inputs, outputs, scalars, body, compute))
    return found


def cast_kernel(source: dt.dtype, target: dt.dtype) -> Elementwise:
    """Copies with a conversion of dtype; NaN and every other non-zero value become True."""
    if target is dt.bool:
        body, compute = (
            f"out0 = in0 != ({'float' if source.itemsize == 2 and source.is_floating_point else source.cname})0;",
            source.to_real(),
        )
    else:
        value = "in0.re" if source.is_complex and not target.is_complex else "in0"
        body, compute = f"out0 = store<{target.cname}>({value});", target.to_real()
    if source is dt.bool and target is dt.bool:
        body = "out0 = in0;"
    return elementwise(f"cast_{target.suffix}", (source,), (target,), 0, body, compute)


def cast(x: Array, dtype: np.dtype) -> Array:
    """A contiguous copy of `x` as another dtype."""
    return cast_kernel(dt.from_numpy_dtype(x.dtype), dt.from_numpy_dtype(dtype))((x,))


def copy(x: Array) -> Array:
    """A contiguous copy of any layout."""
    return cast(x, x.dtype)


def copy_into(target: Array, values: Array) -> None:
    """Writes `values`, broadcast and converted, into `target`."""
    cast_kernel(dt.from_numpy_dtype(values.dtype), dt.from_numpy_dtype(target.dtype))(
        (values,), (), (target,)
    )


def fill(target: Array, value: Any) -> None:
    """Writes one number into every element of `target`."""
    d = dt.from_numpy_dtype(target.dtype)
    if d.is_complex:
        number = complex(value)
        kernel = elementwise("fill", (), (d,), 2, f"out0 = {d.cname}(s0, s1);", d.to_real())
        kernel((), (number.real, number.imag), (target,))
        return
    number = float(value) if d.is_floating_point else int(value)
    elementwise("fill", (), (d,), 1, f"out0 = store<{d.cname}>(s0);", d)((), (number,), (target,))


_sums: dict[tuple, Any] = {}


def add(a: Array, b: Array) -> Array:
    """The sum of two arrays of one dtype."""
    key = (a.layout, b.layout)
    run = _sums.get(key)
    if run is None:
        if len(_sums) > 4096:
            _sums.clear()
        run = _sums[key] = _adder(a).plan((a, b)).runner(0)
    return run(a, b)


def add_into(a: Array, b: Array) -> Array:
    """Adds `b` to `a` in place."""
    key = (a.layout, b.layout, None)
    plan = _sums.get(key)
    if plan is None:
        plan = _sums[key] = _adder(a).plan((a, b), (a,))
    with on_device(plan.device):
        plan.launch((a.ptr, b.ptr, a.ptr), ())
    return a


def _adder(a: Array) -> Elementwise:
    d = dt.from_numpy_dtype(a.dtype)
    return elementwise("add", (d, d), (d,), 0, f"out0 = store<{d.cname}>(in0 + in1);", d)


def all_kernels() -> Iterator[Elementwise]:
    """Copies, casts and fills for every dtype, for `make kernels`."""
    for a in dt.ALL:
        elementwise("fill", (), (a,), 1, f"out0 = store<{a.cname}>(s0);", a)
        for b in dt.ALL:
            cast_kernel(a, b)
    for c in dt.COMPLEXES:
        elementwise("fill", (), (c,), 2, f"out0 = {c.cname}(s0, s1);", c.to_real())
        for b in (*dt.ALL, *dt.COMPLEXES):
            cast_kernel(b, c)
            cast_kernel(c, b)
    from .complex import all_kernels as complex_kernels

    complex_kernels()
    yield from ELEMENTWISE.values()
