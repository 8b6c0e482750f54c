/* trace.c: every call in Chrome's trace-event format (the document "Trace Event Format"; chrome://tracing and
 * ui.perfetto.dev read it): complete events, times in microseconds.
 */
#include "profile/profile.h"

#include <string.h>
#include <unistd.h>

/* In quotes, as JSON wants it.  Names of modules are the user's. */
static void put_text(FILE *to, const char *text) {
    (void)fputc('"', to);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            (void)fprintf(to, "\\%c", *c);
        else if (*c < 0x20)
            (void)fprintf(to, "\\u%04x", *c);
        else
            (void)fputc(*c, to);
    }
    (void)fputc('"', to);
}

static void put_event(const wk_profile *p, const wk__profile_event *event, FILE *to) {
    const wk_profile_row *site = &p->site[event->site];
    (void)fputs("{\"name\":", to);
    put_text(to, site->operation);
    (void)fprintf(
        to, ",\"cat\":\"%s\",\"ph\":\"X\",\"ts\":%.3f,\"dur\":%.3f,\"pid\":%d,\"tid\":%d,\"args\":{\"module\":",
        wk__profile_phase_names[site->phase], 1e6 * event->start, 1e6 * (double)event->seconds, (int)getpid(), 1);
    put_text(to, site->module);
    if (*site->composite) {
        (void)fputs(",\"part of\":", to);
        put_text(to, site->composite);
    }
    (void)fputs("}}", to);
}

wk_status wk_profile_save_trace(const wk_profile *p, const char *path) {
    FILE *to = fopen(path, "we");
    if (!to) return wk_fail(WK_IO, "%s: cannot be written", path);
    (void)fputs("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[", to);
    for (int64_t i = 0; i < p->events; i++) {
        (void)fputs(i ? ",\n" : "\n", to);
        put_event(p, &p->event[i], to);
    }
    (void)fprintf(to, "\n],\"otherData\":{\"seconds\":%.6f,\"calls left out\":%lld}}\n", wk_profile_seconds(p),
                  (long long)p->dropped);
    bool written = !ferror(to);
    written = fclose(to) == 0 && written;
    return written ? WK_OK : wk_fail(WK_IO, "%s: cannot be written", path);
}
