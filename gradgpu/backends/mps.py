"""Metal is not used: devices are 'cpu' and 'cuda'."""


def is_available() -> bool:
    """False: gradgpu does not use Metal."""
    return False


def is_built() -> bool:
    """False: gradgpu does not use Metal."""
    return False
