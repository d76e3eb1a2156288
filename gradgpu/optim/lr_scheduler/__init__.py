"""Learning-rate schedules: ``scheduler.step()`` after each epoch (or step) sets ``group['lr']`` of an optimiser."""

from .base import LRScheduler
from .combined import *
from .curves import *
from .cycles import *

_LRScheduler = LRScheduler  # PyTorch's old name
