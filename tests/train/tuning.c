/* Fine-tuning: first weights under other names, another head, adapters; and the optimizers and schedules that came with
 * PyTorch's names last. */
#include "train/support.h"
#include "wick/io.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void set_up(void) {
    run_set_up("tuning", 96);
}
TestSuite(tuning, .init = set_up, .fini = run_tear_down);

static const char adamw[] = "optimizer: { name: AdamW, args: { lr: 1e-3 } }\n";
static void write_tuned(const char *more) {
    char text[1500];
    (void)snprintf(text, sizeof text, "%s%s", adamw, more);
    run_write_with(RUN_LAYERS, text);
}

/* ---- weights ---- */

/* The file holds what a wrapped model of other names left: "module.backbone.layers.0.weight", … and one tensor too
 * many. */
static void make_file(const char *path, int64_t classes) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *tensor[6] = { wk_full(WK_F32, WK_DIMS(24, 784), 0.25),  wk_full(WK_BF16, WK_DIMS(24), 0.5),
                             wk_full(WK_F32, WK_DIMS(16, 24), 0.75),   wk_full(WK_F32, WK_DIMS(16), 1),
                             wk_full(WK_F32, WK_DIMS(classes, 16), 2), wk_full(WK_F32, WK_DIMS(classes), 3) };
    static const char *const name[] = { "module.backbone.layers.0.weight",
                                        "module.backbone.layers.0.bias",
                                        "module.backbone.layers.2.weight",
                                        "module.backbone.layers.2.bias",
                                        "module.head.weight",
                                        "module.head.bias" };
    cr_assert_eq(wk_safetensors_save(path, (wk_named_tensors){ tensor, name, 6 }, NULL, 0), WK_OK);
    wk_scope_end(scope);
}

static double first_of(const char *file, const char *name) {
    wk_safetensors *f = wk_safetensors_open(file);
    cr_assert_not_null(f, "%s", wk_message());
    wk_scope scope = wk_scope_begin();
    wk_tensor *t = wk_safetensors_get(f, name);
    double value = t ? wk_at(t, 0) : NAN;
    wk_scope_end(scope);
    wk_safetensors_close(f);
    wk_clear_error();
    return value;
}

Test(tuning, weights_under_other_names_and_what_does_not_fit) {
    char path[600], more[900];
    (void)snprintf(path, sizeof path, "%s/first.safetensors", run_folder);
    make_file(path, 7);
    (void)snprintf(more, sizeof more, "load_path: %s\nload_prefix_map: { backbone.: \"\", head.: \"layers.4.\" }\n",
                   path);
    write_tuned(more);
    run_refused("it belongs to another model: 2 of another shape: layers.4.weight ((7, 16) f32 in the file, (10, 16) "
                "f32 in the "
                "model), layers.4.bias ((7) f32 in the file, (10) f32 in the model); load_strict: false takes the 4 of "
                "6 tensors",
                NULL);
    write_tuned(strcat(more, "load_strict: false\n"));
    char *err = run_succeeds(WORDS("-o", "optimizer.args.lr=1e-30"));
    cr_expect_not_null(strstr(err, "load_path: 4 of 6 tensors are taken; 2 of another shape: layers.4.weight"), "%s",
                       err);
    free(err);
    cr_expect_eq(first_of(run_path("checkpoints/last.safetensors"), "model.layers.0.weight"), 0.25);
    cr_expect_eq(first_of(run_path("checkpoints/last.safetensors"), "model.layers.0.bias"), 0.5);
    (void)snprintf(more, sizeof more, "load_path: %s\n", path);
    write_tuned(more);
    run_refused("6 missing: layers.0.weight, layers.0.bias, ", WORDS("--overwrite"));
    run_refused("6 unexpected: backbone.layers.0.weight", WORDS("--overwrite"));
    (void)snprintf(more, sizeof more, "load_prefix_map: { a: [b] }\n");
    write_tuned(more);
    run_refused("load_prefix_map: \"a\" is no text", WORDS("--overwrite"));
}

Test(tuning, a_head_of_another_width) {
    char word[900], from[500];
    (void)snprintf(from, sizeof from, "%s/wide.safetensors", run_folder);
    make_file(from, 30);
    (void)snprintf(word, sizeof word,
                   "load_path: %s\nload_prefix_map: { backbone.: \"\", head.: \"layers.4.\" }\n"
                   "replace_head: { module: \"layers.4\", classes: 10 }\n",
                   from);
    write_tuned(word);
    free(run_succeeds(WORDS("-o", "model.args.out_dim=30", "-o", "optimizer.args.lr=1e-30")));
    cr_expect_eq(first_of(run_path("checkpoints/last.safetensors"), "model.layers.2.weight"), 0.75);
    wk_safetensors *file = wk_safetensors_open(run_path("checkpoints/last.safetensors"));
    wk_scope scope = wk_scope_begin();
    cr_expect_eq(wk_size(wk_safetensors_get(file, "model.layers.4.weight"), 0), 10);
    wk_scope_end(scope);
    wk_safetensors_close(file);
    run_refused("replace_head: wk_linear_resize: \"layers.1\" is ReLU, expected a Linear",
                WORDS("--overwrite", "-o", "replace_head.module=layers.1", "-o", "model.args.out_dim=30"));
    write_tuned("replace_head: { module: \"layers.4\" }\n");
    run_refused("replace_head has no classes", WORDS("--overwrite"));
}

/* ---- adapters ---- */

Test(tuning, adapters_alone_learn_and_are_merged_at_the_end) {
    char word[1200];
    write_tuned("");
    free(run_succeeds(NULL));
    run_set_aside("before");
    (void)snprintf(
        word, sizeof word,
        "load_path: %s/before/checkpoints/last.safetensors\nlora: { rank: 2, alpha: 6, modules: \"^layers.[02]$\" }\n"
        "final_path: %s/merged.safetensors\n",
        run_folder, run_folder);
    write_tuned(word);
    free(run_succeeds(WORDS("-o", "optimizer.args.lr=0.01", "-o", "trainer.max_epochs=2")));
    char before[600], merged[600];
    (void)snprintf(before, sizeof before, "%s/before/checkpoints/last.safetensors", run_folder);
    (void)snprintf(merged, sizeof merged, "%s/merged.safetensors", run_folder);
    wk_safetensors *old = wk_safetensors_open(before),
                   *last = wk_safetensors_open(run_path("checkpoints/last.safetensors")),
                   *whole = wk_safetensors_open(merged),
                   *adapter = wk_safetensors_open(run_path("adapter/adapter_model.safetensors"));
    cr_assert(old && last && whole && adapter, "%s", wk_message());
    wk_scope scope = wk_scope_begin();
    wk_tensor *a = wk_safetensors_get(last, "model.layers.0.lora_A.weight"),
              *b = wk_safetensors_get(last, "model.layers.0.lora_B.weight");
    wk_tensor *w = wk_safetensors_get(old, "model.layers.0.weight"),
              *same = wk_safetensors_get(last, "model.layers.0.weight");
    cr_assert(a && b && w && same, "%s", wk_message());
    cr_expect_arr_eq(wk_data(w), wk_data(same), (size_t)wk_count(w) * sizeof(float), "the weight has learned");
    cr_expect(!wk_safetensors_has(last, "optimizer.exp_avg.layers.0.weight")
              && !wk_safetensors_has(whole, "layers.0.lora_A.weight"));
    cr_expect(wk_safetensors_has(last, "optimizer.exp_avg.layers.0.lora_A.weight"));
    cr_expect(!wk_safetensors_has(last, "model.layers.4.lora_A.weight"));
    const wk_tensor *right = wk_add(w, wk_scale(wk_matmul(b, a), 3)),
                    *found = wk_safetensors_get(whole, "layers.0.weight");
    double most = 0, moved = 0;
    for (int64_t i = 0; i < wk_count(w); i++) {
        most = fmax(most, fabs(wk_at(right, i) - wk_at(found, i)));
        moved = fmax(moved, fabs(wk_at(w, i) - wk_at(found, i)));
    }
    cr_expect_lt(most, 1e-6);
    cr_expect_gt(moved, 1e-3, "the adapter has learned nothing");
    cr_expect_eq(wk_safetensors_count(adapter), 4);
    wk_tensor *named = wk_safetensors_get(adapter, "base_model.model.layers.0.lora_A.weight");
    cr_assert_not_null(named, "%s", wk_message());
    cr_expect_arr_eq(wk_data(named), wk_data(a), (size_t)wk_count(a) * sizeof(float));
    wk_scope_end(scope);
    wk_safetensors_close(old);
    wk_safetensors_close(last);
    wk_safetensors_close(whole);
    wk_safetensors_close(adapter);
    char *config = run_text("adapter/adapter_config.json");
    cr_expect_not_null(strstr(config, "\"r\": 2,\n  \"lora_alpha\": 6,"), "%s", config);
    cr_expect_not_null(strstr(config, "\"target_modules\": [\n    \"layers.0\",\n    \"layers.2\"\n  ]"), "%s", config);
    free(config);
    free(run_succeeds(WORDS("--resume", "-o", "optimizer.args.lr=0.01", "-o", "trainer.max_epochs=3")));
    run_refused("lora: wk_lora_add: no Linear has a path that \"nowhere\" matches",
                WORDS("--overwrite", "-o", "lora.modules=nowhere"));
}

/* ---- optimizers and schedules ---- */

Test(tuning, optimizers_resume_exactly) {
    static const char *const optimizers[] = {
        "Rprop, args: { lr: 1e-3, etas: [0.5, 1.2], step_sizes: [1e-6, 1] }",
        "ASGD, args: { lr: 0.05, t0: 2 }",
        "Muon, args: { lr: 0.02, adjust_lr_fn: match_rms_adamw, others: { name: AdamW, args: { lr: 1e-3 } } }",
        "LBFGS, args: { max_iter: 4, history_size: 5, line_search_fn: strong_wolfe }",
    };
    for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
        char more[400];
        (void)snprintf(more, sizeof more, "optimizer: { name: %s }\n", optimizers[i]);
        run_write_with(RUN_LAYERS, more);
        free(run_succeeds(WORDS("--overwrite", "-o", "trainer.max_epochs=2")));
        run_set_aside("whole");
        free(run_succeeds(NULL));
        free(run_succeeds(WORDS("--resume", "-o", "trainer.max_epochs=2")));
        run_same_checkpoint("whole", "checkpoints/last.safetensors");
        char command[600];
        (void)snprintf(command, sizeof command, "rm -rf %s/whole", run_folder);
        cr_assert_eq(system(command), 0);
    }
    run_write_with(RUN_LAYERS, "optimizer: { name: LBFGS }\n");
    run_refused("LBFGS runs a batch several times a step", WORDS("--overwrite", "-o", "trainer.gradient_clip_val=1"));
    run_write_with(
        RUN_LAYERS,
        "optimizer: { name: Muon, args: { others: { name: AdamW, args: { lr: 1e-3 } }, others_too: [layers.0] } }\n");
    free(run_succeeds(WORDS("--overwrite")));
    wk_safetensors *file = wk_safetensors_open(run_path("checkpoints/last.safetensors"));
    cr_expect(wk_safetensors_has(file, "optimizer.momentum_buffer.layers.2.weight"), "Muon has it");
    cr_expect(wk_safetensors_has(file, "optimizer1.exp_avg.layers.0.weight"), "AdamW has it");
    wk_safetensors_close(file);
    run_refused("the model has no parameter below \"layer\"; its first is \"layers.0.weight\"",
                WORDS("--overwrite", "-o", "optimizer.args.others_too=[layer]"));
    run_write_with(RUN_LAYERS, "optimizer: { name: Muon }\n");
    run_refused("Muon: parameter \"layers.0.bias\" is", WORDS("--overwrite"));
}

/* Column lr, behind step and epoch. */
static void expect_rates(const double *rates, int count) {
    char *csv = run_text("metrics.csv"), *line = strchr(csv, '\n');
    for (int i = 0; i < count; i++) {
        double lr = NAN;
        cr_assert(line && sscanf(line + 1, "%*[^,],%*[^,],%lf", &lr) == 1, "%s", csv);
        cr_expect_float_eq(lr, rates[i], 1e-7, "row %d has the rate %g, expected %g:\n%s", i, lr, rates[i], csv);
        line = strchr(line + 1, '\n');
    }
    free(csv);
}

/* Rates of torch.optim.lr_scheduler's classes for SGD with lr 0.1, four steps. */
Test(tuning, schedules_of_schedules) {
    static const char sgd[] = "optimizer: { name: SGD, args: { lr: 0.1 } }\n";
    char more[700];
    (void)snprintf(
        more, sizeof more,
        "%sschedule: { name: SequentialLR, args: { interval: step, milestones: [2], schedulers: [\n"
        "  { name: ConstantLR, args: { factor: 0.5, total_iters: 10 } }, { name: ExponentialLR, args: { gamma: "
        "0.5 } } ] } }\n",
        sgd);
    run_write_with(RUN_LAYERS, more);
    free(run_succeeds(NULL));
    expect_rates((double[]){ 0.05, 0.05, 0.1, 0.05 }, 4);
    (void)snprintf(
        more, sizeof more,
        "%sschedule: { name: ChainedScheduler, args: { interval: step, schedulers: [\n"
        "  { name: ConstantLR, args: { factor: 0.5, total_iters: 2 } }, { name: ExponentialLR, args: { gamma: "
        "0.5 } } ] } }\n",
        sgd);
    run_write_with(RUN_LAYERS, more);
    free(run_succeeds(WORDS("--overwrite")));
    expect_rates((double[]){ 0.05, 0.025, 0.025, 0.0125 }, 4);
    (void)snprintf(more, sizeof more,
                   "%sschedule: { name: CyclicLR, args: { base_lr: 0.1, max_lr: 0.3, step_size_up: 2, cycle_momentum: "
                   "false } }\n",
                   sgd);
    run_write_with(RUN_LAYERS, more);
    free(run_succeeds(WORDS("--overwrite")));
    expect_rates((double[]){ 0.1, 0.2, 0.3, 0.2 }, 4);
    (void)snprintf(more, sizeof more,
                   "%sschedule: { name: SequentialLR, args: { milestones: [1], schedulers: [ { name: StepLR } ] } }\n",
                   sgd);
    run_write_with(RUN_LAYERS, more);
    run_refused("milestones has 1 items, expected 0: one less than schedulers", WORDS("--overwrite"));
    (void)snprintf(more, sizeof more,
                   "%sschedule: { name: ChainedScheduler, args: { schedulers: [ { name: ReduceLROnPlateau } ] } }\n",
                   sgd);
    run_write_with(RUN_LAYERS, more);
    run_refused("ReduceLROnPlateau cannot be a part of another schedule", WORDS("--overwrite"));
}

/* For SGD with lr 0.1, as torch.optim.lr_scheduler.MultiplicativeLR (of these factors) and torch.optim.swa_utils.SWALR.
 */
Test(tuning, schedules_by_every_name) {
    static const struct {
        const char *const args;
        double rates[6];
    } cases[] = {
        { "MultiplicativeLR, args: { interval: step, factor: 0.5 }", { 0.1, 0.05, 0.025, 0.0125, 0.00625, 0.003125 } },
        { "MultiplicativeLR, args: { interval: step, factor: [0.5, 2, 0.1] }",
          { 0.1, 0.05, 0.1, 0.01, 0.001, 0.0001 } },
        { "SWALR, args: { interval: step, swa_lr: 0.02, anneal_epochs: 4 }",
          { 0.1, 0.0882842712474619, 0.06, 0.0317157287525381, 0.02, 0.02 } },
        { "SWALR, args: { interval: step, swa_lr: 0.02, anneal_epochs: 4, anneal_strategy: linear }",
          { 0.1, 0.08, 0.06, 0.04, 0.02, 0.02 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char more[400];
        (void)snprintf(more, sizeof more, "optimizer: { name: SGD, args: { lr: 0.1 } }\nschedule: { name: %s }\n",
                       cases[i].args);
        run_write_with(RUN_LAYERS, more);
        free(run_succeeds(WORDS("--overwrite")));
        expect_rates(cases[i].rates, 6);
    }
    run_refused("factor holds -1, expected more than 0",
                WORDS("--overwrite", "-o", "schedule={name: MultiplicativeLR, args: {factor: [0.5, -1]}}"));
    run_refused("factor is an empty list",
                WORDS("--overwrite", "-o", "schedule={name: MultiplicativeLR, args: {factor: []}}"));
    run_refused("anneal_strategy is \"log\"",
                WORDS("--overwrite", "-o", "schedule={name: SWALR, args: {swa_lr: 1, anneal_strategy: log}}"));
}
