"""Samples of ops/attention.py."""

import numpy as np

from gradgpu.nn.functional import scaled_dot_product_attention
from tests.samples import Bad, In, OpSamples, Sample

WIDE = {"float16": (1e-2, 1e-2), "bfloat16": (6e-2, 6e-2), "float32": (1e-4, 1e-4)}


def reference(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False):
    if enable_gqa:
        k, v = (np.repeat(x, q.shape[-3] // k.shape[-3], -3) for x in (k, v))
    scores = q @ k.swapaxes(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = np.tril(np.ones(scores.shape[-2:], bool))
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    if not scores.size:
        return np.zeros((*scores.shape[:-1], v.shape[-1]))
    top = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(np.isinf(top), 0, top))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total) @ v


def heads(*shape, keys=None, features=None, kv=None):
    """Query, key and value."""
    *lead, rows, width = shape
    kv_lead = lead if kv is None else [*lead[:-1], kv]
    keys = rows if keys is None else keys
    return In(*lead, rows, width), In(*kv_lead, keys, width), In(*kv_lead, keys, features or width)


LETTING = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]])  # the second query may look nowhere
ADDED = np.array([[0.5, -np.inf, 0.0, 1.0, -0.5], [0.0, 0.25, -1.0, 0.0, 0.0], [-np.inf, 0.0, 0.0, 2.0, 0.0]])

OPS = [
    OpSamples(
        "attention",
        scaled_dot_product_attention,
        samples=[
            Sample(*heads(2, 2, 3, 4)),
            Sample(*heads(2, 2, 3, 4, keys=5, features=3), scale=0.3),
            Sample(*heads(1, 2, 5, 4), is_causal=True),
            Sample(*heads(1, 2, 5, 4, keys=3), is_causal=True),
            Sample(*heads(1, 1, 70, 33), is_causal=True),
            Sample(*heads(1, 1, 3, 70, keys=40)),
            Sample(*heads(1, 4, 3, 4, keys=5, kv=2), enable_gqa=True),
            Sample(*heads(3, 4, keys=5)),
            Sample(*heads(2, 3, 4, keys=5)),
            Sample(*heads(2, 1, 2, 3, 4)),
            Sample(In(2, 1, 3, 4), In(2, 5, 4), In(5, 3)),
            Sample(*heads(1, 2, 3, 4, keys=5), In(values=LETTING, dtype="bool")),
            Sample(*heads(2, 3, 4, keys=5), In(2, 1, 5, dtype="bool")),
            Sample(*heads(1, 2, 3, 4, keys=5), In(values=ADDED, grad=False)),
            Sample(*heads(2, 1, 3, 4, keys=5), In(2, 1, 3, 5)),
            Sample(*heads(2, 2, 0, 4, keys=3)),
            Sample(*heads(2, 2, 3, 4, keys=0)),
            Sample(*heads(0, 2, 3, 4)),
        ],
        reference=reference,
        errors=[
            Bad(In(4), In(4), In(4), raises=RuntimeError, match="at least 2 dimensional"),
            Bad(*heads(3, 4)[:2], In(3, 4, dtype="int64"), raises=RuntimeError, match="the same dtype"),
            Bad(
                In(3, 4, dtype="int64"), In(3, 4, dtype="int64"), In(3, 4, dtype="int64"),
                raises=RuntimeError, match="expected floating-point tensors",
            ),
            Bad(In(3, 4), In(3, 5), In(3, 4), raises=RuntimeError, match="must have the features of key"),
            Bad(In(3, 4), In(5, 4), In(3, 4), raises=RuntimeError, match="the steps of value"),
            Bad(*heads(3, 4), In(3, 3), 0.0, True, raises=RuntimeError, match="should not be set when is_causal"),
            Bad(*heads(3, 4), In(3, 3, dtype="int64"), raises=RuntimeError, match="attn_mask dtype to be bool or float"),
            Bad(*heads(3, 4), In(2, 3), raises=RuntimeError, match="must broadcast to"),
            Bad(*heads(3, 4), dropout_p=1.5, raises=ValueError, match="between 0 and 1"),
            Bad(*heads(1, 3, 2, 4, kv=2), enable_gqa=True, raises=RuntimeError, match="divide the query's"),
        ],
        tolerance=WIDE,
    ),
    OpSamples(
        "attention with dropout",
        lambda *args, **kwargs: scaled_dot_product_attention(*args, dropout_p=0.4, **kwargs),
        samples=[
            Sample(*heads(2, 2, 3, 4, keys=5)),
            Sample(*heads(1, 2, 3, 4, keys=5, kv=1), enable_gqa=True),
            Sample(*heads(3, 4), In(3, 3, dtype="bool")),
            Sample(*heads(2, 0, 3, 4)),
        ],
        errors=[Bad(In(4), In(4), In(4), raises=RuntimeError, match="at least 2 dimensional")],
        tolerance=WIDE,
    ),
]  # fmt: skip
