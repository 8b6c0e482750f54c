/* base.h: what the floors share among themselves: the error slot, growing text, the arena, name suggestions. */
#ifndef WICK_SRC_BASE_H
#define WICK_SRC_BASE_H

#include "wick/base.h"

#include <stdarg.h>

/* What compiled this file, for files that say so. */
#ifdef __clang__
#    define WK_COMPILER "clang " __clang_version__
#else
#    define WK_COMPILER "gcc " __VERSION__
#endif
#define WK_COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define WK_LIKELY(cond)   __builtin_expect(!!(cond), 1)
#define WK_UNLIKELY(cond) __builtin_expect(!!(cond), 0)

/* The error of one context.  A thread's default one lives in thread-local storage; a wk_context brings its own. */
typedef struct wk__error {
    wk_status code;
    int line;
    const char *file;
    char message[1200];
} wk__error;

/* The slot bound to this thread (never NULL). */
WK_API wk__error *wk__error_slot(void);
/* Bind another slot to this thread (NULL: the thread's own); gives the former. */
WK_API wk__error *wk__error_bind(wk__error *slot);
/* Like wk_fail_at with a va_list. */
WK_API wk_status wk__fail_list(wk_status code, const char *file, int line, const char *format, va_list list);

/* Growing text.  Starts zeroed; after an allocation failed every append is a no-op and `failed` is set. */
typedef struct wk_text {
    char *data; /* always terminated once anything was appended; NULL before */
    size_t size, capacity;
    bool failed;
} wk_text;
WK_API void wk_text_add(wk_text *text, const char *bytes, size_t size);
WK_API void wk_text_puts(wk_text *text, const char *string);
WK_API void wk_text_printf(wk_text *text, const char *format, ...) WK_PRINTF(2, 3);
WK_API void wk_text_free(wk_text *text);
/* "" instead of NULL. */
static inline const char *wk_text_get(const wk_text *text) {
    return text->data ? text->data : "";
}

/* The plugin wick_NAME.so, opened for good: a handle for dlsym, or NULL, and in `reason` the loader's words where the
 * file is there. */
WK_API void *wk__plugin_library(const char *name, wk_text *reason);

/* The known name nearest to `word` (edit distance ≤ a third of its length, at least 1), or NULL. */
WK_API const char *wk__nearest(const char *word, const char *const *names, size_t count);

/* Have the C library give what was freed back to the system. */
WK_API void wk__memory_return(void);

/* A number that differs where texts differ (FNV-1a); begin with hash 0, go on with the former result. */
WK_API uint64_t wk__hash(uint64_t hash, const char *text);

/* A chunked bump allocator.  Memory is zeroed on request only; wk__arena_rewind gives back everything since a mark
 * but keeps the chunks, so a steady step allocates nothing from the system. */
typedef struct wk__arena_chunk wk__arena_chunk;
typedef struct wk__arena {
    wk__arena_chunk *first, *current;
    char *next, *end;
} wk__arena;
typedef struct wk__arena_mark {
    wk__arena_chunk *chunk;
    char *next;
} wk__arena_mark;
WK_API void *wk__arena_slow(wk__arena *arena, size_t size);
/* Uninitialised memory aligned to 16; NULL with WK_NO_MEMORY pending. */
static inline void *wk__arena_take(wk__arena *arena, size_t size) {
    size = (size + 15) & ~(size_t)15;
    if (WK_UNLIKELY((size_t)(arena->end - arena->next) < size)) return wk__arena_slow(arena, size);
    char *memory = arena->next;
    arena->next += size;
    return memory;
}
WK_API wk__arena_mark wk__arena_here(const wk__arena *arena);
WK_API void wk__arena_rewind(wk__arena *arena, wk__arena_mark mark);
WK_API void wk__arena_destroy(wk__arena *arena);

#endif
