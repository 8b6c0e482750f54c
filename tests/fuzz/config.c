/* config.c: libFuzzer over .torchxconfig: any text ends in entries or in one message. */
#include "launcher/config/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    wk__config *config = wk_alloc(sizeof *config);
    char *text = wk_alloc(size + 1);
    if (!config || !text) abort();
    memcpy(text, bytes, size);
    if ((wk__ini_read(config, text, "fuzz") == WK_OK) == wk_failed()) abort();
    wk_clear_error();
    wk__config_free(config);
    wk_free(text);
    return 0;
}
