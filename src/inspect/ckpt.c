/* ckpt.c: `wick ckpt`: what checkpoints hold, how two differ, from one format to another, the mean of several. */
#include "base/base.h"
#include "io/tensor_file.h"
#include "wick/inspect.h"
#include "wick/ops.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_DIFFER = 1, EXIT_USAGE = 2 };

static const char help[] =
    "usage: wick ckpt ls FILE [--json]          names, shapes, dtypes and bytes\n"
    "       wick ckpt show FILE NAME            one tensor: its range, its mean, its numbers\n"
    "       wick ckpt diff A B                  what only one has, and how far the others lie apart\n"
    "       wick ckpt convert FROM TO           into the format that TO's ending says\n"
    "       wick ckpt average OUT IN IN...      the mean of tensors of equal names, in f64\n"
    "\n"
    "Files: .safetensors; .npz; PyTorch's .pt, .pth, .bin and .ckpt, which are read without running what they hold.\n"
    "diff ends with 1 where the files differ, and with 2 where one cannot be read.\n"
    "\n"
    "example: wick ckpt convert model.pt model.safetensors\n";

static int usage(const char *problem, const char *word) {
    (void)fprintf(stderr, "wick ckpt: %s%s%s%s\n%s", problem, *word ? " \"" : "", word, *word ? "\"" : "", help);
    return EXIT_USAGE;
}

static int report(void) {
    (void)wk_report(stderr);
    return 1;
}

static int64_t bytes_of(const wk_tensor *t) {
    return wk_count(t) * (int64_t)wk_dtype_size(wk_dtype_get(t));
}

static void shape_text(const wk_tensor *t, char *text, size_t size) {
    size_t at = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < wk_rank(t) && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, i ? ", %lld" : "%lld", (long long)wk_size(t, i));
    if (at < size) (void)snprintf(text + at, size - at, ")");
}

/* ---- ls ---- */

static json_t *as_json(const char *name, const wk_tensor *t) {
    json_t *shape = json_array();
    for (int i = 0; i < wk_rank(t); i++) (void)json_array_append_new(shape, json_integer(wk_size(t, i)));
    return json_pack("{s:s, s:s, s:o, s:I}", "name", name, "dtype", wk_dtype_name(wk_dtype_get(t)), "shape", shape,
                     "bytes", (json_int_t)bytes_of(t));
}

static wk_status list(wk__tensor_file *file, json_t *all) {
    int64_t numbers = 0, bytes = 0;
    const int count = wk__tensor_file_count(file);
    for (int i = 0; i < count; i++) {
        wk_scope scope = wk_scope_begin();
        const char *name = wk__tensor_file_name(file, i);
        const wk_tensor *t = wk__tensor_file_get(file, name);
        char shape[160];
        if (t && all) {
            (void)json_array_append_new(all, as_json(name, t));
        } else if (t) {
            shape_text(t, shape, sizeof shape);
            (void)printf("%-48s %-5s %-20s %12lld\n", name, wk_dtype_name(wk_dtype_get(t)), shape,
                         (long long)bytes_of(t));
        }
        if (t) numbers += wk_count(t), bytes += bytes_of(t);
        wk_scope_end(scope);
        if (!t) return wk_error_code();
    }
    if (!all) (void)printf("%d tensors, %lld numbers, %.1f MiB\n", count, (long long)numbers, (double)bytes / 1048576);
    return WK_OK;
}

static int run_ls(int argc, char **argv) {
    const bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    if (argc < 1 || (argc > 1 && !json)) return usage("ls takes one file, and --json", "");
    wk__tensor_file file = { 0 };
    json_t *all = json ? json_array() : NULL;
    wk_status status = wk__tensor_file_open(&file, argv[0]);
    if (status == WK_OK) status = list(&file, all);
    if (status == WK_OK && json) (void)(json_dumpf(all, stdout, JSON_INDENT(2)) == 0 && fputc('\n', stdout));
    json_decref(all);
    wk__tensor_file_close(&file);
    return status == WK_OK ? 0 : report();
}

/* ---- show ---- */

static void print_range(const wk_tensor *t) {
    double least = INFINITY, most = -INFINITY, sum = 0;
    int64_t odd = 0;
    for (int64_t i = 0; i < wk_count(t); i++) {
        const double x = wk_at(t, i);
        odd += !isfinite(x);
        least = fmin(least, x), most = fmax(most, x);
        sum += isfinite(x) ? x : 0;
    }
    if (wk_count(t) == 0) return;
    (void)printf("least %g, greatest %g, mean %g", least, most, sum / fmax(1, (double)(wk_count(t) - odd)));
    if (odd) (void)printf("; %lld infinite or no number", (long long)odd);
    (void)printf("\n");
}

static int run_show(int argc, char **argv) {
    if (argc != 2) return usage("show takes a file and a name", "");
    wk__tensor_file file = { 0 };
    wk_scope scope = wk_scope_begin();
    wk_tensor *t = wk__tensor_file_open(&file, argv[0]) == WK_OK ? wk__tensor_file_get(&file, argv[1]) : NULL;
    char text[160];
    if (t) {
        (void)printf("%s %s\n", argv[1], wk_describe(t, text, sizeof text));
        print_range(t);
        (void)wk_tensor_print(t, stdout);
    }
    const int code = t && !wk_failed() ? 0 : report();
    wk_scope_end(scope);
    wk__tensor_file_close(&file);
    return code;
}

/* ---- diff ---- */

/* How far two tensors of one shape and dtype lie apart; equal numbers and two NaN do not. */
static double distance(const wk_tensor *a, const wk_tensor *b, int64_t *others) {
    double most = 0;
    *others = 0;
    for (int64_t i = 0; i < wk_count(a); i++) {
        const double x = wk_at(a, i), y = wk_at(b, i);
        if (x == y || (isnan(x) && isnan(y))) continue;
        ++*others;
        const double apart = fabs(x - y);
        if (!(apart <= most)) most = isnan(apart) ? INFINITY : apart;
    }
    return most;
}

static bool same_kind(const wk_tensor *a, const wk_tensor *b) {
    bool same = wk_dtype_get(a) == wk_dtype_get(b) && wk_rank(a) == wk_rank(b);
    for (int i = 0; same && i < wk_rank(a); i++) same = wk_size(a, i) == wk_size(b, i);
    return same;
}

/* A line where they differ; how many did. */
static int compare(const char *name, const wk_tensor *a, const wk_tensor *b) {
    char first[160], second[160];
    int64_t others;
    if (!same_kind(a, b)) {
        (void)printf("%s: %s, then %s\n", name, wk_describe(a, first, sizeof first),
                     wk_describe(b, second, sizeof second));
        return 1;
    }
    const double apart = distance(a, b, &others);
    if (others)
        (void)printf("%s: %lld of %lld numbers differ, at most by %g\n", name, (long long)others,
                     (long long)wk_count(a), apart);
    return others > 0;
}

static int only_in(const wk__tensor_file *from, const wk__tensor_file *other, const char *path) {
    int count = 0;
    for (int i = 0; i < wk__tensor_file_count(from); i++) {
        const char *name = wk__tensor_file_name(from, i);
        if (wk__tensor_file_has(other, name)) continue;
        (void)printf("%s: only in %s\n", name, path);
        count++;
    }
    return count;
}

static int differences(wk__tensor_file *a, wk__tensor_file *b, char **paths) {
    int count = only_in(a, b, paths[0]) + only_in(b, a, paths[1]);
    for (int i = 0; i < wk__tensor_file_count(a) && !wk_failed(); i++) {
        const char *name = wk__tensor_file_name(a, i);
        if (!wk__tensor_file_has(b, name)) continue;
        wk_scope scope = wk_scope_begin();
        wk_tensor *x = wk__tensor_file_get(a, name), *y = wk__tensor_file_get(b, name);
        if (x && y) count += compare(name, x, y);
        wk_scope_end(scope);
    }
    return count;
}

static int run_diff(int argc, char **argv) {
    if (argc != 2) return usage("diff takes two files", "");
    wk__tensor_file a = { 0 }, b = { 0 };
    int found = 0;
    if (wk__tensor_file_open(&a, argv[0]) == WK_OK && wk__tensor_file_open(&b, argv[1]) == WK_OK)
        found = differences(&a, &b, argv);
    const bool failed = wk_failed();
    if (!failed && !found) (void)printf("equal: %d tensors\n", wk__tensor_file_count(&a));
    wk__tensor_file_close(&a);
    wk__tensor_file_close(&b);
    if (failed) (void)wk_report(stderr);
    return failed ? EXIT_USAGE : found ? EXIT_DIFFER : 0;
}

/* ---- convert and average ---- */

typedef struct collection {
    wk_tensor **tensor;
    const char **name; /* in the file */
    int count;
} collection;

static void free_collection(collection *c) {
    wk_free(c->tensor);
    wk_free((void *)c->name);
}

static wk_status collect(collection *c, wk__tensor_file *file) {
    c->count = wk__tensor_file_count(file);
    c->tensor = wk_alloc(((size_t)c->count + 1) * sizeof *c->tensor);
    c->name = wk_alloc(((size_t)c->count + 1) * sizeof *c->name);
    if (!c->tensor || !c->name) return WK_NO_MEMORY;
    for (int i = 0; i < c->count; i++) {
        c->name[i] = wk__tensor_file_name(file, i);
        c->tensor[i] = wk__tensor_file_get(file, c->name[i]);
        if (!c->tensor[i]) return wk_error_code();
    }
    return WK_OK;
}

static wk_status save(const char *path, const collection *c) {
    return wk__tensor_file_save(path, (wk_named_tensors){ c->tensor, c->name, c->count });
}

static int run_convert(int argc, char **argv) {
    if (argc != 2) return usage("convert takes two files", "");
    wk__tensor_file file = { 0 };
    collection all = { 0 };
    wk_scope scope = wk_scope_begin();
    wk_status status = wk__tensor_file_open(&file, argv[0]);
    if (status == WK_OK) status = collect(&all, &file);
    if (status == WK_OK) status = save(argv[1], &all);
    if (status == WK_OK) (void)printf("%s: %d tensors\n", argv[1], all.count);
    wk_scope_end(scope);
    free_collection(&all);
    wk__tensor_file_close(&file);
    return status == WK_OK ? 0 : report();
}

static bool is_float(const wk_tensor *t) {
    const wk_dtype dtype = wk_dtype_get(t);
    return dtype == WK_F32 || dtype == WK_F64 || dtype == WK_F16 || dtype == WK_BF16;
}

/* Sums of the float tensors in f64; of others, counters, the last file's stand. */
static wk_status add_file(collection *sums, const char *path) {
    wk__tensor_file file = { 0 };
    wk_status status = wk__tensor_file_open(&file, path);
    if (status == WK_OK && wk__tensor_file_count(&file) != sums->count)
        status = wk_fail(WK_INVALID, "%s: %d tensors, the first file has %d", path, wk__tensor_file_count(&file),
                         sums->count);
    for (int i = 0; i < sums->count && status == WK_OK; i++) {
        wk_tensor *more = wk__tensor_file_get(&file, sums->name[i]);
        if (more && is_float(more)) more = wk_cast(more, WK_F64);
        if (more && !same_kind(more, sums->tensor[i]))
            status =
                wk_fail(WK_SHAPE, "%s: \"%s\" has another shape or type than in the first file", path, sums->name[i]);
        else if (more)
            sums->tensor[i] = is_float(more) ? wk_add(sums->tensor[i], more) : more;
        if (status == WK_OK) status = wk_error_code();
    }
    wk__tensor_file_close(&file);
    return status;
}

static wk_status average(const char *to, char **paths, int count) {
    wk__tensor_file file = { 0 };
    collection all = { 0 };
    wk_status status = wk__tensor_file_open(&file, paths[0]);
    if (status == WK_OK) status = collect(&all, &file);
    wk_dtype *dtype = wk_alloc(((size_t)all.count + 1) * sizeof *dtype);
    for (int i = 0; i < all.count && status == WK_OK && dtype; i++) {
        dtype[i] = wk_dtype_get(all.tensor[i]);
        if (is_float(all.tensor[i])) all.tensor[i] = wk_cast(all.tensor[i], WK_F64);
    }
    for (int i = 1; i < count && status == WK_OK; i++) status = add_file(&all, paths[i]);
    for (int i = 0; i < all.count && status == WK_OK && dtype; i++)
        if (is_float(all.tensor[i])) all.tensor[i] = wk_cast(wk_scale(all.tensor[i], 1.0 / count), dtype[i]);
    if (status == WK_OK) status = wk_error_code();
    if (status == WK_OK) status = save(to, &all);
    wk_free(dtype);
    free_collection(&all);
    wk__tensor_file_close(&file);
    return status;
}

static int run_average(int argc, char **argv) {
    if (argc < 3) return usage("average takes the result and two files or more", "");
    wk_scope scope = wk_scope_begin();
    const wk_status status = average(argv[0], argv + 1, argc - 1);
    wk_scope_end(scope);
    if (status != WK_OK) return report();
    (void)printf("%s: the mean of %d files\n", argv[0], argc - 1);
    return 0;
}

/* ---- the command ---- */

int wk_ckpt_main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv); /* what follows the name */
    } commands[] = {
        { "ls", run_ls },           { "show", run_show },       { "diff", run_diff },
        { "convert", run_convert }, { "average", run_average },
    };
    if (argc < 2) return usage("what to do is missing", "");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) return fputs(help, stdout) < 0;
    const char *names[WK_COUNT(commands)];
    for (size_t i = 0; i < WK_COUNT(commands); i++) {
        names[i] = commands[i].name;
        if (strcmp(argv[1], names[i]) == 0) return commands[i].run(argc - 2, argv + 2);
    }
    const char *near = wk__nearest(argv[1], names, WK_COUNT(names));
    return near ? usage("no such command; did you mean", near) : usage("no such command", argv[1]);
}
