/* commands.c: `wick train` and `wick eval`: parse, call, print. */
#include "train/agree.h"
#include "train/batch_size.h"
#include "train/ranks.h"
#include "train/registry.h"
#include "train/trainer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, MOST_OVERRIDES = 64 };

typedef struct command_line {
    const char *file, *folder, *checkpoint, *overrides[MOST_OVERRIDES], *name, *tag, *resume, *gpus, *schema[2];
    int n_overrides;
    bool wants_schema, wants_batch_size;
    wk__batch_size_opts batch_size;
    wk__start start;
    bool wants_help;
} command_line;

static const char train_help[] =
    "usage: wick train -c FILE [-o key=value]... [--resume [CKPT] | --overwrite]\n"
    "       wick train --schema [KIND [NAME]]\n"
    "\n"
    "  -c, --config FILE   the run, as YAML; a path or a URL\n"
    "  -o key=value        change one setting, e.g. -o trainer.max_epochs=5 -o output=runs/try\n"
    "  --resume            go on from the last checkpoint in the run directory, if there is one\n"
    "  --resume CKPT       begin with another checkpoint: last, best or a file; as the key resume\n"
    "  --overwrite         start anew in a run directory that holds a run\n"
    "  --name NAME         the run directory is save/NAME; --tag TAG: save/NAME_TAG, or save/_FILE_TAG\n"
    "  --gpu LIST          train on these GPUs, e.g. 0,1: a rank for each\n"
    "  --find-batch-size [power|binsearch]   print the largest batch that memory holds: by doubling, or exactly;\n"
    "                      nothing is trained or written\n"
    "  --memory MIB        the memory to fill then; without it what the device has\n"
    "  --schema            print what may stand in the file: names, args, defaults; of one KIND or NAME alone\n"
    "\n"
    "example: wick train -c examples/fashion_mnist/config.yaml -o optimizer.args.lr=2e-3\n";
static const char eval_help[] = "usage: wick eval RUN_DIRECTORY [--checkpoint last|best|FILE] [-o key=value]...\n"
                                "\n"
                                "example: wick eval runs/fashion_mnist --checkpoint best\n";

static int usage(const char *help, const char *problem, const char *word) {
    (void)fprintf(stderr, "wick: %s%s%s\n%s", problem, *word ? " " : "", word, help);
    return EXIT_USAGE;
}

/* Where no group connects the ranks all of them meet the same error: one message is enough.  Those that could not meet
 * know different things. */
static int report_once(void) {
    static const char *const keys[] = { "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "RANK" };
    const wk_status status = wk_error_code();
    const bool is_own = status == WK_TIMEOUT || status == WK_RANK_FAILED || status == WK_IO;
    for (size_t i = 0; i < WK_COUNT(keys) && !is_own; i++) {
        const char *text = getenv(keys[i]);
        if (text && strtol(text, NULL, 10) != 0) return 1;
        if (text) break;
    }
    (void)wk_report(stderr);
    return 1;
}

/* Join the others, tell them whether this rank could read its configuration, and see that all have the same.  The group
 * first: a rank that left before would leave the others to wait for it. */
static wk_group *open_run(const command_line *line, bool trains, wk__run_config *config, wk_status *status) {
    *status = trains ? wk__run_config_load_to_train(config, line->file, line->overrides, line->n_overrides, line->start)
                     : wk__run_config_load(config, line->file, line->overrides, line->n_overrides);
    const char *gpus = line->gpus ? line->gpus : *status == WK_OK ? config->params.gpus : "";
    if (*gpus) (void)setenv("CUDA_VISIBLE_DEVICES", gpus, 1); /* before anything looks for devices */
    wk__error error = *wk__error_slot();
    wk_clear_error();
    wk_group *group = wk_group_create(NULL);
    if (*status != WK_OK) *wk__error_slot() = error;
    if (!group) return NULL;
    *status = wk__agree(group, *status);
    if (*status != WK_OK) return group;
    *status = wk__same(group, wk__hash(0, config->text) + (uint64_t)line->start, "the configuration",
                       ": give every rank the same file and options");
    return group;
}

static int finish(wk_group *group, wk_status status) {
    if (status == WK_RANK_FAILED)
        wk_clear_error(); /* which has said why */
    else
        (void)wk_report(stderr);
    wk_group_destroy(group);
    return status == WK_OK ? 0 : 1;
}

/* ---- signals ---- */

enum {
    GRACE = 30,
    GRACE_OF_GANG = 2
}; /* seconds for the step under way; in a gang its end may hang on a rank that is dead */
static volatile sig_atomic_t stop_signal;
static volatile sig_atomic_t grace;

static void on_signal(int number) {
    stop_signal = number;
    (void)alarm((unsigned)grace);
}

/* The step did not end in time: go as whoever sent the signal asked; its handler is the default one again. */
static void on_alarm(int number) {
    (void)number;
    (void)raise(stop_signal);
}

/* The first SIGTERM, SIGINT, SIGHUP or SIGUSR1 (by which Slurm warns of a time limit, `signal=USR1@60`) lets rank 0
 * save and end the run; the second ends the process.  A signal that is ignored (nohup) stays so.  A reader of the
 * output that goes away is no reason to stop: log.txt has everything. */
static const int watched[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGALRM, SIGPIPE };
typedef struct signals {
    struct sigaction before[WK_COUNT(watched)];
} signals;
static signals watch_signals(int ranks) {
    signals s;
    grace = ranks > 1 ? GRACE_OF_GANG : GRACE;
    stop_signal = 0;
    for (size_t i = 0; i < WK_COUNT(watched); i++) {
        struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND };
        if (watched[i] == SIGALRM) action = (struct sigaction){ .sa_handler = on_alarm, .sa_flags = SA_RESTART };
        if (watched[i] == SIGPIPE) action = (struct sigaction){ .sa_handler = SIG_IGN };
        const bool always = watched[i] == SIGALRM || watched[i] == SIGPIPE;
        (void)sigaction(watched[i], NULL, &s.before[i]);
        if (always || s.before[i].sa_handler == SIG_DFL) (void)sigaction(watched[i], &action, NULL);
    }
    return s;
}

/* A program that called the command as a function has its own back. */
static void unwatch_signals(const signals *s) {
    (void)alarm(0);
    for (size_t i = 0; i < WK_COUNT(watched); i++) (void)sigaction(watched[i], &s->before[i], NULL);
}

/* Whoever sent the signal learns that it ended the process. */
static int ended_by(int number) {
    (void)alarm(0);
    (void)signal(number, SIG_DFL);
    (void)raise(number);
    return 128 + number;
}

/* ---- train ---- */

/* A launcher that starts the app again wants it to go on: after a failure, or with other nodes. */
static bool is_restart(void) {
    const char *count = getenv("TORCHELASTIC_RESTART_COUNT"), *round = getenv("WICK_AGENT_ROUND");
    return (count && strtol(count, NULL, 10) > 0) || (round && strtol(round, NULL, 10) > 1);
}

/* The word after an option; NULL, and the problem is told, where there is none. */
static const char *value_of(int argc, char **argv, int *i, const char *help, const char *kind) {
    if (*i + 1 < argc) return argv[++*i];
    (void)fprintf(stderr, "wick: %s: %s needs %s after it\n%s", argv[0], argv[*i], kind, help);
    return NULL;
}

static bool add_override(command_line *line, const char *word, const char *help) {
    if (!word) return false;
    if (line->n_overrides < MOST_OVERRIDES) {
        line->overrides[line->n_overrides++] = word;
        return true;
    }
    (void)usage(help, "more than 64 settings with -o: put them into the file", "");
    return false;
}

/* Of "0,1"; 0: it is no such list. */
static int64_t count_gpus(const char *list) {
    int64_t count = 0;
    for (const char *at = list;; at++) {
        const size_t digits = strspn(at, "0123456789");
        at += digits;
        count++;
        if (digits == 0 || (*at && *at != ',')) return 0;
        if (!*at) return count;
    }
}

/* A rank for each; CUDA_VISIBLE_DEVICES lets none see another one. */
static void take_gpus(const command_line *line, wk__run_config *config) {
    config->device = "cuda";
    config->params.devices = count_gpus(line->gpus);
}

/* 0, or the exit code of a command line that makes no sense. */
static int parse_train(int argc, char **argv, command_line *line) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            line->wants_help = true;
            return 0;
        }
        if (strcmp(word, "-c") == 0 || strcmp(word, "--config") == 0) {
            line->file = value_of(argc, argv, &i, train_help, "a FILE");
            if (!line->file) return EXIT_USAGE;
        } else if (strcmp(word, "-o") == 0) {
            if (!add_override(line, value_of(argc, argv, &i, train_help, "key=value"), train_help)) return EXIT_USAGE;
        } else if (strcmp(word, "--name") == 0 || strcmp(word, "--tag") == 0) {
            const char **into = word[2] == 'n' ? &line->name : &line->tag;
            if (!(*into = value_of(argc, argv, &i, train_help, "a word"))) return EXIT_USAGE;
        } else if (strcmp(word, "--gpu") == 0) {
            if (!(line->gpus = value_of(argc, argv, &i, train_help, "numbers of GPUs"))) return EXIT_USAGE;
            if (count_gpus(line->gpus) == 0)
                return usage(train_help, "train: --gpu takes numbers as 0,1, not", line->gpus);
        } else if (strcmp(word, "--schema") == 0) {
            line->wants_schema = true;
            for (int k = 0; k < 2 && i + 1 < argc && argv[i + 1][0] != '-'; k++) line->schema[k] = argv[++i];
        } else if (strcmp(word, "--find-batch-size") == 0) {
            line->wants_batch_size = true;
            const char *next = i + 1 < argc ? argv[i + 1] : "-";
            line->batch_size.by_halves = strcmp(next, "binsearch") == 0;
            if (next[0] != '-') i++;
            if (next[0] != '-' && !line->batch_size.by_halves && strcmp(next, "power") != 0)
                return usage(train_help, "train: --find-batch-size is power or binsearch, not", next);
        } else if (strcmp(word, "--memory") == 0) {
            const char *number = value_of(argc, argv, &i, train_help, "a number of MiB");
            char *end = NULL;
            const double mib = number ? strtod(number, &end) : 0;
            if (!number) return EXIT_USAGE;
            if (*end || !(mib >= 1 && mib <= 1e9)) return usage(train_help, "train: --memory needs MiB, not", number);
            line->batch_size.memory = (int64_t)(mib * 1048576);
        } else if (strcmp(word, "--resume") == 0) {
            const char *next = i + 1 < argc ? argv[i + 1] : "-";
            if (next[0] == '-')
                line->start = WK__START_RESUME;
            else
                line->resume = argv[++i];
        } else if (strcmp(word, "--overwrite") == 0) {
            line->start = WK__START_OVERWRITE;
        } else {
            return usage(train_help, "train: cannot make sense of", word);
        }
    }
    if (is_restart()) line->start = WK__START_AGAIN; /* the first attempt has overwritten what was there */
    if (line->batch_size.memory && !line->wants_batch_size)
        return usage(train_help, "train: --memory is for --find-batch-size", "");
    return line->file || line->wants_schema ? 0 : usage(train_help, "train: -c FILE is missing", "");
}

/* One more override, which is freed by the caller with wk_free; NULL where there is none. */
static char *add_word(command_line *line, const char *key, const char *value) {
    char *word = value ? wk_format("%s=%s", key, value) : NULL;
    if (word && line->n_overrides < MOST_OVERRIDES) line->overrides[line->n_overrides++] = word;
    return word;
}

/* --name and --tag, as the LIIF-style trainers take them. */
static char *output_override(command_line *line) {
    char *folder = line->name || line->tag ? wk__save_folder(line->file, line->name, line->tag) : NULL;
    char *word = add_word(line, "output", folder);
    wk_free(folder);
    return word;
}

static int print_schema(const command_line *line) {
    wk__run_config config = { 0 };
    wk_status status =
        line->file ? wk__run_config_load(&config, line->file, line->overrides, line->n_overrides) : WK_OK;
    if (status == WK_OK) status = wk__schema_print(stdout, line->schema[0], line->schema[1]);
    (void)wk_report(stderr);
    wk__run_config_free(&config);
    return status != WK_OK;
}

static wk_status find_batch_size(const command_line *line, const wk__run_config *config, wk_group *group) {
    wk__batch_size_opts opts = line->batch_size;
    opts.first = 2, opts.steps = 3, opts.trials = 25; /* Lightning's */
    opts.told = stderr;
    int64_t found = 0;
    WK_TRY(wk__find_batch_size(config, group, opts, &found));
    (void)printf("%lld\n", (long long)found);
    return WK_OK;
}

int wk_train_main(int argc, char **argv) {
    command_line line = { .start = WK__START_NEW };
    int code = parse_train(argc, argv, &line);
    if (line.wants_help) (void)fputs(train_help, stdout);
    if (line.wants_help || code != 0) return code;
    if (line.wants_schema) return print_schema(&line);
    char *output = output_override(&line), *resume = add_word(&line, "resume", line.resume);
    wk__run_config config;
    wk_status status;
    wk_group *group = open_run(&line, true, &config, &status);
    if (line.gpus && status == WK_OK) take_gpus(&line, &config);
    if (group && status == WK_OK && !line.wants_batch_size && wk__ranks_wanted(&config, group))
        wk__ranks_start(&config, argc, argv, group);
    if (!group) {
        code = report_once();
    } else {
        const signals before = watch_signals(wk_group_size(group));
        if (status == WK_OK)
            status = line.wants_batch_size ? find_batch_size(&line, &config, group)
                                           : wk__train(&config, group, line.start, &stop_signal);
        code = finish(group, status);
        unwatch_signals(&before);
    }
    wk__run_config_free(&config);
    wk_free(resume);
    wk_free(output);
    return status == WK_CANCELLED && stop_signal ? ended_by(stop_signal) : code;
}

/* ---- eval ---- */

static char *checkpoint_of(const command_line *line) {
    const char *name = line->checkpoint;
    if (strcmp(name, "last") == 0 || strcmp(name, "best") == 0) return wk__checkpoint_path(line->folder, name);
    if (access(name, F_OK) == 0) return wk_strdup(name);
    return wk_fail_null(WK_NOT_FOUND, "the checkpoint \"%s\" is neither last nor best nor a file", name);
}

static int parse_eval(int argc, char **argv, command_line *line) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            line->wants_help = true;
            return 0;
        }
        if (strcmp(word, "--checkpoint") == 0) {
            line->checkpoint = value_of(argc, argv, &i, eval_help, "last, best or a FILE");
            if (!line->checkpoint) return EXIT_USAGE;
        } else if (strcmp(word, "-o") == 0) {
            if (!add_override(line, value_of(argc, argv, &i, eval_help, "key=value"), eval_help)) return EXIT_USAGE;
        } else if (word[0] != '-' && !line->folder) {
            line->folder = word;
        } else {
            return usage(eval_help, "eval: cannot make sense of", word);
        }
    }
    return line->folder ? 0 : usage(eval_help, "eval: RUN_DIRECTORY is missing", "");
}

static wk_status evaluate(const command_line *line, const wk__run_config *config, wk_group *group) {
    char *checkpoint = checkpoint_of(line);
    wk_status status = wk__agree(group, checkpoint ? WK_OK : wk_error_code());
    if (status == WK_OK) status = wk__evaluate_checkpoint(config, group, checkpoint, stdout);
    wk_free(checkpoint);
    return status;
}

int wk_eval_main(int argc, char **argv) {
    command_line line = { .checkpoint = "best" };
    int code = parse_eval(argc, argv, &line);
    if (line.wants_help) (void)fputs(eval_help, stdout);
    if (line.wants_help || code != 0) return code;
    char *file = wk_format("%s/config.yaml", line.folder);
    if (!file) return report_once();
    line.file = file;
    wk__run_config config;
    wk_status status;
    wk_group *group = open_run(&line, false, &config, &status);
    code = group ? finish(group, status == WK_OK ? evaluate(&line, &config, group) : status) : report_once();
    wk__run_config_free(&config);
    wk_free(file);
    return code;
}
