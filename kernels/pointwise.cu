// Pointwise kernels: three shapes with a hole for the mathematics.
//
// In front of this file the compiler (gradgpu/cuda/elementwise.py) writes what one operation is:
//   INPUTS(DO)   DO(k, E, name) for each input:  number, element type, name in the expression
//   OUTPUTS(DO)  the same for outputs
//   SCALARS(DO)  DO(k, name): numbers that are parameters of the launch
//   BODY         statements that compute the outputs from inputs and scalars, in type C
//   ARITHMETIC   the type C of the arithmetic
//   SCALAR       the type in which scalars travel: double or long long
//   N_INPUTS, N_OUTPUTS, N_SCALARS, VECTOR (elements in one 16-byte access)
//
// Traffic: every input read once, every output written once. Which shape runs is chosen on the
// host after collapsing dimensions: all operands contiguous -> vector; two dimensions -> rows
// (no division); anything else -> strided (division by multiplication; 64-bit if offsets need it).

#include "common.cuh"

typedef ARITHMETIC C;

#define AT_LEAST_1(n) ((n) > 0 ? (n) : 1)
#define OPERANDS (N_INPUTS + N_OUTPUTS)

struct Operands {
    const void* in[AT_LEAST_1(N_INPUTS)];
    void* out[N_OUTPUTS];
    SCALAR scalar[AT_LEAST_1(N_SCALARS)];
};

#define GET_SCALAR(k, name) const C name = static_cast<C>(p.on.scalar[k]);
#define DECLARE_OUT(k, E, name) E name;

// ---- all operands contiguous; inputs of one element are broadcast ----
struct VectorParams {
    Operands on;
    int64 n;         // elements
    int64 vectors;   // elements / VECTOR, or 0 if an address is not aligned to 16 bytes
    int64 broadcast; // bit k: input k is one element
};

KERNEL(vector)(VectorParams p) {
    SCALARS(GET_SCALAR)
    const int64 thread = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x;
    const int64 threads = gridDim.x * static_cast<int64>(blockDim.x);
    for (int64 i = thread; i < p.vectors; i += threads) {
#define LOAD_VECTOR(k, E, name)                                                        \
    Vector<E, VECTOR> name##_v;                                                        \
    if (p.broadcast >> k & 1) {                                                        \
        const E one = static_cast<const E*>(p.on.in[k])[0];                            \
        _Pragma("unroll") for (int j = 0; j < VECTOR; ++j) name##_v.at[j] = one;       \
    } else {                                                                           \
        name##_v = static_cast<const Vector<E, VECTOR>*>(p.on.in[k])[i];               \
    }
#define DECLARE_VECTOR(k, E, name) Vector<E, VECTOR> name##_v;
#define FROM_VECTOR(k, E, name) const Compute<E> name = load(name##_v.at[j]);
#define TO_VECTOR(k, E, name) name##_v.at[j] = name;
#define STORE_VECTOR(k, E, name) static_cast<Vector<E, VECTOR>*>(p.on.out[k])[i] = name##_v;
        INPUTS(LOAD_VECTOR)
        OUTPUTS(DECLARE_VECTOR)
#pragma unroll
        for (int j = 0; j < VECTOR; ++j) {
            INPUTS(FROM_VECTOR)
            OUTPUTS(DECLARE_OUT)
            BODY
            OUTPUTS(TO_VECTOR)
        }
        OUTPUTS(STORE_VECTOR)
    }
    for (int64 i = p.vectors * VECTOR + thread; i < p.n; i += threads) {
#define LOAD_ONE(k, E, name) \
    const Compute<E> name = load(static_cast<const E*>(p.on.in[k])[p.broadcast >> k & 1 ? 0 : i]);
#define STORE_ONE(k, E, name) static_cast<E*>(p.on.out[k])[i] = name;
        INPUTS(LOAD_ONE)
        OUTPUTS(DECLARE_OUT)
        BODY
        OUTPUTS(STORE_ONE)
    }
}

// ---- two dimensions: columns on x, rows on y; strides in elements, 0 where broadcast ----
struct RowsParams {
    Operands on;
    int64 rows, columns;
    int64 row_stride[OPERANDS];
    int64 column_stride[OPERANDS];
};

KERNEL(rows)(RowsParams p) {
    SCALARS(GET_SCALAR)
    for (int64 r = blockIdx.y * static_cast<int64>(blockDim.y) + threadIdx.y; r < p.rows;
         r += gridDim.y * static_cast<int64>(blockDim.y)) {
        for (int64 c = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x; c < p.columns;
             c += gridDim.x * static_cast<int64>(blockDim.x)) {
#define LOAD_ROW(k, E, name) \
    const Compute<E> name = load(static_cast<const E*>(p.on.in[k])[r * p.row_stride[k] + c * p.column_stride[k]]);
#define STORE_ROW(k, E, name) \
    static_cast<E*>(p.on.out[k])[r * p.row_stride[N_INPUTS + k] + c * p.column_stride[N_INPUTS + k]] = name;
            INPUTS(LOAD_ROW)
            OUTPUTS(DECLARE_OUT)
            BODY
            OUTPUTS(STORE_ROW)
        }
    }
}

// ---- up to 8 dimensions, innermost first; 32-bit offsets ----
struct StridedParams {
    Operands on;
    int64 n;
    FastDiv size[8];
    int stride[OPERANDS][8];
    int dims;
};

KERNEL(strided)(StridedParams p) {
    SCALARS(GET_SCALAR)
    for (int64 i = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x; i < p.n;
         i += gridDim.x * static_cast<int64>(blockDim.x)) {
        int offset[OPERANDS];
#pragma unroll
        for (int k = 0; k < OPERANDS; ++k) offset[k] = 0;
        uint32 rest = static_cast<uint32>(i);
#pragma unroll
        for (int d = 0; d < 8; ++d) {
            if (d < p.dims) {
                uint32 quotient, index;
                p.size[d].divmod(rest, quotient, index);
#pragma unroll
                for (int k = 0; k < OPERANDS; ++k) offset[k] += static_cast<int>(index) * p.stride[k][d];
                rest = quotient;
            }
        }
#define LOAD_AT(k, E, name) const Compute<E> name = load(static_cast<const E*>(p.on.in[k])[offset[k]]);
#define STORE_AT(k, E, name) static_cast<E*>(p.on.out[k])[offset[N_INPUTS + k]] = name;
        INPUTS(LOAD_AT)
        OUTPUTS(DECLARE_OUT)
        BODY
        OUTPUTS(STORE_AT)
    }
}

// ---- the same with 64-bit offsets and plain division, for more than 2^31 elements ----
struct WideParams {
    Operands on;
    int64 n;
    int64 size[8];
    int64 stride[OPERANDS][8];
    int64 dims;
};

KERNEL(wide)(WideParams p) {
    SCALARS(GET_SCALAR)
    for (int64 i = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x; i < p.n;
         i += gridDim.x * static_cast<int64>(blockDim.x)) {
        int64 offset[OPERANDS];
#pragma unroll
        for (int k = 0; k < OPERANDS; ++k) offset[k] = 0;
        int64 rest = i;
#pragma unroll 1  // rarely run: eight copies of a 64-bit division would double what every operation takes to compile
        for (int d = 0; d < p.dims; ++d) {
            const int64 quotient = rest / p.size[d], index = rest - quotient * p.size[d];
#pragma unroll
            for (int k = 0; k < OPERANDS; ++k) offset[k] += index * p.stride[k][d];
            rest = quotient;
        }
        INPUTS(LOAD_AT)
        OUTPUTS(DECLARE_OUT)
        BODY
        OUTPUTS(STORE_AT)
    }
}
