"""`TorchVersion`: the type of `gradgpu.__version__`, a string that compares as a version."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

__all__ = ["TorchVersion"]

_PRE = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "pre": 2, "preview": 2, "rc": 2}
_PATTERN = (
    r"v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)(?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<n>\d*))?"
    r"(?:-(?P<post1>\d+)|[-_.]?(?:post|rev|r)[-_.]?(?P<post2>\d*))?(?:[-_.]?dev[-_.]?(?P<dev>\d*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?"
)


def _key(version: Any) -> tuple:
    """What orders versions (PEP 440). Raises ValueError if `version` is none."""
    import re

    text = version if isinstance(version, str) else ".".join(map(str, version))
    found = re.fullmatch(_PATTERN, text.strip().lower())
    if found is None:
        raise ValueError(f"not a version: {version!r}")
    release = [int(n) for n in found["release"].split(".")]
    while release and release[-1] == 0:
        release.pop()
    pre, dev = found["pre"], found["dev"]
    post = found["post1"] or found["post2"]
    # A development version is older than what it leads to, pre-release or release.
    stage = (
        (_PRE[pre], int(found["n"] or 0)) if pre else (-1, 0) if dev is not None and post is None else (3, 0)
    )
    local = [
        (1, int(part), "") if part.isdigit() else (0, 0, part)
        for part in re.split("[-_.]", found["local"] or "")
        if part
    ]
    return (
        int(found["epoch"] or 0),
        release,
        stage,
        -1 if post is None else int(post or 0),
        (1, 0) if dev is None else (0, int(dev or 0)),
        local,
    )


def _compared(compare: Callable, plain: Callable) -> Callable:
    def method(self: TorchVersion, other: Any) -> Any:
        if not isinstance(other, (str, tuple, list)):
            other = str(other)  # a Version of packaging
        try:
            return compare(_key(str(self)), _key(other))
        except ValueError:
            return plain(self, other)

    return method


class TorchVersion(str):
    """A version as PyTorch gives its own: a string, which compares with strings and tuples as versions do (PEP 440).

    >>> from gradgpu.torch_version import TorchVersion
    >>> TorchVersion("2.13.0") > "2.4", TorchVersion("2.13.0+cpu") >= (2, 13), TorchVersion("1.10.0a0") < "1.10"
    (True, True, True)
    """

    __slots__ = ()

    __lt__ = _compared(operator.lt, str.__lt__)
    __le__ = _compared(operator.le, str.__le__)
    __gt__ = _compared(operator.gt, str.__gt__)
    __ge__ = _compared(operator.ge, str.__ge__)
    __eq__ = _compared(operator.eq, str.__eq__)
    __ne__ = _compared(operator.ne, str.__ne__)
    __hash__ = str.__hash__
