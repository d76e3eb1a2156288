"""Datasets, samplers and the loader that makes batches of them (PyTorch's ``torch.utils.data``)."""

from . import dataset
from .collate import *
from .dataloader import DataLoader
from .dataset import *
from .sampler import *
from .worker import *
