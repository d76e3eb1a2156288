// The threads of a block. All of them run on one stack, one after the other, until one has to wait; it keeps
// that stack, and the next threads run on another. So a kernel without barriers costs no context switch.
#include "runtime.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

SimState sim_state;
Launch current;
bool launching;

namespace {
constexpr size_t STACK = 256 * 1024;
constexpr unsigned MAX_THREADS = 1024;
constexpr uint64_t MAX_YIELDS = 200000;

struct Failed {};  // leaves run_grid

struct Fiber {
    void* sp;
    char* stack;
    bool idle;
};
std::vector<Fiber*> fibers;       // all
std::vector<Fiber*> idle_fibers;
Fiber* running;
void* main_sp;

enum State : uint8_t { LIVE, AT_BARRIER, IN_WARP, READY };
struct Thread {
    Fiber* fiber;
    State state;
    int line;
    uint8_t kind;
    unsigned mask;
    const uint64_t* result;
};
Thread threads[MAX_THREADS];
// Those who meet in a shuffle, vote or __syncwarp of a warp under one mask.
struct Group { unsigned mask, arrived; };
struct Warp {
    unsigned present, started, waiting;
    std::vector<Group> groups;
    uint64_t value[32];
    uint64_t result[32][2][33];  // by lowest lane of the mask; two, as the one before may not be read yet
    uint8_t phase[32];
    uint32_t epoch;
};
Warp warps[MAX_THREADS / 32];
uint16_t ready[2 * MAX_THREADS];  // a ring
unsigned ready_head, ready_tail, started_seen, barrier_waiting, votes, vote_result;
uint32_t epoch;
uint64_t blocks_run, yields;
unsigned block_number;
uint16_t order_table[MAX_THREADS];
uint3 index_table[MAX_THREADS];
char* dynamic_end;
constexpr size_t MAX_DYNAMIC = 228 * 1024;
}  // namespace

uint32_t barrier_epoch() { return epoch; }
uint32_t warp_epoch(unsigned t) { return warps[t >> 5].epoch; }
bool on_fiber() { return running != nullptr; }
uint64_t block_serial() { return blocks_run; }
unsigned block_index() { return block_number; }

// ---- context switch: the registers that a call preserves, then the stack pointer ----
extern "C" void sim_switch(void** save, void* to) __asm__("sim_switch");
#if defined(__x86_64__)
__asm__(R"(
.text
.globl sim_switch
sim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
static void* first_frame(char* top, void (*entry)()) {
    void** sp = reinterpret_cast<void**>(top);
    *--sp = nullptr;  // where a return address would be: keeps the stack aligned as after a call
    *--sp = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; ++i) *--sp = nullptr;
    return sp;
}
#elif defined(__aarch64__)
__asm__(R"(
.text
.globl sim_switch
sim_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
static void* first_frame(char* top, void (*entry)()) {
    void** sp = reinterpret_cast<void**>(top) - 20;
    memset(sp, 0, 160);
    sp[11] = reinterpret_cast<void*>(entry);  // x30
    return sp;
}
#else
#include <ucontext.h>
// Elsewhere: contexts of the C library; a "stack pointer" is then the address of a context.
static ucontext_t* fresh_context() { return new ucontext_t; }
extern "C" void sim_switch(void** save, void* to) {
    static std::vector<ucontext_t*> spare;
    ucontext_t* here = fresh_context();
    *save = here;
    swapcontext(here, static_cast<ucontext_t*>(to));
    delete here;
}
static void* first_frame(char* top, void (*entry)()) {
    ucontext_t* c = fresh_context();
    getcontext(c);
    c->uc_stack.ss_sp = top - STACK;
    c->uc_stack.ss_size = STACK;
    c->uc_link = nullptr;
    makecontext(c, entry, 0);
    return c;
}
#endif

namespace {
void fiber_main();

Fiber* idle_fiber() {
    if (idle_fibers.empty()) {
        char* base = static_cast<char*>(
            mmap(nullptr, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (base == MAP_FAILED) fail(0, 0, "the host has no memory for the stack of another thread");
        mprotect(base, PAGE, PROT_NONE);  // a stack that overflows faults
        Fiber* f = new Fiber{nullptr, base + PAGE, true};
        f->sp = first_frame(f->stack + STACK, fiber_main);
        fibers.push_back(f);
        return f;
    }
    Fiber* f = idle_fibers.back();
    idle_fibers.pop_back();
    return f;
}

void make_ready(unsigned t) {
    threads[t].state = READY;
    ready[ready_tail++ % (2 * MAX_THREADS)] = uint16_t(t);
}

// Lanes of a warp that have not left the kernel.
unsigned alive(unsigned w) {
    while (started_seen < sim_state.next) {
        const unsigned t = sim_state.order[started_seen++];
        warps[t >> 5].started |= 1u << (t & 31);
    }
    Warp& warp = warps[w];
    unsigned on = warp.waiting | (warp.present & ~warp.started);
    if (sim_state.linear >> 5 == w) on |= 1u << (sim_state.linear & 31);
    return on;
}

// Leaves the running fiber for the next thread that can run, or for the main stack if there is none.
void leave() {
    Fiber* from = running;
    if (sim_state.next < sim_state.count) {
        running = idle_fiber();
        running->idle = false;
        sim_switch(&from->sp, running->sp);
    } else if (ready_head != ready_tail) {
        const unsigned t = ready[ready_head++ % (2 * MAX_THREADS)];
        sim_state.linear = t;
        sim_state.thread = index_table[t];
        sim_state.spins = 0;
        threads[t].state = LIVE;
        warps[t >> 5].waiting &= ~(1u << (t & 31));
        running = threads[t].fiber;
        if (running != from) sim_switch(&from->sp, running->sp);
    } else {
        running = nullptr;
        sim_state.linear = MAX_THREADS;  // nobody
        sim_switch(&from->sp, main_sp);
    }
}

// Puts the running thread to sleep until somebody makes it ready.
void wait(State state, int line) {
    const unsigned t = sim_state.linear;
    threads[t].fiber = running;
    threads[t].state = state;
    threads[t].line = line;
    warps[t >> 5].waiting |= 1u << (t & 31);
}

void fiber_main() {
    for (;;) {
        current.code->run(current.params);
        running->idle = true;
        idle_fibers.push_back(running);
        leave();
    }
}

void reset_fibers() {
    idle_fibers.clear();
    for (Fiber* f : fibers) {
        if (!f->idle) f->sp = first_frame(f->stack + STACK, fiber_main);
        f->idle = true;
        idle_fibers.push_back(f);
    }
}

std::string name_of(unsigned t) {
    char text[64];
    snprintf(text, sizeof text, "thread (%u,%u,%u)", index_table[t].x, index_table[t].y, index_table[t].z);
    return text;
}

// True if the members that are still there have all arrived; they then go on.
bool try_release(unsigned w, Group& group) {
    Warp& warp = warps[w];
    if ((group.mask & alive(w)) & ~group.arrived) return false;
    const unsigned leader = unsigned(__builtin_ctz(group.mask));
    uint64_t* result = warp.result[leader][warp.phase[leader] ^= 1];
    const unsigned members = group.arrived, first = w * 32 + unsigned(__builtin_ctz(members));
    result[32] = members;
    for (unsigned lane = 0; lane < 32; ++lane) {
        const unsigned t = w * 32 + lane;
        if (!(members >> lane & 1u)) {
            result[lane] = ~uint64_t(0);
            continue;
        }
        result[lane] = warp.value[lane];
        threads[t].result = result;
        if (threads[t].kind != threads[first].kind || threads[t].line != threads[first].line)
            fail(threads[t].line, 0,
                 "threads of one warp meet in different warp operations under mask 0x%08x: %s in line %d, %s in line %d",
                 group.mask, name_of(first).c_str(), threads[first].line, name_of(t).c_str(), threads[t].line);
    }
    ++warp.epoch;
    group = warp.groups.back();
    warp.groups.pop_back();
    for (unsigned i = 0; i < 32; ++i)
        if (members >> i & 1u) make_ready(w * 32 + i);
    return true;
}

// Nothing can run, and not all threads are done.
void diagnose() {
    unsigned at_barrier = 0, in_warp = 0, barrier_thread = 0, warp_thread = 0, gone = sim_state.count, gone_thread = 0;
    std::vector<bool> left(sim_state.count, true);
    for (unsigned t = 0; t < sim_state.count; ++t) {
        if (!(warps[t >> 5].waiting >> (t & 31) & 1u)) {
            gone_thread = t;
            continue;
        }
        --gone;
        if (threads[t].state == AT_BARRIER) ++at_barrier, barrier_thread = t;
        else ++in_warp, warp_thread = t;
    }
    sim_state.linear = at_barrier ? barrier_thread : warp_thread;
    sim_state.thread = index_table[sim_state.linear];
    const int line = threads[sim_state.linear].line;
    if (!in_warp)
        fail(line, 0,
             "a barrier is not reached by all threads of the block: %u of %u wait at __syncthreads() in line %d, while %u have "
             "left the kernel, %s among them",
             at_barrier, sim_state.count, line, gone, name_of(gone_thread).c_str());
    if (!at_barrier)
        fail(line, 0,
             "deadlock: %u threads wait in a warp operation (line %d, mask 0x%08x) for lanes that take part in another one",
             in_warp, line, threads[warp_thread].mask);
    fail(line, 0, "deadlock: %s waits at __syncthreads() in line %d, %s in a warp operation in line %d (mask 0x%08x)",
         name_of(barrier_thread).c_str(), line, name_of(warp_thread).c_str(), threads[warp_thread].line,
         threads[warp_thread].mask);
}

bool release_after_exits() {
    bool any = false;
    for (unsigned w = 0; w * 32 < sim_state.count; ++w)
        for (size_t i = 0; i < warps[w].groups.size();)
            if (try_release(w, warps[w].groups[i])) any = true;
            else ++i;
    return any;
}

bool run_block() {
    sim_state.next = 0;
    sim_state.spins = 0;
    ready_head = ready_tail = started_seen = barrier_waiting = votes = 0;
    const unsigned count = sim_state.count;
    for (unsigned w = 0; w * 32 < count; ++w) {
        Warp& warp = warps[w];
        warp.present = count - w * 32 >= 32 ? ~0u : (1u << (count - w * 32)) - 1;
        warp.started = warp.waiting = 0;
        warp.groups.clear();
    }
    for (unsigned i = 0; i < current.module->shared_count; ++i) {
        const SimRange& r = current.module->shared[i];
        if (r.begin) memset(r.begin, POISON, size_t(r.end - r.begin));
    }
    if (current.shared) memset(sim_state.dynamic_shared, POISON, current.shared);
    ++blocks_run;
    ++epoch;
    for (;;) {
        if (sim_state.next < count) {
            running = idle_fiber();
            running->idle = false;
        } else if (ready_head != ready_tail) {
            const unsigned t = ready[ready_head++ % (2 * MAX_THREADS)];
            sim_state.linear = t;
            sim_state.thread = index_table[t];
            threads[t].state = LIVE;
            warps[t >> 5].waiting &= ~(1u << (t & 31));
            running = threads[t].fiber;
        } else {
            bool waiting = false;
            for (unsigned w = 0; w * 32 < count; ++w) waiting |= warps[w].waiting != 0;
            if (!waiting) return true;
            sim_state.linear = MAX_THREADS;
            if (!release_after_exits()) diagnose();
            continue;
        }
        sim_switch(&main_sp, running->sp);
        if (report.kind) return false;
    }
}

uint32_t random_state;
unsigned below(unsigned n) {  // xorshift: the same shuffle in every run
    random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5;
    return unsigned(uint64_t(random_state) * n >> 32);
}
}  // namespace

// Gives up the launch: back to the main stack, and there out of run_grid.
void abandon() {
    if (running) {
        void* lost;
        running = nullptr;
        sim_switch(&lost, main_sp);
    }
    throw Failed();
}

bool run_grid(Order order) {
    const unsigned count = sim_state.count;
    const uint3 b = sim_state.block_dim, g = sim_state.grid_dim;
    random_state = 0x9E3779B9u;
    for (unsigned t = 0; t < count; ++t) {
        index_table[t] = {t % b.x, t / b.x % b.y, t / (b.x * b.y)};
        order_table[t] = uint16_t(order == REVERSE ? count - 1 - t : t);
    }
    if (order == SHUFFLED)
        for (unsigned t = count; t > 1; --t) std::swap(order_table[t - 1], order_table[below(t)]);
    sim_state.order = order_table;
    sim_state.index = index_table;
    if (!dynamic_end) {
        char* base = static_cast<char*>(
            mmap(nullptr, MAX_DYNAMIC + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        dynamic_end = base + MAX_DYNAMIC;
        mprotect(dynamic_end, PAGE, PROT_NONE);
    }
    sim_state.dynamic_shared = dynamic_end - (current.shared + 15) / 16 * 16;
    reset_fibers();
    yields = 0;
    const uint64_t blocks = uint64_t(g.x) * g.y * g.z;
    uint64_t stride = order == SHUFFLED ? blocks * 5 / 8 + 1 : 1;
    while (std::gcd(stride, blocks) != 1) ++stride;
    uint64_t at = 0;
    for (uint64_t i = 0; i < blocks; ++i) {
        // A step without a common factor visits every block.
        const uint64_t n = order == REVERSE ? blocks - 1 - i : at;
        at = (at + stride) % blocks;
        block_number = unsigned(n);
        sim_state.block = {unsigned(n % g.x), unsigned(n / g.x % g.y), unsigned(n / g.x / g.y)};
        try {
            if (!run_block()) return false;
        } catch (const Failed&) {
            return false;
        }
    }
    return true;
}

// ---- what kernels call ----
extern "C" {
void sim_barrier(int line) {
    wait(AT_BARRIER, line);
    if (++barrier_waiting == sim_state.count) {
        barrier_waiting = 0;
        vote_result = votes;
        votes = 0;
        ++epoch;
        for (unsigned i = 0; i < sim_state.count; ++i) {
            const unsigned t = sim_state.order[i];
            if (threads[t].line != line)
                fail(line, 0, "divergent barrier: %s waits at __syncthreads() in line %d, %s in line %d",
                     name_of(sim_state.linear).c_str(), line, name_of(t).c_str(), threads[t].line);
            make_ready(t);
        }
    }
    leave();
}

int sim_barrier_vote(int predicate, int kind, int line) {
    votes += predicate != 0;
    sim_barrier(line);
    return kind == 0 ? int(vote_result) : kind == 1 ? vote_result == sim_state.count : vote_result != 0;
}

const uint64_t* sim_exchange(unsigned mask, uint64_t value, int kind, int line) {
    const unsigned t = sim_state.linear, w = t >> 5, lane = t & 31;
    Warp& warp = warps[w];
    if (!(mask >> lane & 1u))
        fail(line, 0, "a warp operation is called by lane %u, which its mask 0x%08x does not name", lane, mask);
    wait(IN_WARP, line);
    threads[t].kind = uint8_t(kind);
    threads[t].mask = mask;
    warp.value[lane] = value;
    size_t i = 0;
    while (i < warp.groups.size() && warp.groups[i].mask != mask) ++i;
    if (i == warp.groups.size()) warp.groups.push_back({mask, 0});
    warp.groups[i].arrived |= 1u << lane;
    try_release(w, warp.groups[i]);
    leave();
    return threads[t].result;
}

unsigned sim_active_mask() { return alive(sim_state.linear >> 5); }

void sim_yield() {
    if (++yields > MAX_YIELDS)
        fail(0, uintptr_t(__builtin_return_address(0)) - 1,
             "deadlock: the thread polls for a value that nobody writes (blocks run one after the other: a block must not wait "
             "for a later one)");
    sim_state.spins = 0;
    wait(READY, 0);
    make_ready(sim_state.linear);
    leave();
}

void sim_fence() { if (current.checked) checks_fence(); }
}
