// The parts of the simulator's runtime: memory.cpp (device memory), threads.cpp (fibers, barriers),
// launch.cpp (launches, faults, statistics), checks.cpp (instrumented kernels).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "state.h"

// ---- memory ----
constexpr unsigned char POISON = 0xFF;  // NaN in every floating type, -1 in every integer
constexpr unsigned char CANARY = 0xC5;
constexpr size_t PAGE = 4096;

struct Allocation {
    uintptr_t begin;
    size_t size;
    int device;
    uintptr_t region;    // what was taken from the arena: [region, region + region_size)
    size_t region_size;
    bool guarded;        // unmapped pages on both sides
    bool freed;          // held for reuse; kept for messages
    std::vector<bool>* written;  // a bit a byte, while checking
    uintptr_t end() const { return begin + size; }
};
bool in_arena(uintptr_t address);
Allocation* allocation_at(uintptr_t address);       // the live one that holds the address, or null
Allocation* nearest_allocation(uintptr_t address);  // live or freed, or null
bool canary_damaged(const Allocation* a, long long* offset);  // offset from the begin of the array
void repair_canaries(const Allocation* a);
void mark_written(uintptr_t address, size_t size);

// ---- one error at a time; the host reads it after a launch ----
struct Report {
    int kind;  // 0: none
    int line;  // of the source, 0: unknown, see pc
    uintptr_t pc;
    unsigned block[3], thread[3];
    int located;  // block and thread are known
    char message[1200];
};
extern Report report;
[[noreturn]] void fail(int line, uintptr_t pc, const char* format, ...) __attribute__((format(printf, 3, 4)));
[[noreturn]] void abandon();
bool on_fiber();
void describe(uintptr_t address, char* text, size_t size);  // which array of which argument lies there

// ---- threads ----
struct Kernel {
    std::string name;
    const SimKernel* code[2];     // as compiled for speed, and with every access checked
    const SimModule* module[2];
    uint64_t launches, blocks, threads, bytes_read, bytes_written, checked_launches;
    double seconds;
    unsigned shared_limit;
};
struct Launch {
    Kernel* kernel;
    const SimKernel* code;
    const SimModule* module;
    void** params;
    unsigned shared;
    bool checked;
    uint64_t serial;
};
extern Launch current;
extern bool launching;
enum Order { FORWARD, REVERSE, SHUFFLED, ALL };
bool run_grid(Order order);      // false: `report` says why
uint32_t barrier_epoch();        // how many barriers the block has passed, over the whole program
uint32_t warp_epoch(unsigned thread);
uint64_t block_serial();         // blocks run, over the whole program
unsigned block_index();          // of the block in its grid

// ---- checks ----
void checks_begin();
void checks_end(Kernel* kernel);
void checks_fence();
