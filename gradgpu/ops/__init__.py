"""The operations, one file a family. Importing this package installs the Tensor methods."""

from .conv import *  # noqa: F403
from .convert import *  # noqa: F403
from .creation import *  # noqa: F403
from .einsum import *  # noqa: F403
from .extrema import *  # noqa: F403
from .getitem import *  # noqa: F403
from .index import *  # noqa: F403
from .join import *  # noqa: F403
from .linalg import *  # noqa: F403
from .moments import *  # noqa: F403
from .pointwise import *  # noqa: F403
from .pool import *  # noqa: F403
from .reduce import *  # noqa: F403
from .shape import *  # noqa: F403
from .softmax import *  # noqa: F403
