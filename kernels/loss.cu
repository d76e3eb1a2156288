// Cross-entropy from logits and negative log-likelihood.
//
// The logits are a contiguous (rows, n, inner) array with one class index a (row, inner) position. The forward pass reads
// every logit once, with a running maximum, and keeps one number a position: log(sum(exp(x))). Probabilities are never
// written; the backward pass forms them again from the logits: 4 bytes of float32 forward, 8 backward.
//
// inner == 1: `width` neighbouring threads share a row.  inner > 1: a thread owns a position, neighbours read neighbours.
#include "common.cuh"

typedef Compute<T> C;

struct Params {
    const T* x;
    const int64* target;
    const T* weight;    // one a class, or null
    const T* g;         // backward: gradient of the loss, one number or one a position
    const C* norm;      // backward: what the mean divides by, or null
    C* lse;             // log(sum(exp(x))) a position: written forward, read backward
    C* losses;          // forward: the loss of a position
    C* weights;         // forward: the weight of its class, 0 where ignored
    T* out;             // forward: the losses as T, or null; backward: gradient of x
    int64 rows, n, inner, ignore;
    double smoothing;
    int width, g_each;
};

// The share of a target in loss: log-likelihood of its class, and of every class for label smoothing.
struct Part {
    C top, sum;       // running maximum and sum of exp(x - top)
    C weighted;       // sum of w x, for label smoothing
    C all;            // sum of w
};

__device__ __forceinline__ C nan_value() { return infinity<C>() - infinity<C>(); }
__device__ __forceinline__ C class_weight(const Params& p, int64 c) { return p.weight ? load(p.weight[c]) : static_cast<C>(1); }

__device__ __forceinline__ void take(Part& a, C v, C w, bool smooth) {
    if (v > a.top) {
        a.sum = a.sum * exp(a.top - v) + 1;
        a.top = v;
    } else if (v > -infinity<C>()) {
        a.sum += exp(v - a.top);
    } else if (v != v) {
        a.sum = v;
    }
    if (smooth) {
        a.weighted += w * v;
        a.all += w;
    }
}

__device__ __forceinline__ void join(Part& a, C top, C sum, C weighted, C all) {
    const C higher = top > a.top ? top : a.top;
    const C shift = higher == -infinity<C>() ? static_cast<C>(0) : higher;
    a.sum = a.sum * exp(a.top - shift) + sum * exp(top - shift);
    a.top = higher;
    a.weighted += weighted;
    a.all += all;
}

__device__ __forceinline__ void write_loss(const Params& p, const Part& a, int64 position, int64 start) {
    const int64 t = p.target[position];
    const C lse = a.top + log(a.sum);
    C loss = 0, w = 0;
    if (t != p.ignore) {
        if (t < 0 || t >= p.n) {
            loss = w = nan_value();  // an impossible class must not pass unseen
        } else {
            const C smoothing = static_cast<C>(p.smoothing);
            w = class_weight(p, t);
            loss = (1 - smoothing) * w * (lse - load(p.x[start + t * p.inner]));
            if (smoothing > 0) loss += smoothing / p.n * (lse * a.all - a.weighted);
        }
    }
    p.lse[position] = lse;
    p.losses[position] = loss;
    p.weights[position] = w;
    if (p.out) p.out[position] = store<T>(loss);
}

KERNEL(cross_entropy_rows)(Params p) {
    __shared__ C parts[4][32];
    const int lane = threadIdx.x & (p.width - 1);
    const int64 row = blockIdx.x * static_cast<int64>(blockDim.x / p.width) + threadIdx.x / p.width;
    Part a = {-infinity<C>(), 0, 0, 0};
    if (row < p.rows) {
        const T* x = p.x + row * p.n;
        const bool smooth = p.smoothing > 0;
        for (int64 c = lane; c < p.n; c += p.width) take(a, load(x[c]), smooth ? class_weight(p, c) : 0, smooth);
    }
    for (int offset = min(p.width, 32) >> 1; offset > 0; offset >>= 1) {
        const C top = __shfl_xor_sync(0xffffffffu, a.top, offset), sum = __shfl_xor_sync(0xffffffffu, a.sum, offset);
        const C weighted = __shfl_xor_sync(0xffffffffu, a.weighted, offset), all = __shfl_xor_sync(0xffffffffu, a.all, offset);
        join(a, top, sum, weighted, all);
    }
    if (p.width > 32) {
        const int warp = threadIdx.x >> 5;
        if ((threadIdx.x & 31) == 0) {
            parts[0][warp] = a.top;
            parts[1][warp] = a.sum;
            parts[2][warp] = a.weighted;
            parts[3][warp] = a.all;
        }
        __syncthreads();
        if (threadIdx.x == 0)
            for (int w = 1; w < blockDim.x / 32; ++w) join(a, parts[0][w], parts[1][w], parts[2][w], parts[3][w]);
    }
    if (lane == 0 && row < p.rows) write_loss(p, a, row, row * p.n);
}

KERNEL(cross_entropy_columns)(Params p) {
    const int64 position = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x;
    if (position >= p.rows * p.inner) return;
    const int64 start = position / p.inner * p.n * p.inner + position % p.inner;
    const bool smooth = p.smoothing > 0;
    Part a = {-infinity<C>(), 0, 0, 0};
    for (int64 c = 0; c < p.n; ++c) take(a, load(p.x[start + c * p.inner]), smooth ? class_weight(p, c) : 0, smooth);
    write_loss(p, a, position, start);
}

// Gradient of the logits of one position: scale ((1-s) w_t + s/n W) softmax(x) less what the targets take.
struct Position {
    C scale, share, own, spread, lse;
    int64 t;
};

__device__ __forceinline__ Position position_of(const Params& p, int64 position, C all) {
    Position q;
    const C smoothing = static_cast<C>(p.smoothing);
    q.t = p.target[position];
    q.lse = p.lse[position];
    q.scale = load(p.g[p.g_each ? position : 0]);
    if (p.norm) q.scale /= *p.norm;
    if (q.t == p.ignore) {
        q.scale = q.share = q.own = q.spread = 0;
        q.lse = infinity<C>();
    } else {
        const bool possible = q.t >= 0 && q.t < p.n;
        q.own = (1 - smoothing) * (possible ? class_weight(p, q.t) : nan_value());
        q.spread = smoothing / p.n;
        q.share = q.own + q.spread * all;
    }
    return q;
}

__device__ __forceinline__ void write_gradient(const Params& p, const Position& q, int64 c, int64 at) {
    C d = q.share * exp(load(p.x[at]) - q.lse) - (c == q.t ? q.own : static_cast<C>(0));
    if (q.spread > 0) d -= q.spread * class_weight(p, c);
    p.out[at] = store<T>(q.scale == 0 ? static_cast<C>(0) : q.scale * d);
}

KERNEL(cross_entropy_backward_rows)(Params p) {
    const int lane = threadIdx.x & (p.width - 1);
    const int64 row = blockIdx.x * static_cast<int64>(blockDim.x / p.width) + threadIdx.x / p.width;
    if (row >= p.rows) return;
    C all = 0;
    if (p.smoothing > 0)
        for (int64 c = 0; c < p.n; ++c) all += class_weight(p, c);
    const Position q = position_of(p, row, all);
    for (int64 c = lane; c < p.n; c += p.width) write_gradient(p, q, c, row * p.n + c);
}

KERNEL(cross_entropy_backward_columns)(Params p) {
    const int64 position = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x;
    if (position >= p.rows * p.inner) return;
    const int64 start = position / p.inner * p.n * p.inner + position % p.inner;
    C all = 0;
    if (p.smoothing > 0)
        for (int64 c = 0; c < p.n; ++c) all += class_weight(p, c);
    const Position q = position_of(p, position, all);
    for (int64 c = 0; c < p.n; ++c) write_gradient(p, q, c, start + c * p.inner);
}

// Negative log-likelihood: x holds log-probabilities. A thread a position.
KERNEL(nll_loss)(Params p) {
    const int64 position = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x;
    if (position >= p.rows * p.inner) return;
    const int64 t = p.target[position];
    C loss = 0, w = 0;
    if (t != p.ignore) {
        const bool possible = t >= 0 && t < p.n;
        w = possible ? class_weight(p, t) : nan_value();
        loss = possible ? -w * load(p.x[(position / p.inner * p.n + t) * p.inner + position % p.inner]) : w;
    }
    p.losses[position] = loss;
    p.weights[position] = w;
    if (p.out) p.out[position] = store<T>(loss);
}

// out is zero before.
KERNEL(nll_loss_backward)(Params p) {
    const int64 position = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x;
    if (position >= p.rows * p.inner) return;
    const int64 t = p.target[position];
    if (t == p.ignore || t < 0 || t >= p.n) return;
    C scale = load(p.g[p.g_each ? position : 0]);
    if (p.norm) scale /= *p.norm;
    p.out[(position / p.inner * p.n + t) * p.inner + position % p.inner] = store<T>(-scale * class_weight(p, t));
}

// What a target weighs in the loss: (1 - smoothing) w_t + smoothing mean(w), 0 where ignored.
KERNEL(target_weight)(Params p) {
    const int64 position = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x;
    if (position >= p.rows * p.inner) return;
    C all = 0;
    if (p.smoothing > 0)
        for (int64 c = 0; c < p.n; ++c) all += class_weight(p, c);
    const int64 t = p.target[position];
    const C smoothing = static_cast<C>(p.smoothing);
    const bool possible = t >= 0 && t < p.n;
    const C w = possible ? (1 - smoothing) * class_weight(p, t) + smoothing / p.n * all : nan_value();
    p.out[position] = store<T>(t == p.ignore ? static_cast<C>(0) : w);
}

struct Total {
    const C* losses;
    const C* weights;
    T* loss;   // sum of losses, divided by the sum of weights if `mean`
    C* norm;   // the sum of weights
    int64 n;
    int mean, unused;
};

// One block of 1024 threads adds up the positions in a fixed order.
KERNEL(loss_total)(Total p) {
    __shared__ C scratch[32];
    C loss = 0, weight = 0;
    for (int64 i = threadIdx.x; i < p.n; i += blockDim.x) {
        loss += p.losses[i];
        weight += p.weights[i];
    }
    loss = block_reduce<Sum>(loss, static_cast<C>(0), scratch);
    weight = block_reduce<Sum>(weight, static_cast<C>(0), scratch);
    if (threadIdx.x == 0) {
        *p.loss = store<T>(p.mean ? loss / weight : loss);
        *p.norm = weight;
    }
}
