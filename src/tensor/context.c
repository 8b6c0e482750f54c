/* context.c: contexts and scopes.
 *
 * Headers and tape nodes come from the step arena and live until the outermost scope ends; storages are given back when
 * the scope that made them ends.  So a pointer held by the tape never dangles, and activations die as early as a local
 * variable would.
 */
#include "tensor/tensor.h"
#include "wick/ops.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

_Thread_local wk_context *wk__context_bound;
void (*wk__context_made)(void);
static _Thread_local wk_context *own_context;
static pthread_key_t own_key;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static int number_in(const char *variable) {
    const char *text = getenv(variable);
    return text ? (int)strtol(text, NULL, 10) : 0;
}

/* As many as there are processors for this process.  Ranks of one host share those of the program that started them
 * (mpirun, which may have bound each to some of its own): together they have no more threads than that. */
static int default_threads(void) {
    const int wish = number_in("OMP_NUM_THREADS");
    if (wish > 0) return wish;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int threads = CPU_COUNT(&set), ranks = number_in("OMPI_COMM_WORLD_LOCAL_SIZE");
    if (ranks < 1) ranks = number_in("LOCAL_WORLD_SIZE");
    if (ranks < 2 || sched_getaffinity(getppid(), sizeof set, &set) != 0) return threads;
    const int share = CPU_COUNT(&set) / ranks;
    if (share < threads) threads = share;
    return threads > 0 ? threads : 1;
}

wk_context *wk_context_create(void) {
    wk_context *context = wk_alloc(sizeof *context);
    if (!context) return NULL;
    context->threads = default_threads();
    context->process = (int)getpid();
    context->pending = &context->error;
    wk_generator_seed(&context->generator, 0);
    return context;
}

void wk_context_destroy(wk_context *context) {
    if (!context) return;
    wk_context *bound = wk_context_bind(context);
    if (context->observer) context->observer->context_ends(context->observer);
    while (context->scope) wk_scope_end((wk_scope){ context->scope, context->scope->serial });
    if (context->step) wk__step_destroy(context);
    wk_memory_trim();
    wk__arena_destroy(&context->arena);
    wk__autocast_forget(context);
    (void)wk_context_bind(bound == context ? NULL : bound);
    if (own_context == context) own_context = NULL;
    wk_free(context);
}

static void destroy_own(void *context) {
    wk_context_destroy(context);
    wk__context_bound = NULL;
}

static void make_key(void) {
    (void)pthread_key_create(&own_key, destroy_own);
}

wk_context *wk__context_slow(void) {
    if (!own_context) {
        own_context = wk_context_create();
        if (!own_context) return NULL;
        own_context->pending = wk__error_slot();
        (void)pthread_once(&own_once, make_key);
        (void)pthread_setspecific(own_key, own_context);
        (void)wk_context_bind(own_context);
        if (wk__context_made) wk__context_made();
    }
    (void)wk_context_bind(own_context);
    return own_context;
}

wk_context *wk_context_bind(wk_context *context) {
    wk_context *former = wk__context_bound;
    wk__context_bound = context ? context : own_context;
    /* The thread's own error slot serves before a context exists, so a failure noted there must not be lost. */
    (void)wk__error_bind(context && context != own_context ? &context->error : NULL);
    return former == own_context ? NULL : former;
}

void wk_set_threads(int threads) {
    wk_context *context = wk__context();
    if (context) context->threads = threads > 0 ? threads : default_threads();
}

int wk_threads(void) {
    wk_context *context = wk__context();
    return context ? context->threads : 1;
}

wk_generator *wk_default_generator(void) {
    wk_context *context = wk__context();
    return context ? &context->generator : NULL;
}

void wk_manual_seed(uint64_t seed) {
    wk_context *context = wk__context();
    if (context) wk_generator_seed(&context->generator, seed);
}

void wk_note_call(const char *where) {
    wk_context *context = wk__context();
    if (context) context->call_site = where;
}

wk_scope wk_scope_begin(void) {
    wk_context *context = wk__context();
    if (!context) return (wk_scope){ 0 };
    if (!context->scope && context->process != (int)getpid()) {
        (void)wk_fail(WK_FORKED, "this process was forked from one that used Wick; start a new program (exec) instead");
        return (wk_scope){ 0 };
    }
    wk__arena_mark mark = wk__arena_here(&context->arena);
    wk__scope *scope = wk__arena_take(&context->arena, sizeof *scope);
    if (!scope) return (wk_scope){ 0 };
    *scope = (wk__scope){ .outer = context->scope, .mark = mark, .serial = ++context->scope_serial };
    if (!scope->outer) context->step_serial++;
    context->scope = scope;
    return (wk_scope){ scope, scope->serial };
}

static void end_innermost(wk_context *context) {
    wk__scope *scope = context->scope;
    if (WK_UNLIKELY(context->mode & WK__MODE_CAPTURE))
        for (const wk_tensor *tensor = scope->tensors; tensor; tensor = tensor->next) wk__capture_drop(context, tensor);
    for (wk_tensor *tensor = scope->tensors; tensor; tensor = tensor->next) wk__tensor_drop(tensor);
    context->scope = scope->outer;
    if (WK_UNLIKELY(scope == context->autocast.scope)) { /* kept casts lived in it */
        context->autocast.scope = NULL;
        wk__autocast_forget(context);
    }
    if (scope->outer) return;
    if (WK_UNLIKELY(context->step != NULL)) wk__step_close(context);
    wk__tape_clear(context);
    wk__arena_rewind(&context->arena, scope->mark);
}

static bool is_open(const wk_context *context, wk_scope scope) {
    for (const wk__scope *open = context->scope; open; open = open->outer)
        if (open == scope.record) return open->serial == scope.serial;
    return false;
}

void wk_scope_end(wk_scope scope) {
    wk_context *context = wk__context();
    if (!context || !scope.record || !is_open(context, scope)) return;
    for (bool last = false; !last;) {
        last = context->scope == scope.record;
        end_innermost(context);
    }
}

wk_tensor *wk_scope_return(wk_scope scope, wk_tensor *tensor) {
    wk_context *context = wk__context();
    if (!context || !tensor || !scope.record || (tensor->flags & WK_TENSOR_KEPT)) return tensor;
    wk__scope *inner = scope.record;
    if (!is_open(context, scope) || !inner->outer) return tensor;
    for (wk_tensor **link = &inner->tensors; *link; link = &(*link)->next) {
        if (*link != tensor) continue;
        *link = tensor->next;
        tensor->next = inner->outer->tensors;
        inner->outer->tensors = tensor;
        break;
    }
    return tensor;
}
