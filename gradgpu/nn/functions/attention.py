"""Attention with several heads, as a function of its weights."""

from __future__ import annotations

import warnings
from typing import Any

from ... import dtypes as dt
from ...ops.creation import zeros
from ...ops.join import cat
from ...tensor import Tensor
from .. import functional as F

__all__ = ["multi_head_attention_forward"]


def _additive(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask as numbers to add to the scores: -inf where a bool mask forbids."""
    if mask is None or mask.is_floating_point():
        return mask
    return zeros(*mask.shape, dtype=like.dtype, device=like.device).masked_fill(mask, float("-inf"))


def project(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    joint: Tensor | None,
    separate: tuple[Any, Any, Any],
    bias: Tensor | None,
) -> tuple[Tensor, ...]:
    """Q, K and V from one weight of 3 · embed_dim rows, or from three weights; self-attention is one product."""
    if joint is not None:
        if query is key and key is value:
            return F.linear(query, joint, bias).chunk(3, -1)
        separate = joint.chunk(3)
    biases = (None,) * 3 if bias is None else bias.chunk(3)
    return tuple(F.linear(x, w, b) for x, w, b in zip((query, key, value), separate, biases))


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    num_heads: int,
    *,
    bias_k: Tensor | None = None,
    bias_v: Tensor | None = None,
    add_zero_attn: bool = False,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    need_weights: bool = True,
    average_attn_weights: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Attention of projected q (N, L, E) over k and v (N, S, E), in heads: (N, L, E) and the weights or None."""
    batch, length, width = q.shape
    head = width // num_heads
    extra = 0  # keys that are not the input's: no mask forbids them
    if bias_k is not None and bias_v is not None:
        k = cat([k, bias_k.reshape(1, 1, width).expand(batch, 1, width)], 1)
        v = cat([v, bias_v.reshape(1, 1, width).expand(batch, 1, width)], 1)
        extra += 1

    def heads(x: Tensor) -> Tensor:
        return x.reshape(batch, x.shape[1], num_heads, head).transpose(1, 2)

    q = heads(q)
    k = heads(k) if static_k is None else static_k.reshape(batch, num_heads, -1, head)
    v = heads(v) if static_v is None else static_v.reshape(batch, num_heads, -1, head)
    if add_zero_attn:
        nothing = zeros(batch, num_heads, 1, head, dtype=k.dtype, device=k.device)
        k, v = cat([k, nothing], 2), cat([v, nothing], 2)
        extra += 1
    span = k.shape[2]
    mask, padding = _additive(attn_mask, q), _additive(key_padding_mask, q)
    if extra:
        mask = None if mask is None else F.pad(mask, (0, extra))
        padding = None if padding is None else F.pad(padding, (0, extra))
    if mask is not None and mask.ndim == 3:
        mask = mask.reshape(batch, num_heads, length, span)
    if padding is not None:
        padding = padding.reshape(batch, 1, 1, span)
        mask = padding if mask is None else mask + padding
    weights = None
    if need_weights:
        scores = (q * head**-0.5) @ k.transpose(-2, -1)
        weights = F.softmax(scores if mask is None else scores + mask, -1)
        if dropout_p:
            weights = F.dropout(weights, dropout_p)
        attended = weights @ v
        if average_attn_weights:
            weights = weights.mean(1)
    else:
        attended = F.scaled_dot_product_attention(q, k, v, mask, dropout_p)
    return attended.transpose(1, 2).reshape(batch, length, width), weights


def check_shapes(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Whether there is a batch; raises RuntimeError where the inputs or the masks do not go together."""
    if query.ndim not in (2, 3):
        raise RuntimeError(
            f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor"
        )
    batched = query.ndim == 3
    kind = "batched" if batched else "unbatched"
    if key.ndim != query.ndim or value.ndim != query.ndim:
        raise RuntimeError(
            f"For {kind} ({query.ndim}-D) `query`, expected `key` and `value` to be {query.ndim}-D but found "
            f"{key.ndim}-D and {value.ndim}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.ndim != query.ndim - 1:
        raise RuntimeError(
            f"For {kind} ({query.ndim}-D) `query`, expected `key_padding_mask` to be `None` or {query.ndim - 1}-D but found "
            f"{key_padding_mask.ndim}-D tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.ndim not in (2, 3):
            raise RuntimeError(
                f"For {kind} ({query.ndim}-D) `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found "
                f"{attn_mask.ndim}-D tensor instead"
            )
        if not batched and attn_mask.ndim == 3 and attn_mask.shape[0] != num_heads:
            raise RuntimeError(
                f"Expected `attn_mask` shape to be {(num_heads, query.shape[0], key.shape[0])} but got {tuple(attn_mask.shape)}"
            )
    return batched


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    batch_first: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """What :class:`~gradgpu.nn.MultiheadAttention` computes: query (L, N, E), key and value (S, N, ·) or all 2-D.

    Args:
        query, key, value: the inputs; (N, L, E) with ``batch_first``, which PyTorch's function lacks.
        embed_dim_to_check: E.
        num_heads: divides E.
        in_proj_weight, in_proj_bias: (3 E, E) and (3 E).
        bias_k, bias_v: (1, 1, E), a key and a value more for every sequence, or None.
        add_zero_attn: a key and a value of zeros more.
        dropout_p: of the attention weights, in training.
        out_proj_weight, out_proj_bias: of the last linear map.
        key_padding_mask, attn_mask: (N, S) and (L, S) or (N · heads, L, S); True where a key is not looked at, or numbers to add.
        use_separate_proj_weight: ``q_proj_weight``, ``k_proj_weight``, ``v_proj_weight`` instead of ``in_proj_weight``.
        static_k, static_v: (N · heads, S, E / heads), instead of the projected key and value.
        need_weights, average_attn_weights: return the weights, averaged over the heads.
        is_causal: says that attn_mask is the causal one, which must be given.

    Returns:
        output of query's shape, and weights (N, L, S) ((N, heads, L, S) if not averaged) or None.

    Raises:
        RuntimeError: shapes do not go together, or is_causal without attn_mask.
    """
    batched = check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    if query.shape[-1] != embed_dim_to_check:
        raise RuntimeError(
            f"was expecting embedding dimension of {embed_dim_to_check}, but got {query.shape[-1]}"
        )
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    joint = None if use_separate_proj_weight else in_proj_weight
    q, k, v = project(query, key, value, joint, separate, in_proj_bias)
    if not batched:
        q, k, v = q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    elif not batch_first:
        q, k, v = q.transpose(0, 1), k.transpose(0, 1), v.transpose(0, 1)
    output, weights = attend(
        q, k, v, num_heads, bias_k=bias_k, bias_v=bias_v, add_zero_attn=add_zero_attn, static_k=static_k, static_v=static_v,
        key_padding_mask=key_padding_mask, attn_mask=attn_mask, dropout_p=dropout_p if training else 0.0,
        need_weights=need_weights, average_attn_weights=average_attn_weights,
    )  # fmt: skip
    output = F.linear(output, out_proj_weight, out_proj_bias)
    if not batched:
        return output.squeeze(0), None if weights is None else weights.squeeze(0)
    return (output if batch_first else output.transpose(0, 1)), weights


# ---- what attention layers of one's own call of PyTorch's ----
def _mha_shape_check(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    attn_mask: Tensor | None,
    num_heads: int,
) -> bool:
    """Whether there is a batch: the inputs have three dimensions, not two.

    Raises:
        AssertionError: numbers of dimensions that do not fit.
    """
    n = query.dim()
    if n not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {n}-D query tensor"
        )
    which = f"For {'batched' if n == 3 else 'unbatched'} ({n}-D) `query`, expected"
    if key.dim() != n or value.dim() != n:
        raise AssertionError(
            f"{which} `key` and `value` to be {n}-D but found {key.dim()}-D and {value.dim()}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != n - 1:
        raise AssertionError(
            f"{which} `key_padding_mask` to be `None` or {n - 1}-D but found {key_padding_mask.dim()}-D tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(
                f"{which} `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead"
            )
        expected = (num_heads, query.shape[0], key.shape[0])
        if n == 2 and attn_mask.dim() == 3 and tuple(attn_mask.shape) != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return n == 3


def _none_or_dtype(input: Tensor | None) -> Any:
    """The dtype of a tensor, None of None."""
    return None if input is None else input.dtype


def _canonical_mask(
    mask: Tensor | None,
    mask_name: str,
    other_type: Any,
    other_name: str,
    target_type: Any,
    check_other: bool = True,
) -> Tensor | None:
    """A mask as numbers to add, of a dtype; a bool one has -infinity where it forbids."""
    if mask is None or mask.is_floating_point():
        return mask
    if mask.dtype is not dt.bool:
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and other_type is not mask.dtype:
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.",
            stacklevel=2,
        )
    return _additive(mask, zeros(0, dtype=target_type, device=mask.device))


def _in_projection(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    w_q: Tensor,
    w_k: Tensor,
    w_v: Tensor,
    b_q: Tensor | None = None,
    b_k: Tensor | None = None,
    b_v: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value, each through its own linear map."""
    return F.linear(q, w_q, b_q), F.linear(k, w_k, b_k), F.linear(v, w_v, b_v)


def _in_projection_packed(
    q: Tensor, k: Tensor, v: Tensor, w: Tensor, b: Tensor | None = None
) -> list[Tensor]:
    """The same with weights one below the other: w (3 E, E), b (3 E)."""
    biases = (None, None, None) if b is None else b.chunk(3)
    return list(_in_projection(q, k, v, *w.chunk(3), *biases))
