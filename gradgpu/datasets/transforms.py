"""The transforms that a small net on images needs; names and results are torchvision.transforms'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ops.creation import from_numpy, tensor
from ..tensor import Tensor

__all__ = ["Compose", "Lambda", "Normalize", "ToTensor"]


class Compose:
    """Several transforms, one after the other.

    Example:
        >>> import numpy as np
        >>> from gradgpu.datasets.transforms import Compose, Normalize, ToTensor
        >>> Compose([ToTensor(), Normalize(0.5, 0.5)])(np.array([[0, 255]], np.uint8))
        tensor([[[-1.,  1.]]])
    """

    def __init__(self, transforms: Sequence[Callable]) -> None:
        self.transforms = transforms

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        return f"Compose({list(self.transforms)})"


class Lambda:
    """A function as a transform.

    Example:
        >>> from gradgpu.datasets.transforms import Lambda
        >>> Lambda(lambda x: x + 1)(1)
        2
    """

    def __init__(self, lambd: Callable) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: expected a function, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return "Lambda()"


class ToTensor:
    """An image, (H, W) or (H, W, C), as a tensor (C, H, W); uint8 becomes float32 between 0 and 1.

    Takes a numpy array, or what numpy makes an array of, such as a PIL image. Other dtypes keep dtype and values.

    Example:
        >>> import numpy as np
        >>> from gradgpu.datasets.transforms import ToTensor
        >>> ToTensor()(np.zeros((28, 28), np.uint8)).shape
        gradgpu.Size([1, 28, 28])
    """

    def __call__(self, image: Any) -> Tensor:
        array = np.asarray(image)
        if array.ndim not in (2, 3):
            raise ValueError(f"ToTensor: an image has 2 or 3 dimensions, got {array.shape}")
        if array.ndim == 2:
            array = array[:, :, None]
        array = array.transpose(2, 0, 1)
        # A copy in either case: a batch that is changed in place leaves the data alone.
        if array.dtype != np.uint8:
            return from_numpy(array.copy(order="C"))
        pixels = array.astype(np.float32, order="C")
        pixels /= 255
        return from_numpy(pixels)

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize:
    """(image - mean) / std for each channel of an image (..., C, H, W); one number serves all channels.

    Example:
        >>> import gradgpu as gg
        >>> gg.datasets.transforms.Normalize([1.0, 2.0], [1.0, 0.5])(gg.ones(2, 1, 1)).flatten()
        tensor([ 0., -2.])
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = mean, std

    def __call__(self, image: Tensor) -> Tensor:
        if not isinstance(image, Tensor) or not image.is_floating_point() or image.ndim < 3:
            what = (
                f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
            )
            raise TypeError(
                f"Normalize: expected a float tensor (..., C, H, W), got {what}; ToTensor comes first"
            )
        mean, std = (
            tensor(
                np.atleast_1d(np.asarray(value, np.float64))[:, None, None],
                dtype=image.dtype,
                device=image.device,
            )
            for value in (self.mean, self.std)
        )
        if bool((std == 0).any()):
            raise ValueError(f"Normalize: std has a zero: {self.std}")
        return (image - mean) / std

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"
