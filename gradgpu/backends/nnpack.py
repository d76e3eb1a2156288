"""NNPACK is not used: the CPU half is numpy."""


def is_available() -> bool:
    """False: gradgpu does not use it."""
    return False
