/* threads.c: what several threads do at once: kernels of one team, contexts side by side, loaders, groups.
 *
 * A plain program, since Criterion's processes cannot start under the thread sanitizer, for which this one is made; the
 * results are checked too.
 */
#include "dist/shared.h"
#include "wick/data.h"
#include "wick/wick.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void expect(bool holds, const char *what) {
    if (holds) return;
    (void)fprintf(stderr, "threads: %s%s%s\n", what, wk_failed() ? ": " : "", wk_message());
    (void)__atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
}

static wk_module *make_cnn(void) {
    wk_layer_opts plain = { 0 };
    wk_nn_conv2d_opts conv = { .no_bias = false };
    wk_nn_batch_norm_opts norm = { .no_affine = false };
    wk_pool_opts two = { .kernel = { 2, 2 } };
    return wk_nn_sequential(wk_nn_conv2d(1, 8, 3, conv), wk_nn_relu(), wk_nn_batch_norm2d(8, norm),
                            wk_nn_max_pool2d(two), wk_nn_dropout(0.25), wk_nn_flatten(),
                            wk_nn_linear(8 * 13 * 13, 32, plain), wk_nn_relu(), wk_nn_linear(32, 10, plain));
}

/* Loss after a few steps; a hash of all that the threads did. */
static double train(int threads, int steps) {
    wk_set_threads(threads);
    wk_manual_seed(11);
    wk_module *net = make_cnn();
    wk_optim *optim = wk_adamw(wk_parameters(net), (wk_adamw_opts){ .lr = 1e-3 });
    double last = NAN;
    for (int step = 0; step < steps; step++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *x = wk_empty(WK_F32, WK_DIMS(16, 1, 28, 28)), *y = wk_empty(WK_I64, WK_DIMS(16));
        for (int64_t i = 0; i < wk_count(x); i++) ((float *)wk_data(x))[i] = (float)((i * 37 + step) % 101) / 101.0F;
        for (int i = 0; i < 16; i++) ((int64_t *)wk_data(y))[i] = i % 10;
        wk_tensor *loss =
            wk_cross_entropy(wk_forward(net, x), y, (wk_cross_entropy_opts){ .reduction = WK_REDUCTION_MEAN });
        wk_zero_grad(optim);
        (void)wk_backward(loss);
        (void)wk_clip_grad_norm(optim, 1.0, NULL);
        (void)wk_optim_step(optim);
        if (!wk_failed()) last = wk_item(loss);
        wk_scope_end(scope);
    }
    wk_optim_destroy(optim);
    wk_module_destroy(net);
    return last;
}

static void team(void) {
    double once = train(3, 3), again = train(3, 3);
    expect(!wk_failed(), "training with a team of three");
    expect(once == again, "two runs with a team of three differ");
}

static void *train_alone(void *result) {
    *(double *)result = train(1, 2);
    return NULL;
}

static void contexts(void) {
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    double loss[THREADS];
    for (int i = 0; i < THREADS; i++) (void)pthread_create(&thread[i], NULL, train_alone, &loss[i]);
    for (int i = 0; i < THREADS; i++) (void)pthread_join(thread[i], NULL);
    for (int i = 1; i < THREADS; i++) expect(loss[i] == loss[0], "threads with contexts of their own disagree");
    expect(isfinite(loss[0]), "training in a thread failed");
}

typedef struct question {
    wk_module *net;
    float answer[10];
} question;

static void *ask(void *argument) {
    question *q = argument;
    wk_set_threads(1);
    bool was = wk_no_grad_begin();
    for (int i = 0; i < 10; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *y = wk_forward(q->net, wk_full(WK_F32, WK_DIMS(1, 1, 28, 28), 0.5));
        expect(y && wk_copy_out(y, q->answer, sizeof q->answer) == WK_OK, "inference in a thread failed");
        wk_scope_end(scope);
    }
    wk_no_grad_end(was);
    return NULL;
}

static void shared_model(void) {
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    question q[THREADS];
    wk_module *net = make_cnn();
    wk_module_train(net, false);
    (void)wk_parameters(net);
    for (int i = 0; i < THREADS; i++) {
        q[i].net = net;
        (void)pthread_create(&thread[i], NULL, ask, &q[i]);
    }
    for (int i = 0; i < THREADS; i++) (void)pthread_join(thread[i], NULL);
    for (int i = 1; i < THREADS; i++)
        expect(memcmp(q[i].answer, q[0].answer, sizeof q[0].answer) == 0,
               "threads asking one model got different answers");
    wk_module_destroy(net);
}

/* ---- one language model writes for all ---- */

typedef struct writer {
    wk_module *gpt2;
    int64_t tokens[2 * 9];
} writer;

static void *write_on(void *argument) {
    writer *w = argument;
    const int64_t key[] = { 3, 4 };
    wk_set_threads(1);
    wk_scope scope = wk_scope_begin();
    wk_gpt2_generate_opts opts = { .temperature = 1, .top_k = 5, .key = wk_from_array(WK_I64, WK_DIMS(2), key) };
    wk_tensor *tokens = wk_gpt2_generate(w->gpt2, wk_zeros(WK_I64, WK_DIMS(2, 3)), 6, opts);
    expect(tokens && wk_copy_out(tokens, w->tokens, sizeof w->tokens) == WK_OK, "generation in a thread failed");
    wk_scope_end(scope);
    return NULL;
}

static void shared_writer(void) {
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    writer w[THREADS];
    wk_module *gpt2 = wk_gpt2((wk_gpt2_opts){ .layers = 2, .heads = 2, .width = 16, .vocabulary = 40, .context = 12 });
    wk_module_train(gpt2, false);
    wk_module_require_grad(gpt2, false);
    for (int i = 0; i < THREADS; i++) {
        w[i].gpt2 = gpt2;
        (void)pthread_create(&thread[i], NULL, write_on, &w[i]);
    }
    for (int i = 0; i < THREADS; i++) (void)pthread_join(thread[i], NULL);
    for (int i = 1; i < THREADS; i++)
        expect(memcmp(w[i].tokens, w[0].tokens, sizeof w[0].tokens) == 0, "threads got different tokens of one model");
    wk_module_destroy(gpt2);
}

/* ---- one frozen model: its weights are packed by whoever comes first ---- */

typedef struct reader {
    wk_module *net;
    float scores[4 * 10];
} reader;

static void *ask_frozen(void *argument) {
    reader *r = argument;
    wk_set_threads(1);
    for (int i = 0; i < 5; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *y = wk_forward(r->net, wk_full(WK_F32, WK_DIMS(4, 1, 28, 28), 0.5));
        expect(y && wk_copy_out(y, r->scores, sizeof r->scores) == WK_OK, "a frozen net in a thread failed");
        wk_scope_end(scope);
    }
    return NULL;
}

static void shared_frozen(void) {
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    reader r[THREADS];
    wk_module *net = wk_lenet((wk_lenet_opts){ 0 });
    expect(wk_module_freeze(net, (wk_freeze_opts){ 0 }) == WK_OK, "freezing failed");
    for (int i = 0; i < THREADS; i++) {
        r[i].net = net;
        (void)pthread_create(&thread[i], NULL, ask_frozen, &r[i]);
    }
    for (int i = 0; i < THREADS; i++) (void)pthread_join(thread[i], NULL);
    for (int i = 1; i < THREADS; i++)
        expect(memcmp(r[i].scores, r[0].scores, sizeof r[0].scores) == 0, "threads got different scores of one net");
    wk_module_destroy(net);
}

/* ---- gradients through one model, by its input ---- */

typedef struct asker {
    wk_module *net;
    float gradient[28 * 28];
} asker;

static int passages;
static wk_status count_passage(void *context, wk_module *module, const wk_args *in, wk_args *out) {
    (void)context, (void)module, (void)in, (void)out;
    (void)__atomic_add_fetch(&passages, 1, __ATOMIC_RELAXED);
    return WK_OK;
}
static wk_status count_gradient(void *context, wk_module *module, wk_args *grad_in, const wk_args *grad_out) {
    (void)context, (void)module, (void)grad_in, (void)grad_out;
    (void)__atomic_add_fetch(&passages, 1, __ATOMIC_RELAXED);
    return WK_OK;
}

static wk_status whole_net(void *net, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    (void)n_in, (void)n_out;
    out[0] = wk_forward(net, in[0]);
    return out[0] ? WK_OK : wk_error_code();
}
static wk_status recomputed(void *net, wk_tensor *const *in, int n_in, wk_tensor **out, int n_out) {
    wk_tensor *y;
    WK_TRY(wk_checkpoint(whole_net, net, in, n_in, &y, n_out));
    out[0] = wk_sum(wk_mul(y, y), (wk_reduce_opts){ .keep_dims = false });
    return WK_OK;
}

static void *ask_for_gradients(void *argument) {
    asker *a = argument;
    wk_set_threads(1);
    for (int i = 0; i < 4; i++) {
        wk_scope scope = wk_scope_begin();
        wk_tensor *x = wk_full(WK_F32, WK_DIMS(1, 1, 28, 28), 0.5), *gradient = NULL;
        expect(wk_vjp(recomputed, a->net, &x, 1, NULL, 1, NULL, &gradient) == WK_OK
                   && wk_copy_out(gradient, a->gradient, sizeof a->gradient) == WK_OK,
               "gradients in a thread failed");
        wk_scope_end(scope);
    }
    return NULL;
}

static void shared_gradients(void) {
    enum { THREADS = 8 };
    pthread_t thread[THREADS];
    static asker a[THREADS];
    wk_module *net = make_cnn();
    wk_module_train(net, false);
    (void)wk_on_forward(net, count_passage, NULL);
    (void)wk_on_backward(net, count_gradient, NULL);
    for (int i = 0; i < THREADS; i++) {
        a[i].net = net;
        (void)pthread_create(&thread[i], NULL, ask_for_gradients, &a[i]);
    }
    for (int i = 0; i < THREADS; i++) (void)pthread_join(thread[i], NULL);
    for (int i = 1; i < THREADS; i++)
        expect(memcmp(a[i].gradient, a[0].gradient, sizeof a[0].gradient) == 0,
               "threads asking one model got different gradients");
    expect(passages == THREADS * 4 * 3, "hooks: twice forward and once backward a call");
    wk_module_destroy(net);
}

static void *move_context(void *context) {
    wk_context *former = wk_context_bind(context);
    wk_tensor *x = wk_full(WK_F32, WK_DIMS(3), 2);
    expect(wk_item(wk_sum(wk_mul(x, x), (wk_reduce_opts){ .keep_dims = false })) == 12, "a context on another thread");
    (void)wk_context_bind(former);
    return NULL;
}

/* A context wanders over threads, with an open scope. */
static void wandering_context(void) {
    wk_context *context = wk_context_create();
    wk_context *former = wk_context_bind(context);
    wk_scope scope = wk_scope_begin();
    (void)wk_context_bind(former);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        (void)pthread_create(&thread, NULL, move_context, context);
        (void)pthread_join(thread, NULL);
    }
    former = wk_context_bind(context);
    wk_scope_end(scope);
    (void)wk_context_bind(former);
    wk_context_destroy(context);
}

static wk_status fetch(const wk_dataset *dataset, const int64_t *indices, int64_t n, void *input, void *target) {
    (void)dataset;
    for (int64_t i = 0; i < n; i++) {
        ((float *)input)[i] = (float)indices[i];
        ((int64_t *)target)[i] = indices[i];
    }
    return WK_OK;
}

static void read_epochs(const wk_dataset *dataset, int64_t block) {
    wk_loader *loader = wk_loader_create(
        dataset, (wk_loader_opts){ .batch_size = 10, .sampler = { .shuffle = true, .block = block }, .workers = 4 });
    for (int64_t epoch = 0; epoch < 3; epoch++) {
        int64_t sum = 0;
        wk_batch batch;
        expect(wk_loader_start(loader, epoch, 0) == WK_OK, "loader start");
        while (wk_loader_next(loader, &batch))
            for (int64_t i = 0; i < batch.size; i++) sum += ((const int64_t *)wk_data(batch.target))[i];
        expect(sum == 1003 * 1002 / 2, "the loader lost or doubled items");
    }
    wk_loader_destroy(loader);
}

static void loader(void) {
    static const wk_dataset_class numbers = { .name = "numbers", .size = sizeof(wk_dataset), .fetch = fetch };
    wk_dataset *dataset = wk_dataset_create(&numbers);
    dataset->count = 1003;
    dataset->target_dtype = WK_I64;
    for (int64_t block = 0; block <= 64; block += 64) read_epochs(dataset, block);
    wk_dataset_destroy(dataset);
}

/* Pictures, transformed by the loader's threads. */
static wk_status picture(const wk_dataset *dataset, int64_t index, wk_image *image) {
    wk_status status = wk_image_turn(image, 12, 14, 3);
    (void)dataset;
    for (int64_t i = 0; status == WK_OK && i < 12 * 14 * 3; i++) image->pixels[i] = (unsigned char)(index + i);
    return status;
}
static int64_t picture_class(const wk_dataset *dataset, int64_t index) {
    (void)dataset;
    return index;
}

static void pictures(void) {
    static const wk_dataset_class class_ = {
        .name = "pictures", .size = sizeof(wk_dataset), .image = picture, .label = picture_class
    };
    wk_dataset *source = wk_dataset_create(&class_);
    source->count = 1003;
    source->classes = 1003;
    source->input_dims = WK_DIMS(3, 12, 14);
    wk_transform *list[] = { wk_transform_random_resized_crop((wk_random_resized_crop_opts){ .height = 8, .width = 8 }),
                             wk_transform_horizontal_flip(0.5),
                             wk_transform_colour_jitter((wk_colour_jitter_opts){ 0.4, 0.4, 0.4, 0.1 }),
                             wk_transform_normalise((wk_normalise_opts){ 1, { 0.5 }, { 0.5 } }) };
    wk_dataset *dataset = wk_transformed_dataset(source, list, 4);
    expect(dataset != NULL, "a dataset of pictures");
    wk_dataset_destroy(source);
    if (dataset) read_epochs(dataset, 0);
    wk_dataset_destroy(dataset);
}

static void group(void) {
    wk_group *g = wk_group_create("self");
    wk_scope scope = wk_scope_begin();
    wk_tensor *t = wk_full(WK_F32, WK_DIMS(1000), 3);
    wk_work *works[100];
    for (int i = 0; i < 100; i++) expect(wk_all_reduce(g, t, WK_REDUCE_SUM, &works[i]) == WK_OK, "all_reduce");
    for (int i = 99; i >= 0; i--) expect(wk_work_wait(works[i]) == WK_OK, "wait");
    expect(wk_at(t, 999) == 3, "the sum over one rank");
    expect(wk_barrier(g) == WK_OK, "barrier");
    wk_scope_end(scope);
    wk_group_destroy(g);
}

/* ---- threads as the ranks of one host ---- */

enum { RANKS = 3, REGION = 1 << 22 /* bytes of a part */ };

typedef struct host_rank {
    void *segment;
    char *region;
    int rank;
} host_rank;

static float host_value(int rank, int64_t i) {
    return (float)((rank * 31 + i * 17) % 29) / 7;
}

static void sum_once(wk_shared *s, float *v, int64_t count, const wk_region *region, bool in_halves) {
    wk_transfer t = { .kind = WK_ALL_REDUCE, .out = v, .count = count, .dtype = WK_F32, .scale = 1, .region = region };
    for (int64_t i = 0; i < count; i++) v[i] = host_value(s->rank, i);
    wk_shared_pass halves[] = { WK_SHARED_REDUCE, WK_SHARED_SPREAD }, whole = wk__shared_choose(&t);
    for (int pass = 0; pass < (in_halves ? 2 : 1); pass++) {
        wk__shared_begin(s, &t, in_halves ? halves[pass] : whole);
        while (!wk__shared_test(s)) (void)sched_yield();
    }
    bool right = true;
    for (int64_t i = 0; i < count; i++)
        right = right && v[i] == (host_value(0, i) + host_value(1, i)) + host_value(2, i);
    expect(right, "a sum in shared memory");
}

static void *be_rank(void *argument) {
    static const int64_t counts[] = { 1, 999, 2048, 2049, 70001, 700001 };
    const host_rank *h = argument;
    wk_region region = { .memory = h->region, .bytes = REGION, .part = h->rank, .parts = RANKS };
    wk_shared s;
    expect(wk__shared_open(&s, h->segment, h->rank, RANKS) == WK_OK, "a rank of shared memory");
    float *own = malloc(REGION);
    for (int round = 0; own && round < 60; round++) {
        bool shares = round % 3 == 2;
        float *v = shares ? (float *)(void *)(h->region + (size_t)h->rank * REGION) : own;
        sum_once(&s, v, counts[round % 6], shares ? &region : NULL, round % 4 == 3);
    }
    free(own);
    wk__shared_close(&s);
    return NULL;
}

static void host(void) {
    pthread_t thread[RANKS];
    host_rank ranks[RANKS];
    size_t bytes = (wk__shared_size(RANKS) + 63) / 64 * 64;
    void *segment = aligned_alloc(64, bytes), *region = aligned_alloc(64, (size_t)RANKS * REGION);
    expect(segment && region, "memory of a host");
    if (segment && region) {
        memset(segment, 0, bytes);
        for (int i = 0; i < RANKS; i++) {
            ranks[i] = (host_rank){ segment, region, i };
            (void)pthread_create(&thread[i], NULL, be_rank, &ranks[i]);
        }
        for (int i = 0; i < RANKS; i++) (void)pthread_join(thread[i], NULL);
    }
    free(segment);
    free(region);
}

/* Threads that write, read and list one tree of files. */
static void *keep_files(void *argument) {
    char url[64], text[16];
    const int *first = argument;
    for (int i = *first; i < *first + 20; i++) {
        (void)snprintf(url, sizeof url, "memory://t/%d", i % 30);
        (void)snprintf(text, sizeof text, "%08d", i % 30);
        char *read = wk_file_save(url, text, 8) == WK_OK ? wk_file_load(url, 100, NULL) : NULL;
        expect(read && strcmp(read, text) == 0, "a file of memory");
        wk_free(read);
        wk_file_list_free(wk_folder_list("memory://t"));
    }
    return NULL;
}

static void files(void) {
    enum { THREADS = 4 };
    pthread_t thread[THREADS];
    int first[THREADS];
    for (int i = 0; i < THREADS; i++) {
        first[i] = 10 * i;
        (void)pthread_create(&thread[i], NULL, keep_files, &first[i]);
    }
    for (int i = 0; i < THREADS; i++) (void)pthread_join(thread[i], NULL);
}

/* Two OpenMP runtimes in one process would each keep a team and fight for the cores: the libraries must share ours. */
static void one_openmp(void) {
    static const char *const runtimes[] = { "/libgomp.so", "/libomp.so", "/libiomp5.so" };
    bool mapped[3] = { false };
    char line[600];
    FILE *maps = fopen("/proc/self/maps", "r");
    expect(maps != NULL, "/proc/self/maps");
    while (maps && fgets(line, sizeof line, maps))
        for (int i = 0; i < 3; i++) mapped[i] = mapped[i] || strstr(line, runtimes[i]);
    if (maps) (void)fclose(maps);
    expect(mapped[0] + mapped[1] + mapped[2] == 1, "not exactly one OpenMP runtime is mapped");
}

int main(void) {
    team();
    contexts();
    shared_model();
    shared_writer();
    shared_frozen();
    shared_gradients();
    wandering_context();
    loader();
    pictures();
    group();
    host();
    files();
    one_openmp();
    if (wk_failed()) (void)wk_report(stderr), failures++;
    (void)printf("threads: %d failures\n", failures);
    return failures != 0;
}
