/* items.c: args of data that any data may have: classes by name, splits, weights, transforms. */
#include "train/config.h"
#include "train/datasets.h"

#include <float.h>
#include <string.h>

enum { MOST_TRANSFORMS = 64 };

/* Put a dataset in the place of the one that it was made of. */
static wk_status replace(wk_dataset **place, wk_dataset *made) {
    if (!made) return wk_error_code();
    wk_dataset_destroy(*place);
    *place = made;
    return WK_OK;
}

/* ---- classes by name ---- */

static const char *name_of(const wk_dataset *d, int c, char number[16]) {
    if (d->class_names) return d->class_names[c];
    (void)snprintf(number, 16, "%d", c);
    return number;
}

/* The class that a key names; -1 with an error pending. */
static int find_class(const wk_config *args, const wk__yaml_node *node, const wk_dataset *d) {
    char number[16];
    for (int c = 0; c < d->classes; c++)
        if (strcmp(name_of(d, c, number), node->key) == 0) return c;
    const char *near = d->class_names ? wk__nearest(node->key, d->class_names, (size_t)d->classes) : NULL;
    (void)wk__yaml_fail_key(args->document, node, "there is no class \"%s\" among the %d of the data%s%s%s", node->key,
                            d->classes, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return -1;
}

static const wk__yaml_node *map_under(const wk_config *args, const char *key, const wk_dataset *d) {
    const wk__yaml_node *node = args->node ? wk__yaml_find(args->node, key) : NULL;
    if (!node || wk__yaml_is_null(node) || wk__yaml_map(args->document, node, key) != WK_OK) return NULL;
    if (d->classes > 0) return node;
    (void)wk__yaml_fail(args->document, node, "%s: the data has no classes", key);
    return NULL;
}

typedef struct renaming {
    const char **name; /* (classes): the new one of each class; NULL: left out */
    const char **kept; /* (classes): the new names, once each */
    int64_t *class_of; /* (classes) */
    int count;         /* of new names */
} renaming;

static wk_status read_renaming(const wk_config *args, const wk__yaml_node *map, const wk_dataset *d, renaming *r) {
    for (int c = 0; c < d->classes; c++) {
        if (!d->class_names)
            return wk_config_fail(args, "labels", "labels: the classes of this data have no names: give class_names");
        r->name[c] = d->class_names[c];
    }
    for (const wk__yaml_node *node = map->first; node; node = node->next) {
        const int c = find_class(args, node, d);
        if (c < 0) return wk_error_code();
        r->name[c] = NULL;
        if (!wk__yaml_is_null(node)) WK_TRY(wk__yaml_string(args->document, node, node->key, &r->name[c]));
    }
    for (int c = 0; c < d->classes; c++) {
        int new = 0;
        while (r->name[c] && new < r->count && strcmp(r->kept[new], r->name[c]) != 0) new ++;
        if (r->name[c] && new == r->count) r->kept[r->count++] = r->name[c];
        r->class_of[c] = r->name[c] ? new : -1;
    }
    return r->count > 0 ? WK_OK : wk_config_fail(args, "labels", "labels leaves no class");
}

static wk_status rename_classes(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    const wk__yaml_node *map = map_under(args, "labels", *train);
    if (!map) return wk_failed() ? wk_error_code() : WK_OK;
    const size_t classes = (size_t)(*train)->classes;
    renaming r = { .name = wk_alloc(2 * classes * sizeof *r.name), .class_of = wk_alloc(classes * sizeof *r.class_of) };
    r.kept = r.name + classes;
    wk_status status = wk_failed() ? wk_error_code() : read_renaming(args, map, *train, &r);
    if (status == WK_OK) status = replace(train, wk_relabelled_dataset(*train, r.class_of, r.count, r.kept));
    if (status == WK_OK && *evaluation)
        status = replace(evaluation, wk_relabelled_dataset(*evaluation, r.class_of, r.count, r.kept));
    wk_free(r.name);
    wk_free(r.class_of);
    return status;
}

/* ---- splits ---- */

static wk_status split(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    const double part = wk_config_double(args, "val_part", 0, 0.9, 0);
    const bool stratify = wk_config_bool(args, "stratify", (*train)->classes > 0);
    const uint64_t seed = (uint64_t)wk_config_int(args, "split_seed", 0, INT64_MAX, 0);
    int64_t kept = 0, count = (*train)->count;
    if (wk_failed() || part == 0) return wk_failed() ? wk_error_code() : WK_OK;
    int64_t *items = wk_split_items(*train, part, stratify, seed, &kept);
    if (!items) return wk_error_code();
    wk_status status = WK_OK;
    if (kept < 1 || kept >= count)
        status = wk_config_fail(args, "val_part",
                                "val_part %g of %lld items leaves %lld to train on and %lld to evaluate on", part,
                                (long long)count, (long long)(count - kept), (long long)kept);
    if (status == WK_OK) status = replace(evaluation, wk_part_dataset(*train, items + count - kept, kept));
    if (status == WK_OK) status = replace(train, wk_part_dataset(*train, items, count - kept));
    wk_free(items);
    return status;
}

wk_status wk__prepare_items(const wk_config *args, wk_dataset **train, wk_dataset **evaluation) {
    WK_TRY(rename_classes(args, train, evaluation));
    return split(args, train, evaluation);
}

/* ---- weights ---- */

wk_status wk__weigh_items(const wk_config *args, wk_dataset *train) {
    const bool oversample = wk_config_bool(args, "oversample", false);
    const wk__yaml_node *map = wk_failed() ? NULL : map_under(args, "class_weights", train);
    if (wk_failed()) return wk_error_code();
    if (map && oversample)
        return wk_config_fail(args, "class_weights",
                              "oversample and class_weights both say how often items are drawn: "
                              "give one of them");
    if (!map) return oversample ? wk_dataset_balance(train, NULL) : WK_OK;
    double *weight = wk_alloc((size_t)train->classes * sizeof *weight);
    for (int c = 0; weight && c < train->classes; c++) weight[c] = 1;
    for (const wk__yaml_node *node = map->first; node && !wk_failed(); node = node->next) {
        const int c = find_class(args, node, train);
        if (c >= 0 && wk__yaml_double(args->document, node, node->key, &weight[c]) == WK_OK
            && !(weight[c] >= 0 && weight[c] <= DBL_MAX))
            (void)wk__yaml_fail(args->document, node, "the weight of \"%s\" is %g, expected at least 0", node->key,
                                weight[c]);
    }
    wk_status status = wk_failed() ? wk_error_code() : wk_dataset_balance(train, weight);
    wk_free(weight);
    return status;
}

/* ---- transforms ---- */

static bool normalises(wk_transform *const *list, int count) {
    for (int i = 0; i < count; i++)
        if (strcmp(list[i]->class_->name, "normalise") == 0) return true;
    return false;
}

/* Behind the transforms of pixels, unless the file says so itself. */
static void insert_normalise(wk_transform **list, int *count, const wk_normalise_opts *opts) {
    wk_transform *own = wk_transform_normalise(*opts);
    int at = 0;
    while (at < *count && !list[at]->class_->values) at++;
    memmove(list + at + 1, list + at, (size_t)(*count - at) * sizeof *list);
    list[at] = own;
    *count += own != NULL;
}

static wk_status transform(const wk_config *args, const char *key, const wk_normalise_opts *normalise,
                           wk_dataset **place, bool *normalised) {
    wk_transform *list[MOST_TRANSFORMS + 1];
    if (!*place || !wk_config_has(args, key)) return WK_OK;
    int count = wk_make_transforms(args, key, list, MOST_TRANSFORMS);
    if (wk_failed()) return wk_error_code();
    *normalised = normalises(list, count);
    if (normalise && !*normalised) insert_normalise(list, &count, normalise);
    wk_status status = wk_failed() ? wk_error_code() : replace(place, wk_transformed_dataset(*place, list, count));
    if (status != WK_OK && status != WK_CONFIG) wk_error_prefix("%s", key);
    return status;
}

wk_status wk__prepare_pictures(const wk_config *args, const wk_normalise_opts *normalise, wk_dataset **train,
                               wk_dataset **evaluation) {
    const wk_mix_opts mix = { wk_config_double(args, "mixup", 0, 1e3, 0), wk_config_double(args, "cutmix", 0, 1e3, 0) };
    bool normalised = false, also = false;
    if (wk_failed()) return wk_error_code();
    WK_TRY(wk__prepare_items(args, train, evaluation));
    WK_TRY(transform(args, "transforms", normalise, train, &normalised));
    WK_TRY(transform(args, "val_transforms", normalise, evaluation, &also));
    if (*evaluation && normalised != also)
        return wk_config_fail(args, normalised ? "transforms" : "val_transforms",
                              "transforms and val_transforms must both hold normalise, or neither: the network would "
                              "see other values in validation");
    if (mix.mixup > 0 || mix.cutmix > 0) WK_TRY(replace(train, wk_mixed_dataset(*train, mix)));
    return wk__weigh_items(args, *train);
}
