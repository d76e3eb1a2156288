// Reductions of every element type: sum, product, extrema with and without their positions, any, all, count.
#include "reduce.cuh"

__device__ __forceinline__ Value lowest() {
    if (FLOATING) return static_cast<Value>(-infinity<float>());
    return sizeof(Value) == 8 ? static_cast<Value>(-0x7fffffffffffffffLL - 1) : static_cast<Value>(-0x7fffffff - 1);
}
__device__ __forceinline__ Value highest() {
    if (FLOATING) return static_cast<Value>(infinity<float>());
    return sizeof(Value) == 8 ? static_cast<Value>(0x7fffffffffffffffLL) : static_cast<Value>(0x7fffffff);
}

struct SumOf {
    typedef Total Acc;
    static __device__ __forceinline__ Acc identity() { return 0; }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) { a += v; }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) { return a + b; }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) {
        static_cast<TotalStored*>(p.y)[o] = store<TotalStored>(a);
    }
};

struct ProductOf {
    typedef Total Acc;
    static __device__ __forceinline__ Acc identity() { return 1; }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) { a *= v; }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) { return a * b; }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) {
        static_cast<TotalStored*>(p.y)[o] = store<TotalStored>(a);
    }
};

struct CountOf {
    typedef int64 Acc;
    static __device__ __forceinline__ Acc identity() { return 0; }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) { a += v != 0; }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) { return a + b; }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) { static_cast<int64*>(p.y)[o] = a; }
};

struct AnyOf {
    typedef int Acc;
    static __device__ __forceinline__ Acc identity() { return 0; }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) { a |= v != 0; }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) { return a | b; }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) { static_cast<bool*>(p.y)[o] = a; }
};

struct AllOf {
    typedef int Acc;
    static __device__ __forceinline__ Acc identity() { return 1; }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) { a &= v != 0; }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) { return a & b; }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) { static_cast<bool*>(p.y)[o] = a; }
};

struct MaxOf {
    typedef Value Acc;
    static __device__ __forceinline__ Acc identity() { return lowest(); }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) { a = Max::apply(v, a); }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) { return Max::apply(a, b); }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) { static_cast<T*>(p.y)[o] = store<T>(a); }
};

struct MinOf {
    typedef Value Acc;
    static __device__ __forceinline__ Acc identity() { return highest(); }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64) { a = Min::apply(v, a); }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) { return Min::apply(a, b); }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) { static_cast<T*>(p.y)[o] = store<T>(a); }
};

// The extremum and where it stands: the first of equals, the first NaN if there is one. y: values (or null), z: positions.
template <bool GREATEST> struct Extremum {
    struct Acc { int64 index; Value value; };
    static __device__ __forceinline__ Acc identity() {
        Acc a;
        a.index = -1;
        a.value = 0;
        return a;
    }
    static __device__ __forceinline__ bool before(Value a, int64 i, Value b, int64 j) {
        const bool nan_a = a != a, nan_b = b != b;
        if (nan_a != nan_b) return nan_a;
        if (!nan_a && a != b) return GREATEST ? a > b : a < b;
        return i < j;
    }
    static __device__ __forceinline__ void take(Acc& a, Value v, int64 i) {
        if (a.index < 0 || before(v, i, a.value, a.index)) {
            a.value = v;
            a.index = i;
        }
    }
    static __device__ __forceinline__ Acc combine(Acc a, Acc b) {
        if (b.index >= 0) take(a, b.value, b.index);
        return a;
    }
    static __device__ __forceinline__ void finish(Acc a, const ReduceParams& p, int64 o) {
        if (p.y) static_cast<T*>(p.y)[o] = store<T>(a.value);
        static_cast<int64*>(p.z)[o] = a.index;
    }
};

REDUCTION_KERNELS(NAME, OP)
