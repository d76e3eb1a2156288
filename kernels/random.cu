// Random numbers. A draw takes blocks `block`, `block + 1`, … of the stream of `seed` (philox.cuh): element i of 32-bit
// numbers uses word i % 4 of block i / 4, element i of 64-bit ones half i % 2 of block i / 2. The host keeps the count.
// One thread makes the elements of a block. Traffic: the output, once.
#include "philox.cuh"

#define FOR_EACH(i, total)                                                                       \
    for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < (total); \
         i += static_cast<int64>(gridDim.x) * blockDim.x)

struct RandomParams {
    T* y;
    uint64 seed, block;
    int64 n;
    double a, b;  // uniform: scale, low; normal: deviation, mean; exponential: 1 / rate
};

// One block of standard numbers for element type E, in the arithmetic type: 4 of float, 2 of double.
template <class C> struct Draw;
template <> struct Draw<float> {
    enum { count = 4 };
    template <class E> static __device__ __forceinline__ void uniform(const PhiloxWords& w, float* out) {
        for (int k = 0; k < 4; ++k) out[k] = uniform32<E>(w.word[k]);
    }
    static __device__ __forceinline__ void normal(const PhiloxWords& w, float* out) {
        normal_pair(w.word[0], w.word[1], out[0], out[1]);
        normal_pair(w.word[2], w.word[3], out[2], out[3]);
    }
    static __device__ __forceinline__ void exponential(const PhiloxWords& w, float* out) {
        for (int k = 0; k < 4; ++k) {
            const float u = add(mul(static_cast<float>(w.word[k]), 2.3283064365386963e-10f), 1.1641532182693481e-10f);
            out[k] = -log_exactly(u);
        }
    }
};
template <> struct Draw<double> {
    enum { count = 2 };
    template <class E> static __device__ __forceinline__ void uniform(const PhiloxWords& w, double* out) {
        for (int k = 0; k < 2; ++k) out[k] = uniform64(word64(w, k));
    }
    static __device__ __forceinline__ void normal(const PhiloxWords& w, double* out) {
        normal_pair(word64(w, 0), word64(w, 1), out[0], out[1]);
    }
    static __device__ __forceinline__ void exponential(const PhiloxWords& w, double* out) {
        for (int k = 0; k < 2; ++k) {
            const double u = add(mul(static_cast<double>(static_cast<int64>(word64(w, k) >> 11)), 0x1p-53), 0x1p-54);
            out[k] = -log_exactly(u);
        }
    }
};

enum Distribution { UNIFORM, NORMAL, EXPONENTIAL };

template <int kind> __device__ __forceinline__ void random_body(const RandomParams& p) {
    typedef Compute<T> C;
    const int count = Draw<C>::count;
    const C scale = static_cast<C>(p.a), shift = static_cast<C>(p.b);
    FOR_EACH(i, (p.n + count - 1) / count) {
        const PhiloxWords words = philox(p.seed, p.block + i);
        C value[count];
        if (kind == UNIFORM) Draw<C>::template uniform<T>(words, value);
        else if (kind == NORMAL) Draw<C>::normal(words, value);
        else Draw<C>::exponential(words, value);
#pragma unroll
        for (int k = 0; k < count; ++k) {
            const int64 e = i * count + k;
            if (e < p.n) p.y[e] = store<T>(add(mul(value[k], scale), shift));
        }
    }
}
KERNEL(random_uniform)(RandomParams p) { random_body<UNIFORM>(p); }
KERNEL(random_normal)(RandomParams p) { random_body<NORMAL>(p); }
KERNEL(random_exponential)(RandomParams p) { random_body<EXPONENTIAL>(p); }

// ---- dropout: y = x * (word < threshold ? scale : 0). The mask is drawn again in the backward pass, not saved: reads x
// and writes y, nothing more. ----
struct DropoutParams {
    const T* x;
    T* y;
    uint64 seed, block;
    int64 n;
    uint64 threshold;  // 2^32 keeps all
    double scale;
};
KERNEL(dropout)(DropoutParams p) {
    const Compute<T> scale = static_cast<Compute<T> >(p.scale);
    FOR_EACH(i, (p.n + 3) / 4) {
        const PhiloxWords words = philox(p.seed, p.block + i);
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int64 e = i * 4 + k;
            if (e < p.n) p.y[e] = store<T>(load(p.x[e]) * (words.word[k] < p.threshold ? scale : Compute<T>(0)));
        }
    }
}

// ---- bernoulli: y = (uniform < probability), one probability or one an element ----
struct BernoulliParams {
    const T* probability;  // null: use `p`
    T* y;
    uint64 seed, block;
    int64 n;
    double p;
};
KERNEL(random_bernoulli)(BernoulliParams q) {
    FOR_EACH(i, (q.n + 3) / 4) {
        const PhiloxWords words = philox(q.seed, q.block + i);
        for (int k = 0; k < 4; ++k) {
            const int64 e = i * 4 + k;
            if (e >= q.n) break;
            const double p = q.probability ? static_cast<double>(load(q.probability[e])) : q.p;
            q.y[e] = store<T>(static_cast<Compute<T> >(static_cast<double>(uniform32<float>(words.word[k])) < p));
        }
    }
}
