/* commands.c: `wick train` and `wick eval`: parse, call, print. */
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, MOST_OVERRIDES = 64 };

static const char train_help[] =
    "usage: wick train -c FILE [-o key=value]... [--resume | --overwrite]\n"
    "\n"
    "  -c, --config FILE   the run, as YAML\n"
    "  -o key=value        change one setting, e.g. -o trainer.max_epochs=5 -o output=runs/try\n"
    "  --resume            go on from the last checkpoint in the run directory, if there is one\n"
    "  --overwrite         start anew in a run directory that holds a run\n"
    "\n"
    "example: wick train -c examples/fashion_mnist/config.yaml -o optimizer.args.lr=2e-3\n";
static const char eval_help[] = "usage: wick eval RUN_DIRECTORY [--checkpoint last|best|FILE] [-o key=value]...\n"
                                "\n"
                                "example: wick eval runs/fashion_mnist --checkpoint best\n";

static int usage(const char *help, const char *problem, const char *word) {
    (void)fprintf(stderr, "wick: %s%s%s\n%s", problem, *word ? " " : "", word, help);
    return EXIT_USAGE;
}

/* Errors before the group exists are the same on every rank: one message is enough. */
static int report_once(void) {
    static const char *const keys[] = { "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "RANK" };
    for (size_t i = 0; i < WK_COUNT(keys); i++) {
        const char *text = getenv(keys[i]);
        if (text && strtol(text, NULL, 10) != 0) return 1;
        if (text) break;
    }
    (void)wk_report(stderr);
    return 1;
}

static int finish(wk_group *group, wk_status status) {
    int code = status == WK_OK ? 0 : 1;
    if (status == WK_CANCELLED)
        wk_clear_error(); /* another rank has said why */
    else
        (void)wk_report(stderr);
    wk_group_destroy(group);
    return code;
}

/* A launcher that starts the app again wants it to go on. */
static bool is_restart(void) {
    const char *count = getenv("TORCHELASTIC_RESTART_COUNT");
    return count && strtol(count, NULL, 10) > 0;
}

int wk_train_main(int argc, char **argv) {
    const char *file = NULL, *overrides[MOST_OVERRIDES];
    int n_overrides = 0;
    wk__start start = is_restart() ? WK__START_RESUME : WK__START_NEW;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool has_value = i + 1 < argc;
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            (void)fputs(train_help, stdout);
            return 0;
        }
        if ((strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0) && has_value)
            file = argv[++i];
        else if (strcmp(word, "-o") == 0 && has_value && n_overrides < MOST_OVERRIDES)
            overrides[n_overrides++] = argv[++i];
        else if (strcmp(word, "--resume") == 0)
            start = WK__START_RESUME;
        else if (strcmp(word, "--overwrite") == 0)
            start = WK__START_OVERWRITE;
        else
            return usage(train_help, "train: cannot make sense of", word);
    }
    if (!file) return usage(train_help, "train: -c FILE is missing", "");
    wk__run_config config;
    if (wk__run_config_load(&config, file, overrides, n_overrides) != WK_OK) return report_once();
    wk_group *group = wk_group_create(NULL);
    int code = group ? finish(group, wk__train(&config, group, start)) : report_once();
    wk__run_config_free(&config);
    return code;
}

static char *checkpoint_of(const char *folder, const char *name) {
    return strcmp(name, "last") == 0 || strcmp(name, "best") == 0 ? wk__checkpoint_path(folder, name) : wk_strdup(name);
}

int wk_eval_main(int argc, char **argv) {
    const char *folder = NULL, *name = "best", *overrides[MOST_OVERRIDES];
    int n_overrides = 0;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        bool has_value = i + 1 < argc;
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            (void)fputs(eval_help, stdout);
            return 0;
        }
        if (strcmp(word, "--checkpoint") == 0 && has_value)
            name = argv[++i];
        else if (strcmp(word, "-o") == 0 && has_value && n_overrides < MOST_OVERRIDES)
            overrides[n_overrides++] = argv[++i];
        else if (word[0] != '-' && !folder)
            folder = word;
        else
            return usage(eval_help, "eval: cannot make sense of", word);
    }
    if (!folder) return usage(eval_help, "eval: RUN_DIRECTORY is missing", "");
    char *file = wk_format("%s/config.yaml", folder), *checkpoint = checkpoint_of(folder, name);
    wk__run_config config = { 0 };
    int code = 1;
    if (!file || !checkpoint || wk__run_config_load(&config, file, overrides, n_overrides) != WK_OK) {
        code = report_once();
    } else {
        wk_group *group = wk_group_create(NULL);
        double loss = 0, accuracy = 0;
        wk_status status =
            group ? wk__evaluate_checkpoint(&config, group, checkpoint, &loss, &accuracy) : wk_error_code();
        if (status == WK_OK && wk_group_rank(group) == 0) (void)printf("loss %.6f\naccuracy %.4f\n", loss, accuracy);
        code = group ? finish(group, status) : report_once();
        wk__run_config_free(&config);
    }
    wk_free(file);
    wk_free(checkpoint);
    return code;
}
