/* component.c: libFuzzer over component files: any bytes end in a list of faults, and what has none builds an AppDef.
 */
#include "launcher/component/component.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    wk_text out = { 0 };
    wk__yaml *document = wk__yaml_parse((const char *)bytes, size, "fuzz.yaml");
    (void)wk__component_lint_document(document, NULL, &out);
    wk__yaml_free(document);
    wk_text_free(&out);
    wk_clear_error();
    return 0;
}
