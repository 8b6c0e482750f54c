/* slurm.c: libFuzzer over the answers of squeue, scontrol and sacct. */
#include "launcher/slurm/slurm.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static bool (*const readers[])(const char *, long long, const char *,
                                   wk__slurm_answer *) = { wk__slurm_read_json, wk__slurm_read_scontrol,
                                                           wk__slurm_read_sacct };
    int major = 0;
    int minor = 0;
    char *text = wk_alloc(size + 1);
    if (!text) abort();
    memcpy(text, bytes, size);
    for (size_t i = 0; i < WK_COUNT(readers); i++) {
        wk__slurm_answer answer;
        (void)readers[i](text, 7, NULL, &answer);
        (void)readers[i](text, 0, "me", &answer);
    }
    (void)wk__slurm_read_version(text, &major, &minor);
    wk_free(text);
    return 0;
}
