"""Switches that PyTorch scripts set. gradgpu's kernels are deterministic and use no TF32, so they change nothing here.

>>> import gradgpu as gg
>>> gg.backends.cudnn.deterministic = True
>>> gg.backends.mps.is_available()
False
"""

from . import cpu, cuda, cudnn, mha, mkl, mkldnn, mps, nnpack, openmp, opt_einsum

__all__ = ["cpu", "cuda", "cudnn", "mha", "mkl", "mkldnn", "mps", "nnpack", "openmp", "opt_einsum"]
