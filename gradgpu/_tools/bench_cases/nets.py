"""Training steps of nets that people train, each as small as it is still itself, as a function of the library module."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .common import Step, load, on, trainer

__all__ = ["NETS"]


def _images(lib: Any, device: str, count: int, channels: int, size: int) -> list[Any]:
    """Images, and one of ten classes for each."""
    rng = np.random.default_rng(6)
    images = rng.standard_normal((count, channels, size, size), dtype=np.float32)
    return on(lib, device, images, rng.integers(0, 10, count))


def _noise(lib: Any, device: str, *shape: int) -> Any:
    return on(lib, device, np.random.default_rng(7).standard_normal(shape, dtype=np.float32))[0]


def _classifier(lib: Any, device: str, net: Any, optimizer: Callable[[Any], Any], *data: int) -> tuple[Step, Step]:  # fmt: skip
    model = load(lib, net, device)
    x, y = _images(lib, device, *data)
    return trainer(optimizer(model.parameters()), lambda: lib.nn.functional.cross_entropy(model(x), y))


def lenet(lib: Any, device: str) -> tuple[Step, Step]:
    nn = lib.nn
    net = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip
    return _classifier(lib, device, net, lambda p: lib.optim.Adam(p, 1e-3), 64, 1, 28)


def resnet(lib: Any, device: str) -> tuple[Step, Step]:
    nn, F = lib.nn, lib.nn.functional

    class Block(nn.Module):  # type: ignore[name-defined]
        def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.short = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

        def forward(self, x: Any) -> Any:
            y = F.relu(self.norm1(self.conv1(x)))
            return F.relu(self.norm2(self.conv2(y)) + self.short(x))

    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), Block(16, 16), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    return _classifier(lib, device, net, lambda p: lib.optim.SGD(p, 0.1, 0.9, weight_decay=1e-4), 32, 3, 32)


def mobilenet(lib: Any, device: str) -> tuple[Step, Step]:
    nn = lib.nn

    def separable(inputs: int, outputs: int, stride: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.ReLU6(),
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6(),
        )  # fmt: skip

    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(), separable(16, 32, 1), separable(32, 64, 2),
        separable(64, 64, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    return _classifier(lib, device, net, lambda p: lib.optim.SGD(p, 0.1), 16, 3, 32)


def vit(lib: Any, device: str) -> tuple[Step, Step]:
    nn = lib.nn

    class ViT(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.patches, self.head = nn.Conv2d(3, 64, 4, 4), nn.Linear(64, 10)
            self.token, self.places = nn.Parameter(lib.zeros(1, 1, 64)), nn.Parameter(lib.zeros(1, 65, 64))
            layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)  # fmt: skip
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x: Any) -> Any:
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = lib.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
            return self.head(self.encoder(x)[:, 0])

    return _classifier(lib, device, ViT(), lambda p: lib.optim.AdamW(p, 1e-3), 16, 3, 32)


def unet(lib: Any, device: str) -> tuple[Step, Step]:
    nn, F = lib.nn, lib.nn.functional

    def double(inputs: int, outputs: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip

    class UNet(nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2, self.low = double(1, 16), double(16, 32), double(32, 64)
            self.up2, self.mix2 = nn.ConvTranspose2d(64, 32, 2, 2), double(64, 32)
            self.up1, self.mix1 = nn.ConvTranspose2d(32, 16, 2, 2), double(32, 16)
            self.out = nn.Conv2d(16, 1, 1)

        def forward(self, x: Any) -> Any:
            a = self.down1(x)
            b = self.down2(F.max_pool2d(a, 2))
            y = self.mix2(lib.cat([self.up2(self.low(F.max_pool2d(b, 2))), b], 1))
            return self.out(self.mix1(lib.cat([self.up1(y), a], 1)))

    model = load(lib, UNet(), device)
    x = _noise(lib, device, 4, 1, 64, 64)
    target = (x > 0.3).float()
    optimizer = lib.optim.Adam(model.parameters(), 1e-3)
    return trainer(optimizer, lambda: F.binary_cross_entropy_with_logits(model(x), target))


def dcgan(lib: Any, device: str) -> tuple[Step, Step]:
    """A step of the discriminator and one of the generator."""
    nn, F = lib.nn, lib.nn.functional
    generator = nn.Sequential(
        nn.ConvTranspose2d(64, 128, 4, 1, 0, bias=False), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    discriminator = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64),
        nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
        nn.Conv2d(128, 1, 4, 1, 0), nn.Flatten(0),
    )  # fmt: skip
    make, judge = load(lib, nn.ModuleList([generator, discriminator]), device)
    real, latent = _noise(lib, device, 16, 1, 32, 32), _noise(lib, device, 16, 64, 1, 1)
    of_make, of_judge = [lib.optim.Adam(m.parameters(), 2e-4, (0.5, 0.999)) for m in (make, judge)]

    def bce(logits: Any, answer: float) -> Any:
        return F.binary_cross_entropy_with_logits(logits, lib.full_like(logits, answer))

    def step() -> Any:
        fake = make(latent)
        of_judge.zero_grad()
        loss = bce(judge(real), 1.0) + bce(judge(fake.detach()), 0.0)
        loss.backward()
        of_judge.step()
        of_make.zero_grad()
        bce(judge(fake), 1.0).backward()
        of_make.step()
        return loss

    return step, lambda: [step().item() for _ in range(3)]


def vae(lib: Any, device: str) -> tuple[Step, Step]:
    nn, F = lib.nn, lib.nn.functional
    parts = nn.ModuleList([nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20), nn.Linear(20, 400), nn.Linear(400, 784)])  # fmt: skip
    encoder, mean_of, spread_of, decoder, out = model = load(lib, parts, device)
    x, noise = _noise(lib, device, 64, 784).sigmoid(), _noise(lib, device, 64, 20)

    def loss() -> Any:
        h = F.relu(encoder(x))
        mean, log_var = mean_of(h), spread_of(h)
        y = lib.sigmoid(out(F.relu(decoder(mean + noise * (0.5 * log_var).exp()))))
        divergence = -0.5 * lib.sum(1 + log_var - mean.pow(2) - log_var.exp())
        return (F.binary_cross_entropy(y, x, reduction="sum") + divergence) / len(x)

    return trainer(lib.optim.Adam(model.parameters(), 1e-3), loss)


def diffusion(lib: Any, device: str) -> tuple[Step, Step]:
    """Denoising of points in the plane (DDPM)."""
    nn, F = lib.nn, lib.nn.functional
    parts = nn.ModuleList([nn.Embedding(100, 64), nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 2)])  # fmt: skip
    times, first, second, third, last = model = load(lib, parts, device)
    x, noise = _noise(lib, device, 256, 2), _noise(lib, device, 256, 2).flip(0)
    kept = lib.linspace(0.99, 0.01, 100).to(device)
    (t,) = on(lib, device, np.random.default_rng(8).integers(0, 100, 256))

    def loss() -> Any:
        a = kept[t][:, None]
        h = F.silu(first(a.sqrt() * x + (1 - a).sqrt() * noise) + times(t))
        return F.mse_loss(last(F.silu(third(F.silu(second(h))))), noise)

    return trainer(lib.optim.Adam(model.parameters(), 1e-3), loss)


def char_lstm(lib: Any, device: str) -> tuple[Step, Step]:
    nn, F = lib.nn, lib.nn.functional
    parts = nn.ModuleList([nn.Embedding(65, 64), nn.LSTM(64, 128, 2, batch_first=True), nn.Linear(128, 65)])
    letters, recurrent, head = model = load(lib, parts, device)
    text = np.random.default_rng(5).integers(0, 65, (16, 51))
    tokens, following = on(lib, device, text[:, :-1].copy(), text[:, 1:].reshape(-1))

    def loss() -> Any:
        return F.cross_entropy(head(recurrent(letters(tokens))[0]).reshape(-1, 65), following)

    return trainer(lib.optim.Adam(model.parameters(), 1e-3), loss)


def seq2seq(lib: Any, device: str) -> tuple[Step, Step]:
    """An encoder, and a decoder that goes step by step."""
    nn, F = lib.nn, lib.nn.functional
    parts = nn.ModuleList([nn.Embedding(100, 32), nn.GRU(32, 64), nn.Embedding(100, 32), nn.GRUCell(32, 64), nn.Linear(64, 100)])  # fmt: skip
    read, encoder, written, cell, head = model = load(lib, parts, device)
    source, target = on(lib, device, *np.random.default_rng(5).integers(0, 100, (2, 12, 16)))

    def loss() -> Any:
        h = encoder(read(source))[1][0]
        total = 0.0
        for before, after in itertools.pairwise(target):
            h = cell(written(before), h)
            total = total + F.cross_entropy(head(h), after)
        return total

    return trainer(lib.optim.Adam(model.parameters(), 1e-3), loss)


def text_cnn(lib: Any, device: str) -> tuple[Step, Step]:
    nn, F = lib.nn, lib.nn.functional
    parts = nn.ModuleList([nn.Embedding(1000, 64), *[nn.Conv1d(64, 50, k) for k in (3, 4, 5)], nn.Linear(150, 2)])  # fmt: skip
    model = load(lib, parts, device)
    words, *convolutions, head = model
    rng = np.random.default_rng(5)
    tokens, classes = on(lib, device, rng.integers(0, 1000, (32, 50)), rng.integers(0, 2, 32))

    def loss() -> Any:
        x = words(tokens).transpose(1, 2)
        return F.cross_entropy(head(lib.cat([F.relu(c(x)).max(2)[0] for c in convolutions], 1)), classes)

    return trainer(lib.optim.Adam(model.parameters(), 1e-3), loss)


def dqn(lib: Any, device: str) -> tuple[Step, Step]:
    """Q-learning with a target net that follows slowly."""
    nn = lib.nn

    def net() -> Any:
        return nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))

    model, slow = load(lib, nn.ModuleList([net(), net()]), device)
    state, following = _noise(lib, device, 128, 4), _noise(lib, device, 128, 4).flip(0)
    rng = np.random.default_rng(8)
    action, reward = on(lib, device, rng.integers(0, 2, (128, 1)), rng.standard_normal(128, dtype=np.float32))
    optimizer = lib.optim.AdamW(model.parameters(), 1e-3, amsgrad=True)

    def step() -> Any:
        value = model(state).gather(1, action)
        with lib.no_grad():
            expected = slow(following).max(1).values * 0.99 + reward
        loss = nn.functional.smooth_l1_loss(value, expected.unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 100)
        optimizer.step()
        with lib.no_grad():
            for p, q in zip(slow.parameters(), model.parameters()):
                p.mul_(0.995).add_(q, alpha=0.005)
        return loss

    return step, lambda: [step().item() for _ in range(5)]


def ppo(lib: Any, device: str) -> tuple[Step, Step]:
    nn = lib.nn

    def net(outputs: int) -> Any:
        return nn.Sequential(
            nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
        )

    model = load(lib, nn.ModuleList([net(4), net(1)]), device)
    policy, value = model
    state, advantage, returns = (_noise(lib, device, 64, n).squeeze(-1) for n in (8, 1, 1))
    (action,) = on(lib, device, np.random.default_rng(8).integers(0, 4, 64))
    before = lib.full((64,), -1.4, device=device)
    optimizer = lib.optim.Adam(model.parameters(), 3e-4)

    def step() -> Any:
        chances = lib.distributions.Categorical(logits=policy(state))
        ratio = (chances.log_prob(action) - before).exp()
        gain = lib.min(ratio * advantage, lib.clamp(ratio, 0.8, 1.2) * advantage).mean()
        loss = (
            0.5 * (value(state).squeeze(-1) - returns).pow(2).mean() - gain - 0.01 * chances.entropy().mean()
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    return step, lambda: [step().item() for _ in range(5)]


def pinn(lib: Any, device: str) -> tuple[Step, Step]:
    """The residual of Burgers' equation: derivatives of the net by its inputs, and then by its weights."""
    nn = lib.nn
    layers = [
        nn.Linear(2, 32),
        nn.Tanh(),
        nn.Linear(32, 32),
        nn.Tanh(),
        nn.Linear(32, 32),
        nn.Tanh(),
        nn.Linear(32, 1),
    ]
    model = load(lib, nn.Sequential(*layers), device)
    x, t = (_noise(lib, device, 500, 2)[:, k : k + 1].clone().requires_grad_() for k in range(2))

    def slope(y: Any, by: Any) -> Any:
        return lib.autograd.grad(y, by, lib.ones_like(y), create_graph=True)[0]

    def loss() -> Any:
        u = model(lib.cat([x, t], 1))
        of_x = slope(u, x)
        return ((slope(u, t) + u * of_x - 0.01 * slope(of_x, x)) ** 2).mean()

    return trainer(lib.optim.Adam(model.parameters(), 1e-3), loss)


def maml(lib: Any, device: str) -> tuple[Step, Step]:
    """Four tasks, one inner step each, differentiated through."""
    nn, F = lib.nn, lib.nn.functional
    model = load(lib, nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1)), device)  # fmt: skip
    x = _noise(lib, device, 4, 10, 1)
    y = x.sin()

    def net(p: list[Any], x: Any) -> Any:
        return F.linear(F.relu(F.linear(F.relu(F.linear(x, *p[:2])), *p[2:4])), *p[4:])

    def loss() -> Any:
        total = 0.0
        for task, answer in zip(x, y):
            p = list(model.parameters())
            grads = lib.autograd.grad(F.mse_loss(net(p, task), answer), p, create_graph=True)
            total = total + F.mse_loss(net([a - 0.01 * b for a, b in zip(p, grads)], task), answer)
        return total

    return trainer(lib.optim.Adam(model.parameters(), 1e-3), loss)


def siren(lib: Any, device: str) -> tuple[Step, Step]:
    """An image as a function of its coordinates, with sines between the layers."""
    nn = lib.nn
    model = load(lib, nn.ModuleList([nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 3)]), device)  # fmt: skip
    x, colours = _noise(lib, device, 1024, 2), _noise(lib, device, 1024, 3)

    def loss() -> Any:
        h = x
        for layer in model[:-1]:
            h = lib.sin(3 * layer(h))
        return ((model[-1](h) - colours) ** 2).mean()

    return trainer(lib.optim.Adam(model.parameters(), 1e-4), loss)


def contrastive(lib: Any, device: str) -> tuple[Step, Step]:
    """Two views of each of 128 vectors are to be nearer to each other than to all others (SimCLR)."""
    nn, F = lib.nn, lib.nn.functional
    model = load(lib, nn.Sequential(nn.Linear(128, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 64)), device)  # fmt: skip
    one = _noise(lib, device, 128, 128)
    both = lib.cat([one, one + 0.1 * one.flip(0)])
    itself = lib.eye(256, device=device).bool()
    other = (lib.arange(256, device=device) + 128) % 256

    def loss() -> Any:
        z = F.normalize(model(both), dim=1)
        return F.cross_entropy((z @ z.t() / 0.5).masked_fill(itself, -1e9), other)

    return trainer(lib.optim.Adam(model.parameters(), 1e-3), loss)


NETS: dict[str, tuple[str, Callable[[Any, str], tuple[Step, Step]]]] = {
    "lenet": ("LeNet-5, 64 images 28×28", lenet),
    "resnet": ("ResNet of 3 blocks, 32 images 32×32", resnet),
    "mobilenet": ("MobileNet of 3 separable convolutions, 16 images 32×32", mobilenet),
    "vit": ("vision transformer of 2 layers, 16 images 32×32", vit),
    "unet": ("U-Net of 3 levels, 4 images 64×64", unet),
    "dcgan": ("DCGAN, 16 images 32×32, both nets", dcgan),
    "vae": ("VAE 784-400-20, batch 64", vae),
    "diffusion": ("diffusion of points, batch 256", diffusion),
    "char-lstm": ("LSTM of 2 layers on 16 × 50 letters", char_lstm),
    "seq2seq": ("GRU encoder, decoder of 11 GRU cells, batch 16", seq2seq),
    "text-cnn": ("text CNN of 3 widths, 32 × 50 words", text_cnn),
    "dqn": ("DQN 4-128-128-2, batch 128, with its target net", dqn),
    "ppo": ("PPO step of policy and value nets, batch 64", ppo),
    "pinn": ("Burgers' equation on 500 points, second derivatives", pinn),
    "maml": ("MAML, 4 tasks, gradients of gradients", maml),
    "siren": ("SIREN on 1024 points", siren),
    "contrastive": ("SimCLR loss on 2 × 128 vectors", contrastive),
}
