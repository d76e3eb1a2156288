"""Philox4x32-10 in numpy, and the numbers made from its words: the twin of `kernels/philox.cuh`.

The generator is that of Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(SC 2011). Each function does the arithmetic of its CUDA twin in the same order and precision, one
rounding a step, so the same seed gives the same bits on 'cpu' and on 'cuda'.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_CHUNK = 8192  # blocks made at a time: enough to hide what a numpy call costs, few enough for the second-level cache
_PIECE = 4 * _CHUNK  # normal numbers made at a time
_KEPT = 4096  # blocks of a chunk that is kept for small draws
_KEPT_NORMAL = 256  # blocks of a chunk of normal numbers that is kept
# As 0-dim arrays, which a numpy call takes at less cost than a scalar.
_M0, _M1, _LOW, _32 = (np.array(v, np.uint64) for v in (0xD2511F53, 0xCD9E8D57, 0xFFFFFFFF, 32))
_HALF = np.uint64(32)


@lru_cache(maxsize=16)
def _round_keys(seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The two keys of each of the ten rounds."""
    low, high = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    keys = []
    for _ in range(10):
        keys.append((np.array(low, np.uint64), np.array(high, np.uint64)))
        low, high = low + 0x9E3779B9 & 0xFFFFFFFF, high + 0xBB67AE85 & 0xFFFFFFFF
    return keys


def _blocks(seed: int, first: int, count: int, out: np.ndarray) -> None:
    """Writes the words of blocks first … first + count - 1 to out, (count, 4) uint32."""
    a = np.arange(count, dtype=np.uint64)  # a, b, c, d: the words of the state, in the lower halves
    a += np.uint64(first & 0xFFFFFFFFFFFFFFFF)
    b = np.right_shift(a, _32)
    np.bitwise_and(a, _LOW, a)
    c, d = np.zeros((2, count), np.uint64)
    p, q = np.empty((2, count), np.uint64)
    # Row by row: numpy is fastest on one dimension with one number.
    for k0, k1 in _round_keys(seed):
        np.multiply(a, _M0, p)
        np.multiply(c, _M1, q)
        np.right_shift(q, _32, a)
        np.bitwise_xor(a, b, a)
        np.bitwise_xor(a, k0, a)
        np.right_shift(p, _32, c)
        np.bitwise_xor(c, d, c)
        np.bitwise_xor(c, k1, c)
        np.bitwise_and(q, _LOW, b)
        np.bitwise_and(p, _LOW, d)
    for k, word in enumerate((a, b, c, d)):
        out[:, k] = word


@lru_cache(maxsize=8)
def _chunk(seed: int, number: int) -> np.ndarray:
    """Blocks of one chunk, kept because small draws follow one another."""
    out = np.empty((_KEPT, 4), np.uint32)
    _blocks(seed, number * _KEPT, _KEPT, out)
    out.flags.writeable = False
    return out


def words(seed: int, first: int, count: int) -> np.ndarray:
    """The words of blocks first … first + count - 1 of the stream of `seed`: (count, 4) uint32, read-only where small."""
    size = _KEPT
    number, start = divmod(first, size)
    if start + count <= size:
        return _chunk(seed, number)[start : start + count]
    out = np.empty((count, 4), np.uint32)
    done = 0
    if count <= size:
        done = size - start
        out[:done] = _chunk(seed, number)[start:]
        out[done:] = _chunk(seed, number + 1)[: count - done]
        return out
    for done in range(0, count, _CHUNK):
        _blocks(seed, first + done, min(_CHUNK, count - done), out[done : done + _CHUNK])
    return out


def words32(seed: int, first: int, n: int) -> np.ndarray:
    """`n` words of 32 bits."""
    return words(seed, first, -(-n // 4)).reshape(-1)[:n]


def words64(seed: int, first: int, n: int) -> np.ndarray:
    """`n` words of 64 bits: two of 32, the low one first."""
    return words(seed, first, -(-n // 2)).view("<u8").reshape(-1)[:n]


def blocks32(n: int) -> int:
    """Blocks that `n` numbers of 32 bits use up."""
    return -(-n // 4)


def blocks64(n: int) -> int:
    """Blocks that `n` numbers of 64 bits use up."""
    return -(-n // 2)


def blocks_for(dtype: np.dtype, n: int) -> int:
    """Blocks that `n` floating-point numbers of this dtype use up."""
    return -(-n // 2) if dtype == np.float64 else -(-n // 4)


def uniform(seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    """`n` numbers in [0, 1): multiples of 2^-53 (float64), 2^-24 (float32), 2^-11 (float16), 2^-8 (bfloat16).

    Half types come as float32; all of their values are exact in the half type.
    """
    if dtype == np.float64:
        u = (words64(seed, first, n) >> np.uint64(11)).astype(np.float64)
        u *= 2.0**-53
        return u
    bits = 24 if dtype.itemsize == 4 else 11 if dtype.kind == "f" else 8
    single = (words32(seed, first, n) >> np.uint32(32 - bits)).astype(np.float32)
    single *= np.float32(2.0**-bits)
    return single


def _open_uniform32(word: np.ndarray) -> np.ndarray:
    """(word + 1/2) / 2^32 in float32: never 0."""
    u = word.astype(np.float32)
    u *= np.float32(2.0**-32)
    u += np.float32(2.0**-33)
    return u


def _open_uniform64(word: np.ndarray) -> np.ndarray:
    u = (word >> np.uint64(11)).astype(np.float64)
    u *= 2.0**-53
    u += 2.0**-54
    return u


def _polynomial(z: np.ndarray, *coefficients: float) -> np.ndarray:
    """Horner's scheme, highest power first, one rounding a step."""
    kind = z.dtype.type
    y = z * kind(coefficients[0])
    for c in coefficients[1:-1]:
        y += kind(c)
        y *= z
    y += kind(coefficients[-1])
    return y


# log(1 + f) for x = 2^k (1 + f): odd and even powers of s^2, s = f / (2 + f); fdlibm (Sun Microsystems, 1993)
_LOG32 = ((0.24279078841209412, 0.40000972151756287), (0.2849878668785095, 0.6666666269302368),
          9.058000082148274e-06, 0.693138062953949)  # fmt: skip
_LOG64 = ((1.531383769920937332e-01, 2.222219843214978396e-01, 3.999999999940941908e-01),
          (1.479819860511658591e-01, 1.818357216161805012e-01, 2.857142874366239149e-01, 6.666666666666735130e-01),
          1.90821492927058770002e-10, 6.93147180369123816490e-01)  # fmt: skip
_SIN32 = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
_COS32 = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SIN64 = (1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
          -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01)  # fmt: skip
_COS64 = (-1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
          2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02)  # fmt: skip


def log_exactly(x: np.ndarray) -> np.ndarray:
    """Logarithm of positive normal numbers, with the same bits as `log_exactly` in philox.cuh."""
    kind = x.dtype.type
    even: tuple[float, ...]
    odd: tuple[float, ...]
    if kind is np.float32:
        moved = x.view(np.int32) + np.int32(0x3F800000 - 0x3F3504F3)
        k = ((moved >> 23) - np.int32(127)).astype(kind)
        f = ((moved & np.int32(0x007FFFFF)) + np.int32(0x3F3504F3)).view(kind)
        even, odd, ln2_low, ln2_high = _LOG32
    else:
        moved = x.view(np.int64) + np.int64((0x3FF00000 - 0x3FE6A09E) << 32)
        k = ((moved >> 52) - np.int64(1023)).astype(kind)
        f = ((moved & np.int64(0x000FFFFFFFFFFFFF)) + np.int64(0x3FE6A09E << 32)).view(kind)
        even, odd, ln2_low, ln2_high = _LOG64
    f = f - kind(1)
    s = f / (f + kind(2))
    z = s * s
    w = z * z
    series = z * _polynomial(w, *odd) + w * _polynomial(w, *even)
    half_square = f * kind(0.5) * f
    y = s * (half_square + series) + k * kind(ln2_low)
    y = y - half_square + f
    return y + k * kind(ln2_high)


def _sin_cos(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of angles within a quarter of pi."""
    kind = a.dtype.type
    sine, cosine = (_SIN32, _COS32) if kind is np.float32 else (_SIN64, _COS64)
    z = a * a
    return (
        a + a * z * _polynomial(z, *sine),
        z * kind(-0.5) + kind(1) + z * z * _polynomial(z, *cosine),
    )


@lru_cache(maxsize=8)
def _normal_chunk(seed: int, number: int, double: bool) -> np.ndarray:
    """Normal numbers of one small chunk, kept because small draws follow one another."""
    made = _box_muller(seed, number * _KEPT_NORMAL, (2 if double else 4) * _KEPT_NORMAL, double)
    made.flags.writeable = False
    return made


def normal(seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    """`n` standard normal numbers (float64, or float32 for all other dtypes) by Box & Muller (1958).

    The two top bits of the angle's word choose the quadrant, the others an angle within an eighth
    of a turn of its middle.
    """
    double = dtype == np.float64
    width = 2 if double else 4  # numbers a block
    number, start = divmod(first, _KEPT_NORMAL)
    if start * width + n <= _KEPT_NORMAL * width:
        return _normal_chunk(seed, number, double)[start * width : start * width + n].copy()
    if n <= _PIECE:
        return _box_muller(seed, first, n, double)
    z = np.empty(n, np.float64 if double else np.float32)
    # Piece by piece, so that the many intermediate results stay in the cache.
    for done in range(0, n, _PIECE):
        z[done : done + _PIECE] = _box_muller(seed, first + done // width, min(_PIECE, n - done), double)
    return z


def _box_muller(seed: int, first: int, n: int, double: bool) -> np.ndarray:
    """`normal`, all at once."""
    if double:
        pairs = words(seed, first, -(-n // 2)).view("<u8")
        radius, turn = pairs[:, 0], pairs[:, 1].copy()
        u = _open_uniform64(radius)
        within = ((turn & np.uint64(0x3FFFFFFFFFFFFFFF)) >> np.uint64(9)).astype(np.int64) - np.int64(1 << 52)
        angle: np.ndarray = within.astype(np.float64) * 1.743934249004316e-16  # (pi / 2) / 2^53
    else:
        single = words(seed, first, -(-n // 4)).reshape(-1, 2)
        radius, turn = single[:, 0], single[:, 1].copy()
        u = _open_uniform32(radius)
        within = (turn & np.uint32(0x3FFFFFFF)).astype(np.int32) - np.int32(1 << 29)
        angle = within.astype(np.float32) * np.float32(1.4629180792671596e-09)  # (pi / 2) / 2^30
    kind = u.dtype.type
    r = np.sqrt(log_exactly(u) * kind(-2))
    sine, cosine = (part.view(turn.dtype) for part in _sin_cos(angle))
    # By the bits, as numpy's `where` and products with signs take longer: the top bit of `turn` is the sign of both, and
    # where the next is set, they change places and the first its sign.
    bit = turn.dtype.type(1 << (8 * turn.itemsize - 1))
    sign = turn & bit
    turn <<= turn.dtype.type(1)
    signed = turn.view(within.dtype)
    signed >>= within.dtype.type(8 * turn.itemsize - 1)  # all bits as the top one
    change = cosine ^ sine
    change &= turn
    sine ^= change
    sine ^= sign
    cosine ^= change
    cosine ^= sign
    turn &= bit
    cosine ^= turn
    z = np.empty((len(u), 2), u.dtype)
    np.multiply(r, cosine.view(u.dtype), out=z[:, 0])
    np.multiply(r, sine.view(u.dtype), out=z[:, 1])
    return z.reshape(-1)[:n]


def exponential(seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    """`n` exponential numbers of rate 1 (float64, or float32 for all other dtypes): -log of a uniform number."""
    if dtype == np.float64:
        return -log_exactly(_open_uniform64(words64(seed, first, n)))
    return -log_exactly(_open_uniform32(words32(seed, first, n)))


def integers(seed: int, first: int, n: int, low: int, high: int) -> np.ndarray:
    """`n` int64 numbers in [low, high): floor(range u / 2^64) up to a range of 2^32, u mod range beyond, u of 64 bits."""
    span = high - low
    if span <= 1 << 32:
        pairs = words(seed, first, -(-n // 2)).reshape(-1, 2)[:n].astype(np.uint64)
        carry = pairs[:, 0] * np.uint64(span) >> _HALF
        value = pairs[:, 1] * np.uint64(span) + carry >> _HALF
    else:
        value = words64(seed, first, n) % np.uint64(span)
    return (value + np.uint64(low & 0xFFFFFFFFFFFFFFFF)).view(np.int64)
