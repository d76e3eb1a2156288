"""What the image sets share: transforms, samples, and where to look."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.data import Dataset


class ImageSet(Dataset):
    """Images and classes with transforms, as torchvision's `VisionDataset`.

    A sample is (image, class). The image is a numpy array of uint8, (height, width) or (height, width, channels),
    where torchvision has a PIL image; `transforms.ToTensor` takes it.
    """

    classes: list[str]
    data: Any
    targets: Any

    def __init__(
        self,
        root: str | os.PathLike,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ) -> None:
        self.root, self.train = Path(root).expanduser(), bool(train)
        self.transform, self.target_transform = transform, target_transform
        if download:
            self.download()
        self.data, self.targets = self._load()

    def _load(self) -> tuple[Any, Any]:
        raise NotImplementedError

    def download(self) -> None:
        """Fetch the files of the set that are missing or damaged."""
        raise NotImplementedError

    def _image(self, index: int) -> np.ndarray:
        return np.asarray(self.data[index])

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range of {len(self)} samples")
        image: Any = self._image(index)
        target: Any = int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __len__(self) -> int:
        return len(self.data)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: i for i, name in enumerate(self.classes)}

    def __repr__(self) -> str:
        which = "train" if self.train else "test"
        return f"{type(self).__name__}({len(self)} samples, {which}, root={str(self.root)!r})"


def not_found(name: str, *places: Path) -> RuntimeError:
    """The error for a set that is not there."""
    looked = ", ".join(map(str, places))
    return RuntimeError(
        f"{name}: Dataset not found; looked for {looked}. You can use download=True to download it"
    )
