"""Functions of :mod:`gradgpu.nn.functional` that few programs use: compositions of operations, imported when asked for."""
