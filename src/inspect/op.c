/* op.c: `wick op`: one operation on stored tensors, to reproduce a case or to compare with another framework. */
#include "base/base.h"
#include "io/file.h"
#include "wick/autograd.h"
#include "wick/inspect.h"
#include "wick/io.h"
#include "wick/op.h"

#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2, MOST_TENSORS = 256, MOST_ATTR_BYTES = 512 };

static const char help[] =
    "usage: wick op [--plugin FILE] NAME INPUT.safetensors... -o OUTPUT.safetensors [--attr name=value]... [--grad "
    "GOUT.safetensors]\n"
    "       wick op NAME --help\n"
    "       wick op --list [--json]\n"
    "       wick op --docs FOLDER\n"
    "       wick op --coverage FILE\n"
    "\n"
    "Applies one operation to stored tensors.  Inputs are taken in the order of the files, each file's tensors in the\n"
    "order of their names; `-` stands for an optional input left out.  The results are stored as out.0, out.1, ...\n"
    "\n"
    "  -o, --output FILE    where the results go\n"
    "  --attr name=value    an attribute; several numbers as 2,3\n"
    "  --grad FILE          gradients of the results, in the order of their names; those of the inputs are stored "
    "too,\n"
    "                       as grad.0, grad.1, ...\n"
    "  --threads N          threads to use\n"
    "  --plugin FILE        a shared library with more operations; stands before NAME\n"
    "  --list               all operations; with --json as JSON with attributes and dtypes\n"
    "  --docs FOLDER        write the op reference; at the root of Wick's sources\n"
    "  --coverage FILE      write how each operation runs on the emulated device\n"
    "\n"
    "example: wick op softmax x.safetensors -o y.safetensors --attr axis=1\n";

typedef struct job {
    const wk_op_def *op;
    const char *output, *gradient, *docs, *coverage;
    const char *file[MOST_TENSORS];
    int files, threads;
    bool list, json, help;
    wk_tensor *in[MOST_TENSORS], *out[MOST_TENSORS];
    int n_in, n_out;
    union {
        char bytes[MOST_ATTR_BYTES];
        double align;
    } attrs;
} job;

/* ---- the command line ---- */

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick: op: %s%s%s\n%s", problem, *word ? " " : "", word, help);
    return EXIT_USAGE;
}

static bool set_attr(job *j, char *word) {
    char *equals = strchr(word, '=');
    if (!equals) return (void)wk_fail(WK_CONFIG, "%s: --attr %s: expected name=value", j->op->name, word), false;
    *equals = '\0';
    bool done = wk_op_set_attr(j->op, j->attrs.bytes, word, equals + 1) == WK_OK;
    *equals = '=';
    return done;
}

static bool find_op(job *j, const char *name) {
    j->op = wk_op_find(name);
    if (j->op && j->op->internal)
        return (void)wk_fail(WK_INVALID,
                             "operation \"%s\" serves gradients and optimizers; ask for a gradient with --grad", name),
               false;
    if (j->op) return true;
    const char **names = wk_alloc((size_t)wk_op_count() * sizeof *names);
    size_t count = 0;
    for (int id = 0; names && id < wk_op_count(); id++)
        if (!wk_op_get(id)->internal) names[count++] = wk_op_get(id)->name;
    const char *nearest = names ? wk__nearest(name, names, count) : NULL;
    (void)wk_fail(WK_NOT_FOUND, "unknown operation \"%s\"; %s%s%s`wick op --list` shows all", name,
                  nearest ? "did you mean \"" : "", nearest ? nearest : "", nearest ? "\"? " : "");
    wk_free(names);
    return false;
}

/* Options that take a word; gives whether `option` is one, and reads it. */
static bool read_option(job *j, const char *option, char *value, bool *good) {
    if (strcmp(option, "-o") == 0 || strcmp(option, "--output") == 0)
        j->output = value;
    else if (strcmp(option, "--grad") == 0)
        j->gradient = value;
    else if (strcmp(option, "--attr") == 0)
        *good = !value || set_attr(j, value);
    else if (strcmp(option, "--threads") == 0) {
        char *end = value;
        j->threads = value ? (int)strtol(value, &end, 10) : 1;
        if (value && (*end || j->threads < 1))
            *good = false, (void)wk_fail(WK_CONFIG, "--threads is \"%s\", expected a number of at least 1", value);
    } else
        return false;
    return true;
}

/* 0, or the exit code. */
static int parse(job *j, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        char *word = argv[i];
        bool good = true;
        if (strcmp(word, "--plugin") == 0 && i + 1 < argc) {
            if (wk_plugin_open(argv[++i]) != WK_OK) return (void)wk_report(stderr), EXIT_USAGE;
            continue;
        }
        if (strcmp(word, "--docs") == 0 && i + 1 < argc)
            j->docs = argv[++i];
        else if (strcmp(word, "--coverage") == 0 && i + 1 < argc)
            j->coverage = argv[++i];
        else if (strcmp(word, "--list") == 0)
            j->list = true;
        else if (strcmp(word, "--json") == 0)
            j->json = true;
        else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
            j->help = true;
        else if (word[0] != '-' || !word[1]) {
            if (!j->op && !j->list)
                good = find_op(j, word);
            else if (j->files == MOST_TENSORS)
                return usage("more than 256 files", "");
            else
                j->file[j->files++] = word;
        } else if (!j->op)
            return usage("expected the operation's name before", word);
        else {
            if (!read_option(j, word, i + 1 < argc ? argv[i + 1] : NULL, &good)) return usage("unknown option", word);
            if (++i == argc) return usage("nothing stands behind", word);
        }
        if (!good) return (void)wk_report(stderr), EXIT_USAGE;
    }
    return 0;
}

/* ---- what one operation is ---- */

static void print_op(const wk_op_def *op) {
    (void)printf("%s: %s\n", op->name, op->doc);
    if (op->n_in == WK_LIST)
        (void)printf("  inputs   a list of tensors\n");
    else
        (void)printf("  inputs   %d%s\n", op->n_in, op->optional_in ? " (some optional: -)" : "");
    for (int i = 0; i < op->n_attrs; i++) {
        const wk_attr_def *attr = &op->attrs[i];
        char value[80] = "";
        (void)snprintf(value, sizeof value, "%g", attr->otherwise);
        (void)printf("  %-20s %s%s%s%s%s\n", attr->name, attr->doc, attr->choices ? "; " : "",
                     attr->choices ? attr->choices : "", attr->type == WK_ATTR_OPTIONAL ? "; default " : "",
                     attr->type == WK_ATTR_OPTIONAL ? value : "");
    }
    if (op->not_differentiable) (void)printf("  no gradient: %s\n", op->not_differentiable);
}

/* ---- running ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* All tensors of a file in order of name, appended. */
static wk_status read_file(const char *path, wk_tensor **tensors, int *count) {
    wk_safetensors *file = wk_safetensors_open(path);
    if (!file) return wk_error_code();
    int n = wk_safetensors_count(file);
    const char **names = wk_alloc((size_t)(n ? n : 1) * sizeof *names);
    for (int i = 0; names && i < n; i++) names[i] = wk_safetensors_name(file, i);
    if (names) qsort(names, (size_t)n, sizeof *names, by_name);
    wk_status status = names ? WK_OK : WK_NO_MEMORY;
    if (status == WK_OK && *count + n > MOST_TENSORS)
        status = wk_fail(WK_INVALID, "%s: more than %d tensors in all", path, MOST_TENSORS);
    for (int i = 0; i < n && status == WK_OK; i++) {
        tensors[*count] = wk_safetensors_get(file, names[i]);
        status = tensors[*count] ? WK_OK : wk_error_code();
        *count += status == WK_OK;
    }
    wk_free(names);
    wk_safetensors_close(file);
    return status;
}

/* Copies, since the file is mapped read-only and some operations write; leaves where gradients are asked for. */
static wk_status read_inputs(job *j) {
    for (int i = 0; i < j->files; i++) {
        if (strcmp(j->file[i], "-") != 0)
            WK_TRY(read_file(j->file[i], j->in, &j->n_in));
        else if (j->n_in == MOST_TENSORS)
            return wk_fail(WK_INVALID, "more than %d inputs", MOST_TENSORS);
        else
            j->in[j->n_in++] = NULL;
    }
    for (int i = 0; i < j->n_in; i++) {
        if (!j->in[i]) continue;
        wk_tensor *copy = wk_empty(wk_dtype_get(j->in[i]), wk_dims_get(j->in[i]));
        if (!copy || wk_copy_into(copy, j->in[i]) != WK_OK) return wk_error_code();
        j->in[i] = wk_keep(copy);
        bool written = j->op->n_in != WK_LIST && (j->op->mutates >> i & 1);
        if (j->gradient && !written && wk_dtype_is_float(wk_dtype_get(copy))) (void)wk_require_grad(j->in[i], true);
    }
    return wk_failed() ? wk_error_code() : WK_OK;
}

static bool is_shown(const job *j, int k) {
    return j->op->n_out == WK_LIST || !(j->op->internal_out >> k & 1);
}

static wk_status run_backward(job *j) {
    wk_tensor *given[MOST_TENSORS];
    int count = 0, used = 0;
    WK_TRY(read_file(j->gradient, given, &count));
    for (int k = 0; k < j->n_out; k++) {
        if (!is_shown(j, k) || !wk_requires_grad(j->out[k])) continue;
        if (used == count)
            return wk_fail(WK_INVALID, "%s: holds %d gradients, more are needed: one for each result that has one",
                           j->gradient, count);
        WK_TRY(wk_backward_from(j->out[k], given[used++], (wk_backward_opts){ .retain_graph = true }));
    }
    if (used < count)
        return wk_fail(WK_INVALID, "%s: holds %d gradients, but %d results of %s have one", j->gradient, count, used,
                       j->op->name);
    return WK_OK;
}

static wk_status write_results(job *j) {
    wk_tensor *tensor[2 * MOST_TENSORS];
    char *name[2 * MOST_TENSORS];
    int count = 0;
    for (int k = 0; k < j->n_out; k++) {
        if (!is_shown(j, k)) continue;
        tensor[count] = j->out[k];
        name[count++] = wk_format("out.%d", k);
    }
    for (int i = 0; i < j->n_in && j->gradient; i++) {
        if (!j->in[i] || !wk_requires_grad(j->in[i])) continue;
        wk_tensor *gradient = wk_gradient(j->in[i]);
        tensor[count] = gradient ? gradient : wk_zeros(wk_dtype_get(j->in[i]), wk_dims_get(j->in[i]));
        name[count++] = wk_format("grad.%d", i);
    }
    wk_status status = wk_failed() ? wk_error_code() : WK_OK;
    const wk_named_tensors all = { tensor, (const char *const *)name, count };
    if (status == WK_OK) status = wk_safetensors_save(j->output, all, NULL, 0);
    for (int i = 0; i < count; i++) wk_free(name[i]);
    return status;
}

static wk_status run(job *j) {
    wk_set_threads(j->threads);
    WK_TRY(read_inputs(j));
    if (j->op->n_in == WK_LIST && j->n_in == 0) return wk_fail(WK_INVALID, "%s: no input was given", j->op->name);
    if (j->op->n_in != WK_LIST && j->op->n_in != j->n_in)
        return wk_fail(WK_INVALID, "%s: %d inputs in the files, expected %d (- stands for an optional one left out)",
                       j->op->name, j->n_in, j->op->n_in);
    j->n_out = wk_op_outputs(j->op, j->in, j->n_in, j->attrs.bytes);
    if (j->n_out < 0) return wk_error_code();
    if (j->n_out > MOST_TENSORS) return wk_fail(WK_INVALID, "%s: more than %d results", j->op->name, MOST_TENSORS);
    if (!j->gradient) (void)wk_no_grad_begin();
    WK_TRY(wk_op_run(j->op, j->in, j->n_in, j->out, j->attrs.bytes));
    if (j->gradient) WK_TRY(run_backward(j));
    return write_results(j);
}

static int write_coverage(const char *path) {
    char *page = wk_op_coverage();
    wk_status status = page ? wk__write_file(path, page, strlen(page)) : wk_error_code();
    wk_free(page);
    return status == WK_OK ? 0 : ((void)wk_report(stderr), 1);
}

int wk_op_main(int argc, char **argv) {
    static job j;
    j = (job){ 0 };
    int code = parse(&j, argc, argv);
    if (code) return code;
    if (j.list) return wk_op_table_print(stdout, j.json) == WK_OK ? 0 : ((void)wk_report(stderr), 1);
    if (j.docs) return wk_op_docs_write(j.docs, "include/wick/ops") == WK_OK ? 0 : ((void)wk_report(stderr), 1);
    if (j.coverage) return write_coverage(j.coverage);
    if (j.help) {
        if (j.op)
            print_op(j.op);
        else
            (void)fputs(help, stdout);
        return 0;
    }
    if (!j.op) return usage("expected an operation", "");
    if (!j.output) return usage("expected -o OUTPUT", "");
    wk_scope scope = wk_scope_begin();
    wk_status status = run(&j);
    if (status != WK_OK) (void)wk_report(stderr);
    for (int i = 0; i < j.n_in; i++) wk_release(j.in[i]);
    wk_scope_end(scope);
    return status == WK_OK ? 0 : 1;
}
