// Sums, products and extrema of rows that share an index, without float atomics: one owner per row and column.
#include "common.cuh"

// y[b, key, a] += sum over the run of equal keys of src[b, order[r], a], or the same with another operation. `keys` is sorted and `order`
// says where each came from, so a run is reduced in the order of its positions: reproducible. The thread at the
// head of a run owns it; columns lie along threads, so reads of src and y are coalesced.
// Traffic: src once, the touched rows of y twice, the keys once per column.
struct SegmentParams {
    const int64* keys;
    const int64* order;
    const T* src;
    T* y;
    int64 total;  // before * count * after
    int64 count, n, after;
};
struct Product { template <class C> static __device__ __forceinline__ C apply(C a, C b) { return a * b; } };

template <class Op> __device__ __forceinline__ void segment_body(const SegmentParams& p) {
    for (int64 e = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; e < p.total;
         e += static_cast<int64>(gridDim.x) * blockDim.x) {
        const int64 row = e / p.after, a = e - row * p.after, b = row / p.count, head = row - b * p.count;
        const int64 key = p.keys[head];
        if (key < 0 || (head > 0 && p.keys[head - 1] == key)) continue;
        T* to = p.y + (b * p.n + key) * p.after + a;
        const T* from = p.src + b * p.count * p.after + a;
        Compute<T> sum = load(*to);
        for (int64 r = head; r < p.count && p.keys[r] == key; ++r) {
            sum = Op::apply(sum, static_cast<Compute<T> >(load(from[p.order[r] * p.after])));
        }
        *to = store<T>(sum);
    }
}
KERNEL(segment_sum)(SegmentParams p) { segment_body<Sum>(p); }
KERNEL(segment_prod)(SegmentParams p) { segment_body<Product>(p); }
KERNEL(segment_amax)(SegmentParams p) { segment_body<Max>(p); }
KERNEL(segment_amin)(SegmentParams p) { segment_body<Min>(p); }
