// Normalisation: layer norm over rows, batch norm over everything but the channel.
//
// Layer norm, (rows, n): a warp a row up to 1024 elements, else a block; the row is read for the mean, again for the
//     variance (from cache) and again to write: 8 bytes of float32 an element to memory. Mean and 1/deviation are kept.
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

__device__ __forceinline__ C row_sum(C v, int width, C* scratch) {
    return width == 32 ? warp_reduce<Sum>(v) : block_reduce<Sum>(v, static_cast<C>(0), scratch);
}

KERNEL(layer_norm)(RowParams p) {
    __shared__ C scratch[32];
    const int lane = threadIdx.x & (p.width - 1);
    const int64 row = blockIdx.x * static_cast<int64>(blockDim.x / p.width) + threadIdx.x / p.width;
    const int64 n = row < p.rows ? p.n : 0;
    const T* x = p.x + row * p.n;
    C mean = 0, square = 0;
    if (p.centred) {
        for (int64 i = lane; i < n; i += p.width) mean += load(x[i]);
        mean = row_sum(mean, p.width, scratch) / p.n;
    }
    for (int64 i = lane; i < n; i += p.width) {
        const C d = load(x[i]) - mean;
        square += d * d;
    }
    const C rstd = 1 / sqrt(row_sum(square, p.width, scratch) / p.n + static_cast<C>(p.eps));
    if (lane == 0 && n) {
        p.mean[row] = mean;
        p.rstd[row] = rstd;
    }
    for (int64 i = lane; i < n; i += p.width) {
        C y = (load(x[i]) - mean) * rstd;
        if (p.weight) y *= load(p.weight[i]);
        if (p.bias) y += load(p.bias[i]);
        p.out[row * p.n + i] = store<T>(y);
    }
}

// dx = rstd (a - mean(a) - xhat mean(a xhat)) with a = g weight.
KERNEL(layer_norm_backward)(RowParams p) {
    __shared__ C scratch[32];
    const int lane = threadIdx.x & (p.width - 1);
    const int64 row = blockIdx.x * static_cast<int64>(blockDim.x / p.width) + threadIdx.x / p.width;
    const bool valid = row < p.rows;
    const int64 n = valid ? p.n : 0, start = row * p.n;
    const C mean = valid ? p.mean[row] : 0, rstd = valid ? p.rstd[row] : 0;
    C sum = 0, along = 0;
    for (int64 i = lane; i < n; i += p.width) {
        const C a = load(p.g[start + i]) * (p.weight ? load(p.weight[i]) : static_cast<C>(1));
        sum += a;
        along += a * (load(p.x[start + i]) - mean) * rstd;
    }
    sum = p.centred ? row_sum(sum, p.width, scratch) / p.n : 0;
    along = row_sum(along, p.width, scratch) / p.n;
    for (int64 i = lane; i < n; i += p.width) {
        const C a = load(p.g[start + i]) * (p.weight ? load(p.weight[i]) : static_cast<C>(1));
        p.out[start + i] = store<T>(rstd * (a - sum - (load(p.x[start + i]) - mean) * rstd * along));
    }
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
