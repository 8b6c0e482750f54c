/* commands.c: what the documentation tells to run is run as it stands there, shortened.
 *
 * Each page has a test: its commands run in the page's order in one folder, which holds a copy of examples/, small
 * files of the names that the page takes for granted, and build/bin/wick.  A file of YAML that a command asks for and
 * that is not there is the block before it.  What training commands get besides is in `shortened`.  Commands that
 * cannot be run here are in `left_out`, with the reason; those of a page that has no test are found by
 * every_page_has_its_test.
 */
#include "guides/page.h"
#include "support/brief.h"
#include "support/program.h"
#include "wick/models.h"
#include "wick/tasks.h"
#include "wick/wick.h"

#include <criterion/criterion.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *page, *command, *reason;
} left_out[] = {
    { "README.md", "build/bin/wick run examples/fashion_mnist/app.yaml -s mpi --wait --log",
      "a minute and more; tools/quickstart runs it whole, in tools/check --full" },
    { "examples/fashion_mnist/README.md", "wick run examples/fashion_mnist/app.yaml -s mpi --wait --log",
      "a minute and more; tools/quickstart runs it whole, in tools/check --full" },
    { "docs/launcher.md", "wick agent --nproc-per-node 2 --max-restarts 3 wick train -c config.yaml",
      "train/agent runs it: ranks that are killed and come back" },
    { "docs/launcher.md", "wick agent --nnodes 1:2 --rdzv-endpoint node1:29500 wick train -c config.yaml",
      "two machines; train/agent runs agents side by side" },
    { "docs/write-a-cuda-kernel.md",
      "build/bin/wick train -c examples/fashion_mnist/config.yaml -o device=cudaemu -o trainer.max_steps=5",
      "needs the emulated device, which not every build has; device_steps/* train on it" },
    { "examples/pipeline/README.md", "wick pipeline run examples/pipeline/prepare-train-evaluate.yaml",
      "four epochs of all images; the line below it, with fewer, runs" },
};

static char folder[400];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("guides"));
    cr_assert_eq(chdir(folder), 0);
}
static void tear_down(void) {
    remove_folder(folder);
}
TestSuite(commands, .init = set_up, .fini = tear_down);

/* ---- the folder ---- */

static void shell(const char *words) {
    char *err = NULL;
    const int code = run_program(folder, (char *[]){ "sh", "-c", (char *)(uintptr_t)words, NULL }, NULL, 60, &err);
    cr_assert_eq(code, 0, "%s: %s", words, err);
    free(err);
}

/* Twenty kilobytes with as few different characters as Shakespeare has. */
static void make_text(void) {
    static const char *const lines[] = { "First Citizen:\nBefore we proceed any further, hear me speak.\n\n",
                                         "All:\nSpeak, speak.\n\n", "ROMEO:\nI dreamt a dream to-night.\n\n",
                                         "MERCUTIO:\nAnd so did I. Well, what was yours?\n\n" };
    FILE *file = fopen("examples/tinyshakespeare.txt", "w");
    cr_assert_not_null(file);
    unsigned state = 1;
    for (int size = 0; size < 20000;) {
        state = state * 1664525 + 1013904223;
        const char *line = lines[state >> 30];
        size += fprintf(file, "%s", line);
    }
    (void)fclose(file);
}

/* Small networks in the folders of published ones. */
static void make_published(wk_module *model, const char *tokenizer, const char *name) {
    wk_tokenizer *t = wk_tokenizer_open(tokenizer);
    cr_assert(t && model, "%s", wk_message());
    cr_assert_eq(wk_pretrained_save(model, t, NULL, name), WK_OK, "%s", wk_message());
    wk_module_destroy(model);
    wk_tokenizer_destroy(t);
}

static void make_folder(void) {
    shell("cp -r '" WICK_SOURCE_DIR "/examples' . && mkdir runs build && ln -s '" WICK_BUILD_DIR "/bin' build/bin"
          " && ln -s '" WICK_DCGAN "' examples/dcgan/dcgan.so"
          " && ln -s '" WICK_OWN_TRAINER "' examples/own_trainer/own_trainer.so"
          " && cp '" WICK_SOURCE_DIR "/tests/golden/torch/state.pt' model.pt"
          " && cp model.pt resnet50-11ad3fa6.pth");
    make_text();
    shell("'" WICK_PROGRAM "' tokenize --train bpe --size 300 --save bpe.json examples/tinyshakespeare.txt");
    make_published(wk_gpt2((wk_gpt2_opts){ .layers = 1, .heads = 2, .width = 16, .vocabulary = 300, .context = 128 }),
                   "bpe.json", "gpt2");
    make_published(wk_bert((wk_bert_opts){ .layers = 1, .heads = 2, .width = 16, .vocabulary = 30 }),
                   WICK_SOURCE_DIR "/tests/golden/pretrained/bert", "bert-base-uncased");
}

/* ---- a command ---- */

static bool is_left_out(const char *path, const char *command) {
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++)
        if (strcmp(left_out[i].page, path) == 0 && strcmp(left_out[i].command, command) == 0) return true;
    return false;
}

/* The file that a command asks for, where the page shows it. */
static void write_yaml(const page *p, const page_command *c) {
    const char *at = strstr(c->text, " -c ");
    char name[200];
    if (!at || sscanf(at + 4, "%199s", name) != 1 || strchr(name, '/') || access(name, F_OK) == 0) return;
    cr_assert_geq(c->yaml, 0, "%s:%d: %s is not there, and no YAML before it", p->path, c->line, name);
    write_bytes(name, p->yaml[c->yaml], strlen(p->yaml[c->yaml]));
}

/* Each training goes two small steps further than the one before it, so that there is something to resume. */
static void shortened(char *out, size_t size, const char *command, int *steps) {
    if (!strstr(command, "wick train ")) {
        (void)snprintf(out, size, "%s", command);
        return;
    }
    *steps += 2;
    (void)snprintf(out, size, "%s -o trainer.max_steps=%d -o trainer.limit_val_batches=1 -o data.args.batch_size=8",
                   command, *steps);
}

static void run_command(const page *p, const page_command *c, int *steps) {
    static char path[4000];
    char text[1000], *err = NULL,
                     *environment[] = { path,
                                        "OMP_NUM_THREADS=1",
                                        "OMPI_ALLOW_RUN_AS_ROOT=1",
                                        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                        "OMPI_MCA_rmaps_base_oversubscribe=1",
                                        "OMPI_MCA_hwloc_base_binding_policy=none",
                                        "OMPI_MCA_pml=ob1",
                                        "OMPI_MCA_btl=self,vader",
                                        "ASAN_OPTIONS=detect_leaks=0",
                                        "WICK_DIST_TIMEOUT=20",
                                        NULL };
    (void)snprintf(path, sizeof path, "PATH=%s/bin:%s", WICK_BUILD_DIR, getenv("PATH"));
    write_yaml(p, c);
    shortened(text, sizeof text, c->text, steps);
    const int code = run_program(folder, (char *[]){ "sh", "-ec", text, NULL }, environment, 60, &err);
    cr_assert_eq(code, 0, "%s:%d: %s\nexit code %d\n%s", p->path, c->line, text, code, err);
    free(err);
}

/* A recipe's comment names the command that its guide tells, perhaps with more behind it. */
static bool is_told(const page *guide, const char *command) {
    for (int i = 0; i < guide->commands; i++)
        if (strncmp(guide->command[i].text, command, strlen(command)) == 0) return true;
    return false;
}

/* `guide`: the page that was run before; NULL: none. */
static void run_page(const page *p, const page *guide, int *steps) {
    cr_expect_gt(p->commands, 0, "%s tells no command", p->path);
    for (int i = 0; i < p->commands; i++) {
        const page_command *c = &p->command[i];
        if (!is_left_out(p->path, c->text) && !(guide && is_told(guide, c->text))) run_command(p, c, steps);
    }
}

/* ---- the pages ---- */

static void nothing(void) {}

static void two_runs(void) {
    shell("for run in first second; do '" WICK_PROGRAM "' train -c examples/csv_regression/config.yaml"
          " -o trainer.max_epochs=2 -o output=runs/$run; done; mkdir save && cp -r runs/first save/first");
}
static void a_trained_gpt(void) {
    shell("'" WICK_PROGRAM "' train -c examples/char_gpt/config.yaml"
          " -o trainer.max_steps=1 -o trainer.limit_val_batches=1 -o data.args.batch_size=1");
}
static void two_checkpoints(void) {
    shell("for epoch in 8 9; do '" WICK_PROGRAM "' ckpt convert model.pt epoch-$epoch.safetensors; done");
}

/* Test, what it needs, pages: of an example the guide and the files whose comments say how they are run. */
#define EXAMPLE(name) "examples/" name "/README.md", "examples/" name "/config.yaml"
#define FASHION(name) "examples/fashion_mnist/" name
#define PAGES(X)                                                                                  \
    X(readme, nothing, "README.md")                                                               \
    X(train, nothing, "docs/train.md")                                                            \
    X(tasks, a_trained_gpt, "docs/tasks.md")                                                      \
    X(runs, two_runs, "docs/runs.md")                                                             \
    X(text, nothing, "docs/text.md")                                                              \
    X(from_pytorch, two_checkpoints, "docs/from-pytorch.md")                                      \
    X(models, nothing, "docs/models.md")                                                          \
    X(char_gpt, nothing, EXAMPLE("char_gpt"))                                                     \
    X(char_lstm, nothing, EXAMPLE("char_lstm"))                                                   \
    X(csv_regression, nothing, EXAMPLE("csv_regression"))                                         \
    X(dcgan, nothing, EXAMPLE("dcgan"))                                                           \
    X(fashion_mnist, nothing, EXAMPLE("fashion_mnist"), FASHION("mlp.yaml"), FASHION("vit.yaml"), \
      FASHION("resnet18.yaml"), FASHION("app.yaml"))                                              \
    X(gpt2, nothing, EXAMPLE("gpt2"))                                                             \
    X(liif, nothing, EXAMPLE("liif"))                                                             \
    X(own_trainer, nothing, EXAMPLE("own_trainer"))                                               \
    X(pipeline, nothing, "examples/pipeline/README.md", "examples/pipeline/pipeline.yaml",        \
      "examples/pipeline/prepare-train-evaluate.yaml")                                            \
    X(segmentation, nothing, EXAMPLE("segmentation"))                                             \
    X(text_classification, nothing, EXAMPLE("text_classification"))

static void run_pages(void (*prepare)(void), const char *const *paths) {
    if (tests_are_brief()) cr_skip_test("each command has a test of its own");
    make_folder();
    prepare();
    page guide = page_read(*paths);
    int steps = 0;
    run_page(&guide, NULL, &steps);
    while (*++paths) {
        page recipe = page_read(*paths);
        run_page(&recipe, &guide, &steps);
        page_free(&recipe);
    }
    page_free(&guide);
}
#define PAGE_TEST(name, prepare, ...)                                   \
    Test(commands, name) {                                              \
        run_pages(prepare, (const char *const[]){ __VA_ARGS__, NULL }); \
    }
PAGES(PAGE_TEST)

/* ---- none is left out without a word ---- */

static bool has_test(const char *path) {
#define PAGE_PATHS(name, prepare, ...) __VA_ARGS__,
    static const char *const tested[] = { PAGES(PAGE_PATHS) };
    for (size_t i = 0; i < sizeof tested / sizeof *tested; i++)
        if (strcmp(tested[i], path) == 0) return true;
    return false;
}

/* Which of left_out a page has are struck off. */
static void look_through(const char *path, bool *found) {
    page p = page_read(path);
    for (int i = 0; i < p.commands; i++) {
        bool known = has_test(path);
        for (size_t k = 0; k < sizeof left_out / sizeof *left_out; k++) {
            const bool same =
                strcmp(left_out[k].page, path) == 0 && strcmp(left_out[k].command, p.command[i].text) == 0;
            found[k] = found[k] || same;
            known = known || same;
        }
        cr_expect(known, "%s:%d: \"%s\" is neither run (PAGES) nor in left_out", path, p.command[i].line,
                  p.command[i].text);
    }
    page_free(&p);
}

Test(commands, every_page_has_its_test) {
    static const char *const where[] = { "*.md", "docs/*.md", "examples/*/README.md", "examples/*/*.yaml",
                                         "benchmarks/*.md" };
    bool found[sizeof left_out / sizeof *left_out] = { false };
    for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
        char pattern[600];
        glob_t all;
        (void)snprintf(pattern, sizeof pattern, "%s/%s", WICK_SOURCE_DIR, where[i]);
        cr_assert_eq(glob(pattern, 0, NULL, &all), 0, "%s", pattern);
        for (size_t k = 0; k < all.gl_pathc; k++) look_through(all.gl_pathv[k] + sizeof WICK_SOURCE_DIR, found);
        globfree(&all);
    }
    for (size_t k = 0; k < sizeof left_out / sizeof *left_out; k++)
        cr_expect(found[k], "%s does not say \"%s\" any more", left_out[k].page, left_out[k].command);
}

/* What a page shows of a run's file, whole or in part, is joined with a file that has the rest, and looked at. */
static void look_at_blocks(const char *path) {
    page p = page_read(path);
    cr_expect_gt(p.blocks, 0, "%s shows no YAML", path);
    for (int i = 0; i < p.blocks; i++) {
        char *err = NULL;
        FILE *file = fopen("part.yaml", "w");
        cr_assert_not_null(file);
        (void)fprintf(file, "include: [ rest.yaml ]\n%s", p.yaml[i]);
        (void)fclose(file);
        const int code =
            run_program(folder, (char *[]){ WICK_PROGRAM, "config", "dump", "-c", "part.yaml", NULL }, NULL, 30, &err);
        cr_expect_eq(code, 0, "%s:%d: (one line more than there) %s", path, p.yaml_line[i], err);
        free(err);
    }
    page_free(&p);
}

Test(commands, every_block_of_yaml_is_understood) {
    static const char *const pages[] = { "README.md",     "docs/train.md", "docs/data.md",
                                         "docs/tasks.md", "docs/runs.md",  "docs/models.md" };
    static const char rest[] =
        "data: { name: idx }\nmodel: { name: cnn }\noptimizer: { name: SGD, args: { lr: 0.1 } }\n";
    cr_assert_eq(symlink(WICK_OWN_TRAINER, "own_trainer.so"), 0);
    write_bytes("rest.yaml", rest, sizeof rest - 1);
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) look_at_blocks(pages[i]);
}

/* Whoever finds a recipe finds beside it what it is, how it is run and what comes out. */
Test(commands, every_recipe_has_a_readme) {
    glob_t all;
    cr_assert_eq(glob(WICK_SOURCE_DIR "/examples/*/*.yaml", 0, NULL, &all), 0);
    for (size_t k = 0; k < all.gl_pathc; k++) {
        char readme[600];
        const char *end = strrchr(all.gl_pathv[k], '/');
        (void)snprintf(readme, sizeof readme, "%.*s/README.md", (int)(end - all.gl_pathv[k]), all.gl_pathv[k]);
        cr_expect_eq(access(readme, F_OK), 0, "%s is missing", readme);
    }
    globfree(&all);
}
