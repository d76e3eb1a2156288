// What compiled kernels and the simulator's runtime share. No other header is needed: kernels must compile fast.
#pragma once

typedef __SIZE_TYPE__ size_t;
typedef __INT8_TYPE__ int8_t;
typedef __UINT8_TYPE__ uint8_t;
typedef __INT16_TYPE__ int16_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __INT32_TYPE__ int32_t;
typedef __UINT32_TYPE__ uint32_t;
#ifdef SIM_KERNEL  // CUDA texts without headers define these themselves, which must then be the same
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
typedef __INT64_TYPE__ int64_t;
typedef __UINT64_TYPE__ uint64_t;
#endif
typedef __UINTPTR_TYPE__ uintptr_t;

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// The thread that runs now. One launch runs at a time, so this is one global object.
struct SimState {
    uint3 thread;
    uint3 block;
    uint3 block_dim;
    uint3 grid_dim;
    char* dynamic_shared;
    unsigned linear;       // index of the thread that runs, x fastest
    unsigned next;         // how many threads of the block have been started
    unsigned count;        // threads in a block
    unsigned spins;        // atomic operations since the thread last gave way
    const uint16_t* order; // the order in which threads start
    const uint3* index;    // linear index -> threadIdx
};

// A kernel as its module describes it. `run` starts threads one after the other; a thread that waits leaves its
// stack behind, and the next ones start from another call of `run`.
struct SimKernel {
    const char* name;
    void (*run)(void** params);
    const unsigned* sizes;  // bytes of each argument
    unsigned arguments;
    unsigned max_threads;   // of __launch_bounds__, or 1024
};
struct SimRange { char *begin, *end; };
struct SimModule {
    const SimKernel* kernels;
    unsigned kernel_count;
    const SimRange* shared;  // the __shared__ variables
    unsigned shared_count;
};

extern "C" {
extern SimState sim_state;
void sim_barrier(int line);
int sim_barrier_vote(int predicate, int kind, int line);           // kind: 0 count, 1 and, 2 or
const uint64_t* sim_exchange(unsigned mask, uint64_t value, int kind, int line);  // values of the warp's lanes; [32]: who took part
unsigned sim_active_mask();
void sim_yield();
void sim_fence();
void sim_atomic(const void* address, unsigned size);
[[noreturn]] void sim_assert_failed(const char* condition, int line);
[[noreturn]] void sim_trap(const char* what);
int sim_printf(const char* format, ...) __attribute__((format(printf, 1, 2)));
}

static inline __attribute__((always_inline)) bool sim_next_thread() {
    SimState& s = sim_state;
    if (s.next >= s.count) return false;
    const unsigned t = s.order[s.next++];
    s.linear = t;
    s.thread = s.index[t];
    return true;
}
