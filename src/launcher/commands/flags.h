/* flags.h: words of a command line that is flags and one handle. */
#ifndef WICK_SRC_LAUNCHER_COMMANDS_FLAGS_H
#define WICK_SRC_LAUNCHER_COMMANDS_FLAGS_H

#include "launcher/launcher.h"

typedef struct wk__flag {
    const char *name, *letter;
    bool *value;       /* of a flag; NULL: */
    const char **text; /* of an option with a value */
} wk__flag;

/* Flags anywhere, and one word at most; -1: go on, else the exit code. */
int wk__flags_parse(int argc, char **argv, const char *usage, const wk__flag *flags, size_t flag_count,
                    const char **word);
/* Write the pending error; 2: it is no handle, 1: there is no such app. */
int wk__report_code(void);

#endif
