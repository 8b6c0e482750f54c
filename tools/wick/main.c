/* main.c: the door.  Parse one word, call, return its exit code.
 *
 * It links the launcher alone, so that `wick status` starts in milliseconds; what needs the engine is opened when it
 * is asked for, from the directory where the launcher's library lies beside it.
 */
#include "wick/launcher.h"
#include "base/base.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENGINE "libwickrun.so.0.1"

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv); /* NULL: `symbol` of the engine */
    const char *symbol, *help, *example;
    bool hidden;
} command;

static const command commands[] = {
    { "run", wk_run_main, NULL, "start an app", "wick run examples/fashion_mnist/app.yaml -s mpi --wait --log", false },
    { "status", wk_status_main, NULL, "what an app is doing", "wick status mpi://wick/trainer-x7k2qv9wz4cd", false },
    { "log", wk_log_main, NULL, "what its replicas print", "wick log -f mpi://wick/trainer-x7k2qv9wz4cd/trainer/0",
      false },
    { "list", wk_list_main, NULL, "all apps", "wick list --json", false },
    { "cancel", wk_cancel_main, NULL, "end an app", "wick cancel mpi://wick/trainer-x7k2qv9wz4cd", false },
    { "describe", wk_describe_main, NULL, "the AppDef of an app", "wick describe mpi://wick/trainer-x7k2qv9wz4cd",
      false },
    { "delete", wk_delete_main, NULL, "forget an app and its logs", "wick delete mpi://wick/trainer-x7k2qv9wz4cd",
      false },
    { "pipeline", wk_pipeline_main, NULL, "run apps that depend on each other",
      "wick pipeline run examples/pipeline/pipeline.yaml", false },
    { "top", wk_top_main, NULL, "watch what runs", "wick top", false },
    { "completion", wk_completion_main, NULL, "complete words in bash, zsh and fish", "source <(wick completion bash)",
      false },
    { "man", wk_man_main, NULL, "manual pages", "wick man run | man -l -", false },
    { "configure", wk_configure_main, NULL, "write a .torchxconfig to fill in", "wick configure -s slurm", false },
    { "builtins", wk_builtins_main, NULL, "components that need no file", "wick builtins", false },
    { "component", wk_component_main, NULL, "write, check and list components", "wick component validate my.yaml",
      false },
    { "runopts", wk_runopts_main, NULL, "options of the schedulers", "wick runopts mpi", false },
    { "copy", wk_copy_main, NULL, "copy files from URL to URL", "wick copy https://example.com/model.pt models/",
      false },
    { "monitor", wk_monitor_main, NULL, "run a server until a file appears or time is up",
      "wick monitor --exit-on-file runs/done tensorboard --logdir runs", false },
    { "serve-push", wk_serve_push_main, NULL, "have a TorchServe take up a model",
      "wick serve-push --model-path cnn.mar --management-api http://127.0.0.1:8081", false },
    { "agent", wk_agent_main, NULL, "start the ranks of one node", "wick agent --nproc-per-node 2 train.py", false },
    { "tracker", wk_tracker_main, NULL, "what runs noted about themselves", "wick tracker list jobs", false },
    { "train", NULL, "wk_train_main", "train a model", "wick train -c examples/fashion_mnist/config.yaml", false },
    { "eval", NULL, "wk_eval_main", "evaluate a trained model", "wick eval runs/fashion_mnist", false },
    { "config", NULL, "wk_config_main", "where the values of a run's file come from",
      "wick config explain trainer.max_epochs -c examples/fashion_mnist/config.yaml", false },
    { "runs", NULL, "wk_runs_main", "list, compare and draw trained runs", "wick runs ls --sort best", false },
    { "generate", NULL, "wk_generate_main", "have a language model go on with a text",
      "wick generate runs/char_gpt --prompt ROMEO: --tokens 300", false },
    { "ckpt", NULL, "wk_ckpt_main", "look at checkpoints, compare and convert them",
      "wick ckpt convert model.pt model.safetensors", false },
    { "tokenize", NULL, "wk_tokenize_main", "text as tokens, and back", "wick tokenize bert/ \"Hello, world!\"",
      false },
    { "devices", NULL, "wk_devices_main", "what operations can run on here", "wick devices", false },
    { "op", NULL, "wk_op_main", "apply one operation to stored tensors",
      "wick op softmax x.safetensors -o y.safetensors", false },
    { "bench", NULL, "wk_bench_main", "time operations and steps, beside PyTorch",
      "wick bench ops 'softmax*' --peer torch", false },
    { "profile", NULL, "wk_profile_main", "show where the time of a run goes",
      "wick profile -- wick train -c examples/fashion_mnist/config.yaml", false },
    { "__supervise", wk_supervise_main, NULL, "", "", true },
    { "__rank", wk_rank_main, NULL, "", "", true },
    { "__world", wk_world_main, NULL, "", "", true },
};

static void print_help(FILE *out) {
    (void)fputs("wick: train models, on one machine or many\n\nusage: wick COMMAND ...\n\n", out);
    for (size_t i = 0; i < WK_COUNT(commands); i++)
        if (!commands[i].hidden)
            (void)fprintf(out, "  %-10s %s\n             %s\n", commands[i].name, commands[i].help,
                          commands[i].example);
    (void)fputs("\n  wick COMMAND --help says more; wick --version\n", out);
}

/* The engine lies where this program's library does: ../lib, or wherever the loader found it. */
static void *open_engine(const command *c) {
    Dl_info info;
    char path[PATH_MAX] = "";
    if (dladdr((void *)(uintptr_t)&wk_run_main, &info) && info.dli_fname) {
        char library[PATH_MAX];
        (void)snprintf(library, sizeof library, "%s", info.dli_fname);
        (void)snprintf(path, sizeof path, "%.*s/%s", PATH_MAX - 32, dirname(library), ENGINE);
    }
    void *engine = *path && access(path, F_OK) == 0 ? dlopen(path, RTLD_NOW | RTLD_GLOBAL)
                                                    : dlopen(ENGINE, RTLD_NOW | RTLD_GLOBAL);
    if (!engine)
        (void)fprintf(stderr,
                      "wick: %s needs the engine, %s, which cannot be opened: %s\n"
                      "wick: build it (cmake -DWICK_ENGINE=ON) or install it beside libwicklaunch\n",
                      c->name, ENGINE, dlerror());
    return engine;
}

/* libgomp reads this when it is loaded.  Its default lets a thread that waits spin for milliseconds: on a core that
 * another program wants (a second rank, a build) that slowed `cnn` seven times (235 instead of 1,485 images a second
 * with a compiler running beside).  10,000 turns cover the gaps within a step, then the thread sleeps. */
static void limit_spinning(void) {
    if (!getenv("OMP_WAIT_POLICY")) (void)setenv("GOMP_SPINCOUNT", "10000", 0);
}

static int run_engine(const command *c, int argc, char **argv) {
    limit_spinning();
    void *engine = open_engine(c);
    if (!engine) return 2;
    int (*run)(int, char **) = NULL;
    *(void **)&run = dlsym(engine, c->symbol);
    if (run) return run(argc, argv);
    (void)fprintf(stderr, "wick: this engine has no command %s (%s): library and program are of different versions\n",
                  c->name, c->symbol);
    return 2;
}

static int unknown(const char *word) {
    const char *names[WK_COUNT(commands)];
    size_t count = 0;
    for (size_t i = 0; i < WK_COUNT(commands); i++)
        if (!commands[i].hidden) names[count++] = commands[i].name;
    const char *nearest = wk__nearest(word, names, count);
    if (nearest)
        (void)fprintf(stderr, "wick: unknown command \"%s\"; did you mean \"%s\"?\n", word, nearest);
    else
        (void)fprintf(stderr, "wick: unknown command \"%s\"; `wick --help` lists them\n", word);
    return 2;
}

/* A program that is started without standard streams would give their numbers to the next files it opens, and write its
 * messages into a checkpoint. */
static void open_standard_streams(void) {
    int descriptor;
    do descriptor = open("/dev/null", O_RDWR);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor >= 0) (void)close(descriptor);
}

int main(int argc, char **argv) {
    open_standard_streams();
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("wick %s\n", wk_version());
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return 0;
    }
    for (size_t i = 0; i < WK_COUNT(commands); i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].run ? commands[i].run(argc - 1, argv + 1) : run_engine(&commands[i], argc - 1, argv + 1);
    return unknown(argv[1]);
}
