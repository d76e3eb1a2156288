"""The layers, one concept a file."""

from .activation import *
from .adaptive import *
from .attention import *
from .container import *
from .conv import *
from .distance import *
from .dropout import *
from .fold import *
from .linear import *
from .loss import *
from .normalization import *
from .padding import *
from .pooling import *
from .rnn import *
from .sparse import *
from .upsampling import *
