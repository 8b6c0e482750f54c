/* args.c: pytorch-quik's arguments, and its names of files. */
#include "train/quik/quik.h"

#include "base/base.h"
#include "io/file.h"
#include "wick/device.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

wk_quik_args wk_quik_defaults(void) {
    return (wk_quik_args){ .nodes = 1,
                           .gpus = wk_device_count("cuda", NULL, 0),
                           .epochs = 5,
                           .bs = 50000,
                           .mixed_precision = true,
                           .lr = 1e-5,
                           .beta1 = 0.9,
                           .beta2 = 0.99,
                           .eps = 1e-8 };
}

/* ---- the command line ---- */

static wk_status whole(const char *option, const char *text, long least, long *value) {
    char *end;
    *value = strtol(text, &end, 10);
    if (*text && !*end && *value >= least && *value <= INT32_MAX) return WK_OK;
    return wk_fail(WK_CONFIG, "%s is \"%s\", expected a whole number of at least %ld", option, text, least);
}

static wk_status number(const char *option, const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    if (*text && !*end && *value >= 0) return WK_OK;
    return wk_fail(WK_CONFIG, "%s is \"%s\", expected a number of at least 0", option, text);
}

static wk_status two_numbers(const char *text, double *first, double *second) {
    char *end, *last;
    *first = strtod(text, &end);
    if (end != text && *end == ',') {
        *second = strtod(end + 1, &last);
        if (last != end + 1 && !*last && *first >= 0 && *first < 1 && *second >= 0 && *second < 1) return WK_OK;
    }
    return wk_fail(WK_CONFIG, "--betas is \"%s\", expected two numbers from 0 to 1, as 0.9,0.99", text);
}

typedef struct option {
    const char *short_name, *long_name;
    int *small; /* one of the three */
    int64_t *large;
    double *real;
    long least;
} option;

static wk_status take(const option *o, const char *word, const char *text) {
    long value = 0;
    if (o->real) return number(word, text, o->real);
    WK_TRY(whole(word, text, o->least, &value));
    if (o->small) *o->small = (int)value;
    if (o->large) *o->large = value;
    return WK_OK;
}

static bool is(const char *word, const char *a, const char *b) {
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/* Words that stand alone. */
static bool take_switch(wk_quik_args *args, const char *word) {
    if (is(word, "-amp", "--mixed_precision"))
        args->mixed_precision = true;
    else if (strcmp(word, "--no_mixed_precision") == 0)
        args->mixed_precision = false;
    else if (strcmp(word, "--find_unused_parameters") == 0)
        args->find_unused_parameters = true;
    else
        return false;
    return true;
}

wk_status wk_quik_parse(wk_quik_args *args, int argc, char **argv) {
    const option options[] = { { "-nr", "--nr", &args->nr, NULL, NULL, 0 },
                               { "-n", "--nodes", &args->nodes, NULL, NULL, 1 },
                               { "-g", "--gpus", &args->gpus, NULL, NULL, 0 },
                               { "-r", "--ranks", &args->ranks, NULL, NULL, 0 },
                               { "-nw", "--num_workers", &args->num_workers, NULL, NULL, 0 },
                               { "-e", "--epochs", NULL, &args->epochs, NULL, 1 },
                               { "-bs", "--bs", NULL, &args->bs, NULL, 1 },
                               { "-lr", "--learning_rate", NULL, NULL, &args->lr, 0 },
                               { "-wd", "--weight_decay", NULL, NULL, &args->weight_decay, 0 },
                               { "-eps", "--eps", NULL, NULL, &args->eps, 0 } };
    for (int i = 1; i < argc; i++) {
        const option *found = NULL;
        bool betas = strcmp(argv[i], "--betas") == 0;
        for (size_t k = 0; k < WK_COUNT(options); k++)
            if (is(argv[i], options[k].short_name, options[k].long_name)) found = &options[k];
        if (take_switch(args, argv[i])) continue;
        if (!found && !betas)
            return wk_fail(WK_CONFIG, "cannot make sense of \"%s\"; wick/quik.h lists the words", argv[i]);
        if (i + 1 == argc) return wk_fail(WK_CONFIG, "a value is missing after %s", argv[i]);
        WK_TRY(betas ? two_numbers(argv[i + 1], &args->beta1, &args->beta2) : take(found, argv[i], argv[i + 1]));
        i++;
    }
    return WK_OK;
}

/* ---- names ---- */

static void today(char text[16]) {
    time_t now = time(NULL);
    struct tm parts;
    if (!localtime_r(&now, &parts) || !strftime(text, 16, "%Y%m%d", &parts)) text[0] = '\0';
}

static void join(wk_text *out, const char *text) {
    if (text && *text) wk_text_printf(out, "%s%s", out->size ? "_" : "", text);
}

/* The kind's own ending, or NULL for the caller's. */
static const char *suffix_of(const char *type) {
    static const char *const own[][2] = { { "preds", ".csv" }, { "confusion", ".png" }, { "test_array", ".npy" } };
    for (size_t i = 0; i < WK_COUNT(own); i++)
        if (strcmp(type, own[i][0]) == 0) return own[i][1];
    return NULL;
}

static void write_name(wk_text *name, const wk_quik_args *args, const char *type, const char *epoch, const char *gpu) {
    char date[16] = "", long_type[80];
    wk_text labels = { 0 }, marked = { 0 };
    bool state = strcmp(type, "state_dict") == 0, plain = state || suffix_of(type) || strcmp(type, "model") == 0;
    (void)snprintf(long_type, sizeof long_type, "%.60s%s", type, plain ? "" : "_tensor");
    for (int i = 0; i < args->n_labels; i++) wk_text_printf(&labels, "%lld", (long long)args->labels[i]);
    if (epoch && *epoch) wk_text_printf(&marked, "%s%s", state ? "e" : "", epoch);
    if (!args->data_date) today(date);
    join(name, long_type);
    join(name, wk_text_get(&labels));
    join(name, wk_text_get(&marked));
    join(name, args->data_date ? args->data_date : date);
    join(name, gpu);
    name->failed = name->failed || labels.failed || marked.failed;
    wk_text_free(&labels);
    wk_text_free(&marked);
}

char *wk_quik_id_str(const wk_quik_args *args, const char *type, const char *epoch, const char *gpu,
                     const char *suffix) {
    wk_text folder = { 0 }, name = { 0 };
    char *path = NULL;
    if (wk_failed()) return NULL;
    if (strcmp(type, "state_dict") == 0 && (!epoch || !*epoch))
        return wk_fail_null(WK_INVALID, "wk_quik_id_str: a state_dict needs an epoch, \"0\" or \"orig\"");
    write_name(&name, args, type, epoch, gpu);
    wk_text_printf(&folder, "%s/data", args->base_dir ? args->base_dir : ".");
    if (args->bert_type && *args->bert_type) wk_text_printf(&folder, "/%s", args->bert_type);
    if (args->source && *args->source) wk_text_printf(&folder, "/%s", args->source);
    const char *own = suffix_of(type);
    if (!folder.failed && !name.failed && wk__make_folder(wk_text_get(&folder)) == WK_OK)
        path = wk_format("%s/%s%s", folder.data, wk_text_get(&name), own ? own : suffix ? suffix : ".pt");
    wk_text_free(&folder);
    wk_text_free(&name);
    return path;
}
