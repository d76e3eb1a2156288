"""Files of published models: `torch.hub`'s downloads, kept where PyTorch keeps them, and models of a local `hubconf.py`.

Downloads go to ``$TORCH_HOME/hub/checkpoints``; without TORCH_HOME that is ``~/.cache/torch/hub/checkpoints`` ($XDG_CACHE_HOME
stands for ``~/.cache``). `set_dir` names another folder. What PyTorch has downloaded is found there.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
import urllib.parse
import urllib.request
from typing import Any

from .serialization import load as _load

__all__ = [
    "download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir",
]  # fmt: skip

HASH_REGEX = _HASH = re.compile(r"-([a-f0-9]*)\.")  # resnet18-5c106cde.pth
_dir: str | None = None


def _get_torch_home() -> str:
    home = os.environ.get("TORCH_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or "~/.cache", "torch"
    )
    return os.path.expanduser(home)


def __getattr__(name: str) -> Any:
    # What programs with downloads of their own import from here.
    if name == "tqdm":
        from tqdm import tqdm

        return tqdm
    if name == "urlparse":
        return urllib.parse.urlparse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_dir() -> str:
    """The folder that downloads go to.

    >>> import gradgpu as gg
    >>> gg.hub.get_dir().endswith("hub")
    True
    """
    if _dir is not None:
        return _dir
    return os.path.join(_get_torch_home(), "hub")


def set_dir(d: str | os.PathLike) -> None:
    """Makes `d` the folder that downloads go to."""
    global _dir
    _dir = os.path.expanduser(os.fspath(d))


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Downloads a file to `dst`, which is not there, or not changed, before all of it has come.

    Args:
        hash_prefix: what the file's SHA256 must begin with.
        progress: writes the name and size of what comes to stderr.

    Raises:
        RuntimeError: another hash.
        urllib.error.URLError: the download fails.
    """
    dst = os.path.expanduser(dst)
    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "gradgpu.hub"})
    folder = os.path.dirname(dst) or "."
    with urllib.request.urlopen(request) as source:
        size = source.headers.get("Content-Length")
        if progress:
            print(f"{url}: {int(size) / 1e6:.1f} MB" if size else url, file=sys.stderr)
        handle, part = tempfile.mkstemp(suffix=".partial", prefix=os.path.basename(dst), dir=folder)
        try:
            with os.fdopen(handle, "wb") as f:
                while block := source.read(1 << 17):
                    f.write(block)
                    digest.update(block)
            found = digest.hexdigest()
            if hash_prefix is not None and not found.startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{found}")')
            os.replace(part, dst)
        finally:
            if os.path.exists(part):
                os.remove(part)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """What `gradgpu.load` reads from the file at `url`, which is downloaded if it is not there yet.

    Only data is read, whatever `weights_only` says: what comes from elsewhere runs no code here.

    Args:
        model_dir: where the file is kept; `get_dir()`/checkpoints.
        check_hash: the name ends in the first digits of the file's SHA256, as in resnet18-5c106cde.pth: compares them.
        file_name: a name for the file; that of the URL.

    Raises:
        RuntimeError: another hash.
    """
    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else os.path.expanduser(model_dir)
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urllib.parse.unquote(urllib.parse.urlparse(url).path))
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        hashed = _HASH.search(name) if check_hash else None
        download_url_to_file(url, path, hashed[1] if hashed else None, progress)
    return _load(path, map_location=map_location, weights_only=True)


def _hubconf(repo_or_dir: str, source: str) -> Any:
    """The module `hubconf` of a folder."""
    if source != "local":
        raise RuntimeError(
            f"hub: {repo_or_dir!r} is code for PyTorch, which gradgpu does not run unread; clone it, change its imports to gradgpu, "
            "and name its folder with source='local'"
        )
    import importlib.util

    folder = os.path.expanduser(repo_or_dir)
    spec = importlib.util.spec_from_file_location("hubconf", os.path.join(folder, "hubconf.py"))
    if spec is None or spec.loader is None:
        raise RuntimeError(f"hub: there is no hubconf.py in {folder!r}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    missing = [name for name in getattr(module, "dependencies", ()) if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def _entry(module: Any, name: str) -> Any:
    found = getattr(module, name, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return found


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any) -> Any:
    """What the function `model` of a folder's ``hubconf.py`` returns for the arguments; `source` must be 'local'.

    Raises:
        RuntimeError: `source` is 'github' (that is code for PyTorch), or there is no such function, or a package that the
            folder's `dependencies` name is not installed.
    """
    for option in ("trust_repo", "force_reload", "verbose", "skip_validation"):  # they are about downloads
        kwargs.pop(option, None)
    return _entry(_hubconf(repo_or_dir, source), model)(*args, **kwargs)


def help(repo_or_dir: str, model: str, source: str = "github", **options: Any) -> str | None:
    """The docstring of a function of a folder's ``hubconf.py``; see `load`."""
    return _entry(_hubconf(repo_or_dir, source), model).__doc__


def list(repo_or_dir: str, source: str = "github", **options: Any) -> Any:
    """The names of the functions of a folder's ``hubconf.py``; see `load`."""
    module = _hubconf(repo_or_dir, source)
    return [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
