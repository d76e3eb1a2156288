"""Helpers for training: gradient clipping, parameters as one vector, padded sequences."""

from . import rnn
from .clip_grad import *
from .convert_parameters import *
