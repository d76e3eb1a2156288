"""Encoder layers have one way to compute attention, in training and in evaluation."""


def get_fastpath_enabled() -> bool:
    """False: there is no other path."""
    return False


def set_fastpath_enabled(value: bool) -> None:
    """Accepted, and without effect."""
