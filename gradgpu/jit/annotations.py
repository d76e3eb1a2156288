"""The types that annotations of scripts take from `torch.jit.annotations`."""

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035

from . import Future

__all__ = [
    "Any", "BroadcastingList1", "BroadcastingList2", "BroadcastingList3", "Dict", "Future", "List", "Optional", "Tuple", "Union",
]  # fmt: skip


class BroadcastingListCls:
    """``BroadcastingList2[int]`` in an annotation: a number, or one for each dimension."""

    def __getitem__(self, types: Any) -> None:
        return None


BroadcastingList1 = BroadcastingList2 = BroadcastingList3 = BroadcastingListCls()
BroadcastingList4 = BroadcastingList5 = BroadcastingList6 = BroadcastingList1
