"""The old place of `hub.load_state_dict_from_url`."""

from typing import Any

from ..hub import load_state_dict_from_url

__all__ = ["load_url"]

load_url = load_state_dict_from_url


def __getattr__(name: str) -> Any:
    if name == "tqdm":
        from ..hub import tqdm

        return tqdm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
