"""Recurrent layers: RNN, LSTM, GRU and their cells. What they compute is in ops/rnn.py."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from ...ops.creation import empty
from ...tensor import Tensor
from .. import init
from ..module import Module
from ..parameter import Parameter
from ..utils.rnn import PackedSequence

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNBase", "RNNCell", "RNNCellBase"]


def apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    """The entries along `dim` in the order of `permutation`, as packed sequences have their states.

    >>> import gradgpu as gg
    >>> apply_permutation(gg.tensor([[1, 2]]), gg.tensor([1, 0]))
    tensor([[2, 1]])
    """
    return tensor.index_select(dim, permutation)


class RNNBase(Module):
    """What RNN, LSTM and GRU share: weights, layers, directions, packed sequences.

    Args:
        input_size: features of an input step.
        hidden_size: features of the state.
        num_layers: layers on top of each other.
        bias: whether there are biases.
        batch_first: (batch, steps, features) instead of (steps, batch, features).
        dropout: between layers, in training.
        bidirectional: also from the end to the beginning; the outputs are concatenated.

    Shapes: input (L, N, input_size) or (L, input_size); states (num_layers · directions, N, hidden_size).
    """

    _gates = 1

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
                f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        if not isinstance(hidden_size, int):
            raise TypeError(
                f"hidden_size should be of type int, got: {type(hidden_size).__name__}; use int(hidden_size)"
            )
        if hidden_size <= 0:
            raise ValueError(f"hidden_size must be greater than zero, got {hidden_size!r}")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(
                "proj_size should be a positive integer, smaller than hidden_size, or zero to disable projections"
            )
        self.mode, self.input_size, self.hidden_size, self.num_layers = (
            mode,
            input_size,
            hidden_size,
            num_layers,
        )
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows = self._gates * hidden_size
        self._suffixes = self._directions()
        for suffix, width in self._suffixes:
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, width),
                "weight_hh": (rows, self.output_size),
            }
            if bias:
                shapes.update(bias_ih=(rows,), bias_hh=(rows,))
            if proj_size:
                shapes["weight_hr"] = (proj_size, hidden_size)
            for name, shape in shapes.items():
                self.register_parameter(
                    f"{name}{suffix}", Parameter(empty(*shape, device=device, dtype=dtype))
                )
        self.reset_parameters()

    @property
    def output_size(self) -> int:
        """Features of an output step in one direction."""
        return self.proj_size or self.hidden_size

    def _directions(self) -> list[tuple[str, int]]:
        """(suffix of the weights' names, input width) of each layer and direction."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        wide = self.output_size * len(ways)
        return [
            (f"_l{k}{way}", self.input_size if k == 0 else wide)
            for k in range(self.num_layers)
            for way in ways
        ]

    def reset_parameters(self) -> None:
        """Draw new weights from U(-k, k), k = 1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The weights of each layer and direction."""
        return [[weight for weight in group if weight is not None] for group in self._groups()]

    @property
    def _all_weights(self) -> list[list[str]]:
        """The names of `all_weights`; PyTorch's scripts look here, and at the two below, to initialise a layer."""
        names = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * self.bias
        names += ["weight_hr"] * bool(self.proj_size)
        return [[name + suffix for name in names] for suffix, _ in self._suffixes]

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for group in self._all_weights for name in group]

    @property
    def _flat_weights(self) -> list[Any]:
        given = self.__dict__.get("_given_weights", {})
        return [given[n] if n in given else getattr(self, n) for n in self._flat_weights_names]

    @_flat_weights.setter
    def _flat_weights(self, weights: list[Any]) -> None:
        # As in PyTorch forward uses this list, whatever the parameters are, until one is assigned or converted.
        self.__dict__["_given_weights"] = dict(zip(self._flat_weights_names, weights))

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.get("_given_weights", {}).pop(name, None)
        super().__setattr__(name, value)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Module:
        self.__dict__.pop("_given_weights", None)
        return super()._apply(fn, recurse)

    def flatten_parameters(self) -> None:
        """Does nothing: the weights need no particular place in memory. (PyTorch's scripts call it.)"""

    def _state_sizes(self) -> tuple[int, ...]:
        return (self.output_size,)

    def _initial(self, hx: Any, batch: int, batched: bool) -> tuple[Tensor, ...]:
        """The states as a tuple of (layers · directions, N, size)."""
        count = self.num_layers * (2 if self.bidirectional else 1)
        states = tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        if len(states) != len(self._state_sizes()):
            raise RuntimeError(
                f"{self.mode} takes {len(self._state_sizes())} initial state(s), got {len(states)}"
            )
        if not batched:
            states = tuple(s.unsqueeze(1) for s in states)
        for state, size in zip(states, self._state_sizes()):
            if tuple(state.shape) != (count, batch, size):
                raise RuntimeError(f"Expected hidden size {(count, batch, size)}, got {list(state.shape)}")
        return states

    def _groups(self) -> list[tuple]:
        """The weights as `ops.rnn.layers` takes them."""
        p = self._parameters
        if "_given_weights" in self.__dict__:
            p = {**p, **self.__dict__["_given_weights"]}
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", *(["weight_hr"] if self._gates == 4 else []))
        keys = [[name + suffix for name in names] for suffix, _ in self._suffixes]
        # A weight may have become an attribute that is computed from others, as weight_norm's.
        return [tuple([p[k] if k in p else getattr(self, k, None) for k in group]) for group in keys]

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        from ...ops.rnn import KINDS, layers

        packed = isinstance(input, PackedSequence)
        sizes = None
        if packed:
            original, input = input, input.data
            sizes = tuple(original.batch_sizes.tolist())
            batched, batch = True, sizes[0]
        elif input.ndim not in (2, 3):
            raise ValueError(f"{self.mode}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        else:
            batched = input.ndim == 3
            if not batched:
                input = input.unsqueeze(1)
            elif self.batch_first:
                input = input.transpose(0, 1)
            batch = input.shape[1]
            if not input.shape[0]:
                raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}"
            )
        states = None if hx is None else self._initial(hx, batch, batched)
        if packed and states is not None and original.sorted_indices is not None:
            states = tuple([s.index_select(1, original.sorted_indices) for s in states])
        drop = self.dropout if self.training else 0.0
        ways = 2 if self.bidirectional else 1
        output, *finals = layers(KINDS[self.mode.lower()], input, states, self._groups(), drop, ways, sizes)
        result: Any = output
        if packed:
            if original.unsorted_indices is not None:
                finals = [s.index_select(1, original.unsorted_indices) for s in finals]
            result = PackedSequence(
                output, original.batch_sizes, original.sorted_indices, original.unsorted_indices
            )
        elif not batched:
            result, finals = output.squeeze(1), [s.squeeze(1) for s in finals]
        elif self.batch_first:
            result = output.transpose(0, 1)
        return result, (finals[0] if len(finals) == 1 else tuple(finals))

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        shown = dict(
            proj_size=0, num_layers=1, bias=True, batch_first=False, dropout=0.0, bidirectional=False
        )
        for name, default in shown.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh) (or relu); see :class:`RNNBase` for the arguments.

    Returns:
        output (L, N, hidden_size · directions) and the last h.

    Example:
        >>> import gradgpu as gg
        >>> output, h = gg.nn.RNN(3, 5)(gg.zeros(7, 2, 3))
        >>> tuple(output.shape), tuple(h.shape)
        ((7, 2, 5), (1, 2, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.__dict__["nonlinearity"] = nonlinearity
        super().__init__(f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, *args, **kwargs)
        if self.proj_size:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class LSTM(RNNBase):
    """Long short-term memory; see :class:`RNNBase` for the arguments. The state is (h, c); proj_size projects h.

    Returns:
        output (L, N, hidden_size · directions) and the last (h, c).
    """

    _gates = 4

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("LSTM", *args, **kwargs)

    def _state_sizes(self) -> tuple[int, ...]:
        return self.output_size, self.hidden_size


class GRU(RNNBase):
    """Gated recurrent units; see :class:`RNNBase` for the arguments.

    Returns:
        output (L, N, hidden_size · directions) and the last h.
    """

    _gates = 3

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__("GRU", *args, **kwargs)
        if self.proj_size:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")


class RNNCellBase(Module):
    """One step of a recurrent layer: input (N, input_size) or (input_size), state (N, hidden_size) or (hidden_size)."""

    _gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows, where = self._gates * hidden_size, {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(empty(rows, input_size, **where))
        self.weight_hh = Parameter(empty(rows, hidden_size, **where))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, **where)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights from U(-k, k), k = 1/√hidden_size."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def _advance(self, kind: str, input: Tensor, states: tuple) -> tuple:
        if input.ndim not in (1, 2):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.ndim}D instead"
            )
        from ...ops.rnn import KINDS, cell

        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return cell(KINDS[kind], input, states, weights)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(RNNCellBase):
    """One step of :class:`RNN`: (input, h) → h'."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._advance(f"rnn_{self.nonlinearity}", input, (hx,))[0]


class LSTMCell(RNNCellBase):
    """One step of :class:`LSTM`: (input, (h, c)) → (h', c')."""

    _gates = 4

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        return self._advance("lstm", input, (None, None) if hx is None else tuple(hx))


class GRUCell(RNNCellBase):
    """One step of :class:`GRU`: (input, h) → h'."""

    _gates = 3

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return self._advance("gru", input, (hx,))[0]
