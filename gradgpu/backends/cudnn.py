"""cuDNN is not used: the convolutions are kernels of gradgpu's own."""

from collections.abc import Iterator
from contextlib import contextmanager

enabled = benchmark = allow_tf32 = False
deterministic = True


def is_available() -> bool:
    """False: gradgpu does not use cuDNN."""
    return False


def version() -> None:
    """None: gradgpu does not use cuDNN."""


@contextmanager
def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
    fp32_precision: str = "none",
) -> Iterator[None]:
    """A block with these settings, which change nothing here.

    >>> import gradgpu as gg
    >>> with gg.backends.cudnn.flags(enabled=True, deterministic=True):
    ...     gg.backends.cudnn.deterministic
    True
    """
    settings = globals()
    wanted = {
        "enabled": enabled,
        "benchmark": benchmark,
        "deterministic": deterministic,
        "allow_tf32": allow_tf32,
    }
    before = {name: settings[name] for name in wanted}
    settings.update(wanted)
    try:
        yield
    finally:
        settings.update(before)
