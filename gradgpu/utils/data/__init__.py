"""Datasets, samplers and the loader that makes batches of them (PyTorch's ``torch.utils.data``)."""

from . import _utils, dataset, distributed
from .collate import *
from .dataloader import DataLoader
from .dataset import *
from .distributed import DistributedSampler
from .sampler import *
from .worker import *
