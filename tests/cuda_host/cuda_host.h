// A CUDA grid on one CPU thread, enough to run kernels.cu unchanged: its qualifiers, its built-in
// variables, a barrier. It shows wrong arithmetic and wrong indices, not the device's own limits.
//
// The threads of a block are fibers that take turns at each barrier, of the block or of a warp (a
// shuffle, in which all threads of the warp take part); blocks run one after another.
// `turn` changes who goes first, so that a result that depends on the order can be seen to.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include <utility>

#define __global__
#define __device__
#define __shared__ static
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

struct dim3 {
    unsigned x, y, z;
};
static dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace host {
enum { LIMIT = 1024, STACK = 1 << 16, WARP = 32 };
enum State { READY, BARRIER, SHUFFLE, DONE };
static jmp_buf scheduler, fibers[LIMIT];
static bool born[LIMIT];
static State states[LIMIT];
static unsigned running;
static void (*body)(void *);
static void *body_arguments;

static void leave(State state) {
    states[running] = state;
    if (!_setjmp(fibers[running])) _longjmp(scheduler, 1);
}

static void live() {  // a fiber serves the same thread of every block, one after another
    for (;;) {
        body(body_arguments);
        leave(DONE);
    }
}

static void enter(unsigned t) {
    running = t;
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
    if (_setjmp(scheduler)) return;
    if (born[t]) _longjmp(fibers[t], 1);
    born[t] = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = malloc(STACK);
    context.uc_stack.ss_size = STACK;
    makecontext(&context, live, 0);
    setcontext(&context);
}

static const char *run_block(unsigned threads, unsigned turn) {
    for (unsigned t = 0; t < threads; t++) states[t] = READY;
    for (;;) {
        unsigned done = 0, waiting = 0, released = 0;
        for (unsigned i = 0; i < threads; i++) {
            unsigned t = turn == 0 ? i : turn == 1 ? threads - 1 - i : (i * 37 + turn) % threads;
            if (states[t] == READY) enter(t);
            done += states[t] == DONE;
            waiting += states[t] == BARRIER;
        }
        if (done == threads) return nullptr;
        if (waiting == threads)
            for (unsigned t = 0; t < threads; t++, released++) states[t] = READY;
        for (unsigned first = 0; first < threads; first += WARP) {
            unsigned end = first + WARP < threads ? first + WARP : threads, ready = 0;
            for (unsigned t = first; t < end; t++) ready += states[t] == SHUFFLE;
            if (ready == end - first)
                for (unsigned t = first; t < end; t++, released++) states[t] = READY;
        }
        if (!released) {
            for (unsigned t = 0; t < threads; t++) born[t] = false;
            return "some threads of a block ended while others wait at a barrier";
        }
    }
}

static const char *run_grid(const unsigned *dims, unsigned turn, void (*f)(void *), void *args) {
    body = f, body_arguments = args;
    gridDim = {dims[0], dims[1], dims[2]};
    blockDim = {dims[3], dims[4], dims[5]};
    unsigned threads = dims[3] * dims[4] * dims[5], blocks = dims[0] * dims[1] * dims[2];
    if (threads == 0 || threads > LIMIT || blocks == 0) return "no such grid";
    for (unsigned i = 0; i < blocks; i++) {
        unsigned b = turn == 1 ? blocks - 1 - i : i;
        blockIdx = {b % dims[0], b / dims[0] % dims[1], b / dims[0] / dims[1]};
        if (const char *error = run_block(threads, turn)) return error;
    }
    return nullptr;
}

// A kernel's arguments come as in cuLaunchKernel: an array of pointers to them.
template <class... A, size_t... I>
void call(void (*kernel)(A...), void **args, std::index_sequence<I...>) {
    kernel(*(A *)args[I]...);
}
template <class... A>
struct Launch {
    void (*kernel)(A...);
    void **args;
    static void go(void *self) {
        Launch *l = (Launch *)self;
        call(l->kernel, l->args, std::index_sequence_for<A...>{});
    }
};
template <class... A>
const char *launch(const unsigned *dims, unsigned turn, void (*kernel)(A...), void **args) {
    Launch<A...> l{kernel, args};
    return run_grid(dims, turn, Launch<A...>::go, &l);
}

// What a kernel takes, one letter an argument: f, d, i, u, v for pointers by what they point to,
// D and I for double and long long.
constexpr char letter(double) { return 'D'; }
constexpr char letter(long long) { return 'I'; }
constexpr char letter(const float *) { return 'f'; }
constexpr char letter(const double *) { return 'd'; }
constexpr char letter(const long long *) { return 'i'; }
constexpr char letter(const unsigned *) { return 'u'; }
constexpr char letter(const void *) { return 'v'; }
template <class... A>
const char *takes(void (*)(A...)) {
    static constexpr char letters[] = {letter(A{})..., 0};
    return letters;
}
}  // namespace host

static inline void __syncthreads() { host::leave(host::BARRIER); }
template <class T>
T __shfl_xor_sync(unsigned, T value, int lanes) {
    static T values[2][host::LIMIT];  // two, for who is first may already be at the next shuffle
    static unsigned char sides[host::LIMIT];
    const unsigned t = host::running, side = sides[t] ^= 1;
    values[side][t] = value;
    host::leave(host::SHUFFLE);
    return values[side][t ^ lanes];
}
static inline void __threadfence() {}
template <class T>
T __ldcg(const T *at) {
    return *at;
}
static inline unsigned atomicAdd(unsigned *at, unsigned more) {
    unsigned old = *at;
    *at += more;
    return old;
}

#define EXPORT(name)                                                                         \
    extern "C" const char *launch_##name(const unsigned *dims, unsigned turn, void **args) { \
        return host::launch(dims, turn, name, args);                                         \
    }                                                                                        \
    extern "C" const char *takes_##name() { return host::takes(name); }
