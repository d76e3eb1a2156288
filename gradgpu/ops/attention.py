"""Scaled dot-product attention (Vaswani et al., "Attention is all you need", 2017) as one op."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from .. import dtypes as dt
from .. import philox
from ..autograd.modes import SPECIAL, state
from ..autograd.node import LEAF, Node, new_node
from ..cuda import attention as _cuda
from ..random import generator_of
from ..scalars import zero_dim
from ..tensor import Tensor, wrap
from .creation import ones, zeros
from .fused import Fused, through_composed
from .linalg import matmul
from .pointwise import where
from .random import Mask, dropout_op
from .registry import Op
from .saved import Saving, unpack
from .shape import broadcast_shapes
from .softmax import softmax
from .sums import in_range

__all__: list[str] = []


# ---- numpy: queries (batch, heads, L, E), keys and values (batch, heads / group, S, ·) ----
@lru_cache(maxsize=4)
def _not_ahead(rows: int, keys: int, dtype: np.dtype) -> np.ndarray:
    """1 where a query may look at a key, 0 where the key comes later."""
    return np.tril(np.ones((rows, keys), dtype))


@lru_cache(maxsize=2)
def _none_ahead(shape: tuple, dtype: np.dtype) -> np.ndarray:
    """The same for scores of this shape: numpy copies a broadcast operand before it multiplies, at a cost that goes by
    where the copy happens to lie."""
    return np.ascontiguousarray(np.broadcast_to(_not_ahead(*shape[2:], dtype), shape))


@lru_cache(maxsize=32)
def _ones(n: int, dtype: np.dtype) -> np.ndarray:
    return np.ones(n, dtype)


def _grouped(q: Any, k: Any, v: Any) -> tuple[Any, Any, Any]:
    """With a dimension for the queries' heads that share a key's, where they do."""
    heads, kv = q.shape[1], k.shape[1]
    if heads == kv:
        return q, k, v
    b = q.shape[0]
    return q.reshape(b, kv, heads // max(kv, 1), *q.shape[2:]), k[:, :, None], v[:, :, None]


def _beside(shape: tuple, dtype: Any) -> np.ndarray:
    """An array (batch, heads, rows, features) whose heads lie side by side in memory, as the layers around want them."""
    batch, heads, rows, features = shape
    return np.empty((batch, rows, heads, features), dtype).transpose(0, 2, 1, 3)


_SMALL_RANGE = 60.0  # of scores whose exponentials neither overflow nor vanish, whichever is taken as the top


def _softmax_in_place(s: Any, mask: Any, causal: bool) -> None:
    """Scores (batch, heads, L, S) to weights; a query that may look nowhere gets zeros."""
    *_, rows, keys = s.shape
    allow = None if mask is None or mask.dtype.kind != "b" else mask
    if mask is not None and allow is None:
        s += mask
    top, low = s.max(), s.min()
    if top - low < _SMALL_RANGE:  # no row's largest is needed
        s -= top
        np.exp(s, s)
        if causal:
            s *= _not_ahead(rows, keys, s.dtype)
        if allow is not None:
            s *= allow
    else:
        if causal:
            s[..., _not_ahead(rows, keys, s.dtype) == 0] = -np.inf
        if allow is not None:
            np.copyto(s, -np.inf, where=np.logical_not(allow))
        tops = np.maximum.reduce(s, axis=-1, keepdims=True)
        tops[np.isneginf(tops)] = 0
        s -= tops
        np.exp(s, s)
    sums = np.dot(s.reshape(-1, keys), _ones(keys, s.dtype))
    if mask is not None:
        sums[sums == 0] = 1
    s *= np.reciprocal(sums, sums).reshape(*s.shape[:-1], 1)


def _plain_weights(s: np.ndarray, causal: bool) -> bool:
    """Scores to weights as above, if there is no mask and no row needs its largest taken away: whether that was so.
    (If not, the scores are lost.)"""
    rows, keys = s.shape[2:]
    with np.errstate(over="ignore", invalid="ignore"):
        np.exp(s, s)
        if causal:
            few = s.size <= 1 << 18
            np.multiply(s, _none_ahead(s.shape, s.dtype) if few else _not_ahead(rows, keys, s.dtype), s)
        sums = np.dot(s.reshape(-1, keys), _ones(keys, s.dtype))
        if not in_range(sums):
            return False
    np.multiply(s, np.divide(1, sums, sums).reshape(*s.shape[:-1], 1), s)
    return True


def _up(x: Any) -> Any:
    """Half types as float32; None, masks and other dtypes stay."""
    return x if x is None or x.dtype.itemsize > 2 or x.dtype.kind == "b" else x.astype(np.float32)


def _attention_cpu(q, k, v, mask, *, causal, scale, drop):
    d = q.dtype
    shape, keys = q.shape, k.shape[2]
    q, k, v, mask = map(_up, (q, k, v, mask))
    kind, full = q.dtype, (*shape[:3], keys)
    out = _beside((*shape[:3], v.shape[3]), kind)
    if 0 in full:
        out[...] = 0
        return out.astype(d, copy=False), np.zeros(full, kind)
    qs, ks, vs = _grouped(q, k, v)
    factor = zero_dim(scale, kind)

    def scores() -> np.ndarray:
        if keys > 4 * shape[3]:
            return np.matmul(np.multiply(qs, factor), ks.swapaxes(-1, -2)).reshape(full)
        made = np.matmul(qs, ks.swapaxes(-1, -2))
        return np.multiply(made, factor, made).reshape(full)

    s = scores()
    if mask is not None:
        _softmax_in_place(s, mask, causal)
    elif not _plain_weights(s, causal):
        s = scores()
        _softmax_in_place(s, None, causal)
    used = s if drop is None else s * drop.factors(full, kind)
    if qs is q or qs.ndim == 4:
        np.matmul(used, v, out)
    else:
        out[...] = np.matmul(used.reshape(*qs.shape[:4], keys), vs).reshape(out.shape)
    return (out if kind is d else out.astype(d)), s


def _row_sums(x: np.ndarray) -> np.ndarray:
    n = x.shape[-1]
    return np.dot(x.reshape(-1, n), _ones(n, x.dtype)).reshape(*x.shape[:-1], 1)


def _along(g: np.ndarray, out: np.ndarray, s: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sums of s · weights over keys, which are those of g · out over features."""
    if out.shape[3] < s.shape[3]:
        a, b = g.transpose(0, 2, 1, 3), out.transpose(0, 2, 1, 3)  # as they lie in memory; see `_beside`
        if a.flags.c_contiguous and b.flags.c_contiguous:
            return _row_sums(np.multiply(a, b)).transpose(0, 2, 1, 3)
    return _row_sums(np.multiply(s, weights))


def _attention_backward_cpu(grad, q, k, v, mask, out, weights, *, causal, scale, drop):
    d, shape, keys = q.dtype, q.shape, k.shape[2]
    g, q, k, v = map(_up, (grad, q, k, v))
    kind, kv, full = q.dtype, k.shape[1], weights.shape
    of_q, of_k, of_v = (_beside(x.shape, kind) for x in (q, k, v))
    if not weights.size:
        for x in (of_q, of_k, of_v):
            x[...] = 0
        return tuple([x.astype(d, copy=False) for x in (of_q, of_k, of_v)])
    factors = None if drop is None else drop.factors(full, kind)
    used = weights if factors is None else weights * factors
    if shape[1] == kv:
        np.matmul(used.swapaxes(-1, -2), g, of_v)
        s = np.matmul(g, v.swapaxes(-1, -2))
    else:  # the heads that share a key are further rows of it
        rows = (shape[0], kv, shape[1] // kv * shape[2])
        gs, qs = g.reshape(*rows, v.shape[3]), q.reshape(*rows, shape[3])
        np.matmul(used.reshape(*rows, keys).swapaxes(-1, -2), gs, of_v)
        s = np.matmul(gs, v.swapaxes(-1, -2)).reshape(full)
    if factors is not None:
        s *= factors
    np.subtract(s, _along(g, out, s, weights) if kind is d else _row_sums(s * weights), s)
    np.multiply(s, weights, s)
    np.multiply(s, zero_dim(scale, kind), s)
    if shape[1] == kv:
        np.matmul(s, k, of_q)
        np.matmul(s.swapaxes(-1, -2), q, of_k)
    else:
        flat = s.reshape(*rows, keys)
        of_q[...] = np.matmul(flat, k).reshape(shape)
        np.matmul(flat.swapaxes(-1, -2), qs, of_k)
    return (of_q, of_k, of_v) if kind is d else tuple([x.astype(d) for x in (of_q, of_k, of_v)])


# ---- the same by other ops: the first output alone ----
def _composed(q, k, v, mask, *, causal, scale, drop):
    group = q.shape[1] // max(k.shape[1], 1)
    if group > 1:
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = matmul(q * scale, k.transpose(-2, -1))
    allowed = None
    if mask is not None:
        if mask.dtype is dt.bool:
            allowed = mask
        else:
            allowed = mask > -np.inf
            scores = scores + where(allowed, mask, zeros((), dtype=mask.dtype, device=mask.device))
    if causal:
        earlier = ones(*scores.shape[-2:], device=q.device).tril().bool()
        allowed = earlier if allowed is None else allowed.logical_and(earlier)
    if allowed is not None:
        scores = scores.masked_fill(allowed.logical_not(), -np.inf)
        nothing = allowed.logical_not().all(-1, keepdim=True)  # a query that may look nowhere gets zeros
        scores = scores.masked_fill(nothing, 0.0)
    weights = softmax(scores, -1)
    if allowed is not None:
        weights = weights.masked_fill(nothing, 0.0)
    return (matmul(weights if drop is None else dropout_op(weights, mask=drop), v),)


# g arrives first; `weights` is what forward kept: the weights (cpu), or the logarithms of their sums (cuda)
attention_backward_op = Op(
    "attention_backward", _attention_backward_cpu, _cuda.attention_backward, differentiable=False
)  # differentiated through `composed`


def _attention_rule(g0, q, k, v, mask, y0, y1, *, causal, scale, drop):
    made = attention_backward_op(g0, q, k, v, mask, y0, y1, causal=causal, scale=scale, drop=drop)
    return (*made, None)


attention_op = Fused("attention", _attention_cpu, _cuda.attention, _attention_rule, _composed, (True, False))


class _Attention(Saving):
    """Attention of float32 or float64 arrays (batch, heads, …) without a mask on the CPU, in few steps."""

    node_name = attention_op.node_name
    inputs = ("q", "k", "v")

    def of(self, tensors: tuple, arrays: tuple, causal: bool, scale: float) -> Tensor:
        """The output for (q, k, v) with these arrays."""
        attrs = {"causal": causal, "scale": scale, "drop": None}
        a, b, c = arrays
        out, weights = _attention_cpu(a, b, c, None, causal=causal, scale=scale, drop=None)
        output = wrap(out)
        if state.grad:
            q, k, v = edges = [t if t._edge is LEAF else t._edge for t in tensors]
            if q is not None or k is not None or v is not None:
                cells = [t._version_cell() for t in tensors]
                checks = tuple([part for cell in cells for part in (cell, cell[0])])
                saved = (*arrays, out, weights)
                cell = output._version_cell()
                output._edge = new_node(self, tuple(edges), saved, (*checks, cell, cell[0]), attrs)
        return output

    def _saves(self, node: Node) -> list[tuple[str, int]]:
        return [("in", 0), ("in", 1), ("in", 2), ("out", 0), ("", 4)]

    def vjp(self, node: Node, g: Any, edges: tuple, create_graph: bool) -> Any:
        q, k, v, out, weights = unpack(node)
        if create_graph:
            return through_composed(_unmasked, (q, k, v), node, g, edges)
        return _attention_backward_cpu(g, q, k, v, None, out, weights, **node.attrs)


def _unmasked(q: Tensor, k: Tensor, v: Tensor, **attrs: Any) -> tuple:
    return _composed(q, k, v, None, **attrs)


_attention_of = _Attention().of
_DIRECT = (np.dtype(np.float32), np.dtype(np.float64))


def _check(query: Tensor, key: Tensor, value: Tensor, gqa: bool) -> None:
    name = "scaled_dot_product_attention"
    q, k, v = query._a.shape, key._a.shape, value._a.shape
    if min(len(q), len(k), len(v)) < 2:
        raise RuntimeError(
            f"{name}: Expected query, key, and value to all be at least 2 dimensional, but got {len(q)}, {len(k)}, {len(v)}"
        )
    if not query.is_floating_point():
        raise RuntimeError(
            f"{name}: expected floating-point tensors, got {query.dtype}; use query.float() and so on"
        )
    if not query._a.dtype == key._a.dtype == value._a.dtype:
        raise RuntimeError(
            f"{name}: Expected query, key, and value to have the same dtype, but got {query.dtype}, {key.dtype}, "
            f"{value.dtype}; convert with .to(dtype)"
        )
    if q[-1] != k[-1] or k[-2] != v[-2]:
        raise RuntimeError(
            f"{name}: query {tuple(q)} must have the features of key {tuple(k)}, and key the steps of value {tuple(v)}"
        )
    if gqa and (min(len(q), len(k), len(v)) < 3 or k[-3] != v[-3] or not k[-3] or q[-3] % k[-3]):
        raise RuntimeError(
            f"{name}: with enable_gqa the heads of key and value must be as many, and divide the query's: got "
            f"{tuple(q)}, {tuple(k)}, {tuple(v)}"
        )


def _four(x: Tensor, lead: tuple[int, ...]) -> Tensor:
    """(batch, heads, rows, columns) with the leading dimensions `lead`, of which the last are heads."""
    *own, rows, columns = x._a.shape
    if tuple(own) != lead:
        x = x.expand((*lead, rows, columns))
    if len(lead) == 2:
        return x
    return x.reshape((prod(lead[:-1]), lead[-1] if lead else 1, rows, columns))


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(scale · Q Kᵀ + mask) V: (*, L, E), (*, S, E), (*, S, Ev) → (*, L, Ev) (Vaswani et al., 2017).

    On cuda the weights never lie in memory (up to 128 features). A query that may look at no key gets zeros.

    Args:
        query, key, value: of one floating-point dtype; leading dimensions broadcast.
        attn_mask: (*, L, S), bool (True: may attend) or numbers to add.
        dropout_p: of the attention weights; applied whenever it is positive.
        is_causal: row i looks at keys 0 … i.
        scale: 1 / √E by default.
        enable_gqa: key and value may have fewer heads (dimension -3), each serving several of the query's.

    Raises:
        RuntimeError: shapes or dtypes do not fit; a mask together with is_causal.
        ValueError: dropout_p is no probability.

    >>> import gradgpu as gg
    >>> q = gg.zeros(1, 3, 2)
    >>> gg.nn.functional.scaled_dot_product_attention(q, q, gg.tensor([[[0.], [3.], [6.]]]), is_causal=True)
    tensor([[[0.0000],
             [1.5000],
             [3.0000]]])
    """
    if attn_mask is None and not dropout_p and not enable_gqa and not (SPECIAL and state.special):
        a, b, c = query._a, key._a, value._a
        if (
            type(a) is type(b) is type(c) is np.ndarray
            and a.dtype is b.dtype is c.dtype
            and a.dtype in _DIRECT
            and a.ndim == b.ndim == c.ndim == 4
            and a.shape[:2] == b.shape[:2] == c.shape[:2]
            and a.shape[3] == b.shape[3]
            and b.shape[2] == c.shape[2]
        ):
            factor = (a.shape[3] or 1) ** -0.5 if scale is None else float(scale)
            return _attention_of((query, key, value), (a, b, c), is_causal, factor)
    _check(query, key, value, enable_gqa)
    if is_causal and attn_mask is not None:
        raise RuntimeError(
            "scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True"
        )
    if not 0 <= dropout_p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    q_lead, k_lead, v_lead = query._a.shape[:-2], key._a.shape[:-2], value._a.shape[:-2]
    lead = kv_lead = q_lead
    if not q_lead == k_lead == v_lead:
        if enable_gqa:
            outer = broadcast_shapes(q_lead[:-1], k_lead[:-1], v_lead[:-1])
            lead, kv_lead = (*outer, q_lead[-1]), (*outer, k_lead[-1])
        else:
            lead = kv_lead = tuple(broadcast_shapes(q_lead, k_lead, v_lead))
    q, k, v = _four(query, lead), _four(key, kv_lead), _four(value, kv_lead)
    mask = attn_mask
    if mask is not None:
        if mask.dtype is not dt.bool and not mask.is_floating_point():
            raise RuntimeError(
                f"scaled_dot_product_attention: Expected attn_mask dtype to be bool or float, but got {mask.dtype}"
            )
        if mask.is_floating_point() and mask.dtype is not q.dtype:
            mask = mask.to(q.dtype)
        full = (*lead, q.shape[2], k.shape[2])
        if mask.ndim > len(full) or any(n not in (1, m) for n, m in zip(mask.shape[::-1], full[::-1])):
            raise RuntimeError(
                f"scaled_dot_product_attention: attn_mask {tuple(mask.shape)} must broadcast to {full}"
            )
        if len(lead) > 2:
            mask = _four(mask.expand(full), lead)
        elif mask.ndim < 4:
            mask = mask.reshape((*(1,) * (4 - mask.ndim), *mask.shape))
    features = q._a.shape[3]
    factor = (features or 1) ** -0.5 if scale is None else float(scale)
    drop = None
    if dropout_p > 0:
        count = prod(lead) * q.shape[2] * k.shape[2]
        drop = Mask(*generator_of(q.device).take(philox.blocks32(count)), dropout_p)
    composed = mask is not None and mask.requires_grad
    if not q.is_cpu and max(features, v.shape[3]) > _cuda.LARGEST:
        composed = True  # wider than the kernels' tiles
    if composed:
        y = _composed(q, k, v, mask, causal=is_causal, scale=factor, drop=drop)[0]
    else:
        y = attention_op(q, k, v, mask, causal=is_causal, scale=factor, drop=drop)[0]
    return y if len(lead) == 2 else y.reshape((*lead, *y._a.shape[2:]))
