// Reductions: three kernel shapes for any array, any set of reduced dimensions and any operation.
//
// An operation is a struct:
//     typedef ... Acc;                                    what a thread carries (plain data, a multiple of 4 bytes)
//     Acc identity();
//     void take(Acc& a, value, int64 index);              fold in the element that stands at `index` of the reduced ones
//     Acc combine(Acc a, Acc b);                          join two partial results
//     void finish(Acc a, const ReduceParams& p, int64 o); write output number o
// `take` and `combine` run in an order that depends on the shapes alone, so results are reproducible bit for bit.
//
// Traffic: each element is read once, each result written once; with splits, also outputs * splits accumulators.
#pragma once
#include "common.cuh"

static const int MAX_AXES = 12;

struct Axis {
    int64 stride, size;
    FastDiv by;  // division by size
    uint32 unused;
};

struct ReduceParams {
    const T* x;
    void* y;        // the result
    void* z;        // a second result, or null
    void* partial;  // Acc[outputs][splits], used when splits > 1
    double scalar;  // a number for the operation's finish: 1 / n, p of a norm, correction
    int64 outputs, count, chunk;          // chunk: how many of the `count` elements one split reduces
    Axis kept[MAX_AXES], gone[MAX_AXES];  // outermost first
    int kept_axes, gone_axes;
    int splits;
    int width;   // threads that share one output in reduce_lanes: a power of two up to 32, or the block
    int vector;  // the reduced elements are contiguous and aligned to 16 bytes
    int wide;    // an index may reach 2^31
};

template <class E> struct IsFloat { static const bool value = false; };
template <> struct IsFloat<float> { static const bool value = true; };
template <> struct IsFloat<double> { static const bool value = true; };

template <bool CHOICE, class A, class B> struct Select { typedef A type; };
template <class A, class B> struct Select<false, A, B> { typedef B type; };

static const bool FLOATING = IsFloat<Compute<T>>::value;
// Values in registers (small integers as int) and sums (integers as int64).
typedef typename Select<FLOATING, Compute<T>, typename Select<sizeof(T) == 8, int64, int>::type>::type Value;
typedef typename Select<FLOATING, Compute<T>, int64>::type Total;
typedef typename Select<FLOATING, T, int64>::type TotalStored;

// Where element `index` of the axes lies.
// Inlined: a call would need the parameters' address, and so a copy of them in local memory.
__device__ __forceinline__ int64 locate_many(int64 index, const Axis* axes, int n, bool wide) {
    int64 offset = 0;
#pragma unroll 1
    for (int d = n - 1; d > 0; --d) {
        if (wide) {
            offset += index % axes[d].size * axes[d].stride;
            index /= axes[d].size;
        } else {
            uint32 quotient, rest;
            axes[d].by.divmod(static_cast<uint32>(index), quotient, rest);
            offset += rest * axes[d].stride;
            index = quotient;
        }
    }
    return offset + index * axes[0].stride;
}
__device__ __forceinline__ int64 locate(int64 index, const Axis* axes, int n, bool wide) {
    return n == 0 ? 0 : n == 1 ? index * axes[0].stride : locate_many(index, axes, n, wide);
}

template <class A> __device__ __forceinline__ A shuffle_xor(const A& a, int offset) {
    static_assert(sizeof(A) % 4 == 0, "an accumulator is moved as 32-bit words");
    const int words = sizeof(A) / 4;
    union Bits { A a; int word[words]; __device__ Bits() {} } in, out;
    in.a = a;
#pragma unroll
    for (int w = 0; w < words; ++w) out.word[w] = __shfl_xor_sync(0xffffffffu, in.word[w], offset);
    return out.a;
}

template <class Op> __device__ __forceinline__ void deliver(const typename Op::Acc& a, const ReduceParams& p, int64 o, int split) {
    if (p.splits > 1)
        static_cast<typename Op::Acc*>(p.partial)[o * p.splits + split] = a;
    else
        Op::finish(a, p, o);
}

// Elements r, r + step, … of the reduced axes.
template <class Op> __device__ __forceinline__ void fold(
    typename Op::Acc& acc, const T* base, int64 r, int64 end, int step, const ReduceParams& p) {
    if (p.gone_axes <= 1) {
        const int64 stride = p.gone_axes ? p.gone[0].stride : 0;
#pragma unroll 4
        for (; r < end; r += step) Op::take(acc, load(base[r * stride]), r);
    } else {
        for (; r < end; r += step) Op::take(acc, load(base[locate_many(r, p.gone, p.gone_axes, p.wide)]), r);
    }
}

// The threads that share an output lie side by side, so that they read neighbouring elements of a row.
// Grid: x over groups of outputs, y over splits. One-dimensional block of 256 threads.
template <class Op> __device__ void reduce_lanes(const ReduceParams& p) {
    typedef typename Op::Acc Acc;
    __shared__ __align__(16) char memory[32 * sizeof(Acc)];
    Acc* scratch = reinterpret_cast<Acc*>(memory);

    const int lane = threadIdx.x & (p.width - 1);
    const int64 o = blockIdx.x * static_cast<int64>(blockDim.x / p.width) + threadIdx.x / p.width;
    Acc acc = Op::identity();
    if (o < p.outputs) {
        const T* row = p.x + locate(o, p.kept, p.kept_axes, p.wide);
        int64 r = blockIdx.y * p.chunk;
        const int64 end = min(p.count, r + p.chunk);
        if (p.vector) {
            const int N = 16 / sizeof(T);
            const int64 whole = r + (end - r) / N * N;
#pragma unroll(N > 4 ? 1 : 4)
            for (int64 i = r + lane * N; i < whole; i += p.width * N) {
                const Vector<T, N> v = *reinterpret_cast<const Vector<T, N>*>(row + i);
#pragma unroll
                for (int k = 0; k < N; ++k) Op::take(acc, load(v.at[k]), i + k);
            }
            for (r = whole + lane; r < end; r += p.width) Op::take(acc, load(row[r]), r);
        } else {
            fold<Op>(acc, row, r + lane, end, p.width, p);
        }
    }
    for (int offset = min(p.width, 32) / 2; offset > 0; offset >>= 1) acc = Op::combine(acc, shuffle_xor(acc, offset));
    if (p.width > 32) {
        if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = acc;
        __syncthreads();
        if (threadIdx.x == 0)
            for (int w = 1; w < blockDim.x / 32; ++w) acc = Op::combine(acc, scratch[w]);
    }
    if (lane == 0 && o < p.outputs) deliver<Op>(acc, p, o, blockIdx.y);
}

// Neighbouring threads hold neighbouring outputs (the reduced dimension is not the innermost one): 32 outputs by 8 rows.
// Grid: x over groups of 32 outputs, y over splits.
template <class Op> __device__ void reduce_columns(const ReduceParams& p) {
    typedef typename Op::Acc Acc;
    __shared__ __align__(16) char memory[256 * sizeof(Acc)];
    Acc* scratch = reinterpret_cast<Acc*>(memory);

    const int64 o = blockIdx.x * static_cast<int64>(32) + threadIdx.x;
    Acc acc = Op::identity();
    if (o < p.outputs) {
        const T* column = p.x + locate(o, p.kept, p.kept_axes, p.wide);
        const int64 r = blockIdx.y * p.chunk, end = min(p.count, r + p.chunk);
        fold<Op>(acc, column, r + threadIdx.y, end, 8, p);
    }
    __syncwarp();  // lanes beyond the last output skipped the loop
    scratch[threadIdx.y * 32 + threadIdx.x] = acc;
    __syncthreads();
    if (threadIdx.y == 0 && o < p.outputs) {
        for (int row = 1; row < 8; ++row) acc = Op::combine(acc, scratch[row * 32 + threadIdx.x]);
        deliver<Op>(acc, p, o, blockIdx.y);
    }
}

// Second pass: one warp joins the partial results of one output. Block of 256 threads.
template <class Op> __device__ void reduce_finish(const ReduceParams& p) {
    typedef typename Op::Acc Acc;
    const int64 o = blockIdx.x * static_cast<int64>(8) + (threadIdx.x >> 5);
    const int lane = threadIdx.x & 31;
    Acc acc = Op::identity();
    if (o < p.outputs) {
        const Acc* partial = static_cast<const Acc*>(p.partial) + o * p.splits;
        for (int s = lane; s < p.splits; s += 32) acc = Op::combine(acc, partial[s]);
    }
    for (int offset = 16; offset > 0; offset >>= 1) acc = Op::combine(acc, shuffle_xor(acc, offset));
    if (lane == 0 && o < p.outputs) Op::finish(acc, p, o);
}

// One module holds one operation: the launch side names it by the macros OP (the struct) and NAME (of the kernels).
#define REDUCTION_KERNEL(name, kind) KERNEL(name##_##kind)(ReduceParams p)
#define REDUCTION_KERNELS(name, Op)                           \
    REDUCTION_KERNEL(name, lanes) { reduce_lanes<Op>(p); }    \
    REDUCTION_KERNEL(name, columns) { reduce_columns<Op>(p); } \
    REDUCTION_KERNEL(name, finish) { reduce_finish<Op>(p); }
