"""`FileBaton`: a file that says that one process works while others wait."""

from __future__ import annotations

import os
import time

__all__ = ["FileBaton"]


class FileBaton:
    """A lock that is a file: the process that makes it has the lock, others wait until it is gone.

    Args:
        lock_file_path: the file.
        wait_seconds: the pause between looks at it.
        warn_after_seconds: says once that the wait is long, after so many seconds; None says nothing.

    >>> import tempfile, os
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     baton = FileBaton(os.path.join(folder, "lock"))
    ...     had = baton.try_acquire(), FileBaton(os.path.join(folder, "lock")).try_acquire()
    ...     baton.release()
    >>> had
    (True, False)
    """

    def __init__(
        self, lock_file_path: str, wait_seconds: float = 0.1, warn_after_seconds: float | None = None
    ) -> None:
        self.lock_file_path, self.wait_seconds, self.warn_after_seconds = (
            lock_file_path,
            wait_seconds,
            warn_after_seconds,
        )
        self.fd: int | None = None

    def try_acquire(self) -> bool:
        """Makes the file; False if it is there already."""
        try:
            self.fd = os.open(self.lock_file_path, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        return True

    def wait(self) -> None:
        """Waits until the file is gone."""
        start, told = time.monotonic(), self.warn_after_seconds is None
        while os.path.exists(self.lock_file_path):
            time.sleep(self.wait_seconds)
            if not told and time.monotonic() - start > (self.warn_after_seconds or 0):
                import warnings

                warnings.warn(f"Waited on lock file {self.lock_file_path} for a long time", stacklevel=2)
                told = True

    def release(self) -> None:
        """Removes the file."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
        os.remove(self.lock_file_path)
