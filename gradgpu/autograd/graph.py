"""Looking at the graph: where a node was made."""

from __future__ import annotations

import os
import traceback

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def forward_trace() -> str:
    """The stack of the caller outside gradgpu, as text."""
    frames = [f for f in traceback.extract_stack() if not f.filename.startswith(_HOME)]
    return "".join(traceback.format_list(frames))
