"""Tensor: an array on a device, its gradient, its version and its place on the tape.

No mathematics is here: the operations in `gradgpu.ops` install themselves as methods.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator, Sequence
from itertools import compress, repeat
from operator import is_not
from typing import TYPE_CHECKING, Any

import numpy as np

from . import dtypes as dt
from .autograd import engine
from .autograd.engine import early_leaves, run
from .autograd.layers import LAYERS, LayerArray, on_host
from .autograd.modes import INFERENCE, INFERRING, state
from .autograd.node import LEAF, SELECT, Node, RemovableHandle, hooked_leaves, leaf_extra
from .devices import CPU, device
from .layouts import strided
from .meta import MetaArray

ndarray = np.ndarray
generic = np.generic
_new = object.__new__
_META = device("meta")
_backward: Any = None  # autograd.backward, which is defined above this file


@functools.cache
def _cuda_device(index: int) -> device:
    """The one device object that tensors of this device show."""
    return device("cuda", index)


class Size(tuple):
    """A shape; a tuple with `numel()`."""

    def numel(self) -> int:
        """The number of elements."""
        n = 1
        for d in self:
            n *= d
        return n

    def __repr__(self) -> str:
        return f"gradgpu.Size([{', '.join(map(str, self))}])"

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        return Size(found) if isinstance(index, slice) else found


class Tensor:
    """A multi-dimensional array of one dtype on one device, with autograd. Made by `gradgpu.tensor` and others.

    Attributes:
        grad: the accumulated gradient (a Tensor or None); only leaves keep it, see `retain_grad`.
        requires_grad: whether operations on this tensor are recorded.
        grad_fn: the node that made it, None for a leaf.
    """

    # _a     the array: numpy's on cpu (a numpy scalar may stand for a 0-dim one), cuda.array.Array on cuda
    # _edge  None, LEAF (a leaf that requires grad) or the Node that made this tensor
    # _grad  the gradient, a Tensor or None
    # _cell  the version, a one-item list shared with views and with the node that made the tensor; None until somebody
    #        cares
    # _shared  None; of a view (base, chain, origin); of the base of views a list of weak references to them
    __slots__ = ("_a", "_edge", "_grad", "_cell", "_shared", "__dict__", "__weakref__")
    _a: Any
    _edge: Any
    _grad: Tensor | None
    _cell: list[int] | None
    _shared: Any

    # What few tensors have lives in __dict__; these are the values of all others. (Python is slow to look them up.)
    _hooks: Any = None  # of a leaf: node.Extra
    _post_hooks: dict | None = None
    # Of a leaf on cuda: the stream that added to its gradient last, where there are several
    _depositor: Any = None
    name: str | None = None
    is_sparse = is_sparse_csr = is_quantized = is_nested = is_mkldnn = is_mps = is_xpu = is_xla = (
        False  # kinds there are none of
    )
    layout = strided
    __array_priority__ = 1000  # numpy leaves mixed operators to us

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        __add__: Any
        __radd__: Any
        __sub__: Any
        __rsub__: Any
        __mul__: Any
        __rmul__: Any
        __truediv__: Any
        __rtruediv__: Any
        __pow__: Any
        __rpow__: Any
        __matmul__: Any
        __mod__: Any
        __floordiv__: Any
        __neg__: Any
        __abs__: Any
        __invert__: Any
        __and__: Any
        __or__: Any
        __xor__: Any
        __lt__: Any
        __le__: Any
        __gt__: Any
        __ge__: Any
        __getitem__: Any
        __setitem__: Any

        def __eq__(self, other: object) -> Any: ...
        def __ne__(self, other: object) -> Any: ...
        def __hash__(self) -> int: ...

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = _new(cls)
        self._a = self._edge = self._grad = self._cell = self._shared = None
        if INFERRING and state.inference:
            self._cell = INFERENCE
        return self

    def __init__(self, *data: Any, size: Any = None, device: Any = None):
        """`Tensor(2, 3)` is an uninitialised float32 tensor of that shape, `Tensor([1, 2])` a float32 copy."""
        from .ops.creation import legacy_constructor

        self._a = legacy_constructor(data if size is None else tuple(size), device)

    # ---- what it is ----
    @property
    def shape(self) -> Size:
        return Size(self._a.shape)

    @property
    def ndim(self) -> int:
        return self._a.ndim

    @property
    def dtype(self) -> dt.dtype:
        d = self._a.dtype
        return dt.FROM_NUMPY.get(d) or dt.from_numpy_dtype(d)

    @property
    def device(self) -> device:
        a = self._a
        if isinstance(a, (ndarray, generic)):
            return CPU
        if LAYERS and isinstance(a, LayerArray):
            return a.place
        if type(a) is MetaArray:
            return _META
        return _cuda_device(a.layout.device)

    @property
    def is_cuda(self) -> bool:
        return not self.is_cpu and type(self._a) is not MetaArray

    @property
    def is_meta(self) -> bool:
        """Whether the tensor has no memory: its device is 'meta'."""
        return type(self._a) is MetaArray

    @property
    def is_cpu(self) -> bool:
        a = self._a
        return isinstance(a, (ndarray, generic)) or bool(LAYERS) and on_host(a)

    @property
    def itemsize(self) -> int:
        return self._a.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._a.size * self._a.dtype.itemsize

    def size(self, dim: int | None = None) -> Any:
        """The shape, or its entry `dim`."""
        return self.shape if dim is None else self._a.shape[self._dim(dim, "size")]

    def dim(self) -> int:
        """The number of dimensions."""
        return self._a.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return int(self._a.size)

    nelement = numel

    def element_size(self) -> int:
        """The size of one element in bytes."""
        return self._a.dtype.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Steps between elements along each dimension, in elements."""
        a = self._a
        cpu = isinstance(a, (ndarray, generic))
        steps = tuple(s // a.dtype.itemsize for s in a.strides) if cpu else a.strides
        return steps if dim is None else steps[self._dim(dim, "stride")]

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether elements lie in row-major order without gaps."""
        a = self._a
        if isinstance(a, (ndarray, generic)):
            return bool(a.flags.c_contiguous)
        if type(a) is MetaArray:
            return True
        return a.inner.is_contiguous() if LAYERS and isinstance(a, LayerArray) else a.layout.contiguous

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating-point one."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is a complex one."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype can hold negative numbers."""
        return self.dtype.is_signed

    def is_same_size(self, other: Tensor) -> bool:
        """Whether the shapes are equal."""
        return self._a.shape == other._a.shape

    def is_nonzero(self) -> bool:
        """Whether the one element is not zero."""
        return bool(self)

    def data_ptr(self) -> int:
        """The address of the first element."""
        self._materialise()
        return self._a.ctypes.data if self.is_cpu else self._a.ptr

    def get_device(self) -> int:
        """The CUDA device's index, -1 elsewhere."""
        return self.device.index or 0 if self.is_cuda else -1

    def _dim(self, dim: int, op: str) -> int:
        """A dimension as a non-negative int."""
        n = self._a.ndim
        if not -max(n, 1) <= dim < max(n, 1):
            raise IndexError(
                f"{op}: Dimension out of range (expected to be in range of [{-max(n, 1)}, {max(n, 1) - 1}], but got {dim})"
            )
        return dim + max(n, 1) if dim < 0 else dim

    def __len__(self) -> int:
        if not self._a.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self._a.shape[0]

    def __bool__(self) -> bool:
        a = self._a
        if type(a) is np.bool_:
            return bool(a)
        if a.size != 1:
            raise RuntimeError(
                f"Boolean value of Tensor with {'more than one value' if a.size else 'no values'} is ambiguous "
                f"(shape {tuple(a.shape)}); use .any() or .all()"
            )
        return bool(self.item())

    def __iter__(self) -> Any:
        if not self._a.ndim:
            raise TypeError("iteration over a 0-d tensor")
        if self._edge is None and type(self._a) is ndarray and len(self._a) > 2 * _FIRST:
            return _rows(self)
        return iter(self.unbind(0))

    __hash__ = object.__hash__

    # ---- the tape ----
    @property
    def requires_grad(self) -> bool:
        return self._edge is not None

    @requires_grad.setter
    def requires_grad(self, flag: bool) -> None:
        if type(self._edge) is Node:
            if not flag:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in "
                    "a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
            return
        if flag and self.dtype.category < dt.FLOAT:
            raise RuntimeError(
                f"only Tensors of floating point and complex dtype can require gradients, this one is {self.dtype}"
            )
        if flag and self._cell is INFERENCE and not state.inference:
            raise RuntimeError(
                "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed."
            )
        self._edge = LEAF if flag else None

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Sets `requires_grad` in place; returns self."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        return type(self._edge) is not Node

    @property
    def grad_fn(self) -> Any:
        edge = self._edge
        if type(edge) is not Node:
            return None
        return edge.edges[0] if edge.op is SELECT else edge

    @property
    def output_nr(self) -> int:
        edge = self._edge
        return edge.saved if type(edge) is Node and edge.op is SELECT else 0

    @property
    def grad(self) -> Tensor | None:
        if self._grad is None and type(self._edge) is Node and not self.retains_grad:
            import warnings

            warnings.warn(
                "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
                "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf "
                "Tensor, use .retain_grad() on the non-leaf Tensor.",
                UserWarning,
                stacklevel=2,
            )
        return self._grad

    @grad.setter
    def grad(self, g: Tensor | None) -> None:
        if g is not None:
            if not isinstance(g, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(g).__name__}")
            if g is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if g.shape != self.shape or g.dtype is not self.dtype or g.device != self.device:
                raise RuntimeError(
                    f"assigned grad has {g.dtype}, shape {tuple(g.shape)} on {g.device}; the tensor has {self.dtype}, "
                    f"shape {tuple(self.shape)} on {self.device}: they must agree"
                )
        self._grad = g

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Computes the gradient of this tensor with respect to the leaves it depends on, adding it to their `.grad`.

        Args:
            gradient: the gradient of some scalar with respect to this tensor, of its shape; may be left out for a scalar.
            retain_graph: keep what the graph saved, so that backward may run again (default: `create_graph`).
            create_graph: record the backward pass itself, for higher derivatives.
            inputs: accumulate only into these tensors.

        >>> import gradgpu as gg
        >>> x = gg.tensor([2., 3., 4.], requires_grad=True)
        >>> (3 * x + 2).backward(gg.tensor([1., 1., 1.]))
        >>> x.grad
        tensor([3., 3., 3.])
        """
        if inputs is None and self._edge is not None:
            # The usual case, in few steps: a gradient that fits, or a scalar on the CPU.
            a = self._a
            g = None
            if isinstance(gradient, Tensor):
                b = gradient._a
                if isinstance(a, (ndarray, generic)):
                    if isinstance(b, (ndarray, generic)) and b.dtype is a.dtype and b.shape == a.shape:
                        g = gradient
                elif getattr(b, "layout", None) is getattr(a, "layout", a):
                    g = gradient
            elif gradient is None and a.shape == () and a.dtype.kind != "c":
                if isinstance(a, (ndarray, generic)):
                    g = wrap(a.dtype.type(1))
                elif not isinstance(a, LayerArray):
                    from .cuda.array import full

                    g = wrap(full((), 1, a.dtype, a.layout.device))
            if g is not None:
                keep = create_graph if retain_graph is None else retain_graph
                run((_edge_of(self),), (g,), keep=keep, create_graph=create_graph)
                return
        global _backward
        if _backward is None:
            from .autograd import backward as _backward
        _backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def detach(self) -> Tensor:
        """A tensor with the same memory that does not require grad."""
        self._materialise()
        a = self._a
        t = wrap(a.detach() if LAYERS and isinstance(a, LayerArray) else a)
        t._cell = self._version_cell()
        return t

    def detach_(self) -> Tensor:
        """Cuts this tensor off its history: it becomes a leaf that does not require grad."""
        if self._base is not None:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel "
                "(DDP) for training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets"
            )
        self._version_cell()  # what has saved this tensor knows of changes by its node alone
        self._edge = None
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without history; writes through it are not seen by version checks."""
        self._materialise()
        a = self._a
        t = wrap(a.detach() if LAYERS and isinstance(a, LayerArray) else a)
        t._cell = INFERENCE if self._cell is INFERENCE else None
        return t

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f".data expects a Tensor, got {type(value).__name__}")
        if self._edge is not None and value.dtype.category < dt.FLOAT:
            raise RuntimeError(
                f"data set to a tensor that requires gradients must be floating point or complex dtype, got {value.dtype}"
            )
        value._materialise()
        self._a = value._a

    @property
    def _version(self) -> int:
        if self._cell is INFERENCE:
            raise RuntimeError("Inference tensors do not track version counter.")
        cell = self._edge.cell if self._cell is None and type(self._edge) is Node else self._cell
        return 0 if cell is None else cell[0]

    def is_inference(self) -> bool:
        """Whether this tensor was made in inference mode (or is a view of one that was)."""
        return self._cell is INFERENCE

    def _version_cell(self) -> list[int]:
        cell = self._cell
        if cell is None:
            edge = self._edge
            if type(edge) is Node:
                cell = edge.cell
                if cell is None:
                    cell = edge.cell = [0]
            else:
                cell = [0]
            self._cell = cell
        return cell

    def _bump(self) -> None:
        """Counts a change of the memory; called after writing into `_a`."""
        cell = self._version_cell()
        if cell is not INFERENCE:
            cell[0] += 1

    def _materialise(self) -> None:
        """Makes a 0-dim numpy scalar a real array, so that its memory can be shared or written."""
        if isinstance(self._a, generic):
            self._a = np.asarray(self._a)

    def _view_of(self, parent: Tensor, op: Any, attrs: dict) -> None:
        """Notes that this tensor shares the memory of `parent`, as `op` made it."""
        shared = parent._shared
        base, chain, origin = shared if type(shared) is tuple else (parent, None, None)
        self._cell = parent._cell or parent._version_cell()
        if origin == "inference_mode" or INFERRING and state.inference:
            origin = "inference_mode"
        elif not state.grad:
            origin = "no_grad"
        self._shared = base, (chain, op, attrs), origin
        note_views(base, [weakref.ref(self)])

    @property
    def _base(self) -> Tensor | None:
        """The tensor whose memory this view shares."""
        shared = self._shared
        return shared[0] if type(shared) is tuple else None

    @property
    def _chain(self) -> tuple | None:
        """How this view comes from its base: (chain of the view it came from, op, attrs)."""
        shared = self._shared
        return shared[1] if type(shared) is tuple else None

    @property
    def _origin(self) -> Any:
        """Of a view that gradients cannot follow when it changes in place: what it came from."""
        shared = self._shared
        return shared[2] if type(shared) is tuple else None

    @property
    def _views(self) -> list | None:
        """Weak references to the views of this base."""
        shared = self._shared
        return shared if type(shared) is list else None

    def _is_view(self) -> bool:
        """Whether this tensor is a view of another one that autograd knows about."""
        return type(self._shared) is tuple

    def _accumulate(self, g: Any) -> None:
        """Adds a bare array to this gradient in place."""
        a = self._a
        a += g
        self._a = a
        if self._cell is not None:
            self._bump()

    def register_hook(self, hook: Any) -> RemovableHandle:
        """`hook(grad)` runs when the gradient of this tensor is computed and may return another one."""
        edge = self._edge
        if edge is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if type(edge) is Node:
            return RemovableHandle(edge._with_extra().tensor_hooks, hook)
        return RemovableHandle(leaf_extra(self).tensor_hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Any) -> RemovableHandle:
        """`hook(tensor)` runs after `.grad` of this leaf was updated."""
        if self._edge is not LEAF:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        if self._post_hooks is None:
            self._post_hooks = {}
        if not hooked_leaves:
            hooked_leaves.append(None)
        if not early_leaves:
            early_leaves.append(None)
        return RemovableHandle(self._post_hooks, hook)

    def retain_grad(self) -> None:
        """Lets a non-leaf keep its `.grad` in backward."""
        edge = self._edge
        if edge is None:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if type(edge) is Node:
            edge._with_extra().retain = weakref.ref(self)

    @property
    def retains_grad(self) -> bool:
        edge = self._edge
        return (
            type(edge) is Node
            and edge.extra is not None
            and edge.extra.retain is not None
            and edge.extra.retain() is self
        )

    # ---- values ----
    def item(self) -> Any:
        """The value of a one-element tensor as a Python number. Waits for the device."""
        a = self._a
        kind = type(a)
        if kind is np.float32 or kind is np.float64 or kind is np.int64:
            return a.item()
        if a.size != 1:
            raise RuntimeError(
                f"a Tensor with {a.size} elements cannot be converted to Scalar (shape {tuple(a.shape)})"
            )
        a = self._host()
        return _python_number(a.item() if a.dtype.kind != "V" else float(a.reshape(())))

    def tolist(self) -> Any:
        """Nested lists of Python numbers (one number for a 0-dim tensor). Waits for the device."""
        a = self._host()
        return (a.astype(np.float32) if a.dtype.kind == "V" else a).tolist()

    def numpy(self, *, force: bool = False) -> ndarray:
        """The values as a numpy array that shares memory with this cpu tensor. `force=True` detaches and copies to the host."""
        if force:
            return np.asarray(self._host())
        if self._edge is not None and state.grad:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
            )
        if not self.is_cpu:
            raise TypeError(
                f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
            )
        self._materialise()
        return self._host()

    def to_numpy(self) -> ndarray:
        """`numpy`, under the name by which plotting libraries ask what they do not know for an array.

        They know PyTorch's tensors by their class; others they would take apart, element by element.
        """
        return self.numpy()

    def _host(self) -> Any:
        """The values as a numpy array or scalar; a copy if they are on cuda."""
        return self._a if isinstance(self._a, (ndarray, generic)) else self._a.get()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        a = self.numpy()
        return (
            np.array(a, dtype, copy=copy)
            if copy is not None
            else a
            if dtype is None
            else a.astype(dtype, copy=False)
        )

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Tensor:
        """What numpy's elementwise functions make of a tensor is a tensor: `np.exp(x)`."""
        return wrap(array)

    def _scalar(self) -> Any:
        """`item` for Python's own conversions, which refuse several elements with an error of their own: other libraries,
        matplotlib among them, try and go on."""
        if self._a.size != 1:
            raise ValueError(
                f"only one element tensors can be converted to Python scalars, got shape {tuple(self._a.shape)}"
            )
        value = self.item()
        if type(value) is complex:
            if value.imag:
                raise RuntimeError(f"{value} has an imaginary part and cannot be converted to a real number")
            return value.real
        return value

    def __float__(self) -> float:
        return float(self._scalar())

    def __complex__(self) -> complex:
        if self._a.size != 1:
            self._scalar()  # raises
        return complex(self.item())

    def __int__(self) -> int:
        return int(self._scalar())

    def __index__(self) -> int:
        if self._a.size != 1 or self.dtype.category != dt.INTEGER:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __format__(self, spec: str) -> str:
        # As PyTorch: f"{loss}" is the number, that of a Parameter or of another subclass its text.
        if not self._a.ndim and (spec or type(self) is Tensor):
            return format(self.item(), spec)
        return object.__format__(self, spec)

    @property
    def _cdata(self) -> int:
        """A number that tells tensors apart, as PyTorch's address of its tensor in C."""
        return id(self)

    def __contains__(self, value: Any) -> bool:
        if isinstance(value, (Tensor, int, float, complex, np.generic)):
            return bool((self == value).any())
        raise RuntimeError(
            f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(value).__name__}"
        )

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        from .printing import tensor_text

        a = self._a
        return a.text() if isinstance(a, LayerArray) else tensor_text(self)

    # ---- exchange with other libraries ----
    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._edge is not None:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        self._materialise()
        return self._a.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple:
        return (1, 0) if self.is_cpu else (2, self._a.layout.device)

    @property
    def __cuda_array_interface__(self) -> dict:
        if self.is_cpu:
            raise AttributeError("a cpu tensor has no __cuda_array_interface__; use x.cuda()")
        if self._edge is not None:
            raise RuntimeError(
                "Can't get __cuda_array_interface__ on Variable that requires grad. Use var.detach() first."
            )
        return self._a.__cuda_array_interface__

    def __deepcopy__(self, memo: dict) -> Tensor:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol"
            )
        import copy

        t = _new(type(self))
        memo[id(self)] = t
        t._a = self._a.copy()
        t._edge, t._cell, t._shared = self._edge, None, None
        t._grad = copy.deepcopy(self._grad, memo)
        for key, value in self.__dict__.items():
            if key not in ("_hooks", "_post_hooks", "_depositor"):
                t.__dict__[key] = copy.deepcopy(value, memo)
        return t

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Of a tensor that was computed the pickle keeps that it requires grad, as PyTorch's; its history stays here.
        return _rebuild, (type(self), np.asarray(self._host()), str(self.device), self.requires_grad)


def _rebuild(cls: type, values: ndarray, where: str, requires_grad: bool) -> Tensor:
    """Unpickles a tensor."""
    from .ops.creation import array_on

    t: Tensor = cls.__new__(cls)  # type: ignore[call-overload]
    t._a = array_on(values, device(where))
    t._edge = LEAF if requires_grad else None
    return t


def wrap(array: Any) -> Tensor:
    """A Tensor of a bare array, without history."""
    t = _new(Tensor)
    t._a = array
    t._edge = t._grad = t._cell = t._shared = None
    if INFERRING and state.inference:
        t._cell = INFERENCE
    return t


engine.Tensor, engine.wrap = Tensor, wrap


def note_views(base: Tensor, refs: list) -> None:
    """Lets the base of new views know them, by weak references."""
    known = base._shared
    if known is None:
        base._shared = refs
        return
    if len(known) & 63 > 63 - len(refs):
        # In one go, without a step of Python between: another thread may be about to add one.
        known[:] = compress(known, map(is_not, map(weakref.ref.__call__, known), repeat(None)))
    known += refs


_FIRST = 8


def _rows(t: Tensor) -> Iterator[Tensor]:
    """The rows of a long tensor, a few of them before the others are made: plotting libraries look at the first again and
    again."""
    yield from t[:_FIRST].unbind(0)
    yield from t[_FIRST:].unbind(0)


def _python_number(value: Any) -> Any:
    return value.item() if isinstance(value, generic) else value


def is_tensor(obj: Any) -> bool:
    """Whether `obj` is a gradgpu Tensor."""
    return isinstance(obj, Tensor)


def is_inference(input: Tensor) -> bool:
    """Whether `input` was made in inference mode; see `Tensor.is_inference`."""
    return input.is_inference()


def run_backward(
    tensors: Sequence[Any],
    gradients: Sequence[Tensor],
    keep: bool,
    create_graph: bool,
    targets: Sequence[Any] | None = None,
    deposit: bool = False,
) -> list:
    """`engine.run` from tensors, or graph edges, to tensors or edges."""
    roots = [_edge_of(t) if isinstance(t, Tensor) else _tape_edge(t, True) for t in tensors]
    edges = None
    if targets is not None:
        edges = [_edge_of(t) if isinstance(t, Tensor) else _tape_edge(t, False) for t in targets]
    return run(roots, gradients, keep=keep, create_graph=create_graph, targets=edges, deposit_targets=deposit)


def _tape_edge(edge: Any, as_root: bool) -> Any:
    from .autograd.graph import tape_edge

    return tape_edge(edge, as_root)


def _edge_of(t: Tensor) -> Any:
    return t if t._edge is LEAF else t._edge


__all__ = ["Size", "Tensor", "is_inference", "is_tensor"]
