/* flags.c: reading such a command line, and the exit code of what failed. */
#include "launcher/commands/flags.h"

#include <string.h>

static const wk__flag *find_flag(const char *word, const wk__flag *flags, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(flags[i].name);
        if (strcmp(word, flags[i].name) == 0 || (flags[i].letter && strcmp(word, flags[i].letter) == 0)
            || (flags[i].text && strncmp(word, flags[i].name, size) == 0 && word[size] == '='))
            return &flags[i];
    }
    return NULL;
}

/* With the nearest flag, or else all that there is to say. */
static int unexpected(const char *command, const char *word, const char *usage, const wk__flag *flags, size_t count) {
    const char *names[32];
    size_t known = 0;
    for (; known < count && known < WK_COUNT(names); known++) names[known] = flags[known].name;
    const char *near = word[0] == '-' ? wk__nearest(word, names, known) : NULL;
    if (near) return wk__usage_error("%s: unknown option %s; did you mean %s?", command, word, near);
    return wk__usage_error("%s: unexpected \"%s\"\n%s", command, word, usage);
}

int wk__flags_parse(int argc, char **argv, const char *usage, const wk__flag *flags, size_t flag_count,
                    const char **word) {
    for (int at = 1; at < argc; at++) {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            (void)fputs(usage, stdout);
            return 0;
        }
        const wk__flag *f = find_flag(argv[at], flags, flag_count);
        const char *equals = strchr(argv[at], '=');
        if (f && f->value)
            *f->value = true;
        else if (f && strncmp(argv[at], "--", 2) == 0 && equals)
            *f->text = equals + 1;
        else if (f && at + 1 < argc)
            *f->text = argv[++at];
        else if (f)
            return wk__usage_error("%s: %s needs a value", argv[0], argv[at]);
        else if (argv[at][0] == '-' || !word || *word)
            return unexpected(argv[0], argv[at], usage, flags, flag_count);
        else
            *word = argv[at];
    }
    return -1;
}

int wk__report_code(void) {
    return wk_report(stderr) == WK_CONFIG ? 2 : 1;
}
