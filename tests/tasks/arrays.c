/* arrays.c: data of NumPy's, safetensors and PyTorch's files. */
#include "support/allocator.h"
#include "tasks/support.h"
#include "wick/io.h"
#include "wick/wick.h"

#include <stdlib.h>
#include <string.h>

TestSuite(arrays, .init = task_set_up, .fini = task_tear_down);

enum { ITEMS = 6, VAL = 3 };

/* Pictures of bytes with their classes, as Keras keeps MNIST, numbers with numbers, and tokens. */
enum { X_TRAIN, Y_TRAIN, X_TEST, Y_TEST, NUMBERS, NUMBER, TOKENS, BELOW, TENSORS };
static const char *const names[TENSORS] = { "x_train", "y_train", "x_test", "y_test",
                                            "numbers", "number",  "tokens", "below" };

static void make_tensors(wk_tensor *made[TENSORS]) {
    unsigned char pixels[ITEMS * 4], labels[ITEMS] = { 0, 1, 2, 0, 1, 2 };
    for (int i = 0; i < ITEMS * 4; i++) pixels[i] = (unsigned char)(i * 10);
    made[X_TRAIN] = wk_from_array(WK_U8, WK_DIMS(ITEMS, 2, 2), pixels);
    made[Y_TRAIN] = wk_from_array(WK_U8, WK_DIMS(ITEMS), labels);
    made[X_TEST] = wk_contiguous(wk_slice(made[X_TRAIN], 0, 0, VAL, 1));
    made[Y_TEST] = wk_contiguous(wk_slice(made[Y_TRAIN], 0, 0, VAL, 1));
    made[NUMBERS] = wk_reshape(wk_cast(wk_arange(ITEMS * 2), WK_F64), WK_DIMS(ITEMS, 2));
    made[NUMBER] = wk_cast(wk_arange(ITEMS), WK_F64);
    made[TOKENS] = wk_cast(wk_reshape(wk_arange(ITEMS * 2), WK_DIMS(ITEMS, 2)), WK_I32);
    made[BELOW] = wk_cast(wk_affine(made[NUMBER], (wk_affine_opts){ 1, -2 }), WK_I64);
}

/* The same in each format: a.npz, a.safetensors, a.pt, and numbers.npy with number.npy. */
static void make_files(void) {
    wk_tensor *made[TENSORS];
    const wk_named_tensors all = { made, names, TENSORS };
    wk_scope scope = wk_scope_begin();
    make_tensors(made);
    cr_assert_eq(wk_npz_save(task_path("a.npz"), all, (wk_npz_opts){ .compress = true }), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_safetensors_save(task_path("a.safetensors"), all, NULL, 0), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_torch_save(task_path("a.pt"), all), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_npy_save(task_path("numbers.npy"), made[NUMBERS]), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_npy_save(task_path("number.npy"), made[NUMBER]), WK_OK, "%s", wk_message());
    wk_scope_end(scope);
}

static void open_as(const char *args, wk_dataset **train, wk_dataset **evaluation) {
    *train = *evaluation = NULL;
    cr_assert_eq(task_data("arrays", args, train, evaluation), WK_OK, "%s: %s", args, wk_message());
}

Test(arrays, pictures_and_classes_of_any_format) {
    static const char *const files[] = { "a.npz", "a.safetensors", "a.pt" };
    make_files();
    for (size_t f = 0; f < 3; f++) {
        char args[300];
        wk_dataset *train, *evaluation;
        (void)snprintf(args, sizeof args,
                       "file: %s, inputs: x_train, targets: y_train, val_inputs: x_test, val_targets: y_test, "
                       "mean: 10, std: 100, class_names: [a, b, c]",
                       files[f]);
        open_as(args, &train, &evaluation);
        cr_expect_eq(train->count, ITEMS);
        cr_assert_not_null(evaluation);
        cr_expect_eq(evaluation->count, VAL);
        cr_expect_eq(train->classes, 3);
        cr_expect_eq(evaluation->classes, 3);
        cr_expect_str_eq(evaluation->class_names[1], "b");
        cr_assert(train->input_dims.rank == 2 && train->input_dtype == WK_F32);
        float in[8];
        int64_t label[2];
        cr_assert_eq(wk_dataset_fetch(train, (wk_moment){ 0 }, (int64_t[]){ 4, 1 }, 2, in, label), WK_OK);
        for (int i = 0; i < 8; i++) {
            const double wanted = ((i < 4 ? 160 + 10 * i : 40 + 10 * (i - 4)) - 10) / 100.0;
            cr_expect_float_eq(in[i], wanted, 1e-6, "%s %d: %g, expected %g", files[f], i, in[i], wanted);
        }
        cr_expect(label[0] == 1 && label[1] == 1);
        wk_dataset_destroy(train);
        wk_dataset_destroy(evaluation);
    }
}

/* A number an item is a column; whole numbers stay whole unless they are asked for as others. */
Test(arrays, numbers_and_tokens) {
    wk_dataset *train, *evaluation;
    make_files();
    open_as("inputs: numbers.npy, targets: number.npy", &train, &evaluation);
    cr_expect_null(evaluation);
    cr_expect(train->classes == 0 && train->target_dtype == WK_F32);
    cr_expect(train->target_dims.rank == 1 && train->target_dims.size[0] == 1);
    float in[2], out[1];
    cr_assert_eq(wk_dataset_fetch(train, (wk_moment){ 0 }, (int64_t[]){ 2 }, 1, in, out), WK_OK);
    cr_expect(in[0] == 4 && in[1] == 5 && out[0] == 2);
    wk_dataset_destroy(train);
    open_as("file: a.safetensors, inputs: tokens, targets: tokens, classes: 20", &train, &evaluation);
    cr_expect(train->input_dtype == WK_I64 && train->target_dtype == WK_I64 && train->classes == 20);
    wk_dataset_destroy(train);
    open_as("file: a.npz, inputs: tokens, targets: number, dtype: f32, val_part: 0.5", &train, &evaluation);
    cr_expect(train->input_dtype == WK_F32 && train->count == 3 && evaluation->count == 3);
    wk_dataset_destroy(train);
    wk_dataset_destroy(evaluation);
    open_as("file: a.npz, val_file: a.pt, inputs: x_train, targets: y_train, labels: { b: a }, class_names: [a, b, c]",
            &train, &evaluation);
    cr_expect(train->classes == 2 && evaluation->classes == 2 && evaluation->count == ITEMS);
    wk_dataset_destroy(train);
    wk_dataset_destroy(evaluation);
}

static void refused(const char *args, const char *expected) {
    wk_dataset *train = NULL, *evaluation = NULL;
    cr_expect_neq(task_data("arrays", args, &train, &evaluation), WK_OK, "%s", args);
    cr_expect(strstr(wk_message(), expected), "%s", wk_message());
    wk_clear_error();
    wk_dataset_destroy(train);
    wk_dataset_destroy(evaluation);
}

Test(arrays, what_does_not_fit) {
    make_files();
    refused("file: b.npz, inputs: x, targets: y", "b.npz");
    refused("inputs: x_train, targets: number.npy",
            "inputs: \"x_train\" is no .npy file, and no file is given to look for it in");
    refused("file: a.safetensors, inputs: x_trian, targets: y_train",
            "data \"arrays\": a.safetensors: no tensor \"x_trian\"; did you mean \"x_train\"?");
    refused("file: a.npz, inputs: x_trian, targets: y_train", "a.npz: no entry \"x_trian\"");
    refused("file: a.npz, inputs: x_test, targets: y_train", "3 inputs for 6 targets");
    refused("file: a.npz, inputs: x_train, targets: below", "\"below\": item 0 has the target -2, expected 0 to");
    refused("file: a.npz, inputs: x_train, targets: y_train, classes: 2",
            "\"y_train\": item 2 has the target 2, expected 0 to 1");
    refused("file: a.npz, inputs: x_train, targets: y_train, class_names: [a, b]", "class_names has 2 names");
    refused("file: a.npz, inputs: tokens, targets: number, mean: 3", "dtype: f32 makes them numbers");
}

/* From the file to a result, by names alone. */
Test(arrays, a_run_learns_from_a_file) {
    static const char yaml[] =
        "data: { name: arrays, args: { file: line.npz, inputs: x, targets: y, val_part: 0.25 } }\n"
        "model: { name: mlp, args: { in_dim: 2, hidden_list: [16], out_dim: 1 } }\n"
        "wrapper: { name: base, args: { metrics: [r2] } }\nloss: { name: mse }\n"
        "optimizer: { name: Adam, args: { lr: 0.02 } }\ntrainer: { max_epochs: 40 }\n";
    wk_scope scope = wk_scope_begin();
    wk_manual_seed(1);
    wk_tensor *x = wk_normal(wk_random_key(), (wk_normal_opts){ .dims = WK_DIMS(256, 2), .dtype = WK_F32 });
    wk_tensor *y = wk_sum(x, (wk_reduce_opts){ .axes = WK_DIMS(1) });
    const wk_named_tensors both = { (wk_tensor *[]){ x, y }, (const char *[]){ "x", "y" }, 2 };
    cr_assert_eq(wk_npz_save(task_path("line.npz"), both, (wk_npz_opts){ 0 }), WK_OK, "%s", wk_message());
    wk_scope_end(scope);
    write_bytes(task_path("config.yaml"), yaml, sizeof yaml - 1);
    free(task_train(task_path("config.yaml"), NULL));
    cr_expect_gt(task_metric("val_r2", false), 0.95, "%g", task_metric("val_r2", false));
}

/* Each of them in turn: the error is that, and nothing is held. */
Test(arrays, every_request_for_memory_may_fail) {
    static const char args[] = "file: a.npz, val_file: a.safetensors, inputs: x_train, targets: y_train, mean: 1, "
                               "class_names: [a, b, c], labels: { b: a }, class_weights: { c: 2 }";
    wk_dataset *train, *evaluation;
    long k = 0;
    make_files();
    open_as(args, &train, &evaluation); /* what is made once and kept */
    wk_dataset_destroy(train);
    wk_dataset_destroy(evaluation);
    allocator_watch();
    const long held = allocator_held();
    for (bool came = true; came; k++) {
        allocator_fail_at(k + 1);
        const wk_status status = task_data("arrays", args, &train, &evaluation);
        came = allocator_has_failed();
        allocator_fail_at(0);
        cr_assert_eq(status == WK_OK, !came, "request %ld: %s", k + 1, wk_message());
        cr_assert_eq(wk_error_code(), came ? WK_NO_MEMORY : WK_OK, "request %ld: %s", k + 1, wk_message());
        wk_clear_error();
        wk_dataset_destroy(came ? NULL : train);
        wk_dataset_destroy(came ? NULL : evaluation);
        cr_assert_eq(allocator_held(), held, "request %ld leaves %ld blocks", k + 1, allocator_held() - held);
    }
    cr_expect_gt(k, 40);
}
