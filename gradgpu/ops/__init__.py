"""The operations, one file a family. Importing this package installs the Tensor methods."""

import typing as _typing
from sys import modules as _modules
from types import ModuleType as _Module

from .compare import *
from .complex import *
from .conv import *
from .convert import *
from .creation import *
from .decompositions import *
from .einsum import *
from .elementary import *
from .embedding import *
from .extrema import *
from .getitem import *
from .index import *
from .join import *
from .legacy import *
from .linalg import *
from .masks import *
from .matrix import *
from .moments import *
from .numpy_names import install as _install_numpy_names
from .out import install as _install_out
from .pointwise import *
from .pool import *
from .random import *
from .reduce import *
from .scan import *
from .shape import *
from .softmax import *
from .sort import *
from .special import *
from .statistics import *

_install_numpy_names(globals())
_install_out(globals())

# The functions, not the modules they stand in: `gradgpu.random` is not `gradgpu.ops.random`.
if not _typing.TYPE_CHECKING:  # which sees through the star imports by itself, but not through this line
    __all__ = [name for name, value in globals().items() if name[0] != "_" and not isinstance(value, _Module)]


def __getattr__(name: str) -> object:
    # `ops.mylib.swish`: operations of one's own, by the namespace that they were defined in.
    if name[0] != "_" and f"{__package__.partition('.')[0]}.library" in _modules:
        from ..library import namespace

        return namespace(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
