// Checks of every access. Kernels compiled with -fsanitize=thread call a function before each load and store;
// here these functions test bounds, initialisation and races, and count bytes.
#include "runtime.h"

#include <cstring>
#include <unordered_map>

namespace {
// Who touched a byte last. Two accesses race if they come from different threads of a launch with nothing that
// orders them between: a barrier (threads of a block), a warp operation (lanes of a warp), or a fence (blocks).
struct Touch {
    uint64_t launch = 0;
    uint32_t block = 0, epoch = 0, warp = 0, fence = 0;
    uint16_t thread = 0;
    bool atomic = false;
};
struct Shadow {
    Touch write, read;
    uint64_t filled = 0;  // shared memory: the block that wrote it
};
struct Page { Shadow byte[256]; };
std::unordered_map<uintptr_t, Page*> pages;
uintptr_t last_page;
Page* last;
uint64_t bytes_read, bytes_written;
uint32_t fences;
std::unordered_map<uint32_t, uint32_t> block_fence;  // the last fence of a block
uint32_t thread_fence[1024];                         // and of a thread
Allocation* recent;

Shadow& shadow(uintptr_t address) {
    const uintptr_t page = address >> 8;
    if (page != last_page || !last) {
        Page*& p = pages[page];
        if (!p) p = new Page;
        last = p;
        last_page = page;
    }
    return last->byte[address & 255];
}

bool in_shared(uintptr_t address) {
    const uintptr_t dynamic = uintptr_t(sim_state.dynamic_shared);
    if (address >= dynamic && address < dynamic + (current.shared + 15) / 16 * 16) return true;
    for (unsigned i = 0; i < current.module->shared_count; ++i) {
        const SimRange& r = current.module->shared[i];
        if (r.begin && address >= uintptr_t(r.begin) && address < uintptr_t(r.end)) return true;
    }
    return false;
}

bool races(const Touch& old, bool atomic, bool shared) {
    if (old.launch != current.serial || (old.atomic && atomic)) return false;
    const unsigned thread = sim_state.linear;
    if (old.block != block_index()) {
        if (shared) return false;  // each block has its own
        auto f = block_fence.find(old.block);
        return f == block_fence.end() || f->second <= old.fence;
    }
    if (old.thread == thread || old.epoch != barrier_epoch() || thread_fence[old.thread] > old.fence) return false;
    return old.thread >> 5 != thread >> 5 || old.warp == warp_epoch(thread);
}

[[noreturn]] void report_race(uintptr_t address, const Touch& old, bool was_write, bool is_write, bool shared, uintptr_t pc) {
    char where[600] = "shared memory";
    if (!shared) describe(address, where, sizeof where);
    const uint3 g = sim_state.grid_dim, b = sim_state.block_dim;
    fail(0, pc,
         "race: it %s %s, which thread (%u,%u,%u) of block (%u,%u,%u) %s, with no barrier between",
         is_write ? "writes" : "reads", where, old.thread % b.x, old.thread / b.x % b.y, old.thread / b.x / b.y, old.block % g.x,
         old.block / g.x % g.y, old.block / g.x / g.y, was_write ? "writes" : "reads");
}

void touch(uintptr_t address, size_t size, bool shared, bool write, bool read, bool atomic, uintptr_t pc) {
    const unsigned thread = sim_state.linear;
    for (uintptr_t a = address; a < address + size; ++a) {
        Shadow& s = shadow(a);
        if (shared) {
            if (read && s.filled != block_serial()) fail(0, pc, "uninitialised: it reads shared memory that the block has not written");
            if (write) s.filled = block_serial();
        }
        if (races(s.write, atomic, shared)) report_race(a, s.write, true, write, shared, pc);
        if (write && races(s.read, atomic, shared)) report_race(a, s.read, false, true, shared, pc);
        Touch now{current.serial, block_index(), barrier_epoch(), warp_epoch(thread), fences, uint16_t(thread), atomic};
        if (write) s.write = now;
        else s.read = now;
    }
}

void access(const void* p, size_t size, bool write, bool read, bool atomic, uintptr_t pc) {
    if (!launching || !on_fiber()) return;
    const uintptr_t address = uintptr_t(p);
    if (in_arena(address)) {
        Allocation* a = recent;
        if (!a || a->freed || address < a->begin || address >= a->end()) a = recent = allocation_at(address);
        if (!a || address + size > a->end()) {
            char where[600];
            describe(a ? a->end() : address, where, sizeof where);
            fail(0, pc, "out of bounds: it %s %zu bytes at %p, %s", write ? "writes" : "reads", size, p, where);
        }
        if (a->written) {
            const size_t from = address - a->begin;
            if (read)
                for (size_t i = 0; i < size; ++i)
                    if (!(*a->written)[from + i]) {
                        char where[600];
                        describe(address + i, where, sizeof where);
                        fail(0, pc, "uninitialised: it reads %s, which nothing has written", where);
                    }
            if (write)
                for (size_t i = 0; i < size; ++i) (*a->written)[from + i] = true;
        }
        if (read) bytes_read += size;
        if (write) bytes_written += size;
        touch(address, size, false, write, read, atomic, pc);
    } else if (in_shared(address)) {
        touch(address, size, true, write, read, atomic, pc);
    }
}
}  // namespace

void checks_begin() {
    bytes_read = bytes_written = 0;
    recent = nullptr;
    block_fence.clear();
    if (pages.size() > 200000) {  // a limit on the host's memory; races between launches are none
        for (auto& p : pages) delete p.second;
        pages.clear();
        last = nullptr;
    }
}
void checks_end(Kernel* k) {
    ++k->checked_launches;
    k->bytes_read += bytes_read;
    k->bytes_written += bytes_written;
}
void checks_fence() { block_fence[block_index()] = thread_fence[sim_state.linear] = ++fences; }

#define PC uintptr_t(__builtin_return_address(0)) - 1
extern "C" {
void sim_atomic(const void* p, unsigned size) {
    access(p, size, true, true, true, PC);
    if (++sim_state.spins > 200u) sim_yield();
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
#define ACCESS(n)                                                                        \
    void __tsan_read##n(void* p) { access(p, n, false, true, false, PC); }               \
    void __tsan_write##n(void* p) { access(p, n, true, false, false, PC); }              \
    void __tsan_volatile_read##n(void* p) { access(p, n, false, true, true, PC); }       \
    void __tsan_volatile_write##n(void* p) { access(p, n, true, false, true, PC); }
ACCESS(1) ACCESS(2) ACCESS(4) ACCESS(8) ACCESS(16)
#define UNALIGNED(n)                                                                     \
    void __tsan_unaligned_read##n(void* p) { access(p, n, false, true, false, PC); }     \
    void __tsan_unaligned_write##n(void* p) { access(p, n, true, false, false, PC); }
UNALIGNED(2) UNALIGNED(4) UNALIGNED(8) UNALIGNED(16)
void __tsan_read_range(void* p, size_t n) { access(p, n, false, true, false, PC); }
void __tsan_write_range(void* p, size_t n) { access(p, n, true, false, false, PC); }
void __tsan_vptr_update(void**, void*) {}
void* __tsan_memcpy(void* to, const void* from, size_t n) {
    access(from, n, false, true, false, PC);
    access(to, n, true, false, false, PC);
    return memmove(to, from, n);
}
void* __tsan_memset(void* to, int value, size_t n) {
    access(to, n, true, false, false, PC);
    return memset(to, value, n);
}
void* __tsan_memmove(void* to, const void* from, size_t n) { return __tsan_memcpy(to, from, n); }
}
