/* tensors.c: tensors on another device: made, moved, looked at, saved, stepped; and each misuse refused by name. */
#include "device/other.h"
#include "wick/data.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* DEVICE in `text` stands for the device's name. */
static void expect_message(const char *text) {
    char part[400];
    const char *mark = strstr(text, "DEVICE");
    const int before = mark ? (int)(mark - text) : (int)strlen(text);
    (void)snprintf(part, sizeof part, "%.*s%s%s", before, text, mark ? wk_device_name(other()) : "",
                   mark ? mark + strlen("DEVICE") : "");
    cr_expect(wk_failed() && strstr(wk_message(), part), "message \"%s\", expected \"…%s…\"", wk_message(), part);
    wk_clear_error();
}

Test(device, names_are_parsed_and_refused) {
    wk_device device = 7;
    cr_assert_eq(wk_device_parse("cpu", &device), WK_OK);
    cr_assert_eq(device, WK_CPU);
    cr_assert_eq(wk_device_parse("cudaemo", &device), WK_CONFIG);
    expect_message("there is no device \"cudaemo\"; expected cpu, cuda, cuda:N, cudaemu or cudaemu:N; did you mean");
    cr_assert_eq(wk_device_parse("cudaemu:0", &device), WK_OK, "%s", wk_message());
    cr_assert_str_eq(wk_device_name(device), "cudaemu:0");
    cr_assert_eq(wk_device_parse("cudaemu:9", &device), WK_DEVICE);
    expect_message("there is no device \"cudaemu:9\": cudaemu has 1 device, numbered from 0");
    cr_assert_eq(wk_device_parse("cuda:x", &device), WK_CONFIG);
    expect_message("there is no device \"cuda:x\"");
    cr_assert_eq(wk_device_parse("", &device), WK_CONFIG);
    wk_clear_error();
}

/* A machine of this kind has no card; where there is one the name must work. */
Test(device, cuda_tells_why_it_cannot_be_used) {
    char why[400];
    wk_device device;
    int count = wk_device_count("cuda", why, sizeof why);
    cr_assert_eq(wk_device_parse("cuda", &device) == WK_OK, count > 0);
    if (count == 0) expect_message(why);
    cr_expect(count > 0 || *why);
}

Test(device, elements_go_there_and_back) {
    wk_scope scope = wk_scope_begin();
    wk_device there = other();
    float values[6] = { 1, 2, 3, 4, 5, 6 }, back[6];
    wk_tensor *x = wk_to_device(wk_from_array(WK_F32, WK_DIMS(2, 3), values), there);
    cr_assert_eq(wk_device_of(x), there);
    cr_assert_eq(wk_to_device(x, there), x);
    cr_assert_float_eq(wk_at(x, 4), 5, 0);
    wk_tensor *turned = wk_transpose(x, 0, 1);
    cr_assert_eq(wk_copy_out(turned, back, sizeof back), WK_OK);
    cr_assert_float_eq(back[1], 4, 0);
    wk_tensor *here = wk_to_device(wk_slice(turned, 0, 0, 3, 2), WK_CPU); /* with gaps */
    cr_assert_eq(wk_copy_out(here, back, 4 * sizeof(float)), WK_OK);
    cr_assert_float_eq(back[2], 3, 0);
    char *text = wk_tensor_format(x, (wk_format_opts){ 0 });
    cr_assert_str_eq(text, "[[1. 2. 3.]\n [4. 5. 6.]]");
    wk_free(text);
    cr_assert_null(wk_data(x));
    expect_message("wk_data: the tensor is on DEVICE");
    wk_scope_end(scope);
}

Test(device, made_from_nothing_where_the_context_says) {
    wk_scope scope = wk_scope_begin();
    wk_device there = other(), was = wk_device_use(there);
    wk_tensor *full = wk_full(WK_BF16, WK_DIMS(3), 2.5), *counted = wk_arange(4),
              *drawn = wk_uniform(wk_random_key(), (wk_uniform_opts){ .dims = WK_DIMS(5) });
    cr_assert_eq(wk_device_use(was), there);
    cr_assert(full && counted && drawn, "%s", wk_message());
    cr_expect_eq(wk_device_of(full), there);
    cr_expect_float_eq(wk_at(full, 2), 2.5, 0);
    cr_expect_float_eq(wk_at(counted, 3), 3, 0);
    cr_expect_eq(wk_device_of(drawn), there);
    cr_expect_eq(wk_device_of(wk_zeros(WK_F32, WK_SCALAR)), WK_CPU);
    wk_scope_end(scope);
}

Test(device, mixed_operands_are_named) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *here = wk_zeros(WK_F32, WK_DIMS(2, 3)), *there = wk_to_device(here, other());
    cr_assert_null(wk_add(here, there));
    expect_message("add: input 1 is (2, 3) f32 on DEVICE and input 0 is (2, 3) f32 on cpu; move one of them with "
                   "wk_to_device");
    wk_tensor *sum = wk_add(there, wk_scalar(WK_F32, 2)); /* a number goes along */
    cr_assert(sum, "%s", wk_message());
    cr_expect_float_eq(wk_at(sum, 0), 2, 0);
    cr_assert_null(wk_dropout(there, wk_to_device(wk_random_key(), other()), (wk_dropout_opts){ 0.5 }));
    expect_message("dropout: input 1 is on DEVICE, expected the CPU, where it is read");
    wk_scope_end(scope);
}

Test(device, gradients_flow_through_a_move) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *w = wk_require_grad(wk_kept_zeros(WK_F32, WK_DIMS(3)), true);
    wk_tensor *y = wk_mul(wk_to_device(w, other()), wk_scalar(WK_F32, 4));
    cr_assert_eq(wk_backward(wk_sum(y, (wk_reduce_opts){ 0 })), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_device_of(wk_gradient(w)), WK_CPU);
    cr_expect_float_eq(wk_at(wk_gradient(w), 1), 4, 0);
    wk_scope_end(scope);
    wk_release(w);
}

static wk_module *network(void) {
    wk_manual_seed(3);
    return wk_nn_sequential(wk_nn_linear(8, 16, (wk_layer_opts){ 0 }), wk_nn_relu(),
                            wk_nn_linear(16, 4, (wk_layer_opts){ 0 }));
}

/* Losses of three steps; the module is moved after the first, and the optimizer's state goes with it. */
static void train(wk_device first, wk_device then, double loss[3]) {
    wk_module *net = network();
    cr_assert(net, "%s", wk_message());
    cr_assert_eq(wk_module_to_device(net, first), WK_OK, "%s", wk_message());
    wk_optim *optimizer = wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 0.05 });
    for (int step = 0; step < 3; step++) {
        wk_device at = step ? then : first;
        cr_assert_eq(wk_module_to_device(net, at), WK_OK);
        wk_scope scope = wk_scope_begin();
        wk_tensor *x =
            wk_affine(wk_cast(wk_reshape(wk_arange(40), WK_DIMS(5, 8)), WK_F32), (wk_affine_opts){ 0.05, -1 });
        wk_tensor *target = wk_from_array(WK_I64, WK_DIMS(5), (int64_t[]){ 0, 1, 2, 3, 0 });
        wk_tensor *logits = wk_forward(net, wk_to_device(x, at));
        wk_tensor *l = wk_cross_entropy(logits, wk_to_device(target, at), (wk_cross_entropy_opts){ 0 });
        loss[step] = l ? wk_item(l) : 0;
        wk_zero_grad(optimizer);
        cr_assert_eq(wk_backward(l), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_optim_step(optimizer), WK_OK, "%s", wk_message());
        wk_scope_end(scope);
    }
    wk_optim_destroy(optimizer);
    wk_module_destroy(net);
}

Test(device, steps_are_those_of_the_cpu) {
    double here[3], there[3], moved[3];
    train(WK_CPU, WK_CPU, here);
    train(other(), other(), there);
    train(WK_CPU, other(), moved);
    for (int i = 0; i < 3; i++) {
        cr_expect_float_eq(there[i], here[i], 1e-5, "step %d: %g, %g", i, there[i], here[i]);
        cr_expect_float_eq(moved[i], here[i], 1e-5, "step %d: %g, %g", i, moved[i], here[i]);
    }
    cr_expect(here[2] < here[0]);
}

/* f16 with a scale so large that the first step overflows: it is left out, the scale halves, and the rest are the
 * CPU's. */
static void train_mixed(wk_device at, double loss[6], double *scale) {
    wk_module *net = network();
    cr_assert_eq(wk_module_to_device(net, at), WK_OK, "%s", wk_message());
    wk_optim *optimizer = wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 0.05 });
    wk_grad_scaler *scaler = wk_grad_scaler_create((wk_grad_scaler_opts){ .init_scale = 0x1p20 });
    cr_assert(net && optimizer && scaler, "%s", wk_message());
    for (int step = 0; step < 6; step++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *x =
            wk_affine(wk_cast(wk_reshape(wk_arange(40), WK_DIMS(5, 8)), WK_F32), (wk_affine_opts){ 0.05, -1 });
        wk_tensor *target = wk_from_array(WK_I64, WK_DIMS(5), (int64_t[]){ 0, 1, 2, 3, 0 });
        wk_zero_grad(optimizer);
        wk_autocast was = wk_autocast_begin(WK_F16, true);
        wk_tensor *logits = wk_forward(net, wk_to_device(x, at));
        wk_tensor *l = wk_cross_entropy(logits, wk_to_device(target, at), (wk_cross_entropy_opts){ 0 });
        wk_autocast_end(was);
        loss[step] = l ? wk_item(l) : 0;
        cr_assert_eq(wk_dtype_get(logits), WK_F16);
        cr_assert_eq(wk_backward(wk_grad_scaler_scale(scaler, l)), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_grad_scaler_step(scaler, optimizer), WK_OK, "%s", wk_message());
        cr_assert_eq(wk_grad_scaler_update(scaler), WK_OK, "%s", wk_message());
        wk_scope_end(scope);
    }
    *scale = wk_grad_scaler_value(scaler);
    wk_grad_scaler_destroy(scaler);
    wk_optim_destroy(optimizer);
    wk_module_destroy(net);
}

Test(device, mixed_precision_is_that_of_the_cpu) {
    double here[6], there[6], scale[2];
    train_mixed(WK_CPU, here, &scale[0]);
    train_mixed(other(), there, &scale[1]);
    for (int i = 0; i < 6; i++) cr_expect_float_eq(there[i], here[i], 2e-3, "step %d: %g, %g", i, there[i], here[i]);
    cr_expect_lt(scale[0], 0x1p20, "no step overflowed");
    cr_expect_eq(scale[1], scale[0], "scale %g, on the CPU %g", scale[1], scale[0]);
    cr_expect(here[5] < here[0]);
}

/* Memory given back while kernels may still use it is handed out again in the stream's order. */
Test(device, a_tensor_may_go_while_it_is_in_use) {
    wk_device there = other();
    wk_scope outer = wk_scope_begin();
    wk_tensor *sum = wk_to_device(wk_zeros(WK_F32, WK_DIMS(1000)), there);
    for (int i = 0; i < 50; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *one = wk_to_device(wk_full(WK_F32, WK_DIMS(1000), i), there);
        sum = wk_scope_return(scope, wk_add(sum, one));
        wk_scope_end(scope);
    }
    cr_expect_float_eq(wk_at(sum, 999), 49 * 50 / 2, 0);
    wk_scope_end(outer);
    int64_t used = -1, kept = -1;
    cr_assert_eq(wk_device_memory(there, &used, &kept), WK_OK);
    cr_expect_eq(used, 0);
}

static void limit_memory(void) {
    (void)setenv("WICK_CUDAEMU_MEMORY", "16777216", 1);
}
Test(device, running_out_of_memory_is_an_error, .init = limit_memory) {
    if (!strstr(wk_device_name(other()), "cudaemu")) cr_skip_test("a card has the memory that it has");
    wk_device there = other(), was = wk_device_use(there);
    wk_scope scope = wk_scope_begin();
    cr_assert_null(wk_zeros(WK_F32, WK_DIMS(8 << 20)));
    cr_expect_eq(wk_error_code(), WK_NO_MEMORY);
    expect_message("out of memory on DEVICE: 33554432 bytes were asked for; 0 are used");
    wk_tensor *small = wk_full(WK_F32, WK_DIMS(1 << 20), 3); /* the next step works */
    cr_assert(small, "%s", wk_message());
    cr_expect_float_eq(wk_at(small, 7), 3, 0);
    wk_scope_end(scope);
    (void)wk_device_use(was);
}

Test(device, pinned_memory_is_read_by_the_device) {
    wk_device there = other();
    wk_tensor *pinned = wk_pinned_zeros(there, WK_F32, WK_DIMS(64));
    cr_assert(pinned, "%s", wk_message());
    ((float *)wk_data(pinned))[9] = 2;
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_to_device(pinned, there);
    cr_assert_eq(wk_device_synchronise(there), WK_OK);
    cr_expect_float_eq(wk_at(x, 9), 2, 0);
    wk_scope_end(scope);
    wk_release(pinned);
}

/* A loader's batches, read on the device while the next ones are fetched. */
Test(device, batches_lie_in_memory_that_the_device_reads) {
    enum { ITEMS = 50, BATCH = 8 };
    wk_scope scope = wk_scope_begin();
    wk_dataset *dataset =
        wk_tensor_dataset(wk_reshape(wk_cast(wk_arange(ITEMS), WK_F32), WK_DIMS(ITEMS, 1)), wk_arange(ITEMS));
    wk_loader *loader =
        wk_loader_create(dataset, (wk_loader_opts){ .batch_size = BATCH, .workers = 2, .device = other() });
    wk_batch batch;
    double sum = 0;
    int64_t seen = 0;
    cr_assert(loader && wk_loader_start(loader, 0, 0) == WK_OK, "%s", wk_message());
    for (; wk_loader_next(loader, &batch); seen += batch.size)
        sum += wk_item(wk_sum(wk_to_device(batch.input, other()), (wk_reduce_opts){ 0 }));
    cr_assert_not(wk_failed(), "%s", wk_message());
    cr_expect(seen == ITEMS && sum == ITEMS * (ITEMS - 1) / 2, "%d items, sum %g", (int)seen, sum);
    wk_loader_destroy(loader);
    wk_dataset_destroy(dataset);
    wk_scope_end(scope);
}

Test(device, what_only_the_cpu_does_is_refused) {
    wk_module *net = network();
    cr_assert_eq(wk_module_to_device(net, other()), WK_OK);
    cr_assert_neq(wk_module_freeze(net, (wk_freeze_opts){ 0 }), WK_OK);
    expect_message("is on DEVICE; freezing is for inference on the CPU");
    cr_assert_null(wk_init_zeros(wk_parameters(net).tensor[0]));
    expect_message("on DEVICE; draw on the CPU, then wk_module_to_device");
    wk_scope scope = wk_scope_begin();
    cr_assert_null(wk_to_dlpack(wk_detach(wk_parameters(net).tensor[0])));
    expect_message("only memory of the CPU is given out");
    wk_scope_end(scope);
    wk_module_destroy(net);
}

static wk_module *with_statistics(void) {
    wk_module *linear = wk_nn_linear(8, 4, (wk_layer_opts){ 0 }),
              *norm = wk_nn_batch_norm2d(4, (wk_nn_batch_norm_opts){ 0 });
    (void)wk_module_add_buffer(linear, "counts", wk_kept_zeros(WK_I64, WK_DIMS(3)));
    return wk_nn_sequential_of((wk_module *[]){ linear, norm }, 2);
}

/* Averages of a module there are those of its twin here. */
Test(device, averages_of_weights) {
    wk_module *net[2];
    wk_average *average[2];
    for (int i = 0; i < 2; i++) {
        net[i] = with_statistics();
        if (i) cr_assert_eq(wk_module_to_device(net[i], other()), WK_OK);
        average[i] = wk_average_create(net[i], (wk_average_opts){ .decay = WK_SET(0.75), .use_buffers = true });
        cr_assert_not_null(average[i], "%s", wk_message());
    }
    for (int step = 0; step < 3; step++)
        for (int i = 0; i < 2; i++) {
            wk_scope scope = wk_scope_begin();
            wk_named_tensors state = wk_state(net[i]);
            for (int k = 0; k < state.count; k++) {
                wk_tensor *grown = wk_cast(wk_full(WK_F32, wk_dims_get(state.tensor[k]), 1.5 * step + k),
                                           wk_dtype_get(state.tensor[k]));
                cr_assert_eq(wk_copy_into(state.tensor[k], wk_to_device(grown, wk_device_of(state.tensor[k]))), WK_OK);
            }
            wk_scope_end(scope);
            cr_assert_eq(wk_average_update(average[i]), WK_OK, "%s", wk_message());
        }
    for (int i = 0; i < 2; i++) cr_assert_eq(wk_average_swap(average[i]), WK_OK, "%s", wk_message());
    wk_named_tensors here = wk_state(net[0]), there = wk_state(net[1]), kept = wk_average_state(average[1]);
    for (int k = 0; k < here.count; k++) {
        cr_expect(wk_rank(there.tensor[k]) == 0 || wk_device_of(there.tensor[k]) == other(), "%s", there.name[k]);
        cr_expect_eq(wk_device_of(kept.tensor[1 + k]), wk_device_of(there.tensor[k]));
        cr_expect_float_eq(wk_at(there.tensor[k], 0), wk_at(here.tensor[k], 0), 1e-6, "%s: %g, expected %g",
                           here.name[k], wk_at(there.tensor[k], 0), wk_at(here.tensor[k], 0));
        if (wk_dtype_is_float(wk_dtype_get(here.tensor[k])))
            cr_expect(wk_at(there.tensor[k], 0) < 3 + k && wk_at(there.tensor[k], 0) > k, "a mean of its values");
        cr_expect_float_eq(wk_at(kept.tensor[1 + k], 0), 3 + k, 0, "the module's own are kept meanwhile");
    }
    for (int i = 0; i < 2; i++) {
        wk_average_destroy(average[i]);
        wk_module_destroy(net[i]);
    }
}

Test(device, a_module_that_left_its_average_behind) {
    wk_module *net = network();
    wk_average *average = wk_average_create(net, (wk_average_opts){ .use_buffers = true });
    cr_assert_not_null(average, "%s", wk_message());
    cr_assert_eq(wk_average_update(average), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_module_to_device(net, other()), WK_OK);
    cr_assert_neq(wk_average_update(average), WK_OK);
    expect_message("wk_average_update: ");
    cr_assert_neq(wk_average_swap(average), WK_OK);
    expect_message("wk_average_swap: ");
    cr_assert_eq(wk_module_to_device(net, WK_CPU), WK_OK);
    cr_assert_eq(wk_average_swap(average), WK_OK, "%s", wk_message());
    wk_average_destroy(average);
    wk_module_destroy(net);
}

/* ---- what counts on the host ---- */

Test(device, sequences_are_packed_where_their_data_lies) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *padded = wk_cast(wk_reshape(wk_arange(24), WK_DIMS(4, 3, 2)), WK_F32), *back, *lengths;
    wk_tensor *given = wk_from_array(WK_I64, WK_DIMS(3), (int64_t[]){ 2, 4, 1 });
    wk_packed packed;
    cr_assert_eq(wk_pack_padded_sequence(wk_to_device(padded, other()), wk_to_device(given, other()),
                                         (wk_pack_opts){ 0 }, &packed),
                 WK_OK, "%s", wk_message());
    cr_expect_eq(wk_device_of(packed.data), other());
    cr_expect_eq(wk_at(packed.batch_sizes, 1), 2);
    cr_expect_float_eq(wk_at(packed.data, 0), 2, 0, "the longest sequence comes first");
    cr_assert_eq(wk_pad_packed_sequence(packed, false, -1, &back, &lengths), WK_OK, "%s", wk_message());
    cr_expect_eq(wk_device_of(back), other());
    cr_expect_eq(wk_at(lengths, 1), 4);
    cr_expect_float_eq(wk_at(back, 2 * 3 * 1 + 2 * 1), wk_at(padded, 2 * 3 * 1 + 2 * 1), 0);
    cr_expect_float_eq(wk_at(back, 23), -1, 0, "behind the end of the third sequence");
    wk_scope_end(scope);
}

static wk_tensor *cubes(void *context, wk_tensor *const *in, int n_in) {
    (void)context, (void)n_in;
    return wk_mul(wk_square(in[0]), in[0]);
}

Test(device, gradients_are_checked_there) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_to_device(wk_from_array(WK_F64, WK_DIMS(3), (double[]){ 0.5, -1, 2 }), other());
    wk_tensor *kept = wk_require_grad(wk_keep(x), true);
    cr_expect_eq(wk_gradcheck(cubes, NULL, &kept, 1, (wk_gradcheck_opts){ .second_order = true }), WK_OK, "%s",
                 wk_message());
    cr_expect_float_eq(wk_at(kept, 1), -1, 0, "the operand is as it was");
    wk_scope_end(scope);
    wk_release(kept);
}

/* With WICK_CUDAEMU_GUARD=1 the emulated device's memory is as far from the host as a card's. */
static void guard_memory(void) {
    (void)setenv("WICK_CUDAEMU_GUARD", "1", 1);
}
Test(device, the_host_that_touches_memory_of_the_device_dies, .init = guard_memory, .signal = SIGSEGV) {
    if (!strstr(wk_device_name(other()), "cudaemu")) (void)raise(SIGSEGV); /* a card's memory has no address here */
    wk_scope scope = wk_scope_begin();
    const wk_tensor *x = wk_to_device(wk_full(WK_F32, WK_DIMS(4), 1), other());
    cr_assert_float_eq(wk_at(x, 3), 1, 0, "a copy is what the host may make");
    cr_expect_float_eq(((const float *)x->data)[3], 1, 0);
    wk_scope_end(scope);
}
