/* report.c: `wick runs report`: report.html anew, of a run that has none or has gone on. */
#include "train/report/report.h"

int wk__runs_report_main(int argc, char **argv) {
    if (argc < 2) return wk__runs_usage("report takes directories of runs", "");
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-') return wk__runs_usage("report: cannot make sense of", argv[i]);
    for (int i = 1; i < argc; i++) {
        if (wk__report_write(argv[i]) != WK_OK) return wk__runs_failed();
        (void)printf("%s/report.html\n", argv[i]);
    }
    return 0;
}
