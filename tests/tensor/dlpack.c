/* dlpack.c: the structs' layout (it is an ABI), round trips, ownership both ways, what cannot be held. */
#define WK_NO_CALL_SITES
#include "support/refused.h"
#include "wick/dlpack.h"
#include "support/sample.h"
#include "tensor/tensor.h"
#include "wick/autograd.h"
#include "wick/inplace.h"

#include <criterion/criterion.h>
#include <string.h>

SCOPED_SUITE(dlpack);

/* dlpack.h v1.0 on a 64-bit machine. */
Test(dlpack, layout_of_the_structs) {
    cr_expect_eq(sizeof(wk_dl_device), 8u);
    cr_expect_eq(sizeof(wk_dl_dtype), 4u);
    cr_expect_eq(offsetof(wk_dl_tensor, data), 0u);
    cr_expect_eq(offsetof(wk_dl_tensor, device), 8u);
    cr_expect_eq(offsetof(wk_dl_tensor, ndim), 16u);
    cr_expect_eq(offsetof(wk_dl_tensor, dtype), 20u);
    cr_expect_eq(offsetof(wk_dl_tensor, shape), 24u);
    cr_expect_eq(offsetof(wk_dl_tensor, strides), 32u);
    cr_expect_eq(offsetof(wk_dl_tensor, byte_offset), 40u);
    cr_expect_eq(sizeof(wk_dl_tensor), 48u);
    cr_expect_eq(offsetof(wk_dl_managed, manager_context), 48u);
    cr_expect_eq(offsetof(wk_dl_managed, deleter), 56u);
    cr_expect_eq(sizeof(wk_dl_managed), 64u);
    cr_expect_eq(offsetof(wk_dl_versioned, manager_context), 8u);
    cr_expect_eq(offsetof(wk_dl_versioned, deleter), 16u);
    cr_expect_eq(offsetof(wk_dl_versioned, flags), 24u);
    cr_expect_eq(offsetof(wk_dl_versioned, tensor), 32u);
    cr_expect_eq(sizeof(wk_dl_versioned), 80u);
}

Test(dlpack, there_and_back_in_every_dtype_and_layout) {
    const wk_sample_in in = { .dims = WK_DIMS(3, 4, 5), .low = 0, .high = 2 };
    for (int d = 0; d < WK_DTYPE_COUNT; d++)
        for (int layout = 0; layout < WK__SAMPLE_LAYOUTS; layout++) {
            wk_tensor *x = wk__sample_draw(&in, 0, (wk_dtype)d, (wk__sample_layout)layout);
            wk_tensor *plain = wk_from_dlpack(wk_to_dlpack(x));
            wk_tensor *versioned = wk_from_dlpack_versioned(wk_to_dlpack_versioned(x));
            cr_assert(plain && versioned, "%s: %s", wk_dtype_name((wk_dtype)d), wk_message());
            cr_expect(same_bits(x, plain) && same_bits(x, versioned));
            cr_expect_eq(plain->data, x->data, "no copy");
            for (int axis = 0; axis < 3; axis++) cr_expect_eq(plain->stride[axis], x->stride[axis]);
            cr_expect_eq(wk_is_contiguous(plain), wk_is_contiguous(x));
        }
    wk_tensor *empty = wk_from_dlpack(wk_to_dlpack(wk_zeros(WK_F32, WK_DIMS(2, 0, 3))));
    cr_assert(empty && wk_count(empty) == 0 && wk_rank(empty) == 3, "%s", wk_message());
    wk_tensor *scalar = wk_from_dlpack(wk_to_dlpack(wk_full(WK_F64, WK_SCALAR, 7)));
    cr_assert(scalar && wk_item(scalar) == 7, "%s", wk_message());
}

Test(dlpack, memory_lives_as_long_as_anybody_holds_it) {
    wk_scope inner = wk_scope_begin();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(1000), 3);
    wk_dl_managed *out = wk_to_dlpack(wk_slice(x, 0, 10, 1000, 3));
    cr_assert(out);
    wk_scope_end(inner);
    cr_expect_eq(out->tensor.shape[0], 330);
    cr_expect_eq(out->tensor.strides[0], 3);
    for (int i = 0; i < 50; i++) cr_assert(wk_full(WK_F32, WK_DIMS(1000), 9));
    cr_expect_eq(((float *)out->tensor.data)[329 * 3], 3.0F);
    out->deleter(out);
}

static int deleted;
static void count_plain(wk_dl_managed *self) {
    (void)self;
    deleted++;
}
static void count_versioned(wk_dl_versioned *self) {
    (void)self;
    deleted++;
}

Test(dlpack, the_deleter_of_the_giver_is_called_once) {
    float values[12];
    for (int i = 0; i < 12; i++) values[i] = (float)i;
    int64_t shape[] = { 2, 3 }, strides[] = { 1, 4 };
    wk_dl_managed given = { .tensor = { .data = values,
                                        .device = { WK_DL_CPU, 0 },
                                        .ndim = 2,
                                        .dtype = { WK_DL_FLOAT, 32, 1 },
                                        .shape = shape,
                                        .strides = strides,
                                        .byte_offset = 8 },
                            .deleter = count_plain };
    deleted = 0;
    wk_scope inner = wk_scope_begin();
    wk_tensor *x = wk_from_dlpack(&given);
    cr_assert(x, "%s", wk_message());
    cr_expect_eq(wk_at(x, 0), 2.0);
    cr_expect_eq(wk_at(x, 5), 2.0 + 1 + 8);
    wk_tensor *kept = wk_keep(wk_transpose(x, 0, 1));
    cr_expect_not_null(wk_zero_(x));
    cr_expect_eq(values[2], 0.0F, "it is the same memory");
    wk_scope_end(inner);
    cr_expect_eq(deleted, 0);
    wk_release(kept);
    cr_expect_eq(deleted, 1);
    wk_dl_versioned other = {
        .version = { 1, 3 }, .deleter = count_versioned, .flags = WK_DL_READ_ONLY, .tensor = given.tensor
    };
    inner = wk_scope_begin();
    x = wk_from_dlpack_versioned(&other);
    cr_assert(x, "%s", wk_message());
    cr_expect_null(wk_zero_(x));
    cr_expect_str_eq(wk_message(), "zero_: (2, 3) f32 lies in memory that may only be read; write to a copy");
    wk_clear_error();
    cr_expect_null(wk_to_dlpack(x));
    cr_expect_str_eq(wk_message(), "wk_to_dlpack: the memory may only be read, which this form cannot say; use "
                                   "wk_to_dlpack_versioned, or a copy");
    wk_clear_error();
    wk_dl_versioned *again = wk_to_dlpack_versioned(x);
    cr_assert(again && again->flags == WK_DL_READ_ONLY);
    wk_scope_end(inner);
    cr_expect_eq(deleted, 1);
    again->deleter(again);
    cr_expect_eq(deleted, 2);
}

Test(dlpack, what_cannot_be_held) {
    double values[4] = { 0 };
    int64_t shape[9] = { 2, 2 }, strides[9] = { 2, 1 };
    const wk_dl_versioned fine = { .version = { 1, 0 },
                                   .deleter = count_versioned,
                                   .tensor = { .data = values,
                                               .device = { WK_DL_CPU, 0 },
                                               .ndim = 2,
                                               .dtype = { WK_DL_FLOAT, 64, 1 },
                                               .shape = shape,
                                               .strides = strides } };
    wk_dl_versioned bad;
    deleted = 0;
#define REFUSED_IMPORT(code, message, ...)                                    \
    do {                                                                      \
        bad = fine;                                                           \
        __VA_ARGS__;                                                          \
        cr_expect_null(wk_from_dlpack_versioned(&bad));                       \
        cr_expect_eq(wk_error_code(), code);                                  \
        cr_expect_str_eq(wk_message(), "wk_from_dlpack_versioned: " message); \
        wk_clear_error();                                                     \
    } while (0)
    REFUSED_IMPORT(WK_FORMAT, "version 2.0, expected 1", bad.version.major = 2);
    REFUSED_IMPORT(WK_DEVICE, "the memory is on a device of type 2, expected the CPU (1)", bad.tensor.device.type = 2);
    REFUSED_IMPORT(WK_SHAPE, "rank 9, expected 0 to 8", bad.tensor.ndim = 9);
    REFUSED_IMPORT(WK_SHAPE, "rank -1, expected 0 to 8", bad.tensor.ndim = -1);
    REFUSED_IMPORT(WK_INVALID, "the shape is NULL", bad.tensor.shape = NULL);
    REFUSED_IMPORT(WK_INVALID, "the memory is NULL", bad.tensor.data = NULL);
    REFUSED_IMPORT(WK_DTYPE, "elements of code 5 with 64 bits and 1 lanes have no dtype here",
                   bad.tensor.dtype.code = 5);
    REFUSED_IMPORT(WK_DTYPE, "elements of code 2 with 64 bits and 4 lanes have no dtype here",
                   bad.tensor.dtype.lanes = 4);
    REFUSED_IMPORT(WK_INVALID, "the memory is not aligned to elements of 8 bytes", bad.tensor.byte_offset = 4);
    REFUSED_IMPORT(WK_SHAPE, "size -2 of axis 0 is negative", shape[0] = -2);
    shape[0] = 2;
    REFUSED_IMPORT(WK_INVALID, "axis 1 has the stride -1; negative ones are not held", strides[1] = -1);
    REFUSED_IMPORT(WK_SHAPE, "strides that reach beyond all memory", strides[1] = INT64_MAX);
    strides[1] = 1;
    cr_expect_eq(deleted, 0, "the caller keeps what was refused");
    cr_expect_null(wk_from_dlpack(NULL));
    cr_expect_str_eq(wk_message(), "wk_from_dlpack: NULL was given");
    wk_clear_error();
    wk_tensor *leaf = wk_require_grad(wk_kept_zeros(WK_F32, WK_DIMS(3)), true);
    cr_expect_null(wk_to_dlpack(leaf));
    cr_expect_str_eq(wk_message(),
                     "wk_to_dlpack: (3) f32 wants a gradient, which another library would not see; use wk_detach");
    wk_clear_error();
    wk_release(leaf);
}
