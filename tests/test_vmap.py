"""vmap: every sample of every op against a loop over the batch, and what vmap promises beyond that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap
from gradgpu.ops.batching import COMPOSITES, RULES, WITHOUT_RULE
from gradgpu.ops.fused import Fused
from gradgpu.ops.pointwise_op import Pointwise
from gradgpu.ops.registry import OPS
from gradgpu.utils.checkpoint import checkpoint
from tests import samples
from tests.samples import FLOATS, OpSamples, Sample
from tests.vmap_samples import (
    SIZE,
    choices,
    draws,
    dtype_of,
    entries,
    function_of,
    gradient_function,
    stacked,
    weights_for,
)

ALL = [op for family in samples.families() for op in samples.load(family)]

# Functions that look at values on the host, or whose results' shapes depend on values, and how many samples do so.
VALUES = {
    "combinatorics.unique_consecutive",
    "combinatorics.unravel_index",
    "embedding.one_hot",
    "getitem.getitem",
    "getitem.setitem",
    "getitem.index_put",
    "index.masked_select",
    "index.masked_scatter",
    "index.nonzero",
    "join.repeat_interleave",
    "quantiles.quantile",
    "quantiles.nanquantile",
    "quantiles.histogram",
    "quantiles.histogramdd",
    "random.multinomial",
    "sort.unique",
    "sort.bincount",
    "special.histc",
}
# Functions that change their first input in place, which must have the batch if another input has it.
IN_PLACE = {
    "embedding.embedding with max_norm",
    "getitem.setitem",
    "products.addbmm_",
    "products.addr_",
    "products.addmm_",
    "rearrange.put_",
}
REFUSALS = (("calling .item()", VALUES), ("flat_nonzero", VALUES), ("inplace arithmetic", IN_PLACE))


def close(got: Any, want: Any) -> None:
    assert tuple(got.shape) == tuple(want.shape)
    assert got.dtype is want.dtype
    wide = {gg.float64: (1e-7, 1e-9)}.get(got.dtype, (2e-4, 1e-5))
    a, b = (t.detach().cpu().numpy() for t in (got, want))
    np.testing.assert_allclose(a, b, *wide)


def all_close(got: Any, want: Any) -> None:
    for a, b in zip(got, want, strict=True):
        close(a, b)


def seeded(function: Callable, *args: Any) -> Any:
    gg.manual_seed(0)
    return function(*args)


def check(op: OpSamples, sample: Sample, device: str, chosen: tuple[bool, ...], arrays: list) -> None:
    """Values, gradients taken inside, and gradients through vmap, for the inputs `chosen` to have the batch."""
    function = function_of(op, sample)
    inputs, dims, rows = entries(arrays, chosen, lambda a: gg.tensor(a, device=device))
    each = [seeded(function, *row) for row in rows]
    if len({tuple(tuple(y.shape) for y in ys) for ys in each}) > 1:
        return  # the shapes depend on values: no batch of them exists
    mapped = vmap(function, tuple(dims), randomness="same")
    all_close(seeded(mapped, *inputs), stacked(each))
    wanted = [k for k, part in enumerate(sample.inputs()) if part.grad and part.is_floating(dtype_of(op))]
    if not op.differentiable or dtype_of(op) not in FLOATS or not wanted:
        return
    inside = gradient_function(function, wanted)
    want = stacked([seeded(inside, *row) for row in rows])
    all_close(seeded(vmap(inside, tuple(dims), randomness="same"), *inputs), want)
    for k in wanted:
        inputs[k].requires_grad_()
    outputs = [y for y in seeded(mapped, *inputs) if y.requires_grad]
    if outputs:
        weights = [gg.stack([w] * SIZE) for w in weights_for([y[0] for y in outputs])]
        through = gg.autograd.grad(outputs, [inputs[k] for k in wanted], weights, materialize_grads=True)
        all_close(through, [g if chosen[k] else g.sum(0) for g, k in zip(want, wanted)])


def check_all(op: OpSamples, device: str, calls: list) -> None:
    problems = []
    refused = set()
    for sample in calls:
        arrays = draws(sample, dtype_of(op))
        if not arrays:
            continue
        for chosen in choices(len(arrays)) if device == "cpu" else [(True,) * len(arrays)]:
            try:
                check(op, sample, device, chosen, arrays)
            except Exception as error:
                known = [names for text, names in REFUSALS if text in str(error)]
                if isinstance(error, RuntimeError) and known and op.id in known[0]:
                    refused.add(op.id)
                else:
                    problems.append(f"{sample!r} {chosen}: {type(error).__name__}: {error}")
    assert not problems, "\n".join(problems)
    if device == "cpu" and op.id in VALUES | IN_PLACE:
        assert refused, f"{op.id} works under vmap: take it off the list"


@pytest.mark.parametrize("op", [pytest.param(op, id=op.id) for op in ALL])
def test_samples(op: OpSamples) -> None:
    """Each input with the batch alone, and all: as a loop over entries."""
    check_all(op, "cpu", list(op.samples))


@pytest.mark.parametrize("op", [pytest.param(op, id=op.id) for op in ALL if op.id not in VALUES | IN_PLACE])
def test_samples_nested(op: OpSamples) -> None:
    """vmap in vmap, with gradients inside; batches along the last dimension; gradients of a graph from outside."""
    for sample in op.samples[:2]:
        arrays = draws(sample, dtype_of(op))
        if not arrays:
            continue
        function = function_of(op, sample)
        inputs, _, rows = entries(arrays, (True,) * len(arrays), gg.tensor)
        want = stacked([seeded(function, *row) for row in rows])
        moved = [x.movedim(0, -1) for x in inputs]
        made = seeded(vmap(function, -1, -1, randomness="same"), *moved)
        all_close([y.movedim(-1, 0) for y in made], want)
        pairs = [gg.stack([x, x.flip(0)], 1) for x in inputs]

        def twice(whole: Callable) -> Callable:
            return vmap(vmap(whole, randomness="same"), randomness="same")

        made = seeded(twice(function), *pairs)
        all_close([y[:, 0] for y in made], want)
        all_close([y[:, 1].flip(0) for y in made], want)
        wanted = [k for k, part in enumerate(sample.inputs()) if part.grad and part.is_floating(dtype_of(op))]
        if not op.differentiable or dtype_of(op) not in FLOATS or not wanted:
            continue
        gradients = gradient_function(function, wanted)
        made = seeded(twice(gradients), *pairs)
        all_close([g[:, 0] for g in made], stacked([seeded(gradients, *row) for row in rows]))
        leaves = [x.requires_grad_() if k in wanted else x for k, x in enumerate(rows[0])]
        outputs = [y for y in seeded(function, *leaves) if y.requires_grad]
        if outputs:
            targets = [leaves[k] for k in wanted]
            weights = weights_for(outputs)
            one = gg.autograd.grad(outputs, targets, weights, retain_graph=True, materialize_grads=True)
            both = [gg.stack([w, 2 * w]) for w in weights]
            many = gg.autograd.grad(outputs, targets, both, materialize_grads=True, is_grads_batched=True)
            for got, g in zip(many, one, strict=True):
                close(got[1], 2 * g)


ON_CUDA = {
    "conv", "cumulative", "distances", "embedding", "extrema", "getitem", "index", "join", "linalg", "loss", "matrix", "moments",
    "normalization", "pool", "reduce", "scan", "scatter_reduce", "shape", "softmax", "sort",
}  # fmt: skip


@pytest.mark.cuda
@pytest.mark.parametrize("op", [pytest.param(op, id=op.id) for op in ALL if op.family in ON_CUDA])
def test_samples_on_cuda(op: OpSamples) -> None:
    check_all(op, "cuda", list(op.samples)[:2])


def test_every_op_has_a_rule_or_a_reason() -> None:
    ops = {op.id for op in ALL}
    assert ops >= VALUES | IN_PLACE
    named = set(RULES) | set(COMPOSITES) | set(WITHOUT_RULE)
    missing = [
        name for name, op in OPS.items() if name not in named and not isinstance(op, (Pointwise, Fused))
    ]
    missing = [name for name in missing if OPS[name].cpu.__module__.startswith("gradgpu.")]
    assert not missing, f"add a rule to gradgpu/ops/batching.py, or a reason to WITHOUT_RULE: {missing}"
    assert not (set(RULES) | set(COMPOSITES)) & set(WITHOUT_RULE)
    assert all(len(reason) > 20 for reason in WITHOUT_RULE.values())


# ---- arguments ----
def test_dimensions(device: str) -> None:
    x, y = gg.randn(3, 4, device=device), gg.randn(4, device=device)
    close(vmap(gg.mul, in_dims=(1, None))(x, gg.ones(3, device=device)), x.T)
    close(vmap(gg.mul, in_dims=(-1, 0))(x, y), (x * y).T)
    close(vmap(gg.mul, in_dims=(0, None), out_dims=1)(x, y), (x * y).T)
    close(vmap(gg.mul, in_dims=(0, None), out_dims=-1)(x, y), (x * y).T)
    a, b = vmap(lambda t: (t * 2, t.sum()), out_dims=(1, 0))(x)
    close(a, 2 * x.T)
    close(b, x.sum(1))
    close(vmap(lambda t: y * 1)(x), y.expand(3, 4))  # a result without the batch is repeated
    close(vmap(lambda t: y * 1, out_dims=None)(x), y)


def test_nested_containers(device: str) -> None:
    x, w = gg.randn(3, 4, device=device), gg.randn(2, 4, device=device)

    def net(parameters: dict, pair: tuple, *, scale: Any) -> dict:
        return {"out": [parameters["w"] @ pair[0] * scale], "twice": pair[1] * 2}

    scales = gg.arange(2.0, device=device)  # a keyword argument: the same for all entries
    made = vmap(net, in_dims=(None, 0))({"w": w}, (x, x), scale=scales)
    close(made["out"][0], (x @ w.T) * scales)
    close(made["twice"], x * 2)
    close(
        vmap(net, in_dims=({"w": None}, (0, None)))({"w": w}, (x, x[0]), scale=scales)["twice"],
        (x[0] * 2).expand(3, 4),
    )


def test_arguments_that_are_refused() -> None:
    x = gg.ones(3, 4)
    for function, error, match in [
        (lambda: vmap(gg.sum, in_dims=2)(x), ValueError, "in_dim"),
        (lambda: vmap(gg.sum, in_dims="0")(x), ValueError, "expected `in_dims` to be int"),
        (lambda: vmap(gg.add, in_dims=[0, 0])(x, x), ValueError, "expected `in_dims` to be int"),
        (lambda: vmap(gg.add, in_dims=(0,))(x, x), ValueError, "not compatible"),
        (lambda: vmap(gg.add)(x, 2.0), ValueError, "non-Tensor"),
        (lambda: vmap(gg.add)(x, gg.ones(2, 4)), ValueError, "same size in the mapped dimension"),
        (lambda: vmap(gg.add, in_dims=None)(x, x), ValueError, "expected `in_dims`"),
        (lambda: vmap(gg.add, in_dims=(None, None))(x, x), ValueError, "at least one input"),
        (lambda: vmap(lambda: 1)(), ValueError, "no inputs"),
        (lambda: vmap(lambda t: 1)(x), ValueError, "must only return Tensors"),
        (lambda: vmap(gg.sin, out_dims=2)(x), IndexError, "out_dims"),
        (lambda: vmap(gg.sin, out_dims=(0, 1))(x), ValueError, "out_dims"),
        (lambda: vmap(gg.sin, out_dims=None)(x), ValueError, "out_dim is None"),
        (lambda: vmap(gg.sin, randomness="no"), RuntimeError, "randomness"),
        (lambda: vmap(gg.sin, chunk_size=0), ValueError, "chunk_size"),
    ]:
        with pytest.raises(error, match=match):
            function()


def test_chunks(device: str) -> None:
    x = gg.randn(7, 3, device=device)
    sizes = []

    def function(t: Any, c: Any) -> dict:
        sizes.append(1)
        return {"a": t.softmax(-1) * c, "b": t.sum()}

    for chunk in (1, 3, 7, 100):
        sizes.clear()
        made = vmap(function, (0, None), {"a": 1, "b": 0}, chunk_size=chunk)(x, gg.tensor(2.0, device=device))
        assert len(sizes) == -(-7 // chunk)
        close(made["a"], (x.softmax(-1) * 2).T)
        close(made["b"], x.sum(1))


def test_empty_batch() -> None:
    x = gg.ones(0, 3)
    assert vmap(lambda t: t.sum() * 2)(x).shape == (0,)
    assert vmap(lambda t, w: (w @ t).relu(), (0, None))(x, gg.ones(2, 3)).shape == (0, 2)


# ---- nesting ----
def test_nested(device: str) -> None:
    x, y = gg.randn(3, 4, device=device), gg.randn(5, 4, device=device)
    outer = vmap(vmap(gg.dot, (None, 0)), (0, None))
    close(outer(x, y), x @ y.T)
    cube = gg.randn(2, 3, 4, device=device)
    close(vmap(vmap(vmap(lambda a: a.exp() + 1)))(cube), cube.exp() + 1)
    close(
        vmap(vmap(lambda row, m: (m * row).sum(), (0, None)))(cube, cube.sum(1)),
        (cube * cube.sum(1, keepdim=True)).sum(2),
    )


def test_derivatives_of_each_kind_nest(device: str) -> None:
    x = gg.randn(3, 4, device=device, dtype=gg.float64)

    def f(t: Any) -> Any:
        return (t.sin() * t.cumsum(0)).sum()

    gradients = gg.stack([grad(f)(row) for row in x])
    matrices = gg.stack([hessian(f)(row) for row in x])
    close(vmap(grad(f))(x), gradients)
    close(vmap(hessian(f))(x), matrices)
    close(vmap(jacrev(jacrev(f)))(x), matrices)
    close(vmap(jacfwd(jacfwd(f)))(x), matrices)
    close(vmap(jacfwd(grad(f)), chunk_size=2)(x), matrices)
    close(grad(lambda t: vmap(f)(t).sum())(x), gradients)
    close(jvp(vmap(f), (x,), (gg.ones_like(x),))[1], gradients.sum(1))
    close(jacrev(vmap(f))(x)[1, 1], gradients[1])
    close(vmap(lambda t: jvp(grad(f), (t,), (gg.ones_like(t),))[1])(x), matrices.sum(2))
    close(vmap(lambda t: vjp(f, t)[1](gg.tensor(2.0, dtype=gg.float64, device=device))[0])(x), 2 * gradients)
    # A derivative outside, of derivatives inside.
    leaf = x.clone().requires_grad_()
    vmap(grad(f))(leaf).sum().backward()
    close(leaf.grad, matrices.sum(1))
    close(grad(lambda t: vmap(grad(f))(t).sum())(x), matrices.sum(1))
    close(grad(lambda t: vmap(jacfwd(f))(t).sum())(x), matrices.sum(1))
    close(vmap(grad(lambda t: grad(f)(t).sum()))(x), matrices.sum(1))
    # Through a closure.
    w = gg.randn(4, device=device, dtype=gg.float64).requires_grad_()
    vmap(grad(lambda t: (w * t).exp().sum()))(x).sum().backward()
    want = gg.autograd.grad((w * (w * x).exp()).sum(), w)[0]
    close(w.grad, want)


def test_graph_outside_of_vmap(device: str) -> None:
    x = gg.randn(4, device=device).requires_grad_()
    y = x.exp() * x.sum()
    rows = vmap(lambda v: gg.autograd.grad(y, x, v, retain_graph=True)[0])(gg.eye(4, device=device))
    close(rows, jacrev(lambda t: t.exp() * t.sum())(x.detach()))
    batched = gg.autograd.grad(y, x, gg.eye(4, device=device), is_grads_batched=True)[0]
    close(batched, rows)
    unused = gg.ones(2, device=device, requires_grad=True)
    z = x * 2
    found = gg.autograd.grad(
        z, (x, unused), gg.eye(4, device=device), allow_unused=True, is_grads_batched=True
    )
    close(found[0], 2 * gg.eye(4, device=device))
    assert found[1] is None


# ---- modules ----
class Net(gg.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = gg.nn.Conv2d(2, 4, 3, padding=1)
        self.group = gg.nn.GroupNorm(2, 4)
        self.layer = gg.nn.LayerNorm(16)
        self.head = gg.nn.Linear(16, 3)

    def forward(self, x: Any) -> Any:
        y = gg.nn.functional.max_pool2d(self.group(self.conv(x)).relu(), 2)
        return self.head(self.layer(y.flatten(1)))


def test_gradient_of_each_sample(device: str) -> None:
    """The example of every vmap tutorial, against a loop of backward passes."""
    net = Net().to(device)
    x, target = gg.randn(5, 2, 4, 4, device=device), gg.tensor([0, 2, 1, 1, 0], device=device)
    parameters = {name: p.detach() for name, p in net.named_parameters()}

    def loss(parameters: dict, sample: Any, label: Any) -> Any:
        logits = functional_call(net, parameters, (sample.unsqueeze(0),))
        return gg.nn.functional.cross_entropy(logits, label.unsqueeze(0), label_smoothing=0.1)

    each = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, target)
    for k in range(5):
        net.zero_grad()
        gg.nn.functional.cross_entropy(net(x[k : k + 1]), target[k : k + 1], label_smoothing=0.1).backward()
        for name, p in net.named_parameters():
            close(each[name][k], p.grad)


def test_ensemble(device: str) -> None:
    nets = [
        gg.nn.Sequential(gg.nn.Linear(3, 8), gg.nn.BatchNorm1d(8), gg.nn.Tanh(), gg.nn.Linear(8, 2)).to(
            device
        )
        for _ in range(4)
    ]
    parameters, buffers = stack_module_state(nets)
    assert parameters["0.weight"].requires_grad and parameters["0.weight"].shape == (4, 8, 3)
    x = gg.randn(6, 3, device=device)
    made = vmap(lambda p, b, t: functional_call(nets[0], (p, b), (t,)), (0, 0, None))(parameters, buffers, x)
    want = gg.stack([net(x) for net in nets])
    close(made, want)
    made.sum().backward()
    want.sum().backward()
    close(parameters["3.weight"].grad, gg.stack([net[3].weight.grad for net in nets]))
    # The running statistics of each moved.
    close(buffers["1.running_mean"], gg.stack([net[1].running_mean for net in nets]))
    close(buffers["1.running_var"], gg.stack([net[1].running_var for net in nets]))
    with pytest.raises(RuntimeError, match="running_mean"):
        vmap(lambda p, t: functional_call(nets[0], p, (t,)), (0, None))(parameters, x)
    with pytest.raises(RuntimeError, match="at least one model"):
        stack_module_state([])
    with pytest.raises(RuntimeError, match="same class"):
        stack_module_state([nets[0], gg.nn.Linear(1, 1)])


def test_recurrent_and_attention_modules(device: str) -> None:
    x = gg.randn(3, 5, 2, 8, device=device)
    lstm = gg.nn.LSTM(8, 4).to(device)
    close(vmap(lambda t: lstm(t)[0])(x), gg.stack([lstm(t)[0] for t in x]))
    layer = gg.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0).to(device)
    close(vmap(layer)(x), gg.stack([layer(t) for t in x]))


# ---- random numbers ----
def test_randomness(device: str) -> None:
    x = gg.zeros(3, 200, device=device)
    draws: dict[str, Callable] = {
        "rand": lambda t: gg.rand(200, device=device) + t,
        "randn_like": lambda t: gg.randn_like(t) + t,
        "randint": lambda t: gg.randint(0, 1000, (200,), device=device) + t,
        "randperm": lambda t: gg.randperm(200, device=device) + t,
        "bernoulli": lambda t: gg.bernoulli(t + 0.5),
        "dropout": lambda t: gg.nn.functional.dropout(t + 1, 0.5),
        "normal": lambda t: gg.normal(t, 1.0),
        "uniform_": lambda t: t.clone().uniform_(),
    }
    for name, function in draws.items():
        with pytest.raises(RuntimeError, match="randomness"):
            vmap(function)(x)
        same = vmap(function, randomness="same")(x)
        different = vmap(function, randomness="different")(x)
        assert bool((same[0] == same[1]).all()), name
        assert not bool((different[0] == different[1]).all()), name
        assert tuple(different.shape) == (3, 200)
        assert not bool((different[0] == same[0]).all()), name


def test_randomness_nested() -> None:
    def inner(t: Any) -> Any:
        return gg.rand(50) + t * 0

    made = vmap(vmap(inner, randomness="different"), randomness="same")(gg.zeros(2, 3, 50))
    assert bool((made[0] == made[1]).all()) and not bool((made[0, 0] == made[0, 1]).all())
    made = vmap(vmap(inner, randomness="same"), randomness="different")(gg.zeros(2, 3, 50))
    assert bool((made[0, 0] == made[0, 1]).all()) and not bool((made[0] == made[1]).all())


def test_dropout_has_one_mask_forward_and_backward(device: str) -> None:
    x = gg.ones(3, 100, device=device)

    def f(t: Any) -> Any:
        return gg.nn.functional.dropout(t, 0.5).sum()

    gradients, values = vmap(gg.func.grad_and_value(f), randomness="different")(x)
    close(gradients.sum(1), values)
    leaf = x.clone().requires_grad_()
    y = gg.nn.functional.dropout(leaf, 0.5)
    rows = gg.autograd.grad(y, leaf, gg.stack([gg.ones_like(y)] * 2), is_grads_batched=True)[0]
    close(rows, gg.stack([y, y]).detach())


# ---- in place, views, values ----
def test_in_place(device: str) -> None:
    x = gg.randn(3, 4, device=device)

    def f(t: Any) -> Any:
        out = gg.zeros_like(t)
        for k in range(4):
            out[k] = t[: k + 1].sum()
        out.mul_(2)
        view = out[1:3]
        view += t[1:3]
        return out

    want = gg.stack([f(row) for row in x])
    close(vmap(f)(x), want)
    close(
        vmap(grad(lambda t: f(t).square().sum()))(x),
        gg.stack([grad(lambda t: f(t).square().sum())(r) for r in x]),
    )
    leaf = x.clone().requires_grad_()
    vmap(f)(leaf).square().sum().backward()
    close(leaf.grad, vmap(grad(lambda t: f(t).square().sum()))(x))

    def keep(t: Any) -> Any:
        y = t * 1
        y.mul_(y)
        return y

    close(vmap(keep)(x), x * x)
    leaf.grad = None
    vmap(keep)(leaf).sum().backward()
    close(leaf.grad, 2 * x)
    changed = x.clone()
    vmap(lambda t: t.add_(1))(changed)  # the batch itself changes
    close(changed, x + 1)
    with pytest.raises(RuntimeError, match="inplace arithmetic"):
        vmap(lambda t: gg.zeros(4, device=device).add_(t))(x)


def test_values_are_refused(device: str) -> None:
    x = gg.ones(3, device=device)
    for function in (lambda t: t if t > 0 else -t, lambda t: t * t.item(), lambda t: gg.tensor(t.tolist())):
        with pytest.raises(RuntimeError, match=r"calling \.item\(\)"):
            vmap(function)(x)
    with pytest.raises(NotImplementedError, match="flat_nonzero"):
        vmap(lambda t: t.nonzero())(gg.ones(2, 3, device=device))


def test_inside(device: str) -> None:
    seen: list[Any] = []

    def f(t: Any) -> Any:
        seen.append(
            (
                tuple(t.shape),
                t.ndim,
                t.numel(),
                t.dtype,
                str(t.device.type),
                t.is_cuda,
                len(t),
                t.requires_grad,
            )
        )
        seen.append(repr(t))
        seen.append(t)
        return t.T.contiguous().view(6).sum() + t.stride(0)

    x = gg.arange(24.0, device=device).reshape(4, 2, 3)
    close(vmap(f)(x), x.sum((1, 2)) + 3)
    assert seen[0] == ((2, 3), 2, 6, gg.float32, device, device == "cuda", 2, False)
    assert seen[1].startswith("BatchedTensor(lvl=1, bdim=0, value=tensor(")
    assert "BatchedTensor" in repr(seen[2])
    with pytest.raises(RuntimeError, match="after that has returned"), gg.no_grad():
        vmap(lambda t: t + seen[2].sum())(x)


def test_backward_inside_is_refused(device: str) -> None:
    w = gg.ones(2, device=device, requires_grad=True)
    with pytest.raises(RuntimeError, match="inside vmap"):
        vmap(lambda t: (w * t).sum().backward())(gg.ones(3, 2, device=device))
    assert w.grad is None


def test_detach_and_no_grad(device: str) -> None:
    x = gg.randn(3, 2, device=device).requires_grad_()
    assert not vmap(lambda t: t.detach() * 2)(x).requires_grad

    def f(t: Any) -> Any:
        with gg.no_grad():
            scale = t.sum()
        return (t * scale).sum()

    close(gg.autograd.grad(vmap(f)(x).sum(), x)[0], x.sum(1, keepdim=True).expand(3, 2).detach())
    close(vmap(grad(f))(x).detach(), x.sum(1, keepdim=True).expand(3, 2).detach())


def test_index_by_a_batched_number(device: str) -> None:
    table, at = gg.randn(5, 2, device=device), gg.tensor([4, 0, -1], device=device)
    close(vmap(lambda i: table[i])(at), table[at])
    rows = gg.randn(3, 5, 2, device=device)
    close(vmap(lambda r, i: r[i])(rows, at), gg.stack([r[int(i)] for r, i in zip(rows, at)]))
    close(
        vmap(lambda r, i: r.index_select(0, i.reshape(1)))(rows, at % 5),
        gg.stack([r[int(i)].unsqueeze(0) for r, i in zip(rows, at)]),
    )


def test_index_out_of_bounds_of_an_entry(device: str) -> None:
    rows, at = gg.randn(3, 5, 2, device=device), gg.tensor([4, 5, 0], device=device)
    with pytest.raises(IndexError, match="out of bounds"):
        vmap(lambda r, i: r[i])(rows, at).cpu()


def test_mixed_dtypes_promote_by_the_entry(device: str) -> None:
    """A 0-dim entry counts as one, though the batch of them has a dimension."""
    x = gg.ones(3, dtype=gg.float64, device=device)
    y = gg.ones(4, dtype=gg.float32, device=device)
    assert vmap(lambda t: t * y)(x).dtype is gg.float32
    assert vmap(lambda t: t * y)(x.reshape(3, 1)).dtype is gg.float64


def test_complex_numbers() -> None:
    x = gg.complex(gg.randn(3, 4), gg.randn(3, 4))
    close(vmap(lambda t: (t * t.conj()).abs().sum())(x), x.abs().square().sum(1))
    m = gg.complex(gg.randn(3, 2, 4), gg.randn(3, 2, 4))
    close(vmap(gg.mv)(m, x), (m @ x.unsqueeze(2)).squeeze(2))
    close(vmap(grad(lambda t: t.abs().sum()))(x), gg.stack([grad(lambda t: t.abs().sum())(r) for r in x]))


def test_an_op_without_rule_names_itself() -> None:
    from gradgpu.ops.registry import Op

    op = OPS.get("test_vmap_no_rule") or Op("test_vmap_no_rule", cpu=lambda x: x + 1)
    op.cpu.__module__ = "tests"
    close(op(gg.ones(2)), gg.ones(2) * 2)
    with pytest.raises(
        NotImplementedError, match="not implemented for test_vmap_no_rule: .*loop over the batch"
    ):
        vmap(op)(gg.ones(2, 2))
    del OPS["test_vmap_no_rule"]


# ---- together with other things ----
def test_anomaly_mode(device: str) -> None:
    x = gg.tensor([[1.0, 2.0], [0.0, 3.0]], device=device)
    with gg.autograd.detect_anomaly():
        close(vmap(grad(lambda t: (t * t).sum()))(x), 2 * x)
        with pytest.raises(RuntimeError, match="nan"):
            vmap(grad(lambda t: (t.sqrt() * 0).sum()))(x)


def test_hooks(device: str) -> None:
    x = gg.randn(3, 4, device=device)
    shapes = []

    def f(t: Any) -> Any:
        y = t * 2
        y.register_hook(lambda g: shapes.append(tuple(g.shape)) or g * 3)
        return y.sum()

    close(vmap(grad(f))(x), gg.full((3, 4), 6.0, device=device))
    assert shapes == [(4,)]
    with gg.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        close(vmap(grad(lambda t: (t.sin() * t).sum()))(x), (x.cos() * x + x.sin()))


def test_autocast_and_checkpoint() -> None:
    x, net = gg.randn(3, 4), gg.nn.Linear(4, 2)
    with gg.autocast("cpu", dtype=gg.bfloat16):
        made = vmap(lambda t: net(t))(x)
    assert made.dtype is gg.bfloat16
    np.testing.assert_allclose(made.float().detach().numpy(), net(x).detach().numpy(), rtol=0.05, atol=0.05)

    def plain(t: Any) -> Any:
        return net(t).tanh().sum()

    def kept(t: Any) -> Any:
        return checkpoint(plain, t, use_reentrant=False)

    close(vmap(grad(kept))(x), vmap(grad(plain))(x))


def test_distributions() -> None:
    x = gg.randn(3, 4)
    close(
        vmap(lambda m: gg.distributions.Normal(m, 1.0).log_prob(m * 2))(x),
        gg.distributions.Normal(x, 1.0).log_prob(2 * x),
    )
    with pytest.raises(ValueError, match="expected parameter scale"):
        vmap(lambda s: gg.distributions.Normal(0.0, s).log_prob(s))(x)
    draws = vmap(lambda m: gg.distributions.Normal(m, 1.0).rsample(), randomness="different")(gg.zeros(3, 50))
    assert not bool((draws[0] == draws[1]).any())


def test_two_threads() -> None:
    import threading

    results: dict[int, Any] = {}

    def work(k: int) -> None:
        x = gg.full((5, 3), float(k))
        for _ in range(20):
            results[k] = vmap(grad(lambda t: (t**3).sum()))(x)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(4):
        close(results[k], gg.full((5, 3), 3.0 * k * k))


def test_nothing_is_left_after_an_error() -> None:
    from gradgpu.autograd.layers import LAYERS

    for transform in (vmap, lambda f: lambda t: jvp(f, (t,), (t,)), jacfwd, jacrev):
        with pytest.raises(ZeroDivisionError):
            transform(lambda t: t * (1 // 0))(gg.ones(3))
    assert not LAYERS


# ---- the rest of torch.func ----
def test_functional_call() -> None:
    class Tied(gg.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = gg.nn.Linear(2, 2, bias=False)
            self.b = gg.nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight
            self.register_buffer("scale", gg.tensor(2.0))

        def forward(self, x: Any, *, more: Any = 0) -> Any:
            return self.b(self.a(x)) * self.scale + more

    net, x, w = Tied(), gg.randn(3, 2), gg.randn(2, 2)
    close(functional_call(net, {"a.weight": w}, x), (x @ w.T @ w.T) * 2)
    close(
        functional_call(net, {"a.weight": w}, x, tie_weights=False), (x @ w.T @ net.b.weight.T.detach()) * 2
    )
    parts = ({"a.weight": w}, {"scale": gg.tensor(3.0)})
    close(functional_call(net, parts, (x,), {"more": 1}, strict=True), (x @ w.T @ w.T) * 3 + 1)
    close(functional_call(net, {"a.weight": w, "b.weight": w}, (x,)), (x @ w.T @ w.T) * 2)
    assert net.scale.item() == 2.0 and net.b.weight is net.a.weight
    for values, error, match in [
        ({"a.weight": w, "b.weight": w + 1}, ValueError, "tied"),
        (({"a.weight": w}, {"a.weight": w}), ValueError, "multiple dictionaries"),
        ({"c": w}, KeyError, "named"),
        ([w], ValueError, "to be a dict"),
    ]:
        with pytest.raises(error, match=match):
            functional_call(net, values, x)
    with pytest.raises(RuntimeError, match="Missing key"):
        functional_call(net, {"a.weight": w}, x, strict=True)


def test_transforms_of_several_arguments() -> None:
    x, y = gg.randn(3), gg.randn(3)
    gradients, (value, aux) = gg.func.grad_and_value(
        lambda a, b: ((a * b).sum(), a + b), argnums=(0, -1), has_aux=True
    )(x, y)
    close(gradients[0], y)
    close(gradients[1], x)
    close(value, (x * y).sum())
    close(aux, x + y)
    outputs, pull, aux = vjp(lambda a, b: ({"p": a * b, "q": [a.sum()]}, "kept"), x, y, has_aux=True)
    assert aux == "kept"
    first, second = pull({"p": gg.ones(3), "q": [gg.tensor(2.0)]})
    close(first, y + 2)
    close(second, x)
    close(outputs["q"][0], x.sum())
    with pytest.raises(RuntimeError, match="pytree structure"):
        pull(gg.ones(3))
    unused = grad(lambda a, b: b.sum())(x, y)
    close(unused, gg.zeros(3))
    for function, match in [
        (lambda: grad(lambda a: a * 2)(x), "scalar Tensor"),
        (lambda: grad(lambda a: a.sum(), argnums=1)(x), "argnum"),
        (lambda: grad(lambda a: a.sum(), argnums=())(x), "non-empty"),
        (lambda: grad(lambda a: a.sum())(2.0), "Tensors"),
        (lambda: grad(lambda a: a.float().sum())(x.long()), "floating point"),
        (lambda: grad(lambda a: a.sum(), has_aux=True)(x), "has_aux"),
        (lambda: vjp(lambda a: 1.0, x), "Tensors"),
    ]:
        with pytest.raises(RuntimeError, match=match):
            function()


def test_no_batch_statistics_under_vmap() -> None:
    net = gg.nn.Sequential(gg.nn.Conv1d(2, 3, 1), gg.nn.BatchNorm1d(3))
    x = gg.randn(4, 5, 2, 6)
    with pytest.raises(RuntimeError, match="running_mean"):
        vmap(net)(x)
    assert gg.func.replace_all_batch_norm_modules_(net) is net
    close(vmap(net)(x), gg.stack([net(t) for t in x]))


def test_rearrange() -> None:
    x = gg.arange(2.0 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    rearrange = gg.func.rearrange
    close(rearrange(x, "a b c d -> d (c a) b"), x.permute(3, 2, 0, 1).reshape(6, 8, 3))
    close(
        rearrange(x, "a b c (d e) -> (a e) b c d", e=2),
        x.reshape(2, 3, 4, 3, 2).permute(0, 4, 1, 2, 3).reshape(4, 3, 4, 3),
    )
    close(rearrange(x, "a ... -> ... a"), x.permute(1, 2, 3, 0))
    close(rearrange(x, "a ... d -> (...) 1 (d a)"), x.permute(1, 2, 3, 0).reshape(12, 1, 12))
    close(rearrange([x, x], "n a b c d -> a n b c d"), gg.stack([x, x], 1))
    close(rearrange(x[:1], "1 b c d -> b c d ()"), x[0].unsqueeze(-1))
    close(vmap(lambda t: rearrange(t, "b c d -> d (b c)"))(x), x.permute(0, 3, 1, 2).reshape(2, 6, 12))
    for pattern, more, match in [
        ("a b c d", {}, "one '->'"),
        ("a b c -> a b c", {}, "dimensions"),
        ("a b c d -> a b c", {}, "same names"),
        ("a b c d -> a b c d d", {}, "same names"),
        ("a a c d -> a c d", {}, "twice"),
        ("a b c (d e) -> a b c d e", {}, "do not follow"),
        ("a b c (d e) -> a b c d e", {"d": 4}, "cannot be"),
        ("a b c d -> a b c d", {"e": 4}, "not on the left"),
        ("a b c (d -> a b c d", {}, "do not match"),
        ("a b c d-e -> a b c d", {}, "no name"),
    ]:
        with pytest.raises(ValueError, match=match):
            rearrange(x, pattern, **more)
