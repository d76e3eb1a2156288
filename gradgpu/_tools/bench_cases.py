"""What `make bench` times: one training step or one small op, each written once for gradgpu and PyTorch.

The two libraries share names and semantics, so a case is a function of the library module; the
hand-written numpy twin shows what the arithmetic alone costs. Every builder returns `(step, losses)`:
`step()` does the work once, `losses()` continues training and returns the next few losses, so that
what is timed is known to compute the same numbers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["CASES", "IMPLEMENTATIONS", "build"]

Step = Callable[[], Any]
IMPLEMENTATIONS = ("gradgpu", "torch", "numpy")

# name → (title, bar for gradgpu / PyTorch)
CASES: dict[str, tuple[str, float]] = {
    "mlp-sgd": ("MLP 784-128-10, batch 32, SGD", 0.75),
    "mlp-adam": ("MLP 64-64-64-1, batch 16, Adam", 0.20),
    "add": ("a + b on 4×4, forward + backward", 0.5),
    "mul": ("a * b on 4×4, forward + backward", 0.5),
    "matmul": ("a @ b on 4×4, forward + backward", 0.5),
    "relu": ("relu(a) on 4×4, forward + backward", 0.5),
}


def _weights(sizes: tuple[int, ...]) -> list[np.ndarray]:
    """Weight and bias of each Linear layer, as PyTorch lays them out: (out, in) and (out,)."""
    rng = np.random.default_rng(0)
    arrays = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        bound = fan_in**-0.5
        arrays.append(rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32))
        arrays.append(rng.uniform(-bound, bound, fan_out).astype(np.float32))
    return arrays


def _data(case: str) -> tuple[tuple[int, ...], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    if case == "mlp-sgd":
        return (784, 128, 10), rng.random((32, 784), dtype=np.float32), rng.integers(0, 10, 32)
    return (
        (64, 64, 64, 1),
        rng.standard_normal((16, 64), dtype=np.float32),
        rng.random((16, 1), dtype=np.float32),
    )


def _library_training(lib: Any, case: str, device: str) -> tuple[Step, Step]:
    sizes, inputs, targets = _data(case)
    nn = lib.nn
    layers: list[Any] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    arrays = iter(_weights(sizes))
    model.load_state_dict({name: lib.from_numpy(next(arrays)) for name in model.state_dict()})
    model.to(device)
    x, y = lib.from_numpy(inputs).to(device), lib.from_numpy(targets).to(device)
    if case == "mlp-sgd":
        criterion, optimizer = nn.CrossEntropyLoss(), lib.optim.SGD(model.parameters(), lr=0.1)
    else:
        criterion, optimizer = nn.MSELoss(), lib.optim.Adam(model.parameters(), lr=1e-3)

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, lambda: [step().item() for _ in range(5)]


def _library_op(lib: Any, case: str, device: str) -> tuple[Step, Step]:
    rng = np.random.default_rng(2)
    a, b, g = (lib.from_numpy(rng.standard_normal((4, 4), dtype=np.float32)).to(device) for _ in range(3))
    a.requires_grad_()
    b.requires_grad_()
    forward = {
        "add": lambda: a + b,
        "mul": lambda: a * b,
        "matmul": lambda: a @ b,
        "relu": lambda: a.relu(),
    }[case]

    def step() -> None:
        a.grad = b.grad = None
        forward().backward(g)

    def check() -> list[float]:
        step()
        return [float(forward().sum().item()), float(a.grad.sum().item())]

    return step, check


def _numpy_mlp_sgd() -> tuple[Step, Step]:
    sizes, x, target = _data("mlp-sgd")
    w1, b1, w2, b2 = _weights(sizes)
    rows, lr = np.arange(len(x)), np.float32(0.1)

    def step() -> Any:
        h = np.dot(x, w1.T)
        h += b1
        np.maximum(h, 0, out=h)
        z = np.dot(h, w2.T)
        z += b2
        z -= np.maximum.reduce(z, axis=1, keepdims=True)
        p = np.exp(z)
        total = np.add.reduce(p, axis=1, keepdims=True)
        loss = (np.add.reduce(np.log(total)) - np.add.reduce(z[rows, target])) / len(x)
        p /= total
        p[rows, target] -= 1
        p *= np.float32(1 / len(x))
        dh = np.dot(p, w2)
        dh *= h > 0
        for parameter, gradient in (
            (w2, np.dot(p.T, h)),
            (b2, np.add.reduce(p, axis=0)),
            (w1, np.dot(dh.T, x)),
            (b1, np.add.reduce(dh, axis=0)),
        ):
            gradient *= lr
            parameter -= gradient
        return loss

    return step, lambda: [float(step()[0]) for _ in range(5)]


def _numpy_mlp_adam() -> tuple[Step, Step]:
    """Parameters and moments live in one flat buffer each, so that Adam is a dozen calls in all."""
    sizes, x, target = _data("mlp-adam")
    arrays = _weights(sizes)
    flat = np.concatenate([a.ravel() for a in arrays])
    grad, m, v, scratch = (np.zeros_like(flat) for _ in range(4))
    ends = np.cumsum([a.size for a in arrays])
    p = [part.reshape(a.shape) for part, a in zip(np.split(flat, ends[:-1]), arrays)]
    d = [part.reshape(a.shape) for part, a in zip(np.split(grad, ends[:-1]), arrays)]
    count = 0

    def step() -> Any:
        nonlocal count
        h1 = np.dot(x, p[0].T)
        h1 += p[1]
        np.maximum(h1, 0, out=h1)
        h2 = np.dot(h1, p[2].T)
        h2 += p[3]
        np.maximum(h2, 0, out=h2)
        error = np.dot(h2, p[4].T)
        error += p[5]
        error -= target
        loss = np.dot(error.ravel(), error.ravel()) / error.size
        error *= np.float32(2 / error.size)
        np.dot(error.T, h2, out=d[4])
        np.add.reduce(error, axis=0, out=d[5])
        d2 = np.dot(error, p[4])
        d2 *= h2 > 0
        np.dot(d2.T, h1, out=d[2])
        np.add.reduce(d2, axis=0, out=d[3])
        d1 = np.dot(d2, p[2])
        d1 *= h1 > 0
        np.dot(d1.T, x, out=d[0])
        np.add.reduce(d1, axis=0, out=d[1])
        count += 1
        np.multiply(m, np.float32(0.9), out=m)
        np.multiply(grad, np.float32(0.1), out=scratch)
        np.add(m, scratch, out=m)
        np.multiply(v, np.float32(0.999), out=v)
        np.multiply(grad, grad, out=scratch)
        np.multiply(scratch, np.float32(0.001), out=scratch)
        np.add(v, scratch, out=v)
        np.sqrt(v, out=scratch)
        np.multiply(scratch, np.float32((1 - 0.999**count) ** -0.5), out=scratch)
        np.add(scratch, np.float32(1e-8), out=scratch)
        np.divide(m, scratch, out=scratch)
        np.multiply(scratch, np.float32(1e-3 / (1 - 0.9**count)), out=scratch)
        np.subtract(flat, scratch, out=flat)
        return loss

    return step, lambda: [float(step()) for _ in range(5)]


def build(implementation: str, case: str, device: str = "cpu") -> tuple[Step, Step] | None:
    """The step and the check of one case, or None where there is no such implementation.

    Args:
        implementation: one of `IMPLEMENTATIONS`.
        case: a key of `CASES`.
        device: where the tensors of gradgpu and PyTorch live; numpy's are on the CPU.
    """
    if implementation == "numpy":
        return {"mlp-sgd": _numpy_mlp_sgd, "mlp-adam": _numpy_mlp_adam}.get(case, lambda: None)()
    if implementation == "torch":
        import torch as lib

        lib.set_num_threads(1)
    else:
        import gradgpu as lib
    return (_library_training if case.startswith("mlp") else _library_op)(lib, case, device)
