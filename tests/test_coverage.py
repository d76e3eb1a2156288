"""gradgpu has the PyTorch names that small-net code uses; what it lacks has a reason."""

from __future__ import annotations

import pytest

from gradgpu._tools import coverage


def test_share_of_the_names_weighted_by_use() -> None:
    assert coverage.share() >= 0.99


def test_every_name_left_out_has_a_reason() -> None:
    assert {name for name in coverage.missing() if coverage.reason(name) is None} == set()


def test_reasons_are_for_names_that_are_counted() -> None:
    names = coverage.counts()
    for start in coverage.LEFT_OUT:
        assert any(name == start or name.startswith(start + ".") for name in names), start


def test_reasons_are_for_names_that_are_left_out() -> None:
    present = [name for name in (*coverage.LEFT_OUT, *coverage.LEFT_OUT_UNUSED) if coverage.has(name)]
    assert present == ["torch.Tensor.put"]  # a function of the namespace here, and so a method


def test_attributes_of_instances_count() -> None:
    assert coverage.has("torch.optim.Optimizer.param_groups")
    assert coverage.has("torch.nn.Module.training")
    assert coverage.has("torch.distributions.categorical.Categorical")
    assert not coverage.has("torch.optim.Optimizer.no_such_name")
    assert not coverage.has("torch.no_such_module.name")


def test_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    coverage.main()
    printed = capsys.readouterr().out
    absent = coverage.missing()
    assert printed.splitlines()[0].startswith(f"{len(coverage.counts()) - len(absent)} of ")
    assert len(printed.splitlines()) == 2 + len(absent) and "no reason is given" not in printed
