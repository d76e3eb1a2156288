"""What `make compare` runs in both libraries: layers, losses, activations, optimisers and schedules.

A case says how to make a module and its inputs; nothing here imports either library. :func:`values` are numpy arrays, which
become tensors of the library that runs the case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Rng = np.random.Generator


# ---- inputs ----
@dataclass(frozen=True)
class Value:
    """A recipe of an array."""

    make: Callable[[Rng], Any]
    grad: bool = True

    def __call__(self, rng: Rng) -> Any:
        return self.make(rng)


def real(*shape: int) -> Value:
    """Normal numbers."""
    return Value(lambda rng: rng.standard_normal(shape).astype(np.float32))


def between(low: float, high: float, *shape: int, grad: bool = True) -> Value:
    """Uniform numbers."""
    return Value(lambda rng: rng.uniform(low, high, shape).astype(np.float32), grad)


def target(*shape: int) -> Value:
    """Normal numbers that want no gradient."""
    return Value(real(*shape).make, grad=False)


def whole(low: int, high: int, *shape: int) -> Value:
    """Integers low … high - 1."""
    return Value(lambda rng: rng.integers(low, high, shape), grad=False)


def signs(*shape: int) -> Value:
    """-1 and 1."""
    return Value(lambda rng: rng.choice(np.array([-1, 1], np.float32), shape), grad=False)


def shares(*shape: int, grad: bool = False) -> Value:
    """Positive numbers that sum to one along dimension 1."""

    def make(rng: Rng) -> Any:
        x = rng.uniform(0.1, 1.0, shape)
        return (x / x.sum(1, keepdims=True)).astype(np.float32)

    return Value(make, grad)


def logs(*shape: int) -> Value:
    """Logarithms of positive numbers that sum to one along the last dimension."""

    def make(rng: Rng) -> Any:
        x = rng.uniform(0.1, 1.0, shape)
        return np.log(x / x.sum(-1, keepdims=True)).astype(np.float32)

    return Value(make)


def given(values: Any, dtype: Any = np.int64) -> Value:
    """These numbers."""
    return Value(lambda rng: np.asarray(values, dtype), grad=False)


def pair(*values: Value) -> Value:
    """A tuple of arrays, as the state of an LSTM."""
    return Value(lambda rng: tuple(v(rng) for v in values))


# ---- modules ----
@dataclass
class Case:
    """A module in one configuration.

    ``module(*args, **kwargs)`` is called with `inputs` and `call`; ``training`` is its mode, ``through`` says that the
    input goes through log_softmax first (so that only the gradient before it is compared).
    """

    module: str
    inputs: tuple[Value, ...]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    training: bool = True
    through: bool = False


MODULES: list[Case] = []


def add(module: str, *inputs: Value, args: tuple = (), call: dict | None = None, training: bool = True, through: bool = False, **kwargs: Any) -> None:  # fmt: skip
    """One more case."""
    MODULES.append(Case(module, inputs, args, kwargs, call or {}, training, through))


def both(module: str, *inputs: Value, args: tuple = (), call: dict | None = None, **kwargs: Any) -> None:
    """A case in training and one in evaluation."""
    for training in (True, False):
        add(module, *inputs, args=args, call=call, training=training, **kwargs)


options: dict[str, Any]
shape: tuple[int, ...]
SPACE: dict[int, tuple[int, ...]] = {1: (9,), 2: (7, 9), 3: (5, 6, 7)}
REDUCTIONS: tuple[dict[str, Any], ...] = ({}, {"reduction": "sum"}, {"reduction": "none"})
TRANSPOSED: tuple[dict[str, Any], ...] = (
    {}, {"stride": 2, "padding": 1, "output_padding": 1}, {"dilation": 2, "bias": False}, {"groups": 2},
)  # fmt: skip
ATTENTION: tuple[dict[str, Any], ...] = (
    {"batch_first": True}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True},
    {"batch_first": True, "add_bias_kv": True, "add_zero_attn": True},
)  # fmt: skip
DISTANCES: tuple[dict[str, Any], ...] = ({}, {"p": 1.0}, {"p": 3.0, "eps": 1e-3, "keepdim": True})

# Layers with a matrix.
for shape in ((3,), (2, 3), (2, 4, 3), (0, 3)):
    add("Linear", real(*shape), args=(3, 5))
add("Linear", real(2, 3), args=(3, 5), bias=False)
add("LazyLinear", real(2, 3), args=(5,))
add("Bilinear", real(4, 3), real(4, 2), args=(3, 2, 5))
add("Bilinear", real(2, 4, 3), real(2, 4, 2), args=(3, 2, 5), bias=False)
add("Identity", real(2, 3), args=(54,), unused=1)
add("Flatten", real(2, 3, 4))
add("Flatten", real(2, 3, 4), start_dim=0, end_dim=1)
add("Unflatten", real(2, 6, 3), args=(1, (2, 3)))

# Convolutions.
for dims, space in SPACE.items():
    for options in (
        {},
        {"stride": 2, "padding": 1},
        {"dilation": 2, "bias": False},
        {"groups": 2, "padding": 1},
        {"padding": "same"},
        {"padding": 1, "padding_mode": "circular"},
        {"padding": 2, "padding_mode": "reflect"},
        {"padding": 1, "padding_mode": "replicate"},
        {"groups": 4},
    ):
        add(f"Conv{dims}d", real(2, 4, *space), args=(4, 8, 3), **options)
    add(f"Conv{dims}d", real(4, *space), args=(4, 3, tuple(range(2, 2 + dims))))
    for options in TRANSPOSED:
        add(f"ConvTranspose{dims}d", real(2, 4, *space), args=(4, 6, 3), **options)
    add(f"LazyConv{dims}d", real(2, 4, *space), args=(3, 2))
    add(f"LazyConvTranspose{dims}d", real(2, 4, *space), args=(3, 2))

# Normalisation.
for dims, space in SPACE.items():
    both(f"BatchNorm{dims}d", real(4, 3, *space), args=(3,))
    both(f"BatchNorm{dims}d", real(4, 3, *space), args=(3,), eps=1e-3, momentum=None)
    both(f"BatchNorm{dims}d", real(4, 3, *space), args=(3,), affine=False, momentum=0.3)
    both(f"BatchNorm{dims}d", real(4, 3, *space), args=(3,), track_running_stats=False)
    both(f"InstanceNorm{dims}d", real(4, 3, *space), args=(3,))
    both(f"InstanceNorm{dims}d", real(4, 3, *space), args=(3,), affine=True, track_running_stats=True)
    add(f"InstanceNorm{dims}d", real(3, *space), args=(3,))
    add(f"LazyBatchNorm{dims}d", real(4, 3, *space))
    add(f"LazyInstanceNorm{dims}d", real(4, 3, *space), affine=True)
both("BatchNorm1d", real(6, 3), args=(3,))
add("SyncBatchNorm", real(6, 3, 4), args=(3,), training=False)
add("LayerNorm", real(4, 3, 5), args=(5,))
add("LayerNorm", real(4, 3, 5), args=((3, 5),), eps=1e-3)
add("LayerNorm", real(4, 3, 5), args=(5,), elementwise_affine=False)
add("LayerNorm", real(4, 3, 5), args=(5,), bias=False)
add("RMSNorm", real(4, 3, 5), args=(5,))
add("RMSNorm", real(4, 3, 5), args=((3, 5),), eps=1e-2, elementwise_affine=False)
add("GroupNorm", real(4, 6, 5), args=(2, 6))
add("GroupNorm", real(4, 6, 3, 5), args=(6, 6), eps=1e-3)
add("GroupNorm", real(4, 6, 7), args=(3, 6), affine=False)
add("LocalResponseNorm", real(2, 5, 3, 4), args=(3,), alpha=0.1, k=2.0)

# Pooling.
for dims, space in SPACE.items():
    x = real(2, 3, *space)
    for options in (
        {},
        {"stride": 1, "padding": 1},
        {"ceil_mode": True, "stride": 2},
        {"dilation": 2},
        {"return_indices": True},
    ):
        add(f"MaxPool{dims}d", x, args=(2,), **options)
    for options in (
        {},
        {"stride": 1, "padding": 1},
        {"ceil_mode": True},
        {"padding": 1, "count_include_pad": False},
    ):
        add(f"AvgPool{dims}d", x, args=(2,), **options)
    add(f"MaxPool{dims}d", real(3, *space), args=(2,))
    for kind in ("Avg", "Max"):
        add(f"Adaptive{kind}Pool{dims}d", x, args=(3,))
        add(f"Adaptive{kind}Pool{dims}d", x, args=(1,))
        add(f"Adaptive{kind}Pool{dims}d", real(3, *space), args=((2, 3, None)[:dims],))
    add(f"LPPool{dims}d", between(0.1, 1.0, 2, 3, *space), args=(2, 2))
    add(f"LPPool{dims}d", between(0.1, 1.0, 2, 3, *space), args=(3, 3), stride=1)
    corners = {1: [0, 3], 2: [0, 5], 3: [0, 13]}[dims]
    add(
        f"MaxUnpool{dims}d",
        real(1, 1, *(2, 1, 1)[:dims]),
        given(np.reshape(corners, (1, 1, *(2, 1, 1)[:dims]))),
        args=(2,),
    )
add("AvgPool2d", real(2, 3, 6, 6), args=(3,), divisor_override=5)
samples2, samples3 = given([[[0.3, 0.7]] * 3] * 2, np.float32), given([[[0.3, 0.7, 0.5]] * 3] * 2, np.float32)
add("FractionalMaxPool2d", real(2, 3, 8, 9), args=(2,), output_size=4, _random_samples=samples2)
add("FractionalMaxPool3d", real(2, 3, 6, 7, 8), args=(2,), output_ratio=0.5, _random_samples=samples3)

# Padding.
for dims, space in SPACE.items():
    for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular"):
        value = (2.5,) if kind == "Constant" else ()
        add(f"{kind}Pad{dims}d", real(2, 3, *space), args=(2, *value))
        add(f"{kind}Pad{dims}d", real(2, 3, *space), args=((1, 2, 0, 1, 2, 1)[: 2 * dims], *value))
add("ZeroPad2d", real(2, 3, 5, 5), args=((-1, 1, 2, -2),))

# Activations.
x = real(3, 4, 5)
for name in (
    "ReLU ReLU6 SELU CELU GELU SiLU Mish Sigmoid LogSigmoid Tanh Tanhshrink Softsign Softplus Hardsigmoid Hardswish Hardtanh "
    "Hardshrink Softshrink ELU LeakyReLU PReLU GLU"
).split():
    add(name, real(3, 4, 6))
    add(name, real(8))
for name in ("ReLU", "SELU", "SiLU", "Mish", "Hardswish"):
    add(name, x, inplace=False)
add("ELU", x, alpha=0.4)
add("CELU", x, alpha=2.0)
add("GELU", x, approximate="tanh")
add("LeakyReLU", x, negative_slope=0.3)
add("Softplus", x, beta=2.0, threshold=1.0)
add("Hardtanh", x, min_val=-0.5, max_val=0.7)
add("Hardshrink", x, lambd=0.2)
add("Softshrink", x, lambd=0.2)
add("Threshold", x, args=(0.1, -3.0))
add("PReLU", x, num_parameters=4, init=0.1)
add("GLU", real(2, 6, 3), dim=1)
add("RReLU", x, training=False)
for name in ("Softmax", "Softmin", "LogSoftmax"):
    add(name, x, dim=-1)
    add(name, x, dim=0)
add("Softmax2d", real(2, 3, 4, 5))
add("MultiheadAttention", real(5, 2, 8), real(6, 2, 8), real(6, 2, 8), args=(8, 2))
for options in ATTENTION:
    add("MultiheadAttention", real(5, 2, 8), real(5, 2, 8), real(5, 2, 8), args=(8, 4), **options)
add("MultiheadAttention", real(5, 2, 8), real(6, 2, 3), real(6, 2, 7), args=(8, 2), kdim=3, vdim=7)
add("MultiheadAttention", real(5, 8), real(6, 8), real(6, 8), args=(8, 2), call={"need_weights": False})
causal, padded = given(np.triu(np.ones((5, 5)), 1), bool), given([[0, 0, 0, 0, 1], [0, 0, 0, 1, 1]], bool)
add(
    "MultiheadAttention",
    *[real(5, 2, 8)] * 3,
    args=(8, 2),
    call={"attn_mask": causal, "key_padding_mask": padded},
)
add(
    "MultiheadAttention",
    *[real(5, 2, 8)] * 3,
    args=(8, 2),
    call={"attn_mask": causal, "average_attn_weights": False},
)

# Transformers, without dropout.
plain: dict[str, Any] = {"dropout": 0.0, "dim_feedforward": 16}
for options in ({}, {"norm_first": True}, {"batch_first": True, "activation": "gelu"}, {"bias": False}):
    both("TransformerEncoderLayer", real(4, 3, 8), args=(8, 2), **plain, **options)
    both(
        "TransformerDecoderLayer",
        real(4, 3, 8),
        real(5, 3, 8) if not options.get("batch_first") else real(4, 5, 8),
        args=(8, 2),
        **plain,
        **options,
    )
add(
    "TransformerEncoderLayer",
    real(5, 2, 8),
    args=(8, 2),
    call={"src_mask": causal, "src_key_padding_mask": padded},
    **plain,
)
add("Transformer", real(4, 3, 8), real(5, 3, 8), args=(8, 2, 2, 1), **plain)
add(
    "Transformer", real(3, 4, 8), real(3, 5, 8), args=(8, 2, 1, 2), batch_first=True, norm_first=True, **plain
)

# Recurrence.
for kind in ("RNN", "LSTM", "GRU"):
    for options in (
        {},
        {"num_layers": 2, "bidirectional": True},
        {"bias": False, "batch_first": True},
        {"num_layers": 2, "batch_first": True},
    ):
        add(kind, real(5, 3, 4), args=(4, 6), **options)
    add(kind, real(5, 4), args=(4, 6))
    add(f"{kind}Cell", real(3, 4), args=(4, 6))
    add(f"{kind}Cell", real(4), args=(4, 6), bias=False)
add("RNN", real(5, 3, 4), real(1, 3, 6), args=(4, 6), nonlinearity="relu")
add("RNNCell", real(3, 4), real(3, 6), args=(4, 6), nonlinearity="relu")
add("GRU", real(5, 3, 4), real(2, 3, 6), args=(4, 6), bidirectional=True)
add("GRUCell", real(3, 4), real(3, 6), args=(4, 6))
add("LSTM", real(5, 3, 4), pair(real(1, 3, 6), real(1, 3, 6)), args=(4, 6))
add("LSTM", real(5, 3, 4), args=(4, 6), proj_size=2, num_layers=2)
add("LSTMCell", real(3, 4), pair(real(3, 6), real(3, 6)), args=(4, 6))

# Embeddings.
add("Embedding", whole(0, 7, 3, 4), args=(7, 5))
add("Embedding", whole(0, 7, 9), args=(7, 5), padding_idx=2)
add("Embedding", whole(0, 7, 9), args=(7, 5), max_norm=1.0)
add("Embedding", whole(0, 3, 9), args=(7, 5), scale_grad_by_freq=True)
for mode in ("sum", "mean", "max"):
    add("EmbeddingBag", whole(0, 7, 3, 4), args=(7, 5), mode=mode)
    add("EmbeddingBag", whole(0, 7, 8), given([0, 3, 3, 6]), args=(7, 5), mode=mode)
add("EmbeddingBag", whole(0, 7, 6), given([0, 4, 6]), args=(7, 5), mode="sum", include_last_offset=True)
add("EmbeddingBag", whole(0, 7, 3, 4), args=(7, 5), mode="sum", call={"per_sample_weights": real(3, 4)})
add("EmbeddingBag", whole(0, 7, 3, 4), args=(7, 5), mode="mean", padding_idx=1)

# Dropout: what does not depend on the draw.
for name, shape in (("Dropout", (3, 4)), ("Dropout1d", (2, 3, 4)), ("Dropout2d", (2, 3, 4, 4)), ("Dropout3d", (2, 3, 2, 2, 2)), ("AlphaDropout", (3, 4)), ("FeatureAlphaDropout", (2, 3, 4))):  # fmt: skip
    add(name, real(*shape), p=0.0)
    add(name, real(*shape), p=0.5, training=False)
    if name in ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d"):
        add(name, real(*shape), p=1.0)

# Resizing, folding, distances.
for mode, dims in (("nearest", 1), ("nearest", 2), ("nearest", 3), ("linear", 1), ("bilinear", 2), ("trilinear", 3), ("bicubic", 2), ("nearest-exact", 2), ("area", 2)):  # fmt: skip
    x = real(2, 3, *(4, 5, 6)[:dims])
    add("Upsample", x, scale_factor=2, mode=mode)
    add("Upsample", x, size=(7, 3, 5)[:dims], mode=mode)
    if "linear" in mode or mode == "bicubic":
        add("Upsample", x, scale_factor=1.7, mode=mode, align_corners=True)
add("UpsamplingNearest2d", real(1, 2, 3, 4), scale_factor=3)
add("UpsamplingBilinear2d", real(1, 2, 3, 4), size=(5, 6))
add("PixelShuffle", real(2, 8, 3, 4), args=(2,))
add("PixelUnshuffle", real(2, 3, 4, 6), args=(2,))
add("ChannelShuffle", real(2, 6, 3, 4), args=(3,))
add("Unfold", real(2, 3, 6, 7), args=(3,), dilation=1, padding=1, stride=2)
add("Unfold", real(2, 3, 6, 7), args=((2, 3),), dilation=2)
add("Fold", real(2, 12, 20), args=((5, 6), (2, 2)))
add("Fold", real(2, 12, 16), args=((6, 7), 2), stride=2, padding=1)
add("CosineSimilarity", real(4, 5), real(4, 5))
add("CosineSimilarity", real(4, 5, 3), real(4, 5, 3), dim=2, eps=1e-3)
for options in DISTANCES:
    add("PairwiseDistance", real(4, 5), real(4, 5), **options)

# Losses.
for options in REDUCTIONS:
    for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss"):
        add(name, real(3, 4), real(3, 4), **options)
    add("SmoothL1Loss", real(3, 4), target(3, 4), beta=0.3, **options)
    add("HuberLoss", real(3, 4), target(3, 4), delta=0.3, **options)
    add("BCELoss", between(0.05, 0.95, 3, 4), between(0, 1, 3, 4, grad=False), **options)
    add(
        "BCELoss",
        between(0.05, 0.95, 3, 4),
        between(0, 1, 3, 4, grad=False),
        weight=between(0, 1, 4),
        **options,
    )
    add("BCEWithLogitsLoss", real(3, 4), between(0, 1, 3, 4, grad=False), **options)
    add(
        "BCEWithLogitsLoss",
        real(3, 4),
        between(0, 1, 3, 4),
        weight=between(0, 1, 4),
        pos_weight=between(1, 2, 4),
        **options,
    )
    for shape in ((), (5,), (5, 2)):
        x, labels = real(6, 4, *shape), whole(0, 4, 6, *shape)
        add("CrossEntropyLoss", x, labels, **options)
        add(
            "CrossEntropyLoss",
            x,
            labels,
            weight=between(0.5, 1, 4),
            label_smoothing=0.2,
            ignore_index=1,
            **options,
        )
        add("CrossEntropyLoss", x, shares(6, 4, *shape, grad=True), label_smoothing=0.1, **options)
        add("NLLLoss", x, labels, weight=between(0.5, 1, 4), ignore_index=2, **options)
    add("CrossEntropyLoss", real(4), whole(0, 4), **options)
    add("NLLLoss2d", real(2, 4, 3, 3), whole(0, 4, 2, 3, 3), **options)
    add("KLDivLoss", logs(3, 4), shares(3, 4), **options)
    add("KLDivLoss", logs(3, 4), logs(3, 4), log_target=True, **options)
    add("PoissonNLLLoss", real(3, 4), between(0, 3, 3, 4, grad=False), **options)
    add(
        "PoissonNLLLoss",
        between(0.1, 2, 3, 4),
        between(0, 3, 3, 4, grad=False),
        log_input=False,
        full=True,
        **options,
    )
    add("GaussianNLLLoss", real(3, 4), target(3, 4), between(0.1, 1, 3, 4), **options)
    add("GaussianNLLLoss", real(3, 4), target(3, 4), between(0.1, 1, 3, 1), full=True, **options)
    add("HingeEmbeddingLoss", real(3, 4), signs(3, 4), margin=0.5, **options)
    add("MarginRankingLoss", real(5), real(5), signs(5), margin=0.2, **options)
    add("SoftMarginLoss", real(3, 4), signs(3, 4), **options)
    add("CosineEmbeddingLoss", real(5, 3), real(5, 3), signs(5), margin=0.1, **options)
    add("MultiMarginLoss", real(5, 4), whole(0, 4, 5), **options)
    add("MultiMarginLoss", real(5, 4), whole(0, 4, 5), p=2, margin=0.5, weight=between(0.5, 1, 4), **options)
    add("MultiLabelMarginLoss", real(2, 4), given([[3, 0, -1, 1], [2, -1, 0, 1]]), **options)
    add("MultiLabelSoftMarginLoss", real(3, 4), whole(0, 2, 3, 4), weight=between(0.5, 1, 4), **options)
    add("TripletMarginLoss", real(5, 3), real(5, 3), real(5, 3), **options)
    add("TripletMarginLoss", real(5, 3), real(5, 3), real(5, 3), margin=0.3, p=1, swap=True, **options)
    add("TripletMarginWithDistanceLoss", real(5, 3), real(5, 3), real(5, 3), margin=0.7, swap=True, **options)
    add("CTCLoss", real(8, 2, 5), whole(1, 5, 2, 3), given([8, 6]), given([3, 2]), through=True, **options)
    add(
        "CTCLoss",
        real(8, 2, 5),
        whole(0, 4, 2, 9),
        given([8, 8]),
        given([9, 2]),
        blank=4,
        zero_infinity=True,
        through=True,
        **options,
    )
add("KLDivLoss", logs(3, 4), shares(3, 4), reduction="batchmean")
add("AdaptiveLogSoftmaxWithLoss", real(6, 8), given([0, 2, 3, 5, 8, 9]), args=(8, 10, [3, 6]), div_value=2.0)
add("AdaptiveLogSoftmaxWithLoss", real(6, 8), given([0, 2, 3, 5, 8, 9]), args=(8, 10, [4]), head_bias=True)

# Modules that no case is made for.
LEFT_OUT = {
    "Module": "the base class", "RNNBase": "a base class", "RNNCellBase": "a base class", "Sequential": "a container", "ModuleList": "a container",
    "ModuleDict": "a container", "ParameterList": "a container", "ParameterDict": "a container", "DataParallel": "one device",
    "CrossMapLRN2d": "PyTorch's leaves the first channel in every window; LocalResponseNorm is right in both",
    "TransformerEncoder": "part of Transformer", "TransformerDecoder": "part of Transformer",
}  # fmt: skip

# ---- functions of nn.functional on one tensor ----
ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    (name, {})
    for name in (
        "relu relu6 elu selu celu gelu silu mish sigmoid logsigmoid tanh tanhshrink softsign softplus hardsigmoid hardswish "
        "hardtanh hardshrink softshrink leaky_relu glu rrelu"
    ).split()
]
ACTIVATIONS += [
    ("elu", {"alpha": 0.4}), ("celu", {"alpha": 2.0}), ("gelu", {"approximate": "tanh"}), ("leaky_relu", {"negative_slope": 0.3}),
    ("softplus", {"beta": 2.0, "threshold": 1.0}), ("hardtanh", {"min_val": -0.5, "max_val": 0.7}), ("hardshrink", {"lambd": 0.2}),
    ("softshrink", {"lambd": 0.2}), ("threshold", {"threshold": 0.1, "value": -3.0}), ("glu", {"dim": 0}), ("softmax", {"dim": 1}),
    ("log_softmax", {"dim": 0}), ("softmin", {"dim": -1}), ("normalize", {}), ("normalize", {"p": 1.0, "dim": 0}),
    ("layer_norm", {"normalized_shape": (6,)}), ("rms_norm", {"normalized_shape": (6,)}),
]  # fmt: skip

# ---- optimisers ----
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = []
_COMMON: tuple[dict[str, Any], ...] = (
    {},
    {"lr": 0.02},
    {"weight_decay": 0.1},
    {"maximize": True},
    {"foreach": True},
)
_MORE: dict[str, tuple[dict[str, Any], ...]] = {
    "SGD": (
        {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.3}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}, {"fused": True},
    ),
    "Adam": (
        {"betas": (0.7, 0.9)}, {"amsgrad": True}, {"amsgrad": True, "weight_decay": 0.1, "maximize": True}, {"eps": 1e-3}, {"fused": True},
        {"decoupled_weight_decay": True, "weight_decay": 0.1},
    ),
    "AdamW": ({"betas": (0.7, 0.9)}, {"amsgrad": True}, {"weight_decay": 0.0}, {"fused": True}),
    "Adamax": ({"betas": (0.7, 0.9)}, {"eps": 1e-3}),
    "NAdam": ({"momentum_decay": 0.01}, {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    "RAdam": ({"betas": (0.7, 0.9)}, {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    "RMSprop": ({"alpha": 0.8}, {"centered": True}, {"momentum": 0.5}, {"momentum": 0.5, "centered": True, "weight_decay": 0.1}),
    "Adagrad": ({"lr_decay": 0.1}, {"initial_accumulator_value": 0.5}, {"eps": 1e-3}, {"fused": True}),
    "Adadelta": ({"rho": 0.5}, {"eps": 1e-3}),
    "ASGD": ({"lambd": 0.1, "alpha": 0.5}, {"t0": 10.0}),
    "Rprop": ({"etas": (0.3, 1.5)}, {"step_sizes": (1e-3, 0.5)}),
    "Muon": ({"nesterov": False}, {"ns_steps": 3}, {"adjust_lr_fn": "match_rms_adamw"}),
    "Adafactor": ({"beta2_decay": -0.5}, {"d": 2.0}, {"eps": (1e-6, 1e-2)}),
}  # fmt: skip
_LACKS = {
    "Rprop": ("weight_decay",), "Muon": ("maximize", "foreach"), "Adagrad": (), "ASGD": ("foreach",), "Adafactor": ("foreach",),
}  # fmt: skip
for _name, _extra in _MORE.items():
    _usual = [o for o in _COMMON if not any(key in _LACKS.get(_name, ()) for key in o)]
    OPTIMIZERS += [(_name, options) for options in (*_usual, *_extra)]

# ---- schedules: made from the module lr_scheduler and an optimiser ----
SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "LambdaLR": lambda s, o: s.LambdaLR(o, [lambda e: 0.95**e, lambda e: 1 / (1 + e)]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.95 + 0.01 * (e % 3)),
    "StepLR": lambda s, o: s.StepLR(o, 7, 0.3),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 10, 10, 50], 0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.3, 7),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.2, 0.9, 13),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.97),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, 60, 1.7),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 30, 0.001),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 7, 2, 0.001),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, [1.0, 2.0], total_steps=120),
    "OneCycleLR, three phases": lambda s, o: s.OneCycleLR(
        o, 1.0, epochs=12, steps_per_epoch=10, three_phase=True, anneal_strategy="linear", pct_start=0.2
    ),
    "CyclicLR, triangular": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 10, 14),
    "CyclicLR, triangular2": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 10, mode="triangular2"),
    "CyclicLR, exp_range": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 10, mode="exp_range", gamma=0.99),
    "CyclicLR, own function": lambda s, o: s.CyclicLR(
        o, 0.01, 0.1, 10, scale_fn=lambda x: 1 / (x + 1), scale_mode="iterations"
    ),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 5), s.ExponentialLR(o, 0.9)]),
    "SequentialLR": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 0.1, 1, 10), s.CosineAnnealingLR(o, 40), s.ExponentialLR(o, 0.9)], [10, 50]
    ),
    "SequentialLR, warm restarts": lambda s, o: s.SequentialLR(
        o, [s.LinearLR(o, 1 / 3, 1, 4), s.CosineAnnealingWarmRestarts(o, 5)], [5]
    ),
    "ReduceLROnPlateau": lambda s, o: s.ReduceLROnPlateau(o, factor=0.5, patience=2),
    "ReduceLROnPlateau, max": lambda s, o: s.ReduceLROnPlateau(
        o, "max", patience=1, threshold=0.01, threshold_mode="abs", cooldown=3, min_lr=[1e-3, 1e-2]
    ),
}
