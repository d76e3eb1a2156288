"""Philox4x32-10 in numpy, and the numbers made from its words: the twin of `kernels/philox.cuh`.

The generator is that of Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3"
(SC 2011). Each function does the arithmetic of its CUDA twin in the same order and precision, one
rounding a step, so the same seed gives the same bits on 'cpu' and on 'cuda'.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

_CHUNK = 16384  # blocks made at a time: enough to hide what a numpy call costs, few enough for the cache
_PIECE = 65536  # numbers made at a time
_KEPT = 4096  # blocks of a chunk that is kept for small draws
# As 0-dim arrays, which a numpy call takes at less cost than a scalar.
_M0, _M1, _LOW, _32, _11 = (np.array(v, np.uint64) for v in (0xD2511F53, 0xCD9E8D57, 0xFFFFFFFF, 32, 11))


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
    first &= 0xFFFFFFFFFFFFFFFF
    keys = _round_keys(seed)
    a = np.arange(count, dtype=np.uint64)  # a, b, c, d: the words of the state, in the lower halves
    a += np.uint64(first)
    b, c, d, p, q = np.empty((5, count), np.uint64)
    low, high = first & 0xFFFFFFFF, first >> 32
    if low + count <= 1 << 32:
        # The second word is the same for all blocks, c and d begin as 0: most of the first rounds is arithmetic of numbers.
        (_, k1), (k2, k3), (k4, k5), *keys = keys
        np.bitwise_and(a, _LOW, a)
        np.multiply(a, _M0, p)  # round 1: a = high ^ k0, b = 0
        np.right_shift(p, _32, c)
        np.bitwise_xor(c, k1, c)
        np.bitwise_and(p, _LOW, d)
        fixed = (high ^ int(_round_keys(seed)[0][0])) * int(_M0)
        np.multiply(c, _M1, q)  # round 2, whose d is the lower half of `fixed`
        np.right_shift(q, _32, a)
        np.bitwise_xor(a, k2, a)
        np.bitwise_xor(d, np.array(fixed >> 32 ^ int(k3), np.uint64), c)
        np.bitwise_and(q, _LOW, b)
        np.multiply(a, _M0, p)  # round 3
        np.multiply(c, _M1, q)
        np.right_shift(q, _32, a)
        np.bitwise_xor(a, b, a)
        np.bitwise_xor(a, k4, a)
        np.right_shift(p, _32, c)
        np.bitwise_xor(c, np.array(fixed & 0xFFFFFFFF ^ int(k5), np.uint64), c)
        np.bitwise_and(q, _LOW, b)
        np.bitwise_and(p, _LOW, d)
    else:
        np.right_shift(a, _32, b)
        np.bitwise_and(a, _LOW, a)
        c[:] = d[:] = 0
    # Row by row: numpy is fastest on one dimension with one number.
    for k0, k1 in keys:
        np.multiply(a, _M0, p)
        np.multiply(c, _M1, q)
        np.right_shift(q, _32, a)
        np.bitwise_xor(a, b, a)
        np.bitwise_xor(a, k0, a)
        np.right_shift(p, _32, c)
        np.bitwise_xor(c, d, c)
        np.bitwise_xor(c, k1, c)
        np.bitwise_and(q, _LOW, q)
        np.bitwise_and(p, _LOW, p)
        b, q, d, p = q, b, p, d
    for k, word in enumerate((a, b, c, d)):
        out[:, k] = word


@lru_cache(maxsize=8)
def _chunk(seed: int, number: int) -> np.ndarray:
    """Blocks of one chunk, kept because small draws follow one another and may be of several kinds."""
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
    return -(-n // 2) if dtype.itemsize == 8 else -(-n // 4)


@lru_cache(maxsize=16)
def _chunk_of(make: Callable, seed: int, number: int, dtype: np.dtype) -> np.ndarray:
    """The numbers that `make` makes of the blocks of one chunk."""
    made = make(seed, number * _KEPT, (2 if dtype.itemsize == 8 else 4) * _KEPT, dtype)
    made.flags.writeable = False
    return made


def _numbers(make: Callable, seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    """make(seed, first, n, dtype), for small n copied from chunks that are kept."""
    width = 2 if dtype.itemsize == 8 else 4  # numbers a block
    size = _KEPT * width
    number, start = divmod(first * width, size)
    end = start + n
    if end <= size:
        return _chunk_of(make, seed, number, dtype)[start:end].copy()
    if n > size // 2:
        if n <= _PIECE:
            return make(seed, first, n, dtype)
        made = np.empty(n, np.float64 if dtype.itemsize == 8 else np.float32)
        for done in range(0, n, _PIECE):  # so that what is made on the way stays in the cache
            made[done : done + _PIECE] = make(seed, first + done // width, min(_PIECE, n - done), dtype)
        return made
    begin = _chunk_of(make, seed, number, dtype)[start:]
    return np.concatenate((begin, _chunk_of(make, seed, number + 1, dtype)[: end - size]))


def uniform(seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    """`n` numbers in [0, 1): multiples of 2^-53 (float64), 2^-24 (float32), 2^-11 (float16), 2^-8 (bfloat16).

    Half types come as float32; all of their values are exact in the half type.
    """
    return _numbers(_uniform, seed, first, n, dtype)


def _uniform(seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    if dtype.itemsize == 8:
        u = (words64(seed, first, n) >> _11).view(np.int64).astype(np.float64)
        u *= 2.0**-53
        return u
    bits = 24 if dtype.itemsize == 4 else 11 if dtype.kind == "f" else 8
    single = (words32(seed, first, n) >> np.uint32(32 - bits)).astype(np.float32)
    single *= np.float32(2.0**-bits)
    return single


def _constants(kind: type, *values: Any) -> tuple:
    """Numbers, and tuples of them, as 0-dim arrays."""
    return tuple([_constants(kind, *v) if type(v) is tuple else np.array(v, kind) for v in values])


_32_SCALE, _32_HALF = _constants(np.float32, 2.0**-32, 2.0**-33)
_64_SCALE, _64_HALF = _constants(np.float64, 2.0**-53, 2.0**-54)


def _open_uniform32(word: np.ndarray) -> np.ndarray:
    """(word + 1/2) / 2^32 in float32: never 0."""
    u = word.astype(np.float32)
    u *= _32_SCALE
    u += _32_HALF
    return u


def _open_uniform64(word: np.ndarray) -> np.ndarray:
    u = (word >> _11).view(np.int64).astype(np.float64)
    u *= _64_SCALE
    u += _64_HALF
    return u


def polynomial(z: np.ndarray, coefficients: tuple) -> np.ndarray:
    """Horner's scheme, highest power first, one rounding a step."""
    y = z * coefficients[0]
    for c in coefficients[1:-1]:
        y += c
        y *= z
    y += coefficients[-1]
    return y


# log(1 + f) for x = 2^k (1 + f): odd and even powers of s^2, s = f / (2 + f), and log 2 in two parts; fdlibm (Sun
# Microsystems, 1993)
_LOG32 = _constants(np.float32,
    (0.24279078841209412, 0.40000972151756287), (0.2849878668785095, 0.6666666269302368), 9.058000082148274e-06, 0.693138062953949,
)  # fmt: skip
_LOG64 = _constants(np.float64,
    (1.531383769920937332e-01, 2.222219843214978396e-01, 3.999999999940941908e-01),
    (1.479819860511658591e-01, 1.818357216161805012e-01, 2.857142874366239149e-01, 6.666666666666735130e-01),
    1.90821492927058770002e-10, 6.93147180369123816490e-01,
)  # fmt: skip
# sine and cosine by odd and even powers: the coefficients after the first term or two
_SIN_COS32 = _constants(np.float32,
    (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1), (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2),
)  # fmt: skip
_SIN_COS64 = _constants(np.float64,
    (1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
     -1.98412698298579493134e-04, 8.33333333332248946124e-03, -1.66666666666666324348e-01),
    (-1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07,
     2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02),
)  # fmt: skip
_NUMBERS32, _NUMBERS64 = (_constants(kind, -2, -0.5, 0.5, 1, 2) for kind in (np.float32, np.float64))
# What takes a number's bits apart: 1 - sqrt(1/2) in bits, those of sqrt(1/2), of the mantissa, its width and the exponent's bias.
_BITS32 = _constants(np.int32, 0x3F800000 - 0x3F3504F3, 0x3F3504F3, 0x007FFFFF, 23, 127)
_BITS64 = _constants(
    np.int64, (0x3FF00000 - 0x3FE6A09E) << 32, 0x3FE6A09E << 32, 0x000FFFFFFFFFFFFF, 52, 1023
)


def log_exactly(x: np.ndarray) -> np.ndarray:
    """Logarithm of positive normal numbers, with the same bits as `log_exactly` in philox.cuh."""
    single = x.dtype.itemsize == 4
    even, odd, ln2_low, ln2_high = _LOG32 if single else _LOG64
    _, _, half, one, two = _NUMBERS32 if single else _NUMBERS64
    above, root, mantissa, width, bias = _BITS32 if single else _BITS64
    moved = x.view(root.dtype) + above
    k = moved >> width
    k -= bias
    k = k.astype(x.dtype)
    moved &= mantissa
    moved += root
    f = moved.view(x.dtype)
    f -= one
    s = f + two
    np.divide(f, s, s)
    z = s * s
    w = z * z
    series = polynomial(w, odd)
    series *= z
    powers = polynomial(w, even)
    powers *= w
    series += powers
    half_square = np.multiply(f, half, z)
    half_square *= f
    series += half_square
    s *= series  # y
    s += np.multiply(k, ln2_low, w)
    s -= half_square
    s += f
    k *= ln2_high
    s += k
    return s


def _sin_cos(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of angles within a quarter of pi."""
    single = a.dtype.itemsize == 4
    sine, cosine = _SIN_COS32 if single else _SIN_COS64
    _, minus_half, _, one, _ = _NUMBERS32 if single else _NUMBERS64
    z = a * a
    y = polynomial(z, sine)
    y *= a * z
    y += a
    x = polynomial(z, cosine)
    x *= z * z
    z *= minus_half
    z += one
    x += z
    return y, x


def normal(seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    """`n` standard normal numbers (float64, or float32 for all other dtypes) by Box & Muller (1958).

    The two top bits of the angle's word choose the quadrant, the others an angle within an eighth
    of a turn of its middle.
    """
    return _numbers(_normal, seed, first, n, dtype)


def _normal(seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    double = dtype.itemsize == 8
    if double:
        pairs = words(seed, first, -(-n // 2)).view("<u8")
        radius, turn = pairs[:, 0], pairs[:, 1].copy()
        u = _open_uniform64(radius)
        within = (turn & np.uint64(0x3FFFFFFFFFFFFFFF)).view(np.int64)
        within >>= np.int64(9)
        within -= np.int64(1 << 52)
        angle: np.ndarray = within * 1.743934249004316e-16  # (pi / 2) / 2^53
    else:
        single = words(seed, first, -(-n // 4)).reshape(-1, 2)
        radius, turn = single[:, 0], single[:, 1].copy()
        u = _open_uniform32(radius)
        within = (turn & np.uint32(0x3FFFFFFF)).view(np.int32)
        within -= np.int32(1 << 29)
        angle = within.astype(np.float32)
        angle *= np.float32(1.4629180792671596e-09)  # (pi / 2) / 2^30
    r = log_exactly(u)
    r *= (_NUMBERS64 if double else _NUMBERS32)[0]
    np.sqrt(r, r)
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
    z += 0.0  # no -0
    return z.reshape(-1)[:n]


def exponential(seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    """`n` exponential numbers of rate 1 (float64, or float32 for all other dtypes): -log of a uniform number."""
    return _numbers(_exponential, seed, first, n, dtype)


def _exponential(seed: int, first: int, n: int, dtype: np.dtype) -> np.ndarray:
    if dtype.itemsize == 8:
        u = _open_uniform64(words64(seed, first, n))
    else:
        u = _open_uniform32(words32(seed, first, n))
    return 0.0 - log_exactly(u)  # never -0


def integers(seed: int, first: int, n: int, low: int, high: int) -> np.ndarray:
    """`n` int64 numbers in [low, high): floor(range u / 2^64) up to a range of 2^32, u mod range beyond, u of 64 bits."""
    if n <= _PIECE // 2:
        return _integers(seed, first, n, low, high)
    made = np.empty(n, np.int64)
    for done in range(0, n, _PIECE // 2):
        count = min(_PIECE // 2, n - done)
        made[done : done + count] = _integers(seed, first + done // 2, count, low, high)
    return made


def _integers(seed: int, first: int, n: int, low: int, high: int) -> np.ndarray:
    span = high - low
    u = words64(seed, first, n)
    if n <= 16:  # where Python's arithmetic is faster than numpy's
        drawn = u.tolist()
        if span <= 1 << 32:
            return np.array([low + (span * v >> 64) for v in drawn], np.int64)
        return np.array([low + v % span for v in drawn], np.int64)
    if span <= 1 << 32:
        factor = np.array(span, np.uint64)
        value = u & _LOW
        value *= factor
        value >>= _32
        u = u >> _32
        u *= factor
        value += u
        value >>= _32
    else:
        value = u % np.array(span, np.uint64)
    if low:
        value += np.array(low & 0xFFFFFFFFFFFFFFFF, np.uint64)
    return value.view(np.int64)


def permutation(seed: int, first: int, n: int) -> np.ndarray:
    """The order of `n` integers of 62 bits: that of `integers(seed, first, n, 0, 1 << 62)`."""
    keys = words64(seed, first, n) & np.array((1 << 62) - 1, np.uint64)
    if n < 256:
        return keys.argsort(kind="stable")
    # Sorting values is several times as fast as finding their order: a key's top bits, and its place in the others.
    bits = (n - 1).bit_length()
    low = np.array((1 << bits) - 1, np.uint64)
    packed = keys & ~low
    packed |= np.arange(n, dtype=np.uint64)
    packed.sort()
    tops = packed >> np.array(bits, np.uint64)
    if (tops[1:] == tops[:-1]).any():  # two keys that differ in lower bits at most
        return keys.argsort(kind="stable")
    packed &= low
    return packed.view(np.int64)
