// CUDA C++ on the host: the header in front of every kernel that the simulator compiles.
// The text of a kernel has been through the preprocessor with macros.h (see compiler.py); what is left to
// provide are types and functions, and `sim_run`, which starts the threads of a block.
#pragma once
#define SIM_KERNEL
#include "state.h"
#include "types.h"
#include "math.h"
#include "half.h"
#include "threads.h"
#include "matrix.h"

// A variable declared `extern __shared__ T name[]` outside of a function.
template <class E> struct SimDynamicShared {
    operator E*() const { return reinterpret_cast<E*>(sim_state.dynamic_shared); }
    E& operator[](size_t i) const { return reinterpret_cast<E*>(sim_state.dynamic_shared)[i]; }
};

template <int... I> struct SimIndices {};
template <class... A> struct SimArguments {
    static constexpr unsigned count = sizeof...(A);
    static constexpr unsigned sizes[sizeof...(A) + 1] = {unsigned(sizeof(A))..., 0};
};
template <class... A> SimArguments<A...> sim_arguments(void (*)(A...));

// Each thread gets its own copy of the arguments, as on the device.
template <auto F, class... A, int... I> static inline void sim_threads(void** p, SimArguments<A...>, SimIndices<I...>) {
    while (sim_next_thread()) F(*static_cast<A*>(p[I])...);
}
#if defined(__clang__)
template <class I, I... K> using SimSequence = SimIndices<K...>;
template <int N> using SimCount = __make_integer_seq<SimSequence, int, N>;
#else
template <int N> using SimCount = SimIndices<__integer_pack(N)...>;
#endif
template <auto F> static void sim_run(void** p) {
    typedef decltype(sim_arguments(F)) Arguments;
    sim_threads<F>(p, Arguments(), SimCount<int(Arguments::count)>());
}
#define SIM_KERNEL(name, max_threads) \
    {#name, &sim_run<&name>, decltype(sim_arguments(&name))::sizes, decltype(sim_arguments(&name))::count, max_threads}

// A __shared__ variable has a section of its own, so that the runtime finds and poisons it.
#define SIM_SHARED(n) static __attribute__((section("sim_shared_" #n)))
#define SIM_SHARED_RANGE(n)                                                            \
    extern "C" __attribute__((weak, visibility("hidden"))) char __start_sim_shared_##n[]; \
    extern "C" __attribute__((weak, visibility("hidden"))) char __stop_sim_shared_##n[];
