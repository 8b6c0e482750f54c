/* storage.c: memory: the cache of a steady step, kept and external tensors, copies between layouts, half types. */
#define WK_NO_CALL_SITES
#include "support/allocator.h"
#include "support/sample.h"
#include "wick/optim.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the cache ---- */

static void train_step(wk_module *net, wk_optim *optim) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(16, 20), 0.1), *target = wk_zeros(WK_I64, WK_DIMS(16));
    wk_zero_grad(optim);
    cr_assert_eq(wk_backward(wk_cross_entropy(wk_forward(net, x), target, (wk_cross_entropy_opts){ .reduction = 0 })),
                 WK_OK);
    cr_assert_eq(wk_optim_step(optim), WK_OK, "%s", wk_message());
    wk_scope_end(scope);
}

Test(storage, a_steady_step_takes_nothing_from_the_system) {
    allocator_watch();
    wk_module *in = wk_nn_linear(20, 30, (wk_layer_opts){ 0 }), *out = wk_nn_linear(30, 4, (wk_layer_opts){ 0 });
    wk_module *net = wk_nn_sequential_of((wk_module *[]){ in, wk_nn_relu(), wk_nn_dropout(0.5), out }, 4);
    wk_optim *optim = wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 0.01 });
    for (int i = 0; i < 3; i++) train_step(net, optim);
    long requests = allocator_requests(), held = allocator_held();
    for (int i = 0; i < 20; i++) train_step(net, optim);
    cr_expect_eq(allocator_requests(), requests, "%ld requests in 20 steps", allocator_requests() - requests);
    cr_expect_eq(allocator_held(), held);
    wk_memory_trim();
    cr_expect_lt(allocator_held(), held, "trimming gave nothing back");
    train_step(net, optim);
    wk_optim_destroy(optim);
    wk_module_destroy(net);
}

Test(storage, freed_memory_is_used_again) {
    wk_scope scope = wk_scope_begin(), inner = wk_scope_begin();
    void *first = wk_data(wk_empty(WK_F32, WK_DIMS(1000)));
    wk_scope_end(inner);
    cr_expect_eq(wk_data(wk_empty(WK_F32, WK_DIMS(1000))), first);
    cr_expect_neq(wk_data(wk_empty(WK_F32, WK_DIMS(1000))), first);
    wk_scope_end(scope);
}

/* A system that has 4 MiB and no more. */
static size_t taken;
static void *take_little(void *context, size_t size, size_t alignment) {
    void *memory = NULL;
    (void)context;
    if (taken + size > (size_t)4 << 20 || posix_memalign(&memory, alignment, size) != 0) return NULL;
    taken += size;
    return memory;
}
static void give_little(void *context, void *memory, size_t size) {
    (void)context;
    taken -= size;
    free(memory);
}
Test(storage, cached_memory_is_given_back_before_an_error) {
    wk_set_allocator(&(wk_allocator){ take_little, give_little, NULL });
    for (int64_t megabytes = 1; megabytes <= 3; megabytes++) {
        wk_scope scope = wk_scope_begin();
        cr_expect_not_null(wk_empty(WK_U8, WK_DIMS(megabytes << 20)), "%s", wk_message());
        wk_scope_end(scope);
    }
    wk_scope scope = wk_scope_begin();
    cr_expect_null(wk_empty(WK_U8, WK_DIMS(5 << 20)));
    cr_expect_eq(wk_error_code(), WK_NO_MEMORY);
    wk_clear_error();
    wk_scope_end(scope);
}

Test(storage, data_is_aligned_to_a_cache_line) {
    wk_scope scope = wk_scope_begin();
    for (int64_t count = 0; count < 3000; count += 37)
        cr_expect_eq((uintptr_t)wk_data(wk_empty(WK_U8, WK_DIMS(count))) % 64, 0u);
    wk_scope_end(scope);
}

/* ---- lifetimes ---- */

Test(storage, kept_tensors_are_counted) {
    allocator_watch();
    wk_scope scope = wk_scope_begin();
    (void)wk_empty(WK_F32, WK_DIMS(10));
    long held = allocator_held();
    wk_tensor *kept = wk_keep(wk_full(WK_F32, WK_DIMS(100), 4)), *again = wk_keep(kept);
    cr_expect_eq(kept, again);
    wk_scope_end(scope);
    cr_expect_eq(wk_at(kept, 99), 4.0, "outlives the scope");
    wk_release(kept);
    cr_expect_eq(wk_at(again, 99), 4.0, "one reference is left");
    wk_release(again);
    wk_memory_trim();
    cr_expect_leq(allocator_held(), held);
}

Test(storage, a_returned_tensor_lives_in_the_scope_around) {
    wk_scope outer = wk_scope_begin(), inner = wk_scope_begin();
    wk_tensor *mine = wk_full(WK_F32, WK_DIMS(3), 7), *other = wk_full(WK_F32, WK_DIMS(3), 8);
    cr_expect_eq(wk_scope_return(inner, mine), mine);
    wk_scope_end(inner);
    cr_expect_eq(wk_at(mine, 2), 7.0);
    cr_expect_eq(wk_at(other, 2), 0.0);
    cr_expect_eq(wk_error_code(), WK_DEAD_TENSOR);
    wk_clear_error();
    wk_scope_end(outer);
    wk_scope_end(outer); /* a scope that has ended ends nothing more */
}

static void count_deletion(void *context, void *data) {
    int *count = context;
    cr_expect_not_null(data);
    ++*count;
}
Test(storage, external_memory_is_deleted_once) {
    float memory[6] = { 1, 2, 3, 4, 5, 6 };
    int deleted = 0;
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_from_memory(WK_F32, WK_DIMS(2, 3), memory, count_deletion, &deleted);
    cr_expect_eq(wk_data(x), (void *)memory);
    wk_tensor *kept = wk_keep(wk_transpose(x, 0, 1));
    wk_scope_end(scope);
    cr_expect_eq(deleted, 0, "a view holds it");
    cr_expect_eq(wk_at(kept, 1), 4.0);
    wk_release(kept);
    cr_expect_eq(deleted, 1);
}

Test(storage, external_memory_stays_the_callers_on_failure) {
    float memory[6];
    int deleted = 0;
    cr_expect_null(wk_from_memory(WK_F32, WK_DIMS(2, 3), memory, count_deletion, &deleted), "no scope is open");
    wk_clear_error();
    wk_scope scope = wk_scope_begin();
    cr_expect_null(wk_from_memory(WK_F32, WK_DIMS(-2), memory, count_deletion, &deleted));
    wk_clear_error();
    wk_scope_end(scope);
    cr_expect_eq(deleted, 0);
}

/* ---- copies ---- */

Test(storage, copies_between_layouts_and_dtypes) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk__sample_draw(&(wk_sample_in){ .dims = WK_DIMS(3, 4, 5) }, 0, WK_F32, WK__SAMPLE_AS_SAID);
    for (int to = 0; to < WK__SAMPLE_LAYOUTS; to++)
        for (int from = 0; from < WK__SAMPLE_LAYOUTS; from++) {
            wk_tensor *target = wk__sample_lay_out(wk_zeros(WK_F32, WK_DIMS(3, 4, 5)), (wk__sample_layout)to);
            cr_assert_eq(wk_copy_into(target, wk__sample_lay_out(x, (wk__sample_layout)from)), WK_OK);
            cr_expect(same_bits(target, x), "layout %d to %d", from, to);
            float out[60];
            cr_assert_eq(wk_copy_out(target, out, sizeof out), WK_OK);
            cr_expect_arr_eq(out, wk_data(x), sizeof out);
            wk_tensor *wide = wk__sample_lay_out(wk_zeros(WK_F64, WK_DIMS(3, 4, 5)), (wk__sample_layout)to);
            cr_assert_eq(wk_copy_into(wide, target), WK_OK);
            cr_expect_eq(wk_at(wide, 59), wk_at(x, 59));
        }
    wk_scope_end(scope);
}

/* Gaps belong to somebody: a copy into a strided view leaves them alone. */
Test(storage, gaps_are_left_alone) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *memory = wk_full(WK_I32, WK_DIMS(10), 9), *even = wk_slice(memory, 0, 0, 10, 2);
    cr_assert_eq(wk_copy_into(even, wk_arange(5)), WK_OK);
    for (int i = 0; i < 10; i++) cr_expect_eq(wk_at(memory, i), i % 2 ? 9.0 : i / 2.0);
    wk_scope_end(scope);
}

/* ---- half types: all values ---- */

static uint16_t nearest(double value, wk_dtype dtype) {
    /* By search among neighbours: the two representable values around, ties to the even one. */
    uint16_t low = 0, high = dtype == WK_F16 ? 0x7c00 : 0x7f80, sign = signbit(value) ? 0x8000 : 0;
    double size = fabs(value), largest = element_value(&(uint16_t){ (uint16_t)(high - 1) }, dtype, 0);
    double step = largest - element_value(&(uint16_t){ (uint16_t)(high - 2) }, dtype, 0);
    if (size >= largest + step / 2) return (uint16_t)(sign | high);
    while (high - low > 1) {
        uint16_t middle = (uint16_t)((low + high) / 2);
        *(element_value(&middle, dtype, 0) <= size ? &low : &high) = middle;
    }
    double below = element_value(&low, dtype, 0),
           above = high == (dtype == WK_F16 ? 0x7c00 : 0x7f80) ? largest + step : element_value(&high, dtype, 0);
    bool up = size - below > above - size || (size - below == above - size && (low & 1));
    return (uint16_t)(sign | (up ? high : low));
}

static void check_narrowing(wk_tensor *wide, wk_dtype dtype, const char *what) {
    wk_tensor *kernel = wk_cast(wide, dtype), *element = wk_empty(dtype, wk_dims_get(wide));
    cr_assert_eq(wk_copy_into(element, wide), WK_OK);
    const uint16_t *a = wk_data(kernel), *b = wk_data(element);
    int wrong = 0;
    for (int64_t i = 0; i < wk_count(wide) && wrong < 5; i++) {
        double value = wk_at(wide, i);
        if (isnan(value)) {
            cr_expect(isnan(element_value(a, dtype, i)) && isnan(element_value(b, dtype, i)), "%s: NaN %lld", what,
                      (long long)i);
            continue;
        }
        uint16_t wanted = nearest(value, dtype);
        if (a[i] == wanted && b[i] == wanted) continue;
        wrong++;
        cr_expect(false, "%s: %.9g becomes %04x by the kernel, %04x by element, expected %04x", what, value, a[i], b[i],
                  wanted);
    }
}

Test(storage, half_types_over_all_their_values) {
    static const wk_dtype halves[] = { WK_F16, WK_BF16 };
    for (int h = 0; h < 2; h++) {
        wk_scope scope = wk_scope_begin();
        wk_dtype dtype = halves[h];
        static uint16_t bits[65536];
        for (int i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
        wk_tensor *x = wk_from_array(dtype, WK_DIMS(65536), bits), *wide = wk_cast(x, WK_F32);
        for (int64_t i = 0; i < 65536; i++) {
            double value = element_value(bits, dtype, i);
            cr_assert((wk_at(wide, i) == value && wk_at(x, i) == value && signbit(wk_at(wide, i)) == signbit(value))
                          || (isnan(value) && isnan(wk_at(wide, i)) && isnan(wk_at(x, i))),
                      "%s %04x widens to %g, expected %g", wk_dtype_name(dtype), (unsigned)i, wk_at(wide, i), value);
        }
        check_narrowing(wide, dtype, "there and back");
        /* Halfway between neighbours, and a little to both sides. */
        wk_tensor *half_way = wk_zeros(WK_F32, WK_DIMS(3, 65536));
        float *v = wk_data(half_way);
        for (int64_t i = 0; i < 65535; i++) {
            float middle = (float)((element_value(bits, dtype, i) + element_value(bits, dtype, i + 1)) / 2);
            if (!isfinite(middle)) continue;
            v[i] = middle;
            v[65536 + i] = nextafterf(middle, INFINITY);
            v[2 * 65536 + i] = nextafterf(middle, -INFINITY);
        }
        check_narrowing(half_way, dtype, wk_dtype_name(dtype));
        wk_scope_end(scope);
    }
}
