// Stable merge sort of rows, with the positions.
//
// sort_tiles sorts tiles of TILE elements in shared memory; merge_runs then doubles the length of the
// sorted runs, one launch a doubling. Both merge by rank: the place of an element in the merged run is its place
// in its own run plus the number of elements of the other run that come before it, found by bisection.
// Equal elements keep their order (left run first), NaN counts as the largest (as in PyTorch).
// Traffic: log2(n / TILE) + 1 passes over keys and positions.
#include "common.cuh"

#define TILE 1024
#define SORT_THREADS 256

template <class C> __device__ __forceinline__ bool less(C a, C b) { return a < b || (b != b && a == a); }
// a comes strictly before b
template <class C> __device__ __forceinline__ bool before(C a, C b, bool descending) {
    return descending ? less(b, a) : less(a, b);
}

// Rank of `key` in the sorted run: how many elements come before it (after_equal: or equal it).
template <class C, class E>
__device__ __forceinline__ int64 rank_in(const E* run, int64 length, C key, bool after_equal, bool descending) {
    int64 low = 0, high = length;
    while (low < high) {
        const int64 middle = (low + high) >> 1;
        const C other = load(run[middle]);
        const bool goes_before = after_equal ? !before(key, other, descending) : before(other, key, descending);
        if (goes_before) low = middle + 1; else high = middle;
    }
    return low;
}

struct SortTilesParams {
    const T* x;         // [rows, n]
    T* keys;            // [rows, n]
    int64* order;       // [rows, n]
    int64 n, tiles;     // tiles of a row
    int64 blocks;       // rows * tiles
    int64 descending;
};
KERNEL(sort_tiles)(SortTilesParams p) {
    __shared__ Compute<T> key_a[TILE], key_b[TILE];
    __shared__ int order_a[TILE], order_b[TILE];
    for (int64 block = blockIdx.x; block < p.blocks; block += gridDim.x) {
        const int64 row = block / p.tiles, start = (block - row * p.tiles) * TILE;
        const int length = static_cast<int>(p.n - start < TILE ? p.n - start : TILE);
        const T* x = p.x + row * p.n + start;
        for (int i = threadIdx.x; i < length; i += SORT_THREADS) {
            key_a[i] = load(x[i]);
            order_a[i] = i;
        }
        __syncthreads();
        Compute<T>*from = key_a, *to = key_b;
        int *order_from = order_a, *order_to = order_b;
        for (int run = 1; run < length; run <<= 1) {
            for (int i = threadIdx.x; i < length; i += SORT_THREADS) {
                const int pair = i & ~(2 * run - 1), middle = pair + run;
                int to_at = i;  // the last run may have no partner
                if (i < middle) {
                    if (middle < length) {
                        const int other = length - middle < run ? length - middle : run;
                        to_at = i + static_cast<int>(rank_in(from + middle, other, from[i], false, p.descending));
                    }
                } else {
                    to_at = i - run + static_cast<int>(rank_in(from + pair, run, from[i], true, p.descending));
                }
                to[to_at] = from[i];
                order_to[to_at] = order_from[i];
            }
            __syncthreads();
            Compute<T>* key_swap = from; from = to; to = key_swap;
            int* order_swap = order_from; order_from = order_to; order_to = order_swap;
        }
        for (int i = threadIdx.x; i < length; i += SORT_THREADS) {
            p.keys[row * p.n + start + i] = store<T>(from[i]);
            p.order[row * p.n + start + i] = start + order_from[i];
        }
        __syncthreads();
    }
}

struct MergeParams {
    const T* keys;
    const int64* order;
    T* keys_out;
    int64* order_out;
    int64 total, n, run;
    int64 descending;
};
KERNEL(merge_runs)(MergeParams p) {
    for (int64 e = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; e < p.total;
         e += static_cast<int64>(gridDim.x) * blockDim.x) {
        const int64 row = e / p.n, i = e - row * p.n;
        const T* keys = p.keys + row * p.n;
        const int64 pair = i / (2 * p.run) * (2 * p.run), middle = pair + p.run;
        const Compute<T> key = load(keys[i]);
        int64 to = i;
        if (i < middle) {
            const int64 other = p.n - middle < p.run ? p.n - middle : p.run;
            if (other > 0) to = i + rank_in(keys + middle, other, key, false, p.descending);
        } else {
            to = i - p.run + rank_in(keys + pair, p.run, key, true, p.descending);
        }
        p.keys_out[row * p.n + to] = store<T>(key);
        p.order_out[row * p.n + to] = p.order[e];
    }
}

// ---- y[row, j] = rank of value [row, j] in the sorted sequence [row] (one sequence for all rows: stride 0) ----
struct SearchParams {
    const T* sequence;
    const T* values;
    int64* y;
    int64 total, columns, length, stride;
    int64 right;
};
KERNEL(search_sorted)(SearchParams p) {
    for (int64 e = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; e < p.total;
         e += static_cast<int64>(gridDim.x) * blockDim.x) {
        p.y[e] = rank_in(p.sequence + e / p.columns * p.stride, p.length, load(p.values[e]), p.right, false);
    }
}
