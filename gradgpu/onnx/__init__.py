"""What scripts ask of `torch.onnx` before they export: gradgpu writes no ONNX files, and says so when it is asked to."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NoReturn

from . import operators, symbolic_helper

__all__ = [
    "OperatorExportTypes", "TrainingMode", "export", "is_in_onnx_export", "operators", "register_custom_op_symbolic",
    "symbolic_helper", "unregister_custom_op_symbolic",
]  # fmt: skip


class OperatorExportTypes(IntEnum):
    """How PyTorch's export writes operators."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3


class TrainingMode(IntEnum):
    """In which mode PyTorch's export runs the model."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Nothing: gradgpu writes no ONNX."""


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Nothing: gradgpu writes no ONNX."""


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
