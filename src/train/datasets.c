/* datasets.c: the data that comes with Wick, by the names that a run's file gives it. */
#include "train/builtin.h"
#include "train/config.h"
#include "train/datasets.h"

#include <float.h>
#include <string.h>
#include <unistd.h>

/* ---- idx: MNIST and its kin ---- */

typedef struct idx_from {
    const char *who, *root, *hint;
    double mean, deviation;
    int classes;
    int64_t limit;
    const char *const *names;
} idx_from;

/* Whether a split's images are in a folder: "" or ".gz", what ends their names; NULL: they are not. */
static const char *ending_of(const char *root, const char *split) {
    static const char *const endings[] = { "", ".gz" };
    for (size_t i = 0; i < WK_COUNT(endings); i++) {
        char *images = wk_format("%s/%s-images-idx3-ubyte%s", root, split, endings[i]);
        const bool is_there = images && access(images, R_OK) == 0;
        wk_free(images);
        if (is_there) return endings[i];
    }
    return NULL;
}

/* The files of a split, raw or gzip; an error that says where they were looked for. */
static wk_dataset *open_split(const idx_from *from, const char *split) {
    const char *ending = ending_of(from->root, split);
    if (!ending) ending = ".gz";
    char *images = wk_format("%s/%s-images-idx3-ubyte%s", from->root, split, ending);
    char *labels = wk_format("%s/%s-labels-idx1-ubyte%s", from->root, split, ending);
    wk_idx_opts opts = { images, labels, from->mean, from->deviation, from->classes, from->limit, from->names };
    wk_dataset *dataset = images && labels ? wk_idx_dataset(opts) : NULL;
    if (!dataset && wk_error_code() == WK_IO)
        wk_error_prefix("data \"%s\" (root %s; %s)", from->who, from->root, from->hint);
    wk_free(images);
    wk_free(labels);
    return dataset;
}

wk_status wk__read_class_names(const wk_config *args, int classes, const char **names, const char *const **found) {
    *found = NULL;
    int count =
        wk_config_has(args, "class_names") ? wk_config_strings(args, "class_names", names, WK__MOST_CLASS_NAMES) : 0;
    if (wk_failed() || count == 0) return wk_failed() ? wk_error_code() : WK_OK;
    if (count != classes)
        return wk_config_fail(args, "class_names", "class_names has %d names, expected one for each of the %d classes",
                              count, classes);
    *found = names;
    return WK_OK;
}

static wk_status build_idx(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    const char *names[WK__MOST_CLASS_NAMES];
    idx_from from = { .who = "idx",
                      .root = wk_config_string(args, "root", "/usr/share/datasets/fashion-mnist"),
                      .hint = "Fashion-MNIST comes with the package dataset-fashion-mnist, see tools/install-deps",
                      .mean = wk_config_double(args, "mean", -DBL_MAX, DBL_MAX, 0),
                      .deviation = wk_config_double(args, "std", DBL_MIN, DBL_MAX, 1),
                      .classes = (int)wk_config_int(args, "classes", 1, WK__MOST_CLASS_NAMES, 10),
                      .limit = wk_config_int(args, "limit", 0, INT64_MAX, 0) };
    WK_TRY(wk__read_class_names(args, from.classes, names, &from.names));
    *train = wk_failed() ? NULL : open_split(&from, "train");
    *evaluation = *train ? open_split(&from, "t10k") : NULL;
    if (wk_failed()) return wk_error_code();
    return wk__prepare_pictures(args, &(wk_normalise_opts){ 1, { from.mean }, { from.deviation } }, train, evaluation);
}

/* ---- mnist-ds, mnist-dm, mnist: the data of the LIIF-style trainers ---- */

/* Where torchvision puts MNIST and its kin, then the folder itself.  The first that has the split; NULL: none. */
static char *find_raw(const char *root, const char *split) {
    static const char *const places[] = { "/MNIST/raw", "/FashionMNIST/raw", "" };
    wk_text looked = { 0 };
    for (size_t i = 0; i < WK_COUNT(places); i++) {
        char *raw = wk_format("%s%s", root, places[i]);
        if (!raw || ending_of(raw, split)) {
            wk_text_free(&looked);
            return raw;
        }
        wk_text_printf(&looked, "%s%s", i == 0 ? "" : i + 1 == WK_COUNT(places) ? " or " : ", ", raw);
        wk_free(raw);
    }
    (void)wk_fail(WK_NOT_FOUND,
                  "data \"mnist\": there is no %s-images-idx3-ubyte, raw or .gz, in %s: root_dir is the folder that "
                  "holds MNIST/raw",
                  split, wk_text_get(&looked));
    wk_text_free(&looked);
    return NULL;
}

static wk_dataset *open_mnist(const wk_config *args, bool train) {
    const char *root = wk_config_string(args, "root_dir", NULL), *split = train ? "train" : "t10k";
    char *raw = root ? find_raw(root, split) : NULL;
    const idx_from from = { .who = "mnist",
                            .root = raw,
                            .hint = "images and labels of both halves are expected there",
                            .mean = 0.1307,
                            .deviation = 0.3081,
                            .classes = 10,
                            .limit = wk_config_int(args, "limit", 0, INT64_MAX, 0) };
    wk_dataset *dataset = raw && !wk_failed() ? open_split(&from, split) : NULL;
    wk_free(raw);
    return dataset;
}

static wk_status build_mnist_ds(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    *evaluation = NULL;
    *train = open_mnist(args, wk_config_bool(args, "train", true));
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* A twelfth of the training images, drawn by chance, is kept for validation: 5,000 of 60,000. */
static wk_status build_mnist_dm(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    uint64_t seed = (uint64_t)wk_config_int(args, "split_seed", 0, INT64_MAX, 0);
    wk_dataset *whole = open_mnist(args, true);
    if (!whole) return wk_error_code();
    int64_t kept = whole->count - whole->count / 12, *order = wk_alloc((size_t)whole->count * sizeof *order);
    wk_generator *generator = order ? wk_alloc(sizeof *generator) : NULL;
    if (generator && kept < whole->count) {
        wk_generator_seed(generator, seed);
        wk_random_permutation(generator, order, whole->count);
        *evaluation = wk_part_dataset(whole, order + kept, whole->count - kept);
        *train = *evaluation ? wk_part_dataset(whole, order, kept) : NULL;
    } else if (generator) {
        (void)wk_config_fail(args, "root_dir", "%lld images are too few to keep a twelfth for validation",
                             (long long)whole->count);
    }
    wk_dataset_destroy(whole);
    wk_free(generator);
    wk_free(order);
    return wk_failed() ? wk_error_code() : WK_OK;
}

/* Their documents say `mnist` of both. */
static wk_status build_mnist(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    return (wk_config_has(args, "train") ? build_mnist_ds : build_mnist_dm)(args, train, evaluation);
}

/* ---- image_folder, items ---- */

static wk_status build_image_folder(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    wk_image_folder_opts opts = { .root = wk_config_string(args, "root", ""),
                                  .channels = wk_config_bool(args, "gray", false) ? 1 : 3 };
    const char *val = wk_config_string(args, "val", "");
    *train = wk_image_folder(opts);
    if (*train && *val) {
        opts.root = val;
        opts.class_names = (*train)->class_names;
        opts.classes = (*train)->classes;
        *evaluation = wk_image_folder(opts);
    }
    return wk_failed() ? wk_error_code() : wk__prepare_pictures(args, NULL, train, evaluation);
}

static wk_status build_items(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    WK_TRY(wk_make_data(args, "data", train, evaluation));
    WK_TRY(wk__prepare_items(args, train, evaluation));
    return wk__weigh_items(args, *train);
}

/* ---- datasets: one spec to train on, another to evaluate on ---- */

static wk_status build_datasets(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    wk_dataset *unused = NULL;
    WK_TRY(wk_make_data(args, "train", train, &unused));
    wk_dataset_destroy(unused);
    if (!wk_config_has(args, "val")) return WK_OK;
    WK_TRY(wk_make_data(args, "val", evaluation, &unused));
    wk_dataset_destroy(unused);
    return WK_OK;
}

/* Common to all data: batch_size, workers, and shuffle, which the trainer reads. */
#define COMMON                       \
    WK__DATA_ARGS, {                 \
        NULL, WK_ARG_INT, NULL, NULL \
    }
static const wk_arg idx_args[] = { { "root", WK_ARG_TEXT, "/usr/share/datasets/fashion-mnist", "folder of IDX files" },
                                   { "mean", WK_ARG_NUMBER, "0", "inputs are (value / 255 - mean) / std" },
                                   { "std", WK_ARG_NUMBER, "1", NULL },
                                   { "classes", WK_ARG_INT, "10", NULL },
                                   { "class_names", WK_ARG_LIST, "", "what reports call them" },
                                   { "limit", WK_ARG_INT, "0", "the first items alone; 0: all" },
                                   WK__PICTURE_ARGS,
                                   WK__ITEM_ARGS,
                                   COMMON };
#define MNIST_ROOT \
    { "root_dir", WK_ARG_TEXT, NULL, "folder that holds MNIST/raw, FashionMNIST/raw or the files" }
static const wk_arg mnist_ds_args[] = { MNIST_ROOT,
                                        { "train", WK_ARG_BOOL, "true", "the training images; else the test images" },
                                        { "limit", WK_ARG_INT, "0", NULL },
                                        COMMON };
static const wk_arg mnist_dm_args[] = { MNIST_ROOT,
                                        { "limit", WK_ARG_INT, "0", NULL },
                                        { "split_seed", WK_ARG_INT, "0", "draws the images kept for validation" },
                                        COMMON };
static const wk_arg mnist_args[] = { MNIST_ROOT,
                                     { "train", WK_ARG_BOOL, "", "mnist-ds with this; without it mnist-dm" },
                                     { "limit", WK_ARG_INT, "0", NULL },
                                     { "split_seed", WK_ARG_INT, "0", "draws the images kept for validation" },
                                     COMMON };
static const wk_arg image_folder_args[] = { { "root", WK_ARG_TEXT, NULL,
                                              "folder that holds one for each class, to train on" },
                                            { "val", WK_ARG_TEXT, "", "the same to evaluate on; else val_part" },
                                            { "gray", WK_ARG_BOOL, "false", "one channel in place of three" },
                                            WK__PICTURE_ARGS,
                                            WK__ITEM_ARGS,
                                            COMMON };
static const wk_arg items_args[] = { { "data", WK_ARG_SPEC, NULL, "the data" }, WK__ITEM_ARGS, COMMON };
static const wk_arg datasets_args[] = { { "train", WK_ARG_SPEC, NULL, "data to train on" },
                                        { "val", WK_ARG_SPEC, "", "data whose training items are evaluated on" },
                                        COMMON };
const wk_data_entry wk__builtin_data[] = {
    { { "idx", "images and labels in IDX files: train to train, t10k to evaluate", idx_args }, build_idx },
    { { "image_folder", "PNG and JPEG files below a folder for each class", image_folder_args }, build_image_folder },
    { { "items", "any data with its classes renamed, split anew or drawn by weight", items_args }, build_items },
    { { "mnist-dm", "MNIST, a twelfth of it kept for validation", mnist_dm_args }, build_mnist_dm },
    { { "mnist-ds", "one half of MNIST", mnist_ds_args }, build_mnist_ds },
    { { "mnist", "either of these two", mnist_args }, build_mnist },
    { { "datasets", "two data specs", datasets_args }, build_datasets },
    { { NULL, NULL, NULL }, NULL },
};
