// Softmax and log-softmax along one dimension of a contiguous array seen as (outer, n, inner).
//
// inner == 1, n <= 1024: a group of up to 32 lanes holds its row in registers, so that every element is read once
//     and written once (8 bytes of float32 forward, 12 backward).
// inner == 1, longer:    one block a row; it passes twice over the row, the second time out of cache.
// inner > 1:             neighbouring threads take neighbouring columns; eight rows of threads share a column.
#include "common.cuh"

typedef Compute<T> C;

struct Params {
    const T* x;  // the input; backward: the output y
    const T* g;  // backward: the gradient of the output
    T* out;
    int64 outer, n, inner;
    int width;  // lanes of a row: a power of two, at most 32
    int unused;
};

// The maximum so far and the sum of exp(x - maximum): M. Milakov and N. Gimelshein (2018), "Online normalizer calculation".
struct Online {
    C top, sum;
    __device__ __forceinline__ void take(C v) {
        if (v > top) {
            sum = sum * exp(top - v) + 1;
            top = v;
        } else if (v > -infinity<C>()) {
            sum += exp(v - top);
        } else if (v != v) {
            sum = v;
        }
    }
    __device__ __forceinline__ void join(C other_top, C other_sum) {
        const C higher = other_top > top ? other_top : top;
        if (higher == -infinity<C>()) {
            sum += other_sum;
            return;
        }
        sum = sum * exp(top - higher) + other_sum * exp(other_top - higher);
        top = higher;
    }
};

struct Softmax {
    static __device__ __forceinline__ C forward(C v, C top, C sum) { return exp(v - top) / sum; }
    static __device__ __forceinline__ C weigh(C g, C y) { return g * y; }
    static __device__ __forceinline__ C backward(C g, C y, C total) { return y * (g - total); }
};
struct LogSoftmax {
    static __device__ __forceinline__ C forward(C v, C top, C sum) { return v - top - log(sum); }
    static __device__ __forceinline__ C weigh(C g, C) { return g; }
    static __device__ __forceinline__ C backward(C g, C y, C total) { return g - exp(y) * total; }
};

__device__ __forceinline__ C group_max(C v, int width) {
    for (int offset = width >> 1; offset > 0; offset >>= 1) v = Max::apply(v, __shfl_xor_sync(0xffffffffu, v, offset));
    return v;
}
__device__ __forceinline__ C group_sum(C v, int width) {
    for (int offset = width >> 1; offset > 0; offset >>= 1) v += __shfl_xor_sync(0xffffffffu, v, offset);
    return v;
}

template <class F, int EACH> __device__ __forceinline__ void forward_in_registers(const Params& p) {
    const int lane = threadIdx.x & (p.width - 1), n = p.n;
    const int64 row = blockIdx.x * static_cast<int64>(blockDim.x / p.width) + threadIdx.x / p.width;
    const bool valid = row < p.outer;
    const T* x = p.x + row * n;
    C value[EACH];
    C top = -infinity<C>(), sum = 0;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int i = lane + k * p.width;
        value[k] = valid && i < n ? load(x[i]) : -infinity<C>();
        top = Max::apply(value[k], top);
    }
    top = group_max(top, p.width);
#pragma unroll
    for (int k = 0; k < EACH; ++k)
        if (lane + k * p.width < n) sum += exp(value[k] - top);
    sum = group_sum(sum, p.width);
    if (!valid) return;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int i = lane + k * p.width;
        if (i < n) p.out[row * n + i] = store<T>(F::forward(value[k], top, sum));
    }
}

template <class F, int EACH> __device__ __forceinline__ void backward_in_registers(const Params& p) {
    const int lane = threadIdx.x & (p.width - 1), n = p.n;
    const int64 row = blockIdx.x * static_cast<int64>(blockDim.x / p.width) + threadIdx.x / p.width;
    const bool valid = row < p.outer;
    C y[EACH], g[EACH];
    C total = 0;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int i = lane + k * p.width;
        const bool inside = valid && i < n;
        y[k] = inside ? load(p.x[row * n + i]) : 0;
        g[k] = inside ? load(p.g[row * n + i]) : 0;
        total += F::weigh(g[k], y[k]);
    }
    total = group_sum(total, p.width);
    if (!valid) return;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int i = lane + k * p.width;
        if (i < n) p.out[row * n + i] = store<T>(F::backward(g[k], y[k], total));
    }
}

// How many values a lane holds: a few sizes are compiled, the smallest that fits runs.
template <class F> __device__ void forward_rows(const Params& p) {
    if (p.n <= p.width) forward_in_registers<F, 1>(p);
    else if (p.n <= p.width * 4) forward_in_registers<F, 4>(p);
    else if (p.n <= p.width * 8) forward_in_registers<F, 8>(p);
    else forward_in_registers<F, 32>(p);
}
template <class F> __device__ void backward_rows(const Params& p) {
    if (p.n <= p.width) backward_in_registers<F, 1>(p);
    else if (p.n <= p.width * 4) backward_in_registers<F, 4>(p);
    else if (p.n <= p.width * 8) backward_in_registers<F, 8>(p);
    else backward_in_registers<F, 32>(p);
}

template <class F> __device__ void forward_block(const Params& p) {
    __shared__ C scratch[32];
    const T* x = p.x + blockIdx.x * p.n;
    T* out = p.out + blockIdx.x * p.n;
    Online mine = {-infinity<C>(), 0};
    for (int64 i = threadIdx.x; i < p.n; i += blockDim.x) mine.take(load(x[i]));
    const C top = block_reduce<Max>(mine.top, -infinity<C>(), scratch);
    // A row of -inf alone is 0/0, as exp(-inf - -inf) is: NaN, as elsewhere.
    const C sum = block_reduce<Sum>(mine.sum == 0 ? static_cast<C>(0) : mine.sum * exp(mine.top - top), static_cast<C>(0), scratch);
    for (int64 i = threadIdx.x; i < p.n; i += blockDim.x) out[i] = store<T>(F::forward(load(x[i]), top, sum));
}

template <class F> __device__ void backward_block(const Params& p) {
    __shared__ C scratch[32];
    const int64 start = blockIdx.x * p.n;
    C total = 0;
    for (int64 i = threadIdx.x; i < p.n; i += blockDim.x) total += F::weigh(load(p.g[start + i]), load(p.x[start + i]));
    total = block_reduce<Sum>(total, static_cast<C>(0), scratch);
    for (int64 i = threadIdx.x; i < p.n; i += blockDim.x)
        p.out[start + i] = store<T>(F::backward(load(p.g[start + i]), load(p.x[start + i]), total));
}

// Block of 32 columns by 8 rows of threads.
template <class F> __device__ void forward_columns(const Params& p) {
    __shared__ C tops[8][32], sums[8][32];
    const int64 column = blockIdx.x * static_cast<int64>(32) + threadIdx.x;
    const bool valid = column < p.outer * p.inner;
    const int64 start = column / p.inner * p.n * p.inner + column % p.inner;
    Online all = {-infinity<C>(), 0};
    if (valid)
        for (int64 i = threadIdx.y; i < p.n; i += 8) all.take(load(p.x[start + i * p.inner]));
    __syncwarp();  // lanes beyond the last column skipped the loop
    tops[threadIdx.y][threadIdx.x] = all.top;
    sums[threadIdx.y][threadIdx.x] = all.sum;
    __syncthreads();
    if (!valid) return;
    all.top = tops[0][threadIdx.x];
    all.sum = sums[0][threadIdx.x];
    for (int r = 1; r < 8; ++r) all.join(tops[r][threadIdx.x], sums[r][threadIdx.x]);
    for (int64 i = threadIdx.y; i < p.n; i += 8)
        p.out[start + i * p.inner] = store<T>(F::forward(load(p.x[start + i * p.inner]), all.top, all.sum));
}

template <class F> __device__ void backward_columns(const Params& p) {
    __shared__ C totals[8][32];
    const int64 column = blockIdx.x * static_cast<int64>(32) + threadIdx.x;
    const bool valid = column < p.outer * p.inner;
    const int64 start = column / p.inner * p.n * p.inner + column % p.inner;
    C total = 0;
    if (valid)
        for (int64 i = threadIdx.y; i < p.n; i += 8) {
            const int64 at = start + i * p.inner;
            total += F::weigh(load(p.g[at]), load(p.x[at]));
        }
    __syncwarp();
    totals[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (!valid) return;
    total = 0;
    for (int r = 0; r < 8; ++r) total += totals[r][threadIdx.x];
    for (int64 i = threadIdx.y; i < p.n; i += 8) {
        const int64 at = start + i * p.inner;
        p.out[at] = store<T>(F::backward(load(p.g[at]), load(p.x[at]), total));
    }
}

KERNEL(softmax_rows)(Params p) { forward_rows<Softmax>(p); }
KERNEL(softmax_block)(Params p) { forward_block<Softmax>(p); }
KERNEL(softmax_columns)(Params p) { forward_columns<Softmax>(p); }
KERNEL(softmax_backward_rows)(Params p) { backward_rows<Softmax>(p); }
KERNEL(softmax_backward_block)(Params p) { backward_block<Softmax>(p); }
KERNEL(softmax_backward_columns)(Params p) { backward_columns<Softmax>(p); }
KERNEL(log_softmax_rows)(Params p) { forward_rows<LogSoftmax>(p); }
KERNEL(log_softmax_block)(Params p) { forward_block<LogSoftmax>(p); }
KERNEL(log_softmax_columns)(Params p) { forward_columns<LogSoftmax>(p); }
KERNEL(log_softmax_backward_rows)(Params p) { backward_rows<LogSoftmax>(p); }
KERNEL(log_softmax_backward_block)(Params p) { backward_block<LogSoftmax>(p); }
KERNEL(log_softmax_backward_columns)(Params p) { backward_columns<LogSoftmax>(p); }
