// Reading and writing through integer indices.
//
// One index addresses one dimension, so an array is seen as [before, n, after]; several indices are
// first folded into one (ravel_index). Two layouts of index:
//   per row      index[count],                y[b, j, a] = x[b, index[j], a]         (index_select, embedding, x[i])
//   per element  index[before, count, after], y[b, j, a] = x[b, index[b, j, a], a]   (gather, scatter)
// An index outside [lowest, n) is never followed: it is reported through `flag`, four words of host
// memory that the host reads at its next synchronisation, and raised there as an IndexError.
// Kernels that only move elements are compiled per element size (uint8, int16, int32, int64).
#include "common.cuh"

struct IndexLayout {
    int64 total;   // before * count * after: the elements read or written
    int64 n;       // length of the addressed dimension
    int64 count;   // indices along it
    int64 after;   // elements behind it
    int64 lowest;  // -n where negative indices count from the end, 0 where they are errors
    int64* flag;   // {seen, index, n, code}
    int code;      // which op reports
    int per_element;
};

__device__ __forceinline__ void report_index(int64* flag, int64 index, int64 n, int code) {
    volatile int64* word = flag;
    word[1] = index;
    word[2] = n;
    word[3] = code;
    word[0] = 1;
}

// The index as an offset from 0, or -1 after reporting it.
__device__ __forceinline__ int64 checked_index(int64 index, const IndexLayout& at) {
    if (index < at.lowest || index >= at.n) {
        report_index(at.flag, index, at.n, at.code);
        return -1;
    }
    return index < 0 ? index + at.n : index;
}

// Offset in [before, n, after] that element e of [before, count, after] addresses, or -1.
template <class I> __device__ __forceinline__ int64 addressed(I e, const int64* index, const IndexLayout& at) {
    const I after = static_cast<I>(at.after), count = static_cast<I>(at.count);
    const I row = e / after, a = e - row * after;
    const I b = row / count, j = row - b * count;
    const int64 i = checked_index(index[at.per_element ? e : j], at);
    return i < 0 ? -1 : (static_cast<int64>(b) * at.n + i) * at.after + a;
}
__device__ __forceinline__ int64 addressed_offset(int64 e, const int64* index, const IndexLayout& at) {
    return at.total < (1LL << 31) ? addressed<uint32>(static_cast<uint32>(e), index, at) : addressed<int64>(e, index, at);
}

#define FOR_EACH(i, total)                                                                       \
    for (int64 i = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x; i < (total); \
         i += static_cast<int64>(gridDim.x) * blockDim.x)

// ---- y[e] = x[addressed(e)]: reads index and x, writes y once; the host widens rows to 8-byte elements ----
struct TakeParams {
    const T* x;
    const int64* index;
    T* y;
    IndexLayout at;
};
KERNEL(take)(TakeParams p) {
    FOR_EACH(e, p.at.total) {
        const int64 from = addressed_offset(e, p.index, p.at);
        if (from >= 0) p.y[e] = p.x[from];
    }
}

// ---- which of several positions that address one place is the last: an integer maximum, the same in any order ----
// Each place has a word of 32 bits for the largest position: its own first bytes, all of which are going to be written, or an entry
// of a table (see indexing.py). Words are cleared, then take positions, then tell them: three times the index and a word for each
// position, whatever the size of the array.
struct MarkParams {
    const int64* index;
    unsigned char* words;
    unsigned char* last;  // 1 where a position is the last that addresses its place
    int64 step;           // bytes from the word of a place to that of the next
    IndexLayout at;
};
__device__ __forceinline__ int64 positions(const IndexLayout& at) { return at.per_element ? at.total : at.count; }
// The place that position j addresses (row number, or element offset), -1 if out of range.
__device__ __forceinline__ int64 place_of(int64 j, const int64* index, const IndexLayout& at) {
    return at.per_element ? addressed_offset(j, index, at) : checked_index(index[j], at);
}
__device__ __forceinline__ uint32* word_of(int64 j, const MarkParams& p) {
    const int64 place = place_of(j, p.index, p.at);
    return place < 0 ? nullptr : reinterpret_cast<uint32*>(p.words + place * p.step);
}
KERNEL(mark_clear)(MarkParams p) {
    FOR_EACH(j, positions(p.at)) {
        volatile uint32* word = word_of(j, p);  // volatile: several threads write the same
        if (word) *word = 0;
    }
}
KERNEL(mark_last)(MarkParams p) {
    FOR_EACH(j, positions(p.at)) {
        uint32* word = word_of(j, p);
        if (word) atomicMax(word, static_cast<uint32>(j + 1));
    }
}
KERNEL(find_last)(MarkParams p) {
    FOR_EACH(j, positions(p.at)) {
        const uint32* word = word_of(j, p);
        p.last[j] = word && *word == static_cast<uint32>(j + 1);
    }
}

// ---- y[addressed(e)] = src[e]; of several writers of one place the last position writes ----
struct PlaceParams {
    T* y;
    const int64* index;
    const T* src;               // one element where scalar
    const unsigned char* last;  // of find_last; null: no place is addressed twice, or all write the same to it
    int64 scalar;
    IndexLayout at;
};
KERNEL(place)(PlaceParams p) {
    FOR_EACH(e, p.at.total) {
        if (p.last && !p.last[p.at.per_element ? e : (e / p.at.after) % p.at.count]) continue;
        const int64 to = addressed_offset(e, p.index, p.at);
        if (to >= 0) *static_cast<volatile T*>(p.y + to) = p.src[p.scalar ? 0 : e];  // volatile: as above
    }
}

// ---- keys[j] = the place that index j addresses ----
struct KeysParams {
    const int64* index;
    int64* keys;
    IndexLayout at;
};
KERNEL(index_keys)(KeysParams p) {
    FOR_EACH(j, positions(p.at)) p.keys[j] = place_of(j, p.index, p.at);
}

// ---- several indices as one: out = ((i0 * n1) + i1) * n2 + i2 …, each wrapped and checked ----
struct RavelParams {
    const int64* index[8];
    int64 size[8];
    int64* out;
    int64 total;
    int64* flag;
    int dims;
    int code;
};
KERNEL(ravel_index)(RavelParams p) {
    FOR_EACH(e, p.total) {
        int64 flat = 0;
        for (int d = 0; d < p.dims; ++d) {
            int64 i = p.index[d][e];
            const int64 n = p.size[d];
            if (i < -n || i >= n) {
                report_index(p.flag, i, n, p.code);
                i = 0;
            }
            flat = flat * n + (i < 0 ? i + n : i);
        }
        p.out[e] = flat;
    }
}

// ---- lower (keep_lower) or upper triangle of [batch, rows, cols]; the rest is zero ----
struct TriangleParams {
    const T* x;
    T* y;
    int64 total, rows, cols, diagonal, keep_lower;
};
KERNEL(triangle)(TriangleParams p) {
    FOR_EACH(e, p.total) {
        const int64 row = e / p.cols, distance = (e - row * p.cols) - row % p.rows;
        const bool keep = p.keep_lower ? distance <= p.diagonal : distance >= p.diagonal;
        p.y[e] = keep ? p.x[e] : T(0);
    }
}

// ---- y[batch, rows, cols] = 0 with x[batch, length] on a diagonal that begins at (row0, col0) ----
struct DiagonalParams {
    const T* x;
    T* y;
    int64 total, rows, cols, row0, col0, length;
};
KERNEL(diagonal_embed)(DiagonalParams p) {
    FOR_EACH(e, p.total) {
        const int64 row = e / p.cols, col = e - row * p.cols, batch = row / p.rows;
        const int64 k = row - batch * p.rows - p.row0;
        const bool on = k >= 0 && k < p.length && col - p.col0 == k;
        p.y[e] = on ? p.x[batch * p.length + k] : T(0);
    }
}

// ---- y[j, c] = (index[j] == c) ----
struct OneHotParams {
    const int64* index;
    int64* y;
    int64 total, classes;
    int64* flag;
    int code, padding;
};
KERNEL(one_hot)(OneHotParams p) {
    FOR_EACH(e, p.total) {
        const int64 j = e / p.classes, c = e - j * p.classes, i = p.index[j];
        if (c == 0 && (i < 0 || i >= p.classes)) report_index(p.flag, i, p.classes, p.code);
        p.y[e] = i == c;
    }
}
