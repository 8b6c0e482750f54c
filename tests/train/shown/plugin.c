/* plugin.c: callbacks: one logs many numbers, shows TensorBoard sound, a mesh and points, and says what is refused;
 * another shows text, histograms and images; a loss whose gradient is infinite; data of which there is more each time
 * that it is built. */
#include <wick/op.h>
#include <wick/train.h>

#include <math.h>
#include <stdio.h>

enum { POINTS = 5, FRAMES = 400 };

static void say_refused(wk_trainer *trainer, wk_status status) {
    if (status != WK_OK) wk_trainer_say(trainer, "refused: %s", wk_message());
    wk_clear_error();
}

static void show_nonsense(wk_trainer *t) {
    wk_tensor *line = wk_zeros(WK_F32, WK_DIMS(4)), *plane = wk_zeros(WK_F32, WK_DIMS(4, 2)),
              *space = wk_zeros(WK_F32, WK_DIMS(1, 4, 3)), *pictures = wk_zeros(WK_F32, WK_DIMS(3, 1, 2, 2));
    say_refused(t, wk_trainer_log_audio(t, "x", space, 8000));
    say_refused(t, wk_trainer_log_audio(t, "x", line, 0));
    say_refused(t, wk_trainer_log_mesh(t, "x", (wk_board_mesh){ .points = plane }));
    say_refused(t, wk_trainer_log_mesh(t, "x", (wk_board_mesh){ .points = space, .faces = plane }));
    say_refused(t, wk_trainer_log_embedding(t, "x", (wk_board_points){ .points = line }));
    say_refused(t, wk_trainer_log_embedding(t, "..", (wk_board_points){ .points = plane }));
    say_refused(t, wk_trainer_log_embedding(t, "x", (wk_board_points){ .points = plane, .pictures = pictures }));
    say_refused(t, wk_trainer_log_graph(t, line));
}

static wk_status show(wk_callback *self, wk_trainer *t) {
    static const char *const labels[POINTS] = { "a", "b\tc", "d", "e", "f" };
    static const int64_t faces[] = { 0, 1, 2, 2, 3, 4 };
    float sound[2 * FRAMES];
    (void)self;
    for (int i = 0; i < FRAMES; i++) {
        sound[i] = (float)sin(i * 0.1) / 2;
        sound[FRAMES + i] = 1;
    }
    wk_scope scope = wk_scope_begin();
    wk_tensor *points = wk_cast(wk_arange(3 * POINTS), WK_F32);
    wk_status status = wk_trainer_log_audio(t, "beep", wk_from_array(WK_F32, WK_DIMS(2, FRAMES), sound), 8000);
    if (status == WK_OK)
        status = wk_trainer_log_mesh(t, "shape",
                                     (wk_board_mesh){ .points = wk_reshape(points, WK_DIMS(1, POINTS, 3)),
                                                      .faces = wk_from_array(WK_I64, WK_DIMS(1, 2, 3), faces),
                                                      .config = "{\"camera\": {\"fov\": 75}}" });
    wk_tensor *pictures =
        wk_expand(wk_reshape(wk_cast(wk_arange(POINTS), WK_F32), WK_DIMS(POINTS, 1, 1, 1)), WK_DIMS(POINTS, 3, 4, 6));
    pictures = wk_affine(pictures, (wk_affine_opts){ 1.0 / (POINTS - 1), 0 });
    if (status == WK_OK)
        status = wk_trainer_log_embedding(
            t, "the \"words\"/all", (wk_board_points){ wk_reshape(points, WK_DIMS(POINTS, 3)), labels, pictures });
    if (status == WK_OK)
        status =
            wk_trainer_log_embedding(t, "plain", (wk_board_points){ .points = wk_reshape(points, WK_DIMS(POINTS, 3)) });
    if (status == WK_OK) {
        static const float gray[] = { 0, 0.5f, 1, -1, 2, 0.25f };
        status = wk_trainer_log_image(t, "two/rows", wk_from_array(WK_F32, WK_DIMS(1, 2, 3), gray));
    }
    if (status == WK_OK) show_nonsense(t);
    wk_scope_end(scope);
    return status;
}
/* Every one of them is a chart of the report. */
static wk_status log_many(wk_callback *self, wk_trainer *t) {
    enum { MANY = 40 };
    wk_status status = WK_OK;
    (void)self;
    for (int i = 0; i < MANY && status == WK_OK; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "number_%d", i);
        status = wk_trainer_log(t, name, i, (wk_log_opts){ 0 });
    }
    return status;
}

static const wk_callback_class shown_class = {
    .name = "Shown", .size = sizeof(wk_callback), .train_batch_end = log_many, .train_epoch_end = show
};

static wk_callback *build(const wk_config *args) {
    (void)args;
    return wk_callback_create(&shown_class);
}
static const wk_arg no_args[] = { { NULL, WK_ARG_INT, NULL, NULL } };
static const wk_callback_entry entry = { { "Shown", "for a test", no_args }, build };

/* ---- text, histograms, images ---- */

static wk_status tell(wk_callback *self, wk_trainer *t) {
    (void)self;
    WK_TRY(wk_trainer_log_text(t, "notes", "**one** | two\nthree \xc3\xa9"));
    wk_scope scope = wk_scope_begin();
    wk_tensor *numbers = wk_cast(wk_arange(8), WK_F32); /* -3 to 4 */
    wk_status status = wk_trainer_log_histogram(t, "numbers", wk_affine(numbers, (wk_affine_opts){ 1, -3 }));
    wk_tensor *pixels = wk_affine(wk_cast(wk_arange(6), WK_F32), (wk_affine_opts){ 0.2, 0 });
    if (status == WK_OK) status = wk_trainer_log_image(t, "gray", wk_reshape(pixels, WK_DIMS(1, 2, 3)));
    if (status == WK_OK) status = wk_trainer_log_image(t, "red", wk_reshape(pixels, WK_DIMS(3, 1, 2)));
    wk_scope_end(scope);
    return status;
}
static const wk_callback_class told_class = { .name = "Told", .size = sizeof(wk_callback), .train_epoch_end = tell };

static wk_callback *build_told(const wk_config *args) {
    (void)args;
    return wk_callback_create(&told_class);
}
static const wk_callback_entry told = { { "Told", "for a test", no_args }, build_told };

/* ---- a loss, data ---- */

/* 0, with a gradient of ∞ in every score. */
static wk_tensor *steep_compute(wk_loss *self, wk_trainer *trainer, wk_tensor *scores, const wk_batch *batch) {
    (void)self, (void)trainer, (void)batch;
    return wk_mean(wk_sqrt(wk_sub(scores, wk_detach(scores))), (wk_reduce_opts){ 0 });
}
static const wk_loss_class steep_class = { "steep", sizeof(wk_loss), steep_compute, NULL };
static wk_loss *build_steep(const wk_config *args) {
    (void)args;
    return wk_loss_create(&steep_class);
}
static const wk_loss_entry steep = { { "steep", "for a test", no_args }, build_steep };

static wk_status build_growing(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    static int64_t built;
    (void)args;
    wk_scope scope = wk_scope_begin();
    const int64_t count = 32 * ++built;
    *train = wk_tensor_dataset(wk_full(WK_F32, WK_DIMS(count, 2), 1), wk_zeros(WK_F32, WK_DIMS(count, 2)));
    *evaluation = NULL;
    wk_scope_end(scope);
    return wk_failed() ? wk_error_code() : WK_OK;
}
static const wk_arg growing_args[] = { { "batch_size", WK_ARG_INT, "64", NULL }, { NULL, WK_ARG_INT, NULL, NULL } };
static const wk_data_entry growing = { { "growing", "for a test", growing_args }, build_growing };

static wk_status load(void) {
    WK_TRY(wk_register_callback(&entry));
    WK_TRY(wk_register_callback(&told));
    WK_TRY(wk_register_loss(&steep));
    return wk_register_data(&growing);
}
WK_API extern const wk_plugin wick_plugin;
const wk_plugin wick_plugin = { WK_PLUGIN_API, "shown", load };
