"""Logs for TensorBoard: what is a tensor arrives as numbers."""

import struct
from pathlib import Path

import pytest
from tensorboardX.proto import event_pb2

import gradgpu as gg
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
        with pytest.raises(NotImplementedError, match="add_graph"):
            writer.add_graph(None)
    values = [(e.step, v) for e in events(tmp_path) for v in e.summary.value]
    assert [(step, v.tag, v.simple_value) for step, v in values if v.tag == "loss"] == [(3, "loss", 0.5)]
    (histogram,) = [v.histo for _, v in values if v.tag == "weights"]
    assert (histogram.num, histogram.sum, histogram.max) == (10, 45, 9)
