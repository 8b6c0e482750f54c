/* yaml.c: libFuzzer over the YAML parser, its writer and the AppDef checks.
 *
 * Any bytes end in a tree or in a message.  A tree that was read dumps to text that reads as the same tree.
 */
#include "io/yaml.h"
#include "wick/launcher.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    wk__yaml *document = wk__yaml_parse((const char *)bytes, size, "fuzz.yaml");
    if (!document && !wk_failed()) abort();
    if (document && document->root && document->nodes < 5000) {
        char *text = wk__yaml_dump(document->root);
        wk__yaml *again = text ? wk__yaml_parse(text, strlen(text), "dump.yaml") : NULL;
        if (!again || !wk__yaml_equal(document->root, again->root)) abort();
        wk__yaml_free(again);
        wk_free(text);
    }
    wk__yaml_free(document);
    wk_clear_error();
    wk_appdef *app = wk_appdef_parse((const char *)bytes, size, "fuzz.yaml");
    if (app) {
        static const wk_macros macros = { .img_root = "/i", .app_id = "a", .replica_id = "0", .rank0_env = "R" };
        wk_appdef_free(wk_macros_apply(&macros, app));
        wk_appdef_free(app);
    }
    wk_clear_error();
    return 0;
}
