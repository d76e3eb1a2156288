"""Locks of what all threads share."""

from __future__ import annotations

import os
import threading
from typing import Any


def new_lock() -> Any:
    """A lock that its thread may take again: letting go of memory runs code of others, which may come by here.

    In a forked process, such as a worker of a `DataLoader`, it is open, also if a thread of the parent held it: that thread is
    not there to give it back. For locks that live as long as the program.
    """
    lock: Any = threading.RLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock._at_fork_reinit)
    return lock
