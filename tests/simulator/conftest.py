"""Kernels run on the simulator itself, whatever 'cuda' is: fixtures of the simulator's tests."""

from __future__ import annotations

import ctypes
import shutil
import sys

import numpy as np
import pytest

needs_compiler = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not any(map(shutil.which, ("g++", "clang++", "c++"))),
    reason="the simulator needs Linux and a C++ compiler",
)


@pytest.fixture(scope="module")
def sim():
    from gradgpu.cuda.simulator import backend

    return backend


@pytest.fixture
def settings(sim):
    """Changes settings for one test."""
    before = sim.configure(None, None, None)
    yield lambda check=None, order=None, timeout=None: sim.configure(check, order, timeout)
    sim.configure(**before)


class Kernels:
    """Kernels of one source text, called with numpy arrays (copied there and back) and numbers."""

    def __init__(self, sim, source: str, name: str = "test.cu"):
        self.sim, self.module = sim, sim.compile(source, name)

    def __call__(self, kernel: str, grid, block, *args, shared: int = 0) -> list[np.ndarray]:
        sim, keep, values, outputs = self.sim, [], [], []
        for a in args:
            if isinstance(a, np.ndarray):
                memory = sim.alloc(a.nbytes)
                sim.to_device(memory.ptr, a, 0)
                keep.append(memory)
                outputs.append((a, memory))
                values.append(ctypes.c_void_p(memory.ptr))
            elif isinstance(a, (float, np.floating)):
                values.append(ctypes.c_float(a))
            else:
                values.append(a if isinstance(a, ctypes.Structure) else ctypes.c_int(a))
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
        grid, block = ((*(size if isinstance(size, tuple) else (size,)), 1, 1)[:3] for size in (grid, block))
        function = self.module.function(kernel)
        sim.launch(function.handle, *grid, *block, shared, 0, ctypes.addressof(pointers), 0)
        results = []
        for a, memory in outputs:
            host = np.empty_like(a)
            sim.to_host(host, memory.ptr, 0)
            results.append(host)
        return results


@pytest.fixture(scope="module")
def kernels(sim):
    return lambda source, name="test.cu": Kernels(sim, source, name)


def ones(n: int, kind=np.float32) -> np.ndarray:
    return np.ones(n, kind)
