// Sums of rows that share an index, without float atomics: one owner per row and column.
#include "common.cuh"

// y[b, key, a] += sum over the run of equal keys of src[b, order[r], a]. `keys` is sorted and `order`
// says where each came from, so a run is summed in the order of its positions: reproducible. The thread at the
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
KERNEL(segment_sum)(SegmentParams p) {
    for (int64 e = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; e < p.total;
         e += static_cast<int64>(gridDim.x) * blockDim.x) {
        const int64 row = e / p.after, a = e - row * p.after, b = row / p.count, head = row - b * p.count;
        const int64 key = p.keys[head];
        if (key < 0 || (head > 0 && p.keys[head - 1] == key)) continue;
        T* to = p.y + (b * p.n + key) * p.after + a;
        const T* from = p.src + b * p.count * p.after + a;
        Compute<T> sum = load(*to);
        for (int64 r = head; r < p.count && p.keys[r] == key; ++r) sum += load(from[p.order[r] * p.after]);
        *to = store<T>(sum);
    }
}
