// Normalisation: layer norm over rows, batch norm over everything but the channel.
//
// Layer norm, (rows, n): a warp holds a row of up to 1024 elements in registers, else a block shares it: 8 bytes of
//     float32 an element to and from memory. Mean and 1/deviation are kept.
// Backward: one kernel for the input (12 bytes), one for weight and bias that walks down columns, 32 of them by 8
//     rows of threads, in `splits` parts that a last kernel adds up in a fixed order.
// Batch norm, (outer, channels, inner): the moments come from reduce.cuh; here are the two sums of the backward
//     pass and the elementwise passes.
#include "common.cuh"

typedef Compute<T> C;

struct RowParams {
    const T* x;
    const T* g;       // backward: gradient of the output
    const T* weight;  // or null
    const T* bias;    // or null
    C* mean;
    C* rstd;
    T* out;
    int64 rows, n;
    double eps;
    int width, centred;  // threads of a row: 32 or the block; centred: 0 for RMS norm
};

// A warp a row, the row in registers: EACH values a lane, read once.
template <int EACH> __device__ __forceinline__ void forward_in_registers(const RowParams& p) {
    const int lane = threadIdx.x & 31, n = p.n;
    const int64 row = blockIdx.x * static_cast<int64>(blockDim.x / 32) + threadIdx.x / 32;
    if (row >= p.rows) return;  // the whole warp
    C value[EACH];
    C mean = 0, square = 0;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int i = lane + k * 32;
        value[k] = i < n ? load(p.x[row * n + i]) : static_cast<C>(0);
        mean += value[k];
    }
    mean = p.centred ? warp_reduce<Sum>(mean) / n : 0;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const C d = lane + k * 32 < n ? value[k] - mean : 0;
        square += d * d;
    }
    const C rstd = 1 / sqrt(warp_reduce<Sum>(square) / n + static_cast<C>(p.eps));
    if (lane == 0) {
        p.mean[row] = mean;
        p.rstd[row] = rstd;
    }
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int i = lane + k * 32;
        if (i >= n) break;
        C y = (value[k] - mean) * rstd;
        if (p.weight) y *= load(p.weight[i]);
        if (p.bias) y += load(p.bias[i]);
        p.out[row * n + i] = store<T>(y);
    }
}

// A block a row; the second and third time the row comes out of cache.
__device__ void forward_in_a_block(const RowParams& p) {
    __shared__ C scratch[32];
    const T* x = p.x + blockIdx.x * p.n;
    C mean = 0, square = 0;
    if (p.centred) {
        for (int64 i = threadIdx.x; i < p.n; i += blockDim.x) mean += load(x[i]);
        mean = block_reduce<Sum>(mean, static_cast<C>(0), scratch) / p.n;
    }
    for (int64 i = threadIdx.x; i < p.n; i += blockDim.x) {
        const C d = load(x[i]) - mean;
        square += d * d;
    }
    const C rstd = 1 / sqrt(block_reduce<Sum>(square, static_cast<C>(0), scratch) / p.n + static_cast<C>(p.eps));
    if (threadIdx.x == 0) {
        p.mean[blockIdx.x] = mean;
        p.rstd[blockIdx.x] = rstd;
    }
    for (int64 i = threadIdx.x; i < p.n; i += blockDim.x) {
        C y = (load(x[i]) - mean) * rstd;
        if (p.weight) y *= load(p.weight[i]);
        if (p.bias) y += load(p.bias[i]);
        p.out[blockIdx.x * p.n + i] = store<T>(y);
    }
}

// How many values a lane holds: a few sizes are compiled, the smallest that fits runs.
KERNEL(layer_norm)(RowParams p) {
    if (p.width != 32) forward_in_a_block(p);
    else if (p.n <= 32) forward_in_registers<1>(p);
    else if (p.n <= 128) forward_in_registers<4>(p);
    else if (p.n <= 512) forward_in_registers<16>(p);
    else forward_in_registers<32>(p);
}

// dx = rstd (a - mean(a) - xhat mean(a xhat)) with a = g weight.
template <int EACH> __device__ __forceinline__ void backward_in_registers(const RowParams& p) {
    const int lane = threadIdx.x & 31, n = p.n;
    const int64 row = blockIdx.x * static_cast<int64>(blockDim.x / 32) + threadIdx.x / 32;
    if (row >= p.rows) return;
    const C mean = p.mean[row], rstd = p.rstd[row];
    C a[EACH], xhat[EACH];
    C sum = 0, along = 0;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int i = lane + k * 32;
        a[k] = xhat[k] = 0;
        if (i < n) {
            a[k] = load(p.g[row * n + i]) * (p.weight ? load(p.weight[i]) : static_cast<C>(1));
            xhat[k] = (load(p.x[row * n + i]) - mean) * rstd;
        }
        sum += a[k];
        along += a[k] * xhat[k];
    }
    sum = p.centred ? warp_reduce<Sum>(sum) / n : 0;
    along = warp_reduce<Sum>(along) / n;
#pragma unroll
    for (int k = 0; k < EACH; ++k) {
        const int i = lane + k * 32;
        if (i < n) p.out[row * n + i] = store<T>(rstd * (a[k] - sum - xhat[k] * along));
    }
}

__device__ void backward_in_a_block(const RowParams& p) {
    __shared__ C scratch[32];
    const int64 start = blockIdx.x * p.n;
    const C mean = p.mean[blockIdx.x], rstd = p.rstd[blockIdx.x];
    C sum = 0, along = 0;
    for (int64 i = threadIdx.x; i < p.n; i += blockDim.x) {
        const C a = load(p.g[start + i]) * (p.weight ? load(p.weight[i]) : static_cast<C>(1));
        sum += a;
        along += a * (load(p.x[start + i]) - mean) * rstd;
    }
    sum = p.centred ? block_reduce<Sum>(sum, static_cast<C>(0), scratch) / p.n : 0;
    along = block_reduce<Sum>(along, static_cast<C>(0), scratch) / p.n;
    for (int64 i = threadIdx.x; i < p.n; i += blockDim.x) {
        const C a = load(p.g[start + i]) * (p.weight ? load(p.weight[i]) : static_cast<C>(1));
        p.out[start + i] = store<T>(rstd * (a - sum - (load(p.x[start + i]) - mean) * rstd * along));
    }
}

KERNEL(layer_norm_backward)(RowParams p) {
    if (p.width != 32) backward_in_a_block(p);
    else if (p.n <= 32) backward_in_registers<1>(p);
    else if (p.n <= 128) backward_in_registers<4>(p);
    else if (p.n <= 512) backward_in_registers<16>(p);
    else backward_in_registers<32>(p);
}

struct ColumnParams {
    const T* x;
    const T* g;
    const C* mean;
    const C* rstd;
    C* partial;  // [2][splits][n]: sums of g xhat, sums of g
    T* of_weight;
    T* of_bias;
    int64 rows, n, chunk;
    int splits, unused;
};

// Grid: x over groups of 32 columns, y over splits. Block of 32 by 8.
KERNEL(layer_norm_columns)(ColumnParams p) {
    __shared__ C along[8][32], plain[8][32];
    const int64 column = blockIdx.x * static_cast<int64>(32) + threadIdx.x;
    const int64 begin = blockIdx.y * p.chunk, end = min(p.rows, begin + p.chunk);
    C a = 0, b = 0;
    if (column < p.n)
        for (int64 row = begin + threadIdx.y; row < end; row += 8) {
            const C g = load(p.g[row * p.n + column]);
            a += g * (load(p.x[row * p.n + column]) - p.mean[row]) * p.rstd[row];
            b += g;
        }
    __syncwarp();  // lanes beyond the last column skipped the loop
    along[threadIdx.y][threadIdx.x] = a;
    plain[threadIdx.y][threadIdx.x] = b;
    __syncthreads();
    if (threadIdx.y != 0 || column >= p.n) return;
    for (int r = 1; r < 8; ++r) {
        a += along[r][threadIdx.x];
        b += plain[r][threadIdx.x];
    }
    p.partial[blockIdx.y * p.n + column] = a;
    p.partial[(p.splits + blockIdx.y) * p.n + column] = b;
}

KERNEL(layer_norm_columns_finish)(ColumnParams p) {
    const int64 column = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x;
    if (column >= p.n) return;
    C a = 0, b = 0;
    for (int s = 0; s < p.splits; ++s) {
        a += p.partial[s * p.n + column];
        b += p.partial[(p.splits + s) * p.n + column];
    }
    if (p.of_weight) p.of_weight[column] = store<T>(a);
    if (p.of_bias) p.of_bias[column] = store<T>(b);
}

struct ChannelParams {
    const T* x;
    const T* g;
    const T* weight;  // or null
    const T* bias;    // or null
    const C* mean;
    const C* rstd;
    C* sums;          // [2][channels]: sums of g xhat, sums of g
    C* partial;       // [channels][splits][2]
    T* out;
    T* of_weight;
    T* of_bias;
    int64 outer, channels, inner, chunk;
    int splits, unused;
    FastDiv by_inner, by_channels;
    uint32 wide, unused2;
};

// Sums over a channel. Grid: x over channels, y over splits of its outer * inner elements. Block of 256.
KERNEL(batch_norm_sums)(ChannelParams p) {
    __shared__ C scratch[32];
    const int64 channel = blockIdx.x, count = p.outer * p.inner;
    const int64 begin = blockIdx.y * p.chunk, end = min(count, begin + p.chunk);
    const C mean = p.mean[channel], rstd = p.rstd[channel];
    C along = 0, plain = 0;
    for (int64 i = begin + threadIdx.x; i < end; i += blockDim.x) {
        const int64 n = p.wide ? i / p.inner : p.by_inner.div(static_cast<uint32>(i));
        const int64 at = (n * p.channels + channel) * p.inner + (i - n * p.inner);
        const C g = load(p.g[at]);
        along += g * (load(p.x[at]) - mean) * rstd;
        plain += g;
    }
    along = block_reduce<Sum>(along, static_cast<C>(0), scratch);
    plain = block_reduce<Sum>(plain, static_cast<C>(0), scratch);
    if (threadIdx.x == 0) {
        p.partial[(channel * p.splits + blockIdx.y) * 2] = along;
        p.partial[(channel * p.splits + blockIdx.y) * 2 + 1] = plain;
    }
}

KERNEL(batch_norm_sums_finish)(ChannelParams p) {
    const int64 channel = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x;
    if (channel >= p.channels) return;
    C along = 0, plain = 0;
    for (int s = 0; s < p.splits; ++s) {
        along += p.partial[(channel * p.splits + s) * 2];
        plain += p.partial[(channel * p.splits + s) * 2 + 1];
    }
    p.sums[channel] = along;
    p.sums[p.channels + channel] = plain;
    if (p.of_weight) p.of_weight[channel] = store<T>(along);
    if (p.of_bias) p.of_bias[channel] = store<T>(plain);
}

__device__ __forceinline__ int64 channel_of(const ChannelParams& p, int64 i) {
    if (p.wide) return i / p.inner % p.channels;
    uint32 rest, quotient;
    p.by_channels.divmod(p.by_inner.div(static_cast<uint32>(i)), quotient, rest);
    return rest;
}

KERNEL(batch_norm)(ChannelParams p) {
    const int64 n = p.outer * p.channels * p.inner;
    for (int64 i = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x; i < n; i += gridDim.x * static_cast<int64>(blockDim.x)) {
        const int64 c = channel_of(p, i);
        C y = (load(p.x[i]) - p.mean[c]) * p.rstd[c];
        if (p.weight) y *= load(p.weight[c]);
        if (p.bias) y += load(p.bias[c]);
        p.out[i] = store<T>(y);
    }
}

// dx = rstd weight (g - mean(g) - xhat mean(g xhat)).
KERNEL(batch_norm_backward)(ChannelParams p) {
    const int64 n = p.outer * p.channels * p.inner;
    const C share = static_cast<C>(1) / static_cast<C>(p.outer * p.inner);
    for (int64 i = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x; i < n; i += gridDim.x * static_cast<int64>(blockDim.x)) {
        const int64 c = channel_of(p, i);
        const C xhat = (load(p.x[i]) - p.mean[c]) * p.rstd[c];
        C d = load(p.g[i]) - p.sums[p.channels + c] * share - xhat * p.sums[c] * share;
        d *= p.rstd[c];
        if (p.weight) d *= load(p.weight[c]);
        p.out[i] = store<T>(d);
    }
}

struct MomentParams {
    const C* variance;  // of the batch, biased
    const C* mean;
    C* rstd;
    T* running_mean;      // or null
    T* running_variance;  // or null
    int64 channels;
    double eps, momentum, unbias;  // unbias: n / (n - 1)
};

// 1/deviation, and the running statistics moved towards the batch's.
KERNEL(batch_norm_moments)(MomentParams p) {
    const int64 c = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x;
    if (c >= p.channels) return;
    p.rstd[c] = 1 / sqrt(p.variance[c] + static_cast<C>(p.eps));
    const C m = static_cast<C>(p.momentum);
    if (p.running_mean) p.running_mean[c] = store<T>((1 - m) * load(p.running_mean[c]) + m * p.mean[c]);
    if (p.running_variance)
        p.running_variance[c] = store<T>((1 - m) * load(p.running_variance[c]) + m * p.variance[c] * static_cast<C>(p.unbias));
}
