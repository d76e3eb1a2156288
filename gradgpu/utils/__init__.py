"""Utilities around training; :mod:`gradgpu.utils.data` feeds it."""

from . import data
