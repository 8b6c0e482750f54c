#include "base/base.h"

#include <criterion/criterion.h>
#include <string.h>

Test(error, first_failure_stays) {
    cr_assert_not(wk_failed());
    cr_assert_eq(wk_fail(WK_SHAPE, "first %d", 1), WK_SHAPE);
    cr_assert_eq(wk_fail(WK_IO, "second"), WK_IO);
    cr_assert_eq(wk_error_code(), WK_SHAPE);
    cr_assert_str_eq(wk_message(), "first 1");
    wk_error_prefix("layer %s", "fc1");
    cr_assert_str_eq(wk_message(), "layer fc1: first 1");
    wk_clear_error();
    cr_assert_not(wk_failed());
}

Test(error, every_code_has_name_and_text) {
    for (int code = 0; code < WK_STATUS_COUNT; code++) {
        cr_assert_str_neq(wk_status_name((wk_status)code), "?");
        cr_assert_gt(strlen(wk_status_text((wk_status)code)), 0u);
    }
    cr_assert_str_eq(wk_status_name((wk_status)999), "?");
}

Test(text, nearest_name) {
    const char *const names[] = { "num_replicas", "name", "entrypoint" };
    cr_assert_str_eq(wk__nearest("num_replica", names, 3), "num_replicas");
    cr_assert_str_eq(wk__nearest("entry_point", names, 3), "entrypoint");
    cr_assert_null(wk__nearest("zzz", names, 3));
}

Test(arena, rewind_reuses_memory) {
    wk__arena arena = { 0 };
    char *first = wk__arena_take(&arena, 100);
    cr_assert_not_null(first);
    wk__arena_mark mark = wk__arena_here(&arena);
    char *big = wk__arena_take(&arena, 1 << 20);
    cr_assert_not_null(big);
    wk__arena_rewind(&arena, mark);
    char *second = wk__arena_take(&arena, 16);
    cr_assert_eq(second, first + 112);
    wk__arena_destroy(&arena);
}

static void *refuse(void *context, size_t size, size_t alignment) {
    (void)context, (void)size, (void)alignment;
    return NULL;
}

Test(memory, failed_allocation_is_an_error) {
    wk_allocator none = { .allocate = refuse };
    wk_set_allocator(&none);
    cr_assert_null(wk_alloc(10));
    cr_assert_eq(wk_error_code(), WK_NO_MEMORY);
    wk_set_allocator(NULL);
}
