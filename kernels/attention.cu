// Attention: softmax(scale Q K^T + mask) V and its gradients, without the matrix of weights in memory.
//
// A block of 128 threads owns BM rows (queries; of the gradients of K and V: keys) and goes over the others BN at a time;
// 16 rows of 8 threads. Tiles of 32 features of both sides meet in shared memory. The softmax is the online one of Milakov
// & Gimelshein (2018), as in FlashAttention (Dao et al., 2022): forward keeps the logarithm of each row's sum, backward
// computes the weights again from it. Reads Q, K, V and writes O: 4 (Q + K + V + O) bytes of float32, but K and V once
// for every BM queries, and Q once more for every BN keys (from the cache). No atomics: the sums have a fixed order.
#include "philox.cuh"

typedef Compute<T> C;

struct AttentionParams {
    const T* q;         // (batch, heads, L, E), features next to each other
    const T* k;         // (batch, heads / group, S, E)
    const T* v;         // (batch, heads / group, S, EV)
    const T* add;       // mask: numbers to add, or null
    const bool* allow;  // mask: which keys a query may look at, or null
    T* out;             // (batch, L, heads, EV)
    C* lse;             // (batch, heads, L): log of the sum of exp(scores)
    const T* g;         // gradient of out: (batch, heads, L, EV)
    C* delta;           // (batch, heads, L): sum of out g
    T* dq;              // (batch, L, heads, E)
    T* dk;              // (batch, S, heads / group, E)
    T* dv;              // (batch, S, heads / group, EV)
    int64 q_at[3], k_at[3], v_at[3], g_at[3], mask_at[4];  // strides: batch, head, row; mask: and key
    uint64 seed, block, threshold;  // dropout: words below the threshold (2^32: no dropout) keep their weight
    double scale, kept;             // of the scores; of the weights that are kept
    int batch, heads, group, L, S, E, EV, causal;
};

static const int WIDTH = 36;  // of a row of 32 features in shared memory: eight rows begin in different banks
// Rows and columns of a thread, by the size of a number.
template <class N> struct Sizes { enum { rows = 4, columns = 8, rows_of_keys = 2 }; };
template <> struct Sizes<double> { enum { rows = 2, columns = 4, rows_of_keys = 1 }; };

__device__ __forceinline__ int ty() { return threadIdx.x >> 3; }
__device__ __forceinline__ int tx() { return threadIdx.x & 7; }

__device__ __forceinline__ void four(C (&to)[4], const C* from) {
    const int N = 16 / sizeof(C) < 4 ? 16 / sizeof(C) : 4;
#pragma unroll
    for (int i = 0; i < 4; i += N) {
        const Vector<C, N> part = *reinterpret_cast<const Vector<C, N>*>(from + i);
#pragma unroll
        for (int j = 0; j < N; ++j) to[i + j] = part.at[j];
    }
}

// 32 features of `ROWS` rows, zeros beyond the last.
template <int ROWS> __device__ __forceinline__ void fetch(C* tile, const T* from, int64 stride, int rows, int features) {
    const int column = threadIdx.x & 31;
#pragma unroll 4
    for (int r = threadIdx.x >> 5; r < ROWS; r += 4)
        tile[r * WIDTH + column] = r < rows && column < features ? load(from[r * stride + column]) : C(0);
}

// sums[row][column] += a[row] . b[column] over 32 features of which `depth` are not zero.
template <int TM, int TN> __device__ __forceinline__ void rows_by_rows(const C* a, const C* b, int depth, C (&sums)[TM][TN]) {
    a += ty() * WIDTH;
    b += tx() * WIDTH;
#pragma unroll 1
    for (int d = 0; d < depth; d += 4) {
        C x[TM][4];
#pragma unroll
        for (int i = 0; i < TM; ++i) four(x[i], a + i * 16 * WIDTH + d);
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            C y[4];
            four(y, b + j * 8 * WIDTH + d);
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int u = 0; u < 4; ++u) sums[i][j] += x[i][u] * y[u];
        }
    }
}

// sums[row][first … first + 3] += p[row] times the columns 4 tx() … of b, BN rows of 32 features.
template <int TM, int BN, int N> __device__ __forceinline__ void rows_by_columns(const C* p, const C* b, int first, C (&sums)[TM][N]) {
    p += ty() * (BN + 4);
    b += tx() * 4;
#pragma unroll 1
    for (int n = 0; n < BN; n += 4) {
        C x[TM][4];
#pragma unroll
        for (int i = 0; i < TM; ++i) four(x[i], p + i * 16 * (BN + 4) + n);
#pragma unroll
        for (int u = 0; u < 4; ++u) {
            C y[4];
            four(y, b + (n + u) * WIDTH);
#pragma unroll
            for (int i = 0; i < TM; ++i)
#pragma unroll
                for (int c = 0; c < 4; ++c) sums[i][first + c] += x[i][u] * y[c];
        }
    }
}

// All products a[row] . b[column] of two arrays of `features` features.
template <int TM, int TN>
__device__ __forceinline__ void products(C* a_tile, C* b_tile, const T* a, int64 a_stride, int a_rows, const T* b, int64 b_stride,
                                         int b_rows, int features, C (&sums)[TM][TN]) {
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) sums[i][j] = 0;
#pragma unroll 1
    for (int d = 0; d < features; d += 32) {
        __syncthreads();
        fetch<16 * TM>(a_tile, a + d, a_stride, a_rows, features - d);
        fetch<8 * TN>(b_tile, b + d, b_stride, b_rows, features - d);
        __syncthreads();
        rows_by_rows<TM, TN>(a_tile, b_tile, min(32, features - d), sums);
    }
}

// sums += p b for all features of b.
template <int TM, int BN, int CHUNKS>
__device__ __forceinline__ void combine(const C* p, C* b_tile, const T* b, int64 stride, int rows, int features, C (&sums)[TM][CHUNKS * 4]) {
#pragma unroll
    for (int chunk = 0; chunk < CHUNKS; ++chunk) {
        if (chunk * 32 < features) {
            __syncthreads();
            fetch<BN>(b_tile, b + chunk * 32, stride, rows, features - chunk * 32);
            __syncthreads();
            rows_by_columns<TM, BN, CHUNKS * 4>(p, b_tile, chunk * 4, sums);
        }
    }
}

// Writes sums to rows of memory.
template <int TM, int CHUNKS> __device__ __forceinline__ void put(T* to, int64 stride, int rows, int features, const C (&sums)[TM][CHUNKS * 4], const C (&factor)[TM]) {
#pragma unroll
    for (int i = 0; i < TM; ++i) {
        const int row = ty() + 16 * i;
        if (row >= rows) continue;
#pragma unroll
        for (int chunk = 0; chunk < CHUNKS; ++chunk)
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const int at = chunk * 32 + tx() * 4 + c;
                if (at < features) to[row * stride + at] = store<T>(sums[i][chunk * 4 + c] * factor[i]);
            }
    }
}

// A score with its scale; -inf where there is none, or the query may not look because the key comes later.
__device__ __forceinline__ C scaled(const AttentionParams& p, int query, int key, C score) {
    return query >= p.L || key >= p.S || (p.causal && key > query) ? -infinity<C>() : score * static_cast<C>(p.scale);
}

// What a mask makes of a score, and dropout of a weight. Few calls have either: they change a thread's part of a tile in
// shared memory in a loop that is not unrolled, so that the others' code stays short.
struct Masking {
    int64 mask_at;
    __device__ __forceinline__ C operator()(const AttentionParams& p, int query, int key, C score) const {
        if (query >= p.L || key >= p.S) return score;
        const int64 at = mask_at + query * p.mask_at[2] + key * p.mask_at[3];
        if (p.allow && !p.allow[at]) return -infinity<C>();
        return p.add ? score + load(p.add[at]) : score;
    }
};
struct Dropping {
    int64 line;
    __device__ __forceinline__ C operator()(const AttentionParams& p, int query, int key, C weight) const {
        const uint64 e = static_cast<uint64>(line + query) * p.S + key;
        const PhiloxWords words = philox(p.seed, p.block + (e >> 2));
        const uint32 low = e & 1 ? words.word[1] : words.word[0], high = e & 1 ? words.word[3] : words.word[2];
        return (e & 2 ? high : low) < p.threshold ? weight * static_cast<C>(p.kept) : C(0);
    }
};
template <int TM, int TN, bool KEYS_ARE_ROWS, class F>
__device__ __forceinline__ void change(const AttentionParams& p, C* tile, int query, int key, const F& f, C (&values)[TM][TN]) {
    C* mine = tile + ty() * (8 * TN + 4) + tx();
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) mine[i * 16 * (8 * TN + 4) + 8 * j] = values[i][j];
#pragma unroll 1
    for (int e = 0; e < TM * TN; ++e) {
        const int row = e / TN * 16, column = e % TN * 8;
        C& value = mine[row * (8 * TN + 4) + column];
        value = KEYS_ARE_ROWS ? f(p, query + column + tx(), key + row + ty(), value) : f(p, query + row + ty(), key + column + tx(), value);
    }
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) values[i][j] = mine[i * 16 * (8 * TN + 4) + 8 * j];
}
template <int TM, int TN> __device__ __forceinline__ void keep(C* tile, const C (&values)[TM][TN]) {
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) tile[(ty() + 16 * i) * (8 * TN + 4) + tx() + 8 * j] = values[i][j];
}
__device__ __forceinline__ bool masks(const AttentionParams& p) { return p.add || p.allow; }
__device__ __forceinline__ bool drops(const AttentionParams& p) { return p.threshold <= 0xffffffffull; }

// Which part of the work is this block's.
struct Place {
    int first, batch, head;  // the first row; head of the rows
    __device__ __forceinline__ Place(int rows, int tile, int heads) {
        const int tiles = (rows + tile - 1) / tile;
        first = static_cast<int>(blockIdx.x % tiles) * tile;
        head = static_cast<int>(blockIdx.x / tiles) % heads;
        batch = static_cast<int>(blockIdx.x / tiles) / heads;
    }
};
__device__ __forceinline__ const T* place(const T* base, const int64 (&at)[3], int batch, int head, int row) {
    return base + batch * at[0] + head * at[1] + row * at[2];
}

template <int CHUNKS> __device__ __forceinline__ void forward(const AttentionParams& p) {
    const int TM = Sizes<C>::rows, TN = Sizes<C>::columns, BM = 16 * TM, BN = 8 * TN;
    __shared__ __align__(16) C a[BM * WIDTH];
    __shared__ __align__(16) C b[BN * WIDTH];
    __shared__ __align__(16) C weights[BM * (BN + 4)];
    const Place here(p.L, BM, p.heads);
    const int m0 = here.first, rows = min(BM, p.L - m0), kv = here.head / p.group;
    const int64 line = (static_cast<int64>(here.batch) * p.heads + here.head) * p.L;
    const Masking masking = {here.batch * p.mask_at[0] + here.head * p.mask_at[1]};
    const Dropping dropping = {line};
    const T* q = place(p.q, p.q_at, here.batch, here.head, m0);
    C top[TM], sum[TM], out[TM][CHUNKS * 4];
#pragma unroll
    for (int i = 0; i < TM; ++i) {
        top[i] = -infinity<C>();
        sum[i] = 0;
#pragma unroll
        for (int c = 0; c < CHUNKS * 4; ++c) out[i][c] = 0;
    }
    const int end = p.causal ? min(p.S, m0 + BM) : p.S;
#pragma unroll 1
    for (int n0 = 0; n0 < end; n0 += BN) {
        C s[TM][TN];
        const int columns = min(BN, p.S - n0);
        products<TM, TN>(a, b, q, p.q_at[2], rows, place(p.k, p.k_at, here.batch, kv, n0), p.k_at[2], columns, p.E, s);
#pragma unroll
        for (int i = 0; i < TM; ++i)
#pragma unroll
            for (int j = 0; j < TN; ++j) s[i][j] = scaled(p, m0 + ty() + 16 * i, n0 + tx() + 8 * j, s[i][j]);
        if (masks(p)) change<TM, TN, false>(p, weights, m0, n0, masking, s);
#pragma unroll
        for (int i = 0; i < TM; ++i) {
            C highest = top[i];
#pragma unroll
            for (int j = 0; j < TN; ++j) highest = Max::apply(s[i][j], highest);
#pragma unroll
            for (int offset = 4; offset > 0; offset >>= 1)
                highest = Max::apply(__shfl_xor_sync(0xffffffffu, highest, offset), highest);
            const bool nothing = highest == -infinity<C>();
            const C fade = nothing ? C(1) : exp(top[i] - highest);
            sum[i] *= fade;
            top[i] = highest;
#pragma unroll
            for (int c = 0; c < CHUNKS * 4; ++c) out[i][c] *= fade;
#pragma unroll
            for (int j = 0; j < TN; ++j) {
                s[i][j] = nothing ? C(0) : exp(s[i][j] - highest);
                sum[i] += s[i][j];
            }
        }
        if (drops(p)) change<TM, TN, false>(p, weights, m0, n0, dropping, s);
        keep<TM, TN>(weights, s);
        __syncwarp();  // a row of weights belongs to eight lanes of one warp
        combine<TM, BN, CHUNKS>(weights, b, place(p.v, p.v_at, here.batch, kv, n0), p.v_at[2], columns, p.EV, out);
    }
    C factor[TM];
#pragma unroll
    for (int i = 0; i < TM; ++i) {
#pragma unroll
        for (int offset = 4; offset > 0; offset >>= 1) sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], offset);
        factor[i] = sum[i] == 0 ? C(0) : 1 / sum[i];  // a query that may look nowhere gets zeros
        const int row = ty() + 16 * i;
        if (tx() == 0 && row < rows) p.lse[line + m0 + row] = sum[i] == 0 ? -infinity<C>() : top[i] + log(sum[i]);
    }
    const int64 stride = static_cast<int64>(p.heads) * p.EV;
    put<TM, CHUNKS>(p.out + (static_cast<int64>(here.batch) * p.L + m0) * stride + here.head * p.EV, stride, rows, p.EV, out, factor);
}

// sum of out g of each query: a warp a row.
KERNEL(attention_delta)(AttentionParams p) {
    const int64 line = blockIdx.x * static_cast<int64>(blockDim.x / 32) + threadIdx.x / 32;
    const bool valid = line < static_cast<int64>(p.batch) * p.heads * p.L;
    const int query = static_cast<int>(line % p.L), head = static_cast<int>(line / p.L % p.heads), batch = static_cast<int>(line / p.L / p.heads);
    C sum = 0;
    if (valid) {
        const T* g = place(p.g, p.g_at, batch, head, query);
        const T* out = p.out + ((static_cast<int64>(batch) * p.L + query) * p.heads + head) * p.EV;
        for (int c = threadIdx.x & 31; c < p.EV; c += 32) sum += load(out[c]) * load(g[c]);
    }
    __syncwarp();
    sum = warp_reduce<Sum>(sum);
    if (valid && (threadIdx.x & 31) == 0) p.delta[line] = sum;
}

// From scores and the products g . v: the weights, and the gradients of the scores. `tile` is free for the while.
template <int TM, int TN, bool KEYS_ARE_ROWS>
__device__ __forceinline__ void weigh(const AttentionParams& p, C* tile, const Masking& masking, const Dropping& dropping, int query, int key,
                                      C (&s)[TM][TN], C (&dp)[TM][TN]) {
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            const int row = ty() + 16 * i, column = tx() + 8 * j;
            s[i][j] = scaled(p, query + (KEYS_ARE_ROWS ? column : row), key + (KEYS_ARE_ROWS ? row : column), s[i][j]);
        }
    if (masks(p)) change<TM, TN, KEYS_ARE_ROWS>(p, tile, query, key, masking, s);
    if (drops(p)) change<TM, TN, KEYS_ARE_ROWS>(p, tile, query, key, dropping, dp);
#pragma unroll
    for (int i = 0; i < TM; ++i)
#pragma unroll
        for (int j = 0; j < TN; ++j) {
            const bool none = s[i][j] == -infinity<C>();
            const int64 at = dropping.line + (none ? 0 : query + (KEYS_ARE_ROWS ? tx() + 8 * j : ty() + 16 * i));
            s[i][j] = none ? C(0) : exp(s[i][j] - p.lse[at]);
            dp[i][j] = none ? C(0) : s[i][j] * (dp[i][j] - p.delta[at]) * static_cast<C>(p.scale);
        }
}

template <int CHUNKS> __device__ __forceinline__ void backward_queries(const AttentionParams& p) {
    const int TM = Sizes<C>::rows, TN = Sizes<C>::columns, BM = 16 * TM, BN = 8 * TN;
    __shared__ __align__(16) C a[BM * WIDTH];
    __shared__ __align__(16) C b[BN * WIDTH];
    __shared__ __align__(16) C weights[BM * (BN + 4)];
    const Place here(p.L, BM, p.heads);
    const int m0 = here.first, rows = min(BM, p.L - m0), kv = here.head / p.group;
    const int64 line = (static_cast<int64>(here.batch) * p.heads + here.head) * p.L;
    const Masking masking = {here.batch * p.mask_at[0] + here.head * p.mask_at[1]};
    const Dropping dropping = {line};
    const T* q = place(p.q, p.q_at, here.batch, here.head, m0);
    const T* g = place(p.g, p.g_at, here.batch, here.head, m0);
    C dq[TM][CHUNKS * 4] = {}, one[TM];
#pragma unroll
    for (int i = 0; i < TM; ++i) one[i] = 1;
    const int end = p.causal ? min(p.S, m0 + BM) : p.S;
#pragma unroll 1
    for (int n0 = 0; n0 < end; n0 += BN) {
        C s[TM][TN], dp[TM][TN];
        const int columns = min(BN, p.S - n0);
        const T* k = place(p.k, p.k_at, here.batch, kv, n0);
        products<TM, TN>(a, b, q, p.q_at[2], rows, k, p.k_at[2], columns, p.E, s);
        products<TM, TN>(a, b, g, p.g_at[2], rows, place(p.v, p.v_at, here.batch, kv, n0), p.v_at[2], columns, p.EV, dp);
        weigh<TM, TN, false>(p, weights, masking, dropping, m0, n0, s, dp);
        keep<TM, TN>(weights, dp);
        __syncwarp();
        combine<TM, BN, CHUNKS>(weights, b, k, p.k_at[2], columns, p.E, dq);
    }
    const int64 stride = static_cast<int64>(p.heads) * p.E;
    put<TM, CHUNKS>(p.dq + (static_cast<int64>(here.batch) * p.L + m0) * stride + here.head * p.E, stride, rows, p.E, dq, one);
}

// Rows are keys here, columns the queries of all heads that look at them.
template <int CHUNKS> __device__ __forceinline__ void backward_keys(const AttentionParams& p) {
    const int TM = Sizes<C>::rows_of_keys, TN = Sizes<C>::columns, BM = 16 * TM, BN = 8 * TN;
    __shared__ __align__(16) C a[BM * WIDTH];
    __shared__ __align__(16) C b[BN * WIDTH];
    __shared__ __align__(16) C weights[BM * (BN + 4)];
    const int kv_heads = p.heads / p.group;
    const Place here(p.S, BM, kv_heads);
    const int n0 = here.first, rows = min(BM, p.S - n0);
    const T* k = place(p.k, p.k_at, here.batch, here.head, n0);
    const T* v = place(p.v, p.v_at, here.batch, here.head, n0);
    C dk[TM][CHUNKS * 4] = {}, dv[TM][CHUNKS * 4] = {}, one[TM];
#pragma unroll
    for (int i = 0; i < TM; ++i) one[i] = 1;
    const int begin = p.causal ? n0 / BN * BN : 0;
#pragma unroll 1
    for (int head = here.head * p.group; head < (here.head + 1) * p.group; ++head) {
        const int64 line = (static_cast<int64>(here.batch) * p.heads + head) * p.L;
        const Masking masking = {here.batch * p.mask_at[0] + head * p.mask_at[1]};
        const Dropping dropping = {line};
#pragma unroll 1
        for (int m0 = begin; m0 < p.L; m0 += BN) {
            C s[TM][TN], dp[TM][TN];
            const int columns = min(BN, p.L - m0);
            const T* q = place(p.q, p.q_at, here.batch, head, m0);
            const T* g = place(p.g, p.g_at, here.batch, head, m0);
            products<TM, TN>(a, b, k, p.k_at[2], rows, q, p.q_at[2], columns, p.E, s);
            products<TM, TN>(a, b, v, p.v_at[2], rows, g, p.g_at[2], columns, p.EV, dp);
            weigh<TM, TN, true>(p, weights, masking, dropping, m0, n0, s, dp);
            if (drops(p)) change<TM, TN, true>(p, weights, m0, n0, dropping, s);
            keep<TM, TN>(weights, s);
            __syncwarp();
            combine<TM, BN, CHUNKS>(weights, b, g, p.g_at[2], columns, p.EV, dv);
            __syncwarp();
            keep<TM, TN>(weights, dp);
            __syncwarp();
            combine<TM, BN, CHUNKS>(weights, b, q, p.q_at[2], columns, p.E, dk);
        }
    }
    const int64 row = static_cast<int64>(here.batch) * p.S + n0;
    put<TM, CHUNKS>(p.dk + (row * kv_heads + here.head) * p.E, static_cast<int64>(kv_heads) * p.E, rows, p.E, dk, one);
    put<TM, CHUNKS>(p.dv + (row * kv_heads + here.head) * p.EV, static_cast<int64>(kv_heads) * p.EV, rows, p.EV, dv, one);
}

// By the most features that a row has.
KERNEL(attention_32)(AttentionParams p) { forward<1>(p); }
KERNEL(attention_64)(AttentionParams p) { forward<2>(p); }
KERNEL(attention_128)(AttentionParams p) { forward<4>(p); }
KERNEL(attention_queries_32)(AttentionParams p) { backward_queries<1>(p); }
KERNEL(attention_queries_64)(AttentionParams p) { backward_queries<2>(p); }
KERNEL(attention_queries_128)(AttentionParams p) { backward_queries<4>(p); }
KERNEL(attention_keys_32)(AttentionParams p) { backward_keys<1>(p); }
KERNEL(attention_keys_64)(AttentionParams p) { backward_keys<2>(p); }
KERNEL(attention_keys_128)(AttentionParams p) { backward_keys<4>(p); }
