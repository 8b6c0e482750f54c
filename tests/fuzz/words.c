/* words.c: libFuzzer over what people write on a command line: handles, -cfg, macros. */
#include "base/base.h"
#include "wick/launcher.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static const wk_runopt options[] = {
    { "a", WK_RUNOPT_STRING, "x", false, "" }, { "b", WK_RUNOPT_LIST, NULL, false, "" },
    { "c", WK_RUNOPT_DICT, NULL, false, "" },  { "d", WK_RUNOPT_BOOL, NULL, false, "" },
    { "e", WK_RUNOPT_FLOAT, NULL, false, "" }, { "long_name", WK_RUNOPT_INT, NULL, false, "" },
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const wk_macros macros = { .img_root = "/i", .app_id = "a", .replica_id = "0", .rank0_env = "R" };
    wk_handle handle;
    char *text = wk_alloc(size + 1);
    if (!text) abort();
    memcpy(text, bytes, size);
    if (wk_handle_parse(text, &handle) == WK_OK) {
        char *again = wk_handle_format(&handle);
        if (!again || strcmp(again, text) != 0) abort();
        wk_free(again);
    }
    wk_clear_error();
    wk_cfg_free(wk_cfg_parse("fuzz", options, WK_COUNT(options), text));
    wk_clear_error();
    wk_free(wk_macros_substitute(&macros, text));
    wk_free(text);
    return 0;
}
