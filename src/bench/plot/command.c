/* command.c: the command line of `wick bench plot`. */
#include "bench/plot/plot.h"

#include <string.h>

static wk_status read_plot_option(void *into, const char *option, const char *value, bool *known) {
    wk__plot_opts *opts = into;
    *known = strcmp(option, "-o") == 0;
    if (*known) opts->to = value;
    return WK_OK;
}

static wk_status read_plot_word(void *into, const char *word, bool *known) {
    wk__plot_opts *opts = into;
    *known = *word != '-';
    if (!*known) return WK_OK;
    if (opts->files == WK__PLOT_MOST_FILES) return wk_fail(WK_CONFIG, "more than %d files", WK__PLOT_MOST_FILES);
    opts->file[opts->files++] = word;
    return WK_OK;
}

int wk__bench_plot_main(int argc, char **argv) {
    wk__plot_opts opts = { 0 };
    int code = wk__bench_parse(argc, argv, read_plot_word, read_plot_option, &opts);
    return code ? code : wk__bench_exit(wk__bench_plot(&opts));
}
