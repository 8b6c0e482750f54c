/* safetensors.c: the format byte for byte, every malformed file by its message, and files that appear whole or not at
 * all. */
#define WK_NO_CALL_SITES
#include "base/base.h"
#include "support/golden.h"
#include "support/sample.h"
#include "wick/io.h"
#include "wick/op.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files of one test ---- */

static char folder[300];
static const char *path_of(const char *name) {
    static char path[400];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}
static void make_folder(void) {
    (void)snprintf(folder, sizeof folder, "%s/safetensors.XXXXXX", WICK_BUILD_DIR);
    cr_assert_not_null(mkdtemp(folder));
}
static void remove_folder(void) {
    char command[400];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}
TestSuite(safetensors, .init = make_folder, .fini = remove_folder);

static char *read_all(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    char *bytes = calloc(1, 1 << 20);
    *size = fread(bytes, 1, 1 << 20, file);
    (void)fclose(file);
    return bytes;
}
static void write_all(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    cr_assert(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0, "%s", path);
}

/* ---- the format ---- */

Test(safetensors, golden_bytes) {
    static const char json[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}   ";
    char wanted[200];
    cr_assert_eq(sizeof json - 1, 88u);
    memcpy(wanted, "\x58\0\0\0\0\0\0\0", 8);
    memcpy(wanted + 8, json, 88);
    memcpy(wanted + 96, "\0\0\x80\x3f\0\0\0\x40", 8);
    wk_scope scope = wk_scope_begin();
    wk_tensor *a = wk_from_array(WK_F32, WK_DIMS(2), (float[]){ 1, 2 });
    const char *name = "a";
    cr_assert_eq(
        wk_safetensors_save(path_of("a"), (wk_named_tensors){ &a, &name, 1 }, &(wk_metadata){ "format", "pt" }, 1),
        WK_OK, "%s", wk_message());
    wk_scope_end(scope);
    size_t size;
    char *bytes = read_all(path_of("a"), &size);
    cr_assert_eq(size, 104u);
    cr_expect_arr_eq(bytes, wanted, 104);
    free(bytes);
}

/* Read what the safetensors library wrote (every dtype, a scalar, an empty tensor, a name to be escaped), write it
 * again. */
Test(safetensors, writes_what_the_library_writes) {
    wk_safetensors *file = golden_open("format.safetensors");
    wk_scope scope = wk_scope_begin();
    wk_tensor *tensors[20];
    const char *names[20];
    int count = wk_safetensors_count(file);
    cr_assert_eq(count, 13);
    for (int i = 0; i < count; i++) { /* backwards: the order in the file is the writer's */
        names[i] = wk_safetensors_name(file, count - 1 - i);
        tensors[i] = golden_get(file, "%s", names[i]);
    }
    cr_expect_str_eq(wk_safetensors_metadata(file, "format"), "pt");
    cr_expect_null(wk_safetensors_metadata(file, "other"));
    wk_metadata format = { "format", "pt" };
    cr_assert_eq(wk_safetensors_save(path_of("again"), (wk_named_tensors){ tensors, names, count }, &format, 1), WK_OK,
                 "%s", wk_message());
    wk_scope_end(scope);
    wk_safetensors_close(file);
    size_t size, golden_size;
    char *bytes = read_all(path_of("again"), &size),
         *golden = read_all(WICK_SOURCE_DIR "/tests/golden/format.safetensors", &golden_size);
    cr_assert_eq(size, golden_size);
    cr_expect_arr_eq(bytes, golden, size);
    free(bytes);
    free(golden);
}

Test(safetensors, values_of_every_dtype) {
    wk_safetensors *file = golden_open("format.safetensors");
    wk_scope scope = wk_scope_begin();
    cr_expect_eq(wk_at(golden_get(file, "b.f32"), 3), 3.25);
    cr_expect_eq(wk_at(golden_get(file, "a.f64"), 2), 3.0);
    cr_expect_eq(wk_at(golden_get(file, "half"), 1), 0.5);
    cr_expect_eq(wk_at(golden_get(file, "brain"), 1), -0.5);
    cr_expect_eq(wk_at(golden_get(file, "i64"), 1), -1.0);
    cr_expect_eq(wk_at(golden_get(file, "i32"), 2), 7.0);
    cr_expect_eq(wk_at(golden_get(file, "i16"), 0), 300.0);
    cr_expect_eq(wk_at(golden_get(file, "i8"), 0), -3.0);
    cr_expect_eq(wk_at(golden_get(file, "u8"), 0), 250.0);
    cr_expect_eq(wk_at(golden_get(file, "bool"), 1), 0.0);
    cr_expect_eq(wk_item(golden_get(file, "scalar")), 7.0);
    cr_expect_eq(wk_rank(golden_get(file, "scalar")), 0);
    wk_tensor *empty = golden_get(file, "empty"), *kept = wk_keep(golden_get(file, "i32"));
    cr_expect(wk_rank(empty) == 2 && wk_size(empty, 1) == 3 && wk_count(empty) == 0);
    cr_expect_null(wk_safetensors_get(file, "i33"));
    cr_expect_eq(wk_error_code(), WK_NOT_FOUND);
    cr_expect(strstr(wk_message(), "no tensor \"i33\"; did you mean \"i32\"?"), "%s", wk_message());
    wk_clear_error();
    wk_safetensors_close(file);
    wk_scope_end(scope);
    cr_expect_eq(wk_at(kept, 0), 5.0, "a tensor outlives the file it came from");
    wk_release(kept);
}

Test(safetensors, strided_tensors_are_written_row_major) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_permute(wk_from_array(WK_I32, WK_DIMS(2, 3), (int32_t[]){ 0, 1, 2, 3, 4, 5 }), WK_DIMS(1, 0));
    const char *name = "x";
    cr_assert_eq(wk_safetensors_save(path_of("x"), (wk_named_tensors){ &x, &name, 1 }, NULL, 0), WK_OK);
    wk_safetensors *file = wk_safetensors_open(path_of("x"));
    cr_assert(same_bits(wk_safetensors_get(file, "x"), x));
    wk_safetensors_close(file);
    wk_scope_end(scope);
}

/* ---- malformed files ---- */

#define ENTRY(offsets) "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets "}}"
static const struct {
    const char *json;
    int data; /* bytes after it */
    const char *message;
} malformed[] = {
    { ENTRY("[0,8]"), 7, "the data is cut short" },
    { ENTRY("[0,8]"), 9, "there are bytes after the last tensor" },
    { ENTRY("[4,12]"), 12, "tensor \"a\": it leaves a gap or overlaps its neighbour" },
    { ENTRY("[8,0]"), 8, "tensor \"a\": data_offsets are not in order" },
    { ENTRY("[-8,0]"), 8, "tensor \"a\": data_offsets are not in order" },
    { ENTRY("[0,4]"), 4, "tensor \"a\": its data_offsets do not fit its shape and dtype" },
    { ENTRY("[0]"), 8, "tensor \"a\": expected the keys dtype, shape and data_offsets [begin, end]" },
    { ENTRY("[0,8.5]"), 8, "tensor \"a\": data_offsets are not in order" },
    { "{\"a\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
      "tensor \"a\": a dtype that Wick does not know" },
    { "{\"a\":{\"dtype\":7,\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
      "tensor \"a\": expected the keys dtype, shape and data_offsets [begin, end]" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8,
      "tensor \"a\": expected the keys dtype, shape and data_offsets [begin, end]" },
    { "{\"a\":7}", 0, "tensor \"a\": expected the keys dtype, shape and data_offsets [begin, end]" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "tensor \"a\": \"shape\" is no list" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
      "tensor \"a\": a size is no natural number" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8,
      "tensor \"a\": rank over 8" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0,
      "tensor \"a\": its size overflows" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_"
      "offsets\":[2,6]}}",
      6, "tensor \"b\": it leaves a gap or overlaps its neighbour" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_"
      "offsets\":[1,2]}}",
      2, "duplicate object key near '\"a\"'" },
    { "{\"__metadata__\":{\"k\":1}}", 0, "__metadata__ holds something other than strings" },
    { "{\"__metadata__\":[]}", 0, "__metadata__ is no object" },
    { "{\"a\":", 0, NULL },
    { "{\"a\":1} x", 0, NULL },
    { "[1,2]", 0, "its header is no JSON object" },
    { "{\"\xff\":1}", 0, NULL },
};

static void expect_refused(const char *name, const char *message) {
    wk_safetensors *file = wk_safetensors_open(path_of(name));
    cr_expect_null(file, "expected \"%s\"", message ? message : "an error");
    cr_expect_eq(wk_error_code(), WK_FORMAT);
    char wanted[600];
    (void)snprintf(wanted, sizeof wanted, "%s: not a valid safetensors file: %s", path_of(name),
                   message ? message : "");
    cr_expect(message ? strcmp(wk_message(), wanted) == 0 : strncmp(wk_message(), wanted, strlen(wanted)) == 0,
              "got \"%s\", expected \"%s\"", wk_message(), wanted);
    wk_clear_error();
    wk_safetensors_close(file);
}

Test(safetensors, malformed_headers) {
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char bytes[500] = { 0 };
        size_t length = strlen(malformed[i].json);
        bytes[0] = (char)length;
        bytes[1] = (char)(length >> 8);
        memcpy(bytes + 8, malformed[i].json, length);
        write_all(path_of("bad"), bytes, 8 + length + (size_t)malformed[i].data);
        expect_refused("bad", malformed[i].message);
    }
}

Test(safetensors, cut_files) {
    write_all(path_of("bad"), "\1\0\0", 3);
    expect_refused("bad", "it is shorter than its 8 byte header size");
    write_all(path_of("bad"), "\x20\0\0\0\0\0\0\0{}", 10);
    expect_refused("bad", "the header is cut short");
    write_all(path_of("bad"), "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    expect_refused("bad", "its header claims more than 100 MB");
    write_all(path_of("bad"), "\0\0\0\0\0\0\0\0", 8);
    expect_refused("bad", "its header is no JSON object");
    write_all(path_of("bad"), "", 0);
    expect_refused("bad", "it is shorter than its 8 byte header size");
    size_t size;
    char *whole = read_all(WICK_SOURCE_DIR "/tests/golden/format.safetensors", &size);
    for (size_t cut = 0; cut < size; cut += 1 + cut / 40) { /* wherever it is cut */
        write_all(path_of("bad"), whole, cut);
        cr_expect_null(wk_safetensors_open(path_of("bad")), "cut at %zu", cut);
        cr_expect_eq(wk_error_code(), WK_FORMAT);
        wk_clear_error();
    }
    free(whole);
}

Test(safetensors, missing_file_and_folder) {
    cr_assert_null(wk_safetensors_open(path_of("none")));
    cr_expect_eq(wk_error_code(), WK_IO);
    cr_expect(strstr(wk_message(), "/none: cannot open: No such file or directory"), "%s", wk_message());
    wk_clear_error();
    cr_assert_null(wk_safetensors_open(folder));
    cr_expect(strstr(wk_message(), ": not a regular file"), "%s", wk_message());
    wk_clear_error();
}

/* ---- modules ---- */

static wk_module *make_net(int64_t width) {
    wk_module *in = wk_nn_linear(6, width, (wk_layer_opts){ 0 }), *out = wk_nn_linear(width, 3, (wk_layer_opts){ 0 });
    wk_module *norm = wk_nn_batch_norm2d(width, (wk_nn_batch_norm_opts){ 0 });
    return wk_nn_sequential_of((wk_module *[]){ in, norm, out }, 3);
}
static double mark(wk_module *net) {
    wk_named_tensors all = wk_state(net);
    double sum = 0;
    for (int i = 0; i < all.count; i++)
        for (int64_t k = 0; k < wk_count(all.tensor[i]); k++)
            sum += wk_at(all.tensor[i], k) * sin((double)(k + 31 * i + 1));
    return sum;
}

Test(safetensors, a_module_comes_back) {
    wk_manual_seed(1);
    wk_module *net = make_net(5), *other = make_net(5);
    double saved = mark(net);
    cr_assert_neq(mark(other), saved);
    cr_assert_eq(wk_module_save(net, path_of("net")), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_module_load(other, path_of("net")), WK_OK, "%s", wk_message());
    cr_expect_eq(mark(other), saved);
    wk_safetensors *file = wk_safetensors_open(path_of("net"));
    cr_expect(wk_safetensors_has(file, "1.num_batches_tracked") && wk_safetensors_has(file, "0.weight"));
    wk_safetensors_close(file);
    wk_module_destroy(net);
    wk_module_destroy(other);
}

static void expect_unloadable(wk_module *net, const char *name, const char *words) {
    double before = mark(net);
    cr_expect_neq(wk_module_load(net, path_of(name)), WK_OK, "%s", words);
    cr_expect(strstr(wk_message(), words), "\"%s\" does not say \"%s\"", wk_message(), words);
    cr_expect_eq(mark(net), before, "%s: something was changed", words);
    wk_clear_error();
}

Test(safetensors, loading_what_does_not_fit_changes_nothing) {
    wk_manual_seed(1);
    wk_module *net = make_net(5), *wider = make_net(7),
              *shorter = wk_nn_sequential_of((wk_module *[]){ wk_nn_linear(6, 5, (wk_layer_opts){ 0 }) }, 1);
    cr_assert_eq(wk_module_save(wider, path_of("wider")), WK_OK);
    cr_assert_eq(wk_module_save(shorter, path_of("shorter")), WK_OK);
    expect_unloadable(net, "wider", "0.weight ((7, 6) f32 in the file, (5, 6) f32 in the model)");
    expect_unloadable(net, "shorter", " missing: ");
    expect_unloadable(shorter, "wider",
                      "; 2 of another shape: 0.weight ((7, 6) f32 in the file, (5, 6) f32 in the model), 0.bias");
    cr_assert_eq(wk_module_save(net, path_of("net")), WK_OK);
    expect_unloadable(shorter, "net", " unexpected: ");
    /* One tensor of another dtype, the last in the file. */
    wk_scope scope = wk_scope_begin();
    wk_named_tensors all = wk_state(net);
    wk_tensor *tensors[20];
    for (int i = 0; i < all.count; i++) tensors[i] = all.tensor[i];
    tensors[all.count - 1] = wk_cast(tensors[all.count - 1], WK_F16);
    cr_assert_eq(wk_safetensors_save(path_of("half"), (wk_named_tensors){ tensors, all.name, all.count }, NULL, 0),
                 WK_OK);
    wk_scope_end(scope);
    expect_unloadable(net, "half", "2.bias ((3) f16 in the file, (3) f32 in the model)");
    size_t size;
    char *whole = read_all(path_of("net"), &size);
    write_all(path_of("cut"), whole, size - 1);
    free(whole);
    expect_unloadable(net, "cut", "the data is cut short");
    wk_module_destroy(net);
    wk_module_destroy(wider);
    wk_module_destroy(shorter);
}

/* More than one piece, by several readers; and a file that is shortened after it was opened. */
Test(safetensors, large_tensors_are_read_in_pieces) {
    enum { COUNT = 3 << 20 }; /* of f32: three pieces */
    wk_scope scope = wk_scope_begin();
    wk_tensor *stored[] = { wk_cast(wk_arange(COUNT), WK_F32), wk_cast(wk_arange(7), WK_F32) };
    wk_tensor *wanted[] = { wk_kept_zeros(WK_F32, WK_DIMS(COUNT)), wk_kept_zeros(WK_F32, WK_DIMS(7)) };
    static const char *const names[] = { "large", "small" };
    cr_assert_eq(wk_safetensors_save(path_of("large"), (wk_named_tensors){ stored, names, 2 }, NULL, 0), WK_OK);
    wk_set_threads(3);
    wk_safetensors *file = wk_safetensors_open(path_of("large"));
    const wk_named_tensors targets = { wanted, names, 2 };
    cr_assert_eq(wk_load_named(file, "", targets, "it"), WK_OK, "%s", wk_message());
    for (int k = 0; k < 2; k++)
        cr_expect_eq(memcmp(wk_data(stored[k]), wk_data(wanted[k]), (size_t)wk_count(wanted[k]) * sizeof(float)), 0);
    cr_assert_eq(truncate(path_of("large"), COUNT), 0);
    cr_expect_eq(wk_load_named(file, "", targets, "it"), WK_IO);
    cr_expect(strstr(wk_message(), "large: cannot read: it has become shorter"), "%s", wk_message());
    wk_clear_error();
    wk_safetensors_close(file);
    for (int k = 0; k < 2; k++) wk_release(wanted[k]);
    wk_scope_end(scope);
}

Test(safetensors, what_is_wanted_of_a_file_with_more) {
    wk_manual_seed(1);
    wk_module *net = make_net(5), *part = wk_nn_sequential(wk_nn_linear(6, 5, (wk_layer_opts){ 0 }));
    cr_assert_eq(wk_module_save(net, path_of("net")), WK_OK);
    wk_safetensors *file = wk_safetensors_open(path_of("net"));
    wk_tensor *weight = wk_module_tensor(part, "0.weight"), *stored = wk_module_tensor(net, "0.weight");
    cr_expect_eq(wk_load_named(file, "", wk_state(part), "a part"), WK_FORMAT);
    cr_expect_eq(wk_load_matching(file, "", wk_state(part), "a part"), WK_PENDING);
    cr_expect_neq(wk_at(weight, 3), wk_at(stored, 3));
    wk_clear_error();
    cr_assert_eq(wk_load_matching(file, "", wk_state(part), "a part"), WK_OK, "%s", wk_message());
    for (int64_t i = 0; i < 30; i++) cr_expect_eq(wk_at(weight, i), wk_at(stored, i));
    /* Nothing may be missing all the same. */
    cr_expect_eq(wk_load_matching(file, "1.", wk_state(wk_module_child(net, 2)), "a part"), WK_FORMAT);
    cr_expect(strstr(wk_message(), "2 of another shape: weight ((5) f32 in the file, (3, 5) f32 in the model), bias"),
              "%s", wk_message());
    wk_clear_error();
    wk_safetensors_close(file);
    wk_module_destroy(net);
    wk_module_destroy(part);
}

/* ---- a full disk ---- */

static int entries_in_folder(void) {
    char command[400];
    (void)snprintf(command, sizeof command, "ls -A '%s' | wc -l", folder);
    FILE *pipe = popen(command, "r");
    int count = -1;
    cr_assert(pipe && fscanf(pipe, "%d", &count) == 1);
    (void)pclose(pipe);
    return count;
}

Test(safetensors, a_full_disk_leaves_the_old_file) {
    wk_manual_seed(1);
    wk_module *net = make_net(5);
    cr_assert_eq(wk_module_save(net, path_of("net")), WK_OK);
    size_t old_size, size;
    char *old = read_all(path_of("net"), &old_size);
    wk_tensor *weight = wk_state(net).tensor[0];
    ((float *)wk_data(weight))[0] += 1;
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    for (rlim_t room = 0; room < old_size; room += 97) {
        (void)signal(SIGXFSZ, SIG_IGN);
        struct rlimit small = { room, limit.rlim_max };
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        wk_status status = wk_module_save(net, path_of("net"));
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        cr_expect_eq(status, WK_IO);
        cr_expect(strstr(wk_message(), "/net: cannot write: File too large"), "%s", wk_message());
        wk_clear_error();
        char *now = read_all(path_of("net"), &size);
        cr_expect(size == old_size && memcmp(now, old, size) == 0,
                  "room for %llu bytes: the old file is not what it was", (unsigned long long)room);
        free(now);
        cr_expect_eq(entries_in_folder(), 1, "a temporary file was left");
    }
    cr_assert_eq(wk_module_save(net, path_of("net")), WK_OK, "%s", wk_message());
    free(old);
    wk_module_destroy(net);
}

Test(safetensors, nothing_is_written_while_an_error_is_pending) {
    wk_module *net = make_net(5);
    (void)wk_fail(WK_SHAPE, "earlier");
    cr_expect_eq(wk_module_save(net, path_of("net")), WK_PENDING);
    wk_clear_error();
    cr_expect_neq(access(path_of("net"), F_OK), 0);
    wk_module_destroy(net);
}

/* Any of these would make a file that nobody can read, in the place of one that could be. */
Test(safetensors, names_that_would_spoil_the_file) {
    static const char *const spoilt[][2] = { { "a", "a" }, { "a", "\xff" }, { "a", "__metadata__" } };
    static const char *const messages[] = {
        "safetensors: two tensors have the name \"a\", or it is reserved",
        "safetensors: the name of tensor number 1 is not valid UTF-8",
        "safetensors: two tensors have the name \"__metadata__\", or it is reserved"
    };
    wk_scope scope = wk_scope_begin();
    wk_tensor *tensors[2] = { wk_zeros(WK_F32, WK_DIMS(2)), wk_zeros(WK_F32, WK_DIMS(3)) };
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(wk_safetensors_save(path_of("names"), (wk_named_tensors){ tensors, spoilt[i], 2 }, NULL, 0),
                     WK_INVALID);
        cr_expect_str_eq(wk_message(), messages[i]);
        wk_clear_error();
        cr_expect_neq(access(path_of("names"), F_OK), 0);
    }
    const wk_metadata bad = { "key", "\xff" };
    cr_expect_eq(wk_safetensors_save(path_of("names"), (wk_named_tensors){ tensors, spoilt[0], 1 }, &bad, 1),
                 WK_INVALID);
    cr_expect_not_null(strstr(wk_message(), "metadata number 0 is not valid UTF-8"), "%s", wk_message());
    wk_clear_error();
    wk_scope_end(scope);
}
