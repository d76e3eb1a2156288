"""Switches that PyTorch scripts set. gradgpu's kernels are deterministic and use no TF32, so they change nothing here.

>>> import gradgpu as gg
>>> gg.backends.cudnn.deterministic = True
>>> gg.backends.mps.is_available()
False
"""

from . import cuda, cudnn, mkldnn, mps

__all__ = ["cuda", "cudnn", "mkldnn", "mps"]
