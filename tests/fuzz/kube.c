/* kube.c: libFuzzer over what a cluster says, and over names made for it. */
#include "launcher/kube/kube.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    char name[WK__KUBE_NAME + 1];
    wk__kube_pod_state pod;
    wk__kube_answer answer;
    char *text = wk_alloc(size + 1);
    if (!text) abort();
    memcpy(text, bytes, size);
    wk__kube_name(text, size % 64, name);
    wk__kube_role_name(text, text + size / 2, size, (int64_t)size, name);
    if (strlen(name) > WK__KUBE_NAME) abort();
    wk__kube_label(text, name);
    json_t *root = json_loadb(text, size, JSON_DISABLE_EOF_CHECK, NULL);
    for (int kind = 0; kind < WK__KUBE_KINDS; kind++) wk__kube_judge((wk__kube_kind)kind, root, &answer);
    wk__kube_judge_pod(root, &pod);
    json_decref(root);
    wk_free(text);
    return 0;
}
