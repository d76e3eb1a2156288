"""MKL is what numpy may use by itself; gradgpu does not call it."""


def is_available() -> bool:
    """False: gradgpu does not use it."""
    return False
