/* npy.c: npy and npz against files that NumPy wrote (tests/golden/npy.py), round trips, and files that are wrong. */
#define WK_NO_CALL_SITES
#include "io/npy.h"
#include "support/program.h"
#include "support/sample.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN WICK_SOURCE_DIR "/tests/golden/npy/"

static wk_scope scope;
static char folder[400];
static void open_scope(void) {
    (void)snprintf(folder, sizeof folder, WICK_BUILD_DIR "/test-npy-%ld", (long)getpid());
    char command[500];
    (void)snprintf(command, sizeof command, "mkdir -p %s", folder);
    cr_assert_eq(system(command), 0);
    scope = wk_scope_begin();
}
static void close_scope(void) {
    char command[500];
    cr_expect_not(wk_failed(), "left pending: %s", wk_message());
    wk_scope_end(scope);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    cr_expect_eq(system(command), 0);
}
TestSuite(npy, .init = open_scope, .fini = close_scope);

static const char *in_folder(const char *name) {
    static char path[2][500];
    static int turn;
    turn = !turn;
    (void)snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static char *bytes_of(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    cr_assert(file, "%s", path);
    char *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, 1 << 20, file);
    (void)fclose(file);
    return bytes;
}

static void expect_counted(const wk_tensor *tensor, wk_dtype dtype, wk_dims dims, const char *name) {
    cr_assert(tensor, "%s: %s", name, wk_message());
    cr_assert_eq(wk_dtype_get(tensor), dtype, "%s", name);
    cr_assert_eq(wk_rank(tensor), dims.rank, "%s", name);
    for (int axis = 0; axis < dims.rank; axis++) cr_assert_eq(wk_size(tensor, axis), dims.size[axis], "%s", name);
    for (int64_t i = 0; i < wk_count(tensor); i++)
        cr_assert_eq(wk_at(tensor, i), (double)(dtype == WK_BOOL ? i % 2 : i), "%s: element %d", name, (int)i);
}

Test(npy, reads_and_writes_what_numpy_does) {
    static const wk_dtype dtypes[] = { WK_F32, WK_F64, WK_F16, WK_I64, WK_I32, WK_I16, WK_I8, WK_U8, WK_BOOL };
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        char path[500];
        (void)snprintf(path, sizeof path, GOLDEN "%s.npy", wk_dtype_name(dtypes[d]));
        wk_tensor *tensor = wk_npy_load(path);
        expect_counted(tensor, dtypes[d], WK_DIMS(2, 3, 4), path);
        for (int layout = 0; layout < WK__SAMPLE_LAYOUTS; layout++) {
            cr_assert_eq(wk_npy_save(in_folder("out.npy"), wk__sample_lay_out(tensor, (wk__sample_layout)layout)),
                         WK_OK, "%s", wk_message());
            size_t wanted_size, got_size;
            char *wanted = bytes_of(path, &wanted_size), *got = bytes_of(in_folder("out.npy"), &got_size);
            cr_expect(wanted_size == got_size && memcmp(wanted, got, got_size) == 0, "%s: other bytes", path);
            free(wanted);
            free(got);
        }
    }
    static const struct {
        const char *name;
        wk_dims dims;
    } shapes[] = { { "vector.npy", { 1, { 5 } } }, { "empty.npy", { 2, { 0, 3 } } } };
    for (size_t k = 0; k < 2; k++) {
        char path[500];
        (void)snprintf(path, sizeof path, GOLDEN "%s", shapes[k].name);
        wk_tensor *tensor = wk_npy_load(path);
        expect_counted(tensor, WK_F32, shapes[k].dims, shapes[k].name);
        cr_assert_eq(wk_npy_save(in_folder("out.npy"), tensor), WK_OK);
        size_t wanted_size, got_size;
        char *wanted = bytes_of(path, &wanted_size), *got = bytes_of(in_folder("out.npy"), &got_size);
        cr_expect(wanted_size == got_size && memcmp(wanted, got, got_size) == 0, "%s: other bytes", path);
        free(wanted);
        free(got);
    }
    wk_tensor *scalar = wk_npy_load(GOLDEN "scalar.npy");
    cr_assert(scalar && wk_rank(scalar) == 0 && wk_item(scalar) == 7, "%s", wk_message());
}

Test(npy, other_orders_and_versions) {
    expect_counted(wk_npy_load(GOLDEN "fortran.npy"), WK_F32, WK_DIMS(2, 3, 4), "fortran");
    expect_counted(wk_npy_load(GOLDEN "big.npy"), WK_F64, WK_DIMS(2, 3, 4), "big");
    expect_counted(wk_npy_load(GOLDEN "version2.npy"), WK_I32, WK_DIMS(2, 3, 4), "version 2");
    expect_counted(wk_npy_load(GOLDEN "version3.npy"), WK_I32, WK_DIMS(2, 3, 4), "version 3");
}

/* ---- files that are wrong ---- */

/* A version 1.0 file with this header and so many bytes behind it. */
static wk_tensor *made_of(const char *header, size_t data) {
    static char bytes[1000];
    size_t length = strlen(header);
    memcpy(bytes, "\x93NUMPY\x01\x00", 8);
    bytes[8] = (char)(length & 255);
    bytes[9] = (char)(length >> 8);
    memcpy(bytes + 10, header, length);
    memset(bytes + 10 + length, 1, data);
    return wk__npy_read(bytes, 10 + length + data, "f.npy");
}
static void expect_message(wk_status code, const char *wanted) {
    cr_expect_eq(wk_error_code(), code, "%s", wk_status_name(wk_error_code()));
    cr_expect_str_eq(wk_message(), wanted);
    wk_clear_error();
}
#define REFUSED(call, code, message)   \
    do {                               \
        cr_expect_null(call);          \
        expect_message(code, message); \
    } while (0)
#define BAD "f.npy: not a npy file that can be read: "

Test(npy, headers) {
    wk_tensor *fine = made_of("{\"shape\": (2,3), 'descr':'|u1','fortran_order':False}\n", 6);
    cr_assert(fine && wk_rank(fine) == 2, "%s", wk_message());
    fine = made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (1L, 2L), }", 8);
    cr_assert(fine && wk_size(fine, 1) == 2, "of Python 2: %s", wk_message());
    fine = made_of("{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", 2);
    cr_assert(fine && wk_at(fine, 1) == 1, "%s", wk_message());
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 7), WK_FORMAT,
            "f.npy: 7 bytes of elements, its shape and dtype make 8");
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9), WK_FORMAT,
            "f.npy: 9 bytes of elements, its shape and dtype make 8");
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 0), WK_SHAPE,
            "f.npy: a shape larger than any memory");
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807, 9)}", 0), WK_SHAPE,
            "f.npy: a shape larger than any memory");
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 0), WK_FORMAT,
            BAD "a size that no number holds");
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}", 4), WK_SHAPE,
            "f.npy: more than 8 axes");
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 4), WK_FORMAT,
            BAD "a size in the shape");
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (3)}", 12), WK_FORMAT, BAD "the shape's commas");
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}", 12), WK_FORMAT,
            BAD "fortran_order is no truth value");
    REFUSED(made_of("{'descr': '<f4', 'shape': (3,)}", 12), WK_FORMAT, BAD "descr, fortran_order or shape is missing");
    REFUSED(made_of("{'descr': '<f4', 'descr': '<f4', 'shape': (3,)}", 12), WK_FORMAT,
            BAD "a key that is unknown, or there twice");
    REFUSED(made_of("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} os", 12), WK_FORMAT,
            BAD "something stands behind the header's dict");
    REFUSED(made_of("{'descr': '<f4", 0), WK_FORMAT, BAD "a quoted word without end");
    REFUSED(made_of("", 0), WK_FORMAT, BAD "the header is no dict");
    REFUSED(wk__npy_read("\x93NUMPY\x01", 7, "f.npy"), WK_FORMAT, BAD "it does not begin with \\x93NUMPY");
    REFUSED(wk__npy_read("\x93NUMPY\x04\x00\x01\x00 ", 11, "f.npy"), WK_FORMAT,
            "f.npy: version 4.0 of the npy format, expected 1.0, 2.0 or 3.0");
    REFUSED(wk__npy_read("\x93NUMPY\x02\x00\xff\xff\xff\xff ", 13, "f.npy"), WK_FORMAT,
            BAD "a header of more than 64 KB");
    REFUSED(wk__npy_read("\x93NUMPY\x01\x00\xff\x00 ", 11, "f.npy"), WK_FORMAT, BAD "it ends inside its header");
}

Test(npy, elements_that_no_dtype_is) {
    REFUSED(wk_npy_load(GOLDEN "complex.npy"), WK_DTYPE,
            GOLDEN "complex.npy: its elements are '<c8', which no dtype here is");
    REFUSED(wk_npy_load(GOLDEN "unsigned.npy"), WK_DTYPE,
            GOLDEN "unsigned.npy: its elements are '<u2', which no dtype here is");
    REFUSED(wk_npy_load(GOLDEN "record.npy"), WK_DTYPE,
            GOLDEN "record.npy: its elements are records, which no dtype here is");
    REFUSED(wk_npy_load(GOLDEN "raw.npy"), WK_DTYPE, GOLDEN "raw.npy: its elements are '|V2', which no dtype here is");
    cr_expect_eq(wk_npy_save(in_folder("x.npy"), wk_zeros(WK_BF16, WK_DIMS(2))), WK_DTYPE);
    cr_expect(strstr(wk_message(), "x.npy: npy has no type for bf16; use wk_cast"), "%s", wk_message());
    wk_clear_error();
    cr_expect_neq(access(in_folder("x.npy"), F_OK), 0, "nothing was begun");
    cr_expect_null(wk_npy_load(in_folder("missing.npy")));
    cr_expect_eq(wk_error_code(), WK_IO);
    wk_clear_error();
}

/* ---- archives ---- */

Test(npy, archives_of_numpy) {
    wk_npz *file = wk_npz_open(GOLDEN "stored.npz");
    cr_assert(file, "%s", wk_message());
    cr_expect_eq(wk_npz_count(file), 3);
    cr_expect_str_eq(wk_npz_name(file, 1), "layer.weight");
    cr_expect_null(wk_npz_name(file, 3));
    expect_counted(wk_npz_get(file, "layer.weight"), WK_I64, WK_DIMS(4), "layer.weight");
    expect_counted(wk_npz_get(file, "a"), WK_F32, WK_DIMS(2, 3), "a");
    expect_counted(wk_npz_get(file, "a"), WK_F32, WK_DIMS(2, 3), "a again");
    cr_expect_eq(wk_item(wk_npz_get(file, "s")), 2.0);
    REFUSED(wk_npz_get(file, "b"), WK_NOT_FOUND, GOLDEN "stored.npz: no entry \"b\"");
    wk_npz_close(file);
    file = wk_npz_open(GOLDEN "deflated.npz");
    cr_assert(file, "%s", wk_message());
    expect_counted(wk_npz_get(file, "a"), WK_F32, WK_DIMS(20, 30), "deflated");
    expect_counted(wk_npz_get(file, "b"), WK_BOOL, WK_DIMS(3, 4), "deflated, column-major");
    wk_npz_close(file);
}

Test(npy, archives_there_and_back) {
    wk_tensor *const tensors[] = { wk_arange(1000), wk_full(WK_F32, WK_SCALAR, 0.5), wk_zeros(WK_U8, WK_DIMS(0, 3)) };
    const char *const names[] = { "counted", "block/0.scale", "nothing" };
    char *first[2];
    size_t size[2];
    for (int compress = 0; compress < 2; compress++) {
        const wk_named_tensors all = { tensors, names, 3 };
        for (int turn = 0; turn < 2; turn++) {
            const char *path = in_folder(turn ? "again.npz" : "out.npz");
            cr_assert_eq(wk_npz_save(path, all, (wk_npz_opts){ .compress = compress }), WK_OK, "%s", wk_message());
            char *bytes = bytes_of(path, &size[turn]);
            first[turn] = bytes;
        }
        cr_expect(size[0] == size[1] && memcmp(first[0], first[1], size[0]) == 0, "equal tensors, other files");
        free(first[0]);
        free(first[1]);
        cr_expect(compress ? size[0] < 4000 : size[0] > 8000);
        wk_npz *file = wk_npz_open(in_folder("out.npz"));
        cr_assert(file, "%s", wk_message());
        for (int i = 0; i < 3; i++) {
            cr_expect_str_eq(wk_npz_name(file, i), names[i]);
            wk_tensor *got = wk_npz_get(file, names[i]);
            cr_assert(got, "%s", wk_message());
            cr_expect(same_bits(got, tensors[i]), "%s", names[i]);
        }
        wk_npz_close(file);
    }
}

Test(npy, damaged_archives) {
    size_t size;
    char *bytes = bytes_of(GOLDEN "deflated.npz", &size);
    int opened = 0, read = 0;
    for (size_t at = 0; at < size; at++) { /* any one byte may be wrong: a message, or tensors, never more */
        bytes[at] = (char)(bytes[at] ^ 0x55);
        wk_npz *file = wk__npz_parse(bytes, size, "damaged");
        opened += file != NULL;
        cr_expect(file || wk_error_code() == WK_FORMAT, "byte %zu: %s", at, wk_message());
        for (int i = 0; file && i < wk_npz_count(file); i++) {
            read += wk_npz_get(file, wk_npz_name(file, i)) != NULL;
            wk_clear_error();
        }
        wk_npz_close(file);
        wk_clear_error();
        bytes[at] = (char)(bytes[at] ^ 0x55);
    }
    cr_expect(opened > 0 && (size_t)opened < size && read < 2 * opened, "%d opened, %d read, of %zu", opened, read,
              size);
    for (size_t cut = 0; cut < size; cut += 7) {
        wk_npz *file = wk__npz_parse(bytes, cut, "cut");
        cr_expect_null(file, "the first %zu bytes of it", cut);
        wk_npz_close(file);
        wk_clear_error();
    }
    free(bytes);
}

Test(npy, names_that_lead_elsewhere) {
    static const struct {
        const char *name, *why;
    } bad[] = { { "../up", "a name that leads out of its folder" },
                { "a/../../b", "a name that leads out of its folder" },
                { "/root", "a name that is a path of its own" },
                { "c:x", "a name that is a path of its own" },
                { "a\\b", "a name that is a path of its own" },
                { "", "an empty name" },
                { "a//b", "a name with an empty part" },
                { "a\nb", "a name with a control character" } };
    wk_tensor *x = wk_arange(3);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        cr_expect_eq(wk_npz_save(in_folder("x.npz"), (wk_named_tensors){ &x, &bad[k].name, 1 }, (wk_npz_opts){ 0 }),
                     WK_INVALID);
        cr_expect(strstr(wk_message(), bad[k].why), "\"%s\": %s", bad[k].name, wk_message());
        wk_clear_error();
    }
    wk_tensor *const two[] = { x, x };
    const char *const same[] = { "a", "a" };
    cr_expect_eq(wk_npz_save(in_folder("x.npz"), (wk_named_tensors){ two, same, 2 }, (wk_npz_opts){ 0 }), WK_INVALID);
    cr_expect(strstr(wk_message(), "two tensors are called \"a\""), "%s", wk_message());
    wk_clear_error();
    cr_expect_neq(access(in_folder("x.npz"), F_OK), 0, "no file is left of what failed");
    /* The same, read: the name in the archive is changed in both places where it stands. */
    const char *plain = "aaaaa";
    cr_assert_eq(wk_npz_save(in_folder("y.npz"), (wk_named_tensors){ &x, &plain, 1 }, (wk_npz_opts){ 0 }), WK_OK);
    size_t size;
    char *bytes = bytes_of(in_folder("y.npz"), &size);
    for (size_t at = 0; at + 5 <= size; at++)
        if (memcmp(bytes + at, "aaaaa", 5) == 0) memcpy(bytes + at, "../up", 5);
    cr_expect_null(wk__npz_parse(bytes, size, "y.npz"));
    expect_message(WK_FORMAT, "y.npz: entry \"../up.npy\": a name that leads out of its folder");
    free(bytes);
}
