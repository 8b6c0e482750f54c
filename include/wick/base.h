/* wick/base.h: what every floor stands on: status codes, the pending error, memory, log, clock.
 *
 * Errors.  A function that returns a tensor or a handle returns NULL when it fails; everything else returns a
 * wk_status.  Either way the first failure is kept, with its message, for the thread that met it, until
 * wk_clear_error() or wk_report().  While an error is pending, tensor operations return NULL at once, so model code
 * needs one check a step (wk_failed()).
 */
#ifndef WICK_BASE_H
#define WICK_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WK_VERSION_MAJOR 0
#define WK_VERSION_MINOR 1
#define WK_VERSION_PATCH 0

/* Symbols are hidden unless marked; the ABI is that of the soname libwick.so.MAJOR.MINOR while MAJOR is 0. */
#define WK_API __attribute__((visibility("default")))

#define WK_PRINTF(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))

/* Every status code once: name, text.  Append only: the numbers are ABI. */
#define WK_STATUS_MAP(X)                                \
    X(OK, "ok")                                         \
    X(INVALID, "invalid argument")                      \
    X(SHAPE, "shapes do not fit")                       \
    X(DTYPE, "dtype not accepted")                      \
    X(DEVICE, "tensors on different devices")           \
    X(UNSUPPORTED, "not supported by this backend")     \
    X(NO_MEMORY, "out of memory")                       \
    X(NO_SCOPE, "no open scope")                        \
    X(DEAD_TENSOR, "tensor used after its scope ended") \
    X(PENDING, "an earlier error is pending")           \
    X(VERSION, "a saved tensor was changed in place")   \
    X(NOT_FOUND, "not found")                           \
    X(EXISTS, "exists already")                         \
    X(FORMAT, "malformed data")                         \
    X(IO, "input or output failed")                     \
    X(CONFIG, "configuration error")                    \
    X(STATE, "not possible in this state")              \
    X(TIMEOUT, "timed out")                             \
    X(RANK_FAILED, "a rank failed")                     \
    X(CANCELLED, "cancelled")                           \
    X(FORKED, "used in a forked child")                 \
    X(END, "end of sequence")                           \
    X(INTERNAL, "internal error")

typedef enum wk_status {
#define WK_STATUS_ENUM(name, text) WK_##name,
    WK_STATUS_MAP(WK_STATUS_ENUM)
#undef WK_STATUS_ENUM
        WK_STATUS_COUNT
} wk_status;

/* "SHAPE" for WK_SHAPE; "?" for a number that is no status. */
WK_API const char *wk_status_name(wk_status status);
/* "shapes do not fit" for WK_SHAPE. */
WK_API const char *wk_status_text(wk_status status);

/* "0.1.0" */
WK_API const char *wk_version(void);

/* ---- the pending error of this thread -------------------------------------------------------------------------- */

/* True while an error is pending. */
WK_API bool wk_failed(void);
/* The code of the pending error, WK_OK if none. */
WK_API wk_status wk_error_code(void);
/* The message of the pending error, "" if none.  Valid until the error is cleared. */
WK_API const char *wk_message(void);
/* Forget the pending error. */
WK_API void wk_clear_error(void);
/* Write "wick: MESSAGE\n" to the stream, forget the error, and give its code (WK_OK, and nothing written, if none). */
WK_API wk_status wk_report(FILE *stream);

/* Record a failure; the first one stays.  Returns the code given, so that `return wk_fail(WK_IO, "…")` reads well. */
#define wk_fail(code, ...) wk_fail_at((code), __FILE__, __LINE__, __VA_ARGS__)
/* The same in a function that returns a pointer. */
#define wk_fail_null(code, ...) ((void)wk_fail((code), __VA_ARGS__), NULL)
WK_API wk_status wk_fail_at(wk_status code, const char *file, int line, const char *format, ...) WK_PRINTF(4, 5);
/* Put "PREFIX: " before the pending message (a file's name, a module's path).  No effect without a pending error. */
WK_API void wk_error_prefix(const char *format, ...) WK_PRINTF(1, 2);

/* Leave the function with the status of a call that failed. */
#define WK_TRY(call)                                      \
    do {                                                  \
        wk_status wk_try_status = (call);                 \
        if (wk_try_status != WK_OK) return wk_try_status; \
    } while (0)
/* Go to the label `done`, with the status in the local variable `status`, when a call failed. */
#define WK_TRY_DONE(call)                          \
    do {                                           \
        if ((status = (call)) != WK_OK) goto done; \
    } while (0)

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* Where all memory of Wick comes from.  allocate returns memory aligned to `alignment` (a power of two, ≥ 16) or NULL.
 */
typedef struct wk_allocator {
    void *(*allocate)(void *context, size_t size, size_t alignment);
    void (*release)(void *context, void *memory, size_t size);
    void *context;
} wk_allocator;

/* Install an allocator for what is allocated from now on (NULL: the C library's).  Only while no other thread is in
 * Wick; memory taken from the former allocator goes back to the one installed at that time, so a replacement must
 * accept it: wrap, do not replace, unless nothing has been allocated yet. */
WK_API void wk_set_allocator(const wk_allocator *allocator);
/* Whether another allocator than the C library's is installed. */
WK_API bool wk_allocator_is_replaced(void);

/* Zeroed memory, aligned to 16; NULL with WK_NO_MEMORY pending.  Size 0 gives a valid pointer. */
WK_API void *wk_alloc(size_t size);
/* Uninitialised memory aligned to 64 bytes (a cache line, a vector register). */
WK_API void *wk_alloc_data(size_t size);
/* Grow or shrink; NULL (and the old block untouched) with WK_NO_MEMORY pending. */
WK_API void *wk_realloc(void *memory, size_t size);
/* Give back what wk_alloc, wk_alloc_data, wk_realloc or wk_strdup gave.  NULL is fine. */
WK_API void wk_free(void *memory);
WK_API char *wk_strdup(const char *text);
/* A formatted string of its own; free with wk_free. */
WK_API char *wk_format(const char *format, ...) WK_PRINTF(1, 2);

/* ---- log --------------------------------------------------------------------------------------------------------- */

typedef enum wk_log_level { WK_LOG_DEBUG, WK_LOG_INFO, WK_LOG_WARNING, WK_LOG_ERROR, WK_LOG_OFF } wk_log_level;
/* Receives each line, without its newline. */
typedef void (*wk_log_sink)(void *context, wk_log_level level, const char *line);

/* Lines go to standard error, from WK_LOG_WARNING on, unless set otherwise here (WICK_LOG=debug|info|… sets the level).
 */
WK_API void wk_log_set(wk_log_level least, wk_log_sink sink, void *context);
WK_API void wk_log_write(wk_log_level level, const char *format, ...) WK_PRINTF(2, 3);

/* ---- clock ------------------------------------------------------------------------------------------------------- */

/* Seconds on a clock that never goes back. */
WK_API double wk_now(void);
/* Seconds since 1970-01-01 UTC. */
WK_API double wk_wall_time(void);

/* A field of options whose default is not zero but for which zero is a legal wish: `.weight_decay = WK_SET(0)`. */
typedef struct wk_optional {
    bool is_set;
    double value;
} wk_optional;
#ifdef __cplusplus
#    define WK_SET(number)         \
        wk_optional {              \
            true, (double)(number) \
        }
#else
#    define WK_SET(number) ((wk_optional){ true, (double)(number) })
#endif
static inline double wk_optional_or(wk_optional field, double otherwise) {
    return field.is_set ? field.value : otherwise;
}

#ifdef __cplusplus
}
#endif
#endif
