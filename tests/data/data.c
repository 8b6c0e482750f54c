/* Samplers, loaders, the IDX reader. */
#include "data/idx.h"
#include "support/program.h"
#include "wick/data.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* torch.utils.data.DistributedSampler(range(10), num_replicas=3, rank=r, seed=0), epoch 0 and 1. */
Test(sampler, equals_torch) {
    static const int64_t permutation[10] = { 4, 1, 7, 5, 3, 9, 0, 8, 6, 2 };
    for (int rank = 0; rank < 3; rank++) {
        wk_sampler_opts opts = { .count = 10, .rank = rank, .ranks = 3, .shuffle = true };
        int64_t indices[4];
        cr_assert_eq(wk_sampler_length(opts), 4);
        cr_assert_eq(wk_sampler_fill(opts, 0, indices), WK_OK);
        for (int i = 0; i < 4; i++) cr_expect_eq(indices[i], permutation[(i * 3 + rank) % 10]);
        opts.drop_last = true;
        cr_expect_eq(wk_sampler_length(opts), 3);
    }
    wk_sampler_opts first = { .count = 10, .ranks = 1, .shuffle = true };
    static const int64_t seed_1[10] = { 5, 6, 1, 2, 0, 8, 9, 3, 7, 4 };
    int64_t indices[10];
    cr_assert_eq(wk_sampler_fill(first, 1, indices), WK_OK);
    cr_expect_arr_eq(indices, seed_1, sizeof seed_1, "epoch 1 of seed 0 is epoch 0 of seed 1");
}

Test(sampler, more_ranks_than_items) {
    cr_assert_eq(wk_sampler_length((wk_sampler_opts){ .count = 2, .ranks = 3 }), -1);
    cr_assert_str_eq(wk_message(), "sampler: 3 ranks but only 2 items: use at most as many ranks as items");
}

static wk_dataset *numbers(int64_t count) {
    wk_scope scope = wk_scope_begin();
    wk_tensor *index = wk_arange(count), *values = wk_empty(WK_F32, WK_DIMS(count, 3));
    for (int64_t i = 0; i < count * 3; i++) ((float *)wk_data(values))[i] = (float)i;
    wk_dataset *dataset = wk_tensor_dataset(values, index);
    wk_scope_end(scope);
    return dataset;
}

/* One epoch's items as a hash that depends on order. */
static uint64_t read_epoch(const wk_dataset *dataset, wk_loader_opts opts, int64_t epoch, int64_t first,
                           int64_t *items) {
    wk_loader *loader = wk_loader_create(dataset, opts);
    cr_assert_not_null(loader, "%s", wk_message());
    cr_assert_eq(wk_loader_start(loader, epoch, first), WK_OK);
    uint64_t hash = 1;
    wk_batch batch;
    *items = 0;
    for (int64_t expected = first; wk_loader_next(loader, &batch); expected++) {
        cr_expect_eq(batch.index, expected);
        cr_expect_eq(wk_size(batch.input, 0), batch.size);
        const int64_t *target = wk_data(batch.target);
        const float *input = wk_data(batch.input);
        for (int64_t i = 0; i < batch.size; i++, ++*items) {
            cr_expect_float_eq(input[3 * i + 1], 3.0 * (double)target[i] + 1, 1e-6);
            hash = hash * 1099511628211u + (uint64_t)target[i];
        }
    }
    cr_expect_not(wk_failed(), "%s", wk_message());
    wk_loader_destroy(loader);
    return hash;
}

Test(loader, workers_and_queue_change_nothing) {
    wk_dataset *dataset = numbers(103);
    wk_loader_opts opts = { .batch_size = 8, .sampler = { .shuffle = true, .seed = 5 } };
    int64_t items;
    uint64_t plain = read_epoch(dataset, opts, 2, 0, &items);
    cr_expect_eq(items, 103);
    for (int workers = 1; workers <= 4; workers++)
        for (int prefetch = 1; prefetch <= 5; prefetch += 2) {
            opts.workers = workers;
            opts.prefetch = prefetch;
            cr_expect_eq(read_epoch(dataset, opts, 2, 0, &items), plain, "%d workers, %d ahead", workers, prefetch);
        }
    opts.drop_last = true;
    (void)read_epoch(dataset, opts, 2, 0, &items);
    cr_expect_eq(items, 96);
    wk_dataset_destroy(dataset);
}

/* Memory is taken for what there is, not for what was asked. */
Test(loader, batch_larger_than_the_data) {
    wk_dataset *dataset = numbers(10);
    int64_t items;
    (void)read_epoch(dataset, (wk_loader_opts){ .batch_size = INT64_C(1) << 50 }, 0, 0, &items);
    cr_expect_eq(items, 10);
    (void)read_epoch(dataset, (wk_loader_opts){ .batch_size = 11, .drop_last = true }, 0, 0, &items);
    cr_expect_eq(items, 0);
    wk_dataset_destroy(dataset);
}

/* Every rank has as many items, so as many batches of the same sizes: no rank waits for one that has ended. */
Test(sampler, ranks_have_equally_many_and_together_all) {
    for (int64_t count = 1; count <= 40; count++)
        for (int ranks = 1; ranks <= count && ranks <= 9; ranks++) {
            int64_t indices[40], length = wk_sampler_length((wk_sampler_opts){ .count = count, .ranks = ranks });
            bool seen[40] = { false };
            for (int rank = 0; rank < ranks; rank++) {
                wk_sampler_opts opts = { .count = count, .rank = rank, .ranks = ranks, .shuffle = true };
                cr_assert_eq(wk_sampler_length(opts), length);
                cr_assert_eq(wk_sampler_fill(opts, 3, indices), WK_OK);
                for (int64_t i = 0; i < length; i++) seen[indices[i]] = true;
            }
            cr_assert(length * ranks >= count && length * ranks < count + ranks);
            for (int64_t i = 0; i < count; i++)
                cr_assert(seen[i], "item %lld of %lld on %d ranks", (long long)i, (long long)count, ranks);
        }
}

Test(loader, starts_in_the_middle_and_again) {
    wk_dataset *dataset = numbers(64);
    wk_loader *loader =
        wk_loader_create(dataset, (wk_loader_opts){ .batch_size = 8, .sampler = { .shuffle = true }, .workers = 2 });
    wk_batch batch;
    int64_t third[8];
    cr_assert_eq(wk_loader_start(loader, 0, 0), WK_OK);
    for (int i = 0; i < 4; i++) cr_assert(wk_loader_next(loader, &batch));
    memcpy(third, wk_data(batch.target), sizeof third);
    cr_assert_eq(wk_loader_start(loader, 0, 3), WK_OK);
    cr_assert(wk_loader_next(loader, &batch));
    cr_expect_eq(batch.index, 3);
    cr_expect_arr_eq(wk_data(batch.target), third, sizeof third);
    wk_loader_destroy(loader);
    wk_dataset_destroy(dataset);
}

static wk_status broken_fetch(const wk_dataset *dataset, const int64_t *indices, int64_t n, void *input, void *target) {
    (void)dataset, (void)input, (void)target;
    for (int64_t i = 0; i < n; i++)
        if (indices[i] == 13) return wk_fail(WK_FORMAT, "item 13 is broken");
    return WK_OK;
}

Test(loader, failing_fetch_is_reported_once) {
    static const wk_dataset_class broken = { .name = "broken", .size = sizeof(wk_dataset), .fetch = broken_fetch };
    wk_dataset *dataset = wk_dataset_create(&broken);
    dataset->count = 40;
    wk_loader *loader = wk_loader_create(dataset, (wk_loader_opts){ .batch_size = 5, .workers = 3 });
    wk_batch batch;
    cr_assert_eq(wk_loader_start(loader, 0, 0), WK_OK);
    while (wk_loader_next(loader, &batch)) continue;
    cr_expect_str_eq(wk_message(), "loader: item 13 is broken");
    wk_clear_error();
    wk_loader_destroy(loader);
    wk_dataset_destroy(dataset);
}

/* ---- IDX ---- */

static void refuse(const char *bytes, size_t size, const char *message) {
    wk__idx idx = { 0 };
    unsigned char *exact = malloc(size ? size : 1); /* so that a sanitizer sees a read past the end */
    memcpy(exact, bytes, size);
    cr_expect_eq(wk__idx_parse(exact, size, "f", &idx), WK_FORMAT);
    cr_expect_str_eq(wk_message(), message);
    wk_clear_error();
    free(exact);
}

Test(idx, malformed) {
    refuse("", 0, "f: not an IDX file: 0 bytes, too short for its header");
    refuse("\1\0\x8\1\0\0\0\0", 8, "f: not an IDX file: it begins with 01 00 08 01, expected 00 00");
    refuse("\0\0\xd\1\0\0\0\0", 8, "f: IDX of type 0x0d, only unsigned bytes (0x08) are read");
    refuse("\0\0\x8\0", 4, "f: IDX of rank 0, expected 1 to 4");
    refuse("\0\0\x8\3\0\0\0\1", 8, "f: truncated in the IDX header");
    refuse("\0\0\x8\1\0\0\0\3ab", 10, "f: the IDX header promises 3 bytes of data, there are 2 (truncated)");
    refuse("\0\0\x8\1\0\0\0\1ab", 10, "f: the IDX header promises 1 bytes of data, there are 2");
    refuse("\0\0\x8\2\xff\xff\xff\xff\xff\xff\xff\xff", 12, "f: the IDX header claims more than 4 GiB");
}

Test(idx, gzip_equals_raw_and_damage_is_seen) {
    char folder[400], raw[500], packed[500];
    (void)snprintf(folder, sizeof folder, "%s", fresh_folder("idx"));
    make_idx_folder(folder, 50);
    (void)snprintf(raw, sizeof raw, "%s/train-images-idx3-ubyte", folder);
    (void)snprintf(packed, sizeof packed, "%s/images.gz", folder);
    size_t size;
    char *bytes = read_bytes(raw, &size);
    gzFile out = gzopen(packed, "wb");
    cr_assert_eq(gzwrite(out, bytes, (unsigned)size), (int)size);
    (void)gzclose(out);
    wk__idx a, b;
    cr_assert_eq(wk__idx_open(raw, &a), WK_OK);
    cr_assert_eq(wk__idx_open(packed, &b), WK_OK, "%s", wk_message());
    cr_expect_eq(a.dims[0], 50);
    cr_expect_arr_eq(a.data, b.data, (size_t)(50 * 28 * 28));
    wk__idx_close(&a);
    wk__idx_close(&b);
    char *gz = read_bytes(packed, &size);
    write_bytes(packed, gz, size - 9);
    cr_expect_eq(wk__idx_open(packed, &b), WK_FORMAT);
    cr_expect_not_null(strstr(wk_message(), "the gzip stream is truncated"), "%s", wk_message());
    wk_clear_error();
    gz[size / 2] ^= 0x55;
    write_bytes(packed, gz, size);
    cr_expect_eq(wk__idx_open(packed, &b), WK_FORMAT);
    wk_clear_error();
    free(gz);
    free(bytes);
    remove_folder(folder);
}

Test(idx, fashion_mnist_of_the_distribution) {
    const char *root = "/usr/share/datasets/fashion-mnist";
    wk_dataset *dataset =
        wk_idx_dataset((wk_idx_opts){ .images = "/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz",
                                      .labels = "/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz" });
    cr_assert_not_null(dataset, "%s: %s", root, wk_message());
    cr_expect_eq(dataset->count, 10000);
    float image[784];
    int64_t label, first = 0;
    cr_assert_eq(dataset->class_->fetch(dataset, &first, 1, image, &label), WK_OK);
    cr_expect_eq(label, 9, "the first test image is an ankle boot");
    for (int i = 0; i < 784; i++) cr_assert(image[i] >= 0 && image[i] <= 1);
    wk_dataset_destroy(dataset);
}
