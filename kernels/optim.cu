// Optimiser steps: one launch updates up to TENSORS parameters, whatever their sizes.
//
// Idea: the table of pointers travels in the parameter struct, so no copy to the device is needed. A
// block finds its tensor by bisecting `first_block` (the same for all its threads) and updates CHUNK
// elements of it. Each optimiser is a function from (gradient, state) to (what to subtract, state).
// Traffic per element: read and write the parameter and each state once, read the gradient once;
// float32: SGD 12 bytes, with momentum 20, Adam 28.
#include "common.cuh"

#define TENSORS 64
#define STATES 3
#define CHUNK 2048

struct Params {
    T* param[TENSORS];
    const T* grad[TENSORS];
    T* state[STATES][TENSORS];  // null where the optimiser, as configured, has no such state
    int64 size[TENSORS];
    double sign;          // -1 to maximise
    double weight_decay;  // added to the gradient, times the parameter (L2)
    double shrink;        // the parameter is first multiplied by this (decoupled weight decay)
    double scalar[8];     // what the optimiser computed on the host for this step
    int first_block[TENSORS + 1];
    int tensors;
};

// s: lr, momentum, 1 - dampening (1 at the first step), nesterov
struct Sgd {
    template <class C> static __device__ C step(C g, C* state, const bool* has, const C* s) {
        if (!has[0]) return s[0] * g;
        state[0] = s[1] * state[0] + s[2] * g;
        return s[0] * (s[3] != C(0) ? g + s[1] * state[0] : state[0]);
    }
};

// s: beta1, beta2, eps, lr / bias_correction1, sqrt(bias_correction2); Kingma & Ba (2014), amsgrad: Reddi et al. (2018)
struct Adam {
    template <class C> static __device__ C step(C g, C* state, const bool* has, const C* s) {
        state[0] += (g - state[0]) * (C(1) - s[0]);
        state[1] = s[1] * state[1] + (C(1) - s[1]) * g * g;
        C v = state[1];
        if (has[2]) v = state[2] = state[2] > v ? state[2] : v;
        return s[3] * state[0] / (sqrt(v) / s[4] + s[2]);
    }
};

// s: lr, alpha, eps, momentum; states: square_avg, momentum_buffer, grad_avg (centered). Tieleman & Hinton (2012)
struct RmsProp {
    template <class C> static __device__ C step(C g, C* state, const bool* has, const C* s) {
        state[0] = s[1] * state[0] + (C(1) - s[1]) * g * g;
        C v = state[0];
        if (has[2]) {
            state[2] += (g - state[2]) * (C(1) - s[1]);
            v -= state[2] * state[2];
        }
        C direction = g / (sqrt(v) + s[2]);
        if (has[1]) direction = state[1] = s[3] * state[1] + direction;
        return s[0] * direction;
    }
};

// s: lr after its decay, eps; Duchi et al. (2011)
struct Adagrad {
    template <class C> static __device__ C step(C g, C* state, const bool*, const C* s) {
        state[0] += g * g;
        return s[0] * g / (sqrt(state[0]) + s[1]);
    }
};

// s: lr, rho, eps; Zeiler (2012)
struct Adadelta {
    template <class C> static __device__ C step(C g, C* state, const bool*, const C* s) {
        state[0] = s[1] * state[0] + (C(1) - s[1]) * g * g;
        const C delta = sqrt(state[1] + s[2]) / sqrt(state[0] + s[2]) * g;
        state[1] = s[1] * state[1] + (C(1) - s[1]) * delta * delta;
        return s[0] * delta;
    }
};

// s: beta1, beta2, eps, lr / bias_correction1; Kingma & Ba (2014), section 7.1
struct Adamax {
    template <class C> static __device__ C step(C g, C* state, const bool*, const C* s) {
        state[0] += (g - state[0]) * (C(1) - s[0]);
        const C old = s[1] * state[1], now = fabs(g) + s[2];
        state[1] = old > now ? old : now;
        return s[3] * state[0] / state[1];
    }
};

// s: beta1, beta2, eps, bias_correction2, factor of g, factor of exp_avg; Dozat (2016)
struct NAdam {
    template <class C> static __device__ C step(C g, C* state, const bool*, const C* s) {
        state[0] += (g - state[0]) * (C(1) - s[0]);
        state[1] = s[1] * state[1] + (C(1) - s[1]) * g * g;
        return (s[4] * g + s[5] * state[0]) / (sqrt(state[1] / s[3]) + s[2]);
    }
};

// s: beta1, beta2, eps, lr / bias_correction1, rectification * sqrt(bias_correction2) or 0 while it is undefined; Liu et al. (2019)
struct RAdam {
    template <class C> static __device__ C step(C g, C* state, const bool*, const C* s) {
        state[0] += (g - state[0]) * (C(1) - s[0]);
        state[1] = s[1] * state[1] + (C(1) - s[1]) * g * g;
        const C direction = s[3] * state[0];
        return s[4] != C(0) ? direction * s[4] / (sqrt(state[1]) + s[2]) : direction;
    }
};

// s: etaminus, etaplus, least and largest step; states: prev (gradient), step_size. Riedmiller & Braun (1993)
struct Rprop {
    template <class C> static __device__ C step(C g, C* state, const bool*, const C* s) {
        const C agree = g * state[0];
        C size = state[1] * (agree > C(0) ? s[1] : agree < C(0) ? s[0] : C(1));
        size = size < s[2] ? s[2] : size > s[3] ? s[3] : size;
        if (agree < C(0)) g = C(0);
        state[0] = g;
        state[1] = size;
        return g > C(0) ? size : g < C(0) ? -size : C(0);
    }
};

template <class Rule> __device__ __forceinline__ void update(const Params& p) {
    typedef Compute<T> C;
    int low = 0, high = p.tensors;  // first_block[low] <= blockIdx.x < first_block[high]
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (p.first_block[middle] <= static_cast<int>(blockIdx.x)) low = middle; else high = middle;
    }
    T* param = p.param[low];
    const T* grad = p.grad[low];
    T* states[STATES];
    bool has[STATES];
#pragma unroll
    for (int k = 0; k < STATES; ++k) {
        states[k] = p.state[k][low];
        has[k] = states[k] != nullptr;
    }
    C s[8];
#pragma unroll
    for (int k = 0; k < 8; ++k) s[k] = static_cast<C>(p.scalar[k]);
    const C sign = static_cast<C>(p.sign), decay = static_cast<C>(p.weight_decay), shrink = static_cast<C>(p.shrink);
    const int64 start = static_cast<int64>(blockIdx.x - p.first_block[low]) * CHUNK;
    const int64 end = start + CHUNK < p.size[low] ? start + CHUNK : p.size[low];
    for (int64 i = start + threadIdx.x; i < end; i += blockDim.x) {
        C value = load(param[i]);
        C state[STATES] = {};
#pragma unroll
        for (int k = 0; k < STATES; ++k) if (has[k]) state[k] = load(states[k][i]);
        const C g = sign * load(grad[i]) + decay * value;
        value = value * shrink - Rule::step(g, state, has, s);
        param[i] = store<T>(value);
#pragma unroll
        for (int k = 0; k < STATES; ++k) if (has[k]) states[k][i] = store<T>(state[k]);
    }
}

KERNEL(sgd)(const Params p) { update<Sgd>(p); }
KERNEL(adam)(const Params p) { update<Adam>(p); }
KERNEL(rmsprop)(const Params p) { update<RmsProp>(p); }
KERNEL(adagrad)(const Params p) { update<Adagrad>(p); }
KERNEL(adadelta)(const Params p) { update<Adadelta>(p); }
KERNEL(adamax)(const Params p) { update<Adamax>(p); }
KERNEL(nadam)(const Params p) { update<NAdam>(p); }
KERNEL(radam)(const Params p) { update<RAdam>(p); }
KERNEL(rprop)(const Params p) { update<Rprop>(p); }
