/* hostfile.c: libFuzzer over hostfiles: the first host is a word of the text that stands behind no #. */
#include "launcher/launcher.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    size_t length = 0;
    char *text = wk_alloc(size + 1);
    if (!text) abort();
    memcpy(text, bytes, size);
    const char *host = wk__hostfile_first(text, &length);
    if (host) {
        if (length == 0 || host < text || host + length > text + strlen(text)) abort();
        if (memchr(host, '#', length) || memchr(host, '\n', length)) abort();
        for (const char *at = host; at > text && at[-1] != '\n'; at--)
            if (at[-1] != ' ' && at[-1] != '\t' && at[-1] != '\r') abort();
    }
    wk_free(text);
    return 0;
}
