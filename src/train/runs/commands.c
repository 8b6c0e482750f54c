/* commands.c: `wick runs`: one word says what is done. */
#include "train/runs/run.h"

#include "wick/train.h"

#include <string.h>

enum { EXIT_USAGE = 2 };

static const char help[] =
    "usage: wick runs ls [DIRECTORY] [--sort KEY] [--reverse] [--state S[,S]] [--model M] [--name N]\n"
    "                    [--where KEY=VALUE]... [--metric NAME] [--mode min|max] [--limit N] [--json]\n"
    "       wick runs show RUN [--metric NAME] [--mode min|max] [--json]\n"
    "       wick runs compare RUN RUN... [--metric NAME]... [--all] [--json]\n"
    "       wick runs plot RUN... [--metric NAME]... [--x step|epoch] [--log] [-o FILE.svg|FILE.png] [--json]\n"
    "       wick runs report RUN...\n"
    "\n"
    "ls lists the runs below DIRECTORY (runs), show tells all of one, compare sets beside each other what differs in "
    "the\n"
    "configurations and what came of it, plot draws learning curves (curves.svg), report writes report.html anew.\n"
    "\n"
    "  --sort KEY          name, state, model, epochs, steps, best, seconds or started; --reverse turns it round\n"
    "  --state S           done, stopped, running, failed, unknown; several with commas\n"
    "  --model, --name     a shell's pattern\n"
    "  --where KEY=VALUE   runs whose configuration says so: --where optimizer.args.lr=1e-3\n"
    "  --metric NAME       what makes a run the best; of compare and plot: what is shown\n"
    "  --mode min|max      whether it is to be small or large, where its name does not tell\n"
    "  --all               compare: settings that are equal too\n"
    "  --x step|epoch      plot: along which the curves run; --log: a logarithmic upright axis\n"
    "\n"
    "example: wick runs ls --sort best --state done\n"
    "         wick runs compare runs/first runs/second\n"
    "         wick runs plot runs/first runs/second --metric val_loss -o curves.png\n";

int wk__runs_usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick runs: %s%s%s%s\n%s", problem, *word ? " \"" : "", word, *word ? "\"" : "", help);
    return EXIT_USAGE;
}

int wk__runs_failed(void) {
    (void)wk_report(stderr);
    return 1;
}

int wk_runs_main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } subjects[] = { { "ls", wk__runs_ls_main },
                     { "show", wk__runs_show_main },
                     { "compare", wk__runs_compare_main },
                     { "plot", wk__runs_plot_main },
                     { "report", wk__runs_report_main } };
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            (void)fputs(help, stdout);
            return 0;
        }
    if (argc < 2) return wk__runs_usage("ls, show, compare, plot or report is missing", "");
    for (size_t i = 0; i < WK_COUNT(subjects); i++)
        if (strcmp(argv[1], subjects[i].name) == 0) return subjects[i].run(argc - 1, argv + 1);
    return wk__runs_usage("what can be done is ls, show, compare, plot or report, not", argv[1]);
}
