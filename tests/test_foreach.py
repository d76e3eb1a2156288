"""`_foreach_…`: an operation on each tensor of a list, by PyTorch's names."""

from __future__ import annotations

import pytest

import gradgpu as gg
from gradgpu.ops import foreach


def _tensors(device: str) -> list[gg.Tensor]:
    return [gg.tensor([0.25, 0.5], device=device), gg.tensor([[0.125]], device=device)]


@pytest.mark.parametrize(
    "name", sorted(foreach.NAMES & {*foreach._UNARY, *[f"{n}_" for n in foreach._UNARY]})
)
def test_of_one_list(name: str, device: str) -> None:
    xs, ys = _tensors(device), _tensors(device)
    made = getattr(gg, f"_foreach_{name}")(xs)
    wanted = [getattr(y, name)() for y in ys]
    assert [x.tolist() for x in (xs if name.endswith("_") else made)] == [y.tolist() for y in wanted]
    assert (made is None) is name.endswith("_") and (name.endswith("_") or xs[0].tolist() == [0.25, 0.5])


@pytest.mark.parametrize(
    "name", ["add", "sub", "mul", "div", "pow", "clamp_min", "clamp_max", "maximum", "minimum"]
)
def test_of_a_list_and_a_number_list_or_tensor(name: str, device: str) -> None:
    plain = {"maximum": "clamp_min", "minimum": "clamp_max"}.get(name, name)
    f, f_ = getattr(gg, f"_foreach_{name}"), getattr(gg, f"_foreach_{name}_")
    others = [2 * x for x in _tensors(device)]
    for other, wanted in (
        (0.5, [getattr(x, plain)(0.5) for x in _tensors(device)]),
        ([0.5, 0.25], [getattr(x, plain)(s) for x, s in zip(_tensors(device), (0.5, 0.25), strict=True)]),
        (others, [getattr(x, name)(y) for x, y in zip(_tensors(device), others, strict=True)]),
    ):
        xs = _tensors(device)
        assert [x.tolist() for x in f(xs, other)] == [x.tolist() for x in wanted]
        assert f_(xs, other) is None and [x.tolist() for x in xs] == [x.tolist() for x in wanted]


def test_those_with_more_arguments(device: str) -> None:
    xs, a, b = _tensors(device), _tensors(device), [x + 1 for x in _tensors(device)]

    def lists(tensors: list) -> list:
        return [t.tolist() for t in tensors]

    assert lists(gg._foreach_add(xs, a, alpha=3)) == lists([4 * x for x in xs])
    assert lists(gg._foreach_lerp(xs, b, 0.5)) == lists([x + 0.5 for x in xs])
    for function, method in ((gg._foreach_addcmul, gg.addcmul), (gg._foreach_addcdiv, gg.addcdiv)):
        assert lists(function(xs, a, b)) == lists(map(method, xs, a, b))
        for values in ([2.0, 4.0], gg.tensor([2.0, 4.0], device=device)):
            wanted = [method(x, y, z, value=v) for x, y, z, v in zip(xs, a, b, (2.0, 4.0), strict=True)]
            assert (
                lists(function(xs, a, b, values))
                == lists(function(xs, a, b, scalars=values))
                == lists(wanted)
            )
        assert lists(function(xs, a, b, value=2.0)) == lists(
            [method(*t, value=2.0) for t in zip(xs, a, b, strict=True)]
        )
    assert lists(gg._foreach_pow(2.0, [x * 0 + 3 for x in xs])) == [[8.0, 8.0], [[8.0]]]
    assert lists(gg._foreach_norm([gg.tensor([3.0, 4.0], device=device)], 2)) == [5.0]
    assert lists(gg._foreach_max(xs)) == [0.5, 0.125] and lists(gg._foreach_mm([xs[1]], [xs[1]])) == [
        [[0.015625]]
    ]
    copies = gg._foreach_clone(xs)
    gg._foreach_copy_(copies, b)
    assert lists(copies) == lists(b) and copies[0] is not b[0] and xs[0].tolist() == [0.25, 0.5]
    gg._foreach_zero_(copies)
    assert lists(copies) == [[0.0, 0.0], [[0.0]]]
    w = [x.requires_grad_() for x in _tensors(device)]
    sum(x.sum() for x in gg._foreach_mul(w, 3.0)).backward()
    assert lists([x.grad for x in w]) == [[3.0, 3.0], [[3.0]]]


def test_wrong_lists_and_names() -> None:
    with pytest.raises(RuntimeError, match="at least one tensor"):
        gg._foreach_abs([])
    with pytest.raises(RuntimeError, match=r"same number of tensors, got 2 and 1 \(argument 1\)"):
        gg._foreach_add(_tensors("cpu"), [1.0])
    with pytest.raises(TypeError, match="number"):
        gg._foreach_mul(_tensors("cpu"), "x")
    with pytest.raises(AttributeError, match="_foreach_atan2_"):
        gg._foreach_atan2_  # noqa: B018
