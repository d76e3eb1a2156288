// One block's tile of a matrix product, double buffered in shared memory: what gemm.cu and conv.cu share.
// C[m][n] = sum over k of A[m][k] B[k][n]. How elements of A and B are found is the loaders' business, so that
// a transposed matrix and an image read as patches cost no copy.
#pragma once
#include "common.cuh"

// A block of THREADS computes BM x BN of C, BK steps of k at a time. A thread owns TM x TN sums, in pieces of four
// rows by four columns; a warp is 4 threads high and 8 wide, so its reads of shared memory are 16-byte and broadcast.
template <int BM_, int BN_, int BK_, int TM_, int TN_> struct Tile {
    static const int BM = BM_, BN = BN_, BK = BK_, TM = TM_, TN = TN_;
    static const int WM = 4 * TM, WN = 8 * TN;
    static const int WARPS_M = BM / WM, WARPS_N = BN / WN, THREADS = 32 * WARPS_M * WARPS_N;
    static const int PAD = 4;  // keeps rows 16-byte aligned and spreads transposed writes over the banks
    static const int A_SIZE = BK * (BM + PAD), B_SIZE = BK * (BN + PAD);
    static const int SHARED = 2 * (A_SIZE + B_SIZE);
};

typedef Compute<T> Acc;

// The tiles that the host knows by number (gradgpu/cuda/gemm.py).
template <class C> struct Tiles { typedef Tile<128, 128, 8, 8, 8> Large; };
template <> struct Tiles<double> { typedef Tile<128, 64, 8, 8, 4> Large; };
typedef Tiles<Acc>::Large LargeTile;
typedef Tile<64, 64, 16, 8, 4> MediumTile;
typedef Tile<32, 32, 16, 4, 4> SmallTile;

// Where a thread's sums lie in the block's tile.
template <class S> struct Place {
    int row, column;
    __device__ __forceinline__ Place() {
        const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
        row = warp / S::WARPS_N * S::WM + (lane >> 3) * 4;
        column = warp % S::WARPS_N * S::WN + (lane & 7) * 4;
    }
    __device__ __forceinline__ int row_of(int i) const { return row + (i >> 2) * 16 + (i & 3); }
    __device__ __forceinline__ int column_of(int j) const { return column + (j >> 2) * 32 + (j & 3); }
};

__device__ __forceinline__ void copy_four(Acc* to, const Acc* from) {
    const int N = 16 / sizeof(Acc) < 4 ? 16 / sizeof(Acc) : 4;
#pragma unroll
    for (int i = 0; i < 4; i += N) {
        const Vector<Acc, N> v = *reinterpret_cast<const Vector<Acc, N>*>(from + i);
#pragma unroll
        for (int j = 0; j < N; ++j) to[i + j] = v.at[j];
    }
}

// Loader of a strided matrix tile of BX rows (m of A, n of B) by BK steps of k; element (x, k) lies at
// base[x * stride_x + k * stride_k]. Consecutive threads follow the direction whose stride is 1.
template <int BX, int BK, int THREADS> struct StridedLoader {
    static const int N = sizeof(T) > 4 ? 2 : 4;
    static const int PARTS = BX * BK / (N * THREADS);
    const T* base;
    int64 stride_x, stride_k;
    int x_end, k_end;  // rows left from this tile's first; end of k
    bool along_k, vector;
    Acc held[PARTS * N];

    __device__ __forceinline__ void place(int part, int& x, int& k) const {
        const int t = threadIdx.x + part * THREADS;
        if (along_k) {
            x = t / (BK / N);
            k = t % (BK / N) * N;
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
    __device__ __forceinline__ void put(Acc* tile) const {
        const int ROW = BX + 4;
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            int x, k;
            place(part, x, k);
            const int step = along_k ? ROW : 1;
#pragma unroll
            for (int i = 0; i < N; ++i) tile[k * ROW + x + i * step] = held[part * N + i];
        }
    }
};

// sums += A B over k in [k_begin, k_end); `shared` has S::SHARED elements. While a tile is multiplied the next one
// is under way to registers; it then goes to the other buffer, so one barrier a step is enough.
template <class S, class LoadA, class LoadB>
__device__ __forceinline__ void multiply(LoadA& a, LoadB& b, int k_begin, int k_end, Acc* shared, Acc (&sums)[S::TM][S::TN]) {
    const int A_ROW = S::BM + S::PAD, B_ROW = S::BN + S::PAD;
    const Place<S> place;
    Acc* a_tile = shared;
    Acc* b_tile = shared + 2 * S::A_SIZE;
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
        const Acc* a_now = a_tile + buffer * S::A_SIZE + place.row;
        const Acc* b_now = b_tile + buffer * S::B_SIZE + place.column;
#pragma unroll
        for (int k = 0; k < S::BK; ++k) {
            Acc x[S::TM], y[S::TN];
#pragma unroll
            for (int i = 0; i < S::TM; i += 4) copy_four(x + i, a_now + k * A_ROW + i * 4);
#pragma unroll
            for (int j = 0; j < S::TN; j += 4) copy_four(y + j, b_now + k * B_ROW + j * 8);
#pragma unroll
            for (int i = 0; i < S::TM; ++i)
#pragma unroll
                for (int j = 0; j < S::TN; ++j) sums[i][j] += x[i] * y[j];
        }
        if (more) {
            buffer ^= 1;
            a.put(a_tile + buffer * S::A_SIZE);
            b.put(b_tile + buffer * S::B_SIZE);
            __syncthreads();
        }
    }
}
