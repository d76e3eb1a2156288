// One step of a recurrent layer between the matrix products: from the gates' sums to the new state, and back.
// The products W x for all steps and W h for one are gemm.cu's. A thread does one element of the state, whose gates
// lie `hidden` apart; all of it is reads and writes of (float32, an element) LSTM 40 + 36 bytes forward and 36 + 24
// backward, GRU 28 + 20 and 32 + 28, RNN 8 + 4 and 12 + 4.
#include "common.cuh"

typedef Compute<T> C;

struct StepParams {
    const T* x;         // forward: the input's part of the gates' sums
    const T* h;         // forward: the state's part
    T* gates;           // LSTM: i, f, g, o; GRU: r, z, n and the state's part of n before r. Written forward, read backward
    const T* before;    // GRU: h before this step
    T* out;             // h after this step
    const C* c_before;  // LSTM: the cells before
    C* c;               // and after this step
    const T* g;         // gradient of this step's output, or null
    const T* dh;        // gradient of the state from the step after
    C* carry;           // LSTM: gradient of the cells; GRU: what reaches h past the gates. Read, and written for the step before
    T* dx;              // gradient of x
    T* dg;              // GRU: gradient of h, the state's part
    int64 count;        // elements of the state
    int hidden;         // features of it
    int relu;           // RNN: relu, else tanh
};

__device__ __forceinline__ C sigmoid(C v) { return 1 / (1 + exp(-v)); }

// The element of this thread and where its first gate is, in rows of `gates` blocks of `hidden`.
#define EACH_ELEMENT(i, at, blocks)                                                                             \
    for (int64 i = blockIdx.x * static_cast<int64>(blockDim.x) + threadIdx.x, at; i < p.count;                  \
         i += static_cast<int64>(gridDim.x) * blockDim.x)                                                       \
        if (at = i + i / p.hidden * ((blocks) - 1) * p.hidden, true)

// Gradient of h from both sides.
__device__ __forceinline__ C arriving(const StepParams& p, int64 i) {
    const C later = load(p.dh[i]);
    return p.g ? later + load(p.g[i]) : later;
}

KERNEL(lstm_step)(StepParams p) {
    EACH_ELEMENT(i, at, 4) {
        C z[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const int64 e = at + static_cast<int64>(k) * p.hidden;
            z[k] = load(p.x[e]) + load(p.h[e]);
            z[k] = k == 2 ? tanh(z[k]) : sigmoid(z[k]);
            p.gates[e] = store<T>(z[k]);
        }
        const C c = z[1] * p.c_before[i] + z[0] * z[2];
        p.c[i] = c;
        p.out[i] = store<T>(z[3] * tanh(c));
    }
}

KERNEL(lstm_step_backward)(StepParams p) {
    EACH_ELEMENT(i, at, 4) {
        C z[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) z[k] = load(p.gates[at + static_cast<int64>(k) * p.hidden]);
        const C dh = arriving(p, i), t = tanh(p.c[i]);
        const C dc = p.carry[i] + dh * z[3] * (1 - t * t);
        const C d[4] = {dc * z[2] * z[0] * (1 - z[0]), dc * p.c_before[i] * z[1] * (1 - z[1]), dc * z[0] * (1 - z[2] * z[2]),
                        dh * t * z[3] * (1 - z[3])};
#pragma unroll
        for (int k = 0; k < 4; ++k) p.dx[at + static_cast<int64>(k) * p.hidden] = store<T>(d[k]);
        p.carry[i] = dc * z[1];
    }
}

KERNEL(gru_step)(StepParams p) {
    EACH_ELEMENT(i, at, 3) {
        const int64 update = at + p.hidden, fresh = update + p.hidden;
        const C r = sigmoid(load(p.x[at]) + load(p.h[at])), z = sigmoid(load(p.x[update]) + load(p.h[update]));
        const C part = load(p.h[fresh]), n = tanh(load(p.x[fresh]) + r * part);
        T* gates = p.gates + i + i / p.hidden * 3 * p.hidden;
        gates[0] = store<T>(r);
        gates[p.hidden] = store<T>(z);
        gates[2 * static_cast<int64>(p.hidden)] = store<T>(n);
        gates[3 * static_cast<int64>(p.hidden)] = store<T>(part);
        p.out[i] = store<T>(n + z * (load(p.before[i]) - n));
    }
}

KERNEL(gru_step_backward)(StepParams p) {
    EACH_ELEMENT(i, at, 3) {
        const T* gates = p.gates + i + i / p.hidden * 3 * p.hidden;
        const C r = load(gates[0]), z = load(gates[p.hidden]);
        const C n = load(gates[2 * static_cast<int64>(p.hidden)]), part = load(gates[3 * static_cast<int64>(p.hidden)]);
        const C dh = arriving(p, i) + p.carry[i];
        const C dn = dh * (1 - z) * (1 - n * n), dr = dn * part * r * (1 - r), dz = dh * (load(p.before[i]) - n) * z * (1 - z);
        const int64 update = at + p.hidden, fresh = update + p.hidden;
        p.dx[at] = p.dg[at] = store<T>(dr);
        p.dx[update] = p.dg[update] = store<T>(dz);
        p.dx[fresh] = store<T>(dn);
        p.dg[fresh] = store<T>(dn * r);
        p.carry[i] = dh * z;
    }
}

KERNEL(rnn_step)(StepParams p) {
    EACH_ELEMENT(i, at, 1) {
        const C z = load(p.x[at]) + load(p.h[at]);
        p.out[at] = store<T>(p.relu ? Max::apply(z, C(0)) : tanh(z));
    }
}

KERNEL(rnn_step_backward)(StepParams p) {
    EACH_ELEMENT(i, at, 1) {
        const C y = load(p.out[at]), dh = arriving(p, at);
        p.dx[at] = store<T>(p.relu ? (y > 0 ? dh : C(0)) : dh * (1 - y * y));
    }
}
