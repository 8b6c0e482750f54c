/* Loops in pytorch-quik's words: arguments, names of files, travelers, and the example as a person runs it. */
#include "support/program.h"
#include "wick/device.h"
#include "wick/io.h"
#include "wick/ops.h"
#include "wick/quik.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char folder[400];

static void set_up(void) {
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("quik"));
}
static void tear_down(void) {
    wk_clear_error();
    remove_folder(folder);
}
TestSuite(quik, .init = set_up, .fini = tear_down);

static void expect_message(const char *expected) {
    cr_expect_not_null(strstr(wk_message(), expected), "expected \"%s\" in \"%s\"", expected, wk_message());
    wk_clear_error();
}

Test(quik, arguments_have_four_levels) {
    wk_quik_args args = wk_quik_defaults();
    cr_expect_eq(args.epochs, 5);
    cr_expect_eq(args.bs, 50000);
    cr_expect_float_eq(args.beta2, 0.99, 0);
    cr_expect(args.mixed_precision);
    args.lr = 3e-4; /* of the program; the command line goes before it */
    args.epochs = 7;
    char *argv[] = { "x",
                     "-lr",
                     "1.5e-6",
                     "--betas",
                     "0.8,0.95",
                     "-bs",
                     "24",
                     "-amp",
                     "-nw",
                     "2",
                     "--nodes",
                     "1",
                     "--no_mixed_precision",
                     NULL };
    cr_assert_eq(wk_quik_parse(&args, 13, argv), WK_OK, "%s", wk_message());
    cr_expect_float_eq(args.lr, 1.5e-6, 1e-18);
    cr_expect_eq(args.epochs, 7);
    cr_expect_eq(args.bs, 24);
    cr_expect_eq(args.num_workers, 2);
    cr_expect_float_eq(args.beta1, 0.8, 0);
    cr_expect_float_eq(args.beta2, 0.95, 0);
    cr_expect(!args.mixed_precision);
}

Test(quik, words_that_make_no_sense) {
    static const struct {
        const char *word, *value, *message;
    } cases[] = { { "-lr", "fast", "-lr is \"fast\", expected a number of at least 0" },
                  { "-bs", "0", "-bs is \"0\", expected a whole number of at least 1" },
                  { "-e", "2.5", "-e is \"2.5\", expected a whole number" },
                  { "--betas", "0.9", "--betas is \"0.9\", expected two numbers from 0 to 1, as 0.9,0.99" },
                  { "--betas", "0.9,1.5", "--betas is \"0.9,1.5\"" },
                  { "--speed", "1", "cannot make sense of \"--speed\"" },
                  { "-lr", NULL, "a value is missing after -lr" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wk_quik_args args = wk_quik_defaults();
        char *argv[] = { "x", (char *)(uintptr_t)cases[i].word, (char *)(uintptr_t)cases[i].value };
        cr_expect_eq(wk_quik_parse(&args, cases[i].value ? 3 : 2, argv), WK_CONFIG);
        expect_message(cases[i].message);
    }
}

Test(quik, names_of_files) {
    static const int64_t labels[] = { 0, 1, 12 };
    wk_quik_args plain = { .base_dir = folder, .data_date = "20210101" }, whole = plain, dated = { .base_dir = folder };
    whole.bert_type = "roberta";
    whole.source = "news";
    whole.labels = labels;
    whole.n_labels = 3;
    const struct {
        const wk_quik_args *args;
        const char *type, *epoch, *gpu, *suffix, *expected;
    } cases[] = { { &plain, "train", NULL, NULL, NULL, "data/train_tensor_20210101.pt" },
                  { &plain, "model", NULL, NULL, NULL, "data/model_20210101.pt" },
                  { &plain, "state_dict", "orig", NULL, NULL, "data/state_dict_eorig_20210101.pt" },
                  { &plain, "state_dict", "0", NULL, ".safetensors", "data/state_dict_e0_20210101.safetensors" },
                  { &plain, "preds", NULL, "1", NULL, "data/preds_20210101_1.csv" },
                  { &plain, "test_array", "", "", NULL, "data/test_array_20210101.npy" },
                  { &whole, "confusion", NULL, NULL, ".pt", "data/roberta/news/confusion_0112_20210101.png" },
                  { &whole, "valid", "3", NULL, NULL, "data/roberta/news/valid_tensor_0112_3_20210101.pt" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char expected[600];
        char *name = wk_quik_id_str(cases[i].args, cases[i].type, cases[i].epoch, cases[i].gpu, cases[i].suffix);
        (void)snprintf(expected, sizeof expected, "%s/%s", folder, cases[i].expected);
        cr_expect_str_eq(name, expected);
        wk_free(name);
    }
    char expected[64], *name = wk_quik_id_str(&dated, "test", NULL, NULL, NULL);
    time_t now = time(NULL);
    struct tm parts;
    (void)strftime(expected, sizeof expected, "/test_tensor_%Y%m%d.pt", localtime_r(&now, &parts));
    cr_expect_not_null(strstr(name, expected), "%s", name);
    wk_free(name);
    cr_expect_null(wk_quik_id_str(&plain, "state_dict", NULL, NULL, NULL));
    expect_message("a state_dict needs an epoch");
}

static wk_dataset *make_data(int64_t count) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *x = wk_empty(WK_F32, WK_DIMS(count, 3)), *y = wk_empty(WK_F32, WK_DIMS(count, 1));
    for (int64_t i = 0; i < count; i++) {
        float *row = (float *)wk_data(x) + 3 * i;
        for (int k = 0; k < 3; k++) row[k] = (float)((i * (k + 2)) % 7) / 7.0F;
        ((float *)wk_data(y))[i] = row[0] - 2 * row[1] + 0.5F * row[2];
    }
    wk_dataset *data = wk_tensor_dataset(x, y);
    wk_scope_end(scope);
    return data;
}

static double train_once(wk_quik_traveler *tr, int64_t epoch) {
    wk_batch batch;
    double last = NAN;
    cr_assert_eq(wk_quik_start(tr, epoch), WK_OK, "%s", wk_message());
    for (bool more = true; more;) {
        wk_scope scope = wk_scope_begin();
        if ((more = wk_quik_next(tr, &batch))) {
            wk_tensor *loss = wk_quik_loss(tr, wk_quik_forward(tr, batch.input), batch.target);
            cr_assert_eq(wk_quik_backward(tr, loss, true), WK_OK, "%s", wk_message());
            cr_assert_eq(wk_quik_scheduler_step(tr), WK_OK, "%s", wk_message());
            cr_assert_eq(wk_quik_add_loss(tr, loss), WK_OK);
            last = wk_item(loss);
        }
        wk_scope_end(scope);
    }
    cr_assert(!wk_failed(), "%s", wk_message());
    return last;
}

/* The same steps by hand: what a traveler does is nothing else. */
static void train_by_hand(wk_module *model, const wk_quik_args *args, int64_t steps, int64_t count) {
    wk_optim *optim = wk_adam(
        wk_parameters(model),
        (wk_adam_opts){ .lr = args->lr, .beta1 = WK_SET(args->beta1), .beta2 = WK_SET(args->beta2), .eps = args->eps });
    wk_lr *lr = wk_exponential_lr(optim, 0.9);
    wk_dataset *data = make_data(count);
    wk_loader *loader = wk_loader_create(data, (wk_loader_opts){ .batch_size = args->bs });
    wk_module_train(model, true);
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        wk_batch batch;
        cr_assert_eq(wk_loader_start(loader, epoch, 0), WK_OK);
        while (wk_loader_next(loader, &batch)) {
            wk_scope scope = wk_scope_begin();
            wk_tensor *loss = wk_mse_loss(wk_forward(model, batch.input), batch.target, (wk_loss_opts){ 0 });
            wk_zero_grad(optim);
            (void)wk_backward(loss);
            (void)wk_clip_grad_norm(optim, 1, NULL);
            (void)wk_optim_step(optim);
            (void)wk_lr_step(lr);
            wk_scope_end(scope);
            steps--;
        }
    }
    cr_expect_eq(steps, 0);
    wk_lr_destroy(lr);
    wk_optim_destroy(optim);
    wk_loader_destroy(loader);
    wk_dataset_destroy(data);
}

static wk_module *make_model(void) {
    return wk_nn_sequential(wk_nn_linear(3, 8, (wk_layer_opts){ 0 }), wk_nn_relu(),
                            wk_nn_linear(8, 1, (wk_layer_opts){ 0 }));
}

static bool same_weights(wk_module *a, wk_module *b) {
    const wk_named_tensors x = wk_state(a), y = wk_state(b);
    bool same = x.count == y.count;
    for (int i = 0; same && i < x.count; i++)
        same = memcmp(wk_data(x.tensor[i]), wk_data(y.tensor[i]), (size_t)wk_count(x.tensor[i]) * sizeof(float)) == 0;
    return same;
}

Test(quik, a_traveler_is_the_loop_by_hand) {
    wk_quik_args args = wk_quik_defaults();
    args.bs = 16;
    args.lr = 0.02;
    args.epochs = 2;
    args.base_dir = folder;
    args.data_date = "20210101";
    wk_quik_trek *trek = wk_quik_trek_create(&args, -1);
    wk_quik_traveler *tr = wk_quik_traveler_create(trek, "train"), *va = wk_quik_traveler_create(trek, "valid");
    wk_dataset *data = make_data(40);
    wk_module *model = make_model(), *twin = make_model();
    const wk_quik_world *world = wk_quik_world_of(trek);
    cr_expect_eq(world->gpu_id, -1);
    cr_expect(world->is_logger && !world->is_ddp);
    cr_assert_eq(wk_quik_add_model(tr, model, NULL), WK_OK);
    cr_assert_eq(wk_quik_add_data(tr, data), WK_OK);
    cr_expect_eq(wk_quik_steps(tr), 3);
    cr_expect_eq(wk_quik_total_steps(tr), 6);
    cr_assert_eq(wk_quik_set_criterion(tr, wk_quik_mse_loss), WK_OK);
    cr_assert_eq(wk_quik_set_optimizer(tr, "Adam", "{ amsgrad: false }"), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_quik_set_scheduler(tr, "ExponentialLR", "{ gamma: 0.9 }"), WK_OK, "%s", wk_message());
    cr_assert_eq(wk_quik_save_state_dict(tr, "orig"), WK_OK, "%s", wk_message());
    char *orig = wk_quik_id_str(&args, "state_dict", "orig", NULL, NULL);
    cr_assert_eq(wk_quik_add_model(va, twin, orig), WK_OK, "%s", wk_message());
    cr_expect(same_weights(model, twin), "weights come back from the file");
    (void)train_once(tr, 0);
    double last = train_once(tr, 1);
    train_by_hand(twin, &args, 6, 40);
    cr_expect(same_weights(model, twin), "bit for bit");
    cr_expect(isfinite(last));
    cr_assert_eq(wk_quik_add_vloss(va, (const double[]){ 1, 3 }, (const int64_t[]){ 1, 3 }, 2), WK_OK);
    cr_assert_eq(wk_loss_table_write(wk_quik_metrics(trek)), WK_OK);
    cr_expect_float_eq(wk_quik_metrics(trek)->row[0].valid_loss, 2.5, 1e-12);
    wk_free(orig);
    wk_quik_traveler_destroy(va);
    wk_quik_traveler_destroy(tr);
    wk_module_destroy(twin);
    wk_module_destroy(model);
    wk_dataset_destroy(data);
    wk_quik_trek_destroy(trek);
}

Test(quik, what_is_refused) {
    wk_quik_args args = wk_quik_defaults();
    args.bs = 16;
    wk_quik_trek *trek = wk_quik_trek_create(&args, -1);
    wk_quik_traveler *tr = wk_quik_traveler_create(trek, "train");
    wk_module *model = make_model(), *other = wk_nn_linear(2, 2, (wk_layer_opts){ 0 });
    wk_dataset *data = make_data(20);
    char file[500];
    (void)snprintf(file, sizeof file, "%s/other.safetensors", folder);
    cr_assert_eq(wk_module_save(other, file), WK_OK);
    cr_expect_null(wk_quik_traveler_create(trek, "fly"));
    expect_message("a traveler is of type \"train\", \"valid\" or \"test\", not \"fly\"");
    cr_expect_neq(wk_quik_set_optimizer(tr, "Adam", NULL), WK_OK);
    expect_message("add the model first");
    cr_expect_neq(wk_quik_start(tr, 0), WK_OK);
    expect_message("wk_quik_start: the traveler has no model");
    cr_expect_neq(wk_quik_add_model(tr, model, file), WK_OK);
    expect_message("other.safetensors: it has no tensor \"0.weight\"");
    cr_assert_eq(wk_quik_add_model(tr, model, NULL), WK_OK);
    cr_expect_neq(wk_quik_set_optimizer(tr, "Adan", NULL), WK_OK);
    expect_message("did you mean \"Adam\"?");
    cr_expect_neq(wk_quik_set_optimizer(tr, "SGD", "{ speed: 1 }"), WK_OK);
    expect_message("speed");
    cr_expect_neq(wk_quik_set_optimizer(tr, "SGD", "5"), WK_OK);
    expect_message("args");
    cr_expect_eq(wk_quik_set_optimizer(tr, "SGD", "{ momentum: 0.9 }"), WK_OK, "eps and betas are not for SGD: %s",
                 wk_message());
    cr_expect_neq(wk_quik_set_scheduler(tr, "StepLR", NULL), WK_OK);
    expect_message("add the data and set the optimizer first");
    cr_assert_eq(wk_quik_add_data(tr, data), WK_OK);
    cr_expect_neq(wk_quik_set_scheduler(tr, "ReduceLROnPlateau", NULL), WK_OK);
    expect_message("ReduceLROnPlateau follows a metric");
    wk_scope scope = wk_scope_begin();
    cr_expect_null(wk_quik_loss(tr, wk_zeros(WK_F32, WK_DIMS(1)), wk_zeros(WK_F32, WK_DIMS(1))));
    expect_message("wk_quik_loss: the traveler has no criterion");
    cr_expect_neq(wk_quik_add_results(tr, wk_zeros(WK_F32, WK_DIMS(1)), wk_zeros(WK_I64, WK_DIMS(1))), WK_OK);
    expect_message("the data is not one of classes");
    wk_scope_end(scope);
    cr_expect_null(wk_quik_record_results(tr, NULL));
    expect_message("the traveler has no results");
    args.bs = 0;
    cr_expect_null(wk_quik_trek_create(&args, -1));
    expect_message("bs 0");
    wk_quik_traveler_destroy(tr);
    wk_module_destroy(model);
    wk_module_destroy(other);
    wk_dataset_destroy(data);
    wk_quik_trek_destroy(trek);
}

static wk_status note_gpu(wk_quik_args *args, int gpu) {
    args->nr = gpu;
    return WK_OK;
}

Test(quik, traverse_goes_to_the_cpu_where_there_is_no_card) {
    wk_quik_args args = wk_quik_defaults();
    if (wk_device_count("cuda", NULL, 0) > 0) cr_skip_test("this machine has a card");
    args.gpus = 4;
    cr_assert_eq(wk_quik_traverse(note_gpu, &args), WK_OK, "%s", wk_message());
    cr_expect_eq(args.nr, -1);
}

/* How many processes have this word in their command line. */
static int count_processes(const char *word) {
    int count = 0;
    char path[64], line[4096];
    DIR *folder_of_all = opendir("/proc");
    for (const struct dirent *entry; folder_of_all && (entry = readdir(folder_of_all));) {
        if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name)) continue;
        (void)snprintf(path, sizeof path, "/proc/%.20s/cmdline", entry->d_name);
        FILE *cmdline = fopen(path, "r");
        const size_t size = cmdline ? fread(line, 1, sizeof line, cmdline) : 0;
        count += memmem(line, size, word, strlen(word)) != NULL;
        if (cmdline) (void)fclose(cmdline);
    }
    if (folder_of_all) (void)closedir(folder_of_all);
    return count;
}

static char *const root_may[] = { "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1" };

/* Two ranks that the program starts itself: they train together, and one of them talks. */
Test(quik, traverse_starts_ranks_of_its_own) {
    char data[450], path[500];
    (void)snprintf(data, sizeof data, "WICK_QUIK_DATA=%s", folder);
    make_idx_folder(folder, 320);
    cr_assert_eq(chdir(folder), 0);
    char *environment[] = { data, root_may[0], root_may[1], "OMP_NUM_THREADS=1", "ASAN_OPTIONS=detect_leaks=0", NULL };
    program p = start(folder, (char *[]){ WICK_QUIK, "-e", "1", "-bs", "32", "--ranks", "2", NULL }, environment);
    int code = finish(&p, 90);
    char *out = read_bytes(p.out, NULL), *err = read_bytes(p.err, NULL);
    cr_assert_eq(code, 0, "%s", err);
    const char *table = strstr(out, "train_loss");
    cr_assert_not_null(table, "%s", out);
    cr_expect_null(strstr(table + 1, "train_loss"), "one rank talks: %s", out);
    (void)snprintf(path, sizeof path, "%s/data/state_dict_e0_20210101.pt", folder);
    cr_expect_eq(access(path, R_OK), 0);
    free(out);
    free(err);
    /* Ranks that fail are the program's failure. */
    environment[0] = "WICK_QUIK_DATA=/nowhere";
    p = start(folder, (char *[]){ WICK_QUIK, "-e", "1", "--ranks", "2", NULL }, environment);
    cr_expect_neq(finish(&p, 60), 0);
    err = read_bytes(p.err, NULL);
    cr_expect_not_null(strstr(err, "2 ranks: they ended with exit code "), "%s", err);
    free(err);
}

Test(quik, ranks_end_with_the_program_that_started_them) {
    char data[450], word[40];
    (void)snprintf(data, sizeof data, "WICK_QUIK_DATA=%s", folder);
    (void)snprintf(word, sizeof word, "%ld77", 1000000 + (long)getpid()); /* finds them in /proc, and nobody else */
    make_idx_folder(folder, 320);
    cr_assert_eq(chdir(folder), 0);
    char *environment[] = { data, root_may[0], root_may[1], "OMP_NUM_THREADS=1", NULL };
    program p = start(folder, (char *[]){ WICK_QUIK, "-e", word, "-bs", "32", "--ranks", "2", NULL }, environment);
    for (int i = 0; i < 600 && count_processes(word) < 4; i++) pause_seconds(0.05); /* it, mpirun, two ranks */
    cr_assert_eq(count_processes(word), 4);
    cr_assert_eq(kill(p.pid, SIGKILL), 0);
    (void)finish(&p, 10);
    for (int i = 0; i < 400 && count_processes(word) > 0; i++) pause_seconds(0.05);
    cr_expect_eq(count_processes(word), 0, "ranks outlive the program");
}

Test(quik, one_process_does_not_reach_other_nodes) {
    wk_quik_args args = wk_quik_defaults();
    args.nodes = 2;
    args.ranks = 3;
    cr_expect_eq(wk_quik_traverse(note_gpu, &args), WK_CONFIG);
    expect_message(
        "2 nodes are asked of one process, which starts ranks on this machine alone: use wick run dist.mpi -j "
        "2x3");
}

Test(quik, the_example_leaves_its_files) {
    char data[450], *out, *err, path[500];
    (void)snprintf(data, sizeof data, "WICK_QUIK_DATA=%s", folder);
    make_idx_folder(folder, 320);
    cr_assert_eq(chdir(folder), 0);
    program p = start(folder, (char *[]){ WICK_QUIK, "-e", "2", "-bs", "32", NULL }, (char *[]){ data, NULL });
    int code = finish(&p, 60);
    out = read_bytes(p.out, NULL);
    err = read_bytes(p.err, NULL);
    cr_assert_eq(code, 0, "%s", err);
    cr_expect_eq(strncmp(out, "   epoch  train_loss  valid_loss   time\n0      0    ", 51), 0, "%s", out);
    cr_expect_not_null(strstr(out, "\n1      1    "), "%s", out);
    const char *average = strstr(out, "weighted avg");
    cr_assert_not_null(average, "%s", out);
    cr_expect_gt(strtod(average + 12, NULL), 0.8, "the made images are easy: %s", out);
    static const char *const names[] = { "state_dict_eorig_20210101.pt", "state_dict_e0_20210101.pt",
                                         "state_dict_e1_20210101.pt", "confusion_20210101.png" };
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/data/%s", folder, names[i]);
        cr_expect_eq(access(path, R_OK), 0, "%s is missing", names[i]);
    }
    free(out);
    free(err);
}
