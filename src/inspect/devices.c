/* devices.c: `wick devices`: what operations could run on here, and why not on the rest. */
#include "base/base.h"
#include "wick/device.h"
#include "wick/inspect.h"

#include <jansson.h>
#include <string.h>

static const char help[] =
    "usage: wick devices [--json]\n"
    "\n"
    "Lists the devices that -o device=NAME and wk_device_parse take, and for a kind that cannot be\n"
    "used the reason: no plugin, no driver, no card.\n"
    "\n"
    "example: wick devices --json\n";

static const char *const kinds[] = { "cpu", "cuda", "cudaemu" };

/* Of device `at` of a kind; false with an error pending. */
static bool look(const char *kind, int at, char name[32], wk_device_info *info) {
    wk_device device;
    (void)snprintf(name, 32, at || strcmp(kind, "cpu") != 0 ? "%s:%d" : "%s", kind, at);
    return wk_device_parse(name, &device) == WK_OK && wk_device_describe(device, info) == WK_OK;
}

static void print_kind(FILE *out, const char *kind) {
    char why[400], name[32];
    int count = wk_device_count(kind, why, sizeof why);
    if (count == 0) (void)fprintf(out, "%-10s not usable: %s\n", kind, why);
    for (int i = 0; i < count; i++) {
        wk_device_info info;
        if (!look(kind, i, name, &info)) {
            (void)fprintf(out, "%-10s not usable: %s\n", name, wk_message());
            wk_clear_error();
            continue;
        }
        (void)fprintf(out, "%-10s %s, %.1f GiB, %s %s\n", name, info.name, (double)info.memory / 1073741824,
                      strcmp(kind, "cpu") == 0 ? "kernels for" : "capability", info.instruction_set);
    }
}

static json_t *kind_as_json(const char *kind) {
    char why[400], name[32];
    int count = wk_device_count(kind, why, sizeof why);
    json_t *devices = json_array();
    for (int i = 0; i < count; i++) {
        wk_device_info info;
        if (look(kind, i, name, &info))
            (void)json_array_append_new(devices, json_pack("{s:s, s:s, s:I, s:s, s:i}", "name", name, "model",
                                                           info.name, "memory", (json_int_t)info.memory, "capability",
                                                           info.instruction_set, "processors", info.threads));
        else
            (void)snprintf(why, sizeof why, "%s", wk_message());
        wk_clear_error();
    }
    json_t *object = json_pack("{s:s, s:o}", "kind", kind, "devices", devices);
    if (*why) (void)json_object_set_new(object, "reason", json_string(why));
    return object;
}

static int print_json(FILE *out) {
    json_t *all = json_array();
    for (size_t i = 0; i < WK_COUNT(kinds); i++) (void)json_array_append_new(all, kind_as_json(kinds[i]));
    bool written = json_dumpf(all, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF;
    json_decref(all);
    return written ? 0 : 1;
}

int wk_devices_main(int argc, char **argv) {
    bool json = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return fputs(help, stdout) < 0;
        if (strcmp(argv[i], "--json") != 0) {
            (void)fprintf(stderr, "wick devices: cannot make sense of \"%s\"\n%s", argv[i], help);
            return 2;
        }
        json = true;
    }
    if (json) return print_json(stdout);
    for (size_t i = 0; i < WK_COUNT(kinds); i++) print_kind(stdout, kinds[i]);
    return 0;
}
