/* run.h: the parts of `wick run`: options (run.c), what to run (load.c), JSON in its place (stdin.c), waiting (wait.c).
 */
#ifndef WICK_SRC_LAUNCHER_COMMANDS_RUN_H
#define WICK_SRC_LAUNCHER_COMMANDS_RUN_H

#include "launcher/config/config.h"

typedef struct wk__run_options {
    const char *what, *scheduler, *cfg, *workspace, *parent_run_id;
    bool dryrun, wait, log, json, propagate, tee_logs, from_stdin;
    const char **overrides; /* (override_count) */
    size_t override_count;
    int rest_count;
    char **rest; /* (rest_count): the component's */
    wk__config *config;
} wk__run_options;

/* True for what is named as a file: with a slash, or an ending .yaml. */
bool wk__is_file(const char *what);
/* The AppDef, with the workspace and the environment that go with this run; sets o->scheduler. */
wk_appdef *wk__run_load(wk__run_options *o);
/* `wick run COMPONENT --help`. */
int wk__run_component_help(const char *what);
/* Wait until it has ended; say how it went.  The exit code. */
int wk__run_wait(const wk_handle *handle, const char *name, const wk__run_options *o);
/* Read a JSON object from standard input and run what it says; `dryrun` goes before its own. */
int wk__run_stdin(bool dryrun);

#endif
