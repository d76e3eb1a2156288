// Maxima and means over windows of the last two dimensions. One thread an output going forward, one thread an input
// going back (it gathers from the windows that hold it, so there are no atomics and the order of sums is fixed).
// Traffic: forward reads an image once (overlapping windows hit the cache) and writes the output, backward the reverse.
#include "common.cuh"

struct PoolParams {
    const T* x;   // image, or gradient of the output going back
    T* y;         // output, or gradient of the image going back
    int* taps;    // max: which tap of its window each output came from: row * kernel_w + column
    int64* indices;
    int size;     // elements of what is written
    int height, width, out_height, out_width;
    int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int include_pad, divisor;  // mean: of all taps, padding too, or a fixed divisor if not 0
    FastDiv area, row;         // of the planes that are walked over
};

// Plane, row and column of the element that thread i writes.
struct Where {
    uint32 plane, h, w;
    __device__ __forceinline__ Where(const PoolParams& p, int i) {
        uint32 rest;
        p.area.divmod(i, plane, rest);
        p.row.divmod(rest, h, w);
    }
};

#define FOR_EACH(i) \
    for (int64 i = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x; i < p.size; \
         i += static_cast<int64>(gridDim.x) * blockDim.x)

KERNEL(max_pool2d)(PoolParams p) {
    FOR_EACH(i) {
        const Where o(p, i);
        const T* plane = p.x + static_cast<int64>(o.plane) * p.height * p.width;
        const int h0 = static_cast<int>(o.h) * p.stride_h - p.pad_h, w0 = static_cast<int>(o.w) * p.stride_w - p.pad_w;
        Compute<T> best = -infinity<Compute<T> >();
        int tap = -1;
        for (int a = 0; a < p.kernel_h; ++a) {
            const int h = h0 + a * p.dilation_h;
            if (h < 0 || h >= p.height) continue;
            for (int b = 0; b < p.kernel_w; ++b) {
                const int w = w0 + b * p.dilation_w;
                if (w < 0 || w >= p.width) continue;
                const Compute<T> value = load(plane[h * p.width + w]);
                if (tap < 0 || value > best || value != value) best = value, tap = a * p.kernel_w + b;
            }
        }
        p.y[i] = store<T>(best);
        p.taps[i] = tap;
    }
}

// Which window rows (or columns) hold position x, and as which tap: outputs first..last.
struct Windows {
    int first, last;
    __device__ __forceinline__ Windows(int x, int pad, int kernel, int stride, int dilation, int outputs) {
        const int from = x + pad - dilation * (kernel - 1);
        first = from <= 0 ? 0 : (from + stride - 1) / stride;
        last = min((x + pad) / stride, outputs - 1);
    }
};

KERNEL(max_pool2d_backward)(PoolParams p) {
    FOR_EACH(i) {
        const Where at(p, i);
        const int64 start = static_cast<int64>(at.plane) * p.out_height * p.out_width;
        const Windows rows(at.h, p.pad_h, p.kernel_h, p.stride_h, p.dilation_h, p.out_height);
        const Windows columns(at.w, p.pad_w, p.kernel_w, p.stride_w, p.dilation_w, p.out_width);
        Compute<T> sum = 0;
        for (int oh = rows.first; oh <= rows.last; ++oh) {
            const int a = static_cast<int>(at.h) + p.pad_h - oh * p.stride_h;
            if (a % p.dilation_h) continue;
            for (int ow = columns.first; ow <= columns.last; ++ow) {
                const int b = static_cast<int>(at.w) + p.pad_w - ow * p.stride_w;
                if (b % p.dilation_w) continue;
                const int64 o = start + oh * p.out_width + ow;
                if (p.taps[o] == a / p.dilation_h * p.kernel_w + b / p.dilation_w) sum += load(p.x[o]);
            }
        }
        p.y[i] = store<T>(sum);
    }
}

__device__ __forceinline__ int plane_index(const PoolParams& p, const Where& o, int tap) {
    const int h = static_cast<int>(o.h) * p.stride_h - p.pad_h + tap / p.kernel_w * p.dilation_h;
    const int w = static_cast<int>(o.w) * p.stride_w - p.pad_w + tap % p.kernel_w * p.dilation_w;
    return h * p.width + w;
}

// y[o] = x at the tap of o: the derivative of the maximum along x.
KERNEL(max_pool2d_gather)(PoolParams p) {
    FOR_EACH(i) {
        const Where o(p, i);
        p.y[i] = p.x[static_cast<int64>(o.plane) * p.height * p.width + plane_index(p, o, p.taps[i])];
    }
}

KERNEL(max_pool2d_indices)(PoolParams p) {
    FOR_EACH(i) p.indices[i] = plane_index(p, Where(p, i), p.taps[i]);
}

__device__ __forceinline__ int window_size(const PoolParams& p, int oh, int ow) {
    if (p.divisor) return p.divisor;
    const int h = oh * p.stride_h - p.pad_h, w = ow * p.stride_w - p.pad_w;
    if (p.include_pad) return (min(h + p.kernel_h, p.height + p.pad_h) - h) * (min(w + p.kernel_w, p.width + p.pad_w) - w);
    return (min(h + p.kernel_h, p.height) - max(h, 0)) * (min(w + p.kernel_w, p.width) - max(w, 0));
}

KERNEL(avg_pool2d)(PoolParams p) {
    FOR_EACH(i) {
        const Where o(p, i);
        const T* plane = p.x + static_cast<int64>(o.plane) * p.height * p.width;
        const int h0 = static_cast<int>(o.h) * p.stride_h - p.pad_h, w0 = static_cast<int>(o.w) * p.stride_w - p.pad_w;
        const int h1 = min(h0 + p.kernel_h, p.height), w1 = min(w0 + p.kernel_w, p.width);
        Compute<T> sum = 0;
        for (int h = max(h0, 0); h < h1; ++h)
            for (int w = max(w0, 0); w < w1; ++w) sum += load(plane[h * p.width + w]);
        p.y[i] = store<T>(sum / window_size(p, o.h, o.w));
    }
}

KERNEL(avg_pool2d_backward)(PoolParams p) {
    FOR_EACH(i) {
        const Where at(p, i);
        const T* plane = p.x + static_cast<int64>(at.plane) * p.out_height * p.out_width;
        const Windows rows(at.h, p.pad_h, p.kernel_h, p.stride_h, 1, p.out_height);
        const Windows columns(at.w, p.pad_w, p.kernel_w, p.stride_w, 1, p.out_width);
        Compute<T> sum = 0;
        for (int oh = rows.first; oh <= rows.last; ++oh)
            for (int ow = columns.first; ow <= columns.last; ++ow)
                sum += load(plane[oh * p.out_width + ow]) / window_size(p, oh, ow);
        p.y[i] = store<T>(sum);
    }
}
