// Joining and padding: only elements move, so these are compiled per element size.
#include "common.cuh"

#define FOR_EACH(i, total)                                                                       \
    for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < (total); \
         i += static_cast<int64>(gridDim.x) * blockDim.x)

// ---- cat: up to 32 inputs in one launch. The output is [before, width]; input k fills columns
// start[k] … start[k + 1] of every row, relative to `offset`. A null input fills with zeros.
// Traffic: each element read and written once.
struct CatParams {
    const T* x[32];
    int64 start[33];
    T* y;
    int64 total;   // before * (start[inputs] - start[0])
    int64 width;   // columns of y
    int64 offset;  // first column that this launch writes
    int64 inputs;
};
KERNEL(cat)(CatParams p) {
    const int64 columns = p.start[p.inputs];
    FOR_EACH(e, p.total) {
        const int64 row = e / columns, column = e - row * columns;
        int low = 0, high = static_cast<int>(p.inputs) - 1;
        while (low < high) {  // the last input whose start is not behind the column
            const int middle = (low + high + 1) >> 1;
            if (p.start[middle] <= column) low = middle; else high = middle - 1;
        }
        const T* x = p.x[low];
        const int64 own = p.start[low + 1] - p.start[low];
        p.y[row * p.width + p.offset + column] = x ? x[row * own + column - p.start[low]] : T(0);
    }
}

// ---- pad one dimension: x [before, n, after] -> y [before, m, after], `left` new elements in front ----
enum PadMode { PAD_REFLECT = 1, PAD_REPLICATE = 2, PAD_CIRCULAR = 3 };

struct PadParams {
    const T* x;
    T* y;
    int64 total;
    int64 n, m, after, left;
    int64 mode;
};

// The element of x that element i of y shows.
__device__ __forceinline__ int64 pad_source(int64 i, int64 n, int64 left, int64 mode) {
    i -= left;
    if (i >= 0 && i < n) return i;
    if (mode == PAD_REFLECT) return i < 0 ? -i : 2 * (n - 1) - i;
    if (mode == PAD_REPLICATE) return i < 0 ? 0 : n - 1;
    return i < 0 ? i + n : i - n;  // PAD_CIRCULAR
}
KERNEL(pad)(PadParams p) {
    FOR_EACH(e, p.total) {
        const int64 row = e / p.after, a = e - row * p.after, b = row / p.m;
        const int64 from = pad_source(row - b * p.m, p.n, p.left, p.mode);
        p.y[e] = p.x[(b * p.n + from) * p.after + a];
    }
}
