/* event_file.c: TensorBoard's records, byte for byte (cross-checked with tensorboardX's crc32c). */
#include "io/event_file.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void expect_hex(const wk_text *text, const char *hex) {
    char got[1000] = "";
    for (size_t i = 0; i < text->size && 2 * i + 3 < sizeof got; i++)
        (void)snprintf(got + 2 * i, 3, "%02x", (unsigned char)text->data[i]);
    cr_expect_str_eq(got, hex);
}

Test(event_file, checksum) {
    cr_expect_eq(wk__crc32c("123456789", 9), 0xE3069283u);
    cr_expect_eq(wk__crc32c("", 0), 0u);
}

Test(event_file, golden_records) {
    wk_text text = { 0 };
    wk__event_version(&text, 0);
    expect_hex(&text, "1800000000000000a37f4b22"
                      "0900000000000000001a0d627261696e2e4576656e743a32"
                      "eedf28a3");
    wk_text_free(&text);
    wk__event_scalar(&text, 1.5, 3, "loss", 0.25F);
    expect_hex(&text, "1a00000000000000129bd82d"
                      "09000000000000f83f10032a0d0a0b0a046c6f7373150000803e"
                      "d054b255");
    wk_text_free(&text);
}

/* Records follow each other: length, its checksum, data, its checksum. */
static int count_records(const unsigned char *bytes, size_t size) {
    int count = 0;
    for (size_t at = 0; at < size; count++) {
        cr_assert_leq(at + 16, size);
        uint64_t length = 0;
        for (int i = 7; i >= 0; i--) length = length << 8 | bytes[at + (size_t)i];
        uint32_t crc = wk__crc32c(bytes + at, 8), masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8u, stored;
        memcpy(&stored, bytes + at + 8, 4);
        cr_assert_eq(stored, masked);
        at += 16 + length;
        cr_assert_leq(at, size);
    }
    return count;
}

Test(event_file, a_file_of_scalars) {
    char folder[300], path[700] = "";
    (void)snprintf(folder, sizeof folder, "%s/events.XXXXXX", WICK_BUILD_DIR);
    cr_assert_not_null(mkdtemp(folder));
    wk__event_file *file = wk__event_file_open(folder);
    cr_assert_not_null(file, "%s", wk_message());
    for (int step = 0; step < 300; step += 100)
        cr_assert_eq(wk__event_file_scalar(file, 1, step, "train/loss", 1), WK_OK);
    cr_assert_eq(wk__event_file_restart(file, 2, 200), WK_OK);
    cr_assert_eq(wk__event_file_flush(file), WK_OK);
    wk__event_file_close(file);
    DIR *list = opendir(folder);
    for (struct dirent *entry = readdir(list); entry; entry = readdir(list))
        if (strncmp(entry->d_name, "events.out.tfevents.", 20) == 0)
            (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    (void)closedir(list);
    FILE *stream = fopen(path, "rb");
    cr_assert_not_null(stream, "%s", path);
    static unsigned char bytes[4096];
    size_t size = fread(bytes, 1, sizeof bytes, stream);
    (void)fclose(stream);
    cr_expect_eq(count_records(bytes, size), 5);
    cr_assert(unlink(path) == 0 && rmdir(folder) == 0);
}

Test(event_file, a_missing_folder_is_named) {
    cr_assert_null(wk__event_file_open("/nowhere/at/all"));
    cr_expect_eq(wk_error_code(), WK_IO);
    cr_expect(strstr(wk_message(), "cannot create: No such file or directory"), "%s", wk_message());
    wk_clear_error();
}
