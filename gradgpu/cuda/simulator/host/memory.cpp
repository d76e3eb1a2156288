// Device memory: one reserved range of addresses. Every array ends at an unmapped page, so that the first access
// past it faults; the bytes that its alignment leaves over, and those in front, hold canaries.
#include "runtime.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>

namespace {
uintptr_t arena, arena_end, arena_next;
std::map<uintptr_t, Allocation*> live, dead;              // by region
std::unordered_map<size_t, std::vector<Allocation*>> reusable;  // by region size; the sign of `guarded` in bit 0
struct Use { size_t used, peak, held; } use[64];
size_t limit = size_t(16) << 30;
size_t guarded_regions;
constexpr size_t MAX_GUARDED = 24000;  // each costs two of the 65530 mappings that Linux allows
uintptr_t slab, slab_end;
constexpr size_t SLAB = size_t(64) << 20, FRONT = 64, ALIGN = 16;

bool reserve() {
    for (size_t size = size_t(16) << 40; size >= size_t(1) << 33; size >>= 1) {
        void* p = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) continue;
        arena = arena_next = uintptr_t(p);
        arena_end = arena + size;
        return true;
    }
    return false;
}

// Few sizes of regions, so that freed ones fit again: 1/8 steps between powers of two.
size_t region_bytes(size_t bytes) {
    size_t pages = (bytes + PAGE - 1) / PAGE, step = 1;
    while (pages > 16 * step) step *= 2;
    return (pages + step - 1) / step * step * PAGE;
}

uintptr_t take(size_t bytes, bool guarded) {
    if (!arena && !reserve()) return 0;
    if (guarded) {
        if (arena_next + bytes + 2 * PAGE > arena_end) return 0;
        const uintptr_t region = arena_next + PAGE;
        if (mprotect(reinterpret_cast<void*>(region), bytes, PROT_READ | PROT_WRITE)) return 0;
        arena_next = region + bytes;
        ++guarded_regions;
        return region;
    }
    if (slab + bytes > slab_end) {
        const size_t size = std::max(SLAB, region_bytes(bytes));
        if (arena_next + size + 2 * PAGE > arena_end) return 0;
        slab = arena_next + PAGE;
        if (mprotect(reinterpret_cast<void*>(slab), size, PROT_READ | PROT_WRITE)) return 0;
        slab_end = arena_next = slab + size;
    }
    const uintptr_t region = slab;
    slab += bytes;
    return region;
}

size_t front(const Allocation* a) { return std::min<size_t>(a->begin - a->region, FRONT); }
size_t back(const Allocation* a) { return a->region + a->region_size - a->end(); }
}  // namespace

bool checking();

bool in_arena(uintptr_t address) { return address >= arena && address < arena_end; }

Allocation* allocation_at(uintptr_t address) {
    if (!in_arena(address)) return nullptr;
    auto i = live.upper_bound(address);
    if (i == live.begin()) return nullptr;
    Allocation* a = (--i)->second;
    return address >= a->begin && address < a->end() ? a : nullptr;
}

Allocation* nearest_allocation(uintptr_t address) {
    Allocation* best = nullptr;
    size_t distance = ~size_t(0);
    for (auto* table : {&live, &dead}) {
        auto i = table->upper_bound(address);
        for (int step = 0; step < 2; ++step) {
            if (step ? i != table->begin() : i != table->end()) {
                Allocation* a = (step ? std::prev(i) : i)->second;
                const size_t far = address < a->begin ? a->begin - address : address >= a->end() ? address - a->end() + 1 : 0;
                if (far < distance) distance = far, best = a;
            }
        }
    }
    return distance < (size_t(1) << 30) ? best : nullptr;
}

bool canary_damaged(const Allocation* a, long long* offset) {
    const auto* before = reinterpret_cast<const unsigned char*>(a->begin);
    for (size_t i = 1; i <= front(a); ++i)
        if (before[-(long long)i] != CANARY) return *offset = -(long long)i, true;
    const auto* after = reinterpret_cast<const unsigned char*>(a->end());
    for (size_t i = 0; i < std::min<size_t>(back(a), FRONT); ++i)
        if (after[i] != CANARY) return *offset = (long long)(a->size + i), true;
    return false;
}

void repair_canaries(const Allocation* a) {
    memset(reinterpret_cast<void*>(a->begin - front(a)), CANARY, front(a));
    memset(reinterpret_cast<void*>(a->end()), CANARY, std::min<size_t>(back(a), FRONT));
}

void mark_written(uintptr_t address, size_t size) {
    Allocation* a = allocation_at(address);
    if (!a || !a->written) return;
    const size_t from = address - a->begin, to = std::min(from + size, a->size);
    std::fill(a->written->begin() + from, a->written->begin() + to, true);
}

extern "C" {
void sim_set_memory(size_t bytes) { limit = bytes; }

// 0: out of memory
uintptr_t sim_alloc(size_t size, int device) {
    if (size == 0) return 0;
    if (use[device].used + size > limit) return 0;
    const size_t padded = (size + ALIGN - 1) / ALIGN * ALIGN;
    bool guarded = guarded_regions < MAX_GUARDED || padded > SLAB / 4;
    size_t region_size = region_bytes(padded);
    std::vector<Allocation*>* stack = &reusable[region_size | 1];
    if (stack->empty() && !guarded) {
        region_size = (padded + 2 * FRONT + 63) / 64 * 64;
        stack = &reusable[region_size];
    }
    Allocation* a;
    if (!stack->empty()) {
        a = stack->back();
        stack->pop_back();
        dead.erase(a->region);
        guarded = a->guarded;
    } else {
        const uintptr_t region = take(region_size, guarded);
        if (!region) return 0;
        a = new Allocation{0, 0, device, region, region_size, guarded, false, nullptr};
        use[device].held += region_size;
    }
    a->size = size;
    a->device = device;
    a->freed = false;
    a->begin = guarded ? a->region + region_size - padded : a->region + FRONT;
    memset(reinterpret_cast<void*>(a->begin), POISON, size);
    repair_canaries(a);
    delete a->written;
    a->written = checking() ? new std::vector<bool>(size, false) : nullptr;
    live[a->region] = a;
    use[device].used += size;
    use[device].peak = std::max(use[device].peak, use[device].used);
    return a->begin;
}

// 1: damaged canary (offset says where); the memory is freed all the same
int sim_free(uintptr_t address, long long* offset) {
    auto i = live.upper_bound(address);
    if (i == live.begin()) return 2;
    Allocation* a = (--i)->second;
    if (a->begin != address) return 2;
    const bool damaged = canary_damaged(a, offset);
    live.erase(i);
    use[a->device].used -= a->size;
    a->freed = true;
    if (a->region_size >= (size_t(1) << 22)) madvise(reinterpret_cast<void*>(a->region), a->region_size, MADV_DONTNEED);
    dead[a->region] = a;
    reusable[a->region_size | size_t(a->guarded)].push_back(a);
    return damaged;
}

void sim_memory(int device, size_t* used, size_t* peak, size_t* held, size_t* total) {
    *used = use[device].used, *peak = use[device].peak, *held = use[device].held, *total = limit;
}
void sim_reset_peak(int device) { use[device].peak = use[device].used; }

// 0 if [address, address + size) lies in one live array of the device
int sim_check_range(uintptr_t address, size_t size, char* text, size_t text_size) {
    if (size == 0) return 0;
    Allocation* a = allocation_at(address);
    if (a && address + size <= a->end()) return 0;
    describe(a ? a->end() : address, text, text_size);
    return 1;
}
void sim_mark(uintptr_t address, size_t size) { mark_written(address, size); }
void sim_copy(uintptr_t to, uintptr_t from, size_t size) {
    memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), size);
    Allocation *source = allocation_at(from), *target = allocation_at(to);
    if (!target || !target->written) return;
    if (!source || !source->written) return mark_written(to, size);
    for (size_t i = 0; i < size; ++i)
        (*target->written)[to - target->begin + i] = bool((*source->written)[from - source->begin + i]);
}
}
