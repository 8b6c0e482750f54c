/* checkpoint.c: libFuzzer over a checkpoint's standing and over its lines of metrics.
 *
 * Any bytes end in a message or in a place within the run's epochs.
 */
#include "train/checkpoint.h"
#include "train/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void look_at_standing(const uint8_t *bytes, size_t size) {
    enum { BATCHES = 10 };
    char path[64];
    static const wk__run_config config = { .params = { .window = { { 0, 2 } }, .windows = 1 } };
    const wk__checkpoint_context context = {
        .config = &config, .model_name = "mlp", .ranks = 2, .batches = BATCHES, .batch_size = 3
    };
    wk__standing standing = { 0 };
    bool has_reset;
    int file = memfd_create("checkpoint", MFD_CLOEXEC);
    if (file < 0 || write(file, bytes, size) != (ssize_t)size) abort();
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    wk_status status = wk__checkpoint_look(path, &context, &standing, &has_reset);
    if ((status == WK_OK) == wk_failed()) abort();
    if (status == WK_OK && (standing.batch < 0 || standing.batch > BATCHES || standing.epoch < 0 || standing.step < 0))
        abort();
    (void)close(file);
    wk_clear_error();
}

static void look_at_metrics(const uint8_t *bytes, size_t size) {
    wk_trainer *trainer = calloc(1, sizeof *trainer);
    char *text = strndup((const char *)bytes, size);
    if (!trainer || !text) abort();
    if ((wk__log_read(trainer, text) == WK_OK) == wk_failed()) abort();
    for (int i = 0; i < trainer->values; i++)
        if (!memchr(trainer->value[i].name, '\0', sizeof trainer->value[i].name)) abort();
    wk_clear_error();
    free(trainer);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    look_at_standing(bytes, size);
    look_at_metrics(bytes, size);
    return 0;
}
