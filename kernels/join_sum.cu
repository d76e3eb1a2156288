// The gradient of padding by reflection, replication or wrapping.
#include "common.cuh"

enum PadMode { PAD_REFLECT = 1, PAD_REPLICATE = 2, PAD_CIRCULAR = 3 };

struct PadBackwardParams {
    const T* g;  // [before, m, after]
    T* dx;       // [before, n, after]
    int64 total;
    int64 n, m, after, left;
    int64 mode;
};

// One owner per element of x adds the padded elements that show it, in a fixed order: its own place, then the
// left margin, then the right one. Traffic: g once, dx once.
KERNEL(pad_backward)(PadBackwardParams p) {
    for (int64 e = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; e < p.total;
         e += static_cast<int64>(gridDim.x) * blockDim.x) {
        const int64 row = e / p.after, a = e - row * p.after, b = row / p.n, i = row - b * p.n;
        const T* g = p.g + b * p.m * p.after + a;
        const int64 right = p.m - p.n - p.left;
        Compute<T> sum = load(g[(i + p.left) * p.after]);
        if (p.mode == PAD_REPLICATE) {
            if (i == 0) for (int64 k = 0; k < p.left; ++k) sum += load(g[k * p.after]);
            if (i == p.n - 1) for (int64 k = p.left + p.n; k < p.m; ++k) sum += load(g[k * p.after]);
        } else {
            // the place in the left margin and the one in the right margin that show element i
            const int64 before = p.mode == PAD_REFLECT ? p.left - i : p.left + i - p.n;
            const int64 behind = p.mode == PAD_REFLECT ? p.left + 2 * (p.n - 1) - i : p.left + p.n + i;
            if (before >= 0 && before < p.left) sum += load(g[before * p.after]);
            if (behind >= p.left + p.n && behind < p.left + p.n + right) sum += load(g[behind * p.after]);
        }
        p.dx[e] = store<T>(sum);
    }
}
