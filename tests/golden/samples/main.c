/* samples/main.c: write the sample inputs of every row, for tests/golden/make_rows.py to ask PyTorch about.
 *
 *     golden_samples FOLDER
 *
 * makes FOLDER/samples.safetensors, "row/label/class/in.K", and FOLDER/samples.json, an array of {"row", "label",
 * "class", "inputs", "attrs"}.  The class is the kind of numbers: f64 (for all float types: samples hold eight
 * significant bits), i64 (for all signed integers), u8, bool.
 */
#define WK_NO_CALL_SITES
#include "support/sample.h"
#include "wick/io.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 40000, MOST_IN = 16 };

static struct {
    wk_tensor *tensor[MOST];
    char *name[MOST];
    int count;
    FILE *json;
    const wk_op_def *row;
    wk_dtype dtype;
    bool any;
} dump;

static void fail(const char *what) {
    (void)fprintf(stderr, "golden_samples: %s: %s\n", what, wk_message());
    exit(1);
}

static void add(wk_tensor *tensor, const char *format, ...) WK_PRINTF(2, 3);
static void add(wk_tensor *tensor, const char *format, ...) {
    char name[300];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(name, sizeof name, format, list);
    va_end(list);
    if (dump.count == MOST) fail("too many samples");
    dump.tensor[dump.count] = wk_keep(tensor);
    dump.name[dump.count++] = wk_strdup(name);
}

static void write_attrs(const void *attrs) {
    for (int i = 0; i < dump.row->n_attrs; i++) {
        char text[300];
        if (wk_op_get_attr(dump.row, attrs, i, text, sizeof text) != WK_OK) fail(dump.row->name);
        (void)fprintf(dump.json, "%s\"%s\": \"%s\"", i ? ", " : "", dump.row->attrs[i].name, text);
    }
}

static void one_case(wk_sampler *sampler, const char *label, const wk_sample_in *in, int n_in, const void *attrs) {
    (void)sampler;
    static const char zeros[512];
    const char *kind = wk_dtype_name(dump.dtype);
    wk_scope scope = wk_scope_begin();
    for (int i = 0; i < n_in; i++) {
        wk_dtype dtype = wk__sample_dtype(dump.row, &in[i], i, dump.dtype);
        wk_tensor *drawn = wk__sample_draw_exact(&in[i], i, dtype, WK__SAMPLE_AS_SAID);
        if (drawn) add(wk_contiguous(drawn), "%s/%s/%s/in.%d", dump.row->name, label, kind, i);
    }
    (void)fprintf(dump.json, "%s{\"row\": \"%s\", \"label\": \"%s\", \"class\": \"%s\", \"inputs\": %d, \"attrs\": {",
                  dump.any ? ",\n" : "", dump.row->name, label, kind, n_in);
    write_attrs(attrs ? attrs : zeros);
    (void)fprintf(dump.json, "}}");
    dump.any = true;
    if (wk_failed()) fail(dump.row->name);
    wk_scope_end(scope);
}

int main(int argc, char **argv) {
    static const wk_dtype classes[] = { WK_F64, WK_I64, WK_U8, WK_BOOL };
    if (argc != 2) {
        (void)fprintf(stderr, "usage: golden_samples FOLDER\n");
        return 2;
    }
    char path[1000];
    (void)snprintf(path, sizeof path, "%s/samples.json", argv[1]);
    dump.json = fopen(path, "we");
    if (!dump.json) {
        perror(path);
        return 1;
    }
    (void)fprintf(dump.json, "[\n");
    wk_sampler sampler = { .emit = one_case };
    for (int id = 0; id < wk_op_count(); id++) {
        dump.row = wk_op_get(id);
        if (dump.row->random || (dump.row->internal && dump.row->mutates)) continue;
        for (size_t k = 0; k < sizeof classes / sizeof classes[0]; k++) {
            dump.dtype = classes[k];
            if (wk__sample_serves(dump.row, dump.dtype)) dump.row->samples(&sampler);
        }
    }
    (void)fprintf(dump.json, "\n]\n");
    if (fclose(dump.json) != 0) perror(path);
    (void)snprintf(path, sizeof path, "%s/samples.safetensors", argv[1]);
    const wk_named_tensors all = { dump.tensor, (const char *const *)dump.name, dump.count };
    if (wk_safetensors_save(path, all, NULL, 0) != WK_OK) fail(path);
    for (int i = 0; i < dump.count; i++) {
        wk_free(dump.name[i]);
        wk_release(dump.tensor[i]);
    }
    return 0;
}
