"""Pieces of work below a training step, as a function of the library module: long chains, indexing, one op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .common import Step, chain_data, indexing_data

__all__ = ["add", "chain", "depthwise_3", "depthwise_7", "indexing", "matmul", "mul", "relu", "scalars"]


def _timed(leaves: list[Any], result: Callable[[], Any]) -> tuple[Step, Step]:
    """Forward and backward of a scalar `result`; the check tells it and the sum of each leaf's gradient."""

    def step() -> Any:
        for leaf in leaves:
            leaf.grad = None
        out = result()
        out.backward()
        return out

    return step, lambda: [step().item(), *[leaf.grad.mean().item() for leaf in leaves]]


def chain(lib: Any, device: str) -> tuple[Step, Step]:
    x = lib.from_numpy(chain_data()).to(device).requires_grad_()

    def result() -> Any:
        y = x
        for _ in range(5):
            y = y * 0.9
            y = y + x
            y = y.relu()
            y = y - 0.1
        return y.mean()

    return _timed([x], result)


def scalars(lib: Any, device: str) -> tuple[Step, Step]:
    a, b = [lib.tensor(value, device=device, requires_grad=True) for value in (0.5, 0.25)]

    def result() -> Any:
        y = a
        for _ in range(2500):
            y = y * a
            y = y + b
            y = y * 0.5
            y = y - a
        return y

    return _timed([a, b], result)


def indexing(lib: Any, device: str) -> tuple[Step, Step]:
    table, rows, columns = indexing_data()
    weight = lib.from_numpy(table).to(device).requires_grad_()
    rows, columns = lib.from_numpy(rows).to(device), lib.from_numpy(columns).to(device)

    def result() -> Any:
        x = lib.nn.functional.embedding(rows, weight)
        total = x.cumsum(1)
        steps = total[:, 1:] * x[:, :-1]
        picked = steps.gather(2, columns)
        return picked.sum(2).sum() + (steps[..., ::2].sum(1) * x[:, -1, :32]).sum()

    return _timed([weight], result)


def _depthwise(images: int, channels: int, size: int, kernel: int) -> Callable[[Any, str], tuple[Step, Step]]:
    def case(lib: Any, device: str) -> tuple[Step, Step]:
        rng = np.random.default_rng(3)
        shapes = (images, channels, size, size), (channels, 1, kernel, kernel), (channels,)
        x, weight, bias = (
            lib.from_numpy(rng.random(shape, dtype=np.float32)).to(device).requires_grad_()
            for shape in shapes
        )

        def result() -> Any:
            return lib.nn.functional.conv2d(x, weight, bias, padding=kernel // 2, groups=channels).mean()

        return _timed([x, weight, bias], result)

    return case


depthwise_3 = _depthwise(8, 64, 16, 3)
depthwise_7 = _depthwise(8, 192, 14, 7)


def _op(forward: Callable[[Any, Any], Any]) -> Callable[[Any, str], tuple[Step, Step]]:
    def case(lib: Any, device: str) -> tuple[Step, Step]:
        rng = np.random.default_rng(2)
        a, b, g = (lib.from_numpy(rng.standard_normal((4, 4), dtype=np.float32)).to(device) for _ in range(3))
        a.requires_grad_()
        b.requires_grad_()

        def step() -> None:
            a.grad = b.grad = None
            forward(a, b).backward(g)

        def check() -> list[float]:
            step()
            return [float(forward(a, b).sum().item()), float(a.grad.sum().item())]

        return step, check

    return case


add = _op(lambda a, b: a + b)
mul = _op(lambda a, b: a * b)
matmul = _op(lambda a, b: a @ b)
relu = _op(lambda a, b: a.relu())
