"""Every sample's results and gradients on 'cuda', saved, and compared between two devices.

    GRADGPU_CUDASIM=1 python -m tests.device_results save simulator.npz
    python -m tests.device_results save gpu.npz
    python -m tests.device_results compare simulator.npz gpu.npz

The distance of two results is the largest difference in units of the last place of the result's dtype,
taken at the largest magnitude in the result: 0 is bit-equal, 1 is one rounding.
"""

from __future__ import annotations

import sys
import zlib
from collections import defaultdict
from typing import Any

import numpy as np

import gradgpu as gg
from tests.samples import FLOATS, In, families, load

DIGITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}


def tensors(result: Any) -> list[gg.Tensor]:
    if isinstance(result, gg.Tensor):
        return [result]
    return [t for part in result for t in tensors(part)] if isinstance(result, (tuple, list)) else []


def save(path: str, only: str = "") -> None:
    found: dict[str, np.ndarray] = {}
    for ops in (ops for family in families() for ops in load(family)):
        for dtype in ops.dtypes:
            for number, sample in enumerate(ops.samples):
                key = f"{ops.name}|{dtype}|{number}"
                if only not in key:
                    continue
                rng = np.random.default_rng(zlib.crc32(key.encode()))
                inputs: list[gg.Tensor] = []

                def make(item: In, rng=rng, dtype=dtype, inputs=inputs) -> gg.Tensor:
                    x = gg.tensor(item.draw(rng, dtype)).to("cuda")
                    if item.grad and item.is_floating(dtype):
                        inputs.append(x.requires_grad_())
                    return x

                gg.manual_seed(0)
                args, kwargs = sample.build(make)
                try:
                    outputs = tensors(ops.function(*args, **kwargs))
                    if ops.differentiable and inputs:
                        wanted = [y for y in outputs if y.requires_grad]
                        weights = [gg.tensor(rng.uniform(-1, 1, y.shape)).to(y.dtype).cuda() for y in wanted]
                        grads = gg.autograd.grad(wanted, inputs, weights, allow_unused=True) if wanted else ()
                        outputs += [g for g in grads if g is not None]
                except Exception as error:
                    print(f"{key}: {type(error).__name__}: {str(error)[:300]}")
                    continue
                for k, y in enumerate(outputs):
                    values = y.detach().cpu().numpy()
                    name = str(values.dtype)
                    wide = np.asarray(values, np.float64) if name in FLOATS else np.asarray(values)
                    found[f"{key}|{k}|{name}"] = wide
    np.savez_compressed(path, **found)
    print(f"{len(found)} results of {gg.cuda.get_device_name()} in {path}")


def distance(a: np.ndarray, b: np.ndarray, dtype: str) -> float:
    """Units of the last place; infinite if the results disagree in kind."""
    if a.shape != b.shape:
        return np.inf
    if dtype not in DIGITS:
        return 0.0 if np.array_equal(a, b) else np.inf
    special = ~np.isfinite(a) | ~np.isfinite(b)
    if not np.array_equal(a[special], b[special], equal_nan=True):
        return np.inf
    a, b = a[~special], b[~special]
    if not a.size or np.array_equal(a, b):
        return 0.0
    return float(np.abs(a - b).max() / np.spacing(np.abs(b).max()) / 2.0 ** (53 - DIGITS[dtype]))


def compare(first: str, second: str) -> int:
    a, b = np.load(first), np.load(second)
    both = [key for key in a.files if key in b.files]
    rows: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for key in both:
        dtype = key.rsplit("|", 1)[1]
        rows[dtype].append((distance(a[key], b[key], dtype), key))
    print(f"{len(both)} results in both; {len(set(a.files) ^ set(b.files))} in one only")
    for dtype, found in sorted(rows.items()):
        d = np.array([one for one, _ in found])
        print(
            f"{dtype:>9}: {len(d):5} results, {np.mean(d == 0):6.1%} bit-equal, "
            f"{np.mean(d <= 1):6.1%} within 1 ulp, {np.mean(d <= 4):6.1%} within 4"
        )
        for one, key in sorted(found, reverse=True)[:12]:
            if one > 4:
                print(f"{'':11}{one:12.3g} ulp  {key}")
    return 0


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    sys.exit({"save": save, "compare": compare}[command](*rest))
