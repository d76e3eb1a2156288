// What threads do together: barriers, shuffles, votes, atomics, fences. The waiting is done in the runtime.
// Each function that waits notes its line (__builtin_LINE of the caller), for messages.
#pragma once

#define SIM_LINE int line = __builtin_LINE()

SIM_INLINE void __syncthreads(SIM_LINE) { sim_barrier(line); }
SIM_INLINE int __syncthreads_count(int p, SIM_LINE) { return sim_barrier_vote(p, 0, line); }
SIM_INLINE int __syncthreads_and(int p, SIM_LINE) { return sim_barrier_vote(p, 1, line); }
SIM_INLINE int __syncthreads_or(int p, SIM_LINE) { return sim_barrier_vote(p, 2, line); }

enum { SIM_SYNCWARP, SIM_SHUFFLE, SIM_VOTE, SIM_MATCH, SIM_REDUCE, SIM_MATRIX };
SIM_INLINE void __syncwarp(unsigned mask = 0xffffffffu, SIM_LINE) { sim_exchange(mask, 0, SIM_SYNCWARP, line); }
SIM_INLINE unsigned __activemask() { return sim_active_mask(); }
SIM_INLINE unsigned sim_lane() { return sim_state.linear & 31u; }

template <class V> SIM_INLINE uint64_t sim_pack(V v) {
    static_assert(sizeof(V) <= 8, "a shuffle moves 1, 2, 4 or 8 bytes");
    uint64_t r = 0;
    __builtin_memcpy(&r, &v, sizeof v);
    return r;
}
template <class V> SIM_INLINE V sim_unpack(uint64_t r) {
    V v;
    __builtin_memcpy(&v, &r, sizeof v);
    return v;
}
template <class V> SIM_INLINE V __shfl_sync(unsigned mask, V v, int from, int width = 32, SIM_LINE) {
    const unsigned lane = sim_lane();
    const uint64_t* all = sim_exchange(mask, sim_pack(v), SIM_SHUFFLE, line);
    return sim_unpack<V>(all[(lane & ~unsigned(width - 1)) | (unsigned(from) & unsigned(width - 1))]);
}
template <class V> SIM_INLINE V __shfl_up_sync(unsigned mask, V v, unsigned by, int width = 32, SIM_LINE) {
    const unsigned lane = sim_lane();
    const uint64_t* all = sim_exchange(mask, sim_pack(v), SIM_SHUFFLE, line);
    return (lane & unsigned(width - 1)) < by ? v : sim_unpack<V>(all[lane - by]);
}
template <class V> SIM_INLINE V __shfl_down_sync(unsigned mask, V v, unsigned by, int width = 32, SIM_LINE) {
    const unsigned lane = sim_lane();
    const uint64_t* all = sim_exchange(mask, sim_pack(v), SIM_SHUFFLE, line);
    return (lane & unsigned(width - 1)) + by >= unsigned(width) ? v : sim_unpack<V>(all[lane + by]);
}
template <class V> SIM_INLINE V __shfl_xor_sync(unsigned mask, V v, int with, int width = 32, SIM_LINE) {
    const unsigned lane = sim_lane(), from = lane ^ unsigned(with);
    const uint64_t* all = sim_exchange(mask, sim_pack(v), SIM_SHUFFLE, line);
    // A partner in a later segment gives the own value; one in an earlier segment is read.
    return from >= (lane & ~unsigned(width - 1)) + unsigned(width) ? v : sim_unpack<V>(all[from & 31u]);
}
static inline unsigned __ballot_sync(unsigned mask, int p, SIM_LINE) {
    const uint64_t* all = sim_exchange(mask, p != 0, SIM_VOTE, line);
    const unsigned here = unsigned(all[32]);
    unsigned r = 0;
    for (unsigned i = 0; i < 32; ++i) r |= unsigned((here >> i & 1u) && all[i]) << i;
    return r;
}
static inline int __any_sync(unsigned mask, int p, SIM_LINE) { return __ballot_sync(mask, p, line) != 0; }
static inline int __all_sync(unsigned mask, int p, SIM_LINE) {
    const uint64_t* all = sim_exchange(mask, p != 0, SIM_VOTE, line);
    const unsigned here = unsigned(all[32]);
    for (unsigned i = 0; i < 32; ++i)
        if ((here >> i & 1u) && !all[i]) return 0;
    return 1;
}
template <class V> static inline unsigned __match_any_sync(unsigned mask, V v, SIM_LINE) {
    const uint64_t mine = sim_pack(v), *all = sim_exchange(mask, mine, SIM_MATCH, line);
    const unsigned here = unsigned(all[32]);
    unsigned r = 0;
    for (unsigned i = 0; i < 32; ++i) r |= unsigned((here >> i & 1u) && all[i] == mine) << i;
    return r;
}
template <class V> static inline unsigned __match_all_sync(unsigned mask, V v, int* same, SIM_LINE) {
    const uint64_t mine = sim_pack(v), *all = sim_exchange(mask, mine, SIM_MATCH, line);
    const unsigned here = unsigned(all[32]);
    *same = 1;
    for (unsigned i = 0; i < 32; ++i)
        if ((here >> i & 1u) && all[i] != mine) *same = 0;
    return *same ? here : 0;
}
#define SIM_WARP_REDUCE(name, V, expression)                                       \
    static inline V name(unsigned mask, V v, SIM_LINE) {                           \
        const uint64_t* all = sim_exchange(mask, sim_pack(v), SIM_REDUCE, line);   \
        const unsigned here = unsigned(all[32]);                            \
        bool first = true;                                                         \
        V r = v;                                                                   \
        for (unsigned i = 0; i < 32; ++i) {                                        \
            if (!(here >> i & 1u)) continue;                                       \
            const V o = sim_unpack<V>(all[i]);                                     \
            r = first ? o : V(expression);                                         \
            first = false;                                                         \
        }                                                                          \
        return r;                                                                  \
    }
SIM_WARP_REDUCE(__reduce_add_sync, unsigned, r + o) SIM_WARP_REDUCE(__reduce_add_sync, int, r + o)
SIM_WARP_REDUCE(__reduce_min_sync, unsigned, r < o ? r : o) SIM_WARP_REDUCE(__reduce_min_sync, int, r < o ? r : o)
SIM_WARP_REDUCE(__reduce_max_sync, unsigned, r > o ? r : o) SIM_WARP_REDUCE(__reduce_max_sync, int, r > o ? r : o)
SIM_WARP_REDUCE(__reduce_and_sync, unsigned, r & o) SIM_WARP_REDUCE(__reduce_or_sync, unsigned, r | o)
SIM_WARP_REDUCE(__reduce_xor_sync, unsigned, r ^ o)
#undef SIM_WARP_REDUCE

// ---- atomics: one thread runs at a time, so plain memory operations are atomic ----
// A thread that polls gives way from time to time, so that the one it waits for can run.
#ifdef SIM_CHECKED
#define SIM_ATOMIC_BODY static inline __attribute__((noinline, no_sanitize("thread")))
#define SIM_ATOMIC(p) sim_atomic(p, sizeof *p)
#else
#define SIM_ATOMIC_BODY static inline
#define SIM_ATOMIC(p) (++sim_state.spins > 200u ? sim_yield() : (void)0)
#endif
#define SIM_RMW(name, expression)                                    \
    template <class V> struct sim_##name { typedef V type; };        \
    template <class V> SIM_ATOMIC_BODY V name(V* p, typename sim_##name<V>::type v) { \
        SIM_ATOMIC(p);                                               \
        const V old = *p;                                            \
        *p = V(expression);                                          \
        return old;                                                  \
    }                                                                \
    template <class V> SIM_INLINE V name##_block(V* p, typename sim_##name<V>::type v) { return name(p, v); }  \
    template <class V> SIM_INLINE V name##_system(V* p, typename sim_##name<V>::type v) { return name(p, v); }
SIM_RMW(atomicAdd, old + v)
SIM_RMW(atomicSub, old - v)
SIM_RMW(atomicExch, v)
SIM_RMW(atomicMin, v < old ? v : old)
SIM_RMW(atomicMax, v > old ? v : old)
SIM_RMW(atomicAnd, old & v)
SIM_RMW(atomicOr, old | v)
SIM_RMW(atomicXor, old ^ v)
SIM_RMW(atomicInc, old >= v ? 0 : old + 1)
SIM_RMW(atomicDec, old == 0 || old > v ? v : old - 1)
#undef SIM_RMW
template <class V> struct sim_as { typedef V type; };
template <class V> SIM_ATOMIC_BODY V atomicCAS(V* p, typename sim_as<V>::type expected, typename sim_as<V>::type desired) {
    SIM_ATOMIC(p);
    const V old = *p;
    if (old == expected) *p = desired;
    return old;
}

SIM_INLINE void __threadfence() { sim_fence(); }
SIM_INLINE void __threadfence_block() { sim_fence(); }
SIM_INLINE void __threadfence_system() { sim_fence(); }
SIM_INLINE void __nanosleep(unsigned) { sim_yield(); }
SIM_INLINE void __trap() { sim_trap("__trap() was called"); }
SIM_INLINE void __prof_trigger(int) {}
static inline long long clock64() { static long long ticks; return ++ticks; }
static inline int clock() { return int(clock64()); }

template <class V> SIM_INLINE V __ldg(const V* p) { return *p; }
template <class V> SIM_INLINE V __ldcg(const V* p) { return *p; }
template <class V> SIM_INLINE V __ldca(const V* p) { return *p; }
template <class V> SIM_INLINE V __ldcs(const V* p) { return *p; }
template <class V> SIM_INLINE V __ldcv(const V* p) { return *p; }
template <class V> SIM_INLINE void __stcg(V* p, typename sim_as<V>::type v) { *p = v; }
template <class V> SIM_INLINE void __stcs(V* p, typename sim_as<V>::type v) { *p = v; }
template <class V> SIM_INLINE void __stwb(V* p, typename sim_as<V>::type v) { *p = v; }
template <class V> SIM_INLINE void __stwt(V* p, typename sim_as<V>::type v) { *p = v; }
SIM_INLINE size_t __cvta_generic_to_shared(const void* p) { return size_t(p); }
