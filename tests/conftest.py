"""What every test shares: the devices, and the same random numbers each time."""

from __future__ import annotations

import os

import pytest

# The tests that compare rounding want one order of summation: one BLAS thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gradgpu as gg

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    on_cuda = [item for item in items if item.get_closest_marker("cuda")]
    if on_cuda and not gg.cuda.is_available():
        skip = pytest.mark.skip(reason="no CUDA device: neither a GPU nor the simulator (GRADGPU_CUDASIM=1)")
        for item in on_cuda:
            item.add_marker(skip)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn: 'cpu', and 'cuda' where there is one."""
    return request.param


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    gg.manual_seed(0)
