"""OpenMP is what numpy's BLAS may use by itself; gradgpu does not call it."""


def is_available() -> bool:
    """False: gradgpu does not use it."""
    return False
