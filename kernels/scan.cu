// Cumulative sums and products, and the places where an array is not zero.
#include "common.cuh"

#define SCAN_THREADS 256
#define SCAN_ITEMS 8
#define SCAN_TILE (SCAN_THREADS * SCAN_ITEMS)

struct Product { template <class C> static __device__ __forceinline__ C apply(C a, C b) { return a * b; } };

// Inclusive scan over the threads of a block (Hillis & Steele 1986); `scratch` holds SCAN_THREADS values.
template <class Op, class C> __device__ __forceinline__ C block_scan(C value, C* scratch) {
    const int t = threadIdx.x;
    __syncthreads();  // scratch may still be read from the call before
    scratch[t] = value;
    __syncthreads();
    for (int offset = 1; offset < SCAN_THREADS; offset <<= 1) {
        const C left = t >= offset ? scratch[t - offset] : value;
        __syncthreads();
        if (t >= offset) scratch[t] = value = Op::apply(left, value);
        __syncthreads();
    }
    return value;
}

struct ScanParams {
    const T* x;
    T* y;
    int64 outer, n, inner;
    int64 reverse;
};

// Rows (inner == 1): one block a row walks over its tiles and carries the prefix along. 4 + 4 bytes per float.
template <class Op> __device__ __forceinline__ void scan_row_body(const ScanParams& p, Compute<T> identity) {
    __shared__ Compute<T> scratch[SCAN_THREADS];
    for (int64 row = blockIdx.x; row < p.outer; row += gridDim.x) {
        Compute<T> carry = identity;
        for (int64 start = 0; start < p.n; start += SCAN_TILE) {
            const int64 first = start + threadIdx.x * SCAN_ITEMS;
            Compute<T> item[SCAN_ITEMS], sum = identity;
#pragma unroll
            for (int k = 0; k < SCAN_ITEMS; ++k) {
                const int64 i = first + k;
                if (i < p.n) sum = Op::apply(sum, static_cast<Compute<T> >(load(p.x[row * p.n + (p.reverse ? p.n - 1 - i : i)])));
                item[k] = sum;
            }
            const Compute<T> through = block_scan<Op>(sum, scratch);
            __syncthreads();
            scratch[threadIdx.x] = through;
            __syncthreads();
            const Compute<T> ahead = threadIdx.x ? Op::apply(carry, scratch[threadIdx.x - 1]) : carry;
#pragma unroll
            for (int k = 0; k < SCAN_ITEMS; ++k) {
                const int64 i = first + k;
                if (i < p.n) p.y[row * p.n + (p.reverse ? p.n - 1 - i : i)] = store<T>(Op::apply(ahead, item[k]));
            }
            carry = Op::apply(carry, scratch[SCAN_THREADS - 1]);
        }
    }
}
KERNEL(cumsum_rows)(ScanParams p) { scan_row_body<Sum>(p, Compute<T>(0)); }
KERNEL(cumprod_rows)(ScanParams p) { scan_row_body<Product>(p, Compute<T>(1)); }

// Columns (inner > 1): one thread a line; neighbours read neighbours.
template <class Op> __device__ __forceinline__ void scan_column_body(const ScanParams& p, Compute<T> identity) {
    const int64 lines = p.outer * p.inner;
    for (int64 line = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; line < lines;
         line += static_cast<int64>(gridDim.x) * blockDim.x) {
        const int64 outer = line / p.inner, base = outer * p.n * p.inner + (line - outer * p.inner);
        Compute<T> sum = identity;
        for (int64 i = 0; i < p.n; ++i) {
            const int64 at = base + (p.reverse ? p.n - 1 - i : i) * p.inner;
            sum = Op::apply(sum, static_cast<Compute<T> >(load(p.x[at])));
            p.y[at] = store<T>(sum);
        }
    }
}
KERNEL(cumsum_columns)(ScanParams p) { scan_column_body<Sum>(p, Compute<T>(0)); }
KERNEL(cumprod_columns)(ScanParams p) { scan_column_body<Product>(p, Compute<T>(1)); }

// ---- nonzero: count each tile, scan the counts (cumsum_rows), then write flat positions ----
struct NonzeroParams {
    const T* x;
    const int64* ends;  // inclusive scan of the counts (write)
    int64* out;         // counts (count) or positions (write)
    int64 total;
};
KERNEL(nonzero_count)(NonzeroParams p) {
    __shared__ int scratch[32];
    int count = 0;
    const int64 start = static_cast<int64>(blockIdx.x) * SCAN_TILE;
    for (int k = threadIdx.x; k < SCAN_TILE; k += SCAN_THREADS) {
        if (start + k < p.total && load(p.x[start + k]) != Compute<T>(0)) ++count;
    }
    count = block_reduce<Sum>(count, 0, scratch);
    if (threadIdx.x == 0) p.out[blockIdx.x] = count;
}
KERNEL(nonzero_write)(NonzeroParams p) {
    __shared__ int scratch[SCAN_THREADS];
    const int64 first = static_cast<int64>(blockIdx.x) * SCAN_TILE + threadIdx.x * SCAN_ITEMS;
    int count = 0;
    bool set[SCAN_ITEMS];
#pragma unroll
    for (int k = 0; k < SCAN_ITEMS; ++k) {
        set[k] = first + k < p.total && load(p.x[first + k]) != Compute<T>(0);
        count += set[k];
    }
    const int through = block_scan<Sum>(count, scratch);
    int64 at = (blockIdx.x ? p.ends[blockIdx.x - 1] : 0) + through - count;
#pragma unroll
    for (int k = 0; k < SCAN_ITEMS; ++k) {
        if (set[k]) p.out[at++] = first + k;
    }
}

// ---- flat positions [count] as coordinates [count, dims] ----
struct UnravelParams {
    const int64* flat;
    int64* out;
    int64 size[8];
    int64 count;
    int64 dims;
};
KERNEL(unravel_index)(UnravelParams p) {
    for (int64 k = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; k < p.count;
         k += static_cast<int64>(gridDim.x) * blockDim.x) {
        int64 rest = p.flat[k];
#pragma unroll  // a size at a place known to the compiler is read from constant memory; else all would be copied
        for (int d = 7; d >= 0; --d) {
            if (d < p.dims) {
                p.out[k * p.dims + d] = rest % p.size[d];
                rest /= p.size[d];
            }
        }
    }
}

// ---- linear recurrence along a dimension: s[k] = b[k] + a[k] * s[k - 1] (from the end if reverse); one thread a line ----
struct RecurrenceParams {
    const T* a;
    const T* b;
    T* s;
    int64 outer, n, inner;
    int64 reverse;
};
KERNEL(linear_recurrence)(RecurrenceParams p) {
    const int64 lines = p.outer * p.inner;
    for (int64 line = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; line < lines;
         line += static_cast<int64>(gridDim.x) * blockDim.x) {
        const int64 outer = line / p.inner, base = outer * p.n * p.inner + (line - outer * p.inner);
        Compute<T> s = Compute<T>(0);
        for (int64 i = 0; i < p.n; ++i) {
            const int64 at = base + (p.reverse ? p.n - 1 - i : i) * p.inner;
            s = i ? load(p.b[at]) + load(p.a[at]) * s : load(p.b[at]);
            p.s[at] = store<T>(s);
        }
    }
}

// ---- running maximum or minimum along a dimension, and the place of its last occurrence; one thread a line ----
// NaN wins, and of several the last. Traffic: x once, y and the places once.
struct ExtremumParams {
    const T* x;
    T* y;
    int64* places;
    int64 outer, n, inner;
    int64 smallest;
};
KERNEL(running_extremum)(ExtremumParams p) {
    const int64 lines = p.outer * p.inner;
    for (int64 line = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; line < lines;
         line += static_cast<int64>(gridDim.x) * blockDim.x) {
        const int64 outer = line / p.inner, base = outer * p.n * p.inner + (line - outer * p.inner);
        Compute<T> best = load(p.x[base]);
        int64 place = 0;
        for (int64 i = 0; i < p.n; ++i) {
            const int64 at = base + i * p.inner;
            const Compute<T> value = load(p.x[at]);
            if (value != value || (best == best && (p.smallest ? value <= best : value >= best))) {
                best = value;
                place = i;
            }
            p.y[at] = store<T>(best);
            p.places[at] = place;
        }
    }
}
