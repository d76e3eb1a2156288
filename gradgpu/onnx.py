"""What scripts ask of `torch.onnx` before they export: gradgpu writes no ONNX files, and says so when it is asked to."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["export", "is_in_onnx_export"]


def is_in_onnx_export() -> bool:
    """False.

    >>> import gradgpu as gg
    >>> gg.onnx.is_in_onnx_export()
    False
    """
    return False


def export(model: Any, args: Any = (), f: Any = None, **options: Any) -> NoReturn:
    """Raises NotImplementedError: gradgpu writes no ONNX."""
    raise NotImplementedError(
        "onnx.export: gradgpu writes no ONNX; save(model.state_dict(), file) and load it into the same model in PyTorch to export"
    )
