// Launches: limits, canaries, faults, runs in several orders, statistics, and the functions that Python calls.
#include "runtime.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <set>

Report report;

extern "C" size_t sim_static_shared(const Kernel* k);

namespace {
Order order = FORWARD;
bool check_mode;
double timeout = 120;
std::string printed;
uint64_t serial;
std::vector<Kernel*> kernels;

pthread_t launch_thread;
std::atomic<uint64_t> running_serial{0};  // 0: none
std::atomic<bool> timed_out{false};
struct sigaction before[3];
const int SIGNALS[3] = {SIGSEGV, SIGBUS, SIGFPE};

void locate() {
    report.located = launching && (on_fiber() || sim_state.linear < sim_state.count);
    const uint3 b = sim_state.block, t = sim_state.thread;
    report.block[0] = b.x, report.block[1] = b.y, report.block[2] = b.z;
    report.thread[0] = t.x, report.thread[1] = t.y, report.thread[2] = t.z;
}

uintptr_t program_counter(const ucontext_t* c, bool* write) {
    *write = false;
#if defined(__x86_64__) && defined(__linux__)
    *write = c->uc_mcontext.gregs[REG_ERR] & 2;
    return uintptr_t(c->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__) && defined(__linux__)
    return uintptr_t(c->uc_mcontext.pc);
#else
    (void)c;
    return 0;
#endif
}

void on_signal(int number, siginfo_t* info, void* context) {
    if (!launching || !on_fiber() || !pthread_equal(pthread_self(), launch_thread)) {
        for (int i = 0; i < 3; ++i)
            if (SIGNALS[i] == number) sigaction(number, &before[i], nullptr);
        return;  // happens again, and goes to whom it concerns
    }
    bool write;
    report.pc = program_counter(static_cast<ucontext_t*>(context), &write);
    report.kind = 1;
    report.line = 0;
    locate();
    if (timed_out.exchange(false)) {
        snprintf(report.message, sizeof report.message,
                 "the kernel ran for more than %.0f s (an endless loop, or one that waits for a later block? "
                 "GRADGPU_CUDASIM_TIMEOUT sets the limit)", timeout);
    } else if (number == SIGFPE) {
        snprintf(report.message, sizeof report.message, "integer division by zero (a GPU would go on with a meaningless result)");
    } else {
        char where[600];
        describe(uintptr_t(info->si_addr), where, sizeof where);
        snprintf(report.message, sizeof report.message, "out of bounds: it %s address %p, %s", write ? "writes" : "reads",
                 info->si_addr, where);
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
    abandon();
}

void install() {
    struct sigaction action {}, now {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < 3; ++i) {
        sigaction(SIGNALS[i], nullptr, &now);
        if (now.sa_sigaction == on_signal) continue;
        before[i] = now;
        sigaction(SIGNALS[i], &action, nullptr);
    }
    thread_local bool has_stack = false;
    if (!has_stack) {
        stack_t s{};
        sigaltstack(nullptr, &s);
        if (s.ss_flags & SS_DISABLE || s.ss_size < 65536) {
            s.ss_sp = new char[65536];
            s.ss_size = 65536;
            s.ss_flags = 0;
            sigaltstack(&s, nullptr);
        }
        has_stack = true;
    }
}

void* watch(void*) {
    uint64_t seen = 0;
    auto since = std::chrono::steady_clock::now();
    for (;;) {
        usleep(250000);
        const uint64_t now = running_serial;
        const auto time = std::chrono::steady_clock::now();
        if (now != seen || now == 0) seen = now, since = time;
        else if (timeout > 0 && std::chrono::duration<double>(time - since).count() > timeout) {
            since = time;
            timed_out = true;
            pthread_kill(launch_thread, SIGSEGV);
        }
    }
    return nullptr;
}

void start_watch() {
    static pid_t owner = 0;
    if (owner == getpid()) return;
    owner = getpid();
    pthread_t t;
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    pthread_create(&t, &a, watch, nullptr);
}

// The arrays that the arguments point to, and (for tables of pointers) those that small arrays point to.
std::vector<Allocation*> referenced(bool follow) {
    std::vector<Allocation*> found;
    auto scan = [&](const void* from, size_t size) {
        for (size_t i = 0; i + 8 <= size; i += 8) {
            uintptr_t word;
            memcpy(&word, static_cast<const char*>(from) + i, 8);
            Allocation* a = allocation_at(word);
            if (a && std::find(found.begin(), found.end(), a) == found.end()) found.push_back(a);
        }
    };
    for (unsigned i = 0; i < current.code->arguments; ++i) scan(current.params[i], current.code->sizes[i]);
    if (follow)
        for (size_t k = 0; k < found.size(); ++k)
            if (found[k]->size <= 65536 && found[k]->begin % 8 == 0)
                scan(reinterpret_cast<void*>(found[k]->begin), found[k]->size);
    return found;
}

const char* ORDER_NAMES[] = {"forward", "reverse", "shuffled"};

// Runs the launch in every order on the same contents and compares what it wrote.
bool run_all_orders() {
    const auto arrays = referenced(true);
    std::vector<std::vector<char>> input, first;
    auto bytes = [](Allocation* a) { return reinterpret_cast<char*>(a->begin); };
    for (Allocation* a : arrays) input.emplace_back(bytes(a), bytes(a) + a->size);
    for (int o = FORWARD; o <= SHUFFLED; ++o) {
        if (o != FORWARD)
            for (size_t k = 0; k < arrays.size(); ++k) memcpy(bytes(arrays[k]), input[k].data(), input[k].size());
        const size_t text = printed.size();
        current.serial = ++serial;
        if (current.checked) checks_begin();
        if (!run_grid(Order(o))) return false;
        if (o != FORWARD) printed.resize(text);
        for (size_t k = 0; k < arrays.size(); ++k) {
            if (o == FORWARD) {
                first.emplace_back(bytes(arrays[k]), bytes(arrays[k]) + arrays[k]->size);
                continue;
            }
            if (memcmp(first[k].data(), bytes(arrays[k]), first[k].size()) == 0) continue;
            size_t at = 0;
            while (first[k][at] == bytes(arrays[k])[at]) ++at;
            char where[600];
            describe(arrays[k]->begin + at, where, sizeof where);
            report.kind = 1;
            report.located = 0;
            snprintf(report.message, sizeof report.message,
                     "race: the result depends on the order in which threads run (%s differs from forward) at byte %zu, %s; "
                     "GRADGPU_CUDASIM_CHECK=1 names the threads", ORDER_NAMES[o], at, where);
            for (size_t j = 0; j < arrays.size(); ++j) memcpy(bytes(arrays[j]), first[j].data(), first[j].size());
            return false;
        }
    }
    return true;
}

// A launch that the device would refuse.
bool refuse(const char* format, ...) {
    va_list a;
    va_start(a, format);
    vsnprintf(report.message, sizeof report.message, format, a);
    va_end(a);
    report.kind = 2;
    report.line = 0, report.pc = 0, report.located = 0;
    return false;
}

bool within_limits(const Kernel* k, const SimKernel* code, uint3 g, uint3 b, unsigned shared) {
    if (!g.x || !g.y || !g.z) return refuse("the grid (%u,%u,%u) is empty; do not launch for an array without elements", g.x, g.y, g.z);
    if (!b.x || !b.y || !b.z) return refuse("the block (%u,%u,%u) is empty", b.x, b.y, b.z);
    if (g.x > 0x7fffffffu || g.y > 65535u || g.z > 65535u)
        return refuse("the grid (%u,%u,%u) is beyond the device's (2147483647,65535,65535)", g.x, g.y, g.z);
    if (b.x > 1024 || b.y > 1024 || b.z > 64)
        return refuse("the block (%u,%u,%u) is beyond the device's (1024,1024,64)", b.x, b.y, b.z);
    const uint64_t threads = uint64_t(b.x) * b.y * b.z;
    if (threads > 1024) return refuse("a block of %llu threads; a device takes 1024", (unsigned long long)threads);
    if (threads > code->max_threads)
        return refuse("a block of %llu threads; __launch_bounds__ of the kernel allows %u", (unsigned long long)threads, code->max_threads);
    const size_t fixed = sim_static_shared(k), usual = 48 * 1024, most = 232448;
    if (fixed > usual) return refuse("%zu bytes of __shared__ variables; a kernel may declare %zu (more only as dynamic shared memory)", fixed, usual);
    const size_t may = k->shared_limit > usual ? std::min<size_t>(k->shared_limit, most - fixed) : usual - fixed;
    if (shared > may)
        return refuse("%u bytes of dynamic shared memory; beside %zu bytes of __shared__ variables the kernel may have %zu "
                      "(set_shared raises it, to 232448 in all)", shared, fixed, may);
    return true;
}
}  // namespace

bool checking() { return check_mode; }

void fail(int line, uintptr_t pc, const char* format, ...) {
    va_list a;
    va_start(a, format);
    vsnprintf(report.message, sizeof report.message, format, a);
    va_end(a);
    report.kind = 1;
    report.line = line;
    report.pc = pc;
    locate();
    abandon();
}

void describe(uintptr_t address, char* text, size_t size) {
    Allocation* a = nearest_allocation(address);
    if (!a) {
        snprintf(text, size, "which is far from every array%s", address < PAGE ? " (a null pointer)" : "");
        return;
    }
    char owner[120] = "an array that no argument points to";
    if (launching) {
        for (unsigned i = 0; i < current.code->arguments; ++i) {
            for (unsigned o = 0; o + 8 <= current.code->sizes[i]; o += 8) {
                uintptr_t word;
                memcpy(&word, static_cast<const char*>(current.params[i]) + o, 8);
                if (word < a->begin || word > a->end() || (word == a->end() && a->size)) continue;
                if (current.code->sizes[i] <= 8) snprintf(owner, sizeof owner, "the array of argument %u", i);
                else snprintf(owner, sizeof owner, "the array of argument %u, field at byte %u", i, o);
                i = current.code->arguments - 1;
                break;
            }
        }
    }
    char place[100];
    if (address < a->begin) snprintf(place, sizeof place, "%zu bytes before the begin", size_t(a->begin - address));
    else if (address >= a->end()) snprintf(place, sizeof place, "%zu bytes past the end", size_t(address - a->end()));
    else snprintf(place, sizeof place, "byte %zu", size_t(address - a->begin));
    snprintf(text, size, "%s of %s (%zu bytes%s)", place, owner, a->size, a->freed ? ", freed" : "");
}

extern "C" {
Kernel* sim_open(const SimModule* module, const char* name) {
    for (unsigned i = 0; i < module->kernel_count; ++i) {
        if (strcmp(module->kernels[i].name, name)) continue;
        Kernel* k = new Kernel{name, {&module->kernels[i], nullptr}, {module, nullptr}, 0, 0, 0, 0, 0, 0, 0, 48 * 1024};
        kernels.push_back(k);
        return k;
    }
    return nullptr;
}
int sim_attach_checked(Kernel* k, const SimModule* module) {
    for (unsigned i = 0; i < module->kernel_count; ++i) {
        if (k->name != module->kernels[i].name) continue;
        k->code[1] = &module->kernels[i];
        k->module[1] = module;
        return 0;
    }
    return 1;
}
void sim_set_shared(Kernel* k, unsigned bytes) { k->shared_limit = bytes; }
unsigned sim_max_threads(const Kernel* k) { return k->code[0]->max_threads; }
unsigned sim_argument_count(const Kernel* k) { return k->code[0]->arguments; }
const unsigned* sim_argument_sizes(const Kernel* k) { return k->code[0]->sizes; }
size_t sim_static_shared(const Kernel* k) {
    size_t n = 0;
    for (unsigned i = 0; i < k->module[0]->shared_count; ++i) {
        const SimRange& r = k->module[0]->shared[i];
        if (r.begin) n += size_t(r.end - r.begin);
    }
    return n;
}
// The library that holds an address: its path, and the address relative to where it was loaded.
const char* sim_library_of(uintptr_t address, uintptr_t* offset) {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void*>(address), &info)) return nullptr;
    *offset = address - uintptr_t(info.dli_fbase);
    return info.dli_fname;
}
void sim_configure(int new_order, int check, double seconds) {
    if (new_order >= 0) order = Order(new_order);
    if (check >= 0) check_mode = check != 0;
    if (seconds >= 0) timeout = seconds;
}
void sim_configuration(int* out_order, int* out_check, double* seconds) { *out_order = order, *out_check = check_mode, *seconds = timeout; }
const Report* sim_report() { return &report; }
const char* sim_printed() { return printed.c_str(); }
void sim_clear_printed() { printed.clear(); }
void sim_statistics(const Kernel* k, uint64_t out[6], double* seconds) {
    out[0] = k->launches, out[1] = k->blocks, out[2] = k->threads, out[3] = k->bytes_read, out[4] = k->bytes_written,
    out[5] = k->checked_launches;
    *seconds = k->seconds;
}
void sim_clear_statistics() {
    for (Kernel* k : kernels) k->launches = k->blocks = k->threads = k->bytes_read = k->bytes_written = k->checked_launches = 0, k->seconds = 0;
}

// 0: done; 1: failed, see sim_report; 2: done, and there is printed text; 3: the checked code is wanted first
int sim_launch(Kernel* k, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared,
               void** params) {
    if (check_mode && !k->code[1]) return 3;
    report.kind = 0;
    report.line = 0, report.pc = 0;
    const uint3 g = {gx, gy, gz}, b = {bx, by, bz};
    current = {k, k->code[check_mode], k->module[check_mode], params, shared, check_mode, ++serial};
    if (!within_limits(k, current.code, g, b, shared)) return 1;
    sim_state.grid_dim = g;
    sim_state.block_dim = b;
    sim_state.count = bx * by * bz;
    install();
    start_watch();
    launch_thread = pthread_self();
    launching = true;
    running_serial = serial;
    const auto begin = std::chrono::steady_clock::now();
    if (check_mode) checks_begin();
    const bool done = order == ALL ? run_all_orders() : run_grid(order);
    if (check_mode) checks_end(k);
    running_serial = 0;
    k->launches += 1;
    k->blocks += uint64_t(gx) * gy * gz;
    k->threads += uint64_t(gx) * gy * gz * sim_state.count;
    k->seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (done) {
        for (Allocation* a : referenced(false)) {
            long long at;
            if (!canary_damaged(a, &at)) continue;
            char where[600];
            describe(a->begin + uintptr_t(at), where, sizeof where);
            report.kind = 1;
            report.located = 0;
            snprintf(report.message, sizeof report.message,
                     "out of bounds: something was written %s; GRADGPU_CUDASIM_CHECK=1 names the thread and the line", where);
            repair_canaries(a);
            break;
        }
    }
    launching = false;
    return report.kind ? 1 : printed.empty() ? 0 : 2;
}

// ---- what kernels call ----
void sim_assert_failed(const char* condition, int line) { fail(line, 0, "assertion failed: %s", condition); }
void sim_trap(const char* what) { fail(0, uintptr_t(__builtin_return_address(0)) - 1, "%s", what); }
int sim_printf(const char* format, ...) {
    char text[2048];
    va_list a;
    va_start(a, format);
    const int n = vsnprintf(text, sizeof text, format, a);
    va_end(a);
    printed += text;
    return n;
}

// ---- what -fsanitize=alignment,bounds calls ----
struct Location { const char* file; uint32_t line, column; };
struct Type { uint16_t kind, info; char name[1]; };
struct MismatchData { Location at; const Type* type; unsigned char log_alignment, kind; };
struct BoundsData { Location at; const Type *array, *index; };

void __ubsan_handle_type_mismatch_v1(const MismatchData* d, uintptr_t address) {
    char where[600];
    describe(address, where, sizeof where);
    static const char* const access[] = {"read", "write", "reference", "member access", "member call", "constructor call",
                                         "pointer conversion", "pointer conversion"};
    fail(int(d->at.line), 0, "misaligned %s: %s needs an address that is a multiple of %u, this one is %p, %s",
         d->kind < 8 ? access[d->kind] : "access", d->type->name, 1u << d->log_alignment, reinterpret_cast<void*>(address), where);
}
void __ubsan_handle_out_of_bounds(const BoundsData* d, uintptr_t index) {
    const bool is_signed = d->index->kind == 0 && (d->index->info & 1);
    const int bits = 1 << (d->index->info >> 1);
    long long i = (long long)index;
    if (is_signed && bits < 64) i = (long long)(index << (64 - bits)) >> (64 - bits);
    fail(int(d->at.line), 0, "out of bounds: index %lld of an array of type %s", i, d->array->name);
}
void __ubsan_handle_type_mismatch_v1_abort(const MismatchData* d, uintptr_t a) { __ubsan_handle_type_mismatch_v1(d, a); }
void __ubsan_handle_out_of_bounds_abort(const BoundsData* d, uintptr_t i) { __ubsan_handle_out_of_bounds(d, i); }
}
