"""`make bench-memory` measures what it says, and backward through a deep net needs no more than its activations."""

import argparse

import pytest

from gradgpu._tools import memory

SIZE = argparse.Namespace(layers=40, width=64, batch=4096, steps=2)  # an activation is 1 MiB, a weight 16 KiB


@pytest.mark.parametrize("case, most", [("plain", 60), ("checkpointed", 30)])
def test_backward_keeps_each_activation_once(case: str, most: float) -> None:
    assert 5 < memory.in_process("gradgpu", case, SIZE) < most


def test_the_page_shows_the_ratio() -> None:
    text = memory.page([("plain", 200.0, 150.0)], SIZE)
    assert "| plain | 200 | 150 | 0.75 | 1.1 |" in text


def test_a_failed_measurement_says_why() -> None:
    bad = argparse.Namespace(layers=1, width=-1, batch=1, steps=1)
    with pytest.raises(RuntimeError, match="measurement of gradgpu failed"):
        memory.in_process("gradgpu", "plain", bad)
