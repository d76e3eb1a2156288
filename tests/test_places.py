"""What PyTorch scripts find under other names and in other places: accelerator, backends, nn.modules, nn.parallel."""

from __future__ import annotations

import itertools
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gradgpu as gg
from gradgpu import nn


def test_accelerator() -> None:
    assert gg.accelerator.is_available() is gg.cuda.is_available()
    assert gg.accelerator.device_count() == gg.cuda.device_count()
    found = gg.accelerator.current_accelerator()
    assert found == gg.device("cuda") if gg.cuda.is_available() else found is None
    gg.accelerator.synchronize() if gg.cuda.is_available() else None
    with pytest.raises(AttributeError, match="no_such_name"):
        gg.accelerator.no_such_name  # noqa: B018


def test_backends() -> None:
    before = gg.backends.cudnn.benchmark
    gg.backends.cudnn.benchmark = True
    assert gg.backends.cudnn.benchmark and gg.backends.cudnn.deterministic
    gg.backends.cudnn.benchmark = before
    assert not gg.backends.mps.is_available() and not gg.backends.mkldnn.is_available()
    assert not gg.backends.cudnn.is_available() and gg.backends.cudnn.version() is None
    assert gg.backends.cuda.is_built() and not gg.backends.cuda.matmul.allow_tf32


def test_modules_are_the_layers() -> None:
    assert nn.modules.dropout.Dropout is nn.Dropout and nn.modules.batchnorm.BatchNorm1d is nn.BatchNorm1d
    assert nn.modules.module.Module is nn.Module and nn.modules.Linear is nn.Linear


@pytest.mark.cuda
@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_data_parallel(place: str) -> None:
    layer = nn.Linear(2, 3)
    x = gg.ones(4, 2, device=place)
    wrapped = nn.DataParallel(
        layer, device_ids=[0]
    )  # with a GPU the module goes there, and so does what it is called with
    assert layer.weight.is_cuda and wrapped.device_ids == [0] and wrapped.output_device == 0
    expected = layer(x.cuda())
    assert (wrapped(x) == expected).all() and wrapped.module is layer
    assert (nn.parallel.data_parallel(layer, x, [0]) == expected).all()
    assert nn.DataParallel(nn.Identity())({"x": [x, 1]})["x"][0].is_cuda
    assert sorted(wrapped.state_dict()) == ["module.bias", "module.weight"]
    with pytest.raises(NotImplementedError, match="2 devices.*one device a process"):
        nn.DataParallel(layer, device_ids=[0, 1])
    with pytest.raises(NotImplementedError, match="2 devices"):
        nn.parallel.data_parallel(layer, x, range(2))


def test_data_parallel_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gg.cuda, "device_count", lambda: 0)
    wrapped = nn.DataParallel(nn.Linear(2, 3), device_ids=[0])
    assert wrapped.device_ids == [] and wrapped(gg.ones(1, 2)).device.type == "cpu"


@pytest.mark.cuda
def test_what_data_parallel_is_made_of() -> None:
    from gradgpu.nn.parallel._functions import Broadcast, ReduceAddCoalesced
    from gradgpu.nn.parallel.parallel_apply import get_a_var, parallel_apply
    from gradgpu.nn.parallel.scatter_gather import gather, scatter_kwargs

    layer = nn.Linear(2, 1).cuda()
    Pair = namedtuple("Pair", "a b")
    inputs, options = scatter_kwargs((Pair(gg.ones(3, 2), 5),), {"scale": gg.ones(1)}, ["cuda:0"])
    assert len(inputs) == len(options) == 1 and inputs[0][0].a.is_cuda and inputs[0][0].b == 5
    assert options[0]["scale"].is_cuda and get_a_var([{"x": (None, inputs[0][0])}]) is inputs[0][0].a
    results = parallel_apply(nn.parallel.replicate(layer, [0]), [inputs[0][0].a])
    joined = gather([{"y": results[0], "n": None}], "cpu")
    assert joined["y"].device.type == "cpu" and joined["n"] is None and joined["y"].shape == (3, 1)
    joined["y"].sum().backward()
    assert layer.weight.grad.tolist() == [[3.0, 3.0]]
    x = gg.ones(2, device="cuda", requires_grad=True)
    sums = ReduceAddCoalesced.apply(0, 1, x, 2 * x)
    Broadcast.apply([0], *sums)[0].sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert nn.parallel.gather([gg.ones((), device="cuda")], 0).shape == (1,)
    with pytest.raises(AssertionError, match="CPU tensors"):
        Broadcast.apply([0], gg.ones(2))
    with pytest.raises(ValueError, match="number of modules 1"):
        parallel_apply([layer], [])
    with pytest.raises(ValueError, match="same number of keys"):
        gather([{"x": x}, {}], 0)


@pytest.mark.cuda
def test_copies_between_one_gpu() -> None:
    from gradgpu.cuda import comm

    x = gg.arange(4.0)
    assert comm.broadcast(x, [0])[0].is_cuda and comm.scatter(x, ["cuda:0"])[0].tolist() == x.tolist()
    outs = [gg.empty(1), gg.empty(3)]
    assert [t.tolist() for t in comm.scatter(x, out=outs)] == [[0.0], [1.0, 2.0, 3.0]] and outs[0].item() == 0
    assert comm.broadcast(x, out=[gg.empty(4)])[0].tolist() == x.tolist()
    assert comm.reduce_add([x, x]).tolist() == [0.0, 2.0, 4.0, 6.0] and comm.reduce_add([x]).is_cuda
    assert comm.gather([x, x], destination=-1).shape == (8,) and comm.gather([x], out=gg.empty(4))[3] == 3
    assert (
        comm.get_device_index(None, optional=True) == 0 and comm.get_device_index("cpu", allow_cpu=True) == -1
    )
    for call, error, message in (
        (lambda: comm.broadcast(x), RuntimeError, "Exactly one"),
        (lambda: comm.scatter(x), RuntimeError, "Exactly one"),
        (lambda: comm.broadcast(x, [0, 1]), NotImplementedError, "2 devices"),
        (lambda: comm.broadcast(x, []), ValueError, "expected a device"),
        (lambda: comm.broadcast(x, ["cpu"]), ValueError, "CUDA device"),
        (lambda: comm.reduce_add([]), RuntimeError, "no tensors"),
        (lambda: comm.reduce_add([x, x[:2]]), ValueError, "does not match"),
        (lambda: comm.get_device_index(None), ValueError, "specified index"),
    ):
        with pytest.raises(error, match=message):
            call()


def test_kinds_of_tensors(device: str) -> None:
    x = gg.ones(1, device=device)
    assert not (x.is_sparse or x.is_quantized or x.is_meta or x.is_mps or x.is_xpu)
    assert x.is_signed() and not x.to(gg.uint8).is_signed()
    assert x.is_nonzero() and x.is_same_size(x) and not x.is_same_size(x[None])


def test_two_dimensional_dropout2d_warns(device: str) -> None:
    x = gg.ones(100, 50, device=device)
    with pytest.warns(UserWarning, match="2-D input to dropout2d"):
        y = nn.functional.dropout2d(x, 0.5)
    assert 1000 < (y == 0).sum() < 4000  # single elements fall out, not rows


@pytest.mark.parametrize("replacement", [False, True])
def test_a_sampler_of_very_many_indices(replacement: bool) -> None:
    sampler = gg.utils.data.RandomSampler(range(10), replacement=replacement, num_samples=10**10)
    assert len(sampler) == 10**10
    first = list(itertools.islice(sampler, 30))
    assert set(first) <= set(range(10)) and len(first) == 30
    if not replacement:
        assert sorted(first[:10]) == list(range(10))
    data = gg.utils.data.TensorDataset(gg.arange(10))
    batch = next(iter(gg.utils.data.DataLoader(data, batch_size=4, sampler=sampler)))
    assert batch[0].shape == (4,)


def test_randint_of_one_bound_and_a_size(device: str) -> None:
    x = gg.randint(3, size=(50,), device=device)
    assert x.shape == (50,) and 0 <= x.min() and x.max() < 3


def test_distributed_says_that_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not gg.distributed.is_available() and not gg.distributed.is_initialized()
    assert not gg.distributed.is_backend_available("nccl") and gg.distributed.group.WORLD is None
    for options in ({}, {"world_size": 2, "rank": 0}):
        with pytest.raises(
            RuntimeError, match=f"no process groups of {options.get('world_size', 'several')}"
        ):
            gg.distributed.init_process_group("nccl", **options)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(RuntimeError, match="no process groups of 4"):
        gg.distributed.init_process_group("nccl")
    for name in ("get_rank", "barrier", "new_group", "destroy_process_group"):
        with pytest.raises(ValueError, match=f"{name}.*has not been initialized"):
            getattr(gg.distributed, name)()
    with pytest.raises(ValueError, match="has not been initialized"):
        gg.nn.parallel.DistributedDataParallel(gg.nn.Linear(1, 1))


@pytest.fixture
def group_of_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("WORLD_SIZE", "1")  # as torchrun does
    monkeypatch.setenv("RANK", "0")
    gg.distributed.init_process_group("gloo")
    yield gg.distributed
    gg.distributed.destroy_process_group()


def test_a_group_of_one(group_of_one: Any, device: str) -> None:
    dist = group_of_one
    with pytest.raises(ValueError, match="twice"):
        dist.init_process_group("gloo", world_size=1, rank=0)
    assert (dist.is_initialized(), dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (
        True,
        0,
        1,
        "gloo",
    )
    assert (
        dist.new_group([0]) is dist.group.WORLD
        and dist.group.WORLD.size() == 1
        and dist.get_process_group_ranks() == [0]
    )
    assert (
        dist.get_global_rank(None, 0) == dist.get_group_rank(None, 0) == 0
        and dist.get_node_local_rank(5) == 5
    )
    x = gg.tensor([1.0, 2.0], device=device)
    for call in (dist.all_reduce, dist.broadcast, dist.reduce):
        assert call(x) is None and call(x, async_op=True).wait() and x.tolist() == [1, 2]
    for call in (
        lambda out: dist.all_gather([out], x), lambda out: dist.all_gather_into_tensor(out, x), lambda out: dist.gather(x, [out]),
        lambda out: dist.scatter(out, [x]), lambda out: dist.reduce_scatter(out, [x]), lambda out: dist.reduce_scatter_tensor(out, x),
        lambda out: dist.all_to_all([out], [x]), lambda out: dist.all_to_all_single(out, x),
    ):  # fmt: skip
        out = gg.zeros(2, device=device)
        assert call(out) is None and out.tolist() == [1, 2]
    for call in (
        dist.all_gather_object,
        lambda out, obj: dist.gather_object(obj, out),
        lambda out, obj: dist.scatter_object_list(out, [obj]),
    ):
        objects: list = [None]
        call(objects, "it")
        dist.broadcast_object_list(objects)
        assert objects == ["it"]
    dist.monitored_barrier()
    with pytest.raises(ValueError, match="no process 1 in a group of one"):
        dist.broadcast(x, src=1)
    with pytest.raises(ValueError, match="list of one entry, a process each, got 2"):
        dist.all_gather([x, x], x)
    with pytest.raises(ValueError, match=r"\(3,\) does not hold the input \(2,\)"):
        dist.all_gather_into_tensor(gg.zeros(3, device=device), x)
    with pytest.raises(TypeError, match="expected a Tensor, got float"):
        dist.all_reduce(1.0)
    with pytest.raises(ValueError, match="no other process"):
        dist.send(x, 1)


def test_gradients_and_modules_in_a_group_of_one(group_of_one: Any) -> None:
    import gradgpu.distributed.nn as collectives

    x = gg.tensor([1.0, 2.0], requires_grad=True)
    parts = (
        collectives.all_reduce(x), collectives.reduce(x, 0), collectives.broadcast(x, 0), *collectives.all_gather(x),
        *collectives.gather(x), collectives.scatter([x]), collectives.reduce_scatter(gg.zeros(2), [x]),
        *collectives.all_to_all([gg.zeros(2)], [x]), collectives.functional.all_to_all_single(gg.zeros(2), x),
    )  # fmt: skip
    sum(parts).sum().backward()
    assert x.grad.tolist() == [9.0, 9.0] and all(part.tolist() == [1, 2] for part in parts)
    net = nn.parallel.DistributedDataParallel(nn.Linear(2, 1), device_ids=None)
    with net.no_sync():
        net(gg.ones(1, 2)).sum().backward()
    with net.join():
        assert net.module.weight.grad.tolist() == [[1.0, 1.0]]
    with pytest.raises(RuntimeError, match="not needed"):
        nn.parallel.DistributedDataParallel(nn.ReLU())
    sampler = gg.utils.data.distributed.DistributedSampler(range(4), shuffle=False)
    assert list(sampler) == [0, 1, 2, 3]


def test_compile_gives_back_what_it_got() -> None:
    net = nn.Linear(1, 1)
    with pytest.warns(UserWarning, match="no compiler"):
        assert gg.compile(net, mode="max-autotune") is net
    with pytest.warns(UserWarning, match="no compiler"):
        assert gg.compile(fullgraph=True)(abs) is abs
    with pytest.warns(UserWarning, match="no compiler"):
        net.compile()
    with pytest.raises(TypeError, match="no_such_option"):
        gg.compile(net, no_such_option=1)


def test_scripted_functions_are_the_functions() -> None:
    net = nn.Linear(1, 1)
    with pytest.warns(UserWarning, match="jit.script: gradgpu has no compiler"):
        assert gg.jit.script(net) is net
    with pytest.warns(UserWarning, match="jit.trace: gradgpu has no compiler"):
        assert gg.jit.trace(net, gg.ones(1, 1)) is net
    for mark in (gg.jit.export, gg.jit.unused, gg.jit.ignore, gg.jit.ignore(drop=True), gg.jit.script_method):
        assert mark(abs) is abs
    assert not gg.jit.is_scripting() and not gg.jit.is_tracing() and gg.jit.annotate(int, 3) == 3
    assert gg.jit.interface(nn.Linear) is nn.Linear and gg.jit.Attribute(3, int).value == 3
    with pytest.raises(RuntimeError, match="modules in eval mode"):
        gg.jit.freeze(net)
    assert gg.jit.optimize_for_inference(gg.jit.freeze(net.eval())) is net
    with pytest.raises(RuntimeError, match="writes no TorchScript.*state_dict"):
        gg.jit.save(net, "net.pt")
    with pytest.raises(RuntimeError, match="reads no TorchScript"):
        gg.jit.load("net.pt")


def test_modules_written_for_a_compiler() -> None:
    class Scaled(gg.jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(gg.tensor([2.0]))

        @gg.jit.script_method
        def forward(self, x: gg.Tensor) -> gg.Tensor:
            return x * self.weight

    futures = [gg.jit.fork(Scaled(), gg.tensor([float(k)])) for k in range(3)]
    assert [gg.jit.wait(f).item() for f in futures] == [0.0, 2.0, 4.0] and futures[0].done()
    assert not isinstance(nn.Linear(1, 1), gg.jit.ScriptModule)
    assert not isinstance(abs, gg.jit.ScriptFunction)
    with pytest.raises(RuntimeError, match="no compiler"):
        gg.jit.ScriptFunction()


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, int, True),
        (1, str, False),
        ([1, 2], list[int], True),
        ([1, "2"], list[int], False),
        ((1, "2"), tuple[int, str], True),
        ((1, 2, 3), tuple[int, ...], True),
        ((1,), tuple[int, str], False),
        ({"a": [1.0]}, dict[str, list[float]], True),
        ({"a": [1]}, dict[str, list[float]], False),
        (None, int | None, True),
        ("a", int | None, False),
        ("a", (int, str), True),
        (3, list[int], False),
        (3, Any, True),
    ],
)
def test_types_within_containers(value: Any, kind: Any, expected: bool) -> None:
    assert gg.jit.isinstance(value, kind) is expected


def test_settings_of_a_compiler_that_is_not_there() -> None:
    import gradgpu._dynamo.config
    import gradgpu._inductor.config

    gradgpu._dynamo.config.suppress_errors = True
    assert gg._dynamo.config.suppress_errors and gradgpu._dynamo.config is gg._dynamo.config
    gradgpu._dynamo.config.suppress_errors = False
    gradgpu._inductor.config.triton.unique_kernel_names = True
    assert gg._inductor.config.triton.unique_kernel_names
    gg._dynamo.reset()
    gg._dynamo.mark_dynamic(gg.ones(1), 0)
    assert gg._dynamo.disable(abs) is abs and not isinstance(nn.ReLU(), gg._dynamo.OptimizedModule)
    with pytest.warns(UserWarning, match="no compiler"):
        assert gg._dynamo.optimize("inductor")(abs) is abs


def test_functional() -> None:
    import gradgpu.functional as F

    assert F.F is nn.functional and all(
        getattr(F, name) is getattr(gg, name) for name in F.__all__ if name != "F"
    )


def test_nothing_is_compiled_or_exported() -> None:
    assert not gg.compiler.is_compiling() and not gg.compiler.is_exporting()
    assert (
        gg.compiler.disable(abs)
        is gg.compiler.disable(recursive=False)(abs)
        is gg.compiler.allow_in_graph(abs)
        is abs
    )
    gg.compiler.reset()
    assert not gg.onnx.is_in_onnx_export()
    with pytest.raises(NotImplementedError, match="writes no ONNX"):
        gg.onnx.export(nn.Linear(1, 1), gg.ones(1, 1), "net.onnx")


def test_version() -> None:
    assert gg.version.__version__ == gg.__version__ and gg.version.hip is None
    project = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    assert f'version = "{gg.version.gradgpu}"' in project  # what pip says
    assert str(gg.__version__).endswith(f"+gradgpu.{gg.version.gradgpu}")
    if not gg.cuda.is_available() or gg.cuda.is_simulated():
        assert gg.version.cuda is None
    else:
        assert [part.isdigit() for part in gg.version.cuda.split(".")] == [True, True]
    with pytest.raises(AttributeError, match="no_such_name"):
        gg.version.no_such_name  # noqa: B018


def test_versions_compare_as_versions() -> None:
    from gradgpu.torch_version import TorchVersion

    v = TorchVersion("2.13.0+gradgpu.0.1.0")
    assert v >= "2.4" and v > "2.13.0" and v < "2.13.1" and v >= (2, 13) and not v < (2, 4, 1) and v <= "3"
    assert (
        v == "2.13.0+gradgpu-0.1.0"
        and v != "2.13.0"
        and hash(v) == hash(str(v))
        and v.split("+")[0] == "2.13.0"
    )
    ordered = [
        "0.9", "1.0.dev1", "1.0a1.dev2", "1.0a1", "1.0a2", "1.0b1", "1.0rc1", "1.0", "1.0+cpu", "1.0+cpu.2", "1.0.post0",
        "1.0-3", "1.0.1", "1.10", "1!0.1",
    ]  # fmt: skip
    for older, newer in itertools.pairwise(ordered):
        assert TorchVersion(older) < newer and TorchVersion(newer) > older and TorchVersion(older) != newer, (
            older
        )
    assert TorchVersion("1.0") == "1" and TorchVersion("v1.0") == (1, 0)
    assert TorchVersion("nightly") > "1.0" and TorchVersion("nightly") == "nightly"  # no versions: strings

    class Version:  # as packaging's, whose str is its text
        def __str__(self) -> str:
            return "2.4.0"

    assert v > Version()


def test_memory_that_is_not_there_is_caught_under_pytorchs_name() -> None:
    assert gg.OutOfMemoryError is gg.cuda.OutOfMemoryError
    with pytest.raises(gg.cuda.OutOfMemoryError):
        gg.empty(2**50)


def test_types_of_annotations() -> None:
    from typing import get_args

    assert set(get_args(gg.types.Number)) == {int, float, bool}
    assert gg.device in get_args(gg.types.Device) and gg.Size in get_args(gg.types._size)


def _double(i: int, x: gg.Tensor) -> None:
    x[i] = 2 * x[i]
    if i == 2:
        raise SystemExit(3)


def test_processes_share_a_tensor() -> None:
    x = gg.tensor([1.0, 2.0, 3.0])
    assert not x.is_shared() and x.share_memory_() is x and x.is_shared() and x.tolist() == [1, 2, 3]
    gg.multiprocessing.spawn(_double, (x,), nprocs=2, start_method="fork")
    assert x.tolist() == [2, 4, 3]
    with pytest.raises(RuntimeError, match="process 2 terminated with exit code 3"):
        gg.multiprocessing.spawn(_double, (x,), nprocs=3, start_method="fork")
    with pytest.raises(RuntimeError, match="a view"):
        gg.ones(3)[1:].share_memory_()
    net = nn.Linear(2, 2).share_memory()
    assert net.weight.is_shared() and isinstance(net.weight, nn.Parameter)
    with pytest.raises(ValueError, match="no_such_strategy"):
        gg.multiprocessing.set_sharing_strategy("no_such_strategy")


def test_default_tensor_type(device: str) -> None:
    kind = gg.DoubleTensor if device == "cpu" else gg.cuda.DoubleTensor
    try:
        gg.set_default_tensor_type(kind)
        x = gg.zeros(1)
        assert x.dtype is gg.float64 and x.device.type == device
    finally:
        gg.set_default_tensor_type("torch.FloatTensor")
    assert gg.zeros(1).dtype is gg.float32 and gg.zeros(1).is_cpu
    with pytest.raises(TypeError, match="only floating-point"):
        gg.set_default_tensor_type(gg.LongTensor)


def test_choice_of_attention_kernels() -> None:
    q = gg.ones(1, 2, 4)
    choice = nn.attention.SDPBackend
    with nn.attention.sdpa_kernel([choice.MATH, choice.FLASH_ATTENTION]), gg.backends.cuda.sdp_kernel():
        assert nn.functional.scaled_dot_product_attention(q, q, q).shape == (1, 2, 4)
    with pytest.raises(TypeError, match="got str"), nn.attention.sdpa_kernel(["MATH"]):
        raise AssertionError


def test_modules_are_importable_as_in_pytorch() -> None:
    from gradgpu.nn.modules.conv import Conv2d
    from gradgpu.nn.modules.loss import _Loss
    from gradgpu.nn.modules.utils import _pair, _triple, consume_prefix_in_state_dict_if_present

    assert Conv2d is nn.Conv2d and issubclass(nn.MSELoss, _Loss)
    assert nn.modules.activation.MultiheadAttention is nn.MultiheadAttention
    attention = nn.MultiheadAttention(2, 1)
    assert type(attention.out_proj) is nn.modules.linear.NonDynamicallyQuantizableLinear
    state = nn.DataParallel(attention).state_dict()
    consume_prefix_in_state_dict_if_present(state, "module.")
    attention.load_state_dict(state)
    assert list(state._metadata) == list(attention.state_dict()._metadata)
    assert _pair(3) == (3, 3) and _pair([1, 2]) == (1, 2) and _triple(0) == (0, 0, 0)


def test_trees() -> None:
    from collections import OrderedDict, namedtuple

    from gradgpu.utils import _pytree as pytree

    Point = namedtuple("Point", "x y")
    tree = {"b": [1, (2,)], "a": Point(3, OrderedDict(k=4, l=[]))}
    leaves, spec = pytree.tree_flatten(tree)
    assert leaves == [1, 2, 3, 4] and pytree.tree_unflatten(leaves, spec) == tree
    assert pytree.tree_map(lambda a, b: a + b, tree, tree)["a"] == Point(6, OrderedDict(k=8, l=[]))
    assert pytree.tree_map_only(str, str.upper, ["a", 1]) == ["A", 1]
    assert pytree.tree_leaves([(1, 2), 3], is_leaf=lambda x: isinstance(x, tuple)) == [(1, 2), 3]
    assert pytree.tree_any(lambda x: x == 4, tree) and not pytree.tree_all(lambda x: x == 4, tree)
    with pytest.raises(ValueError, match="4 leaves, got 3"):
        pytree.tree_unflatten(leaves[:3], spec)


def test_the_deprecated_comparison() -> None:
    x = gg.tensor([1.0, gg.nan])
    gg.testing.assert_allclose(x, x.double())  # NaN equals NaN, and dtypes may differ
    gg.testing.assert_allclose(x[0] + 5e-5, 1)
    with pytest.raises(AssertionError):
        gg.testing.assert_close(x[0] + 5e-5, x[0])
    with pytest.raises(AssertionError, match="not the same"):
        gg.testing.assert_allclose([1.0, 2.0], [1.0, 3.0], msg="not the same")


def test_modules_found_without_an_import_of_their_own() -> None:
    import subprocess
    import sys

    found = (
        "import gradgpu as torch; torch.utils.checkpoint.checkpoint, torch.utils.hooks.RemovableHandle, torch.utils.dlpack.to_dlpack, "
        "torch.nn.utils.fusion.fuse_conv_bn_eval, torch.nn.utils.init.skip_init, torch.nn.utils.rnn.pad_sequence, "
        "torch.optim.lr_scheduler.StepLR, torch.optim.swa_utils.AveragedModel, torch.autograd.functional.jacobian, "
        "torch.backends.cudnn.benchmark, torch.distributions.Normal, torch.fft.fft, torch.linalg.norm, torch.jit.script"
    )
    subprocess.run([sys.executable, "-c", found], check=True)
    with pytest.raises(AttributeError, match="no_such_name"):
        gg.utils.no_such_name  # noqa: B018


def test_what_packages_ask_of_the_module_in_c() -> None:
    from gradgpu._C import Value, _get_tracing_state, _LinAlgError, _set_grad_enabled

    assert gg._C._get_tracing_state is _get_tracing_state and _get_tracing_state() is None
    gg._C._log_api_usage_once("a package's class")
    assert _LinAlgError is gg.linalg.LinAlgError and gg._C.Size is gg.Size and gg._C.Generator is gg.Generator
    _set_grad_enabled(False)
    try:
        assert not gg.is_grad_enabled()
    finally:
        _set_grad_enabled(True)
    with pytest.raises(RuntimeError, match="TorchScript"):
        Value()
    x, y = gg.ones(1), gg.ones(1)
    assert x._cdata == x._cdata != y._cdata


def test_extensions_in_cpp_are_refused_when_they_are_built() -> None:
    from gradgpu.utils import cpp_extension

    assert (
        cpp_extension.BuildExtension.with_options(no_python_abi_suffix=True) is cpp_extension.BuildExtension
    )
    assert cpp_extension.include_paths("cuda") == cpp_extension.library_paths() == []
    for build in (
        lambda: cpp_extension.load("name", ["a.cpp"], verbose=True),
        lambda: cpp_extension.load_inline("name", "", functions=["f"]),
        lambda: cpp_extension.CUDAExtension("name", ["a.cu"]),
        lambda: cpp_extension.CppExtension("name", ["a.cpp"]),
        lambda: cpp_extension.BuildExtension({}),
    ):
        with pytest.raises(RuntimeError, match="no C\\+\\+ interface.*RawKernel"):
            build()


def test_waiting_for_a_file(tmp_path: Path) -> None:
    import threading

    from gradgpu.utils.file_baton import FileBaton

    first = FileBaton(str(tmp_path / "lock"))
    second = FileBaton(str(tmp_path / "lock"), wait_seconds=0.001, warn_after_seconds=0.0)
    assert first.try_acquire() and not second.try_acquire()
    threading.Timer(0.05, first.release).start()
    with pytest.warns(UserWarning, match="long time"):
        second.wait()
    assert second.try_acquire()
    second.release()


def test_names_of_annotations_and_helpers() -> None:
    from gradgpu.cuda.amp.autocast_mode import autocast
    from gradgpu.cuda.amp.common import amp_definitely_not_available
    from gradgpu.cuda.amp.grad_scaler import GradScaler
    from gradgpu.nn.modules.conv import _ConvTransposeMixin, _pair
    from gradgpu.nn.modules.module import _addindent, _IncompatibleKeys
    from gradgpu.nn.modules.pooling import _AdaptiveAvgPoolNd
    from gradgpu.nn.modules.rnn import apply_permutation
    from gradgpu.nn.modules.transformer import _get_activation_fn, _get_clones
    from gradgpu.nn.modules.utils import _list_with_default, _reverse_repeat_tuple

    from gradgpu import _jit_internal, _utils, onnx
    from gradgpu.jit.annotations import BroadcastingList2, Dict
    from gradgpu.nn import _reduction
    from gradgpu.nn.common_types import _size_2_t

    assert gg.jit.annotations.Dict is Dict is _jit_internal.Dict and BroadcastingList2[int] is None
    assert _jit_internal._overload_method(abs) is abs and _size_2_t == int | tuple[int, int]
    deconv = nn.ConvTranspose2d(1, 1, 3, stride=2)
    assert deconv._output_padding(gg.ones(1, 1, 4, 4), (10, 9), (2, 2), (0, 0), (3, 3), 2) == (1, 0)
    assert issubclass(nn.ConvTranspose2d, _ConvTransposeMixin) and _pair(1) == (1, 1)
    assert issubclass(nn.AdaptiveAvgPool2d, _AdaptiveAvgPoolNd) and not issubclass(
        nn.AdaptiveMaxPool2d, _AdaptiveAvgPoolNd
    )
    assert _addindent("a\nb", 2) == "a\n  b" and _IncompatibleKeys([], []).missing_keys == []
    layers = _get_clones(nn.Linear(1, 1), 2)
    assert layers[0].weight is not layers[1].weight and _get_activation_fn("gelu") is nn.functional.gelu
    assert apply_permutation(gg.arange(3)[None], gg.tensor([2, 0, 1])).tolist() == [[2, 0, 1]]
    assert _reverse_repeat_tuple((1, 2), 2) == (2, 2, 1, 1) and _list_with_default(4, [1]) == 4
    with pytest.raises(ValueError, match="at least 2"):
        _list_with_default((1,), [2])
    assert nn.functional._Reduction is _reduction and _reduction.get_enum("none") == 0
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert _reduction.legacy_get_enum(False, True) == 2
    with pytest.warns(UserWarning, match="elementwise_mean"):
        assert _reduction.get_enum("elementwise_mean") == 1
    with pytest.raises(ValueError, match="half is not"):
        _reduction.get_enum("half")
    assert onnx.OperatorExportTypes.ONNX == 0 and onnx.TrainingMode.EVAL == 0
    onnx.register_custom_op_symbolic("a::b", abs, 9)
    onnx.unregister_custom_op_symbolic("a::b", 9)
    with pytest.raises(NotImplementedError, match="writes no ONNX: f, no"):
        onnx.symbolic_helper._unimplemented("f", "no")
    assert gg._shape_as_tensor is onnx.operators.shape_as_tensor
    groups = list(_utils._take_tensors([gg.ones(2), gg.ones(3), gg.arange(1), gg.ones(1)], 16))
    assert [[t.numel() for t in group] for group in groups] == [[2], [3, 1], [1]]
    assert _utils._get_device_index("cuda:0") == 0 and gg.cuda._utils._get_device_index(0) == 0
    assert issubclass(GradScaler, gg.amp.GradScaler) and issubclass(autocast, gg.amp.autocast)
    assert amp_definitely_not_available() is not gg.cuda.is_available()
    called: list[int] = []
    gg.cuda._lazy_call(lambda: called.append(1))
    assert called == [1]
    assert gg._VF.relu is gg.relu and nn.functional.has_torch_function((gg.ones(1),)) is False
    with pytest.raises(AttributeError):
        gg._VF.__wrapped__  # noqa: B018
    with pytest.raises(TypeError, match="no implementation found"):
        nn.functional.handle_torch_function(abs, (), 1)


def test_exceptions_kept_for_another_place() -> None:
    from gradgpu._utils import ExceptionWrapper

    try:
        raise KeyError("gone")
    except KeyError:
        kept, explicit = ExceptionWrapper(where="in a thread"), ExceptionWrapper(sys.exc_info())
    with pytest.raises(KeyError, match="Caught KeyError in a thread"):
        kept.reraise()
    assert explicit.exc_type is KeyError and explicit.where == "in background" and "gone" in explicit.exc_msg


def test_what_scripts_with_downloads_import(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import ModuleType

    bar = ModuleType("tqdm")
    bar.tqdm = list  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm", bar)
    assert gg.hub.tqdm is list and gg.utils.model_zoo.tqdm is list
    assert (
        gg.hub.urlparse("http://a/b").path == "/b" and gg.hub.HASH_REGEX.search("net-0a1b.pth")[1] == "0a1b"
    )
    for module in (gg.hub, gg.utils.model_zoo, gg._utils):
        with pytest.raises(AttributeError, match="no_such_name"):
            module.no_such_name  # noqa: B018
    storage = gg.ones(2)
    assert gg.serialization.default_restore_location(storage, "cpu") is storage


def test_every_tensor_is_a_variable(device: str) -> None:
    x = gg.ones(2, device=device)
    assert isinstance(x, gg.autograd.Variable) and not isinstance(1.0, gg.autograd.Variable)
    assert gg.autograd.Variable(x) is x and gg.autograd.Variable(x, requires_grad=True).requires_grad
    assert gg.Tensor(size=(2, 3)).shape == (2, 3) and gg.LongTensor(size=(4,)).shape == (4,)

    class Double(gg.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: gg.Tensor) -> gg.Tensor:
            ctx.save_for_backward(x)
            return 2 * x

        @staticmethod
        def backward(ctx: Any, g: gg.Tensor) -> gg.Tensor:
            with pytest.warns(DeprecationWarning, match="saved_tensors"):
                (x,) = ctx.saved_variables
            return 2 * g * x

    x.requires_grad_()
    Double.apply(x).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_names_of_types_are_pytorchs_too(device: str) -> None:
    name = gg.ones(1, device=device).type()
    place = "cuda." if device == "cuda" else ""
    assert (
        name == f"torch.{place}FloatTensor" == name
        and name == f"gradgpu.{place}FloatTensor"
        and str(name) == name
    )
    assert name != "torch.HalfTensor" and not name == 1
    assert {f"torch.{place}FloatTensor": 1}[name] == 1
    assert gg.arange(1).type(name).dtype is gg.float32 and gg.ones(1).volatile is False


@pytest.mark.parametrize("name", ["solve", "lstsq", "symeig", "eig", "matrix_rank"])
def test_functions_that_pytorch_has_no_more(name: str) -> None:
    with pytest.raises(RuntimeError, match=f"{name}: .*linalg"):
        getattr(gg, name)(gg.eye(2))
    with pytest.raises(RuntimeError, match="linalg"):
        getattr(gg.eye(2), name)()


def test_more_names_inside_pytorch(device: str) -> None:
    from gradgpu.autograd.function import FunctionCtx, _ContextMethodMixin
    from gradgpu.jit import _fork, _overload_method, _unwrap_optional, _wait

    x = gg.ones(2, 3, device=device)
    with gg.cuda.device_of(gg.ones(1)), gg.backends.cudnn.flags(benchmark=True):
        assert gg.backends.cudnn.benchmark is True
    assert gg.backends.cudnn.benchmark is False and gg.backends.cudnn.deterministic is True
    assert len(gg.cuda.default_generators) == gg.cuda.device_count()
    assert _ContextMethodMixin is FunctionCtx and gg.autograd._is_checkpoint_valid()
    assert (
        _wait(_fork(abs, -1)) == 1 and _overload_method(abs) is abs and gg.jit.script_if_tracing(abs) is abs
    )
    assert _unwrap_optional(3) == 3
    with pytest.raises(AssertionError, match="null"):
        _unwrap_optional(None)
    with pytest.warns(UserWarning, match="trace_module"):
        assert gg.jit.trace_module(abs, {}) is abs
    gg.jit.TracerWarning.ignore_lib_warnings()
    gg._assert(True, "")
    with pytest.raises(AssertionError, match="wrong"):
        gg._assert(x.sum() < 0, "wrong")
    assert gg._dim_arange(x, 1).tolist() == [0, 1, 2] and gg._dim_arange(x, 1).device == x.device
    assert gg._masked_scale(x, x > 2, 2.0).sum() == 0
    assert gg._sample_dirichlet(x).shape == x.shape
    assert gg._C._nn._parse_to(x.device, gg.float64, True) == (x.device, gg.float64, True, None)
    assert gg._C.is_grad_enabled() and gg.legacy_contiguous_format is gg.contiguous_format
    assert gg.multiprocessing.get_sharing_strategy() in gg.multiprocessing.get_all_sharing_strategies()


def test_backward_passes_that_checkpoints_with_reentrance_do_not_support() -> None:
    found: list[bool] = []
    x = gg.ones(1, requires_grad=True)
    gg.autograd._is_checkpoint_valid()
    for run in (lambda y: y.backward(), lambda y: gg.autograd.grad(y, x)):
        y = x * 2
        y.grad_fn.register_hook(lambda *_: found.append(gg.autograd._is_checkpoint_valid()))
        run(y)
    assert found == [True, False]


def test_subclasses_of_tensor(device: str) -> None:
    class Image(gg.Tensor):
        def width(self) -> int:
            return self.shape[-1]

    x = gg.arange(3.0, device=device).requires_grad_()
    image = (x * 2).as_subclass(Image)
    assert image.width() == 3 and image.requires_grad
    image.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0, 2.0]
    made = gg.Tensor._make_subclass(Image, x, True)
    assert made.is_leaf and made.requires_grad and made.data_ptr() == x.data_ptr()
    with pytest.raises(TypeError, match="subclass of Tensor"):
        x.as_subclass(int)


def test_softmax_backward_by_name(device: str) -> None:
    x = gg.randn(2, 3, device=device, dtype=gg.float64, requires_grad=True)
    g = gg.randn(2, 3, device=device, dtype=gg.float64)
    for forward, backward in (
        (gg.softmax, gg._softmax_backward_data),
        (gg.log_softmax, gg._log_softmax_backward_data),
    ):
        y = forward(x, 1)
        (expected,) = gg.autograd.grad(y, x, g)
        assert gg.allclose(backward(g, y.detach(), -1, gg.float64), expected)


def test_convolution_with_time_first(device: str) -> None:
    x = gg.randn(5, 2, 3, device=device, dtype=gg.float64, requires_grad=True)
    weight = gg.randn(3, 3, 4, device=device, dtype=gg.float64, requires_grad=True)
    bias = gg.randn(4, device=device, dtype=gg.float64, requires_grad=True)
    y = gg.conv_tbc(x, weight, bias, 1)
    assert y.shape == (5, 2, 4)
    assert gg.allclose(y[2], bias + sum(x[1 + k] @ weight[k] for k in range(3)))
    assert gg.autograd.gradcheck(lambda *a: nn.functional.conv_tbc(*a, pad=1), (x, weight, bias))
    with pytest.raises(RuntimeError, match="input must have 3 dimensions"):
        gg.conv_tbc(x[0], weight, bias)


def test_the_cpu_as_a_device() -> None:
    assert gg.cpu.is_available() and gg.cpu.device_count() == 1 and gg.cpu.current_device() == "cpu"
    gg.cpu.synchronize()
    gg.cpu.set_device("cpu")
    gg.cpu.current_stream().wait_stream(gg.cpu.Stream())
    with gg.cpu.stream(None), gg.cpu.amp.autocast():
        assert (gg.ones(1, 1) @ gg.ones(1, 1)).dtype is gg.bfloat16


def test_swap_tensors(device: str) -> None:
    layer = nn.Linear(2, 1).to(device)
    new = gg.zeros(1, 2, device=device)
    weight = layer.weight
    gg.utils.swap_tensors(weight, new)
    assert (
        layer.weight is weight
        and type(weight) is gg.Tensor
        and type(new) is nn.Parameter
        and not weight.any()
    )
    gg.utils.swap_tensors(weight, new)
    assert type(weight) is nn.Parameter and weight.any()
    import weakref

    reference = weakref.ref(new)
    with pytest.raises(RuntimeError, match="t2.*weakref"):
        gg.utils.swap_tensors(weight, new)
    assert reference() is new


def test_tensors_in_sequences_are_numbers(device: str) -> None:
    one = gg.ones(1, device=device)
    assert gg.tensor([one, 2 * one]).tolist() == [1.0, 2.0]  # numbers, not rows
    assert gg.tensor([[one], [one]]).shape == (2, 1) and gg.tensor([2, one[None]]).tolist() == [2.0, 1.0]
    assert gg.Tensor([1, one]).tolist() == [1.0, 1.0] and gg.tensor([one.double(), 1]).dtype is gg.float64
    assert gg.tensor([[1, 2], gg.ones(2, device=device)]).tolist() == [[1.0, 2.0], [1.0, 1.0]]
    for rows in ([gg.ones(2), gg.ones(2)], [1, gg.ones(2)], [gg.ones(2), [1, 2]]):
        with pytest.raises(ValueError, match="only one element tensors.*stack"):
            gg.tensor(rows)


def test_what_has_the_common_shape_is_not_expanded(device: str) -> None:
    a, b = gg.ones(3, device=device, requires_grad=True), gg.ones(1, device=device)
    x, y = gg.broadcast_tensors(a, b)
    assert x is a and y is not b and y.shape == (3,)
    scale = nn.Parameter(gg.ones(3, device=device))
    normal = gg.distributions.Normal(a, scale)
    assert normal.loc is a and normal.scale is scale
    import copy

    copy.deepcopy(normal)  # of leaves, so that modules may hold it


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min", "prod"])
def test_segments(device: str, reduce: str) -> None:
    import numpy as np

    values = np.random.default_rng(0).standard_normal((2, 6, 3))
    data = gg.tensor(values, device=device, requires_grad=True)
    lengths = gg.tensor([[2, 0, 4], [1, 5, 0]], device=device)
    function = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "prod": np.prod}[reduce]
    empty = {"sum": 0.0, "mean": np.nan, "max": -np.inf, "min": np.inf, "prod": 1.0}[reduce]
    expected = np.full((2, 3, 3), empty)
    for i, j, a, b in ((0, 0, 0, 2), (0, 2, 2, 6), (1, 0, 0, 1), (1, 1, 1, 6)):
        expected[i, j] = function(values[i, a:b], 0)
    got = gg.segment_reduce(data, reduce, lengths=lengths, axis=1)
    np.testing.assert_allclose(got.detach().numpy(force=True), expected, rtol=1e-12)
    offsets = gg.tensor([0, 2, 2, 6], device=device)
    np.testing.assert_allclose(
        gg.segment_reduce(data[0], reduce, offsets=offsets).detach().numpy(force=True),
        expected[0],
        rtol=1e-12,
    )
    full = gg.tensor([2, 4], device=device)
    assert gg.autograd.gradcheck(
        lambda x: gg.segment_reduce(x, reduce, lengths=full), (data[0].detach().requires_grad_(),)
    )
    first = gg.segment_reduce(data[0], reduce, lengths=lengths[0], initial=2.0)[1]
    assert first.tolist() == [2.0] * 3  # of an empty segment
    with pytest.raises(RuntimeError, match="to sum to"):
        gg.segment_reduce(data[0], reduce, lengths=full + 1)
    with pytest.raises(RuntimeError, match="negative"):
        gg.segment_reduce(data[0], reduce, lengths=full - 3)


def test_segments_that_are_none(device: str) -> None:
    x, lengths = gg.ones(4, device=device), gg.tensor([4], device=device)
    for call, error, message in (
        (lambda: gg.segment_reduce(x, "sum"), RuntimeError, "Either lengths or offsets"),
        (lambda: gg.segment_reduce(x, "median", lengths=lengths), RuntimeError, "reduce argument"),
        (lambda: gg.segment_reduce(x.long(), "sum", lengths=lengths), NotImplementedError, "int64"),
        (lambda: gg.segment_reduce(x, "sum", lengths=lengths.float()), NotImplementedError, "must be ints"),
        (lambda: gg.segment_reduce(x, "sum", indices=lengths), RuntimeError, "not supported"),
        (
            lambda: gg.segment_reduce(x[None], "sum", lengths=lengths, axis=1),
            RuntimeError,
            "last dimension of lengths",
        ),
    ):
        with pytest.raises(error, match=message):
            call()
    assert gg.segment_reduce(x, "mean", lengths=lengths, initial=2.0, unsafe=True).tolist() == [1.5]


def test_layers_made_of_what_convolutions_share(device: str) -> None:
    class Centred(nn.modules.conv._ConvNd):
        def __init__(self, inputs: int, outputs: int, size: int) -> None:
            super().__init__(inputs, outputs, (size,), (1,), (1,), (1,), False, (0,), 1, True, "circular")

        def forward(self, x: gg.Tensor) -> gg.Tensor:
            x = nn.functional.pad(x, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            return nn.functional.conv1d(x, self.weight - self.weight.mean(), self.bias, self.stride)

    layer = Centred(2, 3, 3).to(device)
    assert layer.weight.shape == (3, 2, 3) and not layer.transposed and layer.output_padding == (0,)
    assert layer(gg.ones(1, 2, 5, device=device)).shape == (1, 3, 5)
    assert nn.Conv2d(1, 1, 3, padding=(1, 2))._reversed_padding_repeated_twice == [2, 2, 1, 1]
    assert "output_padding=(1, 1)" in repr(nn.ConvTranspose2d(1, 1, 3, 2, output_padding=1))
    for name in ("normal_", "uniform_", "trunc_normal_", "zero_"):
        getattr(nn.init, "_no_grad_" + name)(layer.weight)
    assert not layer.weight.any()


def test_type_as_goes_where_the_other_is(device: str) -> None:
    there = gg.ones(1, device=device, dtype=gg.float64)
    made = gg.tensor([1, 2]).type_as(there)
    assert made.dtype is gg.float64 and made.device == there.device
    assert there.type_as(gg.tensor([1])).device.type == "cpu"


def test_linear_with_a_bias_for_each_row(device: str) -> None:
    x, weight = gg.randn(4, 2, device=device), gg.randn(3, 2, device=device)
    bias = gg.randn(4, 3, device=device, requires_grad=True)
    y = nn.functional.linear(x, weight, bias)
    assert gg.allclose(y, x @ weight.T + bias)
    y.sum().backward()
    assert bias.grad.shape == (4, 3)
    with pytest.raises(RuntimeError, match="bias must have shape"):
        nn.functional.linear(x, weight, gg.ones(2, device=device))


def test_what_attention_layers_of_ones_own_call(device: str) -> None:
    F = nn.functional
    x = gg.randn(2, 3, 4, device=device)
    weight, bias = gg.randn(12, 4, device=device), gg.randn(12, device=device)
    parts = F._in_projection_packed(x, x, 2 * x, weight, bias)
    for part, given, w, b in zip(parts, (x, x, 2 * x), weight.chunk(3), bias.chunk(3)):
        assert gg.allclose(part, F.linear(given, w, b))
    assert F._in_projection_packed(x, x, x, weight)[1].equal(F.linear(x, weight[4:8]))
    assert F._mha_shape_check(x, x, x, None, gg.ones(3, 3), 2) is True
    assert F._mha_shape_check(x[0], x[0], x[0], gg.ones(3), gg.ones(2, 3, 3), 2) is False
    for arguments, message in (
        ((x[None], x, x, None, None, 1), "received 4-D"),
        ((x, x[0], x, None, None, 1), "batched .3-D. `query`, expected `key`"),
        ((x, x, x, gg.ones(3), None, 1), "`None` or 2-D"),
        ((x, x, x, None, gg.ones(3), 1), "2-D or 3-D"),
        ((x[0], x[0], x[0], None, gg.ones(1, 3, 3), 2), "shape to be .2, 3, 3."),
    ):
        with pytest.raises(AssertionError, match=message):
            F._mha_shape_check(*arguments)
    mask = gg.tensor([True, False], device=device)
    assert F._canonical_mask(mask, "mask", None, "", gg.float64).tolist() == [float("-inf"), 0.0]
    assert F._canonical_mask(None, "mask", None, "", gg.float64) is None and F._none_or_dtype(None) is None
    with pytest.warns(UserWarning, match="mismatched a and b"):
        F._canonical_mask(mask, "a", F._none_or_dtype(x), "b", gg.float32)
    with pytest.raises(AssertionError, match="only bool and floating types of a"):
        F._canonical_mask(mask.int(), "a", None, "", gg.float32)
    gg._C._set_tracing_state(None)
    assert gg._C._is_tracing() is False


@pytest.mark.cuda
@pytest.mark.parametrize("turned", [False, True])
def test_two_devices_are_told(turned: bool) -> None:
    there, here = gg.ones(4, 4), gg.ones(4, 4, device="cuda")
    if turned:
        there, here = here, there
    F = nn.functional
    for call in (
        lambda: gg.mm(there, here),
        lambda: there @ here[0],
        lambda: gg.dot(there[0], here[0]),
        lambda: F.linear(there, here),
        lambda: F.conv1d(there[None], here[:, :, None]),
        lambda: gg.cat([there, here]),
        lambda: gg.stack([there, here]),
        lambda: F.layer_norm(there, (4,), here[0]),
        lambda: F.mse_loss(there, here),
        lambda: F.embedding(there.long(), here),
        lambda: gg.linalg.solve(there, here),
        lambda: F.scaled_dot_product_attention(there, here, here),
        lambda: there + here,
    ):
        with pytest.raises(
            RuntimeError, match="expected all tensors to be on the same device, but found c.*c"
        ):
            call()
