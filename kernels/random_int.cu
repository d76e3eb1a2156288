// Random integers and choices.
#include "philox.cuh"

#define FOR_EACH(i, total)                                                                       \
    for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < (total); \
         i += static_cast<int64>(gridDim.x) * blockDim.x)

// ---- y = low + floor(range * u / 2^64) for a range up to 2^32, low + u mod range beyond; u has 64 bits, so the
// bias is under range / 2^64 ----
struct RandintParams {
    T* y;
    uint64 seed, block;
    int64 n, low;
    uint64 range;
};
KERNEL(random_int)(RandintParams p) {
    FOR_EACH(i, (p.n + 1) / 2) {
        const PhiloxWords words = philox(p.seed, p.block + i);
        for (int k = 0; k < 2; ++k) {
            const int64 e = 2 * i + k;
            if (e >= p.n) break;
            uint64 value;
            if (p.range <= 0x100000000ull) {
                value = (words.word[2 * k + 1] * p.range + (words.word[2 * k] * p.range >> 32)) >> 32;
            } else {
                value = word64(words, k) % p.range;
            }
            p.y[e] = store<T>(static_cast<int64>(static_cast<uint64>(p.low) + value));
        }
    }
}
