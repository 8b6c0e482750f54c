/* copy.c: `wick copy`: files from one URL to another. */
#include "launcher/commands/flags.h"
#include "wick/files.h"

#include <signal.h>
#include <string.h>

static const char usage[] = "usage: wick copy SRC DST [--recursive] [--json]\n"
                            "\n"
                            "SRC and DST are paths or URLs: file, memory, http and https, and what plug-ins add "
                            "(WICK_PLUGINS).  A file appears at\n"
                            "DST whole or not at all; if DST is a folder, or ends in /, it keeps its name there.\n"
                            "\n"
                            "  -r, --recursive   of a folder: what lies in SRC comes to lie in DST, which is made\n"
                            "  --json            print how much was copied\n"
                            "\n"
                            "exit code: 0 copied, 1 not, 2 wrong usage, 130 Ctrl-C\n"
                            "\n"
                            "example:  wick copy https://example.com/model.safetensors models/\n";

static volatile sig_atomic_t interrupted;

static void note_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

static bool go_on(void *context) {
    (void)context;
    return !interrupted;
}

typedef struct words {
    const char *url[2];
    int count;
    bool recursive, json;
} words;

/* -1: go on, else the exit code. */
static int parse(int argc, char **argv, words *w) {
    static const char *const known[] = { "--recursive", "--json", "--help" };
    bool only_names = false;
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        if (only_names || word[0] != '-' || !word[1]) {
            if (w->count == 2) return wk__usage_error("copy: \"%s\" is one too many: SRC and DST", word);
            w->url[w->count++] = word;
        } else if (strcmp(word, "--") == 0)
            only_names = true;
        else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
            return fputs(usage, stdout) < 0;
        else if (strcmp(word, "--recursive") == 0 || strcmp(word, "-r") == 0)
            w->recursive = true;
        else if (strcmp(word, "--json") == 0)
            w->json = true;
        else {
            const char *near = wk__nearest(word, known, WK_COUNT(known));
            return wk__usage_error("copy: unknown option %s%s%s%s", word, near ? "; did you mean " : "",
                                   near ? near : "", near ? "?" : "; `wick copy --help` lists them");
        }
    }
    if (w->count == 2) return -1;
    return wk__usage_error("copy: expected SRC and DST\n%s", usage);
}

int wk_copy_main(int argc, char **argv) {
    words w = { 0 };
    wk_copied done = { 0 };
    int code = parse(argc, argv, &w);
    if (code >= 0) return code;
    /* The first signal ends the copy where nothing is left half; a second one ends the program. */
    const struct sigaction action = { .sa_handler = note_interrupt, .sa_flags = (int)SA_RESETHAND };
    const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < WK_COUNT(numbers); i++) (void)sigaction(numbers[i], &action, NULL);
    const wk_copy_opts opts = { .recursive = w.recursive, .go_on = go_on };
    wk_status status = wk_file_copy(w.url[0], w.url[1], opts, &done);
    if (w.json)
        (void)printf("{\n  \"files\": %lld,\n  \"bytes\": %lld\n}\n", (long long)done.files, (long long)done.bytes);
    if (status == WK_OK) return 0;
    (void)wk_report(stderr);
    return status == WK_CANCELLED ? 130 : 1;
}
