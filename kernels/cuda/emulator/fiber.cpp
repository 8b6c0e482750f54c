// fiber.cpp: see fiber.h.
#include "fiber.h"

#include "sanitizer.h"

#include <cstdint>
#include <cstring>
#include <new>
#include <sys/mman.h>

namespace cudaemu {

// Instrumented code keeps its variables apart from each other and so needs more.
#ifdef WICK_CUDAEMU_ASAN
static constexpr size_t stack_size = 256 << 10;
#else
static constexpr size_t stack_size = 64 << 10;
#endif
static constexpr size_t guard = 4096;

static thread_local Fiber *came_from;

// The first thing on a stack, and what every switch does on arrival.
static void arrive(Fiber *self) {
#ifdef WICK_CUDAEMU_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(self->fake, &bottom, &size);
    if (!came_from->stack) came_from->bottom = bottom, came_from->size = size;
#else
    (void)self;
#endif
}

static thread_local Fiber *beginning;

static void begin() {
    Fiber *self = beginning;
    arrive(self);
    self->body(self->argument);
    __builtin_trap(); // a body never returns
}

#ifndef WICK_CUDAEMU_UCONTEXT
extern "C" void wk__cudaemu_switch(void **save, void *to) __attribute__((visibility("hidden")));
asm(".text\n"
    ".globl wk__cudaemu_switch\n"
    ".hidden wk__cudaemu_switch\n"
    ".type wk__cudaemu_switch,@function\n"
    "wk__cudaemu_switch:\n"
    "    push %rbp\n    push %rbx\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
    "    mov %rsp,(%rdi)\n"
    "    mov %rsi,%rsp\n"
    "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbx\n    pop %rbp\n"
    "    ret\n"
    ".size wk__cudaemu_switch,.-wk__cudaemu_switch\n");

static void prepare(Fiber *fiber) {
    void **top = reinterpret_cast<void **>(fiber->stack + stack_size);
    *--top = nullptr; // where begin would return to; keeps the stack aligned as after a call
    *--top = reinterpret_cast<void *>(begin);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    fiber->stack_pointer = top;
}

static void exchange(Fiber *from, Fiber *to) {
    wk__cudaemu_switch(&from->stack_pointer, to->stack_pointer);
}
#else
static void prepare(Fiber *fiber) {
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = stack_size;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, begin, 0);
}

static void exchange(Fiber *from, Fiber *to) {
    swapcontext(&from->context, &to->context);
}
#endif

Fiber *fiber_new(void (*body)(void *), void *argument) {
    Fiber *fiber = new (std::nothrow) Fiber();
    void *block = mmap(nullptr, stack_size + guard, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!fiber || block == MAP_FAILED || mprotect(block, guard, PROT_NONE) != 0) {
        if (block != MAP_FAILED) munmap(block, stack_size + guard);
        delete fiber;
        return nullptr;
    }
    fiber->stack = static_cast<char *>(block) + guard;
    fiber->bottom = fiber->stack;
    fiber->size = stack_size;
    fiber->body = body;
    fiber->argument = argument;
    prepare(fiber);
    return fiber;
}

void fiber_reset(Fiber *fiber) {
    unpoison(fiber->stack, stack_size);
    fiber->fake = nullptr;
    prepare(fiber);
}

void fiber_delete(Fiber *fiber) {
    munmap(fiber->stack - guard, stack_size + guard);
    delete fiber;
}

void fiber_switch(Fiber *from, Fiber *to) {
    came_from = from;
    beginning = to;
#ifdef WICK_CUDAEMU_ASAN
    __sanitizer_start_switch_fiber(&from->fake, to->bottom, to->size);
#endif
    exchange(from, to);
    arrive(from);
}

} // namespace cudaemu
