"""The commands behind `make kernels` and `make bench` measure what they say."""

import numpy as np
import pytest

import gradgpu as gg
from gradgpu._tools import bench_cases, compare, compare_cases, kernels
from gradgpu._tools.bench_cases import nets as bench_nets
from gradgpu._tools.bench_cases import operations as bench_operations

STACK = """extern "C" __global__ void k_f32(float* x, int n) {
    float a[64];
    for (int i = 0; i < n; ++i) a[(i * 7) % 64] = x[i];
    x[0] = a[n];
}"""


@pytest.fixture
def nvrtc():
    return pytest.importorskip(
        "cupy_backends.cuda.libs.nvrtc", reason="the compiler comes with gradgpu[cuda12]"
    )


def test_stack_frame_is_reported(nvrtc) -> None:
    (report,) = kernels.compile_report(STACK, 90)
    assert report.name == "k_f32"
    assert report.stack >= 64 * 4
    assert report.registers > 0


def test_message_of_a_kernel_that_does_not_compile(nvrtc) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)sm_90.*undefined"):
        kernels.compile_report("__global__ void k() { nothing = 1; }", 90)


def test_units_cover_every_kernel_and_file() -> None:
    units = kernels.units()
    files = {p.name for p in (kernels._ROOT / "kernels").glob("*.cu")}
    assert {u.file for u in units} == files
    assert len({u.text for u in units}) == len(units)


def test_combined_program_gives_the_same_report_as_each_alone(nvrtc) -> None:
    pointwise = [u for u in kernels.units() if u.file == "pointwise.cu"]
    batch = next(kernels.batches(pointwise, 3))
    assert len(batch) == 3
    together = {r.name: r for r in kernels.compile_report(kernels.combined(batch), 80)}
    alone = {r.name: r for u in batch for r in kernels.compile_report(u.text, 80)}
    assert together == alone


def test_batches_hold_every_unit_once_and_no_name_twice() -> None:
    pointwise = [u for u in kernels.units() if u.file == "pointwise.cu"]
    groups = list(kernels.batches(pointwise, 16))
    assert sorted(u.text for g in groups for u in g) == sorted(u.text for u in pointwise)
    for group in groups:
        names = [name for u in group for name in u.entries]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("case", [name for name, case in bench_cases.CASES.items() if case.numpy])
def test_benchmark_computes_what_hand_written_numpy_computes(case: str) -> None:
    (_, ours), (_, by_hand) = bench_cases.build("gradgpu", case), bench_cases.build("numpy", case)
    np.testing.assert_allclose(ours(), by_hand(), rtol=1e-4)


@pytest.mark.parametrize(
    "case", ["mlp-sgd", "mlp-adam", "cnn", "lstm", "lstm-ops", "lstm-ops-512", "gpt", "gcn"]
)
def test_benchmark_of_a_training_step_trains(case: str) -> None:
    _, losses = bench_cases.build("gradgpu", case)
    first, *_, last = losses()
    assert 0 < last < first


@pytest.mark.parametrize("case", bench_nets.NETS)
def test_benchmark_of_a_net_trains(case: str) -> None:
    step, losses = bench_cases.build("gradgpu", case)
    first, *_ = losses()
    for _ in range(3):
        last = step().item()
    assert np.isfinite([first, last]).all() and first != last


@pytest.mark.parametrize("case", ["add", "mul", "matmul", "relu", "depthwise-3", "depthwise-7"])
def test_benchmark_of_an_op_runs_forward_and_backward(case: str) -> None:
    step, check = bench_cases.build("gradgpu", case)
    total, *gradients = check()
    step()
    assert np.isfinite([total, *gradients]).all()
    assert gradients and 0 not in gradients


# ---- make compare ----


def test_comparison_has_a_case_of_every_module_optimizer_and_schedule() -> None:
    kinds = {name: kind for name, kind in vars(gg.nn).items() if isinstance(kind, type)}
    modules = {name for name, kind in kinds.items() if issubclass(kind, gg.nn.Module)}
    compared = {case.module for case in compare_cases.MODULES}
    assert modules - compared == set(compare_cases.LEFT_OUT)
    optimizers = {name for name, kind in vars(gg.optim).items() if isinstance(kind, type)}
    assert optimizers - {name for name, _ in compare_cases.OPTIMIZERS} == {
        "Optimizer",
        "LBFGS",  # apart
        "SparseAdam",  # PyTorch's takes sparse gradients only
    }
    schedules = {name for name, kind in vars(gg.optim.lr_scheduler).items() if isinstance(kind, type)}
    assert schedules - {name.split(",")[0] for name in compare_cases.SCHEDULES} == {
        "LRScheduler",
        "_LRScheduler",
    }


@pytest.mark.parametrize("part", range(4))
def test_comparison_of_the_library_with_itself_finds_no_difference(part: int) -> None:
    for seed, case in list(enumerate(compare_cases.MODULES))[part::4]:
        assert compare.compare_module(gg, gg, case, seed) == (0.0, 0.0, 0.0), case


def test_comparison_sees_what_differs() -> None:
    assert compare.difference(np.ones(2), np.array([1.0, 2.0])) == 0.5
    assert (
        compare.difference(np.ones(2), np.ones(3))
        == compare.difference(np.ones(1), np.full(1, np.nan))
        == np.inf
    )
    assert compare.difference(np.full(1, np.inf), np.full(1, np.inf)) == 0.0

    class Other:
        """The library, but for one layer."""

        __name__, tensor, no_grad, optim = "other", gg.tensor, gg.no_grad, gg.optim

        class nn:
            functional = gg.nn.functional

            class Tanh(gg.nn.Tanh):
                def forward(self, x: gg.Tensor) -> gg.Tensor:
                    return super().forward(x) * 1.01

    case = next(case for case in compare_cases.MODULES if case.module == "Tanh")
    found = compare.compare_module(gg, Other, case, 0)
    assert 1e-3 < found.forward < 0.02 and found.inputs > 1e-3
    name, options = compare_cases.OPTIMIZERS[0]
    assert compare.compare_optimizer(gg, gg, name, options, 0, 3) == 0.0
    assert all(compare.compare_schedule(gg, gg, name) == 0.0 for name in compare_cases.SCHEDULES)
    table = compare.table([("Tanh", found), ("Tanh", found)], "module")
    assert table[2].startswith("| Tanh | 2 | ")


@pytest.mark.parametrize("size", bench_operations.SIZES)
def test_benchmark_of_operations_runs_each_of_them(size: str) -> None:
    for name, call in bench_operations.calls(gg, size).items():
        made, *gradients = call()
        assert (gradients != [None, None]) is (size == "many" and made.requires_grad), name
        assert np.isfinite(np.asarray(made.detach(), np.float64)).all(), name
