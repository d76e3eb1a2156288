"""Recurrent layers: LSTM, GRU and RNN over whole sequences, one op (recurrent.py) for each layer and direction. A cell is a
sequence of one step.

Sequences are (L, N, features), or packed (rows, features) with `sizes`, the sequences that are still going at each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

from ..tensor import Tensor
from .join import cat, stack
from .methods import apart
from .random import dropout as _dropout
from .recurrent import gru_op, lstm_op, rnn_op
from .registry import Op

__all__ = [
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
]


# ---- layers ----
class Kind(NamedTuple):
    """A kind of layer: its op and attributes, gates and states."""

    name: str
    op: Op
    attrs: dict
    gates: int
    states: int


KINDS = {
    kind.name: kind
    for kind in (
        Kind("lstm", lstm_op, {}, 4, 2),
        Kind("gru", gru_op, {}, 3, 1),
        Kind("rnn_tanh", rnn_op, {"relu": False}, 1, 1),
        Kind("rnn_relu", rnn_op, {"relu": True}, 1, 1),
    )
}


def layers(
    kind: Kind,
    x: Tensor,
    states: Sequence[Tensor] | None,
    groups: Sequence[Sequence[Any]],
    dropout: float,
    ways: int,
    sizes: tuple[int, ...] | None,
) -> tuple[Tensor, ...]:
    """Layers on top of each other: the output and the final states (layers · ways, N, size).

    Args:
        x: (L, N, features), or packed rows with `sizes`.
        states: initial ones, each (layers · ways, N, size), or None for zeros.
        groups: (w_ih, w_hh, b_ih, b_hh[, w_hr]) of each layer and way, None for what is not there.
        dropout: between layers.
        ways: 1, or 2 for both directions.
    """
    firsts = [(None,) * kind.states] * len(groups) if states is None else list(zip(*[s.unbind(0) for s in states]))  # fmt: skip
    lasts = []
    for layer in range(0, len(groups), ways):
        if layer and dropout:
            x = _dropout(x, dropout)
        made = []
        for way in range(ways):
            found = kind.op(
                x, *firsts[layer + way], *groups[layer + way], sizes=sizes, reverse=way == 1, **kind.attrs
            )
            made.append(found[0])
            lasts.append(found[1 : 1 + kind.states])
        x = made[0] if ways == 1 else cat(made, -1)
    if len(lasts) == 1:
        # No views, as joined ones are none: scripts cut them off with detach_().
        return (x, *apart(tuple([s.reshape((1, *s.shape)) for s in lasts[0]])))
    return (x, *[stack(column) for column in zip(*lasts)])


def _check_group(kind: Kind, group: Sequence[Any], width: int, layer: int) -> None:
    """The shapes of a layer's weights."""
    _check_shapes(
        kind.name, kind.gates, tuple([None if w is None else w._a.shape for w in group]), width, layer
    )


@lru_cache(maxsize=1024)
def _check_shapes(
    kind: str, gates: int, shapes: tuple[tuple[int, ...] | None, ...], width: int, layer: int
) -> None:
    w_ih, w_hh = shapes[0] or (), shapes[1] or ()
    rows = w_ih[0] if len(w_ih) == 2 else 0
    hidden, output = rows // gates, w_hh[-1] if len(w_hh) == 2 else 0
    projected = len(shapes) > 4 and shapes[4] is not None
    wanted = [(rows, width), (rows, output), (rows,), (rows,), (output, hidden)]
    if not rows or rows % gates or not projected and hidden != output:
        wanted = [(gates * output, width), (gates * output, output)]
    for name, shape, right in zip(("w_ih", "w_hh", "b_ih", "b_hh", "w_hr"), shapes, wanted):
        if shape is not None and shape != right:
            raise RuntimeError(f"{kind}: {name} of layer {layer} must have shape {right}, got {shape}")


def _groups(kind: Kind, params: Sequence[Tensor], has_biases: bool, layers: int) -> list[tuple]:
    """A flat list of weights by layers."""
    each = 4 if has_biases else 2
    extra = kind.states == 2 and layers and len(params) == layers * (each + 1)
    if len(params) != layers * (each + bool(extra)):
        raise RuntimeError(
            f"{kind.name}: expected {each} weights for each of {layers} layers and directions, got {len(params)} in all"
        )
    groups = []
    for k in range(0, len(params), each + bool(extra)):
        w = params[k : k + each + bool(extra)]
        biases = w[2:4] if has_biases else (None, None)
        groups.append((*w[:2], *biases, *([w[-1] if extra else None] if kind.states == 2 else [])))
    return groups


def _sequence(kind: Kind, args: tuple) -> tuple[Tensor, ...]:
    """The two forms of the functions below."""
    packed = isinstance(args[1], Tensor) and isinstance(args[3], (list, tuple))
    if packed:
        x, counts, hx, params, has_biases, num_layers, dropout, train, bidirectional = args
        batch_first, sizes, batch = False, tuple(counts.tolist()), None
        if x.ndim != 2 or sum(sizes) != x.shape[0] or any(a < b for a, b in pairwise(sizes)):
            raise RuntimeError(
                f"{kind.name}: batch_sizes {sizes} must not increase and add up to the rows of data, got {tuple(x.shape)}"
            )
        batch = sizes[0] if sizes else 0
    else:
        x, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first = args
        sizes = None
        if x.ndim != 3:
            raise RuntimeError(
                f"{kind.name}: expected input (L, N, features), got shape {tuple(x.shape)}; "
                "add a batch dimension with x.unsqueeze(1)"
            )
        x = x.transpose(0, 1) if batch_first else x
        batch = x.shape[1]
    if not x.is_floating_point():
        raise RuntimeError(f"{kind.name}: expected a floating-point input, got {x.dtype}; use input.float()")
    if not x.shape[0]:
        raise RuntimeError(f"{kind.name}: Expected sequence length to be larger than 0 in RNN")
    ways = 2 if bidirectional else 1
    groups = _groups(kind, params, has_biases, num_layers * ways)
    for k, group in enumerate(groups):
        width = x.shape[-1] if k < ways else ways * groups[0][1].shape[-1]
        _check_group(kind, group, width, k // ways)
    states = tuple(hx) if isinstance(hx, (list, tuple)) else (hx,)
    if len(states) != kind.states:
        raise RuntimeError(f"{kind.name} expects {kind.states} hidden state(s), got {len(states)}")
    hidden = groups[0][0].shape[0] // kind.gates
    for state, size in zip(states, (groups[0][1].shape[1], hidden)):
        if tuple(state.shape) != (len(groups), batch, size):
            raise RuntimeError(f"Expected hidden size {(len(groups), batch, size)}, got {list(state.shape)}")
    y, *finals = layers(kind, x, states, groups, dropout if train else 0.0, ways, sizes)
    return (y.transpose(0, 1) if batch_first else y, *finals)


def lstm(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Long short-term memory (Hochreiter & Schmidhuber, 1997), what `nn.LSTM` computes, in PyTorch's two forms:

    `lstm(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first)` and
    `lstm(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional)` for packed sequences.

    Args:
        input: (L, N, features), or (N, L, features) with `batch_first`.
        data, batch_sizes: those of a `PackedSequence`.
        hx: (h, c), each (layers · directions, N, size).
        params: w_ih (4 hidden, features), w_hh (4 hidden, hidden), and b_ih, b_hh (4 hidden) with `has_biases`, for each layer
            and direction in turn; a further w_hr (size, hidden) projects h.

    Returns:
        output (L, N, size · directions) or rows like data's, last h, last c.

    Raises:
        RuntimeError: shapes that do not fit.

    >>> import gradgpu as gg
    >>> w = [gg.zeros(8, 3), gg.zeros(8, 2)]
    >>> y, h, c = gg.lstm(gg.ones(5, 1, 3), (gg.zeros(1, 1, 2), gg.ones(1, 1, 2)), w, False, 1, 0.0, False, False, False)
    >>> y.shape, c
    (gradgpu.Size([5, 1, 2]), tensor([[[0.0312, 0.0312]]]))
    """
    return _sequence(KINDS["lstm"], args)  # type: ignore[return-value]


def gru(*args: Any) -> tuple[Tensor, Tensor]:
    """Gated recurrent units (Cho et al., 2014), what `nn.GRU` computes; the arguments are those of `lstm`, hx is h alone.

    Returns:
        output and last h.

    >>> import gradgpu as gg
    >>> w = [gg.zeros(6, 3), gg.zeros(6, 2)]
    >>> gg.gru(gg.ones(3, 1, 3), gg.ones(1, 1, 2), w, False, 1, 0.0, False, False, False)[1]
    tensor([[[0.1250, 0.1250]]])
    """
    return _sequence(KINDS["gru"], args)  # type: ignore[return-value]


def rnn_tanh(*args: Any) -> tuple[Tensor, Tensor]:
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), what `nn.RNN` computes; the arguments are those of `lstm`, hx is h alone.

    >>> import gradgpu as gg
    >>> w = [gg.zeros(2, 3), gg.eye(2)]
    >>> gg.rnn_tanh(gg.ones(1, 1, 3), gg.ones(1, 1, 2), w, False, 1, 0.0, False, False, False)[0]
    tensor([[[0.7616, 0.7616]]])
    """
    return _sequence(KINDS["rnn_tanh"], args)  # type: ignore[return-value]


def rnn_relu(*args: Any) -> tuple[Tensor, Tensor]:
    """h' = max(0, W_ih x + b_ih + W_hh h + b_hh); the arguments are those of `lstm`, hx is h alone.

    >>> import gradgpu as gg
    >>> w = [gg.ones(2, 3), gg.eye(2)]
    >>> gg.rnn_relu(gg.ones(1, 1, 3), gg.ones(1, 1, 2), w, False, 1, 0.0, False, False, False)[0]
    tensor([[[4., 4.]]])
    """
    return _sequence(KINDS["rnn_relu"], args)  # type: ignore[return-value]


# ---- cells ----
def cell(kind: Kind, input: Tensor, states: Sequence[Any], group: Sequence[Any]) -> tuple[Tensor, ...]:
    """One step: the new states; input (N, features) or (features), states likewise, or None for zeros."""
    batched = input.ndim == 2
    x, before = input, tuple(states)
    if not batched:
        x, before = x.unsqueeze(0), tuple(None if s is None else s.unsqueeze(0) for s in before)
    count, features = x._a.shape[:2]
    width, size = group[0]._a.shape[1], group[1]._a.shape[1]
    if features != width:
        raise RuntimeError(f"input has inconsistent input_size: got {features} expected {width}")
    for name, state in zip(("0", "1"), before):
        shape = (count, size) if state is None else state._a.shape
        if len(shape) != 2 or shape[0] != count:
            raise RuntimeError(
                f"Input batch size {count} doesn't match hidden{name} batch size {shape[0] if shape else None}"
            )
        if shape[1] != size:
            raise RuntimeError(f"hidden{name} has inconsistent hidden_size: got {shape[1]}, expected {size}")
    _check_group(kind, group, width, 0)
    extra = (None,) if kind.states == 2 else ()
    made = kind.op(x, *before, *group, *extra, sizes=(count,), reverse=False, **kind.attrs)
    finals = made[1 : 1 + kind.states]
    return finals if batched else tuple(s.squeeze(0) for s in finals)


def lstm_cell(
    input: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None
) -> tuple[Tensor, Tensor]:
    """One step of `lstm`: input (N, features) and (h, c), each (N, hidden), to the new (h, c).

    >>> import gradgpu as gg
    >>> gg.lstm_cell(gg.ones(1, 3), (gg.zeros(1, 2), gg.ones(1, 2)), gg.zeros(8, 3), gg.zeros(8, 2))[1]
    tensor([[0.5000, 0.5000]])
    """
    return cell(KINDS["lstm"], input, hx, (w_ih, w_hh, b_ih, b_hh))  # type: ignore[return-value]


def gru_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None
) -> Tensor:
    """One step of `gru`: input (N, features) and h (N, hidden) to the new h.

    >>> import gradgpu as gg
    >>> gg.gru_cell(gg.ones(1, 3), gg.ones(1, 2), gg.zeros(6, 3), gg.zeros(6, 2))
    tensor([[0.5000, 0.5000]])
    """
    return cell(KINDS["gru"], input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_tanh_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None
) -> Tensor:
    """One step of `rnn_tanh`: input (N, features) and h (N, hidden) to the new h.

    >>> import gradgpu as gg
    >>> gg.rnn_tanh_cell(gg.ones(1, 3), gg.ones(1, 2), gg.zeros(2, 3), gg.eye(2))
    tensor([[0.7616, 0.7616]])
    """
    return cell(KINDS["rnn_tanh"], input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]


def rnn_relu_cell(
    input: Tensor, hx: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any = None, b_hh: Any = None
) -> Tensor:
    """One step of `rnn_relu`: input (N, features) and h (N, hidden) to the new h.

    >>> import gradgpu as gg
    >>> gg.rnn_relu_cell(gg.ones(1, 3), gg.ones(1, 2), gg.ones(2, 3), gg.eye(2))
    tensor([[4., 4.]])
    """
    return cell(KINDS["rnn_relu"], input, (hx,), (w_ih, w_hh, b_ih, b_hh))[0]
