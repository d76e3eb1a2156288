"""oneDNN is not used: the CPU half is numpy."""

enabled = False


def is_available() -> bool:
    """False: gradgpu does not use oneDNN."""
    return False
