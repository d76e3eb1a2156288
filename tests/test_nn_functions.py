"""Functions of nn.functional that are compositions: values and gradients against figures of PyTorch 2.13 in float64.

Of each result the figure is Σ y·cos(1 + i), of each gradient (for that sum) Σ g·sin(2 + i), i counting elements;
nn_functions_expected.py holds them under the case's number.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.nn import functional as F
from tests.nn_functions_expected import EXPECTED


def array(x: gg.Tensor) -> np.ndarray:
    return x.detach().numpy(force=True)


def v(*shape: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    """Values without pattern and without ties."""
    n = int(np.prod(shape))
    return (np.sin(np.arange(n) * 12.9898 + 0.37 + shift) * scale).reshape(shape)


def signs(*shape: int) -> np.ndarray:
    return np.where(v(*shape) > 0, 1, -1)


def counts(*shape: int, top: int = 4) -> np.ndarray:
    return (np.arange(int(np.prod(shape))).reshape(shape) * 7 + 2) % top


def positive(*shape: int) -> np.ndarray:
    return np.abs(v(*shape)) + 0.1


def unit(*shape: int) -> np.ndarray:
    return (v(*shape) + 1) / 2.001


X3, TABLE = v(2, 3, 7, 6, 5), v(10, 3)
OFFSETS = np.array([0, 2, 2, 7])


def _cases() -> list[tuple[str, tuple, dict[str, Any]]]:
    cases: list[tuple[str, tuple, dict[str, Any]]] = []

    def add(name: str, *args: Any, **kwargs: Any) -> None:
        cases.append((name, args, kwargs))

    for reduction in ("mean", "sum", "none"):
        r = {"reduction": reduction}
        add("poisson_nll_loss", v(4, 3), counts(4, 3), full=reduction == "sum", **r)
        add("poisson_nll_loss", positive(4, 3), counts(4, 3), log_input=False, **r)
        add("hinge_embedding_loss", v(5), signs(5), margin=0.7, **r)
        add("cosine_embedding_loss", v(5, 3), v(5, 3, shift=1), signs(5), margin=-0.1, **r)
        add("margin_ranking_loss", v(5), v(5, shift=1), signs(5), margin=0.1, **r)
        add("soft_margin_loss", v(5, 2), signs(5, 2), **r)
        add("multi_margin_loss", v(5, 4), counts(5), p=1, margin=0.7, **r)
        add("multi_margin_loss", v(5, 4), counts(5), p=2, weight=positive(4), **r)
        add("multilabel_margin_loss", v(2, 4), np.array([[3, 0, -1, 1], [1, -1, 2, 2]]), **r)
        add("multilabel_soft_margin_loss", v(3, 4), counts(3, 4, top=2), weight=positive(4), **r)
        add("triplet_margin_loss", v(4, 3), v(4, 3, shift=1), v(4, 3, shift=2), swap=reduction == "sum", **r)
        add("triplet_margin_with_distance_loss", v(4, 3), v(4, 3, shift=1), v(4, 3, shift=2), margin=0.5, **r)
        zero = reduction == "none"
        add("ctc_loss", v(7, 3, 6), counts(3, 4, top=5) + 1, [7, 6, 3], [4, 2, 3], zero_infinity=zero, **r)
        add("ctc_loss", v(7, 3, 6), np.array([1, 1, 2, 2, 2, 3]), [7, 7, 5], [2, 0, 4], **r)
    add("hardshrink", v(20))
    add("softshrink", v(20), lambd=0.3)
    add("rrelu", v(20))
    for x in (X3, X3[0]):
        add("max_pool3d", x, kernel_size=2, return_indices=True)
        add("max_pool3d", x, kernel_size=(3, 2, 2), stride=(2, 1, 2), padding=(1, 0, 1), dilation=(1, 2, 1), ceil_mode=True, return_indices=True)  # fmt: skip
        add("avg_pool3d", x, kernel_size=(3, 2, 3), stride=2, padding=1, ceil_mode=True)
        add("avg_pool3d", x, kernel_size=3, stride=2, padding=1, count_include_pad=False)
        add("avg_pool3d", x, kernel_size=2, divisor_override=5)
        add("adaptive_avg_pool3d", x, output_size=(3, None, 2))
        add("adaptive_max_pool3d", x, output_size=(3, None, 2), return_indices=True)
    add("lp_pool1d", positive(2, 3, 8), norm_type=3.0, kernel_size=3, stride=2)
    add("lp_pool2d", v(2, 3, 8, 7), norm_type=2, kernel_size=2)
    add("lp_pool3d", positive(2, 3, 4, 5, 4), norm_type=2.0, kernel_size=2)
    add("fractional_max_pool2d", v(2, 3, 11, 13), kernel_size=(2, 3), output_size=(5, 6), return_indices=True, _random_samples=unit(2, 3, 2))  # fmt: skip
    add(
        "fractional_max_pool3d",
        v(2, 3, 9, 8, 7),
        kernel_size=2,
        output_ratio=0.5,
        _random_samples=unit(2, 3, 3),
    )
    add("local_response_norm", v(2, 5, 4, 3), size=3, alpha=0.1)
    add("local_response_norm", v(2, 5, 4), size=4, alpha=0.1, k=2.0)
    for align in (True, False):
        add("affine_grid", v(2, 2, 3), size=(2, 1, 4, 5), align_corners=align)
        add("affine_grid", v(2, 3, 4), size=(2, 1, 4, 2, 3), align_corners=align)
        for padding in ("zeros", "border", "reflection"):
            for mode in ("bilinear", "nearest", "bicubic"):
                add("grid_sample", v(2, 3, 4, 5), v(2, 3, 3, 2, scale=1.7), mode=mode, padding_mode=padding, align_corners=align)  # fmt: skip
            add("grid_sample", v(2, 3, 4, 5, 3), v(2, 2, 3, 3, 3, scale=1.3), padding_mode=padding, align_corners=align)  # fmt: skip
    add("channel_shuffle", v(2, 6, 3), 3)
    add("pdist", v(5, 3))
    add("conv_transpose3d", v(2, 4, 3, 4, 3), v(4, 2, 3, 2, 4), v(2), stride=2, padding=1, output_padding=1)
    add("conv_transpose3d", v(4, 3, 4, 3), v(4, 2, 3, 2, 4), v(4), stride=(2, 1, 3), padding=(0, 1, 2), dilation=(2, 1, 1), groups=2)  # fmt: skip
    for mode in ("sum", "mean", "max"):
        for index in (None, 2):
            add("embedding_bag", counts(4, 5, top=10), TABLE, mode=mode, padding_idx=index)
            add("embedding_bag", counts(9, top=10), TABLE, offsets=OFFSETS, mode=mode, padding_idx=index)
    add("embedding_bag", counts(9, top=10), TABLE, offsets=np.array([0, 2, 9]), mode="sum", include_last_offset=True)  # fmt: skip
    add("embedding_bag", counts(4, 5, top=10), TABLE, mode="sum", per_sample_weights=v(4, 5))
    add("adaptive_max_pool1d", v(2, 3, 7), output_size=3, return_indices=True)
    return cases


CASES = _cases()


def figures(functional: Any, tensor: Any, case: tuple[str, tuple, dict[str, Any]]) -> list[float]:
    """The figures of one case, by any library that looks like this one; `tensor` makes its tensors."""
    name, args, kwargs = case

    def given(a: Any, grad: bool) -> Any:
        return tensor(a, grad and a.dtype.kind == "f") if isinstance(a, np.ndarray) else a

    inputs, named = [given(a, True) for a in args], {k: given(a, False) for k, a in kwargs.items()}
    function = getattr(functional, name)
    if name == "ctc_loss":  # without the softmax PyTorch's gradient is another one, on purpose
        made = function(inputs[0].log_softmax(-1), *inputs[1:], **named)
    else:
        made = function(*inputs, **named)
    outputs = made if isinstance(made, tuple) else (made,)
    found = []
    for y in outputs:
        weights = np.cos(1 + np.arange(y.numel())).reshape(tuple(y.shape))
        total = (y * tensor(weights, False)).sum()
        found.append(total.item())
        if y is outputs[0] and y.requires_grad and np.isfinite(total.item()):
            total.backward()
    for t in inputs:
        grad = getattr(t, "grad", None)
        if grad is not None:
            found.append((grad.reshape(-1) * tensor(np.sin(2 + np.arange(grad.numel())), False)).sum().item())
        elif getattr(t, "requires_grad", False):
            found.append(0.0)  # the grid of mode 'nearest': zero there, none here
    return found


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda i: f"{i}-{CASES[i][0]}")
def test_values_and_gradients(number: int, device: str) -> None:
    made = figures(F, lambda a, grad: gg.tensor(a, device=device, requires_grad=grad), CASES[number])
    np.testing.assert_allclose(made, EXPECTED[number], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_unpooling_puts_maxima_back(dims: int, device: str) -> None:
    x = gg.tensor(v(*(2, 3, 6, 8, 4)[: 2 + dims]), device=device, requires_grad=True)
    y, at = getattr(F, f"max_pool{dims}d")(x, 2, return_indices=True)
    back = getattr(F, f"max_unpool{dims}d")(y, at, 2)
    kept = back.ne(0)
    assert back.shape == x.shape and int(kept.sum()) == y.numel()
    gg.testing.assert_close(back[kept], x[kept])
    back.sum().backward()
    gg.testing.assert_close(x.grad, kept.to(x.dtype))
    with pytest.raises(ValueError, match="invalid output_size"):
        getattr(F, f"max_unpool{dims}d")(y, at, 2, output_size=(99,) * dims)


def test_rrelu_draws_slopes_in_training(device: str) -> None:
    x = gg.full((1000,), -1.0, device=device, requires_grad=True)
    y = F.rrelu(x, 0.1, 0.3, training=True)
    y.sum().backward()
    assert -0.3 <= y.min().item() < -0.29 and -0.11 < y.max().item() <= -0.1
    gg.testing.assert_close(x.grad, -y.detach())


def test_gumbel_softmax_draws_by_probability(device: str) -> None:
    gg.manual_seed(0)
    logits = gg.tensor([0.1, 0.2, 0.7], device=device).log().expand(20000, 3)
    hard = F.gumbel_softmax(logits, hard=True)
    np.testing.assert_allclose(hard.mean(0).tolist(), [0.1, 0.2, 0.7], atol=0.02)
    logits = gg.zeros(4, 3, device=device, requires_grad=True)
    soft = F.gumbel_softmax(logits, tau=0.5, dim=1)
    soft[:, 0].sum().backward()
    np.testing.assert_allclose(soft.sum(1).tolist(), [1] * 4, rtol=1e-5)
    p = soft.detach()
    wanted = -2 * p[:, :1] * p
    wanted[:, 0] += 2 * p[:, 0]
    gg.testing.assert_close(logits.grad, wanted)


def test_feature_alpha_dropout_keeps_the_moments(device: str) -> None:
    gg.manual_seed(0)
    x = gg.randn(200, 100, 3, device=device)
    y = F.feature_alpha_dropout(x, 0.3, training=True)
    assert abs(y.mean().item()) < 0.03 and abs(y.std().item() - 1) < 0.03
    channels = y.amax(2) - y.amin(2)
    assert abs(channels.eq(0).float().mean().item() - 0.3) < 0.02
    assert F.feature_alpha_dropout(x, 0.3) is x


@pytest.mark.parametrize(
    "call, error, match",
    [
        (lambda: F.ctc_loss(gg.zeros(3), gg.zeros(1, 1), [1], [1]), RuntimeError, "expected log_probs"),
        (lambda: F.ctc_loss(gg.zeros(3, 2, 4), gg.ones(2, 1), [3], [1, 1]), RuntimeError, "input_lengths must be of size 2"),
        (lambda: F.ctc_loss(gg.zeros(3, 1, 4), gg.ones(1, 1), [4], [1]), RuntimeError, "between 0 and 3"),
        (lambda: F.ctc_loss(gg.zeros(3, 1, 4), gg.ones(2), [3], [1]), RuntimeError, "do not match the sum 1"),
        (lambda: F.ctc_loss(gg.zeros(3, 1, 4), gg.ones(1, 1), [3], [1], blank=4), RuntimeError, "blank must be"),
        (lambda: F.grid_sample(gg.zeros(1, 1, 2, 2), gg.zeros(1, 1, 1, 3)), RuntimeError, "expected input"),
        (lambda: F.grid_sample(gg.zeros(1, 1, 2, 2), gg.zeros(1, 1, 1, 2), mode="linear"), ValueError, "expected mode"),
        (lambda: F.affine_grid(gg.zeros(1, 3, 3), (1, 1, 2, 2)), ValueError, "expected theta"),
        (lambda: F.embedding_bag(gg.zeros(2, 2).long(), gg.zeros(3, 2), gg.tensor([0])), ValueError, "offsets has to be None"),
        (lambda: F.embedding_bag(gg.zeros(2).long(), gg.zeros(3, 2)), ValueError, "1D Tensor but got None"),
        (lambda: F.multi_margin_loss(gg.zeros(2, 2), gg.zeros(2).long(), p=3), ValueError, "p == 1 and p == 2"),
        (lambda: F.soft_margin_loss(gg.zeros(2), gg.zeros(2), reduction="max"), ValueError, "not a valid value"),
        (lambda: F.triplet_margin_loss(gg.zeros(2), gg.zeros(1, 2), gg.zeros(2)), RuntimeError, "same number of dimensions"),
        (lambda: F.channel_shuffle(gg.zeros(1, 3, 2), 2), RuntimeError, "divisible by groups"),
        (lambda: F.fractional_max_pool2d(gg.zeros(1, 4, 4), 2), ValueError, "output_size or an output_ratio"),
        (lambda: F.softshrink(gg.zeros(2), -1.0), RuntimeError, "greater or equal to 0"),
        (lambda: F.conv_transpose3d(gg.zeros(1, 2, 2, 2), gg.zeros(1, 1, 1, 1, 1), output_padding=1), RuntimeError, "output padding"),
        (lambda: F.max_pool3d(gg.zeros(2, 2), 1), RuntimeError, "Expected 4-D or 5-D"),
        (lambda: F.local_response_norm(gg.zeros(2, 2), 1), ValueError, "Expected 3D or higher"),
    ],
)  # fmt: skip
def test_errors(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


def test_ctc_of_an_impossible_target_is_infinite_without_a_gradient() -> None:
    log_probs = gg.zeros(2, 1, 3).log_softmax(-1).requires_grad_()
    loss = F.ctc_loss(log_probs, gg.tensor([[1, 1]]), [2], [2])  # '1 - 1' needs three steps
    assert loss.item() == float("inf")
    F.ctc_loss(log_probs, gg.tensor([[1, 1]]), [2], [2], zero_infinity=True).backward()
    assert not log_probs.grad.any()


def test_gelu_of_extreme_numbers_and_its_second_derivative():
    x = gg.tensor([-1e20, -40.0, -6.5, 0.0, 6.5, 40.0, 1e20, float("inf"), float("nan")], requires_grad=True)
    y = F.gelu(x)
    assert y[:2].abs().max() == 0 and abs(y[2]) < 1e-9 and y[3] == 0
    assert y[4:8].tolist() == x[4:8].tolist() and bool(y[8].isnan())
    (slope,) = gg.autograd.grad(y[:7].sum(), x, create_graph=True)
    np.testing.assert_allclose(slope[:7].tolist(), [0, 0, 0, 0.5, 1, 1, 1], atol=1e-6)
    (curve,) = gg.autograd.grad(slope[3], x)
    np.testing.assert_allclose(curve[3].item(), 2 / np.sqrt(2 * np.pi), rtol=1e-6)
    z = gg.ones(3, requires_grad=True) * 1
    made = F.gelu(z)
    z.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation: GeluBackward0"):
        made.sum().backward()


@pytest.mark.parametrize("kernel", [(8, 8), (8, 1), (4, 12)])
@pytest.mark.parametrize("dtype", [gg.float64, gg.float16, gg.bfloat16])
def test_large_windows_side_by_side(device: str, kernel: tuple[int, int], dtype: gg.dtype) -> None:
    values = np.random.default_rng(0).standard_normal((2, 3, 16, 12)).astype(np.float32)
    x = gg.tensor(values, device=device).to(dtype).requires_grad_()
    rows = array(x.detach().double())
    (kh, kw), (h, w) = kernel, rows.shape[-2:]
    oh, ow = h // kh, w // kw
    rows = (
        rows[..., : oh * kh, : ow * kw]
        .reshape(2, 3, oh, kh, ow, kw)
        .transpose(0, 1, 2, 4, 3, 5)
        .reshape(2, 3, oh, ow, -1)
    )
    y, at = F.max_pool2d(x, kernel, return_indices=True)
    np.testing.assert_array_equal(array(y.double()), rows.max(-1))
    first = rows.argmax(-1)
    top = np.arange(oh)[:, None] * kh + first // kw
    np.testing.assert_array_equal(array(at), top * w + np.arange(ow) * kw + first % kw)
    y.sum().backward()
    expected = np.zeros((2, 3, h * w))
    np.put_along_axis(expected, array(at).reshape(2, 3, -1), 1.0, -1)
    np.testing.assert_array_equal(array(x.grad.double()).reshape(2, 3, -1), expected)
    x.grad = None
    y = F.avg_pool2d(x, kernel)
    np.testing.assert_allclose(array(y.double()), rows.mean(-1), atol=1e-12 if dtype is gg.float64 else 0.02)
    y.sum().backward()
    covered = np.zeros((h, w))
    covered[: oh * kh, : ow * kw] = 1 / (kh * kw)
    np.testing.assert_allclose(array(x.grad.double())[1, 2], covered, rtol=0.01)


def test_nan_in_large_windows(device: str) -> None:
    x = gg.zeros(1, 1, 6, 6, device=device)
    x[0, 0, 1, 2] = x[0, 0, 4, 3] = math.nan
    y, at = F.max_pool2d(x, 6, return_indices=True)
    assert y.isnan().all() and at.item() == 4 * 6 + 3  # of NaNs the last


def test_adaptive_windows_of_several_sizes(device: str) -> None:
    x = gg.randn(2, 3, 7, 5, device=device, dtype=gg.float64, requires_grad=True)
    y, at = F.adaptive_max_pool2d(x, (3, 2), return_indices=True)
    assert y.equal(x.flatten(-2).gather(-1, at.flatten(-2)).view(y.shape))
    for i, (top, bottom) in enumerate([(0, 3), (2, 5), (4, 7)]):
        for j, (left, right) in enumerate([(0, 3), (2, 5)]):
            assert y[..., i, j].equal(x[..., top:bottom, left:right].amax((-2, -1)))
    assert gg.autograd.gradcheck(lambda x: F.adaptive_max_pool2d(x, (3, 2)), (x,))
    assert F.adaptive_max_pool2d(x, (9, None)).shape == (2, 3, 9, 5)


def test_nearest_copies_elements(device: str) -> None:
    big = gg.tensor([[[2**53 + 1, 5, -7]]], device=device)  # no float between
    assert F.interpolate(big, scale_factor=2).tolist() == [[[2**53 + 1] * 2 + [5] * 2 + [-7] * 2]]
    assert F.interpolate(big, size=2).tolist() == [[[2**53 + 1, 5]]]
    x = gg.tensor([[[1.0, math.nan, math.inf]]], device=device)
    assert F.interpolate(x, scale_factor=2).isnan().sum() == 2
    # Twice as long, whatever the factor; as long as before: as it was.
    x = gg.arange(5.0, device=device)[None, None]
    assert F.interpolate(x, scale_factor=2.1).tolist() == x.repeat_interleave(2, -1).tolist()
    assert F.interpolate(x, scale_factor=1.1).tolist() == x.tolist()
    assert F.interpolate(x, size=7, mode="nearest-exact").tolist() == [[[0, 1, 1, 2, 3, 3, 4]]]
    x = gg.randn(1, 2, 3, 4, device=device, dtype=gg.float64, requires_grad=True)
    assert gg.autograd.gradcheck(lambda x: F.interpolate(x, size=(6, 7)), (x,))


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss"])
def test_losses_of_ints_and_floats(device: str, name: str) -> None:
    loss = getattr(F, name)
    counts, rates = gg.tensor([1, 2], device=device), gg.tensor([1.0, 4.0], device=device, requires_grad=True)
    made = loss(counts, rates)
    assert made.dtype is gg.float32 and made.item() == loss(counts.float(), rates).item()
    made.backward()
    assert rates.grad[1] > 0
    with pytest.raises(RuntimeError, match="floating-point"):
        loss(counts, counts)
    with pytest.raises(RuntimeError, match="huber_loss: input must have a floating-point dtype"):
        F.huber_loss(counts, rates)
