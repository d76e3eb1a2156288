"""Optimisers and learning-rate schedules."""

from . import lr_scheduler
from .adam import *
from .adaptive import *
from .lbfgs import *
from .optimizer import Optimizer
from .sgd import *
