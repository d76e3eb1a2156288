"""The operations, one file a family. Importing this package installs the Tensor methods."""

from .convert import *  # noqa: F403
from .creation import *  # noqa: F403
from .linalg import *  # noqa: F403
from .pointwise import *  # noqa: F403
from .reduce import *  # noqa: F403
from .shape import *  # noqa: F403
