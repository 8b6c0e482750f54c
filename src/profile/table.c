/* table.c: the profile as a table, by operation or by module. */
#include "profile/profile.h"

#include "base/base.h"

#include <stdlib.h>
#include <string.h>

/* Sites that make one line. */
typedef struct group {
    const char *name, *detail; /* an operation and its phase, or a module */
    double seconds[3];         /* by phase */
    double total, operations, bytes;
    int64_t calls;
} group;

static bool belongs(const group *g, const wk_profile_row *site, wk_profile_by by) {
    if (by == WK_PROFILE_BY_MODULE) return strcmp(g->name, site->module) == 0;
    return strcmp(g->name, site->operation) == 0 && g->detail == wk__profile_phase_names[site->phase];
}

static int by_total(const void *a, const void *b) {
    double x = ((const group *)a)->total, y = ((const group *)b)->total;
    return (x < y) - (x > y);
}

static group *groups_of(const wk_profile *p, wk_profile_by by, int *count) {
    group *all = wk_alloc((size_t)(p->sites + 1) * sizeof *all);
    *count = 0;
    if (!all) return NULL;
    for (int i = 0; i < p->sites; i++) {
        const wk_profile_row *site = &p->site[i];
        int at = 0;
        while (at < *count && !belongs(&all[at], site, by)) at++;
        if (at == *count) {
            bool by_module = by == WK_PROFILE_BY_MODULE;
            all[(*count)++] = (group){ .name = by_module ? site->module : site->operation,
                                       .detail = by_module ? "" : wk__profile_phase_names[site->phase] };
        }
        group *g = &all[at];
        g->seconds[site->phase] += site->seconds;
        g->total += site->seconds;
        g->operations += site->operations;
        g->bytes += site->bytes;
        g->calls += site->calls;
    }
    qsort(all, (size_t)*count, sizeof *all, by_total);
    return all;
}

static double percent(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

static void print_operation(const group *g, double whole, FILE *to) {
    (void)fprintf(to, "%-28s %-10s %9lld %10.3f %6.1f %10.2f %8.2f %9.2f\n", g->name, g->detail, (long long)g->calls,
                  1e3 * g->total, percent(g->total, whole), 1e6 * g->total / (double)g->calls,
                  g->bytes / g->total / 1e9, g->operations / g->total / 1e9);
}

static void print_module(const group *g, double whole, FILE *to) {
    (void)fprintf(to, "%-36s %9lld %10.3f %6.1f %10.3f %10.3f %10.3f\n", *g->name ? g->name : "(outside of modules)",
                  (long long)g->calls, 1e3 * g->total, percent(g->total, whole), 1e3 * g->seconds[WK_PROFILE_FORWARD],
                  1e3 * g->seconds[WK_PROFILE_BACKWARD], 1e3 * g->seconds[WK_PROFILE_OPTIMIZER]);
}

wk_status wk_profile_print(const wk_profile *p, wk_profile_by by, int lines, FILE *to) {
    int count;
    group *all = groups_of(p, by, &count);
    if (!all) return WK_NO_MEMORY;
    double whole = wk_profile_seconds(p), kernels = 0, rest = 0;
    for (int i = 0; i < count; i++) kernels += all[i].total;
    if (by == WK_PROFILE_BY_OPERATION)
        (void)fprintf(to, "%-28s %-10s %9s %10s %6s %10s %8s %9s\n", "operation", "phase", "calls", "ms", "%",
                      "us a call", "GB/s", "Gop/s");
    else
        (void)fprintf(to, "%-36s %9s %10s %6s %10s %10s %10s\n", "module", "calls", "ms", "%", "forward", "backward",
                      "optimizer");
    for (int i = 0; i < count; i++) {
        if (i >= lines)
            rest += all[i].total;
        else if (by == WK_PROFILE_BY_OPERATION)
            print_operation(&all[i], whole, to);
        else
            print_module(&all[i], whole, to);
    }
    if (count > lines)
        (void)fprintf(to, "and %d more: %.3f ms (%.1f %%)\n", count - lines, 1e3 * rest, percent(rest, whole));
    (void)fprintf(to, "kernels %.3f ms of %.3f (%.1f %%); between them %.3f ms\n", 1e3 * kernels, 1e3 * whole,
                  percent(kernels, whole), 1e3 * (whole - kernels));
    if (p->lost) (void)fprintf(to, "memory ran out: later calls are missing\n");
    wk_free(all);
    return ferror(to) ? wk_fail(WK_IO, "wk_profile_print: the table cannot be written") : WK_OK;
}

wk_status wk_profile_save_tables(const wk_profile *p, const char *path) {
    enum { LINES = 40 };
    FILE *to = fopen(path, "we");
    if (!to) return wk_fail(WK_IO, "%s: cannot be written", path);
    wk_status status = wk_profile_print(p, WK_PROFILE_BY_OPERATION, LINES, to);
    (void)fputc('\n', to);
    if (status == WK_OK) status = wk_profile_print(p, WK_PROFILE_BY_MODULE, LINES, to);
    return fclose(to) == 0 ? status : wk_fail(WK_IO, "%s: cannot be written", path);
}
