"""Datasets, samplers, collating and loaders, with and without worker processes."""

from __future__ import annotations

import collections
import gc
import multiprocessing
import os
import pickle
import threading
import time
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest

import gradgpu as gg
from gradgpu.utils import data
from gradgpu.utils.data import DataLoader, TensorDataset, worker


class Squares(data.Dataset):
    """Sample i is (i, i²)."""

    def __init__(self, size: int = 10) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, float(index * index)


class Broken(Squares):
    def __getitem__(self, index: int) -> Any:
        if index == 5:
            raise LookupError("sample 5 is missing")
        return index


class Count(data.IterableDataset):
    """0 … size - 1, shared out among workers."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Any:
        info = data.get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(start, self.size, step))


class Seeds(Squares):
    def __getitem__(self, index: int) -> Any:
        return data.get_worker_info().seed, int(gg.randint(0, 2**31, (1,)).item())


def flat(batches: Any) -> list:
    return [x for batch in batches for x in np.asarray(batch).ravel().tolist()]


# ---- datasets ----


def test_tensor_dataset():
    x, y = gg.arange(6).reshape(3, 2), gg.tensor([0.0, 1.0, 2.0])
    dataset = TensorDataset(x, y)
    assert len(dataset) == 3
    a, b = dataset[-1]
    assert a.tolist() == [4, 5] and b.item() == 2.0
    with pytest.raises(AssertionError, match=r"Size mismatch between tensors: first dimensions are \[3, 2\]"):
        TensorDataset(x, y[:2])


def test_concat_subset_and_stack():
    both = Squares(3) + Squares(2)
    assert len(both) == 5 and both[3] == (0, 0.0) and both[-1] == (1, 1.0)
    with pytest.raises(IndexError, match="out of range"):
        both[5]
    with pytest.raises(ValueError, match="out of range"):
        both[-6]
    assert [i for i, _ in both] == [0, 1, 2, 0, 1]  # by __getitem__ until IndexError
    part = data.Subset(both, [4, 0])
    assert len(part) == 2 and part[0] == (1, 1.0)
    side = data.StackDataset(a=Squares(2), b=[7, 8])
    assert side[1] == {"a": (1, 1.0), "b": 8} and len(side) == 2
    with pytest.raises(ValueError, match="Size mismatch"):
        data.StackDataset(Squares(2), Squares(3))
    assert list(data.ChainDataset([Count(2), Count(3)])) == [0, 1, 0, 1, 2]


def test_random_split():
    parts = data.random_split(range(10), [7, 3], gg.Generator().manual_seed(1))
    again = data.random_split(range(10), [7, 3], gg.Generator().manual_seed(1))
    assert [len(p) for p in parts] == [7, 3] and sorted(i for p in parts for i in p) == list(range(10))
    assert [list(p) for p in parts] == [list(p) for p in again]
    assert [len(p) for p in data.random_split(range(10), [0.55, 0.45])] == [6, 4]
    with pytest.raises(
        ValueError, match="Sum of input lengths does not equal the length of the input dataset: 9 and 10"
    ):
        data.random_split(range(10), [5, 4])


# ---- samplers ----


def test_samplers():
    assert list(data.SequentialSampler(range(3))) == [0, 1, 2]
    order = list(data.RandomSampler(range(50)))
    assert sorted(order) == list(range(50)) != order
    draws = list(data.RandomSampler(range(5), replacement=True, num_samples=200))
    assert len(draws) == 200 and set(draws) == set(range(5))
    assert len(list(data.RandomSampler(range(5), num_samples=12))) == 12
    assert sorted(data.SubsetRandomSampler([3, 5, 7])) == [3, 5, 7]
    weighted = list(data.WeightedRandomSampler([0.0, 1.0, 3.0], 4000))
    assert 0 not in weighted and abs(weighted.count(2) / 4000 - 0.75) < 0.05
    batches = data.BatchSampler(data.SequentialSampler(range(5)), 2, drop_last=False)
    assert list(batches) == [[0, 1], [2, 3], [4]] and len(batches) == 3
    assert list(data.BatchSampler(range(5), 2, drop_last=True)) == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="batch_size should be a positive integer"):
        data.BatchSampler(range(5), 0, False)
    with pytest.raises(ValueError, match="without replacement"):
        data.WeightedRandomSampler([1.0, 0.0], 2, replacement=False)


# ---- collating ----


def test_collate():
    Point = collections.namedtuple("Point", "x y")
    collate = data.default_collate
    assert collate([1, 2]).dtype is gg.int64 and collate([1.0, 2.0]).dtype is gg.float64
    assert collate([np.float32(1), np.float32(2)]).dtype is gg.float32
    assert collate([np.ones((2, 3), np.float32)] * 4).shape == (4, 2, 3)
    assert collate([gg.ones(2), gg.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert collate(["a", "b"]) == ["a", "b"] and collate([("a", 1), ("b", 2)])[0] == ("a", "b")
    nested = collate([{"p": Point(1, [2.0, gg.ones(1)])}, {"p": Point(3, [4.0, gg.zeros(1)])}])
    assert isinstance(nested["p"], Point) and nested["p"].x.tolist() == [1, 3]
    assert nested["p"].y[0].tolist() == [2.0, 4.0] and nested["p"].y[1].tolist() == [[1.0], [0.0]]
    with pytest.raises(TypeError, match="found <class 'object'>; give the DataLoader a collate_fn"):
        collate([object()])
    with pytest.raises(RuntimeError, match="equal size"):
        collate([[1], [1, 2]])


# ---- loaders ----


def test_batches_in_order():
    loader = DataLoader(Squares(5), batch_size=2)
    assert len(loader) == 3
    batches = list(loader)
    assert [i.tolist() for i, _ in batches] == [[0, 1], [2, 3], [4]]
    assert batches[1][1].tolist() == [4.0, 9.0]
    assert [i.tolist() for i, _ in DataLoader(Squares(5), 2, drop_last=True)] == [[0, 1], [2, 3]]
    assert [x for x, _ in DataLoader(Squares(3), batch_size=None)] == [0, 1, 2]
    assert list(DataLoader(Squares(4), 2, collate_fn=len)) == [2, 2]
    assert [i.tolist() for i, _ in DataLoader(Squares(5), batch_sampler=[[4, 0], [1]])] == [[4, 0], [1]]
    assert [i.tolist() for i, _ in DataLoader(Squares(5), 2, sampler=[3, 1, 2])] == [[3, 1], [2]]


@pytest.mark.parametrize("fast", [True, False], ids=["whole-batches", "samples"])
def test_shuffling_is_new_each_pass_and_follows_the_seed(fast):
    dataset = TensorDataset(gg.arange(40)) if fast else Squares(40)

    def passes() -> list:
        loader = DataLoader(dataset, 7, shuffle=True, generator=gg.Generator().manual_seed(3))
        return [flat(x for x, *_ in loader) for _ in range(2)]

    first, second = passes()
    assert sorted(first) == sorted(second) == list(range(40)) and first != second
    assert passes() == [first, second]


def test_whole_batches_equal_collated_samples():
    x, y = gg.randn(23, 3), gg.arange(23)
    base = TensorDataset(x, y)
    nested = data.Subset(data.Subset(base, list(range(20, 2, -1))), [5, 0, 17, 3, 3])
    for dataset in (base, nested):
        fast = list(DataLoader(dataset, 4))
        slow = list(DataLoader(dataset, 4, collate_fn=lambda batch: data.default_collate(batch)))
        assert len(fast) == len(slow)
        for one, two in zip(fast, slow):
            assert isinstance(one, list) and [t.tolist() for t in one] == [t.tolist() for t in two]
    batch = next(iter(DataLoader(base, 4)))[0]
    batch.zero_()
    assert x[:4].abs().sum().item() > 0  # a batch is a copy


@pytest.mark.cuda
def test_whole_batches_on_the_device():
    dataset = TensorDataset(gg.arange(10.0).to("cuda"))
    batches = [b for (b,) in DataLoader(dataset, 4)]
    assert {b.device.type for b in batches} == {"cuda"}
    assert [b.tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_iterable_dataset():
    assert [b.tolist() for b in DataLoader(Count(5), batch_size=2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in DataLoader(Count(5), batch_size=2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(DataLoader(Count(3), batch_size=None)) == [0, 1, 2]
    with pytest.raises(ValueError, match="expected no shuffle"):
        DataLoader(Count(3), shuffle=True)


def test_workers_give_the_same_batches_in_order():
    loader = DataLoader(Squares(11), batch_size=2, num_workers=2)
    assert [i.tolist() for i, _ in loader] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10]]
    assert len(list(loader)) == 6  # and again


def test_workers_share_an_iterable_dataset():
    batches = [b.tolist() for b in DataLoader(Count(9), batch_size=2, num_workers=2)]
    assert sorted(x for b in batches for x in b) == list(range(9))


def test_workers_have_seeds_of_their_own():
    gg.manual_seed(0)
    seeds, draws = zip(*[(s.item(), d.item()) for s, d in DataLoader(Seeds(2), num_workers=2)])
    assert seeds[1] == seeds[0] + 1 and draws[0] != draws[1]
    gg.manual_seed(0)
    assert [s.item() for s, _ in DataLoader(Seeds(2), num_workers=2)] == list(seeds)


def test_a_worker_shows_its_error():
    with pytest.raises(LookupError, match=r"Caught LookupError in DataLoader worker process \d") as error:
        list(DataLoader(Broken(8), batch_size=2, num_workers=2))
    assert "sample 5 is missing" in str(error.value) and "__getitem__" in str(error.value)


def test_leaving_a_loop_early_ends_the_workers():
    import multiprocessing

    for _ in DataLoader(Squares(100), num_workers=2):
        break
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    "options, match",
    [
        ({"num_workers": -1}, "non-negative"),
        ({"prefetch_factor": 2}, "num_workers > 0"),
        ({"persistent_workers": True}, "num_workers > 0"),
        ({"shuffle": True, "sampler": [0]}, "mutually exclusive with shuffle"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive"),
        ({"batch_size": None, "drop_last": True}, "mutually exclusive with drop_last"),
        ({"timeout": -1}, "non-negative"),
    ],
)
def test_wrong_options(options, match):
    with pytest.raises(ValueError, match=match):
        DataLoader(Squares(3), **options)


# ---- workers, closer ----


class Pids(Squares):
    def __getitem__(self, index: int) -> Any:
        return os.getpid()


def test_persistent_workers_are_the_same_processes_each_pass():
    loader = DataLoader(Pids(8), batch_size=2, num_workers=2, persistent_workers=True)
    first, second = set(flat(loader)), set(flat(loader))
    assert len(first) == 2 and first == second and os.getpid() not in first
    next(iter(loader))  # left early: what is still under way must not show up later
    assert set(flat(loader)) == first
    assert len(set(flat(DataLoader(Pids(8), 2, num_workers=2))) & first) == 0


def test_persistent_workers_begin_a_stream_anew():
    loader = DataLoader(Count(7), batch_size=2, num_workers=2, persistent_workers=True)
    assert sorted(flat(loader)) == sorted(flat(loader)) == list(range(7))
    assert pickle.loads(pickle.dumps(loader)).num_workers == 2


def test_two_passes_at_the_same_time():
    loader = DataLoader(Count(6), batch_size=3, num_workers=1, persistent_workers=True)
    pairs = [(a.tolist(), b.tolist()) for a, b in zip(loader, loader)]
    assert pairs == [([0, 1, 2], [0, 1, 2]), ([3, 4, 5], [3, 4, 5])]


class Slow(Squares):
    def __getitem__(self, index: int) -> Any:
        time.sleep(60 if index == 1 else 0)
        return index


def test_a_slow_worker_runs_into_the_timeout():
    loader = DataLoader(Slow(4), num_workers=1, timeout=0.2)
    with pytest.raises(RuntimeError, match="timed out after 0.2 seconds"):
        list(loader)


class Lazy(Squares):
    def __init__(self, size: int, begin: Any):
        super().__init__(size)
        self.begin = begin

    def __getitem__(self, index: int) -> Any:
        if index == 0:
            assert self.begin.wait(60)
        return index


def test_batches_in_the_order_of_their_arrival():
    begin = multiprocessing.Event()
    seen = []
    for batch in DataLoader(Lazy(4, begin), num_workers=2, in_order=False):
        seen += batch.tolist()
        begin.set()  # the first sample waits for a batch of the other worker
    assert sorted(seen) == [0, 1, 2, 3] and seen[0] == 1


class Dying(Squares):
    def __getitem__(self, index: int) -> Any:
        os._exit(3)


def test_a_worker_that_dies_is_named():
    with pytest.raises(RuntimeError, match=r"worker \(pid \d+\) exited unexpectedly with code 3"):
        list(DataLoader(Dying(2), num_workers=1))


class Missing(Squares):
    def __getitem__(self, index: int) -> Any:
        return {}["absent"]


class Unsendable(Squares):
    def __getitem__(self, index: int) -> Any:
        return lambda: index


def nothing(batch: Any) -> Any:
    return batch


def fail(worker: int) -> None:
    raise OSError(f"no disk for worker {worker}")


def test_errors_of_workers_come_with_their_lines():
    with pytest.raises(KeyError) as caught:
        list(DataLoader(Missing(2), num_workers=1))
    assert "worker process 0.\nOriginal Traceback" in str(caught.value) and "absent" in str(caught.value)
    with pytest.raises(Exception, match="(?i)pickle"):
        list(DataLoader(Unsendable(2), num_workers=1, collate_fn=nothing))
    with pytest.raises(OSError, match="no disk for worker 0"):
        list(DataLoader(Squares(2), num_workers=1, worker_init_fn=fail))


def test_attributes_that_say_what_the_loader_does():
    loader = DataLoader(Squares(4), 2, num_workers=1)
    assert loader.prefetch_factor == 2 and not loader.persistent_workers and loader.in_order
    assert DataLoader(Squares(4)).prefetch_factor is None
    with pytest.raises(ValueError, match="batch_size attribute should not be set"):
        loader.batch_size = 3


class Rows(Squares):
    """Gives many samples at once."""

    def __getitems__(self, indices: list[int]) -> list:
        return [-i for i in indices]


def test_samples_at_once_through_subsets_and_stacks():
    part = data.Subset(Rows(9), [5, 7, 8])
    assert flat(DataLoader(part, 2)) == [-5, -7, -8]
    assert next(iter(DataLoader(data.StackDataset(part, [1, 2, 3]), 3)))[1].tolist() == [1, 2, 3]
    named = next(iter(DataLoader(data.StackDataset(a=part, b=[1, 2, 3]), 3)))
    assert named["a"].tolist() == [-5, -7, -8] and named["b"].tolist() == [1, 2, 3]


class Bag(dict):
    """A mapping of a type of its own."""


def test_collate_keeps_the_types_of_containers():
    made = data.default_collate([Bag(a=1), Bag(a=2)])
    assert type(made) is Bag and made["a"].tolist() == [1, 2]
    ordered = data.default_collate([collections.OrderedDict(b=1.0, a=2)])
    assert type(ordered) is collections.OrderedDict and list(ordered) == ["b", "a"]
    assert type(data.default_collate([collections.UserList([1, 2])])) is collections.UserList
    assert data.default_convert(np.float64(1.5)).dtype is gg.float64
    assert type(data.default_convert(Bag(a=np.ones(1)))["a"]) is gg.Tensor


def test_weights_and_splits_that_make_no_sense():
    assert set(data.WeightedRandomSampler(gg.tensor([0.0, 1.0]), 20)) == {1}
    for weights in ([-1.0, 2.0], [0.0, 0.0], [float("nan")]):
        with pytest.raises(ValueError, match="finite, not negative, and not all zero"):
            data.WeightedRandomSampler(weights, 1)
    with pytest.raises(ValueError, match="1d sequence"):
        data.WeightedRandomSampler([[1.0]], 1)
    with pytest.warns(UserWarning, match="split at index 1 is 0"):
        data.random_split(range(2), [2, 0])


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("size, drop_last", [(10, False), (10, True), (1, False), (0, False)])
def test_parts_of_several_processes(size, drop_last, shuffle):
    parts = [data.DistributedSampler(range(size), 4, r, shuffle, 3, drop_last) for r in range(4)]
    first = [list(part) for part in parts]
    assert {len(indices) for indices in first} == {len(part) for part in parts}
    seen = [i for indices in first for i in indices]
    assert set(seen) <= set(range(size)) and (len(set(seen)) == size or drop_last)
    assert len(set(seen)) == (8 if drop_last else size)
    assert [list(part) for part in parts] == first
    for part in parts:
        part.set_epoch(1)
    assert ([list(part) for part in parts] != first) == (shuffle and size > 1)


def test_parts_need_to_know_how_many():
    with pytest.raises(RuntimeError, match="Requires distributed package to be available"):
        data.distributed.DistributedSampler(range(4))
    with pytest.raises(ValueError, match="Invalid rank 4"):
        data.DistributedSampler(range(4), 4, 4)


@pytest.mark.parametrize(
    "options, error, match",
    [
        ({"multiprocessing_context": "fork"}, ValueError, "but got num_workers=0"),
        ({"multiprocessing_context": "foo", "num_workers": 1}, ValueError, "valid start method in"),
        ({"multiprocessing_context": 3, "num_workers": 1}, TypeError, "valid context object"),
        ({"prefetch_factor": 0, "num_workers": 1}, ValueError, "should be positive"),
    ],
)
def test_options_of_processes(options, error, match):
    with pytest.raises(error, match=match):
        DataLoader(Squares(2), **options)


@pytest.mark.slow
def test_workers_started_anew():
    loader = DataLoader(Squares(4), batch_size=2, num_workers=1, multiprocessing_context="spawn")
    assert flat(i for i, _ in loader) == [0, 1, 2, 3]


class Wide(Squares):
    """Samples so large that they go through shared memory, and small ones beside them."""

    def __getitem__(self, index: int) -> Any:
        return gg.full((3, 201, 101), float(index)), {"n": np.arange(3) + index, "text": str(index)}


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the machine's shared memory, for forked workers of this test alone."""
    monkeypatch.setattr(worker, "_SHARED", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("there", [True, False])
def test_large_batches_arrive_whole_and_leave_nothing_behind(there, shared, monkeypatch):
    if not there:
        monkeypatch.setattr(worker, "_SHARED", str(shared / "missing"))
    loader = DataLoader(Wide(5), batch_size=2, num_workers=2, multiprocessing_context="fork")
    batches = list(loader)
    assert [x.shape[0] for x, _ in batches] == [2, 2, 1]
    for number, (x, rest) in enumerate(batches):
        assert (x[0] == 2.0 * number).all() and rest["n"][0].tolist() == [2 * number + i for i in range(3)]
        x += 1.0  # it may be written
        assert (x[0] == 2.0 * number + 1).all()
    next(iter(loader))  # left early, with batches on their way
    assert not [*shared.iterdir()]


def test_a_result_is_packed_with_its_large_arrays_apart():
    values = [
        np.arange(40000.0),
        np.asfortranarray(np.arange(60000.0).reshape(200, 300)),
        np.zeros((0, 3)),
        "x",
    ]
    data_, name, sizes = worker._pack(values)
    if os.path.isdir("/dev/shm"):
        assert len(data_) < 1000 and sizes == [320000, 480000] and os.path.exists(name)
    found = worker._unpack(data_, name, sizes)
    assert found[3] == "x" and all(np.array_equal(a, b) for a, b in zip(values[:3], found[:3]))
    assert name is None or not os.path.exists(name)
    assert worker._pack(np.zeros(4))[1:] == (None, [])


def test_drawing_with_another_default_device(device: str) -> None:
    squares = Squares(20)
    with gg.device(device):
        for generator in (None, gg.Generator("cpu").manual_seed(1), gg.Generator(device).manual_seed(1)):
            for sampler in (
                data.RandomSampler(squares, generator=generator),
                data.SubsetRandomSampler(range(20), generator=generator),
                data.distributed.DistributedSampler(squares, num_replicas=1, rank=0),
            ):
                assert sorted(sampler) == list(range(20))
            again = list(data.RandomSampler(squares, replacement=True, num_samples=5, generator=generator))
            assert len(again) == 5 and set(again) <= set(range(20))
            parts = data.random_split(squares, [5, 15], generator=generator)
            assert sorted(i for part in parts for i in part.indices) == list(range(20))
            loader = DataLoader(squares, batch_size=4, shuffle=True, generator=generator)
            assert sorted(i for batch, _ in loader for i in batch.tolist()) == list(range(20))


# ---- page-locked memory ----
class Sample:
    """An object of one's own that knows how to be pinned."""

    def __init__(self, x: gg.Tensor):
        self.x = x

    def pin_memory(self) -> Sample:
        return Sample(self.x.pin_memory())


class Point(NamedTuple):
    x: Any
    y: Any


class Nested(Squares):
    """Samples of every kind of container."""

    def __getitem__(self, index: int) -> Any:
        pair = gg.tensor(float(index)), gg.ones(2) * index
        return {"pair": pair, "point": Point(gg.zeros(1), "name"), "n": index}


class Tensors(Squares):
    def __getitem__(self, index: int) -> Any:
        return gg.tensor(index * index)


def nested(samples: list) -> Any:
    return Bag(
        batch=data.default_collate(samples), own=Sample(gg.ones(2)), text="ab", none=None, range=range(2)
    )


@pytest.mark.cuda
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_in_pinned_memory(workers):
    loader = DataLoader(Nested(5), 2, num_workers=workers, collate_fn=nested, pin_memory=True)
    plain = DataLoader(Nested(5), 2, num_workers=workers, collate_fn=nested)
    count = 0
    for bag, other in zip(loader, plain, strict=True):
        batch = bag["batch"]
        assert type(bag) is Bag and type(bag["own"]) is Sample and type(batch["point"]) is Point
        tensors = [*batch["pair"], batch["point"].x, batch["n"], bag["own"].x]
        assert all(t.is_pinned() for t in tensors) and not other["batch"]["n"].is_pinned()
        assert [t.tolist() for t in batch["pair"]] == [t.tolist() for t in other["batch"]["pair"]]
        assert batch["n"].to("cuda", non_blocking=True).tolist() == other["batch"]["n"].tolist()
        assert batch["point"].y == other["batch"]["point"].y
        assert (bag["text"], bag["none"], [*bag["range"]]) == ("ab", None, [0, 1])
        count += 1
    assert count == 3


@pytest.mark.cuda
def test_pinned_batches_of_tensors_streams_and_single_samples():
    tensors = data.TensorDataset(gg.arange(6.0).reshape(3, 2), gg.arange(3))
    batches = [*DataLoader(tensors, 2, pin_memory=True)]
    assert all(t.is_pinned() for batch in batches for t in batch)
    assert [batch[0].tolist() for batch in batches] == [[[0, 1], [2, 3]], [[4, 5]]]
    for workers in (0, 1):
        singles = [*DataLoader(Tensors(3), None, num_workers=workers, pin_memory=True)]
        assert [t.item() for t in singles] == [0, 1, 4] and all(t.is_pinned() for t in singles)
        streamed = [*DataLoader(Count(3), 2, num_workers=workers, pin_memory=True)]
        assert flat(streamed) == [0, 1, 2] and all(t.is_pinned() for t in streamed)
    on_cuda = data.TensorDataset(gg.arange(3, device="cuda"))
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        next(iter(DataLoader(on_cuda, pin_memory=True)))


@pytest.mark.cuda
def test_pinned_batches_of_persistent_workers():
    loader = DataLoader(Pids(8), 2, num_workers=2, persistent_workers=True, pin_memory=True)
    first = flat(loader)
    next(iter(loader))  # a pass that is left early
    threads = {*threading.enumerate()}
    again = [*loader]
    assert all(t.is_pinned() for t in again) and set(flat(again)) == set(first)
    assert {*threading.enumerate()} <= threads


@pytest.mark.cuda
def test_large_batches_in_pinned_memory_leave_nothing_behind(shared):
    count = 0
    loader = DataLoader(Wide(5), 2, num_workers=2, pin_memory=True, multiprocessing_context="fork")
    for (x, rest), (y, other) in zip(loader, DataLoader(Wide(5), 2), strict=True):
        assert x.is_pinned() and rest["n"].is_pinned() and bool((x == y).all())
        assert rest["n"].tolist() == other["n"].tolist() and rest["text"] == other["text"]
        count += 1
    next(iter(loader))  # left early, with batches on their way
    gc.collect()
    assert count == 3 and not [*shared.iterdir()]


@pytest.mark.cuda
def test_the_pin_thread_ends_with_the_pass():
    before = {*threading.enumerate()}
    for batch in DataLoader(Tensors(100), num_workers=1, pin_memory=True):
        assert batch.is_pinned()
        break
    gc.collect()
    assert {*threading.enumerate()} <= before  # some of other tests may have ended meanwhile


class Unpinnable:
    def pin_memory(self) -> None:
        raise KeyError("no way\nto pin this")


def unpinnable(batch: list) -> Any:
    return Unpinnable()


@pytest.mark.cuda
def test_errors_of_pinning_arrive():
    with pytest.raises(KeyError, match="no way"):
        next(iter(DataLoader(Squares(4), collate_fn=unpinnable, pin_memory=True)))
    with pytest.raises(KeyError) as caught:
        list(DataLoader(Squares(4), num_workers=1, collate_fn=unpinnable, pin_memory=True))
    text = str(caught.value)
    assert "Caught KeyError in pin memory thread for device 0.\nOriginal Traceback" in text
    assert "in pin_memory\n" in text and "no way" in text
    with pytest.raises(
        LookupError, match=r"Caught LookupError in DataLoader worker process 0.*\n(.*\n)+.*sample 5"
    ):
        list(DataLoader(Broken(8), batch_size=2, num_workers=2, pin_memory=True))
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(DataLoader(Dying(2), num_workers=1, pin_memory=True))
    with pytest.raises(RuntimeError, match="timed out"):
        list(DataLoader(Slow(4), num_workers=1, timeout=0.2, pin_memory=True))


def test_pinning_without_a_device_warns(monkeypatch):
    monkeypatch.setattr("gradgpu.cuda.is_available", lambda: False)
    loader = DataLoader(Tensors(3), 2, pin_memory=True)
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator") as seen:
        batches = list(loader)
    assert flat(batches) == [0, 1, 4] and len(seen) == 1
    assert seen[0].filename == __file__


@pytest.mark.cuda
def test_pin_memory_device_is_deprecated():
    with pytest.warns(UserWarning, match="pin_memory_device is deprecated.*ignore pin_memory_device='cuda'"):
        batches = list(DataLoader(Tensors(3), 2, pin_memory=True, pin_memory_device="cuda"))
    assert all(t.is_pinned() for t in batches)
    assert DataLoader(Squares(3), pin_memory_device="cuda").pin_memory_device == "cuda"


@pytest.mark.cuda
def test_pin_memory_of_containers():
    from gradgpu.utils.data._utils.pin_memory import pin_memory

    x = gg.ones(2)
    made = pin_memory([x, (x, "s", b"b", 3, None), {"x": x}, MappingProxyType({"x": x}), range(2)])
    assert made[0].is_pinned() and made[1][0].is_pinned() and made[1][1:] == ("s", b"b", 3, None)
    assert made[2]["x"].is_pinned() and made[3]["x"].is_pinned() and type(made[3]) is MappingProxyType
    assert made[4] == [0, 1]
    packed = pin_memory(gg.nn.utils.rnn.pack_sequence([gg.ones(3), gg.ones(2)]))
    assert packed.is_pinned() and type(packed) is gg.nn.utils.rnn.PackedSequence


@pytest.mark.parametrize(
    "lengths, sizes",
    [
        (gg.tensor([0.8, 0.2]), [8, 2]), (gg.tensor([0.7, 0.3]), [7, 3]), (gg.tensor([6, 4]), [6, 4]),
        ([np.float32(0.5), np.float32(0.5)], [5, 5]), (np.array([0.5, 0.25, 0.25]), [6, 2, 2]), ([1], [10]), ([gg.tensor(9), 1], [9, 1]),
    ],
)  # fmt: skip
def test_lengths_of_several_kinds(lengths, sizes):
    assert [len(part) for part in data.random_split(range(10), lengths)] == sizes


def test_a_random_order_of_nothing() -> None:
    empty = data.TensorDataset(gg.zeros(0, 2))
    with pytest.raises(
        ValueError, match="num_samples should be a positive integer value, but got num_samples=0"
    ):
        data.DataLoader(empty, shuffle=True)
    assert list(data.DataLoader(empty)) == []


def test_batches_that_do_not_fit() -> None:
    with pytest.raises(RuntimeError, match=r"equal size, but got \[\(2,\), \(3,\)\]"):
        data.default_collate([np.ones(2), np.ones(3)])
    with pytest.raises(TypeError, match="default_collate"):
        data.default_collate([1, "a"])
