"""gradgpu: autograd on CUDA kernels that a person can read.

A `Tensor` runs each operation in numpy on 'cpu' or in a hand-written CUDA kernel on 'cuda'; one
tape serves both. Names and semantics are PyTorch's.

>>> import gradgpu as gg
>>> x = gg.tensor([2., 3., 4.], requires_grad=True)
>>> y = 3 * x + 2
>>> y.backward(gg.tensor([1., 1., 1.]))
>>> x.grad
tensor([3., 3., 3.])
"""

from __future__ import annotations

import gc as _gc
import warnings as _warnings
from typing import TYPE_CHECKING as _TYPE_CHECKING

# Infinities and NaN are values here, as in PyTorch: numpy need not warn of what gradgpu computes.
_warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"gradgpu\.")

# What is imported stays: to look for garbage in it would take a tenth of the time of the import.
_collecting = _gc.isenabled()
_gc.disable()
try:
    from . import allocation, autograd, cuda, nn, ops, return_types, utils
finally:
    if _collecting:
        _gc.enable()
from .autograd import (  # noqa: E402
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .devices import device, get_default_device, set_default_device  # noqa: E402
from .dtypes import (  # noqa: E402
    bfloat16,
    bool,
    can_cast,
    cdouble,
    cfloat,
    complex64,
    complex128,
    double,
    dtype,
    finfo,
    float,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    result_type,
    set_default_dtype,
    short,
    uint8,
)
from .layouts import layout, sparse_coo, sparse_csr, strided  # noqa: E402
from .ops import *  # noqa: E402
from .ops import lazy as _lazy  # noqa: E402
from .printing import set_printoptions  # noqa: E402
from .random import *  # noqa: E402
from .settings import *  # noqa: E402
from .tensor import Size, Tensor, is_inference, is_tensor  # noqa: E402
from .torch_version import TorchVersion  # noqa: E402

# Scripts ask `torch.__version__` what they may use, so it is the PyTorch whose names and semantics these are; gradgpu's own
# version is behind the plus sign, and alone in `version.gradgpu`.
__version__ = TorchVersion("2.13.0+gradgpu.0.1.0")

from math import e, inf, nan, pi  # noqa: E402

newaxis = None
contiguous_format = legacy_contiguous_format = preserve_format = channels_last = channels_last_3d = (
    None  # memory formats: accepted, and all the same here
)

if _TYPE_CHECKING:
    from . import (
        accelerator,
        amp,
        backends,
        distributions,
        fft,
        func,
        library,
        linalg,
        optim,
        serialization,
        sparse,
        testing,
        version,
    )
    from .nn.functions.namespace import *
    from .ops.bessel import *
    from .ops.calculus import *
    from .ops.combinatorics import *
    from .ops.cumulative import *
    from .ops.distances import *
    from .ops.factories import *
    from .ops.low_rank import *
    from .ops.methods import *
    from .ops.products import *
    from .ops.quantiles import *
    from .ops.rearrange import *
    from .ops.rnn import *
    from .ops.sampling import *
    from .ops.scatter_reduce import *
    from .ops.short_time import *
    from .ops.strided import *
    from .serialization import load, save
    from .sparse import sparse_coo_tensor, sparse_csr_tensor

_LAZY = {
    "accelerator": "accelerator",
    "amp": "amp",
    "autocast": "amp",
    "clear_autocast_cache": "amp",
    "GradScaler": "amp",
    "Event": "cuda",
    "OutOfMemoryError": "cuda",
    "Stream": "cuda",
    "get_autocast_cpu_dtype": "amp.autocast_mode",
    "get_autocast_dtype": "amp",
    "get_autocast_gpu_dtype": "amp.autocast_mode",
    "is_autocast_cpu_enabled": "amp.autocast_mode",
    "set_autocast_cpu_dtype": "amp.autocast_mode",
    "set_autocast_gpu_dtype": "amp.autocast_mode",
    "is_anomaly_check_nan_enabled": "autograd.modes",
    "is_anomaly_enabled": "autograd.modes",
    "set_anomaly_enabled": "autograd.modes",
    "signal": "signal",
    "is_autocast_cache_enabled": "amp",
    "is_autocast_enabled": "amp",
    "set_autocast_dtype": "amp",
    "backends": "backends",
    "compiler": "compiler",
    "cpu": "cpu",
    "datasets": "datasets",
    "distributed": "distributed",
    "_C": "_C",
    "_VF": "_VF",
    "_log_softmax_backward_data": "ops.softmax",
    "_softmax_backward_data": "ops.softmax",
    "_sample_dirichlet": "distributions.dirichlet",
    "conv_tbc": "nn.functional",
    "__config__": "__config__",
    "_assert": "ops.legacy",
    "_dim_arange": "ops.legacy",
    "_masked_scale": "ops.legacy",
    "_jit_internal": "_jit_internal",
    "_shape_as_tensor": "onnx.operators",
    "_reshape_from_tensor": "onnx.operators",
    "_utils": "_utils",
    "overrides": "overrides",
    "_standard_gamma": "distributions.draws",
    "distributions": "distributions",
    "linalg": "linalg",
    "fft": "fft",
    "func": "func",
    "functional": "functional",
    "_dynamo": "_dynamo",
    "_inductor": "_inductor",
    "futures": "futures",
    "hub": "hub",
    "jit": "jit",
    "library": "library",
    "vmap": "func",
    "multiprocessing": "multiprocessing",
    "onnx": "onnx",
    "optim": "optim",
    "sparse": "sparse",
    "sparse_coo_tensor": "sparse",
    "sparse_csr_tensor": "sparse",
    "profiler": "profiler",
    "special": "special",
    "testing": "testing",
    "types": "types",
    "version": "version",
    "load": "serialization",
    "save": "serialization",
    "serialization": "serialization",
    "storage": "storage",
    "TypedStorage": "storage",
    "UntypedStorage": "storage",
}


def __getattr__(name: str) -> object:
    # What few programs use, or what imports slowly, is imported when it is asked for.
    if name in _LAZY:
        from importlib import import_module

        # The package first, also by what imports from one elsewhere: Python takes the lock of a module before that of its
        # package, and another thread that imports the package takes them the other way round.
        import_module(f".{_LAZY[name].partition('.')[0]}", __name__)
        module = import_module(f".{_LAZY[name]}", __name__)
        found = globals()[name] = module if _LAZY[name] == name else getattr(module, name)
        return found
    if name in _lazy.FUNCTIONS:
        return globals().setdefault(name, _lazy.function(name))  # all threads get the same one
    if name.startswith("_foreach_"):
        from .ops import foreach

        found = foreach.function(name[len("_foreach_") :])
        if found is not None:
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
