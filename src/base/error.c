/* error.c: the pending error.
 *
 * One slot a thread, or one a wk_context.  The first failure stays, because what follows it is nearly always its
 * consequence; later ones go to the debug log.  The message is a fixed array: reporting an error must not need memory,
 * for "out of memory" is one of them.
 */
#include "base.h"

#include <string.h>

static _Thread_local wk__error own_slot;
static _Thread_local wk__error *bound_slot;

static const char *const names[] = {
#define NAME(name, text) #name,
    WK_STATUS_MAP(NAME)
#undef NAME
};
static const char *const texts[] = {
#define TEXT(name, text) text,
    WK_STATUS_MAP(TEXT)
#undef TEXT
};

const char *wk_status_name(wk_status status) {
    return (unsigned)status < WK_STATUS_COUNT ? names[status] : "?";
}

const char *wk_status_text(wk_status status) {
    return (unsigned)status < WK_STATUS_COUNT ? texts[status] : "unknown status";
}

#define STRING_OF(x) #x
#define STRING(x)    STRING_OF(x)
const char *wk_version(void) {
    return STRING(WK_VERSION_MAJOR) "." STRING(WK_VERSION_MINOR) "." STRING(WK_VERSION_PATCH);
}

wk__error *wk__error_slot(void) {
    return bound_slot ? bound_slot : &own_slot;
}

wk__error *wk__error_bind(wk__error *slot) {
    wk__error *former = bound_slot;
    bound_slot = slot;
    return former;
}

bool wk_failed(void) {
    return wk__error_slot()->code != WK_OK;
}

wk_status wk_error_code(void) {
    return wk__error_slot()->code;
}

const char *wk_message(void) {
    return wk__error_slot()->message;
}

void wk_clear_error(void) {
    wk__error *slot = wk__error_slot();
    slot->code = WK_OK;
    slot->message[0] = '\0';
}

wk_status wk__fail_list(wk_status code, const char *file, int line, const char *format, va_list list) {
    wk__error *slot = wk__error_slot();
    if (slot->code != WK_OK) return code;
    slot->code = code == WK_OK ? WK_INTERNAL : code;
    slot->file = file;
    slot->line = line;
    (void)vsnprintf(slot->message, sizeof slot->message, format, list);
    return code;
}

wk_status wk_fail_at(wk_status code, const char *file, int line, const char *format, ...) {
    va_list list;
    va_start(list, format);
    (void)wk__fail_list(code, file, line, format, list);
    va_end(list);
    return code;
}

void wk_error_prefix(const char *format, ...) {
    wk__error *slot = wk__error_slot();
    if (slot->code == WK_OK) return;
    char old[sizeof slot->message];
    memcpy(old, slot->message, sizeof old);
    va_list list;
    va_start(list, format);
    int used = vsnprintf(slot->message, sizeof slot->message, format, list);
    va_end(list);
    if (used < 0 || (size_t)used >= sizeof slot->message) return;
    (void)snprintf(slot->message + used, sizeof slot->message - (size_t)used, ": %s", old);
}

wk_status wk_report(FILE *stream) {
    wk__error *slot = wk__error_slot();
    wk_status code = slot->code;
    if (code == WK_OK) return WK_OK;
    (void)fprintf(stream, "wick: %s\n", slot->message);
    wk_clear_error();
    return code;
}
