/* pipeline.c: libFuzzer over pipelines: any bytes end in a graph, which is drawn and exported, or in one message. */
#include "launcher/pipeline/pipeline.h"
#include "wick/files.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char more[] = "version: 1\nname: more\nparameters: {a: 1}\nstages: [{name: m, run: utils.echo}]\n";
    static const char *const parameters[] = { "rates=[1, 2]" };
    if (wk_file_save("memory://fuzz/p.yaml", bytes, size) != WK_OK) abort();
    if (wk_file_save("memory://fuzz/more.yaml", more, sizeof more - 1) != WK_OK) abort();
    wk__pipeline *p = wk__pipeline_load("memory://fuzz/p.yaml", parameters, size % 2, "/nowhere");
    if (!p != wk_failed()) abort();
    wk_clear_error();
    char *(*const writers[])(wk__pipeline *) = { wk__pipeline_kubeflow, wk__pipeline_airflow };
    if (p) {
        wk_free(wk__pipeline_tree(p));
        wk_free(wk__pipeline_svg(p));
    }
    for (size_t i = 0; p && i < WK_COUNT(writers); i++) {
        char *text = writers[i](p);
        if (!text != wk_failed()) abort();
        wk_clear_error();
        wk_free(text);
    }
    wk__pipeline_free(p);
    return 0;
}
