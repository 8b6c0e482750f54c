// fiber.h: stacks that take turns.
//
// On x86-64 a switch saves the six registers that a call preserves (2 ns); elsewhere, and with WICK_CUDAEMU_UCONTEXT,
// it is swapcontext, which asks the system twice a switch (200 ns).  The floating-point control words are the same on
// all stacks and stay as they are.
#ifndef WICK_CUDAEMU_FIBER_H
#define WICK_CUDAEMU_FIBER_H

#include <cstddef>

#if !defined(__x86_64__) && !defined(WICK_CUDAEMU_UCONTEXT)
#    define WICK_CUDAEMU_UCONTEXT 1
#endif
#ifdef WICK_CUDAEMU_UCONTEXT
#    include <ucontext.h>
#endif

namespace cudaemu {

struct Fiber {
    void *stack_pointer;
    char *stack; // nullptr: the stack of the host's thread
    const void *bottom;
    size_t size;
    void *fake; // what the address sanitizer keeps for it
    void (*body)(void *);
    void *argument;
#ifdef WICK_CUDAEMU_UCONTEXT
    ucontext_t context;
#endif
};

// A stack with a guard page that will begin with body(argument), which must not return.  nullptr: no memory.
Fiber *fiber_new(void (*body)(void *), void *argument);
// Begins anew, whatever it was in the midst of.
void fiber_reset(Fiber *fiber);
void fiber_delete(Fiber *fiber);
void fiber_switch(Fiber *from, Fiber *to);

} // namespace cudaemu

#endif
