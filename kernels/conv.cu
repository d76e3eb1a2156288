// Two-dimensional convolution and its two gradients as matrix products (implicit GEMM): the columns of the image
// patches are never stored, loaders find each element of them in the image through divisions by constants.
// Each reads its image about BM / channels times fewer than there are taps, as neighbouring tiles share the cache.
#include "gemm_tile.cuh"

struct ConvParams {
    const T* a;     // weight (forward, input gradient), or gradient of the output (weight gradient)
    const T* b;     // image (forward, weight gradient), or gradient of the output (input gradient)
    const T* bias;  // a value for each output channel, or null
    T* y;
    Acc* partial;           // weight gradient with splits > 1: splits x groups x m x n
    int m, n, k;            // of the product of one group
    int k_part, splits, tiles_m, tiles_n;
    int groups, channels, out_channels;  // channels of the image and of the output in one group
    int height, width, out_height, out_width;
    int stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    FastDiv area, kernel_w;      // kernel_h * kernel_w; kernel_w
    FastDiv pixels, row;         // of the image walked over: the output, for the input gradient the input
    FastDiv by_stride_h, by_stride_w;
};

struct Tap {
    uint32 channel, h, w;
    __device__ __forceinline__ Tap(const ConvParams& p, uint32 k) {
        uint32 rest;
        p.area.divmod(k, channel, rest);
        p.kernel_w.divmod(rest, h, w);
        h *= p.dilation_h, w *= p.dilation_w;
    }
};

struct Pixel {
    uint32 image, place, h, w;
    __device__ __forceinline__ Pixel(const ConvParams& p, uint32 i) {
        p.pixels.divmod(i, image, place);
        p.row.divmod(place, h, w);
    }
};

// ---- what the elements of the two factors are ----
// Image patch: (tap, output pixel) -> x[image][channel][oh * stride - pad + kh * dilation][...], zero outside.
struct Patches {
    const T* at;
    int h, w;
    __device__ __forceinline__ void place(const ConvParams& p, int group, int pixel) {
        const Pixel o(p, pixel);
        h = static_cast<int>(o.h) * p.stride_h - p.pad_h, w = static_cast<int>(o.w) * p.stride_w - p.pad_w;
        at = p.b + (static_cast<int64>(o.image) * p.groups + group) * p.channels * p.height * p.width + h * p.width + w;
    }
    __device__ __forceinline__ Acc value(const ConvParams& p, int k) const {
        const Tap tap(p, k);
        if (static_cast<uint32>(h + tap.h) >= p.height || static_cast<uint32>(w + tap.w) >= p.width) return 0;
        return load(at[static_cast<int64>(tap.channel) * p.height * p.width + static_cast<int>(tap.h * p.width + tap.w)]);
    }
};

// Gradient of the output: (tap, input pixel) -> g[image][channel][(h + pad - kh * dilation) / stride][...] where that
// is a whole number inside the output, zero elsewhere.
struct GradPatches {
    const T* at;
    int h, w;
    __device__ __forceinline__ void place(const ConvParams& p, int group, int pixel) {
        const Pixel i(p, pixel);
        h = i.h + p.pad_h, w = i.w + p.pad_w;
        at = p.b + (static_cast<int64>(i.image) * p.groups + group) * p.out_channels * p.out_height * p.out_width;
    }
    __device__ __forceinline__ Acc value(const ConvParams& p, int k) const {
        const Tap tap(p, k);
        const int y = h - static_cast<int>(tap.h), x = w - static_cast<int>(tap.w);
        if (y < 0 || x < 0) return 0;
        uint32 oh, ow, rest_h, rest_w;
        p.by_stride_h.divmod(y, oh, rest_h);
        p.by_stride_w.divmod(x, ow, rest_w);
        if (rest_h | rest_w || oh >= p.out_height || ow >= p.out_width) return 0;
        return load(at[(static_cast<int64>(tap.channel) * p.out_height + oh) * p.out_width + ow]);
    }
};

// Weight with the roles of its channels exchanged: (tap with output channel, input channel).
struct SwappedWeight {
    const T* at;
    __device__ __forceinline__ void place(const ConvParams& p, int group, int channel) {
        at = p.a + (static_cast<int64>(group) * p.out_channels * p.channels + channel) * p.area.divisor;
    }
    __device__ __forceinline__ Acc value(const ConvParams& p, int k) const {
        uint32 channel, rest;
        p.area.divmod(k, channel, rest);
        return load(at[static_cast<int64>(channel) * p.channels * p.area.divisor + rest]);
    }
};

// Loader whose threads each keep one row (a pixel or channel) and walk over k (taps).
template <class S, int BX, class Source> struct RowLoader {
    static const int STEP = S::THREADS / BX, PARTS = S::BK / STEP;
    const ConvParams& p;
    Source source;
    bool inside;
    int k_end;
    Acc held[PARTS];

    __device__ __forceinline__ RowLoader(const ConvParams& p, int group, int x0, int x_end, int k_end) : p(p), k_end(k_end) {
        const int x = x0 + threadIdx.x % BX;
        inside = x < x_end;
        source.place(p, group, inside ? x : 0);
    }
    __device__ __forceinline__ void fetch(int k0) {
#pragma unroll
        for (int i = 0; i < PARTS; ++i) {
            const int k = k0 + threadIdx.x / BX + i * STEP;
            held[i] = inside && k < k_end ? source.value(p, k) : Acc(0);
        }
    }
    __device__ __forceinline__ void put(typename S::Kept* tile) const {
#pragma unroll
        for (int i = 0; i < PARTS; ++i) tile[S::template at<BX>(threadIdx.x % BX, threadIdx.x / BX + i * STEP)] = S::keep(held[i]);
    }
};

// Factors of the weight gradient, summed over output pixels: each thread keeps several rows and one pixel a step.
struct GradRows {  // (output pixel, output channel) -> g[image][channel][pixel]
    typedef int Row;
    const T* at;
    static __device__ __forceinline__ Row row(const ConvParams& p, int channel) { return channel * p.out_height * p.out_width; }
    __device__ __forceinline__ void column(const ConvParams& p, int group, int pixel) {
        uint32 image, place;
        p.pixels.divmod(pixel, image, place);
        const int64 area = static_cast<int64>(p.out_height) * p.out_width;
        at = p.a + (static_cast<int64>(image) * p.groups + group) * p.out_channels * area + place;
    }
    __device__ __forceinline__ Acc value(const ConvParams& p, const Row& row) const { return load(at[row]); }
};

struct PatchRows {  // (output pixel, tap) -> the image element under the tap
    struct Row { int offset, h, w; };
    Patches patch;
    static __device__ __forceinline__ Row row(const ConvParams& p, int k) {
        const Tap tap(p, k);
        Row row;
        row.h = tap.h, row.w = tap.w;
        row.offset = (tap.channel * p.height + tap.h) * p.width + tap.w;
        return row;
    }
    __device__ __forceinline__ void column(const ConvParams& p, int group, int pixel) { patch.place(p, group, pixel); }
    __device__ __forceinline__ Acc value(const ConvParams& p, const Row& row) const {
        if (static_cast<uint32>(patch.h + row.h) >= p.height || static_cast<uint32>(patch.w + row.w) >= p.width) return 0;
        return load(patch.at[row.offset]);
    }
};

template <class S, int BX, class Source> struct PixelLoader {
    static const int STEP = S::THREADS / S::BK, PARTS = BX / STEP;
    const ConvParams& p;
    Source source;
    typename Source::Row rows[PARTS];
    int group, rows_left, k_end;
    Acc held[PARTS];

    __device__ __forceinline__ PixelLoader(const ConvParams& p, int group, int x0, int x_end, int k_end)
        : p(p), group(group), rows_left(x_end - x0), k_end(k_end) {
#pragma unroll
        for (int i = 0; i < PARTS; ++i) {
            const int x = threadIdx.x / S::BK + i * STEP;
            rows[i] = Source::row(p, x < rows_left ? x0 + x : 0);
        }
    }
    __device__ __forceinline__ void fetch(int k0) {
        const int k = k0 + threadIdx.x % S::BK;
        const bool inside = k < k_end;
        source.column(p, group, inside ? k : 0);
#pragma unroll
        for (int i = 0; i < PARTS; ++i) {
            const int x = threadIdx.x / S::BK + i * STEP;
            held[i] = inside && x < rows_left ? source.value(p, rows[i]) : Acc(0);
        }
    }
    __device__ __forceinline__ void put(typename S::Kept* tile) const {
#pragma unroll
        for (int i = 0; i < PARTS; ++i) tile[S::template at<BX>(threadIdx.x / S::BK + i * STEP, threadIdx.x % S::BK)] = S::keep(held[i]);
    }
};

// Which tile, group and part of k a block has.
template <class S> struct Work {
    int m0, n0, group, split;
    __device__ __forceinline__ Work(const ConvParams& p) {
        int block = blockIdx.x;
        m0 = block % p.tiles_m * S::BM;  // blocks side by side read the same pixels
        block /= p.tiles_m;
        n0 = block % p.tiles_n * S::BN;
        block /= p.tiles_n;
        split = block % p.splits;
        group = block / p.splits;
    }
};

// Writes sums as y[image][group, channel][pixel]; channels of the result in one group: p.m.
template <class S> __device__ __forceinline__ void write_image(const ConvParams& p, const Work<S>& work, Acc (&sums)[S::TM][S::TN]) {
#pragma unroll
    for (int j = 0; j < S::TN; ++j) {
        const int n = work.n0 + S::column_of(j);
        if (n < p.n) {
            uint32 image, pixel;
            p.pixels.divmod(n, image, pixel);
            const int64 first = (static_cast<int64>(image) * p.groups + work.group) * p.m;
#pragma unroll
            for (int i = 0; i < S::TM; ++i) {
                const int m = work.m0 + S::row_of(i);
                if (m < p.m) {
                    const Acc sum = p.bias ? sums[i][j] + load(p.bias[work.group * p.m + m]) : sums[i][j];
                    p.y[(first + m) * p.pixels.divisor + pixel] = store<T>(sum);
                }
            }
        }
    }
}

// y = weight * patches: (out_channels x taps) (taps x output pixels).
template <class S> __device__ __forceinline__ void forward(const ConvParams& p, typename S::Kept* shared) {
    const Work<S> work(p);
    StridedLoader<S, S::BM> a;
    a.base = p.a + (static_cast<int64>(work.group) * p.m + work.m0) * p.k;
    a.stride_x = p.k, a.stride_k = 1, a.x_end = p.m - work.m0, a.k_end = p.k;
    a.along_k = true, a.vector = false;
    RowLoader<S, S::BN, Patches> b(p, work.group, work.n0, p.n, p.k);
    Acc sums[S::TM][S::TN] = {};
    multiply<S>(a, b, 0, p.k, shared, sums);
    write_image<S>(p, work, sums);
}

// dx = swapped weight * patches of g: (channels x taps of g) (taps of g x input pixels).
template <class S> __device__ __forceinline__ void input_gradient(const ConvParams& p, typename S::Kept* shared) {
    const Work<S> work(p);
    RowLoader<S, S::BM, SwappedWeight> a(p, work.group, work.m0, p.m, p.k);
    RowLoader<S, S::BN, GradPatches> b(p, work.group, work.n0, p.n, p.k);
    Acc sums[S::TM][S::TN] = {};
    multiply<S>(a, b, 0, p.k, shared, sums);
    write_image<S>(p, work, sums);
}

// dW = g * patches, transposed: (out_channels x output pixels) (output pixels x taps), the pixels in parts.
template <class S> __device__ __forceinline__ void weight_gradient(const ConvParams& p, typename S::Kept* shared) {
    const Work<S> work(p);
    const int k_begin = work.split * p.k_part, k_end = min(p.k, k_begin + p.k_part);
    PixelLoader<S, S::BM, GradRows> a(p, work.group, work.m0, p.m, k_end);
    PixelLoader<S, S::BN, PatchRows> b(p, work.group, work.n0, p.n, k_end);
    Acc sums[S::TM][S::TN] = {};
    multiply<S>(a, b, k_begin, k_end, shared, sums);
    const int64 start = static_cast<int64>(work.split * p.groups + work.group) * p.m;
#pragma unroll
    for (int i = 0; i < S::TM; ++i) {
        const int m = work.m0 + S::row_of(i);
#pragma unroll
        for (int j = 0; j < S::TN; ++j) {
            const int n = work.n0 + S::column_of(j);
            if (m < p.m && n < p.n) {
                if (p.splits > 1) p.partial[(start + m) * p.n + n] = sums[i][j];
                else p.y[(start + m) * p.n + n] = store<T>(sums[i][j]);
            }
        }
    }
}

#define CONV(name, function, Shape)                                 \
    KERNEL(name)(ConvParams p) {                                    \
        __shared__ __align__(16) Shape::Kept shared[Shape::SHARED]; \
        function<Shape>(p, shared);                                 \
    }
CONV(conv2d_large, forward, LargeTile)
CONV(conv2d_wide, forward, WideTile)
CONV(conv2d_small, forward, SmallTile)
CONV(conv2d_input_grad_large, input_gradient, LargeTile)
CONV(conv2d_input_grad_wide, input_gradient, WideTile)
CONV(conv2d_input_grad_small, input_gradient, SmallTile)
CONV(conv2d_weight_grad_medium, weight_gradient, MediumTile)
CONV(conv2d_weight_grad_small, weight_gradient, SmallTile)
