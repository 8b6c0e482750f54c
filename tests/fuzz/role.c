/* role.c: libFuzzer over what stands in a role: mounts, resources, workspaces, ports.  The first byte chooses the key;
 * the rest is its value. */
#include "base/base.h"
#include "wick/launcher.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const char *const before[] = { "mounts: [",    "mounts: [{",  "resource: {", "resource: ",
                                          "workspace: {", "workspace: ", "port_map: {", "retry_policy: " };
    static const char *const behind[] = { "]", "}]", "}", "", "}", "", "}", "" };
    wk_text text = { 0 };
    if (size == 0) return 0;
    const size_t key = bytes[0] % WK_COUNT(before);
    wk_text_printf(&text, "version: 1\nname: a\nroles:\n  - name: r\n    entrypoint: e\n    %s", before[key]);
    wk_text_add(&text, (const char *)bytes + 1, size - 1);
    wk_text_puts(&text, behind[key]);
    wk_appdef *app = wk_appdef_parse(text.data, text.size, "fuzz.yaml");
    if (!app != wk_failed()) abort();
    if (app) { /* what is accepted reads the same again */
        char *dump = wk_appdef_dump(app);
        wk_appdef *again = dump ? wk_appdef_parse(dump, strlen(dump), "dump.yaml") : NULL;
        if (!again || again->roles[0].mount_count != app->roles[0].mount_count) abort();
        if (again->roles[0].resource.memory_mb != app->roles[0].resource.memory_mb) abort();
        wk_appdef_free(again);
        wk_free(dump);
    }
    wk_appdef_free(app);
    wk_clear_error();
    wk_text_free(&text);
    return 0;
}
