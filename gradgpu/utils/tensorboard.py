"""`SummaryWriter`: logs for TensorBoard, written by tensorboardX (install `gradgpu[tensorboard]`)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

try:
    from tensorboardX import SummaryWriter as _Writer
except ImportError as error:
    raise ImportError("gradgpu.utils.tensorboard needs tensorboardX: pip install tensorboardX") from error

from ..tensor import Tensor

__all__ = ["SummaryWriter"]


def _plain(value: Any) -> Any:
    """Tensors as numpy arrays, also inside lists and dicts."""
    if isinstance(value, Tensor):
        return value.detach().cpu().float().numpy() if value.is_floating_point() else value.cpu().numpy()
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value))
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value


def _taking_tensors(add: Callable) -> Callable:
    @functools.wraps(add)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return add(self, *map(_plain, args), **_plain(kwargs))

    return method


class SummaryWriter(_Writer):
    """tensorboardX's writer, whose `add_scalar`, `add_histogram`, `add_image` and so on take Tensors too.

    Example:
        >>> from gradgpu.utils.tensorboard import SummaryWriter    # doctest: +SKIP
        >>> with SummaryWriter("runs/first") as writer:            # doctest: +SKIP
        ...     writer.add_scalar("loss", gg.tensor(0.5), 1)
    """

    def add_graph(self, *args: Any, **kwargs: Any) -> None:
        """Not there: TensorBoard draws graphs of PyTorch's JIT only."""
        raise NotImplementedError(
            "SummaryWriter.add_graph: gradgpu has no JIT graph; log its picture with add_image"
        )


for _name in (
    "audio",
    "embedding",
    "figure",
    "hparams",
    "histogram",
    "image",
    "images",
    "mesh",
    "pr_curve",
    "scalar",
    "scalars",
    "text",
    "video",
):
    setattr(SummaryWriter, f"add_{_name}", _taking_tensors(getattr(_Writer, f"add_{_name}")))
