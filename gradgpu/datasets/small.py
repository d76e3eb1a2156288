"""Sets that need no download: drawn, or shipped with a package that is there."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from ..ops.creation import arange, from_numpy, linspace
from ..ops.join import cat, stack
from ..ops.random import rand, randn, randperm
from ..random import Generator
from ..tensor import Tensor

__all__ = ["load_digits", "make_moons", "make_spirals", "python_reference"]


def load_digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's 1797 handwritten digits of 8 × 8 pixels: images (1797, 1, 8, 8), float32 in [0, 1], and classes, int64.

    They come with scikit-learn (the extra ``demo``). They are in the order in which they were written: the last ones are
    by other people than the first. Source: Alpaydin, Kaynak, "Optical Recognition of Handwritten Digits" (1998),
    https://doi.org/10.24432/C50P49.

    Raises:
        ImportError: where scikit-learn is missing.

    Example:
        >>> from gradgpu.datasets import load_digits
        >>> images, classes = load_digits()            # doctest: +SKIP
        >>> images.shape, classes[:3]                  # doctest: +SKIP
        (gradgpu.Size([1797, 1, 8, 8]), tensor([0, 1, 2]))
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as error:
        raise ImportError(
            f"load_digits needs scikit-learn ({error}): pip install 'gradgpu[demo]', or pip install scikit-learn"
        ) from None
    found: Any = load()
    images = (found.images / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    return from_numpy(images), from_numpy(found.target.astype(np.int64))


def _shuffled(
    points: Tensor, classes: Tensor, noise: float, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    if noise < 0:
        raise ValueError(f"the noise is a standard deviation and cannot be negative, got {noise}")
    if noise:
        points = points + noise * randn(*points.shape, generator=generator)
    order = randperm(len(points), generator=generator)
    return points[order], classes[order]


def make_moons(
    n_samples: int = 100, *, noise: float = 0.0, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Two half circles, one reaching into the other: points (n, 2), float32, and classes (n,), int64, shuffled.

    Args:
        n_samples: how many points in all; with an odd number class 1 has one more.
        noise: the standard deviation of normal noise on each coordinate.
        generator: draws noise and order; the default generator otherwise.

    The curves are those of scikit-learn's function of this name: (cos t, sin t) and (1 - cos t, 1/2 - sin t), t in [0, π].

    Example:
        >>> import gradgpu as gg
        >>> points, classes = gg.datasets.make_moons(10, generator=gg.Generator().manual_seed(0))
        >>> points.shape, classes.sum()
        (gradgpu.Size([10, 2]), tensor(5))
    """
    if n_samples < 0:
        raise ValueError(f"make_moons: n_samples cannot be negative, got {n_samples}")
    first, second = (linspace(0, math.pi, n) for n in (n_samples // 2, n_samples - n_samples // 2))
    points = cat(
        [
            stack([first.cos(), first.sin()], 1),
            stack([1 - second.cos(), 0.5 - second.sin()], 1),
        ]
    )
    return _shuffled(points, (arange(n_samples) >= n_samples // 2).long(), noise, generator)


def make_spirals(
    n_samples: int = 200,
    *,
    classes: int = 2,
    turns: float = 1.5,
    noise: float = 0.0,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Spirals wound into each other: points (n, 2), float32, within the unit circle (but for noise), classes (n,), int64, shuffled.

    Args:
        n_samples: how many points in all; point i is of class i mod `classes` before they are shuffled.
        classes: how many arms, evenly turned against each other.
        turns: how often an arm goes round.
        noise: the standard deviation of normal noise on each coordinate.
        generator: draws positions, noise and order; the default generator otherwise.

    An arm is Archimedes' spiral: the radius grows in proportion to the angle. Points are spread evenly over its area,
    so that the centre is no denser than the rim. The two-spirals problem is Lang and Witbrock, "Learning to Tell Two Spirals
    Apart" (1988).

    Example:
        >>> import gradgpu as gg
        >>> points, classes = gg.datasets.make_spirals(9, classes=3, generator=gg.Generator().manual_seed(0))
        >>> points.shape, classes.sort().values
        (gradgpu.Size([9, 2]), tensor([0, 0, 0, 1, 1, 1, 2, 2, 2]))
    """
    if n_samples < 0 or classes < 1:
        raise ValueError(
            f"make_spirals: needs n_samples >= 0 and one class at least, got {n_samples} and {classes}"
        )
    which = arange(n_samples) % classes
    radius = rand(n_samples, generator=generator).sqrt()
    angle = 2 * math.pi * (turns * radius + which / classes)
    points = stack([radius * angle.cos(), radius * angle.sin()], 1)
    return _shuffled(points, which, noise, generator)


def python_reference() -> str:
    """The reference of the Python language as ``help()`` shows it: a third of a megabyte of English and code.

    A text for small language models that every Python has (`pydoc_data.topics`); it differs a little between versions of Python.
    The topics repeat each other; here each paragraph occurs once, so that what is held out is not in the rest.

    Raises:
        ImportError: where the distribution of Python leaves it out.

    Example:
        >>> from gradgpu.datasets import python_reference
        >>> text = python_reference()
        >>> len(text) > 100_000 and "statement" in text
        True
    """
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise ImportError(
            f"python_reference: this Python comes without pydoc_data ({error}); install its full standard library"
        ) from None
    paragraphs: dict[str, str] = {}
    for name in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[name].strip("\n")):
            paragraphs.setdefault(" ".join(paragraph.split()), paragraph)
    return "\n\n".join(paragraphs.values())
