"""Data to try a net on: image sets in their original files, and sets that need no download.

`MNIST`, `FashionMNIST` and `CIFAR10` have the interface of torchvision's classes of those names and read the
same folders. `load_digits`, `make_moons`, `make_spirals` and `python_reference` download nothing.
"""

from . import transforms
from .cifar import CIFAR10
from .downloads import checksum_matches, download
from .mnist import MNIST, FashionMNIST
from .small import load_digits, make_moons, make_spirals, python_reference

__all__ = [
    "CIFAR10",
    "FashionMNIST",
    "MNIST",
    "checksum_matches",
    "download",
    "load_digits",
    "make_moons",
    "make_spirals",
    "python_reference",
    "transforms",
]
