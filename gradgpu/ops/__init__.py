"""The operations, one file a family. Importing this package installs the Tensor methods."""

from types import ModuleType as _Module

from .conv import *
from .convert import *
from .creation import *
from .einsum import *
from .embedding import *
from .extrema import *
from .getitem import *
from .index import *
from .join import *
from .linalg import *
from .matrix import *
from .moments import *
from .pointwise import *
from .pool import *
from .random import *
from .reduce import *
from .scan import *
from .shape import *
from .softmax import *
from .sort import *

# The functions, not the modules they stand in: `gradgpu.random` is not `gradgpu.ops.random`.
__all__ = [name for name, value in globals().items() if name[0] != "_" and not isinstance(value, _Module)]
