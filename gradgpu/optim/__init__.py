"""Optimisers and learning-rate schedules."""

from . import lr_scheduler, swa_utils
from .adafactor import *
from .adam import *
from .adaptive import *
from .asgd import *
from .lbfgs import *
from .muon import *
from .optimizer import Optimizer
from .sgd import *
