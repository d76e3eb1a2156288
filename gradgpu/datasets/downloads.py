"""Downloading a file: with a checksum, in pieces where the line breaks, whole or not at all.

The bytes go to `name.part`. Only when all are there and the checksum agrees does the file get its name, in one
step, so that whoever finds the file finds it whole. A part that is left behind is continued by the next call.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["checksum_matches", "download"]

CHUNK = 1 << 16
# What a later attempt may mend: a broken line, a busy server.
PASSING = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
BUSY = (408, 429, 500, 502, 503, 504)


class _Broken(ConnectionError):
    """The server closed the line before the file was complete."""


def _digest_of(checksum: str) -> tuple[Any, str]:
    name, _, digest = checksum.partition(":")
    if name not in ("md5", "sha1", "sha256", "sha512") or not re.fullmatch(r"[0-9a-fA-F]+", digest):
        raise ValueError(
            f"download: a checksum is written like 'md5:<hex digits>' or 'sha256:<hex digits>', got {checksum!r}"
        )
    # The digest tells a damaged file from a whole one; who needs more gives sha256.
    return hashlib.new(name, usedforsecurity=False), digest.lower()


def checksum_matches(path: str | os.PathLike, checksum: str) -> bool:
    """True if the file is there and has the checksum ``'md5:…'``, ``'sha1:…'``, ``'sha256:…'`` or ``'sha512:…'``.

    Example:
        >>> import pathlib, tempfile
        >>> from gradgpu.datasets import checksum_matches
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "empty")
        ...     _ = path.write_bytes(b"")
        ...     checksum_matches(path, "md5:d41d8cd98f00b204e9800998ecf8427e"), checksum_matches(path, "sha1:00")
        (True, False)
    """
    state, digest = _digest_of(checksum)
    try:
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                state.update(piece)
    except FileNotFoundError:
        return False
    return state.hexdigest() == digest


def download(
    urls: str | Sequence[str],
    path: str | os.PathLike,
    *,
    checksum: str | None = None,
    progress: bool = True,
    timeout: float = 30.0,
    attempts: int = 3,
) -> Path:
    """Download a file, unless it is there already; returns its path.

    Args:
        urls: where it is; of several mirrors, the first that has it serves (http and https only).
        path: where it goes; missing folders are made.
        checksum: ``'md5:<hex>'``, ``'sha1:…'``, ``'sha256:…'`` or ``'sha512:…'``. With it, a file that is there but differs is
            fetched again, and a part left behind by an earlier call is continued where the server can.
        progress: show a bar (with `tqdm`, on a terminal) or one line.
        timeout: seconds that the server may stay silent.
        attempts: how often each mirror is asked, where the line breaks or the server is busy.

    Raises:
        ValueError: for another kind of URL, or a checksum that cannot be one.
        RuntimeError: no mirror has the file, or what came has another checksum. Nothing is left under `path`.

    Example:
        >>> from gradgpu.datasets import download
        >>> download("file:///etc/hosts", "hosts")
        Traceback (most recent call last):
            ...
        ValueError: download: expected an http or https URL, got 'file:///etc/hosts'
    """
    path = Path(path)
    mirrors = [urls] if isinstance(urls, str) else list(urls)
    for url in mirrors:
        if not re.match(r"https?://", url):
            raise ValueError(f"download: expected an http or https URL, got {url!r}")
    if not mirrors or attempts < 1:
        raise ValueError(
            f"download: needs one URL and one attempt at least, got {len(mirrors)} and {attempts}"
        )
    if checksum is not None:
        _digest_of(checksum)

    def complete() -> bool:
        return path.exists() if checksum is None else checksum_matches(path, checksum)

    if complete():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(path, complete) as part:
        if part is None:  # another process finished it meanwhile
            return path
        failures = []
        for url in mirrors:
            try:
                _fetch(url, part, checksum, progress, timeout, attempts, path.name)
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{url}: {error or type(error).__name__}")
            else:
                part.flush()
                os.fsync(part.fileno())
                if fcntl is None:
                    part.close()  # Windows renames closed files only
                os.replace(_part_path(path), path)
                return path
    raise RuntimeError(f"download of {path.name} failed\n  " + "\n  ".join(failures))


def _part_path(path: Path) -> Path:
    return path.with_name(path.name + ".part")


@contextmanager
def _part_of(path: Path, complete: Callable[[], bool]) -> Iterator[BinaryIO | None]:
    """The part file, open for this process alone; None if another one completed the file while this one waited."""
    while True:
        with open(_part_path(path), "ab+") as part:
            if fcntl is not None:
                fcntl.flock(part, fcntl.LOCK_EX)
                if not _is_at(part, _part_path(path)):
                    if complete():
                        yield None
                        return
                    continue
            yield part
            return


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _fetch(
    url: str,
    part: BinaryIO,
    checksum: str | None,
    progress: bool,
    timeout: float,
    attempts: int,
    name: str,
) -> None:
    """Fill the part from one server and check it; OSError where that cannot be done."""
    if checksum is None:
        part.truncate(0)  # nothing could tell whether an old part and a new rest belong together
    resumed = part.seek(0, os.SEEK_END) > 0
    attempt = 0
    while True:
        attempt += 1
        try:
            _receive(url, part, progress, timeout, name)
        except PASSING as error:
            passing = not isinstance(error, urllib.error.HTTPError) or error.code in BUSY
            if not passing or attempt >= attempts:
                raise
            time.sleep(min(2.0, 0.1 * 2**attempt))
            continue
        found = _hexdigest(part, checksum) if checksum is not None else None
        if checksum is None or found == _digest_of(checksum)[1]:
            return
        part.truncate(0)
        if not resumed:
            kind = checksum.partition(":")[0]
            raise OSError(f"the file has {kind} {found} instead of {checksum.partition(':')[2]}")
        resumed = False  # the part may have been of another file: once more, from the start


def _hexdigest(part: BinaryIO, checksum: str) -> str:
    state, _ = _digest_of(checksum)
    part.flush()
    part.seek(0)
    while piece := part.read(1 << 20):
        state.update(piece)
    return state.hexdigest()


def _receive(url: str, part: BinaryIO, progress: bool, timeout: float, name: str) -> None:
    """One request: append to the part what it lacks."""
    have = part.seek(0, os.SEEK_END)
    request = urllib.request.Request(url, headers={"User-Agent": "gradgpu", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # no byte behind the part: it is whole, or of another file
            error.close()
            return
        error.close()
        raise
    with response:
        if have and response.status != 206:  # the server sends the whole file whatever is asked
            part.truncate(0)
            have = 0
        elif have:
            start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
            if start is None or int(start[1]) != have:
                part.truncate(0)
                raise _Broken(f"asked for the bytes from {have}, the server sent others")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        with _bar(url, name, total, have, progress) as update:
            while piece := response.read(CHUNK):
                part.write(piece)
                have += len(piece)
                update(len(piece))
    part.flush()
    if total is not None and have < total:
        raise _Broken(f"the line broke after {have} of {total} bytes")


@contextmanager
def _bar(
    url: str, name: str, total: int | None, have: int, progress: bool
) -> Iterator[Callable[[int], object]]:
    if not progress:
        yield lambda n: None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        size = "" if total is None else f" ({(total - have) / 1e6:.1f} MB)"
        print(f"downloading {url}{size}", file=sys.stderr)
        yield lambda n: None
        return
    # disable=None: a bar on a terminal only
    with tqdm(total=total, initial=have, desc=name, unit="B", unit_scale=True, disable=None) as bar:
        yield bar.update
