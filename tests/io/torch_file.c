/* torch_file.c: PyTorch's files as tests/golden/torch_files.py had PyTorch write them, what must not be read, and what
 * PyTorch has read back of ours. */
#define WK_NO_CALL_SITES
#include "base/base.h"
#include "io/file.h"
#include "io/pickle.h"
#include "io/torch_file.h"
#include "support/program.h"
#include "wick/ops.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN WICK_SOURCE_DIR "/tests/golden/torch/"

static wk_scope scope;
static char folder[400];
static void open_scope(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("torch-file"));
    scope = wk_scope_begin();
}
static void close_scope(void) {
    cr_expect_not(wk_failed(), "left pending: %s", wk_message());
    wk_scope_end(scope);
    remove_folder(folder);
}
TestSuite(torch_file, .init = open_scope, .fini = close_scope);

static wk_torch_file *open_golden(const char *name) {
    char path[500];
    (void)snprintf(path, sizeof path, GOLDEN "%s.pt", name);
    wk_torch_file *file = wk_torch_open(path);
    cr_assert(file, "%s", wk_message());
    return file;
}

/* `numbers`: what it holds, row by row. */
static void expect(wk_torch_file *file, const char *name, wk_dtype dtype, wk_dims dims, const double *numbers) {
    wk_tensor *t = wk_torch_get(file, name);
    cr_assert(t, "%s: %s", name, wk_message());
    cr_expect_eq(wk_dtype_get(t), dtype, "%s", name);
    cr_assert_eq(wk_rank(t), dims.rank, "%s", name);
    for (int i = 0; i < dims.rank; i++) cr_expect_eq(wk_size(t, i), dims.size[i], "%s", name);
    for (int64_t i = 0; i < wk_count(t); i++)
        cr_expect_eq(wk_at(t, i), numbers ? numbers[i] : (double)i, "%s: number %d", name, (int)i);
}

Test(torch_file, state_dicts) {
    static const char *const names[] = { "state", "protocol4", "old" };
    for (int k = 0; k < 3; k++) {
        wk_torch_file *file = open_golden(names[k]);
        cr_assert_eq(wk_torch_count(file), 3);
        cr_expect_str_eq(wk_torch_name(file, 1), "layer.bias");
        cr_expect_null(wk_torch_name(file, 3));
        cr_expect_eq(wk_torch_dims(file, 0).size[1], 3);
        cr_expect_eq(wk_torch_dtype(file, 2), WK_I64);
        expect(file, "layer.weight", WK_F32, WK_DIMS(2, 3), NULL);
        expect(file, "norm.num_batches_tracked", WK_I64, (wk_dims){ 0 }, (double[]){ 7 });
        cr_expect_null(wk_torch_get(file, "layer.wieght"));
        cr_expect(strstr(wk_message(), "no tensor \"layer.wieght\"; did you mean \"layer.weight\"?"), "%s",
                  wk_message());
        wk_clear_error();
        wk_torch_close(file);
    }
}

Test(torch_file, every_dtype) {
    static const struct {
        const char *name;
        wk_dtype dtype;
    } all[] = { { "float32", WK_F32 }, { "float64", WK_F64 }, { "float16", WK_F16 }, { "bfloat16", WK_BF16 },
                { "int64", WK_I64 },   { "int32", WK_I32 },   { "int16", WK_I16 },   { "int8", WK_I8 },
                { "uint8", WK_U8 },    { "bool", WK_BOOL } };
    static const double truth[] = { 0, 1, 0, 1, 0, 1 };
    wk_torch_file *file = open_golden("dtypes");
    for (size_t i = 0; i < WK_COUNT(all); i++)
        expect(file, all[i].name, all[i].dtype, WK_DIMS(2, 3), all[i].dtype == WK_BOOL ? truth : NULL);
    wk_torch_close(file);
}

Test(torch_file, views_of_one_storage) {
    wk_torch_file *file = open_golden("views");
    expect(file, "whole", WK_F32, WK_DIMS(4, 6), NULL);
    double turned[24];
    for (int i = 0; i < 24; i++) turned[i] = i % 4 * 6 + i / 4;
    expect(file, "turned", WK_F32, WK_DIMS(6, 4), turned);
    expect(file, "part", WK_F32, WK_DIMS(2, 3), (double[]){ 6, 8, 10, 12, 14, 16 });
    expect(file, "one", WK_F32, (wk_dims){ 0 }, (double[]){ 15 });
    expect(file, "none", WK_F32, WK_DIMS(0, 3), NULL);
    expect(file, "spread", WK_F32, WK_DIMS(2, 3), (double[]){ 0, 1, 2, 0, 1, 2 });
    wk_torch_close(file);
}

Test(torch_file, checkpoints_with_plain_values) {
    static const char *const values[][2] = {
        { "epoch", "3" },
        { "loss", "0.25" },
        { "tiny", "1e-07" },
        { "steps", "1099511627776" },
        { "down", "-5" },
        { "done", "False" },
        { "best", "None" },
        { "name", "größer" },
        { "sizes.1", "3" },
        { "device", "cpu" },
        { "optimizer.param_groups.0.lr", "0.1" },
        { "optimizer.param_groups.0.params.0", "0" },
    };
    wk_torch_file *file = open_golden("checkpoint");
    cr_expect_eq(wk_torch_count(file), 2);
    expect(file, "model.weight", WK_F32, WK_DIMS(3), NULL);
    expect(file, "optimizer.state.0.momentum_buffer", WK_F32, WK_DIMS(2, 2), NULL);
    for (size_t i = 0; i < WK_COUNT(values); i++) {
        const char *got = wk_torch_value(file, values[i][0]);
        cr_assert(got, "%s", values[i][0]);
        cr_expect_str_eq(got, values[i][1], "%s", values[i][0]);
    }
    cr_expect_null(wk_torch_value(file, "model.weight"));
    wk_torch_close(file);
}

Test(torch_file, datasets_lists_and_tensors_alone) {
    wk_torch_file *file = open_golden("dataset");
    expect(file, "tensors.0", WK_F32, WK_DIMS(4, 2), NULL);
    expect(file, "tensors.1", WK_I64, WK_DIMS(4), NULL);
    wk_torch_close(file);
    file = open_golden("list");
    expect(file, "1", WK_F32, WK_DIMS(3), NULL);
    wk_torch_close(file);
    file = open_golden("alone");
    cr_expect_str_eq(wk_torch_name(file, 0), "");
    expect(file, "", WK_F32, WK_DIMS(5), NULL);
    wk_torch_close(file);
}

/* ---- what must not be read ---- */

Test(torch_file, code_is_never_run) {
    static const char *const cases[][2] = {
        { "code", "asks for posix.system: only tensors, containers and plain values are read, and no code is run" },
        { "model", "asks for torch.nn.modules.linear.Linear: only tensors" },
        { "itself", "values nested deeper than 64" },
        { "twice", "two values have the path \"a.b\"" },
        { "missing", "No such file" },
    };
    for (size_t i = 0; i < WK_COUNT(cases); i++) {
        char path[500];
        (void)snprintf(path, sizeof path, GOLDEN "%s.pt", cases[i][0]);
        cr_expect_null(wk_torch_open(path));
        cr_expect(strstr(wk_message(), cases[i][1]), "%s", wk_message());
        wk_clear_error();
    }
}

#define PICKLE(text) text, sizeof text - 1
static void refuse(const char *bytes, size_t size, const char *wanted) {
    wk__arena arena = { 0 };
    wk__pickle_rest rest;
    cr_expect_null(wk__pickle_read(bytes, size, "f.pt", &arena, &rest));
    cr_expect_eq(wk_error_code(), WK_FORMAT);
    cr_expect(strstr(wk_message(), wanted), "%s, and not %s", wk_message(), wanted);
    wk_clear_error();
    wk__arena_destroy(&arena);
}

#define TENSOR_OF(count, offset, sizes, strides)                                                                 \
    "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0000X\3\0\0\0cpuK" count \
    "tQK" offset sizes strides "\x89)tR."

Test(torch_file, pickles_that_lie) {
    refuse(PICKLE(""), "it has no end");
    refuse(PICKLE("."), "it ends with more or less than one value");
    refuse(PICKLE("(."), "it ends with more or less than one value");
    refuse(PICKLE("NN."), "it ends with more or less than one value");
    refuse(PICKLE("\x80\x06N."), "a protocol above 5");
    refuse(PICKLE("K"), "it ends too early");
    refuse(PICKLE("X\xff\xff\xff\xff"
                  "a."),
           "it ends too early");
    refuse(PICKLE("X\3\0\0\0a\0b."), "a text with a NUL");
    refuse(PICKLE("\x8a\x09"
                  "123456789."),
           "an integer of more than 64 bits");
    refuse(PICKLE("(K\1t\x86."), "a value is missing");
    refuse(PICKLE("t."), "a mark is missing");
    refuse(PICKLE("K\1K\1a."), "items for something that is no list or dict");
    refuse(PICKLE("}(K\1u."), "a key without a value");
    refuse(PICKLE("h\7."), "a place of the memo that holds nothing");
    refuse(PICKLE("Nr\xff\xff\xff\xff."), "a place of the memo beyond its size");
    refuse(PICKLE("cos\nsystem\n."), "asks for os.system");
    refuse(PICKLE("cos"), "a line without end");
    refuse(PICKLE("K\1)R."), "a call of something that is no function");
    refuse(PICKLE("ccollections\nOrderedDict\nNR."), "arguments that are no tuple");
    refuse(PICKLE("ctorch\nSize\n)\x81."), "an object of a class that is none");
    refuse(PICKLE("NQ."), "a reference to something other than a storage");
    refuse(PICKLE("I1\n."), "an opcode that tensors do not need");
    refuse(PICKLE(TENSOR_OF("\6", "\0", "K\2K\3\x86", "K\3K\2\x86")), "a tensor that reaches beyond its storage");
    refuse(PICKLE(TENSOR_OF("\6", "\0", "J\0\0\0\x7f\x85", "K\0\x85")), "a tensor a thousand times as large");
    refuse(PICKLE(TENSOR_OF("\6", "\1", "K\6\x85", "K\1\x85")), "a tensor that reaches beyond its storage");
    refuse(PICKLE(TENSOR_OF("\6", "\0", "K\6\x85", ")")), "sizes and strides that do not go together");
    refuse(PICKLE(TENSOR_OF("\6", "\0", "J\xff\xff\xff\xff\x85", "K\1\x85")),
           "sizes and strides that do not go together");
    refuse(PICKLE(TENSOR_OF("\6", "\0", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85",
                            "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85")),
           "a tensor that reaches beyond its storage");
}

/* What can be read of it is what was written; files from before the archives have no checksum to tell. */
static void expect_counted_or_nothing(const void *bytes, size_t size, const char *what, size_t at) {
    wk_torch_file *file = wk__torch_parse(bytes, size, "damaged");
    for (int i = 0; file && i < wk_torch_count(file); i++) {
        wk_tensor *t = wk_torch_get(file, wk_torch_name(file, i));
        for (int64_t k = 0; t && k < wk_count(t); k++) cr_expect_eq(wk_at(t, k), (double)k, "%s %zu", what, at);
        wk_clear_error();
    }
    wk_torch_close(file);
    wk_clear_error();
}

/* Their numbers may be other ones, but nothing is read beyond the file. */
Test(torch_file, damaged_old_files) {
    size_t size;
    char *bytes = wk__read_file(GOLDEN "old.pt", 1 << 20, &size);
    cr_assert(bytes);
    for (size_t kept = 0; kept < size; kept++) {
        char *cut = malloc(kept + 1); /* its own block: the sanitizer sees where it ends */
        memcpy(cut, bytes, kept);
        cr_expect_null(wk__torch_parse(cut, kept, "cut"), "at %zu", kept);
        wk_clear_error();
        free(cut);
    }
    wk_free(bytes);
}

Test(torch_file, damaged_archives) {
    size_t size;
    char *bytes = wk__read_file(GOLDEN "list.pt", 1 << 20, &size);
    cr_assert(bytes);
    for (size_t at = 0; at < size; at++) {
        bytes[at] = (char)~bytes[at];
        expect_counted_or_nothing(bytes, size, "turned byte", at);
        bytes[at] = (char)~bytes[at];
    }
    for (size_t kept = 0; kept < size; kept++) expect_counted_or_nothing(bytes, kept, "cut at", kept);
    wk_free(bytes);
}

/* ---- writing ---- */

static wk_tensor *counted(wk_dtype dtype, wk_dims dims) {
    int64_t count = 1;
    for (int i = 0; i < dims.rank; i++) count *= dims.size[i];
    wk_tensor *t = wk_reshape(wk_arange(count), dims);
    return dtype == WK_BOOL ? wk_cast(wk_remainder(t, wk_full(WK_I64, WK_SCALAR, 2)), dtype) : wk_cast(t, dtype);
}

/* tests/golden/torch_files.py has PyTorch read written.pt; equal bytes are read alike. */
Test(torch_file, written_as_pytorch_reads_it) {
    wk_tensor *turned = wk_transpose(wk_contiguous(wk_transpose(counted(WK_F32, WK_DIMS(2, 3)), 0, 1)), 0, 1);
    wk_tensor *const tensors[] = { turned,
                                   counted(WK_I64, WK_DIMS(300)),
                                   counted(WK_BF16, WK_DIMS(2, 2)),
                                   wk_full(WK_F32, WK_SCALAR, 0),
                                   wk_zeros(WK_F32, WK_DIMS(0, 3)),
                                   counted(WK_BOOL, WK_DIMS(3)) };
    static const char *const names[] = { "a.weight", "b", "größer", "scalar", "empty", "truth" };
    char path[500];
    (void)snprintf(path, sizeof path, "%s/written.pt", folder);
    cr_assert_eq(wk_torch_save(path, (wk_named_tensors){ tensors, names, 6 }), WK_OK, "%s", wk_message());
    size_t got_size, wanted_size;
    char *got = wk__read_file(path, 1 << 20, &got_size),
         *wanted = wk__read_file(GOLDEN "written.pt", 1 << 20, &wanted_size);
    cr_assert(got && wanted, "%s", wk_message());
    cr_expect(got_size == wanted_size && memcmp(got, wanted, got_size) == 0,
              "other bytes than tests/golden/torch/written.pt");
    wk_free(got);
    wk_free(wanted);
    wk_torch_file *file = wk_torch_open(path);
    cr_assert(file, "%s", wk_message());
    expect(file, "a.weight", WK_F32, WK_DIMS(2, 3), NULL);
    expect(file, "b", WK_I64, WK_DIMS(300), NULL);
    wk_torch_close(file);
}

Test(torch_file, names_that_cannot_be_written) {
    wk_tensor *const two[] = { counted(WK_F32, WK_DIMS(1)), counted(WK_F32, WK_DIMS(1)) };
    char path[500];
    (void)snprintf(path, sizeof path, "%s/never.pt", folder);
    const char *const same[] = { "a", "a" }, *const bytes[] = { "a", "\xff" };
    cr_expect_eq(wk_torch_save(path, (wk_named_tensors){ two, same, 2 }), WK_INVALID);
    cr_expect(strstr(wk_message(), "two tensors are called \"a\""), "%s", wk_message());
    wk_clear_error();
    cr_expect_eq(wk_torch_save(path, (wk_named_tensors){ two, bytes, 2 }), WK_INVALID);
    cr_expect(strstr(wk_message(), "the name of tensor number 1 is not UTF-8"), "%s", wk_message());
    wk_clear_error();
    FILE *file = fopen(path, "rb");
    cr_expect_null(file, "nothing is left behind");
}
