// The matrix product as it is defined: the reference of gemm.cu, and the product of integer matrices.
#include "common.cuh"

struct ObviousParams {
    const T* a;
    const T* b;
    const T* bias;  // n values or null
    T* c;           // batch x m x n, contiguous
    int64 a_row, a_column, b_row, b_column;
    int64 a_batch[3], b_batch[3];
    int64 size;  // of c
    int m, n, k;
    int middle, inner;
};

// One thread an element of C; every element of A and B is read from memory n and m times.
KERNEL(gemm_obvious)(ObviousParams p) {
    for (int64 i = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x; i < p.size;
         i += static_cast<int64>(gridDim.x) * blockDim.x) {
        const int64 n = i % p.n, m = i / p.n % p.m, batch = i / p.n / p.m;
        const int64 i0 = batch % p.inner, i1 = batch / p.inner % p.middle, i2 = batch / p.inner / p.middle;
        const T* a = p.a + i2 * p.a_batch[0] + i1 * p.a_batch[1] + i0 * p.a_batch[2] + m * p.a_row;
        const T* b = p.b + i2 * p.b_batch[0] + i1 * p.b_batch[1] + i0 * p.b_batch[2] + n * p.b_column;
        Compute<T> sum = 0;
        for (int k = 0; k < p.k; ++k) sum += load(a[k * p.a_column]) * load(b[k * p.b_row]);
        p.c[i] = store<T>(p.bias ? sum + load(p.bias[n]) : sum);
    }
}
