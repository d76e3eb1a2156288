"""Random numbers: known answers, distributions, equality of devices, generators and their state."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import gradgpu as gg
from gradgpu import philox
from gradgpu.ops.random import dropout

DTYPES = [gg.float32, gg.float64, gg.float16, gg.bfloat16]
HALF = math.sqrt(0.5)


def bits(x: gg.Tensor) -> bytes:
    return x.detach().cpu().numpy().tobytes()


def kolmogorov(sample: np.ndarray, distribution) -> float:
    """sqrt(n) times the greatest distance between the empirical distribution and the true one."""
    x = np.sort(sample.astype(np.float64))
    true = distribution(x)
    n = len(x)
    return math.sqrt(n) * max(np.max(true - np.arange(n) / n), np.max(np.arange(1, n + 1) / n - true))


def test_philox_known_answers() -> None:
    """From the authors' Random123 distribution (kat_vectors): counter 0 and key 0; and by the definition elsewhere."""
    assert philox.words(0, 0, 1)[0].tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    for seed, block in ((1, 0), (0x1234567890ABCDEF, 0xFEDCBA9876543210), (2**64 - 1, 511), (5, 2**32 - 1)):
        assert philox.words(seed, block, 1)[0].tolist() == slow_philox(seed, block)


def slow_philox(seed: int, block: int) -> list[int]:
    """The definition, with Python's integers."""
    mask = 0xFFFFFFFF
    c, k = [block & mask, block >> 32, 0, 0], [seed & mask, seed >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q >> 32 ^ c[1] ^ k[0], q & mask, p >> 32 ^ c[3] ^ k[1], p & mask]
        k = [k[0] + 0x9E3779B9 & mask, k[1] + 0xBB67AE85 & mask]
    return c


@pytest.mark.parametrize("first, count", [(0, 3), (500, 30), (511, 1), (512, 512), (100, 5000), (3, 0)])
def test_a_draw_is_a_piece_of_the_stream(first: int, count: int) -> None:
    whole = philox.words(9, 0, 6000)
    np.testing.assert_array_equal(philox.words(9, first, count), whole[first : first + count])


@pytest.mark.parametrize("first, count", [(0, 3), (4090, 30), (4095, 9000), (8191, 1), (3, 0)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["uniform", "normal", "exponential"])
def test_small_draws_are_pieces_of_large_ones(kind: str, dtype: gg.dtype, first: int, count: int) -> None:
    """Also where they reach from one of the chunks that are kept into the next."""
    width = 2 if dtype.itemsize == 8 else 4
    whole = getattr(philox, kind)(9, 0, 40_000, dtype.np)
    piece = getattr(philox, kind)(9, first, count, dtype.np)
    np.testing.assert_array_equal(piece, whole[first * width : first * width + count])
    assert piece.flags.writeable


@pytest.mark.parametrize("low, high", [(0, 10), (-5, 1 << 32), (-(1 << 62), 1 << 62)])
def test_few_integers_are_the_first_of_many(low: int, high: int) -> None:
    many = philox.integers(3, 7, 100, low, high)
    np.testing.assert_array_equal(philox.integers(3, 7, 5, low, high), many[:5])
    assert low <= many.min() and many.max() < high


@pytest.mark.parametrize("n", [0, 1, 255, 256, 5000])
def test_a_permutation_is_the_order_of_integers(n: int) -> None:
    keys = philox.integers(3, 7, n, 0, 1 << 62)
    np.testing.assert_array_equal(philox.permutation(3, 7, n), np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_distributions(dtype: gg.dtype) -> None:
    """Kolmogorov-Smirnov below 1.95 (p = 0.001), on fixed seeds; half types are too coarse for it, so moments only."""
    gg.manual_seed(1)
    n = 40_000
    uniform, normal = gg.rand(n, dtype=dtype), gg.randn(n, dtype=dtype)
    exponential = gg.empty(n, dtype=dtype).exponential_(2.0)
    u, z, e = (x.numpy().astype(np.float64) for x in (uniform, normal, exponential))
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01 and abs(u.var() - 1 / 12) < 0.003
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02
    assert abs((z**3).mean()) < 0.06 and abs((z**4).mean() - 3) < 0.15
    assert abs(np.corrcoef(z[::2], z[1::2])[0, 1]) < 0.02
    assert abs(e.mean() - 0.5) < 0.01 and e.min() >= 0
    if dtype.itemsize > 2:
        assert kolmogorov(u, lambda x: x) < 1.95
        assert kolmogorov(z, lambda x: 0.5 * (1 + np.vectorize(math.erf)(x * HALF))) < 1.95
        assert kolmogorov(e, lambda x: 1 - np.exp(-2 * x)) < 1.95


def test_logarithm_is_accurate() -> None:
    for kind, ulps in ((np.float32, 4), (np.float64, 2)):
        x = np.concatenate([np.geomspace(2**-33, 1, 5000), 1 - np.geomspace(1e-6, 0.3, 5000)]).astype(kind)
        true = np.log(x.astype(np.longdouble))
        assert np.max(np.abs(philox.log_exactly(x) - true) / np.spacing(np.abs(true).astype(kind))) < ulps


def test_randint_takes_its_bounds_by_name() -> None:
    for x in (
        gg.randint(high=3, size=(50,)),
        gg.randint(low=0, high=3, size=(50,)),
        gg.randint(3, size=(50,)),
    ):
        assert x.shape == (50,) and sorted(set(x.tolist())) == [0, 1, 2]
    for args, named in (((), {}), ((3,), {}), ((), {"high": 3}), ((), {"size": (2,)})):
        with pytest.raises(TypeError, match="needs a bound and a size"):
            gg.randint(*args, **named)


def test_integers_are_uniform() -> None:
    gg.manual_seed(2)
    counts = np.bincount(gg.randint(-3, 4, (70_000,)).numpy() + 3, minlength=7)
    assert np.abs(counts - 10_000).max() < 400
    wide = gg.randint(-(1 << 62), 1 << 62, (1000,)).numpy()
    assert (wide < 0).sum() > 400 and wide.min() >= -(1 << 62) and wide.max() < 1 << 62


def test_permutations_are_uniform() -> None:
    gg.manual_seed(3)
    seen: dict[tuple, int] = {}
    for _ in range(6000):
        p = tuple(gg.randperm(3).tolist())
        seen[p] = seen.get(p, 0) + 1
    assert len(seen) == 6 and max(abs(n - 1000) for n in seen.values()) < 150


def test_multinomial_follows_the_weights() -> None:
    gg.manual_seed(4)
    weights = gg.tensor([1.0, 0.0, 2.0, 5.0])
    counts = gg.bincount(gg.multinomial(weights, 40_000, replacement=True), minlength=4).numpy()
    assert counts[1] == 0 and np.abs(counts - np.array([5000, 0, 10_000, 25_000])).max() < 400
    rows = gg.multinomial(weights.expand(8000, 4), 2).numpy()
    assert (rows[:, 0] != rows[:, 1]).all() and (rows != 1).all()
    first = np.bincount(rows[:, 0], minlength=4)
    assert np.abs(first - np.array([1000, 0, 2000, 5000])).max() < 200


CALLS = {
    "rand": lambda d, t: gg.rand(13, 5, device=d, dtype=t),
    "randn": lambda d, t: gg.randn(13, 5, device=d, dtype=t),
    "uniform_": lambda d, t: gg.empty(1001, device=d, dtype=t).uniform_(-3, 0.7),
    "normal_": lambda d, t: gg.empty(1001, device=d, dtype=t).normal_(2, 0.3),
    "exponential_": lambda d, t: gg.empty(1001, device=d, dtype=t).exponential_(3),
    "bernoulli": lambda d, t: gg.bernoulli(gg.rand(77, device=d, dtype=t)),
    "bernoulli_": lambda d, t: gg.empty(77, device=d, dtype=t).bernoulli_(0.3),
    "random_": lambda d, t: gg.empty(77, device=d, dtype=t).random_(),
    "randint": lambda d, t: gg.randint(-7, 9, (77,), device=d),
    "randint, wide": lambda d, t: gg.randint(-(1 << 61), 1 << 62, (77,), device=d),
    "randperm": lambda d, t: gg.randperm(3000, device=d),
    "multinomial": lambda d, t: gg.multinomial(gg.tensor([[1.0, 2, 3], [3, 0, 1]], device=d, dtype=t), 2),
    "multinomial, one": lambda d, t: gg.multinomial(gg.rand(20, 7, device=d, dtype=t) + 1, 1),
    "multinomial, replaced": lambda d, t: gg.multinomial(gg.ones(20, 7, device=d, dtype=t), 5, True),
    "dropout": lambda d, t: dropout(gg.ones(1001, device=d, dtype=t), 0.3),
}


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_devices_draw_the_same_bits(name: str, dtype: gg.dtype) -> None:
    drawn = []
    for device in ("cpu", "cuda"):
        gg.manual_seed(77)
        CALLS[name](device, dtype)  # the second call begins where the first ended
        drawn.append(bits(CALLS[name](device, dtype)))
    assert drawn[0] == drawn[1]


def test_draws_follow_one_another(device: str) -> None:
    """Two draws are different, and a seed brings both back."""
    gg.manual_seed(5)
    a, b = gg.randn(6, device=device), gg.randn(6, device=device)
    assert bits(a) != bits(b)
    gg.manual_seed(5)
    assert bits(gg.randn(6, device=device)) == bits(a) and bits(gg.randn(6, device=device)) == bits(b)


def test_generators(device: str) -> None:
    one, two = gg.Generator(device).manual_seed(8), gg.Generator(device).manual_seed(8)
    outside = gg.get_rng_state(device)
    assert bits(gg.rand(5, generator=one, device=device)) == bits(gg.rand(5, generator=two, device=device))
    state = one.get_state()
    later = bits(gg.rand(5, generator=one, device=device))
    one.set_state(state)
    assert bits(gg.rand(5, generator=one, device=device)) == later
    assert one.initial_seed() == 8 and one.device.type == device
    assert bits(gg.get_rng_state(device)) == bits(outside)
    with pytest.raises(RuntimeError, match="16 bytes"):
        one.set_state(gg.zeros(16))
    with pytest.raises(RuntimeError, match="64 bits"):
        one.manual_seed(1 << 65)
    other = "cuda" if device == "cpu" else "cpu"
    with pytest.raises(RuntimeError, match=f"expected a '{other}' device type for generator"):
        gg.rand(2, generator=one, device=other)


def test_state_and_fork(device: str) -> None:
    gg.manual_seed(-1)
    state = gg.get_rng_state(device)
    a = bits(gg.rand(5, device=device))
    gg.set_rng_state(state, device)
    with gg.random.fork_rng():
        gg.manual_seed(99)
        gg.rand(100, device=device)
    assert bits(gg.rand(5, device=device)) == a
    assert gg.initial_seed() == 2**64 - 1
    assert gg.seed() == gg.initial_seed()


def test_threads_share_no_numbers() -> None:
    generator = gg.Generator().manual_seed(1)
    drawn: list[float] = []

    def draw() -> None:
        for _ in range(50):
            drawn.extend(gg.rand(4, dtype=gg.float64, generator=generator).tolist())

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(set(drawn)) == 800
    assert set(drawn) == set(gg.rand(800, dtype=gg.float64, generator=generator.manual_seed(1)).tolist())


def test_dropout_draws_its_mask_again_in_backward(device: str) -> None:
    gg.manual_seed(6)
    x = gg.rand(50, 40, device=device, requires_grad=True)
    y = dropout(x, 0.25)
    (g,) = gg.autograd.grad(y.sum(), [x])
    kept = y.detach() != 0
    assert abs(float(kept.float().mean()) - 0.75) < 0.05
    assert bits(g) == bits(kept.float() * (1 / 0.75))


def test_leaf_that_requires_grad_is_not_drawn_over() -> None:
    with pytest.raises(RuntimeError, match="leaf Variable"):
        gg.ones(3, requires_grad=True).normal_()
    w = gg.ones(3, requires_grad=True)
    with gg.no_grad():
        w.uniform_(2, 3)
    assert w.requires_grad and float(w.min()) >= 2


def test_generators_are_copied_and_seeded(device: str) -> None:
    one = gg.Generator(device)
    assert one.initial_seed() == gg.Generator(device).initial_seed()  # unseeded streams are reproducible too
    one.manual_seed(-3)
    bits(gg.rand(7, generator=one, device=device))
    two = one.clone_state()
    assert two.device == one.device
    assert bits(gg.randn(9, generator=one, device=device)) == bits(gg.randn(9, generator=two, device=device))
    assert one.seed() == one.initial_seed() != two.initial_seed()


def test_forks_of_chosen_devices() -> None:
    gg.manual_seed(4)
    state = gg.get_rng_state()
    with gg.random.fork_rng(devices=[]):
        gg.rand(3)
    assert bits(gg.get_rng_state()) == bits(state)
    with gg.random.fork_rng(enabled=False):
        gg.rand(3)
    assert bits(gg.get_rng_state()) != bits(state)


@pytest.mark.cuda
def test_one_seed_for_both_devices_in_any_order() -> None:
    gg.manual_seed(11)
    a = [bits(gg.rand(5, device=d)) for d in ("cpu", "cuda")]
    gg.manual_seed(11)
    b = [bits(gg.rand(5, device=d)) for d in ("cuda", "cpu")]
    assert a[0] == a[1] == b[0] == b[1]  # each device has a stream of its own, all start alike


@pytest.mark.cuda
def test_states_of_cuda_devices() -> None:
    gg.cuda.manual_seed_all(5)
    assert gg.cuda.initial_seed() == 5
    states = gg.cuda.get_rng_state_all()
    assert bits(states[0]) == bits(gg.cuda.get_rng_state(0)) == bits(gg.get_rng_state("cuda:0"))
    a = bits(gg.rand(3, device="cuda"))
    gg.cuda.set_rng_state_all(states)
    assert bits(gg.rand(3, device="cuda")) == a
    gg.cuda.set_rng_state(states[0], "cuda")
    assert bits(gg.rand(3, device="cuda")) == a
    gg.cuda.seed()
    gg.cuda.seed_all()
    assert gg.cuda.initial_seed() != 5


def test_numpy_integers_as_counts(device: str) -> None:
    two = np.int64(2)
    generator = gg.Generator(device)
    for _ in range(
        3
    ):  # what is drawn later starts where these ended, so a count must not stay in the generator
        assert sorted(gg.randperm(two, generator=generator, device=device).tolist()) == [0, 1]
        drawn = gg.multinomial(gg.ones(4, device=device), two, replacement=True, generator=generator)
        assert drawn.shape == (2,) and gg.rand(two, generator=generator, device=device).shape == (2,)
    same = gg.Generator(device)
    for _ in range(3):
        gg.randperm(2, generator=same, device=device)
        gg.multinomial(gg.ones(4, device=device), 2, replacement=True, generator=same)
        gg.rand(2, generator=same, device=device)
    assert gg.equal(generator.get_state(), same.get_state())
    assert gg.distributions.Categorical(gg.ones(3, device=device)).sample((two,)).shape == (2,)
