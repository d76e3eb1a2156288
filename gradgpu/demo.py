"""The demonstration: an MLP and a small CNN learn handwritten digits, on the CPU or on a GPU.

    python -m gradgpu.demo --device cuda

Nothing here is special: it is the training loop that any net has. The data are scikit-learn's 1797
digits of 8 × 8 pixels; they come with the package, so nothing is downloaded.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import gradgpu as gg
from gradgpu import nn
from gradgpu.datasets import load_digits
from gradgpu.nn import functional as F
from gradgpu.utils.data import DataLoader, TensorDataset, random_split


def need(module: str, package: str) -> Any:
    """Import a module of the extra ``demo``; says what to install where it is missing."""
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SystemExit(
            f"The demo needs {package}, which is not installed ({error}).\nInstall the extra: pip install 'gradgpu[demo]'"
        ) from None


def choose_device(name: str) -> gg.device:
    """The device that was asked for, with a reason where it is not there; 'auto' takes a GPU if there is one."""
    if name == "auto":
        name = "cuda" if gg.cuda.is_available() else "cpu"
        print(f"device: auto → {name}" + ("" if name == "cuda" else " (no CUDA device found)"))
        return gg.device(name)
    if name.startswith("cuda") and not gg.cuda.is_available():
        raise SystemExit(
            "The demo was asked to run on 'cuda', but no CUDA device is available.\n"
            "It needs an NVIDIA GPU with a driver, and CuPy: pip install 'gradgpu[cuda12]'. Or use --device cpu."
        )
    print(f"device: {name}")
    return gg.device(name)


def digits() -> TensorDataset:
    """(images (1797, 1, 8, 8) in [0, 1], classes) of scikit-learn's digits."""
    need("sklearn.datasets", "scikit-learn")
    return TensorDataset(*load_digits())


def mlp() -> nn.Module:
    """Two hidden layers on the 64 pixels."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def cnn() -> nn.Module:
    """Two convolutions, one pooling, two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


NETS = {"MLP": mlp, "CNN": cnn}


def predict(net: nn.Module, images: gg.Tensor) -> gg.Tensor:
    """The logits of some images, without dropout and without recording."""
    net.eval()
    with gg.no_grad():
        return net(images)


def accuracy(net: nn.Module, images: gg.Tensor, classes: gg.Tensor) -> float:
    """The fraction of images that the net classifies correctly."""
    return float((predict(net, images).argmax(1) == classes).sum().item()) / len(classes)


def train(
    name: str,
    train_set: Any,
    test: tuple[gg.Tensor, gg.Tensor],
    device: gg.device,
    arguments: argparse.Namespace,
) -> tuple[nn.Module, dict[str, list[float]]]:
    """Train one net; returns it and its history: loss (one a step), accuracy (one an epoch), ms (one a step)."""
    gg.manual_seed(arguments.seed)
    net = NETS[name]().to(device)
    optimizer = gg.optim.Adam(net.parameters(), lr=arguments.lr)
    loader = DataLoader(train_set, batch_size=arguments.batch_size, shuffle=True)
    history: dict[str, list[float]] = {"loss": [], "accuracy": [], "ms": []}
    total = arguments.steps or arguments.epochs * len(loader)
    schedule = gg.optim.lr_scheduler.OneCycleLR(optimizer, arguments.lr, total_steps=total)
    bar = need("tqdm", "tqdm").tqdm(
        total=total, desc=name, unit="step", disable=None if sys.stderr.isatty() else True
    )
    while len(history["loss"]) < total:
        net.train()
        for images, classes in loader:
            start = time.perf_counter()
            loss = F.cross_entropy(net(images.to(device)), classes.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            history["loss"].append(loss.item())  # waits for the device, so the time is honest
            history["ms"].append((time.perf_counter() - start) * 1e3)
            bar.update()
            if arguments.steps:
                bar.write(f"{name} step {len(history['loss'])}: loss {history['loss'][-1]:.6f}")
            if len(history["loss"]) == total:
                break
        history["accuracy"].append(accuracy(net, *test))
        bar.set_postfix(loss=f"{history['loss'][-1]:.3f}", test=f"{history['accuracy'][-1]:.1%}")
    bar.close()
    ms = sorted(history["ms"])[len(history["ms"]) // 2]
    print(
        f"{name}: test accuracy {history['accuracy'][-1]:.2%}, {ms:.2f} ms per step (median of {total}), on {device}"
    )
    return net, history


def compare_devices(name: str, net: nn.Module, images: gg.Tensor) -> None:
    """Move the net to the other device, if there is one, and compare its predictions there."""
    here = images.device
    if not gg.cuda.is_available():
        print(f"{name}: no CUDA device here, so the net stays on the CPU")
        return
    other = gg.device("cpu" if here.type == "cuda" else "cuda")
    before = predict(net, images).cpu()
    after = predict(net.to(other), images.to(other)).cpu()
    net.to(here)
    same = int((before.argmax(1) == after.argmax(1)).sum().item())
    difference = float((before - after).abs().max().item())
    print(
        f"{name}: moved to {other}: {same} of {len(before)} predictions are the same, logits differ by at most {difference:.1e}"
    )


def picture(
    path: Path,
    histories: dict[str, dict[str, list[float]]],
    net: nn.Module,
    test: tuple[gg.Tensor, gg.Tensor],
) -> None:
    """Save loss and accuracy over time and some classified digits."""
    need("matplotlib", "matplotlib").use("Agg")
    import matplotlib.pyplot as plt

    columns = 8
    figure = plt.figure(figsize=(10, 6.5), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.2, 1))
    left, right = top.subplots(1, 2)
    for name, history in histories.items():
        left.plot(history["loss"], label=name, linewidth=1)
        right.plot(range(1, len(history["accuracy"]) + 1), history["accuracy"], label=name)
    left.set(title="training loss", xlabel="step", yscale="log")
    right.set(title="test accuracy", xlabel="epoch")
    right.xaxis.get_major_locator().set_params(integer=True)
    left.legend(), right.legend()
    images, classes = test
    guesses = predict(net, images[: 2 * columns]).argmax(1).tolist()
    bottom.suptitle("what the CNN says")
    for i, axes in enumerate(bottom.subplots(2, columns).flat):
        axes.imshow(images[i, 0].cpu().numpy(), cmap="gray_r")
        right_answer = int(classes[i].item())
        axes.set_title(
            str(guesses[i]), color="tab:green" if guesses[i] == right_answer else "tab:red", fontsize=10
        )
        axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=96)
    plt.close(figure)
    print(f"picture: {path}")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m gradgpu.demo", description="Train an MLP and a small CNN on handwritten digits."
    )
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, … or auto (a GPU if there is one)"
    )
    parser.add_argument("--epochs", type=int, default=12, help="passes over the data (12)")
    parser.add_argument(
        "--steps", type=int, default=0, help="train only so many steps, and print the loss of each"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images a step (64)")
    parser.add_argument("--lr", type=float, default=5e-3, help="highest learning rate of Adam (0.005)")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and dropout (0)")
    parser.add_argument(
        "--out", type=Path, default=Path("demo.png"), help="where the picture goes (demo.png)"
    )
    found = parser.parse_args(arguments)
    for option in ("epochs", "batch_size"):
        if getattr(found, option) < 1:
            parser.error(f"--{option.replace('_', '-')} must be at least 1")
    if found.steps < 0:
        parser.error("--steps must be at least 1, or 0 for whole epochs")
    return found


def main(arguments: list[str] | None = None) -> dict[str, dict[str, list[float]]]:
    """Run the demo; returns the history of each net."""
    options = parse(arguments)
    device = choose_device(options.device)
    for module, package in (("sklearn", "scikit-learn"), ("matplotlib", "matplotlib"), ("tqdm", "tqdm")):
        need(module, package)
    data = digits()
    gg.manual_seed(options.seed)
    train_set, test_set = random_split(data, [0.8, 0.2])
    rows = gg.asarray(test_set.indices)
    test = (data.tensors[0][rows].to(device), data.tensors[1][rows].to(device))
    print(f"data: {len(train_set)} digits to train on, {len(test_set)} to test")
    histories = {}
    for name in NETS:
        net, histories[name] = train(name, train_set, test, device, options)
        compare_devices(name, net, test[0])
    picture(options.out, histories, net, test)
    return histories


if __name__ == "__main__":
    main()
