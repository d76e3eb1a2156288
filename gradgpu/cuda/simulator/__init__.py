"""The CUDA half on any computer: kernels compiled by the host's C++ compiler, run thread by thread, and checked.

``GRADGPU_CUDASIM=1`` in the environment, or `gradgpu.cuda.use_simulator()` before the first use of 'cuda',
makes the simulator the CUDA device. The kernels are the same files; each block runs with its real threads,
barriers, shuffles and shared memory. What it finds is raised as a `KernelError` that names kernel, block,
thread, and line or argument:

* always: accesses past an array (every array ends at an unmapped page; canaries elsewhere), misaligned vectors,
  indices beyond a fixed-size array, barriers that not all threads reach, deadlocks, launch limits, failed asserts.
  Fresh memory, shared memory included, holds NaN (-1 as an integer).
* with ``GRADGPU_CUDASIM_CHECK=1`` or `configure(check=True)`, from a second, slower build of the kernels: every
  access against the exact bounds, reads of what nothing has written, races between threads; and the bytes that
  each kernel reads and writes.
* with ``GRADGPU_CUDASIM_ORDER=all`` or `configure(order="all")`: each launch runs its threads and blocks forward,
  in reverse and shuffled, and must leave the same bytes.

Results differ from a GPU's in the last bits: products and sums are rounded one by one here (the device compiler
contracts them to fused multiply-adds), denormal floats are kept (CuPy compiles with ``-ftz=true``), and
functions such as ``__expf`` are as exact as the host's ``expf``.

Environment: ``GRADGPU_CACHE_DIR`` (compiled kernels), ``CXX`` (the compiler), ``GRADGPU_CUDASIM_TIMEOUT`` (seconds a
kernel may run, 120), ``GRADGPU_CUDASIM_MEMORY`` (bytes of the device), ``GRADGPU_CUDASIM_DEVICES`` (how many).
"""

from __future__ import annotations

from typing import Any

from .report import Report, Row

__all__ = ["KernelError", "Report", "Row", "configure", "precompile", "report", "reset_report"]


class KernelError(RuntimeError):
    """What a GPU would have punished, found by the simulator: the message names kernel, block, thread and place."""


def configure(
    *, check: bool | None = None, order: str | None = None, timeout: float | None = None
) -> dict[str, Any]:
    """Changes how the simulator runs kernels from now on; None leaves a setting as it is.

    Args:
        check: test every access (bounds, initialisation, races) and count bytes.
        order: 'forward', 'reverse', 'shuffled': the order in which threads and blocks run; 'all': each launch in
            all three, with equal results.
        timeout: seconds that one kernel may run; 0 is no limit.

    Returns:
        The settings before, for ``configure(**before)``.

    Raises:
        ValueError: an order of another name.
        RuntimeError: 'cuda' is a GPU here.
    """
    return _device().configure(check, order, timeout)


def report() -> Report:
    """What the kernels did since the start or `reset_report()`: launches, threads, bytes, seconds, by kernel.

    Bytes are counted while ``configure(check=True)`` is on; without it they are None.

    >>> before = gg.cuda.simulator.configure(check=True)
    >>> y = gg.ones(1000, device="cuda") + 1
    >>> print(gg.cuda.simulator.report())  # doctest: +SKIP
    kernel                    launches     blocks    threads       read    written     ms
    vector_f32                       1          1        256    4.0 kB     4.0 kB    0.1
    >>> _ = gg.cuda.simulator.configure(**before)
    """
    return _device().statistics()


def reset_report() -> None:
    """Sets the counts of `report()` to zero."""
    _device().clear_statistics()


def precompile(sources: list[tuple[str, str]]) -> None:
    """Compiles (source, name) pairs into the cache, several at a time."""
    _device().precompile(sources)


def _device() -> Any:
    from ..backend import backend

    found = backend()
    if not found.simulated:
        raise RuntimeError(
            "gg.cuda.simulator: 'cuda' is a GPU here; start the program with GRADGPU_CUDASIM=1"
        )
    return found
