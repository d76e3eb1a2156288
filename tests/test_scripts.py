"""Training scripts as people write them for PyTorch, with the import alone changed: each trains, on both devices.

What the tests of single operations cannot see is how operations, layers, optimisers and data loaders meet. The data are
drawn here, the nets are as small as the kind of script allows.
"""

from __future__ import annotations

import argparse
import copy
import math
import random
from collections import OrderedDict, deque, namedtuple
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradgpu as torch
import gradgpu.nn as nn
import gradgpu.nn.functional as F
import gradgpu.optim as optim
from gradgpu.autograd import Variable, grad
from gradgpu.distributions import Categorical, Normal, kl_divergence
from gradgpu.nn.utils import clip_grad_norm_
from gradgpu.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from gradgpu.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, OneCycleLR, ReduceLROnPlateau, StepLR
from gradgpu.utils.data import DataLoader, Dataset, TensorDataset, random_split


@pytest.fixture(autouse=True)
def _seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


# ---- images ----
class Digits(Dataset):
    """Pictures of 'digits': each class is a place that is bright."""

    def __init__(self, n: int, transform: Any = None):
        self.labels = np.random.randint(0, 4, n)
        self.images = (np.random.rand(n, 12, 12) * 60).astype(np.uint8)
        for image, label in zip(self.images, self.labels):
            row, column = divmod(int(label), 2)
            image[6 * row : 6 * row + 6, 6 * column : 6 * column + 6] += 150
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple:
        image = self.images[index]
        return self.transform(image) if self.transform else image, int(self.labels[index])


def _to_tensor(image: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(image).unsqueeze(0).float().div(255)
    return x.sub_(0.3).div_(0.3)


class Net(nn.Module):
    def __init__(self):
        super(Net, self).__init__()  # noqa: UP008
        self.conv1 = nn.Conv2d(1, 8, 3, 1)
        self.conv2 = nn.Conv2d(8, 8, 3, 1)
        self.dropout1 = nn.Dropout2d(0.1)
        self.fc1 = nn.Linear(128, 16)
        self.fc2 = nn.Linear(16, 4)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = F.dropout(F.relu(self.fc1(x)), p=0.1, training=self.training)
        return F.log_softmax(self.fc2(x), dim=1)


def train(args, model, device, train_loader, optimizer, epoch, log):
    model.train()
    for batch_idx, (data, target) in enumerate(train_loader):
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        output = model(data)
        loss = F.nll_loss(output, target)
        loss.backward()
        optimizer.step()
        if batch_idx % args.log_interval == 0:
            log.append(
                "Train Epoch: {} [{}/{} ({:.0f}%)]\tLoss: {:.6f}".format(  # noqa: UP032
                    epoch,
                    batch_idx * len(data),
                    len(train_loader.dataset),
                    100.0 * batch_idx / len(train_loader),
                    loss.item(),
                )
            )


def test(model, device, test_loader):
    model.eval()
    test_loss, correct = 0, 0
    with torch.no_grad():
        for data, target in test_loader:
            data, target = data.to(device), target.to(device)
            output = model(data)
            test_loss += F.nll_loss(output, target, reduction="sum").item()
            pred = output.argmax(dim=1, keepdim=True)
            correct += pred.eq(target.view_as(pred)).sum().item()
    return test_loss / len(test_loader.dataset), 100.0 * correct / len(test_loader.dataset)


test.__test__ = False  # type: ignore[attr-defined]


def test_the_classic_training_loop(device: str) -> None:
    args = argparse.Namespace(epochs=2, log_interval=2, lr=0.1, gamma=0.7)
    device = torch.device(device)
    train_loader = DataLoader(Digits(96, _to_tensor), batch_size=12, shuffle=True, drop_last=True)
    test_loader = DataLoader(Digits(32, _to_tensor), batch_size=32)
    model = Net().to(device)
    optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    scheduler = StepLR(optimizer, step_size=1, gamma=args.gamma)
    before, _ = test(model, device, test_loader)
    log: list[str] = []
    for epoch in range(1, args.epochs + 1):
        train(args, model, device, train_loader, optimizer, epoch, log)
        after, accuracy = test(model, device, test_loader)
        scheduler.step()
    assert after < 0.7 * before and accuracy > 80
    assert log[1].startswith("Train Epoch: 1 [24/96 (25%)]\tLoss: ") and len(log) == 8
    assert scheduler.get_last_lr() == [pytest.approx(0.049)]


def test_a_residual_net_with_batch_norm(device: str) -> None:
    class BasicBlock(nn.Module):
        def __init__(self, in_planes: int, planes: int, stride: int = 1):
            super().__init__()
            self.conv1 = nn.Conv2d(in_planes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(planes)
            self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(planes)
            self.shortcut = nn.Sequential()
            if stride != 1 or in_planes != planes:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_planes, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes)
                )

        def forward(self, x):
            out = F.relu(self.bn1(self.conv1(x)), inplace=True)
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            return F.relu(out)

    net = nn.Sequential(
        OrderedDict(
            [
                ("block1", BasicBlock(1, 4)),
                ("block2", BasicBlock(4, 8, stride=2)),
                ("pool", nn.AdaptiveAvgPool2d((2, 2))),
                ("flat", nn.Flatten()),
                ("fc", nn.Linear(32, 4)),
            ]
        )
    ).to(device)
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, nn.BatchNorm2d):
            nn.init.constant_(m.weight, 1)
            nn.init.constant_(m.bias, 0)
    data = Digits(16)
    x = torch.tensor(data.images, dtype=torch.float32, device=device)[:, None] / 255
    y = torch.LongTensor(data.labels).to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    scheduler = CosineAnnealingLR(optimizer, T_max=10)
    losses = []
    for _ in range(10):
        outputs = net(x)
        loss = criterion(outputs, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    predicted = outputs.max(1)[1]
    assert losses[-1] < 0.6 * losses[0] and (predicted == y).float().mean().item() > 0.6
    assert net.block1.bn1.num_batches_tracked == 10 and scheduler.get_last_lr()[0] == pytest.approx(
        0, abs=1e-8
    )


# ---- generative models ----
def test_a_variational_autoencoder(device: str) -> None:
    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc21, self.fc22 = nn.Linear(16, 12), nn.Linear(12, 2), nn.Linear(12, 2)
            self.fc3, self.fc4 = nn.Linear(2, 12), nn.Linear(12, 16)

        def reparameterize(self, mu, logvar):
            std = torch.exp(0.5 * logvar)
            eps = torch.randn_like(std)
            return mu + eps * std

        def forward(self, x):
            h1 = F.relu(self.fc1(x.view(-1, 16)))
            mu, logvar = self.fc21(h1), self.fc22(h1)
            h3 = F.relu(self.fc3(self.reparameterize(mu, logvar)))
            return torch.sigmoid(self.fc4(h3)), mu, logvar

    def loss_function(recon_x, x, mu, logvar):
        BCE = F.binary_cross_entropy(recon_x, x.view(-1, 16), reduction="sum")
        KLD = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return BCE + KLD

    model = VAE().to(device)
    data = (
        torch.rand(64, 1, 4, 4, device=device) < torch.linspace(0.02, 0.98, 16, device=device).view(4, 4)
    ).float()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        recon, mu, logvar = model(data)
        loss = loss_function(recon, data, mu, logvar)
        loss.backward()
        losses.append(loss.item() / len(data))
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    posterior = Normal(mu, (0.5 * logvar).exp())
    kl = kl_divergence(posterior, Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum()
    torch.testing.assert_close(
        kl, -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp()), rtol=1e-3, atol=1e-3
    )


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        torch.nn.init.normal_(m.weight, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        m.weight.data.normal_(1.0, 0.02)
        m.bias.data.fill_(0)


def test_dcgan_with_two_optimisers(device: str) -> None:
    nz = 6
    netG = nn.Sequential(
        nn.ConvTranspose2d(nz, 8, 4, 1, 0, bias=False), nn.BatchNorm2d(8), nn.ReLU(True),
        nn.ConvTranspose2d(8, 1, 4, 2, 1, bias=False), nn.Tanh(),
    ).to(device)  # fmt: skip
    netD = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(8, 1, 4, 1, 0, bias=False), nn.Sigmoid(),
    ).to(device)  # fmt: skip
    netG.apply(weights_init), netD.apply(weights_init)
    criterion = nn.BCELoss()
    optimizerD = optim.Adam(netD.parameters(), lr=5e-3, betas=(0.5, 0.999))
    optimizerG = optim.Adam(netG.parameters(), lr=5e-4, betas=(0.5, 0.999))
    fixed_noise = torch.randn(4, nz, 1, 1, device=device)
    before = netG(fixed_noise).detach()
    real_cpu = torch.ones(8, 1, 8, 8) * 0.5
    history = []
    for _ in range(8):
        netD.zero_grad()
        label = torch.full((8,), 1, dtype=real_cpu.dtype, device=device)
        output = netD(real_cpu.to(device)).view(-1)
        errD_real = criterion(output, label)
        errD_real.backward()
        D_x = output.mean().item()
        noise = torch.randn(8, nz, 1, 1, device=device)
        fake = netG(noise)
        label.fill_(0)
        output = netD(fake.detach()).view(-1)
        errD_fake = criterion(output, label)
        errD_fake.backward()
        assert netG[0].weight.grad is None or not netG[0].weight.grad.any()
        optimizerD.step()
        netG.zero_grad()
        label.fill_(1)
        errG = criterion(netD(fake).view(-1), label)
        errG.backward()
        optimizerG.step()
        optimizerG.zero_grad()
        history.append((D_x, (errD_real + errD_fake).item(), errG.item()))
    assert (
        np.isfinite(history).all() and history[-1][1] < history[0][1]
    )  # the critic learns to tell them apart
    assert netG(fixed_noise).shape == (4, 1, 8, 8) and (netG(fixed_noise) - before).abs().max() > 1e-3


def test_wgan_with_a_gradient_penalty(device: str) -> None:
    discriminator = nn.Sequential(
        nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)
    )
    discriminator.to(device)

    def compute_gradient_penalty(D, real_samples, fake_samples):
        alpha = torch.tensor(np.random.random((real_samples.size(0), 1)), dtype=torch.float32, device=device)
        interpolates = (alpha * real_samples + ((1 - alpha) * fake_samples)).requires_grad_(True)
        d_interpolates = D(interpolates)
        fake = Variable(torch.ones(real_samples.shape[0], 1, device=device), requires_grad=False)
        gradients = grad(
            outputs=d_interpolates,
            inputs=interpolates,
            grad_outputs=fake,
            create_graph=True,
            retain_graph=True,
            only_inputs=True,
        )[0]
        gradients = gradients.view(gradients.size(0), -1)
        return ((gradients.norm(2, dim=1) - 1) ** 2).mean()

    optimizer = optim.Adam(discriminator.parameters(), lr=1e-2, betas=(0.5, 0.9))
    real = torch.randn(32, 2, device=device) + 2
    for _ in range(50):
        fake = torch.randn(32, 2, device=device) - 2
        optimizer.zero_grad()
        penalty = compute_gradient_penalty(discriminator, real.data, fake.data)
        d_loss = -torch.mean(discriminator(real)) + torch.mean(discriminator(fake)) + 10 * penalty
        d_loss.backward()
        optimizer.step()
    assert (
        d_loss.item() < -1.5 and penalty.item() < 0.2
    )  # a slope of about one over the distance between the clouds


def test_denoising_diffusion(device: str) -> None:
    T = 10
    betas = torch.linspace(1e-2, 0.3, T, device=device)
    alphas_cumprod = torch.cumprod(1.0 - betas, dim=0)
    alphas_cumprod_prev = F.pad(alphas_cumprod[:-1], (1, 0), value=1.0)

    def extract(a, t, x_shape):
        return a.gather(-1, t).reshape(t.shape[0], *((1,) * (len(x_shape) - 1)))

    class Denoiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2 + 8, 32), nn.SiLU(), nn.Linear(32, 2))

        def forward(self, x, t):
            frequencies = torch.exp(torch.arange(4, device=t.device) * -(math.log(100) / 3))
            args = t[:, None].float() * frequencies[None]
            return self.net(torch.cat((x, torch.cat([args.sin(), args.cos()], dim=-1)), dim=-1))

    model = Denoiser().to(device)
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    x_start = torch.tensor([[1.0, -1.0]], device=device).repeat(64, 1)
    losses = []
    for _ in range(40):
        t = torch.randint(0, T, (64,), device=device).long()
        noise = torch.randn_like(x_start)
        x_t = (
            extract(alphas_cumprod.sqrt(), t, x_start.shape) * x_start
            + extract((1 - alphas_cumprod).sqrt(), t, x_start.shape) * noise
        )
        loss = F.mse_loss(model(x_t, t), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        with torch.no_grad():
            for old, new in zip(ema.parameters(), model.parameters()):
                old.mul_(0.8).add_(new.data, alpha=0.2)
    assert np.mean(losses[-5:]) < 0.7 * losses[0]

    @torch.no_grad()
    def sample(n: int):
        x = torch.randn((n, 2), device=device)
        for i in reversed(range(T)):
            t = torch.full((n,), i, device=device, dtype=torch.long)
            abar, before = alphas_cumprod[i], alphas_cumprod_prev[i]
            x0 = (x - (1 - abar).sqrt() * ema(x, t)) / abar.sqrt()
            x = before.sqrt() * x0.clamp(-2, 2) + (1 - before).sqrt() * (torch.randn_like(x) if i > 0 else 0)
        return x

    drawn = sample(16).mean(0)
    assert drawn[0] > 0.3 and drawn[1] < -0.3


# ---- sequences ----
class CausalSelfAttention(nn.Module):
    def __init__(self, n_embd: int, n_head: int, block_size: int):
        super().__init__()
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)
        self.register_buffer(
            "bias", torch.tril(torch.ones(block_size, block_size)).view(1, 1, block_size, block_size)
        )
        self.n_head, self.n_embd = n_head, n_embd

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
        att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
        y = F.softmax(att, dim=-1) @ v
        return self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))


class GPT(nn.Module):
    def __init__(self, vocab_size: int, block_size: int, n_embd: int = 16):
        super().__init__()
        self.block_size = block_size
        self.transformer = nn.ModuleDict(
            dict(
                wte=nn.Embedding(vocab_size, n_embd),
                wpe=nn.Embedding(block_size, n_embd),
                h=nn.ModuleList(
                    [
                        nn.ModuleDict(
                            dict(
                                ln_1=nn.LayerNorm(n_embd),
                                attn=CausalSelfAttention(n_embd, 2, block_size),
                                ln_2=nn.LayerNorm(n_embd),
                                mlp=nn.Sequential(
                                    nn.Linear(n_embd, 4 * n_embd),
                                    nn.GELU(approximate="tanh"),
                                    nn.Linear(4 * n_embd, n_embd),
                                ),
                            )
                        )
                    ]
                ),
                ln_f=nn.LayerNorm(n_embd),
            )
        )
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight  # tied
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.08)
        if isinstance(module, nn.Linear) and module.bias is not None:
            torch.nn.init.zeros_(module.bias)

    def configure_optimizers(self, lr: float):
        params = {name: p for name, p in self.named_parameters() if p.requires_grad}
        decay = [p for p in params.values() if p.dim() >= 2]
        rest = [p for p in params.values() if p.dim() < 2]
        return torch.optim.AdamW(
            [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
            lr=lr,
            betas=(0.9, 0.95),
        )

    def forward(self, idx, targets=None):
        t = idx.shape[1]
        assert t <= self.block_size, f"Cannot forward sequence of length {t}"
        pos = torch.arange(0, t, dtype=torch.long, device=idx.device).unsqueeze(0)
        x = self.transformer.wte(idx) + self.transformer.wpe(pos)
        for block in self.transformer.h:
            x = x + block.attn(block.ln_1(x))
            x = x + block.mlp(block.ln_2(x))
        logits = self.lm_head(self.transformer.ln_f(x))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
        return logits, loss

    @torch.no_grad()
    def generate(self, idx, max_new_tokens: int, temperature: float = 1.0, top_k: int | None = None):
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -self.block_size :])
            logits = logits[:, -1, :] / temperature
            if top_k is not None:
                v, _ = torch.topk(logits, top_k)
                logits[logits < v[:, [-1]]] = -float("Inf")
            idx = torch.cat((idx, torch.multinomial(F.softmax(logits, dim=-1), num_samples=1)), dim=1)
        return idx


def test_a_gpt_learns_a_text_and_goes_on_with_it(device: str) -> None:
    text = "abac" * 18
    stoi = {c: i for i, c in enumerate(sorted(set(text)))}
    data = torch.tensor([stoi[c] for c in text], dtype=torch.long)
    model = GPT(len(stoi), 8).to(device)
    assert (
        len(list(model.parameters())) == len(list(model.state_dict())) - 2
    )  # the mask is no parameter, the tied one counts once
    optimizer = model.configure_optimizers(2e-2)
    warm_up = LambdaLR(optimizer, lambda it: min(1.0, (it + 1) / 5))
    losses = []
    for _ in range(45):
        ix = torch.randint(len(data) - 8, (8,))
        x = torch.stack([data[i : i + 8] for i in ix]).to(device)
        y = torch.stack([data[i + 1 : i + 9] for i in ix]).to(device)
        _, loss = model(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        warm_up.step()
        losses.append(loss.item())
    assert abs(losses[0] - math.log(3)) < 0.5 and losses[-1] < 0.5
    model.eval()
    made = model.generate(
        torch.tensor([[stoi[c] for c in "abac"]], device=device), 6, temperature=0.1, top_k=2
    )
    assert "".join(sorted(stoi)[i] for i in made[0].tolist()) == "abacabacab"


def test_translation_with_attention(device: str) -> None:
    """A GRU that reads and one that writes, word by word, with teacher forcing (the task: turn a sequence round)."""
    SOS, EOS, words = 0, 1, 6

    class EncoderRNN(nn.Module):
        def __init__(self, hidden_size: int):
            super().__init__()
            self.hidden_size = hidden_size
            self.embedding = nn.Embedding(words, hidden_size)
            self.gru = nn.GRU(hidden_size, hidden_size)

        def forward(self, input, hidden):
            return self.gru(self.embedding(input).view(1, 1, -1), hidden)

        def initHidden(self):
            return torch.zeros(1, 1, self.hidden_size, device=device)

    class AttnDecoderRNN(nn.Module):
        def __init__(self, hidden_size: int, max_length: int):
            super().__init__()
            self.embedding = nn.Embedding(words, hidden_size)
            self.attn = nn.Linear(hidden_size * 2, max_length)
            self.attn_combine = nn.Linear(hidden_size * 2, hidden_size)
            self.gru = nn.GRU(hidden_size, hidden_size)
            self.out = nn.Linear(hidden_size, words)

        def forward(self, input, hidden, encoder_outputs):
            embedded = self.embedding(input).view(1, 1, -1)
            attn_weights = F.softmax(self.attn(torch.cat((embedded[0], hidden[0]), 1)), dim=1)
            attn_applied = torch.bmm(attn_weights.unsqueeze(0), encoder_outputs.unsqueeze(0))
            output = self.attn_combine(torch.cat((embedded[0], attn_applied[0]), 1)).unsqueeze(0)
            output, hidden = self.gru(F.relu(output), hidden)
            return F.log_softmax(self.out(output[0]), dim=1), hidden, attn_weights

    encoder, decoder = EncoderRNN(12).to(device), AttnDecoderRNN(12, 4).to(device)
    optimizers = [optim.Adam(encoder.parameters(), lr=0.02), optim.Adam(decoder.parameters(), lr=0.02)]
    criterion = nn.NLLLoss()
    pairs = [([2, 3, EOS], [3, 2, EOS]), ([4, 5, EOS], [5, 4, EOS])]
    losses = []
    for epoch in range(24):
        source, target = (
            torch.tensor(s, dtype=torch.long, device=device).view(-1, 1) for s in pairs[epoch % 2]
        )
        for o in optimizers:
            o.zero_grad()
        hidden, loss = encoder.initHidden(), 0
        encoder_outputs = torch.zeros(4, encoder.hidden_size, device=device)
        for ei in range(source.size(0)):
            encoder_output, hidden = encoder(source[ei], hidden)
            encoder_outputs[ei] = encoder_output[0, 0]
        decoder_input = torch.tensor([[SOS]], device=device)
        teacher_forcing = random.random() < 0.8
        for di in range(target.size(0)):
            output, hidden, _ = decoder(decoder_input, hidden, encoder_outputs)
            loss += criterion(output, target[di])
            if teacher_forcing:
                decoder_input = target[di]
            else:
                _, topi = output.topk(1)
                decoder_input = topi.squeeze().detach()
                if decoder_input.item() == EOS:
                    break
        loss.backward()
        for o in optimizers:
            o.step()
        losses.append(loss.item() / (di + 1))
    assert np.mean(losses[-4:]) < 0.6 * np.mean(losses[:2])


def test_names_of_different_lengths_packed(device: str) -> None:
    class RNNClassifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(8, 6, padding_idx=0)
            self.lstm = nn.LSTM(6, 8, num_layers=2, batch_first=True, bidirectional=True, dropout=0.1)
            self.fc = nn.Linear(16, 2)

        def forward(self, text, lengths):
            packed = pack_padded_sequence(
                self.embedding(text), lengths.cpu(), batch_first=True, enforce_sorted=False
            )
            packed_output, (hidden, _) = self.lstm(packed)
            output, output_lengths = pad_packed_sequence(packed_output, batch_first=True)
            assert output.shape[:2] == (len(lengths), int(lengths.max())) and torch.equal(
                output_lengths, lengths
            )
            return self.fc(torch.cat((hidden[-2], hidden[-1]), dim=1))

    def collate(batch):
        texts, labels = zip(*batch)
        return (
            pad_sequence(list(texts), batch_first=True),
            torch.tensor([len(t) for t in texts]),
            torch.tensor(labels),
        )

    names = [(torch.randint(1, 5, (n,)) + 3 * (n % 2), n % 2) for n in (2, 3, 4, 5, 2, 5, 4, 3)]
    loader = DataLoader(names, batch_size=4, shuffle=True, collate_fn=collate)
    model = RNNClassifier().to(device)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
    losses = []
    for _ in range(8):
        total = 0.0
        for text, lengths, labels in loader:
            loss = F.cross_entropy(model(text.to(device), lengths), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        losses.append(total)
    assert losses[-1] < 0.6 * losses[0]
    assert not model.embedding.weight[0].any()  # the padding learns nothing


def test_a_language_model_with_hidden_state_carried_over(device: str) -> None:
    def batchify(data, bsz):
        nbatch = data.size(0) // bsz
        return data.narrow(0, 0, nbatch * bsz).view(bsz, -1).t().contiguous().to(device)

    def repackage_hidden(h):
        return h.detach() if isinstance(h, torch.Tensor) else tuple(repackage_hidden(v) for v in h)

    class RNNModel(nn.Module):
        def __init__(self, ntoken: int, nhid: int):
            super().__init__()
            self.drop = nn.Dropout(0.1)
            self.encoder = nn.Embedding(ntoken, nhid)
            self.rnn = nn.LSTM(nhid, nhid)
            self.decoder = nn.Linear(nhid, ntoken)
            self.decoder.weight = self.encoder.weight
            nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

        def init_hidden(self, bsz: int):
            weight = next(self.parameters())
            return (
                weight.new_zeros(1, bsz, self.rnn.hidden_size),
                weight.new_zeros(1, bsz, self.rnn.hidden_size),
            )

        def forward(self, input, hidden):
            output, hidden = self.rnn(self.drop(self.encoder(input)), hidden)
            return F.log_softmax(
                self.decoder(self.drop(output)).view(-1, self.encoder.num_embeddings), dim=1
            ), hidden

    data = batchify(torch.arange(5).repeat(40), 4)
    model = RNNModel(5, 16).to(device)
    lr, perplexities = 5.0, []
    for _ in range(4):
        hidden, total = model.init_hidden(4), 0.0
        for i in range(0, data.size(0) - 1, 10):
            seq_len = min(10, len(data) - 1 - i)
            inputs, targets = data[i : i + seq_len], data[i + 1 : i + 1 + seq_len].view(-1)
            model.zero_grad()
            hidden = repackage_hidden(hidden)
            output, hidden = model(inputs, hidden)
            loss = F.nll_loss(output, targets)
            loss.backward()
            clip_grad_norm_(model.parameters(), 0.25)
            for p in model.parameters():
                p.data.add_(p.grad, alpha=-lr)
            total += seq_len * loss.item()
        perplexities.append(math.exp(total / (len(data) - 1)))
    assert perplexities[-1] < 0.7 * perplexities[0] < 0.7 * 5.5


# ---- reinforcement learning ----
class Corridor:
    """Walk to the right end for a reward of 1; the left one costs 1, and each step 0.1."""

    def reset(self):
        self.place, self.steps = 1, 0
        return self._state()

    def step(self, action: int):
        self.place, self.steps = self.place + (1 if action == 1 else -1), self.steps + 1
        done = self.place in (0, 4) or self.steps >= 12
        return self._state(), {0: -1.0, 4: 1.0}.get(self.place, -0.1), done, {}

    def _state(self):
        return np.eye(5)[self.place]


def test_reinforce_and_actor_critic(device: str) -> None:
    SavedAction = namedtuple("SavedAction", ["log_prob", "value"])

    class Policy(nn.Module):
        def __init__(self):
            super().__init__()
            self.affine1 = nn.Linear(5, 16)
            self.action_head, self.value_head = nn.Linear(16, 2), nn.Linear(16, 1)
            self.saved_actions: list[Any] = []
            self.rewards: list[float] = []

        def forward(self, x):
            x = F.relu(self.affine1(x))
            return F.softmax(self.action_head(x), dim=-1), self.value_head(x)

    model = Policy().to(device)
    optimizer = optim.Adam(model.parameters(), lr=2e-2)
    env, ends = Corridor(), []
    for _ in range(40):
        state = env.reset()
        for _t in count(1):
            probs, state_value = model(torch.from_numpy(state).float().to(device))
            m = Categorical(probs)
            action = m.sample()
            model.saved_actions.append(SavedAction(m.log_prob(action), state_value))
            state, reward, done, _ = env.step(action.item())
            model.rewards.append(reward)
            if done:
                break
        R, returns, policy_losses, value_losses = 0, [], [], []
        for r in model.rewards[::-1]:
            R = r + 0.99 * R
            returns.insert(0, R)
        returns = torch.tensor(returns, device=device)
        for (log_prob, value), R in zip(model.saved_actions, returns):
            advantage = R - value.item()
            policy_losses.append(-log_prob * advantage)
            value_losses.append(F.smooth_l1_loss(value, torch.tensor([R], device=device)))
        optimizer.zero_grad()
        loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum() - 0.01 * m.entropy()
        loss.backward()
        optimizer.step()
        ends.append(sum(model.rewards))
        del model.saved_actions[:], model.rewards[:]
    with torch.no_grad():
        probs, _ = model(torch.eye(5, device=device))
    assert np.isfinite(ends).all() and probs[1:4, 1].min() > 0.6  # to the right


def test_deep_q_learning_with_a_replay_buffer(device: str) -> None:
    Transition = namedtuple("Transition", ("state", "action", "next_state", "reward"))

    class ReplayMemory:
        def __init__(self, capacity: int):
            self.memory: deque = deque(maxlen=capacity)

        def push(self, *args):
            self.memory.append(Transition(*args))

        def sample(self, batch_size: int):
            return random.sample(self.memory, batch_size)

    policy_net = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 2)).to(device)
    target_net = copy.deepcopy(policy_net)
    target_net.load_state_dict(policy_net.state_dict())
    optimizer = optim.AdamW(policy_net.parameters(), lr=1e-2, amsgrad=True)
    memory, env = ReplayMemory(200), Corridor()
    while len(memory.memory) < 100:
        state = torch.tensor(env.reset(), dtype=torch.float32, device=device).unsqueeze(0)
        done = False
        while not done:
            action = torch.tensor([[random.randrange(2)]], device=device, dtype=torch.long)
            observation, reward, done, _ = env.step(action.item())
            next_state = (
                None if done else torch.tensor(observation, dtype=torch.float32, device=device).unsqueeze(0)
            )
            memory.push(state, action, next_state, torch.tensor([reward], device=device))
            state = next_state
    losses = []
    for _ in range(40):
        batch = Transition(*zip(*memory.sample(32)))
        non_final_mask = torch.tensor(
            tuple(s is not None for s in batch.next_state), device=device, dtype=torch.bool
        )
        non_final_next_states = torch.cat([s for s in batch.next_state if s is not None])
        state_action_values = policy_net(torch.cat(batch.state)).gather(1, torch.cat(batch.action))
        next_state_values = torch.zeros(32, device=device)
        with torch.no_grad():
            next_state_values[non_final_mask] = target_net(non_final_next_states).max(1).values
        expected = next_state_values * 0.9 + torch.cat(batch.reward)
        loss = nn.SmoothL1Loss()(state_action_values, expected.unsqueeze(1))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_value_(policy_net.parameters(), 100)
        optimizer.step()
        losses.append(loss.item())
        for target, source in zip(target_net.parameters(), policy_net.parameters()):
            target.data.copy_(0.2 * source.data + (1 - 0.2) * target.data)
    assert losses[-1] < losses[0]
    with torch.no_grad():
        assert policy_net(torch.eye(5, device=device)[1:4]).max(1)[1].tolist() == [1, 1, 1]


# ---- gradients as the subject ----
def test_a_physics_informed_net(device: str) -> None:
    """u' = -u with u(0) = 1 from the equation alone: Adam, then L-BFGS."""
    net = nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 1)).to(
        device
    )
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_normal_(layer.weight)
    t = torch.linspace(0, 1, 20, device=device).reshape(-1, 1).requires_grad_(True)
    zero = torch.zeros(1, 1, device=device)

    def loss_fn():
        u = net(t)
        u_t = torch.autograd.grad(
            u, t, grad_outputs=torch.ones_like(u), retain_graph=True, create_graph=True
        )[0]
        return torch.mean((u_t + u) ** 2) + ((net(zero) - 1) ** 2).squeeze()

    adam = torch.optim.Adam(net.parameters(), lr=2e-2)
    first = loss_fn().item()
    for _ in range(20):
        adam.zero_grad()
        loss = loss_fn()
        loss.backward()
        adam.step()
    lbfgs = torch.optim.LBFGS(net.parameters(), max_iter=25, history_size=10, line_search_fn="strong_wolfe")

    def closure():
        lbfgs.zero_grad()
        loss = loss_fn()
        loss.backward()
        return loss

    lbfgs.step(closure)
    assert loss_fn().item() < 1e-2 * first
    assert abs(net(torch.ones(1, 1, device=device)).item() - math.exp(-1)) < 0.05


def test_meta_learning_with_gradients_through_steps(device: str) -> None:
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1)).to(device)
    meta_optim = optim.Adam(net.parameters(), lr=1e-2)
    x = torch.linspace(-2, 2, 10, device=device)[:, None]

    def adapted(amplitude: float, create_graph: bool = True):
        weights = OrderedDict(net.named_parameters())
        for _ in range(2):
            loss = F.mse_loss(torch.func.functional_call(net, weights, (x,)), amplitude * x)
            grads = torch.autograd.grad(loss, weights.values(), create_graph=create_graph)
            weights = OrderedDict((name, p - 0.1 * g) for (name, p), g in zip(weights.items(), grads))
        return F.mse_loss(torch.func.functional_call(net, weights, x), amplitude * x)

    def meta_test():
        return sum(adapted(a).item() for a in (-1.0, 0.5, 1.0))

    before = meta_test()
    for _ in range(12):
        meta_optim.zero_grad()
        losses = [adapted(amplitude) for amplitude in (-1.0, 1.0)]
        torch.stack(losses).mean().backward()
        meta_optim.step()
    assert meta_test() < 0.7 * before


def test_a_function_of_its_own_and_a_straight_through_estimator(device: str) -> None:
    class MyReLU(torch.autograd.Function):
        @staticmethod
        def forward(ctx, input):
            ctx.save_for_backward(input)
            return input.clamp(min=0)

        @staticmethod
        def backward(ctx, grad_output):
            (input,) = ctx.saved_tensors
            grad_input = grad_output.clone()
            grad_input[input < 0] = 0
            return grad_input

    codebook = nn.Embedding(4, 2).to(device)
    w1 = torch.randn(3, 2, device=device, requires_grad=True)
    x = torch.randn(20, 3, device=device)
    losses = []
    for _ in range(25):
        z = MyReLU.apply(x.mm(w1))
        distances = (
            z.pow(2).sum(1, keepdim=True)
            + codebook.weight.pow(2).sum(1)
            - 2 * torch.matmul(z, codebook.weight.t())
        )
        nearest = torch.argmin(distances, dim=1)
        quantized = codebook(nearest)
        commitment = F.mse_loss(z, quantized.detach()) + F.mse_loss(quantized, z.detach())
        quantized = z + (quantized - z).detach()
        loss = (quantized - x[:, :2].relu()).pow(2).mean() + 0.5 * commitment
        loss.backward()
        with torch.no_grad():
            w1 -= 0.1 * w1.grad
            codebook.weight -= 0.5 * codebook.weight.grad
            w1.grad.zero_()
            codebook.weight.grad = None
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


# ---- how runs are managed ----
def test_stop_save_and_go_on(device: str, tmp_path: Path) -> None:
    inputs, targets = torch.randn(40, 3), torch.randn(40, 1)
    train_set, valid_set = random_split(
        TensorDataset(inputs, targets), [32, 8], generator=torch.Generator().manual_seed(1)
    )
    valid_x, valid_y = (t.to(device) for t in valid_set[:])

    def make():
        torch.manual_seed(5)
        model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)).to(device)
        optimizer = optim.SGD(
            [{"params": model[0].parameters(), "lr": 0.01}, {"params": model[1:].parameters()}],
            lr=0.05,
            momentum=0.9,
        )
        return model, optimizer, OneCycleLR(optimizer, max_lr=[0.02, 0.1], total_steps=24)

    def epochs(model, optimizer, scheduler, numbers):
        for epoch in numbers:
            torch.manual_seed(epoch)  # the order of the batches
            model.train()
            for x, y in DataLoader(train_set, batch_size=8, shuffle=True):
                optimizer.zero_grad()
                F.mse_loss(model(x.to(device)), y.to(device)).backward()
                optimizer.step()
                scheduler.step()
        model.eval()
        with torch.inference_mode():
            return F.mse_loss(model(valid_x), valid_y).item()

    whole = epochs(*make(), range(6))
    model, optimizer, scheduler = make()
    epochs(model, optimizer, scheduler, range(3))
    path = tmp_path / "checkpoint.pth.tar"
    torch.save(
        {
            "epoch": 3,
            "state_dict": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "best": float("inf"),
        },
        path,
    )
    model, optimizer, scheduler = make()
    checkpoint = torch.load(path, map_location=device)
    model.load_state_dict(checkpoint["state_dict"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    assert epochs(model, optimizer, scheduler, range(checkpoint["epoch"], 6)) == pytest.approx(
        whole, rel=1e-5
    )


def test_early_stopping_on_a_plateau(device: str) -> None:
    x = torch.randn(32, 4, device=device)
    y = x @ torch.tensor([1.0, -2.0, 0.5, 0.0], device=device) + 0.1 * torch.randn(32, device=device)
    model = nn.Linear(4, 1).to(device)
    optimizer = optim.SGD(model.parameters(), lr=0.6)
    scheduler = ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=1)
    best, best_state, waited = float("inf"), None, 0
    for epoch in range(60):  # noqa: B007
        loss = F.mse_loss(model(x).squeeze(-1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step(loss)
        if loss < best - 1e-4:
            best, waited = loss.item(), 0
            best_state = copy.deepcopy(model.state_dict())
        else:
            waited += 1
            if waited == 5:
                break
    assert epoch < 59 and best < 0.05
    model.load_state_dict(best_state)
    assert F.mse_loss(model(x).squeeze(-1), y).item() <= best


def test_transfer_to_a_new_head_with_a_hook(device: str) -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).to(device)
    for param in net.parameters():
        param.requires_grad = False
    net[2] = nn.Linear(net[2].in_features, 2).to(device)
    activation: dict[str, torch.Tensor] = {}
    handle = net[1].register_forward_hook(
        lambda model, input, output: activation.__setitem__("relu", output.detach())
    )
    frozen = net[0].weight.clone()
    x, y = torch.randn(16, 4, device=device), torch.randint(0, 2, (16,), device=device)
    optimizer = optim.Adam(filter(lambda p: p.requires_grad, net.parameters()), lr=0.05)
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(net(x), y)
        loss.backward()
        optimizer.step()
    handle.remove()
    assert loss.item() < math.log(2) and torch.equal(net[0].weight, frozen) and net[0].weight.grad is None
    assert activation["relu"].shape == (16, 8) and activation["relu"].min() >= 0
    trainable = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert f"{trainable:,} of {sum(p.numel() for p in net.parameters()):,}" == "18 of 58"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision_with_accumulated_gradients(device: str, dtype: str) -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 1)).to(device)
    averaged = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.8)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    scaler = torch.amp.GradScaler(device, enabled=dtype == "float16")
    x = torch.randn(32, 8, device=device)
    y = x[:, :1].sin()
    losses = []
    for step in range(24):
        part = slice(16 * (step % 2), 16 * (step % 2) + 16)
        with torch.autocast(device_type=device, dtype=getattr(torch, dtype)):
            out = model(x[part])
            loss = F.mse_loss(out, y[part]) / 2
        assert out.dtype is getattr(torch, dtype) and loss.dtype is torch.float32
        scaler.scale(loss).backward()
        if step % 2:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=5.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            averaged.update_parameters(model)
        losses.append(loss.item())
    assert sum(losses[-2:]) < 0.6 * sum(losses[:2])
    assert F.mse_loss(averaged(x), y) < F.mse_loss(torch.zeros_like(y), y)
