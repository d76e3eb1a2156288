// Fourier transforms along one dimension: Stockham's radix-4 transform of power-of-two lengths in shared memory.
//
// A block transforms a few rows: it reads them once, passes over them log4(n) times between two buffers in shared
// memory (the order sorts itself: no bit reversal), and writes them once. Radix-4 passes as in Govindaraju, Lloyd,
// Dotsenko, Smith and Manferdelli, "High performance discrete Fourier transforms on graphics processors" (SC 2008).
//
// What else is wanted happens while elements are read and written, so that it costs no traffic of its own: zeros behind
// the end, real elements, weights of a half spectrum, and factors for each position. Two launches then make the
// transforms that one block cannot (gradgpu/cuda/fft.py): the four-step method for long ones, Bluestein's for other lengths.
//
// Row r is (a, b, c), c fastest. Its element j is at position j * in_step + b * in_jump of the dimension, at address
// a * in_outer + position * columns + c; likewise on output.

#include "common.cuh"
#include "complex.cuh"

typedef Complex<T> Z;

#define LOG_ROOTS 11

struct FftParams {
    const void* in;
    void* out;
    const Z* roots;        // exp(-2 pi i k / 2^LOG_ROOTS)
    const Z* in_factors;   // by position, or null
    const Z* out_factors;
    int64 rows, middle, columns;
    int64 in_outer, in_step, in_jump, in_count;  // positions from in_count on are zero
    int64 out_outer, out_step, out_jump, out_count;
    int64 length;          // of the whole transform: the positions 0 and length / 2 of a half spectrum have weight 1
    int64 twiddle;         // element k of row (a, b, c) is multiplied by exp(-2 pi i k b / twiddle), unless 0
    double scale, in_weight, out_weight;
    int log_n, log_rows, inverse, in_real, out_real, in_by_rows, out_by_rows;
};

struct Row {
    int64 in, out, b;
};

__device__ __forceinline__ Z root(const FftParams& p, int k) {
    const Z w = p.roots[k];
    return p.inverse ? conjugate(w) : w;
}

__device__ __forceinline__ bool inside(const FftParams& p, int64 position) {
    return position != 0 && 2 * position != p.length;
}

__device__ __forceinline__ Z fetch(const FftParams& p, const Row& row, int j) {
    const int64 position = j * p.in_step + row.b * p.in_jump;
    if (position >= p.in_count) return Z(T(0));
    const int64 at = row.in + position * p.columns;
    Z z = p.in_real ? Z(static_cast<const T*>(p.in)[at]) : static_cast<const Z*>(p.in)[at];
    if (p.in_factors) z = z * p.in_factors[position];
    return inside(p, position) ? scaled(z, static_cast<T>(p.in_weight)) : z;
}

__device__ __forceinline__ void deliver(const FftParams& p, const Row& row, int k, Z z) {
    const int64 position = k * p.out_step + row.b * p.out_jump;
    if (position >= p.out_count) return;
    if (p.twiddle) {
        const T angle = T(2) * (static_cast<T>(k * row.b) / static_cast<T>(p.twiddle));
        z = z * Z(cospi(angle), p.inverse ? sinpi(angle) : -sinpi(angle));
    }
    if (p.out_factors) z = z * p.out_factors[position];
    z = scaled(z, static_cast<T>(inside(p, position) ? p.scale * p.out_weight : p.scale));
    const int64 at = row.out + position * p.columns;
    if (p.out_real) {
        static_cast<T*>(p.out)[at] = z.re;
    } else {
        static_cast<Z*>(p.out)[at] = z;
    }
}

KERNEL(fft)(FftParams p) {
    SHARED_MEMORY(Z, shared);
    const int n = 1 << p.log_n, rows = 1 << p.log_rows;
    const int pitch = n + (rows > 1);  // rows begin in different banks
    Z* from = shared;
    Z* to = shared + rows * pitch;
    Row* const table = reinterpret_cast<Row*>(shared + 2 * rows * pitch);
    for (int64 first = static_cast<int64>(blockIdx.x) << p.log_rows; first < p.rows;
         first += static_cast<int64>(gridDim.x) << p.log_rows) {
        const int here = p.rows - first < rows ? static_cast<int>(p.rows - first) : rows;
        __syncthreads();
        for (int r = threadIdx.x; r < here; r += blockDim.x) {
            const int64 ab = (first + r) / p.columns, c = first + r - ab * p.columns;
            const int64 a = ab / p.middle;
            table[r].in = a * p.in_outer + c;
            table[r].out = a * p.out_outer + c;
            table[r].b = ab - a * p.middle;
        }
        __syncthreads();
        for (int t = threadIdx.x; t < rows * n; t += blockDim.x) {
            const int r = p.in_by_rows ? t & (rows - 1) : t >> p.log_n;
            const int j = p.in_by_rows ? t >> p.log_rows : t & (n - 1);
            if (r < here) from[r * pitch + j] = fetch(p, table[r], j);
        }
        __syncthreads();
        int log_s = 0;
        if (p.log_n & 1) {
            const int half = n >> 1;
            for (int t = threadIdx.x; t < here * half; t += blockDim.x) {
                const int r = t >> (p.log_n - 1), j = t & (half - 1);
                const Z u = from[r * pitch + j], v = from[r * pitch + j + half];
                to[r * pitch + 2 * j] = u + v;
                to[r * pitch + 2 * j + 1] = u - v;
            }
            __syncthreads();
            Z* const swap = from;
            from = to;
            to = swap;
            log_s = 1;
        }
        for (; log_s < p.log_n; log_s += 2) {
            const int quarter = n >> 2, s = 1 << log_s;
            for (int t = threadIdx.x; t < here * quarter; t += blockDim.x) {
                const int r = t >> (p.log_n - 2), j = t & (quarter - 1), k = j & (s - 1);
                const int step = k << (LOG_ROOTS - 2 - log_s);
                const Z* const x = from + r * pitch + j;
                const Z v0 = x[0], v1 = x[quarter] * root(p, step);
                const Z v2 = x[2 * quarter] * root(p, 2 * step), v3 = x[3 * quarter] * root(p, 3 * step);
                const Z even = v0 + v2, odd = v0 - v2, sum = v1 + v3, difference = v1 - v3;
                const Z turned = p.inverse ? Z(-difference.im, difference.re) : Z(difference.im, -difference.re);
                Z* const y = to + r * pitch + ((j >> log_s) << (log_s + 2)) + k;
                y[0] = even + sum;
                y[s] = odd + turned;
                y[2 * s] = even - sum;
                y[3 * s] = odd - turned;
            }
            __syncthreads();
            Z* const swap = from;
            from = to;
            to = swap;
        }
        for (int t = threadIdx.x; t < rows * n; t += blockDim.x) {
            const int r = p.out_by_rows ? t & (rows - 1) : t >> p.log_n;
            const int k = p.out_by_rows ? t >> p.log_rows : t & (n - 1);
            if (r < here) deliver(p, table[r], k, from[r * pitch + k]);
        }
    }
}
