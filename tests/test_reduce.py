"""What samples cannot say of reductions, losses and normalisations: names, side effects, many axes, long rows."""

import numpy as np
import pytest

import gradgpu as gg
import gradgpu.nn.functional as F


def values(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def test_max_along_a_dimension_has_named_fields(device):
    x = gg.tensor([[1.0, 5.0], [7.0, 2.0]], device=device)
    found = gg.max(x, 1)
    assert found.values.tolist() == [5.0, 7.0]
    assert found.indices.tolist() == [1, 0]
    assert x.min(dim=0).indices.tolist() == [0, 1]
    assert gg.max(x, gg.full_like(x, 3.0)).tolist() == [[3.0, 5.0], [7.0, 3.0]]


def test_the_index_is_that_of_the_first_extremum_however_the_work_is_split(device):
    x = np.zeros((2, 50_000), np.float32)
    x[0, [777, 40_000]] = 1
    x[1, [49_999, 12]] = np.nan
    t = gg.tensor(x, device=device)
    assert gg.argmax(t, dim=1).tolist() == [777, 12]
    assert gg.argmax(t.t(), dim=0).tolist() == [777, 12]
    assert gg.argmin(t, dim=1).tolist() == [0, 12]


def test_reductions_of_arrays_that_do_not_merge_into_few_axes(device):
    shape = (2, 1, 2, 3, 2, 2, 2, 2, 2, 2, 3, 2, 2, 2, 2)
    x = values(*shape)
    for dims in (tuple(range(0, 15, 2)), tuple(range(1, 15, 2))):
        t = gg.tensor(x, device=device)
        np.testing.assert_allclose(gg.sum(t, dims).cpu().numpy(), x.sum(dims), rtol=1e-9, atol=1e-9)
        kept = gg.amax(t, dims, keepdim=True)
        np.testing.assert_array_equal(kept.cpu().numpy(), x.max(dims, keepdims=True))


@pytest.mark.parametrize(
    "shape, dim", [((1, 300_000), 1), ((300_000, 1), 0), ((5000, 40), 0), ((3, 40_001), 1)]
)
def test_long_reductions_are_split_and_joined(device, shape, dim):
    x = values(*shape).astype(np.float32)
    t = gg.tensor(x, device=device)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(gg.sum(t, dim).cpu().numpy(), wide.sum(dim), rtol=1e-4, atol=2e-2)
    np.testing.assert_allclose(gg.var(t, dim).cpu().numpy(), wide.var(dim, ddof=1), rtol=1e-4)
    np.testing.assert_allclose(gg.mean(t + 1000, dim).cpu().numpy(), (wide + 1000).mean(dim), rtol=1e-5)
    lse = np.log(np.exp(wide).sum(dim))
    np.testing.assert_allclose(gg.logsumexp(t, dim).cpu().numpy(), lse, rtol=1e-5)


def test_half_sums_do_not_stop_growing(device):
    ones = gg.ones(20_000, dtype=gg.float16, device=device)
    assert ones.sum().item() == 20_000
    assert ones.reshape(20_000, 1).sum(0).item() == 20_000


def test_a_target_that_is_no_class(device):
    x, target = gg.zeros(2, 3, device=device), gg.tensor([0, 3], device=device)
    for loss in (F.cross_entropy, F.nll_loss):
        if device == "cpu":
            with pytest.raises(IndexError, match="Target 3 is out of bounds for 3 classes"):
                loss(x, target)
        else:
            assert np.isnan(loss(x, target).item())
    with pytest.raises(IndexError, match="Target -1 is out of bounds"):
        F.cross_entropy(gg.zeros(2, 3), gg.tensor([0, -1]))


def test_all_targets_ignored(device):
    x = gg.zeros(2, 3, device=device, requires_grad=True)
    target = gg.full((2,), -100, dtype=gg.int64, device=device)
    assert np.isnan(F.cross_entropy(x, target).item())
    assert F.cross_entropy(x, target, reduction="sum").item() == 0
    F.cross_entropy(x, target, reduction="none").sum().backward()
    assert x.grad.tolist() == [[0.0] * 3] * 2


def test_losses_warn_of_sizes_that_differ():
    with pytest.warns(UserWarning, match="target size"):
        F.mse_loss(gg.zeros(3, 1), gg.zeros(3))


def test_batch_norm_moves_the_running_statistics(device):
    x = values(4, 3, 5)
    mean, var = values(3, seed=1), values(3, seed=2) + 2
    running = [gg.tensor(v, device=device) for v in (mean, var)]
    before = [v._version for v in running]
    F.batch_norm(gg.tensor(x, device=device), *running, training=True, momentum=0.3)
    np.testing.assert_allclose(running[0].cpu().numpy(), 0.7 * mean + 0.3 * x.mean((0, 2)), rtol=1e-12)
    np.testing.assert_allclose(running[1].cpu().numpy(), 0.7 * var + 0.3 * x.var((0, 2), ddof=1), rtol=1e-12)
    assert [v._version for v in running] == [n + 1 for n in before]
    kept = [v.tolist() for v in running]
    F.batch_norm(gg.tensor(x, device=device), *running)
    assert [v.tolist() for v in running] == kept


def test_batch_norm_of_a_half_input_with_float32_parameters(device):
    x = values(6, 3).astype(np.float16)
    ones, zeros = gg.ones(3, device=device), gg.zeros(3, device=device)
    y = F.batch_norm(gg.tensor(x, device=device), zeros.clone(), ones.clone(), ones, zeros, training=True)
    assert y.dtype is gg.float16
    wide = x.astype(np.float64)
    want = (wide - wide.mean(0)) / np.sqrt(wide.var(0) + 1e-5)
    np.testing.assert_allclose(y.cpu().numpy().astype(np.float64), want, atol=2e-3)


def test_instance_norm_moves_the_running_statistics(device):
    x = values(2, 3, 5)
    running = gg.zeros(3, dtype=gg.float64, device=device), gg.ones(3, dtype=gg.float64, device=device)
    F.instance_norm(gg.tensor(x, device=device), *running, momentum=0.5)
    np.testing.assert_allclose(running[0].cpu().numpy(), 0.5 * x.mean(2).mean(0), rtol=1e-12)
    np.testing.assert_allclose(running[1].cpu().numpy(), 0.5 + 0.5 * x.var(2, ddof=1).mean(0), rtol=1e-12)


def test_reductions_are_the_same_bits_every_time(device):
    x = gg.tensor(values(300, 70), device=device)
    for function in (gg.sum, gg.var, gg.prod):
        assert function(x, dim=0).cpu().numpy().tobytes() == function(x, dim=0).cpu().numpy().tobytes()


def test_softmax_without_a_dimension_warns():
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        assert F.softmax(gg.zeros(2, 4)).tolist() == [[0.25] * 4] * 2


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("dtype", [gg.float32, gg.float16, gg.bfloat16, gg.int32, gg.uint8, gg.int64])
def test_sorting_many_is_stable(dtype, dim, descending):
    """Equal numbers, zeros of both signs among them, keep their order; so do those that `topk` chooses."""
    x = gg.tensor(values(60, 80)).mul(4).round().to(dtype)
    a = x.to(gg.float64).numpy()
    sign = -1 if descending else 1
    wanted = np.argsort(sign * a, dim, kind="stable")
    found = gg.sort(x, dim, descending)
    np.testing.assert_array_equal(found.indices.numpy(), wanted)
    np.testing.assert_array_equal(found.values.to(gg.float64).numpy(), np.take_along_axis(a, wanted, dim))
    few = gg.topk(x, 7, dim, largest=descending)
    np.testing.assert_array_equal(few.indices.numpy(), wanted[:7] if dim == 0 else wanted[:, :7])


def test_sorting_many_puts_nan_last():
    x = gg.tensor(values(2000)).float()
    x[5], x[700], x[9] = float("nan"), -float("nan"), -float("inf")
    assert gg.argsort(x)[[0, -2, -1]].tolist() == [9, 5, 700]
    assert gg.topk(x, 3).indices[:2].tolist() == [5, 700]


def test_maxima_of_many_planes_are_those_of_each():
    x = gg.tensor(values(30, 9, 8)).float()
    x[3, 4, 4] = float("nan")
    grads = []
    for pool in (
        lambda x: F.max_pool2d(x, 3, 2, 1),
        lambda x: gg.cat([F.max_pool2d(plane, 3, 2, 1) for plane in x.split(1)]),
    ):
        leaf = x.clone().requires_grad_()
        y = pool(leaf)
        assert y.is_contiguous()
        (y * gg.arange(1.0, y.numel() + 1).reshape(y.shape)).sum().backward()
        grads.append((y.detach().numpy(), leaf.grad.numpy()))
    for all_at_once, one_by_one in zip(*grads):
        np.testing.assert_array_equal(all_at_once, one_by_one)
