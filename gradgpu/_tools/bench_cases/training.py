"""Training steps of small nets, as a function of the library module."""

from __future__ import annotations

from typing import Any

import numpy as np

from .common import (
    Step,
    classifier_data,
    graph_data,
    load,
    on,
    regression_data,
    sequence_data,
    trainer,
    weights,
)

__all__ = ["cnn", "gcn", "gpt", "lstm", "lstm_of_ops", "mlp_classifier", "mlp_regression"]


def mlp_classifier(lib: Any, device: str) -> tuple[Step, Step]:
    nn = lib.nn
    model = load(lib, nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)), device)
    x, y = on(lib, device, *classifier_data())
    criterion = nn.CrossEntropyLoss()
    return trainer(lib.optim.SGD(model.parameters(), lr=0.1), lambda: criterion(model(x), y))


def mlp_regression(lib: Any, device: str) -> tuple[Step, Step]:
    nn = lib.nn
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    model = load(lib, net, device)
    x, y = on(lib, device, *regression_data())
    criterion = nn.MSELoss()
    return trainer(lib.optim.Adam(model.parameters(), lr=1e-3), lambda: criterion(model(x), y))


def gcn(lib: Any, device: str) -> tuple[Step, Step]:
    """Two graph convolutions: each a product with the sparse adjacency matrix after a linear layer."""
    nn = lib.nn
    first, second = load(lib, nn.ModuleList([nn.Linear(64, 16), nn.Linear(16, 7)]), device)
    at, values, x, y = on(lib, device, *graph_data())
    adjacency = lib.sparse_coo_tensor(at, values, (len(x), len(x))).coalesce()
    criterion = nn.CrossEntropyLoss()

    def loss() -> Any:
        hidden = lib.relu(lib.sparse.mm(adjacency, first(x)))
        return criterion(lib.sparse.mm(adjacency, second(hidden)), y)

    parameters = [*first.parameters(), *second.parameters()]
    return trainer(lib.optim.Adam(parameters, lr=0.01), loss)


def cnn(lib: Any, device: str) -> tuple[Step, Step]:
    nn = lib.nn
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )
    model = load(lib, net, device)
    x, y = on(lib, device, *classifier_data())
    x = x.reshape(32, 1, 28, 28)
    criterion = nn.CrossEntropyLoss()
    return trainer(lib.optim.Adam(model.parameters(), lr=1e-3), lambda: criterion(model(x), y))


def lstm(lib: Any, device: str) -> tuple[Step, Step]:
    model = load(lib, lib.nn.LSTM(32, 64), device)
    x, y = on(lib, device, *sequence_data())
    criterion = lib.nn.MSELoss()
    return trainer(lib.optim.Adam(model.parameters(), lr=1e-3), lambda: criterion(model(x)[0], y))


def lstm_of_ops(lib: Any, device: str, hidden: int = 64) -> tuple[Step, Step]:
    """What a person writes who wants to see inside: a loop over steps, a product and elementwise ops in each."""
    F = lib.nn.functional
    shapes = ((4 * hidden, 32), (4 * hidden, hidden), (4 * hidden,))
    w_x, w_h, bias = parameters = [t.requires_grad_() for t in on(lib, device, *weights(shapes))]
    x, y = on(lib, device, *sequence_data(hidden))
    zero = lib.zeros(16, hidden, device=device)

    def loss() -> Any:
        h = c = zero
        outputs = []
        for x_t in x:
            gates = F.linear(x_t, w_x, bias) + F.linear(h, w_h)
            i, f, g, o = gates.chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            outputs.append(h)
        return F.mse_loss(lib.stack(outputs), y)

    return trainer(lib.optim.Adam(parameters, lr=1e-3), loss)


def wide_lstm_of_ops(lib: Any, device: str) -> tuple[Step, Step]:
    return lstm_of_ops(lib, device, 512)


def gpt(lib: Any, device: str) -> tuple[Step, Step]:
    """A decoder with causal attention, pre-norm blocks and learned positions."""
    nn, F = lib.nn, lib.nn.functional
    batch, length, width, heads, words = 8, 32, 64, 4, 65

    class Block(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any) -> Any:
            parts = self.qkv(self.norm1(x)).split(width, 2)
            q, k, v = [p.view(batch, length, heads, width // heads).transpose(1, 2) for p in parts]
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
            self.blocks = nn.Sequential(Block(), Block())
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)
            self.register_buffer("numbers", lib.arange(length), persistent=False)

        def forward(self, tokens: Any) -> Any:
            x = self.words(tokens) + self.places(self.numbers)
            return self.head(self.norm(self.blocks(x)))

    model = load(lib, GPT(), device)
    text = np.random.default_rng(5).integers(0, words, (batch, length + 1))
    tokens, following = on(lib, device, text[:, :-1].copy(), text[:, 1:].reshape(-1))
    optimizer = lib.optim.AdamW(model.parameters(), lr=1e-3)
    return trainer(optimizer, lambda: F.cross_entropy(model(tokens).view(-1, words), following))
