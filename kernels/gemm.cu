// Matrix products of floating-point matrices: C = A B + bias, batched, with any strides of A and B.
#include "gemm_tile.cuh"

// C is contiguous: batch x m x n. A batch index is (outer, middle, inner), so that two broadcast batches of up to three
// dimensions need no copy. With splits > 1 every block sums a part of k and writes to `partial`
// (splits x batch x m x n, in the type of the sums); gemm_reduce adds the parts in order.
struct GemmParams {
    const T* a;
    const T* b;
    const T* bias;  // n values or null
    T* c;
    Acc* partial;
    int64 a_row, a_column, b_row, b_column;
    int64 a_batch[3], b_batch[3];
    int64 batch;
    int m, n, k, k_part;
    int middle, inner;
    int splits, tiles_m, tiles_n;
    int a_vector, b_vector;  // whether rows start at multiples of a vector
};

// Large matrices: m n k multiply-adds from m k (n / BN) + k n (m / BM) loads; bound by arithmetic.
template <class S> __device__ __forceinline__ void gemm(const GemmParams& p, typename S::Kept* shared) {
    int block = blockIdx.x;
    const int tile_n = block % p.tiles_n;
    block /= p.tiles_n;
    const int tile_m = block % p.tiles_m;
    block /= p.tiles_m;
    const int split = block % p.splits;
    const int batch = block / p.splits;
    const int i0 = batch % p.inner, i1 = batch / p.inner % p.middle, i2 = batch / p.inner / p.middle;
    const int m0 = tile_m * S::BM, n0 = tile_n * S::BN;
    const int k_begin = split * p.k_part, k_end = min(p.k, k_begin + p.k_part);

    StridedLoader<S, S::BM> a;
    a.base = p.a + i2 * p.a_batch[0] + i1 * p.a_batch[1] + i0 * p.a_batch[2] + m0 * p.a_row;
    a.stride_x = p.a_row, a.stride_k = p.a_column, a.x_end = p.m - m0, a.k_end = k_end;
    a.along_k = p.a_column == 1, a.vector = p.a_vector;
    StridedLoader<S, S::BN> b;
    b.base = p.b + i2 * p.b_batch[0] + i1 * p.b_batch[1] + i0 * p.b_batch[2] + n0 * p.b_column;
    b.stride_x = p.b_column, b.stride_k = p.b_row, b.x_end = p.n - n0, b.k_end = k_end;
    b.along_k = p.b_column != 1, b.vector = p.b_vector;

    Acc sums[S::TM][S::TN] = {};
    multiply<S>(a, b, k_begin, k_end, shared, sums);

    const int64 start = static_cast<int64>(p.splits == 1 ? batch : split * p.batch + batch) * p.m;
#pragma unroll
    for (int i = 0; i < S::TM; ++i) {
        const int m = m0 + S::row_of(i);
        if (m < p.m) {
            const int64 row = (start + m) * p.n;
#pragma unroll
            for (int j = 0; j < S::TN; ++j) {
                const int n = n0 + S::column_of(j);
                if (n < p.n) {
                    if (p.splits > 1) p.partial[row + n] = sums[i][j];
                    else p.c[row + n] = store<T>(p.bias ? sums[i][j] + load(p.bias[n]) : sums[i][j]);
                }
            }
        }
    }
}

#define GEMM(name, Shape)                                           \
    KERNEL(name)(GemmParams p) {                                    \
        __shared__ __align__(16) Shape::Kept shared[Shape::SHARED]; \
        gemm<Shape>(p, shared);                                     \
    }
GEMM(gemm_large, LargeTile)
GEMM(gemm_medium, MediumTile)
GEMM(gemm_small, SmallTile)

struct ReduceParams {
    const Acc* partial;
    const T* bias;
    T* c;
    int64 size;  // of c
    int splits, n;
};

// Adds the parts of a split product in a fixed order; reads splits + writes 1 element for each of C.
KERNEL(gemm_reduce)(ReduceParams p) {
    for (int64 i = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x; i < p.size;
         i += static_cast<int64>(gridDim.x) * blockDim.x) {
        Acc sum = 0;
        for (int s = 0; s < p.splits; ++s) sum += p.partial[s * p.size + i];
        p.c[i] = store<T>(p.bias ? sum + load(p.bias[i % p.n]) : sum);
    }
}
