"""Logs for TensorBoard: what is a tensor arrives as numbers."""

import struct
from pathlib import Path

import pytest
from tensorboardX.proto import event_pb2, graph_pb2

import gradgpu as gg
from gradgpu import nn
from gradgpu.utils.tensorboard import SummaryWriter


def events(folder: Path) -> list:
    """The records of the log files: length, checksum, bytes, checksum."""
    found = []
    for path in folder.glob("events*"):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            found.append(event_pb2.Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
    return found


def test_tensors_are_logged(tmp_path: Path, device: str) -> None:
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_scalar("loss", gg.tensor(0.5, device=device, requires_grad=True), 3)
        writer.add_scalars("both", {"train": gg.tensor(1.5, device=device)}, 4)
        writer.add_histogram("weights", gg.arange(10.0, device=device), 5)
    values = [(e.step, v) for e in events(tmp_path) for v in e.summary.value]
    assert [(step, v.tag, v.simple_value) for step, v in values if v.tag == "loss"] == [(3, "loss", 0.5)]
    (histogram,) = [v.histo for _, v in values if v.tag == "weights"]
    assert (histogram.num, histogram.sum, histogram.max) == (10, 45, 9)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, x: gg.Tensor, n: gg.Tensor) -> tuple:
        first, second = gg.relu(self.inner(x)).split(2, 1)
        y = self.head(gg.cat([second, first], 1))
        return y, n


def test_the_graph_of_a_model(tmp_path: Path, device: str, capsys: pytest.CaptureFixture) -> None:
    model = Net().to(device)
    model.head.eval()
    before = {name: x.tolist() for name, x in model.state_dict().items()}
    with SummaryWriter(str(tmp_path)) as writer:
        writer.add_graph(model, (gg.ones(5, 3, device=device), gg.arange(2, device=device)), verbose=True)
    (data,) = [e.graph_def for e in events(tmp_path) if e.graph_def]
    graph = graph_pb2.GraphDef.FromString(data)
    assert "Net/inner/0/weight" in capsys.readouterr().out
    nodes = {node.name: node for node in graph.node}
    assert len(nodes) == len(graph.node) and all(name in nodes for node in graph.node for name in node.input)
    assert {
        "input/0",
        "input/1",
        "output/0",
        "output/1",
        "Net/inner/0/weight",
        "Net/inner/1/bias",
        "Net/head/weight",
    } <= set(nodes)
    (linear,) = [node for node in graph.node if node.op == "Linear" and node.name.startswith("Net/inner/0/")]
    assert set(linear.input) == {"input/0", "Net/inner/0/weight", "Net/inner/0/bias"}
    (relu,) = [node for node in graph.node if node.op == "Relu"]
    assert relu.name.startswith("Net/Relu_") and relu.input[0].startswith("Net/inner/1/")
    (cat,) = [node for node in graph.node if node.op == "Cat"]
    assert len(cat.input) == 2 and nodes[cat.input[0]].op == "Split"
    assert nodes[nodes["output/0"].input[0]].name.startswith("Net/head/") and not nodes["output/1"].input
    (shape,) = nodes["Net/inner/0/weight"].attr["_output_shapes"].list.shape
    assert [d.size for d in shape.dim] == [4, 3]
    assert {
        name: x.tolist() for name, x in model.state_dict().items()
    } == before  # evaluation mode, and then the modes of before
    assert model.training and model.inner[1].training and not model.head.training
    assert all(p.grad is None for p in model.parameters())


def test_the_graph_of_a_model_that_fails(tmp_path: Path) -> None:
    model = Net()
    with SummaryWriter(str(tmp_path)) as writer, pytest.raises(RuntimeError, match="linear"):
        writer.add_graph(model, (gg.ones(5, 4), gg.arange(2)))
    assert model.training and not model._forward_hooks and not model.inner._forward_pre_hooks


def test_arguments_by_pytorchs_names(tmp_path: Path) -> None:
    with SummaryWriter(log_dir=str(tmp_path)) as writer:
        assert writer.log_dir == writer.get_logdir() == str(tmp_path)
        writer.add_scalar("loss", 0.5, 1, new_style=True, double_precision=True)
        writer.add_hparams(
            {"lr": gg.tensor(0.5)},
            {"accuracy": 0.25},
            hparam_domain_discrete={"lr": [0.5, 1.0]},
            run_name="first",
        )
    assert [v.simple_value for e in events(tmp_path) for v in e.summary.value if v.tag == "loss"] == [0.5]
    assert [
        v.simple_value for e in events(tmp_path / "first") for v in e.summary.value if v.tag == "accuracy"
    ] == [0.25]
