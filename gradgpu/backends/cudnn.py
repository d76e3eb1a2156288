"""cuDNN is not used: the convolutions are kernels of gradgpu's own."""

enabled = benchmark = allow_tf32 = False
deterministic = True


def is_available() -> bool:
    """False: gradgpu does not use cuDNN."""
    return False


def version() -> None:
    """None: gradgpu does not use cuDNN."""
