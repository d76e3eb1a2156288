"""Recurrent layers, packed sequences, attention, transformers and resizing, against loops written in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import nn
from gradgpu.nn import functional as F
from gradgpu.nn.utils import rnn
from tests.sequences_expected import ATTENTION, RECURRENT


def array(t: Any) -> np.ndarray:
    return t.detach().cpu().numpy()


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def one_step(kind: str, x: np.ndarray, h: np.ndarray, c: np.ndarray, weights: list[np.ndarray]) -> tuple:
    w_ih, w_hh, b_ih, b_hh = weights
    a, b = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    if kind == "RNN":
        return np.tanh(a + b), c
    if kind == "LSTM":
        i, f, g, o = np.split(a + b, 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    (ar, az, an), (br, bz, bn) = np.split(a, 3, -1), np.split(b, 3, -1)
    z = sigmoid(az + bz)
    return (1 - z) * np.tanh(an + sigmoid(ar + br) * bn) + z * h, c


def sequence(kind: str, layer: nn.RNNBase, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(outputs, last h of each layer and direction) of one sequence (L, features)."""
    finals = []
    groups = iter([[array(w) for w in group] for group in layer.all_weights])
    for _ in range(layer.num_layers):
        ways = []
        for reverse in [False, True][: 2 if layer.bidirectional else 1]:
            weights, steps = next(groups), x[::-1] if reverse else x
            h = c = np.zeros(layer.hidden_size)
            outputs = []
            for step in steps:
                h, c = one_step(kind, step, h, c, weights)
                outputs.append(h)
            finals.append(h)
            ways.append(np.array(outputs[::-1] if reverse else outputs))
        x = np.concatenate(ways, -1)
    return x, np.array(finals)


KINDS = ["RNN", "LSTM", "GRU"]


def hidden(kind: str, state: Any) -> Any:
    return state[0] if kind == "LSTM" else state


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["plain", "deep-both-ways"]
)
def test_recurrent_layers_follow_the_loop(kind, options, device):
    layer = getattr(nn, kind)(3, 4, **options).to(device).double()
    x = np.random.default_rng(0).standard_normal((6, 2, 3))
    outputs, state = layer(gg.tensor(x, device=device))
    for n in range(2):
        expected, last = sequence(kind, layer, x[:, n])
        np.testing.assert_allclose(array(outputs)[:, n], expected, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(array(hidden(kind, state))[:, n], last, rtol=1e-6, atol=1e-9)
    first = type(layer)(3, 4, batch_first=True, **options).to(device).double()
    first.load_state_dict(layer.state_dict())
    np.testing.assert_allclose(
        array(first(gg.tensor(x.swapaxes(0, 1), device=device))[0]).swapaxes(0, 1), array(outputs)
    )
    single, _ = layer(gg.tensor(x[:, 0], device=device))
    np.testing.assert_allclose(array(single), array(outputs)[:, 0], rtol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences_end_where_they_end(kind, device):
    layer = getattr(nn, kind)(3, 4, bidirectional=True).to(device).double()
    x, lengths = np.random.default_rng(0).standard_normal((5, 3, 3)), [2, 5, 3]
    packed = rnn.pack_padded_sequence(gg.tensor(x, device=device), lengths, enforce_sorted=False)
    outputs, state = layer(packed)
    padded, sizes = rnn.pad_packed_sequence(outputs, padding_value=-7.0)
    assert sizes.tolist() == lengths
    for n, length in enumerate(lengths):
        expected, last = sequence(kind, layer, x[:length, n])
        np.testing.assert_allclose(array(padded)[:length, n], expected, rtol=1e-6, atol=1e-9)
        assert (array(padded)[length:, n] == -7.0).all()
        np.testing.assert_allclose(array(hidden(kind, state))[:, n], last, rtol=1e-6, atol=1e-9)


def wave(shape: tuple[int, ...], phase: int) -> np.ndarray:
    """Numbers between -1/2 and 1/2 that are the same everywhere."""
    return np.sin(np.arange(int(np.prod(shape)), dtype=np.float64) * 0.7 + phase).reshape(shape) * 0.5


def weighed(t: Any, phase: int) -> Any:
    """A number that depends on every element."""
    return (t * gg.tensor(wave(tuple(t.shape), phase), device=t.device)).sum()


LAYERS = {
    "lstm": (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
    "lstm projected": (nn.LSTM, {"proj_size": 2, "batch_first": True}),
    "gru": (nn.GRU, {"num_layers": 2, "bidirectional": True}),
    "rnn tanh": (nn.RNN, {"bias": False}),
    "rnn relu": (nn.RNN, {"nonlinearity": "relu", "bidirectional": True}),
}


@pytest.mark.parametrize("name, batch", RECURRENT)
def test_recurrent_layers_compute_what_pytorch_does(name, batch, device):
    """Outputs, final states and the gradients of input and weights; `batch` sequences or five packed ones."""
    make, options = LAYERS[name]
    layer = make(3, 4, **options).double().to(device)
    with gg.no_grad():
        for k, parameter in enumerate(layer.parameters()):
            parameter.copy_(gg.tensor(wave(tuple(parameter.shape), k)))
    packed = batch == "packed"
    x = gg.tensor(wave((4, 5 if packed else batch, 3), 9), device=device, requires_grad=True)
    if packed:
        output, state = layer(rnn.pack_padded_sequence(x, [4, 2, 3, 1, 4], enforce_sorted=False))
        output = output.data
    else:
        output, state = layer(x)
    states = state if isinstance(state, tuple) else (state,)
    (weighed(output, 1) + sum(weighed(s, 2) for s in states)).backward()
    found = (output, *states, x.grad, *[p.grad for p in layer.parameters()])
    np.testing.assert_allclose(
        [weighed(t.detach(), 5).item() for t in found], RECURRENT[name, batch], atol=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_outputs_changed_in_place_are_noticed(kind, device):
    layer, x = getattr(nn, kind)(3, 4).to(device), gg.ones(2, 5, 3, device=device)
    output, _ = layer(x)
    output.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_recurrent_weights_may_be_computed_from_others():
    gg.manual_seed(0)
    layer, x = nn.LSTM(3, 4), gg.randn(5, 2, 3)
    wanted = array(layer(x)[0])
    nn.utils.weight_norm(layer, "weight_hh_l0")
    np.testing.assert_allclose(array(layer(x)[0]), wanted, rtol=1e-5, atol=1e-6)
    layer(x)[0].sum().backward()
    assert layer.weight_hh_l0_v.grad.shape == (16, 4) and layer.weight_hh_l0_g.grad.shape == (16, 1)


def test_recurrent_layers_in_half_types(device):
    gg.manual_seed(0)
    layer = nn.LSTM(3, 4, num_layers=2).to(device)
    x = gg.randn(6, 5, 3).to(device)
    wanted, _ = layer(x)
    for dtype in (gg.float16, gg.bfloat16):
        output, (h_n, c_n) = layer.to(dtype)(x.to(dtype))
        assert output.dtype is h_n.dtype is c_n.dtype is dtype
        np.testing.assert_allclose(array(output.float()), array(wanted), atol=2e-2)
        layer.float()
    with gg.autocast(device, gg.bfloat16):
        output, _ = layer(x)
    assert output.dtype is gg.bfloat16
    np.testing.assert_allclose(array(output.float()), array(wanted), atol=2e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_gradients(kind):
    gg.manual_seed(0)
    layer = getattr(nn, kind)(2, 3).double()
    names, weights = zip(*layer.named_parameters())

    def run(x: gg.Tensor, *weights: gg.Tensor) -> gg.Tensor:
        layer._parameters.update(zip(names, weights))
        return layer(x)[0]

    x = gg.randn(3, 2, 2, dtype=gg.float64, requires_grad=True)
    assert gg.autograd.gradcheck(run, (x, *weights))


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_one_step_of_the_layer(kind, device):
    cell, layer = getattr(nn, kind + "Cell")(3, 4).to(device), getattr(nn, kind)(3, 4).to(device)
    layer.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x = gg.randn(5, 3).to(device)
    made = cell(x)
    np.testing.assert_allclose(
        array(hidden(kind, made)), array(layer(x.unsqueeze(0))[0])[0], rtol=1e-5, atol=1e-6
    )
    again = cell(x, made)
    assert hidden(kind, again).shape == (5, 4) and cell(x[0]) is not None


def test_lstm_projection_and_initial_states():
    layer = nn.LSTM(3, 5, num_layers=2, proj_size=2)
    outputs, (h, c) = layer(gg.randn(4, 6, 3), (gg.zeros(2, 6, 2), gg.zeros(2, 6, 5)))
    assert outputs.shape == (4, 6, 2) and h.shape == (2, 6, 2) and c.shape == (2, 6, 5)
    assert list(layer.state_dict())[:5] == [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "weight_hr_l0",
    ]
    assert repr(layer) == "LSTM(3, 5, proj_size=2, num_layers=2)"


@pytest.mark.parametrize(
    "action, error, match",
    [
        (lambda: nn.RNN(3, 4)(gg.zeros(2, 2, 5)), RuntimeError, "Expected 3, got 5"),
        (
            lambda: nn.GRU(3, 4)(gg.zeros(2, 2, 3), gg.zeros(1, 1, 4)),
            RuntimeError,
            r"Expected hidden size \(1, 2, 4\)",
        ),
        (
            lambda: nn.LSTM(3, 4)(gg.zeros(2, 2, 3), gg.zeros(1, 2, 4)),
            RuntimeError,
            r"takes 2 initial state\(s\), got 1",
        ),
        (lambda: nn.RNN(3, 4)(gg.zeros(3)), ValueError, "Expected input to be 2D or 3D, got 1D"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), ValueError, "Unknown nonlinearity 'sin'"),
        (lambda: nn.GRU(3, 0), ValueError, "hidden_size must be greater than zero"),
        (lambda: nn.GRU(3, 4, proj_size=2), ValueError, "only supported for LSTM"),
        (
            lambda: rnn.pack_padded_sequence(gg.zeros(3, 2), [1, 3]),
            RuntimeError,
            "sorted in decreasing order",
        ),
        (lambda: rnn.pack_padded_sequence(gg.zeros(3, 2), [1, 0]), RuntimeError, "greater than 0"),
        (lambda: rnn.pack_padded_sequence(gg.zeros(3, 2), [1]), RuntimeError, "equal to batch_size"),
        (lambda: rnn.pad_sequence([]), RuntimeError, "empty list"),
        (lambda: nn.MultiheadAttention(6, 4), AssertionError, "divisible by num_heads"),
        (lambda: nn.TransformerEncoderLayer(4, 2, activation="sin"), RuntimeError, "relu/gelu, not sin"),
        (
            lambda: F.interpolate(gg.zeros(1, 1, 4), 2, mode="bilinear"),
            NotImplementedError,
            "does not take a 3-D input",
        ),
        (lambda: F.interpolate(gg.zeros(1, 1, 4)), ValueError, "only one of size or scale_factor"),
        (lambda: F.pixel_shuffle(gg.zeros(1, 3, 2, 2), 2), RuntimeError, "divisible by 4, but got 3"),
    ],
)
def test_errors(action, error, match):
    with pytest.raises(error, match=match):
        action()


def test_padding_and_packing(device):
    sequences = [gg.tensor(list(range(n)), dtype=gg.float32, device=device) + 1 for n in (2, 4, 1)]
    padded = rnn.pad_sequence(sequences, batch_first=True, padding_value=-1.0)
    assert padded.tolist() == [[1, 2, -1, -1], [1, 2, 3, 4], [1, -1, -1, -1]]
    assert rnn.pad_sequence(sequences, True, 0.0, "left")[0].tolist() == [0, 0, 1, 2]
    assert [s.tolist() for s in rnn.unpad_sequence(padded, gg.tensor([2, 4, 1]), True)] == [
        s.tolist() for s in sequences
    ]
    packed = rnn.pack_sequence(sequences, enforce_sorted=False)
    assert packed.data.tolist() == [1, 1, 1, 2, 2, 3, 4] and packed.batch_sizes.tolist() == [3, 2, 1, 1]
    back, lengths = rnn.pad_packed_sequence(packed, batch_first=True, total_length=5)
    assert lengths.tolist() == [2, 4, 1] and back[1].tolist() == [1, 2, 3, 4, 0]


# ---- attention ----


def heads(x: np.ndarray, count: int) -> np.ndarray:
    return x.reshape(*x.shape[:2], count, -1).swapaxes(1, 2)


@pytest.mark.parametrize("masked", [False, True])
def test_multihead_attention(masked, device):
    rng = np.random.default_rng(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True).to(device).double()
    x = rng.standard_normal((3, 5, 8))
    w, b = array(layer.in_proj_weight), array(layer.in_proj_bias)
    q, k, v = (heads(part, 2) for part in np.split(x @ w.T + b, 3, -1))
    scores = q @ k.swapaxes(-1, -2) / 2
    options = {}
    if masked:
        causal, padding = np.triu(np.ones((5, 5), bool), 1), np.arange(5) >= np.array([[5], [3], [1]])
        scores = np.where(causal | padding[:, None, None, :], -np.inf, scores)
        options = {
            "attn_mask": gg.tensor(causal, device=device),
            "key_padding_mask": gg.tensor(padding, device=device),
        }
    weights = softmax(scores)
    expected = (weights @ v).swapaxes(1, 2).reshape(3, 5, 8) @ array(layer.out_proj.weight).T + array(
        layer.out_proj.bias
    )
    t = gg.tensor(x, device=device)
    y, found = layer(t, t, t, **options)
    np.testing.assert_allclose(array(y), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(array(found), weights.mean(1), rtol=1e-6, atol=1e-9)
    y, none = layer(t, t, t, need_weights=False, **options)
    np.testing.assert_allclose(array(y), expected, rtol=1e-6, atol=1e-9)
    assert none is None


def test_scaled_dot_product_attention(device):
    q, k, v = np.random.default_rng(0).standard_normal((3, 2, 4, 8))
    tensors = [gg.tensor(a, device=device) for a in (q, k, v)]
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(8)
    forbidden = np.triu(np.ones((4, 4), bool), 1)
    expected = softmax(np.where(forbidden, -np.inf, scores)) @ v
    np.testing.assert_allclose(
        array(F.scaled_dot_product_attention(*tensors, is_causal=True)), expected, rtol=1e-6
    )
    mask = gg.tensor(~forbidden, device=device)
    np.testing.assert_allclose(array(F.scaled_dot_product_attention(*tensors, mask)), expected, rtol=1e-6)
    np.testing.assert_allclose(
        array(F.scaled_dot_product_attention(*tensors, scale=0.5)),
        softmax(scores * np.sqrt(8) / 2) @ v,
        rtol=1e-6,
    )
    with pytest.raises(RuntimeError, match="should not be set when is_causal"):
        F.scaled_dot_product_attention(*tensors, mask, is_causal=True)


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_computes_what_pytorch_does(name, device):
    shapes = [(2, 4, 5, 6), (2, 2, 5, 6), (2, 2, 5, 3)]
    q, k, v = (gg.tensor(wave(shape, i), device=device, requires_grad=True) for i, shape in enumerate(shapes))
    mask = gg.tensor(wave((5, 5), 3), device=device)
    options = {
        "causal": {"is_causal": True},
        "added": {"attn_mask": mask, "scale": 0.3},
        "allowed": {"attn_mask": mask > 0},
    }[name]
    y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True, **options)
    weighed(y, 1).backward()
    found = [weighed(t.detach(), 5).item() for t in (y, q.grad, k.grad, v.grad)]
    np.testing.assert_allclose(found, ATTENTION[name], atol=1e-9)


def test_attention_of_large_scores_and_of_many_features(device):
    """Scores that no common shift can hold, NaN, and more features than the kernels' tiles have."""
    rng = np.random.default_rng(0)
    for size, width in ((60.0, 4), (1.0, 150)):
        q, k, v = (size * rng.standard_normal((1, 2, 5, width)) for _ in range(3))
        scores = np.where(np.tril(np.ones((5, 5), bool)), q @ k.swapaxes(-1, -2) / np.sqrt(width), -np.inf)
        tensors = [gg.tensor(a, device=device, requires_grad=True) for a in (q, k, v)]
        y = F.scaled_dot_product_attention(*tensors, is_causal=True)
        np.testing.assert_allclose(array(y), softmax(scores) @ v, rtol=1e-6, atol=1e-9)
        y.sum().backward()
        assert all(bool(t.grad.isfinite().all()) for t in tensors)
    q[0, 0, 2] = np.nan
    y = array(F.scaled_dot_product_attention(*[gg.tensor(a, device=device) for a in (q, k, v)]))
    assert np.isnan(y[0, 0, 2]).all() and not np.isnan(y[0, 1]).any()


def test_attention_dropout_keeps_the_mean_and_is_the_same_on_every_device(device):
    q, v = gg.zeros(1, 2, 8, 4, device=device), gg.ones(1, 2, 300, 4, device=device)
    k = gg.zeros(1, 2, 300, 4, device=device)
    gg.manual_seed(1)
    y = F.scaled_dot_product_attention(q, k, v, dropout_p=0.3)
    assert abs(y.mean().item() - 1) < 0.05 and y.std().item() > 1e-3
    gg.manual_seed(1)
    same = F.scaled_dot_product_attention(q.cpu(), k.cpu(), v.cpu(), dropout_p=0.3)
    np.testing.assert_allclose(array(y), array(same), rtol=1e-5)
    assert F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).abs().max() == 0


def test_transformer_does_not_look_ahead(device):
    gg.manual_seed(0)
    net = nn.Transformer(8, 2, 1, 2, 16, dropout=0.0, batch_first=True).to(device)
    src, tgt = gg.randn(2, 3, 8).to(device), gg.randn(2, 4, 8).to(device)
    mask = nn.Transformer.generate_square_subsequent_mask(4).to(device)
    y = array(net(src, tgt, tgt_mask=mask))
    changed = tgt.clone()
    changed[:, 3] = 5.0
    z = array(net(src, changed, tgt_mask=mask))
    np.testing.assert_allclose(y[:, :3], z[:, :3], rtol=1e-4, atol=1e-5)
    assert np.abs(y[:, 3] - z[:, 3]).max() > 1e-2
    names = [name for name, _ in net.encoder.layers[0].named_children()]
    assert names == ["self_attn", "linear1", "dropout", "linear2", "norm1", "norm2", "dropout1", "dropout2"]


# ---- resizing ----


def test_interpolation(device):
    x = np.arange(8.0).reshape(1, 1, 2, 4)
    t = gg.tensor(x, device=device)
    up = array(F.interpolate(t, scale_factor=2))
    np.testing.assert_array_equal(up, x.repeat(2, -1).repeat(2, -2))
    line = array(F.interpolate(t[:, :, 0], size=7, mode="linear", align_corners=True))
    np.testing.assert_allclose(line[0, 0], np.linspace(0, 3, 7))
    halves = array(F.interpolate(t, size=(2, 8), mode="bilinear"))
    np.testing.assert_allclose(halves[0, 0, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    np.testing.assert_allclose(array(F.interpolate(t, size=(1, 2), mode="area"))[0, 0], [[2.5, 4.5]])
    constant = gg.ones(1, 2, 3, 5, device=device)
    np.testing.assert_allclose(
        array(F.interpolate(constant, scale_factor=1.7, mode="bicubic")), 1.0, rtol=1e-5
    )
    assert nn.Upsample(scale_factor=2, mode="bilinear").to(device)(constant).shape == (1, 2, 6, 10)
    assert repr(nn.Upsample(scale_factor=2)) == "Upsample(scale_factor=2.0, mode='nearest')"


def test_interpolation_gradients():
    x = gg.randn(1, 2, 3, 4, dtype=gg.float64, requires_grad=True)
    for mode in ("nearest", "bilinear", "bicubic"):
        assert gg.autograd.gradcheck(lambda x, mode=mode: F.interpolate(x, size=(5, 3), mode=mode), (x,))


def test_pixel_shuffle_undoes_itself(device):
    x = gg.arange(16.0, device=device).reshape(1, 4, 2, 2)
    y = nn.PixelShuffle(2)(x)
    assert y[0, 0].tolist() == [[0, 4, 1, 5], [8, 12, 9, 13], [2, 6, 3, 7], [10, 14, 11, 15]]
    assert nn.PixelUnshuffle(2)(y).tolist() == x.tolist()


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("add_bias_kv, add_zero_attn", [(True, False), (False, True), (True, True)])
def test_attention_over_keys_that_are_not_the_inputs(add_bias_kv, add_zero_attn, need_weights, device):
    gg.manual_seed(0)
    layer = nn.MultiheadAttention(4, 2, add_bias_kv=add_bias_kv, add_zero_attn=add_zero_attn).to(device)
    x = gg.randn(3, 2, 4).to(device)
    padding = gg.tensor([[False, False, True], [False, False, False]], device=device)
    causal = gg.ones(3, 3, device=device).triu(1).bool()
    output, weights = layer(x, x, x, key_padding_mask=padding, attn_mask=causal, need_weights=need_weights)
    w, b = array(layer.in_proj_weight), array(layer.in_proj_bias)
    expected = np.empty((3, 2, 4), np.float32)
    for n in range(2):
        q, k, v = np.split(array(x)[:, n] @ w.T + b, 3, -1)
        barred = array(causal) | array(padding)[n]
        if add_bias_kv:
            k, v = np.vstack([k, array(layer.bias_k)[0]]), np.vstack([v, array(layer.bias_v)[0]])
        if add_zero_attn:
            k, v = np.vstack([k, np.zeros((1, 4))]), np.vstack([v, np.zeros((1, 4))])
        barred = np.pad(barred, ((0, 0), (0, len(k) - 3)))  # what was added, everybody may look at
        heads = []
        for head in (slice(0, 2), slice(2, 4)):
            scores = np.where(barred, -np.inf, q[:, head] @ k[:, head].T / np.sqrt(2))
            heads.append(softmax(scores))
            expected[:, n, head] = heads[-1] @ v[:, head]
        if need_weights:
            np.testing.assert_allclose(array(weights)[n], (heads[0] + heads[1]) / 2, rtol=1e-5, atol=1e-6)
    expected = expected @ array(layer.out_proj.weight).T + array(layer.out_proj.bias)
    np.testing.assert_allclose(array(output), expected, rtol=1e-4, atol=1e-5)
    output.sum().backward()
    assert all(p.grad is not None for p in layer.parameters())


def test_attention_as_a_function_takes_keys_as_they_are():
    gg.manual_seed(0)
    layer, x, k = nn.MultiheadAttention(4, 2), gg.randn(3, 2, 4), gg.randn(4, 5, 2)
    own = (layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0)
    own += (layer.out_proj.weight, layer.out_proj.bias)  # type: ignore[assignment]
    same, _ = F.multi_head_attention_forward(x, x, x, 4, 2, *own)
    assert gg.equal(same, layer(x, x, x)[0])
    output, weights = F.multi_head_attention_forward(x, x, x, 4, 2, *own, static_k=k, static_v=k)
    assert output.shape == (3, 2, 4) and weights.shape == (2, 3, 5)


@pytest.mark.parametrize(
    "query, key, masks, match",
    [
        ((2, 3, 4, 4), (3, 4), {}, "unbatched 2D or batched 3D tensor but received 4-D"),
        ((2, 3, 4), (3, 4), {}, "expected `key` and `value` to be 3-D but found 2-D"),
        ((3, 4), (3, 4), {"key_padding_mask": gg.zeros(1, 3)}, "`key_padding_mask` to be `None` or 1-D"),
        ((3, 4), (3, 4), {"attn_mask": gg.zeros(3)}, "`attn_mask` to be `None`, 2-D or 3-D but found 1-D"),
        ((3, 4), (3, 4), {"attn_mask": gg.zeros(1, 3, 3)}, r"shape to be \(2, 3, 3\) but got \(1, 3, 3\)"),
        ((3, 4), (3, 4), {"is_causal": True}, "Need attn_mask"),
        ((3, 6), (3, 4), {}, "expecting embedding dimension of 4, but got 6"),
    ],
)
def test_attention_says_what_does_not_fit(query, key, masks, match):
    with pytest.raises(RuntimeError, match=match):
        nn.MultiheadAttention(4, 2)(gg.zeros(*query), gg.zeros(*key), gg.zeros(*key), **masks)


def test_packed_sequences_as_pytorchs(device):
    packed = rnn.pack_sequence([gg.arange(2.0).to(device), gg.arange(4.0).to(device)], enforce_sorted=False)
    assert packed.is_cuda == (device == "cuda") and packed.double().data.dtype is gg.float64
    assert packed.cpu().data.is_cpu and packed.long().data.tolist() == [0, 0, 1, 1, 2, 3]
    assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [[0.0, 1.0], [0.0, 1.0, 2.0, 3.0]]
    order = gg.tensor([2, 0, 1], device=device)
    assert rnn.invert_permutation(order).tolist() == [1, 2, 0] and rnn.invert_permutation(None) is None


def test_names_of_the_weights() -> None:
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, proj_size=2)
    assert lstm._flat_weights_names == [name for name, _ in lstm.named_parameters()]
    assert lstm._all_weights[1] == [
        f"{name}_l0_reverse" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    ]
    assert all(a is b for a, b in zip(lstm._flat_weights, lstm.parameters(), strict=True))
    gru = nn.GRU(3, 4, bias=False)
    assert gru._flat_weights_names == ["weight_ih_l0", "weight_hh_l0"]
    for name in gru._flat_weights_names:
        nn.init.zeros_(gru._parameters[name])
    assert gru(gg.ones(2, 3))[0].abs().sum() == 0


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_recurrent_layers_run_with_given_weights(kind: str, device: str) -> None:
    gg.manual_seed(0)
    net = getattr(nn, kind)(2, 3).to(device)
    other = getattr(nn, kind)(2, 3).to(device)
    x = gg.randn(4, 1, 2, device=device)
    own, expected = net(x)[0], other(x)[0]
    fast = [(p.detach() * 1).requires_grad_() for p in other.parameters()]
    net._flat_weights = fast
    np.testing.assert_array_equal(net(x)[0].tolist(), expected.tolist())
    net(x)[0].sum().backward()
    assert all(w.grad is not None for w in fast) and all(p.grad is None for p in net.parameters())
    assert all(a is b for a, b in zip(net._flat_weights, fast, strict=True))
    net.weight_ih_l0 = other.weight_ih_l0  # one weight less is given
    assert net._flat_weights[0] is other.weight_ih_l0 and net._flat_weights[1] is fast[1]
    restored = getattr(nn, kind)(2, 3).to(device)
    restored._flat_weights = fast
    restored.to(gg.float32)  # converting makes the list anew
    assert all(a is b for a, b in zip(restored._flat_weights, restored.parameters(), strict=True))
    assert own.shape == expected.shape


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_states_are_cut_off_in_place(kind: Any, layers: int, device: str) -> None:
    net = kind(3, 4, num_layers=layers).to(device)
    x, state = gg.ones(5, 2, 3, device=device), None
    for _ in range(2):  # backward through time in pieces
        y, state = net(x, state)
        y.sum().backward()
        for s in state if isinstance(state, tuple) else (state,):
            assert not s._is_view() and s.requires_grad and s.detach_() is s and not s.requires_grad
    grads = []
    for double in (lambda s: s.mul_(2), lambda s: 2 * s):
        net.zero_grad()
        y, state = net(x)
        last = y[-1].tolist()
        s = double(state[0] if isinstance(state, tuple) else state)
        assert y[-1].tolist() == last
        (y.sum() + s.sum()).backward()
        grads.append([p.grad.tolist() for p in net.parameters()])
    assert grads[0] == grads[1]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_sequences_alone_are_those_of_a_batch(kind: str, bias: bool) -> None:
    """One sequence, and few steps, go another way than many."""
    gg.manual_seed(0)
    layer = getattr(nn, kind)(3, 5, bias=bias).double()
    x = gg.randn(4, 6, 3, dtype=gg.float64)
    made = []
    for parts in (1, 2, 6):
        layer.zero_grad()
        y = gg.cat([layer(part)[0] for part in x.chunk(parts, 1)], 1)
        (y * y).sum().backward()
        made.append([array(y), *[array(p.grad) for p in layer.parameters()]])
    for other in made[1:]:
        for got, want in zip(other, made[0]):
            np.testing.assert_allclose(got, want, atol=1e-12)
    step = layer(x[:1, :2])[0]
    np.testing.assert_allclose(array(step), made[0][0][:1, :2], atol=1e-12)
