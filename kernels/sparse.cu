// Products with a sparse matrix. Its entries are listed in any order; `ptr` says where in a list sorted by rows each row begins,
// `order` which entry is meant there (none: the entries are sorted themselves), `other` its column. No atomics, fixed order of sums.
#include "common.cuh"

#define FOR_EACH_WARP(item, total)                                                                                  \
    for (int64 item = (static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x) >> 5; item < (total); \
         item += (static_cast<int64>(gridDim.x) * blockDim.x) >> 5)

// y[r, j] = sum over the entries k of row r of v[order[k]] * x[other[k], j]. A warp owns `lanes` columns of a row (a power of two, up to
// 32): with fewer than 32, 32 / lanes groups of lanes take every so many-th entry, and their sums meet by shuffles.
// Traffic: 8 to 16 bytes and v per entry, a row of x per entry (through the caches), y once.
struct SpmmParams {
    const int64* ptr;
    const int64* order;
    const int64* other;
    const T* v;
    const T* x;
    T* y;
    int64 total;  // rows * chunks of `lanes` columns
    int64 chunks, columns, count;  // `count` rows of x
    int lanes;
};
KERNEL(spmm)(SpmmParams p) {
    const int lane = threadIdx.x & 31, part = lane / p.lanes, parts = 32 / p.lanes;
    FOR_EACH_WARP(item, p.total) {
        const int64 row = item / p.chunks, j = (item - row * p.chunks) * p.lanes + (lane - part * p.lanes);
        const int64 end = p.ptr[row + 1];
        Compute<T> sum = 0;
        for (int64 k = p.ptr[row] + part; k < end; k += parts) {
            const int64 c = p.other[k];
            // A wrong index was noted where the tensor was made; it must not be followed.
            if (j < p.columns && c >= 0 && c < p.count) {
                sum += load(p.v[p.order ? p.order[k] : k]) * load(p.x[c * p.columns + j]);
            }
        }
        for (int offset = p.lanes; offset < 32; offset <<= 1) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        if (part == 0 && j < p.columns) p.y[row * p.columns + j] = store<T>(sum);
    }
}

// v[k] = sum over j of a[row[k], j] * b[column[k], j]: of a product of dense matrices only the entries that a sparse one has.
// `lanes` lanes of a warp (a power of two) own an entry and stride over j. Traffic: two rows per entry (through the caches), v once.
struct SampledParams {
    const int64* row;
    const int64* column;
    const T* a;
    const T* b;
    T* v;
    int64 entries, width, rows, columns;
    int lanes;
};
KERNEL(sampled_product)(SampledParams p) {
    const int lane = threadIdx.x & 31, part = lane / p.lanes, parts = 32 / p.lanes, first = lane - part * p.lanes;
    FOR_EACH_WARP(item, (p.entries + parts - 1) / parts) {
        const int64 k = item * parts + part;
        Compute<T> sum = 0;
        if (k < p.entries) {
            const int64 r = p.row[k], c = p.column[k];
            if (r >= 0 && r < p.rows && c >= 0 && c < p.columns) {
                for (int64 j = first; j < p.width; j += p.lanes) sum += load(p.a[r * p.width + j]) * load(p.b[c * p.width + j]);
            }
        }
        for (int offset = p.lanes >> 1; offset > 0; offset >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        if (k < p.entries && first == 0) p.v[k] = store<T>(sum);
    }
}
