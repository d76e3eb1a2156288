// Convolution with one input channel a group, and its two gradients, where a matrix product would fill one row of a tile.
// Forward and input gradient: one thread an element of the result, which gathers its taps (neighbours share the cache).
// Weight gradient: a block sums up to 9 taps of one kernel over a part of the output pixels, so g is read once for them.
// Traffic: what is read comes from memory about once, the result is written once, with splits also splits weights.
#include "common.cuh"

typedef Compute<T> Acc;

struct DepthwiseParams {
    const T* x;     // image (forward, weight gradient), or gradient of the output (input gradient)
    const T* w;     // weight (forward, input gradient), or gradient of the output (weight gradient)
    const T* bias;  // a value for each output channel, or null
    T* y;
    Acc* partial;   // weight gradient with splits > 1: splits x weights
    int size;       // elements of what is walked over: the result, for the weight gradient the pixels of one output channel
    int part, splits, chunks;  // weight gradient: pixels of a split, splits, blocks for the taps of one kernel
    int groups, outputs;       // output channels in one group
    int height, width, out_height, out_width;
    int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    FastDiv area, row;           // of the planes that are walked over
    FastDiv by_outputs, by_all;  // output channels in one group; channels of what is walked over
    FastDiv by_stride_h, by_stride_w;
};

#define FOR_EACH(i) \
    for (int64 i = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x; i < p.size; \
         i += static_cast<int64>(gridDim.x) * blockDim.x)

// Plane, row and column of the element that thread i writes.
struct Where {
    uint32 plane, h, w;
    __device__ __forceinline__ Where(const DepthwiseParams& p, uint32 i) {
        uint32 rest;
        p.area.divmod(i, plane, rest);
        p.row.divmod(rest, h, w);
    }
};

KERNEL(depthwise_forward)(DepthwiseParams p) {
    FOR_EACH(i) {
        const Where o(p, i);
        uint32 image, channel;
        p.by_all.divmod(o.plane, image, channel);
        const T* plane = p.x + static_cast<int64>(p.by_outputs.div(o.plane)) * p.height * p.width;
        const T* weight = p.w + static_cast<int64>(channel) * p.kernel_h * p.kernel_w;
        const int h0 = static_cast<int>(o.h) * p.stride_h - p.pad_h, w0 = static_cast<int>(o.w) * p.stride_w - p.pad_w;
        Acc sum = p.bias ? load(p.bias[channel]) : Acc(0);
        for (int a = 0, h = h0; a < p.kernel_h; ++a, h += p.dilation_h, weight += p.kernel_w) {
            if (static_cast<uint32>(h) >= p.height) continue;
            const T* line = plane + static_cast<int64>(h) * p.width;
            for (int b = 0, w = w0; b < p.kernel_w; ++b, w += p.dilation_w)
                if (static_cast<uint32>(w) < p.width) sum += load(weight[b]) * load(line[w]);
        }
        p.y[i] = store<T>(sum);
    }
}

// The outputs that element (h, w) took part in: those at (h + pad - tap * dilation) / stride where that is whole.
KERNEL(depthwise_input_gradient)(DepthwiseParams p) {
    const int64 out_area = static_cast<int64>(p.out_height) * p.out_width, kernel_area = p.kernel_h * p.kernel_w;
    FOR_EACH(i) {
        const Where at(p, i);
        uint32 image, group;
        p.by_all.divmod(at.plane, image, group);
        const T* planes = p.x + at.plane * p.outputs * out_area;
        const T* weights = p.w + group * p.outputs * kernel_area;
        Acc sum = 0;
        for (int a = 0, h = at.h + p.pad_h; a < p.kernel_h && h >= 0; ++a, h -= p.dilation_h) {
            uint32 oh, rest_h;
            p.by_stride_h.divmod(h, oh, rest_h);
            if (rest_h || oh >= p.out_height) continue;
            for (int b = 0, w = at.w + p.pad_w; b < p.kernel_w && w >= 0; ++b, w -= p.dilation_w) {
                uint32 ow, rest_w;
                p.by_stride_w.divmod(w, ow, rest_w);
                if (rest_w || ow >= p.out_width) continue;
                const T* g = planes + static_cast<int64>(oh) * p.out_width + ow;
                const T* weight = weights + a * p.kernel_w + b;
                for (int k = 0; k < p.outputs; ++k) sum += load(weight[k * kernel_area]) * load(g[k * out_area]);
            }
        }
        p.y[i] = store<T>(sum);
    }
}

// Blocks: output channel, chunk of taps, split. Threads walk over the pixels of the split, all of them over all taps.
KERNEL(depthwise_weight_gradient)(DepthwiseParams p) {
    static const int TAPS = 9;
    __shared__ Acc scratch[32];
    int block = blockIdx.x;
    const int first = block % p.chunks * TAPS;
    block /= p.chunks;
    const int split = block % p.splits, channel = block / p.splits, all = p.groups * p.outputs;
    const int kernel_area = p.kernel_h * p.kernel_w;

    int at_h[TAPS], at_w[TAPS];
    Acc sums[TAPS];
#pragma unroll
    for (int t = 0; t < TAPS; ++t) {
        const int tap = min(first + t, kernel_area - 1);  // those beyond the last are summed and not written
        at_h[t] = tap / p.kernel_w * p.dilation_h - p.pad_h, at_w[t] = tap % p.kernel_w * p.dilation_w - p.pad_w;
        sums[t] = 0;
    }
    const int end = static_cast<int>(min(static_cast<int64>(p.size), (split + static_cast<int64>(1)) * p.part));
    const int group = p.by_outputs.div(channel);
    for (int64 i = static_cast<int64>(split) * p.part + threadIdx.x; i < end; i += blockDim.x) {
        const Where o(p, i);  // its plane is the image
        const int64 out_plane = static_cast<int64>(o.plane) * all + channel;
        const Acc g = load(p.w[(out_plane * p.out_height + o.h) * p.out_width + o.w]);
        const T* plane = p.x + (static_cast<int64>(o.plane) * p.groups + group) * p.height * p.width;
        const int h0 = o.h * p.stride_h, w0 = o.w * p.stride_w;
#pragma unroll
        for (int t = 0; t < TAPS; ++t) {
            const int h = h0 + at_h[t], w = w0 + at_w[t];
            if (static_cast<uint32>(h) < p.height && static_cast<uint32>(w) < p.width)
                sums[t] += g * load(plane[static_cast<int64>(h) * p.width + w]);
        }
    }
#pragma unroll
    for (int t = 0; t < TAPS; ++t) {
        const Acc sum = block_reduce<Sum>(sums[t], Acc(0), scratch);
        if (threadIdx.x == 0 && first + t < kernel_area) {
            const int64 place = static_cast<int64>(channel) * kernel_area + first + t;
            if (p.splits > 1) p.partial[static_cast<int64>(split) * all * kernel_area + place] = sum;
            else p.y[place] = store<T>(sum);
        }
    }
}
