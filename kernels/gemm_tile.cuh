// One block's tile of a matrix product, double buffered in shared memory: what gemm.cu and conv.cu share.
// C[m][n] = sum over k of A[m][k] B[k][n]. How elements of A and B are found is the loaders' business, so that
// a transposed matrix and an image read as patches cost no copy.
#pragma once
#include "common.cuh"
#include "mma.cuh"

typedef Compute<T> Acc;

// A block of THREADS computes BM x BN of C, BK steps of k at a time, kept in shared memory with rows of k. A thread
// owns TM x TN sums, in pieces of four rows by four columns; a warp is 4 threads high and 8 wide, so its reads of
// shared memory are 16-byte and broadcast.
template <int BM_, int BN_, int BK_, int TM_, int TN_> struct Tile {
    static const int BM = BM_, BN = BN_, BK = BK_, TM = TM_, TN = TN_;
    static const int WM = 4 * TM, WN = 8 * TN;
    static const int WARPS_M = BM / WM, WARPS_N = BN / WN, THREADS = 32 * WARPS_M * WARPS_N;
    static const int PAD = 4;  // keeps rows 16-byte aligned and spreads transposed writes over the banks
    static const int A_SIZE = BK * (BM + PAD), B_SIZE = BK * (BN + PAD);
    static const int SHARED = 2 * (A_SIZE + B_SIZE);

    typedef Acc Kept;  // what shared memory holds
    static __device__ __forceinline__ Kept keep(Acc value) { return value; }
    // Where element (x, k) of a tile with BX rows (m of A, n of B) is kept.
    template <int BX> static __device__ __forceinline__ int at(int x, int k) { return k * (BX + PAD) + x; }

    // Rows and columns of a thread's sums in the block's tile.
    static __device__ __forceinline__ int row() { return (threadIdx.x >> 5) / WARPS_N * WM + ((threadIdx.x & 31) >> 3) * 4; }
    static __device__ __forceinline__ int column() { return (threadIdx.x >> 5) % WARPS_N * WN + (threadIdx.x & 7) * 4; }
    static __device__ __forceinline__ int row_of(int i) { return row() + (i >> 2) * 16 + (i & 3); }
    static __device__ __forceinline__ int column_of(int j) { return column() + (j >> 2) * 32 + (j & 3); }

    static __device__ __forceinline__ void copy_four(Acc* to, const Acc* from) {
        const int N = 16 / sizeof(Acc) < 4 ? 16 / sizeof(Acc) : 4;
#pragma unroll
        for (int i = 0; i < 4; i += N) {
            const Vector<Acc, N> v = *reinterpret_cast<const Vector<Acc, N>*>(from + i);
#pragma unroll
            for (int j = 0; j < N; ++j) to[i + j] = v.at[j];
        }
    }
    static __device__ __forceinline__ void multiply_tile(const Kept* a, const Kept* b, Acc (&sums)[TM][TN]) {
        a += row();
        b += column();
#pragma unroll
        for (int k = 0; k < BK; ++k) {
            Acc x[TM], y[TN];
#pragma unroll
            for (int i = 0; i < TM; i += 4) copy_four(x + i, a + k * (BM + PAD) + i * 4);
#pragma unroll
            for (int j = 0; j < TN; j += 4) copy_four(y + j, b + k * (BN + PAD) + j * 8);
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int j = 0; j < TN; ++j) sums[i][j] += x[i] * y[j];
        }
    }
};

#ifdef GG_MMA
// The same on tensor cores: shared memory keeps half types with k contiguous, and a warp owns WM x WN of C. Rows are
// 12 words apart, so the eight rows and four words that a warp reads at once lie in 32 different banks.
template <int BM_, int BN_, int WM_, int WN_> struct TensorTile {
    static const int BM = BM_, BN = BN_, BK = 16, WM = WM_, WN = WN_, TM = WM / 8, TN = WN / 4;
    static const int WARPS_M = BM / WM, WARPS_N = BN / WN, THREADS = 32 * WARPS_M * WARPS_N;
    static const int ROW = BK + 8;
    static const int A_SIZE = BM * ROW, B_SIZE = BN * ROW;
    static const int SHARED = 2 * (A_SIZE + B_SIZE);

    typedef T Kept;
    static __device__ __forceinline__ Kept keep(Acc value) { return store<T>(value); }
    template <int BX> static __device__ __forceinline__ int at(int x, int k) { return x * ROW + k; }

    static __device__ __forceinline__ int row_of(int i) {
        return (threadIdx.x >> 5) / WARPS_N * WM + (i >> 1) * 16 + (i & 1) * 8 + ((threadIdx.x & 31) >> 2);
    }
    static __device__ __forceinline__ int column_of(int j) {
        return (threadIdx.x >> 5) % WARPS_N * WN + (j >> 1) * 8 + (threadIdx.x & 3) * 2 + (j & 1);
    }

    static __device__ __forceinline__ uint32 two(const Kept* at) { return *reinterpret_cast<const uint32*>(at); }
    static __device__ __forceinline__ void multiply_tile(const Kept* a, const Kept* b, Acc (&sums)[TM][TN]) {
        const int warp = threadIdx.x >> 5, group = (threadIdx.x & 31) >> 2, pair = threadIdx.x & 3;
        a += (warp / WARPS_N * WM + group) * ROW + 2 * pair;
        b += (warp % WARPS_N * WN + group) * ROW + 2 * pair;
        uint32 y[WN / 8][2];
#pragma unroll
        for (int j = 0; j < WN / 8; ++j) {
            y[j][0] = two(b + j * 8 * ROW);
            y[j][1] = two(b + j * 8 * ROW + 8);
        }
#pragma unroll
        for (int i = 0; i < WM / 16; ++i) {
            const Kept* x_at = a + i * 16 * ROW;
            const uint32 x[4] = {two(x_at), two(x_at + 8 * ROW), two(x_at + 8), two(x_at + 8 * ROW + 8)};
#pragma unroll
            for (int j = 0; j < WN / 8; ++j)
                Mma<T>::step(sums[2 * i][2 * j], sums[2 * i][2 * j + 1], sums[2 * i + 1][2 * j], sums[2 * i + 1][2 * j + 1],
                             x, y[j]);
        }
    }
};
typedef TensorTile<128, 128, 64, 32> LargeTile;
typedef TensorTile<64, 64, 32, 32> MediumTile;
typedef TensorTile<32, 32, 16, 32> SmallTile;
typedef TensorTile<32, 128, 32, 32> WideTile;
#else
// The tiles that the host knows by name (gradgpu/cuda/gemm.py, conv.py): sizes and threads are the same on every device.
template <class C> struct Tiles { typedef Tile<128, 128, 8, 8, 8> Large; };
template <> struct Tiles<double> { typedef Tile<128, 64, 8, 8, 4> Large; };
typedef Tiles<Acc>::Large LargeTile;
typedef Tile<64, 64, 16, 8, 4> MediumTile;
typedef Tile<32, 32, 16, 4, 4> SmallTile;
typedef Tile<32, 128, 16, 8, 4> WideTile;  // few rows, many columns
#endif

// Loader of a strided matrix tile of BX rows (m of A, n of B) by BK steps of k; element (x, k) lies at
// base[x * stride_x + k * stride_k]. Consecutive threads follow the direction whose stride is 1.
template <class S, int BX> struct StridedLoader {
    static const int N = sizeof(T) > 4 ? 2 : 4;
    static const int PARTS = BX * S::BK / (N * S::THREADS);
    const T* base;
    int64 stride_x, stride_k;
    int x_end, k_end;  // rows left from this tile's first; end of k
    bool along_k, vector;
    Acc held[PARTS * N];

    __device__ __forceinline__ void place(int part, int& x, int& k) const {
        const int t = threadIdx.x + part * S::THREADS;
        if (along_k) {
            x = t / (S::BK / N);
            k = t % (S::BK / N) * N;
        } else {
            x = t % (BX / N) * N;
            k = t / (BX / N);
        }
    }
    __device__ __forceinline__ void fetch(int k0) {
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            int x, k;
            place(part, x, k);
            const T* at = base + x * stride_x + (k0 + k) * stride_k;
            if (vector && x + (along_k ? 1 : N) <= x_end && k0 + k + (along_k ? N : 1) <= k_end) {
                const Vector<T, N> v = *reinterpret_cast<const Vector<T, N>*>(at);
#pragma unroll
                for (int i = 0; i < N; ++i) held[part * N + i] = load(v.at[i]);
            } else {
                const int64 step = along_k ? stride_k : stride_x;
                // How many of the N elements are there.
                const int left = along_k ? (x < x_end ? k_end - k0 - k : 0) : (k0 + k < k_end ? x_end - x : 0);
#pragma unroll
                for (int i = 0; i < N; ++i) held[part * N + i] = i < left ? load(at[i * step]) : Acc(0);
            }
        }
    }
    __device__ __forceinline__ void put(typename S::Kept* tile) const {
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            int x, k;
            place(part, x, k);
            const int first = S::template at<BX>(x, k), step = along_k ? S::template at<BX>(0, 1) : S::template at<BX>(1, 0);
#pragma unroll
            for (int i = 0; i < N; ++i) tile[first + i * step] = S::keep(held[part * N + i]);
        }
    }
};

// sums += A B over k in [k_begin, k_end); `shared` has S::SHARED elements. While a tile is multiplied the next one
// is under way to registers; it then goes to the other buffer, so one barrier a step is enough.
template <class S, class LoadA, class LoadB>
__device__ __forceinline__ void multiply(LoadA& a, LoadB& b, int k_begin, int k_end, typename S::Kept* shared,
                                         Acc (&sums)[S::TM][S::TN]) {
    typename S::Kept* a_tile = shared;
    typename S::Kept* b_tile = shared + 2 * S::A_SIZE;
    int buffer = 0;
    a.fetch(k_begin);
    b.fetch(k_begin);
    a.put(a_tile);
    b.put(b_tile);
    __syncthreads();
#pragma unroll 1
    for (int k0 = k_begin; k0 < k_end; k0 += S::BK) {
        const bool more = k0 + S::BK < k_end;
        if (more) {
            a.fetch(k0 + S::BK);
            b.fetch(k0 + S::BK);
        }
        S::multiply_tile(a_tile + buffer * S::A_SIZE, b_tile + buffer * S::B_SIZE, sums);
        if (more) {
            buffer ^= 1;
            a.put(a_tile + buffer * S::A_SIZE);
            b.put(b_tile + buffer * S::B_SIZE);
            __syncthreads();
        }
    }
}
