"""The CPU half is numpy, which chooses its instructions by itself."""


def get_cpu_capability() -> str:
    """'DEFAULT': gradgpu has no code for particular processors."""
    return "DEFAULT"
